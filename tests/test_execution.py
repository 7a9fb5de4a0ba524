"""Schedules: the published example of Almgren and Chriss, closed forms, and a numerical minimum beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.errors import DataError
from crossbook.study import almgren_chriss, efficient_frontier, obizhaeva_wang, schedule_cost

# Almgren & Chriss (2001), table 1: a million shares in five days, annual volatility 30 % of a price of 50.
MARKET = {"horizon": 5.0, "volatility": 0.95, "permanent": 2.5e-7, "temporary": 2.5e-6, "fixed": 1 / 16}


def test_the_published_schedule_and_its_cost() -> None:
    found = almgren_chriss(1e6, periods=5, risk_aversion=1e-6, **MARKET)
    # Computed independently from the paper's equations 7, 18 and 20 with these parameters.
    published = [1e6, 541955.55, 289854.22, 147897.49, 62141.80, 0.0]
    assert found["holding"].to_list() == pytest.approx(published, abs=0.005)
    assert found["expected_cost"][0] == pytest.approx(911226.98630, abs=1e-5)
    assert found["sold"].sum() == pytest.approx(1e6)
    assert found["half_life"][0] == pytest.approx(1 / math.acosh(0.9025e-6 / 2.375e-6 / 2 + 1))


def test_without_risk_aversion_it_is_a_straight_line_with_the_papers_cost() -> None:
    found = almgren_chriss(1e6, periods=5, **MARKET)
    assert found["holding"].to_list() == pytest.approx([1e6, 8e5, 6e5, 4e5, 2e5, 0])
    assert found["half_life"][0] is None
    # Equations 10 and 11: ½ γ X² + ε X + (η - ½ γ τ) X² / T, and σ² X² T (1 - 1/N) (1 - 1/(2N)) / 3.
    assert found["expected_cost"][0] == pytest.approx(0.5 * 2.5e-7 * 1e12 + 1e6 / 16 + 2.375e-6 * 1e12 / 5)
    assert found["variance"][0] == pytest.approx(0.9025 * 1e12 * 5 / 3 * (1 - 1 / 5) * (1 - 1 / 10))


@settings(max_examples=30)
@given(st.integers(2, 12), st.floats(1e-8, 1e-4), st.integers(0, 10**6))
def test_no_other_schedule_is_better(periods: int, risk_aversion: float, seed: int) -> None:
    found = almgren_chriss(1e6, periods=periods, risk_aversion=risk_aversion, **MARKET)
    best = found["expected_cost"][0] + risk_aversion * found["variance"][0]
    holdings = found["holding"].to_numpy().copy()
    holdings[1:-1] *= 1 + 0.05 * np.random.default_rng(seed).standard_normal(periods - 1)
    expected, variance = schedule_cost(holdings, **MARKET)
    assert expected + risk_aversion * variance >= best * (1 - 1e-12)


def test_extreme_risk_aversion_sells_at_once_and_does_not_overflow() -> None:
    found = almgren_chriss(1e6, periods=1000, risk_aversion=1e6, **MARKET)
    assert found["sold"][1] == pytest.approx(1e6, rel=1e-6)
    tiny = almgren_chriss(1e6, periods=5, risk_aversion=1e-25, **MARKET)
    assert tiny["holding"].to_list() == pytest.approx([1e6, 8e5, 6e5, 4e5, 2e5, 0])
    assert almgren_chriss(1e6, periods=1, risk_aversion=1e-6, **MARKET)["holding"].to_list() == [1e6, 0.0]


def test_the_frontier_trades_cost_against_risk() -> None:
    found = efficient_frontier(1e6, periods=5, **MARKET)
    assert found.height == 51
    assert found["expected_cost"].is_sorted()
    assert found["cost_sd"].is_sorted(descending=True)
    one = efficient_frontier(1e6, periods=5, risk_aversions=[1e-6], **MARKET).row(0, named=True)
    assert one["expected_cost"] == pytest.approx(911226.98630, abs=1e-5)
    # The slope of the frontier is the risk aversion: dE = -λ dV.
    near = efficient_frontier(1e6, periods=5, risk_aversions=[0.99e-6, 1.01e-6], **MARKET)
    assert -near["expected_cost"].diff()[1] / near["variance"].diff()[1] == pytest.approx(1e-6, rel=1e-3)


BOOK = {"horizon": 1.0, "depth": 5_000.0, "permanent": 1e-4, "resilience": 2.2}


def test_a_book_that_refills_is_taken_in_two_blocks_and_evenly_between() -> None:
    found = obizhaeva_wang(1e5, periods=10, **BOOK)
    a = math.exp(-0.22)
    block = 1e5 / (9 * (1 - a) + 2)
    assert found["sold"].to_list() == pytest.approx([block] + [block * (1 - a)] * 9 + [block])
    assert found["holding"][-1] == 0.0
    # Proposition 3: the limit of ever more trades has blocks of X / (ρT + 2).
    fine = obizhaeva_wang(1e5, periods=20_000, **BOOK)
    assert fine["sold"][0] == pytest.approx(1e5 / 4.2, rel=1e-4)
    assert fine["expected_cost"][0] == pytest.approx(fine["continuous_cost"][0], rel=1e-6)
    assert fine["continuous_cost"][0] == pytest.approx(0.5 * 1e-4 * 1e10 + 1e-4 * 1e10 / 4.2)
    assert fine["expected_cost"][0] < found["expected_cost"][0]


def walk(trades: np.ndarray, tau: float) -> float:
    """The cost by going through the book trade by trade: price shift, half of one's own, decay."""
    cost = stays = passing = 0.0
    for x in trades:
        cost += x * (stays + passing + x / 5_000 / 2)
        stays += 1e-4 * x
        passing = (passing + (1 / 5_000 - 1e-4) * x) * math.exp(-2.2 * tau)
    return cost


