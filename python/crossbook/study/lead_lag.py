"""Which venue leads, by how much, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.checked import checked, expected_columns
from crossbook.study.resample import chunks, mean_run_length, stationary_counts
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
    mean_run: float | None
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


@checked
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
    mean_run: float | None = None,
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

    Uncertainty: blocks of `block_s` seconds are drawn by the stationary bootstrap with a mean run of `mean_run` blocks,
    `resamples` times (percentile intervals at `level`). By default the run is chosen from the blocks' contributions at
    the peak (`crossbook.study.resample.mean_run_length`); 1 draws every block alone, for blocks much longer than the
    lags and else independent. `null_lo`, `null_hi`: quantiles of
    `ρ` at `null_shifts` shifts, half of each sign, evenly from 10 times `max_lag_ms` (a quarter of the shared time if
    that is less) to half the shared time, where nothing real is left, each rescaled by `√(T / (T - |θ|))` for the
    shorter overlap. They hold at one lag; the peak is the largest of many, so `null_max` is the `level` quantile of
    `max|ρ|` over the grid when every block's sign is random.

    Times in whole seconds (or milliseconds, …) put moves of one second at one instant. At lags between whole multiples
    of that resolution every increment then overlaps two neighbours of the other stream, and the contrast is largest
    half a step beside the truth; so the peak is looked for at whole multiples of the resolution that both streams share
    (their greatest common divisor), whatever `step_ms`. A resolution of the data is no error bar: the interval cannot
    be finer than it.

    Curve: `lag_ms, contrast, rho, rho_lo, rho_hi, null_lo, null_hi`, one row a lag from `-max_lag_ms` to `max_lag_ms`.
    Summary: `peak_lag_ms` with `_lo_ms`, `_hi_ms` (the middle between the first and the last lag at which `|ρ|` reaches
    its maximum, so that a series against itself gives 0), `rho_peak` (the signed `ρ` there),
    `llr = Σ_{θ>0}ρ² / Σ_{θ<0}ρ²` (Huth & Abergel) and `llr_abs`, the same of `|ρ|`, each with `_lo`, `_hi` (noise adds
    to both sums of a resample, so these intervals err towards 1; null where the lags
    below 0 weigh nothing, or nothing moves in more than one resample in twenty), `null_lo`, `null_hi`, `null_max`,
    `observations_primary`, `observations_secondary`, `blocks`, `mean_run`, `seconds`, and `leader`: `"none"` where the
    peak is within the null band or `null_max`, or its interval covers 0.

    Parameters: `primary` and `secondary` with the time of `clock` (``ts_recv`` or ``ts_event``, ns or Datetime; see
    `market_table` for text and seconds) and `value`, in any order. Raises `DataError` where the shared time is too
    short for 6 blocks or for the shifts, a column is missing, a value is not positive, a price never moves, or
    `max_lag_ms` is below the times' resolution.

    Hayashi & Yoshida (2005), Bernoulli 11(2); Hoffmann, Rosenbaum & Yoshida (2013), Bernoulli 19(2); Huth & Abergel
    (2014), "High frequency lead/lag relationships", Journal of Empirical Finance 26.
    """
    if resamples * (2 * max_lag_ms / step_ms if step_ms > 0 else 0) > 1 << 28:
        raise DataError("expected at most 2^28 resamples times lags: a longer step_ms or fewer resamples")
    if not (resamples > 0 and 1 < null_shifts <= 100_000 and 0.0 < level < 1.0):
        raise DataError("expected resamples > 0, null_shifts of 2 to 100,000 and 0 < level < 1")
    run = contrast_of(primary, secondary, clock, value, observations, max_lag_ms, step_ms, block_s)
    lags, half, whole = run.lags, run.lags.size // 2, run.whole
    rng = np.random.default_rng(seed)
    tail = [(1 - level) / 2, (1 + level) / 2]
    blocks = run.x_variance.size
    contrast = run.matrix.sum(axis=0)
    scale = float(np.sqrt(run.x_variance.sum() * run.y_variance.sum()))
    rho = contrast / scale
    top = int(np.where(whole, np.abs(rho), -1.0).argmax())
    if mean_run is None:
        mean_run = mean_run_length(run.matrix[:, top])
    drawn = resampled_rho(run, mean_run, resamples, rng)
    rho_lo, rho_hi = np.quantile(drawn, tail, axis=0)
    peak_lo, peak_hi = np.quantile(peak_lags(drawn[:, whole], lags[whole]), tail)
    llr_lo, llr_hi = _ends(lead_ratios(drawn**2, half), tail)
    llr_abs_lo, llr_abs_hi = _ends(lead_ratios(np.abs(drawn), half), tail)
    null_max = largest_by_chance(run, rng, resamples, level) / scale
    null_lo, null_hi = np.quantile(_null(run, null_shifts) / scale, tail)

    peak = float(peak_lags(rho[None, whole], lags[whole])[0])
    rho_peak = float(rho[top])
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
            "llr": _finite(lead_ratios(rho[None, :] ** 2, half)[0]),
            "llr_lo": llr_lo,
            "llr_hi": llr_hi,
            "llr_abs": _finite(lead_ratios(np.abs(rho)[None, :], half)[0]),
            "llr_abs_lo": llr_abs_lo,
            "llr_abs_hi": llr_abs_hi,
            "null_lo": float(null_lo),
            "null_hi": float(null_hi),
            "null_max": null_max,
            "observations_primary": run.x[0].size,
            "observations_secondary": run.y[0].size,
            "blocks": blocks,
            "mean_run": mean_run,
            "seconds": run.span / 1e9,
            "leader": ("primary" if peak > 0 else "secondary") if found else "none",
        }
    )
    ratios = pl.col("llr", "llr_lo", "llr_hi", "llr_abs", "llr_abs_lo", "llr_abs_hi")
    return LeadLag(curve, summary.with_columns(ratios.cast(pl.Float64)))


