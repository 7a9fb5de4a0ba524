"""What forecasts are worth: trading on them at the touch, and whether to take now or to post."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.anticipation import touch_columns
from crossbook.study.checks import checked, floats
from crossbook.study.forecast import Blocks, Estimate, horizon_of
from crossbook.study.series import Clock, Floats, Times, on_clock

if TYPE_CHECKING:
    from crossbook.costs import Cost, State

__all__ = ["advice", "forecast_trades", "forecast_trades_summary"]

Whole = NDArray[np.int64]

FORECAST_TRADES = {
    "side": pl.Int64,
    "decided": pl.Int64,
    "opened": pl.Int64,
    "closed": pl.Int64,
    "forecast_bp": pl.Float64,
    "gross_bp": pl.Float64,
    "crossing_bp": pl.Float64,
    "fees_bp": pl.Float64,
    "net_bp": pl.Float64,
}


class _Touch(NamedTuple):
    """The secondary's touch on a clock, and the rows at which it is known."""

    times: Times
    bid: Floats
    ask: Floats
    bid_size: Floats
    ask_size: Floats
    known: NDArray[np.bool_]

    def at(self, when: Times) -> tuple[Whole, NDArray[np.bool_]]:
        """The row that holds at each time, or the first known one after it; false where there is none."""
        rows = np.searchsorted(self.times, when, "right") - 1
        held = (rows >= 0) & self.known[np.maximum(rows, 0)]
        places = np.flatnonzero(self.known)
        later = np.searchsorted(places, rows, "right")
        found = held | (later < places.size)
        return np.where(held, rows, places[np.minimum(later, places.size - 1)]), found

    def mid(self, rows: Whole) -> Floats:
        return np.asarray((self.bid[rows] + self.ask[rows]) / 2)


def _touch(touches: pl.DataFrame, clock: Clock) -> _Touch:
    times, known, bid, ask, bid_size, ask_size = touch_columns(touches, clock, "secondary")
    return _Touch(times, bid, ask, bid_size, ask_size, known)


def _forecasts(forecasts: pl.DataFrame) -> tuple[Times, Floats, int]:
    """Times of decision, forecasts and the one horizon in ns."""
    if missing := {"ts", "horizon_ms", "forecast"} - set(forecasts.columns):
        raise DataError(f"forecasts: missing columns {sorted(missing)}")
    horizon = horizon_of(forecasts)
    rows = forecasts.sort("ts").select(pl.col("ts").cast(pl.Int64), pl.col("forecast").cast(pl.Float64), "horizon_ms")
    values = rows["forecast"].fill_null(math.nan).to_numpy()
    if not np.isfinite(values).all():
        raise DataError(
            f"forecasts: expected finite forecasts, found one that is not in row {int(np.argmin(np.isfinite(values)))}"
        )
    return rows["ts"].to_numpy(), values, round(horizon * 1e6)


def _latency(latency_ms: float) -> int:
    if not 0 <= latency_ms < 1e9:
        raise DataError(f"latency_ms: expected 0 or more, found {latency_ms}")
    return round(latency_ms * 1e6)


