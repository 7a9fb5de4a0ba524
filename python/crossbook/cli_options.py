"""What options of several commands mean."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from crossbook.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crossbook import Capture, Instrument


def time_of(text: str | None) -> int | None:
    """Nanoseconds since the epoch from an ISO 8601 time (UTC unless it says otherwise) or, from 17 digits on, of ns.

    Fewer digits are a date or a mistake: 20240808 is a day. Raises `DataError`.
    """
    if text is None:
        return None
    if len(text) >= 17 and text.isascii() and text.isdigit() and int(text) < 1 << 63:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(
            f"time {text!r}: expected ISO 8601 such as 2024-08-08T23:55:00, or ns since the epoch (17 digits or more)"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    # A float of seconds does not hold microseconds of this century exactly, so they go their own way.
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000_000 + moment.microsecond * 1_000


def show_time(ns: int | None) -> str:
    """A time for people, in ms."""
    return "" if ns is None else datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="milliseconds")


def rates_of(texts: Iterable[str], capture: Capture) -> dict[str, str | Instrument]:
    """Rates by currency from ``USD=1`` (fixed) or ``USDT=kraken:USDT/USD`` (an instrument of the capture).

    Raises `DataError`, `InstrumentError`.
    """
    rates: dict[str, str | Instrument] = {}
    for text in texts:
        currency, found, value = text.partition("=")
        if not (currency and found and value):
            raise DataError(f"fx {text!r}: expected CURRENCY=RATE such as USD=1, or CURRENCY=INSTRUMENT")
        fixed = value.replace(".", "", 1).isdigit()
        rates[currency] = value if fixed else capture.instruments[capture.index(value)]
    return rates
