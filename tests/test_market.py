"""Several venues as one: the touch of each, walks, and the rows that a study is made of."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from conftest import CLEAR, GAP, LAST, OURS, SNAPSHOT, TRADES, builtin, levels, quote, tape

import crossbook as xb

BOOK = levels([(0, 100, 5), (0, 99, 7), (1, 102, 5), (1, 103, 7)], 10, flags=SNAPSHOT)


def market(rows: list[dict[str, int]], **options) -> xb.Market:
    made = xb.Market([builtin("spot")], **options)
    made.apply(tape(rows))
    return made


def test_there_is_no_touch_before_both_sides_are_known() -> None:
    assert market([]).touch(0) is None
    assert market(levels([(0, 100, 5)], 1)).touch(0) is None
    assert market(BOOK).touch(0) == (100, 5, 102, 5, 10)


@pytest.mark.parametrize(
    ("rows", "touch"),
    [
        (quote(101, 102, 11), (101, 1, 102, 1, 11)),
        (quote(101, 102, 9), (100, 5, 102, 5, 10)),
        (quote(101, 102, 11) + levels([(0, 100, 6)], 12), (100, 6, 102, 5, 12)),
        (quote(101, 102, 13) + levels([(0, 100, 6)], 12), (101, 1, 102, 1, 13)),
        (quote(101, 102, 13) + quote(99, 104, 12), (101, 1, 102, 1, 13)),
        (quote(101, 102, 13) + quote(99, 104, 12) * 3, (99, 1, 104, 1, 12)),
        (quote(101, 102, 13) + quote(99, 104, 0) * 4, (101, 1, 102, 1, 13)),
        (quote(101, 102, 13) + quote(99, 104, 1), (100, 5, 102, 5, 10)),
        (quote(101, 102, 13) + levels([(0, 100, 6)], 9), (100, 6, 102, 5, 9)),
        ([{"kind": GAP, "flags": LAST | OURS}], None),
        ([{"kind": GAP, "flags": LAST | TRADES}], (100, 5, 102, 5, 10)),
        ([{"kind": GAP, "flags": LAST}, *quote(101, 102, 3)], (101, 1, 102, 1, 3)),
        ([{"kind": GAP, "flags": LAST}, *levels([(0, 101, 9)], 14)], None),
        ([{"kind": CLEAR, "flags": SNAPSHOT | LAST, "sequence": 20}], None),
    ],
)
def test_the_touch_has_the_newest_update_id_of_quotes_and_depth(rows: list, touch: tuple | None) -> None:
    assert market(BOOK + rows).touch(0) == touch


def test_venues_do_not_touch_each_other() -> None:
    made = xb.Market([builtin("spot"), builtin("usdm")])
    made.apply(tape([*quote(1, 2, 5), *quote(7, 8, 3, instrument=1)], made.instruments))
    assert (made.touch(0), made.touch(1)) == ((1, 1, 2, 1, 5), (7, 1, 8, 1, 3))


def test_events_of_instruments_that_the_market_lacks_are_passed_over() -> None:
    made = xb.Market([builtin("spot")])
    made.apply(tape(quote(1, 2, 5, instrument=1), [builtin("spot"), builtin("usdm")]))
    assert made.touch(0) is None
    assert len(made.take_quotes()) == 0


def test_bases_that_differ_and_no_instruments_make_no_market() -> None:
    eth = json.loads(builtin("spot").to_json()) | {"symbol": "ETHUSDT", "base": "ETH"}
    with pytest.raises(xb.MarketError, match="one base currency, found BTC and ETH"):
        xb.Market([builtin("spot"), xb.Instrument.from_json(json.dumps(eth))])
    with pytest.raises(xb.MarketError, match="at least one instrument"):
        xb.Market([])


def test_price_units_too_far_apart_make_no_market() -> None:
    coarse = json.loads(builtin("usdm").to_json()) | {"price_unit": "1e18"}
    fine = json.loads(builtin("spot").to_json()) | {"price_unit": "1e-18"}
    with pytest.raises(xb.MarketError, match="price units"):
        xb.Market([xb.Instrument.from_json(json.dumps(one)) for one in (coarse, fine)])


@pytest.mark.parametrize("bands", [[0], [10_000], [5, 1]])
def test_bands_out_of_range_are_refused(bands: list[int]) -> None:
    with pytest.raises(xb.DataError, match="bands"):
        xb.Market([builtin("spot")], bands=bands)


def test_a_walk_starts_at_a_newer_quote_and_skips_the_levels_it_contradicts() -> None:
    made = market(BOOK + quote(99, 103, 11, sizes=(2, 3)))
    assert made.walk(0, 1, 3) == (3, 3 * 103, 103, 1, True)
    assert made.walk(0, 0, 2) == (2, 2 * 99, 99, 1, True)
    assert made.walk(0, 1, 4)[:2] == (3, 3 * 103)
    assert market(BOOK).walk(0, 1, 6) == (6, 5 * 102 + 103, 103, 2, True)
    for call in (lambda: made.touch(1), lambda: made.walk(1, 0, 1), lambda: made.walk(0, 2, 1)):
        with pytest.raises(xb.DataError):
            call()


def test_rows_of_quotes_say_what_was_the_touch_and_what_was_lost() -> None:
    made = market(
        [
            *BOOK,
            *quote(101, 102, 11, ts_recv=5),
            *quote(98, 102, 9, ts_recv=6),
            *levels([(0, 100, 0)], 10, ts_recv=7),
            *levels([(0, 101, 4)], 12, ts_recv=8),
            *quote(102, 103, 14, ts_recv=9),
            *quote(99, 103, 13, ts_recv=10),
            *quote(98, 103, 1, ts_recv=11),
            {"kind": GAP, "flags": LAST, "ts_recv": 12},
        ]
    )
    rows = made.take_quotes().to_polars()
    columns = ["source", "newest", "bid", "bid_size", "ask", "ask_size", "sequence"]
    assert rows.select(columns).rows() == [
        (1, 1, 100, 5, 102, 5, 10),
        (0, 1, 101, 1, 102, 1, 11),
        # Late; nor does the book, which is older than the quote before.
        (0, 0, 98, 1, 102, 1, 9),
        (1, 1, 101, 4, 102, 5, 12),
        (0, 1, 102, 1, 103, 1, 14),
        (0, 0, 99, 1, 103, 1, 13),
        # Ids of quotes begin anew, and of all that is known the book is the newest.
        (0, 0, 98, 1, 103, 1, 1),
        (1, 1, 101, 4, 102, 5, 12),
        (2, 1, 0, 0, 0, 0, 0),
    ]
    assert len(made.take_quotes()) == 0
    depth = made.take_depth().to_polars()
    assert depth["bid"].to_list() == [100, 99, 101]
    assert len(made.take_depth()) == 0


@pytest.mark.parametrize("venue", ["spot", "usdm", "coinm"])
def test_depth_within_bands_is_what_a_loop_over_levels_gives(venue: str) -> None:
    rng = np.random.default_rng(5)
    instrument = builtin(venue)
    mid = round(60_000 / float(instrument.price_unit))
    reach = mid * 20 // 10_000  # the snapshot covers 20 bp
    rows = []
    for side, sign in ((0, -1), (1, 1)):
        away = np.append(rng.choice(np.arange(1, reach), 300, replace=False), reach)
        rows += [(side, int(mid + sign * d), int(q)) for d, q in zip(away, rng.integers(1, 9_999, 301), strict=True)]
    made = xb.Market([instrument], bands=[1, 5, 10, 30])
    made.apply(tape(levels(rows, 1, flags=SNAPSHOT), [instrument]))
    found = made.take_depth().to_polars().row(0, named=True)

    unit, size_unit = float(instrument.price_unit), float(instrument.size_unit)
    bid, ask = max(p for s, p, _ in rows if s == 0), min(p for s, p, _ in rows if s == 1)
    middle = (bid + ask) / 2
    for band in (1, 5, 10):
        for side, name in ((0, "bid"), (1, "ask")):
            inside = [
                (p * unit, q * size_unit) for s, p, q in rows if s == side and abs(p - middle) <= middle * band / 1e4
            ]
            wanted = sum(q * 100 / p if venue == "coinm" else q for p, q in inside)
            assert found[f"{name}_{band}bp"] == pytest.approx(wanted, rel=1e-12), (band, name)
    assert math.isnan(found["bid_30bp"])
    assert math.isnan(found["ask_30bp"])


def test_a_coinm_contract_is_a_hundred_dollars_of_bitcoin() -> None:
    assert builtin("coinm").base_size(600_000, 6) == 0.01
    assert builtin("spot").base_size(1, 150_000_000) == 1.5
    assert builtin("usdm").base_size(1, 1_500) == 1.5
    assert builtin("coinm").base_size(0, 0) == 0.0


def test_crossed_and_extreme_prices_do_no_harm() -> None:
    low, high = -(2**63), 2**63 - 1
    made = market([*quote(high, low, 1, sizes=(high, high)), *levels([(0, low, high), (1, high, high)], 2)])
    assert made.touch(0) == (low, high, high, high, 2)
    assert made.walk(0, 1, high)[0] == high
    made.take_depth()
    negative = market(levels([(0, -40, 3), (1, -30, 3)], 1, flags=SNAPSHOT))
    assert negative.touch(0) == (-40, 3, -30, 3, 1)
    assert pl.DataFrame(negative.take_depth()).height == 1
