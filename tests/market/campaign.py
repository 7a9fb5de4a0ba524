"""Random events over five venues of different units, multipliers and currencies, and a rate's book.

    python -m tests.market.campaign [--events 2000000] [--seed 1]

After every event the best quote, its venues, its state and the cross are compared with the model; every so many events
all levels of both sides and the status of every venue. Exits 1 at the first difference.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction

import polars as pl

import crossbook as xb

from .model import ASK, BID, BILLION, CLEAR, GAP, LAST, LEVEL, QUOTE, SNAPSHOT, STATUS, TRADES, Model, Terms

TRADE, FUNDING = 3, 11
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
Event = tuple[int, int, int, int, int, int, int, int]
"""Receive time, sequence, instrument, kind, side, price, size, flags."""


def described(
    venue: str, symbol: str, contract: str, quote: str, units: tuple[str, str], multiplier: str, base: str = "BTC"
) -> xb.Instrument:
    terms = {"venue": venue, "symbol": symbol, "contract": contract, "price_unit": units[0], "size_unit": units[1]}
    settle = base if contract == "inverse" else quote
    names = {"multiplier": multiplier, "base": base, "quote": quote, "settle": settle}
    return xb.Instrument.from_json(json.dumps(terms | names))


def instruments(turned: bool) -> list[xb.Instrument]:
    """Spot, linear and inverse in USD, spot and linear in USDT, and the rate between, as it is or turned round."""
    pair = ("USD", "USDT") if turned else ("USDT", "USD")
    return [
        described("coinbase", "BTC-USD", "spot", "USD", ("0.01", "0.00000001"), "1"),
        described("kraken-futures", "PF_XBTUSD", "linear", "USD", ("0.1", "1"), "0.001"),
        described("deribit", "BTC-PERPETUAL", "inverse", "USD", ("0.5", "1"), "10"),
        described("binance-spot", "BTCUSDT", "spot", "USDT", ("0.01", "0.00001"), "1"),
        described("okx", "BTC-USDT-SWAP", "linear", "USDT", ("0.25", "0.1"), "0.01"),
        described("kraken", "/".join(pair), "spot", pair[1], ("0.0001", "0.01"), "1", pair[0]),
    ]


FEES = (200_000, 50_000, 0, 100_000, -20_000, 0)
"""Parts per billion: 2, 0.5, 0, 1 and a rebate of 0.2 bp."""
LIMITS_S = (5.0, 1.0, 5.0, 5.0, 2.0, 3.0)


def terms(turned: bool) -> list[Terms]:
    made = []
    for index, one in enumerate(instruments(turned)):
        made.append(
            Terms(
                Fraction(one.price_unit),
                Fraction(one.size_unit),
                Fraction(one.multiplier),
                one.contract == "inverse",
                FEES[index],
                round(LIMITS_S[index] * BILLION),
                5 if one.quote == "USDT" and index != 5 else None,
                turned,
                index == 5,
            )
        )
    return made


class Traffic:
    """Messages of random venues around a price that wanders."""

    def __init__(self, seed: int, turned: bool) -> None:
        self.rng = random.Random(seed)
        self.turned = turned
        self.units = [float(one.price_unit) for one in instruments(turned)]
        self.mid, self.rate = 60_000.0, 1.0
        self.ts = 1_700_000_000 * BILLION
        self.sequence, self.quoted = [100] * 6, [100] * 6
        self.books: list[tuple[set[int], set[int]]] = [(set(), set()) for _ in range(6)]

    def price(self, venue: int, side: int) -> int:
        """Near the middle, now and then across it."""
        rng = self.rng
        away = rng.expovariate(1 / 12.0) - 1.5
        if venue == 5:
            middle, step = (1 / self.rate if self.turned else self.rate), 0.0002
            away *= step / 12
        else:
            middle = self.mid / self.rate if venue in (3, 4) else self.mid
        return max(1, round((middle - away if side == BID else middle + away) / self.units[venue]))

    def levels(self, venue: int, count: int) -> list[tuple[int, int, int]]:
        rng, found = self.rng, []
        for _ in range(count):
            side = rng.randrange(2)
            book = self.books[venue][side]
            if book and (len(book) > 25 or rng.random() < 0.4):
                # Levels near the middle go more often, as they do.
                worst_first = sorted(book, reverse=side == ASK)
                price = worst_first[-1 - min(int(rng.expovariate(0.25)), len(book) - 1)]
                book.discard(price)
                found.append((side, price, 0))
            else:
                price = self.price(venue, side)
                book.add(price)
                found.append((side, price, rng.randrange(1, 10_000)))
        return found

    def message(self) -> list[Event]:
        rng = self.rng
        venue = 5 if rng.random() < 0.06 else rng.randrange(5)
        draw = rng.random()
        self.ts += rng.randrange(2_000_000)
        if draw < 0.003:
            self.ts += rng.randrange(4 * BILLION)
        elif draw < 0.0033:
            self.ts += rng.randrange(9 * BILLION)
        self.mid += rng.gauss(0, 1.0)
        self.rate = min(max(self.rate + rng.gauss(0, 0.00002), 0.99), 1.01)
        self.sequence[venue] += rng.randrange(1, 4)
        sequence = self.sequence[venue]

        def event(
            kind: int, side: int = 2, price: int = 0, size: int = 0, flags: int = 0, number: int = sequence
        ) -> Event:
            return self.ts, number, venue, kind, side, price, size, flags

        what = rng.random()
        if what < 0.95 and rng.random() < 0.002:
            self.sequence[venue] = 100  # ids begin anew, and nobody says so
        if what < 0.66:
            found = [event(LEVEL, *one) for one in self.levels(venue, rng.randrange(1, 5))]
        elif what < 0.88:
            # In order, late, twice; now and then without an id, from the first on, or with an absurd one.
            late = rng.choice((*[sequence] * 3, sequence - 1, sequence - 2, sequence - 5, self.quoted[venue]))
            if rng.random() < 0.02:
                late = rng.choice((0, 1, sequence + 1_000))
            self.quoted[venue] = late
            bid, ask = self.price(venue, BID), self.price(venue, ASK)
            sizes = [0 if rng.random() < 0.01 else rng.randrange(1, 10_000) for _ in range(2)]
            found = [event(QUOTE, BID, bid, sizes[0], 0, late), event(QUOTE, ASK, ask, sizes[1], 0, late)]
        elif what < 0.95:
            self.books[venue] = (set(), set())
            found = [event(CLEAR, flags=SNAPSHOT)]
            for side, price, size in self.levels(venue, 24):
                if size:
                    found.append(event(LEVEL, side, price, size, SNAPSHOT))
        elif what < 0.965:
            found = [event(GAP, flags=TRADES if rng.random() < 0.3 else 0)]
        elif what < 0.985:
            found = [event(STATUS, price=int(rng.random() < 0.7))]
        else:
            found = [event(rng.choice((TRADE, FUNDING)), rng.randrange(2), self.price(venue, BID), 3)]
        found[-1] = (*found[-1][:-1], found[-1][-1] | LAST)
        return found


def chunks(seed: int, turned: bool, events: int, size: int) -> Iterator[list[Event]]:
    """Whole messages, about `size` events a time."""
    traffic = Traffic(seed, turned)
    done = 0
    while done < events:
        found: list[Event] = []
        while len(found) < size:
            found += traffic.message()
        done += len(found)
        yield found


def as_tape(events: list[Event], known: list[xb.Instrument]) -> xb.Tape:
    ts, sequence, instrument, kind, side, price, size, flags = (list(column) for column in zip(*events, strict=True))
    zeros = [0] * len(events)
    columns = [zeros, ts, sequence, zeros, price, size, instrument, kind, side, flags]
    named = dict(zip(COLUMNS, columns, strict=True))
    return xb.Tape(pl.DataFrame(named, schema=COLUMNS), known)


def market(turned: bool) -> xb.Market:
    return xb.Market(
        instruments(turned),
        fx={"USDT": 5},
        costs=[fee / 1e5 for fee in FEES],
        stale_after=list(LIMITS_S),
        record=False,
    )


SEEN = ("events", "locked", "crossed", "net crosses", "levels", "without a venue", "unknown depth")


def compare(made: xb.Market, model: Model, tape: xb.Tape, events: Sequence[Event], seen: Counter[str]) -> None:
    """Compare after every event the quote and the cross; at the end, if a message ends there, all levels too."""
    rows = made.path(tape, every="row").to_polars().rows()
    before = None
    for event, row in zip(events, rows, strict=True):
        model.apply(*event)
        seen["events"] += 1
        state = row[2:9]
        # Within a message nothing is to be seen yet, unless time has made a venue stale.
        if not event[7] & LAST and before is not None and before[0] == event[0]:
            assert state == before[1], (row, event)
            continue
        expected, edges = model.answer()
        assert state == expected, (row, event)
        buy, sell, edge = row[9:]
        if edges:
            best = max(edges.values())
            assert edges.get((buy, sell)) == best == int(edge * BILLION), (row, edges)
        else:
            assert (buy, sell, edge) == (-1, -1, 0), row
        before = (event[0], state)
        seen["locked"] += expected[-1] == 1
        seen["crossed"] += expected[-1] == 2
        seen["net crosses"] += bool(edges)
    if not events[-1][7] & LAST:
        return
    venues = range(len(model.venues))
    statuses = made.statuses
    assert statuses == [model.status(index) for index in venues], model.now
    seen["without a venue"] += any(statuses[i] != "live" for i in venues if not model.venues[i].terms.is_rate)
    for side in (BID, ASK):
        found, wanted = made.levels(side, 1 << 40), model.levels(side)
        assert found == wanted, (side, model.now)
        seen["levels"] += len(found)
        seen["unknown depth"] += sum(not level[3] for level in found)


def run(seed: int, events: int, *, turned: bool = False, every: int = 100) -> Counter[str]:
    """Compare on random events; returns how often what was seen. Raises `AssertionError` at the first difference."""
    made = market(turned)
    known = made.instruments
    model = Model(terms(turned), Fraction(made.price_unit), Fraction(made.size_unit))
    seen = Counter(dict.fromkeys(SEEN, 0))
    for chunk in chunks(seed, turned, events, every):
        compare(made, model, as_tape(chunk, known), chunk, seen)
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for turned in (False, True):
        seen = run(given.seed, given.events // 2, turned=turned)
        rate = "USD/USDT" if turned else "USDT/USD"
        print(f"rate {rate}:", ", ".join(f"{count:,} {what}" for what, count in seen.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
