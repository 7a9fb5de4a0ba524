"""Random events over five venues, whose units, lots and costs differ, against the model.

    python -m tests.crosses.campaign [--events 2000000] [--seed 0]

Every cross, its sizes and profits, and every trade of four traders are compared, in runs of 50,000 events, odd seeds
with fixed costs. Exits 1 at the first difference.
"""

from __future__ import annotations

import argparse
import json
import math
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import polars as pl

import crossbook as xb
from crossbook.crosses import Scan

from .model import CLEAR, GAP, LAST, LEVEL, QUOTE, SNAPSHOT, STATUS, Model

MS, SECOND = 1_000_000, 1_000_000_000
COLUMNS = {
    "ts_event": pl.Int64,
    "ts_recv": pl.Int64,
    "sequence": pl.UInt64,
    "order_id": pl.UInt64,
    "price": pl.Int64,
    "size": pl.Int64,
    "instrument": pl.UInt32,
    "kind": pl.UInt8,
    "side": pl.UInt8,
    "flags": pl.UInt8,
}


class Cost(NamedTuple):
    """A taker cost as `crossbook.costs` has them."""

    rate_bp: float
    fixed: str | int

    def affine(self, *, side: str, liquidity: str) -> tuple[Decimal, Decimal]:
        assert (side, liquidity) == ("buy", "taker")
        return Decimal(str(self.rate_bp)), Decimal(self.fixed)


VENUES = ["binance-spot", "okx", "bybit-spot", "kraken", "gate"]


def spot(venue: str = "binance-spot", **changes: str | None) -> xb.Instrument:
    """BTC/USDT in cents and thousandths, with lots of two thousandths, at any venue."""
    known = xb.Instrument.builtin("binance-spot", "BTCUSDT")
    assert known is not None
    described = json.loads(known.to_json())
    described |= {"venue": venue, "price_unit": "0.01", "size_unit": "0.001", "tick": None, "lot": "0.002"} | changes
    return xb.Instrument.from_json(json.dumps(described))


