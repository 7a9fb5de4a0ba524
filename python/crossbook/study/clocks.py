"""The two clocks: how far apart they are, how they drift, and what to do with messages that carry no exchange time."""

from __future__ import annotations

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checks import checked, needed

__all__ = ["clock_path", "clocks", "impute_times"]

NS_PER_MS = 1e6


def _per_second(messages: pl.DataFrame) -> pl.DataFrame:
    missing = {"venue", "ts_event", "ts_recv"} - set(messages.columns)
    if missing:
        raise DataError(f"messages: expected columns venue, ts_event and ts_recv, missing {sorted(missing)}")
    offset = (pl.col("ts_recv") - pl.col("ts_event")) / NS_PER_MS
    return (
        messages.lazy()
        .filter(pl.col("ts_event") != 0)
        .select("venue", (pl.col("ts_recv") // 1_000_000_000 * 1_000_000_000).alias("ts"), offset.alias("offset_ms"))
        .group_by("venue", "ts", maintain_order=True)
        .agg(
            pl.col("offset_ms").quantile(0.05).alias("p05"),
            pl.col("offset_ms").median().alias("p50"),
            pl.col("offset_ms").quantile(0.95).alias("p95"),
            pl.len().alias("messages"),
        )
        .sort("venue", "ts")
        .collect()
    )


@checked
def clocks(messages: pl.DataFrame) -> pl.DataFrame:
    """Measure receive minus event time per venue: offset and drift.

    ``offset = ts_recv - ts_event`` holds the network's delay *and* the difference of the two clocks; one capture cannot
    tell them apart, so it is reported and never removed. The drift is the least-squares slope of the medians of whole
    seconds, ``drift ± 1.96 SE``; it assumes a delay without trend and takes seconds as independent, so where delays
    persist over seconds the interval is too narrow.

    Parameters: `messages` with ``venue, ts_event, ts_recv`` (ns), one row a message; rows without an event time (0)
    are left out. Returns a row a venue: ``venue, messages, offset_p05_ms, offset_ms`` (median), ``offset_p95_ms,
    drift_ms_per_min, drift_lo, drift_hi, behind`` (the receive clock runs behind the exchange's: the median is below
    zero). Drift is null below ten seconds. Raises `DataError` if a column is missing.
    """
    seconds = _per_second(messages)
    offset = (pl.col("ts_recv") - pl.col("ts_event")) / NS_PER_MS
    spread = (
        messages.lazy()
        .filter(pl.col("ts_event") != 0)
        .group_by("venue", maintain_order=True)
        .agg(
            pl.len().alias("messages"),
            offset.quantile(0.05).alias("offset_p05_ms"),
            offset.median().alias("offset_ms"),
            offset.quantile(0.95).alias("offset_p95_ms"),
        )
        .collect()
    )
    drifts = []
    for venue in spread["venue"]:
        mine = seconds.filter(pl.col("venue") == venue)
        slope, error = _slope(mine["ts"].to_numpy(), mine["p50"].to_numpy())
        drifts.append((slope, slope - 1.96 * error, slope + 1.96 * error))
    names = ("drift_ms_per_min", "drift_lo", "drift_hi")
    columns = {name: [row[place] for row in drifts] for place, name in enumerate(names)}
    return spread.with_columns(
        *(pl.Series(name, values, dtype=pl.Float64).fill_nan(None) for name, values in columns.items()),
        behind=pl.col("offset_ms") < 0,
    )


def _slope(ts: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Least-squares slope per minute and its standard error."""
    if len(ts) < 10:
        return float("nan"), float("nan")
    minutes = (ts - ts[0]) / 60e9
    centred = minutes - minutes.mean()
    variance = float(centred @ centred)
    slope = float(centred @ values) / variance
    residual = values - values.mean() - slope * centred
    return slope, float(np.sqrt(residual @ residual / (len(ts) - 2) / variance))


@checked
def clock_path(messages: pl.DataFrame) -> pl.DataFrame:
    """Give receive minus event time second by second: ``venue, ts`` (ns), ``p05, p50, p95`` in ms, and the fitted line.

    `messages` as in `clocks`; ``offset_fit_ms`` is the least-squares line through the medians.
    """
    seconds = _per_second(messages)
    parts = []
    for (_,), mine in seconds.group_by("venue", maintain_order=True):
        ts, median = mine["ts"].to_numpy(), mine["p50"].to_numpy()
        slope, _ = _slope(ts, median)
        minutes = (ts - ts[0]) / 60e9
        fit = median.mean() + slope * (minutes - minutes.mean())
        parts.append(mine.with_columns(pl.Series("offset_fit_ms", fit).fill_nan(None)))
    return pl.concat(parts) if parts else seconds.with_columns(pl.lit(None, pl.Float64).alias("offset_fit_ms"))


@checked
def impute_times(quotes: pl.DataFrame, depth: pl.DataFrame) -> pl.DataFrame:
    """Give quotes without an exchange time one, by their update id.

    Venues number quotes and depth alike, so a quote with update id ``u`` between two depth messages that end at
    ``u1 <= u <= u2`` happened between their times; the time is interpolated in ``u``. The error is at most the interval
    of the depth stream (100 ms on Binance spot), so leads shorter than that mean nothing on such a clock. Through a
    hole nothing is interpolated: not where neighbouring depth messages are further apart than one second and than ten
    times their median interval.

    Parameters: `quotes` and `depth` of one instrument with ``sequence, ts_event``. Returns `quotes` with ``ts_event``
    filled and a column ``imputed``; ids in a hole or outside the depth messages keep 0. Raises `DataError` for a
    missing column or ids that are not whole numbers.
    """
    for frame, what in ((quotes, "quotes"), (depth, "depth")):
        needed(frame, ["sequence", "ts_event"], what)
        if not (frame["sequence"].dtype.is_integer() or frame["sequence"].dtype == pl.Null):
            raise DataError(f"{what}: sequence: expected whole numbers, found {frame['sequence'].dtype}")
        if frame["sequence"].null_count():
            raise DataError(f"{what}: sequence: expected whole numbers, found null")
    anchors = depth.filter(pl.col("ts_event") != 0).unique("sequence", keep="first").sort("sequence")
    untimed = quotes["ts_event"] == 0
    if anchors.is_empty() or not untimed.any():
        return quotes.with_columns(imputed=pl.lit(False))
    ids, times = anchors["sequence"].to_numpy(), np.maximum.accumulate(anchors["ts_event"].to_numpy())
    wanted = quotes["sequence"].to_numpy()
    # Differences are small enough for floats, ids and times are not.
    first_id, first_time = ids[0], times[0]
    inside = (wanted >= first_id) & (wanted <= ids[-1])
    intervals = np.diff(times, append=times[-1:])
    hole = intervals > max(1e9, 10 * float(np.median(intervals)))
    before = np.searchsorted(ids, np.where(inside, wanted, first_id), side="right") - 1
    inside &= ~hole[before] | (ids[before] == wanted)
    offset = np.interp(
        (np.where(inside, wanted, first_id) - first_id).astype(np.float64),
        (ids - first_id).astype(np.float64),
        (times - first_time).astype(np.float64),
    )
    imputed = np.where(inside, first_time + offset.astype(np.int64), 0)
    return quotes.with_columns(
        pl.when(untimed).then(pl.Series(imputed, dtype=pl.Int64)).otherwise(pl.col("ts_event")).alias("ts_event"),
        (untimed & pl.Series(inside)).alias("imputed"),
    )
