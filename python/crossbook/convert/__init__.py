"""Other people's formats: tapes out and in.

| format | holds | lost on the way out |
|---|---|---|
| ``parquet`` | everything | nothing |
| ``tardis`` | price book, quotes, trades | ns below µs, update ids, gaps |
| ``hftbacktest`` | price book or order book, trades | ids, gaps, quotes unless asked for |
| ``lobster`` | order book of one day | receive times, update ids |
| ``dbn`` | order book, or quotes and trades | ids above 32 bits, gaps |

Each module says in full what survives. Readers give a `Source`, which yields tapes as a `crossbook.Capture` does;
writers take a capture, a source or any tapes, never overwrite a file unless told to, leave nothing half-written behind,
and say in `Written` which events had no place in the format.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossbook import capture
from crossbook.convert.events import Source, Written
from crossbook.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from crossbook._core import Tape
    from crossbook.convert.events import Instruments, Progress

__all__ = ["FORMATS", "Format", "Source", "Written", "convert", "read", "write"]


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its name, what it is, and where its reader and writer are."""

    name: str
    about: str
    module: str

    def reader(self) -> Callable[..., Source]:
        """The function that reads it."""
        found: Callable[..., Source] = import_module(self.module).read
        return found

    def writer(self) -> Callable[..., Written]:
        """The function that writes it."""
        found: Callable[..., Written] = import_module(self.module).write
        return found


FORMATS: Mapping[str, Format] = {
    name: Format(name, about, f"crossbook.convert.{name}")
    for name, about in {
        "parquet": "Parquet in folders by venue, symbol and day",
        "tardis": "CSV files as tardis.dev offers them",
        "hftbacktest": "npz arrays of hftbacktest 2",
        "lobster": "message and orderbook files of LOBSTER",
        "dbn": "Databento Binary Encoding: mbo, trades, mbp-1",
    }.items()
}
"""Formats by name. A capture is a source too, under the name ``capture``."""


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise DataError(f"format {name!r}: expected one of {', '.join(FORMATS)}")
    return FORMATS[name]


def read(path: str | Path, format: str, **options: Any) -> Source:
    """Open a file or folder of a format; `options` are those of its reader, such as ``instruments=``."""
    return _format(format).reader()(path, **options)


def write(tapes: capture.Capture | Source | Iterable[Tape], path: str | Path, format: str, **options: Any) -> Written:
    """Write tapes in a format; `options` are those of its writer, such as ``overwrite=`` and ``progress=``."""
    return _format(format).writer()(tapes, path, **options)


def convert(
    source: str | Path,
    target: str | Path,
    *,
    to: str,
    format: str = "capture",
    instruments: Instruments = None,
    overwrite: bool = False,
    progress: Progress = None,
    reading: Mapping[str, Any] | None = None,
    writing: Mapping[str, Any] | None = None,
) -> Written:
    """Turn files of a `format` (``capture``: whatever `crossbook.open` takes) into those of the format `to`.

    `reading` and `writing` are further options of the reader and the writer. `progress` is called with the bytes read
    so far and in all.
    """
    target_format = _format(to)
    origin: capture.Capture | Source
    if format == "capture":
        origin = capture.open(source, instruments=instruments, **(reading or {}))
    else:
        origin = read(source, format, instruments=instruments, **(reading or {}))
    return target_format.writer()(origin, target, overwrite=overwrite, progress=progress, **(writing or {}))
