"""The command line. Recording, captures and the exchange have files of their own: `record_cli`, `capture_cli`,
`exchange_cli`."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from crossbook import __version__, capture_cli, crosses_cli, exchange_cli, market_cli, record_cli, route_cli
from crossbook.cli_options import time_of
from crossbook.errors import DataError, Error
from crossbook.fakex import cli as fakex_cli

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl
    from rich.table import Table

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

app.command()(record_cli.record)
app.command()(capture_cli.replay)
app.command()(capture_cli.verify)
app.command()(capture_cli.convert)
app.command()(capture_cli.venues)
app.command()(market_cli.market)
app.command()(market_cli.book)
app.command()(crosses_cli.crosses)
app.command()(route_cli.route)
app.command()(fakex_cli.fakex)
app.add_typer(exchange_cli.app, name="exchange")

CaptureArgument = Annotated[Path, typer.Argument(help="A capture: a file, or a folder of files.")]
Instruments = Annotated[Path | None, typer.Option(help="An instruments file (JSON or TOML) that declares units.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of tables.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crossbook {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """How order flow at a primary exchange moves the book of a secondary one."""


def _table(frame: pl.DataFrame, title: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    from crossbook.viz.theme import number

    # Names come from files: as Text they are not read as markup.
    table = Table(title=Text(title), title_justify="left", header_style="bold")
    for name, kind in frame.schema.items():
        table.add_column(Text(name), justify="right" if kind.is_numeric() else "left")
    for row in frame.iter_rows():
        table.add_row(*(Text("" if value is None else number(value)) for value in row))
    return table


def _shown(summary: pl.DataFrame) -> pl.DataFrame:
    """Fit the summary into 80 columns: each value with its unit, each interval in one cell."""
    import polars as pl

    from crossbook.viz.theme import number

    rows = []
    for part, measure, value, lo, hi, unit, bounds, _ in summary.iter_rows():
        interval = "" if lo is None or hi is None else f"[{number(lo)}, {number(hi)}]"
        rows.append((part, measure, f"{number(value)} {unit}".strip(), interval, (bounds or "").split(" %")[0]))
    return pl.DataFrame(rows, schema=["part", "measure", "value", "interval", "%"], orient="row")


def _rows(frame: pl.DataFrame) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(frame.write_json())
    return rows


def _progress(quiet: bool) -> tuple[Callable[[int, int], None], Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty())
    task = bar.add_task("reading", total=None)
    bar.start()
    return (lambda done, total: bar.update(task, completed=done, total=total)), bar.stop


@app.command()
def info(capture: CaptureArgument, instruments: Instruments = None, as_json: AsJson = False) -> None:
    """Say what a capture holds: files, instruments, units, frames by kind, gaps and faults."""
    import polars as pl

    import crossbook as xb

    opened = xb.open(capture, instruments=instruments)
    about, faults = opened.info(), opened.faults()
    if as_json:
        typer.echo(json.dumps({"files": _rows(about), "faults": _rows(faults), "fault_count": opened.fault_count}))
        return
    from rich.console import Console

    console = Console()
    # A column a file: there are more facts than files.
    columns = [name for name in about.columns if name != "file"]
    facts = about.select(pl.col(columns).cast(pl.String)).transpose(include_header=True, header_name="file")
    console.print(_table(facts.rename(dict(zip(facts.columns[1:], about["file"], strict=True))), str(capture)))
    if opened.fault_count:
        console.print(
            _table(faults.head(20), f"{opened.fault_count:,} faults" + (", the first 20" if faults.height > 20 else ""))
        )


@app.command()
def study(
    capture: CaptureArgument,
    primary: Annotated[str, typer.Option(help="The venue that may lead: usdm, binance-usdm, a symbol, venue:symbol.")],
    secondary: Annotated[str, typer.Option(help="The venue that may follow.")],
    out: Annotated[Path, typer.Option(help="Folder for report.html and the DataFrames as Parquet.")] = Path("report"),
    start: Annotated[
        str | None, typer.Option(help="Study from here: ISO 8601 (UTC) or ns (17 digits or more), on the clock chosen.")
    ] = None,
    end: Annotated[str | None, typer.Option(help="Study up to here, exclusive.")] = None,
    clock: Annotated[str, typer.Option(help="recv: our clock; event: the exchange's.")] = "recv",
    fair_basis: Annotated[
        str | None, typer.Option(help="none, rolling_median or funding; by the contracts if not given.")
    ] = None,
    fee: Annotated[
        list[str] | None, typer.Option(help="Taker fee in bp, as NAME=BP (usdm=5); base tier if not given.")
    ] = None,
    maker_fee: Annotated[
        list[str] | None, typer.Option(help="Fee of posted orders in bp, as NAME=BP, negative for a rebate.")
    ] = None,
    untimed: Annotated[
        str, typer.Option(help="Quotes without exchange time on the event clock: impute or exclude.")
    ] = "impute",
    instruments: Instruments = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstraps.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Study how the primary moves the secondary: summary, report.html and DataFrames as Parquet."""
    import crossbook as xb
    from crossbook import viz

    # The renderer takes 0.3 s to start, SciPy 0.4: let them do so while the capture is read.
    viz.warm_up()
    out.mkdir(parents=True, exist_ok=True)
    opened = xb.open(capture, instruments=instruments, cache=out / "units.json")
    advance, stop = _progress(as_json)
    try:
        made = xb.Study(
            opened,
            primary=primary,
            secondary=secondary,
            clock=clock,  # type: ignore[arg-type]  # checked there
            start=time_of(start),
            end=time_of(end),
            fair_basis=fair_basis,  # type: ignore[arg-type]
            fees_bp=dict(_fee(text) for text in fee or []),
            maker_fees_bp=dict(_fee(text) for text in maker_fee or []),
            untimed=untimed,  # type: ignore[arg-type]
            seed=seed,
            progress=advance,
        )
        made.primary  # noqa: B018 – the pass over the capture
    finally:
        stop()
    # The report first: it draws one part while the next is computed.
    report = made.report(out / "report.html")
    made.to_parquet(out)
    summary = made.summary
    if as_json:
        typer.echo(json.dumps({"summary": _rows(summary), "warnings": made.warnings, "report": str(report)}))
        return
    from rich.console import Console

    console = Console()
    names = f"{made.primary.instrument.name} → {made.secondary.instrument.name}, {clock} clock"
    console.print(_table(_shown(summary.filter("headline")), names))
    for warning in made.warnings:
        console.print("warning:", warning, style="yellow", markup=False)
    console.print(f"{report} and {len(made.frames())} Parquet files beside it", markup=False)


