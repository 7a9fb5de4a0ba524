"""Microseconds of one `market.route` call over 8 books of 100 levels a side.

    python benches/python/route.py [--calls 2000] [--repeat 15]

Books as in `benches/rust/route.rs`: a level every 0.2 on average, sizes of up to 2. Each size is a share of all asks;
before the clock starts its total is compared with that of all levels sorted by net price. The median of so many runs of
so many calls; legs become Python objects when they are read, which is not timed.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import timeit
from fractions import Fraction

import crossbook as xb

FEES_BP = (1, 2, 1.5, 0)


def books(venues: int, depth: int, seed: int) -> list[list[tuple[int, int]]]:
    """Asks in 0.01 and 0.001."""
    source = random.Random(seed)
    made = []
    for _ in range(venues):
        price, ladder = 6_180_000 + source.randrange(200), []
        for _ in range(depth):
            price += 1 + source.randrange(40)
            ladder.append((price, 1 + source.randrange(2_000)))
        made.append(ladder)
    return made


def market(ladders: list[list[tuple[int, int]]]) -> xb.Market:
    def described(index: int) -> xb.Instrument:
        terms = {"venue": "binance-spot", "symbol": f"BTCUSDT-{index}", "contract": "spot", "lot": "0.001"}
        units = {"price_unit": "0.01", "size_unit": "0.001", "base": "BTC", "quote": "USDT", "settle": "USDT"}
        return xb.Instrument.from_json(json.dumps(terms | units))

    known = [described(index) for index in range(len(ladders))]
    made = xb.Market(known, costs=[FEES_BP[index % 4] for index in range(len(ladders))], record=False)
    for index, asks in enumerate(ladders):
        levels = [(1, *level) for level in asks] + [(0, 2 * asks[0][0] - price - 1, size) for price, size in asks]
        for row, (side, price, size) in enumerate(levels):
            last = row == len(levels) - 1
            made.apply_event(index, "level", side, price, size, ts_recv=10**18, snapshot=True, last=last)
    return made


def merged(ladders: list[list[tuple[int, int]]], size: int) -> float:
    """Cost of a size in 0.001, from all levels sorted by net price."""
    levels = sorted(
        (price * (1 + Fraction(str(FEES_BP[index % 4])) / 10_000), available)
        for index, ladder in enumerate(ladders)
        for price, available in ladder
    )
    cost, left = Fraction(0), size
    for price, available in levels:
        taken = min(left, available)
        cost, left = cost + price * taken, left - taken
    return float(cost / 100_000)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--repeat", type=int, default=15)
    given = parser.parse_args()
    ladders = books(8, 100, 7)
    made = market(ladders)
    total = sum(size for ladder in ladders for _, size in ladder)
    for percent in (0.1, 1, 10, 50):
        size = round(total * percent / 100)
        text = f"{size / 1000:.3f}"
        route = made.route("buy", text)
        assert route.is_optimal
        assert abs(route.total - merged(ladders, size)) < 1e-6, (route.total, merged(ladders, size))
        runs = timeit.repeat(lambda text=text: made.route("buy", text), number=given.calls, repeat=given.repeat)
        median = statistics.median(runs) / given.calls * 1e6
        print(f"{percent:>4} % of the depth, {text:>8} BTC, {len(route.legs)} legs: {median:6.2f} µs")


if __name__ == "__main__":
    main()
