"""Feeds side by side with cryptofeed: same process, same raw frames of a dozen venues, books compared before the clock.

    python -m pip install -r benches/peers/requirements.txt
    python -m benches.peers.feeds [--json FILE]

Frames are cryptofeed's own captures, in the format that its playback (`cryptofeed.raw_data_collection`) reads: those
that change or replace a book, in order of receipt, with the REST snapshots that belong to them. A venue that
counts every frame of a connection (Bitfinex) is given every frame. All are in memory before; each pass begins with a
new feed, and what is made before the first frame is outside the clock, which counts the process's CPU time. The passes
of all ways take turns. As in `timeit` the garbage collector rests.

- cryptofeed: `await feed.message_handler(text, connection, time)` for each frame, as its playback and its live
  connections do, `checksum_validation=True`, one callback that counts, for every message about a book. It reads JSON
  into Python objects and keeps a book of Decimals. Where it has them it checks sequences and checksums.
- crossbook, one a call: `session.frames(time, [frame])` and `session.take()`. It reads, checks sequences and checksums
  and gives events in columns; it keeps books itself only where rules need one (checksums, cut depth).
- crossbook, 64 a call: the same with 64 frames, as a busy socket brings them.
- crossbook, … + books: the same, and each tape applied to a `PriceBook` of each instrument in it, which writes the
  quote after each message: what a callback reads from cryptofeed's book. With one frame a call it is told which
  instrument that is, since a tape says so only to who reads its columns.

The answer: at the end every instrument's book must be the same on both sides, level by level, in exact decimals, and
so must be the number of messages that changed one; `MORE` says where and why cryptofeed counts another number.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import json
import logging
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from statistics import median
from time import process_time_ns
from typing import Any

import polars as pl
from benches import streams
from cryptofeed.connection import HTTPAsyncConn, HTTPSync
from cryptofeed.defines import L2_BOOK
from cryptofeed.exchanges import EXCHANGE_MAP
from yapic import json as yapic_json

import crossbook as xb
from crossbook import _core

DATA = Path(os.environ.get("CROSSBOOK_DATA", streams.ROOT / "../shared/data")) / "cryptofeed"
ROUNDS = 9
BATCH = 64
GOAL = 20.0
LEVEL = 1
REPLAYED_LAST = 16 | 1
# Public and dead: cryptofeed signs its request for a snapshot of KuCoin.
KEYS = {"key_id": "none", "key_secret": "none", "key_passphrase": "none"}
# What is in the folder and cannot be played, and why.
LEFT_OUT = {
    "BYBIT": "cryptofeed 2.4.1 speaks v5 alone",
    "COINBASE": "cryptofeed 2.4.1 speaks to Advanced Trade alone",
    "INDEPENDENT_RESERVE": "market by order, for which we have no book to compare",
}
# So many messages more (or fewer) change a book of cryptofeed, and why. Its books come out the same.
MORE = {
    "DYDX": (-34, "it says nothing of a message all of whose levels are older than those in the book"),
    "BITSTAMP": (2, "it compares whole seconds: changes just before a snapshot are applied on top of it"),
    "KUCOIN": (9, "it compares with <: the change that a snapshot ends with is applied on top of it"),
}

Books = dict[str, tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]]
Frame = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Venue:
    """One connection's frames: market data, and the instruments that our session reads them for."""

    name: str
    protocol: str
    instruments: list[xb.Instrument]
    frames: list[Frame]
    """Receive time in ns and text; what is no websocket frame is not among them."""
    responses: list[tuple[int, str, str]]
    """Receive time, address and body."""
    listing: list[Any]
    subscription: dict[str, list[str]]

    @property
    def feed(self) -> str:
        """How cryptofeed names it."""
        return self.name.partition(".")[0]


def lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file if line != "\n"]


def nanos(text: str) -> int:
    return int(Decimal(text) * 1_000_000_000)


def read(path: Path) -> Venue:
    feed = path.name.partition(".")[0]
    protocol = _core.identify(path)[0]
    beside = sorted(DATA.glob(f"{feed}.http.*.gz"))
    frames, responses, listing, subscription = [], [], [], {}
    for line in lines(path):
        time, mark, text = line.partition(": ")
        if mark and " " not in time:
            frames.append((nanos(time), text))
    for one in beside:
        for line in lines(one):
            url, arrow, rest = line.partition(" -> ")
            if arrow:
                time, _, body = rest.partition(": ")
                responses.append((nanos(time), url, body.partition(" header: ")[0]))
    for line in lines(DATA / f"{feed}.0.gz"):
        text = line.partition(": ")[2]
        if line.startswith("configuration: "):
            subscription = json.loads(text)
        else:
            # Its own reader makes dates of texts, which its feeds count on.
            listing.append(yapic_json.loads(text.partition(" header: ")[0]))
    return Venue(
        path.name.removesuffix(".gz").removesuffix(".0"),
        protocol,
        _core.survey([path, *beside], protocol),
        frames,
        responses,
        listing,
        subscription,
    )


