"""What is known of two venues at a time of decision, and what the secondary does next: features and outcomes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.checks import checked, whole_array
from crossbook.study.order_flow import quote_flow
from crossbook.study.series import Clock, Floats, Times, on_clock

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DECAYS_MS", "HORIZONS_MS", "TARGETS", "anticipation_features", "anticipation_outcomes"]

DECAYS_MS = (10.0, 100.0, 1_000.0, 10_000.0)
"""How long the features remember, ms."""
HORIZONS_MS = (10.0, 100.0, 1_000.0, 10_000.0)
"""How far ahead outcomes lie, ms."""
TARGETS = {
    "move_bp": "the secondary's mid, bp",
    "spread_change_bp": "the secondary's spread, bp",
    "depth_change": "the secondary's size at the touch, log",
}
"""Columns of outcomes in words."""


class _Venue(NamedTuple):
    """One venue on one clock, time ascending: every row of its touches, and what each row changes."""

    times: Times
    known: NDArray[np.bool_]
    mid: Floats
    spread_bp: Floats
    log_depth: Floats
    imbalance: Floats
    bid: Floats
    ask: Floats
    bid_size: Floats
    ask_size: Floats


def _venue(touches: pl.DataFrame, clock: Clock, role: str) -> _Venue:
    names = ("bid", "bid_size", "ask", "ask_size")
    if missing := set(names) - set(touches.columns):
        raise DataError(f"{role} touches: expected columns bid, bid_size, ask and ask_size, missing {sorted(missing)}")
    rows = on_clock(touches, clock).select(
        pl.col("ts").cast(pl.Int64), *(pl.col(name).cast(pl.Float64).fill_null(math.nan) for name in names)
    )
    bid, bid_size, ask, ask_size = (rows[name].to_numpy() for name in names)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        known = (bid > 0) & (ask > 0) & (bid_size > 0) & (ask_size > 0)
        known &= np.isfinite(bid) & np.isfinite(ask) & np.isfinite(bid_size) & np.isfinite(ask_size)
        mid = (bid + ask) / 2
        spread = (ask - bid) / mid * 1e4
        depth = np.log(bid_size + ask_size)
        imbalance = (bid_size - ask_size) / (bid_size + ask_size)
    if not known.any():
        raise DataError(
            f"{role} touches: expected at least one with both sides known and a time on the {clock} clock, found none"
        )
    return _Venue(rows["ts"].to_numpy(), known, mid, spread, depth, imbalance, bid, ask, bid_size, ask_size)


def touch_columns(
    touches: pl.DataFrame, clock: Clock, role: str
) -> tuple[Times, NDArray[np.bool_], Floats, Floats, Floats, Floats]:
    """Times, where both sides are known, bid, ask and their sizes, in order of time; `DataError` if nowhere."""
    venue = _venue(touches, clock, role)
    return venue.times, venue.known, venue.bid, venue.ask, venue.bid_size, venue.ask_size


def _trades(trades: pl.DataFrame, clock: Clock, role: str) -> tuple[Times, Floats, Floats, NDArray[np.bool_]]:
    """Times, sides, sizes, and which fills begin an order: those whose engine time or side differs from the last's."""
    if missing := {"side", "size"} - set(trades.columns):
        raise DataError(f"{role} trades: expected columns side and size, missing {sorted(missing)}")
    rows = on_clock(trades, clock)
    engine = pl.col("ts_event") if "ts_event" in rows.columns else pl.lit(0)
    instant = pl.when(engine != 0).then(engine).otherwise(pl.col("ts"))
    rows = rows.select(
        pl.col("ts").cast(pl.Int64),
        pl.col("side").cast(pl.Float64).fill_null(0.0),
        pl.col("size").cast(pl.Float64).fill_null(math.nan),
        # Looks at the row before only: what an order becomes later must not be known at its first fill.
        begins=((instant != instant.shift()) | (pl.col("side") != pl.col("side").shift())).fill_null(True),
    )
    size = rows["size"].to_numpy()
    if not (np.isfinite(size).all() and (size >= 0).all()):
        row = int(np.flatnonzero(~(np.isfinite(size) & (size >= 0)))[0])
        raise DataError(f"{role} trades: expected finite sizes of 0 or more, found {size[row]} in row {row} by time")
    return rows["ts"].to_numpy(), rows["side"].to_numpy(), size, rows["begins"].to_numpy()


def _flow(touches: pl.DataFrame, clock: Clock) -> tuple[Times, Floats]:
    """The order-flow imbalance of the touch, an event a row that follows a known one and is known."""
    rows = on_clock(touches, clock)
    rows = rows.with_columns(pl.lit(0, pl.Int64).alias(c) for c in {"ts_recv", "ts_event"} - set(rows.columns))
    flow = quote_flow(rows).filter(~pl.col("start"))
    return flow[f"ts_{clock}"].cast(pl.Int64).to_numpy(), flow["ofi_1"].to_numpy()


