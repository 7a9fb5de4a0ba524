"""The three venues as one market on the whole capture, against books of dicts and fractions."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path

from tests.market.campaign import compare
from tests.market.model import BILLION, Model, Terms

import crossbook as xb

STRIDE = 50_000
"""All levels are compared after so many events."""


def test_every_quote_and_cross_of_the_capture_is_what_a_model_says(real: Path) -> None:
    capture = xb.open(real)
    known = capture.instruments
    made = xb.Market(known, quote="USDT", fx={"USD": "1"}, costs=0.5, record=False)
    terms = [
        Terms(
            Fraction(one.price_unit),
            Fraction(one.size_unit),
            Fraction(one.multiplier),
            one.contract == "inverse",
            50_000,
            5 * BILLION,
        )
        for one in known
    ]
    model = Model(terms, Fraction(made.price_unit), Fraction(made.size_unit))
    seen: Counter[str] = Counter()
    for tape in capture.batches(rows=STRIDE):
        table = tape.to_polars()
        columns = ("ts_recv", "sequence", "instrument", "kind", "side", "price", "size", "flags")
        compare(made, model, tape, table.select(columns).rows(), seen)
    assert seen["events"] == sum(len(tape) for tape in capture.batches())
    assert seen["crossed"] > 100
    assert seen["net crosses"] > 0
