"""Statistical arbitrage between two venues: are the prices tied, at what ratio, and what is left after costs and
delay."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.checks import bootstrap, checked, floats, number_column
from crossbook.study.series import Clock, Floats, Times, on_clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossbook.costs import Cost, State

__all__ = ["backtest_pair", "backtest_summary", "engle_granger", "johansen", "kalman_hedge", "sample_pair"]


@checked
def sample_pair(
    primary: pl.DataFrame,
    secondary: pl.DataFrame,
    /,
    *,
    every_ms: float = 1000.0,
    value: str = "mid",
    clock: Clock = "recv",
    log: bool = True,
) -> pl.DataFrame:
    """Both venues' last known values at equal steps, where each is known: ``ts, primary, secondary``.

    A step shows the last row at or before it (previous tick); values are natural logs unless `log` is false. A row with
    a null or NaN value means unknown until the next. Tests of cointegration need equal steps; nothing else here does.
    Raises `DataError` for missing columns, values of 0 or below with `log`, or no shared time.
    """
    if not 1e-3 <= every_ms < 1e12:
        raise DataError(f"every_ms: expected 0.001 or more, found {every_ms}")
    frames = []
    for role, frame in (("primary", primary), ("secondary", secondary)):
        if value not in frame.columns:
            raise DataError(f"{role}: expected a column {value}, found {', '.join(frame.columns)}")
        rows = on_clock(frame, clock).select(pl.col("ts").cast(pl.Int64), pl.col(value).cast(pl.Float64).alias(role))
        if rows.is_empty():
            raise DataError(f"{role}: expected at least one row with a time on the {clock} clock, found none")
        frames.append(rows.with_columns(pl.col(role).fill_nan(None)))
    step = round(every_ms * 1e6)
    first = max(int(rows["ts"][0]) for rows in frames)
    last = min(int(rows["ts"][-1]) for rows in frames)
    if last < first:
        raise DataError("expected rows of both venues in one stretch of time, found none that is shared")
    grid = pl.DataFrame({"ts": np.arange(first, last + 1, step, dtype=np.int64)})
    for rows in frames:
        grid = grid.join_asof(rows, on="ts", strategy="backward")
    grid = grid.drop_nulls()
    if log:
        if not (grid.select((pl.col("primary", "secondary") > 0).all()).row(0) == (True, True) or grid.is_empty()):
            raise DataError(f"expected positive values of {value}, whose logarithm is studied")
        grid = grid.with_columns(pl.col("primary", "secondary").log())
    return grid


def _columns(pair: pl.DataFrame, least: int) -> tuple[Floats, Floats]:
    """The two columns of a sampled pair, checked."""
    if missing := {"primary", "secondary"} - set(pair.columns):
        raise DataError(f"expected columns primary and secondary, missing {sorted(missing)}")
    x, y = (number_column(pair, c, "pair").cast(pl.Float64).to_numpy() for c in ("primary", "secondary"))
    if x.size < least:
        raise DataError(f"expected at least {least} observations, found {x.size}")
    for name, values in (("primary", x), ("secondary", y)):
        if not np.isfinite(values).all():
            raise DataError(f"{name}: expected finite values, found null, NaN or infinity")
        if values.min() == values.max():
            raise DataError(f"{name}: expected values that move, found {values[0]} throughout")
    return x, y


@checked
def engle_granger(pair: pl.DataFrame, /, *, lags: int | None = None) -> pl.DataFrame:
    """Test whether two series are cointegrated, and at what ratio: Engle and Granger's two steps, both ways round.

    A regression ``y = a + b x + e``, then the augmented Dickey-Fuller test of `e`, lags chosen by AIC (at most `lags`),
    p-values of MacKinnon (`statsmodels.tsa.stattools.coint`). `pair` with ``primary, secondary`` at equal steps, as
    `sample_pair` gives it. A row a direction: ``dependent, intercept, ratio, statistic, p, critical_1, critical_5,
    critical_10, observations``. Null hypothesis: not cointegrated; assumes a ratio that is constant. Raises `DataError`
    for fewer than 20 observations, values that do not move or are not finite, or series that are equal up to scale.
    Engle & Granger (1987), "Co-integration and error correction", Econometrica 55(2).
    """
    from statsmodels.tsa.stattools import coint

    x, y = _columns(pair, 20)
    if lags is not None and not 0 <= lags <= x.size // 2 - 3:
        raise DataError(f"lags: expected 0 to {x.size // 2 - 3} for {x.size} observations, found {lags}")
    rows = []
    for name, left, right in (("secondary", y, x), ("primary", x, y)):
        slope, intercept = np.polyfit(right - right.mean(), left, 1)
        left_over = left - intercept - slope * (right - right.mean())
        if float(left_over.std()) <= 1e-12 * float(left.std()):
            raise DataError("expected two series, found one that is a multiple of the other")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            statistic, p, critical = coint(left, right, trend="c", maxlag=lags, autolag="aic")[:3]
        rows.append(
            (name, float(intercept - slope * right.mean()), float(slope), float(statistic), float(p), *critical)
        )
    floats = ("intercept", "ratio", "statistic", "p", "critical_1", "critical_5", "critical_10")
    schema = {"dependent": pl.String} | dict.fromkeys(floats, pl.Float64)
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(observations=pl.lit(x.size, pl.Int64))


@checked
def johansen(
    pair: pl.DataFrame, /, *, lags: int = 1, trend: Literal["none", "constant", "linear"] = "constant"
) -> pl.DataFrame:
    """Johansen's test of how many stationary combinations two series have, and the first of them.

    `lags` of differences, a deterministic `trend` (`statsmodels.tsa.vector_ar.vecm.coint_johansen`). A row a null
    hypothesis ``rank ≤ r``: ``rank, eigenvalue, trace, trace_90, trace_95, trace_99, maximum, maximum_90, maximum_95,
    maximum_99, ratio``: ``secondary - ratio · primary`` is the combination that belongs to the eigenvalue. The tables
    for ``constant`` are of prices that drift: of walks without drift the trace test rejects more often than it says (9
    of 40 at 5 % in a trial). Input and errors as in `engle_granger`. Johansen (1991), "Estimation and hypothesis
    testing of cointegration vectors in Gaussian vector autoregressive models", Econometrica 59(6).
    """
    from statsmodels.tsa.vector_ar.vecm import coint_johansen

    if lags < 0 or trend not in ("none", "constant", "linear"):
        raise DataError(
            f'expected lags of 0 or more and a trend "none", "constant" or "linear", found {lags}, {trend!r}'
        )
    x, y = _columns(pair, 20 + 4 * lags)
    if abs(float(np.corrcoef(x, y)[0, 1])) > 1 - 1e-12:
        raise DataError("expected two series, found one that is a multiple of the other")
    found = coint_johansen(np.column_stack([y, x]), {"none": -1, "constant": 0, "linear": 1}[trend], lags)
    return pl.DataFrame(
        {
            "rank": [0, 1],
            "eigenvalue": found.eig,
            "trace": found.lr1,
            **{f"trace_{q}": found.cvt[:, k] for k, q in enumerate((90, 95, 99))},
            "maximum": found.lr2,
            **{f"maximum_{q}": found.cvm[:, k] for k, q in enumerate((90, 95, 99))},
            "ratio": -found.evec[1] / found.evec[0],
        }
    )


@checked
def kalman_hedge(
    pair: pl.DataFrame,
    /,
    *,
    noise: float | None = None,
    step: tuple[float, float] | None = None,
    first: tuple[float, float] | None = None,
    doubt: tuple[float, float] | None = None,
    warm_up: int = 100,
) -> pl.DataFrame:
    """Follow a hedge ratio that moves: ``secondary = α + β · primary + e`` with `α` and `β` random walks.

    The Kalman filter: what a row says was known at it, nothing later is used, except that `noise` (variance of ``e``)
    and `step` (variances of a step of ``β, α``) are fitted to the whole by maximum likelihood unless given; give both
    for an honest backtest. `first` guess of ``(β, α)`` and its variances `doubt`, both as of one step before the first
    row: by default a regression over the first `warm_up` rows with `warm_up` times its variances, the information of
    one row, so that those rows do not count twice. Until there a row knows what the regression saw: give `first` and
    `doubt` where that matters. `primary` is taken about its first value, so ``α`` is the secondary's value there.

    Returns `pair` with ``beta, beta_se, alpha, innovation`` (the secondary less what was expected), ``z`` (over its
    standard deviation) and a constant column each ``noise, step_beta, step_alpha, log_likelihood``. Raises `DataError`
    for fewer than `warm_up` + 2 rows (at least 5), values that do not move or are not finite, or variances out of
    range. Elliott, van der Hoek & Malcolm (2005), "Pairs trading", Quantitative Finance 5(3).
    """
    from scipy.optimize import minimize

    if warm_up < 3:
        raise DataError(f"warm_up: expected 3 or more, found {warm_up}")
    x, y = _columns(pair, warm_up + 2)
    x = np.ascontiguousarray(x - x[0])
    y = np.ascontiguousarray(y)
    head, tail = x[:warm_up], y[:warm_up]
    centred = head - head.mean()
    square = float(centred @ centred)
    if square == 0.0 and (first is None or doubt is None):
        raise DataError(f"expected the primary to move within the first {warm_up} rows, or a first guess and its doubt")
    slope = float(centred @ tail) / square if square else 0.0
    level = float(tail.mean() - slope * head.mean())
    rest = float(((tail - level - slope * head) ** 2).sum() / (warm_up - 2))
    rest = max(rest, 1e-18 * float(y.var()))
    if first is None:
        first = (slope, level)
    if doubt is None:
        doubt = (warm_up * rest / square, rest * (1 + warm_up * float(head.mean()) ** 2 / square))

    def run(log_noise: float, steps: tuple[float, float]) -> tuple[Floats, Floats, Floats, Floats, Floats, float]:
        return _core.kalman_hedge(x, y, first=first, doubt=doubt, step=steps, noise=math.exp(log_noise))

    if noise is None or step is None:
        scale = rest / max(float(x.var()), 1e-300)

        def unpack(p: Floats) -> tuple[float, tuple[float, float]]:
            p = np.clip(p, -60, 30)
            log_noise = math.log(noise) if noise is not None else math.log(rest) + float(p[0])
            steps = step or (scale * math.exp(float(p[-2])), rest * math.exp(float(p[-1])))
            return log_noise, steps

        def target(p: Floats) -> float:
            return -run(*unpack(p))[-1] / x.size

        begin = [0.0] * (noise is None) + [-8.0, -8.0] * (step is None)
        found = minimize(target, begin, method="Nelder-Mead", options={"maxiter": 400, "xatol": 1e-2, "fatol": 1e-7})
        log_noise, step = unpack(found.x)
        noise = math.exp(log_noise)
    if not (noise > 0 and all(value >= 0 for value in step)):
        raise DataError(f"expected a noise above 0 and steps of 0 or more, found {noise} and {step}")
    beta, alpha, innovation, variance, doubts, value = run(math.log(noise), step)
    return pair.with_columns(
        beta=beta,
        beta_se=np.sqrt(np.maximum(doubts, 0.0)),
        alpha=alpha,
        innovation=innovation,
        z=innovation / np.sqrt(variance),
        noise=pl.lit(noise),
        step_beta=pl.lit(float(step[0])),
        step_alpha=pl.lit(float(step[1])),
        log_likelihood=pl.lit(value),
    )


TRADES = {
    "side": pl.Int8,
    "decided": pl.Int64,
    "opened": pl.Int64,
    "close_decided": pl.Int64,
    "closed": pl.Int64,
    "open_spread_bp": pl.Float64,
    "close_spread_bp": pl.Float64,
    "gross_bp": pl.Float64,
    "crossing_bp": pl.Float64,
    "fees_bp": pl.Float64,
    "net_bp": pl.Float64,
    "hold_ms": pl.Float64,
    "available": pl.Float64,
    "marked": pl.Boolean,
}


class _Touches:
    """A venue's touches in time order: the last of an instant holds; one with an unknown side is unknown."""

    def __init__(self, frame: pl.DataFrame, clock: Clock, role: str) -> None:
        if missing := {"bid", "ask"} - set(frame.columns):
            raise DataError(f"{role}: expected columns bid and ask, missing {sorted(missing)}")
        rows = on_clock(frame, clock).unique("ts", keep="last", maintain_order=True)
        self.times: Times = rows["ts"].cast(pl.Int64).to_numpy()
        self.bid, self.ask = (rows[c].cast(pl.Float64).fill_null(float("nan")).to_numpy() for c in ("bid", "ask"))
        sizes = [c for c in ("bid_size", "ask_size") if c in rows.columns]
        self.sizes = [rows[c].cast(pl.Float64).fill_null(float("nan")).to_numpy() for c in sizes]
        with np.errstate(invalid="ignore"):
            self.known = (self.bid > 0) & (self.ask > 0) & np.isfinite(self.bid) & np.isfinite(self.ask)
        if not self.known.any():
            raise DataError(
                f"{role}: expected at least one touch with both sides known on the {clock} clock, found none"
            )
        self._next = np.flatnonzero(self.known)

    def at(self, time: int) -> int | None:
        """The row that holds at a time, or the first known one after it if none does; None past the last."""
        row = int(np.searchsorted(self.times, time, "right")) - 1
        if row >= 0 and self.known[row]:
            return row
        later = int(np.searchsorted(self._next, row, "right"))
        return int(self._next[later]) if later < self._next.size else None


