from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.errors import DataError
from crossbook.study import anticipation_features, anticipation_outcomes

MS = 1_000_000


def touches(rows: list[tuple[float, float, float, float, float]], start: int = 0) -> pl.DataFrame:
    """Rows of (ms, bid, bid size, ask, ask size)."""
    frame = pl.DataFrame(rows, schema=["ms", "bid", "bid_size", "ask", "ask_size"], orient="row", strict=False)
    ts = (pl.col("ms") * MS).round().cast(pl.Int64) + start
    return frame.select(
        ts_recv=ts,
        ts_event=ts + 5,
        bid=pl.col("bid").cast(pl.Float64),
        bid_size=pl.col("bid_size").cast(pl.Float64),
        ask=pl.col("ask").cast(pl.Float64),
        ask_size=pl.col("ask_size").cast(pl.Float64),
    )


def trades(rows: list[tuple[float, int, float, int]]) -> pl.DataFrame:
    """Rows of (ms, side, size, engine time)."""
    frame = pl.DataFrame(rows, schema=["ms", "side", "size", "ts_event"], orient="row", strict=False)
    ts = (pl.col("ms") * MS).round().cast(pl.Int64)
    return frame.select(
        ts_recv=ts,
        ts_event=pl.col("ts_event").cast(pl.Int64),
        side=pl.col("side").cast(pl.Int8),
        price=pl.lit(100.0),
        size=pl.col("size").cast(pl.Float64),
    )


NO_TRADES = trades([(1, 1, 1.0, 1)]).clear()


def market(seed: int, rows: int = 300) -> tuple[pl.DataFrame, ...]:
    """Touches and trades of two venues at irregular times, some of them unknown, on ticks of 0.1."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(2):
        ms = np.sort(rng.integers(1, 3_000, rows))
        bid = np.round(100 + 0.1 * np.cumsum(rng.integers(-1, 2, rows)), 1)
        ask = bid + 0.1 * rng.integers(1, 4, rows)
        sizes = rng.integers(1, 9, (2, rows)).astype(float)
        lost = rng.uniform(size=rows) < 0.03
        shown = touches(list(zip(ms, bid, sizes[0], ask, sizes[1], strict=True)))
        gone = pl.lit(pl.Series(lost))
        shown = shown.with_columns(pl.when(gone).then(None).otherwise(pl.col(c)).alias(c) for c in ("ask", "ask_size"))
        when = np.sort(rng.integers(1, 3_000, rows))
        engine = (when // 3) * 3 * MS
        hits = trades(list(zip(when, rng.choice([-1, 0, 1], rows), rng.exponential(1, rows), engine, strict=True)))
        frames += [shown, hits]
    return tuple(frames)


def slow_sum(times: np.ndarray, values: np.ndarray, now: int, decay_ms: float) -> float:
    past = times <= now
    return float((values[past] * np.exp(-(now - times[past]) / (decay_ms * MS))).sum())


def slow_flow(shown: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Cont, Kukanov & Stoikov (2014), section 2.1, row by row."""
    found = []
    rows = shown.rows(named=True)
    for old, new in pairwise(rows):
        if None in old.values() or None in new.values():
            continue
        flow = (new["bid"] >= old["bid"]) * new["bid_size"] - (new["bid"] <= old["bid"]) * old["bid_size"]
        flow += (new["ask"] >= old["ask"]) * old["ask_size"] - (new["ask"] <= old["ask"]) * new["ask_size"]
        found.append((new["ts_recv"], flow))
    return np.array([t for t, _ in found]), np.array([f for _, f in found])


