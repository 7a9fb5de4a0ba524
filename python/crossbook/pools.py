"""Automated market makers as venues: exact swaps, books made of pools, arbitrage, and routes through networks of them.

Amounts are raw whole numbers (10^-18 of an ether, 10^-6 of a USDC). A direction is named by the token that is paid in,
0 or 1. Prices are those of token 0 in token 1, raw over raw, unless a `Scale` turns them into a book's units.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from crossbook._core import (
    Concentrated,
    ConstantProduct,
    Instrument,
    Scale,
    Swap,
    Tape,
    pool_cycle,
    pool_tape,
    route_pools,
    sqrt_price_at,
    tick_at,
)
from crossbook.errors import PoolError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

__all__ = [
    "Concentrated",
    "ConstantProduct",
    "Cycle",
    "Pool",
    "Route",
    "Scale",
    "Swap",
    "Trade",
    "cycle",
    "instrument",
    "route",
    "sqrt_price_at",
    "tape",
    "tick_at",
]

Pool: TypeAlias = ConstantProduct | Concentrated


def instrument(
    venue: str, symbol: str, /, *, base: str, quote: str, price_unit: str, size_unit: str, lot: str | None = None
) -> Instrument:
    """Describe a pool as an instrument of a market: ``uniswap-v2`` or ``uniswap-v3``, a name, its currencies.

    Units are exact decimals, as of any instrument; `lot` is the step of orders (the size unit if not given). A copy of
    either kind of pool goes by the same venue. Taker fees of these venues are 0: a pool's fee is in its prices, and gas
    is for `Market.set_costs`. Raises `DataError`.
    """
    described = {"venue": venue, "symbol": symbol, "contract": "spot", "base": base, "quote": quote, "settle": quote}
    units = {"price_unit": price_unit, "size_unit": size_unit} | ({} if lot is None else {"lot": lot})
    return Instrument.from_json(json.dumps(described | units))


def tape(
    instrument: Instrument,
    states: Iterable[tuple[Pool, int] | tuple[Pool, int, int] | tuple[Pool, int, int, int]],
    /,
    *,
    base: int,
    decimals: tuple[int, int],
    step: int | None = None,
    levels: int = 100,
) -> Tape:
    """Make a tape of a pool's states, each a snapshot of its levels, for all that takes tapes: crosses, paths, cycles.

    A state is a pool and when it was received (ns), and if known the time of its block (ns) and its number. A pool
    that changes must be given as a copy for each state. The rest is as in `Market.set_pool`. Raises `PoolError`,
    `MarketError`.
    """
    rows = [(*state, *(0, 0)[len(state) - 2 :]) for state in states]
    return pool_tape(instrument, rows, base=base, decimals=decimals, step=step, levels=levels)


@dataclass(frozen=True, slots=True)
class Cycle:
    """The best trade around a cycle of constant-product pools."""

    input: float
    """The best input as a real number."""
    profit: float
    """What comes back less the input, for that real number."""
    trades: tuple[tuple[int, int], ...]
    """Whole amounts in and out, one pair a pool; none where their rounding eats the profit."""
    exact_profit: int
    """What comes back less what was paid in, in whole amounts."""


def cycle(legs: Sequence[tuple[ConstantProduct, int]], /) -> Cycle | None:
    """Find the best trade around `legs`: pools, each with the token paid in. None if no input has a profit.

    Each pool pays its output into the next; the last gives back what the first was paid. Closed form, any length.
    """
    found = pool_cycle(list(legs))
    if found is None:
        return None
    best, profit, trades, exact_profit = found
    return Cycle(best, profit, tuple(trades), exact_profit)


@dataclass(frozen=True, slots=True)
class Trade:
    """One pool's part of a route: whole amounts, as the pool itself quotes them."""

    pool: int
    """Index of the pool in the list that was given."""
    token_in: Hashable
    amount_in: int
    token_out: Hashable
    amount_out: int


@dataclass(frozen=True, slots=True)
class Route:
    """The best trades with a network of pools, and how good they are."""

    trades: tuple[Trade, ...]
    net: dict[Hashable, int]
    """What comes out less what is paid in, by token."""
    value: float
    """What the trades are worth."""
    bound: float
    """What no trades can be worth more than: the value of the dual."""
    prices: dict[Hashable, float]
    """The prices of the tokens at the optimum; 0 for those that lead to nothing of value."""
    steps: int
    """Newton steps taken."""

    @property
    def gap(self) -> float:
        """The duality gap: how much more the best trades could be worth at most."""
        return self.bound - self.value


def route(
    pools: Sequence[tuple[Pool, Hashable, Hashable]],
    /,
    *,
    values: Mapping[Hashable, float] | None = None,
    holdings: Mapping[Hashable, int] | None = None,
    into: Hashable | None = None,
) -> Route:
    """Find the best trades with all pools at once.

    `pools` are pools with the names of their tokens 0 and 1. Either `values` says what a raw unit of each token is
    worth at the end (others nothing), or `into` names the one token to get as much of as can be got. `holdings` is
    what there is to pay with; without it only what the pools themselves give is paid: an arbitrage. Solved by dual
    decomposition (see `docs/pools.md`). The trades are whole amounts as the pools quote them; settled together they
    overdraw no token. Raises `PoolError`.
    """
    if (values is None) == (into is None):
        raise PoolError("expected values or into, one of them")
    worth = {into: 1.0} if values is None else dict(values)
    held = dict(holdings or {})
    names: dict[Hashable, int] = {}

    def number(name: Hashable) -> int:
        return names.setdefault(name, len(names))

    links = [(pool, number(zero), number(one)) for pool, zero, one in pools]
    for name in (*worth, *held):
        names.setdefault(name, len(names))
    tokens = list(names)
    found = route_pools(
        len(tokens), links, [worth.get(name, 0.0) for name in tokens], [held.get(name, 0) for name in tokens]
    )
    trades, net, value, bound, prices, steps = found

    def trade(index: int, token_in: int, amount_in: int, amount_out: int) -> Trade:
        ends = pools[index][1:]
        return Trade(index, ends[token_in], amount_in, ends[1 - token_in], amount_out)

    return Route(
        trades=tuple(trade(*found) for found in trades),
        net={name: gained - spent for name, (gained, spent) in zip(tokens, net, strict=True)},
        value=value,
        bound=bound,
        prices=dict(zip(tokens, prices, strict=True)),
        steps=steps,
    )