@settings(max_examples=30)
@given(st.integers(1, 12), st.floats(0, 1e-3), st.integers(0, 10**6))
def test_its_cost_is_that_of_walking_the_book_and_the_least(periods: int, risk_aversion: float, seed: int) -> None:
    options = BOOK | {"volatility": 2.0, "risk_aversion": risk_aversion}
    found = obizhaeva_wang(1e5, periods=periods, **options)
    sold = found["sold"].to_numpy()
    assert sold.sum() == pytest.approx(1e5)
    assert found["expected_cost"][0] == pytest.approx(walk(sold, 1 / periods))
    held = 1e5 - np.cumsum(sold)[:-1]
    assert found["variance"][0] == pytest.approx(4 / periods * held @ held, abs=1e-3)
    other = sold + 1000 * np.random.default_rng(seed).standard_normal(periods + 1)
    other *= 1e5 / other.sum()
    kept = 1e5 - np.cumsum(other)[:-1]
    best = found["expected_cost"][0] + risk_aversion * found["variance"][0]
    assert walk(other, 1 / periods) + risk_aversion * 4 / periods * kept @ kept >= best * (1 - 1e-9)


def test_values_out_of_range_are_typed_errors() -> None:
    for changed, expected in [
        ({"shares": 0}, "shares"),
        ({"periods": 0}, "periods"),
        ({"horizon": -1}, "horizon"),
        ({"volatility": math.nan}, "volatility"),
        ({"risk_aversion": -1}, "risk_aversion"),
        ({"temporary": 1e-8}, "shorter periods"),
    ]:
        options = MARKET | {"shares": 1e6, "periods": 5} | changed
        with pytest.raises(DataError, match=expected):
            almgren_chriss(options.pop("shares"), **options)
    for changed, expected in [
        ({"permanent": 2e-4}, "below 1 / depth"),
        ({"resilience": 0}, "resilience"),
        ({"risk_aversion": 1, "volatility": 1, "periods": 3000}, "1 to 2,000"),
    ]:
        with pytest.raises(DataError, match=expected):
            obizhaeva_wang(1e5, **({"periods": 10} | BOOK | changed))
    for holdings in ([1.0], [1.0, math.nan], []):
        with pytest.raises(DataError, match="holdings"):
            schedule_cost(holdings, **MARKET)