def test_features_are_the_sums_of_their_definition() -> None:
    frames = market(1)
    at = np.arange(200, 2_900, 333) * MS
    found = anticipation_features(*frames, at=at, decays_ms=(50.0, 700.0), basis_decay_s=0.4)
    assert found.height > 4
    for row in found.iter_rows(named=True):
        now = row["ts"]
        mids = []
        for role, shown, hits in (("primary", *frames[:2]), ("secondary", *frames[2:])):
            known = shown.drop_nulls()
            mid = ((known["bid"] + known["ask"]) / 2).to_numpy()
            when, moves = known["ts_recv"].to_numpy()[1:], np.diff(np.log(mid)) * 1e4
            last = known.filter(pl.col("ts_recv") <= now).row(-1, named=True)
            mids.append((known["ts_recv"].to_numpy(), mid))
            for decay in (50.0, 700.0):
                assert row[f"{role}_move_{decay:g}"] == pytest.approx(slow_sum(when, moves, now, decay), abs=1e-9)
                power = slow_sum(when, moves**2, now, decay)
                assert row[f"{role}_volatility_{decay:g}"] == pytest.approx(math.sqrt(power))
                flow = slow_sum(hits["ts_recv"].to_numpy(), (hits["side"] * hits["size"]).to_numpy(), now, decay)
                assert row[f"{role}_flow_{decay:g}"] == pytest.approx(flow, abs=1e-9)
                assert row[f"{role}_ofi_{decay:g}"] == pytest.approx(slow_sum(*slow_flow(shown), now, decay), abs=1e-9)
                first = (hits["ts_event"] != hits["ts_event"].shift()) | (hits["side"] != hits["side"].shift())
                orders = hits.filter(first.fill_null(True))
                buys = orders.filter(pl.col("side") == 1)["ts_recv"].to_numpy()
                per_second = slow_sum(buys, np.ones(buys.size), now, decay) / (decay / 1e3)
                assert row[f"{role}_buys_{decay:g}"] == pytest.approx(per_second)
            assert row[f"{role}_spread_bp"] == pytest.approx(
                (last["ask"] - last["bid"]) / (last["ask"] + last["bid"]) * 2e4
            )
            sizes = last["bid_size"], last["ask_size"]
            assert row[f"{role}_imbalance"] == pytest.approx((sizes[0] - sizes[1]) / sum(sizes))
            assert row[f"{role}_log_depth"] == pytest.approx(math.log(sum(sizes)))


def test_a_deviation_is_what_a_fine_integral_over_the_past_gives() -> None:
    # Known throughout, so that the basis is one step function.
    primary = touches([(1, 99.9, 1, 100.1, 1), (400, 100.4, 1, 100.6, 1)])
    secondary = touches([(1, 99.9, 1, 100.1, 1), (600, 100.9, 2, 101.1, 6), (900, 100.8, 1, 101.2, 1)])
    found = anticipation_features(
        primary, NO_TRADES, secondary, NO_TRADES, at=[800 * MS, 1_000 * MS], decays_ms=(300.0,), basis_decay_s=0.25
    )

    def mean(levels: list[tuple[float, float]], now: float, decay: float) -> float:
        grid = np.arange(1.0, now, 0.01) + 0.005
        value = np.array([v for _, v in levels])[np.searchsorted([t for t, _ in levels], grid, "right") - 1]
        weight = np.exp(-(now - grid) / decay)
        return float((weight * value).sum() / weight.sum())

    basis = [(1.0, 0.0), (400.0, 1e4 * math.log(100 / 100.5)), (600.0, 1e4 * math.log(101 / 100.5))]
    depth = [(1.0, math.log(2)), (600.0, math.log(8)), (900.0, math.log(2))]
    assert found["basis_deviation_bp"][0] == pytest.approx(basis[-1][1] - mean(basis, 800, 250), abs=1e-3)
    assert found["secondary_depth_300"][0] == pytest.approx(math.log(8) - mean(depth[:2], 800, 300), abs=1e-4)
    assert found["secondary_depth_300"][1] == pytest.approx(math.log(2) - mean(depth, 1_000, 300), abs=1e-4)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(300, 2_700), st.sampled_from(["recv", "event"]))
