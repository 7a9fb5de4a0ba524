"""Every cross between the three real venues and every trade of two traders, against the obvious model."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import polars as pl
from crosses.campaign import assert_same
from crosses.model import Model

import crossbook as xb
from crossbook.crosses import Scan

MS = 1_000_000
COST_BP = 2


def test_the_model_finds_the_same_on_the_whole_capture(real: Path) -> None:
    capture = xb.open(real)
    tapes, instruments = list(capture.batches()), capture.instruments
    # Spot and the two perpetuals are taken as one claim here, dollars of either kind as one currency: that makes the
    # venues cross at costs of a few bp, which is what is to be compared.
    market = xb.Market(instruments, quote="USDT", fx={"USD": "1"}, costs=COST_BP)
    scan = Scan(market, fair_basis="none", capital=[120_000], latency_ms=[0, 20])
    for tape in tapes:
        scan.apply(tape)
    unit = Fraction(market.size_unit)
    model = Model(
        instruments,
        [Fraction(str(COST_BP))] * 3,
        unit=unit,
        capitals=(Fraction(120_000),),
        latencies=(0, 20 * MS),
    )
    last = 0
    for tape in tapes:
        columns = ["ts_recv", "instrument", "kind", "side", "price", "size", "sequence", "flags"]
        for ts, venue, *row in pl.DataFrame(tape).select(columns).iter_rows():
            model.apply(ts, venue, (*row, ts))
            last = ts
    scan.finish(last)
    model.finish(last)
    assert len(model.found) > 100
    assert sum(trader.full for trader in model.traders) > 10
    assert_same(scan, model, unit)
