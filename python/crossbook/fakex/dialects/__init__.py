"""The venues' files: how each of them writes and reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossbook.fakex.dialects.binance import BinanceCoinm, BinanceSpot, BinanceUsdm
from crossbook.fakex.dialects.bitfinex import Bitfinex
from crossbook.fakex.dialects.bitstamp import BitstampDiff, BitstampOrders
from crossbook.fakex.dialects.bybit import BybitLinear, BybitSpot
from crossbook.fakex.dialects.coinbase import Coinbase
from crossbook.fakex.dialects.deribit import Deribit
from crossbook.fakex.dialects.gate import Gate
from crossbook.fakex.dialects.hyperliquid import Hyperliquid
from crossbook.fakex.dialects.kraken import Kraken
from crossbook.fakex.dialects.okx import Okx

if TYPE_CHECKING:
    from crossbook.fakex.venue import Exchange

__all__ = ["EXCHANGES"]

EXCHANGES: dict[str, type[Exchange]] = {
    "binance-spot": BinanceSpot,
    "binance-usdm": BinanceUsdm,
    "binance-coinm": BinanceCoinm,
    "coinbase": Coinbase,
    "kraken": Kraken,
    "okx": Okx,
    "bybit-spot": BybitSpot,
    "bybit-linear": BybitLinear,
    "deribit": Deribit,
    "hyperliquid": Hyperliquid,
    "gate": Gate,
    "bitfinex": Bitfinex,
    "bitstamp-diff": BitstampDiff,
    "bitstamp-orders": BitstampOrders,
}
"""Every fake exchange by its name: the venue's, with the protocol where there are several."""
