"""The obvious model of crosses and of the traders who take them: dict books, whole numbers and fractions, every rule of
`docs/crosses.md` in the plainest words. Slow on purpose."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd

import crossbook as xb

CLEAR, LEVEL, QUOTE, STATUS, GAP = 0, 1, 2, 12, 13
LAST, SNAPSHOT, TRADES = 1, 2, 8
BID, ASK = 0, 1


class Side:
    """Levels of one side, best first."""

    def __init__(self, sign: int) -> None:
        self.sign, self.sizes, self.keys = sign, {}, []

    def set(self, price: int, size: int) -> None:
        key = price * self.sign
        if price in self.sizes and size == 0:
            del self.sizes[price]
            self.keys.pop(bisect_left(self.keys, key))
        elif size:
            if price not in self.sizes:
                insort(self.keys, key)
            self.sizes[price] = size

    def best(self) -> tuple[int, int] | None:
        if not self.keys:
            return None
        price = self.keys[0] * self.sign
        return price, self.sizes[price]

    def behind(self, price: int) -> Iterator[tuple[int, int]]:
        at = bisect_left(self.keys, price * self.sign + 1)
        for key in self.keys[at:]:
            yield key * self.sign, self.sizes[key * self.sign]


class Venue:
    def __init__(self, instrument: xb.Instrument, fee: Fraction, limit: int, rate: Fraction) -> None:
        self.sides = (Side(-1), Side(1))
        self.stale = self.halted = False
        self.quote = self.depth = None
        self.half, self.older = [None, None], 0
        self.heard = self.depth_heard = None
        self.fee, self.limit = fee, limit
        self.price_unit = Fraction(instrument.price_unit) * rate
        self.size_unit, self.multiplier = Fraction(instrument.size_unit), Fraction(instrument.multiplier)
        self.own_price = Fraction(instrument.price_unit)
        self.inverse = instrument.contract == "inverse"
        if instrument.contract == "linear":
            self.size_unit *= self.multiplier
        lot = Fraction(instrument.lot) if instrument.lot else Fraction(instrument.size_unit)
        self.lot = lot * (self.multiplier if instrument.contract == "linear" else 1)

    def apply(self, row: tuple) -> bool:
        """Take an event; whether it ended a message about quotes, depth or status."""
        kind, side, price, size, sequence, flags, ts = row
        if kind in (LEVEL, CLEAR):
            if kind == CLEAR:
                self.sides, self.stale = (Side(-1), Side(1)), False
            else:
                self.sides[side].set(price, size)
            if not flags & LAST:
                return False
            self.heard = self.depth_heard = ts
            if self.depth and sequence < self.depth[0]:
                self.quote = None
            bests = [one.best() for one in self.sides]
            self.depth = None if self.stale else (sequence, bests)
            return True
        if kind == QUOTE:
            self.half[side] = (price, size) if size else None
            if not flags & LAST:
                return False
            taken, self.half = (sequence, self.half), [None, None]
            if self.quote and sequence < self.quote[0] and sequence != 1:
                # Late, unless a third in a row shows that the last one's id was wrong; without an id always.
                self.older += sequence > 0
                if sequence == 0 or self.older < 3:
                    return True
            self.quote, self.older, self.heard = taken, 0, ts
            return True
        if kind == GAP and not flags & TRADES:
            self.stale, self.quote, self.depth = True, None, None
            return True
        if kind == STATUS:
            self.halted = price == 0
            return True
        return False

    def touch(self) -> list | None:
        if self.quote and (self.depth is None or self.quote[0] >= self.depth[0]):
            found = self.quote[1]
        elif self.depth:
            found = self.depth[1]
        else:
            return None
        return found if all(found) else None

    def live(self, now: int) -> list | None:
        touch = self.touch()
        return touch if not self.halted and touch and now - self.heard <= self.limit else None

    def shown(self, side: int, price: int) -> int | None:
        """What a price shows; None if nothing is known."""
        touch = self.touch()
        if touch is None:
            return None
        best, size = touch[side]
        if price == best:
            return size
        if (price < best) == (side == ASK):
            return 0
        return None if self.stale else self.sides[side].sizes.get(price, 0)

    def levels(self, side: int, now: int, unit: Fraction) -> Iterator[tuple[int, Fraction, Fraction]]:
        """Own price, price in quote currency, size in base currency (whole units of it), best first."""
        touch = self.live(now)
        if not touch:
            return
        yield self.level(*touch[side], unit)
        if self.depth is not None and not self.stale and now - self.depth_heard <= self.limit:
            for price, size in self.sides[side].behind(touch[side][0]):
                yield self.level(price, size, unit)

    def level(self, price: int, size: int, unit: Fraction) -> tuple[int, Fraction, Fraction]:
        base = size * self.size_unit
        if self.inverse:
            base = base * self.multiplier / (price * self.own_price) // unit * unit
        return price, price * self.price_unit, base


def lcm(a: Fraction, b: Fraction) -> Fraction:
    num = a.numerator * b.denominator * b.numerator * a.denominator
    return Fraction(num, gcd(a.numerator * b.denominator, b.numerator * a.denominator) * a.denominator * b.denominator)


@dataclass
class Cross:
    start: int
    edge: float
    best_at: int
    shots: dict
    half: int | None = None


@dataclass
class Trader:
    capital: Fraction
    latency: int
    cash: dict = field(default_factory=dict)
    base: dict = field(default_factory=dict)
    taken: dict = field(default_factory=dict)
    trade: dict | None = None
    free: bool = True
    tried: int = 0
    full: int = 0
    partial: int = 0
    missed: int = 0
    volume: Fraction = Fraction(0)
    planned: Fraction = Fraction(0)
    profit: Fraction = Fraction(0)
    matched: Fraction = Fraction(0)
    unclosed: Fraction = Fraction(0)


class Model:
    """Crosses at equal fair prices, and traders."""

    def __init__(
        self,
        instruments: list,
        fees_bp: list,
        *,
        unit: Fraction,
        limit: int = 5_000_000_000,
        rates: list | None = None,
        fixed: Fraction = Fraction(0),
        pairs: list | None = None,
        capitals: tuple = (),
        latencies: tuple = (),
        delays: list | None = None,
    ) -> None:
        count = len(instruments)
        rates = rates or [Fraction(1)] * count
        self.venues = [
            Venue(i, Fraction(fee) / 10_000, limit, rate)
            for i, fee, rate in zip(instruments, fees_bp, rates, strict=True)
        ]
        self.unit, self.fixed, self.now = unit, fixed, None
        self.pairs = pairs or [(a, b) for a in range(count) for b in range(a + 1, count)]
        self.changed: set[int] = set()
        self.last = [None] * count
        self.counted = [None] * count
        self.open: dict[tuple[int, int], Cross] = {}
        self.found: list[tuple] = []
        self.traders = [Trader(capital, latency) for capital in capitals for latency in latencies]
        self.delays = delays or [0] * count
        self.queue: list[tuple] = []
        self.fresh: set[tuple[int, int]] = set()
        self.used = sorted({v for pair in self.pairs for v in pair})
        self.steps = {}
        for a, b in self.pairs:
            lots = [self.unit if self.venues[v].inverse else self.venues[v].lot for v in (a, b)]
            self.steps[a, b] = self.steps[b, a] = lcm(*lots)

    # Time.

    def apply(self, ts: int, venue: int, row: tuple) -> None:
        self.step_to(ts)
        if self.venues[venue].apply(row):
            self.changed.add(venue)

    def expiry(self) -> int | None:
        due = [
            v.heard + v.limit + 1
            for at, v in enumerate(self.venues)
            if v.heard is not None and self.counted[at] and not v.halted
        ]
        return min((at for at in due if at > self.now), default=None)

    def step_to(self, ts: int) -> None:
        if self.now is None:
            self.now = ts
        if ts <= self.now:
            return
        self.settle()
        while True:
            expiry = self.expiry()
            due = self.queue[0][0] if self.queue else None
            at = min((x for x in (expiry, due) if x is not None), default=None)
            if at is None or at >= ts:
                break
            self.now = at
            if at == expiry:
                self.changed |= {v for v, one in enumerate(self.venues) if self.counted[v] and not one.live(at)}
            self.settle()
        self.now = ts

    def settle(self) -> None:
        changed, self.changed = self.changed, set()
        self.fresh = set()
        for trader in self.traders:
            for key in [k for k in trader.taken if k[0] in changed and self.venues[k[0]].shown(k[1], k[2]) == 0]:
                del trader.taken[key]
        for at in changed:
            self.counted[at] = self.venues[at].live(self.now)
            if self.counted[at]:
                self.last[at] = self.counted[at]
        self.arrivals(changed)
        for a, b in self.pairs:
            if a in changed or b in changed:
                self.look(a, b)
        self.decide()

    # Crosses.

    def look(self, a: int, b: int) -> None:
        touches = [self.venues[v].live(self.now) for v in (a, b)]
        for buy, sell in ((a, b), (b, a)):
            if not all(touches):
                self.close(buy, sell, True)
                continue
            ask = touches[buy == b][ASK][0] * self.venues[buy].price_unit * (1 + self.venues[buy].fee)
            bid = touches[sell == b][BID][0] * self.venues[sell].price_unit * (1 - self.venues[sell].fee)
            if bid <= ask:
                self.close(buy, sell, False)
                continue
            shot = (self.now, *self.walk(buy, sell))
            if self.fixed and shot[2] <= 0:
                self.close(buy, sell, False)
                continue
            edge = float((bid - ask) / ask * 10_000)
            cross = self.open.get((buy, sell))
            if cross is None:
                names = ("start", "best", "max", "end")
                cross = self.open[buy, sell] = Cross(self.now, edge, self.now, dict.fromkeys(names, shot))
            else:
                if edge > cross.edge:
                    cross.edge, cross.best_at, cross.shots["best"] = edge, self.now, shot
                if shot[2] > cross.shots["max"][2]:
                    cross.shots["max"] = shot
                if cross.half is None and shot[2] * 2 <= cross.shots["start"][2]:
                    cross.half = self.now
                cross.shots["end"] = shot
            self.fresh.add((buy, sell))

    def close(self, buy: int, sell: int, censored: bool) -> None:
        cross = self.open.pop((buy, sell), None)
        if cross and cross.start < self.now:
            self.found.append((buy, sell, cross.start, self.now, censored, cross))

    def walk(
        self, buy: int, sell: int, taken: dict | None = None, cash: Fraction | None = None, most: Fraction | None = None
    ) -> tuple[Fraction, Fraction, int, int]:
        """Size, profit and the worst prices of taking both books while it pays."""
        venues = self.venues
        step = self.steps[buy, sell]
        steps: list[tuple[Fraction, Fraction, Fraction, int, int]] = []

        def levels(venue: int, side: int) -> Iterator[list]:
            for price, value, size in venues[venue].levels(side, self.now, self.unit):
                gone = (taken or {}).get((venue, side, price), Fraction(0))
                yield [price, value, max(size - gone, Fraction(0))]

        asks, bids = levels(buy, ASK), levels(sell, BID)
        buy_fee, sell_fee = venues[buy].fee, venues[sell].fee
        left = None if cash is None else cash - self.fixed
        room = most
        ask, bid = next(asks, None), next(bids, None)
        while ask and bid and room != 0:
            each = ask[1] * (1 + buy_fee)
            if bid[1] * (1 - sell_fee) <= each:
                break
            q = min(ask[2], bid[2]) if room is None else min(ask[2], bid[2], room)
            stop = False
            if left is not None:
                payable = max(left, 0) // (each * self.unit) * self.unit
                stop = payable < q
                q = min(q, payable)
                left -= q * each
            if q:
                steps.append((q, ask[1], bid[1], ask[0], bid[0]))
            if stop:
                break
            ask[2], bid[2] = ask[2] - q, bid[2] - q
            room = None if room is None else room - q
            if ask[2] and bid[2]:
                break
            if not ask[2]:
                ask = next(asks, None)
            if not bid[2]:
                bid = next(bids, None)
        total = sum((q for q, *_ in steps), Fraction(0))
        total -= total % step
        size, profit, worst_ask, worst_bid = Fraction(0), Fraction(0), 0, 0
        for q, value, worth, price, other in steps:
            part = min(q, total - size)
            if part:
                size += part
                profit += part * (worth * (1 - sell_fee) - value * (1 + buy_fee))
                worst_ask, worst_bid = price, other
        return size, profit - 2 * self.fixed if size else Fraction(0), worst_ask, worst_bid

    # Traders.

    def arrivals(self, changed: set[int]) -> None:
        while self.queue and self.queue[0][0] <= self.now:
            _, who, stage = heapq.heappop(self.queue)
            self.stage(self.traders[who], who, stage)
        for who, trader in enumerate(self.traders):
            if trader.trade and trader.trade["waits"] and self.closes_at(trader.trade) in changed:
                self.shut(trader, who)

    def stage(self, trader: Trader, who: int, stage: int) -> None:
        trade = trader.trade
        if stage in (0, 1):
            venue, side, limit = (trade["buy"], ASK, trade["ask"]) if stage == 0 else (trade["sell"], BID, trade["bid"])
            cash = trader.cash[venue] if side == ASK else None
            fills = self.take(trader, venue, side, trade["size"], limit, cash)
            trade["fills"][side] = fills
            self.book(trader, venue, side, fills)
        elif stage == 2:
            if self.excess(trade) == 0:
                self.done(trader)
            else:
                venue = self.closes_at(trade)
                heapq.heappush(self.queue, (self.now + self.delays[venue] + trader.latency, who, 3))
        elif stage == 3:
            self.shut(trader, who)
        else:
            self.done(trader)

    @staticmethod
    def excess(trade: dict) -> Fraction:
        bought, sold = (sum((q for _, q in trade["fills"][side]), Fraction(0)) for side in (ASK, BID))
        return bought - sold

    def closes_at(self, trade: dict) -> int:
        return trade["buy"] if self.excess(trade) > 0 else trade["sell"]

    def take(
        self, trader: Trader, venue: int, side: int, size: Fraction, limit: int | None, cash: Fraction | None
    ) -> list[tuple[Fraction, Fraction]]:
        fills = []
        left = None if cash is None else cash - self.fixed
        for price, value, shown in self.venues[venue].levels(side, self.now, self.unit):
            if size == 0 or (limit is not None and (price > limit if side == ASK else price < limit)):
                break
            key = (venue, side, price)
            q = max(min(shown - trader.taken.get(key, 0), size), Fraction(0))
            if left is not None:
                each = value * (1 + self.venues[venue].fee)
                q = min(q, max(left, 0) // (each * self.unit) * self.unit)
                left -= q * each
            if q:
                fills.append((value, q))
                trader.taken[key] = trader.taken.get(key, Fraction(0)) + q
                size -= q
        return fills

    def money(self, venue: int, side: int, fills: list) -> Fraction:
        """What fills bring; negative: what they cost."""
        if not fills:
            return Fraction(0)
        notional = sum(value * q for value, q in fills)
        fee = self.venues[venue].fee
        return notional * (1 - fee) - self.fixed if side == BID else -notional * (1 + fee) - self.fixed

    def book(self, trader: Trader, venue: int, side: int, fills: list, fixed: bool = True) -> None:
        trader.cash[venue] += self.money(venue, side, fills) + (0 if fixed or not fills else self.fixed)
        trader.base[venue] += sum((q for _, q in fills), Fraction(0)) * (1 if side == ASK else -1)

    def shut(self, trader: Trader, who: int) -> None:
        trade = trader.trade
        excess, venue = self.excess(trade), self.closes_at(trade)
        side = BID if excess > 0 else ASK
        left = abs(excess) - sum((q for _, q in trade["closing"]), Fraction(0))
        fills = self.take(trader, venue, side, left, None, None)
        self.book(trader, venue, side, fills, fixed=not trade["closing"])
        trade["closing"] += fills
        trade["waits"] = sum((q for _, q in fills), Fraction(0)) < left
        if not trade["waits"]:
            heapq.heappush(self.queue, (self.now, who, 4))
            self.arrivals(set())

    def done(self, trader: Trader) -> None:
        trade, trader.trade, trader.free = trader.trade, None, True
        buy, sell = trade["buy"], trade["sell"]
        sums = [sum((q for _, q in trade["fills"][side]), Fraction(0)) for side in (ASK, BID)]
        profit = self.money(buy, ASK, trade["fills"][ASK]) + self.money(sell, BID, trade["fills"][BID])
        excess, venue = self.excess(trade), self.closes_at(trade)
        if excess:
            side = BID if excess > 0 else ASK
            open_ = abs(excess) - sum((q for _, q in trade["closing"]), Fraction(0))
            trader.unclosed += open_
            last = self.last[venue][side][0] * self.venues[venue].price_unit
            profit += self.money(venue, side, trade["closing"] + ([(last, open_)] if open_ else []))
        both, matched = min(sums), Fraction(0)
        if both:
            for venue, side in ((buy, ASK), (sell, BID)):
                left, part = both, []
                for value, q in trade["fills"][side]:
                    part.append((value, min(q, left)))
                    left -= part[-1][1]
                matched += self.money(venue, side, part)
        trader.profit += profit
        trader.matched += matched
        trader.volume += both
        if sums == [trade["size"]] * 2:
            trader.full += 1
        elif sums == [0, 0]:
            trader.missed += 1
        else:
            trader.partial += 1

    def fund(self) -> None:
        for venue in self.used:
            touch = self.venues[venue].live(self.now)
            if touch and self.traders and venue not in self.traders[0].cash:
                ask = touch[ASK][0] * self.venues[venue].price_unit
                for trader in self.traders:
                    part = trader.capital / (2 * len(self.used))
                    trader.cash[venue] = part
                    trader.base[venue] = part / ask // self.unit * self.unit
                    trader.free = True

    def decide(self) -> None:
        self.fund()
        for who, trader in enumerate(self.traders):
            while trader.trade is None:
                free, trader.free = trader.free, False
                best = None
                for buy, sell in [(b, s) for p in self.pairs for b, s in (p, p[::-1]) if (b, s) in self.open]:
                    if not free and (buy, sell) not in self.fresh:
                        continue
                    if trader.base[sell] < self.steps[buy, sell] or trader.cash[buy] <= 0:
                        continue
                    found = self.walk(buy, sell, trader.taken, trader.cash[buy], trader.base[sell])
                    if found[0] and found[1] > (best[0][1] if best else 0):
                        best = found, buy, sell
                if best is None:
                    break
                (size, profit, ask, bid), buy, sell = best
                trader.tried += 1
                trader.planned += profit
                trader.trade = {
                    "buy": buy, "sell": sell, "size": size, "ask": ask, "bid": bid,
                    "fills": {ASK: [], BID: []}, "closing": [], "waits": False,
                }  # fmt: skip
                arrives = [self.now + self.delays[venue] + trader.latency for venue in (buy, sell)]
                for at, stage in zip([*arrives, max(arrives)], (0, 1, 2), strict=True):
                    heapq.heappush(self.queue, (at, who, stage))
                self.arrivals(set())

    def finish(self, ts: int) -> None:
        self.step_to(ts)
        self.settle()
        for buy, sell in list(self.open):
            self.close(buy, sell, True)
        self.queue.clear()
        for trader in self.traders:
            if trader.trade:
                self.done(trader)
