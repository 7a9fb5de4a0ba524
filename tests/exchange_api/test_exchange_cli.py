"""`crossbook exchange run` as a user meets it, and the function behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from conftest import builtin

import crossbook as xb
from crossbook.exchange import run_file


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from crossbook.cli import main; main()", "exchange", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "400"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def many(rows: int) -> pl.DataFrame:
    index = pl.int_range(rows, dtype=pl.Int64, eager=True)
    side = pl.when(index % 2 == 0).then(pl.lit("buy")).otherwise(pl.lit("sell"))
    return pl.DataFrame({"order_id": index + 1, "price": 1_000 + index % 50, "size": 1 + index % 9}).with_columns(
        side=side
    )


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    path = tmp_path / "commands.parquet"
    many(200_000).write_parquet(path, row_group_size=50_000)
    return path


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv"])
def test_a_file_gives_what_its_rows_give_at_once(tmp_path: Path, suffix: str) -> None:
    table = many(200_000)
    source, out = tmp_path / f"commands.{suffix}", tmp_path / f"executions.{suffix}"
    {"parquet": table.write_parquet, "arrow": table.write_ipc, "csv": table.write_csv}[suffix](source)
    told: list[tuple[int, int]] = []
    exchange, other = xb.Exchange(), xb.Exchange()
    ran = run_file(exchange, source, out, progress=lambda done, total: told.append((done, total)))
    expected = other.run(table)
    reader = {"parquet": pl.read_parquet, "arrow": pl.read_ipc, "csv": pl.read_csv}[suffix]
    found = reader(out)
    if suffix == "csv":
        assert found.select("sequence", "price", "size").equals(
            expected.select("sequence", "price", "size").cast(pl.Int64)
        )
    else:
        assert found.equals(expected)
    assert (ran.commands, ran.executions) == (200_000, expected.height)
    assert sum(ran.kinds.values()) == expected.height
    assert told[-1] == (200_000, 200_000)
    assert len(told) > 1
    assert exchange.orders().equals(other.orders())
    assert sorted(tmp_path.iterdir()) == sorted([source, out])


def test_the_command_writes_executions_and_counts_them(commands: Path, tmp_path: Path) -> None:
    out, rules = tmp_path / "out.parquet", tmp_path / "rules.toml"
    rules.write_text("max_size = 8\n", encoding="utf-8")
    done = run("run", commands, "--out", out, "--rules", rules, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    table = pl.read_parquet(out)
    assert table.equals(xb.Exchange(max_size=8).run(many(200_000)))
    assert told["commands"] == 200_000
    assert told["executions"] == table.height
    assert told["kinds"]["trade"] == table.filter(pl.col("kind") == "trade").height
    assert told["rejected"] == {"too_large": 22_222}
    assert told["state"] == "continuous"
    shown = run("run", commands)
    assert shown.returncode == 0, shown.stderr
    assert "200,000 commands" in shown.stdout
    assert "Exchange(continuous" in shown.stdout


def test_decimals_need_an_instrument(commands: Path, tmp_path: Path) -> None:
    instruments = tmp_path / "instruments.json"
    entry = json.loads(builtin("usdm").to_json()) | {"tick": None, "lot": None}
    instruments.write_text(json.dumps([{k: v for k, v in entry.items() if v is not None}]), encoding="utf-8")
    out = tmp_path / "out.parquet"
    done = run("run", commands, "--out", out, "--instrument", instruments, "--decimals")
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(out)["price"].dtype == pl.Float64
    done = run("run", commands, "--out", out, "--decimals")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "expected an exchange with an instrument" in done.stderr


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pl.DataFrame({"order_id": [1], "quantity": [5]}), 'column "quantity": expected only columns of'),
        (
            pl.concat([many(70_000), many(1).with_columns(order_id=pl.lit(-5, pl.Int64))]),
            'column "order_id" row 70000: expected 0 to',
        ),
    ],
)
def test_a_wrong_table_is_one_line_and_leaves_no_file(tmp_path: Path, table: pl.DataFrame, message: str) -> None:
    source, out = tmp_path / "commands.parquet", tmp_path / "out.parquet"
    table.write_parquet(source)
    done = run("run", source, "--out", out)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("name", ["none.parquet", "text.parquet", "commands.xlsx", "none.csv"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.parquet").write_text("no parquet at all", encoding="utf-8")
    done = run("run", tmp_path / name)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert name in done.stderr


def test_wrong_outputs_and_rules_are_one_line(commands: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text('{"tick": 0}', encoding="utf-8")
    for arguments, message in [
        (["--out", tmp_path / "out.xlsx"], "out.xlsx: expected a name that ends in"),
        (["--out", tmp_path / "no folder" / "out.parquet"], "no folder"),
        (["--rules", rules], "rule tick: expected 1 or more, got 0"),
        (["--rules", tmp_path / "none.toml"], "none.toml"),
    ]:
        done = run("run", commands, *arguments)
        assert done.returncode == 1, arguments
        assert done.stderr.count("\n") == 1, done.stderr
        assert message in done.stderr
    assert run("run").returncode == 2
    assert run("run", commands, "--rule", "x").returncode == 2


def test_a_journal_and_a_snapshot_lead_to_what_ran(commands: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out.parquet", tmp_path / "again.parquet"
    journal, snapshot, other = tmp_path / "a.xbj", tmp_path / "a.xbs", tmp_path / "b.xbs"
    done = run("run", commands, "--out", out, "--journal", journal, "--fsync", "1000,10", "--snapshot-out", snapshot)
    assert done.returncode == 0, done.stderr
    done = run("replay", journal, "--out", again, "--snapshot-out", other, "--json")
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(again).equals(pl.read_parquet(out))
    assert other.read_bytes() == snapshot.read_bytes()
    told = json.loads(done.stdout)
    assert (told["commands"], told["recovered"]["dropped_bytes"]) == (200_000, 0)
    shown = [json.loads(run("show", path, "--levels", "3", "--json").stdout) for path in (snapshot, journal)]
    assert shown[1].pop("recovered")["commands"] == 200_000
    assert shown[0] == shown[1]
    assert (shown[0]["sequence"], shown[0]["orders"]) == (200_000, told["orders"])
    book = xb.Exchange.restore(snapshot.read_bytes()).book()
    bids = book.filter(pl.col("side") == "bid").drop("side")
    assert shown[0]["bids"] == [list(row) for row in bids.head(3).rows()]
    table = run("show", journal)
    assert table.returncode == 0, table.stderr
    assert "state: continuous" in table.stdout
    assert "journal: 200,000 commands" in table.stdout


def test_a_journal_is_gone_on_with_only_if_told(tmp_path: Path) -> None:
    commands, journal, rules = tmp_path / "commands.parquet", tmp_path / "a.xbj", tmp_path / "rules.toml"
    many(100).write_parquet(commands)
    rules.write_text("max_size = 8\n", encoding="utf-8")
    first = ["run", commands, "--journal", journal, "--fsync", "never"]
    assert run(*first, "--rules", rules).returncode == 0
    for arguments, message in [
        (first, "a.xbj: expected no such file, a journal is never written over"),
        ([*first, "--resume", "--rules", rules], "expected none with --resume"),
        (["run", commands, "--resume"], "expected --journal"),
        ([*first[:-1], "sometimes"], "--fsync 'sometimes': expected always, never, or COMMANDS,MS"),
        (["replay", commands], "commands.parquet: expected a journal"),
        (["show", commands], "commands.parquet: expected a snapshot or a journal of an exchange, found 50 41 52 31"),
        (["show", tmp_path / "none"], "none"),
    ]:
        done = run(*arguments)
        assert done.returncode == 1, arguments
        assert done.stderr.count("\n") == 1, done.stderr
        assert message in done.stderr
    with journal.open("ab") as file:
        file.write(b"torn")
    done = run(*first, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert "are no whole block (cut off in its head): 100 commands remain" in done.stderr
    told = json.loads(done.stdout)
    assert (told["sequence"], told["recovered"]["commands"], told["commands"]) == (200, 100, 100)
