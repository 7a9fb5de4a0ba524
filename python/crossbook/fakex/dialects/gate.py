"""Gate: order book v2, ranges of ids with snapshots in the stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from crossbook.fakex.truth import ASK, BID, Level, Listing, Trade, top
from crossbook.fakex.venue import Connection, Exchange, Frame, Topic, trimmed

if TYPE_CHECKING:
    from collections.abc import Sequence

MS = 1_000_000
SUCCESS = '{"status":"success"}'


class GateConnection(Connection):
    """One connection."""

    exchange: Gate

    def on_text(self, text: str, now: int) -> None:
        """Read ``subscribe``, ``unsubscribe`` and ``spot.ping``."""
        request = json.loads(text)
        channel = request["channel"]
        if channel == "spot.ping":
            self.control(f'{{{self.times(now)},"channel":"spot.pong","event":"","result":null}}', now, beat=True)
            return
        event, payload = request["event"], request["payload"]
        on = event == "subscribe"
        good = []
        for name in payload:
            symbol = name.split(".")[1] if channel == "spot.obu" else name
            if not self.exchange.knows(symbol):
                self.answer(channel, event, [name], now, f"unknown currency pair: {symbol}")
            elif channel == "spot.obu" and on and symbol in self.books:
                self.answer(channel, event, [name], now, f"already subscribed {name}")
            else:
                good.append((name, symbol))
        if good:
            self.answer(channel, event, [name for name, _ in good], now)
        for name, symbol in good:
            if channel == "spot.obu":
                if on:
                    self.books[symbol] = int(name.rsplit(".", 1)[1])
                    self.snapshot(symbol, now)
                else:
                    self.books.pop(symbol, None)
            elif channel == "spot.trades":
                (self.trades.add if on else self.trades.discard)(symbol)
            elif channel == "spot.book_ticker":
                (self.quotes.add if on else self.quotes.discard)(symbol)

    def times(self, now: int) -> str:
        """Write the times of the envelope."""
        return f'"time":{now // 1_000_000_000},"time_ms":{now // MS}'

    def answer(self, channel: str, event: str, payload: Sequence[str], now: int, error: str = "") -> None:
        """Acknowledge, or refuse."""
        about = f'"channel":"{channel}","event":"{event}","payload":{json.dumps(payload)}'
        result = (
            f'"error":{{"code":2,"message":"{error}"}},"result":{{"status":"fail"}}' if error else f'"result":{SUCCESS}'
        )
        self.control(
            f'{{{self.times(now)},"conn_id":"5e74253e9c793974","trace_id":"1bde5aaa0acf2f5f",{about},{result}}}', now
        )

    def book(self, topic: Topic, levels: Sequence[Level], time: int, *, snapshot: bool) -> None:
        """Send levels."""
        listing = self.exchange.markets[topic.symbol].listing

        def write(levels: Sequence[Level], first: int, last: int) -> str:
            bids, asks = (
                ",".join(
                    f'["{trimmed(p, listing.price_decimals)}","{trimmed(s, listing.size_decimals)}"]'
                    for side, p, s in levels
                    if side == wanted
                )
                for wanted in (BID, ASK)
            )
            full, begin = ('"full":true,', "") if snapshot else ("", f'"U":{first},')
            return (
                f'{{"channel":"spot.obu","result":{{"t":{time // MS},{full}"s":"ob.{topic.symbol}.{topic.depth}",'
                f'{begin}"u":{last},"b":[{bids}],"a":[{asks}]}},"event":"update",{self.times(time)}}}'
            )

        parts: dict[str, Any] = {"levels": levels, "first": topic.first, "last": topic.last}
        self.push(Frame(write(**parts), "book", topic.symbol, snapshot, levels, parts, write), time)

    def snapshot(self, symbol: str, now: int) -> None:
        """Send the best levels of a book."""
        topic = self.exchange.topic(symbol, self.books[symbol])
        time = self.exchange.stamp(symbol, now)
        self.exchange.remember(symbol, topic.last, time, self.exchange.book(symbol))
        levels = [(side, price, size) for side in (BID, ASK) for price, size in top(topic.window, side, 0)]
        self.book(topic, levels, time, snapshot=True)

    def unsolicited(self, symbol: str, now: int) -> bool:
        """Send the best levels once more."""
        if symbol in self.books:
            self.snapshot(symbol, now)
        return symbol in self.books

    def on_book(self, topic: Topic, changes: Sequence[Level], time: int) -> None:
        """Send an update."""
        self.book(topic, changes, time, snapshot=False)

    def on_trade(self, symbol: str, trade: Trade, time: int) -> None:
        """Send ``spot.trades``."""
        listing = self.exchange.markets[symbol].listing

        def write(id: int) -> str:
            ms = f"{time // MS}.{time // 1000 % 1000:03d}"
            return (
                f'{{{self.times(time)},"channel":"spot.trades","event":"update",'
                f'"result":{{"id":{id * 3},"id_market":{id},'
                f'"create_time":{time // 1_000_000_000},"create_time_ms":"{ms}",'
                f'"side":"{"sell" if trade.side == ASK else "buy"}","currency_pair":"{symbol}",'
                f'"amount":"{trimmed(trade.size, listing.size_decimals)}",'
                f'"price":"{trimmed(trade.price, listing.price_decimals)}","range":"{id}-{id}"}}}}'
            )

        parts: dict[str, Any] = {"id": trade.id}
        self.push(Frame(write(**parts), "trades", symbol, False, (), parts, write), time)

    def on_quote(self, symbol: str, topic_id: int, time: int) -> None:
        """Send ``spot.book_ticker``."""
        market = self.exchange.markets[symbol]
        price, size = market.listing.price_decimals, market.listing.size_decimals
        (bid, bid_size), (ask, ask_size) = market.best(BID) or (0, 0), market.best(ASK) or (0, 0)
        last = topic_id or next((t.last for t in self.exchange.topics.values() if t.symbol == symbol), 1)
        text = (
            f'{{{self.times(time)},"channel":"spot.book_ticker","event":"update",'
            f'"result":{{"t":{time // MS},"u":{last},'
            f'"s":"{symbol}","b":"{trimmed(bid, price)}","B":"{trimmed(bid_size, size)}",'
            f'"a":"{trimmed(ask, price)}","A":"{trimmed(ask_size, size)}"}}}}'
        )
        self.push(Frame(text, "quotes", symbol), time)

    def acknowledge(self, now: int) -> bool:
        """Answer a ping that is not ours."""
        self.control(f'{{{self.times(now)},"channel":"spot.pong","event":"","result":null}}', now)
        return True


class Gate(Exchange):
    """Spot."""

    venue = "gate"
    protocol = "gate-v2"
    pings = 10
    listings = (
        Listing(symbol="BTC_USDT", base="BTC", quote="USDT", price_decimals=1, size_decimals=6, mid=787_150,
                size=300_000),
        Listing(symbol="ETH_BTC", base="ETH", quote="BTC", price_decimals=6, size_decimals=4, mid=34_120,
                size=25_000),
        Listing(symbol="DOGE_USDT", base="DOGE", quote="USDT", price_decimals=5, size_decimals=2, mid=21_345,
                size=400_000),
    )  # fmt: skip

    def connect(self, path: str, now: int) -> GateConnection:
        """Open a connection."""
        connection = GateConnection(self, path, now)
        self.join(connection)
        return connection

    def number(self, topic: Topic, changes: Sequence[Level]) -> None:
        """Count updates."""
        topic.previous, topic.first = topic.last, topic.last + 1
        topic.last += len(changes)

    def reset_ids(self, symbol: str, now: int) -> str:
        """Send a whole book with another id."""
        for topic in [topic for topic in self.topics.values() if topic.symbol == symbol]:
            topic.last = topic.first = self.rng.randrange(10**5, 10**9)
            for connection in self.connections:
                if connection.books.get(symbol) == topic.depth:
                    connection.unsolicited(symbol, now)
        return "full again"

    def instruments(self, method: str, target: str, body: str) -> str | None:
        """Write the pairs."""
        if urlsplit(target).path != "/api/v4/spot/currency_pairs":
            return None
        return json.dumps(
            [
                {
                    "id": one.symbol,
                    "base": one.base,
                    "base_name": one.base,
                    "quote": one.quote,
                    "quote_name": one.quote,
                    "fee": "0.2",
                    "min_base_amount": "0.000001",
                    "min_quote_amount": "3",
                    "amount_precision": one.size_decimals,
                    "precision": one.price_decimals,
                    "trade_status": "tradable",
                    "type": "normal",
                }
                for one in self.listed
            ]
        )
