"""Hawkes processes: how much of the order flow is caused by order flow, within a venue and between two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import polars as pl

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.checks import checked, float_array
from crossbook.study.series import Clock, Floats, Times, on_clock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from crossbook.study.hawkes_optimum import Optimum

__all__ = [
    "HawkesFit",
    "Ties",
    "fit_hawkes",
    "hawkes_forecast",
    "hawkes_intensity",
    "hawkes_log_likelihood",
    "hawkes_residuals",
    "hawkes_test",
    "simulate_hawkes",
]

Ties = Literal["strict", "ordered", "merge", "spread"]

_PART = 20_000
"""Of more than twice as many events so many are fitted first: the optimum of all lies near."""


class Observed(NamedTuple):
    """Events of several types as the kernels take them."""

    names: tuple[str, ...]
    times: Times
    types: np.ndarray
    start: int
    end: int
    ordered: bool

    @property
    def kernel(self) -> _core.HawkesEvents:
        return _core.HawkesEvents(self.times, self.types, start=self.start, end=self.end, ordered=self.ordered)


def observe(
    events: Mapping[str, pl.DataFrame],
    *,
    clock: Clock = "recv",
    start: int | None = None,
    end: int | None = None,
    ties: Ties = "strict",
    resolution_ns: int | None = None,
) -> Observed:
    """Events of all types in one order, ties resolved by rule. See `fit_hawkes` for the parameters."""
    if not 1 <= len(events) <= 16:
        raise DataError(f"events: expected 1 to 16 types, found {len(events)}")
    if ties not in ("strict", "ordered", "merge", "spread"):
        raise DataError(f'ties {ties!r}: expected "strict", "ordered", "merge" or "spread"')
    columns = [on_clock(frame, clock)["ts"].cast(pl.Int64).to_numpy() for frame in events.values()]
    found = np.concatenate(columns)
    if start is None or end is None:
        if found.size < 2:
            raise DataError("events: expected at least two, or a start and an end, found neither")
        start = int(found.min()) - 1 if start is None else start
        end = int(found.max()) if end is None else end
    if not 0 < end - start <= 1 << 60:
        raise DataError(f"expected an end after the start, at most 36 years later, found {start} and {end}")
    types = np.repeat(np.arange(len(columns), dtype=np.uint32), [column.size for column in columns])
    inside = (found > start) & (found <= end)
    order = np.argsort(found[inside], kind="stable")
    times, types = found[inside][order], types[inside][order]
    if ties == "merge":
        both = pl.DataFrame({"ts": times, "type": types}).unique(maintain_order=True)
        times, types = both["ts"].to_numpy(), both["type"].to_numpy()
    elif ties == "spread":
        if resolution_ns is None or resolution_ns < 1:
            raise DataError(f'ties "spread": expected resolution_ns, the step of the clock, found {resolution_ns}')
        # k-th of n events of an instant: (2k + 1) / 2n of the step after it. None may pass the end.
        first = np.flatnonzero(np.append(True, np.diff(times) != 0)) if times.size else np.zeros(0, np.int64)
        counts = np.diff(np.append(first, times.size))
        rank = np.arange(times.size) - np.repeat(first, counts)
        share = (2 * rank + 1) / (2 * np.repeat(counts, counts))
        times = np.minimum(times + (share * resolution_ns).astype(np.int64), end)
        order = np.argsort(times, kind="stable")
        times, types = times[order], types[order]
    return Observed(tuple(events), times, types, start, end, ties == "ordered")


@dataclass(frozen=True, slots=True)
class HawkesFit:
    """A fitted process, and what it was fitted to."""

    names: tuple[str, ...]
    baseline: Floats
    """``[types]``, events per second that nothing observed caused."""
    adjacency: Floats
    """``[types, types, components]``: events of type `i` that one of type `j` causes directly, by component."""
    decays: Floats
    """``[components]``, per second, ascending."""
    parameters: pl.DataFrame
    """A row a parameter: ``parameter, target, source, component, value, se, lo, hi, se_fisher, at_bound``."""
    branching: pl.DataFrame
    """A row a pair: ``target, source, value, se, lo, hi``, the adjacency summed over components."""
    summary: pl.DataFrame
    """One row: events, seconds, log-likelihood, the spectral radius with its interval, shares; see `fit_hawkes`."""
    covariance: Floats
    """``[parameters, parameters]``: of baseline, adjacency and decays; NaN where a parameter lies on its bound."""
    observed: Observed = field(repr=False)

    @property
    def vectors(self) -> tuple[Floats, Floats, Floats]:
        """The parameters as the kernels take them."""
        return self.baseline, self.adjacency.ravel(), self.decays

    @property
    def spectral_radius(self) -> float:
        """The largest eigenvalue of the branching matrix, the measure of the feedback loop."""
        return float(self.summary["spectral_radius"].item())


def _vectors(baseline: ArrayLike, adjacency: ArrayLike, decays: ArrayLike) -> tuple[Floats, Floats, Floats]:
    mu = np.atleast_1d(float_array(baseline, "baseline"))
    beta = np.atleast_1d(float_array(decays, "decays"))
    alpha = float_array(adjacency, "adjacency")
    if mu.ndim != 1 or beta.ndim != 1 or alpha.size != mu.size**2 * beta.size:
        raise DataError(
            "expected a baseline [types], an adjacency [types, types, components] and decays [components], found "
            f"shapes {mu.shape}, {alpha.shape} and {beta.shape}"
        )
    return np.ascontiguousarray(mu), np.ascontiguousarray(alpha).ravel(), np.ascontiguousarray(beta)


@checked
def hawkes_log_likelihood(
    events: Mapping[str, pl.DataFrame],
    /,
    *,
    baseline: ArrayLike,
    adjacency: ArrayLike,
    decays: ArrayLike,
    clock: Clock = "recv",
    start: int | None = None,
    end: int | None = None,
    ties: Ties = "strict",
    resolution_ns: int | None = None,
) -> tuple[float, Floats]:
    """The log-likelihood of given parameters and its gradient by baseline, adjacency ``[i][j][u]`` and decays.

    ``ln L = Σ_k ln λ_{i_k}(t_k) - Σ_i ∫ λ_i dt``, times in seconds; see `fit_hawkes` for the model and the other
    parameters. Raises `DataError`.
    """
    data = observe(events, clock=clock, start=start, end=end, ties=ties, resolution_ns=resolution_ns)
    return data.kernel.log_likelihood(*_vectors(baseline, adjacency, decays))


@checked
def fit_hawkes(
    events: Mapping[str, pl.DataFrame],
    /,
    *,
    components: int = 1,
    clock: Clock = "recv",
    start: int | None = None,
    end: int | None = None,
    ties: Ties = "strict",
    resolution_ns: int | None = None,
    decays: Sequence[float] | None = None,
    fixed_decays: bool = False,
    stationary: bool = True,
    level: float = 0.95,
) -> HawkesFit:
    """Fit a multivariate Hawkes process by joint maximum likelihood, decays included.

    ``λ_i(t) = μ_i + Σ_j Σ_u Σ_{t_k^j < t} α_iju β_u exp(-β_u (t - t_k^j))`` per second: ``α_iju`` is the number of
    events of type `i` that one of type `j` causes directly, `components` exponentials of decays ``β_u`` are shared by
    all pairs, their weights are not. Assumptions: baselines are constant over the interval; nothing before `start` is
    known and nothing excites from there (negligible once the interval is many times ``1 / β``); no inhibition.

    `events`: 1 to 16 types by name, a frame each with ``ts_recv`` or ``ts_event`` (ns); rows in ``(start, end]`` of
    `clock` are used, by default from 1 ns before the first to the last (give both where the capture's are known: an
    interval that ends with an event is a little too short). `ties`, for events of one instant:

    - ``strict``: they do not excite each other, as the definition has it;
    - ``ordered``: each excites those after it, types in the order of `events`, rows in the order of their frame;
    - ``merge``: several of one type are one event;
    - ``spread``: they are spread evenly over the clock's step `resolution_ns` after it, in that order.

    A feed that stamps to a millisecond makes ``strict`` miss whatever is faster, and ``ordered`` find decays as fast as
    ties are common; fit with two rules and compare. `decays`: where to start (per second), or with `fixed_decays` what
    to keep. `stationary`: constrain the spectral radius below 1 where the free optimum lies beyond.

    Bounds are μ > 0, α ≥ 0, and for β 1e-9 to 1e11 per second: a decay on the upper one (`at_bound`) means that
    ``ordered`` ties are all it describes. Several starting decays are tried, then Newton's steps within the bounds on
    the exact second derivatives; of more than 40,000 events the first 20,000 are fitted first, to start near. The
    likelihood is concave in μ and α but not in the decays, and with several components a local maximum cannot be
    excluded.

    Returns a `HawkesFit`. Standard errors ``se`` from the observed information (minus the second derivatives) of the
    parameters inside their bounds, ``se_fisher`` from ``Σ ∇λ ∇λᵀ / λ²`` (Ogata 1978, "The asymptotic behaviour of
    maximum likelihood estimators for stationary point processes", AISM 30); ``lo, hi`` at `level` are normal, on the
    log scale for baselines and decays and on that of square roots for effects, whose variance grows with them as that
    of a count does (cut at 0). A parameter on its bound has null for all four.
    ``summary``: ``events, seconds, log_likelihood, poisson_log_likelihood`` (the best without excitation),
    ``spectral_radius, radius_se, radius_lo, radius_hi`` (by the delta method on the logarithm; Perron's vectors give
    the derivative), ``endogenous_share`` (of all events, those caused by others: ``1 - Σμ T / n``),
    ``half_life_ms`` (of the total kernel's slowest component), ``converged, constrained``.
    Ogata (1988), JASA 83; Bowsher (2007), "Modelling security market events in continuous time", Journal of
    Econometrics 141; Bacry, Mastromatteo & Muzy (2015), "Hawkes processes in finance".

    Raises `DataError` for a missing clock, types of which nothing happened, and too few events to fit (fewer than
    there are parameters).
    """
    if not 1 <= components <= 4:
        raise DataError(f"expected 1 to 4 components, found {components}")
    if decays is not None and (len(decays) != components or not all(0 < b < 1e12 for b in decays)):
        raise DataError(f"decays: expected {components} positive numbers per second, found {list(decays)}")
    if len(set(decays or ())) != len(decays or ()):
        raise DataError(f"decays: expected different ones, found {list(decays or ())}")
    if fixed_decays and decays is None:
        raise DataError("fixed_decays: expected decays, found none")
    if not 0 < level < 1:
        raise DataError(f"expected a level between 0 and 1, found {level}")
    data = observe(events, clock=clock, start=start, end=end, ties=ties, resolution_ns=resolution_ns)
    kernel, d = data.kernel, len(data.names)
    counts = np.array(kernel.counts[:d], dtype=np.float64)
    if missing := [name for name, count in zip(data.names, counts, strict=True) if count == 0]:
        raise DataError(f"events: expected at least one of each type within the interval, found none of {missing}")
    if len(kernel) <= d + d * d * components + components:
        raise DataError(f"events: expected more than there are parameters, found {len(kernel)}")

    from crossbook.study.hawkes_optimum import maximise, starting_values

    rates = counts / kernel.seconds
    part = kernel
    if large := len(kernel) > 2 * _PART:
        cut = int(data.times[_PART - 1])
        size = int(np.searchsorted(data.times, cut, "right"))
        part = data._replace(times=data.times[:size], types=data.types[:size], end=cut).kernel
    near = None
    if decays is None:
        near = starting_values(part, rates, data.times, components)
        beginning = near[-components:]
    else:
        beginning = np.sort(np.asarray(decays, dtype=np.float64))
        if large:
            near = maximise(part, rates, beginning, fixed_decays=fixed_decays, stationary=False).values
    found = maximise(kernel, rates, beginning, fixed_decays=fixed_decays, stationary=stationary, near=near)
    return _describe(data, kernel, found, level=level, fixed_decays=fixed_decays)


def _describe(
    data: Observed, kernel: _core.HawkesEvents, found: Optimum, *, level: float, fixed_decays: bool
) -> HawkesFit:
    from scipy.stats import norm

    from crossbook.study.hawkes_optimum import LEAST_DECAY, MOST_DECAY, radius_gradient

    values, converged, constrained = found.values, found.converged, found.constrained
    d = len(data.names)
    c = (values.size - d) // (d * d + 1)
    order = np.argsort(values[-c:], kind="stable")
    adjacency = values[d:-c].reshape(d, d, c)[:, :, order]
    baseline, decays = values[:d], values[-c:][order]
    vectors = (np.ascontiguousarray(baseline), np.ascontiguousarray(adjacency).ravel(), np.ascontiguousarray(decays))
    log_likelihood, _, hessian, fisher = kernel.information(*vectors)
    flat = np.concatenate(vectors)
    free = flat > 1e-9
    # The bounds of the search: a decay there was not found, only cut off.
    free[-c:] = (decays > LEAST_DECAY * 1.01) & (decays < MOST_DECAY * 0.99)
    free[:d] = baseline > 1e-9 * kernel.counts[0] / kernel.seconds
    if fixed_decays:
        free[-c:] = False
    covariance = _inverse(-hessian, free)
    se = np.sqrt(np.diag(covariance))
    se_fisher = np.sqrt(np.diag(_inverse(fisher, free)))
    z = float(norm.ppf(0.5 + level / 2))
    logarithmic = np.arange(flat.size) < d
    logarithmic[-c:] = True
    with np.errstate(invalid="ignore", over="ignore"):
        factor = np.exp(z * se / flat, where=free, out=np.full(flat.size, np.nan))
        lo, hi = _root_interval(flat, z * se)
        lo, hi = np.where(logarithmic, flat / factor, lo), np.where(logarithmic, flat * factor, hi)
    cells = [(i, j, u) for i in range(d) for j in range(d) for u in range(c)]
    names = data.names
    parameters = pl.DataFrame(
        {
            "parameter": ["baseline"] * d + ["adjacency"] * len(cells) + ["decay"] * c,
            "target": [*names, *(names[i] for i, _, _ in cells), *[None] * c],
            "source": [*[None] * d, *(names[j] for _, j, _ in cells), *[None] * c],
            "component": [*[None] * d, *(u for _, _, u in cells), *range(c)],
            "value": flat,
            "se": se,
            "lo": lo,
            "hi": hi,
            "se_fisher": se_fisher,
            "at_bound": ~free,
        },
        schema_overrides={"target": pl.String, "source": pl.String, "component": pl.Int64},
    ).with_columns(
        # So wide an interval that its end is no number has none.
        pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name)
        for name in ("se", "lo", "hi", "se_fisher")
    )

    matrix = adjacency.sum(axis=2)
    known = np.nan_to_num(covariance)
    rows = []
    for i in range(d):
        for j in range(d):
            at = d + (i * d + j) * c + np.arange(c)
            variance = known[np.ix_(at, at)].sum()
            error = float(np.sqrt(variance)) if variance > 0 else None
            value = float(matrix[i, j])
            bounds = (None, None) if error is None else tuple(float(end) for end in _root_interval(value, z * error))
            rows.append((names[i], names[j], value, error, *bounds))
    schema = {"target": pl.String, "source": pl.String} | dict.fromkeys(("value", "se", "lo", "hi"), pl.Float64)
    branching = pl.DataFrame(rows, schema=schema, orient="row")

    radius, slope = radius_gradient(matrix)
    full = np.zeros(flat.size)
    full[d:-c] = np.repeat(slope.ravel(), c)
    variance = float(full @ known @ full)
    radius_se = radius_lo = radius_hi = None
    if variance > 0 and radius > 0 and not constrained:
        radius_se = float(np.sqrt(variance))
        spread = float(np.exp(z * radius_se / radius))
        radius_lo, radius_hi = radius / spread, radius * spread
    counts = np.array(kernel.counts[:d], dtype=np.float64)
    poisson = float((counts * np.log(counts / kernel.seconds)).sum() - counts.sum())
    summary = pl.DataFrame(
        {
            "events": [len(kernel)],
            "seconds": [kernel.seconds],
            "log_likelihood": [log_likelihood],
            "poisson_log_likelihood": [poisson],
            "spectral_radius": [radius],
            "radius_se": [radius_se],
            "radius_lo": [radius_lo],
            "radius_hi": [radius_hi],
            "endogenous_share": [float(1 - baseline.sum() * kernel.seconds / counts.sum())],
            "half_life_ms": [float(np.log(2) / decays[0] * 1e3)],
            "converged": [converged],
            "constrained": [constrained],
        },
        schema_overrides=dict.fromkeys(("radius_se", "radius_lo", "radius_hi"), pl.Float64),
    )
    return HawkesFit(names, baseline, adjacency, decays, parameters, branching, summary, covariance, data)


def _root_interval(value: Floats | float, reach: Floats | float) -> tuple[Floats, Floats]:
    """`reach` to either side of effects, on the scale of their square roots.

    An effect is counted by the events that it brings about, so its variance grows with it: roots have a steady one, and
    an interval that is even about the effect itself would be too short above small ones. Where the root's interval
    would cross 0, there is no telling how variance goes on: it ends at 0 below and half a reach beyond the even one
    above.
    """
    value, reach = np.asarray(value, dtype=np.float64), np.asarray(reach, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        bent = np.minimum(reach**2 / (4 * value), reach / 2)
    return np.where(2 * value > reach, value - reach + bent, 0.0 * reach), value + reach + bent


def _inverse(matrix: Floats, free: np.ndarray) -> Floats:
    """The inverse over the free rows and columns, NaN elsewhere and all NaN where it is not positive definite."""
    found = np.full(matrix.shape, np.nan)
    part = matrix[np.ix_(free, free)]
    # To the size of each parameter first: rates per second and dimensionless weights lie far apart.
    scale = np.sqrt(np.abs(np.diag(part)))
    if not scale.size or not (scale > 0).all():
        return found
    try:
        factor = np.linalg.cholesky(part / np.outer(scale, scale))
    except np.linalg.LinAlgError:
        return found
    root = np.linalg.inv(factor)
    found[np.ix_(free, free)] = (root.T @ root) / np.outer(scale, scale)
    return found


@checked
def simulate_hawkes(
    *,
    baseline: ArrayLike,
    adjacency: ArrayLike,
    decays: ArrayLike,
    names: Sequence[str] | None = None,
    count: int | None = None,
    seconds: float | None = None,
    start: int = 0,
    seed: int = 0,
    method: Literal["exact", "thinning"] = "exact",
    limit: int = 100_000_000,
) -> dict[str, pl.DataFrame]:
    """Simulate a Hawkes process from an empty past: `count` events in all, or all in `seconds`.

    ``exact`` inverts the waiting time of each component in closed form (Dassios & Zhao 2013, ECP 18), ``thinning``
    proposes and rejects (Ogata 1981, IEEE TIT 27); the two have one law. Parameters as in `fit_hawkes`. Returns a frame
    a type with ``ts_recv`` and ``ts_event``, equal, ns: exact times rounded up. The same seed gives the same events on
    every machine whose `exp` and `ln` round alike. Raises `DataError`, also past `limit` events.
    """
    vectors = _vectors(baseline, adjacency, decays)
    d = vectors[0].size
    names = list(names) if names is not None else [str(i) for i in range(d)]
    if len(names) != d or len(set(names)) != d:
        raise DataError(f"names: expected {d} different ones, found {names}")
    if method not in ("exact", "thinning"):
        raise DataError(f'method {method!r}: expected "exact" or "thinning"')
    if (count is None) == (seconds is None) or (count or 0) < 0 or not 0 <= (seconds or 0.0) < 1e9:
        raise DataError(f"expected either a count or seconds from 0 to 1e9, found {count} and {seconds}")
    if limit < 0:
        raise DataError(f"limit: expected 0 or more, found {limit}")
    end = None if seconds is None else int(seconds * 1e9)
    times, types = _core.hawkes_simulate(
        *vectors, seed=seed, count=count, end=end, limit=limit, thinning=method == "thinning"
    )
    times = times + start
    found = {}
    for kind, name in enumerate(names):
        own = pl.Series(times[types == kind], dtype=pl.Int64)
        found[name] = pl.DataFrame(
            {"ts_recv": own, "ts_event": own}, schema=dict.fromkeys(("ts_recv", "ts_event"), pl.Int64)
        )
    return found


@checked
def hawkes_intensity(fit: HawkesFit, /) -> pl.DataFrame:
    """The intensities just before each event: ``ts, type`` and a column a type, per second."""
    found = fit.observed.kernel.intensities(*fit.vectors)
    columns = {name: found[:, i] for i, name in enumerate(fit.names)}
    return _stamped(fit).with_columns(**columns)


@checked
def hawkes_residuals(fit: HawkesFit, /) -> pl.DataFrame:
    """The residuals of the time change, ``ts, type, residual``: ``∫ λ_i`` since the event of that type before.

    If the model holds they are independent and exponential of mean 1 (Ogata 1988).
    """
    residuals, _ = fit.observed.kernel.residuals(*fit.vectors)
    return _stamped(fit).with_columns(residual=residuals)


def _stamped(fit: HawkesFit) -> pl.DataFrame:
    names = pl.Series(list(fit.names))
    return pl.DataFrame({"ts": fit.observed.times, "type": names.gather(pl.Series(fit.observed.types))})


@checked
def hawkes_test(fit: HawkesFit, /, *, lags: int = 20) -> pl.DataFrame:
    """Test the residuals of each type: are they exponential of mean 1, and independent?

    Columns: ``type, events, mean, variance`` (both 1 if the model holds), ``ks, ks_p`` (Kolmogorov-Smirnov against the
    exponential), ``dispersion, dispersion_p`` (Engle & Russell 1998, Econometrica 66: ``√n (s² - 1) / √8``, two-sided),
    ``ljung_box, ljung_box_p`` (of autocorrelations at 1 to `lags`; null below ``2 lags`` events). Parameters were
    fitted to the same events, which makes the distance smaller than the table's: a p-value that rejects, rejects; one
    that does not is a little too kind. With events in the 100,000s every p-value of a real feed is small: read the
    distance `ks`.
    """
    from scipy.stats import chi2, kstest, norm

    if lags < 1:
        raise DataError(f"expected at least one lag, found {lags}")
    rows = []
    frame = hawkes_residuals(fit)
    for name in fit.names:
        values = frame.filter(pl.col("type") == name)["residual"].to_numpy()
        n = values.size
        test = kstest(values, "expon", method="exact" if n < 1000 else "asymp")
        variance = float(values.var(ddof=1)) if n > 1 else None
        excess = None if variance is None else float(np.sqrt(n) * (variance - 1) / np.sqrt(8))
        box = box_p = None
        if n >= 2 * lags and variance:
            centred = values - values.mean()
            rho = np.array([centred[lag:] @ centred[:-lag] for lag in range(1, lags + 1)]) / (centred @ centred)
            box = float(n * (n + 2) * (rho**2 / (n - np.arange(1, lags + 1))).sum())
            box_p = float(chi2.sf(box, lags))
        dispersion_p = None if excess is None else float(2 * norm.sf(abs(excess)))
        rows.append(
            (
                name,
                n,
                float(values.mean()),
                variance,
                float(test.statistic),
                float(test.pvalue),
                excess,
                dispersion_p,
                box,
                box_p,
            )
        )
    floats = ("mean", "variance", "ks", "ks_p", "dispersion", "dispersion_p", "ljung_box", "ljung_box_p")
    schema = {"type": pl.String, "events": pl.Int64} | dict.fromkeys(floats, pl.Float64)
    return pl.DataFrame(rows, schema=schema, orient="row")


@checked
def hawkes_forecast(fit: HawkesFit, /, *, horizons_ms: Sequence[float] = (10, 100, 1000, 10_000)) -> pl.DataFrame:
    """Forecast from the end of the fitted interval: intensity, count and the chance of silence, by type and horizon.

    The expected intensity solves ``dx_u/dt = -β_u x_u + β_u A_u (μ + Σ_v x_v)`` from the state at the end, by the
    exponential of its matrix; the expected count is its integral. ``P(none) = exp(-∫ λ)`` along the path without any
    event (of any type) is exact. Returns ``horizon_ms, type, intensity`` (expected at the horizon, per second),
    ``count`` (expected within it), ``first_probability`` (that the next event comes within it and is of this type) and
    ``none_probability`` (that nothing of any type happens; the same for all types of a horizon). Parameters are taken
    as known. Raises `DataError` unless horizons are positive.
    """
    from scipy.integrate import quad
    from scipy.linalg import expm

    horizons = [float(h) for h in horizons_ms]
    if not horizons or not all(0 < h < 1e12 for h in horizons):
        raise DataError(f"horizons_ms: expected positive numbers, found {horizons}")
    d, c = fit.baseline.size, fit.decays.size
    state = fit.observed.kernel.state(*fit.vectors)
    # Excess of type i through component u, in blocks by u.
    excess = np.einsum("iju,u,ju->ui", fit.adjacency, fit.decays, state)
    size = d * c
    drift = np.zeros((size + 1 + d, size + 1 + d))  # excess, the constant 1, counts
    for u in range(c):
        rows = slice(u * d, (u + 1) * d)
        block = fit.decays[u] * fit.adjacency[:, :, u]
        for v in range(c):
            drift[rows, v * d : (v + 1) * d] = block
        drift[rows, rows] -= fit.decays[u] * np.eye(d)
        drift[rows, size] = block @ fit.baseline
        drift[size + 1 :, rows] = np.eye(d)
    drift[size + 1 :, size] = fit.baseline
    begin = np.concatenate([excess.ravel(), [1.0], np.zeros(d)])

    def rates(t: float) -> Floats:
        return np.asarray(fit.baseline + (excess * np.exp(-fit.decays * t)[:, None]).sum(axis=0))

    def silence(t: float) -> float:
        spent = (excess.sum(axis=1) * -np.expm1(-fit.decays * t) / fit.decays).sum()
        return float(np.exp(-fit.baseline.sum() * t - spent))

    frames = []
    for horizon in horizons:
        t = horizon / 1e3
        later = expm(drift * t) @ begin
        intensity = fit.baseline + later[:size].reshape(c, d).sum(axis=0)
        # Past 40 times the expected wait nothing is left to integrate; breaks where the state's memory ends.
        reach = min(t, 40.0 / float(fit.baseline.sum()))
        marks = [m for m in [*(1.0 / fit.decays).tolist(), 1.0 / float(rates(0.0).sum())] if 0 < m < reach]
        first = [
            quad(lambda s, i=i: rates(s)[i] * silence(s), 0.0, reach, points=marks or None, limit=200)[0]
            for i in range(d)
        ]
        frames.append(
            pl.DataFrame(
                {
                    "horizon_ms": [horizon] * d,
                    "type": list(fit.names),
                    "intensity": intensity,
                    "count": later[size + 1 :],
                    "first_probability": first,
                    "none_probability": [silence(t)] * d,
                }
            )
        )
    return pl.concat(frames)
