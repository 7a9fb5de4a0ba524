"""Does to a server what a plan says: the faults that are more than altered frames."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from crossbook.fakex.faults import Injection, Plan, crossing, traits_of
from crossbook.fakex.venue import SECOND

if TYPE_CHECKING:
    from crossbook.fakex.server import Link, Server
    from crossbook.fakex.venue import Response

__all__ = ["Mischief"]

QUIET = {"binance-spot": 45, "binance-usdm": 45, "binance-coinm": 45}
"""Seconds without any message that a client of these bears: they send no heartbeats."""
LONG_QUIET = 150
BEFORE = ("none", "refused", "big-snapshot", "handshake-slow")
"""Faults that are there from the start."""
ENDS = ("silence", "half-open", "lost", "reset", "close-1001", "close-1012", "cut-24h")
"""Faults that end the connection."""


class Mischief:
    """One plan's faults, one at a time."""

    def __init__(self, server: Server, plan: Plan) -> None:
        self.server = server
        self.plan = plan
        self.exchange = server.exchange
        self.traits = traits_of(plan.exchange)
        self.symbol = self.exchange.listed[plan.symbol].symbol

    @property
    def everybody(self) -> frozenset[str]:
        """The symbols that can be subscribed."""
        return frozenset(one.symbol for one in self.exchange.listed if self.exchange.knows(one.symbol))

    def note(self, must: frozenset[str]) -> None:
        """Remember what was done."""
        everybody = self.everybody
        now = self.server.clock.now()
        self.server.injections.append(Injection(self.plan.fault, now, "yes", must=must, may_trades=everybody))

    async def steps(self, count: int) -> None:
        """Let the markets move so often."""
        end = self.server.steps + count
        while self.server.steps < end:
            await self.server.clock.sleep(self.server.step / 2)

    def prepare(self) -> None:
        """Do what must be done before a client comes."""
        fault = self.plan.fault
        if fault == "refused":
            self.exchange.refused.add(self.symbol)
        elif fault == "handshake-slow":
            self.server.slow = 3.0

    async def act(self, link: Link) -> None:
        """Do it once to this client. What frames are altered for it comes with the next ones."""
        plan, fault = self.plan, self.plan.fault
        if fault in BEFORE:
            return
        if fault in ENDS:
            await self._end(link)
        elif fault == "silence-beats":
            self.note(self.everybody)
            for subscribed in (link.connection.books, link.connection.trades, link.connection.quotes):
                subscribed.clear()
        elif fault.startswith("handshake-"):
            status = int(fault.removeprefix("handshake-"))
            after = 0.0 if status == 403 else float(2 + plan.size)
            self.server.refusals.extend([(status, after)] * (1 + plan.variant % 3))
            self.note(self.everybody)
            link.wire.abort()
        elif fault in ("fragment-tcp", "fragment-ws", "coalesce"):
            if fault == "fragment-tcp":
                link.wire.segment = 1 + plan.variant % 97
            elif fault == "fragment-ws":
                link.wire.fragment = 1 + plan.variant % 97
            else:
                link.together = 16 * plan.size
            await self.steps(40)
            link.wire.segment = link.wire.fragment = link.together = 0
        elif fault == "burst":
            link.tamper.holding = True
            await self.steps(10 * plan.size)
            link.tamper.holding = False
        elif fault == "keep-alive":
            self.server.quiet = True
            await self.server.clock.sleep(QUIET.get(plan.exchange, LONG_QUIET))
            self.server.quiet = False
        elif fault.startswith("rest-"):
            await self._rest(link)
        else:
            self.say(link)

    def say(self, link: Link) -> None:
        """Send, or alter, what this fault says, now."""
        plan, exchange, fault = self.plan, self.exchange, self.plan.fault
        now = self.server.clock.now()
        if fault == "acknowledgement":
            link.connection.acknowledge(now)
        elif fault == "unsolicited":
            link.connection.unsolicited(self.symbol, now)
        elif fault == "sequence-reset":
            exchange.reset_ids(self.symbol, now)
        elif fault == "unknown-level":
            exchange.delete_unknown(self.symbol, now)
        elif fault == "crossed":
            level, market = crossing(exchange, self.symbol), exchange.markets[self.symbol]
            if self.traits.crosses:
                # The venue says a level and never takes it back.
                self.note(frozenset({self.symbol}))
                exchange.tell(market, [level], now)
                return
            for one in (level, (level[0], level[1], 0)):
                market.set(one)
                exchange.publish(market, [one], None, now)
        else:
            link.tamper.start(fault, plan, self.symbol)
            if fault == "trade-order":
                # Two at once, so that they are neighbours.
                for _ in range(2):
                    exchange.trade_now(self.symbol, now)

    async def _end(self, link: Link) -> None:
        fault = self.plan.fault
        self.note(self.everybody)
        if fault == "silence":
            link.tamper.muted = "all"
        elif fault == "half-open":
            link.wire.freeze()
        elif fault == "lost":
            link.wire.abort()
        elif fault == "reset":
            link.wire.reset()
        elif fault == "cut-24h":
            if link.connection.announce_close(self.server.clock.now()):
                self.server.pump()
                await self.server.clock.sleep(0.5)
            if link in self.server.links:
                link.connection.close = (1008, "24 hours")
        else:
            link.connection.close = (int(fault.removeprefix("close-")), "")

    async def _rest(self, link: Link) -> None:
        """Make the client need a snapshot, and let that go wrong."""
        plan, exchange, fault = self.plan, self.exchange, self.plan.fault
        if fault != "rest-new":
            known: dict[str, Response | str] = {"rest-old": "old", "rest-late": "late", "rest-429": exchange.limited(5)}
            what = known[fault]
            exchange.rest_plan.extend([what] * (plan.size if fault != "rest-late" else 1))
        before = len(exchange.requests)
        link.tamper.start("drop", replace(plan, fault="drop", count=1, size=1, variant=0), self.symbol)
        if self.traits.links:
            end = self.server.clock.now() + 60 * SECOND
            while len(exchange.requests) == before and self.server.clock.now() < end:
                await self.steps(1)
        else:
            # Nothing tells of a loss here: only a new connection needs a snapshot.
            while link.tamper.busy and link in self.server.links:
                await self.steps(1)
            self.note(self.everybody)
            link.wire.abort()
            while not self.server.links or self.server.links[-1] is link:
                await self.steps(1)
            link = self.server.links[-1]
        if fault == "rest-new":
            # The stream lags behind REST.
            link.tamper.holding = True
            await self.steps(15)
            link.tamper.holding = False
