"""Vector autoregressions and error corrections from one pass of moments: order, rank, fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
import polars.selectors as cs

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.checked import LARGEST, checked
from crossbook.study.series import Floats

__all__ = ["Var", "Vecm", "cointegration", "lag_order", "var", "vecm"]

Trend = Literal["constant", "none"]


@dataclass(frozen=True, slots=True)
class Var:
    """A vector autoregression `y(t) = c + Σ_i A_i y(t - i) + u(t)`; see `var`."""

    columns: tuple[str, ...]
    constant: Floats
    """`c`, `[k]`; zeros without a constant."""
    coefficients: Floats
    """`A`, `[lags, k, k]`: row = equation, column = the series whose past it is."""
    sigma: Floats
    """`Σ û û' / rows`, the maximum-likelihood covariance of the residuals, `[k, k]`."""
    llf: float
    """Gaussian log-likelihood given the first `lags` rows."""
    rows: int
    """Rows that have all their lags."""


@dataclass(frozen=True, slots=True)
class Vecm:
    """An error correction `Δy(t) = c + α β' y(t - 1) + Σ_i Γ_i Δy(t - i) + u(t)`; see `vecm`."""

    columns: tuple[str, ...]
    alpha: Floats
    """`α`, `[k, r]`: what share of each gap every price closes in one row."""
    beta: Floats
    """`β`, `[k, r]`: the gaps, each a column."""
    gamma: Floats
    """`Γ`, `[lags, k, k]`."""
    constant: Floats
    """`c`, `[k]`; zeros without a constant."""
    sigma: Floats
    """`Σ û û' / rows`, `[k, k]`."""
    llf: float
    """Gaussian log-likelihood given the first `lags + 1` rows."""
    rows: int
    """Rows that have all their lags."""


def matrix_of(frame: pl.DataFrame, columns: Sequence[str] | None, *, least: int = 1) -> tuple[tuple[str, ...], Floats]:
    """The names and values `[rows, k]` of numeric columns (all but `ts` without names), checked to be finite."""
    names = (
        tuple(columns)
        if columns is not None
        else tuple(frame.select(cs.numeric() - cs.by_name("ts", require_all=False)).columns)
    )
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"expected columns {missing}, found {', '.join(frame.columns)}")
    if len(names) < least or len(set(names)) < len(names):
        raise DataError(f"expected at least {least} different numeric columns, found {list(names)}")
    values = frame.select(pl.col(name).cast(pl.Float64, strict=False) for name in names).to_numpy()
    bad = np.argwhere(~(np.abs(values) <= LARGEST))
    if bad.size:
        raise DataError(
            f"expected finite numbers, found {values[tuple(bad[0])]!r} in {names[bad[0, 1]]}, row {bad[0, 0]}"
        )
    return names, values


def as_array(values: object, what: str) -> Floats:
    """Numbers as an array. Raises `DataError` for anything else."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{what}: expected an array of numbers, found {values!r:.60}") from None


def check_lags(lags: int, least: int = 0) -> int:
    """`lags` as a whole number of at least `least`."""
    if isinstance(lags, bool) or not isinstance(lags, int | np.integer) or lags < least:
        raise DataError(f"expected a whole number of lags of at least {least}, found {lags!r}")
    return int(lags)


def moments(series: Floats, extras: Floats, lags: int) -> tuple[Floats, int]:
    """Moments of columns `[rows, k]` at lags 0 to `lags` and of `extras` `[rows, q]`; see `_core.lagged_moments`."""

    def columns(values: Floats) -> list[Floats]:
        return [np.ascontiguousarray(values[:, i]) for i in range(values.shape[1])]

    return _core.lagged_moments(columns(series), columns(extras), lags=lags)


