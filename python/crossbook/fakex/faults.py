"""What can go wrong, chosen by a seed: a plan names the fault, a `Tamper` works it into one connection's frames.

Every injection says whose data it takes, and whether the venue's rules let a client see that: ``yes`` (a gap must be
marked), ``maybe`` (only where the book comes out different, or a number is none), ``no`` (nothing tells: the levels
that it spoils are named instead).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from crossbook.fakex.dialects import EXCHANGES
from crossbook.fakex.truth import ASK, BID, top

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from crossbook.fakex.truth import Level
    from crossbook.fakex.venue import Connection, Exchange, Frame

__all__ = ["FAULTS", "Injection", "Plan", "Tamper", "Traits", "faults_of", "plan", "traits_of"]

Seen = Literal["yes", "maybe", "no"]


@dataclass(frozen=True, slots=True)
class Traits:
    """What lets a client of a venue see that something is missing."""

    links: Literal["", "range", "chain", "count"] = ""
    """How the book's messages are linked: ranges of ids, a chain, a count; or not at all."""
    counts_frames: bool = False
    counts_trades: bool = False
    checksum: int = 0
    """How many levels of each side a checksum covers."""
    every: bool = False
    """Every message is the whole book."""
    rest: bool = False
    """Snapshots come by REST."""
    crosses: bool = False
    """A crossed book means that the venue did not retract levels."""


TRAITS = {
    "binance-spot": Traits(links="range", counts_trades=True, rest=True),
    "binance-usdm": Traits(links="chain", counts_trades=True, rest=True),
    "binance-coinm": Traits(links="chain", counts_trades=True, rest=True),
    "coinbase": Traits(counts_frames=True, counts_trades=True),
    "kraken": Traits(checksum=10, counts_trades=True),
    "okx": Traits(links="chain"),
    "bybit-spot": Traits(links="count"),
    "bybit-linear": Traits(links="count"),
    "deribit": Traits(links="chain", counts_trades=True),
    "hyperliquid": Traits(every=True),
    "gate": Traits(links="range"),
    "bitfinex": Traits(counts_frames=True, checksum=25),
    "bitstamp-diff": Traits(rest=True, crosses=True),
    "bitstamp-orders": Traits(links="chain", rest=True),
}


def traits_of(name: str) -> Traits:
    """Give the traits of a fake exchange."""
    return TRAITS[name]


@dataclass(slots=True)
class Injection:
    """One thing that was done to a connection, and what a client may and must make of it."""

    fault: str
    time: int
    """Our clock when it was done."""
    seen: Seen
    must: frozenset[str] = frozenset()
    """Symbols whose books must show a gap."""
    may: frozenset[str] = frozenset()
    """Symbols whose books may."""
    trades: frozenset[str] = frozenset()
    """Symbols whose trades must show a gap."""
    may_trades: frozenset[str] = frozenset()
    taint: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    """Levels (side, price) that a client may have wrong until the next snapshot or until they change."""
    blind: frozenset[str] = frozenset()
    """Symbols whose ids are not to be believed until the next snapshot."""
    event: int = 0
    """The exchange's clock at the message that was spoilt."""
    most: int = 1
    """So many gaps of one symbol it may cause."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run does: a seed decides all of it."""

    seed: int
    exchange: str
    fault: str
    count: int
    """How often."""
    symbol: int
    """Which of the exchange's symbols, by place."""
    size: int
    """How much of it: frames, steps, seconds, by fault."""
    variant: int
    """Which kind of it."""


# Name, and for which exchanges: a predicate over name and traits.
Applies = "Callable[[str, Traits], bool]"


def _all(name: str, traits: Traits) -> bool:
    return True


def _rest(name: str, traits: Traits) -> bool:
    return traits.rest


def _stream(name: str, traits: Traits) -> bool:
    return not traits.rest


