"""What holds after every command, whoever matched: on orders as `Reference.orders` shows them, and on executions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .reference import PEGS, STOPS, Execution, Live


def check(orders: Sequence[Live], state: str, last: int | None) -> None:
    """Raises AssertionError at what no book may be."""
    by_id = {o.id: o for o in orders}
    assert len(by_id) == len(orders), "an id is live twice"
    for o in orders:
        assert o.size > 0, f"an order of nothing: {o}"
        assert 0 <= o.displayed <= o.size, f"more displayed than there is: {o}"
        if o.where == "book":
            assert o.price is not None, f"in the book at no price: {o}"
        else:
            assert o.displayed == 0, f"displayed outside the book: {o}"
        if o.order_type in PEGS:
            assert (o.where == "book") == (o.price is not None), f"parked at a price: {o}"
            assert state == "continuous" or o.price is None, f"pegged outside continuous trading: {o}"
        if o.link:
            assert o.link in by_id, f"linked with an order that is gone: {o}"
            assert by_id[o.link].link == o.id, f"a link of one side only: {o}"
            assert by_id[o.link].account == o.account, f"linked with another account: {o}"
        if o.order_type in STOPS and o.where == "waiting" and state == "continuous" and last is not None:
            assert o.stop is not None
            assert o.stop > last if o.side == "bid" else o.stop < last, f"a stop that {last} has reached: {o}"
        assert o.where != "triggered" or state != "continuous", f"triggered and not activated: {o}"
        assert o.time_in_force not in ("ioc", "fok"), f"it may not stay: {o}"
        assert o.time_in_force != "at_open" or state == "pre_open", f"after the opening: {o}"
        assert o.time_in_force not in ("day", "at_close") or state != "closed", f"after the close: {o}"
    bids = [o for o in orders if o.where == "book" and o.side == "bid"]
    asks = [o for o in orders if o.where == "book" and o.side == "ask"]
    places = ["book" if o.where == "book" else "out" for o in orders]
    assert [o for o in orders if o.where == "book"] == bids + asks, "bids come first, then asks"
    assert places == sorted(places), "the book comes first"
    for book, sign in ((bids, -1), (asks, 1)):
        keys = [(sign * (o.price or 0), o.displayed == 0) for o in book]
        assert keys == sorted(keys), "best price first, displayed before hidden"
    if state == "continuous" and bids and asks:
        assert (bids[0].price or 0) < (asks[0].price or 0), f"crossed: {bids[0]} {asks[0]}"


class Ledger:
    """Follows what every order has open from the executions alone."""

    def __init__(self) -> None:
        self.open: dict[int, int] = {}
        self.entered = self.increased = self.decreased = 0
        self.traded = self.cancelled = self.decremented = 0

    def follow(self, command: Mapping[str, Any], executions: Iterable[Execution]) -> None:
        filled: int | None = None  # of a new order
        new = command["action"] == "new"
        for e in executions:
            size, rest = e.size or 0, e.remaining
            match e.kind:
                case "accepted":
                    assert e.order_id not in self.open, f"accepted twice: {e}"
                    assert size == rest
                    assert size > 0
                    self.open[e.order_id] = size
                    self.entered += size
                    filled = 0 if new else None
                case "trade" | "decremented":
                    assert size > 0
                    for order_id in (e.order_id, e.counter_id):
                        self.open[order_id] -= size
                        assert self.open[order_id] >= 0, f"more than it had: {e}"
                    assert rest == self.open[e.order_id], f"{self.open[e.order_id]} left: {e}"
                    if e.kind == "trade":
                        self.traded += 2 * size
                        if filled is not None and e.order_id == command["order_id"]:
                            filled += size
                        for order_id in (e.order_id, e.counter_id):
                            if not self.open[order_id]:
                                del self.open[order_id]
                    else:
                        self.decremented += 2 * size
                case "modified":
                    before = self.open[e.order_id]
                    assert size == rest
                    self.increased += max(0, size - before)
                    self.decreased += max(0, before - size)
                    self.open[e.order_id] = size
                case "cancelled":
                    assert self.open.pop(e.order_id) == size, f"another size than it had: {e}"
                    assert rest == 0
                    self.cancelled += size
                case "triggered" | "repriced":
                    assert size == rest == self.open[e.order_id], f"{self.open[e.order_id]} open: {e}"
                case "replenished":
                    assert 0 < size <= self.open[e.order_id] == rest, f"{self.open[e.order_id]} open: {e}"
                case "rejected":
                    assert (e.price, size, rest) == (None, 0, None)
        if filled and command.get("time_in_force") == "fok":
            assert filled == command["size"], "a part of a fill-or-kill order"

    def agree(self, orders: Iterable[Live]) -> None:
        """What is open is what the book shows, and nothing was lost on the way."""
        assert self.open == {o.id: o.size for o in orders}
        came = self.entered + self.increased
        assert came == self.traded + self.cancelled + self.decremented + self.decreased + sum(self.open.values())
