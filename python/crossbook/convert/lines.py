"""Files of lines, gzipped or plain, read in blocks of whole lines: constant memory, and lines have numbers."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import IO, TYPE_CHECKING

import polars as pl

from crossbook._core import Instrument
from crossbook.errors import DataError, InstrumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

__all__ = ["BLOCK", "Counted", "blocks", "guess_instrument"]

BLOCK = 1 << 23
"""Bytes read at a time."""

QUOTES = ("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USD", "EUR", "TRY", "BTC", "ETH", "BNB")


class Counted:
    """An open file of lines that knows how much of it on disk has been read."""

    def __init__(self, path: Path, *, headed: bool = True) -> None:
        self.path = path
        try:
            self._raw = path.open("rb")
        except OSError as error:
            raise DataError(f"{path}: expected a file that can be read: {error}") from error
        self.size = path.stat().st_size
        self._file: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=self._raw) if path.suffix == ".gz" else self._raw
        self.header = ""
        self.line = 1
        if headed:
            self.header = self.read_lines(1).decode("utf-8", "replace").rstrip("\r\n")
            self.line = 2

    @property
    def position(self) -> int:
        """Bytes on disk that have been read."""
        return self._raw.tell()

    def read_lines(self, count: int) -> bytes:
        """The next `count` bytes and what follows of their last line; empty at the end. Raises `DataError`."""
        try:
            return self._file.read(count) + self._file.readline()
        except (OSError, EOFError) as error:
            raise DataError(f"{self.path} line {self.line}: expected the rest of the file: {error}") from error

    def __enter__(self) -> Counted:
        """Give itself, to be closed at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._file.close()
        self._raw.close()


def blocks(file: Counted, columns: Sequence[str], block: int = BLOCK) -> Iterator[tuple[pl.DataFrame, int]]:
    """The lines after the header as texts in columns, with the number of the first line of each block.

    Raises `DataError` for a line with another number of columns.
    """
    schema = dict.fromkeys(columns, pl.String())
    while body := file.read_lines(block):
        if b"\r" in body:
            body = body.replace(b"\r\n", b"\n")
        try:
            rows = pl.read_csv(io.BytesIO(body), has_header=False, schema=schema, quote_char=None)
        except pl.exceptions.PolarsError as error:
            line = _odd(body, len(columns)) + file.line
            raise DataError(
                f"{file.path} line {line}: expected {len(columns)} columns {','.join(columns)}: {error}"
            ) from error
        # A line with too few columns is filled up with nulls in silence.
        if rows[columns[-1]].null_count() and (short := _odd(body, len(columns))) >= 0:
            raise DataError(
                f"{file.path} line {short + file.line}: expected {len(columns)} columns {','.join(columns)}"
            )
        first = file.line
        file.line += body.count(b"\n")
        if rows.height:
            yield rows, first


def _odd(body: bytes, columns: int) -> int:
    """Which line has another number of columns; -1 if none."""
    return next((at for at, line in enumerate(body.splitlines()) if line.count(b",") != columns - 1), -1)


def guess_instrument(venue: str, symbol: str, price_unit: str, size_unit: str) -> Instrument:
    """The instrument that a symbol of Binance names. Raises `InstrumentError` for any other venue or symbol."""
    pair, _, rest = symbol.partition("_")
    quote = next((quote for quote in QUOTES if pair.endswith(quote) and pair != quote), None)
    contract = {"binance-spot": "spot", "binance-usdm": "linear", "binance-coinm": "inverse"}.get(venue)
    if quote is None or contract is None:
        raise InstrumentError(f"{venue}:{symbol}: what it is is not known: expected it in instruments=")
    base = pair.removesuffix(quote)
    about = {"venue": venue, "symbol": symbol, "contract": contract, "base": base, "quote": quote}
    about |= {"price_unit": price_unit, "size_unit": size_unit, "settle": base if contract == "inverse" else quote}
    if contract == "inverse":
        # Binance lists COIN-M contracts of 100 USD for BTC and of 10 USD for everything else.
        about["multiplier"] = "100" if base == "BTC" else "10"
    if rest.isdigit():
        about["delivery"] = rest
    return Instrument.from_json(json.dumps(about))
