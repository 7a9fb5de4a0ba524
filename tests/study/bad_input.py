"""Calls of the analytics on good input, and every way in which their input can be bad: one matrix of both.

A `Case` says how a function is called on good input. `attacks` turns it into calls on bad input: each frame empty, of
one row, of two, constant, turned round, with each column missing, null, NaN, infinite, zero, negative, text or of
another width; each option out of range or of another type. `outcome` says what came of a call: ``None`` if it raised
`crossbook.Error` or gave a result without NaN or infinity, else what is wrong.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

import crossbook

NS = 1_000_000_000
START = 1_700_000_000 * NS


@dataclass(frozen=True)
class Case:
    """One function and a good call of it."""

    call: Callable[..., Any]
    frames: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    infinite: frozenset[str] = frozenset()
    """Columns whose docstring lets them be infinite."""
    every: int = 1
    """Of functions that only call others with the same frames: one attack in so many."""

    @property
    def name(self) -> str:
        return self.call.__name__


def outcome(case: Case, frames: tuple[Any, ...], options: dict[str, Any]) -> str | None:
    try:
        found = case.call(*frames, **options)
    except crossbook.Error as error:
        return None if str(error).strip() else "an error without a message"
    except TypeError as error:
        # Python's own, of a call that does not fit the signature.
        fits = "unexpected keyword" in str(error) or "missing a required" in str(error)
        return None if fits else f"TypeError: {error}"
    except BaseException as error:  # a panic derives from BaseException
        return f"{type(error).__module__}.{type(error).__name__}: {str(error)[:150]}"
    return "; ".join(dict.fromkeys(_silent(found, case.infinite))) or None


def _silent(found: Any, infinite: frozenset[str], where: str = "result") -> Iterator[str]:
    """Where a result holds NaN or infinity."""
    if isinstance(found, pl.DataFrame):
        for name in found.columns:
            column = found[name]
            if column.dtype.is_float():
                if column.is_nan().any():
                    yield f"NaN in {where}.{name}"
                if column.is_infinite().any() and name not in infinite:
                    yield f"infinity in {where}.{name}"
    elif isinstance(found, np.ndarray):
        if found.dtype.kind == "f" and (np.isnan(found).any() or (np.isinf(found).any() and where not in infinite)):
            yield f"not finite in {where}"
    elif isinstance(found, bool | str | int | None):
        return
    elif isinstance(found, float):
        if not math.isfinite(found):
            yield f"{found} in {where}"
    elif dataclasses.is_dataclass(found):
        for one in dataclasses.fields(found):
            yield from _silent(getattr(found, one.name), infinite, f"{where}.{one.name}")
    elif isinstance(found, tuple | list):
        for at, one in enumerate(found):
            yield from _silent(one, infinite, f"{where}[{at}]")


def bad_frames(frame: pl.DataFrame) -> Iterator[tuple[str, Any]]:
    """A frame in all the ways in which it can be bad."""
    yield "empty", frame.clear()
    yield "one row", frame.head(1)
    yield "two rows", frame.head(2)
    yield "twice the same", pl.concat([frame.head(1), frame.head(1)])
    yield (
        "constant",
        pl.concat(
            [
                frame.head(1)
                .select(pl.exclude(TIMES))
                .select(pl.all().repeat_by(frame.height).explode(empty_as_null=False)),
                frame.select(pl.col(t) for t in TIMES if t in frame.columns),
            ],
            how="horizontal",
        ),
    )
    yield "turned round", frame.reverse()
    yield "shuffled", frame.sample(fraction=1, shuffle=True, seed=1)
    yield (
        "all null",
        frame.select(pl.lit(None, t).alias(n) for n, t in frame.schema.items()).select(
            pl.all().repeat_by(5).explode(empty_as_null=False)
        ),
    )
    yield "no columns", pl.DataFrame()
    yield "not a frame", [1, 2]
    yield "None", None
    times = [t for t in TIMES if t in frame.columns]
    if times:
        yield "one time", frame.with_columns(pl.lit(START).alias(t) for t in times)
        yield "times twice", frame.with_columns(pl.col(t) - pl.col(t) % (4 * NS) for t in times)
        yield "another year", frame.with_columns(pl.col(t) + 400 * 86_400 * NS for t in times)
        yield "another age", frame.with_columns(pl.col(t) * 5 for t in times)
        yield "time 0", frame.with_columns(pl.lit(0).alias(t) for t in times)
        yield (
            "first and last",
            frame.with_columns(
                pl.when(pl.int_range(pl.len()) < 2).then(pl.lit(-(2**63))).otherwise(2**63 - 1).alias(t) for t in times
            ),
        )
    for name in frame.columns:
        column, kind = pl.col(name), frame.schema[name]
        yield f"{name} missing", frame.drop(name)
        yield f"{name} null", frame.with_columns(pl.lit(None, kind).alias(name))
        yield f"{name} in part null", frame.with_columns(pl.when(pl.int_range(pl.len()) % 3 == 1).then(column))
        yield f"{name} text", frame.with_columns(pl.lit("x").alias(name))
        yield f"{name} list", frame.with_columns(pl.concat_list(column).alias(name))
        if kind.is_numeric():
            yield f"{name} of type Float32", frame.with_columns(column.cast(pl.Float32))
            yield f"{name} zero", frame.with_columns(pl.lit(0).cast(kind).alias(name))
            yield f"{name} negative", frame.with_columns(-column)
            yield f"{name} huge", frame.with_columns((pl.lit(2**62 if kind.is_integer() else 1e300)).alias(name))
        if kind.is_float():
            yield f"{name} NaN", frame.with_columns(pl.lit(math.nan).alias(name))
            yield f"{name} inf", frame.with_columns(pl.lit(math.inf).alias(name))
            yield f"{name} once NaN", _once(frame, name, math.nan)
            yield f"{name} once inf", _once(frame, name, math.inf)
            yield f"{name} of type Decimal", frame.with_columns(column.round(4).cast(pl.Decimal(30, 4)))
            yield f"{name} of type Int32", frame.with_columns(column.round().cast(pl.Int32))
        if name in TIMES:
            yield f"{name} of type UInt64", frame.with_columns(column.cast(pl.UInt64))
            yield f"{name} of type Int32", frame.with_columns((column // NS).cast(pl.Int32))
            yield f"{name} of type Float64", frame.with_columns(column.cast(pl.Float64))
            yield f"{name} of type Datetime", frame.with_columns(column.cast(pl.Datetime("us")))
            yield f"{name} of type Date", frame.with_columns(column.cast(pl.Datetime("ns")).cast(pl.Date))
            yield f"{name} far", frame.with_columns(pl.lit(datetime(9000, 1, 1)).alias(name))


TIMES = ("ts_recv", "ts_event", "ts")


def _once(frame: pl.DataFrame, name: str, value: float) -> pl.DataFrame:
    return frame.with_columns(
        pl.when(pl.int_range(pl.len()) == frame.height // 2).then(value).otherwise(pl.col(name)).alias(name)
    )


NUMBERS = (-1, 0, -0.5, math.nan, math.inf, -math.inf, 1e-9, 1e300, 10**12, 10**30, True, "x", None)
OTHERS = (1, math.nan, True, None, "no such thing", b"x")
LISTS = ((), "x", 3, None, (math.nan,), (-1,), (1, 1), ("a", "a"), (10**30,), (math.inf,), (0,), (None,))


def bad_options(case: Case) -> Iterator[tuple[str, dict[str, Any]]]:
    parameters = inspect.signature(case.call).parameters
    for name, parameter in parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        kind = str(parameter.annotation)
        values: tuple[Any, ...] = OTHERS
        if kind.startswith(("Sequence", "Floats")):
            values = LISTS
        elif "float" in kind or "int" in kind:
            values = NUMBERS
        elif "DataFrame" in kind:
            continue
        for value in values:
            if value is None and "None" in kind:
                continue
            yield f"{name}={value!r}", case.options | {name: value}


def attacks(case: Case) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    yield from islice(_attacks(case), 0, None, case.every)


def _attacks(case: Case) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    yield "good", case.frames, case.options
    for at, good in enumerate(case.frames):
        before, after = case.frames[:at], case.frames[at + 1 :]
        if isinstance(good, pl.DataFrame):
            for kind, bad in bad_frames(good):
                yield f"argument {at} {kind}", (*before, bad, *after), case.options
        elif isinstance(good, Mapping):
            yield f"argument {at} empty map", (*before, {}, *after), case.options
            yield f"argument {at} no map", (*before, 3, *after), case.options
            first = next(iter(good))
            yield f"argument {at} one of the map", (*before, {first: good[first]}, *after), case.options
            for kind, bad in bad_frames(good[first]):
                yield f"argument {at} {first} {kind}", (*before, {**good, first: bad}, *after), case.options
        elif isinstance(good, np.ndarray):
            for bad in (
                np.zeros(0),
                np.full_like(good, np.nan),
                np.full_like(good, np.inf),
                np.zeros_like(good),
                good[:1],
                np.full_like(good, 1e300),
                good.astype(str),
                None,
                "x",
                3.0,
                good.tolist(),
                np.zeros((2, 3, 4)),
            ):
                yield f"argument {at} {str(bad)[:30]!r}", (*before, bad, *after), case.options
        elif isinstance(good, int | float):
            for bad in NUMBERS:
                yield f"argument {at} {bad!r}", (*before, bad, *after), case.options
    for kind, options in bad_options(case):
        yield kind, case.frames, options
