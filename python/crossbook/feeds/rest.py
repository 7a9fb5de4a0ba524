"""REST through a limiter: what a venue allows is never exceeded, and its word to wait is kept."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

import aiohttp

from crossbook import __version__
from crossbook.feeds.addresses import address_of, facts_of, public, shown
from crossbook.feeds.errors import FeedError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossbook.feeds.addresses import Addresses
    from crossbook.feeds.clock import Clock

log = logging.getLogger(__name__)

MAX_BODY = 64 << 20
"""A longer answer is refused."""
WAIT_STATUSES = (418, 429, 503)
"""What venues answer when we are to wait."""
LONGEST_WAIT = 3600.0
HEADERS = {"User-Agent": f"crossbook/{__version__}"}
LOGGED = 100_000
"""So many requests are remembered."""


def retry_after(text: str | None, now: int) -> float | None:
    """Give the seconds that a ``Retry-After`` header asks for, from a number or a date; None where it says neither."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now / 1e9
        except ValueError:
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT)


class Limiter:
    """At most `budget` of weight within any `window` seconds; who comes first is served first."""

    def __init__(self, budget: int, *, window: float, clock: Clock) -> None:
        self.budget = budget
        self.waiting = 0
        self._window = round(window * 1e9)
        self._clock = clock
        self._spent: deque[tuple[int, int]] = deque()
        self._sum = 0
        self._not_before = 0
        self._turn = asyncio.Lock()

    @property
    def used(self) -> int:
        """What was spent within the window that ends now."""
        self._forget(self._clock.now())
        return self._sum

    def _forget(self, now: int) -> None:
        while self._spent and self._spent[0][0] <= now - self._window:
            self._sum -= self._spent.popleft()[1]

    def wait_until(self, time: int) -> None:
        """Let nobody pass before this time (ns)."""
        self._not_before = max(self._not_before, time)

    def delay(self, weight: int) -> int:
        """Give the ns until so much may be spent, 0 if now, as far as is known now."""
        now = self._clock.now()
        self._forget(now)
        wait = self._not_before - now
        # Something heavier than the whole budget goes when nothing else was spent.
        if self._spent and self._sum + weight > self.budget:
            wait = max(wait, self._spent[0][0] + self._window - now)
        return max(wait, 0)

    def spend(self, weight: int) -> None:
        """Note that so much is spent now."""
        self._spent.append((self._clock.now(), weight))
        self._sum += weight

    async def acquire(self, weight: int) -> None:
        """Wait for one's turn and for the budget, then spend."""
        self.waiting += 1
        try:
            async with self._turn:
                while (wait := self.delay(weight)) > 0:
                    await self._clock.sleep(wait / 1e9)
                self.spend(weight)
        finally:
            self.waiting -= 1


class Request(NamedTuple):
    """One REST request: when it was sent (ns), where to, its weight, and the answer's status (0: none came)."""

    time: int
    url: str
    weight: int
    status: int


class Rest:
    """One venue's REST server. Every request goes through its limiter and into `log`."""

    SHARE = 0.9
    """So much of what a venue allows is used: the rest is for whoever shares our address."""
    WINDOW = 63.0
    """A minute, and what a request may be under way: the venue counts when it arrives."""

    def __init__(
        self, base: str, *, per_minute: int, clock: Clock, session: aiohttp.ClientSession, log: deque[Request]
    ) -> None:
        self.base = base
        self.limiter = Limiter(max(1, int(per_minute * self.SHARE)), window=self.WINDOW, clock=clock)
        self._clock = clock
        self._session = session
        self._log = log
        self._refusals = 0
        self.statuses: Counter[int] = Counter()
        """How many requests ended with each status; 0: no answer came."""

    async def get(self, path: str, *, weight: int) -> bytes:
        """Fetch what a path stands for; ``POST /path body`` posts the body.

        Raises `RefusedError` for any status but 200, and `FeedError` if no answer came. Where the venue says to wait,
        every later request waits.
        """
        method, body = "GET", None
        if path.startswith("POST "):
            method, path, body = path.split(" ", 2)
        url = self.base + path
        await self.limiter.acquire(weight)
        time, status = self._clock.now(), 0
        timeout = aiohttp.ClientTimeout(total=self._clock.real(55, least=5.0), connect=self._clock.real(10, least=2.0))
        headers = {"Content-Type": "application/json"} if body else None
        try:
            async with self._session.request(method, url, data=body, headers=headers, timeout=timeout) as answer:
                status = answer.status
                if status != 200:
                    raise self._refused(url, answer)
                chunks, size = [], 0
                async for chunk in answer.content.iter_any():
                    chunks.append(chunk)
                    if (size := size + len(chunk)) > MAX_BODY:
                        raise FeedError(f"{shown(url)}: expected an answer of at most {MAX_BODY >> 20} MiB")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
            raise FeedError(f"{shown(url)}: expected an answer: {reason}") from error
        finally:
            self.statuses[status] += 1
            self._log.append(Request(time, public(url), weight, status))
        self._refusals = 0
        return b"".join(chunks)

    def _refused(self, url: str, answer: aiohttp.ClientResponse) -> RefusedError:
        now = self._clock.now()
        wait = None
        if answer.status in WAIT_STATUSES:
            wait = retry_after(answer.headers.get("Retry-After"), now)
            if wait is None:
                wait = min(2.0**self._refusals, 60.0)
            self._refusals += 1
            self.limiter.wait_until(now + round(wait * 1e9))
            log.warning("%s: status %d, no request for %.3g s", shown(url), answer.status, wait)
        return RefusedError(f"{shown(url)}: status {answer.status}", status=answer.status, retry_after=wait)


class Rests:
    """The REST servers of all venues: each has one limiter, whoever asks. Use it as a context manager."""

    def __init__(
        self, *, addresses: Addresses | None = None, protocols: Mapping[str, str] | None = None, clock: Clock
    ) -> None:
        self.log: deque[Request] = deque(maxlen=LOGGED)
        self._addresses = addresses
        self._protocols = protocols
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._open: dict[str, Rest] = {}

    def of(self, venue: str) -> Rest:
        """Give a venue's."""
        if venue not in self._open:
            if self._session is None:
                self._session = aiohttp.ClientSession(headers=HEADERS)
            facts = facts_of(venue, self._protocols)
            self._open[venue] = Rest(
                address_of(facts, self._addresses).rest,
                per_minute=facts.rest_per_minute,
                clock=self._clock,
                session=self._session,
                log=self.log,
            )
        return self._open[venue]

    @property
    def opened(self) -> dict[str, Rest]:
        """Those that were asked for so far, by venue."""
        return self._open

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
