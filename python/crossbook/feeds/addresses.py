"""Where venues are reached: the protocol's own addresses, or those that stand in for them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from crossbook import _core
from crossbook.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    Addresses = Mapping[str, tuple[str | None, str | None]]
    """Websocket and REST address by venue; None leaves the protocol's own."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the adapter needs to know of a protocol, from the engine's table."""

    name: str
    venue: str
    url: str
    rest: str
    instruments_paths: tuple[str, ...]
    per_connection: int
    rest_weight: int
    rest_per_minute: int
    sends_per_second: int


@dataclass(frozen=True, slots=True)
class Address:
    """Where one venue is reached."""

    ws: str
    rest: str


@cache
def _table() -> dict[str, Facts]:
    return {
        row["name"]: Facts(
            name=row["name"],
            venue=row["venue"],
            url=row["url"],
            rest=row["rest"],
            instruments_paths=tuple(row["instruments_paths"]),
            per_connection=max(1, row["per_connection"]),
            rest_weight=max(1, row["rest_weight"]),
            rest_per_minute=max(1, row["rest_per_minute"]),
            # The strictest known, a pong or two left over, where the table does not say.
            sends_per_second=row.get("sends_per_second") or 4,
        )
        for row in _core.protocols()
    }


def venues() -> list[str]:
    """List the venues that some protocol speaks to, in the table's order."""
    return list(dict.fromkeys(facts.venue for facts in _table().values()))


def facts_of(venue: str, protocols: Mapping[str, str] | None = None) -> Facts:
    """Give the facts of the protocol that a venue speaks today, or of the one that `protocols` names for it."""
    if venue not in venues():
        raise DataError(f"venue {venue!r}: expected one of {', '.join(venues())}")
    name = (protocols or {}).get(venue) or _core.current_protocol(venue)
    facts = _table().get(name)
    if facts is None or facts.venue != venue:
        known = ", ".join(one.name for one in _table().values() if one.venue == venue)
        raise DataError(f"protocol {name!r} of {venue}: expected one of {known}")
    return facts


def address_of(facts: Facts, addresses: Addresses | None = None) -> Address:
    """Give a venue's addresses: of `addresses`, else of the environment, else the protocol's own.

    The environment's are ``CROSSBOOK_WS_<VENUE>`` and ``CROSSBOOK_REST_<VENUE>``, the venue in upper case with ``_``
    for ``-``. A websocket address without a path stands in for the host alone and keeps the protocol's path.
    """
    key = facts.venue.upper().replace("-", "_")
    ws, rest = (addresses or {}).get(facts.venue) or (None, None)
    ws = ws or os.environ.get(f"CROSSBOOK_WS_{key}") or facts.url
    rest = rest or os.environ.get(f"CROSSBOOK_REST_{key}") or facts.rest
    for text, schemes in ((ws, ("ws", "wss")), (rest, ("http", "https", ""))):
        if urlsplit(text).scheme not in schemes:
            raise DataError(f"{facts.venue} address {shown(text)}: expected it to begin with {schemes[0]}://")
    given, own = urlsplit(ws), urlsplit(facts.url)
    if given.path in ("", "/") and not given.query:
        ws = urlunsplit((given.scheme, given.netloc, own.path, own.query, ""))
    return Address(ws, rest.rstrip("/"))


def public(url: str) -> str:
    """Give an address without the name and password that it may hold."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def shown(url: str) -> str:
    """Give an address fit for a log: without name, password and parameters."""
    parts = urlsplit(public(url))
    return urlunsplit(parts._replace(query="", fragment=""))
