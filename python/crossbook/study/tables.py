"""Plain tables of quotes and trades, as CSV files hold them, made into what the analytics take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checked import as_frame, as_table, as_times, checked
from crossbook.study.quotes import quotes as with_mids

__all__ = ["market_table"]

Unit = Literal["s", "ms", "us", "ns"]
Table = pl.DataFrame
"""Whose columns are not yet what `checked` would have them be."""

NAMES: dict[str, tuple[str, ...]] = {
    "bid": ("bid", "bid_price", "best_bid", "bidprice"),
    "ask": ("ask", "ask_price", "best_ask", "askprice", "ofr", "offer"),
    "bid_size": ("bid_size", "bidsize", "bidsiz", "bid_qty", "bid_volume", "bid_amount", "best_bid_qty"),
    "ask_size": ("ask_size", "asksize", "asksiz", "ofrsiz", "ask_qty", "ask_volume", "ask_amount", "best_ask_qty"),
    "price": ("price", "last", "trade_price", "last_price", "close"),
    "size": ("size", "volume", "qty", "quantity", "amount"),
    "mid": ("mid", "midprice", "mid_price"),
    "side": ("side", "aggressor", "taker_side", "buy_sell"),
}
"""What columns are called, ours first; compared without regard to case."""

CLOCKS = ("time", "timestamp", "datetime", "time_m", "utctime", "ts_recv", "ts", "date")

SIDES = {"buy": 1, "b": 1, "bid": 1, "1": 1, "sell": -1, "s": -1, "a": -1, "ask": -1, "-1": -1}
"""Of the aggressor. Any other text is an unknown side."""

PER_UNIT = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}

FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d-%m-%Y", "%d.%m.%Y", "%d%b%Y")


@checked
def market_table(
    frame: Table,
    /,
    *,
    time: str | None = None,
    date: str | None = None,
    received: str | None = None,
    unit: Unit | None = None,
    zone: str = "UTC",
    columns: Mapping[str, str] | None = None,
    drop_crossed: bool = False,
) -> pl.DataFrame:
    """Quotes or trades of a plain table, with the columns and the clock that the analytics expect.

    `frame`: any table, such as ``pl.read_csv`` or pandas give it. `time`: its column of times, by default the first of
    ``time, timestamp, datetime, time_m, utctime, ts_recv, ts, date`` that it has (without regard to case). Times are a
    Datetime, a Date, text (ISO 8601 and the usual orders of year, month and day) or numbers of `unit` since 1970
    (without one its size tells: seconds, ms, µs and ns of one date differ by a thousand). Fractions of a second in
    floats are rounded to µs, which is what a float holds of them. Text without an offset and naive times are of `zone`
    (``"America/New_York"`` for TAQ); one that the clocks skipped or had twice is an error. `date`: a column of days, if
    `time` is one of times of day. `received`: a column of receive times of its own, read like `time`; without one both
    clocks are `time`.

    Prices and sizes are found by their usual names; `columns` says what others are called, ours first:
    ``{"price": "BTC/USD"}``. A price of 0 or below, or a quote's size of 0, is an unknown side (null), as TAQ writes an
    empty one. Quotes without sizes have none. ``side`` is +1, -1 or 0 from numbers or from ``buy, b, sell, s`` (the
    aggressor); trades without one get 0: see `sign_trades`. `drop_crossed`: quotes with a bid above the ask are unknown
    on both sides (locked ones stand).

    Columns: ``ts_recv, ts_event`` (ns), then what there is of ``bid, ask, bid_size, ask_size, price, size, mid, side``,
    of quotes with sizes ``microprice, spread_bp`` too, then all other columns of `frame`. In order of time, rows of one
    time in their own. Raises `DataError` for missing columns, text that is no time or number (with its row), times
    without a value, or neither prices nor quotes.
    """
    frame = as_table(frame, "market_table: frame")
    lower = {name.lower(): name for name in reversed(frame.columns)}
    if columns is not None and not (isinstance(columns, Mapping) and all(isinstance(n, str) for n in columns.values())):
        raise DataError(f"columns: expected names by name, found {columns!r}")
    given = dict(columns or {})
    if unknown := [name for name in given if name not in NAMES]:
        raise DataError(f"columns: expected names of {', '.join(NAMES)}, found {unknown}")
    named = {ours: given.get(ours) or next((lower[n] for n in NAMES[ours] if n in lower), None) for ours in NAMES}
    place = time or next((lower[name] for name in CLOCKS if name in lower), None)
    if place is None:
        raise DataError(f"expected a column of times by name, found {', '.join(frame.columns)}")
    used = [name for name in (place, date, received, *named.values()) if name is not None]
    if missing := [name for name in used if name not in frame.columns]:
        raise DataError(f"expected columns {missing}, found {', '.join(frame.columns)}")
    if frame.is_empty():
        frame = frame.with_columns(pl.lit(None, pl.Int64).alias(name) for name in (place, date, received) if name)
    event = _times(frame, place, date, unit, zone)
    found: dict[str, pl.Series] = {
        "ts_recv": event if received is None else _times(frame, received, None, unit, zone),
        "ts_event": event,
    }
    for ours, theirs in named.items():
        if theirs is None or theirs in (place, date, received):
            continue
        found[ours] = _sides(frame[theirs]) if ours == "side" else _numbers(frame[theirs])
    quoted = {"bid", "ask"} <= found.keys()
    if not quoted and not {"price", "mid"} & found.keys():
        raise DataError(f"expected a price, a mid, or a bid and an ask, found {', '.join(frame.columns)}")
    others = frame.drop(name for name in used if name in frame.columns)
    table = pl.DataFrame(found).with_columns(
        pl.when(pl.col(name) > 0).then(pl.col(name)) for name in ("bid", "ask", "price", "mid") if name in found
    )
    if quoted:
        crossed = (pl.col("bid") > pl.col("ask")) & drop_crossed
        sides = {side: pl.col(f"{side}_size") > 0 if f"{side}_size" in found else True for side in ("bid", "ask")}
        table = table.with_columns(
            pl.when(known & pl.col(side).is_not_null() & ~crossed.fill_null(False)).then(pl.col(name)).alias(name)
            for side, known in sides.items()
            for name in (side, f"{side}_size")
            if name in found
        )
        if {"bid_size", "ask_size"} <= found.keys():
            table = with_mids(table)
        else:
            table = table.with_columns(mid=(pl.col("bid") + pl.col("ask")) / 2)
    if "price" in found and "side" not in found and not quoted:
        table = table.with_columns(side=pl.lit(0, pl.Int8))
    kept = others.drop(name for name in others.columns if name in table.columns)
    return as_frame(pl.concat([table, kept], how="horizontal"), "market_table").sort("ts_recv", maintain_order=True)


def _times(frame: pl.DataFrame, name: str, date: str | None, unit: Unit | None, zone: str) -> pl.Series:
    """Ns since the epoch, UTC."""
    column = frame[name]
    if date is not None:
        found = _local(_days(frame[date]) + _of_day(column), zone, name)
    elif column.dtype.is_integer() and unit is None and column.is_between(19_000_101, 22_611_231).all():
        found = _of_text(column.cast(pl.String), zone)  # days such as 20180812
    elif column.dtype.is_numeric():
        found = _of_numbers(column, unit)
    elif column.dtype == pl.String:
        found = _of_text(column, zone)
    elif isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is None:
        found = _local(column, zone, name)
    else:
        found = as_times(column, name)
    bad = found.is_null().arg_true()
    if bad.len():
        raise DataError(f"{name}: expected a time in every row, found {column[int(bad[0])]!r} in row {bad[0]}")
    return found.cast(pl.Int64)


def _of_numbers(column: pl.Series, unit: Unit | None) -> pl.Series:
    values = column.cast(pl.Float64).to_numpy() if column.null_count() == 0 else np.array([np.nan])
    if not np.isfinite(values).all():
        raise DataError(f"{column.name}: expected a time in every row, found null, NaN or infinity")
    if unit is None:
        largest = float(np.abs(values).max()) if values.size else 1e18
        sizes: list[tuple[float, Unit]] = [(1e17, "ns"), (1e14, "us"), (1e11, "ms"), (1e8, "s")]
        unit = next((one for least, one in sizes if largest >= least), None)
        if unit is None:
            raise DataError(f"{column.name}: expected a unit (s, ms, us or ns) of times as small as {largest:g}")
    factor = PER_UNIT[unit]
    if values.size and np.abs(values).max() * factor > 9.2e18:
        raise DataError(f"{column.name}: expected times until 2261, found {np.abs(values).max():g} {unit}")
    if column.dtype.is_integer():
        return column.cast(pl.Int64) * factor
    # What a float holds of seconds since 1970 ends at 0.2 µs.
    step = 1_000 if factor > 1_000 else 1
    return pl.Series(column.name, np.rint(values * (factor / step)).astype(np.int64) * step)


def _of_text(column: pl.Series, zone: str) -> pl.Series:
    text = column.str.strip_chars()
    # With an offset of its own a time needs no zone.
    offset = text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$") & text.str.contains(":")
    if column.len() and offset.all():
        found = text.str.replace(" ", "T").str.to_datetime("%+", time_unit="ns", time_zone="UTC", strict=False)
        return found.dt.timestamp("ns")
    found = pl.Series(column.name, [None] * column.len(), pl.Datetime("ns"))
    for form in FORMATS:
        for gap in (" ", "T"):
            for clock in ("%H:%M:%S%.f", "%H:%M"):
                found = found.fill_null(text.str.to_datetime(f"{form}{gap}{clock}", time_unit="ns", strict=False))
        found = found.fill_null(text.str.to_date(form, strict=False).cast(pl.Datetime("ns")))
        if found.null_count() == 0:
            break
    return _local(found, zone, column.name)


def _days(column: pl.Series) -> pl.Series:
    """Days as naive times."""
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        return column.cast(pl.Date).cast(pl.Datetime("ns"))
    if not (column.dtype == pl.String or column.dtype.is_integer() or column.dtype == pl.Null):
        raise DataError(f"{column.name}: expected days, found {column.dtype}")
    text = column.cast(pl.String).str.strip_chars()
    found = pl.Series(column.name, [None] * column.len(), pl.Date)
    for form in FORMATS:
        found = found.fill_null(text.str.to_date(form, strict=False))
    bad = found.is_null().arg_true()
    if bad.len():
        raise DataError(f"{column.name}: expected a day in every row, found {column[int(bad[0])]!r} in row {bad[0]}")
    return found.cast(pl.Datetime("ns"))


def _of_day(column: pl.Series) -> pl.Series:
    """Times of day as durations; numbers are seconds after midnight."""
    if column.dtype == pl.Time:
        return column.cast(pl.Int64).cast(pl.Duration("ns"))
    if column.dtype.is_numeric():
        return (column.cast(pl.Float64) * 1e9).round().cast(pl.Int64, strict=False).cast(pl.Duration("ns"))
    if column.dtype != pl.String:
        raise DataError(f"{column.name}: expected times of day, found {column.dtype}")
    text = column.str.strip_chars()
    text = pl.select(pl.when(text.str.contains(r"^\d:")).then(pl.lit("0") + text).otherwise(text)).to_series()
    found = text.str.to_time("%H:%M:%S%.f", strict=False).fill_null(text.str.to_time("%H:%M", strict=False))
    return found.cast(pl.Int64).cast(pl.Duration("ns")).alias(column.name)


def _local(column: pl.Series, zone: str, name: str) -> pl.Series:
    """Naive times of a zone as ns since the epoch."""
    try:
        found = column.dt.replace_time_zone(zone)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{name}: expected times of the zone {zone!r}: {str(error).splitlines()[0]}") from None
    return as_times(found, name)


def _numbers(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        found = column.str.strip_chars().cast(pl.Float64, strict=False)
        bad = (found.is_null() & column.is_not_null() & (column.str.strip_chars() != "")).arg_true()
        if bad.len():
            raise DataError(f"{column.name}: expected numbers, found {column[int(bad[0])]!r} in row {bad[0]}")
    elif column.dtype.is_numeric() or column.dtype == pl.Null:
        found = column.cast(pl.Float64)
    else:
        raise DataError(f"{column.name}: expected numbers, found {column.dtype}")
    found = found.fill_nan(None)
    if found.is_infinite().any():
        raise DataError(f"{column.name}: expected finite numbers, found infinity")
    return found


def _sides(column: pl.Series) -> pl.Series:
    if column.dtype.is_numeric():
        return column.cast(pl.Float64).fill_nan(None).fill_null(0.0).sign().cast(pl.Int8)
    if column.dtype != pl.String:
        raise DataError(f"{column.name}: expected a side as text or +1 and -1, found {column.dtype}")
    return column.str.strip_chars().str.to_lowercase().replace_strict(SIDES, default=0, return_dtype=pl.Int8)
