"""A fake exchange on 127.0.0.1: websocket and REST on one port."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from crossbook.fakex.faults import Injection, Tamper
from crossbook.fakex.venue import SECOND
from crossbook.fakex.wire import Handler, HttpRequest, Wire, wires

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from crossbook.fakex.venue import Connection, Exchange, Response

__all__ = ["Attempt", "Link", "Server", "Time"]

log = logging.getLogger(__name__)


class Time(Protocol):
    """The clock that the exchange lives by, such as `crossbook.feeds.Clock`."""

    @property
    def now(self) -> Callable[[], int]:
        """Nanoseconds since the epoch."""

    async def sleep(self, seconds: float) -> None:
        """Sleep by it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A websocket handshake and how it was answered."""

    time: int
    status: int
    retry_after: float


@dataclass(slots=True, eq=False)
class Link:
    """One client's websocket."""

    wire: Wire
    connection: Connection
    tamper: Tamper
    ponged: int
    pinged: int
    sent: list[tuple[int, str]] = field(default_factory=list)
    together: int = 0
    """So many messages wait for one another and go out in one piece; 0: none waits."""
    waiting: list[str] = field(default_factory=list)
    closing: int = 0


class Server(Handler):
    """Serves one exchange. Use it as a context manager."""

    def __init__(
        self,
        exchange: Exchange,
        name: str,
        *,
        clock: Time,
        seed: int = 0,
        step: float = 0.05,
        port: int = 0,
        keep: bool = False,
    ) -> None:
        self.exchange = exchange
        self.name = name
        self.clock = clock
        self.step = step
        """Seconds between two messages of the markets."""
        self.port = port
        self.keep = keep
        """Whether to remember what was sent."""
        self.rng = random.Random(f"server {seed}")
        self.quiet = False
        """Whether the markets rest."""
        self.steps = 0
        self.injections: list[Injection] = []
        self.links: list[Link] = []
        self.past: list[Link] = []
        self.attempts: list[Attempt] = []
        self.refusals: deque[tuple[int, float]] = deque()
        """Status and seconds to wait (0: not said) of the handshakes to come."""
        self.slow = 0.0
        """Seconds that a handshake takes."""
        self.on_link: Callable[[Link], None] | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[Wire] = set()

    # Its life.

    async def __aenter__(self) -> Server:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(wires(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._spawn(self._live())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for link in [*self.links]:
            link.wire.abort()
        for wire in list(self._open):
            wire.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    @property
    def ws(self) -> str:
        """The websocket's address, without a path."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def rest(self) -> str:
        """The REST server's address."""
        return f"http://127.0.0.1:{self.port}"

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self) -> None:
        second = self.clock.now()
        while True:
            await self.clock.sleep(self.step * self.rng.uniform(0.5, 1.5))
            now = self.clock.now()
            if not self.quiet:
                self.exchange.step(now)
                self.steps += 1
            if now - second >= SECOND:
                second = now
                self.exchange.on_time(now)
                self._pings(now)
            self.pump()

    def pump(self) -> None:
        """Send what waits."""
        now = self.clock.now()
        for link in list(self.links):
            self._pump(link, now)

    def _pump(self, link: Link, now: int) -> None:
        texts = link.tamper.passes(link.connection, now)
        if link.together:
            link.waiting += texts
            if len(link.waiting) < link.together:
                return
            texts, link.waiting = link.waiting, []
        elif link.waiting:
            texts, link.waiting = link.waiting + texts, []
        if texts:
            if self.keep:
                link.sent += [(now, text) for text in texts]
            link.wire.send(texts)
        if link.connection.close is not None and not link.closing:
            link.closing = now
            link.wire.close(*link.connection.close)
            link.wire.finish()

    def _pings(self, now: int) -> None:
        every = self.exchange.pings * SECOND
        if not every:
            return
        for link in list(self.links):
            if now - link.ponged > 4 * every:
                log.info("%s: no pong", self.name)
                link.wire.close(1008, "no pong")
                link.wire.finish()
            elif now - link.pinged >= every:
                link.pinged = now
                link.wire.ping()

    # What wires ask.

    def requested(self, wire: Wire, request: HttpRequest) -> None:
        """Answer a request."""
        self._open.add(wire)
        now = self.clock.now()
        if request.is_websocket:
            if self.refusals:
                status, after = self.refusals.popleft()
                self.attempts.append(Attempt(now, status, after))
                headers = {"Retry-After": f"{after:g}"} if after else {}
                wire.respond(status, '{"msg":"not now"}', {**headers, "Connection": "close"})
                wire.finish()
            elif self.slow:
                self._spawn(self._accept_late(wire, request, self.slow))
            else:
                self._accept(wire, request)
            return
        response = self.exchange.rest(request.method, request.target, request.body, now)
        if response.delay:
            self._spawn(self._respond_late(wire, response))
        else:
            wire.respond(response.status, response.body, response.headers)

    async def _respond_late(self, wire: Wire, response: Response) -> None:
        await self.clock.sleep(response.delay)
        wire.respond(response.status, response.body, response.headers)

    async def _accept_late(self, wire: Wire, request: HttpRequest, seconds: float) -> None:
        await self.clock.sleep(seconds)
        if wire.transport is not None:
            self._accept(wire, request)

    def _accept(self, wire: Wire, request: HttpRequest) -> None:
        now = self.clock.now()
        self.attempts.append(Attempt(now, 101, 0.0))
        connection = self.exchange.connect(request.target, now)
        tamper = Tamper(self.exchange, self.name, self.rng, self.injections)
        link = Link(wire, connection, tamper, now, now)
        self.links.append(link)
        wire.accept()
        if self.on_link is not None:
            self.on_link(link)
        self._pump(link, now)

    def _link(self, wire: Wire) -> Link | None:
        return next((link for link in self.links if link.wire is wire), None)

    def received(self, wire: Wire, text: str) -> None:
        """Take a message."""
        link = self._link(wire)
        if link is None:
            return
        now = self.clock.now()
        self.exchange.now = now
        try:
            link.connection.receive(text, now)
        except (KeyError, ValueError, TypeError) as error:
            log.warning("%s: cannot read %.200r: %r", self.name, text, error)
            return
        self._pump(link, now)

    def ponged(self, wire: Wire) -> None:
        """Note that it lives."""
        link = self._link(wire)
        if link is not None:
            link.ponged = self.clock.now()

    def ended(self, wire: Wire) -> None:
        """Forget a client."""
        self._open.discard(wire)
        link = self._link(wire)
        if link is not None:
            self.links.remove(link)
            self.past.append(link)
            self.exchange.leave(link.connection)
