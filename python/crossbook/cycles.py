"""Cycles over currencies: chains of trades that end with more than they began with.

>>> cycles = crossbook.Cycles(instruments, costs=1)
>>> cycles.apply(tape)
>>> cycles.now()  # those that pay now, with what each is worth
>>> cycles.take()  # every interval in which one paid
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from crossbook import _core
from crossbook._core import Tape
from crossbook.errors import DataError
from crossbook.per_instrument import labels, taker_costs

if TYPE_CHECKING:
    from crossbook._core import Instrument, Market

__all__ = ["Cycles", "market_cycles"]

STALE_AFTER_S = 5.0
ATTO = 1e-18

_PATH = {"path": pl.String, "trades": pl.String, "length": pl.UInt8}
_WORTH = {"currency": pl.String, "spent": pl.Float64, "received": pl.Float64, "profit": pl.Float64}
_NOW = _PATH | {"edge_bp": pl.Float64} | _WORTH | {"fees": pl.List(pl.String), "left": pl.List(pl.String)}
_LEGS = {
    "path": pl.String,
    "leg": pl.UInt8,
    "instrument": pl.String,
    "side": pl.String,
    "size": pl.Float64,
    "limit": pl.Float64,
    "paid": pl.Float64,
    "brought": pl.Float64,
    "fee": pl.Float64,
    "left": pl.Float64,
}
_FOUND = _PATH | {
    "start": pl.Int64,
    "end": pl.Int64,
    "duration_ms": pl.Float64,
    "censored": pl.Boolean,
    "best_edge_bp": pl.Float64,
    "best_at": pl.Int64,
    "currency": pl.String,
    "start_spent": pl.Float64,
    "start_profit": pl.Float64,
    "best_spent": pl.Float64,
    "best_profit": pl.Float64,
}


def _rules(
    instruments: Sequence[Instrument],
    costs: Any,
    lengths: tuple[int, int],
    home: Iterable[str],
    stale_after: float,
) -> dict[str, Any]:
    fees, fixed = taker_costs(costs, instruments)
    if any(fixed):
        raise DataError("costs: expected costs in proportion to the notional, found fixed ones")
    if not stale_after >= 0:
        raise DataError(f"stale_after: expected seconds from 0 on, found {stale_after!r}")
    limit = (1 << 63) - 1 if math.isinf(stale_after) or stale_after > 9e9 else round(stale_after * 1e9)
    shortest, longest = lengths
    if min(lengths) < 0:
        raise DataError(f"lengths: expected 2 <= shortest <= longest <= 16, found {lengths}")
    return {"fees": fees, "shortest": shortest, "longest": longest, "home": list(home), "stale_after": limit}


class Cycles:
    """Triangular and longer cycles over the books of `instruments`, kept up to date event by event.

    Currencies are nodes and each book two edges: buying turns ``ask · (1 + fee)`` of the quote currency into 1 of the
    base, selling turns 1 of the base into ``bid · (1 - fee)`` of the quote. A cycle pays iff the product of its rates
    is above 1, which is decided exactly. Every simple cycle with a number of trades within `lengths` (3 to 4 if not
    given; from 2 on two books of one pair count too) is listed and looked at whenever one of its touches changes.
    Longer ones, up to any length, are found one at a time for each edge that closes one: if any cycle pays by more
    than 1e-12 a trade, `any` says so and `now` shows at least one.

    `costs` as for `Market`, in proportion to the notional (base tier if not given). A cycle begins, and its profit is
    counted, in the first of the `home` currencies that it passes, then in quote currencies in the order of the
    instruments. A book counts if it is synchronised, not halted and was heard of within `stale_after` seconds of the
    receive clock (``math.inf``: ever). Raises `MarketError` for contracts other than spot, which exchange no
    currencies, and for rules out of range; `DataError`.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        /,
        *,
        costs: Any = None,
        lengths: tuple[int, int] = (3, 4),
        home: Iterable[str] = (),
        stale_after: float = STALE_AFTER_S,
    ) -> None:
        self._instruments = list(instruments)
        self._core = _core.Cycles(self._instruments, **_rules(self._instruments, costs, lengths, home, stale_after))

    @property
    def instruments(self) -> list[Instrument]:
        """The instruments."""
        return list(self._instruments)

    def __len__(self) -> int:
        """How many cycles are known: those listed, and longer ones that were found."""
        return len(self._core)

    def __repr__(self) -> str:
        """Say how many there are."""
        return repr(self._core)

    def apply(self, tapes: Tape | Iterable[Tape], /) -> None:
        """Apply a tape, or tapes in order; events of instruments that are not in the list are passed over."""
        for tape in [tapes] if isinstance(tapes, Tape) else tapes:
            if not isinstance(tape, Tape):
                raise DataError(f"expected tapes, found {type(tape).__name__}")
            self._core.apply(tape)

    def any(self) -> bool:
        """Whether any cycle of any length pays now."""
        return self._core.any()

    def now(self) -> pl.DataFrame:
        """Give the cycles that pay now, and what each is worth.

        ``path`` (currencies), ``trades``, ``length``, ``edge_bp`` (product of net rates at the touch, less 1); and of
        the trades that `plan` shows ``currency, spent, received, profit`` of the currency in which it begins, ``fees``
        and ``left`` (what rounding to lots leaves over, not counted as profit) by currency as text. Null where not a
        lot fits.
        """
        rows = [_now_row(self._instruments, self._legs(cycle), edge, plan) for cycle, edge, plan in self._core.paying()]
        return pl.DataFrame(rows, schema=_NOW, orient="row")

    def plan(self) -> pl.DataFrame:
        """Give the trades of the cycles that pay now, a row each.

        ``path, leg, instrument, side`` (``buy`` or ``sell``), ``size`` (base currency, whole lots), ``limit`` (the
        worst price), ``paid, brought`` (fee included; of the currencies given and got), ``fee`` (quote currency),
        ``left`` (of the currency paid). Amounts are exact to 1e-18 before they become floats, with costs rounded up
        and proceeds down.
        """
        rows = []
        for cycle, _, plan in self._core.paying():
            rows += _plan_rows(self._instruments, self._legs(cycle), plan)
        return pl.DataFrame(rows, schema=_LEGS, orient="row")

    def finish(self, ts: int, /) -> None:
        """End the data at `ts` (ns): intervals that are open are given as censored."""
        self._core.finish(ts)

    def take(self) -> pl.DataFrame:
        """Give the intervals found since the last call, in order of their ends.

        ``path, trades, length, start, end`` (ns, receive clock), ``duration_ms, censored`` (a touch was lost or the
        data ended first), ``best_edge_bp, best_at``, ``currency``, and ``start_spent, start_profit, best_spent,
        best_profit`` of it when it began and when its edge was best (null where not a lot fits).
        """
        rows = []
        for cycle, start, end, censored, edge, best_at, first, best in self._core.take():
            path = _path(self._instruments, self._legs(cycle))
            worth = [x for plan in (first, best) for x in _spent(plan)]
            currency = path[0].split(" ")[0]
            rows.append((*path, start, end, (end - start) / 1e6, censored, edge, best_at, currency, *worth))
        return pl.DataFrame(rows, schema=_FOUND, orient="row")

    def paths(self) -> pl.DataFrame:
        """Every cycle that is known: ``path, trades, length``."""
        rows = [_path(self._instruments, self._legs(cycle)) for cycle in range(len(self._core))]
        return pl.DataFrame(rows, schema=_PATH, orient="row")

    def _legs(self, cycle: int) -> list[tuple[int, bool]]:
        return self._core.legs(cycle)


