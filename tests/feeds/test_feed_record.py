"""Recording: what is on disk replays to what was seen, however it ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from small_exchange import Exchange, depth, instrument, until
from test_feed_stream import GAP, LEVEL, Reader

import crossbook as xb
from crossbook.capture import Capture, Source
from crossbook.errors import CaptureError
from crossbook.feeds import Clock, Recorder, stream


def recorder(exchange: Exchange, out: Path, **options: object) -> Recorder:
    options = {"channels": ("book",), "seed": 5, **options}
    return Recorder(instruments=[instrument()], out=out, addresses=exchange.addresses, **options)


def events(folder: Path) -> pl.DataFrame:
    return xb.open(folder).tape().to_polars()


def test_a_recorded_stream_replays_to_the_very_same_tape(tmp_path: Path) -> None:
    async def run() -> pl.DataFrame:
        async with Exchange() as exchange:
            live = stream(
                instruments=[instrument()],
                addresses=exchange.addresses,
                channels=("book",),
                record=tmp_path,
                queue=50,
                on_full="drop",
                linger=0.0,
            )
            await live.start()
            client = await exchange.client()
            client.send(depth(101))
            await until(live.is_synced)
            # Too much at once: some of it is dropped.
            last = 101
            while not live.full:
                last += 1
                client.send(depth(last))
                await asyncio.sleep(0)
            for _ in range(10):
                last += 1
                client.send(depth(last))
            await until(lambda: live.connections[0].totals.dropped >= 10)
            reader = Reader(live)
            await until(lambda: not live.full)
            exchange.snapshot_id = last
            client.send(depth(last + 1))
            await until(lambda: live.gaps().height == 1 and live.is_synced())
            # A frame that cannot be used, a hole, a lost connection.
            client.send(depth(last + 2).replace("1.50000000", "1.5x"))
            await until(lambda: live.connections[0].totals.faults == 1)
            client.send(depth(last + 9))
            exchange.snapshot_id = last + 9
            client.send(depth(last + 10))
            await until(lambda: live.gaps().height == 2 and live.is_synced())
            client.reset()
            client = await exchange.client(2)
            exchange.snapshot_id = 1000
            client.send(depth(1001, levels=5))
            await until(live.is_synced)
            await live.close()
            await reader.done()
            assert [Path(path).suffix for path in live.files] == [".xbc"]
            return reader.events

    seen = asyncio.run(run())
    assert {"overflow", "malformed", "disconnect"} <= set(xb.open(tmp_path).gaps()["cause"])
    assert events(tmp_path).equals(seen)


def test_a_file_holds_things_in_the_order_in_which_they_happened(tmp_path: Path) -> None:
    told: list[tuple[str, object]] = []

    class Told:
        """A writer that remembers what it was told."""

        frames_written = bytes_raw = bytes_written = 0
        path = tmp_path / "none"

        def __init__(self, *about: object) -> None:
            told.append(("begun", about[1:5]))

        def __getattr__(self, name: str) -> Callable[..., None]:
            def tell(ts: int, *rest: object) -> None:
                told.append((name, rest))

            return tell

        def tick(self, now: int, feed: str = "{}") -> None:
            pass

        def finish(self, feed: str) -> Path:
            told.append(("finish", json.loads(feed)["streams"][0]["symbol"]))
            return self.path

    async def run() -> None:
        async with Exchange() as exchange:
            live = recorder(exchange, tmp_path, writer=Told)
            await live.start()
            client = await exchange.client()
            await until(lambda: len(told) == 4)
            client.send(depth(101))
            await until(live.is_synced)
            client.send(depth(102))
            await until(lambda: live.connections[0].totals.frames == 3)
            await live.close()

    asyncio.run(run())
    kinds = [kind for kind, _ in told]
    assert kinds == ["begun", "opened", "sent", "frames", "frames", "rest", "frames", "closed", "finish"]
    assert told[0][1][:3] == ("binance-spot", "binance-spot", "0")  # type: ignore[index]
    assert told[-1][1] == "BTCUSDT"


def test_a_full_disk_stops_everything_with_the_error(tmp_path: Path) -> None:
    class Full:
        frames_written = bytes_raw = bytes_written = 0
        path = tmp_path / "none"

        def __init__(self, *_: object) -> None:
            self.left = 2

        def _write(self, *_: object) -> None:
            self.left -= 1
            if self.left < 0:
                raise CaptureError("expected room on the disk")

        opened = sent = frames = rest = lost = closed = _write

        def tick(self, *_: object) -> None:
            pass

        def finish(self, *_: object) -> Path:
            return self.path

    async def run() -> None:
        async with Exchange() as exchange:
            live = recorder(exchange, tmp_path, writer=Full)
            await live.start()
            run = asyncio.ensure_future(live.run())
            client = await exchange.client()
            client.send(depth(101))
            with pytest.raises(CaptureError, match="expected room on the disk"):
                await asyncio.wait_for(run, 5)
            await until(lambda: client.gone)

    asyncio.run(run())


def test_a_stream_that_cannot_be_recorded_says_so_to_its_reader(tmp_path: Path) -> None:
    class Broken:
        frames_written = bytes_raw = bytes_written = 0

        def __init__(self, *_: object) -> None:
            pass

        def opened(self, *_: object) -> None:
            raise CaptureError("expected room on the disk")

    async def run() -> None:
        async with Exchange() as exchange:
            live = recorder(exchange, tmp_path, writer=Broken)
            with pytest.raises(CaptureError, match="expected room"):
                async for _ in live:
                    pass

    asyncio.run(run())


def test_a_recorder_records_for_a_time_and_gives_its_files(tmp_path: Path) -> None:
    async def run() -> None:
        async with Exchange() as exchange, recorder(exchange, tmp_path, clock=Clock(50)) as live:
            task = asyncio.ensure_future(live.run(20.0, signals=False))
            client = await exchange.client()
            client.send(depth(101))
            await until(live.is_synced)
            (file,) = await asyncio.wait_for(task, 5)
            assert Path(file).is_relative_to(tmp_path)

    asyncio.run(run())
    assert events(tmp_path).filter(pl.col("kind") == LEVEL).height == 3


def test_every_hour_begins_a_file_and_together_they_are_one_connection(tmp_path: Path) -> None:
    class Leaping(Clock):
        """A clock that can be moved on."""

        def __init__(self) -> None:
            super().__init__()
            self.ahead = 0
            self.now: Callable[[], int] = lambda: time.time_ns() + self.ahead

    async def run() -> pl.DataFrame:
        clock = Leaping()
        async with Exchange() as exchange:
            live = stream(
                instruments=[instrument()],
                addresses=exchange.addresses,
                channels=("book",),
                record=tmp_path,
                clock=clock,
            )
            await live.start()
            reader = Reader(live)
            client = await exchange.client()
            client.send(depth(101))
            await until(live.is_synced)
            clock.ahead = 3600 * 1_000_000_000
            await until(lambda: len(live.files) == 1)
            # An hour without a message is silence, too.
            client = await exchange.client(2)
            client.send(depth(101))
            await until(live.is_synced)
            await live.close()
            await reader.done()
            assert len(set(live.files)) == 2
            about = json.loads(Path(live.files[0]).with_suffix(".json").read_text())
            assert about["feed"]["streams"][0]["symbol"] == "BTCUSDT"
            return reader.events

    seen = asyncio.run(run())
    files = tuple(sorted(tmp_path.glob("*.xbc"), key=lambda path: path.stat().st_mtime_ns))
    whole = Source(files, "binance-spot", (instrument(),))
    assert Capture(tmp_path, [whole], [instrument()], []).tape().to_polars().equals(seen)


SCRIPT = """
import sys
from crossbook.cli import main
from crossbook.record_cli import record
import crossbook.cli as cli
if not any(one.callback is record for one in cli.app.registered_commands):
    cli.app.command()(record)
