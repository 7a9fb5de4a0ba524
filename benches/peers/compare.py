"""Price books side by side: same process, same real levels, answers compared before the clock starts.

    python -m pip install -r benches/peers/requirements.txt
    python -m benches.peers.compare [--json FILE]

Per call: set or remove one level, read best bid and ask with their sizes back. Each book holds the capture's snapshot
before, in its own way; the rounds of all books take turns, each on a new book. What each does, the best of its
documented ways (what a peer needs as its own objects is made outside the clock, in its favour):

- crossbook: `quote = book.update(side, price, size)`, integers.
- order-book: `book.bids[price] = size` or `del`, then `bids.index(0)` and `asks.index(0)`; integers, which compare
  faster than the Decimals of its README.
- nautilus_trader: `book.update(order, 0)` of an L2_MBP book with a ready `BookOrder` (size 0 removes), then
  `best_bid_price()`, `best_bid_size()`, `best_ask_price()`, `best_ask_size()`. Prices as floats, sizes as `Quantity`.
- sortedcontainers: a `SortedDict` a side, `bids[price] = size` or `pop`, then `peekitem(-1)` and `peekitem(0)`;
  integers.

Beside them an empty loop over the same rows. As in `timeit` the garbage collector rests.

Batch: the top of the book after every row, from an empty book over snapshot and changes, into memory of its own.

- crossbook: `pl.DataFrame(book.update_rows(side, price, size, levels=n))`; beside it with `out=` reused.
- polars-order-book: `frame.select(top_n_levels_from_price_updates(price, qty, is_bid, n=n))`, the frame made before.
- ninjabook has no batch: `process_raw` a row, then `best_bid` and `best_ask` (top 1) or `top_bids(n)` and
  `top_asks(n)`, over the first 50,000 rows; prices and sizes as floats (units, tick 1), made before. Its answers are
  objects, which are not kept: it is compared at the last of these rows.
- hftbacktest shows levels only through the clock of a backtest: nothing to set beside a batch.
"""

from __future__ import annotations

import gc
import sys
from statistics import median
from time import perf_counter_ns

import ninjabook
import numpy as np
import polars as pl
from benches import streams
from benches.streams import Stream
from nautilus_trader.model.book import OrderBook as NautilusBook
from nautilus_trader.model.data import BookOrder
from nautilus_trader.model.enums import BookType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity
from order_book import OrderBook
from polars_order_book import top_n_levels_from_price_updates
from sortedcontainers import SortedDict

import crossbook as xb

ROWS = 50_000
ROUNDS = 5
BATCH_ROUNDS = 9
Rows = list[tuple[int, int, int]]
Quote = tuple[int, int, int, int]


class Ours:
    name = "crossbook"

    def __init__(self) -> None:
        self.book = xb.PriceBook()

    def fill(self, rows: Rows) -> None:
        """Takes a snapshot."""
        self.run(rows)

    @staticmethod
    def prepare(rows: Rows) -> list:
        """The rows as the objects that the book takes."""
        return rows

    def run(self, rows: list) -> object:
        """Takes row after row, each followed by the quote; gives the last quote."""
        update = self.book.update
        quote = None
        for side, price, size in rows:
            quote = update(side, price, size)
        return quote

    @staticmethod
    def plain(quote: tuple) -> Quote:
        """The quote as integers."""
        return quote


class OrderBookC(Ours):
    name = "order-book"

    def __init__(self) -> None:
        self.book = OrderBook()

    def fill(self, rows: Rows) -> None:
        self.book.bids = {price: size for side, price, size in rows if side == xb.BID}
        self.book.asks = {price: size for side, price, size in rows if side == xb.ASK}

    def run(self, rows: list) -> object:
        bids, asks = sides = (self.book.bids, self.book.asks)
        quote = None
        for side, price, size in rows:
            levels = sides[side]
            if size:
                levels[price] = size
            elif price in levels:
                del levels[price]
            quote = bids.index(0), asks.index(0)
        return quote

    @staticmethod
    def plain(quote: tuple) -> Quote:
        return (*quote[0], *quote[1])


class Sorted(OrderBookC):
    name = "sortedcontainers"

    def __init__(self) -> None:
        self.sides = (SortedDict(), SortedDict())

    def fill(self, rows: Rows) -> None:
        for code, levels in enumerate(self.sides):
            levels.update({price: size for side, price, size in rows if side == code})

    def run(self, rows: list) -> object:
        bids, asks = sides = self.sides
        quote = None
        for side, price, size in rows:
            if size:
                sides[side][price] = size
            else:
                sides[side].pop(price, None)
            quote = bids.peekitem(-1), asks.peekitem(0)
        return quote


class Nautilus(Ours):
    name = "nautilus_trader"

    def __init__(self) -> None:
        self.book = NautilusBook(InstrumentId.from_str("BTCUSDT.BINANCE"), BookType.L2_MBP)

    def fill(self, rows: Rows) -> None:
        for order in self.prepare(rows):
            self.book.update(order, 0)

    @staticmethod
    def prepare(rows: Rows) -> list:
        # Raw values have 16 decimals. Prices as units of 0.01 and sizes as whole numbers, whatever they were: exact.
        sides = (OrderSide.BUY, OrderSide.SELL)
        price, size = (lambda p: Price.from_raw(p * 10**14, 2)), (lambda s: Quantity.from_raw(s * 10**16, 0))
        return [BookOrder(sides[side], price(p), size(s), 0) for side, p, s in rows]

    def run(self, rows: list) -> object:
        book = self.book
        quote = None
        for order in rows:
            book.update(order, 0)
            quote = book.best_bid_price(), book.best_bid_size(), book.best_ask_price(), book.best_ask_size()
        return quote

    @staticmethod
    def plain(quote: tuple) -> Quote:
        bid, bid_size, ask, ask_size = quote
        return round(bid * 100), int(bid_size), round(ask * 100), int(ask_size)


