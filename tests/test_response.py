from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbook.errors import DataError
from crossbook.study.response import _student_quantile, aggressor_orders, mid_moves, response, responses, touch_flow

MS = 1_000_000
START = 1_700_000_000_000_000_000


def quotes(rows: list[tuple[int, float, float, float, float]]) -> pl.DataFrame:
    """Rows of milliseconds, bid, bid size, ask, ask size."""
    columns = ["ms", "bid", "bid_size", "ask", "ask_size"]
    return pl.DataFrame(rows, schema=columns, orient="row").select(
        ts_recv=START + pl.col("ms").cast(pl.Int64) * MS,
        ts_event=START + pl.col("ms").cast(pl.Int64) * MS,
        **{name: pl.col(name).cast(pl.Float64) for name in columns[1:]},
        mid=(pl.col("bid") + pl.col("ask")) / 2,
    )


def trades(rows: list[tuple[int, float, float, int]]) -> pl.DataFrame:
    """Rows of milliseconds, price, size, aggressor."""
    times = pl.Series([START + row[0] * MS for row in rows], dtype=pl.Int64)
    return pl.DataFrame({"ts_recv": times, "ts_event": times}).with_columns(
        price=pl.Series([float(row[1]) for row in rows], dtype=pl.Float64),
        size=pl.Series([float(row[2]) for row in rows], dtype=pl.Float64),
        side=pl.Series([row[3] for row in rows], dtype=pl.Int8),
    )


def flow(rows: list[tuple[int, float, float, float, float]], hits: list[tuple[int, float, float, int]]) -> list[tuple]:
    found = touch_flow(quotes(rows), trades(hits))
    assert found.columns == ["ts_recv", "ts_event", "kind", "side", "sign", "price", "size"]
    return [(r["kind"], r["side"], r["sign"], r["price"], round(r["size"], 9)) for r in found.to_dicts()]


def test_more_at_the_same_best_price_is_an_addition_and_less_a_cancellation_signed_by_its_push():
    rows = [(0, 10, 1, 11, 5), (1, 10, 3, 11, 5), (2, 10, 3, 11, 9), (3, 10, 2, 11, 9), (4, 10, 2, 11, 8)]
    assert flow(rows, []) == [
        ("add", "bid", 1, 10.0, 2.0),
        ("add", "ask", -1, 11.0, 4.0),
        ("cancel", "bid", -1, 10.0, 1.0),
        ("cancel", "ask", 1, 11.0, 1.0),
    ]


def test_a_moved_best_price_is_neither():
    assert flow([(0, 10, 1, 12, 5), (1, 11, 3, 12, 5), (2, 10, 9, 12, 5)], []) == []


@pytest.mark.parametrize(
    ("hits", "left"),
    [
        ([(2, 10, 3, -1)], []),  # explained
        ([(2, 10, 7, -1)], []),  # more than explained: what was added meanwhile is not seen
        (
            [(2, 10, 1, -1), (1, 10, 1, -1)],
            [1.0],
        ),  # two of three; the later quote's own instant counts
        ([(0, 10, 3, -1)], [3.0]),  # at the earlier quote's instant: that one shows it
        ([(3, 10, 3, -1)], [3.0]),  # too late
        ([(1, 9, 3, -1)], [3.0]),  # another price
        ([(1, 10, 3, 1), (1, 10, 3, 0)], [3.0]),  # another side, or none known
    ],
)
def test_trades_at_that_price_and_side_between_the_quotes_explain_a_smaller_size(hits, left):
    found = flow([(0, 10, 5, 11, 1), (2, 10, 2, 11, 1)], hits)
    assert found == [("cancel", "bid", -1, 10.0, size) for size in left]


def test_trades_received_after_their_quote_explain_it_by_engine_time_on_the_receive_clock():
    rows = quotes([(0, 10, 5, 11, 1), (2, 10, 2, 11, 1), (9, 10, 2, 11, 1)])
    late = trades([(2, 10, 3, -1)]).with_columns(ts_recv=START + 3 * MS)
    assert touch_flow(rows, late).height == 0
    # Where one of them carries no engine time there is only the clock.
    assert touch_flow(rows.with_columns(ts_event=pl.lit(0, pl.Int64)), late)["size"].to_list() == [3.0]


