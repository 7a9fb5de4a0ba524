"""Snapshots and journals from Python: what goes on from them is what would have gone on."""

from __future__ import annotations

import copy
import errno
import json
import logging
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest
from conftest import builtin
from exchange.commands import PROFILES, commands
from exchange.reference import ProRata

import crossbook as xb
from crossbook.exchange import load, replay_file


def rules(name: str) -> xb.Rules:
    """The rules of a profile of the reference matcher."""
    found = PROFILES[name]
    priority = found.priority
    if isinstance(priority, ProRata):
        names = ("top_order", "top_max", "min_allocation")
        priority = xb.ProRata(**{name: getattr(priority, name) for name in names})
    names = ("tick", "lot", "min_size", "max_size", "max_notional", "collar", "band", "halt_for", "reference", "state")
    return xb.Rules(
        **{name: getattr(found, name) for name in (*names, "rate", "rate_window")},
        priority="price_time" if priority in (None, "price_time") else priority,
        accounts={account.id: account.tier for account in found.accounts},
        tiers=[xb.Tier(tier.maker, tier.taker, tier.auction) for tier in found.tiers],
    )


def generated(name: str, seed: int, count: int) -> pl.DataFrame:
    rows = list(commands(seed, count, PROFILES[name]))
    return pl.DataFrame(rows, infer_schema_length=None)


@pytest.mark.parametrize("name", PROFILES)
def test_a_snapshot_at_any_row_goes_on_as_the_exchange_would_have(name: str) -> None:
    for seed in range(4):
        frame = generated(name, seed, 400)
        whole = xb.Exchange(rules=rules(name)).run(frame)
        cut = random.Random(seed).randrange(frame.height)
        exchange = xb.Exchange(rules=rules(name))
        parts = [exchange.run(frame[:cut])]
        snapshot = exchange.snapshot()
        again = xb.Exchange.restore(snapshot)
        assert again.snapshot() == snapshot
        assert again.rules == exchange.rules
        assert again.orders().equals(exchange.orders())
        parts.append(again.run(frame[cut:]))
        assert pl.concat(parts).equals(whole), f"seed {seed}, cut at {cut}"


def test_copies_and_pickles_go_their_own_way_and_keep_the_instrument() -> None:
    exchange = xb.Exchange(builtin("usdm"))
    tick = exchange.rules.tick
    exchange.submit(1, "buy", exchange.rules.lot, 100 * tick)
    copies = [copy.copy(exchange), copy.deepcopy(exchange), pickle.loads(pickle.dumps(exchange))]
    exchange.cancel(1)
    for other in copies:
        assert (len(other), len(exchange)) == (1, 0)
        assert other.instrument is not None
        assert other.instrument.to_json() == builtin("usdm").to_json()
        assert other.book(decimals=True).height == 1


def test_a_damaged_snapshot_says_where() -> None:
    exchange = xb.Exchange()
    exchange.submit(1, "buy", 5, 100)
    snapshot = exchange.snapshot()
    for wrong, message in [
        (b"", r"expected a snapshot .* found nothing"),
        (snapshot[:-1], f"expected a snapshot of {len(snapshot)} bytes, found {len(snapshot) - 1}"),
        (snapshot[:60] + b"\xff" + snapshot[61:], "byte 28: expected bytes with the crc"),
        (snapshot[:8] + b"\x09" + snapshot[9:], "expected snapshot version 1, found 9"),
    ]:
        with pytest.raises(xb.SnapshotError, match=message) as caught:
            xb.Exchange.restore(wrong)
        assert isinstance(caught.value, xb.Error)
    with pytest.raises(TypeError):
        xb.Exchange.restore("text")  # type: ignore[arg-type]


