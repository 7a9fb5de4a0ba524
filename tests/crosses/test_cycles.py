"""Cycles over currencies from Python. The engine itself is held to brute force in Rust."""

from __future__ import annotations

import json
import math

import polars as pl
import pytest
from conftest import GAP, LAST, builtin, quote, tape

import crossbook as xb
from crossbook.errors import DataError, MarketError

from .model import STATUS

MS = 1_000_000


def spot(base: str, quoted: str, **changes: str) -> xb.Instrument:
    described = json.loads(builtin("spot").to_json())
    described |= {"symbol": base + quoted, "base": base, "quote": quoted, "settle": quoted, "lot": None}
    described |= {"price_unit": "0.01", "size_unit": "0.001", "tick": None} | changes
    return xb.Instrument.from_json(json.dumps(described))


TRIANGLE = [spot("BTC", "USDT"), spot("ETH", "BTC"), spot("ETH", "USDT")]


def feed(ms: int, eth: int, instruments: list[xb.Instrument] = TRIANGLE) -> xb.Tape:
    """BTC at 100.00 USDT, ETH at 0.50 BTC, ETH in USDT as given, at `ms`."""
    rows = []
    for at, (bid, ask) in enumerate(((9_990, 10_000), (49, 50), (eth, eth + 10))):
        rows += quote(bid, ask, ms, sizes=(4_000, 4_000), ts_recv=ms * MS, instrument=at)
    return tape(rows, instruments)


def test_a_triangle_is_found_sized_and_ended() -> None:
    cycles = xb.Cycles(TRIANGLE, costs=1)
    assert len(cycles) == 2
    assert cycles.now().is_empty()
    cycles.apply([feed(1, 5_000), feed(10, 5_100)])
    (now,) = cycles.now().iter_rows(named=True)
    assert now["path"] == "USDT → BTC → ETH → USDT"
    assert now["edge_bp"] == pytest.approx((0.51 / 0.50 / 1.0001**2 * 0.9999 - 1) * 1e4)
    legs = cycles.plan()
    # 4 ETH is the least; they cost 2.0002 BTC with the fee, rounded up to thousandths of BTC.
    assert legs["size"].to_list() == pytest.approx([2.000, 3.999, 3.999])
    assert legs["side"].to_list() == ["buy", "buy", "sell"]
    spent = 2.000 * 100 * 1.0001
    received = 3.999 * 51 * 0.9999
    assert now["profit"] == pytest.approx(received - spent)
    assert now["left"] == [f"{2.0 - 3.999 * 0.5 * 1.0001:.12g} BTC"]
    assert cycles.any()
    cycles.apply(feed(30, 5_000))
    cycles.finish(40 * MS)
    (one,) = cycles.take().iter_rows(named=True)
    assert (one["start"], one["end"], one["duration_ms"], one["censored"]) == (10 * MS, 30 * MS, 20.0, False)
    assert one["best_profit"] == pytest.approx(now["profit"])
    assert cycles.take().is_empty()
    assert not cycles.any()


def test_home_says_where_a_cycle_begins() -> None:
    cycles = xb.Cycles(TRIANGLE, costs=0, home=["BTC"])
    assert cycles.paths()["path"].sort().to_list() == ["BTC → ETH → USDT → BTC", "BTC → USDT → ETH → BTC"]


def test_a_market_shows_its_cycles_through_the_books_of_its_rates() -> None:
    usdt, usd, rate = spot("BTC", "USDT"), spot("BTC", "USD"), spot("USDT", "USD", price_unit="0.0001")
    market = xb.Market([usdt, usd, rate], quote="USD", fx={"USDT": rate}, costs=0)
    rows = quote(9_990, 10_000, 1, instrument=0) + quote(10_030, 10_040, 1, instrument=1)
    market.apply(tape(rows + quote(10_009, 10_010, 1, instrument=2, sizes=(10**7, 10**7)), [usdt, usd, rate]))
    (one,) = market.cycles(home=["USD"]).iter_rows(named=True)
    assert (one["path"], one["length"]) == ("USD → USDT → BTC → USD", 3)
    assert one["edge_bp"] == pytest.approx((100.30 / (100.00 * 1.001) - 1) * 1e4)
    assert market.cycles(costs=10).is_empty()