@checked
def forecast_trades(
    forecasts: pl.DataFrame,
    secondary_touches: pl.DataFrame,
    /,
    *,
    threshold_bp: float | None = None,
    fee_bp: float = 0.0,
    latency_ms: float = 5.0,
    clock: Clock = "recv",
) -> pl.DataFrame:
    """Trade on forecasts of ``move_bp`` by taking at the touch, one position at a time: the trades.

    At a decision t with `|forecast| > threshold_bp` (by default what is known to be paid: the spread at t and twice
    `fee_bp`) an order leaves that reaches the secondary `latency_ms` later and takes the touch that holds then (or the
    first known one after). The order to close leaves at `t + h` and takes the touch at `t + h + latency`. Until then no
    other decision counts. Size is not looked at and touches are not consumed.

    Columns: ``side`` (+1 bought), ``decided, opened, closed`` (ns), ``forecast_bp``, ``gross_bp`` (mid to mid, signed),
    ``crossing_bp`` (both half spreads), ``fees_bp``, ``net_bp = gross - crossing - fees``; bp of the mid at the
    opening. A position that could not be closed within the data is left out. Empty if nothing was traded. Raises
    `DataError` for missing columns, several horizons, forecasts that are not finite, or options out of range.
    """
    times, values, horizon = _forecasts(forecasts)
    delay = _latency(latency_ms)
    if not 0 <= abs(fee_bp) < 1e4 or (threshold_bp is not None and not 0 <= threshold_bp < math.inf):
        raise DataError(
            f"expected a fee below 10,000 bp and a threshold of 0 or more, found {fee_bp} and {threshold_bp}"
        )
    touch = _touch(secondary_touches, clock)
    now, _ = touch.at(times)
    spread = (touch.ask[now] - touch.bid[now]) / touch.mid(now) * 1e4
    least = spread + 2 * fee_bp if threshold_bp is None else np.full(times.size, threshold_bp)
    entry, opens = touch.at(times + delay)
    leave, closes = touch.at(times + horizon + delay)
    closes &= times + horizon + delay <= touch.times[-1]
    wanted = (np.abs(values) > np.maximum(least, 0.0)) & opens & closes
    # A touch that was known only later trades only then.
    opened = np.maximum(times + delay, touch.times[entry])
    closed = np.maximum(np.maximum(times + horizon + delay, touch.times[leave]), opened)
    taken, free = [], None
    for row in np.flatnonzero(wanted).tolist():
        if free is None or times[row] >= free:
            taken.append(row)
            free = closed[row]
    kept = np.array(taken, dtype=np.int64)
    side = np.sign(values[kept]).astype(np.int64)
    a, b = entry[kept], leave[kept]
    first, last = touch.mid(a), touch.mid(b)
    pay = np.where(side > 0, touch.ask[a], touch.bid[a])
    get = np.where(side > 0, touch.bid[b], touch.ask[b])
    gross = side * (last - first) / first * 1e4
    crossing = (np.abs(pay - first) + np.abs(get - last)) / first * 1e4
    fees = fee_bp * (pay + get) / first
    return pl.DataFrame(
        {
            "side": side,
            "decided": times[kept],
            "opened": opened[kept],
            "closed": closed[kept],
            "forecast_bp": values[kept],
            "gross_bp": gross,
            "crossing_bp": crossing,
            "fees_bp": fees,
            "net_bp": gross - crossing - fees,
        },
        schema=FORECAST_TRADES,
    )


@checked
def forecast_trades_summary(trades: pl.DataFrame, /, *, block_s: float = 10.0, level: float = 0.95) -> pl.DataFrame:
    """One row about `forecast_trades`: ``trades, net_bp`` (sum), ``mean_bp, mean_lo, mean_hi`` (net, a trade),
    ``gross_bp, crossing_bp, fees_bp`` (means), ``hit_rate`` (share of trades with a net above 0).

    The interval takes blocks of `block_s` seconds as independent (see `forecast_scores`); null in one block. Means are
    null without trades. Raises `DataError` for a missing column or options out of range.
    """
    if missing := set(FORECAST_TRADES) - set(trades.columns):
        raise DataError(f"trades: missing columns {sorted(missing)}")
    if not (0 < block_s < 1e9 and 0 < level < 1):
        raise DataError(f"expected block_s above 0 and a level between 0 and 1, found {block_s} and {level}")
    rows = trades.sort("decided")
    rows = floats(rows, ["net_bp", "gross_bp", "crossing_bp", "fees_bp"], "trades")
    net = rows["net_bp"].to_numpy()
    blocks = Blocks(rows["decided"].to_numpy(), round(block_s * 1e9), level)
    mean = blocks.ratio(net, np.ones(net.size))
    row = {
        "trades": net.size,
        "net_bp": float(net.sum()),
        "mean_bp": mean.value,
        "mean_lo": mean.lo,
        "mean_hi": mean.hi,
        **{name: rows[name].mean() for name in ("gross_bp", "crossing_bp", "fees_bp")},
        "hit_rate": float((net > 0).mean()) if net.size else None,
    }
    return pl.DataFrame([row], schema={"trades": pl.Int64} | dict.fromkeys([*row][1:], pl.Float64))


