"""For machines: metrics, and whether all is well."""

from __future__ import annotations

import asyncio
import re

import aiohttp
from small_exchange import Exchange, depth, until
from test_feed_stream import opened

from crossbook.feeds import Clock, Health
from crossbook.feeds.stream import Stream


async def fetched(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


def test_metrics_are_prometheus_text_with_what_happened() -> None:
    async def run() -> None:
        async with Exchange() as exchange, opened(exchange) as live, Health(live, port=0) as health:
            client = await exchange.client()
            client.send(depth(101))
            await until(live.is_synced)
            client.send(depth(105))
            await until(lambda: live.gaps().height == 1)
            status, text = await fetched(f"{health.url}/metrics")
            assert status == 200
            stream = 'venue="binance-spot",symbol="BTCUSDT",connection="binance-spot-0"'
            for line in (
                'crossbook_open{connection="binance-spot-0",venue="binance-spot"} 1',
                'crossbook_frames_total{connection="binance-spot-0",venue="binance-spot"} 3',
                f"crossbook_synced{{{stream}}} 0",
                f"crossbook_verified_total{{{stream}}} 1",
                'symbol="BTCUSDT",cause="sequence",unit="updates",ours="false"} 1',
                'crossbook_rest_requests_total{venue="binance-spot",status="200"} ',
                "crossbook_queue_limit_events 1000000",
            ):
                assert line in text
            sample = re.compile(r'crossbook_[a-z_]+(\{([a-z]+="([^"\\\n]|\\.)*",?)+\})? [-+.e\d]+')
            about = re.compile(r"# (HELP|TYPE) crossbook_[a-z_]+ .+")
            assert all(sample.fullmatch(line) or about.fullmatch(line) for line in text.splitlines())
            names = re.findall(r"# TYPE (\S+)", text)
            assert len(names) == len(set(names))

    asyncio.run(run())


def test_healthz_is_well_while_data_comes_and_names_what_is_stale() -> None:
    async def look(live: Stream, health: Health, expected: int) -> str:
        while True:
            status, text = await fetched(f"{health.url}/healthz")
            if status == expected:
                return text

    async def run() -> None:
        async with (
            Exchange() as exchange,
            opened(exchange, "BTCUSDT", "ETHUSDT", clock=Clock(20), stale_after=10.0) as live,
            Health(live, port=0) as health,
        ):
            client = await exchange.client()
            client.send(depth(101))
            client.send(depth(101, symbol="ETHUSDT"))
            await until(live.is_synced)
            assert '"status": "ok"' in await asyncio.wait_for(look(live, health, 200), 5)
            feeding = asyncio.ensure_future(feed(client.send))
            text = await asyncio.wait_for(look(live, health, 503), 5)
            assert "binance-spot:ETHUSDT" in text
            assert "silent for" in text
            assert "BTCUSDT" not in text
            feeding.cancel()
            exchange.refuse = [(503, {})] * 1000
            client.reset()
            await until(lambda: not live.connections[0].is_open)
            assert "not connected" in (await fetched(f"{health.url}/healthz"))[1]

    async def feed(send: object) -> None:
        last = 101
        while True:
            last += 1
            send(depth(last))  # type: ignore[operator]
            await asyncio.sleep(0.01)

    asyncio.run(run())


def test_it_listens_on_loopback_alone() -> None:
    async def run() -> None:
        async with Exchange() as exchange, opened(exchange) as live, Health(live, port=0) as health:
            assert health.url.startswith("http://127.0.0.1:")

    asyncio.run(run())
