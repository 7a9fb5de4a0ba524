"""The lead to the nanosecond, by size of the move, over time, by time of day, by source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack

import numpy as np
import polars as pl

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.checked import checked
from crossbook.study.lead_lag import (
    MIN_BLOCKS,
    ContrastRun,
    Observations,
    Options,
    contrast_of,
    largest_by_chance,
    lead_lag_both,
    lead_ratios,
    observed,
    peak_lags,
    resampled_rho,
    resolution_of,
    shared_series,
)
from crossbook.study.resample import mean_run_length
from crossbook.study.series import Clock, Floats, Times, series

__all__ = [
    "lead_lag_by_size",
    "lead_lag_by_source",
    "lead_lag_by_time_of_day",
    "lead_lag_exact",
    "lead_lag_rolling",
    "lead_lag_steps",
]

DAY = 86_400_000_000_000


@checked
def lead_lag_exact(
    primary: pl.DataFrame,
    secondary: pl.DataFrame,
    /,
    *,
    clock: Clock = "recv",
    value: str = "mid",
    observations: Observations = "changes",
    max_lag_ms: float = 1000.0,
) -> pl.DataFrame:
    """The lag of the largest `|contrast|`, exact to the resolution of the times: no grid, every step is looked at.

    That is the nanosecond, or where all times are whole milliseconds or seconds, these: between them the contrast
    counts neighbouring increments twice and is largest half a step beside the truth. The contrast of `lead_lag_both` is
    a step function of the lag, constant between the distances of instants of one stream from instants of the other. A
    positive lag: the primary leads. Here the streams are whole, not cut to the time they share, so that a stream
    against a shifted copy of itself has a symmetric contrast and exactly the shift as its peak; `rho` is the contrast
    over `√(Σdx² Σdy²)` of both.

    One row: `peak_lag_ns` (the middle between the first and the last lag of the maximum, rounded to even),
    `peak_first_ns, peak_last_ns`, `contrast, rho` there, `observations_primary`, `observations_secondary`. A maximum
    over so many lags has no interval of its own; `lead_lag_both` gives one on a grid. Raises `DataError` as
    `lead_lag_both` does.
    """
    x, y, longest = _checked(primary, secondary, clock, value, observations, max_lag_ms)
    scale = _scale(x, y, value)
    unit = resolution_of((x[0], y[0])) or 1
    if longest < unit:
        raise DataError(f"expected max_lag_ms of at least the resolution of the times, {unit / 1e6:g} ms")
    # In units of the resolution the kernel's steps are whole multiples of it.
    (x_times, x_logs), (y_times, y_logs) = (((times - x[0][0]) // unit, logs) for times, logs in (x, y))
    first, last, contrast = _core.hy_peak(
        x_times, x_logs, y_times, y_logs, first=-(longest // unit), last=longest // unit
    )
    first, last = first * unit, last * unit
    return pl.DataFrame(
        {
            "peak_lag_ns": round((first + last) / 2) if abs(first) < 1 << 52 else (first + last) // 2,
            "peak_first_ns": first,
            "peak_last_ns": last,
            "contrast": contrast,
            "rho": contrast / scale,
            "observations_primary": x[0].size,
            "observations_secondary": y[0].size,
        }
    )


@checked
def lead_lag_steps(
    primary: pl.DataFrame,
    secondary: pl.DataFrame,
    /,
    *,
    clock: Clock = "recv",
    value: str = "mid",
    observations: Observations = "changes",
    max_lag_ms: float = 1000.0,
) -> pl.DataFrame:
    """The whole contrast as a step function: ``lag_ns`` where a step starts, ``contrast`` and ``rho`` until the next.

    All of it, also between whole multiples of the times' resolution (see `lead_lag_exact`). The first row starts at
    `-max_lag_ms`, the last holds until `max_lag_ms`. Raises `DataError` as `lead_lag_both`
    does, and where 2^27 pairs of instants or more lie that near: ask `lead_lag_exact` or a grid then.
    """
    x, y, longest = _checked(primary, secondary, clock, value, observations, max_lag_ms)
    lags, contrast = _core.hy_steps(*x, *y, first=-longest, last=longest)
    return pl.DataFrame({"lag_ns": lags, "contrast": contrast, "rho": contrast / _scale(x, y, value)})


def _checked(
    primary: pl.DataFrame, secondary: pl.DataFrame, clock: Clock, value: str, kind: Observations, max_lag_ms: float
) -> tuple[tuple[Times, Floats], tuple[Times, Floats], int]:
    longest = round(max_lag_ms * 1e6) if np.isfinite(max_lag_ms) else 0
    if not 0 < longest <= 1 << 60:
        raise DataError(f"expected max_lag_ms between 1 ns and 36 years, found {max_lag_ms}")
    shared_series(primary, secondary, clock, value, kind)  # refuses streams that share no time
    x, y = (observed(series(frame, clock, value), None, None, kind) for frame in (primary, secondary))
    return x, y, longest


def _scale(x: tuple[Times, Floats], y: tuple[Times, Floats], value: str) -> float:
    scale = float(np.sqrt(np.prod([float(np.diff(logs) @ np.diff(logs)) for _, logs in (x, y)])))
    if not scale > 0:
        raise DataError(f"expected a {value} that moves in both streams, found one that is constant")
    return scale


@checked
def lead_lag_by_size(
    primary: pl.DataFrame,
    secondary: pl.DataFrame,
    /,
    *,
    edges_bp: Sequence[float] | None = None,
    groups: int = 4,
    **options: Unpack[Options],
) -> pl.DataFrame:
    """The lead by the size of the primary's move.

    The contrast is a sum over the primary's increments, so it splits exactly by their size `1e4 |dx|`:
    `contrast_g(θ) = Σ_{i in g} dx_i Σ_j dy_j 1{overlap at θ}`, `ρ_g = contrast_g / √(Σ_{i in g} dx_i² Σ_j dy_j²)`, with
    every observation of the primary kept as the start of the next increment. The contrasts of all groups sum to that of
    `lead_lag_both`.

    `edges_bp`: rising inner edges of the groups (a move on an edge belongs above); by default the quantiles that cut
    the moves into `groups` of like number, fewer where sizes repeat. `options` and errors as in `lead_lag_both`
    (`null_shifts` is not used).

    A row a group: `size_lo_bp, size_hi_bp` (of its moves), `moves`, then the columns of `lead_lag_rolling` from
    `peak_lag_ms` on.
    """
    given = _Given(options)
    run = given.run(primary, secondary)
    moves = np.diff(run.x[1], prepend=run.x[1][:1])
    size = np.abs(moves) * 1e4
    moved = size > 0
    if edges_bp is None:
        if isinstance(groups, bool) or not isinstance(groups, int) or not 1 <= groups <= 1_000:
            raise DataError(f"expected 1 to 1,000 groups, found {groups!r}")
        edges = np.unique(np.quantile(size[moved], np.arange(1, groups) / groups)) if groups > 1 else np.empty(0)
    else:
        edges = np.asarray(edges_bp, dtype=np.float64)
        if edges.ndim != 1 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
            raise DataError(f"expected rising finite edges_bp, found {list(edges_bp)}")
    # Log prices differ by rounding where ticks are equal: moves this near an edge are on it.
    group = np.searchsorted(edges * (1 - 1e-6), size, side="right")
    rows = []
    for number in range(edges.size + 1):
        mine = moved & (group == number)
        if not mine.any():
            continue
        part = np.cumsum(np.where(mine, moves, 0.0))
        step = int(run.lags[1] - run.lags[0])
        found = _core.hy_contrast(
            run.x[0], part, *run.y, first=int(run.lags[0]), step=step, count=run.lags.size, block=given.block
        )
        rows.append(
            {"size_lo_bp": size[mine].min(), "size_hi_bp": size[mine].max(), "moves": int(mine.sum())}
            | given.measure(ContrastRun(run.lags, *found, run.x, run.y, run.span, run.longest, run.whole))
        )
    return pl.DataFrame(rows)


@checked
def lead_lag_rolling(
    primary: pl.DataFrame,
    secondary: pl.DataFrame,
    /,
    *,
    window_s: float = 300.0,
    every_s: float = 60.0,
    **options: Unpack[Options],
) -> pl.DataFrame:
    """The lead over time: windows of `window_s` seconds, one every `every_s`, from one run of the kernel.

    A window is a number of whole blocks of `block_s` seconds, so both lengths are rounded to blocks; it holds the
    primary's increments that end in it, against whatever of the secondary's they overlap at each lag.

    Columns: `start, end` (ns of `clock`), `peak_lag_ms` with `_lo_ms`, `_hi_ms`, `rho_peak`, `llr` and `llr_abs` with
    `_lo`, `_hi`, `null_max`, `blocks`, `leader` (``"primary"``, ``"secondary"`` or ``"none"``: a peak within `null_max`
    or an interval that covers 0), all as in `lead_lag_both`. A window in which a price does not move has nulls and
    leader ``"none"``. `options` and errors as in `lead_lag_both` (`null_shifts` is not used), and where no window of 6
    blocks fits.
    """
    given = _Given(options)
    run = given.run(primary, secondary)
    window, step = round(window_s * 1e9 / given.block), max(1, round(every_s * 1e9 / given.block))
    blocks = run.x_variance.size
    if not MIN_BLOCKS <= window <= blocks or every_s <= 0:
        raise DataError(
            f"expected every_s > 0 and a window of {MIN_BLOCKS} to {blocks} blocks of {given.block / 1e9:g} s, "
            f"found {window}"
        )
    rows = []
    for begin in range(0, blocks - window + 1, step):
        chosen = np.arange(begin, begin + window)
        start = int(run.block_starts[begin])
        rows.append({"start": start, "end": start + window * given.block} | given.measure(_blocks_of(run, chosen)))
    return pl.DataFrame(rows)


@checked
def lead_lag_by_time_of_day(
    primary: pl.DataFrame, secondary: pl.DataFrame, /, *, bin_s: float = 3600.0, **options: Unpack[Options]
) -> pl.DataFrame:
    """The lead by time of day (UTC): blocks of all days that start in the same `bin_s` seconds of the day, together.

    Columns: `time_of_day_s` (start of the bin, seconds after midnight UTC), then those of `lead_lag_rolling` from
    `peak_lag_ms` on. Bins of fewer than 6 blocks are left out. `options` and errors as in `lead_lag_both`.
    """
    if not 0 < bin_s <= 86_400:
        raise DataError(f"expected bin_s above 0 and at most 86,400, found {bin_s}")
    given = _Given(options)
    run = given.run(primary, secondary)
    bins = (run.block_starts % DAY) // round(bin_s * 1e9)
    rows = []
    for number in np.unique(bins):
        chosen = np.flatnonzero(bins == number)
        if chosen.size >= MIN_BLOCKS:
            rows.append({"time_of_day_s": float(number) * bin_s} | given.measure(_blocks_of(run, chosen)))
    if not rows:
        raise DataError(f"expected a bin of {MIN_BLOCKS} blocks of {given.block / 1e9:g} s, found none of {bin_s:g} s")
    return pl.DataFrame(rows)


@checked
def lead_lag_by_source(
    primary: dict[str, pl.DataFrame],
    secondary: dict[str, pl.DataFrame],
    /,
    *,
    values: dict[str, str] | None = None,
    clocks: Iterable[Clock] = ("recv", "event"),
    **options: Unpack[Options],
) -> pl.DataFrame:
    """The lead by what is watched, quotes or trades, and by whose clock.

    Quotes may be marked to the other venue's price without anyone trading there, and receive times hold the network's
    delay. A lead worth the name is there in trades too, and on the exchanges' own clocks; where the rows disagree,
    believe none of them alone.

    Parameters: frames of each venue by source, such as ``{"quotes": …, "trades": …}``, those that both have are
    compared; `values`: the price column by source, ``mid`` where a frame has one, else ``price``; `clocks` and
    `options` as in `lead_lag_both`. Columns: `source, clock`, those of its summary, and `problem`: null, or why there
    is none (other columns are null then). Raises `DataError` if the venues share no source.
    """
    if values is not None and not isinstance(values, Mapping):
        raise DataError(f"values: expected the price column by source, found {values!r}")
    if isinstance(clocks, str) or not isinstance(clocks, Iterable):
        raise DataError(f"clocks: expected a list of recv and event, found {clocks!r}")
    shared = [source for source in primary if source in secondary]
    if not shared:
        raise DataError(f"expected a source that both venues have, found {list(primary)} and {list(secondary)}")
    rows = []
    for source in shared:
        value = (values or {}).get(source, "mid" if "mid" in primary[source].columns else "price")
        for clock in clocks:
            named: dict[str, Any] = {"source": source, "clock": clock}
            mine: Options = {**options, "clock": clock, "value": value}
            try:
                found = lead_lag_both(primary[source], secondary[source], **mine).summary.row(0, named=True)
            except DataError as error:
                rows.append(named | {"problem": str(error)})
            else:
                rows.append(named | found | {"problem": None})
    table = pl.DataFrame(rows, infer_schema_length=None)
    return table.with_columns(pl.col("problem").cast(pl.String))


class _Given:
    """Options of `lead_lag_both` as the parts need them."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.block = round(options.get("block_s", 10.0) * 1e9)
        self.resamples, self.level = options.get("resamples", 1000), options.get("level", 0.95)
        self.mean_run = options.get("mean_run")
        self.rng = np.random.default_rng(options.get("seed", 0))
        if not (self.resamples > 0 and 0.0 < self.level < 1.0):
            raise DataError("expected resamples > 0 and 0 < level < 1")

    def run(self, primary: pl.DataFrame, secondary: pl.DataFrame) -> ContrastRun:
        o = self.options
        where = o.get("clock", "recv"), o.get("value", "mid"), o.get("observations", "changes")
        return contrast_of(
            primary, secondary, *where, o.get("max_lag_ms", 1000.0), o.get("step_ms", 1.0), o.get("block_s", 10.0)
        )

    def measure(self, run: ContrastRun) -> dict[str, Any]:
        names = ("llr", "llr_lo", "llr_hi", "llr_abs", "llr_abs_lo", "llr_abs_hi")
        found: dict[str, Any] = dict.fromkeys(
            ("peak_lag_ms", "peak_lag_lo_ms", "peak_lag_hi_ms", "rho_peak", *names, "null_max")
        )
        blocks = run.x_variance.size
        scale = float(np.sqrt(run.x_variance.sum() * run.y_variance.sum()))
        leader = "none"
        contrast = run.matrix.sum(axis=0)
        if scale > 0 and contrast.any():
            tail = [(1 - self.level) / 2, (1 + self.level) / 2]
            half = run.lags.size // 2
            rho = contrast / scale
            whole = run.whole
            top = int(np.where(whole, np.abs(rho), -1.0).argmax())
            mean_run = mean_run_length(run.matrix[:, top]) if self.mean_run is None else self.mean_run
            drawn = resampled_rho(run, mean_run, self.resamples, self.rng)
            peak = float(peak_lags(rho[None, whole], run.lags[whole])[0])
            low, high = np.quantile(peak_lags(drawn[:, whole], run.lags[whole]), tail)
            null_max = largest_by_chance(run, self.rng, self.resamples, self.level) / scale
            values = [peak / 1e6, float(low) / 1e6, float(high) / 1e6, float(rho[top])]
            for one, many in ((rho**2, drawn**2), (np.abs(rho), np.abs(drawn))):
                ratios = lead_ratios(many, half)
                # A resample without a move has no ratio; one without a move behind has an infinite one.
                known = ratios[~np.isnan(ratios)]
                bounds = np.quantile(known, tail, method="nearest") if known.size else (np.nan, np.nan)
                values += [float(lead_ratios(one[None, :], half)[0]), *(float(bound) for bound in bounds)]
            found = {
                name: None if np.isnan(v) else v for name, v in zip(found, [*values, float(null_max)], strict=True)
            }
            if abs(rho[top]) > null_max and not low <= 0.0 <= high:
                leader = "primary" if peak > 0 else "secondary"
        return found | {"blocks": blocks, "leader": leader}


def _blocks_of(run: ContrastRun, chosen: Times) -> ContrastRun:
    return ContrastRun(
        run.lags,
        run.matrix[chosen],
        run.x_variance[chosen],
        run.y_variance[chosen],
        run.block_starts[chosen],
        run.x,
        run.y,
        run.span,
        run.longest,
        run.whole,
    )
