"""``crossbook replay``, ``verify`` and ``convert``: what is done with captures."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossbook.errors import DataError

if TYPE_CHECKING:
    from rich.table import Table

    from crossbook import Instrument, PriceBook, Tape

MISSING = 3
"""Exit code of `verify` where something is missing or wrong."""


def replay(
    capture: Annotated[Path, typer.Argument(help="A capture: a file, or a folder of files.")],
    speed: Annotated[float, typer.Option(min=0, help="Times as fast as it was received; 0: as fast as possible.")] = 1,
    every: Annotated[float, typer.Option(min=0.01, help="Seconds between two looks.")] = 0.5,
    instruments: Annotated[Path | None, typer.Option(help="An instruments file that declares units.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON a look instead of a table.")] = False,
) -> None:
    """Play a capture into books and show each instrument's quote as time goes by."""
    import crossbook as xb

    opened = xb.open(capture, instruments=instruments)
    from rich.console import Console
    from rich.live import Live

    known = opened.instruments
    books = [xb.PriceBook() for _ in known]
    events = [0] * len(known)
    live = Live(console=Console(stderr=True), auto_refresh=False) if not as_json and sys.stderr.isatty() else None
    began = first = now = None
    looked = float("-inf")

    def look() -> None:
        if live is not None:
            live.update(_quotes(known, books, events, now), refresh=True)
        elif as_json:
            typer.echo(json.dumps({"time": now, "quotes": [_quote(*one) for one in zip(known, books, strict=True)]}))

    if live is not None:
        live.start()
    try:
        for tape in opened.batches(rows=256 if speed else 65_536):
            now = int(tape[len(tape) - 1 :].to_polars()["ts_recv"][0])
            if first is None:
                began, first = time.monotonic(), now
            if speed:
                due = began + (now - first) / 1e9 / speed  # type: ignore[operator]  # set together with first
                time.sleep(max(0.0, due - time.monotonic()))
            _apply(tape, books, events)
            if time.monotonic() - looked >= every:
                looked = time.monotonic()
                look()
        look()
    finally:
        if live is not None:
            live.stop()
    if not as_json:
        Console().print(_quotes(known, books, events, now))


def _apply(tape: Tape, books: list[PriceBook], events: list[int]) -> None:
    counts = tape.to_polars()["instrument"].value_counts()
    for index, count in counts.iter_rows():
        books[index].apply(tape, instrument=index)
        events[index] += count


def _quote(instrument: Instrument, book: PriceBook) -> dict[str, object]:
    bid, bid_size, ask, ask_size = book.quote
    size = float(instrument.size_unit)
    return {
        "instrument": instrument.name,
        "bid": instrument.price(bid) if bid_size else None,
        "bid_size": bid_size * size,
        "ask": instrument.price(ask) if ask_size else None,
        "ask_size": ask_size * size,
        "stale": book.is_stale,
    }


def _quotes(known: list[Instrument], books: list[PriceBook], events: list[int], now: int | None) -> Table:
    from datetime import UTC, datetime

    from rich.table import Table
    from rich.text import Text

    when = "" if now is None else datetime.fromtimestamp(now / 1e9, UTC).isoformat(timespec="milliseconds")
    table = Table(title=Text(when), title_justify="left", header_style="bold")
    for name in ("instrument", "events", "bid size", "bid", "ask", "ask size", ""):
        table.add_column(name, justify="left" if name in {"instrument", ""} else "right")
    for instrument, book, count in zip(known, books, events, strict=True):
        row = _quote(instrument, book)
        shown = ["" if row[name] is None else f"{row[name]:,.10g}" for name in ("bid_size", "bid", "ask", "ask_size")]
        mark = "stale" if row["stale"] else ""
        table.add_row(Text(instrument.name), f"{count:,}", *shown, mark, style="dim" if row["stale"] else None)
    return table


def verify(
    capture: Annotated[Path, typer.Argument(help="A capture: a file, or a folder of files.")],
    gaps: Annotated[Path | None, typer.Option(help="Write the list of gaps to this Parquet file.")] = None,
    instruments: Annotated[Path | None, typer.Option(help="An instruments file that declares units.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of tables.")] = False,
) -> None:
    """Say how far a capture can be trusted: continuity, checksums, gaps, files. Exits 3 if anything is missing."""
    import polars as pl

    import crossbook as xb
    from crossbook.capture.verify import verify as check
    from crossbook.cli import _rows, _table

    opened = xb.open(capture, instruments=instruments)
    report = check(opened)
    if gaps is not None:
        report.gaps.write_parquet(gaps)
    if as_json:
        parts = {name: _rows(getattr(report, name)) for name in ("streams", "gaps", "files")}
        typer.echo(json.dumps({"sound": report.sound, "faults": report.faults, **parts}))
    else:
        from rich.console import Console

        console = Console()
        name = pl.format("{}:{}", "venue", "symbol").alias("instrument")
        sums = pl.format("{}/{}", "checksums", pl.col("checksums") + pl.col("checksum_failures"))
        shown = report.streams.select(
            name,
            (pl.col("depth") + pl.col("snapshots")).alias("book"),
            "verified",
            pl.col("unverifiable").alias("unproved"),
            pl.when(pl.col("checksums") + pl.col("checksum_failures") > 0).then(sums).alias("checksums"),
            pl.col("gaps") + pl.col("trade_gaps"),
            "resets",
        )
        console.print(_table(shown, str(capture)))
        if report.files.height:
            console.print(_table(report.files, "files against their manifests"))
        if report.gaps.height:
            shown = report.gaps.select("venue", "symbol", "cause", "ours", "unit", "first", "last", "from", "until")
            console.print(
                _table(shown.head(20), f"{report.gaps.height:,} gaps" + (", the first 20" * (shown.height > 20)))
            )
        if report.faults:
            console.print(
                _table(opened.faults().select("kind", "line", "message").head(20), f"{report.faults:,} faults")
            )
        console.print("nothing is missing" if report.sound else "something is missing or wrong")
    if not report.sound:
        raise typer.Exit(MISSING)


