"""Faults made from real lines: a typed error or a gap, nothing crashes, the rest of the capture is still used."""

from __future__ import annotations

import gzip
import json
import logging
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
from conftest import (
    FILES,
    GAP,
    LEVEL,
    OURS,
    QUOTE,
    TRADE,
    TRADES,
    builtin,
    frame,
    head,
    is_depth,
    model_of,
    tape,
    write,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import crossbook as xb
from crossbook import _core

VENUES = ("spot", "usdm")
LINES = 6_000


@pytest.fixture(scope="session")
def lines(real: Path) -> dict[str, list[bytes]]:
    return {venue: head(real / FILES[venue], LINES) for venue in VENUES}


def find(lines: list[bytes], what: bytes, after: int = LINES // 3) -> int:
    return next(i for i in range(after, len(lines)) if what in lines[i])


class Played(NamedTuple):
    capture: xb.Capture
    events: pl.DataFrame
    faults: pl.DataFrame
    info: dict

    def of(self, kind: int) -> pl.DataFrame:
        return self.events.filter(pl.col("kind") == kind).drop("instrument")

    @property
    def book_gaps(self) -> pl.DataFrame:
        return self.of(GAP).filter(pl.col("flags") & TRADES == 0)


def play(path: Path) -> Played:
    capture = xb.open(path)
    tape = capture.tape()
    return Played(capture, tape.to_polars(), capture.faults(), capture.info().row(0, named=True))


@pytest.fixture(scope="session")
def sound(lines: dict[str, list[bytes]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    folder = tmp_path_factory.mktemp("sound")
    return {venue: play(write(folder / FILES[venue], lines[venue])) for venue in VENUES}


def sub(pattern: bytes, by: bytes) -> Callable[[bytes], bytes]:
    def change(line: bytes) -> bytes:
        found, count = re.subn(pattern, by, line, count=1)
        assert count == 1, line
        return found

    return change


FIRST_PRICE = rb'("b":\[\[")([0-9.]+)'
FIRST_SIZE = rb'("b":\[\["[0-9.]+",")([0-9.]+)'
# One line damaged: how, and what the fault must say.
DAMAGE = {
    "truncated": (lambda line: line[: len(line) * 2 // 3], "expected"),
    "a byte flipped in a brace": (lambda line: line.replace(b'"data":{', b'"data":[', 1), "expected"),
    "a byte flipped out of UTF-8": (lambda line: line.replace(b'"b":[', b'"b":[\xdb', 1), "expected an array"),
    "a flag for the price": (sub(FIRST_PRICE + b'"', b'"b":[[true'), "decimal number"),
    "an object for the levels": (sub(rb'"a":\[', rb'"a":{},"x":['), "expected a decimal number"),
    "a word for the update id": (sub(rb'"u":(\d+)', rb'"u":"x\1"'), "whole number"),
    "40 digits of price": (sub(FIRST_PRICE, rb"\g<1>" + b"9" * 40), r"below 2\^64"),
    "40 digits of update id": (sub(rb'"u":\d+', b'"u":' + b"9" * 40), "whole number"),
    "a price off its unit": (sub(FIRST_PRICE, rb"\g<1>61800.123456789"), "multiple of the unit"),
    "a size off its unit": (sub(FIRST_SIZE, rb"\g<1>0.1234567891"), "multiple of the unit"),
    "a size below zero": (sub(FIRST_SIZE, rb"\g<1>-1"), "size of zero or more"),
    "no price": (sub(FIRST_PRICE, rb"\g<1>"), "decimal number"),
    "a price that is not a number": (sub(FIRST_PRICE, rb"\g<1>NaN"), "decimal number"),
    "a time beyond 64 bits of ns": (sub(rb'"E":\d+(,"T":\d+)?', b'"E":18446744073709551615'), "a time that fits"),
    "no sizes": (sub(FIRST_SIZE + b'"', rb'\1"'), "decimal number|expected"),
    "nested too deep": (sub(rb'"b":\[', b'"b":' + b"[" * 500), "recursion limit|invalid|expected"),
}


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_depth_frame_is_a_fault_and_a_gap_and_the_rest_is_used(
    lines: dict[str, list[bytes]], sound: dict[str, Played], tmp_path: Path, venue: str, how: str
) -> None:
    change, says = DAMAGE[how]
    mine = list(lines[venue])
    at = find(mine, b'depthUpdate","E":', LINES // 3)
    while frame(mine[at])["b"] == []:
        at = find(mine, b"depthUpdate", at + 1)
    before = max(m["u"] for m in map(frame, filter(is_depth, mine[:at])))
    mine[at] = change(mine[at])
    played = play(write(tmp_path / FILES[venue], mine))

    (fault,) = played.faults.iter_rows(named=True)
    assert (fault["kind"], fault["line"]) == ("frame", at + 1)
    assert re.search(says, fault["message"]), fault["message"]
    assert f"binance-{venue}" in fault["message"]
    assert fault["offset"] <= len(mine[at])
    (gap,) = played.book_gaps.iter_rows(named=True)
    assert gap["flags"] & OURS
    assert gap["sequence"] == before + 1
    assert gap["ts_recv"] == int(mine[at].split(b" ")[0])
    rest_is_used(played, sound[venue])
    book_is_lost_from(played, gap["ts_recv"])


def rest_is_used(played: Played, whole: Played, *, without: dict[int, int] | None = None) -> None:
    """All quotes and trades are there, but for so many events of a kind."""
    for kind in (QUOTE, TRADE):
        missing = (without or {}).get(kind, 0)
        ours, theirs = played.of(kind), whole.of(kind)
        assert ours.height == theirs.height - missing
        assert ours.join(theirs, on=ours.columns, how="anti").height == 0
    assert played.info["last"] == whole.info["last"]


def book_is_lost_from(played: Played, ts: int, until: int | None = None) -> None:
    """From the gap on no depth event, a stale book, and no touch from depth, until a snapshot."""
    span = pl.col("ts_recv").is_between(ts, until or 1 << 62, closed="none")
    assert played.of(LEVEL).filter(span).height == 0
    index = played.events.with_row_index("row").filter(
        (pl.col("kind") == GAP) & (pl.col("ts_recv") == ts) & (pl.col("flags") & TRADES == 0)
    )["row"][0]
    tape = xb.Tape(played.events[: index + 1], played.capture.instruments)
    book, market = xb.PriceBook(), xb.Market(played.capture.instruments)
    book.apply(tape)
    market.apply(tape)
    assert book.is_stale
    assert market.touch(0) is None
    rows = pl.DataFrame(market.take_quotes())
    assert rows.row(-1, named=True)["source"] == 2
    if until is None:
        whole = xb.Market(played.capture.instruments)
        whole.apply(xb.Tape(played.events, played.capture.instruments))
        later = pl.DataFrame(whole.take_quotes()).filter(pl.col("ts_recv") > ts)
        assert (later["source"] == 0).all()
        assert whole.touch(0) is not None


@pytest.mark.parametrize("venue", VENUES)
def test_a_deleted_depth_frame_is_a_gap_that_names_the_missing_ids(
    lines: dict[str, list[bytes]], sound: dict[str, Played], tmp_path: Path, venue: str
) -> None:
    mine = list(lines[venue])
    at = find(mine, b"depthUpdate")
    gone = frame(mine.pop(at))
    after = int(mine[find(mine, b"depthUpdate", at)].split(b" ")[0])
    played = play(write(tmp_path / FILES[venue], mine))
    (gap,) = played.book_gaps.iter_rows(named=True)
    first = gone["U"] if venue == "spot" else gone["pu"] + 1
    assert (gap["sequence"], gap["order_id"], gap["flags"] & OURS) == (first, gone["u"], 0)
    assert played.faults.height == 0
    rest_is_used(played, sound[venue])
    book_is_lost_from(played, after)


@pytest.mark.parametrize("venue", VENUES)
def test_a_repeated_depth_frame_changes_nothing(
    lines: dict[str, list[bytes]], sound: dict[str, Played], tmp_path: Path, venue: str
) -> None:
    mine = list(lines[venue])
    at = find(mine, b"depthUpdate")
    mine.insert(at, mine[at])
    played = play(write(tmp_path / FILES[venue], mine))
    assert played.events.equals(sound[venue].events)
    assert (played.info["repeated"], played.faults.height) == (1, 0)


@pytest.mark.parametrize("venue", VENUES)
def test_two_depth_frames_swapped_are_a_gap(
    lines: dict[str, list[bytes]], sound: dict[str, Played], tmp_path: Path, venue: str
) -> None:
    mine = list(lines[venue])
    first = find(mine, b"depthUpdate")
    second = find(mine, b"depthUpdate", first + 1)
    for one, other in ((first, second), (second, first)):
        time = lines[venue][one].split(b" ", 1)[0]
        mine[one] = time + b" " + lines[venue][other].split(b" ", 1)[1]
    played = play(write(tmp_path / FILES[venue], mine))
    gaps = played.book_gaps
    assert gaps.height == 1
    rest_is_used(played, sound[venue])
    book_is_lost_from(played, gaps["ts_recv"][0])


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("how", ["deleted", "truncated"])
def test_after_a_gap_the_next_snapshot_resumes_the_book(
    lines: dict[str, list[bytes]], sound: dict[str, Played], tmp_path: Path, venue: str, how: str
) -> None:
    mine = list(lines[venue])
    at = find(mine, b"depthUpdate")
    later = find(mine, b"depthUpdate", at + 1_000)
    model = model_of(venue)
    for line in mine[: later + 1]:
        model.feed(frame(line))
    resumed = int(mine[later].split(b" ")[0]) + 1
    mine.insert(later + 1, model.rest(resumed).encode())
    if how == "deleted":
        del mine[at]
    else:
        mine[at] = DAMAGE["truncated"][0](mine[at])
    played = play(write(tmp_path / FILES[venue], mine))
    assert played.book_gaps.height == 1
    rest_is_used(played, sound[venue])
    book_is_lost_from(played, played.book_gaps["ts_recv"][0], until=resumed)

    tape = xb.Tape(played.events, played.capture.instruments)
    book = xb.PriceBook()
    top = book.apply(tape).to_polars()
    assert not book.is_stale
    rows = played.events.with_row_index("row").with_columns(pl.col("row").cast(pl.UInt64))
    after = rows.join(top, on="row").filter((pl.col("ts_recv") >= resumed) & (pl.col("kind") == LEVEL))
    sent = [
        (m["u"], m["b"], m["B"], m["a"], m["A"]) for m in map(frame, filter(lambda x: b"bookTicker" in x, lines[venue]))
    ]
    assert after.height > 10
    instrument = builtin(venue)
    units = [float(instrument.price_unit), float(instrument.size_unit)] * 2
    for row in after.iter_rows(named=True):
        _, *texts = max(q for q in sent if q[0] <= row["sequence"])
        wanted = [round(float(text) / unit) for text, unit in zip(texts, units, strict=True)]
        assert [row["bid"], row["bid_size"], row["ask"], row["ask_size"]] == wanted
    assert after["sequence"][-1] == max(m["u"] for m in map(frame, filter(is_depth, lines[venue])))


OTHERS = {
    "quote truncated": (b"bookTicker", lambda line: line[:-20], {QUOTE: 2}),
    "quote of a wrong type": (b"bookTicker", sub(rb'"B":"([0-9.]+)"', b'"B":true'), {QUOTE: 2}),
    "quote of 40 digits": (b"bookTicker", sub(rb'"a":"[0-9.]+"', b'"a":"' + b"9" * 40 + b'"'), {QUOTE: 2}),
    "quote off its unit": (b"bookTicker", sub(rb'"b":"([0-9.]+)"', b'"b":"61800.123456789"'), {QUOTE: 2}),
    "quote without a field": (b"bookTicker", sub(rb'"A":"[0-9.]+"', b'"Z":1'), {QUOTE: 2}),
    "trade truncated": (b"@trade", lambda line: line[:-9], {TRADE: 1}),
    "trade of a wrong type": (b"@trade", sub(rb'"m":(true|false)', b'"m":1'), {TRADE: 1}),
    "trade of 40 digits": (b"@trade", sub(rb'"q":"[0-9.]+"', b'"q":"' + b"1" * 40 + b'"'), {TRADE: 1}),
    "trade off its unit": (b"@trade", sub(rb'"p":"([0-9.]+)"', b'"p":"61800.123456789"'), {TRADE: 1}),
    "trade of size below zero": (b"@trade", sub(rb'"q":"', b'"q":"-'), {TRADE: 1}),
}


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("how", OTHERS)
def test_a_damaged_quote_or_trade_is_a_fault_and_the_book_goes_on(
    lines: dict[str, list[bytes]], sound: dict[str, Played], tmp_path: Path, venue: str, how: str
) -> None:
    what, change, without = OTHERS[how]
    mine = list(lines[venue])
    at = find(mine, what)
    while what == b"@trade" and float(frame(mine[at])["p"]) <= 0.0:
        at = find(mine, what, at + 1)
    mine[at] = change(mine[at])
    played = play(write(tmp_path / FILES[venue], mine))
    (fault,) = played.faults.iter_rows(named=True)
    assert (fault["kind"], fault["line"]) == ("frame", at + 1)
    assert played.book_gaps.height == 0
    # A lost trade shows in the ids of the trades, and leaves the book alone.
    assert played.of(GAP).height == (1 if TRADE in without else 0)
    rest_is_used(played, sound[venue], without=without)
    assert played.of(LEVEL).equals(sound[venue].of(LEVEL))


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(("what", "key"), [(b"bookTicker", b"u"), (b"@trade", b"t"), (b"depthUpdate", b"u")])
def test_one_digit_flipped_in_an_id_does_not_silence_what_follows(
    lines: dict[str, list[bytes]], sound: dict[str, Played], tmp_path: Path, venue: str, what: bytes, key: bytes
) -> None:
    mine = list(lines[venue])
    at = find(mine, what)
    mine[at] = sub(rb'"' + key + rb'":\d', rb'"' + key + rb'":9')(mine[at])
    assert mine[at] != lines[venue][at]
    played = play(write(tmp_path / FILES[venue], mine))
    kind = {b"bookTicker": QUOTE, b"@trade": TRADE, b"depthUpdate": LEVEL}[what]
    if kind == LEVEL:
        assert played.book_gaps.height >= 1, "the book must not stand still in silence"
        rest_is_used(played, sound[venue])
    else:
        # Two older ids are taken for repetitions; with the third the odd one out was wrong.
        start = int(mine[at].split(b" ")[0])
        later = [p.of(kind).filter(pl.col("ts_recv") > start) for p in (played, sound[venue])]
        lost = 2 * (2 if kind == QUOTE else 1)
        assert later[0].height >= later[1].height - lost > 0
        assert later[0].tail(later[1].height - lost).equals(later[1].tail(later[1].height - lost))
        assert played.of(LEVEL).equals(sound[venue].of(LEVEL))


def test_a_line_without_a_receive_time_is_a_fault_of_its_line(
    lines: dict[str, list[bytes]], sound: dict[str, Played], tmp_path: Path
) -> None:
    mine = list(lines["spot"])
    at = find(mine, b"bookTicker")
    for extra in (b"", b"{}", b"hello world", b"12x {}", b"99999999999999999999 {}", b"\xff\xfe 1"):
        mine.insert(at, extra)
    mine[at + 6] = mine[at + 6].split(b" ", 1)[1]
    played = play(write(tmp_path / FILES["spot"], mine))
    assert played.faults["kind"].to_list() == ["line"] * 6
    assert played.faults["line"].to_list() == [*range(at + 1, at + 6), at + 7], "an empty line is nothing"
    rest_is_used(played, sound["spot"], without={QUOTE: 2})
    assert played.of(GAP).height == 0


@pytest.mark.parametrize("what", [b"depthUpdate", b"bookTicker", b"@trade"])
def test_a_symbol_that_was_not_declared_is_refused_and_leaves_our_book_alone(
    lines: dict[str, list[bytes]], sound: dict[str, Played], tmp_path: Path, what: bytes
) -> None:
    mine = list(lines["spot"])
    at = find(mine, what)
    mine.insert(at, mine[at].replace(b'"s":"BTCUSDT"', b'"s":"ETHUSDT"'))
    played = play(write(tmp_path / FILES["spot"], mine))
    (fault,) = played.faults.iter_rows(named=True)
    assert "ETHUSDT" in fault["message"]
    assert "expected a symbol that this feed was given" in fault["message"]
    assert played.of(GAP).height == 0
    assert played.events.equals(sound["spot"].events)


def test_an_empty_file_a_file_that_is_not_gz_and_a_folder_without_captures_are_typed_errors(tmp_path: Path) -> None:
    empty, text = tmp_path / "spot-btcusdt.gz", tmp_path / "usdm-btcusdt.gz"
    empty.write_bytes(b"")
    text.write_bytes(b"1 {}\n")
    with pytest.raises(xb.CaptureError, match=r"spot-btcusdt\.gz: expected at least one frame, found an empty file"):
        xb.open(empty)
    with pytest.raises(xb.CaptureError, match="expected a gzip file"):
        xb.open(text)
    write(hollow := tmp_path / "spot-ethusdt.gz", [])
    with pytest.raises(xb.CaptureError, match="empty file"):
        xb.open(hollow)
    with pytest.raises(xb.CaptureError, match="expected at least one capture file"):
        xb.open(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(xb.CaptureError, match=r"no file of \.gz, \.jsonl"):
        xb.open(tmp_path / "none")
    with pytest.raises(xb.CaptureError, match="No such file"):
        xb.open(tmp_path / "absent.gz")


def test_files_of_a_folder_that_cannot_be_used_are_listed_and_the_others_are_read(
    lines: dict[str, list[bytes]], sound: dict[str, Played], tmp_path: Path
) -> None:
    write(tmp_path / FILES["spot"], lines["spot"])
    (tmp_path / "coinm-btcusd_perp.gz").write_bytes(b"")
    (tmp_path / "usdm-btcusdt.gz").write_bytes(b"not gzip at all")
    (tmp_path / "what.gz").write_bytes(gzip.compress(b"1 {}\n"))
    played = play(tmp_path)
    assert played.events.equals(sound["spot"].events)
    assert played.faults["kind"].to_list() == ["unread"] * 3
    assert played.capture.fault_count == 3


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_gz_cut_in_the_middle_is_used_up_to_the_cut(
    lines: dict[str, list[bytes]], sound: dict[str, Played], tmp_path: Path, share: float
) -> None:
    whole = gzip.compress(b"\n".join(lines["spot"]) + b"\n", 6, mtime=0)
    path = tmp_path / FILES["spot"]
    path.write_bytes(whole[: int(len(whole) * share)])
    played = play(path)
    (fault,) = played.faults.iter_rows(named=True)
    assert fault["kind"] == "damaged"
    assert "everything before it was used" in fault["message"]
    assert fault["line"] > LINES * share * 0.7
    assert played.events[:-1].equals(sound["spot"].events[: played.events.height - 1])
    assert played.events["kind"][-1] == GAP, "the last touch is not the present one"
    assert played.info["frames"] == fault["line"]


def test_a_gz_with_a_byte_flipped_in_its_stream_is_a_fault_and_nothing_crashes(
    lines: dict[str, list[bytes]], tmp_path: Path
) -> None:
    whole = bytearray(gzip.compress(b"\n".join(lines["spot"]), 6, mtime=0))
    for at in range(20_000, len(whole), len(whole) // 7):
        broken = bytearray(whole)
        broken[at] ^= 0xFF
        path = tmp_path / FILES["spot"]
        path.write_bytes(bytes(broken))
        capture = xb.open(path)
        assert sum(len(tape) for tape in capture.batches()) > 0
        assert "damaged" in capture.faults()["kind"].to_list()


def test_one_file_cut_short_leaves_the_other_venue_whole(
    lines: dict[str, list[bytes]], sound: dict[str, Played], tmp_path: Path
) -> None:
    write(tmp_path / FILES["usdm"], lines["usdm"])
    path = write(tmp_path / FILES["spot"], lines["spot"])
    path.write_bytes(path.read_bytes()[:30_000])
    found = xb.open(tmp_path).tape().filter(instrument=[1]).to_polars().drop("instrument")
    assert found.equals(sound["usdm"].events.drop("instrument"))


def test_a_study_of_a_damaged_capture_runs_and_says_what_was_lost(real: Path, tmp_path: Path) -> None:
    mine = head(real / FILES["spot"])
    at = find(mine, b"depthUpdate", len(mine) // 2)
    del mine[at]
    mine[find(mine, b"bookTicker", at)] = b"1723161256172216566 {"
    write(tmp_path / "capture" / FILES["spot"], mine)
    write(tmp_path / "capture" / FILES["usdm"], head(real / FILES["usdm"]))
    study = xb.Study(xb.open(tmp_path / "capture"), primary="usdm", secondary="spot")
    said = "\n".join(study.warnings)
    assert "1 gaps" in said
    assert "1 frames or files could not be used" in said
    assert study.report(tmp_path / "report.html").exists()
    last_depth = study.secondary.depth["ts_recv"][-1]
    assert last_depth < study.secondary.quotes["ts_recv"][-1] - 60e9


def test_the_first_ten_thousand_faults_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    good = json.dumps({"u": 1, "s": "BTCUSDT", "b": "1.0", "B": "1", "a": "2.0", "A": "1"})
    path = write(tmp_path / FILES["spot"], [f"1 {good}", *(["x"] * 10_500)])
    capture = xb.open(path)
    assert (capture.faults().height, capture.fault_count) == (10_000, 10_500)


def test_a_declared_unit_that_is_too_coarse_gives_faults_and_no_wrong_number(
    lines: dict[str, list[bytes]], sound: dict[str, Played], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    coarse = json.loads(builtin("spot").to_json()) | {"price_unit": "1", "size_unit": "0.01"}
    path = write(tmp_path / FILES["spot"], lines["spot"])
    with caplog.at_level(logging.WARNING):
        capture = xb.open(path, instruments=[xb.Instrument.from_json(json.dumps(coarse))])
    found = capture.tape().to_polars() if capture.info()["frames"][0] and capture.fault_count < LINES else None
    assert capture.fault_count > 1_000
    assert capture.faults()["message"].str.contains("expected a multiple of the unit").all()
    assert not caplog.records
    if found is not None:
        exact = found.filter(pl.col("kind") == TRADE).with_columns(pl.col("price") * 100, pl.col("size") * 1_000_000)
        assert exact.join(sound["spot"].of(TRADE), on=["sequence", "price", "size"], how="anti").height == 0


# Odd things at every entry of the engine: a typed exception or an answer, never a panic (which is no `Exception`).
TYPED = (xb.Error, TypeError, ValueError, OverflowError)
EXTREMES = [-(2**63), -1, 0, 1, 2**62, 2**63 - 1]
INTS = st.sampled_from([*EXTREMES, -(2**63) - 1, 2**63, 2**64, 10**40]) | st.integers(-3, 3)
TIMES = st.lists(st.sampled_from(EXTREMES) | st.integers(-50, 50), max_size=6)
FLOATS = st.lists(st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1e308, -1e308, 5e-324, 1.0]), max_size=6)
I64 = TIMES.map(lambda values: np.array(values, np.int64))
SORTED = TIMES.map(lambda values: np.array(sorted(values), np.int64))
F64 = FLOATS.map(np.array)
STRIDED = SORTED.map(lambda values: np.repeat(values, 2)[::2])
ODD = st.sampled_from([None, "x", b"", [], {}, 1.5, math.nan, object()])
COLUMN = I64 | SORTED | STRIDED | F64 | ODD
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "ts_event": st.sampled_from(EXTREMES),
            "ts_recv": st.sampled_from(EXTREMES),
            "sequence": st.sampled_from([0, 1, 2, 2**64 - 1]),
            "price": st.sampled_from(EXTREMES),
            "size": st.sampled_from(EXTREMES),
            "instrument": st.integers(0, 1),
            "kind": st.integers(0, 13),
            "side": st.integers(0, 3),
            "flags": st.sampled_from([0, 1, 2, 3, 9, 255]),
        }
    ),
    max_size=12,
)
BASES = st.sampled_from(["none", "rolling_median", "funding", "x"])
PAIRS = st.tuples(st.integers(0, 2), st.integers(0, 2), BASES, st.tuples(*[st.sampled_from(EXTREMES)] * 3))
hostile = settings(derandomize=True, max_examples=150)


def survive(call: Callable, *arguments: object, **options: object) -> object:
    try:
        return call(*arguments, **options)
    except TYPED as error:
        return error


@hostile
@given(st.data())
def test_kernels_never_panic_on_any_columns(data: st.DataObject) -> None:
    def draw(strategy: st.SearchStrategy) -> object:
        return data.draw(strategy)

    four = [draw(COLUMN) for _ in range(4)]
    grid = {"first": draw(INTS), "step": draw(INTS), "count": draw(st.integers(-1, 9)), "block": draw(INTS)}
    survive(_core.hy_contrast, *four, **grid)
    survive(_core.hy_at, *four, draw(COLUMN))
    survive(_core.response, *four, draw(COLUMN), block=draw(INTS))
    survive(xb.PriceBook().update_rows, *four[:3], levels=draw(st.integers(-1, 4)))


@hostile
@given(
    SORTED,
    st.lists(st.sampled_from([0, 1, 2, 2**32 - 1]), max_size=6),
    I64,
    I64,
    st.lists(INTS, max_size=3),
    st.lists(PAIRS, max_size=2),
    st.lists(st.tuples(*[st.sampled_from(EXTREMES)] * 4), max_size=3),
    st.sampled_from(EXTREMES),
)
def test_crosses_never_panic_on_any_path_or_rules(ts, instrument, bid, ask, ladder, pairs, funding, end) -> None:
    rows = min(map(len, (ts, instrument, bid, ask)))
    columns = ts[:rows], np.array(instrument[:rows], np.uint32), bid[:rows], ask[:rows]
    rules = {"ladder": ladder, "pairs": pairs, "perpetual": [True, False], "funding": funding, "end": end}
    both = [builtin("spot"), builtin("usdm")]
    found = survive(_core.crosses, *columns, instruments=both, fees=[0, 10**6], **rules)
    if isinstance(found, tuple):
        table = found[0].to_polars()
        assert (table["end"] > table["start"]).all()
        assert all(observed >= 0 for *_, observed in found[1])


@hostile
@given(EVENTS)
def test_books_and_markets_never_panic_on_any_events(rows: list[dict[str, int]]) -> None:
    both = [builtin("spot"), builtin("coinm")]
    made = tape(rows, both)
    book, market = xb.PriceBook(), xb.Market(both, bands=[1, 9_999])
    for every in ("message", "row"):
        survive(book.apply, made, every=every, levels=3)
    market.apply(made)
    for side in (0, 1):
        book.horizon(side)
        assert all(size > 0 for _, size in book.depth(side, 2**63))
        for size in EXTREMES:
            assert 0 <= book.walk(side, size)[0] <= max(size, 0)
            for instrument in (0, 1):
                filled, *_ = market.walk(instrument, side, size)
                assert 0 <= filled <= max(size, 0)
    market.take_quotes().to_polars()
    market.take_depth().to_polars()
    [market.touch(instrument) for instrument in (0, 1)]


@pytest.mark.parametrize(
    "call",
    [
        lambda: xb.Market([None]),
        lambda: xb.Market([builtin("spot")], bands=[-1]),
        lambda: xb.Market([builtin("spot")], bands=[2**40]),
        lambda: xb.Market([builtin("spot")]).touch(-1),
        lambda: xb.Market([builtin("spot")]).touch(2**70),
        lambda: xb.Market([builtin("spot")]).apply(None),
        lambda: xb.PriceBook().depth(0, -1),
        lambda: xb.PriceBook().walk(0, 2**64),
        lambda: xb.Tape(pl.DataFrame(), [builtin("spot")]),
        lambda: xb.Tape(pl.DataFrame({"price": [1]}), []),
        lambda: xb.Tape.concat([None]),
        lambda: xb.Instrument.builtin("nope", "BTCUSDT"),
        lambda: xb.Instrument.from_json(""),
        lambda: xb.Instrument.from_json("[" * 10_000),
        lambda: xb.Instrument.from_json(builtin("spot").to_json().replace("0.01", "1e99999999999")),
        lambda: xb.Instrument.from_json(builtin("spot").to_json().replace("0.01", "NaN")),
        lambda: builtin("spot").price(2**63),
        lambda: _core.identify("/"),
        lambda: _core.identify("\0"),
        lambda: _core.survey(["/nowhere"], "binance-spot"),
        lambda: _core.survey(["/nowhere"], "nope"),
        lambda: _core.listed("/nowhere"),
        lambda: _core.list_instruments("binance-spot", b"{}"),
        lambda: _core.current_protocol("nope"),
        lambda: xb.Instrument.infer("binance-spot", "?"),
        lambda: _core.Session("nope", []),
        lambda: _core.Session("binance-usdm", [builtin("spot")]),
        lambda: _core.Session("binance-spot", [builtin("spot")], indices=[1]),
        lambda: _core.Session("binance-spot", [builtin("spot")], channels=["nope"]),
        lambda: _core.Replay([("x",)], []),
        lambda: _core.Replay([(["x"], "nope", [], False)], []),
        lambda: _core.Replay([(["x"], "binance-spot", [0], False)], []),
        lambda: _core.Replay([], []).next_batch(-1),
    ],
)
def test_odd_arguments_are_typed_exceptions(call: Callable[[], object]) -> None:
    with pytest.raises(TYPED):
        call()


@pytest.mark.parametrize("rows", [2**40, 2**62, 2**63 - 1])
def test_a_batch_of_any_size_takes_only_the_memory_of_its_events(
    lines: dict[str, list[bytes]], tmp_path: Path, rows: int
) -> None:
    path = write(tmp_path / FILES["spot"], lines["spot"][:100])
    (only,) = xb.open(path).batches(rows=rows)
    assert len(only) > 100


def test_a_folder_and_nothing_at_all_play_as_empty_captures(tmp_path: Path) -> None:
    assert _core.Replay([], []).next_batch() is None
    sources = [([tmp_path], "binance-spot", [0], False), (["absent"], "binance-spot", [0], False)]
    replay = _core.Replay(sources, [builtin("spot")])
    assert replay.next_batch() is None
    assert [fault["kind"] for fault in replay.faults()] == ["io", "io"]
    assert replay.fault_count == 2


def test_numbers_with_absurd_exponents_in_frames_are_faults(tmp_path: Path) -> None:
    coarse = builtin("spot").to_json().replace('"price_unit":"0.01"', '"price_unit":"100"')
    frames = [
        f'{n} {{"u":{n},"s":"BTCUSDT","b":"{text}","B":"1","a":"200","A":"1"}}'
        for n, text in enumerate(["1e-2147483648", "1e2147483647", "1.5e-2147483648", "0e-2147483648", "1e2"], 1)
    ]
    capture = xb.open(write(tmp_path / FILES["spot"], frames), instruments=[xb.Instrument.from_json(coarse)])
    assert capture.tape().filter(kind=["quote"]).to_polars()["price"].to_list() == [0, 2, 1, 2]
    assert capture.fault_count == 3
