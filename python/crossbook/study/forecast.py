"""Forecasts that were made without the future: purged walk-forward, and how good they were."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossbook.errors import DataError
from crossbook.study.anticipation import TARGETS
from crossbook.study.checks import LONGEST_MS, checked, number_column, whole_array
from crossbook.study.forecasters import Ridge, platt
from crossbook.study.series import Floats, Times

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crossbook.study.forecasters import Forecaster

__all__ = ["forecast_scores", "purged_splits", "reliability", "walk_forward"]

LEAST_TRAINING = 50
"""A fold is fitted to at least so many rows."""

FORECASTS = {
    "ts": pl.Int64,
    "horizon_ms": pl.Float64,
    "fold": pl.Int64,
    "outcome": pl.Float64,
    "forecast": pl.Float64,
    "null_forecast": pl.Float64,
    "own_forecast": pl.Float64,
    "probability_up": pl.Float64,
}


class Split(NamedTuple):
    """One fold: train on rows ``[0, train)``, forecast rows ``[first, last)``. What lies between is purged."""

    train: int
    first: int
    last: int


@checked
def purged_splits(
    ts: Times | pl.Series,
    /,
    *,
    horizon_ms: float,
    folds: int = 5,
    first_share: float = 0.4,
    embargo_ms: float = 0.0,
) -> list[Split]:
    """Walk forward: each fold trains on what came before it, less what reaches into it.

    The rows after the first `first_share` are cut into `folds` windows of as many rows each. A fold trains on the rows
    whose outcome was over `embargo_ms` before its first decision: `t + h + embargo ≤ t_first`. The others before it are
    purged, since their outcomes overlap those of the window (López de Prado 2018, "Advances in Financial Machine
    Learning", ch. 7). `ts` ascends strictly, ns.

    Raises `DataError` where a fold would be left with fewer than 50 training rows or no row to forecast.
    """
    times = whole_array(ts, "ts")
    if not (0 < horizon_ms < math.inf and folds >= 1 and 0 < first_share < 1 and 0 <= embargo_ms < math.inf):
        raise DataError(
            "expected horizon_ms above 0, 1 fold or more, first_share between 0 and 1 and embargo_ms of 0 or more, "
            f"found {horizon_ms}, {folds}, {first_share} and {embargo_ms}"
        )
    if (np.diff(times) <= 0).any():
        raise DataError("ts: expected strictly ascending times")
    edges = np.linspace(round(first_share * times.size), times.size, folds + 1).round().astype(int).tolist()
    gap = round(horizon_ms * 1e6) + round(embargo_ms * 1e6)
    splits = []
    for first, last in pairwise(edges):
        train = int(np.searchsorted(times, int(times[first]) - gap, "right")) if first < times.size else 0
        train = min(train, first)
        if last <= first or train < LEAST_TRAINING:
            raise DataError(
                f"expected at least {LEAST_TRAINING} rows to train on whose outcomes end before the first fold, and a "
                f"row in each, found {train} and {last - first} of {times.size} rows"
            )
        splits.append(Split(train, first, last))
    return splits


@checked
def walk_forward(
    features: pl.DataFrame,
    outcomes: pl.DataFrame,
    /,
    *,
    target: str = "move_bp",
    horizon_ms: float = 1_000.0,
    model: Forecaster | None = None,
    columns: Sequence[str] | None = None,
    own: bool = True,
    directions: bool = True,
    folds: int = 5,
    first_share: float = 0.4,
    embargo_ms: float = 0.0,
    seed: int = 0,
) -> pl.DataFrame:
    """Forecast the outcome at one horizon, each row by a model that was fitted to the past alone.

    `features` as `anticipation_features` gives them (or any frame of ``ts`` and finite numbers), `outcomes` as
    `anticipation_outcomes`; rows are joined on ``ts``, the others left out. `model` is `Ridge()` by default. `columns`
    names the features, all by default. Folds are those of `purged_splits`; within the training rows the last fifth,
    purged in the same way, serves to choose a penalty and to turn forecasts into probabilities.

    Columns, a row a decision that a fold forecast:

    - ``null_forecast``, what has to be beaten: 0 for ``move_bp`` (the mid is a martingale, no drift is extrapolated);
      for the others the regression on the secondary's present value (``secondary_spread_bp``, ``secondary_log_depth``)
      alone in the training rows, since spread and depth revert by themselves; the training mean without that column;
    - ``ts, horizon_ms, fold, outcome, forecast`` (in the target's unit): the null's forecast and what the model adds;
    - ``own_forecast``: the same model without the primary, on the columns that begin with ``secondary_``; null if not
      `own`, or if there are none;
    - ``probability_up``: `P(outcome > 0 | outcome ≠ 0)`, from forecasts of the last fifth by a model of the rest
      (Platt's method, ½ at a forecast of 0); null for other targets, or if not `directions`.

    Raises `DataError` for missing columns, values that are not finite, an unknown target, a horizon that outcomes do
    not have, times that occur twice, or too few rows.
    """
    if target not in TARGETS:
        raise DataError(f"target: expected one of {', '.join(TARGETS)}, found {target!r}")
    if missing := {"ts", "horizon_ms", target} - set(outcomes.columns):
        raise DataError(f"outcomes: missing columns {sorted(missing)}")
    names = [c for c in features.columns if c != "ts"] if columns is None else list(columns)
    if missing := {"ts", *names} - set(features.columns):
        raise DataError(f"features: missing columns {sorted(missing)}")
    if not names:
        raise DataError("features: expected at least one column besides ts, found none")
    known = outcomes["horizon_ms"].unique().to_list()
    if horizon_ms not in known and not outcomes.is_empty():
        raise DataError(f"horizon_ms: expected one of {sorted(known)}, found {horizon_ms}")
    mine = outcomes.filter(pl.col("horizon_ms") == horizon_ms).select("ts", outcome=target)
    joined = features.join(mine, on="ts", how="inner").sort("ts")
    times = joined["ts"].to_numpy()
    if joined["ts"].n_unique() < joined.height:
        raise DataError("expected each ts once in features and once per horizon in outcomes")
    x = pl.DataFrame([number_column(joined, name, "features").cast(pl.Float64) for name in names]).to_numpy()
    y = joined["outcome"].cast(pl.Float64).to_numpy()
    for name, column in [*zip(names, x.T, strict=True), ("outcome", y)]:
        if not np.isfinite(column).all():
            raise DataError(
                f"{name}: expected finite values, found one that is not in row {int(np.argmin(np.isfinite(column)))}"
            )
    splits = purged_splits(times, horizon_ms=horizon_ms, folds=folds, first_share=first_share, embargo_ms=embargo_ms)
    chosen: Forecaster = Ridge() if model is None else model
    level = {"spread_change_bp": "secondary_spread_bp", "depth_change": "secondary_log_depth"}.get(target)
    present = joined[level].cast(pl.Float64).to_numpy() if level in joined.columns else None
    own_columns = [k for k, name in enumerate(names) if name.startswith("secondary_")]
    x_own = np.ascontiguousarray(x[:, own_columns]) if own and own_columns else None
    centred = target == "move_bp"
    gap = round(horizon_ms * 1e6)
    parts = []
    for number, (train, first, last) in enumerate(splits):
        inner = _inner(times, train, gap)
        if inner[0] < 4:
            raise DataError(
                f"expected rows to train on that span more than the horizon of {horizon_ms} ms, found {inner[0]} of "
                f"{train} whose outcome is over by the last fifth"
            )
        test = slice(first, last)
        null = _null(present, y, train, last, centred)
        rest = y[:train] - null[:train]
        columns_found: dict[str, Floats | None] = {
            "forecast": null[test] + chosen.fit(x[:train], rest, inner=inner, seed=seed)(x[test]),
            "null_forecast": null[test],
            "own_forecast": None,
            "probability_up": None,
        }
        if x_own is not None:
            alone = chosen.fit(x_own[:train], rest, inner=inner, seed=seed)
            columns_found["own_forecast"] = null[test] + alone(x_own[test])
        if centred and directions:
            again = _inner(times, inner[0], gap)
            columns_found["probability_up"] = _direction(chosen, x, y, train, (inner, again), x[test], seed)
        parts.append(
            pl.DataFrame(
                {"ts": times[test], "outcome": y[test]} | columns_found,
                schema_overrides=dict.fromkeys(columns_found, pl.Float64),
            ).with_columns(horizon_ms=pl.lit(float(horizon_ms)), fold=pl.lit(number, pl.Int64))
        )
    return pl.concat(parts).select(*FORECASTS)


def _inner(times: Times, train: int, gap: int) -> tuple[int, int]:
    """The first four fifths of the training rows, less those whose outcome reaches into the last fifth; and that."""
    since = int(train * 0.8)
    return max(int(np.searchsorted(times[:since], int(times[since]) - gap, "right")), 1), since


def _null(present: Floats | None, y: Floats, train: int, last: int, martingale: bool) -> Floats:
    """The null's forecasts of all rows before `last`, fitted to those before `train`."""
    if martingale:
        return np.zeros(last)
    mean = float(y[:train].mean())
    if present is None:
        return np.full(last, mean)
    past = present[:train] - present[:train].mean()
    variance = float(np.square(past).sum())
    slope = float((past * y[:train]).sum()) / variance if variance > 0 else 0.0
    return np.asarray(mean + slope * (present[:last] - present[:train].mean()))


def _direction(
    model: Forecaster,
    x: Floats,
    y: Floats,
    train: int,
    inner: tuple[tuple[int, int], tuple[int, int]],
    rows: Floats,
    seed: int,
) -> Floats:
    """Probabilities of a rise from a model of the earlier rows, calibrated on rows that it did not see."""
    (until, since), again = inner
    held = slice(since, train)
    # The model of the earlier part chooses within it; its forecasts of the held rows are out of sample.
    predict = model.fit(x[:until], y[:until], inner=again, seed=seed)
    moved = y[held] != 0
    slope = platt(predict(x[held])[moved], (y[held][moved] > 0).astype(np.float64))
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(slope * predict(rows), -500, 500))))


