"""Writing Databento Binary Encoding; `crossbook.convert.dbn` says what survives."""

from __future__ import annotations

import datetime as dt
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from crossbook.convert.events import (
    ASK,
    BID,
    BY_ORDER,
    CLEAR,
    LAST,
    QUOTE,
    SNAPSHOT,
    TRADE,
    Source,
    Written,
    by_order_only,
    count_kinds,
    messages,
    replacing,
    stream,
)
from crossbook.convert.orders import Orders
from crossbook.convert.units import rescale
from crossbook.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from crossbook._core import Instrument, Tape
    from crossbook.capture import Capture
    from crossbook.convert.events import Progress

    Rows = NDArray[Any]

__all__ = ["NANO", "SCHEMAS", "package", "write"]

NANO = "0.000000001"
UNDEFINED = (1 << 63) - 1
"""A price that there is not."""
NO_TIME = (1 << 64) - 1
SCHEMAS = {"mbo": "MBOMsg", "trades": "TradeMsg", "mbp-1": "MBP1Msg"}
"""Schemas and the names of their records."""
# dbn's rust/dbn/src/flags.rs: LAST is bit 7, SNAPSHOT bit 5.
MARKS = {LAST: 128, SNAPSHOT: 32}
SIDES = np.array([b"B", b"A", b"N"])


def package() -> Any:
    """The module ``databento_dbn``. Raises `DataError` that says how to get it."""
    try:
        return import_module("databento_dbn")
    except ImportError as error:
        raise DataError("dbn: expected the package databento-dbn: pip install crossbook[dbn]") from error


class _Encoder:
    """Makes records of one schema from events."""

    def __init__(self, schema: str, instruments: list[Instrument], size_unit: str) -> None:
        self.dbn = package()
        self.schema, self.instruments, self.size_unit = schema, instruments, size_unit
        record = getattr(self.dbn, SCHEMAS[schema])
        action, side = self.dbn.Action.NONE, self.dbn.Side.NONE
        blank = (
            record(0, 0, 0, 0, UNDEFINED, 0, action, side, 0)
            if schema == "mbo"
            else record(0, 0, 0, UNDEFINED, 0, action, side, 0, 0)
        )
        self.template: Rows = np.frombuffer(bytes(blank), dtype=record._dtypes)
        self.orders = Orders(partial=True)
        self.top: dict[int, dict[str, int]] = {}

    def header(self, start: int) -> bytes:
        """The metadata of a file whose first event is of the time `start`."""
        ever = SimpleNamespace(start_date=dt.date(1970, 1, 1), end_date=dt.date(2262, 1, 1))
        mappings = [
            SimpleNamespace(raw_symbol=one.symbol, intervals=[SimpleNamespace(**vars(ever), symbol=str(number))])
            for number, one in enumerate(self.instruments, 1)
        ]
        return bytes(
            self.dbn.Metadata(
                dataset="CROSSBOOK",
                start=start,
                stype_in=self.dbn.SType.RAW_SYMBOL,
                stype_out=self.dbn.SType.INSTRUMENT_ID,
                schema=self.dbn.Schema.from_str(self.schema),
                symbols=[one.symbol for one in self.instruments],
                mappings=mappings,
            )
        )

    def _scaled(self, frame: pl.DataFrame, column: str) -> pl.Series:
        """Prices in 1e-9 or sizes in `size_unit`, each from its instrument's units."""
        out = pl.zeros(frame.height, pl.Int64, eager=True)
        for number in frame["instrument"].unique().to_list():
            one = self.instruments[number]
            unit = one.price_unit if column.endswith("price") else one.size_unit
            rows = (frame["instrument"] == number).arg_true()
            values = frame[column].gather(rows)
            new = NANO if column.endswith("price") else self.size_unit
            scaled = rescale(values, unit, new, lambda _, name=one.name: f"{name} (see size_unit=)")  # type: ignore[misc]
            if not column.endswith("price") and ((scaled < 0) | (scaled >= 1 << 32)).any():
                raise DataError(
                    f"{one.name}: expected a size below 2^32 times {self.size_unit}, which is all that DBN can hold: "
                    f"a larger size_unit="
                )
            out = out.scatter(rows, scaled)
        return out

    def _records(self, frame: pl.DataFrame) -> Rows:
        """Events as records, but for action, price and size."""
        data = np.repeat(self.template, frame.height)
        data["instrument_id"] = frame["instrument"].to_numpy() + 1
        times = frame["ts_event"].to_numpy().astype(np.uint64)
        data["ts_event"] = np.where(times == 0, NO_TIME, times)
        data["ts_recv"] = frame["ts_recv"].to_numpy()
        sequences = frame["sequence"].to_numpy()
        data["sequence"] = np.where(sequences < 1 << 32, sequences, 0)
        flags = frame["flags"].to_numpy()
        for ours, theirs in MARKS.items():
            data["flags"] |= np.where(flags & ours, theirs, 0).astype(np.uint8)
        data["side"] = SIDES[np.minimum(frame["side"].to_numpy(), 2)]
        return data

    def mbo(self, frame: pl.DataFrame) -> bytes:
        """Events by order."""
        columns = frame.select("kind", "instrument", "order_id", "size", "flags").iter_rows()
        told: list[tuple[int, str, int, int]] = []
        for row, (kind, number, order, size, flags) in enumerate(columns):
            actions = self.orders.write(kind, (number, order), size)
            told += [(row, action, amount, flags & ~LAST) for action, amount in actions[:-1]]
            told += [(row, action, amount, flags) for action, amount in actions[-1:]]
        rows, actions_of, sizes, marks = zip(*told, strict=True)
        frame = frame[list(rows)].with_columns(
            size=pl.Series(sizes, dtype=pl.Int64), flags=pl.Series(marks, dtype=pl.UInt8)
        )
        data = self._records(frame)
        data["action"] = np.array(actions_of, "S1")
        data["order_id"] = frame["order_id"].to_numpy()
        clear = data["action"] == b"R"
        data["price"] = np.where(clear, UNDEFINED, self._scaled(frame, "price").to_numpy())
        data["size"] = self._scaled(frame, "size").to_numpy()
        return data.tobytes()

    def trades(self, frame: pl.DataFrame) -> bytes:
        """Trades."""
        data = self._records(frame)
        data["action"] = b"T"
        data["price"] = self._scaled(frame, "price").to_numpy()
        data["size"] = self._scaled(frame, "size").to_numpy()
        return data.tobytes()

    def mbp_1(self, frame: pl.DataFrame) -> bytes:
        """Quotes and trades, each with the quote as it is by then."""
        quote = pl.col("kind") == QUOTE
        sides = {"bid": BID, "ask": ASK}
        parts = []
        for (number,), own in frame.group_by("instrument", maintain_order=True):
            assert isinstance(number, int)
            known = self.top.setdefault(number, {})
            columns = {
                f"{name}_{what}": pl.when(quote & (pl.col("side") == side))
                .then(what)
                .forward_fill()
                .fill_null(known.get(f"{name}_{what}", 0))
                for name, side in sides.items()
                for what in ("price", "size")
            }
            filled = own.with_columns(**columns)
            self.top[number] = filled.select(*columns).row(-1, named=True)
            # A quote is told once, with both its sides.
            parts.append(filled.filter(~quote | pl.col("row").eq(pl.col("row").filter(quote).max().over("message"))))
        frame = pl.concat(parts).sort("row")
        data = self._records(frame)
        trade = frame["kind"].to_numpy() == TRADE
        data["action"] = np.where(trade, b"T", b"M")
        data["side"] = np.where(trade, data["side"], b"N")
        data["price"] = np.where(trade, self._scaled(frame, "price").to_numpy(), UNDEFINED)
        data["size"] = np.where(trade, self._scaled(frame, "size").to_numpy(), 0)
        for name in sides:
            sizes = self._scaled(frame, f"{name}_size").to_numpy()
            prices = self._scaled(frame, f"{name}_price").to_numpy()
            data[f"{name}_px_00"] = np.where(sizes == 0, UNDEFINED, prices)
            data[f"{name}_sz_00"] = sizes
        return data.tobytes()


