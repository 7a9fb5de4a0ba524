"""VPIN: the imbalance of buying and selling over buckets of equal volume."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checked import checked, expected_columns
from crossbook.study.series import Clock, Floats, on_clock

__all__ = ["vpin"]


@checked
def vpin(
    trades: pl.DataFrame,
    /,
    *,
    bucket_volume: float,
    window: int = 50,
    classify: Literal["bulk", "side"] = "bulk",
    bar_s: float = 60.0,
    clock: Clock = "recv",
) -> pl.DataFrame:
    """Volume-synchronised probability of informed trading.

    Volume is cut into buckets of `bucket_volume` (the paper: a fiftieth of a day's), and ``VPIN = Σ |V_buy - V_sell| /
    (n V)`` over the last `window` = n buckets. Who bought: with ``bulk``, trades go into bars of `bar_s` seconds, and
    ``V_buy = V Φ(Δp / σ)`` of a bar, ``Δp`` the change of its last price on that of the bar before and ``σ`` the
    standard deviation of those changes over the whole data (so VPIN is known only afterwards; the first bar is split
    evenly); with ``side``, by the venue's aggressor, a side of 0 split evenly. A bar, or a trade, that spans buckets is
    divided in proportion.

    `trades` in order of `clock` with ``price, size`` (and ``side``). A row a full bucket: ``bucket, start, end`` (ns:
    the bars or trades that began and filled it), ``buy, sell, imbalance`` (``|buy - sell| / V``), ``vpin`` (null for
    the first n - 1), ``cdf`` (share of this data's VPINs at or below it). Empty with less volume than one bucket. VPIN
    is a measure of imbalance and moves with volume and volatility (Andersen & Bondarenko 2014, Journal of Financial
    Markets 17); on short bars ``bulk`` sees noise. Raises `DataError` for missing columns, values that are not finite,
    negative sizes, or options out of range.

    Easley, López de Prado & O'Hara (2012), "Flow toxicity and liquidity in a high-frequency world", Review of Financial
    Studies 25(5).
    """
    if not (0 < bucket_volume < math.inf and window >= 1 and 1e-6 <= bar_s < 1e9):
        raise DataError(f"expected a bucket_volume, window and bar_s above 0, found {bucket_volume}, {window}, {bar_s}")
    if classify not in ("bulk", "side"):
        raise DataError(f'classify {classify!r}: expected "bulk" or "side"')
    wanted = {"price", "size", *(["side"] if classify == "side" else [])}
    expected_columns(trades, "trades", wanted)
    rows = on_clock(trades, clock)
    ts = rows["ts"].cast(pl.Int64).to_numpy()
    price, size = (rows[n].cast(pl.Float64).fill_null(float("nan")).to_numpy() for n in ("price", "size"))
    if not (np.isfinite(price).all() and np.isfinite(size).all() and (size >= 0).all()):
        raise DataError("trades: expected finite prices, and finite sizes of 0 or more")
    begin, finish = ts, ts
    if classify == "side":
        volume, buy = size, size * (1 + rows["side"].sign().cast(pl.Float64).fill_null(0.0).to_numpy()) / 2
    else:
        begin, finish, volume, buy = _bulk(ts, price, size, round(bar_s * 1e9))
    total = np.concatenate([[0.0], np.cumsum(volume)])
    # A whole number of buckets may come out a rounding short.
    buckets = math.floor(total[-1] / bucket_volume * (1 + 1e-12))
    if not buckets < 100_000_000:
        raise DataError(f"expected at most 100,000,000 buckets, found {buckets:,}: a larger bucket_volume")
    edges = np.minimum(bucket_volume * np.arange(buckets + 1, dtype=np.float64), total[-1])
    bought = np.diff(np.interp(edges, total, np.concatenate([[0.0], np.cumsum(buy)]))) if buckets else np.empty(0)
    bought = np.clip(bought, 0.0, bucket_volume)
    imbalance = np.abs(2 * bought - bucket_volume) / bucket_volume
    sums = np.concatenate([[0.0], np.cumsum(imbalance)])
    measure = np.full(buckets, np.nan)
    if buckets >= window:
        measure[window - 1 :] = (sums[window:] - sums[:-window]) / window
    known = np.sort(measure[window - 1 :])
    share = np.searchsorted(known, measure, "right") / max(known.size, 1)
    first = np.clip(np.searchsorted(total, edges[:-1], "right") - 1, 0, max(begin.size - 1, 0))
    last = np.clip(np.searchsorted(total, edges[1:], "left") - 1, 0, max(begin.size - 1, 0))
    return pl.DataFrame(
        {
            "bucket": np.arange(buckets),
            "start": begin[first] if buckets else np.empty(0, dtype=np.int64),
            "end": finish[last] if buckets else np.empty(0, dtype=np.int64),
            "buy": bought,
            "sell": bucket_volume - bought,
            "imbalance": imbalance,
            "vpin": measure,
            "cdf": np.where(np.isnan(measure), np.nan, share),
        }
    ).with_columns(pl.col("vpin", "cdf").fill_nan(None))


def _bulk(ts: np.ndarray, price: Floats, size: Floats, width: int) -> tuple[np.ndarray, np.ndarray, Floats, Floats]:
    """First and last time, volume and bought volume of each bar that has trades."""
    from scipy.special import ndtr

    if not ts.size:
        return ts, ts, size, size
    _, first = np.unique((ts - ts[0]) // width, return_index=True)
    last = np.append(first[1:], ts.size) - 1
    volume = np.add.reduceat(size, first)
    change = np.diff(price[last], prepend=price[last[0]])
    spread = float(change[1:].std(ddof=1)) if change.size > 2 else 0.0
    share = ndtr(change / spread) if spread > 0 else np.full(change.size, 0.5)
    return ts[first], ts[last], volume, volume * share
