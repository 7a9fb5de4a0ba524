"""Commands in columns: the same answers as one call at a time, whatever carries the columns."""

from __future__ import annotations

import ctypes
import json
import random
import signal
import threading
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from conftest import builtin
from hypothesis import given, settings
from hypothesis import strategies as st

import crossbook as xb

NAMES = {
    "action": [
        "new",
        "cancel",
        "modify",
        "replace",
        "quote",
        "mass_cancel",
        "state",
        "kill",
        "revive",
        "clock",
    ],
    "side": ["bid", "ask"],
    "order_type": [
        "limit",
        "market",
        "market_to_limit",
        "stop",
        "stop_limit",
        "trailing_stop",
        "peg_primary",
        "peg_mid",
    ],
    "time_in_force": ["day", "gtc", "gtd", "ioc", "fok", "at_open", "at_close"],
    "self_trade": ["none", "cancel_newest", "cancel_oldest", "cancel_both", "decrement"],
    "post_only": ["no", "reject", "slide"],
    "state": ["continuous", "pre_open", "halted", "closing", "closed"],
}
NUMBERS = {
    "order_id": pl.UInt64,
    "price": pl.Int64,
    "size": pl.Int64,
    "account": pl.UInt32,
    "ts": pl.Int64,
    "trigger": pl.Int64,
    "display": pl.Int64,
    "expires": pl.Int64,
    "link": pl.UInt64,
}
SCHEMA = NUMBERS | dict.fromkeys(NAMES, pl.String) | {"one_side": pl.Boolean}
RULES: dict[str, Any] = {
    "reference": 100,
    "band": 40,
    "halt_for": 50,
    "tiers": [xb.Tier(-100, 300, 50)],
    "max_size": 1_000,
    "rate": 400,
}


def some(seed: int, rows: int) -> list[dict[str, Any]]:
    """Commands of every kind; what a row does not name is null."""
    rng = random.Random(seed)
    pick = rng.choice
    made: list[dict[str, Any]] = []
    for number in range(1, rows + 1):
        action = rng.choices(NAMES["action"], [60, 10, 8, 8, 6, 1, 1, 0.3, 1, 1])[0]
        row: dict[str, Any] = {"action": action}
        if action not in {"state", "clock"}:
            row["account"] = pick([0, 1, 2, None])
        if rng.random() < 0.2:
            row["ts"] = number * 10
        old = rng.randint(1, number)
        match action:
            case "new":
                order_type = rng.choices(NAMES["order_type"], [20, 4, 2, 2, 2, 2, 2, 2])[0]
                row |= {"order_id": number, "side": pick(NAMES["side"]), "size": rng.randint(1, 20)}
                row |= {"order_type": order_type, "self_trade": pick([*NAMES["self_trade"], None])}
                if order_type in {"limit", "stop_limit"}:
                    row["price"] = rng.randint(90, 110)
                if order_type not in {"limit", "market", "market_to_limit"}:
                    row["trigger"] = rng.randint(1, 5) if "_stop" in order_type or "peg" in order_type else 100
                if order_type == "limit":
                    row["post_only"] = rng.choices([None, "reject", "slide"], [8, 1, 1])[0]
                    row["display"] = pick([None, None, None, 0, 2])
                    row["time_in_force"] = pick([*NAMES["time_in_force"], None, None, "gtc"])
                    row["expires"] = number * 10 + 100
                if rng.random() < 0.05:
                    row["link"] = old
            case "cancel":
                row |= {"order_id": old}
            case "modify" | "replace":
                row |= {"order_id": old, "price": pick([None, rng.randint(90, 110)]), "size": rng.randint(1, 20)}
            case "quote":
                row |= {"order_id": 10**6 + old % 5, "price": rng.randint(90, 99), "size": rng.randint(0, 9)}
                row |= {"link": 10**7 + old % 5, "trigger": rng.randint(100, 110), "display": rng.randint(0, 9)}
                row |= {"time_in_force": "gtc"}
            case "mass_cancel":
                row |= {"side": pick(["bid", "ask"]), "one_side": pick([True, False, None])}
            case "state":
                row |= {"state": rng.choices(NAMES["state"], [6, 1, 1, 1, 1])[0]}
        made.append(row)
        if action in {"kill", "state"}:
            made.append({"action": "revive"} if action == "kill" else {"action": "state", "state": "continuous"})
    return made


