"""What the formats share: events as DataFrames, tapes in and out as streams, files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook._core import Instrument, Tape
from crossbook.capture import Capture, read_instruments
from crossbook.errors import DataError, InstrumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Frames = Iterator[tuple[pl.DataFrame, int, int]]
    """Events in columns, with the bytes read so far and in all."""
    Instruments = str | Path | Iterable[Instrument] | None
    Progress = Callable[[int, int], None] | None

__all__ = [
    "COLUMNS",
    "KINDS",
    "Source",
    "Written",
    "by_order_only",
    "declared",
    "empty",
    "merge",
    "messages",
    "only_instrument",
    "replacing",
    "stream",
]

KINDS = (
    *("clear", "level", "quote", "trade", "add", "modify", "cancel", "execute"),
    *("mark", "index", "mark_iv", "funding", "status", "gap"),
)
"""Kinds of events by their code."""
CLEAR, LEVEL, QUOTE, TRADE, ADD, MODIFY, CANCEL, EXECUTE = range(8)
STATUS, GAP = 12, 13
BY_ORDER = (ADD, MODIFY, CANCEL, EXECUTE)
BID, ASK, NO_SIDE = 0, 1, 2
LAST, SNAPSHOT = 1, 2

COLUMNS: dict[str, type[pl.DataType]] = {
    "ts_event": pl.Int64,
    "ts_recv": pl.Int64,
    "sequence": pl.UInt64,
    "order_id": pl.UInt64,
    "price": pl.Int64,
    "size": pl.Int64,
    "instrument": pl.UInt32,
    "kind": pl.UInt8,
    "side": pl.UInt8,
    "flags": pl.UInt8,
}
"""The columns of a tape."""
NAMES = list(COLUMNS)


def empty() -> pl.DataFrame:
    """No events."""
    return pl.DataFrame(schema=COLUMNS)


@dataclass(frozen=True, slots=True)
class Written:
    """What a writer did: the files, the events that are in them, and those by kind that the format has no word for."""

    paths: tuple[Path, ...]
    rows: int
    left_out: dict[str, int]


class Source:
    """A file or folder of another format, read as tapes: the part of a `crossbook.Capture` that writers need."""

    def __init__(self, path: Path, instruments: Sequence[Instrument], frames: Callable[[], Frames]) -> None:
        self.path = path
        self._instruments = list(instruments)
        self._frames = frames

    @property
    def instruments(self) -> list[Instrument]:
        """The instruments, in the order in which tapes number them."""
        return list(self._instruments)

    def batches(self, *, rows: int = 65_536, progress: Progress = None) -> Iterator[Tape]:
        """Yield the events as tapes of about `rows` events that end where a message ends.

        `progress` is called after each batch with the bytes on disk that have been read and their total.
        """
        held, done, total = empty(), 0, 0
        for frame, done, total in self._frames():
            held = pl.concat([held, frame.select(NAMES)])
            ends = np.flatnonzero(held["flags"].to_numpy() & LAST) + 1
            start = 0
            while (at := np.searchsorted(ends, start + max(rows, 1))) < ends.size:
                yield Tape(held[start : int(ends[at])], self._instruments)
                start = int(ends[at])
                if progress is not None:
                    progress(done, total)
            held = held[start:]
        if held.height:
            yield Tape(held, self._instruments)
        if progress is not None:
            progress(done, total)

    def tape(self) -> Tape:
        """Give all events at once: about 55 bytes of memory each. Raises `DataError` if there is none."""
        tapes = list(self.batches())
        if not tapes:
            raise DataError(f"{self.path}: expected at least one event")
        return Tape.concat(tapes)

    def __repr__(self) -> str:
        """Name the path and the instruments."""
        return f"Source({self.path}: {', '.join(instrument.name for instrument in self._instruments)})"


def stream(
    tapes: Capture | Source | Iterable[Tape], progress: Progress = None
) -> tuple[list[Instrument], Iterator[pl.DataFrame]]:
    """The instruments of tapes and their events, frame by frame.

    Raises `DataError` if there is no tape to take the instruments from or if later tapes have others.
    """
    if isinstance(tapes, Capture | Source):
        return tapes.instruments, (tape.to_polars() for tape in tapes.batches(progress=progress))
    if isinstance(tapes, Tape):
        tapes = [tapes]
    several = iter(tapes)
    first = next(several, None)
    if first is None:
        raise DataError("expected at least one tape, found none")
    instruments = first.instruments

    def frames() -> Iterator[pl.DataFrame]:
        yield first.to_polars()
        for tape in several:
            if tape.instruments != instruments:
                raise DataError("expected tapes of the same instruments in the same order")
            yield tape.to_polars()

    return instruments, frames()


def declared(instruments: Instruments) -> list[Instrument]:
    """Instruments from an instruments file or as given; none if nothing is said."""
    if isinstance(instruments, str | Path):
        return read_instruments(instruments)
    return list(instruments or ())


def only_instrument(instruments: Instruments, format: str) -> Instrument:
    """The one instrument of a format whose files hold one and do not describe it. Raises `InstrumentError`."""
    found = declared(instruments)
    if len(found) != 1:
        raise InstrumentError(f"{format}: expected one instrument, as the file says no units, found {len(found)}")
    return found[0]


def chosen(instruments: Sequence[Instrument], instrument: int | None, format: str) -> int:
    """The number of the instrument to write where a file holds one. Raises `InstrumentError`."""
    if instrument is None and len(instruments) == 1:
        return 0
    if instrument is None or not 0 <= instrument < len(instruments):
        names = ", ".join(f"{number} ({one.name})" for number, one in enumerate(instruments))
        raise InstrumentError(f"{format}: a file holds one instrument: expected instrument= one of {names}")
    return instrument


def messages(frames: Iterator[pl.DataFrame], instrument: int | None = None) -> Iterator[pl.DataFrame]:
    """The events, of one instrument or all, in frames that end where a message ends, with the column ``message``.

    The column numbers the messages of a frame.
    """
    last = pl.col("flags") & LAST != 0
    number = last.cast(pl.UInt32).cum_sum().shift(1, fill_value=0).alias("message")
    held = empty()
    for frame in frames:
        own = frame if instrument is None else frame.filter(pl.col("instrument") == instrument)
        held = pl.concat([held, own.select(NAMES)])
        ends = held.select(last).to_series().arg_true()
        cut = int(ends[-1]) + 1 if ends.len() else 0
        if cut:
            yield held[:cut].with_columns(number)
        held = held[cut:]
    if held.height:
        yield held.with_columns(number)


def by_order_only(frame: pl.DataFrame, format: str) -> None:
    """Raise `DataError` if a frame has events of a book by price."""
    wrong = frame.filter(pl.col("kind").is_in([LEVEL, QUOTE]))
    if wrong.height:
        raise DataError(
            f"{format}: expected a tape by order (add, modify, cancel, execute), "
            f"found {KINDS[wrong['kind'][0]]} at receive time {wrong['ts_recv'][0]}: which orders made it is not known"
        )


def count_kinds(frame: pl.DataFrame, into: dict[str, int]) -> None:
    """Add the events of a frame to counts by kind."""
    for code, count in frame.group_by("kind").len().sort("kind").iter_rows():
        into[KINDS[code]] = into.get(KINDS[code], 0) + count


def merge(streams: Sequence[Frames]) -> Frames:
    """Several streams, each in order of receive time, as one; at one instant the earlier stream comes first.

    Holds one frame of each.
    """
    held = [empty() for _ in streams]
    done, totals = [0] * len(streams), [0] * len(streams)
    live = set(range(len(streams)))

    def read_on(index: int, edge: int | None) -> None:
        """Read a stream until something of it lies beyond `edge`, or to its end."""
        while index in live and (held[index].is_empty() or held[index]["ts_recv"][-1] == edge):
            found = next(streams[index], None)
            if found is None:
                live.discard(index)
            else:
                frame, done[index], totals[index] = found
                held[index] = pl.concat([held[index], frame.select(NAMES)])

    edge: int | None = None
    while True:
        for index in range(len(streams)):
            read_on(index, edge)
        # What lies before the earliest end of what is held can be given: nothing earlier can follow.
        edge = min((held[index]["ts_recv"][-1] for index in live), default=None)
        ready = []
        for index, frame in enumerate(held):
            cut = frame.height if edge is None else int(frame["ts_recv"].search_sorted(edge, side="left"))
            ready.append(frame[:cut])
            held[index] = frame[cut:]
        out = pl.concat(ready) if ready else empty()
        if out.height:
            yield out.sort("ts_recv", maintain_order=True), sum(done), sum(totals)
        if edge is None:
            return


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A path to write to, which takes the name `path` once all went well and is gone if it did not.

    Raises `DataError` if `path` is there already and may not be overwritten.
    """
    if path.exists() and not overwrite:
        raise DataError(f"{path}: exists already: expected overwrite=True to replace it")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
