"""What a trade costs beyond its price: fees and rebates, transfers, funding, interest, gas; exact, as objects that add.

Rates are in basis points and money in a currency, as `Decimal`, `int`, decimal text, or a float that stands for the
decimal it prints as. Whatever is finer than 1e-9 of the notional (0.00001 bp) or 1e-18 of a currency is refused, not
rounded. Costs round up and rebates round down, each to 1e-18 of the quote currency.

>>> from crossbook import costs
>>> schedule = costs.Fees(maker_bp=2, taker_bp=5) + costs.Fixed("0.25")
>>> schedule.cost(10_000)
Decimal('5.25')
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Literal, TypeAlias

from crossbook import _core
from crossbook.errors import CostError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Borrow",
    "Cost",
    "Fees",
    "Fixed",
    "Funding",
    "Gas",
    "Number",
    "Proportional",
    "Rollup",
    "Schedule",
    "State",
    "Tier",
    "Tiers",
    "Transfer",
    "base_tier",
    "highest_base_fee",
    "next_base_fee",
]

Number: TypeAlias = Decimal | int | float | str
Side: TypeAlias = Literal["buy", "sell", "bid", "ask"]
Liquidity: TypeAlias = Literal["maker", "taker"]

_Fields: TypeAlias = tuple[str, str | None, str | None, int | None, tuple[int, int, int] | None, int, int]

PPB_PER_BP = 100_000
SIDES = {"buy": 0, "bid": 0, "sell": 1, "ask": 1}


def _decimal(what: str, value: Number) -> Decimal:
    try:
        found = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        found = Decimal("nan")
    if not found.is_finite():
        raise CostError(f"{what}: expected a finite decimal number, found {value!r}")
    return found


def _amount(what: str, value: Number) -> str:
    return str(_decimal(what, value))


def _ppb(what: str, bp: Number) -> int:
    found = _decimal(what, bp)
    sign, digits, exponent = found.as_tuple()
    # By hand, because a product of decimals is rounded to 28 digits.
    value = int("".join(map(str, digits)))
    power = int(exponent) + 5 if value else 0
    if abs(found) > 1_000_000 or power < -40 or value % 10 ** max(0, -power):
        raise CostError(f"{what}: expected a multiple of 0.00001 bp below 1,000,000 bp, found {bp!r}")
    value = value * int(10**power) if power >= 0 else value // int(10**-power)
    return -value if sign else value


def _whole(what: str, value: object, low: int, high: int) -> int:
    if not isinstance(value, int) or not low <= value < high:
        raise CostError(
            f"{what}: expected a whole number from {low} to below 2^{high.bit_length() - 1}, found {value!r}"
        )
    return value


def _natural(what: str, value: object) -> int:
    return _whole(what, value, 0, 1 << 64)


def _ns(what: str, value: object) -> int:
    return _whole(what, value, -(1 << 63), 1 << 63)


def _side(side: Side) -> int:
    try:
        return SIDES[side]
    except (KeyError, TypeError):
        raise CostError(f'side {side!r}: expected "buy" or "sell"') from None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What costs depend on besides the trade; a cost that needs a part which is None raises `CostError`."""

    volume: Number = 0
    """The account's traded volume of the past 30 days, in the currency of the tiers."""
    base_ask: Number | None = None
    """What one of the base currency costs, in quote currency: its ask, as fees in kind must be bought."""
    native_ask: Number | None = None
    """What one of the chain's own currency costs, in quote currency: its ask, as gas must be bought."""
    base_fee: int | None = None
    """Base fee of the block that the transaction is expected in, wei per gas; see `highest_base_fee`."""
    funding: tuple[int, int, int] | None = None
    """Of a perpetual: rate of the next funding (1e-10 of the position, paid by longs), when it is due (ns since the
    epoch), time between fundings (ns)."""
    now: int = 0
    """Now, ns since the epoch, on the clock of the funding times."""
    holding: int = 0
    """For how long the position is held, ns."""

    def _fields(self) -> _Fields:
        def price(what: str, value: Number | None) -> str | None:
            return None if value is None else _amount(what, value)

        return (
            _amount("volume", self.volume),
            price("base_ask", self.base_ask),
            price("native_ask", self.native_ask),
            None if self.base_fee is None else _natural("base_fee", self.base_fee),
            None if self.funding is None else self._funding(self.funding),
            _ns("now", self.now),
            _ns("holding", self.holding),
        )

    @staticmethod
    def _funding(terms: tuple[int, int, int]) -> tuple[int, int, int]:
        rate, due, interval = terms
        return _ns("funding rate", rate), _ns("funding due", due), _ns("funding interval", interval)


