"""Nanoseconds of the price book from Python, on the levels of the three real captures: single calls and batches.

    python -m benches.python.bench_calls [--json FILE]

Each run starts from a book that holds the capture's snapshot, made outside the clock. The answer of a batch is compared
with that of single calls first. A single call's figure includes the loop that makes it; an empty loop stands beside it.
"""

from __future__ import annotations

import sys

import polars as pl
from benches import streams
from benches.streams import Stream


def single(stream: Stream) -> dict[str, float]:
    rows = stream.changes.rows()
    update = None

    def fresh() -> None:
        nonlocal update
        update = stream.book().update

    def calls() -> None:
        call = update
        for side, price, size in rows:
            quote = call(side, price, size)  # noqa: F841

    def empty() -> None:
        for _side, _price, size in rows:
            quote = size  # noqa: F841

    time = {"update": calls, "empty loop": empty}
    return {name: streams.per_row(run, len(rows), setup=fresh) for name, run in time.items()}


def batch(stream: Stream, levels: int) -> dict[str, float]:
    columns = (stream.changes.side, stream.changes.price, stream.changes.size)
    out = stream.book().update_rows(*columns, levels=levels)
    book = None
    kept = []

    def fresh() -> None:
        nonlocal book
        book = stream.book()

    def reused() -> None:
        book.update_rows(*columns, levels=levels, out=out)

    def new() -> None:
        # Kept, or the allocator would hand out the same warm pages again.
        kept.append(book.update_rows(*columns, levels=levels))

    time = {"reused memory": reused, "fresh memory": new}
    return {name: streams.per_row(run, len(stream.changes), setup=fresh) for name, run in time.items()}


def check(stream: Stream) -> None:
    """The batch says what single calls say, and its best level is the first of five."""
    update = stream.book().update
    expected = [update(*row) for row in stream.changes.rows()]
    columns = (stream.changes.side, stream.changes.price, stream.changes.size)
    names = ("bid", "bid_size", "ask", "ask_size")
    one, five = (stream.book().update_rows(*columns, levels=n).to_polars() for n in (1, 5))
    assert one.select(names).rows() == expected, f"{stream.name}: batch and single calls differ"
    first = five.select(pl.col(f"{name}_0").alias(name) for name in names)
    assert first.equals(one.select(names)), f"{stream.name}: the first of five levels is not the best"


def main() -> None:
    rows: list[dict[str, object]] = []
    for name in streams.FILES:
        stream = streams.read(name)
        check(stream)
        found = [
            ("single call, quote returned", 120, single(stream)),
            ("batch, top 1 after every row", 30, batch(stream, 1)),
            ("batch, top 5 after every row", 90, batch(stream, 5)),
        ]
        for what, goal, figures in found:
            for how, ns in figures.items():
                target = goal if how in ("update", "reused memory") else None
                rows.append({"stream": name, "what": what, "how": how, "ns": round(ns, 1), "target": target})
        print(f"{name}: {len(stream.changes)} levels", file=sys.stderr)
    streams.save(rows)


if __name__ == "__main__":
    main()
