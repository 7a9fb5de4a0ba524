"""Captures: raw frames on disk, read as tapes."""

from __future__ import annotations

import json
import logging
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from crossbook import _core
from crossbook._core import Instrument, Tape
from crossbook.errors import CaptureError, DataError, InstrumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

__all__ = ["Capture", "open", "read_instruments", "write_instruments"]

log = logging.getLogger(__name__)

FAULTS = {
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


def _read_units(cache: Path) -> dict[tuple[str, int, int], Instrument]:
    """Read measured units by the stamp of their file. Raises `DataError` if that is not what `cache` holds."""
    try:
        entries = json.loads(cache.read_text(encoding="utf-8"))
        return {
            (entry["file"], entry["size"], entry["mtime_ns"]): Instrument.from_json(json.dumps(entry["instrument"]))
            for entry in entries
        }
    except (OSError, ValueError, TypeError, KeyError, DataError) as error:
        raise DataError(f"{cache}: expected a cache of units, delete it to measure them again: {error}") from error


def _write_units(cache: Path, units: Mapping[tuple[str, int, int], Instrument]) -> None:
    entries = [
        {"file": name, "size": size, "mtime_ns": changed, "instrument": json.loads(instrument.to_json())}
        for (name, size, changed), instrument in units.items()
    ]
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


class Capture:
    """Raw frames of one or more venues. Make one with `crossbook.open`.

    A capture is read as a stream, in order of receive time across its files; nothing of it is kept in memory but what
    you keep. Frames that cannot be used are passed over and listed in `faults`; a `Gap` event stands where a book lost
    something.
    """

    def __init__(
        self, path: Path, files: Sequence[tuple[Path, Instrument]], unread: Sequence[dict[str, object]]
    ) -> None:
        self.path = path
        self._files = tuple(files)
        self._unread = tuple(unread)
        # The last that was played to its end: bytes on disk say less, as they are read ahead of the frames.
        self._replay: _core.Replay | None = None

    @property
    def instruments(self) -> list[Instrument]:
        """The instruments, in the order in which tapes number them."""
        return [instrument for _, instrument in self._files]

    def index(self, name: str) -> int:
        """Give the number of the instrument that a name means: ``usdm``, ``binance-usdm``, a symbol, ``venue:symbol``.

        Raises `InstrumentError` if none or several are meant.
        """
        wanted = name.lower()
        names = [{i.alias, i.venue, i.symbol.lower(), i.name.lower()} for i in self.instruments]
        found = [index for index, known in enumerate(names) if wanted in known]
        if len(found) == 1:
            return found[0]
        known_names = ", ".join(instrument.name for instrument in self.instruments)
        problem = "is none" if not found else "may be several"
        raise InstrumentError(f"{name!r} {problem} of the capture's instruments: expected one of {known_names}")

    def select(self, *names: str) -> Capture:
        """Give a capture of these instruments alone, in this order."""
        return Capture(self.path, [self._files[self.index(name)] for name in names], self._unread)

    def batches(self, *, rows: int = 65_536, progress: Callable[[int, int], None] | None = None) -> Iterator[Tape]:
        """Yield the events as tapes of about `rows` events, in constant memory.

        `progress` is called after each batch with the bytes on disk that have been read and their total.
        """
        replay = _core.Replay(self._files)
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
        """Count what each file holds: frames by kind, errors, gaps, and the first and last receive time (ns, UTC).

        Reads the capture unless it has just been read.
        """
        counts = pl.DataFrame(self._read().counts(), infer_schema_length=None)
        about = pl.DataFrame(
            {
                "file": [path.name for path, _ in self._files],
                "venue": [instrument.venue for instrument in self.instruments],
                "symbol": [instrument.symbol for instrument in self.instruments],
                "contract": [instrument.contract for instrument in self.instruments],
                "price_unit": [instrument.price_unit for instrument in self.instruments],
                "size_unit": [instrument.size_unit for instrument in self.instruments],
            }
        )
        times = [pl.from_epoch(pl.col(name), time_unit="ns").dt.replace_time_zone("UTC") for name in ("first", "last")]
        return pl.concat([about, counts], how="horizontal").with_columns(times)

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

    A file holds one connection: lines of ``<receive ns> <raw JSON>``, gzipped or plain. Which venue and symbol it holds
    is read from its name (``usdm-btcusdt.gz``), else from its frames. The units of its prices and sizes come from
    `instruments` (a file for `read_instruments`, or instruments), else from the built-in table, else from the file
    `cache` if it knows a file of this name, size and time of change, else from a pass over the whole file, whose result
    is written to `cache` and logged as a warning.

    A file in a folder that cannot be used becomes a fault of the capture. Raises `CaptureError` if there is none that
    can, or if a file that was named itself cannot.
    """
    named = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
    root = named[0] if len(named) == 1 else Path()
    paths: list[tuple[Path, bool]] = []
    for one in named:
        if one.is_dir():
            inside = sorted(p for p in one.iterdir() if p.is_file() and p.suffix in {".gz", ".log", ".raw"})
            paths += [(p, False) for p in inside]
        else:
            paths.append((one, True))
    if isinstance(instruments, str | Path):
        instruments = read_instruments(instruments)
    declared = {(i.venue, i.symbol): i for i in instruments or ()}
    cached = _read_units(Path(cache)) if cache is not None and Path(cache).exists() else {}

    files: list[tuple[Path, Instrument]] = []
    unread: list[dict[str, object]] = []
    inferred = False
    for one, required in paths:
        try:
            key = _core.identify(one)
            found = declared.get(key) or Instrument.builtin(*key)
            if found is None and (kept := cached.get(_stamp(one))) and (kept.venue, kept.symbol) == key:
                found = kept
            if found is None:
                found = _core.infer_instrument(one, *key)
                cached[_stamp(one)] = found
                inferred = True
                log.warning(
                    "%s: units of %s are not declared; price %s and size %s are the finest decimals in the whole file",
                    one.name,
                    found.name,
                    found.price_unit,
                    found.size_unit,
                )
        except CaptureError as error:
            if required:
                raise
            unread.append(
                {"kind": "unread", "file": one, "line": 0, "sequence": 0, "offset": None, "message": str(error)}
            )
            continue
        files.append((one, found))
    if not files:
        reasons = "; ".join(str(row["message"]) for row in unread) or "no .gz, .log or .raw file in it"
        raise CaptureError(f"{', '.join(map(str, named))}: expected at least one capture file: {reasons}")
    if inferred and cache is not None:
        _write_units(Path(cache), cached)
    return Capture(root, files, unread)
