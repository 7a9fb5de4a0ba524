"""``crossbook record`` against a fake exchange: what a signal costs, and what a kill costs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

import crossbook as xb
from crossbook.fakex.dialects import EXCHANGES
from crossbook.fakex.server import Link, Server
from crossbook.feeds import Clock

from . import inprocess

FLUSH = 1.0
"""Seconds after which a recorder has what it was given on disk, at the latest."""
SECOND = 1_000_000_000


async def record(name: str, out: Path, number: int, cache: Path) -> tuple[int, Link, int]:
    """Record until a few thousand frames were sent, then send a signal: exit code, what was sent, and when it ended."""
    clock = Clock()
    market = EXCHANGES[name](4, now=clock.now(), truth=False)
    async with Server(market, name, clock=clock, step=0.001, keep=True) as server:
        kind = EXCHANGES[name]
        names = [f"{kind.venue}:{one.unified}" for one in inprocess.instruments_of(market, kind.protocol)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "crossbook.cli", "record", *names, "--out", str(out), "--json", "--cache", str(cache),
            "--address", f"{kind.venue}={server.ws},{server.rest}", "--protocol", f"{kind.venue}={kind.protocol}",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        async with asyncio.timeout(60):
            while not server.links or len(server.links[0].sent) < 2_500:
                if process.returncode is not None:
                    _, error = await process.communicate()
                    raise AssertionError(f"it ended: {error.decode()[-2000:]}")
                await asyncio.sleep(0.02)
            link = server.links[0]
            ended = clock.now()
            process.send_signal(number)
            # Whoever closes gets what was on its way.
            await process.communicate()
        assert process.returncode is not None
        return process.returncode, link, ended


def written(out: Path) -> tuple[int, list[str]]:
    """Count the frames that a capture holds, and list its files."""
    capture = xb.open(out)
    return int(capture.info()["frames"][0]), [path.name for path in out.iterdir()]


@pytest.mark.parametrize("name", ["binance-spot", "okx", "coinbase"])
def test_sigterm_loses_nothing(name: str, tmp_path: Path) -> None:
    code, link, _ = asyncio.run(record(name, tmp_path / "out", signal.SIGTERM, tmp_path / "cache"))
    assert code == 0
    frames, files = written(tmp_path / "out")
    # Every frame that had been sent when the client closed its side.
    assert frames == len(link.sent)
    manifests = [path for path in (tmp_path / "out").iterdir() if path.suffix == ".json"]
    assert manifests, files
    assert json.loads(manifests[0].read_text())


@pytest.mark.parametrize("name", ["binance-spot", "kraken"])
def test_a_kill_loses_one_flush_interval_at_most(name: str, tmp_path: Path) -> None:
    code, link, ended = asyncio.run(record(name, tmp_path / "out", signal.SIGKILL, tmp_path / "cache"))
    assert code == -signal.SIGKILL
    frames, _ = written(tmp_path / "out")
    # The interval, and a while to write what was due and to get the signal across.
    old = sum(1 for time, _ in link.sent if time <= ended - (FLUSH + 0.5) * SECOND)
    assert old <= frames <= len(link.sent)
    assert old > 100


def test_what_a_killed_recorder_left_has_no_gap_but_its_end(tmp_path: Path) -> None:
    asyncio.run(record("okx", tmp_path / "out", signal.SIGKILL, tmp_path / "cache"))
    capture = xb.open(tmp_path / "out")
    assert len(capture.tape()) > 1_000
    # Its torn end is all that is missing.
    gaps = capture.gaps()
    assert gaps["cause"].to_list() == ["disconnect"] * 3
    assert gaps["until"].is_null().all()