FAULTS: dict[str, tuple[str, Callable[[str, Traits], bool], bool]] = {
    # fault: (what it is, where it applies, whether it needs a socket)
    "none": ("nothing", _all, False),
    "drop": ("1 to 3 frames in a row are lost", _all, False),
    "drop-snapshot": (
        "a frame is lost, then the snapshot that was asked for",
        lambda name, traits: not traits.rest and not traits.every,
        False,
    ),
    "duplicate": ("a frame comes twice", _all, False),
    "reorder": ("a frame comes up to 5 frames late", _all, False),
    "truncate": ("a frame is cut short", _all, False),
    "corrupt-price": ("a digit of a price is another", _all, False),
    "corrupt-size": ("a digit of a size is another", _all, False),
    "corrupt-id": ("a digit of an id is another", lambda name, traits: not traits.every, False),
    "trade-order": ("two trades change places", _all, False),
    "burst": ("frames are held back and come at once", _all, False),
    "acknowledgement": ("an acknowledgement comes between data", _all, False),
    "unsolicited": ("a snapshot comes that nobody asked for", _stream, False),
    "sequence-reset": (
        "ids begin anew, as this venue does it",
        lambda name, traits: name.startswith(("okx", "bybit", "gate")),
        False,
    ),
    "crossed": ("the book crosses", lambda name, traits: name != "bitstamp-orders", False),
    "unknown-level": ("a level is removed that nobody has", lambda name, traits: not traits.every, False),
    "refused": ("one symbol of several is refused", _all, False),
    "keep-alive": ("nothing happens for long, and the venue wants its keep-alive", _all, False),
    "rest-old": ("REST snapshots are older than the stream", _rest, False),
    "rest-late": ("a REST snapshot takes 30 s", _rest, False),
    "rest-new": ("a REST snapshot is newer than all that came", _rest, False),
    "rest-429": ("REST asks to wait", _rest, False),
    "big-snapshot": (
        "a snapshot of 5 MB",
        lambda name, traits: name in ("coinbase", "deribit", "bitstamp-diff", "bitstamp-orders"),
        False,
    ),
    "silence": ("the connection falls silent", _all, False),
    "lost": ("the connection is lost without a word (1006)", _all, False),
    "silence-beats": ("data falls silent, heartbeats go on", lambda name, traits: EXCHANGES[name].beats, True),
    "fragment-tcp": ("messages come in many TCP segments", _all, True),
    "fragment-ws": ("messages come in websocket fragments", _all, True),
    "coalesce": ("many messages come in one TCP segment", _all, True),
    "reset": ("the connection is reset (RST)", _all, True),
    "half-open": ("the venue neither reads nor writes any more", _all, True),
    "close-1001": ("the venue goes away (1001)", _all, True),
    "close-1012": ("the venue restarts (1012)", _all, True),
    "cut-24h": ("the venue ends the connection as it does every day", _all, True),
    "handshake-429": ("429 with Retry-After at the handshake", _all, True),
    "handshake-503": ("503 at the handshake", _all, True),
    "handshake-403": ("403 at the handshake", _all, True),
    "handshake-slow": ("the handshake takes 3 s", _all, True),
}


def faults_of(name: str, *, sockets: bool) -> list[str]:
    """List the faults that an exchange can have."""
    return [
        fault
        for fault, (_, applies, needs) in FAULTS.items()
        if applies(name, traits_of(name)) and (sockets or not needs)
    ]


def plan(seed: int, *, sockets: bool, exchange: str | None = None, fault: str | None = None) -> Plan:
    """Make the plan of a seed. Consecutive seeds go round all pairs of exchange and fault."""
    pairs = [
        (name, one)
        for name in ([exchange] if exchange else EXCHANGES)
        for one in faults_of(name, sockets=sockets)
        if fault in (None, one)
    ]
    # In an order of its own, so that a few seeds in a row see many of both.
    random.Random(0).shuffle(pairs)
    name, chosen = pairs[seed % len(pairs)]
    rng = random.Random(f"plan {seed}")
    return Plan(
        seed, name, chosen, rng.randrange(1, 4), rng.randrange(len(EXCHANGES[name].listings)), rng.randrange(1, 6),
        rng.randrange(1 << 16),
    )  # fmt: skip


Job = "Generator[list[str], Frame, list[str]]"


