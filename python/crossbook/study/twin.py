"""The feedback twin: two venues that mark to each other's prices, neither of which leads, at a real pair's times."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Unpack

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.checked import checked
from crossbook.study.lead_lag import Observations, Options, lead_lag_both, lead_ratios, observed, peak_lags, whole_lags
from crossbook.study.series import Clock, Floats, Times, series

__all__ = ["Twins", "against_twin", "feedback_twin"]

Series = tuple[Times, Floats]

HALF_LIVES_MS = tuple(float(10 ** (power / 4)) for power in range(-2, 19))
"""What `against_twin` chooses from: 0.3 ms to 32 s, four a decade."""
STRIDE = 4
MOST_RUNS = 100_000
MOST_VOLATILITY_BP = 1e5


@checked
def feedback_twin(
    primary: pl.DataFrame | None = None,
    secondary: pl.DataFrame | None = None,
    /,
    *,
    half_life_ms: float = 100.0,
    delay_ms: float = 0.0,
    common: float = 0.0,
    volatility_bp: float | None = None,
    seconds: float = 600.0,
    rate: float = 20.0,
    clock: Clock = "recv",
    value: str = "mid",
    seed: int = 0,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Simulate a pair of venues that follow each other, with no true lead: the null that a lead has to beat.

    Each venue hears news of its own, of the same variance, and at every instant of its own closes part of the gap to
    the other's price as it saw it `delay_ms` ago (at least 1 ns):

    `x(t) = x(s) + σ (√c ΔC + √(1 - c) ΔW_x) + (1 - e^{-κ (t - s)}) (y(t - δ) - x(s))`, the same for `y`, `s` the
    venue's instant before, `κ = ln 2 / half_life`.

    The two laws are the same, so neither leads; yet their moves correlate at lags of both signs, and whatever asymmetry
    a lead-lag curve of the twin shows comes from the **times of observation** alone. Venues that mark to each other's
    prices look like this, and lead-lag curves by themselves cannot tell it from a lead: `against_twin` says where a
    pair stands.

    Parameters: with two frames (quotes or trades with a time and `value`, as for `lead_lag`) the twin is seen at their
    times, on `clock`, from their first prices, with a `volatility_bp` (standard deviation of a venue's news over one
    second, bp) that makes the geometric mean of the two realised variances theirs; without frames at Poisson times of
    `rate` a second over `seconds`, with 1 bp. `half_life_ms`: of a gap towards a price that stands still; `common`: the
    share of news heard by both at once.

    Returns two frames with ``ts_recv, ts_event`` (both the time used, ns) and `value`. The same seed gives the same
    twin. Raises `DataError` for one frame without the other, options out of range, or as `lead_lag` does for a frame.
    """
    if (primary is None) is not (secondary is None):
        raise DataError("expected the times of both venues or of none, found one")
    numbers = {"half_life_ms": half_life_ms, "delay_ms": delay_ms, "common": common, "seconds": seconds, "rate": rate}
    wrong = [name for name, number in numbers.items() if not (math.isfinite(number) and number >= 0)]
    if wrong or half_life_ms == 0 or seconds == 0 or rate == 0 or common > 1:
        raise DataError(f"expected positive half_life_ms, seconds and rate, delay_ms >= 0, 0 <= common <= 1: {numbers}")
    if volatility_bp is not None and not 0 < volatility_bp <= MOST_VOLATILITY_BP:
        raise DataError(f"expected volatility_bp above 0, at most {MOST_VOLATILITY_BP:g}, found {volatility_bp}")
    rng = np.random.default_rng(seed)
    if primary is None or secondary is None:
        if seconds < 1e-8:
            raise DataError(f"expected seconds of 10 ns or more, found {seconds}")
        if seconds * rate > 1e8:
            raise DataError(f"expected at most 100 million instants, found {seconds * rate:,.0f}")
        longest, counts = round(seconds * 1e9), rng.poisson(seconds * rate, 2)
        times = [np.unique(rng.integers(1, longest, max(2, int(count)))) for count in counts]
        firsts, target = [0.0, 0.0], None
    else:
        pair = [series(frame, clock, value) for frame in (primary, secondary)]
        times, firsts = [x[0] for x in pair], [float(x[1][0]) for x in pair]
        target = _variance(pair) if volatility_bp is None else None
        if target == 0.0:
            raise DataError(f"expected a {value} that moves in both frames, found one that is constant")
    logs = _simulate(times, rng, half_life_ms, delay_ms, common, volatility_bp or 1.0, target)
    frames = [
        pl.DataFrame({"ts_recv": at, "ts_event": at, value: np.exp(first + log)})
        for at, first, log in zip(times, firsts, logs, strict=True)
    ]
    return frames[0], frames[1]


