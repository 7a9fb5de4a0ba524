"""Pools as venues of a market, and orders split over books and pools."""

from __future__ import annotations

import json
import random
import warnings
from decimal import Decimal
from fractions import Fraction

import pytest
from conftest import SNAPSHOT, levels, tape

import crossbook as xb
from crossbook import costs, pools
from crossbook.routing import Constraints, DepthRouter

ETH = 10**18
USD = 10**6
NOW = 10**18
KNOWN = {"base": 1, "decimals": (6, 18)}


def book(venue: str = "kraken", lot: str = "0.001", quote: str = "USD") -> xb.Instrument:
    return xb.Instrument.from_json(
        json.dumps(
            {"venue": venue, "symbol": "ETH", "contract": "spot", "price_unit": "0.01", "size_unit": "0.0001"}
            | {"base": "ETH", "quote": quote, "settle": quote, "lot": lot}
        )
    )


def pooled(symbol: str = "POOL", venue: str = "uniswap-v2", **more: str) -> xb.Instrument:
    units = {"base": "ETH", "quote": "USD", "price_unit": "0.01", "size_unit": "0.0001"}
    return pools.instrument(venue, symbol, **(units | more))


def constant(eth: float = 1_000, price: float = 2_000, fee: tuple[int, int] = (1, 1_000)) -> pools.ConstantProduct:
    return pools.ConstantProduct(int(eth * price) * USD, int(eth) * ETH, fee=fee)


def concentrated(eth: float = 100, price: float = 2_000) -> pools.Concentrated:
    """Token 0 is the dollar, token 1 ether; liquidity in three ranges around the price."""
    root = int((ETH / (price * USD)) ** 0.5 * 2**96)
    pool = pools.Concentrated(root, spacing=10, fee=500)
    middle = pool.tick // 10 * 10
    liquidity = int((eth * ETH * eth * price * USD) ** 0.5)
    for width, times in ((60, 30), (300, 8), (3_000, 1)):
        pool.mint(middle - width, middle + width, liquidity * times)
    return pool


def fed(known: list[xb.Instrument], books: dict[int, tuple[list, list]], **options) -> xb.Market:
    made = xb.Market(known, **({"costs": 0, "stale_after": 60} | options))
    rows = []
    for index, (bids, asks) in books.items():
        sides = [(0, *level) for level in bids] + [(1, *level) for level in asks]
        rows += levels(sides, 1, flags=SNAPSHOT, instrument=index, ts_recv=NOW)
    made.apply(tape(rows, known))
    return made


BIDS = [(199_900 - 20 * step, 2_000) for step in range(50)]
ASKS = [(200_100 + 20 * step, 2_000) for step in range(50)]


def test_a_pool_is_in_quotes_book_depth_and_statuses_like_any_venue() -> None:
    market = fed([book(), pooled()], {0: (BIDS, ASKS)})
    assert market.statuses == ["live", "empty"]
    pool = constant()
    market.set_pool("POOL", pool, **KNOWN, ts_recv=NOW, step=100, levels=20)
    assert market.statuses == ["live", "live"]
    scale = pools.Scale(base=1, decimals=(6, 18), price_unit="0.01", size_unit="0.0001")
    bid, bid_size, ask, ask_size = pool.quote(scale, step=100)
    assert market.touch(1) == (bid, bid_size, ask, ask_size, 0)
    merged = market.levels(1, 100)
    own = pool.levels(scale, n=20, step=100).filter(side=1)
    shown = [(price, size) for price, _, parts, _ in merged for venue, size in parts if venue == 1]
    assert shown == [(round(p * 100), round(s * 10_000)) for p, s in own.select("price", "size").iter_rows()]
    assert len(market.book(5)) == 10
    depth = market.depth([200])
    assert depth.filter(side="ask")["base"][0] == pytest.approx(own["size"].sum() + 10)


def test_a_pool_that_moves_crosses_a_book() -> None:
    market = fed([book(), pooled()], {0: (BIDS, ASKS)})
    pool = constant()
    market.set_pool(1, pool, **KNOWN, ts_recv=NOW)
    assert market.quote().state == "normal"
    pool.swap_in(1, 30 * ETH)  # ether is sold to it: it is cheap there now
    assert market.quote().state == "normal", "a market has a copy until it is told"
    market.set_pool(1, pool, **KNOWN, ts_recv=NOW + 1)
    best = market.quote()
    assert best.state == "crossed"
    assert best.cross is not None
    assert best.cross[:2] == (1, 0), "bought at the pool, sold at the book"


