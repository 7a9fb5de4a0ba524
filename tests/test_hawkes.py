from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study import (
    fit_hawkes,
    hawkes_forecast,
    hawkes_intensity,
    hawkes_log_likelihood,
    hawkes_residuals,
    hawkes_test,
    simulate_hawkes,
)
from crossbook.study.hawkes import observe
from crossbook.study.hawkes_optimum import radius_gradient

PAIR = {"baseline": [0.3, 0.2], "adjacency": [[0.3, 0.1], [0.35, 0.25]], "decays": 2.0}


def stamped(seconds: list[float]) -> pl.DataFrame:
    times = pl.Series([round(t * 1e9) for t in seconds], dtype=pl.Int64)
    return pl.DataFrame({"ts_recv": times, "ts_event": times})


PUBLISHED = {
    "a": stamped([0.31, 0.93, 1.29, 2.32, 4.25]),
    "b": stamped([0.12, 1.19, 2.12, 2.41, 3.35, 4.21]),
}


def test_the_log_likelihood_is_the_published_one_and_tells_the_effect_of_j_on_i_from_that_of_i_on_j():
    # The events of the C++ tests of `tick` (HawkesModelTest); the reference value is for α_ij the effect of j on i.
    options = {"baseline": [1, 3], "decays": 2, "start": 0}
    value, gradient = hawkes_log_likelihood(PUBLISHED, adjacency=[[2, 3], [4, 1]], end=5_650_000_000, **options)
    assert value == pytest.approx(-56.5024056911152, abs=1e-11)
    assert gradient.shape == (7,)
    # tick 0.8.0.2, ModelHawkesExpKernLogLik(2.0): minus its gradient, times the 11 events; its decay is fixed. Its loss
    # there, 45.202405691115196 over 11, is minus the log-likelihood less types · end (2 · 5.65).
    theirs = [-4.76449016, -4.47380245, -4.55537579, -4.8146195, -4.42481562, -5.51117365]
    assert gradient[:6] == pytest.approx(theirs, abs=1e-8)
    assert value == pytest.approx(-45.202405691115196 - 2 * 5.65, abs=1e-12)
    transposed, _ = hawkes_log_likelihood(PUBLISHED, adjacency=[[2, 4], [3, 1]], end=5_650_000_000, **options)
    assert transposed == pytest.approx(-57.0454394371, abs=1e-9)
    # tick's own expectation up to 4.25: 3.7161782458519013, minus the log-likelihood over 11 events.
    value, _ = hawkes_log_likelihood(PUBLISHED, adjacency=[[2, 3], [4, 1]], end=4_250_000_000, **options)
    assert value / -11 == pytest.approx(3.7161782458519013, abs=1e-12)


def test_700_000_simulated_events_give_back_every_parameter_within_three_standard_errors():
    events = simulate_hawkes(**PAIR, names=["a", "b"], count=700_000, seed=1)
    fit = fit_hawkes(events, start=0)
    truth = np.array([0.3, 0.2, 0.3, 0.1, 0.35, 0.25, 2.0])
    found = fit.parameters
    assert np.abs(found["value"].to_numpy() - truth).max() < 0.02
    assert (np.abs(found["value"].to_numpy() - truth) < 3 * found["se"].to_numpy()).all()
    ratio = found["se"].to_numpy() / found["se_fisher"].to_numpy()
    assert (np.abs(ratio - 1) < 0.15).all()
    row = fit.summary.row(0, named=True)
    # The larger root of x² - 0.55 x + 0.04.
    radius = 0.275 + math.sqrt(0.275**2 - 0.04)
    assert row["radius_lo"] < radius < row["radius_hi"]
    assert row["radius_hi"] - row["radius_lo"] < 0.01
    assert row["converged"]
    assert not row["constrained"]
    assert row["endogenous_share"] == pytest.approx(0.5, abs=0.01)  # 1 - (0.3 + 0.2) / (0.5 + 0.5)


def test_two_time_scales_are_told_apart():
    truth = {"baseline": [1.0, 1.0], "decays": [100.0, 1.0]}
    adjacency = np.array([[[0.2, 0.1], [0.0, 0.2]], [[0.3, 0.0], [0.1, 0.2]]])
    events = simulate_hawkes(**truth, adjacency=adjacency, names=["a", "b"], count=60_000, seed=2)
    fit = fit_hawkes(events, start=0, components=2)
    decays = fit.parameters.filter(pl.col("parameter") == "decay")
    assert (decays["lo"] < [1.0, 100.0]).all()
    assert (decays["hi"] > [1.0, 100.0]).all()
    # Components come in the order of their decays.
    assert fit.adjacency[1, 0, 1] == pytest.approx(0.3, abs=0.03)
    assert fit.adjacency[1, 0, 0] == pytest.approx(0.0, abs=0.05)
    assert fit.adjacency[0, 1, 0] == pytest.approx(0.2, abs=0.06)
    one = fit_hawkes(events, start=0)
    assert fit.summary["log_likelihood"].item() > one.summary["log_likelihood"].item() + 100


