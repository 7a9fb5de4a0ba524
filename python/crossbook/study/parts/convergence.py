"""How the basis comes back, how long crosses last, and who loses to the informed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossbook.errors import DataError
from crossbook.study.convergence import cross_survival, median_survival, no_arbitrage_band, shock_path, threshold_basis
from crossbook.study.ou import fit_ou
from crossbook.study.parts.part import INTERVAL, Part, Row
from crossbook.study.races import adverse_selection

if TYPE_CHECKING:
    from crossbook.study.study import Study
    from crossbook.viz.theme import Chart

__all__ = ["part", "sampled_basis"]

TITLE = "Convergence"
HEADLINE = ("convergence", "half-life of the basis", "ms")
NEVER = "both venues' touches were never known at the same time"
STEP_MS = 100.0
"""The step at which the basis is sampled, so that bounces between quotes do not pass for reversion."""
CAPTION = (
    f"The basis every {STEP_MS:g} ms as an Ornstein–Uhlenbeck process by exact maximum likelihood. The band is "
    "what taking both touches costs at the median spread, around the fair basis if one is taken off. Survival "
    "counts crosses that the end of the data cut off as far as they were seen. Price impact is both ways, from "
    "the mid before an order."
)


def part(study: Study) -> Part:
    """How the basis comes back: the band of costs, half-lives, how long crosses last, who loses to the informed."""
    from crossbook.viz import convergence_plots as plots

    rows: list[Row] = []
    frames: dict[str, pl.DataFrame] = {}
    charts: list[Chart] = []
    sentences: list[str] = []
    labels = study.labels
    fees = {i.name: i.taker_fee_bp for i in study.capture.instruments} | study.fees_bp
    venues = {"primary": study.primary, "secondary": study.secondary}
    halves = {role: venue.touches["spread_bp"].median() for role, venue in venues.items()}
    if study.basis.is_empty():
        raise DataError(NEVER)
    sampled = sampled_basis(study.basis)
    fair = float(sampled["basis_bp"].median() or 0.0)  # type: ignore[arg-type]  # a float column
    lower, upper = no_arbitrage_band(
        primary_fee_bp=fees[study.primary.instrument.name],
        secondary_fee_bp=fees[study.secondary.instrument.name],
        primary_half_spread_bp=float(halves["primary"] or 0.0) / 2,  # type: ignore[arg-type]
        secondary_half_spread_bp=float(halves["secondary"] or 0.0) / 2,  # type: ignore[arg-type]
        fair_bp=fair if study.fair_basis != "none" else 0.0,
    )
    charts.append(plots.band(study.basis, lower_bp=lower, upper_bp=upper))
    try:
        whole = fit_ou(sampled)
        row = whole.row(0, named=True)
        ends = row["half_life_lo_ms"], row["half_life_hi_ms"]
        half_life = (*HEADLINE[:2], row["half_life_ms"], *ends, "ms", INTERVAL)
        frames |= {"basis_ou": whole, "basis_regimes": threshold_basis(sampled, lower_bp=lower, upper_bp=upper)}
        if row["half_life_ms"] is not None:
            seconds = row["half_life_ms"] / 1e3
            sentences.append(f"The basis, sampled every {STEP_MS:g} ms, has a half-life of {seconds:.2g} s.")
        spread = float(sampled["basis_bp"].std() or 0.0)  # type: ignore[arg-type]
        path, shock = shock_path(study.basis, shock_bp=max(2 * spread, 1e-6), steps=500, seed=study.seed)
        life = shock.row(0, named=True)
        ends = life["lo_ms"], life["hi_ms"]
        measure = f"half-life after a shock of {2 * spread:.2g} bp or more"
        bounds = None if ends[0] is None else INTERVAL
        rows += [half_life, ("convergence", measure, life["half_life_ms"], *ends, "ms", bounds)]
        frames |= {"shock_path": path}
        charts.append(plots.shock(path, half_life_ms=life["half_life_ms"]))
    except DataError as error:
        rows.append((*HEADLINE[:2], None, None, None, "ms", None))
        sentences.append(f"No half-life was fitted: {error}.")
    edges = (upper - lower) / 2, lower, upper
    rows.append(("convergence", "band that costs leave, half width", *edges, "bp", "its edges"))
    # Where fees leave no cross, how long the venues overlap without them still says how fast they adjust.
    crosses, terms = (study.crosses, "net of fees") if study.crosses.height else (study.free_crosses, "free of fees")
    curves = cross_survival(crosses)
    everything = curves.filter(pl.col("direction") == "all").drop("direction")
    median = median_survival(everything) if everything.height else (None, None, None)
    bounds = INTERVAL if median[1] is not None else None
    rows.append(("convergence", f"median duration of a cross {terms}, censoring counted", *median, "ms", bounds))
    frames |= {"cross_survival": curves}
    charts.append(plots.survival(curves, median=median, terms=terms))
    lost = []
    for venue in venues.values():
        found = adverse_selection(venue.trades, venue.touches, clock=study.clock, seed=study.seed)
        name = labels[venue.instrument.name]
        lost.append(found.with_columns(venue=pl.lit(name)))
        at = found.filter(pl.col("horizon_ms") == 1000.0).row(0, named=True)
        bounds = INTERVAL if at["impact_lo"] is not None else None
        values = at["impact_bp"], at["impact_lo"], at["impact_hi"]
        rows.append(("convergence", f"price impact after 1 s, {name}", *values, "bp", bounds))
    table = pl.concat(lost)
    frames |= {"adverse_selection": table}
    charts.append(plots.adverse_selection(table, venues=[labels[v.instrument.name] for v in venues.values()]))
    known = table.filter(pl.col("horizon_ms") == 1000.0).drop_nulls("impact_bp")
    if known.height == 2:
        first = known.sort("impact_bp", descending=True).row(0, named=True)
        impact = first["impact_bp"]
        sentences.append(f"Orders at {first['venue']} move their own mid more: {impact:.2g} bp, both ways, after 1 s.")
    return Part(TITLE, rows, " ".join(sentences) or "Too little was seen.", CAPTION, charts, frames)


def sampled_basis(basis: pl.DataFrame) -> pl.DataFrame:
    """The last basis of each step."""
    step = round(STEP_MS * 1e6)
    return (
        basis.select("ts", "basis_bp")
        .with_columns(ts=pl.col("ts") // step * step + step)
        .unique("ts", keep="last", maintain_order=True)
    )
