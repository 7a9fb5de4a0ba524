"""Arguments of the analytics, checked where they come in: frames, columns and options, by what a signature says."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar, get_args, get_origin

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.blas import one_blas_thread

__all__ = ["TIMES", "as_frame", "as_times", "checked", "checked_with", "expected_columns"]

P = ParamSpec("P")
R = TypeVar("R")

TIMES = ("ts", "ts_recv", "ts_event")
"""Columns that hold times: whole ns since the epoch, UTC, or a Datetime or Date, which are made so."""

SIZES = ("bid_size", "ask_size", "size")
"""Columns that hold amounts, of 0 or more, beside a price (a size alone may be any regressor)."""

NUMBERS = (
    *SIZES,
    *("depth", "volume", "bid", "ask", "price", "mid", "microprice", "spread_bp", "return_bp", "basis_bp", "impact_bp"),
    *("value", "signed_volume", "signed_value", "move", "ofi", *(f"ofi_{level}" for level in range(1, 11))),
)
"""Columns that hold numbers wherever they appear."""

LARGEST = 1e30
"""What no price, size or flow reaches: squares and products of such numbers stay finite, as do ratios to `SMALLEST`."""

SMALLEST = 1e-30
"""What every price, depth or value that something is divided by exceeds."""

LONGEST = 1 << 60
"""Ns that any length of time may have: 36 years, the kernels' bound."""

LARGEST_OPTION = 1e30
"""What no volatility, volume or cost reaches: the formulas square and multiply them."""

MOST_RESAMPLES = 1_000_000

