"""What the analytics of two venues ask of columns and options beyond `crossbook.study.checked`.

A mistake must not become a number: columns are checked by name before a function sees them, so that the functions
themselves check only what is theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossbook.errors import DataError
from crossbook.study.checked import as_frame, as_times, checked_with

__all__ = [
    "bootstrap",
    "checked",
    "columns",
    "float_array",
    "floats",
    "needed",
    "number_column",
    "numbers",
    "real",
    "sided",
    "times",
    "whole",
    "whole_array",
]

P = ParamSpec("P")
R = TypeVar("R")

FURTHEST_NS = 1 << 62
"""Times lie within 146 years of the epoch, so that no sum or difference of two leaves 64 bits."""
LONGEST_MS = 1e12
"""No length of time is longer: 31 years."""
GREATEST = 1e60
"""No number is greater, so that squares and their sums stay finite."""
COUNTS = {"steps": 100_000, "folds": 10_000, "bins": 10_000, "buckets": 10_000, "matches": 10_000}
"""Options that cost memory, and how much of them is allowed."""

TIMES = frozenset(
    ["ts", "ts_recv", "ts_event", "start", "end", "until", "due", "decided", "opened", "close_decided", "closed"]
)
NUMBERS = frozenset(
    [
        "price",
        "size",
        "bid",
        "ask",
        "bid_size",
        "ask_size",
        "mid",
        "spread_bp",
        "basis_bp",
        "primary",
        "secondary",
        "horizon_ms",
        "forecast",
        "outcome",
        "null_forecast",
        "own_forecast",
        "probability_up",
        "duration_ms",
        "net_bp",
        "gross_bp",
        "crossing_bp",
        "fees_bp",
        "hold_ms",
        "move_bp",
        "spread_change_bp",
        "depth_change",
        "profit",
        "profit_bp",
        "duration_us",
        "span_us",
        "survival",
        "lo",
        "hi",
        "rate",
    ]
)
SIZES = frozenset(["size", "bid_size", "ask_size"])
TEXTS = frozenset(["venue", "stream", "kind", "direction", "winner", "cause"])
FLAGS = frozenset(["success", "censored", "imputed"])
SIDES = [-1.0, 0.0, 1.0]
TRADES = frozenset(["trades", "primary_trades", "secondary_trades"])


def times(column: pl.Series, what: str) -> pl.Series:
    """A column of whole ns as Int64. Raises `DataError` for another kind of value or one too far from the epoch."""
    name = column.name
    column = as_times(column, f"{what}: {name}")
    if column.len():
        low, high = column.min(), column.max()
        for value in (low, high):
            if isinstance(value, int) and abs(value) > FURTHEST_NS:
                raise DataError(
                    f"{what}: {name}: expected times within 2^62 ns of the epoch (146 years), found {value}"
                )
    if not column.null_count() or name == "until":
        return column
    if name in ("ts_recv", "ts_event"):
        return column.fill_null(0)  # unknown
    row = int(column.is_null().arg_true()[0])
    raise DataError(f"{what}: {name}: expected whole ns since the epoch, found null in row {row}")


def numbers(column: pl.Series, what: str) -> pl.Series:
    """A column of numbers as Int64 or Float64, NaN as null: both are unknown.

    Raises `DataError` for another kind of value, for infinity, and for integers beyond 64 bits.
    """
    name, kind = column.name, column.dtype
    if kind.is_integer():
        if kind != pl.Int64:
            found = column.cast(pl.Int64, strict=False)
            if found.null_count() > column.null_count():
                raise DataError(f"{what}: {name}: expected numbers of 64 bits, found {column.max()!r}")
            column = found
        return column
    if not (kind.is_float() or kind.is_decimal() or kind == pl.Null):
        raise DataError(f"{what}: {name}: expected numbers, found {kind}")
    column = column.cast(pl.Float64)
    column = column.fill_nan(None) if column.is_nan().any() else column
    low, high = column.min(), column.max()
    if isinstance(low, float) and isinstance(high, float) and (low < -GREATEST or high > GREATEST):
        row = int((column.abs() > GREATEST).fill_null(False).arg_true()[0])
        raise DataError(f"{what}: {name}: expected finite values, found {column[row]} in row {row}")
    return column


def number_column(frame: pl.DataFrame, name: str, what: str, *, known: bool = False) -> pl.Series:
    """One column that a function names itself, as `numbers`; with `known` without nulls.

    Raises `DataError` as `numbers`, and if it is missing.
    """
    if name not in frame.columns:
        raise DataError(f"{what}: expected a column {name}, found {', '.join(frame.columns)}")
    column = numbers(frame[name], what)
    if known and column.null_count():
        row = int(column.is_null().arg_true()[0])
        raise DataError(f"{what}: {name}: expected finite values, found null in row {row}")
    return column


def floats(frame: pl.DataFrame, names: Sequence[str], what: str) -> pl.DataFrame:
    """The frame with these columns as Float64 without nulls. Raises `DataError` as `number_column`."""
    return frame.with_columns(number_column(frame, name, what, known=True).cast(pl.Float64) for name in names)


def needed(frame: pl.DataFrame, names: Sequence[str], what: str) -> None:
    """Raises `DataError` if a column is missing."""
    if missing := [name for name in names if name not in frame.columns]:
        raise DataError(f"{what}: expected columns {', '.join(names)}, missing {', '.join(missing)}")


def whole_array(values: object, what: str) -> NDArray[np.int64]:
    """Whole ns as an array. Raises `DataError` for anything else."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise DataError(f"{what}: expected one column of whole ns, found {array.ndim} of {array.dtype}")
    if array.size and not -FURTHEST_NS <= int(array.min()) <= int(array.max()) <= FURTHEST_NS:
        raise DataError(f"{what}: expected times within 2^62 ns of the epoch (146 years)")
    return np.ascontiguousarray(array, dtype=np.int64)


