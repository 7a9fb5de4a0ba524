"""Signs of trades by rules, spreads that are quoted and paid, Roll's from prices, the micro-price."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.errors import DataError
from crossbook.study import (
    adverse_selection,
    fit_micro_price,
    micro_price,
    quoted_spread,
    roll_spread,
    sign_trades,
    signing_accuracy,
    spreads,
)

MS, S = 1_000_000, 1_000_000_000
START = 1_700_000_000 * S


def trades(rows: list[tuple[int, float, int]]) -> pl.DataFrame:
    """Time in ms, price, side."""
    schema = {"ts_recv": pl.Int64, "price": pl.Float64, "side": pl.Int8}
    frame = pl.DataFrame([(START + MS * at, price, side) for at, price, side in rows], schema=schema, orient="row")
    return frame.with_columns(ts_event="ts_recv", size=pl.lit(1.0))


def mids(rows: list[tuple[int, float | None]]) -> pl.DataFrame:
    frame = pl.DataFrame([(START + MS * at, mid) for at, mid in rows], schema=["ts_recv", "mid"], orient="row")
    return frame.with_columns(pl.col("mid").cast(pl.Float64))


def test_rules_give_the_signs_of_the_paper() -> None:
    seen = trades([(5, 101, 1), (15, 99, -1), (25, 100, 1), (35, 100, 1), (45, 100.5, 1), (55, 100, -1)])
    quotes = mids([(0, 100), (40, None), (50, 101)])
    assert sign_trades(seen, quotes, rule="quote")["sign"].to_list() == [1, -1, 0, 0, 0, -1]
    assert sign_trades(seen, rule="tick")["sign"].to_list() == [0, -1, 1, 1, 1, -1]
    assert sign_trades(seen, quotes)["sign"].to_list() == [1, -1, 1, 1, 1, -1]
    # The quote must be strictly before the trade, and before it by the delay.
    assert sign_trades(seen, mids([(5, 100)]), rule="quote")["sign"].to_list()[0] == 0
    assert sign_trades(seen, quotes, rule="quote", delay_ms=10)["sign"].to_list() == [0, -1, 0, 0, 1, 0]
    table = signing_accuracy(seen, quotes)
    assert table["rule"].to_list() == ["quote", "tick", "lee_ready"]
    assert table["signed"].to_list() == pytest.approx([3 / 6, 5 / 6, 1.0])
    assert table["correct"].to_list() == pytest.approx([3 / 6, 5 / 6, 1.0])
    assert table["correct_of_signed"].to_list() == [1.0, 1.0, 1.0]
    assert table["lo"].to_list() == [None] * 3
    assert signing_accuracy(seen, quotes, block_s=0.01)["lo"][0] is not None


def test_unusable_trades_are_typed_errors_or_signs_of_0() -> None:
    seen = trades([(5, 101, 1), (15, 99, -1)])
    assert sign_trades(seen, mids([]))["sign"].to_list() == [0, -1]
    assert sign_trades(seen.head(0), mids([]))["sign"].to_list() == []
    assert sign_trades(seen.with_columns(ts_recv=pl.lit(0)), mids([(0, 100)]), rule="quote")["sign"].to_list() == [0, 0]
    assert signing_accuracy(seen.head(0), mids([]))["correct"].to_list() == [None] * 3
    for frame, quotes, options, expected in [
        (seen, None, {}, "expected quotes"),
        (seen.drop("price"), mids([]), {}, "column price"),
        (seen.with_columns(price=pl.lit(math.nan)), mids([]), {}, "finite prices"),
        (seen, mids([]).drop("mid"), {}, "column mid"),
        (seen, mids([]), {"rule": "emo"}, "rule"),
        (seen, mids([]), {"delay_ms": -1}, "delay_ms"),
        (seen.drop("ts_recv"), mids([]), {}, "ts_recv"),
    ]:
        with pytest.raises(DataError, match=expected):
            sign_trades(frame, quotes, **options)
    with pytest.raises(DataError, match="side"):
        signing_accuracy(seen.drop("side"), mids([]))


@settings(max_examples=60)
@given(st.lists(st.integers(0, 3), max_size=30))
def test_the_tick_rule_is_the_sign_of_the_last_different_price(prices: list[int]) -> None:
    found = sign_trades(trades([(k, p, 1) for k, p in enumerate(prices)]), rule="tick")["sign"].to_list()
    for k, price in enumerate(prices):
        before = [p for p in prices[:k] if p != price]
        runs = [p for p in reversed(prices[:k]) if p != price]
        assert found[k] == (0 if not before else (1 if price > runs[0] else -1))


def test_the_quoted_spread_is_weighted_by_time() -> None:
    quotes = pl.DataFrame(
        {
            "ts_recv": [START, START + S, START + 4 * S, START + 5 * S],
            "bid": [99.0, 99.5, None, 99.0],
            "ask": [101.0, 100.5, 101.0, 101.0],
        }
    )
    row = quoted_spread(quotes).row(0, named=True)
    assert row["quoted_bp"] == pytest.approx((200 + 3 * 100) / 4)
    assert (row["median_bp"], row["seconds"], row["quotes"]) == (pytest.approx(100), 4.0, 3)
    assert row["lo"] is None
    assert quoted_spread(quotes, end=START + 11 * S)["quoted_bp"][0] == pytest.approx((200 * 7 + 3 * 100) / 10)
    # Two cosines over four blocks of 1 s, whatever the rows:
    # ∫ cos(π j t / 4) (spread - mean) dt = 100 sin(π j / 4) / (π j / 4).
    blocks = quoted_spread(quotes, block_s=1.0).row(0, named=True)
    turn = np.pi * np.arange(1, 3) / 4
    width = 4.302652730 * math.sqrt(2 / 2 * float(((100 * np.sin(turn) / turn) ** 2).sum())) / 4  # t of 2 degrees
    assert blocks["hi"] - 125 == pytest.approx(width, rel=5e-3)
    assert quoted_spread(quotes.head(0))["quoted_bp"].to_list() == [None]
    with pytest.raises(DataError, match="missing"):
        quoted_spread(quotes.drop("bid"))
    with pytest.raises(DataError, match="block_s"):
        quoted_spread(quotes, block_s=0)


def test_effective_is_realised_plus_impact_and_never_negative_however_late_trades_come() -> None:
    rng = np.random.default_rng(3)
    count = 400
    at = START + np.arange(1, count + 1) * 100 * MS
    side = rng.choice([-1, 1], count)
    mid = 1000.0 + np.concatenate([[0], np.cumsum(side)])
    quotes = pl.DataFrame({"ts_recv": np.append(START, at), "mid": mid, "bid": mid - 0.5, "ask": mid + 0.5})
    # The quote shows the trade at once, the trade itself comes 30 ms later.
    seen = pl.DataFrame({"ts_recv": at + 30 * MS, "ts_event": at, "side": side, "price": mid[:-1] + 0.5 * side})
    found = spreads(seen.with_columns(size=1.0), quotes, horizons_ms=[50.0]).row(0, named=True)
    # By hand, order by order: at half a spread of 1, and the mid 1 further on.
    truth = float(np.average(2e4 * 0.5 / mid[:-1], weights=mid[:-1] + 0.5 * side))
    assert found["effective_bp"] == pytest.approx(truth)
    assert found["impact_bp"] == pytest.approx(2 * truth)
    assert found["effective_bp"] == pytest.approx(found["realised_bp"] + found["impact_bp"])
    assert found["quoted_bp"] == pytest.approx(1e4 / 1000, rel=0.05)
    # Matched by time alone they come out with the sign turned: the mid had moved already.
    blind = adverse_selection(seen.with_columns(size=1.0), quotes.drop("bid", "ask"), horizons_ms=[50.0])
    assert blind["effective_bp"][0] == pytest.approx(-truth, rel=1e-3)


def test_rolls_spread_is_that_of_bounces_and_says_where_its_model_fails() -> None:
    # Alternating bids and asks: Δp = ±1, its centred autocovariance -1, the spread 2; the bounce of 1 is not random.
    price = np.tile([100.0, 101.0], 500)
    row = roll_spread(pl.DataFrame({"price": price})).row(0, named=True)
    assert row["spread"] == pytest.approx(2.0, rel=1e-3)
    rng = np.random.default_rng(1)
    walk = 100 + np.cumsum(rng.standard_normal(200_000) * 0.05)
    bounce = walk + 0.25 * rng.choice([-1, 1], 200_000)
    row = roll_spread(pl.DataFrame({"price": bounce})).row(0, named=True)
    assert row["lo"] < 0.5 < row["hi"]
    assert row["covariance"] == pytest.approx(-0.0625, rel=0.02)
    assert row["spread_bp"] == pytest.approx(1e4 * row["spread"] / bounce.mean())
    # One that trends has no spread by this model: null, not NaN, and a reason.
    trend = pl.DataFrame({"price": np.cumsum(np.repeat([1.0, -1.0], 50))})
    row = roll_spread(trend).row(0, named=True)
    assert (row["spread"], row["lo"], row["status"]) == (None, None, "positive autocovariance")
    assert row["covariance"] > 0
    assert roll_spread(trend.head(3)).row(0, named=True)["status"] == "too few"
    assert roll_spread(pl.DataFrame({"price": [5.0] * 9}))["status"].to_list() == ["constant"]
    with pytest.raises(DataError, match="column price"):
        roll_spread(trend.rename({"price": "mid"}))
    with pytest.raises(DataError, match="finite"):
        roll_spread(trend.with_columns(price=pl.lit(None, pl.Float64)))


def chain(count: int, seed: int) -> pl.DataFrame:
    """Queues stay until the mid moves, with chance .3 a step: a tick the heavy queue's way with chance .85.

    After a move the queues are drawn anew.
    """
    rng = np.random.default_rng(seed)
    moves = np.append(False, rng.uniform(size=count - 1) < 0.3)
    stretch = np.cumsum(moves)
    heavy = rng.choice([-1, 1], stretch[-1] + 1)
    step = np.where(rng.uniform(size=heavy.size) < 0.85, heavy, -heavy)
    bid = (10_000 + np.append(0, np.cumsum(step))[stretch]) / 100
    size = np.where(heavy[stretch] > 0, 9.0, 1.0)
    ts = START + np.arange(count) * MS
    return pl.DataFrame({"ts_recv": ts, "bid": bid, "bid_size": size, "ask": bid + 0.01, "ask_size": 10 - size})


def test_the_micro_price_of_a_known_chain() -> None:
    quotes = chain(60_000, 1)
    table = fit_micro_price(quotes, tick=0.01, buckets=2, spreads=1)
    # The first move is a tick the heavy queue's way with probability .85; afterwards queues are even: g = .7 tick.
    assert table["adjustment"].to_list() == pytest.approx([-0.007, 0.007], rel=0.03)
    assert table["first_move"].to_list() == pytest.approx([-0.007, 0.007], rel=0.03)
    assert table["adjustment"].sum() == pytest.approx(0.0, abs=1e-15)
    found = micro_price(quotes, table)
    assert found["micro_price"][0] == pytest.approx(
        (quotes["bid"][0] + quotes["ask"][0]) / 2 + table["adjustment"][int(quotes["bid_size"][0] > 5)]
    )


def stoikov(quotes: pl.DataFrame, buckets: int, spreads: int, terms: int) -> np.ndarray:
    """The paper's estimate state by state: symmetrised counts, absorbing moves of any size, `terms` of the sum."""
    rows = quotes.rows(named=True)
    size = buckets * spreads
    stay, leave, gain, seen = np.zeros((size, size)), np.zeros((size, size)), np.zeros(size), np.zeros(size)

    def state(row: dict, *, mirrored: bool) -> int:
        share = row["bid_size"] / (row["bid_size"] + row["ask_size"])
        bucket = min(max(math.ceil(share * buckets) - 1, 0), buckets - 1)
        gap = min(max(round((row["ask"] - row["bid"]) / 0.01), 1), spreads) - 1
        return gap * buckets + (buckets - 1 - bucket if mirrored else bucket)

    for one, two in pairwise(rows):
        move = round((two["bid"] + two["ask"] - one["bid"] - one["ask"]) / 0.01) / 2
        for mirrored in (False, True):
            a, b = state(one, mirrored=mirrored), state(two, mirrored=mirrored)
            seen[a] += 1
            (leave if move else stay)[a, b] += 1
            gain[a] += -move if mirrored else move
    used = seen > 0
    q, r = (m[np.ix_(used, used)] / seen[used][:, None] for m in (stay, leave))
    inverse = np.linalg.inv(np.eye(int(used.sum())) - q)
    first = inverse @ (gain[used] / seen[used])
    total, term = first.copy(), first
    for _ in range(terms):
        term = inverse @ r @ term
        total += term
    found = np.full(size, np.nan)
    found[used] = total * 0.01
    return found


