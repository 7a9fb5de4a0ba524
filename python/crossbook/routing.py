"""Constraints of a route (see `Market.route`), routes without a market (`DepthRouter`), and how much to post where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from crossbook import _core
from crossbook._core import DepthRoute, DepthRouteLeg, DepthRouter
from crossbook.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from crossbook._core import Instrument, RouteLeg
    from crossbook.costs import Number

__all__ = ["Constraints", "DepthRoute", "DepthRouteLeg", "DepthRouter", "Placement", "Queue", "place"]

_Row = tuple[bool, bool, str | None, str | None, str | None, str | None]

LEG = {
    "instrument": pl.String,
    "size": pl.Float64,
    "order_size": pl.String,
    "order_price": pl.String,
    "notional": pl.Float64,
    "cost": pl.Float64,
    "average": pl.Float64,
    "worst": pl.Float64,
    "marginal": pl.Float64,
}
"""Columns of `Route.to_polars`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What a route may do at each instrument. Sizes are in base currency.

    Instruments are named as elsewhere: ``venue:symbol``, a venue's name or alias, a symbol, a unified name; a name of
    several means each of them.
    """

    allow: Collection[str] | None = None
    """Only these; None: all."""
    deny: Collection[str] = ()
    """Not these."""
    required: Collection[str] = ()
    """These must have an order."""
    min_size: Mapping[str, Number] = field(default_factory=dict)
    """The least size of an order there, if there is one."""
    max_size: Mapping[str, Number] = field(default_factory=dict)
    """The greatest size of an order there."""
    base: Mapping[str, Number] = field(default_factory=dict)
    """Balances of base currency: a sale there trades at most that."""
    quote: Mapping[str, Number] = field(default_factory=dict)
    """Balances of the market's quote currency: a purchase there pays at most that, costs included."""
    max_venues: int | None = None
    """At most so many orders."""

    def _bounds(self, instruments: Sequence[Instrument]) -> list[_Row]:
        names = [_names(one) for one in instruments]
        for what in ("allow", "deny", "required", "min_size", "max_size", "base", "quote"):
            for name in getattr(self, what) or ():
                if not any(name.lower() in known for known in names):
                    market = ", ".join(one.name for one in instruments)
                    raise DataError(f"{what}: expected instruments of the market, {market}, found {name!r}")
        if self.max_venues is not None and self.max_venues < 1:
            raise DataError(f"max_venues: expected at least 1, found {self.max_venues}")

        def has(of: Collection[str], known: set[str]) -> bool:
            return any(name.lower() in known for name in of)

        def text(of: Mapping[str, Number], known: set[str]) -> str | None:
            return next((str(value) for name, value in of.items() if name.lower() in known), None)

        return [
            (
                (self.allow is None or has(self.allow, known)) and not has(self.deny, known),
                has(self.required, known),
                text(self.min_size, known),
                text(self.max_size, known),
                text(self.base, known),
                text(self.quote, known),
            )
            for known in names
        ]


def _names(one: Instrument) -> set[str]:
    return {name.lower() for name in (one.name, one.venue, one.alias, one.symbol, one.unified)}


def _frame(legs: Sequence[RouteLeg]) -> pl.DataFrame:
    return pl.DataFrame([[getattr(leg, name) for name in LEG] for leg in legs], schema=LEG, orient="row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue that a limit order may join, and what flows out at its front within the horizon."""

    ahead: int
    """Units ahead of the order."""
    outflow: float | Sequence[int]
    """Units taken from the front by trades and cancellations: mean of a Poisson law, or samples, each as likely."""
    rebate: float = 0.0
    """What a filled unit earns besides half the spread, in currency; negative for a maker fee."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How much to trade at once and how much to post where."""

    market: int
    """Units of the market order."""
    limits: tuple[int, ...]
    """Units of the limit order in each queue."""
    cost: float
    """Expected cost against the middle of the spread, in currency."""
    filled: tuple[float, ...]
    """Units that each limit order is expected to be filled."""
    unfilled: float
    """Units that are expected to be left."""


def place(
    size: int,
    queues: Sequence[Queue],
    *,
    half_spread: float,
    fee: float,
    under: float,
    over: float,
    impact: float = 0.0,
) -> Placement:
    """Split a size between a market order and limit orders in queues, at the least expected cost.

    The model is Cont and Kukanov's, *Optimal order placement in limit order markets* (2017, arXiv:1210.1625). Prices
    are in currency per unit: a market order pays `half_spread` and `fee`; a filled limit order earns `half_spread` and
    its queue's rebate; a unit not filled costs `under`, one filled beyond the size `over`; each unit that is sent, or
    bought later, moves the price by `impact`. Outflows of several queues are independent.

    One queue has an explicit answer. Several are searched from the best points of a grid, with exact expectations:
    no change of up to three orders by one unit makes the placement cheaper (of all orders, if they are at most five).

    Raises `RouteError` if a number cannot be, and if `over` is so small that being filled too much would pay.
    """
    rows = [
        (queue.ahead, queue.rebate, float(queue.outflow), [])
        if isinstance(queue.outflow, int | float)
        else (queue.ahead, queue.rebate, None, list(queue.outflow))
        for queue in queues
    ]
    market, limits, cost, filled, unfilled = _core.place(
        size=size, half_spread=half_spread, fee=fee, impact=impact, under=under, over=over, queues=rows
    )
    return Placement(market=market, limits=tuple(limits), cost=cost, filled=tuple(filled), unfilled=unfilled)
