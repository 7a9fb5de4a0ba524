from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.coverage.discovery import ALPHA, error_correction
from tests.coverage.discovery import run as coverage

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study import (
    aligned_prices,
    cointegration,
    half_life,
    information_shares,
    lag_order,
    ordered_information_shares,
    price_discovery,
    rolling_discovery,
    var,
    vecm,
)
from crossbook.study.resample import mean_run_length, stationary_counts, stationary_indices

SIGMA = np.array([[1.0, 0.5], [0.5, 1.0]])
MS = 1_000_000


@pytest.fixture(scope="module")
def pair() -> pl.DataFrame:
    return error_correction(np.random.default_rng(1), 4_000)


@pytest.fixture(scope="module")
def macro() -> pl.DataFrame:
    """The data that statsmodels ships: quarterly growth of GDP, consumption and investment, 1959-2009."""
    datasets = pytest.importorskip("statsmodels.api").datasets
    levels = datasets.macrodata.load().data[["realgdp", "realcons", "realinv"]].to_numpy()
    return pl.DataFrame(np.diff(np.log(levels), axis=0), schema=["gdp", "consumption", "investment"])


def three(rows: int = 3_000) -> pl.DataFrame:
    """Three venues on one trend."""
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((rows, 3)) * 1e-4
    prices = np.zeros((rows, 3))
    for t in range(1, rows):
        before = prices[t - 1]
        gaps = before[0] - before[1], before[0] - before[2]
        prices[t] = before + [-0.02 * gaps[0], 0.1 * gaps[0], 0.05 * gaps[1]] + noise[t]
    return pl.DataFrame(prices + 11, schema=["a", "b", "c"])


# Baillie, Booth, Tse & Zabotina (2002), "Price discovery and common factor models", Journal of Financial Markets 5:
# Δx1 = -a1 z, Δx2 = a2 z, a1 = .025, a2 = .05, correlation .5: component share .67, information share .43 to .89.
def test_the_shares_of_baillie_and_others_are_theirs():
    found = information_shares(np.array([-0.025, 0.05]), SIGMA, names=["x1", "x2"]).row(0, named=True)
    assert found["component_share"] == pytest.approx(0.67, abs=0.005)
    assert found["information_share_lo"] == pytest.approx(0.43, abs=0.005)
    assert found["information_share_hi"] == pytest.approx(0.89, abs=0.005)
    # In closed form (their eq. 8 and 9 with equal variances): a2² (1 - ρ²) and (a2 + ρ a1)² over a2² + 2 ρ a1 a2 + a1².
    total = 0.05**2 + 0.05 * 0.025 + 0.025**2
    assert found["information_share_lo"] == pytest.approx(0.05**2 * 0.75 / total, rel=1e-12)
    assert found["information_share_hi"] == pytest.approx((0.05 + 0.5 * 0.025) ** 2 / total, rel=1e-12)


def test_without_correlation_every_ordering_gives_the_same_share_and_the_modified_one_is_it():
    found = information_shares(np.array([-0.1, 0.3]), np.diag([1.0, 4.0]))
    expected = np.array([0.3**2, 0.1**2 * 4]) / (0.3**2 + 0.1**2 * 4)
    for name in ("information_share", "information_share_lo", "information_share_hi", "modified_information_share"):
        assert found[name].to_numpy() == pytest.approx(expected, rel=1e-12)
    # Putniņš (2013): IL1 = |IS1/IS2 · CS2/CS1| and its inverse.
    lead = expected[0] / expected[1] * 0.1 / 0.3
    assert found["information_leadership_share"][0] == pytest.approx(lead / (lead + 1 / lead), rel=1e-12)


