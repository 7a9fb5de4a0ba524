"""The Ornstein-Uhlenbeck process: fitted exactly at irregular times, and the best levels to trade it at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.checks import checked, number_column, whole_array
from crossbook.study.checks import times as whole_times

if TYPE_CHECKING:
    from crossbook.study.series import Floats

__all__ = ["bertram", "fit_ou", "fit_transitions", "simulate_ou", "zeng_lee"]

SCHEMA = {
    "observations": pl.Int64,
    "seconds": pl.Float64,
    "mean": pl.Float64,
    "mean_lo": pl.Float64,
    "mean_hi": pl.Float64,
    "speed": pl.Float64,
    "speed_se": pl.Float64,
    "speed_lo": pl.Float64,
    "speed_hi": pl.Float64,
    "sigma": pl.Float64,
    "half_life_ms": pl.Float64,
    "half_life_lo_ms": pl.Float64,
    "half_life_hi_ms": pl.Float64,
    "log_likelihood": pl.Float64,
    "status": pl.String,
}


@checked
def fit_ou(
    frame: pl.DataFrame, /, *, time: str = "ts", value: str = "basis_bp", mean: float | None = None, level: float = 0.95
) -> pl.DataFrame:
    """Fit ``dX = θ (m - X) dt + σ dW`` to observations at irregular times by exact maximum likelihood.

    From one observation to the next, ``Δ`` seconds later, `X` is normal with mean ``m + (x - m) e^(-θΔ)`` and variance
    ``σ² (1 - e^(-2θΔ)) / 2θ``; no step of time is assumed. `m` (unless `mean` is given) and ``σ²`` have closed forms
    given ``θ``, which is searched on a line. Assumption: observations *are* the process. A mid observed at every change
    carries bounce and rounding, and times of change depend on the moves; both make reversion look faster: sample first
    (`crossbook.study.sample_pair`) and see whether the half-life stays.

    `frame`: columns `time` (ns, ascending; of several at one time the last holds) and `value`; null and NaN are left
    out. Returns one row: ``observations, seconds, mean, mean_lo, mean_hi, speed`` (``θ``, per second), ``speed_se,
    speed_lo, speed_hi, sigma`` (per square root of a second), ``half_life_ms = ln 2 / θ`` with ``half_life_lo_ms,
    half_life_hi_ms, log_likelihood, status``. The interval of ``θ`` at `level` is where the profile likelihood lies
    within half the quantile of χ² of one degree; its upper end may be null (half-life down to 0) and its lower end 0
    (half-life null, unbounded). ``θ`` is biased upwards by about ``4 / T`` (Yu 2012, "Bias in the estimation of the
    mean reversion parameter in continuous time models", Journal of Econometrics 169), so the interval covers less than
    it says where the time spans fewer than some 50 half-lives. ``status``: ``ok``; ``no reversion`` if ``θ`` at its
    best is that of a random walk over the whole time (half-life null); ``faster than sampling`` if observations are
    uncorrelated.

    Raises `DataError` for fewer than three observations, unsorted times, infinite values or values that do not move.
    """
    times, values = observations(frame, time, value)
    return fit_transitions(_core.OuTransitions(times, values), mean=mean, level=level)


def observations(frame: pl.DataFrame, time: str, value: str) -> tuple[np.ndarray, Floats]:
    """Columns as the kernels take them: strictly ascending times, finite values."""
    if missing := {time, value} - set(frame.columns):
        raise DataError(f"expected columns {time} and {value}, missing {sorted(missing)}")
    if frame[time].dtype != pl.Null and frame[time].null_count():
        frame = frame.filter(pl.col(time).is_not_null())
    moments, found = whole_times(frame[time], "observations"), number_column(frame, value, "observations")
    rows = pl.DataFrame({"t": moments, "v": found.cast(pl.Float64)}).drop_nulls()
    if not rows["t"].is_sorted():
        raise DataError(f"expected ascending times in {time}")
    rows = rows.unique("t", keep="last", maintain_order=True)
    if rows.height < 3:
        raise DataError(f"expected at least three observations of {value}, found {rows.height}")
    return rows["t"].to_numpy(), rows["v"].to_numpy()


def fit_transitions(rows: _core.OuTransitions, /, *, mean: float | None = None, level: float = 0.95) -> pl.DataFrame:
    """`fit_ou` of transitions: the kernel's own, so that those from one region alone can be fitted."""
    from scipy.optimize import brentq, minimize_scalar
    from scipy.stats import chi2, norm

    if not 0 < level < 1:
        raise DataError(f"expected a level between 0 and 1, found {level}")
    if len(rows) < 2:
        raise DataError(f"expected at least two transitions, found {len(rows)}")
    seconds = rows.seconds
    step = seconds / len(rows)
    # From a random walk over the whole time to noise between two observations.
    low, high = math.log(1e-3 / seconds), math.log(40.0 / step)

    def height(x: float) -> float:
        return rows.profile(math.exp(x), mean)[0]

    grid = np.linspace(low, high, 40)
    heights = [height(x) for x in grid]
    best = int(np.argmax(heights))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)])
    found = minimize_scalar(lambda x: -height(x), bounds=around, method="bounded", options={"xatol": 1e-9})
    x, top = float(found.x), -float(found.fun)
    drop = top - float(chi2.ppf(level, 1)) / 2

    def crossing(inner: float, outer: float) -> float | None:
        return float(brentq(lambda x: height(x) - drop, inner, outer)) if height(outer) < drop else None

    lower, upper = crossing(x, low), crossing(x, high)
    status = "ok"
    if x < low + 0.5 or top - heights[0] < 1e-6:
        status = "no reversion"
    elif x > high - 0.5 or top - heights[-1] < 1e-6:
        status = "faster than sampling"
    speed = math.exp(x)
    _, centre, variance = rows.profile(speed, mean)
    information = np.array(rows.information(speed, centre, variance)).reshape(3, 3)
    kept = [0, 2] if mean is not None else [0, 1, 2]
    part = information[np.ix_(kept, kept)]
    scale = np.sqrt(np.diag(part))
    errors = np.full(3, np.nan)
    if (scale > 0).all() and np.linalg.cond(part / np.outer(scale, scale)) < 1e12:
        errors[kept] = np.sqrt(np.diag(np.linalg.inv(part / np.outer(scale, scale)))) / scale
    z = float(norm.ppf(0.5 + level / 2))
    half = math.log(2) * 1e3
    reverts = status == "ok"
    margin = float(errors[1]) * z if reverts and np.isfinite(errors[1]) else None
    row = {
        "observations": len(rows) + 1,
        "seconds": seconds,
        "mean": centre if reverts or mean is not None else None,
        "mean_lo": None if margin is None else centre - margin,
        "mean_hi": None if margin is None else centre + margin,
        "speed": speed if reverts else None,
        "speed_se": float(errors[0]) if reverts and np.isfinite(errors[0]) else None,
        "speed_lo": 0.0 if lower is None else math.exp(lower),
        "speed_hi": None if upper is None else math.exp(upper),
        "sigma": math.sqrt(variance) if status != "faster than sampling" else None,
        "half_life_ms": half / speed if reverts else None,
        "half_life_lo_ms": 0.0 if upper is None else half / math.exp(upper),
        "half_life_hi_ms": None if lower is None else half / math.exp(lower),
        "log_likelihood": top,
        "status": status,
    }
    return pl.DataFrame([row], schema=SCHEMA)