def test_features_do_not_know_the_future(seed: int, cut_ms: int, clock: str) -> None:
    frames = market(seed, rows=80)
    at = np.unique([*range(100, cut_ms, 97), cut_ms]) * MS
    rng = np.random.default_rng(seed)
    before = anticipation_features(*frames, at=at, clock=clock)  # type: ignore[arg-type]
    changed = []
    for frame in frames:
        later = pl.col(f"ts_{clock}") > cut_ms * MS
        past, future = frame.filter(~later), frame.filter(later)
        # Every column but the clock, in another order and of another size; then everything as it comes off a disk.
        mixed = future.select(
            pl.col("ts_recv", "ts_event"),
            *(future[c].gather(rng.permutation(future.height)) for c in future.columns if not c.startswith("ts")),
        ).with_columns(pl.col("^.*size$") * 7)
        # And something wild, on both clocks, a nanosecond after the last decision.
        prices = [c for c in ("bid", "ask", "price") if c in frame.columns]
        wild = frame.head(1).with_columns(pl.col(prices) * 1.5, pl.lit(cut_ms * MS + 1, pl.Int64).alias(f"ts_{clock}"))
        changed.append(pl.concat([past, wild, mixed]))
    assert anticipation_features(*changed, at=at, clock=clock).equals(before)  # type: ignore[arg-type]
    alone = [frame.filter(pl.col(f"ts_{clock}") <= cut_ms * MS) for frame in frames]
    assert anticipation_features(*alone, at=at, clock=clock).equals(before)  # type: ignore[arg-type]


def test_what_happens_at_the_decision_is_known_and_a_nanosecond_later_is_not() -> None:
    steady = touches([(1, 99, 1, 101, 1)])
    moving = touches([(1, 99, 1, 101, 1), (10, 100, 1, 102, 1)])
    hit = trades([(10, 1, 3.0, 0)])
    at = [10 * MS - 1, 10 * MS]
    found = anticipation_features(moving, hit, steady, NO_TRADES, at=at, decays_ms=(5.0,))
    assert found["primary_move_5"].to_list() == pytest.approx([0.0, 1e4 * math.log(101 / 100)])
    assert found["primary_flow_5"].to_list() == [0.0, 3.0]
    assert found["primary_buys_5"].to_list() == [0.0, 200.0]


def test_fills_of_one_order_are_one_order_counted_at_the_first() -> None:
    steady = touches([(1, 99, 1, 101, 1)])
    sweep = trades([(10, 1, 1.0, 7), (10, 1, 2.0, 7), (12, 1, 4.0, 7), (13, -1, 1.0, 7), (14, -1, 1.0, 9)])
    found = anticipation_features(steady, sweep, steady, NO_TRADES, at=[11 * MS, 12 * MS, 20 * MS], decays_ms=(1e6,))
    assert (found["primary_buys_1e+06"] * 1e3).to_list() == pytest.approx([1.0, 1.0, 1.0], rel=1e-3)
    assert (found["primary_sells_1e+06"] * 1e3).to_list() == pytest.approx([0.0, 0.0, 2.0], rel=1e-3)
    assert found["primary_flow_1e+06"].to_list() == pytest.approx([3.0, 7.0, 5.0], rel=1e-3)


def test_venues_that_were_never_watched_together_give_no_rows() -> None:
    early = touches([(1, 99, 1, 101, 1), (100, 99, 1, 101, 1)])
    late = touches([(1_000, 99, 1, 101, 1), (2_000, 99, 1, 101, 1)])
    for pair in ((early, late), (late, early)):
        assert anticipation_features(pair[0], NO_TRADES, pair[1], NO_TRADES).is_empty()


