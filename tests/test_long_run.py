from __future__ import annotations

import numpy as np
import pytest

from crossbook.study.long_run import cosine_error
from crossbook.study.resample import expanded_tails, variance_freedom


def test_a_wave_is_seen_by_its_own_cosine_alone() -> None:
    ends = np.linspace(0, 50, 5001)
    for turns, seen in ((3, True), (8, True), (9, False)):
        wave = np.cos(np.pi * turns * (ends[1:] - 0.005) / 50)
        totals = np.concatenate([[0.0], np.cumsum(wave) * 0.01])
        # ∫ cos² = T / 2, and the others are orthogonal to it.
        wanted = np.sqrt(2 / 8) * 25.0 if seen else 0.0
        assert cosine_error(ends, totals, 8) == pytest.approx(wanted, rel=7e-3, abs=0.02)


def test_of_independent_steps_cosines_find_the_variance_of_their_sum() -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(400):
        steps = rng.standard_normal(1000)
        totals = np.concatenate([[0.0], np.cumsum(steps - steps.mean())])
        found.append(cosine_error(np.arange(1001.0), totals, 20) ** 2)
    # Chi-squared with 20 degrees over 20: a standard error of the mean of 1000 √(2 / 20 / 400).
    assert np.mean(found) == pytest.approx(1000, abs=4 * 1000 * np.sqrt(0.1 / 400))
    assert np.var(found) / 1000**2 == pytest.approx(0.1, rel=0.3)


def test_memory_across_the_ends_of_blocks_is_not_lost() -> None:
    rng = np.random.default_rng(4)
    cosines, blocks = [], []
    for _ in range(300):
        # A sum over 10 steps: the variance of the total of n is nearly 100 n.
        steps = np.convolve(rng.standard_normal(4009), np.ones(10), "valid")
        off = steps - steps.mean()
        cosines.append(cosine_error(np.arange(4001.0), np.concatenate([[0.0], np.cumsum(off)]), 100) ** 2)
        blocks.append(float((off.reshape(100, 40).sum(axis=1) ** 2).sum()) * 100 / 99)
    assert np.mean(blocks) / 400_000 < 0.94
    assert np.mean(cosines) / 400_000 > 0.97


def test_degrees_of_freedom_are_those_of_what_varies() -> None:
    rng = np.random.default_rng(5)
    alike = [variance_freedom(rng.standard_normal(400)) for _ in range(50)]
    assert 330 < np.median(alike) <= 400
    # 20 of 400 carry nearly all of it.
    storm = [variance_freedom(rng.standard_normal(400) * np.where(np.arange(400) % 20, 0.01, 1.0)) for _ in range(50)]
    assert 12 < np.median(storm) < 28
    # Whole spells of 20 that are stormy or calm: their squares depend on each other, which mixed up they do not.
    spells = [rng.standard_normal(400) * np.repeat(rng.choice([0.5, 1.5], 20), 20) for _ in range(50)]
    assert np.median([variance_freedom(one) for one in spells]) < 100
    assert np.median([variance_freedom(rng.permutation(one)) for one in spells]) > 130
    assert variance_freedom(np.ones(9)) == 9
    assert variance_freedom(np.zeros(9)) == 9
    assert variance_freedom(np.array([])) == 2


def test_tails_widen_with_fewer_degrees() -> None:
    # t of 39 degrees is 2.0227; Φ(-2.0227 √(40 / 39)) = 0.02026.
    assert expanded_tails(0.95, 40)[0] == pytest.approx(0.02026, abs=1e-5)
    assert expanded_tails(0.95, 40, 10.0)[0] < expanded_tails(0.95, 40)[0]
