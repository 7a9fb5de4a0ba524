"""The engine. Prices and sizes are whole numbers of an instrument's units; sides are 0 (bid) and 1 (ask)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, SupportsFloat, TypeAlias, final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossbook.costs import Cost, State
from crossbook.costs import Number as _Number
from crossbook.crosses import Arbitrage
from crossbook.routing import Constraints

__version__: str
DEBUG_BUILD: bool
LATENCY_RUN: int

__all__ = [
    "DEBUG_BUILD",
    "LATENCY_RUN",
    "CaptureWriter",
    "Concentrated",
    "ConstantProduct",
    "CostSchedule",
    "CrossScan",
    "Cycles",
    "DepthRoute",
    "DepthRouteLeg",
    "DepthRouter",
    "Exchange",
    "Execution",
    "FlowScan",
    "Fsync",
    "HawkesEvents",
    "Instrument",
    "JournalReplay",
    "LiveOrder",
    "Market",
    "MarketQuote",
    "OrderBook",
    "OuTransitions",
    "PriceBook",
    "ProRata",
    "Recovered",
    "Replay",
    "Route",
    "RouteLeg",
    "RouteSwap",
    "Rules",
    "Scale",
    "Session",
    "Swap",
    "Table",
    "Tape",
    "Tier",
    "__version__",
    "crosses",
    "current_protocol",
    "decayed_sums",
    "event_projections",
    "feedback",
    "first_fills",
    "follow",
    "hawkes_simulate",
    "highest_base_fee",
    "hy_at",
    "hy_contrast",
    "hy_peak",
    "hy_steps",
    "identify",
    "kalman_hedge",
    "lagged_moments",
    "latencies",
    "list_instruments",
    "listed",
    "market_cycles",
    "next_base_fee",
    "ou_simulate",
    "place",
    "pool_cycle",
    "pool_tape",
    "projections",
    "protocols",
    "response",
    "route_pools",
    "sqrt_price_at",
    "survey",
    "tick_at",
]

_Side: TypeAlias = Literal["bid", "ask", "buy", "sell", 0, 1]
_OrderType: TypeAlias = Literal[
    "limit", "market", "market_to_limit", "stop", "stop_limit", "trailing_stop", "peg_primary", "peg_mid"
]
_TimeInForce: TypeAlias = Literal["day", "gtc", "gtd", "ioc", "fok", "at_open", "at_close"]
_SelfTrade: TypeAlias = Literal["none", "cancel_newest", "cancel_oldest", "cancel_both", "decrement"]
_PostOnly: TypeAlias = Literal["no", "reject", "slide"]
_State: TypeAlias = Literal["continuous", "pre_open", "halted", "closing", "closed"]
_Fsync: TypeAlias = Literal["always", "never"] | Fsync
_Kind: TypeAlias = Literal[
    "accepted",
    "rejected",
    "trade",
    "modified",
    "cancelled",
    "decremented",
    "triggered",
    "replenished",
    "repriced",
    "state",
    "auction",
]

class _ArrowStream(Protocol):
    """Anything that offers the Arrow C stream interface: Polars, PyArrow, DuckDB results, and the tables here."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