# Theirs.


@contextlib.contextmanager
def offline(venue: Venue) -> Any:
    """Answer what cryptofeed asks the venue's REST servers from the capture; as its playback does."""
    kept: dict[str, list[str]] = defaultdict(list)
    for _, url, body in venue.responses:
        kept[url].append(body)
    listing = list(venue.listing)

    async def snapshot(_: object, url: str, **__: object) -> str:
        return kept[url].pop(0)

    def listed(*_: object, **__: object) -> object:
        return listing.pop(0)

    def token(*_: object, **__: object) -> object:
        return {"data": {"token": "", "instanceServers": [{"endpoint": "wss://localhost", "pingInterval": 18_000}]}}

    async def at_once(_: float) -> None:
        pass

    before = HTTPAsyncConn.read, HTTPSync.read, HTTPSync.write, asyncio.sleep
    HTTPAsyncConn.read, HTTPSync.read, HTTPSync.write, asyncio.sleep = snapshot, listed, token, at_once
    try:
        yield
    finally:
        HTTPAsyncConn.read, HTTPSync.read, HTTPSync.write, asyncio.sleep = before


class Connection:
    """What a feed sees of a websocket."""

    conn_type = "wss"
    uuid = "1"

    def __init__(self, subscription: dict[str, list[str]]) -> None:
        self.subscription = subscription

    async def write(self, *_: object, **__: object) -> None:
        pass


class Theirs:
    """A new feed of cryptofeed."""

    def __init__(self, venue: Venue, *, checksums: bool) -> None:
        self.messages = 0
        self.other = 0
        kind = EXCHANGE_MAP[venue.feed]
        wanted = {name: symbols for name, symbols in venue.subscription.items() if name in kind.websocket_channels}
        self.feed = kind(
            candle_closed_only=False,
            checksum_validation=checksums,
            config={"log": {"disabled": True}, kind.id.lower(): KEYS},
            subscription=wanted,
            callbacks={name: self.on_book if name == L2_BOOK else self.on_other for name in wanted},
        )
        channels = {
            self.feed.std_channel_to_exchange(name): [self.feed.std_symbol_to_exchange_symbol(one) for one in symbols]
            for name, symbols in wanted.items()
        }
        self.connection = Connection(channels)

    async def on_book(self, book: object, time: float) -> None:
        del book, time
        self.messages += 1

    async def on_other(self, what: object, time: float) -> None:
        del what, time
        self.other += 1

    async def start(self) -> None:
        """Subscribe, as its playback does: it resets what the feed knows of the connection."""
        for _, subscribe, _, _ in self.feed.connect():
            await subscribe(self.connection)

    async def run(self, frames: list[tuple[float, str]]) -> None:
        handler, connection = self.feed.message_handler, self.connection
        for time, text in frames:
            await handler(text, connection, time)

    def books(self) -> Books:
        """By the names in the frames. It keys books by its own names or, in KuCoin's feed, by the venue's."""
        found = {}
        for symbol, book in self.feed._l2_book.items():
            name = self.feed.normalized_symbol_mapping.get(symbol, symbol)
            # Bitget lists another name than it sends, Kraken Futures lists in lower case.
            name = name.removesuffix("_UMCBL") if self.feed.id == "BITGET" else name
            name = name.upper() if self.feed.id == "KRAKEN_FUTURES" else name
            found[name] = (dict(book.book.bids.to_dict()), dict(book.book.asks.to_dict()))
        return found


def play_theirs(venue: Venue, frames: list[Frame], *, checksums: bool = True) -> tuple[int, Theirs]:
    """Play all frames through a new feed; the time that it took and the feed."""
    prepared = [(time / 1e9, text) for time, text in frames]

    async def play() -> tuple[int, Theirs]:
        with offline(venue):
            theirs = Theirs(venue, checksums=checksums)
            await theirs.start()
            gc.collect()
            gc.disable()
            start = process_time_ns()
            await theirs.run(prepared)
            taken = process_time_ns() - start
            gc.enable()
            return taken, theirs

    return asyncio.run(play())


# Ours.

Call = tuple[int, list[bytes], tuple[int, ...]]
Response = tuple[int, int, bytes]