MEASURES = ("take", "post", "fill", "adverse", "chase", "waiting")
ADVICE = {
    "bucket": pl.String,
    "orders": pl.Int64,
    "forecast_lo_bp": pl.Float64,
    "forecast_hi_bp": pl.Float64,
    "forecast_bp": pl.Float64,
    **{
        f"{name}{end}": pl.Float64
        for name in ("take_bp", "post_bp", "fill_probability", "adverse_bp", "chase_bp", "waiting_bp")
        for end in ("", "_lo", "_hi")
    },
    "advice": pl.String,
}


@checked
def advice(
    forecasts: pl.DataFrame,
    secondary_touches: pl.DataFrame,
    secondary_trades: pl.DataFrame,
    /,
    *,
    side: Literal["both", "buy", "sell"] = "both",
    taker_fee_bp: float = 0.0,
    maker_fee_bp: float = 0.0,
    costs: Cost | None = None,
    state: State | None = None,
    latency_ms: float = 5.0,
    size: float = 0.0,
    buckets: int = 5,
    block_s: float = 10.0,
    level: float = 0.95,
    clock: Clock = "recv",
) -> pl.DataFrame:
    """Take now, or post at the touch and wait? Expected cost of both, by what is forecast.

    Someone has to buy (d = 1) or sell (d = -1) at each time t of `forecasts` (out of sample, of ``move_bp`` over h).
    Costs are bp of the mid at t, positive when paid, against that mid m:

    - *take*: the opposite touch at `t + latency`: `1e4 d (p - m)/m + taker fee`;
    - *post*: a limit order at the own side's touch at t, which rests from `t + latency` to `t + h + latency`. Filled,
      it costs `1e4 d (limit - m)/m + maker fee`, which is minus the half spread; not filled, what the opposite touch
      costs at `t + h + latency`, with the taker fee (*chase*). Where the opposite touch has come to the limit by the
      arrival it takes there.

    It is filled by a trade beyond its price, when as much has traded at its price as was shown there on arrival plus
    its own `size` (in the touches' unit), or when the opposite touch reaches its price. Nobody ahead cancels, so real
    orders are filled no later. Where the touch has moved away on arrival, the size shown at t is ahead; where it has
    fallen back, nothing is. Trades of unknown side (0) fill nothing.

    Fees are `taker_fee_bp` and `maker_fee_bp` of what is traded, or what `costs` (`crossbook.costs`: a venue's tiers,
    fixed fees, a sum of several) says of each side as taker and as maker in `state`, an account's volume among it. A
    fixed cost counts once an order, as bp of `size` at the mid, and needs a `size`.

    Buckets: equal shares of ``d · forecast`` (positive: the price is expected to run away), and ``all``. Columns:
    ``bucket`` ("1" the lowest), ``orders, forecast_lo_bp, forecast_hi_bp, forecast_bp`` (mean), then each with ``_lo,
    _hi`` at `level` by blocks of `block_s` seconds (see `forecast_scores`): ``take_bp, post_bp, fill_probability``,
    ``adverse_bp``: how far the mid went against the filled by `t + h + latency`, `-1e4 d (mid - m)/m` (it is no part of
    post_bp: who takes has it too), ``chase_bp``: cost of those not filled, ``waiting_bp = take_bp - post_bp``: the
    value of waiting. ``advice``: ``post`` or ``take`` where the interval of the value of waiting excludes 0, else
    ``undecided``. Means over no orders are null.

    It does not show: what the order itself does to the market, the risk of waiting, sizes beyond `size`, venues other
    than the secondary. Rows are left out where the touch is unknown at t or the data ends before the order does; empty
    if all are. Cont & Kukanov (2017), "Optimal order placement in limit order markets", Quantitative Finance 17(1),
    treats the split between taking and posting (`crossbook.routing.place`); here its fill probability is measured.

    Raises `DataError` for missing columns, several horizons, forecasts that are not finite, options out of range, or
    both `costs` and a fee; `CostError` where `state` lacks what the costs need.
    """
    if side not in ("both", "buy", "sell"):
        raise DataError(f'side: expected "both", "buy" or "sell", found {side!r}')
    if not (buckets >= 1 and 0 <= size < math.inf and max(abs(taker_fee_bp), abs(maker_fee_bp)) < 1e4):
        raise DataError(
            "expected at least 1 bucket, a size of 0 or more and fees below 10,000 bp, found "
            f"{buckets}, {size}, {taker_fee_bp} and {maker_fee_bp}"
        )
    if not (0 < block_s < 1e9 and 0 < level < 1):
        raise DataError(f"expected block_s above 0 and a level between 0 and 1, found {block_s} and {level}")
    times, values, horizon = _forecasts(forecasts)
    delay = _latency(latency_ms)
    touch = _touch(secondary_touches, clock)
    trades = _trade_columns(secondary_trades, clock)
    rows = np.searchsorted(touch.times, times, "right") - 1
    usable = (rows >= 0) & touch.known[np.maximum(rows, 0)] & (times + horizon + delay <= touch.times[-1])
    _, ends = touch.at(times + horizon + delay)
    usable &= ends
    times, values = times[usable], values[usable]
    sides = {"both": (1, -1), "buy": (1,), "sell": (-1,)}[side]
    charges = {d: (_Charge(taker_fee_bp), _Charge(maker_fee_bp)) for d in sides}
    if costs is not None:
        if taker_fee_bp or maker_fee_bp:
            raise DataError("expected costs or fees in bp, found both")
        charges = {d: _charges(costs, d, state, size) for d in sides}
    parts = [_outcomes(times, d, horizon, delay, touch, trades, size, charges[d]) for d in sides]
    signal = np.concatenate([d * values for d in sides])
    when = np.concatenate([times for _ in sides])
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if not signal.size:
        return pl.DataFrame(schema=ADVICE)
    blocks = Blocks(when, max(round(block_s * 1e9), 5 * horizon), level)
    edges = np.quantile(signal, np.linspace(0, 1, buckets + 1))
    place = np.searchsorted(np.unique(edges[1:-1]), signal, "left")
    table = []
    for name, mine in [
        *((str(k + 1), place == k) for k in range(buckets) if (place == k).any()),
        ("all", np.ones(signal.size, dtype=bool)),
    ]:
        table.append(_row(name, mine, signal, found, blocks))
    return pl.DataFrame(table, schema=ADVICE)


