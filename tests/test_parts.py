from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from crossbook.errors import DataError
from crossbook.study import simulate_hawkes
from crossbook.study.parts import convergence, feedback, stat_arb
from crossbook.viz import convergence_plots as plots
from crossbook.viz import to_svg
from crossbook.viz.hawkes_plots import branching, residuals


def study(trades: int = 2_000) -> SimpleNamespace:
    """What the parts read of a study: two venues whose orders excite each other, and a basis that comes back."""
    start = 10**18
    events = simulate_hawkes(
        baseline=[5.0, 3.0], adjacency=[[0.3, 0.1], [0.35, 0.2]], decays=20.0, count=trades, seed=1, start=start
    )
    times = start + np.arange(2_000) * 100_000_000
    rng = np.random.default_rng(1)
    mid = 100 + np.cumsum(rng.standard_normal(2_000)) * 0.01
    basis = np.zeros(2_000)
    for k in range(1, 2_000):
        basis[k] = basis[k - 1] * 0.9 + rng.standard_normal()
    venues = []
    for k, name in enumerate(("a", "b")):
        values = mid * (1 + basis * 1e-4 * k)
        touches = pl.DataFrame(
            {
                "ts_recv": times,
                "ts_event": times,
                "bid": values * (1 - 5e-5),
                "ask": values * (1 + 5e-5),
                "mid": values,
                "spread_bp": 1.0,
            }
        )
        own = events[str(k)]["ts_recv"]
        side = np.where(rng.uniform(size=own.len()) < 0.5, 1, -1)
        price = values[np.clip((own.to_numpy() - start) // 100_000_000, 0, 1_999)] * (1 + side * 5e-5)
        trade = pl.DataFrame({"ts_recv": own, "ts_event": own, "side": side, "price": price, "size": 1.0})
        venues.append(
            SimpleNamespace(touches=touches, trades=trade, instrument=SimpleNamespace(name=name, taker_fee_bp=2.0))
        )
    crosses = pl.DataFrame(
        {"direction": ["x", "y"] * 5, "duration_ms": [float(k) for k in range(10)], "censored": [False] * 10}
    )
    return SimpleNamespace(
        primary=venues[0],
        secondary=venues[1],
        labels={"a": "a", "b": "b"},
        clock="recv",
        seed=0,
        fair_basis="none",
        fees_bp={},
        capture=SimpleNamespace(instruments=[venue.instrument for venue in venues]),
        basis=pl.DataFrame({"ts": times, "basis_bp": basis}),
        crosses=crosses,
        fees={"a": 2.0, "b": 2.0},
    )


@pytest.mark.parametrize("part", [feedback.part, convergence.part, stat_arb.part])
def test_a_part_has_rows_with_intervals_plots_that_draw_and_a_sentence(part):
    found = part(study())
    assert found.rows
    for _, measure, value, lo, hi, _, bounds in found.rows:
        assert value is None or math.isfinite(value), measure
        assert (lo is None and hi is None) or bounds is not None
        assert lo is None or value is None or hi is None or lo <= value <= hi or "width" in measure, measure
    assert all(isinstance(frame, pl.DataFrame) for frame in found.frames.values())
    assert found.charts
    assert all(to_svg(plot).startswith("<svg") for plot in found.charts)
    assert found.sentence.endswith(".")


def test_too_few_orders_are_said_not_fitted():
    with pytest.raises(DataError, match="expected"):
        feedback.part(study(trades=6))


def test_plots_of_nothing_say_so():
    empty = pl.DataFrame()
    for chart in (
        branching(empty),
        residuals(empty),
        plots.survival(empty),
        plots.shock(empty),
        plots.band(pl.DataFrame({"ts": [], "basis_bp": []}), lower_bp=-1, upper_bp=1),
        plots.adverse_selection(pl.DataFrame({"impact_bp": [None]}), venues=[]),
    ):
        assert "no" in to_svg(chart)
