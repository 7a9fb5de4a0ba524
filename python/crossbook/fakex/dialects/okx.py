"""OKX v5: a chain of ids in every book message."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from crossbook.fakex.truth import ASK, BID, Level, Listing, Trade, top
from crossbook.fakex.venue import SECOND, Connection, Exchange, Frame, Topic, trimmed

if TYPE_CHECKING:
    from collections.abc import Sequence

MS = 1_000_000
CONNECTION = "a4d3ae55"


class OkxConnection(Connection):
    """One connection."""

    exchange: Okx

    def on_text(self, text: str, now: int) -> None:
        """Read ``subscribe``, ``unsubscribe`` and the text ``ping``."""
        if text == "ping":
            self.control("pong", now, beat=True)
            return
        request = json.loads(text)
        op, on = request["op"], request["op"] == "subscribe"
        for arg in request["args"]:
            channel, symbol = arg["channel"], arg.get("instId", "")
            if not self.exchange.knows(symbol):
                self.control(
                    f'{{"event":"error",'
                    f'"msg":"Wrong URL or channel:{channel},instId:{symbol} doesn\'t exist. Please use '
                    f'the correct URL, channel and parameters referring to API document.","code":"60018",'
                    f'"connId":"{CONNECTION}"}}',
                    now,
                )
                continue
            about = f'{{"channel":"{channel}","instId":"{symbol}"}}'
            self.control(f'{{"event":"{op}","arg":{about},"connId":"{CONNECTION}"}}', now)
            if channel == "books":
                if on:
                    self.books[symbol] = 400
                    self.snapshot(symbol, now)
                else:
                    self.books.pop(symbol, None)
            elif channel == "trades":
                (self.trades.add if on else self.trades.discard)(symbol)
            elif channel == "bbo-tbt":
                (self.quotes.add if on else self.quotes.discard)(symbol)
                if on:
                    self.on_quote(symbol, 0, now)

    def book(
        self, symbol: str, levels: Sequence[Level], time: int, previous: int, last: int, *, snapshot: bool
    ) -> None:
        """Send levels."""
        listing = self.exchange.markets[symbol].listing

        def write(levels: Sequence[Level], previous: int, last: int) -> str:
            asks, bids = (
                ",".join(
                    f'["{trimmed(p, listing.price_decimals)}","{trimmed(s, listing.size_decimals)}","0",'
                    f'"{1 + s % 9 if s else 0}"]'
                    for side, p, s in levels
                    if side == wanted
                )
                for wanted in (ASK, BID)
            )
            return (
                f'{{"arg":{{"channel":"books","instId":"{symbol}"}},"action":"{"snapshot" if snapshot else "update"}",'
                f'"data":[{{"asks":[{asks}],"bids":[{bids}],"ts":"{time // MS}","checksum":0,"seqId":{last},'
                f'"prevSeqId":{previous}}}]}}'
            )

        parts: dict[str, Any] = {"levels": levels, "previous": previous, "last": last}
        self.push(Frame(write(**parts), "book", symbol, snapshot, levels, parts, write), time)

    def snapshot(self, symbol: str, now: int) -> None:
        """Send the best levels of a book."""
        topic = self.exchange.topic(symbol, 400)
        levels = [(side, price, size) for side in (BID, ASK) for price, size in top(topic.window, side, 0)]
        time = self.exchange.stamp(symbol, now)
        self.exchange.remember(symbol, topic.last, time, self.exchange.book(symbol))
        self.book(symbol, levels, time, -1, topic.last, snapshot=True)

    def unsolicited(self, symbol: str, now: int) -> bool:
        """Send the best levels once more."""
        if symbol in self.books:
            self.snapshot(symbol, now)
        return symbol in self.books

    def on_book(self, topic: Topic, changes: Sequence[Level], time: int) -> None:
        """Send ``update``."""
        self.book(topic.symbol, changes, time, topic.previous, topic.last, snapshot=False)

    def on_trade(self, symbol: str, trade: Trade, time: int) -> None:
        """Send ``trades``."""
        listing = self.exchange.markets[symbol].listing

        def write(id: int) -> str:
            return (
                f'{{"arg":{{"channel":"trades","instId":"{symbol}"}},"data":[{{"instId":"{symbol}","tradeId":"{id}",'
                f'"px":"{trimmed(trade.price, listing.price_decimals)}",'
                f'"sz":"{trimmed(trade.size, listing.size_decimals)}",'
                f'"side":"{"sell" if trade.side == ASK else "buy"}",'
                f'"ts":"{time // MS}","count":"1","source":"0","seqId":{self.exchange.global_id}}}]}}'
            )

        parts: dict[str, Any] = {"id": trade.id}
        self.push(Frame(write(**parts), "trades", symbol, False, (), parts, write), time)

    def on_quote(self, symbol: str, topic_id: int, time: int) -> None:
        """Send ``bbo-tbt``."""
        market = self.exchange.markets[symbol]
        price, size = market.listing.price_decimals, market.listing.size_decimals
        (bid, bid_size), (ask, ask_size) = market.best(BID) or (0, 0), market.best(ASK) or (0, 0)
        text = (
            f'{{"arg":{{"channel":"bbo-tbt","instId":"{symbol}"}},"data":[{{'
            f'"asks":[["{trimmed(ask, price)}","{trimmed(ask_size, size)}","0","2"]],'
            f'"bids":[["{trimmed(bid, price)}","{trimmed(bid_size, size)}","0","2"]],'
            f'"ts":"{time // MS}","seqId":{topic_id or self.exchange.topic(symbol, 400).last}}}]}}'
        )
        self.push(Frame(text, "quotes", symbol), time)

    def on_time(self, now: int) -> None:
        """Close what is silent both ways for half a minute; tell that a quiet book is alive."""
        if now - max(self.heard, self.sent, self.opened) > 30 * SECOND:
            self.close = (4004, "no data received in 30s")
        for symbol in self.books:
            topic = self.exchange.topic(symbol, 400)
            if now - self.exchange.spoken.get(symbol, now) >= 60 * SECOND:
                self.exchange.spoken[symbol] = now
                time = self.exchange.stamp(symbol, now)
                self.exchange.remember(symbol, topic.last, time, self.exchange.book(symbol))
                self.book(symbol, [], time, topic.last, topic.last, snapshot=False)

    def acknowledge(self, now: int) -> bool:
        """Answer a request of somebody's."""
        count = '{"event":"channel-conn-count","channel":"books","connCount":"2","connId":"a4d3ae55"}'
        self.control(count, now)
        return True

    def announce_close(self, now: int) -> bool:
        """Send the notice before an upgrade of the service."""
        self.control(
            '{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. Please '
            f'reconnect.","connId":"{CONNECTION}"}}',
            now,
        )
        return True


