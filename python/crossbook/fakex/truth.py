"""Markets whose state is known: seeded books and trades, and what they looked like after every message.

Prices and sizes are whole numbers of a market's units. A book never crosses itself and stays between a few levels and
`Market.LEVELS` a side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import random

__all__ = ["ASK", "BID", "Level", "Listing", "Market", "Order", "OrderMarket", "Trade", "diff", "top"]

BID, ASK = 0, 1

Level = tuple[int, int, int]
"""Side, price, size; size 0 removes the level."""
Book = tuple[dict[int, int], dict[int, int]]
"""Sizes by price, of bids and of asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a venue lists of one instrument."""

    symbol: str
    base: str
    quote: str
    price_decimals: int
    size_decimals: int
    mid: int
    """Where the price begins, in units."""
    size: int
    """A usual size, in units."""
    tick: int = 1
    """Price step, in units."""
    contract: Literal["spot", "linear", "inverse", "option"] = "spot"


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade; `side` is the aggressor's."""

    id: int
    price: int
    size: int
    side: int


def top(book: Book, side: int, count: int) -> list[tuple[int, int]]:
    """Give the best levels of a side, best first."""
    levels = sorted(book[side].items(), reverse=side == BID)
    return levels[:count] if count else levels


def within(book: Book, depth: int) -> Book:
    """Give the best `depth` levels of each side; all of them where it is 0."""
    if not depth:
        return dict(book[BID]), dict(book[ASK])
    return dict(top(book, BID, depth)), dict(top(book, ASK, depth))


def diff(old: Book, new: Book) -> list[Level]:
    """Give the changes that make `new` of `old`."""
    changes: list[Level] = []
    for side in (BID, ASK):
        was, now = old[side], new[side]
        changes += [(side, price, 0) for price in was if price not in now]
        changes += [(side, price, size) for price, size in now.items() if was.get(price) != size]
    return changes


