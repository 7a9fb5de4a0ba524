"""The depth levels of the real captures as columns, public order streams, and how a bench hands on what it measured.

python benches/streams.py target/matching     writes the order streams as `benches/rust/matching.rs` reads them
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from timeit import Timer

import numpy as np
import polars as pl

import crossbook as xb
from crossbook import _core

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("CROSSBOOK_DATA", ROOT / "../shared/data"))
DATA = SHARED / "binance-2024-08-08"
MATCHING = SHARED / "matching"
FILES = ("usdm-btcusdt", "coinm-btcusd_perp", "spot-btcusdt")
ORDER_STREAMS = ("normal", "static", "flash-crash")
SNAPSHOT = 2
# One message of an order stream, 24 bytes, little endian.
MESSAGE = np.dtype(
    [
        ("type", "u1"),
        ("side", "u1"),
        ("ioc", "u1"),
        ("pad", "u1"),
        ("quantity", "<u4"),
        ("order_id", "<u8"),
        ("price", "<i8"),
    ]
)


@dataclass(frozen=True, slots=True)
class Columns:
    side: np.ndarray
    price: np.ndarray
    size: np.ndarray

    def __len__(self) -> int:
        return len(self.side)

    def rows(self, limit: int | None = None) -> list[tuple[int, int, int]]:
        columns = (column[:limit].tolist() for column in (self.side, self.price, self.size))
        return list(zip(*columns, strict=True))


@dataclass(frozen=True, slots=True)
class Stream:
    """The levels of one capture: its snapshot, then every change in the order in which a book takes them."""

    name: str
    snapshot: Columns
    changes: Columns

    def book(self) -> xb.PriceBook:
        book = xb.PriceBook()
        book.update_rows(self.snapshot.side, self.snapshot.price, self.snapshot.size)
        return book


def path(name: str) -> Path:
    found = DATA / f"{name}.gz"
    if not found.exists():
        raise FileNotFoundError(f"no {found}: set CROSSBOOK_DATA")
    return found


def read(name: str) -> Stream:
    if _core.DEBUG_BUILD:
        raise SystemExit("crossbook is a debug build: install a release build to bench it")
    levels = xb.open(path(name)).tape().filter(kind=["level"]).to_polars()
    snapshot = pl.col("flags") & SNAPSHOT != 0
    parts = [levels.filter(snapshot), levels.filter(~snapshot)]
    columns = (Columns(*(part[c].to_numpy().copy() for c in ("side", "price", "size"))) for part in parts)
    return Stream(name, *columns)


def orders(name: str) -> pl.DataFrame:
    """The messages of a public order stream: ``type`` 0 new, 1 cancel, 2 replace; ``side, ioc, quantity, order_id,
    price``."""
    found = MATCHING / f"{name}.parquet"
    if not found.exists():
        raise FileNotFoundError(f"no {found}: set CROSSBOOK_DATA")
    return pl.read_parquet(found)


def write_orders(folder: Path) -> None:
    """Write every order stream as `benches/rust/matching.rs` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ORDER_STREAMS:
        frame = orders(name)
        rows = np.zeros(frame.height, MESSAGE)
        for column in ("type", "side", "ioc", "quantity", "order_id", "price"):
            rows[column] = frame[column].to_numpy()
        rows.tofile(folder / f"{name}.bin")
        print(f"{folder / name}.bin: {frame.height:,} messages")


def per_row(run: Callable[[], object], rows: int, *, setup: Callable[[], object], rounds: int = 7) -> float:
    """Median ns per row of whole runs, each on what `setup` made anew."""
    return median(Timer(run, setup=setup).repeat(rounds, number=1)) / rows * 1e9


def save(rows: list[dict[str, object]]) -> None:
    """Prints the figures, and writes them as JSON where `--json FILE` asks for it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    out = parser.parse_args().json
    with pl.Config(tbl_rows=-1, tbl_cols=-1, fmt_str_lengths=80, tbl_width_chars=160, tbl_hide_dataframe_shape=True):
        print(pl.DataFrame(rows, infer_schema_length=None))
    if out is not None:
        out.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the public order streams for `cargo bench --bench matching`.")
    parser.add_argument("folder", type=Path, help="where, for example target/matching")
    write_orders(parser.parse_args().folder)
