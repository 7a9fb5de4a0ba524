"""`Study` on the embedded capture: the known lead, both clocks, parts of the time, determinism."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from conftest import frame, head, is_depth, loads, write

import crossbook as xb

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def capture(demo: Path) -> xb.Capture:
    return xb.open(demo)


@pytest.fixture(scope="module")
def study(capture: xb.Capture) -> xb.Study:
    return xb.Study(capture, primary="usdm", secondary="spot", fees_bp={"usdm": 2, "spot": 2})


@pytest.mark.parametrize("series", ["quote mids", "every quote"])
def test_the_known_lead_is_recovered_within_ten_percent(demo: Path, study: xb.Study, series: str) -> None:
    truth = json.loads((demo / "truth.json").read_text())
    found = study.lead_lag_summary.row(by_predicate=pl.col("series") == series, named=True)
    assert found["peak_lag_ms"] == pytest.approx(truth["lead_ms"], rel=0.1)
    assert found["peak_lag_lo_ms"] <= found["peak_lag_ms"] <= found["peak_lag_hi_ms"]
    assert found["llr"] > 5
    assert found["leader"] == "primary"


def test_the_embedded_market_crosses_net_of_its_own_costs_and_is_shut_at_fifteen(study: xb.Study) -> None:
    assert study.crosses.height > 0
    by_fee = study.ladder.group_by("fee_bp").agg(pl.col("total_ms").sum()).sort("fee_bp")
    assert by_fee["total_ms"].is_sorted(descending=True)
    assert by_fee["total_ms"][0] > 0
    assert study.fees == {"binance-usdm:BTCUSDT": 2, "binance-spot:BTCUSDT": 2}


def test_two_runs_give_identical_tables_and_the_same_bytes_of_report(
    capture: xb.Capture, demo: Path, tmp_path: Path
) -> None:
    runs = [xb.Study(c, primary="usdm", secondary="spot") for c in (capture, xb.open(demo))]
    tables = [run.frames() for run in runs]
    assert tables[0].keys() == tables[1].keys()
    for name, table in tables[0].items():
        assert table.equals(tables[1][name]), name
    reports = [run.report(tmp_path / f"{n}.html").read_bytes() for n, run in enumerate(runs)]
    assert reports[0] == reports[1]


def test_another_seed_moves_the_intervals_and_not_the_estimates(capture: xb.Capture, study: xb.Study) -> None:
    other = xb.Study(capture, primary="usdm", secondary="spot", seed=1).lead_lag_summary
    assert other["peak_lag_ms"].equals(study.lead_lag_summary["peak_lag_ms"])
    assert not other["llr_lo"].equals(study.lead_lag_summary["llr_lo"])


@pytest.mark.parametrize("untimed", ["impute", "exclude"])
def test_the_event_clock_says_what_it_did(capture: xb.Capture, untimed: str) -> None:
    study = xb.Study(capture, primary="usdm", secondary="spot", clock="event", untimed=untimed)  # type: ignore[arg-type]
    (said,) = (text for text in study.warnings if "no exchange time" in text)
    assert said.startswith("binance-spot:BTCUSDT: ")
    assert ("were imputed by update id" in said) is (untimed == "impute")
    assert "were left out" in said
    assert (study.secondary.quotes.height > 0) is (untimed == "impute")
    assert (study.secondary.touches["ts_event"] != 0).all()


def test_a_part_of_the_time_is_the_rows_between_and_books_come_from_the_beginning(
    capture: xb.Capture, study: xb.Study
) -> None:
    first = study.primary.quotes["ts_recv"][0]
    start, end = first + 20 * SECOND, first + 50 * SECOND
    part = xb.Study(capture, primary="usdm", secondary="spot", start=start, end=end)
    for role in ("primary", "secondary"):
        for table in ("quotes", "touches", "depth", "trades"):
            whole, cut = (getattr(getattr(s, role), table) for s in (study, part))
            assert cut.equals(whole.filter(pl.col("ts_recv").is_between(start, end, closed="left"))), (role, table)
    assert part.basis["ts"].is_between(start, end, closed="left").all()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"primary": "kraken"}, xb.InstrumentError, "expected one of binance-spot:BTCUSDT, binance-usdm:BTCUSDT"),
        ({"primary": "btcusdt"}, xb.InstrumentError, "may be several"),
        ({"clock": "wall"}, xb.DataError, "clock 'wall'"),
        ({"untimed": "guess"}, xb.DataError, "untimed 'guess'"),
        ({"fees_bp": {"kraken": 1}}, xb.InstrumentError, "expected one of"),
    ],
)
def test_wrong_arguments_are_typed_errors(
    capture: xb.Capture, options: dict, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        xb.Study(capture, **{"primary": "usdm", "secondary": "spot"} | options)


@pytest.mark.parametrize("options", [{"fair_basis": "fair"}, {"fair_basis": "funding"}, {"start": 2**62}])
def test_what_cannot_be_computed_is_a_typed_error(capture: xb.Capture, options: dict) -> None:
    study = xb.Study(capture, primary="usdm", secondary="spot", **options)
    with pytest.raises(xb.Error):
        _ = study.summary


def test_one_venue_against_itself_has_no_crosses_but_all_else(capture: xb.Capture, tmp_path: Path) -> None:
    study = xb.Study(capture, primary="spot", secondary="spot")
    assert study.lead_lag_summary["peak_lag_ms"].to_list() == [0.0] * study.lead_lag_summary.height
    assert "crosses" not in study.frames()
    assert study.report(tmp_path / "report.html").exists()
    with pytest.raises(xb.DataError, match="two venues"):
        _ = study.crosses


@pytest.mark.parametrize(("clock", "untimed"), [("recv", "impute"), ("event", "impute"), ("event", "exclude")])
def test_a_lost_book_is_a_lost_touch_on_every_clock(demo: Path, tmp_path: Path, clock: str, untimed: str) -> None:
    lines = head(demo / "spot-btcusdt.gz")
    at = next(i for i, line in enumerate(lines) if i > len(lines) // 2 and is_depth(line))
    lines[at] = lines[at][:-30]
    write(tmp_path / "spot-btcusdt.gz", lines)
    (tmp_path / "usdm-btcusdt.gz").write_bytes((demo / "usdm-btcusdt.gz").read_bytes())
    study = xb.Study(xb.open(tmp_path), primary="usdm", secondary="spot", clock=clock, untimed=untimed)  # type: ignore[arg-type]
    touches = study.secondary.touches
    lost = touches.filter(pl.col("source") == 2)
    assert lost.select("mid", "bid_units").rows() == [(None, 0)]
    near = int(lines[at].split(b" ")[0])
    assert abs(lost[f"ts_{clock}"][0] - near) < SECOND
    known = touches.filter(pl.col(f"ts_{clock}") > lost[f"ts_{clock}"][0])["source"].unique().to_list()
    # No depth message follows by which a quote could be placed on the exchange's clock.
    assert known == ([0] if clock == "recv" else [])


def test_a_venue_without_quotes_is_studied_on_depth_alone_and_says_so(
    demo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("spot-btcusdt.gz", "usdm-btcusdt.gz"):
        lines = [line for line in head(demo / name) if not (name.startswith("spot") and b"bookTicker" in line)]
        write(tmp_path / name, lines)
    study = xb.Study(xb.open(tmp_path), primary="usdm", secondary="spot")
    assert study.lead_lag_summary["series"].to_list() == ["depth mids"]
    assert "lead-lag on quote mids left out" in caplog.text
    assert study.summary.height > 5
    assert study.report(tmp_path / "report.html").exists()


def test_a_venue_without_a_snapshot_has_no_book_and_says_so(demo: Path, tmp_path: Path) -> None:
    for name in ("spot-btcusdt.gz", "usdm-btcusdt.gz"):
        write(tmp_path / name, [line for line in head(demo / name) if b"lastUpdateId" not in line])
    study = xb.Study(xb.open(tmp_path), primary="usdm", secondary="spot")
    assert sum("no snapshot joined" in warning for warning in study.warnings) == 2
    assert study.secondary.depth.height == 0
    assert study.lead_lag_summary["series"].to_list() == ["quote mids", "every quote"]
    assert study.depth["depth"].null_count() == study.depth.height
    assert study.report(tmp_path / "report.html").exists()


def test_depth_mids_are_those_of_the_rebuilt_book(demo: Path, study: xb.Study) -> None:
    depth = study.primary.depth
    quotes = {m["u"]: m for m in map(frame, head(demo / "usdm-btcusdt.gz")) if m.get("e") == "bookTicker"}
    ids = sorted(quotes)
    for row in depth.sample(50, seed=3).iter_rows(named=True):
        last = quotes[max(u for u in ids if u <= row["sequence"])]
        assert (row["bid"], row["ask"]) == (float(last["b"]), float(last["a"]))


def test_the_report_loads_nothing_from_a_network(study: xb.Study, tmp_path: Path) -> None:
    html = study.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert loads(html) == []
