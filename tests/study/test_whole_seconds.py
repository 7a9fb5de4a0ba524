"""Leads of data in whole seconds: ties within and across venues, and peaks that are not between what times can tell."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study import lead_lag_exact, lead_lag_rolling, lead_lag_summary
from crossbook.study.lead_lag import lead_lag_both, resolution_of

NS = 1_000_000_000
START = 1_534_032_000


def contrast(x: list[tuple[int, float]], y: list[tuple[int, float]], lag: int) -> float:
    """Hayashi and Yoshida's sum by its definition, every pair of increments, of several values at one time the last."""
    first, second = sorted(dict(x).items()), sorted(dict(y).items())
    return sum(
        (b - a) * (d - c)
        for (s, a), (t, b) in pairwise(first)
        for (u, c), (v, d) in pairwise(second)
        if max(s, u - lag) < min(t, v - lag)
    )


TICKS = st.lists(st.tuples(st.integers(0, 12), st.integers(-3, 3).map(float)), min_size=2, max_size=25)


@given(TICKS, TICKS)
@settings(max_examples=80, deadline=None)
def test_the_contrast_of_ticks_that_share_seconds_is_that_of_its_definition(x: list, y: list) -> None:
    x, y = sorted(x, key=lambda tick: tick[0]), sorted(y, key=lambda tick: tick[0])
    columns = [np.array(column) for ticks in (x, y) for column in zip(*ticks, strict=True)]
    lags = np.arange(-14, 15)
    wanted = [contrast(x, y, lag) for lag in lags.tolist()]
    assert _core.hy_at(*columns, lags) == pytest.approx(wanted)
    found, *_ = _core.hy_contrast(*columns, first=-14, step=1, count=29, block=5)
    assert found.sum(axis=0) == pytest.approx(wanted)


def pair(delay: int, seed: int = 1) -> tuple[pl.DataFrame, pl.DataFrame]:
    rng = np.random.default_rng(seed)
    path = np.log(680_000) + np.cumsum(rng.standard_normal(3_700)) * 1e-4

    def venue(count: int, behind: int) -> pl.DataFrame:
        second = np.sort(rng.integers(60, 3_600, count))
        logs = path[second - behind] + 5e-5 * rng.standard_normal(count)
        return pl.DataFrame({"ts_recv": (START + second) * NS, "price": np.exp(logs)})

    return venue(5_000, 0), venue(900, delay)


OPTIONS = {"value": "price", "max_lag_ms": 40_000, "block_s": 120, "resamples": 100}


@pytest.mark.parametrize("step_ms", [1_000, 500, 100, 300])
def test_the_peak_is_at_a_whole_second_however_fine_the_step(step_ms: float) -> None:
    first, second = pair(15)
    found = lead_lag_summary(first, second, step_ms=step_ms, **OPTIONS).row(0, named=True)
    assert (found["peak_lag_ms"], found["leader"]) == (15_000, "primary")
    turned = lead_lag_summary(second, first, step_ms=step_ms, **OPTIONS).row(0, named=True)
    assert (turned["peak_lag_ms"], turned["leader"]) == (-15_000, "secondary")


def test_the_exact_peak_and_rolling_ones_are_at_whole_seconds_too() -> None:
    first, second = pair(15)
    exact = lead_lag_exact(first, second, value="price", max_lag_ms=40_000).row(0, named=True)
    assert exact["peak_lag_ns"] == exact["peak_first_ns"] == exact["peak_last_ns"] == 15 * NS
    rolling = lead_lag_rolling(first, second, step_ms=500, window_s=1_200, every_s=1_200, **OPTIONS)
    assert rolling["peak_lag_ms"].to_list() == [15_000] * rolling.height


def test_the_ratio_of_absolutes_is_that_of_common_software() -> None:
    # Σ|ρ| over positive lags by that over negative ones, as `llr` of PyPI `lead-lag` 2.3 has it, by the definition.
    first, second = (frame.unique("ts_recv", keep="first", maintain_order=True) for frame in pair(3, seed=2))
    first, second = first.head(150), second.filter(pl.col("ts_recv") <= first["ts_recv"][149])
    ticks = [list(zip(f["ts_recv"].to_list(), f["price"].log().to_list(), strict=True)) for f in (first, second)]
    options = OPTIONS | {"max_lag_ms": 5_000, "block_s": 5, "observations": "all", "step_ms": 1_000}
    found = lead_lag_both(first, second, **options)
    start = max(t[0][0] for t in ticks)
    end = min(t[-1][0] for t in ticks)
    shared = [[tick for tick in t if start <= tick[0] <= end] for t in ticks]
    by_hand = np.array([contrast(*shared, lag * NS) for lag in range(-5, 6)])
    assert found.curve["contrast"].to_numpy() == pytest.approx(by_hand, abs=1e-18)
    ratio = np.abs(by_hand[6:]).sum() / np.abs(by_hand[:5]).sum()
    assert found.summary["llr_abs"].item() == pytest.approx(ratio)


def test_the_resolution_is_what_divides_all_distances() -> None:
    times = np.array([5, 11, 17], dtype=np.int64)
    assert resolution_of([times]) == 6
    assert resolution_of([times, times + 4]) == 2
    assert resolution_of([times, times + 1]) == 1
    assert resolution_of([times[:1]]) == 0
    long = np.arange(20_000, dtype=np.int64) * 10
    long[-1] += 5
    assert resolution_of([long]) == 5


def test_a_lag_below_the_resolution_of_the_times_is_refused() -> None:
    first, second = pair(2)
    with pytest.raises(DataError, match="resolution of the times, 1000 ms"):
        lead_lag_summary(first, second, value="price", max_lag_ms=500, block_s=120)
    with pytest.raises(DataError, match="resolution of the times, 1000 ms"):
        lead_lag_exact(first, second, value="price", max_lag_ms=500)
