"""Orders split over the venues of a market."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal, localcontext

import polars as pl
import pytest
from conftest import GAP, LAST, SNAPSHOT, levels, quote, tape
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

import crossbook as xb
from crossbook import costs
from crossbook.routing import Constraints, Queue, place

WEI = Decimal("1e-18")
Ladder = list[tuple[int, int]]


def described(venue: str, symbol: str, contract: str = "spot", **more: str) -> xb.Instrument:
    terms = {"venue": venue, "symbol": symbol, "contract": contract, "base": "BTC", "quote": "USD", "settle": "USD"}
    units = {"price_unit": "0.01", "size_unit": "0.001", "multiplier": "1"}
    return xb.Instrument.from_json(json.dumps(terms | units | more))


A = described("coinbase", "BTC-USD", lot="0.001")
B = described("kraken", "XBT/USD", lot="0.01")
C = described("kraken-futures", "PF_XBTUSD", "linear", price_unit="0.5", size_unit="1", multiplier="0.005", lot="1")
INVERSE = described(
    "deribit", "BTC-PERPETUAL", "inverse", price_unit="0.5", size_unit="1", multiplier="10", settle="BTC"
)


def market(books: Sequence[tuple[xb.Instrument, Ladder, Ladder]], **options) -> xb.Market:
    """A market of books with these bids and asks, in the instruments' units."""
    known = [one for one, _, _ in books]
    rows = []
    for index, (_, bids, asks) in enumerate(books):
        sides = [(0, price, size) for price, size in bids] + [(1, price, size) for price, size in asks]
        rows += levels(sides, 1, flags=SNAPSHOT, instrument=index, ts_recv=10**18)
    made = xb.Market(known, **({"costs": 0} | options))
    made.apply(tape(rows, known))
    return made


TWO = [
    (A, [(5_999_900, 500), (5_999_800, 2_000)], [(6_000_000, 500), (6_000_200, 1_000), (6_000_900, 5_000)]),
    (B, [(6_000_000, 400)], [(6_000_100, 400), (6_000_300, 2_000)]),
]


def sizes(route: xb.Route) -> dict[str, str]:
    return {leg.instrument: leg.order_size for leg in route.legs}


def test_the_cheapest_levels_are_taken_first_across_venues() -> None:
    route = market(TWO).route("buy", 1)
    assert sizes(route) == {"coinbase:BTC-USD": "0.600", "kraken:XBT/USD": "0.400"}
    # 0.5 at 60,000.00, 0.4 at 60,001.00, 0.1 at 60,002.00.
    assert route.exact == ("1.000", "60000.6", "0", "60000.6")
    assert (route.is_optimal, route.gap, route.shortfall) == (True, 0, None)
    assert route.marginal == 60_002.0
    assert [leg.order_price for leg in route.legs] == ["60002.00", "60001.00"]
    # The best bid is Kraken's 60,000.00 as is the best ask: the middle is that.
    assert route.slippage_mid_bp == pytest.approx(0.1, abs=1e-9)
    assert route.slippage_touch_bp == pytest.approx(0.1, abs=1e-9)


def test_a_sale_takes_the_highest_bids() -> None:
    route = market(TWO).route("sell", "0.6")
    assert sizes(route) == {"coinbase:BTC-USD": "0.200", "kraken:XBT/USD": "0.400"}
    assert route.exact == ("0.600", "35999.8", "0", "35999.8")
    assert route.marginal == 59_999.0


def test_fees_decide_between_venues_and_are_part_of_the_total() -> None:
    made = market(TWO, costs={"kraken": 0, "coinbase": 0.2})
    route = made.route("buy", "0.5")
    assert sizes(route) == {"coinbase:BTC-USD": "0.100", "kraken:XBT/USD": "0.400"}
    assert route.exact == ("0.500", "30000.4", "0.12", "30000.52")


def test_gas_keeps_a_venue_out_until_the_size_pays_for_it() -> None:
    made = market(TWO)
    gas = costs.Gas(used=150_000, priority_fee=10**9)
    state = costs.State(base_fee=19 * 10**9, native_ask=2_000)
    made.set_costs({"kraken:XBT/USD": costs.Fees(maker_bp=0, taker_bp=0) + gas}, state)
    assert sizes(made.route("buy", 1)) == {"coinbase:BTC-USD": "1.000"}, "6 of gas to save 0.4"
    assert "kraken:XBT/USD" in sizes(made.route("buy", 4)), "6 of gas to save some 7 on each"


