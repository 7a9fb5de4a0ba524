"""Captures: raw frames on disk, read as tapes."""

from __future__ import annotations

import json
import logging
import re
import tomllib
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from crossbook import _core
from crossbook._core import Instrument, Tape
from crossbook.errors import CaptureError, DataError, InstrumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from polars._typing import PolarsDataType

__all__ = ["Capture", "open", "read_instruments", "write_instruments"]

log = logging.getLogger(__name__)

FAULTS: dict[str, PolarsDataType] = {
    "kind": pl.String,
    "file": pl.String,
    "line": pl.UInt64,
    "sequence": pl.UInt64,
    "offset": pl.UInt64,
    "message": pl.String,
}


def read_instruments(path: str | Path) -> list[Instrument]:
    """Read an instruments file: a JSON list, or TOML with an array ``instruments``.

    Each entry has ``venue, symbol, contract, price_unit, size_unit, base, quote, settle`` and may have
    ``multiplier, tick, lot``; units are decimal text such as ``"0.01"``. Raises `DataError` that says which entry is
    wrong.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        entries = tomllib.loads(text).get("instruments") if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected an instruments file in JSON or TOML: {error}") from error
    if not isinstance(entries, list):
        raise DataError(f"{path}: expected a list of instruments")
    found = []
    for index, entry in enumerate(entries):
        try:
            found.append(Instrument.from_json(json.dumps(entry)))
        except DataError as error:
            raise DataError(f"{path} entry {index}: {error}") from None
    return found


def write_instruments(path: str | Path, instruments: Iterable[Instrument]) -> None:
    """Write instruments as JSON that `read_instruments` reads."""
    entries = [json.loads(instrument.to_json()) for instrument in instruments]
    Path(path).write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def _stamp(path: Path) -> tuple[str, int, int]:
    """What tells a file from another, or from what it was: name, bytes, time of change in ns."""
    about = path.stat()
    return path.name, about.st_size, about.st_mtime_ns


def _read_units(cache: Path) -> dict[tuple[str, int, int], list[Instrument]]:
    """Read measured units by the stamp of their file. Raises `DataError` if that is not what `cache` holds."""
    try:
        entries = json.loads(cache.read_text(encoding="utf-8"))
        return {
            (entry["file"], entry["size"], entry["mtime_ns"]): [
                Instrument.from_json(json.dumps(one)) for one in entry["instruments"]
            ]
            for entry in entries
        }
    except (OSError, ValueError, TypeError, KeyError, DataError) as error:
        raise DataError(f"{cache}: expected a cache of units, delete it to measure them again: {error}") from error


def _write_units(cache: Path, units: Mapping[tuple[str, int, int], Sequence[Instrument]]) -> None:
    entries = [
        {
            "file": name,
            "size": size,
            "mtime_ns": changed,
            "instruments": [json.loads(one.to_json()) for one in instruments],
        }
        for (name, size, changed), instruments in units.items()
    ]
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


GAPS: dict[str, PolarsDataType] = {
    "file": pl.String,
    "venue": pl.String,
    "symbol": pl.String,
    "cause": pl.String,
    "ours": pl.Boolean,
    "unit": pl.String,
    "first": pl.UInt64,
    "last": pl.UInt64,
    "from": pl.Datetime("ns", "UTC"),
    "until": pl.Datetime("ns", "UTC"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """One connection of a capture: its files in order, its protocol (none: REST responses), its instruments."""

    paths: tuple[Path, ...]
    protocol: str | None
    instruments: tuple[Instrument, ...]
    partial: bool = False


class Capture:
    """Raw frames of one or more venues. Make one with `crossbook.open`.

    A capture is read as a stream, in order of receive time across its connections; nothing of it is kept in memory but
    what you keep. Frames that cannot be used are passed over and listed in `faults`; a `Gap` event stands where a book
    lost something, and `gaps` lists them.
    """

    def __init__(
        self,
        path: Path,
        sources: Sequence[Source],
        instruments: Sequence[Instrument],
        unread: Sequence[dict[str, object]],
    ) -> None:
        self.path = path
        self._sources = tuple(sources)
        self._instruments = tuple(instruments)
        self._unread = tuple(unread)
        # The last that was played to its end: bytes on disk say less, as they are read ahead of the frames.
        self._replay: _core.Replay | None = None

    @property
    def instruments(self) -> list[Instrument]:
        """The instruments, in the order in which tapes number them."""
        return list(self._instruments)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The connections, in the order in which ties of receive time are broken."""
        return self._sources

    def index(self, name: str) -> int:
        """Give the number of the instrument that a name means: ``usdm``, ``binance-usdm``, a symbol, ``venue:symbol``.

        Raises `InstrumentError` if none or several are meant.
        """
        wanted = name.lower()
        names = [
            {i.alias, i.venue, i.symbol.lower(), i.name.lower(), i.unified.lower(), f"{i.venue}:{i.unified}".lower()}
            for i in self.instruments
        ]
        found = [index for index, known in enumerate(names) if wanted in known]
        if len(found) == 1:
            return found[0]
        known_names = ", ".join(instrument.name for instrument in self.instruments)
        problem = "is none" if not found else "may be several"
        raise InstrumentError(f"{name!r} {problem} of the capture's instruments: expected one of {known_names}")

    def select(self, *names: str) -> Capture:
        """Give a capture of these instruments alone, in this order."""
        chosen = [self._instruments[self.index(name)] for name in names]
        sources = [
            replace(source, instruments=kept, partial=source.partial or kept != source.instruments)
            for source in self._sources
            if (kept := tuple(one for one in source.instruments if one in chosen)) or source.protocol is None
        ]
        return Capture(self.path, sources, chosen, self._unread)

    def _play(self) -> _core.Replay:
        at = {(one.venue, one.symbol): index for index, one in enumerate(self._instruments)}
        sources = [
            (
                list(source.paths),
                source.protocol,
                [at[one.venue, one.symbol] for one in source.instruments],
                source.partial,
            )
            for source in self._sources
        ]
        return _core.Replay(sources, list(self._instruments))

    def batches(self, *, rows: int = 65_536, progress: Callable[[int, int], None] | None = None) -> Iterator[Tape]:
        """Yield the events as tapes of about `rows` events, in constant memory.

        `progress` is called after each batch with the bytes on disk that have been read and their total.
        """
        replay = self._play()
        while (tape := replay.next_batch(rows)) is not None:
            if progress is not None:
                progress(*replay.progress)
            yield tape
        self._replay = replay
        if progress is not None:
            progress(*replay.progress)

    def tape(self) -> Tape:
        """Give all events at once: about 55 bytes of memory each."""
        tapes = list(self.batches())
        if not tapes:
            raise DataError(f"{self.path}: expected at least one event")
        return Tape.concat(tapes)

    def _read(self) -> _core.Replay:
        if self._replay is None:
            for _ in self.batches():
                pass
        assert self._replay is not None
        return self._replay

    def info(self) -> pl.DataFrame:
        """Count what each connection holds of each instrument, and the first and last receive time (ns, UTC).

        ``frames, other, errors, backwards, first, last`` are the connection's, the rest is the instrument's.

        Reads the capture unless it has just been read.
        """
        counts = pl.DataFrame(self._read().counts(), infer_schema_length=None)
        if counts.is_empty():
            raise DataError(f"{self.path}: expected at least one connection")
        known = [self._instruments[index] for index in counts["instrument"]]
        about = pl.DataFrame(
            {
                "file": [self._sources[at].paths[0].name for at in counts["source"]],
                "venue": [instrument.venue for instrument in known],
                "symbol": [instrument.symbol for instrument in known],
                "contract": [instrument.contract for instrument in known],
                "price_unit": [instrument.price_unit for instrument in known],
                "size_unit": [instrument.size_unit for instrument in known],
            }
        )
        times = [pl.from_epoch(pl.col(name), time_unit="ns").dt.replace_time_zone("UTC") for name in ("first", "last")]
        return pl.concat([about, counts.drop("source", "instrument")], how="horizontal").with_columns(times)

    def gaps(self) -> pl.DataFrame:
        """List what is missing: where, why, whose fault, how much, and from when until when by our clock (ns, UTC).

        `unit` says what `first` and `last` count (``updates`` of the book, ``frames`` of the connection, ``trades``);
        both are 0 where the size is unknown. `until` is null where the book was not good again before the end. Reads
        the capture unless it has just been read.
        """
        rows = [
            {
                **row,
                "file": self._sources[row["source"]].paths[0].name,
                "venue": self._instruments[row["instrument"]].venue,
                "symbol": self._instruments[row["instrument"]].symbol,
            }
            for row in self._read().gaps()
        ]
        return pl.DataFrame(rows, schema=GAPS)

    def faults(self) -> pl.DataFrame:
        """List what could not be used: kind, file, line, update id, byte offset, message.

        The first ten thousand are listed in full. Reads the capture unless it has just been read.
        """
        found = [*self._unread, *self._read().faults()]
        rows = [{**row, "file": str(row["file"])} for row in found]
        return pl.DataFrame(rows, schema=FAULTS)

    @property
    def fault_count(self) -> int:
        """How many faults there were in all."""
        return len(self._unread) + self._read().fault_count

    def __repr__(self) -> str:
        """Name the path and the instruments."""
        return f"Capture({self.path}: {', '.join(instrument.name for instrument in self.instruments)})"


