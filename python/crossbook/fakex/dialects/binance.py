"""Binance: spot, USD-M and COIN-M."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from crossbook.fakex.truth import ASK, BID, Level, Listing, Trade, top
from crossbook.fakex.venue import Connection, Exchange, Frame, State, Topic, decimal

if TYPE_CHECKING:
    from collections.abc import Sequence

MS = 1_000_000


class BinanceConnection(Connection):
    """A connection to ``/stream`` (enveloped) or ``/ws`` (bare)."""

    exchange: BinanceSpot

    def on_text(self, text: str, now: int) -> None:
        """Read ``SUBSCRIBE`` and ``UNSUBSCRIBE``."""
        request = json.loads(text)
        on = request["method"] == "SUBSCRIBE"
        for stream in request.get("params", []):
            name, _, channel = stream.partition("@")
            symbol = name.upper()
            # The venue accepts any name, and sends nothing of one that it does not know.
            if not self.exchange.knows(symbol):
                continue
            if channel.startswith("depth"):
                self.exchange.topic(symbol, 0)
                (self.books.__setitem__(symbol, 0) if on else self.books.pop(symbol, None))
            elif channel == "trade":
                (self.trades.add if on else self.trades.discard)(symbol)
            elif channel == "bookTicker":
                (self.quotes.add if on else self.quotes.discard)(symbol)
        self.control(f'{{"result":null,"id":{json.dumps(request.get("id"))}}}', now)

    def wrap(self, symbol: str, channel: str, text: str) -> str:
        """Put a message into the envelope of combined streams."""
        if self.path.startswith("/ws"):
            return text
        return f'{{"stream":"{symbol.lower()}@{channel}","data":{text}}}'

    def on_book(self, topic: Topic, changes: Sequence[Level], time: int) -> None:
        """Send ``depthUpdate``."""
        listing = self.exchange.markets[topic.symbol].listing
        exchange = self.exchange

        def write(levels: Sequence[Level], first: int, last: int, previous: int) -> str:
            bids, asks = ([(p, s) for side, p, s in levels if side == wanted] for wanted in (BID, ASK))
            ms = time // MS
            ids = f'"U":{first},"u":{last}'
            engine = ""
            if exchange.futures:
                engine, ids = f'"T":{ms},', f'{ids},"pu":{previous}'
            sides = f'"b":[{exchange.levels(bids, listing)}],"a":[{exchange.levels(asks, listing)}]'
            body = f'{{"e":"depthUpdate","E":{ms + exchange.lag},{engine}"s":"{topic.symbol}",{exchange.pair(listing)}'
            return self.wrap(topic.symbol, "depth@100ms", f"{body}{ids},{sides}{exchange.tail}}}")

        parts: dict[str, Any] = {
            "levels": changes,
            "first": topic.first,
            "last": topic.last,
            "previous": topic.previous,
        }
        self.push(Frame(write(**parts), "book", topic.symbol, False, changes, parts, write), time)

    def on_trade(self, symbol: str, trade: Trade, time: int) -> None:
        """Send ``trade``."""
        listing = self.exchange.markets[symbol].listing
        ms = time // MS

        def write(id: int) -> str:
            price, size = self.exchange.price(trade.price, listing), self.exchange.size(trade.size, listing)
            maker = "true" if trade.side == ASK else "false"
            if self.exchange.futures:
                text = (
                    f'{{"e":"trade","E":{ms + self.exchange.lag},"T":{ms},"s":"{symbol}","t":{id},"p":"{price}",'
                    f'"q":"{size}","X":"MARKET","m":{maker}{self.exchange.tail}}}'
                )
            else:
                text = (
                    f'{{"e":"trade","E":{ms + self.exchange.lag},"s":"{symbol}","t":{id},"p":"{price}","q":"{size}",'
                    f'"T":{ms},"m":{maker},"M":true}}'
                )
            return self.wrap(symbol, "trade", text)

        parts: dict[str, Any] = {"id": trade.id}
        self.push(Frame(write(**parts), "trades", symbol, False, (), parts, write), time)

    def on_quote(self, symbol: str, topic_id: int, time: int) -> None:
        """Send ``bookTicker``."""
        market = self.exchange.markets[symbol]
        listing = market.listing
        bid, ask = market.best(BID), market.best(ASK)
        assert bid is not None
        assert ask is not None
        price, size = self.exchange.price, self.exchange.size
        sides = (
            f'"b":"{price(bid[0], listing)}","B":"{size(bid[1], listing)}",'
            f'"a":"{price(ask[0], listing)}","A":"{size(ask[1], listing)}"'
        )
        last = topic_id or self.exchange.topic(symbol, 0).last
        ms = time // MS
        if self.exchange.futures:
            pair = self.exchange.pair(listing)
            text = (
                f'{{"e":"bookTicker","u":{last},"s":"{symbol}",{pair}{sides},"T":{ms},'
                f'"E":{ms + self.exchange.lag}{self.exchange.tail}}}'
            )
        else:
            text = f'{{"u":{last},"s":"{symbol}",{sides}}}'
        self.push(Frame(self.wrap(symbol, "bookTicker", text), "quotes", symbol), time)

    def acknowledge(self, now: int) -> bool:
        """Answer a request of somebody's."""
        self.control('{"result":null,"id":99}', now)
        return True

    def announce_close(self, now: int) -> bool:
        """Send ``serverShutdown``, as spot does."""
        if self.exchange.futures:
            return False
        text = f'{{"e":"serverShutdown","E":{now // MS}}}'
        self.control(text if self.path.startswith("/ws") else f'{{"stream":"!serverShutdown","data":{text}}}', now)
        return True