class Market:
    """One instrument's book and trades."""

    LEVELS = 60

    def __init__(self, listing: Listing, rng: random.Random) -> None:
        self.listing = listing
        self.rng = rng
        self.book: Book = ({}, {})
        self.mid = listing.mid // listing.tick
        self.trade_id = rng.randrange(10**6, 10**9)
        for side in (BID, ASK):
            for _ in range(self.LEVELS // 2):
                self.book[side][self._free(side)] = self._size()

    def _size(self) -> int:
        """Draw a size: mostly of many digits, now and then round or tiny."""
        rng, usual = self.rng, self.listing.size
        kind = rng.random()
        if kind < 0.15:
            step: int = 10 ** rng.randrange(3)
            return max(usual // step, 1) * rng.randrange(1, 10)
        if kind < 0.2:
            return rng.randrange(1, 100)
        size = int(usual * rng.expovariate(1.0))
        return max(size, 1)

    def _free(self, side: int) -> int:
        """Draw a price of a side, near the middle more often than far from it."""
        away = 1 + int(self.rng.expovariate(1 / 15))
        at = self.mid - away if side == BID else self.mid + away
        return max(at, 1) * self.listing.tick

    def best(self, side: int) -> tuple[int, int] | None:
        """Give the best price of a side and its size."""
        if not self.book[side]:
            return None
        price = max(self.book[BID]) if side == BID else min(self.book[ASK])
        return price, self.book[side][price]

    def set(self, level: Level) -> None:
        """Apply one change."""
        side, price, size = level
        if size:
            self.book[side][price] = size
        else:
            self.book[side].pop(price, None)

    def change(self) -> list[Level]:
        """Move the market by one message: at least one level changes, none of them twice."""
        rng, tick = self.rng, self.listing.tick
        wanted: dict[tuple[int, int], int] = {}
        if rng.random() < 0.25:
            # Away from the bottom, where there would be no room for bids.
            self.mid += 1 if self.mid < 100 else rng.choice((-2, -1, 1, 2))
            middle = self.mid * tick
            wanted |= {(BID, price): 0 for price in self.book[BID] if price >= middle}
            wanted |= {(ASK, price): 0 for price in self.book[ASK] if price <= middle}
        for _ in range(rng.randrange(1, 5)):
            side = rng.choice((BID, ASK))
            levels = self.book[side]
            if rng.random() < 0.35 and len(levels) > 12:
                best = sorted(levels, reverse=side == BID)
                wanted[side, best[min(int(rng.expovariate(1 / 8)), len(best) - 1)]] = 0
            else:
                wanted[side, self._free(side)] = self._size()
        for side in (BID, ASK):
            levels = self.book[side]
            for price in sorted(levels, reverse=side == ASK)[: max(len(levels) - self.LEVELS, 0)]:
                wanted[side, price] = 0
        changes = [
            (side, price, size) for (side, price), size in wanted.items() if self.book[side].get(price, 0) != size
        ]
        if not changes:
            return self.change()
        for level in changes:
            self.set(level)
        return changes

    def trade(self) -> tuple[Trade, list[Level]]:
        """Trade at the best price of a side: the trade, and what it leaves of the level."""
        side = self.rng.choice((BID, ASK))
        best = self.best(1 - side)
        assert best is not None, "a side is never empty"
        price, resting = best
        size = resting if self.rng.random() < 0.3 and len(self.book[1 - side]) > 12 else max(resting // 3, 1)
        left: Level = (1 - side, price, resting - size)
        self.set(left)
        self.trade_id += 1
        return Trade(self.trade_id, price, size, side), [left]


@dataclass(slots=True)
class Order:
    """A resting order."""

    id: int
    side: int
    price: int
    size: int


@dataclass(frozen=True, slots=True)
class OrderChange:
    """What happened to an order: ``created``, ``changed`` or ``deleted``."""

    kind: Literal["created", "changed", "deleted"]
    order: Order


@dataclass(slots=True)
class OrderMarket:
    """A market by order: the same, one order at a time."""

    listing: Listing
    rng: random.Random
    mid: int = 0
    orders: dict[int, Order] = field(default_factory=dict)
    next_id: int = 0
    trade_id: int = 0

    def __post_init__(self) -> None:
        """Draw the first orders."""
        self.mid = self.listing.mid // self.listing.tick
        self.next_id = self.rng.randrange(10**15, 2 * 10**15)
        self.trade_id = self.rng.randrange(10**8, 10**9)
        for _ in range(60):
            self._create()

    @property
    def book(self) -> Book:
        """The price book that the orders add up to."""
        book: Book = ({}, {})
        for order in self.orders.values():
            book[order.side][order.price] = book[order.side].get(order.price, 0) + order.size
        return book

    def _create(self) -> Order:
        rng = self.rng
        side = rng.choice((BID, ASK))
        away = 1 + int(rng.expovariate(1 / 15))
        price = (self.mid - away if side == BID else self.mid + away) * self.listing.tick
        self.next_id += rng.randrange(1, 10**6)
        order = Order(self.next_id, side, price, max(int(self.listing.size * rng.expovariate(1.0)), 1))
        self.orders[order.id] = order
        return order

    def change(self) -> OrderChange:
        """Move the market by one message."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.45 and len(self.orders) < 120:
            return OrderChange("created", self._create())
        order = self.orders[rng.choice(list(self.orders))]
        if kind < 0.6 and order.size > 1:
            order.size -= rng.randrange(1, order.size)
            return OrderChange("changed", Order(order.id, order.side, order.price, order.size))
        if len(self.orders) < 20:
            return OrderChange("created", self._create())
        del self.orders[order.id]
        return OrderChange("deleted", order)

    def trade(self) -> Trade:
        """Trade with an order at the best price, which shrinks or leaves; see `last`."""
        side = self.rng.choice((BID, ASK))
        resting = [order for order in self.orders.values() if order.side != side]
        best = (min if side == BID else max)(resting, key=lambda order: order.price)
        self.trade_id += self.rng.randrange(1, 9)
        return Trade(self.trade_id, best.price, max(best.size // 2, 1), side)
