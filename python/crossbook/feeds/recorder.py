"""Raw frames of live feeds to disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import TYPE_CHECKING, Any

from crossbook.feeds.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

DEADLINE = 10.0
"""A recorder that is told to stop has ended its files within so many seconds."""


class Recorder(Stream):
    """Records raw frames, received and sent, with their receive times, as they come: one file per connection and hour.

    Takes what `crossbook.feeds.stream` takes, and a folder `out`. The feed is followed as a stream follows it (what
    is lost is asked for again, and listed), but nobody reads the events. ``async with Recorder(...) as recorder:
    await recorder.run()`` records until a signal, or until the time is over.

    Files hold things in the order in which the engine saw them, so that they replay to the very same tapes.
    """

    _reads = False

    def __init__(self, names: Iterable[str] = (), *, out: str | Path, **options: Any) -> None:
        super().__init__(names, record=out, **options)
        self.out = out
        self.began = self.clock.now()
        self._stop: asyncio.Event | None = None
        self._forced = False

    @property
    def bytes_written(self) -> int:
        """Bytes on disk, of the files that are open."""
        writers = (connection.writer for connection in self.connections)
        return sum(writer.bytes_written for writer in writers if writer is not None)

    def stop(self) -> None:
        """Ask `run` to end; a second time: at once."""
        if self._stop is not None and self._stop.is_set():
            self._forced = True
            for connection in self.connections:
                connection.abort()
        elif self._stop is not None:
            self._stop.set()

    async def run(self, seconds: float | None = None, *, signals: bool = True) -> list[Path | str]:
        """Record until SIGINT or SIGTERM (if `signals`), `stop`, or for so many seconds. Gives the files.

        Raises `CaptureError` if a file cannot be written, such as on a full disk; everything before stays readable.
        """
        if self._loop is None:
            await self.start()
        self._stop = asyncio.Event()
        with self._signals() if signals else contextlib.nullcontext():
            ends = [asyncio.ensure_future(event.wait()) for event in (self._stop, self.broken)]
            timeout = None if seconds is None else self.clock.real(seconds)
            try:
                await asyncio.wait(ends, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for end in ends:
                    end.cancel()
                # From here on a signal is the second.
                self._stop.set()
                await self.close(deadline=0.0 if self._forced or self.error is not None else DEADLINE / 2)
        if self.error is not None:
            raise self.error
        return self.files

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        installed = []
        for number in (signal.SIGINT, signal.SIGTERM):
            # Not everywhere and not in every thread can signals be had; then whoever is there stops us.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self.stop)
                installed.append(number)
        try:
            yield
        finally:
            for number in installed:
                loop.remove_signal_handler(number)
