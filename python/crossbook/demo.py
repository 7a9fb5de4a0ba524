"""The embedded default capture: two venues made from a seed, with a known lead and known costs.

The files are what the recorder writes for the real venues, frame for frame: `usdm-btcusdt.gz` (the primary: USD-M
perpetual) and `spot-btcusdt.gz` (the secondary), so the whole pipeline runs on them. What a study ought to find lies
beside them in `truth.json`.

The model is plain random flow. The primary's book lives on Poisson limit orders, cancellations and market orders; its
mid moves when a touch is depleted. Makers on the secondary quote around the primary's mid of `lead_ms` earlier, as one
recorder sees it through both venues' links. Now and then a large order pushes the secondary away; arbitrageurs trade it
back as far as their costs allow, and makers close the rest. Prices and sizes are integers of units throughout: text is
made from digits, never from floats.
"""

from __future__ import annotations

import gzip
import json
import math
import random
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from pathlib import Path
from typing import Literal

EPOCH_NS = 1_700_000_000_000_000_000
"""Exchange time at which every capture starts, ns UTC."""

Side = Literal[0, 1]
BID: Side = 0
ASK: Side = 1

_MS = 1_000_000
_SNAPSHOT_TAKEN_MS = 450  # late enough that several diffs are buffered before the answer arrives,
_SNAPSHOT_TAKES_MS = 90  # and long enough that diffs newer than the snapshot are buffered too
_JITTER_MS = 0.4  # mean of the exponential jitter on top of a link's fixed delay, the same on both links
_MAKER_SPREAD_MS = 3.0  # makers answer within lead ± this, uniformly


@dataclass(frozen=True, slots=True)
class _Format:
    """How one venue writes its frames; prices and sizes are given in units of `10**-decimals`."""

    futures: bool
    price_decimals: int
    size_decimals: int
    price_zeros: str
    size_zeros: str
    delay_ms: float

    def price(self, value: int) -> str:
        scale = 10**self.price_decimals
        return f"{value // scale}.{value % scale:0{self.price_decimals}d}{self.price_zeros}"

    def size(self, value: int) -> str:
        scale = 10**self.size_decimals
        return f"{value // scale}.{value % scale:0{self.size_decimals}d}{self.size_zeros}"

    def levels(self, levels: Iterable[tuple[int, int]]) -> str:
        return ",".join(f'["{self.price(p)}","{self.size(s)}"]' for p, s in levels)


_USDM = _Format(futures=True, price_decimals=1, size_decimals=3, price_zeros="0", size_zeros="", delay_ms=3.0)
_SPOT = _Format(futures=False, price_decimals=2, size_decimals=5, price_zeros="000000", size_zeros="000", delay_ms=5.0)


@dataclass(slots=True)
class _Ladder:
    """One side of a book. Keys are prices, negated for asks, ascending: the best level is the last on either side."""

    sign: int
    keys: list[int] = field(default_factory=list)
    sizes: dict[int, int] = field(default_factory=dict)

    def best(self) -> int:
        return self.keys[-1] * self.sign

    def set(self, price: int, size: int) -> None:
        key = price * self.sign
        if size > 0:
            if key not in self.sizes:
                insort(self.keys, key)
            self.sizes[key] = size
        elif self.sizes.pop(key, 0):
            del self.keys[bisect_left(self.keys, key)]

    def get(self, price: int) -> int:
        return self.sizes.get(price * self.sign, 0)