@dataclass(frozen=True, slots=True)
class Plan:
    """What our session is given: calls, cut where a REST snapshot comes in between."""

    venue: Venue
    parts: list[tuple[Response | None, list[Call]]]
    every: tuple[int, ...]
    first: list[Response]
    """Snapshots from before the first frame, which cryptofeed fetches (Bitstamp) when it subscribes: off the clock."""

    @staticmethod
    def of(venue: Venue, frames: list[Frame], size: int, about: dict[int, tuple[int, ...]] | None = None) -> Plan:
        """Calls of so many frames. `about` says of which instruments each frame is, all if it does not."""
        every = tuple(range(len(venue.instruments)))
        responses = sorted(response for response in map(venue_response(venue), venue.responses) if response)
        first = [response for response in responses if response[0] < frames[0][0]]
        parts: list[tuple[Response | None, list[Call]]] = [(None, [])]
        at = len(first)
        for number, (time, text) in enumerate(frames):
            while at < len(responses) and responses[at][0] <= time:
                parts.append((responses[at], []))
                at += 1
            calls = parts[-1][1]
            if not calls or len(calls[-1][1]) == size:
                calls.append((time, [], every if about is None else about.get(number, ())))
            calls[-1][1].append(text.encode())
        parts += [(response, []) for response in responses[at:]]
        return Plan(venue, parts, every, first)

    def begin(self) -> _core.Session:
        """A session as it is before the first frame."""
        session = _core.Session(self.venue.protocol, self.venue.instruments)
        for response in self.first:
            session.snapshot(*response)
        return session

    def play(self) -> tuple[int, _core.Session]:
        """Read everything; the time that it took."""
        session = self.begin()
        parts = self.parts
        gc.collect()
        gc.disable()
        start = process_time_ns()
        read, take = session.frames, session.take
        for response, calls in parts:
            if response is not None:
                session.snapshot(*response)
                take()
            for time, frames, _ in calls:
                read(time, frames)
                take()
        taken = process_time_ns() - start
        gc.enable()
        return taken, session

    def play_books(self) -> tuple[int, list[xb.PriceBook]]:
        """Read everything and keep every book; the time that it took and the books."""
        session = self.begin()
        books = [xb.PriceBook() for _ in self.venue.instruments]
        apply = [book.apply for book in books]
        if (tape := session.take()) is not None:
            for at in self.every:
                apply[at](tape, instrument=at)
        parts, every = self.parts, self.every
        gc.collect()
        gc.disable()
        start = process_time_ns()
        read, take = session.frames, session.take
        for response, calls in parts:
            if response is not None:
                session.snapshot(*response)
                tape = take()
                if tape is not None:
                    for at in every:
                        apply[at](tape, instrument=at)
            for time, frames, which in calls:
                read(time, frames)
                tape = take()
                if tape is not None:
                    for at in which:
                        apply[at](tape, instrument=at)
        taken = process_time_ns() - start
        gc.enable()
        return taken, books


def venue_response(venue: Venue) -> Callable[[tuple[int, str, str]], Response | None]:
    """Tell which instrument a REST response is for."""
    symbols = {one.symbol: at for at, one in enumerate(venue.instruments)}

    def find(response: tuple[int, str, str]) -> Response | None:
        time, url, body = response
        at = next((symbols[word] for word in re.split("[/=&?]", url) if word in symbols), None)
        return None if at is None else (time, at, body.encode())

    return find


def depth_frames(venue: Venue) -> tuple[list[Frame], int]:
    """The frames that a book needs, and how many of them are about one."""
    facts = next(row for row in _core.protocols() if row["name"] == venue.protocol)
    session = _core.Session(venue.protocol, venue.instruments)

    def about_books() -> int:
        names = ("depth", "held", "snapshots", "repeated", "unverifiable")
        return sum(row[name] for row in session.counts() for name in names)

    kept, seen = [], 0
    for time, text in venue.frames:
        assert session.frames(time, [text.encode()]) == 0, f"{venue.name}: {session.faults()}"
        if (now := about_books()) > seen:
            kept.append((time, text))
            seen = now
    return (venue.frames if facts["counts_frames"] else kept), len(kept)


@dataclass(slots=True)
class Survey:
    """What a venue's frames bring."""

    about: dict[int, tuple[int, ...]]
    """The instruments that each frame has events of, once its tape is there."""
    levels: int = 0
    """Levels set, those of snapshots included."""
    replayed: int = 0
    """Messages that waited for a snapshot and then continued it."""

    @staticmethod
    def of(venue: Venue, frames: list[Frame]) -> Survey:
        found, number = Survey({}), 0
        plan = Plan.of(venue, frames, 1)
        session = plan.begin()
        found.add(session.take())
        for response, calls in plan.parts:
            if response is not None:
                session.snapshot(*response)
                found.add(session.take())
            for time, texts, _ in calls:
                session.frames(time, texts)
                found.about[number] = found.add(session.take())
                number += 1
        return found

    def add(self, tape: xb.Tape | None) -> tuple[int, ...]:
        if tape is None:
            return ()
        rows = tape.to_polars()
        levels = rows.filter(kind=LEVEL)
        self.levels += len(levels)
        self.replayed += len(levels.filter(pl.col("flags") & REPLAYED_LAST == REPLAYED_LAST))
        return tuple(rows["instrument"].unique(maintain_order=True).to_list())