class _Charge(NamedTuple):
    """What an order that trades pays."""

    rate: float
    """bp of what is traded."""
    fixed: float = 0.0
    """Quote currency a unit of its size, whatever the price."""


def _charges(costs: Cost, d: int, state: State | None, size: float) -> tuple[_Charge, _Charge]:
    """As a taker and as a maker, on the side `d`."""
    found = []
    for liquidity in ("taker", "maker"):
        rate, fixed = costs.affine(side="buy" if d > 0 else "sell", liquidity=liquidity, state=state)
        if fixed and not size > 0:
            raise DataError(f"costs: expected a size above 0 with a fixed cost of {fixed} an order, found {size}")
        found.append(_Charge(float(rate), float(fixed) / size if fixed else 0.0))
    return found[0], found[1]


def _row(
    name: str, mine: NDArray[np.bool_], signal: Floats, found: dict[str, Floats], blocks: Blocks
) -> dict[str, float | int | str | None]:
    ones, filled = np.ones(signal.size), found["filled"] > 0
    estimates = {
        "take_bp": blocks.ratio(found["take"], ones, mine),
        "post_bp": blocks.ratio(found["post"], ones, mine),
        "fill_probability": blocks.ratio(found["filled"], ones, mine),
        "adverse_bp": blocks.ratio(found["adverse"], ones, mine & filled),
        "chase_bp": blocks.ratio(found["post"], ones, mine & ~filled),
        "waiting_bp": blocks.ratio(found["take"] - found["post"], ones, mine),
    }
    fill = estimates["fill_probability"]
    ends = (None if fill.lo is None else max(fill.lo, 0.0), None if fill.hi is None else min(fill.hi, 1.0))
    estimates["fill_probability"] = Estimate(fill.value, *ends)
    waiting = estimates["waiting_bp"]
    said = "undecided"
    if waiting.lo is not None and waiting.hi is not None:
        said = "post" if waiting.lo > 0 else "take" if waiting.hi < 0 else said
    row: dict[str, float | int | str | None] = {
        "bucket": name,
        "orders": int(mine.sum()),
        "forecast_lo_bp": float(signal[mine].min()),
        "forecast_hi_bp": float(signal[mine].max()),
        "forecast_bp": float(signal[mine].mean()),
    }
    for measure, estimate in estimates.items():
        row |= {measure: estimate.value, f"{measure}_lo": estimate.lo, f"{measure}_hi": estimate.hi}
    return row | {"advice": said}