_CLOCKS = ("recv", "event")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check what `function` is given by its annotations, before it sees it.

    * ``pl.DataFrame`` (and maps of them): any table that speaks Arrow's stream interface is taken, a LazyFrame is
      collected; columns of time become ns, and columns named as prices and sizes are must be numbers (see `as_frame`);
    * ``float`` and ``int``: finite numbers, whole ones for ``int``; no truth values. Lengths of time (``…_ms``,
      ``…_s``) are within 36 years, ``level`` lies between 0 and 1, ``seed`` is not negative, ``resamples`` are 1 to
      1,000,000;
    * ``Literal``: one of its values; ``Sequence[str]``, ``Sequence[float]``: each member.

    BLAS keeps to one thread while the function runs (see `crossbook.study.blas`).

    The error is a `DataError` that names function and argument. Whether values make sense together is the function's
    own matter.
    """
    return checked_with(function, None)


def checked_with(function: Callable[P, R], more: Callable[[str, Any, str], Any] | None) -> Callable[P, R]:
    """`checked`, and then each argument through ``more(name, value, annotation)``."""
    signature = inspect.signature(function)
    scope = getattr(function, "__globals__", {})
    rules: dict[str, str] = {}
    options: str | None = None
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            options = name
            shape = str(parameter.annotation).removeprefix("Unpack[").removesuffix("]")
            named = getattr(scope.get(shape), "__annotations__", {})
            rules |= {one: getattr(kind, "__forward_arg__", str(kind)) for one, kind in named.items()}
        elif parameter.annotation is not inspect.Parameter.empty:
            rules[name] = str(parameter.annotation)
    label = getattr(function, "__name__", "")

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        given = bound.arguments
        for name in list(given):
            if name == options:
                given[name] = {k: _argument(label, k, v, rules.get(k, ""), scope) for k, v in given[name].items()}
            elif name in rules:
                given[name] = _argument(label, name, given[name], rules[name], scope)
                if more is not None:
                    given[name] = more(name, given[name], rules[name])
        with one_blas_thread:
            return function(*bound.args, **bound.kwargs)

    return call


def _argument(label: str, name: str, value: Any, rule: str, scope: dict[str, Any]) -> Any:
    where = f"{label}: {name}"
    if value is None and "None" in rule:
        return None
    kinds = [kind.strip() for kind in rule.split("|")]
    if any(kind == "pl.DataFrame" for kind in kinds):
        return as_frame(value, where)
    if rule in ("Mapping[str, pl.DataFrame]", "dict[str, pl.DataFrame]"):
        if not isinstance(value, Mapping):
            raise DataError(f"{where}: expected tables by name, found {type(value).__name__}")
        return {key: as_frame(table, f"{where} {key!r}") for key, table in value.items()}
    if rule.startswith("Sequence["):
        return _sequence(where, value, rule.removeprefix("Sequence[").split("]")[0])
    if any(kind in ("float", "int") for kind in kinds) and not isinstance(value, str):
        # Where an array or a name would do as well, other kinds are the function's own matter.
        if any("Floats" in kind for kind in kinds) and isinstance(value, np.ndarray | list | tuple):
            return value
        return _number(where, name, value, whole="float" not in kinds)
    choices = [choice for kind in kinds for choice in _choices(kind, scope)]
    if choices and "Floats" in rule and not isinstance(value, str):
        return value
    if choices and not (isinstance(value, str) and value in choices):
        found = value if isinstance(value, str) else type(value).__name__
        number = "a number or " if {"int", "float"} & set(kinds) else ""
        raise DataError(f"{where}: expected {number}one of {', '.join(choices)}, found {found}")
    if not choices and kinds[0] in ("float", "int"):
        raise DataError(f"{where}: expected a number, found {value!r}")
    if kinds[0] == "bool" and not isinstance(value, bool | np.bool_):
        raise DataError(f"{where}: expected True or False, found {value!r}")
    if kinds[0] == "str" and not isinstance(value, str) and "Sequence[str]" not in rule:
        raise DataError(f"{where}: expected a name, found {value!r}")
    if "Sequence[str]" in rule and not isinstance(value, str):
        return _sequence(where, value, "str")
    return value


def _choices(kind: str, scope: dict[str, Any]) -> tuple[str, ...]:
    """The values of a literal, written out or by name."""
    if kind == "Clock":
        return _CLOCKS
    if kind.startswith("Literal["):
        return tuple(part.strip().strip("\"'") for part in kind.removeprefix("Literal[").removesuffix("]").split(","))
    named = scope.get(kind)
    return tuple(str(one) for one in get_args(named)) if get_origin(named) is Literal else ()


def _sequence(where: str, value: Any, kind: str) -> Any:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise DataError(f"{where}: expected a list, found {value!r}")
    members = list(value)
    for member in members:
        if kind in ("float", "int"):
            _number(where, "", member, whole=kind == "int")
        elif kind in ("str", "Rule") and not isinstance(member, str):
            raise DataError(f"{where}: expected names, found {member!r}")
    if kind in ("float", "int"):
        return [_number(where, "", member, whole=kind == "int") for member in members]
    return members


def _number(where: str, name: str, value: Any, *, whole: bool) -> float | int:
    if isinstance(value, bool | np.bool_ | str) or not isinstance(value, numbers.Number):
        raise DataError(f"{where}: expected a number, found {value!r}")
    if isinstance(value, complex):
        raise DataError(f"{where}: expected a real number, found {value!r}")
    if whole:
        if not isinstance(value, numbers.Integral):
            raise DataError(f"{where}: expected a whole number, found {value!r}")
        number: float | int = int(value)
        if not -(1 << 63) <= number < 1 << 63:
            raise DataError(f"{where}: expected a number of 64 bits, found one of {int(number).bit_length()}")
    else:
        try:
            number = int(value) if isinstance(value, numbers.Integral) else float(value)  # type: ignore[arg-type]
            fits = math.isfinite(number)
        except OverflowError:
            fits, number = False, math.inf
        if not fits or abs(number) > LARGEST_OPTION:
            raise DataError(f"{where}: expected a finite number of at most {LARGEST_OPTION:g}, found {value!r}")
    unit = 1e6 if name.endswith("_ms") else 1e9 if name.endswith("_s") else 0.0
    if unit and abs(number) * unit > LONGEST:
        raise DataError(f"{where}: expected at most 36 years, found {value!r}")
    if name == "level" and not 0.0 < number < 1.0:
        raise DataError(f"{where}: expected a number between 0 and 1, found {value!r}")
    if name == "seed" and number < 0:
        raise DataError(f"{where}: expected 0 or more, found {value!r}")
    if name == "resamples" and not 1 <= number <= MOST_RESAMPLES:
        raise DataError(f"{where}: expected 1 to {MOST_RESAMPLES:,}, found {value!r}")
    return number


def as_frame(value: Any, where: str) -> pl.DataFrame:
    """A table as a DataFrame whose times are whole ns and whose prices and sizes are numbers.

    Of ``ts, ts_recv, ts_event`` a Datetime (a naive one is taken for UTC) or Date becomes ns since the epoch, any
    whole numbers become Int64; a null stays unknown. Prices and sizes of other widths, and Decimals, become Float64; a
    NaN there is unknown, so null. Raises `DataError` for what is no table, times or prices of another type, prices or
    sizes that are infinite, sizes below 0, or times that no Int64 of ns holds (1678 to 2261); text and seconds are
    turned into times by `market_table`.
    """
    value = as_table(value, where)
    schema = value.schema
    changed = [as_times(value[n], f"{where}: {n}") for n in TIMES if n in schema and schema[n] != pl.Int64]
    given = [value[name] for name in NUMBERS if name in schema]
    priced = SIZES if "price" in schema or "bid" in schema else ()
    found = [_as_numbers(column, f"{where}: {column.name}", positive=column.name in priced) for column in given]
    changed += [new for old, new in zip(given, found, strict=True) if new is not old]
    frame: pl.DataFrame = value.with_columns(changed) if changed else value
    return frame


def as_table(value: Any, where: str) -> pl.DataFrame:
    """Any table as a DataFrame. Raises `DataError` for what is none."""
    if isinstance(value, pl.LazyFrame):
        try:
            value = value.collect()
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{where}: cannot be collected: {error}") from None
    if not isinstance(value, pl.DataFrame):
        if not hasattr(value, "__arrow_c_stream__") or isinstance(value, pl.Series):
            raise DataError(f"{where}: expected a DataFrame, found {type(value).__name__}")
        try:
            value = pl.DataFrame(value)
        except (ImportError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{where}: cannot be read as a table: {error}") from None
    table: pl.DataFrame = value
    return table


def _as_numbers(column: pl.Series, where: str, *, positive: bool) -> pl.Series:
    """Finite numbers, null where NaN."""
    kind = column.dtype
    if not (kind.is_numeric() or kind == pl.Null):
        raise DataError(f"{where}: expected numbers, found {kind}")
    if kind not in (pl.Float64, pl.Int64):
        column = column.cast(pl.Float64)
    if column.dtype == pl.Float64 and column.is_nan().any():
        column = column.fill_nan(None)
    if column.len() > column.null_count():
        low, high = float(column.min()), float(column.max())  # type: ignore[arg-type]  # numbers, one at least
        if low < -LARGEST or high > LARGEST:
            far = low if low < -LARGEST else high
            raise DataError(f"{where}: expected finite numbers below {LARGEST:g}, found {far}")
        if low < 0 and positive:
            raise DataError(f"{where}: expected sizes of 0 or more, found {low:g}")
    return column


def as_times(column: pl.Series, where: str) -> pl.Series:
    """Whole ns since the epoch from a Datetime, a Date or whole numbers of any width."""
    kind = column.dtype
    if kind.is_integer() or kind == pl.Null:
        found = column.cast(pl.Int64, strict=False)
        if found.null_count() > column.null_count():
            raise DataError(f"{where}: expected ns since the epoch, found one beyond 64 bits")
        return found
    if kind == pl.Date or isinstance(kind, pl.Datetime):
        if kind == pl.Date:
            column = column.cast(pl.Datetime("us"))
        years = column.dt.year()
        if column.len() > column.null_count() and not (years.min() >= 1678 and years.max() <= 2261):  # type: ignore[operator]
            raise DataError(f"{where}: expected times from 1678 to 2261, which ns of 64 bits hold")
        return column.dt.timestamp("ns")
    raise DataError(
        f"{where}: expected whole ns since the epoch or a Datetime, found {kind}: market_table makes them of text and "
        "of seconds"
    )


def expected_columns(frame: pl.DataFrame, what: str, names: Iterable[str]) -> None:
    """Raise `DataError` unless `frame` has columns of these names, and all hold numbers or truth values."""
    wanted = list(dict.fromkeys(names))
    if missing := sorted(set(wanted) - set(frame.columns)):
        needed = f"expected a column {wanted[0]}" if len(wanted) == 1 else f"missing columns {missing}"
        raise DataError(f"{what}: {needed}, found {', '.join(frame.columns)}")
    for name in wanted:
        kind = frame.schema[name]
        if not (kind.is_numeric() or kind in (pl.Boolean, pl.Null)):
            raise DataError(f"{what}: {name}: expected numbers, found {kind}")
