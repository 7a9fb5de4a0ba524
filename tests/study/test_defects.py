"""Faults that bad input brought to light, one test each."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from conftest import tape

from crossbook import study
from crossbook.errors import DataError

NS = 1_000_000_000


def test_a_venue_that_corrects_nothing_has_no_leadership_share_and_not_nan() -> None:
    found = study.information_shares([0.0, 0.1], np.eye(2))
    assert found["component_share"].to_list() == [1.0, 0.0]
    assert found["information_leadership_share"].to_list() == [None, None]


def test_shares_do_not_hang_on_the_units_of_alpha_or_sigma() -> None:
    alpha, sigma = np.array([-0.1, 0.2]), np.array([[1.0, 0.3], [0.3, 2.0]])
    found = study.information_shares(alpha, sigma)
    for scale in (1e-200, 1e-9, 1e9, 1e200):
        other = study.information_shares(alpha * scale, sigma * scale)
        for name in found.columns[1:]:
            assert other[name].to_numpy() == pytest.approx(found[name].to_numpy(), rel=1e-12)


def test_an_orders_price_is_the_mean_of_the_fills_whose_price_is_known() -> None:
    fills = pl.DataFrame(
        {"ts_recv": [1] * 3, "ts_event": [1] * 3, "side": [1] * 3, "price": [10.0, None, 12.0], "size": [1.0, 6.0, 1.0]}
    )
    order = study.aggressor_orders(fills)
    assert order.select("price", "size", "fills").row(0) == (11.0, 8.0, 3)
    nothing = study.aggressor_orders(fills.with_columns(size=pl.lit(0.0)))
    assert nothing["price"].to_list() == [None]
    whole = fills.drop_nulls().with_columns(price=pl.lit(2**40), size=pl.lit(2**40))
    assert study.aggressor_orders(whole)["price"].to_list() == [2.0**40]


def test_a_trade_without_a_price_is_no_volume_of_a_bar() -> None:
    quotes = pl.DataFrame({"ts_recv": [1, 3 * NS], "mid": [100.0, 101.0]})
    trades = pl.DataFrame(
        {"ts_recv": [1, NS, NS + 1], "side": [1, 1, -1], "price": [100.0, None, 100.0], "size": [1.0, 5.0, 2.0]}
    )
    bars = study.trade_bars(trades, quotes, every_ms=2_000)
    assert bars.select("trades", "volume", "value").row(0) == (1, 2.0, 200.0)


def test_the_frontier_without_volatility_is_one_schedule() -> None:
    found = study.efficient_frontier(1e4, periods=5, horizon=1, volatility=0, permanent=1e-6, temporary=1e-5)
    assert found.select("risk_aversion", "variance", "half_life").rows() == [(0.0, 0.0, None)]


def test_mids_of_zero_are_refused_and_not_infinitely_far() -> None:
    quotes = pl.DataFrame({"ts_recv": [1, 2], "ts_event": [1, 2], "mid": [100.0, 0.0], "microprice": [100.0, 100.0]})
    with pytest.raises(DataError, match="mid above 0"):
        study.mid_moves(quotes)
    with pytest.raises(DataError, match="above 0"):
        study.basis(quotes, quotes)


def test_a_basis_is_summarised_whatever_the_order_of_its_rows() -> None:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame({"ts": NS * np.arange(200), "held_ns": NS, "basis_bp": rng.standard_normal(200)})
    assert study.basis_summary(frame.reverse()).equals(study.basis_summary(frame))
    unknown = frame.with_columns(basis_bp=pl.when(pl.col("ts") != 7 * NS).then("basis_bp"))
    assert study.basis_summary(unknown)["instants"].item() == 199
    with pytest.raises(DataError, match="block_s"):
        study.basis_summary(frame, block_s=0)


@pytest.mark.parametrize(
    "call",
    [
        lambda q: study.event_paths(q, q, value="mid", horizon_ms=1e9, step_ms=1e-6),
        lambda q: study.response(q.with_columns(sign=1), q, horizon_ms=1e9, step_ms=1e-6),
        lambda q: study.lead_lag_summary(q, q, max_lag_ms=1e6, step_ms=1e-6, block_s=1),
        lambda q: study.lead_lag_summary(q, q, null_shifts=10**12, max_lag_ms=1e4, step_ms=1e3, block_s=10),
        lambda q: study.lead_lag_summary(q, q, resamples=10**12, max_lag_ms=1e4, step_ms=1e3, block_s=10),
        lambda q: study.against_twin(q, q, runs=10**12, max_lag_ms=1e4, step_ms=1e3, block_s=10),
        lambda q: study.quoted_spread(q.with_columns(bid="mid", ask="mid"), block_s=1e-9),
        lambda q: study.aligned_prices({"a": q, "b": q}, every_ms=1e-6),
        lambda q: study.even_rows(states={"a": (q, "mid")}, step_ms=1e-6),
        lambda q: study.vpin(q.with_columns(price="mid", size=1e30), bucket_volume=1e-3),
        lambda q: study.cross_flow(q.with_columns(ts="ts_recv", ofi=1.0, return_bp=1.0), q, history=10**9),
    ],
)  # fmt: skip
def test_a_request_that_no_memory_holds_is_an_error_before_it_is_made(call) -> None:
    quotes = pl.DataFrame({"ts_recv": NS * np.arange(1, 500), "mid": 100 + np.sin(np.arange(1, 500))})
    with pytest.raises(DataError):
        call(quotes.with_columns(ts_event="ts_recv"))


def test_a_table_of_another_library_is_taken_as_it_is() -> None:
    class Theirs:
        """Speaks Arrow's stream interface and nothing else, as a pandas frame does."""

        def __init__(self, frame: pl.DataFrame) -> None:
            self._frame = frame

        def __arrow_c_stream__(self, schema: object = None) -> object:
            return self._frame.__arrow_c_stream__(schema)

    prices = pl.DataFrame({"price": [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]})
    assert study.roll_spread(Theirs(prices)).equals(study.roll_spread(prices))
    assert study.roll_spread(prices.lazy()).equals(study.roll_spread(prices))