def test_residuals_of_a_true_model_are_exponential_and_those_of_a_wrong_one_are_not():
    events = simulate_hawkes(**PAIR, names=["a", "b"], count=20_000, seed=3)
    fit = fit_hawkes(events, start=0)
    assert hawkes_residuals(fit).height == 20_000
    good = hawkes_test(fit)
    assert (good["ks_p"] > 0.01).all()
    assert (good["ljung_box_p"] > 0.01).all()
    assert (good["dispersion_p"] > 0.01).all()
    wrong = fit_hawkes(events, start=0, decays=[2000.0], fixed_decays=True)
    assert (hawkes_test(wrong)["ks_p"] < 1e-6).all()
    bare = wrong.parameters.filter(pl.col("parameter") == "decay")
    assert bare["value"].item() == 2000.0
    assert bare["se"].item() is None


def test_exact_simulation_and_thinning_have_one_law():
    for method in ("exact", "thinning"):
        events = simulate_hawkes(**PAIR, count=100_000, seed=5, method=method)
        seconds = max(frame["ts_recv"][-1] for frame in events.values()) / 1e9
        # (I - A)^-1 μ = (0.5, 0.5); the deviation of a count over T is that of a Poisson one times 1 / (1 - ρ) about.
        for frame in events.values():
            assert frame.height / seconds == pytest.approx(0.5, rel=0.03)
        data = observe(events, start=0)
        residuals, _ = data.kernel.residuals(np.array([0.3, 0.2]), np.array([0.3, 0.1, 0.35, 0.25]), np.array([2.0]))
        assert kstest(residuals[data.types == 0], "expon").pvalue > 0.001


def test_a_simulation_is_decided_by_its_seed_and_ends_where_it_should():
    first = simulate_hawkes(**PAIR, seconds=1000.0, seed=7, start=10**18)
    again = simulate_hawkes(**PAIR, seconds=1000.0, seed=7, start=10**18)
    other = simulate_hawkes(**PAIR, seconds=1000.0, seed=8, start=10**18)
    assert all(first[name].equals(again[name]) for name in first)
    assert not first["0"].equals(other["0"])
    both = pl.concat(list(first.values()))["ts_recv"]
    assert both.min() > 10**18
    assert both.max() <= 10**18 + 1000 * 10**9
    with pytest.raises(DataError, match="raise the limit"):
        simulate_hawkes(baseline=1.0, adjacency=[[1.5]], decays=5.0, seconds=1e5, limit=10_000)
    assert simulate_hawkes(**PAIR, count=0)["1"].height == 0


def test_an_explosive_stretch_is_kept_stationary_unless_asked_otherwise():
    events = simulate_hawkes(baseline=0.5, adjacency=[[1.2]], decays=1.0, count=3_000, seed=1)
    free = fit_hawkes(events, start=0, stationary=False)
    assert free.spectral_radius > 1
    bound = fit_hawkes(events, start=0)
    row = bound.summary.row(0, named=True)
    assert row["constrained"]
    assert 0.999 < row["spectral_radius"] < 1
    assert row["radius_lo"] is None
    assert row["log_likelihood"] < free.summary["log_likelihood"].item()


def test_types_that_do_not_excite_each_other_lie_on_their_bound_with_no_interval():
    rng = np.random.default_rng(3)
    noise = {name: stamped(np.sort(rng.uniform(0.001, 2000, 3000)).tolist()) for name in "ab"}
    fit = fit_hawkes(noise, start=0, end=2000 * 10**9)
    assert fit.spectral_radius < 0.1
    on = fit.parameters.filter("at_bound")
    assert on.height > 0
    assert on.select("se", "lo", "hi", "se_fisher").null_count().row(0) == (on.height,) * 4
    assert fit.summary.null_count().select("events", "log_likelihood", "spectral_radius").row(0) == (0, 0, 0)


