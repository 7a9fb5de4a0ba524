"""Live streams: subscribe, synchronise, lose, come back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import polars as pl
import pytest
from small_exchange import SYMBOLS, Exchange, depth, instrument, until

import crossbook as xb
from crossbook.errors import DataError
from crossbook.feeds import Clock, Stream, stream

LEVEL, GAP, CLEAR = 1, 13, 0
OURS = 4
FAST = 50.0


class Reader:
    """Reads a stream to its end beside the test."""

    def __init__(self, live: Stream) -> None:
        self.tapes: list[xb.Tape] = []
        self._task = asyncio.ensure_future(self._read(live))

    async def _read(self, live: Stream) -> None:
        async for tape in live:
            self.tapes.append(tape)

    async def done(self) -> None:
        await asyncio.wait_for(self._task, 5)

    @property
    def events(self) -> pl.DataFrame:
        assert self.tapes
        return xb.Tape.concat(self.tapes).to_polars()

    def count(self, kind: int) -> int:
        return self.events.filter(pl.col("kind") == kind).height if self.tapes else 0


def opened(exchange: Exchange, *symbols: str, **options: object) -> Stream:
    options = {"channels": ("book",), "clock": Clock(FAST), "seed": 5, "linger": 0.0, **options}
    instruments = [instrument(symbol) for symbol in symbols or ("BTCUSDT",)]
    return stream(instruments=instruments, addresses=exchange.addresses, **options)  # type: ignore[arg-type]


def test_names_are_resolved_subscribed_and_synchronised(tmp_path: object) -> None:
    async def run() -> None:
        async with Exchange() as exchange:
            live = stream(
                ["binance:BTC-USDT", "binance-spot:ETHUSDT"],
                addresses=exchange.addresses,
                cache=tmp_path,  # type: ignore[arg-type]
                channels=("book", "trades"),
            )
            async with live:
                reader = Reader(live)
                client = await exchange.client()
                assert client.texts == [
                    '{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms","btcusdt@trade",'
                    '"ethusdt@depth@100ms","ethusdt@trade"],"id":1}'
                ]
                assert [one.unified for one in live.instruments] == ["BTC-USDT", "ETH-USDT"]
                for symbol in ("BTCUSDT", "ETHUSDT"):
                    client.send(depth(101, symbol=symbol))
                await until(live.is_synced)
                client.send(depth(102, symbol="ETHUSDT"))
                await until(lambda: reader.count(LEVEL) == 2 * 3 + 1)
                assert live.gaps().is_empty()
            await reader.done()
            events = reader.events.filter(pl.col("kind") == CLEAR)
            assert sorted(events["instrument"]) == [0, 1]

    asyncio.run(run())


def test_a_stream_starts_and_closes_itself_when_it_is_only_iterated() -> None:
    async def run() -> None:
        async with Exchange() as exchange:
            live = opened(exchange)
            ask = asyncio.ensure_future(exchange.client())
            ask.add_done_callback(lambda task: task.result().send(depth(101)))
            tapes = live.__aiter__()
            first = await asyncio.wait_for(anext(tapes), 5)
            assert len(first) > 0
            await tapes.aclose()  # type: ignore[attr-defined]
            await until(lambda: exchange.clients[0].gone)

    asyncio.run(run())


def test_a_venue_with_many_instruments_gets_several_connections_and_one_numbering() -> None:
    async def run() -> None:
        async with Exchange() as exchange, opened(exchange, *SYMBOLS, per_connection=1) as live:
            reader = Reader(live)
            await exchange.client(3)
            assert [connection.indices for connection in live.connections] == [(0,), (1,), (2,)]
            for client in exchange.clients:
                symbol = client.texts[0].split('"')[7].split("@")[0].upper()
                client.send(depth(101, symbol=symbol))
            await until(live.is_synced)
            await until(lambda: reader.count(CLEAR) == 3)
            assert sorted(reader.events["instrument"].unique()) == [0, 1, 2]

    asyncio.run(run())


@pytest.mark.parametrize(
    "end",
    [
        lambda client: client.reset(),
        lambda client: client.open.disconnect(),
        lambda client: client.open.send_close(1012, b"maintenance"),
        lambda client: client.send('{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1700000000000}}'),
    ],
    ids=["rst", "1006", "1012", "asked to"],
)
def test_a_lost_connection_is_a_gap_of_ours_and_comes_back_by_itself(end: Callable[[object], None]) -> None:
    async def run() -> None:
        async with Exchange() as exchange, opened(exchange) as live:
            reader = Reader(live)
            client = await exchange.client()
            client.send(depth(101))
            await until(live.is_synced)
            end(client)
            again = await exchange.client(2)
            exchange.snapshot_id = 200
            again.send(depth(201))
            await until(live.is_synced)
            await until(lambda: reader.count(CLEAR) == 2)
            gaps = live.gaps()
            assert gaps.select("venue", "symbol", "cause", "ours").rows() == [
                ("binance-spot", "BTCUSDT", "disconnect", True)
            ]
            assert gaps["until"].null_count() == 0
            kinds = reader.events.select("kind", "flags").rows()
            at = next(row for row, (kind, _) in enumerate(kinds) if kind == GAP)
            assert kinds[at][1] & OURS
            assert kinds[at + 1][0] == CLEAR
            assert live.health()["reconnects"].to_list() == [1]

    asyncio.run(run())


def test_attempts_wait_as_the_venue_asks_and_longer_each_time_until_a_book_is_good() -> None:
    async def run() -> None:
        clock = Clock(FAST)
        refuse = [(429, {"Retry-After": "20"}), (503, {}), (503, {}), (503, {}), (403, {})]
        async with Exchange(refuse=list(refuse)) as exchange, opened(exchange, clock=clock) as live:
            client = await exchange.client()
            (connection,) = live.connections
            times = [at for at, _ in connection.reasons]
            assert [reason for _, reason in connection.reasons] == [f"refused ({status})" for status, _ in refuse]
            waits = [(b - a) / 1e9 for a, b in itertools.pairwise(times)]
            assert waits[0] >= 20.0
            # After the first: 0.25, 0.5, 1 s and so on, at least the half of it.
            assert all(wait >= 0.125 * 2**n for n, wait in enumerate(waits[1:]))
            assert connection.totals.refused == 5
            # A connection alone proves nothing.
            before = connection._back_off._failures
            assert before == 5
            client.send(depth(101))
            await until(lambda: connection._back_off._failures == 0)

    asyncio.run(run())


def test_a_silent_connection_is_opened_anew() -> None:
    async def run() -> None:
        async with Exchange() as exchange, opened(exchange, clock=Clock(400)) as live:
            client = await exchange.client()
            client.send(depth(101))
            await until(live.is_synced)
            await exchange.client(2)
            assert live.connections[0].reasons[0][1] == "silent"

    asyncio.run(run())


def test_one_snapshot_at_a_time_is_asked_for_each_instrument() -> None:
    async def run() -> None:
        clock = Clock(1000)
        async with Exchange() as exchange, opened(exchange, "BTCUSDT", "ETHUSDT", clock=clock) as live:
            exchange.hold.clear()
            client = await exchange.client()
            last = 100
            until_ns = clock.now() + 150_000_000_000
            # The session loses patience after a minute; two and a half go by.
            while clock.now() < until_ns:
                last += 1
                for symbol in ("BTCUSDT", "ETHUSDT"):
                    client.send(depth(last, symbol=symbol))
                await asyncio.sleep(0.001)
            exchange.snapshot_id = last
            exchange.hold.set()
            client.send(depth(last + 1))
            client.send(depth(last + 1, symbol="ETHUSDT"))
            await until(live.is_synced)
            assert exchange.most_at_once == 1
            assert len(exchange.requests) == 2

    asyncio.run(run())


def test_a_snapshot_that_fails_is_asked_for_again_when_the_venue_allows() -> None:
    async def run() -> None:
        statuses = [(503, {}), (429, {"Retry-After": "30"}), (500, {})]
        async with Exchange(snapshot_statuses=statuses) as exchange, opened(exchange) as live:
            client = await exchange.client()
            last = 101
            client.send(depth(last))

            def feed() -> bool:
                nonlocal last
                last += 1
                client.send(depth(last))
                return live.is_synced()

            await until(feed)
            assert [one.status for one in live.rest_log] == [503, 429, 500, 200]
            assert live.rest_log[2].time - live.rest_log[1].time >= 30e9
            (connection,) = live.connections
            assert (connection.totals.fetches, connection.totals.fetch_failures) == (4, 3)
            assert live.gaps().is_empty()

    asyncio.run(run())


def test_a_reader_that_is_behind_blocks_the_venue_and_loses_nothing() -> None:
    async def run() -> None:
        async with Exchange() as exchange, opened(exchange, queue=100, on_full="block", clock=Clock()) as live:
            client = await exchange.client()
            client.send(depth(101))
            await until(live.is_synced)
            last = 101
            while not live.full:
                last += 1
                client.send(depth(last))
                await asyncio.sleep(0)
            count = 20_000
            for further in range(last + 1, count + 101):
                client.send(depth(further))
            frames = live.connections[0].totals.frames
            for _ in range(100):
                await asyncio.sleep(0.0005)
            assert live.connections[0].totals.frames == frames < count
            rows = 0
            async with asyncio.timeout(10):
                async for tape in live:
                    rows += tape.to_polars().filter(pl.col("kind") == LEVEL).height
                    if rows >= count + 2:
                        break
            assert live.gaps().is_empty()
            assert live.connections[0].totals.dropped == 0

    asyncio.run(run())


def test_a_reader_that_is_behind_gets_a_gap_of_ours_where_frames_were_dropped() -> None:
    async def run() -> None:
        async with Exchange() as exchange, opened(exchange, queue=50, on_full="drop", clock=Clock()) as live:
            client = await exchange.client()
            client.send(depth(101))
            await until(live.is_synced)
            last = 101
            while not live.full:
                last += 1
                client.send(depth(last))
                await asyncio.sleep(0)
            (connection,) = live.connections
            await until(lambda: connection.totals.frames + connection.totals.dropped == last - 100 + 1)
            for _ in range(10):
                last += 1
                client.send(depth(last))
            await until(lambda: connection.totals.dropped >= 10)
            assert live.waiting >= 50
            reader = Reader(live)
            await until(lambda: not live.full)
            exchange.snapshot_id = last
            client.send(depth(last + 1))
            await until(live.is_synced)
            await until(lambda: reader.count(CLEAR) == 2)
            assert live.gaps().select("cause", "ours").rows() == [("overflow", True)]
            events = reader.events
            at = events["kind"].to_list().index(GAP)
            assert events["flags"][at] & OURS
            assert events["kind"][at + 1] == CLEAR

    asyncio.run(run())


def test_what_was_sent_before_the_venue_closes_is_still_read_at_the_end() -> None:
    async def run() -> None:
        async with Exchange() as exchange:
            live = opened(exchange)
            await live.start()
            reader = Reader(live)
            client = await exchange.client()
            client.send(depth(101))
            await until(live.is_synced)
            exchange.before_close = lambda client: [client.send(depth(n)) for n in range(102, 1102)]  # type: ignore[assignment,func-returns-value]
            await live.close()
            await reader.done()
            levels = reader.events.filter(pl.col("kind") == LEVEL, pl.col("sequence") > 101)
            assert levels["sequence"].to_list() == list(range(102, 1102))
            await live.close()

    asyncio.run(run())


def test_a_venue_that_does_not_answer_holds_nobody_up() -> None:
    async def run() -> None:
        async with Exchange(mute=True) as exchange:
            live = opened(exchange)
            await live.start()
            await exchange.client()
            loop = asyncio.get_running_loop()
            before = loop.time()
            await live.close(deadline=0.2)
            assert loop.time() - before < 1.0
            await until(lambda: exchange.clients[0].gone)

    asyncio.run(run())


def test_a_handshake_that_hangs_holds_nobody_up() -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    reached, gone = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        live = stream(instruments=[instrument()], addresses={"binance-spot": (url, "http://127.0.0.1:1")})
        await live.start()
        await asyncio.wait_for(reached.wait(), 5)
        await live.close(deadline=0.1)
        await asyncio.wait_for(gone.wait(), 5)
        server.close()
        await server.wait_closed()

    asyncio.run(run())


def test_closing_while_it_waits_to_connect_again_is_immediate() -> None:
    async def run() -> None:
        async with Exchange(refuse=[(503, {"Retry-After": "3000"})]) as exchange:
            live = opened(exchange, clock=Clock())
            await live.start()
            await until(lambda: live.connections[0].totals.refused == 1)
            loop = asyncio.get_running_loop()
            before = loop.time()
            await live.close()
            assert loop.time() - before < 1.0

    asyncio.run(run())


def test_frames_that_cannot_be_used_are_listed_and_counted() -> None:
    async def run() -> None:
        async with Exchange() as exchange, opened(exchange, "BTCUSDT", "ETHUSDT") as live:
            client = await exchange.client()
            client.send(depth(101))
            client.send(depth(101, symbol="ETHUSDT"))
            await until(live.is_synced)
            client.send(depth(102).replace("1.50000000", "1.5x"))
            await until(lambda: live.connections[0].totals.faults == 1)
            assert len(live.faults()) == 1
            assert "BTCUSDT" in live.faults()[0]

    asyncio.run(run())


def test_health_tells_of_each_instrument() -> None:
    async def run() -> None:
        clock = Clock(FAST)
        async with Exchange() as exchange:
            async with opened(exchange, "BTCUSDT", "ETHUSDT", clock=clock, stale_after=5.0) as live:
                client = await exchange.client()
                client.send(depth(101))
                btc = pl.col("symbol") == "BTCUSDT"

                def row(name: str, *, of: pl.Expr = btc) -> object:
                    return live.health().filter(of)[name][0]

                await until(lambda: row("synced") is True)
                client.send(depth(102))
                await until(lambda: row("messages") == 3)
                assert row("messages") == 3
                assert row("unified") == "BTC-USDT"
                assert row("synced", of=~btc) is False
                await until(lambda: row("stale", of=~btc) is True)
            assert live.health()["open"].to_list() == [False, False]

    asyncio.run(run())


def test_latency_is_receive_time_minus_exchange_time_of_what_is_no_snapshot() -> None:
    async def run() -> None:
        async with Exchange() as exchange, opened(exchange) as live:
            client = await exchange.client()
            client.send(depth(101))
            await until(live.is_synced)
            client.send(depth(102))
            await until(lambda: live.health()["latency_ms"][0] is not None)
            # The exchange's clock stands in November 2023.
            assert live.health()["latency_ms"][0] > 86_400_000

    asyncio.run(run())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, "at least one name or instrument"),
        ({"names": "binance:BTC-USDT"}, "expected a list of names"),
        ({"names": ["x:y"], "on_full": "wait"}, "expected block or drop"),
        ({"names": ["x:y"], "queue": 0}, "at least 1 event"),
    ],
)
def test_wrong_options_are_refused_at_once(options: dict[str, object], error: str) -> None:
    with pytest.raises(DataError, match=error):
        stream(**options)  # type: ignore[arg-type]


def test_a_scaled_clock_runs_forward_at_its_pace() -> None:
    clock = Clock(1000)

    async def run() -> None:
        before = clock.now()
        await clock.sleep(2.0)
        assert clock.now() - before >= 2_000_000_000

    asyncio.run(run())
    with pytest.raises(DataError, match="clock scale 0"):
        Clock(0)
