"""Serves a real capture's frames in place of the generator: the same bytes, with their timing or faster.

A capture is lines of ``<receive ns> <raw JSON>``, lines of raw JSON, or one of cryptofeed's raw files, plain or
gzipped; of several files the frames are merged by receive time. REST responses among them answer requests of their
path.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from crossbook.errors import DataError
from crossbook.fakex.wire import Handler, HttpRequest, Wire, wires

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from crossbook.fakex.server import Time

__all__ = ["Recording", "ReplayServer", "read"]

SENT = re.compile(r"^\S+ <-(>)? ([\d.]+)(?:: (.*))?$", re.DOTALL)
FETCHED = re.compile(r"^(\S+) -> ([\d.]+): (.*)$", re.DOTALL)
RECEIVED = re.compile(r"^(\d+\.\d+): (.*)$", re.DOTALL)
STAMPED = re.compile(r"^(\d{16,20}) (.*)$", re.DOTALL)
NAMES = ("symbol", "contract", "currency_pair", "instId", "pair", "coin")


@dataclass(slots=True)
class Recording:
    """Frames with their receive times (ns; 0 unknown), and REST responses by address."""

    frames: list[tuple[int, str]] = field(default_factory=list)
    responses: dict[str, str] = field(default_factory=dict)

    def response(self, target: str) -> str | None:
        """Give what answers a request: the same path, and the same instrument in its query."""
        wanted = _key(target)
        return next((body for url, body in self.responses.items() if _key(url) == wanted), None)


def _key(url: str) -> tuple[str, tuple[str, ...]]:
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    named = tuple(query[name][0].upper() for name in NAMES if name in query)
    return parts.path.rstrip("/"), named


def _lines(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        for line in file:
            if text := line.rstrip("\n"):
                yield text


def read(paths: Sequence[str | Path]) -> Recording:
    """Read captures. Raises `DataError` if they hold no frames."""
    found = Recording()
    for path in map(Path, paths):
        if path.suffix == ".json":
            found.responses[path.name] = path.read_text(encoding="utf-8")
            continue
        for line in _lines(path):
            if match := FETCHED.match(line):
                found.responses.setdefault(match[1], match[3])
            elif match := RECEIVED.match(line):
                found.frames.append((round(float(match[1]) * 1e9), match[2]))
            elif match := STAMPED.match(line):
                if match[2].startswith('{"lastUpdateId"'):
                    found.responses.setdefault("lastUpdateId", match[2])
                else:
                    found.frames.append((int(match[1]), match[2]))
            elif not SENT.match(line) and line[:1] in "{[":
                found.frames.append((0, line))
    found.frames.sort(key=lambda frame: frame[0])
    if not found.frames:
        raise DataError(f"{', '.join(map(str, paths))}: expected a capture with frames")
    return found


class ReplayServer(Handler):
    """Serves a recording to every client that subscribes to anything. Use it as a context manager."""

    def __init__(self, recording: Recording, *, clock: Time, speed: float = 0.0, port: int = 0) -> None:
        self.recording = recording
        self.clock = clock
        self.speed = speed
        """Times as fast as it was received; 0: as fast as the client reads."""
        self.port = port
        self.served = 0
        self._tasks: dict[Wire, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> ReplayServer:
        """Listen."""
        self._server = await asyncio.get_running_loop().create_server(wires(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        assert self._server is not None
        self._server.close()
        for wire, task in list(self._tasks.items()):
            task.cancel()
            wire.abort()
        await self._server.wait_closed()

    def requested(self, wire: Wire, request: HttpRequest) -> None:
        """Answer a request."""
        if request.is_websocket:
            wire.accept()
            return
        body = self.recording.response(request.target) or self.recording.responses.get("lastUpdateId")
        wire.respond(200 if body else 404, body or json.dumps({"error": f"the capture has no {request.target}"}))

    def received(self, wire: Wire, text: str) -> None:
        """Begin with the first message of a client."""
        if wire not in self._tasks:
            self._tasks[wire] = asyncio.get_running_loop().create_task(self._serve(wire, self.recording.frames))

    def ended(self, wire: Wire) -> None:
        """Forget a client."""
        if (task := self._tasks.pop(wire, None)) is not None:
            task.cancel()

    async def _serve(self, wire: Wire, frames: Iterable[tuple[int, str]]) -> None:
        await self.clock.sleep(0.2)
        began, first = self.clock.now(), 0
        for time, text in frames:
            if self.speed and time:
                first = first or time
                wait = began + (time - first) / self.speed - self.clock.now()
                if wait > 0:
                    await self.clock.sleep(wait / 1e9)
            wire.send([text])
            self.served += 1
            await wire.room.wait()
            if self.served % 64 == 0:
                await asyncio.sleep(0)
            if wire.transport is None:
                return