def _at(venue: _Venue, times: Times) -> tuple[Times, NDArray[np.bool_]]:
    """The row that holds at each time, and whether there is one and it is known."""
    rows = np.searchsorted(venue.times, times, "right") - 1
    return rows, (rows >= 0) & venue.known[rows]


def _nanoseconds(name: str, values: Sequence[float]) -> Times:
    whole = np.array([round(ms * 1e6) if math.isfinite(ms) else 0 for ms in values], dtype=np.int64)
    if whole.size == 0 or (whole < 1).any() or (whole > 10**15).any():
        raise DataError(f"{name}: expected lengths from 1e-6 ms to 1e9 ms, found {list(values)}")
    if len(set(whole.tolist())) < whole.size:
        raise DataError(f"{name}: expected each length once, found {list(values)}")
    return whole


def decision_times(at: Times | pl.Series | None) -> Times | None:
    """Times of decision as an array, checked."""
    if at is None:
        return None
    times = whole_array(at, "at")
    if (np.diff(times) <= 0).any():
        row = int(np.flatnonzero(np.diff(times) <= 0)[0]) + 1
        raise DataError(
            f"at: expected strictly ascending times, found {times[row]} after {times[row - 1]} in row {row}"
        )
    return times


@checked
def anticipation_features(
    primary_touches: pl.DataFrame,
    primary_trades: pl.DataFrame,
    secondary_touches: pl.DataFrame,
    secondary_trades: pl.DataFrame,
    /,
    *,
    at: Times | pl.Series | None = None,
    every_ms: float = 100.0,
    decays_ms: Sequence[float] = DECAYS_MS,
    basis_decay_s: float = 60.0,
    warm_up_ms: float | None = None,
    clock: Clock = "recv",
) -> pl.DataFrame:
    """What is known of both venues at each time of decision: nothing after it on `clock` enters, whatever comes later.

    `at` are the times (ns, strictly ascending), by default every `every_ms` from the first instant at which both
    touches are known plus `warm_up_ms` (by default the longest decay) to the last row of either's touches, whichever
    ends first. An event *at* the time of decision is known. A row in which a touch is unknown is left out.

    With `S_τ[x](t) = Σ_{i: t_i ≤ t} x_i e^{-(t - t_i)/τ}`, for every decay τ (ms) and both venues:

    - ``…_move_<τ>``: `S_τ` of changes of the mid, in bp of log;
    - ``…_volatility_<τ>``: the root of `S_τ` of their squares, bp;
    - ``…_flow_<τ>``: `S_τ` of trades, sizes signed by the aggressor; ``…_ofi_<τ>`` of `quote_flow`; in the unit of
      sizes;
    - ``…_buys_<τ>, …_sells_<τ>``: `S_τ` of the count of aggressor orders over τ, per second: the intensity that a
      Hawkes process of that decay feeds on (Hawkes 1971). Fills of one engine time and side that follow each other are
      one order, counted at the first;
    - ``secondary_spread_<τ>, secondary_depth_<τ>``: spread (bp) and log of the size at the touch, less their mean over
      the past, weighted `e^{-(t - s)/τ}` over time s.

    And at the time itself ``…_imbalance = (q - r)/(q + r)`` of bid and ask size, ``…_spread_bp``, ``…_log_depth``
    (`ln(q + r)`), and ``basis_deviation_bp``: `1e4 ln(mid_secondary / mid_primary)` less its mean over the past, with
    weights that decay over `basis_decay_s`.

    Columns: ``ts`` and these, Float64, finite. Empty where no time has both touches known. Raises `DataError` for a
    missing column or clock, times that do not ascend, lengths out of range, or a venue whose touch is never known.
    """
    decays = _nanoseconds("decays_ms", decays_ms)
    slow = _nanoseconds("basis_decay_s", [basis_decay_s * 1e3])
    roles = ("primary", "secondary")
    venues = [_venue(f, clock, role) for f, role in zip((primary_touches, secondary_touches), roles, strict=True)]
    trades = [_trades(f, clock, role) for f, role in zip((primary_trades, secondary_trades), roles, strict=True)]
    times = decision_times(at)
    if times is None:
        step = int(_nanoseconds("every_ms", [every_ms])[0])
        warm = int(decays.max()) if warm_up_ms is None else round(warm_up_ms * 1e6)
        if warm < 0:
            raise DataError(f"warm_up_ms: expected 0 or more, found {warm_up_ms}")
        first = max(int(v.times[v.known][0]) for v in venues) + warm
        last = min(int(v.times[-1]) for v in venues)
        times = np.arange(first, last + 1, step, dtype=np.int64)
    rows, known = zip(*(_at(venue, times) for venue in venues), strict=True)
    kept = known[0] & known[1]
    times, rows = times[kept], tuple(row[kept] for row in rows)
    labels = [f"{ms:g}" for ms in decays_ms]
    columns: dict[str, Floats] = {}

    def decayed(name: str, when: Times, what: Floats, scale: Floats | float = 1.0) -> Floats:
        sums = _core.decayed_sums(np.ascontiguousarray(when), np.ascontiguousarray(what), times, decays) * scale
        columns.update({f"{name}_{label}": sums[:, k] for k, label in enumerate(labels)})
        return sums

    frames = (primary_touches, secondary_touches)
    for role, frame, venue, row, (when, side, size, begins) in zip(roles, frames, venues, rows, trades, strict=True):
        seen = venue.times[venue.known]
        moves = np.diff(np.log(venue.mid[venue.known])) * 1e4
        decayed(f"{role}_move", seen[1:], moves)
        squares = _core.decayed_sums(seen[1:], moves**2, times, decays)
        columns |= {f"{role}_volatility_{label}": np.sqrt(squares[:, k]) for k, label in enumerate(labels)}
        decayed(f"{role}_flow", when, side * size)
        decayed(f"{role}_ofi", *_flow(frame, clock))
        for name, sign in (("buys", 1.0), ("sells", -1.0)):
            mine = when[begins & (side == sign)]
            decayed(f"{role}_{name}", mine, np.ones(mine.size), 1e9 / decays)
        columns[f"{role}_imbalance"] = venue.imbalance[row]
        columns[f"{role}_spread_bp"] = venue.spread_bp[row]
        columns[f"{role}_log_depth"] = venue.log_depth[row]
    own = venues[1]
    for name, values in (("spread", own.spread_bp), ("depth", own.log_depth)):
        found = _deviation(own.times[own.known], values[own.known], times, decays)
        columns |= {f"secondary_{name}_{label}": found[:, k] for k, label in enumerate(labels)}
    columns["basis_deviation_bp"] = _deviation(*_basis(venues), times, slow)[:, 0]
    return pl.DataFrame({"ts": times} | columns)


