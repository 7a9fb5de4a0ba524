from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from tests.coverage import response as simulated

from crossbook.errors import DataError
from crossbook.study import (
    connectivity,
    event_paths,
    latency_at,
    publication_grid,
    resilience,
    response,
    response_on_latency,
    stale_effect,
    stale_windows,
    venue_delays,
)

MS, SECOND, START = 1_000_000, 1_000_000_000, 1_700_000_000_000_000_000


def messages(event_ms: list[float], delay_ms: list[float], venue: str = "a") -> pl.DataFrame:
    event = pl.Series([START + round(ms * MS) for ms in event_ms], dtype=pl.Int64)
    delay = pl.Series([round(ms * MS) for ms in delay_ms], dtype=pl.Int64)
    frame = pl.DataFrame({"venue": [venue] * len(event), "ts_event": event, "ts_recv": event + delay})
    return frame.cast({"venue": pl.String})


def test_delay_is_the_receive_clock_less_the_exchanges_and_jitter_its_mean_change():
    frame = messages([0, 10, 20, 30], [5, 7, 6, 5])
    untimed = frame.head(1).with_columns(ts_event=pl.lit(0, pl.Int64))
    row = venue_delays(pl.concat([frame, untimed])).row(0, named=True)
    assert (row["messages"], row["untimed"], row["behind"]) == (5, 1, False)
    assert row["delay_ms"] == 5.5
    assert row["jitter_ms"] == pytest.approx((2 + 1 + 1) / 3)
    assert venue_delays(frame.head(0)).is_empty()
    assert venue_delays(untimed)["delay_ms"].to_list() == [None]


@pytest.mark.parametrize("period", [50.0, 100.0, 1_000.0])
def test_a_stream_in_batches_shows_its_period_though_batches_are_left_out(period):
    rng = np.random.default_rng(1)
    every = np.arange(3_000)[rng.uniform(size=3_000) < 0.8]
    times = every * period + rng.integers(0, 2, every.size)
    found = publication_grid(messages(times.tolist(), [0.0] * times.size)).row(0, named=True)
    assert found["batched"]
    assert found["period_ms"] == pytest.approx(period, rel=0.01)
    assert found["lo_ms"] <= found["period_ms"] <= found["hi_ms"]
    assert found["resolution_ms"] == 1.0


def test_a_stream_that_comes_when_it_likes_has_no_period_and_a_short_one_is_not_judged():
    rng = np.random.default_rng(2)
    times = np.cumsum(rng.exponential(100.0, 3_000))
    found = publication_grid(messages(times.tolist(), [0.0] * times.size)).row(0, named=True)
    assert not found["batched"]
    assert found["period_ms"] is None
    # Milliseconds are the clock's own grid, not the venue's.
    coarse = publication_grid(messages(np.floor(times / 20).tolist(), [0.0] * times.size)).row(0, named=True)
    assert not coarse["batched"]
    short = publication_grid(messages([0, 100, 200], [0, 0, 0])).row(0, named=True)
    assert (short["spacings"], short["on_grid"], short["batched"]) == (2, None, False)
    assert publication_grid(messages([], [])).is_empty()


def test_windows_hold_what_ended_in_them_and_those_without_messages_are_there():
    times = [0, 100, 200, 2_300, 5_500]
    frame = messages(times, [1, 2, 4, 1, 1])
    gaps = pl.DataFrame({"venue": ["a", "b"], "ts_recv": [START + 2_400 * MS, START]})
    found = connectivity(frame, gaps=gaps, window_s=1.0, silence_ms=1_000.0)
    assert found["messages"].to_list() == [3, 0, 1, 0, 0, 1]
    assert found["silences"].to_list() == [0, 0, 1, 0, 0, 1]
    assert found["gaps"].to_list() == [0, 0, 1, 0, 0, 0]
    assert found["longest_silence_ms"].to_list() == [pytest.approx(102), None, pytest.approx(2_097), None, None, 3_200]
    assert found["silent_share"].to_list() == [0, 0, 1, 0, 0, 1]
    assert found["jitter_ms"][0] == 1.5
    assert connectivity(frame.head(0)).is_empty()


def test_what_is_known_of_a_connection_does_not_look_ahead():
    frame = messages([0, 500, 1_200, 1_900, 2_500], [10, 20, 30, 40, 1_000])
    events = pl.DataFrame({"ts_recv": [START + round(ms * MS) for ms in (5, 1_000, 2_000, 3_400)]})
    found = latency_at(events, frame, venue="a", prefix="p")
    assert found["p_silence_ms"].to_list() == [None, 480.0, 60.0, 1_460.0]
    assert found["p_delay_ms"].to_list() == [None, 15.0, 35.0, 35.0]
    assert found["p_jitter_ms"].to_list() == [None, 10.0, 10.0, 10.0]
    with pytest.raises(DataError, match="messages of b"):
        latency_at(events, frame, venue="b", prefix="p")


