"""What the real captures show, and every ordered pair of them through to report and Parquet."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import permutations
from pathlib import Path

import polars as pl
import pytest
from conftest import FILES

import crossbook as xb
from crossbook.viz.study import _sections


@pytest.fixture(scope="module")
def capture(real: Path) -> xb.Capture:
    return xb.open(real)


@pytest.fixture(scope="module")
def studies(capture: xb.Capture) -> Callable[[str, str], xb.Study]:
    """Each ordered pair once."""
    return cache(lambda primary, secondary: xb.Study(capture, primary=primary, secondary=secondary))


def quote_mids(study: xb.Study) -> dict:
    return study.lead_lag_summary.row(by_predicate=pl.col("series") == "quote mids", named=True)


def test_usdm_leads_spot_by_40_to_150_ms_with_a_ratio_above_five(
    studies: Callable[[str, str], xb.Study],
) -> None:
    study = studies("usdm", "spot")
    assert study.clock == "recv"
    found = quote_mids(study)
    assert 40 <= found["peak_lag_ms"] <= 150
    assert found["llr"] > 5
    assert found["peak_lag_lo_ms"] <= found["peak_lag_ms"] <= found["peak_lag_hi_ms"]
    assert found["llr_lo"] <= found["llr"] <= found["llr_hi"]
    assert found["leader"] == "primary"


def test_a_sweep_is_one_order_and_its_response_is_that_of_an_independent_count(
    studies: Callable[[str, str], xb.Study],
) -> None:
    study = studies("usdm", "spot")
    orders, fills = study.orders
    assert fills > 3.5 * orders
    at = study.response.row(by_predicate=(pl.col("event") == "trade") & (pl.col("offset_ms") == 1_000), named=True)
    # A review's own count by engine time and side, without this package: 0.21 bp [0.15, 0.27].
    assert [round(at[name], 2) for name in ("mean_bp", "lo_bp", "hi_bp")] == [0.21, 0.15, 0.27]


def test_the_roles_exchanged_give_the_opposite_lag(studies: Callable[[str, str], xb.Study]) -> None:
    ahead, behind = (quote_mids(studies(*pair)) for pair in (("usdm", "spot"), ("spot", "usdm")))
    assert behind["peak_lag_ms"] == -ahead["peak_lag_ms"]
    assert behind["llr"] == pytest.approx(1 / ahead["llr"])


def test_spot_against_itself_has_lag_zero(capture: xb.Capture) -> None:
    study = xb.Study(capture, primary="spot", secondary="spot")
    assert study.lead_lag_summary["peak_lag_ms"].to_list() == [0.0] * study.lead_lag_summary.height


@pytest.mark.parametrize("pair", list(permutations(FILES, 2)), ids="-".join)
def test_every_ordered_pair_runs_to_a_report_and_parquet(
    studies: Callable[[str, str], xb.Study], pair: tuple[str, str], tmp_path: Path
) -> None:
    study = studies(*pair)
    study.to_parquet(tmp_path)
    assert {path.stem for path in tmp_path.glob("*.parquet")} == set(study.frames())
    for name, frame in study.frames().items():
        assert pl.read_parquet(tmp_path / f"{name}.parquet").equals(frame), name
    html = study.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.count("<svg") >= 6
    # Our receive clock runs 1.27 s behind the exchange's (README of the data).
    assert study.clocks["behind"].all()
    assert study.clocks["offset_ms"].is_between(-1_290, -1_250).all()
    assert sum("runs behind" in warning for warning in study.warnings) == 2


def test_depth_of_the_three_contracts_is_comparable_in_base_currency(studies: Callable[[str, str], xb.Study]) -> None:
    depth = {
        name: studies(name, "usdm").depth.filter(pl.col("venue").str.contains(name), within_bp=5.0)["depth"].sum()
        for name in ("spot", "coinm")
    }
    # Tens of BTC within 5 bp on both, not thousands of contracts.
    assert all(1 < value < 500 for value in depth.values()), depth


@pytest.mark.parametrize("untimed", ["impute", "exclude"])
def test_the_event_clock_says_what_it_did_with_quotes_that_carry_no_time(capture: xb.Capture, untimed: str) -> None:
    study = xb.Study(capture, primary="usdm", secondary="spot", clock="event", untimed=untimed)  # type: ignore[arg-type]
    (said,) = (text for text in study.warnings if "no exchange time" in text)
    assert "28,040 quotes" in said  # every bookTicker of the spot file
    imputed = study.secondary.quotes.height
    if untimed == "impute":
        assert f"{imputed:,} were imputed" in said
        assert imputed > 28_000
        assert study.secondary.quotes["ts_event"].is_sorted()
    else:
        assert imputed == 0
        assert "28,040 were left out" in said
        assert "imputed" not in said
        assert "quote mids" not in study.lead_lag_summary["series"].to_list()


def test_the_page_on_how_to_read_a_report_shows_the_numbers_of_this_capture(
    studies: Callable[[str, str], xb.Study],
) -> None:
    rows = [(one.title, one.measure or "–", one.number) for one in _sections(studies("usdm", "spot"))]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    page = (Path(__file__).parents[2] / "docs" / "study.md").read_text(encoding="utf-8")
    assert table in page, f"docs/study.md: expected this table\n{table}"