def test_a_tape_of_states_brings_crosses_and_arbitrage() -> None:
    known = [book(), pooled()]
    pool = constant()
    cheap = pool.copy()
    cheap.swap_in(1, 30 * ETH)
    options = {"base": 1, "decimals": (6, 18), "step": 50, "levels": 50}
    states = pools.tape(known[1], [(pool, NOW), (cheap, NOW + 10**9), (pool, NOW + 3 * 10**9, NOW, 7)], **options)
    rows = levels([(0, *level) for level in BIDS] + [(1, *level) for level in ASKS], 1, flags=SNAPSHOT, ts_recv=NOW)
    market = xb.Market(known, costs=0, stale_after=60)
    found = market.crosses([tape(rows, known[:1]), states], depth=True)
    assert len(found) == 1
    assert found.select("buy", "sell").row(0) == ("uniswap-v2", "kraken")
    market.apply([tape(rows, known[:1]), states])
    assert market.touch(1)[4] == 7, "the sequence of the last state"


def test_a_pool_of_the_other_currency_cycles_through_two_books() -> None:
    def spot(venue: str, base: str, quote: str) -> xb.Instrument:
        units = {"price_unit": "0.01", "size_unit": "0.0001", "contract": "spot"}
        return xb.Instrument.from_json(
            json.dumps({"venue": venue, "symbol": base + quote, "base": base, "quote": quote, "settle": quote} | units)
        )

    known = [spot("kraken", "ETH", "USD"), spot("kraken", "BTC", "USD"), pooled("W", base="BTC", quote="ETH")]
    cycles = xb.Cycles(known, costs=0, stale_after=1e9)
    pool = pools.ConstantProduct(100 * 10**8, 3_000 * ETH)  # 30 ether for a bitcoin, which is worth 31
    rows = []
    for index, price in ((0, 200_000), (1, 6_200_000)):
        sides = [(0, price - 1, 10_000), (1, price + 1, 10_000)]
        rows += levels(sides, 1, flags=SNAPSHOT, instrument=index, ts_recv=NOW)
    cycles.apply(tape(rows, known))
    cycles.apply(pools.tape(known[2], [(pool, NOW)], base=0, decimals=(8, 18), levels=200))
    found = cycles.now()
    assert len(found) > 0
    assert found["profit"][0] > 0


def exact_total(route: xb.Route) -> Decimal:
    return Decimal(route.exact[3])


