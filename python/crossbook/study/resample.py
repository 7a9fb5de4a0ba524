"""The stationary bootstrap: resamples in runs of random length, so that what depends on its past stays so."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from crossbook.errors import DataError
from crossbook.study.series import Floats, Times

__all__ = [
    "expanded_tails",
    "mean_run_length",
    "stationary_counts",
    "stationary_indices",
    "variance_freedom",
]


CHUNK = 1 << 24
MOST = 1 << 28
"""Rows times resamples that fit into memory at once: 2 GiB."""


def stationary_indices(rows: int, mean_run: float, resamples: int, rng: np.random.Generator) -> Times:
    """Indices `[resamples, rows]` of the stationary bootstrap.

    Each resample strings together runs of consecutive rows (the first follows the last), whose starts are uniform and
    whose lengths are geometric with mean `mean_run` rows; 1 draws every row alone. Raises `DataError` unless `rows` and
    `resamples` are positive, their product is at most 2^28, and `mean_run` is at least 1.

    Politis & Romano (1994), "The stationary bootstrap", Journal of the American Statistical Association 89(428).
    """
    if rows < 1 or resamples < 1 or not 1.0 <= mean_run < math.inf:
        raise DataError(
            f"expected rows, resamples and mean_run of at least 1, found {rows}, {resamples} and {mean_run}"
        )
    if rows * resamples > MOST:
        raise DataError(f"expected at most {MOST:,} rows times resamples, found {rows * resamples:,}: fewer resamples")
    begins = rng.random((resamples, rows)) < 1.0 / mean_run
    begins[:, 0] = True
    starts = rng.integers(0, rows, (resamples, rows))
    place = np.arange(rows)
    begun = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    return np.asarray((np.take_along_axis(starts, begun, axis=1) + place - begun) % rows, dtype=np.int64)


def stationary_counts(rows: int, mean_run: float, resamples: int, rng: np.random.Generator) -> Floats:
    """How often each row is in each resample of `stationary_indices`: `[resamples, rows]`, every row sums to `rows`.

    A statistic that is a sum over rows is ``counts @ values``.
    """
    indices = stationary_indices(rows, mean_run, resamples, rng)
    flat = indices + np.arange(resamples)[:, None] * rows
    return np.bincount(flat.ravel(), minlength=resamples * rows).reshape(resamples, rows).astype(np.float64)


def chunks(rows: int, resamples: int) -> Iterator[int]:
    """Numbers of resamples, in all `resamples`, whose counts fit into 128 MB at once: one where they do together."""
    most = max(1, CHUNK // max(rows, 1))
    for begin in range(0, resamples, most):
        yield min(most, resamples - begin)


def mean_run_length(values: Floats) -> float:
    """The mean run that makes the stationary bootstrap's variance of the mean most accurate, in rows, at least 1.

    `b = (2 G² / D)^(1/3) n^(1/3)` with `G = Σ λ(k/M) |k| R(k)`, `D = 2 (Σ λ(k/M) R(k))²`, autocovariances `R` and the
    flat-top window `λ`; `M` is twice the lag after which five autocorrelations (more in long series) lie within
    `±2 √(log10 n / n)`. At most `min(3 √n, n / 3)`. A series that is constant or shorter than 8 gives 1. Raises
    `DataError` if a value is not finite.

    Politis & White (2004), "Automatic block-length selection for the dependent bootstrap", Econometric Reviews 23(1),
    with the correction of Patton, Politis & White (2009), Econometric Reviews 28(4).
    """
    n = values.size
    if not np.isfinite(values).all():
        raise DataError("expected finite values to choose a run length from")
    centred = values - values.mean() if n else values
    variance = float(centred @ centred) / max(n, 1)
    if n < 8 or variance <= 1e-30 * float(np.max(np.abs(values))) ** 2:
        return 1.0
    quiet = max(5, math.ceil(math.sqrt(math.log10(n))))
    most = min(math.ceil(math.sqrt(n)) + quiet, n - 1)
    covariance = np.array([float(centred[lag:] @ centred[: n - lag]) / n for lag in range(most + 1)])
    within = np.abs(covariance[1:] / variance) < 2 * math.sqrt(math.log10(n) / n)
    calm = np.lib.stride_tricks.sliding_window_view(within, min(quiet, within.size)).all(axis=1)
    significant = int(calm.argmax()) if calm.any() else int(np.flatnonzero(~within).max()) + 1
    width = min(2 * max(significant, 1), most)
    lags = np.arange(1, width + 1)
    weight = np.minimum(1.0, 2 * (1 - lags / width))
    long_run = covariance[0] + 2 * float(weight @ covariance[1 : width + 1])
    slope = 2 * float(weight @ (lags * covariance[1 : width + 1]))
    if long_run <= 0.0:
        return 1.0
    length = (slope**2 / long_run**2) ** (1 / 3) * n ** (1 / 3)
    return float(np.clip(length, 1.0, max(1.0, min(3 * math.sqrt(n), n / 3))))


def expanded_tails(level: float, blocks: int, freedom: float | None = None) -> list[float]:
    """Quantiles of a bootstrap over few blocks, further out than `(1 ± level) / 2`: as much as Student's interval of a
    mean is wider than the percentile bootstrap's.

    `Φ(∓ √(G / (G − 1)) t)` with the t quantile of `freedom` degrees, `G − 1` if not given (`variance_freedom` counts
    them where some blocks vary more than others): Hesterberg (2015), "What teachers should know about the bootstrap",
    The American Statistician 69(4), "expanded percentile interval".
    """
    from scipy.special import ndtr, stdtrit

    degrees = blocks - 1 if freedom is None else freedom
    low = float(ndtr(-math.sqrt(blocks / (blocks - 1)) * stdtrit(degrees, (1 + level) / 2)))
    return [low, 1 - low]


def variance_freedom(values: Floats) -> float:
    """Degrees of freedom of ``Σ u²`` as an estimate of the variance of ``Σ u``: ``2 (Σ u²)² / Var(Σ u²)``, 2 to n.

    About n of n normal values that vary alike; fewer where a part of them carries most of the variance, as in spells of
    storm: what the error of a sum is was then seen only a few times. ``Var(Σ u²)`` allows squares to depend on those
    before them, with Bartlett's weights over twice `mean_run_length` of them. Satterthwaite (1946), "An approximate
    distribution of estimates of variance components", Biometrics Bulletin 2(6). Raises `DataError` if a value is not
    finite.
    """
    squares = values**2
    run = mean_run_length(squares)
    n = squares.size
    centred = squares - squares.mean() if n else squares
    reach = min(round(2 * run), n - 1)
    spread = float(centred @ centred)
    for lag in range(1, reach + 1):
        spread += 2 * (1 - lag / (reach + 1)) * float(centred[lag:] @ centred[:-lag])
    most = float(max(n, 2))
    total = float(squares.sum())
    return most if spread <= 2 * total**2 / most else max(2 * total**2 / spread, 2.0)