class Estimate(NamedTuple):
    """A value with its interval; null where it is not defined."""

    value: float | None
    lo: float | None
    hi: float | None


class Blocks:
    """Rows by blocks of time, and intervals of what is a function of sums over them, with blocks as independent.

    The jackknife leaves out one block at a time: `Var = (G-1)/G Σ_g (θ_g - θ)²`, with Student's t of `G - 1` degrees.
    Tukey (1958); as the variance of clustered data: MacKinnon, Nielsen & Webb (2023), "Cluster-robust inference: a
    guide to empirical practice", Journal of Econometrics 232(2), where it errs less than the linearised one in few
    clusters.
    """

    def __init__(self, ts: Times, length_ns: int, level: float) -> None:
        origin = int(ts.min()) if ts.size else 0
        self.of: NDArray[np.int64] = np.unique((ts - origin) // length_ns, return_inverse=True)[1].astype(np.int64)
        self.count = int(self.of.max()) + 1 if ts.size else 0
        self.level = level

    def jackknife(
        self, sums: Sequence[Floats], function: Callable[[Floats], Floats], used: NDArray[np.bool_] | None = None
    ) -> tuple[float | None, float | None, int]:
        """The function of the sums over rows (`[sums, …]` to `[…]`, NaN where undefined), its deviation, the degrees.

        Only blocks with a row that is `used` count.
        """
        mine = np.ones(self.of.size, dtype=bool) if used is None else used
        blocks = self.of[mine]
        held = np.bincount(blocks, minlength=self.count) > 0
        table = np.array([np.bincount(blocks, one[mine], minlength=self.count)[held] for one in sums])
        total, count = table.sum(axis=1, keepdims=True), int(held.sum())
        if not count or not np.isfinite(value := float(function(total)[0])):
            return None, None, 0
        if count < 2:
            return value, None, 0
        each = function(total - table)
        if not np.isfinite(each).all():
            return value, None, 0
        return value, math.sqrt((count - 1) / count * float(np.square(each - value).sum())), count - 1

    def estimate(
        self, sums: Sequence[Floats], function: Callable[[Floats], Floats], used: NDArray[np.bool_] | None = None
    ) -> Estimate:
        """The function of the sums with its interval, null where it is not defined."""
        value, deviation, degrees = self.jackknife(sums, function, used)
        if value is None or deviation is None:
            return Estimate(value, None, None)
        from scipy.special import stdtrit

        reach = float(stdtrit(degrees, (1 + self.level) / 2)) * deviation
        return Estimate(value, value - reach, value + reach)

    def ratio(self, above: Floats, below: Floats, used: NDArray[np.bool_] | None = None) -> Estimate:
        """`Σ above / Σ below`, over the rows used; ``below`` is 0 or more."""
        return self.estimate([above, below], _quotient(float(below.sum())), used)


def _quotient(scale: float) -> Callable[[Floats], Floats]:
    """The first sum over the second, NaN where the second is 0 but for rounding."""

    def quotient(sums: Floats) -> Floats:
        known = sums[1] > 1e-12 * scale
        return np.where(known, sums[0] / np.where(known, sums[1], 1.0), math.nan)

    return quotient


SCORES = [
    "rows",
    "blocks",
    "r2",
    "r2_lo",
    "r2_hi",
    "p_value",
    "r2_own",
    "r2_own_lo",
    "r2_own_hi",
    "hit_rate",
    "hit_lo",
    "hit_hi",
    "moves",
    "intercept",
    "intercept_lo",
    "intercept_hi",
    "slope",
    "slope_lo",
    "slope_hi",
    "brier",
    "brier_null",
    "brier_gain",
    "brier_gain_lo",
    "brier_gain_hi",
]


def horizon_of(forecasts: pl.DataFrame) -> float:
    """The one horizon of forecasts in ms, 1 of none. Raises `DataError` unless there is one above 0."""
    column = forecasts["horizon_ms"]
    if column.null_count() or not (column.dtype.is_numeric() or column.is_empty()):
        raise DataError("forecasts: horizon_ms: expected numbers above 0, found null")
    if column.n_unique() > 1:
        raise DataError(f"forecasts: expected one horizon, found {sorted(column.unique().to_list())}")
    horizon = float(column[0]) if column.len() else 1.0
    if not 1e-6 <= horizon <= LONGEST_MS:
        raise DataError(f"forecasts: horizon_ms: expected a horizon above 0 ms, up to 31 years, found {horizon} ms")
    return horizon


def _checked(forecasts: pl.DataFrame, block_s: float, level: float) -> tuple[pl.DataFrame, Blocks]:
    if missing := set(FORECASTS) - set(forecasts.columns):
        raise DataError(f"forecasts: missing columns {sorted(missing)}")
    if not (0 < block_s < 1e9 and 0 < level < 1):
        raise DataError(f"expected block_s above 0 and a level between 0 and 1, found {block_s} and {level}")
    horizon_of(forecasts)
    rows = forecasts.sort("ts")
    needed = rows.select("outcome", "forecast", "null_forecast")
    if not rows.is_empty() and not needed.select(pl.all().is_finite().fill_null(False).all()).row(0) == (True,) * 3:
        raise DataError("forecasts: expected finite outcome, forecast and null_forecast")
    horizon = float(rows["horizon_ms"][0]) if rows.height else 0.0
    # An outcome reaches into the next block; blocks are so long that few do.
    length = max(round(block_s * 1e9), round(5 * horizon * 1e6))
    return rows, Blocks(rows["ts"].to_numpy(), length, level)


@checked
def forecast_scores(forecasts: pl.DataFrame, /, *, block_s: float = 10.0, level: float = 0.95) -> pl.DataFrame:
    """How good the forecasts of `walk_forward` were, out of sample: one row.

    - ``r2 = 1 - Σ (y - f)² / Σ (y - f0)²`` against the null's forecasts (Campbell & Thompson 2008, Review of Financial
      Studies 21(4)), with ``r2_lo, r2_hi``; negative where the null is better. ``p_value``: that losses are not smaller
      than the null's, of Diebold & Mariano's test (1995, Journal of Business & Economic Statistics 13(3)), one-sided;
    - ``r2_own, …``: the same against the model without the primary: what the primary adds;
    - ``hit_rate, hit_lo, hit_hi``: the share of right signs among the ``moves``, rows where outcome and forecast both
      differ from 0;
    - ``intercept, slope`` of outcomes on forecasts (Mincer & Zarnowitz 1969): 0 and 1 if they are calibrated;
    - ``brier = mean (p - 1{y > 0})²`` over rows that moved (Brier 1950), ``brier_null`` of a fair coin, ¼, and
      ``brier_gain = 1 - brier / brier_null``.

    Intervals at `level` take blocks of `block_s` seconds, or five horizons if that is longer, as independent and rows
    within them in any way dependent: the jackknife over blocks, `Var = (G-1)/G Σ_g (θ_g - θ)²`, with Student's t of
    `G - 1` degrees (MacKinnon, Nielsen & Webb 2023, Journal of Econometrics 232(2)). They say how sure the figure is
    for *these fitted models*; refitted on other data they would differ too. ``rows, blocks`` count. What cannot be
    computed (one block; a null without loss; forecasts that are all equal; no moves) is null, never NaN.

    Raises `DataError` for missing columns, several horizons, values that are not finite or options out of range.
    """
    rows, blocks = _checked(forecasts, block_s, level)
    y, f, null = (rows[c].to_numpy() for c in ("outcome", "forecast", "null_forecast"))
    loss, base = np.square(y - f), np.square(y - null)
    out: dict[str, float | int | None] = dict.fromkeys(SCORES)
    out |= {"rows": rows.height, "blocks": blocks.count, "moves": int(((y != 0) & (f != 0)).sum())}

    def gain(name: str, loss: Floats, base: Floats, used: NDArray[np.bool_] | None = None) -> None:
        found = blocks.ratio(loss, base, used)
        flipped = [None if v is None else 1 - v for v in (found.value, found.hi, found.lo)]
        out.update(zip((name, f"{name}_lo", f"{name}_hi"), flipped, strict=True))

    gain("r2", loss, base)
    out["p_value"] = _diebold_mariano(base - loss, blocks)
    if rows["own_forecast"].null_count() == 0 and rows.height:
        gain("r2_own", loss, np.square(y - rows["own_forecast"].to_numpy()))
    signed = (y != 0) & (f != 0)
    hits = blocks.ratio((np.sign(y) == np.sign(f)).astype(float), np.ones(y.size), signed)
    out |= {"hit_rate": hits.value, "hit_lo": _unit(hits.lo), "hit_hi": _unit(hits.hi)}
    for name, found in zip(("intercept", "slope"), _mincer_zarnowitz(y, f, blocks), strict=True):
        out |= {name: found.value, f"{name}_lo": found.lo, f"{name}_hi": found.hi}
    if rows["probability_up"].null_count() == 0 and rows.height:
        p, up = rows["probability_up"].to_numpy(), (y > 0).astype(np.float64)
        moved = y != 0
        ours, theirs = np.square(p - up), np.full(y.size, 0.25)
        if moved.any():
            out |= {"brier": float(ours[moved].mean()), "brier_null": float(theirs[moved].mean())}
        gain("brier_gain", ours, theirs, moved)
    return pl.DataFrame(
        [out], schema=dict.fromkeys(SCORES, pl.Float64) | dict.fromkeys(("rows", "blocks", "moves"), pl.Int64)
    )


def _unit(value: float | None) -> float | None:
    return None if value is None else min(max(value, 0.0), 1.0)


def _diebold_mariano(gain: Floats, blocks: Blocks) -> float | None:
    """One-sided p-value that the mean gain is at most 0."""
    value, deviation, degrees = blocks.jackknife([gain, np.ones(gain.size)], _quotient(1.0))
    if value is None or not deviation:
        return None
    from scipy.special import stdtr

    return float(stdtr(degrees, -value / deviation))


def _mincer_zarnowitz(y: Floats, f: Floats, blocks: Blocks) -> tuple[Estimate, Estimate]:
    power = float(np.square(f).sum())

    def slope(sums: Floats) -> Floats:
        n, of_f, of_y, of_ff, of_fy = sums
        rows = np.maximum(n, 1)
        spread = of_ff - of_f * of_f / rows
        # Forecasts that are all equal have no slope; rounding must not give them one.
        known = (n > 2) & (spread > 1e-12 * power)
        return np.where(known, (of_fy - of_f * of_y / rows) / np.where(known, spread, 1.0), math.nan)

    def intercept(sums: Floats) -> Floats:
        rows = np.maximum(sums[0], 1)
        return np.asarray((sums[2] - slope(sums) * sums[1]) / rows)

    moments = [np.ones(y.size), f, y, f * f, f * y]
    return blocks.estimate(moments, intercept), blocks.estimate(moments, slope)


RELIABILITY = {
    "bin": pl.Int64,
    "moves": pl.Int64,
    "probability": pl.Float64,
    "share_up": pl.Float64,
    "lo": pl.Float64,
    "hi": pl.Float64,
}


@checked
def reliability(
    forecasts: pl.DataFrame, /, *, bins: int = 10, block_s: float = 10.0, level: float = 0.95
) -> pl.DataFrame:
    """Do rises come as often as was said? Rows that moved, in `bins` of about as many by ``probability_up``.

    Columns: ``bin, moves, probability`` (mean of what was said), ``share_up`` (how often it rose), ``lo, hi`` (of the
    share, by blocks as in `forecast_scores`, cut to 0 and 1; null for one block). Equal probabilities fall into one
    bin. Empty without moves. Errors are those of `forecast_scores`, and forecasts without ``probability_up``.
    """
    rows, blocks = _checked(forecasts, block_s, level)
    if bins < 1:
        raise DataError(f"bins: expected 1 or more, found {bins}")
    if rows["probability_up"].null_count():
        raise DataError("forecasts: expected probability_up in every row: only forecasts of move_bp have it")
    y, p = rows["outcome"].to_numpy(), rows["probability_up"].to_numpy()
    moved = y != 0
    found = []
    if moved.any():
        edges = np.unique(np.quantile(p[moved], np.linspace(0, 1, bins + 1)[1:-1])) if bins > 1 else np.zeros(0)
        place = np.searchsorted(edges, p, "left")
        for k in np.unique(place[moved]).tolist():
            mine = moved & (place == k)
            share = blocks.ratio((y > 0).astype(float), np.ones(y.size), mine)
            found.append((k, int(mine.sum()), float(p[mine].mean()), share.value, _unit(share.lo), _unit(share.hi)))
    return pl.DataFrame(found, schema=RELIABILITY, orient="row")
