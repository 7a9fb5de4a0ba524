"""Decimals and whole numbers of units: exactly, or an error that says where."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crossbook as xb
from crossbook.convert.units import counts, decimals, finest, from_floats, rescale, texts, to_floats

UNITS = ["0.01", "0.00000001", "1", "10", "0.5", "0.025", "100"]


def where(row: int) -> str:
    return f"file line {row}"


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1), st.sampled_from(UNITS))
def test_whole_numbers_survive_their_texts(values: list[int], unit: str) -> None:
    column = pl.Series("price", values, dtype=pl.Int64)
    written = texts(column, unit)
    assert [Decimal(text) for text in written] == [value * Decimal(unit) for value in values]
    assert counts(written, unit, where).to_list() == values


def test_the_shortest_text_is_written() -> None:
    assert texts(pl.Series([0, 5, -5, 100, 123, -10]), "0.01").to_list() == ["0", "0.05", "-0.05", "1", "1.23", "-0.1"]


@pytest.mark.parametrize("text", ["1.50", "1.5", "001.5", "+1.5", "15e-1", "0.15E1", "1.500000000000000000000000"])
def test_a_number_reads_the_same_however_it_is_written(text: str) -> None:
    assert counts(pl.Series("price", [text]), "0.1", where).to_list() == [15]


@pytest.mark.parametrize(
    "text", ["", ".", "-", "1.55", "nan", "inf", "1,5", " 1.5", "9223372036854775808", "1e30", None]
)
def test_what_is_no_multiple_of_the_unit_is_an_error_that_says_where(text: str | None) -> None:
    with pytest.raises(xb.DataError, match=r"file line 1: expected a price that is a multiple of 0\.1, found"):
        counts(pl.Series("price", ["1.5", text], dtype=pl.String), "0.1", where)


def test_the_finest_decimals_count_without_trailing_zeros() -> None:
    assert finest(pl.Series(["1", "1.50", "1e-7", "2.125", None])) == 7
    assert finest(pl.Series(["1", "1.50", "2.125"])) == 3
    assert finest(pl.Series(["1", "x"])) == 0
    assert [decimals(places) for places in (0, 2, 8)] == ["1", "0.01", "0.00000001"]


@given(st.integers(-(2**28), 2**28), st.sampled_from(UNITS), st.sampled_from(UNITS))
def test_rescaling_is_exact_or_an_error(value: int, old: str, new: str) -> None:
    exact = value * Decimal(old) / Decimal(new)
    column = pl.Series("size", [value], dtype=pl.Int64)
    if exact == int(exact):
        assert rescale(column, old, new, where).to_list() == [int(exact)]
    else:
        with pytest.raises(xb.DataError, match="file line 0: expected a size that is a multiple of"):
            rescale(column, old, new, where)


def test_what_does_not_fit_64_bits_is_an_error() -> None:
    with pytest.raises(xb.DataError, match=r"2\^63"):
        rescale(pl.Series("price", [1 << 60]), "1", "0.01", where)
    with pytest.raises(xb.DataError, match=r"2\^63"):
        texts(pl.Series("price", [1 << 62]), "10")


@given(st.lists(st.integers(-(2**44), 2**44), min_size=1), st.sampled_from(UNITS))
def test_whole_numbers_survive_floats(values: list[int], unit: str) -> None:
    array = np.array(values, np.int64)
    assert from_floats(to_floats(array, unit), unit, "price", where).tolist() == values


@pytest.mark.parametrize("value", [0.015, 1.00001, float("nan"), float("inf"), 2.0**60])
def test_a_float_between_two_units_is_an_error(value: float) -> None:
    with pytest.raises(xb.DataError, match=r"file line 1: expected a price that is a multiple of 0\.01, found"):
        from_floats(np.array([0.02, value]), "0.01", "price", where)