class BinanceSpot(Exchange):
    """Spot: every update of a symbol has an id."""

    venue = "binance-spot"
    protocol = "binance-spot"
    futures: ClassVar[bool] = False
    lag: ClassVar[int] = 0
    """Milliseconds from the engine's time to the event time."""
    tail: ClassVar[str] = ""
    prefix: ClassVar[str] = "/api/v3"
    pings = 20
    weight = 250
    budget = 6_000
    listings = (
        Listing(symbol="BTCUSDT", base="BTC", quote="USDT", price_decimals=2, size_decimals=8, mid=7_870_000,
                size=30_000_000),
        Listing(symbol="ETHBTC", base="ETH", quote="BTC", price_decimals=5, size_decimals=8, mid=3_412,
                size=250_000_000),
        Listing(symbol="DOGEUSDT", base="DOGE", quote="USDT", price_decimals=5, size_decimals=8, mid=21_345,
                size=40_000_000_000),
    )  # fmt: skip

    def connect(self, path: str, now: int) -> BinanceConnection:
        """Open a connection."""
        connection = BinanceConnection(self, path, now)
        self.join(connection)
        return connection

    def price(self, count: int, listing: Listing) -> str:
        """Write a price: spot shows eight decimals, whatever the tick."""
        return decimal(count * 10 ** (8 - listing.price_decimals), 8)

    def size(self, count: int, listing: Listing) -> str:
        """Write a size."""
        return decimal(count, listing.size_decimals)

    def levels(self, levels: Sequence[tuple[int, int]], listing: Listing) -> str:
        """Write levels."""
        return ",".join(f'["{self.price(p, listing)}","{self.size(s, listing)}"]' for p, s in levels)

    def pair(self, listing: Listing) -> str:
        """Write what COIN-M adds."""
        return ""

    def number(self, topic: Topic, changes: Sequence[Level]) -> None:
        """Count every update of the symbol."""
        topic.previous = topic.last
        topic.first = topic.last + 1
        topic.last += len(changes) + self.rng.randrange(3)

    def asked(self, target: str) -> str | None:
        """Read the symbol of a depth request."""
        parts = urlsplit(target)
        return parse_qs(parts.query).get("symbol", [None])[0] if parts.path == f"{self.prefix}/depth" else None

    def snapshot(self, state: State) -> str:
        """Write a depth snapshot."""
        listing = self.markets[state.symbol].listing
        bids, asks = (self.levels(top(state.book, side, 5000), listing) for side in (BID, ASK))
        return f'{{"lastUpdateId":{state.id},{self.head(state, listing)}"bids":[{bids}],"asks":[{asks}]}}'

    def head(self, state: State, listing: Listing) -> str:
        """Write what the futures' snapshots say besides."""
        return ""

    def instruments(self, method: str, target: str, body: str) -> str | None:
        """Write ``exchangeInfo``."""
        if urlsplit(target).path != f"{self.prefix}/exchangeInfo":
            return None
        return json.dumps(
            {"timezone": "UTC", "serverTime": self.now // MS, "symbols": [self.entry(o) for o in self.listed]}
        )

    def entry(self, listing: Listing) -> dict[str, object]:
        """One symbol of ``exchangeInfo``."""
        tick = decimal(listing.tick, listing.price_decimals)
        return {
            "symbol": listing.symbol,
            "status": "TRADING",
            "baseAsset": listing.base,
            "baseAssetPrecision": 8,
            "quoteAsset": listing.quote,
            "quotePrecision": 8,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00", "tickSize": tick},
                {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.0", "stepSize": "0.00001000"},
            ],
        }


class BinanceUsdm(BinanceSpot):
    """USD-M: ids are shared by all symbols, a symbol's messages are chained."""

    venue = "binance-usdm"
    protocol = "binance-usdm"
    futures = True
    lag = 1
    tail = ',"st":1'
    prefix = "/fapi/v1"
    pings = 180
    weight = 20
    budget = 2_400
    listings = (
        Listing(symbol="BTCUSDT", base="BTC", quote="USDT", price_decimals=2, size_decimals=3, mid=7_870_000,
                tick=10, size=300, contract="linear"),
        Listing(symbol="ETHUSDT", base="ETH", quote="USDT", price_decimals=2, size_decimals=3, mid=268_500,
                size=5_000, contract="linear"),
        Listing(symbol="DOGEUSDT", base="DOGE", quote="USDT", price_decimals=6, size_decimals=0, mid=213_450,
                tick=10, size=40_000, contract="linear"),
    )  # fmt: skip

    def price(self, count: int, listing: Listing) -> str:
        """Write a price with its own decimals."""
        return decimal(count, listing.price_decimals)

    def number(self, topic: Topic, changes: Sequence[Level]) -> None:
        """Count every update of all symbols."""
        topic.previous = topic.last
        topic.first = self.global_id + self.rng.randrange(1, 40)
        topic.last = topic.first + self.rng.randrange(60)
        self.global_id = topic.last

    def begin(self, topic: Topic) -> None:
        """Begin where the other symbols are."""
        topic.first = topic.last = self.global_id

    def snapshot_state(self, symbol: str) -> State:
        """A snapshot's id need not be a message's: it may lie in the hole after one."""
        state = super().snapshot_state(symbol)
        return State(state.symbol, max(state.id, self.global_id), state.time, state.book)

    def head(self, state: State, listing: Listing) -> str:
        """Write the times of a snapshot."""
        ms = state.time // MS
        return f'"E":{ms + self.lag},"T":{ms},'

    def entry(self, listing: Listing) -> dict[str, object]:
        """One symbol of ``exchangeInfo``."""
        tick = decimal(listing.tick, listing.price_decimals)
        step = decimal(1, listing.size_decimals)
        return {
            "symbol": listing.symbol,
            "pair": f"{listing.base}{listing.quote}",
            "contractType": "PERPETUAL",
            "status": "TRADING",
            "baseAsset": listing.base,
            "quoteAsset": listing.quote,
            "marginAsset": listing.base if listing.contract == "inverse" else listing.quote,
            "pricePrecision": listing.price_decimals,
            "quantityPrecision": listing.size_decimals,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "4529764", "tickSize": tick},
                {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "1000", "stepSize": step},
            ],
        }


