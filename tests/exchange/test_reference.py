"""The slow exchange alone: one small case for each rule of `docs/exchange.md`, then invariants on random commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .campaign import campaign
from .commands import PROFILES, commands
from .invariants import Ledger, check
from .reference import Account, Execution, Order, ProRata, Reference, Rules, Tier

Command = dict[str, Any]


def order(order_id: int, side: str, size: int, price: int | None = None, kind: str = "limit", **more: Any) -> Command:
    made: Command = {"action": "new", "order_id": order_id, "side": side, "size": size, "order_type": kind}
    return made | ({} if price is None else {"price": price}) | more


def bid(order_id: int, size: int, price: int, **more: Any) -> Command:
    return order(order_id, "bid", size, price, **more)


def ask(order_id: int, size: int, price: int, **more: Any) -> Command:
    return order(order_id, "ask", size, price, **more)


def do(action: str, order_id: int = 0, **more: Any) -> Command:
    return {"action": action, "order_id": order_id, **more}


def to(state: str) -> Command:
    return do("state", state=state)


def words(e: Execution) -> str:
    """An execution in a few words: `trade 3x1 5@100`, `cancelled 1 5 ioc`."""
    match e.kind:
        case "rejected":
            return f"rejected {e.order_id} {e.reason}"
        case "trade" | "decremented":
            return f"{e.kind} {e.order_id}x{e.counter_id} {e.size}@{e.price}"
        case "cancelled":
            return f"cancelled {e.order_id} {e.size} {e.reason}"
        case "state":
            return f"state {e.state}"
        case "auction":
            return f"auction {e.size}@{e.price} {e.remaining:+}"
    return f"{e.kind} {e.order_id} {e.size}@{'-' if e.price is None else e.price}"


def said(given: list[Command], command: Command, rules: Rules | None = None) -> list[str]:
    """What a last command says, after the given ones."""
    exchange = Reference(rules or Rules())
    for one in given:
        assert not [e for e in exchange.apply(one) if e.kind == "rejected"], one
    return [words(e) for e in exchange.apply(command)]


CASES: dict[str, tuple[list[Command], Command, list[str]]] = {
    "trades are at the resting order's price": (
        [ask(1, 5, 100)],
        bid(2, 8, 101),
        ["accepted 2 8@101", "trade 2x1 5@100"],
    ),
    "displayed orders come before hidden ones": (
        [ask(1, 5, 100, display=0), ask(2, 5, 100)],
        bid(3, 7, 100),
        ["accepted 3 7@100", "trade 3x2 5@100", "trade 3x1 2@100"],
    ),
    "an iceberg's next slice joins the tail": (
        [ask(1, 10, 100, display=4), ask(2, 3, 100)],
        bid(3, 9, 100),
        ["accepted 3 9@100", "trade 3x1 4@100", "replenished 1 4@100", "trade 3x2 3@100", "trade 3x1 2@100"],
    ),
    "a decrease keeps the place": (
        [ask(1, 5, 100), ask(2, 5, 100), do("modify", 1, size=3)],
        bid(3, 4, 100),
        ["accepted 3 4@100", "trade 3x1 3@100", "trade 3x2 1@100"],
    ),
    "an increase loses the place": (
        [ask(1, 5, 100), ask(2, 5, 100), do("modify", 1, size=6)],
        bid(3, 4, 100),
        ["accepted 3 4@100", "trade 3x2 4@100"],
    ),
    "a replacement loses the place": (
        [ask(1, 5, 100), ask(2, 5, 100), do("replace", 1)],
        bid(3, 4, 100),
        ["accepted 3 4@100", "trade 3x2 4@100"],
    ),
    "a modification that crosses trades": (
        [ask(1, 5, 100), bid(2, 8, 90)],
        do("modify", 2, price=100),
        ["modified 2 8@100", "trade 2x1 5@100"],
    ),
    "a decrease of an iceberg takes from the reserve": (
        [ask(1, 10, 100, display=4), ask(2, 5, 100), do("modify", 1, size=5)],
        bid(3, 6, 100),
        ["accepted 3 6@100", "trade 3x1 4@100", "replenished 1 1@100", "trade 3x2 2@100"],
    ),
    "the rest of a market order is cancelled": (
        [ask(1, 5, 100), ask(2, 5, 110)],
        order(3, "bid", 12, kind="market"),
        ["accepted 3 12@-", "trade 3x1 5@100", "trade 3x2 5@110", "cancelled 3 2 no_liquidity"],
    ),
    "a market-to-limit order takes one price and stays there": (
        [ask(1, 5, 100), ask(2, 5, 110)],
        order(3, "bid", 12, kind="market_to_limit"),
        ["accepted 3 12@-", "trade 3x1 5@100"],
    ),
    "immediate or cancel": (
        [ask(1, 5, 100)],
        bid(2, 8, 100, time_in_force="ioc"),
        ["accepted 2 8@100", "trade 2x1 5@100", "cancelled 2 3 ioc"],
    ),
    "fill or kill": (
        [ask(1, 5, 100)],
        bid(2, 8, 100, time_in_force="fok"),
        ["accepted 2 8@100", "cancelled 2 8 fok"],
    ),
    "a fill-or-kill order sees reserves and hidden orders": (
        [ask(1, 5, 100, display=1), ask(2, 3, 100, display=0)],
        bid(3, 8, 100, time_in_force="fok"),
        ["accepted 3 8@100", *["trade 3x1 1@100", "replenished 1 1@100"] * 4, "trade 3x1 1@100", "trade 3x2 3@100"],
    ),
    "a stop triggers at its price and becomes a market order": (
        [order(1, "bid", 5, kind="stop", trigger=101), ask(2, 5, 101), ask(3, 5, 103)],
        bid(4, 5, 101),
        ["accepted 4 5@101", "trade 4x2 5@101", "triggered 1 5@101", "trade 1x3 5@103"],
    ),
    "buys trigger before sells, the lowest first": (
        [
            order(1, "bid", 1, kind="stop", trigger=100),
            order(2, "bid", 1, kind="stop", trigger=99),
            order(3, "ask", 1, kind="stop", trigger=100),
            order(4, "ask", 1, kind="stop", trigger=101),
            ask(5, 1, 100),
        ],
        bid(6, 1, 100),
        [
            *("accepted 6 1@100", "trade 6x5 1@100"),
            *("triggered 2 1@100", "triggered 1 1@100", "triggered 4 1@100", "triggered 3 1@100"),
            *(f"cancelled {i} 1 no_liquidity" for i in (2, 1, 4, 3)),
        ],
    ),
    "a stop that was reached on arrival triggers at once": (
        [ask(1, 1, 100), bid(2, 1, 100)],
        order(3, "bid", 2, 99, "stop_limit", trigger=100),
        ["accepted 3 2@99", "triggered 3 2@100"],
    ),
    "a trailing stop follows the best trade": (
        [
            *(ask(1, 1, 100), bid(2, 1, 100), order(3, "ask", 4, kind="trailing_stop", trigger=2)),
            *(ask(4, 1, 103), bid(5, 1, 103), bid(6, 1, 101)),
        ],
        ask(7, 1, 101),
        ["accepted 7 1@101", "trade 7x6 1@101", "triggered 3 4@101", "cancelled 3 4 no_liquidity"],
    ),
    "a trailing stop needs a price to begin from": (
        [],
        order(1, "bid", 4, kind="trailing_stop", trigger=2),
        ["rejected 1 no_reference"],
    ),
    "post-only is rejected where it would trade": (
        [ask(1, 5, 100, display=0)],
        bid(2, 5, 100, post_only="reject"),
        ["rejected 2 would_trade"],
    ),
    "post-only slides behind a hidden order too": (
        [ask(1, 5, 100, display=0)],
        bid(2, 5, 101, post_only="slide"),
        ["accepted 2 5@99"],
    ),
    "a peg follows its side": (
        [bid(1, 5, 100), order(2, "bid", 5, kind="peg_primary", trigger=1)],
        bid(3, 5, 101),
        ["accepted 3 5@101", "repriced 2 5@100"],
    ),
    "a peg at the middle is rounded away": (
        [bid(1, 5, 100), ask(2, 5, 103)],
        order(3, "ask", 5, kind="peg_mid", trigger=0),
        ["accepted 3 5@102"],
    ),
    "a peg never passes its limit": (
        [bid(1, 5, 100), order(2, "bid", 5, 100, "peg_primary", trigger=0)],
        bid(3, 5, 103),
        ["accepted 3 5@103"],
    ),
    "a peg without a reference is parked": (
        [bid(1, 5, 100), order(2, "bid", 5, kind="peg_primary", trigger=0)],
        do("cancel", 1),
        ["cancelled 1 5 requested", "repriced 2 5@-"],
    ),
    "a partner is cancelled before the aggressor goes on": (
        [ask(1, 5, 100), ask(2, 5, 100, link=1), ask(3, 5, 101)],
        bid(4, 8, 101),
        ["accepted 4 8@101", "trade 4x1 5@100", "cancelled 2 5 linked", "trade 4x3 3@101"],
    ),
    "the aggressor's partner goes after the first trade": (
        [bid(1, 5, 90), ask(2, 1, 100), ask(3, 1, 100)],
        bid(4, 2, 100, link=1),
        ["accepted 4 2@100", "trade 4x2 1@100", "cancelled 1 5 linked", "trade 4x3 1@100"],
    ),
    "a link to a linked order is bad": (
        [bid(1, 5, 90), bid(2, 5, 91, link=1)],
        bid(3, 5, 92, link=1),
        ["rejected 3 bad_link"],
    ),
    "the newest is cancelled": (
        [ask(1, 5, 100, account=1)],
        bid(2, 8, 100, account=1, self_trade="cancel_newest"),
        ["accepted 2 8@100", "cancelled 2 8 self_trade"],
    ),
    "the oldest is cancelled": (
        [ask(1, 5, 100, account=1), ask(2, 5, 100)],
        bid(3, 4, 100, account=1, self_trade="cancel_oldest"),
        ["accepted 3 4@100", "cancelled 1 5 self_trade", "trade 3x2 4@100"],
    ),
    "both are cancelled": (
        [ask(1, 5, 100, account=1)],
        bid(2, 8, 100, account=1, self_trade="cancel_both"),
        ["accepted 2 8@100", "cancelled 1 5 self_trade", "cancelled 2 8 self_trade"],
    ),
    "both are decremented": (
        [ask(1, 5, 100, account=1), ask(2, 5, 100)],
        bid(3, 8, 100, account=1, self_trade="decrement"),
        ["accepted 3 8@100", "decremented 3x1 5@100", "cancelled 1 0 self_trade", "trade 3x2 3@100"],
    ),
    "account 0 trades with itself": (
        [ask(1, 5, 100)],
        bid(2, 5, 100, self_trade="cancel_both"),
        ["accepted 2 5@100", "trade 2x1 5@100"],
    ),
    "a fill-or-kill order passes over its own": (
        [ask(1, 5, 100, account=1), ask(2, 5, 100)],
        bid(3, 6, 100, account=1, self_trade="cancel_oldest", time_in_force="fok"),
        ["accepted 3 6@100", "cancelled 3 6 fok"],
    ),
    "expiry comes first": (
        [bid(1, 5, 100, time_in_force="gtd", expires=10), bid(2, 5, 100, time_in_force="gtd", expires=9)],
        ask(3, 5, 100) | {"ts": 10},
        ["cancelled 2 5 expired", "cancelled 1 5 expired", "accepted 3 5@100"],
    ),
    "time does not run back": (
        [do("clock", ts=10)],
        bid(1, 5, 100) | {"ts": 9},
        ["rejected 1 time_reversed"],
    ),
    "a quote moves both sides": (
        [do("quote", 1, price=99, size=5, link=2, trigger=101, display=5)],
        do("quote", 1, price=101, size=4, link=2, trigger=102, display=0),
        ["cancelled 2 5 requested", "modified 1 4@101"],
    ),
    "a quote never meets itself": (
        [do("quote", 1, price=99, size=5, link=2, trigger=101, display=5)],
        do("quote", 1, price=101, size=4, link=2, trigger=103, display=5),
        ["modified 1 4@101", "modified 2 5@103"],
    ),
    "a crossed quote is invalid": (
        [],
        do("quote", 1, price=101, size=5, link=2, trigger=101, display=5),
        ["rejected 1 invalid_field"],
    ),
    "mass cancel takes bids, asks, then what waits": (
        [order(1, "bid", 5, kind="stop", trigger=105), ask(2, 5, 101), bid(3, 5, 99), bid(4, 5, 100)],
        do("mass_cancel"),
        [f"cancelled {i} 5 mass_cancelled" for i in (4, 3, 2, 1)],
    ),
    "the killed may not enter": (
        [bid(1, 5, 100, account=1), do("kill", account=1)],
        bid(2, 5, 100, account=1),
        ["rejected 2 killed"],
    ),
    "the revived may": ([do("kill"), do("revive")], bid(1, 5, 100), ["accepted 1 5@100"]),
    "closing the exchange cancels day orders": (
        [bid(1, 5, 100), bid(2, 5, 100, time_in_force="gtc")],
        to("closed"),
        ["state closed", "cancelled 1 5 closed"],
    ),
    "a closed exchange rejects": ([to("closed")], bid(1, 5, 100), ["rejected 1 closed"]),
    "no state follows itself": ([], to("continuous"), ["rejected 0 wrong_state"]),
    "nobody takes in a call phase": (
        [to("halted")],
        order(1, "bid", 5, kind="market"),
        ["rejected 1 wrong_state"],
    ),
    "an auction trades at the price of most volume": (
        [to("pre_open"), bid(1, 5, 103), bid(2, 5, 102), bid(3, 5, 101), ask(4, 8, 101), ask(5, 4, 102)],
        to("continuous"),
        ["auction 10@102 -2", "trade 1x4 5@102", "trade 2x4 3@102", "trade 2x5 2@102", "state continuous"],
    ),
    "an auction's surplus of buyers takes the highest price": (
        [to("pre_open"), bid(1, 9, 103), ask(2, 5, 100)],
        to("continuous"),
        ["auction 5@103 +4", "trade 1x2 5@103", "state continuous"],
    ),
    "a balanced auction takes the middle, rounded down": (
        [to("pre_open"), bid(1, 5, 103), ask(2, 5, 100)],
        to("continuous"),
        ["auction 5@101 +0", "trade 1x2 5@101", "state continuous"],
    ),
    "market orders go first in an auction and their rest is cancelled": (
        [to("pre_open"), bid(1, 5, 100), ask(2, 4, 100), order(3, "bid", 6, kind="market", time_in_force="at_open")],
        to("continuous"),
        ["auction 4@100 +7", "trade 3x2 4@100", "cancelled 3 2 auction", "state continuous"],
    ),
    "hidden orders and reserves come last in an auction": (
        [to("pre_open"), bid(1, 5, 100, display=0), bid(2, 6, 100, display=2), bid(3, 3, 100), ask(4, 12, 100)],
        to("continuous"),
        [
            *("auction 12@100 +2", "trade 2x4 2@100", "trade 3x4 3@100", "trade 2x4 4@100", "trade 1x4 3@100"),
            *("state continuous",),
        ],
    ),
    "orders at the close join when closing begins": (
        [bid(1, 5, 100, time_in_force="at_close"), ask(2, 3, 100), to("closing")],
        to("closed"),
        ["auction 3@100 +2", "trade 1x2 3@100", "cancelled 1 2 auction", "state closed"],
    ),
    "an auction's print triggers stops when continuous trading begins": (
        [to("pre_open"), bid(1, 1, 100), ask(2, 1, 100), order(3, "bid", 5, kind="stop", trigger=100), ask(4, 5, 105)],
        to("continuous"),
        ["auction 1@100 +0", "trade 1x2 1@100", "state continuous", "triggered 3 5@100", "trade 3x4 5@105"],
    ),
    "pegs are parked outside continuous trading": (
        [bid(1, 5, 100), order(2, "bid", 5, kind="peg_primary", trigger=0)],
        to("halted"),
        ["state halted", "repriced 2 5@-"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rule(name: str) -> None:
    given, command, expected = CASES[name]
    assert said(given, command) == expected


UNDER: dict[str, tuple[Rules, list[Command], Command, list[str]]] = {
    "shares in proportion, the rest by time": (
        Rules(priority=ProRata()),
        [ask(1, 10, 100), ask(2, 20, 100), ask(3, 30, 100)],
        bid(4, 10, 100),
        ["accepted 4 10@100", "trade 4x1 2@100", "trade 4x2 3@100", "trade 4x3 5@100"],
    ),
    "the order that set the price goes first": (
        Rules(priority=ProRata(top_order=True, top_max=4)),
        [ask(1, 10, 100), ask(2, 20, 100), ask(3, 30, 100)],
        bid(4, 14, 100),
        ["accepted 4 14@100", "trade 4x1 6@100", "trade 4x2 3@100", "trade 4x3 5@100"],
    ),
    "small shares become nothing": (
        Rules(priority=ProRata(min_allocation=3)),
        [ask(1, 30, 100), ask(2, 20, 100), ask(3, 10, 100)],
        bid(4, 12, 100),
        ["accepted 4 12@100", "trade 4x1 8@100", "trade 4x2 4@100"],
    ),
    "replenished slices share in another round": (
        Rules(priority=ProRata()),
        [ask(1, 10, 100, display=2), ask(2, 2, 100)],
        bid(3, 5, 100),
        ["accepted 3 5@100", "trade 3x1 2@100", "replenished 1 2@100", "trade 3x2 2@100", "trade 3x1 1@100"],
    ),
    "own orders are left out of the shares and end the order": (
        Rules(priority=ProRata()),
        [ask(1, 10, 100, account=1), ask(2, 10, 100)],
        bid(3, 15, 100, account=1, self_trade="cancel_newest"),
        ["accepted 3 15@100", "trade 3x2 10@100", "cancelled 3 5 self_trade"],
    ),
    "the band stops an order, which rests, and halts": (
        Rules(band=2, reference=100),
        [ask(1, 5, 102), ask(2, 5, 103)],
        bid(3, 8, 103),
        ["accepted 3 8@103", "trade 3x1 5@102", "state halted"],
    ),
    "what may not rest is cancelled by the halt": (
        Rules(band=2, reference=100),
        [ask(1, 5, 103)],
        order(2, "bid", 8, kind="market"),
        ["accepted 2 8@-", "cancelled 2 8 halted", "state halted"],
    ),
    "a halt ends by itself": (
        Rules(band=2, reference=100, halt_for=10),
        [ask(1, 5, 103), bid(2, 5, 103)],
        do("clock", ts=10),
        ["auction 5@103 +0", "trade 2x1 5@103", "state continuous"],
    ),
    "a limit beyond the collar is rejected": (
        Rules(collar=3, reference=100),
        [],
        bid(1, 5, 104),
        ["rejected 1 collar"],
    ),
    "a market order stops at the collar": (
        Rules(collar=3, reference=100),
        [ask(1, 5, 103), ask(2, 5, 104)],
        order(3, "bid", 8, kind="market"),
        ["accepted 3 8@-", "trade 3x1 5@103", "cancelled 3 3 no_liquidity"],
    ),
    "an account must be listed": (Rules(accounts=(Account(1),)), [], bid(1, 5, 100), ["rejected 1 unknown_account"]),
    "commands are counted in a window": (
        Rules(rate=1, rate_window=10),
        [bid(1, 5, 100, ts=9), bid(2, 5, 100, ts=10)],
        bid(3, 5, 100, ts=19),
        ["rejected 3 rate_limited"],
    ),
    "prices are multiples of the tick": (Rules(tick=5), [], bid(1, 5, 101), ["rejected 1 off_tick"]),
    "sizes are multiples of the lot": (Rules(lot=10), [], bid(1, 15, 100), ["rejected 1 off_lot"]),
    "sizes have a least": (Rules(min_size=5), [], bid(1, 4, 100), ["rejected 1 too_small"]),
    "sizes have a greatest": (Rules(max_size=5), [], bid(1, 6, 100), ["rejected 1 too_large"]),
    "so has price times size": (Rules(max_notional=500), [], bid(1, 6, 100), ["rejected 1 notional"]),
}


@pytest.mark.parametrize("name", UNDER)
def test_rule_of_an_instrument(name: str) -> None:
    rules, given, command, expected = UNDER[name]
    assert said(given, command, rules) == expected


def examples() -> list[tuple[str, list[str]]]:
    """Each example under its heading: commands, the last with `>`, then what it says."""
    text = (Path(__file__).parents[2] / "docs" / "exchange-examples.md").read_text()
    return [
        (item.partition("\n")[0], block.partition("\n```")[0].splitlines())
        for item in text.split("\n## ")[1:]
        for block in item.split("```text\n")[1:]
    ]


@pytest.mark.parametrize(("heading", "lines"), examples())
def test_the_worked_examples_are_right(heading: str, lines: list[str]) -> None:
    names = globals()
    rules = eval(lines.pop(0), names) if lines[0].startswith("Rules(") else Rules()
    last = next(i for i, line in enumerate(lines) if line.startswith("> "))
    given = [eval(line, names) for line in lines[:last]]
    assert said(given, eval(lines[last][2:], names), rules) == lines[last + 1 :]


def test_fees_are_rounded_up() -> None:
    rules = Rules(accounts=(Account(1, 0), Account(2, 1)), tiers=(Tier(maker=-300_000_000), Tier(taker=300_000_000)))
    exchange = Reference(rules)
    exchange.apply(ask(1, 5, 1, account=1))
    trade = exchange.apply(bid(2, 5, 1, account=2))[1]
    assert (trade.fee, trade.counter_fee) == (2, -1)


@pytest.mark.parametrize("profile", PROFILES)
def test_invariants_hold_after_every_random_command(profile: str) -> None:
    exchange, ledger = Reference(PROFILES[profile]), Ledger()
    for command in commands(7, 2_000, PROFILES[profile]):
        ledger.follow(command, exchange.apply(command))
        orders = exchange.orders()
        check(orders, exchange.state, exchange.last)
        ledger.agree(orders)


@pytest.mark.parametrize("profile", ["price_time", "bands", "pro_rata_top"])
def test_a_clock_command_in_between_changes_nothing(profile: str) -> None:
    plain, ticked = Reference(PROFILES[profile]), Reference(PROFILES[profile])
    for command in commands(5, 2_000, PROFILES[profile]):
        before = ticked.apply(do("clock", ts=command["ts"])) if command.get("ts", 0) > ticked.clock else []
        both = before + ticked.apply(command)
        assert [e._replace(sequence=0) for e in both] == [e._replace(sequence=0) for e in plain.apply(command)]


class Forgetful(Reference):
    """An engine with a fault: hidden orders come by entry like displayed ones."""

    def _join(self, o: Order) -> None:
        super()._join(o)
        book = self.bids if o.side == "bid" else self.asks
        book.sort(key=lambda x: ((x.price or 0) * (-1 if o.side == "bid" else 1), x.entry))


def test_a_campaign_finds_nothing_in_the_reference_itself() -> None:
    assert campaign(Reference, range(2), count=200) is None


def test_a_campaign_finds_a_fault_and_shrinks_it() -> None:
    found = campaign(Forgetful, range(3), count=500, profiles=["price_time"])
    assert found is not None
    assert len(found.splitlines()) < 15


def test_the_same_commands_say_the_same() -> None:
    rules = PROFILES["price_time"]
    first, second = Reference(rules), Reference(rules)
    for one, other in zip(commands(3, 500, rules), commands(3, 500, rules), strict=True):
        assert first.apply(one) == second.apply(other)