def test_a_leg_at_a_pool_is_the_pools_own_swap() -> None:
    pool = constant()
    for side in ("buy", "sell"):
        market = fed([book(), pooled()], {0: (BIDS, ASKS)})
        market.set_pool("POOL", pool, **KNOWN, ts_recv=NOW)
        route = market.route(side, 5)
        leg = next(leg for leg in route.legs if leg.swap is not None)
        swap = leg.swap
        ether = int(Decimal(leg.order_size) * ETH)
        after = pool.copy()
        if side == "buy":
            assert (swap.token_in, swap.amount_out) == (0, ether)
            assert swap.amount_in == pool.quote_out(0, ether)
            paid = after.swap_out(0, ether)
            assert leg.notional == pytest.approx(paid / USD, rel=1e-15)
        else:
            assert (swap.token_in, swap.amount_in) == (1, ether)
            assert swap.amount_out == pool.quote_in(1, ether) == after.swap_in(1, ether)
        assert swap.fee == -(-swap.amount_in // 1_000)
        marginal = 1 / after.marginal_price(0 if side == "buy" else 1) * ETH / USD
        assert float(swap.price_after) == pytest.approx(marginal, abs=0.01)
        assert (float(swap.price_after) >= marginal) == (side == "buy"), "rounded away from the trade"
        assert 0 <= (float(swap.price_after) - float(leg.order_price)) * (1 if side == "buy" else -1) < 0.05, (
            "the fee stays"
        )
        assert leg.marginal == pytest.approx(float(leg.order_price), abs=0.01)
        assert route.is_optimal
        assert route.gap is not None
        assert route.gap <= 1e-9 * route.total


def test_the_route_beats_every_other_split_of_a_grid() -> None:
    pool = constant(300)
    market = fed([book(lot="0.01"), pooled(lot="0.01")], {0: (BIDS, ASKS)})
    market.set_pool("POOL", pool, **KNOWN, ts_recv=NOW)

    def total(lots: int, at_pool: int) -> Decimal:
        left, paid = (lots - at_pool) * 100, 0
        for price, size in ASKS:
            taken = min(left, size)
            left, paid = left - taken, paid + price * taken
        assert left == 0
        swap = pool.quote_out(0, at_pool * ETH // 100) if at_pool else 0
        return Decimal(paid) / 10**6 + Decimal(swap) / USD

    for lots in (1, 37, 400, 900):
        best = min(total(lots, at_pool) for at_pool in range(lots + 1))
        route = market.route("buy", Decimal(lots) / 100)
        assert exact_total(route) == best
        assert Decimal(route.gap or 0) <= best * Decimal("1e-9")


def test_gas_keeps_a_pool_out_until_the_size_pays_for_it() -> None:
    market = fed([book(), pooled()], {0: (BIDS, ASKS)})
    market.set_pool("POOL", constant(10_000), **KNOWN, ts_recv=NOW)
    gas = costs.Gas(used=150_000, priority_fee=10**9)
    cost = costs.Fees(maker_bp=0, taker_bp=0) + gas
    market.set_costs({"POOL": cost}, costs.State(base_fee=19 * 10**9, native_ask=2_000))
    small, large = market.route("buy", "0.1"), market.route("buy", 8)
    assert [leg.instrument for leg in small.legs] == ["kraken:ETH"], "6 of gas to save less than 1"
    assert any(leg.swap for leg in large.legs)
    assert large.is_optimal
    at_pool = next(leg for leg in large.legs if leg.swap)
    assert at_pool.cost == pytest.approx(6.0), "150,000 gas at 20 gwei and 2,000 for an ether"
    alone = market.route("buy", 8, constraints=Constraints(allow=["kraken"]))
    assert large.total < alone.total


def test_a_pool_that_is_stale_halted_or_denied_takes_no_part() -> None:
    market = fed([book(), pooled()], {0: (BIDS, ASKS)}, stale_after={"kraken": 3_600, "POOL": 30})
    market.set_pool("POOL", constant(), **KNOWN, ts_recv=NOW)
    assert any(leg.swap for leg in market.route("buy", 5).legs)
    denied = market.route("buy", 5, constraints=Constraints(deny=["POOL"]))
    assert denied.left_out == [("uniswap-v2:POOL", "denied")]
    market.advance(NOW + 31 * 10**9)
    route = market.route("buy", 5)
    assert route.left_out == [("uniswap-v2:POOL", "stale")]
    assert not any(leg.swap for leg in route.legs)
    market.set_pool("POOL", constant(), **KNOWN, ts_recv=NOW + 32 * 10**9)
    assert any(leg.swap for leg in market.route("buy", 5).legs)
    market.apply_event(1, "status", None, 0, ts_recv=NOW + 32 * 10**9)
    assert market.route("buy", 5).left_out == [("uniswap-v2:POOL", "halted")]


def test_events_newer_than_the_state_are_what_counts() -> None:
    market = fed([book(), pooled()], {0: (BIDS, ASKS)})
    market.set_pool("POOL", constant(), **KNOWN, ts_recv=NOW)
    for at, (side, price) in enumerate([(0, 199_000), (1, 199_500)]):
        market.apply_event(1, "quote", side, price, 5_000, ts_recv=NOW + 1, sequence=1, last=at == 1)
    route = market.route("buy", "0.5")
    assert [(leg.instrument, leg.swap) for leg in route.legs] == [("uniswap-v2:POOL", None)]
    assert route.legs[0].order_price == "1995.00"


def test_a_limit_ends_a_pool_at_its_marginal_price() -> None:
    pool = constant()
    market = fed([book(), pooled()], {0: (BIDS, [(300_000, 1)])})
    market.set_pool("POOL", pool, **KNOWN, ts_recv=NOW)
    scale = pools.Scale(base=1, decimals=(6, 18), price_unit="0.01", size_unit="0.0001")
    most = pool.size_at_marginal(1, 203_000, scale)
    with pytest.raises(xb.RouteError, match="limit") as caught:
        market.route("buy", 500, limit=2_030)
    assert caught.value.route is not None
    assert caught.value.route.filled == most / 10_000
    assert float(caught.value.route.legs[0].order_price) <= 2_030.01


def test_another_currency_is_bought_at_the_ask_of_its_book() -> None:
    rate = xb.Instrument.from_json(
        json.dumps(
            {"venue": "kraken", "symbol": "USDC/USD", "contract": "spot", "price_unit": "0.0001", "size_unit": "0.01"}
            | {"base": "USDC", "quote": "USD", "settle": "USD"}
        )
    )
    known = [book(), pooled(quote="USDC"), rate]
    market = fed(known, {0: (BIDS, ASKS)}, fx={"USDC": rate})
    pool = constant(fee=(0, 1_000))
    market.set_pool("POOL", pool, **KNOWN, ts_recv=NOW)
    assert market.statuses[1] == "no_rate"
    for side, price in ((0, 9_990), (1, 10_010)):
        market.apply_event(2, "quote", side, price, 10**6, ts_recv=NOW, last=side == 1)
    only = Constraints(allow=["POOL"])
    bought, sold = market.route("buy", 2, constraints=only), market.route("sell", 2, constraints=only)
    paid, got = pool.quote_out(0, 2 * ETH), pool.quote_in(1, 2 * ETH)
    assert Decimal(bought.exact[1]) == Decimal(paid) / USD * Decimal("1.0010")
    assert Decimal(sold.exact[1]) == Decimal(got) / USD * Decimal("0.9990")


def test_a_notional_buys_as_much_as_it_pays_for() -> None:
    market = fed([book(), pooled()], {0: (BIDS, ASKS)})
    market.set_pool("POOL", constant(), **KNOWN, ts_recv=NOW)
    route = market.route("buy", notional=20_000)
    assert exact_total(route) <= 20_000
    more = market.route("buy", Decimal(route.exact[0]) + Decimal("0.0001"))
    assert exact_total(more) > 20_000


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"instrument": "none"}, xb.DataError, 'instrument "none": expected one of'),
        ({"instrument": 7}, xb.DataError, "instrument 7: expected an index below 3"),
        (
            {"instrument": "PERP"},
            xb.MarketError,
            "kraken-futures:PERP: expected a spot instrument for a pool, found lin",
        ),
        ({"base": 2}, xb.PoolError, "token 2: expected 0 or 1"),
        ({"decimals": (6, 40)}, xb.PoolError, "token decimals 40: expected at most 36"),
        ({"step": 0}, xb.PoolError, "uniswap-v2:POOL: step between levels: expected at least 1, found 0"),
        ({"levels": 0}, xb.MarketError, "uniswap-v2:POOL: expected 1 to 10000 levels a side of a pool, found 0"),
        ({"levels": 10**6}, xb.MarketError, "found 1000000"),
    ],
)
def test_a_pool_that_cannot_be_a_venue_is_an_error_and_changes_nothing(change: dict, error: type, message: str) -> None:
    perpetual = xb.Instrument.from_json(
        json.dumps(
            {"venue": "kraken-futures", "symbol": "PERP", "contract": "linear", "price_unit": "0.01"}
            | {"size_unit": "0.0001", "base": "ETH", "quote": "USD", "settle": "USD"}
        )
    )
    market = fed([book(), pooled(), perpetual], {0: (BIDS, ASKS)})
    market.set_pool("POOL", constant(), **KNOWN, ts_recv=NOW)
    before = market.levels(1, 50)
    options = KNOWN | {"ts_recv": NOW + 1} | change
    which = options.pop("instrument", "POOL")
    with pytest.raises(error, match=message):
        market.set_pool(which, constant(500), **options)
    assert market.levels(1, 50) == before


