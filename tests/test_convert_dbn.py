"""Databento Binary Encoding, made and read by Databento's own package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import LAST, QUOTE, SNAPSHOT, TRADE, builtin, levels, quote, tape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crossbook as xb
from crossbook.convert import dbn

encoding = pytest.importorskip("databento_dbn")

FUTURE = xb.Instrument.from_json(
    json.dumps(json.loads(builtin("usdm").to_json()) | {"symbol": "ESU4", "price_unit": "0.25", "size_unit": "1"})
)
OTHER = xb.Instrument.from_json(json.dumps(json.loads(FUTURE.to_json()) | {"symbol": "NQU4"}))
ADD, MODIFY, CANCEL, EXECUTE, GAP = 4, 5, 6, 7, 13
NS = 1_723_118_400_000_000_000
KIND = encoding.Action
SIDE = encoding.Side


def save(path: Path, records: list[Any], schema: str = "mbo", symbols: tuple[str, ...] = ()) -> Path:
    about = encoding.Metadata(
        dataset="GLBX.MDP3",
        start=NS,
        stype_in=encoding.SType.RAW_SYMBOL,
        stype_out=encoding.SType.INSTRUMENT_ID,
        schema=encoding.Schema.from_str(schema),
        symbols=list(symbols),
    )
    path.write_bytes(bytes(about) + b"".join(map(bytes, records)))
    return path


def mbo(action: Any, side: Any, size: int, order: int, *, price: int = 5_000, flags: int = 128, at: int = 0) -> Any:
    """A record as Databento makes it: price in whole dollars here, F_LAST unless said otherwise."""
    nano = encoding.UNDEF_PRICE if action == KIND.CLEAR else price * 10**9
    return encoding.MBOMsg(1, 42, NS + at, order, nano, size, action, side, NS + at + 7, flags=flags, sequence=9)


def decoded(path: Path) -> list[Any]:
    zipped = encoding.Compression.ZSTD if path.suffix == ".zst" else encoding.Compression.NONE
    return encoding.DBNDecoder(compression=zipped).write_and_decode(path.read_bytes())


def read(path: Path, **options: Any) -> pl.DataFrame:
    return dbn.read(path, instruments=[FUTURE], **options).tape().to_polars()


def test_records_by_order_become_events(tmp_path: Path) -> None:
    # https://databento.com/docs/schemas/mbo: trades and fills do not change the book, the cancellations with them do.
    records = [
        mbo(KIND.CLEAR, SIDE.NONE, 0, 0, flags=32),
        mbo(KIND.ADD, SIDE.BID, 10, 1, flags=32 | 128),
        mbo(KIND.TRADE, SIDE.ASK, 4, 0, flags=0, at=1),
        mbo(KIND.FILL, SIDE.BID, 4, 1, flags=0, at=1),
        mbo(KIND.CANCEL, SIDE.BID, 4, 1, at=1),
        mbo(KIND.CANCEL, SIDE.BID, 1, 1, at=2),
        mbo(KIND.MODIFY, SIDE.BID, 8, 1, price=5_001, at=3),
        mbo(KIND.CANCEL, SIDE.BID, 8, 1, at=4),
    ]
    rows = read(save(tmp_path / "a.dbn", records))
    assert rows.select("kind", "side", "order_id", "price", "size", "flags").rows() == [
        (0, 2, 0, 0, 0, SNAPSHOT),
        (ADD, 0, 1, 20_000, 10, SNAPSHOT | LAST),
        (TRADE, 1, 0, 20_000, 4, 0),
        (EXECUTE, 0, 1, 20_000, 4, LAST),
        (MODIFY, 0, 1, 20_000, 5, LAST),
        (MODIFY, 0, 1, 20_004, 8, LAST),
        (CANCEL, 0, 1, 20_000, 8, LAST),
    ]
    assert rows.select("ts_event", "ts_recv", "sequence").row(2) == (NS + 1, NS + 8, 9)


def test_a_fill_that_a_modification_takes_off_the_book_is_one_event(tmp_path: Path) -> None:
    records = [
        mbo(KIND.ADD, SIDE.ASK, 10, 1),
        mbo(KIND.FILL, SIDE.ASK, 4, 1, flags=0),
        mbo(KIND.MODIFY, SIDE.ASK, 6, 1),
        mbo(KIND.FILL, SIDE.ASK, 6, 1, flags=0),
        mbo(KIND.CANCEL, SIDE.ASK, 6, 1),
    ]
    rows = read(save(tmp_path / "a.dbn", records))
    assert rows.select("kind", "size", "flags").rows() == [(ADD, 10, LAST), (EXECUTE, 4, LAST), (EXECUTE, 6, LAST)]


def test_a_modification_of_an_order_that_never_came_adds_it(tmp_path: Path) -> None:
    # So does the example of a book by order at https://databento.com/docs/examples/order-book/limit-order-book.
    records = [mbo(KIND.MODIFY, SIDE.BID, 3, 1), mbo(KIND.MODIFY, SIDE.BID, 2, 1), mbo(KIND.CANCEL, SIDE.BID, 2, 1)]
    path = save(tmp_path / "a.dbn", records)
    assert read(path).select("kind", "size").rows() == [(ADD, 3), (MODIFY, 2), (CANCEL, 2)]
    book = xb.OrderBook(FUTURE)
    assert book.apply(dbn.read(path, instruments=[FUTURE]).tape()[:2]) == 0
    assert book.get(1) == (xb.BID, 20_000, 2)


def test_a_gap_stands_before_what_may_be_a_bad_book(tmp_path: Path) -> None:
    # F_MAYBE_BAD_BOOK is bit 2: "an unrecoverable gap was detected in the channel", dbn's rust/dbn/src/flags.rs.
    records = [mbo(KIND.ADD, SIDE.BID, 1, at, flags=128 | (4 if at in (2, 3) else 0)) for at in (1, 2, 3, 4)]
    assert read(save(tmp_path / "a.dbn", records))["kind"].to_list() == [ADD, GAP, ADD, ADD, ADD]


def test_trades_and_quotes_of_mbp_1_are_events(tmp_path: Path) -> None:
    undefined = encoding.UNDEF_PRICE
    top = [encoding.BidAskPair(5_000 * 10**9, 5_001 * 10**9, 3, 4), encoding.BidAskPair(undefined, 5_001 * 10**9, 0, 4)]
    records = [
        encoding.MBP1Msg(1, 42, NS, 5_000 * 10**9, 3, KIND.ADD, SIDE.BID, 0, NS, flags=128, levels=top[0]),
        encoding.MBP1Msg(1, 42, NS, 5_000 * 10**9, 3, KIND.TRADE, SIDE.ASK, 0, NS, flags=0, levels=top[0]),
        encoding.MBP1Msg(1, 42, NS, 5_000 * 10**9, 3, KIND.CANCEL, SIDE.BID, 0, NS, flags=128, levels=top[1]),
    ]
    rows = read(save(tmp_path / "a.dbn", records, "mbp-1"))
    assert rows.select("kind", "side", "price", "size", "flags").rows() == [
        (QUOTE, 0, 20_000, 3, 0),
        (QUOTE, 1, 20_004, 4, LAST),
        (TRADE, 1, 20_000, 3, 0),
        (QUOTE, 0, 0, 0, 0),
        (QUOTE, 1, 20_004, 4, LAST),
    ]


@pytest.mark.parametrize("name", ["a.dbn", "a.dbn.zst"])
def test_the_real_capture_comes_back_as_mbp_1_but_for_its_long_ids(real: Path, tmp_path: Path, name: str) -> None:
    capture = xb.open(real).select("coinm", "usdm")
    done = dbn.write(capture, tmp_path / name, schema="mbp-1", size_unit="0.001")
    fits = pl.col("kind").is_in([QUOTE, TRADE])
    before = capture.tape().to_polars().filter(fits)
    after = dbn.read(tmp_path / name, instruments=capture.instruments, size_unit="0.001").tape().to_polars()
    same = [column for column in before.columns if column != "sequence"]
    assert after.select(same).equals(before.select(same))
    assert done.rows == before.height
    assert set(done.left_out) == {"clear", "level"}


step = st.tuples(st.sampled_from("amcext"), st.integers(0, 5), st.integers(1, 9), st.integers(0, 1), st.integers(0, 1))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.lists(step, min_size=1, max_size=40))
def test_any_tape_by_order_comes_back(tmp_path: Path, steps: list) -> None:
    rows: list[dict[str, int]] = []
    orders: dict[int, list[int]] = {}
    for at, (what, which, size, side, number) in enumerate(steps, 1):
        common = {"ts_event": NS + at, "ts_recv": NS + at + 1, "flags": LAST, "sequence": at}
        if what == "a" or (what != "t" and not orders):
            orders[at] = [side, size, number]
            row = {"kind": ADD, "order_id": at, "side": side, "size": size, "instrument": number}
        elif what == "t":
            row = {"kind": TRADE, "side": side, "size": size, "instrument": number}
        else:
            key = sorted(orders)[which % len(orders)]
            side, rest, number = orders[key]
            row = {"kind": CANCEL, "order_id": key, "side": side, "size": rest, "instrument": number}
            if what == "m":
                row |= {"kind": MODIFY, "size": size}
                orders[key][1] = size
            elif what in "ex" and rest > size:
                row |= {"kind": EXECUTE, "size": size}
                orders[key][1] -= size
            else:
                row |= {"kind": EXECUTE} if what == "e" else {}
                del orders[key]
        rows.append(row | common | {"price": 400})
    made = tape(rows, [FUTURE, OTHER])
    done = dbn.write(made, tmp_path / "a.dbn", schema="mbo", overwrite=True)
    back = dbn.read(tmp_path / "a.dbn", instruments=[FUTURE, OTHER]).tape().to_polars()
    assert back.equals(made.to_polars())
    assert (done.rows, done.left_out) == (len(rows), {})


def test_what_is_written_is_what_databentos_package_reads(tmp_path: Path) -> None:
    rows = [
        {
            "kind": ADD,
            "order_id": 5,
            "side": 1,
            "price": 3,
            "size": 2,
            "flags": LAST,
            "ts_event": NS,
            "ts_recv": NS + 1,
        },
        {"kind": EXECUTE, "order_id": 5, "side": 1, "price": 3, "size": 2, "flags": LAST, "ts_recv": NS + 2},
    ]
    dbn.write(tape(rows, [FUTURE]), tmp_path / "a.dbn", schema="mbo")
    about, add, fill, cancel = decoded(tmp_path / "a.dbn")
    assert (str(about.schema), about.symbols, about.start) == ("mbo", ["ESU4"], NS + 1)
    assert about.mappings["ESU4"][0]["symbol"] == "1"
    assert (add.action, add.side, add.price, add.size, add.order_id) == (KIND.ADD, SIDE.ASK, 750_000_000, 2, 5)
    assert (add.instrument_id, add.ts_event, add.ts_recv, add.flags) == (1, NS, NS + 1, 128)
    assert [(one.action, one.size, one.flags) for one in (fill, cancel)] == [(KIND.FILL, 2, 0), (KIND.CANCEL, 2, 128)]
    assert fill.ts_event == encoding.UNDEF_TIMESTAMP


def test_trades_alone_have_a_schema_of_their_own(tmp_path: Path) -> None:
    rows = [
        {"kind": TRADE, "side": s, "price": 3, "size": 2, "flags": LAST, "ts_event": NS, "ts_recv": NS}
        for s in (0, 1, 2)
    ]
    done = dbn.write(tape([*rows, *quote(1, 2, 3, ts_recv=NS)], [FUTURE]), tmp_path / "a.dbn", schema="trades")
    assert [one.side for one in decoded(tmp_path / "a.dbn")[1:]] == [SIDE.BID, SIDE.ASK, SIDE.NONE]
    assert read(tmp_path / "a.dbn").equals(tape(rows, [FUTURE]).to_polars())
    assert done.left_out == {"quote": 2}


def test_sizes_that_are_no_whole_contracts_need_a_unit(tmp_path: Path) -> None:
    made = tape([{"kind": TRADE, "side": 0, "price": 1, "size": 5, "flags": LAST, "ts_recv": NS}], [builtin("usdm")])
    with pytest.raises(xb.DataError, match=r"size_unit=.*expected a size that is a multiple of 1, found 0\.005"):
        dbn.write(made, tmp_path / "a.dbn", schema="trades")
    large = tape([{"kind": TRADE, "side": 0, "price": 1, "size": 1 << 40, "flags": LAST, "ts_recv": NS}], [FUTURE])
    with pytest.raises(xb.DataError, match=r"expected a size below 2\^32 times 1"):
        dbn.write(large, tmp_path / "a.dbn", schema="trades")
    assert list(tmp_path.iterdir()) == []


def test_levels_are_no_orders(tmp_path: Path) -> None:
    with pytest.raises(xb.DataError, match=r"expected a tape by order .*found level"):
        dbn.write(tape(levels([(0, 1, 1)], 1), [FUTURE]), tmp_path / "a.dbn", schema="mbo")


@pytest.mark.parametrize("schema", ["mbp-10", "ohlcv-1s", "definition"])
def test_schemas_that_are_not_covered_are_an_error(tmp_path: Path, schema: str) -> None:
    with pytest.raises(xb.DataError, match=rf"schema {schema}: expected one of mbo, trades, mbp-1"):
        read(save(tmp_path / "a.dbn", [], schema))
    with pytest.raises(xb.DataError, match="expected one of mbo, trades, mbp-1"):
        dbn.write(tape([], [FUTURE]), tmp_path / "b.dbn", schema=schema)  # type: ignore[arg-type]


def test_what_is_no_dbn_or_ends_early_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.dbn").write_bytes(b"nothing of the kind" * 9)
    with pytest.raises(xb.DataError, match=r"a\.dbn record 0: expected DBN: "):
        read(tmp_path / "a.dbn")
    path = save(tmp_path / "b.dbn", [mbo(KIND.ADD, SIDE.BID, 1, at) for at in (1, 2)])
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(xb.DataError, match=r"b\.dbn record 1: expected the rest of it"):
        read(path)
    with pytest.raises(xb.DataError, match=r"c\.dbn record 0: expected DBN"):
        read(tmp_path / "c.dbn")


def test_a_price_that_is_no_multiple_of_the_unit_names_its_record(tmp_path: Path) -> None:
    good, bad = mbo(KIND.ADD, SIDE.BID, 1, 1), mbo(KIND.ADD, SIDE.BID, 1, 2)
    bad = encoding.MBOMsg(1, 42, NS, 2, 5_000_100_000_000, 1, KIND.ADD, SIDE.BID, NS, flags=128)
    with pytest.raises(
        xb.DataError, match=r"a\.dbn record 1: expected a price that is a multiple of 0\.25, found 5000\.1"
    ):
        read(save(tmp_path / "a.dbn", [good, bad]))


def test_an_instrument_that_is_not_described_is_an_error(tmp_path: Path) -> None:
    made = tape([{"kind": TRADE, "side": 0, "price": 1, "size": 5, "flags": LAST, "instrument": 1}], [FUTURE, OTHER])
    dbn.write(made, tmp_path / "a.dbn", schema="trades")
    with pytest.raises(xb.InstrumentError, match=r"instrument 2 \(NQU4\): expected one of binance-usdm:ESU4"):
        read(tmp_path / "a.dbn")
    with pytest.raises(xb.InstrumentError, match="expected at least one instrument"):
        dbn.read(tmp_path / "a.dbn", instruments=None)
