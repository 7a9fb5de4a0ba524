"""Latency of the hot paths on this machine, as percentiles: what ``crossbook bench`` prints.

The input is the capture that `crossbook.demo` makes from a seed, in a temporary folder. Nothing is subtracted from a
sample: the cost of reading the clock stands in rows of its own, measured in the same run.
"""

from __future__ import annotations

import gzip
from heapq import merge
from itertools import cycle, islice
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook import _core
from crossbook._core import PriceBook
from crossbook.capture import open as open_capture
from crossbook.demo import make_capture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    _Columns = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]

__all__ = ["measure"]

BATCH = 1_024
SNAPSHOT = 2
FILES = ("usdm-btcusdt.gz", "spot-btcusdt.gz")
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999, "max": 1.0}

KEPT = "the {} clock row is included, not subtracted"
RUST = {
    "clock": ("clock, Rust", 1, "overhead: two readings, nothing between"),
    "book_update": ("book update, Rust", 1, "set one level, read the quote; " + KEPT.format("Rust")),
    "book_run": (
        "book update in a run, Rust",
        _core.LATENCY_RUN,
        f"mean of {_core.LATENCY_RUN} in a row; 1/{_core.LATENCY_RUN} of the Rust clock row is included",
    ),
    "decode": (
        "decode of a depth frame",
        1,
        "raw JSON to checked events on a tape, {levels:.0f} levels at the median; " + KEPT.format("Rust"),
    ),
    "market": ("frame to market", 1, "depth, quote or trade: decoded, checked, applied; " + KEPT.format("Rust")),
}
"""Path, how many operations one sample holds, and what it says of itself."""


def _frames(path: Path, instrument: int) -> Iterator[tuple[int, int, bytes]]:
    with gzip.open(path) as lines:
        for line in lines:
            time, frame = line.split(b" ", 1)
            yield instrument, int(time), frame.rstrip(b"\n")


def _clock(count: int) -> list[int]:
    return [-(perf_counter_ns() - perf_counter_ns()) for _ in range(count)]


def _single(count: int, rows: Iterable[tuple[int, int, int]]) -> list[int]:
    update = PriceBook().update
    found = []
    for side, price, size in islice(rows, count):
        start = perf_counter_ns()
        quote = update(side, price, size)
        found.append(perf_counter_ns() - start)
        del quote
    return found


def _batch(count: int, columns: Iterable[_Columns]) -> list[int]:
    book, out, found = PriceBook(), None, []
    for side, price, size in islice(columns, count):
        start = perf_counter_ns()
        out = book.update_rows(side, price, size, out=out)
        found.append(perf_counter_ns() - start)
    return found


def _row(path: str, samples: NDArray[np.float64], note: str) -> dict[str, object]:
    # Nearest rank: every figure is a time that was measured, not one in between.
    values = np.quantile(samples, list(QUANTILES.values()), method="inverted_cdf").tolist()
    figures = dict(zip(QUANTILES, values, strict=True))
    return {"path": path, "unit": "ns", "count": len(samples), **figures, "note": note}


def measure(*, quick: bool = False) -> pl.DataFrame:
    """Measure the latency of the hot paths on this machine, in some seconds on one core.

    Gives a row for each path: ``path``, ``unit`` (ns), ``count`` of samples (100,000 or a few more, 10,000 if `quick`),
    the percentiles ``p50, p90, p99, p99_9`` and ``max``, and a ``note`` that says what one sample holds.
    """
    count = 10_000 if quick else 100_000
    with TemporaryDirectory(prefix="crossbook-") as folder:
        made = make_capture(folder, seconds=5.0 if quick else 20.0)
        paths = [made / name for name in FILES]
        capture = open_capture(paths)
        levels = capture.tape().filter(kind=["level"]).to_polars()
        files = [_frames(path, instrument) for instrument, path in enumerate(paths)]
        frames = list(merge(*files, key=itemgetter(1)))
    messages = levels.filter(pl.col("flags") & SNAPSHOT == 0).group_by("instrument", "sequence").len()
    typical = messages["len"].quantile(0.5)

    found = _core.latencies(capture.instruments, frames, count)
    rows = [_row(path, found[name] / per, note.format(levels=typical)) for name, (path, per, note) in RUST.items()]

    side, price, size = (levels.filter(instrument=0)[name].to_numpy() for name in ("side", "price", "size"))
    starts = range(0, len(side) - BATCH + 1, BATCH)
    batches = cycle([(side[at : at + BATCH], price[at : at + BATCH], size[at : at + BATCH]) for at in starts])
    singles = cycle(zip(side.tolist(), price.tolist(), size.tolist(), strict=True))
    python = {
        "clock, Python": (_clock(count), 1, "overhead: two readings, nothing between"),
        "Python single call": (_single(count, singles), 1, "set one level, quote returned; " + KEPT.format("Python")),
        "Python batch, per row": (
            _batch(count, batches),
            BATCH,
            f"top of book after each of {BATCH:,} rows, memory reused; 1/{BATCH:,} of the Python clock row is included",
        ),
    }
    rows += [_row(path, np.array(samples) / per, note) for path, (samples, per, note) in python.items()]
    return pl.DataFrame(rows)
