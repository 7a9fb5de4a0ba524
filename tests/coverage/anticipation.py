"""How often the intervals of forecasts hold the truth, on simulated pairs whose predictability is known.

    python -m tests.coverage.anticipation [--runs 500] [--seed 1]

`run(count, seed)` gives the share of runs in which each interval at 95 % covers; of `without a lead` the share in which
it does not lie above 0. Trees are left out without scikit-learn.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
from functools import cache

import numpy as np
import polars as pl
from scipy.signal import lfilter

from crossbook.study import (
    Boosted,
    Ridge,
    advice,
    anticipation_features,
    anticipation_outcomes,
    forecast_scores,
    walk_forward,
)

STEP_MS, STEPS, HORIZON_MS, LATE_MS = 10, 120_000, 500.0, 200.0
AHEAD, LATE = round(HORIZON_MS / STEP_MS), round(LATE_MS / STEP_MS)
PULL, OWN = 0.97, 0.7
"""What is left of a gap after a step; the secondary's own noise in units of the primary's."""
COLUMNS = ["basis_deviation_bp", "primary_move_1000"]
"""Few, so that what is lost by estimating their weights is small beside the width of the intervals."""
MS = 1_000_000
EMPTY = pl.DataFrame(schema={"ts_recv": pl.Int64, "price": pl.Float64, "size": pl.Float64, "side": pl.Int8})


def touches(log_mid: np.ndarray, half_spread: float = 1e-5) -> pl.DataFrame:
    mid = 100.0 * np.exp(log_mid)
    times = (1 + np.arange(mid.size)) * STEP_MS * MS
    sides = {"bid": mid * (1 - half_spread), "ask": mid * (1 + half_spread)}
    return pl.DataFrame({"ts_recv": times, **sides, "bid_size": 1.0, "ask_size": 1.0})


def follower(rng: np.random.Generator, steps: int = STEPS) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A secondary that closes 3 % of its gap to the primary a step, and hears noise of its own."""
    news, own = rng.standard_normal((2, steps)) * 1e-5 * np.array([[1.0], [OWN]])
    primary = np.cumsum(news)
    heard = (1 - PULL) * primary + own
    secondary = lfilter([0.0, 1.0], [1.0, -PULL], heard)
    return touches(primary), touches(secondary)


def follower_r2() -> float:
    """The share of the variance of the secondary's move that the gap explains.

    Over m steps: forecast `(1 - φ^m) z`, with `Var z = (1 + own²) / (1 - φ²)`; the rest is
    `Σ v_j (1 - φ^{m-1-j}) + w_j φ^{m-1-j}`.
    """
    known = (1 - PULL**AHEAD) ** 2 * (1 + OWN**2) / (1 - PULL**2)
    left = PULL ** np.arange(AHEAD)
    return float(known / (known + ((1 - left) ** 2).sum() + OWN**2 * (left**2).sum()))


def copy(rng: np.random.Generator, steps: int = STEPS) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A price, and the same 200 ms later: of a move over 500 ms two fifths are known."""
    path = np.cumsum(rng.standard_normal(steps + LATE) * 1e-5)
    return touches(path[LATE:]), touches(path[:-LATE])


def scores(pair: tuple[pl.DataFrame, pl.DataFrame], columns: list[str] | None) -> dict[str, float]:
    features = anticipation_features(pair[0], EMPTY, pair[1], EMPTY, decays_ms=(100.0, 1000.0), basis_decay_s=300.0)
    outcomes = anticipation_outcomes(features["ts"], pair[1], horizons_ms=(HORIZON_MS,))
    # A penalty shrinks forecasts on purpose; of two weights nothing needs to be shrunk.
    model = Ridge(penalties=(1e-6,)) if columns else Ridge()
    found = walk_forward(features, outcomes, horizon_ms=HORIZON_MS, columns=columns, model=model, own=False)
    return forecast_scores(found).row(0, named=True)


class Kept:
    """A model that keeps what each fold was given to forecast with."""

    def __init__(self, model: Boosted | Ridge) -> None:
        self.model, self.folds = model, []

    def fit(self, x: np.ndarray, y: np.ndarray, /, *, inner: tuple[int, int], seed: int):
        self.folds.append(self.model.fit(x, y, inner=inner, seed=seed))
        return self.folds[-1]


@cache
def unseen(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of another stretch of the follower, and what can be known of its moves there (bp)."""
    pair = follower(np.random.default_rng([seed, 1 << 40]), 2 * STEPS)
    features = anticipation_features(pair[0], EMPTY, pair[1], EMPTY, decays_ms=(100.0, 1000.0), basis_decay_s=300.0)
    primary, secondary = (np.log((frame["bid"] + frame["ask"]).to_numpy()) for frame in pair)
    at = np.searchsorted(pair[1]["ts_recv"].to_numpy(), features["ts"].to_numpy(), "right") - 1
    return features.select(COLUMNS).to_numpy(), 1e4 * (1 - PULL**AHEAD) * (primary - secondary)[at]


