"""Live events of many instruments as one stream of tapes."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import polars as pl

from crossbook import _core
from crossbook.capture import GAPS
from crossbook.errors import DataError
from crossbook.feeds.addresses import address_of, facts_of, public
from crossbook.feeds.clock import Clock
from crossbook.feeds.connection import Connection, Policy, Writer
from crossbook.feeds.errors import FeedError
from crossbook.feeds.rest import Limiter, Request, Rests
from crossbook.feeds.symbols import Symbols

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from crossbook._core import Instrument, Tape
    from crossbook.feeds.addresses import Addresses

    WriterFactory = Callable[..., Writer]

log = logging.getLogger(__name__)

CHANNELS = ("book", "trades", "quotes")
QUEUE = 1_000_000
"""So many events may wait for the reader, some 55 bytes each."""
LINGER = 0.0005
"""So many seconds events may wait for others that come at the same time, so that tapes are not tiny."""
ROWS = 65_536
"""A connection with so many events gives them up at once."""
STALE_AFTER = 30.0
DOORS_PER_SECOND = 3
"""So many websockets are opened at one host within a second."""
FLUSH_EVERY = 0.25
TICK_EVERY = 1.0

HEALTH = {
    "venue": pl.String,
    "symbol": pl.String,
    "unified": pl.String,
    "connection": pl.String,
    "open": pl.Boolean,
    "synced": pl.Boolean,
    "stale": pl.Boolean,
    "age_s": pl.Float64,
    "messages": pl.UInt64,
    "gaps": pl.UInt64,
    "trade_gaps": pl.UInt64,
    "resyncs": pl.UInt64,
    "reconnects": pl.UInt64,
    "verified": pl.UInt64,
    "unverifiable": pl.UInt64,
    "repeated": pl.UInt64,
    "checksums": pl.UInt64,
    "checksum_failures": pl.UInt64,
    "latency_ms": pl.Float64,
}


class Stream:
    """Live events of some instruments. Make one with `stream`; read it with ``async for tape in …``.

    It opens as many connections as the venues' protocols ask for. Tapes come in the order in which they arrived,
    whatever connection they came from, and number the instruments as `instruments` does. At most `queue` events wait
    for the reader; then, by `on_full`, sockets are not read on (``block``), or frames are dropped, with a `Gap`
    flagged as ours where they are missing (``drop``).
    """

    _reads = True
    """Whether somebody reads the events."""

    def __init__(
        self,
        names: Iterable[str] = (),
        *,
        instruments: Sequence[Instrument] = (),
        channels: Sequence[str] = CHANNELS,
        depth: int = 0,
        addresses: Addresses | None = None,
        protocols: Mapping[str, str] | None = None,
        queue: int = QUEUE,
        on_full: Policy = "block",
        record: str | Path | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
        cache: str | Path | None = None,
        stale_after: float = STALE_AFTER,
        per_connection: int | None = None,
        linger: float = LINGER,
        writer: WriterFactory | None = None,
    ) -> None:
        if isinstance(names, str):
            raise DataError(f"names {names!r}: expected a list of names")
        if on_full not in ("block", "drop"):
            raise DataError(f"on_full {on_full!r}: expected block or drop")
        if queue < 1:
            raise DataError(f"queue {queue}: expected at least 1 event")
        self._names = tuple(names)
        self.instruments: list[Instrument] = list(instruments)
        if not self._names and not self.instruments:
            raise DataError("expected at least one name or instrument")
        self.channels = tuple(channels)
        self.depth = depth
        self.queue = queue
        self.on_full = on_full
        self.stale_after = stale_after
        self.clock = clock or Clock()
        self.connections: list[Connection] = []
        self.files: list[Path | str] = []
        """The files that were written, once they are closed."""
        self.full = False
        """Whether as many events as may wait are waiting."""
        self.rests = Rests(addresses=addresses, protocols=protocols, clock=self.clock)
        self._addresses = addresses
        self._protocols = protocols
        self._record = record
        self._writer = writer
        self._seed = seed
        self._cache = cache
        self._per_connection = per_connection
        self._linger = linger
        self._tapes: deque[Tape] = deque()
        self._rows = 0
        self._waiting: asyncio.Future[None] | None = None
        self._dirty: dict[Connection, None] = {}
        self._fresh = False
        self._turning = False
        self._flushed = 0.0
        self._latest: dict[Connection, Tape] = {}
        self._latency: dict[int, float] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._error: BaseException | None = None
        self._broken: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = False
        self._ended = False

    # From the start to the end.

    async def start(self) -> None:
        """Find the instruments and begin to connect. Raises what is wrong with names or addresses."""
        if self._loop is not None:
            raise FeedError("expected a stream that was not started before")
        self._loop = asyncio.get_running_loop()
        self._broken = asyncio.Event()
        try:
            if self._names:
                symbols = Symbols(self.rests, addresses=self._addresses, protocols=self._protocols, cache=self._cache)
                known = {(one.venue, one.symbol) for one in self.instruments}
                resolved = await symbols.resolve(self._names)
                self.instruments += [one for one in resolved if (one.venue, one.symbol) not in known]
            self._connect()
        except BaseException:
            self._finish_files()
            await self.rests.close()
            self._ended = True
            raise
        for connection in self.connections:
            self._run(connection.run(), connection.name)
        self._run(self._tend(), "tend")

    def _connect(self) -> None:
        by_venue: dict[str, list[int]] = {}
        for index, instrument in enumerate(self.instruments):
            by_venue.setdefault(instrument.venue, []).append(index)
        doors: dict[str, Limiter] = {}
        seed = random.randrange(1 << 62) if self._seed is None else self._seed
        for venue, indices in by_venue.items():
            facts = facts_of(venue, self._protocols)
            address = address_of(facts, self._addresses)
            host = urlsplit(address.ws).netloc
            door = doors.setdefault(host, Limiter(DOORS_PER_SECOND, window=1.0, clock=self.clock))
            size = self._per_connection or facts.per_connection
            for at in range(0, len(indices), size):
                number = len(self.connections)
                mine = indices[at : at + size]
                connection = Connection(
                    number,
                    facts,
                    address,
                    instruments=self.instruments,
                    indices=mine,
                    channels=self.channels,
                    depth=self.depth,
                    rest=self.rests.of(venue),
                    doors=door,
                    clock=self.clock,
                    # As text: a seed of numbers would need a rule of its own.
                    rng=random.Random(f"{seed}/{number}"),
                    hub=self,
                    on_full=self.on_full,
                )
                self.connections.append(connection)
                if self._record is not None:
                    connection.writer = self._open_writer(connection, mine)

    def _open_writer(self, connection: Connection, indices: Sequence[int]) -> Writer:
        folder = Path(str(self._record))
        folder.mkdir(parents=True, exist_ok=True)
        writer: Writer = (self._writer or _core.CaptureWriter)(
            folder,
            connection.facts.venue,
            connection.facts.name,
            str(connection.number),
            public(connection.address.ws),
            [self.instruments[index] for index in indices],
            list(self.channels),
            self.depth,
            self.clock.now(),
        )
        return writer

    def _run(self, work: Any, name: str) -> None:
        assert self._loop is not None
        task: asyncio.Task[None] = self._loop.create_task(work, name=f"crossbook {name}")
        task.add_done_callback(self._task_done)
        self._tasks.append(task)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed(error)

    async def _tend(self) -> None:
        """Let time go by for files and connections."""
        ticked = 0
        while True:
            await self.clock.sleep(FLUSH_EVERY)
            now = self.clock.now()
            for connection in self.connections:
                if (path := connection.tick_writer(now)) is not None:
                    self.files.append(path)
            if now - ticked >= TICK_EVERY * 1e9:
                ticked = now
                for connection in self.connections:
                    connection.tick()
                self._sample()

    async def close(self, *, deadline: float = 5.0) -> None:
        """Close the websockets, take what was still under way, end the files. Takes `deadline` real seconds at most.

        Tapes that wait can still be read. Raises nothing that went wrong before: reading does.
        """
        if self._loop is None or self._ended:
            self._ended = True
            return
        if not self._ending:
            self._ending = True
            self._set_full(False)
            for connection in self.connections:
                connection.stop()
            runs = self._tasks[: len(self.connections)]
            if runs and deadline > 0:
                await asyncio.wait(runs, timeout=deadline)
            for connection in self.connections:
                connection.abort()
            if runs:
                await asyncio.wait(runs, timeout=0.5)
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
            # What was cancelled closes its sockets in the next turns of the event loop.
            for _ in range(3):
                await asyncio.sleep(0)
            self._flush()
            self._finish_files()
            await self.rests.close()
            self._ended = True
            self._wake()

    def _finish_files(self) -> None:
        for connection in self.connections:
            if (path := connection.finish()) is not None:
                self.files.append(path)

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    # What connections ask of a hub.

    def touched(self, connection: Connection, /) -> None:
        """There may be events to take."""
        assert self._loop is not None
        self._dirty[connection] = None
        self._fresh = True
        if self._turning:
            if connection.session.pending >= ROWS:
                self._flush()
        elif self._loop.time() - self._flushed >= self._linger:
            self._flush()
        else:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Flush when a turn of the event loop brought nothing more, or after `linger`.

        No timer: those of the event loop are a millisecond or two late.
        """
        assert self._loop is not None
        if self._fresh and self._loop.time() - self._flushed < self._linger:
            self._fresh = False
            self._loop.call_soon(self._turn)
        else:
            self._turning = False
            self._flush()

    def failed(self, error: BaseException, /) -> None:
        """It cannot go on: the reader gets the error, `broken` is set."""
        if self._error is None:
            self._error = error
            log.error("%s", error)
        if self._broken is not None:
            self._broken.set()
        for connection in self.connections:
            connection.abort()
        self._wake()

    @property
    def broken(self) -> asyncio.Event:
        """Set when it cannot go on."""
        assert self._broken is not None
        return self._broken

    @property
    def error(self) -> BaseException | None:
        """Why it cannot go on, if so."""
        return self._error

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for connection in dirty:
            tape = connection.take()
            if tape is None:
                continue
            self._latest[connection] = tape
            if self._reads:
                self._tapes.append(tape)
                self._rows += len(tape)
        assert self._loop is not None
        self._flushed = self._loop.time()
        if self._tapes:
            if self._rows >= self.queue and not self.full and not self._ending:
                self._set_full(True)
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _set_full(self, full: bool) -> None:
        if self.full == full:
            return
        self.full = full
        if self.on_full == "block":
            for connection in self.connections:
                if full:
                    connection.pause()
                else:
                    connection.resume()

    # Reading.

    def __aiter__(self) -> AsyncIterator[Tape]:
        """Read; a stream that was not started is, and is closed at the end."""
        return self._alone() if self._loop is None else self

    async def _alone(self) -> AsyncIterator[Tape]:
        async with self:
            while True:
                try:
                    yield await self.__anext__()
                except StopAsyncIteration:
                    return

    async def __anext__(self) -> Tape:
        """Give the next tape. Raises what went wrong, after everything before it was read."""
        while not self._tapes:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            assert self._loop is not None
            self._waiting = self._loop.create_future()
            await self._waiting
        tape = self._tapes.popleft()
        self._rows -= len(tape)
        if self.full and self._rows <= self.queue // 2:
            self._set_full(False)
        return tape

    @property
    def waiting(self) -> int:
        """How many events wait for the reader."""
        return self._rows

    # What became of it.

    @property
    def rest_log(self) -> list[Request]:
        """The REST requests so far, the newest hundred thousand."""
        return list(self.rests.log)

    def is_synced(self) -> bool:
        """Whether every book is good."""
        return all(
            connection.session.is_synced(index) for connection in self.connections for index in connection.indices
        )

    def gaps(self) -> pl.DataFrame:
        """List what was missing so far, as `crossbook.Capture.gaps` does; `file` is the connection."""
        rows = [
            {
                **row,
                "file": connection.name,
                "venue": self.instruments[row["instrument"]].venue,
                "symbol": self.instruments[row["instrument"]].symbol,
            }
            for connection in self.connections
            for row in connection.session.gaps()
        ]
        return pl.DataFrame(rows, schema=GAPS)

    def faults(self) -> list[str]:
        """List the frames that could not be used, the newest thousand of each connection."""
        return [f"{connection.name}: {fault}" for connection in self.connections for fault in connection.faults]

    def health(self) -> pl.DataFrame:
        """Tell of each instrument how it is: one row each.

        `age_s` is the time since its last message, or since the start; `stale` that this is more than `stale_after` or
        that its connection is not open; `messages` all messages that were about it; `latency_ms` the median of receive
        time minus exchange time in its latest tape, clocks as they are.
        """
        now = self.clock.now()
        rows = []
        for connection in self.connections:
            for row in connection.session.counts():
                instrument = self.instruments[row["instrument"]]
                last = row["last"] or connection.began
                age = max(0.0, (now - last) / 1e9)
                rows.append(
                    {
                        **{name: row[name] for name in HEALTH if name in row},
                        "venue": instrument.venue,
                        "symbol": instrument.symbol,
                        "unified": instrument.unified,
                        "connection": connection.name,
                        "open": connection.is_open,
                        "stale": age > self.stale_after or not connection.is_open,
                        "age_s": age,
                        "messages": sum(row[name] for name in MESSAGES),
                        "reconnects": connection.reconnects,
                        "latency_ms": self._latency.get(row["instrument"]),
                    }
                )
        return pl.DataFrame(rows, schema=HEALTH)

    def _sample(self) -> None:
        """Measure how late the latest events are."""
        latest, self._latest = self._latest, {}
        for tape in latest.values():
            about = (
                tape[-SAMPLE:]
                .to_polars()
                .filter(pl.col("ts_event") > 0, pl.col("flags") & (SNAPSHOT | REPLAYED) == 0)
                .group_by("instrument")
                .agg(((pl.col("ts_recv") - pl.col("ts_event")) / 1e6).median())
            )
            self._latency.update(about.rows())


