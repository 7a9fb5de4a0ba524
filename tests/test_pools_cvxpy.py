"""Routes through networks of pools against a convex solver: cvxpy with Clarabel."""

from __future__ import annotations

import warnings

import cvxpy as cp
import numpy as np
import pytest
import scipy.sparse as sp

from crossbook import pools

UNIT = 10**18
GAMMA = 0.997

Network = list[tuple[pools.ConstantProduct, int, int]]


def network(rng: np.random.Generator, count: int, tokens: int) -> tuple[Network, np.ndarray]:
    """Pools off one set of prices by up to 10 %, every token in a ring of them."""
    prices = 10 ** rng.uniform(-1, 1, tokens)
    made = []
    for index in range(count):
        zero = index % tokens if index < tokens else int(rng.integers(tokens))
        one = (zero + (1 if index < tokens else int(rng.integers(1, tokens)))) % tokens
        size = 10 ** rng.uniform(2, 3)
        reserves = size / prices[zero], size / prices[one] * (1 + rng.uniform(-0.1, 0.1))
        made.append((pools.ConstantProduct(*(int(reserve * 1e18) for reserve in reserves)), zero, one))
    return made, prices


def optimum(made: Network, prices: np.ndarray, values: np.ndarray, holdings: np.ndarray) -> float:
    """The optimum of the problem as it is stated (Angeris et al., 2022), amounts in units of worth, pools of size 1."""
    ends = np.array([(zero, one) for _, zero, one in made])
    reserves = np.array([pool.reserves for pool, _, _ in made], dtype=float) / 1e18 * prices[ends]
    size = np.sqrt(reserves.prod(axis=1))
    reserves /= size[:, None]
    paid, got = cp.Variable(reserves.shape, nonneg=True), cp.Variable(reserves.shape, nonneg=True)
    after = reserves + GAMMA * paid - got
    # x y >= 1 as a second-order cone.
    cone = cp.SOC(after[:, 0] + after[:, 1], cp.vstack([np.full(len(made), 2.0), after[:, 0] - after[:, 1]]), axis=0)
    into = sp.csr_matrix((np.repeat(size, 2), (ends.ravel(), np.arange(ends.size))), shape=(len(prices), ends.size))
    net = into @ cp.vec(got - paid, order="C")
    problem = cp.Problem(cp.Maximize((values / prices) @ net), [cone, net + holdings * prices >= 0])
    with warnings.catch_warnings():
        # It says so where it stops short of 10^-10; what it has then is still good for the comparison below.
        warnings.filterwarnings("ignore", message="Solution may be inaccurate")
        problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    assert problem.status in {"optimal", "optimal_inaccurate"}
    return float(problem.value)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("count", "tokens"), [(3, 2), (12, 4), (60, 10)])
def test_a_route_is_worth_what_the_convex_solver_finds(count: int, tokens: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    made, prices = network(rng, count, tokens)
    basket = np.where(rng.random(tokens) < 0.5, rng.uniform(1, 50, tokens) / prices, 0.0)
    basket[0], basket[1] = 20 / prices[0], 0.0
    held = {token: int(amount * 1e18) for token, amount in enumerate(basket)}
    sale = pools.route(made, holdings=held, into=1)
    expected = optimum(made, prices, np.eye(tokens)[1], basket)
    assert sale.value / 1e18 == pytest.approx(expected, rel=1e-9)
    assert abs(sale.gap) <= 1e-12 * sale.value
    arbitrage = pools.route(made, values=dict(enumerate(prices)))
    expected = optimum(made, prices, prices, np.zeros(tokens))
    assert arbitrage.value / 1e18 == pytest.approx(expected, rel=1e-9)
    assert abs(arbitrage.gap) <= 1e-12 * arbitrage.value
