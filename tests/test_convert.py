"""The formats together: names, one call from files to files, and what every reader and writer keeps to."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from conftest import LAST, TRADE, builtin, tape

import crossbook as xb
from crossbook.convert import FORMATS, Written, convert, read, write


def test_every_format_reads_and_writes() -> None:
    for name, format in FORMATS.items():
        assert format.name == name
        assert callable(format.reader())
        assert callable(format.writer())


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    for call in (lambda: read(tmp_path, "feather"), lambda: write([], tmp_path, "feather")):
        with pytest.raises(xb.DataError, match="format 'feather': expected one of parquet, tardis"):
            call()
    with pytest.raises(xb.DataError, match="format 'feather'"):
        convert(tmp_path, tmp_path / "out", to="feather")


def test_a_capture_goes_to_tardis_and_from_there_to_parquet(small: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    capture = xb.open(small)
    done = convert(small, tmp_path / "csv", to="tardis", progress=lambda *at: seen.append(at))
    assert isinstance(done, Written)
    assert seen[-1][0] == seen[-1][1] > 0
    known = capture.instruments
    convert(tmp_path / "csv", tmp_path / "out", format="tardis", to="parquet", instruments=known)
    back = read(tmp_path / "out", "parquet").tape().to_polars()
    order = ["instrument", "kind", "price", "size"]
    assert back.select(order).sort(order).equals(capture.tape().to_polars().select(order).sort(order))
    with pytest.raises(xb.DataError, match="exists already"):
        convert(small, tmp_path / "csv", to="tardis")
    convert(small, tmp_path / "csv", to="tardis", overwrite=True)


def test_options_reach_the_reader_and_the_writer(small: Path, tmp_path: Path) -> None:
    convert(small, tmp_path, to="tardis", writing={"compress": False, "quotes": "quotes"})
    names = [path.name for path in tmp_path.iterdir()]
    assert all(name.endswith(".csv") for name in names)
    assert any("_quotes_" in name for name in names)


def test_tapes_of_other_instruments_are_refused_in_one_file(tmp_path: Path) -> None:
    row = {"kind": TRADE, "side": 0, "price": 1, "size": 1, "flags": LAST, "ts_recv": 1}
    tapes = [tape([row]), tape([row], [builtin("usdm")])]
    with pytest.raises(xb.DataError, match="expected tapes of the same instruments"):
        write(tapes, tmp_path / "out", "parquet")
    with pytest.raises(xb.DataError, match="expected at least one tape, found none"):
        write([], tmp_path / "out", "parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_message_that_two_tapes_share_is_written_as_one(small: Path, tmp_path: Path) -> None:
    whole = xb.open(small).tape()[:3_000]
    parts = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    write(parts, tmp_path / "a", "tardis", compress=False)
    write(whole, tmp_path / "b", "tardis", compress=False)
    assert [path.read_bytes() for path in sorted((tmp_path / "a").iterdir())] == [
        path.read_bytes() for path in sorted((tmp_path / "b").iterdir())
    ]


def test_a_source_is_read_again_each_time_and_says_what_it_is(small: Path, tmp_path: Path) -> None:
    convert(small, tmp_path / "out", to="parquet")
    source = read(tmp_path / "out", "parquet")
    assert source.tape().to_polars().equals(source.tape().to_polars())
    assert repr(source) == f"Source({tmp_path}/out: {', '.join(one.name for one in source.instruments)})"
    assert pl.concat([tape.to_polars() for tape in source.batches(rows=1)]).equals(source.tape().to_polars())