@dataclass(frozen=True, slots=True)
class ContrastRun:
    """One run of the kernel: the contrast by block and lag, and what went into it."""

    lags: Times
    matrix: Floats
    """`[blocks, lags]`."""
    x_variance: Floats
    y_variance: Floats
    block_starts: Times
    x: tuple[Times, Floats]
    y: tuple[Times, Floats]
    span: int
    """Shared time, ns."""
    longest: int
    """The largest lag, ns."""
    whole: NDArray[np.bool_]
    """`[lags]`: those at which a peak is looked for."""


def contrast_of(
    primary: pl.DataFrame,
    secondary: pl.DataFrame,
    clock: Clock,
    value: str,
    observations: Observations,
    max_lag_ms: float,
    step_ms: float,
    block_s: float,
) -> ContrastRun:
    """The contrast of two frames by block and lag, checked as `lead_lag_both` says."""
    x, y, _start, span = shared_series(primary, secondary, clock, value, observations)
    step, longest, block = (round(x) if np.isfinite(x) else 0 for x in (step_ms * 1e6, max_lag_ms * 1e6, block_s * 1e9))
    if not (0 < step <= longest and block > 0):
        raise DataError("expected 0 < step_ms <= max_lag_ms and block_s > 0")
    if span < max((MIN_BLOCKS - 1) * block, 8 * longest):
        raise DataError(
            f"expected at least {MIN_BLOCKS} blocks of {block_s:g} s and 8 times {max_lag_ms:g} ms of shared time, "
            f"found {max(span, 0) / 1e9:.3f} s"
        )
    half = longest // step
    lags = np.arange(-half, half + 1) * step
    whole = whole_lags(lags, (x[0], y[0]))
    found = _core.hy_contrast(*x, *y, first=-half * step, step=step, count=lags.size, block=block)
    if not (found[1].any() and found[2].any()):
        raise DataError(f"expected a {value} that moves in both streams, found one that is constant")
    return ContrastRun(lags, *found, x, y, span, longest, whole)


def shared_series(
    primary: pl.DataFrame, secondary: pl.DataFrame, clock: Clock, value: str, observations: Observations
) -> tuple[tuple[Times, Floats], tuple[Times, Floats], int, int]:
    """Times and logs of both frames in the time they share, its start and length in ns."""
    if observations not in ("changes", "all"):
        raise DataError(f'expected observations "changes" or "all", found {observations!r}')
    x, y = series(primary, clock, value), series(secondary, clock, value)
    start, end = int(max(x[0][0], y[0][0])), int(min(x[0][-1], y[0][-1]))
    if end < start:
        raise DataError(f"expected an instant of shared time at least, found {(start - end) / 1e9:.3f} s between")
    return observed(x, start, end, observations), observed(y, start, end, observations), start, end - start


def observed(
    stream: tuple[Times, Floats], start: int | None, end: int | None, observations: Observations
) -> tuple[Times, Floats]:
    """What counts as an observation of a stream between two times, both included; see `lead_lag_both`."""
    times, values = stream
    first = 0 if start is None else int(np.searchsorted(times, start))
    last = times.size if end is None else int(np.searchsorted(times, end, side="right"))
    times, values = times[first:last], values[first:last]
    if observations == "changes":
        kept = np.diff(values, prepend=np.nan) != 0
        times, values = times[kept], values[kept]
    if times.size == 0:
        raise DataError("expected quotes of both venues in the time they share, found none")
    return times, values


def resolution_of(times: Sequence[Times], enough: int = 1) -> int:
    """The longest ns of which all distances between these times are whole multiples, or a divisor of `enough`.

    Times in whole seconds have one second, however they are written. 0 of a single instant.
    """
    origin, found = int(times[0][0]), 0
    for stream in times:
        for begin in range(0, stream.size, 1 << 12):
            found = int(np.gcd.reduce(stream[begin : begin + (1 << 12)] - origin, initial=found))
            if found and enough % found == 0:
                return found
    return found


