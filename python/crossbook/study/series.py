"""Rows on a clock, and series of observations from them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossbook.errors import DataError

__all__ = ["Clock", "Floats", "Times", "on_clock", "series"]

Clock = Literal["recv", "event"]
Floats = NDArray[np.float64]
Times = NDArray[np.int64]


def on_clock(frame: pl.DataFrame, clock: Clock) -> pl.DataFrame:
    """The rows that have a time on `clock` (0 = unknown), in its order, rows of one instant in their own.

    The time becomes the column `ts`. Raises `DataError` if the frame has no such clock.
    """
    column = f"ts_{clock}"
    if column not in frame.columns:
        raise DataError(f"expected a column {column}, found {', '.join(frame.columns)}")
    times = frame[column]
    # Rows of a study are in order already; to look costs a hundredth of sorting them.
    if times.dtype == pl.Int64 and not times.null_count() and not (times == 0).any() and times.is_sorted():
        return frame.with_columns(ts=times)
    return frame.with_columns(ts=pl.col(column)).filter(pl.col("ts") != 0).sort("ts", maintain_order=True)


def series(quotes: pl.DataFrame, clock: Clock, value: str) -> tuple[Times, Floats]:
    """Times (ns, strictly ascending; the last row of an instant holds) and natural logs of a column of quotes.

    Rows where it is null or NaN (one-sided quotes) are left out. Raises `DataError` if nothing remains, the column is
    missing or a value is not positive.
    """
    if value not in quotes.columns:
        raise DataError(f"expected a column {value}, found {', '.join(quotes.columns)}")
    rows = on_clock(quotes, clock).select("ts", pl.col(value).cast(pl.Float64).fill_nan(None)).drop_nulls()
    rows = rows.filter((pl.col("ts") != pl.col("ts").shift(-1)).fill_null(True))  # the last of an instant
    times, values = rows["ts"].to_numpy(), rows[value].to_numpy()
    if times.size == 0:
        raise DataError(f"expected at least one quote with a {value} and a time on the {clock} clock, found none")
    if not (np.isfinite(values).all() and values.min() > 0):
        raise DataError(f"expected positive finite values of {value}, whose logarithm is studied")
    return times, np.log(values)
