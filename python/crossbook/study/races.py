"""Races for stale quotes, and who pays: takes and cancels that want the same price at the same time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checks import checked, floats, needed
from crossbook.study.prevailing import prevailing_quotes
from crossbook.study.response import aggressor_orders, touch_flow
from crossbook.study.series import Clock, on_clock

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["adverse_selection", "find_races", "race_messages", "race_summary"]

RACES = {
    "start": pl.Int64,
    "side": pl.Int8,
    "price": pl.Float64,
    "messages": pl.Int64,
    "participants": pl.Int64,
    "takes": pl.Int64,
    "cancels": pl.Int64,
    "takes_won": pl.Int64,
    "cancels_won": pl.Int64,
    "failed": pl.Int64,
    "duration_us": pl.Float64,
    "span_us": pl.Float64,
    "winner": pl.String,
    "winner_participant": pl.String,
    "size": pl.Float64,
    "taken": pl.Float64,
    "profit": pl.Float64,
    "profit_bp": pl.Float64,
}


@checked
def race_messages(quotes: pl.DataFrame, trades: pl.DataFrame, /, *, clock: Clock = "recv") -> pl.DataFrame:
    """Messages of a race as far as public data shows them: aggressor orders and cancellations at the touch.

    What failed is not public, nor is who sent it, so `find_races` must be run with ``failures=0`` on these, which finds
    moments of contest rather than proven races: more of them, with less in each. Columns as `find_races` wants them:
    ``ts, side`` (+1: buys, or cancels an offer), ``price, kind ("take", "cancel"), success`` (always true), ``size``.
    Parameters and errors as in `crossbook.study.touch_flow`.
    """
    both_sides = ("bid", "ask", "bid_size", "ask_size")
    needed(quotes, ["ts_recv", "ts_event", *both_sides], "quotes")
    needed(trades, ["ts_recv", "ts_event", "side", "price", "size"], "trades")
    quotes = quotes.with_columns(pl.col(both_sides).cast(pl.Float64))
    trades = trades.filter(pl.col("size") > 0).with_columns(pl.col("price", "size").cast(pl.Float64))
    takes = on_clock(aggressor_orders(trades), clock).filter(pl.col("side") != 0)
    takes = takes.select("ts", pl.col("side").cast(pl.Int8), "price", kind=pl.lit("take"), size=pl.col("size"))
    flow = on_clock(touch_flow(quotes, trades, clock=clock).filter(pl.col("kind") == "cancel"), clock)
    # A cancelled offer pushes up (+1), as the buyer who wanted it does.
    cancels = flow.select("ts", side=pl.col("sign"), price=pl.col("price"), kind=pl.lit("cancel"), size=pl.col("size"))
    both = pl.concat([takes, cancels], how="vertical_relaxed").sort("ts", maintain_order=True)
    return both.with_columns(success=pl.lit(True))


@checked
def find_races(
    messages: pl.DataFrame,
    /,
    *,
    quotes: pl.DataFrame | None = None,
    horizon_us: float = 500.0,
    participants: int = 2,
    takes: int = 1,
    failures: int = 1,
    mark_ms: float = 10_000.0,
    clock: Clock = "recv",
) -> pl.DataFrame:
    """Find latency-arbitrage races: several messages for one price within a horizon, of which some come too late.

    A race begins with a message and holds those of the same ``side`` and ``price`` within `horizon_us` after it, if
    there are at least `participants` different senders (messages, where senders are unknown), `takes` attempts to take,
    one success and `failures` failures. A failure is a take that found nothing left (or an immediate-or-cancel order
    that expired) or a cancel that came after the fill. No message is in two races. This is the method of Aquilina,
    Budish & O'Neill (2022), "Quantifying the high-frequency trading arms race", Quarterly Journal of Economics 137(1),
    with their fixed horizon; theirs depends on the venue's own delay, and their messages are an exchange's, failures
    included.

    `messages` in order of time: ``ts`` (ns), ``side`` (+1: takes or cancels an offer, -1: a bid), ``price, kind
    ("take", "cancel"), success`` (boolean), ``size`` (of a success what it got, else what it wanted) and, if known,
    ``participant``. `quotes` with ``mid`` on `clock`: to value what was taken, at ``mid`` `mark_ms` later.

    A row a race: ``start, side, price, messages, participants, takes, cancels, takes_won, cancels_won, failed,
    duration_us`` (first success to first failure, the winner's margin; null without one), ``span_us`` (first to last
    message), ``winner`` (kind of the first success), ``winner_participant, size`` (taken and cancelled), ``taken,
    profit`` (``Σ side · (mid later - price) · taken``, quote currency; null without a later mid), ``profit_bp`` (of the
    price). Empty without races. Raises `DataError` for missing columns, unsorted times or options out of range.
    """
    wanted = {"ts", "side", "price", "kind", "success", "size"}
    if missing := wanted - set(messages.columns):
        raise DataError(f"messages: missing columns {sorted(missing)}")
    if not (0 < horizon_us < 1e12 and participants >= 1 and takes >= 0 and failures >= 0 and 0 <= mark_ms < 1e12):
        raise DataError("expected horizon_us above 0, one participant or more, and no negative counts or times")
    if not messages["ts"].is_sorted():
        raise DataError("messages: expected ascending times in ts")
    if not messages["kind"].is_in(["take", "cancel"]).all():
        raise DataError('messages: expected kinds "take" and "cancel"')
    messages = floats(messages, ["price", "size"], "messages")
    if not messages["side"].dtype.is_numeric() or not messages["side"].is_in([1, -1]).all():
        raise DataError("messages: side: expected 1 (takes or cancels an offer) or -1 (a bid)")
    named = "participant" in messages.columns
    horizon = int(horizon_us * 1e3)
    rows = []
    for (side, price), one in messages.group_by("side", "price", maintain_order=True):
        ts = one["ts"].to_numpy()
        is_take = (one["kind"] == "take").to_numpy()
        won = one["success"].cast(pl.Boolean).to_numpy()
        size = one["size"].cast(pl.Float64).to_numpy()
        senders = one["participant"].cast(pl.String).to_list() if named else None
        ends = np.searchsorted(ts, ts + horizon, "right")
        free = 0
        for begin in np.flatnonzero(ends - np.arange(ts.size) >= participants).tolist():
            if begin < free:
                continue
            end = int(ends[begin])
            part = slice(begin, end)
            who = len(set(senders[part])) if senders is not None else end - begin
            lost = ~won[part]
            enough = who >= participants and is_take[part].sum() >= takes and lost.sum() >= failures
            if not (enough and won[part].any()):
                continue
            first = begin + int(np.argmax(won[part]))
            late = begin + int(np.argmax(lost)) if lost.any() else None
            taken = float(size[part][is_take[part] & won[part]].sum())
            rows.append(
                {
                    "start": int(ts[begin]),
                    "side": side,
                    "price": price,
                    "messages": end - begin,
                    "participants": who if senders is not None else None,
                    "takes": int(is_take[part].sum()),
                    "cancels": int((~is_take[part]).sum()),
                    "takes_won": int((is_take[part] & won[part]).sum()),
                    "cancels_won": int((~is_take[part] & won[part]).sum()),
                    "failed": int(lost.sum()),
                    "duration_us": None if late is None else float(ts[late] - ts[first]) / 1e3,
                    "span_us": float(ts[end - 1] - ts[begin]) / 1e3,
                    "winner": "take" if is_take[first] else "cancel",
                    "winner_participant": senders[first] if senders is not None else None,
                    "size": float(size[part][won[part]].sum()),
                    "taken": taken,
                }
            )
            free = end
    blank = pl.lit(None, pl.Float64)
    found = pl.DataFrame(rows, schema=dict(list(RACES.items())[:-2])).sort("start", maintain_order=True)
    found = found.with_columns(profit=blank, profit_bp=blank)
    if quotes is not None and found.height:
        mids = _mids(quotes, clock)
        later = _held(mids, found["start"].to_numpy() + int(mark_ms * 1e6))
        edge = pl.col("side") * (pl.Series(later).fill_nan(None) - pl.col("price"))
        found = found.with_columns(profit=edge * pl.col("taken"), profit_bp=edge / pl.col("price") * 1e4)
    return found


@checked
def race_summary(
    races: pl.DataFrame, /, *, traded_notional: float | None = None, seconds: float | None = None
) -> pl.DataFrame:
    """One row about `find_races`: ``races, per_minute, median_duration_us, median_span_us, messages`` (mean),
    ``takes_share`` (of messages), ``won_by_take`` (share of races whose first success took), ``profit`` (sum of what is
    known), ``profit_bp`` (median), ``latency_tax_bp`` (``1e4 · Σ profit / traded_notional``: Aquilina, Budish &
    O'Neill's latency arbitrage tax, over all trading, not only in races). Null what is unknown; `traded_notional` in
    quote currency and `seconds` observed, both of the whole data. Raises `DataError` unless these are positive,
    for a missing column and for counts that are none.
    """
    if missing := set(RACES) - set(races.columns):
        raise DataError(f"races: missing columns {sorted(missing)}")
    if any(value is not None and not 0 < value < math.inf for value in (traded_notional, seconds)):
        raise DataError(f"expected positive traded_notional and seconds, found {traded_notional} and {seconds}")
    counts = ["messages", "takes"]
    races = floats(races, counts, "races")
    if not (races["messages"] > 0).all() or not races["takes"].is_between(0, races["messages"]).all():
        raise DataError("races: expected messages above 0 and takes of 0 to as many, as find_races gives them")
    some = races.height > 0
    profits = races["profit"].drop_nulls()
    profit = float(profits.sum()) if profits.len() else None
    messages = float(races["messages"].sum())
    row = {
        "races": races.height,
        "per_minute": None if seconds is None else races.height / seconds * 60,
        "median_duration_us": races["duration_us"].median(),
        "median_span_us": races["span_us"].median(),
        "messages": messages / races.height if some else None,
        "takes_share": float(races["takes"].sum()) / messages if some else None,
        "won_by_take": float((races["winner"] == "take").sum()) / races.height if some else None,
        "profit": profit,
        "profit_bp": races["profit_bp"].median(),
        "latency_tax_bp": None if profit is None or traded_notional is None else 1e4 * profit / traded_notional,
    }
    return pl.DataFrame([row], schema={"races": pl.Int64} | dict.fromkeys([*row][1:], pl.Float64))


def _mids(quotes: pl.DataFrame, clock: Clock) -> tuple[np.ndarray, np.ndarray]:
    if "mid" not in quotes.columns:
        raise DataError(f"quotes: expected a column mid, found {', '.join(quotes.columns)}")
    rows = on_clock(quotes, clock).unique("ts", keep="last", maintain_order=True)
    return rows["ts"].cast(pl.Int64).to_numpy(), rows["mid"].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _held(mids: tuple[np.ndarray, np.ndarray], at: np.ndarray) -> np.ndarray:
    """The mid that holds at each time; NaN before the first and after the last."""
    times, values = mids
    if not times.size:
        return np.full(at.size, np.nan)
    row = np.searchsorted(times, at, "right") - 1
    return np.where((row >= 0) & (at <= times[-1]), values[np.maximum(row, 0)], np.nan)


@checked
def adverse_selection(
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
    """What takers pay at a venue, and how much of it those who quoted keep: the information in its order flow.

    For each aggressor order (`aggressor_orders`), with ``q`` its sign, ``p`` its price, ``m`` the mid of the quote it
    met (`prevailing_quotes`: by the exchange's time or by its first fill, since the last quote received before a trade
    often shows already what the trade did) and ``m_h`` the mid `h` after: effective spread ``2 q (p - m) / m``,
    realised ``2 q (p - m_h) / m``, and their difference, the price impact ``2 q (m_h - m) / m``, which is what is lost
    to the informed. Means in bp weighted by value; intervals at `level` by a bootstrap of blocks of `block_s` seconds
    (null below six blocks). Run it on each venue: the one with the larger impact trades with those who know more.
    Orders without a quote met, or without a mid at `h`, are left out.

    `trades` with ``ts_recv, ts_event, side, price, size``, `quotes` with ``bid, ask, mid``. A row a horizon:
    ``horizon_ms, orders, effective_bp, effective_lo, effective_hi, realised_bp, …, impact_bp, …, impact_share`` (impact
    over effective; null where effective is not positive). Raises `DataError` for missing columns or horizons that are
    not positive; without a usable order the row's figures are null. Huang & Stoll (1996), "Dealer versus auction
    markets", Journal of Financial Economics 41(3).
    """
    if not horizons_ms or not all(0 < h < 1e12 for h in horizons_ms) or block_s <= 0 or not 0 < level < 1:
        raise DataError(
            f"expected positive horizons_ms and block_s and a level between 0 and 1, found {list(horizons_ms)}"
        )
    mids = _mids(quotes, clock)
    orders = prevailing_quotes(trades, quotes, clock=clock).filter((pl.col("side") != 0) & (pl.col("size") > 0))
    at = orders["at"].to_numpy()
    sign, price, size, before = (
        orders[c].cast(pl.Float64).fill_null(float("nan")).to_numpy() for c in ("side", "price", "size", "mid")
    )
    rng = np.random.default_rng(seed)
    tails = [(1 - level) / 2, (1 + level) / 2]
    rows = []
    for horizon in horizons_ms:
        after = _held(mids, at + int(horizon * 1e6))
        used = np.isfinite(before) & np.isfinite(after) & (before > 0) & (price > 0)
        q, p, m, later = sign[used], price[used], before[used], after[used]
        weight = p * size[used]
        parts = 2e4 * np.column_stack([q * (p - m) / m, q * (p - later) / m, q * (later - m) / m])
        row: dict[str, float | None] = {"horizon_ms": float(horizon), "orders": int(used.sum())}
        names = ("effective", "realised", "impact")
        means: list[float | None] = [None] * 3
        ends: list[tuple[float | None, float | None]] = [(None, None)] * 3
        if used.any():
            means = [float(v) for v in weight @ parts / weight.sum()]
            block = (at[used] - at[used][0]) // int(block_s * 1e9)
            _, group = np.unique(block, return_inverse=True)
            count = int(group.max()) + 1
            if count >= 6:
                totals = np.bincount(group, weight, count)
                sums = np.column_stack([np.bincount(group, weight * parts[:, k], count) for k in range(3)])
                some = max(1, (1 << 22) // count)
                found = np.empty((resamples, 3))
                for begin in range(0, resamples, some):
                    draws = rng.integers(0, count, (min(some, resamples - begin), count))
                    found[begin : begin + some] = sums[draws].sum(axis=1) / totals[draws].sum(axis=1)[:, None]
                lo, hi = np.quantile(found, tails, axis=0)
                ends = [(float(a), float(b)) for a, b in zip(lo, hi, strict=True)]
        for name, mean, (low, high) in zip(names, means, ends, strict=True):
            row |= {f"{name}_bp": mean, f"{name}_lo": low, f"{name}_hi": high}
        effective, impact = means[0], means[2]
        row["impact_share"] = (
            impact / effective if effective is not None and impact is not None and effective > 0 else None
        )
        rows.append(row)
    schema = dict.fromkeys(rows[0], pl.Float64) | {"orders": pl.Int64}
    return pl.DataFrame(rows, schema=schema)