def test_a_rounded_lot_is_filled_at_the_venue_with_the_finer_one() -> None:
    books = [(A, [(1, 1)], [(6_000_900, 5_000)]), (B, [(1, 1)], [(6_000_000, 400)])]
    assert sizes(market(books).route("buy", "0.305")) == {"coinbase:BTC-USD": "0.005", "kraken:XBT/USD": "0.300"}


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"size": "0.0005"}, 'size "0.0005": expected a multiple of the unit 0.001'),
        ({"size": 0}, "size 0.000: expected more than 0"),
        ({"size": -1}, "size -1.000: expected more than 0"),
        ({"size": float("nan")}, 'size "NaN": expected a decimal number'),
        ({"size": 10**30}, "expected a decimal|below 2"),
        ({"notional": 0}, "notional: expected enough for the least size, found 0"),
        ({"notional": "0.5"}, "notional: expected enough for the least size, found 0.5"),
        ({"size": 1, "limit": "low"}, 'limit "low"'),
        ({"size": 1, "constraints": Constraints(deny=["coinbase", "kraken"])}, "all are left out"),
    ],
)
def test_an_order_that_cannot_be_is_an_error_that_says_why(order: dict, message: str) -> None:
    order = dict(order)
    size = [order.pop("size")] if "size" in order else []
    with pytest.raises(xb.RouteError, match=message):
        market(TWO).route("buy", *size, **order)


def test_wrong_arguments_are_data_errors() -> None:
    made = market(TWO)
    with pytest.raises(xb.DataError, match='side both: expected "buy" or "sell"'):
        made.route("both", 1)  # type: ignore[arg-type]
    with pytest.raises(xb.DataError, match="expected either a size or a notional"):
        made.route("buy")
    with pytest.raises(xb.DataError, match="expected either a size or a notional"):
        made.route("buy", 1, notional=1)
    with pytest.raises(xb.DataError, match=r"deny: expected instruments of the market, .* found 'okx'"):
        made.route("buy", 1, constraints=Constraints(deny=["okx"]))
    with pytest.raises(xb.DataError, match="max_venues: expected at least 1, found 0"):
        made.route("buy", 1, constraints=Constraints(max_venues=0))


def test_a_size_off_every_lot_is_refused() -> None:
    made = market([*TWO[1:], (described("okx", "BTC-USD", lot="0.02"), [(1, 1)], [(6_000_000, 900)])])
    with pytest.raises(xb.RouteError, match=r"size 0\.105: expected a multiple of 0\.010"):
        made.route("buy", "0.105")


@pytest.mark.parametrize(
    ("size", "options", "filled", "reason"),
    [
        (100, {}, 8.9, "liquidity"),
        (5, {"limit": "60002.009"}, 1.9, "limit"),
        (5, {"constraints": Constraints(max_size={"coinbase": 1, "kraken": "0.5"})}, 1.5, "constraints"),
        (5, {"constraints": Constraints(quote={"coinbase": 30_000, "kraken": "600.01"})}, 0.51, "constraints"),
        ("8.905", {}, 8.9, "liquidity"),
    ],
)
def test_what_cannot_be_traded_is_an_error_with_what_can(
    size: object, options: dict, filled: float, reason: str
) -> None:
    made = market(TWO)
    with pytest.raises(xb.RouteError, match=f"found .*: {reason}") as caught:
        made.route("buy", size, **options)
    assert caught.value.route is not None
    route = made.route("buy", size, partial=True, **options)
    assert (route.filled, route.shortfall, caught.value.route.filled) == (filled, reason, filled)


def test_constraints_hold_at_each_venue() -> None:
    made = market(TWO)
    coinbase, kraken = "coinbase:BTC-USD", "kraken:XBT/USD"

    def split(side: str, size: object, **constraints) -> dict[str, str]:
        return sizes(made.route(side, size, constraints=Constraints(**constraints)))

    assert split("buy", 1, deny=[coinbase]) == {kraken: "1.000"}
    assert split("buy", 1, allow=[coinbase]) == {coinbase: "1.000"}
    assert split("buy", 1, max_venues=1) == {coinbase: "1.000"}
    assert split("buy", 1, max_size={coinbase: "0.55"}) == {coinbase: "0.550", kraken: "0.450"}
    assert split("buy", 1, min_size={kraken: "0.5"}) == {coinbase: "0.500", kraken: "0.500"}
    assert split("buy", 1, min_size={kraken: "0.9"}) == {coinbase: "1.000"}
    assert split("buy", "0.2", required=[kraken], min_size={kraken: "0.05"}) == {coinbase: "0.150", kraken: "0.050"}
    assert split("sell", "0.6", base={kraken: "0.25"}) == {coinbase: "0.350", kraken: "0.250"}
    with pytest.raises(xb.RouteError, match="kraken:XBT/USD: expected enough for an order there, as it is required"):
        split("buy", 1, required=[kraken], min_size={kraken: 7})


