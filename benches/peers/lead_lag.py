"""Lead-lag and lag orders beside the packages that people use: same input, the answer compared before the clock.

    python -m pip install cython numpy && python -m pip install --no-build-isolation lead-lag statsmodels
    python -m benches.peers.lead_lag [--peers]

- `lead-lag` (PyPI): 28,000 ticks over an hour in whole tenths of a second x 601 lags of 100 ms,
  one thread. Its contrast is the absolute one at each lag; ours is compared with it at every lag.
- `statsmodels`: `VAR(…).select_order(120)` on 20,000 x 2, orders one by one; ours by `lag_order` from one
  pass of moments. The criteria are compared at every order. It takes minutes, so only with `--peers`.
- ours alone: 400,000 x 400,000 ticks in an hour, 8,001 lags of 0.1 ms and of 1 ms, one thread.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from statistics import median
from time import perf_counter

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import polars as pl

from crossbook import _core
from crossbook.study import lag_order

MS = 1_000_000
HOUR = 3_600_000


def clock(call: Callable[[], object], rounds: int) -> float:
    """Median milliseconds of so many calls."""
    spent = []
    for _ in range(rounds):
        start = perf_counter()
        call()
        spent.append((perf_counter() - start) * 1e3)
    return median(spent)


def ticks(rng: np.random.Generator, count: int, *, unit: int = 1) -> tuple[np.ndarray, np.ndarray]:
    times = np.unique(rng.integers(0, HOUR * MS // unit, count)) * unit
    return times, np.cumsum(rng.standard_normal(times.size)) * 1e-5


def peer_lead_lag() -> None:
    import pandas as pd
    from lead_lag import LeadLag

    rng = np.random.default_rng(1)
    (x_times, x), (y_times, y) = (ticks(rng, 14_000, unit=100 * MS) for _ in "xy")
    series = [pd.Series(v + 1.0, index=pd.to_datetime(t)) for t, v in ((x_times, x), (y_times, y))]
    peer = LeadLag(*series, max_lag=30.0, min_precision=0.1)
    peer.run_inference(1)
    grid = {"first": -30_000 * MS, "step": 100 * MS, "count": 601, "block": HOUR * MS}
    ours = _core.hy_contrast(x_times, x, y_times, y, **grid)[0].sum(axis=0)
    ours = np.abs(ours) / np.sqrt((np.diff(x) ** 2).sum() * (np.diff(y) ** 2).sum())
    worst = min(float(np.abs(ours - theirs).max()) for theirs in (peer.contrasts, peer.contrasts[::-1]))
    print(f"lead-lag, {x.size + y.size:,} ticks x 601 lags: largest difference of the contrasts {worst:.1e}")
    theirs = clock(lambda: peer.run_inference(1), 1)
    mine = clock(lambda: _core.hy_contrast(x_times, x, y_times, y, **grid), 9)
    print(f"  lead-lag {theirs:,.0f} ms, crossbook {mine:.2f} ms: {theirs / mine:,.0f} times")


def peer_orders() -> None:
    from statsmodels.tsa.api import VAR

    values = np.random.default_rng(2).standard_normal((20_000, 2))
    for row in range(1, len(values)):
        values[row] += 0.3 * values[row - 1]
    frame = pl.DataFrame(values, schema=["a", "b"])
    start = perf_counter()
    theirs = VAR(values).select_order(120)
    spent = (perf_counter() - start) * 1e3
    ours = lag_order(frame, max_lags=120, model="var")
    worst = max(float(np.abs(ours[name].to_numpy() / np.array(theirs.ics[name]) - 1).max()) for name in ("aic", "bic"))
    mine = clock(lambda: lag_order(frame, max_lags=120, model="var"), 9)
    print(f"VAR orders to 120 on 20,000 x 2: largest relative difference of the criteria {worst:.1e}")
    print(f"  statsmodels {spent:,.0f} ms, crossbook {mine:.1f} ms: {spent / mine:,.0f} times")


def alone() -> None:
    rng = np.random.default_rng(3)
    (x_times, x), (y_times, y) = (ticks(rng, 400_000) for _ in "xy")
    for name, step in (("0.1 ms", MS // 10), ("1 ms", MS)):
        grid = {"first": -4_000 * step, "step": step, "count": 8_001, "block": HOUR * MS}
        found = _core.hy_contrast(x_times, x, y_times, y, **grid)[0].sum(axis=0)
        lags = np.array([-4_000, 17, 4_000]) * step
        assert np.allclose(found[[0, 4_017, 8_000]], _core.hy_at(x_times, x, y_times, y, lags), rtol=1e-9, atol=1e-13)
        spent = clock(lambda grid=grid: _core.hy_contrast(x_times, x, y_times, y, **grid), 5)
        print(f"{x.size:,} x {y.size:,} ticks, 8,001 lags of {name}: {spent:.1f} ms")
    changes = [np.diff(rng.standard_normal(20_001)) for _ in "ab"]
    extras = [np.ones(20_000), rng.standard_normal(20_000)]
    print(
        f"moments to lag 120 of 20,000 x 2: {clock(lambda: _core.lagged_moments(changes, extras, lags=120), 9):.2f} ms"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", action="store_true", help="the other packages too")
    given = parser.parse_args()
    alone()
    if given.peers:
        peer_lead_lag()
        peer_orders()
