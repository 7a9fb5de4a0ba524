"""Local projections beside `statsmodels` OLS with HAC errors, in one process on the same rows.

    OPENBLAS_NUM_THREADS=1 python benches/peers/local_projections.py [--rows 200000] [--repeat 5]

Four variables, 12 horizons. `one outcome`: the first variable at 1 to 12 rows ahead on a constant and the four
variables (12 regressions of 5 coefficients). `every outcome`: each of the four (48 regressions). `four lags`: the first
on a constant and four rows of all four (12 regressions of 17). Errors: Newey and West's over 0 rows, over 21 (`floor(4
(n / 100)^(2/9))`, Newey & West 1994) and over 200, no small-sample factor. Before any clock starts every coefficient
and standard error is compared to 1e-6 of its own size. statsmodels makes its covariance when the model is fitted;
nothing of its summary is timed. Medians.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import statsmodels.api as sm

from crossbook import _core

HORIZONS = list(range(1, 13))


def timed(call: Callable[[], object], rounds: int) -> float:
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    rng = np.random.default_rng(1)
    n = given.rows
    noise = rng.standard_normal((n, 4))
    data = np.empty((n, 4))
    last = np.zeros(4)
    for row, step in enumerate(noise):
        last = 0.5 * last + 0.2 * np.roll(last, 1) + step
        data[row] = last
    columns = [np.ascontiguousarray(data[:, k]) for k in range(4)]
    lagged = [np.ascontiguousarray(x[3 - lag : n - lag]) for lag in range(4) for x in columns]
    cases = {
        "one outcome": (columns[:1], columns),
        "every outcome": (columns, columns),
        "four lags": ([columns[0][3:]], lagged),
    }
    for name, (outcomes, regressors) in cases.items():
        for overlap in (0, 21, 200):
            overlaps = [overlap] * len(HORIZONS)
            exog = sm.add_constant(np.column_stack(regressors))

            def ours(y: np.ndarray, x: list[np.ndarray] = regressors, over: list[int] = overlaps) -> tuple:
                return _core.projections(y, x, HORIZONS, over)

            def theirs(y: np.ndarray, h: int, exog: np.ndarray = exog, over: int = overlap) -> tuple:
                fit = sm.OLS(y[h:], exog[: len(y) - h]).fit(cov_type="HAC", cov_kwds={"maxlags": over})
                return fit.params, fit.cov_params()

            for y in outcomes:
                coefficients, covariances, *_ = ours(y)
                for at, h in enumerate(HORIZONS):
                    params, covariance = theirs(y, h)
                    errors = np.sqrt(np.diag(covariance))
                    # A coefficient near 0 is as good as its error: both are held to 1e-6 of the larger.
                    scale = np.maximum(np.abs(params), errors)
                    assert np.abs((coefficients[at] - params) / scale).max() < 1e-6
                    assert np.abs(np.sqrt(np.diag(covariances[at])) / errors - 1).max() < 1e-6
            mine = timed(lambda run=ours, ys=outcomes: [run(y) for y in ys], given.repeat)
            peer = timed(
                lambda run=theirs, ys=outcomes: [run(y, h) for y in ys for h in HORIZONS], max(1, given.repeat // 2)
            )
            ratio = f"statsmodels {peer * 1e3:,.0f} ms, {peer / mine:.0f}x"
            print(f"{name}, {overlap} rows of overlap: {mine * 1e3:.1f} ms, {ratio}")


if __name__ == "__main__":
    main()