class Empty(Ours):
    name = "empty loop"

    def __init__(self) -> None:
        pass

    def fill(self, rows: Rows) -> None:
        pass

    def run(self, rows: list) -> object:
        quote = None
        for _side, _price, size in rows:
            quote = size
        return quote


def calls(stream: Stream) -> dict[str, float]:
    snapshot, rows = stream.snapshot.rows(), stream.changes.rows(ROWS)
    books = (Ours, OrderBookC, Nautilus, Sorted)
    quotes = {}
    for kind in books:
        book = kind()
        book.fill(snapshot)
        quotes[kind] = [book.plain(book.run([row])) for row in book.prepare(rows)]
        assert quotes[kind] == quotes[Ours], f"{stream.name}: {kind.name} differs"
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for kind in (*books, Empty):
            book = kind()
            book.fill(snapshot)
            prepared = book.prepare(rows)
            gc.collect()
            gc.disable()
            start = perf_counter_ns()
            book.run(prepared)
            times.setdefault(kind.name, []).append((perf_counter_ns() - start) / len(rows))
            gc.enable()
    return {name: median(found) for name, found in times.items()}


def batches(stream: Stream, levels: int) -> dict[str, float]:
    parts = (stream.snapshot, stream.changes)
    side, price, size = (np.concatenate([getattr(p, c) for p in parts]) for c in ("side", "price", "size"))
    frame = pl.DataFrame({"price": price, "qty": size, "is_bid": side == xb.BID})
    peer = top_n_levels_from_price_updates(pl.col("price"), pl.col("qty"), pl.col("is_bid"), n=levels)
    out = xb.PriceBook().update_rows(side, price, size, levels=levels)

    def ours(book: xb.PriceBook) -> pl.DataFrame:
        return pl.DataFrame(book.update_rows(side, price, size, levels=levels))

    def ours_reused(book: xb.PriceBook) -> object:
        return book.update_rows(side, price, size, levels=levels, out=out)

    def theirs(book: xb.PriceBook) -> pl.DataFrame:
        del book
        return frame.select(peer)

    # Both name the columns side by side and level by level; where we say 0 for a missing level they say null.
    found = theirs(xb.PriceBook()).to_series().struct.unnest().fill_null(0)
    expected = ours(xb.PriceBook())
    for level in range(levels):
        tail = f"_{level}" if levels > 1 else ""
        for name, (code, what) in {"bid": ("bid", "price"), "ask": ("ask", "price")}.items():
            pairs = ((f"{name}{tail}", f"{code}_{what}_{level + 1}"), (f"{name}_size{tail}", f"{code}_qty_{level + 1}"))
            for mine, yours in pairs:
                same = (expected[mine] == found[yours]).all()
                assert same, f"{stream.name}: {yours} differs"
    ways = {"crossbook": ours, "crossbook, out= reused": ours_reused, "polars-order-book": theirs}
    count = min(ROWS, len(side))
    some = side[:count] == xb.BID, price[:count].astype(float), size[:count].astype(float)
    calls = list(zip(*(column.tolist() for column in some), strict=True))
    last = expected.row(count - 1, named=True)
    assert ninja(calls, levels) == [
        [(last[f"{name}{tail}"], last[f"{name}_size{tail}"]) for tail in tails if last[f"{name}_size{tail}"]]
        for name in ("bid", "ask")
        for tails in [[f"_{level}" for level in range(levels)] if levels > 1 else [""]]
    ], f"{stream.name}: ninjabook differs"
    times: dict[str, list[float]] = {}
    for _ in range(BATCH_ROUNDS):
        for name, way in ways.items():
            book = xb.PriceBook()
            start = perf_counter_ns()
            answer = way(book)
            times.setdefault(name, []).append((perf_counter_ns() - start) / len(side))
            del answer
        start = perf_counter_ns()
        ninja(calls, levels)
        times.setdefault("ninjabook", []).append((perf_counter_ns() - start) / count)
    return {name: median(found) for name, found in times.items()}


def ninja(rows: list[tuple[bool, float, float]], levels: int) -> list[list[tuple[int, int]]]:
    """Every row and the top after it; gives the last top as integers."""
    book = ninjabook.Orderbook(1.0)
    process = book.process_raw
    if levels == 1:
        bids = asks = None
        for is_bid, price, size in rows:
            process(0, 1, False, is_bid, price, size)
            bids, asks = book.best_bid, book.best_ask
        best = [[] if side is None else [side] for side in (bids, asks)]
    else:
        best = [[], []]
        for is_bid, price, size in rows:
            process(0, 1, False, is_bid, price, size)
            best = [book.top_bids(levels), book.top_asks(levels)]
    return [[(int(level.price), int(level.size)) for level in side] for side in best]


def main() -> None:
    rows: list[dict[str, object]] = []
    for name in streams.FILES:
        stream = streams.read(name)
        for what, goal, found in (
            ("call", 2.0, calls(stream)),
            ("batch, top 1", 1.4, batches(stream, 1)),
            ("batch, top 5", None, batches(stream, 5)),
        ):
            peers = {who: ns for who, ns in found.items() if who != "empty loop" and not who.startswith("crossbook")}
            fastest = min(peers, key=peers.__getitem__)
            for who, ns in found.items():
                times = peers[fastest] / ns if who.startswith("crossbook") else None
                target = goal if who == "crossbook" else None
                row = {"stream": name, "what": what, "who": who, "ns": round(ns, 1)}
                rows.append({**row, "times": times and round(times, 2), "target": target})
        print(f"{name}: compared", file=sys.stderr)
    streams.save(rows)


if __name__ == "__main__":
    main()
