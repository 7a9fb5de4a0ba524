"""The parts of a study that are about feedback and convergence: rows for its summary, frames, plots and a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from crossbook.errors import DataError
from crossbook.study.convergence import cross_survival, median_survival, no_arbitrage_band, shock_path, threshold_basis
from crossbook.study.hawkes import HawkesFit, fit_hawkes, hawkes_residuals, hawkes_test
from crossbook.study.ou import fit_ou
from crossbook.study.races import adverse_selection
from crossbook.study.response import aggressor_orders

if TYPE_CHECKING:
    from crossbook.study.study import Study
    from crossbook.viz.theme import Chart

__all__ = ["Part", "convergence_part", "hawkes_part"]

Row = tuple[str, str, float | None, float | None, float | None, str, str | None]
"""``part, measure, value, lo, hi, unit, bounds``, as in the summary of a study."""

INTERVAL = "95 % interval"
MOST_EVENTS = 100_000
"""Of more events the first so many are fitted, so that the part stays within half a second."""
STEP_MS = 100.0
"""The step at which the basis is sampled, so that bounces between quotes do not pass for reversion."""


class Part(NamedTuple):
    """A part of the report."""

    rows: list[Row]
    frames: dict[str, pl.DataFrame]
    plots: list[Chart]
    sentence: str


def hawkes_part(study: Study) -> Part:
    """The feedback loop between the aggressor orders of both venues: a Hawkes process of two time scales.

    On the study's clock, ties by the rule ``merge``: fills of one order share an instant, and so may orders of one
    exchange millisecond. Null rows and a sentence that says why where there are too few orders.
    """
    from crossbook.viz.hawkes_plots import branching, residuals

    roles = {"primary": study.primary, "secondary": study.secondary}
    events = {study.labels[v.instrument.name]: aggressor_orders(v.trades) for v in roles.values()}
    rows: list[Row]
    try:
        fit = _fit(events, study)
    except DataError as error:
        rows = [("feedback", "spectral radius", None, None, None, "", None)]
        return Part(rows, {}, [], f"No Hawkes process was fitted: {error}.")
    summary = fit.summary.row(0, named=True)
    radius = summary["spectral_radius"], summary["radius_lo"], summary["radius_hi"]
    rows = [("feedback", "spectral radius of branching", *radius, "", INTERVAL if radius[1] is not None else None)]
    for row in fit.branching.iter_rows(named=True):
        bounds = INTERVAL if row["lo"] is not None else None
        measure = f"orders at {row['target']} caused by one at {row['source']}"
        rows.append(("feedback", measure, row["value"], row["lo"], row["hi"], "orders", bounds))
    for row in hawkes_test(fit).iter_rows(named=True):
        rows.append(("feedback", f"distance of residuals, {row['type']}", row["ks"], None, None, "", None))
    names = list(fit.names)
    found = {(r["source"], r["target"]): r["value"] for r in fit.branching.iter_rows(named=True)}
    across = found.get((names[0], names[-1]), 0.0), found.get((names[-1], names[0]), 0.0)
    sentence = (
        f"One order at {names[0]} causes {across[0]:.2f} orders at {names[-1]} directly, one at {names[-1]} causes "
        f"{across[1]:.2f} at {names[0]}; {summary['endogenous_share']:.0%} of all orders follow from others."
    )
    residual = hawkes_residuals(fit)
    frames = {"hawkes": fit.parameters, "branching": fit.branching, "hawkes_residuals": residual}
    return Part(rows, frames, [branching(fit.branching, radius=radius), residuals(residual, types=names)], sentence)


def _fit(events: dict[str, pl.DataFrame], study: Study) -> HawkesFit:
    column = f"ts_{study.clock}"
    every = pl.concat([frame.select(column) for frame in events.values()]).to_series().sort()
    every = every.filter(every != 0)
    end = int(every[MOST_EVENTS - 1]) if every.len() > MOST_EVENTS else None
    return fit_hawkes(events, components=2, clock=study.clock, ties="merge", end=end)


def convergence_part(study: Study) -> Part:
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
    sampled = _sampled(study.basis)
    fair = float(sampled["basis_bp"].median() or 0.0)  # type: ignore[arg-type]  # a float column
    lower, upper = no_arbitrage_band(
        primary_fee_bp=fees[study.primary.instrument.name],
        secondary_fee_bp=fees[study.secondary.instrument.name],
        primary_half_spread_bp=float(halves["primary"] or 0.0) / 2,  # type: ignore[arg-type]
        secondary_half_spread_bp=float(halves["secondary"] or 0.0) / 2,  # type: ignore[arg-type]
        fair_bp=fair if study.fair_basis != "none" else 0.0,
    )
    rows.append(
        ("convergence", "band that costs leave, half width", (upper - lower) / 2, lower, upper, "bp", "its edges")
    )
    charts.append(plots.band(study.basis, lower_bp=lower, upper_bp=upper))
    try:
        whole = fit_ou(sampled)
        row = whole.row(0, named=True)
        ends = row["half_life_lo_ms"], row["half_life_hi_ms"]
        rows.append(("convergence", "half-life of the basis", row["half_life_ms"], *ends, "ms", INTERVAL))
        frames |= {"basis_ou": whole, "basis_regimes": threshold_basis(sampled, lower_bp=lower, upper_bp=upper)}
        if row["half_life_ms"] is not None:
            seconds = row["half_life_ms"] / 1e3
            sentences.append(f"The basis, sampled every {STEP_MS:g} ms, has a half-life of {seconds:.2g} s.")
        spread = float(sampled["basis_bp"].std() or 0.0)  # type: ignore[arg-type]
        path, shock = shock_path(study.basis, shock_bp=max(2 * spread, 1e-6), steps=500, seed=study.seed)
        life = shock.row(0, named=True)
        ends = life["lo_ms"], life["hi_ms"]
        measure = f"half-life after a shock of {2 * spread:.2g} bp or more"
        rows.append(("convergence", measure, life["half_life_ms"], *ends, "ms", None if ends[0] is None else INTERVAL))
        frames |= {"shock_path": path}
        charts.append(plots.shock(path, half_life_ms=life["half_life_ms"]))
    except DataError as error:
        sentences.append(f"No half-life was fitted: {error}.")
    if len(study.capture.instruments) > 1:
        curves = cross_survival(study.crosses)
        everything = curves.filter(pl.col("direction") == "all").drop("direction")
        median = median_survival(everything) if everything.height else (None, None, None)
        bounds = INTERVAL if median[1] is not None else None
        rows.append(("convergence", "median duration of a cross, censoring counted", *median, "ms", bounds))
        frames |= {"cross_survival": curves}
        charts.append(plots.survival(curves, median=median))
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
    return Part(rows, frames, charts, " ".join(sentences))


def _sampled(basis: pl.DataFrame) -> pl.DataFrame:
    """The last basis of each step."""
    step = round(STEP_MS * 1e6)
    return (
        basis.select("ts", "basis_bp")
        .with_columns(ts=pl.col("ts") // step * step + step)
        .unique("ts", keep="last", maintain_order=True)
    )
