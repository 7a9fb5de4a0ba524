"""Crosses at the touch, decided to the last unit."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path

import polars as pl
import pytest
from conftest import builtin, write

import crossbook as xb
from crossbook import _core
from crossbook.errors import DataError
from crossbook.study import cross_ladder, cross_share, crosses, default_fair_basis, find_crosses

SPOT, USDM = builtin("spot"), builtin("usdm")
BOTH = [SPOT, USDM]
SECOND = 1_000_000_000


def path(*rows: tuple[int, int, int, int]) -> pl.DataFrame:
    """Touches as (ts, instrument, bid, ask), in units: 0.01 on spot, 0.1 on USD-M."""
    schema = {"ts": pl.Int64, "instrument": pl.UInt32, "bid": pl.Int64, "ask": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def fees(spot: float, usdm: float) -> dict[str, float]:
    return {SPOT.name: spot, USDM.name: usdm}


def test_equality_after_fees_is_no_cross_and_one_unit_more_is() -> None:
    # Sell at 100.0 less 1 %: 99.00. Buying at 99.00 gives nothing, at 98.99 one cent.
    for ask, edge in ((9_900, None), (9_899, 0.01 / 98.99 * 1e4)):
        touches = path((1, 0, 9_000, ask), (2, 1, 1_000, 1_001), (5_000_002, 0, 9_000, 20_000))
        found = crosses(touches, BOTH, fees_bp=fees(0, 100), fair_basis="none")
        assert found.height == (edge is not None)
        if edge is not None:
            (row,) = found.iter_rows(named=True)
            assert (row["buy"], row["sell"], row["start"], row["end"]) == ("binance-spot", "binance-usdm", 2, 5_000_002)
            assert (row["duration_ms"], row["best_at"], row["censored"]) == (5.0, 2, False)
            assert row["best_edge_bp"] == pytest.approx(edge)
            assert row["direction"] == "buy binance-spot, sell binance-usdm"


def test_the_buyers_fee_counts_on_the_price_paid() -> None:
    # 100.00 bought plus 1 % costs exactly 101.00.
    touches = path((1, 1, 1_010, 1_011), (2, 0, 1, 10_000), (3, 0, 1, 9_999), (4, 0, 1, 20_000))
    found = crosses(touches, BOTH, fees_bp=fees(100, 0), fair_basis="none")
    assert found.select("start", "end").rows() == [(3, 4)]


def test_a_cross_ends_censored_where_a_touch_is_lost_or_the_data_end() -> None:
    lost = path((1, 0, 9_000, 9_001), (2, 1, 1_000, 1_001), (7, 1, 0, 0), (9, 1, 900, 901))
    assert crosses(lost, BOTH, fees_bp=fees(0, 0), fair_basis="none").select("start", "end", "censored").rows() == [
        (2, 7, True)
    ]
    found = find_crosses(lost[:2], BOTH, fees_bp=fees(0, 0), fair_basis="none", end=50)
    assert found.own.select("start", "end", "censored").rows() == [(2, 50, True)]
    assert found.observed_s == pytest.approx(48e-9)


def test_the_ladder_counts_fall_as_fees_rise_and_shares_are_of_observed_time() -> None:
    rows = [
        (t * SECOND, t % 2, *((9_990 + t, 10_000 + t) if t % 2 == 0 else (1_000 + t % 13, 1_001 + t % 13)))
        for t in range(400)
    ]
    found = cross_ladder(path(*rows), BOTH, fair_basis="none")
    assert found["fee_bp"].unique().sort().to_list() == [float(step) for step in range(16)]
    for _, one in found.group_by("direction"):
        ordered = one.sort("fee_bp")
        assert ordered["total_ms"].is_sorted(descending=True)
        assert ordered["best_edge_bp"].drop_nulls().is_sorted(descending=True)
        assert ordered["time_share"].is_between(0, 1).all()
    free = found.filter(fee_bp=0.0)
    assert free["count"].sum() > 0


def test_a_ladder_of_hundreds_of_rungs_keeps_them_apart_from_the_own_fees() -> None:
    touches = path((1, 0, 9_000, 9_001), (2, 1, 1_000, 1_001), (9, 1, 800, 801))
    found = find_crosses(
        touches, BOTH, fees_bp=fees(0, 0), ladder_bp=[step / 100 for step in range(300)], fair_basis="none"
    )
    assert found.own.height == 1
    counted = found.ladder.filter(pl.col("direction") == "buy binance-spot, sell binance-usdm")
    assert counted["count"].to_list() == [1] * 300


def test_a_lasting_premium_is_no_cross_against_its_own_median() -> None:
    rows = [
        (t * SECOND // 10, t % 2, *((1_000_000, 1_000_100) if t % 2 == 0 else (101_000, 101_001))) for t in range(300)
    ]
    none = crosses(path(*rows), BOTH, fees_bp=fees(0, 0), fair_basis="none")
    median = crosses(path(*rows), BOTH, fees_bp=fees(0, 0), fair_basis="rolling_median")
    assert (none.height, median.height) == (1, 0)


def test_before_ten_seconds_of_past_the_rolling_median_knows_nothing() -> None:
    rows = [
        (t * SECOND // 10, t % 2, *((1_000_000, 1_000_100) if t % 2 == 0 else (101_000, 101_001))) for t in range(90)
    ]
    assert find_crosses(path(*rows), BOTH, fair_basis="rolling_median").observed_s == 0
    share = cross_ladder(path(*rows), BOTH, fair_basis="rolling_median")["time_share"]
    assert share.null_count() == share.len()


def test_contracts_and_currencies_decide_the_default_fair_basis() -> None:
    assert default_fair_basis(SPOT, SPOT) == "none"
    assert default_fair_basis(SPOT, USDM) == "rolling_median"
    usd = xb.Instrument.from_json(json.dumps(json.loads(SPOT.to_json()) | {"symbol": "BTCUSD", "quote": "USD"}))
    assert default_fair_basis(SPOT, usd) == "rolling_median"
    december = xb.Instrument.from_json(json.dumps(json.loads(USDM.to_json()) | {"delivery": "241227"}))
    assert default_fair_basis(USDM, december) == "rolling_median"
    assert default_fair_basis(december, december) == "none"


def spans(*rows: tuple[int, int]) -> pl.DataFrame:
    """Crosses as (start, end), in seconds."""
    frame = pl.DataFrame(rows, schema={"start": pl.Int64, "end": pl.Int64}, orient="row")
    return (frame * SECOND).with_columns(direction=pl.lit("buy a, sell b"))


def watched(*rows: tuple[int, int]) -> pl.DataFrame:
    """A basis as (ts, held), in seconds."""
    return pl.DataFrame(rows, schema={"ts": pl.Int64, "held_ns": pl.Int64}, orient="row") * SECOND


def test_the_share_of_time_crossed_carries_an_interval_of_its_blocks() -> None:
    found, basis = spans(*[(20 * n, 20 * n + n % 3) for n in range(30)]), watched((0, 300), (300, 300))
    share, lo, hi = cross_share(found, basis, fair_basis="none")
    assert share == pytest.approx(30 / 600)
    assert lo is not None
    assert hi is not None
    assert 0 < lo < share < hi < 0.1
    assert cross_share(found, basis, fair_basis="none") == (share, lo, hi)
    assert cross_share(found, basis, fair_basis="none", seed=1) != (share, lo, hi)


def test_time_in_which_a_touch_is_unknown_or_the_median_warms_up_is_not_observed() -> None:
    found = spans((20, 25))
    assert cross_share(found, watched((0, 30), (80, 20)), fair_basis="none")[0] == pytest.approx(5 / 50)
    assert cross_share(found, watched((0, 30), (80, 20)), fair_basis="rolling_median")[0] == pytest.approx(5 / 40)
    # A cross from end to end of each block: nothing to vary.
    assert cross_share(spans((0, 100)), watched((0, 100)), fair_basis="none") == (1.0, 1.0, 1.0)


def test_no_cross_gives_no_interval_and_no_time_no_share() -> None:
    assert cross_share(spans(), watched((0, 100)), fair_basis="none") == (0.0, None, None)
    assert cross_share(spans(), watched(), fair_basis="none") == (None, None, None)
    assert cross_share(spans(), watched((0, 5)), fair_basis="rolling_median") == (None, None, None)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fees_bp": {"x": 1.0}}, "fees_bp"),
        ({"fees_bp": fees(math.nan, 0)}, "fees"),
        ({"fees_bp": fees(math.inf, 0)}, "fees"),
        ({"fees_bp": fees(10_000, 0)}, "fees"),
        ({"fees_bp": fees(-1e300, 0)}, "fees"),
        ({"fair_basis": "nope"}, "fair_basis"),
        ({"fair_basis": "funding"}, "expected Funding events"),
    ],
)
def test_rules_out_of_range_are_typed_errors(options: dict, says: str) -> None:
    touches = path((1, 0, 9_000, 9_001), (2, 1, 1_000, 1_001))
    with pytest.raises(xb.Error, match=says):
        crosses(touches, BOTH, **options)


def test_times_that_run_back_and_missing_columns_are_refused() -> None:
    with pytest.raises(DataError, match="row 1 runs back"):
        crosses(path((2, 0, 1, 2), (1, 1, 1, 2)), BOTH)
    with pytest.raises(DataError, match="missing"):
        crosses(path((2, 0, 1, 2)).drop("bid"), BOTH)
    with pytest.raises(DataError, match="two instruments"):
        crosses(path((2, 0, 1, 2)), [SPOT])


def test_no_touches_give_no_crosses() -> None:
    assert crosses(path(), BOTH).height == 0
    assert cross_ladder(path(), BOTH)["count"].sum() == 0


def test_a_known_funding_premium_is_fair_and_what_exceeds_it_is_not() -> None:
    hours = 3_600 * SECOND
    due = pl.DataFrame({"ts": [0], "instrument": [1], "rate": [10**8], "due": [8 * hours]})  # 1 % eight hours ahead
    options = {"fees_bp": fees(0, 0), "fair_basis": "funding", "funding": due}
    # Half-way 0.5 % is left: against 100.00 anything above 100.50 is a cross.
    fair = path((4 * hours, 0, 9_999, 10_000), (4 * hours, 1, 1_005, 1_006), (5 * hours, 1, 1, 2))
    over = path((4 * hours, 0, 9_999, 10_000), (4 * hours, 1, 1_006, 1_007), (5 * hours, 1, 1, 2))
    assert crosses(fair, BOTH, **options).filter(pl.col("buy") == "binance-spot").height == 0
    found = crosses(over, BOTH, **options).filter(pl.col("buy") == "binance-spot")
    assert found["best_edge_bp"].to_list() == pytest.approx([(100.6 / 100.5 - 1) * 1e4], rel=1e-4)


@pytest.mark.parametrize("with_marks", [True, False])
def test_funding_comes_from_mark_prices_of_the_capture(tmp_path: Path, with_marks: bool) -> None:
    ms, eight = 1_700_000_000_000, 8 * 3_600_000
    mark = {
        "e": "markPriceUpdate",
        "E": ms,
        "s": "BTCUSDT",
        "p": "101.0",
        "i": "100.0",
        "r": "0.01000000",
        "T": ms + eight,
    }

    def quote(at: int, u: int, bid: str, ask: str) -> str:
        body = {"u": u, "s": "BTCUSDT", "b": bid, "B": "1", "a": ask, "A": "1"}
        return f"{(ms + at) * 1_000_000} {json.dumps({'stream': 'btcusdt@bookTicker', 'data': body})}"

    marks = [f"{ms * 1_000_000} {json.dumps({'stream': 'btcusdt@markPrice', 'data': mark})}"] if with_marks else []
    futures = [quote(1, 1, "100.9", "101.0"), quote(5, 2, "101.2", "101.3"), quote(9, 3, "100.9", "101.0")]
    futures = [text.replace('"u"', '"e":"bookTicker","u"') for text in futures]
    write(tmp_path / "usdm-btcusdt.gz", marks + futures)
    write(tmp_path / "spot-btcusdt.gz", [quote(1, 1, "99.98", "100.00"), quote(9, 2, "99.98", "100.00")])
    study = xb.Study(
        xb.open(tmp_path), primary="usdm", secondary="spot", fair_basis="funding", fees_bp={"usdm": 0, "spot": 0}
    )
    if not with_marks:
        with pytest.raises(DataError, match=r'fair_basis "funding": expected Funding events in the capture'):
            _ = study.crosses
        return
    (row,) = study.crosses.filter(pl.col("buy") == "binance-spot").iter_rows(named=True)
    assert (row["start"], row["end"]) == ((ms + 5) * 1_000_000, (ms + 9) * 1_000_000)
    assert row["best_edge_bp"] == pytest.approx((101.2 / 101.0 - 1) * 1e4, rel=1e-3)


EDGE = 2**62 - 1


@pytest.mark.parametrize(
    "rows",
    [
        [(-EDGE, 0, 9_000, 9_001), (-EDGE, 1, 1_000, 1_001), (EDGE, 1, 1_000, 1_001)],
        [(1, 0, 2**63 - 1, 2**63 - 1), (2, 1, 2**63 - 1, 2**63 - 1), (3, 1, 1, 1)],
        [(1, 0, -(2**63), -5), (2, 1, -7, 2**63 - 1)],
        [(1, 7, 1, 2)],
    ],
)
@pytest.mark.parametrize("basis", ["none", "rolling_median"])
def test_extreme_times_and_prices_are_survived(rows: list, basis: str) -> None:
    found = find_crosses(path(*rows), BOTH, fees_bp=fees(0, 0), fair_basis=basis, end=EDGE)
    assert found.observed_s >= 0
    assert (found.own["duration_ms"] >= 0).all()
    assert found.own["best_edge_bp"].is_finite().all()


@pytest.mark.parametrize(("ts", "end"), [(-(2**63), 0), (2**63 - 1, 0), (1, 2**63 - 1), (1, -(2**63))])
def test_times_whose_differences_overflow_are_refused(ts: int, end: int) -> None:
    with pytest.raises(DataError, match=r"within 2\^62 ns"):
        find_crosses(path((ts, 0, 1, 2)), BOTH, end=end)


@pytest.mark.parametrize(
    ("pair", "error"),
    [
        ((0, 5, "none", (1, 1, 1)), xb.MarketError),
        ((0, 0, "none", (1, 1, 1)), None),
        ((0, 1, "rolling_median", (-1, -1, -1)), None),
        ((0, 1, "rolling_median", (0, 0, 0)), None),
        ((0, 1, "rolling_median", (2**63 - 1, 2**63 - 1, -(2**63))), None),
    ],
)
def test_odd_pairs_and_windows_never_panic(pair: tuple, error: type[Exception] | None) -> None:
    touches = path(*[(t, t % 2, 10_000 - 9_000 * (t % 2), 10_001 - 9_000 * (t % 2)) for t in range(1, 50)])

    def run() -> None:
        columns = [touches[name].to_numpy() for name in touches.columns]
        _core.crosses(
            *columns, instruments=BOTH, fees=[0, 0], ladder=[], pairs=[pair], perpetual=[False, True], funding=[], end=0
        )

    if error is None:
        with contextlib.suppress(xb.Error):
            run()
    else:
        with pytest.raises(error):
            run()
