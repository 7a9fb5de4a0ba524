"""Names to instruments, from the venues' own lists."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from small_exchange import Exchange

from crossbook.errors import DataError, InstrumentError
from crossbook.feeds import FeedError, resolve
from crossbook.feeds.addresses import address_of, facts_of, public, shown
from crossbook.feeds.symbols import GROUPS, Symbols


def names(exchange: Exchange, cache: Path, *wanted: str, max_age: float = 3600.0) -> list[str]:
    async def run() -> list[str]:
        async with exchange:
            found = await resolve(wanted, addresses=exchange.addresses, cache=cache, max_age=max_age)
            return [one.name for one in found]

    return asyncio.run(run())


@pytest.mark.parametrize(
    "name",
    [
        "binance:BTC-USDT",
        "binance-spot:BTC-USDT",
        "binance-spot:BTCUSDT",
        "spot:btcusdt",
        "Binance:btc-usdt",
    ],
)
def test_a_name_in_any_form_finds_the_instrument(name: str, tmp_path: Path) -> None:
    assert names(Exchange(), tmp_path, name) == ["binance-spot:BTCUSDT"]


def test_a_kind_and_a_base_give_all_that_are_listed_and_each_once(tmp_path: Path) -> None:
    found = names(Exchange(), tmp_path, "binance:ETH-USDT", "binance:spot/*", "binance-spot:spot/sol")
    assert found == ["binance-spot:ETHUSDT", "binance-spot:BTCUSDT", "binance-spot:SOLUSDT"]


def test_tick_and_units_come_from_the_list(tmp_path: Path) -> None:
    async def run() -> None:
        async with Exchange() as exchange:
            (btc,) = await resolve(["binance:BTC-USDT"], addresses=exchange.addresses, cache=tmp_path)
            assert (btc.tick, btc.lot, btc.base, btc.quote) == ("0.01", "0.00001", "BTC", "USDT")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("BTC-USDT", "expected venue:BASE-QUOTE"),
        ("binance:", "expected venue:BASE-QUOTE"),
        ("nowhere:BTC-USDT", "expected a venue that has such instruments, one of binance"),
        ("bitget:BTC-USDT", "expected a venue that has such instruments"),
        ("binance:DOGE-USDT", "is not listed by binance-spot"),
    ],
)
def test_a_name_that_means_nothing_is_an_error_that_says_what_was_expected(
    name: str, error: str, tmp_path: Path
) -> None:
    with pytest.raises(InstrumentError, match=error):
        names(Exchange(), tmp_path, name)


def test_the_list_is_kept_on_disk_until_it_is_old(tmp_path: Path) -> None:
    exchange = Exchange()

    async def run() -> None:
        async with exchange:
            for _ in range(2):
                await resolve(["binance:BTC-USDT"], addresses=exchange.addresses, cache=tmp_path)
            assert len(exchange.requests) == 1
            await resolve(["binance:BTC-USDT"], addresses=exchange.addresses, cache=tmp_path, max_age=0.0)
            assert len(exchange.requests) == 2

    asyncio.run(run())


def test_a_name_that_an_older_list_lacks_is_looked_for_in_a_new_one(tmp_path: Path) -> None:
    async def run() -> None:
        async with Exchange(listed=("BTCUSDT",)) as exchange:
            addresses = exchange.addresses
            await resolve(["binance:BTC-USDT"], addresses=addresses, cache=tmp_path)
            exchange.listed = ("BTCUSDT", "NEWUSDT")
            with pytest.raises(InstrumentError):
                await resolve(["binance:NEW-USDT"], addresses=addresses, cache=tmp_path)
            (file,) = tmp_path.iterdir()
            entry = json.loads(file.read_text())
            file.write_text(json.dumps({**entry, "fetched": entry["fetched"] - 120}))
            (found,) = await resolve(["binance:NEW-USDT"], addresses=addresses, cache=tmp_path)
            assert found.symbol == "NEWUSDT"

    asyncio.run(run())


def test_an_old_list_is_better_than_none_and_a_damaged_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with Exchange() as exchange:
            addresses = exchange.addresses
            await resolve(["binance:BTC-USDT"], addresses=addresses, cache=tmp_path)
        (found,) = await resolve(["binance:BTC-USDT"], addresses=addresses, cache=tmp_path, max_age=0.0)
        assert found.symbol == "BTCUSDT"
        assert "an old list of instruments is used" in caplog.text
        (file,) = tmp_path.iterdir()
        file.write_text("{")
        with pytest.raises(FeedError, match="expected an answer"):
            await resolve(["binance:BTC-USDT"], addresses=addresses, cache=tmp_path)

    asyncio.run(run())


def test_all_that_a_venue_lists_goes_by_venue_and_unified_name(tmp_path: Path) -> None:
    async def run() -> None:
        from crossbook.feeds import Clock
        from crossbook.feeds.rest import Rests

        async with Exchange() as exchange:
            rests = Rests(addresses=exchange.addresses, clock=Clock())
            listed = await Symbols(rests, addresses=exchange.addresses, cache=tmp_path).mapping("binance-spot")
            assert set(listed) == {("binance-spot", f"{base}-USDT") for base in ("BTC", "ETH", "SOL")}
            await rests.close()

    asyncio.run(run())


def test_short_names_stand_for_venues_that_exist() -> None:
    for members in GROUPS.values():
        for venue, kinds in members:
            assert facts_of(venue).venue == venue
            assert set(kinds) <= {"spot", "linear", "inverse", "option"}


def test_an_address_without_a_path_keeps_the_protocols_own(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = facts_of("binance-spot")
    assert address_of(facts).ws == facts.url
    monkeypatch.setenv("CROSSBOOK_WS_BINANCE_SPOT", "ws://127.0.0.1:9")
    monkeypatch.setenv("CROSSBOOK_REST_BINANCE_SPOT", "http://127.0.0.1:8/")
    here = address_of(facts)
    assert (here.ws, here.rest) == ("ws://127.0.0.1:9/stream", "http://127.0.0.1:8")
    given = address_of(facts, {"binance-spot": ("ws://127.0.0.1:7/other?x=1", None)})
    assert (given.ws, given.rest) == ("ws://127.0.0.1:7/other?x=1", "http://127.0.0.1:8")
    with pytest.raises(DataError, match="expected it to begin with ws://"):
        address_of(facts, {"binance-spot": ("http://127.0.0.1:7", None)})


def test_what_is_logged_of_an_address_holds_no_secrets() -> None:
    url = "wss://me:secret@127.0.0.1:7/ws?token=secret"
    assert shown(url) == "wss://127.0.0.1:7/ws"
    assert public(url) == "wss://127.0.0.1:7/ws?token=secret"


def test_a_protocol_must_be_the_venues() -> None:
    assert facts_of("kraken", {"kraken": "kraken-v1"}).name == "kraken-v1"
    with pytest.raises(DataError, match=r"expected one of kraken-v2, kraken-v1"):
        facts_of("kraken", {"kraken": "okx-v5"})