def test_a_book_that_is_lost_halted_or_silent_is_in_no_cycle() -> None:
    for event in ({"kind": GAP}, {"kind": STATUS, "price": 0}):
        cycles = xb.Cycles(TRIANGLE, costs=0)
        cycles.apply([feed(10, 5_100), tape([event | {"ts_recv": 20 * MS, "flags": LAST, "instrument": 1}], TRIANGLE)])
        assert cycles.now().is_empty()
        assert cycles.take().select("end", "censored").rows() == [(20 * MS, True)]
    silent = tape(quote(9_990, 10_000, 9_000, ts_recv=9_000 * MS, sizes=(9, 9)), TRIANGLE)
    for stale_after, ends in ((5.0, [5_010 * MS + 1]), (math.inf, [])):
        cycles = xb.Cycles(TRIANGLE, costs=0, stale_after=stale_after)
        cycles.apply([feed(10, 5_100), silent])
        assert cycles.take()["end"].to_list() == ends


def test_tapes_number_their_instruments_as_they_like() -> None:
    cycles = xb.Cycles(TRIANGLE, costs=0)
    rows = pl.DataFrame(feed(10, 5_100))
    other = [spot("XRP", "USDT"), *reversed(TRIANGLE)]
    cycles.apply(xb.Tape(rows.with_columns(instrument=(3 - pl.col("instrument")).cast(pl.UInt32)), other))
    assert cycles.now().height == 1
    with pytest.raises(DataError, match="units and terms"):
        cycles.apply(tape([], [spot("BTC", "USDT", price_unit="0.1")]))


@pytest.mark.parametrize(
    ("instruments", "options", "error", "says"),
    [
        ([], {}, MarketError, "at least one instrument"),
        ([builtin("usdm")], {}, MarketError, "expected spot"),
        ([spot("BTC", "BTC")], {}, MarketError, "against itself"),
        (TRIANGLE, {"costs": [1, 2]}, DataError, "costs: expected 3"),
        (TRIANGLE, {"costs": math.nan}, DataError, "finite"),
        (TRIANGLE, {"costs": 10_000}, DataError, "between"),
        (TRIANGLE, {"lengths": (4, 3)}, MarketError, "lengths"),
        (TRIANGLE, {"lengths": (-1, 3)}, DataError, "lengths"),
        (TRIANGLE, {"lengths": (3, 17)}, MarketError, "lengths"),
        (TRIANGLE, {"home": ["XYZ"]}, MarketError, "XYZ"),
        (TRIANGLE, {"stale_after": math.nan}, DataError, "stale_after"),
        (TRIANGLE, {"stale_after": -1.0}, DataError, "stale_after"),
    ],
)
def test_what_makes_no_cycles_is_a_typed_error(instruments: list, options: dict, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        xb.Cycles(instruments, **options)


def test_one_book_makes_no_cycle_and_odd_prices_do_no_harm() -> None:
    assert len(xb.Cycles(TRIANGLE[:1])) == 0
    low, high = -(2**63), 2**63 - 1
    cycles = xb.Cycles(TRIANGLE, costs=0)
    rows = []
    for at, (bid, ask) in enumerate(((low, high), (high, low), (high, high))):
        rows += quote(bid, ask, 1, sizes=(high, high), instrument=at, ts_recv=1)
    cycles.apply(tape(rows, TRIANGLE))
    cycles.now()
    cycles.plan()
    with pytest.raises(DataError, match="expected tapes"):
        cycles.apply([1])  # type: ignore[list-item]
