"""Price impact: Kyle's lambda, Amihud's ratio, the impact of orders by size, and the square-root law."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checked import SMALLEST, checked, expected_columns
from crossbook.study.least_squares import clustered, least_squares, student
from crossbook.study.prevailing import prevailing_quotes
from crossbook.study.series import Clock, Floats, on_clock

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["amihud", "fit_impact", "impact_curve", "kyle_lambda", "order_impacts", "trade_bars"]


@checked
def trade_bars(
    trades: pl.DataFrame,
    quotes: pl.DataFrame,
    /,
    *,
    every_ms: float = 1000.0,
    clock: Clock = "recv",
    start: int | None = None,
    end: int | None = None,
) -> pl.DataFrame:
    """Trades and mids in bars ``(start + k w, start + (k + 1) w]`` of `every_ms`, whole ones up to `end`.

    By default from the first time at which both a trade and a mid are known to the last quote. Columns: ``ts`` (ns, the
    bar's end), ``trades, volume`` (base currency), ``value`` (quote currency), ``signed_volume, signed_value`` (bought
    less sold), ``mid`` (last at or before the end; null where unknown), ``move`` (of the mid, quote currency),
    ``return_bp``. `trades` with ``side, price, size`` (those without price or size are left out, those without a side
    count as neither bought nor sold), `quotes` with ``mid``. Raises `DataError` for missing columns,
    no trades or quotes on `clock`, or more than ten million bars.
    """
    if not 1e-3 <= every_ms < 1e12:
        raise DataError(f"every_ms: expected 0.001 or more, found {every_ms}")
    for what, frame, wanted in (("trades", trades, {"side", "price", "size"}), ("quotes", quotes, {"mid"})):
        expected_columns(frame, what, wanted)
    # Volume without a price would count for one of the two measures alone.
    fills, rows = on_clock(trades, clock).drop_nulls(["price", "size"]), on_clock(quotes, clock)
    if fills.is_empty() or rows.is_empty():
        raise DataError(f"expected trades and quotes with a time on the {clock} clock, found none of one")
    at, ts = (frame["ts"].cast(pl.Int64).to_numpy() for frame in (fills, rows))
    mid = rows["mid"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    begin = max(int(at[0]), int(ts[0])) if start is None else start
    until = int(ts[-1]) if end is None else end
    width = round(every_ms * 1e6)
    bars = max(0, (until - begin) // width)
    if bars > 10_000_000:
        raise DataError(f"expected at most 10,000,000 bars, found {bars:,}: a longer every_ms")
    edges = begin + width * np.arange(bars + 1, dtype=np.int64)
    row = np.searchsorted(ts, edges, "right") - 1
    held = np.where(row >= 0, mid[np.maximum(row, 0)], np.nan)
    cuts = np.searchsorted(at, edges, "right")
    side, price, size = (fills[n].cast(pl.Float64).fill_null(0.0).to_numpy() for n in ("side", "price", "size"))

    def sums(values: Floats) -> Floats:
        total = np.add.reduceat(np.append(values, 0.0), cuts[:-1]) if bars else np.empty(0)
        return np.asarray(np.where(np.diff(cuts) > 0, total, 0.0))

    with np.errstate(invalid="ignore", divide="ignore"):
        good = (held[1:] > 0) & (held[:-1] > 0)
        returns = np.where(good, 1e4 * np.log(held[1:] / held[:-1]), np.nan)
    columns = {
        "ts": edges[1:],
        "trades": np.diff(cuts).astype(np.int64),
        "volume": sums(size),
        "value": sums(size * price),
        "signed_volume": sums(side * size),
        "signed_value": sums(side * size * price),
        "mid": held[1:],
        "move": np.where(good, held[1:] - held[:-1], np.nan),
        "return_bp": returns,
    }
    return pl.DataFrame(columns).with_columns(pl.col("mid", "move", "return_bp").fill_nan(None))


@checked
def kyle_lambda(bars: pl.DataFrame, /, *, lags: int | None = None, level: float = 0.95) -> pl.DataFrame:
    """Kyle's lambda: ``Δmid = α + λ · signed_volume + ε`` over bars, least squares with HAC errors.

    `bars` as `trade_bars` gives them. One row: ``kyle_lambda, lo, hi`` (quote currency per unit of base bought),
    ``bp_per_million, bp_lo, bp_hi`` (the same of the return on ``signed_value``: bp per million of quote currency),
    ``r2, observations, hac_lags``. Rows with a null are left out. Raises `DataError` for missing columns, fewer than 4
    bars, or bars without a move or without trades. Kyle (1985), "Continuous auctions and insider trading", Econometrica
    53(6).
    """
    expected_columns(bars, "bars", {"move", "return_bp", "signed_volume", "signed_value"})
    rows = bars.drop_nulls(["move", "return_bp", "signed_volume", "signed_value"])
    fit = least_squares(rows["move"].to_numpy(), [rows["signed_volume"].to_numpy()], lags=lags)
    other = least_squares(rows["return_bp"].to_numpy(), [rows["signed_value"].to_numpy() / 1e6], lags=lags)
    row: dict[str, float] = {}
    for names, one in ((("kyle_lambda", "lo", "hi"), fit), (("bp_per_million", "bp_lo", "bp_hi"), other)):
        value, reach = float(one.coefficients[1]), student(level, one.freedom) * float(one.errors[1])
        row |= dict(zip(names, (value, value - reach, value + reach), strict=True))
    return pl.DataFrame([row | {"r2": fit.r2}]).with_columns(
        observations=pl.lit(rows.height, pl.Int64), hac_lags=pl.lit(fit.lags, pl.Int64)
    )


@checked
def amihud(bars: pl.DataFrame, /, *, lags: int | None = None, level: float = 0.95) -> pl.DataFrame:
    """Amihud's illiquidity: mean ``|return| / value`` of bars with trades, in bp per million of quote currency.

    `bars` as `trade_bars` gives them (Amihud's are days). One row: ``amihud, lo, hi`` (HAC error of the mean at
    `level`; null below 3 bars), ``bars``; null figures without a bar that has trades and a return. Raises `DataError`
    for missing columns. Amihud (2002), "Illiquidity and stock returns", Journal of Financial Markets 5(1).
    """
    expected_columns(bars, "bars", {"return_bp", "value"})
    rows = bars.filter(pl.col("value") > SMALLEST).drop_nulls("return_bp")
    ratio = (rows["return_bp"].abs() / rows["value"] * 1e6).to_numpy()
    row: dict[str, float | None] = {"amihud": float(ratio.mean()) if ratio.size else None, "lo": None, "hi": None}
    if ratio.size >= 3 and ratio.min() < ratio.max():
        fit = least_squares(ratio, [], lags=lags)
        reach = student(level, fit.freedom) * float(fit.errors[0])
        row |= {"lo": float(fit.coefficients[0]) - reach, "hi": float(fit.coefficients[0]) + reach}
    return pl.DataFrame([row], schema=dict.fromkeys(row, pl.Float64)).with_columns(bars=pl.lit(ratio.size, pl.Int64))


@checked
def order_impacts(
    trades: pl.DataFrame,
    quotes: pl.DataFrame,
    /,
    *,
    horizon_ms: float = 1000.0,
    clock: Clock = "recv",
    window_ms: float = 200.0,
) -> pl.DataFrame:
    """How far the mid went each aggressor order's way: ``1e4 · side · ln(mid_h / mid)``.

    ``mid`` is that of the quote the order met (`prevailing_quotes`), ``mid_h`` the one `horizon_ms` after. Columns:
    ``ts`` (ns of `clock`), ``side, size`` (base currency), ``value`` (quote currency), ``mid, impact_bp``. Orders
    without side, size or either mid are left out. Raises `DataError` for missing columns or a horizon that is not
    positive.
    """
    if not 0 < horizon_ms < 1e12:
        raise DataError(f"horizon_ms: expected above 0, found {horizon_ms}")
    expected_columns(quotes, "quotes", ["mid"])
    orders = prevailing_quotes(trades, quotes, clock=clock, window_ms=window_ms)
    rows = on_clock(quotes, clock)
    ts = rows["ts"].cast(pl.Int64).to_numpy()
    mid = rows["mid"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    at = orders["at"].to_numpy() + round(horizon_ms * 1e6)
    if ts.size:
        row = np.searchsorted(ts, at, "right") - 1
        later = np.where((row >= 0) & (at <= ts[-1]), mid[np.maximum(row, 0)], np.nan)
    else:
        later = np.full(at.size, np.nan)
    side = pl.col("side").cast(pl.Float64)
    return (
        orders.with_columns(later=pl.Series(later, dtype=pl.Float64).fill_nan(None))
        .filter(
            (pl.col("side") != 0) & (pl.col("size") > 0) & (pl.col("mid") > SMALLEST) & (pl.col("later") > SMALLEST)
        )
        .select(
            ts="at",
            side="side",
            size="size",
            value=pl.col("size") * pl.col("price"),
            mid="mid",
            impact_bp=1e4 * side * (pl.col("later") / pl.col("mid")).log(),
        )
    )


def _impacts(impacts: pl.DataFrame, by: str) -> tuple[np.ndarray, Floats, Floats]:
    expected_columns(impacts, "impacts", {"ts", by, "impact_bp"})
    ts, size, impact = (impacts[n].to_numpy() for n in ("ts", by, "impact_bp"))
    size, impact = size.astype(np.float64), impact.astype(np.float64)
    if not (np.isfinite(size).all() and np.isfinite(impact).all() and (size > 0).all()):
        raise DataError(f"impacts: expected finite impacts and positive finite values of {by}")
    return ts, size, impact


@checked
def impact_curve(
    impacts: pl.DataFrame,
    /,
    *,
    bins: int = 10,
    by: str = "size",
    block_s: float = 10.0,
    level: float = 0.95,
) -> pl.DataFrame:
    """Mean impact by size of order, in `bins` of equal count.

    `impacts` as `order_impacts` gives them, `by` ``size`` or ``value``. Equal sizes share a bin, so there may be fewer.
    A row a bin: ``bin, low, high, size`` (mean of `by`), ``orders, impact_bp, lo, hi`` (Student's t at `level`; orders
    of one block of `block_s` seconds may depend on each other; null below two blocks). Empty without orders. Raises
    `DataError` for missing columns, sizes that are not positive, or options out of range.
    """
    if not (1 <= bins <= 100_000 and block_s > 0):
        raise DataError(f"expected 1 to 100,000 bins and block_s above 0, found {bins} and {block_s}")
    ts, size, impact = _impacts(impacts, by)
    names = ("low", "high", "size", "impact_bp", "lo", "hi")
    schema = {"bin": pl.Int64, "orders": pl.Int64} | dict.fromkeys(names, pl.Float64)
    order = ["bin", "low", "high", "size", "orders", "impact_bp", "lo", "hi"]
    if not size.size:
        return pl.DataFrame(schema=schema).select(order)
    upper = np.unique(np.quantile(size, np.arange(1, bins + 1) / bins, method="inverted_cdf"))
    place = np.searchsorted(upper, size, "left")
    blocks = (ts - ts.min()) // int(block_s * 1e9)
    rows = []
    for number, one in enumerate(np.unique(place).tolist()):
        mine = place == one
        mean = float(impact[mine].mean())
        ones = np.ones(int(mine.sum()))
        cover, groups = clustered(np.array([[ones.sum()]]), (impact[mine] - mean)[:, None], blocks[mine])
        reach = student(level, groups - 1) * math.sqrt(float(cover[0, 0])) if groups > 1 else None
        rows.append(
            {
                "bin": number,
                "low": float(size[mine].min()),
                "high": float(size[mine].max()),
                "size": float(size[mine].mean()),
                "orders": int(mine.sum()),
                "impact_bp": mean,
                "lo": None if reach is None else mean - reach,
                "hi": None if reach is None else mean + reach,
            }
        )
    return pl.DataFrame(rows, schema=schema).select(order)


@checked
def fit_impact(
    impacts: pl.DataFrame,
    /,
    *,
    volume: float | None = None,
    volatility_bp: float = 1.0,
    by: str = "size",
    exponents: Sequence[float] = (0.0, 2.0),
    block_s: float = 10.0,
    level: float = 0.95,
) -> pl.DataFrame:
    """Fit the square-root law ``I = Y σ (Q / V)^½`` and the same with its exponent free, to single orders.

    Least squares on the orders themselves, not on bins: linear through 0 for the law, nonlinear for the free exponent
    ``δ`` within `exponents` (for each ``δ`` the best ``Y`` is in closed form, so a search along a line). Standard
    errors allow orders of one block of `block_s` seconds to depend on each other in any way (sandwich of the
    gradients). `volume` ``V`` in the units of `by` and `volatility_bp` ``σ`` over the same time: by default the sum of
    all orders and 1, so that ``coefficient`` is in bp of an order as large as all of them. Single orders are not the
    parent orders of the law, which public data does not show; their exponent is smaller.

    Two rows: ``model ("square_root", "power"), coefficient, lo, hi, exponent, exponent_lo, exponent_hi`` (null for the
    law, whose exponent is given, and where ``δ`` ends on the edge of `exponents`, which `status` says), ``r2`` (about
    0), ``orders, blocks, status``. Raises `DataError` for missing columns, fewer than 10 orders or 3 blocks, sizes that
    are all equal or not positive, impacts that are all 0, or options out of range.

    Tóth et al. (2011), "Anomalous price impact and the critical nature of liquidity in financial markets", Physical
    Review X 1, 021006; White (1982), "Maximum likelihood estimation of misspecified models", Econometrica 50(1).
    """
    from scipy.optimize import minimize_scalar

    if len(exponents) != 2:
        raise DataError(f"exponents: expected the least and the most, found {list(exponents)}")
    low, high = exponents
    if not (block_s > 0 and volatility_bp > 0 and -5 <= low < high <= 5 and (volume is None or 0 < volume < math.inf)):
        raise DataError("expected block_s, volume and volatility_bp above 0 and exponents within -5 and 5, low first")
    ts, size, impact = _impacts(impacts, by)
    if size.size < 10 or size.min() == size.max():
        raise DataError(f"expected at least 10 orders of different sizes, found {size.size}")
    if not impact.any():
        raise DataError("expected impacts that are not all 0")
    scale = float(size.sum()) if volume is None else volume
    # About the geometric mean, where coefficient and exponent hardly depend on each other.
    centre = math.exp(float(np.log(size).mean()))
    logs = np.log(size / centre)
    y = impact / volatility_bp
    blocks = (ts - ts.min()) // int(block_s * 1e9)
    total = float(y @ y)
    if not total > SMALLEST**4:
        raise DataError("expected impacts that are not all 0, in units of volatility_bp")

    def best(delta: float) -> tuple[float, float]:
        x = np.exp(delta * logs)
        a = float(x @ y) / float(x @ x)
        return a, total - a * float(x @ y)

    rows = []
    found = minimize_scalar(lambda d: best(d)[1], bounds=(low, high), method="bounded", options={"xatol": 1e-10})
    free = float(found.x)
    inside = low + 1e-6 < free < high - 1e-6
    for model, delta in (("square_root", 0.5), ("power", free)):
        a, rest = best(delta)
        x = np.exp(delta * logs)
        off = y - a * x
        gradient = x[:, None] if model == "square_root" else np.column_stack([x, a * logs * x])
        if model == "power" and (not inside or a == 0.0):
            gradient = x[:, None]
        bread = gradient.T @ gradient
        if gradient.shape[1] == 2:
            # The true curvature: with residuals that do not vanish the gradient's square alone is not it.
            mixed = -float(off @ (logs * x))
            bread = bread + np.array([[0.0, mixed], [mixed, -a * float(off @ (logs**2 * x))]])
            if np.linalg.eigvalsh(bread)[0] <= 0:
                bread = gradient.T @ gradient
        cover, groups = clustered(bread, gradient * off[:, None], blocks)
        if groups < 3:
            raise DataError(f"expected orders in at least 3 blocks of {block_s} s, found {groups}")
        reach = student(level, groups - 1)
        # Y at Q = V: a (V / centre)^δ, its error by the delta method in logs.
        factor = (scale / centre) ** delta
        turn = np.array([1.0, a * math.log(scale / centre)])[: gradient.shape[1]]
        error = factor * math.sqrt(max(float(turn @ cover @ turn), 0.0))
        row: dict[str, object] = {"model": model, "coefficient": a * factor}
        row |= {"lo": a * factor - reach * error, "hi": a * factor + reach * error, "exponent": delta}
        row |= dict.fromkeys(("exponent_lo", "exponent_hi"))
        if gradient.shape[1] == 2:
            width = reach * math.sqrt(max(float(cover[1, 1]), 0.0))
            row |= {"exponent_lo": delta - width, "exponent_hi": delta + width}
        edge = model == "power" and gradient.shape[1] == 1
        row |= {"r2": 1 - rest / total, "orders": size.size, "blocks": groups, "status": "edge" if edge else "ok"}
        rows.append(row)
    floats = ("coefficient", "lo", "hi", "exponent", "exponent_lo", "exponent_hi", "r2")
    schema = {"model": pl.String} | dict.fromkeys(floats, pl.Float64)
    return pl.DataFrame(rows, schema=schema | {"orders": pl.Int64, "blocks": pl.Int64, "status": pl.String})
