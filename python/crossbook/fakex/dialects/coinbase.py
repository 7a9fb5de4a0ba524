"""Coinbase Advanced Trade: every frame of a connection is counted, acknowledgements and heartbeats too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from crossbook.fakex.truth import ASK, BID, Level, Listing, Trade, top
from crossbook.fakex.venue import SECOND, Channel, Connection, Exchange, Frame, Topic, iso, trimmed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


class CoinbaseConnection(Connection):
    """One connection and its counter."""

    exchange: Coinbase

    def __init__(self, exchange: Coinbase, path: str, now: int) -> None:
        super().__init__(exchange, path, now)
        self.counter = 0
        self.subscribed: dict[str, list[str]] = {}
        self.heartbeat = 0
        self.data = now
        """When it last had data."""

    def number(self) -> int:
        """Give the number of the next frame."""
        self.counter += 1
        return self.counter - 1

    def say(
        self,
        channel: str,
        events: Callable[..., str],
        now: int,
        *,
        kind: Channel,
        symbol: str = "",
        snapshot: bool = False,
        levels: Sequence[Level] | None = None,
        **parts: Any,
    ) -> None:
        """Send one numbered frame."""
        parts["counter"] = self.number()
        if levels is not None:
            parts["levels"] = levels
        # Between the event and the frame lies a while.
        stamp = iso(now + 221_133_299, 9)

        def write(counter: int, **rest: Any) -> str:
            return (
                f'{{"channel":"{channel}","timestamp":"{stamp}","sequence_num":{counter},"events":[{events(**rest)}]}}'
            )

        self.push(Frame(write(**parts), kind, symbol, snapshot, levels or (), parts, write), now)

    def on_text(self, text: str, now: int) -> None:
        """Read ``subscribe`` and ``unsubscribe``."""
        request = json.loads(text)
        on, channel = request["type"] == "subscribe", request["channel"]
        wanted = request.get("product_ids", [])
        unknown = [symbol for symbol in wanted if not self.exchange.knows(symbol)]
        for symbol in unknown:
            self.control(f'{{"type":"error","message":"{symbol} is not a valid product"}}', now)
        products = [symbol for symbol in wanted if symbol not in unknown]
        if channel == "heartbeats":
            self.subscribed.setdefault("heartbeats", []) if on else self.subscribed.pop("heartbeats", None)
        known = self.subscribed.setdefault(channel, [])
        for symbol in products:
            if not on:
                if symbol in known:
                    known.remove(symbol)
            elif symbol not in known:
                known.append(symbol)
            if channel == "level2":
                (self.books.__setitem__(symbol, 0) if on else self.books.pop(symbol, None))
                if on:
                    self.exchange.topic(symbol, 0)
                    self.snapshot(symbol, now)
            elif channel == "market_trades":
                (self.trades.add if on else self.trades.discard)(symbol)
                if on:
                    self.past_trades(symbol, now)
            elif channel == "ticker":
                (self.quotes.add if on else self.quotes.discard)(symbol)
                if on:
                    self.ticker(symbol, now, "snapshot")
        if not unknown or products or channel == "heartbeats":
            self.confirm(now)

    def confirm(self, now: int) -> None:
        """Send what is subscribed."""
        listed = {("level2" if name == "level2" else name): names for name, names in self.subscribed.items() if names}
        if "heartbeats" in self.subscribed:
            listed["heartbeats"] = ["heartbeats"]
        text = json.dumps(listed, separators=(",", ":"))
        self.say("subscriptions", lambda: f'{{"subscriptions":{text}}}', now, kind="control")

    def updates(self, levels: Sequence[Level], listing: Listing, time: int) -> str:
        """Write levels."""
        stamp = iso(time)
        return ",".join(
            f'{{"side":"{"offer" if side == ASK else "bid"}","event_time":"{stamp}",'
            f'"price_level":"{trimmed(price, listing.price_decimals)}",'
            f'"new_quantity":"{trimmed(size, listing.size_decimals)}"}}'
            for side, price, size in levels
        )

    def book(self, symbol: str, levels: Sequence[Level], time: int, *, snapshot: bool) -> None:
        """Send levels."""
        listing = self.exchange.markets[symbol].listing
        kind = "snapshot" if snapshot else "update"

        def events(levels: Sequence[Level]) -> str:
            return f'{{"type":"{kind}","product_id":"{symbol}","updates":[{self.updates(levels, listing, time)}]}}'

        self.data = time
        self.say("l2_data", events, time, kind="book", symbol=symbol, snapshot=snapshot, levels=levels)

    def snapshot(self, symbol: str, now: int) -> None:
        """Send the whole book."""
        book = self.exchange.book(symbol)
        levels = [(side, price, size) for side in (BID, ASK) for price, size in top(book, side, 0)]
        time = self.exchange.stamp(symbol, now)
        self.exchange.remember(symbol, 0, time, book)
        self.book(symbol, levels, time, snapshot=True)

    def unsolicited(self, symbol: str, now: int) -> bool:
        """Send the whole book once more."""
        if symbol in self.books:
            self.snapshot(symbol, now)
        return symbol in self.books

    def on_book(self, topic: Topic, changes: Sequence[Level], time: int) -> None:
        """Send ``update``."""
        self.book(topic.symbol, changes, time, snapshot=False)

    def trade_events(self, symbol: str, trades: Sequence[Trade], time: int, kind: str) -> Callable[..., str]:
        """Write trades, newest first; `side` is the maker's."""
        listing = self.exchange.markets[symbol].listing

        def events(id: int) -> str:
            shift = id - trades[0].id
            rows = ",".join(
                f'{{"trade_id":"{trade.id + shift}","product_id":"{symbol}",'
                f'"price":"{trimmed(trade.price, listing.price_decimals)}",'
                f'"size":"{trimmed(trade.size, listing.size_decimals)}",'
                f'"time":"{iso(time)}","side":"{"BUY" if trade.side == ASK else "SELL"}"}}'
                for trade in trades
            )
            return f'{{"type":"{kind}","trades":[{rows}]}}'

        return events

    def past_trades(self, symbol: str, now: int) -> None:
        """Send the last trades before the subscription."""
        market = self.exchange.markets[symbol]
        past = [Trade(market.trade_id - i, market.mid * market.listing.tick, 1 + i, BID) for i in range(3)]
        events = self.trade_events(symbol, past, now, "snapshot")
        self.say("market_trades", events, now, kind="control", symbol=symbol, id=past[0].id)

    def on_trade(self, symbol: str, trade: Trade, time: int) -> None:
        """Send ``market_trades``."""
        events = self.trade_events(symbol, [trade], time, "update")
        self.say("market_trades", events, time, kind="trades", symbol=symbol, id=trade.id)

    def ticker(self, symbol: str, time: int, kind: str) -> None:
        """Send ``ticker``."""
        market = self.exchange.markets[symbol]
        listing = market.listing
        (bid, bid_size), (ask, ask_size) = market.best(BID) or (0, 0), market.best(ASK) or (0, 0)
        price, size = listing.price_decimals, listing.size_decimals
        text = (
            f'{{"type":"{kind}","tickers":[{{"type":"ticker","product_id":"{symbol}","price":"{trimmed(bid, price)}",'
            f'"volume_24_h":"16038.28770938","low_24_h":"1","high_24_h":"2","low_52_w":"1","high_52_w":"2",'
            f'"price_percent_chg_24_h":"-4.15775596190603","best_bid":"{trimmed(bid, price)}",'
            f'"best_bid_quantity":"{trimmed(bid_size, size)}","best_ask":"{trimmed(ask, price)}",'
            f'"best_ask_quantity":"{trimmed(ask_size, size)}"}}]}}'
        )
        self.say("ticker", lambda: text, time, kind="quotes", symbol=symbol)

    def on_quote(self, symbol: str, topic_id: int, time: int) -> None:
        """Send ``ticker``."""
        self.ticker(symbol, time, "update")

    def on_time(self, now: int) -> None:
        """Send heartbeats; without them a silent connection is closed."""
        if "heartbeats" in self.subscribed:
            if now - self.beaten >= SECOND:
                self.beaten = now
                self.heartbeat += 1
                counter = self.heartbeat
                stamp = f"{iso(now, 9)[:-1].replace('T', ' ')} +0000 UTC m=+{counter}.525857105"
                text = f'{{"current_time":"{stamp}","heartbeat_counter":{counter}}}'
                self.say("heartbeats", lambda: text, now, kind="beat")
        elif now - max(self.data, self.opened) > 75 * SECOND:
            self.close = (1000, "no data")
        if not self.subscribed and now - self.opened > 5 * SECOND:
            self.close = (1008, "no subscription")

    def acknowledge(self, now: int) -> bool:
        """Send what is subscribed once more: a numbered frame between data."""
        self.confirm(now)
        return True


