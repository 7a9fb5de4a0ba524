"""How the secondary's price moves around what happens on the primary: trades, mid moves, and the touch's own flow."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.series import Clock, on_clock, series


def touch_flow(quotes: pl.DataFrame, trades: pl.DataFrame, /, *, clock: Clock = "recv") -> pl.DataFrame:
    """What liquidity providers add to and cancel from the touch.

    Two consecutive quotes (of several at one instant, the last) with the same best price on a side: a larger size is an
    `"add"` of the difference; a smaller one is a `"cancel"` of what trades do not explain, namely trades at that price
    against that side in `(earlier, later]` on `clock`. Signs say where the flow pushes the price: an added bid or a
    cancelled ask +1, an added ask or a cancelled bid -1.

    Limits: only net changes between quotes are seen, and none at a price that becomes or ceases to be the best; a trade
    of unknown side explains nothing; a trade stamped after the quote that shows it leaves a false cancel. Prices are
    compared as equal floats, so quotes and trades must come from one decoder; sizes below 1e-9 of the larger quote are
    rounding.

    Columns: `ts_recv, ts_event, kind, side ("bid", "ask"), sign, price, size` (size in the quotes' unit), in order of
    `clock`. Raises `DataError` if a frame has no such clock.

    The flow variable is that of Cont, Kukanov & Stoikov (2014), "The price impact of order book events", Journal of
    Financial Econometrics 12(1), with trades taken out.
    """
    rows = on_clock(quotes, clock).unique("ts", keep="last", maintain_order=True)
    hits = on_clock(trades, clock)
    times = rows["ts"].to_numpy()
    parts = []
    for side, sign in (("bid", 1), ("ask", -1)):
        price, size = rows[side].to_numpy(), rows[f"{side}_size"].to_numpy()
        mine = hits.filter(pl.col("side") == -sign)
        # The first quote at or after a trade is the one that can show it.
        at = np.searchsorted(times, mine["ts"].to_numpy())
        inside = (at > 0) & (at < times.size)
        at, paid, amount = at[inside], mine["price"].to_numpy()[inside], mine["size"].to_numpy()[inside]
        here = (price[at] == paid) & (price[at - 1] == paid)
        taken = np.bincount(at[here], amount[here], minlength=times.size)[1:]
        change = np.diff(size)
        change = np.where(change < 0, np.minimum(change + taken, 0.0), change)
        flow = (price[1:] == price[:-1]) & (np.abs(change) > 1e-9 * np.maximum(size[1:], size[:-1]))
        change = change[flow]
        parts.append(
            rows[1:]
            .filter(flow)
            .select(
                "ts",
                "ts_recv",
                "ts_event",
                kind=pl.Series(np.where(change > 0, "add", "cancel"), dtype=pl.String),
                side=pl.lit(side),
                sign=pl.Series(sign * np.sign(change)).cast(pl.Int8),
                price=pl.col(side),
                size=pl.Series(np.abs(change), dtype=pl.Float64),
            )
        )
    return pl.concat(parts).sort("ts", maintain_order=True).drop("ts")


def mid_moves(quotes: pl.DataFrame, /, *, clock: Clock = "recv") -> pl.DataFrame:
    """Every change of the mid between consecutive instants of `clock`; of several quotes at one instant the last holds.

    Columns: `ts_recv, ts_event, sign` (of the change), `size_bp = 1e4 |ln(mid_after / mid_before)|`. Rows without a mid
    are left out. Raises `DataError` if the frame has no such clock.
    """
    rows = on_clock(quotes, clock).filter(pl.col("mid").is_not_nan())
    move = pl.col("mid").log().diff()
    return (
        rows.unique("ts", keep="last", maintain_order=True)
        .select("ts_recv", "ts_event", sign=move.sign().cast(pl.Int8), size_bp=move.abs() * 1e4)
        .filter(pl.col("sign") != 0)
    )


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
    if "sign" not in events.columns:
        raise DataError(f"expected a column sign, found {', '.join(events.columns)}")
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
    """`response` to the primary's trades (signed by the aggressor), mid moves, touch additions and cancellations.

    Columns: `event` in `{"trade", "mid_move", "touch_add", "touch_cancel"}`, then those of `response`. Arguments and
    errors are those of `response`, events those of `mid_moves` and `touch_flow`.
    """
    flow = touch_flow(primary_quotes, primary_trades, clock=clock)
    kinds = {
        "trade": primary_trades.with_columns(sign="side"),
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
