"""How one market moves another: order books, a cross-venue market, and studies that hand you Polars frames.

Start with ``capture = crossbook.open(path)`` and ``crossbook.Study(capture, primary=..., secondary=...)``.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from crossbook._core import (
    DEBUG_BUILD,
    Exchange,
    Execution,
    Fsync,
    Instrument,
    JournalReplay,
    LiveOrder,
    Market,
    MarketQuote,
    OrderBook,
    PriceBook,
    ProRata,
    Recovered,
    Route,
    RouteLeg,
    Rules,
    Table,
    Tape,
    Tier,
    __version__,
)
from crossbook.capture import Capture, open, read_instruments
from crossbook.cycles import Cycles
from crossbook.errors import (
    CaptureError,
    CostError,
    DataError,
    Error,
    InstrumentError,
    JournalError,
    MarketError,
    OrderBookError,
    PoolError,
    RouteError,
    SnapshotError,
)
from crossbook.exchange import read_rules
from crossbook.queue import queue_position

if TYPE_CHECKING:
    from crossbook import costs, feeds, pools, routing
    from crossbook.feeds import Recorder
    from crossbook.study import Study

__all__ = [
    "ASK",
    "BID",
    "Capture",
    "CaptureError",
    "CostError",
    "Cycles",
    "DataError",
    "Error",
    "Exchange",
    "Execution",
    "Fsync",
    "Instrument",
    "InstrumentError",
    "JournalError",
    "JournalReplay",
    "LiveOrder",
    "Market",
    "MarketError",
    "MarketQuote",
    "OrderBook",
    "OrderBookError",
    "PoolError",
    "PriceBook",
    "ProRata",
    "Recorder",
    "Recovered",
    "Route",
    "RouteError",
    "RouteLeg",
    "Rules",
    "SnapshotError",
    "Study",
    "Table",
    "Tape",
    "Tier",
    "__version__",
    "costs",
    "feeds",
    "open",
    "pools",
    "queue_position",
    "read_instruments",
    "read_rules",
    "routing",
]

BID = 0
"""The code of buyers in columns and calls; a trade with this side lifted the ask."""
ASK = 1
"""The code of sellers in columns and calls; a trade with this side hit the bid."""

if DEBUG_BUILD:
    warnings.warn("crossbook is a debug build: its latencies mean nothing", stacklevel=2)


def __getattr__(name: str) -> object:
    # The study brings NumPy and its kernels' wrappers; a trading process that wants a book alone need not load them.
    if name == "Study":
        from crossbook.study import Study

        return Study
    if name in {"costs", "pools", "routing"}:
        from importlib import import_module

        return import_module(f"crossbook.{name}")
    # Sockets and REST take a third of a second to import.
    if name in {"Recorder", "feeds"}:
        from importlib import import_module

        feeds = import_module("crossbook.feeds")
        return feeds if name == "feeds" else feeds.Recorder
    raise AttributeError(f"module 'crossbook' has no attribute {name!r}")
