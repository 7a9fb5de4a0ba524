"""The order book from Python: single calls, batches, one order's place over time, against vectors per price."""

from __future__ import annotations

import datetime as dt
import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from conftest import CLEAR, GAP, LAST, TRADE, TRADES, builtin, tape
from hypothesis import given, settings
from hypothesis import strategies as st

import crossbook as xb
from crossbook.convert import lobster

ADD, MODIFY, CANCEL, EXECUTE = 4, 5, 6, 7
SPOT = builtin("spot")
PRICE, SIZE = float(SPOT.price_unit), float(SPOT.size_unit)


class Queues:
    """The obvious book: a list of orders per side and price, and a tape of what was done to it."""

    def __init__(self) -> None:
        self.sides: tuple[dict[int, list[list[int]]], ...] = ({}, {})
        self.rows: list[dict[str, int]] = []

    def find(self, order: int) -> tuple[int, int, int] | None:
        for side, prices in enumerate(self.sides):
            for price, queue in prices.items():
                for at, (one, _) in enumerate(queue):
                    if one == order:
                        return side, price, at
        return None

    def say(self, kind: int, order: int, side: int, price: int, size: int) -> None:
        self.rows.append({"kind": kind, "order_id": order, "side": side, "price": price, "size": size, "flags": LAST})

    def leave(self, order: int) -> None:
        side, price, at = self.find(order)  # type: ignore[misc]
        del self.sides[side][price][at]
        if not self.sides[side][price]:
            del self.sides[side][price]

    def do(self, what: str, order: int, side: int, price: int, size: int) -> None:
        """One step, if it can be done."""
        found = self.find(order)
        if what == "clear":
            self.sides = ({}, {})
            self.say(CLEAR, 0, 2, 0, 0)
        elif found is None:
            self.sides[side].setdefault(price, []).append([order, size])
            self.say(ADD, order, side, price, size)
        else:
            side, old, at = found
            rest = self.sides[side][old][at][1]
            if what == "modify":
                self.say(MODIFY, order, side, price, size)
                if price == old and size <= rest:
                    self.sides[side][old][at][1] = size
                else:
                    self.leave(order)
                    self.sides[side].setdefault(price, []).append([order, size])
            elif what == "execute" and size < rest:
                self.say(EXECUTE, order, side, old, size)
                self.sides[side][old][at][1] -= size
            else:
                self.say(EXECUTE if what == "execute" else CANCEL, order, side, old, rest)
                self.leave(order)

    def prices(self, side: int) -> list[int]:
        return sorted(self.sides[side], reverse=side == xb.BID)

    def levels(self) -> list[tuple[int, int, int, int]]:
        return [
            (side, price, sum(size for _, size in self.sides[side][price]), len(self.sides[side][price]))
            for side in (0, 1)
            for price in self.prices(side)
        ]

    def orders(self) -> list[tuple[int, int, int, int, int, int]]:
        out = []
        for side in (0, 1):
            for price in self.prices(side):
                ahead = 0
                for at, (order, size) in enumerate(self.sides[side][price]):
                    out.append((side, order, price, size, at, ahead))
                    ahead += size
        return out

    def place(self, order: int) -> tuple[int, int, int, int, int, int] | None:
        """Side, price, size, orders ahead, size ahead, size of the level."""
        found = self.find(order)
        if found is None:
            return None
        side, price, at = found
        queue = self.sides[side][price]
        return side, price, queue[at][1], at, sum(size for _, size in queue[:at]), sum(size for _, size in queue)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add"] * 6 + ["modify"] * 3 + ["cancel"] * 2 + ["execute"] * 2 + ["clear"]),
        st.sampled_from([*range(12), 2**64 - 1]),
        st.integers(0, 1),
        st.integers(98, 101),
        st.integers(1, 6),
    ),
    max_size=80,
)


