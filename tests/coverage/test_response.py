from __future__ import annotations

from tests.coverage import response


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    # 20 runs: fewer than 15 held at 95 % happens once in 40,000 draws.
    found = response.run(20, 7)
    assert all(share >= 0.75 for share in found.values()), found
