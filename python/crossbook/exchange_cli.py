"""``crossbook exchange``: a venue that is run from files."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossbook.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(no_args_is_help=True, help="Run an exchange: commands in, executions out.")


@app.callback()
def _root() -> None:
    # Without it the only command would be the whole of `crossbook exchange`.
    pass


@app.command()
def run(
    commands: Annotated[Path, typer.Argument(help="A table of commands: Parquet, CSV or Arrow IPC.")],
    out: Annotated[Path | None, typer.Option(help="Write the executions there: .parquet, .csv or .arrow.")] = None,
    rules: Annotated[Path | None, typer.Option(help="The exchange's rules, JSON or TOML.")] = None,
    instrument: Annotated[
        Path | None, typer.Option(help="An instruments file with one instrument: its tick and lot hold.")
    ] = None,
    decimals: Annotated[bool, typer.Option(help="Write decimals of the instrument's units.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Apply commands to a new exchange, a row each, in constant memory; docs/exchange.md says what they mean."""
    import crossbook as xb
    from crossbook.exchange import read_rules, run_file

    found = None
    if instrument is not None:
        listed = xb.read_instruments(instrument)
        if len(listed) != 1:
            raise DataError(f"{instrument}: expected one instrument, found {len(listed)}")
        found = listed[0]
    exchange = xb.Exchange(found, read_rules(rules) if rules is not None else None)
    advance, stop = _progress(as_json)
    try:
        ran = run_file(exchange, commands, out, decimals=decimals, progress=advance)
    finally:
        stop()
    if as_json:
        after = {"state": exchange.state, "quote": exchange.quote, "orders": len(exchange), "last": exchange.last}
        typer.echo(json.dumps(asdict(ran) | after))
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
    if out is not None:
        console.print(out, markup=False)


def _progress(quiet: bool) -> tuple[Callable[[int, int], None], Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty())
    task = bar.add_task("commands", total=None)
    bar.start()
    return (lambda done, total: bar.update(task, completed=done, total=total)), bar.stop
