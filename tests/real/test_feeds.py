"""Every venue's real frames: all are read, every checksum agrees, nothing is missing."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import crossbook as xb
from crossbook import _core


@pytest.fixture(scope="module")
def played(data: Path) -> tuple[xb.Capture, pl.DataFrame]:
    capture = xb.open(data / "cryptofeed")
    return capture, capture.info()


def test_every_frame_of_twenty_one_connections_is_read_and_nothing_is_missing(
    played: tuple[xb.Capture, pl.DataFrame],
) -> None:
    capture, info = played
    assert info["file"].n_unique() == 21
    assert capture.fault_count == 0, capture.faults()
    assert capture.gaps().height == 0
    assert info["trade_gaps"].sum() == 0


def test_every_checksum_of_the_captures_agrees(played: tuple[xb.Capture, pl.DataFrame]) -> None:
    info = played[1].group_by("file").agg(pl.col("checksums", "checksum_failures").sum())
    found = {file: (good, bad) for file, good, bad in info.iter_rows() if good or bad}
    # The counts that the data's README states.
    assert found == {
        "KRAKEN.ws.50.0.gz": (4_269, 0),
        "OKX.ws.1.0.gz": (290, 0),
        "BITGET.ws.2.0.gz": (194, 0),
    }


@pytest.mark.parametrize(
    "prefix", ["BINANCE", "KUCOIN", "KRAKEN_FUTURES", "GATEIO", "INDEPENDENT_RESERVE", "DERIBIT", "BITFINEX", "DYDX"]
)
def test_linked_sequences_are_unbroken_and_prove_every_change(
    played: tuple[xb.Capture, pl.DataFrame], prefix: str
) -> None:
    rows = played[1].filter(pl.col("file").str.starts_with(prefix))
    assert rows["depth"].sum() > 0
    assert (rows["verified"] >= rows["depth"]).all()
    assert rows["gaps"].sum() == 0


def test_every_instrument_is_described_and_named(played: tuple[xb.Capture, pl.DataFrame]) -> None:
    capture, _ = played
    names = {f"{one.venue}:{one.unified}" for one in capture.instruments}
    assert len(names) == len(capture.instruments)
    assert {
        "kraken:BTC-CHF",
        "okx:BTC-USD-220527",
        "okx:UNI-USD-PERP",
        "deribit:BTC-USD-210924-8000-P",
        "binance-coinm:LINK-USD-PERP",
        "bybit-inverse:BTC-USD-PERP",
    } <= names


def test_the_captures_play_the_same_twice(played: tuple[xb.Capture, pl.DataFrame]) -> None:
    capture, _ = played
    assert capture.tape().to_polars().equals(capture.tape().to_polars())


def test_todays_frames_are_read_and_what_carries_a_proof_is_proved(data: Path) -> None:
    info = xb.open(data / "current-frames").info()
    found = {row["file"]: row for row in info.iter_rows(named=True)}
    assert info["errors"].sum() == 0
    assert info["gaps"].sum() == 0
    assert (found["kraken_book.jsonl"]["checksums"], found["kraken_book.jsonl"]["checksum_failures"]) == (4, 0)
    for name in ("okx_books.jsonl", "bybit_orderbook.jsonl", "coinbase_l2.jsonl"):
        assert found[name]["depth"] > 0
        assert found[name]["verified"] >= found[name]["depth"], name


def test_hyperliquids_snapshots_are_read_and_what_proves_nothing_says_so(data: Path) -> None:
    (row,) = xb.open(data / "hyperliquid").info().iter_rows(named=True)
    assert (row["depth"], row["unverifiable"], row["trades"], row["errors"]) == (46, 46, 34, 0)


OURS = {
    "binance": "binance-spot binance-usdm binance-coinm",
    "okx": "okx-v5 okx-2021",
    "gate": "gate-v2 gate-v1 gate-futures-v2 gate-futures-v1",
    "bitget": "bitget-v2-futures bitget-v1-mix",
    "bitmex": "bitmex",
    "kucoin": "kucoin",
    "deribit": "deribit-v2",
    "bybit": "bybit-v5-spot bybit-v5-linear bybit-v2-linear bybit-v2-inverse bybit-v3-linear",
    "bitfinex": "bitfinex-v2",
    "kraken": "kraken-v1 kraken-v2 kraken-futures",
    "coinbase_pro": "coinbase-exchange",
    "bitstamp": "bitstamp-diff bitstamp-orders",
    "dydx": "dydx-v3 dydx-v4",
}


# Not of the websocket: bodies of REST, and of Gate the protocol with `method` that ended in 2021.
REST = ("l2_snapshot", "open_interest", "utils")
RETIRED = {"gate": {"spot_20210916", "spot_snapshot_20200916", "spot_update_20210916", "spot_sample_2"}}


@pytest.mark.parametrize("exchange", OURS)
def test_single_raw_messages_of_our_venues_are_read_or_refused_with_a_typed_error(data: Path, exchange: str) -> None:
    lines = (data / "raw-messages" / "raw_messages.jsonl").read_text(encoding="utf-8").splitlines()
    messages = [row for row in map(json.loads, lines) if row["exchange"] == exchange]
    assert messages
    for row in messages:
        frame = row["raw"].encode()
        faults = []
        for protocol in OURS[exchange].split():
            session = _core.Session(protocol, [])
            session.frames(1, [frame])
            faults.append(session.faults())
        # Its own dialect has nothing against it but that nobody asked for the instrument.
        unasked = "expected a symbol that this feed was given"
        if not any(all(unasked in text for text in found) for found in faults):
            assert row["group"] in REST or row["test"] in RETIRED.get(exchange, ()), faults
            assert all("expected" in text or "missing field" in text for found in faults for text in found)
