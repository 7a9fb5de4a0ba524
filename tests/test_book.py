"""The price book from Python: single calls, batches, threads, against a book of dicts."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest
from conftest import CLEAR, GAP, LAST, LEVEL, OURS, SNAPSHOT, TRADES, DictBook, builtin, events, levels, tape
from hypothesis import given, settings
from hypothesis import strategies as st

import crossbook as xb

I64 = st.integers(-(2**63), 2**63 - 1)
PRICES = st.one_of(st.integers(-5, 5), st.integers(6_170_000, 6_200_000), I64)
UPDATES = st.lists(st.tuples(st.integers(0, 1), PRICES, st.integers(0, 4) | st.integers(0, 2**62)), max_size=60)


def columns(updates: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sides, prices, sizes = zip(*updates, strict=True) if updates else ((), (), ())
    return np.array(sides, np.uint8), np.array(prices, np.int64), np.array(sizes, np.int64)


def test_a_single_call_returns_the_quote() -> None:
    book = xb.PriceBook()
    assert book.quote == (0, 0, 0, 0)
    assert book.update(xb.BID, 100, 5) == (100, 5, 0, 0)
    assert book.update(xb.ASK, 102, 6) == (100, 5, 102, 6)
    assert book.update(xb.BID, 101, 1) == (101, 1, 102, 6)
    assert book.update(xb.BID, 101, 0) == (100, 5, 102, 6)
    assert book.update(xb.ASK, 999, 0) == (100, 5, 102, 6)
    assert repr(book) == "PriceBook(5 @ 100 / 6 @ 102)"
    assert book.size_at(xb.BID, 100) == 5
    assert book.size_at(xb.ASK, 100) == 0
    book.clear()
    assert book.quote == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((2, 1, 1), xb.DataError),
        ((255, 1, 1), xb.DataError),
        ((0, 1, -1), xb.DataError),
        ((0, 1, -(2**63)), xb.DataError),
        ((256, 1, 1), OverflowError),
        ((-1, 1, 1), OverflowError),
        ((0, 2**63, 1), OverflowError),
        ((0, -(2**63) - 1, 1), OverflowError),
        ((0, 1, 2**63), OverflowError),
        ((0, 1.5, 1), TypeError),
        ((0, "1", 1), TypeError),
        ((None, 1, 1), TypeError),
        ((0, 1), TypeError),
        ((0, float("nan"), 1), TypeError),
    ],
)
def test_a_bad_update_is_an_exception_and_leaves_the_book_alone(arguments: tuple, error: type[Exception]) -> None:
    book = xb.PriceBook()
    book.update(0, 100, 5)
    with pytest.raises(error):
        book.update(*arguments)
    assert book.quote == (100, 5, 0, 0)


@pytest.mark.parametrize("call", ["size_at", "depth", "walk"])
def test_a_bad_side_is_refused_everywhere(call: str) -> None:
    with pytest.raises(xb.DataError, match=r"side 2: expected 0 \(bid\) or 1 \(ask\)"):
        getattr(xb.PriceBook(), call)(2, 1)
    with pytest.raises(xb.DataError):
        xb.PriceBook().horizon(2)


@settings(derandomize=True, max_examples=150)
@given(UPDATES, st.integers(0, 10) | st.integers(0, 2**62))
def test_the_book_is_a_book_of_dicts(updates: list[tuple[int, int, int]], size: int) -> None:
    book, model = xb.PriceBook(), DictBook("1", "1")
    for side, price, amount in updates:
        model.set(side, price, amount)
        assert book.update(side, price, amount) == model.top()
    for side in (0, 1):
        assert book.depth(side, 1_000) == model.best(side, 1_000)
        assert book.depth(side, 2) == model.best(side, 2)
        assert book.walk(side, size)[:4] == model.walk(side, size)
        assert all(book.size_at(side, price) == amount for price, amount in model.sides[side].items())


@settings(derandomize=True, max_examples=100)
@given(UPDATES, st.integers(1, 4))
def test_a_batch_is_a_loop_of_single_calls(updates: list[tuple[int, int, int]], depth: int) -> None:
    loop, batch = xb.PriceBook(), xb.PriceBook()
    table = batch.update_rows(*columns(updates), levels=depth).to_polars()
    assert table["row"].to_list() == list(range(len(updates)))
    for row, update in zip(table.iter_rows(), updates, strict=True):
        assert depth > 1 or row[1:] == loop.update(*update)
        loop.update(*update)
        wanted = itertools.zip_longest(loop.depth(0, depth), loop.depth(1, depth), range(depth), fillvalue=(0, 0))
        assert row[1:] == tuple(x for bid, ask, _ in wanted for x in (*bid, *ask))
    assert [batch.depth(side, 99) for side in (0, 1)] == [loop.depth(side, 99) for side in (0, 1)]


def test_every_message_shows_message_ends_and_every_row_shows_all() -> None:
    rows = levels([(0, 100, 1), (1, 102, 1)], 1) + levels([(0, 101, 1), (0, 100, 0), (1, 101, 5)], 2)
    rows.insert(2, {"kind": 3, "side": 0, "price": 102, "size": 1, "flags": LAST})
    ends = xb.PriceBook().apply(tape(rows)).to_polars()
    assert ends.rows() == [(1, 100, 1, 102, 1), (5, 101, 1, 101, 5)]
    all_rows = xb.PriceBook().apply(tape(rows), every="row").to_polars()
    assert all_rows["row"].to_list() == [0, 1, 2, 3, 4, 5]
    assert all_rows["bid_size"].to_list() == [1, 1, 1, 1, 1, 1]
    assert all_rows["ask"].to_list() == [0, 102, 102, 102, 102, 101]


def test_apply_takes_one_instrument_and_counts_rows_through_all_chunks() -> None:
    two = [builtin("spot"), builtin("usdm")]
    rows = [*levels([(0, 100, 1)], 1), *levels([(0, 7, 1)], 1, instrument=1)]
    made = xb.Tape(pl.concat([events(rows), events(rows)], rechunk=False), two)
    assert xb.PriceBook().apply(made, instrument=1).to_polars().rows() == [(1, 7, 1, 0, 0), (3, 7, 1, 0, 0)]
    assert len(xb.PriceBook().apply(made, instrument=9)) == 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"every": "tick"}, xb.DataError),
        ({"levels": 0}, xb.DataError),
        ({"levels": 1_001}, xb.DataError),
        ({"levels": -1}, OverflowError),
        ({"instrument": -1}, OverflowError),
        ({"out": 3}, TypeError),
    ],
)
def test_apply_refuses_options_out_of_range(options: dict, error: type[Exception]) -> None:
    with pytest.raises(error):
        xb.PriceBook().apply(tape(levels([(0, 1, 1)], 1)), **options)


@pytest.mark.parametrize(
    ("given_columns", "error"),
    [
        ((np.zeros(2, np.uint8), np.zeros(1, np.int64), np.zeros(2, np.int64)), xb.DataError),
        ((np.full(1, 2, np.uint8), np.zeros(1, np.int64), np.zeros(1, np.int64)), xb.DataError),
        ((np.zeros(1, np.uint8), np.zeros(1, np.int64), np.full(1, -1, np.int64)), xb.DataError),
        ((np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64)), TypeError),
        ((np.zeros(1, np.uint8), np.zeros(1, np.float64), np.zeros(1, np.int64)), TypeError),
        ((np.zeros((1, 1), np.uint8), np.zeros(1, np.int64), np.zeros(1, np.int64)), TypeError),
        (([0], [1], [1]), TypeError),
    ],
)
def test_bad_columns_are_refused_before_anything_is_applied(given_columns: tuple, error: type[Exception]) -> None:
    book = xb.PriceBook()
    with pytest.raises(error):
        book.update_rows(*given_columns)
    assert book.quote == (0, 0, 0, 0)


def test_columns_with_gaps_in_memory_are_a_typed_error_or_right() -> None:
    sides, prices, sizes = columns([(0, price, 1) for price in range(10)])
    book = xb.PriceBook()
    with pytest.raises((xb.DataError, ValueError, TypeError)):
        book.update_rows(sides[::2], prices[::2], sizes[::2])
    assert book.quote == (0, 0, 0, 0)


def test_a_gap_makes_a_book_stale_until_it_is_cleared_and_a_gap_in_trades_does_not() -> None:
    book = xb.PriceBook()
    book.apply(tape(levels([(0, 100, 1)], 1)))
    book.apply(tape([{"kind": GAP, "flags": LAST | TRADES}]))
    assert not book.is_stale
    book.apply(tape([{"kind": GAP, "flags": LAST | OURS}]))
    assert book.is_stale
    book.apply(tape([{"kind": CLEAR, "flags": SNAPSHOT}]))
    assert not book.is_stale


def test_beyond_the_snapshot_depth_is_unknown() -> None:
    book = xb.PriceBook()
    assert book.horizon(1) is None
    book.apply(tape(levels([(0, 99, 1), (1, 101, 1), (1, 105, 2)], 1, flags=SNAPSHOT)))
    book.update(1, 110, 7)
    assert (book.horizon(0), book.horizon(1)) == (99, 105)
    assert book.walk(1, 3) == (3, 101 + 2 * 105, 105, 2, True)
    assert book.walk(1, 4) == (4, 101 + 2 * 105 + 110, 110, 3, False)
    assert book.walk(1, 99)[0] == 10
    assert book.walk(1, 0)[:4] == book.walk(1, -5)[:4] == (0, 0, None, 0)


def test_the_cost_of_a_walk_is_exact_beyond_64_bits() -> None:
    book = xb.PriceBook()
    book.update(1, 2**62, 2**62)
    assert book.walk(1, 2**62)[1] == 2**124


def test_a_total_size_beyond_64_bits_does_not_wrap() -> None:
    book = xb.PriceBook()
    for price in (1, 2, 3):
        book.update(1, price, 2**62)
    filled, notional, worst, used, _ = book.walk(1, 2**63 - 1)
    assert (filled, worst, used) == (2**63 - 1, 2, 2)
    assert notional == 2**62 + 2 * (2**62 - 1)


def test_threads_that_update_at_once_leave_a_consistent_book() -> None:
    book = xb.PriceBook()
    rng = np.random.default_rng(11)
    jobs = [(side, rng.permutation(400) + base) for side, base in ((0, 0), (0, 1_000), (1, 5_000), (1, 9_000))]

    def run(job: tuple[int, np.ndarray]) -> None:
        side, prices = job
        for price in prices.tolist():
            book.update(side, price, price + 1)
        empty = prices[prices % 2 == 0]
        book.update_rows(np.full(empty.size, side, np.uint8), empty.astype(np.int64), np.zeros(empty.size, np.int64))
        for _ in range(20):
            book.depth(side, 50)
            book.walk(side, 1_000)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, jobs))
    for side in (0, 1):
        left = sorted((p for s, prices in jobs if s == side for p in prices.tolist() if p % 2), reverse=side == 0)
        assert book.depth(side, 10_000) == [(p, p + 1) for p in left]


def test_a_level_of_negative_size_in_a_tape_makes_the_book_stale() -> None:
    book = xb.PriceBook()
    book.apply(tape([{"kind": LEVEL, "side": 0, "price": 5, "size": -3, "flags": LAST}]))
    assert book.is_stale
    assert book.quote == (0, 0, 0, 0)