def market_cycles(
    market: Market,
    *,
    costs: Any = None,
    lengths: tuple[int, int] = (2, 4),
    home: Iterable[str] = (),
    stale_after: float = STALE_AFTER_S,
) -> pl.DataFrame:
    """Give the cycles that pay at a market's books as they stand: its spot books and those of its rates.

    Columns as in `Cycles.now`, parameters as for `Cycles`; the market's fees if `costs` are not given. From 2 trades
    on, two books of one pair are a cycle, which is a cross. Contracts are no currencies and are passed over.
    """
    instruments = market.instruments
    given = market.fees_bp if costs is None else costs
    rules = _rules(instruments, given, lengths, home, stale_after)
    found = _core.market_cycles(market, **rules)
    return pl.DataFrame([_now_row(instruments, *one) for one in found], schema=_NOW, orient="row")


def _currencies(instrument: Instrument, buy: bool) -> tuple[str, str]:
    """What is paid and what is brought."""
    return (instrument.quote, instrument.base) if buy else (instrument.base, instrument.quote)


def _path(instruments: Sequence[Instrument], legs: Sequence[tuple[int, bool]]) -> tuple[str, str, int]:
    names = labels(instruments)
    nodes = [_currencies(instruments[at], buy) for at, buy in legs]
    path = " → ".join([nodes[0][0], *(to for _, to in nodes)])
    trades = [f"{'buy' if buy else 'sell'} {instruments[at].base} at {names[at]}" for at, buy in legs]
    return path, ", ".join(trades), len(legs)


def _spent(plan: Any) -> tuple[float | None, float | None]:
    return (None, None) if plan is None else (plan[0] * ATTO, (plan[1] - plan[0]) * ATTO)


def _now_row(
    instruments: Sequence[Instrument], legs: Sequence[tuple[int, bool]], edge: float, plan: Any
) -> tuple[Any, ...]:
    path = _path(instruments, legs)
    currency = path[0].split(" ")[0]
    if plan is None:
        return (*path, edge, currency, None, None, None, None, None)
    spent, received, trades = plan
    fees: dict[str, int] = {}
    left: dict[str, int] = {}
    for at, buy, _, _, _, _, fee, over in trades:
        fees[instruments[at].quote] = fees.get(instruments[at].quote, 0) + fee
        paid, _ = _currencies(instruments[at], buy)
        left[paid] = left.get(paid, 0) + over

    def texts(amounts: dict[str, int]) -> list[str]:
        return [f"{amount * ATTO:.12g} {name}" for name, amount in amounts.items() if amount]

    worth = (spent * ATTO, received * ATTO, (received - spent) * ATTO)
    return (*path, edge, currency, *worth, texts(fees), texts(left))


def _plan_rows(instruments: Sequence[Instrument], legs: Sequence[tuple[int, bool]], plan: Any) -> list[tuple[Any, ...]]:
    if plan is None:
        return []
    path, _, _ = _path(instruments, legs)
    rows = []
    for place, (at, buy, size, worst, *amounts) in enumerate(plan[2], 1):
        one = instruments[at]
        shown = (one.base_size(worst, size), one.price(worst), *(amount * ATTO for amount in amounts))
        rows.append((path, place, one.name, "buy" if buy else "sell", *shown))
    return rows
