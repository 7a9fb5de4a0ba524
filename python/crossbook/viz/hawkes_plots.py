"""Plots of a Hawkes fit: who excites whom, and whether the model holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook.viz.plots import _empty, _line, _panel, _y
from crossbook.viz.theme import COLOURS, DASHES, INK, MUTED, PRIMARY, Chart, Spec, number

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["branching", "residuals"]


def branching(df: pl.DataFrame, *, radius: tuple[float, float | None, float | None] | None = None) -> Chart:
    """The branching matrix with intervals. Columns: `target, source, value, lo, hi` (null without one).

    `radius`: the spectral radius and its interval, for the title.
    """
    title = "Events caused by one event"
    if df.is_empty():
        return _empty(title, "nothing was fitted")
    label = pl.format("{} → {}", "source", "target").alias("pair")
    rows = df.with_columns(label).sort("source", "target", maintain_order=True)
    y: Spec = {"field": "pair", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 260}}
    x: Spec = {
        "field": "value",
        "type": "quantitative",
        "title": "events of the second type that one of the first causes directly",
        "scale": {"zero": True},
        "axis": {"tickCount": 8},
    }
    layers: list[Spec] = [
        {
            "mark": {"type": "rule", "color": PRIMARY, "strokeWidth": 2},
            "encoding": {"y": y, "x": x | {"field": "lo"}, "x2": {"field": "hi"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 60, "color": PRIMARY, "opacity": 1},
            "encoding": {"y": y, "x": x},
        },
    ]
    heading = title
    if radius is not None:
        value, lo, hi = radius
        span = "" if lo is None or hi is None else f" ({number(lo, 3)} to {number(hi, 3)})"
        heading = f"{title}: spectral radius {number(value, 3)}{span}"
    return Chart(
        _panel(rows, layers, height=max(28 * rows.height, 60)),
        heading,
        "Point: estimate. Line: 95 % interval, none for an effect that lies at its bound, 0. The spectral radius is "
        "the share of activity that feeds on itself; at 1 it would never end.",
    )


def residuals(df: pl.DataFrame, *, types: Sequence[str] | None = None, points: int = 150) -> Chart:
    """Quantiles of the residuals against those of the exponential distribution. Columns: `type, residual`."""
    title = "Residuals of the time change"
    if df.is_empty():
        return _empty(title, "no events")
    names = list(types or df["type"].unique(maintain_order=True).to_list())
    # Even steps of the quantile itself, so that the tail is seen.
    frames = []
    for name in names:
        values = df.filter(pl.col("type") == name)["residual"].to_numpy()
        if not values.size:
            continue
        reach = np.log(max(values.size, 2))
        expected = np.linspace(0.0, reach, points + 2)[1:-1]
        frames.append(
            pl.DataFrame({"expected": expected, "found": np.quantile(values, -np.expm1(-expected)), "type": name})
        )
    if not frames:
        return _empty(title, "no events")
    rows = pl.concat(frames)
    top = float(rows["expected"].max())  # type: ignore[arg-type]  # a float column
    x: Spec = {"field": "expected", "type": "quantitative", "title": "quantile of the exponential distribution"}
    colour: Spec = {
        channel: {
            "field": "type",
            "type": "nominal",
            "scale": {"domain": names, "range": [palette[i % len(palette)] for i in range(len(names))]},
        }
        for channel, palette in (("color", COLOURS), ("strokeDash", DASHES))
    }
    ideal: Spec = {
        "data": {"values": [{"expected": 0.0, "ideal": 0.0}, {"expected": top, "ideal": top}]},
        "mark": {"type": "line", "color": MUTED, "strokeDash": [3, 3]},
        "encoding": {"x": x, "y": _y("ideal", "quantile of the residuals")},
    }
    line = _line(x, "found", "quantile of the residuals", INK)
    line["mark"].pop("color")
    line["encoding"] |= colour
    return Chart(
        _panel(rows, [ideal, line], height=240),
        title,
        f"{df.height:,} residuals. On the dotted line the model holds; above it events come in larger bursts, and "
        "longer silences follow, than it says.",
    )
