"""Networks of pools: `crossbook.pools.route` beside cvxpy with Clarabel, on the same network, answers compared first.

    python benches/python/pools.py [--pools 1000] [--tokens 40]

The network is that of `benches/rust/pool.rs` (SplitMix64, seed 4): constant-product pools, off one set of prices by up
to 3 %. cvxpy is given the problem twice: *published*, as its authors' code has it, a variable and a `geo_mean`
constraint for each pool; and *vectorised*, the best form we know, all pools in one second-order cone constraint and
amounts in units of worth. Times are those of making the problem and of `Problem.solve`, compilation included; *solver*
is Clarabel's own part. Ours is the whole call from Python, from pools to whole amounts. Prints JSON: seconds, ratios,
relative differences of the values, and the duality gap of ours, which proves how far ours can be from the optimum.
"""

from __future__ import annotations

import argparse
import json
import warnings
from statistics import median
from time import perf_counter
from typing import Any

import cvxpy as cp
import numpy as np
import scipy.sparse as sp

from crossbook import pools

UNIT = 10**18
MASK = (1 << 64) - 1
GAMMA = 0.997


class SplitMix:
    def __init__(self, seed: int) -> None:
        self.state = seed

    def unit(self) -> float:
        self.state = (self.state + 0x9E37_79B9_7F4A_7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB) & MASK
        return ((z ^ (z >> 31)) >> 11) / (1 << 53)


def network(count: int, tokens: int) -> tuple[list[tuple[pools.ConstantProduct, int, int]], list[float]]:
    random = SplitMix(4)
    prices = [10 ** (2 * random.unit() - 1) for _ in range(tokens)]
    made = []
    for index in range(count):
        zero = index if index < tokens else int(random.unit() * tokens)
        step = 1 if index < tokens else 1 + int(random.unit() * (tokens - 1))
        one = (zero + step) % tokens
        size = 10 ** (2 + 2 * random.unit())
        off = 1 + 0.06 * (random.unit() - 0.5)
        reserves = (int(size / prices[zero] * 1e18), int(size / prices[one] * off * 1e18))
        made.append((pools.ConstantProduct(*reserves), zero, one))
    return made, prices


Answer = tuple[float, float, float]
"""Value, seconds of making and solving the problem, seconds of the solver alone."""


def solved(problem: cp.Problem, start: float, tolerance: float) -> Answer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an answer may be inaccurate: what it differs by is printed
        problem.solve(solver=cp.CLARABEL, tol_gap_abs=tolerance, tol_gap_rel=tolerance, tol_feas=tolerance)
    seconds = perf_counter() - start
    assert problem.status in {"optimal", "optimal_inaccurate"}, problem.status
    return float(problem.value), seconds, float(problem.solver_stats.solve_time)


def published(
    made: list[tuple[pools.ConstantProduct, int, int]],
    prices: list[float],
    values: list[float],
    holdings: list[float],
    tolerance: float = 1e-8,
) -> Answer:
    """Solve it as in angeris/cfmm-routing-code, arbitrage.py: tokens in units of 10^18."""
    start = perf_counter()
    del prices
    paid = [cp.Variable(2, nonneg=True) for _ in made]
    got = [cp.Variable(2, nonneg=True) for _ in made]
    net: Any = 0
    constraints = []
    for (pool, zero, one), into, out in zip(made, paid, got, strict=True):
        local = np.zeros((len(values), 2))
        local[zero, 0] = local[one, 1] = 1
        net = net + local @ (out - into)
        reserves = np.array(pool.reserves, dtype=float) / 1e18
        constraints.append(cp.geo_mean(reserves + GAMMA * into - out) >= np.sqrt(reserves.prod()))
    constraints.append(net + np.array(holdings) >= 0)
    return solved(cp.Problem(cp.Maximize(np.array(values) @ net), constraints), start, tolerance)


def vectorised(
    made: list[tuple[pools.ConstantProduct, int, int]],
    prices: list[float],
    values: list[float],
    holdings: list[float],
    tolerance: float = 1e-10,
) -> Answer:
    """Solve it with one cone constraint for all pools, amounts in units of 10^18 times the token's price."""
    start = perf_counter()
    worth = np.array(prices)
    ends = np.array([(zero, one) for _, zero, one in made])
    reserves = np.array([pool.reserves for pool, _, _ in made], dtype=float) / 1e18 * worth[ends]
    # Of the size of each pool, so that every cone is near 1.
    size = np.sqrt(reserves.prod(axis=1))
    reserves = reserves / size[:, None]
    count, tokens = len(made), len(prices)
    paid, got = cp.Variable((count, 2), nonneg=True), cp.Variable((count, 2), nonneg=True)
    after = reserves + GAMMA * paid - got
    # x y >= 1 as a second-order cone.
    cone = cp.SOC(after[:, 0] + after[:, 1], cp.vstack([np.full(count, 2.0), after[:, 0] - after[:, 1]]), axis=0)
    rows = ends.ravel()
    into = sp.csr_matrix((np.repeat(size, 2), (rows, np.arange(2 * count))), shape=(tokens, 2 * count))
    net = into @ cp.vec(got - paid, order="C")
    held = np.array(holdings) * worth
    problem = cp.Problem(cp.Maximize((np.array(values) / worth) @ net), [cone, net + held >= 0])
    return solved(problem, start, tolerance)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pools", type=int, default=1_000)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    made, prices = network(args.pools, args.tokens)
    cases: dict[str, dict[str, Any]] = {
        "arbitrage": {"values": dict(enumerate(prices))},
        "sale": {"holdings": {0: 1_000 * UNIT}, "into": 1},
    }
    found: dict[str, dict[str, Any]] = {}
    for name, case in cases.items():
        route = pools.route(made, **case)
        values = prices if name == "arbitrage" else [float(token == 1) for token in range(args.tokens)]
        holdings = [0.0] * args.tokens if name == "arbitrage" else [1_000.0, *[0.0] * (args.tokens - 1)]
        ours = []
        for _ in range(50):
            start = perf_counter()
            pools.route(made, **case)
            ours.append(perf_counter() - start)
        mine = median(ours)
        found[name] = {"crossbook_s": mine, "crossbook_relative_gap": route.gap / route.value}
        for form in (published, vectorised):
            runs = [form(made, prices, values, holdings) for _ in range(args.repeat)]
            difference = abs(route.value / 1e18 / runs[0][0] - 1)
            assert difference < 1e-5, f"{name}, {form.__name__}: {route.value / 1e18} and {runs[0][0]}"
            theirs, solver = median(run[1] for run in runs), median(run[2] for run in runs)
            found[name][form.__name__] = {
                "cvxpy_s": theirs,
                "solver_s": solver,
                "times_faster": theirs / mine,
                "times_faster_than_solver": solver / mine,
                "relative_difference": difference,
            }
    print(json.dumps({"pools": args.pools, "tokens": args.tokens, **found}, indent=1))


if __name__ == "__main__":
    main()
