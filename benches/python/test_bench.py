"""pytest-benchmark of what takes longer than a call: reading a capture and the kernels of the study, on real frames.

    python -m pytest benches/python

Skips where the captures are not there (set CROSSBOOK_DATA).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from benches import streams

import crossbook as xb
from crossbook import _core

PRIMARY, SECONDARY = "usdm-btcusdt", "spot-btcusdt"
Series = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def capture() -> xb.Capture:
    if not streams.DATA.is_dir():
        pytest.skip(f"no {streams.DATA}: set CROSSBOOK_DATA")
    return xb.open([streams.path(PRIMARY), streams.path(SECONDARY)])


@pytest.fixture(scope="module")
def tape(capture: xb.Capture) -> xb.Tape:
    return capture.tape()


@pytest.fixture(scope="module")
def mids(capture: xb.Capture, tape: xb.Tape) -> tuple[Series, Series]:
    """Log mids of the quotes of both venues, on the receive clock."""

    def one(instrument: int) -> Series:
        quotes = tape.filter(kind=["quote"], instrument=[instrument]).to_polars()
        mid = quotes.group_by("sequence", maintain_order=True).agg(pl.first("ts_recv"), pl.col("price").mean().log())
        return mid["ts_recv"].to_numpy().copy(), mid["price"].to_numpy().copy()

    return one(0), one(1)


def test_reading_the_captures_into_tapes(benchmark: Callable, capture: xb.Capture, tape: xb.Tape):
    benchmark.extra_info["frames"] = int(capture.info()["frames"].sum())
    events = benchmark(lambda: sum(len(batch) for batch in capture.batches()))
    assert events == len(tape)


def test_a_market_of_both(benchmark: Callable, capture: xb.Capture, tape: xb.Tape):
    def run() -> xb.Market:
        market = xb.Market(capture.instruments)
        market.apply(tape)
        return market

    market = benchmark(run)
    assert all(market.touch(index) for index in (0, 1))


def test_hayashi_yoshida_over_4001_lags(benchmark: Callable, mids: tuple[Series, Series]):
    (x_times, x), (y_times, y) = mids
    grid = {"first": -2_000_000_000, "step": 1_000_000, "count": 4_001, "block": 10_000_000_000}
    matrix, *_ = benchmark(lambda: _core.hy_contrast(x_times, x, y_times, y, **grid))
    at_zero = _core.hy_at(x_times, x, y_times, y, np.array([0]))[0]
    assert matrix.sum(axis=0)[2_000] == pytest.approx(at_zero)


def test_hayashi_yoshida_at_one_lag(benchmark: Callable, mids: tuple[Series, Series]):
    (x_times, x), (y_times, y) = mids
    lag = np.array([100_000_000])
    assert np.isfinite(benchmark(lambda: _core.hy_at(x_times, x, y_times, y, lag))).all()


def test_response_to_primary_trades(benchmark: Callable, tape: xb.Tape, mids: tuple[Series, Series]):
    trades = tape.filter(kind=["trade"], instrument=[0]).to_polars()
    times = trades["ts_recv"].to_numpy().copy()
    signs = 1.0 - 2.0 * trades["side"].to_numpy()
    offsets = np.arange(-2_000, 2_001, 20) * 1_000_000
    _, counts, dropped = benchmark(
        lambda: _core.response(times, signs, *mids[1], offsets, block=10_000_000_000),
    )
    assert counts.sum() + dropped == len(trades)