def test_a_notional_buys_as_much_as_it_pays_for_and_no_more() -> None:
    made = market(TWO, costs=1)
    route = made.route("buy", notional=60_000)
    assert Decimal(route.exact[3]) <= 60_000
    more = made.route("buy", str(Decimal(route.exact[0]) + Decimal("0.001")))
    assert Decimal(more.exact[3]) > 60_000
    with pytest.raises(xb.RouteError, match=r"found 8\.900: liquidity"):
        made.route("buy", notional=10**9)


def test_venues_that_do_not_count_are_left_out_by_name_and_reason() -> None:
    third = described("okx", "BTC-USD")
    made = market([*TWO, (third, [(1, 1)], [(5_000_000, 9_000)])])
    assert "okx:BTC-USD" in sizes(made.route("buy", 1))
    lost = [{"kind": GAP, "flags": LAST, "instrument": 2, "ts_recv": 10**18}]
    made.apply(tape(lost, made.instruments))
    route = made.route("buy", 1)
    assert route.left_out == [("okx:BTC-USD", "unsynchronised")]
    assert "okx:BTC-USD" not in sizes(route)
    made.advance(10**18 + 4 * 10**9)
    made.apply(tape(quote(5_999_900, 6_000_000, 9, instrument=0, ts_recv=10**18 + 4 * 10**9), made.instruments))
    made.advance(10**18 + 6 * 10**9)
    route = made.route("buy", "0.001")
    assert route.left_out == [("kraken:XBT/USD", "stale"), ("okx:BTC-USD", "unsynchronised")]


def test_contracts_with_multipliers_trade_in_whole_contracts() -> None:
    books = [(A, [(1, 1)], [(6_000_100, 5_000)]), (C, [(1, 1)], [(120_000, 100)])]
    route = market(books).route("buy", "0.503")
    assert sizes(route) == {"coinbase:BTC-USD": "0.003", "kraken-futures:PF_XBTUSD": "100"}
    assert route.exact[1] == str(Decimal("0.5") * 60_000 + Decimal("0.003") * 60_001)


def test_inverse_contracts_are_cut_to_whole_ones_and_the_rest_goes_elsewhere() -> None:
    books = [(A, [(1, 1)], [(6_000_100, 5_000)]), (INVERSE, [(1, 1)], [(120_000, 1_000), (120_100, 9_000)])]
    route = market(books).route("buy", "0.1")
    # Contracts of 10 USD at 60,000: 600 are exactly 0.1.
    assert sizes(route) == {"deribit:BTC-PERPETUAL": "600"}
    assert (route.shortfall, route.is_optimal) == (None, True)
    route = market(books).route("buy", "0.10117")
    # 607 are 0.10116666; 0.00000334 is less than a lot of A, so it stays. 607 cost what they cost: the gap is rounding.
    assert sizes(route) == {"deribit:BTC-PERPETUAL": "607"}
    assert (route.filled, route.shortfall) == (0.10116666, "contracts")
    assert route.gap is not None
    assert 0 <= route.gap < 0.001
    sale = market([(A, [(5_999_900, 5_000)], [(6_000_100, 1)]), (INVERSE, [(120_000, 1_000)], [(120_001, 1)])])
    route = sale.route("sell", "0.10117")
    assert sizes(route) == {"deribit:BTC-PERPETUAL": "607"}
    assert route.gap is not None
    assert 0 <= route.gap < 0.001
    route = market(books).route("buy", "0.2")
    # The level of 60,000 has 0.16666666, the next is dearer than A. Less of it and more of A in whole lots is all.
    assert sizes(route) == {"coinbase:BTC-USD": "0.034", "deribit:BTC-PERPETUAL": "996"}
    assert (route.filled, route.exact[1]) == (0.2, str(Decimal(9_960) + Decimal("0.034") * 60_001))


def test_a_route_becomes_a_data_frame() -> None:
    frame = market(TWO).route("buy", 1).to_polars()
    assert frame.columns[:4] == ["instrument", "size", "order_size", "order_price"]
    assert frame["size"].to_list() == [0.6, 0.4]
    assert frame.schema["marginal"] == pl.Float64


def exhaustive(books: list[Ladder], lots: list[int], rates: list[int], size: int) -> Decimal | None:
    """The least cost of buying a size, lot by lot: every split there is."""

    def paid(venue: int, wanted: int) -> Decimal | None:
        left, notional = wanted, 0
        for price, available in books[venue]:
            taken = min(left, available)
            left, notional = left - taken, notional + price * taken
        if left:
            return None
        with localcontext(prec=60):
            exact = Decimal(notional) * Decimal("0.00001")
            return exact + (exact * rates[venue] / 10**9).quantize(WEI, rounding=ROUND_CEILING)

    found = []
    for split in itertools.product(*(range(0, size + 1, lot) for lot in lots)):
        if sum(split) == size:
            parts = [paid(venue, wanted) for venue, wanted in enumerate(split)]
            if all(part is not None for part in parts):
                found.append(sum(parts, Decimal(0)))
    return min(found, default=None)


