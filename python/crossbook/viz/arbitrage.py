"""Profit over latency and capital as charts."""

from __future__ import annotations

import polars as pl

from crossbook.viz.plots import _empty, _panel
from crossbook.viz.theme import COLOURS, DASHES, INK, MUTED, PRIMARY, SECONDARY, WIDTH, Chart, Spec, number

__all__ = ["costs", "surface"]


def _short(value: float) -> str:
    """An amount in few characters: 12.3, 1,230, 12.3k, 4.56M."""
    size = abs(value)
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            return f"{number(value / (limit if unit != 'k' else 1e3), 3)}{unit}"
    return f"{value:,.0f}".replace("-", "−") if size >= 1e3 else number(value, 3)


def surface(df: pl.DataFrame, *, currency: str, fees: str) -> Chart:
    """Profit by latency and capital: a field a trader, with its profit in words.

    Columns: `capital, latency_ms, profit`. `fees` says at which costs.
    """
    title = f"Profit by latency and capital, {currency}, {fees}"
    if df.is_empty():
        return _empty(title, "no traders")
    rows = df.sort("capital", "latency_ms").with_columns(
        x=pl.col("latency_ms").map_elements(lambda ms: f"{ms:g}", pl.String),
        y=pl.col("capital").map_elements(_short, pl.String),
        label=pl.col("profit").map_elements(_short, pl.String),
    )
    most = max(float(rows["profit"].abs().max() or 0.0), 1e-12)  # type: ignore[arg-type]  # a float column
    order = rows.sort("latency_ms")["x"].unique(maintain_order=True).to_list()
    capitals = rows.sort("capital", descending=True)["y"].unique(maintain_order=True).to_list()
    bare: Spec = {"grid": False, "ticks": False, "domain": False, "labelAngle": 0}
    x: Spec = {"field": "x", "type": "ordinal", "sort": order, "title": "latency of both orders, ms", "axis": bare}
    y: Spec = {"field": "y", "type": "ordinal", "sort": capitals, "title": f"capital, {currency}", "axis": bare}
    colour: Spec = {
        "field": "profit",
        "type": "quantitative",
        # Profit in one hue and loss in another, each the darker the more; the words say it in grey.
        "scale": {
            "type": "symlog",
            "constant": most / 1_000,
            "domain": [-most, 0, most],
            "range": [SECONDARY, "#ffffff", PRIMARY],
        },
        "legend": None,
    }
    dark: Spec = {"test": f"abs(datum.profit) > {most / 30:g}", "value": "white"}
    layers: list[Spec] = [
        {"mark": {"type": "rect", "stroke": "white", "strokeWidth": 2}, "encoding": {"x": x, "y": y, "color": colour}},
        {
            "mark": {"type": "text", "fontSize": 12},
            "encoding": {"x": x, "y": y, "text": {"field": "label"}, "color": {"condition": dark, "value": INK}},
        },
    ]
    height = 34 * len(capitals)
    return Chart(
        _panel(rows.select("x", "y", "profit", "label"), layers, height=height),
        title,
        f"{df.height:,} traders, each with inventories of its own: half of the capital at each venue, there half in "
        "cash and half in base currency, nothing moved between venues. Blue: profit, vermillion: loss; shades are "
        "logarithmic.",
    )


PARTS = {
    "gross": "gross edge",
    "fees": "fees",
    "fixed": "fixed costs",
    "unhedged": "legs without a match",
    "profit": "profit",
}


def costs(df: pl.DataFrame, *, currency: str) -> Chart:
    """What becomes of the gross edge as latency grows: costs by latency of one capital.

    Columns: `latency_ms, gross, fees, fixed, unhedged, profit`, the rows of one capital.
    """
    title = f"What is left of the gross edge, {currency}"
    if df.is_empty():
        return _empty(title, "no traders")
    shown = [name for name in PARTS if name in ("gross", "profit") or float(df[name].abs().max() or 0.0) > 0.0]  # type: ignore[arg-type]
    order = [f"{ms:g}" for ms in df.sort("latency_ms")["latency_ms"].unique(maintain_order=True)]
    rows = (
        df.sort("latency_ms")
        .with_columns(x=pl.col("latency_ms").map_elements(lambda ms: f"{ms:g}", pl.String))
        .unpivot(shown, index="x", variable_name="part", value_name="amount")
        .with_columns(pl.col("part").replace(PARTS))
    )
    names = [PARTS[name] for name in shown]
    x: Spec = {
        "field": "x", "type": "ordinal", "sort": order, "title": "latency of both orders, ms", "axis": {"labelAngle": 0}
    }  # fmt: skip
    y: Spec = {"field": "amount", "type": "quantitative", "title": currency, "axis": {"tickCount": 5}}
    by: Spec = {
        channel: {
            "field": "part",
            "type": "nominal",
            "scale": {"domain": names, "range": [palette[at % len(palette)] for at in range(len(names))]},
            "legend": {"symbolType": "stroke", "symbolStrokeWidth": 2.5, "symbolOpacity": 1},
        }
        for channel, palette in (("color", COLOURS), ("strokeDash", DASHES))
    }
    mark: Spec = {"type": "line", "point": {"size": 30, "filled": True}}
    zero: Spec = {
        "data": {"values": [{}]},
        "mark": {"type": "rule", "color": MUTED},
        "encoding": {"y": {"datum": 0, "type": "quantitative"}},
    }
    layers = [zero, {"mark": mark, "encoding": {"x": x, "y": y, **by}}]
    return Chart(
        _panel(rows, layers, height=190, width=WIDTH),
        title,
        "Gross edge less fees, fixed costs and what legs without a match cost is the profit.",
    )