@checked
def simulate_ou(
    times: np.ndarray, /, *, speed: float, mean: float, sigma: float, first: float | None = None, seed: int = 0
) -> pl.DataFrame:
    """Simulate the process exactly at given times (ns, strictly ascending): ``ts, value``.

    From `first`, or a draw of the stationary law ``N(mean, σ² / 2θ)``. Raises `DataError`.
    """
    if not (speed > 0 and sigma > 0):
        raise DataError(f"expected a positive speed and sigma, found {speed} and {sigma}")
    if first is None:
        first = mean + float(np.random.default_rng(seed).standard_normal()) * sigma / math.sqrt(2 * speed)
    times = whole_array(times, "times")
    values = _core.ou_simulate(times, first, speed=speed, mean=mean, variance=sigma**2, seed=seed)
    return pl.DataFrame({"ts": times, "value": values})


def _level(k: float, cost: float, unit: float) -> float:
    """The `y` above 0 at which ``y - √2 dawsn(y / √2) = k``."""
    from scipy.optimize import brentq
    from scipy.special import dawsn

    if k > 60:
        raise DataError(f"expected a cost that the process ever covers, found {cost} against a deviation of {unit}")

    def gap(y: float) -> float:
        # Σ_{n>0} (-1)^(n+1) y^(2n+1) / (2n+1)!!, where the difference of two like numbers would have no digits left.
        if y < 0.1:
            return float(y**3 / 3 * (1 - y**2 / 5 * (1 - y**2 / 7 * (1 - y**2 / 9 * (1 - y**2 / 11)))) - k)
        return float(y - math.sqrt(2) * dawsn(y / math.sqrt(2)) - k)

    least = (3 * k) ** (1 / 3)
    if least < 1e-6:
        return float(least * (1 + least**2 / 15))
    return float(brentq(gap, least * (1 - 1e-12), k + 2.0, xtol=1e-15 * least, rtol=1e-14))


def _cycle(scale: float, y: float, cost: float, unit: float) -> float:
    """``scale · erfi(y)``, an expected length."""
    from scipy.special import erfi

    # Past y = 26 erfi overflows: a cycle longer than any life.
    cycle = scale * float(erfi(y))
    if not 0 < cycle < math.inf:
        raise DataError(f"expected a cost that the process ever covers, found {cost} against a deviation of {unit}")
    return cycle


