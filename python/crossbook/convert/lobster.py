"""LOBSTER's files: one day of one share, a ``message`` file by order and an ``orderbook`` file of its best levels.

Columns, types and the numbers that stand for empty levels are those of https://lobsterdata.com/info/DataStructure.php:
time in seconds after midnight at the exchange; type 1 a new order, 2 part of one cancelled, 3 deleted, 4 a visible
order executed, 5 a hidden one, 6 a cross, 7 a halt; order id; size; price in 1e-4; direction 1 buy, -1 sell, of the
order at rest.

As events: 1 is `Add`; 2 is `Modify` with what is left (`Cancel` if nothing is); 3 is `Cancel`; 4 is `Execute`; 5 is
`Trade` alone, with the aggressor's side, which is the other one; 6 is `Trade` without a side; 7 is `Status` with
LOBSTER's price (-1 halted, 0 quoting, 1 trading) in `price`. LOBSTER has one clock, so both times are the exchange's.

What survives a way there and back: all of the message file but the order ids of crosses, which are negative (-1 is
written for all), and the direction of halts and crosses, which means nothing (-1 and 1 are written). What a tape loses
on the way out: receive times, sequences, and orders of a snapshot, which are in the orderbook file alone. A `Modify` to
another price or a larger size becomes a deletion and a new order of the same id, as Nasdaq's own replacements do.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl

from crossbook.convert.events import (
    ADD,
    ASK,
    BID,
    CANCEL,
    CLEAR,
    COLUMNS,
    LAST,
    NO_SIDE,
    SNAPSHOT,
    STATUS,
    TRADE,
    Source,
    empty,
    only_instrument,
)
from crossbook.convert.lines import BLOCK, Counted, blocks
from crossbook.convert.lobster_out import NEW_YORK, PRICE_UNIT, midnight, write
from crossbook.convert.orders import Orders
from crossbook.convert.units import counts, rescale
from crossbook.errors import DataError

if TYPE_CHECKING:
    from crossbook._core import Instrument
    from crossbook.convert.events import Frames, Instruments

__all__ = ["read", "write"]

HEADER = ("time", "type", "order_id", "size", "price", "direction")
NANO = "0.000000001"


def read(
    path: str | Path,
    *,
    instruments: Instruments,
    date: dt.date,
    timezone: str = NEW_YORK,
    earlier: Literal["add", "keep"] = "add",
    block: int = BLOCK,
) -> Source:
    """Open a message file, plain or gzipped, of the one instrument that `instruments` describes.

    Orders that rest before the file begins have no message of their own. ``earlier="add"`` puts them first, as a
    snapshot in order of their ids, each with the size that the file later takes off it (all of it if the file sees its
    end, else the least it can have been); this reads the file twice. ``"keep"`` gives their events as they are, and a
    partial cancellation of an order of unknown size as `Cancel` of the size. Raises `DataError` that says file and
    line.
    """
    path = Path(path)
    instrument = only_instrument(instruments, "lobster")
    start = midnight(date, timezone)

    def frames() -> Frames:
        orders = Orders(partial=True)
        if earlier == "add":
            before, size = _earlier(path, instrument, start, block)
            orders.size |= {(0, order): amount for order, amount in before.select("order_id", "size").iter_rows()}
            if before.height:
                yield before, 0, size
        with Counted(path, headed=False) as file:
            for rows, line in blocks(file, HEADER, block):
                yield _events(_parsed(rows, instrument, path, line), orders, start), file.position, file.size

    return Source(path, [instrument], frames)


def _parsed(rows: pl.DataFrame, instrument: Instrument, path: Path, line: int) -> pl.DataFrame:
    """The columns as whole numbers: ns, units of the instrument, codes."""

    def where(row: int) -> str:
        return f"{path} line {line + row}"

    whole = {name: counts(rows[name], "1", where) for name in ("type", "order_id", "size", "price", "direction")}
    allowed = {"type": range(1, 8), "direction": (-1, 1)}
    for name, values in allowed.items():
        wrong = ~whole[name].is_in(list(values))
        if name == "direction":
            wrong &= whole["type"] < 6
        if wrong.any():
            row = int(wrong.arg_true()[0])
            raise DataError(f"{where(row)}: expected {name} in {list(values)}, found {whole[name][row]}")
    # Halts have a code for a price, crosses and hidden orders an id that is no order's.
    halt = whole["type"] == 7
    priced = pl.DataFrame({"price": whole["price"], "halt": halt})
    prices = rescale(
        priced.select(pl.when("halt").then(0).otherwise("price").alias("price")).to_series(),
        PRICE_UNIT,
        instrument.price_unit,
        where,
    )
    return pl.DataFrame(
        {
            "time": counts(rows["time"], NANO, where),
            "type": whole["type"],
            "order_id": whole["order_id"].clip(0),
            "size": rescale(whole["size"], "1", instrument.size_unit, where),
            "price": pl.select(pl.when(halt).then(whole["price"]).otherwise(prices)).to_series(),
            "direction": whole["direction"],
        }
    )


def _events(rows: pl.DataFrame, orders: Orders, start: int) -> pl.DataFrame:
    kinds, sizes = [], []
    for code, order, size in rows.select("type", "order_id", "size").iter_rows():
        key = (0, order)
        if code == 1:
            orders.size[key] = size
            event = (ADD, size)
        elif code == 2:
            event = orders.take(key, size)
        elif code == 3:
            orders.size.pop(key, None)
            event = (CANCEL, size)
        elif code == 4:
            event = orders.fill(key, size)
        else:
            event = (STATUS if code == 7 else TRADE, size)
        kinds.append(event[0])
        sizes.append(event[1])
    buy, hidden = pl.col("direction") == 1, pl.col("type") == 5
    side = pl.when(pl.col("type") > 5).then(NO_SIDE).when(buy != hidden).then(BID).otherwise(ASK)
    time = pl.col("time") + start
    return _frame(rows, ts_event=time, ts_recv=time, side=side, flags=pl.lit(LAST)).with_columns(
        kind=pl.Series(kinds, dtype=pl.UInt8), size=pl.Series(sizes, dtype=pl.Int64)
    )


def _frame(rows: pl.DataFrame, **columns: pl.Expr) -> pl.DataFrame:
    there = {name: pl.col(name) for name in rows.columns if name in COLUMNS} | columns
    blank = {name: pl.lit(0) for name in COLUMNS}
    return rows.select(**(blank | there)).cast(COLUMNS)  # type: ignore[arg-type]


def _earlier(path: Path, instrument: Instrument, start: int, block: int) -> tuple[pl.DataFrame, int]:
    """Orders that the file does not add, as a snapshot at the time of its first message; the size of the file."""
    known: set[int] = set()
    found: dict[int, list[int]] = {}
    first: int | None = None
    with Counted(path, headed=False) as file:
        for rows, line in blocks(file, HEADER, block):
            parsed = _parsed(rows, instrument, path, line)
            first = parsed["time"][0] if first is None else first
            columns = parsed.filter(pl.col("type") < 5).select("type", "order_id", "size", "price", "direction")
            for code, order, size, price, direction in columns.iter_rows():
                if code == 1:
                    known.add(order)
                elif order not in known:
                    found.setdefault(order, [0, price, direction])[0] += size
        total = file.size
    if not found or first is None:
        return empty(), total
    names = ("order_id", "size", "price", "direction")
    listed = [(order, *found[order]) for order in sorted(found)]
    orders = pl.DataFrame(listed, schema=dict.fromkeys(names, pl.Int64), orient="row")
    common = {"ts_event": pl.lit(first + start), "ts_recv": pl.lit(first + start)}
    last = pl.when(pl.int_range(pl.len()) == pl.len() - 1).then(LAST | SNAPSHOT).otherwise(SNAPSHOT)
    side = pl.when(pl.col("direction") == 1).then(BID).otherwise(ASK)
    added = _frame(orders, **common, kind=pl.lit(ADD), side=side, flags=last)
    cleared = {"kind": pl.lit(CLEAR), "side": pl.lit(NO_SIDE), "flags": pl.lit(SNAPSHOT)}
    clear = _frame(pl.DataFrame({"size": [0]}), **common, **cleared)
    return pl.concat([clear, added]), total
