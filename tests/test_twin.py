from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study import against_twin, feedback_twin, lead_lag_summary

MS = 1_000_000
OPTIONS = {"max_lag_ms": 300.0, "step_ms": 5.0, "resamples": 100}


def lead(rng: np.random.Generator, lag_ms: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One price, seen at Poisson times of either venue, the secondary `lag_ms` late."""
    grid = np.cumsum(rng.standard_normal(202_000)) * 1e-5
    frames = []
    for delay in (0.0, lag_ms):
        times = np.unique(rng.integers(1, 200_000_000_000, 4_000))
        frames.append(pl.DataFrame({"ts_recv": times, "mid": np.exp(grid[1_000 + times // MS - round(delay)])}))
    return frames[0], frames[1]


def test_the_twin_has_no_leader_and_a_symmetric_ratio():
    ratios, leaders = [], []
    for seed in range(20):
        found = lead_lag_summary(*feedback_twin(seconds=300, half_life_ms=50, seed=seed), **OPTIONS).row(0, named=True)
        ratios.append(math.log(found["llr"]))
        leaders.append(found["leader"])
        assert found["rho_peak"] > 3 * found["null_max"] / 2
    assert abs(np.mean(ratios)) < 3 * np.std(ratios) / math.sqrt(20)
    assert leaders.count("none") >= 18


def test_the_twin_moves_as_much_as_the_pair_at_its_times_and_starts_from_its_prices():
    pair = lead(np.random.default_rng(1), 40.0)
    found = feedback_twin(*pair, half_life_ms=20, seed=2)
    variances = []
    for real, twin in zip(pair, found, strict=True):
        assert twin["ts_recv"].equals(real["ts_recv"])
        assert twin["mid"][0] == pytest.approx(real["mid"][0])
        variances.append([float((frame["mid"].log().diff() ** 2).sum()) for frame in (real, twin)])
    real, twin = (math.prod(v[which] for v in variances) for which in (0, 1))
    assert twin == pytest.approx(real, rel=1e-6)
    assert found[0].equals(feedback_twin(*pair, half_life_ms=20, seed=2)[0])
    assert not found[0].equals(feedback_twin(*pair, half_life_ms=20, seed=3)[0])


def test_the_volatility_is_per_root_second_where_nobody_follows():
    quiet = feedback_twin(seconds=500, rate=50, half_life_ms=1e12, volatility_bp=2.0, seed=1)[0]
    variance = float((quiet["mid"].log().diff() ** 2).sum())
    assert math.sqrt(variance / 500) == pytest.approx(2e-4, rel=0.05)


@given(
    x=st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True).map(sorted),
    y=st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True).map(sorted),
    delay=st.integers(1, 5),
    common=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_the_kernel_is_the_formula_step_by_step(x, y, delay, common, seed):
    rng = np.random.default_rng(seed)
    own = {"x": rng.standard_normal(len(x)), "y": rng.standard_normal(len(y))}
    shared = rng.standard_normal(len(x) + len(y))
    events = sorted([(t, "x", i) for i, t in enumerate(x)] + [(t, "y", i) for i, t in enumerate(y)])
    motion, last, paths, heard = 0.0, events[0][0], {"x": [], "y": []}, {}
    for (t, who, i), noise in zip(events, shared, strict=True):
        motion += 0.5 * math.sqrt(common) * math.sqrt(t - last) * noise
        last = t
        mine, other = paths[who], paths["y" if who == "x" else "x"]
        if not mine:
            price = 0.0
        else:
            since, before = mine[-1]
            seen = [p for at, p in other if at <= t - delay]
            gap = seen[-1] - before if seen else 0.0
            news = 0.5 * math.sqrt(1 - common) * math.sqrt(t - since) * own[who][i] + motion - heard[who]
            price = before + news + (1 - math.exp(-0.3 * (t - since))) * gap
        heard[who] = motion
        mine.append((t, price))
    found = _core.feedback(
        np.array(x), own["x"], np.array(y), own["y"], shared, volatility=0.5, rate=0.3, delay=delay, common=common
    )
    for path, log in zip((paths["x"], paths["y"]), found, strict=True):
        assert log == pytest.approx([p for _, p in path], abs=1e-12)


def test_a_real_lead_is_beyond_its_twins_and_a_twin_is_not():
    found = against_twin(*lead(np.random.default_rng(3), 40.0), runs=39, **OPTIONS)
    assert found.summary.filter(measure="log_llr")["beyond"].item()
    assert found.summary.filter(measure="peak_lag_ms")["beyond"].item()
    assert found.summary["value"][0] == pytest.approx(40, abs=10)
    assert found.summary.filter(measure="log_llr")["p_value"].item() == pytest.approx(2 / 40)
    assert found.runs.height == 39
    assert found.curve.columns == ["lag_ms", "rho", "twin_lo", "twin_median", "twin_hi"]
    twin = against_twin(*feedback_twin(seconds=200, half_life_ms=50, seed=5), runs=39, **OPTIONS)
    assert twin.summary.filter(measure="peak_lag_ms")["p_value"].item() > 0.05
    assert twin.summary.filter(measure="log_llr")["p_value"].item() > 0.05
    assert 10 <= twin.half_life_ms <= 250


def test_twins_of_twins_are_beyond_about_as_often_as_the_level_says():
    beyond = [
        against_twin(
            *feedback_twin(seconds=100, half_life_ms=50, seed=seed),
            runs=19,
            half_life_ms=50.0,
            seed=seed + 1,
            **OPTIONS,
        )
        .summary.filter(measure="log_llr")["p_value"]
        .item()
        for seed in range(30)
    ]
    # Two-sided ranks among 19 are 0.1 at least; each of 30 is that with probability 0.1.
    assert sum(p <= 0.1 for p in beyond) <= 9


def test_what_makes_no_twin_says_what_was_expected():
    pair = lead(np.random.default_rng(6), 0.0)
    for call, expected in [
        (lambda: feedback_twin(pair[0]), "of both venues or of none"),
        (lambda: feedback_twin(half_life_ms=0.0), "half_life_ms"),
        (lambda: feedback_twin(common=1.5), "common"),
        (lambda: feedback_twin(seconds=float("nan")), "seconds"),
        (lambda: feedback_twin(delay_ms=-1.0), "delay_ms"),
        (lambda: feedback_twin(volatility_bp=0.0), "volatility_bp"),
        (lambda: feedback_twin(seconds=1e9, rate=1e3), "at most 100 million"),
        (lambda: feedback_twin(pair[0], pair[1].with_columns(mid=pl.lit(1.0))), "that moves"),
        (lambda: feedback_twin(pair[0], pair[1].head(0)), "at least one quote"),
        (lambda: against_twin(*pair, runs=5), "at least 19 runs"),
    ]:
        with pytest.raises(DataError, match=expected):
            call()
    with pytest.raises(DataError, match="delay of at least 1"):
        _core.feedback(
            *[np.array([0]), np.array([0.0])] * 2, np.zeros(2), volatility=1.0, rate=1.0, delay=0, common=0.0
        )
