"""Stale windows as natural experiments: what the secondary does while the primary's view is stale."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checks import checked, needed, number_column
from crossbook.study.projections import observed
from crossbook.study.series import Clock, Floats, Times, on_clock

__all__ = ["stale_effect", "stale_windows"]

MS = 1e6


@checked
def stale_windows(
    messages: pl.DataFrame,
    /,
    *,
    silence_ms: float,
    gaps: pl.DataFrame | None = None,
    touches: pl.DataFrame | None = None,
    clock: Clock = "recv",
) -> pl.DataFrame:
    """When a venue's view was stale: silences, gaps, and times in which its book was not known.

    ``silence``: from `silence_ms` after a message, when staleness can be seen, until the next. ``gap``: from each row
    of `gaps` (``ts_recv``, ``until``: ns of the receive clock, null = to the last message) until the book was good
    again. ``unknown``: while `touches` (``bid, ask``) have a side unknown. Windows of one venue that overlap are one,
    named after the first. A silence is no fault of the connection for certain: a venue where nothing happens is silent
    too, which is why `stale_effect` matches on what went before.

    `messages`, `gaps` and `touches` of one venue, with the time of `clock`. Columns: ``start, end`` (ns), ``cause,
    duration_ms``, in order of time. No messages, or nothing stale: an empty frame. Raises `DataError` for missing
    columns or a `silence_ms` that is not above 0.
    """
    if not 0 < silence_ms < 1e12:
        raise DataError(f"expected silence_ms above 0, found {silence_ms}")
    found: list[tuple[int, int, str]] = []
    times = on_clock(messages, clock)["ts"].to_numpy()
    least = round(silence_ms * MS)
    found += [(int(times[k]) + least, int(times[k + 1]), "silence") for k in np.flatnonzero(np.diff(times) > least)]
    if gaps is not None:
        if missing := {"ts_recv", "until"} - set(gaps.columns):
            raise DataError(f"gaps: missing columns {sorted(missing)}")
        last = int(times[-1]) if times.size else 0
        for start, until in gaps.filter(pl.col("ts_recv") != 0).select("ts_recv", "until").iter_rows():
            found.append((start, last if until is None else until, "gap"))
    if touches is not None:
        if missing := {"bid", "ask"} - set(touches.columns):
            raise DataError(f"touches: missing columns {sorted(missing)}")
        rows = on_clock(touches, clock).select("ts", known=pl.col("bid").is_not_null() & pl.col("ask").is_not_null())
        rows = rows.unique("ts", keep="last", maintain_order=True)
        rows = rows.filter(pl.col("known") != pl.col("known").shift().fill_null(True))
        at, known = rows["ts"].to_list(), rows["known"].to_list()
        end = int(times[-1]) if times.size else 0
        for k, (start, good) in enumerate(zip(at, known, strict=True)):
            if not good:
                found.append((start, at[k + 1] if k + 1 < len(at) else max(end, start), "unknown"))
    merged: list[tuple[int, int, str]] = []
    for start, stop, cause in sorted(found):
        if stop <= start:
            continue
        if merged and start <= merged[-1][1]:
            begun, until, first = merged[-1]
            merged[-1] = begun, max(until, stop), first
        else:
            merged.append((start, stop, cause))
    schema = {"start": pl.Int64, "end": pl.Int64, "cause": pl.String}
    table = pl.DataFrame(merged, schema=schema, orient="row")
    return table.with_columns(duration_ms=(pl.col("end") - pl.col("start")) / MS)


@checked
def stale_effect(
    windows: pl.DataFrame,
    touches: pl.DataFrame,
    trades: pl.DataFrame,
    /,
    *,
    before_ms: float = 2000.0,
    matches: int = 5,
    within_s: float = 600.0,
    every_ms: float = 250.0,
    longest_ms: float = 10_000.0,
    block_s: float = 10.0,
    clock: Clock = "recv",
    level: float = 0.95,
) -> pl.DataFrame:
    """What a venue does in stale windows of the other, against windows like them.

    Of each window four measures of the secondary, and the same over `before_ms` before it began: ``move_bp`` (`1e4
    |ln mid_end / mid_start|`), ``spread_bp`` (mean by time), ``quotes`` (changes of the touch a second), ``volume``
    (traded a second). The controls of a window: of starts every `every_ms` within `within_s` of it, `matches` whose
    `before_ms` went most like its own (nearest in the four measures, `sign(x) log(1 + |x|)` over their deviations),
    of the same length, neither they nor what went before them touching a stale window. Nearest-neighbour matching:
    Abadie & Imbens (2006), "Large sample properties of matching estimators", Econometrica 74(1), without their bias
    correction: ``before`` says how well it balanced, and an effect there is what matching did not remove.

    The interval is Student's t for the difference of the two means, clustered by blocks of `block_s` seconds in which
    windows and controls lie, so that a control that serves many windows counts as often. That a window and its controls
    have much in common is not used: the interval is too wide rather than too narrow. Windows longer than `longest_ms`
    count up to there. Windows without enough controls, or not covered by the touches, are counted as ``dropped``.

    Parameters: `windows` with ``start, end`` (ns of `clock`), as `stale_windows` gives; `touches` with ``mid,
    spread_bp``, `trades` with ``size``. Rows: ``when`` (``before, during``), ``measure, stale, matched, difference, lo,
    hi, windows, dropped``; the interval is null in fewer than two blocks, all is null without windows. Raises
    `DataError` for missing columns, an empty stream of touches, or options out of range.
    """
    from scipy.special import stdtrit

    if missing := {"start", "end"} - set(windows.columns):
        raise DataError(f"windows: missing columns {sorted(missing)}")
    options = (before_ms, within_s, every_ms, longest_ms, block_s)
    if not all(0 < x < 1e12 for x in options) or matches < 1 or not 0 < level < 1:
        raise DataError("expected lengths above 0, matches of 1 or more and a level between 0 and 1")
    for name in ("mid", "spread_bp"):
        number_column(touches, name, "touches")
    needed(trades, ["size"], "trades")
    view = _View(touches, trades, clock)
    before, every = round(before_ms * MS), round(every_ms * MS)
    begins = windows["start"].to_numpy().astype(np.int64)
    ends = np.minimum(windows["end"].to_numpy().astype(np.int64), begins + round(longest_ms * MS))
    covered = (begins - before >= view.first) & (ends <= view.last) & (ends > begins)
    stale_from, stale_to = windows["start"].to_numpy(), windows["end"].to_numpy()
    order = np.argsort(stale_from, kind="stable")
    stale_from, stale_to = stale_from[order], np.maximum.accumulate(stale_to[order]) if order.size else stale_to
    grid = np.arange(view.first + before, max(view.last, view.first + before), every, dtype=np.int64)
    went = view.measures(grid - before, grid) if grid.size else np.empty((0, 4))
    mine = view.measures(begins[covered] - before, begins[covered])
    during = view.measures(begins[covered], ends[covered])
    like = _compressed(went)
    scale = like.std(axis=0) if grid.size else np.ones(len(_MEASURES))
    scale[scale == 0] = 1.0

    def clear(start: Times, stop: Times) -> np.ndarray:
        """Whether `[start, stop)` touches no stale window."""
        at = np.searchsorted(stale_from, stop, "left") - 1
        return (at < 0) | (stale_to[np.maximum(at, 0)] <= start)

    kept: list[int] = []
    used: list[Times] = []
    outcomes: dict[str, list[Floats]] = {"before": [], "during": []}
    for k, (start, stop) in enumerate(zip(begins[covered].tolist(), ends[covered].tolist(), strict=True)):
        low, high = np.searchsorted(grid, [start - round(within_s * 1e9), start + round(within_s * 1e9)])
        near = np.arange(low, high)
        length = stop - start
        near = near[clear(grid[near] - before, grid[near] + length) & (grid[near] + length <= view.last)]
        if near.size < matches:
            continue
        distance = (((like[near] - _compressed(mine[k])) / scale) ** 2).sum(axis=1)
        best = near[np.argsort(distance, kind="stable")[:matches]]
        kept.append(k)
        used.append(grid[best])
        outcomes["before"].append(went[best])
        outcomes["during"].append(view.measures(grid[best], grid[best] + length))
    rows = []
    # Each outcome counts in the block of its own time: controls are used for several windows, and lie near each other.
    at = np.concatenate([begins[covered][kept], *used]) // round(block_s * 1e9) if kept else np.empty(0, dtype=np.int64)
    _, place = np.unique(at, return_inverse=True)
    groups = int(place.max()) + 1 if kept else 0
    for when, own in (("before", mine), ("during", during)):
        for column, measure in enumerate(_MEASURES):
            values: list[float | None] = [None] * 5
            if kept:
                ours, theirs = own[kept, column], np.concatenate(outcomes[when])[:, column]
                gap = float(ours.mean() - theirs.mean())
                values = [float(ours.mean()), float(theirs.mean()), gap, None, None]
                if groups > 1:
                    parts = np.concatenate([(ours - ours.mean()) / ours.size, (theirs.mean() - theirs) / theirs.size])
                    sums = np.bincount(place, parts)
                    error = math.sqrt(groups / (groups - 1) * float(sums @ sums))
                    reach = error * float(stdtrit(groups - 1, (1 + level) / 2))
                    values[3:] = [gap - reach, gap + reach]
            rows.append((when, measure, *values, len(kept), windows.height - len(kept)))
    schema: dict[str, type[pl.DataType]] = {"when": pl.String, "measure": pl.String}
    schema |= dict.fromkeys(("stale", "matched", "difference", "lo", "hi"), pl.Float64)
    return pl.DataFrame(rows, schema=schema | {"windows": pl.Int64, "dropped": pl.Int64}, orient="row")


_MEASURES = ("move_bp", "spread_bp", "quotes", "volume")


def _compressed(values: Floats) -> Floats:
    """Logarithms that a spread below 0 has too: touches of one venue may cross for a moment."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))