class Cost(ABC):
    """Something that a trade costs. Costs add: ``Fees(...) + Gas(...)`` is a `Schedule`."""

    __slots__ = ()

    @abstractmethod
    def _core(self, state: State) -> _core.CostSchedule: ...

    def __add__(self, other: Cost) -> Schedule:
        """Both together."""
        if not isinstance(other, Cost):
            return NotImplemented
        return Schedule(*_parts(self), *_parts(other))

    def cost(
        self, notional: Number, *, side: Side = "buy", liquidity: Liquidity = "taker", state: State | None = None
    ) -> Decimal:
        """What a trade of so much notional (quote currency) costs, in quote currency; negative if one is paid for it.

        Nothing traded costs nothing, fixed costs included. Raises `CostError`.
        """
        state = state or State()
        amount = _amount("notional", notional)
        return Decimal(self._core(state).cost(_side(side), liquidity, amount, state._fields()))

    def affine(
        self, *, side: Side = "buy", liquidity: Liquidity = "taker", state: State | None = None
    ) -> tuple[Decimal, Decimal]:
        """The same for every notional at once: ``rate · notional + fixed`` as (rate in bp, fixed in quote currency)."""
        state = state or State()
        rate, fixed = self._core(state).affine(_side(side), liquidity, state._fields())
        return Decimal(rate) / PPB_PER_BP, Decimal(fixed)

    @property
    def time(self) -> int:
        """How long it takes, ns: transfers take time."""
        return 0


@dataclass(frozen=True, slots=True, init=False)
class Schedule(Cost):
    """A sum of costs, each rounded by itself. ``Schedule()`` costs nothing."""

    parts: tuple[Cost, ...] = ()

    def __init__(self, *parts: Cost) -> None:
        for part in parts:
            if not isinstance(part, Cost):
                raise CostError(f"expected costs such as Fees or Gas, found {part!r}")
        object.__setattr__(self, "parts", parts)

    def _core(self, state: State) -> _core.CostSchedule:
        return _core.CostSchedule.sum([part._core(state) for part in self.parts])

    def breakdown(
        self, notional: Number, *, side: Side = "buy", liquidity: Liquidity = "taker", state: State | None = None
    ) -> list[tuple[str, Decimal]]:
        """What each part costs, by name and in order."""
        state = state or State()
        amount = _amount("notional", notional)
        found = self._core(state).breakdown(_side(side), liquidity, amount, state._fields())
        return [(name, Decimal(cost)) for name, cost in found]

    @property
    def time(self) -> int:
        """How long it takes, ns: transfers follow one another."""
        return sum(part.time for part in self.parts)


def _parts(cost: Cost) -> tuple[Cost, ...]:
    return cost.parts if isinstance(cost, Schedule) else (cost,)


@dataclass(frozen=True, slots=True)
class Tier:
    """Fees of accounts from some 30-day volume on; negative for a rebate."""

    volume: Number
    """The volume from which it holds, in the currency of `State.volume`."""
    maker_bp: Number
    """Of an order that provides liquidity, bp of the notional."""
    taker_bp: Number
    """Of an order that takes it, bp of the notional."""


@dataclass(frozen=True, slots=True, init=False)
class Tiers(Cost):
    """A venue's fees by 30-day volume: `Tier` in ascending order of volume, the first from 0."""

    tiers: tuple[Tier, ...]
    _schedule: _core.CostSchedule = field(repr=False, compare=False)

    def __init__(self, *tiers: Tier) -> None:
        rows = [
            (_amount("volume", tier.volume), _ppb("maker_bp", tier.maker_bp), _ppb("taker_bp", tier.taker_bp))
            for tier in tiers
        ]
        object.__setattr__(self, "tiers", tiers)
        object.__setattr__(self, "_schedule", _core.CostSchedule.tiers(rows))

    def _core(self, state: State) -> _core.CostSchedule:
        return self._schedule


def Fees(*, maker_bp: Number, taker_bp: Number) -> Tiers:
    """Fees in bp of the notional whatever the volume; negative for a rebate."""
    return Tiers(Tier(0, maker_bp, taker_bp))


def base_tier(instrument: _core.Instrument) -> Tiers:
    """What a venue charges at its base tier, the default everywhere; the maker's fee is taken to be the taker's."""
    return Fees(maker_bp=instrument.taker_fee_bp, taker_bp=instrument.taker_fee_bp)


