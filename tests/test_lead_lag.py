from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.lead_lag import lead_lag, lead_lag_both, lead_lag_summary

MS = 1_000_000
START = 1_700_000_000_000_000_000


def stream(times: np.ndarray, mid: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"ts_recv": times, "ts_event": times - 5 * MS, "mid": mid})


def walk(rng: np.random.Generator, *, seconds: float = 120.0, rate: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    size = int(seconds * rate)
    times = START + np.sort(rng.integers(0, int(seconds * 1e9), size))
    return times, 60_000 * np.exp(np.cumsum(rng.standard_normal(size)) * 1e-5)


def delayed(rng: np.random.Generator, lag_ms: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A primary, and a secondary that repeats it `lag_ms` later, give or take 5 ms and a little noise."""
    times, mid = walk(rng)
    later = np.sort(times + ((lag_ms + rng.uniform(-5, 5, times.size)) * MS).astype(np.int64))
    noise = np.exp(rng.standard_normal(times.size) * 2e-6)
    return stream(times, mid), stream(later, mid * noise)


observations = pytest.mark.parametrize("observations", ["changes", "all"])


@observations
@pytest.mark.parametrize("lag_ms", [80.0, -80.0, 250.0])
def test_a_known_lag_is_recovered_within_ten_percent_and_its_sign_names_the_leader(lag_ms, observations):
    found = lead_lag_summary(*delayed(np.random.default_rng(1), lag_ms), observations=observations).row(0, named=True)
    assert found["peak_lag_ms"] == pytest.approx(lag_ms, rel=0.1)
    assert found["peak_lag_lo_ms"] <= found["peak_lag_ms"] <= found["peak_lag_hi_ms"]
    assert found["llr_lo"] <= found["llr"] <= found["llr_hi"]
    assert (found["llr"] > 1) is (lag_ms > 0)
    assert found["leader"] == ("primary" if lag_ms > 0 else "secondary")


@observations
def test_a_series_against_itself_has_lag_zero_ratio_one_and_no_leader(observations):
    quotes = stream(*walk(np.random.default_rng(2)))
    found = lead_lag_summary(quotes, quotes, observations=observations).row(0, named=True)
    assert (found["peak_lag_ms"], found["peak_lag_lo_ms"], found["peak_lag_hi_ms"]) == (0.0, 0.0, 0.0)
    assert found["rho_peak"] == pytest.approx(1.0)
    assert found["llr"] == pytest.approx(1.0)
    assert found["leader"] == "none"


def test_independent_series_have_no_leader_in_at_least_nineteen_of_twenty_draws():
    leaders = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        summary = lead_lag_summary(stream(*walk(rng)), stream(*walk(rng)), resamples=200, step_ms=5.0)
        leaders.append(summary["leader"].item())
    assert leaders.count("none") >= 19


def test_every_row_as_an_observation_is_free_of_the_bias_of_a_coarser_tick():
    # No lag at all; the secondary rounds to five ticks, so its mid changes more rarely.
    rng = np.random.default_rng(3)
    latent = np.cumsum(rng.standard_normal(120_000)) * 0.1
    frames = []
    for tick in (1.0, 5.0):
        at = np.sort(rng.integers(0, 120_000, 12_000))
        frames.append(stream(START + at * MS, 60_000 + np.round(latent[at] / tick) * tick))
    changes, every = (lead_lag_summary(*frames, observations=kind).row(0, named=True) for kind in ("changes", "all"))
    assert abs(every["peak_lag_ms"]) <= 2.0
    assert every["llr"] == pytest.approx(1.0, abs=0.3)
    assert changes["llr"] < 0.3  # the bias that the docstring warns of


def test_the_null_band_contains_about_its_level_of_an_independent_curve():
    rng = np.random.default_rng(4)
    curve = lead_lag(stream(*walk(rng)), stream(*walk(rng)))
    inside = curve["rho"].is_between(curve["null_lo"], curve["null_hi"]).mean()
    assert inside is not None
    assert 0.85 <= inside <= 1.0


def test_curve_and_summary_come_from_one_run_and_the_seed_decides_the_draws():
    pair = delayed(np.random.default_rng(5), 80.0)
    both = lead_lag_both(*pair, seed=3, resamples=50, step_ms=10.0)
    assert both.curve.equals(lead_lag(*pair, seed=3, resamples=50, step_ms=10.0))
    assert both.summary.equals(lead_lag_summary(*pair, seed=3, resamples=50, step_ms=10.0))
    assert not both.curve.equals(lead_lag(*pair, seed=4, resamples=50, step_ms=10.0))
    assert both.curve.columns == ["lag_ms", "contrast", "rho", "rho_lo", "rho_hi", "null_lo", "null_hi"]
    assert both.curve["lag_ms"].to_list() == [float(lag) for lag in range(-1000, 1001, 10)]
    best = both.curve["rho"].abs().arg_max()
    assert best is not None
    assert both.curve["lag_ms"][best] == both.summary["peak_lag_ms"].item()


def test_the_event_clock_sorts_its_rows_and_leaves_out_those_without_a_time():
    primary, secondary = delayed(np.random.default_rng(6), 80.0)
    expected = lead_lag(primary, secondary, clock="event", resamples=20)
    unknown = primary.head(50).with_columns(ts_event=pl.lit(0, dtype=pl.Int64), mid=pl.lit(1.0))
    shuffled = pl.concat([unknown, primary.unique("ts_event", keep="last").sample(fraction=1.0, shuffle=True, seed=1)])
    assert lead_lag(shuffled, secondary, clock="event", resamples=20).equals(expected)


def test_of_rows_at_one_instant_the_last_holds():
    primary, secondary = delayed(np.random.default_rng(7), 80.0)
    doubled = pl.concat([primary.with_columns(mid=pl.col("mid") * 2), primary]).sort("ts_recv", maintain_order=True)
    assert lead_lag(doubled, secondary, resamples=20).equals(lead_lag(primary, secondary, resamples=20))


def test_too_little_or_unusable_data_says_what_was_expected():
    primary, secondary = delayed(np.random.default_rng(8), 80.0)
    for frame, expected in [
        (primary.head(0), "at least one quote"),
        (primary.head(300), "at least 6 blocks of 10 s"),
        (primary.with_columns(ts_recv=pl.col("ts_recv") + 10**15), "of shared time"),
        (primary.with_columns(mid=pl.lit(60_000.0)), "that moves"),
        (primary.with_columns(mid=-pl.col("mid")), "positive finite"),
        (primary.drop("mid"), "column mid"),
        (primary.drop("ts_recv"), "column ts_recv"),
    ]:
        with pytest.raises(DataError, match=expected):
            lead_lag(frame, secondary)
    with pytest.raises(DataError, match="0 < step_ms"):
        lead_lag(primary, secondary, step_ms=0.0)


def test_one_sided_quotes_are_left_out():
    primary, secondary = delayed(np.random.default_rng(9), 80.0)
    holes = primary.head(100).with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(float("nan")).alias("mid"), ts_recv=pl.col("ts_recv") + 1
    )
    mixed = pl.concat([primary, holes])
    assert lead_lag(mixed, secondary, resamples=20).equals(lead_lag(primary, secondary, resamples=20))


points = st.lists(st.tuples(st.integers(0, 60), st.integers(-3, 3)), min_size=1, max_size=15).map(sorted)


@given(x=points, y=points, first=st.integers(-40, 40), step=st.integers(1, 7), block=st.integers(1, 40))
def test_the_kernels_of_the_extension_agree_with_the_sum_over_overlapping_pairs(x, y, first, step, block):
    columns = [
        np.array(c, dtype=t) for rows in (x, y) for c, t in zip(zip(*rows, strict=True), (int, float), strict=True)
    ]
    lags = first + step * np.arange(20)
    matrix, x_var, y_var, starts = _core.hy_contrast(*columns, first=first, step=step, count=20, block=block)
    rises = [list(zip(d, list(d)[1:], strict=False)) for d in (dict(x), dict(y))]
    values = [dict(x), dict(y)]
    expected = [
        sum(
            (values[0][b] - values[0][a]) * (values[1][d] - values[1][c])
            for a, b in rises[0]
            for c, d in rises[1]
            if max(a, c - lag) < min(b, d - lag)
        )
        for lag in lags.tolist()
    ]
    assert matrix.shape == (starts.size, 20)
    assert x_var.shape == y_var.shape == starts.shape
    assert matrix.sum(axis=0).tolist() == expected
    assert _core.hy_at(*columns, lags).tolist() == expected


def test_the_kernel_refuses_bad_columns_as_value_errors():
    times, values = np.array([2, 1]), np.zeros(2)
    with pytest.raises(ValueError, match="x: expected ascending times"):
        _core.hy_at(times, values, times, values, times)
    with pytest.raises(ValueError, match="y: expected finite values"):
        _core.hy_at(times[:1], values[:1], times[:1], values[:1] * np.nan, times)
