"""Tapes and tables: to Polars and back without a copy, and nothing wrong gets in."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from conftest import COLUMNS, LAST, LEVEL, QUOTE, TRADE, builtin, events, levels, quote, tape

import crossbook as xb


def address(series: pl.Series) -> int:
    """Where the values lie. Raises where NumPy would need a copy."""
    assert series.n_chunks() == 1
    return series.to_numpy(allow_copy=False).__array_interface__["data"][0]


SAMPLE = [
    *quote(100, 102, 7, sizes=(5, 6), ts_recv=1),
    *levels([(0, 99, 4), (1, 103, 2)], 8, ts_recv=2),
    {"kind": TRADE, "side": 0, "price": 102, "size": 1, "sequence": 1, "flags": LAST, "ts_recv": 3},
]


def test_a_tape_goes_to_polars_without_a_copy_and_keeps_its_values() -> None:
    frame = events(SAMPLE)
    made = xb.Tape(frame, [builtin("spot")])
    out = made.to_polars()
    assert out.equals(frame)
    assert out.schema == pl.Schema(COLUMNS)
    for name in COLUMNS:
        assert address(out[name]) == address(frame[name]), name
    again = xb.Tape(out, made.instruments).to_polars()
    assert [address(again[name]) for name in COLUMNS] == [address(frame[name]) for name in COLUMNS]


def test_the_memory_outlives_the_tape_that_it_came_from() -> None:
    out = tape(SAMPLE).to_polars()
    assert out["price"].to_list() == [100, 102, 99, 103, 102]
    part = xb.Tape(events(SAMPLE * 1_000), [builtin("spot")])[4_990:].to_polars()
    assert part.equals(events(SAMPLE * 2))


def test_a_slice_shares_memory_and_reads_as_pythons_do() -> None:
    made, frame = tape(SAMPLE), events(SAMPLE)
    for cut in (slice(1, 3), slice(-2, None), slice(None), slice(3, 1), slice(99, 100), slice(-99, 2)):
        assert made[cut].to_polars().equals(frame[cut]), cut
        assert len(made[cut]) == frame[cut].height
    assert address(made[2:].to_polars()["price"]) == address(made.to_polars()["price"]) + 2 * 8
    with pytest.raises(xb.DataError, match="slice of step 1"):
        made[::2]
    with pytest.raises(TypeError):
        made[0]  # type: ignore[index]


def test_filters_by_kind_and_instrument_give_what_polars_gives() -> None:
    two = [builtin("spot"), builtin("usdm")]
    rows = [{**row, "instrument": index % 2} for index, row in enumerate(SAMPLE * 3)]
    made, frame = tape(rows, two), events(rows)
    assert made.filter(kind=["quote"]).to_polars().equals(frame.filter(pl.col("kind") == QUOTE))
    assert made.filter(instrument=[1]).to_polars().equals(frame.filter(pl.col("instrument") == 1))
    both = frame.filter(pl.col("kind").is_in([LEVEL, TRADE]) & (pl.col("instrument") == 0))
    assert made.filter(kind=["level", "trade"], instrument=[0]).to_polars().equals(both)
    assert len(made.filter(kind=[])) == 0
    assert len(made.filter(instrument=[9])) == 0
    with pytest.raises(xb.DataError, match=r'kind "nope": expected one of clear, level'):
        made.filter(kind=["nope"])


def test_concat_puts_tapes_of_the_same_instruments_together() -> None:
    made = tape(SAMPLE)
    joined = xb.Tape.concat([made[:2], made[2:], made])
    assert joined.to_polars().equals(events(SAMPLE * 2))
    assert joined[3:8].to_polars().equals(events(SAMPLE * 2)[3:8])
    with pytest.raises(xb.DataError, match="at least one tape"):
        xb.Tape.concat([])
    with pytest.raises(xb.DataError, match="same instruments"):
        xb.Tape.concat([made, tape(SAMPLE, [builtin("usdm")])])


def test_the_repr_says_units() -> None:
    made = tape(SAMPLE)
    assert repr(made) == "Tape(5 events; units: binance-spot:BTCUSDT (price 0.01, size 0.00000001))"
    assert repr(xb.PriceBook().apply(made)) == "Table(1 rows: row, bid, bid_size, ask, ask_size)"


def test_an_empty_tape_is_a_tape() -> None:
    empty = tape([])
    assert len(empty) == len(empty[:5]) == len(empty.filter(kind=["trade"])) == 0
    assert empty.to_polars().schema == pl.Schema(COLUMNS)
    assert xb.PriceBook().apply(empty).to_polars().height == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda f: f.drop("price"), 'expected a column "price"'),
        (lambda f: f.with_columns(pl.col("price").cast(pl.Float64)), "expected Int64, found Float64"),
        (lambda f: f.with_columns(pl.col("kind").cast(pl.Int64)), "expected UInt8"),
        (lambda f: f.with_columns(side=pl.lit(None, pl.UInt8)), "expected no missing values"),
        (lambda f: f.with_columns(kind=pl.lit(14, pl.UInt8)), "expected a code below 14"),
        (lambda f: f.with_columns(instrument=pl.lit(1, pl.UInt32)), "expected an index below 1"),
        (lambda f: f["price"], "C Data interface"),
        (lambda f: f.to_dicts(), "expected a DataFrame or another Arrow stream, found list"),
        (lambda _: None, "expected a DataFrame or another Arrow stream, found NoneType"),
        (lambda f: f.with_columns(price=pl.lit("x")), "expected Int64"),
    ],
)
def test_wrong_columns_types_nulls_and_codes_are_refused(wrong, says: str) -> None:
    with pytest.raises(xb.DataError, match=says):
        xb.Tape(wrong(events(SAMPLE)), [builtin("spot")])


def test_a_side_code_that_is_none_of_three_does_no_harm() -> None:
    made = xb.Tape(events(SAMPLE).with_columns(side=pl.lit(7, pl.UInt8)), [builtin("spot")])
    book = xb.PriceBook()
    book.apply(made)
    assert book.quote == (0, 0, 0, 0)
    assert book.is_stale


def test_extra_columns_are_left_behind_and_the_order_does_not_matter() -> None:
    frame = events(SAMPLE).with_columns(note=pl.lit("x")).select(["note", *reversed(list(COLUMNS))])
    assert xb.Tape(frame, [builtin("spot")]).to_polars().equals(events(SAMPLE))


def test_a_tape_of_many_chunks_reads_as_one() -> None:
    frame = pl.concat([events(SAMPLE)] * 3, rechunk=False)
    assert frame["price"].n_chunks() == 3
    made = xb.Tape(frame, [builtin("spot")])
    assert len(made) == 15
    assert made.to_polars().equals(frame)


def batch(book: xb.PriceBook, start: int, rows: int = 1_000, **options) -> xb.Table:
    prices = np.arange(start, start + rows, dtype=np.int64)
    return book.update_rows(np.zeros(rows, np.uint8), prices, np.ones(rows, np.int64), **options)


def test_a_table_goes_to_polars_without_a_copy() -> None:
    table = batch(xb.PriceBook(), 1)
    one, two = table.to_polars(), pl.DataFrame(table)
    assert one.columns == table.columns == ["row", "bid", "bid_size", "ask", "ask_size"]
    assert [address(one[name]) for name in one.columns] == [address(two[name]) for name in one.columns]
    assert one["bid"].to_list() == list(range(1, 1_001))
    assert len(table) == 1_000


def test_out_reuses_its_memory_when_nobody_else_holds_it() -> None:
    book = xb.PriceBook()
    table = batch(book, 1)
    where = {name: address(table.to_polars()[name]) for name in table.columns}
    again = batch(book, 5_000, out=table)
    assert again is table
    assert {name: address(table.to_polars()[name]) for name in table.columns} == where
    assert table.to_polars()["bid"].to_list() == list(range(5_000, 6_000))


def test_out_never_overwrites_what_somebody_still_reads() -> None:
    book = xb.PriceBook()
    table = batch(book, 1)
    held = table.to_polars()["bid"]
    view = table.to_polars()["ask_size"].to_numpy()
    again = batch(book, 5_000, out=table)
    assert held.to_list() == list(range(1, 1_001))
    assert not view.any()
    assert address(again.to_polars()["bid"]) != address(held)
    assert again.to_polars()["bid"][-1] == 5_999
    part = again.to_polars()["bid"][10:20]
    batch(book, 9_000, out=again)
    assert part.to_list() == list(range(5_010, 5_020))


@pytest.mark.parametrize("rows", [0, 10, 5_000])
def test_out_of_another_length_gives_the_same_as_fresh_memory(rows: int) -> None:
    table = batch(xb.PriceBook(), 1)
    used = batch(xb.PriceBook(), 7, rows, out=table)
    assert used.to_polars().equals(batch(xb.PriceBook(), 7, rows).to_polars())


def test_out_of_another_shape_is_refused_and_keeps_its_rows() -> None:
    book, market = xb.PriceBook(), xb.Market([builtin("spot")])
    market.apply(tape(SAMPLE))
    depth, deep = market.take_depth(), batch(xb.PriceBook(), 1, levels=3)
    for other in (depth, deep):
        before = other.to_polars()
        with pytest.raises(xb.DataError, match="out: expected a table from an earlier call with 1 levels"):
            batch(book, 7, out=other)
        assert other.to_polars().equals(before)
    assert book.quote == (0, 0, 0, 0)


def test_a_table_comes_back_from_polars_without_a_copy() -> None:
    out = batch(xb.PriceBook(), 1).to_polars()
    again = xb.Table(out)
    assert len(again) == 1_000
    assert again.columns == out.columns
    assert again.to_polars().equals(out)
    assert address(again.to_polars()["bid"]) == address(out["bid"])
    chunked = xb.Table(pl.concat([out, out], rechunk=False))
    assert len(chunked) == 2_000
    with pytest.raises(xb.DataError, match="expected a DataFrame"):
        xb.Table([1, 2])  # type: ignore[arg-type]


def test_out_from_polars_is_not_written_over_and_keeps_no_foreign_type() -> None:
    source = batch(xb.PriceBook(), 1).to_polars()
    table = xb.Table(source)
    batch(xb.PriceBook(), 7, out=table)
    assert source["bid"].to_list() == list(range(1, 1_001))
    floats = xb.Table(source.with_columns(pl.col("bid").cast(pl.Float64)))
    with pytest.raises(xb.DataError, match="out: expected a table from an earlier call"):
        batch(xb.PriceBook(), 7, out=floats)
    assert floats.to_polars()["bid"].to_list() == source["bid"].to_list()