def convex(depths: list[tuple], size: float) -> float:
    """The same as it is stated to a convex solver: cvxpy with Clarabel."""
    import cvxpy as cp

    spent, bought, limits = [], [], []
    for kind, *terms in depths:
        if kind == "book":
            prices, sizes = zip(*terms[0], strict=True)
            taken = cp.Variable(len(prices), nonneg=True)
            limits.append(taken <= list(sizes))
            spent.append(cp.sum(cp.multiply(list(prices), taken)))
            bought.append(cp.sum(taken))
            continue
        base, quote, kept = terms
        paid, got = cp.Variable(nonneg=True), cp.Variable(nonneg=True)
        # In units in which both reserves are one: (1 + kept·paid)(1 - got) >= 1.
        first, second = 1 + kept * paid, 1 - got
        limits.append(cp.SOC(first + second, cp.hstack([2.0, first - second])))
        spent.append(quote * paid)
        bought.append(base * got)
    norm = size * 2_000
    problem = cp.Problem(cp.Minimize(sum(spent) / norm), [*limits, sum(bought) / size >= 1])
    with warnings.catch_warnings():
        # It says so where it stops short of 10^-10; what it has then is still good for the comparison.
        warnings.filterwarnings("ignore", message="Solution may be inaccurate")
        problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    assert problem.status in {"optimal", "optimal_inaccurate"}
    return float(problem.value) * norm


