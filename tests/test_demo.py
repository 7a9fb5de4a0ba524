"""The capture that the package makes for itself: true to the exchanges' rules, and true to what it says of itself."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossbook.demo import EPOCH_NS, make_capture

PRIMARY, SECONDARY = "usdm-btcusdt", "spot-btcusdt"
Frame = tuple[int, dict[str, Any]]


def frames(directory: Path, name: str) -> list[Frame]:
    with gzip.open(directory / f"{name}.gz", "rt", encoding="ascii") as file:
        return [(int(at), json.loads(text)) for at, text in (line.split(" ", 1) for line in file)]


def of(found: list[Frame], channel: str) -> Iterator[tuple[int, dict[str, Any]]]:
    return ((at, frame["data"]) for at, frame in found if f"@{channel}" in frame.get("stream", ""))


def snapshot(found: list[Frame]) -> dict[str, Any]:
    (only,) = (frame for _, frame in found if "lastUpdateId" in frame)
    return only


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Frame]]:
    directory = make_capture(tmp_path_factory.mktemp("demo"))
    return {name: frames(directory, name) for name in (PRIMARY, SECONDARY)}


both = pytest.mark.parametrize("name", [PRIMARY, SECONDARY])


@both
def test_the_rebuilt_book_shows_the_touch_of_the_newest_quote_at_every_depth_event(
    capture: dict[str, list[Frame]], name: str
) -> None:
    found = capture[name]
    start = snapshot(found)
    book = {side: {level[0]: level[1] for level in start[f"{side}s"]} for side in ("bid", "ask")}
    quotes = [quote for _, quote in of(found, "bookTicker")]
    updates = np.array([quote["u"] for quote in quotes])
    compared = 0
    for _, diff in of(found, "depth"):
        if diff["u"] <= start["lastUpdateId"]:
            continue
        for side in ("bid", "ask"):
            for price, size in diff[side[0]]:
                if float(size) == 0.0:
                    book[side].pop(price, None)
                else:
                    book[side][price] = size
        bid, ask = max(book["bid"], key=float), min(book["ask"], key=float)
        assert float(bid) < float(ask)
        quote = quotes[int(np.searchsorted(updates, diff["u"], "right")) - 1]
        assert (bid, book["bid"][bid], ask, book["ask"][ask]) == tuple(quote[key] for key in "bBaA")
        compared += 1
    assert compared > 500


@both
def test_update_ids_rise_and_the_chain_of_diffs_is_unbroken(capture: dict[str, list[Frame]], name: str) -> None:
    diffs = [diff for _, diff in of(capture[name], "depth")]
    assert all(diff["U"] <= diff["u"] for diff in diffs)
    for before, after in pairwise(diffs):
        assert before["u"] < after["U"]
        assert before["u"] == (after["pu"] if name == PRIMARY else after["U"] - 1)
    updates = [quote["u"] for _, quote in of(capture[name], "bookTicker")]
    assert all(np.diff(updates) > 0)


@both
def test_the_snapshot_joins_the_diffs_and_comes_after_some_newer_than_itself(
    capture: dict[str, list[Frame]], name: str
) -> None:
    found = capture[name]
    last = snapshot(found)["lastUpdateId"]
    place = next(i for i, (_, frame) in enumerate(found) if "lastUpdateId" in frame)
    buffered = [diff for _, diff in of(found[:place], "depth")]
    assert any(diff["u"] < last for diff in buffered)
    assert any(diff["u"] > last for diff in buffered)
    first = next(diff for _, diff in of(found, "depth") if diff["u"] >= last + (name == SECONDARY))
    assert first["U"] <= last + (name == SECONDARY) <= first["u"]


@both
def test_frames_arrive_in_order_a_few_milliseconds_after_the_exchange_sent_them(
    capture: dict[str, list[Frame]], name: str
) -> None:
    found = capture[name]
    assert all(np.diff([at for at, _ in found]) > 0)
    late = np.array([at / 1e6 - diff["E"] for at, diff in of(found, "depth")])
    assert 2.0 < np.median(late) < 8.0
    assert late.min() > 0.0
    assert found[0][0] >= EPOCH_NS


@both
def test_trade_ids_count_by_one(capture: dict[str, list[Frame]], name: str) -> None:
    trades = [trade["t"] for _, trade in of(capture[name], "trade")]
    assert len(trades) > 500
    assert set(np.diff(trades)) == {1}


def test_frames_have_the_keys_of_the_real_ones_in_their_order(capture: dict[str, list[Frame]]) -> None:
    # Seen in the public recording of 2024-08-08 (`binance-2024-08-08`).
    expected = {
        (PRIMARY, "depth"): "e E T s U u pu b a",
        (PRIMARY, "bookTicker"): "e u s b B a A T E",
        (PRIMARY, "trade"): "e E T s t p q X m",
        (SECONDARY, "depth"): "e E s U u b a",
        (SECONDARY, "bookTicker"): "u s b B a A",
        (SECONDARY, "trade"): "e E s t p q T m M",
    }
    for (name, channel), keys in expected.items():
        assert {" ".join(data) for _, data in of(capture[name], channel)} == {keys}
    assert [*snapshot(capture[PRIMARY])] == ["lastUpdateId", "E", "T", "bids", "asks"]
    assert [*snapshot(capture[SECONDARY])] == ["lastUpdateId", "bids", "asks"]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    one, same, other = (make_capture(tmp_path / n, seed=s, seconds=2.0) for n, s in (("a", 7), ("b", 7), ("c", 8)))
    for name in (f"{PRIMARY}.gz", f"{SECONDARY}.gz", "truth.json"):
        assert (one / name).read_bytes() == (same / name).read_bytes()
        assert (one / name).read_bytes() != (other / name).read_bytes()


def mids(found: list[Frame]) -> tuple[np.ndarray, np.ndarray]:
    """Receive time in ms and log mid in bp at every move of the mid."""
    rows = np.array([(at - EPOCH_NS, float(q["b"]) + float(q["a"])) for at, q in of(found, "bookTicker")])
    moved = np.r_[True, np.diff(rows[:, 1]) != 0]
    return rows[moved, 0] / 1e6, np.log(rows[moved, 1]) * 1e4


def hayashi_yoshida_peak(first: list[Frame], second: list[Frame], lags: np.ndarray) -> float:
    """The lag (ms) at which the Hayashi–Yoshida covariance of the two mids is largest; positive: `first` leads."""
    (t1, x1), (t2, x2) = mids(first), mids(second)
    contrast = []
    for lag in lags:
        moved = t2 - lag
        # An interval of `first` overlaps `second` from the tick at or before its start to the tick at or after its end.
        end = np.minimum(np.searchsorted(moved, t1[1:], "left"), len(t2) - 1)
        start = np.maximum(np.searchsorted(moved, t1[:-1], "right") - 1, 0)
        contrast.append(np.sum(np.diff(x1) * (x2[end] - x2[start])))
    return float(lags[int(np.argmax(contrast))])


@pytest.mark.parametrize(("seed", "lead_ms"), [(7, 80.0), (1, 80.0), (3, 40.0), (5, 150.0)])
def test_the_lead_seen_at_receipt_is_the_one_asked_for_within_a_tenth(
    tmp_path: Path, seed: int, lead_ms: float
) -> None:
    directory = make_capture(tmp_path, seed=seed, lead_ms=lead_ms)
    found = hayashi_yoshida_peak(
        frames(directory, PRIMARY), frames(directory, SECONDARY), np.arange(-400.0, 401.0, 2.0)
    )
    assert abs(found - lead_ms) <= 0.1 * lead_ms
    assert json.loads((directory / "truth.json").read_text())["lead_ms"] == lead_ms


def test_venues_cross_net_of_low_costs_and_never_of_high_ones(capture: dict[str, list[Frame]]) -> None:
    grid = np.arange(1_000.0, 60_000.0, 10.0)
    touch = []
    for name in (PRIMARY, SECONDARY):
        rows = np.array([(at - EPOCH_NS, float(q["b"]), float(q["a"])) for at, q in of(capture[name], "bookTicker")])
        touch.append(rows[np.searchsorted(rows[:, 0] / 1e6, grid, "right") - 1, 1:])
    (bid, ask), (other_bid, other_ask) = touch[0].T, touch[1].T
    edge_bp = np.maximum(other_bid / ask - 1.0, bid / other_ask - 1.0) * 1e4
    shares = [float(np.mean(edge_bp > cost)) for cost in (1.0, 4.0, 8.0, 17.0)]
    assert shares == sorted(shares, reverse=True)
    assert shares[1] > 0.01
    assert shares[2] > 0.0
    assert shares[3] == 0.0


@pytest.mark.parametrize("wrong", [{"seconds": 0.5}, {"lead_ms": -1.0}, {"fees_bp": 0.0}, {"seconds": float("nan")}])
def test_arguments_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected seconds >= 1"):
        make_capture(tmp_path, **wrong)  # type: ignore[arg-type]  # a mapping of floats, none of them the seed