def test_the_modified_share_does_not_hang_on_the_order_and_is_the_factor_of_lien_and_shrestha():
    alpha, sigma = np.array([-0.02, 0.07]), np.array([[2.0, 0.9], [0.9, 1.0]])
    found = information_shares(alpha, sigma)["modified_information_share"].to_numpy()
    turned = information_shares(-alpha[::-1], sigma[::-1, ::-1])["modified_information_share"].to_numpy()
    assert found == pytest.approx(turned[::-1], rel=1e-12)
    # Their factor as they write it: F = [G Λ^(-1/2) G' V^(-1)]^(-1).
    deviation = np.sqrt(np.diag(sigma))
    values, vectors = np.linalg.eigh(sigma / np.outer(deviation, deviation))
    factor = np.linalg.inv(vectors @ np.diag(values**-0.5) @ vectors.T @ np.diag(1 / deviation))
    weight = np.array([alpha[1], -alpha[0]])
    assert factor @ factor.T == pytest.approx(sigma, rel=1e-12)
    assert found == pytest.approx((weight @ factor) ** 2 / (weight @ sigma @ weight), rel=1e-12)


@given(
    values=arrays(np.float64, (3, 2), elements=st.floats(-1, 1)),
    root=arrays(np.float64, (3, 3), elements=st.floats(-1, 1)),
)
@settings(max_examples=50)
def test_shares_sum_to_one_and_the_bounds_are_the_extremes_of_all_orderings(values, root):
    sigma = root @ root.T + 0.1 * np.eye(3)
    try:
        found = information_shares(values, sigma)
    except DataError:
        return
    orders = ordered_information_shares(values, sigma)
    assert orders["ordering"].n_unique() == 6
    weight = np.linalg.svd(values.T)[2][-1]
    for order in permutations(range(3)):
        factor = np.linalg.cholesky(sigma[np.ix_(order, order)])
        part = (weight[list(order)] @ factor) ** 2 / (weight @ sigma @ weight)
        named = " > ".join(f"price {i + 1}" for i in order)
        mine = orders.filter(pl.col("ordering") == named)["information_share"].to_numpy()
        assert mine[list(order)] == pytest.approx(part, abs=1e-6)
    for name in ("component_share", "modified_information_share"):
        assert found[name].sum() == pytest.approx(1.0, abs=1e-6)
    lows = orders.group_by("venue", maintain_order=True).agg(pl.col("information_share").min())
    assert found["information_share_lo"].to_list() == lows["information_share"].to_list()
    assert found["information_leadership_share"].null_count() == 3


@pytest.mark.parametrize(
    ("alpha", "sigma", "expected"),
    [
        ([0.1], SIGMA, "alpha \\[k, k - 1\\]"),
        ([0.1, 0.2, 0.3], SIGMA, "alpha \\[k, k - 1\\]"),
        ([0.0, 0.0], SIGMA, "leaves every gap open"),
        ([0.1, 0.1], SIGMA, "leaves every gap open"),
        ([np.nan, 0.1], SIGMA, "finite alpha"),
        ([-0.1, 0.1], [[1.0, 0.5], [0.4, 1.0]], "symmetric"),
        ([-0.1, 0.1], [[1.0, 1.0], [1.0, 1.0]], "positive definite"),
    ],
)
def test_shares_of_what_is_no_error_correction_are_refused(alpha, sigma, expected):
    with pytest.raises(DataError, match=expected):
        information_shares(np.array(alpha), np.array(sigma))


# statsmodels' own test of its VAR: results/results_var.py and vars_results.npz, llf of a VAR(2) on the macro data.
def test_the_likelihood_of_the_macro_data_is_that_of_statsmodels_tests(macro):
    assert var(macro, lags=2).llf == pytest.approx(1962.5708240443, abs=1e-9)


def test_vector_autoregressions_and_their_orders_agree_with_statsmodels(macro):
    peer = pytest.importorskip("statsmodels.tsa.api").VAR(macro.to_numpy())
    for trend, theirs in (("constant", "c"), ("none", "n")):
        for lags in (1, 3):
            fitted, ours = peer.fit(lags, trend=theirs), var(macro, lags=lags, trend=trend)
            assert ours.coefficients == pytest.approx(fitted.coefs, rel=1e-6)
            assert ours.sigma == pytest.approx(fitted.sigma_u_mle, rel=1e-6)
            assert ours.llf == pytest.approx(fitted.llf, rel=1e-9)
            assert ours.constant == pytest.approx(fitted.intercept, rel=1e-6, abs=1e-12)
    orders = lag_order(macro, max_lags=8, model="var")
    for name, values in peer.select_order(8).ics.items():
        assert orders[name].to_numpy() == pytest.approx(np.array(values), rel=1e-6), name


