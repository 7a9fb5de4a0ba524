"""What the primary's order flow explains of the secondary's move; what trading costs; how impact grows with size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossbook.errors import DataError
from crossbook.study.impact import fit_impact, impact_curve, order_impacts
from crossbook.study.order_flow import cross_flow, flow_bars, integrated_flow, quote_flow
from crossbook.study.parts.part import INTERVAL, Part, Row
from crossbook.study.spreads import spreads

if TYPE_CHECKING:
    from crossbook.study.study import Study

__all__ = ["part"]

TITLE = "Order flow and impact"
HEADLINE = ("order flow", "share of the secondary's move that the primary's flow adds, bars of 1 s", "%")
CAPTION = (
    "Order-flow imbalance at the touch (Cont, Kukanov and Stoikov), over the mean size there, summed over bars of our "
    "choice; least squares of a bar's move on the flow of the same bar, errors by Newey and West. Within a bar flow "
    "follows the price as well as the price the flow. Orders are matched to the quote they met by the exchange's time "
    "or by their first fill."
)
BARS_MS = (100.0, 500.0, 1000.0)
IMPACT_MS = 1000.0


def part(study: Study) -> Part:
    """Order flow across the venues, spreads and impact of each. Raises `DataError` where there are too few bars."""
    from crossbook.viz import order_flow_plots as plots

    venues = {study.labels[v.instrument.name]: v for v in (study.primary, study.secondary)}
    first, second = venues
    explained = _explained(study)
    rows: list[Row] = []
    for one in explained.filter(pl.col("venue") == second).sort("every_ms", descending=True).iter_rows(named=True):
        bars = f"bars of {one['every_ms'] / 1e3:g} s"
        added = (one[name] * 100 for name in ("incremental_r2", "incremental_lo", "incremental_hi"))
        rows.append(
            ("order flow", f"share of the secondary's move that the primary's flow adds, {bars}", *added, "%", INTERVAL)
        )
        own = ("order flow", f"share of the secondary's move that its own flow explains, {bars}", one["own_r2"] * 100)
        rows.append((*own, None, None, "%", None))
    costs, curves, fits = [], [], []
    for name, venue in venues.items():
        cost = spreads(venue.trades, venue.touches, horizons_ms=[IMPACT_MS], clock=study.clock, seed=study.seed)
        costs.append(cost.with_columns(venue=pl.lit(name)))
        paid = cost.row(0, named=True)
        for kind in ("quoted", "effective"):
            ends = paid[f"{kind}_lo"], paid[f"{kind}_hi"]
            bounds = INTERVAL if ends[0] is not None else None
            rows.append(("spreads", f"{kind} spread, {name}", paid[f"{kind}_bp"], *ends, "bp", bounds))
        impacts = order_impacts(venue.trades, venue.touches, horizon_ms=IMPACT_MS, clock=study.clock)
        curves.append(impact_curve(impacts, block_s=study.block_s).with_columns(venue=pl.lit(name)))
        try:
            # In bp of an order of one unit of the base currency.
            fit = fit_impact(impacts, volume=1.0, block_s=study.block_s)
        except DataError:
            rows.append(("impact", f"exponent of size, {name}", None, None, None, "", None))
            continue
        fits.append(fit.with_columns(venue=pl.lit(name), scale=pl.lit(1.0)))
        power = fit.row(1, named=True)
        ends = power["exponent_lo"], power["exponent_hi"]
        bounds = INTERVAL if ends[0] is not None else None
        rows.append(("impact", f"exponent of size, {name}", power["exponent"], *ends, "", bounds))
    table, curve = pl.concat(costs), pl.concat(curves)
    frames = {"order_flow": explained, "spreads": table, "impact": curve}
    if fits:
        frames["impact_fit"] = pl.concat(fits)
    charts = [
        plots.explained(explained),
        plots.spreads(table, venues=[first, second]),
        plots.impact(curve, frames.get("impact_fit"), venues=[first, second]),
    ]
    return Part(TITLE, rows, _sentence(explained, first, second), CAPTION, charts, frames)


def _explained(study: Study) -> pl.DataFrame:
    """`cross_flow` both ways, at each length of bar."""
    venues = {study.labels[v.instrument.name]: v for v in (study.primary, study.secondary)}
    flows = {name: quote_flow(venue.touches) for name, venue in venues.items()}
    if any(flow.is_empty() for flow in flows.values()):
        raise DataError("expected touches of both venues, found none of one")
    begin = max(int(flow[f"ts_{study.clock}"][0]) for flow in flows.values())
    found = []
    for every in BARS_MS:
        bars = {
            name: integrated_flow(flow_bars(flow, every_ms=every, clock=study.clock, start=begin, end=study.shared_end))
            for name, flow in flows.items()
        }
        for ours, theirs in (tuple(bars), tuple(bars)[::-1]):
            try:
                one = cross_flow(bars[theirs], bars[ours], resamples=200, seed=study.seed)
            except DataError:
                continue  # a short capture may have enough short bars only
            found.append(
                one.select(
                    pl.lit(ours).alias("venue"),
                    pl.lit(theirs).alias("other"),
                    pl.lit(every).alias("every_ms"),
                    pl.all(),
                )
            )
    if not found:
        raise DataError("expected bars in which flow at both venues moves, found too few")
    return pl.concat(found)


def _sentence(explained: pl.DataFrame, first: str, second: str) -> str:
    """What both ways say at the longest bars that there are."""
    last = explained.filter(pl.col("every_ms") == explained["every_ms"].max())
    added = {row["venue"]: row for row in last.iter_rows(named=True)}
    parts = []
    for ours, theirs in ((second, first), (first, second)):
        if (row := added.get(ours)) is not None:
            lo, hi = (100 * row[f"incremental_{end}"] for end in ("lo", "hi"))
            parts.append(
                f"flow at {theirs} adds {100 * row['incremental_r2']:.1f} points ({lo:.1f} to {hi:.1f}) to the "
                f"{100 * row['own_r2']:.0f} % of moves at {ours} that its own flow explains"
            )
    return f"In bars of {float(last['every_ms'][0]) / 1e3:g} s " + "; ".join(parts) + "."