@pytest.mark.parametrize(
    "options",
    [
        *({"levels": n} for n in (0, 11, -1, True, "x", 1.5, None, 10**30, float("nan"))),
        *({"every": one} for one in ("x", 1, None)),
        *({"instrument": one} for one in (-1, 5, True, "nope", None, 1.5, b"x", 10**30)),
    ],
    ids=str,
)
def test_order_flow_refuses_options_by_name(options: dict) -> None:
    with pytest.raises(DataError, match=r"levels|every|instrument"):
        study.order_flow(tape([{"ts_event": 1, "ts_recv": 1, "kind": 1, "side": 1, "price": 1, "size": 1}]), **options)


@pytest.mark.parametrize("source", [None, 3, "x", [1], [None], pl.DataFrame()], ids=str)
def test_order_flow_wants_tapes(source: object) -> None:
    with pytest.raises(DataError, match="tape"):
        study.order_flow(source)


def test_resamples_in_parts_are_drawn_from_the_same_law() -> None:
    from crossbook.study import resample

    assert list(resample.chunks(10, 1_000)) == [1_000]
    assert list(resample.chunks(resample.CHUNK // 3, 8)) == [3, 3, 2]
    assert list(resample.chunks(10 * resample.CHUNK, 2)) == [1, 1]
    with pytest.raises(DataError, match="fewer resamples"):
        resample.stationary_indices(10**9, 2.0, 10**6, np.random.default_rng(0))


def test_products_of_whole_numbers_do_not_run_over() -> None:
    touch = pl.DataFrame({"bid": [2**40], "bid_size": [2**40], "ask": [2**40 + 2], "ask_size": [2**40]})
    assert study.quotes(touch)["microprice"].to_list() == [2.0**40 + 1]
    fills = pl.DataFrame({"ts_recv": [1, 2], "side": [1, -1], "price": [2**40, 2**39], "size": [2**40, 2**40]})
    found = study.signing_accuracy(fills, rules=["tick"])
    assert found["correct_value"].item() == pytest.approx(1 / 3)