SNAPSHOT, REPLAYED = 2, 16
"""Flags of events that are as old as the venue pleases."""
SAMPLE = 1000
MESSAGES = ("depth", "held", "snapshots", "quotes", "trades", "marks", "repeated")


def stream(
    names: Iterable[str] = (),
    *,
    instruments: Sequence[Instrument] = (),
    channels: Sequence[str] = CHANNELS,
    depth: int = 0,
    addresses: Addresses | None = None,
    protocols: Mapping[str, str] | None = None,
    queue: int = QUEUE,
    on_full: Policy = "block",
    record: str | Path | None = None,
    clock: Clock | None = None,
    seed: int | None = None,
    cache: str | Path | None = None,
    stale_after: float = STALE_AFTER,
    per_connection: int | None = None,
    linger: float = LINGER,
) -> Stream:
    """Stream live events: ``async with stream(["binance:BTC-USDT"]) as live: async for tape in live: …``.

    `names` are resolved against the venues' lists of instruments (see `crossbook.feeds.Symbols`), which are kept in
    the folder `cache`; `instruments` need no list. `channels` are of ``book, trades, quotes, marks``; `depth` 0 is the
    protocol's own. `addresses` gives venues other addresses, as ``{venue: (websocket, REST)}``, `protocols` other
    protocols than today's. At most `queue` events wait for the reader; `on_full` says what happens then. `record` is a
    folder for the raw frames. `seed` fixes the jitter of reconnects.
    """
    return Stream(
        names,
        instruments=instruments,
        channels=channels,
        depth=depth,
        addresses=addresses,
        protocols=protocols,
        queue=queue,
        on_full=on_full,
        record=record,
        clock=clock,
        seed=seed,
        cache=cache,
        stale_after=stale_after,
        per_connection=per_connection,
        linger=linger,
    )
