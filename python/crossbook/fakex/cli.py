"""``crossbook fakex``: a venue on this machine."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossbook.errors import DataError

if TYPE_CHECKING:
    from crossbook.fakex.server import Server


def fakex(
    exchange: Annotated[str, typer.Argument(help="Which: binance-spot, okx, kraken, ... `list` names them all.")],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0: any.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the markets and the faults.")] = 0,
    fault: Annotated[str, typer.Option(help="What goes wrong, now and then; `list` names them.")] = "none",
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two faults.")] = 10.0,
    step: Annotated[float, typer.Option(min=0.0001, help="Seconds between two messages of the markets.")] = 0.05,
    capture: Annotated[
        list[Path] | None, typer.Option(help="Serve this capture's frames instead; may be repeated.")
    ] = None,
    speed: Annotated[float, typer.Option(min=0, help="Of a capture: times as fast; 0: as fast as it is read.")] = 1.0,
    scale: Annotated[float, typer.Option(min=0.001, help="The exchange's clock runs so many times faster.")] = 1.0,
) -> None:
    """Serve a fake exchange on 127.0.0.1 that speaks a venue's dialect, with faults on demand, until Ctrl-C."""
    from crossbook.fakex.dialects import EXCHANGES
    from crossbook.fakex.faults import FAULTS, faults_of

    if exchange == "list":
        for name, kind in EXCHANGES.items():
            typer.echo(f"{name}: {kind.protocol}, {', '.join(one.symbol for one in kind.listings)}")
        return
    if exchange not in EXCHANGES:
        raise DataError(f"exchange {exchange!r}: expected one of {', '.join(EXCHANGES)}")
    if fault == "list":
        for name in faults_of(exchange, sockets=True):
            typer.echo(f"{name}: {FAULTS[name][0]}")
        return
    if fault not in faults_of(exchange, sockets=True):
        known = ", ".join(faults_of(exchange, sockets=True))
        raise DataError(f"fault {fault!r} of {exchange}: expected one of {known}")
    if capture:
        asyncio.run(_replay(exchange, capture, port, speed))
    else:
        asyncio.run(_serve(exchange, port, seed, fault, every, step, scale))


def _about(exchange: str, port: int) -> None:
    from crossbook.fakex.dialects import EXCHANGES

    kind = EXCHANGES[exchange]
    key = kind.venue.upper().replace("-", "_")
    typer.echo(f"CROSSBOOK_WS_{key}=ws://127.0.0.1:{port} CROSSBOOK_REST_{key}=http://127.0.0.1:{port}")
    typer.echo(f"{exchange} speaks {kind.protocol}; symbols: {', '.join(one.symbol for one in kind.listings)}")


def _stopped() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _serve(exchange: str, port: int, seed: int, fault: str, every: float, step: float, scale: float) -> None:
    from crossbook.fakex.dialects import EXCHANGES
    from crossbook.fakex.faults import Plan
    from crossbook.fakex.mischief import Mischief
    from crossbook.fakex.server import Server
    from crossbook.feeds import Clock

    clock = Clock(scale)
    market = EXCHANGES[exchange](seed, now=clock.now(), truth=False)
    server = Server(market, exchange, clock=clock, seed=seed, step=step, port=port)
    plan = Plan(seed, exchange, fault, 1, 0, 1 + seed % 5, seed)
    mischief = Mischief(server, plan)
    mischief.prepare()
    async with server:
        _about(exchange, server.port)
        stop = _stopped()
        spoiling = asyncio.create_task(_spoil(server, mischief, every))
        await stop.wait()
        spoiling.cancel()


async def _spoil(server: Server, mischief: object, every: float) -> None:
    from crossbook.fakex.mischief import BEFORE, Mischief

    assert isinstance(mischief, Mischief)
    while mischief.plan.fault not in BEFORE:
        await server.clock.sleep(every)
        if server.links:
            await mischief.act(server.links[-1])
            typer.echo(f"{mischief.plan.fault}: {len(server.injections)} so far", err=True)


async def _replay(exchange: str, paths: list[Path], port: int, speed: float) -> None:
    from crossbook.fakex.replay import ReplayServer, read
    from crossbook.feeds import Clock

    async with ReplayServer(read(paths), clock=Clock(), speed=speed, port=port) as server:
        _about(exchange, server.port)
        await _stopped().wait()
        typer.echo(f"{server.served:,} frames served", err=True)
