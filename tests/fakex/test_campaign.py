"""A part of the fault campaign, through real sockets: every exchange and every fault at least once."""

from __future__ import annotations

from pathlib import Path

import pytest

import crossbook as xb
from crossbook.fakex.dialects import EXCHANGES
from crossbook.fakex.faults import FAULTS, Plan, plan

from . import campaign, sockets, warp

SEEDS = 40


def chosen() -> list[Plan]:
    """Forty plans that see every exchange and every fault."""
    plans: list[Plan] = []
    exchanges, faults = set(EXCHANGES), set(FAULTS)
    for seed in range(10_000):
        one = plan(seed, sockets=True)
        if one.fault in faults and (one.exchange in exchanges or not exchanges):
            plans.append(one)
            exchanges.discard(one.exchange)
            faults.discard(one.fault)
        elif one.fault in faults and len(faults) <= 40 - len(plans) and not exchanges:
            plans.append(one)
            faults.discard(one.fault)
        if not faults and not exchanges:
            break
    for seed in range(10_000, 20_000):
        if len(plans) == SEEDS:
            break
        one = plan(seed, sockets=True)
        if one.fault in ("drop", "reorder", "corrupt-id", "lost"):
            plans.append(one)
    return plans


def test_the_part_sees_every_exchange_and_every_fault() -> None:
    plans = chosen()
    assert len(plans) == SEEDS
    assert {one.exchange for one in plans} == set(EXCHANGES)
    assert {one.fault for one in plans} == set(FAULTS)


@pytest.mark.parametrize("one", chosen(), ids=lambda one: f"{one.seed}-{one.exchange}-{one.fault}")
def test_the_client_keeps_its_books_and_marks_its_losses(one: Plan) -> None:
    row = campaign.one(one)
    assert not row.problems, row


@pytest.mark.parametrize("name", EXCHANGES)
def test_a_recording_replays_to_the_tape_that_was_live(name: str, tmp_path: Path) -> None:
    one = plan(3, sockets=True, exchange=name, fault="lost")

    async def work(clock: warp.WarpClock) -> sockets.SocketRun:
        run = sockets.SocketRun(one, clock, record=tmp_path)
        result = await run.run()
        assert not result.problems, result.problems
        return run

    run = warp.run(work)
    live = xb.Tape.concat(run.tapes).to_polars().drop("instrument")
    first, second = (xb.open(tmp_path).tape().to_polars() for _ in range(2))
    assert first.equals(second)
    assert first.drop("instrument").equals(live)
    # What the server has sent is what was written, in that order.
    sent = sum(len(link.sent) for link in [*run.server.past, *run.server.links])
    assert sent == xb.open(tmp_path).info()["frames"][0]
