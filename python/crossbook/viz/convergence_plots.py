"""Plots of convergence: how long crosses last, how a basis comes back, what takers lose to the informed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossbook.viz.plots import _area, _by, _empty, _line, _panel, _rule, _times, _y
from crossbook.viz.theme import INK, MUTED, PRIMARY, SECONDARY, Chart, Spec, number

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["adverse_selection", "band", "shock", "survival"]

_STEPS = 400


def survival(
    df: pl.DataFrame,
    *,
    median: tuple[float | None, float | None, float | None] | None = None,
    terms: str = "",
) -> Chart:
    """Kaplan and Meier's curves by direction. Columns: `direction, duration_ms, survival, lo, hi`.

    For the title: `median` of all with its interval, and on what `terms` they are crosses.
    """
    title = f"How long crosses {terms} last".replace("  ", " ")
    if df.is_empty():
        return _empty(title, "no crosses")
    names = df["direction"].unique(maintain_order=True).to_list()
    thin = pl.concat(
        one.gather_every(max(1, one.height // _STEPS)) for _, one in df.group_by("direction", maintain_order=True)
    )
    # Symmetric log: half of them are over in a few ms, some last for seconds, and zero has a place.
    x: Spec = {
        "field": "duration_ms",
        "type": "quantitative",
        "title": "duration, ms",
        "scale": {"type": "symlog", "constant": 1},
        "axis": {"values": [0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000]},
    }
    label = "share that lasts longer"
    colour = _by("direction", names)
    step = {"interpolate": "step-after"}
    area: Spec = {
        "mark": {"type": "area", "opacity": 0.15, **step},
        "encoding": {"x": x, "y": _y("lo", label, zero=True), "y2": {"field": "hi"}, "color": colour["color"]},
    }
    line: Spec = {
        "mark": {"type": "line", **step},
        "encoding": {"x": x, "y": _y("survival", label, zero=True), **colour},
    }
    heading = title
    if median is not None and median[0] is not None:
        ends = "" if None in median[1:] else f" ({number(median[1], 3)} to {number(median[2], 3)})"
        heading = f"{title}: half are over in {number(median[0], 3)} ms{ends}"
    return Chart(
        _panel(thin, [area, line], height=220),
        heading,
        "Kaplan and Meier's estimate with a 95 % band; what the end of the data cut off counts as far as it was seen.",
    )


def shock(df: pl.DataFrame, *, half_life_ms: float | None = None) -> Chart:
    """The mean path of a basis after a shock. Columns: `offset_ms, mean_bp, lo_bp, hi_bp` (null without a band)."""
    title = "The basis after a shock"
    if df.is_empty():
        return _empty(title, "no shocks")
    x: Spec = {"field": "offset_ms", "type": "quantitative", "title": "time after the shock, ms"}
    label = "basis less what it was before, bp"
    layers = [_area(x, "lo_bp", "hi_bp", label, PRIMARY), _line(x, "mean_bp", label, PRIMARY), _rule("y", 0.0, MUTED)]
    heading = title
    if half_life_ms is not None:
        layers.append(_rule("x", half_life_ms, SECONDARY, strokeDash=[4, 3]))
        heading = f"{title}: half of the way back in {number(half_life_ms, 3)} ms"
    return Chart(
        _panel(df, layers, height=200),
        heading,
        "Mean over shocks, downward ones turned over, with a 95 % band; dashed: half of the way from the first to "
        "the last value. Moves are chosen for being large, so part of what comes back is noise.",
    )


def band(df: pl.DataFrame, *, lower_bp: float, upper_bp: float) -> Chart:
    """A basis and the band that costs leave. Columns: `ts, basis_bp`."""
    title = "Basis and the band of no arbitrage"
    rows = df.drop_nulls("basis_bp")
    if rows.is_empty():
        return _empty(title, "the venues were never quoted at the same time")
    times = _times(rows["ts"].min(), rows["ts"].max())
    value = pl.col("basis_bp")
    thin = times.thin(rows, low=value.min(), middle=value.median(), high=value.max())
    x, label = times.x(), "basis, bp"
    layers = [_area(x, "low", "high", label, PRIMARY), _line(x, "middle", label, PRIMARY)]
    edge: Spec = {"strokeDash": [6, 3], "strokeWidth": 1.4}
    layers += [_rule("y", lower_bp, SECONDARY, **edge), _rule("y", upper_bp, SECONDARY, **edge)]
    beyond = 1.0 - rows.filter(value.is_between(lower_bp, upper_bp)).height / rows.height
    return Chart(
        _panel(thin, layers, height=200),
        f"{title}: {number(lower_bp, 3)} to {number(upper_bp, 3)} bp",
        f"Lowest, median and highest basis of each {times.step_text}; dashed: where taking both touches begins to pay. "
        f"{number(100 * beyond, 3)} % of {rows.height:,} values lie outside.",
    )


def adverse_selection(df: pl.DataFrame, *, venues: Sequence[str]) -> Chart:
    """What takers pay and what quoters lose. Columns: `venue, horizon_ms, impact_bp, impact_lo, impact_hi,
    effective_bp`."""
    title = "Price impact of aggressor orders, by venue"
    rows = df.drop_nulls("impact_bp")
    if rows.is_empty():
        return _empty(title, "no order with a mid before and after it")
    colour = _by("venue", list(venues))
    x: Spec = {
        "field": "horizon_ms",
        "type": "quantitative",
        "title": "horizon, ms",
        "scale": {"type": "log"},
        "axis": {"grid": False},
    }
    label = "bp of the mid, both ways"
    layers: list[Spec] = [
        {
            "mark": {"type": "area", "opacity": 0.2},
            "encoding": {
                "x": x,
                "y": _y("impact_lo", label, zero=True),
                "y2": {"field": "impact_hi"},
                "color": colour["color"],
            },
        },
        {
            "mark": {"type": "line", "point": True},
            "encoding": {"x": x, "y": _y("impact_bp", label, zero=True), **colour},
        },
        {
            "mark": {"type": "point", "shape": "diamond", "size": 50, "opacity": 1},
            "encoding": {"x": x, "y": _y("effective_bp", label, zero=True), "color": colour["color"]},
        },
        _rule("y", 0.0, INK),
    ]
    return Chart(
        _panel(rows, layers, height=220),
        title,
        "Line: how far the mid goes the taker's way, twice, with a 95 % band. Diamonds: the effective spread that was "
        "paid. Where the line lies above the diamonds those who quoted lost.",
    )
