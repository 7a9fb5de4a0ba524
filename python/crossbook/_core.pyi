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
    "CaptureWriter",
    "Instrument",
    "Market",
    "OrderBook",
    "PriceBook",
    "Replay",
    "Session",
    "Table",
    "Tape",
    "__version__",
    "crosses",
    "current_protocol",
    "follow",
    "hy_at",
    "hy_contrast",
    "identify",
    "latencies",
    "list_instruments",
    "listed",
    "protocols",
    "response",
    "survey",
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
    def infer(venue_name: str, symbol: str) -> Instrument:
        """What a venue's symbol alone tells: currencies and contract; units are 1. Raises `InstrumentError`."""
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
        """The venue's own name for it, as its data messages write it."""
    @property
    def unified(self) -> str:
        """Its name in the one naming for all venues: ``BTC-USDT``, ``BTC-USDT-PERP``, ``BTC-USD-241227-60000-C``."""
    @property
    def strike(self) -> str | None:
        """Strike of an option as exact decimal text, in quote currency."""
    @property
    def right(self) -> str | None:
        """``call`` or ``put`` for an option."""
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
class OrderBook:
    """An order book by order (market by order): every order in its queue, without matching.

    Single calls take and give whole numbers of units. The DataFrames have decimals, prices in quote and sizes in base
    currency, if the book was made for an instrument; else units. Changes the book refuses raise `OrderBookError` and
    leave it as it was.
    """

    def __new__(cls, instrument: Instrument | None = None, /) -> OrderBook: ...
    @property
    def instrument(self) -> Instrument | None:
        """What the book was made for."""
    def add(self, order_id: int, side_code: int, price: int, size: int, /) -> None:
        """Add an order at the tail of its price."""
    def modify(self, order_id: int, price: int, size: int, /) -> None:
        """Give an order a price and size: at the same price and no larger it keeps its place, else it goes last."""
    def cancel(self, order_id: int, /) -> tuple[int, int, int]:
        """Take an order out; ``(side, price, size)`` as it was."""
    def execute(self, order_id: int, size: int, /) -> None:
        """Fill an order, in part or whole."""
    def apply(self, tape: Tape, /, *, instrument: int = 0, strict: bool = True) -> int:
        """Apply the events of one instrument of a tape; how many were passed over.

        ``clear``, ``add``, ``modify``, ``cancel``, ``execute`` and ``gap`` count, whatever else does nothing.
        ``strict=False`` passes over events about orders that are not in the book, as a feed has them that begins in the
        middle. Raises `OrderBookError` that names the row of what it refuses; the rows before have been applied.
        """
    @property
    def quote(self) -> tuple[int, int, int, int]:
        """Best bid and ask with their sizes, ``(bid, bid_size, ask, ask_size)``; size 0: no such side."""
    @property
    def is_stale(self) -> bool:
        """Whether a gap has been applied since the last clear."""
    def get(self, order_id: int, /) -> tuple[int, int, int] | None:
        """An order as ``(side, price, size)``; None if it is not in the book."""
    def place(self, order_id: int, /) -> tuple[int, int, int] | None:
        """Where an order stands, ``(orders ahead, size ahead, size of its price)``; None if it is not in the book.

        Walks the queue before it; `crossbook.queue_position` follows an order without.
        """
    def levels(self, n: int | None = None) -> pl.DataFrame:
        """The best `n` levels of each side, or all, best first: ``side, price, size, orders``."""
    def orders(self, side_code: int | None = None) -> pl.DataFrame:
        """Orders in the order in which they trade: ``side, order_id, price, size, orders_ahead, size_ahead``."""
    def clear(self) -> None:
        """Forget all orders."""
    def __len__(self) -> int: ...
    def __contains__(self, order_id: int, /) -> bool: ...

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
    """Captures played back in order of receive time. `crossbook.open` is the comfortable way."""

    def __new__(
        cls,
        sources: Sequence[tuple[Sequence[str | Path], str | None, Sequence[int], bool]],
        instruments: Sequence[Instrument],
        /,
    ) -> Replay:
        """Sources are (files, protocol or None for REST responses, indices of their instruments, whether there are
        others on the connection, to be passed over)."""
    def next_batch(self, rows: int = 65_536, /) -> Tape | None:
        """About `rows` further events; None at the end."""
    def counts(self) -> list[dict[str, Any]]:
        """What each source has given so far of each of its instruments."""
    def gaps(self) -> list[dict[str, Any]]:
        """What was missing so far."""
    def faults(self) -> list[dict[str, Any]]:
        """The faults met so far, the first ten thousand in full."""
    @property
    def fault_count(self) -> int:
        """How many faults there were."""
    @property
    def progress(self) -> tuple[int, int]:
        """Bytes on disk read so far, and in all."""

def identify(path: str | Path, /) -> tuple[str | None, str | None, list[Instrument] | None, bool]:
    """What a capture file holds: its protocol (None: REST responses), the one symbol that its name promises, the
    instruments that it describes itself, whether its frames alone told the protocol. Raises `CaptureError`."""

