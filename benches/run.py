"""Runs every bench and writes `benches/README.md` from what it measured: `make bench`, some twenty minutes.

Run it with a Python that has a release build of crossbook, its test extra and `benches/peers/requirements.txt`. Needs
cargo, valgrind and the real captures and order streams (`CROSSBOOK_DATA`). Exits 1 if instruction counts grew.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("CROSSBOOK_DATA", ROOT / "../shared/data")).resolve() / "binance-2024-08-08"
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
README = ROOT / "benches" / "README.md"

# Criterion's ids: what one element is, and the most ns that it should take (700,000 frames/s are 1,429 ns a frame).
ELEMENTS = (
    (r"price_book/set_and_quote/.*/price book", "level", 20.0),
    (r"price_book/", "level", None),
    (r"decode/8 levels/", "frame", 1_000.0),
    (r"decode/depth/", "level", 100.0),
    (r"market/(best|read)/", "event", None),
    (r"decode/mixed/|market/", "frame", 1e9 / 700_000),
    (r"replay/", "frame", None),
    (r"venues/1 level/", "frame", 350.0),
    (r"venues/8 levels/", "frame", 1_000.0),
    (r"venues/depth/", "level", 100.0),
    (r"venues/all/", "frame", None),
    (r"venues/clock", "reading", None),
    (r"tick/sqrt_price_at/", "tick", 30.0),
    (r"step/", "step", 100.0),
    (r"swap/", "step", None),
    (r"route/8 books/", "route", 3_000.0),
    (r"route/", "route", None),
    (r"network/", "network", None),
    (r"cycles/", "batch of 20,000 events", None),
)

HEAD = """# Benches

Written by `make bench` (`benches/run.py`) on {date}; do not edit. Medians.

{machine}

| folder | tool | what |
|---|---|---|
| `rust/` | criterion | price book and feed on three real captures, every venue's frames, order books by size, in Rust |
| `rust/matching.rs` | whole passes | the exchange on three public order streams, in Rust |
| `rust/market.rs` | single events | the market over three and 32 venues: quantiles beyond the books |
| `python/crosses.py` | whole passes | crosses over the whole capture: at the touch, with depth, with traders |
| `instructions.py` | gungraun under valgrind | instructions of the hot paths against `instructions.json`, 0.5 % |
| `python/` | `timeit`, pytest-benchmark | single calls and batches; capture reading and the study's kernels |
| `python/exchange.py` | whole runs | the same streams in columns through `Exchange.run`, and single calls |
| `python/end_to_end.py` | two processes | a websocket to tapes: frames a second and latency |
| `peers/` | same process and input | other packages' books and feeds, pinned in `requirements.txt`, no extra of ours |

