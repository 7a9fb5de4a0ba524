"""Which venue leads, by how much, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack

import numpy as np
import polars as pl

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.series import Clock, Floats, Times, series

Observations = Literal["changes", "all"]

MIN_BLOCKS = 6
"""Fewer blocks cannot reject anything at 95 %: under sign flips all agree by chance with probability 2^(1 - blocks)."""


class Options(TypedDict, total=False):
    """The keyword arguments of `lead_lag_both`."""

    clock: Clock
    value: str
    observations: Observations
    max_lag_ms: float
    step_ms: float
    block_s: float
    resamples: int
    null_shifts: int
    level: float
    seed: int


@dataclass(frozen=True, slots=True)
class LeadLag:
    """The curve over lags and the one-row summary of one run of the kernel."""

    curve: pl.DataFrame
    summary: pl.DataFrame


def lead_lag(primary: pl.DataFrame, secondary: pl.DataFrame, /, **options: Unpack[Options]) -> pl.DataFrame:
    """The curve of `lead_lag_both`, where arguments and columns are described."""
    return lead_lag_both(primary, secondary, **options).curve


def lead_lag_summary(primary: pl.DataFrame, secondary: pl.DataFrame, /, **options: Unpack[Options]) -> pl.DataFrame:
    """The one-row summary of `lead_lag_both`, where arguments and columns are described."""
    return lead_lag_both(primary, secondary, **options).summary


def lead_lag_both(
    primary: pl.DataFrame,
    secondary: pl.DataFrame,
    /,
    *,
    clock: Clock = "recv",
    value: str = "mid",
    observations: Observations = "changes",
    max_lag_ms: float = 1000.0,
    step_ms: float = 1.0,
    block_s: float = 10.0,
    resamples: int = 1000,
    null_shifts: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> LeadLag:
    """Hayashi-Yoshida cross-correlation of two quote streams as a function of lag.

    `contrast(θ) = Σ dx_i dy_j 1{(s_i, s_i+1] ∩ (t_j - θ, t_j+1 - θ] ≠ ∅}`, `ρ(θ) = contrast(θ) / √(Σdx² Σdy²)`, with
    increments of the log of column `value` of `primary` (x) and `secondary` (y). **A positive lag: the primary leads.**
    Nothing is sampled onto a clock; `ρ` is an estimate and may exceed 1 where increments trend. Both streams are cut to
    the time they share; of several rows at one instant the last holds; rows whose value is null or NaN (one-sided
    quotes) and rows without a time on `clock` are left out.

    `observations` says what counts as one. `"changes"`: only rows that change the value, the tick time of Huth &
    Abergel; it sees an unchanged quote as no news, so its correlation is near that of the prices behind the quotes, but
    where one venue's value changes more rarely (a coarser tick) both the peak and the ratio are pushed towards that
    venue as the leader. `"all"`: every row, so an unchanged quote is a price confirmed; nearly free of that bias, with
    a lower correlation (Epps effect) and a peak at the most common delay of single moves. Where the two disagree, the
    truth lies between: show both.

    Uncertainty: non-overlapping blocks of `block_s` seconds are drawn with replacement `resamples` times (percentile
    intervals at `level`; blocks much longer than the lags are assumed independent). `null_lo`, `null_hi`: quantiles of
    `ρ` at `null_shifts` shifts, half of each sign, evenly from 10 times `max_lag_ms` (a quarter of the shared time if
    that is less) to half the shared time, where nothing real is left, each rescaled by `√(T / (T - |θ|))` for the
    shorter overlap. They hold at one lag; the peak is the largest of many, so `null_max` is the `level` quantile of
    `max|ρ|` over the grid when every block's sign is random.

    Curve: `lag_ms, contrast, rho, rho_lo, rho_hi, null_lo, null_hi`, one row a lag from `-max_lag_ms` to `max_lag_ms`.
    Summary: `peak_lag_ms` with `_lo_ms`, `_hi_ms` (the middle between the first and the last lag at which `|ρ|` reaches
    its maximum, so that a series against itself gives 0), `rho_peak` (the signed `ρ` there),
    `llr = Σ_{θ>0}ρ² / Σ_{θ<0}ρ²` with `_lo`, `_hi`, `llr_abs` (the same of `|ρ|`), `null_lo`, `null_hi`, `null_max`,
    `observations_primary`, `observations_secondary`, `blocks`, `seconds`, and `leader`: `"none"` where the peak is
    within the null band or `null_max`, or its interval covers 0.

    Raises `DataError` where the shared time is too short for 6 blocks or for the shifts, a column is missing, a value
    is not positive, or a price never moves.

    Hayashi & Yoshida (2005), Bernoulli 11(2); Hoffmann, Rosenbaum & Yoshida (2013), Bernoulli 19(2); Huth & Abergel
    (2014), "High frequency lead/lag relationships", Journal of Empirical Finance 26.
    """
    step, longest, block = (round(x) for x in (step_ms * 1e6, max_lag_ms * 1e6, block_s * 1e9))
    if not (0 < step <= longest and block > 0 and resamples > 0 and null_shifts > 1 and 0.0 < level < 1.0):
        raise DataError(
            "expected 0 < step_ms <= max_lag_ms, block_s > 0, resamples > 0, null_shifts > 1 and 0 < level < 1"
        )
    x, y = series(primary, clock, value), series(secondary, clock, value)
    start, end = max(x[0][0], y[0][0]), min(x[0][-1], y[0][-1])
    span = int(end - start)
    if span < max((MIN_BLOCKS - 1) * block, 8 * longest):
        raise DataError(
            f"expected at least {MIN_BLOCKS} blocks of {block_s:g} s and 8 times {max_lag_ms:g} ms of shared time, "
            f"found {max(span, 0) / 1e9:.3f} s"
        )
    x, y = _observed(x, start, end, observations), _observed(y, start, end, observations)
    half = longest // step
    lags = np.arange(-half, half + 1) * step
    matrix, x_var, y_var, _ = _core.hy_contrast(*x, *y, first=-half * step, step=step, count=lags.size, block=block)
    if not (x_var.any() and y_var.any()):
        raise DataError(f"expected a {value} that moves in both streams, found one that is constant")
    contrast = matrix.sum(axis=0)
    scale = float(np.sqrt(x_var.sum() * y_var.sum()))
    rho = contrast / scale

    rng = np.random.default_rng(seed)
    tail = [(1 - level) / 2, (1 + level) / 2]
    blocks = x_var.size
    draws = rng.multinomial(blocks, np.full(blocks, 1 / blocks), resamples).astype(np.float64)
    scales = np.sqrt((draws @ x_var) * (draws @ y_var))[:, None]
    drawn = draws @ matrix
    np.divide(drawn, scales, out=drawn, where=scales > 0)
    rho_lo, rho_hi = np.quantile(drawn, tail, axis=0)
    peak_lo, peak_hi = np.quantile(_peaks(drawn, lags), tail)
    llr_lo, llr_hi = np.quantile(_ratio(drawn**2, half), tail)
    signs = rng.choice(np.array([-1.0, 1.0]), (resamples, blocks))
    null_max = float(np.quantile(np.abs(signs @ matrix).max(axis=1), level)) / scale
    null_lo, null_hi = np.quantile(_null(x, y, span, longest, null_shifts) / scale, tail)

    peak = float(_peaks(rho[None, :], lags)[0])
    rho_peak = float(rho[np.abs(rho).argmax()])
    found = abs(rho_peak) > null_max and not null_lo <= rho_peak <= null_hi and not peak_lo <= 0.0 <= peak_hi
    curve = pl.DataFrame(
        {"lag_ms": lags / 1e6, "contrast": contrast, "rho": rho, "rho_lo": rho_lo, "rho_hi": rho_hi}
    ).with_columns(null_lo=pl.lit(float(null_lo)), null_hi=pl.lit(float(null_hi)))
    summary = pl.DataFrame(
        {
            "peak_lag_ms": peak / 1e6,
            "peak_lag_lo_ms": float(peak_lo) / 1e6,
            "peak_lag_hi_ms": float(peak_hi) / 1e6,
            "rho_peak": rho_peak,
            "llr": float(_ratio(rho[None, :] ** 2, half)[0]),
            "llr_lo": float(llr_lo),
            "llr_hi": float(llr_hi),
            "llr_abs": float(_ratio(np.abs(rho)[None, :], half)[0]),
            "null_lo": float(null_lo),
            "null_hi": float(null_hi),
            "null_max": null_max,
            "observations_primary": x[0].size,
            "observations_secondary": y[0].size,
            "blocks": blocks,
            "seconds": span / 1e9,
            "leader": ("primary" if peak > 0 else "secondary") if found else "none",
        }
    )
    return LeadLag(curve, summary)


def _observed(
    stream: tuple[Times, Floats], start: np.int64, end: np.int64, observations: Observations
) -> tuple[Times, Floats]:
    inside = slice(np.searchsorted(stream[0], start), np.searchsorted(stream[0], end, side="right"))
    times, values = stream[0][inside], stream[1][inside]
    if observations == "changes":
        kept = np.diff(values, prepend=np.nan) != 0
        times, values = times[kept], values[kept]
    if times.size == 0:
        raise DataError("expected quotes of both venues in the time they share, found none")
    return times, values


def _peaks(rho: Floats, lags: Times) -> Floats:
    """The peak lag of each row, ns. Mirrored maxima differ by rounding, hence the tolerance."""
    size = np.abs(rho)
    top = size >= size.max(axis=1, keepdims=True) * (1 - 1e-9)
    first, last = top.argmax(axis=1), lags.size - 1 - top[:, ::-1].argmax(axis=1)
    return np.asarray((lags[first] + lags[last]) / 2, dtype=np.float64)


def _ratio(size: Floats, half: int) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(size[:, half + 1 :].sum(axis=1) / size[:, :half].sum(axis=1))


def _null(x: tuple[Times, Floats], y: tuple[Times, Floats], span: int, longest: int, shifts: int) -> Floats:
    one_sign = np.linspace(min(10 * longest, span // 4), span // 2, (shifts + 1) // 2).astype(np.int64)
    lags = np.concatenate([-one_sign[::-1], one_sign])
    return np.asarray(_core.hy_at(*x, *y, lags) * np.sqrt(span / (span - np.abs(lags))))
