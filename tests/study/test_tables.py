"""Plain tables become what the analytics take: times in any form and zone, columns by usual names, or an error."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.errors import DataError
from crossbook.study import lead_lag_exact, market_table, sign_trades

NS = 1_000_000_000
SECOND = 1_534_032_008  # 2018-08-12 00:00:08 UTC, by `date -u -d @1534032008`


def times(values: list[object], **options: object) -> list[int]:
    return market_table(pl.DataFrame({"time": values, "price": [1.0] * len(values)}), **options)["ts_recv"].to_list()


@pytest.mark.parametrize(
    ("written", "ns"),
    [
        ("2018-08-12 00:00:08", SECOND * NS),
        ("2018-08-12T00:00:08.123456789", SECOND * NS + 123_456_789),
        ("2018-08-12T00:00:08Z", SECOND * NS),
        ("2018-08-12 02:00:08.5+02:00", SECOND * NS + NS // 2),
        ("2018/08/12 00:00:08.1", SECOND * NS + NS // 10),
        ("12.08.2018 00:00", (SECOND - 8) * NS),
        ("12AUG2018 00:00:08", SECOND * NS),
        ("2018-08-12", (SECOND - 8) * NS),
        ("20180812", (SECOND - 8) * NS),
        (20180812, (SECOND - 8) * NS),
        (date(2018, 8, 12), (SECOND - 8) * NS),
        (datetime(2018, 8, 12, 0, 0, 8), SECOND * NS),
        (datetime(2018, 8, 12, 0, 0, 8, tzinfo=UTC), SECOND * NS),
        (SECOND, SECOND * NS),
        (SECOND * 1_000 + 123, SECOND * NS + 123_000_000),
        (SECOND * 1_000_000 + 1, SECOND * NS + 1_000),
        (SECOND * NS + 1, SECOND * NS + 1),
        (SECOND + 0.25, SECOND * NS + NS // 4),
        (SECOND + 0.123456, SECOND * NS + 123_456_000),
    ],
)
def test_a_time_is_read_however_it_is_written(written: object, ns: int) -> None:
    assert times([written]) == [ns]


@given(st.integers(631_152_000_000_000, 4_000_000_000_000_000))
@settings(max_examples=60, deadline=None)
def test_every_form_of_one_microsecond_is_the_same_instant(us: int) -> None:
    instant = datetime(1970, 1, 1) + timedelta(microseconds=us)
    forms = [
        us,
        us * 1_000,
        instant,
        instant.isoformat(),
        instant.isoformat(sep=" ") + "Z",
        f"{instant:%Y%m%d %H:%M:%S.%f}",
    ]
    assert {times([form])[0] for form in forms} == {us * 1_000}


def test_times_of_day_are_of_the_zone_and_its_day() -> None:
    rows = {"DATE": [20120104, 20120704], "TIME_M": ["9:30:00.003", "09:30:00"], "PRICE": [1.0, 2.0]}
    found = market_table(pl.DataFrame(rows), date="DATE", zone="America/New_York")
    zone = ZoneInfo("America/New_York")
    wanted = [datetime(2012, 1, 4, 9, 30, 0, 3_000, zone), datetime(2012, 7, 4, 9, 30, tzinfo=zone)]
    assert [pytest.approx(ns / NS, abs=1e-6) for ns in found["ts_recv"]] == [one.timestamp() for one in wanted]


def test_columns_are_found_by_their_usual_names_and_the_rest_stays() -> None:
    rows = {
        "Timestamp": [SECOND, SECOND],
        "BID": [99.0, 0.0],
        "BIDSIZ": [3, 4],
        "OFR": [101.0, 102.0],
        "OFRSIZ": [1, 0],
    }
    found = market_table(pl.DataFrame(rows | {"EX": ["N", "T"]}))
    assert found.select("bid", "ask", "bid_size", "ask_size", "mid", "EX").rows() == [
        (99.0, 101.0, 3.0, 1.0, 100.0, "N"),
        (None, None, None, None, None, "T"),
    ]
    named = market_table(pl.DataFrame({"when": [SECOND], "BTC": ["1.5"]}), time="when", columns={"price": "BTC"})
    assert named.select("price", "side").row(0) == (1.5, 0)
    sides = pl.DataFrame({"time": [SECOND] * 5, "price": [1.0] * 5, "side": ["Buy", "s", "SELL", "-1", "?"]})
    assert market_table(sides)["side"].to_list() == [1, -1, -1, -1, 0]


def test_crossed_quotes_are_unknown_if_asked_and_locked_ones_stand() -> None:
    rows = pl.DataFrame({"time": [SECOND] * 3, "bid": [1.0, 2.0, 3.0], "ask": [2.0, 2.0, 2.0]})
    assert market_table(rows)["mid"].to_list() == [1.5, 2.0, 2.5]
    assert market_table(rows, drop_crossed=True)["mid"].to_list() == [1.5, 2.0, None]


def test_rows_are_put_in_order_of_time_and_those_of_one_time_stay_in_their_own() -> None:
    rows = pl.DataFrame({"time": [SECOND + 1, SECOND, SECOND], "price": [1.0, 2.0, 3.0]})
    assert market_table(rows)["price"].to_list() == [2.0, 3.0, 1.0]


def test_two_clocks_are_kept_apart() -> None:
    rows = pl.DataFrame({"time": [SECOND], "local": [SECOND + 0.5], "price": [1.0]})
    assert market_table(rows, received="local").select("ts_event", "ts_recv").row(0) == (
        SECOND * NS,
        SECOND * NS + NS // 2,
    )


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        ({"time": ["x"], "price": [1.0]}, {}, "time: expected a time in every row, found 'x' in row 0"),
        ({"time": [SECOND, None], "price": [1.0, 1.0]}, {}, "expected a time in every row"),
        ({"price": [1.0]}, {}, "expected a column of times"),
        ({"time": [5], "price": [1.0]}, {}, "expected a unit"),
        ({"time": [SECOND], "a": [1.0]}, {}, "expected a price, a mid, or a bid and an ask"),
        ({"time": [SECOND], "price": ["one"]}, {}, "price: expected numbers, found 'one' in row 0"),
        ({"time": [SECOND], "price": [float("inf")]}, {}, "price"),
        ({"time": [SECOND], "price": [1.0]}, {"columns": {"cost": "price"}}, "expected names of bid"),
        ({"time": [SECOND], "price": [1.0]}, {"columns": {"price": "last"}}, "last"),
        ({"time": ["2018-03-11 02:30:00"], "price": [1.0]}, {"zone": "America/New_York"}, "non-existent"),
        ({"time": ["2018-03-11 02:30:00"], "price": [1.0]}, {"zone": "Nowhere"}, "Nowhere"),
        ({"time": ["25:00"], "date": ["2018-01-01"], "price": [1.0]}, {"date": "date"}, "25:00"),
        ({"time": ["10:00"], "date": ["soon"], "price": [1.0]}, {"date": "date"}, "soon"),
        ({"time": [SECOND], "price": [1.0], "size": [-1.0]}, {}, "sizes of 0 or more"),
    ],
)
def test_what_is_no_time_or_number_is_said_with_its_place(rows: dict, options: dict, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        market_table(pl.DataFrame(rows), **options)


def test_an_empty_table_gives_an_empty_one() -> None:
    found = market_table(pl.DataFrame({"time": [], "price": []}))
    assert (found.height, found.columns) == (0, ["ts_recv", "ts_event", "price", "side"])


def test_a_datetime_serves_as_a_clock_without_more() -> None:
    at = pl.Series([datetime(2024, 1, 1, 0, 0, k) for k in range(9)])
    prices = pl.DataFrame({"ts_recv": at, "price": [1.0, 2, 1, 3, 1, 4, 2, 5, 3]})
    later = prices.with_columns(pl.col("ts_recv") + pl.duration(seconds=2))
    assert lead_lag_exact(prices, later, value="price", max_lag_ms=3_000)["peak_lag_ns"].item() == 2 * NS
    assert sign_trades(prices, rule="tick")["sign"].to_list() == [0, 1, -1, 1, -1, 1, -1, 1, -1]
