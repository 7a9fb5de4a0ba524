"""The study's part about order flow and impact, and its plots."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from crossbook.errors import DataError
from crossbook.study import (
    almgren_chriss,
    efficient_frontier,
    prevailing_quotes,
    propagator,
    queue_imbalance_curve,
    quote_flow,
)
from crossbook.study.parts.order_flow import HEADLINE, part
from crossbook.viz import order_flow_plots as plots
from crossbook.viz import to_svg

MS, S = 1_000_000, 1_000_000_000
START = 1_700_000_000 * S


def study(seconds: int = 120, *, trades: bool = True) -> SimpleNamespace:
    """Two venues; buyers at the first push the second's mid as well, within 20 ms."""
    rng = np.random.default_rng(1)
    steps = seconds * 50
    ts = START + np.arange(steps) * 20 * MS
    push = rng.choice([-1, 0, 0, 1], steps)
    venues = []
    for name, follow in (("a", 0), ("b", 1)):
        own = rng.choice([-1, 0, 0, 1], steps)
        mid = 60_000 + np.cumsum(np.roll(push, follow) + (own if follow else 0)) * 0.1
        flow = push if not follow else own
        sizes = 5 + rng.uniform(size=steps)
        touches = pl.DataFrame(
            {
                "ts_recv": ts,
                "ts_event": ts,
                "bid": np.round(mid - 0.05, 2),
                "ask": np.round(mid + 0.05, 2),
                "bid_size": sizes + (flow > 0) * 3,
                "ask_size": sizes + (flow < 0) * 3,
            }
        ).with_columns(mid=(pl.col("bid") + pl.col("ask")) / 2, spread_bp=pl.lit(0.016))
        at = np.flatnonzero(flow != 0)[1:] if trades else np.empty(0, dtype=np.int64)
        side = flow[at]
        price = np.where(side > 0, touches["ask"].to_numpy()[at - 1], touches["bid"].to_numpy()[at - 1])
        fills = pl.DataFrame(
            {
                "ts_recv": ts[at],
                "ts_event": ts[at],
                "side": side.astype(np.int8),
                "price": price,
                "size": np.exp(rng.standard_normal(at.size)),
            }
        )
        instrument = SimpleNamespace(name=name)
        deeper = {f"ofi_{k}": pl.col("ofi_1") / k + pl.Series(rng.standard_normal(steps)) for k in (2, 3)}
        book = quote_flow(touches).with_columns(depth=pl.col("depth") * 3, **deeper)
        venues.append(SimpleNamespace(touches=touches, trades=fills, flow=book, instrument=instrument))
    return SimpleNamespace(
        primary=venues[0],
        secondary=venues[1],
        labels={"a": "a", "b": "b"},
        clock="recv",
        seed=0,
        block_s=5.0,
        shared_end=int(ts[-1]),
    )


def test_the_part_has_rows_with_intervals_plots_that_draw_and_a_sentence() -> None:
    found = part(study())
    assert found.rows[0][:2] == HEADLINE[:2]
    assert found.rows[0][5] == HEADLINE[2]
    first = found.rows[0]
    assert first[3] <= first[2] <= first[4]
    assert first[3] > 0, "the primary pushes the secondary"
    for row in found.rows:
        assert all(value is None or math.isfinite(value) for value in row[2:5])
    assert {"order_flow", "flow_levels", "spreads", "impact", "impact_fit"} == set(found.frames)
    assert "flow at a adds" in found.sentence
    assert "at its best 3 levels" in found.sentence
    said = {row[1]: row for row in found.rows}
    for name in ("a", "b"):
        assert said[f"share of its moves that flow at its best level explains, {name}"][6] is not None
        slope = said[f"move with integrated flow of 3 levels, {name}"]
        assert slope[3] <= slope[2] <= slope[4]
    assert said["share of b's moves that a's integrated flow adds"][3] > 0
    assert [to_svg(chart).startswith("<svg") for chart in found.charts] == [True] * 4
    assert part(study()).rows == found.rows


def test_without_trades_or_bars_the_part_says_so() -> None:
    quiet = part(study(trades=False))
    assert ("spreads", "effective spread, a", None, None, None, "bp", None) in quiet.rows
    assert ("impact", "exponent of size, b", None, None, None, "", None) in quiet.rows
    assert [to_svg(chart).startswith("<svg") for chart in quiet.charts] == [True] * 4
    # Without a depth stream there is nothing to say of levels, and the rest stands.
    blind = study()
    blind.secondary.flow = blind.secondary.flow.head(0)
    found = part(blind)
    assert "flow_levels" not in found.frames
    assert "best" not in found.sentence
    assert len(found.charts) == 3
    short = study(1)
    with pytest.raises(DataError, match="too few"):
        part(short)
    short.primary.touches = short.primary.touches.head(0)
    with pytest.raises(DataError, match="found none"):
        part(short)


def test_the_other_plots_draw_and_say_where_there_is_nothing() -> None:
    one = study()
    orders = prevailing_quotes(one.primary.trades, one.primary.touches)
    market = {"horizon": 5.0, "volatility": 0.95, "permanent": 2.5e-7, "temporary": 2.5e-6}
    schedule = almgren_chriss(1e6, periods=5, risk_aversion=1e-6, **market).with_columns(schedule=pl.lit("λ"))
    charts = [
        plots.queues(queue_imbalance_curve(one.primary.touches)),
        plots.propagator(propagator(orders, lags=10)),
        plots.schedules(schedule),
        plots.frontier(efficient_frontier(1e6, periods=5, **market)),
    ]
    empty = pl.DataFrame(schema={"up": pl.Float64, "impact_bp": pl.Float64, "effective_bp": pl.Float64})
    charts += [plots.queues(empty), plots.propagator(empty), plots.schedules(empty), plots.frontier(empty)]
    charts += [
        plots.impact(empty, venues=[]),
        plots.spreads(empty, venues=[]),
        plots.explained(empty),
        plots.levels(empty, venues=[]),
    ]
    assert all(to_svg(chart).startswith("<svg") for chart in charts)
