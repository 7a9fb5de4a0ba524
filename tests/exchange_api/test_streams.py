"""The three public order streams through `run`: the reports are the published ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl
import pytest

import crossbook as xb


def reports(messages: pl.DataFrame, executions: pl.DataFrame) -> str:
    """SHA-256 of the executions in the published form: a line a report, stable-sorted by message and type."""
    kinds = {"accepted": 0, "trade": 1, "cancelled": 2, "modified": 3, "rejected": 4}
    replaced = messages["type"].gather(executions["sequence"] - 1) == 2
    told = executions.with_columns(
        seq=pl.col("sequence") - 1,
        side=pl.col("side").to_physical(),
        report=pl.col("kind").cast(pl.String).replace_strict(kinds, return_dtype=pl.UInt8)
        + ((pl.col("kind") == "rejected") & replaced).cast(pl.UInt8),
    ).sort("seq", "report", maintain_order=True)
    rest = {
        0: ("side", "order_id", "price", "size"),
        1: ("price", "size", "counter_id", "order_id"),
        2: ("side", "order_id", "price"),
        3: ("side", "order_id", "price", "size"),
        4: ("order_id",),
        5: ("order_id",),
    }
    line = pl.coalesce(
        pl.when(pl.col("report") == report).then(pl.concat_str("report", "seq", *columns, separator=","))
        for report, columns in rest.items()
    )
    return hashlib.sha256("\n".join(told.select(line).to_series()).encode()).hexdigest()


@pytest.mark.parametrize("names", [False, True], ids=["codes", "names"])
@pytest.mark.parametrize(
    ("stream", "published"),
    # CROSSBOOK_DATA/README.md, "The answer to `matching/`".
    [
        ("normal", "e9b2e3926854410b01a035aeb25dd05f1e597c233be8263de9eb49b6713d367e"),
        ("static", "9803843ee404fc29c9a0aa5614f8f0d5a58b5c44fcac9ef89067886fcaaa30d1"),
        ("flash-crash", "cff8d3f94b709fc64a8b2058a6ca4fb6920364904796e46906895e362d2bb16b"),
    ],
)
def test_the_reports_of_a_public_stream_are_the_published_ones(
    data: Path, stream: str, published: str, names: bool
) -> None:
    messages = pl.read_parquet(data / "matching" / f"{stream}.parquet")
    commands = messages.select(
        "order_id",
        "price",
        "side",
        action=pl.col("type").replace_strict({0: 0, 1: 1, 2: 3}, return_dtype=pl.UInt8),
        size="quantity",
        time_in_force=pl.when(pl.col("ioc") == 1).then(3).otherwise(1).cast(pl.UInt8),
    )
    if names:
        commands = commands.with_columns(
            pl.col("action").replace_strict({0: "new", 1: "cancel", 3: "replace"}),
            pl.col("side").replace_strict({0: "buy", 1: "sell"}, return_dtype=pl.Categorical),
            pl.col("time_in_force").replace_strict({3: "ioc", 1: "gtc"}, return_dtype=pl.Enum(["gtc", "ioc"])),
        )
    assert reports(messages, xb.Exchange().run(commands)) == published
