"""What `crossbook bench` shows. No test here knows how fast anything is."""

import polars as pl
import pytest

from crossbook.latency import measure

FIGURES = ["p50", "p90", "p99", "p99_9", "max"]


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return measure(quick=True)


def test_every_path_and_both_clocks_have_a_row(rows: pl.DataFrame):
    assert rows.columns == ["path", "unit", "count", *FIGURES, "note"]
    assert rows["path"].to_list() == [
        "clock, Rust",
        "book update, Rust",
        "book update in a run, Rust",
        "decode of a depth frame",
        "frame to market",
        "clock, Python",
        "Python single call",
        "Python batch, per row",
    ]
    assert rows["unit"].unique().to_list() == ["ns"]


def test_every_path_has_its_samples(rows: pl.DataFrame):
    assert rows.select((pl.col("count") >= 10_000).all()).item()


def test_percentiles_ascend(rows: pl.DataFrame):
    figures = rows.select(FIGURES).rows()
    assert all(list(row) == sorted(row) for row in figures)


def test_each_note_says_what_became_of_the_clock(rows: pl.DataFrame):
    assert all("clock row is included" in note or note.startswith("overhead") for note in rows["note"])
