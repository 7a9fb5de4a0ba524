"""The README's example runs as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crossbook.demo import make_capture

README = Path(__file__).parent.parent / "README.md"


def test_the_python_example_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    make_capture(tmp_path / "captures")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, str(README), "exec"), {})
    assert "quote mids" in capsys.readouterr().out
    assert (tmp_path / "report.html").stat().st_size > 10_000
