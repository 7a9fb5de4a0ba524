"""Order flow and spreads on the real captures, against slow and obvious calculations."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import CLEAR, FILES, GAP, LAST, LEVEL, SNAPSHOT

import crossbook as xb
from crossbook.study import Study, adverse_selection, order_flow, prevailing_quotes, signing_accuracy


@lru_cache(1)
def study(real: Path) -> Study:
    return Study(xb.open(real), primary="usdm", secondary="binance-spot")


@pytest.mark.parametrize("venue", FILES)
def test_flow_at_ten_levels_is_equation_2_between_the_books_tops(real: Path, venue: str) -> None:
    tape = xb.open(real / FILES[venue]).tape()
    found = order_flow(tape, levels=10)
    rows = tape.to_polars().with_row_index("row")
    top = xb.PriceBook().apply(tape, every="message", levels=10).to_polars()
    events = rows.filter(pl.col("kind").is_in([LEVEL, CLEAR, GAP]))
    assert events.filter(pl.col("kind") == GAP).is_empty()
    # A message that is part of a snapshot, or was held back for one (16), begins anew.
    message = (pl.col("flags") & LAST != 0).shift(1, fill_value=False).cum_sum()
    anew = (
        events.group_by(message.alias("message"), maintain_order=True)
        .agg(
            pl.col("row").last(), anew=(pl.col("flags") & (SNAPSHOT | 16) != 0).any() | (pl.col("kind") == CLEAR).any()
        )
        .with_columns(pl.col("row").cast(pl.UInt64))
    )
    table = top.join(anew, on="row")
    start = table["anew"].to_numpy()
    flow = np.zeros((table.height, 10))
    changed = np.zeros(table.height, dtype=bool)
    for level in range(10):
        suffix = f"_{level}"
        bid, bs, ask, az = (table[name + suffix].to_numpy() for name in ("bid", "bid_size", "ask", "ask_size"))
        assert min(bs.min(), az.min()) > 0
        e = (bid[1:] >= bid[:-1]) * bs[1:] - (bid[1:] <= bid[:-1]) * bs[:-1]
        e += (ask[1:] >= ask[:-1]) * az[:-1] - (ask[1:] <= ask[:-1]) * az[1:]
        flow[1:, level] = np.where(start[1:], 0, e)
        changed[1:] |= (np.diff(bid) != 0) | (np.diff(bs) != 0) | (np.diff(ask) != 0) | (np.diff(az) != 0)
    kept = start | changed
    assert found["start"].to_numpy().tolist() == start[kept].tolist()
    instrument = tape.instruments[0]
    unit = float(instrument.size_unit) * float(instrument.multiplier)
    rate = found["mid"].to_numpy() if instrument.contract == "inverse" else 1.0
    known = 0
    for level in range(10):
        ours, theirs = found[f"ofi_{level + 1}"].to_numpy(), flow[kept, level] * unit / rate
        inside = ~np.isnan(ours)
        known += int(inside.sum())
        assert ours[inside] == pytest.approx(theirs[inside], abs=1e-9)
    assert known > 8 * found.height


def test_what_takers_pay_is_what_a_search_through_every_quote_gives(real: Path) -> None:
    for venue, engine in ((study(real).primary, True), (study(real).secondary, False)):
        quotes = venue.touches.drop_nulls(["bid", "ask"])
        recv, event, bid, ask = (quotes[n].to_numpy() for n in ("ts_recv", "ts_event", "bid", "ask"))
        paid = weight = 0.0
        group: list[dict] = []
        fills = [*venue.trades.iter_rows(named=True), {"ts_event": -1, "side": 0}]
        for fill in fills:
            if group and (fill["ts_event"], fill["side"]) != (group[0]["ts_event"], group[0]["side"]):
                one = group[0]
                if engine:
                    earlier = np.flatnonzero(event < one["ts_event"])
                else:
                    # The newest quote whose opposite side stands at the first fill, by its receipt, 200 ms old at most.
                    opposite = ask if one["side"] > 0 else bid
                    earlier = np.flatnonzero((recv <= one["ts_recv"]) & (opposite == one["price"]))
                    ends = np.append(recv[1:], 2**62)
                    earlier = earlier[ends[earlier] >= one["ts_recv"] - 200_000_000]
                if earlier.size:
                    at = earlier[-1]
                    mid = (bid[at] + ask[at]) / 2
                    size = sum(f["size"] for f in group)
                    price = sum(f["size"] * f["price"] for f in group) / size
                    paid += price * size * 2e4 * one["side"] * (price - mid) / mid
                    weight += price * size
                group = []
            group.append(fill)
        found = adverse_selection(venue.trades, venue.touches, horizons_ms=[1e-3], resamples=10)
        # Orders that met a quote only by time are some, on spot.
        assert found["effective_bp"][0] == pytest.approx(paid / weight, rel=1e-9 if engine else 0.05)
        assert found["effective_bp"][0] > 1.0
        orders = prevailing_quotes(venue.trades, venue.touches)
        toward = orders.select(((pl.col("first_price") - pl.col("mid")).sign() == pl.col("side")).mean()).item()
        assert toward > 0.99


def test_lee_and_ready_are_right_on_the_exchanges_clock_and_not_on_ours(real: Path) -> None:
    ours = study(real).secondary
    table = signing_accuracy(ours.trades, ours.touches)
    assert dict(table.select("rule", "correct").iter_rows()) == pytest.approx(
        {"quote": 0.490, "tick": 0.969, "lee_ready": 0.492}, abs=0.001
    )
    late = signing_accuracy(ours.trades, ours.touches, rules=["lee_ready"], delay_ms=200)
    assert late["correct"][0] == pytest.approx(0.962, abs=0.001)