@dataclass(frozen=True, slots=True)
class Twins:
    """Where a pair stands against its feedback twins; see `against_twin`."""

    summary: pl.DataFrame
    """A row a measure: ``measure, value`` (of the pair), ``twin_lo, twin_median, twin_hi, p_value, beyond``."""
    runs: pl.DataFrame
    """A row a twin: ``run, peak_lag_ms, rho_peak, log_llr, log_llr_abs``."""
    curve: pl.DataFrame
    """``lag_ms, rho`` (of the pair), ``twin_lo, twin_median, twin_hi``: the twins' band at each lag."""
    half_life_ms: float
    """Half-life of the gap in the twins."""


@checked
def against_twin(
    primary: pl.DataFrame,
    secondary: pl.DataFrame,
    /,
    *,
    runs: int = 99,
    half_life_ms: float | None = None,
    delay_ms: float = 0.0,
    common: float = 0.0,
    **options: Unpack[Options],
) -> Twins:
    """Where a pair's lead stands among feedback twins seen at the same times: could mutual marking alone show it?

    `runs` twins of `feedback_twin` are measured as the pair is. Without `half_life_ms` it is the longest of 21 between
    0.3 ms and 32 s whose twin has a peak `|ρ|` like the pair's, so that the twins' venues follow each other as closely.

    Measures: ``peak_lag_ms``; ``log_llr = ln(Σ_{θ>0} ρ² / Σ_{θ<0} ρ²)``; ``log_llr_abs``, the same of `|ρ|`. The
    p-value is the two-sided rank of the pair among the twins, `2 min(1 + #{twin <= pair}, 1 + #{twin >= pair}) / (runs
    + 1)`, at most 1; ``beyond`` says whether it is at most `1 - level`. A pair that is not beyond its twins shows no
    lead that mutual reference and the times of observation could not have made; one that is beyond them shows more than
    *this* null, which is not yet who causes what.

    Parameters: frames and `options` as for `lead_lag_both`; `runs` of 19 to 100,000; with fewer than 39
    nothing is beyond at 95 %. The seed of `options` drives the twins. Raises `DataError` as `lead_lag_both` and
    `feedback_twin` do.

    The rank test is a Monte-Carlo test: Barnard (1963); Davison & Hinkley (1997), "Bootstrap Methods and their
    Application", 4.2.
    """
    if isinstance(runs, bool) or not isinstance(runs, int) or not 19 <= runs <= MOST_RUNS:
        raise DataError(f"expected at least 19 runs, at most {MOST_RUNS:,}, found {runs!r}")
    if (half_life_ms is not None and not half_life_ms > 0) or delay_ms < 0 or not 0 <= common <= 1:
        raise DataError(
            f"expected half_life_ms > 0, delay_ms >= 0, 0 <= common <= 1, found {half_life_ms}, {delay_ms}, {common}"
        )
    level, seed = options.get("level", 0.95), options.get("seed", 0)
    clock, value = options.get("clock", "recv"), options.get("value", "mid")
    real = lead_lag_both(primary, secondary, **options)
    pair = [series(frame, clock, value) for frame in (primary, secondary)]
    target = _variance(pair)
    whole = whole_lags(np.round(real.curve["lag_ms"].to_numpy() * 1e6).astype(np.int64), [times for times, _ in pair])

    def twin(life: float, at: int) -> tuple[Floats, dict[str, float]]:
        rng = np.random.default_rng([seed, at])
        logs = _simulate([times for times, _ in pair], rng, life, delay_ms, common, 1.0, target)
        rho = _rho(pair, logs, real.curve["lag_ms"].to_numpy(), options.get("observations", "changes"))
        return rho, _measures(rho, real.curve["lag_ms"].to_numpy(), whole)

    if half_life_ms is None:
        wanted = abs(real.summary["rho_peak"].item())
        half_life_ms = _like(wanted, lambda life: abs(twin(life, 0)[1]["rho_peak"]))
    drawn = [twin(half_life_ms, at) for at in range(1, runs + 1)]
    mine = _measures(real.curve["rho"].to_numpy(), real.curve["lag_ms"].to_numpy(), whole)
    table = pl.DataFrame([measures for _, measures in drawn]).with_row_index("run")
    tail = [(1 - level) / 2, 0.5, (1 + level) / 2]
    rows = []
    for measure in ("peak_lag_ms", "log_llr", "log_llr_abs"):
        twins, at = table[measure].to_numpy(), mine[measure]
        p_value = min(1.0, 2 * min(1 + int((twins <= at).sum()), 1 + int((twins >= at).sum())) / (runs + 1))
        low, middle, high = np.quantile(twins, tail)
        rows.append((measure, at, low, middle, high, p_value, p_value <= 1 - level + 1e-12))
    names = ["measure", "value", "twin_lo", "twin_median", "twin_hi", "p_value", "beyond"]
    low, middle, high = np.quantile(np.stack([rho for rho, _ in drawn]), tail, axis=0)
    curve = real.curve.select("lag_ms", "rho").with_columns(twin_lo=low, twin_median=middle, twin_hi=high)
    return Twins(pl.DataFrame(rows, schema=names, orient="row"), table, curve, half_life_ms)