class _ArrowArray(Protocol):
    """Anything that offers the Arrow C array interface: one struct array, a column a field."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...

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

class _Cost(Protocol):
    def affine(self) -> tuple[SupportsFloat, object]: ...

_Fee: TypeAlias = float | _Cost

@final
class Market:
    """Several venues' books of one economic instrument, seen as one."""

    def __new__(
        cls,
        instruments: Sequence[Instrument],
        /,
        *,
        bands: Sequence[int] = ...,
        quote: str | None = None,
        fx: Mapping[str, Instrument | int | str | Decimal] | None = None,
        costs: _Fee | Sequence[_Fee] | Mapping[str, _Fee] | None = None,
        stale_after: float | Sequence[float] | Mapping[str, float] | None = None,
        record: bool = True,
    ) -> Market:
        """A market of up to 64 instruments of one base currency.

        `quote` is the currency of common prices, the first venue's if not given. `fx` says how others become it: an
        instrument of the list (or its index) whose book trades the one for the other, which then is no venue, or a
        fixed rate as decimal text (``{"USD": "1"}`` holds both to be equal). Venues in a currency without a rate are
        left out. `costs` are taker fees in bp, or costs of `crossbook.costs` whose rate is taken, for all, one each or
        by name; the venues' base tiers if not given. A venue is stale if nothing was heard of its quotes or depth for
        `stale_after` seconds of the receive clock (5 if not given, ``math.inf``: never). With `record` rows are kept
        for `take_quotes` and `take_depth`, whose depth is measured within `bands` (1, 5, 10) bp of the mid: take them,
        or they grow. Raises `MarketError`, `DataError`.
        """
    @property
    def instruments(self) -> list[Instrument]:
        """The instruments; indices mean places in this list."""
    @property
    def base_currency(self) -> str:
        """The currency of sizes."""
    @property
    def quote_currency(self) -> str:
        """The currency of common prices."""
    @property
    def price_unit(self) -> str:
        """What one integer of a common price means."""
    @property
    def size_unit(self) -> str:
        """What one integer of a common size means."""
    @property
    def fees_bp(self) -> list[float]:
        """Taker fees by instrument."""
    @property
    def now(self) -> int | None:
        """Receive time of the last event (ns), or what `advance` said since."""
    def apply(self, tapes: Tape | Iterable[Tape], /) -> None:
        """Apply the events of a tape, or of tapes one after another.

        A tape's instruments are found in this market by what they are; events of others are passed over. Raises
        `DataError` if an instrument's units are not the market's.
        """
    def apply_event(
        self,
        instrument: int,
        kind: str,
        side: int | None = None,
        price: int = 0,
        size: int = 0,
        /,
        *,
        ts_recv: int = 0,
        ts_event: int = 0,
        sequence: int = 0,
        order_id: int = 0,
        last: bool = True,
        snapshot: bool = False,
    ) -> None:
        """Apply one event, in units of its instrument; `last` ends a message. Raises `DataError`."""
    def set_pool(
        self,
        instrument: int | str,
        pool: ConstantProduct | Concentrated,
        /,
        *,
        base: int,
        decimals: tuple[int, int],
        ts_recv: int,
        ts_event: int = 0,
        sequence: int = 0,
        step: int | None = None,
        levels: int = 100,
    ) -> None:
        """Take the state of a pool that a spot instrument is: its book is a snapshot of the pool's levels from now on.

        Say so again whenever the pool's state changes; a copy is taken. `base` is the token (0 or 1) of the base
        currency, `decimals` those of tokens 0 and 1, `ts_recv` when the state was received, `ts_event` the time of its
        block (both ns), `sequence` its number. A level is the stretch between two marginal prices `step` price units
        apart (a basis point of the price if not given), at its mean price with the pool's fee, rounded against the
        taker; there are `levels` of them a side at most. `route` asks the pool itself for as long as no event of the
        instrument is newer.
        Raises `PoolError` if the pool cannot be read in the instrument's units, `MarketError`, `DataError`.
        """
    def advance(self, ts_recv: int, /) -> None:
        """Let time go by without an event (ns, receive clock): venues become stale."""
    def path(self, tapes: Tape | Iterable[Tape], /, *, every: Literal["change", "row"] = "change") -> Table:
        """Apply tapes and write the best quote and cross down when they change, or after every row, in common units.

        ``row`` (counted through all tapes), ``ts_recv, bid, bid_size, bid_venues`` (bits by index), ``ask, ask_size,
        ask_venues, state`` (0 normal, 1 locked, 2 crossed, 3 one side, 4 empty), ``buy, sell`` (-1: nothing pays after
        fees), ``edge`` in common price units. A side without a venue has price and size 0. No rows for `take_quotes`.
        """
    def quote(self) -> MarketQuote:
        """The best bid and offer over the venues that count."""
    @property
    def statuses(self) -> list[str]:
        """By instrument: ``live, stale, unsynchronised, halted, empty, no_rate``."""
    def quotes(self) -> pl.DataFrame:
        """A row an instrument: ``instrument, role`` (venue or rate), ``status, source`` (quote or depth), ``age_ms``,
        ``bid, bid_size, ask, ask_size`` in the market's currencies (null unless the venue counts), ``own_bid, own_ask``
        in the venue's, ``fee_bp, at_best_bid, at_best_ask``.
        """
    def book(self, levels: int = 10, /) -> pl.DataFrame:
        """The consolidated book, best first: ``side, level, price, size``, ``base`` and ``quote`` (sums up to here),
        ``known`` (false beyond what is known of every venue), and a column of sizes for each venue by name.
        """
    def depth(self, levels: int | Sequence[int] | None = None, /, *, bands_bp: Sequence[float] = ...) -> pl.DataFrame:
        """What each side holds within `bands_bp` (1, 5, 10) of the mid, or in so many levels.

        ``side, band_bp`` or ``wanted, base, quote`` (null without a mid), ``levels, worst, known``. Raises `DataError`.
        """
    def levels(self, side: int, count: int = 10, /) -> list[tuple[int, int, list[tuple[int, int]], bool]]:
        """Consolidated levels in common units: ``(price, size, [(instrument, size), …], known)``."""
    def touch(self, instrument: int, /) -> tuple[int, int, int, int, int] | None:
        """``(bid, bid_size, ask, ask_size, update id)`` by the newest id of quotes and depth; None if unknown."""
    def walk(self, instrument: int, side: int, size: int, /) -> tuple[int, int, int | None, int, bool]:
        """Take a size from a venue's side, beginning at its touch; see `PriceBook.walk`."""
    def crosses(
        self,
        tapes: Tape | Iterable[Tape],
        /,
        *,
        pairs: Iterable[tuple[str, str]] | None = ...,
        fair_basis: str | None = ...,
        costs: Any = ...,
        depth: bool = ...,
        end: int | None = ...,
    ) -> pl.DataFrame:
        """Every cross between venues with its size and profit; see `crossbook.crosses.crosses`."""
    def arbitrage(
        self,
        tapes: Tape | Iterable[Tape],
        /,
        *,
        capital: Sequence[Any],
        latency_ms: Sequence[float] = ...,
        order_delay_ms: Any = ...,
        view_delay_ms: Any = ...,
        clock_offset_ms: Mapping[str, float] | None = ...,
        pairs: Iterable[tuple[str, str]] | None = ...,
        fair_basis: str | None = ...,
        costs: Any = ...,
        seed: int = ...,
        end: int | None = ...,
    ) -> Arbitrage:
        """What traders of every capital and latency make of the crosses; see `crossbook.crosses.arbitrage`."""
    def cycles(
        self,
        *,
        costs: Any = ...,
        lengths: tuple[int, int] = ...,
        home: Iterable[str] = ...,
        stale_after: float = ...,
    ) -> pl.DataFrame:
        """The cycles over currencies that pay now; see `crossbook.cycles.market_cycles`."""
    def set_costs(self, costs: Mapping[str, Cost], /, state: State) -> None:
        """What trading at these instruments costs a taker from here on, for `route`: fees, gas and whatever else.

        Instruments are named as in `costs` of the market. Costs are folded once, in this state of `crossbook.costs`:
        set them again when gas prices or the volume change. Raises `CostError`, `DataError`.
        """
    def route(
        self,
        side: Literal["buy", "sell", "bid", "ask", 0, 1],
        size: _Number | None = None,
        /,
        *,
        notional: _Number | None = None,
        limit: _Number | None = None,
        constraints: Constraints | None = None,
        partial: bool = False,
        max_nodes: int = 10_000,
    ) -> Route:
        """Split an order over the venues that count now, at the least cost net of taker fees or what `set_costs` said.

        Either a `size` in base currency, or a `notional` in quote currency: as much as it buys, costs included, or as
        sells without bringing more, net of costs. `limit` is the worst price, before costs. As much of the size as can
        be traded comes first, then the least cost. Numbers are exact decimals: a float stands for the decimal that it
        prints as.

        `max_nodes` limits the search; beyond it the route says how far from optimal it is at most. Raises `RouteError`,
        with what can be traded in its `route`, if that is less than was wanted, unless `partial`.
        """
    def take_quotes(self) -> Table:
        """Rows since the last call: one per quote message, and per depth message or loss that moved the touch; a row of
        the book after the quote's where ids of quotes begin anew below the book's.

        ``ts_event, ts_recv, sequence, instrument, source`` (0 quote, 1 depth, 2 lost), ``newest`` (1: it is the touch
        from then on), ``bid, bid_size, ask, ask_size`` in units.
        """
    def take_depth(self) -> Table:
        """Rows since the last call, one per depth message: the book's own quote in units, and the depth in base
        currency within each band of its mid as ``bid_1bp … ask_10bp``, NaN where the band reaches beyond what is known.
        """

@final
class MarketQuote:
    """The best bid and offer over the venues that count: prices without fees, sizes of all venues at the price."""

    @property
    def ts(self) -> int | None:
        """Receive time (ns) of the market when it was asked."""
    @property
    def bid(self) -> float | None:
        """The highest bid in quote currency; None if no venue counts."""
    @property
    def bid_size(self) -> float:
        """Size at it, in base currency."""
    @property
    def bid_venues(self) -> list[int]:
        """The instruments that make it."""
    @property
    def ask(self) -> float | None:
        """The lowest ask in quote currency; None if no venue counts."""
    @property
    def ask_size(self) -> float:
        """Size at it, in base currency."""
    @property
    def ask_venues(self) -> list[int]:
        """The instruments that make it."""
    @property
    def state(self) -> str:
        """``normal``, ``locked`` (bid and ask are equal), ``crossed`` (the bid is above), ``one_sided``, ``empty``."""
    @property
    def mid(self) -> float | None:
        """The middle of bid and ask."""
    @property
    def microprice(self) -> float | None:
        """Bid and ask weighted by the size of the other side."""
    @property
    def cross(self) -> tuple[int, int, float] | None:
        """The best trade that pays after taker fees: ``(buy at, sell at, edge)``, the edge per base currency."""
    @property
    def counts(self) -> tuple[int | None, int, int | None, int]:
        """``(bid, bid_size, ask, ask_size)`` in common units, exact."""