@settings(max_examples=200)
@given(STEPS)
def test_a_book_fed_by_tape_or_by_calls_is_lists_of_orders_by_price(steps: list) -> None:
    model, calls = Queues(), xb.OrderBook()
    for step in steps:
        model.do(*step)
        kind, order, side, price, size = (model.rows[-1][n] for n in ("kind", "order_id", "side", "price", "size"))
        if kind == CLEAR:
            calls.clear()
        elif kind == ADD:
            calls.add(order, side, price, size)
        elif kind == MODIFY:
            calls.modify(order, price, size)
        elif kind == CANCEL:
            assert calls.cancel(order) == (side, price, size)
        else:
            calls.execute(order, size)
        for one in range(12):
            found = model.place(one)
            assert calls.get(one) == (None if found is None else found[:3])
            assert calls.place(one) == (None if found is None else found[3:])
    batch = xb.OrderBook()
    assert batch.apply(tape(model.rows)) == 0
    for book in (batch, calls):
        assert book.levels().rows() == model.levels()
        assert book.orders().rows() == model.orders()
        assert len(book) == len(model.orders())


@settings(max_examples=200)
@given(STEPS, st.integers(0, 11))
def test_a_followed_order_stands_where_the_lists_say(steps: list, order: int) -> None:
    model, expected = Queues(), []
    last = None
    for step in steps:
        model.do(*step)
        place = model.place(order)
        row, kind = len(model.rows) - 1, {0: "clear", 4: "add", 5: "modify", 6: "cancel", 7: "execute"}
        name = kind[model.rows[-1]["kind"]]
        if place is None and last is not None:
            side, price, _, orders, ahead, _ = last
            rest = sum(size for _, size in model.sides[side].get(price, []))
            expected.append((row, name, side, price, 0, orders, ahead, rest))
            break
        if place != last and place is not None:
            expected.append((row, name, *place))
        last = place
    found = xb.queue_position(tape(model.rows), order)
    columns = ("row", "kind", "side", "price", "size", "orders_ahead", "size_ahead", "level_size")
    in_units = found.with_columns(
        (pl.col("price") / PRICE).round().cast(pl.Int64),
        *((pl.col(n) / SIZE).round().cast(pl.Int64) for n in ("size", "size_ahead", "level_size")),
    )
    assert in_units.select(columns).rows() == expected
    assert not found["stale"].any()


def rows(*told: tuple[int, int, int, int, int], **common: int) -> list[dict[str, int]]:
    """Events from (kind, order, side, price, size)."""
    names = ("kind", "order_id", "side", "price", "size")
    return [dict(zip(names, one, strict=True)) | {"flags": LAST} | common for one in told]


def test_frames_have_decimals_where_the_instrument_is_known() -> None:
    made = tape(rows((ADD, 7, 0, 10_050, 150_000_000), (ADD, 8, 0, 10_050, 2), (ADD, 9, 1, 10_051, 1)))
    book = xb.OrderBook(SPOT)
    book.apply(made)
    assert book.instrument == SPOT
    assert book.levels().rows() == [(0, 100.5, 1.50000002, 2), (1, 100.51, 1e-8, 1)]
    assert book.levels(n=0).height == 0
    assert book.orders(xb.BID).to_dict(as_series=False) == {
        "side": [0, 0],
        "order_id": [7, 8],
        "price": [100.5, 100.5],
        "size": [1.5, 2e-8],
        "orders_ahead": [0, 1],
        "size_ahead": [0.0, 1.5],
    }
    assert book.quote == (10_050, 150_000_002, 10_051, 1)
    assert repr(book) == "OrderBook(3 orders: 150000002 @ 10050 / 1 @ 10051)"
    assert (8 in book, 88 in book) == (True, False)
    with pytest.raises(xb.DataError, match=r"instrument 0: expected binance-spot:BTCUSDT as described, found .*usdm"):
        book.apply(tape([], [builtin("usdm")]))


