"""Tapes in folders of Parquet: all of it comes back, other tools read it, and nothing is half-written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from conftest import COLUMNS, TRADE, builtin, levels, quote, tape

import crossbook as xb
from crossbook.convert import parquet, read

DAY = 86_400_000_000_000
NOON = 1_723_118_400_000_000_000
TWO = [builtin("spot"), builtin("usdm")]


def day(number: int, *, first: int = 1, count: int = 4) -> list[dict[str, int]]:
    """A few events of both instruments at noon of a day."""
    rows = []
    for at in range(first, first + count):
        common = {"ts_recv": NOON + number * DAY + at, "instrument": at % 2}
        rows += levels([(0, 99, at), (1, 103, 2)], at, **common)
    return rows


def test_a_capture_comes_back_as_it_was(demo: Path, tmp_path: Path) -> None:
    capture = xb.open(demo)
    done = parquet.write(capture, tmp_path / "out", rows=5_000)
    back = parquet.read(tmp_path / "out")
    assert back.instruments == capture.instruments
    assert back.tape().to_polars().equals(capture.tape().to_polars())
    assert (done.rows, done.left_out) == (len(capture.tape()), {})
    assert len(done.paths) > len(capture.instruments)
    assert all(path.exists() for path in done.paths)


def test_the_real_capture_comes_back_as_it_was(real: Path, tmp_path: Path) -> None:
    capture = xb.open(real)
    parquet.write(capture, tmp_path / "out")
    assert parquet.read(tmp_path / "out").tape().to_polars().equals(capture.tape().to_polars())


def test_batches_end_where_messages_end_and_progress_ends_at_the_total(demo: Path, tmp_path: Path) -> None:
    parquet.write(xb.open(demo), tmp_path / "out", rows=5_000)
    seen: list[tuple[int, int]] = []
    tapes = list(parquet.read(tmp_path / "out").batches(rows=1_000, progress=lambda *at: seen.append(at)))
    assert len(tapes) > 5
    assert all(tape.to_polars()["flags"][-1] & 1 for tape in tapes)
    assert all(len(tape) >= 1_000 for tape in tapes[:-1])
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] > 0


def test_folders_are_by_venue_symbol_and_day_of_receipt(tmp_path: Path) -> None:
    parquet.write(tape(day(0) + day(1), TWO), tmp_path / "out")
    found = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.parquet"))
    assert found == [
        f"venue={venue}/symbol=BTCUSDT/date={date}/part-00000.parquet"
        for venue in ("binance-spot", "binance-usdm")
        for date in ("2024-08-08", "2024-08-09")
    ]
    assert xb.read_instruments(tmp_path / "out.instruments.json") == TWO


def test_polars_reads_the_folder_and_its_names(tmp_path: Path) -> None:
    made = tape(day(0) + day(1), TWO)
    parquet.write(made, tmp_path / "out")
    plain = pl.scan_parquet(tmp_path / "out", hive_partitioning=True).collect()
    assert plain.schema == pl.Schema({**COLUMNS, "venue": pl.String, "symbol": pl.String, "date": pl.Date})
    assert plain["price"].sum() == made.to_polars()["price"].sum()
    by_day = parquet.scan(tmp_path / "out").group_by("date").len().sort("date").collect()
    assert by_day["len"].to_list() == [8, 8]


def test_duckdb_reads_the_folder_and_its_names(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    made = tape(day(0) + day(1), TWO)
    parquet.write(made, tmp_path / "out")
    query = f"""
        select venue, symbol, date::varchar, count(*), sum(price)::bigint
        from read_parquet('{tmp_path}/out/**/*.parquet', hive_partitioning = true) group by all order by all
    """
    assert duckdb.sql(query).fetchall() == [
        (venue, "BTCUSDT", date, 4, 404)
        for venue in ("binance-spot", "binance-usdm")
        for date in ("2024-08-08", "2024-08-09")
    ]


def test_a_symbol_that_paths_dislike_is_encoded_and_read_as_it_was(tmp_path: Path) -> None:
    about = json.loads(builtin("spot").to_json()) | {"symbol": "BTC/USDT:X=%"}
    odd = xb.Instrument.from_json(json.dumps(about))
    parquet.write(tape(quote(1, 2, 3, ts_recv=NOON), [odd]), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "venue=binance-spot").iterdir()] == [
        "symbol=BTC%2FUSDT%3AX%3D%25"
    ]
    assert parquet.read(tmp_path / "out").instruments == [odd]
    assert parquet.scan(tmp_path / "out").collect()["symbol"].unique().to_list() == ["BTC/USDT:X=%"]


def test_every_part_says_its_units_and_needs_nothing_beside_it(tmp_path: Path) -> None:
    parquet.write(tape(day(0), TWO), tmp_path / "out")
    (tmp_path / "out.instruments.json").unlink()
    (tmp_path / "out").rename(tmp_path / "moved")
    assert read(tmp_path / "moved", "parquet").instruments == TWO
    part = next((tmp_path / "moved").rglob("*.parquet"))
    about = json.loads(pl.read_parquet_metadata(part)["crossbook"])
    assert (about["version"], about["instruments"][0]["price_unit"]) == (1, "0.01")


def test_a_day_may_be_added_and_none_is_overwritten_unless_asked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    parquet.write(tape(day(0), TWO), out)
    # The other order of instruments: the folder's own numbers hold.
    turned = [row | {"instrument": 1 - row["instrument"]} for row in day(1)]
    parquet.write(tape(turned, TWO[::-1]), out)
    both = tape(day(0) + day(1), TWO).to_polars()
    assert parquet.read(out).tape().to_polars().equals(both)
    with pytest.raises(xb.DataError, match=r"date=2024-08-09: exists already: expected overwrite=True"):
        parquet.write(tape(day(1, count=2), TWO), out)
    assert parquet.read(out).tape().to_polars().equals(both)
    parquet.write(tape(day(1, count=2), TWO), out, overwrite=True)
    assert parquet.read(out).tape().to_polars().equals(tape(day(0) + day(1, count=2), TWO).to_polars())


def test_units_that_differ_from_those_that_are_there_are_refused(tmp_path: Path) -> None:
    parquet.write(tape(day(0), TWO), tmp_path / "out")
    about = json.loads(builtin("spot").to_json()) | {"price_unit": "0.1"}
    other = xb.Instrument.from_json(json.dumps(about))
    with pytest.raises(xb.DataError, match="binance-spot:BTCUSDT is there with another description"):
        parquet.write(tape(quote(1, 2, 3, ts_recv=NOON + DAY), [other]), tmp_path / "out")
    with pytest.raises(xb.DataError, match="expected instruments and units that are there"):
        parquet.read(tmp_path / "out", instruments=[other])


def test_instruments_can_be_picked_and_ordered(tmp_path: Path) -> None:
    parquet.write(tape(day(0), TWO), tmp_path / "out")
    picked = parquet.read(tmp_path / "out", instruments=[TWO[1]]).tape()
    assert picked.instruments == [TWO[1]]
    assert len(picked) == 4


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def tapes() -> Iterator[xb.Tape]:
        yield tape(day(0), TWO)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        parquet.write(tapes(), tmp_path / "out", rows=1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(xb.DataError, match="expected a folder that is new, empty or written by crossbook"):
        parquet.write(tape(day(0), TWO), tmp_path / "out", overwrite=True)
    with pytest.raises(xb.DataError, match="expected folders venue="):
        parquet.read(tmp_path / "out")


def test_receive_times_that_run_back_are_sorted_within_what_is_held_and_refused_beyond(tmp_path: Path) -> None:
    times = [3, 1, 2]
    rows = [{"kind": TRADE, "flags": 1, "ts_recv": NOON + at, "sequence": at} for at in times]
    parquet.write(tape(rows), tmp_path / "a")
    assert parquet.read(tmp_path / "a").tape().to_polars()["sequence"].to_list() == [1, 2, 3]
    with pytest.raises(xb.DataError, match=r"runs back behind .*: expected rows= of more than 1"):
        parquet.write((tape([row]) for row in rows), tmp_path / "b", rows=1)


def test_events_of_one_message_stay_in_order(tmp_path: Path) -> None:
    rows = levels([(side, price, 1) for price in range(50) for side in (1, 0)], 7, ts_recv=NOON)
    parquet.write(tape(rows), tmp_path / "out")
    assert parquet.read(tmp_path / "out").tape().to_polars().equals(tape(rows).to_polars())


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    done = parquet.write(tape(day(0), TWO), tmp_path / "out")
    done.paths[0].write_bytes(b"PAR1")
    with pytest.raises(xb.DataError, match=r"part-00000.parquet: expected Parquet written by crossbook"):
        parquet.read(tmp_path / "out")