@pytest.mark.parametrize("lags", [0, 1, 4])
@pytest.mark.parametrize(("trend", "theirs"), [("constant", "co"), ("none", "n")])
def test_error_corrections_by_maximum_likelihood_agree_with_statsmodels(pair, lags, trend, theirs):
    peers = pytest.importorskip("statsmodels.tsa.vector_ar.vecm")
    if trend == "none":
        # Levels of 11 that move by 1e-5 leave either package ten digits fewer where no constant takes them up.
        pair = pair.select(pl.all() - pl.all().first())
    fitted = peers.VECM(pair.to_numpy(), k_ar_diff=lags, coint_rank=1, deterministic=theirs).fit()
    ours = vecm(pair, lags=lags, beta="johansen", rank=1, trend=trend)
    assert ours.beta == pytest.approx(fitted.beta, rel=1e-6)
    assert ours.alpha == pytest.approx(fitted.alpha, rel=1e-6)
    assert np.hstack([*ours.gamma, np.empty((2, 0))]) == pytest.approx(fitted.gamma, rel=1e-6, abs=1e-8)
    assert ours.sigma == pytest.approx(fitted.sigma_u, rel=1e-6)
    assert ours.llf == pytest.approx(fitted.llf, rel=1e-8)


def test_two_gaps_among_three_prices_agree_with_statsmodels():
    peers = pytest.importorskip("statsmodels.tsa.vector_ar.vecm")
    frame = three()
    fitted = peers.VECM(frame.to_numpy(), k_ar_diff=2, coint_rank=2, deterministic="co").fit()
    ours = vecm(frame, lags=2, beta="johansen", rank=2)
    assert ours.beta == pytest.approx(fitted.beta, rel=1e-6, abs=1e-9)
    assert ours.alpha == pytest.approx(fitted.alpha, rel=1e-6, abs=1e-9)
    assert ours.llf == pytest.approx(fitted.llf, rel=1e-10)


def test_the_tests_of_cointegration_agree_with_statsmodels(pair):
    peers = pytest.importorskip("statsmodels.tsa.vector_ar.vecm")
    for frame, lags in ((pair, 2), (three(), 1)):
        theirs, ours = peers.coint_johansen(frame.to_numpy(), 0, lags), cointegration(frame, lags=lags)
        assert ours["trace"].to_numpy() == pytest.approx(theirs.lr1, rel=1e-6)
        assert ours["largest"].to_numpy() == pytest.approx(theirs.lr2, rel=1e-6)
        assert ours.select("trace_90", "trace_95", "trace_99").to_numpy() == pytest.approx(theirs.cvt)
        assert ours.select("largest_90", "largest_95", "largest_99").to_numpy() == pytest.approx(theirs.cvm)
    assert cointegration(pair, lags=1)["rejected"][0]


def test_orders_from_one_factor_are_those_of_a_fit_each(pair):
    orders = lag_order(pair, max_lags=6)
    assert orders["lags"].to_list() == list(range(7))
    for lags in range(7):
        # The same rows: those that have six lags.
        alone = vecm(pair[6 - lags :], lags=lags)
        assert alone.rows == orders["rows"][lags]
        assert alone.llf == pytest.approx(orders["llf"][lags], rel=1e-9)


@given(
    series=arrays(np.float64, (12, 2), elements=st.integers(-9, 9)),
    extra=arrays(np.float64, (12, 1), elements=st.integers(-9, 9)),
    lags=st.integers(0, 11),
)
@settings(max_examples=50)
def test_lagged_moments_are_products_of_the_design(series, extra, lags):
    columns = [np.ascontiguousarray(series[:, i]) for i in range(2)]
    matrix, rows = _core.lagged_moments(columns, [np.ascontiguousarray(extra[:, 0])], lags=lags)
    design = np.hstack([extra[lags:]] + [series[lags - lag : len(series) - lag] for lag in range(lags + 1)])
    assert rows == len(design)
    assert np.array_equal(matrix, design.T @ design)