def _fee(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise DataError(f"fee {text!r}: expected NAME=BP such as usdm=5") from None


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the capture, report.html and Parquet.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of the capture.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Make a small two-venue capture with a known lead and known costs from a seed, and study it."""
    from crossbook.demo import make_capture

    capture = make_capture(out / "capture", seed=seed)
    truth = json.loads((capture / "truth.json").read_text(encoding="utf-8"))
    fees = [f"{name}={truth['fees_bp'] / 2:g}" for name in ("usdm", "spot")]
    study(capture, "usdm", "spot", out=out, fee=fees, seed=seed, as_json=as_json)
    if not as_json:
        typer.echo(f"truth: usdm leads spot by {truth['lead_ms']:g} ms, a cross costs {truth['fees_bp']:g} bp in all")


@app.command()
def bench(
    quick: Annotated[bool, typer.Option(help="Fewer samples: seconds instead of a minute.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure latencies on this machine: book update, decode, Python call, batch, frame to market."""
    from crossbook.latency import measure

    found = measure(quick=quick)
    if as_json:
        typer.echo(json.dumps(_rows(found)))
        return
    from rich.console import Console

    console = Console()
    console.print(_table(found.drop("note", "unit"), "latency on this machine, ns"))
    for path, note in found.select("path", "note").iter_rows():
        console.print(f"{path}: {note}", style="dim", markup=False)


def _fail(error: BaseException, code: int) -> NoReturn:
    typer.echo(f"crossbook: {error}", err=True)
    raise SystemExit(code)


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 1 data or files not as needed, 2 wrong usage, 3 `verify` found something missing, 130 stopped.
    """
    logging.basicConfig(level=logging.WARNING, format="crossbook: %(message)s")
    try:
        app()
    except (Error, OSError) as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        _fail(KeyboardInterrupt("stopped"), 130)


if __name__ == "__main__":
    main()
