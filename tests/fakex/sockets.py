"""A run through real sockets: the fake exchange serves, `crossbook.feeds.stream` is the client, both in one loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from crossbook import _core
from crossbook.fakex.dialects import EXCHANGES
from crossbook.fakex.faults import Plan, traits_of
from crossbook.fakex.mischief import BEFORE, ENDS, Mischief
from crossbook.fakex.server import Attempt, Link, Server
from crossbook.fakex.venue import SECOND
from crossbook.feeds import stream

from .inprocess import Result, aged, budget, grow, instruments_of
from .oracle import Gap, Mirrors, judge_gaps

if TYPE_CHECKING:
    from pathlib import Path

    from crossbook import Tape
    from crossbook.feeds import Clock, Stream

PATIENCE = 400.0
"""So many seconds of the clock an exchange may take to be right again: waits of 30 s and more are among its faults."""


class SocketRun:
    """One plan."""

    def __init__(self, plan: Plan, clock: Clock, *, record: Path | None = None) -> None:
        self.plan = plan
        self.clock = clock
        self.record = record
        self.exchange = EXCHANGES[plan.exchange](plan.seed, now=clock.now())
        self.traits = traits_of(plan.exchange)
        self.symbol = self.exchange.listed[plan.symbol].symbol
        protocol = self.exchange.protocol
        self.instruments = instruments_of(self.exchange, protocol)
        self.depth = next(one["depth"] for one in _core.protocols() if one["name"] == protocol)
        self.server = Server(self.exchange, plan.exchange, clock=clock, seed=plan.seed, keep=record is not None)
        self.injections = self.server.injections
        self.mischief = Mischief(self.server, plan)
        self.tapes: list[Tape] = []
        self.problems: list[str] = []
        self.live: Stream

    # Looking.

    @property
    def everybody(self) -> frozenset[str]:
        return frozenset(one.symbol for one in self.instruments if self.exchange.knows(one.symbol))

    @property
    def link(self) -> Link:
        return self.server.links[-1]

    def synced(self) -> bool:
        connections = self.live.connections
        return all(one.is_open for one in connections) and all(
            one.session.is_synced(index)
            for one in connections
            for index in one.indices
            if self.exchange.knows(self.instruments[index].symbol)
        )

    async def until(self, done: object, what: str, seconds: float = PATIENCE) -> None:
        end = self.clock.now() + seconds * SECOND
        while not done():  # type: ignore[operator]
            if self.clock.now() > end:
                raise AssertionError(f"{what} did not come within {seconds} s")
            if self.live.error is not None:
                raise AssertionError(f"the stream broke: {self.live.error}")
            await self.clock.sleep(0.05)

    async def steps(self, count: int) -> None:
        end = self.server.steps + count
        await self.until(lambda: self.server.steps >= end, f"{count} steps")

    async def read(self) -> None:
        async for tape in self.live:
            self.tapes.append(tape)

    # The plan.

    async def run(self) -> Result:
        plan, exchange = self.plan, self.exchange
        self.mischief.prepare()
        if plan.fault == "big-snapshot":
            grow(exchange, self.symbol)
        elif plan.fault == "corrupt-id":
            self.server.on_link = lambda link: aged(link.connection)
        async with self.server as server:
            self.live = stream(
                instruments=self.instruments,
                addresses={exchange.venue: (server.ws, server.rest)},
                protocols={exchange.venue: exchange.protocol},
                clock=self.clock,
                seed=plan.seed,
                record=self.record,
            )
            async with self.live:
                reader = asyncio.create_task(self.read())
                try:
                    await self.carry_out()
                except AssertionError as error:
                    self.problems.append(str(error))
                server.quiet = True
                # What was sent last arrives before the next second.
                await self.clock.sleep(1.0)
                gaps = self.gaps()
                self.look()
            await reader
        return self.judge(gaps)

    async def carry_out(self) -> None:
        plan = self.plan
        await self.until(self.synced, "the first books")
        self.trade()
        await self.steps(30)
        for _ in range(1 if plan.fault in BEFORE else plan.count):
            await self.inject()
            await self.until(lambda: not any(one.tamper.busy for one in self.server.links), "the end of the fault")
            await self.steps(12)
            await self.until(self.synced, "good books after the fault")
            await self.steps(25)
        await self.steps(30)
        self.trade()
        await self.steps(2)
        await self.until(self.synced, "good books at the end")

    def trade(self) -> None:
        """Let every symbol trade once: a hole in the ids of trades shows between two of them."""
        for symbol in sorted(self.everybody):
            self.exchange.trade_now(symbol, self.clock.now())

    async def gone(self, link: Link) -> None:
        """Wait for another connection than this."""
        await self.until(lambda: bool(self.server.links) and self.server.links[-1] is not link, "a new connection")

    async def inject(self) -> None:
        fault, link, server = self.plan.fault, self.link, self.server
        first = len(server.attempts)
        await self.mischief.act(link)
        if fault in ENDS:
            await self.gone(link)
        elif fault == "silence-beats":
            await self.silence_beats(link)
        elif fault in ("handshake-429", "handshake-503", "handshake-403"):
            await self.gone(link)
            self.handshakes(server.attempts[first:])

    async def silence_beats(self, link: Link) -> None:
        """The client must call silent what has nothing but heartbeats; then the venue closes the connection."""
        end = self.clock.now() + 60 * SECOND
        stale: set[str] = set()
        while self.clock.now() < end and link in self.server.links and not stale >= self.everybody:
            await self.clock.sleep(1.0)
            health = self.live.health()
            stale = set(health.filter(health["stale"])["symbol"].to_list())
        if not stale >= self.everybody and link in self.server.links:
            self.problems.append(f"silent for 60 s behind heartbeats, yet only {sorted(stale)} are called stale")
        link.wire.abort()
        await self.gone(link)

    def handshakes(self, attempts: Sequence[Attempt]) -> None:
        """Who is asked to wait must wait."""
        refused = 1 + self.plan.variant % 3
        if len(attempts) != refused + 1:
            self.problems.append(f"{len(attempts)} handshakes where {refused} were refused")
        for before, then in pairwise(attempts):
            waited = (then.time - before.time) / SECOND
            if waited < before.retry_after - 0.001:
                self.problems.append(f"came back after {waited:.3f} s where {before.retry_after} were asked")

    # The judgement.

    def gaps(self) -> list[Gap]:
        return [
            Gap(self.instruments[row["instrument"]].symbol, row["cause"], row["unit"], row["ours"], row["from"])
            for connection in self.live.connections
            for row in connection.session.gaps()
        ]

    def look(self) -> None:
        """Compare what the client says of itself, while it is still there."""
        health = self.live.health()
        if not any(one.is_open for one in self.live.connections):
            self.problems.append("no connection is open at the end")
        synced = {row["symbol"]: row["synced"] for row in health.to_dicts()}
        for symbol in self.everybody:
            if not synced[symbol]:
                self.problems.append(f"{symbol} is not synchronised at the end")

    def judge(self, gaps: list[Gap]) -> Result:
        plan, exchange = self.plan, self.exchange
        # The streams of a client that closes are lost to it as to any other.
        problems, wanted, found = judge_gaps(self.injections, gaps, slack=SECOND // 100)
        problems = self.problems + problems
        mirrors = Mirrors(exchange, self.instruments, self.injections, self.depth, dense=self.traits.rest)
        events = 0
        for tape in self.tapes:
            mirrors.feed(tape)
            events += len(tape)
        for mirror in mirrors.all:
            symbol = mirror.listing.symbol
            mirror.problems += mirror.trades_and_quotes(exchange.made[symbol], exchange.bests[symbol])
            problems += [f"{symbol}: {one}" for one in mirror.problems]
            if exchange.knows(mirror.listing.symbol) and not problems and not mirror.blinds:
                differ = mirror.differences(exchange.book(mirror.listing.symbol))
                if differ:
                    problems.append(f"{mirror.listing.symbol} at the end: {'; '.join(differ[:6])}")
        problems += budget(exchange)
        checked = sum(mirror.checked for mirror in mirrors.all)
        if not checked:
            problems.append("no book was held against the truth")
        frames = sum(connection.totals.frames for connection in self.live.connections)
        return Result(plan, problems, self.injections, gaps, frames, wanted, found, checked, events)


async def run(plan: Plan, clock: Clock, *, record: Path | None = None) -> Result:
    """Carry out a plan through sockets."""
    logging.getLogger("crossbook").setLevel(logging.ERROR)
    return await SocketRun(plan, clock, record=record).run()
