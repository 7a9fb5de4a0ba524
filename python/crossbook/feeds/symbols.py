"""From names to instruments: one naming for all venues, resolved against each venue's own list."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crossbook import __version__, _core
from crossbook._core import Instrument
from crossbook.errors import DataError, Error, InstrumentError
from crossbook.feeds.addresses import address_of, facts_of, shown, venues
from crossbook.feeds.clock import Clock
from crossbook.feeds.errors import FeedError
from crossbook.feeds.rest import Rests

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crossbook.feeds.addresses import Addresses

log = logging.getLogger(__name__)

GROUPS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "binance": (("binance-spot", ("spot",)), ("binance-usdm", ("linear",)), ("binance-coinm", ("inverse",))),
    "bybit": (
        ("bybit-spot", ("spot",)),
        ("bybit-linear", ("linear",)),
        ("bybit-inverse", ("inverse",)),
        ("bybit-option", ("option",)),
    ),
    "gate": (("gate", ("spot",)), ("gate-futures", ("linear", "inverse"))),
    "kraken": (("kraken", ("spot",)), ("kraken-futures", ("linear", "inverse"))),
    "bitget": (("bitget-futures", ("linear", "inverse")),),
}
"""Short names that stand for several venues, and what kinds of contract each of these has."""

KINDS = ("spot", "perps", "futures", "options")
"""What ``venue:kind/BASE`` may ask for; ``*`` is any base. Futures are those with a date."""

MAX_AGE = 24 * 3600.0
"""A list older than this (seconds) is fetched anew."""
TOO_YOUNG = 60.0
"""A list that lacks a name is fetched anew unless it is younger than this."""

UNIFIED = re.compile(r"[^-/]+-[^-/]+(?P<tail>-PERP|-\d{6}(?P<option>-[\d.]+-[CP])?)?", re.IGNORECASE)


def cache_folder() -> Path:
    """Give the folder of cached lists: ``CROSSBOOK_CACHE``, else the user's cache folder."""
    if chosen := os.environ.get("CROSSBOOK_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crossbook"


def kind_of(instrument: Instrument) -> str:
    """Give one of `KINDS`."""
    if instrument.contract in ("spot", "option"):
        return {"spot": "spot", "option": "options"}[instrument.contract]
    return "perps" if instrument.delivery is None else "futures"


@dataclass(frozen=True, slots=True)
class Listing:
    """What a venue lists, and when it said so (seconds since the epoch)."""

    instruments: tuple[Instrument, ...]
    fetched: float


class Symbols:
    """Names to instruments, with the venues' lists kept on disk for `max_age` seconds."""

    def __init__(
        self,
        rests: Rests,
        *,
        addresses: Addresses | None = None,
        protocols: Mapping[str, str] | None = None,
        cache: str | Path | None = None,
        max_age: float = MAX_AGE,
    ) -> None:
        self._rests = rests
        self._addresses = addresses
        self._protocols = protocols
        self._cache = Path(cache) if cache is not None else cache_folder() / "instruments"
        self._max_age = max_age
        self._listings: dict[str, Listing] = {}

    async def resolve(self, names: Iterable[str]) -> list[Instrument]:
        """Give the instruments that names stand for, each once, in the order of the names.

        A name is ``venue:BASE-QUOTE`` with ``-PERP``, ``-YYMMDD`` or ``-YYMMDD-STRIKE-C`` (or ``-P``) behind it where
        it is no spot; ``venue:symbol`` as the venue writes it; or ``venue:kind/BASE``, kind one of ``spot, perps,
        futures, options`` and ``*`` for any base. Raises `InstrumentError` if a name means nothing or several things.
        """
        found: dict[tuple[str, str], Instrument] = {}
        for name in names:
            for one in await self._resolve(name):
                found.setdefault((one.venue, one.symbol), one)
        return list(found.values())

    async def mapping(self, venue: str) -> dict[tuple[str, str], Instrument]:
        """Give all that a venue lists, by venue and unified name."""
        listing = await self._listing(venue)
        return {(one.venue, one.unified): one for one in listing.instruments}

    async def _resolve(self, name: str) -> list[Instrument]:
        venue, colon, what = name.partition(":")
        if not colon or not what:
            raise InstrumentError(f"{name!r}: expected venue:BASE-QUOTE, venue:symbol or venue:kind/BASE")
        candidates = _candidates(venue.strip().lower(), what)
        if not candidates:
            known = ", ".join([*GROUPS, *venues()])
            raise InstrumentError(f"{name!r}: expected a venue that has such instruments, one of {known}")
        for fresh in (False, True):
            found = []
            for candidate in candidates:
                listing = await self._listing(candidate, fresh=fresh)
                found += _matches(listing, what)
                # The first venue of a short name that has it is meant, and the venue of that very name before all.
                if found and (UNIFIED.fullmatch(what) or candidate == venue.strip().lower()):
                    break
            if len(found) > 1 and not _is_kind(what):
                names = ", ".join(one.name for one in found)
                raise InstrumentError(f"{name!r} may be several instruments: expected one of {names}")
            if found:
                return found
        raise InstrumentError(f"{name!r} is not listed by {', '.join(candidates)}")

    async def _listing(self, venue: str, *, fresh: bool = False) -> Listing:
        now = time.time()
        least = now - (TOO_YOUNG if fresh else self._max_age)
        known = self._listings.get(venue) or self._read(venue)
        if known is not None and least <= known.fetched <= now:
            self._listings[venue] = known
            return known
        try:
            listing = Listing(tuple(await self._fetch(venue)), now)
        except (FeedError, DataError) as error:
            if known is None:
                raise
            log.warning("%s: an old list of instruments is used: %s", venue, error)
            listing = known
        else:
            self._write(venue, listing)
        self._listings[venue] = listing
        return listing

    async def _fetch(self, venue: str) -> list[Instrument]:
        facts = facts_of(venue, self._protocols)
        if not facts.instruments_paths:
            raise FeedError(f"{facts.name}: this venue lists its instruments nowhere: give them as instruments")
        rest = self._rests.of(venue)
        found: list[Instrument] = []
        for body in await asyncio.gather(
            *(rest.get(path, weight=facts.rest_weight) for path in facts.instruments_paths)
        ):
            found += [one for one in _core.list_instruments(facts.name, body) if one.venue == venue]
        if not found:
            raise FeedError(f"{shown(rest.base)}: expected a list of instruments with at least one")
        return found

    def _file(self, venue: str) -> Path:
        facts = facts_of(venue, self._protocols)
        # A stand-in's list is not the venue's.
        place = hashlib.sha256(address_of(facts, self._addresses).rest.encode()).hexdigest()[:8]
        return self._cache / f"{facts.name}-{place}.json"

    def _read(self, venue: str) -> Listing | None:
        path = self._file(venue)
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            if entry["crossbook"] != __version__:
                return None
            listed = [Instrument.from_json(json.dumps(one)) for one in entry["instruments"]]
            return Listing(tuple(listed), float(entry["fetched"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("%s: expected a list of instruments, it is fetched anew: %s", path, error)
            return None

    def _write(self, venue: str, listing: Listing) -> None:
        path = self._file(venue)
        entry = {
            "crossbook": __version__,
            "fetched": listing.fetched,
            "instruments": [json.loads(one.to_json()) for one in listing.instruments],
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Another process may read it meanwhile.
            part = path.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(entry), encoding="utf-8")
            part.replace(path)
        except OSError as error:
            log.warning("%s: the list of instruments is not kept: %s", path, error)


def _is_kind(what: str) -> bool:
    return what.partition("/")[0].lower() in KINDS and "/" in what


def _candidates(venue: str, what: str) -> list[str]:
    """List the venues that a name may mean, in order."""
    spoken = venues()
    if venue not in GROUPS:
        named = [one for one in spoken if venue == one]
        return named or _by_alias(venue)
    contracts: Sequence[str] = ("spot", "linear", "inverse", "option")
    if _is_kind(what):
        kind = what.partition("/")[0].lower()
        contracts = {"spot": ("spot",), "options": ("option",)}.get(kind, ("linear", "inverse"))
    elif unified := UNIFIED.fullmatch(what):
        contracts = ("option",) if unified["option"] else ("linear", "inverse") if unified["tail"] else ("spot",)
    return [one for one, kinds in GROUPS[venue] if one in spoken and any(kind in contracts for kind in kinds)]


def _by_alias(alias: str) -> list[str]:
    """Find the venue by its short name, which the engine knows."""
    try:
        known = Instrument.infer(alias, "BTCUSDT")
    except Error:
        return []
    return [known.venue] if known.venue in venues() else []


def _matches(listing: Listing, what: str) -> list[Instrument]:
    if _is_kind(what):
        kind, _, base = what.partition("/")
        return [
            one
            for one in listing.instruments
            if kind_of(one) == kind.lower() and (base == "*" or one.base.upper() == base.upper())
        ]
    if exact := [one for one in listing.instruments if one.symbol == what]:
        return exact
    upper = what.upper()
    return [one for one in listing.instruments if upper in (one.symbol.upper(), one.unified.upper())]


async def resolve(
    names: Iterable[str],
    *,
    addresses: Addresses | None = None,
    protocols: Mapping[str, str] | None = None,
    cache: str | Path | None = None,
    max_age: float = MAX_AGE,
) -> list[Instrument]:
    """Give the instruments that names stand for; see `Symbols.resolve`."""
    rests = Rests(addresses=addresses, protocols=protocols, clock=Clock())
    try:
        symbols = Symbols(rests, addresses=addresses, protocols=protocols, cache=cache, max_age=max_age)
        return await symbols.resolve(names)
    finally:
        await rests.close()
