"""A run without sockets: the exchange and the engine's session, face to face, in virtual time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crossbook import _core
from crossbook.fakex.dialects import EXCHANGES
from crossbook.fakex.faults import Injection, Plan, Tamper, crossing, traits_of
from crossbook.fakex.venue import SECOND, Response

from .oracle import Gap, Mirrors, judge_gaps

if TYPE_CHECKING:
    from crossbook import Tape
    from crossbook._core import Instrument
    from crossbook.fakex.venue import Connection

START = 1_787_612_486_096_000_000
MS = 1_000_000


@dataclass(slots=True)
class Result:
    plan: Plan
    problems: list[str]
    injections: list[Injection]
    gaps: list[Gap]
    frames: int = 0
    wanted: int = 0
    found: int = 0
    checked: int = 0
    events: int = 0
    calls: list[tuple[str, int, object]] = field(default_factory=list)
    tapes: list[Tape] = field(default_factory=list)


def instruments_of(exchange: object, protocol: str) -> list[Instrument]:
    """Read the exchange's own list, as a client does."""
    facts = next(one for one in _core.protocols() if one["name"] == protocol)
    found: list[Instrument] = []
    for path in facts["instruments_paths"]:
        method, target, body = ("GET", path, "")
        if path.startswith("POST "):
            method, target, body = path.split(" ", 2)
        answer = exchange.rest(method, target, body, START)  # type: ignore[attr-defined]
        assert answer.status == 200, (path, answer)
        found += _core.list_instruments(protocol, answer.body.encode())
    return found


