"""CSV files of Tardis: what their documentation says is what is read and written."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest
from conftest import LAST, LEVEL, QUOTE, SNAPSHOT, TRADE, builtin, levels, quote, tape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crossbook as xb
from crossbook.convert import tardis

# Columns: https://docs.tardis.dev/downloadable-csv-files/data-types
BOOK = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
TRADES = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
TOP = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount"
US = 1_723_118_400_000_000
KEPT = ["ts_event", "ts_recv", "price", "size", "instrument", "kind", "side", "flags"]


def book_row(at: int, snapshot: str, side: str, price: str, amount: str) -> str:
    return f"binance,BTCUSDT,{US + at},{US + at + 5},{snapshot},{side},{price},{amount}"


def save(path: Path, *lines: str) -> Path:
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


BOOK_LINES = (
    book_row(0, "false", "bid", "99", "1"),
    book_row(1, "true", "bid", "100.01", "0.5"),
    book_row(1, "true", "ask", "100.02", "1"),
    book_row(2, "false", "bid", "100.01", "0"),
    book_row(2, "false", "ask", "100.02", "1e-7"),
    book_row(3, "true", "ask", "101", "2"),
)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("block", [1, 100, 1 << 20])
def test_a_book_has_its_messages_and_is_forgotten_where_a_snapshot_begins(
    tmp_path: Path, suffix: str, block: int
) -> None:
    path = save(tmp_path / f"book{suffix}", BOOK, *BOOK_LINES)
    rows = tardis.read(path, block=block).tape().to_polars()
    assert rows.select("kind", "side", "price", "size", "flags").rows() == [
        (LEVEL, 0, 9_900, 100_000_000, LAST),
        (0, 2, 0, 0, SNAPSHOT),
        (LEVEL, 0, 10_001, 50_000_000, SNAPSHOT),
        (LEVEL, 1, 10_002, 100_000_000, SNAPSHOT | LAST),
        (LEVEL, 0, 10_001, 0, 0),
        (LEVEL, 1, 10_002, 10, LAST),
        (0, 2, 0, 0, SNAPSHOT),
        (LEVEL, 1, 10_100, 200_000_000, SNAPSHOT | LAST),
    ]
    assert rows["ts_event"][0] == US * 1_000
    assert rows["ts_recv"][0] == (US + 5) * 1_000


def test_trades_have_the_side_of_the_aggressor_and_the_ids_that_are_numbers(tmp_path: Path) -> None:
    # Sides: "buy", "sell" and "unknown" of the liquidity taker; the same page, section trades.
    lines = [
        f"binance,BTCUSDT,{US},{US},{i},{side},100,1" for i, side in ((7, "buy"), ("a-b", "sell"), ("", "unknown"))
    ]
    rows = tardis.read(save(tmp_path / "t.csv", TRADES, *lines)).tape().to_polars()
    assert rows.select("sequence", "side", "kind", "flags").rows() == [
        (7, 0, TRADE, 1),
        (0, 1, TRADE, 1),
        (0, 2, TRADE, 1),
    ]


def test_a_quote_is_two_events_and_a_side_that_is_missing_has_no_size(tmp_path: Path) -> None:
    lines = [f"binance,BTCUSDT,{US},{US},2,100.02,100.01,1", f"binance,BTCUSDT,{US},{US},,,100.01,1"]
    rows = tardis.read(save(tmp_path / "q.csv", TOP, *lines)).tape().to_polars()
    assert rows.select("kind", "side", "price", "size", "flags").rows() == [
        (QUOTE, 0, 10_001, 100_000_000, 0),
        (QUOTE, 1, 10_002, 200_000_000, LAST),
        (QUOTE, 0, 10_001, 100_000_000, 0),
        (QUOTE, 1, 0, 0, LAST),
    ]


def test_the_real_capture_comes_back_but_for_ids_of_the_book_and_below_the_microsecond(
    real: Path, tmp_path: Path
) -> None:
    capture = xb.open(real)
    done = tardis.write(capture, tmp_path, compress=False)
    back = tardis.read(tmp_path, instruments=capture.instruments)
    # Equal times of trades, book and quotes come back in this order.
    order = ["instrument", "kind"]
    before = (
        capture.tape()
        .to_polars()
        .with_columns(ts_recv=pl.col("ts_recv") // 1_000 * 1_000, flags=pl.col("flags") & 0xEF)
        .with_columns(ts_event=pl.when(pl.col("ts_event") == 0).then("ts_recv").otherwise("ts_event"))
    )
    after = back.tape().to_polars()
    assert (
        after.select(KEPT).sort(order, maintain_order=True).equals(before.select(KEPT).sort(order, maintain_order=True))
    )
    trades = pl.col("kind") == TRADE
    assert after.filter(trades)["sequence"].sort().equals(before.filter(trades)["sequence"].sort())
    assert done.left_out == {}
    assert len(done.paths) == 9


row = st.tuples(st.integers(0, 1), st.integers(1, 500), st.integers(0, 10**9))
message = st.one_of(
    st.tuples(st.just("book"), st.lists(row, min_size=1, max_size=5), st.booleans()),
    st.tuples(st.just("trade"), row, st.integers(0, 2)),
    st.tuples(st.just("quote"), row, row),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(message, min_size=1, max_size=30))
def test_any_tape_of_levels_trades_and_quotes_comes_back(tmp_path: Path, messages: list) -> None:
    rows = []
    for at, (what, first, second) in enumerate(messages, 1):
        common = {"ts_recv": (US + at) * 1_000, "ts_event": (US + at - 1) * 1_000}
        if what == "book":
            flags = SNAPSHOT if second else 0
            rows += [{"kind": 0, "flags": SNAPSHOT, **common}] if second else []
            rows += levels(first, 0, flags=flags, **common)
            # So that no two snapshots touch, of which the second would be lost.
            rows += levels([(0, 1, 1)], 0, **common) if second else []
        elif what == "trade":
            rows.append({"kind": TRADE, "side": second, "price": first[1], "size": first[2], "flags": LAST, **common})
        else:
            rows += quote(first[1], second[1], 0, sizes=(first[2] + 1, second[2] + 1), **common)
    made = tape(rows)
    paths = tardis.write(made, tmp_path, overwrite=True, compress=False).paths
    back = tardis.read(paths, instruments=made.instruments).tape()
    assert back.to_polars().equals(made.to_polars())


def test_units_are_the_finest_decimals_of_all_files_where_nothing_is_declared(tmp_path: Path) -> None:
    head = f"binance-futures,ETHUSDT,{US},{US}"
    save(tmp_path / "a.csv", BOOK, f"{head},false,bid,1.50,3", f"{head},false,bid,1.5,0.125")
    save(tmp_path / "b.csv", TRADES, f"{head},1,buy,1.625,2e-5")
    found = tardis.read(tmp_path).instruments
    assert [(one.name, one.price_unit, one.size_unit) for one in found] == [
        ("binance-usdm:ETHUSDT", "0.001", "0.00001")
    ]


def test_a_file_of_many_symbols_keeps_them_apart(tmp_path: Path) -> None:
    lines = [
        f"{exchange},BTCUSDT,{US + at},{US + at},{at},buy,{at},1"
        for at, exchange in enumerate(["binance", "binance-futures"] * 3, 1)
    ]
    made = tardis.read(save(tmp_path / "t.csv", TRADES, *lines), instruments=[builtin("usdm"), builtin("spot")]).tape()
    assert made.to_polars()["instrument"].to_list() == [1, 0] * 3
    assert made.to_polars()["sequence"].to_list() == list(range(1, 7))


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["a,b,c"], r"t\.csv line 1: expected the header exchange,symbol"),
        ([TRADES, f"binance,BTCUSDT,{US},{US},1,buy,100,1", "x,y"], r"t\.csv line 3: expected 8 columns"),
        ([TRADES, f"binance,BTCUSDT,{US},{US},1,buy,100,1,9"], r"t\.csv line 2: expected 8 columns"),
        ([TRADES, f"binance,BTCUSDT,{US},x,1,buy,100,1"], r"line 2: expected local_timestamp in µs, found 'x'"),
        (
            [TRADES, f"binance,BTCUSDT,{US},{US},1,up,100,1"],
            r"line 2: expected side buy or sell or unknown, found 'up'",
        ),
        ([TRADES, f"binance,BTCUSDT,{US},{US},1,buy,0.001,1"], r"line 2: expected a price that is a multiple of 0\.01"),
        ([TRADES, f"binance,BTCUSDT,{US},{US},1,buy,,1"], r"line 2: expected a price"),
        ([BOOK, f"binance,BTCUSDT,{US},{US},yes,bid,1,1"], r"line 2: expected is_snapshot false or true, found 'yes'"),
        ([TRADES, f"binance,ETHUSDT,{US},{US},1,buy,100,1"], r"line 2: expected one of binance-spot:BTCUSDT, found"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, lines: list[str], says: str) -> None:
    with pytest.raises(xb.DataError, match=says):
        tardis.read(save(tmp_path / "t.csv", *lines), instruments=[builtin("spot")]).tape()


def test_a_file_that_ends_within_its_gzip_is_an_error(tmp_path: Path) -> None:
    path = save(tmp_path / "t.csv.gz", TRADES, *[f"binance,BTCUSDT,{US},{US},{i},buy,{i},1" for i in range(1_000)])
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(xb.DataError, match=r"t\.csv\.gz line \d+: expected the rest of the file"):
        tardis.read(path, instruments=[builtin("spot")]).tape()


def test_an_exchange_of_unknown_contracts_must_be_declared(tmp_path: Path) -> None:
    path = save(tmp_path / "t.csv", TRADES, f"deribit,BTC-PERPETUAL,{US},{US},1,buy,100,1")
    with pytest.raises(xb.InstrumentError, match="deribit"):
        tardis.read(path)


def test_files_are_named_as_tardis_names_them_and_never_overwritten_unless_asked(tmp_path: Path) -> None:
    made = tape(
        [*levels([(0, 1, 1)], 1, ts_recv=US * 1_000), *levels([(0, 1, 1)], 1, ts_recv=(US + 86_400_000_000) * 1_000)]
    )
    names = [path.name for path in tardis.write(made, tmp_path).paths]
    assert names == [f"binance_incremental_book_L2_2024-08-0{d}_BTCUSDT.csv.gz" for d in (8, 9)]
    before = (tmp_path / names[0]).read_bytes()
    with pytest.raises(xb.DataError, match="exists already: expected overwrite=True"):
        tardis.write(made, tmp_path)
    tardis.write(made, tmp_path, overwrite=True)
    assert (tmp_path / names[0]).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_what_has_no_column_is_counted(tmp_path: Path) -> None:
    gap = {"kind": 13, "flags": LAST, "ts_recv": US * 1_000}
    done = tardis.write(tape([gap, *quote(1, 2, 3, ts_recv=US * 1_000)]), tmp_path, quotes="quotes")
    assert (done.rows, done.left_out) == (2, {"gap": 1})
    assert done.paths[0].name == "binance_quotes_2024-08-08_BTCUSDT.csv.gz"
