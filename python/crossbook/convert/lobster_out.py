"""Writing LOBSTER's files; `crossbook.convert.lobster` says what survives."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, insort
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING

import polars as pl

from crossbook.convert.events import (
    ADD,
    ASK,
    BID,
    CANCEL,
    CLEAR,
    EXECUTE,
    MODIFY,
    NO_SIDE,
    SNAPSHOT,
    STATUS,
    TRADE,
    Source,
    Written,
    by_order_only,
    chosen,
    count_kinds,
    messages,
    replacing,
    stream,
)
from crossbook.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crossbook._core import Instrument, Tape
    from crossbook.capture import Capture
    from crossbook.convert.events import Progress

__all__ = ["NEW_YORK", "PRICE_UNIT", "midnight", "write"]

PRICE_UNIT = "0.0001"
EMPTY = 9_999_999_999
"""Price of a level that is not there: of an ask; of a bid with a minus."""
NEW_YORK = "America/New_York"
Line = tuple[int, int, int, int, int]
"""Type, order id, size and price in units, direction."""


def midnight(date: dt.date, timezone: str) -> int:
    """Midnight of a day at a place, in ns since the epoch."""
    at = pl.Series([dt.datetime.combine(date, dt.time())], dtype=pl.Datetime("ns"))
    found = at.dt.replace_time_zone(timezone).dt.epoch("ns")[0]
    assert isinstance(found, int)
    return found


class _Levels:
    """An obvious book: what rests at each price, and prices in order."""

    def __init__(self) -> None:
        self.orders: dict[int, tuple[int, int, int]] = {}
        self.sizes: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.prices: tuple[list[int], list[int]] = ([], [])

    def set(self, order: int, side: int, price: int, size: int) -> None:
        """Give an order its side, price and size; a size of 0 removes it."""
        old = self.orders.pop(order, None)
        if old is not None:
            self._add(old[0], old[1], -old[2])
        if size > 0:
            self.orders[order] = side, price, size
            self._add(side, price, size)

    def _add(self, side: int, price: int, size: int) -> None:
        level = self.sizes[side].get(price, 0) + size
        key = -price if side == BID else price
        prices = self.prices[side]
        if level and price not in self.sizes[side]:
            insort(prices, key)
        if level:
            self.sizes[side][price] = level
        else:
            del self.sizes[side][price]
            del prices[bisect_left(prices, key)]

    def row(self, levels: int) -> Iterator[int]:
        """Ask price, ask size, bid price, bid size of each level, in units."""
        for at in range(levels):
            for side in (ASK, BID):
                prices = self.prices[side]
                if at < len(prices):
                    price = abs(prices[at])
                    yield price
                    yield self.sizes[side][price]
                else:
                    yield EMPTY if side == ASK else -EMPTY
                    yield 0


class _Writer:
    """Turns events into lines of both files."""

    def __init__(self, instrument: Instrument, start: int, levels: int) -> None:
        self.start, self.levels = start, levels
        self.book = _Levels()
        self.price = Decimal(instrument.price_unit) / Decimal(PRICE_UNIT)
        self.size = Decimal(instrument.size_unit)
        self.name = instrument.name

    def whole(self, value: int, unit: Decimal, what: str) -> int:
        scaled = value * unit
        if scaled != int(scaled):
            raise DataError(f"{self.name}: expected a {what} in whole numbers of LOBSTER's, found {scaled}")
        return int(scaled)

    def lines(self, kind: int, order: int, price: int, size: int, side: int, executed: bool) -> Iterator[Line]:
        """What an event says, line by line, with the book as it is after each."""
        known = self.book.orders.get(order)
        direction = 1 if side == BID else -1
        if kind == ADD:
            self.book.set(order, side, price, size)
            yield 1, order, size, price, direction
        elif kind == CANCEL:
            self.book.set(order, side, price, 0)
            yield 3, order, known[2] if known else size, known[1] if known else price, direction
        elif kind == EXECUTE:
            if known:
                self.book.set(order, known[0], known[1], known[2] - size)
            yield 4, order, size, price, direction
        elif kind == MODIFY:
            if known is None:
                raise DataError(f"{self.name}: order {order}: expected it to be added before it is changed")
            if price == known[1] and size < known[2]:
                self.book.set(order, side, price, size)
                yield 2, order, known[2] - size, price, direction
            else:
                self.book.set(order, side, price, 0)
                yield 3, order, known[2], known[1], direction
                self.book.set(order, side, price, size)
                yield 1, order, size, price, direction
        elif kind == STATUS:
            yield 7, 0, 0, price, -1
        elif kind == TRADE and side == NO_SIDE:
            yield 6, -1, size, price, 1
        elif kind == TRADE and not executed:
            yield 5, order, size, price, -direction

    def text(self, time: int, line: Line) -> str:
        """A line of the message file."""
        code, order, size, price, direction = line
        second, nano = divmod(time - self.start, 1_000_000_000)
        if not 0 <= second < 90_000:
            raise DataError(f"{self.name}: time {time}: expected a tape of one day, that of its first event")
        if code != 7:
            price = self.whole(price, self.price, "price")
        return f"{second}.{nano:09},{code},{order},{self.whole(size, self.size, 'size')},{price},{direction}\n"

    def depth(self) -> str:
        cells = []
        for at, value in enumerate(self.book.row(self.levels)):
            empty = abs(value) == EMPTY and at % 2 == 0
            unit, what = (self.price, "price") if at % 2 == 0 else (self.size, "size")
            cells.append(str(value if empty else self.whole(value, unit, what)))
        return ",".join(cells) + "\n"


def write(
    tapes: Capture | Source | Iterable[Tape],
    path: str | Path,
    *,
    instrument: int | None = None,
    orderbook: str | Path | None = None,
    levels: int = 10,
    timezone: str = NEW_YORK,
    overwrite: bool = False,
    progress: Progress = None,
) -> Written:
    """Write one instrument's day as a message file and, at `orderbook`, the best `levels` after each message.

    A `Trade` in one message with an `Execute` is left out, as the execution tells of it. Raises `DataError` for a tape
    that is not by order or of several days, for a `Clear` once messages have been written, and for prices and sizes
    that are no whole numbers of 1e-4 and 1.
    """
    instruments, frames = stream(tapes, progress)
    number = chosen(instruments, instrument, "lobster")
    paths = [Path(path), *([Path(orderbook)] if orderbook is not None else [])]
    written: dict[str, int] = {}
    left: dict[str, int] = {}
    writer: _Writer | None = None
    begun = False
    with ExitStack() as stack:
        files: list[IO[str]] = []
        for one in paths:
            aside = stack.enter_context(replacing(one, overwrite=overwrite))
            files.append(stack.enter_context(aside.open("w", newline="")))
        for frame in messages(frames, number):
            by_order_only(frame, "lobster")
            if writer is None:
                day = pl.from_epoch(frame["ts_event"][:1], time_unit="ns").dt.replace_time_zone("UTC")
                date = day.dt.convert_time_zone(timezone).dt.date()[0]
                writer = _Writer(instruments[number], midnight(date, timezone), levels)
            executed = (pl.col("kind") == EXECUTE).any().over("message").alias("executed")
            columns = ("ts_event", "flags", "kind", "order_id", "price", "size", "side")
            used = []
            for time, flags, kind, *rest in frame.select(*columns, executed).iter_rows():
                if kind == CLEAR:
                    if begun:
                        raise DataError(f"{writer.name}: time {time}: expected no clear once messages were written")
                    writer.book = _Levels()
                silent = kind == ADD and flags & SNAPSHOT and not begun
                count = 0
                for line in writer.lines(kind, *rest):
                    if not silent:
                        files[0].write(writer.text(time, line))
                        for file in files[1:]:
                            file.write(writer.depth())
                        count += 1
                begun = begun or count > 0
                used.append(count > 0)
            mask = pl.Series(used, dtype=pl.Boolean)
            count_kinds(frame.filter(mask), written)
            count_kinds(frame.filter(~mask), left)
    return Written(tuple(paths), sum(written.values()), left)