def own_claims(pair: tuple[pl.DataFrame, pl.DataFrame], model: Boosted | Ridge, seed: int) -> list[tuple]:
    """What is said of a model's own forecasts and what holds of them: (measure, row of scores, truth).

    Fitted on this stretch they are what they are; how they would do on any other is known, since the best forecast is,
    and with it what is left to chance: `E (y - f)² = E (μ - f)² + E (y - μ)²`.
    """
    kept = Kept(model)
    features = anticipation_features(pair[0], EMPTY, pair[1], EMPTY, decays_ms=(100.0, 1000.0), basis_decay_s=300.0)
    outcomes = anticipation_outcomes(features["ts"], pair[1], horizons_ms=(HORIZON_MS,))
    found = walk_forward(
        *(features, outcomes), horizon_ms=HORIZON_MS, columns=COLUMNS, model=kept, own=False, directions=False, folds=3
    )
    row = forecast_scores(found).row(0, named=True)
    x, best = unseen(seed)
    known = (1 - PULL**AHEAD) ** 2 * (1 + OWN**2) / (1 - PULL**2) * 0.1**2  # bp²: a step's news is 0.1 bp
    rest = known * (1 / follower_r2() - 1)
    forecasts = np.stack([predict(x) for predict in kept.folds])
    r2 = 1 - (np.square(best - forecasts).mean() + rest) / (known + rest)
    slope = (forecasts * best).mean() - forecasts.mean() * best.mean()
    return [("r2", row, r2), ("slope", row, slope / forecasts.var())]


def ideal_scores(pair: tuple[pl.DataFrame, pl.DataFrame]) -> dict[str, float]:
    """The scores of the best forecast of the follower: `(1 - φ^m) z`, nothing of it fitted."""
    primary, secondary = (np.log((frame["bid"] + frame["ask"]).to_numpy()) for frame in pair)
    at = np.arange(100, primary.size, 10)
    gap = (primary - secondary)[at] * 1e4
    known = pl.DataFrame({"ts": pair[1]["ts_recv"].gather(at), "forecast": (1 - PULL**AHEAD) * gap})
    outcomes = anticipation_outcomes(known["ts"], pair[1], horizons_ms=(HORIZON_MS,))
    nothing = [pl.lit(None, pl.Float64).alias(name) for name in ("own_forecast", "probability_up")]
    rows = outcomes.join(known, on="ts").with_columns(
        *nothing, outcome="move_bp", null_forecast=pl.lit(0.0), fold=pl.lit(0)
    )
    return forecast_scores(rows).row(0, named=True)


def quiet_market(rng: np.random.Generator, seconds: float = 300.0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A touch that never moves, one unit shown on each side, each hit by single units twice a second."""
    times = np.arange(0, round(seconds * 1000), 100) * MS + MS
    shown = pl.DataFrame({"ts_recv": times, "bid": 99.0, "ask": 101.0, "bid_size": 1.0, "ask_size": 1.0})
    hits = []
    for side, price in ((1, 101.0), (-1, 99.0)):
        count = rng.poisson(2.0 * seconds)
        when = 1 + rng.integers(0, round(seconds * 1e9), count)
        hits.append(pl.DataFrame({"ts_recv": when, "price": price, "size": 1.0, "side": side}))
    return shown, pl.concat(hits).sort("ts_recv")


def run(count: int, seed: int) -> dict[str, float]:
    """The share of `count` runs in which the interval of each measure holds the truth."""
    held: dict[str, list[bool]] = {}

    def note(name: str, row: dict[str, float], measure: str, truth: float) -> None:
        held.setdefault(name, []).append(row[f"{measure}_lo"] <= truth <= row[f"{measure}_hi"])

    r2 = follower_r2()
    models: list[tuple[str, Boosted | Ridge]] = [("the fitted weights", Ridge())]
    if importlib.util.find_spec("sklearn"):
        models.append(("trees", Boosted()))
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        pair = follower(rng)
        row = scores(pair, COLUMNS)
        note("R², a follower", row, "r2", r2)
        # Both normal with correlation √R²: the orthant probability (Sheppard 1899).
        note("hit rate, a follower", row, "hit", 0.5 + math.asin(math.sqrt(r2)) / math.pi)
        # Fitted weights are off by as much as the interval of their slope is wide; of the right ones it is 1.
        note("slope, the right weights", ideal_scores(pair), "slope", 1.0)
        for name, model in models:
            for measure, row, truth in own_claims(pair, model, seed):
                note(f"{'R²' if measure == 'r2' else measure} of {name}, about its own forecasts", row, measure, truth)
        pair = copy(rng)
        note("R², a late copy", scores(pair, COLUMNS), "r2", LATE_MS / HORIZON_MS)
        # The same pair with its roles exchanged: the secondary is a martingale, whatever is known of both.
        held.setdefault("R², without a lead, not above 0", []).append(scores(pair[::-1], None)["r2_lo"] <= 0.0)
        shown, hits = quiet_market(rng)
        orders = pl.DataFrame({"ts": np.arange(1, 290_000, 500) * MS, "horizon_ms": 1000.0, "forecast": 0.0})
        row = advice(orders, shown, hits, size=0.5, latency_ms=0.0, buckets=1).row(-1, named=True)
        # Filled by the second hit of a Poisson process of two a second; then a spread of 200 bp is saved.
        fill = 1 - math.exp(-2.0) * 3.0
        note("fill probability", {f"p{e}": row[f"fill_probability{e}"] for e in ("_lo", "_hi")}, "p", fill)
        note("value of waiting", row, "waiting_bp", 200.0 * fill)
    return {name: float(np.mean(values)) for name, values in held.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for measure, share in run(options.runs, options.seed).items():
        print(f"| {measure} | {options.runs} | {share:.1%} |")
