"""The maximum of a Hawkes likelihood: where to start, how to climb, what to do at the bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crossbook.errors import DataError

if TYPE_CHECKING:
    from crossbook._core import HawkesEvents
    from crossbook.study.series import Floats, Times

__all__ = ["Optimum", "maximise", "radius_gradient", "starting_values"]

LEAST_DECAY, MOST_DECAY = 1e-9, 1e11
"""Bounds of the search, per second: 30 years to a hundredth of a nanosecond."""
_RADIUS = 1 - 1e-6
"""A constrained process is kept so far from the edge of explosion."""


class Optimum(NamedTuple):
    """Where the search ended."""

    values: Floats
    """Baseline, adjacency, decays."""
    log_likelihood: float
    converged: bool
    constrained: bool


class _Target:
    """Minus the log-likelihood an event, in coordinates of one size: μ over the rates, α, ln β."""

    def __init__(self, kernel: HawkesEvents, rates: Floats, decays: Floats, fixed: bool) -> None:
        self.kernel, self.rates, self.decays, self.fixed = kernel, rates, decays, fixed
        self.d, self.c = rates.size, decays.size
        self.scale = 1.0 / max(len(kernel), 1)

    def values(self, x: Floats) -> Floats:
        d = self.d
        beta = self.decays if self.fixed else np.exp(x[-self.c :])
        alpha = x[d:] if self.fixed else x[d : -self.c]
        return np.concatenate([x[:d] * self.rates, alpha, beta])

    def coordinates(self, values: Floats) -> Floats:
        d, c = self.d, self.c
        return np.concatenate([values[:d] / self.rates, values[d:-c], [] if self.fixed else np.log(values[-c:])])

    def split(self, values: Floats) -> tuple[Floats, Floats, Floats]:
        d, c = self.d, self.c
        return values[:d].copy(), values[d:-c].copy(), values[-c:].copy()

    def __call__(self, x: Floats) -> tuple[float, Floats]:
        values = self.values(x)
        value, gradient = self.kernel.log_likelihood(*self.split(values))
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return 1e300, np.zeros(x.size)
        gradient[: self.d] *= self.rates
        gradient[-self.c :] *= values[-self.c :]
        gradient = gradient[: x.size]
        return -value * self.scale, -gradient * self.scale

    def curvature(self, x: Floats) -> Floats:
        """Second derivatives in these coordinates."""
        values = self.values(x)
        _, raw, hessian, _ = self.kernel.information(*self.split(values))
        unit = np.ones(values.size)
        unit[: self.d] = self.rates
        unit[-self.c :] = values[-self.c :]
        found = -hessian * np.outer(unit, unit)
        # d²/d(ln β)² is β² d²/dβ² and β d/dβ besides.
        decay = np.arange(values.size - self.c, values.size)
        found[decay, decay] -= raw[decay] * values[decay]
        return np.asarray(found[: x.size, : x.size] * self.scale)

    def start(self) -> Floats:
        """Half of all events caused by others, the parts equal."""
        alpha = np.full(self.d**2 * self.c, 0.5 / (self.d * self.c))
        return np.concatenate([np.full(self.d, 0.5), alpha, [] if self.fixed else np.log(self.decays)])

    def bounds(self) -> list[tuple[float, float]]:
        beta = [] if self.fixed else [(float(np.log(LEAST_DECAY)), float(np.log(MOST_DECAY)))] * self.c
        return [(1e-6, 1e3)] * self.d + [(0.0, 1e3)] * (self.d**2 * self.c) + beta


def starting_values(kernel: HawkesEvents, rates: Floats, times: Times, components: int) -> Floats:
    """The best of the optima reached from several sets of decays, over the events' own time scales.

    The likelihood has local maxima in the decays: on a real pair two components settled at 12 and 318 per second from
    one start and, with 1,737 more of log-likelihood, at 45 and 322,316 from another.
    """
    gaps = np.diff(times)
    gaps = gaps[gaps > 0] * 1e-9
    if not gaps.size:
        raise DataError("events: expected at least two different times")
    low, middle = (float(np.quantile(gaps, q)) for q in (0.01, 0.5))
    mean = float(gaps.mean())
    scales = np.geomspace(1 / (10 * mean), max(1 / low, 10 / mean), 6)
    if components == 1:
        tried = [np.array([scale]) for scale in [*scales, 1 / middle]]
    else:
        pairs = [(a, b) for i, a in enumerate(scales) for b in scales[i + 1 :]]
        tried = [np.geomspace(a, b, components) for a, b in pairs]
    found = [
        maximise(kernel, rates, np.clip(decays, 1e-8, 1e10), fixed_decays=False, stationary=False) for decays in tried
    ]
    return max(found, key=lambda optimum: optimum.log_likelihood).values


def maximise(
    kernel: HawkesEvents,
    rates: Floats,
    decays: Floats,
    *,
    fixed_decays: bool,
    stationary: bool,
    near: Floats | None = None,
) -> Optimum:
    """Climb from these decays, or from `near`, values close to the best, say of a part of the events.

    No library's optimiser does it faster: linear algebra of ten rows in many threads took them 50 times as long as the
    likelihood of 10,000 events. Only the constraint on the spectral radius is left to one.
    """
    target = _Target(kernel, rates, decays, fixed_decays)
    begin = target.start() if near is None else target.coordinates(near)
    x, _, converged = _climb(target, begin, 100)
    values = target.values(x)
    d, c = target.d, target.c
    radius = radius_gradient(values[d:-c].reshape(d, d, c).sum(axis=2))[0]
    if not stationary or radius < 1:
        return Optimum(values, -target(x)[0] / target.scale, converged, False)

    from scipy.optimize import minimize

    def room(x: Floats) -> float:
        return float(_RADIUS - radius_gradient(x[d : d + d * d * c].reshape(d, d, c).sum(axis=2))[0])

    def slope(x: Floats) -> Floats:
        full = np.zeros(x.size)
        _, gradient = radius_gradient(x[d : d + d * d * c].reshape(d, d, c).sum(axis=2))
        full[d : d + d * d * c] = -np.repeat(gradient.ravel(), c)
        return full

    begin = x.copy()
    begin[d : d + d * d * c] *= 0.95 / radius
    bound = minimize(
        target,
        begin,
        jac=True,
        method="SLSQP",
        bounds=target.bounds(),
        constraints=[{"type": "ineq", "fun": room, "jac": slope}],
        options={"maxiter": 300, "ftol": 1e-12},
    )
    return Optimum(target.values(bound.x), -bound.fun / target.scale, bool(bound.success), True)


def _climb(target: _Target, x: Floats, steps: int) -> tuple[Floats, float, bool]:
    """Newton's steps on the exact second derivatives, within the bounds, damped where they do not help.

    What lies at a bound and would leave it stays (Bertsekas 1982, "Projected Newton methods", SIAM Journal on Control
    and Optimization 20(2)); the damping is Levenberg and Marquardt's. Gives the place, the value, and whether the
    gradient of what is free vanishes there.
    """
    low, high = np.array(target.bounds()).T
    value, gradient = target(x)
    damping = 1e-6
    for _ in range(steps):
        free = _free(x, gradient, low, high)
        if not free.any() or np.abs(gradient[free]).max() < 1e-11:
            break
        curvature = target.curvature(x)[np.ix_(free, free)]
        scale = np.maximum(np.abs(np.diag(curvature)), 1e-12)
        moved = x
        while damping < 1e9:
            try:
                np.linalg.cholesky(curvature + np.diag(damping * scale))
            except np.linalg.LinAlgError:
                damping = max(damping * 10, 1e-3)
                continue
            step = np.zeros(x.size)
            step[free] = np.linalg.solve(curvature + np.diag(damping * scale), gradient[free])
            moved = np.clip(x - np.clip(step, -3.0, 3.0), low, high)
            next_value, next_gradient = target(moved)
            # At the top differences are rounding: an equal value is a step too.
            if next_value <= value + 1e-15 * abs(value):
                break
            damping *= 10
        else:
            break
        still = np.abs(moved - x).max() < 1e-9
        x, value, gradient = moved, next_value, next_gradient
        damping = max(damping / 10, 1e-12)
        if still:
            break
    free = _free(x, gradient, low, high)
    return x, value, bool(np.abs(gradient[free]).max(initial=0.0) < 1e-6)


def _free(x: Floats, gradient: Floats, low: Floats, high: Floats) -> np.ndarray:
    return ~(((x <= low + 1e-12) & (gradient > 0)) | ((x >= high - 1e-12) & (gradient < 0)))


def radius_gradient(matrix: Floats) -> tuple[float, Floats]:
    """The spectral radius of a matrix without negative entries, and its derivative by each entry.

    By Perron and Frobenius the radius is itself an eigenvalue ``ρ``, with vectors ``v`` (left) and ``w`` (right) that
    are not negative: ``∂ρ/∂A_ij = v_i w_j / v·w``. Where the eigenvalue is defective (``v·w = 0``) the derivative does
    not exist and is given as NaN.
    """
    values, right = np.linalg.eig(matrix)
    at = int(np.argmax(values.real))
    w = np.abs(right[:, at])
    values, left = np.linalg.eig(matrix.T)
    at_left = int(np.argmax(values.real))
    v = np.abs(left[:, at_left])
    radius, product = float(values[at_left].real), float(v @ w)
    if product < 1e-12:
        return radius, np.full(matrix.shape, np.nan)
    return max(radius, 0.0), np.outer(v, w) / product
