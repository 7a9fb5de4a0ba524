from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study import bertram, fit_ou, simulate_ou, zeng_lee

TRUTH = {"speed": 2.0, "mean": 5.0, "sigma": 3.0}


def irregular(count: int, seed: int) -> np.ndarray:
    gaps = np.random.default_rng(seed).exponential(0.05, count)
    return 10**18 + np.cumsum(np.maximum((gaps * 1e9).astype(np.int64), 1))


def test_the_parameters_of_a_simulated_path_at_irregular_times_lie_within_their_intervals():
    path = simulate_ou(irregular(40_000, 1), **TRUTH, seed=1)
    row = fit_ou(path, value="value").row(0, named=True)
    assert row["status"] == "ok"
    assert row["speed_lo"] < 2.0 < row["speed_hi"]
    assert row["speed_hi"] - row["speed_lo"] < 0.4
    assert row["mean_lo"] < 5.0 < row["mean_hi"]
    assert row["sigma"] == pytest.approx(3.0, rel=0.02)
    assert row["half_life_ms"] == pytest.approx(1e3 * math.log(2) / row["speed"])
    assert row["half_life_lo_ms"] == pytest.approx(1e3 * math.log(2) / row["speed_hi"])
    # Over T seconds the deviation of θ is near √(2θ / T).
    assert row["speed_se"] == pytest.approx(math.sqrt(4 / row["seconds"]), rel=0.1)


def test_on_equal_steps_the_fit_is_the_regression_on_the_value_before():
    path = simulate_ou(np.arange(1, 5001, dtype=np.int64) * 100_000_000, **TRUTH, seed=3)
    row = fit_ou(path, value="value").row(0, named=True)
    x = path["value"].to_numpy()
    slope, intercept = np.polyfit(x[:-1], x[1:], 1)
    assert row["speed"] == pytest.approx(-math.log(slope) / 0.1, rel=1e-6)
    assert row["mean"] == pytest.approx(intercept / (1 - slope), rel=1e-6)
    rest = x[1:] - intercept - slope * x[:-1]
    expected = math.sqrt((rest**2).mean() * 2 * row["speed"] / (1 - slope**2))
    assert row["sigma"] == pytest.approx(expected, rel=1e-6)


def test_the_likelihood_at_the_best_is_the_sum_of_normal_densities():
    path = simulate_ou(irregular(300, 5), **TRUTH, seed=5)
    row = fit_ou(path, value="value").row(0, named=True)
    t, x = path["ts"].to_numpy() / 1e9, path["value"].to_numpy()
    t = (path["ts"].to_numpy() - 10**18) / 1e9
    a = np.exp(-row["speed"] * np.diff(t))
    v = row["sigma"] ** 2 * (1 - a**2) / (2 * row["speed"])
    e = x[1:] - row["mean"] - (x[:-1] - row["mean"]) * a
    assert row["log_likelihood"] == pytest.approx(float(-0.5 * (np.log(2 * np.pi * v) + e**2 / v).sum()), abs=1e-5)


def test_a_random_walk_with_drift_has_no_half_life_and_noise_one_below_its_sampling():
    rng = np.random.default_rng(7)
    times = np.arange(1, 2001, dtype=np.int64) * 10**9
    trend = pl.DataFrame({"ts": times, "value": np.cumsum(rng.standard_normal(2000)) * 0.1 + np.arange(2000) * 5.0})
    row = fit_ou(trend, value="value").row(0, named=True)
    assert (row["status"], row["half_life_ms"], row["half_life_hi_ms"]) == ("no reversion", None, None)
    noise = pl.DataFrame({"ts": times, "value": rng.standard_normal(2000)})
    row = fit_ou(noise, value="value").row(0, named=True)
    assert row["half_life_lo_ms"] == 0.0
    assert row["half_life_hi_ms"] < 500


def test_of_one_instant_the_last_holds_and_unknown_values_are_left_out():
    path = simulate_ou(irregular(500, 9), **TRUTH, seed=9)
    doubled = pl.concat([path.with_columns(value=pl.lit(99.0)), path]).sort("ts", maintain_order=True)
    holes = path.head(20).with_columns(value=pl.lit(float("nan")), ts=pl.col("ts") + 1)
    mixed = pl.concat([doubled, holes]).sort("ts", maintain_order=True)
    assert fit_ou(mixed, value="value").equals(fit_ou(path, value="value"))


def test_unusable_observations_say_what_was_expected():
    path = simulate_ou(irregular(50, 1), **TRUTH, seed=1)
    for frame, options, expected in [
        (path.head(0), {}, "at least three"),
        (path.head(1), {}, "at least three"),
        (path.with_columns(value=pl.lit(1.0)), {}, "values that move"),
        (path.reverse(), {}, "ascending times"),
        (path.with_columns(value=pl.lit(math.inf)), {}, "finite numbers"),
        (path.drop("value"), {}, "missing \\['value'\\]"),
        (path, {"level": 0.0}, "level: expected a number between"),
        (path, {"mean": math.nan}, "mean: expected a finite number"),
    ]:
        with pytest.raises(DataError, match=expected):
            fit_ou(frame, value="value", **options)
    with pytest.raises(DataError, match="positive speed"):
        simulate_ou(irregular(5, 1), speed=0.0, mean=0.0, sigma=1.0)
    with pytest.raises(DataError, match="ascending"):
        simulate_ou(np.array([2, 1]), **TRUTH)
    with pytest.raises(DataError, match="at least one"):
        _core.OuTransitions(np.array([1, 2]), np.array([1.0, 2.0]), above=5.0)


