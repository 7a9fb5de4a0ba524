"""Pools from Python: published amounts, whole numbers of any size, errors, routes."""

from __future__ import annotations

import copy
from decimal import Decimal
from fractions import Fraction
from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

import crossbook as xb
from crossbook import pools

UNIT = 10**18
ONE = 1 << 96
reserves = st.integers(1, 2**100)
amounts = st.integers(1, 2**100)


def full_range() -> pools.Concentrated:
    pool = pools.Concentrated(ONE, spacing=60, fee=3_000)
    pool.mint(-887_220, 887_220, 2 * UNIT)
    return pool


def test_constant_product_gives_the_published_amount() -> None:
    # v2-core test/UniswapV2Pair.spec.ts, getInputPrice: 1e18 into (5e18, 10e18).
    pool = pools.ConstantProduct(5 * UNIT, 10 * UNIT)
    assert pool.quote_in(0, UNIT) == 1_662_497_915_624_478_906
    assert pool.reserves == (5 * UNIT, 10 * UNIT)
    assert pool.swap_in(0, UNIT) == 1_662_497_915_624_478_906
    assert pool.reserves == (6 * UNIT, 10 * UNIT - 1_662_497_915_624_478_906)


def test_concentrated_liquidity_gives_the_published_amount() -> None:
    # v3-core test/UniswapV3Pool.swaps.spec.ts, medium fee, 1:1 price, 2e18 max range liquidity, 1e18 of token 0 in.
    pool = full_range()
    swap = pool.quote_swap(0, amount_in=UNIT)
    assert (swap.amount_in, swap.amount_out, swap.tick, swap.is_filled) == (UNIT, 665_331_998_665_331_998, -8_090, True)
    assert pool.tick == 0
    assert pool.swap(0, amount_in=UNIT).sqrt_price == pool.sqrt_price
    assert pool.tick == -8_090


@given(reserves, reserves, amounts, st.integers(0, 999))
def test_constant_product_is_the_formula_of_the_contract(zero: int, one: int, amount: int, parts: int) -> None:
    pool = pools.ConstantProduct(zero, one, fee=(parts, 1_000))
    paid = amount * (1_000 - parts)
    assert pool.quote_in(0, amount) == paid * one // (zero * 1_000 + paid)
    if amount < one:
        cost = zero * amount * 1_000 // ((one - amount) * (1_000 - parts)) + 1
        if zero + cost < 2**112:
            assert pool.quote_out(0, amount) == cost
        else:
            with pytest.raises(xb.PoolError, match="amount in"):
                pool.quote_out(0, amount)
    else:
        with pytest.raises(xb.PoolError, match="exhausted"):
            pool.quote_out(0, amount)


