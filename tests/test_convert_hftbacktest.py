"""Arrays of hftbacktest: its layout, its rules of order, and a receive clock that is never corrected in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import LAST, LEVEL, QUOTE, SNAPSHOT, TRADE, builtin, levels, quote, tape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crossbook as xb
from crossbook.convert import hftbacktest

SPOT = [builtin("spot")]
# Codes and flags of hftbacktest 2.4.4, py-hftbacktest/hftbacktest/types.py.
DEPTH, TRADED, CLEARED, TAKEN, BBO, ADDED, CANCELLED, MODIFIED, FILLED = 1, 2, 3, 4, 5, 10, 11, 12, 13
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
BOTH = EXCH | LOCAL


def load(path: Path) -> np.ndarray:
    with np.load(path) as file:
        return file["data"]


def validate(data: np.ndarray) -> None:
    """The rules of hftbacktest 2.4.4, hftbacktest/data/validation.py, validate_event_order; and latencies."""
    assert (np.diff(data["exch_ts"][data["ev"] & EXCH != 0]) >= 0).all()
    assert (np.diff(data["local_ts"][data["ev"] & LOCAL != 0]) >= 0).all()
    assert (data["local_ts"] >= data["exch_ts"]).all()


def rows_of(path: Path, rows: list[tuple]) -> Path:
    data = np.zeros(len(rows), hftbacktest.EVENT)
    for at, (code, exch, local, price, size, order) in enumerate(rows):
        data[at] = (code, exch, local, price, size, order, 0, 0.0)
    np.savez_compressed(path, data=data)
    return path


def test_the_layout_is_that_of_hftbacktest() -> None:
    # hftbacktest 2.4.4, types.py, event_dtype with align=True: eight fields of eight bytes.
    assert hftbacktest.EVENT.itemsize == 64
    assert hftbacktest.EVENT.names == ("ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval")
    assert [hftbacktest.EVENT[name].str for name in hftbacktest.EVENT.names] == [
        *("<u8", "<i8", "<i8", "<f8", "<f8", "<u8", "<i8", "<f8")
    ]


def test_events_are_written_with_their_codes_and_sides(tmp_path: Path) -> None:
    at = {"ts_event": 10, "ts_recv": 15}
    rows = [
        {"kind": 0, "flags": SNAPSHOT, **at},
        *levels([(0, 10_000, 5 * 10**7)], 1, flags=SNAPSHOT, **at),
        *levels([(1, 10_001, 0)], 2, **at),
        {"kind": TRADE, "side": 1, "price": 10_000, "size": 10**8, "flags": LAST, **at},
        *quote(10_000, 10_001, 3, **at),
    ]
    done = hftbacktest.write(tape(rows), tmp_path / "a.npz")
    assert load(tmp_path / "a.npz").tolist() == [
        (BOTH | CLEARED, 10, 15, 0.0, 0.0, 0, 0, 0.0),
        (BOTH | BUY | TAKEN, 10, 15, 100.0, 0.5, 0, 0, 0.0),
        (BOTH | SELL | DEPTH, 10, 15, 100.01, 0.0, 0, 0, 0.0),
        (BOTH | SELL | TRADED, 10, 15, 100.0, 1.0, 0, 0, 0.0),
    ]
    assert (done.rows, done.left_out) == (4, {"quote": 2})
    hftbacktest.write(tape(rows), tmp_path / "b.npz", quotes=True)
    assert (load(tmp_path / "b.npz")["ev"][4:] & 0xFF).tolist() == [BBO, BBO]
    back = hftbacktest.read(tmp_path / "b.npz", instruments=SPOT).tape().to_polars()
    same = [name for name in back.columns if name != "sequence"]
    assert back.select(same).equals(tape(rows).to_polars().select(same))


def test_the_real_capture_wants_an_offset_and_comes_back_with_it(real: Path, tmp_path: Path) -> None:
    capture = xb.open(real).select("usdm")
    with pytest.raises(
        xb.DataError, match=r"clock runs behind the exchange's by up to 127\d{7} ns.*expected offset=127"
    ):
        hftbacktest.write(capture, tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []
    offset = 1_300_000_000
    done = hftbacktest.write(capture, tmp_path / "a.npz", offset=offset)
    validate(load(tmp_path / "a.npz"))
    before = capture.tape().to_polars().filter(pl.col("kind") != QUOTE)
    after = hftbacktest.read(tmp_path / "a.npz", instruments=capture.instruments).tape().to_polars()
    after = after.with_columns(pl.col("ts_recv") - offset)
    same = ["ts_event", "ts_recv", "order_id", "price", "size", "instrument", "kind", "side"]
    assert after.select(same).equals(before.select(same))
    assert done.left_out == {"quote": capture.tape().to_polars().height - before.height}


times = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 40)), min_size=1, max_size=40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(times)
def test_events_that_come_late_stand_twice_and_both_orders_ascend(tmp_path: Path, pairs: list[tuple[int, int]]) -> None:
    pairs = sorted((exch + latency, exch) for exch, latency in pairs)
    rows = [
        {"kind": TRADE, "side": 0, "price": at, "size": 1, "flags": LAST, "ts_event": exch, "ts_recv": recv}
        for at, (recv, exch) in enumerate(pairs, 1)
    ]
    hftbacktest.write(tape(rows), tmp_path / "a.npz", overwrite=True)
    data = load(tmp_path / "a.npz")
    validate(data)
    for flag in (EXCH, LOCAL):
        assert sorted(np.rint(data["px"][data["ev"] & flag != 0] * 100).tolist()) == list(range(1, len(rows) + 1))
    back = hftbacktest.read(tmp_path / "a.npz", instruments=SPOT).tape().to_polars()
    assert back.equals(tape(rows).to_polars())


def test_an_unknown_exchange_time_is_refused_unless_the_receive_time_may_stand_for_it(tmp_path: Path) -> None:
    made = tape([{"kind": TRADE, "side": 0, "price": 1, "size": 1, "flags": LAST, "ts_recv": 7}])
    with pytest.raises(xb.DataError, match=r"received at 7 has no exchange time.*expected unknown='receive'"):
        hftbacktest.write(made, tmp_path / "a.npz")
    hftbacktest.write(made, tmp_path / "a.npz", unknown="receive")
    assert load(tmp_path / "a.npz")[["exch_ts", "local_ts"]].tolist() == [(7, 7)]


def order(kind: int, order_id: int, size: int, at: int, *, side: int = 0, price: int = 100) -> dict[str, int]:
    base = {"kind": kind, "order_id": order_id, "size": size, "side": side, "price": price}
    return base | {"flags": LAST, "ts_event": at, "ts_recv": at + 1}


def test_a_fill_is_told_with_what_it_does_to_the_book_and_read_back_as_one_event(tmp_path: Path) -> None:
    rows = [
        order(4, 7, 10, 1),
        order(7, 7, 4, 2),
        order(7, 7, 6, 3),
        order(4, 8, 5, 4),
        order(5, 8, 3, 5),
        order(6, 8, 3, 6),
    ]
    hftbacktest.write(tape(rows), tmp_path / "a.npz")
    data = load(tmp_path / "a.npz")
    told = list(zip((data["ev"] & 0xFF).tolist(), np.rint(data["qty"] * 10**8).astype(int).tolist(), strict=True))
    assert told == [
        *((ADDED, 10), (FILLED, 4), (MODIFIED, 6), (FILLED, 6), (CANCELLED, 0)),
        *((ADDED, 5), (MODIFIED, 3), (CANCELLED, 3)),
    ]
    assert hftbacktest.read(tmp_path / "a.npz", instruments=SPOT).tape().to_polars().equals(tape(rows).to_polars())


def test_a_fill_of_an_order_that_never_came_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(xb.DataError, match="order 7: expected it to be added before it is filled"):
        hftbacktest.write(tape([order(7, 7, 4, 2)]), tmp_path / "a.npz")


def test_clears_of_both_sides_at_one_time_are_one(tmp_path: Path) -> None:
    # As hftbacktest's own converters write a snapshot: data/utils/tardis.py of 2.4.4, convert_depth.
    path = rows_of(
        tmp_path / "a.npz",
        [
            (BOTH | BUY | CLEARED, 1, 2, 99.0, 0.0, 0),
            (BOTH | BUY | TAKEN, 1, 2, 99.0, 1.0, 0),
            (BOTH | SELL | CLEARED, 1, 2, 101.0, 0.0, 0),
            (BOTH | SELL | TAKEN, 1, 2, 101.0, 1.0, 0),
        ],
    )
    rows = hftbacktest.read(path, instruments=SPOT).tape().to_polars()
    assert rows.select("kind", "side", "price", "flags").rows() == [
        (0, 2, 0, SNAPSHOT),
        (LEVEL, 0, 9_900, SNAPSHOT),
        (LEVEL, 1, 10_100, SNAPSHOT | LAST),
    ]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            (BOTH | BUY | DEPTH, 1, 2, 99.001, 1.0, 0),
            r"a\.npz row 1: expected a price that is a multiple of 0\.01, found 99",
        ),
        ((BOTH | BUY | DEPTH, 1, 2, 99.0, 1e-9, 0), r"row 1: expected a size that is a multiple of 0\.00000001"),
        ((BOTH | BUY | DEPTH, 1, 2, float("nan"), 1.0, 0), "row 1: expected a price"),
        ((BOTH | 99, 1, 2, 99.0, 1.0, 0), "row 1: expected an event of .*found 99"),
        ((BOTH | BUY | CLEARED, 1, 2, 99.0, 0.0, 0), "row 1: expected both sides to be cleared at one time, found one"),
    ],
)
def test_a_row_that_is_wrong_is_named(tmp_path: Path, row: tuple, says: str) -> None:
    path = rows_of(tmp_path / "a.npz", [(BOTH | BUY | DEPTH, 1, 2, 1.0, 1.0, 0), row])
    with pytest.raises(xb.DataError, match=says):
        hftbacktest.read(path, instruments=SPOT).tape()


def test_a_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data=np.zeros(3))
    np.savez(tmp_path / "b.npz", other=np.zeros(3))
    (tmp_path / "c.npz").write_bytes(b"PK nothing")
    for name, says in (
        ("a", "expected the layout"),
        ("b", "an array called data"),
        ("c", "expected an npz file"),
        ("d", "npz"),
    ):
        with pytest.raises(xb.DataError, match=says):
            hftbacktest.read(tmp_path / f"{name}.npz", instruments=SPOT).tape()


def test_a_file_holds_one_instrument_and_the_reader_must_be_told_which(tmp_path: Path) -> None:
    two = [builtin("spot"), builtin("usdm")]
    rows = [
        {"kind": TRADE, "instrument": at, "price": at + 1, "size": 1, "flags": LAST, "ts_event": 1, "ts_recv": 2}
        for at in (0, 1)
    ]
    with pytest.raises(xb.InstrumentError, match=r"expected instrument= one of 0 \(binance-spot:BTCUSDT\), 1"):
        hftbacktest.write(tape(rows, two), tmp_path / "a.npz")
    hftbacktest.write(tape(rows, two), tmp_path / "a.npz", instrument=1)
    assert load(tmp_path / "a.npz")["px"].tolist() == [0.2]
    with pytest.raises(xb.InstrumentError, match="expected one instrument"):
        hftbacktest.read(tmp_path / "a.npz", instruments=two)
