"""The fake exchanges write what the real ones write, and the engine keeps their books through faults: no sockets."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path

import pytest

from crossbook import Tape, _core
from crossbook.fakex.dialects import EXCHANGES
from crossbook.fakex.dialects.bitfinex import checksum as bitfinex_checksum
from crossbook.fakex.dialects.bitfinex import script
from crossbook.fakex.dialects.kraken import checksum as kraken_checksum
from crossbook.fakex.faults import faults_of, plan, traits_of
from crossbook.fakex.truth import ASK, BID, Listing, Market, diff, top, within
from crossbook.fakex.venue import decimal, iso, signed, trimmed

from . import inprocess, oracle

PAIRS = [(name, fault) for name in EXCHANGES for fault in faults_of(name, sockets=False)]
START = inprocess.START


@pytest.mark.parametrize("name", EXCHANGES)
def test_the_traits_of_an_exchange_are_those_of_the_engines_table(name: str) -> None:
    facts = next(one for one in _core.protocols() if one["name"] == EXCHANGES[name].protocol)
    traits = traits_of(name)
    assert facts["venue"] == EXCHANGES[name].venue
    assert bool(traits.links) == facts["links"]
    assert traits.counts_frames == facts["counts_frames"]
    assert traits.counts_trades == facts["counts_trades"]
    assert traits.checksum == facts["checksum_levels"]
    assert traits.rest == (facts["snapshot"] == "rest")
    assert traits.every == (facts["snapshot"] == "every_message")
    assert traits.crosses == facts["cross_resyncs"]


@pytest.mark.parametrize("name", EXCHANGES)
def test_a_client_reads_the_list_of_instruments_in_the_units_of_the_generator(name: str) -> None:
    exchange = EXCHANGES[name](0, now=START)
    found = {one.symbol: one for one in inprocess.instruments_of(exchange, exchange.protocol)}
    for listing in exchange.listed:
        one = found[listing.symbol]
        assert one.contract == listing.contract
        assert float(one.price_unit) <= 10.0**-listing.price_decimals * listing.tick * 1.0001
        assert float(one.size_unit) <= 10.0**-listing.size_decimals * 1.0001


@pytest.mark.parametrize(("name", "fault"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_books_are_the_venues_and_gaps_are_its_losses(name: str, fault: str) -> None:
    result = inprocess.run(plan(1, sockets=False, exchange=name, fault=fault))
    assert not result.problems, (result.plan, result.problems, result.injections)


@pytest.mark.parametrize("name", ["coinbase", "bitfinex"])
def test_a_number_of_a_frame_that_is_wrong_and_high_does_not_silence_the_connection(name: str) -> None:
    run = inprocess.Run(plan(0, sockets=False, exchange=name, fault="none"))
    run.connect()
    run.until(run.synced, 60, "the first books")
    connection = run.connection
    assert connection is not None
    # One frame with a digit too many; the next one counts on from where it was.
    right, connection.counter = connection.counter, 10_000_000  # type: ignore[attr-defined]
    connection.acknowledge(run.now) if name == "coinbase" else connection.unsolicited(run.symbol, run.now)
    connection.counter = right + 1  # type: ignore[attr-defined]
    run.pump()
    run.steps(5)
    run.until(run.synced, 120, "good books")


@pytest.mark.parametrize("name", EXCHANGES)
def test_the_same_calls_give_the_same_tape(name: str) -> None:
    result = inprocess.run(plan(5, sockets=False, exchange=name, fault="drop"), keep=True)
    exchange = EXCHANGES[name](result.plan.seed, now=START)
    instruments = inprocess.instruments_of(exchange, exchange.protocol)
    again = _core.Session(exchange.protocol, instruments)
    tapes = []
    for call, now, more in result.calls:
        assert isinstance(more, tuple)
        again.snapshot_failed(*more) if call == "snapshot_failed" else getattr(again, call)(now, *more)
        again.commands()
        if (tape := again.take()) is not None:
            tapes.append(tape)
    assert Tape.concat(tapes).to_polars().equals(Tape.concat(result.tapes).to_polars())


# Real frames: what a message of ours is made of, in which order, and how its numbers look.


EMPTY = re.compile(r'"(b|bids)":\[\]|"(a|asks)":\[\]')


def shape(value: object) -> object:
    """Give a message without its values: keys in order, lists by their first element, numbers by how they look."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, str):
        return "number" if re.fullmatch(r"-?\d+(\.\d+)?", value) else "text"
    return type(value).__name__


def real(data: Path, file: str, marker: str) -> str:
    """Find the first line of a capture with a marker."""
    path = data / file
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for line in lines:
            if marker in line and EMPTY.search(line) is None:
                return line[line.index("{") :].strip()
    raise AssertionError(f"{file} has no {marker}")