def test_the_rules_for_ties():
    frame = pl.concat([stamped([1.0, 1.0, 2.0, 3.0])] * 1)
    other = stamped([1.0, 3.0])
    both = {"a": frame, "b": other}
    parameters = {"baseline": [1.0, 1.0], "adjacency": [[0.5, 0.1], [0.2, 0.3]], "decays": 3.0}
    span = {"start": 0, "end": 4_000_000_000}

    def value(ties, **more):
        return hawkes_log_likelihood(both, **parameters, **span, ties=ties, **more)[0]

    def by_hand(times, types, strict):
        alpha, total = np.array(parameters["adjacency"]), 0.0
        for k, (t, i) in enumerate(zip(times, types, strict=True)):
            past = [(s, j) for s, j in zip(times[:k], types[:k], strict=True) if s < t or not strict]
            total += math.log(1 + sum(alpha[i, j] * 3 * math.exp(-3 * (t - s)) for s, j in past))
        for s, j in zip(times, types, strict=True):
            total -= alpha[:, j].sum() * (1 - math.exp(-3 * (4 - s)))
        return total - 2 * 4.0

    assert value("strict") == pytest.approx(by_hand([1, 1, 1, 2, 3, 3], [0, 0, 1, 0, 0, 1], True), abs=1e-9)
    assert value("ordered") == pytest.approx(by_hand([1, 1, 1, 2, 3, 3], [0, 0, 1, 0, 0, 1], False), abs=1e-9)
    assert value("merge") == pytest.approx(by_hand([1, 1, 2, 3, 3], [0, 1, 0, 0, 1], True), abs=1e-9)
    spread = [1 + 0.1 / 6, 1 + 0.1 / 2, 1 + 0.5 / 6, 2.05, 3.025, 3.075]
    assert value("spread", resolution_ns=100_000_000) == pytest.approx(
        by_hand(spread, [0, 0, 1, 0, 0, 1], True), abs=1e-6
    )
    with pytest.raises(DataError, match="resolution_ns"):
        value("spread")
    with pytest.raises(DataError, match="expected one of strict"):
        value("jitter")


def test_a_forecast_starts_at_the_intensity_now_and_ends_at_the_stationary_one():
    events = simulate_hawkes(**PAIR, names=["a", "b"], count=30_000, seed=9)
    fit = fit_hawkes(events, start=0)
    found = hawkes_forecast(fit, horizons_ms=[1e-3, 1e5])
    now, later = found.head(2), found.tail(2)
    data = fit.observed
    state = data.kernel.state(*fit.vectors)
    expected = fit.baseline + (fit.adjacency[:, :, 0] @ state[:, 0]) * fit.decays[0]
    assert now["intensity"].to_numpy() == pytest.approx(expected, rel=1e-5)
    assert now["count"].to_numpy() == pytest.approx(expected * 1e-6, rel=1e-5)
    stationary = np.linalg.solve(np.eye(2) - fit.adjacency[:, :, 0], fit.baseline)
    assert later["intensity"].to_numpy() == pytest.approx(stationary, rel=1e-6)
    assert later["first_probability"].sum() == pytest.approx(1.0, abs=1e-8)
    assert (
        found["first_probability"].to_numpy().reshape(2, 2).sum(axis=1) + found["none_probability"][::2]
    ).to_list() == (pytest.approx([1.0, 1.0], abs=1e-8))


def test_the_forecast_agrees_with_simulated_futures():
    fit = fit_hawkes(simulate_hawkes(**PAIR, names=["a", "b"], count=5_000, seed=11), start=0)
    horizon = 2.0
    found = hawkes_forecast(fit, horizons_ms=[horizon * 1e3])
    # Futures by Ogata's thinning in plain Python, from the state at the end.
    rng = np.random.default_rng(1)
    beta, alpha, mu = fit.decays[0], fit.adjacency[:, :, 0], fit.baseline
    begin = (alpha @ fit.observed.kernel.state(*fit.vectors)[:, 0]) * beta
    counts, silent, first = np.zeros(2), 0, np.zeros(2)
    runs = 20_000
    for _ in range(runs):
        t, excess, seen = 0.0, begin.copy(), 0
        while True:
            bound = mu.sum() + excess.sum()
            wait = rng.exponential(1 / bound)
            t += wait
            if t > horizon:
                break
            excess *= math.exp(-beta * wait)
            u = rng.uniform() * bound
            if u < mu.sum() + excess.sum():
                i = int(u > mu[0] + excess[0])
                counts[i] += 1
                first[i] += not seen
                seen += 1
                excess += alpha[:, i] * beta
        silent += not seen
    error = 5 / math.sqrt(runs)
    assert found["count"].to_numpy() == pytest.approx(counts / runs, abs=3 * error)
    assert found["none_probability"][0] == pytest.approx(silent / runs, abs=error)
    assert found["first_probability"].to_numpy() == pytest.approx(first / runs, abs=error)


def test_intensities_are_those_just_before_each_event():
    fit = fit_hawkes(simulate_hawkes(**PAIR, names=["a", "b"], count=500, seed=13), start=0)
    found = hawkes_intensity(fit)
    assert found.columns == ["ts", "type", "a", "b"]
    assert found.select("a", "b").row(0) == pytest.approx(tuple(fit.baseline))
    rates = found.select(pl.when(pl.col("type") == "a").then("a").otherwise("b").log().sum()).item()
    residuals, rest = fit.observed.kernel.residuals(*fit.vectors)
    assert rates - residuals.sum() - rest.sum() == pytest.approx(fit.summary["log_likelihood"].item(), abs=1e-6)


