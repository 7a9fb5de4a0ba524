"""Price discovery and lead–lag in parts as charts, in the one look of `crossbook.viz`."""

from __future__ import annotations

import polars as pl

from crossbook.viz.plots import _area, _empty, _line, _panel, _rule, _times, _unique, _values
from crossbook.viz.theme import BAND, COLOURS, DASHES, MUTED, WIDTH, Chart, Spec, number

__all__ = ["discovery", "discovery_path", "lead_by_size", "lead_path", "network", "twin"]

SHARES = {
    "information_share": "information share (between its bounds)",
    "component_share": "component share",
    "modified_information_share": "modified information share",
    "information_leadership_share": "information leadership share",
}


def discovery(df: pl.DataFrame) -> Chart:
    """Shares of price discovery with intervals. Columns: `venue, measure, value, lo, hi` (`Discovery.shares`).

    Of the information share the dot is the middle of the bounds by ordering and the line runs from the lower end of the
    lower bound's interval to the upper end of the upper one's.
    """
    title = "Whose price lasts: shares of price discovery"
    rows = df.filter(pl.col("measure").is_in(list(SHARES)))
    if rows.is_empty():
        return _empty(title, "no shares")
    low = df.filter(pl.col("measure") == "information_share_lo").select("venue", low="lo")
    high = df.filter(pl.col("measure") == "information_share_hi").select("venue", high="hi")
    hasbrouck = pl.col("measure") == "information_share"
    rows = rows.join(low, on="venue", how="left", maintain_order="left").join(
        high, on="venue", how="left", maintain_order="left"
    )
    rows = rows.with_columns(
        lo=pl.when(hasbrouck).then(pl.coalesce("low", "lo")).otherwise("lo"),
        hi=pl.when(hasbrouck).then(pl.coalesce("high", "hi")).otherwise("hi"),
        measure=pl.col("measure").replace_strict(SHARES),
    ).drop("low", "high")
    venues = _unique(rows, "venue")
    order = [name for name in SHARES.values() if name in rows["measure"]]
    bounds = [0.0, 1.0, *rows["lo"].drop_nulls(), *rows["hi"].drop_nulls(), *rows["value"]]
    x: Spec = {
        "field": "value",
        "type": "quantitative",
        "title": "share",
        "scale": {"domain": [min(bounds), max(bounds)], "nice": False},
        "axis": {"format": "%", "tickCount": 6},
    }
    y: Spec = {"field": "measure", "type": "nominal", "title": None, "sort": order, "axis": {"labelLimit": 260}}
    dodge: Spec = {"field": "venue", "type": "nominal", "sort": venues}
    colour: Spec = {
        "field": "venue",
        "type": "nominal",
        "scale": {"domain": venues, "range": [COLOURS[i % len(COLOURS)] for i in range(len(venues))]},
    }
    layers: list[Spec] = [
        {
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {"x": x | {"field": "lo"}, "x2": {"field": "hi"}, "y": y, "yOffset": dodge, "color": colour},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
            "encoding": {
                "x": x,
                "y": y,
                "yOffset": dodge,
                "color": colour,
                "shape": {"field": "venue", "type": "nominal", "scale": {"domain": venues}},
            },
        },
    ]
    panel = _panel(rows, layers, height=44 * len(order) + 14 * max(0, len(venues) - 2), width=WIDTH - 180)
    return Chart(
        panel,
        title,
        "Dot: estimate. Line: bootstrap interval; of the information share from the lower end of the lowest ordering's "
        "interval to the upper end of the highest one's.",
    )


def discovery_path(df: pl.DataFrame, *, measure: str = "component_share") -> Chart:
    """One measure over time. Columns: `ts` (ns) or `row`, `venue, measure, value, lo, hi` (`rolling_discovery`)."""
    title = f"{measure.replace('_', ' ').capitalize()} over time"
    rows = df.filter(pl.col("measure") == measure)
    if rows.is_empty():
        return _empty(title, f"no {measure.replace('_', ' ')}")
    return _path(rows, "venue", title, measure.replace("_", " "), "Band: bootstrap interval of each window.")