def ours(name: str, marker: str) -> str:
    """Find a frame of a fake exchange with a marker."""
    exchange = EXCHANGES[name](3, now=START)
    connection = exchange.connect("/stream", START)
    session = _core.Session(exchange.protocol, inprocess.instruments_of(exchange, exchange.protocol))
    session.opened(START)
    for what, text in session.commands():
        if what == "send":
            connection.receive(text, START)
    now = START
    for _ in range(2000):
        now += 50_000_000
        exchange.step(now)
        for frame in connection.out:
            text = frame.text
            if marker in text and EMPTY.search(text) is None:
                return text
        connection.out.clear()
    raise AssertionError(f"{name} has no {marker}")


@pytest.mark.parametrize(
    ("name", "file", "marker"),
    [
        ("binance-spot", "binance-2024-08-08/spot-btcusdt.gz", '"e":"depthUpdate"'),
        ("binance-spot", "binance-2024-08-08/spot-btcusdt.gz", "@bookTicker"),
        ("binance-spot", "binance-2024-08-08/spot-btcusdt.gz", '"e":"trade"'),
        ("coinbase", "current-frames/coinbase_l2.jsonl", '"type":"snapshot"'),
        ("coinbase", "current-frames/coinbase_l2.jsonl", '"type":"update","product_id":"BTC-USD","updates":[{'),
        ("kraken", "current-frames/kraken_book.jsonl", '"type":"snapshot","data":[{"symbol":"BTC/USD","bids"'),
        ("kraken", "current-frames/kraken_book.jsonl", '"method":"subscribe","result":{"channel":"book"'),
        ("kraken", "current-frames/kraken_book.jsonl", '"channel":"status"'),
        ("okx", "current-frames/okx_books.jsonl", '"action":"snapshot"'),
        ("okx", "current-frames/okx_books.jsonl", '"action":"update"'),
        ("okx", "current-frames/okx_books.jsonl", '"event":"subscribe"'),
        ("bybit-spot", "current-frames/bybit_orderbook.jsonl", '"type":"snapshot","data":{"s":"BTCUSDT","b"'),
        ("bybit-spot", "current-frames/bybit_orderbook.jsonl", '"op":"subscribe"'),
        ("bitstamp-diff", "current-frames/bitstamp_diff.jsonl", '"event":"data"'),
        ("bitstamp-orders", "current-frames/bitstamp_live_orders.jsonl", "order_created"),
        ("deribit", "cryptofeed/DERIBIT.ws.1.0.gz", '"data":{"type":"snapshot"'),
    ],
)
def test_a_message_has_the_shape_of_a_real_one(name: str, file: str, marker: str, data: Path) -> None:
    theirs, mine = json.loads(real(data, file, marker)), json.loads(ours(name, marker))
    wanted, found = shape(theirs), shape(mine)
    assert json.dumps(found) == json.dumps(wanted)


@pytest.mark.parametrize("market", ["usdm-btcusdt", "coinm-btcusd_perp"])
def test_futures_of_binance_add_only_what_was_added_since_the_capture(market: str, data: Path) -> None:
    name = f"binance-{market.split('-')[0]}"
    theirs = json.loads(real(data, f"binance-2024-08-08/{market}.gz", '"e":"depthUpdate"'))["data"]
    mine = json.loads(ours(name, '"e":"depthUpdate"'))["data"]
    assert [key for key in mine if key != "st"] == list(theirs)


def test_a_change_of_deribit_has_the_fields_of_a_real_one(data: Path) -> None:
    marker = '"data":{"type":"change"'
    with gzip.open(data / "cryptofeed/DERIBIT.ws.1.0.gz", "rt") as lines:
        line = next(line for line in lines if marker in line)
    theirs = json.loads(line[line.index("{") :])["params"]["data"]
    mine = json.loads(ours("deribit", marker))["params"]["data"]
    assert list(mine) == list(theirs)
    (level,) = theirs["bids"] + theirs["asks"]
    assert shape(level) == shape((mine["bids"] + mine["asks"])[0])


# Texts and checksums.


def test_numbers_are_written_as_the_venues_write_them() -> None:
    assert decimal(5100, 8) == "0.00005100"
    assert decimal(-12, 2) == "-0.12"
    assert trimmed(7_870_700, 2) == "78707"
    assert trimmed(0, 8) == "0"
    assert (script(7, 7), script(66, 8), script(1_000, 9), script(-70, 8), script(12, 0)) == (
        "7e-7",
        "6.6e-7",
        "0.000001",
        "-7e-7",
        "12",
    )
    assert iso(1_787_612_486_338_338_000) == "2026-08-24T23:01:26.338338Z"


def vector(data: Path, name: str) -> dict[str, object]:
    vectors = json.loads((data / "../vectors/checksums.json").read_text())
    return next(one for one in vectors if one["venue"] == name)