@dataclass(slots=True)
class _Engine:
    """A venue: its book, its update and trade counters, and the frames that its feed sends to the recorder.

    Every operation (a group of `set` and `take` calls) ends with `commit`, which is when subscribers hear of it.
    So the newest `bookTicker` tells the touch of the book at any update id up to the next one.
    """

    form: _Format
    random: Callable[[], float]
    update: int
    trade: int
    book: tuple[_Ladder, _Ladder] = field(default_factory=lambda: (_Ladder(1), _Ladder(-1)))
    frames: list[str] = field(default_factory=list)
    mids: list[tuple[float, int]] = field(default_factory=list)
    """(exchange time in ms, twice the mid in price units) at every move of the mid."""
    _now: float = 0.0
    _received: int = 0
    _touch: tuple[int, int, int, int] = (0, 0, 0, 0)
    _dirty: tuple[set[int], set[int]] = field(default_factory=lambda: (set(), set()))
    _first: int = 0
    _previous: int = 0
    _trades: list[tuple[int, int, Side]] = field(default_factory=list)
    _snapshot: str | None = None
    """The snapshot on its way to the recorder; empty once it has arrived."""

    def __post_init__(self) -> None:
        self._previous = self.update

    def expo(self, mean: float) -> float:
        return -math.log(1.0 - self.random()) * mean

    def set(self, side: Side, price: int, size: int) -> None:
        # Futures ids count everything in the engine, so they jump further than spot ids, which count one book.
        self.update += 1 + int(self.random() * (120 if self.form.futures else 6))
        self._first = self._first or self.update
        self.book[side].set(price, size)
        self._dirty[side].add(price)

    def take(self, side: Side, size: int, *, limit: int | None = None) -> None:
        """A market order that eats `side` level by level until `size` is filled or the next price is past `limit`."""
        ladder = self.book[side]
        while size > 0 and len(ladder.keys) > 1:
            price = ladder.best()
            if limit is not None and (price - limit) * ladder.sign < 0:
                return
            filled = min(size, ladder.get(price))
            self._trades.append((price, filled, side))
            self.set(side, price, ladder.get(price) - filled)
            size -= filled

    def commit(self, now: float) -> None:
        """Ends an operation at `now` (exchange time, ms since the start): sends trades and, if it moved, the touch."""
        self._now = now
        for price, size, side in self._trades:
            self._send_trade(price, size, side)
        self._trades.clear()
        bids, asks = self.book
        bid, ask = bids.best(), asks.best()
        touch = (bid, bids.get(bid), ask, asks.get(ask))
        if touch != self._touch:
            if bid + ask != self._touch[0] + self._touch[2]:
                self.mids.append((now, bid + ask))
            self._touch = touch
            self._send_touch()
        if now >= _SNAPSHOT_TAKEN_MS and self._snapshot is None:
            self._take_snapshot()

    def flush(self, now: float) -> None:
        """Sends the depth diff of everything since the last one, if anything changed."""
        self._now = now
        if not self._first:
            return
        form = self.form
        # As seen in real frames: asks ascend on both venues, bids ascend on futures and descend on spot.
        bids, asks = (
            form.levels([(price, ladder.get(price)) for price in sorted(dirty, reverse=descends)])
            for ladder, dirty, descends in zip(self.book, self._dirty, (not form.futures, False), strict=True)
        )
        ms, stream = self._ms(), "depth@0ms" if form.futures else "depth@100ms"
        if form.futures:
            ids = f'"T":{ms},"s":"BTCUSDT","U":{self._first},"u":{self.update},"pu":{self._previous}'
        else:
            ids = f'"s":"BTCUSDT","U":{self._previous + 1},"u":{self.update}'
        self._send(stream, f'"e":"depthUpdate","E":{ms},{ids},"b":[{bids}],"a":[{asks}]')
        self._previous, self._first = self.update, 0
        for dirty in self._dirty:
            dirty.clear()

    def _ms(self) -> int:
        return (EPOCH_NS + int(self._now * _MS)) // _MS

    def _send(self, stream: str, data: str) -> None:
        now = EPOCH_NS + int((self._now + self.form.delay_ms + self.expo(_JITTER_MS)) * _MS)
        if self._snapshot and now >= EPOCH_NS + (_SNAPSHOT_TAKEN_MS + _SNAPSHOT_TAKES_MS) * _MS:
            self._write(now - 500_000, self._snapshot)
            self._snapshot = ""
        self._write(now, f'{{"stream":"btcusdt@{stream}","data":{{{data}}}}}')

    def _write(self, received: int, frame: str) -> None:
        # One socket: what left first arrives first, so jitter delays whatever follows it.
        self._received = max(received, self._received + 700)
        self.frames.append(f"{self._received} {frame}\n")

    def _send_touch(self) -> None:
        form, (bid, bid_size, ask, ask_size) = self.form, self._touch
        quote = f'"s":"BTCUSDT","b":"{form.price(bid)}","B":"{form.size(bid_size)}"'
        quote += f',"a":"{form.price(ask)}","A":"{form.size(ask_size)}"'
        if form.futures:
            ms = self._ms()
            data = f'"e":"bookTicker","u":{self.update},{quote},"T":{ms},"E":{ms}'
        else:
            data = f'"u":{self.update},{quote}'
        self._send("bookTicker", data)

    def _send_trade(self, price: int, size: int, side: Side) -> None:
        form, ms = self.form, self._ms()
        self.trade += 1
        fill = f'"t":{self.trade},"p":"{form.price(price)}","q":"{form.size(size)}"'
        maker = "true" if side == BID else "false"  # the resting order was a buy: the aggressor sold
        if form.futures:
            data = f'"e":"trade","E":{ms},"T":{ms},"s":"BTCUSDT",{fill},"X":"MARKET","m":{maker}'
        else:
            data = f'"e":"trade","E":{ms},"s":"BTCUSDT",{fill},"T":{ms},"m":{maker},"M":true'
        self._send("trade", data)

    def _take_snapshot(self) -> None:
        form, ms = self.form, self._ms()
        bids, asks = (
            form.levels((k * ladder.sign, ladder.sizes[k]) for k in reversed(ladder.keys[-1000:]))
            for ladder in self.book
        )
        times = f'"E":{ms},"T":{ms},' if form.futures else ""
        self._snapshot = f'{{"lastUpdateId":{self.update},{times}"bids":[{bids}],"asks":[{asks}]}}'


