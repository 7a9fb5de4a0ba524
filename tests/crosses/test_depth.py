"""Crosses with their depth and the traders who take them, against the obvious model and in small cases by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from conftest import GAP, LAST, SNAPSHOT, builtin, levels, quote, tape

import crossbook as xb
from crossbook.crosses import view_delays

from .campaign import FIVE, SECOND, VENUES, check, five, spot
from .model import STATUS

MS = 1_000_000


def pair(**changes: str | None) -> list[xb.Instrument]:
    return [spot(venue, **changes) for venue in VENUES[:2]]


def at(ts: int, instrument: int, bid: tuple[int, int], ask: tuple[int, int]) -> list[dict[str, int]]:
    """A quote of so many cents and thousandths at a time in ms."""
    both = {"ts_recv": ts * MS, "instrument": instrument}
    return quote(bid[0], ask[0], ts, sizes=(bid[1], ask[1]), **both)


def book(ts: int, instrument: int, rows: list[tuple[int, int, int]]) -> list[dict[str, int]]:
    return levels(rows, ts, flags=SNAPSHOT, ts_recv=ts * MS, instrument=instrument)


TWO = book(1, 0, [(0, 9_990, 10), (1, 10_000, 4), (1, 10_010, 6)]) + book(
    2, 1, [(0, 10_030, 3), (0, 10_020, 9), (1, 10_040, 9)]
)


def found(rows: list[dict[str, int]], instruments: list[xb.Instrument] | None = None, **options) -> pl.DataFrame:
    instruments = instruments or pair()
    options = {"costs": 0} | options
    return xb.Market(instruments).crosses(tape(rows, instruments), **options)


def test_a_cross_has_the_size_and_profit_of_walking_both_books() -> None:
    rows = TWO + at(12, 0, (9_990, 10), (10_100, 1))
    (one,) = found(rows).iter_rows(named=True)
    # 3 at 100.00 against 100.30, 1 against 100.20, 6 at 100.10 against 100.20: in thousandths.
    profit = (3 * 0.30 + 1 * 0.20 + 6 * 0.10) / 1_000
    assert (one["buy"], one["sell"], one["trade"]) == ("binance-spot", "okx", "arbitrage")
    assert (one["start"], one["end"], one["duration_ms"], one["censored"]) == (2 * MS, 12 * MS, 10.0, False)
    assert one["start_size"] == one["max_size"] == pytest.approx(0.010)
    assert one["start_profit"] == pytest.approx(profit)
    assert one["best_edge_bp"] == pytest.approx(30.0)
    assert one["gross"] == pytest.approx(profit)
    assert one["half_ms"] is None


def test_sizes_are_whole_lots_of_both_venues_and_the_rounding_is_stated() -> None:
    instruments = [spot("binance-spot", lot="0.004"), spot("okx", lot="0.006")]
    rows = TWO + at(12, 0, (9_990, 10), (10_100, 1))
    (one,) = found(rows, instruments).iter_rows(named=True)
    assert one["max_size"] == 0, "10 thousandths hold no common multiple of 4 and 6"
    (one,) = found(rows, [spot("binance-spot", lot="0.004"), spot("okx", lot="0.002")]).iter_rows(named=True)
    assert one["max_size"] == pytest.approx(0.008)
    assert one["rounding"] == pytest.approx(2 * 0.10 / 1_000)


def test_fees_and_fixed_costs_come_off_and_the_breakdown_adds_up() -> None:
    rows = TWO + at(12, 0, (9_990, 10), (10_100, 1))
    (one,) = found(rows, costs=5).iter_rows(named=True)
    parts = one["gross"] - one["buy_fees"] - one["sell_fees"] - one["fixed"]
    assert one["max_profit"] == pytest.approx(parts)
    # 5 bp on each leg leave what crosses by more than 10 bp: 3 by 30 and 1 by 20.
    assert one["max_size"] == pytest.approx(0.004)


def test_the_profit_halves_when_the_first_level_goes() -> None:
    rows = TWO + at(7, 0, (9_990, 10), (10_015, 2)) + at(12, 0, (9_990, 10), (10_100, 1))
    (one,) = found(rows).iter_rows(named=True)
    assert one["half_ms"] == 5.0
    assert one["end_profit"] < one["start_profit"] / 2
    assert one["max_at"] == one["start"]


@pytest.mark.parametrize(
    ("event", "end"),
    [
        ({"kind": GAP, "flags": LAST, "instrument": 1, "ts_recv": 9 * MS}, 9 * MS),
        ({"kind": STATUS, "flags": LAST, "instrument": 1, "price": 0, "ts_recv": 9 * MS}, 9 * MS),
        ({"kind": 3, "flags": LAST, "instrument": 1, "ts_recv": 20 * SECOND}, 5 * SECOND + 1 * MS + 1),
    ],
    ids=["unsynchronised", "halted", "stale"],
)
def test_a_cross_ends_when_a_book_does_not_count(event: dict[str, int], end: int) -> None:
    (one,) = found([*TWO, event]).iter_rows(named=True)
    assert (one["end"], one["censored"]) == (end, True)


def test_spot_against_a_perpetual_is_a_convergence_trade() -> None:
    instruments = [builtin("spot"), builtin("usdm")]
    rows = at(1, 0, (9_990, 10), (10_000, 10)) + at(2, 1, (1_010, 10), (1_011, 10)) + at(9, 1, (900, 10), (901, 10))
    frame = xb.Market(instruments).crosses(tape(rows, instruments), costs=0, fair_basis="none")
    assert frame["trade"].to_list() == ["convergence"]


def traded(rows: list[dict[str, int]], capital: list, **options) -> xb.crosses.Arbitrage:
    instruments = pair()
    return xb.Market(instruments).arbitrage(tape(rows, instruments), capital=capital, **({"costs": 0} | options))


def test_without_latency_a_trader_wins_what_the_cross_holds_as_far_as_his_capital_goes() -> None:
    rows = TWO + at(12, 0, (9_990, 10), (10_100, 1))
    made = traded(rows, [0, "0.82", 1_000])
    profit = made.surface["profit"].to_list()
    # A quarter of 0.82 is 0.205 in cash: 2 thousandths at 100.00, and as much of base currency bought at 100.40.
    assert profit == pytest.approx([0.0, 2 * 0.30 / 1_000, 1.7 / 1_000])
    assert made.surface["full"].to_list() == [0, 1, 1]


def test_a_cross_that_is_gone_when_the_orders_arrive_is_missed() -> None:
    rows = TWO + at(12, 0, (9_990, 10), (10_100, 1)) + at(13, 1, (9_000, 1), (10_040, 9)) + at(100, 0, (1, 1), (2, 1))
    made = traded(rows, [1_000], latency_ms=[0, 9, 10, 11])
    # At 10 ms the ask is gone but the bid is there; at 11 ms both are.
    assert made.surface["full"].to_list() == [1, 1, 0, 0]
    assert made.surface["missed"].to_list() == [0, 0, 0, 1]
    late = made.surface.row(2, named=True)
    # 10 thousandths sold, none bought: bought back 10 ms later at 100.40, of 9, and the last at the last ask of all.
    assert late["partial"] == 1
    assert late["volume"] == 0
    assert late["unhedged"] == pytest.approx(-late["profit"])
    assert late["profit"] < 0


def test_size_that_was_taken_is_not_there_again_until_its_price_was_empty() -> None:
    again = [*TWO]
    for ts in range(3, 30):
        again += at(ts, 1, (10_030, 3), (10_040, 9))
    once = traded([*TWO, *at(30, 0, (1, 1), (10_100, 1))], [1_000]).surface.row(0, named=True)
    still = traded([*again, *at(30, 0, (1, 1), (10_100, 1))], [1_000]).surface.row(0, named=True)
    assert still["profit"] == pytest.approx(once["profit"])
    fresh = [
        *TWO,
        *at(5, 0, (9_990, 10), (10_100, 1)),
        *at(6, 1, (9_000, 3), (10_040, 9)),
        *at(7, 0, (9_990, 10), (10_000, 4)),
    ]
    fresh += at(8, 1, (10_030, 3), (10_040, 9)) + at(30, 0, (1, 1), (10_100, 1))
    twice = traded(fresh, [1_000]).surface.row(0, named=True)
    assert twice["full"] == 2
    assert twice["profit"] > once["profit"]


def test_holdings_are_what_the_fills_left() -> None:
    made = traded(TWO + at(12, 0, (9_990, 10), (10_100, 1)), [1_000])
    rows = {row["instrument"]: row for row in made.holdings.iter_rows(named=True)}
    moved = {name: row["base_after"] - row["base_before"] for name, row in rows.items()}
    assert moved == pytest.approx({"binance-spot": 0.010, "okx": -0.010})
    cash = sum(row["cash_after"] - row["cash_before"] for row in rows.values())
    assert cash == pytest.approx(made.surface["profit"][0])


def test_holdings_given_by_name_limit_each_venue() -> None:
    rows = TWO + at(12, 0, (9_990, 10), (10_100, 1))
    made = traded(rows, [{"binance-spot": (1_000, 0), "okx": (0, "0.004")}])
    assert made.surface["volume"].to_list() == pytest.approx([0.004])


@pytest.mark.parametrize("seed", range(4))
def test_the_model_finds_the_same_crosses_and_makes_the_same_trades(seed: int) -> None:
    crosses, tried = check(seed, 12_500)
    assert crosses > 200
    assert tried > 100


# Delays.


def test_a_view_delay_shows_crosses_later_and_orders_meet_the_books_as_they_are_by_then() -> None:
    rows = TWO + at(12, 0, (9_990, 10), (10_100, 1)) + at(40, 0, (9_990, 10), (10_101, 1))
    made = traded(rows, [1_000], view_delay_ms=4, order_delay_ms={"okx": 3.0}, latency_ms=[0, 3, 6])
    # What crosses from 2 to 12 ms is seen from 6 to 16 ms.
    assert made.crosses.select("start", "end").rows() == [(6 * MS, 16 * MS)]
    # Buying arrives at 6, 9 and 12 ms: at 12 the ask is gone, while selling finds its bid.
    assert made.surface["full"].to_list() == [1, 1, 0]
    assert made.surface["partial"].to_list() == [0, 0, 1]
    assert made.delays.select("instrument", "median_ms").rows() == [(i.name, 4.0) for i in pair()]


def test_delays_drawn_are_the_same_for_a_seed_and_lie_among_the_samples() -> None:
    samples = np.array([1.0, 5.0, 20.0])
    rows = five(0, 2_000)
    market, options = xb.Market(FIVE, costs=0), {"capital": [40], "latency_ms": [0, 5]}

    def surface(seed: int) -> pl.DataFrame:
        return market.arbitrage(
            xb.Tape(rows, FIVE), order_delay_ms=samples, view_delay_ms=samples, seed=seed, **options
        ).surface

    assert surface(1).equals(surface(1))
    assert not surface(1).equals(surface(2))
    happened, seen, stated = view_delays([xb.Tape(rows, FIVE)], FIVE, delay_ms=samples, seed=3)
    assert set((seen - happened) // MS) == {1, 5, 20}
    assert stated["median_ms"].to_list() == [5.0] * 5


def test_empirical_delays_are_those_beyond_the_fastest_message_or_a_known_offset() -> None:
    rows = [
        {"kind": 3, "ts_recv": ts * MS, "ts_event": event * MS, "flags": LAST}
        for ts, event in ((1_010, 10), (1_025, 20), (1_040, 0), (1_100, 97))
    ]
    instruments = pair()
    happened, seen, stated = view_delays([tape(rows, instruments)], instruments)
    assert (seen // MS).tolist() == [1_010, 1_025, 1_040, 1_100]
    # Delays of 0, 5, as before, 3 ms.
    assert ((seen - happened) / MS).tolist() == [0, 5, 5, 3] or ((seen - happened) / MS).tolist() == [7, 12, 12, 10]
    (row,) = stated.iter_rows(named=True)
    assert (row["events"], row["untimed"]) == (4, 1)
    known, _, _ = view_delays([tape(rows, instruments)], instruments, clock_offset_ms={"binance-spot": 990})
    assert ((seen - known) / MS).tolist() == [10, 15, 15, 13]
    with pytest.raises(xb.DataError, match="exchange time"):
        view_delays([tape(TWO, instruments)], instruments)


# Properties.


@pytest.mark.parametrize("seed", range(3))
def test_on_one_cross_that_only_shrinks_profit_rises_with_capital_and_falls_with_latency(seed: int) -> None:
    """Where nothing feeds back: one cross, liquidity that only goes, and a market that closes legs at no gain."""
    rng = np.random.default_rng(seed)
    asks = [(1, 10_000 + n, int(rng.integers(2, 40))) for n in range(8)]
    bids = [(0, 10_012 - n, int(rng.integers(2, 40))) for n in range(8)]
    rows = book(1, 0, [(0, 9_000, 500), *asks]) + book(2, 1, [*bids, (1, 11_000, 500)])
    for step in range(8):
        # The best level of either side goes, every millisecond.
        rows += levels([(1, asks[step][1], 0)], 10 + step, ts_recv=(3 + step) * MS)
        rows += levels([(0, bids[step][1], 0)], 10 + step, ts_recv=(3 + step) * MS, instrument=1)
    capital, latency = [0, 1, 5, 20, 100, 1_000], [0, 0.5, 1.5, 2.5, 3.5]
    surface = traded(rows, capital, latency_ms=latency).surface
    # With orders under way for less than it takes the first level to go, and for longer: gross of unmatched legs.
    for _, one in surface.filter(pl.col("latency_ms") < 1).group_by("latency_ms"):
        assert one.sort("capital")["profit"].is_sorted()
    for _, one in surface.group_by("capital"):
        matched = one.sort("latency_ms").select(pl.col("gross"))["gross"].to_list()
        assert matched[0] == pytest.approx(matched[1])
        assert all(later <= matched[0] + 1e-12 for later in matched)
    assert surface.filter(capital=0)["profit"].to_list() == [0.0] * len(latency)
    assert surface.filter(capital=0)["tried"].sum() == 0


def test_no_cross_and_no_size_is_ever_below_zero_and_costs_only_take() -> None:
    tape_ = xb.Tape(five(5, 6_000), FIVE)
    frames = [xb.Market(FIVE, costs=fee).crosses(tape_) for fee in (0, 1, 3)]
    total = [frame["duration_ms"].sum() for frame in frames]
    assert total == sorted(total, reverse=True)
    for frame in frames:
        assert (frame.select(pl.col("^.*_size$").min()).row(0)) >= (0.0,) * 4
        assert (frame["max_profit"] >= frame["start_profit"]).all()
        assert (frame["max_profit"] >= frame["best_profit"]).all()
        parts = frame["gross"] - frame["buy_fees"] - frame["sell_fees"] - frame["fixed"]
        assert (parts - frame["max_profit"]).abs().max() == pytest.approx(0, abs=1e-9)
        assert (frame["rounding"] >= 0).all()


# What is refused.


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"pairs": [("binance-spot", "nowhere")]}, xb.DataError, "nowhere"),
        ({"pairs": [("okx", "okx")]}, xb.DataError, "two instruments"),
        ({"pairs": []}, xb.DataError, "two venues"),
        ({"costs": math.nan}, xb.DataError, "finite"),
        ({"costs": 20_000}, xb.DataError, "between"),
        ({"fair_basis": "nope"}, xb.DataError, "fair_basis"),
    ],
)
def test_rules_out_of_range_are_typed_errors(options: dict, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        found(TWO, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"capital": []}, "at least one"),
        ({"capital": [-1]}, "zero or more"),
        ({"capital": [math.inf]}, "finite"),
        ({"capital": ["x"]}, "finite"),
        ({"capital": [{"okx": 5}]}, "cash, base"),
        ({"capital": [{"okx": (5, -1)}]}, "zero or more"),
        ({"capital": [1], "latency_ms": [-1]}, "0 to"),
        ({"capital": [1], "latency_ms": [math.nan]}, "0 to"),
        ({"capital": [1], "order_delay_ms": np.array([])}, "at least one number"),
        ({"capital": [1], "order_delay_ms": {"nowhere": 1}}, "nowhere"),
        ({"capital": [1], "view_delay_ms": "guess"}, "empirical"),
        ({"capital": [1], "view_delay_ms": "empirical"}, "exchange time"),
    ],
)
def test_traders_out_of_range_are_typed_errors(options: dict, says: str) -> None:
    with pytest.raises(xb.DataError, match=says):
        traded(TWO, **options)


def test_no_events_and_one_venue_give_nothing_or_say_so() -> None:
    assert found([]).height == 0
    made = traded([], [5])
    assert made.crosses.height == 0
    assert made.surface["profit"].to_list() == [0.0]
    one = pair()[:1]
    with pytest.raises(xb.DataError, match="at least two venues"):
        xb.Market(one).crosses(tape([], one))
    with pytest.raises(xb.DataError, match="expected a tape"):
        xb.Market(pair()).crosses(7)


def test_times_that_run_back_and_extreme_prices_do_no_harm() -> None:
    low, high = -(2**63), 2**63 - 1
    rows = at(5, 0, (9_990, 10), (10_000, 10)) + at(3, 1, (10_030, 10), (10_040, 10)) + at(9, 1, (1, 1), (2, 1))
    assert found(rows)["start"].to_list() == [5 * MS]
    for bid, ask in ((low, high), (high, low), (high, high), (0, 0)):
        odd = at(1, 0, (bid, high), (ask, high)) + at(2, 1, (high, high), (1, high)) + at(3, 1, (5, 1), (6, 1))
        try:
            traded(odd, [10**20])
        except xb.MarketError as error:
            assert "127 bits" in str(error)  # noqa: PT017


def test_a_rate_that_moves_opens_and_closes_crosses_and_its_spread_is_stated() -> None:
    usdt, usd = spot("binance-spot"), spot("okx", symbol="BTCUSD", quote="USD", settle="USD")
    rate = spot("kraken", symbol="USDTUSD", base="USDT", quote="USD", price_unit="0.0001", size_unit="1", lot="1")
    instruments = [usdt, usd, rate]
    market = xb.Market(instruments, quote="USD", fx={"USDT": rate}, costs=0)

    def change(ts: int, bid: int, ask: int) -> list[dict[str, int]]:
        return at(ts, 2, (bid, 10**6), (ask, 10**6))

    rows = change(1, 9_990, 10_010) + at(2, 0, (9_990, 10), (10_000, 10)) + at(3, 1, (10_005, 10), (10_015, 10))
    # 100.00 USDT cost 100.10 USD at first; at 0.9990 they cost 99.90, and one sells for 100.05.
    rows += change(10, 9_988, 9_990) + change(20, 9_995, 10_010) + at(21, 0, (9_990, 10), (10_000, 10))
    frame = market.crosses(tape(rows, instruments), fair_basis="none")
    (one,) = frame.iter_rows(named=True)
    assert (one["buy"], one["sell"], one["trade"]) == ("binance-spot", "okx", "convergence")
    assert (one["start"], one["end"]) == (10 * MS, 20 * MS)
    assert one["start_profit"] == pytest.approx(0.010 * (100.05 - 100 * 0.9990))
    # Half of 0.0002 USD a USDT on 1 USDT, which is 0.010 at 100.
    assert one["conversion"] == pytest.approx(0.0001 * 0.010 * 100)


def test_an_inverse_contract_counts_in_base_currency_rounded_down() -> None:
    inverse = json.loads(builtin("coinm").to_json()) | {"price_unit": "0.1"}
    instruments = [spot("binance-spot", size_unit="0.00000001", lot=None), xb.Instrument.from_json(json.dumps(inverse))]
    market = xb.Market(instruments, quote="USDT", fx={"USD": "1"}, costs=0)
    rows = at(1, 0, (5_900_000, 10**9), (6_000_000, 10**9)) + at(2, 1, (600_700, 7), (600_800, 7))
    rows += at(9, 1, (1, 1), (2, 1))
    (one,) = market.crosses(tape(rows, instruments), fair_basis="none").iter_rows(named=True)
    # 7 contracts of 100 USD at 60,070 are 0.011653071… BTC.
    size = 700 * 10**8 // 60_070 / 10**8
    assert one["max_size"] == pytest.approx(size, rel=1e-12)
    assert one["max_profit"] == pytest.approx(size * 70)
