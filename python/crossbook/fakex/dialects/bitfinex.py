"""Bitfinex v2: bare arrays, a counter of the connection, and a checksum of the best 25 levels after every change."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossbook.fakex.truth import ASK, BID, Book, Level, Listing, Market, Trade, top, within
from crossbook.fakex.venue import SECOND, Channel, Connection, Exchange, Frame, Topic, crc, signed, trimmed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

MS = 1_000_000
TIMES, COUNTS, CHECKSUMS = 32_768, 65_536, 131_072


def script(count: int, decimals: int) -> str:
    """Write a number as JavaScript does: ``7e-7`` below a millionth, without zeros at its end."""
    text = trimmed(count, decimals)
    sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
    if not text.startswith("0.000000"):
        return sign + text
    digits = text[2:].lstrip("0")
    power = len(text) - 2 - len(digits) + 1
    return f"{sign}{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e-{power}"


def checksum(book: Book, listing: Listing) -> int:
    """CRC-32, signed, of ``bid price:bid size:ask price:-ask size:…`` over the best 25 of each side."""
    bids, asks = top(book, BID, 25), top(book, ASK, 25)
    words = []
    for i in range(max(len(bids), len(asks))):
        for side, sign in ((bids, 1), (asks, -1)):
            if i < len(side):
                price, size = side[i]
                words += [script(price, listing.price_decimals), script(sign * size, listing.size_decimals)]
    return signed(crc(":".join(words)))


@dataclass(slots=True)
class Open:
    """A numbered channel."""

    kind: str
    symbol: str
    depth: int = 0
    beaten: int = 0


class BitfinexConnection(Connection):
    """One connection, its channels and its counter."""

    exchange: Bitfinex

    def __init__(self, exchange: Bitfinex, path: str, now: int) -> None:
        super().__init__(exchange, path, now)
        self.flags = 0
        self.counter = 0
        self.channels: dict[int, Open] = {}
        self.next_id = exchange.rng.randrange(10_000, 400_000)
        self.control(
            '{"event":"info","version":2,"serverId":"083bd8d4-aca7-4690-a573-eabfc8103de8","platform":{"status":1}}',
            now,
        )

    def on_text(self, text: str, now: int) -> None:
        """Read ``conf``, ``subscribe``, ``unsubscribe`` and ``ping``."""
        request = json.loads(text)
        event = request["event"]
        if event == "conf":
            self.flags = request["flags"]
            self.control(f'{{"event":"conf","status":"OK","flags":{self.flags}}}', now)
        elif event == "ping":
            self.control(f'{{"event":"pong","ts":{now // MS},"cid":{request.get("cid", 0)}}}', now, beat=True)
        elif event == "unsubscribe":
            channel = self.channels.pop(request["chanId"], None)
            if channel is not None:
                if channel.kind == "trades":
                    self.trades.discard(channel.symbol)
                else:
                    self.leave_book(channel.symbol)
                self.control(f'{{"event":"unsubscribed","status":"OK","chanId":{request["chanId"]}}}', now)
        elif event == "subscribe":
            self.subscribe(request, now)

    def leave_book(self, symbol: str) -> None:
        """Forget a book, unless another channel has it."""
        if not any(one.kind == "book" and one.symbol == symbol and one.depth > 1 for one in self.channels.values()):
            self.books.pop(symbol, None)
        if not any(one.kind == "book" and one.symbol == symbol and one.depth == 1 for one in self.channels.values()):
            self.quotes.discard(symbol)

    def subscribe(self, request: dict[str, str], now: int) -> None:
        """Open a channel."""
        kind, symbol = request["channel"], request["symbol"]
        length = request.get("len", "25")
        about = f'"channel":"{kind}","symbol":"{symbol}"'
        if kind == "book":
            about += f',"prec":"{request.get("prec", "P0")}","freq":"{request.get("freq", "F0")}","len":"{length}"'
        if not self.exchange.knows(symbol):
            self.control(f'{{"event":"error","msg":"symbol: invalid","code":10300,{about},"pair":"{symbol[1:]}"}}', now)
            return
        self.next_id += self.exchange.rng.randrange(1, 9)
        id_ = self.next_id
        depth = int(length) if kind == "book" else 0
        self.channels[id_] = Open(kind, symbol, depth, now)
        self.control(f'{{"event":"subscribed","chanId":{id_},{about},"pair":"{symbol[1:]}"}}', now)
        if kind == "trades":
            self.trades.add(symbol)
            market = self.exchange.markets[symbol]
            past = f"[{market.trade_id},{(now - SECOND) // MS},{script(1234, market.listing.size_decimals)},1]"
            self.say(id_, lambda: f"[{past}]", now, kind="control", symbol=symbol)
        elif depth > 1:
            self.books[symbol] = depth
            self.snapshot(id_, now)
        else:
            self.quotes.add(symbol)
            self.snapshot(id_, now)

    def say(
        self,
        id_: int,
        body: Callable[..., str],
        now: int,
        *,
        kind: Channel,
        symbol: str = "",
        snapshot: bool = False,
        levels: Sequence[Level] | None = None,
        **parts: Any,
    ) -> None:
        """Send one numbered message."""
        if levels is not None:
            parts["levels"] = levels
        counts, times = self.flags & COUNTS, self.flags & TIMES
        if counts:
            self.counter += 1
            parts["counter"] = self.counter

        def write(counter: int = 0, **rest: Any) -> str:
            tail = (f",{counter}" if counts else "") + (f",{now // MS}" if times else "")
            return f"[{id_},{body(**rest)}{tail}]"

        self.push(Frame(write(**parts), kind, symbol, snapshot, levels or (), parts, write), now)

    def level(self, listing: Listing, level: Level) -> str:
        """Write ``[price, count, amount]``."""
        side, price, size = level
        sign = 1 if side == BID else -1
        amount = script(sign * size, listing.size_decimals) if size else str(sign)
        return f"[{script(price, listing.price_decimals)},{1 + size % 4 if size else 0},{amount}]"

    def snapshot(self, id_: int, now: int) -> None:
        """Send the best levels of a book."""
        channel = self.channels[id_]
        symbol, listing = channel.symbol, self.exchange.markets[channel.symbol].listing
        topic = self.exchange.topic(symbol, channel.depth)
        time = self.exchange.stamp(symbol, now)
        if channel.depth > 1:
            self.exchange.remember(symbol, 0, time, self.exchange.book(symbol))
        levels = [(side, price, size) for side in (BID, ASK) for price, size in top(topic.window, side, 0)]

        def body(levels: Sequence[Level]) -> str:
            return f"[{','.join(self.level(listing, level) for level in levels)}]"

        kind: Channel = "book" if channel.depth > 1 else "quotes"
        self.say(id_, body, time, kind=kind, symbol=symbol, snapshot=True, levels=levels)
        self.checksum(id_, topic, time)

    def checksum(self, id_: int, topic: Topic, time: int) -> None:
        """Send the checksum of a book."""
        if self.flags & CHECKSUMS:
            sum_ = checksum(topic.window, self.exchange.markets[topic.symbol].listing)
            kind: Channel = "book" if topic.depth > 1 else "quotes"
            self.say(id_, lambda: f'"cs",{sum_}', time, kind=kind, symbol=topic.symbol)

    def unsolicited(self, symbol: str, now: int) -> bool:
        """Send the best levels once more."""
        for id_, channel in self.channels.items():
            if channel.kind == "book" and channel.symbol == symbol and channel.depth > 1:
                self.snapshot(id_, now)
                return True
        return False

    def channel(self, kind: str, symbol: str, depth: int) -> int | None:
        """Give the number of a channel."""
        for id_, channel in self.channels.items():
            if (channel.kind, channel.symbol, channel.depth) == (kind, symbol, depth):
                channel.beaten = self.exchange.now
                return id_
        return None

    def on_book(self, topic: Topic, changes: Sequence[Level], time: int) -> None:
        """Send one message per level, then the checksum."""
        listing = self.exchange.markets[topic.symbol].listing
        id_ = self.channel("book", topic.symbol, topic.depth)
        if id_ is None:
            return
        kind: Channel = "book" if topic.depth > 1 else "quotes"
        for level in changes:

            def body(levels: Sequence[Level]) -> str:
                return self.level(listing, levels[0])

            self.say(id_, body, time, kind=kind, symbol=topic.symbol, levels=[level])
        self.checksum(id_, topic, time)

    def on_trade(self, symbol: str, trade: Trade, time: int) -> None:
        """Send ``te``."""
        listing = self.exchange.markets[symbol].listing
        id_ = self.channel("trades", symbol, 0)
        if id_ is None:
            return
        size = trade.size if trade.side == BID else -trade.size

        def body(id: int) -> str:
            amount, price = script(size, listing.size_decimals), script(trade.price, listing.price_decimals)
            return f'"te",[{id},{time // MS},{amount},{price}]'

        self.say(id_, body, time, kind="trades", symbol=symbol, id=trade.id)

    def on_time(self, now: int) -> None:
        """Send a heartbeat on every channel that is quiet for 15 s."""
        for id_, channel in self.channels.items():
            if now - channel.beaten >= 15 * SECOND:
                channel.beaten = now
                self.say(id_, lambda: '"hb"', now, kind="beat", symbol=channel.symbol)

    def acknowledge(self, now: int) -> bool:
        """Answer a ping that is not ours."""
        self.control(f'{{"event":"pong","ts":{now // MS},"cid":99}}', now)
        return True

    def announce_close(self, now: int) -> bool:
        """Say that the server is about to restart."""
        self.control('{"event":"info","code":20051,"msg":"Stopping. Please try to reconnect"}', now)
        return True


class Bitfinex(Exchange):
    """Prices of five significant digits, some of them tiny."""

    venue = "bitfinex"
    protocol = "bitfinex-v2"
    listings = (
        Listing(symbol="tBTCUSD", base="BTC", quote="USD", price_decimals=0, size_decimals=8, mid=78_715,
                size=30_000_000),
        Listing(symbol="tVETBTC", base="VET", quote="BTC", price_decimals=10, size_decimals=8, mid=7_123,
                size=250_000_000_000),
        Listing(symbol="tETHUSD", base="ETH", quote="USD", price_decimals=1, size_decimals=8, mid=26_850,
                size=200_000_000),
    )  # fmt: skip

    def connect(self, path: str, now: int) -> BitfinexConnection:
        """Open a connection."""
        connection = BitfinexConnection(self, path, now)
        self.join(connection)
        return connection

    def number(self, topic: Topic, changes: Sequence[Level]) -> None:
        """Books have no ids."""
        topic.first = topic.last = 0

    def move(self, market: Market, now: int) -> None:
        """Move a market; a message holds one level, and the book is looked at after each."""
        before: Book = within(market.book, 0)
        trade: Trade | None = None
        if self.rng.random() < self.trade_share:
            trade, levels = market.trade()
        else:
            levels = market.change()
        market.book = before
        for level in levels:
            market.set(level)
            self.publish(market, [level], trade, now)
            trade = None

    def publish(self, market: Market, levels: Sequence[Level], trade: Trade | None, now: int) -> None:
        """Tell everybody who listens; best bid and ask are a book of one level."""
        super().publish(market, levels, trade, now)
        symbol = market.listing.symbol
        topic = self.topics.get((symbol, 1))
        if topic is not None:
            for connection in self.connections:
                if symbol in connection.quotes and (changes := self.best.pop(symbol, [])):
                    connection.on_book(topic, changes, self._stamp[symbol] * self.resolution)
        self.best.pop(symbol, None)

    def open_markets(self) -> None:
        """Keep what the best levels' own channels have to tell."""
        super().open_markets()
        self.best: dict[str, list[Level]] = {}

    def changes(self, topic: Topic, levels: Sequence[Level]) -> list[Level]:
        """Keep apart what a book of one level tells."""
        found = super().changes(topic, levels)
        if topic.depth == 1:
            self.best[topic.symbol] = found
            return []
        return found

    def instruments(self, method: str, target: str, body: str) -> str | None:
        """Write the pairs."""
        if target == "/v2/conf/pub:list:pair:exchange":
            return json.dumps([[one.symbol[1:] for one in self.listed]])
        return "[[]]" if target == "/v2/conf/pub:list:pair:futures" else None