The captures are Binance USD-M, COIN-M and spot of 2024-08-08, and cryptofeed's of 2021 and 2022 (`CROSSBOOK_DATA`).
Before any clock starts the answer is compared: books level by level with `serde_json` and a `BTreeMap` over the same
frames (Rust), quotes row by row with single calls and with every peer, books with cryptofeed's (Python), the SHA-256
of all reports of an order stream with the published one (both).
"""

# The best public engine on each order stream, of ../shared/data/README.md: its name and ns per message.
PUBLISHED = {
    "normal": ("CppTrader", 72.9),
    "static": ("a Rust BTreeMap + slab engine", 62.5),
    "flash-crash": ("CppTrader", 65.6),
}
# Adding and cancelling may cost so many times more with the most orders at rest than with the fewest.
GROWTH = 3.0

# Of its ids, the first words that belong to routes, pools and cycles.
GROUPS = ("route", "tick", "step", "swap", "network", "cycles")
CRITERION = ("price_book", "feed", "venues", "order_book", "route", "pool", "cycle")

UNITS = ("levels a frame", "CPU s a million", "p50 µs", "p99 µs")

NOTES = {
    "Market, Rust": (
        "Every event of the three captures in order of receipt, and of 32 venues made of them, into a `Market`, the "
        "best quote with its state and the cross net of fees read after each; before the clock starts every answer is "
        "compared with a search over all venues. Quantiles in ns of single events, the clock's reading subtracted; "
        "*beyond*: the difference to the books alone for the same event, each the median of five passes."
    ),
    "Routing, pools, cycles, Rust": (
        "Criterion, ns. `route`: eight books of 100 levels a side read from their price books, a share of what they "
        "hold; `ladders`: the search alone. `tick`, `step`, `swap`: concentrated liquidity, exact. `network`: pools by "
        "the dual, whole amounts at the end; `benches/python/pools.py` puts cvxpy beside it. `cycles`: 20,000 events "
        "over ten currencies and thirty books; `books` are the books alone."
    ),
    "Crosses, Python": (
        "Events a second of `Market.crosses` over the whole capture, decoded before. `depth` walks both books of every "
        "open cross, `traders` has 28 traders take them; the lower the fees, the more crosses."
    ),
    "Price book, Rust": (
        "One level set and the quote read back; `set_and_top` reads so many levels of each side instead. All books "
        "start from the capture's snapshot and take the same changes in the same order."
    ),
    "Feed, Rust": (
        "Decode, check of the update ids, events on a tape that is reused, every event applied to a price book "
        "(`decode`) or to a market (`market`). Frames lie in memory: gunzip and the split into lines are left out, "
        "except in `replay`, which reads the gzip files from disk. The COIN-M frames of exactly 8 levels do not "
        "follow one another in the file, so their ids are rewritten, digit for digit as long, to chain; every other "
        "byte is real. 1,429 ns a frame are 700,000 frames a second."
    ),
    "Matching, Rust": (
        "Two million messages a stream, in memory as they are in the file; a pass makes a command of each, applies "
        "it to a new exchange and writes every report into a small buffer. One thread, ns per message, median and "
        "best of 15 passes. *published*: the best public engines on a 2-core machine like ours, on the same streams,"
        " one thread, no report transport either; their figures as they are published with the streams, not measured"
        " here. Latency in ns: *alone*, each message by itself, the clock's reading ({clock} ns) subtracted, which "
        "is service time; *due*, one message due every microsecond, counted from when it was due, so that a message "
        "that waits is seen to wait."
    ),
    "Order book by order, Rust": (
        "An `OrderBook` on 4,000 levels that keeps its size: a round cancels 128 random orders and adds 128 with "
        "random ids at random levels, drawn before the clock starts; `execute head` fills the first order of the "
        "best bid. ns per order, and how many times that of 1,000 orders. What differs is how much of the book the "
        "caches hold. For every fill alone the clock is read twice."
    ),
    "Exchange, Python": (
        "The same streams. `run` begins with a Polars DataFrame of commands and an empty exchange and ends with a "
        "DataFrame of executions, each in fresh memory, page faults included: ns per message, median of seven runs, "
        "columns of one-byte codes or Enums of names. *submit or cancel*: single calls over the first 200,000 "
        "messages that are no replaces, the loop that makes them included; the empty loop stands beside it."
    ),
    "Feeds, Rust": (
        "Decode, check of sequences and checksums, events on a tape that is reused, by venue. `depth`: the frames that "
        "change or replace a book, per level; `1 level` and `8 levels`: those of them that bring so many. The clock "
        "runs round each of these frames, and what it costs to read, `venues/clock`, is in them; a frame costs what it "
        "costs however few levels it has, so `depth` is high where a venue sends levels one by one. `all`: every "
        "frame of the file, trades, quotes and snapshots included. With checksums: Kraken, OKX, Bitget."
    ),
    "Feeds against cryptofeed": (
        "One process, the same frames in memory, the passes of all take turns, CPU time of the process per frame about "
        "a book, the median of nine passes; snapshots are frames of the stream or are read in between, except where "
        "cryptofeed fetches them when it subscribes (Bitstamp). cryptofeed: its message handler awaited frame by "
        "frame as in its playback, a callback a message, checksums on (off beside it, its default). It "
        "keeps a book and gives it to the callback; ours gives events, and keeps a book only where a rule needs one, "
        "so it is timed also with every tape applied to a `PriceBook`, the quote written after each message. *One a "
        "call* is `Session.frames(time, [frame])` and `take()`, *64 a call* what a busy socket brings; with one a call "
        "the instrument to apply is known before. Books are compared at the end, all levels of all instruments; "
        "`peers/feeds.py` says what is left out, and why."
    ),
    "End to end": (
        "A blaster on core 1, the client on core 0, 127.0.0.1, Binance USD-M frames from a seed: seven quotes and two "
        "trades to one change of up to eight levels. *blast*: as fast as TCP takes them, the client's core is the "
        "limit; CPU is user and system of the client. *paced*: one frame at a time, latency from the sender's clock "
        "before it sends to the moment that the tape, or the message, is in Python's hands, without the first tenth. "
        "crossbook: `feeds.stream`, picows, tapes; events wait up to `linger` (0.5 ms) for others if they come faster. "
        "websockets: `json.loads`, a dict a side, a tuple an event. Every frame arrived in order, and every book was "
        "right at the end. Medians of five runs, of three when paced."
    ),
    "Price book, Python": (
        "`timeit` over all changes of a capture, from a book that holds its snapshot. A single call's figure "
        "includes the loop that makes it; the empty loop stands beside it. Reused memory is `out=`; fresh memory "
        "comes from the system, page faults included."
    ),
    "Peers": (
        "One process, one input, the rounds of all take turns, each on a new book. *call*: set or remove a level "
        "and read best bid and ask with sizes back, over the first 50,000 changes; every peer in the best of its "
        "documented ways, and what it needs as its own objects is made outside the clock. *batch*: the top of the "
        "book after every row, from an empty book, to a Polars DataFrame. `peers/compare.py` says what each does."
    ),
    "Study": (
        "pytest-benchmark on the USD-M and spot captures. The last row is the wall time of the command `crossbook "
        "study` from start to end, report and Parquet written."
    ),
    "Instructions": (
        "Per run of 2,000 operations (frames, levels; the contrast: 2,000 × 2,000 ticks over 2,001 lags), input "
        "made from a seed. {tools}"
    ),
}


def run(*command: str | Path, check: bool = True) -> int:
    print("+", *command, file=sys.stderr, flush=True)
    return subprocess.run(list(map(str, command)), cwd=ROOT, check=check).returncode


def output(*command: str | Path) -> str:
    print("+", *command, file=sys.stderr, flush=True)
    return subprocess.run(list(map(str, command)), cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    numbers = {"ns", "rate", "median", "instructions", "× fastest peer", "× cryptofeed", "frames", "checksums", *UNITS}
    numbers |= {
        "messages",
        "reports",
        "best",
        "orders",
        "× 1,000 orders",
        "alone p50, p99, p99.9",
        "due p50, p99, p99.9",
    }
    lines = [head, ["---:" if name in numbers else "---" for name in head], *rows]
    return "\n".join("| " + " | ".join("" if cell is None else str(cell) for cell in line) + " |" for line in lines)


def number(value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:,.0f}" if value >= 1_000 else f"{value:,.1f}"


def verdict(met: bool, target: str) -> str:
    return f"{target}, {'met' if met else '**missed**'}"


def estimates(since: float) -> dict[str, float]:
    """Median ns an element of everything that criterion measured in this run, by id."""
    found = {}
    for file in sorted((TARGET / "criterion").glob("**/new/estimates.json")):
        if file.stat().st_mtime < since:
            continue
        about = json.loads(file.with_name("benchmark.json").read_text(encoding="utf-8"))
        count = about["throughput"]["Elements"] if about["throughput"] else 1
        ns = json.loads(file.read_text(encoding="utf-8"))["median"]["point_estimate"] / count
        found[about["full_id"]] = ns
    return found


def criterion(measured: dict[str, float]) -> dict[str, list[Sequence[object]]]:
    """Rows by the first word of their ids."""
    found: dict[str, list[Sequence[object]]] = {}
    for name, ns in measured.items():
        what, limit = next(
            ((what, limit) for regex, what, limit in ELEMENTS if re.match(regex, name)), ("element", None)
        )
        rate = number(1e9 / ns) + "/s" if what == "frame" else None
        target = None if limit is None else verdict(ns <= limit, f"≤ {number(limit)}")
        found.setdefault(name.split("/")[0], []).append((name, what, number(ns), rate, target))
    return found


def market(lines: str) -> str:
    """The table of `benches/rust/market.rs --quantiles`, a JSON line a number of venues."""
    rows: list[Sequence[object]] = []
    for r in (json.loads(line) for line in lines.splitlines() if line.startswith("{")):
        beyond, goal = r["beyond"], r["goal"]
        met = beyond["p50"] <= goal["p50"] and (goal["p99"] is None or beyond["p99"] <= goal["p99"])
        target = f"p50 ≤ {goal['p50']}" + ("" if goal["p99"] is None else f", p99 ≤ {goal['p99']}")
        of = [
            ", ".join(str(r[what][q]) for q in ("p50", "p90", "p99", "p999")) for what in ("beyond", "market", "books")
        ]
        rows.append((r["venues"], f"{r['events']:,}", *of, verdict(met, target)))
    head = ("venues", "events", "beyond p50, p90, p99, p99.9", "market", "books", "target")
    return table(head, rows)


def crosses(lines: str) -> str:
    rows: list[Sequence[object]] = []
    for r in (json.loads(line) for line in lines.splitlines() if line.startswith("{")):
        judged = (r["what"], r["fees"]) == ("touch", "base tier")
        target = verdict(r["rate"] >= 5e6, "≥ 5,000,000/s") if judged else None
        rows.append((r["what"], r["fees"], f"{r['rate']:,.0f}/s", f"{r['crosses']:,}", target))
    return table(("what", "fees", "rate", "crosses", "target"), rows)


def by_order(measured: dict[str, float]) -> str:
    """The rows of ids such as order_book/1000/add: what it costs as the book grows."""
    found = {}
    for name, ns in measured.items():
        if match := re.fullmatch(r"order_book/(\d+)/(add|cancel|execute head)", name):
            found[match[2], int(match[1])] = ns
    rows: list[Sequence[object]] = []
    most = max((orders for _, orders in found), default=0)
    for (what, orders), ns in sorted(found.items()):
        least = found.get((what, 1_000))
        times = None if least is None else ns / least
        judged = times is not None and orders == most > 1_000 and what != "execute head"
        target = verdict(times <= GROWTH, f"≤ {GROWTH:.0f}×") if judged and times is not None else None
        rows.append((what, f"{orders:,}", number(ns), None if times is None else f"{times:.2f}", target))
    return table(("what", "orders", "ns", "× 1,000 orders", "target"), rows)


def matching(lines: str) -> tuple[str, int]:
    """The table of `benches/rust/matching.rs`, a JSON line a stream, and what reading the clock takes."""
    found = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    rows: list[Sequence[object]] = []
    for r in found:
        who, ns = PUBLISHED[r["stream"]]
        alone, due = (", ".join(f"{r[key][q]:,}" for q in ("p50", "p99", "p999")) for key in ("single", "due"))
        target = verdict(r["median"] <= r["goal"], f"≤ {r['goal']:.0f}")
        counts = (f"{r['messages']:,}", f"{r['reports']:,}")
        rows.append((r["stream"], *counts, number(r["median"]), number(r["best"]), f"{who} {ns}", alone, due, target))
    quantiles = ("alone p50, p99, p99.9", "due p50, p99, p99.9")
    head = ("stream", "messages", "reports", "ns", "best", "published", *quantiles, "target")
    return table(head, rows), max((r["clock"] for r in found), default=0)


def exchange(rows: Iterable[dict[str, Any]]) -> str:
    return table(
        ("stream", "what", "how", "ns", "target"),
        [
            (
                r["stream"],
                r["what"],
                r["how"],
                number(r["ns"]),
                r["target"] and verdict(r["ns"] <= r["target"], f"≤ {r['target']}"),
            )
            for r in rows
        ],
    )


def against_cryptofeed(rows: Iterable[dict[str, Any]]) -> str:
    return table(
        ("file", "frames", "levels a frame", "checksums", "who", "ns", "rate", "× cryptofeed", "target"),
        [
            (
                r["venue"],
                f"{r['frames']:,}",
                f"{r['levels'] / r['frames']:,.1f}",
                f"{r['checksums']:,}",
                r["who"],
                number(r["ns"]),
                f"{1e9 / r['ns']:,.0f}/s",
                r["times"],
                r["target"] and verdict(r["times"] >= r["target"], f"≥ {r['target']:.0f}"),
            )
            for r in rows
        ],
    )


def end_to_end(rows: Iterable[dict[str, Any]]) -> str:
    return table(
        ("what", "who", "frames", "rate", "CPU s a million", "p50 µs", "p99 µs", "target"),
        [
            (
                r["what"],
                r["who"],
                f"{r['frames']:,}",
                f"{r['rate']:,}/s",
                r["cpu_s"],
                number(r["p50_us"]),
                number(r["p99_us"]),
                r["target"] and verdict(r["rate"] >= r["target"], f"≥ {r['target']:,}/s"),
            )
            for r in rows
        ],
    )


def study() -> Sequence[object]:
    """Wall time of the whole command, best case of a user: files in the page cache."""
    command = Path(sys.executable).with_name("crossbook")
    times = []
    with tempfile.TemporaryDirectory() as out:
        for _ in range(5):
            start = time.perf_counter()
            pair = ("--primary", "usdm", "--secondary", "spot")
            done = subprocess.run([command, "study", DATA, *pair, "--out", out, "--json"], stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - start)
            if done.returncode != 0:
                return ("crossbook study", "failed", None)
    wall = median(times)
    return ("`crossbook study`, USD-M and spot, wall", f"{wall * 1e3:,.0f} ms", verdict(wall <= 3.0, "≤ 3,000"))


def machine() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    model = re.search(r"model name\s*: (.*)", text)
    rustc = subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return (
        f"Machine: {model[1] if model else platform.processor()}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release()}, {rustc}, Python {platform.python_version()}; load before the run {load:.1f}. "
        "Each bench uses one core, *End to end* two."
    )


def main() -> int:
    if not DATA.is_dir():
        raise SystemExit(f"no {DATA}: set CROSSBOOK_DATA")
    about, since = machine(), time.time()
    benches = [word for name in CRITERION for word in ("--bench", name)]
    run("cargo", "bench", "--quiet", "-p", "crossbook", *benches)
    run(sys.executable, "benches/streams.py", TARGET / "matching")
    orders, clock = matching(output("cargo", "bench", "--quiet", "-p", "crossbook", "--bench", "matching"))
    markets = output("cargo", "bench", "--quiet", "-p", "crossbook", "--bench", "market", "--", "--quantiles")
    crossed = output(sys.executable, "benches/python/crosses.py", DATA, "--json")
    with tempfile.TemporaryDirectory() as folder:
        files = {
            name: Path(folder) / f"{name}.json" for name in ("calls", "exchange", "kernels", "peers", "feeds", "ends")
        }
        run(sys.executable, "-m", "benches.python.bench_calls", "--json", files["calls"])
        run(sys.executable, "-m", "benches.python.exchange", "--json", files["exchange"])
        run(sys.executable, "-m", "benches.peers.compare", "--json", files["peers"])
        run(sys.executable, "-m", "benches.peers.feeds", "--json", files["feeds"])
        run(sys.executable, "-m", "benches.python.end_to_end", "--json", files["ends"])
        run(sys.executable, "-m", "pytest", "-q", "benches/python", f"--benchmark-json={files['kernels']}")
        results = (json.loads(file.read_text(encoding="utf-8")) for file in files.values())
        calls, exchanges, kernels, peers, feeds, ends = results
    wall = study()
    grown = run(sys.executable, "benches/instructions.py", check=False)
    counts = json.loads((ROOT / "benches" / "instructions.json").read_text(encoding="utf-8"))

    measured = estimates(since)
    rust = criterion(measured)
    columns = ("id", "one", "ns", "rate", "target")
    feed = [row for group in ("decode", "market", "replay") for row in rust.get(group, [])]
    parts = {
        "Price book, Rust": table(columns, rust.get("price_book", [])),
        "Feed, Rust": table(columns, feed),
        "Feeds, Rust": table(columns, rust.get("venues", [])),
        "Market, Rust": market(markets),
        "Routing, pools, cycles, Rust": table(columns, [row for group in GROUPS for row in rust.get(group, [])]),
        "Crosses, Python": crosses(crossed),
        "Matching, Rust": orders,
        "Order book by order, Rust": by_order(measured),
        "Exchange, Python": exchange(exchanges),
        "Price book, Python": table(
            ("capture", "what", "how", "ns", "target"),
            [
                (
                    r["stream"],
                    r["what"],
                    r["how"],
                    r["ns"],
                    r["target"] and verdict(r["ns"] <= r["target"], f"≤ {r['target']}"),
                )
                for r in calls
            ],
        ),
        "Peers": table(
            ("capture", "what", "who", "ns", "× fastest peer", "target"),
            [
                (
                    r["stream"],
                    r["what"],
                    r["who"],
                    number(r["ns"]),
                    r["times"],
                    r["target"] and verdict(r["times"] >= r["target"], f"≥ {r['target']}"),
                )
                for r in peers
            ],
        ),
        "Feeds against cryptofeed": against_cryptofeed(feeds),
        "End to end": end_to_end(ends),
        "Study": table(
            ("what", "median", "target"),
            [
                *(
                    (b["name"][5:].replace("_", " "), f"{b['stats']['median'] * 1e3:,.2f} ms", None)
                    for b in kernels["benchmarks"]
                ),
                wall,
            ],
        ),
        "Instructions": table(("path", "instructions"), [(name, f"{n:,}") for name, n in counts["counts"].items()]),
    }
    tools = f"Baseline: {', '.join(counts['with'].values())}; {'grown since, see above' if grown else 'not exceeded'}."
    text = HEAD.format(date=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}", machine=about)
    for title, body in parts.items():
        text += f"\n## {title}\n{NOTES[title].format(tools=tools, clock=clock)}\n\n{body}\n"
    README.write_text(text, encoding="utf-8")
    print(f"wrote {README.relative_to(ROOT)}")
    return grown


if __name__ == "__main__":
    raise SystemExit(main())
