from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study import (
    backtest_pair,
    backtest_summary,
    engle_granger,
    johansen,
    kalman_hedge,
    sample_pair,
    simulate_ou,
)

MS = 1_000_000
START = 1_700_000_000_000_000_000


def cointegrated(count: int, seed: int, ratio: float = 1.5) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.standard_normal(count)) * 0.01
    return pl.DataFrame({"primary": x, "secondary": 0.3 + ratio * x + rng.standard_normal(count) * 0.005})


def walks(count: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame({n: np.cumsum(rng.standard_normal(count)) for n in ("primary", "secondary")})


def test_a_tied_pair_is_found_with_its_ratio_and_two_walks_are_not():
    found = engle_granger(cointegrated(1000, 1))
    assert found["dependent"].to_list() == ["secondary", "primary"]
    assert found["ratio"].to_list() == pytest.approx([1.5, 1 / 1.5], rel=0.02)
    assert found["intercept"][0] == pytest.approx(0.3, abs=0.01)
    assert (found["p"] < 0.001).all()
    ranks = johansen(cointegrated(1000, 1))
    assert ranks["trace"][0] > ranks["trace_99"][0]
    assert ranks["ratio"][0] == pytest.approx(1.5, rel=0.02)
    rejected = [engle_granger(walks(200, seed), lags=1)["p"][0] < 0.05 for seed in range(40)]
    assert sum(rejected) <= 6  # 2 expected of 40


def test_the_statistics_are_those_of_statsmodels():
    from statsmodels.tsa.stattools import coint
    from statsmodels.tsa.vector_ar.vecm import coint_johansen

    pair = cointegrated(400, 2)
    x, y = pair["primary"].to_numpy(), pair["secondary"].to_numpy()
    statistic, p, critical = coint(y, x)
    row = engle_granger(pair).row(0, named=True)
    assert (row["statistic"], row["p"]) == (pytest.approx(statistic), pytest.approx(p))
    assert [row["critical_1"], row["critical_5"], row["critical_10"]] == pytest.approx(list(critical))
    ours, theirs = johansen(pair, lags=2), coint_johansen(np.column_stack([y, x]), 0, 2)
    assert ours["trace"].to_list() == pytest.approx(list(theirs.lr1))
    assert ours["maximum_95"].to_list() == pytest.approx(list(theirs.cvm[:, 1]))


def test_a_moving_ratio_is_followed_and_a_still_one_is_the_regression():
    rng = np.random.default_rng(3)
    count = 5000
    x = 10 + np.cumsum(rng.standard_normal(count)) * 0.05
    beta = 1 + np.cumsum(rng.standard_normal(count)) * 0.002
    y = 2 + beta * (x - x[0]) + rng.standard_normal(count) * 0.01
    found = kalman_hedge(pl.DataFrame({"primary": x, "secondary": y}))
    tail = found.tail(4000)
    off = (tail["beta"].to_numpy() - beta[-4000:]) / tail["beta_se"].to_numpy()
    assert np.abs(off).mean() < 1.2
    assert (np.abs(off) < 2).mean() > 0.9
    assert tail["z"].std() == pytest.approx(1.0, abs=0.05)
    assert tail["z"].mean() == pytest.approx(0.0, abs=0.05)
    pair = cointegrated(2000, 4)
    still = kalman_hedge(pair, noise=2.5e-5, step=(0.0, 0.0), first=(0.0, 0.0), doubt=(1e4, 1e4))
    slope = np.polyfit(pair["primary"].to_numpy(), pair["secondary"].to_numpy(), 1)[0]
    assert still["beta"][-1] == pytest.approx(slope, rel=1e-6)
    # The regression's own standard error, at the true noise.
    x = pair["primary"].to_numpy()
    assert still["beta_se"][-1] == pytest.approx(0.005 / math.sqrt(((x - x.mean()) ** 2).sum()), rel=1e-6)


def test_the_filter_is_the_plain_one_and_that_of_statsmodels():
    from statsmodels.tsa.statespace.mlemodel import MLEModel

    pair, noise, step = cointegrated(300, 6), 2.5e-5, np.array([1e-6, 1e-8])
    first, doubt = np.array([1.0, 0.1]), np.array([0.5, 0.2])
    found = kalman_hedge(pair, noise=noise, step=tuple(step), first=tuple(first), doubt=tuple(doubt), warm_up=10)
    y = pair["secondary"].to_numpy()
    design = np.column_stack([pair["primary"].to_numpy() - pair["primary"][0], np.ones(y.size)])
    state, covariance, total = first, np.diag(doubt), 0.0
    for k in range(y.size):
        covariance = covariance + np.diag(step)
        variance = design[k] @ covariance @ design[k] + noise
        innovation = y[k] - design[k] @ state
        gain = covariance @ design[k] / variance
        state, covariance = state + gain * innovation, covariance - np.outer(gain, design[k] @ covariance)
        total -= 0.5 * (math.log(2 * math.pi * variance) + innovation**2 / variance)
        row = found.row(k, named=True)
        assert (row["beta"], row["alpha"]) == pytest.approx(tuple(state), rel=1e-9)
        assert row["beta_se"] == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-7)
        assert row["z"] == pytest.approx(innovation / math.sqrt(variance), rel=1e-7, abs=1e-9)
    assert found["log_likelihood"][0] == pytest.approx(total, rel=1e-10)
    # statsmodels' state is that of the first row, a step after our guess.
    model = MLEModel(y, k_states=2)
    model["design"], model["transition"], model["selection"] = design.T[None], np.eye(2), np.eye(2)
    model["state_cov"], model["obs_cov"] = np.diag(step), np.array([[noise]])
    model.ssm.initialize_known(first, np.diag(doubt + step))
    theirs = model.ssm.filter()
    assert found["beta"].to_numpy() == pytest.approx(theirs.filtered_state[0], rel=1e-9)
    assert found["log_likelihood"][0] == pytest.approx(theirs.llf, rel=1e-9)


