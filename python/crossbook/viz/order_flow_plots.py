"""Plots of order flow and impact: what flow explains, what trading costs, how impact grows with size, schedules."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook.viz.plots import _area, _by, _empty, _line, _panel, _rule, _unique, _y
from crossbook.viz.theme import COLOURS, INK, MUTED, PRIMARY, SECONDARY, WIDTH, Chart, Spec, number

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["explained", "frontier", "impact", "levels", "propagator", "queues", "schedules", "spreads"]


def explained(df: pl.DataFrame) -> Chart:
    """What own flow and the other venue's flow explain of each venue's move.

    Columns: `venue, other, every_ms, own_r2, r2, incremental_r2, incremental_lo, incremental_hi`, a row a venue and
    length of bar.
    """
    title = "What order flow explains of a venue's own move, and what the other's adds"
    if df.is_empty():
        return _empty(title, "no bars with flow at both venues")
    venues = _unique(df, "venue")
    most = 100 * max(0.01, *df.select(pl.max_horizontal("r2", pl.col("own_r2") + pl.col("incremental_hi"))).to_series())

    def shares(field: str) -> Spec:
        return _y(field, "share of variance, %", zero=True) | {"scale": {"domain": [0, most]}}

    panels = []
    for venue in venues:
        rows = df.filter(pl.col("venue") == venue)
        bars = pl.concat(
            rows.select(
                "every_ms",
                source=pl.lit(name),
                low=100 * (pl.lit(0.0) if low is None else pl.col(low)),
                high=100 * pl.col(high),
            )
            for name, low, high in (("own flow", None, "own_r2"), ("added by the other's", "own_r2", "r2"))
        )
        x: Spec = {
            "field": "every_ms",
            "type": "ordinal",
            "title": "length of bar, ms",
            "axis": {"labelAngle": 0},
        }
        colour: Spec = {
            "field": "source",
            "type": "nominal",
            "scale": {"domain": ["own flow", "added by the other's"], "range": [PRIMARY, SECONDARY]},
            "legend": {"symbolType": "square"},
        }
        ends = rows.select(
            "every_ms",
            lo=100 * (pl.col("own_r2") + pl.col("incremental_lo")),
            hi=100 * (pl.col("own_r2") + pl.col("incremental_hi")),
        )
        layers: list[Spec] = [
            {
                "mark": {"type": "bar", "size": 26},
                "encoding": {"x": x, "y": shares("low"), "y2": {"field": "high"}, "color": colour},
            },
            {
                "data": {"values": ends.to_dicts()},
                "mark": {"type": "rule", "color": INK, "strokeWidth": 1.5},
                "encoding": {"x": x, "y": shares("lo"), "y2": {"field": "hi"}},
            },
        ]
        other = rows["other"][0]
        panels.append(
            _panel(
                bars, layers, height=190, width=WIDTH // len(venues) - 30, title=f"moves of {venue} (other: {other})"
            )
        )
    return Chart(
        {"hconcat": panels},
        title,
        "R² of least squares of a bar's move of the mid on order-flow imbalance in the same bar, on the venue's own "
        "and then on both. Line: the 95 % interval of what the other's flow adds.",
    )


def levels(df: pl.DataFrame, *, venues: Sequence[str]) -> Chart:
    """What flow at the best one to ten levels explains of each venue's moves, and all of it made into one.

    Columns: `venue, flow` (best levels, integrated), `levels, adjusted_r2, lo, hi`.
    """
    title = "What flow at one to ten levels explains of a venue's own move"
    if df.is_empty():
        return _empty(title, "no bars with flow at every level")
    shown = df.with_columns(
        place=pl.when(pl.col("flow") == "integrated").then(pl.lit("integrated")).otherwise(pl.col("levels").cast(str)),
        share=100 * pl.col("adjusted_r2"),
        low=100 * pl.col("lo"),
        high=100 * pl.col("hi"),
    )
    order = [*(str(k) for k in sorted(df["levels"].unique().to_list())), "integrated"]
    x: Spec = {
        "field": "place",
        "type": "nominal",
        "sort": order,
        "title": "best levels whose flow is known",
        "axis": {"labelAngle": 0},
    }
    offset: Spec = {"field": "venue", "type": "nominal", "sort": list(venues)}
    colour = _by("venue", list(venues), symbol="square")["color"]
    label = "adjusted R², %"
    layers: list[Spec] = [
        {
            "mark": {"type": "rule", "strokeWidth": 1.8},
            "encoding": {
                "x": x,
                "xOffset": offset,
                "y": _y("low", label, zero=True),
                "y2": {"field": "high"},
                "color": colour,
            },
        },
        {
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
            "encoding": {"x": x, "xOffset": offset, "y": _y("share", label, zero=True), "color": colour},
        },
    ]
    return Chart(
        _panel(shown.select("venue", "place", "share", "low", "high"), layers, height=200),
        title,
        "Least squares of a bar's move of the mid on depth-scaled flow at that many levels of the depth stream in the "
        "same bar, with 95 % intervals. Integrated: one flow, the first principal component of all levels.",
    )


def spreads(df: pl.DataFrame, *, venues: Sequence[str]) -> Chart:
    """Quoted, effective, realised spread and impact. Columns: `venue, horizon_ms` and, with `_bp, _lo, _hi`, `quoted,
    effective, realised, impact`."""
    title = "Spreads by venue"
    rows = df.drop_nulls("effective_bp")
    if rows.is_empty():
        return _empty(title, "no order with a quote that it met")
    horizon = 1000.0 if 1000.0 in rows["horizon_ms"].to_list() else float(rows["horizon_ms"][0])
    rows = rows.filter(pl.col("horizon_ms") == horizon)
    kinds = ("quoted", "effective", "realised", "impact")
    long = pl.concat(
        rows.select(
            "venue", kind=pl.lit(kind), value=pl.col(f"{kind}_bp"), lo=pl.col(f"{kind}_lo"), hi=pl.col(f"{kind}_hi")
        )
        for kind in kinds
    )
    x: Spec = {"field": "kind", "type": "nominal", "sort": list(kinds), "title": None, "axis": {"labelAngle": 0}}
    offset: Spec = {"field": "venue", "type": "nominal", "sort": list(venues)}
    colour = _by("venue", list(venues), symbol="square")["color"]
    label = "bp of the mid, both ways"
    layers: list[Spec] = [
        {
            "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
            "encoding": {"x": x, "xOffset": offset, "y": _y("value", label, zero=True), "color": colour},
        },
        {
            "mark": {"type": "rule", "strokeWidth": 1.8},
            "encoding": {
                "x": x,
                "xOffset": offset,
                "y": _y("lo", label, zero=True),
                "y2": {"field": "hi"},
                "color": colour,
            },
        },
        _rule("y", 0.0, MUTED),
    ]
    return Chart(
        _panel(long, layers, height=220),
        title,
        f"Quoted: by time. Effective, realised, impact: by value of aggressor orders, {horizon / 1e3:g} s later, with "
        "95 % intervals. Effective = realised + impact; a realised spread below 0 is what those who quoted lost.",
    )


def impact(curve: pl.DataFrame, fit: pl.DataFrame | None = None, *, venues: Sequence[str]) -> Chart:
    """Impact by size of order, and the fitted power of size.

    `curve` with `venue, size, impact_bp, lo, hi`; `fit` with `venue, model, coefficient, exponent` and `scale`, the
    size at which `coefficient` holds.
    """
    title = "Impact of aggressor orders by size"
    rows = curve.drop_nulls("impact_bp")
    if rows.is_empty():
        return _empty(title, "no order with a mid before and after it")
    colour = _by("venue", list(venues))
    x: Spec = {
        "field": "size",
        "type": "quantitative",
        "title": "size of order, base currency",
        "scale": {"type": "log", "nice": False},
        "axis": {"tickCount": 6, "format": "~g", "grid": False},
    }
    label = "bp of the mid, the order's way"
    layers: list[Spec] = [
        {
            "mark": {"type": "rule", "strokeWidth": 1.6, "opacity": 0.8},
            "encoding": {
                "x": x,
                "y": _y("lo", label, zero=True),
                "y2": {"field": "hi"},
                "color": colour["color"],
            },
        },
        {
            "mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
            "encoding": {"x": x, "y": _y("impact_bp", label, zero=True), "color": colour["color"]},
        },
        _rule("y", 0.0, MUTED),
    ]
    sentence = ""
    if fit is not None and fit.height:
        lines = []
        for one in fit.filter(pl.col("model") == "power").iter_rows(named=True):
            sizes = rows.filter(pl.col("venue") == one["venue"])["size"]
            if not sizes.len():
                continue
            grid = np.geomspace(float(sizes.min()), float(sizes.max()), 60)  # type: ignore[arg-type]  # floats
            value = one["coefficient"] * (grid / one["scale"]) ** one["exponent"]
            lines.append(pl.DataFrame({"venue": one["venue"], "size": grid, "fitted": value}))
            sentence += f" {one['venue']}: exponent {number(one['exponent'], 2)}."
        if lines:
            layers.append(
                {
                    "data": {"values": pl.concat(lines).to_dicts()},
                    "mark": {"type": "line", "strokeWidth": 1.6},
                    "encoding": {"x": x, "y": _y("fitted", label, zero=True), **colour},
                }
            )
    return Chart(
        _panel(rows, layers, height=240),
        title,
        "Points: mean move of the mid, tenths of all orders by size, with 95 % intervals. Line: a power of size, "
        "fitted to single orders." + sentence,
    )


def queues(df: pl.DataFrame) -> Chart:
    """How often the next move is up, by queue imbalance. Columns: `imbalance, up, lo, hi, moves`."""
    title = "Next move of the mid by queue imbalance"
    rows = df.drop_nulls("up")
    if rows.is_empty():
        return _empty(title, "the mid did not move twice")
    rows = rows.select("imbalance", "moves", (100 * pl.col("up", "lo", "hi")).name.keep())
    x: Spec = {
        "field": "imbalance",
        "type": "quantitative",
        "title": "(bid size − ask size) / (bid size + ask size)",
        "scale": {"domain": [-1, 1]},
    }
    label = "moves up, %"
    layers = [_area(x, "lo", "hi", label, PRIMARY), _line(x, "up", label, PRIMARY, point=True), _rule("y", 50.0, MUTED)]
    return Chart(
        _panel(rows, layers, height=200),
        title,
        f"{rows['moves'].sum():,} moves, each by the queues just after the move before, with Wilson's 95 % intervals.",
    )


def propagator(df: pl.DataFrame) -> Chart:
    """Response and propagator. Columns: `lag, response_bp, kernel_bp, lo, hi`."""
    title = "Response to an order, and its own effect"
    if df.is_empty():
        return _empty(title, "no orders")
    x: Spec = {"field": "lag", "type": "quantitative", "title": "orders later"}
    label = "bp of the mid"
    layers = [
        _area(x, "lo", "hi", label, PRIMARY),
        _line(x, "kernel_bp", label, PRIMARY),
        _line(x, "response_bp", label, SECONDARY, strokeDash=[6, 3]),
        _rule("y", 0.0, MUTED),
    ]
    return Chart(
        _panel(df, layers, height=220),
        title,
        "Line: the propagator, what one order does by itself, with a 95 % band. Dashed: the response, which counts the "
        "orders that follow it too.",
    )


def schedules(df: pl.DataFrame) -> Chart:
    """Holdings over time. Columns: `schedule, time, holding`."""
    title = "What is still held"
    if df.is_empty():
        return _empty(title, "no schedules")
    colour = _by("schedule", _unique(df, "schedule"))
    x: Spec = {"field": "time", "type": "quantitative", "title": "time"}
    layers: list[Spec] = [
        {"mark": {"type": "line", "point": True}, "encoding": {"x": x, "y": _y("holding", "held", zero=True), **colour}}
    ]
    return Chart(_panel(df, layers, height=220), title)


def frontier(df: pl.DataFrame) -> Chart:
    """The efficient frontier. Columns: `cost_sd, expected_cost`, a row a risk aversion."""
    title = "The least expected cost at each risk"
    if df.is_empty():
        return _empty(title, "no risk aversions")
    x: Spec = {"field": "cost_sd", "type": "quantitative", "title": "standard deviation of the cost"}
    x |= {"axis": {"tickCount": 6}}
    scale = 10 ** (3 * math.floor(math.log10(max(float(df["expected_cost"].max()), 1.0)) / 3))  # type: ignore[arg-type]
    rows = df.select("cost_sd", value=pl.col("expected_cost") / scale).sort("cost_sd")
    layers = [_line(x, "value", f"expected cost, {number(scale)}", COLOURS[0], point=True)]
    return Chart(_panel(rows, layers, height=220), title)
