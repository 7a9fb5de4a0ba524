"""What can go wrong, as exceptions with one base."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossbook._core import Route


class Error(Exception):
    """Base of every exception of crossbook."""


class DataError(Error, ValueError):
    """A table, column or value is not as a function expects it; the message says what was expected."""


class CaptureError(Error):
    """A capture cannot be read at all. What is wrong with single frames is in ``Capture.faults`` instead."""


class CostError(Error, ValueError):
    """A cost cannot be stated: a fee out of range, tiers out of order, a price that is missing."""


class InstrumentError(Error, ValueError):
    """An instrument is unknown, ambiguous or not described well enough."""


class OrderBookError(Error, ValueError):
    """An order book refuses a change; of a tape the message says which row."""


class MarketError(Error, ValueError):
    """Instruments do not make a market."""


class PoolError(Error, ValueError):
    """A pool refuses a trade or a change of liquidity, or pools do not make a network; nothing changed."""


class RouteError(Error, ValueError):
    """An order cannot be routed, or not all of it: then `route` is what can be."""

    def __init__(self, message: str, route: Route | None = None) -> None:
        super().__init__(message)
        self.route = route


class SnapshotError(Error, ValueError):
    """Bytes are no snapshot that an exchange can go on from; the message says where and why."""


class JournalError(Error, OSError):
    """A journal cannot be read or written, or is damaged; `errno` is set where the system refused."""

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno
