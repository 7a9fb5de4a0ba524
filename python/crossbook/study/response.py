"""How the secondary's price moves around what happens on the primary: orders, mid moves, the touch's own flow."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.checked import checked, expected_columns
from crossbook.study.series import Clock, on_clock, series

__all__ = ["EVENTS", "aggressor_orders", "mid_moves", "response", "responses", "touch_flow"]

MOST_OFFSETS = 1_000_000

EVENTS = {
    "trade": "primary aggressor orders",
    "mid_move": "primary mid moves",
    "touch_add": "additions at the primary's touch",
    "touch_cancel": "cancellations at the primary's touch",
}
"""The events of `responses` in words."""


@checked
def aggressor_orders(trades: pl.DataFrame, /) -> pl.DataFrame:
    """Merge fills into the aggressor orders that made them: a sweep of fifty fills is one order.

    Consecutive rows of one engine time `ts_event` (of one `ts_recv` where that is 0) and one side are one order. Two
    orders of one side in one engine instant (a millisecond on Binance, a second in some files) cannot be told apart and
    count as one.

    `trades` in the order of the stream with `ts_recv, ts_event` (ns), `side, price, size`. Columns: `ts_recv` (of the
    first fill), `ts_event, side, price` (`Σ price·size / Σ size` over fills with a price and a size; null without),
    `size` (sum), `fills`. Raises `DataError` for a missing column.
    """
    expected_columns(trades, "trades", {"ts_recv", "ts_event", "side", "price", "size"})
    # Fills without a price say nothing about the order's; a sum of whole numbers must not run over.
    known = pl.when(pl.col("price").is_not_null()).then(pl.col("size").cast(pl.Float64))
    received = pl.when(pl.col("ts_event") == 0).then("ts_recv").otherwise(0).alias("received")
    return (
        trades.group_by(pl.struct("ts_event", received, "side").rle_id().alias("order"), maintain_order=True)
        .agg(
            pl.col("ts_recv", "ts_event", "side").first(),
            price=pl.when(known.sum() > 0).then((pl.col("price") * known).sum() / known.sum()),
            size=pl.col("size").sum(),
            fills=pl.len(),
        )
        .drop("order")
    )


@checked
def touch_flow(quotes: pl.DataFrame, trades: pl.DataFrame, /, *, clock: Clock = "recv") -> pl.DataFrame:
    """What liquidity providers add to and cancel from the touch.

    Two consecutive quotes (of several at one instant, the last) with the same best price on a side: a larger size is an
    `"add"` of the difference; a smaller one is a `"cancel"` of what trades do not explain, namely trades at that price
    against that side in `(earlier, later]`. Signs say where the flow pushes the price: an added bid or a cancelled ask
    +1, an added ask or a cancelled bid -1.

    Trades and quotes of one instant are received in either order, so where every row of both carries `ts_event` trades
    are matched by it whatever `clock` is: those of `(T of the earlier instant, T]` explain the reductions at `T` first
    come, first served. Otherwise they are matched on `clock`, where a trade stamped after the quote that shows it
    leaves a false cancel.

    Limits: only net changes between quotes are seen, and none at a price that becomes or ceases to be the best; a trade
    of unknown side explains nothing; a cancel in the engine instant of a trade is taken for the trade up to its size,
    and a trade whose quote bears another engine time leaves a false cancel. Prices are compared as equal floats, so
    quotes and trades must come from one decoder; sizes below 1e-9 of the larger quote are rounding.

    Columns: `ts_recv, ts_event, kind, side ("bid", "ask"), sign, price, size` (size in the quotes' unit), in order of
    `clock`. Raises `DataError` for a missing column (`quotes` with ``ts_recv, ts_event, bid, bid_size, ask, ask_size``,
    `trades` with ``ts_recv, ts_event, side, price, size``).

    The flow variable is that of Cont, Kukanov & Stoikov (2014), "The price impact of order book events", Journal of
    Financial Econometrics 12(1), with trades taken out.
    """
    expected_columns(quotes, "quotes", ["ts_recv", "ts_event", "bid", "bid_size", "ask", "ask_size"])
    expected_columns(trades, "trades", ["ts_recv", "ts_event", "side", "price", "size"])
    rows = on_clock(quotes, clock).unique("ts", keep="last", maintain_order=True)
    hits = on_clock(trades, clock)
    timed = all((frame["ts_event"] != 0).all() for frame in (rows, hits))
    rows = rows.with_columns(at=pl.col("ts_event" if timed else "ts").cast(pl.Int64).cum_max())
    # The first quote at or after a trade is the one that can show it.
    hits = (
        hits.with_columns(at=pl.col("ts_event" if timed else "ts").cast(pl.Int64))
        .sort("at", maintain_order=True)
        .join_asof(rows.select("at", shown="at").unique("at", maintain_order=True), on="at", strategy="forward")
        .filter(pl.col("at") >= pl.lit(rows["at"].min(), pl.Int64))
    )
    parts = []
    for side, sign in (("bid", 1), ("ask", -1)):
        size = pl.col(f"{side}_size")
        taken = hits.filter(pl.col("side") == -sign).group_by("shown", "price").agg(taken=pl.col("size").sum())
        change = pl.when(pl.col(side) == pl.col(side).shift()).then(size.diff()).fill_null(0.0)
        less = (-pl.col("change")).clip(0.0)
        before = less.cum_sum().over("at", side) - less
        left = pl.col("change") + (pl.col("taken").fill_null(0.0) - before).clip(0.0, less)
        parts.append(
            rows.with_columns(change=change, larger=pl.max_horizontal(size, size.shift()))
            .join(taken, left_on=["at", side], right_on=["shown", "price"], how="left", maintain_order="left")
            .with_columns(change=left)
            .filter(pl.col("change").abs() > 1e-9 * pl.col("larger"))
            .select(
                "ts",
                "ts_recv",
                "ts_event",
                kind=pl.when(pl.col("change") > 0).then(pl.lit("add")).otherwise(pl.lit("cancel")),
                side=pl.lit(side),
                sign=(sign * pl.col("change").sign()).cast(pl.Int8),
                price=pl.col(side),
                size=pl.col("change").abs(),
            )
        )
    return pl.concat(parts).sort("ts", maintain_order=True).drop("ts")


@checked
def mid_moves(quotes: pl.DataFrame, /, *, clock: Clock = "recv") -> pl.DataFrame:
    """Every change of the mid between consecutive instants of `clock`; of several quotes at one instant the last holds.

    Columns: `ts_recv, ts_event, sign` (of the change), `size_bp = 1e4 |ln(mid_after / mid_before)|`. Rows without a mid
    (null or NaN) are left out. Raises `DataError` for a missing column or a mid that is not positive.
    """
    expected_columns(quotes, "quotes", ["ts_recv", "ts_event", "mid"])
    rows = on_clock(quotes, clock).drop_nulls("mid")
    if (rows["mid"] <= 0).any():
        raise DataError("quotes: expected a mid above 0, whose logarithm is studied")
    move = pl.col("mid").log().diff()
    return (
        rows.unique("ts", keep="last", maintain_order=True)
        .select("ts_recv", "ts_event", sign=move.sign().cast(pl.Int8), size_bp=move.abs() * 1e4)
        .filter(pl.col("sign") != 0)
    )


@checked
def response(
    events: pl.DataFrame,
    secondary_quotes: pl.DataFrame,
    /,
    *,
    clock: Clock = "recv",
    value: str = "mid",
    horizon_ms: float = 2000.0,
    step_ms: float = 10.0,
    block_s: float = 10.0,
    level: float = 0.95,
) -> pl.DataFrame:
    """The mean signed path of the secondary's price around events.

    `mean_bp(τ) = 1e4 · mean over events e of sign_e (ln v(e + τ) - ln v(e⁻))`: `v(t)` is column `value` of the last
    quote at or before `t`, `v(e⁻)` the last strictly before the event, so what the path shows left of 0 the secondary
    did before. Events have `ts_recv` and `ts_event` (ns) and a `sign`; those of sign 0 or without a time on `clock` are
    left out, those whose window of ± `horizon_ms` the quotes do not cover are counted as `dropped`.

    Events of one block of `block_s` seconds may depend on each other in any way, blocks are assumed independent:
    `Var = G/(G-1) Σ_g (S_g - n_g·mean)² / n²` (Liang & Zeger 1986, with the small-sample factor), and the band is
    `mean ± t·√Var` at `level` with `G - 1` degrees of freedom (Cameron & Miller 2015, "A practitioner's guide to
    cluster-robust inference"). It holds at one offset, not for the whole path.

    Columns: `offset_ms, mean_bp, lo_bp, hi_bp, events, dropped`, one row an offset. Without events the mean, and with
    events in one block only the band, is null. Raises `DataError` for a missing column, a value that is not positive,
    or arguments out of range.
    """
    step, horizon, block = (round(x) for x in (step_ms * 1e6, horizon_ms * 1e6, block_s * 1e9))
    if not (0 < step <= horizon and block > 0 and 0.0 < level < 1.0):
        raise DataError("expected 0 < step_ms <= horizon_ms, block_s > 0 and 0 < level < 1")
    if horizon // step > MOST_OFFSETS:
        raise DataError(
            f"expected at most {MOST_OFFSETS:,} offsets on a side, found {horizon // step:,} of {step_ms} ms"
        )
    expected_columns(events, "events", ["sign"])
    signed = on_clock(events, clock).filter(pl.col("sign") != 0)
    half = horizon // step
    offsets = np.arange(-half, half + 1) * step
    sums, counts, dropped = _core.response(
        signed["ts"].to_numpy(),
        signed["sign"].cast(pl.Float64).to_numpy(),
        *series(secondary_quotes, clock, value),
        offsets,
        block=block,
    )
    total, blocks = int(counts.sum()), counts.size
    mean = sums.sum(axis=0) / max(total, 1) * 1e4
    spread = sums * 1e4 - counts[:, None] * mean
    variance = (spread**2).sum(axis=0) * blocks / max(blocks - 1, 1) / max(total, 1) ** 2
    reach = np.sqrt(variance) * (_student_quantile((1 + level) / 2, blocks - 1) if blocks > 1 else 0.0)
    known, banded = pl.lit(total > 0), pl.lit(blocks > 1)
    return pl.DataFrame({"offset_ms": offsets / 1e6, "mean_bp": mean, "reach": reach}).select(
        "offset_ms",
        mean_bp=pl.when(known).then("mean_bp"),
        lo_bp=pl.when(banded).then(pl.col("mean_bp") - pl.col("reach")),
        hi_bp=pl.when(banded).then(pl.col("mean_bp") + pl.col("reach")),
        events=pl.lit(total, dtype=pl.Int64),
        dropped=pl.lit(dropped, dtype=pl.Int64),
    )


@checked
def responses(
    primary_quotes: pl.DataFrame,
    primary_trades: pl.DataFrame,
    secondary_quotes: pl.DataFrame,
    /,
    *,
    clock: Clock = "recv",
    value: str = "mid",
    horizon_ms: float = 2000.0,
    step_ms: float = 10.0,
    block_s: float = 10.0,
    level: float = 0.95,
) -> pl.DataFrame:
    """`response` to the primary's aggressor orders, mid moves, touch additions and cancellations.

    Columns: `event`, a key of `EVENTS`, then those of `response`. Arguments and errors are those of `response`, events
    those of `aggressor_orders` (signed by side; one order is one event, however many its fills), `mid_moves` and
    `touch_flow`.
    """
    flow = touch_flow(primary_quotes, primary_trades, clock=clock)
    kinds = {
        "trade": aggressor_orders(primary_trades).with_columns(sign="side"),
        "mid_move": mid_moves(primary_quotes, clock=clock),
        "touch_add": flow.filter(pl.col("kind") == "add"),
        "touch_cancel": flow.filter(pl.col("kind") == "cancel"),
    }
    paths = [
        response(
            events,
            secondary_quotes,
            clock=clock,
            value=value,
            horizon_ms=horizon_ms,
            step_ms=step_ms,
            block_s=block_s,
            level=level,
        ).select(pl.lit(kind).alias("event"), pl.all())
        for kind, events in kinds.items()
    ]
    return pl.concat(paths)


def _student_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t above its median, by bisection of the exact distribution (whole degrees of freedom).

    Abramowitz & Stegun (1964) 26.7.3 and 26.7.4. Saves the start-up time of SciPy.
    """

    def inside(angle: float) -> float:
        """P(|T| < t) at `angle = atan(t / √freedom)`."""
        cos2, odd = math.cos(angle) ** 2, freedom % 2
        term = math.sin(angle) * (math.cos(angle) if odd else 1.0)
        total = term if freedom > 1 else 0.0
        for k in range(1 + odd, freedom - 2, 2):
            term *= cos2 * k / (k + 1)
            total += term
        return (angle + total) * 2 / math.pi if odd else total

    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < 2 * probability - 1 else (low, middle)
    return math.tan(low) * math.sqrt(freedom)