@final
class Tier:
    """Fees in parts per billion of price × size: of the resting order, of the aggressor, of both in an auction.

    A negative rate is a rebate.
    """

    def __new__(cls, maker: int = 0, taker: int = 0, auction: int = 0) -> Tier: ...
    @property
    def maker(self) -> int:
        """Of the resting order."""
    @property
    def taker(self) -> int:
        """Of the aggressor."""
    @property
    def auction(self) -> int:
        """Of both sides of an auction."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class ProRata:
    """At one price orders trade in proportion to their displayed sizes; see *Priority rules* in docs/exchange.md."""

    def __new__(cls, *, top_order: bool = False, top_max: int = 0, min_allocation: int = 0) -> ProRata: ...
    @property
    def top_order(self) -> bool:
        """Whether the order that set the price goes first."""
    @property
    def top_max(self) -> int:
        """At most so much of it, 0: all."""
    @property
    def min_allocation(self) -> int:
        """Shares below this become 0."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Rules:
    """The rules of an exchange, in units of its instrument; docs/exchange.md says what they mean."""

    def __new__(
        cls,
        *,
        tick: int = 1,
        lot: int = 1,
        min_size: int = 1,
        max_size: int = 9007199254740992,
        max_notional: int | None = None,
        collar: int | None = None,
        band: int | None = None,
        halt_for: int = 0,
        reference: int | None = None,
        priority: Literal["price_time"] | ProRata = "price_time",
        state: _State = "continuous",
        accounts: Mapping[int, int] | None = None,
        tiers: Sequence[Tier] = (),
        rate: int = 0,
        rate_window: int = 1000000000,
    ) -> Rules:
        """`accounts`: who may trade, with the index of its tier (none: everybody, at the first tier); times in ns.

        Raises `DataError` that names the rule, its value and what was expected, or `TypeError`.
        """
    @property
    def tick(self) -> int:
        """Prices are multiples of this."""
    @property
    def lot(self) -> int:
        """Sizes are multiples of this."""
    @property
    def min_size(self) -> int:
        """The least size of an order."""
    @property
    def max_size(self) -> int:
        """The greatest size of an order."""
    @property
    def max_notional(self) -> int | None:
        """The greatest price × size of an order."""
    @property
    def collar(self) -> int | None:
        """How far a limit may lie beyond the last trade, or the reference price, and how far a market order may go."""
    @property
    def band(self) -> int | None:
        """How far from the reference price a trade may lie before the exchange halts."""
    @property
    def halt_for(self) -> int:
        """How long such a halt lasts, in ns; 0: until told."""
    @property
    def reference(self) -> int | None:
        """Where auctions, bands and collars begin."""
    @property
    def priority(self) -> Literal["price_time"] | ProRata:
        """Who trades first at one price."""
    @property
    def state(self) -> _State:
        """The state at the beginning."""
    @property
    def accounts(self) -> dict[int, int]:
        """Accounts that may trade, each with the index of its tier. Empty: everybody."""
    @property
    def tiers(self) -> list[Tier]:
        """Fees. Empty: none."""
    @property
    def rate(self) -> int:
        """Commands of one account in one window; 0: any number."""
    @property
    def rate_window(self) -> int:
        """The window's length in ns."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class Execution:
    """What an exchange says. Attributes are None where there is nothing to say; docs/exchange.md has the table."""

    @property
    def sequence(self) -> int:
        """The number of the command that caused it, from 1."""
    @property
    def kind(self) -> _Kind:
        """What happened."""
    @property
    def reason(self) -> str | None:
        """Why a command was rejected or an order cancelled."""
    @property
    def order_id(self) -> int | None:
        """The order; of a trade the aggressor's, in an auction the buyer's."""
    @property
    def counter_id(self) -> int | None:
        """The resting order of a trade, in an auction the seller's."""
    @property
    def account(self) -> int:
        """The order's account; 0 is nobody in particular."""
    @property
    def counter_account(self) -> int | None:
        """The resting order's account."""
    @property
    def side(self) -> Literal["bid", "ask"] | None:
        """The order's side."""
    @property
    def price(self) -> int | None:
        """In units."""
    @property
    def size(self) -> int | None:
        """Traded, entered, taken out, by kind; in units."""
    @property
    def remaining(self) -> int | None:
        """What the order has left open; of an auction demand less supply."""
    @property
    def fee(self) -> int | None:
        """Of a trade, the order's fee in price unit × size unit; negative is a rebate."""
    @property
    def counter_fee(self) -> int | None:
        """Of a trade, the resting order's fee."""
    @property
    def state(self) -> _State | None:
        """The new state, where it changed."""
    def as_dict(self) -> dict[str, Any]:
        """The attributes by name, in the order of the columns of `Exchange.run`."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class LiveOrder:
    """A live order as it is when asked for."""

    @property
    def order_id(self) -> int:
        """Its id."""
    @property
    def account(self) -> int:
        """Whose."""
    @property
    def side(self) -> Literal["bid", "ask"]:
        """Its side."""
    @property
    def price(self) -> int | None:
        """Where it rests; outside the book its limit, if it has one."""
    @property
    def shown(self) -> int:
        """What it shows."""
    @property
    def open(self) -> int:
        """What it would trade."""
    @property
    def order_type(self) -> _OrderType:
        """How it is priced."""
    @property
    def time_in_force(self) -> _TimeInForce:
        """How long it lives."""
    @property
    def trigger(self) -> int | None:
        """Stop price or peg offset."""
    @property
    def link(self) -> int | None:
        """Its alternative."""
    @property
    def rests(self) -> bool:
        """Whether it stands in the book."""
    def as_dict(self) -> dict[str, Any]:
        """The attributes by name."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Exchange:
    """A venue that you can run: one instrument, commands in, executions out. docs/exchange.md has its rules, exactly.

    Prices and sizes are whole numbers of units. Sides are ``bid`` or ``buy`` (`BID`), ``ask`` or ``sell`` (`ASK`).
    Calls return the executions that they caused, in order; what the exchange refuses is an execution of kind
    ``rejected``, not an exception. What is no command at all (an unknown name, a number beyond 64 bits, a string for a
    price) raises `DataError` or `TypeError` and changes nothing. Threads may share an exchange.

    With a journal every command is on file before it is carried out: what a call returned for is there when the process
    dies, and under ``fsync="always"`` also when the machine does. Copies and pickles are in memory, without journal.
    """

    def __new__(
        cls,
        instrument: Instrument | None = None,
        rules: Rules | None = None,
        *,
        journal: str | PathLike[str] | None = None,
        fsync: _Fsync = "always",
        **keywords: Any,
    ) -> Exchange:
        """An exchange without orders; `keywords` are those of `Rules`, instead of `rules`.

        Tick and lot of an instrument that has them hold, in its units; a rule that says otherwise is an error.
        `journal` is a file that is not there yet; one that is, is gone on with by `open`. Raises `JournalError`.
        """
    @classmethod
    def open(
        cls, path: str | PathLike[str], *, fsync: _Fsync = "always", instrument: Instrument | None = None
    ) -> Exchange:
        """The exchange that a journal leads to, from its checkpoint and the commands behind; the journal goes on.

        A torn tail, as a crash leaves it, is cut off; `recovered` tells, and so does the log of ``crossbook.exchange``.
        Raises `JournalError` if the journal is damaged before its end, and changes nothing then.
        """
    @classmethod
    def restore(cls, snapshot: bytes, /, *, instrument: Instrument | None = None) -> Exchange:
        """The exchange, in memory, of which this is the `snapshot`; raises `SnapshotError`.

        An instrument must have the tick and lot of the snapshot's rules, else `DataError`.
        """
    def snapshot(self) -> bytes:
        """Everything that matters for what it will do; the same state gives the same bytes."""
    def checkpoint(self) -> None:
        """Store a snapshot in ``<journal>.snapshot``, whole or not at all, so that `open` starts from here."""
    def sync(self) -> None:
        """Wait until the disk has every command."""
    def close(self) -> None:
        """Sync, unless `fsync` is ``"never"``, and let go of the journal; the exchange can still be looked at.

        Without a journal it does nothing. The exchange is a context manager that closes.
        """
    def __enter__(self) -> Exchange: ...
    def __exit__(self, kind: object, error: object, traceback: object, /) -> None: ...
    @property
    def journal(self) -> Path | None:
        """Its journal, if it has one."""
    @property
    def recovered(self) -> Recovered | None:
        """What `open` found."""
    def submit(
        self,
        order_id: int,
        side: _Side,
        size: int,
        price: int | None = None,
        *,
        order_type: _OrderType = "limit",
        time_in_force: _TimeInForce = "day",
        account: int = 0,
        trigger: int | None = None,
        display: int | None = None,
        expires: int | None = None,
        link: int = 0,
        self_trade: _SelfTrade = "none",
        post_only: _PostOnly = "no",
        ts: int | None = None,
    ) -> list[Execution]:
        """A new order. `ts`, `expires` in ns; without `ts` it happens at the exchange's clock."""
    def cancel(self, order_id: int, *, account: int = 0, ts: int | None = None) -> list[Execution]:
        """Take an order out; with an account, only if it is that account's."""
    def modify(
        self,
        order_id: int,
        price: int | None = None,
        size: int | None = None,
        *,
        trigger: int | None = None,
        display: int | None = None,
        account: int = 0,
        ts: int | None = None,
    ) -> list[Execution]:
        """Change a live order; None: as it is. `size` is the new open size. A decrease of it alone keeps the place."""
    def replace(
        self,
        order_id: int,
        price: int | None = None,
        size: int | None = None,
        *,
        trigger: int | None = None,
        display: int | None = None,
        account: int = 0,
        ts: int | None = None,
    ) -> list[Execution]:
        """As `modify`, but the order always loses its place."""
    def set_quote(
        self,
        account: int,
        bid: tuple[int, int, int],
        ask: tuple[int, int, int],
        *,
        time_in_force: _TimeInForce = "gtc",
        expires: int | None = None,
        self_trade: _SelfTrade = "none",
        post_only: _PostOnly = "no",
        ts: int | None = None,
    ) -> list[Execution]:
        """A two-sided quote, each side ``(id, price, size)``; it replaces what stands under these ids, size 0 pulls."""
    def mass_quote(
        self,
        account: int,
        quotes: Sequence[tuple[tuple[int, int, int], tuple[int, int, int]]],
        *,
        time_in_force: _TimeInForce = "gtc",
        expires: int | None = None,
        self_trade: _SelfTrade = "none",
        post_only: _PostOnly = "no",
        ts: int | None = None,
    ) -> list[Execution]:
        """Several two-sided quotes ``(bid, ask)``: one command each, numbered one after another, with no other command
        in between. One that is refused does not stop the others."""
    def mass_cancel(self, account: int = 0, side: _Side | None = None, *, ts: int | None = None) -> list[Execution]:
        """Cancel all orders of an account (0: of everybody), of one side if it is named."""
    def set_state(self, state: _State, *, ts: int | None = None) -> list[Execution]:
        """Move to another state: the auction that this means happens first."""
    def kill(self, account: int = 0, *, ts: int | None = None) -> list[Execution]:
        """Cancel all orders of an account (0: of everybody) and let no new ones in, until revived."""
    def revive(self, account: int = 0, *, ts: int | None = None) -> list[Execution]:
        """End a kill."""
    def set_clock(self, ts: int) -> list[Execution]:
        """Let the clock run to a time in ns, and happen what is due."""
    def run(
        self,
        commands: _ArrowStream | _ArrowArray,
        /,
        *,
        progress: Callable[[int, int], object] | None = None,
        decimals: bool = False,
        first_row: int = 0,
    ) -> pl.DataFrame:
        """Apply commands in columns, a row each; returns the executions in columns named as in `Execution`.

        Columns (all optional): ``action`` (new, cancel, modify, replace, quote, mass_cancel, state, kill, revive,
        clock), ``order_id, side, price, size, order_type, time_in_force, account, ts, trigger, display, expires, link,
        self_trade, post_only, state, one_side``. An absent column and a null mean the default of `submit`. Of a
        ``quote`` the bid is ``order_id, price, size``, the ask ``link, trigger, display``. Numbers may be integers of
        any width (times Datetime("ns") as well); names may be strings, Categorical, Enum, or integers: codes in the
        order in which the names stand in the columns' Enums and in docs (side 0 bid, 1 ask). ``one_side`` is boolean.

        Columns are read where they lie; those of the result are handed over without a copy, names as Enums of one
        byte a row. Everything is checked before the first command is applied: `DataError` names column and row. The
        GIL is released. After every 65,536 commands `progress` is called with how many are done and how many there
        are, and Ctrl-C is honoured: what was done stays done, its executions are lost. Commands of other threads may
        come in there, too. With a journal these commands are written, and waited for, at once before they are applied;
        on `JournalError` those of the chunks before are done. `decimals`: prices, sizes and fees in decimals of the
        units of the instrument instead of whole numbers of them. `first_row`: what errors call the first row, where
        the columns are part of more.
        """
    def book(self, *, decimals: bool = False) -> pl.DataFrame:
        """Displayed levels, bids from the best, then asks from the best: ``side, price, size, orders``."""
    def orders(self, *, decimals: bool = False) -> pl.DataFrame:
        """Every live order: bids in the order in which they trade, asks likewise, then what waits outside the book.

        ``order_id, account, side, price, shown, open, order_type, time_in_force, trigger, link, rests, orders_ahead,
        size_ahead``; the last two are the place in the queue of its price, null outside the book.
        """
    def order(self, order_id: int, /) -> LiveOrder | None:
        """A live order."""
    def place(self, order_id: int, /) -> tuple[int, int, int] | None:
        """``(orders ahead, their size, displayed size of the level)`` of an order in the book."""
    def indicative(self) -> tuple[int, int, int] | None:
        """What an auction would give now: ``(price, volume, demand less supply)``; None outside call phases."""
    @property
    def quote(self) -> tuple[int, int, int, int]:
        """Best displayed bid and ask: ``(bid, bid_size, ask, ask_size)``; size 0: no such side."""
    @property
    def state(self) -> _State:
        """What it does at present."""
    @property
    def sequence(self) -> int:
        """The number of the last command."""
    @property
    def clock(self) -> int | None:
        """The latest time that a command bore, in ns."""
    @property
    def last(self) -> int | None:
        """The price of the last trade."""
    @property
    def reference(self) -> int | None:
        """The reference price of auctions and bands."""
    @property
    def rules(self) -> Rules:
        """Its rules, with the steps of its instrument."""
    @property
    def instrument(self) -> Instrument | None:
        """Its instrument."""
    def __len__(self) -> int:
        """Live orders, in the book and outside."""
    def __bool__(self) -> bool:
        """Always true: an exchange is there, also without orders."""

