from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from crossbook.errors import DataError
from crossbook.study.parts import latency, projections
from crossbook.study.quotes import quotes
from crossbook.viz import response_plots as plots
from crossbook.viz import to_svg

MS, START = 1_000_000, 10**18


def study(seconds: int = 60) -> SimpleNamespace:
    """What the parts read of a study: a primary whose orders move it, a secondary that follows 60 ms later."""
    rng = np.random.default_rng(1)
    at = START + np.sort(rng.choice(seconds * 1_000, seconds * 10, replace=False)) * MS
    side = rng.choice([-1, 1], at.size)
    ticks = np.arange(seconds * 50) * 20 * MS + START
    moved = np.concatenate([[0.0], np.cumsum(side)])

    def venue(name: str, late: int) -> SimpleNamespace:
        times = np.sort(np.concatenate([ticks, at + late + 1]))
        times = times[np.append(True, np.diff(times) > 0)]
        bid = 60_000 + moved[np.searchsorted(at + late, times, "left")] + rng.integers(0, 2, times.size) * 0.1
        columns = {
            "ts_event": times - rng.integers(3, 9, times.size) * MS,
            "ts_recv": times,
            "bid": bid,
            "ask": bid + 1.0,
        }
        sizes = {name: rng.uniform(1, 9, times.size) for name in ("bid_size", "ask_size")}
        touches = quotes(pl.DataFrame(columns | sizes))
        depth = touches.gather_every(5).with_columns(bid_5bp=pl.col("bid_size") * 3, ask_5bp=pl.col("ask_size") * 3)
        trades = pl.DataFrame(
            {"ts_event": at - 5 * MS, "ts_recv": at, "side": side, "price": 6e4, "size": rng.uniform(0.1, 3, at.size)}
        )
        # Orders of the primary are answered on the ask's second level, and nowhere else.
        pushed = np.zeros(times.size)
        pushed[np.searchsorted(times, at + late, "right") - 1] = side
        answer = np.convolve(pushed, np.ones(8), "full")[: times.size]
        shown = {f"{s}_size_{k}": rng.uniform(1, 2, times.size) for s in ("bid", "ask") for k in (1, 2)}
        shown["ask_size_2"] = shown["ask_size_2"] - answer * 0.2
        flow = pl.DataFrame({"ts_event": columns["ts_event"], "ts_recv": times, **shown})
        instrument = SimpleNamespace(name=name, venue=name, symbol="BTC", base="BTC")
        return SimpleNamespace(
            instrument=instrument, touches=touches, quotes=touches, depth=depth, trades=trades, flow=flow
        )

    schema = {"venue": pl.String, "symbol": pl.String, "from": pl.Datetime("ns", "UTC")}
    gaps = pl.DataFrame(schema=schema | {"until": pl.Datetime("ns", "UTC")})
    return SimpleNamespace(
        primary=venue("a", 0),
        secondary=venue("b", 60 * MS),
        labels={"a": "a", "b": "b"},
        clock="recv",
        seed=0,
        block_s=max(1.0, seconds / 12),
        shared_end=int(ticks[-1]),
        capture=SimpleNamespace(gaps=lambda: gaps),
    )


@pytest.fixture(scope="module")
def found() -> dict:
    every = study()
    return {"projections": projections.part(every), "latency": latency.part(every)}


@pytest.mark.parametrize("name", ["projections", "latency"])
def test_a_part_has_rows_with_intervals_plots_that_draw_and_a_sentence(found, name):
    part = found[name]
    for group, measure, value, lo, hi, _, bounds in part.rows:
        assert group == name
        assert value is None or math.isfinite(value), measure
        assert (lo is None) == (hi is None) == (bounds is None), measure
        assert lo is None or lo <= value <= hi or "delay" in measure, measure
    assert part.sentence.endswith(".")
    assert len(part.charts) == (3 if name == "projections" else 2)
    assert all(to_svg(chart).startswith("<svg") for chart in part.charts)
    assert all(frame.width for frame in part.frames.values())


def test_depth_is_shown_level_by_level_and_only_the_one_that_answers_moves(found):
    table = found["projections"].frames["depth_by_level"]
    assert set(table["level"]) == {1, 2}
    assert set(table["side"]) == {"bid", "ask"}
    first = table.filter((pl.col("shock") == "trades") & (pl.col("horizon_ms") == 100.0))
    moved = first.filter((pl.col("lo") > 0) | (pl.col("hi") < 0))
    assert moved.select("side", "level").rows() == [("ask", 2)]
    assert moved["effect"][0] < 0
    assert any("ask size at level 2 100 ms after" in row[1] for row in found["projections"].rows)
    assert "of 2 levels of asks" in found["projections"].sentence
    without = study(20)
    without.secondary.flow = without.secondary.flow.head(0)
    assert "depth_by_level" not in projections.part(without).frames


def test_the_first_number_is_the_response_and_its_time(found):
    # An order moves both mids by 1 in 60,000: 0.167 bp; the secondary's 60 ms later.
    name, measure, _, lo, hi, unit, _ = found["latency"].rows[0]
    assert (name, measure, unit) == latency.HEADLINE
    assert lo <= 60 <= hi
    size = found["latency"].frames["response_on_latency"].row(0, named=True)
    assert size["lo"] <= 1e4 / 60_000 <= size["hi"]
    assert found["projections"].rows[0][:2] == projections.HEADLINE[:2]
    trades = next(row for row in found["projections"].rows if "after trades" in row[1])
    assert trades[3] > 0


def test_a_study_without_data_says_so():
    short = study(1)
    part = latency.part(short)
    assert "not regressed" in part.sentence
    assert part.rows[0][2] is None
    short.secondary.touches = short.secondary.touches.head(0)
    with pytest.raises(DataError, match="at least one"):
        projections.part(short)


def test_plots_of_nothing_say_so():
    assert to_svg(plots.depth_by_level(pl.DataFrame(), unit_of_shock="flow")).startswith("<svg")
    empty = pl.DataFrame()
    for chart in (
        plots.projections(empty, panels={}, unit_of_shock="one"),
        plots.refill(empty, unit="BTC"),
        plots.connectivity(empty, venues=[]),
        plots.on_latency(pl.DataFrame({"term": ["mean"], "value": [1.0]})),
    ):
        assert "<svg" in to_svg(chart)
