"""``crossbook exchange``: a venue that is run from files."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from crossbook.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from crossbook import Exchange, Fsync, Instrument, Recovered
    from crossbook.exchange import Ran

app = typer.Typer(no_args_is_help=True, help="Run an exchange: commands in, executions out.")

_Out = Annotated[Path | None, typer.Option(help="Write the executions there: .parquet, .csv or .arrow.")]
_InstrumentFile = Annotated[
    Path | None, typer.Option("--instrument", help="An instruments file with one instrument: its tick and lot hold.")
]
_Decimals = Annotated[bool, typer.Option(help="Write decimals of the instrument's units.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def run(
    commands: Annotated[Path, typer.Argument(help="A table of commands: Parquet, CSV or Arrow IPC.")],
    out: _Out = None,
    rules: Annotated[Path | None, typer.Option(help="The exchange's rules, JSON or TOML.")] = None,
    instrument: _InstrumentFile = None,
    decimals: _Decimals = False,
    journal: Annotated[
        Path | None, typer.Option(help="Write every command to this new file before it is carried out.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with a journal that is there.")] = False,
    fsync: Annotated[
        str, typer.Option(help="When to wait for the disk: always, never, or COMMANDS,MS such as 1000,10.")
    ] = "always",
    snapshot_out: Annotated[
        Path | None, typer.Option(help="Write a snapshot of the exchange there at the end.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Apply commands to a new exchange, a row each, in constant memory; docs/exchange.md says what they mean."""
    import crossbook as xb
    from crossbook.exchange import read_rules, run_file

    found, when = _instrument(instrument), _fsync(fsync)
    if not resume:
        given = read_rules(rules) if rules is not None else None
        exchange = xb.Exchange(found, given, journal=journal, fsync=when)
    elif journal is None:
        raise DataError("--resume: expected --journal with a journal that is there")
    elif rules is not None:
        raise DataError(f"--rules: expected none with --resume, {journal} has its own")
    else:
        exchange = xb.Exchange.open(journal, fsync=when, instrument=found)
    advance, stop = _progress(as_json)
    with exchange:
        try:
            ran = run_file(exchange, commands, out, decimals=decimals, progress=advance)
        finally:
            stop()
        if snapshot_out is not None:
            _write(snapshot_out, exchange.snapshot())
    _tell(ran, exchange, exchange.recovered, [out, journal, snapshot_out], as_json)


@app.command()
def replay(
    journal: Annotated[Path, typer.Argument(help="A journal, as `run --journal` writes it; it is only read.")],
    out: _Out = None,
    instrument: _InstrumentFile = None,
    decimals: _Decimals = False,
    snapshot_out: Annotated[
        Path | None, typer.Option(help="Write a snapshot of the exchange there at the end.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Carry out a journal again from its first command: the same executions, byte for byte."""
    from crossbook.exchange import replay_file

    advance, stop = _progress(as_json)
    try:
        ran, exchange, recovered = replay_file(
            journal,
            out,
            instrument=_instrument(instrument),
            decimals=decimals,
            progress=lambda done: advance(done, None),
        )
    finally:
        stop()
    if snapshot_out is not None:
        _write(snapshot_out, exchange.snapshot())
    _tell(ran, exchange, recovered, [out, snapshot_out], as_json)


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="A snapshot or a journal; it is only read.")],
    levels: Annotated[int, typer.Option(help="So many price levels of each side.", min=0)] = 10,
    instrument: _InstrumentFile = None,
    as_json: _Json = False,
) -> None:
    """Show the book and the state of an exchange that is in a file."""
    import polars as pl

    from crossbook.exchange import load

    found = _instrument(instrument)
    exchange, recovered = load(path, instrument=found)
    book = exchange.book(decimals=found is not None and not as_json)
    sides = {side: book.filter(pl.col("side") == side).drop("side").head(levels) for side in ("bid", "ask")}
    if as_json:
        rows = {f"{side}s": frame.rows() for side, frame in sides.items()}
        typer.echo(json.dumps(_after(exchange, recovered) | {"rules": repr(exchange.rules)} | rows))
        return
    from rich.console import Console

    from crossbook.cli import _table

    console = Console()
    bids = sides["bid"].select(pl.all().name.prefix("bid_"))
    asks = sides["ask"].select(pl.all().name.prefix("ask_"))
    both = bids.select(reversed(bids.columns)).with_row_index("level", 1)
    both = both.join(asks.with_row_index("level", 1), on="level", how="full", coalesce=True).sort("level")
    depth = {side: (book["side"] == side).sum() for side in sides}
    console.print(_table(both, f"{depth['bid']:,} bid and {depth['ask']:,} ask levels"))
    facts = {
        "state": exchange.state,
        "live orders": f"{len(exchange):,}",
        "commands": f"{exchange.sequence:,}",
        "clock, ns": exchange.clock,
        "last": exchange.last,
        "reference": exchange.reference,
        "rules": exchange.rules,
    }
    for name, value in facts.items():
        console.print(f"{name}: {'none' if value is None else value}", markup=False, highlight=False)
    _recovery(recovered)


def _instrument(path: Path | None) -> Instrument | None:
    if path is None:
        return None
    import crossbook as xb

    listed = xb.read_instruments(path)
    if len(listed) != 1:
        raise DataError(f"{path}: expected one instrument, found {len(listed)}")
    return listed[0]


def _fsync(text: str) -> Literal["always", "never"] | Fsync:
    from crossbook.exchange import Fsync

    if text == "always":
        return "always"
    if text == "never":
        return "never"
    parts = text.split(",")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise DataError(f"--fsync {text!r}: expected always, never, or COMMANDS,MS such as 1000,10")
    return Fsync(commands=int(parts[0]), ms=int(parts[1]))


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _after(exchange: Exchange, recovered: Recovered | None) -> dict[str, object]:
    names = ("state", "sequence", "clock", "quote", "last", "reference")
    after = {name: getattr(exchange, name) for name in names} | {"orders": len(exchange)}
    if recovered is not None:
        found = ("commands", "replayed", "snapshot", "dropped_bytes", "message")
        after["recovered"] = {name: getattr(recovered, name) for name in found}
    return after


def _recovery(recovered: Recovered | None) -> None:
    if recovered is None:
        return
    from rich.console import Console

    covered = "" if recovered.snapshot is None else f", {recovered.snapshot:,} of them in its checkpoint"
    Console().print(f"journal: {recovered.commands:,} commands{covered}", markup=False, highlight=False)


def _tell(ran: Ran, exchange: Exchange, recovered: Recovered | None, written: list[Path | None], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(ran) | _after(exchange, recovered)))
        return
    import polars as pl
    from rich.console import Console

    from crossbook.cli import _table

    console = Console()
    rows = [(kind, "", count) for kind, count in ran.kinds.items() if kind != "rejected"]
    rows += [("rejected", reason, count) for reason, count in ran.rejected.items()]
    table = pl.DataFrame(rows, schema={"execution": pl.String, "reason": pl.String, "count": pl.Int64}, orient="row")
    console.print(_table(table, f"{ran.commands:,} commands, {ran.executions:,} executions"))
    console.print(exchange, markup=False)
    _recovery(recovered)
    for path in written:
        if path is not None:
            console.print(path, markup=False)


def _progress(quiet: bool) -> tuple[Callable[[int, int | None], None], Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty())
    task = bar.add_task("commands", total=None)
    bar.start()
    return (lambda done, total: bar.update(task, completed=done, total=total)), bar.stop
