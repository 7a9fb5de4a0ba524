"""An event loop that does not wait: where nothing is ready, its clock leaps to the next timer.

Sockets are real; only the time between their messages is not. A machine that stalls does not make a venue look silent,
and a minute of the venue takes as long as its work.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from crossbook.feeds import Clock

T = TypeVar("T")
START = 1_787_612_486_096_000_000


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    loop: WarpLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready or timeout == 0:
            return ready
        # The kernel may still be carrying what was just written: give it the processor once. (Its own timeouts are no
        # shorter than a millisecond.)
        time.sleep(0)
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            return super().select(1.0)
        self.loop.warped += timeout
        return []


class WarpLoop(asyncio.SelectorEventLoop):
    """The loop; `warped` is its clock in seconds."""

    def __init__(self) -> None:
        self.warped = 0.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Give the loop's own time."""
        return self.warped


class WarpClock(Clock):
    """The clock of such a loop."""

    __slots__ = ("loop",)

    def __init__(self, loop: WarpLoop) -> None:
        super().__init__(1.0)
        self.loop = loop
        self.now: Callable[[], int] = self._warped

    def _warped(self) -> int:
        return START + round(self.loop.warped * 1e9)


def run(work: Callable[[WarpClock], Coroutine[Any, Any, T]], *, real_seconds: float = 60.0) -> T:
    """Run some work on a loop of its own; it must end within so many real seconds."""
    loop = WarpLoop()
    end = time.monotonic() + real_seconds

    async def watched() -> T:
        task = loop.create_task(work(WarpClock(loop)))
        while not task.done():
            if time.monotonic() > end:
                task.cancel()
                raise TimeoutError(f"not done within {real_seconds} s")
            await asyncio.wait([task], timeout=30.0)
        return task.result()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(watched())