@final
class Fsync:
    """Wait for the disk after so many commands or so many milliseconds, whichever comes first, in the call that finds
    it due. What is not waited for yet survives the process, not the machine."""

    def __new__(cls, *, commands: int, ms: int) -> Fsync: ...
    @property
    def commands(self) -> int:
        """So many commands, 1 or more."""
    @property
    def ms(self) -> int:
        """So many milliseconds."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Recovered:
    """What was found when a journal was read."""

    @property
    def commands(self) -> int:
        """Commands in the journal."""
    @property
    def replayed(self) -> int:
        """Of these, carried out: those that the checkpoint did not cover."""
    @property
    def snapshot(self) -> int | None:
        """The commands that the checkpoint covered, if there was a valid one."""
    @property
    def dropped_bytes(self) -> int:
        """Length of the torn tail."""
    @property
    def message(self) -> str | None:
        """What is worth telling: a torn tail, a checkpoint that could not be used."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...

@final
class JournalReplay:
    """A journal read again from its first command, batch by batch; nothing on disk changes. Iterating gives the
    executions, as `Exchange.run` does, of 65,536 commands at a time."""

    def __new__(
        cls, path: str | PathLike[str], *, instrument: Instrument | None = None, decimals: bool = False
    ) -> JournalReplay:
        """Raises `JournalError` if it is no journal; `decimals` need the instrument."""
    def __iter__(self) -> JournalReplay: ...
    def __next__(self) -> pl.DataFrame: ...
    def next_batch(self, rows: int = 65_536, /) -> pl.DataFrame | None:
        """The executions of so many further commands; None at the end.

        Raises `JournalError` where the journal is damaged, behind the executions of all that is before.
        """
    @property
    def exchange(self) -> Exchange:
        """The exchange as it is after what was read, in memory."""
    @property
    def recovered(self) -> Recovered:
        """What was read so far; at the end also the torn tail."""

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

class _Rational(Protocol):
    """A number that says which fraction it is: int, float, Fraction, Decimal."""

    def as_integer_ratio(self) -> tuple[int, int]: ...

_Price: TypeAlias = _Rational