def test_an_inverse_contract_counts_in_base_currency() -> None:
    coin = builtin("coinm")
    book = xb.OrderBook(coin)
    book.apply(tape(rows((ADD, 1, 0, 500_000, 3)), [coin]))
    # Three contracts of 100 USD at 50,000.0.
    assert book.levels().rows() == [(0, 50_000.0, 300 / 50_000, 1)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda book: book.add(1, 0, 5, 1), "order 1: expected an id that no live order has"),
        (lambda book: book.add(2, 0, 5, 0), "order 2: expected a size from 1 to what is open, got 0"),
        (lambda book: book.add(2, 0, 5, 2**63 - 1), r"order 2: expected sizes at one price below 2\^63"),
        (lambda book: book.modify(2, 5, 1), "order 2: expected the id of a live order"),
        (lambda book: book.modify(1, 5, -1), "order 1: expected a size from 1 to what is open, got -1"),
        (lambda book: book.cancel(2), "order 2: expected the id of a live order"),
        (lambda book: book.execute(1, 4), "order 1: expected a size from 1 to what is open, got 4"),
    ],
)
def test_a_change_that_is_refused_leaves_the_book_as_it_was(call, message: str) -> None:
    book = xb.OrderBook()
    book.add(1, xb.BID, 5, 3)
    with pytest.raises(xb.OrderBookError, match=message):
        call(book)
    assert book.orders().rows() == [(0, 1, 5, 3, 0, 0)]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((-1, 0, 1, 1), OverflowError),
        ((2**64, 0, 1, 1), OverflowError),
        ((1, 2, 1, 1), xb.DataError),
        ((1, 0, 2**63, 1), OverflowError),
        ((1, 0, 1.5, 1), TypeError),
        ((1, 0, 1), TypeError),
        (("1", 0, 1, 1), TypeError),
    ],
)
def test_what_is_no_order_is_refused(arguments: tuple, error: type[Exception]) -> None:
    with pytest.raises(error):
        xb.OrderBook().add(*arguments)


def test_the_ends_of_all_numbers_are_prices_and_ids() -> None:
    book = xb.OrderBook()
    for at, price in enumerate((-(2**63), -(2**63) + 1, 0, 2**63 - 1)):
        book.add(2**64 - 1 - at, xb.ASK, price, 2**63 - 1)
    assert book.levels()["price"].to_list() == [-(2**63), -(2**63) + 1, 0, 2**63 - 1]
    assert book.place(2**64 - 1) == (0, 0, 2**63 - 1)


def test_a_tape_that_begins_in_the_middle_is_an_error_or_counted() -> None:
    other = rows((CANCEL, 5, 0, 1, 1), instrument=1)
    told = rows(
        (CANCEL, 1, 0, 9, 1), (ADD, 2, 0, 9, 4), (EXECUTE, 3, 0, 9, 1), (MODIFY, 4, 0, 9, 1), (EXECUTE, 2, 0, 9, 1)
    )
    made = tape(other + told, [builtin("usdm"), builtin("spot")][::-1])
    book = xb.OrderBook()
    with pytest.raises(xb.OrderBookError, match=r"row 1 \(cancel, sequence 0\): order 1: expected the id of a live"):
        book.apply(made)
    assert book.apply(made, strict=False) == 3
    assert book.orders().rows() == [(0, 2, 9, 3, 0, 0)]
    with pytest.raises(
        xb.OrderBookError, match=r"row 2 \(add, sequence 0\): order 2: expected an id that no live order has"
    ):
        book.apply(made, strict=False)
    assert xb.queue_position(made, 2, strict=False)["kind"].to_list() == ["add", "execute"]
    with pytest.raises(xb.OrderBookError, match="row 1"):
        xb.queue_position(made, 2)
    with pytest.raises(xb.DataError, match="instrument 2: expected an index below 2"):
        xb.queue_position(made, 2, instrument=2)
    with pytest.raises(xb.DataError, match="instrument 2: expected an index below 2"):
        book.apply(made, instrument=2)


def test_a_gap_is_seen_until_the_next_clear() -> None:
    book = xb.OrderBook()
    told = rows((ADD, 1, 0, 9, 4), (GAP, 0, 2, 0, 0), (ADD, 2, 0, 9, 1))
    book.apply(tape([*told[:1], *rows((GAP, 0, 2, 0, 0), flags=TRADES | LAST)]))
    assert not book.is_stale
    book.apply(tape(told[1:2]))
    assert book.is_stale
    assert len(book) == 1
    assert xb.queue_position(tape(told), 1).select("kind", "stale").rows() == [
        ("add", False),
        ("gap", True),
        ("add", True),
    ]
    book.apply(tape(rows((CLEAR, 0, 2, 0, 0))))
    assert not book.is_stale
    assert len(book) == 0


