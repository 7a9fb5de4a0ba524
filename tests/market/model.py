"""Several venues as one, slow and obvious: dicts of levels, fractions for every conversion, all pairs for a cross."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

CLEAR, LEVEL, QUOTE, STATUS, GAP = 0, 1, 2, 12, 13
LAST, SNAPSHOT, TRADES = 1, 2, 8
BID, ASK = 0, 1
BILLION = 10**9
ONE = Fraction(1)


Best = tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]]
"""Common price and size by venue, a dict a side."""


@dataclass
class Terms:
    """One instrument as the model reads it; money and sizes as fractions."""

    price_unit: Fraction
    size_unit: Fraction
    multiplier: Fraction = Fraction(1)
    inverse: bool = False
    fee: int = 0
    """Taker fee, parts per billion."""
    limit: int = 5 * BILLION
    rate: int | None = None
    """The instrument whose book is the rate of the quote currency."""
    turned: bool = False
    """Whether that book is of the market's currency in this one."""
    is_rate: bool = False


@dataclass
class Venue:
    terms: Terms
    sides: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    horizons: list[int | None] = field(default_factory=lambda: [None, None])
    half: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0), (0, 0)])
    quote: tuple[int, list[tuple[int, int]]] | None = None
    depth: tuple[int, list[tuple[int, int]]] | None = None
    older: int = 0
    """How many quotes in a row came with an id below that of the last one taken."""
    lost: bool = False
    halted: bool = False
    heard: int | None = None
    depth_heard: int | None = None

    def apply(self, ts: int, sequence: int, kind: int, side: int, price: int, size: int, flags: int) -> None:
        if kind in (CLEAR, LEVEL):
            if kind == CLEAR:
                self.sides = ({}, {})
                self.horizons = [None, None]
                self.lost = False
            elif size:
                self.sides[side][price] = size
            else:
                self.sides[side].pop(price, None)
            if kind == LEVEL and flags & SNAPSHOT:
                worst = min if side == BID else max
                before = self.horizons[side]
                self.horizons[side] = price if before is None else worst(before, price)
            if flags & LAST:
                if self.depth and sequence < self.depth[0]:
                    self.quote = None  # ids of depth begin anew: the quote's is one of the old count
                bids, asks = self.sides
                bid, ask = max(bids, default=0), min(asks, default=0)
                self.depth = None if self.lost else (sequence, [(bid, bids.get(bid, 0)), (ask, asks.get(ask, 0))])
                self.heard = self.depth_heard = ts
        elif kind == QUOTE:
            self.half[side] = (price, size)
            if flags & LAST:
                taken, self.half = (sequence, self.half), [(0, 0), (0, 0)]
                if self.quote and sequence < self.quote[0] and sequence != 1:
                    # Late, unless a third in a row shows that the last one's id was wrong; without an id always.
                    self.older += sequence > 0
                    if sequence == 0 or self.older < 3:
                        return
                self.quote, self.older, self.heard = taken, 0, ts
        elif kind == GAP and not flags & TRADES:
            self.lost, self.quote, self.depth = True, None, None
        elif kind == STATUS:
            self.halted = price == 0

    def touch(self) -> list[tuple[int, int]] | None:
        found = None
        if self.quote and (self.depth is None or self.quote[0] >= self.depth[0]):
            found = self.quote[1]
        elif self.depth:
            found = self.depth[1]
        return found if found and found[0][1] > 0 and found[1][1] > 0 else None

    def status(self, now: int) -> str:
        if self.halted:
            return "halted"
        if self.touch() is None:
            return "unsynchronised" if self.lost else "empty"
        assert self.heard is not None
        return "stale" if now - self.heard > self.terms.limit else "live"