@final
class Scale:
    """How raw amounts of a pool read as a book's prices and sizes."""

    def __new__(cls, *, base: int, decimals: tuple[int, int], price_unit: str, size_unit: str) -> Self:
        """Say which token is the base, the decimals of tokens 0 and 1, and the units. Raises `PoolError`."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class Swap:
    """What a swap of concentrated liquidity moves and where it leaves the pool."""

    @property
    def amount_in(self) -> int:
        """Paid in, fee included."""
    @property
    def amount_out(self) -> int:
        """Came out."""
    @property
    def fee(self) -> int:
        """The fee, part of ``amount_in``."""
    @property
    def sqrt_price(self) -> int:
        """Square-root price after, Q64.96."""
    @property
    def tick(self) -> int:
        """Tick after."""
    @property
    def liquidity(self) -> int:
        """Liquidity in range after."""
    @property
    def steps(self) -> int:
        """Steps taken: initialised ticks and ends of the contract's bitmap words."""
    @property
    def crossed(self) -> int:
        """Initialised ticks crossed."""
    @property
    def is_filled(self) -> bool:
        """Whether all of the amount was traded; if not, the price is at the limit."""

@final
class ConstantProduct:
    """A constant-product pool: Uniswap v2, integer for integer."""

    def __new__(cls, reserve_0: int, reserve_1: int, /, *, fee: tuple[int, int] = ...) -> Self:
        """Make a pool of raw reserves from 1 to 2^112 - 1; `fee` is parts of a whole, (3, 1000) if not given."""
    @property
    def reserves(self) -> tuple[int, int]:
        """Reserves of token 0 and token 1."""
    @property
    def fee(self) -> tuple[int, int]:
        """Parts of a whole."""
    def quote_in(self, token_in: int, amount: int, /) -> int:
        """What paying in so much of a token gives of the other; the pool stays as it is. Raises `PoolError`."""
    def quote_out(self, token_in: int, amount: int, /) -> int:
        """What getting so much of the other token costs of `token_in`; the pool stays as it is. Raises `PoolError`."""
    def swap_in(self, token_in: int, amount: int, /) -> int:
        """Pay in so much of a token; gives what comes out. Raises `PoolError`, and then nothing changed."""
    def swap_out(self, token_in: int, amount: int, /) -> int:
        """Take out so much of the other token; gives what it cost of `token_in`. Raises `PoolError`."""
    def to_price(self, token_in: int, limit: _Price, /) -> tuple[int, int]:
        """Find the largest trade of which every part is at `limit` or better after the fee: paid in, came out.

        The limit is a price of token 0 in token 1, raw over raw. (0, 0) if the pool's price is worse already.
        """
    def arbitrage(self, outside: _Price, /) -> tuple[int, int, int, float] | None:
        """Find the best trade against an outside price: token in, paid, got, profit in token 1; None without any."""
    @property
    def mid(self) -> float:
        """Price of token 0 in token 1 between the quotes, raw over raw."""
    def marginal_price(self, token_in: int, /) -> float:
        """Price of token 0 in token 1 of the next small trade, after the fee."""
    def quote(self, scale: Scale, /, *, step: int = 1) -> tuple[int, int, int, int]:
        """Bid, its size, ask, its size in the scale's units, of the first level at `step`; size 0 if there is none."""
    def levels(self, scale: Scale, /, *, n: int = 10, step: int = 1) -> pl.DataFrame:
        """Read the pool like a book: ``side, price, size, end`` of `n` levels a side, best first, in decimals.

        Each level ends at a multiple of `step` price units (``end``, the marginal price there); ``price`` is the mean
        within, fee included, rounded against the taker, ``size`` rounded down.
        """
    def size_at_marginal(self, side_code: int, limit: int, scale: Scale, /) -> int:
        """Size that trades on a side until the marginal price after the fee is `limit`, in units, rounded down."""
    def copy(self) -> Self:
        """Give a pool of its own in the same state."""
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: object, /) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class Concentrated:
    """A pool of concentrated liquidity: Uniswap v3, integer for integer."""

    def __new__(
        cls,
        sqrt_price: int,
        /,
        *,
        spacing: int = 60,
        fee: int = 3_000,
        tick: int | None = None,
        ticks: Sequence[tuple[int, int, int]] = ...,
    ) -> Self:
        """Make a pool at a square-root price (Q64.96) with a fee in parts per million.

        `ticks` are initialised ticks in rising order as a chain tells them: index, net liquidity, gross liquidity.
        `tick` is the pool's own, that of its price unless a falling swap stopped at it. Raises `PoolError`.
        """
    @property
    def sqrt_price(self) -> int:
        """Square-root price, Q64.96."""
    @property
    def tick(self) -> int:
        """The pool's tick."""
    @property
    def liquidity(self) -> int:
        """Liquidity in range."""
    @property
    def spacing(self) -> int:
        """Tick spacing."""
    @property
    def fee(self) -> int:
        """Fee in parts per million."""
    @property
    def ticks(self) -> list[tuple[int, int, int]]:
        """Initialised ticks: index, net liquidity, gross liquidity."""
    def mint(self, lower: int, upper: int, liquidity: int, /) -> tuple[int, int]:
        """Add liquidity to a range of ticks; gives what it costs of both tokens, rounded up. Raises `PoolError`."""
    def burn(self, lower: int, upper: int, liquidity: int, /) -> tuple[int, int]:
        """Take liquidity out of a range; gives what it brings of both tokens, rounded down. Raises `PoolError`."""
    def swap(
        self, token_in: int, /, *, amount_in: int | None = None, amount_out: int | None = None, limit: int | None = None
    ) -> Swap:
        """Swap until the amount is traded or the square-root price is at `limit`. Raises `PoolError`."""
    def quote_swap(
        self, token_in: int, /, *, amount_in: int | None = None, amount_out: int | None = None, limit: int | None = None
    ) -> Swap:
        """What `swap` would do; the pool stays as it is. Raises `PoolError`."""
    def quote_in(self, token_in: int, amount: int, /) -> int:
        """What paying in so much of a token gives of the other; the pool stays as it is. Raises `PoolError`."""
    def quote_out(self, token_in: int, amount: int, /) -> int:
        """What getting so much of the other token costs of `token_in`; the pool stays as it is. Raises `PoolError`."""
    def swap_in(self, token_in: int, amount: int, /) -> int:
        """Pay in so much of a token; gives what comes out. Raises `PoolError`, and then nothing changed."""
    def swap_out(self, token_in: int, amount: int, /) -> int:
        """Take out so much of the other token; gives what it cost of `token_in`. Raises `PoolError`."""
    def to_price(self, token_in: int, limit: _Price, /) -> tuple[int, int]:
        """Find the largest trade of which every part is at `limit` or better after the fee: paid in, came out.

        The limit is a price of token 0 in token 1, raw over raw. (0, 0) if the pool's price is worse already.
        """
    def arbitrage(self, outside: _Price, /) -> tuple[int, int, int, float] | None:
        """Find the best trade against an outside price: token in, paid, got, profit in token 1; None without any."""
    @property
    def mid(self) -> float:
        """Price of token 0 in token 1 between the quotes, raw over raw."""
    def marginal_price(self, token_in: int, /) -> float:
        """Price of token 0 in token 1 of the next small trade, after the fee."""
    def quote(self, scale: Scale, /, *, step: int = 1) -> tuple[int, int, int, int]:
        """Bid, its size, ask, its size in the scale's units, of the first level at `step`; size 0 if there is none."""
    def levels(self, scale: Scale, /, *, n: int = 10, step: int = 1) -> pl.DataFrame:
        """Read the pool like a book: ``side, price, size, end`` of `n` levels a side, best first, in decimals.

        Each level ends at a multiple of `step` price units (``end``, the marginal price there); ``price`` is the mean
        within, fee included, rounded against the taker, ``size`` rounded down.
        """
    def size_at_marginal(self, side_code: int, limit: int, scale: Scale, /) -> int:
        """Size that trades on a side until the marginal price after the fee is `limit`, in units, rounded down."""
    def copy(self) -> Self:
        """Give a pool of its own in the same state."""
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: object, /) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

def sqrt_price_at(tick: int, /) -> int:
    """Square-root price of a tick, Q64.96. Raises `PoolError` out of range."""

def tick_at(sqrt_price: int, /) -> int:
    """Tick of a square-root price. Raises `PoolError` out of range."""

