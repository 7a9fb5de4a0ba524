"""The maximum of a Hawkes likelihood: where to start, how to climb, what to do at the bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crossbook.errors import DataError

if TYPE_CHECKING:
    from crossbook._core import HawkesEvents
    from crossbook.study.series import Floats, Times

__all__ = ["Optimum", "maximise", "radius_gradient", "starting_decays"]

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

    def start(self) -> Floats:
        """Half of all events caused by others, the parts equal."""
        alpha = np.full(self.d**2 * self.c, 0.5 / (self.d * self.c))
        return np.concatenate([np.full(self.d, 0.5), alpha, [] if self.fixed else np.log(self.decays)])

    def bounds(self) -> list[tuple[float, float]]:
        beta = [] if self.fixed else [(float(np.log(1e-9)), float(np.log(1e11)))] * self.c
        return [(1e-6, 1e3)] * self.d + [(0.0, 1e3)] * (self.d**2 * self.c) + beta


def starting_decays(kernel: HawkesEvents, rates: Floats, times: Times, components: int) -> Floats:
    """The best of a few sets of decays around the events' own time scales, fitted with the decays kept."""
    from scipy.optimize import minimize

    gaps = np.diff(times)
    gaps = gaps[gaps > 0] * 1e-9
    if not gaps.size:
        raise DataError("events: expected at least two different times")
    low, middle = (float(np.quantile(gaps, q)) for q in (0.1, 0.5))
    mean = float(gaps.mean())
    scales = np.geomspace(1 / (10 * mean), max(1 / low, 10 / mean), 6)
    if components == 1:
        tried = [np.array([scale]) for scale in [*scales, 1 / middle]]
    else:
        spans = [(scales[0], scales[-1]), (scales[0], scales[3]), (scales[2], scales[-1])]
        tried = [np.geomspace(a, b, components) for a, b in spans]
    best, value = tried[0], np.inf
    for decays in tried:
        target = _Target(kernel, rates, decays, True)
        found = minimize(
            target, target.start(), jac=True, method="L-BFGS-B", bounds=target.bounds(), options={"maxiter": 15}
        )
        if found.fun < value:
            best, value = decays, found.fun
    return np.asarray(np.clip(best, 1e-8, 1e10))


def maximise(
    kernel: HawkesEvents,
    rates: Floats,
    decays: Floats,
    *,
    fixed_decays: bool,
    stationary: bool,
    near: Floats | None = None,
) -> Optimum:
    """Climb from these decays. L-BFGS-B, then Newton's steps on what lies inside the bounds.

    `near`: values close to the best, say of a part of the events: Newton's steps are tried from there at once.
    """
    from scipy.optimize import minimize

    target = _Target(kernel, rates, decays, fixed_decays)
    bounds = target.bounds()
    begin, converged = target.start(), False
    if near is not None:
        begin = target.coordinates(near)
        x, converged = _polish(target, begin, np.array(bounds))
    if not converged:
        options = {"maxiter": 500, "maxfun": 1000, "ftol": 1e-13, "gtol": 1e-7}
        found = minimize(target, begin, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        x, converged = _polish(target, found.x, np.array(bounds))
    values = target.values(x)
    d, c = target.d, target.c
    radius = radius_gradient(values[d:-c].reshape(d, d, c).sum(axis=2))[0]
    if not stationary or radius < 1:
        return Optimum(values, -target(x)[0] / target.scale, converged, False)

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
        bounds=bounds,
        constraints=[{"type": "ineq", "fun": room, "jac": slope}],
        options={"maxiter": 300, "ftol": 1e-12},
    )
    return Optimum(target.values(bound.x), -bound.fun / target.scale, bool(bound.success), True)


def _polish(target: _Target, x: Floats, bounds: Floats, steps: int = 8) -> tuple[Floats, bool]:
    """Newton's steps; the last gradient of what is free says whether a maximum was reached."""
    value, gradient = target(x)
    for _ in range(steps):
        at_bound = ((x <= bounds[:, 0] + 1e-12) & (gradient > 0)) | ((x >= bounds[:, 1] - 1e-12) & (gradient < 0))
        free = ~at_bound
        if not free.any() or np.abs(gradient[free]).max() < 1e-11:
            return x, True
        values = target.values(x)
        _, raw, hessian, _ = target.kernel.information(*target.split(values))
        size = x.size
        unit = np.ones(values.size)
        unit[: target.d] = target.rates
        unit[-target.c :] = values[-target.c :]
        curvature = -hessian * np.outer(unit, unit)
        # d²/d(ln β)² has β d/dβ besides β² d²/dβ².
        decay = np.arange(values.size - target.c, values.size)
        curvature[decay, decay] -= raw[decay] * values[decay]
        curvature = (curvature * target.scale)[:size, :size][np.ix_(free, free)]
        try:
            np.linalg.cholesky(curvature)
            step = np.linalg.solve(curvature, gradient[free])
        except np.linalg.LinAlgError:
            break
        for shrink in (1.0, 0.5, 0.1):
            moved = x.copy()
            moved[free] -= shrink * step
            moved = np.clip(moved, bounds[:, 0], bounds[:, 1])
            next_value, next_gradient = target(moved)
            if next_value <= value + 1e-15 * abs(value):
                break
        else:
            break
        small = np.abs(moved - x).max() < 1e-10
        x, value, gradient = moved, next_value, next_gradient
        if small:
            break
    at_bound = ((x <= bounds[:, 0] + 1e-12) & (gradient > 0)) | ((x >= bounds[:, 1] - 1e-12) & (gradient < 0))
    return x, bool(np.abs(gradient[~at_bound]).max(initial=0.0) < 1e-5)


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