def whole(value: object) -> bool:
    """Whether this is a whole number, and no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def real(value: object) -> bool:
    """Whether this is a real number that a float holds, infinity among them, and neither NaN nor a truth value."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return not math.isnan(float(value))
    except OverflowError:
        return False


def float_array(values: object, what: str) -> NDArray[np.float64]:
    """Numbers as an array. Raises `DataError` for anything else."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "iuf":
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{what}: expected numbers, found {values!r}") from None


def _texts(column: pl.Series, what: str) -> pl.Series:
    if not (column.dtype == pl.Null or column.dtype in (pl.String, pl.Categorical, pl.Enum)):
        raise DataError(f"{what}: {column.name}: expected text, found {column.dtype}")
    if column.null_count():
        row = int(column.is_null().arg_true()[0])
        raise DataError(f"{what}: {column.name}: expected text, found null in row {row}")
    return column.cast(pl.String)


def _flags(column: pl.Series, what: str) -> pl.Series:
    if column.dtype not in (pl.Boolean, pl.Null):
        raise DataError(f"{what}: {column.name}: expected true or false, found {column.dtype}")
    if column.null_count():
        row = int(column.is_null().arg_true()[0])
        raise DataError(f"{what}: {column.name}: expected true or false, found null in row {row}")
    return column.cast(pl.Boolean)


def columns(frame: pl.DataFrame, what: str) -> pl.DataFrame:
    """The frame with its well-known columns as the functions take them.

    Times are Int64 ns; numbers Int64 or Float64, finite or null (NaN becomes null); sizes are not negative; texts are
    strings; flags are known. Other columns stay. Raises `DataError` that names the column.
    """
    found = []
    for name in frame.columns:
        column = frame[name]
        if name == "start" and column.dtype == pl.Boolean:
            continue  # of `quote_flow`: a row that begins anew
        if name in TIMES:
            new = times(column, what)
        elif name in NUMBERS:
            new = numbers(column, what)
            low = new.min() if name in SIZES else None
            if isinstance(low, (int, float)) and low < 0:
                raise DataError(f"{what}: {name}: expected sizes of 0 or more, found {low} in row {new.arg_min()}")
        elif name in TEXTS:
            new = _texts(column, what)
        elif name in FLAGS:
            new = _flags(column, what)
        else:
            continue
        if new is not column:
            found.append(new)
    frame = frame.with_columns(found) if found else frame
    # A side may be text too ("bid", "ask").
    side = frame["side"].dtype if "side" in frame.columns else pl.String
    return sided(frame, what) if side.is_numeric() else frame


def _traded(frame: pl.DataFrame, what: str) -> pl.DataFrame:
    """Trades have a price above 0, a size, and a side of 1, -1 or 0."""
    for name in ("price", "size"):
        if name in frame.columns:
            column = frame[name]
            bad = column.is_null() | (column <= 0 if name == "price" else column < 0).fill_null(False)
            if bad.any():
                row = int(bad.arg_true()[0])
                least = "above 0" if name == "price" else "of 0 or more"
                raise DataError(f"{what}: {name}: expected numbers {least}, found {column[row]} in row {row}")
    return sided(frame, what) if "side" in frame.columns and frame["side"].dtype != pl.Int8 else frame


def sided(frame: pl.DataFrame, what: str) -> pl.DataFrame:
    """The frame with its column ``side`` as Int8, null as 0 (unknown). Raises `DataError` unless it is 1, -1 or 0."""
    side = numbers(frame["side"], what).cast(pl.Float64)
    if not side.is_in(SIDES).all():
        row = int((~side.is_in(SIDES)).fill_null(False).arg_true()[0])
        raise DataError(f"{what}: side: expected 1 (buys), -1 (sells) or 0 (unknown), found {side[row]} in row {row}")
    return frame.with_columns(side.cast(pl.Int8).fill_null(0).alias("side"))


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """`crossbook.study.checked.checked`, and the well-known columns of every frame in order (`columns`).

    Lengths are 0 or a nanosecond at least, options that cost memory bounded, and what is no frame or no number is so
    too where an annotation says an array, a fit or an instrument.
    """
    return checked_with(function, _argument)


def _kinds(annotation: str) -> tuple[str, ...]:
    """The alternatives of an annotation: ``"float | None"`` are two."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(annotation):
        depth += (letter == "[") - (letter == "]")
        if letter == "|" and depth == 0:
            parts.append(annotation[start:place].strip())
            start = place + 1
    return (*parts, annotation[start:].strip())


