"""The fault campaign: every fake exchange with every fault, through real sockets, and its table.

``python -m tests.fakex.campaign --seeds 1000 --jobs 2 --table docs/faults.md``; a seed that fails is named, and
``--seed N`` runs it alone.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import multiprocessing
import re
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crossbook.fakex.dialects import EXCHANGES
from crossbook.fakex.faults import FAULTS, Plan, faults_of, plan, traits_of
from crossbook.feeds import Clock

from . import sockets, warp


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one seed."""

    seed: int
    exchange: str
    fault: str
    problems: tuple[str, ...]
    injections: tuple[str, ...] = ()
    wanted: int = 0
    found: int = 0
    frames: int = 0
    checked: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Cell:
    runs: int = 0
    failed: list[int] = field(default_factory=list)


def one(chosen: Plan, *, scale: float = 0.0) -> Row:
    """Run one plan; with a `scale` by a clock so much faster than real, else by one that does not wait."""
    began = time.monotonic()
    try:
        if scale:
            result = asyncio.run(sockets.run(chosen, Clock(scale)))
        else:
            result = warp.run(lambda clock: sockets.run(chosen, clock))
    except Exception:
        problems = (f"the run itself broke: {traceback.format_exc(limit=-3)}",)
        return Row(chosen.seed, chosen.exchange, chosen.fault, problems, seconds=time.monotonic() - began)
    finally:
        # Sockets that went with a loop are closed now, not in the next run.
        gc.collect()
    return Row(
        chosen.seed,
        chosen.exchange,
        chosen.fault,
        tuple(result.problems[:6]),
        tuple(
            f"{i.fault} at {i.time}, seen: {i.seen}, {sorted(i.must | i.trades)} {i.note}"
            for i in result.injections[:4]
        )
        if result.problems
        else (),
        result.wanted,
        result.found,
        result.frames,
        result.checked,
        time.monotonic() - began,
    )


def _job(task: tuple[int, str | None, str | None, float]) -> Row:
    seed, exchange, fault, scale = task
    return one(plan(seed, sockets=True, exchange=exchange, fault=fault), scale=scale)


def campaign(
    seeds: Iterable[int], *, jobs: int = 1, exchange: str | None = None, fault: str | None = None, scale: float = 0.0
) -> Iterable[Row]:
    """Run many seeds."""
    tasks = [(seed, exchange, fault, scale) for seed in seeds]
    if jobs == 1:
        yield from map(_job, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=_quiet) as pool:
        yield from pool.imap_unordered(_job, tasks, chunksize=8)


def _quiet() -> None:
    logging.getLogger("crossbook").setLevel(logging.CRITICAL)


def _rule(name: str) -> tuple[str, str]:
    """Say what lets a client of an exchange see a loss, and what nothing tells."""
    traits = traits_of(name)
    sees = []
    if traits.counts_frames:
        sees.append("every frame of the connection is counted: a hole taints all its symbols")
    if traits.links:
        kind = {"range": "ranges of ids", "chain": "a chain of ids", "count": "a count of messages"}[traits.links]
        sees.append(f"{kind} per book")
    if traits.checksum:
        sees.append(f"a checksum of the best {traits.checksum} levels")
    if traits.every:
        sees.append("every message is the whole book: a loss heals with the next one and is no gap")
    if traits.crosses:
        sees.append("a crossed book")
    if traits.counts_trades:
        sees.append("ids of trades without holes")
    unseen = []
    if not traits.checksum and not traits.every:
        unseen.append("a wrong digit of a price or size")
    if traits.checksum == 25:
        unseen.append("a wrong level below the best 25")
    if name == "bitstamp-diff":
        unseen.append("lost, late and doubled messages, unless the book crosses")
    if not traits.counts_trades and not traits.counts_frames:
        unseen.append("lost trades")
    return "; ".join(sees), "; ".join(unseen) or "nothing"