class Okx(Exchange):
    """Spot and swaps on one connection."""

    venue = "okx"
    protocol = "okx-v5"
    listings = (
        Listing(symbol="BTC-USDT", base="BTC", quote="USDT", price_decimals=1, size_decimals=8, mid=787_223,
                size=30_000_000),
        Listing(symbol="BTC-USDT-SWAP", base="BTC", quote="USDT", price_decimals=1, size_decimals=2, mid=787_300,
                size=12_000, contract="linear"),
        Listing(symbol="DOGE-USDT", base="DOGE", quote="USDT", price_decimals=5, size_decimals=6, mid=21_345,
                size=400_000_000),
    )  # fmt: skip

    def open_markets(self) -> None:
        """Remember when each book last had a message."""
        super().open_markets()
        self.spoken: dict[str, int] = {}

    def connect(self, path: str, now: int) -> OkxConnection:
        """Open a connection."""
        connection = OkxConnection(self, path, now)
        self.join(connection)
        return connection

    def number(self, topic: Topic, changes: Sequence[Level]) -> None:
        """Chain messages; ids jump."""
        topic.previous, topic.last = topic.last, topic.last + self.rng.choice((7, 8, 11, 28, 31, 79))
        self.spoken[topic.symbol] = self.now

    def reset_ids(self, symbol: str, now: int) -> str:
        """Begin anew after maintenance: the id runs back, the chain holds."""
        topic = self.topic(symbol, 400)
        market = self.markets[symbol]
        changes = market.change()
        time = self.stamp(symbol, now)
        told = self.changes(topic, changes)
        topic.previous, topic.last = topic.last, 3
        self.remember(symbol, topic.last, time, market.book)
        for connection in self.connections:
            if symbol in connection.books:
                connection.on_book(topic, told, time)
        return "seqId below prevSeqId"

    def instruments(self, method: str, target: str, body: str) -> str | None:
        """Write ``instruments``."""
        parts = urlsplit(target)
        if parts.path != "/api/v5/public/instruments":
            return None
        wanted = parse_qs(parts.query).get("instType", ["SPOT"])[0]
        rows = [self.entry(one) for one in self.listed if (one.contract == "spot") == (wanted == "SPOT")]
        return json.dumps({"code": "0", "data": rows if wanted in ("SPOT", "SWAP") else [], "msg": ""})

    def entry(self, one: Listing) -> dict[str, str]:
        """One instrument."""
        swap = one.contract != "spot"
        return {
            "instType": "SWAP" if swap else "SPOT",
            "instId": one.symbol,
            "instFamily": f"{one.base}-{one.quote}" if swap else "",
            "uly": f"{one.base}-{one.quote}" if swap else "",
            "baseCcy": "" if swap else one.base,
            "quoteCcy": "" if swap else one.quote,
            "settleCcy": one.quote if swap else "",
            "ctVal": "0.01" if swap else "",
            "ctMult": "1" if swap else "",
            "ctValCcy": one.base if swap else "",
            "ctType": "linear" if swap else "",
            "tickSz": trimmed(one.tick, one.price_decimals),
            "lotSz": trimmed(1, one.size_decimals),
            "minSz": trimmed(1, one.size_decimals),
            "optType": "",
            "stk": "",
            "listTime": "1548133413000",
            "expTime": "",
            "lever": "",
            "state": "live",
        }
