"""`Study` on the embedded capture: the known lead, both clocks, parts of the time, determinism."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import polars as pl
import pytest
from conftest import frame, head, is_depth, loads, write

import crossbook as xb
from crossbook.study import aggressor_orders
from crossbook.viz.theme import number

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
        ({"maker_fees_bp": {"kraken": 1}}, xb.InstrumentError, "expected one of"),
        ({"maker_fees_bp": {"usdm": float("nan")}}, xb.DataError, "maker_fees_bp: usdm: expected a fee between"),
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


def test_a_part_in_which_a_venue_shows_nothing_is_an_error_that_names_the_part(capture: xb.Capture) -> None:
    study = xb.Study(capture, primary="usdm", secondary="spot", start=2_000_000_000 * SECOND)
    with pytest.raises(xb.DataError, match=r"start 2033-05-18 03:33:20.* expected a touch of binance-usdm:BTCUSDT"):
        _ = study.summary


def test_a_venue_that_ends_early_ends_basis_and_crosses_and_is_named(
    study: xb.Study, demo: Path, tmp_path: Path
) -> None:
    lines = head(demo / "spot-btcusdt.gz")
    write(tmp_path / "spot-btcusdt.gz", lines[: len(lines) // 2])
    (tmp_path / "usdm-btcusdt.gz").write_bytes((demo / "usdm-btcusdt.gz").read_bytes())
    cut = xb.Study(xb.open(tmp_path), primary="usdm", secondary="spot", fees_bp={"usdm": 2, "spot": 2})
    end = int(lines[len(lines) // 2 - 1].split(b" ")[0])
    lost = (study.primary.quotes["ts_recv"][-1] - end) / 1e9
    assert lost > 20
    (said,) = (text for text in cut.warnings if "ends" in text)
    assert said == f"spot ends {lost:.1f} s before usdm: basis and crosses end with it."
    assert not any("ends" in text for text in study.warnings)
    assert cut.shared_end == end
    assert (cut.basis["ts"] + cut.basis["held_ns"]).max() == end
    assert cut.crosses["end"].max() <= end
    assert cut.observed_s < study.observed_s - lost + 1


def test_missing_trades_are_a_warning_of_their_own(demo: Path, tmp_path: Path) -> None:
    lines = head(demo / "usdm-btcusdt.gz")
    at = next(i for i, line in enumerate(lines) if i > 500 and b'"e":"trade"' in line)
    write(tmp_path / "usdm-btcusdt.gz", lines[:at] + lines[at + 1 :])
    (tmp_path / "spot-btcusdt.gz").write_bytes((demo / "spot-btcusdt.gz").read_bytes())
    warnings = xb.Study(xb.open(tmp_path), primary="usdm", secondary="spot").warnings
    assert "usdm-btcusdt.gz: 1 gaps in the trades: trades are missing, the book is not touched." in warnings
    assert not any("until the next snapshot" in text for text in warnings)


def test_too_short_a_capture_for_a_lead_says_how_short(capture: xb.Capture, study: xb.Study) -> None:
    first = study.primary.quotes["ts_recv"][0]
    short = xb.Study(capture, primary="usdm", secondary="spot", start=first, end=first + 2 * SECOND)
    with pytest.raises(xb.DataError, match=r"lead-lag: expected at least 6 blocks of 1 s .* found 1\.\d+ s"):
        _ = short.lead_lag


def test_the_summary_says_what_its_bounds_are_and_counts_orders_and_fills(study: xb.Study) -> None:
    bounds = dict(study.summary.select("measure", "bounds").iter_rows())
    assert bounds["spot: receive − event"] == "5–95 % of messages"
    assert bounds["spot: spread"] == "5–95 % of touches"
    assert bounds["peak lag, quote mids"] == bounds["share of time crossed net of fees"] == "95 % interval"
    assert (study.summary["bounds"].is_null() == study.summary["lo"].is_null()).all()
    values = dict(study.summary.select("measure", "value").iter_rows())
    orders, fills = values["primary aggressor orders"], values["their fills"]
    assert fills == study.primary.trades.height
    assert orders == aggressor_orders(study.primary.trades).height


def text_of(study: xb.Study, path: Path) -> str:
    """The report's words."""
    html = re.sub(r"<(style|svg).*?</\1>", "", study.report(path).read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", unescape(html)))


def test_the_report_claims_no_more_than_was_found(capture: xb.Capture, study: xb.Study, tmp_path: Path) -> None:
    said = text_of(study, tmp_path / "report.html")
    # A capture of a minute: twelve blocks.
    assert 4 < study.block_s < 6
    assert f"bootstrap of {study.block_s:.3g} s blocks" in said
    assert "10 s blocks" not in said
    assert "receive minus event is positive, as a delay must be, so nothing contradicts the two clocks" in said
    for row in study.lead_lag_summary.iter_rows(named=True):
        assert f"on {row['series']} the contrast peaks at {row['peak_lag_ms']:g} ms" in said
    orders, fills = study.orders
    assert f"of {orders:,} orders, {fills:,} fills." in said
    share, lo, hi = (number(value * 100) for value in study.cross_share if value is not None)
    assert f"overlapped {share} % [{lo}, {hi}] of the time" in said


def test_a_claim_that_was_only_asked_for_is_said_to_be_so_and_a_ladder_to_end(
    capture: xb.Capture, tmp_path: Path
) -> None:
    fees = {"usdm": 500, "spot": 500}
    asked = xb.Study(capture, primary="usdm", secondary="spot", fair_basis="none", fees_bp=fees)
    # Its crosses are gone below 15 bp, so the ladder is cut short instead.
    asked.__dict__["ladder"] = asked.ladder.filter(pl.col("fee_bp") <= 1)
    said = text_of(asked, tmp_path / "report.html")
    assert "taken as the same claim, as asked" in said
    assert "crosses are left up to 1 bp, where the ladder ends" in said
    assert "gone above" not in said


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


def test_costs_of_a_venue_have_the_makers_fee_given_or_the_takers(capture: xb.Capture) -> None:
    study = xb.Study(capture, primary="usdm", secondary="spot", fees_bp={"spot": 10 / 3}, maker_fees_bp={"usdm": -0.5})
    usdm, spot = (study.costs[name] for name in study.fees)
    assert [float(usdm.affine(liquidity=side)[0]) for side in ("maker", "taker")] == [-0.5, 5.0]
    # Rounded up, against the user; the maker's is the taker's where nobody said otherwise.
    assert [float(spot.affine(liquidity=side)[0]) for side in ("maker", "taker")] == [3.33334, 3.33334]
