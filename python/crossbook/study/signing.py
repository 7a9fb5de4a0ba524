"""Who was the aggressor, where a trade does not say: quote rule, tick rule, Lee and Ready; how often they are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checked import checked, expected_columns
from crossbook.study.series import Clock, Floats, on_clock

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["sign_trades", "signing_accuracy"]

Rule = Literal["quote", "tick", "lee_ready"]


@checked
def sign_trades(
    trades: pl.DataFrame,
    quotes: pl.DataFrame | None = None,
    /,
    *,
    rule: Rule = "lee_ready",
    delay_ms: float = 0.0,
    same_time: bool = False,
    clock: Clock = "recv",
) -> pl.DataFrame:
    """Add ``sign``: +1 where a rule takes the buyer for the aggressor, -1 the seller, 0 where it cannot say.

    * ``quote``: above the mid a buy, below it a sale, at it 0. The mid is that of the last quote strictly before the
      trade's time less `delay_ms`, or with `same_time` at or before it, which differs where times are whole seconds:
      Lee and Ready take quotes at least 5 s old (``delay_ms=5000, same_time=True``) for the reports of their day; 0
      suits one clock, and then a quote of the trade's own time may be the one that it made.
    * ``tick``: a trade above the last different price is a buy, below it a sale; 0 until the price has changed once.
    * ``lee_ready``: the quote rule, and where that gives 0 or has no mid, the tick rule.

    `trades` in order of the stream with ``price`` and the time of `clock`, `quotes` with ``mid`` (both rules but
    ``tick``). Rows keep their order; one without a time on `clock` has no mid. Raises `DataError` for a missing column
    or frame, a price that is not finite, a negative delay or an unknown rule. Lee & Ready (1991), "Inferring trade
    direction from intraday data", Journal of Finance 46(2).
    """
    if rule not in ("quote", "tick", "lee_ready"):
        raise DataError(f'rule {rule!r}: expected "quote", "tick" or "lee_ready"')
    if not 0 <= delay_ms < 1e12:
        raise DataError(f"delay_ms: expected 0 or more, found {delay_ms}")
    expected_columns(trades, "trades", ["price"])
    price = trades["price"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    if not np.isfinite(price).all():
        raise DataError("trades: expected finite prices, found null, NaN or infinity")
    sign = np.zeros(price.size, dtype=np.int8)
    if rule != "tick":
        sign = np.sign(price - _mids(trades, quotes, clock, round(delay_ms * 1e6), same_time))
        sign = np.nan_to_num(sign).astype(np.int8)
    if rule != "quote":
        sign = np.where(sign == 0, _ticks(price), sign)
    return trades.with_columns(sign=pl.Series(sign, dtype=pl.Int8))


def _mids(trades: pl.DataFrame, quotes: pl.DataFrame | None, clock: Clock, delay: int, same_time: bool) -> Floats:
    if quotes is None:
        raise DataError("expected quotes, which every rule but tick compares with")
    column = f"ts_{clock}"
    for name, frame, wanted in (("trades", trades, column), ("quotes", quotes, "mid")):
        if wanted not in frame.columns:
            raise DataError(f"{name}: expected a column {wanted}, found {', '.join(frame.columns)}")
    rows = on_clock(quotes, clock).select("ts", pl.col("mid").cast(pl.Float64).fill_null(float("nan")))
    times, mids = rows["ts"].cast(pl.Int64).to_numpy(), rows["mid"].to_numpy()
    at = trades[column].cast(pl.Int64).to_numpy()
    if not times.size:
        return np.full(at.size, np.nan)
    row = np.searchsorted(times, at - delay, "right" if same_time else "left") - 1
    return np.where((row >= 0) & (at != 0), mids[np.maximum(row, 0)], np.nan)


def _ticks(price: Floats) -> np.ndarray:
    """The sign of the last change of price at or before each trade."""
    if not price.size:
        return np.zeros(0, dtype=np.int8)
    change = np.sign(np.diff(price, prepend=price[0])).astype(np.int8)
    last = np.maximum.accumulate(np.where(change != 0, np.arange(price.size), 0))
    return np.asarray(change[last])


@checked
def signing_accuracy(
    trades: pl.DataFrame,
    quotes: pl.DataFrame | None = None,
    /,
    *,
    rules: Sequence[Rule] = ("quote", "tick", "lee_ready"),
    delay_ms: float = 0.0,
    same_time: bool = False,
    clock: Clock = "recv",
    block_s: float = 10.0,
    level: float = 0.95,
) -> pl.DataFrame:
    """How often the rules of `sign_trades` agree with the aggressor that the venue reports.

    Only trades with a ``side`` of +1 or -1 count. A row a rule: ``rule, trades, signed`` (share that got a sign),
    ``correct`` (share of all that got the right one) with ``lo, hi`` at `level` (trades of one block of `block_s`
    seconds may depend on each other; null below two blocks), ``correct_of_signed, correct_value`` (weighted by price ×
    size; null without ``size``). Shares are null without trades. Errors as in `sign_trades`, or without ``side``.
    """
    expected_columns(trades, "trades", ["side"])
    if not block_s > 0 or not 0 < level < 1:
        raise DataError(f"expected block_s above 0 and a level between 0 and 1, found {block_s} and {level}")
    from crossbook.study.least_squares import student

    rows = []
    for rule in rules:
        found = sign_trades(trades, quotes, rule=rule, delay_ms=delay_ms, same_time=same_time, clock=clock)
        found = found.filter(pl.col("side") != 0)
        side, sign = found["side"].to_numpy(), found["sign"].to_numpy()
        right = (side == sign).astype(np.float64)
        row: dict[str, object] = {"rule": rule, "trades": side.size}
        row |= dict.fromkeys(("signed", "correct", "lo", "hi", "correct_of_signed", "correct_value"))
        if side.size:
            share = float(right.mean())
            row |= {"signed": float((sign != 0).mean()), "correct": share}
            if (sign != 0).any():
                row["correct_of_signed"] = float(right[sign != 0].mean())
            if "size" in found.columns:
                value = (found["price"].cast(pl.Float64) * found["size"].cast(pl.Float64)).to_numpy()
                row["correct_value"] = float(right @ value / value.sum()) if value.sum() > 0 else None
            at = found[f"ts_{clock}"].cast(pl.Int64).to_numpy()
            _, block = np.unique((at - at.min()) // int(block_s * 1e9), return_inverse=True)
            blocks = int(block.max()) + 1
            if blocks > 1:
                off = np.bincount(block, right - share, blocks)
                error = float(np.sqrt(off @ off * blocks / (blocks - 1))) / side.size
                reach = student(level, blocks - 1) * error
                row |= {"lo": max(share - reach, 0.0), "hi": min(share + reach, 1.0)}
        rows.append(row)
    shares = ("signed", "correct", "lo", "hi", "correct_of_signed", "correct_value")
    return pl.DataFrame(rows, schema={"rule": pl.String, "trades": pl.Int64} | dict.fromkeys(shares, pl.Float64))