@checked
def backtest_pair(
    primary: pl.DataFrame,
    secondary: pl.DataFrame,
    /,
    *,
    upper_bp: float,
    lower_bp: float,
    close_short_bp: float = 0.0,
    close_long_bp: float = 0.0,
    hedge: float = 1.0,
    centre_bp: float = 0.0,
    fees_bp: tuple[float, float] = (0.0, 0.0),
    costs: tuple[Cost, Cost] | None = None,
    state: State | None = None,
    notional: float = 10_000.0,
    latency_ms: tuple[float, float] = (0.0, 0.0),
    clock: Clock = "recv",
) -> pl.DataFrame:
    """Trade the spread between two venues by thresholds, taking at the touch, with fees and delay: the trades.

    ``spread = 1e4 (ln mid_secondary - hedge · ln mid_primary) - centre``, in bp, at every instant at which both touches
    are known. Flat: at ``upper_bp`` or above sell the spread (side -1: sell the secondary, buy the primary), at
    ``lower_bp`` or below buy it. Short: close at ``close_short_bp`` or below; long: at ``close_long_bp`` or above. With
    ``close_short_bp = lower_bp`` and ``close_long_bp = upper_bp`` a position is turned around, as in `zeng_lee` (new).

    Each leg's order reaches its venue `latency_ms` (primary, secondary) after the decision and takes the touch that
    holds then (or the first known one after): prices may have gone, nothing is assumed to rest. Until both legs are
    done nothing new is decided. `fees_bp` are taker fees (primary, secondary) of what is paid or received; `hedge`
    units of currency of the primary are traded to one of the secondary. All figures are bp of the secondary's opening
    value at its mid. Touches are not consumed and size is not looked at, except that ``available`` says what the
    smaller touch offered at the opening (in the base currency, of the secondary; null without sizes): results hold for
    less than that.

    Columns: ``side, decided, opened`` (when the later leg was done), ``close_decided, closed`` (ns), ``open_spread_bp,
    close_spread_bp`` (at the decisions), ``gross_bp`` (at the mids of the fills), ``crossing_bp`` (half spreads paid),
    ``fees_bp, net_bp = gross - crossing - fees, hold_ms, available, marked`` (still open at the end: closed at the last
    touches). Empty where no threshold was met. Raises `DataError` for thresholds out of order, negative latency,
    missing columns or touches that are never known.
    """
    if not 0 < notional < math.inf:
        raise DataError(f"notional: expected a positive amount of quote currency, found {notional}")
    if costs is not None and fees_bp != (0.0, 0.0):
        raise DataError("expected fees_bp or costs, found both")
    # Of each venue, buying and selling: the rate and what is fixed, as a share of the notional.
    fees = [[(fee / 1e4, 0.0)] * 2 for fee in fees_bp]
    if costs is not None:
        terms = [[cost.affine(side=side, state=state) for side in ("buy", "sell")] for cost in costs]
        fees = [[(float(rate) / 1e4, float(fixed) / notional) for rate, fixed in venue] for venue in terms]
    levels = (lower_bp, upper_bp, close_short_bp, close_long_bp, hedge, centre_bp, *fees_bp, *latency_ms)
    if not all(math.isfinite(v) for v in levels) or hedge <= 0 or min(latency_ms) < 0 or max(map(abs, fees_bp)) >= 1e4:
        raise DataError(
            f"expected finite levels, a hedge above 0, fees below 10,000 bp and latencies of 0 or more, found {levels}"
        )
    if not (lower_bp < upper_bp and close_short_bp < upper_bp and close_long_bp > lower_bp):
        raise DataError(
            "expected lower_bp < upper_bp, close_short_bp < upper_bp and close_long_bp > lower_bp, found "
            f"{lower_bp}, {upper_bp}, {close_short_bp} and {close_long_bp}"
        )
    p, s = _Touches(primary, clock, "primary"), _Touches(secondary, clock, "secondary")
    times = np.union1d(p.times, s.times)
    rows = [np.searchsorted(v.times, times, "right") - 1 for v in (p, s)]
    known = (rows[0] >= 0) & (rows[1] >= 0) & p.known[rows[0]] & s.known[rows[1]]
    times, at_p, at_s = times[known], rows[0][known], rows[1][known]
    if times.size == 0:
        return pl.DataFrame(schema=TRADES)
    mids = [(v.bid[at] + v.ask[at]) / 2 for v, at in ((p, at_p), (s, at_s))]
    spread = 1e4 * (np.log(mids[1]) - hedge * np.log(mids[0])) - centre_bp
    meets = {
        "short": np.flatnonzero(spread >= upper_bp),
        "long": np.flatnonzero(spread <= lower_bp),
        "close_short": np.flatnonzero(spread <= close_short_bp),
        "close_long": np.flatnonzero(spread >= close_long_bp),
    }

    def first(what: str, since: int) -> int | None:
        found = meets[what]
        at = int(np.searchsorted(found, since))
        return int(found[at]) if at < found.size else None

    delay = [round(ms * 1e6) for ms in latency_ms]
    ends = (int(p._next[-1]), int(s._next[-1]))
    trades = []
    row = 0
    while True:
        options = [(at, side) for at, side in ((first("short", row), -1), (first("long", row), 1)) if at is not None]
        if not options:
            break
        begin, side = min(options)
        decided = int(times[begin])
        legs = p.at(decided + delay[0]), s.at(decided + delay[1])
        if legs[0] is None or legs[1] is None:
            break  # the data ends before the order arrives
        done = max(decided + delay[0], decided + delay[1], int(p.times[legs[0]]), int(s.times[legs[1]]))
        row = max(int(np.searchsorted(times, done, "left")), begin)
        finish = first("close_long" if side > 0 else "close_short", row)
        exits: tuple[int | None, int | None] = (None, None)
        if finish is not None:
            exits = p.at(int(times[finish]) + delay[0]), s.at(int(times[finish]) + delay[1])
        marked = finish is None or exits[0] is None or exits[1] is None
        if marked:
            finish, exits = times.size - 1, ends
        assert finish is not None
        assert exits[0] is not None
        assert exits[1] is not None
        over = int(times[finish])
        closed = over
        if not marked:
            closed = max(over + delay[0], over + delay[1], int(p.times[exits[0]]), int(s.times[exits[1]]))
        trades.append(
            {
                "side": side,
                "decided": decided,
                "opened": done,
                "close_decided": over,
                "closed": max(closed, done),
                "open_spread_bp": float(spread[begin]),
                "close_spread_bp": float(spread[finish]),
                **_result(p, s, legs, (exits[0], exits[1]), side, hedge, fees),
                "hold_ms": (max(closed, done) - done) / 1e6,
                "marked": marked,
            }
        )
        if marked:
            break
        # The next decision is taken once this one is done; where a close is an opening too, at the same instant.
        turn = int(np.searchsorted(times, closed, "left"))
        row = finish if closed == over else max(turn, finish + 1)
    return pl.DataFrame(trades, schema=TRADES)


