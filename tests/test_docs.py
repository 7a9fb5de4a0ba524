"""The Python examples of every page of `docs/` run, and print what the page says where it says it."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLES = {
    page.name: found
    for page in sorted(DOCS.glob("*.md"))
    if (found := re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
}


def test_pages_with_examples_are_found() -> None:
    assert {"market.md", "routing.md", "study-lead-lag.md"} <= EXAMPLES.keys()


@pytest.mark.parametrize("page", EXAMPLES)
def test_the_examples_of_the_page_run(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A page's examples are one session: each either a transcript (``>>>``) or a script."""
    names: dict[str, object] = {}
    parser, runner, said = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS), list[str]()
    for number, example in enumerate(EXAMPLES[page], 1):
        where = f"{page}, example {number}"
        if example.startswith(">>> "):
            transcript = parser.get_doctest(example, names, where, str(DOCS / page), 0)
            found = runner.run(transcript, out=said.append, clear_globs=False)
            names = transcript.globs
            assert found.attempted
            assert found.failed == 0, "".join(said)
        else:
            exec(compile(example, where, "exec"), names)
    assert capsys.readouterr().err == ""
