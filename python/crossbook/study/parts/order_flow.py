"""What the primary's order flow explains of the secondary's move; what trading costs; how impact grows with size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossbook.errors import DataError
from crossbook.study.flow_levels import flow_levels
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
    "follows the price as well as the price the flow. Flow at one to ten levels is that of the depth stream; "
    "integrated flow is its first principal component (Cont, Cucuringu and Zhang), with weights of the same bars. "
    "Orders are matched to the quote they met by the exchange's time or by their first fill."
)
BARS_MS = (100.0, 500.0, 1000.0)
IMPACT_MS = 1000.0
LEVEL_BARS_MS = 1000.0


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
    levels, between = _levels(study)
    rows += _level_rows(levels, between, (first, second))
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
    if levels.height:
        frames["flow_levels"] = levels
    if fits:
        frames["impact_fit"] = pl.concat(fits)
    charts = [
        plots.explained(explained),
        *([plots.levels(levels, venues=[first, second])] if levels.height else []),
        plots.spreads(table, venues=[first, second]),
        plots.impact(curve, frames.get("impact_fit"), venues=[first, second]),
    ]
    sentence = _sentence(explained, first, second) + _levels_sentence(levels, second)
    return Part(TITLE, rows, sentence, CAPTION, charts, frames)


def _level_rows(levels: pl.DataFrame, between: dict[str, float] | None, venues: tuple[str, str]) -> list[Row]:
    """What flow of one level, of ten and of all made into one explains, and what that moves the price by."""
    rows: list[Row] = []
    for one in levels.filter((pl.col("levels") == 1) | (pl.col("levels") == pl.col("levels").max())).iter_rows(
        named=True
    ):
        whole = one["flow"] == "integrated"
        what = f"integrated flow of {one['levels']} levels" if whole else f"flow at its best {one['levels']} levels"
        what = "flow at its best level" if one["levels"] == 1 and not whole else what
        share = 100 * one["adjusted_r2"], 100 * one["lo"], 100 * one["hi"]
        rows.append(("order flow", f"share of its moves that {what} explains, {one['venue']}", *share, "%", INTERVAL))
        if whole:
            slope = one["coefficient"], one["coefficient_lo"], one["coefficient_hi"]
            rows.append(("order flow", f"move with {what}, {one['venue']}", *slope, "bp a mean level", INTERVAL))
    if between is not None:
        added = 100 * between["incremental_r2"], 100 * between["incremental_lo"], 100 * between["incremental_hi"]
        measure = f"share of {venues[1]}'s moves that {venues[0]}'s integrated flow adds"
        rows.append(("order flow", measure, *added, "%", INTERVAL))
    return rows


def _levels(study: Study) -> tuple[pl.DataFrame, dict[str, float] | None]:
    """`flow_levels` of each venue's book, and `cross_flow` of what its levels make together."""
    venues = {study.labels[v.instrument.name]: v for v in (study.primary, study.secondary)}
    column = pl.col(f"ts_{study.clock}")
    known = [v.flow.filter(column != 0) for v in venues.values()]
    if any(flow.is_empty() for flow in known):
        return pl.DataFrame(schema={"flow": pl.String, "levels": pl.Int64, "venue": pl.String}), None
    begin = max(int(flow[f"ts_{study.clock}"][0]) for flow in known)
    found, bars = [], {}
    for name, venue in venues.items():
        bars[name] = flow_bars(venue.flow, every_ms=LEVEL_BARS_MS, clock=study.clock, start=begin, end=study.shared_end)
        try:
            found.append(flow_levels(bars[name]).with_columns(venue=pl.lit(name)))
        except DataError:
            continue  # a short capture, or a book that shows fewer levels
    if not found:
        return pl.DataFrame(schema={"flow": pl.String, "levels": pl.Int64, "venue": pl.String}), None
    first, second = bars
    try:
        between = cross_flow(
            integrated_flow(bars[first]), integrated_flow(bars[second]), resamples=200, seed=study.seed
        ).row(0, named=True)
    except DataError:
        between = None
    return pl.concat(found), between


def _levels_sentence(levels: pl.DataFrame, second: str) -> str:
    """What ten levels say more than the best one."""
    mine = levels.filter(pl.col("venue") == second)
    if mine.is_empty():
        return ""
    best = mine.filter((pl.col("flow") != "integrated") & (pl.col("levels") == 1)).row(0, named=True)
    most = mine.filter(pl.col("flow") != "integrated").row(-1, named=True)
    return (
        f" Of moves at {second} over {LEVEL_BARS_MS / 1e3:g} s flow at its best level explains "
        f"{100 * best['adjusted_r2']:.0f} % ({100 * best['lo']:.0f} to {100 * best['hi']:.0f}), at its best "
        f"{most['levels']} levels {100 * most['adjusted_r2']:.0f} % ({100 * most['lo']:.0f} to {100 * most['hi']:.0f})."
    )


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