def _result(
    p: _Touches,
    s: _Touches,
    legs: tuple[int | None, int | None],
    exits: tuple[int, int],
    side: int,
    hedge: float,
    rates: Sequence[Sequence[tuple[float, float]]],
) -> dict[str, float | None]:
    assert legs[0] is not None
    assert legs[1] is not None
    gross = crossing = fees = 0.0
    for venue, opening, closing, sign, weight, (buying, selling) in (
        (p, legs[0], exits[0], -side, hedge, rates[0]),
        (s, legs[1], exits[1], side, 1.0, rates[1]),
    ):
        entry, leave = ((venue.bid[i] + venue.ask[i]) / 2 for i in (opening, closing))
        # One unit of currency's worth at the opening mid: 1 / entry of the base currency.
        quantity = weight / entry
        pay = venue.ask[opening] if sign > 0 else venue.bid[opening]
        get = venue.bid[closing] if sign > 0 else venue.ask[closing]
        gross += sign * quantity * (leave - entry)
        crossing += quantity * (abs(pay - entry) + abs(get - leave))
        enter, leave_by = (buying, selling) if sign > 0 else (selling, buying)
        fees += quantity * (pay * enter[0] + get * leave_by[0]) + enter[1] + leave_by[1]
    available = None
    if len(p.sizes) == 2 and len(s.sizes) == 2:
        own = s.sizes[1 if side > 0 else 0][legs[1]]
        other = p.sizes[0 if side > 0 else 1][legs[0]] / hedge
        smaller = float(np.minimum(own, other))
        available = smaller if math.isfinite(smaller) else None
    parts = {"gross_bp": gross * 1e4, "crossing_bp": crossing * 1e4, "fees_bp": fees * 1e4}
    return {**parts, "net_bp": (gross - crossing - fees) * 1e4, "available": available}


