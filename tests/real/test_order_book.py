"""Order books of real market-by-order feeds against books rebuilt from the raw JSON in plain Python."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import crossbook as xb
from crossbook import _core

SECOND = 1_000_000_000


class Rebuilt:
    """Orders by the venue's own id, in lists per price."""

    def __init__(self) -> None:
        self.queues: dict[tuple[int, Decimal], list[list[Any]]] = {}
        self.where: dict[Any, tuple[int, Decimal]] = {}

    def add(self, order: Any, side: int, price: Decimal, size: Decimal) -> None:
        self.where[order] = side, price
        self.queues.setdefault((side, price), []).append([order, size])

    def remove(self, order: Any) -> None:
        key = self.where.pop(order, None)
        if key is not None:
            self.queues[key] = [one for one in self.queues[key] if one[0] != order]
            if not self.queues[key]:
                del self.queues[key]

    def resize(self, order: Any, size: Decimal) -> None:
        key = self.where.get(order)
        if key is None:
            return
        own = next(one for one in self.queues[key] if one[0] == order)
        if size == 0 or size > own[1]:
            self.remove(order)
            if size:
                self.add(order, *key, size)
        else:
            own[1] = size

    def orders(self, side: int) -> list[tuple[Any, Decimal, Decimal, int, Decimal]]:
        """Id, price, size, orders ahead, size ahead."""
        out = []
        for price in sorted((key[1] for key in self.queues if key[0] == side), reverse=side == xb.BID):
            ahead = Decimal(0)
            for at, (order, size) in enumerate(self.queues[side, price]):
                out.append((order, price, size, at, ahead))
                ahead += size
        return out

    def levels(self) -> list[tuple[int, Decimal, Decimal, int]]:
        return [
            (side, price, sum((one[1] for one in queue), Decimal(0)), len(queue))
            for side in (0, 1)
            for (of, price), queue in sorted(self.queues.items(), reverse=side == xb.BID)
            if of == side
        ]


def same(book: xb.OrderBook, instrument: xb.Instrument, rebuilt: Rebuilt, ids: dict[Any, int]) -> int:
    """Levels, orders and every order's place agree; ids are learned and must stay. How many orders there are."""
    price_unit, size_unit = Decimal(instrument.price_unit), Decimal(instrument.size_unit)
    levels = [(side, price * price_unit, size * size_unit, n) for side, price, size, n in book.levels().rows()]
    assert levels == rebuilt.levels()
    totals = {one[:2]: int(one[2] / size_unit) for one in levels}
    for side in (0, 1):
        expected = rebuilt.orders(side)
        found = book.orders(side).rows()
        assert len(found) == len(expected)
        for (_, order, price, size, orders_ahead, size_ahead), wanted in zip(found, expected, strict=True):
            assert ids.setdefault(wanted[0], order) == order
            in_units = (price * price_unit, size * size_unit, orders_ahead, size_ahead * size_unit)
            assert in_units == wanted[1:]
            assert book.place(order) == (orders_ahead, size_ahead, totals[side, wanted[1]])
    assert len(set(ids.values())) == len(ids)
    return len(book)


def independent_reserve(folder: Path) -> list[tuple[int, str | None, dict]]:
    """All that was received in order of time: (ns, pair for a snapshot, body)."""
    out = []
    for path in folder.glob("INDEPENDENT_RESERVE.*.gz"):
        with gzip.open(path, "rt") as file:
            for line in file:
                head, _, body = line.partition(": ")
                if not body.startswith("{") or " <- " in head or head == "configuration":
                    continue
                pair = None
                if " -> " in head:
                    url, head = head.split(" -> ")
                    if "GetAllOrders" not in url:
                        continue
                    fields = dict(one.split("=") for one in url.partition("?")[2].split("&"))
                    pair = f"{fields['primaryCurrencyCode']}-{fields['secondaryCurrencyCode']}".lower()
                out.append(
                    (int(Decimal(head) * SECOND), pair, json.loads(body, parse_float=Decimal, parse_int=Decimal))
                )
    return sorted(out, key=lambda one: one[0])


