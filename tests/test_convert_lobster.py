"""LOBSTER's files: its types as events, and a message file that comes back as it was."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import polars as pl
import pytest
from conftest import LAST, SNAPSHOT, TRADE, builtin, levels, tape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crossbook as xb
from crossbook.convert import lobster

DATE = dt.date(2012, 6, 21)
# Midnight of that day in New York, which is at UTC-4 in summer.
MIDNIGHT = 1_340_251_200_000_000_000
SHARE = xb.Instrument.from_json(
    json.dumps(json.loads(builtin("spot").to_json()) | {"symbol": "AAPL", "price_unit": "0.01", "size_unit": "1"})
)
ADD, MODIFY, CANCEL, EXECUTE, STATUS = 4, 5, 6, 7, 12


def save(path: Path, *lines: str) -> Path:
    path.write_text("".join(line + "\n" for line in lines))
    return path


def read(path: Path, **options) -> pl.DataFrame:
    return lobster.read(path, instruments=[SHARE], date=DATE, **options).tape().to_polars()


# The example of https://lobsterdata.com/info/DataStructure.php is the first two lines, an order and its deletion.
LINES = (
    "34713.685155243,1,206833312,100,118600,-1",
    "34714.133632201,3,206833312,100,118600,-1",
    "34714.200000001,1,7,50,118500,1",
    "34714.200000002,2,7,20,118500,1",
    "34714.200000003,4,7,10,118500,1",
    "34714.200000004,5,0,33,118600,-1",
    "34714.200000005,4,7,20,118500,1",
    "34715.000000000,7,0,0,-1,-1",
    "34716.000000000,7,0,0,0,-1",
    "34717.000000000,7,0,0,1,-1",
    "34718.000000000,6,-1,500,118400,1",
)


def test_each_type_becomes_its_event(tmp_path: Path) -> None:
    rows = read(save(tmp_path / "m.csv", *LINES))
    assert rows.select("kind", "order_id", "side", "price", "size").rows() == [
        (ADD, 206833312, 1, 1_186, 100),
        (CANCEL, 206833312, 1, 1_186, 100),
        (ADD, 7, 0, 1_185, 50),
        (MODIFY, 7, 0, 1_185, 30),
        (EXECUTE, 7, 0, 1_185, 10),
        # A hidden sell order at rest was lifted by a buyer: "execution of a sell limit order corresponds to a
        # buyer-initiated trade", same page.
        (TRADE, 0, 0, 1_186, 33),
        (EXECUTE, 7, 0, 1_185, 20),
        (STATUS, 0, 2, -1, 0),
        (STATUS, 0, 2, 0, 0),
        (STATUS, 0, 2, 1, 0),
        (TRADE, 0, 2, 1_184, 500),
    ]
    assert rows["ts_event"][0] == rows["ts_recv"][0] == MIDNIGHT + 34_713_685_155_243
    assert (rows["flags"] == LAST).all()


@pytest.mark.parametrize("block", [1, 1 << 20])
def test_a_message_file_comes_back_as_it_was(tmp_path: Path, block: int) -> None:
    path = save(tmp_path / "m.csv", *LINES)
    source = lobster.read(path, instruments=[SHARE], date=DATE, block=block)
    done = lobster.write(source, tmp_path / "back.csv")
    assert (tmp_path / "back.csv").read_text() == path.read_text()
    assert (done.rows, done.left_out) == (len(LINES), {})


EARLIER = (
    "34200.1,4,3,10,100000,1",
    "34200.2,2,2,5,100100,-1",
    "34200.3,1,9,1,100000,1",
    "34200.4,3,2,15,100100,-1",
)


def test_orders_from_before_the_file_come_first_with_what_the_file_takes_off_them(tmp_path: Path) -> None:
    path = save(tmp_path / "m.csv", *EARLIER)
    rows = read(path)
    assert rows.select("kind", "order_id", "side", "price", "size", "flags").rows() == [
        (0, 0, 2, 0, 0, SNAPSHOT),
        (ADD, 2, 1, 1_001, 20, SNAPSHOT),
        (ADD, 3, 0, 1_000, 10, SNAPSHOT | LAST),
        (EXECUTE, 3, 0, 1_000, 10, LAST),
        (MODIFY, 2, 1, 1_001, 15, LAST),
        (ADD, 9, 0, 1_000, 1, LAST),
        (CANCEL, 2, 1, 1_001, 15, LAST),
    ]
    assert read(path, earlier="keep")["kind"].to_list() == [EXECUTE, CANCEL, ADD, CANCEL]
    lobster.write(xb.Tape(rows, [SHARE]), tmp_path / "back.csv", orderbook=tmp_path / "book.csv", levels=2)
    assert (tmp_path / "back.csv").read_text().replace("00000000,", ",") == path.read_text()
    # Ask price, ask size, bid price, bid size by level; what is not there as the same page says.
    assert (tmp_path / "book.csv").read_text().splitlines() == [
        "100100,20,-9999999999,0,9999999999,0,-9999999999,0",
        "100100,15,-9999999999,0,9999999999,0,-9999999999,0",
        "100100,15,100000,1,9999999999,0,-9999999999,0",
        "9999999999,0,100000,1,9999999999,0,-9999999999,0",
    ]


step = st.tuples(st.sampled_from("amce"), st.integers(0, 5), st.integers(1, 9), st.integers(0, 1), st.integers(90, 110))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(step, min_size=1, max_size=40))
def test_the_book_beside_any_tape_is_what_a_slow_model_says(tmp_path: Path, steps: list) -> None:
    rows, orders, expected = [], {}, []
    for at, (what, which, size, side, price) in enumerate(steps, 1):
        if what == "a":
            new = len(rows) + 1
            orders[new] = [side, price, size]
            row = (ADD, new, side, price, size)
        elif not orders:
            continue
        else:
            key = sorted(orders)[which % len(orders)]
            side, price, rest = orders[key]
            if what == "m" and rest > 1:
                orders[key][2] = rest - 1
                row = (MODIFY, key, side, price, rest - 1)
            elif what == "e" and rest > size:
                orders[key][2] = rest - size
                row = (EXECUTE, key, side, price, size)
            else:
                del orders[key]
                row = (EXECUTE if what == "e" else CANCEL, key, side, price, rest)
        names = ("kind", "order_id", "side", "price", "size")
        rows.append(
            dict(zip(names, row, strict=True)) | {"flags": LAST, "ts_event": MIDNIGHT + at, "ts_recv": MIDNIGHT + at}
        )
        level: list[int] = []
        book: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for side, price, size in orders.values():
            book[side][price] = book[side].get(price, 0) + size
        asks, bids = sorted(book[1].items()), sorted(book[0].items(), reverse=True)
        for depth in range(3):
            level += [asks[depth][0] * 100, asks[depth][1]] if depth < len(asks) else [9999999999, 0]
            level += [bids[depth][0] * 100, bids[depth][1]] if depth < len(bids) else [-9999999999, 0]
        expected.append(",".join(map(str, level)))
    if not rows:
        return
    made = tape(rows, [SHARE])
    lobster.write(made, tmp_path / "m.csv", orderbook=tmp_path / "b.csv", levels=3, overwrite=True)
    assert (tmp_path / "b.csv").read_text().splitlines() == expected
    assert read(tmp_path / "m.csv").equals(made.to_polars())


def test_a_change_of_price_is_a_deletion_and_a_new_order(tmp_path: Path) -> None:
    at = {"flags": LAST, "ts_event": MIDNIGHT, "ts_recv": MIDNIGHT, "order_id": 7, "side": 0}
    rows = [{"kind": ADD, "price": 100, "size": 5, **at}, {"kind": MODIFY, "price": 101, "size": 6, **at}]
    lobster.write(tape(rows, [SHARE]), tmp_path / "m.csv", orderbook=tmp_path / "b.csv", levels=1)
    assert (tmp_path / "m.csv").read_text().splitlines() == [
        "0.000000000,1,7,5,10000,1",
        "0.000000000,3,7,5,10000,1",
        "0.000000000,1,7,6,10100,1",
    ]
    assert [line.split(",")[2:] for line in (tmp_path / "b.csv").read_text().splitlines()] == [
        *(["10000", "5"], ["-9999999999", "0"], ["10100", "6"])
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("34200.1,9,1,1,100,1", r"m\.csv line 2: expected type in \[1, 2, 3, 4, 5, 6, 7\], found 9"),
        ("34200.1,1,1,1,100,0", r"line 2: expected direction in \[-1, 1\], found 0"),
        ("34200.1,1,1,1,101,1", r"line 2: expected a price that is a multiple of 0\.01, found 0\.0101"),
        ("34200.1234567891,1,1,1,100,1", r"line 2: expected a time that is a multiple of 0\.000000001"),
        ("34200.1,1,x,1,100,1", "line 2: expected a order_id"),
        ("34200.1,1,1", "line 2: expected 6 columns"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(xb.DataError, match=says):
        read(save(tmp_path / "m.csv", LINES[0], line))


def test_only_a_tape_by_order_of_one_day_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(xb.DataError, match=r"expected a tape by order .*found level"):
        lobster.write(tape(levels([(0, 1, 1)], 1, ts_event=MIDNIGHT), [SHARE]), tmp_path / "m.csv")
    days = [
        {"kind": ADD, "order_id": at, "side": 0, "price": 100, "size": 1, "flags": LAST, "ts_event": MIDNIGHT + at}
        for at in (1, 2 * 86_400 * 10**9)
    ]
    with pytest.raises(xb.DataError, match="expected a tape of one day"):
        lobster.write(tape(days, [SHARE]), tmp_path / "m.csv")
    clear = {"kind": 0, "flags": LAST, "ts_event": MIDNIGHT + 2}
    with pytest.raises(xb.DataError, match="expected no clear once messages were written"):
        lobster.write(tape([days[0], clear], [SHARE]), tmp_path / "m.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_trade_beside_its_executions_is_not_told_twice(tmp_path: Path) -> None:
    at = {"ts_event": MIDNIGHT, "ts_recv": MIDNIGHT, "price": 100, "size": 1}
    rows = [
        {"kind": ADD, "order_id": 1, "side": 1, "flags": LAST, **at},
        {"kind": TRADE, "side": 0, **at},
        {"kind": EXECUTE, "order_id": 1, "side": 1, "flags": LAST, **at},
    ]
    done = lobster.write(tape(rows, [SHARE]), tmp_path / "m.csv")
    assert [line.split(",")[1] for line in (tmp_path / "m.csv").read_text().splitlines()] == ["1", "4"]
    assert done.left_out == {"trade": 1}
