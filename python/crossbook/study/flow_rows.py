"""Evenly spaced rows from streams of states and flows: what local projections are run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checked import checked, expected_columns
from crossbook.study.order_flow import quote_flow
from crossbook.study.response import aggressor_orders, touch_flow
from crossbook.study.series import Clock, on_clock

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["even_rows", "flow_rows"]

MOST_ROWS = 100_000_000


@checked
def even_rows(
    *,
    states: Mapping[str, tuple[pl.DataFrame, str]],
    flows: Mapping[str, tuple[pl.DataFrame, str]] | None = None,
    step_ms: float,
    clock: Clock = "recv",
    start: int | None = None,
    end: int | None = None,
) -> pl.DataFrame:
    """States and flows of several streams on one even grid of `step_ms`.

    At row time `ts`: of each state the last value at or before it, nulls passed over; of each flow the sum over
    `(ts - step, ts]`, 0 where nothing came. A step shorter than the streams' own intervals only repeats states; a
    longer one lets what happened within a step look simultaneous. Both maps give a column's name, its frame (with
    ``ts_recv`` or ``ts_event``) and the column there.

    The first row is at the first whole step at which every state is known (not before `start`), the last at or before
    `end`, by default where the first of the streams ends. Columns: ``ts`` (ns of `clock`), then states and flows by
    name. Raises `DataError` for no states, missing columns, a name used twice, an empty stream of a state, values that
    are not finite, streams that share no time, or more than 100 million rows.
    """
    flows = flows or {}
    step = round(step_ms * 1e6) if np.isfinite(step_ms) else 0
    if step <= 0:
        raise DataError(f"expected step_ms above 0, found {step_ms}")
    if not states:
        raise DataError("expected at least one state")
    if twice := set(states) & set(flows):
        raise DataError(f"expected different names of states and flows, found {sorted(twice)} in both")
    streams = {}
    for name, (frame, column) in {**states, **flows}.items():
        if column not in frame.columns:
            raise DataError(f"{name}: expected a column {column}, found {', '.join(frame.columns)}")
        rows = on_clock(frame, clock).select("ts", pl.col(column).cast(pl.Float64).fill_nan(None)).drop_nulls()
        times, values = rows["ts"].to_numpy(), rows[column].to_numpy()
        if not np.isfinite(values).all():
            raise DataError(f"{name}: expected finite values of {column}")
        if name in states and not times.size:
            raise DataError(f"{name}: expected at least one {column} with a time on the {clock} clock, found none")
        streams[name] = times, values
    first = max(int(streams[name][0][0]) for name in states)
    first = -(-max(first, start if start is not None else first) // step) * step
    last = min(int(streams[name][0][-1]) for name in states)
    last = (last if end is None else min(end, max(int(streams[name][0][-1]) for name in states))) // step * step
    count = (last - first) // step + 1
    if count < 1:
        raise DataError("expected streams that share some time, found none")
    if count > MOST_ROWS:
        raise DataError(f"expected at most {MOST_ROWS:,} rows, found {count:,}: take a longer step or a part")
    ts = first + np.arange(count) * step
    found = {"ts": ts}
    for name, (times, values) in streams.items():
        if name in states:
            found[name] = values[np.searchsorted(times, ts, "right") - 1]
        else:
            row = -((first - times) // step)  # upwards: (ts − step, ts] belongs to ts
            kept = (row >= 0) & (row < count)
            found[name] = np.bincount(row[kept], values[kept], minlength=count)
    return pl.DataFrame(found)


@checked
def flow_rows(
    primary_touches: pl.DataFrame,
    primary_trades: pl.DataFrame,
    secondary_touches: pl.DataFrame,
    secondary_trades: pl.DataFrame,
    /,
    *,
    depth: pl.DataFrame | None = None,
    step_ms: float = 20.0,
    clock: Clock = "recv",
    volatility_s: float = 10.0,
    end: int | None = None,
) -> pl.DataFrame:
    """The primary's flows and the secondary's book on even rows: the input of `local_projections` for two venues.

    Columns: ``ts``; of the secondary ``mid_bp`` (`1e4 ln mid`), ``spread_bp``, ``bid_size, ask_size`` at the touch, the
    numeric columns of `depth` whose names begin with ``bid_`` or ``ask_`` (depth by level or band, nulls passed over)
    and ``own_flow`` (buying less selling volume); of the primary, signed by where they push the price, ``trades``
    (volume of aggressor orders), ``ofi`` (`quote_flow`), ``adds`` and ``cancels`` (`touch_flow`: an added ask and
    a cancelled bid are negative) and ``mid_primary_bp``; ``volatile``: whether the sum of squared moves of the
    primary's mid over the past `volatility_s` seconds is above its median over all rows (the sample's: fit for a
    description, not for a trade).

    Touches as `crossbook.study.quotes` gives them, trades with ``side, price, size``. Other arguments and errors as
    `even_rows`.
    """
    for role, touches in (("primary_touches", primary_touches), ("secondary_touches", secondary_touches)):
        expected_columns(touches, role, ["mid", "spread_bp", "bid_size", "ask_size"])
        if (touches["mid"] <= 0).any():
            raise DataError(f"{role}: expected a mid above 0, whose logarithm is studied")
    expected_columns(secondary_trades, "secondary_trades", ["side", "size"])
    flow = touch_flow(primary_touches, primary_trades, clock=clock).with_columns(signed=pl.col("sign") * pl.col("size"))
    orders = aggressor_orders(primary_trades).with_columns(signed=pl.col("side") * pl.col("size"))
    own = secondary_trades.with_columns(signed=pl.col("side") * pl.col("size"))
    theirs = secondary_touches.with_columns(mid_bp=pl.col("mid").log() * 1e4)
    states = {name: (theirs, name) for name in ("mid_bp", "spread_bp", "bid_size", "ask_size")}
    if depth is not None:
        taken = [n for n in depth.columns if n.startswith(("bid_", "ask_")) and depth[n].dtype.is_numeric()]
        known = [n for n in taken if depth[n].null_count() < depth.height]
        states |= {name: (depth, name) for name in known}
    states["mid_primary_bp"] = primary_touches.with_columns(mid_primary_bp=pl.col("mid").log() * 1e4), "mid_primary_bp"
    rows = even_rows(
        states=states,
        flows={
            "own_flow": (own, "signed"),
            "trades": (orders, "signed"),
            "ofi": (quote_flow(primary_touches), "ofi_1"),
            "adds": (flow.filter(pl.col("kind") == "add"), "signed"),
            "cancels": (flow.filter(pl.col("kind") == "cancel"), "signed"),
        },
        step_ms=step_ms,
        clock=clock,
        end=end,
    )
    window = max(1, round(volatility_s * 1e3 / step_ms))
    moves = pl.col("mid_primary_bp").diff().fill_null(0.0) ** 2
    past = rows.select(past=moves.rolling_sum(window, min_samples=1))["past"]
    return rows.with_columns(volatile=past > float(past.median() or 0.0))  # type: ignore[arg-type]  # a float column
