"""Who finds the price: shares of price discovery from an error correction's coefficients. Plain linear algebra."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checked import checked
from crossbook.study.series import Floats
from crossbook.study.vecm import as_array

__all__ = ["Shares", "information_shares", "ordered_information_shares", "shares_of"]

MOST = 6
"""Of more venues the orderings (720 of six) would be too many, and their bounds too far apart to say anything."""


class Shares:
    """Shares `[…, k]` of `k` prices, for one error correction or many at once; see `information_shares`."""

    __slots__ = ("component", "high", "leadership", "low", "modified", "ordered")

    def __init__(self, alpha: Floats, sigma: Floats) -> None:
        k = sigma.shape[-1]
        weight = common_weight(alpha)
        total = weight.sum(axis=-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            self.component: Floats = weight / total + 0.0  # no -0
            orders = list(permutations(range(k)))
            self.ordered: Floats = np.stack([_in_order(weight, sigma, order) for order in orders], axis=-2)
            self.low: Floats = self.ordered.min(axis=-2)
            self.high: Floats = self.ordered.max(axis=-2)
            self.modified: Floats = _modified(weight, sigma)
            self.leadership: Floats | None = None
            if k == 2:
                middle = (self.low + self.high) / 2
                ratio = np.abs(middle * self.component[..., ::-1])
                self.leadership = ratio**2 / (ratio**2 + ratio[..., ::-1] ** 2)


def common_weight(alpha: Floats) -> Floats:
    """`α⊥` `[…, k]` of `α` `[…, k, k - 1]`: what the common trend is made of, `α⊥' α = 0`.

    By cofactors: `α⊥_i = (-1)^i det(α without row i)`, which is smooth in `α` and exact for two prices.
    """
    k = alpha.shape[-2]
    if alpha.shape[-1] != k - 1:
        raise DataError(f"expected one common trend, so {k - 1} gaps of {k} prices, found {alpha.shape[-1]}")
    rows = np.arange(k)
    return np.stack([(-1.0) ** i * np.linalg.det(alpha[..., rows != i, :]) for i in range(k)], axis=-1)


def _in_order(weight: Floats, sigma: Floats, order: Sequence[int]) -> Floats:
    places = np.asarray(order)
    factor = np.linalg.cholesky(sigma[..., places[:, None], places])
    part = (weight[..., None, places] @ factor)[..., 0, :] ** 2
    return np.asarray((part / part.sum(axis=-1, keepdims=True))[..., np.argsort(places)])


def _modified(weight: Floats, sigma: Floats) -> Floats:
    deviation = np.sqrt(np.diagonal(sigma, axis1=-2, axis2=-1))
    correlation = sigma / (deviation[..., :, None] * deviation[..., None, :])
    values, vectors = np.linalg.eigh(correlation)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    part = ((weight * deviation)[..., None, :] @ root)[..., 0, :] ** 2
    return np.asarray(part / part.sum(axis=-1, keepdims=True))


@checked
def shares_of(alpha: Floats, sigma: Floats) -> Shares:
    """`Shares` of one error correction, checked. Raises `DataError` as `information_shares` does."""
    alpha, sigma = as_array(alpha, "alpha"), as_array(sigma, "sigma")
    alpha = alpha[:, None] if alpha.ndim == 1 else alpha
    k = sigma.shape[0] if sigma.ndim == 2 else 0
    if not 2 <= k <= MOST or sigma.shape != (k, k) or alpha.shape != (k, k - 1):
        raise DataError(
            f"expected sigma [k, k] and alpha [k, k - 1] of 2 to {MOST} prices, found {sigma.shape} and {alpha.shape}"
        )
    if not (np.isfinite(alpha).all() and np.isfinite(sigma).all() and np.allclose(sigma, sigma.T, rtol=1e-9, atol=0)):
        raise DataError("expected finite alpha and a finite symmetric sigma")
    size = float(np.abs(alpha).max())
    if not (size > 0 and abs(float(common_weight(alpha / size).sum())) > 1e-12):
        raise DataError("expected prices that correct their gaps, found an alpha that leaves every gap open")
    deviation = np.sqrt(np.maximum(np.diagonal(sigma), 0.0))
    copies = "expected a positive definite sigma: is one price a copy of another?"
    if not (deviation > 0).all():
        raise DataError(copies)
    # Shares do not hang on the units of either; squares of tiny numbers would.
    deviation = deviation / deviation.max()
    scaled = sigma / sigma.diagonal().max()
    try:
        np.linalg.cholesky(scaled / np.outer(deviation, deviation))
        return Shares(alpha / size, scaled)
    except np.linalg.LinAlgError:
        raise DataError(copies) from None


@checked
def information_shares(alpha: Floats, sigma: Floats, /, *, names: Sequence[str] | None = None) -> pl.DataFrame:
    """Each price's share in finding the common price, by every definition in use, from `α` and `Σ`.

    With `ψ = α⊥'` (`α⊥' α = 0`, the weights of the common trend), `F` the Cholesky factor of `Σ` in one ordering:

    - information share (Hasbrouck 1995): `IS_j = (ψ F)_j² / ψ Σ ψ'`. Where residuals correlate it depends on the
      ordering, so `information_share_lo` and `_hi` are the least and the most over **every** ordering,
      `information_share` their middle;
    - `component_share` (Gonzalo & Granger 1995): `α⊥_j / Σ α⊥`; may lie outside 0 to 1;
    - `modified_information_share` (Lien & Shrestha 2009): `F = V M` with `V` the standard deviations and `M` the
      symmetric square root of the correlation matrix, which depends on no ordering;
    - `information_leadership_share` (Putniņš 2013): of two prices `ILS_1 = IL_1² / (IL_1² + IL_2²)` with
      `IL_1 = |IS_1 CS_2|`, that is with `IL_1 / (IL_1 + IL_2)` of `IL_1 = |IS_1/IS_2 · CS_2/CS_1|` and its inverse
      `IL_2`; null for more than two, and where a venue has all of both other shares (0 / 0).

    The first three measure who is first *and* who is less noisy; the last is meant to take noise out, and its error is
    large where a component share is near 0.

    Parameters: `alpha` `[k]` or `[k, k - 1]` and the residuals' covariance `sigma` `[k, k]` of `vecm`; two to six
    prices, all of one common trend. Columns: `venue` and those above. Raises `DataError` for other shapes, values that
    are not finite, a `sigma` that is not positive definite, or an `alpha` that corrects nothing.

    Hasbrouck, Journal of Finance 50(4); Gonzalo & Granger, Journal of Business & Economic Statistics 13(1); Lien &
    Shrestha, Journal of Futures Markets 29(4); Putniņš, Journal of Empirical Finance 23.
    """
    found = shares_of(alpha, sigma)
    return frame_of(found, _names(names, found.low.size))


@checked
def ordered_information_shares(alpha: Floats, sigma: Floats, /, *, names: Sequence[str] | None = None) -> pl.DataFrame:
    """Hasbrouck's share in every ordering: ``ordering`` (first price first), ``venue``, ``information_share``.

    Parameters and errors as in `information_shares`.
    """
    found = shares_of(alpha, sigma)
    labels = _names(names, found.low.size)
    orders = [" > ".join(labels[i] for i in order) for order in permutations(range(len(labels)))]
    return pl.DataFrame(
        {
            "ordering": [order for order in orders for _ in labels],
            "venue": labels * len(orders),
            "information_share": found.ordered.reshape(math.factorial(len(labels)) * len(labels)),
        }
    )


def frame_of(found: Shares, names: Sequence[str]) -> pl.DataFrame:
    """The shares of one error correction as the columns of `information_shares`."""
    leadership = found.leadership
    return pl.DataFrame(
        {
            "venue": list(names),
            "information_share": (found.low + found.high) / 2,
            "information_share_lo": found.low,
            "information_share_hi": found.high,
            "component_share": found.component,
            "modified_information_share": found.modified,
            "information_leadership_share": pl.Series(
                [None] * len(names) if leadership is None else leadership, dtype=pl.Float64
            ).fill_nan(None),
        }
    )


def _names(names: Sequence[str] | None, k: int) -> list[str]:
    labels = [f"price {i + 1}" for i in range(k)] if names is None else list(names)
    if len(labels) != k or len(set(labels)) < k:
        raise DataError(f"expected {k} different names, found {labels}")
    return labels