def one_by_one(exchange: xb.Exchange, rows: list[dict[str, Any]]) -> list[xb.Execution]:
    told: list[xb.Execution] = []
    for row in rows:
        given = {name: value for name, value in row.items() if value is not None and name != "action"}
        account, ts = given.get("account", 0), given.get("ts")
        common = {"account": account, "ts": ts}
        match row["action"]:
            case "new":
                told += exchange.submit(**given)
            case "cancel":
                told += exchange.cancel(given["order_id"], **common)
            case "modify" | "replace":
                told += getattr(exchange, row["action"])(given["order_id"], given.get("price"), given["size"], **common)
            case "quote":
                bid, ask = (
                    tuple(given[n] for n in names)
                    for names in (("order_id", "price", "size"), ("link", "trigger", "display"))
                )
                told += exchange.set_quote(account, bid, ask, ts=ts)
            case "mass_cancel":
                told += exchange.mass_cancel(account, given["side"] if given.get("one_side") else None, ts=ts)
            case "state":
                told += exchange.set_state(given["state"], ts=ts)
            case "kill" | "revive":
                told += getattr(exchange, row["action"])(**common)
            case "clock":
                told += exchange.set_clock(ts or 0)
    return told


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA)


def coded(commands: pl.DataFrame) -> pl.DataFrame:
    return commands.with_columns(
        pl.col(name).replace_strict(names, range(len(names)), return_dtype=pl.UInt8) for name, names in NAMES.items()
    )


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("rules", [{}, RULES, RULES | {"priority": xb.ProRata(top_order=True)}])
def test_columns_say_what_single_calls_say(seed: int, rules: dict[str, Any]) -> None:
    rows = some(seed, 400)
    batch, calls = xb.Exchange(**rules), xb.Exchange(**rules)
    table = batch.run(frame(rows))
    told = one_by_one(calls, rows)
    assert table.rows(named=True) == [one.as_dict() for one in told]
    assert set(table["kind"].unique()) >= {"accepted", "trade", "cancelled", "rejected"}
    for view in ("state", "quote", "sequence", "clock", "last", "reference"):
        assert getattr(batch, view) == getattr(calls, view)
    assert batch.orders().equals(calls.orders())
    assert batch.book().equals(calls.book())
    places = batch.orders().select("order_id", "orders_ahead", "size_ahead").rows()
    assert [place[1:] for place in places] == [(batch.place(place[0]) or (None, None))[:2] for place in places]


CARRIERS: dict[str, Callable[[pl.DataFrame], Any]] = {
    "codes": coded,
    "categorical": lambda f: f.with_columns(pl.col(list(NAMES)).cast(pl.Categorical)),
    "enum": lambda f: f.with_columns(pl.col(name).cast(pl.Enum(names)) for name, names in NAMES.items()),
    "enum of another order": lambda f: f.with_columns(
        pl.col(name).cast(pl.Enum([*reversed(names), "other"])) for name, names in NAMES.items()
    ),
    "wide codes": lambda f: coded(f).with_columns(pl.col(list(NAMES)).cast(pl.Int64)),
    "other widths": lambda f: f.with_columns(
        pl.col("order_id", "link", "account").cast(pl.Int64),
        pl.col("price", "trigger").cast(pl.UInt8),
        pl.col("size").cast(pl.Int16),
        pl.col("display").cast(pl.Int8),
        pl.col("ts").cast(pl.UInt16),
        pl.col("expires").cast(pl.Int32),
    ),
    "unsigned": lambda f: f.with_columns(
        pl.col("price", "size", "ts", "expires").cast(pl.UInt64), pl.col("trigger").cast(pl.UInt32)
    ),
    "times": lambda f: f.with_columns(pl.col("ts", "expires").cast(pl.Datetime("ns"))),
    "buy and sell": lambda f: f.with_columns(pl.col("side").replace(["bid", "ask"], ["buy", "sell"])),
    "flags as numbers": lambda f: f.with_columns(pl.col("one_side").cast(pl.UInt8)),
    "columns in another order": lambda f: f.select(reversed(f.columns)),
    "a table of ours": xb.Table,
    "in chunks": lambda f: pl.concat([f[:7], f[7:7], f[7:200], f[200:]], rechunk=False),
    "uneven chunks": lambda f: f.with_columns(pl.concat([f["price"][:9], f["price"][9:]], rechunk=False)),
    "a slice": lambda f: pl.concat([f[:13], f, f[:5]])[13:-5],
    "an array": lambda f: Array(f),
}


