"""What of the secondary's next move could be told, what trading on it makes, and whether to take or to post."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import polars as pl

from crossbook.errors import DataError
from crossbook.study.advice import advice, forecast_trades, forecast_trades_summary
from crossbook.study.anticipation import HORIZONS_MS, TARGETS, anticipation_features, anticipation_outcomes
from crossbook.study.forecast import forecast_scores, reliability, walk_forward
from crossbook.study.forecasters import Ridge
from crossbook.study.parts.part import INTERVAL, Part, Row
from crossbook.study.series import Clock

if TYPE_CHECKING:
    from crossbook.study.study import Study

__all__ = ["part"]

EVERY_MS = 100.0
MOST_DECISIONS = 5_000
"""Decisions are as far apart as leaves no more than so many."""
LATENCY_MS = 5.0
"""Assumed from a decision to the secondary's engine."""
WORTH_MS = 1_000.0
"""The horizon that is traded and advised on."""
MID = "move_bp"
ZERO, OWN = "no change", "the secondary's own past"
ENDS = ("", "_lo", "_hi")


class _Terms(TypedDict):
    latency_ms: float
    block_s: float
    clock: Clock


TITLE = "Anticipation"
HEADLINE = ("anticipation", f"share of squared moves forecast over {WORTH_MS:g} ms, against {ZERO}", "%")
CAPTION = (
    "Ridge regression on what both venues had shown by each decision, fitted to the past and judged on what came "
    "after (walk-forward; training outcomes that reach into the test are purged); intervals leave out one block of "
    "time after another. Orders reach the secondary 5 ms after the decision. Trades take the touch; posted orders "
    "stand behind the whole queue and are taken at the end if not filled. What own orders do to the market is not in "
    "it, and one capture is one day."
)


def part(study: Study) -> Part:
    """Forecasts of the secondary's mid over 10 ms to 10 s by `Ridge`, walked forward, and what they are worth.

    The spread and the size at the touch are forecast over 1 s.

    Decisions every 100 ms (further apart in a long capture) on the study's clock. Trading and advice are over 1 s, with
    5 ms to the secondary's engine, with the study's fees (`Study.costs`: the maker's for orders that are posted and
    filled) and without. Raises `DataError` where there is too little data for forecasts over 1 s.
    """
    from crossbook.viz import anticipation_plots as plots

    frames = _frames(study)
    every_score, trades, table = (frames[name] for name in ("forecast_scores", "forecast_trades", "advice"))
    scores = every_score.filter(pl.col("target") == MID)
    at = scores.filter(pl.col("horizon_ms") == WORTH_MS).row(0, named=True)
    rows = [_row(HEADLINE[1], at, "r2", "%")]
    for one in scores.iter_rows(named=True):
        for name, what in (("r2", ZERO), ("r2_own", OWN)):
            measure = f"share of squared moves forecast over {one['horizon_ms']:g} ms, against {what}"
            if measure != HEADLINE[1]:
                rows.append(_row(measure, one, name, "%"))
    for one in every_score.filter(pl.col("target") != MID).iter_rows(named=True):
        name = {"spread_change_bp": "the spread", "depth_change": "the log of the size at the touch"}[one["target"]]
        over = f"over {one['horizon_ms']:g} ms, against its own reversion"
        rows.append(_row(f"share of squared changes of {name} forecast {over}", one, "r2", "%"))
    rows.append(_row(f"right directions over {WORTH_MS:g} ms, of moves", at | {"hit": at["hit_rate"]}, "hit", "%"))
    for one in trades.iter_rows(named=True):
        measure = f"net of a trade on it, {one['fee_bp']:g} bp fee a side, {one['latency_ms']:g} ms late"
        rows.append(_row(measure, one | {"mean": one["mean_bp"]}, "mean", "bp"))
    if table.height:
        every = table.filter(pl.col("bucket") == "all").row(0, named=True)
        rows.append(_row(f"posted orders filled within {WORTH_MS:g} ms", every, "fill_probability", "%"))
        rows.append(_row("value of waiting, without fees", every, "waiting_bp", "bp"))
        paid = frames["advice_after_fees"].filter(pl.col("bucket") == "all").row(0, named=True)
        maker, taker = (
            float(study.costs[study.secondary.instrument.name].affine(liquidity=liquidity)[0])
            for liquidity in ("maker", "taker")
        )
        rows.append(_row(f"value of waiting, {maker:g} bp as maker, {taker:g} as taker", paid, "waiting_bp", "bp"))
    against = [
        scores.select("horizon_ms", pl.lit(what).alias("against"), *(pl.col(f"{c}{e}").alias(f"r2{e}") for e in ENDS))
        for c, what in (("r2", ZERO), ("r2_own", OWN))
    ]
    charts = [
        plots.forecast_quality(pl.concat(against), names=[ZERO, OWN]),
        plots.calibration(frames["reliability"], horizon_ms=WORTH_MS),
        plots.taking_and_posting(table),
    ]
    secondary = study.labels[study.secondary.instrument.name]
    return Part(TITLE, rows, _sentence(secondary, at, trades), CAPTION, charts, frames)


