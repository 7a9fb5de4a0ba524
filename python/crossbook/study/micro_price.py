"""The micro-price: what the mid is expected to become, given queues and spread, fitted as a Markov chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checked import SMALLEST, checked, expected_columns
from crossbook.study.series import on_clock

if TYPE_CHECKING:
    from crossbook.study.series import Clock, Floats

__all__ = ["fit_micro_price", "micro_price"]


def _states(quotes: pl.DataFrame, tick: float, buckets: int, spreads: int) -> tuple[Floats, np.ndarray, np.ndarray]:
    """Mid in half ticks (NaN where a side is unknown), imbalance bucket, spread state; 0 where unknown."""
    names = ["bid", "bid_size", "ask", "ask_size"]
    expected_columns(quotes, "quotes", names)
    if not (SMALLEST < tick < float("inf") and 2 <= buckets <= 1000 and 1 <= spreads <= 1000):
        raise DataError(
            f"expected a tick above 0, 2 to 1,000 buckets, 1 to 1,000 spreads, found {tick}, {buckets}, {spreads}"
        )
    bid, bid_size, ask, ask_size = (quotes[n].cast(pl.Float64).fill_null(float("nan")).to_numpy() for n in names)
    with np.errstate(invalid="ignore", divide="ignore"):
        known = (bid_size > 0) & (ask_size > 0) & (ask > bid) & np.isfinite(bid) & np.isfinite(ask)
        known &= np.isfinite(bid_size) & np.isfinite(ask_size)
        share = np.where(known, bid_size / (bid_size + ask_size), 0.5)
        gap = np.where(known, np.rint((ask - bid) / tick), 1.0)
        half = np.where(known, np.rint((ask + bid) / tick), np.nan)
    # Buckets ((j-1)/n, j/n], as in the paper, so that a book and its mirror fall into mirrored buckets but for edges.
    bucket = np.clip(np.ceil(share * buckets) - 1, 0, buckets - 1).astype(np.int64)
    state = np.clip(gap, 1, spreads).astype(np.int64) - 1
    return half, bucket, state


@checked
def fit_micro_price(
    quotes: pl.DataFrame,
    /,
    *,
    tick: float,
    buckets: int = 10,
    spreads: int = 2,
    clock: Clock = "recv",
) -> pl.DataFrame:
    """Fit Stoikov's micro-price: ``mid + g(imbalance, spread)``, the limit of the expected mid over its next moves.

    States are pairs of a bucket of ``I = bid_size / (bid_size + ask_size)`` (`buckets` of equal width) and the spread
    in ticks (1 to `spreads`, the last one that or more). From one quote to the next the chain either stays at its mid
    (probabilities ``Q``) or moves it; then ``g₁ = (I - Q)⁻¹ r``, ``r`` the expected move in the step, is the expected
    first move of the mid, ``B = (I - Q)⁻¹ R`` says in which state it leaves the chain, and ``g = Σ_k B^k g₁``. Each
    observation counts a second time mirrored (bids for asks, moves turned over), which makes the sum converge and ``g``
    antisymmetric. Differences to the paper: all sizes of a move count, not those of one tick alone, and wide spreads
    share the last state instead of being dropped.

    `quotes` with ``bid, bid_size, ask, ask_size`` (a row a change, in order of `clock`; across an unknown side nothing
    is counted), `tick` in quote currency. A row a state: ``bucket`` (from 1), ``low, high`` (of I), ``spread`` (ticks),
    ``adjustment`` (``g``, quote currency), ``first_move`` (``g₁``), ``quotes`` (observations that left the state,
    mirror included), constant columns ``tick, buckets, spreads, iterations``. ``adjustment`` is null for states never
    seen, and for those from which no move of the mid was seen to follow. Raises `DataError` for missing columns,
    options out of range, quotes among which the mid never moves, or a chain whose sum does not converge.

    Stoikov (2018), "The micro-price: a high-frequency estimator of future prices", Quantitative Finance 18(12).
    """
    rows = on_clock(quotes, clock)
    half, bucket, gap = _states(rows, tick, buckets, spreads)
    move = np.diff(half) / 2
    used = np.isfinite(move)
    move = move[used]
    size = buckets * spreads
    begin = (gap[:-1] * buckets + bucket[:-1])[used]
    end = (gap[1:] * buckets + bucket[1:])[used]
    mirror = np.arange(size).reshape(spreads, buckets)[:, ::-1].ravel()
    begin, end, move = (
        np.concatenate([begin, mirror[begin]]),
        np.concatenate([end, mirror[end]]),
        np.append(move, -move),
    )
    if not move.any():
        raise DataError("expected quotes among which the mid moves, found none that does")
    moved = move != 0

    def table(keep: np.ndarray) -> Floats:
        flat = np.bincount(begin[keep] * size + end[keep], minlength=size * size)
        return flat.reshape(size, size).astype(np.float64)

    stay, leave = table(~moved), table(moved)
    seen = stay.sum(axis=1) + leave.sum(axis=1)
    # Only states from which a move can follow: the others never leave, and no expectation of theirs exists.
    alive = leave.sum(axis=1) > 0
    while True:
        more = alive | ((stay[:, alive] > 0).any(axis=1))
        if (more == alive).all():
            break
        alive = more
    kept = np.flatnonzero(alive)
    total = seen[kept][:, None]
    q, r = stay[np.ix_(kept, kept)] / total, leave[np.ix_(kept, kept)] / total
    step = np.bincount(begin, move, size)[kept] / seen[kept]
    # Rows that lead to a state without a future lose that part: what is left is conditional on moving at all.
    lost = 1 - q.sum(axis=1) - leave[kept].sum(axis=1) / total[:, 0]
    scale = 1 / np.maximum(1 - lost, 1e-300)
    q, r, step = q * scale[:, None], r * scale[:, None], step * scale
    solve = np.linalg.solve(np.eye(kept.size) - q, np.column_stack([step, r]))
    first, chain = solve[:, 0], solve[:, 1:]
    found, term = first.copy(), first
    for iterations in range(1, 100_001):  # noqa: B007  # reported
        term = chain @ term
        found = found + term
        if float(np.abs(term).max()) <= 1e-13 * max(1.0, float(np.abs(found).max())):
            break
    else:
        raise DataError("expected a chain whose expected moves die out, found one that keeps returning: fewer states")
    values = np.full((2, size), np.nan)
    values[:, kept] = np.vstack([found, first]) * tick
    index = np.arange(size)
    return pl.DataFrame(
        {
            "bucket": index % buckets + 1,
            "low": (index % buckets) / buckets,
            "high": (index % buckets + 1) / buckets,
            "spread": index // buckets + 1,
            "adjustment": values[0],
            "first_move": values[1],
            "quotes": seen.astype(np.int64),
        }
    ).with_columns(
        pl.col("adjustment", "first_move").fill_nan(None),
        tick=pl.lit(float(tick)),
        buckets=pl.lit(buckets),
        spreads=pl.lit(spreads),
        iterations=pl.lit(iterations),
    )


@checked
def micro_price(quotes: pl.DataFrame, table: pl.DataFrame, /) -> pl.DataFrame:
    """Add ``micro_price``: each quote's mid plus the adjustment of its state; null where a side or state is unknown.

    `table` as `fit_micro_price` gives it, fitted on earlier quotes if it is to forecast. Raises `DataError` for missing
    columns or a table of another shape.
    """
    wanted = {"bucket", "spread", "adjustment", "tick", "buckets", "spreads"}
    expected_columns(table, "table", wanted)
    shape = table.select(pl.col("tick", "buckets", "spreads", "bucket", "spread").cast(pl.Float64).fill_nan(None))
    whole = not table.is_empty() and not any(shape.null_count().row(0))
    if not whole or table.height != shape["buckets"][0] * shape["spreads"][0]:
        raise DataError("table: expected one row a state, as fit_micro_price gives it")
    adjustments = table["adjustment"].cast(pl.Float64).fill_nan(None).drop_nulls()
    if not adjustments.is_finite().all():
        raise DataError("table: expected finite adjustments")
    if not float(table["tick"][0]) > SMALLEST:
        raise DataError(f"table: expected a tick above 0, found {table['tick'][0]}")
    tick, buckets, spreads = float(table["tick"][0]), int(table["buckets"][0]), int(table["spreads"][0])
    half, bucket, gap = _states(quotes, tick, buckets, spreads)
    values = table.sort("spread", "bucket")["adjustment"].fill_null(float("nan")).to_numpy()
    mid = (quotes["bid"].cast(pl.Float64) + quotes["ask"].cast(pl.Float64)).fill_null(float("nan")).to_numpy() / 2
    found = np.where(np.isfinite(half), mid + values[gap * buckets + bucket], np.nan)
    return quotes.with_columns(micro_price=pl.Series(found).fill_nan(None))