class Run:
    """One plan."""

    def __init__(self, plan: Plan, *, keep: bool = False) -> None:
        self.plan = plan
        self.rng = random.Random(f"run {plan.seed}")
        self.exchange = EXCHANGES[plan.exchange](plan.seed, now=START)
        self.traits = traits_of(plan.exchange)
        self.symbol = self.exchange.listed[plan.symbol].symbol
        self.instruments = instruments_of(self.exchange, self.exchange.protocol)
        listed = {one.symbol for one in self.exchange.listed}
        assert {one.symbol for one in self.instruments} == listed, (self.instruments, listed)
        facts = next(one for one in _core.protocols() if one["name"] == self.exchange.protocol)
        self.depth = facts["depth"]
        self.session = _core.Session(self.exchange.protocol, self.instruments)
        self.now = START
        self.injections: list[Injection] = []
        self.tamper = Tamper(self.exchange, plan.exchange, self.rng, self.injections)
        self.connection: Connection | None = None
        self.fetches: list[tuple[int, int, Response]] = []
        self.reopen_at = START
        self.quiet = False
        self.frames = 0
        self.events = 0
        self.calls: list[tuple[str, int, object]] = []
        self.keep = keep
        self.tapes: list[Tape] = []
        self.second = START

    # The session's calls, remembered so that they can be made again.

    def call(self, name: str, now: int, *more: object) -> None:
        if self.keep:
            self.calls.append((name, now, more))
        if name == "snapshot_failed":
            self.session.snapshot_failed(*more)
        else:
            getattr(self.session, name)(now, *more)
        self.obey()
        tape = self.session.take()
        if tape is not None:
            self.tapes.append(tape)

    def obey(self) -> None:
        for kind, what in self.session.commands():
            if kind == "send":
                assert self.connection is not None
                self.connection.receive(what, self.now)
            elif kind == "fetch":
                path = self.session.snapshot_path(what)
                response = self.exchange.rest("GET", path, "", self.now)
                late = self.now + int((response.delay + self.rng.uniform(0.02, 0.4)) * SECOND)
                self.fetches.append((late, what, response))
            elif self.connection is not None:
                self.drop_connection()

    def drop_connection(self) -> None:
        assert self.connection is not None
        self.exchange.leave(self.connection)
        self.connection = None
        self.tamper.muted = ""
        self.tamper.holding = False
        self.fetches.clear()
        self.reopen_at = self.now + 250 * MS
        self.call("closed", self.now)

    def connect(self) -> None:
        self.connection = self.exchange.connect("/stream", self.now)
        if self.plan.fault == "corrupt-id":
            aged(self.connection)
        self.call("opened", self.now)

    # Time.

    def step(self) -> None:
        self.now += self.rng.randrange(20, 90) * MS
        if self.connection is None and self.now >= self.reopen_at:
            self.connect()
        if not self.quiet:
            self.exchange.step(self.now)
        if self.now - self.second >= SECOND:
            self.second = self.now
            self.exchange.on_time(self.now)
            self.call("tick", self.now)
        self.pump()
        for due in [one for one in self.fetches if one[0] <= self.now]:
            self.fetches.remove(due)
            _, index, response = due
            if response.status == 200:
                self.call("snapshot", self.now, index, response.body.encode())
            else:
                self.call("snapshot_failed", self.now, index)
        if self.connection is not None and self.connection.close is not None:
            self.drop_connection()

    def pump(self) -> None:
        connection = self.connection
        if connection is None:
            return
        texts = self.tamper.passes(connection, self.now)
        if texts:
            self.frames += len(texts)
            self.call("frames", self.now, [text.encode() for text in texts])

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.step()

    def until(self, done: object, seconds: float, what: str) -> None:
        end = self.now + int(seconds * SECOND)
        while not done():  # type: ignore[operator]
            if self.now > end:
                raise AssertionError(f"{what} did not come within {seconds} s")
            self.step()

    def trade(self) -> None:
        """Let every symbol trade once: a hole in the ids of trades shows between two of them."""
        for index in self.known:
            self.exchange.trade_now(self.instruments[index].symbol, self.now)

    @property
    def known(self) -> list[int]:
        return [i for i, one in enumerate(self.instruments) if self.exchange.knows(one.symbol)]

    def synced(self) -> bool:
        return self.connection is not None and all(self.session.is_synced(i) for i in self.known)

    # The plan.

    def run(self) -> Result:
        plan, exchange = self.plan, self.exchange
        problems: list[str] = []
        try:
            self.prepare()
            self.connect()
            self.until(self.synced, 120, "the first books")
            self.trade()
            self.steps(30)
            for _ in range(plan.count if plan.fault not in ("none", "refused", "big-snapshot") else 1):
                self.inject()
                self.until(lambda: not self.tamper.busy, 400, "the end of the fault")
                self.steps(12)
                self.until(self.synced, 200, "good books after the fault")
                self.steps(25)
            self.steps(30)
            self.trade()
            self.steps(2)
            self.until(self.synced, 200, "good books at the end")
            self.quiet = True
            self.steps(4)
        except AssertionError as error:
            problems.append(str(error))
        gaps = [
            Gap(self.instruments[row["instrument"]].symbol, row["cause"], row["unit"], row["ours"], row["from"])
            for row in self.session.gaps()
        ]
        more, wanted, found = judge_gaps(self.injections, gaps, slack=0)
        problems += more
        mirrors = Mirrors(exchange, self.instruments, self.injections, self.depth, dense=self.traits.rest)
        for tape in self.tapes:
            mirrors.feed(tape)
            self.events += len(tape)
        for mirror in mirrors.all:
            symbol = mirror.listing.symbol
            mirror.problems += mirror.trades_and_quotes(exchange.made[symbol], exchange.bests[symbol])
            problems += [f"{symbol}: {one}" for one in mirror.problems]
            if exchange.knows(mirror.listing.symbol) and not problems:
                differ = mirror.differences(exchange.book(mirror.listing.symbol))
                if differ and not mirror.blinds:
                    problems.append(f"{mirror.listing.symbol} at the end: {'; '.join(differ[:6])}")
        problems += budget(exchange)
        checked = sum(mirror.checked for mirror in mirrors.all)
        if not checked:
            problems.append("no book was held against the truth")
        return Result(
            plan,
            problems,
            self.injections,
            gaps,
            self.frames,
            wanted,
            found,
            checked,
            self.events,
            self.calls,
            self.tapes,
        )

    def prepare(self) -> None:
        plan, exchange = self.plan, self.exchange
        if plan.fault == "refused":
            exchange.refused.add(self.symbol)
        elif plan.fault == "big-snapshot":
            grow(exchange, self.symbol)

    def inject(self) -> None:
        plan, exchange, tamper = self.plan, self.exchange, self.tamper
        everybody = frozenset(self.instruments[i].symbol for i in self.known)
        fault, mine = plan.fault, frozenset({self.symbol})
        assert self.connection is not None
        if fault in ("none", "refused", "big-snapshot"):
            pass
        elif fault == "burst":
            tamper.holding = True
            self.steps(10 * plan.size)
            tamper.holding = False
        elif fault == "acknowledgement":
            assert self.connection.acknowledge(self.now)
        elif fault == "unsolicited":
            self.connection.unsolicited(self.symbol, self.now)
        elif fault == "sequence-reset":
            exchange.reset_ids(self.symbol, self.now)
        elif fault == "unknown-level":
            exchange.delete_unknown(self.symbol, self.now)
        elif fault == "crossed":
            level = crossing(exchange, self.symbol)
            market = exchange.markets[self.symbol]
            if self.traits.crosses:
                tamper.note(Injection(fault, self.now, "yes", must=mine))
                exchange.tell(market, [level], self.now)
            else:
                market.set(level)
                exchange.publish(market, [level], None, self.now)
                self.pump()
                gone = level[0], level[1], 0
                market.set(gone)
                exchange.publish(market, [gone], None, self.now)
        elif fault == "keep-alive":
            self.quiet = True
            end = self.now + (45 if plan.exchange.startswith("binance") else 150) * SECOND
            while self.now < end:
                self.step()
            self.quiet = False
        elif fault == "silence":
            tamper.note(Injection(fault, self.now, "yes", must=everybody, may_trades=everybody))
            tamper.muted = "all"
            was = self.connection
            self.until(lambda: self.connection is not was, 200, "a new connection")
        elif fault == "lost":
            tamper.note(Injection(fault, self.now, "yes", must=everybody, may_trades=everybody))
            self.drop_connection()
        elif fault.startswith("rest-"):
            if fault == "rest-new":
                # The stream lags behind REST.
                plan_drop = Plan(plan.seed, plan.exchange, "drop", 1, plan.symbol, 1, 0)
                tamper.start("drop", plan_drop, self.symbol)
                self.until(lambda: (not tamper.busy and bool(self.fetches)) or self.unlinked(), 60, "a loss")
                tamper.holding = True
                self.steps(15)
                tamper.holding = False
                return
            what = {"rest-old": "old", "rest-late": "late", "rest-429": exchange.limited(5)}[fault]
            exchange.rest_plan.extend([what] * (plan.size if fault != "rest-late" else 1))
            tamper.start("drop", Plan(plan.seed, plan.exchange, "drop", 1, plan.symbol, 1, 0), self.symbol)
            if self.unlinked():
                # Nothing tells of a loss here: only a new connection needs a snapshot.
                self.until(lambda: not tamper.busy, 60, "a loss")
                tamper.note(Injection("lost", self.now, "yes", must=everybody, may_trades=everybody))
                self.drop_connection()
        else:
            tamper.start(fault, plan, self.symbol)
            if fault == "trade-order":
                for _ in range(2):
                    exchange.trade_now(self.symbol, self.now)

    def unlinked(self) -> bool:
        return not self.traits.links