def _row(measure: str, found: dict[str, float | None], name: str, unit: str) -> Row:
    scale = 100 if unit == "%" else 1
    value, lo, hi = (None if (v := found[f"{name}{end}"]) is None else v * scale for end in ENDS)
    return ("anticipation", measure, value, lo, hi, unit, INTERVAL if lo is not None else None)


def _sentence(secondary: str, at: dict[str, float | None], trades: pl.DataFrame) -> str:
    """What was forecast, and what is left of it after costs."""
    if at["r2"] is None:
        return f"The mid of {secondary} never moved, so there was nothing to forecast."
    between = f" ({at['r2_lo']:.1%} to {at['r2_hi']:.1%})" if at["r2_lo"] is not None else ""
    hit = f", and {at['hit_rate']:.0%} of its directions" if at["hit_rate"] is not None else ""
    sentence = (
        f"What both venues showed forecasts {at['r2']:.1%}{between} of the squared moves of {secondary}'s mid over "
        f"{WORTH_MS / 1e3:g} s, out of sample{hit}."
    )
    paid = trades.row(-1, named=True)
    if not paid["trades"]:
        return f"{sentence} No forecast exceeded what a round trip costs with {paid['fee_bp']:g} bp a side."
    return f"{sentence} Traded with {paid['fee_bp']:g} bp a side it nets {paid['mean_bp']:.2g} bp a trade."


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
    # The mid over every horizon; the spread and the size at the touch over the one that is traded.
    rest = [(target, WORTH_MS) for target in TARGETS if target != MID]
    for target, horizon in [*((MID, horizon) for horizon in HORIZONS_MS), *rest]:
        try:
            found = walk_forward(
                features,
                outcomes,
                target=target,
                horizon_ms=horizon,
                model=Ridge(),
                directions=horizon == WORTH_MS,
                folds=3,
                seed=study.seed,
            )
        except DataError as error:
            # A short capture has no room for long horizons.
            reason = error if (target, horizon) == (MID, WORTH_MS) else reason
            continue
        row = forecast_scores(found, block_s=study.block_s)
        scores.append(row.select(pl.lit(target).alias("target"), pl.lit(horizon).alias("horizon_ms"), pl.all()))
        worth = found if (target, horizon) == (MID, WORTH_MS) else worth
    if worth is None:
        raise DataError(str(reason)) from reason
    fee = study.fees[s.instrument.name]
    traded = []
    for fee_bp in dict.fromkeys((0.0, fee)):
        trades = forecast_trades(worth, s.touches, fee_bp=fee_bp, latency_ms=LATENCY_MS, clock=study.clock)
        found = forecast_trades_summary(trades, block_s=study.block_s)
        traded.append(found.select(pl.lit(fee_bp).alias("fee_bp"), pl.lit(LATENCY_MS).alias("latency_ms"), pl.all()))
    terms: _Terms = {"latency_ms": LATENCY_MS, "block_s": study.block_s, "clock": study.clock}
    return {
        "forecasts": worth,
        "forecast_scores": pl.concat(scores),
        "reliability": reliability(worth, bins=5, block_s=study.block_s),
        "forecast_trades": pl.concat(traded),
        "advice": advice(worth, s.touches, s.trades, **terms),
        "advice_after_fees": advice(worth, s.touches, s.trades, costs=study.costs[s.instrument.name], **terms),
    }
