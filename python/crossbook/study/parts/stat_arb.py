"""What trading the basis back to its mean would have made."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from crossbook.errors import DataError
from crossbook.study.ou import fit_ou, zeng_lee
from crossbook.study.parts.convergence import sampled_basis
from crossbook.study.parts.part import INTERVAL, Part, Row
from crossbook.study.stat_arb import TRADES, backtest_pair, backtest_summary

if TYPE_CHECKING:
    from crossbook.study.study import Study

__all__ = ["part"]

TITLE = "Statistical arbitrage"
HEADLINE = ("statistical arbitrage", "a round trip", "bp")
LATENCIES_MS = (0.0, 1.0, 5.0, 20.0, 100.0)
HEADLINE_MS = 5.0
TERMS = {"fees_level": pl.String} | dict.fromkeys(("latency_ms", "cost_bp", "upper_bp", "lower_bp"), pl.Float64)
CAPTION = (
    "Thresholds after Zeng and Lee (2014) for the basis as an Ornstein–Uhlenbeck process: sell it above, buy it "
    "below, turn around at the other side. They are fitted on the very data that they are tried on, so this is "
    "the most that such a rule could have made here, not a forecast. Both legs take the touch that stands when "
    "the order arrives; size is not looked at."
)


def part(study: Study) -> Part:
    """The best thresholds for the basis, and what they would have made by latency, with fees and without."""
    from crossbook.viz.stat_arb_plots import profit

    sampled = sampled_basis(study.basis)
    fit = fit_ou(sampled).row(0, named=True)
    if fit["half_life_ms"] is None:
        raise DataError(f"the basis does not revert ({fit['status']})")
    deviation = fit["sigma"] / math.sqrt(2 * fit["speed"])
    sides = (study.primary, study.secondary)
    names = [side.instrument.name for side in sides]
    medians = [side.touches["spread_bp"].median() for side in sides]
    spreads = sum(float(one) for one in medians if isinstance(one, float))
    own = tuple(study.fees[name] for name in names)
    tables = []
    for level, fees in (("own", own), ("free", (0.0, 0.0))):
        # A round trip crosses both spreads and pays both fees twice. Where quotes are so narrow that it costs nothing
        # there is no best threshold; a hundredth of a deviation stands for it.
        cost = max(2 * sum(fees) + spreads, 0.01 * deviation)
        try:
            rule = zeng_lee(mean=fit["mean"], speed=fit["speed"], sigma=fit["sigma"], cost=cost).row(0, named=True)
        except DataError:
            rule = None  # a cost that the process never covers
        for latency in LATENCIES_MS:
            trades = pl.DataFrame(schema=TRADES)
            if rule is not None:
                trades = backtest_pair(
                    sides[0].touches,
                    sides[1].touches,
                    upper_bp=rule["upper"],
                    lower_bp=rule["lower"],
                    close_short_bp=rule["close_short"],
                    close_long_bp=rule["close_long"],
                    fees_bp=(fees[0], fees[1]),
                    latency_ms=(latency, latency),
                    clock=study.clock,
                )
            upper, lower = (None, None) if rule is None else (rule["upper"], rule["lower"])
            terms = (level, latency, cost, upper, lower)
            found = backtest_summary(trades, resamples=500, seed=study.seed)
            tables.append(pl.concat([pl.DataFrame([terms], schema=TERMS, orient="row"), found], how="horizontal"))
    table = pl.concat(tables)
    at = {row["fees_level"]: row for row in table.filter(latency_ms=HEADLINE_MS).iter_rows(named=True)}
    rows: list[Row] = []
    for level, words in (("own", "net of fees"), ("free", "free of fees")):
        row = at[level]
        ends = row["mean_lo"], row["mean_hi"]
        bounds = None if ends[0] is None else INTERVAL
        measure = f"a round trip at {HEADLINE_MS:g} ms, {words}"
        rows.append(("statistical arbitrage", measure, row["mean_bp"], *ends, "bp", bounds))
        rows.append(("statistical arbitrage", f"round trips, {words}", float(row["trades"]), None, None, "", None))
    if not at["own"]["trades"]:
        rows = rows[2:] + rows[:2]
    own_words = (
        f"Net of fees {at['own']['trades']:,} round trips would have made {at['own']['net_bp']:.3g} bp in all"
        if at["own"]["trades"]
        else f"A round trip costs {at['own']['cost_bp']:.3g} bp against a deviation of {deviation:.2g} bp: the best "
        "rule never trades net of fees"
    )
    free = at["free"]
    sentence = (
        f"{own_words}; free of fees {free['trades']:,} at {HEADLINE_MS:g} ms of latency would have made "
        f"{free['net_bp']:.3g} bp in all."
    )
    shown = table.select("fees_level", "latency_ms", "trades", "net_bp", "mean_bp", "mean_lo", "mean_hi", "hit_rate")
    return Part(TITLE, rows, sentence, CAPTION, [profit(table)], {"stat_arb": table}, shown)
