"""`xb.Market` from Python: one small case for each thing that it says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import LAST, SNAPSHOT, builtin, levels, quote, tape

import crossbook as xb

from .campaign import described

SECOND = 10**9
SPOT, USDM, COINM = builtin("spot"), builtin("usdm"), builtin("coinm")
USD = described("coinbase", "BTC-USD", "spot", "USD", ("0.01", "0.00000001"), "1")
RATE = described("kraken", "USDT/USD", "spot", "USD", ("0.0001", "0.01"), "1", "USDT")


def two(**options: Any) -> xb.Market:
    """Spot at 60,000.00 / 60,000.10 and USD-M at 60,000.2 / 60,000.3, heard at 1 s."""
    made = xb.Market([SPOT, USDM], **options)
    rows = [
        *quote(6_000_000, 6_000_010, 1, sizes=(2 * 10**8, 10**8), ts_recv=SECOND),
        *quote(600_002, 600_003, 1, sizes=(500, 1_500), instrument=1, ts_recv=SECOND),
    ]
    made.apply(tape(rows, [SPOT, USDM]))
    return made


def test_the_best_quote_says_who_makes_it_and_that_it_is_crossed() -> None:
    best = two().quote()
    assert (best.bid, best.bid_size, best.bid_venues) == (60_000.2, 0.5, [1])
    assert (best.ask, best.ask_size, best.ask_venues) == (60_000.1, 1.0, [0])
    assert best.state == "crossed"
    assert best.mid == 60_000.15
    # (60,000.2 · 1 + 60,000.1 · 0.5) / 1.5
    assert best.microprice == pytest.approx(60_000.2 - 0.1 / 3, abs=1e-9)
    assert best.counts == (6_000_020, 5 * 10**7, 6_000_010, 10**8)
    assert best.ts == SECOND


def test_sizes_at_one_price_add_up_and_equal_prices_are_locked() -> None:
    made = two()
    made.apply(tape(quote(6_000_030, 6_000_040, 2, sizes=(10**8, 10**8), ts_recv=SECOND), [SPOT]))
    best = made.quote()
    assert (best.bid, best.bid_venues, best.ask, best.ask_venues) == (60_000.3, [0], 60_000.3, [1])
    assert best.state == "locked"
    made.apply(tape(quote(6_000_020, 6_000_030, 3, sizes=(10**8, 10**8), ts_recv=SECOND), [SPOT]))
    best = made.quote()
    assert (best.bid_venues, best.bid_size, best.ask_venues, best.ask_size) == ([0, 1], 1.5, [0, 1], 2.5)
    assert best.state == "normal"


@pytest.mark.parametrize(
    ("costs", "pays"),
    [(0, True), (0.01, False), ([0, 0.008], True), ({"spot": 0, "usdm": 0.02}, False), (None, False)],
)
def test_a_cross_pays_only_after_both_fees(costs: Any, pays: bool) -> None:
    # 0.1 of 60,000 are 1/60 bp.
    made = two(costs=costs)
    cross = made.quote().cross
    assert (cross is not None) == pays
    if cross is not None:
        paid, got = 60_000.1 * (1 + made.fees_bp[0] / 1e4), 60_000.2 * (1 - made.fees_bp[1] / 1e4)
        assert cross == (0, 1, pytest.approx(got - paid, abs=1e-9))


class Priced:
    """What `crossbook.costs` gives: a rate in bp and a fixed part."""

    def __init__(self, rate: str) -> None:
        self.rate = Decimal(rate)

    def affine(self) -> tuple[Decimal, Decimal]:
        return self.rate, Decimal(3)


def test_of_a_cost_the_rate_counts_and_a_rate_too_fine_is_rounded_up() -> None:
    assert two(costs=[Priced("2.5"), Priced("0.1")]).fees_bp == [2.5, 0.1]
    assert two(costs=[Priced("0.123451"), Priced("-0.123459")]).fees_bp == [0.12346, -0.12345]


def test_a_venue_goes_stale_without_an_event_of_its_own_and_comes_back_with_one() -> None:
    made = two(stale_after={"usdm": 2})
    made.advance(3 * SECOND)
    assert made.statuses == ["live", "live"]
    made.advance(3 * SECOND + 1)
    assert made.statuses == ["live", "stale"]
    assert made.quote().bid_venues == [0]
    assert made.quotes().row(1, named=True)["bid"] is None
    made.apply(tape([{"kind": 3, "price": 1, "size": 1, "instrument": 1, "ts_recv": 4 * SECOND}], [SPOT, USDM]))
    assert made.statuses == ["live", "stale"], "a trade is no word about the book"
    made.apply(tape(quote(600_001, 600_003, 1, instrument=1, ts_recv=4 * SECOND), [SPOT, USDM]))
    assert made.statuses == ["live", "live"]
    made.apply(tape(quote(600_001, 600_003, 1, instrument=1, ts_recv=7 * SECOND), [SPOT, USDM]))
    assert made.statuses == ["stale", "live"]
    assert two(stale_after=math.inf).now == SECOND
    never = two(stale_after=math.inf)
    never.advance(2**62)
    assert never.statuses == ["live", "live"]


def test_a_halted_venue_does_not_count_until_it_trades_again() -> None:
    made = two()
    made.apply_event(0, "status", None, 0, ts_recv=SECOND)
    assert made.statuses == ["halted", "live"]
    assert (made.quote().state, made.quote().ask) == ("normal", 60_000.3)
    made.apply_event(0, "status", None, 1, ts_recv=SECOND)
    assert made.quote().state == "crossed"
    made.apply_event(0, "gap", ts_recv=SECOND)
    made.apply_event(1, "status", ts_recv=SECOND)
    assert made.statuses == ["unsynchronised", "halted"]
    assert (made.quote().state, made.quote().bid, made.quote().microprice) == ("empty", None, None)
    assert made.book().height == 0


def test_the_book_of_the_rate_makes_and_unmakes_the_venues_that_need_it() -> None:
    made = xb.Market([USD, SPOT, RATE], fx={"USDT": RATE})
    rows = [
        *quote(5_999_000, 6_000_500, 1, ts_recv=SECOND),
        *quote(6_000_000, 6_000_010, 1, instrument=1, ts_recv=SECOND),
    ]
    known = [USD, SPOT, RATE]
    made.apply(tape(rows, known))
    assert made.statuses == ["live", "no_rate", "empty"]
    made.apply(tape(quote(9_998, 10_001, 1, instrument=2, ts_recv=SECOND), known))
    assert made.statuses == ["live"] * 3
    shown = made.quotes()
    assert shown["role"].to_list() == ["venue", "venue", "rate"]
    assert shown["bid"].to_list() == [59_990.0, 60_000 * 0.9998, None]
    assert shown["ask"][1] == pytest.approx(60_000.1 * 1.0001, abs=1e-9)
    assert (made.base_currency, made.quote_currency, made.price_unit) == ("BTC", "USD", "0.000001")
    made.apply_event(2, "gap", ts_recv=SECOND)
    assert made.statuses == ["live", "no_rate", "unsynchronised"]
    assert made.quote().bid_venues == [0]
    assert xb.Market([USD, SPOT]).statuses == ["empty", "empty"]


def test_currencies_are_equal_only_if_one_says_so() -> None:
    for fx, status in ((None, "no_rate"), ({"USDT": "1"}, "live"), ({"USDT": "0.9990"}, "live")):
        made = xb.Market([USD, SPOT], fx=fx)
        made.apply(tape(quote(6_000_000, 6_000_010, 1, instrument=1, ts_recv=SECOND), [USD, SPOT]))
        assert made.statuses[1] == status
        assert made.quote().bid == (None if fx is None else 60_000.0 * float(fx["USDT"]))


def depths(**options: Any) -> xb.Market:
    """Two venues with books: bids of spot 60,000 and 59,990, of COIN-M 60,000 and 59,985."""
    made = xb.Market([SPOT, COINM], fx={"USD": "1"}, **options)
    made.apply(
        tape(
            [
                *levels(
                    [(0, 6_000_000, 10**8), (0, 5_999_000, 10**8), (1, 6_001_000, 10**8), (1, 6_002_000, 10**8)],
                    1,
                    flags=SNAPSHOT,
                ),
                *levels([(0, 600_000, 6), (0, 599_850, 600), (1, 600_050, 6)], 1, flags=SNAPSHOT, instrument=1),
            ],
            [SPOT, COINM],
        )
    )
    return made


def test_the_book_has_the_split_of_every_level_and_says_where_knowledge_ends() -> None:
    found = depths().book(3)
    spot, coinm = SPOT.name, COINM.name
    bids = found.filter(pl.col("side") == "bid")
    assert bids["price"].to_list() == [60_000.0, 59_990.0, 59_985.0]
    assert bids[spot].to_list() == [1.0, 1.0, 0.0]
    # 600 USD at 60,000; 60,000 USD at 59,985, rounded down to 1e-8.
    assert bids[coinm].to_list() == [0.01, 0.0, 1.00025006]
    assert bids["size"].to_list() == [1.01, 1.0, 1.00025006]
    assert bids["base"].to_list() == [1.01, 2.01, 3.01025006]
    assert bids["quote"][1] == pytest.approx(1.01 * 60_000 + 59_990)
    assert bids["known"].to_list() == [True, True, False], "the snapshot of spot ended at 59,990"
    asks = found.filter(pl.col("side") == "ask")
    assert asks["known"].to_list() == [True, False, False]
    assert depths().levels(0, 1) == [(6_000_000, 101_000_000, [(0, 100_000_000), (1, 1_000_000)], True)]


def test_depth_in_bands_and_in_levels_is_the_sum_of_the_book() -> None:
    made = depths()
    by_levels = made.depth([1, 2, 9]).filter(pl.col("side") == "bid")
    assert by_levels["base"].to_list() == [1.01, 2.01, 3.01025006]
    assert by_levels["levels"].to_list() == [1, 2, 3]
    assert by_levels["known"].to_list() == [True, True, False]
    # The mid is 60,002.5: 1 bp below it is 59,996.5, 2.1 bp are 59,989.9.
    by_band = made.depth(bands_bp=[1, 2.1, 10]).filter(pl.col("side") == "bid")
    assert by_band["base"].to_list() == [1.01, 2.01, 3.01025006]
    assert by_band["known"].to_list() == [True, False, False]
    assert xb.Market([SPOT]).depth()["base"].to_list() == [None] * 6
    for bands in ([0], [0.001], [10_000], [math.nan]):
        with pytest.raises(xb.DataError, match="bands_bp"):
            made.depth(bands_bp=bands)


def test_a_quote_newer_than_the_book_hides_levels_and_a_silent_depth_stream_leaves_the_touch() -> None:
    made = depths(stale_after=5)
    made.apply(tape(quote(5_999_500, 6_001_500, 2, sizes=(5, 6), ts_recv=SECOND), [SPOT]))
    assert made.levels(0, 2) == [
        (6_000_000, 1_000_000, [(1, 1_000_000)], True),
        (5_999_500, 5, [(0, 5)], True),
    ]
    made.apply(tape(quote(5_999_500, 6_001_500, 3, sizes=(5, 6), ts_recv=7 * SECOND), [SPOT]))
    assert made.statuses == ["live", "stale"]
    assert made.levels(0) == [(5_999_500, 5, [(0, 5)], True)]


def test_a_tapes_instruments_are_found_by_what_they_are() -> None:
    made = xb.Market([USDM, SPOT], record=False)
    rows = [*quote(6_000_000, 6_000_010, 1), *quote(600_000, 600_001, 1, instrument=1), *quote(1, 2, 1, instrument=2)]
    made.apply([tape(rows, [SPOT, USDM, COINM])])
    assert (made.touch(0), made.touch(1)) == ((600_000, 1, 600_001, 1, 1), (6_000_000, 1, 6_000_010, 1, 1))
    other = xb.Instrument.from_json(json.dumps(json.loads(SPOT.to_json()) | {"price_unit": "0.1"}))
    with pytest.raises(xb.DataError, match=r"binance-spot:BTCUSDT: expected the market's units"):
        made.apply(tape(quote(1, 2, 3), [other]))
    assert len(made.take_quotes()) == 0, "nothing is recorded"


def test_a_path_has_a_row_where_the_best_quote_or_the_cross_changes() -> None:
    rows = [
        *quote(6_000_000, 6_000_010, 1, ts_recv=1),
        *quote(6_000_000, 6_000_010, 2, ts_recv=2),
        *quote(600_002, 600_003, 1, instrument=1, ts_recv=3),
    ]
    made = xb.Market([SPOT, USDM], costs=0)
    found = made.path(tape(rows, [SPOT, USDM])).to_polars()
    columns = ["row", "ts_recv", "bid", "ask", "state", "buy", "sell"]
    assert found.select(columns).rows() == [
        (0, 1, 0, 0, 4, -1, -1),
        (1, 1, 6_000_000, 6_000_010, 0, -1, -1),
        (5, 3, 6_000_020, 6_000_010, 2, 0, 1),
    ]
    assert found["edge"].to_list()[-1] == 10
    assert xb.Market([SPOT]).path(tape(rows, [SPOT, USDM]), every="row").to_polars().height == 6


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: xb.Market([SPOT] * 65), "at most 64 instruments, found 65"),
        (lambda: xb.Market([SPOT], fx={"USDT": 1.0}), "decimal text"),
        (lambda: xb.Market([SPOT], fx={"USDT": "dear"}), "decimal text"),
        (lambda: xb.Market([SPOT], fx={"USDT": RATE}), "an instrument of the market, found kraken:USDT/USD"),
        (lambda: xb.Market([USD, SPOT], fx={"EUR": 1}), "spot instrument of EUR and USD, found binance-spot:BTCUSDT"),
        (lambda: xb.Market([USD, SPOT], fx={"USDT": 0}), "rate of USDT: it is the market's quote currency"),
        (lambda: xb.Market([USD, SPOT], fx={"USDT": 9}), "found no instrument 9"),
        (lambda: xb.Market([SPOT], fx=["USDT"]), "mapping"),
        (lambda: xb.Market([SPOT], costs=[1, 2]), "costs: expected 1"),
        (lambda: xb.Market([SPOT], costs={"kraken": 1}), "'kraken'|\"kraken\" is none of the instruments"),
        (lambda: xb.Market([SPOT], costs=10_000), "costs: expected"),
        (lambda: xb.Market([SPOT], costs=math.nan), "costs: expected"),
        (lambda: xb.Market([SPOT], costs="cheap"), "costs: expected"),
        (lambda: xb.Market([SPOT], stale_after=-1), "stale_after: expected seconds"),
        (lambda: xb.Market([SPOT]).apply_event(1, "quote"), "instrument 1: expected 0 to 0"),
        (lambda: xb.Market([SPOT]).apply_event(0, "quote"), r"side of a quote: expected 0 \(bid\) or 1 \(ask\)"),
        (lambda: xb.Market([SPOT]).apply_event(0, "level", 0, 1, -1), "size -1: expected zero or more"),
        (lambda: xb.Market([SPOT, SPOT]), "expected each once, found .* twice"),
        (lambda: xb.Market([SPOT]).apply_event(0, "rumour"), 'kind "rumour": expected one of clear'),
        (lambda: xb.Market([SPOT]).apply([1]), "expected tapes"),
        (lambda: xb.Market([SPOT]).path([], every="second"), "every"),
        (lambda: xb.Market([SPOT]).levels(2), "side 2"),
    ],
)
def test_what_does_not_fit_says_what_was_expected(call: Callable[[], object], says: str) -> None:
    with pytest.raises((xb.DataError, xb.MarketError), match=says):
        call()


def test_a_single_event_is_a_message_unless_told_otherwise() -> None:
    made = xb.Market([SPOT])
    made.apply_event(0, "quote", 0, 100, 1, last=False)
    assert made.touch(0) is None
    made.apply_event(0, "quote", 1, 101, 2, ts_recv=7, sequence=3)
    assert (made.touch(0), made.now) == ((100, 1, 101, 2, 3), 7)
    assert len(made.take_quotes()) == 1
    assert LAST == 1


def test_the_commands_show_what_the_market_says(demo: Path) -> None:
    from typer.testing import CliRunner

    from crossbook.cli import app

    def said(*words: object) -> list[dict[str, Any]]:
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    capture = xb.open(demo)
    tapes = list(capture.batches())
    first, last = (int(one.to_polars()["ts_recv"][at]) for one, at in ((tapes[0], 0), (tapes[-1], -1)))
    middle = (first + last) // 2
    made = xb.Market(capture.instruments)
    for one in tapes:
        made.apply(one[: int((one.to_polars()["ts_recv"] <= middle).sum())])
    made.advance(middle)
    (shown,) = said("book", demo, "--at", middle, "--json", "--levels", 3)
    assert shown["book"] == made.book(3).to_dicts()
    assert (shown["time"], shown["bid"], shown["state"]) == (middle, made.quote().bid, made.quote().state)
    (one,) = said("book", demo, "-i", "usdm", "--json")
    assert [venue["instrument"] for venue in one["venues"]] == ["binance-usdm:BTCUSDT"]

    played = said("market", demo, "--speed", 0, "--json", "--every", 0.01)
    assert played[-1]["time"] == last
    whole = xb.Market(capture.instruments)
    whole.apply(tapes)
    assert played[-1]["book"] == whole.book(5).to_dicts()
    text = CliRunner().invoke(app, ["book", str(demo), "--at", str(middle)]).output
    assert "BTC/USDT" in text
    assert "usdm" in text
    before = CliRunner().invoke(app, ["book", str(demo), "--at", "2001-01-01"])
    assert isinstance(before.exception, xb.DataError)
    assert "the first is later" in str(before.exception)
