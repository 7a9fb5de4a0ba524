"""The two clocks, on frames small enough to do by hand."""

from __future__ import annotations

import polars as pl
import pytest

from crossbook.errors import DataError
from crossbook.study import clock_path, clocks, impute_times

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def messages(seconds: int = 20, *, offset_ms: float = -10.0, drift_ms_per_min: float = 0.0) -> pl.DataFrame:
    ts = [START + i * SECOND // 10 for i in range(seconds * 10)]
    late = [round((offset_ms + drift_ms_per_min * (i // 10) / 60) * 1e6) for i in range(seconds * 10)]
    # Received at whole tenths, so that every second of receipt holds ten messages.
    rows = {"venue": "a", "ts_recv": ts, "ts_event": [t - d for t, d in zip(ts, late, strict=True)]}
    return pl.DataFrame(rows, schema={"venue": pl.String, "ts_recv": pl.Int64, "ts_event": pl.Int64})


def test_a_constant_offset_is_found_without_drift() -> None:
    (found,) = clocks(messages()).iter_rows(named=True)
    assert (found["messages"], found["offset_p05_ms"], found["offset_ms"], found["offset_p95_ms"]) == (
        200,
        *[-10.0] * 3,
    )
    assert [found[name] for name in ("drift_ms_per_min", "drift_lo", "drift_hi")] == pytest.approx([0.0] * 3, abs=1e-9)
    assert found["behind"] is True


def test_a_steady_drift_is_found_per_minute() -> None:
    (found,) = clocks(messages(60, offset_ms=5.0, drift_ms_per_min=3.0)).iter_rows(named=True)
    assert found["drift_ms_per_min"] == pytest.approx(3.0, rel=1e-6)
    assert found["drift_lo"] <= found["drift_ms_per_min"] <= found["drift_hi"]
    assert found["behind"] is False


def test_below_ten_seconds_there_is_no_drift_to_speak_of() -> None:
    (found,) = clocks(messages(9)).iter_rows(named=True)
    assert (found["drift_ms_per_min"], found["drift_lo"], found["drift_hi"]) == (None, None, None)
    assert found["offset_ms"] == -10.0


def test_messages_without_an_event_time_are_left_out() -> None:
    mixed = pl.concat([messages(), messages().with_columns(ts_event=pl.lit(0, pl.Int64))])
    assert clocks(mixed)["messages"].to_list() == [200]


def test_venues_are_kept_apart() -> None:
    both = pl.concat([messages(), messages(offset_ms=4.0).with_columns(venue=pl.lit("b"))])
    assert dict(clocks(both).select("venue", "offset_ms").iter_rows()) == {"a": -10.0, "b": 4.0}
    path = clock_path(both)
    assert path.group_by("venue").len().sort("venue")["len"].to_list() == [20, 20]
    assert path["offset_fit_ms"].round(6).unique().sort().to_list() == [-10.0, 4.0]


def test_no_messages_give_no_rows_and_a_missing_column_is_named() -> None:
    assert clocks(messages()[:0]).height == clock_path(messages()[:0]).height == 0
    assert clocks(messages()[:0]).columns == clocks(messages()).columns
    with pytest.raises(DataError, match=r"missing .*'ts_event'"):
        clocks(messages().drop("ts_event"))


def frame(sequence: list[int], ts_event: list[int]) -> pl.DataFrame:
    schema = {"sequence": pl.UInt64, "ts_event": pl.Int64}
    return pl.DataFrame({"sequence": sequence, "ts_event": ts_event}, schema=schema)


def test_untimed_quotes_are_placed_between_depth_messages_by_update_id() -> None:
    depth = frame([10, 20, 40], [1_000, 2_000, 8_000])
    found = impute_times(frame([5, 10, 15, 20, 35, 40, 41, 15], [0, 0, 0, 0, 0, 0, 0, 1_777]), depth)
    assert found["ts_event"].to_list() == [0, 1_000, 1_500, 2_000, 6_500, 8_000, 0, 1_777]
    assert found["imputed"].to_list() == [False, True, True, True, True, True, False, False]


def test_through_a_hole_in_the_depth_messages_nothing_is_interpolated() -> None:
    second, steps = 1_000_000_000, [0, 100, 200, 300, 2_000, 2_100]  # ms
    depth = frame([10, 20, 30, 40, 50, 60], [START + ms * second // 1_000 for ms in steps])
    found = impute_times(frame([15, 40, 45, 50, 55], [0] * 5), depth)
    expected = [START + ms * second // 1_000 if ms else 0 for ms in (50, 300, 0, 2_000, 2_050)]
    assert found["ts_event"].to_list() == expected
    assert found["imputed"].to_list() == [True, True, False, True, True]


def test_ids_and_times_too_large_for_floats_are_placed_to_the_nanosecond() -> None:
    first, ts = 2**60 + 1, 1_723_161_253_937_085_768
    depth = frame([first, first + 100], [ts, ts + 100])
    assert impute_times(frame([first + 33], [0]), depth)["ts_event"].to_list() == [ts + 33]


@pytest.mark.parametrize("depth", [frame([], []), frame([1, 2], [0, 0])])
def test_without_timed_depth_nothing_is_imputed(depth: pl.DataFrame) -> None:
    found = impute_times(frame([1], [0]), depth)
    assert (found["ts_event"].to_list(), found["imputed"].to_list()) == ([0], [False])