def stamp(text: str) -> int:
    """ISO time in whole milliseconds."""
    return int(pl.Series([text.rstrip("Z")]).str.to_datetime(time_unit="us").dt.epoch("us")[0]) // 1000


@pytest.fixture(scope="module")
def reserve(data: Path, tmp_path_factory: pytest.TempPathFactory) -> xb.Tape:
    folder = tmp_path_factory.mktemp("reserve")
    for path in (data / "cryptofeed").glob("INDEPENDENT_RESERVE.*"):
        (folder / path.name).symlink_to(path)
    return xb.open(folder).tape()


@pytest.mark.parametrize("pair", ["bch-sgd", "dot-nzd", "eth-aud", "matic-usd", "pmgt-nzd"])
def test_independent_reserves_orders_are_those_of_the_raw_messages(data: Path, reserve: xb.Tape, pair: str) -> None:
    number = [one.symbol for one in reserve.instruments].index(pair)
    instrument = reserve.instruments[number]
    tape = reserve.filter(instrument=[number])
    times = tape.to_polars()["ts_recv"]
    coin, currency = pair.split("-")
    received = [
        one
        for one in independent_reserve(data / "cryptofeed")
        if pair == one[1] or one[2].get("Channel") == f"orderbook-{coin}"
    ]
    rebuilt, book, ids = Rebuilt(), xb.OrderBook(), dict[str, int]()
    since: Decimal | int | None = None
    held: list[dict] = []
    applied, compared, orders, at = 0, 0, 0, 0

    def take(message: dict) -> None:
        nonlocal applied
        if message["Time"] <= since:
            return
        applied += 1
        what, order = message["Data"], message["Data"]["OrderGuid"]
        if message["Event"] == "NewOrder":
            price = what["Price"].get(currency)
            if price is not None:
                rebuilt.add(order, int(what["OrderType"] == "LimitOffer"), price, what["Volume"])
        elif message["Event"] == "OrderChanged":
            rebuilt.resize(order, what["Volume"])
        else:
            assert message["Event"] == "OrderCanceled"
            rebuilt.remove(order)

    for step, (time, snapshot, body) in enumerate(received):
        if snapshot is not None and since is None:
            since = stamp(body["CreatedTimestampUtc"])
            for side, name in enumerate(("BuyOrders", "SellOrders")):
                for one in body[name]:
                    rebuilt.add(one["Guid"], side, one["Price"], one["Volume"])
            for message in held:
                take(message)
        elif snapshot is None and since is None:
            held.append(body)
        elif snapshot is None:
            take(body)
        later = received[step + 1][0] if step + 1 < len(received) else None
        if since is not None and time != later and (step % 10 == 0 or later is None):
            end = int(times.search_sorted(time, side="right"))
            assert book.apply(tape[at:end], instrument=number) == 0
            at = end
            orders = max(orders, same(book, instrument, rebuilt, ids))
            compared += 1
    assert at == len(tape)
    assert not book.is_stale
    assert applied > 10
    assert compared > applied // 20
    assert orders > 50


def test_the_place_of_every_order_of_independent_reserve_over_time_is_the_books(reserve: xb.Tape) -> None:
    number = [one.symbol for one in reserve.instruments].index("pmgt-nzd")
    instrument = reserve.instruments[number]
    tape = reserve.filter(instrument=[number])
    book, last, ends = xb.OrderBook(instrument), dict[int, tuple](), dict[int, tuple]()
    for row in range(len(tape)):
        book.apply(tape[row : row + 1], instrument=number)
        level = {(side, price): size for side, price, size, _ in book.levels().rows()}
        now = {one[1]: (*one[2:], level[one[0], one[2]]) for one in book.orders().rows()}
        ends |= {order: place for order, place in last.items() if order not in now}
        last = now
    for order, place in last.items():
        final = xb.queue_position(tape, order, instrument=number)
        assert final.select("price", "size", "orders_ahead", "size_ahead", "level_size").row(-1) == pytest.approx(place)
    for order, place in ends.items():
        final = xb.queue_position(tape, order, instrument=number)
        assert final.select("price", "orders_ahead", "size_ahead").row(-1) == pytest.approx((place[0], *place[2:4]))
        assert final["size"][-1] == 0
    assert len(last) > 50
    assert ends


