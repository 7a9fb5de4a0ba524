"""Order-flow imbalance, its bars and regressions, and the quote that an order met."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from conftest import builtin, tape
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.errors import DataError
from crossbook.study import (
    cross_flow,
    flow_bars,
    flow_levels,
    flow_regression,
    integrated_flow,
    integrated_weights,
    order_flow,
    prevailing_quotes,
    queue_imbalance,
    queue_imbalance_curve,
    quote_flow,
)
from crossbook.study.least_squares import clustered, hac_lags, least_squares

MS, S = 1_000_000, 1_000_000_000
START = 1_700_000_000 * S
CLEAR, LEVEL, GAP = 0, 1, 13
LAST, SNAPSHOT = 1, 2


def level(ts: int, side: int, price: int, size: int, flags: int = LAST) -> dict[str, int]:
    return {"ts_event": ts, "ts_recv": ts, "kind": LEVEL, "side": side, "price": price, "size": size, "flags": flags}


def quotes(rows: list[tuple[float, float, float, float]], step: int = MS) -> pl.DataFrame:
    ts = START + step * np.arange(len(rows))
    frame = pl.DataFrame(rows, schema=dict.fromkeys(["bid", "bid_size", "ask", "ask_size"], pl.Float64), orient="row")
    return frame.with_columns(ts_recv=ts, ts_event=ts, mid=(pl.col("bid") + pl.col("ask")) / 2)


def bars(flow: np.ndarray, returns: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"ts": np.arange(flow.size), "ofi": flow, "return_bp": returns})


def test_flow_of_a_tape_is_in_base_currency_and_starts_after_the_snapshot() -> None:
    rows = [
        {"ts_recv": START, "ts_event": START, "kind": CLEAR, "flags": SNAPSHOT},
        level(START, 0, 100, 50_000_000, SNAPSHOT),
        level(START, 0, 99, 70_000_000, SNAPSHOT),
        level(START, 1, 102, 100_000_000, SNAPSHOT),
        level(START, 1, 103, 40_000_000, SNAPSHOT | LAST),
        level(START + 1, 0, 101, 200_000_000),  # a better bid of 2
        level(START + 2, 1, 102, 0),  # the best ask leaves: what is left of two levels is one
        {"ts_recv": START + 3, "ts_event": START + 3, "kind": GAP, "sequence": 1, "flags": LAST},
    ]
    found = order_flow(tape(rows), levels=2)
    assert found["start"].to_list() == [True, False, False, True]
    # Spot counts 1e-8. The second bid is 0.5 at a better price; the second ask is gone, and with it what is known.
    assert found["ofi_1"].to_list() == [0.0, 2.0, 1.0, 0.0]
    assert found["ofi_2"].to_list() == [0.0, 0.5, None, 0.0]
    assert found["mid"].to_list() == [pytest.approx(x) if x else None for x in (1.01, 1.015, 1.02, None)]
    assert found["depth"][1] == pytest.approx(2.0 + 0.5 + 1.0 + 0.4)
    halves = [tape(rows[:3]), tape(rows[3:])]
    assert order_flow(halves, levels=2).equals(found)
    # With sizes the same, and what each rank shows: 0 where there is no level, null where it is not known.
    shown = order_flow(halves, levels=2, sizes=True)
    assert shown.select(found.columns).equals(found)
    assert shown["bid_size_1"].to_list() == [0.5, 2.0, 2.0, None]
    assert shown["bid_size_2"].to_list() == [pytest.approx(0.7), 0.5, None, None]
    assert shown["ask_size_1"].to_list() == [1.0, 1.0, pytest.approx(0.4), None]
    assert shown.columns[-4:] == ["bid_size_1", "bid_size_2", "ask_size_1", "ask_size_2"]
    with pytest.raises(DataError, match="1 to 10 levels"):
        order_flow(tape(rows), levels=11)
    with pytest.raises(DataError, match="expected an index below 1"):
        order_flow(tape(rows), instrument=1)
    with pytest.raises(DataError, match="expected at least one tape"):
        order_flow([])
    with pytest.raises(DataError, match="expected one of"):
        order_flow(tape(rows), instrument="usdm")


def test_contracts_become_base_currency_at_the_mid() -> None:
    rows = [level(START, 0, 600_000, 3), level(START, 1, 600_010, 3), level(START + 1, 0, 600_000, 8)]
    found = order_flow(tape(rows, [builtin("coinm")]), levels=1)
    assert found["ofi_1"][-1] == pytest.approx(5 * 100 / 60_000.5)


steps = st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(1, 3), st.integers(0, 4))


@settings(max_examples=50)
@given(st.lists(steps, min_size=1, max_size=40))
def test_flow_between_quotes_is_equation_2_of_the_paper(rows: list[tuple[int, int, int, int]]) -> None:
    table = [(100 + bid, size, 100 + bid + gap, other) for bid, size, gap, other in rows]
    found = quote_flow(quotes(table))
    for k, (row, one) in enumerate(zip(table, found.iter_rows(named=True), strict=True)):
        before = table[k - 1] if k else (0, 0, 0, 0)
        known = k > 0 and min(row[1], row[3], before[1], before[3]) > 0
        assert one["start"] is not known
        e = (row[0] >= before[0]) * row[1] - (row[0] <= before[0]) * before[1]
        e += (row[2] >= before[2]) * before[3] - (row[2] <= before[2]) * row[3]
        assert one["ofi_1"] == (e if known else 0)


def test_bars_sum_flow_and_leave_out_what_is_not_known() -> None:
    flow = quote_flow(quotes([(100, 1, 101, 1), (100, 3, 101, 1), (101, 2, 102, 1), (101, 2, 102, 4)]))
    found = flow_bars(flow, every_ms=2, start=START, end=START + 5 * MS)
    assert found["ts"].to_list() == [START + 2 * MS, START + 4 * MS]
    assert found["events"].to_list() == [2, 1]
    # +2, then a bid of 2 at a better price and the ask of 1 that left; then 3 more on the ask.
    assert found["ofi_1"].to_list() == [2 + 2 + 1, -3]
    assert found["return_bp"].to_list() == [pytest.approx(1e4 * math.log(101.5 / 100.5)), 0.0]
    assert found["depth"].to_list() == [pytest.approx((4 + 3) / 2 / 2), 3.0]
    empty = flow_bars(flow, every_ms=1, start=START + 3 * MS, end=START + 5 * MS)
    assert (empty["events"].to_list(), empty["ofi_1"].to_list(), empty["depth"].to_list()) == ([0, 0], [0, 0], [3, 3])
    broken = quote_flow(quotes([(100, 1, 101, 1), (100, 0, 101, 1), (100, 1, 101, 1), (100, 2, 101, 1)]))
    found = flow_bars(broken, every_ms=1)
    assert found["ofi_1"].to_list() == [None, None, 1.0]
    assert found["return_bp"].to_list() == [None, None, 0.0]
    assert flow_bars(flow, every_ms=60_000).height == 0
    assert flow_bars(flow, every_ms=1, start=START - 2 * MS, end=START)["mid"].to_list() == [None, 100.5]
    for options, expected in [
        ({"every_ms": 0}, "every_ms"),
        ({"clock": "other"}, "clock: expected one of"),
    ]:
        with pytest.raises(DataError, match=expected):
            flow_bars(flow, **options)
    with pytest.raises(DataError, match="at most"):
        flow_bars(flow, every_ms=0.001, end=START + 60 * S)
    with pytest.raises(DataError, match="at least one row"):
        flow_bars(flow.head(0))
    with pytest.raises(DataError, match="columns ofi_1"):
        flow_bars(flow.drop("ofi_1"))


def test_weights_are_the_first_principal_component_of_scaled_flow() -> None:
    rng = np.random.default_rng(1)
    truth = np.array([0.5, 0.3, 0.2])
    common = rng.standard_normal((4000, 1)) * truth / np.linalg.norm(truth)
    x = 5 * (common + rng.standard_normal((4000, 3)) * 0.1)
    frame = pl.DataFrame({f"ofi_{k + 1}": x[:, k] for k in range(3)}).with_columns(depth=5.0)
    found = integrated_weights(frame)
    assert found["weight"].to_numpy() == pytest.approx(truth, abs=0.01)
    assert found["weight"].abs().sum() == pytest.approx(1.0)
    values = np.linalg.eigvalsh(np.cov(x, rowvar=False))
    assert found["explained"][0] == pytest.approx(values[-1] / values.sum())
    whole = integrated_flow(frame)
    assert whole["ofi"].to_numpy() == pytest.approx(x @ found["weight"].to_numpy() / 5)
    assert integrated_flow(frame.select("ofi_1", "depth"))["ofi"][0] == pytest.approx(x[0, 0] / 5)
    with pytest.raises(DataError, match="at least 5 bars"):
        integrated_weights(frame.head(4))
    with pytest.raises(DataError, match="moves"):
        integrated_weights(frame.with_columns(ofi_1=1.0, ofi_2=1.0, ofi_3=1.0))
    with pytest.raises(DataError, match="expected levels"):
        integrated_flow(frame, weights=found.head(2))


def levelled(rows: int = 600, levels: int = 3) -> pl.DataFrame:
    """Bars in which each level's flow moves the price, the deeper the less."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((rows, 1)) + rng.standard_normal((rows, levels))
    move = x @ (1.0 / np.arange(1, levels + 1)) + rng.standard_normal(rows)
    columns = {f"ofi_{k + 1}": 5 * x[:, k] for k in range(levels)}
    return pl.DataFrame({"ts": np.arange(rows), **columns, "depth": 5.0, "return_bp": move})


