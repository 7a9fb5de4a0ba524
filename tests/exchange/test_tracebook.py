"""An independent oracle's opinion of the exchange: `tracebook-conformance` 0.6.0, its fixtures and its campaigns.

What differs, and why, stands under "Conformance" in docs/exchange.md.
"""

from __future__ import annotations

import os
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from tracebook.conformance import (
    BUNDLED_SUITE_VERSIONS,
    CampaignProfile,
    ConformanceConfig,
    ExternalProcessAdapterFactory,
    campaign_profile_names,
    copy_bundled_conformance_suite,
    get_campaign_profile,
    run_campaign,
    run_conformance,
)
from tracebook.conformance.campaign import generate_campaign_trace
from tracebook.core.order import SelfTradePolicy
from tracebook.events import MarketEvent

from .tracebook_adapter import Adapter

SLOW = int(os.environ.get("CROSSBOOK_SLOW", "1"))
FULL = get_campaign_profile("fifo-full-v1")
# Its own profiles have no self-trade prevention: the generator's owners are few enough for it.
PREVENTING, PRO_RATA = (
    tuple(
        CampaignProfile(
            name=f"{algorithm}-{policy.name.lower()}",
            description="All orders, under a policy for self-trades.",
            config=ConformanceConfig(matching_algorithm=algorithm, self_trade_policy=policy),
            order_types=FULL.order_types,
            capabilities=FULL.capabilities,
        )
        for policy in policies
    )
    for algorithm, policies in (("fifo", list(SelfTradePolicy)[1:]), ("pro_rata", SelfTradePolicy))
)
ITS_OWN = tuple(map(get_campaign_profile, campaign_profile_names()))


@pytest.mark.parametrize("version", BUNDLED_SUITE_VERSIONS)
def test_every_case_of_a_suite_conforms(version: str, tmp_path: Path) -> None:
    suite = copy_bundled_conformance_suite(tmp_path / version, suite_version=version)
    assert len(suite.cases) == {"v1": 8, "v2": 9}[version]
    for case in suite.cases:
        report = run_conformance(case.load_events(), Adapter, config=case.config, trace_name=case.name)
        assert report.conformant, report.to_dict()


@pytest.mark.parametrize("profile", [*ITS_OWN, *PREVENTING], ids=lambda profile: profile.name)
def test_a_campaign_finds_no_difference(profile: CampaignProfile) -> None:
    result = run_campaign(Adapter, profile, traces=3 * SLOW, events_per_trace=200)
    assert result.conformant, result.to_dict()


@pytest.mark.parametrize("profile", PRO_RATA, ids=lambda profile: profile.name)
def test_pro_rata_differs_first_by_a_rounding_if_at_all(profile: CampaignProfile) -> None:
    for seed in range(2 * SLOW):
        events = generate_campaign_trace(profile, seed, 200)
        found = run_conformance(events, Adapter, config=profile.config).divergence
        if found is not None:
            assert found.path.endswith((".quantity", ".remaining_quantity")), (seed, found.to_dict())
            apart = abs(Decimal(found.reference) - Decimal(found.candidate))
            assert apart <= Decimal("2e-12"), (seed, found.to_dict())  # two units


def test_a_suite_conforms_over_stdio(tmp_path: Path) -> None:
    suite = copy_bundled_conformance_suite(tmp_path / "v2")
    program = (sys.executable, "-m", "tests.exchange.tracebook_adapter")
    factory = ExternalProcessAdapterFactory(program, timeout_seconds=60.0, cwd=Path(__file__).parents[2])
    case = next(case for case in suite.cases if case.name == "pro-rata-allocation")
    report = run_conformance(case.load_events(), factory, config=case.config)
    assert report.conformant, report.to_dict()
    assert report.candidate_engine.name == "crossbook"


def order(order_id: int, side: str, quantity: float, price: float | None = 100.0, **rest: object) -> MarketEvent:
    given = {"op": "new", "symbol": "TEST", "order_id": order_id, "side": side, "quantity": quantity, "price": price}
    return MarketEvent.from_mapping(given | rest)


def replace(order_id: int, **rest: object) -> MarketEvent:
    return MarketEvent.from_mapping({"op": "replace", "symbol": "TEST", "order_id": order_id} | rest)


# A test of ours each: its events, the first at which the two differ, and the path of what differs.
DIFFERENCES: dict[str, tuple[ConformanceConfig, list[MarketEvent], int, str]] = {
    "shares are whole numbers of units, what is left goes by time": (
        ConformanceConfig(matching_algorithm="pro_rata"),
        [*(order(i, "SELL", 1) for i in (1, 2, 3)), order(4, "BUY", 1)],
        *(4, "$.observation.trades[0].quantity"),
    ),
    "a replacement that is refused leaves the order in its place": (
        ConformanceConfig(),
        [order(1, "SELL", 1), order(2, "SELL", 1), replace(1, price=0.004)],
        *(3, "$.state.books[0].asks[0].order_id"),
    ),
    "sizes end": (
        ConformanceConfig(),
        [order(1, "SELL", 10_000)],
        *(1, "$.observation.outcome.reason"),
    ),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_known_difference_is_still_one(name: str) -> None:
    config, events, at, path = DIFFERENCES[name]
    found = run_conformance(events, Adapter, config=config).divergence
    assert found is not None
    assert (found.event_index, found.path) == (at, path)
