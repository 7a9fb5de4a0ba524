"""What must hold of a run: the client's books against the truth, its gaps against what was done to it."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from crossbook.fakex.truth import within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossbook import Instrument, Tape
    from crossbook.fakex.faults import Injection
    from crossbook.fakex.truth import Book, Listing
    from crossbook.fakex.venue import Exchange, State

CLEAR, LEVEL, QUOTE, TRADE, ADD, MODIFY, CANCEL, EXECUTE = range(8)
GAP = 13
LAST, SNAPSHOT, OURS, TRADES = 1, 2, 4, 8
SECOND = 1_000_000_000
RECOVERY = 120 * SECOND
"""So long after an injection a gap may still be its own, by the scaled clock."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A loss that the client has marked."""

    symbol: str
    cause: str
    unit: str
    ours: bool
    time: int

    @property
    def of_trades(self) -> bool:
        return self.unit == "trades"


@dataclass(slots=True)
class Mirror:
    """One instrument's book as the tape tells it, held against the truth at the end of every message."""

    listing: Listing
    price: Decimal
    size: Decimal
    """One of the tape's units in the truth's."""
    depth: int
    by_id: dict[int, list[State]]
    by_time: dict[int, list[State]]
    ids: list[int]
    dense: bool
    """Whether an id between two messages stands for the state after the first (REST snapshots)."""
    injections: Sequence[Injection]
    book: Book = field(default_factory=lambda: ({}, {}))
    orders: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    good: bool = False
    marked: bool = False
    checked: int = 0
    touched: set[tuple[int, int]] = field(default_factory=set)
    traded: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    quoted: set[tuple[int, int, int]] = field(default_factory=set)
    taint: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    """Levels that a client may have wrong, and the exchange's clock since when."""
    blinds: list[Injection] = field(default_factory=list)
    broken: bool = False
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        symbol = self.listing.symbol
        for one in self.injections:
            for level in one.taint.get(symbol, ()):
                self.taint.setdefault(level, []).append(one.event)
        self.blinds = [one for one in self.injections if symbol in one.blind]

    def feed(self, row: tuple[int, ...]) -> None:
        ts_event, ts_recv, sequence, order_id, price, size, kind, side, flags = row
        if kind == GAP:
            if not flags & TRADES:
                self.good, self.marked = False, True
            return
        if kind == CLEAR:
            self.book = ({}, {})
            self.orders.clear()
            self.good, self.marked = True, False
            self.touched.clear()
            self.blinds = [one for one in self.blinds if one.time >= ts_recv]
        elif kind in (LEVEL, ADD, MODIFY, CANCEL, EXECUTE):
            if self.marked:
                self.problems.append(f"an event between a gap and the next snapshot at {ts_recv}: {row}")
                self.marked = False
            self.set(kind, order_id, int(price * self.price), int(size * self.size), side)
        else:
            if kind == TRADE:
                self.traded[int(price * self.price), int(size * self.size), side] += 1
            elif kind == QUOTE and size:
                self.quoted.add((side, int(price * self.price), int(size * self.size)))
            return
        if flags & LAST and self.good:
            self.compare(ts_event, sequence, ts_recv, whole=bool(flags & SNAPSHOT))

    def set(self, kind: int, order_id: int, price: int, size: int, side: int) -> None:
        if kind == LEVEL:
            self.touched.add((side, price))
            if size:
                self.book[side][price] = size
            else:
                self.book[side].pop(price, None)
            return
        if order_id in self.orders:
            was, at, much = self.orders.pop(order_id)
            self.book[was][at] -= much
            if not self.book[was][at]:
                del self.book[was][at]
        if kind in (ADD, MODIFY) and size:
            self.orders[order_id] = side, price, size
            self.book[side][price] = self.book[side].get(price, 0) + size

    def compare(self, ts_event: int, sequence: int, ts_recv: int, *, whole: bool) -> None:
        if self.broken or any(one.time <= ts_recv for one in self.blinds):
            return
        states = (self.by_id.get(sequence) if sequence else None) or self.by_time.get(ts_event)
        if states is None and sequence and self.dense:
            at = bisect_right(self.ids, sequence)
            states = self.by_id[self.ids[at - 1]] if at else None
        where = f"id {sequence}, time {ts_event}, received {ts_recv}"
        if not states:
            self.problems.append(f"the venue never sent a message with {where}")
            return
        self.checked += 1
        # What was spoilt is good again where a later message, or a later snapshot, says it anew.
        now = states[-1].time
        for level in list(self.taint) if whole else self.touched & self.taint.keys():
            self.taint[level] = [time for time in self.taint[level] if time >= now]
        self.touched.clear()
        differ: list[str] = []
        for state in states:
            differ = self.differences(state.book, state.time)
            if not differ:
                return
        self.problems.append(f"the book is not the venue's at {where}: {'; '.join(differ[:6])}")
        # Once is enough.
        self.broken = True

    def trades_and_quotes(self, made: Counter[tuple[int, int, int]], bests: set[tuple[int, int, int]]) -> list[str]:
        """Trades and quotes that the venue never made, and trades that came more often than it made them."""
        found = []
        if strange := self.quoted - bests:
            found.append(f"the venue never had these best levels: {sorted(strange)[:3]}")
        doubled = any(one.fault == "duplicate" for one in self.injections)
        for trade, count in self.traded.items():
            if not made[trade]:
                found.append(f"the venue never made the trade {trade}")
            elif count > made[trade] and not doubled:
                found.append(f"the trade {trade} came {count} times where the venue made {made[trade]}")
        return found

    def differences(self, truth: Book, time: int = 1 << 62) -> list[str]:
        shown = within(truth, self.depth)
        found = []
        for side in (0, 1):
            mine, theirs = self.book[side], shown[side]
            if mine == theirs:
                continue
            for price in sorted(mine.keys() | theirs.keys()):
                known = all(since > time for since in self.taint.get((side, price), ()))
                if mine.get(price) != theirs.get(price) and known:
                    name = "bid" if side == 0 else "ask"
                    found.append(f"{name} {price}: {mine.get(price)} for {theirs.get(price)}")
        return found


