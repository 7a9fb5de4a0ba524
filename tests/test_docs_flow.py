from __future__ import annotations

import doctest
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("name", ["study-hawkes.md", "study-convergence.md"])
def test_every_example_gives_what_the_page_says(name):
    found = doctest.testfile(str(DOCS / name), module_relative=False)
    assert found.attempted > 5
    assert found.failed == 0