class Tamper:
    """Stands between a connection and its wire.

    `passes` takes the frames that wait and gives the texts that go out. What it did is in `injections`, shared by all
    connections of a run.
    """

    def __init__(self, exchange: Exchange, name: str, rng: random.Random, injections: list[Injection]) -> None:
        self.exchange = exchange
        self.traits = traits_of(name)
        self.rng = rng
        self.injections = injections
        self.muted: Literal["", "data", "all"] = ""
        self.holding = False
        self._held: list[Frame] = []
        self._job: Generator[list[str], Frame, list[str]] | None = None
        self.now = 0

    @property
    def busy(self) -> bool:
        """Whether something is still to be done, or held back."""
        return self._job is not None or self.holding

    def passes(self, connection: Connection, now: int) -> list[str]:
        """Give what goes out."""
        self.now = now
        frames, connection.out = connection.out, []
        if self.muted:
            kept = frames if self.muted == "data" else []
            return [frame.text for frame in kept if not frame.is_data]
        if self.holding:
            self._held += frames
            return []
        if self._held:
            frames, self._held = self._held + frames, []
        out: list[str] = []
        for frame in frames:
            if self._job is None:
                out.append(frame.text)
                continue
            try:
                out += self._job.send(frame)
            except StopIteration as done:
                out += done.value
                self._job = None
        return out

    # What can be done.

    def start(self, fault: str, plan: Plan, symbol: str) -> None:
        """Begin to work a fault into the frames that come next."""
        jobs: dict[str, Callable[[Plan, str], Generator[list[str], Frame, list[str]]]] = {
            "drop": self._drop,
            "drop-snapshot": self._drop_snapshot,
            "duplicate": self._duplicate,
            "reorder": self._reorder,
            "truncate": self._truncate,
            "corrupt-price": self._corrupt_level,
            "corrupt-size": self._corrupt_level,
            "corrupt-id": self._corrupt_id,
            "trade-order": self._trade_order,
        }
        self._job = jobs[fault](plan, symbol)
        next(self._job)

    def note(self, injection: Injection) -> None:
        """Remember what was done."""
        self.injections.append(injection)

    def _everybody(self) -> frozenset[str]:
        return frozenset(one.symbol for one in self.exchange.listed if self.exchange.knows(one.symbol))

    def _find(self, symbol: str, *channels: str) -> Generator[list[str], Frame, Frame]:
        """Pass frames on until one of these channels of a symbol comes."""
        frame = yield []
        while not (
            frame.channel in channels
            and frame.symbol == symbol
            and not (frame.snapshot and not self.traits.every)
            and (frame.channel != "book" or frame.levels or frame.symbol == "")
        ):
            frame = yield [frame.text]
        return frame

    def _loss(self, fault: str, frame: Frame) -> Injection:
        """Say what the loss of a frame means by this venue's rules."""
        traits, symbol = self.traits, frozenset({frame.symbol})
        if traits.counts_frames and "counter" in frame.parts:
            trades = symbol if frame.channel == "trades" and traits.counts_trades else frozenset[str]()
            return Injection(fault, self.now, "yes", must=self._everybody(), trades=trades, note=frame.channel)
        if frame.channel == "book":
            if traits.every:
                return Injection(fault, self.now, "no", note="the next message is whole")
            if traits.links:
                return Injection(fault, self.now, "yes", must=symbol)
            if traits.checksum:
                return Injection(fault, self.now, "maybe", may=symbol)
            return Injection(
                fault, self.now, "no", may=symbol, taint=self._levels(frame), event=frame.time, note="nothing tells"
            )
        if frame.channel == "trades" and traits.counts_trades:
            return Injection(fault, self.now, "yes", trades=symbol)
        return Injection(fault, self.now, "no", note=f"{frame.channel}: the next one says it all")

    def _levels(self, frame: Frame) -> dict[str, set[tuple[int, int]]]:
        return {frame.symbol: {(side, price) for side, price, _ in frame.levels}}

    def _drop(self, plan: Plan, symbol: str) -> Generator[list[str], Frame, list[str]]:
        channel = "trades" if plan.variant % 4 == 3 else "book"
        frame = yield from self._find(symbol, channel)
        for _ in range(plan.size % 3):
            self.note(self._loss("drop", frame))
            frame = yield []
        self.note(self._loss("drop", frame))
        return []

    def _drop_snapshot(self, plan: Plan, symbol: str) -> Generator[list[str], Frame, list[str]]:
        frame = yield from self._find(symbol, "book")
        self.note(self._loss("drop", frame))
        passed: list[str] = []
        for _ in range(300):
            frame = yield passed
            if frame.channel == "book" and frame.symbol == symbol and frame.snapshot:
                # Nothing of this book is known that could be lost. Where frames are counted, others may be good again.
                counted = self._everybody() if self.traits.counts_frames else frozenset[str]()
                self.note(Injection("drop-snapshot", self.now, "maybe" if counted else "no", may=counted))
                return []
            passed = [frame.text]
        # The loss did no harm, so nobody asked.
        return passed

    def _duplicate(self, plan: Plan, symbol: str) -> Generator[list[str], Frame, list[str]]:
        frame = yield from self._find(symbol, "trades" if plan.variant % 4 == 3 else "book")
        traits = self.traits
        # Without ids, an old message that comes again spoils the book; at once it does no harm.
        later = bool(traits.links or traits.counts_frames or traits.every) and frame.channel == "book"
        self.note(Injection("duplicate", self.now, "no", note="at once" if not later else "later"))
        text = frame.text
        for _ in range(plan.size % 4 if later else 0):
            after = yield [frame.text]
            frame = after
        return [frame.text, text]

    def _reorder(self, plan: Plan, symbol: str) -> Generator[list[str], Frame, list[str]]:
        late = yield from self._find(symbol, "book")
        began = self.now
        passed: list[Frame] = []
        for _ in range(plan.size):
            frame = yield [] if not passed else [passed[-1].text]
            passed.append(frame)
        overtaken = any(one.channel == "book" and one.symbol == symbol for one in passed)
        traits, mine = self.traits, frozenset({symbol})
        if traits.counts_frames and "counter" in late.parts:
            counted = any("counter" in one.parts for one in passed)
            lost = (one.symbol for one in passed if one.channel == "trades" and traits.counts_trades)
            injection = Injection("reorder", self.now, "yes" if counted else "no", may_trades=frozenset(lost))
            if counted:
                injection.must = self._everybody()
        elif not overtaken or traits.every:
            # A frame of the whole book that is older than the last is passed over.
            injection = Injection("reorder", self.now, "no", note="nothing overtook it")
        elif traits.links:
            injection = Injection("reorder", self.now, "yes", must=mine)
        elif traits.checksum:
            injection = Injection("reorder", self.now, "maybe", may=mine)
        else:
            injection = Injection(
                "reorder", self.now, "no", may=mine, taint=self._levels(late), event=late.time, note="nothing tells"
            )
        # It began when the first frame overtook it. Where the book is good again before the late one comes, that is an
        # old message nobody has seen: a gap of its own.
        injection.time, injection.most = began, 2
        self.note(injection)
        return [passed[-1].text, late.text]

    def _truncate(self, plan: Plan, symbol: str) -> Generator[list[str], Frame, list[str]]:
        channel = ("book", "book", "trades", "quotes")[plan.variant % 4]
        frame = yield from self._find(symbol, channel, "book")
        keep = 1 + plan.variant % (len(frame.text) - 1)
        everybody, mine = self._everybody(), frozenset({symbol})
        must = mine if frame.channel == "book" else frozenset[str]()
        self.note(
            Injection("truncate", self.now, "yes" if must else "maybe", must=must, may=everybody,
                      may_trades=everybody, most=2, note=f"{frame.channel} to {keep} bytes")
        )  # fmt: skip
        return [frame.text.encode()[:keep].decode(errors="ignore")]

    def _digit(self, number: int, *, nonzero: bool = False) -> int:
        """Change a digit of a number."""
        digits = list(str(number))
        while True:
            changed = digits.copy()
            at = self.rng.randrange(len(digits))
            changed[at] = self.rng.choice([one for one in "0123456789" if one != digits[at]])
            value = int("".join(changed))
            if (value or not nonzero) and (changed[0] != "0" or len(changed) == 1):
                return value

    def _corrupt_level(self, plan: Plan, symbol: str) -> Generator[list[str], Frame, list[str]]:
        while True:
            frame = yield from self._find(symbol, "book")
            if frame.again is not None and ("levels" in frame.parts or "price" in frame.parts) and frame.levels:
                break
            yield [frame.text]
        wrong_price = plan.fault == "corrupt-price"
        at = self.rng.randrange(len(frame.levels))
        side, price, size = frame.levels[at]
        new = (side, self._digit(price, nonzero=True), size) if wrong_price else (side, price, self._digit(size))
        if "levels" in frame.parts:
            levels = list(frame.parts["levels"])
            levels[at] = new
            text = frame.again(**{**frame.parts, "levels": levels})
        else:
            text = frame.again(**{**frame.parts, "price": new[1], "size": new[2]})
        spoilt = {symbol: {(side, price), (side, new[1])}}
        mine = frozenset({symbol})
        rank = self._rank(symbol, side, {price, new[1]})
        covered = self.traits.checksum and rank < self.traits.checksum - 3
        if self.traits.checksum == 10:
            self.note(Injection(plan.fault, self.now, "maybe", may=mine, note=f"{(side, price, size)} as {new}"))
        elif covered:
            # The checksum comes in a message of its own: until then the level is wrong.
            self.note(Injection(plan.fault, self.now, "yes", must=mine, taint=spoilt, event=frame.time,
                                note=f"{(side, price, size)} as {new}"))  # fmt: skip
        else:
            self.note(
                Injection(plan.fault, self.now, "maybe" if self.traits.checksum else "no", may=mine, taint=spoilt,
                          event=frame.time, note=f"{(side, price, size)} as {new}: nothing tells")
            )  # fmt: skip
        return [text]

    def _rank(self, symbol: str, side: int, prices: set[int]) -> int:
        """Give the place from the best at which a book would show the best of these prices."""
        levels = top(self.exchange.book(symbol), side, 0)
        best = max(prices) if side == BID else min(prices)
        return sum(1 for price, _ in levels if (price > best if side == BID else price < best))

    def _corrupt_id(self, plan: Plan, symbol: str) -> Generator[list[str], Frame, list[str]]:
        traits = self.traits
        names = {"first", "last", "previous", "counter", "id", "time", "token"}
        while True:
            frame = yield from self._find(symbol, "trades" if plan.variant % 5 == 4 else "book")
            choice = sorted(names & frame.parts.keys())
            if not traits.rest and "first" in choice and traits.links != "range":
                choice.remove("first")
            if frame.again is not None and choice:
                break
            if frame.channel == "trades" or (not choice and traits.checksum == 10):
                # A venue whose trades or books have no ids.
                self.note(Injection("corrupt-id", self.now, "no", note="there is no id"))
                return [frame.text]
            yield [frame.text]
        name = choice[plan.variant % len(choice)]
        old: Any = frame.parts[name]
        new: Any = self._digit(old, nonzero=True) if isinstance(old, int) else self._hex(old)
        everybody, mine = self._everybody(), frozenset({symbol})
        note = f"{frame.channel} {name} {old} as {new}"
        nothing: frozenset[str] = frozenset()
        if name == "counter":
            injection = Injection(
                "corrupt-id", self.now, "yes", must=everybody, may_trades=everybody, most=3, note=note
            )
        elif frame.channel == "trades":
            injection = Injection("corrupt-id", self.now, "maybe", may_trades=mine, most=3, note=note)
        else:
            sure = (name in ("last", "previous", "token") and bool(traits.links)) and not (
                # A count that is too low is an old message.
                name == "last" and traits.links != "chain" and new < old
            )
            if self.exchange.venue.startswith("binance") and name == "previous" and traits.links != "chain":
                sure = False
            injection = Injection("corrupt-id", self.now, "yes" if sure else "maybe", may=mine, most=3, note=note)
            injection.must = mine if sure else nothing
            injection.blind, injection.taint, injection.event = mine, self._levels(frame), frame.time
        self.note(injection)
        return [frame.again(**{**frame.parts, name: new})]

    def _hex(self, token: str) -> str:
        places = [at for at, one in enumerate(token) if one in "0123456789"]
        at = self.rng.choice(places)
        return token[:at] + self.rng.choice([one for one in "0123456789" if one != token[at]]) + token[at + 1 :]

    def _trade_order(self, plan: Plan, symbol: str) -> Generator[list[str], Frame, list[str]]:
        first = yield from self._find(symbol, "trades")
        began = self.now
        between: list[Frame] = []
        waiting: list[str] = []
        while True:
            second = yield waiting
            if second.channel == "trades" and second.symbol == symbol:
                break
            waiting = [second.text]
            between.append(second)
        traits, mine = self.traits, frozenset({symbol})
        counted = traits.counts_frames and "counter" in first.parts
        self.note(
            Injection("trade-order", began, "yes" if counted or traits.counts_trades else "no",
                      must=self._everybody() if counted else frozenset(),
                      trades=mine if traits.counts_trades and not counted else frozenset(),
                      may_trades=self._everybody(), most=2 if counted else 1)
        )  # fmt: skip
        return [second.text, first.text]


def crossing(exchange: Exchange, symbol: str) -> Level:
    """Give a bid above the best ask."""
    market = exchange.markets[symbol]
    ask = market.best(ASK)
    assert ask is not None
    return BID, ask[0] + 2 * market.listing.tick, max(market.listing.size // 3, 1)


def injections_of(injections: Iterable[Injection], symbol: str) -> Sequence[Injection]:
    """Give the injections that concern a symbol's book."""
    return [one for one in injections if symbol in one.must or symbol in one.may]
