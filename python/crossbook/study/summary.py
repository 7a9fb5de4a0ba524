"""The numbers of a study that matter, with their intervals and what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from crossbook.study.study import Study

__all__ = ["HEADLINE_MS", "summarise"]

HEADLINE_MS = 1000.0
"""The offset after an event at which the summary reads the response."""

EVENTS = {
    "trade": "primary trade",
    "mid_move": "primary mid move",
    "touch_add": "primary touch addition",
    "touch_cancel": "primary touch cancellation",
}
SCHEMA = {
    "part": pl.String,
    "measure": pl.String,
    "value": pl.Float64,
    "lo": pl.Float64,
    "hi": pl.Float64,
    "unit": pl.String,
}


def summarise(study: Study) -> pl.DataFrame:
    """Give ``part, measure, value, lo, hi, unit``; ``lo`` and ``hi`` are null where there is no interval."""
    rows: list[tuple[str, str, float | None, float | None, float | None, str]] = []
    for row in study.clocks.iter_rows(named=True):
        name = study.labels[row["venue"]]
        rows += [
            ("clocks", f"{name}: receive − event", row["offset_ms"], row["offset_p05_ms"], row["offset_p95_ms"], "ms"),
            ("clocks", f"{name}: drift", row["drift_ms_per_min"], row["drift_lo"], row["drift_hi"], "ms/min"),
        ]
    for role in (study.primary, study.secondary)[: len(study.capture.instruments)]:
        spread = role.touches["spread_bp"].drop_nulls()
        middle, low, high = (spread.quantile(q) for q in (0.5, 0.05, 0.95))
        rows.append(("quotes", f"{study.labels[role.instrument.name]}: spread", middle, low, high, "bp"))
    level = study.basis_summary.row(0, named=True)
    rows.append(("quotes", "basis, secondary − primary", level["basis_bp"], level["lo"], level["hi"], "bp"))
    for row in study.lead_lag_summary.iter_rows(named=True):
        name = row["series"]
        rows += [
            ("lead–lag", f"peak lag, {name}", row["peak_lag_ms"], row["peak_lag_lo_ms"], row["peak_lag_hi_ms"], "ms"),
            ("lead–lag", f"normalised contrast there, {name}", row["rho_peak"], None, None, ""),
            ("lead–lag", f"ratio Σρ², {name}", row["llr"], row["llr_lo"], row["llr_hi"], ""),
        ]
    for event, name in EVENTS.items():
        path = study.response.filter((pl.col("event") == event) & (pl.col("offset_ms") == HEADLINE_MS))
        if path.height:
            at = path.row(0, named=True)
            rows.append(
                (
                    "response",
                    f"mid {HEADLINE_MS / 1e3:g} s after a {name}",
                    at["mean_bp"],
                    at["lo_bp"],
                    at["hi_bp"],
                    "bp",
                )
            )
    if len(study.capture.instruments) > 1:
        observed = study._crosses.observed_s
        total = float(study.crosses["duration_ms"].sum()) / 1e3
        rows += [
            ("crosses", "crosses net of fees", float(study.crosses.height), None, None, ""),
            (
                "crosses",
                "share of time crossed net of fees",
                total / observed * 100 if observed else None,
                None,
                None,
                "%",
            ),
            ("crosses", "median duration", study.crosses["duration_ms"].median(), None, None, "ms"),  # type: ignore[list-item]
        ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