def regress(matrix: Floats, rows: int, extras: int, k: int) -> tuple[Floats, Floats]:
    """Least squares of lag 0 on extras and lags from moment matrices `[…, m, m]`: coefficients `[…, m - k, k]`, `Σ̂`.

    Raises `DataError` if the regressors are collinear.
    """
    regressors = np.r_[0:extras, extras + k : matrix.shape[-1]]
    now = np.arange(extras, extras + k)
    own = matrix[..., now[:, None], now]
    if not regressors.size:
        return np.zeros((*matrix.shape[:-2], 0, k)), own / rows
    # Prices, gaps and constants differ by orders of magnitude: at unit length each, the system is as well posed as can
    # be.
    scale = np.sqrt(np.diagonal(matrix, axis1=-2, axis2=-1))[..., regressors]
    if not (scale > 0).all():
        raise DataError("expected regressors that vary, found one that is always zero: a price that never moves?")
    among = matrix[..., regressors[:, None], regressors] / (scale[..., :, None] * scale[..., None, :])
    with_now = matrix[..., regressors[:, None], now] / scale[..., :, None]
    try:
        factor = np.linalg.cholesky(among)
    except np.linalg.LinAlgError:
        raise DataError(COLLINEAR) from None
    if (np.diagonal(factor, axis1=-2, axis2=-1) < 1e-7).any():
        raise DataError(COLLINEAR)
    halfway = np.linalg.solve(factor, with_now)
    coefficients = np.linalg.solve(np.swapaxes(factor, -1, -2), halfway) / scale[..., :, None]
    sigma = (own - np.swapaxes(halfway, -1, -2) @ halfway) / rows
    return coefficients, sigma


COLLINEAR = "expected regressors of full rank, found collinear ones: too many lags for the rows, or two prices alike"


def log_det(sigma: Floats) -> float:
    """`ln |Σ|`. Raises `DataError` if it is not positive definite, which residuals of different prices are."""
    sign, value = np.linalg.slogdet(sigma)
    deviations = np.sqrt(np.abs(np.diagonal(sigma)))
    if sign <= 0 or not math.isfinite(value) or value < 2 * float(np.log(deviations).sum()) - 60:
        raise DataError("expected residuals of full rank, found a price that never moves or that another one repeats")
    return float(value)


def likelihood(sigma: Floats, rows: int) -> float:
    """`-rows/2 (k ln 2π + ln |Σ̂| + k)`."""
    k = sigma.shape[0]
    return float(-rows / 2 * (k * math.log(2 * math.pi) + log_det(sigma) + k))


def _ones(rows: int, trend: Trend) -> Floats:
    if trend not in ("constant", "none"):
        raise DataError(f'expected trend "constant" or "none", found {trend!r}')
    return np.ones((rows, 1 if trend == "constant" else 0))


@checked
def var(frame: pl.DataFrame, /, *, lags: int, columns: Sequence[str] | None = None, trend: Trend = "constant") -> Var:
    """Fit `y(t) = c + Σ_{i=1..lags} A_i y(t - i) + u(t)` by least squares, the Gaussian maximum likelihood.

    `llf = -T/2 (k ln 2π + ln |Σ̂| + k)` with `Σ̂ = Σ û û' / T`. Rows are steps of time in order; which time a row
    stands for is up to the caller (`aligned_prices`).

    Parameters: numeric `columns` of `frame` (all but `ts` by default), `lags >= 0`, `trend`: a constant or none. Raises
    `DataError` for too few rows, a value that is not finite, or collinear series. Source: Lütkepohl (2005), "New
    Introduction to Multiple Time Series Analysis", 3.2 and 3.4.
    """
    names, y = matrix_of(frame, columns)
    lags = check_lags(lags)
    ones = _ones(len(y), trend)
    k, extras = len(names), ones.shape[1]
    _enough(len(y) - lags, extras + k * lags, k)
    centre = y.mean(axis=0) * extras  # what a constant takes up anyway would only cost digits
    matrix, rows = moments(y - centre, ones, lags)
    found, sigma = regress(matrix, rows, extras, k)
    coefficients = found[extras:].reshape(lags, k, k).transpose(0, 2, 1)
    constant = found[0] + centre - coefficients.sum(axis=0) @ centre if extras else np.zeros(k)
    return Var(names, constant, coefficients, sigma, likelihood(sigma, rows), rows)