def _away(side: Side, price: int, distance: int) -> int:
    """The price `distance` units behind `price` on `side` (lower for bids, higher for asks)."""
    return price - distance if side == BID else price + distance


def _fill(engine: _Engine, bid: int, *, near: float, far: float, size: float) -> None:
    """Opens the market: 500 levels a side with mean gaps of `near` units, of `far` units beyond the 350th."""
    for side in (BID, ASK):
        price = bid + side
        for level in range(500):
            engine.book[side].set(price, 1 + int(engine.expo(size)))  # there before the feed: no diff tells of it
            price = _away(side, price, 1 + int(engine.expo(near if level < 350 else far)))
    engine.commit(0.0)


def _shrink(engine: _Engine, side: Side, *, near: float) -> None:
    """Cancels one level or a part of it: six in ten some `near` levels from the touch, the others anywhere."""
    ladder = engine.book[side]
    count = len(ladder.keys)
    deep = engine.random() < 0.4
    index = int(engine.random() * count) if deep else int(engine.expo(near))
    if count > 50 and index < count:
        price = ladder.keys[-1 - index] * ladder.sign
        size = ladder.get(price)
        engine.set(side, price, 0 if engine.random() < 0.6 else int(size * engine.random()))


def _primary(engine: _Engine, seconds: float) -> None:
    """Runs the primary: some 400 orders a second, of which one in twelve is a market order with a heavy-tailed size."""
    rand, expo = engine.random, engine.expo
    _fill(engine, 618_002, near=4.0, far=40.0, size=300.0)
    now, next_flush = 0.0, 30.0
    chaser: Side = BID
    while True:
        now += expo(2.5)
        while next_flush <= now:
            engine.flush(next_flush)
            next_flush += 25.0 + 25.0 * rand()
        if now >= seconds * 1e3:
            return
        bid, ask = engine.book[BID].best(), engine.book[ASK].best()
        side: Side = BID if rand() < 0.5 else ASK
        draw = rand()
        if ask - bid > 1 and draw < 0.75:
            # After a sweep most followers close the gap behind the price rather than put it back: moves last.
            side = chaser if rand() < 0.8 else _other(chaser)
            best = bid if side == BID else ask
            step = ask - bid - 1 if rand() < 0.8 else 1
            engine.set(side, _away(side, best, -step), 1 + int(expo(400.0)))
        elif draw < 0.08:
            best = bid if side == BID else ask
            engine.take(side, 1 + int(14.0 * (1.0 - rand()) ** -1.5), limit=_away(side, best, 120))
            chaser = _other(side)
        elif draw < 0.08 + 0.46 * min(1.0, len(engine.book[side].keys) / 500):
            _shrink(engine, side, near=1.5)
        else:
            best = bid if side == BID else ask
            price = _away(side, best, int(expo(3.0)) if rand() < 0.55 else int(expo(300.0)))
            engine.set(side, price, engine.book[side].get(price) + 1 + int(expo(250.0)))
        engine.commit(now)