def _check(speed: float, sigma: float, cost: float, mean: float) -> None:
    if not (0 < speed < math.inf and 0 < sigma < math.inf and 0 <= cost < math.inf and math.isfinite(mean)):
        raise DataError(
            "expected a positive speed and sigma, a cost of 0 or more and a finite mean, found "
            f"{speed}, {sigma}, {cost} and {mean}"
        )


@checked
def bertram(*, mean: float, speed: float, sigma: float, cost: float) -> pl.DataFrame:
    """The entry and exit that earn most per unit of time on ``dX = θ (m - X) dt + σ dW``: Bertram's rule.

    Buy at `entry`, sell at `exit`, and wait for the entry again; a cycle earns ``exit - entry - cost`` and takes
    ``E[T] = (π/θ) (erfi((exit - m) √θ / σ) - erfi((entry - m) √θ / σ))``. The best levels are symmetric about the mean:
    ``a = entry - m < 0`` solves ``e^(θa²/σ²) (2a + cost) = σ √(π/θ) erfi(a √θ / σ)``.

    `cost` of a whole cycle, in units of `X` (log price: a rate); time in the unit that `speed` counts by. Returns one
    row: ``entry, exit, cycle`` (expected length), ``return`` (per unit of time), ``cost``. Assumes that the levels can
    be traded at, at once and in the size wanted. Raises `DataError` for parameters out of range.
    Bertram (2010), "Analytic solutions for optimal statistical arbitrage trading", Physica A 389.
    """
    _check(speed, sigma, cost, mean)
    if cost == 0:
        raise DataError("expected a cost above 0: without one the best is to trade ever faster for ever less")
    unit = sigma / math.sqrt(speed)

    # In units of σ/√θ, y = -a > 0 and k = cost / unit: (2y - k) = √π erfi(y) e^(-y²) = 2 dawsn(y).
    y = _level(cost / unit * math.sqrt(2) / 2, cost, unit) / math.sqrt(2)
    cycle = _cycle(2 * math.pi / speed, y, cost, unit)
    a = y * unit
    return pl.DataFrame(
        {"entry": [mean - a], "exit": [mean + a], "cycle": [cycle], "return": [(2 * a - cost) / cycle], "cost": [cost]}
    )


@checked
def zeng_lee(
    *, mean: float, speed: float, sigma: float, cost: float, rule: Literal["conventional", "new"] = "new"
) -> pl.DataFrame:
    """The thresholds that earn most per unit of time on a pair's spread: Zeng and Lee's rules.

    ``conventional``: open beyond ``mean ± a``, close at the mean. ``new``: at ``mean + a`` sell, at ``mean - a`` buy,
    turning the position around, so that one is always held. With ``y = a √(2θ) / σ`` a round trip takes
    ``E[T] = (π / θ) erfi(y / √2) / 2`` (conventional: from the threshold to the mean and on to either threshold) or
    twice that (new: from one threshold to the other and back is two), and earns ``a - cost`` or ``2a - cost``.
    Both come to the maximum of ``(y - k) / erfi(y / √2)``, with ``k`` the cost, or half of it, in units of ``σ/√(2θ)``.

    `cost` of one round trip (open and close), in units of the spread. Returns one row: ``upper, lower`` (open short,
    open long), ``close_short, close_long, cycle`` (expected length of a round trip), ``return`` (per unit of time),
    ``cost``. Raises `DataError` for parameters out of range.
    Zeng & Lee (2014), "Pairs trading: optimal thresholds and profitability", Quantitative Finance 14(11).
    """
    _check(speed, sigma, cost, mean)
    if rule not in ("conventional", "new"):
        raise DataError(f'rule {rule!r}: expected "conventional" or "new"')
    if cost == 0:
        raise DataError("expected a cost above 0: without one the best is to trade ever faster for ever less")
    unit = sigma / math.sqrt(2 * speed)
    legs = 1 if rule == "conventional" else 2
    k = cost / unit / legs

    # d/dy of (y - k) / erfi(y/√2) is 0 where (y - k) √(2/π) e^(y²/2) = erfi(y/√2), that is y - k = √2 dawsn(y/√2).
    y = _level(k, cost, unit)
    cycle = _cycle(legs * math.pi / (2 * speed), y / math.sqrt(2), cost, unit)
    a = y * unit
    close_short, close_long = (mean, mean) if rule == "conventional" else (mean - a, mean + a)
    return pl.DataFrame(
        {
            "upper": [mean + a],
            "lower": [mean - a],
            "close_short": [close_short],
            "close_long": [close_long],
            "cycle": [cycle],
            "return": [(legs * a - cost) / cycle],
            "cost": [cost],
        }
    )
