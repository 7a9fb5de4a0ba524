from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.errors import DataError
from crossbook.study import Boosted, Ridge, forecast_scores, purged_splits, reliability, walk_forward
from crossbook.study.forecasters import platt

MS = 1_000_000
SECOND = 1000 * MS
START = 1_700_000_000 * SECOND


def data(
    seed: int = 0, rows: int = 3_000, signal: float = 0.5, target: str = "move_bp"
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Decisions every 100 ms, and an outcome of which one feature explains a part."""
    rng = np.random.default_rng(seed)
    ts = (1 + np.arange(rows)) * 100 * MS
    x = rng.standard_normal((rows, 3))
    y = signal * x[:, 0] + rng.standard_normal(rows)
    features = pl.DataFrame(
        {"ts": ts, "primary_move_10": x[:, 0], "secondary_move_10": x[:, 1], "secondary_spread_bp": x[:, 2]}
    )
    return features, pl.DataFrame({"ts": ts, "horizon_ms": 100.0, target: y})


def test_a_fold_trains_on_what_was_over_before_it() -> None:
    ts = np.arange(0, 1000) * SECOND
    splits = purged_splits(ts, horizon_ms=10_000, folds=3, first_share=0.4, embargo_ms=5_000)
    # Windows of 200 rows from row 400 on; 15 s before each its training ends.
    assert splits == [(386, 400, 600), (586, 600, 800), (786, 800, 1000)]


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 10**9), min_size=200, max_size=400),
    st.floats(0.01, 3_000.0),
    st.floats(0.0, 3_000.0),
    st.integers(1, 6),
)
def test_no_outcome_of_a_training_row_reaches_into_the_window(
    gaps: list[int], horizon_ms: float, embargo_ms: float, folds: int
) -> None:
    ts = np.cumsum(gaps)
    try:
        splits = purged_splits(ts, horizon_ms=horizon_ms, folds=folds, embargo_ms=embargo_ms)
    except DataError:
        return
    reach = round(horizon_ms * 1e6) + round(embargo_ms * 1e6)
    assert splits[-1].last == ts.size
    for split, after in zip(splits, [*splits[1:], None], strict=True):
        assert (ts[: split.train] + reach <= ts[split.first]).all()
        # And no more is purged than must be.
        assert split.train == split.first or ts[split.train] + reach > ts[split.first]
        assert after is None or after.first == split.last


def test_forecasts_do_not_know_outcomes_that_are_not_over() -> None:
    features, outcomes = data()
    whole = walk_forward(features, outcomes, horizon_ms=100.0)
    cut = whole.filter(pl.col("fold") == 2)["ts"].min()
    # Everything that ends after the third window begins is different.
    changed = outcomes.with_columns(
        move_bp=pl.when(pl.col("ts") + 100 * MS > cut).then(pl.col("move_bp") * -9 + 1).otherwise("move_bp")
    )
    again = walk_forward(features, changed, horizon_ms=100.0)
    early = pl.col("fold") <= 2
    same = ["ts", "forecast", "own_forecast", "null_forecast", "probability_up"]
    assert again.filter(early).select(same).equals(whole.filter(early).select(same))
    assert not again.filter(~early).select(same).equals(whole.filter(~early).select(same))


class Nearest:
    """Forecasts the outcome of the training row that lies nearest: it lives on outcomes that overlap."""

    def fit(self, x: np.ndarray, y: np.ndarray, /, *, inner: tuple[int, int], seed: int) -> Callable:
        return lambda rows: y[np.abs(rows[:, :1] - x[None, :, 0]).argmin(axis=1)]


@pytest.mark.parametrize("embargo_ms", [0.0, 500.0])
def test_a_model_that_remembers_overlapping_outcomes_gains_nothing_by_it(embargo_ms: float) -> None:
    rng = np.random.default_rng(11)
    rows, step, horizon_ms = 6_000, 100, 1_000.0
    ts = START + np.arange(rows) * step * 1_000_000
    steps = int(horizon_ms) // step
    moves = rng.standard_normal(rows + steps)
    path = np.concatenate([[0.0], np.cumsum(moves)])
    outcomes = pl.DataFrame({"ts": ts, "horizon_ms": horizon_ms, "move_bp": path[steps : rows + steps] - path[:rows]})
    features = pl.DataFrame({"ts": ts, "time": np.arange(rows, dtype=float)})

    def gain(said_ms: float, embargo: float) -> tuple[float, int]:
        """Correlation of forecasts with outcomes in the rows that training outcomes could reach into."""
        frame = outcomes.with_columns(horizon_ms=pl.lit(said_ms))
        found = walk_forward(
            features, frame, horizon_ms=said_ms, model=Nearest(), folds=300, embargo_ms=embargo, directions=False
        )
        near = found.group_by("fold", maintain_order=True).head(3)
        return float(np.corrcoef(near["outcome"], near["forecast"])[0, 1]), near.height

    honest, count = gain(horizon_ms, embargo_ms)
    assert abs(honest) < 4 / np.sqrt(count)
    # The same model where the horizon is understated, so that nothing is purged: that would have been the leak.
    assert gain(1e-3, 0.0)[0] > 0.5


def test_the_noise_of_a_later_outcome_in_a_feature_helps_only_where_it_is_that_rows_own() -> None:
    rng = np.random.default_rng(12)
    rows = 3_000
    ts = START + np.arange(rows) * 100_000_000
    noise = rng.standard_normal(rows)
    outcomes = pl.DataFrame({"ts": ts, "horizon_ms": 100.0, "move_bp": noise})
    # The noise of the outcome that is over at the decision: known, and of no use.
    past = pl.DataFrame({"ts": ts, "past": np.concatenate([[0.0], noise[:-1]])})
    found = forecast_scores(walk_forward(past, outcomes, horizon_ms=100.0)).row(0, named=True)
    assert found["r2"] < 0.01
    assert found["r2_lo"] is None or found["r2_lo"] < 0.005
    # Had the outcome itself been in the features, it would be found: the test can see a leak.
    leak = pl.DataFrame({"ts": ts, "leak": noise})
    assert forecast_scores(walk_forward(leak, outcomes, horizon_ms=100.0))["r2"][0] > 0.99


def test_what_a_feature_explains_is_found_and_what_none_does_is_not() -> None:
    features, outcomes = data(signal=0.5)
    row = forecast_scores(walk_forward(features, outcomes, horizon_ms=100.0)).row(0, named=True)
    # 0.25 / 1.25 of the variance.
    assert row["r2_lo"] < 0.2 < row["r2_hi"]
    assert row["r2_lo"] > 0
    assert row["p_value"] < 1e-6
    assert row["r2_own_lo"] > 0
    assert row["slope_lo"] < 1 < row["slope_hi"]
    assert row["intercept_lo"] < 0 < row["intercept_hi"]
    assert row["brier"] < row["brier_null"] == 0.25
    nothing = forecast_scores(walk_forward(*data(signal=0.0), horizon_ms=100.0)).row(0, named=True)
    assert nothing["r2_lo"] <= 0
    assert nothing["r2"] < 0.01


def test_spread_and_depth_have_to_beat_their_own_reversion() -> None:
    rng = np.random.default_rng(1)
    features, outcomes = data(target="spread_change_bp")
    level = features["secondary_spread_bp"].to_numpy()
    change = -0.5 * level + 0.1 * rng.standard_normal(level.size) + 0.3
    reverting = outcomes.with_columns(spread_change_bp=pl.Series(change))
    found = walk_forward(features, reverting, target="spread_change_bp", horizon_ms=100.0)
    assert found["null_forecast"].to_numpy() == pytest.approx(0.3 - 0.5 * level[-found.height :], abs=0.05)
    row = forecast_scores(found).row(0, named=True)
    # Nearly all is forecast, and none of it is news.
    assert abs(row["r2"]) < 0.01
    assert row["slope"] == pytest.approx(1.0, abs=0.01)
    assert found["probability_up"].null_count() == found.height
    assert row["brier"] is None


def test_ridge_agrees_with_scikit_learn() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(2)
    x = rng.standard_normal((400, 6)) @ rng.standard_normal((6, 6)) + 3.0
    y = x @ rng.standard_normal(6) + rng.standard_normal(400)
    y -= y.mean()
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    ours = Ridge(penalties=(0.3,), clip=math.inf).fit(x, y, inner=(300, 320), seed=0)(x[:50])
    theirs = linear.Ridge(alpha=0.3 * 400, fit_intercept=False, solver="cholesky").fit(z, y).predict(z[:50])
    assert ours == pytest.approx(theirs, abs=1e-9)


def test_ridge_takes_the_penalty_that_forecasts_the_later_rows_best() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((500, 20))
    clear, noise = x[:, 0] * 3, rng.standard_normal(500)
    # Features are taken less their mean, outcomes are not: what is left is a constant.
    found = Ridge(penalties=(1e-6, math.inf)).fit(x, clear, inner=(400, 400), seed=0)(x[:5])
    assert found == pytest.approx(clear[:5] - clear.mean(), abs=1e-4)
    assert (Ridge(penalties=(1e-6, math.inf)).fit(x[:60], noise[:60], inner=(40, 40), seed=0)(x[:5]) == 0).all()


def test_a_constant_feature_and_equal_ones_do_no_harm() -> None:
    features, outcomes = data()
    plain = walk_forward(features, outcomes, horizon_ms=100.0, model=Ridge(penalties=(1e-6,)))
    more = features.with_columns(still=pl.lit(7.0), primary_again=pl.col("primary_move_10"))
    found = walk_forward(more, outcomes, horizon_ms=100.0, model=Ridge(penalties=(1e-6,)))
    assert found["forecast"].to_numpy() == pytest.approx(plain["forecast"].to_numpy(), abs=1e-5)


def test_boosted_trees_find_what_a_line_cannot_and_are_the_same_again() -> None:
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(4)
    features, outcomes = data(rows=1_200)
    x = features["primary_move_10"].to_numpy()
    bent = outcomes.with_columns(move_bp=pl.Series(np.abs(x) - np.abs(x).mean() + 0.3 * rng.standard_normal(x.size)))
    options = {"horizon_ms": 100.0, "folds": 2, "seed": 5}
    trees = walk_forward(features, bent, model=Boosted(iterations=30, learning_rate=0.1), **options)
    assert forecast_scores(trees)["r2"].item() > 0.5
    assert forecast_scores(walk_forward(features, bent, **options))["r2"].item() < 0.05
    again = walk_forward(features, bent, model=Boosted(iterations=30, learning_rate=0.1, threads=2), **options)
    assert again.equals(trees)


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(DataError, match=r"pip install crossbook\[learn\]"):
        walk_forward(*data(rows=400), horizon_ms=100.0, model=Boosted())


def test_the_study_does_not_load_scikit_learn() -> None:
    code = "import sys, crossbook.study.parts.anticipation; print('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_scores_of_four_forecasts_by_hand() -> None:
    rows = pl.DataFrame(
        {
            "ts": [1, 2, 20 * SECOND, 21 * SECOND],
            "horizon_ms": 1.0,
            "fold": 0,
            "outcome": [1.0, -1.0, 2.0, 0.0],
            "forecast": [1.0, 1.0, 1.0, -1.0],
            "null_forecast": 0.0,
            "own_forecast": [0.0, -1.0, 1.0, 0.0],
            "probability_up": [0.9, 0.8, 0.6, 0.1],
        }
    )
    row = forecast_scores(rows, block_s=15.0).row(0, named=True)
    # Losses 0, 4, 1, 1 against 1, 1, 4, 0 of the null and 1, 0, 1, 0 of the secondary alone.
    assert row["r2"] == pytest.approx(1 - 6 / 6)
    assert row["r2_own"] == pytest.approx(1 - 6 / 2)
    assert (row["rows"], row["blocks"], row["moves"]) == (4, 2, 3)
    assert row["hit_rate"] == pytest.approx(2 / 3)
    assert row["brier"] == pytest.approx((0.01 + 0.64 + 0.16) / 3)
    # Losses over the null's are 4/2 in the first block and 2/4 in the second; t of one degree at 97.5 % is 12.706.
    reach = 12.7062 * math.sqrt(1 / 2 * ((2 - 1) ** 2 + (0.5 - 1) ** 2))
    assert row["r2_hi"] == pytest.approx(reach, rel=1e-4)
    assert row["r2_lo"] == pytest.approx(-reach, rel=1e-4)
    # A mean gain of 0.
    assert row["p_value"] == pytest.approx(0.5)


def test_intervals_of_the_calibration_are_those_of_statsmodels_without_each_block() -> None:
    import statsmodels.api as sm
    from scipy.stats import t

    found = walk_forward(*data(rows=1_500), horizon_ms=100.0)
    row = forecast_scores(found, block_s=3.0).row(0, named=True)
    ts = found["ts"].to_numpy()
    groups = (ts - ts[0]) // (3 * SECOND)
    y, x = found["outcome"].to_numpy(), sm.add_constant(found["forecast"].to_numpy())
    whole = sm.OLS(y, x).fit().params
    each = np.array([sm.OLS(y[groups != g], x[groups != g]).fit().params for g in np.unique(groups)])
    count = len(each)
    assert count == row["blocks"] == 30
    deviation = np.sqrt((count - 1) / count * ((each - whole) ** 2).sum(axis=0))
    for k, name in enumerate(("intercept", "slope")):
        assert row[name] == pytest.approx(whole[k])
        assert row[f"{name}_hi"] - row[name] == pytest.approx(t.ppf(0.975, count - 1) * deviation[k])


def test_probabilities_that_hold_lie_on_the_diagonal() -> None:
    rng = np.random.default_rng(6)
    p = rng.uniform(size=20_000)
    rows = pl.DataFrame(
        {
            "ts": (1 + np.arange(p.size)) * 50 * MS,
            "horizon_ms": 10.0,
            "fold": 0,
            "outcome": np.where(rng.uniform(size=p.size) < p, 1.0, -1.0),
            "forecast": p - 0.5,
            "null_forecast": 0.0,
            "own_forecast": None,
            "probability_up": p,
        },
        schema_overrides={"own_forecast": pl.Float64},
    )
    table = reliability(rows, bins=5)
    assert table["moves"].sum() == p.size
    assert table["moves"].to_list() == pytest.approx([4_000] * 5, abs=1)
    assert table["probability"].to_numpy() == pytest.approx(np.arange(0.1, 1, 0.2), abs=0.01)
    assert ((table["lo"] < table["probability"]) & (table["probability"] < table["hi"])).all()
    row = forecast_scores(rows).row(0, named=True)
    # The mean of p (1 - p) over uniform p.
    assert row["brier"] == pytest.approx(1 / 6, abs=0.005)
    assert row["r2_own"] is None


def test_platt_finds_the_slope_and_stays_finite_where_scores_separate() -> None:
    rng = np.random.default_rng(7)
    scores = rng.standard_normal(50_000)
    up = (rng.uniform(size=scores.size) < 1 / (1 + np.exp(-1.7 * scores))).astype(float)
    assert platt(scores, up) == pytest.approx(1.7, abs=0.05)
    assert 0 < platt(np.array([-1.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0])) < 10
    assert platt(np.zeros(3), np.ones(3)) == 0.0
    assert platt(np.zeros(0), np.zeros(0)) == 0.0


def test_what_cannot_be_computed_is_null() -> None:
    found = walk_forward(*data(rows=400), horizon_ms=100.0)
    still = found.with_columns(outcome=0.0, forecast=0.0)
    row = forecast_scores(still).row(0, named=True)
    assert [row[c] for c in ("r2", "hit_rate", "slope", "brier", "p_value")] == [None] * 5
    assert reliability(still).is_empty()
    one_block = forecast_scores(found, block_s=1e6).row(0, named=True)
    assert one_block["r2"] is not None
    assert one_block["r2_lo"] is None
    none = forecast_scores(found.clear()).row(0, named=True)
    assert (none["rows"], none["r2"], none["intercept"]) == (0, None, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "price"}, "target: expected one of move_bp"),
        ({"horizon_ms": 7.0}, r"horizon_ms: expected one of \[100.0\], found 7.0"),
        ({"columns": ["absent"]}, r"features: missing columns \['absent'\]"),
        ({"columns": []}, "at least one column"),
        ({"folds": 0}, "1 fold or more"),
        ({"first_share": 1.0}, "first_share between 0 and 1"),
        ({"embargo_ms": -1.0}, "embargo_ms of 0 or more"),
        ({"embargo_ms": 1e9}, "at least 50 rows to train on"),
    ],
)
def test_walking_forward_refuses_what_it_cannot_do(options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        walk_forward(*data(rows=300), **({"horizon_ms": 100.0} | options))  # type: ignore[arg-type]


def test_too_little_or_bad_data_is_refused_by_name() -> None:
    features, outcomes = data(rows=300)
    for few in (features.clear(), features.head(1), features.head(60)):
        with pytest.raises(DataError, match="at least 50 rows"):
            walk_forward(few, outcomes, horizon_ms=100.0)
    with pytest.raises(DataError, match="at least 50 rows"):
        walk_forward(features, outcomes.with_columns(pl.col("ts") + 1), horizon_ms=100.0)
    with pytest.raises(DataError, match="primary_move_10: expected finite values, found one that is not in row 0"):
        walk_forward(features.with_columns(primary_move_10=math.nan), outcomes, horizon_ms=100.0)
    with pytest.raises(DataError, match="outcome: expected finite values"):
        walk_forward(features, outcomes.with_columns(move_bp=None), horizon_ms=100.0)
    with pytest.raises(DataError, match="each ts once"):
        walk_forward(pl.concat([features, features]), outcomes, horizon_ms=100.0)
    with pytest.raises(DataError, match="penalties above 0"):
        Ridge(penalties=())
    with pytest.raises(DataError, match="positive sizes"):
        Boosted(threads=0)


def test_scores_refuse_what_they_cannot_read() -> None:
    found = walk_forward(*data(rows=300), horizon_ms=100.0)
    for frame, message in (
        (found.drop("forecast"), "missing columns"),
        (found.with_columns(forecast=math.inf), "forecast: expected finite values, found inf in row 0"),
        (pl.concat([found, found.with_columns(horizon_ms=5.0)]), "one horizon"),
    ):
        with pytest.raises(DataError, match=message):
            forecast_scores(frame)
    with pytest.raises(DataError, match="block_s above 0"):
        forecast_scores(found, block_s=0)
    with pytest.raises(DataError, match="bins: expected 1 or more"):
        reliability(found, bins=0)
    with pytest.raises(DataError, match="only forecasts of move_bp"):
        reliability(found.with_columns(probability_up=pl.lit(None, pl.Float64)))
