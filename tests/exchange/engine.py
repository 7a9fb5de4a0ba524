"""`xb.Exchange` as an engine of a campaign: commands in columns, or one call each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import polars as pl

import crossbook as xb

from .reference import STOPS, Execution, Indicative, Live, Quote, Rules

TEXTS = ("action", "side", "order_type", "time_in_force", "self_trade", "post_only", "state")
NUMBERS = ("order_id", "price", "size", "account", "ts", "trigger", "display", "expires", "link")
SCHEMA = dict.fromkeys(TEXTS, pl.String) | dict.fromkeys(NUMBERS, pl.Int64) | {"one_side": pl.Boolean}
NEW = ("order_type", "time_in_force", "account", "trigger", "display", "expires", "link", "self_trade", "post_only")


def native(rules: Rules) -> xb.Rules:
    """The rules as the exchange takes them."""
    priority = rules.priority
    return xb.Rules(
        tick=rules.tick,
        lot=rules.lot,
        min_size=rules.min_size,
        max_size=rules.max_size,
        max_notional=rules.max_notional,
        collar=rules.collar,
        band=rules.band,
        halt_for=rules.halt_for,
        reference=rules.reference,
        priority="price_time"
        if priority is None
        else xb.ProRata(top_order=priority.top_order, top_max=priority.top_max, min_allocation=priority.min_allocation),
        state=rules.state,  # type: ignore[arg-type]
        accounts={account.id: account.tier for account in rules.accounts},
        tiers=[xb.Tier(maker=tier.maker, taker=tier.taker, auction=tier.auction) for tier in rules.tiers],
        rate=rules.rate,
        rate_window=rules.rate_window,
    )


def said(row: Sequence[Any]) -> Execution:
    """An execution from its columns: in place of None what the reference has there."""
    sequence, kind, reason, order, counter, account, other, side, price, size, remaining, fee, counter_fee, state = row
    return Execution(
        *(sequence, kind, reason or "none", order or 0, counter or 0, account, other or 0),
        *(side, price, size, remaining, fee or 0, counter_fee or 0, state or "continuous"),
    )


class Calls:
    """One call a command."""

    def __init__(self, rules: Rules) -> None:
        self.exchange = xb.Exchange(rules=native(rules))

    @property
    def state(self) -> str:
        return self.exchange.state

    @property
    def last(self) -> int | None:
        return self.exchange.last

    def apply(self, command: Mapping[str, Any], /) -> list[Execution]:
        found = self._call(command)
        if found is None:
            rows = self.exchange.run(pl.DataFrame([command], schema_overrides=SCHEMA)).rows()
        else:
            rows = [tuple(execution.as_dict().values()) for execution in found]
        return [said(row) for row in rows]

    def _call(self, command: Mapping[str, Any]) -> list[xb.Execution] | None:
        """None: no call says this (a price of a quote left out, a clock without a time)."""
        c = {key: value for key, value in command.items() if value is not None}
        exchange, ts, account = self.exchange, c.get("ts"), c.get("account", 0)
        match c["action"]:
            case "new":
                given = {key: c[key] for key in NEW if key in c}
                # Missing is 0, as in columns: a size is no size then.
                return exchange.submit(c["order_id"], c["side"], c.get("size", 0), c.get("price"), ts=ts, **given)
            case "cancel":
                return exchange.cancel(c["order_id"], account=account, ts=ts)
            case "modify" | "replace":
                change = exchange.modify if c["action"] == "modify" else exchange.replace
                given = {key: c[key] for key in ("price", "size", "trigger", "display") if key in c}
                return change(c["order_id"], account=account, ts=ts, **given)
            case "quote" if {"order_id", "price", "size", "link", "trigger", "display"} <= c.keys():
                given = {key: c[key] for key in ("time_in_force", "expires", "self_trade", "post_only") if key in c}
                bid, ask = (c["order_id"], c["price"], c["size"]), (c["link"], c["trigger"], c["display"])
                return exchange.set_quote(account, bid, ask, ts=ts, **given)
            case "mass_cancel":
                return exchange.mass_cancel(account, c["side"] if c.get("one_side") else None, ts=ts)
            case "kill":
                return exchange.kill(account, ts=ts)
            case "revive":
                return exchange.revive(account, ts=ts)
            case "state":
                return exchange.set_state(c["state"], ts=ts)
            case "clock" if ts is not None:
                return exchange.set_clock(ts)
        return None

    def orders(self) -> list[Live]:
        """Where a stop waits is all that is told of its trigger."""
        return [
            Live(
                *(row["order_id"], row["account"], row["side"], row["order_type"], row["time_in_force"]),
                *(row["price"], row["shown"], row["open"]),
                stop=row["trigger"] if row["order_type"] in STOPS else None,
                trigger=row["trigger"],
                link=row["link"] or 0,
                where="book" if row["rests"] else "waiting",
            )
            for row in self.exchange.orders().iter_rows(named=True)
        ]

    def quote(self) -> Quote:
        bid, bid_size, ask, ask_size = self.exchange.quote
        return Quote(bid if bid_size else None, bid_size, ask if ask_size else None, ask_size)

    def indicative(self) -> Indicative | None:
        found = self.exchange.indicative()
        return None if found is None else Indicative(*found)


class Columns(Calls):
    """Many commands a call."""

    def apply(self, command: Mapping[str, Any], /) -> list[Execution]:
        return self.run([command])[0]

    def run(self, commands: Sequence[Mapping[str, Any]], /) -> list[list[Execution]]:
        columns = {name: [command.get(name) for command in commands] for name in SCHEMA}
        first = self.exchange.sequence + 1
        rows = map(said, self.exchange.run(pl.DataFrame(columns, schema=SCHEMA)).iter_rows())
        answers: list[list[Execution]] = [[] for _ in commands]
        for sequence, executions in groupby(rows, key=lambda execution: execution.sequence):
            answers[sequence - first] += executions
        return answers