def mixed(source: random.Random, books: int, count: int) -> tuple[DepthRouter, list[tuple]]:
    router = DepthRouter(price_unit="0.01", size_unit="0.00000001")
    depths: list[tuple] = []
    for at in range(books):
        price, ladder = source.randrange(199_500, 200_500), []
        for _ in range(20):
            ladder.append((price, source.randrange(1, 200) * 10**6))
            price += source.randrange(1, 60)
        router.set_book(f"book {at}", [], ladder)
        depths.append(("book", [(price / 100, size / 1e8) for price, size in ladder]))
    for at in range(count):
        eth, fee = source.randrange(50, 3_000), source.choice([0, 3, 10])
        price = source.uniform(1_990, 2_010)
        # Quote tokens of 18 decimals, so that whole amounts do not count.
        pool = pools.ConstantProduct(eth * ETH, int(eth * price * 1e6) * 10**12, fee=(fee, 1_000))
        router.set_pool(f"pool {at}", pool, base=0, decimals=(18, 18))
        depths.append(("pool", eth, pool.reserves[1] / 1e18, float(Fraction(1_000 - fee, 1_000))))
    return router, depths


@pytest.mark.parametrize("seed", range(6))
def test_books_and_pools_cost_what_a_convex_solver_finds(seed: int) -> None:
    pytest.importorskip("cvxpy")
    source = random.Random(seed)
    router, depths = mixed(source, source.randrange(0, 4), source.randrange(1, 12))
    size = source.randrange(1, 60)
    route = router.route("buy", size)
    assert float(route.filled) == size
    assert float(route.total) == pytest.approx(convex(depths, size), rel=1e-9)
    assert float(route.total) == pytest.approx(_least(depths, size), rel=1e-12)
    assert route.gap is not None
    assert route.gap <= 1e-9 * float(route.total)


def test_eight_books_and_a_thousand_pools_are_one_route() -> None:
    source = random.Random(9)
    router, _ = mixed(source, 8, 1_000)
    assert len(router) == 1_008
    route = router.route("buy", 900)
    assert sum(Decimal(leg.size) for leg in route.legs) == Decimal(route.filled) == 900
    assert sum(Decimal(leg.total) for leg in route.legs) == Decimal(route.total)
    assert len(route) > 100
    assert route.gap is not None
    assert route.gap <= 1e-11 * float(route.total)
    # Every leg of a pool ends at the dual's price with the fee, to the lot.
    ends = [float(leg.worst) for leg in route.legs if leg.swap]
    assert ends == pytest.approx([route.marginal] * len(ends), abs=0.011)