def lead_path(df: pl.DataFrame) -> Chart:
    """The lead over time. Columns: `end` (ns), `peak_lag_ms, peak_lag_lo_ms, peak_lag_hi_ms` (`lead_lag_rolling`)."""
    title = "Lead over time"
    rows = df.drop_nulls("peak_lag_ms")
    if rows.is_empty():
        return _empty(title, "no window in which both prices move")
    rows = rows.select(ts="end", series=pl.lit("lead"), value="peak_lag_ms", lo="peak_lag_lo_ms", hi="peak_lag_hi_ms")
    return _path(rows, "series", title, "peak lag, ms (positive: primary leads)", "Band: bootstrap interval.")


def _path(rows: pl.DataFrame, by: str, title: str, label: str, caption: str) -> Chart:
    if "ts" in rows.columns:
        times = _times(rows["ts"].min(), rows["ts"].max())
        rows, x = rows.with_columns(at=times.scaled("ts")), times.x()
    else:
        rows = rows.with_columns(at="row")
        x = {"field": "at", "type": "quantitative", "title": "row", "scale": {"nice": False, "zero": False}}
    layers: list[Spec] = [_rule("y", 0.0, MUTED)] if label.startswith("peak") else []
    names = _unique(rows, by)
    panels = []
    for index, name in enumerate(names):
        colour = COLOURS[index % len(COLOURS)]
        mine = rows.filter(pl.col(by) == name)
        drawn = [*layers, _area(x, "lo", "hi", label, colour), _line(x, "value", label, colour)]
        panels.append(_panel(mine, drawn, height=150, title=name if len(names) > 1 else None))
    return Chart({"vconcat": panels}, title, f"{rows.height:,} windows. {caption}")


def lead_by_size(df: pl.DataFrame) -> Chart:
    """The lead by size of the primary's move. Columns: those of `lead_lag_by_size`."""
    title = "Lead by size of the primary's move"
    rows = df.drop_nulls("peak_lag_ms")
    if rows.is_empty():
        return _empty(title, "no moves")
    names = [
        f"{number(lo, 3)}–{number(hi, 3)} bp (n = {number(n)})" if lo < hi else f"{number(lo, 3)} bp (n = {number(n)})"
        for lo, hi, n in rows.select("size_lo_bp", "size_hi_bp", "moves").iter_rows()
    ]
    rows = rows.with_columns(group=pl.Series(names))
    x: Spec = {
        "field": "peak_lag_ms",
        "type": "quantitative",
        "title": "peak lag, ms (positive: primary leads)",
        "scale": {"zero": True},
    }
    y: Spec = {"field": "group", "type": "nominal", "title": None, "sort": names, "axis": {"labelLimit": 260}}
    layers: list[Spec] = [
        _rule("x", 0.0, MUTED),
        {
            "mark": {"type": "rule", "strokeWidth": 2, "color": COLOURS[0]},
            "encoding": {"x": x | {"field": "peak_lag_lo_ms"}, "x2": {"field": "peak_lag_hi_ms"}, "y": y},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1, "color": COLOURS[0]},
            "encoding": {"x": x, "y": y},
        },
    ]
    panel = _panel(rows, layers, height=34 * rows.height, width=WIDTH - 180)
    return Chart(panel, title, "Dot: peak of the group's contrast. Line: bootstrap interval.")