def _basis(venues: Sequence[_Venue]) -> tuple[Times, Floats]:
    """The basis at every instant at which both touches are known."""
    when = np.union1d(venues[0].times, venues[1].times)
    rows, known = zip(*(_at(venue, when) for venue in venues), strict=True)
    both = known[0] & known[1]
    ratio = venues[1].mid[rows[1][both]] / venues[0].mid[rows[0][both]]
    return when[both], np.log(ratio) * 1e4


def _deviation(when: Times, values: Floats, at: Times, decays: Times) -> Floats:
    """A step function less its decayed mean over the past, `[at, decays]`; 0 before it has a past.

    By parts, `∫ b(s) e^{-(t-s)/τ} ds / τ` over `[t0, t]` is `b(t) - b(t0) E - S`, with `E = e^{-(t-t0)/τ}` and `S` the
    decayed sum of the steps, and the weights come to `1 - E`: the deviation is `(S - E (b(t) - b(t0))) / (1 - E)`.
    """
    if when.size == 0 or at.size == 0:
        return np.zeros((at.size, decays.size))
    sums = _core.decayed_sums(when[1:], np.diff(values), at, decays)
    now = values[np.maximum(np.searchsorted(when, at, "right") - 1, 0)]
    age = np.maximum(at - when[0], 0)[:, None] / decays
    gone = np.exp(-age)
    weight = -np.expm1(-age)
    return np.where(weight > 0, (sums - gone * (now - values[0])[:, None]) / np.where(weight > 0, weight, 1.0), 0.0)


@checked
def anticipation_outcomes(
    at: Times | pl.Series,
    secondary_touches: pl.DataFrame,
    /,
    *,
    horizons_ms: Sequence[float] = HORIZONS_MS,
    clock: Clock = "recv",
) -> pl.DataFrame:
    """What the secondary's touch does over each horizon h after each time t of decision.

    ``move_bp = 1e4 ln(mid(t + h) / mid(t))``, ``spread_change_bp = spread(t + h) - spread(t)`` in bp of the mid,
    ``depth_change = ln(size(t + h) / size(t))`` of bid and ask size together. A value at a time is that of the last row
    at or before it. Left out: times and horizons at which the touch is unknown, and those that end after its last row.

    Columns: ``ts, horizon_ms, move_bp, spread_change_bp, depth_change``, finite. Raises `DataError` as
    `anticipation_features`.
    """
    venue = _venue(secondary_touches, clock, "secondary")
    times = decision_times(at)
    if times is None:
        raise DataError("at: expected times of decision, found none")
    now, known_now = _at(venue, times)
    parts = []
    for ms, horizon in zip(horizons_ms, _nanoseconds("horizons_ms", horizons_ms), strict=True):
        then, known = _at(venue, times + horizon)
        kept = known_now & known & (times + horizon <= venue.times[-1])
        a, b = now[kept], then[kept]
        parts.append(
            pl.DataFrame(
                {
                    "ts": times[kept],
                    "horizon_ms": np.full(a.size, float(ms)),
                    "move_bp": np.log(venue.mid[b] / venue.mid[a]) * 1e4,
                    "spread_change_bp": venue.spread_bp[b] - venue.spread_bp[a],
                    "depth_change": venue.log_depth[b] - venue.log_depth[a],
                }
            )
        )
    return pl.concat(parts)
