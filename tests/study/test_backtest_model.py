"""`backtest_pair` against a slow model that looks at every instant and searches every row."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

from crossbook.study import backtest_pair


class Quote(NamedTuple):
    """A touch and when it came."""

    ts: int
    bid: float | None
    ask: float

    @property
    def mid(self) -> float | None:
        return None if self.bid is None else (self.bid + self.ask) / 2


def path(rng: np.random.Generator) -> pl.DataFrame:
    """Sixty touches, many at one instant, a tenth of them with a side unknown."""
    mid = 100 * np.exp(np.cumsum(rng.choice([-1, 0, 1], 60)) * 2e-4)
    half = rng.choice([0.005, 0.01, 0.02], 60)
    bid = pl.Series(mid - half).set(pl.Series(rng.random(60) < 0.1), None)
    return pl.DataFrame({"ts_recv": 1 + np.cumsum(rng.integers(0, 8, 60)), "bid": bid, "ask": mid + half})


def last_of(frame: pl.DataFrame) -> list[Quote]:
    return [Quote(*row) for row in frame.unique("ts_recv", keep="last", maintain_order=True).iter_rows()]


def held(quotes: list[Quote], ts: int) -> Quote | None:
    found = [quote for quote in quotes if quote.ts <= ts]
    return found[-1] if found and found[-1].mid is not None else None


def met(quotes: list[Quote], ts: int) -> tuple[int, Quote] | None:
    """The touch that an order arriving at `ts` takes, and when."""
    if (now := held(quotes, ts)) is not None:
        return ts, now
    return next(((quote.ts, quote) for quote in quotes if quote.ts > ts and quote.mid is not None), None)


def slow(
    books: tuple[list[Quote], list[Quote]],
    levels: tuple[float, float, float, float],
    fees: tuple[float, float],
    delays: tuple[int, int],
) -> list[tuple[float, ...]]:
    """Trades that were closed: side, decided, opened, decided again, closed, net in bp."""
    upper, lower, close_short, close_long = levels
    trades, position, busy, opening = [], 0, -1, (0, 0, [])
    for ts in sorted({quote.ts for book in books for quote in book}):
        primary, secondary = (held(book, ts) for book in books)
        if primary is None or secondary is None or ts < busy:
            continue
        spread = 1e4 * (math.log(secondary.mid) - math.log(primary.mid))  # type: ignore[arg-type]
        # Without delay a close and an opening fall on one instant.
        for _ in range(2):
            if ts < busy:
                break
            side = (-1 if spread >= upper else 1 if spread <= lower else 0) if position == 0 else 0
            leaves = (position > 0 and spread >= close_long) or (position < 0 and spread <= close_short)
            if not (side or leaves):
                continue
            legs = [met(book, ts + delay) for book, delay in zip(books, delays, strict=True)]
            if None in legs:
                return trades
            busy = max(leg[0] for leg in legs)  # type: ignore[index]
            busy = busy if busy > ts else -1
            done = max(leg[0] for leg in legs)  # type: ignore[index]
            if side:
                position, opening = side, (ts, done, legs)
                continue
            net = 0.0
            for first, last, sign, fee in zip(opening[2], legs, (-position, position), fees, strict=True):
                enter, leave = first[1], last[1]
                pay, get = (enter.ask, leave.bid) if sign > 0 else (enter.bid, leave.ask)
                net += (sign * (get - pay) - fee / 1e4 * (pay + get)) / enter.mid
            trades.append((position, opening[0], opening[1], ts, done, net * 1e4))
            position = 0
    return trades


@pytest.mark.parametrize("turning", [False, True])
def test_trades_are_those_of_a_slow_model(turning: bool) -> None:
    rng = np.random.default_rng(turning)
    levels = (3.0, -3.0, *((-3.0, 3.0) if turning else (0.0, 0.0)))
    names = ("upper_bp", "lower_bp", "close_short_bp", "close_long_bp")
    seen = 0
    for _ in range(40):
        frames = path(rng), path(rng)
        delays = tuple(int(ns) for ns in rng.choice([0, 0, 1, 3, 7], 2))
        found = backtest_pair(
            *frames,
            **dict(zip(names, levels, strict=True)),
            fees_bp=(1.0, 2.0),
            latency_ms=tuple(ns / 1e6 for ns in delays),  # type: ignore[arg-type]
        ).filter(~pl.col("marked"))
        expected = slow(tuple(last_of(f) for f in frames), levels, (1.0, 2.0), delays)  # type: ignore[arg-type]
        rows = found.select("side", "decided", "opened", "close_decided", "closed", "net_bp").rows()
        assert [row[:5] for row in rows] == [row[:5] for row in expected]
        assert [row[5] for row in rows] == pytest.approx([row[5] for row in expected], abs=1e-8)
        seen += len(rows)
    assert seen > 30