def test_a_response_that_comes_later_with_the_delay_is_measured():
    events, mids = simulated.delayed(np.random.default_rng(3), 6_000)
    found = response_on_latency(events, mids, regressors=["delay_ms"], block_s=5.0)
    rows = {(r["measure"], r["term"]): r for r in found.iter_rows(named=True)}
    assert rows["size", "mean"]["value"] == pytest.approx(simulated.SIZE_BP, abs=0.3)
    assert rows["speed", "mean"]["value"] == pytest.approx(simulated.DELAY_MS, abs=60)
    assert rows["speed", "delay_ms"]["lo"] < simulated.SLOWER < rows["speed", "delay_ms"]["hi"]
    noise = mids.with_columns(
        mid=pl.lit(100.0) + pl.Series(np.random.default_rng(1).standard_normal(mids.height)) * 0.01
    )
    nothing = response_on_latency(events, noise, regressors=["delay_ms"], block_s=5.0)
    assert nothing.filter(measure="speed")["value"].to_list() == [None, None]


def test_what_cannot_be_regressed_says_why():
    events, mids = simulated.delayed(np.random.default_rng(3), 500)
    for bad, options, message in (
        (events.drop("sign"), {}, "missing"),
        (events, {"regressors": []}, "one regressor"),
        (events.head(0), {}, "events or more"),
        (events.with_columns(delay_ms=pl.lit(1.0)), {}, "vary"),
        (events.with_columns(b=pl.col("delay_ms") * 2), {"regressors": ["delay_ms", "b"]}, "combinations"),
        (events.with_columns(delay_ms=pl.lit(math.inf)), {}, "finite"),
        (events, {"block_s": 1e4}, "6 blocks"),
        (events, {"step_ms": 0.0}, "step_ms"),
    ):
        with pytest.raises(DataError, match=message):
            response_on_latency(bad, mids, **{"regressors": ["delay_ms"]} | options)
    with pytest.raises(DataError, match="at least one mid"):
        response_on_latency(events, mids.head(0), regressors=["delay_ms"])


def test_silences_gaps_and_unknown_books_are_stale_and_those_that_overlap_are_one():
    frame = messages([0, 10, 500, 510, 2_000], [0] * 5)
    gaps = pl.DataFrame({"ts_recv": [START + 400 * MS, START + 1_990 * MS], "until": [START + 505 * MS, None]})
    touches = pl.DataFrame(
        {"ts_recv": [START, START + 700 * MS, START + 900 * MS], "bid": [1.0, None, 1.0], "ask": [1.1, 1.1, 1.1]}
    )
    found = stale_windows(frame, silence_ms=100.0, gaps=gaps, touches=touches)
    spans = [((r["start"] - START) / MS, (r["end"] - START) / MS, r["cause"]) for r in found.iter_rows(named=True)]
    assert spans == [(110, 505, "silence"), (610, 2_000, "silence")]
    only = stale_windows(frame, silence_ms=5_000.0, touches=touches)
    assert [((r["start"] - START) / MS, r["duration_ms"], r["cause"]) for r in only.iter_rows(named=True)] == [
        (700, 200.0, "unknown")
    ]
    assert stale_windows(frame.head(0), silence_ms=1.0).is_empty()
    with pytest.raises(DataError, match="silence_ms"):
        stale_windows(frame, silence_ms=0)


def test_fewer_trades_in_stale_windows_are_found_and_nothing_before_them():
    windows, touches, trades = simulated.stale(np.random.default_rng(4))
    found = stale_effect(windows, touches, trades)
    rows = {(r["when"], r["measure"]): r for r in found.iter_rows(named=True)}
    during, before = rows["during", "volume"], rows["before", "volume"]
    assert during["lo"] <= -simulated.RATE / 2 <= during["hi"] < 0
    assert before["lo"] < 0 < before["hi"]
    assert rows["during", "quotes"]["lo"] < 0 < rows["during", "quotes"]["hi"]
    assert during["windows"] + during["dropped"] == windows.height
    none = stale_effect(windows.head(0), touches, trades)
    assert none["difference"].null_count() == none.height == 8
    with pytest.raises(DataError, match="missing"):
        stale_effect(windows.drop("end"), touches, trades)
    with pytest.raises(DataError, match="at least one mid"):
        stale_effect(windows, touches.head(0), trades)