def test_bertrams_levels_are_the_published_ones():
    # Bertram (2010), figures of his example as the list of independent numbers has them.
    row = bertram(mean=0.0, speed=180.967, sigma=0.1538, cost=0.001).row(0, named=True)
    assert row["entry"] == pytest.approx(-0.0047151767, abs=5e-11)
    assert row["exit"] == pytest.approx(0.0047151767, abs=5e-11)
    assert row["cycle"] == pytest.approx(0.0171223943, abs=5e-11)
    assert row["return"] == pytest.approx(0.4923583279, abs=5e-11)


def test_zeng_and_lees_returns_are_the_published_ones():
    # ArbitrageLab's tests of `OUModelOptimalThresholdZeng` (six places): .0003012195 by the conventional rule,
    # .00043061662 by the new one, for a sigma printed as .0081. Both digits follow from .00810122.
    rules = {"conventional": 0.0003012195, "new": 0.00043061662}
    for rule, expected in rules.items():
        printed = zeng_lee(mean=3.4241, speed=0.0237, sigma=0.0081, cost=0.02, rule=rule)["return"].item()
        assert printed == pytest.approx(expected, abs=5e-7)
        exact = zeng_lee(mean=3.4241, speed=0.0237, sigma=0.00810122, cost=0.02, rule=rule)["return"].item()
        assert exact == pytest.approx(expected, rel=3e-6)


@given(speed=st.floats(0.01, 100), sigma=st.floats(0.001, 10), cost=st.floats(0.01, 3.0), mean=st.floats(-10, 10))
@settings(max_examples=50)
def test_no_other_levels_earn_more(speed, sigma, cost, mean):
    cost *= sigma / math.sqrt(2 * speed)

    def wait(a: float, b: float) -> float:
        """Expected time from below, `a`, to `b`, by the integral of Darling and Siegert (1953), in units of 1/θ."""
        unit = sigma / math.sqrt(2 * speed)
        lo, hi = (a - mean) / unit, (b - mean) / unit
        return (
            math.sqrt(2 * math.pi) * quad(lambda x: math.exp(x * x / 2) * 0.5 * math.erfc(-x / math.sqrt(2)), lo, hi)[0]
        )

    row = bertram(mean=mean, speed=speed, sigma=sigma, cost=cost).row(0, named=True)
    a, m = row["entry"], row["exit"]
    # Up from a to m, and by symmetry down again as from the mirror images up.
    assert (wait(a, m) + wait(2 * mean - m, 2 * mean - a)) / speed == pytest.approx(row["cycle"], rel=1e-6)

    def earn(a: float, m: float) -> float:
        return (m - a - cost) / ((wait(a, m) + wait(2 * mean - m, 2 * mean - a)) / speed)

    assert earn(a, m) == pytest.approx(row["return"], rel=1e-6)
    width = m - a
    for da, dm in [(0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05), (0.02, 0.02)]:
        assert earn(a + da * width, m + dm * width) <= row["return"] * (1 + 1e-9)


@pytest.mark.parametrize("rule", ["conventional", "new"])
def test_thresholds_earn_what_they_should_on_a_simulated_spread(rule):
    found = zeng_lee(mean=1.0, speed=1.0, sigma=1.0, cost=0.3, rule=rule).row(0, named=True)
    step = 0.002
    x = simulate_ou((np.arange(1_500_000) * step * 1e9).astype(np.int64) + 1, speed=1.0, mean=1.0, sigma=1.0, seed=4)
    earned, position, entry = 0.0, 0, 0.0
    for value in x["value"].to_list():
        if (position == -1 and value <= found["close_short"]) or (position == 1 and value >= found["close_long"]):
            earned += position * (value - entry) - 0.3
            position = 0
        if position == 0 and (value >= found["upper"] or value <= found["lower"]):
            position, entry = (-1 if value >= found["upper"] else 1), value
    # 3,000 time units; a discrete grid meets a level late by about 0.58 σ √step, which is 0.026.
    assert earned / (1_500_000 * step) == pytest.approx(found["return"], rel=0.12)


def test_unusable_parameters_say_what_was_expected():
    good = {"mean": 0.0, "speed": 1.0, "sigma": 1.0, "cost": 0.1}
    for change in [{"speed": 0.0}, {"sigma": -1.0}, {"cost": -0.1}, {"mean": math.nan}, {"speed": math.inf}]:
        for rule in (bertram, zeng_lee):
            with pytest.raises(DataError, match=r"positive speed and sigma|finite number"):
                rule(**(good | change))
    for rule in (bertram, zeng_lee):
        with pytest.raises(DataError, match="cost above 0"):
            rule(**(good | {"cost": 0.0}))
        with pytest.raises(DataError, match="ever covers"):
            rule(**(good | {"cost": 100.0}))
    with pytest.raises(DataError, match="one of conventional, new"):
        zeng_lee(**good, rule="best")