@checked
def vecm(
    frame: pl.DataFrame,
    /,
    *,
    lags: int,
    columns: Sequence[str] | None = None,
    beta: Floats | Literal["spreads", "johansen"] = "spreads",
    rank: int | None = None,
    trend: Trend = "constant",
) -> Vecm:
    """Fit `Δy(t) = c + α β' y(t - 1) + Σ_{i=1..lags} Γ_i Δy(t - i) + u(t)`, `u ~ N(0, Σ)`.

    `beta`: ``"spreads"``, the gaps `y_1 - y_j` of prices of one thing (log prices: relative gaps; the constant takes up
    their means); ``"johansen"``, the maximum likelihood at `rank`, normalised to `β = (I, …)'`; or a matrix `[k, r]`.
    `α`, `Γ` and `c` are then least squares. Without a constant, ``"johansen"`` wants prices that start near 0, or
    digits are lost.

    Parameters: numeric `columns` of `frame` (all but `ts` by default) in rows of equal meaning in time; `lags >= 0` of
    differences, so a vector autoregression of `lags + 1`. Assumes that every column is integrated of order one. Raises
    `DataError` for too few rows, values that are not finite, prices that never move or repeat each other, or a `beta`
    or `rank` that does not fit.

    Johansen (1991), "Estimation and hypothesis testing of cointegration vectors in Gaussian vector autoregressive
    models", Econometrica 59(6); Engle & Granger (1987), Econometrica 55(2).
    """
    names, y = matrix_of(frame, columns, least=2)
    lags, k = check_lags(lags), len(names)
    if isinstance(beta, str) and beta == "johansen":
        if rank is None or not 0 < rank < k:
            raise DataError(f"expected a rank of 1 to {k - 1}, found {rank!r}")
        gaps = _johansen(y, lags, trend)[1][:, :rank]
        pivot = gaps[:rank]
        if abs(np.linalg.det(pivot)) < 1e-10 * np.abs(gaps).max() ** rank:
            raise DataError(f"expected cointegration that involves {names[:rank]}: put other columns first")
        gaps = gaps @ np.linalg.inv(pivot)
    else:
        gaps = gaps_of(beta, k)
        if rank is not None and rank != gaps.shape[1]:
            raise DataError(f"expected rank {gaps.shape[1]}, that of beta, found {rank}")
    matrix, rows, centre = vecm_moments(y, gaps, lags, trend)
    extras = gaps.shape[1] + (trend == "constant")
    found, sigma = regress(matrix, rows, extras, k)
    first = int(trend == "constant")
    alpha = found[first:extras].T
    constant = found[0] - alpha @ centre if first else np.zeros(k)
    gamma = found[extras:].reshape(lags, k, k).transpose(0, 2, 1)
    return Vecm(names, alpha, gaps, gamma, constant, sigma, likelihood(sigma, rows), rows)


def gaps_of(beta: Floats | str, k: int) -> Floats:
    """`beta` as a matrix `[k, r]` of full rank; ``"spreads"``: the first price less each other."""
    if isinstance(beta, str):
        if beta != "spreads":
            raise DataError(f'expected beta "spreads", "johansen" or a matrix, found {beta!r}')
        return np.vstack([np.ones((1, k - 1)), -np.eye(k - 1)])
    gaps = as_array(beta, "beta")
    gaps = gaps[:, None] if gaps.ndim == 1 else gaps
    fits = gaps.ndim == 2 and gaps.shape[0] == k and 0 < gaps.shape[1] < k and bool(np.isfinite(gaps).all())
    if not fits or np.linalg.matrix_rank(gaps) < gaps.shape[1]:
        raise DataError(f"expected a beta of {k} rows and 1 to {k - 1} independent columns, found shape {gaps.shape}")
    return gaps


