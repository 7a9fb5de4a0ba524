"""The numbers of a study that matter, with their intervals and what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossbook.errors import DataError
from crossbook.study.response import EVENTS

if TYPE_CHECKING:
    from crossbook.study.study import Study

__all__ = ["HEADLINE_MS", "summarise"]

HEADLINE_MS = 1000.0
"""The offset after an event at which the summary reads the response."""

SCHEMA = {
    "part": pl.String,
    "measure": pl.String,
    "value": pl.Float64,
    "lo": pl.Float64,
    "hi": pl.Float64,
    "unit": pl.String,
    "bounds": pl.String,
    "headline": pl.Boolean,
}


def summarise(study: Study) -> pl.DataFrame:
    """Give ``part, measure, value, lo, hi, unit, bounds, headline``.

    ``bounds`` says what ``lo`` and ``hi`` are: quantiles of what was seen, or an interval of the estimate; all are
    null where there is neither. ``headline`` marks what a summary of one page shows: of `Study.parts` one row each.
    """
    rows: list[tuple[str, str, float | None, float | None, float | None, str, str | None, bool]] = []

    def add(part: str, measure: str, unit: str, *values: object, of: str = "95 % interval") -> None:
        value, lo, hi = (None if x is None else float(x) for x in (*values, None, None, None)[:3])  # type: ignore[arg-type]
        rows.append((part, measure, value, lo, hi, unit, None if lo is None else of, True))

    def clocks() -> None:
        for row in study.clocks.iter_rows(named=True):
            name = study.labels[row["venue"]]
            offset = [row[f"offset_{which}ms"] for which in ("", "p05_", "p95_")]
            drift = [row[f"drift_{which}"] for which in ("ms_per_min", "lo", "hi")]
            add("clocks", f"{name}: receive − event", "ms", *offset, of="5–95 % of messages")
            add("clocks", f"{name}: drift", "ms/min", *drift)

    def spreads() -> None:
        for role in (study.primary, study.secondary)[: len(study.capture.instruments)]:
            spread = role.touches["spread_bp"].drop_nulls()
            middle, low, high = (spread.quantile(q) for q in (0.5, 0.05, 0.95))
            name = study.labels[role.instrument.name]
            add("quotes", f"{name}: spread", "bp", middle, low, high, of="5–95 % of touches")

    def basis() -> None:
        level = study.basis_summary.row(0, named=True)
        add("quotes", "basis, secondary − primary", "bp", level["basis_bp"], level["lo"], level["hi"])

    def lead_lag() -> None:
        for row in study.lead_lag_summary.iter_rows(named=True):
            name = row["series"]
            peak = [row[f"peak_lag_{which}ms"] for which in ("", "lo_", "hi_")]
            add("lead–lag", f"peak lag, {name}", "ms", *peak)
            add("lead–lag", f"normalised contrast there, {name}", "", row["rho_peak"])
            add("lead–lag", f"ratio Σρ², {name}", "", row["llr"], row["llr_lo"], row["llr_hi"])

    def response() -> None:
        orders, fills = study.orders
        add("response", "primary aggressor orders", "orders", orders)
        add("response", "their fills", "fills", fills)
        for event, name in EVENTS.items():
            at = study.response.filter((pl.col("event") == event) & (pl.col("offset_ms") == HEADLINE_MS))
            path = at.select("mean_bp", "lo_bp", "hi_bp").row(0) if at.height else (None,) * 3
            add("response", f"mid {HEADLINE_MS / 1e3:g} s after {name}", "bp", *path)

    clocks()
    spreads()
    for compute, part, measure, unit in (
        (basis, "quotes", "basis, secondary − primary", "bp"),
        (lead_lag, "lead–lag", "peak lag", "ms"),
        (response, "response", f"mid {HEADLINE_MS / 1e3:g} s after {EVENTS['trade']}", "bp"),
    ):
        try:
            compute()
        except DataError:  # the report says why
            add(part, measure, unit)
    if len(study.capture.instruments) > 1:
        share = [None if x is None else x * 100 for x in study.cross_share]
        duration = study.crosses["duration_ms"].median()
        add("crosses", "crosses net of fees", "", study.crosses.height)
        add("crosses", "share of time crossed net of fees", "%", *share)
        add("crosses", "median duration", "ms", duration)
        fees = "own" if study.crosses.height else "free"
        of = "crosses" if fees == "own" else "crosses free of fees"
        for (part,) in study.receive_only.filter(pl.col("level") == fees).select("share").iter_rows():
            add("crosses", f"{of} on our clock only", "%", None if part is None else part * 100)
        own = study.arbitrage.filter(pl.col("fees_level") == "own")
        if own.height:
            add("crosses", "best trader's profit net of fees", study.primary.instrument.quote, own["profit"].max())
    for found in study.parts:
        rows += [(*row, place == 0) for place, row in enumerate(found.rows)]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
