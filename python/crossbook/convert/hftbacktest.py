"""Arrays of hftbacktest 2: ``npz`` files with the array ``data`` of its ``event_dtype``, one instrument a file.

Layout, codes and flags are those of hftbacktest 2.4.4 (``py-hftbacktest/hftbacktest/types.py``). Its rules of order
(``data/validation.py``): ``local_ts - exch_ts`` is the feed's latency and must not be negative; what the exchange
processes (``EXCH_EVENT``) ascends in ``exch_ts``, what the strategy sees (``LOCAL_EVENT``) in ``local_ts``. An event
that comes late stands in the file twice, once for each of them.

What survives a way there and back: times, kinds, sides, order ids, prices and sizes (as floats that say the same whole
number of units), where snapshots begin. What is lost: update and trade ids, where messages end (events of one time and
sort are taken for one), gaps, marks, funding and status; quotes unless asked for. A fill is told as hftbacktest has it,
by a fill and what it does to the book, and read back as one `Execute`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zipfile import BadZipFile

import numpy as np
import polars as pl

from crossbook.convert.events import (
    ADD,
    ASK,
    BID,
    BY_ORDER,
    CANCEL,
    CLEAR,
    EXECUTE,
    LAST,
    LEVEL,
    MODIFY,
    NAMES,
    NO_SIDE,
    QUOTE,
    SNAPSHOT,
    TRADE,
    Source,
    Written,
    chosen,
    count_kinds,
    only_instrument,
    replacing,
    stream,
)
from crossbook.convert.orders import Orders
from crossbook.convert.units import from_floats, to_floats
from crossbook.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from crossbook._core import Instrument, Tape
    from crossbook.capture import Capture
    from crossbook.convert.events import Frames, Instruments, Progress

    Rows = NDArray[Any]

__all__ = ["EVENT", "read", "write"]

EVENT = np.dtype(
    [
        *(("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8")),
        *(("order_id", "u8"), ("ival", "i8"), ("fval", "f8")),
    ],
    align=True,
)
"""One row of the array."""

DEPTH, TRADED, DEPTH_CLEAR, DEPTH_SNAPSHOT, DEPTH_BBO = 1, 2, 3, 4, 5
CODES = {"A": 10, "C": 11, "M": 12, "F": 13}
ACTIONS = {code: action for action, code in CODES.items()}
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28


def read(path: str | Path, *, instruments: Instruments) -> Source:
    """Open a file of one instrument, whose units `instruments` says.

    Gives what the strategy sees, in the order of the file; rows that only the exchange sees are left out. Holds the
    whole file in memory, as NumPy does. Raises `DataError` for a file of another layout, an unknown event, a price or
    size that is no whole number of units, and a `DEPTH_CLEAR_EVENT` of one side without the other, which a tape has no
    word for.
    """
    path = Path(path)
    instrument = only_instrument(instruments, "hftbacktest")
    size = path.stat().st_size if path.exists() else 0

    def frames() -> Frames:
        yield _events(_load(path), instrument, path), size, size

    return Source(path, [instrument], frames)


def _load(path: Path) -> Rows:
    try:
        with np.load(path) as file:
            data: Rows = file["data"]
    except (OSError, ValueError, KeyError, BadZipFile, EOFError) as error:
        raise DataError(f"{path}: expected an npz file with an array called data: {error}") from error
    if data.dtype != EVENT or data.ndim != 1:
        raise DataError(f"{path}: expected the layout {EVENT}, found {data.dtype} in {data.ndim} dimensions")
    return data


def _events(data: Rows, instrument: Instrument, path: Path) -> pl.DataFrame:
    rows = np.flatnonzero(data["ev"] & LOCAL)
    data = data[rows]
    codes = (data["ev"] & 0xFF).astype(np.int64)
    known = {DEPTH: LEVEL, DEPTH_SNAPSHOT: LEVEL, TRADED: TRADE, DEPTH_CLEAR: CLEAR, DEPTH_BBO: QUOTE}
    known |= {CODES["A"]: ADD, CODES["C"]: CANCEL, CODES["M"]: MODIFY, CODES["F"]: EXECUTE}

    def where(row: int) -> str:
        return f"{path} row {rows[row]}"

    table = np.full(256, 255, np.uint8)
    table[list(known)] = list(known.values())
    kinds = table[codes]
    if (kinds == 255).any():
        row = int(np.flatnonzero(kinds == 255)[0])
        raise DataError(f"{where(row)}: expected an event of {sorted(known)}, found {codes[row]}")
    sides = np.where(data["ev"] & BUY, BID, np.where(data["ev"] & SELL, ASK, NO_SIDE)).astype(np.uint8)
    clear = kinds == CLEAR
    keep = _whole_clears(data, clear, sides, where)
    nothing = clear | ~np.isfinite(data["px"]) & (kinds == CANCEL)
    prices = from_floats(np.where(nothing, 0, data["px"]), instrument.price_unit, "price", where)
    sizes = from_floats(np.where(clear, 0, data["qty"]), instrument.size_unit, "size", where)
    # A message is what has one time and is all of the book, or a quote's two sides; a trade is one for itself.
    group = np.where(kinds == TRADE, np.arange(kinds.size) + 16, np.where(kinds == QUOTE, QUOTE, LEVEL))
    frame = pl.DataFrame(
        {
            "ts_event": data["exch_ts"],
            "ts_recv": data["local_ts"],
            "sequence": np.zeros(kinds.size, np.uint64),
            "order_id": data["order_id"],
            "price": prices,
            "size": sizes,
            "instrument": np.zeros(kinds.size, np.uint32),
            "kind": kinds,
            "side": np.where(clear, NO_SIDE, sides).astype(np.uint8),
            "flags": np.where(clear | (codes == DEPTH_SNAPSHOT), SNAPSHOT, 0).astype(np.uint8),
            "group": group,
        }
    )
    if np.isin(kinds, BY_ORDER).any():
        kept, new_kinds, new_sizes = _by_order(codes, frame)
        keep &= kept
        frame = frame.with_columns(kind=new_kinds, size=new_sizes)
    frame = frame.filter(pl.Series(keep))
    key = pl.struct("ts_event", "ts_recv", "group", "flags")
    ends = (key != key.shift(-1)).fill_null(True)
    return frame.with_columns(flags=pl.when(ends).then(pl.col("flags") | LAST).otherwise(pl.col("flags"))).select(NAMES)


def _whole_clears(data: Rows, clear: NDArray[np.bool_], sides: NDArray[np.uint8], where: Any) -> NDArray[np.bool_]:
    """Which rows to keep: of the clears of both sides at one time, the first."""
    keep = np.ones(clear.size, np.bool_)
    open_at: dict[tuple[int, int], tuple[int, set[int]]] = {}
    for row in np.flatnonzero(clear).tolist():
        if sides[row] == NO_SIDE:
            continue
        time = int(data["exch_ts"][row]), int(data["local_ts"][row])
        first, seen = open_at.setdefault(time, (row, set()))
        keep[row] = row == first
        seen.add(int(sides[row]))
    for first, seen in open_at.values():
        if len(seen) == 1:
            raise DataError(f"{where(first)}: expected both sides to be cleared at one time, found one")
    return keep


def _by_order(codes: NDArray[np.int64], frame: pl.DataFrame) -> tuple[NDArray[np.bool_], pl.Series, pl.Series]:
    """Fills with what they do to the book as one event: which rows stay, their kinds and sizes."""
    orders = Orders(partial=False)
    kinds, sizes = frame["kind"].to_list(), frame["size"].to_list()
    keep = np.ones(len(kinds), np.bool_)
    ids = frame["order_id"].to_list()
    for row, code in enumerate(codes.tolist()):
        action = ACTIONS.get(code) or ("R" if code == DEPTH_CLEAR else "")
        if not action:
            continue
        event = orders.read(action, (0, ids[row]), sizes[row])
        if event is None:
            keep[row] = False
        else:
            kinds[row], sizes[row] = event
    return keep, pl.Series(kinds, dtype=pl.UInt8), pl.Series(sizes, dtype=pl.Int64)


def write(
    tapes: Capture | Source | Iterable[Tape],
    path: str | Path,
    *,
    instrument: int | None = None,
    offset: int = 0,
    unknown: Literal["raise", "receive"] = "raise",
    quotes: bool = False,
    overwrite: bool = False,
    progress: Progress = None,
) -> Written:
    """Write one instrument's events, all of them in memory (64 bytes each).

    `offset` in ns is added to receive times: where our clock runs behind the exchange's, hftbacktest would see
    negative latencies, and only you can say by how much it does. `unknown` says what becomes of events whose exchange
    time is not known: ``receive`` gives them the receive time, a latency of 0. `quotes` writes quotes as
    ``DEPTH_BBO_EVENT`` too. Raises `DataError` if a latency is negative, an exchange time unknown or `path` there.
    """
    instruments, frames = stream(tapes, progress)
    number = chosen(instruments, instrument, "hftbacktest")
    fitting = [CLEAR, LEVEL, TRADE, *BY_ORDER, *([QUOTE] if quotes else [])]
    written: dict[str, int] = {}
    left: dict[str, int] = {}
    orders = Orders(partial=False)
    made = []
    for frame in frames:
        own = frame.filter(pl.col("instrument") == number)
        fits = own.filter(pl.col("kind").is_in(fitting))
        count_kinds(fits, written)
        count_kinds(own.filter(~pl.col("kind").is_in(fitting)), left)
        made.append(_rows(fits, instruments[number], orders, unknown))
    data = np.concatenate(made) if made else np.zeros(0, EVENT)
    data["local_ts"] += offset
    latency = data["local_ts"] - data["exch_ts"]
    if data.size and latency.min() < 0:
        worst = int(latency.argmin())
        raise DataError(
            f"{instruments[number].name}: the receive clock runs behind the exchange's by up to {-latency.min()} ns "
            f"(receive time {data['local_ts'][worst] - offset}), and hftbacktest allows no negative latency: expected "
            f"offset={offset - int(latency.min())} or more"
        )
    with replacing(Path(path), overwrite=overwrite) as aside, aside.open("wb") as file:
        np.savez_compressed(file, data=_in_order(data))
    return Written((Path(path),), sum(written.values()), left)


def _rows(frame: pl.DataFrame, instrument: Instrument, orders: Orders, unknown: str) -> Rows:
    if unknown == "raise" and (frame["ts_event"] == 0).any():
        at = frame.filter(pl.col("ts_event") == 0)["ts_recv"][0]
        raise DataError(
            f"{instrument.name}: the event received at {at} has no exchange time, which hftbacktest needs: expected "
            f"unknown='receive' to take the receive time for it"
        )
    kinds = frame["kind"].to_numpy()
    snapshot = frame["flags"].to_numpy() & SNAPSHOT != 0
    codes = np.select(
        [kinds == CLEAR, (kinds == LEVEL) & snapshot, kinds == LEVEL, kinds == QUOTE],
        [DEPTH_CLEAR, DEPTH_SNAPSHOT, DEPTH, DEPTH_BBO],
        TRADED,
    )
    sizes = frame["size"].to_numpy()
    index = np.arange(kinds.size)
    by_order = np.isin(kinds, BY_ORDER)
    if by_order.any():
        told = []
        ids, amounts = frame["order_id"].to_list(), frame["size"].to_list()
        for row, kind in enumerate(kinds.tolist()):
            actions = orders.write(kind, (0, ids[row]), amounts[row])
            told += [(row, CODES.get(action, int(codes[row])), size) for action, size in actions] or [
                (row, int(codes[row]), amounts[row])
            ]
        index, codes, sizes = np.array(told, np.int64).T
    frame = frame[index]
    sides = frame["side"].to_numpy()
    data = np.zeros(len(frame), EVENT)
    data["ev"] = codes.astype(np.uint64) | EXCH | LOCAL
    data["ev"] |= np.where(sides == BID, BUY, np.where(sides == ASK, SELL, 0)).astype(np.uint64)
    data["local_ts"] = frame["ts_recv"].to_numpy()
    times = frame["ts_event"].to_numpy()
    data["exch_ts"] = np.where(times == 0, data["local_ts"], times)
    data["px"] = to_floats(frame["price"].to_numpy(), instrument.price_unit)
    data["qty"] = to_floats(np.asarray(sizes, np.int64), instrument.size_unit)
    data["order_id"] = frame["order_id"].to_numpy()
    return data


def _in_order(data: Rows) -> Rows:
    """Rows in an order that ascends for both; those that come late are split in two."""
    data = data[np.argsort(data["local_ts"], kind="stable")]
    newest = np.maximum.accumulate(data["exch_ts"]) if data.size else data["exch_ts"]
    late = np.flatnonzero(data["exch_ts"] < newest)
    if not late.size:
        return data
    on_time = np.delete(data["exch_ts"], late)
    places = np.delete(np.arange(data.size), late)
    # For the exchange a late row stands before the first that is on time and newer; there is one, or it were not late.
    before = places[np.searchsorted(on_time, data["exch_ts"][late], side="right")]
    order = np.lexsort((late, data["exch_ts"][late], before))
    early = data[late[order]]
    early["ev"] &= np.uint64(~LOCAL & 0xFFFF_FFFF)
    data["ev"][late] &= np.uint64(~EXCH & 0xFFFF_FFFF)
    out: Rows = np.insert(data, before[order], early)
    return out
