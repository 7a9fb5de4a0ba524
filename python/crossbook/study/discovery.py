"""Where the price is found: how two or more venues adjust to each other, and each one's share in what lasts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checked import checked
from crossbook.study.least_squares import student
from crossbook.study.resample import expanded_tails, mean_run_length, stationary_counts, variance_freedom
from crossbook.study.series import Clock, Floats, series
from crossbook.study.shares import MOST, Shares, frame_of, shares_of
from crossbook.study.vecm import (
    Trend,
    Vecm,
    as_array,
    check_lags,
    gaps_of,
    lag_order,
    matrix_of,
    moments,
    regress,
    vecm,
    vecm_columns,
)

__all__ = ["Discovery", "aligned_prices", "half_life", "price_discovery", "rolling_discovery"]

Criterion = Literal["aic", "bic", "hqic"]
MIN_BLOCKS = 20
MEASURES = (
    "information_share",
    "information_share_lo",
    "information_share_hi",
    "component_share",
    "modified_information_share",
    "information_leadership_share",
)


@dataclass(frozen=True, slots=True)
class Discovery:
    """What `price_discovery` found."""

    shares: pl.DataFrame
    """A row a venue and measure: ``venue, measure, value, lo, hi``."""
    adjustment: pl.DataFrame
    """A row a venue and gap: ``gap, venue, alpha, alpha_lo, alpha_hi`` (share of the gap closed in a row),
    ``half_life, half_life_lo, half_life_hi`` (of the gap, rows) and the same in ms (``half_life_ms`` …)."""
    fit: Vecm
    """The error correction itself."""
    lags: int
    """Lags of differences in it."""
    mean_run: float
    """Mean run of the bootstrap, in blocks."""


@checked
def aligned_prices(
    prices: Mapping[str, pl.DataFrame],
    /,
    *,
    clock: Clock = "recv",
    value: str = "mid",
    every_ms: float | None = 100.0,
) -> pl.DataFrame:
    """Log prices of several venues side by side: at each row the last one known of each.

    `every_ms`: rows at whole multiples of it since the epoch; ``None``: a row at each instant at which any venue has an
    observation (event time). From the first instant at which all are known to the last at which all still report, so
    that a venue that ended early is not taken for a price that stands still.

    Parameters: quotes or trades by venue name with ``ts_recv`` or ``ts_event`` (ns) and `value`; rows without a value
    or time are left out. Columns: ``ts`` (ns) and one a venue, natural logs. Raises `DataError` for fewer than two
    venues, no shared time, an interval that is not positive, or as `crossbook.study.lead_lag` does for each frame.
    """
    if len(prices) < 2:
        raise DataError(f"expected prices of at least two venues, found {list(prices)}")
    if "ts" in prices:
        raise DataError('expected venues by another name than "ts"')
    known = {name: series(frame, clock, value) for name, frame in prices.items()}
    start = max(int(times[0]) for times, _ in known.values())
    end = min(int(times[-1]) for times, _ in known.values())
    if every_ms is None:
        rows = np.unique(np.concatenate([times for times, _ in known.values()]))
        rows = rows[(rows >= start) & (rows <= end)]
    else:
        step = round(every_ms * 1e6) if math.isfinite(every_ms) else 0
        if step < 1:
            raise DataError(f"expected every_ms of at least a nanosecond, found {every_ms}")
        if (end - start) / step > 1e8:
            raise DataError(f"expected at most 100 million rows, found {(end - start) / step:,.0f} of {every_ms} ms")
        rows = np.arange(-(-start // step) * step, end + 1, step)
    if rows.size == 0:
        raise DataError(f"expected venues that share time, found none between {start} and {end} ns")
    columns = {name: values[np.searchsorted(times, rows, side="right") - 1] for name, (times, values) in known.items()}
    return pl.DataFrame({"ts": rows} | columns)


@checked
def half_life(alpha: Floats, beta: Floats, gamma: Floats, sigma: Floats, /, *, longest: int = 10_000) -> Floats:
    """Rows until half of a typical shock to each gap has gone, `[…, r]`; infinite if not within `longest`.

    The persistence profile `H(h) = β_j' B_h Σ B_h' β_j / β_j' Σ β_j`, with `B_h` the effect of residuals on prices `h`
    rows later, is the variance of what is left of the shocks' mixture that the data show. The half-life is where
    `√H` first falls to ½, log-linear between rows; without lags exactly `ln ½ / ln(1 + β'α)`. Works on stacks
    of models (leading axes). Raises `DataError` for other shapes, values that are not finite, or a `sigma` that is not
    positive definite. Pesaran & Shin (1996), "Cointegration and speed of convergence to equilibrium", Journal of
    Econometrics 71.
    """
    alpha, beta, gamma, sigma = (
        as_array(x, name) for x, name in ((alpha, "alpha"), (beta, "beta"), (gamma, "gamma"), (sigma, "sigma"))
    )
    k, r = (sigma.shape[-1], beta.shape[-1]) if sigma.ndim > 1 and beta.ndim > 1 else (0, 0)
    fits = k > 0 and r > 0 and sigma.shape[-2:] == (k, k) and beta.shape[-2:] == (k, r) and alpha.shape[-2:] == (k, r)
    if not fits or gamma.ndim < 3 or gamma.shape[-2:] != (k, k):
        raise DataError(
            "expected alpha and beta [k, r], gamma [lags, k, k] and sigma [k, k], "
            f"found {alpha.shape}, {beta.shape}, {gamma.shape} and {sigma.shape}"
        )
    if not all((np.abs(x) < 1e100).all() for x in (alpha, beta, gamma, sigma)):
        raise DataError("expected a finite alpha, beta, gamma and sigma")
    if not 1 <= longest <= 10_000_000:
        raise DataError(f"longest: expected 1 to 10,000,000 rows, found {longest}")
    lags = gamma.shape[-3]
    try:
        level = np.linalg.cholesky(sigma)
    except np.linalg.LinAlgError:
        raise DataError("expected a positive definite sigma") from None
    if not beta.any(axis=-2).all():
        raise DataError("expected gaps, found a column of beta that is 0")
    past = [level, *(np.zeros_like(level) for _ in range(lags))][: max(lags, 1)]
    gaps = np.broadcast_to(beta, (*level.shape[:-2], *np.shape(beta)[-2:]))
    turned = np.swapaxes(gaps, -1, -2)
    left = np.linalg.norm(turned @ level, axis=-1)
    begin, before, found = left, np.ones_like(left), np.full(left.shape, np.inf)
    # A model that explodes has no half-life: it stays infinite.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for row in range(1, longest + 1):
            change = alpha @ (turned @ level)
            for lag in range(lags):
                change = change + gamma[..., lag, :, :] @ past[lag]
            level = level + change
            past = [change, *past[:-1]]
            left = np.linalg.norm(turned @ level, axis=-1) / begin
            part = np.log(before / 0.5) / np.log(before / left)
            now = np.isinf(found) & (left <= 0.5)
            found = np.where(now, row - 1 + np.where(left > 0, part, 1.0), found)
            before = left
            if (np.isfinite(found) | ~np.isfinite(left)).all():
                break
    return found


@checked
def price_discovery(
    frame: pl.DataFrame,
    /,
    *,
    columns: Sequence[str] | None = None,
    lags: int | Criterion = "bic",
    max_lags: int = 30,
    beta: Floats | Literal["spreads", "johansen"] = "spreads",
    trend: Trend = "constant",
    block_rows: int | None = None,
    mean_run: float | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Discovery:
    """Shares of price discovery, speeds of adjustment and half-lives, with bootstrap intervals.

    The model is `vecm`'s, the shares `information_shares`', the half-life `half_life`'s. `lags`: a number, or the
    criterion by which `lag_order` chooses among 0 to `max_lags`.

    Intervals: rows of the regression (each with its own lags, so no seam is ever regressed upon) are cut into blocks of
    `block_rows` (by default a 250th of them); blocks are drawn by the stationary bootstrap with mean run `mean_run` (by
    default chosen from the estimating function of `α`, see `mean_run_length`), and everything but `β` and the number of
    lags is estimated again: percentiles at `level`, further out where few blocks carry most of the variance
    (`expanded_tails` with the degrees of `variance_freedom`); of a half-life the resamples' deviation of its inverse,
    by Student's t. A resample costs a weighted sum of the blocks' moments, whatever the number of rows. `β` is left as
    it is because its error is of a smaller order (superconsistency).

    Parameters: `frame` of two to six log prices of one thing in rows of equal meaning (`aligned_prices`, or days side
    by side); a column ``ts`` (ns or Datetime) gives half-lives in ms if its rows are evenly spaced. An interval of
    Hasbrouck's bounds is a row for each bound; where the bounds are far apart, sample more often. A half-life longer
    than 10,000 rows is null, and so is its upper end where no reversion at all is within the interval.

    Raises `DataError` as `vecm` and `information_shares` do, and for fewer than 20 blocks.

    Hasbrouck (1995), Journal of Finance 50(4); Baillie, Booth, Tse & Zabotina (2002), "Price discovery and common
    factor models", Journal of Financial Markets 5; Politis & Romano (1994), JASA 89(428).
    """
    names, y = matrix_of(frame, columns, least=2)
    k = len(names)
    if k > MOST:
        raise DataError(f"expected two to {MOST} prices, found {k}")
    if not (resamples > 0 and 0.0 < level < 1.0):
        raise DataError("expected resamples > 0 and 0 < level < 1")
    chosen = _choose_lags(frame, names, lags, max_lags, beta, trend)
    fit = vecm(frame, lags=chosen, columns=names, beta=beta, rank=k - 1 if beta == "johansen" else None, trend=trend)
    found = shares_of(fit.alpha, fit.sigma)

    stack, counts = _block_moments(y, fit.beta, chosen, trend, block_rows)
    if len(stack) < MIN_BLOCKS:
        raise DataError(f"expected at least {MIN_BLOCKS} blocks, found {len(stack)} of {int(counts[0])} rows")
    scores = _scores(stack, fit.beta, trend)
    run = max(mean_run_length(score) for score in scores) if mean_run is None else mean_run
    weights = stationary_counts(len(stack), run, resamples, np.random.default_rng(seed))
    drawn = _estimate(weights, stack, counts, fit, chosen, trend)
    freedom = _freedom(scores, run)
    tail = expanded_tails(level, len(stack), freedom)

    shares = Shares(drawn[0], drawn[2])
    bounds = {name: _quantiles(values, tail) for name, values in _measures(shares).items() if values is not None}
    point = frame_of(found, names)
    rows = []
    for i, venue in enumerate(names):
        for measure in MEASURES:
            lo, hi = bounds[measure][:, i] if measure in bounds else (None, None)
            rows.append((venue, measure, point[measure][i], lo, hi))
    schema = {"venue": pl.String, "measure": pl.String, "value": pl.Float64, "lo": pl.Float64, "hi": pl.Float64}
    table = (
        pl.DataFrame(rows, schema=schema, orient="row")
        .drop_nulls("value")
        .with_columns(pl.col("lo", "hi").fill_nan(None))
    )
    return Discovery(table, _adjustment(frame, fit, drawn, tail, student(level, freedom)), fit, chosen, float(run))


def _choose_lags(
    frame: pl.DataFrame, names: Sequence[str], lags: int | str, most: int, beta: Floats | str, trend: Trend
) -> int:
    if not isinstance(lags, str):
        return check_lags(lags)
    if lags not in ("aic", "bic", "hqic"):
        raise DataError(f'expected lags as a number, "aic", "bic" or "hqic", found {lags!r}')
    # The order is that of the differences' dynamics, which do not hang on the exact gaps.
    gaps = "spreads" if isinstance(beta, str) else beta
    orders = lag_order(frame, max_lags=most, columns=names, beta=gaps, trend=trend)  # type: ignore[arg-type]
    return int(orders["lags"][int(orders[lags].arg_min() or 0)])


def _block_moments(y: Floats, beta: Floats, lags: int, trend: Trend, block_rows: int | None) -> tuple[Floats, Floats]:
    """Moment matrices `[blocks, m, m]` of consecutive rows, and how many. The last block takes the remainder."""
    changes, extras, _ = vecm_columns(y, beta, trend)
    rows = len(changes) - lags
    size = max(1, -(-rows // 250)) if block_rows is None else block_rows
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= rows:
        raise DataError(f"expected block_rows of 1 to {rows}, found {block_rows!r}")
    edges = [*range(0, rows - size + 1, size), rows]
    parts = [moments(changes[a : b + lags], extras[a : b + lags], lags) for a, b in itertools.pairwise(edges)]
    return np.stack([part for part, _ in parts]), np.array([float(count) for _, count in parts])


def _scores(stack: Floats, beta: Floats, trend: Trend) -> list[Floats]:
    """`Σ z(t - 1) û(t)` of each block, by gap and venue: what moves `α` when a block is drawn more often."""
    k, r = beta.shape
    first = int(trend == "constant")
    extras = first + r
    regressors = np.r_[0:extras, extras + k : stack.shape[-1]]
    coefficients, _ = regress(stack.sum(axis=0), 1, extras, k)
    gaps = np.arange(first, extras)
    score = stack[:, gaps, extras : extras + k] - stack[:, gaps][:, :, regressors] @ coefficients
    return [score[:, i, j] for i in range(r) for j in range(k)]


def _freedom(scores: list[Floats], run: float) -> float:
    """Degrees of freedom of what the resamples say of errors: those of the speed of which the blocks say least.

    Runs of mean `run` blocks give products of scores `l` blocks apart the weight ``q^l``, ``q = 1 - 1/run`` (Politis &
    Romano 1994), and each weighs in with its own noise: ``Σ q^(2|l|) = (1 + q²) / (1 - q²)`` times that of one block.
    """
    q = 1.0 - 1.0 / run
    return max(min(variance_freedom(score) for score in scores) * (1 - q * q) / (1 + q * q), 2.0)


def _estimate(
    weights: Floats, stack: Floats, counts: Floats, fit: Vecm, lags: int, trend: Trend
) -> tuple[Floats, Floats, Floats]:
    """`α`, `Γ` and `Σ` of every row of weights of blocks: `[resamples, …]`."""
    k, r = fit.beta.shape
    first = int(trend == "constant")
    size = stack.shape[-1]
    drawn = (weights @ stack.reshape(len(stack), -1)).reshape(len(weights), size, size)
    rows = (weights @ counts)[:, None, None]
    coefficients, sigma = regress(drawn, rows, first + r, k)  # type: ignore[arg-type]  # rows of each
    alpha = np.swapaxes(coefficients[:, first : first + r], -1, -2)
    gamma = np.swapaxes(coefficients[:, first + r :].reshape(len(weights), lags, k, k), -1, -2)
    return alpha, gamma, sigma


def _measures(found: Shares) -> dict[str, Floats | None]:
    middle = (found.low + found.high) / 2
    return dict(
        zip(MEASURES, (middle, found.low, found.high, found.component, found.modified, found.leadership), strict=True)
    )


def _quantiles(values: Floats, tail: list[float]) -> Floats:
    """Percentiles over the first axis; an infinite one (a half-life that never came) stays infinite."""
    ordered = np.sort(values, axis=0)
    places = [math.floor(tail[0] * (len(ordered) - 1)), math.ceil(tail[1] * (len(ordered) - 1))]
    return np.asarray(ordered[places])


def _adjustment(
    frame: pl.DataFrame, fit: Vecm, drawn: tuple[Floats, Floats, Floats], tail: list[float], reach: float
) -> pl.DataFrame:
    alpha, gamma, sigma = drawn
    lives = half_life(fit.alpha, fit.beta, fit.gamma, fit.sigma)
    life_bounds, alpha_bounds = np.full((2, lives.size), np.inf), _quantiles(alpha, tail)
    # Where the estimate itself has none there is no interval to look for.
    if np.isfinite(lives).all():
        life_bounds = _life_bounds(lives, half_life(alpha, fit.beta, gamma, sigma), reach)
    spacing = _spacing_ms(frame)
    rows: list[dict[str, Any]] = []
    for j in range(fit.beta.shape[1]):
        gap = " ".join(f"{b:+g} {name}" for b, name in zip(fit.beta[:, j], fit.columns, strict=True) if b != 0)
        for i, venue in enumerate(fit.columns):
            row: dict[str, Any] = {"gap": gap.removeprefix("+"), "venue": venue, "alpha": fit.alpha[i, j]}
            row |= {"alpha_lo": alpha_bounds[0, i, j], "alpha_hi": alpha_bounds[1, i, j]}
            values = (lives[j], life_bounds[0, j], life_bounds[1, j])
            for name, value in zip(("half_life", "half_life_lo", "half_life_hi"), values, strict=True):
                known = float(value) if np.isfinite(value) else None
                row[name] = known
                row[name.replace("life", "life_ms")] = None if known is None or spacing is None else known * spacing
            rows.append(row)
    numbers = [name for name in rows[0] if name not in ("gap", "venue")]
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(numbers, pl.Float64))


def _life_bounds(lives: Floats, drawn: Floats, reach: float) -> Floats:
    """`reach` deviations of the resamples either way of each half-life's inverse, `[2, r]`; infinite where that is 0.

    The inverse is a rate: nearly linear in what is regressed, and errors grow with it, so that an interval about it is
    right on both sides where one about half-lives, or their quantiles, too often ends below the truth.
    """
    with np.errstate(divide="ignore"):
        rates = 1.0 / lives
        off = reach * (1.0 / drawn).std(axis=0)
        return np.stack([1.0 / (rates + off), 1.0 / np.maximum(rates - off, 0.0)])


def _spacing_ms(frame: pl.DataFrame) -> float | None:
    if "ts" not in frame.columns or frame.height < 2:
        return None
    steps = frame["ts"].diff().drop_nulls().unique()
    return float(steps[0]) / 1e6 if len(steps) == 1 and steps[0] > 0 else None


@checked
def rolling_discovery(
    frame: pl.DataFrame,
    /,
    *,
    window_rows: int,
    step_rows: int,
    lags: int,
    columns: Sequence[str] | None = None,
    beta: Floats | Literal["spreads"] = "spreads",
    trend: Trend = "constant",
    block_rows: int | None = None,
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> pl.DataFrame:
    """Shares and speeds over windows of `window_rows`, every `step_rows`, from moments that are summed once.

    Each window is `price_discovery` at a fixed number of lags on its own rows (lags reach back before its first); its
    interval draws the window's blocks of `block_rows` (a divisor of `window_rows` and `step_rows`; by default their
    greatest common divisor or a 50th of the window, whichever is less) one by one; percentiles as there.

    Columns: ``row`` (the last row of the window) or, where `frame` has one, ``ts`` (ns, of that row), ``venue, measure,
    value, lo, hi``; measures are those of `information_shares` and, of two prices, ``alpha``. A window in which a price
    never moves or nothing corrects has no rows. Raises `DataError` as `price_discovery` does, and where no window fits.
    """
    names, y = matrix_of(frame, columns, least=2)
    k, lags = len(names), check_lags(lags)
    gaps = gaps_of(beta, k)
    if k > MOST or gaps.shape[1] != k - 1:
        raise DataError(f"expected two to {MOST} prices with one common trend, found {k} with {gaps.shape[1]} gaps")
    common = math.gcd(window_rows, step_rows)
    size = block_rows or next(d for d in range(max(1, min(common, window_rows // 50)), 0, -1) if common % d == 0)
    if not (step_rows > 0 and window_rows > 0 and size > 0 and common % size == 0 and 0.0 < level < 1.0):
        raise DataError("expected positive window_rows and step_rows, block_rows that divides both, and 0 < level < 1")
    blocks = window_rows // size
    if blocks < MIN_BLOCKS:
        raise DataError(f"expected at least {MIN_BLOCKS} blocks a window, found {blocks} of {size} rows")
    if len(y) - 1 - lags < window_rows:
        raise DataError(f"expected at least one window of {window_rows} rows, found {max(0, len(y) - 1 - lags)} rows")
    stack, counts = _block_moments(y, gaps, lags, trend, size)
    model = Vecm(names, np.zeros((k, k - 1)), gaps, np.zeros((lags, k, k)), np.zeros(k), np.eye(k), 0.0, 0)
    rng = np.random.default_rng(seed)
    whole = (len(y) - 1 - lags) // size  # the last block has the remainder and belongs to no window
    if counts[-1] == size:
        whole = len(stack)
    rows = []
    for begin in range(0, whole - blocks + 1, step_rows // size):
        mine, sizes = stack[begin : begin + blocks], counts[begin : begin + blocks]
        weights = np.vstack([np.ones(blocks), stationary_counts(blocks, 1.0, resamples, rng)])
        try:
            alpha, _, sigma = _estimate(weights, mine, sizes, model, lags, trend)
            shares_of(alpha[0], sigma[0])
            tail = expanded_tails(level, blocks, _freedom(_scores(mine, gaps, trend), 1.0))
            measures = _measures(Shares(alpha, sigma))
        except (DataError, np.linalg.LinAlgError):
            continue
        if k == 2:
            measures["alpha"] = alpha[:, :, 0]
        last = 1 + lags + (begin + blocks) * size - 1
        at = {"ts": frame["ts"][last]} if "ts" in frame.columns else {"row": last}
        for measure, values in measures.items():
            if values is None:
                continue
            lo, hi = _quantiles(values[1:], tail)
            rows += [
                at | {"venue": name, "measure": measure, "value": values[0, i], "lo": lo[i], "hi": hi[i]}
                for i, name in enumerate(names)
            ]
    place = "ts" if "ts" in frame.columns else "row"
    schema = {place: pl.Int64, "venue": pl.String, "measure": pl.String}
    table = pl.DataFrame(rows, schema=schema | dict.fromkeys(("value", "lo", "hi"), pl.Float64))
    return table.with_columns(pl.col("value", "lo", "hi").fill_nan(None)).drop_nulls("value")
