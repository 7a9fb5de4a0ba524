"""Opening captures: which file is what, units, batches, progress, memory."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from conftest import QUOTE, builtin, write

import crossbook as xb


def ticker(u: int, bid: str = "1.0", size: str = "1", symbol: str = "BTCUSDT", at: int = 0) -> str:
    body = {"u": u, "s": symbol, "b": bid, "B": size, "a": "2000000.0", "A": "1"}
    return f"{at or 1_000 + u} {json.dumps(body, separators=(',', ':'))}"


def tickers(count: int, **options) -> list[str]:
    return [ticker(u, **options) for u in range(1, count + 1)]


def test_built_in_units_are_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    capture = xb.open(write(tmp_path / "spot-btcusdt.gz", tickers(3)))
    assert capture.instruments == [builtin("spot")]
    assert (capture.instruments[0].price_unit, capture.instruments[0].size_unit) == ("0.01", "0.00000001")
    assert not caplog.records
    assert repr(capture) == f"Capture({tmp_path}/spot-btcusdt.gz: binance-spot:BTCUSDT)"


DECLARED = {
    "venue": "binance-spot",
    "symbol": "BTCUSDT",
    "contract": "spot",
    "price_unit": "0.001",
    "size_unit": "0.5",
    "base": "BTC",
    "quote": "USDT",
    "settle": "USDT",
}


@pytest.mark.parametrize("suffix", ["json", "toml"])
def test_an_instruments_file_overrides_the_built_in_units(tmp_path: Path, suffix: str) -> None:
    lines = [f'{key} = "{value}"' for key, value in DECLARED.items()]
    text = json.dumps([DECLARED]) if suffix == "json" else "\n".join(["[[instruments]]", *lines])
    declared = tmp_path / f"units.{suffix}"
    declared.write_text(text)
    path = write(tmp_path / "spot-btcusdt.gz", tickers(3))
    capture = xb.open(path, instruments=declared)
    assert (capture.instruments[0].price_unit, capture.instruments[0].size_unit) == ("0.001", "0.5")
    bids = capture.tape().to_polars().filter(pl.col("side") == 0)
    assert bids["price"].to_list() == [1_000] * 3
    assert bids["size"].to_list() == [2] * 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected an instruments file in JSON or TOML"),
        ("{}", "expected a list of instruments"),
        ("[1]", "entry 0"),
        (json.dumps([{**DECLARED, "venue": "nope"}]), "unknown variant"),
        (json.dumps([{**DECLARED, "price_unit": "0"}]), "unit"),
        (json.dumps([{**DECLARED, "price_unit": "-1"}]), "unit"),
        (json.dumps([{**DECLARED, "price_unit": "1e-19"}]), "unit"),
        (json.dumps([{**DECLARED, "colour": "red"}]), "unknown field"),
        (json.dumps([DECLARED, {"venue": "binance-spot"}]), "entry 1: instrument: missing field"),
    ],
)
def test_an_instruments_file_that_is_wrong_says_where(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "units.json").write_text(text)
    with pytest.raises(xb.DataError, match=says):
        xb.read_instruments(tmp_path / "units.json")
    with pytest.raises(xb.DataError, match=says):
        xb.open(write(tmp_path / "spot-btcusdt.gz", tickers(1)), instruments=tmp_path / "units.json")


def test_units_of_an_unknown_symbol_are_the_finest_of_the_whole_file_cached_and_warned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [*tickers(30_000, symbol="ETHUSDT"), ticker(30_001, "1.00002500", "0.1234560", "ETHUSDT")]
    path, cache = write(tmp_path / "spot-ethusdt.gz", lines), tmp_path / "out" / "instruments.json"
    with caplog.at_level(logging.WARNING):
        capture = xb.open(path, cache=cache)
    assert (capture.instruments[0].price_unit, capture.instruments[0].size_unit) == ("0.000001",) * 2
    assert "units of binance-spot:ETHUSDT (price" in caplog.text
    assert capture.tape().to_polars().filter(pl.col("kind") == QUOTE)["price"][-2] == 1_000_025
    assert capture.fault_count == 0

    caplog.clear()
    assert xb.open(path, cache=cache).instruments == capture.instruments
    assert not caplog.records


def test_cached_units_hold_for_the_file_they_were_measured_on_and_no_other(tmp_path: Path) -> None:
    cache = tmp_path / "units.json"
    coarse = write(tmp_path / "a" / "spot-ethusdt.gz", tickers(3, symbol="ETHUSDT"))
    fine = write(tmp_path / "b" / "spot-ethusdt.gz", tickers(3, symbol="ETHUSDT", size="0.001"))
    assert [xb.open(path, cache=cache).instruments[0].size_unit for path in (coarse, fine)] == ["1", "0.001"]
    assert xb.open(fine, cache=cache).fault_count == 0
    assert len(json.loads(cache.read_text())) == 2
    # The same name, changed since.
    write(coarse, tickers(4, symbol="ETHUSDT", size="0.01"))
    assert xb.open(coarse, cache=cache).instruments[0].size_unit == "0.01"


@pytest.mark.parametrize("text", ["", "{}x", "[1]", '[{"file": "a"}]'])
def test_a_cache_of_units_that_is_none_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path, cache = write(tmp_path / "spot-btcusdt.gz", tickers(1)), tmp_path / "units.json"
    cache.write_text(text)
    with pytest.raises(xb.DataError, match=r"units.json: expected a cache of units"):
        xb.open(path, cache=cache)


@pytest.mark.parametrize("name", ["binance-spot-btcusdt.gz", "spot-BTCUSDT.2024-08-08.gz", "spot-btcusdt.log"])
def test_a_name_says_venue_and_symbol(tmp_path: Path, name: str) -> None:
    assert xb.open(write(tmp_path / name, tickers(1))).instruments == [builtin("spot")]


def test_frames_say_venue_and_symbol_where_the_name_does_not(tmp_path: Path) -> None:
    assert xb.open(write(tmp_path / "a.gz", ["1 {}", *tickers(1)])).instruments == [builtin("spot")]


@pytest.mark.parametrize("name", ["usdm", "binance-usdm", "USDM", "binance-usdm:BTCUSDT"])
def test_an_instrument_has_short_and_long_names(demo: Path, name: str) -> None:
    capture = xb.open(demo)
    assert capture.instruments[capture.index(name)].alias == "usdm"


@pytest.mark.parametrize(("name", "says"), [("kraken", "is none"), ("btcusdt", "may be several")])
def test_a_name_that_means_none_or_several_names_the_choices(demo: Path, name: str, says: str) -> None:
    with pytest.raises(xb.InstrumentError, match=f"{says}.*binance-spot:BTCUSDT, binance-usdm:BTCUSDT"):
        xb.open(demo).index(name)


def test_select_renumbers_the_instruments(demo: Path) -> None:
    capture = xb.open(demo)
    turned = capture.select("usdm", "spot")
    assert [i.alias for i in turned.instruments] == ["usdm", "spot"]
    swapped = (
        turned.tape().to_polars().with_columns(instrument=(1 - pl.col("instrument").cast(pl.Int64)).cast(pl.UInt32))
    )
    assert swapped.sort("instrument", "ts_recv", maintain_order=True).equals(
        capture.tape().to_polars().sort("instrument", "ts_recv", maintain_order=True)
    )


def test_batches_are_of_about_the_rows_asked_for_and_progress_ends_at_the_total(demo: Path) -> None:
    capture, seen = xb.open(demo), []
    sizes = [len(tape) for tape in capture.batches(rows=1_000, progress=lambda done, total: seen.append((done, total)))]
    assert all(size >= 1_000 for size in sizes[:-1])
    assert sum(sizes) == len(capture.tape())
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] == sum(path.stat().st_size for path in demo.glob("*.gz"))
    assert len(list(capture.batches(rows=0))) > 100


def test_info_after_a_half_read_capture_counts_all_of_it(tmp_path: Path) -> None:
    capture = xb.open(write(tmp_path / "spot-btcusdt.gz", [*tickers(5_000), "bad"]))
    for _ in capture.batches(rows=10):
        break
    assert capture.info()["quotes"].to_list() == [5_000]
    assert capture.fault_count == 1


def test_a_capture_without_events_has_no_tape_and_says_so(tmp_path: Path) -> None:
    capture = xb.open(write(tmp_path / "spot-btcusdt.gz", ['1 {"result":null,"id":1}']))
    assert list(capture.batches()) == []
    with pytest.raises(xb.DataError, match="at least one event"):
        capture.tape()
    assert capture.info()["other"].to_list() == [1]


def test_times_in_info_are_utc(tmp_path: Path) -> None:
    capture = xb.open(write(tmp_path / "spot-btcusdt.gz", [ticker(1, at=1_723_161_253_937_085_768)]))
    first = capture.info()["first"]
    assert first.dtype == pl.Datetime("ns", "UTC")
    assert str(first[0]).startswith("2024-08-08 23:54:13.937085")


def test_lines_may_end_as_windows_ends_them_and_the_last_may_not_end_at_all(tmp_path: Path) -> None:
    path = tmp_path / "spot-btcusdt.log"
    path.write_bytes("\r\n".join(tickers(3)).encode())
    capture = xb.open(path)
    assert (len(capture.tape()), capture.fault_count) == (6, 0)


def test_several_gzip_members_read_as_one_file(tmp_path: Path) -> None:
    parts = [write(tmp_path / f"{n}.gz", [ticker(n)]).read_bytes() for n in (1, 2, 3)]
    path = tmp_path / "spot-btcusdt.gz"
    path.write_bytes(b"".join(parts))
    assert len(xb.open(path).tape()) == 6


def test_receive_times_that_run_back_are_counted_and_lose_nothing(tmp_path: Path) -> None:
    lines = [ticker(1, at=100), ticker(2, at=50), ticker(3, at=200)]
    capture = xb.open(write(tmp_path / "spot-btcusdt.gz", lines))
    assert capture.tape().to_polars()["sequence"].to_list() == [1, 1, 2, 2, 3, 3]
    assert capture.info()["backwards"].to_list() == [1]


PEAK = """
import resource, sys, crossbook as xb
for _ in xb.open(sys.argv[1]).batches(): pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_a_capture_four_times_as_long_takes_no_more_memory(tmp_path: Path) -> None:
    def peak_kib(count: int) -> int:
        lines = tickers(count)
        path = write(tmp_path / str(count) / "spot-btcusdt.gz", lines)
        done = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
        return int(done.stdout)

    # 400,000 messages are 800,000 events: 45 MB, were they kept.
    assert peak_kib(400_000) - peak_kib(100_000) < 6 * 1024
