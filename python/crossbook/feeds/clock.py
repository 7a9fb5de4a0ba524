"""The clock that a feed lives by."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from crossbook.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """Our clock: ns since the epoch, and sleeping by it. With a `scale` it runs that many times faster than real time.

    A scaled clock begins at the real time and never runs backwards; the real one (scale 1) is the system's own.
    """

    __slots__ = ("_begin", "_monotonic", "now", "scale")

    def __init__(self, scale: float = 1.0) -> None:
        if not 0 < scale <= 1_000_000:
            raise DataError(f"clock scale {scale}: expected a number above 0 and at most 1,000,000")
        self.scale = scale
        self._begin, self._monotonic = time.time_ns(), time.monotonic_ns()
        # A plain attribute: it is called once for every read of a socket.
        self.now: Callable[[], int] = time.time_ns if scale == 1.0 else self._scaled

    def _scaled(self) -> int:
        return self._begin + round((time.monotonic_ns() - self._monotonic) * self.scale)

    def real(self, seconds: float, *, least: float = 0.0) -> float:
        """Give how many real seconds these seconds of the clock are, `least` at least."""
        return max(seconds / self.scale, least)

    async def sleep(self, seconds: float) -> None:
        """Sleep so many seconds of this clock."""
        await asyncio.sleep(self.real(seconds))