def open(
    path: str | Path | Sequence[str | Path],
    *,
    instruments: str | Path | Iterable[Instrument] | None = None,
    cache: str | Path | None = None,
) -> Capture:
    """Open a capture: a file, a folder of files, or several files.

    A file is one of crossbook's own (``.xbc``), lines of ``<receive ns> <raw JSON>``, lines of raw JSON (then receive
    times are unknown), or one of cryptofeed's raw files; the latter three plain or gzipped. What it holds is read from
    itself, from its name (``usdm-btcusdt.gz``), from the address of its websocket, or from its first frames. The units
    of prices and sizes come from `instruments` (a file for `read_instruments`, or instruments), else from the file
    itself, else from the built-in table, else from the file `cache` if it knows a file of this name, size and time of
    change, else from a pass over the whole file, whose result is written to `cache` and logged as a warning.

    A file in a folder that cannot be used becomes a fault of the capture. Raises `CaptureError` if there is none that
    can, or if a file that was named itself cannot.
    """
    named = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
    root = named[0] if len(named) == 1 else Path()
    paths: list[tuple[Path, bool]] = []
    for one in named:
        if one.is_dir():
            inside = sorted(p for p in one.iterdir() if p.is_file() and p.suffix in SUFFIXES)
            paths += [(p, False) for p in inside]
        else:
            paths.append((one, True))
    if isinstance(instruments, str | Path):
        instruments = read_instruments(instruments)
    declared = {(i.venue, i.symbol): i for i in instruments or ()}
    units = _Units(declared, Path(cache) if cache is not None else None)

    identified: list[Identified] = []
    unread: list[dict[str, object]] = []
    for one, required in paths:
        try:
            protocol, symbol, described, guessed = _core.identify(one)
            identified.append((one, protocol, symbol, described))
            if guessed:
                log.warning("%s: nothing but its frames says whose they are: taken for %s", one.name, protocol)
        except CaptureError as error:
            if required:
                raise
            unread.append(
                {"kind": "unread", "file": one, "line": 0, "sequence": 0, "offset": None, "message": str(error)}
            )
    responses = [one for one, protocol, _, _ in identified if protocol is None]
    listed = {(i.venue, i.symbol): i for one in responses for i in _core.listed(one)}
    sources: list[Source] = []
    for chain in _chains(identified):
        one, protocol, symbol, known_there = chain[0]
        if protocol is None:
            sources.append(Source((one,), None, ()))
            continue
        if known_there is not None:
            known_there = list({i.symbol: i for _, _, _, more in chain for i in more or ()}.values())
        found = units.of(one, responses, protocol, symbol, known_there)
        sources.append(Source(tuple(path for path, *_ in chain), protocol, tuple(found)))
    if not any(source.protocol for source in sources):
        reasons = "; ".join(str(row["message"]) for row in unread) or f"no file of {', '.join(sorted(SUFFIXES))} in it"
        raise CaptureError(f"{', '.join(map(str, named))}: expected at least one capture file: {reasons}")
    units.save()

    # One instrument may come on several connections: its units are then the finest of them.
    known: dict[tuple[str, str], Instrument] = {}
    for instrument in (one for source in sources for one in source.instruments):
        key = instrument.venue, instrument.symbol
        known[key] = _finest(known[key], instrument) if key in known else _described(instrument, listed.get(key))
    sources = [
        replace(source, instruments=tuple(known[one.venue, one.symbol] for one in source.instruments))
        for source in sources
    ]
    return Capture(root, sources, list(known.values()), unread)


