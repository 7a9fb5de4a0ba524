"""``crossbook replay``, ``verify``, ``convert`` and ``venues``."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import crossbook as xb
from crossbook import _core
from crossbook.capture.verify import verify
from crossbook.cli import app

runner = CliRunner()
SECOND = 1_000_000_000
T0 = 1_723_161_255 * SECOND


@pytest.fixture
def spot() -> xb.Instrument:
    found = xb.Instrument.builtin("spot", "BTCUSDT")
    assert found is not None
    return found


def depth(first: int, last: int, bid: str) -> bytes:
    return (
        f'{{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":{first},"u":{last},"b":[["{bid}","1"]],"a":[]}}'
    ).encode()


SNAPSHOT = b'{"lastUpdateId":8,"bids":[["99","5"]],"asks":[["102","5"]]}'


@pytest.fixture
def recorded(tmp_path: Path, spot: xb.Instrument) -> Path:
    """A capture of our own format: a hole in the middle, and a snapshot that resumes the book."""
    folder = tmp_path / "captures"
    folder.mkdir()
    writer = _core.CaptureWriter(
        folder, "binance-spot", "binance-spot", "a1", "ws://127.0.0.1/x", [spot], ["book"], 0, T0
    )
    url = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=5000"
    writer.opened(T0, "ws://127.0.0.1/x")
    writer.frames(T0 + 1, [depth(9, 9, "90")])
    writer.rest(T0 + 2, url, SNAPSHOT)
    writer.frames(T0 + 3, [depth(10, 10, "91"), depth(12, 12, "92")])
    writer.rest(T0 + 4, url, SNAPSHOT.replace(b"8", b"12"))
    writer.frames(T0 + 5, [depth(13, 13, "93")])
    writer.finish()
    return folder


def run(*arguments: object, code: int = 0) -> str:
    result = runner.invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


def test_a_capture_of_our_own_is_opened_with_the_instruments_in_it(recorded: Path, spot: xb.Instrument) -> None:
    capture = xb.open(recorded)
    assert capture.instruments == [spot]
    assert capture.fault_count == 0
    book = xb.PriceBook()
    book.apply(capture.tape())
    assert book.quote == (9_900, 500_000_000, 10_200, 500_000_000)
    (gap,) = capture.gaps().iter_rows(named=True)
    assert (gap["cause"], gap["unit"], gap["first"], gap["last"], gap["ours"]) == ("sequence", "updates", 11, 11, False)
    assert capture.gaps().filter(pl.col("until") > pl.col("from")).height == 1


def test_verify_names_the_gap_and_exits_with_a_code_of_its_own(recorded: Path, tmp_path: Path) -> None:
    gaps = tmp_path / "gaps.parquet"
    found = json.loads(run("verify", recorded, "--json", "--gaps", gaps, code=3))
    assert not found["sound"]
    assert [row["state"] for row in found["files"]] == ["good"]
    (stream,) = found["streams"]
    assert (stream["gaps"], stream["snapshots"], stream["unverifiable"]) == (1, 2, 2)
    assert pl.read_parquet(gaps).height == 1
    assert "something is missing" in run("verify", recorded, code=3)


def test_verify_sees_a_changed_byte_and_a_recorder_that_was_stopped(recorded: Path) -> None:
    (path,) = recorded.glob("*.xbc")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert verify(xb.open(recorded)).files["state"].to_list() == ["changed"]
    path.write_bytes(whole)
    path.with_suffix(".json").unlink()
    assert verify(xb.open(recorded)).files["state"].to_list() == ["unfinished"]


def test_a_capture_without_a_hole_is_sound(small: Path) -> None:
    assert "nothing is missing" in run("verify", small)


def test_replay_ends_with_the_quotes_of_the_whole_capture(recorded: Path) -> None:
    lines = run("replay", recorded, "--speed", 0, "--json").splitlines()
    last = json.loads(lines[-1])
    (quote,) = last["quotes"]
    assert (quote["bid"], quote["ask"], quote["stale"]) == (99.0, 102.0, False)
    assert "binance-spot:BTCUSDT" in run("replay", recorded, "--speed", 0)


def test_hourly_files_of_one_connection_are_one_connection(tmp_path: Path, spot: xb.Instrument) -> None:
    hour = 3_600 * SECOND
    start = T0 - T0 % hour
    writer = _core.CaptureWriter(tmp_path, "binance-spot", "binance-spot", "a1", "ws://x/", [spot], ["book"], 0, start)
    writer.opened(start, "ws://x/")
    writer.rest(start + 1, "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=5000", SNAPSHOT)
    writer.frames(start + 2, [depth(9, 9, "91")])
    assert writer.tick(start + hour) is not None
    writer.frames(start + hour + 1, [depth(10, 10, "92")])
    writer.finish()
    capture = xb.open(tmp_path)
    assert [len(source.paths) for source in capture.sources] == [2]
    assert capture.gaps().is_empty()
    assert capture.tape().to_polars()["sequence"][-1] == 10


def test_convert_turns_a_capture_into_parquet_that_polars_reads(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "tape"
    said = json.loads(run("convert", recorded, out, "--json"))
    assert said["rows"] == len(xb.open(recorded).tape())
    assert pl.scan_parquet(out, hive_partitioning=True).collect().height == said["rows"]
    assert "rows in" in run("convert", recorded, tmp_path / "csv", "--to", "tardis")


def test_convert_refuses_an_option_that_the_format_does_not_have(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(xb.DataError, match="--to parquet"):
        run("convert", recorded, tmp_path / "tape", "--option", "nope=1")


def test_the_page_of_venues_is_the_table_of_the_code() -> None:
    page = Path(__file__).parent.parent / "docs" / "venues.md"
    assert run("venues", "--markdown") == page.read_text(encoding="utf-8"), (
        "crossbook venues --markdown > docs/venues.md"
    )
    assert {row["name"] for row in json.loads(run("venues", "--json"))} >= {"kraken-v2", "okx-v5"}
    assert "protocols" in run("venues")


def test_frames_without_receive_times_are_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(b"\n".join([SNAPSHOT, depth(9, 9, "91"), depth(10, 10, "92")]))
    capture = xb.open(path)
    assert capture.tape().to_polars()["ts_recv"].unique().to_list() == [0]
    assert "taken for binance-spot" in caplog.text
    packed = tmp_path / "frames.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert len(xb.open(packed).tape()) == len(capture.tape())