def test_half_life_without_lags_is_the_closed_form_and_infinite_where_nothing_closes():
    alpha, beta = np.array([[-0.025], [0.05]]), np.array([[1.0], [-1.0]])
    none = np.zeros((0, 2, 2))
    assert half_life(alpha, beta, none, SIGMA) == pytest.approx([math.log(0.5) / math.log(1 - 0.075)])
    assert half_life(alpha * 0, beta, none, SIGMA, longest=100).tolist() == [math.inf]
    # Half a gap is gone in one row: half-life one row. With all of it gone, at once.
    assert half_life(np.array([[-0.5], [0.0]]), beta, none, SIGMA) == pytest.approx([1.0])
    assert half_life(np.array([[-1.0], [0.0]]), beta, none, SIGMA)[0] <= 1.0


def test_half_life_with_lags_is_that_of_the_simulated_gap():
    alpha, beta = np.array([[-0.01], [0.02]]), np.array([[1.0], [-1.0]])
    gamma = np.array([[[0.2, 0.1], [0.3, -0.1]], [[0.1, 0.0], [0.0, 0.1]]])
    found = half_life(alpha, beta, gamma, SIGMA)[0]
    left = []
    for shock in np.linalg.cholesky(SIGMA).T:
        prices = [np.zeros(2)] * 3 + [shock]
        for _ in range(400):
            changes = [prices[-1 - i] - prices[-2 - i] for i in range(2)]
            step = alpha[:, 0] * (prices[-1][0] - prices[-1][1]) + sum(
                g @ c for g, c in zip(gamma, changes, strict=True)
            )
            prices.append(prices[-1] + step)
        left.append(np.array([p[0] - p[1] for p in prices[3:]]))
    root = np.sqrt(left[0] ** 2 + left[1] ** 2)
    after = int(np.flatnonzero(root <= root[0] / 2)[0])
    assert after - 1 < found <= after


def test_price_discovery_finds_the_simulated_shares_and_speeds():
    frame = error_correction(np.random.default_rng(2), 20_000).with_columns(ts=pl.int_range(pl.len()) * 100 * MS)
    found = price_discovery(frame)
    shares = {(row["venue"], row["measure"]): row for row in found.shares.iter_rows(named=True)}
    truth = information_shares(np.array(ALPHA), SIGMA, names=["a", "b"])
    for row in truth.iter_rows(named=True):
        for measure in ("component_share", "information_share_lo", "information_share_hi"):
            mine = shares[row["venue"], measure]
            assert mine["lo"] <= mine["value"] <= mine["hi"]
            assert mine["value"] == pytest.approx(row[measure], abs=0.1)
    assert found.adjustment["alpha"].to_numpy() == pytest.approx(ALPHA, abs=0.012)
    life = found.adjustment.row(0, named=True)
    assert life["half_life_ms"] == pytest.approx(100 * life["half_life"])
    assert life["half_life_lo"] <= math.log(0.5) / math.log(1 - 0.075) <= life["half_life_hi"]
    assert found.fit.columns == ("a", "b")
    again = price_discovery(frame)
    assert again.shares.equals(found.shares)
    assert not price_discovery(frame, seed=1).shares.equals(found.shares)


def test_a_venue_that_copies_the_other_has_no_share():
    rng = np.random.default_rng(4)
    leader = np.cumsum(rng.standard_normal(8_000)) * 1e-4
    frame = pl.DataFrame({"leader": leader[1:], "copy": leader[:-1] + rng.standard_normal(7_999) * 1e-5})
    share = price_discovery(frame).shares.filter(venue="leader", measure="component_share").row(0, named=True)
    assert share["lo"] <= 1.0 <= share["hi"]
    assert share["value"] > 0.9


