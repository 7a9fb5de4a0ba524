"""How often the intervals of a Hawkes fit hold the truth, on simulated pairs with known branching.

    python -m tests.coverage.hawkes [--runs 500] [--seed 1]

`run(count, seed)` gives the share of runs in which each interval at 95 % covers.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from crossbook.study import fit_hawkes, simulate_hawkes

BASELINE, ADJACENCY, DECAY = (0.3, 0.2), ((0.3, 0.1), (0.35, 0.25)), 2.0
RADIUS = 0.275 + math.sqrt(0.275**2 - 0.04)
"""The larger root of x² - 0.55 x + 0.04, the characteristic polynomial of the branching matrix."""


def run(count: int, seed: int, events: int = 8_000) -> dict[str, float]:
    """The share of `count` runs in which the interval of each measure holds the truth."""
    held: dict[str, list[bool]] = {}
    truth = [*BASELINE, *np.ravel(ADJACENCY).tolist(), DECAY]
    labels = ["baseline 1", "baseline 2", "effect 1 on 1", "effect 2 on 1", "effect 1 on 2", "effect 2 on 2", "decay"]
    for number in range(count):
        draws = simulate_hawkes(
            baseline=BASELINE, adjacency=ADJACENCY, decays=DECAY, count=events, seed=seed * 100_003 + number
        )
        fit = fit_hawkes(draws, start=0)
        row = fit.summary.row(0, named=True)
        held.setdefault("branching ratio", []).append(row["radius_lo"] <= RADIUS <= row["radius_hi"])
        for label, value, lo, hi in zip(labels, truth, fit.parameters["lo"], fit.parameters["hi"], strict=True):
            held.setdefault(label, []).append(lo is not None and lo <= value <= hi)
    return {name: float(np.mean(values)) for name, values in held.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for measure, share in run(options.runs, options.seed).items():
        print(f"| {measure} | {options.runs} | {share:.1%} |")
