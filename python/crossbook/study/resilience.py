"""How a book's spread, depth and flow move around events at the other venue, and how depth comes back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import polars as pl

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.checked import checked, expected_columns
from crossbook.study.least_squares import student
from crossbook.study.projections import observed
from crossbook.study.resample import expanded_tails
from crossbook.study.response import MOST_OFFSETS
from crossbook.study.series import Clock, Floats, Times, on_clock

if TYPE_CHECKING:
    pass

__all__ = ["event_paths", "resilience"]

Transform = Literal["level", "log_bp", "relative", "cumulative"]


class _Paths(NamedTuple):
    offsets: Floats
    """ms."""
    sums: Floats
    """`[blocks, offsets]`, in the units of the result."""
    counts: Floats
    dropped: int
    shown: Floats
    """ms from the event at which what is known at each offset was shown, on average: an offset less its age."""
    level: float
    """Of what the paths are relative to: the mean value, for `relative`."""


@checked
def event_paths(
    events: pl.DataFrame,
    series: pl.DataFrame,
    /,
    *,
    value: str,
    transform: Transform = "level",
    sign: str | None = None,
    by: str | None = None,
    horizon_ms: float = 2000.0,
    before_ms: float = 500.0,
    step_ms: float = 10.0,
    block_s: float = 10.0,
    clock: Clock = "recv",
    level: float = 0.95,
) -> pl.DataFrame:
    """The mean path of any column around events: spread, depth, or the flow since.

    `mean(τ) = mean over events e of s_e (v(e + τ) − v(e⁻))`, with `v` as `transform` says: ``level`` (as it is),
    ``log_bp`` (`1e4 ln v`), ``relative`` (per cent of the mean of `v`), ``cumulative`` (the running sum: what came
    since just before the event, for flows). `s_e` is the column `sign` of events, 1 without one. `by`: a column of
    events by whose values paths are shown apart (sizes, sides, regimes). Irregular times, as
    `crossbook.study.response`; so is the band: clustered by blocks of `block_s` seconds, Student's t with blocks less
    one degrees of freedom, at each offset.

    Parameters: `events` and `series` with ``ts_recv`` or ``ts_event``; rows of time 0 are left out, as are rows of
    `series` without a value. Events whose window the series does not cover are counted as `dropped`.

    Columns: ``group`` (if `by`), ``offset_ms, mean, lo, hi, events, dropped``; the mean is null without events, the
    band in fewer than two blocks. No events at all: an empty frame if `by`, else null means. Raises `DataError` for
    missing columns, values that are not finite, or options out of range.
    """
    from scipy.special import stdtrit

    if not 0 < level < 1:
        raise DataError(f"expected a level between 0 and 1, found {level}")
    if by is not None and by not in events.columns:
        raise DataError(f"events: expected a column {by}, found {', '.join(events.columns)}")
    groups: list[tuple[str | None, pl.DataFrame]] = [(None, events)]
    if by is not None:
        groups = [
            (str(key[0]), part) for key, part in events.sort(by, maintain_order=True).group_by(by, maintain_order=True)
        ]
    tables = []
    for name, part in groups:
        found = _paths(part, series, value, transform, sign, horizon_ms, before_ms, step_ms, block_s, clock)
        total, blocks = float(found.counts.sum()), found.counts.size
        mean = found.sums.sum(axis=0) / max(total, 1.0)
        spread = found.sums - found.counts[:, None] * mean
        variance = (spread**2).sum(axis=0) * blocks / max(blocks - 1, 1) / max(total, 1.0) ** 2
        reach = np.sqrt(variance) * (float(stdtrit(blocks - 1, (1 + level) / 2)) if blocks > 1 else math.nan)
        table = pl.DataFrame(
            {
                "offset_ms": found.offsets,
                "mean": mean if total else np.full(mean.size, math.nan),
                "lo": mean - reach,
                "hi": mean + reach,
                "events": np.full(mean.size, int(total)),
                "dropped": np.full(mean.size, found.dropped),
            }
        ).with_columns(pl.col("mean", "lo", "hi").fill_nan(None))
        tables.append(table if by is None else table.select(pl.lit(name).alias("group"), pl.all()))
    if tables:
        return pl.concat(tables)
    schema = {"group": pl.String, "offset_ms": pl.Float64, "mean": pl.Float64, "lo": pl.Float64, "hi": pl.Float64}
    return pl.DataFrame(schema=schema | {"events": pl.Int64, "dropped": pl.Int64})


@checked
def resilience(
    events: pl.DataFrame,
    series: pl.DataFrame,
    /,
    *,
    value: str,
    horizon_ms: float = 5000.0,
    step_ms: float = 20.0,
    from_ms: float | None = None,
    block_s: float = 10.0,
    resamples: int = 500,
    clock: Clock = "recv",
    level: float = 0.95,
    seed: int = 0,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """How much of a depth is drained after events, how much of that comes back within the horizon, and how fast.

    To the mean path of `value` after the events (`event_paths`, ``level``, no sign) from `from_ms` on the curve
    `d(τ) = −drained · (1 − refilled · (1 − 2^(−(τ − from)/half_life)))` is fitted by least squares: exponential refill
    to a level that need not be the old one, the market's resilience of Obizhaeva & Wang (2013), "Optimal trading
    strategy and supply/demand dynamics", Journal of Financial Markets 16(1). `from_ms` is by default the offset at
    which the path is lowest, which on a noisy path overstates what was drained; where the drain takes no time give 0.
    What is known at an offset was shown some time before it, on average 5 ms where a stream sends every 10, so `τ` is
    the mean time at which it was shown, not the offset itself: else what was drained would come out larger.
    `drained` is in the unit of the value, positive if depth fell; `share_refilled` is of that (1: all), extrapolated to
    the end of the exponential, `share_by_horizon` what is back at the end of the window; the half-life is of what does
    come back.

    Intervals at `level`: events are redrawn by blocks of `block_s` seconds with the same `from_ms` (a bootstrap:
    `seed`), the curve is fitted again, and the ends are quantiles (expanded as `expanded_tails` says), of the
    half-life Student's interval about its logarithm by the resamples' deviation. Half-lives are
    looked for between half a step and twice the window; a fit at either end has none, and if more than 5 % of the
    resamples end there the interval is null.

    Returns the path, ``offset_ms, mean, fitted`` (null before `from_ms`), and a table: ``measure`` (``drained,
    share_refilled, share_by_horizon, half_life_ms``), ``value, lo, hi, unit, events, dropped``. A depth that did not
    fall has null shares and half-life. Raises `DataError` as `event_paths`, and without events that the series covers,
    with fewer than 6 blocks that hold one, fewer than 4 offsets from `from_ms` on, or a value that never comes again.
    """
    if isinstance(resamples, bool) or resamples < 20 or not 0 < level < 1:
        raise DataError(f"expected 20 resamples or more and a level between 0 and 1, found {resamples} and {level}")
    found = _paths(events, series, value, "level", None, horizon_ms, 0.0, step_ms, block_s, clock)
    blocks = found.counts.size
    if not blocks:
        raise DataError(f"expected events that the {value} covers for {horizon_ms:g} ms, found none")
    if blocks < 6:
        raise DataError(f"expected events in 6 blocks of {block_s:g} s or more, found {blocks}")
    mean = found.sums.sum(axis=0) / found.counts.sum()
    first = int(np.argmin(mean)) if from_ms is None else int(np.searchsorted(found.offsets, from_ms))
    if found.offsets.size - first < 4:
        raise DataError(f"expected 4 offsets or more from {found.offsets[min(first, mean.size - 1)]:g} ms on")
    if not found.shown[-1] > found.shown[first]:
        raise DataError(f"expected {value} to be shown again within {horizon_ms:g} ms of events, found it never was")
    # What is known at an offset was shown a while before: a stream of every 10 ms is late by 5 on average.
    begin = found.shown[first] if from_ms is None else float(found.offsets[first])
    refill = _Refill(found.shown[first:] - begin)
    drawn = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), resamples)
    weight = drawn @ found.counts
    kept = weight > 0
    many = (drawn @ found.sums)[kept] / weight[kept, None]
    values = refill.fit(mean[None, first:])
    redrawn = refill.fit(many[:, first:])
    tails = expanded_tails(level, blocks)
    fell = values["drained"][0] > 0
    rows = []
    for name, unit in _MEASURES.items():
        one, spread = float(values[name][0]), redrawn[name]
        known = spread[np.isfinite(spread)]
        bounds: list[float | None] = [None, None]
        if known.size >= 0.95 * spread.size and math.isfinite(one):
            bounds = [float(q) for q in np.quantile(known, tails)]
            if name == "half_life_ms":
                # Late resamples lie far out: in logs as far above as below, with the deviation and Student's t.
                reach = math.exp(
                    student(level, blocks - 1) * float(np.log(known).std()) * (blocks / (blocks - 1)) ** 0.5
                )
                bounds = [one / reach, one * reach]
        keep = math.isfinite(one) and (fell or name == "drained")
        rows.append((name, one if keep else None, *(bounds if keep else [None, None]), unit or value))
    table = pl.DataFrame(
        rows,
        schema={"measure": pl.String, "value": pl.Float64, "lo": pl.Float64, "hi": pl.Float64, "unit": pl.String},
        orient="row",
    ).with_columns(events=pl.lit(int(found.counts.sum())), dropped=pl.lit(found.dropped))
    fitted = np.full(mean.size, math.nan)
    fitted[first:] = refill.curve(mean[first:])
    path = pl.DataFrame({"offset_ms": found.offsets, "mean": mean, "fitted": fitted})
    return path.with_columns(pl.col("fitted").fill_nan(None)), table


_MEASURES = {"drained": "", "share_refilled": "share", "share_by_horizon": "share", "half_life_ms": "ms"}


class _Refill:
    """Least squares of `a + b 2^(−t/h)` for many paths at once: for each `h` of a grid `a` and `b` are linear."""

    def __init__(self, after: Floats) -> None:
        span = float(after[-1])
        step = (span - float(after[0])) / (after.size - 1)
        self.after = after
        self.lives = np.geomspace(step / 2, 2 * span, 160)
        self.bases = [np.linalg.qr(self._columns(life))[0] for life in self.lives]

    def _columns(self, life: float) -> Floats:
        return np.column_stack([np.ones(self.after.size), np.exp2(-self.after / life)])

    def _best(self, paths: Floats) -> tuple[Floats, Floats]:
        """Half-lives, and for each path whether it is inside the grid."""
        explained = np.stack([((paths @ basis) ** 2).sum(axis=1) for basis in self.bases], axis=1)
        top = explained.argmax(axis=1)
        inner = (top > 0) & (top < self.lives.size - 1)
        at = np.clip(top, 1, self.lives.size - 2)
        row = np.arange(paths.shape[0])
        left, middle, right = (explained[row, at + k] for k in (-1, 0, 1))
        bend = left - 2 * middle + right
        shift = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, 1.0), 0.0)
        logs = np.log(self.lives)
        return np.exp(logs[at] + np.clip(shift, -1, 1) * (logs[1] - logs[0])), inner

    def fit(self, paths: Floats) -> dict[str, Floats]:
        lives, inner = self._best(paths)
        ends = np.empty((paths.shape[0], 2))
        for k, (path, life) in enumerate(zip(paths, lives.tolist(), strict=True)):
            ends[k] = self._ends(path, life)
        drained = -(ends[:, 0] + ends[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(inner, -ends[:, 1] / drained, np.nan)
            late = np.exp2(-self.after[-1] / lives)
            by_horizon = np.where(inner, -ends[:, 1] * (1 - late) / drained, np.nan)
        return {
            "drained": drained,
            "share_refilled": share,
            "share_by_horizon": by_horizon,
            "half_life_ms": np.where(inner, lives, np.nan),
        }

    def _ends(self, path: Floats, life: float) -> Floats:
        decay = np.exp2(-self.after / life)
        centred = decay - decay.mean()
        slope = float(centred @ path) / float(centred @ centred)
        return np.array([path.mean() - slope * decay.mean(), slope])

    def curve(self, path: Floats) -> Floats:
        lives, _ = self._best(path[None, :])
        return np.asarray(self._columns(float(lives[0])) @ self._ends(path, float(lives[0])))


def _paths(
    events: pl.DataFrame,
    series: pl.DataFrame,
    value: str,
    transform: str,
    sign: str | None,
    horizon_ms: float,
    before_ms: float,
    step_ms: float,
    block_s: float,
    clock: Clock,
) -> _Paths:
    step, horizon, before, block = (round(x) for x in (step_ms * 1e6, horizon_ms * 1e6, before_ms * 1e6, block_s * 1e9))
    if not (0 < step <= horizon and before >= 0 and block > 0):
        raise DataError(
            "expected 0 < step_ms <= horizon_ms, before_ms of 0 or more and block_s above 0, each a ns at least"
        )
    if (horizon + before) // step > 2 * MOST_OFFSETS:
        raise DataError(
            f"expected at most {2 * MOST_OFFSETS:,} offsets, found {(horizon + before) // step:,}: a longer step_ms"
        )
    if transform not in ("level", "log_bp", "relative", "cumulative"):
        raise DataError(f"expected transform level, log_bp, relative or cumulative, found {transform!r}")
    if sign is not None:
        expected_columns(events, "events", [sign])
    if transform == "cumulative":
        if value not in series.columns:
            raise DataError(f"series: expected a column {value}, found {', '.join(series.columns)}")
        ordered = on_clock(series, clock).with_columns(
            pl.col(value).cast(pl.Float64).fill_nan(None).fill_null(0.0).cum_sum()
        )
        times, values = observed(ordered, value, clock, "level")
    else:
        times, values = observed(series, value, clock, "log_bp" if transform == "log_bp" else "level")
    scale = 1.0
    if transform == "relative":
        scale = float(values.mean())
        if not scale > 0:
            raise DataError(f"{value}: expected a mean above 0 to be relative to, found {scale}")
        values = 100.0 * values / scale
    offsets = np.arange(-(before // step), horizon // step + 1) * step
    at = on_clock(events, clock)
    signs = np.ones(at.height) if sign is None else at[sign].cast(pl.Float64).to_numpy()
    sums, counts, dropped = _core.response(at["ts"].to_numpy(), signs, times, values, offsets, block=block)
    ts = at["ts"].to_numpy()
    covered = ts[(ts > times[0]) & (ts + offsets[-1] <= times[-1])]
    shown = np.array([float(_since(times, covered, offset)) for offset in offsets.tolist()]) / 1e6
    return _Paths(offsets / 1e6, sums, counts.astype(np.float64), dropped, shown, scale)


def _since(times: Times, events: Times, offset: int) -> float:
    """ns from an event to the last observation by `offset` after it, on average; 0 where that came before the event."""
    last = times[np.searchsorted(times, events + offset, "right") - 1]
    return float(np.maximum(last - events, 0).mean()) if events.size else float(offset)
