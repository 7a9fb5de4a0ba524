"""What the crosses of a study were worth, and which of them the exchanges' clocks confirm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checks import checked, needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossbook._core import Instrument, Tape
    from crossbook.crosses import Scan
    from crossbook.study.crosses import FairBasis

__all__ = ["CAPITALS", "LATENCIES_MS", "Surfaces", "receive_only"]

CAPITALS = (10_000.0, 100_000.0, 1_000_000.0)
"""Capitals of the surface in quote currency, half of each at either venue."""
LATENCIES_MS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Latencies of the surface: from seeing a cross to the arrival of both orders."""


@dataclass(frozen=True, slots=True)
class Level:
    """A level of costs and its pass."""

    name: str
    fees_bp: tuple[float, float]
    scan: Scan


class Surfaces:
    """Passes over the events of two venues at their own taker fees and free of fees, for as long as tapes come.

    Contracts in another quote currency are held to be at par with the first: the fair basis takes their premium out.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        *,
        fees_bp: Sequence[float],
        fair_basis: FairBasis,
        capitals: Sequence[float] = CAPITALS,
        latencies_ms: Sequence[float] = LATENCIES_MS,
        start: int | None = None,
        end: int | None = None,
    ) -> None:
        from crossbook._core import Market
        from crossbook.crosses import Scan

        first = instruments[0].quote
        fx = {one.quote: "1" for one in instruments if one.quote != first}
        options = {"fair_basis": fair_basis, "capital": capitals, "latency_ms": latencies_ms, "begin": start}
        self.end = end
        self.levels = []
        for name, fees in (("own", list(fees_bp)), ("free", [0.0, 0.0])):
            market = Market(instruments, quote=first, fx=fx, costs=fees)
            scan = Scan(market, costs=fees, **options)  # type: ignore[arg-type]
            self.levels.append(Level(name, (fees[0], fees[1]), scan))

    def apply(self, tape: Tape) -> None:
        """Apply the next tape, up to the end."""
        if self.end is not None and len(tape):
            late = np.flatnonzero(pl.DataFrame(tape)["ts_recv"].to_numpy() >= self.end)
            tape = tape[: int(late[0])] if late.size else tape
        for level in self.levels:
            level.scan.apply(tape)

    def finish(self, ts: int) -> None:
        """End the data."""
        for level in self.levels:
            level.scan.finish(ts)

    @staticmethod
    def empty() -> pl.DataFrame:
        """A surface without traders."""
        money = ("planned", "gross", "fees", "fixed", "unhedged", "profit")
        kinds: dict[str, type[pl.DataType]] = {"fees_level": pl.String, "capital": pl.Float64, "latency_ms": pl.Float64}
        kinds |= dict.fromkeys(("tried", "full", "partial", "missed"), pl.UInt64)
        kinds |= {"volume": pl.Float64} | dict.fromkeys(money, pl.Float64)
        return pl.DataFrame(schema=kinds | {"unclosed": pl.Float64, "return_bp": pl.Float64})

    def surface(self) -> pl.DataFrame:
        """A row a trader: ``fees_level`` (``own`` or ``free``), and the columns of `crossbook.crosses.Arbitrage`."""
        parts = [level.scan.surface().select(pl.lit(level.name).alias("fees_level"), pl.all()) for level in self.levels]
        return pl.concat(parts)

    def crosses(self) -> dict[str, pl.DataFrame]:
        """Crosses with their depth by level of fees; see `crossbook.crosses.crosses`."""
        return {level.name: level.scan.crosses() for level in self.levels}


@checked
def receive_only(touches: Sequence[pl.DataFrame], crosses: pl.DataFrame) -> tuple[int, int, int]:
    """Count the crosses that were only there because messages of one venue took longer than those of the other.

    A cross on the receive clock is made of touches that we held at the same time. If the exchanges' clocks say that
    none of its two touches stood at the same time, it was there on the receive clock only. Only differences between
    the two exchanges' clocks matter, not their offset to ours. Where event times are coarse a touch counts as standing
    up to and including the time of the next, so that doubt speaks for the cross.

    Parameters: `touches` of both venues with ``ts_event, ts_recv`` (ns; a ``ts_event`` of 0 is unknown), in order of
    receipt; `crosses` with ``start, end`` (receive clock). Returns how many are there on the receive clock only, how
    many on both, and of how many no pair of touches has exchange times. Raises `DataError` for a missing column or
    touches of any number of venues but two.
    """
    if len(touches) != 2:
        raise DataError(f"touches: expected those of two venues, found {len(touches)}")
    needed(crosses, ["start", "end"], "crosses")
    parts = []
    for place, frame in enumerate(touches):
        needed(frame, ["ts_recv", "ts_event"], "touches")
        known = frame.filter(pl.col("ts_recv") != 0).select("ts_event", "ts_recv")
        until = known["ts_event"].shift(-1).fill_null(1 << 62)
        parts.append(known.with_columns(pl.lit(place).alias("place"), until.alias("until")))
    path = pl.concat(parts).sort("ts_recv", maintain_order=True)
    if path.is_empty() or crosses.is_empty():
        return 0, 0, crosses.height
    sides = []
    for place in range(2):
        mine = path["place"] == place
        first = path["ts_event"].to_numpy()
        rows = np.where(mine.to_numpy(), np.arange(path.height), -1)
        held = np.maximum.accumulate(rows)
        there = held >= 0
        held = np.maximum(held, 0)
        ends = path["until"].to_numpy()[held]
        begin = first[held]
        # A touch whose next has no exchange time stood until some time that is not known.
        sides.append((there & (begin != 0) & (ends != 0), begin, ends))
    (known_a, from_a, to_a), (known_b, from_b, to_b) = sides
    known = known_a & known_b
    both = known & (np.maximum(from_a, from_b) <= np.minimum(to_a, to_b))
    recv = path["ts_recv"].to_numpy()
    low = np.maximum(np.searchsorted(recv, crosses["start"].to_numpy(), side="right") - 1, 0)
    high = np.searchsorted(recv, crosses["end"].to_numpy(), side="left")
    sums = [np.concatenate([[0], np.cumsum(flags)]) for flags in (known, both)]
    counted, confirmed = (one[np.maximum(high, low + 1)] - one[low] for one in sums)
    unknown = int((counted == 0).sum())
    on_both = int((confirmed > 0).sum())
    return crosses.height - unknown - on_both, on_both, unknown
