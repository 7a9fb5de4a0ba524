"""Parquet in folders by venue, symbol and day: ``venue=<v>/symbol=<s>/date=<YYYY-MM-DD>/part-00000.parquet``.

Nothing is lost: the columns are a tape's, whole numbers of units, in order of receive time within a day, and the day is
that of the receive time in UTC. Only at one and the same receive time is the order between instruments lost; they come
back in the order of their numbers. Venue and symbol are percent-encoded in paths where paths dislike a character.

Every part carries the instruments in its metadata, under ``crossbook``. They are also written to
``<folder>.instruments.json`` *beside* the folder, for people and for ``crossbook.open(..., instruments=...)``: a file
that is no Parquet inside it would keep `polars.scan_parquet` from reading the folder.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import polars as pl

from crossbook._core import Instrument
from crossbook.capture import write_instruments
from crossbook.convert.events import NAMES, Source, Written, count_kinds, declared, merge, stream
from crossbook.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crossbook._core import Tape
    from crossbook.capture import Capture
    from crossbook.convert.events import Frames, Instruments, Progress

__all__ = ["read", "scan", "write"]

log = logging.getLogger(__name__)

KEY = "crossbook"
VERSION = 1
DAY = 86_400_000_000_000


def _folder(instrument: Instrument) -> Path:
    return Path(f"venue={quote(instrument.venue, safe='')}") / f"symbol={quote(instrument.symbol, safe='')}"


def _sidecar(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.instruments.json")


def _parts(directory: Path) -> list[Path]:
    return sorted(directory.glob("venue=*/symbol=*/date=*/part-*.parquet"))


def _about(part: Path) -> list[Instrument]:
    """The instruments that a part's metadata lists."""
    try:
        about = json.loads(pl.read_parquet_metadata(part)[KEY])
        if about["version"] != VERSION:
            raise DataError(f"{part}: expected version {VERSION} of the layout, found {about['version']}")
        return [Instrument.from_json(json.dumps(entry)) for entry in about["instruments"]]
    except (OSError, pl.exceptions.PolarsError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{part}: expected Parquet written by crossbook, with instruments in it: {error}") from error


def _listed(parts: Iterable[Path]) -> list[Instrument]:
    """The instruments of all parts; later writes may have added some."""
    longest: list[Instrument] = []
    for part in parts:
        found = _about(part)
        shared = min(len(found), len(longest))
        if found[:shared] != longest[:shared]:
            raise DataError(f"{part}: expected the instruments of the other parts, in their order")
        longest = max(longest, found, key=len)
    return longest


def _joined(directory: Path, instruments: list[Instrument]) -> list[Instrument]:
    """The instruments that are there already, and the new ones. Raises `DataError` where units do not agree."""
    known = _listed(_parts(directory))
    for instrument in instruments:
        if instrument not in known:
            if instrument.name in {one.name for one in known}:
                raise DataError(f"{directory}: {instrument.name} is there with another description, such as its units")
            known.append(instrument)
    return known


class _Partition:
    """One instrument's day while it is written."""

    def __init__(self, folder: Path, name: str, rows: int, metadata: dict[str, str]) -> None:
        self.folder, self.name, self.rows, self.metadata = folder, name, rows, metadata
        self.held: list[pl.DataFrame] = []
        self.height = 0
        self.written = 0
        self.last = 0

    def add(self, frame: pl.DataFrame) -> None:
        self.held.append(frame)
        self.height += frame.height
        if self.height >= self.rows:
            self.flush()

    def flush(self) -> None:
        if not self.height:
            return
        frame = pl.concat(self.held)
        if not frame["ts_recv"].is_sorted():
            frame = frame.sort("ts_recv", maintain_order=True)
        if frame["ts_recv"][0] < self.last:
            raise DataError(
                f"{self.name}: receive time {frame['ts_recv'][0]} runs back behind {self.last}, which is written: "
                f"expected rows= of more than {self.rows}, to sort over"
            )
        self.last = frame["ts_recv"][-1]
        self.folder.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(self.folder / f"part-{self.written:05}.parquet", metadata=self.metadata)
        self.written += 1
        self.held, self.height = [], 0


def write(
    batches: Capture | Source | Iterable[Tape],
    directory: str | Path,
    instruments: Instruments = None,
    *,
    overwrite: bool = False,
    rows: int = 1 << 20,
    progress: Progress = None,
) -> Written:
    """Write tapes to a folder, which may hold other days and instruments already.

    Holds at most `rows` events of each instrument; a part file has about that many. All of it is written aside and then
    renamed into place, day by day. `instruments` add to those of the tapes, which come first. Raises `DataError` if a
    day of an instrument is there already (unless `overwrite`), if its units differ, or if receive times run back
    further than `rows`.
    """
    directory = Path(directory)
    if directory.exists() and any(directory.iterdir()) and not _parts(directory):
        raise DataError(f"{directory}: expected a folder that is new, empty or written by crossbook")
    own, frames = stream(batches, progress)
    more = [] if instruments is None else [one for one in declared(instruments) if one not in own]
    everything = _joined(directory, own + more)
    numbers = pl.Series([everything.index(instrument) for instrument in own], dtype=pl.UInt32)
    about = {"version": VERSION, "instruments": [json.loads(one.to_json()) for one in everything]}
    metadata = {KEY: json.dumps(about)}
    aside = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}.tmp")
    partitions: dict[tuple[int, int], _Partition] = {}
    written: dict[str, int] = {}
    try:
        for frame in frames:
            count_kinds(frame, written)
            day = (pl.col("ts_recv") // DAY).alias("day")
            for (index, number), part in _split(frame.with_columns(day)):
                if (key := (index, number)) not in partitions:
                    date = dt.date(1970, 1, 1) + dt.timedelta(days=number)
                    folder = _folder(own[index]) / f"date={date}"
                    if (directory / folder).exists() and not overwrite:
                        raise DataError(f"{directory / folder}: exists already: expected overwrite=True to replace it")
                    partitions[key] = _Partition(aside / folder, own[index].name, rows, metadata)
                    # Yesterday stays open, as a receive clock may run back over midnight.
                    for (other, earlier), partition in partitions.items():
                        if other == index and earlier < number - 1:
                            partition.flush()
                renumbered = part.with_columns(instrument=numbers.gather(part["instrument"])).select(NAMES)
                partitions[key].add(renumbered)
        for partition in partitions.values():
            partition.flush()
        paths = _move(aside, directory)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    write_instruments(_sidecar(directory), everything)
    return Written(tuple(paths), sum(written.values()), {})


def _split(frame: pl.DataFrame) -> Iterator[tuple[tuple[int, int], pl.DataFrame]]:
    for (index, number), part in frame.group_by("instrument", "day", maintain_order=True):
        assert isinstance(index, int)
        assert isinstance(number, int)
        yield (index, number), part


def _move(aside: Path, directory: Path) -> list[Path]:
    """Give what was written aside its name, one day of one instrument after another."""
    paths: list[Path] = []
    for folder in sorted(aside.glob("venue=*/symbol=*/date=*")):
        target = directory / folder.relative_to(aside)
        target.parent.mkdir(parents=True, exist_ok=True)
        old = aside / f"old-{len(paths)}"
        if target.exists():
            os.replace(target, old)
        os.replace(folder, target)
        paths += sorted(target.iterdir())
    return paths


def scan(directory: str | Path) -> pl.LazyFrame:
    """The folder as a LazyFrame with the columns of a tape and ``venue, symbol, date``."""
    schema = {"venue": pl.String(), "symbol": pl.String(), "date": pl.Date()}
    return pl.scan_parquet(directory, hive_partitioning=True, hive_schema=schema)


def read(directory: str | Path, *, instruments: Instruments = None) -> Source:
    """Open a folder that `write` made. It yields tapes of all its instruments in order of receive time.

    Holds one part of each instrument at a time. `instruments` picks and orders them; else all are given in the order
    in which they were written. Raises `DataError` for a folder that `write` did not make, or an instrument that it has
    not.
    """
    directory = Path(directory)
    parts = _parts(directory)
    if not parts:
        raise DataError(f"{directory}: expected folders venue=…/symbol=…/date=… with parts of Parquet")
    known = _listed(parts)
    wanted = known if instruments is None else declared(instruments)
    missing = [one.name for one in wanted if one not in known]
    if missing:
        there = ", ".join(f"{one.name} (price {one.price_unit}, size {one.size_unit})" for one in known)
        raise DataError(f"{directory}: expected instruments and units that are there: {there}; not {missing[0]}")

    def one(index: int, files: list[Path]) -> Frames:
        sizes = [file.stat().st_size for file in files]
        number = pl.lit(index, pl.UInt32)
        for at, file in enumerate(files):
            try:
                frame = pl.read_parquet(file, hive_partitioning=False).with_columns(instrument=number)
            except (OSError, pl.exceptions.PolarsError) as error:
                raise DataError(f"{file}: expected a Parquet file: {error}") from error
            yield frame, sum(sizes[: at + 1]), sum(sizes)

    def frames() -> Frames:
        folders = [directory / _folder(instrument) for instrument in wanted]
        return merge([one(index, sorted(folder.glob("date=*/part-*.parquet"))) for index, folder in enumerate(folders)])

    return Source(directory, wanted, frames)
