"""The exchange from Python, one call at a time: what each says, what each refuses."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from conftest import builtin

import crossbook as xb


def kinds(executions: list[xb.Execution]) -> list[str]:
    return [execution.kind for execution in executions]


def instrument(**changes: object) -> xb.Instrument:
    return xb.Instrument.from_json(json.dumps(json.loads(builtin("usdm").to_json()) | changes))


def test_a_buy_trades_with_the_sell_that_rests() -> None:
    exchange = xb.Exchange()
    (entered,) = exchange.submit(1, "sell", 5, 101, account=7)
    accepted, trade = exchange.submit(2, "buy", 2, 101, account=8)
    assert entered.as_dict() == {
        "sequence": 1,
        "kind": "accepted",
        "reason": None,
        "order_id": 1,
        "counter_id": None,
        "account": 7,
        "counter_account": None,
        "side": "ask",
        "price": 101,
        "size": 5,
        "remaining": 5,
        "fee": None,
        "counter_fee": None,
        "state": None,
    }
    assert kinds([accepted, trade]) == ["accepted", "trade"]
    assert (trade.order_id, trade.counter_id, trade.account, trade.counter_account) == (2, 1, 8, 7)
    assert (trade.side, trade.price, trade.size, trade.remaining, trade.fee, trade.counter_fee) == (
        "bid",
        101,
        2,
        0,
        0,
        0,
    )
    assert repr(entered) == (
        "Execution(sequence=1, kind='accepted', order_id=1, account=7, side='ask', price=101, size=5, remaining=5)"
    )


def test_executions_are_equal_where_they_say_the_same() -> None:
    first, second = (xb.Exchange().submit(1, "buy", 5, 100) for _ in range(2))
    assert first == second
    assert len({*first, *second}) == 1
    assert first != xb.Exchange().submit(1, "buy", 6, 100)


@pytest.mark.parametrize(("buy", "sell"), [("buy", "sell"), ("bid", "ask"), (xb.BID, xb.ASK)])
def test_a_side_has_a_name_and_a_code(buy: str | int, sell: str | int) -> None:
    exchange = xb.Exchange()
    exchange.submit(1, buy, 5, 100)  # type: ignore[arg-type]
    exchange.submit(2, sell, 6, 102)  # type: ignore[arg-type]
    assert exchange.quote == (100, 5, 102, 6)


def test_a_rejected_command_is_an_execution() -> None:
    exchange = xb.Exchange()
    (rejected,) = exchange.submit(1, "buy", -5, 100)
    assert (rejected.kind, rejected.reason, rejected.order_id) == ("rejected", "invalid_field", 1)
    (rejected,) = exchange.cancel(9)
    assert (rejected.kind, rejected.reason, rejected.price, rejected.size) == ("rejected", "unknown_order", None, None)
    assert exchange.sequence == 2


def test_cancel_modify_and_replace_change_a_live_order() -> None:
    exchange = xb.Exchange()
    exchange.submit(1, "buy", 5, 100, account=1)
    exchange.submit(2, "buy", 5, 100, account=2)
    (less,) = exchange.modify(1, size=3)
    assert (less.kind, less.price, less.size) == ("modified", 100, 3)
    assert exchange.place(1) == (0, 0, 8)
    assert kinds(exchange.replace(1, 100, 3)) == ["modified"]
    assert exchange.place(1) == (1, 5, 8)
    assert exchange.modify(1, 99, account=2)[0].reason == "not_owner"
    assert exchange.cancel(1, account=2)[0].reason == "not_owner"
    (gone,) = exchange.cancel(1, account=1)
    assert (gone.kind, gone.reason, gone.size, gone.remaining) == ("cancelled", "requested", 3, 0)
    assert exchange.order(1) is None
    assert exchange.place(1) is None
    assert len(exchange) == 1


def test_quotes_stand_until_the_next_ones() -> None:
    exchange = xb.Exchange()
    exchange.set_quote(5, (1, 99, 10), (2, 101, 10))
    assert exchange.quote == (99, 10, 101, 10)
    exchange.set_quote(5, bid=(1, 98, 4), ask=(2, 100, 0))
    assert exchange.quote == (98, 4, 0, 0)
    before = exchange.sequence
    told = exchange.mass_quote(5, [((1, 98, 4), (2, 102, 4)), ((3, 97, 1), (3, 103, 1)), ((5, 96, 2), (6, 104, 2))])
    assert {one.sequence for one in told} <= {before + 1, before + 2, before + 3}
    assert [one.reason for one in told if one.kind == "rejected"] == ["invalid_field"]
    assert exchange.quote == (98, 4, 102, 4)
    assert len(exchange) == 4


def test_mass_cancel_kill_and_revive_take_an_account_out() -> None:
    exchange = xb.Exchange()
    exchange.submit(1, "buy", 5, 99, account=1)
    exchange.submit(2, "sell", 5, 101, account=1)
    exchange.submit(3, "buy", 5, 98, account=2)
    assert [one.order_id for one in exchange.mass_cancel(1, "sell")] == [2]
    assert [(one.order_id, one.reason) for one in exchange.kill(1)] == [(1, "killed")]
    assert exchange.submit(4, "buy", 1, 90, account=1)[0].reason == "killed"
    assert exchange.revive(1) == []
    assert kinds(exchange.submit(4, "buy", 1, 90, account=1)) == ["accepted"]
    assert [one.order_id for one in exchange.mass_cancel()] == [3, 4]


def test_states_clock_and_auction() -> None:
    exchange = xb.Exchange(state="pre_open", reference=100)
    assert (exchange.state, exchange.clock, exchange.last, exchange.reference) == ("pre_open", None, None, 100)
    exchange.submit(1, "buy", 5, 101)
    exchange.submit(2, "sell", 3, 99)
    assert exchange.indicative() == (101, 3, 2)
    told = exchange.set_state("continuous", ts=1_000)
    assert kinds(told) == ["auction", "trade", "state"] or sorted(kinds(told)) == ["auction", "state", "trade"]
    auction = next(one for one in told if one.kind == "auction")
    assert (auction.order_id, auction.side, auction.price, auction.size, auction.remaining) == (None, None, 101, 3, 2)
    assert next(one.state for one in told if one.kind == "state") == "continuous"
    assert exchange.indicative() is None
    assert (exchange.state, exchange.clock, exchange.last, exchange.reference) == ("continuous", 1_000, 101, 101)
    assert exchange.submit(3, "buy", 1, 90, time_in_force="gtd", expires=2_000)[0].kind == "accepted"
    (gone,) = exchange.set_clock(2_000)
    assert (gone.order_id, gone.reason) == (3, "expired")
    assert exchange.set_clock(1_000)[0].reason == "time_reversed"


def test_every_option_of_an_order_reaches_the_exchange() -> None:
    exchange = xb.Exchange()
    exchange.submit(1, "sell", 10, 105, display=4, account=3)
    exchange.submit(2, "buy", 2, 95, account=3)
    exchange.submit(3, "sell", 2, order_type="stop", trigger=90, link=2, account=3)
    assert exchange.submit(4, "buy", 1, 106, post_only="reject")[0].reason == "would_trade"
    assert exchange.submit(5, "buy", 1, 106, post_only="slide")[0].price == 104
    assert exchange.submit(6, "buy", 1, 105, self_trade="cancel_newest", account=3)[-1].reason == "self_trade"
    stop, iceberg = exchange.order(3), exchange.order(1)
    assert stop is not None
    assert iceberg is not None
    assert (stop.order_type, stop.trigger, stop.link, stop.rests, stop.price) == ("stop", 90, 2, False, None)
    assert (iceberg.shown, iceberg.open, iceberg.price, iceberg.time_in_force, iceberg.side) == (
        4,
        10,
        105,
        "day",
        "ask",
    )
    assert iceberg.as_dict()["order_id"] == 1
    assert repr(stop).startswith("LiveOrder(order_id=3, account=3, side='ask', shown=0, open=2, order_type='stop'")


def test_views_show_levels_and_queues() -> None:
    exchange = xb.Exchange()
    exchange.submit(1, "buy", 5, 100)
    exchange.submit(2, "buy", 6, 100, time_in_force="gtc")
    exchange.submit(3, "buy", 9, 100, display=0)
    exchange.submit(4, "sell", 7, 103)
    exchange.submit(5, "sell", 7, order_type="stop", trigger=90)
    sides = pl.Enum(["bid", "ask"])
    expected = {"side": ["bid", "ask"], "price": [100, 103], "size": [11, 7], "orders": [2, 1]}
    assert exchange.book().equals(
        pl.DataFrame(expected, schema={"side": sides, "price": pl.Int64, "size": pl.Int64, "orders": pl.UInt32})
    )
    orders = exchange.orders()
    assert orders["order_id"].to_list() == [1, 2, 3, 4, 5]
    assert orders["orders_ahead"].to_list() == [0, 1, 2, 0, None]
    assert orders["size_ahead"].to_list() == [0, 5, 11, 0, None]
    assert orders["rests"].to_list() == [True, True, True, True, False]
    assert orders["shown"].to_list()[:4] == [5, 6, 0, 7]
    for row in orders.iter_rows(named=True):
        order, place = exchange.order(row["order_id"]), exchange.place(row["order_id"])
        assert order is not None
        assert {name: row[name] for name in order.as_dict()} == order.as_dict()
        assert (row["orders_ahead"], row["size_ahead"]) == (place[:2] if place else (None, None))
    assert repr(exchange) == "Exchange(continuous, 11 @ 100 / 7 @ 103, 5 orders, sequence 5)"
    empty = xb.Exchange()
    assert empty.book().schema == exchange.book().schema
    assert empty.orders().schema == orders.schema
    assert empty
    assert len(empty) == 0


def test_an_exchange_of_an_instrument_has_its_steps() -> None:
    # Units 0.01 and 0.001, steps 0.1 and 0.001.
    found = instrument(price_unit="0.01", size_unit="0.001", tick="0.1", lot="0.001")
    exchange = xb.Exchange(found)
    assert (exchange.rules.tick, exchange.rules.lot) == (10, 1)
    assert exchange.instrument == found
    assert exchange.submit(1, "buy", 1_500, 6_000_005)[0].reason == "off_tick"
    exchange.submit(1, "buy", 1_500, 6_000_010)
    assert exchange.book(decimals=True).rows() == [("bid", 60_000.1, 1.5, 1)]
    assert exchange.orders(decimals=True).select("price", "open", "size_ahead").rows() == [(60_000.1, 1.5, 0.0)]
    assert "binance-usdm:BTCUSDT" in repr(exchange)
    assert xb.Exchange(found, xb.Rules(tick=10, band=5)).rules == xb.Rules(tick=10, band=5)
    with pytest.raises(xb.DataError, match=r"tick of binance-usdm:BTCUSDT: expected 10, as the instrument has it, fou"):
        xb.Exchange(found, tick=5)
    with pytest.raises(xb.DataError, match=r"expected a whole number of the unit 0\.2, found 0\.1"):
        xb.Exchange(instrument(price_unit="0.2", tick="0.1"))
    with pytest.raises(xb.DataError, match="decimals True: expected an exchange with an instrument"):
        xb.Exchange().book(decimals=True)


RULES = {
    "tick": 5,
    "lot": 2,
    "min_size": 4,
    "max_size": 1_000,
    "max_notional": 2**100,
    "collar": 50,
    "band": 20,
    "halt_for": 1_000,
    "reference": -100,
    "priority": xb.ProRata(top_order=True, top_max=10, min_allocation=2),
    "state": "pre_open",
    "accounts": {3: 1, 2: 0},
    "tiers": [xb.Tier(-100, 200, 50), xb.Tier()],
    "rate": 10,
    "rate_window": 5,
}


def test_rules_keep_what_they_were_given() -> None:
    rules = xb.Rules(**RULES)
    assert {name: getattr(rules, name) for name in RULES} == RULES
    assert rules == xb.Rules(**RULES | {"accounts": {2: 0, 3: 1}})
    assert rules != xb.Rules()
    assert xb.Exchange(rules=rules).rules == rules
    assert xb.Exchange(**RULES).rules == rules
    assert repr(xb.Rules()) == "Rules()"
    assert repr(xb.Rules(tick=5, state="halted")) == "Rules(tick=5, state='halted')"
    assert xb.Rules().priority == "price_time"
    assert repr(rules.tiers[0]) == "Tier(maker=-100, taker=200, auction=50)"
    assert repr(rules.priority) == "ProRata(top_order=True, top_max=10, min_allocation=2)"
    assert len({*rules.tiers, xb.Tier(), rules.priority}) == 3


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"tick": 0}, xb.DataError, "rule tick: expected 1 or more, got 0"),
        ({"tick": 2**63}, xb.DataError, f"tick {2**63}: expected a whole number of units"),
        ({"tick": "1"}, TypeError, "tick '1': expected a whole number of units"),
        ({"lot": -1}, xb.DataError, "rule lot"),
        ({"min_size": 0}, xb.DataError, "rule min_size"),
        ({"max_size": 2**60}, xb.DataError, "rule max_size: expected min_size to 2"),
        ({"max_notional": -1}, xb.DataError, "rule max_notional"),
        ({"max_notional": 2**127}, xb.DataError, "max_notional"),
        ({"collar": -1}, xb.DataError, "rule collar"),
        ({"band": -1}, xb.DataError, "rule band"),
        ({"halt_for": -1}, xb.DataError, "rule halt_for"),
        ({"rate": -1}, xb.DataError, "rate -1"),
        ({"rate_window": 0}, xb.DataError, "rule rate_window"),
        ({"reference": 1.5}, TypeError, "reference 1.5"),
        ({"priority": "fifo"}, xb.DataError, "priority 'fifo': expected \"price_time\" or ProRata"),
        ({"priority": 1}, TypeError, "priority 1"),
        ({"priority": xb.ProRata(top_max=-1)}, xb.DataError, "rule top_max"),
        (
            {"state": "open"},
            xb.DataError,
            "state 'open': expected one of continuous, pre_open, halted, closing, closed",
        ),
        ({"accounts": {0: 0}}, xb.DataError, "rule accounts.id"),
        ({"accounts": {1: 1}}, xb.DataError, "rule accounts.tier"),
        ({"accounts": [1]}, TypeError, r"accounts \[1\]: expected a dict"),
        ({"tiers": [(1, 2, 3)]}, TypeError, r"tiers \(1, 2, 3\): expected a list of Tier"),
        ({"tiers": 5}, TypeError, "tiers 5"),
        ({"tiers": [xb.Tier(2 * 10**9)]}, xb.DataError, "rule tiers"),
        ({"ticks": 1}, TypeError, "ticks"),
    ],
)
def test_bad_rules_are_refused_with_name_value_and_what_was_expected(
    keywords: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        xb.Rules(**keywords)
    with pytest.raises(error, match=message):
        xb.Exchange(**keywords)


def test_rules_and_keywords_together_are_refused() -> None:
    with pytest.raises(TypeError, match="rules: expected Rules or keywords, found both"):
        xb.Exchange(None, xb.Rules(), tick=1)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"order_id": -1}, xb.DataError, "order_id -1: expected a whole number below 2"),
        ({"order_id": 2**64}, xb.DataError, "order_id"),
        ({"order_id": "1"}, TypeError, "order_id '1'"),
        ({"side": "bux"}, xb.DataError, "side 'bux': expected bid or buy, ask or sell"),
        ({"side": 2}, xb.DataError, "side 2"),
        ({"side": None}, TypeError, "side None"),
        ({"size": 1.5}, TypeError, "size 1.5: expected a whole number of units"),
        ({"size": 2**63}, xb.DataError, "size"),
        ({"price": float("nan")}, TypeError, "price nan"),
        ({"price": -(2**63) - 1}, xb.DataError, "price"),
        (
            {"order_type": "peg"},
            xb.DataError,
            "order_type 'peg': expected one of limit, market, market_to_limit, stop,",
        ),
        ({"order_type": None}, TypeError, "order_type None"),
        ({"time_in_force": "GTC"}, xb.DataError, "expected one of day, gtc, gtd, ioc, fok, at_open, at_close"),
        ({"self_trade": "x"}, xb.DataError, "one of none, cancel_newest, cancel_oldest, cancel_both, decrement"),
        ({"post_only": True}, TypeError, "post_only True: expected one of no, reject, slide"),
        ({"account": -1}, xb.DataError, "account -1"),
        ({"account": 2**32}, xb.DataError, "account"),
        ({"trigger": "1"}, TypeError, "trigger"),
        ({"display": 2**63}, xb.DataError, "display"),
        ({"expires": 2**63}, xb.DataError, "expires"),
        ({"link": -1}, xb.DataError, "link"),
        ({"ts": 1.0}, TypeError, "ts 1.0: expected nanoseconds"),
        ({"tif": "day"}, TypeError, "tif"),
    ],
)
def test_what_is_no_command_is_an_exception_and_changes_nothing(
    change: dict, error: type[Exception], message: str
) -> None:
    exchange = xb.Exchange()
    with pytest.raises(error, match=message):
        exchange.submit(**{"order_id": 1, "side": "buy", "size": 1, "price": 1} | change)
    assert exchange.sequence == 0


@pytest.mark.parametrize(
    ("call", "arguments", "error", "message"),
    [
        ("cancel", ("1",), TypeError, "order_id '1'"),
        ("modify", (1, 1.5), TypeError, "price 1.5"),
        ("replace", (1, 1, 2**63), xb.DataError, "size"),
        ("set_quote", (1, (1, 2), (1, 2, 3)), TypeError, r"bid \(1, 2\): expected \(id, price, size\)"),
        ("set_quote", (1, (1, 2, 3), (-1, 2, 3)), xb.DataError, "ask id -1"),
        ("set_quote", (1, (1, 2, 3), (1, 2.5, 3)), TypeError, "ask price 2.5"),
        ("mass_quote", (1, [((1, 2, 3), (2, 3, 3)), 5]), TypeError, "quotes: expected .bid, ask."),
        ("mass_quote", (1, 5), TypeError, "quotes|iterable"),
        ("mass_cancel", (1, "both"), xb.DataError, "side 'both'"),
        ("set_state", ("open",), xb.DataError, "state 'open'"),
        ("kill", (-1,), xb.DataError, "account -1"),
        ("revive", ("a",), TypeError, "account 'a'"),
        ("set_clock", (None,), TypeError, "ts None"),
        ("order", (-1,), xb.DataError, "order_id -1"),
        ("place", ("a",), TypeError, "order_id 'a'"),
    ],
)
def test_every_call_names_the_argument_that_is_wrong(
    call: str, arguments: tuple, error: type[Exception], message: str
) -> None:
    exchange = xb.Exchange()
    with pytest.raises(error, match=message):
        getattr(exchange, call)(*arguments)
    assert exchange.sequence == 0


def test_fees_are_those_of_each_partys_tier() -> None:
    exchange = xb.Exchange(tiers=[xb.Tier(-100_000_000, 500_000_000), xb.Tier(0, 10_000_000)], accounts={1: 0, 2: 1})
    exchange.submit(1, "sell", 10, 100, account=1)
    trade = exchange.submit(2, "buy", 10, 100, account=2)[-1]
    # 1 % of 1,000, and a rebate of 10 %.
    assert (trade.fee, trade.counter_fee) == (10, -100)


def test_threads_share_an_exchange() -> None:
    exchange = xb.Exchange()

    def work(thread: int) -> int:
        return sum(len(exchange.submit(1 + thread * 1_000 + n, "buy", 1, 100 - thread)) for n in range(1_000))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 4_000
    assert (exchange.sequence, len(exchange)) == (4_000, 4_000)
    assert exchange.book()["orders"].to_list() == [1_000] * 4


def test_rules_are_read_from_toml_and_json(tmp_path: Path) -> None:
    toml = tmp_path / "rules.toml"
    toml.write_text(
        'tick = 5\nstate = "pre_open"\ntiers = [{maker = -1, taker = 2}]\n'
        "accounts = {3 = 0}\npriority = {top_order = true, top_max = 4}\n",
        encoding="utf-8",
    )
    expected = xb.Rules(
        tick=5,
        state="pre_open",
        tiers=[xb.Tier(-1, 2)],
        accounts={3: 0},
        priority=xb.ProRata(top_order=True, top_max=4),
    )
    assert xb.read_rules(toml) == expected
    other = tmp_path / "rules.json"
    other.write_text('{"band": 5, "priority": "price_time"}', encoding="utf-8")
    assert xb.read_rules(other) == xb.Rules(band=5)


@pytest.mark.parametrize(
    "text", ["[1]", "{", '{"tick": 0}', '{"ticks": 1}', '{"accounts": {"a": 0}}', '{"tiers": [1]}', '{"accounts": 5}']
)
def test_a_bad_file_of_rules_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rules.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(xb.DataError, match=r"rules\.json"):
        xb.read_rules(path)
    with pytest.raises(xb.DataError, match=r"none\.json"):
        xb.read_rules(tmp_path / "none.json")