def random_rows(seed: int, count: int, instruments: int) -> pl.DataFrame:
    """Messages of every kind over five venues that cross often, with losses, halts and silences."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[int, ...]] = []
    ts, sequence = SECOND, 0
    last: dict[tuple[int, bool], int] = {}
    while len(rows) < count:
        # Several messages of one instant, mostly soon, sometimes after longer than a venue may be silent.
        ts += int(rng.choice([0, rng.integers(1, 300 * MS), 7 * SECOND], p=[0.15, 0.848, 0.002]))
        venue, kind, sequence = int(rng.integers(instruments)), rng.random(), sequence + 1
        # One stream of a venue may lag behind the other; quotes may also come late, twice, or with an absurd id, and
        # ids of either may begin anew.
        stream = venue, kind < 0.45
        seen = sequence - int(rng.integers(12)) if rng.random() < 0.2 else sequence
        odd = rng.random()
        if kind < 0.45 and odd < 0.1:
            seen = (seen, last.get(stream, 0), 1, 0, seen + 1_000)[int(rng.choice(5, p=[0.6, 0.3, 0.04, 0.03, 0.03]))]
        elif odd >= 0.003:
            seen = last[stream] = max(seen, last.get(stream, 0))

        def row(kind: int, side: int, price: int, size: int, flags: int) -> tuple[int, ...]:
            return (0, ts, seen, 0, price, size, venue, kind, side, flags)  # noqa: B023

        # Centres wander apart, so that venues cross now and then.
        centre = 10_000 + int(6 * math.sin(ts / SECOND / (3 + venue)))
        if kind < 0.45:
            sizes = rng.integers(1, 30, 2)
            bid = centre - int(rng.integers(1, 6))
            ask = bid + int(rng.integers(1, 6))
            rows += [row(QUOTE, 0, bid, int(sizes[0]), 0), row(QUOTE, 1, ask, int(sizes[1]), LAST)]
        elif kind < 0.96:
            many = int(rng.integers(1, 4))
            for at_ in range(many):
                side = int(rng.integers(2))
                away = int(rng.integers(0, 9))
                price = centre - 1 - away if side == 0 else centre + 1 + away
                size = 0 if rng.random() < 0.4 else int(rng.integers(1, 30))
                rows.append(row(LEVEL, side, price, size, LAST if at_ == many - 1 else 0))
        elif kind < 0.985:
            rows.append(row(CLEAR, 2, 0, 0, SNAPSHOT))
            both = [(0, centre - 2 - n, 5 + n) for n in range(4)] + [(1, centre + 2 + n, 5 + n) for n in range(4)]
            rows += [row(LEVEL, *one, SNAPSHOT | (LAST if one is both[-1] else 0)) for one in both]
        elif kind < 0.995:
            rows.append(row(GAP, 2, 0, 0, LAST))
        else:
            rows.append(row(STATUS, 2, int(rng.random() < 0.7), 0, LAST))
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def assert_same(scan: Scan, model: Model, unit: Fraction) -> None:
    """Crosses and traders, to the last unit."""
    raw = scan.raw().sort("start", "buy", "sell")
    expected = sorted(model.found, key=lambda one: (one[2], one[0], one[1]))
    assert raw.height == len(expected)
    for row, (buy, sell, start, end, censored, cross) in zip(raw.iter_rows(named=True), expected, strict=True):
        assert [row[name] for name in ("buy", "sell", "start", "end", "censored")] == [buy, sell, start, end, censored]
        assert math.isclose(row["best_edge_bp"], cross.edge, rel_tol=1e-9)
        assert (row["halved"] if row["halved"] > 0 else None) == cross.half
        for shot in ("start", "best", "max", "end"):
            ts, size, profit, *_ = cross.shots[shot]
            assert (row[f"{shot}_ts"], row[f"{shot}_size"] * unit) == (ts, size)
            assert Fraction(row[f"{shot}_profit"]) == profit
    rows = pl.DataFrame(scan._core.results()).rows(named=True)
    held = pl.DataFrame(scan._core.holdings()).partition_by("capital", "latency", maintain_order=True)
    assert len(rows) == len(model.traders)
    for row, trader, holding in zip(rows, model.traders, held, strict=True):
        counts = [row[name] for name in ("tried", "full", "partial", "missed")]
        assert counts == [trader.tried, trader.full, trader.partial, trader.missed]
        assert (row["volume"] * unit, row["unclosed"] * unit) == (trader.volume, trader.unclosed)
        money = [Fraction(row[name]) for name in ("planned", "profit", "unhedged")]
        assert money == [trader.planned, trader.profit, trader.matched - trader.profit]
        assert Fraction(row["profit"]) == sum(
            Fraction(row[x]) * (1 if x == "gross" else -1) for x in ("gross", "fees", "fixed", "unhedged")
        )
        for at_, one in enumerate(holding.iter_rows(named=True)):
            assert Fraction(one["cash_after"]) == trader.cash.get(at_, 0)
            assert one["base_after"] * unit == trader.base.get(at_, 0)
        if not trader.unclosed:
            # Whatever was bought was sold.
            assert holding["base_after"].sum() == holding["base_before"].sum()


FIVE = [
    spot("binance-spot"),
    spot("okx", price_unit="0.02", lot="0.003"),
    spot("bybit-spot", price_unit="0.005", size_unit="0.0005", lot=None),
    spot("kraken", lot="0.001"),
    spot("gate", price_unit="0.025"),
]
"""Five venues whose units and lots differ; their centres are made to lie at the same price below."""
SCALE = [Fraction(100), Fraction(50), Fraction(200), Fraction(100), Fraction(40)]


def five(seed: int, count: int) -> pl.DataFrame:
    rows = random_rows(seed, count, 5)
    scale = pl.Series([float(one / 100) for one in SCALE]).gather(rows["instrument"].cast(pl.UInt32))
    return rows.with_columns((pl.col("price") * scale).cast(pl.Int64))


def check(seed: int, count: int) -> tuple[int, int]:
    """How many crosses there were, and how many trades."""
    rows = five(seed, count)
    fees, fixed = [1, 0, 2, -1, 0.5], "0.00005" if seed % 2 else 0
    capitals, latencies, delays = [3, 40], [0, 40], [0, 5, 10, 0, 20]
    costs = [Cost(fee, fixed) for fee in fees]
    options = {"costs": costs, "capital": capitals, "latency_ms": latencies, "order_delay_ms": delays}
    scan = Scan(xb.Market(FIVE), **options)
    unit = Fraction(scan._core.size_unit)
    scan.apply(xb.Tape(rows, FIVE))
    model = Model(
        FIVE,
        [Fraction(str(fee)) for fee in fees],
        unit=unit,
        fixed=Fraction(fixed),
        capitals=tuple(map(Fraction, capitals)),
        latencies=tuple(one * MS for one in latencies),
        delays=[one * MS for one in delays],
    )
    for _, ts, sequence, _, price, size, venue, kind, side, flags in rows.iter_rows():
        model.apply(ts, venue, (kind, side, price, size, sequence, flags, ts))
    end = int(rows["ts_recv"][-1]) + 1
    scan.finish(end)
    model.finish(end)
    assert_same(scan, model, unit)
    return len(model.found), sum(trader.tried for trader in model.traders)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    crosses = trades = 0
    for run in range(-(-given.events // 50_000)):
        found, tried = check(given.seed + run, min(50_000, given.events - run * 50_000))
        crosses, trades = crosses + found, trades + tried
    print(f"{given.events:,} events from seed {given.seed}: {crosses:,} crosses and {trades:,} trades agree")


if __name__ == "__main__":
    main()
