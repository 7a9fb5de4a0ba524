"""An exchange for speed: frames written beforehand, served as fast as the socket takes them, or at a pace, with faults.

A block begins with the snapshots of its books, so that it can be served over and over: to the client each round is
the venue beginning anew. Venues whose snapshots come by REST, or that count the frames of a connection, are served
one round.
``python -m crossbook.fakex.blast okx --seconds 10`` serves until it is told to stop and prints its address as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import select
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crossbook import _core
from crossbook.fakex.dialects import EXCHANGES
from crossbook.fakex.faults import traits_of
from crossbook.fakex.wire import Handler, HttpRequest, Wire, websocket_frame, wires

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from crossbook._core import Instrument
    from crossbook.fakex.venue import Exchange, State

__all__ = ["Blaster", "Block", "instruments_of", "render"]

START = 1_787_612_486_096_000_000
CHUNK = 1 << 20
"""Bytes that are written at once, at most, when there is no pace."""
TURN = 0.005
"""Seconds between two writes at a pace."""


def instruments_of(exchange: Exchange) -> list[Instrument]:
    """Read an exchange's own list of instruments, as a client does."""
    facts = next(one for one in _core.protocols() if one["name"] == exchange.protocol)
    found: list[Instrument] = []
    for path in facts["instruments_paths"]:
        method, target, body = path.split(" ", 2) if path.startswith("POST ") else ("GET", path, "")
        answer = exchange.rest(method, target, body, exchange.now)
        found += _core.list_instruments(exchange.protocol, answer.body.encode())
    return found


@dataclass(frozen=True, slots=True)
class Block:
    """Frames of one connection, as they go over the wire, and what the books are after them."""

    name: str
    exchange: Exchange
    instruments: list[Instrument]
    texts: list[str]
    frames: list[bytes]
    snapshots: dict[str, str]
    """REST snapshots by symbol, from before the first frame."""
    loops: bool

    @property
    def states(self) -> list[State]:
        """What the markets looked like after every message."""
        return self.exchange.states


def render(
    name: str,
    *,
    seed: int = 0,
    frames: int = 50_000,
    channels: Sequence[str] = ("book", "trades", "quotes"),
    symbols: int = 3,
    truth: bool = False,
) -> Block:
    """Write a block of at least so many frames."""
    kind = EXCHANGES[name]
    exchange = kind(seed, now=START, listings=kind.listings[:symbols], truth=truth)
    instruments = instruments_of(exchange)
    connection = exchange.connect("/stream", START)
    session = _core.Session(exchange.protocol, instruments, channels=list(channels))
    session.opened(START)
    for what, text in session.commands():
        if what == "send":
            connection.receive(text, START)
    now = START
    snapshots = {}
    if traits_of(name).rest:
        exchange.now = now
        snapshots = {one.symbol: exchange.snapshot(exchange.snapshot_state(one.symbol)) for one in exchange.listed}
    while len(connection.out) < frames:
        now += 1_000_000
        exchange.step(now)
    texts = [frame.text for frame in connection.out]
    connection.out = []
    traits = traits_of(name)
    return Block(
        name,
        exchange,
        instruments,
        texts,
        [websocket_frame(text.encode()) for text in texts],
        snapshots,
        not traits.rest and not traits.counts_frames,
    )


def _send(connection: socket.socket, data: bytes) -> bool:
    """Send all of it as the socket takes it; whether it took it."""
    view = memoryview(data)
    try:
        while view:
            _, ready, _ = select.select([], [connection], [], 1.0)
            if ready:
                view = view[connection.send(view[:CHUNK]) :]
    except (OSError, ValueError):
        # The client is gone.
        return False
    return True


@dataclass(slots=True, eq=False)
class _Listener:
    wire: Wire
    block: Block
    position: int = 0
    started: bool = False
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Totals:
    """What was done so far."""

    sent: int = 0
    rounds: int = 0
    faults: dict[str, int] = field(default_factory=dict)