def grow(exchange: object, symbol: str) -> None:
    """Fill a market's book with so many far levels that its snapshot has 5 MB."""
    orders = getattr(exchange, "orders", None)
    if orders is not None:
        from crossbook.fakex.truth import Order

        market = orders[symbol]
        for i in range(50_000):
            side = i % 2
            away = 2000 + i
            price = max((market.mid - away) if side == 0 else market.mid + away, 1) * market.listing.tick
            market.orders[10 + i] = Order(10 + i, side, price, 1000 + i)
        return
    market = exchange.markets[symbol]  # type: ignore[attr-defined]
    market.LEVELS = 10**9
    for i in range(22_000):
        for side in (0, 1):
            price = (market.mid - 2000 - i if side == 0 else market.mid + 2000 + i) * market.listing.tick
            if price > 0:
                market.book[side][price] = 1000 + i


def aged(connection: Connection) -> None:
    """Let a connection that counts its frames have counted millions, as it has after a day."""
    if hasattr(connection, "counter"):
        connection.counter = 4_123_456


def budget(exchange: object) -> list[str]:
    """Hold the requests against what the venue allows in any minute."""
    requests = exchange.requests  # type: ignore[attr-defined]
    allowed = exchange.budget  # type: ignore[attr-defined]
    worst = 0
    for last in requests:
        worst = max(worst, sum(one.weight for one in requests if last.time - 60 * SECOND < one.time <= last.time))
    return [f"REST cost {worst} within a minute where {allowed} are allowed"] if worst > allowed else []


def run(plan: Plan, *, keep: bool = False) -> Result:
    """Carry out a plan."""
    return Run(plan, keep=keep).run()
