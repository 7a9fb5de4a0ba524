"""What every fake venue has: markets with a known history, connections with subscriptions, REST with a budget.

An `Exchange` has no socket and no clock: it is told the time, and its connections collect the frames that a server,
or a test without one, delivers. A venue's file in `crossbook.fakex.dialects` adds how that venue writes and reads.
"""

from __future__ import annotations

import random
import zlib
from abc import ABC, abstractmethod
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from crossbook.fakex.truth import ASK, BID, Book, Level, Listing, Market, Trade, diff, within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Connection", "Exchange", "Frame", "Response", "State", "Topic", "decimal", "trimmed"]

Channel = Literal["book", "trades", "quotes", "marks", "control", "beat"]

SECOND = 1_000_000_000


def decimal(count: int, decimals: int) -> str:
    """Write a count of ``10^-decimals`` with all its decimals: ``0.00005100``."""
    if not decimals:
        return str(count)
    digits = str(abs(count)).rjust(decimals + 1, "0")
    return f"{'-' if count < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"


def trimmed(count: int, decimals: int) -> str:
    """Write a count of ``10^-decimals`` without zeros at its end: ``0.000051``."""
    text = decimal(count, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def iso(ns: int, digits: int = 6) -> str:
    """Write a time as ISO 8601 with this many decimals of a second."""
    seconds, rest = divmod(ns, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}"[: 20 + digits] + "Z"


def crc(text: str) -> int:
    """CRC-32 (IEEE) of a text."""
    return zlib.crc32(text.encode())


def signed(value: int) -> int:
    """Give 32 bits as a signed number."""
    return value - (1 << 32) if value >= 1 << 31 else value


@dataclass(slots=True)
class Frame:
    """One message to a client, and what it says, so that a fault knows what it takes away."""

    text: str
    channel: Channel
    symbol: str = ""
    snapshot: bool = False
    levels: Sequence[Level] = ()
    parts: Mapping[str, Any] = field(default_factory=dict)
    """The numbers in it that a fault can alter: ``levels`` and ids by name."""
    again: Callable[..., str] | None = None
    """Writes it again from altered parts."""
    time: int = 0
    """The exchange's clock, ns."""

    @property
    def is_data(self) -> bool:
        """Whether it is market data."""
        return self.channel not in ("control", "beat")


@dataclass(frozen=True, slots=True)
class State:
    """What a market looked like after one message."""

    symbol: str
    id: int
    time: int
    book: Book


@dataclass(slots=True)
class Topic:
    """A book channel of one market at one depth: what its subscribers know, and its ids."""

    symbol: str
    depth: int
    window: Book
    first: int = 0
    last: int = 0
    previous: int = 0


@dataclass(frozen=True, slots=True)
class Response:
    """An answer to a REST request."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds that it takes."""


@dataclass(frozen=True, slots=True)
class Request:
    """A REST request as it was counted."""

    time: int
    target: str
    weight: int
    status: int


class Connection(ABC):
    """One client's connection: its subscriptions, and the frames that wait for it."""

    def __init__(self, exchange: Exchange, path: str, now: int) -> None:
        self.exchange = exchange
        self.path = path
        self.out: list[Frame] = []
        self.opened = self.heard = self.sent = self.beaten = now
        self.books: dict[str, int] = {}
        """Depth of the subscribed books by symbol; 0: all."""
        self.trades: set[str] = set()
        self.quotes: set[str] = set()
        self.close: tuple[int, str] | None = None
        """Code and reason, once the venue wants to close it."""

    def receive(self, text: str, now: int) -> None:
        """Take a message of the client."""
        self.heard = now
        self.on_text(text, now)

    @abstractmethod
    def on_text(self, text: str, now: int) -> None:
        """Read a message of the client: subscriptions and pings."""

    @abstractmethod
    def on_book(self, topic: Topic, changes: Sequence[Level], time: int) -> None:
        """A subscribed book changed."""

    def on_trade(self, symbol: str, trade: Trade, time: int) -> None:  # noqa: B027 # not every venue has every channel
        """A trade of a subscribed symbol."""

    def on_quote(self, symbol: str, topic_id: int, time: int) -> None:  # noqa: B027
        """The best bid or ask of a subscribed symbol changed."""

    def on_time(self, now: int) -> None:  # noqa: B027
        """Send what is due, and close what has not been kept alive. Called about once a second."""

    def push(self, frame: Frame, now: int) -> None:
        """Let a frame wait for delivery."""
        self.sent = frame.time = now
        self.out.append(frame)

    def control(self, text: str, now: int, *, beat: bool = False) -> None:
        """Send a message without market data."""
        self.push(Frame(text, "beat" if beat else "control"), now)

    def unsolicited(self, symbol: str, now: int) -> bool:
        """Send a snapshot that nobody asked for, where the venue may; whether it does."""
        return False

    def acknowledge(self, now: int) -> bool:
        """Send an acknowledgement between data; whether the venue has one to send."""
        return False

    def announce_close(self, now: int) -> bool:
        """Tell the client that the connection will be closed soon, where the venue does; whether it does."""
        return False


class Exchange(ABC):
    """One venue: markets, and the connections that listen to them."""

    venue: ClassVar[str]
    protocol: ClassVar[str]
    listings: ClassVar[tuple[Listing, ...]]
    resolution: ClassVar[int] = 1_000_000
    """Nanoseconds that two messages of one market are apart at least: what its times can tell apart."""
    beats: ClassVar[bool] = False
    """Whether it sends heartbeats of its own by the second, so that a silent stream hides behind them."""
    pings: ClassVar[int] = 0
    """Seconds between the websocket pings that it wants answered; 0: none."""
    weight: ClassVar[int] = 1
    budget: ClassVar[int] = 0
    """What REST may cost a minute; 0: it has no REST snapshots."""
    gentle: ClassVar[int] = 25
    """Seconds that a market may be quiet without a well-behaved client leaving."""

    def __init__(
        self,
        seed: int,
        *,
        now: int,
        listings: Sequence[Listing] | None = None,
        trades: float = 0.15,
        truth: bool = True,
    ) -> None:
        self.rng = random.Random(f"{self.venue} {seed}")
        self.now = now
        self.trade_share = trades
        self.truth = truth
        self.listed = tuple(listings or self.listings)
        self.connections: list[Connection] = []
        self.topics: dict[tuple[str, int], Topic] = {}
        self.refused: set[str] = set()
        """Symbols that the venue does not know, though its list names them."""
        self.states: list[State] = []
        self.made: dict[str, Counter[tuple[int, int, int]]] = {one.symbol: Counter() for one in self.listed}
        """Trades by symbol: price, size and the aggressor's side."""
        self.bests: dict[str, set[Level]] = {one.symbol: set() for one in self.listed}
        """All best levels that there were."""
        self.requests: list[Request] = []
        self.spent: deque[tuple[int, int]] = deque()
        self.rest_plan: deque[Response | str] = deque()
        """What the next snapshot requests meet: a response, or ``old`` for a state long gone, or ``late``."""
        self._stamp: dict[str, int] = {}
        self._first: dict[str, State] = {}
        self.global_id = self.rng.randrange(10**9, 10**11)
        self.open_markets()
        for symbol, market in self.markets.items():
            self._note_best(symbol, market)

    def open_markets(self) -> None:
        """Make the markets."""
        self.markets: dict[str, Market] = {listing.symbol: Market(listing, self.rng) for listing in self.listed}

    def _note_best(self, symbol: str, market: Market) -> None:
        self.bests[symbol].update((side, *found) for side in (BID, ASK) if (found := market.best(side)))

    def note_trade(self, symbol: str, trade: Trade) -> None:
        """Keep what was traded."""
        if self.truth:
            self.made[symbol][trade.price, trade.size, trade.side] += 1

    # Time and truth.

    def stamp(self, symbol: str, now: int) -> int:
        """Give the time of a market's next message, in ns: no two are the same."""
        self.now = now
        time = max(now // self.resolution, self._stamp.get(symbol, 0) + 1)
        self._stamp[symbol] = time
        return time * self.resolution

    def remember(self, symbol: str, id_: int, time: int, book: Book) -> None:
        """Keep what a market looks like now."""
        state = State(symbol, id_, time, (dict(book[BID]), dict(book[ASK])))
        self._first.setdefault(symbol, state)
        if self.truth:
            self.states.append(state)

    def book(self, symbol: str) -> Book:
        """Give a market's book as it is."""
        return self.markets[symbol].book

    # Subscriptions.

    @abstractmethod
    def connect(self, path: str, now: int) -> Connection:
        """Open a connection."""

    def join(self, connection: Connection) -> Connection:
        """Let a new connection hear the markets."""
        self.connections.append(connection)
        return connection

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        if connection in self.connections:
            self.connections.remove(connection)

    def knows(self, symbol: str) -> bool:
        """Whether a symbol can be subscribed."""
        return symbol in self.markets and symbol not in self.refused

    def topic(self, symbol: str, depth: int) -> Topic:
        """Give the book channel of a market at a depth."""
        topic = self.topics.get((symbol, depth))
        if topic is None:
            topic = Topic(symbol, depth, within(self.book(symbol), depth))
            self.begin(topic)
            self.topics[symbol, depth] = topic
        return topic

    def begin(self, topic: Topic) -> None:
        """Give a new channel its first ids."""
        topic.first = topic.last = self.rng.randrange(10**5, 10**9)

    @abstractmethod
    def number(self, topic: Topic, changes: Sequence[Level]) -> None:
        """Give a channel's next message its ids."""

    def changes(self, topic: Topic, levels: Sequence[Level]) -> list[Level]:
        """Give what a channel tells of a market's changes, and move it on."""
        if not topic.depth:
            return list(levels)
        new = within(self.book(topic.symbol), topic.depth)
        found = diff(topic.window, new)
        topic.window = new
        return found

    # The way of things.

    def step(self, now: int) -> None:
        """Move one market, and tell everybody who listens."""
        market = self.markets[self.rng.choice(self.listed).symbol]
        self.move(market, now)

    def move(self, market: Market, now: int) -> None:
        """Move this market, and tell everybody who listens."""
        trade: Trade | None = None
        if self.rng.random() < self.trade_share:
            trade, levels = market.trade()
        else:
            levels = market.change()
        self.publish(market, levels, trade, now)

    def trade_now(self, symbol: str, now: int) -> None:
        """Let a market trade."""
        market = self.markets[symbol]
        trade, levels = market.trade()
        self.publish(market, levels, trade, now)

    def publish(self, market: Market, levels: Sequence[Level], trade: Trade | None, now: int) -> None:
        """Tell everybody who listens what happened to a market, whose book is changed already."""
        symbol = market.listing.symbol
        time = self.stamp(symbol, now)
        told = [(topic, self.changes(topic, levels)) for topic in self.topics.values() if topic.symbol == symbol]
        for topic, changes in told:
            if changes:
                self.number(topic, changes)
                self.remember(symbol, topic.last, time, market.book)
        if self.truth:
            self._note_best(symbol, market)
            if trade is not None:
                self.note_trade(symbol, trade)
        best = {price for side in (BID, ASK) if (found := market.best(side)) for price in (found[0],)}
        moved = any(price in best or not size for _, price, size in levels)
        last = next((topic.last for topic, changes in told if changes), 0)
        for connection in self.connections:
            if trade is not None and symbol in connection.trades:
                connection.on_trade(symbol, trade, time)
            depth = connection.books.get(symbol, -1)
            for topic, changes in told:
                if changes and topic.depth == depth:
                    connection.on_book(topic, changes, time)
            if moved and symbol in connection.quotes:
                connection.on_quote(symbol, last, time)

    def on_time(self, now: int) -> None:
        """Let a second go by."""
        self.now = now
        for connection in list(self.connections):
            connection.on_time(now)

    # What venues do now and then.

    def reset_ids(self, symbol: str, now: int) -> str:
        """Begin a market's ids anew as this venue does; how, or an empty text where it never does."""
        return ""

    def delete_unknown(self, symbol: str, now: int) -> None:
        """Send the removal of a level that nobody has."""
        market = self.markets[symbol]
        price = max(market.book[ASK]) + 1000 * market.listing.tick
        self.tell(market, [(ASK, price, 0)], now)

    def tell(self, market: Market, changes: Sequence[Level], now: int) -> None:
        """Send changes as they are, whatever the book says."""
        symbol = market.listing.symbol
        time = self.stamp(symbol, now)
        for topic in [topic for topic in self.topics.values() if topic.symbol == symbol]:
            self.number(topic, changes)
            self.remember(symbol, topic.last, time, market.book)
            for connection in self.connections:
                if connection.books.get(symbol, -1) == topic.depth:
                    connection.on_book(topic, changes, time)

    # REST.

    def snapshot_state(self, symbol: str) -> State:
        """Give the state that a REST snapshot shows now."""
        topic = self.topic(symbol, 0)
        return State(symbol, topic.last, self.now // self.resolution * self.resolution, self.book(symbol))

    def rest(self, method: str, target: str, body: str, now: int) -> Response:
        """Answer a request."""
        self.now = now
        answer = self.instruments(method, target, body)
        if answer is not None:
            self.requests.append(Request(now, target, 0, 200))
            return Response(200, answer)
        symbol = self.asked(target)
        if symbol is None:
            return Response(404, '{"error":"no such path"}')
        while self.spent and self.spent[0][0] <= now - 60 * SECOND:
            self.spent.popleft()
        self.spent.append((now, self.weight))
        used = sum(weight for _, weight in self.spent)
        response = self._snapshot(symbol) if used <= self.budget else self.limited(60)
        self.requests.append(Request(now, target, self.weight, response.status))
        return response

    def _snapshot(self, symbol: str) -> Response:
        if not self.knows(symbol):
            return Response(400, self.unknown(symbol))
        planned = self.rest_plan.popleft() if self.rest_plan else None
        if isinstance(planned, Response):
            return planned
        if planned == "old" and symbol in self._first:
            return Response(200, self.snapshot(self._first[symbol]))
        late = 30.0 if planned == "late" else 0.0
        return Response(200, self.snapshot(self.snapshot_state(symbol)), delay=late)

    def limited(self, after: int) -> Response:
        """Refuse a request for now."""
        return Response(429, '{"code":-1003,"msg":"Too many requests."}', {"Retry-After": str(after)})

    def asked(self, target: str) -> str | None:
        """Give the symbol whose snapshot a path asks for."""
        return None

    def snapshot(self, state: State) -> str:
        """Write a REST snapshot; only of a venue whose ``asked`` knows their paths."""
        raise LookupError(f"{type(self).__name__}: {state.symbol}: this venue has no REST snapshots")

    def unknown(self, symbol: str) -> str:
        """Write what REST says of a symbol that it does not know."""
        return '{"code":-1121,"msg":"Invalid symbol."}'

    @abstractmethod
    def instruments(self, method: str, target: str, body: str) -> str | None:
        """Write the list of instruments, if that is what is asked for."""
