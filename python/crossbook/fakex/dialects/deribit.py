"""Deribit v2: JSON-RPC, a chain of change ids, and heartbeats that want an answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from crossbook.fakex.truth import ASK, BID, Level, Listing, Trade, top
from crossbook.fakex.venue import SECOND, Connection, Exchange, Frame, Topic, trimmed

if TYPE_CHECKING:
    from collections.abc import Sequence

MS = 1_000_000


def number(count: int, decimals: int) -> str:
    """Write a number as this venue does: always with a point."""
    text = trimmed(count, decimals)
    return text if "." in text else f"{text}.0"


class DeribitConnection(Connection):
    """One connection."""

    exchange: Deribit

    def __init__(self, exchange: Deribit, path: str, now: int) -> None:
        super().__init__(exchange, path, now)
        self.interval = 0
        self.asked: int | None = None
        """When a test request was sent that nobody has answered yet."""
        self.known: dict[str, set[tuple[int, int]]] = {}

    def on_text(self, text: str, now: int) -> None:
        """Read a call."""
        call = json.loads(text)
        method, id_ = call["method"], call["id"]
        params = call.get("params", {})
        us = now // 1000
        end = f'"usIn":{us},"usOut":{us + 150},"usDiff":150,"testnet":false'
        if method == "public/set_heartbeat":
            self.interval, self.beaten = params["interval"], now
            self.control(f'{{"jsonrpc":"2.0","id":{id_},"result":"ok",{end}}}', now)
        elif method == "public/test":
            self.asked = None
            self.control(f'{{"jsonrpc":"2.0","id":{id_},"result":{{"version":"1.2.26"}},{end}}}', now, beat=True)
        elif method in ("public/subscribe", "public/unsubscribe"):
            on = method.endswith("/subscribe")
            # What it does not know it leaves out of the answer, without a word.
            good = [name for name in params["channels"] if self.exchange.knows(name.split(".")[1])]
            self.control(f'{{"jsonrpc":"2.0","id":{id_},"result":{json.dumps(good)},{end}}}', now)
            for name in good:
                self.subscribe(name, on, now)
        else:
            error = '{"message":"Method not found","code":-32601}'
            self.control(f'{{"jsonrpc":"2.0","id":{id_},"error":{error},{end}}}', now)

    def subscribe(self, name: str, on: bool, now: int) -> None:
        """Begin or end a channel."""
        kind, symbol, *_ = name.split(".")
        if kind == "book":
            if on:
                self.books[symbol] = 0
                self.exchange.topic(symbol, 0)
                self.snapshot(symbol, now)
            else:
                self.books.pop(symbol, None)
        elif kind == "trades":
            (self.trades.add if on else self.trades.discard)(symbol)
        elif kind == "quote":
            (self.quotes.add if on else self.quotes.discard)(symbol)
            if on:
                self.on_quote(symbol, 0, now)

    def say(self, channel: str, data: str) -> str:
        """Write a message of a channel."""
        return f'{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{channel}","data":{data}}}}}'

    def book(self, topic: Topic, levels: Sequence[Level], time: int, *, snapshot: bool) -> None:
        """Send levels."""
        symbol, listing = topic.symbol, self.exchange.markets[topic.symbol].listing
        known = self.known.setdefault(symbol, set())
        if snapshot:
            known.clear()
        verbs = {}
        for side, price, size in levels:
            at = side, price
            verbs[at] = "delete" if not size else "change" if at in known else "new"
            (known.add if size else known.discard)(at)

        def write(levels: Sequence[Level], previous: int, last: int) -> str:
            bids, asks = (
                ",".join(
                    f'["{verbs.get((side, p), "change") if s else "delete"}",{number(p, listing.price_decimals)},'
                    f"{number(s, listing.size_decimals)}]"
                    for side, p, s in levels
                    if side == wanted
                )
                for wanted in (BID, ASK)
            )
            before = "" if snapshot else f'"prev_change_id":{previous},'
            return self.say(
                f"book.{symbol}.100ms",
                f'{{"type":"{"snapshot" if snapshot else "change"}","timestamp":{time // MS},{before}'
                f'"instrument_name":"{symbol}","change_id":{last},"bids":[{bids}],"asks":[{asks}]}}',
            )

        parts: dict[str, Any] = {"levels": levels, "previous": topic.previous, "last": topic.last}
        self.push(Frame(write(**parts), "book", symbol, snapshot, levels, parts, write), time)

    def snapshot(self, symbol: str, now: int) -> None:
        """Send the whole book."""
        topic = self.exchange.topic(symbol, 0)
        book = self.exchange.book(symbol)
        time = self.exchange.stamp(symbol, now)
        self.exchange.remember(symbol, topic.last, time, book)
        levels = [(side, price, size) for side in (BID, ASK) for price, size in top(book, side, 0)]
        self.book(topic, levels, time, snapshot=True)

    def unsolicited(self, symbol: str, now: int) -> bool:
        """Send the whole book once more."""
        if symbol in self.books:
            self.snapshot(symbol, now)
        return symbol in self.books

    def on_book(self, topic: Topic, changes: Sequence[Level], time: int) -> None:
        """Send ``change``."""
        self.book(topic, changes, time, snapshot=False)

    def on_trade(self, symbol: str, trade: Trade, time: int) -> None:
        """Send ``trades``."""
        listing = self.exchange.markets[symbol].listing
        price = number(trade.price, listing.price_decimals)
        iv = '"iv":78.44,' if listing.contract == "option" else ""

        def write(id: int) -> str:
            return self.say(
                f"trades.{symbol}.100ms",
                f'[{{"trade_seq":{id},"trade_id":"{id * 3 + 48_079_254}","timestamp":{time // MS},"tick_direction":0,'
                f'"price":{price},"mark_price":{price},{iv}"instrument_name":"{symbol}","index_price":{price},'
                f'"direction":"{"sell" if trade.side == ASK else "buy"}",'
                f'"amount":{number(trade.size, listing.size_decimals)}}}]',
            )

        parts: dict[str, Any] = {"id": trade.id}
        self.push(Frame(write(**parts), "trades", symbol, False, (), parts, write), time)

    def on_quote(self, symbol: str, topic_id: int, time: int) -> None:
        """Send ``quote``."""
        market = self.exchange.markets[symbol]
        price, size = market.listing.price_decimals, market.listing.size_decimals
        (bid, bid_size), (ask, ask_size) = market.best(BID) or (0, 0), market.best(ASK) or (0, 0)
        text = self.say(
            f"quote.{symbol}",
            f'{{"timestamp":{time // MS},"instrument_name":"{symbol}","best_bid_price":{number(bid, price)},'
            f'"best_bid_amount":{number(bid_size, size)},"best_ask_price":{number(ask, price)},'
            f'"best_ask_amount":{number(ask_size, size)}}}',
        )
        self.push(Frame(text, "quotes", symbol), time)

    def on_time(self, now: int) -> None:
        """Send heartbeats, ask for an answer, and cut off who does not give it."""
        if not self.interval:
            return
        if self.asked is not None and now - self.asked > self.interval * SECOND:
            self.close = (1000, "no answer to test_request")
        elif now - self.beaten >= self.interval * SECOND:
            self.beaten = now
            self.asked = self.asked or now
            for kind in ("heartbeat", "test_request"):
                text = f'{{"jsonrpc":"2.0","method":"heartbeat","params":{{"type":"{kind}"}}}}'
                self.control(text, now, beat=kind == "heartbeat")

    def acknowledge(self, now: int) -> bool:
        """Answer a call of somebody's."""
        self.control(
            f'{{"jsonrpc":"2.0","id":9929,"result":{now // MS},"usIn":1,"usOut":2,"usDiff":1,"testnet":false}}', now
        )
        return True


