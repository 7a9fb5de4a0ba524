"""How often intervals of order flow and impact hold the truth, on simulated bars, trades and orders with known answers.

    python -m tests.coverage.order_flow [--runs 500] [--seed 1]

`run(count, seed)` gives the share of runs in which each interval at 95 % covers.
"""

from __future__ import annotations

import argparse

import numpy as np
import polars as pl
from scipy.signal import lfilter

from crossbook.study import (
    amihud,
    cross_flow,
    fit_impact,
    flow_regression,
    kyle_lambda,
    propagator,
    quoted_spread,
    roll_spread,
)

OWN, PRIMARY, LAMBDA, SPREAD = 0.05, 0.03, 0.4, 0.5
COEFFICIENT, KERNEL_AFTER = 2.0, (0.8, 0.8 * 2**-0.4, 0.8 * 5**-0.4)


def dependent(rng: np.random.Generator, rows: int, weight: float) -> np.ndarray:
    """First-order autoregression."""
    return lfilter([1.0], [1.0, -weight], rng.standard_normal(rows))


def run(count: int, seed: int) -> dict[str, float]:
    """The share of `count` runs in which the interval of each measure holds the truth."""
    held: dict[str, list[bool]] = {}

    def note(name: str, lo: float | None, truth: float, hi: float | None) -> None:
        held.setdefault(name, []).append(lo is not None and hi is not None and lo <= truth <= hi)

    # The share of variance that the primary adds: own and primary flow are independent with variance 1 / (1 - .3²).
    power, rest = 1 / (1 - 0.09), 0.01 / (1 - 0.04)
    added = PRIMARY**2 * power / (PRIMARY**2 * power + OWN**2 * power + rest)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        own, other = dependent(rng, 2000, 0.3), dependent(rng, 2000, 0.3)
        noise = 0.1 * dependent(rng, 2000, 0.2)
        secondary = pl.DataFrame({"ts": np.arange(2000), "ofi": own, "return_bp": OWN * own + PRIMARY * other + noise})
        primary = secondary.select("ts", ofi=pl.Series(other))
        alone = secondary.with_columns(return_bp=OWN * own + noise * (1 + 0.5 * np.abs(own)))
        row = flow_regression(alone).row(1, named=True)
        note("OFI beta", row["lo"], OWN, row["hi"])
        row = cross_flow(primary, secondary, resamples=300, seed=number).row(0, named=True)
        note("OFI beta of the primary", row["primary_lo"], PRIMARY, row["primary_hi"])
        note("incremental R²", row["incremental_lo"], added, row["incremental_hi"])
        signed = dependent(rng, 1500, 0.5)
        bars = pl.DataFrame(
            {
                "move": LAMBDA * signed + dependent(rng, 1500, 0.2),
                "return_bp": LAMBDA * signed + rng.standard_normal(1500),
                "signed_volume": signed,
                "signed_value": signed * 1e6,
                "value": rng.uniform(1e6, 2e6, 1500),
            }
        )
        row = kyle_lambda(bars).row(0, named=True)
        note("Kyle's lambda", row["lo"], LAMBDA, row["hi"])
        row = amihud(bars.with_columns(return_bp=pl.Series(rng.standard_normal(1500)))).row(0, named=True)
        note("Amihud's ratio", row["lo"], np.sqrt(2 / np.pi) * np.log(2), row["hi"])
        # A walk seen at bid or ask.
        price = 100 + np.cumsum(rng.standard_normal(5000) * 0.1) + SPREAD / 2 * rng.choice([-1, 1], 5000)
        row = roll_spread(pl.DataFrame({"price": price})).row(0, named=True)
        note("Roll's spread", row["lo"], SPREAD, row["hi"])
        # Orders of lognormal size; shocks that all orders of a stretch share.
        size = np.exp(rng.standard_normal(4000))
        ts = np.arange(4000) * 250_000_000
        shared = np.repeat(rng.standard_normal(100), 40) * 0.3
        impact = COEFFICIENT * np.sqrt(size / 100) + shared + rng.standard_normal(4000) * 0.5
        law, free = fit_impact(pl.DataFrame({"ts": ts, "size": size, "impact_bp": impact}), volume=100.0).iter_rows(
            named=True
        )
        note("impact coefficient", law["lo"], COEFFICIENT, law["hi"])
        note("square-root exponent", free["exponent_lo"], 0.5, free["exponent_hi"])
        # The propagator: signs that follow each other, an effect that decays as a power.
        follow = np.where(rng.uniform(size=8000) < 0.7, 1, -1)
        signs = np.cumprod(follow).astype(np.float64)
        lags = np.arange(1, 301)
        effect = np.convolve(signs, 0.8 * lags**-0.4)[: signs.size]
        mid = np.exp(1e-4 * (np.concatenate([[0.0], effect[:-1]]) + np.cumsum(rng.standard_normal(8000))))
        found = propagator(pl.DataFrame({"side": signs, "mid": mid}), lags=60)
        for lag, truth in zip((1, 2, 5), KERNEL_AFTER, strict=True):
            row = found.row(lag - 1, named=True)
            note(f"propagator after {lag}", row["lo"], truth, row["hi"])
        wide = 0.01 * np.exp(0.3 * dependent(rng, 4000, 0.7))
        times = np.cumsum(rng.exponential(0.3, 4000) * 1e9).astype(np.int64) + 1
        quotes = pl.DataFrame({"ts_recv": times, "bid": 100 - wide / 2, "ask": 100 + wide / 2})
        row = quoted_spread(quotes).row(0, named=True)
        note("quoted spread", row["lo"], float(np.exp(0.5 * 0.09 / (1 - 0.49))), row["hi"])
    return {name: float(np.mean(values)) for name, values in held.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for measure, share in run(options.runs, options.seed).items():
        print(f"| {measure} | {options.runs} | {share:.1%} |")