def pool_cycle(
    legs: Sequence[tuple[ConstantProduct, int]], /
) -> tuple[float, float, list[tuple[int, int]], int] | None:
    """Best trade around a cycle: input, profit, whole amounts in and out by pool, whole profit."""

def pool_tape(
    instrument: Instrument,
    states: Sequence[tuple[ConstantProduct | Concentrated, int, int, int]],
    /,
    *,
    base: int,
    decimals: tuple[int, int],
    step: int | None = None,
    levels: int = 100,
) -> Tape:
    """See `crossbook.pools.tape`; a state is a pool, ``ts_recv``, ``ts_event`` and a sequence."""

def route_pools(
    tokens: int,
    pools: Sequence[tuple[ConstantProduct | Concentrated, int, int]],
    values: Sequence[float],
    holdings: Sequence[int],
    /,
) -> tuple[list[tuple[int, int, int, int]], list[tuple[int, int]], float, float, list[float], int]:
    """Best trades with a network: trades, net by token as gained and spent, value, bound, prices, steps."""

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

_PlanLeg: TypeAlias = tuple[int, bool, int, int, int, int, int, int]
_Plan: TypeAlias = tuple[int, int, list[_PlanLeg]]

@final
class Cycles:
    """Cycles over currencies; `crossbook.Cycles` makes it comfortable.

    Fees in parts per billion, times in ns. A plan is ``(spent, received, trades)`` and a trade ``(instrument, bought,
    size, worst price, paid, brought, fee, left over)``, amounts in 1e-18.
    """

    def __new__(
        cls,
        instruments: Sequence[Instrument],
        /,
        *,
        fees: Sequence[int],
        shortest: int,
        longest: int,
        home: Sequence[str],
        stale_after: int,
    ) -> Cycles:
        """Raises `MarketError`."""
    @property
    def instruments(self) -> list[Instrument]:
        """The instruments."""
    def apply(self, tape: Tape, /) -> None:
        """Apply a tape."""
    def finish(self, ts: int, /) -> None:
        """End the data."""
    def take(self) -> list[tuple[int, int, int, bool, float, int, _Plan | None, _Plan | None]]:
        """Intervals: cycle, start, end, censored, best edge in bp and when, worth at the start and then."""
    def paying(self) -> list[tuple[int, float, _Plan | None]]:
        """The cycles that pay now: cycle, edge in bp, worth."""
    def any(self) -> bool:
        """Whether any cycle of any length pays."""
    def legs(self, cycle: int, /) -> list[tuple[int, bool]]:
        """Instruments and whether each is bought. Raises `DataError`."""
    @property
    def now(self) -> int | None:
        """The time of the last event."""
    def __len__(self) -> int: ...

def market_cycles(
    market: Market,
    /,
    *,
    fees: Sequence[int],
    shortest: int,
    longest: int,
    home: Sequence[str],
    stale_after: int,
) -> list[tuple[list[tuple[int, bool]], float, _Plan | None]]:
    """The cycles that pay at a market's books: legs, edge in bp, worth; see `Cycles`. Raises `MarketError`."""

@final
class CrossScan:
    """Crosses with their depth, and traders; `crossbook.crosses` makes it comfortable.

    Fees in parts per billion, fixed costs and capitals in 1e-18 of the quote currency, times in ns.
    """

    def __new__(
        cls,
        market: Market,
        /,
        *,
        pairs: Sequence[tuple[int, int, str, tuple[int, int, int]]],
        perpetual: Sequence[bool],
        fees: Sequence[int] | None,
        fixed: Sequence[int],
        begin: int,
        depth: bool,
        traders: tuple[
            Sequence[int | Sequence[tuple[int, int]]],
            Sequence[int],
            Sequence[tuple[Sequence[int], int]],
            Sequence[int],
            Sequence[int],
        ]
        | None,
    ) -> CrossScan:
        """Raises `MarketError`, `DataError`."""
    @property
    def size_unit(self) -> str:
        """What one integer of a size means, in base currency."""
    def apply(self, tape: Tape, /) -> None:
        """Apply a tape whose events are seen as they happen."""
    def run(self, tapes: Sequence[Tape], happened: NDArray[np.int64], seen: NDArray[np.int64], /) -> None:
        """Apply tapes whose events happen and are seen at times of their own."""
    def finish(self, ts: int, /) -> None:
        """End the data. Raises `MarketError` if a sum did not fit."""
    def take(self) -> Table:
        """The crosses found so far: sizes in common units, money in decimals."""
    def results(self) -> Table:
        """A row a trader."""
    def holdings(self) -> Table:
        """A row a trader and instrument."""
    def observed(self) -> list[tuple[int, int, int]]:
        """For each pair the ns in which both touches and the fair basis were known."""

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

def hy_steps(
    x_times: NDArray[np.int64],
    x_values: NDArray[np.float64],
    y_times: NDArray[np.int64],
    y_values: NDArray[np.float64],
    /,
    *,
    first: int,
    last: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Hayashi-Yoshida contrast at every lag of whole ns as a step function: where each step starts, and its value."""

def hy_peak(
    x_times: NDArray[np.int64],
    x_values: NDArray[np.float64],
    y_times: NDArray[np.int64],
    y_values: NDArray[np.float64],
    /,
    *,
    first: int,
    last: int,
) -> tuple[int, int, float]:
    """First and last lag (ns) at which the contrast is largest in size, exactly, and its value there."""

def feedback(
    x_times: NDArray[np.int64],
    x_own: NDArray[np.float64],
    y_times: NDArray[np.int64],
    y_own: NDArray[np.float64],
    shared: NDArray[np.float64],
    /,
    *,
    volatility: float,
    rate: float,
    delay: int,
    common: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log prices of two venues that mark to each other; volatility per √ns, rate per ns, delay in ns.

    `crossbook.study.feedback_twin` is the comfortable way. Raises `DataError`.
    """

def lagged_moments(
    series: Sequence[NDArray[np.float64]], extras: Sequence[NDArray[np.float64]], /, *, lags: int
) -> tuple[NDArray[np.float64], int]:
    """Sums of products of ``extras(t), series(t), …, series(t - lags)`` over all rows that have them, and their count.

    Raises `DataError`.
    """

_Projections: TypeAlias = tuple[
    NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]
]

def projections(
    outcome: NDArray[np.float64],
    regressors: Sequence[NDArray[np.float64]],
    horizons: Sequence[int],
    overlaps: Sequence[int],
    /,
    *,
    base: int | None = None,
    wanted: int | None = None,
) -> _Projections:
    """Least squares of ``outcome(t + h) - outcome(t + base)`` on a constant and the regressors, a horizon each.

    Coefficients ``[h, k + 1]`` (the constant first), their Newey-West covariances ``[h, k + 1, k + 1]`` over `overlaps`
    rows, rows, sums of squared residuals and of squares of the outcome about its mean. With `wanted` only covariances
    of the first so many regressors, ``[h, wanted, wanted]``. `crossbook.study.local_projections` is the comfortable
    way. Raises `DataError`.
    """

def event_projections(
    event_times: NDArray[np.int64],
    regressors: Sequence[NDArray[np.float64]],
    times: NDArray[np.int64],
    values: NDArray[np.float64],
    offsets: Sequence[int],
    widths: Sequence[int],
    /,
) -> tuple[_Projections, int]:
    """The same of ``value(e + offset) - value(e before)`` at irregular times, errors overlapping within `widths` ns.

    At last the number of events before which nothing was observed, which are dropped.
    `crossbook.study.event_projections` is the comfortable way. Raises `DataError`.
    """

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