def test_an_instrument_of_other_steps_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "commands.xbj"
    entry = json.loads(builtin("usdm").to_json())
    instrument = xb.Instrument.from_json(json.dumps(entry | {"price_unit": "0.01", "tick": "0.1"}))
    with xb.Exchange(journal=path) as exchange:
        snapshot = exchange.snapshot()
    with pytest.raises(xb.DataError, match="expected its tick 10 and lot 1, found tick 1 and lot 1"):
        xb.Exchange.restore(snapshot, instrument=instrument)
    with path.open("ab") as file:
        file.write(b"torn")
    for refused in (xb.Exchange.open, xb.JournalReplay):
        with pytest.raises(xb.DataError, match="expected its tick 10"):
            refused(path, instrument=instrument)
    assert path.read_bytes().endswith(b"torn")
    matching = xb.Exchange(instrument).snapshot()
    assert xb.Exchange.restore(matching, instrument=instrument).rules.tick == 10


@pytest.mark.parametrize("fsync", ["always", "never", xb.Fsync(commands=7, ms=1_000)], ids=str)
def test_calls_and_runs_are_in_the_journal(tmp_path: Path, fsync: xb.Fsync) -> None:
    path = tmp_path / "commands.xbj"
    frame = generated("bands", 3, 300)
    with xb.Exchange(rules=rules("bands"), journal=path, fsync=fsync) as exchange:
        assert exchange.journal == path
        assert exchange.recovered is None
        told = [exchange.run(frame[:100])]
        quotes = exchange.mass_quote(3, [((9_001, 90, 5), (9_002, 110, 5)), ((9_003, 91, 5), (9_004, 109, 5))])
        quotes += exchange.submit(9_005, "buy", 0, 1)
        exchange.checkpoint()
        told.append(exchange.run(frame[100:]))
        exchange.sync()
        snapshot = exchange.snapshot()
        assert load(path)[0].snapshot() == snapshot
    again = xb.Exchange.open(path, fsync=fsync)
    assert again.snapshot() == snapshot
    found = again.recovered
    assert found is not None
    assert (found.commands, found.snapshot, found.replayed, found.dropped_bytes) == (303, 103, 200, 0)
    assert found.message is None
    replay = xb.JournalReplay(path)
    batches = list(replay)
    executions = pl.concat(batches)
    assert executions.filter(pl.col("sequence") <= 100).equals(told[0])
    assert executions.filter(pl.col("sequence") > 103).equals(told[1])
    between = executions.filter(pl.col("sequence").is_between(101, 103))
    assert between.rows(named=True) == [execution.as_dict() for execution in quotes]
    assert replay.exchange.snapshot() == snapshot
    assert (replay.recovered.commands, replay.recovered.replayed) == (303, 303)


def test_the_parts_of_a_replay_are_what_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "commands.xbj"
    frame = generated("price_time", 5, 250)
    with xb.Exchange(rules=rules("price_time"), journal=path, fsync="never") as exchange:
        whole = exchange.run(frame)
    replay = xb.JournalReplay(path)
    parts, done = [], []
    while (part := replay.next_batch(100)) is not None:
        parts.append(part)
        done.append(replay.exchange.sequence)
    assert done == [100, 200, 250]
    assert pl.concat(parts).equals(whole)
    assert replay.next_batch() is None


