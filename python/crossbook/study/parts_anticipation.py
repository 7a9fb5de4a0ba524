"""The part of a study that looks ahead: what of the secondary's next move was known, and what it is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from crossbook.errors import DataError
from crossbook.study.advice import advice, forecast_trades, forecast_trades_summary
from crossbook.study.anticipation import HORIZONS_MS, anticipation_features, anticipation_outcomes
from crossbook.study.forecast import forecast_scores, reliability, walk_forward
from crossbook.study.forecasters import Ridge

if TYPE_CHECKING:
    from crossbook.study.study import Study
    from crossbook.viz.theme import Chart

__all__ = ["Part", "part"]

Row = tuple[str, str, float | None, float | None, float | None, str, str | None]
"""``part, measure, value, lo, hi, unit, bounds``, as in the summary of a study."""

INTERVAL = "95 % interval"
EVERY_MS = 100.0
MOST_DECISIONS = 5_000
"""Decisions are as far apart as leaves no more than so many."""
LATENCY_MS = 5.0
"""Assumed from a decision to the secondary's engine."""
WORTH_MS = 1_000.0
"""The horizon that is traded and advised on."""
ZERO, OWN = "no change", "the secondary's own past"


class Part(NamedTuple):
    """A part of the report."""

    rows: list[Row]
    frames: dict[str, pl.DataFrame]
    plots: list[Chart]
    sentence: str


def part(study: Study) -> Part:
    """Forecasts of the secondary's mid over 10 ms to 10 s by `Ridge`, walked forward, and what they are worth.

    Decisions every 100 ms (further apart in a long capture) on the study's clock. Trading and advice are over 1 s, with
    5 ms to the secondary's engine: trades with the study's taker fee and without fees, advice without fees, since a
    study knows no maker fee. A null row and a sentence that says why where there is too little data.
    """
    from crossbook.viz import anticipation_plots as plots

    secondary = study.labels[study.secondary.instrument.name]
    try:
        frames = _frames(study)
    except DataError as error:
        rows: list[Row] = [("anticipation", f"R² of forecasts over {WORTH_MS:g} ms", None, None, None, "", None)]
        return Part(rows, {}, [], f"Nothing was forecast: {error}.")
    rows = []
    for row in frames["forecast_scores"].iter_rows(named=True):
        over = f"over {row['horizon_ms']:g} ms"
        for name, what in (("r2", ZERO), ("r2_own", OWN)):
            if row[name] is not None:
                ends = row[f"{name}_lo"], row[f"{name}_hi"]
                measure = f"R² {over}, against {what}"
                rows.append(("anticipation", measure, row[name], *ends, "", INTERVAL if ends[0] is not None else None))
    at = frames["forecast_scores"].filter(pl.col("horizon_ms") == WORTH_MS).row(0, named=True)
    sentence = f"Nothing was forecast over {WORTH_MS:g} ms."
    if at["r2"] is not None:
        bounds = INTERVAL if at["hit_lo"] is not None else None
        hits = at["hit_rate"], at["hit_lo"], at["hit_hi"]
        rows.append(("anticipation", f"right directions over {WORTH_MS:g} ms, of moves", *hits, "", bounds))
        between = f" ({at['r2_lo']:.1%} to {at['r2_hi']:.1%})" if at["r2_lo"] is not None else ""
        hit = f", and {at['hit_rate']:.0%} of its directions" if at["hit_rate"] is not None else ""
        sentence = (
            f"What both venues showed forecasts {at['r2']:.1%}{between} of the squared moves of {secondary}'s mid over "
            f"{WORTH_MS / 1e3:g} s, out of sample{hit}."
        )
    for row in frames["forecast_trades"].iter_rows(named=True):
        measure = f"net of a trade on it, {row['fee_bp']:g} bp fee a side, {row['latency_ms']:g} ms late"
        values = row["mean_bp"], row["mean_lo"], row["mean_hi"]
        rows.append(("anticipation", measure, *values, "bp", INTERVAL if values[1] is not None else None))
    paid = frames["forecast_trades"].row(-1, named=True)
    if not paid["trades"]:
        sentence += f" No forecast exceeded what a round trip costs with {paid['fee_bp']:g} bp a side."
    elif paid["mean_bp"] is not None:
        sentence += f" Traded with {paid['fee_bp']:g} bp a side it nets {paid['mean_bp']:.2g} bp a trade."
    charts = []
    scores = frames["forecast_scores"]
    against = [
        scores.select("horizon_ms", pl.lit(what).alias("against"), *(pl.col(f"{c}{e}").alias(f"r2{e}") for e in ENDS))
        for c, what in (("r2", ZERO), ("r2_own", OWN))
    ]
    charts.append(plots.forecast_quality(pl.concat(against), names=[ZERO, OWN]))
    charts.append(plots.calibration(frames["reliability"], horizon_ms=WORTH_MS))
    table = frames["advice"]
    charts.append(plots.taking_and_posting(table))
    if table.height:
        every = table.filter(pl.col("bucket") == "all").row(0, named=True)
        for name, measure, unit in (
            ("fill_probability", f"posted orders filled within {WORTH_MS:g} ms", ""),
            ("waiting_bp", "value of waiting, without fees", "bp"),
        ):
            ends = every[f"{name}_lo"], every[f"{name}_hi"]
            rows.append(("anticipation", measure, every[name], *ends, unit, INTERVAL if ends[0] is not None else None))
    return Part(rows, frames, charts, sentence)