@final
class RouteLeg:
    """One venue's part of a `Route`."""

    @property
    def instrument(self) -> str:
        """``venue:symbol``."""
    @property
    def size(self) -> float:
        """Base currency; of inverse contracts rounded down."""
    @property
    def order_size(self) -> str:
        """Size of the order to send, exact, in what the venue counts: base currency or contracts."""
    @property
    def order_price(self) -> str:
        """The worst of the venue's prices that it reaches, exact: the limit of the order to send."""
    @property
    def notional(self) -> float:
        """Paid or received before costs, in the market's quote currency."""
    @property
    def cost(self) -> float:
        """What trading it costs, in the market's quote currency."""
    @property
    def average(self) -> float:
        """Average price before costs, in quote currency per base currency."""
    @property
    def worst(self) -> float:
        """The worst price before costs."""
    @property
    def marginal(self) -> float:
        """What the last lot costs or brings, net of proportional costs, in quote currency per base currency."""
    @property
    def swap(self) -> RouteSwap | None:
        """Of a pool: the swap itself."""

@final
class RouteSwap:
    """The swap that a route's part at a pool is, as the pool quotes it: whole raw amounts."""

    @property
    def token_in(self) -> int:
        """The token paid in."""
    @property
    def amount_in(self) -> int:
        """Paid in, fee included."""
    @property
    def amount_out(self) -> int:
        """Comes out."""
    @property
    def fee(self) -> int:
        """The pool's fee, part of ``amount_in``."""
    @property
    def price_after(self) -> str:
        """Marginal price for the next swap, with the fee, rounded away from the trade."""

@final
class DepthRouter:
    """Books and pools under names, any number of them; see `crossbook.routing.DepthRouter`."""

    def __new__(cls, *, price_unit: str, size_unit: str) -> Self:
        """A router without venues. Units are powers of ten as text: prices and sizes of levels are counts of them."""
    def set_book(
        self,
        name: str,
        /,
        bids: Sequence[tuple[int, int]],
        asks: Sequence[tuple[int, int]],
        *,
        fee_ppb: int = 0,
        fixed: _Number | None = None,
        lot: _Number | None = None,
        min_size: _Number | None = None,
        max_size: _Number | None = None,
    ) -> None:
        """Set a venue's levels, best first, in counts of the units, with what trading there costs: a fee in parts per
        billion, and a fixed amount an order. Sizes of orders are multiples of `lot` (the size unit if not given).
        Raises `RouteError`, `DataError`."""
    def set_pool(
        self,
        name: str,
        pool: ConstantProduct | Concentrated,
        /,
        *,
        base: int,
        decimals: tuple[int, int],
        fee_ppb: int = 0,
        fixed: _Number | None = None,
        lot: _Number | None = None,
        min_size: _Number | None = None,
        max_size: _Number | None = None,
    ) -> None:
        """Set a pool's state, of which a copy is taken. `base` is the token that sizes count, `decimals` are those of
        tokens 0 and 1; the other token is the quote currency. Costs come on top of the pool's fee. Raises
        `PoolError`, `RouteError`, `DataError`."""
    def remove(self, name: str, /) -> None:
        """Forget a venue. Raises `DataError` if there is none of the name."""
    def __len__(self) -> int: ...
    def route(
        self,
        side: Literal["buy", "sell", "bid", "ask", 0, 1],
        size: _Number,
        /,
        *,
        limit: _Number | None = None,
        max_venues: int | None = None,
        max_nodes: int = 10_000,
    ) -> DepthRoute:
        """Split a size over all venues at the least cost net of everything; less than the size is in `filled`.
        Raises `RouteError`, `DataError`."""

@final
class DepthRoute:
    """How an order is split over books and pools. Amounts are in quote currency."""

    @property
    def side(self) -> Literal["buy", "sell"]:
        """What it does."""
    @property
    def legs(self) -> list[DepthRouteLeg]:
        """The parts."""
    @property
    def filled(self) -> str:
        """The size traded, exact."""
    @property
    def total(self) -> str:
        """Paid with all costs, or received net of them, exact."""
    @property
    def gap(self) -> float | None:
        """By how much a better split of the size could be cheaper at most; None if not known."""
    @property
    def is_optimal(self) -> bool:
        """Whether the gap is within two raw units of quote a pool and 10^-12 of the total."""
    @property
    def marginal(self) -> float:
        """Net price of the last of the size: the dual price."""
    @property
    def nodes(self) -> int:
        """Nodes that the search looked at."""
    def __len__(self) -> int: ...

@final
class DepthRouteLeg:
    """A venue's part of a `DepthRoute`."""

    @property
    def venue(self) -> str:
        """Its name."""
    @property
    def size(self) -> str:
        """Base currency, exact."""
    @property
    def total(self) -> str:
        """Paid with all costs, or received net of them, exact."""
    @property
    def worst(self) -> str:
        """The worst price, the limit of the order to send; of a pool the marginal price of its last part."""
    @property
    def swap(self) -> tuple[int, int, int, int] | None:
        """Of a pool: token paid in, amount in, amount out, fee (part of the amount in), raw."""

@final
class Route:
    """How an order is split over venues. Amounts are in the market's quote currency, sizes in base currency."""

    @property
    def side(self) -> Literal["buy", "sell"]:
        """What it does."""
    @property
    def legs(self) -> list[RouteLeg]:
        """The parts, in the order of the market's instruments."""
    @property
    def left_out(self) -> list[tuple[str, str]]:
        """Venues that take no part and why: a status that is not ``live``, ``denied``, or ``lot`` (too fine)."""
    @property
    def wanted(self) -> float:
        """The size wanted; of a notional, what it comes to."""
    @property
    def filled(self) -> float:
        """The size traded."""
    @property
    def shortfall(self) -> Literal["liquidity", "limit", "constraints", "lots", "contracts"] | None:
        """Why that is less: the known levels end, further ones are beyond the limit, sizes, balances or the number of
        venues are used up, less than a lot is left, or less than one inverse contract or a lot beside it."""
    @property
    def notional(self) -> float:
        """Paid or received before costs."""
    @property
    def cost(self) -> float:
        """Costs of all legs."""
    @property
    def total(self) -> float:
        """Paid with costs, or received net of them."""
    @property
    def exact(self) -> tuple[str, str, str, str]:
        """Size traded, notional, cost and total as exact decimal text."""
    @property
    def average(self) -> float:
        """Average price before costs."""
    @property
    def marginal(self) -> float:
        """Net price of the last of the size where lots could be split: the dual price of the size."""
    @property
    def slippage_mid_bp(self) -> float:
        """By how much the average price is worse than the middle of the market's best bid and ask, bp."""
    @property
    def slippage_touch_bp(self) -> float:
        """By how much it is worse than the best price of the side, bp."""
    @property
    def is_optimal(self) -> bool:
        """Whether it is proven that no split trades more, or as much for less; with pools, not for less by more than
        two raw units of quote a pool and 10^-12 of the total."""
    @property
    def gap(self) -> float | None:
        """By how much a better split of the same size could be cheaper at most; None if not known."""
    @property
    def nodes(self) -> int:
        """Nodes that the search looked at."""
    def to_polars(self) -> pl.DataFrame:
        """The legs, a row each."""
    def __len__(self) -> int: ...

def place(
    *,
    size: int,
    half_spread: float,
    fee: float,
    impact: float,
    under: float,
    over: float,
    queues: Sequence[tuple[int, float, float | None, Sequence[int]]],
) -> tuple[int, list[int], float, list[float], float]:
    """See `crossbook.routing.place`; queues are (ahead, rebate, mean of a Poisson outflow or None, samples)."""

_Liquidity: TypeAlias = Literal["maker", "taker"]
_CostState: TypeAlias = tuple[str, str | None, str | None, int | None, tuple[int, int, int] | None, int, int]