class Deribit(Exchange):
    """A perpetual and options on one connection."""

    venue = "deribit"
    protocol = "deribit-v2"
    beats = True
    listings = (
        Listing(symbol="BTC-PERPETUAL", base="BTC", quote="USD", price_decimals=1, size_decimals=0, mid=787_000,
                tick=5, size=12_000, contract="inverse"),
        Listing(symbol="BTC-25DEC26-80000-C", base="BTC", quote="USD", price_decimals=4, size_decimals=1, mid=640,
                tick=5, size=250, contract="option"),
        Listing(symbol="ETH-25DEC26-3000-P", base="ETH", quote="USD", price_decimals=4, size_decimals=0, mid=905,
                tick=5, size=900, contract="option"),
    )  # fmt: skip

    def connect(self, path: str, now: int) -> DeribitConnection:
        """Open a connection."""
        connection = DeribitConnection(self, path, now)
        self.join(connection)
        return connection

    def number(self, topic: Topic, changes: Sequence[Level]) -> None:
        """Chain messages; ids are shared by all instruments."""
        self.global_id += self.rng.randrange(1, 90)
        topic.previous, topic.last = topic.last, self.global_id

    def begin(self, topic: Topic) -> None:
        """Begin where the others are."""
        topic.last = self.global_id

    def instruments(self, method: str, target: str, body: str) -> str | None:
        """Write ``get_instruments``."""
        if urlsplit(target).path != "/api/v2/public/get_instruments":
            return None
        rows = []
        for one in self.listed:
            option = one.contract == "option"
            step = float(trimmed(1, one.size_decimals)) if option else 10
            tick = float(trimmed(one.tick, one.price_decimals))
            parts = one.symbol.split("-")
            row: dict[str, object] = {
                "instrument_name": one.symbol,
                "kind": "option" if option else "future",
                "base_currency": one.base,
                "counter_currency": one.quote,
                "quote_currency": one.base if option else one.quote,
                "settlement_currency": one.base,
                "tick_size": tick,
                "tick_size_steps": [],
                "min_trade_amount": step,
                "contract_size": 1 if option else 10,
                "is_active": True,
                "state": "open",
                "instrument_type": "reversed",
                "expiration_timestamp": 1_798_185_600_000 if option else 32_503_708_800_000,
            }
            if option:
                row |= {"strike": float(parts[2]), "option_type": "call" if parts[3] == "C" else "put"}
            rows.append(row)
        us = self.now // 1000
        return json.dumps({"jsonrpc": "2.0", "result": rows, "usIn": us, "usOut": us, "usDiff": 0, "testnet": False})