def vecm_columns(y: Floats, gaps: Floats, trend: Trend) -> tuple[Floats, Floats, Floats]:
    """Differences `[n - 1, k]`, the constant and centred gaps of the row before, and the means of the gaps."""
    before = y[:-1] @ gaps
    ones = _ones(len(before), trend)
    centre = before.mean(axis=0) * ones.shape[1] if len(before) else np.zeros(gaps.shape[1])
    return np.diff(y, axis=0), np.hstack([ones, before - centre]), centre


def vecm_moments(y: Floats, gaps: Floats, lags: int, trend: Trend) -> tuple[Floats, int, Floats]:
    """Moments of an error correction at `lags`, the rows in them, and the means that the gaps were freed of."""
    k = y.shape[1]
    _enough(len(y) - 1 - lags, gaps.shape[1] + 1 + k * lags, k)
    changes, extras, centre = vecm_columns(y, gaps, trend)
    still = np.flatnonzero(~changes.any(axis=0))
    if still.size:
        raise DataError(f"expected prices that move, found column {still[0]} constant")
    matrix, rows = moments(changes, extras, lags)
    return matrix, rows, centre


def _enough(rows: int, parameters: int, k: int) -> None:
    if rows < parameters + k + 1:
        raise DataError(f"expected at least {parameters + k + 1} rows with all their lags, found {max(rows, 0)}")


@checked
def lag_order(
    frame: pl.DataFrame,
    /,
    *,
    max_lags: int = 20,
    columns: Sequence[str] | None = None,
    model: Literal["vecm", "var"] = "vecm",
    beta: Floats | Literal["spreads"] = "spreads",
    trend: Trend = "constant",
) -> pl.DataFrame:
    """Information criteria of every order up to `max_lags`, all on the rows that have `max_lags` lags.

    One pass of moments and one Cholesky factor serve all orders: the regressors of a smaller order are the first of a
    larger one's, so the residual sums follow by adding up rows of the factor.

    `aic = ln|Σ̂| + 2 m k / T`, `bic` with `ln T` for 2, `hqic` with `2 ln ln T`, `fpe = ((T + m)/(T - m))^k |Σ̂|`,
    where `m` is the number of regressors of an equation.

    Columns: `lags` (of differences for ``"vecm"``, from 0; of levels for ``"var"``, from 0), `llf, aic, bic, hqic, fpe,
    rows`. `columns`, `beta`, `trend` and errors as in `var` and `vecm`. Lütkepohl (2005), 4.3.
    """
    names, y = matrix_of(frame, columns, least=2 if model == "vecm" else 1)
    max_lags, k = check_lags(max_lags), len(names)
    if model == "vecm":
        matrix, rows, _ = vecm_moments(y, gaps := gaps_of(beta, k), max_lags, trend)
        extras = gaps.shape[1] + (trend == "constant")
    elif model == "var":
        ones = _ones(len(y), trend)
        extras = ones.shape[1]
        _enough(len(y) - max_lags, extras + k * max_lags, k)
        matrix, rows = moments(y - y.mean(axis=0) * extras, ones, max_lags)
    else:
        raise DataError(f'expected model "vecm" or "var", found {model!r}')
    order = np.r_[0:extras, extras + k : len(matrix), extras : extras + k]
    scale = np.sqrt(np.diagonal(matrix))
    if not (scale > 0).all():
        raise DataError("expected series that vary, found one that is always zero")
    try:
        factor = np.linalg.cholesky((matrix / np.outer(scale, scale))[np.ix_(order, order)])
    except np.linalg.LinAlgError:
        raise DataError(COLLINEAR) from None
    # The last rows hold the responses: what each regressor in turn explains, then the residual's own factor.
    explained = factor[-k:, :-k] * scale[extras : extras + k, None]
    rest = factor[-k:, -k:] * scale[extras : extras + k, None]
    last = rest @ rest.T
    found = []
    for lags in range(max_lags, -1, -1):
        parameters = extras + k * lags
        tail = explained[:, parameters:]
        sigma = (last + tail @ tail.T) / rows
        size, free = log_det(sigma), parameters * k
        found.append(
            {
                "lags": lags,
                "llf": likelihood(sigma, rows),
                "aic": size + 2 * free / rows,
                "bic": size + math.log(rows) * free / rows,
                "hqic": size + 2 * math.log(math.log(rows)) * free / rows,
                "fpe": ((rows + parameters) / (rows - parameters)) ** k * math.exp(size),
                "rows": rows,
            }
        )
    return pl.DataFrame(found[::-1])


