"""The feedback loop between the aggressor orders of both venues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossbook.study.hawkes import HawkesFit, fit_hawkes, hawkes_residuals, hawkes_test
from crossbook.study.parts.part import INTERVAL, Part, Row
from crossbook.study.response import aggressor_orders

if TYPE_CHECKING:
    from crossbook.study.study import Study

__all__ = ["part"]

TITLE = "Feedback between the venues"
HEADLINE = ("feedback", "spectral radius of branching", "")
CAPTION = (
    "A Hawkes process of two time scales by joint maximum likelihood, decays included. The radius is the share of"
    " orders that follow from others; at 1 the loop would feed itself for ever. Residuals are exponential if the "
    "model is right. What excites both venues at once, such as news, passes for one exciting the other."
)
MOST_EVENTS = 100_000
"""Of more events the first so many are fitted, so that the part stays within half a second."""


def part(study: Study) -> Part:
    """The feedback loop between the aggressor orders of both venues: a Hawkes process of two time scales.

    On the study's clock, ties by the rule ``merge``: fills of one order share an instant, and so may orders of one
    exchange millisecond. Raises `DataError` where there are too few orders.
    """
    from crossbook.viz.hawkes_plots import branching, residuals

    roles = {"primary": study.primary, "secondary": study.secondary}
    events = {study.labels[v.instrument.name]: aggressor_orders(v.trades) for v in roles.values()}
    fit = _fit(events, study)
    summary = fit.summary.row(0, named=True)
    radius = summary["spectral_radius"], summary["radius_lo"], summary["radius_hi"]
    rows: list[Row] = [(*HEADLINE[:2], *radius, HEADLINE[2], INTERVAL if radius[1] is not None else None)]
    for row in fit.branching.iter_rows(named=True):
        bounds = INTERVAL if row["lo"] is not None else None
        measure = f"orders at {row['target']} caused by one at {row['source']}"
        rows.append(("feedback", measure, row["value"], row["lo"], row["hi"], "orders", bounds))
    rows += [
        ("feedback", f"distance of residuals, {row['type']}", row["ks"], None, None, "", None)
        for row in hawkes_test(fit).iter_rows(named=True)
    ]
    names = list(fit.names)
    found = {(r["source"], r["target"]): r["value"] for r in fit.branching.iter_rows(named=True)}
    across = found.get((names[0], names[-1]), 0.0), found.get((names[-1], names[0]), 0.0)
    sentence = (
        f"One order at {names[0]} causes {across[0]:.2f} orders at {names[-1]} directly, one at {names[-1]} causes "
        f"{across[1]:.2f} at {names[0]}; {summary['endogenous_share']:.0%} of all orders follow from others."
    )
    residual = hawkes_residuals(fit)
    frames = {"hawkes": fit.parameters, "branching": fit.branching, "hawkes_residuals": residual}
    charts = [branching(fit.branching, radius=radius), residuals(residual, types=names)]
    return Part(TITLE, rows, sentence, CAPTION, charts, frames)


def _fit(events: dict[str, pl.DataFrame], study: Study) -> HawkesFit:
    column = f"ts_{study.clock}"
    every = pl.concat([frame.select(column) for frame in events.values()]).to_series().sort()
    every = every.filter(every != 0)
    end = int(every[MOST_EVENTS - 1]) if every.len() > MOST_EVENTS else None
    return fit_hawkes(events, components=2, clock=study.clock, ties="merge", end=end)