def _argument(name: str, value: Any, annotation: str) -> Any:
    """One argument, checked further; what the annotation does not settle is left to the function."""
    kinds = _kinds(annotation)
    if value is None:
        if "None" in kinds:
            return value
        raise DataError(f"{name}: expected {annotation}, found None")
    for kind in kinds:
        if kind == "pl.DataFrame":
            return _frame(name, value)
        if kind == "Sequence[pl.DataFrame]":
            if isinstance(value, pl.DataFrame):
                raise DataError(f"{name}: expected several DataFrames, found one")
            return [_frame(name, as_frame(one, name)) for one in value]
        if kind == "Mapping[str, pl.DataFrame]":
            return {key: _frame(f"{name}: {key}", frame) for key, frame in value.items()}
        if kind in ("float", "int"):
            return _option(name, value)
        if kind == "tuple[float, float]":
            return _pair(name, value)
        if kind == "HawkesFit" and type(value).__name__ != kind:
            raise DataError(f"{name}: expected a HawkesFit, found {type(value).__name__}")
        if kind == "Sequence[Instrument]" and not all(type(one).__name__ == "Instrument" for one in value):
            raise DataError(f"{name}: expected instruments, found {value!r}")
        if kind == "Mapping[str, float]":
            if not isinstance(value, Mapping):
                raise DataError(f"{name}: expected numbers by name, found {value!r}")
            return {key: _pair(f"{name}: {key}", (one, 0.0))[0] for key, one in value.items()}
        if kind in ("FairBasis", "Ties") and not isinstance(value, str):
            raise DataError(f"{name}: expected text, found {value!r}")
    return value


def _frame(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    frame = columns(frame, name)
    return _traded(frame, name) if name in TRADES else frame


def _pair(name: str, value: Any) -> tuple[float, float]:
    array = float_array(value, name)
    if array.shape != (2,) or not (np.abs(array) <= GREATEST).all():
        raise DataError(f"{name}: expected two finite numbers, found {value!r}")
    return float(array[0]), float(array[1])


def _option(name: str, value: float) -> float:
    """A number's range by its name."""
    if name in TIMES and abs(value) > FURTHEST_NS:
        raise DataError(f"{name}: expected a time within 2^62 ns of the epoch, found {value}")
    if name.endswith("_us") and not abs(value) <= LONGEST_MS * 1e3:
        raise DataError(f"{name}: expected at most 31 years, found {value}")
    if name.endswith(("_ms", "_us")) and 0 < abs(value) < (1e-3 if name.endswith("_us") else 1e-6):
        raise DataError(f"{name}: expected 0 or one nanosecond at least, found {value}")
    if name.endswith("_s") and not 1e-6 <= value <= 1e9:
        raise DataError(f"{name}: expected {name} above 0, 1e-6 to 1e9 seconds, found {value}")
    if name in COUNTS and not value <= COUNTS[name]:
        raise DataError(f"{name}: expected at most {COUNTS[name]:,}, found {value}")
    return value


def bootstrap(seed: int, resamples: int, blocks: int) -> Iterator[NDArray[np.int64]]:
    """`resamples` draws of `blocks` with replacement, `[some, blocks]` at a time, so that memory stays bounded.

    The draws are those of one call, whatever the parts.
    """
    rng = np.random.default_rng(seed)
    some = max(1, (1 << 22) // max(blocks, 1))
    for start in range(0, resamples, some):
        yield rng.integers(0, blocks, (min(some, resamples - start), blocks))