class Mirrors:
    """All instruments of a run."""

    def __init__(
        self,
        exchange: Exchange,
        instruments: Sequence[Instrument],
        injections: Sequence[Injection],
        depth: int,
        *,
        dense: bool,
    ) -> None:
        self.all: list[Mirror] = []
        ordered = sorted(injections, key=lambda one: one.time)
        for instrument in instruments:
            listing = next(one for one in exchange.listed if one.symbol == instrument.symbol)
            by_id: dict[int, list[State]] = {}
            by_time: dict[int, list[State]] = {}
            for state in exchange.states:
                if state.symbol == listing.symbol:
                    by_id.setdefault(state.id, []).append(state)
                    by_time.setdefault(state.time, []).append(state)
            self.all.append(
                Mirror(
                    listing,
                    Decimal(instrument.price_unit).scaleb(listing.price_decimals),
                    Decimal(instrument.size_unit).scaleb(listing.size_decimals),
                    depth,
                    by_id,
                    by_time,
                    sorted(by_id),
                    dense,
                    ordered,
                )
            )

    def feed(self, tape: Tape) -> None:
        frame = tape.to_polars()
        names = ("ts_event", "ts_recv", "sequence", "order_id", "price", "size", "kind", "side", "flags")
        columns = [frame[name].to_list() for name in names]
        for index, *row in zip(frame["instrument"].to_list(), *columns, strict=True):
            self.all[index].feed(tuple(row))


def judge_gaps(injections: Sequence[Injection], gaps: Sequence[Gap], slack: int) -> tuple[list[str], int, int]:
    """Hold gaps against injections: what is wrong, and how many losses were to be seen and were.

    A gap needs an injection that may cause it, at most `Injection.most` each; an injection that must be seen needs a
    gap of every symbol of its own.
    """
    problems = []
    for gap in gaps:
        causes = [one for one in injections if _allows(one, gap, slack)]
        if not causes:
            problems.append(f"a gap that nothing explains: {gap}")
    by_symbol: dict[tuple[str, bool], int] = {}
    for gap in gaps:
        by_symbol[gap.symbol, gap.of_trades] = by_symbol.get((gap.symbol, gap.of_trades), 0) + 1
    for (symbol, of_trades), count in by_symbol.items():
        allowed = sum(
            one.most
            for one in injections
            if symbol in ((one.trades | one.may_trades) if of_trades else (one.must | one.may))
        )
        if count > allowed:
            problems.append(f"{count} gaps of {symbol} where {allowed} are explained")
    wanted = found = 0
    for one in injections:
        for symbols, of_trades in ((one.must, False), (one.trades, True)):
            for symbol in symbols:
                wanted += 1
                seen = [
                    gap
                    for gap in gaps
                    if gap.symbol == symbol
                    and gap.of_trades == of_trades
                    # One gap covers what is lost before the book is good again.
                    and one.time - RECOVERY <= gap.time <= one.time + RECOVERY
                ]
                if seen:
                    found += 1
                else:
                    problems.append(f"no gap of {symbol}{' trades' if of_trades else ''} for {one}")
    return problems, wanted, found


def _allows(one: Injection, gap: Gap, slack: int) -> bool:
    symbols = (one.trades | one.may_trades) if gap.of_trades else (one.must | one.may)
    late = RECOVERY if not one.taint else 1 << 62
    return gap.symbol in symbols and one.time - slack <= gap.time <= one.time + late
