"""The quote that an order met, where trades and quotes come on streams of their own and not in order."""

from __future__ import annotations

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checked import checked
from crossbook.study.response import aggressor_orders
from crossbook.study.series import Clock, Floats, Times, on_clock

__all__ = ["prevailing_quotes"]

METHODS = ("engine", "price", "time")


@checked
def prevailing_quotes(
    trades: pl.DataFrame,
    quotes: pl.DataFrame,
    /,
    *,
    clock: Clock = "recv",
    window_ms: float = 200.0,
) -> pl.DataFrame:
    """Aggressor orders, each with the quote that it met.

    The last quote before the receipt of a trade is often not the one that the order met: a venue's quotes and trades
    come on streams of their own, and on Binance spot a busy trade stream is up to 200 ms behind, so that the quote
    already shows what the trade did. In this order, the quote is

    * ``engine``: where every row of both frames carries `ts_event` (not imputed), the last one with an earlier time
      there, whatever `clock` is;
    * ``price``: where the clock cannot say, the newest quote at or before the order's receipt whose opposite side
      stands at the order's first fill, if it stood within `window_ms` before; else the first such quote within
      `window_ms` after. A market order's first fill is at the opposite best price, so this is what price-time priority
      says;
    * ``time``: where there is none, or the side is unknown, the last quote before the receipt.

    `trades` with ``ts_recv, ts_event, side, price, size`` in the order of the stream, `quotes` with ``bid, ask`` (null
    or NaN where unknown); with ``mid`` alone the price cannot say. Columns: those of `aggressor_orders`, ``first_price,
    bid, ask, mid`` (null where there is no quote), ``matched`` (one of the three; null without), ``at`` (ns of `clock`:
    the order's time, or where a quote shows it the end of the quote that was met, whichever is earlier), in the order
    of `clock`. Raises `DataError` for missing columns or a negative window.
    """
    if not 0 <= window_ms < 1e9:
        raise DataError(f"window_ms: expected 0 or more, found {window_ms}")
    sides = {"bid", "ask"} <= set(quotes.columns)
    if not (sides or "mid" in quotes.columns):
        raise DataError(f"quotes: expected columns bid and ask, or a column mid, found {', '.join(quotes.columns)}")
    # An order's first fill: orders lie one after another in the stream.
    orders = aggressor_orders(trades)
    first = (orders["fills"].cum_sum() - orders["fills"]).cast(pl.Int64)
    price = trades["price"].cast(pl.Float64)
    orders = orders.with_columns(first_price=price.gather(first) if orders.height else pl.lit(None, pl.Float64))
    orders = on_clock(orders, clock)
    rows = on_clock(quotes, clock)
    if not sides:
        rows = rows.with_columns(bid="mid", ask="mid")
    at = orders["ts"].cast(pl.Int64).to_numpy()
    times = rows["ts"].cast(pl.Int64).to_numpy()
    bid, ask = (rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in ("bid", "ask"))
    stands = np.isfinite(bid) & np.isfinite(ask)
    timed = all("ts_event" in f.columns and f["ts_event"].gt(0).all() for f in (orders, rows))
    engine = timed and not ("imputed" in rows.columns and rows["imputed"].any())
    before = np.searchsorted(times, at, "left") - 1
    if engine:
        shown = np.maximum.accumulate(rows["ts_event"].cast(pl.Int64).to_numpy())
        met = np.searchsorted(shown, orders["ts_event"].cast(pl.Int64).to_numpy(), "left") - 1
        how = np.zeros(at.size, dtype=np.int8)
    else:
        side, first_price = orders["side"].to_numpy(), orders["first_price"].to_numpy()
        met = np.full(at.size, -1, dtype=np.int64)
        if sides:
            met = _by_price(at, side, first_price, times, bid, ask, int(window_ms * 1e6))
        how = np.where(met >= 0, 1, 2).astype(np.int8)
        met = np.where(met >= 0, met, before)
    found = met >= 0
    row = np.maximum(met, 0)
    if times.size:
        found &= stands[row]
        ends = np.append(times[1:], np.iinfo(np.int64).max)[row]
        bid, ask = np.where(found, bid[row], np.nan), np.where(found, ask[row], np.nan)
        at = np.where(found & (how == 1), np.minimum(at, np.maximum(ends, times[row])), at)
    else:
        bid = ask = np.full(at.size, np.nan)
    names = pl.Series(METHODS, dtype=pl.String).gather(pl.Series(how, dtype=pl.Int64))
    return (
        orders.drop("ts")
        .with_columns(bid=pl.Series(bid).fill_nan(None), ask=pl.Series(ask).fill_nan(None))
        .with_columns(
            mid=(pl.col("bid") + pl.col("ask")) / 2,
            matched=pl.when(pl.col("bid").is_not_null()).then(names),
            at=pl.Series(at, dtype=pl.Int64),
        )
    )


def _by_price(
    at: Times, side: np.ndarray, price: Floats, times: Times, bid: Floats, ask: Floats, window: int
) -> np.ndarray:
    """The row of the quote by its opposite price, -1 where there is none within the window."""
    rows = times.size
    found = np.full(at.size, -1, dtype=np.int64)
    ends = np.append(times[1:], np.iinfo(np.int64).max)
    for sign, opposite in ((1, ask), (-1, bid)):
        mine = np.flatnonzero((side == sign) & np.isfinite(price))
        usable = np.flatnonzero(np.isfinite(opposite))
        if not (mine.size and usable.size):
            continue
        _, code = np.unique(np.concatenate([opposite[usable], price[mine]]), return_inverse=True)
        # Quotes sorted by price, then by place; of an order, the place of the last quote at or before it.
        keys = code[: usable.size].astype(np.int64) * (rows + 1) + usable
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        place = np.searchsorted(times, at[mine], "right") - 1
        wanted = code[usable.size :].astype(np.int64) * (rows + 1)
        last = np.searchsorted(keys, wanted + place, "right") - 1
        row = usable[order[np.maximum(last, 0)]]
        good = (last >= 0) & (opposite[row] == price[mine]) & (place >= 0)
        good &= ends[row] >= at[mine] - window
        found[mine] = np.where(good, row, -1)
        later = np.minimum(last + 1, keys.size - 1)
        row = usable[order[later]]
        after = ~good & (last + 1 < keys.size) & (opposite[row] == price[mine]) & (times[row] <= at[mine] + window)
        found[mine] = np.where(after, row, found[mine])
    return found
