"""Databento Binary Encoding: ``mbo``, ``trades`` and ``mbp-1``, plain or compressed (``.zst``).

Needs the package ``databento-dbn`` (``pip install crossbook[dbn]``), which does the encoding. Other schemas are an
error. Words are those of https://databento.com/docs/schemas/mbo and https://databento.com/docs/conventions: prices in
1e-9, times in ns. In ``mbo`` trades and fills do not change the book, cancellations do, in part or whole; a fill and
what it does to the book are one `Execute` here. In ``mbp-1`` every record carries the quote after it, which is a
`Quote` of both sides, but for trades, which are a `Trade`. A record marked ``F_MAYBE_BAD_BOOK`` comes after a `Gap`.

What survives a way there and back: times, kinds, sides, order ids, prices and sizes exactly, snapshots, where messages
end, sequences below 2^32. What is lost: larger sequences (0 is written), gaps, marks, funding and status; in ``mbp-1``
an order of quotes and trades within one message. Databento has no clear without a snapshot, so a mark for it survives
only there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from crossbook.convert.dbn_out import MARKS, NANO, SCHEMAS, UNDEFINED, package, write
from crossbook.convert.events import (
    ASK,
    BID,
    CLEAR,
    GAP,
    LAST,
    NAMES,
    NO_SIDE,
    QUOTE,
    TRADE,
    Source,
    declared,
)
from crossbook.convert.orders import Orders
from crossbook.convert.units import rescale
from crossbook.errors import DataError, InstrumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from crossbook._core import Instrument
    from crossbook.convert.events import Frames, Instruments

    Rows = NDArray[Any]

__all__ = ["read", "write"]

CHUNK = 1 << 22
MAGIC = b"\x28\xb5\x2f\xfd"
"""How Zstandard begins."""
MAYBE_BAD = 4


def read(path: str | Path, *, instruments: Instruments, size_unit: str = "1") -> Source:
    """Open a file, plain or compressed, of the instruments that `instruments` describes.

    An instrument is found by its symbol, through the mappings of the file's metadata; the only one of a file needs
    none. `size_unit` is what one size of the file means, in shares or contracts. Raises `DataError` for what is no DBN,
    another schema, and prices and sizes that are no whole numbers of the instrument's units; `InstrumentError` for an
    instrument that is not described.
    """
    path = Path(path)
    known = declared(instruments)
    if not known:
        raise InstrumentError("dbn: expected at least one instrument, as the file says no units")

    def frames() -> Frames:
        size = path.stat().st_size if path.exists() else 0
        yield from _Decoder(path, known, size_unit).frames(size)

    return Source(path, known, frames)


class _Decoder:
    """Reads one file."""

    def __init__(self, path: Path, instruments: Sequence[Instrument], size_unit: str) -> None:
        self.dbn = package()
        self.path, self.instruments, self.size_unit = path, instruments, size_unit
        self.orders = Orders(partial=True)
        self.numbers: dict[int, int] = {}
        self.symbols: dict[int, str] = {}
        self.bad: dict[int, bool] = {}
        self.row = 0

    def _chunks(self) -> Iterator[tuple[list[Any], int]]:
        """Decoded records, the metadata first, with the bytes read."""
        try:
            with self.path.open("rb") as file:
                head = file.read(len(MAGIC))
                zipped = self.dbn.Compression.ZSTD if head == MAGIC else self.dbn.Compression.NONE
                decoder = self.dbn.DBNDecoder(compression=zipped)
                body = head + file.read(CHUNK)
                while body:
                    yield decoder.write_and_decode(body), file.tell()
                    body = file.read(CHUNK)
                if decoder.buffer():
                    raise DataError(f"{self.path} record {self.row}: expected the rest of it: the file ends within")
        except (OSError, self.dbn.DBNError) as error:
            raise DataError(f"{self.path} record {self.row}: expected DBN: {error}") from error

    def frames(self, size: int) -> Frames:
        """The events of the file."""
        record: Any = None
        held: Rows | None = None
        done = 0
        for records, done in self._chunks():
            if record is None and records:
                record = self._begin(records.pop(0))
            own = [bytes(one) for one in records if isinstance(one, record)]
            if not own:
                continue
            data: Rows = np.frombuffer(b"".join(own), dtype=record._dtypes)
            data = data if held is None else np.concatenate([held, data])
            # An event of an exchange may be several records; fills and what they do to the book belong together.
            ends = np.flatnonzero(data["flags"] & MARKS[LAST])
            cut = int(ends[-1]) + 1 if ends.size else 0
            held = data[cut:]
            if cut:
                yield self._events(data[:cut]), done, size
        if record is None:
            raise DataError(f"{self.path}: expected DBN, found nothing in it")
        if held is not None and held.size:
            yield self._events(held), done, size

    def _begin(self, metadata: Any) -> Any:
        """Take the metadata; gives the class of the records."""
        schema = str(metadata.schema)
        if schema not in SCHEMAS:
            raise DataError(f"{self.path}: schema {schema}: expected one of {', '.join(SCHEMAS)}")
        if metadata.ts_out:
            raise DataError(f"{self.path}: expected records without ts_out, as the historical service gives them")
        for symbol, intervals in metadata.mappings.items():
            for interval in intervals:
                if interval["symbol"].isdigit():
                    self.symbols[int(interval["symbol"])] = symbol
        self.schema = schema
        return getattr(self.dbn, SCHEMAS[schema])

    def _number(self, identity: int) -> int:
        """Which of our instruments a record's instrument is."""
        if identity not in self.numbers:
            symbol = self.symbols.get(identity)
            found = [number for number, one in enumerate(self.instruments) if one.symbol == symbol]
            if not found and len(self.instruments) == 1 and not self.numbers and len(self.symbols) < 2:
                found = [0]
            if len(found) != 1:
                names = ", ".join(one.name for one in self.instruments)
                raise InstrumentError(f"{self.path}: instrument {identity} ({symbol}): expected one of {names}")
            self.numbers[identity] = found[0]
        return self.numbers[identity]

    def _scaled(self, values: Rows, numbers: Rows, rows: Rows, what: str) -> NDArray[np.int64]:
        """Prices or sizes in the units of their instruments; what there is not is 0."""
        out = np.where(values == UNDEFINED, 0, values).astype(np.int64)
        old = NANO if what == "price" else self.size_unit
        for number in np.unique(numbers).tolist():
            mask = numbers == number
            one, at = self.instruments[number], rows[mask]
            new = one.price_unit if what == "price" else one.size_unit
            column = pl.Series(what, out[mask])
            out[mask] = rescale(column, old, new, lambda row, at=at: f"{self.path} record {at[row]}").to_numpy()  # type: ignore[misc]
        return out

    def _events(self, data: Rows) -> pl.DataFrame:
        rows = np.arange(self.row, self.row + data.size)
        self.row += data.size
        ids = data["instrument_id"]
        numbers = np.zeros(data.size, np.uint32)
        for identity in np.unique(ids).tolist():
            numbers[ids == identity] = self._number(identity)
        flags = np.zeros(data.size, np.uint8)
        for ours, theirs in MARKS.items():
            flags |= np.where(data["flags"] & theirs, ours, 0).astype(np.uint8)
        times = data["ts_event"]
        common = pl.DataFrame(
            {
                "row": np.arange(data.size),
                "ts_event": np.where(times == np.uint64((1 << 64) - 1), 0, times).astype(np.int64),
                "ts_recv": data["ts_recv"].astype(np.int64),
                "sequence": data["sequence"].astype(np.uint64),
                "order_id": data["order_id"] if self.schema == "mbo" else np.zeros(data.size, np.uint64),
                "instrument": numbers,
                "flags": flags,
                "side": np.select([data["side"] == b"B", data["side"] == b"A"], [BID, ASK], NO_SIDE).astype(np.uint8),
            }
        )
        events = self._by_order if self.schema == "mbo" else self._quotes_and_trades
        made = events(data, common, numbers, rows)
        bad = self._bad(common, data)
        return pl.concat([bad, made], how="diagonal").sort("row", maintain_order=True).select(NAMES)

    def _bad(self, common: pl.DataFrame, data: Rows) -> pl.DataFrame:
        """A gap before the first of the records that may not make a good book."""
        marked = (data["flags"] & MAYBE_BAD) != 0
        starts = []
        if marked.any() or any(self.bad.values()):
            for row, (number, now) in enumerate(zip(common["instrument"].to_list(), marked.tolist(), strict=True)):
                if now and not self.bad.get(number, False):
                    starts.append(row)
                self.bad[number] = now
        zero = {name: pl.lit(0, pl.UInt64) for name in ("order_id", "sequence")}
        zero |= {name: pl.lit(0, pl.Int64) for name in ("price", "size")}
        codes = {"kind": GAP, "side": NO_SIDE, "flags": LAST}
        return common[starts].with_columns(**zero, **{name: pl.lit(code, pl.UInt8) for name, code in codes.items()})

    def _quotes_and_trades(self, data: Rows, common: pl.DataFrame, numbers: Rows, rows: Rows) -> pl.DataFrame:
        trade = data["action"] == b"T"
        kind = pl.lit(TRADE, pl.UInt8)
        parts = [
            common.with_columns(
                price=self._scaled(np.where(trade, data["price"], 0), numbers, rows, "price"),
                size=self._scaled(np.where(trade, data["size"], 0).astype(np.int64), numbers, rows, "size"),
                kind=kind,
            ).filter(pl.Series(trade))
        ]
        if self.schema == "mbp-1":
            for side, name in ((BID, "bid"), (ASK, "ask")):
                made = common.with_columns(
                    price=self._scaled(data[f"{name}_px_00"], numbers, rows, "price"),
                    size=self._scaled(data[f"{name}_sz_00"].astype(np.int64), numbers, rows, "size"),
                    kind=pl.lit(QUOTE, pl.UInt8),
                    side=pl.lit(side, pl.UInt8),
                    flags=pl.col("flags") & (0xFF if side == ASK else ~LAST & 0xFF),
                )
                parts.append(made.filter(pl.Series(~trade)))
        return pl.concat(parts)

    def _by_order(self, data: Rows, common: pl.DataFrame, numbers: Rows, rows: Rows) -> pl.DataFrame:
        clear = (data["action"] == b"R") | (data["action"] == b"N")
        prices = self._scaled(np.where(clear, 0, data["price"]), numbers, rows, "price")
        sizes = self._scaled(data["size"].astype(np.int64), numbers, rows, "size").tolist()
        kinds = [CLEAR] * data.size
        keep = np.ones(data.size, np.bool_)
        told = zip(data["action"].tolist(), numbers.tolist(), data["order_id"].tolist(), strict=True)
        for row, (action, number, order) in enumerate(told):
            event = self.orders.read(action.decode(), (number, order), sizes[row])
            if event is None:
                keep[row] = False
            else:
                kinds[row], sizes[row] = event
        # The end of a message moves to the last event of it that stays.
        flags = common["flags"].to_numpy().copy()
        before = np.maximum.accumulate(np.where(keep, np.arange(keep.size), -1))
        ended = before[~keep & ((flags & LAST) != 0)]
        flags[ended[ended >= 0]] |= LAST
        return common.with_columns(
            kind=pl.Series(kinds, dtype=pl.UInt8), price=prices, size=pl.Series(sizes, dtype=pl.Int64), flags=flags
        ).filter(pl.Series(keep))