main()
"""


async def start(exchange: Exchange, out: Path, cache: Path, *options: str) -> asyncio.subprocess.Process:
    ws, rest = exchange.addresses["binance-spot"]
    arguments = ["binance:BTC-USDT", "--out", str(out), "--channel", "book", "--cache", str(cache), *options]
    arguments += ["--address", f"binance-spot={ws},{rest}"]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, "record", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_recording_with_all_that_was_sent_and_exit_code_0(
    number: signal.Signals, tmp_path: Path
) -> None:
    async def run() -> None:
        async with Exchange() as exchange:
            process = await start(exchange, tmp_path / "out", tmp_path / "cache")
            async with asyncio.timeout(20):
                while not exchange.clients or not exchange.clients[0].texts:
                    await asyncio.sleep(0.01)
            client = exchange.clients[0]
            client.send(depth(101))
            await until(lambda: any("depth" in url for url in exchange.requests))
            for last in range(102, 5102):
                client.send(depth(last))
            process.send_signal(number)
            out, err = await asyncio.wait_for(process.communicate(), 10)
            assert process.returncode == 0, err.decode()
            assert "5,00" in out.decode()
            assert "frames, 1 gaps, 1 files in" in out.decode()

    asyncio.run(run())
    tape = events(tmp_path / "out")
    sequences = tape.filter(pl.col("kind") == LEVEL)["sequence"]
    assert sequences.max() == 5101
    assert sequences.unique().len() == 5101 - 100 + 1
    assert tape.filter(pl.col("kind") == GAP).height == 1, "the end itself, and nothing else"


def test_a_second_signal_does_not_wait_for_a_venue_that_is_mute(tmp_path: Path) -> None:
    async def run() -> None:
        async with Exchange(mute=True) as exchange:
            process = await start(exchange, tmp_path / "out", tmp_path / "cache")
            async with asyncio.timeout(20):
                while not exchange.clients or not exchange.clients[0].texts:
                    await asyncio.sleep(0.01)
            client = exchange.clients[0]
            client.send(depth(101))
            await until(lambda: any("depth" in url for url in exchange.requests))
            process.send_signal(signal.SIGTERM)
            await until(lambda: client.closing)
            process.send_signal(signal.SIGTERM)
            out, err = await asyncio.wait_for(process.communicate(), 3)
            assert process.returncode == 0, err.decode()
            assert "1 files in" in out.decode()

    asyncio.run(run())
    assert events(tmp_path / "out").filter(pl.col("kind") == LEVEL).height > 0


def test_a_kill_loses_no_more_than_what_came_within_the_flush_interval(tmp_path: Path) -> None:
    async def run() -> None:
        async with Exchange() as exchange:
            process = await start(exchange, tmp_path / "out", tmp_path / "cache")
            async with asyncio.timeout(20):
                while not exchange.clients or not exchange.clients[0].texts:
                    await asyncio.sleep(0.01)
            client = exchange.clients[0]
            client.send(depth(101))
            await until(lambda: any("depth" in url for url in exchange.requests))
            for last in range(102, 1102):
                client.send(depth(last))
            (file,) = (tmp_path / "out").glob("*.xbc")
            size = file.stat().st_size
            # One flush interval and one beat of the clock that drives it.
            await until(lambda: file.stat().st_size > size + 1000, timeout=2.5)
            process.send_signal(signal.SIGKILL)
            await process.communicate()

    asyncio.run(run())
    tape = events(tmp_path / "out")
    assert tape.filter(pl.col("kind") == LEVEL)["sequence"].max() == 1101


def test_the_command_line_prints_lines_for_machines(tmp_path: Path) -> None:
    async def run() -> bytes:
        async with Exchange() as exchange:
            options = ["--json", "--every", "0.2", "--for", "1.5", "--metrics-port", "0"]
            process = await start(exchange, tmp_path / "out", tmp_path / "cache", *options)
            async with asyncio.timeout(20):
                while not exchange.clients or not exchange.clients[0].texts:
                    await asyncio.sleep(0.01)
            exchange.clients[0].send(depth(101))
            out, err = await asyncio.wait_for(process.communicate(), 20)
            assert process.returncode == 0, err.decode()
            assert b"/metrics and http://127.0.0.1:" in err
            return out

    lines = [json.loads(line) for line in asyncio.run(run()).splitlines()]
    assert [line["event"] for line in lines[-2:]] == ["status", "end"]
    assert lines[-2]["streams"][0]["symbol"] == "BTCUSDT"
    assert lines[-2]["streams"][0]["synced"] is True
    assert [Path(path).exists() for path in lines[-1]["files"]] == [True]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["binance:NONE-USDT"], 1),
        (["binance:BTC-USDT", "--address", "nonsense"], 1),
        ([], 2),
    ],
)
def test_the_command_line_fails_in_one_line(arguments: list[str], code: int, tmp_path: Path) -> None:
    async def run() -> None:
        async with Exchange() as exchange:
            rest = exchange.addresses["binance-spot"][1]
            environment = {**os.environ, "CROSSBOOK_REST_BINANCE_SPOT": str(rest), "CROSSBOOK_CACHE": str(tmp_path)}
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                SCRIPT,
                "record",
                *arguments,
                env=environment,
                stderr=subprocess.PIPE,
                cwd=tmp_path,
            )
            _, err = await asyncio.wait_for(process.communicate(), 20)
            assert process.returncode == code
            if code == 1:
                assert len(err.decode().splitlines()) == 1
                assert err.startswith(b"crossbook: ")

    asyncio.run(run())
