"""REST: budgets, turns, and the venue's word to wait."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from aiohttp import web
from small_exchange import Exchange

from crossbook.feeds import Clock, FeedError, RefusedError
from crossbook.feeds.connection import BackOff
from crossbook.feeds.rest import Limiter, Rest, Rests, retry_after

FAST = 200.0


@pytest.mark.parametrize(
    ("text", "seconds"), [("3", 3.0), ("0.5", 0.5), ("-1", 0.0), ("1e9", 3600.0), ("soon", None), (None, None)]
)
def test_retry_after_is_seconds_or_nothing(text: str | None, seconds: float | None) -> None:
    assert retry_after(text, 0) == seconds


def test_retry_after_may_be_a_date() -> None:
    now = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
    assert retry_after(format_datetime(now.replace(second=30), usegmt=True), int(now.timestamp()) * 10**9) == 30.0


def test_no_window_holds_more_than_the_budget_and_nobody_overtakes() -> None:
    async def run() -> None:
        clock = Clock(FAST)
        limiter = Limiter(10, window=5.0, clock=clock)
        rng = random.Random(4)
        weights = [rng.randint(1, 6) for _ in range(20)]
        passed: list[tuple[int, int, int]] = []

        async def one(number: int) -> None:
            await limiter.acquire(weights[number])
            passed.append((clock.now(), number, weights[number]))

        await asyncio.gather(*(one(number) for number in range(len(weights))))
        assert [number for _, number, _ in passed] == list(range(len(weights)))
        for at, _, _ in passed:
            # The time is taken a little after the weight was spent: that much slack.
            assert sum(weight for ts, _, weight in passed if at <= ts < at + 4.5e9) <= 10
        assert limiter.waiting == 0

    asyncio.run(run())


def test_something_heavier_than_the_budget_goes_alone() -> None:
    async def run() -> None:
        clock = Clock(FAST)
        limiter = Limiter(10, window=5.0, clock=clock)
        await limiter.acquire(25)
        assert limiter.used == 25
        assert limiter.delay(1) > 0
        await limiter.acquire(25)
        assert limiter.used == 25

    asyncio.run(run())


def test_the_first_retry_is_immediate_and_waits_double_to_a_cap_with_jitter_from_the_seed() -> None:
    waits = []
    for _ in range(2):
        back_off = BackOff(random.Random(9))
        waits.append([back_off.next() for _ in range(12)])
        back_off.reset()
        assert back_off.next() == 0.0
    assert waits[0] == waits[1]
    assert waits[0][0] == 0.0
    for attempt, wait in enumerate(waits[0][1:]):
        most = min(0.25 * 2**attempt, 30.0)
        assert most / 2 <= wait <= most


def test_every_request_is_logged_with_its_weight_and_status() -> None:
    async def run() -> None:
        async with Exchange(snapshot_statuses=[(200, {}), (400, {})]) as exchange:
            rests = Rests(addresses=exchange.addresses, clock=Clock())
            rest = rests.of("binance-spot")
            path = "/api/v3/depth?symbol=BTCUSDT&limit=5000"
            await rest.get(path, weight=250)
            with pytest.raises(RefusedError, match="status 400"):
                await rest.get(path, weight=250)
            assert [(one.url, one.weight, one.status) for one in rests.log] == [
                (rest.base + path, 250, 200),
                (rest.base + path, 250, 400),
            ]
            assert rest.limiter.used == 500
            assert rests.of("binance-spot") is rest
            await rests.close()

    asyncio.run(run())


@pytest.mark.parametrize("status", [418, 429, 503])
def test_a_word_to_wait_holds_for_every_later_request(status: int) -> None:
    async def run() -> None:
        clock = Clock(FAST)
        async with Exchange(snapshot_statuses=[(status, {"Retry-After": "20"})]) as exchange:
            rests = Rests(addresses=exchange.addresses, clock=clock)
            rest = rests.of("binance-spot")
            with pytest.raises(RefusedError) as refused:
                await rest.get("/api/v3/depth?symbol=BTCUSDT", weight=1)
            assert refused.value.retry_after == 20.0
            await rest.get("/api/v3/depth?symbol=ETHUSDT", weight=1)
            first, second = rests.log
            assert second.time - first.time >= 20e9
            await rests.close()

    asyncio.run(run())


def test_a_path_that_begins_with_post_is_posted() -> None:
    async def run() -> None:
        heard: list[tuple[str, object]] = []

        async def info(request: web.Request) -> web.Response:
            heard.append((request.headers["Content-Type"], await request.json()))
            return web.Response(body=b"[]")

        app = web.Application()
        app.router.add_post("/info", info)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        rests = Rests(addresses={"binance-spot": (None, base)}, clock=Clock())
        assert await rests.of("binance-spot").get('POST /info {"type": "meta"}', weight=1) == b"[]"
        assert heard == [("application/json", {"type": "meta"})]
        await rests.close()
        await runner.cleanup()

    asyncio.run(run())


def test_no_answer_is_an_error_without_what_is_private() -> None:
    async def run() -> None:
        rests = Rests(addresses={"binance-spot": (None, "http://me:secret@127.0.0.1:1")}, clock=Clock())
        rest: Rest = rests.of("binance-spot")
        with pytest.raises(FeedError, match=r"http://127\.0\.0\.1:1/x: expected an answer") as error:
            await rest.get("/x?signature=secret", weight=1)
        assert "secret" not in str(error.value)
        assert rests.log[0].status == 0
        assert "me:" not in rests.log[0].url
        await rests.close()

    asyncio.run(run())