def convert(
    source: Annotated[Path, typer.Argument(help="A file or folder.")],
    target: Annotated[Path, typer.Argument(help="A file or folder to be made.")],
    to: Annotated[str, typer.Option(help="parquet, tardis, hftbacktest, lobster or dbn.")] = "parquet",
    origin: Annotated[str, typer.Option("--from", help="capture, or one of the formats of --to.")] = "capture",
    instruments: Annotated[Path | None, typer.Option(help="An instruments file that declares units.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="An option of the writer, or after 'read.' of the reader: schema=mbo, read.date=2012-06-21."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace what is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Turn a capture or another format's files into a format: Parquet, Tardis CSV, hftbacktest, LOBSTER, DBN."""
    from crossbook.capture import read_instruments
    from crossbook.cli import _progress
    from crossbook.convert import convert as turn

    reading: dict[str, Any] = {}
    writing: dict[str, Any] = {}
    for text in option or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise DataError(f"option {text!r}: expected NAME=VALUE")
        into, name = (reading, name.removeprefix("read.")) if name.startswith("read.") else (writing, name)
        into[name] = _value(value)
    advance, stop = _progress(as_json)
    try:
        written = turn(
            source,
            target,
            to=to,
            format=origin,
            instruments=None if instruments is None else read_instruments(instruments),
            overwrite=overwrite,
            progress=advance,
            reading=reading,
            writing=writing,
        )
    except TypeError as error:
        # An option that the format does not have, or one that it cannot do without.
        raise DataError(f"--to {to} --from {origin}: {error}") from error
    finally:
        stop()
    if as_json:
        paths = [str(path) for path in written.paths]
        typer.echo(json.dumps({"paths": paths, "rows": written.rows, "left_out": dict(written.left_out)}))
        return
    left = ", ".join(f"{count:,} {kind}" for kind, count in dict(written.left_out).items())
    typer.echo(f"{written.rows:,} rows in {len(written.paths)} files" + (f"; left out: {left}" if left else ""))


def _value(text: str) -> object:
    """A number or a flag where it reads as one, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def venues(
    markdown: Annotated[bool, typer.Option(help="Print the page docs/venues.md.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List the protocols that are spoken: how each begins, what proves it, and since when."""
    import polars as pl

    from crossbook import _core
    from crossbook.cli import _table

    rows = _core.protocols()
    if as_json:
        typer.echo(json.dumps(rows))
        return
    shown = [{**_facts(row), "source": row["source"]} for row in rows]
    if markdown:
        typer.echo(PAGE + _markdown(shown))
        return
    from rich.console import Console

    Console().print(_table(pl.DataFrame(shown).drop("source"), "protocols"))


PAGE = """# Venues

Written by `crossbook venues --markdown`; do not edit. What every protocol offers to keep a book true, from the dated
table in `rust/core/src/feed/`. A protocol without a last day is today's; captures keep the name of theirs, or their
address and date tell it.

- *book begins*: with the stream, with a REST snapshot joined to the changes held meanwhile, or anew in every message.
- *proved by*: **ids** link every message to the one before; **count** numbers the frames of a connection, so a hole
  taints every instrument on it; **checksum** over so many levels of each side. Without any of them a book is
  *unverifiable*: a loss cannot be seen before the next snapshot.

"""


def _facts(row: dict[str, Any]) -> dict[str, str]:
    proofs = [
        *(["ids"] if row["links"] else []),
        *(["count"] if row["counts_frames"] else []),
        *([f"checksum of {row['checksum_levels']}"] if row["checksum_levels"] else []),
    ]
    begins = {"stream": "stream", "rest": "REST", "every_message": "every message"}[row["snapshot"]]
    return {
        "protocol": row["name"],
        "venue": row["venue"],
        "valid": f"{row['valid_from'] or '…'} – {row['valid_until'] or ''}".rstrip(" –") if _dated(row) else "",
        "book begins": begins,
        "proved by": ", ".join(proofs) or "nothing",
        "trades counted": "yes" if row["counts_trades"] else "",
        "depth": str(row["depth"] or "all"),
    }


def _dated(row: dict[str, Any]) -> bool:
    return bool(row["valid_from"] or row["valid_until"])


def _markdown(rows: list[dict[str, str]]) -> str:
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([row[name] for name in names] for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