class Coinbase(Exchange):
    """Books begin in the stream; nothing but the connection's counter proves them."""

    venue = "coinbase"
    protocol = "coinbase-advanced"
    resolution = 1_000
    beats = True
    listings = (
        Listing(symbol="BTC-USD", base="BTC", quote="USD", price_decimals=2, size_decimals=8, mid=7_885_605,
                size=30_000_000),
        Listing(symbol="ETH-BTC", base="ETH", quote="BTC", price_decimals=5, size_decimals=8, mid=3_412,
                size=250_000_000),
        Listing(symbol="DOGE-USD", base="DOGE", quote="USD", price_decimals=5, size_decimals=1, mid=21_345,
                size=40_000),
    )  # fmt: skip

    def connect(self, path: str, now: int) -> CoinbaseConnection:
        """Open a connection."""
        connection = CoinbaseConnection(self, path, now)
        self.join(connection)
        return connection

    def number(self, topic: Topic, changes: Sequence[Level]) -> None:
        """Books have no ids."""
        topic.first = topic.last = 0

    def instruments(self, method: str, target: str, body: str) -> str | None:
        """Write the products."""
        if urlsplit(target).path != "/api/v3/brokerage/market/products":
            return None
        rows = [
            {
                "product_id": one.symbol,
                "price": trimmed(one.mid, one.price_decimals),
                "base_increment": trimmed(1, one.size_decimals),
                "quote_increment": trimmed(one.tick, one.price_decimals),
                "price_increment": trimmed(one.tick, one.price_decimals),
                "base_currency_id": one.base,
                "quote_currency_id": one.quote,
                "product_type": "SPOT",
                "status": "online",
                "trading_disabled": False,
            }
            for one in self.listed
        ]
        return json.dumps({"products": rows, "num_products": len(rows)})
