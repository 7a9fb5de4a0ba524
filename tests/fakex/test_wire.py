"""The fake exchange's sockets: HTTP and websocket as other people's clients understand them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from crossbook.errors import DataError
from crossbook.fakex.blast import Blaster, render
from crossbook.fakex.dialects import EXCHANGES
from crossbook.fakex.replay import ReplayServer, read
from crossbook.fakex.server import Server
from crossbook.feeds import Clock, stream

from . import soak, warp


async def exchange(clock: warp.WarpClock) -> None:
    market = EXCHANGES["okx"](1, now=clock.now())
    async with (
        Server(market, "okx", clock=clock) as server,
        aiohttp.ClientSession() as session,
        session.ws_connect(server.ws + "/ws/v5/public", max_msg_size=0) as socket,
    ):
        await socket.send_str("ping")
        assert (await socket.receive()).data == "pong"
        await socket.send_str('{"op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}')
        assert json.loads((await socket.receive()).data)["event"] == "subscribe"
        link = server.links[0]
        link.wire.fragment, link.wire.segment = 7, 3
        messages = [json.loads((await socket.receive()).data) for _ in range(6)]
        assert messages[0]["action"] == "snapshot"
        ids = [(one["data"][0]["prevSeqId"], one["data"][0]["seqId"]) for one in messages[1:]]
        assert [before for before, _ in ids[1:]] == [after for _, after in ids[:-1]]
        link.wire.fragment = link.wire.segment = 0
        link.connection.close = (1012, "restart")
        while (last := await socket.receive()).type == aiohttp.WSMsgType.TEXT:
            pass
        assert (last.type, last.data) == (aiohttp.WSMsgType.CLOSE, 1012)


def test_another_client_understands_fragments_in_many_segments_and_the_close() -> None:
    warp.run(exchange)


async def refusals(clock: warp.WarpClock) -> None:
    market = EXCHANGES["binance-spot"](1, now=clock.now())
    async with Server(market, "binance-spot", clock=clock) as server, aiohttp.ClientSession() as session:
        server.refusals.append((429, 7.0))
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(server.ws + "/stream")
        assert refused.value.status == 429
        assert refused.value.headers is not None
        assert refused.value.headers["Retry-After"] == "7"
        for _ in range(24):
            async with session.get(server.rest + "/api/v3/depth?symbol=BTCUSDT&limit=5000") as answer:
                assert answer.status == 200
        # 6,000 a minute at 250 each.
        async with session.get(server.rest + "/api/v3/depth?symbol=BTCUSDT&limit=5000") as answer:
            assert answer.status == 429
            assert answer.headers["Retry-After"] == "60"
        async with session.get(server.rest + "/nothing") as answer:
            assert answer.status == 404


def test_what_is_too_much_or_unwanted_is_refused() -> None:
    warp.run(refusals)


async def pings(clock: warp.WarpClock) -> None:
    market = EXCHANGES["binance-spot"](1, now=clock.now())
    async with (
        Server(market, "binance-spot", clock=clock) as server,
        aiohttp.ClientSession() as session,
        session.ws_connect(server.ws + "/stream", autoping=False) as socket,
    ):
        pinged = 0
        while (message := await socket.receive()).type == aiohttp.WSMsgType.PING:
            pinged += 1
        assert pinged >= 3
        assert message.type == aiohttp.WSMsgType.CLOSE
        assert message.data == 1008


def test_who_does_not_answer_pings_is_cut_off() -> None:
    warp.run(pings)


async def replayed(path: Path, instruments: list[object]) -> tuple[int, list[bool]]:
    recording = read([path])
    async with ReplayServer(recording, clock=Clock()) as server:
        addresses = {"kraken": (f"ws://127.0.0.1:{server.port}", f"http://127.0.0.1:{server.port}")}
        async with stream(instruments=instruments, addresses=addresses, channels=("book",)) as live:  # type: ignore[arg-type]
            async with asyncio.timeout(20):
                events = 0
                async for tape in live:
                    events += len(tape)
                    if server.served == len(recording.frames) and not live.waiting:
                        break
            return events, live.health()["synced"].to_list()


def test_a_real_capture_is_served_frame_by_frame(data: Path) -> None:
    import crossbook as xb

    path = data / "current-frames/kraken_book.jsonl"
    capture = xb.open(path)
    events, synced = asyncio.run(replayed(path, list(capture.instruments)))
    assert events == len(capture.tape())
    assert synced == [True]


def test_a_file_without_frames_is_no_capture(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="expected a capture with frames"):
        read([tmp_path / "empty.jsonl"])


async def blasted(frames: int) -> int:
    block = render("okx", frames=frames)
    async with Blaster(block) as blaster, stream(instruments=block.instruments, addresses=blaster.addresses) as live:
        async with asyncio.timeout(30):
            async for _ in live:
                if live.connections[0].totals.frames > 3 * frames:
                    break
        assert live.gaps().is_empty()
        assert live.is_synced()
        return live.connections[0].totals.frames


def test_a_block_is_served_over_and_over_without_a_gap() -> None:
    assert asyncio.run(blasted(2_000)) > 6_000


def test_a_soak_has_no_wrong_book_and_no_loss_that_is_not_marked() -> None:
    # Two minutes in CI, seconds elsewhere; a quarter of an hour by hand (`make slow`).
    seconds, rate = (120.0, 50_000) if os.environ.get("CI") == "true" else (6.0, 20_000)
    figures = asyncio.run(soak.soak(seconds, rate=rate, faults=4.0, seed=1))
    assert not figures["books_wrong"], figures
    assert not figures["books_unknown"], figures
    assert not figures["unwatched"], figures
    assert figures["gaps"]


def serve(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "import typer; from crossbook.fakex.cli import fakex; typer.run(fakex)"]
    return subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_serves_until_it_is_told_to_stop() -> None:
    with serve("kraken", "--fault", "drop", "--every", "0.2", "--scale", "10") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        ws = first.split()[0].removeprefix("CROSSBOOK_WS_KRAKEN=")

        async def look() -> None:
            async with aiohttp.ClientSession() as session, session.ws_connect(ws) as socket:
                await socket.send_str(
                    '{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":10}}'
                )
                async with asyncio.timeout(10):
                    kinds = [json.loads((await socket.receive()).data).get("type") for _ in range(4)]
                assert kinds[0] == "update"
                assert "snapshot" in kinds

        asyncio.run(look())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
        assert process.returncode == 0


def test_the_command_names_what_it_can_do() -> None:
    with serve("list") as process:
        out, _ = process.communicate(timeout=20)
    assert {line.split(":")[0] for line in out.splitlines()} == set(EXCHANGES)
    with serve("okx", "--fault", "list") as process:
        out, _ = process.communicate(timeout=20)
    assert "sequence-reset: ids begin anew, as this venue does it" in out