def test_the_micro_price_is_that_of_the_paper_summed_far() -> None:
    rng = np.random.default_rng(2)
    count = 1500
    bid = np.cumsum(rng.choice([-1, 0, 0, 0, 0, 1], count)) + 1000
    gap = rng.choice([1, 2, 3], count, p=[0.7, 0.2, 0.1])
    sizes = rng.integers(1, 50, (count, 2)).astype(np.float64)
    quotes = pl.DataFrame(
        {
            "ts_recv": START + np.arange(count) * MS,
            "bid": bid / 100,
            "bid_size": sizes[:, 0],
            "ask": (bid + gap) / 100,
            "ask_size": sizes[:, 1],
        }
    )
    table = fit_micro_price(quotes, tick=0.01, buckets=4, spreads=2)
    assert table["adjustment"].to_numpy() == pytest.approx(stoikov(quotes, 4, 2, 400), abs=1e-12)
    # Null across what is unknown, and nothing is counted there.
    holes = quotes.with_columns(bid_size=pl.when(pl.col("ts_recv") != START + 5 * MS).then("bid_size"))
    less = fit_micro_price(holes, tick=0.01, buckets=4, spreads=2)
    assert less["quotes"].sum() == table["quotes"].sum() - 4
    assert micro_price(holes, table)["micro_price"].null_count() == 1


