"""Plots of forecasts: how good they were, whether their probabilities hold, and what taking and posting cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from crossbook.viz.plots import _by, _empty, _panel, _rule, _y
from crossbook.viz.theme import INK, MUTED, PRIMARY, WIDTH, Chart, Spec, number

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["calibration", "forecast_quality", "taking_and_posting"]


_GROUPS: Spec = {"axis": {"labelAngle": 0}, "scale": {"paddingInner": 0.8, "paddingOuter": 0.4}}
"""What belongs to one value of the axis stands close together."""


def _whiskers(x: Spec, low: str, high: str, label: str, extra: Spec) -> Spec:
    y = _y(low, label, zero=True)
    return {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": {"x": x, "y": y, "y2": {"field": high}, **extra}}


def _points(x: Spec, field: str, label: str, extra: Spec) -> Spec:
    mark: Spec = {"type": "point", "filled": True, "size": 60, "opacity": 1}
    return {"mark": mark, "encoding": {"x": x, "y": _y(field, label, zero=True), **extra}}


def forecast_quality(df: pl.DataFrame, *, names: Sequence[str] | None = None) -> Chart:
    """Out-of-sample R² by horizon. Columns: `against, horizon_ms, r2, r2_lo, r2_hi` (null without an interval).

    `against` says what the forecast is compared with; `names` gives the order of colours.
    """
    title = "How much of the secondary's next move was forecast"
    if "r2" not in df.columns or df.drop_nulls("r2").is_empty():
        return _empty(title, "no forecasts")
    rows = df.drop_nulls("r2").with_columns(
        (pl.col("r2", "r2_lo", "r2_hi") * 100),
        horizon=pl.col("horizon_ms").map_elements(lambda ms: f"{ms:g}", return_dtype=pl.String),
    )
    order = rows.sort("horizon_ms")["horizon"].unique(maintain_order=True).to_list()
    kinds = list(names) if names is not None else rows["against"].unique(maintain_order=True).to_list()
    x: Spec = {"field": "horizon", "type": "ordinal", "sort": order, "title": "horizon, ms", **_GROUPS}
    colour = _by("against", kinds)
    extra: Spec = {
        "color": colour["color"],
        "xOffset": {"field": "against", "type": "nominal", "sort": kinds},
    }
    # An interval far below 0 says no more than that it is there: cut, or it would hide all else.
    least = -max(20.0, 2 * float(rows["r2"].abs().max() or 0.0))  # type: ignore[arg-type]
    shown = rows.with_columns(pl.col("r2_lo").clip(least), pl.col("r2_hi").clip(None, -least))
    cut = bool((rows["r2_lo"] < least).any()) or bool((rows["r2_hi"] > -least).any())
    label = "out-of-sample R², %"
    layers = [
        _rule("y", 0.0, INK),
        _whiskers(x, "r2_lo", "r2_hi", label, extra),
        _points(x, "r2", label, extra | {"shape": {"field": "against", "type": "nominal", "scale": {"domain": kinds}}}),
    ]
    best = rows.sort("r2", descending=True).row(0, named=True)
    return Chart(
        _panel(shown, layers, height=220),
        f"{title}: at most {number(best['r2'], 2)} %, over {number(best['horizon_ms'])} ms",
        "Share of the squared error of the comparison that the forecast saves on data it was not fitted to, with a "
        "95 % interval; below 0 it is worse." + (f" Intervals are cut at ±{number(-least, 3)} %." if cut else ""),
    )


def calibration(df: pl.DataFrame, *, horizon_ms: float | None = None) -> Chart:
    """Do rises come as often as was said? Columns: `moves, probability, share_up, lo, hi` of `study.reliability`."""
    title = "Said and seen: how often the mid rose, given that it moved"
    if df.is_empty():
        return _empty(title, "no moves")
    axis: Spec = {"domain": [0, 1]}
    x: Spec = {
        "field": "probability",
        "type": "quantitative",
        "title": "probability of a rise that was said",
        "scale": axis,
    }

    def y(field: str) -> Spec:
        return {"field": field, "type": "quantitative", "title": "share that rose", "scale": axis}

    diagonal: Spec = {
        "data": {"values": [{"a": 0, "b": 0}, {"a": 1, "b": 1}]},
        "mark": {"type": "line", "color": MUTED, "strokeDash": [4, 3]},
        "encoding": {
            "x": {"field": "a", "type": "quantitative", "scale": axis},
            "y": {"field": "b", "type": "quantitative", "scale": axis},
        },
    }
    layers: list[Spec] = [
        diagonal,
        {
            "mark": {"type": "rule", "color": PRIMARY, "strokeWidth": 2},
            "encoding": {"x": x, "y": y("lo"), "y2": {"field": "hi"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1, "color": PRIMARY},
            "encoding": {"x": x, "y": y("share_up")},
        },
    ]
    over = "" if horizon_ms is None else f", over {number(horizon_ms)} ms"
    return Chart(
        _panel(df, layers, height=240, width=WIDTH // 2),
        title + over,
        f"{int(df['moves'].sum()):,} decisions after which the mid moved, in {df.height} groups by what was said, with "
        "95 % intervals; dashed: probabilities that hold.",
    )


def taking_and_posting(df: pl.DataFrame) -> Chart:
    """Expected cost of taking now and of posting, by forecast. Columns: those of `study.advice`."""
    title = "Take now or post and wait, by what is forecast"
    if df.is_empty():
        return _empty(title, "no orders")
    rows = df.filter(pl.col("bucket") != "all")
    names = ["take", "post"]
    largest = float(rows["forecast_bp"].abs().max() or 0.0)  # type: ignore[arg-type]  # a float column
    places = max(0, 2 - math.floor(math.log10(largest))) if largest > 0 else 1
    parts = [
        rows.select(
            "bucket",
            pl.lit(name).alias("order"),
            *(pl.col(f"{name}_bp{end}").alias(f"cost{end}") for end in ("", "_lo", "_hi")),
            label=pl.col("forecast_bp").map_elements(
                lambda bp: f"{bp:+.{places}f}".replace("-", "−"), return_dtype=pl.String
            ),
        )
        for name in names
    ]
    costs = pl.concat(parts)
    order = costs["bucket"].unique(maintain_order=True).to_list()
    labels = dict(zip(costs["bucket"], costs["label"], strict=True))
    text = " : ".join(f"datum.value == '{bucket}' ? '{labels[bucket]}'" for bucket in order) + " : ''"
    axis: Spec = {"labelExpr": text, "labelAngle": 0}
    heading = "mean forecast in the order's direction, bp"
    x: Spec = {"field": "bucket", "type": "ordinal", "sort": order, "title": heading, **_GROUPS, "axis": axis}
    colour = _by("order", names)
    extra: Spec = {
        "color": colour["color"],
        "xOffset": {"field": "order", "type": "nominal", "sort": names},
    }
    label = "expected cost, bp of the mid at the decision"
    layers = [
        _rule("y", 0.0, INK),
        _whiskers(x, "cost_lo", "cost_hi", label, extra),
        _points(x, "cost", label, extra | {"shape": {"field": "order", "type": "nominal", "scale": {"domain": names}}}),
    ]
    every = df.filter(pl.col("bucket") == "all").row(0, named=True)
    filled = number(100 * every["fill_probability"], 3)
    return Chart(
        _panel(costs, layers, height=220),
        f"{title}: {filled} % of posted orders fill",
        f"{every['orders']:,} orders, buying and selling at every decision, against the mid at the decision, fees "
        "included, with 95 % intervals. An order that is not filled is taken at the end.",
    )