class Blaster(Handler):
    """Serves a block on a port of its own. Use it as a context manager."""

    FAULTS = ("drop", "duplicate", "truncate", "lost", "reset", "swap")

    def __init__(self, block: Block, *, port: int = 0, rate: float = 0.0, faults: float = 0.0, seed: int = 0) -> None:
        self.block = block
        self.port = port
        self.rate = rate
        """Frames a second; 0: as many as the socket takes."""
        self.faults = faults
        """Faults a second."""
        self.totals = Totals()
        self.rng = random.Random(f"blast {seed} {block.name}")
        self._listeners: dict[Wire, _Listener] = {}
        self._server: asyncio.Server | None = None
        self._whole = b"".join(block.frames)

    async def __aenter__(self) -> Blaster:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(wires(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        assert self._server is not None
        self._server.close()
        for wire, listener in list(self._listeners.items()):
            if listener.task is not None:
                listener.task.cancel()
            wire.abort()
        await self._server.wait_closed()

    @property
    def addresses(self) -> dict[str, tuple[str, str]]:
        """Websocket and REST address by venue, as `crossbook.feeds.stream` takes them."""
        return {self.block.exchange.venue: (f"ws://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.port}")}

    def requested(self, wire: Wire, request: HttpRequest) -> None:
        """Answer a request."""
        if request.is_websocket:
            wire.accept()
            self._listeners[wire] = _Listener(wire, self.block)
            return
        exchange = self.block.exchange
        symbol = exchange.asked(request.target)
        if symbol is not None:
            wire.respond(200, self.block.snapshots[symbol])
            return
        listed = exchange.instruments(request.method, request.target, request.body)
        wire.respond(200 if listed else 404, listed or "{}")

    def received(self, wire: Wire, text: str) -> None:
        """Take a subscription: the first begins the block, a later one begins it again."""
        listener = self._listeners[wire]
        if "ping" in text or "test" in text:
            return
        if listener.task is None:
            listener.task = asyncio.get_running_loop().create_task(self._serve(listener))
        elif listener.started and self.block.loops:
            listener.position = 0

    def ended(self, wire: Wire) -> None:
        """Forget a client."""
        listener = self._listeners.pop(wire, None)
        if listener is not None and listener.task is not None:
            listener.task.cancel()

    async def _serve(self, listener: _Listener) -> None:
        # All of its subscriptions first.
        await asyncio.sleep(0.3)
        listener.started = True
        if self.rate:
            await self._pace(listener)
        else:
            await self._flood(listener)

    async def _flood(self, listener: _Listener) -> None:
        # A thread of its own: the event loop would copy what does not fit into the socket.
        wire = listener.wire
        while wire.transport is not None:
            connection = wire.transport.get_extra_info("socket").dup()
            with connection:
                if not await asyncio.to_thread(_send, connection, self._whole):
                    return
            self.totals.rounds += 1
            self.totals.sent += len(self.block.frames)
            if not self.block.loops:
                return

    async def _pace(self, listener: _Listener) -> None:
        wire, frames = listener.wire, self.block.frames
        began, sent = time.monotonic(), 0
        while wire.transport is not None:
            await asyncio.sleep(TURN)
            due = int((time.monotonic() - began) * self.rate) - sent
            # Who was held up does not catch up with all of it at once.
            due = min(due, int(self.rate * 0.25) + 1)
            if due <= 0:
                continue
            sent = int((time.monotonic() - began) * self.rate)
            out: list[bytes] = []
            while due > 0:
                part = frames[listener.position : listener.position + due]
                out += part
                due -= len(part)
                listener.position += len(part)
                if listener.position >= len(frames):
                    listener.position = 0
                    self.totals.rounds += 1
                    if not self.block.loops:
                        wire.write(b"".join(out))
                        return
            self.totals.sent += len(out)
            if self.faults and self.rng.random() < self.faults * TURN:
                self._spoil(listener, out)
            wire.write(b"".join(out))
            await wire.room.wait()

    def _spoil(self, listener: _Listener, out: list[bytes]) -> None:
        kind = self.rng.choice(self.FAULTS)
        self.totals.faults[kind] = self.totals.faults.get(kind, 0) + 1
        at = self.rng.randrange(len(out))
        if kind == "drop":
            del out[at : at + self.rng.randrange(1, 4)]
        elif kind == "duplicate":
            out.insert(at, out[at])
        elif kind == "swap" and at + 1 < len(out):
            out[at], out[at + 1] = out[at + 1], out[at]
        elif kind == "truncate":
            texts = self.block.texts
            text = texts[(listener.position - len(out) + at) % len(texts)].encode()
            out[at] = websocket_frame(text[: len(text) // 2])
        elif kind == "lost":
            listener.wire.abort()
        elif kind == "reset":
            listener.wire.reset()


async def _main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Serve frames as fast as the socket takes them, or at a pace.")
    parser.add_argument("exchange", nargs="+", choices=list(EXCHANGES))
    parser.add_argument("--frames", type=int, default=50_000, help="frames of a block")
    parser.add_argument("--rate", type=float, default=0.0, help="frames a second of each exchange; 0: all there are")
    parser.add_argument("--faults", type=float, default=0.0, help="faults a second of each exchange")
    parser.add_argument("--channel", action="append", choices=["book", "trades", "quotes"])
    parser.add_argument("--symbols", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0, help="of the first exchange; 0: any")
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after so many; 0: at SIGTERM")
    options = parser.parse_args(arguments)
    channels = tuple(options.channel or ("book", "trades", "quotes"))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    blasters: list[Blaster] = []
    for at, name in enumerate(options.exchange):
        block = render(name, seed=options.seed, frames=options.frames, channels=channels, symbols=options.symbols)
        port = options.port + at if options.port else 0
        blaster = Blaster(block, port=port, rate=options.rate, faults=options.faults, seed=options.seed)
        blasters.append(await blaster.__aenter__())
    say = sys.stdout.write
    addresses = {venue: where for one in blasters for venue, where in one.addresses.items()}
    protocols = {one.block.exchange.venue: one.block.exchange.protocol for one in blasters}
    say(json.dumps({"addresses": addresses, "protocols": protocols}) + "\n")
    sys.stdout.flush()
    try:
        async with asyncio.timeout(options.seconds or None):
            await stop.wait()
    except TimeoutError:
        pass
    for one in blasters:
        await one.__aexit__()
    sent = sum(one.totals.sent for one in blasters)
    faults: dict[str, int] = {}
    for one in blasters:
        for kind, count in one.totals.faults.items():
            faults[kind] = faults.get(kind, 0) + count
    say(json.dumps({"sent": sent, "rounds": sum(one.totals.rounds for one in blasters), "faults": faults}) + "\n")


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