def survey(paths: Sequence[str | Path], protocol_name: str, /) -> list[Instrument]:
    """The instruments in a connection's files, units from the finest decimals in them. Raises `CaptureError`."""

def listed(path: str | Path, /) -> list[Instrument]:
    """The instruments that the REST responses of a capture file list. Raises `CaptureError`."""

def protocols() -> list[dict[str, Any]]:
    """Every protocol with its facts: the dated table."""

def current_protocol(venue_name: str, /) -> str:
    """The name of the protocol that a venue speaks today. Raises `InstrumentError` for an unknown venue."""

def list_instruments(protocol_name: str, body: bytes, /) -> list[Instrument]:
    """The instruments in the answer to a request for one of a protocol's `instruments_paths`. Raises `DataError`."""

@final
class Session:
    """One connection to one venue, without a socket: frames in, events and commands out. Times are ns since the epoch.

    `indices` chooses the instruments of this connection from the list that its tapes number.
    """

    def __new__(
        cls,
        protocol_name: str,
        instruments: Sequence[Instrument],
        /,
        *,
        indices: Sequence[int] | None = None,
        channels: Sequence[str] | None = None,
        depth: int = 0,
    ) -> Session: ...
    def opened(self, ts_recv: int, /) -> None:
        """The connection was opened: everything is subscribed."""
    def closed(self, ts_recv: int, /) -> None:
        """The connection is lost: a gap for every instrument that had data."""
    def overflowed(self, ts_recv: int, /) -> None:
        """Frames were lost by us after the last ones given here: a gap for every instrument that had data."""
    def tick(self, now: int, /) -> None:
        """Time goes by; call it about once a second. No event depends on it."""
    def frames(self, ts_recv: int, frames: Sequence[bytes], /) -> int:
        """Read frames that came at one time; how many could not be used."""
    def snapshot(self, ts_recv: int, instrument: int, body: bytes, /) -> bool:
        """Read the body of a REST snapshot; whether it could be used."""
    def snapshot_failed(self, instrument: int, /) -> None:
        """A REST snapshot did not come; it is asked for again at the next tick."""
    def snapshot_path(self, instrument: int, /) -> str | None:
        """The path of an instrument's REST snapshot."""
    def commands(self) -> list[tuple[str, Any]]:
        """What is asked for since the last call: ``("send", text)``, ``("fetch", instrument)``,
        ``("reconnect", reason)``."""
    def take(self) -> Tape | None:
        """The events since the last call."""
    @property
    def pending(self) -> int:
        """How many events wait to be taken."""
    def is_synced(self, instrument: int, /) -> bool:
        """Whether an instrument's book can be built from the events so far."""
    def counts(self) -> list[dict[str, Any]]:
        """Per instrument: whether its book is good, our clock at its last message, and its counts."""
    @property
    def totals(self) -> tuple[int, int, int]:
        """Frames read, frames that could not be used, frames without market data."""
    def gaps(self) -> list[dict[str, Any]]:
        """What was missing so far."""
    def faults(self) -> list[str]:
        """The errors of frames since the last call, the newest ten thousand."""

@final
class CaptureWriter:
    """Writes one connection's raw frames to ``.xbc`` files, one an hour. Times are ns since the epoch. Raises
    `CaptureError` where the disk refuses; what was written before stays readable."""

    def __new__(
        cls,
        directory: str | Path,
        venue: str,
        protocol: str,
        connection: str,
        url: str,
        instruments: Sequence[Instrument],
        channels: Sequence[str],
        depth: int,
        now: int,
        *,
        level: int = 1,
        flush_ms: int = 1000,
        max_bytes: int = 0,
    ) -> CaptureWriter: ...
    def frames(self, ts_recv: int, frames: Sequence[bytes], /) -> None:
        """Append frames that were received at one time."""
    def sent(self, ts: int, text: str, /) -> None:
        """Append a frame that was sent."""
    def opened(self, ts: int, url: str, /) -> None:
        """The connection was opened."""
    def closed(self, ts: int, reason: str, /) -> None:
        """The connection was closed."""
    def rest(self, ts: int, url: str, body: bytes, /) -> None:
        """Append a REST response."""
    def lost(self, ts: int, count: int, reason: str, /) -> None:
        """Frames were lost by us."""
    def tick(self, now: int, feed_json: str = "{}", /) -> Path | None:
        """Write what is due and begin a new file at the hour; the path of one that was finished."""
    def finish(self, feed_json: str = "{}", /) -> Path:
        """Write everything and the manifest; the path of the last file."""
    @property
    def path(self) -> Path:
        """The file being written."""
    @property
    def frames_written(self) -> int:
        """Frames appended."""
    @property
    def bytes_raw(self) -> int:
        """Their bytes."""
    @property
    def bytes_written(self) -> int:
        """Bytes of the file being written, on disk."""

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

def follow(tape: Tape, order_id: int, /, *, instrument: int, strict: bool) -> tuple[Table, int]:
    """An order's place over time, and how many events were passed over; `crossbook.queue_position` is comfortable."""

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
