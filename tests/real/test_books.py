"""The three real captures: rebuilt books against the exchange's own quotes, and against a book of dicts."""

from __future__ import annotations

import itertools
from pathlib import Path

import polars as pl
import pytest
from conftest import FILES, GAP, LAST, LEVEL, QUOTE, SNAPSHOT, frame, head, model_of, write

import crossbook as xb


@pytest.mark.parametrize(
    ("venue", "messages"),
    # The counts that the captures were found to hold when they were made.
    [("spot", 3_449), ("usdm", 6_547), ("coinm", 26_824)],
)
def test_the_rebuilt_touch_is_the_newest_quote_at_every_depth_message(real: Path, venue: str, messages: int) -> None:
    capture = xb.open(real / FILES[venue])
    tape = capture.tape()
    rows = tape.to_polars().with_row_index("row")
    top = xb.PriceBook().apply(tape, every="message").to_polars()
    book = rows.select(pl.col("row").cast(pl.UInt64), "sequence", "kind", "flags").join(
        top, on="row", maintain_order="left"
    )
    after = book.filter((pl.col("kind") == LEVEL) & (pl.col("flags") & SNAPSHOT == 0) & (pl.col("flags") & LAST != 0))

    sent = rows.filter(pl.col("kind") == QUOTE)
    bids, asks = (sent.filter(pl.col("side") == side) for side in (0, 1))
    assert bids["sequence"].equals(asks["sequence"])
    quotes = bids.select("sequence", q_bid="price", q_bid_size="size").with_columns(
        q_ask=asks["price"], q_ask_size=asks["size"]
    )
    joined = after.sort("sequence").join_asof(quotes.sort("sequence"), on="sequence", strategy="backward")
    agree = pl.all_horizontal(pl.col(c).eq_missing(pl.col(f"q_{c}")) for c in ("bid", "bid_size", "ask", "ask_size"))
    assert joined.height == messages
    assert joined.filter(~agree).height == 0
    assert joined.filter((pl.col("bid_size") == 0) | (pl.col("ask_size") == 0)).height == 0
    assert joined.filter(pl.col("bid") >= pl.col("ask")).height == 0
    assert rows.filter(pl.col("kind") == GAP).height == 0
    assert capture.fault_count == 0


@pytest.mark.parametrize("venue", FILES)
def test_two_thousand_messages_give_the_ten_best_levels_of_a_book_of_dicts(
    real: Path, venue: str, tmp_path: Path
) -> None:
    lines = head(real / FILES[venue], 40_000)
    model, expected, used = model_of(venue), [], 0
    for used, line in enumerate(lines, 1):  # noqa: B007
        if not (b"depthUpdate" in line or b"lastUpdateId" in line):
            continue
        applied = model.feed(frame(line))
        if applied > 1:
            # Held messages were applied with the snapshot: what a reader sees in between is compared at the last.
            expected += [None] * (applied - 1)
        if applied:
            expected.append((model.best(0, 10), model.best(1, 10)))
        if len(expected) >= 2_001:
            break
    assert len(expected) >= 2_001

    path = tmp_path / FILES[venue]
    tape = xb.open(write(path, lines[:used])).tape()
    top = xb.PriceBook().apply(tape, every="message", levels=10).to_polars()
    assert top.height == len(expected)
    for row, wanted in zip(top.iter_rows(named=True), expected, strict=True):
        if wanted is None:
            continue
        for side, levels in zip(("bid", "ask"), wanted, strict=True):
            found = [(row[f"{side}_{k}"], row[f"{side}_size_{k}"]) for k in range(10)]
            assert found == levels


def test_batches_of_any_length_hold_the_same_events(real: Path) -> None:
    capture = xb.open(real / FILES["spot"])
    whole = capture.tape().to_polars()
    parts = pl.concat(tape.to_polars() for tape in capture.batches(rows=777))
    assert parts.equals(whole)


def test_files_are_merged_by_receive_time_and_keep_their_own_order(real: Path) -> None:
    capture = xb.open(real)
    assert [i.alias for i in capture.instruments] == ["coinm", "spot", "usdm"]
    last, seen = -1, 0
    for tape in itertools.islice(capture.batches(), 6):
        times = tape.to_polars()["ts_recv"]
        assert times.is_sorted()
        assert times[0] >= last
        last, seen = times[-1], seen + len(tape)
    assert seen > 6 * 65_536 - 1
