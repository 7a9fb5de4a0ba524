"""How two venues' prices come back together: the band that costs leave, the speed outside it, how long crosses last."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.checks import checked, needed, number_column
from crossbook.study.ou import SCHEMA as OU_SCHEMA
from crossbook.study.ou import fit_transitions, observations

__all__ = [
    "band_excursions",
    "cross_survival",
    "fit_band",
    "median_survival",
    "no_arbitrage_band",
    "shock_half_life",
    "shock_path",
    "survival",
    "threshold_basis",
]


@checked
def no_arbitrage_band(
    *,
    primary_fee_bp: float,
    secondary_fee_bp: float,
    primary_half_spread_bp: float = 0.0,
    secondary_half_spread_bp: float = 0.0,
    short_primary_bp: float = 0.0,
    short_secondary_bp: float = 0.0,
    fair_bp: float = 0.0,
) -> tuple[float, float]:
    """The basis, in bp, below and above which taking both touches pays: ``(lower, upper)``.

    Above: sell the secondary, buy the primary, ``(1 + f_p)(1 + h_p)(1 + s_s) / ((1 - f_s)(1 - h_s)) · fair - 1``.
    Below: buy the secondary, sell the primary, ``(1 - f_p)(1 - h_p) / ((1 + f_s)(1 + h_s)(1 + s_p)) · fair - 1``. ``f``
    taker fees, ``h`` half spreads, ``s`` what it costs to be short there (borrowing, funding), all in bp of price, and
    the `fair` basis that holds no profit. The band is not symmetric: fees compound and the two short costs differ.
    Raises `DataError` unless costs lie between -10,000 and 10,000 bp.
    """
    spreads = (primary_half_spread_bp, secondary_half_spread_bp)
    costs = (primary_fee_bp, secondary_fee_bp, *spreads, short_primary_bp, short_secondary_bp, fair_bp)
    if not all(abs(cost) < 10_000 for cost in costs):
        raise DataError(f"expected costs between -10,000 and 10,000 bp, found {costs}")
    fp, fs, hp, hs, sp, ss, fair = (cost / 1e4 for cost in costs)
    upper = (1 + fair) * (1 + fp) * (1 + hp) * (1 + ss) / ((1 - fs) * (1 - hs)) - 1
    lower = (1 + fair) * (1 - fp) * (1 - hp) / ((1 + fs) * (1 + hs) * (1 + sp)) - 1
    return lower * 1e4, upper * 1e4


@checked
def threshold_basis(
    basis: pl.DataFrame,
    /,
    *,
    lower_bp: float,
    upper_bp: float,
    value: str = "basis_bp",
    level: float = 0.95,
) -> pl.DataFrame:
    """Reversion of a basis in three regimes: above the band to its upper edge, below to its lower, inside to its own
    mean.

    Outside ``dX = θ (edge - X) dt + σ dW``, each regime with its own ``θ`` and ``σ``; inside the mean is fitted too.
    Exact likelihood of transitions that start in the regime, at irregular times (`fit_ou`, whose warnings on quotes
    hold here as well); that one may leave its regime before the next observation is ignored, so gaps should be short
    against the half-life. `basis`: ``ts`` (ns, ascending) and `value`, as `crossbook.study.basis` gives it.

    A row a regime (``above, inside, below``): ``regime, edge_bp`` (null inside), ``time_share`` and the columns of
    `fit_ou`; with fewer than ten transitions ``status`` is ``too few`` and estimates are null. Raises `DataError` as
    `fit_ou`, and unless ``lower_bp < upper_bp``. Balke & Fomby (1997), "Threshold cointegration", International
    Economic Review 38(3); the band of costs as in Dwyer, Locke & Yu (1996), "Index arbitrage and nonlinear dynamics
    between the S&P 500 futures and cash", Review of Financial Studies 9(1).
    """
    if not (math.isfinite(lower_bp) and math.isfinite(upper_bp) and lower_bp < upper_bp):
        raise DataError(f"expected lower_bp < upper_bp, found {lower_bp} and {upper_bp}")
    times, values = observations(basis, "ts", value)
    held = np.diff(times) / 1e9
    frames = []
    above = np.nextafter(upper_bp, math.inf)
    for regime, edge, low, high in (
        ("above", upper_bp, above, math.inf),
        ("inside", None, lower_bp, above),
        ("below", lower_bp, -math.inf, lower_bp),
    ):
        inside = (values[:-1] >= low) & (values[:-1] < high)
        row = pl.DataFrame({"regime": [regime], "edge_bp": [edge]}, schema={"regime": pl.String, "edge_bp": pl.Float64})
        row = row.with_columns(time_share=pl.lit(float(held[inside].sum() / held.sum())))
        count = int(inside.sum())
        fitted = None
        if count >= 10:
            rows = _core.OuTransitions(times, values, above=low, below=high)
            try:
                fitted = fit_transitions(rows, mean=edge, level=level)
            except DataError:  # the values of the regime do not move
                fitted = None
        if fitted is None:
            blank = dict.fromkeys(OU_SCHEMA) | {"observations": count, "status": "too few"}
            fitted = pl.DataFrame([blank], schema=OU_SCHEMA)
        frames.append(row.hstack(fitted.with_columns(observations=pl.lit(count, pl.Int64))))
    return pl.concat(frames)


@checked
def fit_band(basis: pl.DataFrame, /, *, value: str = "basis_bp", tail: float = 0.05, steps: int = 15) -> pl.DataFrame:
    """Find the band from the basis itself: the edges between which it wanders and beyond which it comes back.

    Inside a random walk, outside reversion to the edge, as `threshold_basis`, each regime with its own ``σ``; the pair
    of edges with the highest likelihood, among `steps` quantiles on either side of the median that leave at least
    `tail` of the observations outside. One row: ``lower_bp, upper_bp, log_likelihood``, and ``walk_log_likelihood`` of
    a random walk throughout and ``gain``, twice the difference. The gain has no standard distribution under the null
    (the edges exist only under the alternative: Hansen 1996, Econometrica 64): compare it with that of simulated walks.
    Raises `DataError` as `fit_ou`, or for a `tail` outside of ``(0, 0.5)``.
    """
    if not 0 < tail < 0.5 or not 2 <= steps <= 1000:
        raise DataError(f"expected a tail between 0 and 0.5 and 2 to 1,000 steps, found {tail} and {steps}")
    times, values = observations(basis, "ts", value)
    start, move, gap = values[:-1], np.diff(values), np.diff(times) / 1e9
    if not move.any():
        raise DataError("expected values that move")
    scaled, logs = move**2 / gap, np.log(gap)
    order = np.argsort(start, kind="stable")
    ordered = start[order]
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(np.column_stack([scaled, logs])[order], axis=0)])

    def walk(low: float, high: float) -> float:
        """Of steps that start in ``[low, high)``, at the best σ."""
        a, b = np.searchsorted(ordered, [low, high], "left")
        n = int(b - a)
        square, log = sums[b] - sums[a]
        if n < 10 or square <= 0:
            return -math.inf
        return float(-0.5 * (n * math.log(2 * math.pi * square / n) + log + n))

    def outside(edge: float, low: float, high: float) -> float:
        try:
            rows = _core.OuTransitions(times, values, above=low, below=high)
            return float(fit_transitions(rows, mean=edge)["log_likelihood"].item()) if len(rows) >= 10 else -math.inf
        except DataError:
            return -math.inf

    uppers = np.unique(np.quantile(start, np.linspace(0.5, 1 - tail, steps + 1)[1:]))
    lowers = np.unique(np.quantile(start, np.linspace(tail, 0.5, steps + 1)[:-1]))
    above = [outside(float(u), float(np.nextafter(u, math.inf)), math.inf) for u in uppers]
    below = [outside(float(v), -math.inf, float(v)) for v in lowers]
    best = (-math.inf, 0.0, 0.0)
    for v, left in zip(lowers, below, strict=True):
        for u, right in zip(uppers, above, strict=True):
            total = left + right + walk(float(v), float(np.nextafter(u, math.inf)))
            best = max(best, (total, float(v), float(u)))
    plain = walk(-math.inf, math.inf)
    if not math.isfinite(best[0]):
        raise DataError(f"expected at least ten moves in each regime, found too few in {len(start)} transitions")
    return pl.DataFrame(
        {
            "lower_bp": [best[1]],
            "upper_bp": [best[2]],
            "log_likelihood": [best[0]],
            "walk_log_likelihood": [plain],
            "gain": [2 * (best[0] - plain)],
        }
    )


@checked
def band_excursions(
    basis: pl.DataFrame, /, *, lower_bp: float, upper_bp: float, value: str = "basis_bp"
) -> pl.DataFrame:
    """Every stay outside the band: ``side`` (+1 above), ``start, end, peak_at`` (ns), ``peak_bp`` (beyond the edge),
    ``duration_ms, half_ms, censored, half_censored``.

    ``duration_ms`` runs from the first value outside to the first inside or beyond the other edge, ``half_ms`` from the
    peak to the first value at half of it or less: with `survival` of it the band's half-life. Censored: the data ended
    first, or (``censored`` alone) began outside. Input and errors as in `threshold_basis`.
    """
    if not (math.isfinite(lower_bp) and math.isfinite(upper_bp) and lower_bp < upper_bp):
        raise DataError(f"expected lower_bp < upper_bp, found {lower_bp} and {upper_bp}")
    times, values = observations(basis, "ts", value)
    side = np.where(values > upper_bp, 1, np.where(values < lower_bp, -1, 0))
    edges = np.flatnonzero(np.append(True, np.diff(side) != 0))
    rows = []
    for k, first in enumerate(edges):
        if side[first] == 0:
            continue
        last = int(edges[k + 1]) if k + 1 < edges.size else None
        run = slice(int(first), last)
        sign = int(side[first])
        excess = (values[run] - upper_bp) if sign > 0 else (lower_bp - values[run])
        peak = int(np.argmax(excess))
        fallen = np.flatnonzero(excess[peak:] <= excess[peak] / 2)
        # What ends the stay lies at or beyond the edge: at half or less for certain.
        half = int(times[first + peak + fallen[0]]) if fallen.size else None if last is None else int(times[last])
        end = int(times[last]) if last is not None else int(times[-1])
        at = int(times[first + peak])
        stop = half if half is not None else int(times[-1])
        begin = int(times[first])
        row = (sign, begin, end, at, float(excess[peak]), (end - begin) / 1e6, (stop - at) / 1e6)
        rows.append((*row, last is None or first == 0, half is None))
    schema = {
        "side": pl.Int8,
        "start": pl.Int64,
        "end": pl.Int64,
        "peak_at": pl.Int64,
        "peak_bp": pl.Float64,
        "duration_ms": pl.Float64,
        "half_ms": pl.Float64,
        "censored": pl.Boolean,
        "half_censored": pl.Boolean,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


@checked
def survival(
    frame: pl.DataFrame, /, *, duration: str = "duration_ms", censored: str = "censored", level: float = 0.95
) -> pl.DataFrame:
    """The share that lasts longer than any time, with what was still going on at the end counted as far as it was seen.

    Kaplan and Meier's product ``S(t) = Π_{t_i ≤ t} (1 - d_i / n_i)``; intervals at `level` by Greenwood's variance on
    the scale ``ln(-ln S)``, which keeps them within 0 and 1. Assumes that censoring tells nothing about the duration.
    `frame`: durations of 0 or more and booleans. Columns: `duration`'s name (ascending, the first 0), ``at_risk, ended,
    cut`` (censored then), ``survival, lo, hi`` (null at 0, and where ``S`` is 0 or 1). Empty input gives an empty
    frame. Raises `DataError` for missing columns or durations that are negative or not finite.
    Kaplan & Meier (1958), "Nonparametric estimation from incomplete observations", JASA 53; Kalbfleisch & Prentice
    (1980) for the scale of the interval.
    """
    from scipy.stats import norm

    if missing := {duration, censored} - set(frame.columns):
        raise DataError(f"expected columns {duration} and {censored}, missing {sorted(missing)}")
    if not 0 < level < 1:
        raise DataError(f"expected a level between 0 and 1, found {level}")
    length = frame[duration].cast(pl.Float64)
    if length.null_count() or not (length.is_finite() & (length >= 0)).all():
        raise DataError(f"{duration}: expected finite durations of 0 or more")
    schema = {duration: pl.Float64, "at_risk": pl.Int64, "ended": pl.Int64, "cut": pl.Int64}
    schema |= dict.fromkeys(("survival", "lo", "hi"), pl.Float64)
    if frame.is_empty():
        return pl.DataFrame(schema=schema)
    counts = (
        frame.select(t=length, cut=pl.col(censored).cast(pl.Boolean))
        .group_by("t")
        .agg(ended=(~pl.col("cut")).sum(), cut=pl.col("cut").sum())
        .sort("t")
    )
    t, ended, cut = (counts[name].to_numpy().astype(np.float64) for name in ("t", "ended", "cut"))
    at_risk = frame.height - np.concatenate([[0.0], np.cumsum(ended + cut)[:-1]])
    s = np.cumprod(1 - ended / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(ended / (at_risk * (at_risk - ended)))
        spread = float(norm.ppf(0.5 + level / 2)) * np.sqrt(greenwood) / np.abs(np.log(s))
        inner = (s > 0) & (s < 1)
        # S to the power of e^±spread.
        lo = np.where(inner, s ** np.exp(spread), np.nan)
        hi = np.where(inner, s ** np.exp(-spread), np.nan)
    table = pl.DataFrame(
        {
            duration: np.concatenate([[0.0], t]),
            "at_risk": np.concatenate([[frame.height], at_risk]).astype(np.int64),
            "ended": np.concatenate([[0], ended]).astype(np.int64),
            "cut": np.concatenate([[0], cut]).astype(np.int64),
            "survival": np.concatenate([[1.0], s]),
            "lo": np.concatenate([[np.nan], lo]),
            "hi": np.concatenate([[np.nan], hi]),
        },
        schema=schema,
    )
    return table.with_columns(pl.col("lo", "hi").fill_nan(None))


@checked
def median_survival(curve: pl.DataFrame, /, *, share: float = 0.5) -> tuple[float | None, float | None, float | None]:
    """The time at which a `survival` curve falls to `share`, and its interval (Brookmeyer & Crowley 1982, Biometrics
    38).

    The first duration at which ``S ≤ share``; the interval's ends are where ``lo`` and ``hi`` do. Null where a curve
    never gets there. Raises `DataError` unless `share` lies between 0 and 1, and for a missing column.
    """
    if not 0 < share < 1:
        raise DataError(f"expected a share between 0 and 1, found {share}")
    needed(curve, ["survival", "lo", "hi"], "curve")
    duration = curve.columns[0]
    number_column(curve, duration, "curve", known=True)

    def first(column: str) -> float | None:
        # A null end stands for the curve itself once nothing is left.
        reached = curve.filter(pl.coalesce(column, pl.when(pl.col("survival") == 0).then(0.0)) <= share)
        return None if reached.is_empty() else float(reached[duration][0])

    return first("survival"), first("lo"), first("hi")


@checked
def cross_survival(crosses: pl.DataFrame, /, *, level: float = 0.95) -> pl.DataFrame:
    """`survival` of crosses by ``direction``, and of all together (``direction`` ``all``). Input as `find_crosses`
    gives."""
    if "direction" not in crosses.columns:
        raise DataError("expected a column direction")
    frames = [survival(crosses, level=level).with_columns(direction=pl.lit("all"))]
    frames += [
        survival(one, level=level).with_columns(direction=pl.lit(str(name[0])))
        for name, one in crosses.sort("direction").group_by("direction", maintain_order=True)
    ]
    return pl.concat(frames).select("direction", pl.exclude("direction"))


@checked
def shock_path(
    basis: pl.DataFrame,
    /,
    *,
    shock_bp: float,
    window_ms: float = 100.0,
    horizon_ms: float = 5000.0,
    steps: int = 100,
    value: str = "basis_bp",
    block_s: float = 10.0,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """How a basis comes back after a shock: its mean path, and the half-life of what does not stay.

    A shock is a move of `shock_bp` or more within `window_ms`, from what held before; none is counted again until
    `horizon_ms` after the last. The path is the mean over shocks of ``sign · (basis(shock + τ) - basis just before
    it)``, shocks up and down together, at `steps` even offsets after the instant at which the move was complete. It is
    over a sample chosen for having moved, so part of what it shows coming back is noise that reverts by selection.

    Returns the path, ``offset_ms, mean_bp, lo_bp, hi_bp``, and one row ``shocks, dropped, start_bp`` (at offset 0),
    ``rest_bp`` (at the last), ``half_life_ms, lo_ms, hi_ms``: the first offset at which the path has covered half the
    way from ``start_bp`` to ``rest_bp``, null if it does not fall. Intervals at `level` by a bootstrap of blocks of
    `block_s` seconds (null below six blocks that hold a shock). Raises `DataError` as `fit_ou`, for options out of
    range, and where there is no shock.
    """
    if not (0 < shock_bp < math.inf and 0 <= window_ms < horizon_ms < 1e12 and steps >= 2 and block_s > 0):
        raise DataError("expected shock_bp above 0, 0 <= window_ms < horizon_ms, two steps or more and block_s above 0")
    times, values = observations(basis, "ts", value)
    window, horizon = int(window_ms * 1e6), int(horizon_ms * 1e6)
    # What held a window before each row: the last value at or before then.
    before = np.searchsorted(times, times - window, "right") - 1
    before = np.maximum(np.minimum(before, np.arange(times.size) - 1), 0)
    change = values - values[before]
    found, signs, reference, busy = [], [], [], -(1 << 62)
    for k in np.flatnonzero(np.abs(change) >= shock_bp):
        if times[k] >= busy:
            found.append(int(times[k]))
            signs.append(float(np.sign(change[k])))
            reference.append(float(values[before[k]]))
            busy = int(times[k]) + horizon
    if not found:
        raise DataError(f"expected moves of {shock_bp} bp within {window_ms} ms, found none in {times.size} values")
    at, sign, base = np.array(found), np.array(signs), np.array(reference)
    whole = at + horizon <= times[-1]
    dropped = int((~whole).sum())
    at, sign, base = at[whole], sign[whole], base[whole]
    if not at.size:
        raise DataError(f"expected {horizon_ms} ms of values after a shock, found less after each of {dropped}")
    offsets = np.linspace(0, horizon, steps + 1).astype(np.int64)
    held = np.searchsorted(times, at[:, None] + offsets[None, :], "right") - 1
    paths = sign[:, None] * (values[held] - base[:, None])
    mean = paths.mean(axis=0)

    def half_life(path: np.ndarray) -> float:
        if not path[0] > path[-1]:
            return math.nan
        return float(offsets[int(np.argmax(path <= (path[0] + path[-1]) / 2))] / 1e6)

    lo = hi = np.full(offsets.size, np.nan)
    ends: list[float | None] = [None, None]
    block = (at - at[0]) // int(block_s * 1e9)
    groups = [paths[block == b] for b in np.unique(block)]
    if len(groups) >= 6:
        sums, sizes = np.array([g.sum(axis=0) for g in groups]), np.array([len(g) for g in groups])
        draws = np.random.default_rng(seed).integers(0, len(groups), (resamples, len(groups)))
        means = sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)[:, None]
        tails = [(1 - level) / 2, (1 + level) / 2]
        lo, hi = np.quantile(means, tails, axis=0)
        lives = np.array([half_life(path) for path in means])
        if np.isfinite(lives).mean() > 0.95:
            ends = [float(q) for q in np.nanquantile(lives, tails)]
    path = pl.DataFrame({"offset_ms": offsets / 1e6, "mean_bp": mean, "lo_bp": lo, "hi_bp": hi})
    life = half_life(mean)
    row = {
        "shocks": at.size,
        "dropped": dropped,
        "start_bp": float(mean[0]),
        "rest_bp": float(mean[-1]),
        "half_life_ms": life if math.isfinite(life) else None,
        "lo_ms": ends[0],
        "hi_ms": ends[1],
    }
    schema = {"shocks": pl.Int64, "dropped": pl.Int64} | dict.fromkeys([*row][2:], pl.Float64)
    return path.with_columns(pl.col("lo_bp", "hi_bp").fill_nan(None)), pl.DataFrame([row], schema=schema)


def shock_half_life(basis: pl.DataFrame, /, **options: float) -> pl.DataFrame:
    """The one row of `shock_path`, where options and columns are described."""
    return shock_path(basis, **options)[1]  # type: ignore[arg-type]