def test_fixed_costs_choose_the_same_pools_as_all_subsets() -> None:
    source = random.Random(4)
    for _ in range(12):
        router, depths = mixed(source, 1, 6)
        made = [depth for depth in depths if depth[0] == "pool"]
        size, gas = source.randrange(2, 60), source.choice([1, 5, 20])
        fixed = DepthRouter(price_unit="0.01", size_unit="0.00000001")
        fixed.set_book("book", [], [(round(p * 100), round(s * 1e8)) for p, s in depths[0][1]])
        for at, (_, eth, usd, kept) in enumerate(made):
            pool = pools.ConstantProduct(
                eth * ETH, int(Decimal(repr(usd)) * 10**18), fee=(1_000 - round(kept * 1_000), 1_000)
            )
            fixed.set_pool(f"pool {at}", pool, base=0, decimals=(18, 18), fixed=gas)
        found = fixed.route("buy", size)
        best = min(
            _least([depths[0], *(made[at] for at in range(6) if used >> at & 1)], size) + gas * used.bit_count()
            for used in range(64)
        )
        assert float(found.total) == pytest.approx(best, rel=1e-9)
        assert found.is_optimal
        assert len(router) == 7


def _least(depths: list[tuple], size: float) -> float:
    """Of books and pools, by bisection in floats; infinite where there is too little."""

    def supply(price: float) -> tuple[float, float]:
        sizes = spent = 0.0
        for kind, *terms in depths:
            if kind == "book":
                for level, available in terms[0]:
                    if level <= price:
                        sizes, spent = sizes + available, spent + level * available
            else:
                base, quote, kept = terms
                root = (price * kept * base * quote) ** 0.5
                if root > quote:
                    sizes, spent = sizes + base - base * quote / root, spent + (root - quote) / kept
        return sizes, spent

    low, high = 0.0, 1e6
    if supply(high)[0] < size:
        return float("inf")
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if supply(middle)[0] < size else (low, middle)
    sizes, spent = supply(low)
    return spent + (size - sizes) * low


def test_concentrated_pools_route_like_their_swaps_say() -> None:
    pool = concentrated()
    market = fed([book(), pooled(venue="uniswap-v3")], {0: (BIDS, ASKS)})
    market.set_pool("POOL", pool, **KNOWN, ts_recv=NOW)
    for side in ("buy", "sell"):
        for size in ("0.01", 3, 40):
            route = market.route(side, size, partial=True)
            for leg in route.legs:
                if leg.swap is None:
                    continue
                ether = int(Decimal(leg.order_size) * ETH)
                end = {"amount_out": ether} if side == "buy" else {"amount_in": ether}
                swap = pool.quote_swap(0 if side == "buy" else 1, **end)
                assert (leg.swap.amount_in, leg.swap.amount_out) == (swap.amount_in, swap.amount_out)
                assert leg.swap.fee == swap.fee
            assert size == "0.01" or any(leg.swap for leg in route.legs)
            assert route.gap is not None
            assert route.gap <= 1e-8 * route.total


def test_a_router_without_a_market_says_what_is_wrong() -> None:
    router = DepthRouter(price_unit="0.01", size_unit="0.001")
    with pytest.raises(xb.RouteError, match="expected a venue to trade at"):
        router.route("buy", 1)
    with pytest.raises(xb.RouteError, match="a: venue 0: expected levels from best to worst, found 99 after"):
        router.set_book("a", [], [(100, 1), (99, 1)])
    with pytest.raises(xb.RouteError, match="a: venue 0: expected sizes above 0, found 0 at 100"):
        router.set_book("a", [(100, 0)], [])
    with pytest.raises(xb.PoolError, match="p: token decimals 99: expected at most 36"):
        router.set_pool("p", constant(), base=1, decimals=(6, 99))
    with pytest.raises(xb.RouteError, match="units: expected powers of ten"):
        DepthRouter(price_unit="0.5", size_unit="0.001")
    with pytest.raises(xb.DataError, match='venue "a": expected one that was set'):
        router.remove("a")
    router.set_book("a", [], [(100, 5)], lot="0.002")
    with pytest.raises(xb.RouteError, match=r"size 0\.003: expected a multiple of 0\.002"):
        router.route("buy", "0.003")
    router.set_book("a", [], [(100, 5)], fixed=-1)
    with pytest.raises(xb.RouteError, match="a: expected a fixed cost of at least 0"):
        router.route("buy", "0.002")
    router.set_book("a", [], [(100, 5)])
    assert router.route("buy", "0.009").filled == "0.005"
    router.remove("a")
    assert len(router) == 0
