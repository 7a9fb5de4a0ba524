"""Options given for all instruments at once, one each, or by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeVar

from crossbook.errors import DataError

if TYPE_CHECKING:
    from crossbook._core import Instrument

__all__ = ["by_instrument", "index_of", "labels", "taker_costs", "units"]

T = TypeVar("T")


def index_of(instruments: Sequence[Instrument], name: str) -> int:
    """Find the one instrument that a name means: ``usdm``, ``binance-usdm``, a symbol, ``venue:symbol``.

    Raises `DataError` for none and for several.
    """
    wanted = name.lower()
    found = [
        index
        for index, one in enumerate(instruments)
        if wanted in {text.lower() for text in (one.alias, one.venue, one.symbol, one.name, one.unified)}
    ]
    if len(found) == 1:
        return found[0]
    names = [one.name for one in instruments]
    raise DataError(f"instrument {name!r}: expected one of {names}, found {len(found)} that it means")


def labels(instruments: Sequence[Instrument]) -> list[str]:
    """Short names that keep instruments apart: the venue's, or venue and symbol where a venue has several."""
    venues = [one.venue for one in instruments]
    return [one.name if venues.count(one.venue) > 1 else one.venue for one in instruments]


def by_instrument(
    what: str,
    given: Any,
    instruments: Sequence[Instrument],
    default: Callable[[Instrument], T],
    one: Callable[[Any], T],
) -> list[T]:
    """Read one value for all, a list or tuple of one each, or a mapping by name; else the default."""
    if given is None:
        return [default(instrument) for instrument in instruments]
    if isinstance(given, Mapping):
        named = {index_of(instruments, name): one(value) for name, value in given.items()}
        return [named[at] if at in named else default(i) for at, i in enumerate(instruments)]
    if isinstance(given, list | tuple):
        if len(given) != len(instruments):
            raise DataError(f"{what}: expected {len(instruments)}, one an instrument, found {len(given)}")
        return [one(value) for value in given]
    return [one(given)] * len(instruments)


def units(what: str, value: Any, decimals: int) -> int:
    """Read a finite decimal number as an exact count of ``10 ** -decimals``."""
    if isinstance(value, bool):
        raise DataError(f"{what}: expected a number, found {value!r}")
    try:
        found = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        found = Decimal("nan")
    if not found.is_finite() or abs(found) >= Decimal(10) ** 30:
        raise DataError(f"{what}: expected a finite number below 10^30, found {value!r}")
    sign, digits, exponent = found.as_tuple()
    # By hand: a product of decimals would be rounded to 28 digits.
    power, count = int(exponent) + decimals, int("".join(map(str, digits)))
    if power < 0 and count % 10**-power:
        raise DataError(f"{what}: expected a multiple of 1e-{decimals}, found {value!r}")
    count = count * int(10**power) if power >= 0 else count // int(10**-power)
    return -count if sign else count


def taker_costs(costs: Any, instruments: Sequence[Instrument], side: str = "buy") -> tuple[list[int], list[int]]:
    """Read taker costs: fees in bp or objects of `crossbook.costs`; base tiers where there is none.

    Returns rates in parts per billion of the notional and fixed costs of an order in 1e-18 of the quote currency.
    """

    def one(cost: Any) -> tuple[int, int]:
        rate, fixed = cost.affine(side=side, liquidity="taker") if hasattr(cost, "affine") else (cost, 0)
        found = units("costs", rate, 5), units("costs", fixed, 18)
        if abs(found[0]) >= 10**9:
            raise DataError(f"costs: expected fees between -10,000 and 10,000 bp, found {rate}")
        return found

    pairs = by_instrument("costs", costs, instruments, lambda i: (round(i.taker_fee_bp * 1e5), 0), one)
    return [rate for rate, _ in pairs], [fixed for _, fixed in pairs]