BITSTAMP = {"symbol": "btcusd", "price_unit": "0.01", "size_unit": "0.00000001"}


def bitstamp() -> tuple[xb.Instrument, _core.Session]:
    found = xb.Instrument.infer("bitstamp", "btcusd")
    instrument = xb.Instrument.from_json(json.dumps(json.loads(found.to_json()) | BITSTAMP))
    session = _core.Session("bitstamp-orders", [instrument])
    session.opened(1)
    return instrument, session


def test_bitstamps_live_orders_are_those_of_the_raw_messages(data: Path) -> None:
    lines = (data / "current-frames" / "bitstamp_live_orders.jsonl").read_bytes().splitlines()
    instrument, session = bitstamp()
    rebuilt, book, ids = Rebuilt(), xb.OrderBook(), dict[str, int]()
    # The first orders were placed before the capture: they stand in a snapshot made of the messages that end them.
    born: set[str] = set()
    resting: dict[str, dict] = {}
    messages = [json.loads(line) for line in lines[1:]]
    for message in messages:
        one = message["data"]
        if message["event"] == "order_created":
            born.add(one["id_str"])
        elif one["id_str"] not in born:
            resting.setdefault(one["id_str"], one)
    first = int(messages[0]["data"]["microtimestamp"]) - 1
    sides: list[list[list[str]]] = [[], []]
    for order, one in resting.items():
        sides[one["order_type"]].append([one["price_str"], one["amount_at_create"], order])
        rebuilt.add(order, one["order_type"], Decimal(one["price_str"]), Decimal(one["amount_at_create"]))
    body = {"microtimestamp": str(first), "timestamp": str(first // 10**6), "bids": sides[0], "asks": sides[1]}
    session.frames(2, [lines[0], lines[1]])
    assert session.snapshot(3, 0, json.dumps(body).encode())
    session.frames(4, lines[2:3])
    compared = 0
    for at, message in enumerate(messages):
        if at > 1:
            session.frames(4 + at, [lines[at + 1]])
        one, order = message["data"], message["data"]["id_str"]
        side, price, size = one["order_type"], Decimal(one["price_str"]), Decimal(one["amount_str"])
        if message["event"] == "order_created":
            rebuilt.add(order, side, price, size)
        elif message["event"] == "order_changed":
            rebuilt.resize(order, size)
        else:
            rebuilt.remove(order)
        if at >= 1 and (at % 25 == 0 or at == len(messages) - 1):
            tape = session.take()
            assert tape is not None
            book.apply(tape)
            same(book, instrument, rebuilt, ids)
            compared += 1
    assert (session.faults(), session.gaps()) == ([], [])
    assert compared >= 20
    assert len(resting) > 20


def test_bitstamps_snapshot_by_order_is_the_book(data: Path) -> None:
    raw = (data / "current-frames" / "bitstamp_snapshot_l3.json").read_bytes()
    line = (data / "current-frames" / "bitstamp_live_orders.jsonl").read_bytes().splitlines()
    instrument, session = bitstamp()
    session.frames(2, line)
    assert session.snapshot(3, 0, raw)
    tape = session.take()
    assert tape is not None
    rebuilt, book = Rebuilt(), xb.OrderBook()
    for side, name in enumerate(("bids", "asks")):
        for price, size, order in json.loads(raw)[name]:
            rebuilt.add(order, side, Decimal(price), Decimal(size))
    book.apply(tape)
    ids: dict[str, int] = {}
    assert same(book, instrument, rebuilt, ids) == 240
    assert {order: int(order) for order in ids} == ids
