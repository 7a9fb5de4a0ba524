"""Runs the benches and writes `benches/README.md` from what they measured: `make bench`, some forty minutes.

`python -m benches.run Market Study` measures the sections whose titles begin so and leaves the others as they are.

Run it with a Python that has a release build of crossbook, its test extra and `benches/peers/requirements.txt`. Needs
cargo, valgrind and the real captures and order streams (`CROSSBOOK_DATA`). Exits 1 if instruction counts grew.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benches.notes import HEAD, NOTES

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
    (r"lead_lag/8001 lags of 0.1 ms, .*1 block", "call", 120e6),
    (r"lead_lag/|feedback/", "call", None),
    (r"moments/", "call", 150e6),
    (r"hawkes/gradient/1 component$", "event", 20.0),
    (r"hawkes/simulate/exact", "event", 50.0),
    (r"hawkes/", "event", None),
    (r"kalman/", "step", 12.0),
    (r"order_flow/", "level", None),
)

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
ANALYTICS = ("stats", "hawkes", "flow")
ANALYTICS_GROUPS = ("lead_lag", "moments", "feedback", "hawkes", "kalman", "order_flow")

UNITS = ("levels a frame", "CPU s a million", "p50 µs", "p99 µs")


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
    return ("`crossbook study`, USD-M and spot, wall", f"{wall * 1e3:,.0f} ms", verdict(wall <= 6.0, "≤ 6,000"))


def machine() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    model = re.search(r"model name\s*: (.*)", text)
    rustc = subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return (
        f"{model[1] if model else platform.processor()}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release()}, {rustc}, Python {platform.python_version()}; load before {load:.1f}"
    )


def rust(*benches: str, groups: Sequence[str]) -> str:
    """Runs benches of criterion; a table of the ids that begin with one of `groups`."""
    rows = criterion(measure(*benches))
    return table(("id", "one", "ns", "rate", "target"), [row for group in groups for row in rows.get(group, [])])


def measure(*benches: str) -> dict[str, float]:
    since = time.time()
    run("cargo", "bench", "--quiet", "-p", "crossbook", *(word for name in benches for word in ("--bench", name)))
    return estimates(since)


def rows_of(module: str) -> list[dict[str, Any]]:
    """What a Python bench writes with `--json`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        run(sys.executable, "-m", module, "--json", file)
        rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        return rows


def targeted(rows: Iterable[dict[str, Any]], value: str, sign: str, *columns: str) -> list[Sequence[object]]:
    """Rows with what they should reach, where that is said."""
    met = {"≤": float.__le__, "≥": float.__ge__}[sign]
    return [
        (
            *(number(row[name]) if name == "ns" else row[name] for name in columns),
            row["target"] and verdict(met(float(row[value]), float(row["target"])), f"{sign} {row['target']}"),
        )
        for row in rows
    ]


def calls() -> str:
    columns = ("stream", "what", "how", "ns")
    rows = targeted(rows_of("benches.python.bench_calls"), "ns", "≤", *columns)
    return table(("capture", *columns[1:], "target"), rows)


def peers() -> str:
    rows = targeted(rows_of("benches.peers.compare"), "times", "≥", "stream", "what", "who", "ns", "times")
    return table(("capture", "what", "who", "ns", "× fastest peer", "target"), rows)


def matched() -> str:
    run(sys.executable, "benches/streams.py", TARGET / "matching")
    orders, FACTS["clock"] = matching(output("cargo", "bench", "--quiet", "-p", "crossbook", "--bench", "matching"))
    return orders


def kernels() -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernels.json"
        run(sys.executable, "-m", "pytest", "-q", "benches/python", f"--benchmark-json={file}")
        found = json.loads(file.read_text(encoding="utf-8"))["benchmarks"]
    rows = [(b["name"][5:].replace("_", " "), f"{b['stats']['median'] * 1e3:,.2f} ms", None) for b in found]
    return table(("what", "median", "target"), [*rows, study()])


def instructions() -> str:
    grown = run(sys.executable, "benches/instructions.py", check=False)
    counts = json.loads((ROOT / "benches" / "instructions.json").read_text(encoding="utf-8"))
    state = "**grown since**" if grown else "not exceeded"
    FACTS["tools"] = f"Baseline: {', '.join(counts['with'].values())}; {state}."
    FACTS["grown"] = grown
    return table(("path", "instructions"), [(name, f"{n:,}") for name, n in counts["counts"].items()])


def text(*commands: Sequence[str]) -> str:
    return "\n".join(f"```\n{output(sys.executable, *command).strip()}\n```" for command in commands)


# What a section's note says of its run.
FACTS: dict[str, Any] = {}

SECTIONS: dict[str, Callable[[], str]] = {
    "Price book, Rust": lambda: rust("price_book", groups=("price_book",)),
    "Feed, Rust": lambda: rust("feed", groups=("decode", "market", "replay")),
    "Feeds, Rust": lambda: rust("venues", groups=("venues",)),
    "Market, Rust": lambda: market(
        output("cargo", "bench", "--quiet", "-p", "crossbook", "--bench", "market", "--", "--quantiles")
    ),
    "Routing, pools, cycles, Rust": lambda: rust("route", "pool", "cycle", groups=GROUPS),
    "Route, Python": lambda: text(("benches/python/route.py",)),
    "Pools against cvxpy": lambda: text(("benches/python/pools.py",)),
    "Crosses, Python": lambda: crosses(output(sys.executable, "benches/python/crosses.py", str(DATA), "--json")),
    "Matching, Rust": matched,
    "Order book by order, Rust": lambda: by_order(measure("order_book")),
    "Exchange, Python": lambda: exchange(rows_of("benches.python.exchange")),
    "Price book, Python": calls,
    "Peers": peers,
    "Feeds against cryptofeed": lambda: against_cryptofeed(rows_of("benches.peers.feeds")),
    "End to end": lambda: end_to_end(rows_of("benches.python.end_to_end")),
    "Study": kernels,
    "Analytics, Rust": lambda: rust(*ANALYTICS, groups=ANALYTICS_GROUPS),
    "Analytics against peers": lambda: text(
        ("-m", "benches.peers.lead_lag"), ("-m", "benches.peers.hawkes"), ("-m", "benches.peers.local_projections")
    ),
    "Instructions": instructions,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", help="only these, by the beginning of their titles; the rest stays")
    only = parser.parse_args().sections
    if not DATA.is_dir():
        raise SystemExit(f"no {DATA}: set CROSSBOOK_DATA")
    if unknown := [one for one in only if not any(title.startswith(one) for title in SECTIONS)]:
        raise SystemExit(f"expected sections of {'; '.join(SECTIONS)}, found {', '.join(unknown)}")
    before = README.read_text(encoding="utf-8") if README.exists() else ""
    written = dict(re.findall(r"^## (.*?)\n(.*?)(?=\n## |\Z)", before, re.DOTALL | re.MULTILINE))
    for title, section in SECTIONS.items():
        if only and not any(title.startswith(one) for one in only):
            continue
        about, body = machine(), section()
        note = NOTES[title].format(**{"clock": 0, "tools": ""} | FACTS)
        written[title] = f"{note}\n\n*{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {about}*\n\n{body}\n"
        # After every section, so that an interrupted run keeps what it has.
        parts = [f"\n## {name}\n{written[name].strip()}\n" for name in SECTIONS if name in written]
        README.write_text(HEAD + "".join(parts), encoding="utf-8")
    print(f"wrote {README.relative_to(ROOT)}")
    return int(FACTS.get("grown", 0))


if __name__ == "__main__":
    raise SystemExit(main())