def _measures(rho: Floats, lags_ms: Floats, whole: NDArray[np.bool_]) -> dict[str, float]:
    half = rho.size // 2
    return {
        "peak_lag_ms": float(peak_lags(rho[None, whole], lags_ms[whole])[0]),
        "rho_peak": float(rho[np.where(whole, np.abs(rho), -1.0).argmax()]),
        "log_llr": float(np.log(lead_ratios(rho[None, :] ** 2, half)[0])),
        "log_llr_abs": float(np.log(lead_ratios(np.abs(rho)[None, :], half)[0])),
    }


def _like(wanted: float, rho_peak: Callable[[float], float]) -> float:
    """The longest half-life whose twin is as correlated as wanted.

    The shorter it is the closer they follow, until they only swap prices at every instant and correlate less again. So
    the longest comes first, in strides; within the stride that passes what is wanted the correlation is taken to rise.
    """
    lives = HALF_LIVES_MS[::-1]
    at = cache(lambda place: rho_peak(lives[place]))
    short = next((place for place in range(0, len(lives), STRIDE) if at(place) >= wanted), None)
    if short is None:
        return lives[max(range(len(lives)), key=at)]
    long = max(0, short - STRIDE)
    while short - long > 1:
        middle = (long + short) // 2
        long, short = (long, middle) if at(middle) >= wanted else (middle, short)
    return lives[min(long, short, key=lambda place: abs(at(place) - wanted))]


def _variance(pair: list[Series]) -> float:
    """Geometric mean of the two realised variances."""
    return math.sqrt(math.prod(float(np.diff(logs) @ np.diff(logs)) for _, logs in pair))


def _simulate(
    times: list[Times],
    rng: np.random.Generator,
    half_life_ms: float,
    delay_ms: float,
    common: float,
    volatility_bp: float,
    target: float | None,
) -> list[Floats]:
    """Log prices from 0 at these times, scaled to the `target` variance if there is one."""
    own = [rng.standard_normal(x.size) for x in times]
    logs = _core.feedback(
        times[0],
        own[0],
        times[1],
        own[1],
        rng.standard_normal(times[0].size + times[1].size),
        volatility=volatility_bp * 1e-4 / math.sqrt(1e9),
        rate=math.log(2) / (half_life_ms * 1e6),
        delay=max(1, round(delay_ms * 1e6)),
        common=common,
    )
    # Prices are linear in the volatility, so one run tells what makes the variances equal.
    found = _variance(list(zip(times, logs, strict=True)))
    scale = math.sqrt(target / found) if target is not None and found > 0 else 1.0
    return [log * scale for log in logs]


def _rho(pair: list[Series], logs: list[Floats], lags_ms: Floats, observations: Observations) -> Floats:
    """The curve of `lead_lag_both` for these log prices at the pair's times, without its bands."""
    start, end = int(max(x[0][0] for x in pair)), int(min(x[0][-1] for x in pair))
    x, y = (observed((times, log), start, end, observations) for (times, _), log in zip(pair, logs, strict=True))
    lags = np.round(lags_ms * 1e6).astype(np.int64)
    step = int(lags[1] - lags[0]) if lags.size > 1 else 1
    matrix, x_variance, y_variance, _ = _core.hy_contrast(
        *x, *y, first=int(lags[0]), step=step, count=lags.size, block=end - start + 1
    )
    return np.asarray(matrix.sum(axis=0) / np.sqrt(x_variance.sum() * y_variance.sum()))