def table(rows: Sequence[Row]) -> str:
    """Write the table of exchanges and faults as Markdown."""
    cells: dict[tuple[str, str], Cell] = defaultdict(Cell)
    for row in rows:
        cell = cells[row.exchange, row.fault]
        cell.runs += 1
        if row.problems:
            cell.failed.append(row.seed)
    failed = [row for row in rows if row.problems]
    wanted, found = sum(row.wanted for row in rows), sum(row.found for row in rows)
    texts = [problem for row in rows for problem in row.problems]
    surplus = [match for text in texts if (match := re.match(r"(\d+) gaps of .* where (\d+) are explained", text))]
    unexplained = sum("that nothing explains" in text for text in texts)
    unexplained += sum(int(match[1]) - int(match[2]) for match in surplus)
    lines = [
        "# Faults",
        "",
        "A fake exchange speaks each venue's dialect on 127.0.0.1 from a seeded generator, and spoils what it sends. "
        "`crossbook.feeds.stream` is the client, through real sockets. Of every run is checked: (a) the client's book, "
        "rebuilt from the live tape alone, is the venue's at the end of *every* message it shows, and at the end of "
        "the run; (b) no event of a book comes between a gap and the next snapshot; (c) every loss that the venue's "
        "rules let a client see is marked, for every symbol it concerns, and no gap is marked that nothing explains; "
        "(d) REST requests stay within the venue's weight per minute; the client honours `Retry-After`. "
        "Generated by `python -m tests.fakex.campaign --table docs/faults.md`; not to be edited.",
        "",
        f"{len(rows)} runs, {sum(row.frames for row in rows):,} frames, {sum(row.checked for row in rows):,} books "
        f"held against the truth. Losses that a client can see: {wanted}, marked: {found} (recall "
        f"{found / max(wanted, 1):.4f}); gaps that nothing explains: {unexplained}. Runs that failed: {len(failed)}.",
        "",
        "| fault | " + " | ".join(EXCHANGES) + " |",
        "|---|" + "---|" * len(EXCHANGES),
    ]
    for fault, (about, _, _) in FAULTS.items():
        shown = []
        for name in EXCHANGES:
            cell = cells.get((name, fault))
            if fault not in faults_of(name, sockets=True):
                shown.append("–")
            elif cell is None:
                shown.append("not run")
            elif cell.failed:
                seeds = ", ".join(map(str, cell.failed[:3]))
                shown.append(f"**{len(cell.failed)} of {cell.runs} failed** (seed {seeds})")
            else:
                shown.append(f"{cell.runs} ✓")
        lines.append(f"| {fault}: {about} | " + " | ".join(shown) + " |")
    lines += ["", "–: the venue has no such thing.", "", "## What a client can see", ""]
    lines += ["| exchange | protocol | what tells of a loss | what nothing tells |", "|---|---|---|---|"]
    for name, exchange in EXCHANGES.items():
        sees, unseen = _rule(name)
        lines.append(f"| {name} | {exchange.protocol} | {sees} | {unseen} |")
    lines += [
        "",
        "What nothing tells is not asked to be marked. The levels that it spoils are left out of the comparison until "
        "the venue says them again; all other levels must be right. A message that is late or cut short may cost two "
        "gaps (what overtook it, then itself); a wrong digit of an id up to three.",
    ]
    if failed:
        lines += ["", "## Failures", ""]
        for row in failed[:40]:
            lines.append(f"- seed {row.seed}, {row.exchange}, {row.fault}: {row.problems[0][:240]}")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="run this seed alone")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--exchange", choices=list(EXCHANGES))
    parser.add_argument("--fault", choices=list(FAULTS))
    parser.add_argument(
        "--scale", type=float, default=0.0, help="a real clock, so much faster; 0: one that never waits"
    )
    parser.add_argument("--table", type=Path)
    options = parser.parse_args(arguments)
    _quiet()
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.seeds)
    began, rows = time.monotonic(), []
    for row in campaign(seeds, jobs=options.jobs, exchange=options.exchange, fault=options.fault, scale=options.scale):
        rows.append(row)
        if row.problems:
            print(f"seed {row.seed} {row.exchange} {row.fault}")
            for text in (*row.problems, *row.injections):
                print(f"    {text[:500]}")
    took = time.monotonic() - began
    rows.sort(key=lambda row: row.seed)
    failed = sum(bool(row.problems) for row in rows)
    slowest = max(rows, key=lambda row: row.seconds)
    print(
        f"{len(rows)} seeds in {took:.1f} s ({len(rows) / took:.1f}/s), {failed} failed; "
        f"{sum(row.found for row in rows)} of {sum(row.wanted for row in rows)} losses marked; "
        f"slowest seed {slowest.seed} ({slowest.exchange} {slowest.fault}) {slowest.seconds:.2f} s"
    )
    if options.table:
        options.table.write_text(table(rows), encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
