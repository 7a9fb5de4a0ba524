"""Seeded random commands of every kind, and named rules to run them under."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from .reference import PEGS, TIMES_IN_FORCE, Account, ProRata, Rules, Tier

FIVE = tuple(Account(i, i % 3) for i in range(1, 6))
FEES = (Tier(-20_000, 50_000, 10_000), Tier(0, 333_333_333, 1), Tier(-333_333_333, 7, -1))

PROFILES: dict[str, Rules] = {
    "price_time": Rules(),
    "price_time_open": Rules(reference=100, state="pre_open", tiers=FEES),
    "pro_rata": Rules(priority=ProRata()),
    "pro_rata_top": Rules(priority=ProRata(top_order=True, top_max=7, min_allocation=3), reference=100),
    "pro_rata_top_whole": Rules(priority=ProRata(top_order=True), tick=5, lot=10, min_size=10),
    "bands": Rules(band=4, halt_for=30, reference=100),
    "bands_until_told": Rules(band=5, priority=ProRata(min_allocation=2)),
    "collars": Rules(collar=3, reference=100, tiers=FEES),
    "accounts": Rules(
        accounts=FIVE, tiers=FEES, rate=5, rate_window=40, min_size=2, max_size=60, max_notional=3_500, reference=100
    ),
    "tick_and_lot": Rules(tick=5, lot=10, min_size=20, band=40, halt_for=50, collar=60, reference=500, tiers=FEES),
}

ORDER_TYPES = {
    "limit": 60,
    "market": 9,
    "market_to_limit": 4,
    "stop": 5,
    "stop_limit": 5,
    "trailing_stop": 4,
    "peg_primary": 5,
    "peg_mid": 5,
}
IN_FORCE = {"day": 30, "gtc": 40, "gtd": 12, "ioc": 8, "fok": 8, "at_open": 4, "at_close": 5}
SELF_TRADES = {"none": 60, "cancel_newest": 10, "cancel_oldest": 10, "cancel_both": 10, "decrement": 14}
STATES = {"continuous": 40, "pre_open": 15, "halted": 15, "closing": 20, "closed": 10}
ACTIONS = {
    "new": 600,
    "cancel": 130,
    "modify": 130,
    "replace": 30,
    "quote": 60,
    "mass_cancel": 5,
    "kill": 3,
    "revive": 3,
    "state": 14,
    "clock": 10,
}


def commands(seed: int, count: int, rules: Rules) -> Iterator[dict[str, Any]]:
    """Commands that meet: few prices, few accounts, mostly ids that may be live. None depends on an answer."""
    return _Generator(seed, rules).take(count)


class _Generator:
    def __init__(self, seed: int, rules: Rules) -> None:
        self.dice = random.Random(seed)
        self.rules = rules
        self.clock = 0
        self.state = rules.state
        self.age = 0  # commands since it changed
        self.next_id = 1
        self.recent: list[tuple[int, int, str]] = []  # (id, account, order type) that may be live
        self.dead: list[int] = []
        self.killed: list[int] = []
        self.centre = rules.reference if rules.reference is not None else 100 * rules.tick

    def take(self, count: int) -> Iterator[dict[str, Any]]:
        for _ in range(count):
            yield self.command()

    def pick(self, weights: dict[str, int]) -> str:
        return self.dice.choices(list(weights), list(weights.values()))[0]

    def chance(self, probability: float) -> bool:
        return self.dice.random() < probability

    def command(self) -> dict[str, Any]:
        self.age += 1
        action = self.pick(ACTIONS)
        if self.state != "continuous" and self.age > (5 if self.state == "closed" else 12) and self.chance(0.15):
            action = "state"
        if self.killed and self.chance(0.2):
            action = "revive"
        made: dict[str, Any] = {"action": action}
        match action:
            case "new":
                made |= self.new()
            case "cancel":
                made |= self.target(stale=0.1)
                if self.chance(0.9):
                    self.recent = [one for one in self.recent if one[0] != made["order_id"]]
            case "modify" | "replace":
                made |= self.change()
            case "quote":
                made |= self.quote()
            case "mass_cancel" | "kill" | "revive":
                account = 0 if self.chance(0.12) else self.account()
                if action == "kill":
                    self.killed.append(account)
                if action == "revive" and self.killed:
                    account = self.killed.pop()
                made["account"] = account
                if action != "revive":
                    self.recent = [one for one in self.recent if account not in (0, one[1]) or self.chance(0.1)]
                if action == "mass_cancel" and self.chance(0.5):
                    made |= {"one_side": True, "side": self.side()}
            case "state":
                steer = self.state != "continuous" and self.chance(0.6)
                self.state = made["state"] = "continuous" if steer else self.pick(STATES)
                self.age = 0
        if self.chance(0.5) or action == "clock":
            step = self.dice.choice((0, 1, 1, 2, 3, 5, 8, 13)) if self.chance(0.97) else self.dice.randint(20, 90)
            self.clock += step
            made["ts"] = self.clock - (self.dice.randint(1, 3) if self.chance(0.01) else 0)
            if made["ts"] < 1:
                del made["ts"]
        return made

    def side(self) -> str:
        return self.dice.choice(("bid", "ask"))

    def account(self) -> int:
        if self.rules.accounts:
            return self.dice.randint(1, 5) if self.chance(0.98) else self.dice.choice((0, 6))
        return self.dice.choice((0, 1, 1, 2, 2, 3, 4))

    def price(self, side: str) -> int:
        """Around the centre, buyers mostly a little below and sellers a little above."""
        if self.chance(0.004):
            self.centre += self.dice.choice((-1, 1)) * self.rules.tick
        away = round(self.dice.gauss(2.2, 2.8)) if self.chance(0.95) else self.dice.randint(-14, 14)
        price = self.centre + (-away if side == "bid" else away) * self.rules.tick
        return price + (1 if self.rules.tick > 1 and self.chance(0.02) else 0)

    def size(self) -> int:
        if self.chance(0.01):
            return self.dice.choice((0, -5, 1, 1 << 42, (1 << 42) + self.rules.lot, 1 << 62, 70))
        lots = self.dice.choice((1, 2, 3, 5, 5, 8, 10, 10, 13, 20, 40))
        return lots * self.rules.lot + (1 if self.rules.lot > 1 and self.chance(0.02) else 0)

    def display(self, size: int) -> int:
        if self.chance(0.4):
            return 0
        lots = max(1, size // self.rules.lot // self.dice.choice((1, 2, 3, 4)))
        return self.dice.choice((-1, 1)) if self.chance(0.02) else lots * self.rules.lot

    def fresh(self, account: int, kind: str, stays: bool) -> int:
        """A new id; now and then one that is live, or was."""
        if self.recent and self.chance(0.01):
            return self.dice.choice(self.recent)[0]
        if self.dead and self.chance(0.05):
            order_id = self.dead.pop(self.dice.randrange(len(self.dead)))
        else:
            order_id = self.next_id
            self.next_id += 1
        if stays:
            self.recent.append((order_id, account, kind))
        if len(self.recent) > 60:
            self.dead.append(self.recent.pop(self.dice.randrange(30))[0])
            self.dead = self.dead[-20:]
        return order_id

    def new(self) -> dict[str, Any]:
        kind = self.pick(ORDER_TYPES)
        tif = self.pick(IN_FORCE)
        if self.chance(0.98):
            while tif not in TIMES_IN_FORCE[kind] or (tif == "at_open" and self.state != "pre_open"):
                tif = self.pick(IN_FORCE)
            if self.state not in ("continuous", "closed") and self.chance(0.9):
                if kind == "market":
                    tif = "at_open" if self.state == "pre_open" else "at_close"
                elif tif in ("ioc", "fok"):
                    tif = "gtc"
        account, side, size = self.account(), self.side(), self.size()
        stays = kind != "market" and tif not in ("ioc", "fok")
        partners = [one[0] for one in self.recent if one[1] == account]
        price = self.price(side)
        behind = self.centre - price if side == "bid" else price - self.centre
        if kind == "limit" and behind < self.rules.tick:  # it will probably trade at once
            stays = stays and self.chance(0.3)
        made: dict[str, Any] = {
            "order_id": self.fresh(account, kind, stays) if self.chance(0.998) else 0,
            "account": account,
            "side": side,
            "order_type": kind,
            "time_in_force": tif,
            "size": size,
        }
        tick = self.rules.tick
        if kind in ("limit", "stop_limit") or (kind in PEGS and self.chance(0.5)):
            made["price"] = price
        if kind in ("stop", "stop_limit"):
            made["trigger"] = self.price("ask" if side == "bid" else "bid")
        elif kind == "trailing_stop":
            made["trigger"] = self.dice.choice((1, 1, 2, 2, 3, 4, 4, 0, -1) if self.chance(0.2) else (1, 2, 3)) * tick
        elif kind in PEGS and self.chance(0.95):
            made["trigger"] = self.dice.choice((0, 0, 0, 1, 1, 2)) * tick if self.chance(0.98) else -tick
        if tif == "gtd" and self.chance(0.99):
            made["expires"] = self.clock + self.dice.choice(
                (5, 20, 40, 80, 150, 300, 300, 0 if self.chance(0.3) else 10)
            )
        if (kind in ("limit", "stop_limit") and tif in ("day", "gtc", "gtd") and self.chance(0.3)) or self.chance(0.01):
            made["display"] = self.display(size)
        if self.chance(0.5):
            made["self_trade"] = self.pick(SELF_TRADES)
        if (kind == "limit" and tif in ("day", "gtc", "gtd") and self.chance(0.12)) or self.chance(0.004):
            made["post_only"] = self.dice.choice(("reject", "slide"))
        if partners and self.chance(0.1):
            made["link"] = self.dice.choice(partners[-3:])
        elif self.chance(0.003):
            made["link"] = self.dice.randint(1, self.next_id)
        if self.chance(0.008):  # something that is missing, or does not belong
            field = self.dice.choice(("price", "trigger", "size", "expires", "display"))
            made[field] = None if made.get(field) is not None else self.price(side)
        return made

    def target(self, stale: float) -> dict[str, Any]:
        """An order that may be live, and mostly its account or none."""
        if not self.recent or self.chance(stale / 2):
            return {"order_id": self.dice.randint(0, self.next_id), "account": self.account()}
        order_id, account, _ = self.dice.choice(self.recent[-self.dice.choice((5, 12, 25, 60)) :])
        if self.chance(0.3):
            return {"order_id": order_id}
        return {"order_id": order_id, "account": account if self.chance(0.97) else self.account()}

    def change(self) -> dict[str, Any]:
        made = self.target(stale=0.06)
        if self.rules.accounts and "account" not in made and self.chance(0.95):
            made["account"] = next((one[1] for one in self.recent if one[0] == made["order_id"]), 1)
        kind = next((one[2] for one in self.recent if one[0] == made["order_id"]), "limit")
        wild = self.chance(0.05)
        has_price = wild or kind in ("limit", "stop_limit", "market_to_limit", *PEGS)
        has_trigger = wild or kind in ("stop", "stop_limit", "trailing_stop", *PEGS)
        if has_price and self.chance(0.5):
            made["price"] = self.price(self.side())
        if self.chance(0.6):
            made["size"] = self.size()
        if has_trigger and self.chance(0.5):
            made["trigger"] = (
                self.price(self.side())
                if kind in ("stop", "stop_limit")
                else self.dice.choice((0, 1, 1, 2, 2, 3)) * self.rules.tick
            )
        if (kind == "limit" and self.chance(0.15)) or wild:
            made["display"] = self.display(made.get("size", 10 * self.rules.lot))
        return made

    def quote(self) -> dict[str, Any]:
        """Each account has quotes of its own that it mostly moves; ids above a million."""
        account = self.account()
        bid_id = 1_000_000 + 10 * account + 2 * self.dice.randint(0, 1)
        ask_id = bid_id + 1
        for order_id in (bid_id, ask_id):
            if (order_id, account, "limit") not in self.recent[-20:]:
                self.recent.append((order_id, account, "limit"))
                self.recent = self.recent[-60:]
        bid = self.price("bid")
        ask = bid + self.dice.choice((1, 2, 2, 3, 4)) * self.rules.tick if self.chance(0.95) else self.price("ask")
        made: dict[str, Any] = {
            "account": account,
            "order_id": bid_id,
            "price": bid,
            "size": 0 if self.chance(0.12) else self.size(),
            "link": ask_id,
            "trigger": ask,
            "display": 0 if self.chance(0.12) else self.size(),
            "time_in_force": self.dice.choice(("gtc", "gtc", "gtc", "day", "gtd")),
        }
        if made["time_in_force"] == "gtd":
            made["expires"] = self.clock + self.dice.choice((0 if self.chance(0.2) else 5, 20, 40, 80, 160))
        if self.chance(0.4):
            made["self_trade"] = self.pick(SELF_TRADES)
        if self.chance(0.2):
            made["post_only"] = self.dice.choice(("reject", "slide"))
        if self.chance(0.03):
            field = self.dice.choice(("order_id", "link", "price", "trigger", "size", "display", "time_in_force"))
            other = self.dice.choice(self.recent)[0]
            wrong: dict[str, Any] = {"order_id": other, "link": other, "time_in_force": "ioc"}
            made[field] = wrong.get(field)
        return made