class BinanceCoinm(BinanceUsdm):
    """COIN-M: sizes are contracts."""

    venue = "binance-coinm"
    protocol = "binance-coinm"
    tail = ',"st":2'
    prefix = "/dapi/v1"
    listings = (
        Listing(symbol="BTCUSD_PERP", base="BTC", quote="USD", price_decimals=1, size_decimals=0, mid=787_000,
                size=900, contract="inverse"),
        Listing(symbol="ETHUSD_PERP", base="ETH", quote="USD", price_decimals=2, size_decimals=0, mid=268_500,
                size=5_000, contract="inverse"),
        Listing(symbol="BTCUSD_270326", base="BTC", quote="USD", price_decimals=1, size_decimals=0, mid=799_000,
                size=90, contract="inverse"),
    )  # fmt: skip

    def pair(self, listing: Listing) -> str:
        """Write the pair."""
        return f'"ps":"{listing.base}{listing.quote}",'

    def head(self, state: State, listing: Listing) -> str:
        """Write the times and names of a snapshot."""
        names = f'"symbol":"{listing.symbol}","pair":"{listing.base}{listing.quote}",'
        return f"{super().head(state, listing)}{names}"

    def entry(self, listing: Listing) -> dict[str, object]:
        """One symbol of ``exchangeInfo``."""
        perpetual = listing.symbol.endswith("_PERP")
        return {
            **super().entry(listing),
            "contractType": "PERPETUAL" if perpetual else "CURRENT_QUARTER",
            "contractSize": 100 if listing.base == "BTC" else 10,
        }
