"""``crossbook record``: live feeds to disk, with a status table."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossbook.errors import DataError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from rich.table import Table

    from crossbook.feeds import Recorder

Names = Annotated[
    list[str],
    typer.Argument(
        help="What to record: venue:BASE-QUOTE (binance:BTC-USDT, bybit:BTC-USDT-PERP), venue:symbol as the venue "
        "writes it, or venue:kind/BASE (deribit:options/BTC, okx:perps/*).",
        metavar="NAME...",
    ),
]


def record(
    names: Names,
    out: Annotated[Path, typer.Option(help="Folder for the captures.")] = Path("captures"),
    channel: Annotated[
        list[str] | None,
        typer.Option(help="book, trades, quotes or marks; may be repeated. The first three if not given."),
    ] = None,
    depth: Annotated[int, typer.Option(min=0, max=65_535, help="Levels of the book; 0: the protocol's own.")] = 0,
    seconds: Annotated[
        float | None, typer.Option("--for", min=0, help="Stop after so many seconds; else on Ctrl-C or SIGTERM.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Serve /metrics and /healthz on this port of 127.0.0.1.")
    ] = None,
    address: Annotated[
        list[str] | None,
        typer.Option(help="Another address of a venue, as VENUE=WEBSOCKET,REST; may be repeated.", metavar="ADDRESS"),
    ] = None,
    protocol: Annotated[
        list[str] | None, typer.Option(help="Another protocol of a venue than today's, as VENUE=PROTOCOL.")
    ] = None,
    stale_after: Annotated[float, typer.Option(min=0, help="Seconds of silence after which a stream is stale.")] = 30.0,
    cache: Annotated[Path | None, typer.Option(help="Folder for the venues' lists of instruments.")] = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at the status.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Seed of the jitter between reconnects.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print lines of JSON for machines instead of a table.")
    ] = False,
) -> None:
    """Record raw frames of live websockets, until Ctrl-C or SIGTERM; a second one stops at once."""
    from crossbook.feeds import Recorder

    recorder = Recorder(
        names,
        out=out,
        channels=tuple(channel or ("book", "trades", "quotes")),
        depth=depth,
        addresses={venue: _two(text) for venue, text in _pairs(address, "VENUE=WEBSOCKET,REST")},
        protocols=dict(_pairs(protocol, "VENUE=PROTOCOL")),
        stale_after=stale_after,
        cache=cache,
        seed=seed,
    )
    asyncio.run(_record(recorder, seconds, metrics_port, every, as_json))


def _pairs(texts: Iterable[str] | None, form: str) -> list[tuple[str, str]]:
    found = []
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise DataError(f"{text!r}: expected {form}")
        found.append((name, value))
    return found


def _two(text: str) -> tuple[str | None, str | None]:
    ws, _, rest = text.partition(",")
    return ws or None, rest or None


async def _record(
    recorder: Recorder, seconds: float | None, metrics_port: int | None, every: float, as_json: bool
) -> None:
    from crossbook.feeds import Health

    async with contextlib.AsyncExitStack() as stack:
        await recorder.start()
        stack.push_async_callback(recorder.close)
        if metrics_port is not None:
            served = await stack.enter_async_context(Health(recorder, port=metrics_port))
            typer.echo(f"crossbook: {served.url}/metrics and {served.url}/healthz", err=True)
        await stack.enter_async_context(_status(recorder, every, as_json))
        files = await recorder.run(seconds)
    if as_json:
        typer.echo(json.dumps({"event": "end", "files": [str(path) for path in files], **_sums(recorder)}))
        return
    sums = _sums(recorder)
    typer.echo(f"{sums['frames']:,} frames, {sums['gaps']} gaps, {len(files)} files in {recorder.out}")


@contextlib.asynccontextmanager
async def _status(recorder: Recorder, every: float, as_json: bool) -> AsyncIterator[None]:
    """Show how it goes, while it goes: a table on a terminal, lines of JSON for machines, else nothing."""
    from rich.console import Console
    from rich.live import Live

    # Not a live display where nobody looks: a log file would fill with tables.
    terminal = not as_json and sys.stderr.isatty()
    live = Live(_table(recorder, 0.0), console=Console(stderr=True), auto_refresh=False) if terminal else None

    async def look() -> None:
        loop = asyncio.get_running_loop()
        before, then = 0, loop.time()
        while True:
            await asyncio.sleep(every)
            frames, now = _sums(recorder)["frames"], loop.time()
            rate, before, then = (frames - before) / (now - then), frames, now
            if live is not None:
                live.update(_table(recorder, rate), refresh=True)
            elif as_json:
                line = {"event": "status", "time": recorder.clock.now(), "frames_per_s": round(rate), **_sums(recorder)}
                typer.echo(json.dumps({**line, "streams": recorder.health().to_dicts()}))

    with live if live is not None else contextlib.nullcontext():
        task = asyncio.create_task(look())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _sums(recorder: Recorder) -> dict[str, int]:
    totals = [connection.totals for connection in recorder.connections]
    return {
        "frames": sum(one.frames for one in totals),
        "bytes": sum(one.bytes for one in totals),
        "faults": sum(one.faults for one in totals),
        "reconnects": sum(connection.reconnects for connection in recorder.connections),
        "gaps": sum(row["gaps"] + row["trade_gaps"] for c in recorder.connections for row in c.session.counts()),
        "written": recorder.bytes_written,
    }


def _table(recorder: Recorder, rate: float) -> Table:
    from rich.table import Table
    from rich.text import Text

    sums = _sums(recorder)
    age = timedelta(seconds=round((recorder.clock.now() - recorder.began) / 1e9))
    title = (
        f"{recorder.out} · {age} · {rate:,.0f} frames/s · {sums['frames']:,} frames · "
        f"{sums['bytes'] / 1e6:,.1f} MB raw, {sums['written'] / 1e6:,.1f} MB on disk · {sums['gaps']} gaps"
    )
    table = Table(title=Text(title), title_justify="left", header_style="bold")
    for name in (
        "instrument",
        "connection",
        "state",
        "age s",
        "messages",
        "gaps",
        "resyncs",
        "reconnects",
        "latency ms",
    ):
        table.add_column(name, justify="left" if name in ("instrument", "connection", "state") else "right")
    rows = recorder.health().sort(["stale", "synced"], descending=[True, False]).to_dicts()
    for row in rows[:SHOWN]:
        state = "closed" if not row["open"] else "stale" if row["stale"] else "good" if row["synced"] else "waits"
        late = "" if row["latency_ms"] is None else f"{row['latency_ms']:.1f}"
        numbers = [f"{row[name]:,}" for name in ("messages", "gaps", "resyncs", "reconnects")]
        # Names come from venues: as Text they are not read as markup.
        names = [Text(f"{row['venue']}:{row['symbol']}"), Text(row["connection"])]
        style = {"good": "", "waits": "yellow"}.get(state, "red")
        table.add_row(*names, Text(state, style=style), f"{row['age_s']:.1f}", *numbers, late)
    if len(rows) > SHOWN:
        table.caption = f"and {len(rows) - SHOWN} more"
    return table


SHOWN = 40
"""So many instruments fit a screen; those that are not well come first."""
