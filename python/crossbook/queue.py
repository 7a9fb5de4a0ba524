"""Where one order stood in its queue, over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossbook._core import follow

if TYPE_CHECKING:
    from crossbook._core import Tape

__all__ = ["queue_position"]

KINDS = {0: "clear", 4: "add", 5: "modify", 6: "cancel", 7: "execute", 13: "gap"}
"""Kinds of events that can change an order's place, by their code."""


def queue_position(tape: Tape, order_id: int, *, instrument: int = 0, strict: bool = True) -> pl.DataFrame:
    """Follow one order of a tape by order from when it joins until it leaves, in one pass.

    Columns: ``row`` (of the event in the tape), ``ts_event, ts_recv`` (ns), ``kind`` (of the event), ``side``,
    ``price`` (quote currency), ``size`` (open, base currency as all sizes), ``orders_ahead, size_ahead``,
    ``level_size`` (all of its price, itself included), ``stale`` (a gap came since the last clear: the place may be
    wrong). A row for each event that changed one of them, orders behind it too, as they change ``level_size``. The last
    row has size 0 and what stood ahead when it left: ``kind`` tells whether it was filled or cancelled. Empty if the
    order never joins; an id that comes again after it left is not followed further.

    `instrument`: index in the tape's list. ``strict=False`` passes over events about orders that never joined. Raises
    `OrderBookError` that names the row which a book refuses, `DataError` for an unknown index.
    """
    table, _ = follow(tape, order_id, instrument=instrument, strict=strict)
    frame = table.to_polars()
    kind = pl.col("kind").replace_strict(KINDS, return_dtype=pl.Enum(list(KINDS.values())))
    return frame.with_columns(kind)
