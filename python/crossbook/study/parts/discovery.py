"""Whose prices last: information shares of the two venues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossbook.study.discovery import aligned_prices, price_discovery
from crossbook.study.parts.part import INTERVAL, Part, Row

if TYPE_CHECKING:
    from crossbook.study.study import Study

__all__ = ["part"]

TITLE = "Price discovery"
HEADLINE = ("price discovery", "component share", "")
STEP_MS, MAX_LAGS = 100.0, 20
SHARES = {
    "component_share": "component share",
    "information_share": "information share",
    "modified_information_share": "modified information share",
    "information_leadership_share": "information leadership share",
}
CAPTION = (
    f"Log mids every {STEP_MS:g} ms in an error-correction model, lags by an information criterion of up to "
    f"{MAX_LAGS}. The component share is a venue's weight in the common trend, the information share its part of "
    "the trend's variance, which depends on who is asked first; the others are conventions that do not. "
    "Intervals: stationary bootstrap."
)


def part(study: Study) -> Part:
    """Price discovery of a study's two venues."""
    from crossbook.viz.discovery_plots import discovery as plot

    sides = {study.labels[side.instrument.name]: side.touches for side in (study.primary, study.secondary)}
    prices = aligned_prices(sides, clock=study.clock, every_ms=STEP_MS)
    found = price_discovery(prices, seed=study.seed, resamples=500, max_lags=MAX_LAGS)
    rows: list[Row] = []
    for measure, words in SHARES.items():
        for row in found.shares.filter(measure=measure).iter_rows(named=True):
            values = row["value"], row["lo"], row["hi"]
            bounds = None if row["lo"] is None else INTERVAL
            rows.append(("price discovery", f"{words}, {row['venue']}", *values, "", bounds))
    speed = found.adjustment.row(0, named=True)
    life = speed["half_life_ms"], speed["half_life_ms_lo"], speed["half_life_ms_hi"]
    rows.append(("price discovery", "half-life of a gap", *life, "ms", None if life[1] is None else INTERVAL))
    share = found.shares.filter(measure="component_share").sort("value", descending=True).row(0, named=True)
    its = found.shares.filter(venue=share["venue"])
    low, high = (its.filter(measure=f"information_share_{which}")["value"][0] for which in ("lo", "hi"))
    between = "" if share["lo"] is None else f", {share['lo']:.0%} to {share['hi']:.0%}"
    sentence = (
        f"{share['venue']} makes up {share['value']:.0%} of the common trend (component share{between}); its "
        f"information share lies between {low:.0%} and {high:.0%} by the ordering alone"
    )
    sentence += "." if life[0] is None else f", and half of a gap has closed after {life[0]:,.0f} ms."
    frames = {"price_discovery": found.shares, "adjustment": found.adjustment}
    return Part(TITLE, rows, sentence, CAPTION, [plot(found.shares)], frames)
