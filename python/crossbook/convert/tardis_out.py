"""Writing CSV files as tardis.dev offers them; `crossbook.convert.tardis` says what survives."""

from __future__ import annotations

import datetime as dt
import gzip
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import polars as pl

from crossbook.convert.events import (
    ASK,
    BID,
    CLEAR,
    LEVEL,
    QUOTE,
    SNAPSHOT,
    TRADE,
    Source,
    Written,
    count_kinds,
    messages,
    replacing,
    stream,
)
from crossbook.convert.units import texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crossbook._core import Instrument, Tape
    from crossbook.capture import Capture
    from crossbook.convert.events import Progress

__all__ = ["EXCHANGES", "HEADERS", "write"]

# https://docs.tardis.dev/downloadable-csv-files/data-types, sections trades, incremental_book_L2, quotes, book_ticker.
_EVENT = ("exchange", "symbol", "timestamp", "local_timestamp")
_TOP = (*_EVENT, "ask_amount", "ask_price", "bid_price", "bid_amount")
HEADERS: dict[str, tuple[str, ...]] = {
    "trades": (*_EVENT, "id", "side", "price", "amount"),
    "incremental_book_L2": (*_EVENT, "is_snapshot", "side", "price", "amount"),
    "quotes": _TOP,
    "book_ticker": _TOP,
}
"""Columns by data type."""

# https://docs.tardis.dev/historical-data-details
EXCHANGES: dict[str, str] = {
    "binance": "binance-spot",
    "binance-futures": "binance-usdm",
    "binance-delivery": "binance-coinm",
    "binance-us": "binance-us",
    "bitfinex": "bitfinex",
    "bitget-futures": "bitget-futures",
    "bitmex": "bitmex",
    "bitstamp": "bitstamp",
    "bybit": "bybit-linear",
    "bybit-options": "bybit-option",
    "bybit-spot": "bybit-spot",
    "coinbase": "coinbase",
    "cryptofacilities": "kraken-futures",
    "deribit": "deribit",
    "dydx": "dydx",
    "gate-io": "gate",
    "gate-io-futures": "gate-futures",
    "gemini": "gemini",
    "hyperliquid": "hyperliquid",
    "kraken": "kraken",
    "kucoin": "kucoin",
    "okex": "okx",
    "okex-futures": "okx",
    "okex-options": "okx",
    "okex-swap": "okx",
}
"""Venues by Tardis's exchange ids."""


class _Files:
    """The files being written, by data type, instrument and day."""

    def __init__(self, stack: ExitStack, directory: Path, *, overwrite: bool, compress: bool) -> None:
        self.stack, self.directory, self.overwrite, self.compress = stack, directory, overwrite, compress
        self._open: dict[Path, IO[bytes] | gzip.GzipFile] = {}

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(self._open)

    def add(self, rows: pl.DataFrame, data_type: str, instrument: Instrument, exchange: str) -> None:
        """Write rows, which have the column ``day``, to the files of their days."""
        symbol = instrument.symbol.replace("/", "-").replace(":", "-")
        for (day,), part in rows.group_by("day", maintain_order=True):
            assert isinstance(day, dt.date)
            suffix = ".csv.gz" if self.compress else ".csv"
            path = self.directory / f"{exchange}_{data_type}_{day}_{symbol}{suffix}"
            if path not in self._open:
                raw = self.stack.enter_context(replacing(path, overwrite=self.overwrite))
                plain: IO[bytes] = self.stack.enter_context(raw.open("wb"))
                if self.compress:
                    # Without a time in it, the same tape makes the same bytes.
                    zipped = gzip.GzipFile("", "wb", compresslevel=6, fileobj=plain, mtime=0)
                    self.stack.callback(zipped.close)
                    self._open[path] = zipped
                else:
                    self._open[path] = plain
                self._open[path].write((",".join(HEADERS[data_type]) + "\n").encode())
            body = part.select(HEADERS[data_type]).write_csv(include_header=False)
            self._open[path].write(body.encode())