Identified = tuple[Path, str | None, str | None, "Sequence[Instrument] | None"]
HOURLY = re.compile(r"(?P<connection>.+)-(?P<hour>\d{8}T\d{2})(?:\.(?P<part>\d+))?\.xbc")


def _chains(identified: Sequence[Identified]) -> list[list[Identified]]:
    """Put the hourly files of one connection together, in order; every other file stands alone."""
    chains: dict[object, list[tuple[tuple[str, int], Identified]]] = {}
    for one in identified:
        name = HOURLY.fullmatch(one[0].name)
        key = (one[0].parent, name["connection"], one[1]) if name else one[0]
        order = (name["hour"], int(name["part"] or 0)) if name else ("", 0)
        chains.setdefault(key, []).append((order, one))
    return [[one for _, one in sorted(chain, key=lambda item: item[0])] for chain in chains.values()]


SUFFIXES = {".gz", ".jsonl", ".log", ".raw", ".xbc"}


class _Units:
    """Where the units of instruments come from, in order; see `open`."""

    def __init__(self, declared: Mapping[tuple[str, str], Instrument], cache: Path | None) -> None:
        self.declared = declared
        self.cache = cache
        self.measured = _read_units(cache) if cache is not None and cache.exists() else {}
        self.changed = False

    def of(
        self,
        path: Path,
        responses: Sequence[Path],
        protocol: str,
        symbol: str | None,
        described: Sequence[Instrument] | None,
    ) -> list[Instrument]:
        """Give the instruments of a file, beside which REST responses may lie."""
        if described is not None:
            return [self.declared.get((one.venue, one.symbol), one) for one in described]
        venue = next(row["venue"] for row in _core.protocols() if row["name"] == protocol)
        if symbol is not None and (one := self.declared.get((venue, symbol)) or Instrument.builtin(venue, symbol)):
            return [one]
        stamp = _stamp(path)
        found = self.measured.get(stamp)
        if found is None or any(one.venue != venue for one in found):
            found = _core.survey([path, *responses], protocol)
            if symbol is not None:
                found = [one for one in found if one.symbol == symbol] or [Instrument.infer(venue, symbol)]
            self.measured[stamp] = found
            self.changed = True
        chosen, measured = [], 0
        for one in found:
            better = self.declared.get((one.venue, one.symbol)) or Instrument.builtin(one.venue, one.symbol)
            chosen.append(better or one)
            measured += better is None
        if measured and self.changed:
            names = ", ".join(f"{one.name} (price {one.price_unit}, size {one.size_unit})" for one in chosen[:3])
            more = f" and {len(chosen) - 3} more" if len(chosen) > 3 else ""
            log.warning(
                "%s: units of %s%s are not declared: the finest decimals in the whole file", path.name, names, more
            )
        return chosen

    def save(self) -> None:
        """Write what was measured."""
        if self.cache is not None and self.changed:
            _write_units(self.cache, self.measured)


def _finest(one: Instrument, other: Instrument) -> Instrument:
    """Give the instrument with the finer units of two."""
    fields = json.loads(one.to_json())
    for name in ("price_unit", "size_unit"):
        fields[name] = min(fields[name], getattr(other, name), key=Decimal)
    return Instrument.from_json(json.dumps(fields))


def _described(one: Instrument, listed: Instrument | None) -> Instrument:
    """Give an instrument as its venue lists it, with the units of the data."""
    if listed is None:
        return one
    fields = json.loads(listed.to_json()) | {"price_unit": one.price_unit, "size_unit": one.size_unit}
    return Instrument.from_json(json.dumps(fields))
