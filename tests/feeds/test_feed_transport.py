"""The websocket: batches, fragments, pings, ends."""

from __future__ import annotations

import asyncio
import json

import pytest
from small_exchange import Exchange, depth, until

from crossbook.feeds import Clock, FeedError, RefusedError
from crossbook.feeds.transport import Socket, connect


class Heard:
    def __init__(self) -> None:
        self.batches: list[tuple[int, list[bytes]]] = []
        self.opened = 0

    def on_open(self, socket: Socket) -> None:
        self.opened += 1
        socket.send("hello, I am long enough")

    def on_messages(self, ts: int, messages: list[bytes]) -> None:
        self.batches.append((ts, messages))

    @property
    def messages(self) -> list[bytes]:
        return [message for _, batch in self.batches for message in batch]

    async def connect(self, exchange: Exchange, *, clock: Clock | None = None) -> Socket:
        url = exchange.addresses["binance-spot"][0]
        assert url is not None
        return await connect(url, opened=self.on_open, messages=self.on_messages, clock=clock or Clock())


def test_what_one_read_brings_is_one_batch_with_one_time() -> None:
    async def run() -> None:
        async with Exchange(answers=False) as exchange:
            heard, clock = Heard(), Clock()
            before = clock.now()
            socket = await heard.connect(exchange, clock=clock)
            client = await exchange.client()
            texts = [depth(n) for n in range(100)]
            for text in texts:
                client.send(text)
            await until(lambda: len(heard.messages) == 100)
            assert heard.messages == [text.encode() for text in texts]
            assert len(heard.batches) < 100
            assert all(before < ts <= clock.now() for ts, _ in heard.batches)
            socket.finish()
            assert await socket.wait_closed() == "closed by us"

    asyncio.run(run())


def test_small_messages_and_binary_ones_are_messages_too() -> None:
    async def run() -> None:
        async with Exchange(answers=False) as exchange:
            heard = Heard()
            socket = await heard.connect(exchange)
            client = await exchange.client()
            client.send("pong")
            client.send("")
            client.open.send(2, b"\x00\x01")
            await until(lambda: len(heard.messages) == 3)
            assert heard.messages == [b"pong", b"", b"\x00\x01"]
            socket.finish()
            await socket.wait_closed()

    asyncio.run(run())


def test_a_message_in_fragments_comes_whole_and_a_ping_between_them_is_answered() -> None:
    async def run() -> None:
        async with Exchange(answers=False) as exchange:
            heard = Heard()
            socket = await heard.connect(exchange)
            client = await exchange.client()
            text = json.dumps({"levels": ["100.00"] * 2000})
            client.fragments(text, 1000)
            client.fragments("short one", 4)
            client.send(depth(1))
            await until(lambda: len(heard.messages) == 3)
            assert heard.messages == [text.encode(), b"short one", depth(1).encode()]
            await until(lambda: client.pongs == [b"between", b"between"])
            socket.finish()
            await socket.wait_closed()

    asyncio.run(run())


def test_a_snapshot_of_five_megabytes_comes_in_one_piece() -> None:
    async def run() -> None:
        async with Exchange(answers=False) as exchange:
            heard = Heard()
            socket = await heard.connect(exchange)
            client = await exchange.client()
            text = "x" * (5 << 20)
            client.send(text)
            client.send(depth(1))
            await until(lambda: len(heard.messages) == 2)
            assert heard.messages == [text.encode(), depth(1).encode()]
            socket.finish()
            await socket.wait_closed()

    asyncio.run(run())


def test_a_continuation_of_nothing_ends_the_connection() -> None:
    async def run() -> None:
        async with Exchange(answers=False) as exchange:
            heard = Heard()
            socket = await heard.connect(exchange)
            (await exchange.client()).open.send(0, b"rest of what")
            assert await socket.wait_closed() == "a fragment out of order"
            assert heard.messages == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda client: client.open.send_close(1012, b"maintenance"), "closed by the venue (1012): maintenance"),
        (lambda client: client.open.send_close(4001, b""), "closed by the venue (4001)"),
        (lambda client: client.open.disconnect(), "lost (1006)"),
        (lambda client: client.reset(), "lost (1006)"),
    ],
    ids=["close", "own code", "fin", "rst"],
)
def test_an_end_says_why(end: object, reason: str) -> None:
    async def run() -> None:
        async with Exchange(answers=False) as exchange:
            heard = Heard()
            socket = await heard.connect(exchange)
            client = await exchange.client()
            client.send(depth(1))
            await until(lambda: len(heard.messages) == 1)
            end(client)  # type: ignore[operator]
            assert await asyncio.wait_for(socket.wait_closed(), 5) == reason

    asyncio.run(run())


def test_what_breaks_the_protocol_ends_the_connection_and_says_why() -> None:
    async def run() -> None:
        async with Exchange(answers=False) as exchange:
            heard = Heard()
            socket = await heard.connect(exchange)
            client = await exchange.client()
            client.open.underlying_transport.write(b"\x83\x00")
            assert "invalid opcode" in await asyncio.wait_for(socket.wait_closed(), 5)

    asyncio.run(run())


def test_a_refused_handshake_gives_status_and_wait() -> None:
    async def run() -> None:
        async with Exchange(refuse=[(429, {"Retry-After": "7"}), (503, {})]) as exchange:
            for status, wait in ((429, 7.0), (503, None)):
                with pytest.raises(RefusedError) as refused:
                    await Heard().connect(exchange)
                assert (refused.value.status, refused.value.retry_after) == (status, wait)

    asyncio.run(run())


def test_a_server_that_is_not_there_or_says_nothing_is_an_error_that_names_it_without_its_parameters() -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    gone = asyncio.Event()

    async def run() -> None:
        silent = await asyncio.start_server(listen, "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        heard = Heard()
        try:
            for url, timeout in ((f"ws://127.0.0.1:{port}/x?token=secret", 0.0), ("ws://u:secret@127.0.0.1:1/x", 1.0)):
                with pytest.raises(FeedError, match=r"127\.0\.0\.1:\d+/x: expected a websocket") as error:
                    await connect(
                        url,
                        opened=heard.on_open,
                        messages=heard.on_messages,
                        clock=Clock(1000),
                        timeout=timeout,
                    )
                assert "secret" not in str(error.value)
            await asyncio.wait_for(gone.wait(), 5)
        finally:
            silent.close()
            await silent.wait_closed()

    asyncio.run(run())
