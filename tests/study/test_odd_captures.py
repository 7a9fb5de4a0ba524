"""A study of a capture in which something is missing shows every part or says in a sentence why it cannot."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from conftest import head, is_depth, write

import crossbook as xb

Lines = list[bytes]
FILES = {"usdm": "usdm-btcusdt.gz", "spot": "spot-btcusdt.gz"}
DAY = 86_400_000_000_000
CORE = ["Clocks", "Quotes and basis", "Lead–lag", "Response"]
PAIR = [
    "Crosses at the touch",
    "Lead against the feedback twin",
    "Price discovery",
    "Response of price, spread, depth and flow",
    "Order flow and impact",
    "Latency and connectivity",
    "Feedback between the venues",
    "Convergence",
    "Statistical arbitrage",
    "Anticipation",
]


def trade(line: bytes) -> bool:
    return b'"e":"trade"' in line or b'"e":"aggTrade"' in line


def quote(line: bytes) -> bool:
    return b"bookTicker" in line


def without(kind: Callable[[bytes], bool]) -> Callable[[Lines], Lines]:
    return lambda lines: [line for line in lines if not kind(line)]


def later(lines: Lines, ns: int) -> Lines:
    parts = (line.split(b" ", 1) for line in lines)
    return [b"%d %s" % (int(time) + ns, rest) for time, rest in parts]


def whole(lines: Lines) -> Lines:
    return lines


def empty_hour(lines: Lines) -> Lines:
    middle = len(lines) // 2
    return lines[:middle] + later(lines[middle:], DAY // 24)


ODD: dict[str, tuple[Callable[[Lines], Lines], Callable[[Lines], Lines], set[str]]] = {
    "the primary has no trades": (without(trade), whole, {"Feedback between the venues"}),
    "neither has trades": (without(trade), without(trade), {"Feedback between the venues"}),
    "an hour is empty": (empty_hour, empty_hour, set()),
    "the tapes lie a day apart": (whole, lambda lines: later(lines, DAY), {"Quotes and basis", "Lead–lag", *PAIR[:1]}),
    "ten messages of each": (lambda lines: lines[:10], lambda lines: lines[:10], {"Lead–lag", "Price discovery"}),
    "the secondary has no quotes": (whole, without(quote), set()),
    "the primary has trades only": (lambda lines: [one for one in lines if trade(one)], whole, {"Quotes and basis"}),
    "neither has depth": (without(is_depth), without(is_depth), set()),
}


def read(study: xb.Study, path: Path) -> dict[str, str]:
    """The words of each part of the report by its title."""
    html = re.sub(r"<(style|svg).*?</\1>", "", study.report(path).read_text(encoding="utf-8"), flags=re.DOTALL)
    parts = (part.split("</h2>") for part in re.split(r"<h2[^>]*>", html)[1:])
    return {plain(part[0]): plain(" ".join(part[1:])) for part in parts}


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", unescape(html))).strip()


@pytest.fixture(scope="module")
def lines(small: Path) -> dict[str, Lines]:
    return {name: head(small / file) for name, file in FILES.items()}


@pytest.mark.parametrize("what", ODD)
def test_each_part_is_shown_or_says_why_it_cannot_be(what: str, lines: dict[str, Lines], tmp_path: Path) -> None:
    *changes, missing = ODD[what]
    for (name, file), change in zip(FILES.items(), changes, strict=True):
        write(tmp_path / file, change(lines[name]))  # type: ignore[operator]
    study = xb.Study(xb.open(tmp_path), primary="usdm", secondary="spot")
    said = read(study, tmp_path / "report.html")
    assert set(said) >= {*CORE, *PAIR}
    for title, words in said.items():
        assert not re.search(r"\b(nan|inf|None(?! of \d)|null)\b", words), title
    for title in missing:
        assert re.search(r"Not measured: \S.{20}", said[title]), said[title]
    study.to_parquet(tmp_path / "out")
    for name, frame in study.frames().items():
        for column, kind in frame.schema.items():
            # Order flow's own NaN-free rule is held elsewhere; levels of a depth that is not known are null.
            assert not kind.is_float() or frame[column].drop_nulls().is_finite().all(), (name, column)


def test_a_capture_of_one_instrument_is_studied_against_itself(lines: dict[str, Lines], tmp_path: Path) -> None:
    write(tmp_path / FILES["spot"], lines["spot"])
    capture = xb.open(tmp_path)
    with pytest.raises(xb.InstrumentError, match="expected one of binance-spot:BTCUSDT"):
        xb.Study(capture, primary="usdm", secondary="spot")
    said = read(xb.Study(capture, primary="spot", secondary="spot"), tmp_path / "report.html")
    assert set(said) >= set(CORE)
    assert "Convergence" not in said