class Array:
    """A struct array and nothing else, as the Arrow C array interface hands it over: the first one of a stream."""

    def __init__(self, commands: pl.DataFrame) -> None:
        self.commands = commands.rechunk()

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        api = ctypes.pythonapi
        pointer = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", api))
        capsule = ctypes.CFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
            ("PyCapsule_New", api)
        )
        self.stream = self.commands.__arrow_c_stream__()
        address = pointer(self.stream, b"arrow_array_stream")
        calls = (ctypes.c_void_p * 2).from_address(address)
        # Kept here, for capsules of this kind own nothing: the schema (72 bytes) and the array (80 bytes).
        self.parts = [ctypes.create_string_buffer(size) for size in (72, 80)]
        for call, part in zip(calls, self.parts, strict=True):
            assert ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(call)(address, part) == 0
        schema, array = map(ctypes.addressof, self.parts)
        return capsule(schema, b"arrow_schema", None), capsule(array, b"arrow_array", None)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_whatever_carries_the_columns_the_answers_are_the_same(carrier: str) -> None:
    commands = frame(some(99, 500))
    expected = xb.Exchange(**RULES).run(commands)
    assert xb.Exchange(**RULES).run(CARRIERS[carrier](commands)).equals(expected)


def test_an_absent_column_is_a_column_of_nulls() -> None:
    orders = pl.DataFrame({"order_id": [1, 2], "side": ["buy", "sell"], "price": [100, 100], "size": [5, 5]})
    nulls = orders.with_columns(pl.lit(None, kind).alias(n) for n, kind in SCHEMA.items() if n not in orders.columns)
    untyped = orders.with_columns(pl.lit(None).alias(name) for name in SCHEMA if name not in orders.columns)
    tables = [xb.Exchange().run(one) for one in (orders, nulls, untyped)]
    assert tables[0]["kind"].to_list() == ["accepted", "accepted", "trade"]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


@pytest.mark.parametrize("empty", [pl.DataFrame(), frame([]), frame(some(1, 5))[:0]])
def test_no_commands_give_an_empty_table_of_the_same_columns(empty: pl.DataFrame) -> None:
    exchange = xb.Exchange()
    table = exchange.run(empty)
    assert table.height == 0
    assert table.schema == xb.Exchange().run(frame(some(1, 5))).schema
    assert exchange.sequence == 0


def test_the_columns_of_the_result_are_readable_and_small() -> None:
    schema = xb.Exchange().run(pl.DataFrame()).schema
    assert list(schema) == list(xb.Exchange().submit(1, "buy", 1, 1)[0].as_dict())
    assert schema["side"] == pl.Enum(["bid", "ask"])
    assert schema["state"] == pl.Enum(NAMES["state"])
    assert isinstance(schema["kind"], pl.Enum)
    assert isinstance(schema["reason"], pl.Enum)
    executions = xb.Exchange().run(frame(some(1, 50)))
    assert executions["kind"].to_physical().dtype == pl.UInt8
    assert executions.filter(pl.col("kind") == "trade").height > 0