def test_three_venues_have_bounds_over_six_orderings_and_no_leadership_share():
    found = price_discovery(three(), lags=1, resamples=100)
    assert "information_leadership_share" not in found.shares["measure"]
    parts = found.shares.filter(measure="component_share")
    assert parts["value"].sum() == pytest.approx(1.0)
    assert found.adjustment["gap"].unique(maintain_order=True).to_list() == ["1 a -1 b", "1 a -1 c"]
    bounds = found.shares.filter(pl.col("measure").str.starts_with("information_share_"))
    assert bounds["value"].is_between(0, 1).all()


def test_rolling_windows_are_fits_of_their_own_rows():
    frame = error_correction(np.random.default_rng(5), 5_000)
    found = rolling_discovery(frame, window_rows=2_000, step_rows=1_000, lags=1, resamples=50)
    assert found["row"].unique(maintain_order=True).to_list() == [2_001, 3_001, 4_001]
    for row in (2_001, 4_001):
        alone = vecm(frame[row - 2_001 : row + 1], lags=1)
        mine = found.filter(pl.col("row") == row, measure="alpha")
        assert mine["value"].to_numpy() == pytest.approx(alone.alpha[:, 0], rel=1e-9)
        assert (mine["lo"] <= mine["value"]).all()
    timed = frame.with_columns(ts=pl.int_range(pl.len()) * MS)
    assert "ts" in rolling_discovery(timed, window_rows=2_000, step_rows=1_000, lags=1, resamples=5).columns


def test_a_window_in_which_nothing_moves_has_no_rows():
    frame = error_correction(np.random.default_rng(6), 3_000)
    still = pl.concat([frame, pl.concat([frame[-1:]] * 2_000)])
    found = rolling_discovery(still, window_rows=1_000, step_rows=1_000, lags=0, resamples=20)
    assert found["row"].max() < 4_000


