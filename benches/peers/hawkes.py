"""Hawkes log-likelihood, fit and simulation beside PyPI `tick`, in one process on the same events.

    pip install numpydoc six tick && python benches/peers/hawkes.py [--events 700000]

`tick` keeps the decay fixed, in fitting too; ours fits it as well. Before any clock starts the answers are compared:
the log-
likelihood and its gradient by baseline and adjacency to 1e-6. `tick`'s loss is minus the log-likelihood and
minus `types · end`, over the number of events. Medians of nine rounds that take turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from tick.hawkes import ModelHawkesExpKernLogLik, SimuHawkesExpKernels

from crossbook import _core

MU, ALPHA, BETA = np.array([0.3, 0.2]), np.array([[0.3, 0.1], [0.35, 0.25]]), 2.0
VECTORS = MU, ALPHA.ravel(), np.array([BETA])


def timed(*calls: Callable[[], object], rounds: int = 9) -> list[float]:
    found: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, times in zip(calls, found, strict=True):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    return [median(times) for times in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=700_000)
    count = parser.parse_args().events
    times, types = _core.hawkes_simulate(*VECTORS, seed=1, count=count, limit=count)
    end = int(times[-1])
    ours = _core.HawkesEvents(times, types, start=0, end=end)
    theirs = ModelHawkesExpKernLogLik(BETA, n_threads=1)
    theirs.fit([times[types == kind] / 1e9 for kind in (0, 1)], end_times=end / 1e9)
    coefficients = np.concatenate(VECTORS[:2])
    value, gradient = ours.log_likelihood(*VECTORS)
    loss = -(theirs.loss(coefficients) * count) - 2 * end / 1e9
    slope = -theirs.grad(coefficients) * count
    assert abs(value / loss - 1) < 1e-6, (value, loss)
    # At the truth a gradient is near 0: compared in units of its deviation, the root of the number of events.
    assert np.abs(gradient[:6] - slope).max() < 1e-6 * np.sqrt(count), (gradient, slope)
    print(f"log-likelihood {value:.6f}, tick {loss:.6f}")

    def refit() -> None:
        theirs.fit([times[types == kind] / 1e9 for kind in (0, 1)], end_times=end / 1e9)
        theirs.loss(coefficients)

    mine, cold, warm = timed(
        lambda: ours.log_likelihood(*VECTORS), refit, lambda: (theirs.loss(coefficients), theirs.grad(coefficients))
    )
    mine, warm, cold = (seconds / count * 1e9 for seconds in (mine, warm, cold))
    print(f"ns an event: ours {mine:.1f}; tick {warm:.1f} (decay fixed, weights ready), {cold:.1f} with its weights")

    def simulate() -> None:
        process = SimuHawkesExpKernels(
            adjacency=ALPHA, decays=BETA, baseline=MU, max_jumps=count, seed=1, verbose=False
        )
        process.simulate()

    own = lambda: _core.hawkes_simulate(*VECTORS, seed=1, count=count, limit=count)  # noqa: E731
    mine, other = timed(own, simulate, rounds=5)
    print(f"million events a second: ours {count / mine / 1e6:.1f}, tick {count / other / 1e6:.2f}")


if __name__ == "__main__":
    main()