def order(**changes: object) -> dict[str, object]:
    return {"order_id": 1, "side": "bid", "price": 100, "size": 5} | changes


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("order_id", pl.Series([1, -2]), '"order_id" row 1: expected 0 to 18446744073709551615, found -2'),
        ("price", pl.Series([1, 2**63], dtype=pl.UInt64), f'"price" row 1: expected .* found {2**63}'),
        ("account", pl.Series([2**32, 1]), f'"account" row 0: expected 0 to 4294967295, found {2**32}'),
        ("account", pl.Series([None, -1], dtype=pl.Int8), '"account" row 1: expected 0 to 4294967295, found -1'),
        ("size", pl.Series([1.0, 2.0]), '"size": expected integers, found Float64'),
        ("size", pl.Series(["1", "2"]), '"size": expected integers, found Utf8View'),
        ("ts", pl.Series([1, 2]).cast(pl.Datetime("us")), '"ts": expected integers or Datetime'),
        ("price", pl.Series([1, 2]).cast(pl.Datetime("ns")), '"price": expected integers, found Timestamp'),
        (
            "side",
            pl.Series([0, 2], dtype=pl.UInt8),
            '"side" row 1: expected bid or buy, ask or sell, or a code below 2,',
        ),
        ("side", pl.Series(["bid", "x"]), '"side" row 1: expected bid or buy, ask or sell.* found "x"'),
        ("action", pl.Series(["new", "add"]), '"action" row 1: expected one of new, cancel, modify, .* found "add"'),
        ("action", pl.Series([0, -1]), '"action" row 1: .* or a code below 10, found -1'),
        ("action", pl.Series([1.5, 1.5]), '"action": expected names or codes, found Float64'),
        ("order_type", pl.Series(["limit", "x"], dtype=pl.Categorical), '"order_type" row 1: .* found "x"'),
        ("state", pl.Series(["x", None], dtype=pl.Enum(["x"])), '"state" row 0: .* found "x"'),
        ("one_side", pl.Series([0, 2]), '"one_side" row 1'),
        ("post_only", pl.Series([True, False]), '"post_only": expected names or codes, found Boolean'),
        ("quantity", pl.Series([1, 2]), '"quantity": expected only columns of order_id, price'),
    ],
)
def test_a_wrong_column_is_named_with_its_row_and_nothing_is_applied(
    column: str, values: pl.Series, message: str
) -> None:
    exchange = xb.Exchange()
    commands = pl.DataFrame([order(), order(order_id=2)]).with_columns(values.alias(column))
    with pytest.raises(xb.DataError, match=f"column {message}"):
        exchange.run(commands)
    assert exchange.sequence == 0


def test_a_category_that_no_row_has_does_no_harm() -> None:
    side = pl.Series(["ask", None], dtype=pl.Enum(["other", "ask"]))
    table = xb.Exchange().run(pl.DataFrame([order(), order(order_id=2)]).with_columns(side.alias("side")))
    assert table["side"].to_list() == ["ask", "bid", "bid"]


def test_rows_are_counted_over_chunks_and_from_the_first_row() -> None:
    good = pl.DataFrame([order()])
    bad = good.with_columns(order_id=pl.lit(-1, pl.Int64))
    chunks = pl.concat([good, good, bad], rechunk=False)
    with pytest.raises(xb.DataError, match='"order_id" row 2'):
        xb.Exchange().run(chunks)
    with pytest.raises(xb.DataError, match='"order_id" row 1002'):
        xb.Exchange().run(chunks, first_row=1_000)


@pytest.mark.parametrize("what", [None, 5, "commands", [1], {"order_id": [1]}, pl.LazyFrame()])
def test_what_is_no_table_is_refused(what: object) -> None:
    with pytest.raises(xb.DataError, match="expected a DataFrame or another Arrow stream"):
        xb.Exchange().run(what)  # type: ignore[arg-type]