@given(st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_routes_cost_what_the_cheapest_of_all_splits_costs(source: random.Random) -> None:
    lots = [source.choice([1, 2, 5]) for _ in range(3)]
    rates = [source.randrange(-100_000, 1_000_000, 1_000) for _ in lots]
    venues = ["coinbase", "kraken", "okx"]
    known = [described(venue, "BTC", lot=f"0.00{lot}") for venue, lot in zip(venues, lots, strict=True)]
    books = []
    for _ in lots:
        price = source.randrange(10_000, 10_050)
        ladder = []
        for _ in range(source.randrange(1, 6)):
            ladder.append((price, source.randrange(1, 9)))
            price += source.randrange(1, 30)
        books.append(ladder)
    size = source.randrange(1, 25)
    made = market([(one, [(1, 1)], ladder) for one, ladder in zip(known, books, strict=True)])
    made.set_costs(
        {
            one.name: costs.Fees(maker_bp=0, taker_bp=Decimal(rate) / 100_000)
            for one, rate in zip(known, rates, strict=True)
        },
        costs.State(),
    )
    least = exhaustive(books, lots, rates, size)
    if size % math.gcd(*lots):
        with pytest.raises(xb.RouteError, match="expected a multiple"):
            made.route("buy", Decimal(size) / 1000, partial=True)
        return
    route = made.route("buy", Decimal(size) / 1000, partial=True)
    if least is not None:
        assert route.is_optimal
        assert route.filled == size / 1000
        # Legs round their fees by themselves.
        assert abs(Decimal(route.exact[3]) - least) <= 3 * WEI
    else:
        assert route.shortfall is not None


def test_one_queue_is_placed_as_published() -> None:
    # Cont and Kukanov's model: Q = 2000, S = 1000, Poisson(2200).
    found = place(
        1_000,
        [Queue(ahead=2_000, outflow=2_200, rebate=0.002)],
        half_spread=0.02,
        fee=0.003,
        under=0.026,
        over=0.024,
        impact=0.0005,
    )
    assert (found.market, found.limits) == (731, (269,))
    assert found.cost == pytest.approx(14.814277112, abs=1e-9)


def test_of_two_queues_the_one_that_flows_faster_gets_more() -> None:
    queues = [Queue(ahead=500, outflow=[600, 700, 900, 1_000]), Queue(ahead=500, outflow=[100, 400, 520, 560])]
    found = place(400, queues, half_spread=0.01, fee=0.003, under=0.02, over=0.02)
    assert found.limits[0] > found.limits[1]
    assert found.market + sum(found.limits) >= 400
    with pytest.raises(xb.RouteError, match="over: expected a penalty above half spread and rebate of venue 0"):
        place(400, queues, half_spread=0.01, fee=0.003, under=0.02, over=0.01)
    with pytest.raises(xb.RouteError, match="outflow of venue 0: expected at least one sample"):
        place(400, [Queue(ahead=1, outflow=[])], half_spread=0.01, fee=0.003, under=0.02, over=0.02)


def test_linear_programmes_cost_what_routes_of_many_levels_cost() -> None:
    source = random.Random(3)
    venues = ["coinbase", "kraken", "okx", "bitstamp", "gemini", "binance-us", "gate", "kucoin"]
    known = [described(venue, "BTC", lot="0.001") for venue in venues]
    books = []
    for _ in known:
        price, ladder = source.randrange(6_000_000, 6_000_500), []
        for _ in range(60):
            ladder.append((price, source.randrange(1, 2_000)))
            price += source.randrange(1, 60)
        books.append(ladder)
    bp = [source.randrange(0, 30) for _ in known]
    made = market(
        [(one, [(1, 1)], ladder) for one, ladder in zip(known, books, strict=True)],
        costs={one.name: fee for one, fee in zip(known, bp, strict=True)},
    )
    prices = [price * 0.01 * (1 + fee / 1e4) for ladder, fee in zip(books, bp, strict=True) for price, _ in ladder]
    bounds = [(0, size) for ladder in books for _, size in ladder]
    for size in (17, 4_321, 99_999):
        solved = optimize.linprog(prices, A_eq=[[1] * len(prices)], b_eq=[size], bounds=bounds, method="highs")
        route = made.route("buy", Decimal(size) / 1000)
        assert route.is_optimal
        assert route.total == pytest.approx(solved.fun / 1000, rel=1e-9)