def _rows(events: pl.DataFrame, instrument: Instrument, exchange: str) -> pl.DataFrame:
    """Events with the columns that every data type has."""
    known = pl.when(pl.col("ts_event") == 0).then("ts_recv").otherwise("ts_event")
    return events.with_columns(
        exchange=pl.lit(exchange),
        symbol=pl.lit(instrument.symbol),
        timestamp=known // 1_000,
        local_timestamp=pl.col("ts_recv") // 1_000,
        day=pl.from_epoch("ts_recv", time_unit="ns").dt.date(),
        price=texts(events["price"], instrument.price_unit),
        amount=texts(events["size"], instrument.size_unit),
    )


def _tops(events: pl.DataFrame) -> pl.DataFrame:
    """Quotes with both sides in a row; a side of size 0 is missing."""
    sides = {"bid": BID, "ask": ASK}
    there = {name: (pl.col("side") == code) & (pl.col("size") != 0) for name, code in sides.items()}
    cells = [(name, what) for name in sides for what in ("price", "amount")]
    columns = [pl.col(what).filter(there[name]).last().alias(f"{name}_{what}") for name, what in cells]
    common = pl.col("exchange", "symbol", "timestamp", "local_timestamp", "day").first()
    return events.group_by("message", maintain_order=True).agg(common, *columns)


def write(
    tapes: Capture | Source | Iterable[Tape],
    directory: str | Path,
    *,
    quotes: Literal["book_ticker", "quotes"] = "book_ticker",
    compress: bool = True,
    overwrite: bool = False,
    progress: Progress = None,
) -> Written:
    """Write tapes to a folder, named as Tardis's client names them: ``<exchange>_<type>_<date>_<symbol>.csv.gz``.

    `quotes` says which data type quotes become. The day is that of the receive time in UTC. A ``/`` or ``:`` of a
    symbol becomes ``-`` in a name. Levels, quotes and trades are written; what else there was is counted in
    ``left_out``, but for the `Clear` that a snapshot implies. Raises `DataError` if a file is there already.
    """
    instruments, frames = stream(tapes, progress)
    exchanges = {venue: exchange for exchange, venue in reversed(EXCHANGES.items())}
    snapshot = pl.when(pl.col("flags") & SNAPSHOT != 0).then(pl.lit("true")).otherwise(pl.lit("false"))
    aggressor = pl.col("side").replace_strict({BID: "buy", ASK: "sell"}, default="unknown", return_dtype=pl.String)
    side = pl.col("side").replace_strict({BID: "bid", ASK: "ask"}, default=None, return_dtype=pl.String)
    written: dict[str, int] = {}
    left: dict[str, int] = {}
    with ExitStack() as stack:
        files = _Files(stack, Path(directory), overwrite=overwrite, compress=compress)

        def put(frame: pl.DataFrame) -> None:
            for (index,), events in frame.group_by("instrument", maintain_order=True):
                assert isinstance(index, int)
                instrument = instruments[index]
                exchange = exchanges.get(instrument.venue, instrument.venue)
                of = {kind: events.filter(pl.col("kind") == kind) for kind in (LEVEL, QUOTE, TRADE)}
                fits = pl.col("kind").is_in(list(of))
                implied = (pl.col("kind") == CLEAR) & (pl.col("flags") & SNAPSHOT != 0)
                count_kinds(events.filter(fits), written)
                count_kinds(events.filter(~fits & ~implied), left)
                if of[LEVEL].height:
                    rows = _rows(of[LEVEL], instrument, exchange).with_columns(is_snapshot=snapshot, side=side)
                    files.add(rows, "incremental_book_L2", instrument, exchange)
                if of[TRADE].height:
                    rows = _rows(of[TRADE], instrument, exchange).with_columns(side=aggressor, id=pl.col("sequence"))
                    files.add(rows, "trades", instrument, exchange)
                if of[QUOTE].height:
                    files.add(_tops(_rows(of[QUOTE], instrument, exchange)), quotes, instrument, exchange)

        # A quote is one row of both its sides.
        for frame in messages(frames):
            put(frame)
        paths = files.paths
    return Written(tuple(sorted(paths)), sum(written.values()), left)