@final
class CostSchedule:
    """A sum of costs; `crossbook.costs` makes them. Rates are parts per billion, amounts exact decimal text.

    A state is (30-day volume, base ask, native ask, base fee in wei, (funding rate in 1e-10, due, interval), now,
    holding), times in ns. Errors are `CostError`.
    """

    @staticmethod
    def base_of(venue: str) -> CostSchedule:
        """What a venue charges at its base tier."""
    @staticmethod
    def tiers(tiers: Sequence[tuple[str, int, int]]) -> CostSchedule:
        """Tiers of (volume, maker, taker), ascending, the first from 0."""
    @staticmethod
    def proportional(rate: int) -> CostSchedule:
        """A proportional fee."""
    @staticmethod
    def fixed(fee: str) -> CostSchedule:
        """A fixed fee in quote currency."""
    @staticmethod
    def transfer(currency: str, fixed: str, rate: int, time: int) -> CostSchedule:
        """A transfer: fixed fee in ``base``, ``quote`` or ``native`` currency, rate of the notional, time in ns."""
    @staticmethod
    def funding() -> CostSchedule:
        """Funding of a perpetual."""
    @staticmethod
    def borrow(rate: int, period: int) -> CostSchedule:
        """Interest at a rate for each period of so many ns."""
    @staticmethod
    def gas(used: int, priority_fee: int, fee_cap: int | None) -> CostSchedule:
        """Gas by EIP-1559, fees in wei per gas."""
    @staticmethod
    def rollup(size: int, fee: str) -> CostSchedule:
        """What a rollup charges for so many bytes, in its own currency."""
    @staticmethod
    def sum(parts: Sequence[CostSchedule]) -> CostSchedule:
        """Several as one."""
    @property
    def time(self) -> int:
        """How long it takes, ns."""
    def cost(self, side: int, maker_or_taker: _Liquidity, notional: str, state: _CostState) -> str:
        """What a trade of so much notional costs, in quote currency."""
    def breakdown(
        self, side: int, maker_or_taker: _Liquidity, notional: str, state: _CostState
    ) -> list[tuple[str, str]]:
        """What each part costs, by name."""
    def affine(self, side: int, maker_or_taker: _Liquidity, state: _CostState) -> tuple[int, str]:
        """The cost as (rate, fixed): ``rate · notional + fixed``."""

def next_base_fee(base_fee: int, gas_used: int, gas_limit: int, /) -> int:
    """Base fee of the next block, wei per gas, by EIP-1559."""

def highest_base_fee(base_fee: int, blocks: int, /) -> int:
    """The highest base fee, wei per gas, that a block so many blocks later can have."""

@final
class HawkesEvents:
    """Events of several types over ``(start, end]``, checked once; `crossbook.study.fit_hawkes` is the comfortable way.

    Parameters of a process are three vectors: `baseline` per second, `adjacency` ``[i][j][u]`` row by row (the effect
    of `j` on `i`), `decays` per second. At most 16 types and 4 components. Every method raises `DataError`.
    """

    def __new__(
        cls, times: NDArray[np.int64], types: NDArray[np.uint32], /, *, start: int, end: int, ordered: bool = False
    ) -> HawkesEvents:
        """Ascending times in ns and types from 0. `ordered`: events of one instant excite those after them."""
    def __len__(self) -> int: ...
    @property
    def seconds(self) -> float:
        """Seconds observed."""
    @property
    def counts(self) -> list[int]:
        """Events of each of 16 types."""
    def log_likelihood(
        self, baseline: NDArray[np.float64], adjacency: NDArray[np.float64], decays: NDArray[np.float64], /
    ) -> tuple[float, NDArray[np.float64]]:
        """The log-likelihood and its gradient by baseline, adjacency and decays."""
    def information(
        self, baseline: NDArray[np.float64], adjacency: NDArray[np.float64], decays: NDArray[np.float64], /
    ) -> tuple[float, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Log-likelihood, gradient, second derivatives, and the estimate of Fisher's information."""
    def residuals(
        self, baseline: NDArray[np.float64], adjacency: NDArray[np.float64], decays: NDArray[np.float64], /
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Integrated intensity since the event of its type before, ``[events]``; and of each type to the end."""
    def intensities(
        self, baseline: NDArray[np.float64], adjacency: NDArray[np.float64], decays: NDArray[np.float64], /
    ) -> NDArray[np.float64]:
        """Intensities just before each event, ``[events, types]``, per second."""
    def state(
        self, baseline: NDArray[np.float64], adjacency: NDArray[np.float64], decays: NDArray[np.float64], /
    ) -> NDArray[np.float64]:
        """Decayed counts of past events at the end, ``[types, components]``."""

def hawkes_simulate(
    baseline: NDArray[np.float64],
    adjacency: NDArray[np.float64],
    decays: NDArray[np.float64],
    /,
    *,
    seed: int,
    count: int | None = None,
    end: int | None = None,
    limit: int,
    thinning: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Times in ns after the start and types of `count` events, or of all until `end` ns.

    `crossbook.study.simulate_hawkes` is the comfortable way. Raises `DataError`, also past `limit` events.
    """

@final
class FlowScan:
    """A book and the order flow at its best 1 to 10 levels, over the tapes of one instrument, in integers of units.

    `crossbook.study.order_flow` is the comfortable way. Raises `DataError` for another count of levels.
    """

    def __new__(
        cls,
        *,
        instrument: int = 0,
        levels: int = 10,
        every: Literal["message", "row"] = "message",
        sizes: bool = False,
    ) -> FlowScan: ...
    def apply(self, tape: Tape, /) -> None:
        """Take the events of a tape, which follows on the one before."""
    def take(self) -> Table:
        """Give the rows since they were last taken.

        ``ts_event, ts_recv, bid, bid_size, ask, ask_size, depth, known`` (ranks whose flow is known), ``start`` (1: no
        flow leads here), ``ofi_1, ofi_2, …``; with `sizes` then ``bid_size_1, …, ask_size_1, …`` (0: no level); a row a
        change of the levels.
        """

@final
class OuTransitions:
    """Transitions of an Ornstein-Uhlenbeck process; `crossbook.study.fit_ou` is the comfortable way."""

    def __new__(
        cls,
        times: NDArray[np.int64],
        values: NDArray[np.float64],
        /,
        *,
        above: float = float("-inf"),
        below: float = float("inf"),
    ) -> OuTransitions:
        """Of strictly ascending times in ns; only those from values in ``[above, below)``. Raises `DataError`."""
    def __len__(self) -> int: ...
    @property
    def seconds(self) -> float:
        """Seconds that the transitions took."""
    def profile(self, speed: float, /, mean: float | None = None) -> tuple[float, float, float]:
        """Log-likelihood, mean and variance a second, the best at this speed a second. Raises `DataError`."""
    def information(self, speed: float, mean: float, variance: float, /) -> list[float]:
        """Fisher's information about speed, mean and variance, by row. Raises `DataError`."""

def ou_simulate(
    times: NDArray[np.int64], first: float, /, *, speed: float, mean: float, variance: float, seed: int
) -> NDArray[np.float64]:
    """An exact Ornstein-Uhlenbeck path at strictly ascending times in ns. Raises `DataError`."""

def kalman_hedge(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    /,
    *,
    first: tuple[float, float],
    doubt: tuple[float, float],
    step: tuple[float, float],
    noise: float,
) -> tuple[
    NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float
]:
    """Beta, alpha, innovation, its variance and beta's variance at every step, and the log-likelihood.

    `crossbook.study.kalman_hedge` is the comfortable way. Raises `DataError`.
    """

def decayed_sums(
    times: NDArray[np.int64], values: NDArray[np.float64], at: NDArray[np.int64], decays: NDArray[np.int64], /
) -> NDArray[np.float64]:
    """``[at, decays]``: the sum of ``value · exp(-(t - time) / decay)`` over events up to each ``t`` of `at`.

    All times in ns. Raises `DataError`.
    """

def first_fills(
    orders: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8], NDArray[np.float64], NDArray[np.float64]],
    trades: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int8]],
    touches: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
    /,
) -> NDArray[np.int64]:
    """When orders that were not there would have been filled (ns), -1 where they would not.

    Orders: from (exclusive), until (inclusive), side, price, size ahead; trades: time, price, size, aggressor's side;
    touches: time, bid, ask (NaN: unknown). `crossbook.study.advice` is the comfortable way. Raises `DataError`.
    """