@checked
def backtest_summary(
    trades: pl.DataFrame, /, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> pl.DataFrame:
    """One row about `backtest_pair`'s trades: ``trades, net_bp`` (sum), ``mean_bp, mean_lo, mean_hi`` (bootstrap of
    trades at `level`, taken as independent; null below two), ``gross_bp, crossing_bp, fees_bp`` (sums), ``hit_rate,
    drawdown_bp`` (of the sum after each trade, from 0), ``hold_ms`` (median). Sums are 0 and the rest null without
    trades. Raises `DataError` for a missing column.
    """
    if missing := set(TRADES) - set(trades.columns):
        raise DataError(f"trades: missing columns {sorted(missing)}")
    trades = floats(trades, ["net_bp", "hold_ms", "gross_bp", "crossing_bp", "fees_bp"], "trades")
    net = trades["net_bp"].to_numpy()
    mean = lo = hi = hits = hold = None
    if net.size:
        mean, hits, hold = float(net.mean()), float((net > 0).mean()), float(np.median(trades["hold_ms"].to_numpy()))
    if net.size > 1:
        means = np.concatenate([net[draws].mean(axis=1) for draws in bootstrap(seed, resamples, net.size)])
        lo, hi = (float(q) for q in np.quantile(means, [(1 - level) / 2, (1 + level) / 2]))
    path = np.concatenate([[0.0], np.cumsum(net)])
    row = {
        "trades": net.size,
        "net_bp": float(net.sum()),
        "mean_bp": mean,
        "mean_lo": lo,
        "mean_hi": hi,
        **{name: float(trades[name].sum()) for name in ("gross_bp", "crossing_bp", "fees_bp")},
        "hit_rate": hits,
        "drawdown_bp": float((np.maximum.accumulate(path) - path).max()),
        "hold_ms": hold,
    }
    return pl.DataFrame([row], schema={"trades": pl.Int64} | dict.fromkeys([*row][1:], pl.Float64))
