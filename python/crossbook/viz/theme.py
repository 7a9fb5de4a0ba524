"""The one look of all plots, and their rendering.

Charts are plain Vega-Lite specifications, rendered by vl-convert. Altair writes the same ones, but importing it and
having it validate a study's charts takes half a second of the three that a whole study may take;
`alt.Chart.from_dict(chart.spec)` opens any of them there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Thread
from typing import Any

Spec = dict[str, Any]

WIDTH = 660
"""Width of a plot's data area, px."""

INK, MUTED, GRID, BAND = "#1a1d21", "#5b6470", "#e6e8eb", "#9aa3ad"
# Navy and Okabe and Ito's vermillion: apart for every kind of colour vision, and in grey (luminance 0.06 and 0.21).
PRIMARY, SECONDARY, THIRD = "#0b4a7a", "#d55e00", "#009e73"
COLOURS = (PRIMARY, SECONDARY, THIRD, "#cc79a7", "#56b4e9", "#e69f00")
DASHES = ([1, 0], [6, 2], [2, 2], [8, 2, 2, 2], [4, 4], [1, 3])

_AXIS: Spec = {
    "domainColor": MUTED,
    "gridColor": GRID,
    "labelColor": INK,
    "labelFlush": False,
    "labelFontSize": 12,
    "labelLimit": 160,
    "labelOverlap": "greedy",
    "tickColor": MUTED,
    "tickSize": 4,
    "titleColor": MUTED,
    "titleFontSize": 12,
    "titleFontWeight": "normal",
    "titleLimit": 600,
    "titlePadding": 8,
}
_CONFIG: Spec = {
    "aria": False,  # the figure in the report carries the description; one label per mark would only weigh
    "axis": _AXIS,
    "background": None,
    "font": "Arial, Helvetica, sans-serif",
    "axisY": {"minExtent": 42},  # panels above each other line up
    "legend": {
        "labelColor": INK,
        "labelFontSize": 12,
        "labelLimit": 240,
        "orient": "top",
        "symbolSize": 160,
        "title": None,
    },
    "line": {"strokeWidth": 1.6},
    "title": {"anchor": "start", "color": INK, "fontSize": 13, "fontWeight": 600, "limit": 620, "offset": 8},
    "view": {"stroke": None},
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing: its Vega-Lite `spec`, a `title` that says what it shows, a `caption` that says how it was drawn."""

    spec: Spec
    title: str
    caption: str = ""

    def _repr_svg_(self) -> str:
        return to_svg(self)


def number(value: object, digits: int = 4) -> str:
    """A number for people: `digits` significant, thousands set apart, two decimals from 1,000 on; all else as text."""
    if value is None or value != value:  # NaN differs from itself
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or math.isinf(value):
        return f"{value:,}".replace("-", "−")
    size = abs(value)
    if 0.0 < size < 1e-4 or size >= 1e15:
        return f"{value:.{digits - 1}e}".replace("e-0", "e-").replace("e+", "e").replace("-", "−")
    decimals = 2 if size >= 1e3 else max(0, digits - 1 - math.floor(math.log10(size))) if size > 0.0 else 0
    text = f"{value:,.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def warm_up() -> None:
    """Starts the renderer and what the study's parts import in the background, while the capture is read."""
    x = {"field": "x", "type": "quantitative"}
    area = {"data": {"values": [{"x": 0}, {"x": 1}]}, "mark": "area", "encoding": {"x": x, "y": x}}

    def start() -> None:
        import scipy.optimize
        import scipy.special  # noqa: F401 – 0.4 s, which the first part that fits anything would wait for

        to_svg(Chart(area, "warm-up"))

    Thread(target=start, name="warm-up").start()


def to_svg(chart: Chart) -> str:
    """The chart as an SVG document in the one look. Raises `ValueError` if its specification is not valid Vega-Lite."""
    import vl_convert  # starting the renderer costs 0.3 s, which only those who draw should pay

    return str(vl_convert.vegalite_to_svg(chart.spec, config=_CONFIG, allowed_base_urls=[]))


def to_png(chart: Chart, scale: float = 2.0) -> bytes:
    """The chart as a PNG on white, `scale` device pixels to the pixel. Raises `ValueError` as `to_svg` does."""
    import vl_convert

    config = _CONFIG | {"background": "white"}
    return bytes(vl_convert.vegalite_to_png(chart.spec, scale=scale, config=config, allowed_base_urls=[]))
