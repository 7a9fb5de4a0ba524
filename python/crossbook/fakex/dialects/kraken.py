"""Kraken v2: no ids, but a checksum of the best ten levels in every message."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from crossbook.fakex.truth import ASK, BID, Book, Level, Listing, Trade, top, within
from crossbook.fakex.venue import SECOND, Connection, Exchange, Frame, Topic, crc, decimal, iso

if TYPE_CHECKING:
    from collections.abc import Sequence


def checksum(book: Book, listing: Listing) -> int:
    """CRC-32 of the best ten asks from low to high, then bids from high to low: digits without leading zeros."""
    text = "".join(
        decimal(count, decimals).replace(".", "").lstrip("0")
        for side in (ASK, BID)
        for level in top(book, side, 10)
        for count, decimals in zip(level, (listing.price_decimals, listing.size_decimals), strict=True)
    )
    return crc(text)


class KrakenConnection(Connection):
    """A connection that begins with a banner."""

    exchange: Kraken

    def __init__(self, exchange: Kraken, path: str, now: int) -> None:
        super().__init__(exchange, path, now)
        self.control(
            '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online",'
            '"api_version":"v2","connection_id":806193442143087786}]}',
            now,
        )

    def on_text(self, text: str, now: int) -> None:
        """Read ``subscribe``, ``unsubscribe`` and ``ping``."""
        request = json.loads(text)
        method = request["method"]
        times = f'"time_in":"{iso(now)}","time_out":"{iso(now + 58_000)}"'
        if method == "ping":
            self.control(f'{{"method":"pong",{times}}}', now, beat=True)
            return
        params = request["params"]
        channel, on = params["channel"], method == "subscribe"
        for symbol in params["symbol"]:
            if not self.exchange.knows(symbol):
                self.control(
                    f'{{"error":"Currency pair not supported {symbol}","method":"{method}","success":false,'
                    f'"symbol":"{symbol}",{times}}}',
                    now,
                )
                continue
            depth = f'"depth":{params.get("depth", 10)},' if channel == "book" else ""
            extra = '"snapshot":true,' if channel == "book" and on else ""
            self.control(
                f'{{"method":"{method}","result":{{"channel":"{channel}",{depth}{extra}"symbol":"{symbol}"}},'
                f'"success":true,{times}}}',
                now,
            )
            if channel == "book":
                if on:
                    self.books[symbol] = params.get("depth", 10)
                    self.snapshot(symbol, now)
                else:
                    self.books.pop(symbol, None)
            elif channel == "trade":
                (self.trades.add if on else self.trades.discard)(symbol)
            elif channel == "ticker":
                (self.quotes.add if on else self.quotes.discard)(symbol)
                if on:
                    self.ticker(symbol, now, "snapshot")

    def book(self, symbol: str, levels: Sequence[Level], time: int, sum_: int, *, snapshot: bool) -> None:
        """Send levels."""
        listing = self.exchange.markets[symbol].listing

        def write(levels: Sequence[Level]) -> str:
            sides = (
                ",".join(
                    f'{{"price":{decimal(p, listing.price_decimals)},"qty":{decimal(s, listing.size_decimals)}}}'
                    for side, p, s in levels
                    if side == wanted
                )
                for wanted in (BID, ASK)
            )
            bids, asks = sides
            kind = "snapshot" if snapshot else "update"
            return (
                f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{bids}],"asks":[{asks}],'
                f'"checksum":{sum_},"timestamp":"{iso(time)}"}}]}}'
            )

        self.push(Frame(write(levels), "book", symbol, snapshot, levels, {"levels": levels}, write), time)

    def snapshot(self, symbol: str, now: int) -> None:
        """Send the best levels of a book."""
        topic = self.exchange.topic(symbol, self.books[symbol])
        time = self.exchange.stamp(symbol, now)
        book = within(self.exchange.book(symbol), topic.depth)
        self.exchange.remember(symbol, 0, time, self.exchange.book(symbol))
        levels = [(side, price, size) for side in (BID, ASK) for price, size in top(book, side, 0)]
        self.book(symbol, levels, time, checksum(book, self.exchange.markets[symbol].listing), snapshot=True)

    def unsolicited(self, symbol: str, now: int) -> bool:
        """Send the best levels once more."""
        if symbol in self.books:
            self.snapshot(symbol, now)
        return symbol in self.books

    def on_book(self, topic: Topic, changes: Sequence[Level], time: int) -> None:
        """Send ``update``."""
        sum_ = checksum(self.exchange.shown(topic), self.exchange.markets[topic.symbol].listing)
        self.book(topic.symbol, changes, time, sum_, snapshot=False)

    def on_trade(self, symbol: str, trade: Trade, time: int) -> None:
        """Send ``trade``."""
        listing = self.exchange.markets[symbol].listing

        def write(id: int) -> str:
            return (
                f'{{"channel":"trade","type":"update","data":[{{"symbol":"{symbol}",'
                f'"side":"{"sell" if trade.side == ASK else "buy"}",'
                f'"price":{decimal(trade.price, listing.price_decimals)},'
                f'"qty":{decimal(trade.size, listing.size_decimals)},"ord_type":"limit","trade_id":{id},'
                f'"timestamp":"{iso(time)}"}}]}}'
            )

        parts: dict[str, Any] = {"id": trade.id}
        self.push(Frame(write(**parts), "trades", symbol, False, (), parts, write), time)

    def ticker(self, symbol: str, time: int, kind: str) -> None:
        """Send ``ticker``."""
        market = self.exchange.markets[symbol]
        price, size = market.listing.price_decimals, market.listing.size_decimals
        (bid, bid_size), (ask, ask_size) = market.best(BID) or (0, 0), market.best(ASK) or (0, 0)
        last = decimal(bid, price)
        text = (
            f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{symbol}","bid":{decimal(bid, price)},'
            f'"bid_qty":{decimal(bid_size, size)},"ask":{decimal(ask, price)},"ask_qty":{decimal(ask_size, size)},'
            f'"last":{last},"volume":1024.25000000,"vwap":{last},"low":{last},"high":{last},"change":-0.5,'
            f'"change_pct":-0.01,"timestamp":"{iso(time)}"}}]}}'
        )
        self.push(Frame(text, "quotes", symbol), time)

    def on_quote(self, symbol: str, topic_id: int, time: int) -> None:
        """Send ``ticker``."""
        self.ticker(symbol, time, "update")

    def on_time(self, now: int) -> None:
        """Send a heartbeat in every second without anything else."""
        subscribed = self.books or self.trades or self.quotes
        if subscribed and now - max(self.sent, self.beaten) >= SECOND:
            self.beaten = now
            self.control('{"channel":"heartbeat"}', now, beat=True)

    def acknowledge(self, now: int) -> bool:
        """Answer a ping that is not ours."""
        self.control(f'{{"method":"pong","req_id":101,"time_in":"{iso(now)}","time_out":"{iso(now)}"}}', now)
        return True


class Kraken(Exchange):
    """Levels that fall out of the depth leave without a word."""

    venue = "kraken"
    protocol = "kraken-v2"
    resolution = 1_000
    beats = True
    listings = (
        Listing(symbol="BTC/USD", base="XBT", quote="USD", price_decimals=1, size_decimals=8, mid=788_715,
                size=30_000_000),
        Listing(symbol="ETH/BTC", base="ETH", quote="XBT", price_decimals=5, size_decimals=8, mid=3_412,
                size=250_000_000),
        Listing(symbol="DOGE/USD", base="XDG", quote="USD", price_decimals=7, size_decimals=8, mid=2_134_500,
                size=4_000_000_000),
    )  # fmt: skip

    def connect(self, path: str, now: int) -> KrakenConnection:
        """Open a connection."""
        connection = KrakenConnection(self, path, now)
        self.join(connection)
        return connection

    def number(self, topic: Topic, changes: Sequence[Level]) -> None:
        """Books have no ids."""
        topic.first = topic.last = 0

    def shown(self, topic: Topic) -> Book:
        """Give what a subscriber has."""
        return topic.window

    def changes(self, topic: Topic, levels: Sequence[Level]) -> list[Level]:
        """Leave out the removal of what only fell out of the depth."""
        book = self.book(topic.symbol)
        return [level for level in super().changes(topic, levels) if level[2] or level[1] not in book[level[0]]]

    def instruments(self, method: str, target: str, body: str) -> str | None:
        """Write ``AssetPairs``."""
        if urlsplit(target).path != "/0/public/AssetPairs":
            return None
        rows = {
            f"X{one.base}Z{one.quote}": {
                "altname": f"{one.base}{one.quote}",
                "wsname": f"{one.base}/{one.quote}",
                "aclass_base": "currency",
                "base": one.base,
                "aclass_quote": "currency",
                "quote": one.quote,
                "lot": "unit",
                "cost_decimals": 5,
                "pair_decimals": one.price_decimals,
                "lot_decimals": one.size_decimals,
                "lot_multiplier": 1,
                "ordermin": "0.00005",
                "costmin": "0.5",
                "tick_size": decimal(one.tick, one.price_decimals),
                "status": "online",
            }
            for one in self.listed
        }
        return json.dumps({"error": [], "result": rows})
