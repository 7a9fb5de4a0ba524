"""The propagator: how the effect of one order on the price decays, when orders follow each other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checked import checked, expected_columns
from crossbook.study.least_squares import student
from crossbook.study.series import Floats

__all__ = ["propagator"]


@checked
def propagator(
    orders: pl.DataFrame,
    /,
    *,
    lags: int = 100,
    blocks: int = 20,
    level: float = 0.95,
) -> pl.DataFrame:
    """Estimate the propagator ``G`` of the transient impact model, in order time, from response and sign correlation.

    ``m_t = Σ_{s<t} G(t - s) ε_s + noise``: ``m_t`` the log mid just before order `t`, ``ε_t`` its sign. So the returns
    ``r_t = m_{t+1} - m_t`` are ``Σ_{n≥0} K(n) ε_{t-n} + noise`` with ``K(0) = G(1)``, ``K(n) = G(n+1) - G(n)``, and
    ``S(ℓ) = E[r_{t+ℓ} ε_t] = Σ_n K(n) C(ℓ - n)`` with the sign correlation ``C``: a symmetric Toeplitz system, solved
    by Levinson's recursion for `lags` values of ``K``. The form in differences is that of Taranto, Bormetti, Bouchaud,
    Lillo & Tóth (2018), "Linear models for the impact of order flow on prices I", Quantitative Finance 18(6); the model
    that of Bouchaud, Gefen, Potters & Wyart (2004), "Fluctuations and response in financial markets", Quantitative
    Finance 4(2).

    `orders` in order of time with ``side`` (+1, -1) and ``mid`` just before each, as `prevailing_quotes` gives them;
    rows with side 0 or without a mid are left out. A row a lag ``ℓ = 1 … lags``: ``lag, response_bp`` (``R(ℓ) = E[ε_t
    (m_{t+ℓ} - m_t)]``), ``sign_correlation`` (``C(ℓ)``), ``kernel_bp`` (``G(ℓ)``) with ``lo, hi`` at `level` (jackknife
    over `blocks` stretches of orders, t with blocks - 1), ``orders``. Means are not taken off. Truncation at `lags`
    assumes ``K = 0`` beyond. Raises `DataError` for missing columns, fewer than ``10 · lags`` orders, fewer than 2
    blocks, mids that are not positive, or signs that are all equal.
    """
    expected_columns(orders, "orders", {"side", "mid"})
    if not (1 <= lags <= 100_000 and 2 <= blocks <= 10_000):
        raise DataError(f"expected 1 to 100,000 lags and 2 to 10,000 blocks, found {lags} and {blocks}")
    rows = orders.select(pl.col("side", "mid").cast(pl.Float64).fill_nan(None)).drop_nulls().filter(pl.col("side") != 0)
    sign, mid = np.sign(rows["side"].to_numpy()), rows["mid"].to_numpy()
    if sign.size < max(10 * lags, 10 * blocks):
        raise DataError(f"expected at least {max(10 * lags, 10 * blocks)} orders, found {sign.size}")
    if not (np.isfinite(mid).all() and (mid > 0).all()):
        raise DataError("orders: expected positive finite mids")
    if np.abs(sign.sum()) == sign.size:
        raise DataError("orders: expected buys and sales, found one of them alone")
    returns = 1e4 * np.diff(np.log(mid))
    sign = sign[:-1]
    cuts = np.linspace(0, sign.size, blocks + 1).astype(np.int64)
    # Each product belongs to the block of its earlier member, so that the sums of blocks are those of all.
    signs, pulls = np.zeros((blocks, lags + 1)), np.zeros((blocks, lags + 1))
    counts = np.zeros((blocks, lags + 1))
    for block, (a, b) in enumerate(pairwise(cuts.tolist())):
        reach = min(b + lags, sign.size)
        signs[block] = _products(sign[a:b], sign[a:reach], lags)
        pulls[block] = _products(sign[a:b], returns[a:reach], lags)
        counts[block] = np.minimum(b, np.maximum(sign.size - np.arange(lags + 1), a)) - a

    def solve(c: Floats, s: Floats, n: Floats) -> Floats:
        return np.asarray(np.cumsum(_levinson(c[:lags] / n[:lags], s[:lags] / n[:lags])))

    whole = signs.sum(axis=0), pulls.sum(axis=0), counts.sum(axis=0)
    kernel = solve(*whole)
    left_out = np.stack([solve(whole[0] - signs[b], whole[1] - pulls[b], whole[2] - counts[b]) for b in range(blocks)])
    spread = np.sqrt((blocks - 1) / blocks * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    width = student(level, blocks - 1) * spread
    correlation, pull = whole[0] / whole[2], whole[1] / whole[2]
    return pl.DataFrame(
        {
            "lag": np.arange(1, lags + 1),
            "response_bp": np.cumsum(pull[:lags]),
            "sign_correlation": correlation[1:],
            "kernel_bp": kernel,
            "lo": kernel - width,
            "hi": kernel + width,
            "orders": np.full(lags, sign.size + 1),
        }
    )


def _products(early: Floats, late: Floats, lags: int) -> Floats:
    """``Σ_t early[t] late[t + ℓ]`` for ``ℓ = 0 … lags``, by one transform; 0 where `late` has ended."""
    size = 1 << int(early.size + late.size).bit_length()
    found = np.fft.irfft(np.conj(np.fft.rfft(early, size)) * np.fft.rfft(late, size), size)
    return np.asarray(found[: lags + 1])


def _levinson(column: Floats, right: Floats) -> Floats:
    from scipy.linalg import solve_toeplitz

    try:
        found = solve_toeplitz(column, right)
    except np.linalg.LinAlgError:
        raise DataError("orders: expected signs that vary, found a singular system of correlations") from None
    if not np.isfinite(found).all():
        raise DataError("orders: expected signs that vary, found a singular system of correlations")
    return np.asarray(found)
