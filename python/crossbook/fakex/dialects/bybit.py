"""Bybit v5: a counter per topic, which begins anew at 1 with the service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from crossbook.fakex.truth import ASK, BID, Level, Listing, Trade, top
from crossbook.fakex.venue import SECOND, Channel, Connection, Exchange, Frame, Topic, trimmed

if TYPE_CHECKING:
    from collections.abc import Sequence

MS = 1_000_000
CONNECTION = "d9avrao7pl3bpiuoku0g-7tmms"


class BybitConnection(Connection):
    """One connection to one category."""

    exchange: BybitSpot

    def on_text(self, text: str, now: int) -> None:
        """Read ``subscribe``, ``unsubscribe`` and ``ping``."""
        request = json.loads(text)
        op = request["op"]
        if op == "ping":
            self.control(f'{{"success":true,"ret_msg":"pong","conn_id":"{CONNECTION}","op":"ping"}}', now, beat=True)
            return
        on = op == "subscribe"
        if len(request["args"]) > 10:
            self.answer("args size >10", now, op=op, good=False)
            return
        topics = []
        for topic in request["args"]:
            symbol = topic.rsplit(".", 1)[1]
            if self.exchange.knows(symbol):
                topics.append(topic)
            else:
                self.answer(f"error:handler not found,topic:{topic}", now, op=op, good=False)
        if topics:
            self.answer("subscribe" if on else "", now, op=op)
        for topic in topics:
            kind, *middle, symbol = topic.split(".")
            if kind == "publicTrade":
                (self.trades.add if on else self.trades.discard)(symbol)
            elif kind == "orderbook" and middle == ["1"]:
                (self.quotes.add if on else self.quotes.discard)(symbol)
                if on:
                    self.on_quote(symbol, 0, now)
            elif kind == "orderbook":
                if on:
                    self.books[symbol] = int(middle[0])
                    self.snapshot(symbol, now)
                else:
                    self.books.pop(symbol, None)

    def answer(self, message: str, now: int, *, op: str, good: bool = True) -> None:
        """Send an acknowledgement."""
        success = "true" if good else "false"
        self.control(f'{{"success":{success},"ret_msg":"{message}","conn_id":"{CONNECTION}","op":"{op}"}}', now)

    def book(self, symbol: str, depth: int, levels: Sequence[Level], time: int, last: int, *, snapshot: bool) -> Frame:
        """Write levels."""
        listing = self.exchange.markets[symbol].listing
        seq = self.exchange.global_id = self.exchange.global_id + self.exchange.rng.randrange(1, 40)

        def write(levels: Sequence[Level], last: int) -> str:
            bids, asks = (
                ",".join(
                    f'["{trimmed(p, listing.price_decimals)}","{trimmed(s, listing.size_decimals)}"]'
                    for side, p, s in levels
                    if side == wanted
                )
                for wanted in (BID, ASK)
            )
            return (
                f'{{"topic":"orderbook.{depth}.{symbol}","ts":{time // MS + 4},'
                f'"type":"{"snapshot" if snapshot else "delta"}","data":{{"s":"{symbol}","b":[{bids}],"a":[{asks}],'
                f'"u":{last},"seq":{seq}}},"cts":{time // MS}}}'
            )

        parts: dict[str, Any] = {"levels": levels, "last": last}
        channel: Channel = "quotes" if depth == 1 else "book"
        return Frame(write(**parts), channel, symbol, snapshot, levels, parts, write)

    def snapshot(self, symbol: str, now: int) -> None:
        """Send the best levels of a book."""
        topic = self.exchange.topic(symbol, self.books[symbol])
        levels = [(side, price, size) for side in (BID, ASK) for price, size in top(topic.window, side, 0)]
        time = self.exchange.stamp(symbol, now)
        self.exchange.remember(symbol, topic.last, time, self.exchange.book(symbol))
        self.push(self.book(symbol, topic.depth, levels, time, topic.last, snapshot=True), time)

    def unsolicited(self, symbol: str, now: int) -> bool:
        """Send the best levels once more."""
        if symbol in self.books:
            self.snapshot(symbol, now)
        return symbol in self.books

    def on_book(self, topic: Topic, changes: Sequence[Level], time: int) -> None:
        """Send ``delta``."""
        self.push(self.book(topic.symbol, topic.depth, changes, time, topic.last, snapshot=False), time)

    def on_trade(self, symbol: str, trade: Trade, time: int) -> None:
        """Send ``publicTrade``."""
        listing = self.exchange.markets[symbol].listing
        text = (
            f'{{"topic":"publicTrade.{symbol}","type":"snapshot","ts":{time // MS + 3},"data":[{{"T":{time // MS},'
            f'"s":"{symbol}","S":"{"Sell" if trade.side == ASK else "Buy"}",'
            f'"v":"{trimmed(trade.size, listing.size_decimals)}","p":"{trimmed(trade.price, listing.price_decimals)}",'
            f'"L":"PlusTick","i":"{UUID(int=trade.id << 64 | trade.size)}","BT":false,'
            f'"seq":{self.exchange.global_id}}}]}}'
        )
        self.push(Frame(text, "trades", symbol), time)

    def on_quote(self, symbol: str, topic_id: int, time: int) -> None:
        """Send ``orderbook.1``, which is snapshots alone."""
        market = self.exchange.markets[symbol]
        best = [(side, *found) for side in (BID, ASK) if (found := market.best(side))]
        self.exchange.best_id[symbol] = last = self.exchange.best_id.get(symbol, 10**5) + 1
        self.push(self.book(symbol, 1, best, time, last, snapshot=True), time)

    def on_time(self, now: int) -> None:
        """Close what has not said a word for a minute."""
        if now - max(self.heard, self.opened) > 60 * SECOND:
            self.close = (1000, "ping timeout")

    def acknowledge(self, now: int) -> bool:
        """Answer a ping that is not ours."""
        self.control(f'{{"success":true,"ret_msg":"pong","conn_id":"{CONNECTION}","op":"ping"}}', now)
        return True


class BybitSpot(Exchange):
    """Spot."""

    venue = "bybit-spot"
    protocol = "bybit-v5-spot"
    category: ClassVar[str] = "spot"
    listings = (
        Listing(symbol="BTCUSDT", base="BTC", quote="USDT", price_decimals=1, size_decimals=6, mid=787_150,
                size=300_000),
        Listing(symbol="ETHBTC", base="ETH", quote="BTC", price_decimals=6, size_decimals=5, mid=34_120,
                size=250_000),
        Listing(symbol="DOGEUSDT", base="DOGE", quote="USDT", price_decimals=5, size_decimals=1, mid=21_345,
                size=40_000),
    )  # fmt: skip

    def open_markets(self) -> None:
        """Count the best bid and ask of each market."""
        super().open_markets()
        self.best_id: dict[str, int] = {}

    def connect(self, path: str, now: int) -> BybitConnection:
        """Open a connection."""
        connection = BybitConnection(self, path, now)
        self.join(connection)
        return connection

    def number(self, topic: Topic, changes: Sequence[Level]) -> None:
        """Count messages."""
        topic.previous, topic.last = topic.last, topic.last + 1

    def reset_ids(self, symbol: str, now: int) -> str:
        """Begin anew after a restart: a snapshot with the number 1."""
        for topic in [topic for topic in self.topics.values() if topic.symbol == symbol and topic.depth > 1]:
            topic.last = 1
            for connection in self.connections:
                if connection.books.get(symbol) == topic.depth:
                    connection.unsolicited(symbol, now)
        return "snapshot with u = 1"

    def instruments(self, method: str, target: str, body: str) -> str | None:
        """Write ``instruments-info``."""
        parts = urlsplit(target)
        if parts.path != "/v5/market/instruments-info":
            return None
        category = parse_qs(parts.query).get("category", [""])[0]
        rows = [self.entry(one) for one in self.listed] if category == self.category else []
        result = {"category": category, "list": rows, "nextPageCursor": ""}
        return json.dumps({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self.now // MS})

    def entry(self, one: Listing) -> dict[str, object]:
        """One instrument."""
        return {
            "symbol": one.symbol,
            "baseCoin": one.base,
            "quoteCoin": one.quote,
            "innovation": "0",
            "status": "Trading",
            "lotSizeFilter": {
                "basePrecision": trimmed(1, one.size_decimals),
                "quotePrecision": "0.00000001",
                "minOrderQty": "0.000048",
                "maxOrderQty": "71.73956243",
            },
            "priceFilter": {"tickSize": trimmed(one.tick, one.price_decimals)},
        }


class BybitLinear(BybitSpot):
    """Perpetuals margined in USDT."""

    venue = "bybit-linear"
    protocol = "bybit-v5-linear"
    category = "linear"
    listings = (
        Listing(symbol="BTCUSDT", base="BTC", quote="USDT", price_decimals=1, size_decimals=3, mid=787_150, size=300,
                contract="linear"),
        Listing(symbol="ETHUSDT", base="ETH", quote="USDT", price_decimals=2, size_decimals=2, mid=268_500,
                size=2_500, contract="linear"),
        Listing(symbol="DOGEUSDT", base="DOGE", quote="USDT", price_decimals=5, size_decimals=0, mid=21_345,
                size=4_000, contract="linear"),
    )  # fmt: skip

    def entry(self, one: Listing) -> dict[str, object]:
        """One instrument."""
        tick = trimmed(one.tick, one.price_decimals)
        step = trimmed(1, one.size_decimals)
        return {
            "symbol": one.symbol,
            "contractType": "LinearPerpetual",
            "status": "Trading",
            "baseCoin": one.base,
            "quoteCoin": one.quote,
            "settleCoin": one.quote,
            "launchTime": "1584230400000",
            "deliveryTime": "0",
            "priceScale": str(one.price_decimals),
            "priceFilter": {"minPrice": tick, "maxPrice": "1999999.80", "tickSize": tick},
            "lotSizeFilter": {"maxOrderQty": "1190.000", "minOrderQty": step, "qtyStep": step},
            "fundingInterval": 480,
        }
