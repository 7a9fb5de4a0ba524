"""From a websocket on 127.0.0.1 to tapes in Python: frames a second, CPU seconds, and how much later an event is.

    python -m benches.python.end_to_end [--json FILE]

A blaster, a process of its own on core 1, sends frames in Binance USD-M's dialect, made from a seed before: of ten
frames seven quotes, two trades and one change of eight levels, some 190 bytes, ids unbroken. The client is on core 0.

- blast: as fast as TCP takes them. The client's core is the limit: its rate and its CPU seconds (user and system,
  the kernel's part of the network included) from the first to the last frame.
- paced: one frame at a time at a fixed rate. `E` and `T` carry the blaster's clock at the moment of sending in us, and
  the client reads its own when it holds the events; both are of one machine.

The answer: every frame must arrive, in order (ids are checked as they come), and at the end every book must be what
the frames sent say by `json` and a dict in the blaster.

- crossbook: `async for tape in crossbook.feeds.stream(...)`, picows, a session a connection, defaults but `linger`
  where the row says so. Books are built from the tapes after the clock.
- websockets: `async for text in connection`, `json.loads`, a dict a side, a check of `pu`, a tuple a quote or trade;
  without compression and pings. Its books are kept within the clock, as they are all that it has.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import os
import random
import selectors
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import polars as pl
from benches import streams
from websockets.asyncio.client import connect

import crossbook as xb
from crossbook import _core
from crossbook.feeds import stream

SEED = 8
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
FRAMES = 500_000
NAIVE_FRAMES = 100_000
ROUNDS = 5
PACES = ((1_000, 3_000), (50_000, 150_000))
GOAL = 400_000
WARM_UP = 0.1
"""So much of a paced run is not counted: memory, caches and TCP's windows are new."""
VENUE = "binance-usdm"
PRICE, SIZE = 10, 1_000
FIRST_ID = 5_000_000_000_000
CLIENT_CORE, BLASTER_CORE = 0, 1
WAITING = 30.0
LAST = 1
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Book = tuple[dict[int, int], dict[int, int]]


# The blaster.


def header(payload: bytes) -> bytes:
    size = len(payload)
    return bytes((0x81, size)) if size < 126 else struct.pack("!BBH", 0x81, 126, size)


@dataclass(slots=True)
class Frames:
    """What one connection is sent."""

    data: bytearray = field(default_factory=bytearray)
    ends: list[int] = field(default_factory=list)
    times: list[tuple[int, int]] = field(default_factory=list)
    """Where the two times of each frame are."""

    def add(self, text: bytes) -> None:
        self.data += header(text)
        begin = len(self.data)
        self.data += text
        self.ends.append(len(self.data))
        self.times.append((begin + text.index(b'"E":') + 4, begin + text.index(b'"T":') + 4))

    def payloads(self, count: int) -> Iterator[bytes]:
        begin = 0
        for end in self.ends[:count]:
            begin += 2 if self.data[begin + 1] < 126 else 4
            yield bytes(self.data[begin:end])
            begin = end


