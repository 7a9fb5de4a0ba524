"""Nanoseconds of the exchange from Python on the three public order streams: `run` and single calls.

    python -m benches.python.exchange [--json FILE]

`run` begins with a Polars DataFrame of commands and an empty exchange and ends with a DataFrame of executions; every
result is kept, so that each is written to fresh memory. Its reports are compared with the published SHA-256 first. The
columns are codes of one byte, or Enums of names. Single calls submit and cancel in the order of the stream; their
figure includes the loop that makes them, an empty loop stands beside it.
"""

from __future__ import annotations

import hashlib
import sys
from statistics import median
from time import perf_counter

import polars as pl
from benches import streams

import crossbook as xb

PASSES = 7
CALLS = 200_000
GOAL = 80
# Of ../shared/data/README.md.
PUBLISHED = {
    "normal": "e9b2e3926854410b01a035aeb25dd05f1e597c233be8263de9eb49b6713d367e",
    "static": "9803843ee404fc29c9a0aa5614f8f0d5a58b5c44fcac9ef89067886fcaaa30d1",
    "flash-crash": "cff8d3f94b709fc64a8b2058a6ca4fb6920364904796e46906895e362d2bb16b",
}


def commands(messages: pl.DataFrame, *, names: bool = False) -> pl.DataFrame:
    """The messages of a stream as commands: new orders, immediate or cancel where they are, cancels, replaces."""
    columns = {
        "action": (pl.col("type").replace(2, 3), ["new", "cancel", "modify", "replace"]),
        "side": (pl.col("side"), ["bid", "ask"]),
        "time_in_force": (pl.when(pl.col("ioc") == 1).then(3).otherwise(1), ["day", "gtc", "gtd", "ioc"]),
    }
    coded = {
        name: codes.cast(pl.UInt8).cat.to(pl.Enum(known)) if names else codes.cast(pl.UInt8)
        for name, (codes, known) in columns.items()
    }
    return messages.select(order_id="order_id", price="price", size="quantity", **coded)


def reports(messages: pl.DataFrame, executions: pl.DataFrame) -> str:
    """SHA-256 of the executions in the published form."""
    kinds = {"accepted": 0, "trade": 1, "cancelled": 2, "modified": 3, "rejected": 4}
    kind, side = pl.col("kind").cast(pl.String), pl.col("side").to_physical()
    seq = pl.col("sequence") - 1
    told = executions.with_columns(
        seq=seq,
        report=kind.replace_strict(kinds, return_dtype=pl.UInt8)
        + ((kind == "rejected") & (messages["type"].gather(executions["sequence"] - 1) == 2)).cast(pl.UInt8),
        code=side,
    ).sort("seq", "report", maintain_order=True)

    def line(*parts: str) -> pl.Expr:
        return pl.concat_str([pl.col(part).cast(pl.String) for part in parts], separator=",")

    text = (
        pl.when(pl.col("report").is_in([0, 3]))
        .then(line("report", "seq", "code", "order_id", "price", "size"))
        .when(pl.col("report") == 1)
        .then(line("report", "seq", "price", "size", "counter_id", "order_id"))
        .when(pl.col("report") == 2)
        .then(line("report", "seq", "code", "order_id", "price"))
        .otherwise(line("report", "seq", "order_id"))
    )
    return hashlib.sha256("\n".join(told.select(text).to_series().to_list()).encode()).hexdigest()


def batch(frame: pl.DataFrame) -> float:
    """Median ns per message of whole runs."""
    times, kept = [], []
    for _ in range(PASSES):
        exchange = xb.Exchange()
        start = perf_counter()
        kept.append(exchange.run(frame))
        times.append(perf_counter() - start)
    return median(times) / frame.height * 1e9


def single(messages: pl.DataFrame) -> dict[str, float]:
    """Median ns of a call."""
    rows = messages.filter(pl.col("type") != 2).head(CALLS)
    rows = rows.select("type", "order_id", "side", "quantity", "price").rows()
    sides = ("bid", "ask")

    def calls() -> None:
        exchange = xb.Exchange()
        submit, cancel = exchange.submit, exchange.cancel
        for what, order_id, side, size, price in rows:
            executions = cancel(order_id) if what else submit(order_id, sides[side], size, price)  # noqa: F841

    def empty() -> None:
        for what, order_id, side, size, price in rows:
            executions = order_id if what else (sides[side], size, price)  # noqa: F841

    return {
        "submit or cancel": streams.per_row(calls, len(rows), setup=lambda: None),
        "empty loop": streams.per_row(empty, len(rows), setup=lambda: None),
    }


def main() -> None:
    rows: list[dict[str, object]] = []
    for name in streams.ORDER_STREAMS:
        messages = streams.orders(name)
        frame = commands(messages)
        assert reports(messages, xb.Exchange().run(frame)) == PUBLISHED[name], f"{name}: other reports than published"
        found = {
            "codes": ("run", GOAL, batch(frame)),
            "names": ("run", None, batch(commands(messages, names=True))),
        } | {how: ("single call", None, ns) for how, ns in single(messages).items()}
        for how, (what, target, ns) in found.items():
            rows.append({"stream": name, "what": what, "how": how, "ns": round(ns, 1), "target": target})
        print(f"{name}: {frame.height:,} messages", file=sys.stderr)
    streams.save(rows)


if __name__ == "__main__":
    main()