def _johansen(y: Floats, lags: int, trend: Trend) -> tuple[Floats, Floats, int]:
    """Eigenvalues (falling), eigenvectors `[k, k]` with `β' S11 β = I`, and rows of Johansen's problem."""
    k = y.shape[1]
    matrix, rows, _ = vecm_moments(y, np.eye(k), lags, trend)
    first = int(trend == "constant")
    levels, now = np.arange(first, first + k), np.arange(first + k, first + 2 * k)
    others = np.r_[0:first, first + 2 * k : len(matrix)]
    kept = np.r_[levels, now]
    scale = np.sqrt(np.diagonal(matrix))
    if not (scale > 0).all():
        raise DataError("expected prices that vary, found one that is always zero")
    scaled = matrix / np.outer(scale, scale)
    rest = scaled[np.ix_(kept, kept)]
    try:
        if others.size:
            half = np.linalg.solve(np.linalg.cholesky(scaled[np.ix_(others, others)]), scaled[np.ix_(others, kept)])
            rest = rest - half.T @ half
        s11, s10, s00 = rest[:k, :k], rest[:k, k:], rest[k:, k:]
        root = np.linalg.cholesky(s11)
        cross = np.linalg.solve(np.linalg.cholesky(s00), np.linalg.solve(root, s10).T)
    except np.linalg.LinAlgError:
        raise DataError(COLLINEAR) from None
    values, vectors = np.linalg.eigh(cross.T @ cross)
    values, vectors = np.clip(values[::-1], 0.0, 1.0 - 1e-15), vectors[:, ::-1]
    return values, np.linalg.solve(root.T, vectors) / scale[levels, None] * math.sqrt(rows), rows


@checked
def cointegration(frame: pl.DataFrame, /, *, lags: int, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Johansen's tests of how many gaps between prices close: trace and largest eigenvalue, with a constant.

    `trace(r) = -T Σ_{i>r} ln(1 - λ_i)` against more than `r` gaps, `largest(r) = -T ln(1 - λ_{r+1})` against `r + 1`. A
    statistic above its critical value rejects "at most `r`".

    Columns: `rank` (0 to k - 1), `eigenvalue`, `trace, trace_90, trace_95, trace_99, largest, largest_90, largest_95,
    largest_99`, `rejected` (the trace at 95 %). Up to 12 columns of prices; `lags` of differences; errors as in `vecm`.
    Critical values: MacKinnon, Haug & Michelis (1999), as `statsmodels` has them. Johansen (1991), Econometrica 59(6).
    """
    from statsmodels.tsa.coint_tables import c_sja, c_sjt

    names, y = matrix_of(frame, columns, least=2)
    k = len(names)
    if k > 12:
        raise DataError(f"expected at most 12 prices, for which there are critical values, found {k}")
    values, _, rows = _johansen(y, check_lags(lags), "constant")
    parts = -rows * np.log1p(-values)
    trace = np.cumsum(parts[::-1])[::-1]
    columns_of = {"rank": np.arange(k), "eigenvalue": values, "trace": trace}
    limits = {"trace": c_sjt, "largest": c_sja}
    for name, table in limits.items():
        if name == "largest":
            columns_of["largest"] = parts
        at = np.array([table(k - rank, 0) for rank in range(k)], dtype=np.float64)
        columns_of |= {f"{name}_{level}": at[:, i] for i, level in enumerate((90, 95, 99))}
    return pl.DataFrame(columns_of).with_columns(rejected=pl.col("trace") > pl.col("trace_95"))
