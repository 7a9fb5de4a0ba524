"""Connections of both venues, and what they do to the response."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.latency import connectivity, latency_at, publication_grid, response_on_latency, venue_delays
from crossbook.study.parts.part import INTERVAL, Part, Row
from crossbook.study.response import aggressor_orders
from crossbook.study.stale import stale_effect, stale_windows

if TYPE_CHECKING:
    from crossbook.study.study import Study, Venue

__all__ = ["part"]

TITLE = "Latency and connectivity"
HEADLINE = ("latency", "mean time of the response", "ms")
WINDOWS = 200
"""A connection is drawn in so many windows at most, and none shorter than a second."""
RARE = 0.999
"""A silence is longer than this share of the times between messages."""
CAPTION = (
    "Delays are our receive clock less the exchange's, so their level holds the difference of the clocks. The mean "
    "time of the response is the area above its mean path over its size, 1 s after primary aggressor orders; both are "
    "regressed on what was known when the order came. Stale: the primary sent nothing for longer than 999 in 1,000 of "
    "its times between messages; compared with windows of the same length that began like them."
)
TERMS = {
    "primary_delay_ms": "delay of the primary",
    "secondary_delay_ms": "delay of the secondary",
    "primary_silence_ms": "silence of the primary",
    "secondary_silence_ms": "silence of the secondary",
}


def part(study: Study) -> Part:
    """Delays, batching, silences, the response regressed on them, and stale windows."""
    from crossbook.viz import response_plots as plots

    p, s = study.primary, study.secondary
    labels = study.labels
    streams = pl.concat(_streams(venue, labels) for venue in (p, s))
    messages = streams.sort("ts_recv", maintain_order=True)
    delays = venue_delays(messages)
    span = (int(messages["ts_recv"][-1]) - int(messages["ts_recv"][0])) / 1e9 if messages.height else 0.0
    gaps = study.capture.gaps()
    known = {labels[v.instrument.name]: (v.instrument.venue, v.instrument.symbol) for v in (p, s)}
    named = [
        gaps.filter((pl.col("venue") == venue) & (pl.col("symbol") == symbol)).select(
            pl.lit(label).alias("venue"),
            pl.col("from").dt.epoch("ns").alias("ts_recv"),
            pl.col("until").dt.epoch("ns").alias("until"),
        )
        for label, (venue, symbol) in known.items()
    ]
    lost = pl.concat(named)
    windows = connectivity(messages, gaps=lost, window_s=max(1.0, span / WINDOWS))
    grid = publication_grid(streams.filter(pl.col("ts_event") != 0))
    out: list[Row] = []
    for row in delays.iter_rows(named=True):
        ends = row["delay_p05_ms"], row["delay_p95_ms"]
        bounds = "5–95 % of messages" if ends[0] is not None else None
        out.append(("latency", f"{row['venue']}: receive − exchange clock", row["delay_ms"], *ends, "ms", bounds))
        out.append(("latency", f"{row['venue']}: jitter", row["jitter_ms"], None, None, "ms", None))
    batched = grid.filter("batched")
    out += [
        (
            "latency",
            f"{r['venue']}: {r['stream']} published every",
            r["period_ms"],
            r["lo_ms"],
            r["hi_ms"],
            "ms",
            INTERVAL,
        )
        for r in batched.iter_rows(named=True)
    ]
    for (name,), mine in windows.group_by("venue", maintain_order=True):
        longest = mine["longest_silence_ms"].max()
        out.append(("latency", f"{name}: longest silence", float(longest or 0.0), None, None, "ms", None))  # type: ignore[arg-type]
        out.append(("latency", f"{name}: gaps", float(mine["gaps"].sum()), None, None, "", None))
    frames = {"delays": delays, "publication_grid": grid, "connectivity": windows}
    charts = [plots.connectivity(windows, venues=list(known))]
    sentences = []
    headline: Row = (*HEADLINE[:2], None, None, None, HEADLINE[2], None)
    try:
        found = _on_latency(study, messages)
        mean = found.row(by_predicate=(pl.col("measure") == "speed") & (pl.col("term") == "mean"), named=True)
        headline = (
            *HEADLINE[:2],
            mean["value"],
            mean["lo"],
            mean["hi"],
            "ms",
            None if mean["lo"] is None else INTERVAL,
        )
        for row in found.filter(pl.col("term") != "mean").iter_rows(named=True):
            what = "size" if row["measure"] == "size" else "mean time"
            unit = f"{row['unit']} a ms"
            bounds = None if row["lo"] is None else INTERVAL
            values = row["value"], row["lo"], row["hi"]
            out.append(("latency", f"{what} of the response by {row['term']}", *values, unit, bounds))
        charts.append(plots.on_latency(found))
        frames["response_on_latency"] = found
        if mean["value"] is not None:
            sentences.append(
                f"The secondary's response comes {mean['value']:,.0f} ms after a primary order on average."
            )
            clear = found.filter((pl.col("measure") == "speed") & (pl.col("term") != "mean")).filter(
                (pl.col("lo") > 0) | (pl.col("hi") < 0)
            )
            sentences += [
                f"It comes {abs(r['value']):.2g} ms {'later' if r['value'] > 0 else 'sooner'} for each ms of "
                f"{r['term']}."
                for r in clear.iter_rows(named=True)
            ]
        else:
            sentences.append("The response is not clearly different from 0, so it has no speed.")
    except DataError as error:
        sentences.append(f"The response was not regressed on connections: {error}.")
    sentences.append(_stale(study, messages, lost, labels[p.instrument.name], frames, out))
    if batched.height:
        each = [f"{r['venue']} {r['stream']} every {r['period_ms']:.3g} ms" for r in batched.iter_rows(named=True)]
        sentences.append(f"Published in batches: {', '.join(each)}.")
    return Part(TITLE, [headline, *out], " ".join(sentences), CAPTION, charts, frames)


def _streams(venue: Venue, labels: dict[str, str]) -> pl.DataFrame:
    name = pl.lit(labels[venue.instrument.name]).alias("venue")
    return pl.concat(
        frame.select(name, pl.lit(stream).alias("stream"), "ts_event", "ts_recv")
        for stream, frame in (("quotes", venue.quotes), ("depth", venue.depth), ("trades", venue.trades))
    )


def _on_latency(study: Study, messages: pl.DataFrame) -> pl.DataFrame:
    p, s = study.primary, study.secondary
    events = aggressor_orders(p.trades).with_columns(sign="side")
    for venue, prefix in ((p, "primary"), (s, "secondary")):
        events = latency_at(
            events, messages, venue=study.labels[venue.instrument.name], prefix=prefix, clock=study.clock
        )
    events = events.rename({name: words for name, words in TERMS.items() if name in events.columns})
    followed = s.quotes if s.quotes.height > 1 else s.depth
    # A clock that a venue does not send, or a delay that never changes, explains nothing and is left out.
    vary = [words for words in TERMS.values() if float(events[words].std() or 0.0) > 0.0]  # type: ignore[arg-type]
    return response_on_latency(
        events,
        followed,
        regressors=vary,
        block_s=study.block_s,
        resamples=300,
        clock=study.clock,
        seed=study.seed,
    )


def _stale(
    study: Study,
    messages: pl.DataFrame,
    gaps: pl.DataFrame,
    name: str,
    frames: dict[str, pl.DataFrame],
    out: list[Row],
) -> str:
    """What the secondary does while the primary is stale, its rows added."""
    ts = f"ts_{study.clock}"
    mine = messages.filter((pl.col("venue") == name) & (pl.col(ts) != 0))
    spacing = np.diff(np.sort(mine[ts].to_numpy()))
    if not spacing.size:
        return "The primary sent no messages."
    silence_ms = max(float(np.quantile(spacing, RARE)) / 1e6, 1e-3)
    lost = gaps.filter(pl.col("venue") == name) if study.clock == "recv" else None
    windows = stale_windows(mine, silence_ms=silence_ms, gaps=lost, touches=study.primary.touches, clock=study.clock)
    s = study.secondary
    if windows.is_empty() or s.touches.is_empty():
        return f"The primary was never silent for more than {silence_ms:.3g} ms."
    effect = stale_effect(windows, s.touches, s.trades, block_s=study.block_s, clock=study.clock)
    frames |= {"stale_windows": windows, "stale_effect": effect}
    during = effect.filter(pl.col("when") == "during")
    units = {"move_bp": "bp", "spread_bp": "bp", "quotes": "a second", "volume": f"{s.instrument.base} a second"}
    words = {"move_bp": "move", "spread_bp": "spread", "quotes": "changes of the touch", "volume": "volume"}
    for row in during.iter_rows(named=True):
        bounds = None if row["lo"] is None else INTERVAL
        values = row["difference"], row["lo"], row["hi"]
        measure = f"secondary's {words[row['measure']]} while the primary is stale, less matched"
        out.append(("latency", measure, *values, units[row["measure"]], bounds))
    quotes = during.row(by_predicate=pl.col("measure") == "quotes", named=True)
    if quotes["difference"] is None:
        return f"None of {windows.height} stale windows had windows to compare with."
    sure = quotes["lo"] is not None and not quotes["lo"] <= 0 <= quotes["hi"]
    return (
        f"While the primary had been silent for {silence_ms:.3g} ms ({quotes['windows']:,} windows) the secondary's "
        f"touch changed {quotes['stale']:.3g} times a second against {quotes['matched']:.3g} in matched windows"
        f"{'' if sure else ', a difference that could be chance'}."
    )