def test_paths_of_a_mid_are_those_of_the_response_and_flows_add_up():
    rng = np.random.default_rng(6)
    times = START + np.arange(1, 4_000) * 25 * MS
    series = pl.DataFrame(
        {"ts_recv": times, "ts_event": times, "mid": np.exp(rng.standard_normal(times.size).cumsum() * 1e-4)}
    )
    events = pl.DataFrame(
        {"ts_recv": times[200:3_500:50] + 3, "ts_event": times[200:3_500:50] + 3, "sign": rng.choice([-1, 1], 66)}
    )
    ours = event_paths(events, series, value="mid", transform="log_bp", sign="sign", horizon_ms=500, before_ms=500)
    theirs = response(events, series, horizon_ms=500)
    for own, other in (("mean", "mean_bp"), ("lo", "lo_bp"), ("hi", "hi_bp")):
        np.testing.assert_allclose(ours[own].to_numpy(), theirs[other].to_numpy(), rtol=1e-9, atol=1e-9)
    flow = pl.DataFrame({"ts_recv": times, "volume": 1.0})
    path = event_paths(events, flow, value="volume", transform="cumulative", horizon_ms=500, before_ms=0, step_ms=25)
    assert path["mean"].to_list() == [float(k) for k in range(21)]
    by = event_paths(events, series, value="mid", by="sign")
    assert by["group"].unique(maintain_order=True).to_list() == ["-1", "1"]
    nothing = event_paths(events.head(0), series, value="mid")
    assert nothing["mean"].null_count() == nothing.height
    relative = event_paths(events, series.with_columns(mid=pl.col("mid") * 7), value="mid", transform="relative")
    plain = event_paths(events, series, value="mid")
    np.testing.assert_allclose(relative["mean"], plain["mean"] * 100 / series["mid"].mean(), rtol=1e-9)


def test_the_refill_of_a_known_depth_is_found():
    events, depth = simulated.drained(np.random.default_rng(7), 400)
    path, table = resilience(events, depth, value="depth", from_ms=0, horizon_ms=2_000)
    found = {row["measure"]: row for row in table.iter_rows(named=True)}
    assert found["drained"]["value"] == pytest.approx(simulated.DRAINED, rel=0.1)
    assert found["share_refilled"]["value"] == pytest.approx(simulated.REFILLED, rel=0.1)
    assert found["half_life_ms"]["value"] == pytest.approx(simulated.HALF_LIFE_MS, rel=0.25)
    assert all(row["lo"] <= row["value"] <= row["hi"] for row in found.values())
    assert (path["fitted"] - path["mean"]).abs().mean() < 0.2


def test_an_exact_exponential_is_fitted_to_a_thousandth():
    at = START + np.arange(1, 101) * 4 * SECOND
    times = np.unique(np.concatenate([START + np.arange(0, 410_000, 5) * MS]))
    since = (times - START) % (4 * SECOND) / MS
    held = np.where(times >= at[0], 4 * (1 - 0.5 * (1 - 2.0 ** (-since / 200))), 0.0)
    held = np.where(since > 3_500, 0.0, held)
    frame = pl.DataFrame({"ts_recv": times, "depth": 50 - held})
    _, table = resilience(pl.DataFrame({"ts_recv": at}), frame, value="depth", from_ms=0, horizon_ms=2_000)
    found = dict(zip(table["measure"], table["value"], strict=True))
    assert found["half_life_ms"] == pytest.approx(200, rel=2e-3)
    assert found["share_refilled"] == pytest.approx(0.5, rel=2e-3)
    assert found["drained"] == pytest.approx(4.0, rel=2e-3)


def test_a_refill_that_cannot_be_measured_says_why():
    events, depth = simulated.drained(np.random.default_rng(7), 40)
    for bad, series, options, message in (
        (events.head(0), depth, {}, "found none"),
        (events.head(3), depth, {"block_s": 10.0}, "6 blocks"),
        (events, depth.head(0), {}, "at least one depth"),
        (events, depth, {"from_ms": 4_990.0}, "4 offsets"),
        (events, depth, {"resamples": 5}, "resamples"),
        (events, depth.with_columns(depth=pl.lit(math.inf)), {}, "finite"),
        (events.with_columns(pl.col("ts_recv") + 10**15), depth, {}, "found none"),
    ):
        with pytest.raises(DataError, match=message):
            resilience(bad, series, value="depth", **options)
    rising = depth.with_columns(depth=pl.int_range(pl.len()).cast(pl.Float64))
    _, table = resilience(events, rising, value="depth", from_ms=0)
    assert table.filter(pl.col("measure") != "drained")["value"].to_list() == [None] * 3
