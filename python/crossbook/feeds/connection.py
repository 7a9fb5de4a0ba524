"""One connection to one venue: a websocket, a session of the engine, and the policy between them."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from crossbook import _core
from crossbook.errors import Error
from crossbook.feeds.addresses import public, shown
from crossbook.feeds.errors import FeedError, RefusedError
from crossbook.feeds.rest import Limiter
from crossbook.feeds.transport import Socket, connect

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from crossbook._core import Instrument, Tape
    from crossbook.feeds.addresses import Address, Facts
    from crossbook.feeds.clock import Clock
    from crossbook.feeds.rest import Rest

log = logging.getLogger(__name__)

Policy = Literal["block", "drop"]
FIRST_WAIT, LONGEST_WAIT = 0.25, 30.0
HOUR = 3_600_000_000_000
LISTED_GAPS = 10_000
"""So many gaps are listed at the end of a file; all are counted."""


class Writer(Protocol):
    """Where raw frames go, in the order in which the session sees them: `crossbook._core.CaptureWriter`."""

    @property
    def frames_written(self) -> int: ...  # noqa: D102
    @property
    def bytes_raw(self) -> int: ...  # noqa: D102
    @property
    def bytes_written(self) -> int: ...  # noqa: D102
    @property
    def path(self) -> str | Path: ...  # noqa: D102
    def opened(self, ts: int, url: str, /) -> None: ...  # noqa: D102
    def frames(self, ts_recv: int, frames: list[bytes], /) -> None: ...  # noqa: D102
    def sent(self, ts: int, text: str, /) -> None: ...  # noqa: D102
    def rest(self, ts: int, url: str, body: bytes, /) -> None: ...  # noqa: D102
    def lost(self, ts: int, count: int, reason: str, /) -> None: ...  # noqa: D102
    def closed(self, ts: int, reason: str, /) -> None: ...  # noqa: D102
    def tick(self, now: int, feed_json: str = ..., /) -> str | Path | None: ...  # noqa: D102
    def finish(self, feed_json: str, /) -> str | Path: ...  # noqa: D102


class Hub(Protocol):
    """Where a connection's events go, and what it must heed."""

    @property
    def full(self) -> bool:
        """Whether the reader is behind by as much as may wait for it."""

    def touched(self, connection: Connection, /) -> None:
        """There may be events to take."""

    def failed(self, error: BaseException, /) -> None:
        """It cannot go on."""