def test_prices_side_by_side_are_the_last_known_of_each():
    a = pl.DataFrame({"ts_recv": [10, 20, 30, 95], "mid": [1.0, 2.0, 4.0, 8.0]}).with_columns(pl.col("ts_recv") * MS)
    b = pl.DataFrame({"ts_recv": [15, 30, 30, 60], "mid": [3.0, 9.0, 5.0, None]}).with_columns(pl.col("ts_recv") * MS)
    grid = aligned_prices({"a": a, "b": b}, every_ms=10)
    assert (grid["ts"] // MS).to_list() == [20, 30]
    assert grid["a"].exp().to_list() == pytest.approx([2.0, 4.0])
    assert grid["b"].exp().to_list() == pytest.approx([3.0, 5.0])
    events = aligned_prices({"a": a, "b": b}, every_ms=None)
    assert (events["ts"] // MS).to_list() == [15, 20, 30]
    assert events["a"].exp().to_list() == pytest.approx([1.0, 2.0, 4.0])


def test_prices_that_cannot_be_put_side_by_side_say_why():
    a = pl.DataFrame({"ts_recv": [1 * MS, 2 * MS], "mid": [1.0, 2.0]})
    far = a.with_columns(pl.col("ts_recv") + 10**15)
    for prices, options, expected in [
        ({"a": a}, {}, "at least two venues"),
        ({"a": a, "b": far}, {}, "share time"),
        ({"a": a, "b": a}, {"every_ms": 0.0}, "every_ms"),
        ({"a": a, "b": a}, {"every_ms": float("nan")}, "every_ms"),
        ({"a": a, "b": a.head(0)}, {}, "at least one quote"),
        ({"a": a, "b": a.with_columns(mid=-pl.col("mid"))}, {}, "positive finite"),
        ({"a": a, "b": a.drop("mid")}, {}, "column mid"),
        ({"ts": a, "b": a}, {}, "another name"),
    ]:
        with pytest.raises(DataError, match=expected):
            aligned_prices(prices, **options)


def test_what_cannot_be_fitted_says_what_was_expected(pair):
    constant = pair.with_columns(b=pl.lit(11.0))
    nan = pair.with_columns(b=pl.when(pl.int_range(pl.len()) == 7).then(float("nan")).otherwise("b"))
    for frame, expected in [
        (pair.head(0), "rows with all their lags"),
        (pair.head(1), "rows with all their lags"),
        (pair.head(5), "rows with all their lags"),
        (constant, "column 1 constant"),
        (nan, "finite numbers, found .*nan.* in b, row 7"),
        (pair.select("a"), "at least 2"),
        (pair.with_columns(b="a"), "always zero|full rank"),
    ]:
        for fit in (
            lambda f: vecm(f, lags=1),
            lambda f: lag_order(f, max_lags=3),
            lambda f: price_discovery(f, lags=1),
            lambda f: cointegration(f, lags=1) if "a" in f.columns else None,
        ):
            with pytest.raises(DataError, match=f"{expected}|full rank|always zero"):
                fit(frame)
    with pytest.raises(DataError, match="whole number of lags"):
        vecm(pair, lags=-1)
    with pytest.raises(DataError, match="rank of 1"):
        vecm(pair, lags=1, beta="johansen")
    with pytest.raises(DataError, match="a beta of 2 rows"):
        vecm(pair, lags=1, beta=np.eye(2))
    with pytest.raises(DataError, match="at least 20 blocks"):
        price_discovery(pair, lags=1, block_rows=1_000)
    with pytest.raises(DataError, match="lags: expected a number or one of aic"):
        price_discovery(pair, lags="best")
    with pytest.raises(DataError, match="at least one window"):
        rolling_discovery(pair, window_rows=10_000, step_rows=1_000, lags=1)
    with pytest.raises(DataError, match="model"):
        lag_order(pair, model="arima")
    with pytest.raises(DataError, match="expected columns"):
        vecm(pair, lags=1, columns=["a", "z"])
    with pytest.raises(DataError, match="trend"):
        var(pair, lags=1, trend="t")


def test_the_stationary_bootstrap_strings_runs_of_the_mean_length_around_the_end():
    rng = np.random.default_rng(0)
    found = stationary_indices(50, 5.0, 2_000, rng)
    follows = (np.diff(found, axis=1) % 50) == 1
    # A run goes on with probability 4/5, and a new one begins at the next row by chance once in fifty.
    assert follows.mean() == pytest.approx(0.8 + 0.2 / 50, abs=0.005)
    counts = stationary_counts(50, 5.0, 2_000, np.random.default_rng(0))
    assert (counts.sum(axis=1) == 50).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(50), abs=0.15)
    assert np.array_equal(stationary_indices(3, 1.0, 4, np.random.default_rng(1)) < 3, np.ones((4, 3), bool))
    for rows, run, resamples in [(0, 1.0, 1), (1, 0.5, 1), (1, 1.0, 0), (1, math.inf, 1)]:
        with pytest.raises(DataError, match="at least 1"):
            stationary_indices(rows, run, resamples, rng)


def test_the_run_is_long_where_the_past_matters_and_short_where_it_does_not():
    rng = np.random.default_rng(1)
    noise = rng.standard_normal(5_000)
    slow = np.empty(5_000)
    slow[0] = noise[0]
    for i in range(1, 5_000):
        slow[i] = 0.9 * slow[i - 1] + noise[i]
    # Politis & White (2004): G = 2Σ k R(k) and D = 2 (Σ R)² of an AR(1) give b = (G/Σ R)^(2/3) n^(1/3),
    # with G/ΣR = 2ρ/(1 - ρ²): 9.47^(2/3) · 17.1 = 76.6.
    assert mean_run_length(slow) == pytest.approx(76.6, rel=0.4)
    assert mean_run_length(noise) < 8
    assert mean_run_length(np.ones(100)) == 1.0
    assert mean_run_length(np.arange(3.0)) == 1.0
    with pytest.raises(DataError, match="finite"):
        mean_run_length(np.array([np.nan] * 10))


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    # The 500 runs are in docs/coverage.md; of 40, nine in ten at 95 % has a chance of a few per mille to fail.
    for measure, share in coverage(40, seed=11).items():
        assert share >= 0.82, measure