def _trade_columns(trades: pl.DataFrame, clock: Clock) -> tuple[Times, Floats, Floats, NDArray[np.int8]]:
    if missing := {"price", "size", "side"} - set(trades.columns):
        raise DataError(f"secondary trades: expected columns price, size and side, missing {sorted(missing)}")
    rows = on_clock(trades, clock).select(
        pl.col("ts").cast(pl.Int64),
        pl.col("price").cast(pl.Float64).fill_null(math.nan),
        pl.col("size").cast(pl.Float64).fill_null(math.nan),
        pl.col("side").cast(pl.Int8).fill_null(0),
    )
    times, price, size = (rows[name].to_numpy() for name in ("ts", "price", "size"))
    return times, price, size, rows["side"].to_numpy()


def _outcomes(
    times: Times,
    d: int,
    horizon: int,
    delay: int,
    touch: _Touch,
    trades: tuple[Times, Floats, Floats, NDArray[np.int8]],
    size: float,
    charges: tuple[_Charge, _Charge],
) -> dict[str, Floats]:
    """Costs of taking and of posting of one side, in bp of the mid at the decision."""
    now = np.searchsorted(touch.times, times, "right") - 1
    mid = touch.mid(now)
    arrive, _ = touch.at(times + delay)
    end, _ = touch.at(times + horizon + delay)
    # The own side, where the order is posted, and the other, which it takes.
    own, shown, other = (touch.bid, touch.bid_size, touch.ask) if d > 0 else (touch.ask, touch.ask_size, touch.bid)
    limit = own[now]

    def cost(price: Floats, charge: _Charge) -> Floats:
        # The fee is a share of what is paid, not of the mid at the decision.
        return np.asarray((1e4 * (d * (price - mid) + charge.fixed) + charge.rate * price) / mid)

    better = d * (own[arrive] - limit)
    ahead = np.where(better == 0, shown[arrive], np.where(better > 0, shown[now], 0.0)) + size
    begins = np.maximum(times + delay, touch.times[arrive])
    until = np.maximum(times + horizon + delay, begins)
    filled = (
        _core.first_fills(
            (begins, until, np.full(times.size, d, dtype=np.int8), limit, ahead),
            tuple(np.ascontiguousarray(column) for column in trades),  # type: ignore[arg-type]  # four of them
            (touch.times, touch.bid, touch.ask),
        )
        >= 0
    )
    crossed = d * (limit - other[arrive]) >= 0
    take = cost(other[arrive], charges[0])
    rested = np.where(filled, cost(limit, charges[1]), cost(other[end], charges[0]))
    return {
        "take": take,
        "post": np.where(crossed, take, rested),
        "filled": (filled | crossed).astype(np.float64),
        "adverse": -1e4 * d * (touch.mid(end) - mid) / mid,
    }
