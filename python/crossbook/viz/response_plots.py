"""Plots of local projections, of depth drained and refilled, and of what connections do to the response."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossbook.viz.plots import _by, _empty, _note, _panel, _rule, _times, _y
from crossbook.viz.theme import INK, MUTED, PRIMARY, WIDTH, Chart, Spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["connectivity", "depth_by_level", "on_latency", "projections", "refill"]


def projections(df: pl.DataFrame, *, panels: Mapping[str, str], unit_of_shock: str) -> Chart:
    """Responses by horizon with their bands, one panel an outcome.

    Columns: `outcome, shock, horizon_ms, effect, lo, hi`; `panels`: what each outcome is called, with its unit; a line
    a shock.
    """
    title = f"What the secondary does after {unit_of_shock} on the primary"
    if df.is_empty():
        return _empty(title, "no local projection could be computed")
    shocks = df["shock"].unique(maintain_order=True).to_list()
    colour = _by("shock", shocks)
    found = []
    for outcome, label in panels.items():
        rows = df.filter(pl.col("outcome") == outcome)
        if rows.is_empty():
            found.append(_note("not observed", width=WIDTH // 2 - 40, height=150, title=label))
            continue
        # A log axis has no 0, and the shock's own row lies there: symmetric log gives it a place.
        x: Spec = {
            "field": "horizon_ms",
            "type": "quantitative",
            "title": "ms after the shock's interval",
            "scale": {"type": "symlog", "constant": 20},
            "axis": {"values": [0, 50, 200, 1_000, 5_000], "grid": False},
        }
        encoding = {"x": x, "y": _y("lo", label), "y2": {"field": "hi"}, "color": colour["color"]}
        layers: list[Spec] = [
            _rule("y", 0.0, MUTED),
            {"mark": {"type": "area", "opacity": 0.18}, "encoding": encoding},
            {"mark": {"type": "line", "point": True}, "encoding": {"x": x, "y": _y("effect", label), **colour}},
        ]
        found.append(_panel(rows, layers, width=WIDTH // 2 - 40, height=150))
    return Chart(
        {"concat": found, "columns": 2, "align": "all"},
        title,
        "Each point is a regression of its own, with a 95 % band that holds at its horizon. Vertical scales differ.",
    )


def depth_by_level(df: pl.DataFrame, *, unit_of_shock: str) -> Chart:
    """Responses of the size shown at each level, one panel a horizon and shock, with their intervals.

    Columns: `side` (bid, ask), `level`, `shock`, `horizon_ms, effect, lo, hi, mean_size`: shown as per cent of it.
    """
    title = f"Size by level of the secondary's book after {unit_of_shock} on the primary"
    if df.is_empty():
        return _empty(title, "no level's size was known for long enough")
    x: Spec = {"field": "level", "type": "ordinal", "title": "level (1: best)", "axis": {"labelAngle": 0}}
    offset: Spec = {"field": "side", "type": "nominal", "sort": ["bid", "ask"]}
    colour = _by("side", ["bid", "ask"], symbol="square")["color"]
    label = "% of its mean size"
    shares = df.filter(pl.col("mean_size") > 0).with_columns(
        pl.col(name) * 100 / pl.col("mean_size") for name in ("effect", "lo", "hi")
    )
    panels = []
    for (shock, horizon), rows in shares.group_by("shock", "horizon_ms", maintain_order=True):
        layers: list[Spec] = [
            _rule("y", 0.0, MUTED),
            {
                "mark": {"type": "rule", "strokeWidth": 1.8},
                "encoding": {"x": x, "xOffset": offset, "y": _y("lo", label), "y2": {"field": "hi"}, "color": colour},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
                "encoding": {"x": x, "xOffset": offset, "y": _y("effect", label), "color": colour},
            },
        ]
        panels.append(_panel(rows, layers, width=WIDTH // 2 - 40, height=150, title=f"{horizon:g} ms after {shock}"))
    return Chart(
        {"concat": panels, "columns": 2},
        title,
        "A point and its 95 % interval are a regression of their own. A level is a rank: where the price moves, "
        "another price stands at it. Vertical scales differ.",
    )


def refill(paths: pl.DataFrame, *, unit: str) -> Chart:
    """Depth after large orders: the mean path and the fitted refill. Columns: `side, offset_ms, mean, fitted`."""
    title = "Depth of the side that was hit, after large orders on the primary"
    if paths.is_empty():
        return _empty(title, "too few large orders")
    sides = paths["side"].unique(maintain_order=True).to_list()
    colour = _by("side", sides)
    x: Spec = {"field": "offset_ms", "type": "quantitative", "title": "ms after the order", "axis": {"tickCount": 8}}
    label = f"change of depth, {unit}"
    thin = pl.concat(
        one.gather_every(max(1, one.height // 200)) for _, one in paths.group_by("side", maintain_order=True)
    )
    layers: list[Spec] = [
        _rule("y", 0.0, MUTED),
        {
            "mark": {"type": "line", "opacity": 0.45},
            "encoding": {"x": x, "y": _y("mean", label), "color": colour["color"]},
        },
        {"mark": {"type": "line", "strokeWidth": 2.4}, "encoding": {"x": x, "y": _y("fitted", label), **colour}},
    ]
    return Chart(
        _panel(thin, layers, height=190),
        title,
        "Thin: mean change since just before the order. Thick: exponential refill fitted from the lowest point on.",
    )


def connectivity(df: pl.DataFrame, *, venues: Sequence[str]) -> Chart:
    """Delay, jitter and silences over time. Columns: `venue, ts, delay_ms, jitter_ms, longest_silence_ms`.

    Delays are drawn about each venue's median: their level is a difference of two clocks.
    """
    title = "Connections over time"
    if df.is_empty():
        return _empty(title, "no messages")
    times = _times(df["ts"].min(), df["ts"].max())
    rows = df.with_columns(delay=pl.col("delay_ms") - pl.col("delay_ms").median().over("venue"))
    thin = times.thin(
        rows,
        delay=pl.col("delay").median(),
        jitter=pl.col("jitter_ms").median(),
        silence=pl.col("longest_silence_ms").max(),
    )
    colour = _by("venue", list(venues))
    panels = []
    measures = [
        ("delay", "delay − median, ms", {}),
        ("jitter", "jitter, ms", {"zero": True}),
        ("silence", "longest silence, ms", {"type": "symlog", "constant": 10}),
    ]
    for place, (field, label, scale) in enumerate(measures):
        x = times.x(title=place == len(measures) - 1)
        y = _y(field, label)
        y = y | {"scale": scale or y["scale"]}
        panels.append(_panel(thin, [{"mark": "line", "encoding": {"x": x, "y": y, **colour}}], height=90))
    return Chart(
        {"vconcat": panels},
        title,
        "Delay: receive clock less exchange clock, median of a window, about the venue's median of all. Jitter: mean "
        "change of the delay from one message to the next. Silence: the longest time without any message.",
    )


def on_latency(df: pl.DataFrame) -> Chart:
    """How the response's size and speed change with each measure of the connection.

    Columns: `measure, term, value, lo, hi, deviation`, as `crossbook.study.response_on_latency`; drawn for one standard
    deviation of each.
    """
    title = "What one standard deviation more of each does to the response"
    rows = df.filter(pl.col("term") != "mean").drop_nulls("value")
    if rows.is_empty():
        return _empty(title, "the response is not clearly there, so nothing changes it")
    scaled = rows.with_columns(pl.col("value", "lo", "hi") * pl.col("deviation"))
    panels = []
    for measure, label in (("size", "change of the size, bp"), ("speed", "change of the mean time, ms")):
        part = scaled.filter(pl.col("measure") == measure)
        if part.is_empty():
            panels.append(_note("not clearly different from 0", width=WIDTH // 2 - 110, height=90, title=label))
            continue
        y: Spec = {"field": "term", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 200}}
        x: Spec = {
            "field": "value",
            "type": "quantitative",
            "title": label,
            "scale": {"zero": True, "nice": False, "padding": 10},
            "axis": {"tickCount": 5},
        }
        layers: list[Spec] = [
            _rule("x", 0.0, INK),
            {
                "mark": {"type": "rule", "color": PRIMARY, "strokeWidth": 2},
                "encoding": {"y": y, "x": x | {"field": "lo"}, "x2": {"field": "hi"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "color": PRIMARY, "opacity": 1},
                "encoding": {"y": y, "x": x},
            },
        ]
        panels.append(_panel(part, layers, width=WIDTH // 2 - 110, height=max(28 * part.height, 60)))
    return Chart(
        {"hconcat": panels, "spacing": 40}, title, "Point: estimate. Line: 95 % interval by a block bootstrap."
    )
