"""Two models behind one interface: a ridge regression that picks its own penalty, and gradient-boosted trees."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from crossbook.errors import DataError
from crossbook.study.checks import real, whole
from crossbook.study.series import Floats

__all__ = ["Boosted", "Forecaster", "Predict", "Ridge", "platt"]

Predict = Callable[[Floats], Floats]
"""Forecasts of rows of features, `[rows, features]` to `[rows]`."""


class Forecaster(Protocol):
    """What `walk_forward` asks of a model. Rows are finite and in order of time; columns always the same."""

    def fit(self, x: Floats, y: Floats, /, *, inner: tuple[int, int], seed: int) -> Predict:
        """Fit to features ``x`` `[rows, features]` and outcomes ``y`` `[rows]`; the function that forecasts.

        Rows before ``inner[0]`` and from ``inner[1]`` on share no outcome: what needs a choice (a penalty) may fit on
        the first and choose on the second. Outcomes are deviations from what is expected without features, so the mean
        of y is not to be forecast.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """Ridge regression by normal equations, its penalty chosen on the last part of the training rows.

    Minimises `Σ (y - z'β)² / n + λ |β|²`, with `z` the features less their mean over their standard deviation, cut at ±
    `clip` (of the rows fitted; a constant feature is left out). λ is the one of `penalties` whose fit to the earlier
    rows forecasts the later ones with the least squared error; infinity, one of them, forecasts 0. Hoerl & Kennard
    (1970), Technometrics 12(1). One thread, no BLAS in the loops.
    """

    penalties: tuple[float, ...] = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, math.inf)
    clip: float = 5.0

    def __post_init__(self) -> None:
        """Refuses what makes no model."""
        known = isinstance(self.penalties, (tuple, list)) and all(real(p) for p in self.penalties) and real(self.clip)
        if not (known and self.penalties and all(p > 0 for p in self.penalties) and self.clip > 0):
            raise DataError(f"expected penalties above 0 and a clip above 0, found {self.penalties} and {self.clip}")

    def fit(self, x: Floats, y: Floats, /, *, inner: tuple[int, int], seed: int) -> Predict:
        """As `Forecaster.fit`; nothing here is random."""
        penalty = self.penalties[0]
        if len(self.penalties) > 1:
            until, since = inner
            tried = self._paths(x[:until], y[:until], self.penalties)(x[since:])
            errors = np.square(y[since:, None] - tried).mean(axis=0)
            # Of equals the greatest penalty: it says least.
            penalty = max(p for p, e in zip(self.penalties, errors, strict=True) if e <= errors.min())
        fitted = self._paths(x, y, (penalty,))
        return lambda rows: fitted(rows)[:, 0]

    def _paths(self, x: Floats, y: Floats, penalties: Sequence[float]) -> Predict:
        """Forecasts by each penalty, `[rows, penalties]`."""
        centre, scale = x.mean(axis=0), x.std(axis=0)
        # What varies by rounding alone is constant.
        used = scale > 1e-12 * np.maximum(np.abs(centre), 1e-300)
        centre, scale = centre[used], scale[used]

        def standard(rows: Floats) -> Floats:
            return np.asarray(np.clip((rows[:, used] - centre) / scale, -self.clip, self.clip))

        z = standard(x)
        # Not by BLAS, which would start threads.
        gram, moments = np.einsum("ij,ik->jk", z, z) / len(y), np.einsum("ij,i->j", z, y) / len(y)
        beta = np.zeros((moments.size, len(penalties)))
        for column, penalty in enumerate(penalties):
            if not math.isinf(penalty):
                beta[:, column] = np.linalg.solve(gram + penalty * np.eye(moments.size), moments)
        return lambda rows: np.einsum("ij,jk->ik", standard(rows), beta)


@dataclass(frozen=True, slots=True, kw_only=True)
class Boosted:
    """Gradient-boosted trees on histograms: scikit-learn's `HistGradientBoostingRegressor` (`crossbook[learn]`).

    Squared loss, `iterations` trees of at most `leaves` leaves with `least_leaf` rows in each, each tree's step scaled
    by `learning_rate`, leaf values shrunk by `l2`; no early stopping. Friedman (2001), Annals of Statistics 29(5); Ke
    et al. (2017), NeurIPS 30. At most `threads` threads; the trees do not depend on how many.
    """

    iterations: int = 100
    learning_rate: float = 0.05
    leaves: int = 8
    least_leaf: int = 100
    l2: float = 1.0
    threads: int = 1

    def __post_init__(self) -> None:
        """Refuses what makes no model."""
        sizes = (self.iterations, self.leaves, self.least_leaf, self.threads)
        known = all(whole(n) and 1 <= n <= 1_000_000 for n in sizes) and real(self.learning_rate) and real(self.l2)
        if not (known and self.leaves >= 2 and 0 < self.learning_rate < math.inf and 0 <= self.l2 < math.inf):
            raise DataError(
                "expected positive sizes of at most a million, at least 2 leaves, a learning rate above 0 and l2 of 0 "
                f"or more, found {self}"
            )

    def fit(self, x: Floats, y: Floats, /, *, inner: tuple[int, int], seed: int) -> Predict:
        """As `Forecaster.fit`; the mean of y, from which the trees start, is taken off again.

        Raises `DataError` without scikit-learn.
        """
        regressor, threads = _scikit_learn()
        model = regressor(
            max_iter=self.iterations,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.leaves,
            min_samples_leaf=self.least_leaf,
            l2_regularization=self.l2,
            early_stopping=False,
            random_state=seed,
        )
        with threads(limits=self.threads):
            model.fit(x, y)
        mean = float(y.mean())

        def predict(rows: Floats) -> Floats:
            with threads(limits=self.threads):
                return np.asarray(model.predict(rows), dtype=np.float64) - mean

        return predict


def _scikit_learn() -> tuple[Any, Callable[..., AbstractContextManager[Any]]]:
    try:
        from sklearn.ensemble import HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise DataError("boosted: expected the package scikit-learn: pip install crossbook[learn]") from error
    return HistGradientBoostingRegressor, threadpool_limits


def platt(scores: Floats, up: Floats) -> float:
    """The slope of `P(up | score) = 1 / (1 + e^{-b score})`, by penalised maximum likelihood.

    `up` is 1 or 0. Without an intercept, as a score of 0 forecasts no direction. Newton steps; the prior (two rows that
    are half up, one standard deviation either way) keeps b finite where the scores separate. 0 for scores that are all
    0. Platt (1999), "Probabilistic outputs for support vector machines".
    """
    spread = math.sqrt(float(np.square(scores).mean())) if scores.size else 0.0
    if spread == 0.0:
        return 0.0
    z, target = np.concatenate([scores / spread, [-1.0, 1.0]]), np.concatenate([up, [0.5, 0.5]])

    def loss(b: float) -> float:
        return float((np.logaddexp(0.0, b * z) - target * b * z).sum())

    b = 0.0
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(b * z, -500, 500)))
        change = float(((target - p) * z).sum()) / float(((p * (1 - p) + 1e-12) * z * z).sum())
        step, now = 1.0, loss(b)
        while step > 1e-6 and loss(b + step * change) > now:
            step /= 2
        b += step * change
        if abs(change) < 1e-10:
            break
    return b / spread