def twin(df: pl.DataFrame, *, half_life_ms: float | None = None) -> Chart:
    """A pair's curve in the band of its feedback twins. Columns: `lag_ms, rho, twin_lo, twin_median, twin_hi`."""
    title = "The pair against twins that only mark to each other"
    if df.is_empty():
        return _empty(title, "no lags")
    # As in the plot of the curve itself: every k-th lag, and the peak.
    rows = df.sort("lag_ms")
    top = float(rows["lag_ms"][rows["rho"].abs().arg_max() or 0])
    every = -(-rows.height // 300)
    thin = rows.with_row_index("row").filter((pl.col("row") % every == 0) | (pl.col("lag_ms") == top))
    x: Spec = {
        "field": "lag_ms",
        "type": "quantitative",
        "title": "← secondary leads\u2003\u2003lag, ms (positive lag: primary leads)\u2003\u2003primary leads →",
        "scale": {"domain": [rows["lag_ms"].min(), rows["lag_ms"].max()], "nice": False},
    }
    label = "normalised contrast ρ"
    layers = [
        _area(x, "twin_lo", "twin_hi", label, BAND, opacity=0.45),
        _line(x, "twin_median", label, MUTED, strokeDash=DASHES[1]),
        _rule("x", 0.0, MUTED),
        _rule("y", 0.0, MUTED),
        _line(x, "rho", label, COLOURS[0]),
    ]
    life = "" if half_life_ms is None else f" Gaps in the twins halve in {number(half_life_ms, 3)} ms."
    return Chart(
        _panel(thin, layers, height=210),
        title,
        f"{rows.height:,} lags drawn as {thin.height:,}. Blue: the pair. Grey: band and median (dashed) of simulated "
        f"pairs that follow each other, without a leader, seen at the same times.{life}",
    )


def network(venues: pl.DataFrame, edges: pl.DataFrame) -> Chart:
    """Venues by how far behind the first they are, a line from leader to follower. Columns: those of `Network`."""
    title = "Who leads whom"
    known = venues.drop_nulls("behind_ms").sort("behind_ms")
    if known.is_empty() or edges.is_empty():
        return _empty(title, "no pair of venues has a leader")
    order = known["venue"].to_list()
    place = pl.col("venue").replace_strict({name: at for at, name in enumerate(order)}, return_dtype=pl.Float64)
    at = dict(known.select("venue", "behind_ms").iter_rows())
    lines = edges.select(
        start=pl.col("leader").replace_strict(at, return_dtype=pl.Float64),
        end=pl.col("follower").replace_strict(at, return_dtype=pl.Float64),
        low=pl.col("leader").replace_strict({n: float(i) for i, n in enumerate(order)}, return_dtype=pl.Float64),
        high=pl.col("follower").replace_strict({n: float(i) for i, n in enumerate(order)}, return_dtype=pl.Float64),
        size=pl.col("rho_peak").abs(),
    )
    x: Spec = {
        "field": "behind_ms",
        "type": "quantitative",
        "title": "ms behind the first venue",
        "scale": {"padding": 30},
    }
    y: Spec = {
        "field": "place",
        "type": "quantitative",
        "axis": None,
        "scale": {"domain": [len(order) - 0.5, -0.5], "nice": False},
    }
    layers: list[Spec] = [
        {
            "data": _values(lines),
            "mark": {"type": "rule", "color": COLOURS[0], "opacity": 0.5},
            "encoding": {
                "x": x | {"field": "start"},
                "x2": {"field": "end"},
                "y": y | {"field": "low"},
                "y2": {"field": "high"},
                "strokeWidth": {
                    "field": "size",
                    "type": "quantitative",
                    "legend": None,
                    "scale": {"domain": [0, 1], "range": [0.5, 5]},
                },
            },
        },
        {
            "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1, "color": COLOURS[0]},
            "encoding": {"x": x, "y": y},
        },
        {
            "mark": {"type": "text", "align": "left", "dx": 9, "dy": -9, "fontSize": 12},
            "encoding": {"x": x, "y": y, "text": {"field": "venue"}},
        },
    ]
    panel = _panel(known.with_columns(place=place), layers, height=42 * len(order))
    return Chart(panel, title, "A line joins leader and follower, thicker where their moves correlate more.")