def test_decisions_wait_until_both_are_known_and_end_with_the_first_to_end() -> None:
    primary = touches([(100, 99, 1, 101, 1), (900, 99, 1, 101, 1)])
    secondary = touches([(300, 99, 1, 101, 1), (2_000, 99, 1, 101, 1)])
    found = anticipation_features(
        primary, NO_TRADES, secondary, NO_TRADES, every_ms=100, decays_ms=(10.0,), warm_up_ms=50
    )
    assert (found["ts"] // MS).to_list() == [350, 450, 550, 650, 750, 850]
    assert found.null_count().sum_horizontal()[0] == 0
    none = anticipation_features(primary, NO_TRADES, secondary, NO_TRADES, at=[200 * MS])
    assert none.height == 0
    assert none.columns[0] == "ts"


def test_no_row_stands_for_a_touch_that_is_not_known() -> None:
    primary = touches([(1, 99, 1, 101, 1)])
    secondary = touches([(1, 99, 1, 101, 1), (5, 99, 1, None, None), (9, 99, 1, 101, 1)])
    found = anticipation_features(primary, NO_TRADES, secondary, NO_TRADES, at=[4 * MS, 6 * MS, 9 * MS])
    assert (found["ts"] // MS).to_list() == [4, 9]
    assert found.select(pl.exclude("ts").is_finite().all()).row(0) == (True,) * (found.width - 1)


def test_rows_that_come_unsorted_or_twice_change_nothing() -> None:
    frames = market(3, rows=120)
    frames = tuple(frame.unique("ts_recv", keep="first", maintain_order=True) for frame in frames)
    at = np.arange(200, 2_900, 100) * MS
    mixed = tuple(frame.sample(fraction=1.0, shuffle=True, seed=1) for frame in frames)
    found = anticipation_features(*frames, at=at)
    assert anticipation_features(*mixed, at=at).equals(found)
    twice = pl.concat([frames[2], frames[2]])
    again = anticipation_features(frames[0], frames[1], twice, frames[3], at=at)
    same = [c for c in found.columns if not c.startswith("secondary_ofi")]
    for name in same:
        assert again[name].to_numpy() == pytest.approx(found[name].to_numpy(), abs=1e-9)


def test_outcomes_are_what_the_touch_does_between_two_times() -> None:
    shown = touches([(0.001, 99, 1, 101, 1), (10, 100, 1, 102, 3), (20, 101, 2, 104, 2)])
    found = anticipation_outcomes([5 * MS, 12 * MS, 15 * MS], shown, horizons_ms=(5.0, 8.0))
    rows = [(5, 5.0), (12, 5.0), (15, 5.0), (5, 8.0), (12, 8.0)]
    assert found.select(pl.col("ts") // MS, "horizon_ms").rows() == rows
    first, last = found.row(0, named=True), found.row(4, named=True)
    assert first["move_bp"] == pytest.approx(1e4 * math.log(101 / 100))
    assert first["depth_change"] == pytest.approx(math.log(4 / 2))
    assert last["spread_change_bp"] == pytest.approx(3 / 102.5 * 1e4 - 2 / 101 * 1e4)
    assert found.row(1, named=True)["move_bp"] == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f[0].drop("ask"), *f[1:]), r"primary touches: expected columns"),
        (lambda f: (f[0].clear(), *f[1:]), r"primary touches: expected at least one with both sides known"),
        (lambda f: (*f[:2], f[2].with_columns(bid=math.nan), f[3]), r"secondary touches: expected at least one"),
        (
            lambda f: (*f[:3], f[3].with_columns(size=math.nan)),
            r"secondary_trades: size: expected numbers of 0 or more",
        ),
        (lambda f: (*f[:3], f[3].with_columns(size=-1.0)), r"expected sizes of 0 or more, found -1"),
        (lambda f: (*f[:3], f[3].drop("side")), r"secondary trades: expected columns side and size"),
        (lambda f: (f[0].drop("ts_recv"), *f[1:]), r"expected a column ts_recv"),
    ],
)
def test_features_refuse_what_they_cannot_read(change, message: str) -> None:
    with pytest.raises(DataError, match=message):
        anticipation_features(*change(market(1, rows=20)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": [2, 1]}, "at: expected strictly ascending times, found 1 after 2 in row 1"),
        ({"at": [2, 2]}, "strictly ascending"),
        ({"at": [0.5]}, "whole ns"),
        ({"at": [[1]]}, "one column"),
        ({"decays_ms": ()}, "decays_ms"),
        ({"decays_ms": (0.0,)}, "decays_ms"),
        ({"decays_ms": (math.nan,)}, "decays_ms"),
        ({"decays_ms": (5.0, 5.0)}, "each length once"),
        ({"every_ms": 0.0}, "every_ms"),
        ({"basis_decay_s": -1.0}, "basis_decay_s"),
        ({"warm_up_ms": -1.0}, "warm_up_ms"),
    ],
)
def test_features_refuse_options_out_of_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        anticipation_features(*market(1, rows=20), **options)  # type: ignore[arg-type]


def test_one_row_a_venue_and_constant_prices_give_zeros() -> None:
    one = touches([(1, 99, 1, 101, 1)])
    found = anticipation_features(one, NO_TRADES, one, NO_TRADES, at=[1 * MS, 50 * MS])
    still = [c for c in found.columns if c[-1].isdigit() or c == "basis_deviation_bp"]
    assert all(found[c].to_list() == [0.0, 0.0] for c in still)
