"""The command line as a user meets it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from conftest import loads, write

import crossbook as xb
from crossbook import cli
from crossbook.demo import EPOCH_NS


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A process of its own."""
    command = [sys.executable, "-c", "from crossbook.cli import main; main()", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "400"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, env=environment)


class Here(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Here]:
    """The same in this process, which saves the start."""

    def call(*arguments: str | Path) -> Here:
        monkeypatch.setattr(sys, "argv", ["crossbook", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "400")
        monkeypatch.chdir(tmp_path)
        code: object = 0
        try:
            cli.main()
        except SystemExit as left:
            code = left.code or 0
        assert isinstance(code, int)
        return Here(code, *capsys.readouterr())

    return call


def ok(done: Here | subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def studied(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    out = tmp_path_factory.mktemp("studied")
    return json.loads(ok(run("study", demo, "--primary", "usdm", "--secondary", "spot", "--out", out, "--json"))), out


def test_the_version_is_the_packages() -> None:
    assert ok(run("--version")).strip() == f"crossbook {xb.__version__}"


def test_info_says_what_the_capture_holds(demo: Path, here: Callable[..., Here]) -> None:
    found = json.loads(ok(here("info", demo, "--json")))
    assert [row["venue"] for row in found["files"]] == ["binance-spot", "binance-usdm"]
    assert all(row["snapshots"] == 1 and row["gaps"] == row["errors"] == 0 for row in found["files"])
    assert (found["faults"], found["fault_count"]) == ([], 0)
    table = ok(here("info", demo))
    assert "spot-btcusdt.gz" in table
    assert "price_unit" in table


def test_study_prints_json_for_machines_and_writes_report_and_parquet(studied: tuple[dict, Path]) -> None:
    found, out = studied
    assert {"part", "measure", "value", "lo", "hi", "unit", "bounds", "headline"} == set(found["summary"][0])
    (peak,) = (row for row in found["summary"] if row["measure"] == "peak lag, quote mids")
    assert peak["value"] == pytest.approx(80, rel=0.1)
    assert Path(found["report"]).read_text(encoding="utf-8").startswith("<!")
    summary = pl.read_parquet(out / "summary.parquet")
    assert json.loads(summary.write_json()) == found["summary"]
    assert {p.stem for p in out.glob("*.parquet")} >= {"lead_lag", "crosses", "ladder", "basis", "primary_quotes"}


def test_the_tables_for_people_say_the_same(small: Path, tmp_path: Path, here: Callable[..., Here]) -> None:
    out = ok(here("study", small, "--primary", "spot", "--secondary", "usdm", "--out", tmp_path, "--clock", "event"))
    assert "event clock" in out
    assert "warning: binance-spot:BTCUSDT" in " ".join(out.split())
    assert "Parquet files beside it" in " ".join(out.split())


def test_start_and_end_are_iso_or_nanoseconds(demo: Path, tmp_path: Path, here: Callable[..., Here]) -> None:
    # The demo begins at 2023-11-14T22:13:20 UTC.
    pair = ("study", demo, "--primary", "usdm", "--secondary", "spot", "--json")
    iso = ok(
        here(*pair, "--out", tmp_path / "a", "--start", "2023-11-14T22:13:30", "--end", "2023-11-14T23:14:00.5+01:00")
    )
    ns = ok(here(*pair, "--out", tmp_path / "b", "--start", EPOCH_NS + 10**10, "--end", EPOCH_NS + 405 * 10**8))
    assert json.loads(iso)["summary"] == json.loads(ns)["summary"]
    quotes = pl.read_parquet(tmp_path / "a" / "primary_quotes.parquet")["ts_recv"]
    assert quotes.is_between(EPOCH_NS + 10**10, EPOCH_NS + 405 * 10**8, closed="left").all()
    assert quotes.len() > 1_000


def test_eight_digits_are_a_day_and_seventeen_are_nanoseconds() -> None:
    assert cli.time_of("20240808") == cli.time_of("2024-08-08T00:00:00Z") == 1_723_075_200 * 10**9
    assert cli.time_of("1" * 17) == int("1" * 17)
    for text in ("1723075200", "1723075200000", "-1", "9" * 19):
        with pytest.raises(xb.DataError, match="expected ISO 8601"):
            cli.time_of(text)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (("--primary", "kraken"), "expected one of binance-spot:BTCUSDT, binance-usdm:BTCUSDT"),
        (("--clock", "wall"), 'expected "recv" or "event"'),
        (("--untimed", "guess"), 'expected "impute" or "exclude"'),
        (("--fair-basis", "fair"), 'expected "none", "rolling_median" or "funding"'),
        (("--fair-basis", "funding"), "expected Funding events in the capture"),
        (("--start", "yesterday"), "expected ISO 8601 such as"),
        (("--start", "9" * 30), "expected"),
        (("--start", "--5"), "expected"),
        (("--start", "²"), "expected"),
        (("--end", "2001-01-01"), "end 2001-01-01 00:00:00"),
        (("--start", "20400101"), "start 2040-01-01 00:00:00"),
        (("--fee", "usdm"), "expected NAME=BP such as usdm=5"),
        (("--fee", "kraken=5"), "expected one of"),
        (("--fee", "usdm=nan"), "fees"),
        (("--fee", "usdm=1e400"), "fees"),
        (("--instruments", "absent.json"), "expected an instruments file"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_one(
    small: Path, tmp_path: Path, here: Callable[..., Here], extra: tuple, says: str
) -> None:
    arguments = {"--primary": "usdm", "--secondary": "spot", "--out": tmp_path / "out"} | dict([extra])
    done = here("study", small, *(part for pair in arguments.items() for part in pair))
    errors = [line for line in done.stderr.splitlines() if "left out" not in line]
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(errors) == 1
    assert errors[0].startswith("crossbook: ")
    assert says in errors[0]


@pytest.mark.parametrize("command", ["info", "study"])
def test_a_capture_that_is_not_there_is_one_line(tmp_path: Path, here: Callable[..., Here], command: str) -> None:
    pair = ("--primary", "a", "--secondary", "b") if command == "study" else ()
    done = here(command, tmp_path / "absent", *pair)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "absent" in done.stderr


def test_wrong_usage_is_exit_code_two(here: Callable[..., Here]) -> None:
    assert here("study").returncode == 2
    assert here("nonsense").returncode == 2


def test_the_report_opens_without_a_network(studied: tuple[dict, Path]) -> None:
    html = Path(studied[0]["report"]).read_text(encoding="utf-8")
    assert loads(html) == []


def test_hostile_file_names_are_text_everywhere(small: Path, tmp_path: Path, here: Callable[..., Here]) -> None:
    folder = tmp_path / "<img src=x onerror=alert(1)>[red]"
    folder.mkdir()
    for name in ("usdm-btcusdt", "spot-btcusdt"):
        hostile = folder / f"{name}.<script>alert(1)<&'\"[bold]x.gz"
        hostile.write_bytes((small / f"{name}.gz").read_bytes())
    write(folder / "[link=http:x]<b>bad.gz", ["1 {}"])
    out = tmp_path / "out"
    shown = ok(here("study", folder, "--primary", "usdm", "--secondary", "spot", "--out", out))
    assert "warning:" in shown
    html = (out / "report.html").read_text(encoding="utf-8")
    for tag in ("<script>alert", "<img src=x", "<b>bad"):
        assert tag not in html
    assert "&lt;b&gt;bad" in html
    info = ok(here("info", folder))
    assert "[bold]" in "".join(info.split())


def test_the_cache_of_units_lies_beside_the_output(
    small: Path, tmp_path: Path, here: Callable[..., Here], caplog: pytest.LogCaptureFixture
) -> None:
    capture, out = tmp_path / "capture", tmp_path / "out"
    capture.mkdir()
    for name in ("usdm", "spot"):
        body = gzip.decompress((small / f"{name}-btcusdt.gz").read_bytes()).replace(b"BTCUSDT", b"XYZUSDT")
        (capture / f"{name}-xyzusdt.gz").write_bytes(gzip.compress(body, 1))
    study = ("study", capture, "--primary", "usdm", "--secondary", "spot", "--out", out, "--json")
    first = ok(here(*study))
    assert "units of binance-spot:XYZUSDT (price" in caplog.text
    assert {one["symbol"] for row in json.loads((out / "units.json").read_text()) for one in row["instruments"]} == {
        "XYZUSDT"
    }
    caplog.clear()
    assert ok(here(*study)) == first
    assert not caplog.records
