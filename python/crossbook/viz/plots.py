"""A study's DataFrames as charts.

Data is thinned before it is drawn, never silently: the caption says how many points stand for how many. Times (`ts`,
`start`, `end`) are Int64 nanoseconds and drawn as time since the first one. An empty frame gives a panel that says so.
Every function raises `polars.exceptions.ColumnNotFoundError` for a missing column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import polars.selectors as cs

from crossbook.study.response import EVENTS
from crossbook.viz.theme import BAND, COLOURS, DASHES, GRID, INK, MUTED, PRIMARY, WIDTH, Chart, Spec, number

_POINTS = 300  # across the width: one every two px or so
_SECOND = 1_000_000_000


def clocks(df: pl.DataFrame) -> Chart:
    """Receive minus event time of each venue and its fitted drift.

    Columns: `venue, ts` (a row a second), `p05, p50, p95, offset_fit_ms` in ms.
    """
    title = "Receive minus event time, by venue"
    if df.is_empty():
        return _empty(title, "no frame carries an exchange time")
    times = _times(df["ts"].min(), df["ts"].max(), least=_SECOND)
    thin = times.thin(
        df,
        low=pl.col("p05").min(),
        middle=pl.col("p50").median(),
        high=pl.col("p95").max(),
        fit=pl.col("offset_fit_ms").mean(),
    )
    venues = _unique(df, "venue")
    panels = []
    for index, venue in enumerate(venues):
        rows = thin.filter(pl.col("venue") == venue)
        x = times.x(title=index == len(venues) - 1)
        label = "receive − event, ms"
        layers = [
            _area(x, "low", "high", label, COLOURS[0]),
            _line(x, "middle", label, COLOURS[0]),
            _line(x, "fit", label, INK, strokeDash=[6, 4]),
        ]
        first, last = rows["fit"].first(), rows["fit"].last()
        drift = f": fitted {number(first)} → {number(last)} ms" if first is not None and last is not None else ""
        panels.append(_panel(rows, layers, height=110, title=f"{venue}{drift}"))
    return Chart(
        {"vconcat": panels},
        title,
        f"{df.height:,} seconds drawn as {thin.height:,} points: median (line), and from the lowest 5th to the highest "
        "95th percentile of a second (band). Dashed: the fitted drift.",
    )


def quotes(df: pl.DataFrame, *, venues: Sequence[str] | None = None) -> Chart:
    """Mids and spreads of the venues. Columns: `venue, ts, mid, spread_bp`, each venue's rows in time order.

    `venues` gives the order of colours, the primary first; without it they come as they do in the frame.
    """
    title = "Mid and spread of each venue"
    if df.is_empty():
        return _empty(title, "no quotes")
    times = _times(df["ts"].min(), df["ts"].max())
    mid = pl.col("mid")
    thin = times.thin(df, last=mid.last(), low=mid.min(), high=mid.max(), spread=pl.col("spread_bp").median())
    colour = _by("venue", venues or _unique(df, "venue"))
    x, bare = times.x(), times.x(title=False)
    mids: list[Spec] = [
        {
            "mark": {"type": "area", "opacity": 0.22},
            "encoding": _band(bare, "low", "high", "mid") | {"color": colour["color"]},
        },
        {"mark": "line", "encoding": {"x": bare, "y": _y("last", "mid"), **colour}},
    ]
    spreads = [{"mark": "line", "encoding": {"x": x, "y": _y("spread", "spread, bp", zero=True), **colour}}]
    return Chart(
        {"vconcat": [_panel(thin, mids, height=230), _panel(thin, spreads, height=90)]},
        title,
        f"{df.height:,} quotes drawn as {thin.height:,} points, one per venue and {times.step_text}: last mid (line) "
        "between the lowest and highest (band); median spread.",
    )


def basis(df: pl.DataFrame) -> Chart:
    """Secondary mid minus primary mid over time. Columns: `ts, basis_bp`."""
    title = "Basis, secondary − primary"
    df = df.drop_nulls("basis_bp")
    if df.is_empty():
        return _empty(title, "the venues were never quoted at the same time")
    times = _times(df["ts"].min(), df["ts"].max())
    value = pl.col("basis_bp")
    thin = times.thin(df, low=value.quantile(0.05), middle=value.median(), high=value.quantile(0.95))
    x, label = times.x(), "basis, bp of the primary's mid"
    layers = [_area(x, "low", "high", label, PRIMARY), _line(x, "middle", label, PRIMARY)]
    return Chart(
        _panel(thin, layers, height=180),
        title,
        f"{df.height:,} points drawn as {thin.height:,}: median (line) and 5th to 95th percentile (band) of each "
        f"{times.step_text}.",
    )


def depth(df: pl.DataFrame, *, base: str = "BTC", venues: Sequence[str] | None = None) -> Chart:
    """Median known depth near the mid, bids to the left and asks to the right.

    Columns: `venue, side ("bid" or "ask"), within_bp, depth` (in the `base` currency; null where the book is not known
    so far out), one row per book or one per group: rows of a group are reduced to their median. `venues` as in
    `quotes`.
    """
    title = f"Median known depth around the mid, {base}"
    rows = df.group_by("venue", "side", "within_bp", maintain_order=True).agg(pl.col("depth").median())
    if rows["depth"].drop_nulls().is_empty():
        return _empty(title, "no depth is known")
    venues = venues or _unique(df, "venue")
    ask = pl.col("side") == "ask"
    rows = rows.with_columns(
        at=pl.format("{} bp", pl.col("within_bp").map_elements(lambda v: f"{v:g}", pl.String)),
        signed=pl.when(ask).then("depth").otherwise(-pl.col("depth")),
        label=pl.col("depth").map_elements(lambda v: number(v, 3), pl.String, skip_nulls=False).replace("–", "unknown"),
    ).sort("within_bp", maintain_order=True)
    reach = max(float(rows["depth"].max() or 0.0), 1e-12) * 1.18  # type: ignore[arg-type]  # a float column
    axis: Spec = {"grid": False, "domain": False, "ticks": False}
    y: Spec = {"field": "at", "type": "nominal", "sort": None, "title": "within", "axis": axis}
    offset: Spec = {"field": "venue", "sort": list(venues)}
    x: Spec = {
        "field": "signed",
        "type": "quantitative",
        "title": f"← bids\u2003\u2003{base}\u2003\u2003asks →",
        "scale": {"domain": [-reach, reach]},
        "axis": {"labelExpr": "format(abs(datum.value), '~s')", "tickCount": 8},
    }
    text: Spec = {"type": "text", "fontSize": 11, "color": INK}
    place: Spec = {"y": y, "yOffset": offset}
    layers: list[Spec] = [
        {"mark": "bar", "encoding": place | {"x": x, "color": _by("venue", venues, symbol="square")["color"]}},
        _rule("x", 0.0, INK),
        *(
            {
                "mark": text | {"align": align, "dx": shift},
                "transform": [{"filter": {"field": "side", "equal": side}}],
                "encoding": place
                | {"yOffset": offset | {"bandPosition": 0.5}, "x": x | {"field": "end"}, "text": {"field": "label"}},
            }
            for side, align, shift in (("bid", "right", -4), ("ask", "left", 4))
        ),
    ]
    rows = rows.with_columns(end=pl.col("signed").fill_null(0.0))
    levels = rows["at"].n_unique()
    return Chart(
        _panel(rows, layers, height=levels * len(venues) * 19),
        title,
        (f"{df.height:,} depths drawn as {rows.height:,} medians. " if df.height > rows.height else "")
        + "Further out than a book's snapshot reached, depth is unknown, not zero.",
    )


def lead_lag(curves: pl.DataFrame, *, peak: tuple[float, float, float] | None = None) -> Chart:
    """Cross-correlation against lag, one panel a series, the first of them the headline.

    Columns: `series, lag_ms, rho, rho_lo, rho_hi, null_lo, null_hi`. `peak` is the headline's lag and its interval, ms;
    without it, the lag of the largest |rho| of the first series is marked, with no interval.
    """
    title = "Lead and lag: how the two venues' moves go together at each lag"
    curves = curves.drop_nulls("rho").filter(pl.col("rho").is_finite())
    if curves.is_empty():
        return _empty(title, "too few moves to correlate")
    names = _unique(curves, "series")
    lo, hi = float(curves["lag_ms"].min()), float(curves["lag_ms"].max())  # type: ignore[arg-type]  # a float column
    panels, drawn = [], 0
    for index, name in enumerate(names):
        rows = curves.filter(pl.col("series") == name).sort("lag_ms")
        top = float(rows["lag_ms"][rows["rho"].abs().arg_max() or 0])
        # Every k-th lag alone would miss a sharp peak; the largest of each group would overstate noise.
        every = -(-rows.height // _POINTS)
        rows = rows.with_row_index("row").filter((pl.col("row") % every == 0) | (pl.col("lag_ms") == top))
        drawn += rows.height
        mark = peak if peak and index == 0 else (top, top, top)
        text = f"{number(mark[0])} ms" + (f" [{number(mark[1])}, {number(mark[2])}]" if mark[1] < mark[2] else "")
        right = mark[0] < lo + 0.7 * (hi - lo)
        x: Spec = {
            "field": "lag_ms",
            "type": "quantitative",
            "title": "← secondary leads\u2003\u2003lag, ms (positive lag: primary leads)\u2003\u2003primary leads →"
            if index == len(names) - 1
            else None,
            "scale": {"domain": [lo, hi], "nice": False},
            "axis": {"tickCount": 8},
        }
        colour, label = COLOURS[index % len(COLOURS)], "normalised contrast ρ"
        flag: Spec = {"type": "text", "align": "left" if right else "right", "dx": 6 if right else -6, "fontSize": 12}
        layers = [
            _area(x, "null_lo", "null_hi", label, BAND, opacity=0.45),
            _rule("x", 0.0, MUTED),
            _rule("y", 0.0, MUTED),
            {
                "data": {"values": [{"lo": mark[1], "hi": mark[2]}]},
                "mark": {"type": "rect", "color": colour, "opacity": 0.18},
                "encoding": {"x": {"field": "lo", "type": "quantitative"}, "x2": {"field": "hi"}},
            },
            _area(x, "rho_lo", "rho_hi", label, colour, opacity=0.3),
            _line(x, "rho", label, colour, strokeDash=DASHES[index % len(DASHES)]),
            _rule("x", mark[0], colour, strokeDash=[4, 3]),
            {
                "data": {"values": [{"lag": mark[0], "text": text}]},
                "mark": flag | {"color": colour, "fontWeight": 600, "baseline": "top"},
                "encoding": {
                    "x": {"field": "lag", "type": "quantitative"},
                    "y": {"value": 2},
                    "text": {"field": "text"},
                },
            },
        ]
        panels.append(_panel(rows, layers, height=210 if index == 0 else 110, title=name))
    return Chart(
        {"vconcat": panels},
        title,
        f"{curves.height:,} lags drawn as {drawn:,}, the peaks among them. Coloured band: interval of ρ; grey band: "
        "what chance alone gives (large shifts).",
    )


def response(df: pl.DataFrame) -> Chart:
    """Mean path of the secondary's mid around events on the primary, one panel an event.

    Columns: `event` (a key of `crossbook.study.response.EVENTS`), `offset_ms, mean_bp, lo_bp, hi_bp, events`.
    """
    title = "Mean path of the secondary's mid around events on the primary"
    if df.is_empty():
        return _empty(title, "no events with two seconds of quotes around them")
    every = -(-df["offset_ms"].n_unique() // 200)
    panels, drawn = [], 0
    for event, name in EVENTS.items():
        rows = df.filter(pl.col("event") == event).sort("offset_ms").gather_every(every)
        drawn += rows.height
        if rows.is_empty():
            panels.append(_note("no such events", width=WIDTH // 2 - 40, height=130, title=name))
            continue
        x: Spec = {
            "field": "offset_ms",
            "type": "quantitative",
            "title": "ms after the event",
            "axis": {"tickCount": 5},
        }
        label = "mid, bp"
        layers = [
            _rule("x", 0.0, MUTED, strokeDash=[4, 3]),
            _rule("y", 0.0, MUTED),
            _area(x, "lo_bp", "hi_bp", label, PRIMARY),
            _line(x, "mean_bp", label, PRIMARY),
        ]
        count = f"{name}, n = {number(rows['events'].max())}"
        panels.append(_panel(rows, layers, width=WIDTH // 2 - 40, height=130, title=count))
    return Chart(
        {"concat": panels, "columns": 2, "align": "all"},
        title,
        f"{df.height:,} points drawn as {drawn:,}. Band: confidence interval of the mean. Vertical scales differ.",
    )


def crosses(df: pl.DataFrame, *, span: tuple[int, int] | None = None) -> Chart:
    """When the venues overlapped net of fees, and by how much, one panel a direction.

    Columns: `start, end` (ns), `direction, best_edge_bp, duration_ms`. `span`: start and end of what was studied, ns.
    """
    title = "Crosses net of fees"
    if df.is_empty():
        return _empty(title, "no crosses net of fees")
    times = _times(*(span or (df["start"].min(), df["end"].max())))
    thin = (
        df.sort("best_edge_bp", descending=True)
        .group_by("direction", ((pl.col("start") - times.origin) // times.step).alias("step"), maintain_order=True)
        .first()
        .with_columns(at=times.scaled("start"), until=times.scaled("end"))
    )
    domain = [0.0, times.length]
    highest = float(df["best_edge_bp"].max()) * 1.05  # type: ignore[arg-type]  # a float column
    names = sorted(_unique(df, "direction"))
    panels = []
    for index, name in enumerate(names):
        rows = thin.filter(pl.col("direction") == name)
        colour = COLOURS[index % len(COLOURS)]
        x = times.x(title=index == len(names) - 1) | {"scale": {"domain": domain, "nice": False}}
        y = _y("best_edge_bp", "best edge, bp", zero=True) | {"scale": {"domain": [0.0, max(highest, 1e-6)]}}
        stem: Spec = {"type": "rule", "color": colour, "opacity": 0.35, "clip": True}
        layers: list[Spec] = [
            {"mark": stem, "encoding": {"x": x, "y": y, "y2": {"datum": 0}}},
            {"mark": stem | {"opacity": 1, "strokeWidth": 3}, "encoding": {"x": x, "x2": {"field": "until"}, "y": y}},
            {
                "mark": {"type": "point", "filled": True, "size": 22, "opacity": 1, "color": colour, "clip": True},
                "encoding": {"x": x, "y": y},
            },
        ]
        count = df.filter(pl.col("direction") == name).height
        panels.append(_panel(rows, layers, height=120, title=f"{name}, n = {count:,}"))
    durations = df["duration_ms"]
    return Chart(
        {"vconcat": panels},
        title,
        f"{df.height:,} crosses drawn as {thin.height:,}: the best of each direction and {times.step_text}, as long as "
        f"they lasted. Of all, median {number(durations.median(), 3)} ms, longest {number(durations.max(), 3)} ms.",
    )


def ladder(df: pl.DataFrame) -> Chart:
    """How many crosses are left, and for what share of the time, as total fees rise.

    Columns: `fee_bp, direction, count, time_share` (a fraction). Scales are logarithmic and include zero.
    """
    title = "Crosses left at each level of total fees"
    if df.is_empty():
        return _empty(title, "no crosses net of fees")
    colour = _by("direction", sorted(_unique(df, "direction")))
    none = int(df["count"].sum()) == 0
    panels = []
    for field, label, smallest, form in (
        ("count", "crosses", 1.0, "~s"),
        ("time_share", "share of time", 1e-4, "~%"),
    ):
        largest = max(float(df[field].max() or 0.0), smallest)  # type: ignore[arg-type]  # a number column
        ticks = [0.0, smallest]
        while ticks[-1] < largest * (1 - 1e-9):
            ticks.append(ticks[-1] * 10)
        y = _y(field, label) | {
            # Linear up to the smallest tick, logarithmic beyond: zero has a place.
            "scale": {"type": "symlog", "constant": smallest, "domain": [0.0, ticks[-1]], "nice": False},
            "axis": {"values": ticks, "labelExpr": f"format(datum.value, '{form}')"},
        }
        x: Spec = {"field": "fee_bp", "type": "quantitative", "title": "total fees, bp", "axis": {"tickMinStep": 1}}
        mark: Spec = {"type": "line", "point": {"size": 36, "filled": True}, "clip": False}
        layers: list[Spec] = [{"mark": mark, "encoding": {"x": x, "y": y, **colour}}]
        if none:
            layers.append(_text("no crosses net of fees"))
        panels.append(_panel(df, layers, width=WIDTH // 2 - 40, height=190))
    return Chart({"hconcat": panels, "spacing": 30}, title, "Vertical axes are logarithmic and include zero.")


@dataclass(frozen=True, slots=True)
class _Times:
    """A time axis: `origin` and bucket `step` in ns, and the unit that it is drawn in."""

    origin: int
    step: int
    unit: str
    unit_ns: int
    length: float

    @property
    def step_text(self) -> str:
        for name, size in (("h", 3600 * _SECOND), ("min", 60 * _SECOND), ("s", _SECOND), ("ms", 10**6), ("µs", 10**3)):
            if self.step >= size:
                return f"{self.step / size:g} {name}"
        return f"{self.step} ns"

    def x(self, *, title: bool = True) -> Spec:
        text = f"time since start, {self.unit}" if title else None
        scale = {"nice": False, "zero": False}
        return {"field": "at", "type": "quantitative", "title": text, "scale": scale, "axis": {"tickCount": 9}}

    def scaled(self, column: str) -> pl.Expr:
        return (pl.col(column) - self.origin) / self.unit_ns

    def thin(self, df: pl.DataFrame, **aggregates: pl.Expr) -> pl.DataFrame:
        """One row per venue (if there are any) and step, `at` the middle of the step in the axis's unit."""
        middle = ((pl.col("ts") - self.origin) // self.step * self.step + self.step / 2) / self.unit_ns
        keys = ["venue", "at"] if "venue" in df.columns else ["at"]
        return df.with_columns(at=middle).group_by(keys).agg(**aggregates).sort(keys)


def _times(first: Any, last: Any, *, least: int = 1) -> _Times:
    span = max(int(last) - int(first), 1)
    step = least
    while span / step > _POINTS:
        # 1, 2, 5, 10, …
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    unit, size = next(
        (u, s) for u, s, most in (("s", 1, 900), ("min", 60, 36_000), ("h", 3600, math.inf)) if span <= most * _SECOND
    )
    return _Times(int(first), step, unit, size * _SECOND, span / (size * _SECOND))


def _unique(df: pl.DataFrame, column: str) -> list[str]:
    return df[column].unique(maintain_order=True).to_list()


def _values(df: pl.DataFrame) -> Spec:
    # JSON has no NaN and no infinity; a null breaks a line where the data has a hole.
    floats = cs.float()
    return {"values": df.with_columns(pl.when(floats.is_finite()).then(floats)).to_dicts()}


def _panel(
    rows: pl.DataFrame, layers: Sequence[Spec], *, height: int, width: int = WIDTH, title: str | None = None
) -> Spec:
    spec: Spec = {"data": _values(rows), "width": width, "height": height, "layer": list(layers)}
    return spec | {"title": title} if title is not None else spec


def _y(field: str, title: str, *, zero: bool = False) -> Spec:
    # Padded rather than rounded out: a tick at the very top would push the panel's title up.
    scale = {"zero": True} if zero else {"zero": False, "nice": False, "padding": 6}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": {"tickCount": 5}}


def _band(x: Spec, low: str, high: str, title: str) -> Spec:
    return {"x": x, "y": _y(low, title), "y2": {"field": high}}


def _area(x: Spec, low: str, high: str, title: str, colour: str, *, opacity: float = 0.22) -> Spec:
    return {"mark": {"type": "area", "color": colour, "opacity": opacity}, "encoding": _band(x, low, high, title)}


def _line(x: Spec, field: str, title: str, colour: str, **mark: Any) -> Spec:
    return {"mark": {"type": "line", "color": colour, **mark}, "encoding": {"x": x, "y": _y(field, title)}}


def _rule(axis: str, at: float, colour: str, **mark: Any) -> Spec:
    return {
        "data": {"values": [{}]},
        "mark": {"type": "rule", "color": colour, **mark},
        "encoding": {axis: {"datum": at, "type": "quantitative"}},
    }


def _by(field: str, names: Sequence[str], *, symbol: str = "stroke") -> Spec:
    """Colour and dash by name, so that lines stay apart in grey; the first name is the primary's colour."""
    count = len(names)
    domain = {"domain": list(names)}
    return {
        channel: {
            "field": field,
            "type": "nominal",
            "scale": domain | {"range": [palette[i % len(palette)] for i in range(count)]},
            "legend": {"symbolType": symbol, "symbolStrokeWidth": 2.5, "symbolOpacity": 1},
        }
        for channel, palette in (("color", COLOURS), ("strokeDash", DASHES))
    }


def _text(text: str) -> Spec:
    centre: Spec = {"x": {"value": {"expr": "width / 2"}}, "y": {"value": {"expr": "height / 2"}}}
    mark: Spec = {"type": "text", "fontSize": 13, "color": MUTED, "fontStyle": "italic"}
    return {"data": {"values": [{"text": text}]}, "mark": mark, "encoding": {**centre, "text": {"field": "text"}}}


def _note(text: str, *, width: int = WIDTH, height: int = 80, title: str | None = None) -> Spec:
    note: Spec = {"width": width, "height": height, "view": {"stroke": GRID}, **_text(text)}
    return note | {"title": title} if title is not None else note


def _empty(title: str, text: str) -> Chart:
    return Chart(_note(text), title)