class BackOff:
    """How long to wait before the next attempt: not at all before the first, then 0.25 s doubling to 30 s.

    Each wait is cut by up to a half at random, so that those who lost a venue together do not return together.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0

    def reset(self) -> None:
        """Begin anew: all is well."""
        self._failures = 0

    def next(self) -> float:
        """Give the seconds to wait after one more failure."""
        self._failures += 1
        if self._failures == 1:
            return 0.0
        wait: float = min(FIRST_WAIT * 2.0 ** min(self._failures - 2, 16), LONGEST_WAIT)
        return wait * (1.0 - self._rng.random() / 2)


@dataclass(slots=True)
class Totals:
    """What a connection did so far."""

    frames: int = 0
    bytes: int = 0
    opened: int = 0
    attempts: int = 0
    refused: int = 0
    dropped: int = 0
    faults: int = 0
    fetches: int = 0
    fetch_failures: int = 0
    busy_ns: int = 0


class Connection:
    """One websocket with its session. `run` keeps it open until `stop`."""

    def __init__(
        self,
        number: int,
        facts: Facts,
        address: Address,
        *,
        instruments: Sequence[Instrument],
        indices: Sequence[int],
        channels: Sequence[str],
        depth: int,
        rest: Rest,
        doors: Limiter,
        clock: Clock,
        rng: random.Random,
        hub: Hub,
        on_full: Policy,
        writer: Writer | None = None,
    ) -> None:
        self.number = number
        self.name = f"{facts.venue}-{number}"
        self.facts = facts
        self.address = address
        self.indices = tuple(indices)
        self.instruments = tuple(instruments)
        self.session = _core.Session(
            facts.name, list(instruments), indices=list(indices), channels=list(channels), depth=depth
        )
        self.writer = writer
        self.totals = Totals()
        self.reasons: deque[tuple[int, str]] = deque(maxlen=100)
        self.faults: deque[str] = deque(maxlen=1000)
        self.began = clock.now()
        self._has_book = "book" in channels
        self._rest = rest
        self._doors = doors
        self._clock = clock
        self._hub = hub
        self._drops = on_full == "drop"
        self._back_off = BackOff(rng)
        self._socket: Socket | None = None
        self._stopping = asyncio.Event()
        self._fetching: dict[int, asyncio.Task[None]] = {}
        self._fetch_back_off = {index: BackOff(rng) for index in indices}
        self._outbox: deque[str] = deque()
        self._pace = Limiter(facts.sends_per_second, window=1.0, clock=clock)
        self._pump_timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._quiet_until = 0
        # Frames that were dropped since the session saw the last one, and when the first of them came.
        self._lost, self._lost_at = 0, 0
        self._hour = self.began // HOUR

    @property
    def is_open(self) -> bool:
        """Whether a websocket is open."""
        return self._socket is not None

    @property
    def reconnects(self) -> int:
        """How often the websocket was opened anew."""
        return max(0, self.totals.opened - 1)

    def take(self) -> Tape | None:
        """Take the events since the last call."""
        tape: Tape | None = self.session.take()
        return tape

    # What the socket brings. No await between the file and the session: both see the same things in the same order.

    def _opened(self, socket: Socket) -> None:
        now = self._clock.now()
        self._socket = socket
        self.totals.opened += 1
        self._outbox.clear()
        if self.writer is not None and not self._write(self.writer.opened, now, public(self.address.ws)):
            return
        self.session.opened(now)
        self._obey()
        log.info("%s: open, %d instruments", self.name, len(self.indices))
        if self._paused:
            socket.pause()

    def _messages(self, ts_recv: int, frames: list[bytes]) -> None:
        if self._drops and self._hub.full:
            self._lost_at = self._lost_at if self._lost else ts_recv
            self._lost += len(frames)
            self.totals.dropped += len(frames)
            return
        if self._lost:
            self._admit_loss()
        if self.writer is not None and not self._write(self.writer.frames, ts_recv, frames):
            return
        began = time.perf_counter_ns()
        faults = self.session.frames(ts_recv, frames)
        totals = self.totals
        totals.busy_ns += time.perf_counter_ns() - began
        totals.frames += len(frames)
        totals.bytes += sum(map(len, frames))
        if faults:
            self._note_faults(faults)
        self._obey()
        self._hub.touched(self)

    def _write(self, what: Callable[..., object], *arguments: object) -> bool:
        try:
            what(*arguments)
        except (Error, OSError) as error:
            self.writer = None
            self._hub.failed(error)
            return False
        return True

    def _admit_loss(self) -> None:
        count, self._lost = self._lost, 0
        if self.writer is not None:
            self._write(self.writer.lost, self._lost_at, count, "the reader is behind")
        self.session.overflowed(self._lost_at)
        log.warning("%s: %d frames dropped, the reader is behind", self.name, count)
        self._obey()
        self._hub.touched(self)

    def _note_faults(self, count: int) -> None:
        found = self.session.faults()
        self.faults.extend(found)
        self.totals.faults += count
        # The first say what is wrong; a venue gone mad must not fill a disk with logs.
        for fault in found[: max(0, 20 - (self.totals.faults - count))]:
            log.warning("%s: %s", self.name, fault)

    def _closed(self, reason: str) -> None:
        now = self._clock.now()
        self._settle()
        self._socket = None
        self.reasons.append((now, reason))
        self._outbox.clear()
        for task in self._fetching.values():
            task.cancel()
        self._fetching.clear()
        if self._lost:
            self._admit_loss()
        if self.writer is not None:
            self._write(self.writer.closed, now, reason)
        self.session.closed(now)
        self.session.commands()
        self._hub.touched(self)
        log.info("%s: %s", self.name, reason)

    # What the session asks for.

    def _obey(self) -> None:
        for what, argument in self.session.commands():
            if what == "send":
                self._outbox.append(argument)
            elif what == "fetch":
                self._fetch(argument)
            elif what == "reconnect" and self._socket is not None:
                self._socket.abort(argument)
        if self._outbox and self._pump_timer is None:
            self._pump()

    def _pump(self) -> None:
        self._pump_timer = None
        while self._outbox and self._socket is not None:
            wait = self._pace.delay(1)
            if wait > 0:
                loop = asyncio.get_running_loop()
                self._pump_timer = loop.call_later(self._clock.real(wait / 1e9), self._pump)
                return
            self._pace.spend(1)
            text = self._outbox.popleft()
            if self.writer is not None:
                self._write(self.writer.sent, self._clock.now(), text)
            self._socket.send(text)

    def _fetch(self, index: int) -> None:
        # One at a time per instrument: a session that lost patience with it is told when it ends.
        if index not in self._fetching:
            self._fetching[index] = asyncio.get_running_loop().create_task(self._snapshot(index))

    async def _snapshot(self, index: int) -> None:
        path = self.session.snapshot_path(index)
        self.totals.fetches += 1
        try:
            if path is None:
                raise FeedError(f"{self.facts.name}: expected a path of snapshots")
            body = await self._rest.get(path, weight=self.facts.rest_weight)
        except FeedError as error:
            self.totals.fetch_failures += 1
            log.warning("%s: snapshot of %s: %s", self.name, self.instruments[index].symbol, error)
            await self._clock.sleep(max(self._fetch_back_off[index].next(), FIRST_WAIT))
            del self._fetching[index]
            self.session.snapshot_failed(index)
            return
        del self._fetching[index]
        self._fetch_back_off[index].reset()
        if self._lost:
            self._admit_loss()
        now = self._clock.now()
        if self.writer is not None and not self._write(self.writer.rest, now, public(self._rest.base + path), body):
            return
        if not self.session.snapshot(now, index, body):
            self._note_faults(1)
        self._obey()
        self._hub.touched(self)

    def _settle(self) -> None:
        """Begin the back-off anew once a book is good, or data comes where no book is subscribed."""
        if any(map(self.session.is_synced, self.indices)) or (not self._has_book and self.session.totals[0] > 0):
            self._back_off.reset()

    # What whoever owns the connection asks of it.

    def tick(self) -> None:
        """Let time go by: about once a second."""
        now = self._clock.now()
        # What was not sent yet cannot be late.
        if self._socket is None or self._paused or self._outbox or now < self._quiet_until:
            return
        self.session.tick(now)
        self._settle()
        self._obey()

    def pause(self) -> None:
        """Stop reading: the reader is behind."""
        self._paused = True
        if self._socket is not None:
            self._socket.pause()

    def resume(self) -> None:
        """Read on. What came meanwhile waits in the network, so silence is counted a little later."""
        self._paused = False
        self._quiet_until = self._clock.now() + 2_000_000_000
        if self._socket is not None:
            self._socket.resume()

    async def run(self) -> None:
        """Keep the websocket open until `stop`."""
        while not self._stopping.is_set():
            wait = await self._once()
            if not self._stopping.is_set():
                log.info("%s: next attempt in %.3g s", self.name, wait)
                await self._rest_for(wait)

    async def _once(self) -> float:
        """Open the websocket, wait for its end, and give the seconds to wait before the next attempt."""
        await self._doors.acquire(1)
        if self._stopping.is_set():
            return 0.0
        self.totals.attempts += 1
        try:
            socket = await connect(self.address.ws, opened=self._opened, messages=self._messages, clock=self._clock)
        except RefusedError as error:
            self.totals.refused += 1
            self.reasons.append((self._clock.now(), f"refused ({error.status})"))
            log.warning("%s: %s", self.name, error)
            return max(self._back_off.next(), error.retry_after or 0.0)
        except FeedError as error:
            self.reasons.append((self._clock.now(), "not reached"))
            log.warning("%s: %s", self.name, error)
            return self._back_off.next()
        if self._stopping.is_set():
            socket.finish()
        reason = await socket.wait_closed()
        self._closed(reason)
        return self._back_off.next()

    async def _rest_for(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(self._clock.real(seconds)):
                await self._stopping.wait()
        except TimeoutError:
            pass

    def stop(self) -> None:
        """Ask the venue to close; what it sent before is still read. `run` ends then."""
        self._stopping.set()
        if self._socket is not None:
            self._socket.finish()

    def abort(self) -> None:
        """Close at once."""
        self._stopping.set()
        if self._socket is not None:
            self._socket.abort("stopped")

    def finish(self) -> Path | str | None:
        """End the file, if there is one, with what became of its data. Gives its path."""
        if self._socket is not None:
            self._closed("stopped")
        if self._pump_timer is not None:
            self._pump_timer.cancel()
        writer, self.writer = self.writer, None
        if writer is None:
            return None
        try:
            return writer.finish(json.dumps(self.about()))
        except (Error, OSError) as error:
            self._hub.failed(error)
            return None

    def tick_writer(self, now: int) -> Path | str | None:
        """Let the file write what it holds, if it is time. Gives the path of one that was ended, at the hour."""
        if self.writer is None:
            return None
        # What became of the data is wanted only at a file's end.
        about = "{}"
        if (hour := now // HOUR) != self._hour:
            self._hour, about = hour, json.dumps(self.about())
        try:
            return self.writer.tick(now, about)
        except (Error, OSError) as error:
            self.writer = None
            self._hub.failed(error)
            return None

    def about(self) -> dict[str, Any]:
        """Give what became of everything, for the file's end."""
        frames, errors, other = self.session.totals
        totals = self.totals
        return {
            "connection": self.name,
            "protocol": self.facts.name,
            "url": shown(self.address.ws),
            "frames": frames,
            "errors": errors,
            "other": other,
            "dropped": totals.dropped,
            "reconnects": self.reconnects,
            "closed": [{"time": when, "reason": reason} for when, reason in self.reasons],
            "streams": [{**row, "symbol": self.instruments[row["instrument"]].symbol} for row in self.session.counts()],
            "gaps": [
                {**row, "symbol": self.instruments[row["instrument"]].symbol}
                for row in self.session.gaps()[:LISTED_GAPS]
            ],
        }