def test_what_levels_explain_is_what_statsmodels_says() -> None:
    import statsmodels.api as sm

    frame = levelled()
    found = flow_levels(frame)
    assert found["flow"].to_list() == ["best levels"] * 3 + ["integrated"]
    assert found["levels"].to_list() == [1, 2, 3, 3]
    y = frame["return_bp"].to_numpy()
    whole = integrated_flow(frame)
    for row, columns in zip(found.iter_rows(named=True), (["ofi_1"], ["ofi_1", "ofi_2"], None, ["ofi"]), strict=True):
        names = columns or ["ofi_1", "ofi_2", "ofi_3"]
        scale = 1.0 if names == ["ofi"] else 5.0
        fit = sm.OLS(y, sm.add_constant(whole.select(names).to_numpy() / scale)).fit()
        assert row["r2"] == pytest.approx(fit.rsquared, rel=1e-9)
        assert row["adjusted_r2"] == pytest.approx(fit.rsquared_adj, rel=1e-9)
        assert row["lo"] < row["adjusted_r2"] < row["hi"]
        if names == ["ofi"]:
            assert row["coefficient"] == pytest.approx(fit.params[1], rel=1e-9)
            # The jackknife of independent errors is about as wide as theirs.
            assert (row["coefficient_hi"] - row["coefficient"]) / (2.09 * fit.bse[1]) == pytest.approx(1, abs=0.4)
        else:
            assert row["coefficient"] is None
    assert found["adjusted_r2"][:3].is_sorted()
    # The interval is the jackknife's: blocks left out one by one, by hand.
    alone = [
        flow_levels(frame.filter((pl.col("ts") // 30) != k).with_columns(ofi_1="ofi_1"))["adjusted_r2"][1]
        for k in range(20)
    ]
    off = 2.0930240544 * math.sqrt(19 / 20 * float(((np.array(alone) - found["adjusted_r2"][1]) ** 2).sum()))
    assert found["hi"][1] - found["adjusted_r2"][1] == pytest.approx(off, rel=1e-6)


def test_one_level_is_its_own_integrated_flow_and_what_cannot_be_is_refused() -> None:
    frame = levelled(levels=1)
    best, whole = flow_levels(frame).iter_rows(named=True)
    assert best["r2"] == pytest.approx(whole["r2"])
    holes = pl.concat([frame, frame.head(3).with_columns(ofi_1=None)])
    assert flow_levels(holes)["observations"][0] == 600
    for bad, message in (
        (frame.head(39), "at least 40 bars"),
        (frame.with_columns(return_bp=1.0), "vary"),
        (frame.with_columns(ofi_1=0.0), "vary"),
        (frame.drop("depth"), "missing columns"),
        (frame.drop("ofi_1"), "expected columns ofi_1"),
        (frame.with_columns(ofi_2=2 * pl.col("ofi_1")), "repeats the others'"),
    ):
        with pytest.raises(DataError, match=message):
            flow_levels(bad)
    with pytest.raises(DataError, match="5 blocks or more"):
        flow_levels(frame, blocks=4)


def dependent(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, e = rng.standard_normal((2, rows))
    for k in range(1, rows):
        x[k] += 0.5 * x[k - 1]
        e[k] += 0.5 * e[k - 1]
    return x, e


def test_errors_are_those_of_statsmodels() -> None:
    import statsmodels.api as sm

    x, e = dependent(300, 2)
    z = np.random.default_rng(3).standard_normal(300)
    y = 1 + 2 * x - z + e * (1 + np.abs(x))
    ours = least_squares(y, [x, z], lags=6)
    theirs = sm.OLS(y, sm.add_constant(np.column_stack([x, z]))).fit(
        cov_type="HAC", cov_kwds={"maxlags": 6, "use_correction": True}, use_t=True
    )
    assert ours.coefficients == pytest.approx(theirs.params, rel=1e-10)
    assert ours.errors == pytest.approx(theirs.bse, rel=1e-10)
    assert (ours.r2, ours.adjusted_r2) == (pytest.approx(theirs.rsquared), pytest.approx(theirs.rsquared_adj))
    test = theirs.f_test(np.eye(3)[1:])
    assert ours.wald([1, 2]) == (pytest.approx(float(test.fvalue)), pytest.approx(float(test.pvalue)))
    plain = least_squares(y, [x], lags=0, constant=False)
    white = sm.OLS(y, x[:, None]).fit(cov_type="HC1")
    assert (plain.errors[0], plain.r2) == (pytest.approx(white.bse[0]), pytest.approx(white.rsquared))
    groups = np.arange(300) // 25
    robust = sm.OLS(y, x[:, None]).fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    covariance, count = clustered(np.array([[x @ x]]), (x * (y - x * plain.coefficients[0]))[:, None], groups)
    assert count == 12
    assert covariance[0, 0] == pytest.approx(robust.bse[0] ** 2 * 12 / 11)
    assert hac_lags(300) == 5
    table = flow_regression(pl.DataFrame({"ofi": x, "other": z, "return_bp": y}), columns=["ofi", "other"], lags=6)
    assert table["coefficient"].to_numpy() == pytest.approx(theirs.params)
    assert table["lo"].to_numpy() == pytest.approx(theirs.conf_int()[:, 0])


def test_unusable_regressions_are_typed_errors() -> None:
    x, e = dependent(50, 4)
    good = bars(x, e)
    for frame, options, expected in [
        (good.drop("ofi"), {}, "missing"),
        (good.head(3), {}, "at least 4"),
        (good.with_columns(ofi=1.0), {}, "collinear"),
        (good.with_columns(ofi=0.0), {}, "0 throughout"),
        (good.with_columns(return_bp=2.0), {}, "constant"),
        (good.with_columns(two=pl.col("ofi") * 3), {"columns": ["ofi", "two"]}, "collinear"),
        (good, {"lags": 50}, "lags"),
        (good, {"level": 1.0}, "level"),
        (good.with_columns(ofi=pl.lit(math.inf)), {}, "finite"),
    ]:
        with pytest.raises(DataError, match=expected):
            flow_regression(frame, **options)
    gaps = good.with_columns(ofi=pl.when(pl.col("ts") > 20).then("ofi"))
    assert flow_regression(gaps)["observations"][0] == 29


def test_what_the_primary_adds_is_found_and_its_absence_too() -> None:
    rng = np.random.default_rng(5)
    own, other, e = rng.standard_normal((3, 2000))
    added = bars(own, 0.5 * own + 0.3 * other + e)
    row = cross_flow(bars(other, other), added).row(0, named=True)
    assert row["primary_lo"] < 0.3 < row["primary_hi"]
    assert row["own_lo"] < 0.5 < row["own_hi"]
    truth = 0.09 / (1 + 0.25 + 0.09)
    assert row["incremental_lo"] < truth < row["incremental_hi"]
    assert row["incremental_r2"] == pytest.approx(row["r2"] - row["own_r2"])
    assert row["f_p"] < 1e-6
    nothing = cross_flow(bars(other, other), bars(own, 0.5 * own + e)).row(0, named=True)
    assert nothing["f_p"] > 0.01
    assert nothing["incremental_lo"] == 0.0
    late = cross_flow(bars(other, other), bars(own, np.concatenate([[0.0], other[:-1]]) + e), ahead=1, history=1)
    assert late["primary_beta"][0] == pytest.approx(1.0, abs=0.1)
    assert late["observations"][0] == 1998
    assert cross_flow(bars(other, other), added, seed=1).equals(cross_flow(bars(other, other), added, seed=1))
    with pytest.raises(DataError, match="collinear"):
        cross_flow(added, added)
    with pytest.raises(DataError, match="shared bars"):
        cross_flow(bars(other, other).with_columns(ts=pl.col("ts") + 10**6), added)
    with pytest.raises(DataError, match="several"):
        cross_flow(bars(other, other), pl.concat([added, added]))
    with pytest.raises(DataError, match="primary: missing"):
        cross_flow(added.drop("ofi"), added)
    with pytest.raises(DataError, match="history"):
        cross_flow(added, added, history=-1)


def test_the_next_move_is_counted_once_a_move_by_the_queues_after_the_one_before() -> None:
    rows = [(100, 1, 101, 1), (101, 9, 102, 1), (101, 8, 102, 2), (102, 1, 103, 9), (101, 1, 102, 1)]
    found = queue_imbalance(quotes([*rows, (101, 0, 102, 0)]))
    assert found["queue_imbalance"].to_list() == [0.0, 0.8, 0.6, -0.8, 0.0, None]
    curve = queue_imbalance_curve(quotes(rows), bins=2)
    assert curve["moves"].to_list() == [1, 1]
    assert curve["ups"].to_list() == [0, 1]
    assert curve["imbalance"].to_list() == [-0.8, 0.8]
    empty = queue_imbalance_curve(quotes(rows[:1]), bins=2)
    assert empty["up"].to_list() == [None, None]
    with pytest.raises(DataError, match="bins"):
        queue_imbalance_curve(quotes(rows), bins=0)
    with pytest.raises(DataError, match="missing"):
        queue_imbalance(quotes(rows).drop("bid_size"))


def orders(rows: list[tuple[int, int, float, int]]) -> pl.DataFrame:
    """Received, side, price, the exchange's time."""
    return pl.DataFrame(
        [(START + MS * at, side, price, event) for at, side, price, event in rows],
        schema={"ts_recv": pl.Int64, "side": pl.Int8, "price": pl.Float64, "ts_event": pl.Int64},
        orient="row",
    ).with_columns(size=1.0)


def test_an_order_whose_trade_comes_late_met_the_quote_that_shows_its_price() -> None:
    # The ask of 101 is bought at 10 ms: the quote says so at once, the trade comes at 14 ms.
    table = quotes([(100, 1, 101, 1), (101, 1, 103, 1)], step=10 * MS).with_columns(ts_event=pl.lit(0, pl.Int64))
    found = prevailing_quotes(orders([(14, 1, 101.0, 5)]), table).row(0, named=True)
    assert (found["mid"], found["matched"], found["at"]) == (100.5, "price", START + 10 * MS)
    old = prevailing_quotes(orders([(14, 1, 101.0, 5)]), table, window_ms=2).row(0, named=True)
    assert (old["mid"], old["matched"]) == (102.0, "time")
    # A trade before its quote: the first that shows the price, within the window.
    early = prevailing_quotes(orders([(5, 1, 103.0, 5)]), table).row(0, named=True)
    assert (early["mid"], early["matched"], early["at"]) == (102.0, "price", START + 5 * MS)
    # Both carry the exchange's own time.
    timed = table.with_columns(ts_event=pl.Series([START, START + 9 * MS]))
    exact = prevailing_quotes(orders([(14, 1, 103.0, START + 9 * MS)]), timed).row(0, named=True)
    assert (exact["mid"], exact["matched"]) == (100.5, "engine")
    guessed = timed.with_columns(imputed=True)
    assert prevailing_quotes(orders([(14, 1, 103.0, START + 9 * MS)]), guessed)["matched"].to_list() == ["price"]
    # A sweep's first fill counts, a side that is unknown is matched by time.
    sweep = orders([(14, 1, 101.0, 5), (14, 1, 105.0, 5), (15, 0, 101.0, 6)])
    both = prevailing_quotes(sweep, table)
    assert both["first_price"].to_list() == [101.0, 101.0]
    assert both["price"].to_list() == [103.0, 101.0]
    assert both["matched"].to_list() == ["price", "time"]
    before = prevailing_quotes(orders([(-500, 1, 7.0, 5)]), table).row(0, named=True)
    assert (before["mid"], before["matched"]) == (None, None)
    assert prevailing_quotes(sweep.head(0), table).height == 0
    assert prevailing_quotes(sweep, table.head(0))["mid"].to_list() == [None, None]
    assert prevailing_quotes(sweep, table.drop("bid", "ask"))["matched"].to_list() == ["time", "time"]
    with pytest.raises(DataError, match="bid and ask"):
        prevailing_quotes(sweep, table.drop("bid", "mid"))
    with pytest.raises(DataError, match="window_ms"):
        prevailing_quotes(sweep, table, window_ms=-1)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 2)), min_size=1, max_size=25),
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from([-1, 1]), st.integers(98, 106)), min_size=1, max_size=15),
    st.integers(0, 80),
)
def test_the_quote_met_is_that_of_a_search_through_all(rows, trades, window) -> None:
    table = quotes([(100 + bid, 1, 100 + bid + gap, 1) for bid, gap in rows], step=10 * MS)
    table = table.with_columns(ts_event=pl.lit(0, pl.Int64))
    # Each trade an order of its own.
    frame = orders([(at, side, float(price), k + 1) for k, (at, side, price) in enumerate(sorted(trades))])
    found = prevailing_quotes(frame, table, window_ms=window)
    ts, bid, ask = (table[name].to_list() for name in ("ts_recv", "bid", "ask"))
    for row in found.iter_rows(named=True):
        at, opposite = row["ts_recv"], ask if row["side"] > 0 else bid
        ends = [*ts[1:], math.inf]
        earlier = [k for k in range(len(ts)) if ts[k] <= at and opposite[k] == row["first_price"]]
        fits = earlier and ends[earlier[-1]] >= at - window * MS
        later = [k for k in range(len(ts)) if at < ts[k] <= at + window * MS and opposite[k] == row["first_price"]]
        last = [k for k in range(len(ts)) if ts[k] < at]
        k = earlier[-1] if fits else later[0] if later else last[-1] if last else None
        assert row["mid"] == (None if k is None else (bid[k] + ask[k]) / 2)