def test_the_rows_that_a_first_guess_comes_from_do_not_count_twice():
    rng = np.random.default_rng(7)
    x = rng.standard_normal(100)
    pair = pl.DataFrame({"primary": x, "secondary": 2 * x + rng.standard_normal(100)})
    found = kalman_hedge(pair, noise=1.0, step=(0.0, 0.0), warm_up=98)
    own = 1 / math.sqrt(((x - x.mean()) ** 2).sum())
    assert found["beta_se"][-1] == pytest.approx(own, rel=0.02)


def test_nothing_later_than_a_row_is_used_when_the_variances_are_given():
    pair = cointegrated(500, 5)
    options = {"noise": 2.5e-5, "step": (1e-6, 1e-8)}
    whole, part = kalman_hedge(pair, **options), kalman_hedge(pair.head(300), **options)
    assert whole.head(300).drop("log_likelihood").equals(part.drop("log_likelihood"))


def test_pairs_are_sampled_at_the_last_value_at_or_before_each_step():
    def quotes(rows):
        return pl.DataFrame(rows, schema=["ms", "mid"], orient="row").select(
            ts_recv=START + pl.col("ms").cast(pl.Int64) * MS, mid=pl.col("mid").cast(pl.Float64)
        )

    primary = quotes([(0, 10.0), (5, 11.0), (20, None), (25, 12.0), (40, 13.0)])
    secondary = quotes([(3, 20.0), (23, 21.0), (40, 22.0), (50, 1.0)])
    found = sample_pair(primary, secondary, every_ms=10, log=False)
    assert ((found["ts"] - START) // MS).to_list() == [3, 13, 33]
    assert found["primary"].to_list() == [10.0, 11.0, 12.0]
    assert found["secondary"].to_list() == [20.0, 20.0, 21.0]
    assert sample_pair(primary, secondary, every_ms=10)["primary"][1] == pytest.approx(math.log(11))
    for bad, expected in [
        ((primary.head(0), secondary), "at least one row"),
        ((primary.drop("mid"), secondary), "column mid"),
        ((primary, secondary.with_columns(ts_recv=pl.col("ts_recv") + 10**12)), "shared"),
        ((primary, secondary.with_columns(mid=-pl.col("mid"))), "positive"),
    ]:
        with pytest.raises(DataError, match=expected):
            sample_pair(*bad)
    with pytest.raises(DataError, match="every_ms"):
        sample_pair(primary, secondary, every_ms=0)


def test_unusable_pairs_say_what_was_expected():
    pair = cointegrated(200, 1)
    holes = pair.with_columns(primary=pl.lit(float("nan")))
    still = pair.with_columns(primary=pl.lit(1.0))
    copies = pair.with_columns(secondary=2 * pl.col("primary"))
    for test in (engle_granger, johansen, kalman_hedge):
        for frame, expected in [
            (pair.head(0), "at least"),
            (pair.head(1), "at least"),
            (holes, "finite values"),
            (still, "values that move"),
            (pair.drop("primary"), "missing"),
        ]:
            with pytest.raises(DataError, match=expected):
                test(frame)
    for test in (engle_granger, johansen):
        with pytest.raises(DataError, match="a multiple of the other"):
            test(copies)
    with pytest.raises(DataError, match="lags of 0 or more"):
        johansen(pair, lags=-1)
    with pytest.raises(DataError, match="noise"):
        kalman_hedge(pair, noise=-1.0, step=(0.0, 0.0))
    with pytest.raises(DataError, match="warm_up"):
        kalman_hedge(pair, warm_up=2)
    with pytest.raises(DataError, match="expected as many"):
        _core.kalman_hedge(np.ones(3), np.ones(2), first=(0, 0), doubt=(1, 1), step=(0, 0), noise=1)


def touches(rows: list[tuple[float, float | None, float | None]]) -> pl.DataFrame:
    """Rows of milliseconds, bid, ask."""
    frame = pl.DataFrame(rows, schema={"ms": pl.Float64, "bid": pl.Float64, "ask": pl.Float64}, orient="row")
    return frame.select(
        ts_recv=START + (pl.col("ms") * MS).cast(pl.Int64),
        bid="bid",
        ask="ask",
        bid_size=pl.lit(3.0),
        ask_size=pl.lit(2.0),
    )


PRIMARY = touches([(0, 99.9, 100.1), (1000, 99.9, 100.1)])
SECONDARY = touches(
    [(0, 99.8, 100.2), (100, 100.8, 101.2), (110, 100.6, 101.0), (300, 99.8, 100.2), (1000, 99.8, 100.2)]
)


def test_a_trade_by_hand():
    found = backtest_pair(PRIMARY, SECONDARY, upper_bp=90, lower_bp=-90, fees_bp=(1.0, 2.0))
    row = found.row(0, named=True)
    assert found.height == 1
    assert row["side"] == -1
    assert ((row["decided"] - START) / MS, (row["opened"] - START) / MS) == (100, 100)
    assert ((row["close_decided"] - START) / MS, (row["closed"] - START) / MS) == (300, 300)
    assert row["open_spread_bp"] == pytest.approx(1e4 * math.log(1.01))
    # Sold 1/101 of the secondary at 100.8, bought back at 100.2; bought 1/100 of the primary at 100.1, sold at 99.9.
    assert row["gross_bp"] == pytest.approx(1e4 * 1 / 101)
    assert row["crossing_bp"] == pytest.approx(1e4 * (0.4 / 101 + 0.2 / 100))
    assert row["fees_bp"] == pytest.approx((100.8 + 100.2) / 101 * 2 + (100.1 + 99.9) / 100 * 1)
    assert row["net_bp"] == pytest.approx(row["gross_bp"] - row["crossing_bp"] - row["fees_bp"])
    assert row["hold_ms"] == 200.0
    assert row["available"] == 2.0  # the primary's offer of 2 against the secondary's bid of 3
    assert not row["marked"]


def test_costs_are_those_of_the_costs_module_fixed_parts_over_the_notional():
    from crossbook import costs

    levels = {"upper_bp": 90.0, "lower_bp": -90.0}
    plain = backtest_pair(PRIMARY, SECONDARY, **levels, fees_bp=(1.0, 2.0))
    same = (costs.Fees(maker_bp=0, taker_bp=1), costs.Fees(maker_bp=0, taker_bp=2))
    assert backtest_pair(PRIMARY, SECONDARY, **levels, costs=same).equals(plain)
    gas = costs.Gas(used=100_000, priority_fee=10**9)
    state = costs.State(base_fee=19 * 10**9, native_ask=2_000)
    dear = (same[0], same[1] + gas)
    found = backtest_pair(PRIMARY, SECONDARY, **levels, costs=dear, state=state, notional=10_000.0)
    # 100,000 gas at 20 gwei and 2,000 a coin are 4 in quote currency, on the way in and out: 8 of 10,000.
    assert found["fees_bp"].item() == pytest.approx(plain["fees_bp"].item() + 8.0)
    with pytest.raises(DataError, match="found both"):
        backtest_pair(PRIMARY, SECONDARY, **levels, costs=same, fees_bp=(1.0, 1.0))
    with pytest.raises(DataError, match="notional"):
        backtest_pair(PRIMARY, SECONDARY, **levels, notional=0.0)


def test_latency_takes_the_touch_that_holds_when_the_order_arrives_each_leg_at_its_own_time():
    found = backtest_pair(PRIMARY, SECONDARY, upper_bp=90, lower_bp=-90, latency_ms=(5.0, 20.0))
    row = found.row(0, named=True)
    assert (row["opened"] - START) / MS == 120
    assert (row["closed"] - START) / MS == 320
    # 20 ms later the secondary's bid is 100.6 and its mid 100.8.
    assert row["gross_bp"] == pytest.approx(1e4 * 0.8 / 100.8)
    assert row["crossing_bp"] == pytest.approx(1e4 * (0.4 / 100.8 + 0.2 / 100))


def test_an_order_that_arrives_while_a_touch_is_unknown_waits_for_it():
    hole = touches([(0, 99.8, 100.2), (100, 100.8, 101.2), (105, None, 101.0), (150, 100.5, 100.9), (300, 99.8, 100.2)])
    row = backtest_pair(PRIMARY, hole, upper_bp=90, lower_bp=-90, latency_ms=(0.0, 10.0)).row(0, named=True)
    assert (row["opened"] - START) / MS == 150
    assert row["crossing_bp"] == pytest.approx(1e4 * (0.4 / 100.7 + 0.2 / 100))


def test_a_position_open_at_the_end_is_marked_at_the_last_touches():
    row = backtest_pair(PRIMARY, SECONDARY, upper_bp=90, lower_bp=-90, close_short_bp=-50.0).row(0, named=True)
    assert row["marked"]
    assert (row["closed"] - START) / MS == 1000


def test_turning_around_opens_where_it_closes():
    up, down = (100.8, 101.2), (98.8, 99.2)
    swings = touches([(0, 99.8, 100.2), *[(100 * k, *(up if k % 2 else down)) for k in range(1, 7)], (1000, *down)])
    found = backtest_pair(PRIMARY, swings, upper_bp=90, lower_bp=-90, close_short_bp=-90, close_long_bp=90)
    assert found["side"].to_list() == [-1, 1, -1, 1, -1, 1]
    assert found["opened"].to_list()[1:] == found["closed"].to_list()[:-1]
    assert found["marked"].to_list() == [False] * 5 + [True]


def test_on_a_simulated_spread_costs_and_delay_only_take_away():
    rng = np.random.default_rng(6)
    count = 40_000
    times = START + (np.arange(count) * 50 * MS)
    x = np.cumsum(rng.standard_normal(count)) * 1e-5
    spread = simulate_ou(times, speed=0.5, mean=0.0, sigma=1e-3, seed=2)["value"].to_numpy()

    def frame(mid: np.ndarray) -> pl.DataFrame:
        return pl.DataFrame({"ts_recv": times, "bid": mid * (1 - 1e-5), "ask": mid * (1 + 1e-5)})

    primary, secondary = frame(100 * np.exp(x)), frame(100 * np.exp(x + spread))
    levels = {"upper_bp": 10.0, "lower_bp": -10.0}
    free = backtest_summary(backtest_pair(primary, secondary, **levels)).row(0, named=True)
    dear = backtest_summary(backtest_pair(primary, secondary, **levels, fees_bp=(1.0, 1.0))).row(0, named=True)
    late = backtest_summary(backtest_pair(primary, secondary, **levels, latency_ms=(500.0, 500.0))).row(0, named=True)
    assert free["trades"] > 100
    assert free["trades"] == dear["trades"]
    assert dear["net_bp"] == pytest.approx(free["net_bp"] - 4.0 * free["trades"], rel=1e-2)
    assert late["mean_bp"] < free["mean_bp"] - 1
    assert free["mean_lo"] < free["mean_bp"] < free["mean_hi"]
    # Each trade comes in from 10 bp or more to the mean or past it, and pays four half spreads of 0.1 bp.
    assert free["mean_bp"] > 9.6
    assert free["crossing_bp"] == pytest.approx(0.4 * free["trades"], rel=0.01)
    assert free["hit_rate"] > 0.95


def test_without_a_signal_there_is_an_empty_frame_and_a_summary_of_nulls():
    found = backtest_pair(PRIMARY, SECONDARY, upper_bp=500, lower_bp=-500)
    assert found.height == 0
    row = backtest_summary(found).row(0, named=True)
    assert (row["trades"], row["net_bp"], row["mean_bp"], row["drawdown_bp"]) == (0, 0.0, None, 0.0)
    apart = SECONDARY.with_columns(ts_recv=pl.col("ts_recv") - 10**15)
    # The secondary's last touch still holds when the primary's first comes.
    assert backtest_pair(PRIMARY, apart, upper_bp=90, lower_bp=-90).height == 0


def test_unusable_options_say_what_was_expected():
    good = {"upper_bp": 10.0, "lower_bp": -10.0}
    for change, expected in [
        ({"upper_bp": -20.0}, "lower_bp < upper_bp"),
        ({"close_short_bp": 10.0}, "close_short_bp < upper_bp"),
        ({"upper_bp": math.nan}, "finite"),
        ({"hedge": 0.0}, "hedge above 0"),
        ({"latency_ms": (-1.0, 0.0)}, "latencies of 0"),
    ]:
        with pytest.raises(DataError, match=expected):
            backtest_pair(PRIMARY, SECONDARY, **(good | change))
    for frame, expected in [
        (PRIMARY.drop("bid"), "primary: expected columns"),
        (PRIMARY.head(0), "at least one touch"),
        (PRIMARY.with_columns(bid=pl.lit(None, pl.Float64)), "at least one touch"),
    ]:
        with pytest.raises(DataError, match=expected):
            backtest_pair(frame, SECONDARY, **good)
    with pytest.raises(DataError, match="missing columns"):
        backtest_summary(pl.DataFrame({"net_bp": [1.0]}))