def write(
    tapes: Capture | Source | Iterable[Tape],
    path: str | Path,
    *,
    schema: Literal["mbo", "trades", "mbp-1"] | None = None,
    size_unit: str = "1",
    overwrite: bool = False,
    progress: Progress = None,
) -> Written:
    """Write tapes as ``mbo`` (by order), ``trades`` or ``mbp-1`` (quotes and trades), compressed for a path in .zst.

    Instruments get the ids 1, 2, … and their symbols in the metadata. A size of DBN is a whole number below 2^32 of
    shares or contracts; `size_unit` says what it is to mean where sizes are fractions, and must be said to `read` too.
    Raises `DataError` for another schema, events by price where ``mbo`` is asked for, and numbers that do not fit.
    """
    if schema not in SCHEMAS:
        raise DataError(f"dbn: schema={schema!r}: expected one of {', '.join(SCHEMAS)}")
    instruments, frames = stream(tapes, progress)
    encoder = _Encoder(schema, instruments, size_unit)
    dbn = encoder.dbn
    fitting = {"mbo": [*BY_ORDER, TRADE, CLEAR], "trades": [TRADE], "mbp-1": [QUOTE, TRADE]}[schema]
    encode = {"mbo": encoder.mbo, "trades": encoder.trades, "mbp-1": encoder.mbp_1}[schema]
    written: dict[str, int] = {}
    left: dict[str, int] = {}
    path = Path(path)
    compression = dbn.Compression.ZSTD if path.suffix == ".zst" else dbn.Compression.NONE
    with replacing(path, overwrite=overwrite) as aside, aside.open("wb") as file:
        begun = False
        out = dbn.Transcoder(file, dbn.Encoding.DBN, compression)
        for frame in messages(frames):
            if schema == "mbo":
                by_order_only(frame, "dbn")
            if not begun:
                out.write(encoder.header(int(frame["ts_recv"][0])))
                begun = True
            fits = pl.col("kind").is_in(fitting)
            count_kinds(frame.filter(fits), written)
            count_kinds(frame.filter(~fits), left)
            own = frame.filter(fits).with_row_index("row")
            if own.height:
                out.write(encode(own))
        if not begun:
            out.write(encoder.header(0))
        out.finish()
    return Written((path,), sum(written.values()), left)
