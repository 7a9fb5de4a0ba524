"""Plots of trading a pair's spread."""

from __future__ import annotations

import polars as pl

from crossbook.viz.plots import _by, _empty, _panel, _rule, _y
from crossbook.viz.theme import INK, Chart, Spec

__all__ = ["profit"]


def profit(df: pl.DataFrame) -> Chart:
    """Mean profit of a round trip by latency. Columns: `fees_level, latency_ms, trades, mean_bp, mean_lo, mean_hi`."""
    title = "What a round trip made, by latency"
    words = {"own": "net of fees", "free": "free of fees"}
    rows = df.filter(pl.col("trades") > 0)
    if rows.is_empty():
        return _empty(title, "no threshold was ever met")
    rows = rows.with_columns(pl.col("fees_level").replace_strict(words))
    colour = _by("fees_level", rows["fees_level"].unique(maintain_order=True).to_list())
    x: Spec = {
        "field": "latency_ms",
        "type": "quantitative",
        "title": "latency of both orders, ms",
        "scale": {"type": "symlog", "constant": 1},
        "axis": {"values": [0, 1, 2, 5, 10, 20, 50, 100], "grid": False},
    }
    label = "bp of the notional"
    layers: list[Spec] = [
        {
            "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5},
            "encoding": {
                "x": x,
                "y": _y("mean_lo", label, zero=True),
                "y2": {"field": "mean_hi"},
                "color": colour["color"],
            },
        },
        {
            "mark": {"type": "line", "point": True},
            "encoding": {"x": x, "y": _y("mean_bp", label, zero=True), **colour},
        },
        _rule("y", 0.0, INK),
    ]
    counts = rows.filter(latency_ms=rows["latency_ms"].min()).select("fees_level", "trades").rows()
    told = ", ".join(f"{count:,} {level}" for level, count in counts)
    return Chart(
        _panel(rows, layers, height=200),
        title,
        f"Mean of round trips after half spreads and fees, with a 95 % bootstrap interval; {told} "
        "at the least latency.",
    )
