"""Decimals and whole numbers of units, into each other exactly or not at all. No number here is ever a float but one
that a format holds as such."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["counts", "decimals", "finest", "from_floats", "rescale", "texts", "to_floats"]

ANY = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?"
LARGEST = (1 << 63) - 1


def _split(unit: str) -> tuple[int, int]:
    """A unit as ``mantissa * 10 ** -decimals``, with decimals of zero or more."""
    value = Decimal(unit)
    exponent = value.as_tuple().exponent
    places = max(0, -exponent) if isinstance(exponent, int) else 0
    return places, int(value.scaleb(places))


def _slow(text: str, unit: Fraction) -> int | None:
    """What the fast way cannot read, such as ``1e-7``."""
    if not re.fullmatch(ANY, text):
        return None
    count = Fraction(Decimal(text)) / unit
    return int(count) if count.denominator == 1 and abs(count) <= LARGEST else None


def counts(column: pl.Series, unit: str, where: Callable[[int], str]) -> pl.Series:
    """Decimal texts as whole numbers of a unit.

    Raises `DataError` for a text that is no number, no multiple of the unit, or too large; `where` names a row.
    """
    places, mantissa = _split(unit)
    parts = column.str.splitn(".", 2).struct.unnest().fill_null("")
    parts.columns = ["whole", "fraction"]
    whole, fraction = pl.col("whole"), pl.col("fraction")
    head = whole + fraction.str.head(places).str.pad_end(places, "0") if places else whole
    # A cast refuses all that is no digit, but what was cut or filled up must be looked at.
    numeral = (fraction != "") | ~whole.is_in(["", "-", "+"])
    found = parts.select(
        scaled=head.cast(pl.Int64, strict=False),
        good=numeral & (fraction.str.slice(places).str.strip_chars_end("0") == ""),
    )
    scaled, good = found["scaled"], found["good"] & found["scaled"].is_not_null()
    if mantissa != 1:
        good &= (scaled % mantissa == 0).fill_null(False)
        scaled = scaled // mantissa
    if good.all():
        return scaled.rename(column.name)
    repaired = scaled.to_list()
    for row in (~good).arg_true().to_list():
        found = column[row]
        count = None if found is None else _slow(found, Fraction(Decimal(unit)))
        if count is None:
            raise DataError(f"{where(row)}: expected a {column.name} that is a multiple of {unit}, found {found!r}")
        repaired[row] = count
    return pl.Series(column.name, repaired, dtype=pl.Int64)


def texts(column: pl.Series, unit: str) -> pl.Series:
    """Whole numbers of a unit as the shortest decimal texts. Raises `DataError` for what does not fit 64 bits."""
    places, mantissa = _split(unit)
    scaled = _times(column.cast(pl.Int64), mantissa, unit)
    if places == 0:
        return scaled.cast(pl.String)
    digits = scaled.abs().cast(pl.String).str.zfill(places + 1)
    fraction = digits.str.tail(places).str.strip_chars_end("0")
    whole = digits.str.head(-places)
    frame = pl.DataFrame({"whole": whole, "fraction": fraction, "minus": scaled < 0})
    point = pl.when(pl.col("fraction") == "").then(pl.lit("")).otherwise(pl.lit("."))
    sign = pl.when("minus").then(pl.lit("-")).otherwise(pl.lit(""))
    return frame.select(pl.concat_str(sign, "whole", point, "fraction").alias(column.name)).to_series()


def _times(column: pl.Series, factor: int, unit: str) -> pl.Series:
    if factor == 1 or column.is_empty():
        return column
    least, most = column.min(), column.max()
    assert isinstance(least, int)
    assert isinstance(most, int)
    if max(-least, most) * factor > LARGEST:
        raise DataError(f"{column.name} {max(most, least, key=abs)}: expected less than 2^63 units of {unit}")
    return column * factor


def rescale(column: pl.Series, old: str, new: str, where: Callable[[int], str]) -> pl.Series:
    """Whole numbers of one unit as whole numbers of another. Raises `DataError` for what is no multiple of it."""
    ratio = Fraction(Decimal(old)) / Fraction(Decimal(new))
    column = column.cast(pl.Int64)
    if ratio.denominator != 1:
        left = column % ratio.denominator != 0
        if left.any():
            row = int(left.arg_true()[0])
            value = Decimal(column[row]) * Decimal(old)
            raise DataError(f"{where(row)}: expected a {column.name} that is a multiple of {new}, found {value:f}")
        column = column // ratio.denominator
    return _times(column, ratio.numerator, old)


def decimals(places: int) -> str:
    """The unit of so many decimals as text."""
    return f"{Decimal(1).scaleb(-places):f}"


def finest(column: pl.Series) -> int:
    """How many decimals the finest text of a column has, trailing zeros not counted. What is no number counts 0."""
    column = column.drop_nulls()
    lengths = column.str.extract(r"^-?\d*\.(\d*)$").str.strip_chars_end("0").str.len_bytes().max()
    places = lengths if isinstance(lengths, int) else 0
    for text in column.filter(column.str.contains("[eE]")).to_list():
        if re.fullmatch(ANY, text):
            exponent = Decimal(text).normalize().as_tuple().exponent
            places = max(places, -exponent if isinstance(exponent, int) else 0)
    return places


def from_floats(values: NDArray[np.float64], unit: str, what: str, where: Callable[[int], str]) -> NDArray[np.int64]:
    """Floats as whole numbers of a unit.

    A value further from a whole number than 1e-6 of a unit and what rounding can do to a float was no multiple of the
    unit; one of 2^48 units and more is too coarse to tell. Raises `DataError` for either.
    """
    # The inverse of a unit such as 0.01 is a whole number and so exact as a float, which the unit itself is not.
    fraction = Fraction(Decimal(unit))
    with np.errstate(all="ignore"):
        scaled = values * float(1 / fraction) if fraction < 1 else values / float(fraction)
        nearest = np.rint(scaled)
        tolerance = 1e-6 + 4 * np.finfo(np.float64).eps * np.abs(scaled)
        good = (np.abs(scaled - nearest) <= tolerance) & (np.abs(scaled) < 2.0**48)
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise DataError(f"{where(row)}: expected a {what} that is a multiple of {unit}, found {float(values[row])!r}")
    return nearest.astype(np.int64)


def to_floats(values: NDArray[np.int64], unit: str) -> NDArray[np.float64]:
    """Whole numbers of a unit as the floats nearest to what they mean."""
    fraction = Fraction(Decimal(unit))
    inverse = float(1 / fraction)
    return np.asarray(values / inverse if fraction < 1 else values * float(fraction), np.float64)