class Blaster:
    """A small exchange: one websocket or more, snapshots by REST, and frames that were made before."""

    def __init__(self, frames: int) -> None:
        self.snapshots: dict[str, bytes] = {}
        self.first: dict[str, bytes] = {}
        self.last_ids: dict[str, int] = {}
        self.texts: list[tuple[str, bytes]] = []
        self.mids: dict[str, int] = {}
        self.trades = dict.fromkeys(SYMBOLS, 1_000_000)
        self.rng = random.Random(SEED)
        self.id = FIRST_ID
        for symbol in SYMBOLS:
            self.begin(symbol)
        for _ in range(frames):
            symbol = SYMBOLS[self.rng.getrandbits(2)]
            self.texts.append((symbol, self.make(symbol)))
        self.kept: dict[tuple[str, ...], Frames] = {}
        self.known: dict[tuple[tuple[tuple[str, ...], int], ...], str] = {}
        self.listener = socket.create_server(("127.0.0.1", 0))

    # Making.

    def begin(self, symbol: str) -> None:
        mid = self.mids[symbol] = 600_000 + self.rng.randrange(50_000)
        sizes = [self.rng.randrange(1, 50_000) for _ in range(400)]
        sides = [[self.level(mid - 1 - 2 * i, sizes[i]), self.level(mid + 2 * i, sizes[200 + i])] for i in range(200)]
        bids, asks = zip(*sides, strict=True)
        last = self.id + 50
        self.snapshots[symbol] = (
            f'{{"lastUpdateId":{last},"E":1700000000000,"T":1700000000000,'
            f'"bids":[{",".join(bids)}],"asks":[{",".join(asks)}]}}'
        ).encode()
        self.last_ids[symbol] = self.id - 10
        self.id += 40
        self.first[symbol] = self.depth(symbol)

    @staticmethod
    def level(price: int, size: int) -> str:
        return f'["{price // PRICE}.{price % PRICE}0","{size // SIZE}.{size % SIZE:03}"]'

    def depth(self, symbol: str) -> bytes:
        rng, mid = self.rng, self.mids[symbol]
        sides = []
        for sign in (-1, 1):
            prices = sorted({mid + sign * (1 + rng.getrandbits(8)) for _ in range(4)})
            sides.append(",".join(self.level(p, rng.getrandbits(14) if rng.getrandbits(2) else 0) for p in prices))
        before, first = self.last_ids[symbol], self.id + 1
        self.id += rng.randrange(20, 60)
        self.last_ids[symbol] = self.id
        return (
            f'{{"stream":"{symbol.lower()}@depth@0ms","data":{{"e":"depthUpdate","E":1700000000000000,'
            f'"T":1700000000000000,"s":"{symbol}","U":{first},"u":{self.id},"pu":{before},"b":[{sides[0]}],"a":[{sides[1]}]}}}}'
        ).encode()

    def make(self, symbol: str) -> bytes:
        rng, lower = self.rng, symbol.lower()
        kind = rng.randrange(10)
        if kind == 0:
            return self.depth(symbol)
        self.id += 1
        self.trades[symbol] += kind < 3
        bid, size = self.mids[symbol] - 1 - rng.getrandbits(3), rng.getrandbits(14) + 1
        price, amount = f"{bid // PRICE}.{bid % PRICE}0", f"{size // SIZE}.{size % SIZE:03}"
        if kind < 3:
            return (
                f'{{"stream":"{lower}@trade","data":{{"e":"trade","E":1700000000000000,"T":1700000000000000,'
                f'"s":"{symbol}","t":{self.trades[symbol]},"p":"{price}","q":"{amount}","X":"MARKET",'
                f'"m":{"true" if size & 1 else "false"}}}}}'
            ).encode()
        ask = bid + 1
        return (
            f'{{"stream":"{lower}@bookTicker","data":{{"e":"bookTicker","u":{self.id},"s":"{symbol}","b":"{price}",'
            f'"B":"{amount}","a":"{ask // PRICE}.{ask % PRICE}0","A":"{amount}","T":1700000000000000,'
            f'"E":1700000000000000}}}}'
        ).encode()

    def frames_of(self, symbols: tuple[str, ...]) -> Frames:
        if symbols not in self.kept:
            found = self.kept[symbols] = Frames()
            for symbol, text in self.texts:
                if symbol in symbols:
                    found.add(text)
        return self.kept[symbols]

    def books(self, sent: list[tuple[tuple[str, ...], int]]) -> dict[str, Any]:
        """What the frames that were sent say, by another way than that of the code under test."""
        books: dict[str, Book] = {}
        counts = {"depthUpdate": len(SYMBOLS), "bookTicker": 0, "trade": 0}

        def put(book: Book, message: dict[str, Any], names: tuple[str, str]) -> None:
            for side, name in zip(book, names, strict=True):
                for price, size in message[name]:
                    key, value = round(float(price) * PRICE), round(float(size) * SIZE)
                    if value:
                        side[key] = value
                    else:
                        side.pop(key, None)

        for symbol in SYMBOLS:
            book = books[symbol] = ({}, {})
            put(book, json.loads(self.snapshots[symbol]), ("bids", "asks"))
            put(book, json.loads(self.first[symbol])["data"], ("b", "a"))
        for symbols, count in sent:
            for text in self.frames_of(symbols).payloads(count):
                data = json.loads(text)["data"]
                counts[data["e"]] += 1
                if data["e"] == "depthUpdate":
                    put(books[data["s"]], data, ("b", "a"))
        return {"books": {s: [sorted(side.items()) for side in book] for s, book in books.items()}, "counts": counts}

    # Sending.

    def serve(self) -> None:
        print(self.listener.getsockname()[1], flush=True)
        for line in sys.stdin:
            self.run(json.loads(line))

    def run(self, command: dict[str, Any]) -> None:
        clients = self.gather(set(SYMBOLS))
        sent = []
        for symbols in clients.values():
            frames = self.frames_of(symbols)
            most = len(frames.ends) * command["frames"] // len(self.texts)
            sent.append((symbols, most))
        begin = time.monotonic_ns()
        if command["rate"]:
            (client, (symbols, count)) = next(iter(clients)), sent[0]
            self.pace(client, self.frames_of(symbols), count, command["rate"])
        else:
            self.blast(
                {client: (self.frames_of(symbols), n) for client, (symbols, n) in zip(clients, sent, strict=True)}
            )
        taken = time.monotonic_ns() - begin
        print(json.dumps({"frames": sum(count for _, count in sent), "ns": taken}), flush=True)
        if sys.stdin.readline() == "books\n":
            key = tuple(sent)
            self.known[key] = self.known.get(key) or json.dumps(self.books(sent))
            print(self.known[key], flush=True)
            sys.stdin.readline()
        for client in clients:
            client.close()

    def gather(self, wanted: set[str]) -> dict[socket.socket, tuple[str, ...]]:
        """Take connections until every symbol is subscribed, send each one's first change, and wait for the word."""
        clients: dict[socket.socket, tuple[str, ...]] = {}
        with selectors.DefaultSelector() as selector:
            self.listener.setblocking(False)
            selector.register(self.listener, selectors.EVENT_READ)
            selector.register(sys.stdin, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is sys.stdin:
                        sys.stdin.readline()
                        return clients
                    if key.fileobj is self.listener:
                        client, _ = self.listener.accept()
                        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        selector.register(client, selectors.EVENT_READ, bytearray())
                        continue
                    client = key.fileobj
                    data = client.recv(65_536)
                    key.data.extend(data)
                    if not data:
                        selector.unregister(client)
                        clients.pop(client, None)
                        client.close()
                    elif client in clients:
                        self.subscribed(client, key.data, clients)
                    elif b"\r\n\r\n" in key.data:
                        self.answer(client, key.data, clients)

    def answer(self, client: socket.socket, data: bytearray, clients: dict[socket.socket, tuple[str, ...]]) -> None:
        end = data.index(b"\r\n\r\n") + 4
        lines = bytes(data[:end]).decode().split("\r\n")
        del data[:end]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        if "sec-websocket-key" in headers:
            digest = hashlib.sha1(headers["sec-websocket-key"].encode() + MAGIC, usedforsecurity=False).digest()
            client.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
            )
            clients[client] = ()
            if data:
                self.subscribed(client, data, clients)
        else:
            body = self.snapshots[lines[0].partition("symbol=")[2].partition("&")[0].partition(" ")[0]]
            client.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            client.sendall(body)

    def subscribed(self, client: socket.socket, data: bytearray, clients: dict[socket.socket, tuple[str, ...]]) -> None:
        while len(data) >= 6:
            opcode, size, at = data[0] & 15, data[1] & 127, 2
            if size == 126:
                size, at = int.from_bytes(data[2:4], "big"), 4
            if len(data) < at + 4 + size:
                return
            mask, payload = data[at : at + 4], data[at + 4 : at + 4 + size]
            del data[: at + 4 + size]
            if opcode != 1:
                continue
            text = json.loads(bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload)))
            names = {name.partition("@")[0].upper() for name in text["params"]}
            clients[client] = tuple(sorted(names | set(clients[client])))
            ack = b'{"result":null,"id":%d}' % text["id"]
            for one in (ack, *(self.first[name] for name in sorted(names))):
                client.sendall(header(one) + one)

    @staticmethod
    def blast(clients: dict[socket.socket, tuple[Frames, int]]) -> None:
        with selectors.DefaultSelector() as selector:
            for client, (frames, count) in clients.items():
                client.setblocking(False)
                view = memoryview(frames.data)[: frames.ends[count - 1]]
                selector.register(client, selectors.EVENT_WRITE, [view])
            while selector.get_map():
                for key, _ in selector.select():
                    view = key.data[0]
                    key.data[0] = view[key.fileobj.send(view[: 1 << 18]) :]
                    if not key.data[0]:
                        selector.unregister(key.fileobj)

    @staticmethod
    def pace(client: socket.socket, frames: Frames, count: int, rate: int) -> None:
        data, send, now, clock = frames.data, client.sendall, time.time_ns, time.perf_counter_ns
        view, begin, step = memoryview(data), 0, 1e9 / rate
        client.setblocking(True)
        first = clock()
        for number in range(count):
            due = first + int(number * step)
            while clock() < due:
                pass
            event, engine = frames.times[number]
            end = frames.ends[number]
            view[event : event + 16] = view[engine : engine + 16] = b"%d" % (now() // 1_000)
            send(view[begin:end])
            begin = end


# The clients.


@dataclass(slots=True)
class Result:
    """What a client saw."""

    seconds: float
    cpu: float
    books: dict[str, Book]
    counts: dict[str, int]
    latencies: np.ndarray
    """ns for each message, in order."""


class Exchange:
    """The blaster's process."""

    def __init__(self, frames: int) -> None:
        command = [sys.executable, "-m", "benches.python.end_to_end", "--blaster", str(frames)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=streams.ROOT, stdin=pipe, stdout=pipe, text=True)
        self.port = int(self.hear())
        self.frames = frames

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(WAITING)

    async def run(self, client: Client, *, frames: int, rate: int = 0) -> tuple[dict[str, Any], Result]:
        self.say(json.dumps({"frames": frames, "rate": rate}))
        result = await client(self, frames, bool(rate))
        sent = json.loads(self.hear())
        self.say("books")
        expected = json.loads(self.hear())
        self.say("end")
        assert result.counts == expected["counts"], (result.counts, expected["counts"])
        for symbol, book in result.books.items():
            mine = [[list(level) for level in sorted(side.items())] for side in book]
            assert mine == expected["books"][symbol], f"{symbol}: another book than the frames say"
        return sent, result


Client = Callable[[Exchange, int, bool], Any]


def instruments() -> list[xb.Instrument]:
    units = {"price_unit": "0.1", "size_unit": "0.001"}
    about = [json.loads(xb.Instrument.infer(VENUE, symbol).to_json()) for symbol in SYMBOLS]
    return [xb.Instrument.from_json(json.dumps(one | units)) for one in about]


def crossbook(connections: int = 1, **options: Any) -> Client:
    async def client(exchange: Exchange, frames: int, paced: bool) -> Result:
        host = f"127.0.0.1:{exchange.port}"
        held: list[tuple[int, xb.Tape]] = []
        live = stream(
            instruments=instruments(),
            addresses={VENUE: (f"ws://{host}", f"http://{host}")},
            per_connection=len(SYMBOLS) // connections,
            **options,
        )
        async with live:
            async with asyncio.timeout(WAITING):
                while not live.is_synced():
                    await asyncio.sleep(0.01)
            totals = [connection.totals for connection in live.connections]
            assert len(totals) == connections
            wanted = sum(one.frames for one in totals) + frames

            def waits() -> bool:
                return any(connection.session.pending for connection in live.connections)

            cpu, begin = time.process_time(), time.perf_counter()
            exchange.say("go")
            async with asyncio.timeout(WAITING + frames / 10_000):
                async for tape in live:
                    held.append((time.time_ns(), tape))
                    if sum(one.frames for one in totals) >= wanted and not (live.waiting or waits()):
                        break
            seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
            counts = [row for connection in live.connections for row in connection.session.counts()]
            assert not live.faults(), live.faults()[:3]
            assert not any(row["gaps"] or row["trade_gaps"] for row in counts), live.gaps()
        books = {}
        whole = xb.Tape.concat([tape for _, tape in held])
        for at, symbol in enumerate(SYMBOLS):
            book = xb.PriceBook()
            book.apply(whole, instrument=at)
            books[symbol] = tuple(dict(book.depth(side, 1_000_000)) for side in (0, 1))
        found = {
            "depthUpdate": sum(row["depth"] + row["held"] for row in counts),
            "bookTicker": sum(row["quotes"] for row in counts),
            "trade": sum(row["trades"] for row in counts),
        }
        late = [np.empty(0, np.int64)]
        if paced:
            for now, tape in held:
                last = tape.to_polars().filter(pl.col("flags") & LAST != 0, pl.col("ts_event") > 1_750_000_000 * 10**9)
                late.append(now - last["ts_event"].to_numpy())
        latencies = np.concatenate(late)
        assert len(latencies) == frames * paced, f"{len(latencies)} messages on the tapes of {frames}"
        return Result(seconds, cpu, books, found, latencies)

    return client


def naive() -> Client:
    async def client(exchange: Exchange, frames: int, paced: bool) -> Result:
        host = f"127.0.0.1:{exchange.port}"
        books: dict[str, tuple[dict[float, float], dict[float, float]]] = {}
        ids: dict[str, int] = {}
        events: list[tuple[object, ...]] = []
        counts = {"depthUpdate": 0, "bookTicker": 0, "trade": 0}
        late: list[int] = []

        def put(side: dict[float, float], levels: list[list[str]]) -> None:
            for price, size in levels:
                if value := float(size):
                    side[float(price)] = value
                else:
                    side.pop(float(price), None)

        def on_text(text: str) -> None:
            data = json.loads(text)["data"]
            kind, symbol = data["e"], data["s"]
            counts[kind] += 1
            if kind == "depthUpdate":
                if data["pu"] != ids.setdefault(symbol, data["pu"]):
                    raise ValueError(f"{symbol}: a gap")
                ids[symbol] = data["u"]
                bids, asks = books[symbol]
                put(bids, data["b"])
                put(asks, data["a"])
            elif kind == "bookTicker":
                numbers = float(data["b"]), float(data["B"]), float(data["a"]), float(data["A"])
                events.append((symbol, data["T"], data["u"], *numbers))
            else:
                events.append((symbol, data["T"], data["t"], float(data["p"]), float(data["q"]), data["m"]))
            if paced:
                late.append(time.time_ns() - data["E"] * 1_000)

        async with connect(f"ws://{host}/stream", compression=None, ping_interval=None) as connection:
            params = [f"{symbol.lower()}@{name}" for symbol in SYMBOLS for name in ("depth@0ms", "bookTicker", "trade")]
            await connection.send(json.dumps({"method": "SUBSCRIBE", "params": params, "id": 1}))
            await connection.recv()
            for symbol in SYMBOLS:
                with urllib.request.urlopen(f"http://{host}/fapi/v1/depth?symbol={symbol}") as response:
                    snapshot = json.load(response)
                sides = books[symbol] = ({}, {})
                put(sides[0], snapshot["bids"])
                put(sides[1], snapshot["asks"])
            for _ in SYMBOLS:
                on_text(await connection.recv())
            late.clear()
            cpu, begin = time.process_time(), time.perf_counter()
            exchange.say("go")
            async with asyncio.timeout(WAITING + frames / 5_000):
                seen = 0
                async for text in connection:
                    on_text(text)
                    seen += 1
                    if seen == frames:
                        break
            seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        whole = {
            symbol: tuple({round(p * PRICE): round(s * SIZE) for p, s in side.items()} for side in book)
            for symbol, book in books.items()
        }
        return Result(seconds, cpu, whole, counts, np.array(late, np.int64))

    return client


async def measure() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    exchange, small = Exchange(FRAMES), Exchange(NAIVE_FRAMES)
    try:
        ways = {
            ("crossbook", "blast, 1 connection"): (exchange, crossbook(), FRAMES),
            ("crossbook", "blast, 4 connections"): (exchange, crossbook(4), FRAMES),
            ("websockets + json + dict", "blast, 1 connection"): (small, naive(), NAIVE_FRAMES),
        }
        times: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(ROUNDS):
            for name, (blaster, client, count) in ways.items():
                sent, result = await blaster.run(client, frames=count)
                times.setdefault(name, []).append((sent["frames"] / result.seconds, result.cpu / sent["frames"] * 1e6))
        for (who, what), found in times.items():
            rate, cpu = (median(column) for column in zip(*found, strict=True))
            row = {"what": what, "who": who, "frames": ways[who, what][2], "rate": round(rate)}
            row |= {"best": round(max(rate for rate, _ in found)), "cpu_s": round(cpu, 2)}
            rows.append({**row, "p50_us": None, "p99_us": None, "target": GOAL if who == "crossbook" else None})
        paced = {
            "crossbook": (exchange, crossbook()),
            "crossbook, linger 0": (exchange, crossbook(linger=0.0)),
            "websockets + json + dict": (exchange, naive()),
        }
        for rate, count in PACES:
            found: dict[str, list[tuple[float, float, float, float]]] = {}
            for _ in range(3):
                for who, (blaster, client) in paced.items():
                    sent, result = await blaster.run(client, frames=count, rate=rate)
                    late = result.latencies[int(count * WARM_UP) :] / 1_000
                    p50, p99 = np.percentile(late, (50, 99))
                    cpu = result.cpu / sent["frames"] * 1e6
                    found.setdefault(who, []).append((sent["frames"] / result.seconds, cpu, p50, p99))
            for who, each in found.items():
                done, cpu, p50, p99 = (median(column) for column in zip(*each, strict=True))
                row = {"what": f"paced, {rate:,}/s", "who": who, "frames": count, "rate": round(done), "best": None}
                row |= {"cpu_s": round(cpu, 2), "p50_us": round(float(p50), 1), "p99_us": round(float(p99), 1)}
                rows.append({**row, "target": None})
    finally:
        exchange.close()
        small.close()
    return rows


def main() -> None:
    if "--blaster" in sys.argv:
        parser = argparse.ArgumentParser()
        parser.add_argument("--blaster", type=int)
        os.sched_setaffinity(0, {BLASTER_CORE})
        Blaster(parser.parse_args().blaster).serve()
        return
    if _core.DEBUG_BUILD:
        raise SystemExit("crossbook is a debug build: install a release build to bench it")
    os.sched_setaffinity(0, {CLIENT_CORE})
    rows = asyncio.run(measure())
    print(f"load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    streams.save(rows)


if __name__ == "__main__":
    main()
