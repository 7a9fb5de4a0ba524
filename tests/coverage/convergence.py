"""How often the intervals of half-lives, and of what is left after any time, hold the truth.

    python -m tests.coverage.convergence [--runs 500] [--seed 1]

`run(count, seed)` gives the share of runs in which each interval at 95 % covers.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import polars as pl

from crossbook.study import fit_ou, median_survival, simulate_ou, survival, threshold_basis

SPEED, MEAN, SIGMA = 2.0, 5.0, 3.0
LOWER, UPPER, FAST, SLOW = -4.0, 6.0, 3.0, 1.0


def banded(rng: np.random.Generator, count: int) -> pl.DataFrame:
    """A basis without drift in the band, that comes back to its upper edge fast and to its lower slowly; 20 ms a
    step."""
    dt, x, values = 0.005, 0.0, np.empty(count)
    noise = rng.standard_normal((count, 4)) * 4.0 * math.sqrt(dt)
    for k, row in enumerate(noise.tolist()):
        for e in row:
            x += e - dt * (FAST * (x - UPPER) if x > UPPER else SLOW * (x - LOWER) if x < LOWER else 0.0)
        values[k] = x
    return pl.DataFrame({"ts": np.arange(1, count + 1) * 20_000_000, "basis_bp": values})


def run(count: int, seed: int) -> dict[str, float]:
    """The share of `count` runs in which the interval of each measure holds the truth."""
    held: dict[str, list[bool]] = {}

    def note(name: str, lo: float | None, truth: float, hi: float | None) -> None:
        held.setdefault(name, []).append((lo is None or lo <= truth) and (hi is None or truth <= hi))

    for number in range(count):
        rng = np.random.default_rng([seed, number])
        # 3,000 observations at irregular times over some 150 s, 430 half-lives.
        times = np.cumsum(np.maximum((rng.exponential(0.05, 3_000) * 1e9).astype(np.int64), 1))
        path = simulate_ou(times, speed=SPEED, mean=MEAN, sigma=SIGMA, seed=seed * 100_003 + number)
        row = fit_ou(path, value="value").row(0, named=True)
        note("half-life", row["half_life_lo_ms"], 1e3 * math.log(2) / SPEED, row["half_life_hi_ms"])
        note("mean", row["mean_lo"], MEAN, row["mean_hi"])
        regimes = threshold_basis(banded(rng, 10_000), lower_bp=LOWER, upper_bp=UPPER)
        for name, speed in (("above", FAST), ("below", SLOW)):
            one = regimes.filter(pl.col("regime") == name).row(0, named=True)
            note(
                f"half-life {name} the band", one["half_life_lo_ms"], 1e3 * math.log(2) / speed, one["half_life_hi_ms"]
            )
        # Durations with mean 10 ms, 1 in 3 or so cut off by the end of watching.
        length, end = rng.exponential(10.0, 150), rng.uniform(0, 30, 150)
        curve = survival(pl.DataFrame({"duration_ms": np.minimum(length, end), "censored": end < length}))
        _, lo, hi = median_survival(curve)
        note("median duration", lo, 10 * math.log(2), hi)
        at = curve.filter(pl.col("duration_ms") <= 10.0).tail(1).row(0, named=True)
        note("share that lasts 10 ms", at["lo"], math.exp(-1), at["hi"])
    return {name: float(np.mean(values)) for name, values in held.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for measure, share in run(options.runs, options.seed).items():
        print(f"| {measure} | {options.runs} | {share:.1%} |")
