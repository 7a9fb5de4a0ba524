from __future__ import annotations

import pytest
from tests.coverage import convergence, hawkes


@pytest.mark.parametrize("topic", [hawkes, convergence])
def test_intervals_hold_the_truth_about_as_often_as_they_say(topic):
    # 20 runs: fewer than 15 held at 95 % happens once in 40,000 draws.
    found = topic.run(20, 7)
    assert all(share >= 0.75 for share in found.values()), found
