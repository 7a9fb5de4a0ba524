"""How often intervals of price discovery and of the lead hold the truth, on simulated pairs with known shares and lags.

    python -m tests.coverage.discovery [--runs 500] [--seed 1]

`run(count, seed)` gives the share of runs in which each interval at 95 % covers.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import polars as pl

from crossbook.study import price_discovery
from crossbook.study.lead_lag import lead_lag_summary
from crossbook.study.shares import information_shares

ALPHA, CORRELATION = (-0.025, 0.05), 0.5
"""Baillie, Booth, Tse & Zabotina (2002), section 2: the example whose shares they work out."""
MS = 1_000_000


def error_correction(rng: np.random.Generator, rows: int) -> pl.DataFrame:
    """Log prices of two venues with `Δx = α z + e`, heavy-tailed residuals whose variance comes in spells."""
    factor = np.linalg.cholesky([[1.0, CORRELATION], [CORRELATION, 1.0]])
    spells = np.repeat(rng.choice([0.5, 1.5], rows // 100 + 1), 100)[:rows, None]
    noise = (rng.standard_t(6, (rows, 2)) @ factor.T) * spells * 1e-5
    prices = np.empty((rows, 2))
    x, y = 0.0, 0.0
    for row, (a, b) in enumerate(noise.tolist()):
        z = x - y
        x, y = x + ALPHA[0] * z + a, y + ALPHA[1] * z + b
        prices[row] = x, y
    return pl.DataFrame(prices + math.log(60_000), schema=["a", "b"])


def shifted(rng: np.random.Generator, lag_ms: float, seconds: float, rate: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One Brownian price; the secondary shows it `lag_ms` later; each is seen at Poisson times of its own."""
    grid = np.cumsum(rng.standard_normal(round(seconds * 1000) + 2000)) * 1e-5
    frames = []
    for delay in (0.0, lag_ms):
        times = np.unique(rng.integers(0, round(seconds * 1e9), round(seconds * rate)))
        known = 1000 + times // MS - round(delay)
        frames.append(pl.DataFrame({"ts_recv": times + 1, "mid": np.exp(grid[known])}))
    return frames[0], frames[1]


def run(count: int, seed: int) -> dict[str, float]:
    """The share of `count` runs in which the interval of each measure holds the truth."""
    sigma = np.array([[1.0, CORRELATION], [CORRELATION, 1.0]])
    truth = information_shares(np.array(ALPHA), sigma, names=["a", "b"]).row(0, named=True)
    half_life = math.log(0.5) / math.log(1 + ALPHA[0] - ALPHA[1])
    names = ("information_share_lo", "information_share_hi", "component_share", "modified_information_share")
    held: dict[str, list[bool]] = {}
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        found = price_discovery(error_correction(rng, 10_000), lags=1, resamples=400, seed=number)
        mine = found.shares.filter(pl.col("venue") == "a")
        for name in (*names, "information_leadership_share"):
            row = mine.filter(pl.col("measure") == name).row(0, named=True)
            held.setdefault(name, []).append(row["lo"] <= truth[name] <= row["hi"])
        for venue, alpha in enumerate(ALPHA):
            row = found.adjustment.row(venue, named=True)
            held.setdefault(f"speed {venue + 1}", []).append(row["alpha_lo"] <= alpha <= row["alpha_hi"])
        held.setdefault("half-life", []).append(row["half_life_lo"] <= half_life <= row["half_life_hi"])
        lag = float(rng.choice([-40.0, 0.0, 25.0, 60.0]))
        pair = shifted(rng, lag, 600.0, 20.0)
        lead = lead_lag_summary(*pair, max_lag_ms=200.0, step_ms=1.0, resamples=200, null_shifts=2, seed=number)
        held.setdefault("lead", []).append(lead["peak_lag_lo_ms"].item() <= lag <= lead["peak_lag_hi_ms"].item())
    return {name: float(np.mean(values)) for name, values in held.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for measure, share in run(options.runs, options.seed).items():
        print(f"| {measure} | {share:.1%} |")