def _other(side: Side) -> Side:
    return ASK if side == BID else BID


@dataclass(slots=True)
class _Makers:
    """The secondary's makers, who stand one unit either side of `fair` (units) and withdraw what is in the way."""

    engine: _Engine
    quotes: list[int] = field(default_factory=lambda: [0, 0])

    def quote(self, fair: float, *, hit: float, now: float) -> None:
        """Moves the touch to `fair` ± 1 unit at `now` ms. What is in the way trades with probability `hit`, or goes."""
        engine = self.engine
        targets = (math.ceil(fair) - 1, math.floor(fair) + 1)
        sides: tuple[Side, Side] = (BID, ASK)
        for side, target in zip(sides, targets, strict=True):
            ladder = engine.book[side]
            while (ladder.best() - target) * ladder.sign > 0:
                if engine.random() < hit:
                    engine.take(side, ladder.get(ladder.best()))
                else:
                    engine.set(side, ladder.best(), 0)
        for side, target in zip(sides, targets, strict=True):
            if self.quotes[side] != target and engine.random() < 0.8:
                engine.set(side, self.quotes[side], 0)
            if not engine.book[side].get(target):
                engine.set(side, target, 20_000 + int(engine.expo(80_000)))
            self.quotes[side] = target
        engine.commit(now)


def _pushes(engine: _Engine, seconds: float, fees_bp: float) -> Iterator[tuple[float, float, float]]:
    """Dislocations of the secondary as steps (time in ms, offset from fair in bp, probability that a level trades).

    A large order opens each, in eight parts. Beyond `fees_bp`, arbitrageurs trade it in; below, makers drift back.
    """
    now, rand = 1_000.0, engine.random
    while (now := now + 1_500.0 + engine.expo(4_000.0)) < seconds * 1e3:
        peak = min(16.0, fees_bp * 0.5 + engine.expo(fees_bp * 0.75 + 1.0)) * (1.0 if rand() < 0.5 else -1.0)
        for part in range(1, 9):
            now += 10.0 + 20.0 * rand()
            yield now, peak * part / 8, 1.0
        offset = peak
        while abs(offset) > 0.05:
            by_arbitrage = abs(offset) > fees_bp
            now += 15.0 + (30.0 if by_arbitrage else 60.0) * rand()
            offset *= 0.85
            yield now, offset, 1.0 if by_arbitrage else 0.1
        yield now + 50.0, 0.0, 0.1


def _requotes(engine: _Engine, leader: _Engine, lead_ms: float) -> Iterator[tuple[float, float]]:
    """When makers act on each move of the primary's mid (ms on the secondary's clock), and that mid in their units."""
    # Links differ: a lead as the recorder sees it starts when the primary's quote arrives, not when it was sent.
    shift = lead_ms + leader.form.delay_ms - engine.form.delay_ms
    scale = 10 ** (engine.form.price_decimals - leader.form.price_decimals) / 2
    answers = [
        (sent + shift + _MAKER_SPREAD_MS * (2.0 * engine.random() - 1.0), index, mid * scale)
        for index, (sent, mid) in enumerate(leader.mids)
    ]
    newest = -1
    for now, index, mid in sorted(answers):
        if index > newest and now > 0.0:  # an answer that was overtaken is dropped
            newest = index
            yield now, mid