def test_the_checksum_of_kraken_is_the_one_of_its_documentation(data: Path) -> None:
    case = vector(data, "kraken_v2_doc")
    listing = Listing(symbol="", base="", quote="", price_decimals=1, size_decimals=8, mid=1, size=1)
    book = tuple(
        {int(p.replace(".", "")): int(s.replace(".", "")) for p, s in case[side]}  # type: ignore[attr-defined]
        for side in ("bids", "asks")
    )
    assert kraken_checksum(book, listing) == 3310070434  # docs.kraken.com, book checksum v2


def test_the_checksum_of_bitfinex_interleaves_what_javascript_prints() -> None:
    listing = Listing(symbol="", base="", quote="", price_decimals=1, size_decimals=8, mid=1, size=1)
    book = {61_000: 50_000_000, 60_995: 70}, {61_005: 120_000_000}
    # CRC-32 of "6100:0.5:6100.5:-1.2:6099.5:7e-7", signed.
    import zlib

    wanted = signed(zlib.crc32(b"6100:0.5:6100.5:-1.2:6099.5:7e-7"))
    assert bitfinex_checksum(book, listing) == wanted


# The markets.


def test_a_market_never_crosses_itself_and_its_changes_are_its_changes() -> None:
    listing = Listing(symbol="", base="", quote="", price_decimals=2, size_decimals=3, mid=5_000, size=1_000)
    market = Market(listing, random.Random(1))
    for _ in range(2000):
        before = within(market.book, 0)
        changes = market.change() if market.rng.random() < 0.8 else market.trade()[1]
        assert max(market.book[BID]) < min(market.book[ASK])
        assert len({(side, price) for side, price, _ in changes}) == len(changes)
        for side, price, size in changes:
            if size:
                before[side][price] = size
            else:
                before[side].pop(price, None)
        assert before == market.book
    assert all(10 <= len(market.book[side]) <= 60 for side in (BID, ASK))


def test_a_window_and_its_differences_make_the_next_window() -> None:
    listing = Listing(symbol="", base="", quote="", price_decimals=2, size_decimals=3, mid=5_000, size=1_000)
    market = Market(listing, random.Random(2))
    window = within(market.book, 10)
    for _ in range(500):
        market.change()
        new = within(market.book, 10)
        for side, price, size in diff(window, new):
            if size:
                window[side][price] = size
            else:
                del window[side][price]
        assert window == new
        assert top(window, BID, 1)[0][0] == max(market.book[BID])


# The oracles themselves: what they must catch.


class Sabotaged(inprocess.Run):
    """Loses some frames of books on the way that nobody was told of."""

    lost = 0

    def call(self, name: str, now: int, *more: object) -> None:
        # One alone may do no harm: what it adds, the next may take away.
        if name == "frames" and self.frames > 60 and self.lost < 5:
            texts = more[0]
            assert isinstance(texts, list)
            kept = [text for text in texts if not re.search(rb'"book|depth|l2_data|order_book', text)]
            self.lost += len(texts) - len(kept)
            if kept:
                super().call(name, now, kept)
            return
        super().call(name, now, *more)


@pytest.mark.parametrize("name", ["okx", "kraken", "binance-spot", "coinbase", "bitstamp-diff"])
def test_the_oracle_sees_a_loss_that_was_not_part_of_the_plan(name: str) -> None:
    run = Sabotaged(plan(0, sockets=False, exchange=name, fault="none"))
    result = run.run()
    assert run.lost
    marked = [one for one in result.problems if "nothing explains" in one or "are explained" in one]
    wrong = [one for one in result.problems if "is not the venue's" in one]
    # Where the venue's rule tells, as a gap without a cause; where nothing does, as a book that is wrong.
    assert wrong if name == "bitstamp-diff" else marked


def test_the_oracle_sees_an_event_between_a_gap_and_the_next_snapshot() -> None:
    result = inprocess.run(plan(1, sockets=False, exchange="okx", fault="drop"))
    exchange = EXCHANGES["okx"](result.plan.seed, now=START)
    instruments = inprocess.instruments_of(exchange, exchange.protocol)
    mirrors = oracle.Mirrors(exchange, instruments, (), 400, dense=False)
    tape = Tape.concat(result.tapes)
    frame = tape.to_polars()
    at = (frame["kind"] == oracle.GAP).arg_true()[0]
    symbol = frame["instrument"][at]
    later = frame[at + 1 :]
    snapshot = ((later["kind"] == oracle.CLEAR) & (later["instrument"] == symbol)).arg_true()[0]
    without = frame[: at + 1].vstack(later[snapshot + 1 :])
    mirrors.feed(Tape(without, instruments))
    assert any("between a gap and the next snapshot" in one for one in mirrors.all[symbol].problems)


def test_a_gap_that_is_missing_fails_the_judgement() -> None:
    result = inprocess.run(plan(1, sockets=False, exchange="okx", fault="drop"))
    problems, wanted, found = oracle.judge_gaps(result.injections, result.gaps, 0)
    assert not problems
    assert wanted == found > 0
    problems, _, found = oracle.judge_gaps(result.injections, [], 0)
    assert problems
    assert not found