ENDS = ("", "_lo", "_hi")


def _frames(study: Study) -> dict[str, pl.DataFrame]:
    p, s = study.primary, study.secondary
    column = f"ts_{study.clock}"
    times = s.touches[column].filter(s.touches[column] != 0)
    span = (int(times.max()) - int(times.min())) / 1e6 if times.len() else 0.0  # type: ignore[arg-type]  # integers
    features = anticipation_features(
        p.touches,
        p.trades,
        s.touches,
        s.trades,
        every_ms=max(EVERY_MS, span / MOST_DECISIONS),
        warm_up_ms=1_000.0,
        clock=study.clock,
    )
    outcomes = anticipation_outcomes(features["ts"], s.touches, clock=study.clock)
    scores, worth = [], None
    reason: DataError | None = None
    for horizon in HORIZONS_MS:
        try:
            found = walk_forward(
                features,
                outcomes,
                horizon_ms=horizon,
                model=Ridge(),
                directions=horizon == WORTH_MS,
                folds=3,
                seed=study.seed,
            )
        except DataError as error:
            # A short capture has no room for long horizons.
            reason = error if horizon == WORTH_MS else reason
            continue
        row = forecast_scores(found, block_s=study.block_s)
        scores.append(row.select(pl.lit(horizon).alias("horizon_ms"), pl.all()))
        worth = found if horizon == WORTH_MS else worth
    if worth is None:
        raise DataError(str(reason)) from reason
    fee = study.fees[s.instrument.name]
    traded = []
    for fee_bp in dict.fromkeys((0.0, fee)):
        trades = forecast_trades(worth, s.touches, fee_bp=fee_bp, latency_ms=LATENCY_MS, clock=study.clock)
        found = forecast_trades_summary(trades, block_s=study.block_s)
        traded.append(found.select(pl.lit(fee_bp).alias("fee_bp"), pl.lit(LATENCY_MS).alias("latency_ms"), pl.all()))
    return {
        "forecasts": worth,
        "forecast_scores": pl.concat(scores),
        "reliability": reliability(worth, bins=5, block_s=study.block_s),
        "forecast_trades": pl.concat(traded),
        "advice": advice(worth, s.touches, s.trades, latency_ms=LATENCY_MS, block_s=study.block_s, clock=study.clock),
    }
