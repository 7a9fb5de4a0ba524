"""What the tests share: where the captures are, capture files made of lines, and a slow obvious book."""

from __future__ import annotations

import gzip
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import settings

import crossbook as xb
from crossbook.demo import make_capture

# No test is judged by how long it takes: the machine may be busy.
settings.register_profile("crossbook", deadline=None)
settings.load_profile("crossbook")

ROOT = Path(__file__).parents[1]
FILES = {"spot": "spot-btcusdt.gz", "usdm": "usdm-btcusdt.gz", "coinm": "coinm-btcusd_perp.gz"}
SYMBOLS = {"spot": "BTCUSDT", "usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}
CLEAR, LEVEL, QUOTE, TRADE, GAP = 0, 1, 2, 3, 13
LAST, SNAPSHOT, OURS, TRADES = 1, 2, 4, 8


@pytest.fixture(autouse=True)
def _own_log_level() -> Iterator[None]:
    """What a test makes of the loggers' level ends with it."""
    logger = logging.getLogger("crossbook")
    before = logger.level
    yield
    logger.setLevel(before)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real captures; absent it skips, or fails in CI."""
    folder = Path(os.environ.get("CROSSBOOK_DATA", ROOT / "../shared/data")).resolve()
    if not folder.is_dir():
        message = f"{folder} is not there: set CROSSBOOK_DATA to the folder of captures"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(message)
    return folder


@pytest.fixture(scope="session")
def real(data: Path) -> Path:
    return data / "binance-2024-08-08"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded default capture: 60 s, seed 7, USD-M leads spot by 80 ms."""
    return make_capture(tmp_path_factory.mktemp("demo"), seed=7)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds of the same, where the numbers do not matter."""
    return make_capture(tmp_path_factory.mktemp("small"), seed=7, seconds=20.0)


def loads(html: str) -> list[str]:
    """What a page would fetch: addresses but those of XML namespaces, and anything with a source."""
    found = re.findall(r"""(?:https?:)?//[\w.]+[^\s"'<]*|\bsrc\s*=|@import|url\((?!#)""", html)
    return [one for one in found if not one.startswith("http://www.w3.org/")]


def head(path: Path, count: int | None = None) -> list[bytes]:
    """The first lines of a capture file, without their ends."""
    with gzip.open(path) as file:
        return [line.rstrip(b"\n") for _, line in zip(range(count or 1 << 60), file, strict=False)]


def write(path: Path, lines: Iterable[bytes | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
    path.write_bytes(gzip.compress(body, 1, mtime=0) if path.suffix == ".gz" else body)
    return path


def frame(line: bytes) -> dict:
    found = json.loads(line.split(b" ", 1)[1])
    return found.get("data", found)


def is_depth(line: bytes) -> bool:
    return b"depthUpdate" in line


def builtin(venue: str) -> xb.Instrument:
    found = xb.Instrument.builtin(venue, SYMBOLS[venue])
    assert found is not None
    return found


COLUMNS = {
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


def events(rows: Sequence[dict[str, int]]) -> pl.DataFrame:
    """Events as a DataFrame; what a row does not say is 0, its side none."""
    blank = dict.fromkeys(COLUMNS, 0) | {"side": 2}
    return pl.DataFrame([blank | row for row in rows], schema=COLUMNS)


def tape(rows: Sequence[dict[str, int]], instruments: Sequence[xb.Instrument] | None = None) -> xb.Tape:
    return xb.Tape(events(rows), list(instruments or [builtin("spot")]))


def quote(bid: int, ask: int, sequence: int, *, sizes: tuple[int, int] = (1, 1), **common: int) -> list[dict[str, int]]:
    """The two events of one quote message."""
    both = {"kind": QUOTE, "sequence": sequence} | common
    return [
        both | {"side": 0, "price": bid, "size": sizes[0]},
        both | {"side": 1, "price": ask, "size": sizes[1], "flags": LAST},
    ]


def levels(
    rows: Sequence[tuple[int, int, int]], sequence: int, *, flags: int = 0, **common: int
) -> list[dict[str, int]]:
    """The events of one depth message from (side, price, size)."""
    made = [
        {"kind": LEVEL, "side": s, "price": p, "size": q, "sequence": sequence, "flags": flags} | common
        for s, p, q in rows
    ]
    made[-1]["flags"] |= LAST
    return made


class DictBook:
    """The obvious model: two dicts, and Binance's joining rules as its documentation has them."""

    def __init__(self, price_unit: str, size_unit: str) -> None:
        self.units = Decimal(price_unit), Decimal(size_unit)
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.last: int | None = None
        self.held: list[dict] = []

    def set(self, side: int, price: int, size: int) -> None:
        if size:
            self.sides[side][price] = size
        else:
            self.sides[side].pop(price, None)

    def best(self, side: int, count: int = 1) -> list[tuple[int, int]]:
        return sorted(self.sides[side].items(), reverse=side == 0)[:count]

    def top(self) -> tuple[int, int, int, int]:
        bids, asks = self.sides
        bid, ask = max(bids, default=0), min(asks, default=0)
        return bid, bids.get(bid, 0), ask, asks.get(ask, 0)

    def walk(self, side: int, size: int) -> tuple[int, int, int | None, int]:
        filled, notional, worst, used = 0, 0, None, 0
        for price, available in self.best(side, 1 << 60):
            if filled >= size:
                break
            taken = min(available, size - filled)
            filled, notional, worst, used = filled + taken, notional + price * taken, price, used + 1
        return filled, notional, worst, used

    def _levels(self, bids: list, asks: list) -> None:
        for side, found in enumerate((bids, asks)):
            for price, size in found:
                counts = [Decimal(text) / unit for text, unit in zip((price, size), self.units, strict=True)]
                assert all(count == int(count) for count in counts)
                self.set(side, int(counts[0]), int(counts[1]))

    def feed(self, message: dict) -> int:
        """Take one frame; returns how many depth messages and snapshots it applied."""
        if "lastUpdateId" in message and self.last is None:
            self.sides = ({}, {})
            self._levels(message["bids"], message["asks"])
            self.last = message["lastUpdateId"]
            waiting, self.held = self.held, []
            return 1 + sum(self.feed(m) for m in waiting)
        if message.get("e") != "depthUpdate":
            return 0
        if self.last is None:
            self.held.append(message)
            return 0
        # Before the first joined message a futures stream may repeat the snapshot's own id.
        if message["u"] < self.last or ("pu" not in message and message["u"] <= self.last):
            return 0
        self._levels(message["b"], message["a"])
        self.last = message["u"]
        return 1

    def rest(self, ts_recv: int) -> str:
        """The book as a line with the body of a REST snapshot (all levels)."""

        def texts(side: int) -> list[list[str]]:
            price_unit, size_unit = self.units
            return [[str(p * price_unit), str(q * size_unit)] for p, q in self.best(side, 1 << 60)]

        body = {"lastUpdateId": self.last, "bids": texts(0), "asks": texts(1)}
        return f"{ts_recv} {json.dumps(body, separators=(',', ':'))}"


def model_of(venue: str) -> DictBook:
    instrument = builtin(venue)
    return DictBook(instrument.price_unit, instrument.size_unit)
