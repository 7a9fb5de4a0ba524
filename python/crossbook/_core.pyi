"""The engine. Prices and sizes are whole numbers of an instrument's units; sides are 0 (bid) and 1 (ask)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, final

import numpy as np
import polars as pl
from numpy.typing import NDArray

__version__: str
DEBUG_BUILD: bool
LATENCY_RUN: int

__all__ = [
    "DEBUG_BUILD",
    "LATENCY_RUN",
    "Instrument",
    "Market",
    "PriceBook",
    "Replay",
    "Table",
    "Tape",
    "__version__",
    "crosses",
    "hy_at",
    "hy_contrast",
    "identify",
    "infer_instrument",
    "latencies",
    "response",
]

class _ArrowStream(Protocol):
    """Anything that offers the Arrow C stream interface: Polars, PyArrow, DuckDB results, and the tables here."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class Instrument:
    """One instrument at one venue, and what one integer of its prices and sizes means."""

    @staticmethod
    def builtin(venue_name: str, symbol: str) -> Instrument | None:
        """The built-in description of a venue's symbol, if any. Raises `InstrumentError` for an unknown venue."""
    @staticmethod
    def from_json(text: str) -> Instrument:
        """Read an instrument from JSON. Raises `DataError` that says which field is wrong."""
    def to_json(self) -> str:
        """The instrument as JSON for `from_json`."""
    @property
    def venue(self) -> str:
        """Full name of the venue, such as ``binance-usdm``."""
    @property
    def alias(self) -> str:
        """Short name of the venue, such as ``usdm``."""
    @property
    def symbol(self) -> str:
        """The venue's own name for it, upper case."""
    @property
    def name(self) -> str:
        """``venue:symbol``."""
    @property
    def contract(self) -> Literal["spot", "linear", "inverse"]:
        """What kind of claim it is."""
    @property
    def base(self) -> str:
        """Base currency."""
    @property
    def quote(self) -> str:
        """Quote currency."""
    @property
    def settle(self) -> str:
        """Settlement currency."""
    @property
    def delivery(self) -> str | None:
        """The date on which it is delivered, as the venue writes it (``241227``); None for spot and perpetuals."""
    @property
    def price_unit(self) -> str:
        """What one integer of price means, as exact decimal text."""
    @property
    def size_unit(self) -> str:
        """What one integer of size means (base currency or contracts), as exact decimal text."""
    @property
    def tick(self) -> str | None:
        """Price step of a new order, if known. Real levels may lie off it."""
    @property
    def lot(self) -> str | None:
        """Size step of a new order, if known. Real levels may lie off it."""
    @property
    def multiplier(self) -> str:
        """Base currency (linear) or quote currency (inverse) of one contract."""
    @property
    def taker_fee_bp(self) -> float:
        """Taker fee of the venue's base tier in bp."""
    def price(self, count: int, /) -> float:
        """A price in quote currency from units."""
    def base_size(self, price: int, size: int, /) -> float:
        """A size in base currency from units, at a price in units (which matters for inverse contracts)."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Table:
    """A table of results; give it to ``polars.DataFrame`` or anything else that reads Arrow streams, without a copy."""

    def __new__(cls, data: _ArrowStream, /) -> Table:
        """A table over columns that share their memory. Raises `DataError` for what is no Arrow stream."""
    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
    def to_polars(self) -> pl.DataFrame:
        """The table as a Polars DataFrame that shares its memory."""
    def __len__(self) -> int: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class Tape:
    """Market-data events in columns, whole numbers of units.

    Columns: ``ts_event, ts_recv`` (ns since the epoch; 0 unknown), ``sequence, order_id, price, size, instrument``
    (index in `instruments`), ``kind`` (0 clear, 1 level, 2 quote, 3 trade, 4 add, 5 modify, 6 cancel, 7 execute,
    8 mark, 9 index, 10 mark_iv, 11 funding, 12 status, 13 gap), ``side`` (0 bid, 1 ask, 2 none; of a trade the
    aggressor's), ``flags`` (1 last of a message, 2 snapshot, 4 ours, 8 trades only, 16 replayed after a snapshot).
    """

    def __new__(cls, data: _ArrowStream, /, instruments: Sequence[Instrument]) -> Tape:
        """A tape over columns that share their memory. Raises `DataError` for a wrong column, kind or index."""
    @staticmethod
    def concat(tapes: Sequence[Tape]) -> Tape:
        """Tapes of the same instruments one after another, without a copy. Raises `DataError`."""
    @property
    def instruments(self) -> list[Instrument]:
        """What the numbers in the column ``instrument`` mean."""
    def filter(self, *, kind: Sequence[str] | None = None, instrument: Sequence[int] | None = None) -> Tape:
        """The events of these kinds (by name) and instruments (by index). Raises `DataError` for an unknown kind."""
    def to_polars(self) -> pl.DataFrame:
        """The columns as a Polars DataFrame that shares their memory."""
    def __len__(self) -> int: ...
    def __getitem__(self, index: slice, /) -> Tape: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class PriceBook:
    """An order book by price (market by price). A quote is ``(bid, bid_size, ask, ask_size)``; size 0: no such side."""

    def __new__(cls) -> PriceBook: ...
    def update(self, side_code: int, price: int, size: int, /) -> tuple[int, int, int, int]:
        """Set the size at a price (0 removes the level) and return the quote. Raises `DataError`."""
    @property
    def quote(self) -> tuple[int, int, int, int]:
        """Best bid and ask with their sizes."""
    @property
    def is_stale(self) -> bool:
        """Whether a gap has been applied since the last clear."""
    def size_at(self, side_code: int, price: int, /) -> int:
        """The size at a price, 0 where there is no level."""
    def depth(self, side_code: int, count: int, /) -> list[tuple[int, int]]:
        """The best `count` levels of a side as ``(price, size)``."""
    def walk(self, side_code: int, size: int, /) -> tuple[int, int, int | None, int, bool]:
        """Take a size from a side: ``(filled, sum of price × size, worst price, levels, known)``.

        ``known`` is false if it went beyond what a snapshot covered: a level nobody told of may lie in between.
        """
    def horizon(self, side_code: int, /) -> int | None:
        """The worst price that a snapshot covered; beyond it depth is unknown. None: no snapshot was seen."""
    def clear(self) -> None:
        """Forget all levels."""
    def update_rows(
        self,
        sides: NDArray[np.uint8],
        prices: NDArray[np.int64],
        sizes: NDArray[np.int64],
        /,
        *,
        levels: int = 1,
        out: Table | None = None,
    ) -> Table:
        """Set level after level and write the top of the book after each row.

        Columns of one length. Returns ``row`` and, for each of `levels` (1 to 1000), ``bid, bid_size, ask, ask_size``
        (with ``_0, _1, …`` if several); missing levels are 0. `out` is a table from an earlier call to write
        again: its memory is reused where nobody else still reads it. Raises `DataError` before anything is applied.
        """
    def apply(
        self,
        tape: Tape,
        /,
        *,
        instrument: int = 0,
        every: str = "message",
        levels: int = 1,
        out: Table | None = None,
    ) -> Table:
        """Apply the events of one instrument of a tape; see `update_rows` for the result.

        `every`: ``message`` writes the top at the end of each exchange message that concerns the book (what a reader
        should see), ``row`` after every event of the instrument.
        """

@final
class Market:
    """Several venues' books of one economic instrument, seen as one."""

    def __new__(cls, instruments: Sequence[Instrument], /, *, bands: Sequence[int] = ...) -> Market:
        """A market of these instruments; depth is measured within `bands` (1, 5, 10) bp of the mid.

        Raises `MarketError`.
        """
    @property
    def instruments(self) -> list[Instrument]:
        """The instruments, in the order in which tapes must number them."""
    def apply(self, tape: Tape, /) -> None:
        """Apply a tape's events."""
    def touch(self, instrument: int, /) -> tuple[int, int, int, int, int] | None:
        """``(bid, bid_size, ask, ask_size, update id)`` by the newest id of quotes and depth; None if unknown."""
    def walk(self, instrument: int, side: int, size: int, /) -> tuple[int, int, int | None, int, bool]:
        """Take a size from a venue's side, beginning at its touch; see `PriceBook.walk`."""
    def take_quotes(self) -> Table:
        """Rows since the last call: one per quote message, and per depth message or loss that moved the touch.

        ``ts_event, ts_recv, sequence, instrument, source`` (0 quote, 1 depth, 2 lost), ``newest`` (1: it is the touch
        from then on), ``bid, bid_size, ask, ask_size`` in units.
        """
    def take_depth(self) -> Table:
        """Rows since the last call, one per depth message: the book's own quote in units, and the depth in base
        currency within each band of its mid as ``bid_1bp … ask_10bp``, NaN where the band reaches beyond what is known.
        """

@final
class Replay:
    """Capture files played back in order of receive time. `crossbook.open` is the comfortable way."""

    def __new__(cls, files: Sequence[tuple[str | Path, Instrument]], /) -> Replay: ...
    def next_batch(self, rows: int = 65_536, /) -> Tape | None:
        """About `rows` further events; None at the end."""
    def counts(self) -> list[dict[str, Any]]:
        """What each file has given so far."""
    def faults(self) -> list[dict[str, Any]]:
        """The faults met so far, the first ten thousand in full."""
    @property
    def fault_count(self) -> int:
        """How many faults there were."""
    @property
    def progress(self) -> tuple[int, int]:
        """Bytes on disk read so far, and in all."""

def identify(path: str | Path, /) -> tuple[str, str]:
    """Venue and symbol of a capture file, from its name or its first frames. Raises `CaptureError`."""

def infer_instrument(path: str | Path, venue_name: str, symbol: str, /) -> Instrument:
    """The instrument of a capture file, units from the finest decimals in all of it. Raises `CaptureError`."""

def crosses(
    ts: NDArray[np.int64],
    instrument: NDArray[np.uint32],
    bid: NDArray[np.int64],
    ask: NDArray[np.int64],
    /,
    *,
    instruments: Sequence[Instrument],
    fees: Sequence[int],
    ladder: Sequence[int],
    pairs: Sequence[tuple[int, int, str, tuple[int, int, int]]],
    perpetual: Sequence[bool],
    funding: Sequence[tuple[int, int, int, int]],
    end: int,
) -> tuple[Table, list[tuple[int, int, int]]]:
    """Crosses over a path of touches; `crossbook.study.crosses` is the comfortable way.

    Fees and ladder in parts per billion; pairs as ``(a, b, fair basis, (window, sample, warm-up) in ns)``; funding as
    ``(ts, instrument, rate in 1e-10, due)``. Returns the crosses (``rung`` -1: the instruments' own fees) and, per
    pair, ``(a, b, ns observed)``. Raises `DataError` or `MarketError`.
    """

def hy_contrast(
    x_times: NDArray[np.int64],
    x_values: NDArray[np.float64],
    y_times: NDArray[np.int64],
    y_values: NDArray[np.float64],
    /,
    *,
    first: int,
    step: int,
    count: int,
    block: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Hayashi-Yoshida contrast by block and lag: ``(matrix [blocks, count], x variance, y variance, block starts)``.

    Times, lags and blocks in ns. `crossbook.study.lead_lag` is the comfortable way. Raises `DataError`.
    """

def hy_at(
    x_times: NDArray[np.int64],
    x_values: NDArray[np.float64],
    y_times: NDArray[np.int64],
    y_values: NDArray[np.float64],
    lags: NDArray[np.int64],
    /,
) -> NDArray[np.float64]:
    """Hayashi-Yoshida contrast at any lags (ns), one merge each. Raises `DataError`."""

def response(
    event_times: NDArray[np.int64],
    signs: NDArray[np.float64],
    times: NDArray[np.int64],
    values: NDArray[np.float64],
    offsets: NDArray[np.int64],
    /,
    *,
    block: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Signed paths of a series around events: ``(sums [blocks, offsets], counts [blocks], events dropped)``.

    `crossbook.study.response` is the comfortable way. Raises `DataError`.
    """

def latencies(
    instruments: Sequence[Instrument], frames: Sequence[tuple[int, int, bytes]], samples: int, /
) -> dict[str, NDArray[np.uint64]]:
    """Time the engine's hot paths: `samples` each in ns, by path; `crossbook.latency.measure` is the comfortable way.

    Frames are ``(instrument, receive ns, JSON)``. A sample of ``book_run`` is `LATENCY_RUN` updates in a row. Raises
    `MarketError`.
    """
