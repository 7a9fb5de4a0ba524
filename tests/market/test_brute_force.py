"""`xb.Market` against the slow model: random events, every touch, and all levels every so often."""

from __future__ import annotations

import pytest

from .campaign import run


@pytest.mark.parametrize(("seed", "turned"), [(1, False), (2, True)])
def test_the_market_says_what_a_model_of_dicts_and_fractions_says(seed: int, turned: bool) -> None:
    seen = run(seed, 25_000, turned=turned)
    assert seen["events"] >= 25_000
    # What would prove nothing if it never happened.
    assert min(seen.values()) > 10, seen
