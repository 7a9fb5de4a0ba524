"""`xb.Exchange` as an engine under test of `tracebook-conformance` 0.6.0, in process or as a program on stdio.

What is translated here, because it is a matter of notation: decimals to units, prices to ticks as tracebook snaps them,
owners to accounts, `reduce` to a smaller `modify`, `clear` to a new exchange, reasons to its codes. A price that snaps
to 0 or below is refused here: tracebook has no such prices, the exchange has.
"""

from __future__ import annotations

import sys
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from tracebook.conformance import (
    BookSnapshot,
    BookState,
    ConformanceConfig,
    EngineMetadata,
    Observation,
    Outcome,
    RestingOrder,
    TradeFill,
    canonical_decimal,
    serve_stdio,
)
from tracebook.core.order import NO_OWNER, OrderSide, OrderType, SelfTradePolicy
from tracebook.core.price_level import infer_price_decimals
from tracebook.events import MarketEvent

import crossbook as xb

SELF_TRADE = {
    SelfTradePolicy.NONE: "none",
    SelfTradePolicy.CANCEL_RESTING: "cancel_oldest",
    SelfTradePolicy.CANCEL_INCOMING: "cancel_newest",
}
ORDER = {
    OrderType.LIMIT: ("limit", "gtc"),
    OrderType.MARKET: ("market", "ioc"),
    OrderType.IOC: ("limit", "ioc"),
    OrderType.FOK: ("limit", "fok"),
}
CODES = {"unknown_order": "ORDER_NOT_ACTIVE", "duplicate_id": "DUPLICATE_ORDER_ID"}


class Refused(Exception):
    """Its argument is tracebook's code."""


class Adapter:
    """One exchange for each symbol."""

    def __init__(self, config: ConformanceConfig) -> None:
        self.metadata = EngineMetadata("crossbook", xb.__version__, "Rust")
        self.config = config
        self.unit = Decimal(1).scaleb(-config.quantity_decimal_places)
        self.decimals = infer_price_decimals(config.tick_size)
        self.self_trade = SELF_TRADE[config.self_trade_policy]
        self.exchanges: dict[str, xb.Exchange] = {}
        self.books: dict[str, BookSnapshot] = {}
        self.accounts = {NO_OWNER: 0}  # of owners, which may be negative
        self.owners = {0: NO_OWNER}

    def apply(self, event: MarketEvent, index: int) -> Observation:
        trades: tuple[TradeFill, ...] = ()
        try:
            executions = self._apply(event)
            rejected = [one.reason or "" for one in executions if one.kind == "rejected"]
            if rejected:
                raise Refused(CODES.get(rejected[0], invalid(event)))
            outcome = Outcome("applied")
            trades = tuple(self._trade(event.symbol, one) for one in executions if one.kind == "trade")
        except Refused as refused:
            outcome = Outcome("rejected", str(refused))
        if event.symbol in self.exchanges:
            self.books[event.symbol] = self._book(event.symbol)
        state = self.snapshot()
        return Observation(index, outcome, trades, state.digest(), state.order_count)

    def _apply(self, event: MarketEvent) -> list[xb.Execution]:
        if event.op == "clear" or (event.op == "new" and event.symbol not in self.exchanges):
            pro_rata = self.config.matching_algorithm == "pro_rata"
            self.exchanges[event.symbol] = xb.Exchange(priority=xb.ProRata() if pro_rata else "price_time")
        exchange = self.exchanges.get(event.symbol)
        order_id = event.order_id
        if event.op == "clear":
            return []
        if exchange is None or order_id is None:
            raise Refused("ORDER_NOT_ACTIVE")
        order = exchange.order(order_id)
        match event.op:
            case "new":
                if order is not None:
                    raise Refused("DUPLICATE_ORDER_ID")  # before its numbers are looked at
                kind, tif = ORDER[event.order_type]
                price = None if kind == "market" else self._ticks(event)
                account = self.accounts.setdefault(event.owner, len(self.accounts))
                self.owners[account] = event.owner
                return exchange.submit(
                    order_id,
                    "buy" if event.side == OrderSide.BUY else "sell",
                    self._units(event),
                    price,
                    order_type=kind,  # type: ignore[arg-type]
                    time_in_force=tif,  # type: ignore[arg-type]
                    account=account,
                    self_trade=self.self_trade,  # type: ignore[arg-type]
                )
            case "cancel":
                return exchange.cancel(order_id)
            case "reduce":
                if order is None:
                    raise Refused("ORDER_NOT_ACTIVE")
                rest = order.open - self._units(event)
                # A reduction beyond what is open asks for a size below 0, which the exchange refuses.
                return exchange.cancel(order_id) if rest == 0 else exchange.modify(order_id, size=rest)
        if order is None:
            raise Refused("ORDER_NOT_ACTIVE")
        price = None if event.price is None else self._ticks(event)
        size = None if event.quantity is None else self._units(event)
        return exchange.replace(order_id, price, size)

    def _ticks(self, event: MarketEvent) -> int:
        """A price as tracebook snaps it, `OrderBook._snap_order_price`."""
        ticks = round((event.price or 0.0) / self.config.tick_size)
        if ticks <= 0:
            raise Refused(invalid(event))
        return ticks

    def _units(self, event: MarketEvent) -> int:
        return int((Decimal(str(event.quantity)) / self.unit).to_integral_value(ROUND_HALF_EVEN))

    def _price(self, ticks: Any) -> str:
        return canonical_decimal(round(ticks * self.config.tick_size, self.decimals))

    def _size(self, units: Any) -> str:
        return canonical_decimal(units * self.unit)

    def _trade(self, symbol: str, one: xb.Execution) -> TradeFill:
        ids = (one.order_id or 0, one.counter_id or 0)
        buy, sell = ids if one.side == "bid" else ids[::-1]
        return TradeFill(symbol, buy, sell, self._price(one.price), self._size(one.size))

    def _book(self, symbol: str) -> BookSnapshot:
        sides: dict[str, list[RestingOrder]] = {"bid": [], "ask": []}
        for row in self.exchanges[symbol].orders().iter_rows(named=True):
            price, size, owner = self._price(row["price"]), self._size(row["open"]), self.owners[row["account"]]
            sides[row["side"]].append(RestingOrder(row["order_id"], price, size, owner))
        return BookSnapshot(symbol, tuple(sides["bid"]), tuple(sides["ask"]))

    def snapshot(self) -> BookState:
        """Every order that rests, in the order in which it trades."""
        return BookState(tuple(self.books[symbol] for symbol in sorted(self.books)))

    def close(self) -> None:
        """Nothing is held."""


def invalid(event: MarketEvent) -> str:
    return "INVALID_REPLACEMENT" if event.op == "replace" else "INVALID_ORDER"


if __name__ == "__main__":
    sys.exit(serve_stdio(Adapter))
