"""Bitstamp: changes of levels that nothing proves, and orders one by one, chained by tokens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from crossbook.fakex.truth import ASK, BID, Level, Listing, Order, OrderMarket, Trade, top
from crossbook.fakex.venue import Connection, Exchange, Frame, State, Topic, decimal, trimmed

if TYPE_CHECKING:
    from collections.abc import Sequence


class BitstampConnection(Connection):
    """One connection."""

    exchange: BitstampDiff

    def on_text(self, text: str, now: int) -> None:
        """Read ``bts:subscribe``, ``bts:unsubscribe`` and ``bts:heartbeat``."""
        request = json.loads(text)
        event = request["event"]
        if event == "bts:heartbeat":
            self.control('{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}', now, beat=True)
            return
        name = request["data"]["channel"]
        kind, symbol = name.rsplit("_", 1)
        on = event == "bts:subscribe"
        if not self.exchange.knows(symbol):
            bad = '{"code":null,"message":"Bad subscription string."}'
            self.control(f'{{"event":"bts:error","channel":"{name}","data":{bad}}}', now)
            return
        done = "subscription_succeeded" if on else "unsubscription_succeeded"
        self.control(f'{{"event":"bts:{done}","channel":"{name}","data":{{}}}}', now)
        if kind == self.exchange.channel:
            if on:
                self.books[symbol] = 0
                self.exchange.topic(symbol, 0)
            else:
                self.books.pop(symbol, None)
        elif kind == "live_trades":
            (self.trades.add if on else self.trades.discard)(symbol)

    def on_book(self, topic: Topic, changes: Sequence[Level], time: int) -> None:
        """Send changes of levels."""
        listing = self.exchange.listing(topic.symbol)
        us = time // 1000

        def write(levels: Sequence[Level], time: int) -> str:
            bids, asks = (
                ",".join(
                    f'["{decimal(p, listing.price_decimals)}","{decimal(s, listing.size_decimals)}"]'
                    for side, p, s in levels
                    if side == wanted
                )
                for wanted in (BID, ASK)
            )
            return (
                f'{{"data":{{"timestamp":"{us // 1_000_000}","microtimestamp":"{time}",'
                f'"bids":[{bids}],"asks":[{asks}]}},'
                f'"channel":"diff_order_book_{topic.symbol}","event":"data"}}'
            )

        parts: dict[str, Any] = {"levels": changes, "time": us}
        self.push(Frame(write(**parts), "book", topic.symbol, False, changes, parts, write), time)

    def on_trade(self, symbol: str, trade: Trade, time: int) -> None:
        """Send ``trade``."""
        listing = self.exchange.listing(symbol)
        us = time // 1000

        def write(id: int) -> str:
            return (
                f'{{"data":{{"id":{id},"timestamp":"{us // 1_000_000}",'
                f'"amount":{trimmed(trade.size, listing.size_decimals)},'
                f'"amount_str":"{decimal(trade.size, listing.size_decimals)}",'
                f'"price":{trimmed(trade.price, listing.price_decimals)},'
                f'"price_str":"{decimal(trade.price, listing.price_decimals)}","type":{trade.side},'
                f'"microtimestamp":"{us}","buy_order_id":2043024875446273,"sell_order_id":2043024875446274}},'
                f'"channel":"live_trades_{symbol}","event":"trade"}}'
            )

        parts: dict[str, Any] = {"id": trade.id}
        self.push(Frame(write(**parts), "trades", symbol, False, (), parts, write), time)

    def order(self, symbol: str, kind: str, order: Order, time: int, previous: str, token: str) -> None:
        """Send what happened to an order."""
        listing = self.exchange.listing(symbol)
        us = time // 1000

        def write(price: int, size: int, previous: str, token: str) -> str:
            return (
                f'{{"data":{{"id":{order.id},"id_str":"{order.id}","order_type":{order.side},"order_subtype":5,'
                f'"datetime":"{us // 1_000_000}","microtimestamp":"{us}",'
                f'"amount":{trimmed(size, listing.size_decimals)},'
                f'"amount_str":"{decimal(size, listing.size_decimals)}",'
                f'"amount_traded":"0","amount_at_create":"{decimal(size, listing.size_decimals)}",'
                f'"price":{trimmed(price, listing.price_decimals)},'
                f'"price_str":"{decimal(price, listing.price_decimals)}",'
                f'"is_liquidation":false}},"channel":"live_orders_{symbol}","event":"order_{kind}","event_id":"{token}",'
                f'"pre_event_id":"{previous}","order_source":"orderbook"}}'
            )

        parts: dict[str, Any] = {"price": order.price, "size": order.size, "previous": previous, "token": token}
        levels = [(order.side, order.price, order.size)]
        self.push(Frame(write(**parts), "book", symbol, False, levels, parts, write), time)

    def acknowledge(self, now: int) -> bool:
        """Answer a heartbeat that is not ours."""
        self.control('{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}', now)
        return True

    def announce_close(self, now: int) -> bool:
        """Ask for a new connection."""
        self.control('{"event":"bts:request_reconnect","channel":"","data":""}', now)
        return True


class BitstampDiff(Exchange):
    """Changes of levels: nothing proves them but their time, and that a book does not cross."""

    venue = "bitstamp"
    protocol = "bitstamp-diff"
    resolution = 1_000
    channel = "diff_order_book"
    group = "1"
    weight = 1
    budget = 400
    listings = (
        Listing(symbol="btcusd", base="BTC", quote="USD", price_decimals=2, size_decimals=8, mid=7_870_359,
                size=30_000_000),
        Listing(symbol="ethbtc", base="ETH", quote="BTC", price_decimals=8, size_decimals=8, mid=3_412_000,
                tick=100, size=250_000_000),
        Listing(symbol="xrpusd", base="XRP", quote="USD", price_decimals=5, size_decimals=8, mid=213_450,
                size=40_000_000_000),
    )  # fmt: skip

    def listing(self, symbol: str) -> Listing:
        """Give what is listed."""
        return next(one for one in self.listed if one.symbol == symbol)

    def connect(self, path: str, now: int) -> BitstampConnection:
        """Open a connection."""
        connection = BitstampConnection(self, path, now)
        self.join(connection)
        return connection

    def number(self, topic: Topic, changes: Sequence[Level]) -> None:
        """The time is all there is."""
        topic.first = topic.last = self._stamp[topic.symbol]

    def begin(self, topic: Topic) -> None:
        """The time is all there is."""

    def snapshot_state(self, symbol: str) -> State:
        """A snapshot has a time of its own."""
        time = self.stamp(symbol, self.now)
        self.remember(symbol, time // 1000, time, self.book(symbol))
        return State(symbol, time // 1000, time, self.book(symbol))

    def asked(self, target: str) -> str | None:
        """Read the symbol of a book request."""
        parts = urlsplit(target)
        names = parts.path.strip("/").split("/")
        if names[:3] != ["api", "v2", "order_book"] or parse_qs(parts.query).get("group", ["1"])[0] != self.group:
            return None
        return names[3]

    def snapshot(self, state: State) -> str:
        """Write a snapshot."""
        listing = self.listing(state.symbol)
        bids, asks = (
            ",".join(
                f'["{decimal(p, listing.price_decimals)}","{decimal(s, listing.size_decimals)}"]'
                for p, s in top(state.book, side, 0)
            )
            for side in (BID, ASK)
        )
        return self.frame_snapshot(state, bids, asks)

    def frame_snapshot(self, state: State, bids: str, asks: str) -> str:
        """Write the sides of a snapshot with its times."""
        us = state.time // 1000
        return f'{{"timestamp":"{us // 1_000_000}","microtimestamp":"{us}","bids":[{bids}],"asks":[{asks}]}}'

    def unknown(self, symbol: str) -> str:
        """Write what REST says of a symbol that it does not know."""
        return '{"status":"error","reason":"No such market","code":"API0004"}'

    def instruments(self, method: str, target: str, body: str) -> str | None:
        """Write the markets."""
        if urlsplit(target).path.rstrip("/") != "/api/v2/markets":
            return None
        return json.dumps(
            [
                {
                    "name": f"{one.base}/{one.quote}",
                    "market_symbol": one.symbol,
                    "base_currency": one.base,
                    "base_decimals": one.size_decimals,
                    "counter_currency": one.quote,
                    "counter_decimals": one.price_decimals,
                    "minimum_order_value": "10",
                    "trading": "Enabled",
                    "description": f"{one.base} / {one.quote}",
                    "market_type": "SPOT",
                }
                for one in self.listed
            ]
        )


class BitstampOrders(BitstampDiff):
    """Orders one by one."""

    protocol = "bitstamp-orders"
    channel = "live_orders"
    group = "2"

    def open_markets(self) -> None:
        """Make the markets."""
        self.markets = {}
        self.orders = {one.symbol: OrderMarket(one, self.rng) for one in self.listed}
        self.early: dict[str, list[Order]] = {}
        """The orders of the first state, for a REST server that lags."""
        self.tokens = {one.symbol: self.token(self.now // 1000) for one in self.listed}

    def token(self, us: int) -> str:
        """Write an event's token: its time in hexadecimal, and what tells it from others of that time."""
        head = f"{us:016x}"
        tail = f"{self.rng.randrange(1, 4):06x}000020"
        return f"{head[:8]}-{head[8:12]}-{head[12:]}-0000-{tail}"

    def knows(self, symbol: str) -> bool:
        """Whether a symbol can be subscribed."""
        return symbol in self.orders and symbol not in self.refused

    def book(self, symbol: str) -> tuple[dict[int, int], dict[int, int]]:
        """Give the price book that the orders add up to."""
        return self.orders[symbol].book

    def step(self, now: int) -> None:
        """Move one market."""
        symbol = self.rng.choice(self.listed).symbol
        market = self.orders[symbol]
        if self.rng.random() < self.trade_share:
            self.trade_now(symbol, now)
        change = market.change()
        time = self.stamp(symbol, now)
        previous, token = self.tokens[symbol], self.token(time // 1000)
        self.tokens[symbol] = token
        self.remember(symbol, 0, time, market.book)
        for connection in self.connections:
            if symbol in connection.books and isinstance(connection, BitstampConnection):
                connection.order(symbol, change.kind, change.order, time, previous, token)

    def trade_now(self, symbol: str, now: int) -> None:
        """Let a market trade."""
        trade = self.orders[symbol].trade()
        self.note_trade(symbol, trade)
        time = self.stamp(symbol, now)
        for connection in self.connections:
            if symbol in connection.trades:
                connection.on_trade(symbol, trade, time)

    def delete_unknown(self, symbol: str, now: int) -> None:
        """Delete an order that nobody has."""
        time = self.stamp(symbol, now)
        previous, token = self.tokens[symbol], self.token(time // 1000)
        self.tokens[symbol] = token
        self.remember(symbol, 0, time, self.book(symbol))
        order = Order(77, ASK, 10 * self.listing(symbol).mid, 1)
        for connection in self.connections:
            if symbol in connection.books and isinstance(connection, BitstampConnection):
                connection.order(symbol, "deleted", order, time, previous, token)

    def remember(self, symbol: str, id_: int, time: int, book: tuple[dict[int, int], dict[int, int]]) -> None:
        """Keep the first orders too."""
        if symbol not in self.early:
            self.early[symbol] = [Order(o.id, o.side, o.price, o.size) for o in self.orders[symbol].orders.values()]
        super().remember(symbol, id_, time, book)

    def snapshot(self, state: State) -> str:
        """Write a snapshot by order, as the orders are now, or as they were at first."""
        listing = self.listing(state.symbol)
        first = state is self._first.get(state.symbol)
        known = self.early[state.symbol] if first else self.orders[state.symbol].orders.values()
        sides = []
        for side in (BID, ASK):
            orders = [order for order in known if order.side == side]
            orders.sort(key=lambda order: (order.price if side == ASK else -order.price, order.id))
            sides.append(
                ",".join(
                    f'["{decimal(o.price, listing.price_decimals)}",'
                    f'"{decimal(o.size, listing.size_decimals)}","{o.id}"]'
                    for o in orders
                )
            )
        return self.frame_snapshot(state, *sides)
