"""The soak: 20 streams, 50,000 frames a second in all, random faults; memory stays flat, no book is wrong unmarked.

``python -m tests.fakex.soak --seconds 900``. The fake exchange runs in a process of its own, the client in this one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import polars as pl

from crossbook import PriceBook, Tape, _core
from crossbook.fakex.blast import Block, render
from crossbook.fakex.truth import within
from crossbook.feeds import stream

EXCHANGES = ("okx", "bybit-spot", "bybit-linear", "gate", "kraken", "deribit", "hyperliquid")
FRAMES = 6000
CLEAR, LEVEL, GAP = 0, 1, 13
PAGE = os.sysconf("SC_PAGE_SIZE")


def rss() -> int:
    """Give the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@dataclass(slots=True)
class Watch:
    """One stream's book, held against the truth now and then."""

    symbol: str
    price: Decimal
    size: Decimal
    depth: int
    digests: dict[int, set[int]]
    book: PriceBook = field(default_factory=PriceBook)
    key: int = 0
    checked: int = 0
    wrong: int = 0
    unknown: int = 0

    def check(self) -> None:
        if self.book.is_stale or not self.key:
            return
        wanted = self.digests.get(self.key)
        if wanted is None:
            self.unknown += 1
            return
        count = self.depth or 1000
        sides = tuple(
            tuple(sorted((int(p * self.price), int(s * self.size)) for p, s in self.book.depth(side, count)))
            for side in (0, 1)
        )
        self.checked += 1
        self.wrong += hash(sides) not in wanted


def watches(block: Block, depth: int) -> list[Watch]:
    """Make what watches a block's streams."""
    digests: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for state in block.states:
        shown = within(state.book, depth)
        digest = hash(tuple(tuple(sorted(side.items())) for side in shown))
        digests[state.symbol][state.id or state.time].add(digest)
        digests[state.symbol][state.time].add(digest)
    block.states.clear()
    found = []
    for instrument in block.instruments:
        listing = next(one for one in block.exchange.listed if one.symbol == instrument.symbol)
        price = Decimal(instrument.price_unit).scaleb(listing.price_decimals)
        size = Decimal(instrument.size_unit).scaleb(listing.size_decimals)
        found.append(Watch(instrument.symbol, price, size, depth, dict(digests[instrument.symbol])))
    return found


def look(tape: Tape, watched: Sequence[Watch]) -> None:
    """Apply a tape to all books and hold them against the truth."""
    frame = tape.to_polars()
    book = frame.filter(pl.col("kind").is_in([CLEAR, LEVEL]))
    last = book.group_by("instrument").agg(pl.col("sequence").last(), pl.col("ts_event").last())
    for index, sequence, ts_event in last.iter_rows():
        watched[index].key = sequence if sequence in watched[index].digests else ts_event
    for index in frame["instrument"].unique().to_list():
        watched[index].book.apply(tape, instrument=index, every="message")
        watched[index].check()


async def soak(seconds: float, *, rate: float, faults: float, seed: int) -> dict[str, object]:
    """Run it, and give the figures."""
    each = rate / len(EXCHANGES)
    command = [sys.executable, "-m", "crossbook.fakex.blast", *EXCHANGES, "--frames", str(FRAMES), "--seed", str(seed)]
    command += ["--rate", f"{each}", "--faults", f"{faults / len(EXCHANGES)}"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    watched: list[Watch] = []
    instruments = []
    facts = {one["name"]: one for one in _core.protocols()}
    for name in EXCHANGES:
        block = render(name, seed=seed, frames=FRAMES, truth=True)
        instruments += block.instruments
        watched += watches(block, facts[block.exchange.protocol]["depth"])
    about = json.loads(server.stdout.readline())
    addresses = {venue: (ws, rest) for venue, (ws, rest) in about["addresses"].items()}
    memory: list[tuple[float, int]] = []
    waiting: list[Tape] = []
    async with stream(instruments=instruments, addresses=addresses, protocols=about["protocols"], seed=seed) as live:

        async def read() -> None:
            async for tape in live:
                waiting.append(tape)  # noqa: PERF401 # they are taken away meanwhile

        reader = asyncio.create_task(read())
        began, cpu, counted = time.monotonic(), time.process_time(), 0
        while time.monotonic() - began < seconds:
            await asyncio.sleep(0.5)
            if waiting:
                tape = Tape.concat(waiting)
                waiting.clear()
                look(tape, watched)
            memory.append((time.monotonic() - began, rss()))
        took, spent = time.monotonic() - began, time.process_time() - cpu
        counted = sum(one.totals.frames for one in live.connections)
        busy = sum(one.totals.busy_ns for one in live.connections) / 1e9
        gaps = live.gaps()
        reconnects = sum(one.reconnects for one in live.connections)
    await reader
    server.terminate()
    said = json.loads(server.communicate(timeout=20)[0])
    warm = [size for at, size in memory if at > took / 4]
    middle = sorted(warm)[len(warm) // 2]
    tenths = [[size for at, size in memory if part <= at * 10 / took < part + 1] for part in range(10)]
    return {
        "seconds": round(took, 1),
        "streams": len(watched),
        "frames": counted,
        "frames_per_s": round(counted / took),
        "cpu": round(spent / took, 3),
        "cpu_engine": round(busy / took, 3),
        "rss_mb": round(middle / 1e6, 1),
        "rss_mb_by_tenth": [round(sum(one) / max(len(one), 1) / 1e6, 1) for one in tenths],
        "rss_spread": round(max(max(warm) / middle - 1, 1 - min(warm) / middle), 4),
        "faults": said["faults"],
        "gaps": len(gaps),
        "gaps_by_cause": dict(gaps.group_by("cause").len().iter_rows()),
        "reconnects": reconnects,
        "books_checked": sum(one.checked for one in watched),
        "books_wrong": sum(one.wrong for one in watched),
        "books_unknown": sum(one.unknown for one in watched),
        "unwatched": [one.symbol for one in watched if not one.checked],
    }


def problems(figures: dict[str, object], *, rate: float) -> list[str]:
    """Say what does not hold."""
    found = []
    if figures["books_wrong"]:
        found.append(f"{figures['books_wrong']} books were not the venue's, unmarked")
    if figures["unwatched"]:
        found.append(f"never held against the truth: {figures['unwatched']}")
    if float(str(figures["rss_spread"])) > 0.05:
        found.append(f"memory moved by {figures['rss_spread']} of its median")
    if float(str(figures["frames_per_s"])) < 0.8 * rate:
        found.append(f"{figures['frames_per_s']} frames a second where {rate} were wanted")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--rate", type=float, default=50_000.0)
    parser.add_argument("--faults", type=float, default=2.0, help="a second, over all venues")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.getLogger("crossbook").setLevel(logging.CRITICAL)
    figures = asyncio.run(soak(options.seconds, rate=options.rate, faults=options.faults, seed=options.seed))
    print(json.dumps(figures))
    found = problems(figures, rate=options.rate)
    for text in found:
        print(text)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