def our_books(venue: Venue, books: list[xb.PriceBook]) -> Books:
    found = {}
    for instrument, book in zip(venue.instruments, books, strict=True):
        price, size = Decimal(instrument.price_unit), Decimal(instrument.size_unit)
        bids, asks = ({p * price: s * size for p, s in book.depth(side, 1_000_000)} for side in (0, 1))
        found[instrument.symbol] = (bids, asks)
    return found


def differences(ours: Books, theirs: Books) -> list[str]:
    found = []
    for symbol in sorted(ours.keys() | theirs.keys()):
        mine, yours = ours.get(symbol, ({}, {})), theirs.get(symbol, ({}, {}))
        for side, a, b in zip(("bids", "asks"), mine, yours, strict=True):
            wrong = [price for price in a.keys() | b.keys() if a.get(price) != b.get(price)]
            if wrong:
                some = ", ".join(f"{price}: {a.get(price)} / {b.get(price)}" for price in sorted(wrong)[:3])
                found.append(f"{symbol} {side} {len(a)} / {len(b)} levels, {len(wrong)} differ: {some}")
    return found


def check(venue: Venue, frames: list[Frame], found: Survey, plans: Sequence[Plan]) -> int:
    """Compare books and the number of messages that changed one; how many checksums were right."""
    _, theirs = play_theirs(venue, frames)
    expected = theirs.books()
    for plan in plans:
        _, session = plan.play()
        counts = session.counts()
        assert session.totals[1] == 0, f"{venue.name}: {session.faults()[:3]}"
        assert not any(row["gaps"] or row["checksum_failures"] for row in counts), f"{venue.name}: {session.gaps()}"
        messages = sum(row["depth"] + row["snapshots"] for row in counts) + found.replayed
        more = theirs.messages - messages
        assert more == MORE.get(venue.feed, (0, ""))[0], f"{venue.name}: {messages} messages / {theirs.messages}"
        _, books = plan.play_books()
        wrong = differences(our_books(venue, books), expected)
        assert not wrong, f"{venue.name}: ours / cryptofeed: {wrong}"
    return sum(row["checksums"] for row in counts)


def measure(venue: Venue, frames: list[Frame], count: int) -> list[dict[str, object]]:
    survey = Survey.of(venue, frames)
    single, many = Plan.of(venue, frames, 1, survey.about), Plan.of(venue, frames, BATCH)
    sums = check(venue, frames, survey, (single, many))
    ways: dict[str, Callable[[], int]] = {
        "cryptofeed": lambda: play_theirs(venue, frames)[0],
        "cryptofeed, checksums off": lambda: play_theirs(venue, frames, checksums=False)[0],
        "crossbook, one a call": lambda: single.play()[0],
        "crossbook, 64 a call": lambda: many.play()[0],
        "crossbook, one a call + books": lambda: single.play_books()[0],
        "crossbook, 64 a call + books": lambda: many.play_books()[0],
    }
    if not sums:
        del ways["cryptofeed, checksums off"]
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            times[name].append(way() / count)
    found = {name: median(each) for name, each in times.items()}
    return [
        {
            "venue": venue.name,
            "frames": count,
            "levels": survey.levels,
            "checksums": sums,
            "who": name,
            "ns": round(ns, 1),
            "fastest": round(min(times[name]), 1),
            "times": round(found["cryptofeed"] / ns, 1) if name.startswith("crossbook") else None,
            "target": GOAL if name in ("crossbook, one a call", "crossbook, 64 a call") else None,
        }
        for name, ns in found.items()
    ]


def main() -> None:
    if _core.DEBUG_BUILD:
        raise SystemExit("crossbook is a debug build: install a release build to bench it")
    paths = sorted(DATA.glob("*.ws.*.gz"))
    if not paths:
        raise SystemExit(f"no captures in {DATA}: set CROSSBOOK_DATA")
    logging.getLogger("feedhandler").setLevel(logging.ERROR)
    rows: list[dict[str, object]] = []
    for path in paths:
        if why := LEFT_OUT.get(path.name.partition(".")[0]):
            print(f"{path.name}: left out: {why}", file=sys.stderr)
            continue
        venue = read(path)
        frames, count = depth_frames(venue)
        if count:
            rows += measure(venue, frames, count)
            print(f"{venue.name}: compared, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    streams.save(rows)


if __name__ == "__main__":
    main()
