"""What trading costs at a venue: the spread that is quoted, paid and kept, and Roll's from prices alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checked import checked, expected_columns
from crossbook.study.least_squares import hac_lags, student
from crossbook.study.long_run import cosine_error
from crossbook.study.races import adverse_selection
from crossbook.study.series import Clock, on_clock

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_BLOCKS = 10_000_000

__all__ = ["quoted_spread", "roll_spread", "spreads"]


@checked
def quoted_spread(
    quotes: pl.DataFrame,
    /,
    *,
    clock: Clock = "recv",
    end: int | None = None,
    block_s: float = 10.0,
    level: float = 0.95,
) -> pl.DataFrame:
    """The quoted spread, weighted by the time for which it stood.

    ``Σ held · 1e4 (ask - bid) / mid / Σ held`` over quotes whose sides are both known, the last until `end` (ns of
    `clock`; by default its own time). One row: ``quoted_bp, lo, hi`` (at `level`, by cosines over time, one to two
    blocks of `block_s` seconds, which should be no shorter than the spread's memory; null below two blocks),
    ``median_bp`` (by time), ``seconds`` (known), ``quotes``. Null figures where nothing stood for any time. Locked
    quotes count with 0 and crossed ones with what they are, less than 0; leave those out first where they are an
    artefact (`market_table`'s `drop_crossed`). Raises `DataError` for missing columns or options out of range. Lazarus,
    Lewis, Stock & Watson (2018), "HAR inference: recommendations for practice", Journal of Business & Economic
    Statistics 36(4).
    """
    expected_columns(quotes, "quotes", {"bid", "ask"})
    if not block_s > 0 or not 0 < level < 1:
        raise DataError(f"expected block_s above 0 and a level between 0 and 1, found {block_s} and {level}")
    rows = on_clock(quotes, clock)
    ts = rows["ts"].cast(pl.Int64).to_numpy()
    bid, ask = (rows[n].cast(pl.Float64).fill_null(float("nan")).to_numpy() for n in ("bid", "ask"))
    last = (int(ts[-1]) if ts.size else 0) if end is None else end
    held = np.maximum(np.diff(np.minimum(np.append(ts, last), last)), 0).astype(np.float64)
    with np.errstate(invalid="ignore"):
        spread = 2e4 * (ask - bid) / (ask + bid)
    used = np.isfinite(spread) & (held > 0)
    row: dict[str, float | int | None] = dict.fromkeys(("quoted_bp", "lo", "hi", "median_bp"))
    row |= {"seconds": float(held[used].sum()) / 1e9, "quotes": int(np.isfinite(spread).sum())}
    if used.any():
        value, weight = spread[used], held[used]
        mean = float(weight @ value / weight.sum())
        order = np.argsort(value, kind="stable")
        middle = int(np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2))
        row |= {"quoted_bp": mean, "median_bp": float(value[order][min(middle, value.size - 1)])}
        # By time, not by quote: one quiet quote weighs as much as many.
        start = ts[used] - int(ts[used][0])
        both = np.column_stack([start, start + weight]).ravel()
        blocks = math.ceil(both[-1] / max(1, round(block_s * 1e9)))
        if blocks > MOST_BLOCKS:
            raise DataError(f"expected at most {MOST_BLOCKS:,} blocks, found {blocks:,} of {block_s} s")
        if blocks > 1:
            total = np.cumsum(weight * (value - mean))
            sums = np.column_stack([np.concatenate([[0.0], total[:-1]]), total]).ravel()
            cosines = max(2, blocks // 2)
            reach = student(level, cosines) * cosine_error(both, sums, cosines) / float(weight.sum())
            row |= {"lo": mean - reach, "hi": mean + reach}
    schema = dict.fromkeys(row, pl.Float64)
    return pl.DataFrame([row], schema=schema).with_columns(pl.col("quotes").cast(pl.Int64))


@checked
def spreads(
    trades: pl.DataFrame,
    quotes: pl.DataFrame,
    /,
    *,
    horizons_ms: Sequence[float] = (100, 1000, 10_000),
    clock: Clock = "recv",
    block_s: float = 10.0,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> pl.DataFrame:
    """Quoted, effective and realised spread and price impact of a venue, by horizon.

    `adverse_selection`, which defines all but the first and matches each order to the quote it met, beside
    `quoted_spread`. A row a horizon: ``horizon_ms, orders, quoted_bp, quoted_lo, quoted_hi, effective_bp, …,
    realised_bp, …, impact_bp, …, impact_share``, in bp of the mid, nulls as in those two. Effective is realised plus
    impact. `trades` with ``ts_recv, ts_event, side, price, size`` (without a side of the venue's own: `sign_trades`),
    `quotes` with ``bid, ask, mid``. Raises `DataError` for missing columns or options out of range. Huang & Stoll
    (1996), "Dealer versus auction markets", Journal of Financial Economics 41(3).
    """
    quoted = quoted_spread(quotes, clock=clock, block_s=block_s, level=level)
    parts = adverse_selection(
        trades,
        quotes,
        horizons_ms=horizons_ms,
        clock=clock,
        block_s=block_s,
        level=level,
        resamples=resamples,
        seed=seed,
    )
    names = ("quoted_bp", "quoted_lo", "quoted_hi")
    own = [pl.lit(quoted[c].item(), pl.Float64).alias(n) for n, c in zip(names, ("quoted_bp", "lo", "hi"), strict=True)]
    return parts.select("horizon_ms", "orders", *own, pl.exclude("horizon_ms", "orders"))


@checked
def roll_spread(trades: pl.DataFrame, /, *, lags: int | None = None, level: float = 0.95) -> pl.DataFrame:
    """Roll's spread from trade prices alone: ``2 √(-c)``, `c` the autocovariance of consecutive price changes.

    Assumes that buyers and sellers come with even chance, independent of each other and of the value, whose changes are
    not correlated: orders that follow each other, as split ones do, hide the spread. Where `c` is not below 0 the model
    does not hold: ``spread`` and ``spread_bp`` are then null and ``status`` says ``positive autocovariance``; so they
    are with ``too few`` below 4 prices, or ``constant`` prices.

    `trades` in order with ``price``. One row: ``spread`` (quote currency), ``lo, hi`` (ends of the interval of `c` at
    `level`, HAC error of its mean with `lags`, by rule unless given; an end at which `c` is above 0 is 0; null where
    `c` has no error), ``spread_bp`` (of the mean price), ``covariance, covariance_se, trades, status``. Raises
    `DataError` for a missing column or prices that are not finite. Roll (1984), "A simple implicit measure of the
    effective bid-ask spread in an efficient market", Journal of Finance 39(4).
    """
    expected_columns(trades, "trades", ["price"])
    price = trades["price"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    if not np.isfinite(price).all():
        raise DataError("trades: expected finite prices, found null, NaN or infinity")
    row: dict[str, object] = dict.fromkeys(("spread", "lo", "hi", "spread_bp", "covariance", "covariance_se"))
    row |= {"trades": price.size, "status": "too few"}
    if price.size >= 4:
        change = np.diff(price)
        centred = change - change.mean()
        product = centred[1:] * centred[:-1]
        covariance = float(product.mean())
        row |= {"covariance": covariance, "status": "ok"}
        if not change.any():
            row["status"] = "constant"
        elif covariance >= 0:
            row["status"] = "positive autocovariance"
        off = product - covariance
        # Products of changes overlap: at least one lag, whatever the rule says of a short series.
        width = max(1, hac_lags(off.size)) if lags is None else lags
        if not 0 <= width < max(off.size, 1):
            raise DataError(f"lags: expected 0 or more, fewer than {off.size}, found {lags}")
        variance = float(off @ off)
        for lag in range(1, width + 1):
            variance += 2 * (1 - lag / (width + 1)) * float(off[lag:] @ off[:-lag])
        error = math.sqrt(max(variance, 0.0)) / off.size
        row["covariance_se"] = error
        if row["status"] == "ok":
            spread, reach = 2 * math.sqrt(-covariance), student(level, max(off.size - 1, 1)) * error
            row |= {"spread": spread, "spread_bp": 1e4 * spread / float(price.mean()) if price.mean() > 0 else None}
            if error > 0:
                row |= {
                    "lo": 2 * math.sqrt(max(-(covariance + reach), 0.0)),
                    "hi": 2 * math.sqrt(max(-(covariance - reach), 0.0)),
                }
    floats = ("spread", "lo", "hi", "spread_bp", "covariance", "covariance_se")
    return pl.DataFrame([row], schema=dict.fromkeys(floats, pl.Float64) | {"trades": pl.Int64, "status": pl.String})