def whole_lags(lags: Times, times: Sequence[Times]) -> NDArray[np.bool_]:
    """Which lags of a grid are whole multiples of the times' resolution; see `lead_lag_both`."""
    step = int(lags[1] - lags[0]) if lags.size > 1 else 1
    resolution = resolution_of(times, step)
    kept: NDArray[np.bool_] = lags % resolution == 0 if resolution else np.ones(lags.size, dtype=np.bool_)
    if lags.size > 1 and kept.sum() < 2:
        raise DataError(
            f"expected max_lag_ms of at least the resolution of the times, {resolution / 1e6:g} ms: a shorter lag "
            "cannot be told from none"
        )
    return kept


def peak_lags(rho: Floats, lags: Times | Floats) -> Floats:
    """The peak lag of each row, in the unit of `lags`. Mirrored maxima differ by rounding, hence the tolerance."""
    size = np.abs(rho)
    top = size >= size.max(axis=1, keepdims=True) * (1 - 1e-9)
    first, last = top.argmax(axis=1), lags.size - 1 - top[:, ::-1].argmax(axis=1)
    return np.asarray((lags[first] + lags[last]) / 2, dtype=np.float64)


def lead_ratios(size: Floats, half: int) -> Floats:
    """Sums of each row over positive lags by those over negative ones."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(size[:, half + 1 :].sum(axis=1) / size[:, :half].sum(axis=1))


def resampled_rho(run: ContrastRun, mean_run: float, resamples: int, rng: np.random.Generator) -> Floats:
    """`ρ` of every resample of the blocks, `[resamples, lags]`; 0 where a series does not move in it."""
    parts = []
    for some in chunks(run.x_variance.size, resamples):
        draws = stationary_counts(run.x_variance.size, mean_run, some, rng)
        scales = np.sqrt((draws @ run.x_variance) * (draws @ run.y_variance))[:, None]
        drawn = draws @ run.matrix
        np.divide(drawn, scales, out=drawn, where=scales > 0)
        drawn[scales[:, 0] <= 0] = 0.0
        parts.append(drawn)
    return np.concatenate(parts)


def largest_by_chance(run: ContrastRun, rng: np.random.Generator, resamples: int, level: float) -> float:
    """The `level` quantile of the largest `|contrast|` over lags when every block's sign is random."""
    largest = []
    for some in chunks(run.x_variance.size, resamples):
        signs = rng.choice(np.array([-1.0, 1.0]), (some, run.x_variance.size))
        largest.append(np.abs(signs @ run.matrix).max(axis=1))
    return float(np.quantile(np.concatenate(largest), level))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _ends(ratios: Floats, tail: Sequence[float]) -> tuple[float | None, float | None]:
    """Quantiles of ratios. Of resamples that drew no block with a move there is none, so null where these are many."""
    known = ratios[~np.isnan(ratios)]
    if known.size < 0.95 * ratios.size:
        return None, None
    lo, hi = np.quantile(known, tail, method="linear" if np.isfinite(known).all() else "higher")
    return _finite(lo), _finite(hi)


def _null(run: ContrastRun, shifts: int) -> Floats:
    one_sign = np.linspace(min(10 * run.longest, run.span // 4), run.span // 2, (shifts + 1) // 2).astype(np.int64)
    lags = np.concatenate([-one_sign[::-1], one_sign])
    return np.asarray(_core.hy_at(*run.x, *run.y, lags) * np.sqrt(run.span / (run.span - np.abs(lags))))


@checked
def lead_lag_ratio(curve: pl.DataFrame, /, *, of: Literal["squares", "absolutes"] = "squares") -> float:
    """The lead-lag ratio of a curve: the weight of lags at which the primary leads over that of the others.

    ``"squares"``: `Σ_{θ>0} ρ(θ)² / Σ_{θ<0} ρ(θ)²` (Huth & Abergel 2014, the `llr` of `lead_lag_both`); ``"absolutes"``:
    `Σ_{θ>0} |ρ(θ)| / Σ_{θ<0} |ρ(θ)|` (as in common software; its `llr_abs`). Above 1 the primary leads. Both are
    dimensionless and hang on the range of lags; lag 0 is on neither side. `curve` has `lag_ms` and `rho`. Raises
    `DataError` for a missing column, a value that is not finite, or lags of one sign only.
    """
    expected_columns(curve, "curve", ["lag_ms", "rho"])
    if of not in ("squares", "absolutes"):
        raise DataError(f'expected a ratio of "squares" or "absolutes", found {of!r}')
    lags, rho = curve["lag_ms"].cast(pl.Float64).to_numpy(), curve["rho"].cast(pl.Float64).to_numpy()
    if not (np.isfinite(lags).all() and (np.abs(rho) < 1e100).all()):
        raise DataError("curve: expected a finite lag_ms and rho in every row")
    size = rho**2 if of == "squares" else np.abs(rho)
    ahead, behind = float(size[lags > 0].sum()), float(size[lags < 0].sum())
    if not behind > 0:
        raise DataError("expected lags below zero with a contrast, found none")
    return ahead / behind
