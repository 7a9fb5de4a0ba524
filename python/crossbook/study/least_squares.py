"""Least squares with errors that allow for dependence over time or within blocks.

`statsmodels` has the same and the tests hold these to it; importing it takes half of what a whole study may take.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from crossbook.errors import DataError
from crossbook.study.series import Floats, Times

__all__ = ["Fit", "clustered", "hac_lags", "least_squares", "student"]


class Fit(NamedTuple):
    """A linear regression. ``covariance`` is that of the coefficients."""

    coefficients: Floats
    covariance: Floats
    residuals: Floats
    r2: float
    adjusted_r2: float
    freedom: int
    lags: int

    @property
    def errors(self) -> Floats:
        """Standard errors."""
        return np.asarray(np.sqrt(np.maximum(np.diag(self.covariance), 0.0)))

    def wald(self, which: list[int]) -> tuple[float, float]:
        """The F statistic of these coefficients being 0 together, and its p-value by F(q, freedom)."""
        from scipy.special import fdtrc

        values = self.coefficients[which]
        try:
            statistic = float(values @ np.linalg.solve(self.covariance[np.ix_(which, which)], values)) / len(which)
        except np.linalg.LinAlgError:
            raise DataError("expected regressors that are not collinear") from None
        return statistic, float(fdtrc(len(which), self.freedom, statistic))


def student(level: float, freedom: float) -> float:
    """How many standard errors an interval at `level` reaches on either side (Student's t)."""
    from scipy.special import stdtrit

    if not 0 < level < 1:
        raise DataError(f"level: expected a number between 0 and 1, found {level}")
    if freedom < 1:
        raise DataError(f"expected one degree of freedom or more, found {freedom}")
    return float(stdtrit(freedom, (1 + level) / 2))


def hac_lags(rows: int) -> int:
    """Newey and West's rule, ``⌊4 (n / 100)^(2/9)⌋`` (1994, Review of Economic Studies 61(4))."""
    return int(4 * (rows / 100) ** (2 / 9))


def least_squares(y: Floats, columns: list[Floats], *, lags: int | None = None, constant: bool = True) -> Fit:
    """Regress `y` on `columns`, a constant first unless told otherwise, with Newey and West's covariance.

    ``V = n/(n-k) (X'X)⁻¹ (Σ_|l|≤L w_l Σ_t x_t e_t e_{t-l} x_{t-l}') (X'X)⁻¹``, ``w_l = 1 - |l|/(L+1)``; `lags` ``L``
    by `hac_lags` unless given, 0 for White's. R² is about the mean with a constant, else about 0. Raises `DataError`
    for values that are not finite, fewer rows than coefficients + 2, a `y` that does not move, or collinear columns.
    Newey & West (1987), "A simple, positive semi-definite, heteroskedasticity and autocorrelation consistent covariance
    matrix", Econometrica 55(3).
    """
    rows = y.size
    width = len(columns) + constant
    if rows < width + 2:
        raise DataError(f"expected at least {width + 2} observations, found {rows}")
    x = np.column_stack(([np.ones(rows)] if constant else []) + columns)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("expected finite observations, found null, NaN or infinity")
    # Columns of one length, so that sizes in satoshi and returns do not decide what counts as collinear.
    scale = np.sqrt((x**2).sum(axis=0))
    if (scale == 0).any():
        raise DataError("expected regressors that move, found one that is 0 throughout")
    x = x / scale
    gram = x.T @ x
    if np.linalg.cond(gram) > 1e12:
        raise DataError("expected regressors that are not collinear, and that move")
    inverse = np.linalg.inv(gram)
    beta = inverse @ (x.T @ y)
    rest = y - x @ beta
    total = float(((y - y.mean()) ** 2).sum()) if constant else float(y @ y)
    if total <= 1e-24 * float(y @ y) or total == 0.0:
        raise DataError("expected a dependent variable that moves, found a constant")
    lags = hac_lags(rows) if lags is None else lags
    if not 0 <= lags < rows:
        raise DataError(f"lags: expected 0 or more, fewer than the {rows} observations, found {lags}")
    scores = x * rest[:, None]
    middle = scores.T @ scores
    for lag in range(1, lags + 1):
        part = scores[lag:].T @ scores[:-lag]
        middle += (1 - lag / (lags + 1)) * (part + part.T)
    freedom = rows - width
    covariance = inverse @ middle @ inverse * rows / freedom
    r2 = 1 - float(rest @ rest) / total
    adjusted = 1 - (1 - r2) * (rows - constant) / freedom
    return Fit(beta / scale, covariance / np.outer(scale, scale), rest, r2, adjusted, freedom, lags)


def clustered(bread: Floats, scores: Floats, groups: Times) -> tuple[Floats, int]:
    """The covariance ``G/(G-1) A⁻¹ (Σ_g s_g s_g') A⁻¹``, `s_g` the sums of `scores` in group `g`; and how many groups.

    `bread` is ``A``, `groups` a number from 0 an observation. Liang & Zeger (1986), "Longitudinal data analysis using
    generalized linear models", Biometrika 73(1). Infinite with one group.
    """
    _, group = np.unique(groups, return_inverse=True)
    count = int(group.max()) + 1 if group.size else 0
    try:
        inverse = np.linalg.inv(bread)
    except np.linalg.LinAlgError:
        raise DataError("expected scores of full rank, found a singular matrix") from None
    if count < 2:
        return np.full_like(inverse, math.inf), count
    sums = np.column_stack([np.bincount(group, scores[:, k], count) for k in range(scores.shape[1])])
    return np.asarray(inverse @ (sums.T @ sums) @ inverse.T * count / (count - 1)), count