@dataclass(frozen=True, slots=True)
class Proportional(Cost):
    """A fee in proportion to the notional, whoever trades: a tax, a broker."""

    bp: Number

    def __post_init__(self) -> None:
        """Refuse what cannot be at once, not when it is used."""
        self._core(State())

    def _core(self, state: State) -> _core.CostSchedule:
        return _core.CostSchedule.proportional(_ppb("bp", self.bp))


@dataclass(frozen=True, slots=True)
class Fixed(Cost):
    """A fee of every order that trades, whatever its size, in quote currency."""

    fee: Number

    def __post_init__(self) -> None:
        """Refuse what cannot be at once, not when it is used."""
        self._core(State())

    def _core(self, state: State) -> _core.CostSchedule:
        return _core.CostSchedule.fixed(_amount("fee", self.fee))


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Cost):
    """A withdrawal or another transfer of what was traded."""

    currency: Literal["base", "quote", "native"]
    """What the fixed fee is charged in."""
    fixed: Number = 0
    """Fixed fee, in that currency."""
    bp: Number = 0
    """Proportional fee, bp of the notional."""
    duration: int = 0
    """Until the money is there, ns."""

    def __post_init__(self) -> None:
        """Refuse what cannot be at once, not when it is used."""
        self._core(State())

    def _core(self, state: State) -> _core.CostSchedule:
        fixed = _amount("fixed", self.fixed)
        return _core.CostSchedule.transfer(self.currency, fixed, _ppb("bp", self.bp), _ns("duration", self.duration))

    @property
    def time(self) -> int:
        """Until the money is there, ns."""
        return self.duration


@dataclass(frozen=True, slots=True)
class Funding(Cost):
    """Funding of a perpetual held for ``State.holding``: a buyer pays the rate at each funding time, a seller gets it.

    Only the next rate is known. It is taken for later ones where it is paid; where it is received the next one alone
    counts.
    """

    def _core(self, state: State) -> _core.CostSchedule:
        return _core.CostSchedule.funding()


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrow(Cost):
    """Interest on what a trade borrows for ``State.holding``; every period that has begun counts, at least one."""

    bp: Number
    """Interest for each period, bp of the notional."""
    period: int = 3_600_000_000_000
    """The period, ns."""

    def __post_init__(self) -> None:
        """Refuse what cannot be at once, not when it is used."""
        self._core(State())

    def _core(self, state: State) -> _core.CostSchedule:
        return _core.CostSchedule.borrow(_ppb("bp", self.bp), _ns("period", self.period))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gas(Cost):
    """Gas of a transaction on a base chain (EIP-1559) at ``State.base_fee``, bought at ``State.native_ask``."""

    used: int
    """Gas that the transaction uses."""
    priority_fee: int = 0
    """For the block's builder, wei per gas."""
    fee_cap: int | None = None
    """The most that it pays in all, wei per gas; the priority fee gives way, and below the base fee it is an error."""

    def __post_init__(self) -> None:
        """Refuse what cannot be at once, not when it is used."""
        self._core(State())

    def _core(self, state: State) -> _core.CostSchedule:
        cap = None if self.fee_cap is None else _natural("fee_cap", self.fee_cap)
        return _core.CostSchedule.gas(_natural("used", self.used), _natural("priority_fee", self.priority_fee), cap)


@dataclass(frozen=True, slots=True)
class Rollup(Cost):
    """What a rollup charges for a transaction of some size."""

    size: int
    """Bytes of the transaction as it is posted."""
    fee: Callable[[int, State], int]
    """The rollup's formula: size and state to wei of the chain's own currency."""

    def _core(self, state: State) -> _core.CostSchedule:
        wei = self.fee(self.size, state)
        if not isinstance(wei, int) or wei < 0:
            raise CostError(f"rollup fee: expected a whole number of wei from 0 on, found {wei!r}")
        return _core.CostSchedule.rollup(_natural("size", self.size), f"{wei}e-18")


def next_base_fee(base_fee: int, gas_used: int, gas_limit: int) -> int:
    """Base fee of the block after one with this base fee (wei per gas), gas used and gas limit, by EIP-1559."""
    fees = _natural("base_fee", base_fee), _natural("gas_used", gas_used), _natural("gas_limit", gas_limit)
    return _core.next_base_fee(*fees)


def highest_base_fee(base_fee: int, blocks: int) -> int:
    """The highest base fee (wei per gas) that a block so many blocks later can have: all before it full."""
    return _core.highest_base_fee(_natural("base_fee", base_fee), _whole("blocks", blocks, 0, 1 << 32))
