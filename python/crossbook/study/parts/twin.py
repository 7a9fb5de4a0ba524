"""Where the lead stands against venues that only mark to each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from crossbook.study.parts.part import Part, Row
from crossbook.study.twin import against_twin

if TYPE_CHECKING:
    from crossbook.study.study import Study

__all__ = ["part"]

TITLE = "Lead against the feedback twin"
HEADLINE = ("lead–lag", "ratio Σρ² against twins", "")
RUNS, MAX_LAG_MS, STEP_MS = 39, 500.0, 5.0
"""As many twins as 95 % need, and lags up to where leads lie, so that the part stays within half a second."""
BOUNDS = "95 % of feedback twins"


def part(study: Study) -> Part:
    """Where a study's lead of quote mids stands against feedback twins."""
    from crossbook.viz.discovery_plots import twin as plot

    sides = (study.primary, study.secondary)
    frames = [side.quotes if side.quotes.height > 1 else side.depth for side in sides]
    found = against_twin(
        *frames,
        runs=RUNS,
        clock=study.clock,
        max_lag_ms=MAX_LAG_MS,
        step_ms=STEP_MS,
        block_s=study.block_s,
        resamples=100,
        seed=study.seed,
    )
    by = {row["measure"]: row for row in found.summary.iter_rows(named=True)}
    ratio, lag = by["log_llr"], by["peak_lag_ms"]
    ratios = [math.exp(ratio[name]) for name in ("value", "twin_lo", "twin_hi")]
    lags = [lag[name] for name in ("value", "twin_lo", "twin_hi")]
    rows: list[Row] = [
        (*HEADLINE[:2], ratios[0], ratios[1], ratios[2], "", BOUNDS),
        ("lead–lag", "ratio Σρ² against twins: p", ratio["p_value"], None, None, "", None),
        ("lead–lag", "peak lag against twins", lags[0], lags[1], lags[2], "ms", BOUNDS),
        ("lead–lag", "peak lag against twins: p", lag["p_value"], None, None, "", None),
    ]
    sentence = (
        "The lead is more than mutual marking at these times would show: its ratio lies beyond 95 % of feedback twins "
        "(in brackets)."
        if ratio["beyond"]
        else "Two venues that only mark to each other, seen at these times, could show this lead: its ratio lies "
        "within 95 % of feedback twins (in brackets)."
    )
    caption = (
        f"{RUNS} simulated pairs at the real times of quotes: each venue moves towards what the other last showed and "
        f"neither leads; half of a gap is gone in {found.half_life_ms:.3g} ms, which makes them as correlated as the "
        "real pair. The p-value is the real pair's rank among them."
    )
    charts = [plot(found.curve, half_life_ms=found.half_life_ms)]
    return Part(TITLE, rows, sentence, caption, charts, {"twin": found.curve, "twin_summary": found.summary})
