from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study import (
    lead_lag,
    lead_lag_by_size,
    lead_lag_by_source,
    lead_lag_by_time_of_day,
    lead_lag_exact,
    lead_lag_matrix,
    lead_lag_network,
    lead_lag_ratio,
    lead_lag_rolling,
    lead_lag_steps,
    lead_lag_summary,
)
from crossbook.study.lead_lag import lead_lag_both

MS = 1_000_000
DAY = 86_400_000_000_000
START = 1_700_000_000_000_000_000


def stream(times: np.ndarray, mid: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"ts_recv": times, "ts_event": times - 5 * MS, "mid": mid, "price": mid})


def walk(rng: np.random.Generator, *, seconds: float = 240.0, rate: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    size = int(seconds * rate)
    times = START + np.unique(rng.integers(0, int(seconds * 1e9), size))
    return times, 60_000 * np.exp(np.cumsum(rng.standard_normal(times.size)) * 1e-5)


def delayed(rng: np.random.Generator, lag_ms: float | np.ndarray) -> tuple[pl.DataFrame, pl.DataFrame]:
    times, mid = walk(rng)
    lag = (np.broadcast_to(lag_ms, times.shape) * MS).astype(np.int64)
    order = np.argsort(times + lag, kind="stable")
    return stream(times, mid), stream((times + lag)[order], mid[order] * np.exp(rng.standard_normal(times.size) * 2e-6))


# Hoffmann, Rosenbaum & Yoshida (2013): with ρ = 1 and a pure shift the contrast is largest at the shift.
@pytest.mark.parametrize("shift_us", [7_000, -7_000, 7_000.001])
def test_the_exact_lag_of_a_shifted_copy_is_its_shift_to_the_nanosecond(shift_us):
    times, mid = walk(np.random.default_rng(1))
    shift = round(shift_us * 1000)
    found = lead_lag_exact(stream(times, mid), stream(times + shift, mid)).row(0, named=True)
    assert found["peak_lag_ns"] == shift
    assert found["rho"] == pytest.approx(1.0, abs=0.01)
    assert lead_lag_exact(stream(times, mid), stream(times, mid))["peak_lag_ns"].item() == 0


def test_the_exact_peak_and_the_steps_are_those_of_the_grid_where_they_meet():
    pair = delayed(np.random.default_rng(2), 40.0)
    options = {"max_lag_ms": 100.0}
    lags = np.arange(-100 * MS, 100 * MS + 1, MS // 2)
    columns = [c for frame in pair for c in (frame["ts_recv"].to_numpy(), frame["mid"].log().to_numpy())]
    contrast = _core.hy_at(*columns, lags)
    steps = lead_lag_steps(*pair, **options)
    at = np.searchsorted(steps["lag_ns"].to_numpy(), lags, side="right") - 1
    assert steps["contrast"].to_numpy()[at] == pytest.approx(contrast, abs=1e-9 * np.abs(contrast).max())
    peak = lead_lag_exact(*pair, **options).row(0, named=True)
    assert abs(peak["rho"]) == pytest.approx(steps["rho"].abs().max(), rel=1e-9)
    assert peak["peak_first_ns"] <= peak["peak_lag_ns"] <= peak["peak_last_ns"]
    assert abs(peak["contrast"]) >= np.abs(contrast).max() * (1 - 1e-9)
    curve = lead_lag(*pair, resamples=2, null_shifts=2, **options)
    assert abs(peak["rho"]) == pytest.approx(curve["rho"].abs().max(), abs=0.05)


def test_the_two_published_ratios_are_sums_of_squares_and_of_absolutes():
    both = lead_lag_both(*delayed(np.random.default_rng(3), 80.0), resamples=50, step_ms=5.0)
    curve, summary = both.curve, both.summary.row(0, named=True)
    ahead, behind = (curve.filter(side)["rho"].to_numpy() for side in (pl.col("lag_ms") > 0, pl.col("lag_ms") < 0))
    assert lead_lag_ratio(curve) == pytest.approx((ahead**2).sum() / (behind**2).sum())
    assert lead_lag_ratio(curve, of="absolutes") == pytest.approx(np.abs(ahead).sum() / np.abs(behind).sum())
    assert lead_lag_ratio(curve) == pytest.approx(summary["llr"])
    assert lead_lag_ratio(curve, of="absolutes") == pytest.approx(summary["llr_abs"])
    assert 1 < summary["llr_abs_lo"] <= summary["llr_abs_hi"]
    for bad, expected in [
        (curve.drop("rho"), "missing"),
        (curve.filter(pl.col("lag_ms") > 0), "below zero"),
        (curve.head(0), "below zero"),
        (curve.with_columns(rho=pl.lit(float("nan"))), "finite"),
    ]:
        with pytest.raises(DataError, match=expected):
            lead_lag_ratio(bad)


def test_the_contrast_splits_by_size_and_finds_each_size_its_own_lead():
    rng = np.random.default_rng(4)
    times, _ = walk(rng, seconds=600.0, rate=8.0)
    large = rng.random(times.size) < 0.3
    moves = np.where(large, 5.0, 1.0) * rng.choice([-1, 1], times.size) * 1e-5
    lags = np.where(large, 20, 90) * MS
    order = np.argsort(times + lags, kind="stable")
    pair = (
        stream(times, 60_000 * np.exp(np.cumsum(moves))),
        stream((times + lags)[order], 60_000 * np.exp(np.cumsum(moves[order]))),
    )
    found = lead_lag_by_size(*pair, edges_bp=[0.3], max_lag_ms=200.0, resamples=100)
    assert found["moves"].to_list() == pytest.approx([(~large).sum(), large.sum()], abs=5)
    assert found["peak_lag_ms"].to_list() == pytest.approx([90, 20], abs=2)
    assert found["leader"].to_list() == ["primary", "primary"]
    assert found["size_lo_bp"].to_list() == pytest.approx([0.1, 0.5])
    # An edge that is a size has it above.
    assert (
        lead_lag_by_size(*pair, edges_bp=[0.5], max_lag_ms=200.0, resamples=2)["moves"].to_list()
        == found["moves"].to_list()
    )


@given(
    values=st.lists(
        st.tuples(st.integers(0, 50), st.integers(-3, 3)), min_size=2, max_size=15, unique_by=lambda v: v[0]
    )
)
def test_the_parts_by_size_sum_to_the_whole_contrast(values):
    times, x = (np.array(c) for c in zip(*sorted(values), strict=True))
    y_times, y = np.arange(0, 60, 4), np.cumsum(np.arange(15) % 3 - 1).astype(float)
    grid = {"first": -20, "step": 1, "count": 41, "block": 1_000}
    moves = np.diff(x.astype(float), prepend=float(x[0]))
    parts = [np.cumsum(np.where(np.abs(moves) == size, moves, 0.0)) for size in range(7)]
    whole = _core.hy_contrast(times, x.astype(float), y_times, y, **grid)[0]
    summed = sum(_core.hy_contrast(times, part, y_times, y, **grid)[0] for part in parts)
    assert np.array_equal(whole, summed)


def test_default_groups_hold_like_numbers_of_moves():
    found = lead_lag_by_size(*delayed(np.random.default_rng(5), 50.0), groups=3, resamples=20, step_ms=10.0)
    assert found.height == 3
    assert found["moves"].max() - found["moves"].min() <= 1
    assert (found["size_lo_bp"][1:] >= found["size_hi_bp"][:-1]).all()
    assert lead_lag_by_size(*delayed(np.random.default_rng(5), 50.0), groups=1, resamples=2, step_ms=10.0).height == 1


def test_a_lead_that_changes_is_seen_in_its_windows():
    rng = np.random.default_rng(6)
    times, _ = walk(rng)
    lag = np.where(times < START + 120_000_000_000, 30.0, 90.0)
    rng = np.random.default_rng(6)
    found = lead_lag_rolling(
        *delayed(rng, lag), window_s=60.0, every_s=60.0, max_lag_ms=300.0, block_s=5.0, resamples=50
    )
    assert found.height == 4
    assert found["peak_lag_ms"].to_list()[0] == pytest.approx(30, abs=2)
    assert found["peak_lag_ms"].to_list()[-1] == pytest.approx(90, abs=2)
    assert (found["end"] - found["start"]).to_list() == [60_000_000_000] * 4
    assert found["leader"].to_list()[0] == "primary"


def test_a_window_over_everything_is_the_lead_of_everything():
    pair = delayed(np.random.default_rng(7), 40.0)
    whole = lead_lag_summary(*pair, resamples=20, step_ms=2.0, null_shifts=2)
    span = lead_lag_rolling(*pair, window_s=10.0 * whole["blocks"].item(), resamples=20, step_ms=2.0)
    assert span.height == 1
    for name in ("peak_lag_ms", "rho_peak", "llr", "llr_abs"):
        assert span[name].item() == pytest.approx(whole[name].item()), name


def test_a_window_in_which_nothing_moves_has_nulls_and_no_leader():
    times = START + np.arange(2_000) * 100 * MS
    mid = 60_000 * np.exp(np.cumsum(np.random.default_rng(8).standard_normal(2_000)) * 1e-5)
    mid[500:1_600] = mid[499]
    frame = stream(times, mid)
    found = lead_lag_rolling(frame, frame, window_s=60.0, every_s=10.0, resamples=10, observations="all")
    still = found.filter(pl.col("rho_peak").is_null())
    assert still.height > 0
    assert still["leader"].unique().to_list() == ["none"]
    assert still["llr"].null_count() == still.height
    floats = found.select(pl.selectors.float())
    assert floats.select(pl.all().is_nan().any()).row(0).count(True) == 0


def test_time_of_day_gathers_blocks_of_all_days():
    rng = np.random.default_rng(9)
    parts = [walk(rng, seconds=240.0) for _ in range(2)]
    first = START // DAY * DAY
    times = np.concatenate(
        [first + day * DAY + 3_600_000_000_000 + part - START for day, (part, _) in enumerate(parts)]
    )
    mid = np.concatenate([mids for _, mids in parts])
    pair = stream(times, mid), stream(times + 40 * MS, mid)
    found = lead_lag_by_time_of_day(*pair, bin_s=3_600.0, max_lag_ms=100.0, block_s=20.0, resamples=20)
    busy = found.filter(pl.col("time_of_day_s") == 3_600.0)
    assert busy["peak_lag_ms"].to_list() == [40.0]
    with pytest.raises(DataError, match="bin_s"):
        lead_lag_by_time_of_day(*pair, bin_s=0.0)


def test_sources_and_clocks_stand_side_by_side_and_say_why_one_is_missing():
    a, b = delayed(np.random.default_rng(10), 40.0)
    found = lead_lag_by_source(
        {"quotes": a.drop("price"), "trades": a.drop("mid"), "more": a},
        {"quotes": b.drop("price"), "trades": b.drop("mid").with_columns(ts_event=pl.lit(0, pl.Int64))},
        resamples=20,
        step_ms=5.0,
    )
    assert found.select("source", "clock").rows() == [
        ("quotes", "recv"),
        ("quotes", "event"),
        ("trades", "recv"),
        ("trades", "event"),
    ]
    assert found["peak_lag_ms"].to_list() == [40.0, 40.0, 40.0, None]
    assert "time on the event clock" in found["problem"][3]
    with pytest.raises(DataError, match="both venues have"):
        lead_lag_by_source({"quotes": a}, {"trades": b})


def test_a_chain_of_venues_is_put_in_order_and_its_leads_add_up():
    times, mid = walk(np.random.default_rng(11))
    venues = {name: stream(times + lag * MS, mid) for name, lag in (("b", 30), ("a", 0), ("c", 80))}
    matrix = lead_lag_matrix(venues, resamples=50, max_lag_ms=200.0)
    assert matrix.height == 6
    row = matrix.filter(first="a", second="c").row(0, named=True)
    back = matrix.filter(first="c", second="a").row(0, named=True)
    assert (row["peak_lag_ms"], back["peak_lag_ms"], row["leader"], back["leader"]) == (
        pytest.approx(80, abs=1),
        -row["peak_lag_ms"],
        "a",
        "a",
    )
    assert row["llr"] * back["llr"] == pytest.approx(1.0)
    assert (row["peak_lag_lo_ms"], row["peak_lag_hi_ms"]) == (-back["peak_lag_hi_ms"], -back["peak_lag_lo_ms"])
    found = lead_lag_network(matrix)
    assert dict(found.venues.select("venue", "behind_ms").iter_rows()) == pytest.approx(
        {"a": 0, "b": 30, "c": 80}, abs=2
    )
    assert dict(found.venues.select("venue", "led").iter_rows()) == {"a": 2, "b": 1, "c": 0}
    assert found.cyclic_share == pytest.approx(0.0, abs=1e-3)


def test_a_ring_of_leads_is_all_cycle_and_a_lone_venue_has_no_place():
    names = ("a", "b", "c")
    rows = [
        {
            "first": a,
            "second": b,
            "peak_lag_ms": 10.0,
            "peak_lag_lo_ms": 9.0,
            "peak_lag_hi_ms": 11.0,
            "rho_peak": 0.5,
            "leader": a,
        }
        for a, b in zip(names, (*names[1:], names[0]), strict=True)
    ]
    alone = {"first": "a", "second": "d", "peak_lag_ms": 1.0, "peak_lag_lo_ms": -9.0, "peak_lag_hi_ms": 9.0}
    found = lead_lag_network(pl.DataFrame([*rows, alone | {"rho_peak": 0.1, "leader": "none"}]))
    assert found.cyclic_share == pytest.approx(1.0)
    assert found.venues.filter(venue="d")["behind_ms"].item() is None
    assert found.edges["residual_ms"].to_list() == pytest.approx([10.0] * 3)
    none = lead_lag_network(pl.DataFrame([alone | {"rho_peak": 0.1, "leader": "none"}]))
    assert (none.edges.height, none.cyclic_share) == (0, None)


def test_a_pair_that_shares_no_time_is_a_row_with_a_reason():
    times, mid = walk(np.random.default_rng(12))
    far = stream(times + 10 * DAY, mid)
    found = lead_lag_matrix({"a": stream(times, mid), "b": far}, resamples=5)
    assert found["leader"].to_list() == ["none", "none"]
    assert "shared time" in found["problem"][0]
    with pytest.raises(DataError, match="two venues"):
        lead_lag_matrix({"a": far})


def test_unusable_input_says_what_was_expected():
    pair = delayed(np.random.default_rng(13), 40.0)
    still = pair[1].with_columns(mid=pl.lit(1.0))
    for call, expected in [
        (lambda: lead_lag_exact(pair[0].head(0), pair[1]), "at least one quote"),
        (lambda: lead_lag_exact(pair[0], still), "that moves"),
        (lambda: lead_lag_exact(pair[0].head(1), pair[1]), "that moves|shared time|none"),
        (lambda: lead_lag_exact(*pair, max_lag_ms=0.0), "max_lag_ms"),
        (lambda: lead_lag_exact(*pair, max_lag_ms=float("nan")), "max_lag_ms"),
        (lambda: lead_lag_steps(*pair, observations="some"), "observations"),
        (lambda: lead_lag_by_size(*pair, edges_bp=[2.0, 1.0]), "rising"),
        (lambda: lead_lag_by_size(*pair, groups=0), "groups"),
        (lambda: lead_lag_by_size(pair[0], still), "that moves"),
        (lambda: lead_lag_rolling(*pair, window_s=20.0), "a window of 6"),
        (lambda: lead_lag_rolling(*pair, window_s=1e6), "a window of 6"),
        (lambda: lead_lag_rolling(*pair, resamples=0), "resamples"),
        (lambda: lead_lag_network(pl.DataFrame({"first": ["a"]})), "missing"),
    ]:
        with pytest.raises(DataError, match=expected):
            call()


def test_the_kernels_of_the_exact_lag_refuse_bad_columns():
    times, values = np.array([1, 2]), np.array([0.0, 1.0])
    for call in (_core.hy_peak, _core.hy_steps):
        with pytest.raises(DataError, match="ascending"):
            call(times[::-1].copy(), values, times, values, first=0, last=1)
        with pytest.raises(DataError, match="first lag at or below"):
            call(times, values, times, values, first=1, last=0)
