"""Latency and connectivity: delays, batching and silences of each venue, and the response regressed on them.

Two clocks are named throughout: the exchange's (``ts_event``) and ours (``ts_recv``). A delay is ours less theirs, so
it holds the network's delay and the difference of two clocks that nobody has compared; its level means little, its
changes do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checks import checked, number_column
from crossbook.study.projections import observed
from crossbook.study.resample import expanded_tails
from crossbook.study.series import Clock, on_clock

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["connectivity", "latency_at", "publication_grid", "response_on_latency", "venue_delays"]

MS = 1e6
SECOND = 1_000_000_000
LEAST_SPACINGS = 50
TOLERANCE = 0.1
"""Of a period: how far from a multiple of it a spacing may lie and still count as one."""


def _timed(messages: pl.DataFrame, extra: Sequence[str] = ()) -> pl.DataFrame:
    names = ["venue", "ts_event", "ts_recv", *extra]
    if missing := [name for name in names if name not in messages.columns]:
        raise DataError(f"messages: expected columns {names}, missing {missing}")
    return messages.select(names)


@checked
def venue_delays(messages: pl.DataFrame, /) -> pl.DataFrame:
    """Delay (receive clock less exchange clock) and jitter of every venue.

    `messages` with ``venue, ts_event, ts_recv`` (ns), a row a message in order of receipt; those without one of the two
    times (0) are left out of delays and counted as ``untimed``. Columns: ``venue, messages, untimed, delay_p05_ms,
    delay_ms`` (median), ``delay_p95_ms, jitter_ms`` (mean `|D_i − D_(i−1)|` of consecutive messages: RFC 3550's
    interarrival jitter without its smoothing), ``spread_ms`` (95th less 5th percentile), ``behind`` (median below 0:
    our clock runs behind the exchange's). Delays are null where no message has both times. An empty frame gives an
    empty one. Raises `DataError` if a column is missing.
    """
    rows = _timed(messages)
    timed = (pl.col("ts_event") != 0) & (pl.col("ts_recv") != 0)
    delay = pl.when(timed).then((pl.col("ts_recv") - pl.col("ts_event")) / MS).alias("delay")
    return (
        rows.with_columns(delay)
        .group_by("venue", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("messages"),
            pl.col("delay").null_count().cast(pl.Int64).alias("untimed"),
            pl.col("delay").quantile(0.05).alias("delay_p05_ms"),
            pl.col("delay").median().alias("delay_ms"),
            pl.col("delay").quantile(0.95).alias("delay_p95_ms"),
            pl.col("delay").drop_nulls().diff().abs().mean().alias("jitter_ms"),
        )
        .with_columns(spread_ms=pl.col("delay_p95_ms") - pl.col("delay_p05_ms"), behind=pl.col("delay_ms") < 0)
    )


@checked
def publication_grid(messages: pl.DataFrame, /, *, clock: Clock = "event") -> pl.DataFrame:
    """The interval at which a stream is published, if it is batched: found from the spacing of its times.

    Let `d` be the spacings of the distinct times of a stream and `P` their most frequent value (within 2 %). If the
    stream is published every `P`, spacings lie at whole multiples of it. ``on_grid`` is the share of spacings within
    10 % of `P` of a multiple (1, 2, …), less the fifth that chance gives, over the rest: 0 for a stream without a grid,
    1 with one. ``below`` is the share of spacings shorter than 0.9 `P`, which a batching venue never sends. A stream is
    ``batched`` if `on_grid` is at least a half and `below` at most 10 %. `P` must be 10 times the clock's own
    resolution or more (a clock in whole milliseconds puts everything on a grid of one).

    `messages` with ``ts_event`` or ``ts_recv`` as `clock` says (the exchange's by default: on ours the network smears
    the grid), and ``venue`` and ``stream`` if there are several (depth, trades and quotes are published apart).
    Columns: ``venue, stream`` (if given), ``spacings, resolution_ms, period_ms`` (the median of `d / round(d / P)` over
    spacings on the grid, null unless batched) with ``lo_ms, hi_ms`` (95 %, by order statistics: distribution-free),
    ``on_grid, below, batched``. Streams of fewer than 50 spacings have nulls. Raises `DataError` for a missing clock.
    """
    keys = [name for name in ("venue", "stream") if name in messages.columns]
    rows = on_clock(messages, clock).select(*keys, "ts")
    groups = rows.group_by(keys, maintain_order=True) if keys else [((), rows)]
    table = []
    for key, part in groups:
        spacing = np.diff(np.unique(part["ts"].to_numpy()))
        found: dict[str, object] = dict.fromkeys(("period_ms", "lo_ms", "hi_ms", "on_grid", "below", "resolution_ms"))
        batched = False
        if spacing.size >= LEAST_SPACINGS:
            resolution = int(np.gcd.reduce(spacing))
            found["resolution_ms"] = resolution / MS
            bins = np.floor(np.log(spacing) / math.log(1.02)).astype(np.int64)
            low = int(bins.min())
            counts = np.bincount(bins - low)
            # Two bins beside each other, so that a peak on an edge is not cut in two.
            top = int(np.argmax(counts[:-1] + counts[1:])) if counts.size > 1 else 0
            peak = float(np.median(spacing[(bins - low >= top) & (bins - low <= top + 1)]))
            multiple = np.maximum(np.round(spacing / peak), 1.0)
            near = np.abs(spacing - multiple * peak) <= TOLERANCE * peak
            share = (float(near.mean()) - 2 * TOLERANCE) / (1 - 2 * TOLERANCE)
            below = float((spacing < (1 - TOLERANCE) * peak).mean())
            found |= {"on_grid": max(share, 0.0), "below": below}
            batched = share >= 0.5 and below <= 0.1 and peak >= 10 * resolution
            if batched:
                each = np.sort((spacing / multiple)[near])
                half = 1.96 * math.sqrt(each.size) / 2
                ends = [max(0, math.floor(each.size / 2 - half)), min(each.size - 1, math.ceil(each.size / 2 + half))]
                middle = [float(np.median(each)), *(float(each[end]) for end in ends)]
                found |= dict(zip(("period_ms", "lo_ms", "hi_ms"), (value / MS for value in middle), strict=True))
        table.append(dict(zip(keys, key, strict=True)) | {"spacings": int(spacing.size)} | found | {"batched": batched})
    schema: dict[str, type[pl.DataType]] = dict.fromkeys(keys, pl.String) | {"spacings": pl.Int64}
    schema |= dict.fromkeys(("resolution_ms", "period_ms", "lo_ms", "hi_ms", "on_grid", "below"), pl.Float64)
    return pl.DataFrame(table, schema=schema | {"batched": pl.Boolean})


@checked
def connectivity(
    messages: pl.DataFrame, /, *, gaps: pl.DataFrame | None = None, window_s: float = 10.0, silence_ms: float = 1000.0
) -> pl.DataFrame:
    """Delay, jitter, silences and gaps of every venue over time, in windows of the receive clock.

    `messages` as `venue_delays`; `gaps` with ``venue`` and ``ts_recv`` (ns, when each was met), such as
    `Capture.gaps`. A silence is a time of `silence_ms` or more between two messages of a venue; it belongs to the
    window in which it ended, whole. Windows start at multiples of `window_s`, from a venue's first to its last message,
    also those in which nothing came.

    Columns: ``venue, ts`` (start, ns of the receive clock), ``messages, delay_ms`` (median), ``jitter_ms`` (mean change
    from one message to the next), ``longest_silence_ms, silences, silent_share`` (of the window's length, capped at 1),
    ``gaps``. Delay and jitter are null where no message has both times. Empty input gives an empty frame. Raises
    `DataError` for missing columns or options out of range.
    """
    if not (0 < window_s < 1e9 and 0 < silence_ms < 1e12):
        raise DataError(f"expected window_s and silence_ms above 0, found {window_s} and {silence_ms}")
    window = round(window_s * SECOND)
    rows = on_clock(_timed(messages), "recv")
    delay = pl.when(pl.col("ts_event") != 0).then((pl.col("ts_recv") - pl.col("ts_event")) / MS)
    rows = rows.with_columns(
        window=pl.col("ts") // window * window,
        delay=delay,
        silence=(pl.col("ts").diff().over("venue") / MS),
    )
    silent = pl.when(pl.col("silence") >= silence_ms).then("silence")
    found = rows.group_by("venue", "window", maintain_order=True).agg(
        messages=pl.len().cast(pl.Int64),
        delay_ms=pl.col("delay").median(),
        jitter_ms=pl.col("delay").drop_nulls().diff().abs().mean(),
        longest_silence_ms=pl.col("silence").max(),
        silences=silent.count().cast(pl.Int64),
        silent_ms=silent.sum(),
    )
    spans = found.group_by("venue", maintain_order=True).agg(
        pl.col("window").min().alias("a"), pl.col("window").max().alias("b")
    )
    every = spans.select("venue", window=pl.int_ranges("a", pl.col("b") + 1, window, dtype=pl.Int64)).explode(
        "window", empty_as_null=False
    )
    table = every.join(found, on=["venue", "window"], how="left", maintain_order="left")
    if gaps is None or gaps.is_empty():
        counted = table.with_columns(gaps=pl.lit(0, pl.Int64))
    else:
        if missing := {"venue", "ts_recv"} - set(gaps.columns):
            raise DataError(f"gaps: missing columns {sorted(missing)}")
        sums = gaps.group_by("venue", (pl.col("ts_recv") // window * window).alias("window")).agg(
            gaps=pl.len().cast(pl.Int64)
        )
        counted = table.join(sums, on=["venue", "window"], how="left", maintain_order="left")
    return counted.select(
        "venue",
        pl.col("window").alias("ts"),
        pl.col("messages").fill_null(0),
        "delay_ms",
        "jitter_ms",
        "longest_silence_ms",
        pl.col("silences").fill_null(0),
        (pl.col("silent_ms").fill_null(0.0) / (window / MS)).clip(0.0, 1.0).alias("silent_share"),
        pl.col("gaps").fill_null(0),
    )


@checked
def latency_at(
    events: pl.DataFrame, messages: pl.DataFrame, /, *, venue: str, prefix: str, clock: Clock = "recv"
) -> pl.DataFrame:
    """Add what was known of a venue's connection when each event came: nothing here looks ahead.

    Columns added: ``<prefix>_delay_ms`` and ``<prefix>_jitter_ms``, mean delay and mean change of it over the last
    whole second of the receive clock before the event's that had messages; ``<prefix>_silence_ms``, the time on `clock`
    since the venue's last message strictly before the event. Null before there is one. `messages` as `venue_delays`.
    Raises `DataError` if the venue has no message or a column is missing.
    """
    mine = on_clock(_timed(messages).filter(pl.col("venue") == venue), clock)
    if mine.is_empty():
        names = messages["venue"].unique(maintain_order=True).to_list()
        raise DataError(f"expected messages of {venue}, found those of {names}")
    timed = mine.filter((pl.col("ts_event") != 0) & (pl.col("ts_recv") != 0))
    delay = (pl.col("ts_recv") - pl.col("ts_event")) / MS
    seconds = (
        timed.with_columns(delay=delay, change=delay.diff().abs())
        .group_by((pl.col("ts_recv") // SECOND + 1).alias("second"))
        .agg(pl.col("delay").mean().alias(f"{prefix}_delay_ms"), pl.col("change").mean().alias(f"{prefix}_jitter_ms"))
        .sort("second")
    )
    at = on_clock(events, clock)
    when = at["ts"].to_numpy()
    times = mine["ts"].to_numpy()
    place = np.searchsorted(times, when, "left") - 1
    silence = np.where(place >= 0, (when - times[np.maximum(place, 0)]) / MS, np.nan)
    joined = (
        at.with_columns(
            pl.Series(f"{prefix}_silence_ms", silence).fill_nan(None),
            second=pl.col("ts_recv") // SECOND,
            row=pl.int_range(pl.len()),
        )
        .sort("second", maintain_order=True)
        .join_asof(seconds, on="second", strategy="backward")
        .sort("row")
    )
    return joined.drop("second", "row", "ts")


@checked
def response_on_latency(
    events: pl.DataFrame,
    series: pl.DataFrame,
    /,
    *,
    regressors: Sequence[str],
    sign: str = "sign",
    value: str = "mid",
    horizon_ms: float = 1000.0,
    step_ms: float = 10.0,
    block_s: float = 10.0,
    resamples: int = 500,
    clock: Clock = "recv",
    level: float = 0.95,
    seed: int = 0,
) -> pl.DataFrame:
    """How large and how slow the response to events is, and how both change with delay, jitter or silence.

    Of event `e` let `r_e(τ) = sign_e · 1e4 (ln v(e + τ) − ln v(e⁻))`. Its size is `r_e(H)` at the horizon; the area
    left of it, `A_e = Σ (r_e(H) − r_e(τ)) Δτ` over `0 ≤ τ < H`, over the size is its mean time, the ``speed`` in ms:
    the time by which the average part of the response came late (0 if all came at once, `H/2` if evenly). Size and area
    are regressed on the centred `regressors`, `s_0 + s' c` and `a_0 + a' c`; the speed at the means is `a_0 / s_0`, and
    its change with a regressor `(a_k − a_0/s_0 · s_k) / s_0`. A mean path that does not clearly differ from 0 has no
    speed.

    Intervals at `level`: quantiles of a bootstrap over blocks of `block_s` seconds (`seed`). It is an association: what
    delays messages (a burst of trading) may change the response by itself.

    Parameters: `events` with the time of `clock`, `sign` and `regressors` (`latency_at` makes them; events with a null
    in one are left out), `series` with a positive `value`. Rows: ``measure`` (``size, speed``), ``term`` (``mean`` or a
    regressor), ``value, lo, hi, unit`` (bp or ms, by unit of the regressor), ``deviation`` (standard deviation of the
    regressor, to judge by), ``events``. Speed is null where the interval of the mean size covers 0. Raises `DataError`
    for missing columns, values that are not finite, options out of range, fewer than 6 blocks or three times as many
    events as terms, and regressors that are constant or combinations of each other.
    """
    names = [sign, *regressors]
    if missing := [name for name in names if name not in events.columns]:
        raise DataError(f"events: expected columns {names}, missing {missing}")
    finite = all(math.isfinite(x) for x in (horizon_ms, step_ms, block_s))
    if not (finite and 0 < step_ms <= horizon_ms and block_s > 0 and 0 < level < 1 and resamples >= 20):
        raise DataError("expected 0 < step_ms <= horizon_ms, block_s above 0, 0 < level < 1 and 20 resamples or more")
    if not regressors:
        raise DataError("expected one regressor or more")
    series = series.with_columns(number_column(series, value, "series"))
    times, values = observed(series, value, clock, "log_bp")
    events = events.with_columns(number_column(events, name, "events") for name in names)
    at = on_clock(events, clock).drop_nulls(names).filter(pl.col(sign) != 0)
    when = at["ts"].to_numpy()
    step, horizon = round(step_ms * MS), round(horizon_ms * MS) // round(step_ms * MS) * round(step_ms * MS)
    kept = (when > times[0]) & (when + horizon <= times[-1])
    at, when = at.filter(pl.Series(kept)), when[kept]
    size = len(regressors) + 1
    if when.size < 3 * size:
        raise DataError(f"expected {3 * size} events or more that the {value} covers, found {when.size}")
    x = np.column_stack([at[name].cast(pl.Float64).to_numpy() for name in regressors])
    if not np.isfinite(x).all():
        raise DataError(f"expected finite values of {', '.join(regressors)}")
    deviation = x.std(axis=0)
    if (deviation <= 1e-12 * np.abs(x).max(axis=0)).any():
        raise DataError(f"expected regressors that vary, found a constant among {', '.join(regressors)}")
    scaled = np.column_stack([np.ones(when.size), (x - x.mean(axis=0)) / deviation])
    if np.linalg.cond(scaled) > 1e6:
        raise DataError(f"expected regressors that are no combinations of each other, found {', '.join(regressors)}")
    signs = at[sign].cast(pl.Float64).to_numpy()
    before = values[np.searchsorted(times, when, "left") - 1]
    last = signs * (values[np.searchsorted(times, when + horizon, "right") - 1] - before)
    area = last * (horizon / MS)
    for offset in range(0, horizon, step):
        held = values[np.searchsorted(times, when + offset, "right") - 1]
        area -= signs * (held - before) * (step / MS)
    block = (when - when[0]) // round(block_s * SECOND)
    _, starts = np.unique(block, return_index=True)
    blocks = starts.size
    if blocks < 6:
        raise DataError(f"expected events in 6 blocks of {block_s:g} s or more, found {blocks}")
    both = np.column_stack([last, area])
    squares = np.add.reduceat(scaled[:, :, None] * scaled[:, None, :], starts)
    products = np.add.reduceat(scaled[:, :, None] * both[:, None, :], starts)
    weights = np.vstack(
        [np.ones(blocks), np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), resamples)]
    )
    left = np.tensordot(weights, squares, axes=1)
    right = np.tensordot(weights, products, axes=1)
    solvable = np.linalg.cond(left) < 1e10
    if not solvable[0] or solvable.mean() < 0.95:
        raise DataError(f"expected regressors that vary in most blocks, found {', '.join(regressors)}")
    beta = np.linalg.solve(left[solvable], right[solvable])
    s, a = beta[:, :, 0], beta[:, :, 1]
    # Where the size is 0 there is no speed, and none is given.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        speed = a[:, :1] / s[:, :1]
        slower = (a[:, 1:] - speed * s[:, 1:]) / s[:, :1] / deviation
    tails = expanded_tails(level, blocks)
    rows = []
    lo, hi = np.quantile(s[1:, 0], tails)
    clear = not lo <= 0 <= hi
    for measure, unit, terms in (
        ("size", "bp", np.column_stack([s[:, 0], s[:, 1:] / deviation])),
        ("speed", "ms", np.column_stack([speed, slower])),
    ):
        for k, name in enumerate(["mean", *regressors]):
            known = clear or measure == "size"
            ends = np.quantile(terms[1:, k], tails)
            found = [float(v) for v in (terms[0, k], *ends)] if known else [None] * 3
            spread = None if k == 0 else float(deviation[k - 1])
            rows.append((measure, name, *found, unit, spread, when.size))
    schema: dict[str, type[pl.DataType]] = {"measure": pl.String, "term": pl.String}
    schema |= dict.fromkeys(("value", "lo", "hi"), pl.Float64)
    schema |= {"unit": pl.String, "deviation": pl.Float64, "events": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")