class _View:
    """Measures of many windows at once, from running sums."""

    def __init__(self, touches: pl.DataFrame, trades: pl.DataFrame, clock: Clock) -> None:
        self.times, self.logs = observed(touches, "mid", clock, "log_bp")
        self.spread_times, spreads = observed(touches, "spread_bp", clock, "level")
        held = np.diff(self.spread_times, append=self.spread_times[-1]) / MS
        self.spreads, self.areas = spreads, np.concatenate([[0.0], np.cumsum(spreads * held)])
        self.changes = on_clock(touches, clock)["ts"].to_numpy()
        self.trade_times, sizes = observed(trades, "size", clock, "level") if not trades.is_empty() else _NOTHING
        if not trades.is_empty():
            rows = on_clock(trades, clock).select("ts", pl.col("size").cast(pl.Float64)).drop_nulls()
            self.trade_times, sizes = rows["ts"].to_numpy(), rows["size"].to_numpy()
        self.volumes = np.concatenate([[0.0], np.cumsum(sizes)])
        self.first, self.last = int(self.times[0]), int(self.times[-1])

    def _area(self, at: Times) -> Floats:
        place = np.maximum(np.searchsorted(self.spread_times, at, "right") - 1, 0)
        rest = np.maximum(at - self.spread_times[place], 0) / MS
        return np.asarray(self.areas[place] + self.spreads[place] * rest)

    def measures(self, start: Times, stop: Times) -> Floats:
        """`[windows, measures]` of windows `(start, stop]`."""
        seconds = (stop - start) / 1e9
        held = [self.logs[np.maximum(np.searchsorted(self.times, at, "right") - 1, 0)] for at in (start, stop)]
        move = np.abs(held[1] - held[0])
        spread = (self._area(stop) - self._area(start)) / (seconds * 1e3)
        came = [np.searchsorted(self.changes, at, "right") for at in (start, stop)]
        traded = [self.volumes[np.searchsorted(self.trade_times, at, "right")] for at in (start, stop)]
        return np.column_stack([move, spread, (came[1] - came[0]) / seconds, (traded[1] - traded[0]) / seconds])


_NOTHING = np.empty(0, dtype=np.int64), np.empty(0)