@given(values=st.lists(st.floats(0.0, 3.0), min_size=9, max_size=9))
@settings(max_examples=60)
def test_the_derivative_of_the_spectral_radius_is_the_limit_of_differences(values):
    matrix = np.array(values).reshape(3, 3) + 0.05
    radius, slope = radius_gradient(matrix)
    assert radius == pytest.approx(np.abs(np.linalg.eigvals(matrix)).max())
    for i in range(3):
        for j in range(3):
            moved = matrix.copy()
            moved[i, j] += 1e-6
            assert slope[i, j] == pytest.approx((radius_gradient(moved)[0] - radius) / 1e-6, abs=1e-3)


def test_unusable_events_say_what_was_expected():
    empty, one = stamped([]), stamped([1.0])
    some = stamped(np.linspace(0.1, 9, 200).tolist())
    for events, options, expected in [
        ({}, {}, "1 to 16 types"),
        ({"a": empty}, {}, "at least two"),
        ({"a": one}, {}, "at least two"),
        ({"a": some, "b": empty}, {}, "none of \\['b'\\]"),
        ({"a": some.head(3)}, {}, "more than there are parameters"),
        ({"a": some.drop("ts_recv")}, {}, "column ts_recv"),
        ({"a": some}, {"start": 10, "end": 10}, "an end after the start"),
        ({"a": some}, {"start": 10**15, "end": 2 * 10**15}, "none of \\['a'\\]"),
        ({"a": some}, {"components": 5}, "1 to 4 components"),
        ({"a": some}, {"decays": [1.0, 2.0]}, "1 positive numbers"),
        ({"a": some}, {"decays": [-1.0]}, "1 positive numbers"),
        ({"a": some}, {"fixed_decays": True}, "expected decays"),
        ({"a": some}, {"level": 1.0}, "level: expected a number between"),
        ({"a": stamped([1.0] * 50)}, {"end": 2 * 10**9}, "two different times"),
    ]:
        with pytest.raises(DataError, match=expected):
            fit_hawkes(events, **options)
    fit = fit_hawkes({"a": some})
    with pytest.raises(DataError, match="horizons_ms"):
        hawkes_forecast(fit, horizons_ms=[0])
    with pytest.raises(DataError, match="at least one lag"):
        hawkes_test(fit, lags=0)
    with pytest.raises(DataError, match="found shapes"):
        hawkes_log_likelihood({"a": some}, baseline=[1.0], adjacency=[[1.0, 2.0]], decays=1.0)
    with pytest.raises(DataError, match="baseline: expected 1e-12"):
        hawkes_log_likelihood({"a": some}, baseline=[0.0], adjacency=[[0.5]], decays=1.0)
    for bad in [{"count": 1, "seconds": 1.0}, {}, {"count": -1}, {"seconds": math.nan}, {"count": 1, "names": ["a"]}]:
        with pytest.raises(DataError):
            simulate_hawkes(**PAIR, **bad)
    times, types = np.array([2, 1]), np.zeros(2, np.uint32)
    with pytest.raises(DataError, match="ascending"):
        _core.HawkesEvents(times, types, start=0, end=5)


def test_rows_out_of_order_and_without_a_time_do_not_matter():
    events = simulate_hawkes(**PAIR, names=["a", "b"], count=2_000, seed=15)
    expected = fit_hawkes(events, start=0)
    untimed = pl.DataFrame({"ts_recv": [0, 0], "ts_event": [5, 5]})
    mixed = {
        name: pl.concat([untimed, frame.sample(fraction=1.0, shuffle=True, seed=1)]) for name, frame in events.items()
    }
    assert fit_hawkes(mixed, start=0).parameters.equals(expected.parameters)


def test_a_fit_without_a_start_is_no_worse_than_one_from_any_start():
    # Scales as on a real pair: bursts of microseconds, and tens of milliseconds.
    adjacency = np.array([[[0.15, 0.25], [0.05, 0.1]], [[0.05, 0.05], [0.15, 0.3]]])
    events = simulate_hawkes(
        baseline=[7.0, 5.0], adjacency=adjacency, decays=[300_000.0, 45.0], names=["a", "b"], count=8_000, seed=4
    )
    best = fit_hawkes(events, start=0, components=2)
    assert best.decays[0] == pytest.approx(45.0, rel=0.3)
    assert best.decays[1] == pytest.approx(300_000.0, rel=0.3)
    for decays in ([10.0, 1000.0], [0.5, 5.0], [1e3, 1e7]):
        other = fit_hawkes(events, start=0, components=2, decays=decays)
        assert best.summary["log_likelihood"].item() > other.summary["log_likelihood"].item() - 1e-6
