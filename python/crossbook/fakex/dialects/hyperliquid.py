"""Hyperliquid: every message is the whole book."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from crossbook.fakex.truth import ASK, BID, Level, Listing, Trade, top
from crossbook.fakex.venue import SECOND, Connection, Exchange, Frame, Topic, trimmed

if TYPE_CHECKING:
    from collections.abc import Sequence

MS = 1_000_000


def pointed(count: int, decimals: int) -> str:
    """Write a number as this venue does: with a point."""
    text = trimmed(count, decimals)
    return text if "." in text else f"{text}.0"


class HyperliquidConnection(Connection):
    """One connection."""

    exchange: Hyperliquid

    def on_text(self, text: str, now: int) -> None:
        """Read ``subscribe``, ``unsubscribe`` and ``ping``."""
        request = json.loads(text)
        if request["method"] == "ping":
            self.control('{"channel":"pong"}', now, beat=True)
            return
        on, wanted = request["method"] == "subscribe", request["subscription"]
        kind, coin = wanted["type"], wanted.get("coin", "")
        said = json.dumps(wanted, separators=(",", ":"))
        if not self.exchange.knows(coin):
            self.control(json.dumps({"channel": "error", "data": f"Invalid subscription {said}"}), now)
            return
        if kind == "l2Book":
            said = json.dumps({"nSigFigs": None, "mantissa": None, **wanted}, separators=(",", ":"))
        self.control(
            f'{{"channel":"subscriptionResponse","data":{{"method":"{request["method"]}","subscription":{said}}}}}', now
        )
        if kind == "l2Book":
            if on:
                self.books[coin] = 5 if wanted.get("fast") else 20
                self.unsolicited(coin, now)
            else:
                self.books.pop(coin, None)
        elif kind == "trades":
            (self.trades.add if on else self.trades.discard)(coin)
            if on:
                market = self.exchange.markets[coin]
                past = Trade(market.trade_id, market.mid * market.listing.tick, 7, BID)
                self.push(Frame(self.trade(coin, past, now - SECOND), "control", coin), now)
        elif kind == "bbo":
            (self.quotes.add if on else self.quotes.discard)(coin)
            if on:
                self.on_quote(coin, 0, now)

    def level(self, listing: Listing, price: int, size: int) -> str:
        """Write a level."""
        px, sz = pointed(price, listing.price_decimals), pointed(size, listing.size_decimals)
        return f'{{"px":"{px}","sz":"{sz}","n":{1 + size % 7}}}'

    def unsolicited(self, symbol: str, now: int) -> bool:
        """Send the book: nothing else is ever sent."""
        depth = self.books.get(symbol)
        if depth is None:
            return False
        topic = self.exchange.topic(symbol, depth)
        time = self.exchange.stamp(symbol, now)
        self.exchange.remember(symbol, topic.last, time, self.exchange.book(symbol))
        self.on_book(topic, [], time)
        return True

    def on_book(self, topic: Topic, changes: Sequence[Level], time: int) -> None:
        """Send the whole book."""
        symbol, listing = topic.symbol, self.exchange.markets[topic.symbol].listing
        fast = ',"fast":true' if topic.depth == 5 else ""
        shown = [(side, p, s) for side in (BID, ASK) for p, s in top(topic.window, side, topic.depth)]
        if changes and changes[0][1] not in topic.window[changes[0][0]] and changes[0][2]:
            shown += changes

        def write(levels: Sequence[Level]) -> str:
            bids, asks = (
                ",".join(self.level(listing, p, s) for side, p, s in levels if side == wanted) for wanted in (BID, ASK)
            )
            return (
                f'{{"channel":"l2Book","data":{{"coin":"{symbol}","time":{time // MS},"levels":[[{bids}],[{asks}]]'
                f"{fast}}}}}"
            )

        self.push(Frame(write(shown), "book", symbol, True, shown, {"levels": shown}, write), time)

    def trade(self, symbol: str, trade: Trade, time: int) -> str:
        """Write a trade."""
        listing = self.exchange.markets[symbol].listing
        return (
            f'{{"channel":"trades","data":[{{"coin":"{symbol}","side":"{"A" if trade.side == ASK else "B"}",'
            f'"px":"{pointed(trade.price, listing.price_decimals)}",'
            f'"sz":"{pointed(trade.size, listing.size_decimals)}",'
            f'"time":{time // MS},"hash":"0x{trade.id:064x}","tid":{trade.id * 977_351 % 2**50},'
            f'"users":["0xe9ed7e16612d676df804f5aecd16e1f9bf9ec9dd","0x6802b4267f7f2bf7003dcf993c51542245b38329"]}}]}}'
        )

    def on_trade(self, symbol: str, trade: Trade, time: int) -> None:
        """Send ``trades``."""
        self.push(Frame(self.trade(symbol, trade, time), "trades", symbol), time)

    def on_quote(self, symbol: str, topic_id: int, time: int) -> None:
        """Send ``bbo``."""
        market = self.exchange.markets[symbol]
        bid, ask = (
            self.level(market.listing, *found) if (found := market.best(side)) else "null" for side in (BID, ASK)
        )
        text = f'{{"channel":"bbo","data":{{"coin":"{symbol}","time":{time // MS},"bbo":[{bid},{ask}]}}}}'
        self.push(Frame(text, "quotes", symbol), time)

    def on_time(self, now: int) -> None:
        """Close what the venue has sent nothing to for a minute: a ping would have been answered."""
        if now - max(self.sent, self.opened) > 60 * SECOND:
            self.close = (1000, "Inactive")

    def acknowledge(self, now: int) -> bool:
        """Answer a ping that is not ours."""
        self.control('{"channel":"pong"}', now)
        return True


class Hyperliquid(Exchange):
    """Perpetuals."""

    venue = "hyperliquid"
    protocol = "hyperliquid"
    listings = (
        Listing(symbol="BTC", base="BTC", quote="USDC", price_decimals=1, size_decimals=5, mid=1_050_500, tick=10,
                size=30_000, contract="linear"),
        Listing(symbol="ETH", base="ETH", quote="USDC", price_decimals=2, size_decimals=4, mid=268_500, tick=10,
                size=25_000, contract="linear"),
        Listing(symbol="kPEPE", base="kPEPE", quote="USDC", price_decimals=6, size_decimals=0, mid=12_345,
                size=400_000, contract="linear"),
    )  # fmt: skip

    def connect(self, path: str, now: int) -> HyperliquidConnection:
        """Open a connection."""
        connection = HyperliquidConnection(self, path, now)
        self.join(connection)
        return connection

    def number(self, topic: Topic, changes: Sequence[Level]) -> None:
        """Books have no ids."""

    def instruments(self, method: str, target: str, body: str) -> str | None:
        """Write ``meta``."""
        if method != "POST" or target != "/info" or json.loads(body).get("type") != "meta":
            return None
        rows = [{"szDecimals": one.size_decimals, "name": one.symbol, "maxLeverage": 40} for one in self.listed]
        return json.dumps({"universe": rows, "marginTables": []})
