"""Quotes and the basis between two venues, with answers done by hand."""

from __future__ import annotations

import json

import polars as pl
import pytest
from conftest import builtin

import crossbook as xb
from crossbook.errors import DataError
from crossbook.study import basis, basis_summary, decimals, quotes


def raw(*rows: tuple[int, int, int, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(["bid", "bid_size", "ask", "ask_size"], pl.Int64), orient="row")


def test_mid_microprice_and_spread() -> None:
    (found,) = quotes(raw((100, 1, 101, 3)).cast(pl.Float64)).iter_rows(named=True)
    assert found["mid"] == 100.5
    assert found["microprice"] == (100 * 3 + 101 * 1) / 4
    assert found["spread_bp"] == pytest.approx(1 / 100.5 * 1e4)


def test_units_become_the_nearest_decimals() -> None:
    (found,) = decimals(raw((6_183_763, 378_826_000, 6_183_764, 1)), builtin("spot")).iter_rows()
    assert found == (61837.63, 3.78826, 61837.64, 1e-8)
    (found,) = decimals(raw((618_002, 2_909, 618_003, 1)), builtin("usdm")).iter_rows()
    assert found == (61800.2, 2.909, 61800.3, 0.001)


def test_inverse_contracts_become_base_currency_at_their_own_price() -> None:
    (found,) = decimals(raw((500_000, 10, 800_000, 8)), builtin("coinm")).iter_rows()
    assert found == (50_000.0, 0.02, 80_000.0, 0.01)


@pytest.mark.parametrize(("unit", "price"), [("0.5", 61_800.5), ("100", 12_360_100.0), ("2.5", 309_002.5)])
def test_units_that_are_no_power_of_ten_are_exact(unit: str, price: float) -> None:
    odd = xb.Instrument.from_json(json.dumps(json.loads(builtin("spot").to_json()) | {"price_unit": unit}))
    assert decimals(raw((123_601, 1, 123_601, 1)), odd)["bid"].to_list() == [price]
    assert odd.price(123_601) == price


def test_an_unknown_side_is_null_all_the_way() -> None:
    (found,) = quotes(decimals(raw((0, 0, 6_183_764, 100)), builtin("spot"))).iter_rows(named=True)
    assert found["ask"] == 61837.64
    assert [found[name] for name in ("bid", "bid_size", "mid", "microprice", "spread_bp")] == [None] * 5


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match=r"missing .*'ask_size'"):
        quotes(raw((1, 1, 2, 1)).drop("ask_size"))


def touches(*rows: tuple[int, float | None]) -> pl.DataFrame:
    schema = {"ts_recv": pl.Int64, "mid": pl.Float64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(microprice=pl.col("mid") * 1.01, ts_event=pl.col("ts_recv") + 1_000)


def test_the_basis_changes_where_either_venue_does() -> None:
    found = basis(touches((1, 100.0), (5, 200.0)), touches((3, 101.0), (5, 202.0), (9, 200.0)))
    assert found["ts"].to_list() == [3, 5, 9]
    assert found["basis_bp"].to_list() == pytest.approx([100.0, 100.0, 0.0])
    assert found["microbasis_bp"].to_list() == pytest.approx([100.0, 100.0, 0.0])
    assert found["mid_primary"].to_list() == [100.0, 200.0, 200.0]


def test_of_several_touches_at_one_instant_the_last_holds() -> None:
    found = basis(touches((1, 90.0), (1, 100.0)), touches((1, 50.0), (1, 101.0)))
    assert found.select("ts", "mid_primary", "mid_secondary").rows() == [(1, 100.0, 101.0)]


def test_a_lost_touch_leaves_a_hole_and_is_not_filled_over() -> None:
    found = basis(touches((1, 100.0), (4, None), (8, 100.0)), touches((2, 101.0), (6, 102.0)))
    assert found.select("ts", "mid_secondary").rows() == [(2, 101.0), (8, 102.0)]


def test_the_value_before_a_loss_holds_until_the_loss_and_not_through_the_hole() -> None:
    lost = touches((1, 101.0), (4, None), (1_000, 102.0), (1_003, 102.0))
    found = basis(touches((1, 100.0)), lost)
    assert found.select("ts", "held_ns").rows() == [(1, 3), (1_000, 3), (1_003, 0)]
    assert basis_summary(found)["basis_bp"].item() == pytest.approx(150.0)


def test_the_basis_ends_where_watching_did() -> None:
    found = basis(touches((1, 100.0), (9, 100.0)), touches((3, 101.0)), end=7)
    assert found.select("ts", "held_ns").rows() == [(3, 4)]


def test_the_basis_on_the_event_clock_uses_event_times() -> None:
    found = basis(touches((1, 100.0)), touches((3, 101.0)), clock="event")
    assert found["ts"].to_list() == [1_003]


def test_a_basis_is_summarised_by_the_time_it_held() -> None:
    held = [3_000_000_000, 1_000_000_000, 0]
    frame = pl.DataFrame({"ts": [0, 3_000_000_000, 4_000_000_000], "held_ns": held, "basis_bp": [1.0, 5.0, 99.0]})
    (found,) = basis_summary(frame, block_s=1.0).iter_rows(named=True)
    assert found["basis_bp"] == pytest.approx((3 * 1.0 + 1 * 5.0) / 4)
    assert (found["p50"], found["p95"], found["instants"]) == (1.0, 5.0, 3)
    assert found["lo"] <= found["basis_bp"] <= found["hi"]
    assert basis_summary(frame, block_s=1.0).equals(basis_summary(frame, block_s=1.0))
    with pytest.raises(DataError, match="for some time, found 1 instants"):
        basis_summary(frame[2:])