def test_decimals_are_those_of_the_instruments_units() -> None:
    changes = {"price_unit": "0.01", "size_unit": "0.001", "tick": "0.1", "lot": "0.001"}
    instrument = xb.Instrument.from_json(json.dumps(json.loads(builtin("usdm").to_json()) | changes))
    rules = xb.Rules(tiers=[xb.Tier(-100_000, 400_000)])
    commands = pl.DataFrame(
        {"order_id": [1, 2, 3], "side": ["ask", "bid", "bid"], "price": [6_000_010, 6_000_010, 7], "size": [1_500] * 3}
    )
    units, decimals = (xb.Exchange(instrument, rules).run(commands, decimals=wanted) for wanted in (False, True))
    assert decimals["price"].to_list() == [60_000.1, 60_000.1, 60_000.1, None]
    assert decimals["size"].to_list() == [1.5, 1.5, 1.5, None]
    assert decimals["remaining"].to_list() == [1.5, 1.5, 0.0, None]
    # 4 and −1 bp of 60,000.1 × 1.5 = 90,000.15; up to the next 0.00001.
    assert decimals["fee"].to_list() == [None, None, 36.00006, None]
    assert decimals["counter_fee"].to_list() == [None, None, -9.00001, None]
    assert units["fee"].to_list() == [None, None, 3_600_006, None]
    with pytest.raises(xb.DataError, match="decimals True"):
        xb.Exchange().run(commands, decimals=True)


def many(rows: int) -> pl.DataFrame:
    index = pl.int_range(rows, dtype=pl.Int64, eager=True)
    return pl.DataFrame({"order_id": index + 1, "price": 1_000 + index % 50, "size": 1 + index % 9}).with_columns(
        side=pl.when(index % 2 == 0).then(pl.lit(0)).otherwise(pl.lit(1)).cast(pl.UInt8)
    )


def test_progress_is_told_after_every_chunk() -> None:
    told: list[tuple[int, int]] = []
    exchange = xb.Exchange()
    exchange.run(many(150_000), progress=lambda done, total: told.append((done, total)))
    assert told == [(65_536, 150_000), (131_072, 150_000), (150_000, 150_000)]
    chunked = pl.concat([many(150_000)[n : n + 1_000] for n in range(0, 150_000, 1_000)], rechunk=False)
    told.clear()
    exchange.run(chunked, progress=lambda done, total: told.append((done, total)))
    assert len(told) == 3
    assert told[-1] == (150_000, 150_000)


def test_an_exception_of_progress_ends_the_run_between_chunks() -> None:
    exchange = xb.Exchange()

    def stop(_done: int, _total: int) -> None:
        # The lock is free here: a call on the same exchange does not wait for itself.
        assert exchange.sequence == 65_536
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exchange.run(many(150_000), progress=stop)
    assert exchange.sequence == 65_536
    assert exchange.run(many(10))["sequence"].min() == 65_537


def test_ctrl_c_is_honoured_between_chunks() -> None:
    exchange = xb.Exchange()
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            exchange.run(many(400_000), progress=lambda *_: signal.raise_signal(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, handler)
    assert exchange.sequence == 65_536


def test_the_gil_is_free_while_commands_run() -> None:
    commands = many(1_000_000)
    exchange = xb.Exchange()
    began, done = threading.Event(), threading.Event()
    turns = 0

    def run() -> None:
        began.set()
        exchange.run(commands)
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    began.wait()
    # With the GIL held this loop would stand still until the run is over.
    while not done.is_set():
        turns += 1
    thread.join()
    assert turns > 1_000
    assert exchange.sequence == 1_000_000


def test_runs_in_threads_do_not_lose_commands() -> None:
    exchange = xb.Exchange()
    parts = [many(100_000).with_columns(pl.col("order_id") + 10**6 * n) for n in range(4)]
    tables: list[pl.DataFrame] = []
    threads = [threading.Thread(target=lambda part=part: tables.append(exchange.run(part))) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert exchange.sequence == 400_000
    together = pl.concat(tables)
    assert together["sequence"].n_unique() == 400_000


def test_the_input_may_be_changed_or_dropped_while_the_result_lives() -> None:
    commands = many(1_000)
    table = xb.Exchange().run(commands)
    copied = table.clone().rows()
    del commands
    assert table.rows() == copied


@settings(derandomize=True, max_examples=60)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 60), max_size=6))
def test_cutting_the_commands_does_not_change_the_executions(seed: int, cuts: list[int]) -> None:
    commands = frame(some(seed, 150))
    whole = xb.Exchange(**RULES).run(commands)
    exchange, parts, at = xb.Exchange(**RULES), [], 0
    for cut in [*cuts, commands.height]:
        parts.append(exchange.run(commands[at : at + cut]))
        at += cut
    assert pl.concat(parts).equals(whole)
