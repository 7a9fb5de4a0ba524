"""Schedules for selling a position: Almgren and Chriss, Obizhaeva and Wang, their costs and the efficient frontier."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checked import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossbook.study.series import Floats

__all__ = ["almgren_chriss", "efficient_frontier", "obizhaeva_wang", "schedule_cost"]

MOST_PERIODS = 100_000


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise DataError(f"{name}: expected a number above 0, found {value}")


def _not_negative(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise DataError(f"{name}: expected a number of 0 or more, found {value}")


def _periods(periods: int, most: int = MOST_PERIODS) -> None:
    if not 1 <= periods <= most:
        raise DataError(f"periods: expected 1 to {most:,}, found {periods}")


@checked
def schedule_cost(
    holdings: Sequence[float] | Floats,
    /,
    *,
    horizon: float,
    volatility: float,
    permanent: float,
    temporary: float,
    fixed: float = 0.0,
) -> tuple[float, float]:
    """Expected cost of a schedule, and its variance, with linear impact (currency, currency²).

    `holdings` after 0, 1, … N periods of equal length ``τ = horizon / N``; ``n_k`` what is sold in period k. ``E = ½ γ
    X² + ε Σ|n_k| + (η - γτ/2)/τ Σ n_k²`` and ``V = σ² τ Σ_{k=1}^N x_k²`` (Almgren & Chriss 2001, equations 7 and 8 with
    linear impact), `permanent` γ (price per share), `temporary` η (price per share a unit of time), `fixed` ε (half the
    spread plus fees), `volatility` σ (price a root of a unit of time). What is left at the end is not sold. Raises
    `DataError` for fewer than two holdings or values out of range.
    """
    _positive(horizon=horizon)
    _not_negative(volatility=volatility, permanent=permanent, temporary=temporary, fixed=fixed)
    x = np.asarray(holdings, dtype=np.float64)
    if x.ndim != 1 or x.size < 2 or not np.isfinite(x).all():
        raise DataError(f"holdings: expected two or more finite numbers, found {x.size}")
    tau = horizon / (x.size - 1)
    sold = -np.diff(x)
    # Σ γ x_k n_k = ½ γ (x_0² - x_N² - Σ n²), which is the paper's form where nothing is left.
    expected = 0.5 * permanent * float(x[0] ** 2 - x[-1] ** 2 - sold @ sold) + fixed * float(np.abs(sold).sum())
    expected += temporary / tau * float(sold @ sold)
    return expected, volatility**2 * tau * float(x[1:] @ x[1:])


@checked
def almgren_chriss(
    shares: float,
    /,
    *,
    periods: int,
    horizon: float,
    volatility: float,
    permanent: float,
    temporary: float,
    fixed: float = 0.0,
    risk_aversion: float = 0.0,
) -> pl.DataFrame:
    """The schedule of least expected cost plus `risk_aversion` times its variance, with linear impact.

    ``x_j = X sinh(κ (T - t_j)) / sinh(κT)`` with ``κ = arccosh(κ̃² τ² / 2 + 1) / τ``, ``κ̃² = λσ² / η̃``, ``η̃ = η -
    γτ/2``; a straight line without risk aversion. Parameters as in `schedule_cost`, `risk_aversion` λ per currency,
    units of time free (days in the paper). A row a time from 0: ``period, time, holding, sold`` (in the period that
    ends there, 0 at first), and constant ``expected_cost, variance, half_life`` (``1/κ``, time in which the trade's
    remaining fraction falls by e; null for a straight line). Raises `DataError` for values out of range, or ``η̃`` not
    above 0 (the schedule would have no minimum: shorter periods). Almgren & Chriss (2001), "Optimal execution of
    portfolio transactions", Journal of Risk 3(2).
    """
    _positive(shares=shares, horizon=horizon, temporary=temporary)
    _not_negative(volatility=volatility, permanent=permanent, fixed=fixed, risk_aversion=risk_aversion)
    _periods(periods)
    tau = horizon / periods
    adjusted = temporary - permanent * tau / 2
    if adjusted <= 0:
        raise DataError(f"expected temporary above permanent · τ / 2 = {permanent * tau / 2:g}: shorter periods")
    times = tau * np.arange(periods + 1)
    curvature = risk_aversion * volatility**2 / adjusted
    if curvature > 0:
        # arccosh(1 + y) without losing a small y.
        y = curvature * tau**2 / 2
        kappa = math.log1p(y + math.sqrt(y * (y + 2))) / tau
        left = kappa * (horizon - times)
        # sinh(a) / sinh(b) by exponentials that do not overflow.
        holding = shares * np.exp(-kappa * times) * np.expm1(-2 * left) / math.expm1(-2 * kappa * horizon)
    else:
        kappa, holding = 0.0, shares * (1 - times / horizon)
    holding[0], holding[-1] = shares, 0.0
    expected, variance = schedule_cost(
        holding, horizon=horizon, volatility=volatility, permanent=permanent, temporary=temporary, fixed=fixed
    )
    return _schedule(times, holding, np.append(0.0, -np.diff(holding))).with_columns(
        expected_cost=pl.lit(expected),
        variance=pl.lit(variance),
        half_life=pl.lit(1 / kappa if kappa > 0 else None, pl.Float64),
    )


def _schedule(times: np.ndarray, holding: Floats, sold: Floats) -> pl.DataFrame:
    return pl.DataFrame({"period": np.arange(times.size), "time": times, "holding": holding, "sold": sold})


@checked
def efficient_frontier(
    shares: float,
    /,
    *,
    periods: int,
    horizon: float,
    volatility: float,
    permanent: float,
    temporary: float,
    fixed: float = 0.0,
    risk_aversions: Sequence[float] | None = None,
) -> pl.DataFrame:
    """The least expected cost at each risk: `almgren_chriss` over risk aversions.

    By default 0 and 50 values about ``η̃ / (σ T)²`` that take the schedule from a straight line to nearly all at once; 0
    alone where `volatility` is 0.
    A row a risk aversion: ``risk_aversion, expected_cost, cost_sd, variance, half_life``. Errors as in
    `almgren_chriss`.
    """
    _positive(horizon=horizon, temporary=temporary)
    if risk_aversions is None:
        _not_negative(volatility=volatility)
        _periods(periods)
        # Without volatility there is no risk to avoid, and one schedule.
        base = temporary / volatility**2 / horizon**2 if volatility > 1e-150 else 0.0
        powers = np.logspace(-2, 2 + 2 * math.log10(periods), 50) if base > 0 else np.empty(0)
        risk_aversions = [0.0, *(base * powers).tolist()]
    rows = []
    for value in risk_aversions:
        row = almgren_chriss(
            shares,
            periods=periods,
            horizon=horizon,
            volatility=volatility,
            permanent=permanent,
            temporary=temporary,
            fixed=fixed,
            risk_aversion=value,
        ).row(0, named=True)
        cost = row["expected_cost"], math.sqrt(row["variance"]), row["variance"], row["half_life"]
        rows.append((float(value), *cost))
    names = ("risk_aversion", "expected_cost", "cost_sd", "variance", "half_life")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Float64), orient="row")


@checked
def obizhaeva_wang(
    shares: float,
    /,
    *,
    periods: int,
    horizon: float,
    depth: float,
    permanent: float,
    resilience: float,
    volatility: float = 0.0,
    risk_aversion: float = 0.0,
) -> pl.DataFrame:
    """The schedule of least cost in a book that refills: trades at times 0, T/N, … T.

    A book of `depth` q shares per unit of price on the side taken: a trade of x moves the price by ``x / q``, of which
    `permanent` λ (price per share, below ``1/q``) stays and the rest, ``κ = 1/q - λ``, decays at `resilience` ρ. The
    cost over the price at the start is ``½ λ X² + ½ κ Σ_ij x_i x_j e^(-ρ|t_i - t_j|)``, and with risk aversion plus
    ``risk_aversion · σ² Σ τ x_k²`` of what is held after each trade (a quadratic minimum, solved as such; trades may
    change sign). Without it ``x_0 = x_N = X / ((N - 1)(1 - a) + 2)``, ``a = e^(-ρτ)``, the others ``x_0 (1 - a)``; as N
    grows, a block of ``X / (ρT + 2)`` at either end, ``ρX / (ρT + 2)`` a unit of time between, and a cost of ``½ λ X² +
    κ X² / (ρT + 2)``.

    A row a trade: ``period, time, holding`` (after it), ``sold``, and constant ``expected_cost, variance,
    continuous_cost`` (the limit without risk aversion). Raises `DataError` for values out of range, λ not below
    ``1/q``, or more than 2,000 periods with risk aversion. Obizhaeva & Wang (2013), "Optimal trading strategy and
    supply/demand dynamics", Journal of Financial Markets 16(1), propositions 2 and 3 without the spread, which costs
    the same in all.
    """
    _positive(shares=shares, horizon=horizon, depth=depth, resilience=resilience)
    _not_negative(permanent=permanent, volatility=volatility, risk_aversion=risk_aversion)
    risk = risk_aversion * volatility**2
    _periods(periods, 2_000 if risk > 0 else MOST_PERIODS)
    transient = 1 / depth - permanent
    if transient <= 0:
        raise DataError(f"permanent: expected below 1 / depth = {1 / depth:g}, found {permanent}")
    tau = horizon / periods
    times = tau * np.arange(periods + 1)
    gain = -math.expm1(-resilience * tau)
    sold = np.full(periods + 1, gain)
    sold[0] = sold[-1] = 1.0
    sold *= shares / sold.sum()
    if risk > 0:
        gaps = np.abs(times[:, None] - times[None, :])
        # What is held after trade k, for k < N: X less the trades to k.
        held = np.tril(np.ones((periods, periods + 1)))
        matrix = transient * np.exp(-resilience * gaps) + 2 * risk * tau * (held.T @ held)
        pull = 2 * risk * tau * shares * held.sum(axis=0)
        solved = np.linalg.solve(matrix, np.column_stack([pull, np.ones(periods + 1)]))
        sold = solved[:, 0] + solved[:, 1] * (shares - solved[:, 0].sum()) / solved[:, 1].sum()
    holding = shares - np.cumsum(sold)
    holding[-1] = 0.0
    # Σ_ij x_i x_j a^|i-j| by its recursion.
    decay, carried, double = 1 - gain, 0.0, 0.0
    for x in sold.tolist():
        double += x * (x + 2 * decay * carried)
        carried = decay * carried + x
    expected = 0.5 * permanent * shares**2 + 0.5 * transient * double
    limit = 0.5 * permanent * shares**2 + transient * shares**2 / (resilience * horizon + 2)
    variance = volatility**2 * tau * float(holding[:-1] @ holding[:-1])
    return _schedule(times, holding, sold).with_columns(
        expected_cost=pl.lit(expected), variance=pl.lit(variance), continuous_cost=pl.lit(limit)
    )
