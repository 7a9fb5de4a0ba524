from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study import (
    even_rows,
    event_projections,
    flow_rows,
    local_projections,
    permanent_and_temporary,
    split_projections,
)
from crossbook.study.quotes import quotes

MS, START = 1_000_000, 1_700_000_000_000_000_000


def rows(count: int = 400, seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    x, z = rng.standard_normal((2, count))
    y = np.cumsum(0.5 * x + rng.standard_normal(count)) + 0.7 * x
    return pl.DataFrame(
        {"ts": START + np.arange(count) * 20 * MS, "y": y, "x": x, "z": z, "calm": rng.uniform(size=count) < 0.5}
    )


def by_statsmodels(frame: pl.DataFrame, h: int, *, lags: int, overlap: int, base: int | None = -1) -> tuple:
    """The regression of one horizon written out: `y(t+h) - y(t+base)` on x, z and their lags and those of Δy."""
    import statsmodels.api as sm

    y, x, z = (frame[name].to_numpy() for name in "yxz")
    first, after = lags + 1, max(h, base or 0)
    t = np.arange(first, frame.height - after)
    dy = np.diff(y, prepend=y[0])
    columns = [x[t], z[t]]
    for lag in range(1, lags + 1):
        columns += [x[t - lag], z[t - lag], dy[t - lag]]
    fit = sm.OLS(y[t + h] - y[t + base], sm.add_constant(np.column_stack(columns))).fit(
        cov_type="HAC", cov_kwds={"maxlags": overlap, "use_correction": True}, use_t=True
    )
    return fit.params[1], fit.bse[1], fit.conf_int()[1]


@pytest.mark.parametrize(("errors", "overlap"), [("lag_augmented", 0), ("hac", 7)])
def test_coefficients_and_errors_are_those_of_statsmodels(errors, overlap):
    # statsmodels 0.15, OLS with HAC errors and the factor n / (n - k).
    frame = rows()
    found = local_projections(
        frame, outcome="y", shock="x", controls=["z"], lags=3, horizons=[0, 1, 9], errors=errors, overlap=overlap
    )
    assert found.columns == ["shock", "horizon", "horizon_ms", "effect", "se", "lo", "hi", "rows", "overlap"]
    assert found["horizon_ms"].to_list() == [0.0, 20.0, 180.0]
    for row in found.iter_rows(named=True):
        effect, error, ends = by_statsmodels(frame, row["horizon"], lags=3, overlap=overlap)
        assert row["effect"] == pytest.approx(effect, rel=1e-9)
        assert row["se"] == pytest.approx(error, rel=1e-9)
        assert [row["lo"], row["hi"]] == pytest.approx(list(ends), rel=1e-9)


def test_the_rule_for_overlapping_rows_is_twice_the_horizon_and_newey_and_wests():
    found = local_projections(rows(), outcome="y", shock="x", lags=0, horizons=[2, 10], errors="hac")
    assert found["overlap"].to_list() == [2 * 2 + 5, 2 * 10 + 5]  # 4 (399 / 100)^(2/9) = 5.4


def test_the_effect_of_a_known_flow_is_found_and_split_in_what_stays_and_passes():
    # y moves by 0.5 x for good and by 0.7 x in its own row only.
    frame = rows(40_000)
    found = local_projections(frame, outcome="y", shock="x", lags=2, horizons=[0, 5])
    assert found["effect"].to_list() == pytest.approx([1.2, 0.5], abs=0.06)
    parts = permanent_and_temporary(frame, outcome="y", shock="x", permanent=10, lags=2, horizons=[0, 5])
    assert parts["permanent"].to_list() == pytest.approx([0.5, 0.5], abs=0.06)
    assert parts["temporary"].to_list() == pytest.approx([0.7, 0.0], abs=0.06)
    assert parts.filter((pl.col("temporary_lo") > pl.col("temporary")).or_(pl.col("permanent_lo") > 0.5)).is_empty()


def test_the_temporary_part_is_the_regression_from_the_last_horizon():
    frame = rows()
    found = permanent_and_temporary(frame, outcome="y", shock="x", permanent=8, controls=["z"], lags=3, horizons=[2])
    effect, _, ends = by_statsmodels(frame, 2, lags=3, overlap=0, base=8)
    assert found["temporary"][0] == pytest.approx(effect, rel=1e-9)
    assert found["temporary_lo"][0] == pytest.approx(ends[0], rel=1e-9)


def test_several_shocks_hold_each_other_fixed_and_a_standard_deviation_is_one_of_the_rows_used():
    frame = rows()
    both = local_projections(frame, outcome="y", shock=["x", "z"], lags=3, horizons=[1])
    alone = local_projections(frame, outcome="y", shock="x", controls=["z"], lags=3, horizons=[1])
    assert both.filter(shock="x")["effect"][0] == pytest.approx(alone["effect"][0], rel=1e-9)
    scaled = local_projections(frame, outcome="y", shock="x", controls=["z"], lags=3, horizons=[1], standardise=True)
    assert scaled["effect"][0] == pytest.approx(alone["effect"][0] * np.std(frame["x"].to_numpy()[4:]), rel=1e-12)


def test_a_difference_between_states_is_found_and_none_is_not():
    rng = np.random.default_rng(5)
    count = 8_000
    calm = np.repeat(rng.uniform(size=count // 20) < 0.5, 20)
    x = rng.standard_normal(count)
    before = np.concatenate([[False], calm[:-1]])
    y = np.cumsum(np.where(before, 0.2, 0.8) * x + rng.standard_normal(count))
    frame = pl.DataFrame({"y": y, "x": x, "calm": calm})
    found = split_projections(frame, outcome="y", shock="x", by="calm", horizons=[1, 3])
    effects = {row["group"]: row["effect"] for row in found.filter(horizon=1).iter_rows(named=True)}
    assert effects == pytest.approx({"not calm": 0.8, "calm": 0.2}, abs=0.1)
    assert found["p_equal_any"][0] < 1e-6
    same = split_projections(frame.with_columns(y=pl.Series(np.cumsum(x + rng.standard_normal(count)))), outcome="y",
        shock="x", by="sign", horizons=[1, 3])  # fmt: skip
    assert same["group"].unique(maintain_order=True).to_list() == ["buy", "sell"]
    assert same["p_equal_any"][0] > 0.05


def test_sizes_split_the_shock_at_edges_and_two_groups_give_the_square_of_students_t():
    frame = rows(2_000)
    found = split_projections(frame, outcome="y", shock="x", by="size", edges=[0.5, 1.5], horizons=[1])
    assert found["group"].to_list() == ["0 to 0.5", "0.5 to 1.5", "from 1.5"]
    assert found["rows_in_group"].sum() == frame.height - 5
    two = split_projections(frame, outcome="y", shock="x", by="size", edges=[1.0], horizons=[1], lags=2)
    small = pl.when(pl.col("x").abs() < 1).then("x").otherwise(0.0)
    parts = frame.with_columns(large=pl.col("x") - small, small=small)
    alone = local_projections(parts, outcome="y", shock=["small", "large"], lags=2, horizons=[1], errors="hac")
    assert two["group"].to_list() == ["0 to 1", "from 1"]
    # The controls differ (lags of the whole and of the parts), so near is all that can be asked for.
    assert two["effect"].to_list() == pytest.approx(alone["effect"].to_list(), abs=0.1)
    assert 0 <= two["p_equal"][0] <= 1


@given(seed=st.integers(0, 10_000), overlap=st.integers(0, 40))
@settings(max_examples=15)
def test_the_covariance_of_the_first_regressors_alone_is_that_of_all(seed, overlap):
    rng = np.random.default_rng(seed)
    x = [rng.standard_normal(200) + 3 for _ in range(3)]
    y = np.cumsum(rng.standard_normal(200))
    whole = _core.projections(y, x, [0, 4], [overlap, overlap], base=-1)
    few = _core.projections(y, x, [0, 4], [overlap, overlap], base=-1, wanted=2)
    np.testing.assert_allclose(few[0][:, 1:], whole[0][:, 1:], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(few[1], whole[1][:, 1:3, 1:3], rtol=1e-7, atol=1e-14)


def test_events_far_apart_have_the_errors_of_white_and_those_of_one_instant_are_one_cluster():
    import statsmodels.api as sm

    rng = np.random.default_rng(2)
    at = START + np.arange(1, 301) * 1_000 * MS
    size = rng.standard_normal(300)
    times = START + np.arange(0, 310_000, 10) * MS
    values = np.cumsum(rng.standard_normal(times.size) * 0.1)
    series = pl.DataFrame({"ts_recv": times, "v": values})
    once = event_projections(
        pl.DataFrame({"ts_recv": at, "size": size}), series, regressors="size", value="v", transform="level",
        offsets_ms=[50], width_ms=1.0,
    )  # fmt: skip
    held = values[np.searchsorted(times, at + 50 * MS, "right") - 1] - values[np.searchsorted(times, at) - 1]
    fit = sm.OLS(held, sm.add_constant(size)).fit(cov_type="HC1")
    assert once["effect"][0] == pytest.approx(fit.params[1], rel=1e-9)
    assert once["se"][0] == pytest.approx(fit.bse[1], rel=1e-9)
    twice = pl.DataFrame({"ts_recv": np.repeat(at, 2), "size": np.repeat(size, 2)})
    doubled = event_projections(
        twice, series, regressors="size", value="v", transform="level", offsets_ms=[50], width_ms=1.0
    )
    # Each event said twice tells nothing new.
    assert doubled["se"][0] == pytest.approx(once["se"][0], rel=0.01)


def test_even_rows_hold_the_last_state_and_sum_the_flow_of_their_step():
    states = pl.DataFrame({"ts_recv": [5 * MS, 12 * MS, 30 * MS], "v": [1.0, 2.0, 3.0]})
    flows = pl.DataFrame({"ts_recv": [10 * MS, 11 * MS, 20 * MS, 21 * MS, 99 * MS], "q": [9.0, 1.0, 2.0, 4.0, 50.0]})
    found = even_rows(states={"v": (states, "v")}, flows={"q": (flows, "q")}, step_ms=10)
    assert found.rows() == [(10 * MS, 1.0, 9.0), (20 * MS, 2.0, 3.0), (30 * MS, 3.0, 4.0)]


def test_flow_rows_sign_every_flow_by_where_it_pushes():
    times = START + np.arange(1, 200) * 10 * MS
    rng = np.random.default_rng(3)
    bid = 100 + np.round(np.cumsum(rng.choice([-0.1, 0.0, 0.1], times.size)), 1)
    frame = quotes(
        pl.DataFrame(
            {"ts_recv": times, "ts_event": times, "bid": bid, "ask": bid + 0.1,
             "bid_size": rng.uniform(1, 9, times.size), "ask_size": rng.uniform(1, 9, times.size)}
        )
    )  # fmt: skip
    trades = pl.DataFrame(
        {"ts_recv": times[50:60], "ts_event": times[50:60], "side": [1] * 10, "price": 100.0, "size": 2.0}
    )
    found = flow_rows(frame, trades, frame, trades, step_ms=20)
    assert found["trades"].sum() == 20.0
    assert found["own_flow"].sum() == 20.0
    assert found["volatile"].dtype == pl.Boolean
    assert found.null_count().sum_horizontal().item() == 0
    assert {"mid_bp", "spread_bp", "bid_size", "ask_size", "ofi", "adds", "cancels"} <= set(found.columns)


BAD = {
    "no column": (lambda f: f.drop("x"), {}, "missing \\['x'\\]"),
    "empty": (lambda f: f.head(0), {}, "rows"),
    "one row": (lambda f: f.head(1), {}, "rows"),
    "too few rows": (lambda f: f.head(20), {}, "coefficients"),
    "null": (lambda f: f.with_columns(x=pl.when(pl.col("x") < 2).then("x")), {}, "finite"),
    "NaN": (lambda f: f.with_columns(y=pl.when(pl.col("z") < 2).then("y").otherwise(math.nan)), {}, "finite"),
    "constant": (lambda f: f.with_columns(x=pl.lit(1.0)), {}, "combinations"),
    "duplicated": (lambda f: f.with_columns(z=pl.col("x")), {"controls": ["z"]}, "combinations"),
    "unsorted": (lambda f: f.sort("z"), {}, "evenly"),
    "uneven": (lambda f: f.filter(pl.col("z") < 2), {}, "evenly"),
    "text": (lambda f: f.with_columns(x=pl.lit("a")), {}, "numbers"),
    "no lags": (lambda f: f, {"lags": 0}, "1 lags or more"),
    "horizon": (lambda f: f, {"horizons": [-1]}, "horizons"),
    "level": (lambda f: f, {"level": 1.0}, "level"),
    "errors": (lambda f: f, {"errors": "none"}, "errors"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_projected_says_why(name):
    change, options, message = BAD[name]
    with pytest.raises(DataError, match=message):
        local_projections(change(rows()), outcome="y", shock="x", **options)


def test_splits_and_events_that_cannot_be_say_why():
    frame = rows()
    for options, message in (
        ({"by": "nothing"}, "a column"),
        ({"by": "size", "groups": 1}, "groups"),
        ({"by": "size", "edges": [2.0, 1.0]}, "rising"),
        ({"by": "one"}, "two groups"),
        ({"by": "calm", "lags": 0, "errors": "hac"}, "one lag"),
    ):
        with pytest.raises(DataError, match=message):
            split_projections(frame.with_columns(one=pl.lit(True)), outcome="y", shock="x", **options)
    with pytest.raises(DataError, match="above the longest horizon"):
        permanent_and_temporary(frame, outcome="y", shock="x", permanent=3)
    events = pl.DataFrame({"ts_recv": START + np.arange(1, 50) * MS, "size": np.arange(49.0)})
    series = pl.DataFrame({"ts_recv": START + np.arange(100) * MS, "mid": 100.0 + np.arange(100)})
    late = events.with_columns(pl.col("ts_recv") + 10**12)
    for bad, other, message in (
        (events.head(0), series, "at least one observation"),
        (events, series.head(0), "at least one mid"),
        (late, series, "coefficients"),
        (events.with_columns(size=pl.lit(1.0)), series, "combinations"),
        (events.with_columns(size=pl.lit(None, pl.Float64)), series, "finite"),
        (events, series.with_columns(mid=pl.lit(-1.0)), "above 0"),
        (events.drop("ts_recv"), series, "ts_recv"),
    ):
        with pytest.raises(DataError, match=message):
            event_projections(bad, other, regressors="size", offsets_ms=[5])
    with pytest.raises(DataError, match="offsets"):
        event_projections(events, series, regressors="size", offsets_ms=[5, 1])


def test_streams_that_make_no_rows_say_why():
    one = pl.DataFrame({"ts_recv": [5 * MS], "v": [1.0]})
    two = pl.DataFrame({"ts_recv": [500 * MS], "v": [1.0]})
    for states, options, message in (
        ({}, {}, "one state"),
        ({"a": (one, "w")}, {}, "column w"),
        ({"a": (one.head(0), "v")}, {}, "found none"),
        ({"a": (one, "v"), "b": (two, "v")}, {}, "share some time"),
        ({"a": (one, "v")}, {"step_ms": 0.0}, "step_ms"),
        ({"a": (one, "v")}, {"flows": {"a": (one, "v")}}, "different names"),
        ({"a": (one.with_columns(v=pl.lit(math.inf)), "v")}, {}, "finite"),
    ):
        with pytest.raises(DataError, match=message):
            even_rows(**{"states": states, "step_ms": 10.0} | options)
