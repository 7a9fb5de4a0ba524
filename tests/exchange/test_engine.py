"""`xb.Exchange` against the slow model of its rules: random commands of every kind, under every profile."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import polars as pl
import pytest

import crossbook as xb

from .campaign import campaign
from .commands import PROFILES, commands
from .engine import Calls, Columns
from .invariants import Ledger, check
from .reference import Execution

SLOW = int(os.environ.get("CROSSBOOK_SLOW", "1"))


@pytest.mark.parametrize("profile", PROFILES)
def test_commands_in_columns_say_what_the_model_says(profile: str) -> None:
    found = campaign(Columns, range(4 * SLOW), profiles=[profile])
    assert found is None, found


@pytest.mark.parametrize("profile", PROFILES)
def test_single_calls_say_what_the_model_says(profile: str) -> None:
    found = campaign(Calls, range(1_000_000, 1_000_000 + 2 * SLOW), profiles=[profile])
    assert found is None, found


def levels(exchange: xb.Exchange) -> pl.DataFrame:
    """What `book` shows, from `orders`."""
    shown = exchange.orders().filter(pl.col("shown") > 0)
    return shown.group_by("side", "price", maintain_order=True).agg(size=pl.col("shown").sum(), orders=pl.len())


def agree(exchange: xb.Exchange) -> None:
    """Raises AssertionError where two views of one exchange differ."""
    orders, book = exchange.orders(), exchange.book()
    assert len(exchange) == orders.height
    assert book.select("side", "price").equals(levels(exchange).select("side", "price"))
    assert book.select("size", "orders").rows() == levels(exchange).select("size", "orders").rows()
    best = {side: (price, size) for side, price, size, _ in book.reverse().rows()}
    bid, ask = (best.get(side, (0, 0)) for side in ("bid", "ask"))
    assert exchange.quote == (*bid, *ask)
    ahead: dict[tuple[str, int], tuple[int, int]] = {}
    for row in orders.rows(named=True):
        order = exchange.order(row["order_id"])
        assert order is not None
        assert order.as_dict() == {key: row[key] for key in order.as_dict()}
        place = exchange.place(row["order_id"])
        if not row["rests"]:
            assert (place, row["orders_ahead"], row["size_ahead"]) == (None, None, None)
            continue
        count, size = ahead.get((row["side"], row["price"]), (0, 0))
        assert place is not None
        assert (row["orders_ahead"], row["size_ahead"]) == place[:2] == (count, size)
        ahead[row["side"], row["price"]] = (count + 1, size + (row["shown"] or row["open"]))


@pytest.mark.parametrize("profile", PROFILES)
def test_its_own_views_hold_together_after_every_command(profile: str) -> None:
    for seed in range(SLOW):
        rules = PROFILES[profile]
        engine, ledger = Calls(rules), Ledger()
        for command in commands(seed, 400, rules):
            ledger.follow(command, engine.apply(command))
            orders = engine.orders()
            check(orders, engine.state, engine.last)
            ledger.agree(orders)
            agree(engine.exchange)


def test_a_clock_in_between_changes_nothing() -> None:
    for profile, rules in PROFILES.items():
        plain, ticked = Columns(rules), Columns(rules)
        stream = list(commands(11, 2_000, rules))
        latest, split, counts = 0, [], []
        for command in stream:
            clock = command.get("ts", 0) > latest
            latest = max(latest, command.get("ts", 0))
            split += [{"action": "clock", "ts": latest}, command] if clock else [command]
            counts.append(1 + clock)
        answers = iter(ticked.run(split))
        both = [[e for _ in range(count) for e in next(answers)] for count in counts]
        assert [[e._replace(sequence=0) for e in some] for some in both] == [
            [e._replace(sequence=0) for e in some] for some in plain.run(stream)
        ], profile


def test_one_call_and_many_say_the_same() -> None:
    for profile, rules in PROFILES.items():
        stream = list(commands(12, 2_000, rules))
        once, parts = Columns(rules), Columns(rules)
        cuts = [0, 1, 3, 500, 2_000]
        answers = [say for a, b in pairwise(cuts) for say in parts.run(stream[a:b])]
        assert once.run(stream) == answers, profile
        assert once.exchange.orders().equals(parts.exchange.orders()), profile


class Forgetful(Columns):
    """An exchange with a fault: it says nothing of slices that icebergs show anew."""

    def run(self, commands: Sequence[Mapping[str, Any]], /) -> list[list[Execution]]:
        return [[one for one in some if one.kind != "replenished"] for some in super().run(commands)]


def test_a_fault_is_found_and_shrunk() -> None:
    found = campaign(Forgetful, range(1), count=500, profiles=["price_time"])
    assert found is not None
    assert len(found.splitlines()) < 10
