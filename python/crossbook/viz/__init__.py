"""Plots and the report, with one look. Charts are Vega-Lite; rendering needs neither a browser nor a network."""

from __future__ import annotations

from crossbook.viz.plots import basis, clocks, crosses, depth, ladder, lead_lag, quotes, response
from crossbook.viz.report import Section, render
from crossbook.viz.theme import Chart, number, to_png, to_svg, warm_up

__all__ = [
    "Chart",
    "Section",
    "basis",
    "clocks",
    "crosses",
    "depth",
    "ladder",
    "lead_lag",
    "number",
    "quotes",
    "render",
    "response",
    "to_png",
    "to_svg",
    "warm_up",
]