@given(st.integers(-887_272, 887_272))
def test_prices_of_ticks_are_powers(tick: int) -> None:
    price = pools.sqrt_price_at(tick)
    # sqrt(1.0001^tick) in Q96 with 256 more bits, by exact integers.
    power = 10_001 ** abs(tick) if abs(tick) < 2_000 else None
    if power is not None:
        ratio = Fraction(power, 10_000 ** abs(tick)) ** (1 if tick >= 0 else -1)
        exact = isqrt(ratio.numerator * 2**704 // ratio.denominator)  # with 256 bits of fraction
        assert abs((price << 256) - exact) < 2 << 256
    if tick < 887_272:
        assert pools.tick_at(price) == tick


@given(amounts, st.integers(0, 1), st.booleans())
def test_a_pool_and_its_copy_go_their_own_ways(amount: int, token: int, deep: bool) -> None:
    pool = full_range()
    other = copy.deepcopy(pool) if deep else copy.copy(pool)
    assert pool == other
    other.swap(token, amount_in=amount)
    assert pool == full_range()
    assert other != pool or amount < 10


def test_a_pool_is_made_from_the_ticks_that_a_chain_tells() -> None:
    pool = full_range()
    pool.mint(-600, 600, 3 * UNIT)
    pool.swap(0, amount_in=10**17)
    again = pools.Concentrated(pool.sqrt_price, spacing=60, fee=3_000, tick=pool.tick, ticks=pool.ticks)
    assert again == pool
    assert again.liquidity == 5 * UNIT
    assert pool.burn(-600, 600, 3 * UNIT)[0] > 0
    assert [tick for tick, _, _ in pool.ticks] == [-887_220, 887_220]


def test_a_pool_reads_like_a_book() -> None:
    # 1,000 ether at 2,000 USDC, 30 bp: 1,994 bid, 2,006.018 asked for the next unit.
    pool = pools.ConstantProduct(2_000_000 * 10**6, 1_000 * UNIT)
    scale = pools.Scale(base=1, decimals=(6, 18), price_unit="0.01", size_unit="0.0001")
    bid, bid_size, ask, ask_size = pool.quote(scale, step=100)
    assert (bid, ask, ask_size) == (199_349, 200_651, 2_446)
    assert pool.size_at_marginal(xb.ASK, 200_700, scale) == ask_size
    levels = pool.levels(scale, n=5, step=100)
    assert levels.columns == ["side", "price", "size", "end"]
    assert levels["side"].to_list() == [0] * 5 + [1] * 5
    best = levels.row(5, named=True)
    assert (best["price"], best["size"], best["end"]) == (2_006.51, 0.2446, 2_007.0)
    assert levels.row(0, named=True)["size"] == pytest.approx(bid_size / 1e4)
    bids = levels.filter(side=0)["price"].to_list()
    assert bids == sorted(bids, reverse=True)


def test_an_outside_price_is_worth_the_published_profit() -> None:
    # Reserves 1,000 and 2e6, 30 bp: outside 2100 gives 1075.7092610521, 1900 gives 1138.1457695114, 2003 nothing.
    pool = pools.ConstantProduct(1_000 * UNIT, 2_000_000 * UNIT)
    for outside, profit, token_in in [(2_100, 1075.7092610521, 1), (1_900, 1138.1457695114, 0)]:
        for price in (outside, float(outside), Fraction(outside), Decimal(outside)):
            found = pool.arbitrage(price)
            assert found is not None
            assert found[0] == token_in
            assert found[3] / UNIT == pytest.approx(profit, rel=1e-12)
            assert found[2] == pool.quote_in(token_in, found[1])
    assert pool.arbitrage(2_003) is None
    assert pool.to_price(0, 2_003) == (0, 0)


def test_a_cycle_of_two_pools_is_worth_the_published_profit() -> None:
    # Pools (1e6, 500) and (520, 1.1e6), 0.3 %: input 12984.766031, profit 329.2464531878.
    legs = [(pools.ConstantProduct(10**6, 500), 0), (pools.ConstantProduct(520, 1_100_000), 0)]
    found = pools.cycle(legs)
    assert found is not None
    assert found.input == pytest.approx(12_984.766031, abs=5e-7)
    assert found.profit == pytest.approx(329.2464531878, abs=5e-11)
    assert found.trades == ()  # six units of the second token are not worth it
    assert pools.cycle([(pool, 1) for pool, _ in reversed(legs)]) is None
    finer = pools.cycle([(pools.ConstantProduct(*(UNIT * r for r in pool.reserves)), token) for pool, token in legs])
    assert finer is not None
    assert finer.trades[0][1] == finer.trades[1][0]
    assert finer.exact_profit == finer.trades[1][1] - finer.trades[0][0]
    assert finer.exact_profit / UNIT == pytest.approx(329.2464531878, rel=1e-12)


def test_a_route_finds_the_cycle_and_a_sale_is_split() -> None:
    first, second = pools.ConstantProduct(10**6 * UNIT, 500 * UNIT), pools.ConstantProduct(520 * UNIT, 1_100_000 * UNIT)
    network = [(first, "USD", "ETH"), (second, "ETH", "USD")]
    found = pools.route(network, values={"USD": 1.0})
    assert found.value / UNIT == pytest.approx(329.2464531878, rel=1e-12)
    assert abs(found.gap) <= 1e-12 * found.value
    assert found.net["ETH"] >= 0
    assert [(trade.pool, trade.token_in, trade.token_out) for trade in found.trades] == [
        (0, "USD", "ETH"),
        (1, "ETH", "USD"),
    ]
    same = [(pools.ConstantProduct(1_000 * UNIT, 2_000_000 * UNIT), "ETH", "USD")] * 4
    sale = pools.route(same, holdings={"ETH": 10 * UNIT}, into="USD")
    assert len(sale.trades) == 4
    assert sale.net["USD"] == sum(trade.amount_out for trade in sale.trades)
    assert -sale.net["ETH"] <= 10 * UNIT
    assert sale.net["USD"] == pytest.approx(4 * same[0][0].quote_in(0, 10 * UNIT // 4), rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pools.ConstantProduct(0, 1), r"reserve of token 0: expected 1 to 2\^112 - 1, found 0"),
        (lambda: pools.ConstantProduct(1, 2**112), "reserve of token 1"),
        (lambda: pools.ConstantProduct(1, -1), r"amount -1: expected a whole number from 0 to 2\^256 - 1"),
        (lambda: pools.ConstantProduct(1, 1, fee=(5, 5)), "fee of 5 parts in 5: expected less than the whole"),
        (lambda: pools.ConstantProduct(9, 9).quote_in(2, 1), "token 2: expected 0 or 1"),
        (lambda: pools.ConstantProduct(9, 9).quote_in(0, 0), "amount in: expected more than 0"),
        (lambda: pools.ConstantProduct(9, 9).quote_in(0, 1.5), "amount 1.5: expected a whole number"),
        (lambda: pools.ConstantProduct(9, 9).arbitrage(0), "price: expected one above 0"),
        (lambda: pools.ConstantProduct(9, 9).arbitrage(float("nan")), "price nan: expected a number above 0"),
        (lambda: pools.ConstantProduct(9, 9).quote_out(0, 9), "expected at most 8 of amount out, asked for 9"),
        (lambda: pools.Concentrated(0), "square-root price 0: expected one from 4295128739"),
        (lambda: pools.Concentrated(ONE, spacing=0), "tick spacing 0: expected one from 1 to 16383"),
        (lambda: pools.Concentrated(ONE, fee=10**6), "fee of 1000000 parts in 1000000"),
        (lambda: pools.Concentrated(ONE, tick=5), "tick 5: expected 0"),
        (lambda: pools.Concentrated(ONE, ticks=[(-60, 5, 5)]), "tick -60: expected no liquidity above"),
        (lambda: full_range().mint(-61, 60, 1), "tick -61: expected a multiple of the spacing 60"),
        (lambda: full_range().mint(60, -60, 1), "range from tick 60 to -60"),
        (lambda: full_range().burn(-60, 60, 1), "expected to take at most 0 of liquidity, asked for 1"),
        (lambda: full_range().swap(0), "expected amount_in or amount_out, one of them"),
        (lambda: full_range().swap(0, amount_in=1, limit=2 * ONE), "expected one below the pool's"),
        (lambda: full_range().swap_out(0, 2 * UNIT), "pool exhausted"),
        (lambda: pools.Concentrated(ONE).swap_in(1, 5), "expected at most 0 of amount in, asked for 5"),
        (lambda: pools.sqrt_price_at(887_273), "tick 887273: expected one from -887272 to 887272"),
        (lambda: pools.tick_at(1), "square-root price 1"),
        (lambda: pools.Scale(base=0, decimals=(18, 40), price_unit="1", size_unit="1"), "token decimals 40"),
        (lambda: pools.Scale(base=0, decimals=(18, 6), price_unit="x", size_unit="1"), 'unit "x": expected a decimal'),
        (lambda: pools.route([], values={"a": 1.0}, into="a"), "expected values or into, one of them"),
        (lambda: pools.route([(pools.ConstantProduct(9, 9), "a", "a")], into="a"), "pool 0: expected two different"),
        (lambda: pools.route([(pools.ConstantProduct(9, 9), "a", "b")], values={"a": -1.0}), "value of token 0"),
    ],
)
def test_what_is_wrong_is_said(call, message: str) -> None:
    with pytest.raises(xb.PoolError, match=message) as raised:
        call()
    assert isinstance(raised.value, xb.Error)
