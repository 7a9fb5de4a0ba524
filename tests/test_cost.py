"""Costs as objects that add, exactly."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

import crossbook as xb
from crossbook import costs

WEI = Decimal("1e-18")
HOUR = 3_600_000_000_000


def ceiling(value: Decimal) -> Decimal:
    """To 1e-18, against the user."""
    return value.quantize(WEI, rounding=ROUND_CEILING)


def test_fees_by_tier_round_against_the_user() -> None:
    tiers = costs.Tiers(costs.Tier(0, 10, 10), costs.Tier("1e6", "-0.5", 4.5))
    assert tiers.cost(1_000) == 1
    vip = costs.State(volume=2_000_000)
    assert tiers.cost(1_000, state=vip) == Decimal("0.45")
    assert tiers.cost(1_000, liquidity="maker", state=vip) == Decimal("-0.05")
    assert tiers.cost("1e-18", state=vip) == WEI, "any fraction of a fee is a whole count"
    assert tiers.cost("1e-18", liquidity="maker", state=vip) == 0, "a fraction of a rebate is none"


def test_costs_add_and_break_down_by_name() -> None:
    gas = costs.Gas(used=150_000, priority_fee=10**9)
    schedule = (
        costs.Fees(maker_bp=2, taker_bp=30) + gas + costs.Transfer(currency="base", fixed="0.0001", duration=HOUR)
    )
    state = costs.State(base_fee=19 * 10**9, native_ask=2_000, base_ask="61837.63")
    found = dict(schedule.breakdown(10_000, state=state))
    assert found == {"fee": 30, "gas": 6, "transfer": Decimal("6.183763")}
    assert schedule.cost(10_000, state=state) == sum(found.values())
    assert schedule.affine(state=state) == (30, Decimal("12.183763"))
    assert schedule.cost(0, state=state) == 0, "nothing traded, no gas"
    assert schedule.time == HOUR


def test_a_rollup_brings_its_own_formula() -> None:
    posted = costs.Rollup(500, lambda size, state: 16 * size * (state.base_fee or 0))
    state = costs.State(base_fee=10**9, native_ask=1_000)
    assert posted.cost(1, state=state) == Decimal("0.008")
    with pytest.raises(xb.CostError, match="rollup fee: expected a whole number of wei"):
        costs.Rollup(1, lambda size, state: -1).cost(1, state=state)
    great = costs.Rollup(1, lambda size, state: 10**31 + 1)
    assert great.cost(1, state=costs.State(native_ask=1)) == Decimal("10000000000000.000000000000000001")


def test_funding_and_interest_follow_the_holding() -> None:
    funding = (1_000_000, 10**18 + HOUR, 8 * HOUR)
    state = costs.State(funding=funding, now=10**18, holding=9 * HOUR)
    assert costs.Funding().cost(10_000, state=state) == 2
    assert costs.Funding().cost(10_000, side="sell", state=state) == -1
    assert costs.Borrow(bp="0.1").cost(10_000, state=state) == Decimal("0.9")


def test_the_base_tier_of_a_venue_is_its_taker_fee() -> None:
    usdm = xb.Instrument.builtin("usdm", "BTCUSDT")
    assert usdm is not None
    assert costs.base_tier(usdm).affine() == (5, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: costs.Fees(maker_bp=0, taker_bp="0.000001"), "taker_bp: expected a multiple of 0.00001 bp"),
        (lambda: costs.Fees(maker_bp=0, taker_bp=10_000), "taker fee: expected a rate above -100 % and below 100 %"),
        (lambda: costs.Fees(maker_bp=0, taker_bp=float("nan")), "taker_bp: expected a finite decimal number"),
        (lambda: costs.Tiers(), "tiers: expected at least one"),
        (lambda: costs.Tiers(costs.Tier(5, 1, 1)), "tiers: expected the first from a volume of 0, found 5"),
        (
            lambda: costs.Tiers(costs.Tier(0, 1, 1), costs.Tier(9, 1, 1), costs.Tier(8, 1, 1)),
            "tiers: expected ascending volumes, tier 2 begins at 8 after 9",
        ),
        (lambda: costs.Fixed(-1), "fixed fee: expected at least 0"),
        (lambda: costs.Fixed("1e-19"), "expected a decimal number of at most 18 decimals"),
        (lambda: costs.Fixed(10**30), "amount: expected a result below"),
        (lambda: costs.Gas(used=-1), "used: expected a whole number from 0 to below 2^64, found -1"),
        (lambda: costs.Borrow(bp=1, period=0), "interest period: expected more than 0 ns"),
        (lambda: costs.Fixed(1).cost(-1), "notional: expected at least 0"),
        (lambda: costs.Fixed(1).cost(1, side="both"), 'side \'both\': expected "buy" or "sell"'),  # type: ignore[arg-type]
        (lambda: costs.Schedule(5), "expected costs such as Fees or Gas, found 5"),  # type: ignore[arg-type]
        (lambda: costs.Gas(used=1).cost(1), "base fee: expected it in the state, found none"),
        (lambda: costs.Gas(used=1).cost(1, state=costs.State(base_fee=1)), "native currency: expected its ask price"),
        (
            lambda: costs.Gas(used=1, fee_cap=5).cost(1, state=costs.State(base_fee=9)),
            "gas: expected a fee cap of at least the base fee of 9 wei, found 5",
        ),
        (lambda: costs.Gas(used=1).cost(1, state=costs.State(base_fee=-1)), "base_fee: expected a whole number from 0"),
        (lambda: costs.next_base_fee(1, 11, 10), "expected a block that uses at most its gas limit"),
    ],
)
def test_what_cannot_be_a_cost_is_an_error_that_says_why(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(xb.CostError, match=re.escape(message)):
        make()


def test_base_fees_follow_eip_1559() -> None:
    # go-ethereum, consensus/misc/eip1559/eip1559_test.go, `TestCalcBaseFee`.
    assert [costs.next_base_fee(10**9, used, 20_000_000) for used in (10_000_000, 9_000_000, 11_000_000)] == [
        1_000_000_000,
        987_500_000,
        1_012_500_000,
    ]
    assert costs.highest_base_fee(80, 2) == 101


@given(
    st.decimals(0, 10**12, places=18),
    st.integers(-(10**9) + 1, 10**9 - 1),
    st.decimals(0, 10**6, places=18),
    st.decimals(0, 10**6, places=18),
)
def test_costs_are_those_of_exact_decimals(notional: Decimal, ppb: int, fee: Decimal, price: Decimal) -> None:
    with localcontext(prec=80):
        rate = Decimal(ppb) / 10**9
        bp = Decimal(ppb) / 100_000
        expected = ceiling(notional * rate) + (ceiling(fee * price) if notional else 0)
    schedule = costs.Fees(maker_bp=0, taker_bp=bp) + costs.Transfer(currency="base", fixed=fee)
    assert schedule.cost(notional, state=costs.State(base_ask=price)) == expected