def test_a_micro_price_that_cannot_be_fitted_is_a_typed_error() -> None:
    quotes = chain(200, 5)
    still = quotes.with_columns(bid=100.0, ask=100.01)
    for frame, options, expected in [
        (still, {}, "moves"),
        (quotes.head(1), {}, "moves"),
        (quotes.head(0), {}, "moves"),
        (quotes.drop("ask"), {}, "missing"),
        (quotes, {"tick": 0.0}, "tick"),
        (quotes, {"buckets": 1}, "buckets"),
        (quotes, {"clock": "event"}, "ts_event"),
    ]:
        with pytest.raises(DataError, match=expected):
            fit_micro_price(frame, **({"tick": 0.01} | options))
    table = fit_micro_price(quotes, tick=0.01, buckets=4, spreads=2)
    assert table.filter(pl.col("quotes") == 0)["adjustment"].null_count() == (table["quotes"] == 0).sum()
    with pytest.raises(DataError, match="one row a state"):
        micro_price(quotes, table.head(3))
    with pytest.raises(DataError, match="table: missing"):
        micro_price(quotes, table.drop("tick"))


def test_a_quote_of_the_trades_own_time_counts_only_if_asked() -> None:
    # In whole seconds: the quote at 5 s shows 102, that before it 100; Lee and Ready's quotes are at least 5 s old.
    seen = pl.DataFrame({"ts_recv": [5, 10], "price": [101.0, 101.0]})
    held = pl.DataFrame({"ts_recv": [1, 5], "mid": [100.0, 102.0]})
    one = {"rule": "quote", "delay_ms": 5e-6}
    assert sign_trades(seen, held, rule="quote")["sign"].to_list() == [1, -1]
    assert sign_trades(seen, held, rule="quote", same_time=True)["sign"].to_list() == [-1, -1]
    assert sign_trades(seen, held, **one)["sign"].to_list() == [0, 1]
    assert sign_trades(seen, held, same_time=True, **one)["sign"].to_list() == [0, -1]