def test_a_trade_explains_the_first_reductions_of_its_engine_instant_and_no_more_than_its_size():
    rows = quotes([(0, 10, 9, 11, 1), (2, 10, 7, 11, 1), (3, 10, 4, 11, 1), (4, 10, 3, 11, 1)])
    instant = [START, *[START + 2 * MS] * 3]
    found = touch_flow(rows.with_columns(ts_event=pl.Series(instant)), trades([(2, 10, 4, -1)]))
    assert found.select("ts_recv", "kind", "size").rows() == [
        (START + 3 * MS, "cancel", 1.0),
        (START + 4 * MS, "cancel", 1.0),
    ]


def test_rounding_is_no_cancellation():
    assert flow([(0, 10, 1.3, 11, 1), (2, 10, 1.0, 11, 1)], [(1, 10, 0.3, -1)]) == []


def test_of_quotes_at_one_instant_the_last_holds_and_the_clock_sorts_them():
    frame = quotes([(5, 10, 9, 11, 1), (0, 10, 1, 11, 1), (5, 10, 2, 11, 1)])
    found = touch_flow(frame, trades([]))
    assert found["size"].to_list() == [1.0]
    assert touch_flow(frame.with_columns(ts_event=0), trades([]), clock="event").height == 0


def test_mid_moves_carry_the_sign_and_the_size_in_basis_points():
    frame = quotes([(0, 10, 1, 12, 1), (1, 10, 2, 12, 1), (2, 12, 1, 14, 1), (3, 12, 1, 12, 1)])
    found = mid_moves(frame)
    assert found["ts_recv"].to_list() == [START + 2 * MS, START + 3 * MS]
    assert found["sign"].to_list() == [1, -1]
    assert found["size_bp"].to_list() == pytest.approx([1e4 * math.log(13 / 11), 1e4 * math.log(13 / 12)])


def test_consecutive_fills_of_one_engine_time_and_side_are_one_order():
    fills = trades([(1, 10, 1, 1), (1, 11, 3, 1), (1, 11, 1, -1), (1, 12, 1, 1), (2, 12, 1, 1)])
    received = fills.with_columns(ts_recv=pl.Series([START + n for n in range(5)]))
    found = aggressor_orders(received)
    assert found.columns == ["ts_recv", "ts_event", "side", "price", "size", "fills"]
    assert found.drop("ts_event").rows() == [
        (START, 1, 10.75, 4.0, 2),
        (START + 2, -1, 11.0, 1.0, 1),
        (START + 3, 1, 12.0, 1.0, 1),
        (START + 4, 1, 12.0, 1.0, 1),
    ]


def test_fills_without_engine_time_are_one_order_by_receive_time():
    fills = trades([(1, 10, 1, 1), (1, 11, 3, 1), (2, 11, 1, 1)]).with_columns(ts_event=pl.lit(0, pl.Int64))
    assert aggressor_orders(fills)["fills"].to_list() == [2, 1]
    with pytest.raises(DataError, match="'size'"):
        aggressor_orders(fills.drop("size"))


def test_a_sweep_of_fifty_fills_is_one_event_of_the_response():
    frame = quotes([(ms, 10 + ms, 1, 11 + ms, 1) for ms in range(100)])
    sweep = trades([(40, 51, 1, 1)] * 50 + [(60, 71, 1, -1)])
    found = responses(frame, sweep, frame, horizon_ms=20).filter(pl.col("event") == "trade")
    assert found["events"].unique().to_list() == [2]


def events(rows: list[tuple[int, int]]) -> pl.DataFrame:
    times = pl.Series([START + row[0] * MS for row in rows], dtype=pl.Int64)
    return pl.DataFrame({"ts_recv": times, "ts_event": times}).with_columns(
        sign=pl.Series([row[1] for row in rows], dtype=pl.Int8)
    )


milliseconds = st.integers(0, 120)


