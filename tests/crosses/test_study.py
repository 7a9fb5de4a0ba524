"""What a study says of crosses beyond the touch, and the command that lists them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl
import pytest

import crossbook as xb
from crossbook.cli import main
from crossbook.errors import DataError
from crossbook.study import receive_only
from crossbook.viz import arbitrage
from crossbook.viz.theme import to_svg


@pytest.fixture(scope="module")
def study(demo: Path) -> xb.Study:
    return xb.Study(xb.open(demo), primary="usdm", secondary="spot", fees_bp={"usdm": 0.5, "spot": 0.5})


def test_the_surface_has_every_capital_and_latency_with_and_without_fees(study: xb.Study) -> None:
    frame = study.arbitrage
    assert frame.select("fees_level").unique().height == 2
    assert frame.height == 2 * frame["capital"].n_unique() * frame["latency_ms"].n_unique()
    parts = frame["gross"] - frame["fees"] - frame["fixed"] - frame["unhedged"]
    assert (parts - frame["profit"]).abs().max() == pytest.approx(0, abs=1e-9)
    free = frame.filter(fees_level="free")
    assert free["fees"].sum() == 0
    # Without latency every trade is filled to the full, and no leg is left over.
    at_once = frame.filter(latency_ms=0)
    assert at_once["tried"].sum() > 0
    assert at_once["full"].to_list() == at_once["tried"].to_list()
    assert at_once["unhedged"].to_list() == [0.0] * at_once.height
    assert (at_once["profit"] >= 0).all()


def test_traders_see_nothing_outside_the_part_that_is_studied(demo: Path) -> None:
    capture = xb.open(demo)
    whole = xb.Study(capture, primary="usdm", secondary="spot", fees_bp={"usdm": 0, "spot": 0})
    first = int(whole.primary.touches["ts_recv"][0])
    part = xb.Study(
        capture,
        primary="usdm",
        secondary="spot",
        fees_bp={"usdm": 0, "spot": 0},
        start=first + 20_000_000_000,
        end=first + 40_000_000_000,
    )
    assert 0 < part.arbitrage["tried"].sum() < whole.arbitrage["tried"].sum()
    part._surfaces.finish(0)  # type: ignore[union-attr]
    for found in part._surfaces.crosses().values():  # type: ignore[union-attr]
        assert found.is_empty() or found["start"].min() >= first + 20_000_000_000
        assert found.is_empty() or found["end"].max() <= first + 45_000_000_001


def test_on_the_exchange_clock_nobody_trades(demo: Path) -> None:
    study = xb.Study(xb.open(demo), primary="usdm", secondary="spot", clock="event")
    assert study.arbitrage.is_empty()
    assert study.receive_only.is_empty()
    assert set(study.arbitrage.columns) <= set(
        xb.Study(xb.open(demo), primary="usdm", secondary="spot").arbitrage.columns
    )


def touches(*rows: tuple[int, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"ts_event": pl.Int64, "ts_recv": pl.Int64}, orient="row")


def test_a_cross_of_touches_that_never_stood_together_was_there_on_our_clock_only() -> None:
    # The second venue's messages take 50 longer than the first's: at 160 we hold a's touch of 150 and b's of 100.
    a = touches((100, 110), (150, 160), (300, 310))
    b = touches((100, 155), (140, 200), (260, 320))
    crosses = pl.DataFrame({"start": [160, 200], "end": [200, 310]})
    # From 160 a is [150, 300] and b [100, 140]: apart. From 200 b is [140, 260]: together.
    assert receive_only([a, b], crosses) == (1, 1, 0)
    unknown = touches((100, 110), (0, 160), (300, 310))
    assert receive_only([unknown, b], crosses) == (0, 0, 2)
    assert receive_only([a.clear(), b.clear()], crosses) == (0, 0, 2)
    assert receive_only([a, b], crosses.clear()) == (0, 0, 0)


def test_a_surface_is_drawn_with_its_numbers_in_words_and_an_empty_one_says_so() -> None:
    frame = pl.DataFrame(
        {
            "capital": [1e4, 1e4, 1e6, 1e6],
            "latency_ms": [0.0, 5.0, 0.0, 5.0],
            "profit": [1_234.5, -3.25, 0.0, 56_789.0],
            "gross": [2_000.0, 1.0, 0.0, 60_000.0],
            "fees": [765.5, 1.0, 0.0, 3_211.0],
            "fixed": [0.0] * 4,
            "unhedged": [0.0, 3.25, 0.0, 0.0],
        }
    )
    svg = to_svg(arbitrage.surface(frame, currency="USDT", fees="net of 2 bp"))
    for text in ("1,234", "−3.25", "56.8k", "10k", "1M"):
        assert text in svg, text
    assert "legs without a match" in to_svg(arbitrage.costs(frame.head(2), currency="USDT"))
    assert "fixed costs" not in to_svg(arbitrage.costs(frame.head(2), currency="USDT"))
    for chart in (
        arbitrage.surface(frame.clear(), currency="USDT", fees=""),
        arbitrage.costs(frame.clear(), currency="X"),
    ):
        assert "no traders" in to_svg(chart)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["crossbook", "crosses", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0


def test_the_command_lists_crosses_and_traders_and_writes_parquet(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fees = ["--fee", "usdm=0", "--fee", "spot=0"]
    out = tmp_path / "made" / "crosses.parquet"
    options = ["--capital", "1e4,1e5", "--latency", "0,10", "--out", str(out)]
    run(monkeypatch, str(small), "--json", *fees, *options)
    said = json.loads(capsys.readouterr().out)
    assert len(said["crosses"]) > 0
    assert len(said["traders"]) == 4
    assert pl.read_parquet(out).height == len(said["crosses"])
    assert pl.read_parquet(out.with_name("crosses-traders.parquet")).height == 4
    run(monkeypatch, str(small), *fees, "--primary", "spot", "--rows", "3")
    text = capsys.readouterr().out
    assert "the 3 most profitable" in text
    run(monkeypatch, str(small), "--json", *fees, "--primary", "spot", "--secondary", "usdm")
    assert json.loads(capsys.readouterr().out)["crosses"] == said["crosses"]


def test_a_command_that_is_not_understood_says_what_was_expected(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, says in ((["--capital", "much"], "1e4,1e5"), (["--primary", "nowhere"], "nowhere")):
        monkeypatch.setattr(sys, "argv", ["crossbook", "crosses", str(small), *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        assert says in capsys.readouterr().err


def test_a_capture_of_one_venue_has_no_crosses_to_look_for(small: Path) -> None:
    capture = xb.open(small).select("spot")
    with pytest.raises(DataError, match="at least two venues"):
        xb.Market(capture.instruments).crosses(capture)