class Model:
    """The market: every answer is worked out anew from the venues."""

    def __init__(self, terms: list[Terms], price_unit: Fraction, size_unit: Fraction) -> None:
        self.venues = [Venue(one) for one in terms]
        self.price_unit, self.size_unit = price_unit, size_unit
        self.now = 0
        # What is worked out from one venue alone is kept until an event of it, or of a rate, comes.
        self.touches: list[list[tuple[int, int]] | None] = [None] * len(terms)
        self.ratios: list[tuple[tuple[int, int], tuple[int, int]] | None] = [None] * len(terms)
        self.fresh = [False] * len(terms)
        self.last: tuple[Best, tuple[int, ...], dict[tuple[int, int], int]] | None = None
        self.sizes = []
        for one in terms:
            ratio = one.size_unit * one.multiplier / size_unit / (one.price_unit if one.inverse else 1)
            self.sizes.append((ratio.numerator, ratio.denominator))

    def apply(
        self, ts: int, sequence: int, instrument: int, kind: int, side: int, price: int, size: int, flags: int
    ) -> None:
        self.now = ts
        self.venues[instrument].apply(ts, sequence, kind, side, price, size, flags)
        self.fresh[instrument] = False
        if self.venues[instrument].terms.is_rate:
            self.fresh = [False] * len(self.venues)

    def worth(self, index: int) -> tuple[Fraction, Fraction] | None:
        """What one of a venue's quote currency costs and brings, in the market's."""
        terms = self.venues[index].terms
        if terms.rate is None:
            return ONE, ONE
        book = self.venues[terms.rate]
        touch = book.touch()
        if touch is None or book.status(self.now) != "live":
            return None
        bid, ask = (price * book.terms.price_unit for price, _ in touch)
        if bid <= 0 or ask <= 0:
            return None
        return (1 / bid, 1 / ask) if terms.turned else (ask, bid)

    def status(self, index: int) -> str:
        found = self.venues[index].status(self.now)
        rated = self.venues[index].terms.rate is None or self.worth(index) is not None
        return found if rated or found != "live" else "no_rate"

    def price(self, index: int, side: int, price: int) -> int:
        """A common price: what is paid rounded up, what is got rounded down."""
        ratios = self.ratios[index]
        if ratios is None or self.venues[index].terms.rate is not None:
            worth = self.worth(index)
            assert worth is not None
            exact = [one * self.venues[index].terms.price_unit / self.price_unit for one in reversed(worth)]
            ratios = self.ratios[index] = tuple((one.numerator, one.denominator) for one in exact)
        num, den = ratios[side]
        return -(-price * num // den) if side == ASK else price * num // den

    def size(self, index: int, price: int, size: int) -> int:
        """A common size, rounded down."""
        num, den = self.sizes[index]
        return size * num // (den * price if self.venues[index].terms.inverse else den)

    def live(self) -> list[int]:
        return [i for i, one in enumerate(self.venues) if not one.terms.is_rate and self.status(i) == "live"]

    def best(self) -> Best:
        """Common price and size of every live venue's touch, a dict a side."""
        sides: Best = ({}, {})
        for index in self.live():
            found = self.touches[index]
            if found is None or not self.fresh[index]:
                touch = self.venues[index].touch()
                assert touch is not None
                found = [
                    (self.price(index, side, price), self.size(index, price, size))
                    for side, (price, size) in enumerate(touch)
                ]
                self.touches[index], self.fresh[index] = found, True
            for side in (BID, ASK):
                sides[side][index] = found[side]
        return sides

    def answer(self) -> tuple[tuple[int, ...], dict[tuple[int, int], int]]:
        """The quote and the edges; those before if every touch is as it was."""
        best = self.best()
        if self.last is None or self.last[0] != best:
            self.last = best, self.quote(best), self.edges(best)
        return self.last[1:]

    def quote(self, best: Best) -> tuple[int, ...]:
        """Price, size and venues as bits of the best bid and ask, and the state as its code."""
        found: list[int] = []
        for side, touches in enumerate(best):
            prices = [price for price, _ in touches.values()]
            best = (max if side == BID else min)(prices, default=0)
            makers = [index for index, (price, _) in touches.items() if price == best]
            found += [best, sum(touches[index][1] for index in makers), sum(1 << index for index in makers)]
        bid, _, bids, ask, _, asks = found
        if not bids and not asks:
            state = 4
        elif not bids or not asks:
            state = 3
        else:
            state = 2 if bid > ask else 1 if bid == ask else 0
        return (*found, state)

    def edges(self, best: Best) -> dict[tuple[int, int], int]:
        """The edge of each pair (buy, sell) that pays after fees, in 1e-9 common price units."""
        bids, asks = best
        found = {}
        for sell, (bid, _) in bids.items():
            for buy, (ask, _) in asks.items():
                got = bid * BILLION - abs(bid) * self.venues[sell].terms.fee
                paid = ask * BILLION + abs(ask) * self.venues[buy].terms.fee
                if buy != sell and got > paid:
                    found[buy, sell] = got - paid
        return found

    def ladder(self, index: int, side: int) -> list[tuple[int, int]]:
        """Native levels from the touch on."""
        venue = self.venues[index]
        touch = venue.touch()
        assert touch is not None
        found = [touch[side]]
        if self.has_depth(index):
            better = touch[side][0]
            behind = [(p, q) for p, q in venue.sides[side].items() if (p < better if side == BID else p > better)]
            found += sorted(behind, reverse=side == BID)
        return found

    def has_depth(self, index: int) -> bool:
        venue = self.venues[index]
        heard = venue.depth_heard
        return (
            venue.depth is not None and not venue.lost and heard is not None and self.now - heard <= venue.terms.limit
        )

    def horizon(self, index: int, side: int) -> int:
        venue = self.venues[index]
        touch = venue.touch()
        assert touch is not None
        native, horizon = touch[side][0], venue.horizons[side]
        if horizon is not None and self.has_depth(index):
            native = min(native, horizon) if side == BID else max(native, horizon)
        return self.price(index, side, native)

    def levels(self, side: int) -> list[tuple[int, int, list[tuple[int, int]], bool]]:
        """Every consolidated level: price, size, sizes by venue, whether it lies within all that is known."""
        merged: dict[int, dict[int, int]] = {}
        horizons = []
        for index in self.live():
            horizons.append(self.horizon(index, side))
            for price, size in self.ladder(index, side):
                split = merged.setdefault(self.price(index, side, price), {})
                split[index] = split.get(index, 0) + self.size(index, price, size)
        if not horizons:
            return []
        known = max(horizons) if side == BID else min(horizons)
        return [
            (price, sum(split.values()), sorted(split.items()), price >= known if side == BID else price <= known)
            for price, split in sorted(merged.items(), reverse=side == BID)
        ]