@given(
    rows=st.lists(st.tuples(milliseconds, st.integers(1, 9)), min_size=1, max_size=30),
    happened=st.lists(st.tuples(milliseconds, st.integers(-1, 1)), max_size=20),
)
def test_the_mean_path_and_its_clustered_band_are_those_of_the_formula(rows, happened):
    frame = quotes([(ms, mid - 0.5, 1, mid + 0.5, 1) for ms, mid in rows])
    found = response(events(happened), frame, horizon_ms=20, step_ms=5, block_s=0.03)

    known = sorted(rows, key=lambda row: row[0])

    def at(t: float) -> float | None:
        return next((math.log(mid) for ms, mid in reversed(known) if ms <= t), None)

    used: list[tuple[int, list[float]]] = []
    signed = sorted(((ms, sign) for ms, sign in happened if sign), key=lambda event: event[0])
    for ms, sign in signed:
        base = at(ms - 0.5)
        if base is not None and ms - 20 >= known[0][0] and ms + 20 <= known[-1][0]:
            used.append(
                ((ms - signed[0][0]) // 30, [1e4 * sign * ((at(ms + o) or 0.0) - base) for o in range(-20, 21, 5)])
            )
    assert found["events"].unique().to_list() == [len(used)]
    assert found["dropped"].unique().to_list() == [len(signed) - len(used)]
    assert found["offset_ms"].to_list() == [float(o) for o in range(-20, 21, 5)]
    if not used:
        assert found["mean_bp"].null_count() == found["lo_bp"].null_count() == 9
        return
    paths, groups = np.array([path for _, path in used]), np.array([block for block, _ in used])
    mean = paths.mean(axis=0)
    np.testing.assert_allclose(found["mean_bp"].to_numpy(), mean, atol=1e-9)
    count = len(set(groups.tolist()))
    if count < 2:
        assert found["lo_bp"].null_count() == found["hi_bp"].null_count() == 9
        return
    scores = np.array([(paths[groups == g] - mean).sum(axis=0) for g in set(groups.tolist())])
    error = np.sqrt(count / (count - 1) * (scores**2).sum(axis=0)) / len(used)
    reach = _student_quantile(0.975, count - 1) * error
    np.testing.assert_allclose(found["hi_bp"].to_numpy() - mean, reach, atol=1e-6)
    np.testing.assert_allclose(mean - found["lo_bp"].to_numpy(), reach, atol=1e-6)


def test_quantiles_of_students_t_are_those_of_the_tables():
    # NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2.
    table = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 10: 2.228, 35: 2.030, 100: 1.984}
    assert {n: round(_student_quantile(0.975, n), 3) for n in table} == table
    assert round(_student_quantile(0.95, 7), 3) == 1.895


def test_a_secondary_that_follows_after_eighty_milliseconds_steps_there():
    rng = np.random.default_rng(1)
    moves = np.cumsum(rng.integers(300, 700, 400))
    mids = 60_000.0 + np.cumsum(rng.choice([-1.0, 1.0], 400))
    primary = quotes([(int(ms), mid - 0.5, 1, mid + 0.5, 1) for ms, mid in zip(moves, mids, strict=True)])
    secondary = primary.with_columns(pl.col("ts_recv", "ts_event") + 80 * MS)
    hit = mid_moves(primary)
    taken = trades([((ts - START) // MS, 1.0, 1.0, sign) for ts, sign in hit.select("ts_recv", "sign").rows()])
    found = responses(primary, taken, secondary, horizon_ms=200)
    assert found.columns == ["event", "offset_ms", "mean_bp", "lo_bp", "hi_bp", "events", "dropped"]
    assert found["event"].unique(maintain_order=True).to_list() == ["trade", "mid_move", "touch_add", "touch_cancel"]
    for kind in ("trade", "mid_move"):
        path = found.filter(pl.col("event") == kind)
        before, after = path.filter(pl.col("offset_ms") < 80), path.filter(pl.col("offset_ms") >= 80)
        assert before["mean_bp"].abs().max() == 0.0
        assert after["mean_bp"].to_list() == pytest.approx([1e4 / 60_000] * 13, rel=0.01)
    assert found.filter(pl.col("event") == "touch_add")["mean_bp"].null_count() == 41


def test_what_response_cannot_use_says_what_was_expected():
    frame = quotes([(0, 10, 1, 11, 1), (1, 10, 1, 11, 1)])
    with pytest.raises(DataError, match="column sign"):
        response(frame, frame)
    with pytest.raises(DataError, match="at least one quote"):
        response(events([(0, 1)]), frame.head(0))
    with pytest.raises(DataError, match="0 < step_ms"):
        response(events([(0, 1)]), frame, step_ms=-1.0)