def test_an_order_that_never_joins_has_no_place() -> None:
    made = tape(rows((ADD, 1, 0, 9, 4), (TRADE, 2, 0, 9, 4)))
    found = xb.queue_position(made, 2)
    assert found.height == 0
    assert found.columns == [
        *("row", "ts_event", "ts_recv", "kind", "side", "price", "size"),
        *("orders_ahead", "size_ahead", "level_size", "stale"),
    ]
    assert xb.OrderBook().place(2) is None


def test_threads_may_share_a_book() -> None:
    book = xb.OrderBook()

    def work(number: int) -> None:
        for at in range(2_000):
            order = number * 10_000 + at
            book.add(order, number % 2, 100 + at % 7, 1)
            if at % 3:
                book.execute(order, 1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(book) == 4 * 667
    assert book.orders()["order_id"].n_unique() == 4 * 667


# LOBSTER's files, made by a simulation that keeps its own book and writes both of them as
# https://lobsterdata.com/info/DataStructure.php says.
SHARE = xb.Instrument.from_json(
    json.dumps(json.loads(SPOT.to_json()) | {"symbol": "AAPL", "price_unit": "0.0001", "size_unit": "1"})
)
DEPTH = 5


def simulate(folder: Path, seed: int, count: int) -> tuple[Path, Path]:
    draw, model, lines, levels, new = random.Random(seed), Queues(), [], [], 0
    for at in range(count):
        order = draw.choice([one[1] for one in model.orders()]) if model.orders() and draw.random() < 0.55 else 0
        kind, direction, size, price = 1, draw.choice((1, -1)), draw.randint(1, 500), 0
        if order == 0:
            new += 1
            order = new
            price = 1_000_000 - direction * 100 * draw.randint(1, 12)
            model.do("add", order, 0 if direction == 1 else 1, price, size)
        else:
            side, price, place = model.find(order)  # type: ignore[misc]
            direction, rest = (1, -1)[side], model.sides[side][price][place][1]
            kind = draw.choice((2, 3, 4, 4, 5))
            if kind == 2 and rest > 1:
                size = draw.randint(1, rest - 1)
                model.do("modify", order, side, price, rest - size)
            elif kind == 4:
                # The first of the best price of that side.
                price = model.prices(side)[0]
                order, rest = model.sides[side][price][0]
                size = draw.randint(1, rest)
                model.do("execute", order, side, price, size)
            elif kind == 5:
                order = 0
            else:
                kind, size = 3, rest
                model.do("cancel", order, side, price, rest)
        lines.append(f"{34_200 + at / 1000:.9f},{kind},{order},{size},{price},{direction}\n")
        cells: list[int] = []
        both = [[one for one in model.levels() if one[0] == side] for side in (1, 0)]
        for depth in range(DEPTH):
            for side, empty in ((0, 9_999_999_999), (1, -9_999_999_999)):
                there = depth < len(both[side])
                cells += both[side][depth][1:3] if there else (empty, 0)
        levels.append(",".join(map(str, cells)) + "\n")
    message, book = folder / "message.csv", folder / "orderbook.csv"
    message.write_text("".join(lines))
    book.write_text("".join(levels))
    return message, book


@pytest.mark.parametrize("seed", range(3))
def test_after_every_line_of_lobster_the_best_levels_are_those_of_its_orderbook_file(tmp_path: Path, seed: int) -> None:
    message, beside = simulate(tmp_path, seed, 1_500)
    made = lobster.read(message, instruments=[SHARE], date=dt.date(2012, 6, 21)).tape()
    expected = beside.read_text().splitlines()
    assert len(made) == len(expected)
    book = xb.OrderBook()
    for row, line in enumerate(expected):
        book.apply(made[row : row + 1])
        found = book.levels(DEPTH)
        sides = [found.filter(pl.col("side") == side).select("price", "size").rows() for side in (1, 0)]
        cells: list[int] = []
        for depth in range(DEPTH):
            for rows_of, empty in zip(sides, (9_999_999_999, -9_999_999_999), strict=True):
                cells += rows_of[depth] if depth < len(rows_of) else (empty, 0)
        assert ",".join(map(str, cells)) == line, row