def _secondary(engine: _Engine, leader: _Engine, *, seconds: float, lead_ms: float, fees_bp: float) -> None:
    """Runs the secondary: makers' answers to the primary, pushes and arbitrage, and 90 orders a second of noise."""
    rand, expo = engine.random, engine.expo
    fair, offset = 0.5 * leader.mids[0][1] * 10, 0.0
    _fill(engine, int(fair), near=40.0, far=400.0, size=30_000.0)
    makers = _Makers(engine)
    steps = [*_pushes(engine, seconds, fees_bp)]
    answers = [*_requotes(engine, leader, lead_ms)]
    noise: list[float] = []
    now = 0.0
    while (now := now + expo(11.0)) < seconds * 1e3:
        noise.append(now)
    agenda = merge(
        ((t, 0, mid, 0.0) for t, mid in answers),
        ((t, 1, off, hit) for t, off, hit in steps),
        ((t, 2, 0.0, 0.0) for t in noise),
    )
    next_flush = 100.0
    for now, kind, value, hit in agenda:
        while next_flush <= now:
            engine.flush(next_flush)
            next_flush += 100.0
        if now >= seconds * 1e3:
            return
        if kind == 0:
            fair = value
        elif kind == 1:
            offset = value
        if kind < 2 or rand() < 0.15:
            makers.quote(fair * (1.0 + offset * 1e-4), hit=hit or 0.15, now=now)
            continue
        side: Side = BID if rand() < 0.5 else ASK
        draw = rand()
        if draw < 0.2:
            engine.take(side, 10 + int(expo(3_000.0)))
        elif draw < 0.2 + 0.35 * min(1.0, len(engine.book[side].keys) / 500):
            _shrink(engine, side, near=3.0)
        else:
            price = _away(side, engine.book[side].best(), int(expo(30.0 if rand() < 0.4 else 900.0)))
            engine.set(side, price, engine.book[side].get(price) + 100 + int(expo(30_000.0)))
        engine.commit(now)


def make_capture(
    directory: str | Path,
    *,
    seed: int = 7,
    seconds: float = 60.0,
    lead_ms: float = 80.0,
    fees_bp: float = 4.0,
) -> Path:
    """Writes the two-venue capture into `directory` (made if missing) and returns it as a path.

    `seconds` of exchange time (at least 1) start at `EPOCH_NS`. `lead_ms` (0 to 2,000): how much later the secondary's
    quotes are received than the primary's that they follow. `fees_bp` (above 0) is the total cost of a cross, in basis
    points of price, above which arbitrageurs trade it away. The same arguments give the same bytes.
    Raises `ValueError` for arguments out of range.
    """
    if not (seconds >= 1.0 and 0.0 <= lead_ms <= 2_000.0 and fees_bp > 0.0):
        raise ValueError(
            "expected seconds >= 1, 0 <= lead_ms <= 2000 and fees_bp > 0, "
            f"got seconds={seconds}, lead_ms={lead_ms}, fees_bp={fees_bp}"
        )
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    primary = _Engine(_USDM, random.Random(f"{seed}/primary").random, update=5_123_000_000_000, trade=5_266_000_000)
    secondary = _Engine(_SPOT, random.Random(f"{seed}/secondary").random, update=50_093_000_000, trade=3_735_000_000)
    _primary(primary, seconds)
    _secondary(secondary, primary, seconds=seconds, lead_ms=lead_ms, fees_bp=fees_bp)
    units: dict[str, dict[str, str]] = {}
    for name, engine in (("usdm-btcusdt", primary), ("spot-btcusdt", secondary)):
        # No name and no time in the header: equal frames give equal bytes.
        with (directory / f"{name}.gz").open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as out:
            out.write("".join(engine.frames).encode("ascii"))
        form = engine.form
        units[name] = {"price_unit": f"1e-{form.price_decimals}", "size_unit": f"1e-{form.size_decimals}"}
    truth = {"seed": seed, "seconds": seconds, "lead_ms": lead_ms, "fees_bp": fees_bp, "units": units}
    (directory / "truth.json").write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")
    return directory
