"""What surrounds an exchange: rules in a file, files of commands and journals run in constant memory."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from polars.io.plugins import register_io_source

from crossbook._core import (
    Exchange,
    Execution,
    Fsync,
    Instrument,
    JournalReplay,
    LiveOrder,
    ProRata,
    Recovered,
    Rules,
    Tier,
)
from crossbook.errors import DataError, SnapshotError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "Exchange",
    "Execution",
    "Fsync",
    "JournalReplay",
    "LiveOrder",
    "ProRata",
    "Ran",
    "Recovered",
    "Rules",
    "Tier",
    "load",
    "read_rules",
    "replay_file",
    "run_file",
]

SNAPSHOT, JOURNAL = b"\x89XBS\r\n\x1a\n", b"\x89XBJ\r\n\x1a\n"
"""How the two kinds of files begin."""

ROWS = 65_536
"""Commands that `run_file` holds at a time."""


def read_rules(path: str | Path) -> Rules:
    """Read rules from JSON or TOML: the keywords of `Rules`.

    ``priority`` is ``"price_time"`` or a table with the keywords of `ProRata`, ``tiers`` a list of tables with those of
    `Tier`, ``accounts`` a table of account to the index of its tier. Raises `DataError` that says which is wrong.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        found = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected rules in JSON or TOML: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: expected a table of rules")
    try:
        if isinstance(found.get("priority"), dict):
            found["priority"] = ProRata(**found["priority"])
        if "tiers" in found:
            found["tiers"] = [Tier(**tier) for tier in found["tiers"]]
        if "accounts" in found:
            found["accounts"] = {_number(account): tier for account, tier in dict(found["accounts"]).items()}
        return Rules(**found)
    except (DataError, TypeError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error


def _number(text: str) -> int:
    # Keys of JSON and TOML are text.
    try:
        return int(text)
    except ValueError:
        raise DataError(f"accounts {text!r}: expected the number of an account") from None


@dataclass(slots=True)
class Ran:
    """What a file of commands did."""

    commands: int = 0
    executions: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    """Executions by kind."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Rejected commands by reason."""

    def add(self, rows: int, executions: pl.DataFrame) -> None:
        """Count a batch."""
        self.commands += rows
        self.executions += executions.height
        for kind, count in executions["kind"].value_counts(sort=True).iter_rows():
            self.kinds[kind] = self.kinds.get(kind, 0) + count
        rejected = executions.filter(pl.col("kind") == "rejected")
        for reason, count in rejected["reason"].value_counts(sort=True).iter_rows():
            self.rejected[reason] = self.rejected.get(reason, 0) + count


def run_file(
    exchange: Exchange,
    commands: str | Path,
    out: str | Path | None = None,
    *,
    decimals: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Ran:
    """Apply a file of commands (Parquet, CSV or Arrow IPC) and write the executions to another, batch by batch.

    Columns as `Exchange.run` takes and gives them; it holds 65,536 commands at a time. `out` appears when all is done:
    an error leaves none, but what was applied until then is applied. Raises `DataError` that names column and row.
    """
    commands = Path(commands)
    source = _scan(commands)
    try:
        total = int(source.select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, FileNotFoundError) as error:
        raise DataError(f"{commands}: expected a table of commands: {error}") from error
    ran = Ran()

    def batches(*_: object) -> Iterator[pl.DataFrame]:
        # The engine gives batches in order; what it holds beyond one is bounded.
        for batch in source.collect_batches(chunk_size=ROWS, maintain_order=True):
            executions = exchange.run(batch, decimals=decimals, first_row=ran.commands)
            ran.add(batch.height, executions)
            if progress is not None:
                progress(ran.commands, total)
            yield executions

    try:
        _drain(batches, exchange.run(pl.DataFrame(), decimals=decimals).schema, out)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{commands}: {error}") from error
    return ran


def replay_file(
    journal: str | Path,
    out: str | Path | None = None,
    *,
    instrument: Instrument | None = None,
    decimals: bool = False,
    progress: Callable[[int], object] | None = None,
) -> tuple[Ran, Exchange, Recovered]:
    """Carry out a journal again, from its first command, and write the executions to a file, batch by batch.

    Returns what happened, the exchange as the journal leaves it, in memory, and what was found. The journal stays as it
    is; raises `JournalError`.
    """
    replay = JournalReplay(journal, instrument=instrument, decimals=decimals)
    ran = Ran()

    def batches(*_: object) -> Iterator[pl.DataFrame]:
        for executions in replay:
            ran.add(replay.exchange.sequence - ran.commands, executions)
            if progress is not None:
                progress(ran.commands)
            yield executions

    empty = Exchange(instrument, replay.exchange.rules).run(pl.DataFrame(), decimals=decimals)
    try:
        _drain(batches, empty.schema, out)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{journal}: {error}") from error
    return ran, replay.exchange, replay.recovered


def load(path: str | Path, *, instrument: Instrument | None = None) -> tuple[Exchange, Recovered | None]:
    """The exchange in a file, in memory: a snapshot, or a journal, of which what was found is told as well.

    Nothing on disk changes. Raises `SnapshotError`, `JournalError`, or `DataError` for another kind of file.
    """
    path = Path(path)
    with path.open("rb") as file:
        kind = file.read(len(SNAPSHOT))
        if kind == SNAPSHOT:
            try:
                return Exchange.restore(kind + file.read(), instrument=instrument), None
            except SnapshotError as error:
                raise SnapshotError(f"{path}: {error}") from error
    if kind != JOURNAL:
        raise DataError(f"{path}: expected a snapshot or a journal of an exchange, found {kind.hex(' ') or 'nothing'}")
    _, exchange, recovered = replay_file(path, instrument=instrument)
    return exchange, recovered


def _restore(snapshot: bytes, instrument: str | None) -> Exchange:
    # What a pickle holds.
    return Exchange.restore(snapshot, instrument=None if instrument is None else Instrument.from_json(instrument))


def _drain(
    batches: Callable[..., Iterator[pl.DataFrame]], schema: Mapping[str, pl.DataType], out: str | Path | None
) -> None:
    if out is None:
        for _ in batches():
            pass
    else:
        _sink(register_io_source(batches, schema=schema), Path(out))


def _scan(path: Path) -> pl.LazyFrame:
    match path.suffix:
        case ".parquet":
            return pl.scan_parquet(path)
        case ".csv":
            return pl.scan_csv(path)
        case ".arrow" | ".ipc" | ".feather":
            return pl.scan_ipc(path)
    raise DataError(f"{path}: expected a name that ends in .parquet, .csv, .arrow, .ipc or .feather")


def _sink(frame: pl.LazyFrame, out: Path) -> None:
    part = out.with_name(out.name + ".part")
    try:
        match out.suffix:
            case ".parquet":
                frame.sink_parquet(part)
            case ".csv":
                frame.sink_csv(part)
            case ".arrow" | ".ipc" | ".feather":
                frame.sink_ipc(part)
            case _:
                raise DataError(f"{out}: expected a name that ends in .parquet, .csv, .arrow, .ipc or .feather")
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