def test_a_run_is_written_ahead_in_chunks(tmp_path: Path) -> None:
    path = tmp_path / "commands.xbj"
    rows = 150_000
    frame = pl.DataFrame({"order_id": pl.int_range(1, rows + 1, eager=True), "price": [100] * rows, "size": [1] * rows})

    def stop(done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with xb.Exchange(journal=path, fsync="never") as exchange:
        with pytest.raises(KeyboardInterrupt):
            exchange.run(frame, progress=stop)
        assert exchange.sequence == 65_536
    # What was not applied was not written.
    assert load(path)[0].sequence == 65_536


CHILD = """
import sys
import crossbook as xb
exchange = xb.Exchange(journal=sys.argv[1], fsync="always")
number = 0
while True:
    number += 1
    executions = exchange.submit(number, "buy", 5, 100)
    print(number, executions[0].kind, flush=True)
    if number % 50 == 0:
        exchange.checkpoint()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that nobody can catch")
def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    for attempt, lines in enumerate((1, 60, 137)):
        path = tmp_path / f"{attempt}.xbj"
        with subprocess.Popen([sys.executable, "-c", CHILD, path], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            told = [child.stdout.readline() for _ in range(lines)]
            os.kill(child.pid, signal.SIGKILL)
            told += child.stdout.readlines()
        acknowledged = sum(line.endswith("accepted\n") for line in told)
        assert acknowledged >= lines
        with xb.Exchange.open(path) as exchange:
            # One more may be on disk that could not be acknowledged any more.
            assert acknowledged <= exchange.sequence <= acknowledged + 1
            assert len(exchange) == exchange.sequence
            assert exchange.submit(10**6, "sell", 5, 101)[0].kind == "accepted"


def journal(path: Path, count: int = 3) -> int:
    """A journal of some commands, a block each; returns where the last block begins."""
    with xb.Exchange(journal=path, fsync="never") as exchange:
        for number in range(1, count):
            exchange.submit(number, "buy", 5, 100)
        at = path.stat().st_size
        exchange.submit(count, "buy", 5, 100)
    return at


def test_a_torn_tail_is_cut_off_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "commands.xbj"
    at = journal(path)
    length = path.stat().st_size
    os.truncate(path, length - 10)
    expected = (
        f"the last {length - 10 - at} bytes, from byte {at} on, are no whole block (cut off in its commands): "
        "2 commands remain"
    )
    with caplog.at_level(logging.WARNING, "crossbook.exchange"):
        exchange, found = load(path)
        assert (exchange.sequence, path.stat().st_size) == (2, length - 10)
        assert caplog.messages == [f"{path}: {expected}"]
        with xb.Exchange.open(path) as exchange:
            again = exchange.recovered
            assert len(exchange) == 2
        assert caplog.messages == [f"{path}: {expected}"] * 2
    for told in (found, again):
        assert told is not None
        assert (told.commands, told.dropped_bytes, told.message) == (2, length - 10 - at, expected)
    assert path.stat().st_size == at
    with xb.Exchange.open(path) as exchange:
        assert exchange.recovered is not None
        assert exchange.recovered.message is None


def test_a_checkpoint_that_cannot_be_used_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "commands.xbj"
    journal(path)
    (tmp_path / "commands.xbj.snapshot").write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING, "crossbook.exchange"), xb.Exchange.open(path) as exchange:
        assert len(exchange) == 3
        assert exchange.recovered is not None
        assert (exchange.recovered.snapshot, exchange.recovered.replayed) == (None, 3)
    (message,) = caplog.messages
    assert "expected a snapshot" in message
    assert "all commands were carried out from the first" in message


def test_damage_before_the_end_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "commands.xbj"
    at = journal(path)
    damaged = bytearray(path.read_bytes())
    damaged[at - 1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(xb.JournalError, match=r"commands.xbj byte \d+: expected a whole block .* command 3 follows"):
        xb.Exchange.open(path)
    assert path.read_bytes() == damaged
    replay = xb.JournalReplay(path)
    first = replay.next_batch()
    assert first is not None
    assert first["order_id"].to_list() == [1]
    for _ in range(2):
        with pytest.raises(xb.JournalError, match="expected a whole block"):
            replay.next_batch()
    out = tmp_path / "out.parquet"
    with pytest.raises(xb.JournalError, match="expected a whole block"):
        replay_file(path, out)
    assert not out.exists()


def test_what_the_system_refuses_bears_its_number(tmp_path: Path) -> None:
    with pytest.raises(xb.JournalError, match=r"none\.xbj byte 0: No such file") as caught:
        xb.Exchange.open(tmp_path / "none.xbj")
    assert isinstance(caught.value, xb.Error)
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == errno.ENOENT
    path = tmp_path / "commands.xbj"
    journal(path)
    with pytest.raises(xb.JournalError, match="expected no such file, a journal is never written over"):
        xb.Exchange(journal=path)
    (tmp_path / "text.xbj").write_text("text")
    with pytest.raises(xb.JournalError, match=r"expected a journal .* found 74 65 78 74") as caught:
        xb.Exchange.open(tmp_path / "text.xbj")
    assert caught.value.errno is None


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit on the size of files")
def test_a_full_disk_stops_the_exchange_before_the_command(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "commands.xbj"
    exchange = xb.Exchange(journal=path, fsync="never")
    exchange.submit(1, "buy", 5, 100)
    before, length = exchange.snapshot(), path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length + 50, hard))
    try:
        with pytest.raises(xb.JournalError, match=f"byte {length}: File too large") as caught:
            exchange.submit(2, "buy", 5, 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.errno == errno.EFBIG
    assert exchange.snapshot() == before
    for refused in (lambda: exchange.cancel(1), lambda: exchange.run(pl.DataFrame({"order_id": [3]})), exchange.sync):
        with pytest.raises(xb.JournalError, match="expected the journal to be reopened after its failure"):
            refused()
    exchange.close()
    with xb.Exchange.open(path) as again:
        assert again.snapshot() == before
        assert again.recovered is not None
        assert again.recovered.message is None


def test_a_closed_exchange_can_be_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "commands.xbj"
    with xb.Exchange(journal=path) as exchange:
        exchange.submit(1, "buy", 5, 100)
    exchange.close()
    assert (exchange.quote, len(exchange), exchange.journal) == ((100, 5, 0, 0), 1, path)
    closed = "commands.xbj: expected an open journal, this one was closed"
    for refused in (lambda: exchange.cancel(1), exchange.checkpoint, exchange.sync):
        with pytest.raises(xb.JournalError, match=closed):
            refused()
    with pytest.raises(xb.JournalError, match=closed):
        exchange.run(pl.DataFrame({"order_id": [1]}))
    assert len(copy.copy(exchange)) == 1
    assert copy.copy(exchange).journal is None


def test_an_exchange_in_memory_has_no_journal() -> None:
    with xb.Exchange() as exchange:
        exchange.submit(1, "buy", 5, 100)
        assert exchange.journal is None
        for what in (exchange.checkpoint, exchange.sync):
            with pytest.raises(xb.DataError, match="expected an exchange with a journal"):
                what()
    assert exchange.cancel(1)[0].kind == "cancelled"


def test_fsync_is_one_of_three(tmp_path: Path) -> None:
    path = tmp_path / "commands.xbj"
    with pytest.raises(xb.DataError, match=r'fsync .sometimes.: expected "always", "never" or Fsync'):
        xb.Exchange(journal=path, fsync="sometimes")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="fsync 5: expected"):
        xb.Exchange(journal=path, fsync=5)  # type: ignore[arg-type]
    with pytest.raises(xb.DataError, match="commands 0: expected 1 or more"):
        xb.Fsync(commands=0, ms=5)
    assert not path.exists()
    assert repr(xb.Fsync(commands=10, ms=5)) == "Fsync(commands=10, ms=5)"
    assert xb.Fsync(commands=10, ms=5) == xb.Fsync(commands=10, ms=5)


def test_threads_share_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "commands.xbj"
    exchange = xb.Exchange(journal=path, fsync=xb.Fsync(commands=50, ms=5))

    def send(first: int) -> None:
        for number in range(first, first + 100):
            exchange.submit(number, "buy", 5, 100)

    threads = [threading.Thread(target=send, args=(1 + 1_000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        exchange.quote  # noqa: B018 - a reader in between
    exchange.close()
    assert load(path)[0].snapshot() == exchange.snapshot()
    assert len(exchange) == 400
