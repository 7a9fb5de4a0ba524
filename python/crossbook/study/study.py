"""`Study`: one pass over a capture, and every part of the cross-venue study from it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import polars as pl

from crossbook._core import FlowScan, Market
from crossbook.errors import DataError
from crossbook.study.arbitrage import Surfaces, receive_only
from crossbook.study.blas import one_blas_thread
from crossbook.study.checks import FURTHEST_NS, real, whole
from crossbook.study.clocks import clock_path, clocks, impute_times
from crossbook.study.crosses import Crosses, cross_share, default_fair_basis, find_crosses
from crossbook.study.lead_lag import LeadLag, lead_lag_both
from crossbook.study.order_flow import flow_decimals
from crossbook.study.quotes import basis, basis_summary, decimals, quotes
from crossbook.study.response import responses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from crossbook._core import Instrument
    from crossbook.capture import Capture
    from crossbook.costs import Tiers
    from crossbook.study.crosses import FairBasis
    from crossbook.study.lead_lag import Observations
    from crossbook.study.parts import Part
    from crossbook.study.series import Clock

__all__ = ["Study", "Untimed", "Venue"]

Untimed = Literal["impute", "exclude"]

log = logging.getLogger(__name__)

BANDS = (1, 5, 10)
LEVELS = 10
TRADE, MARK, INDEX, FUNDING = 3, 8, 9, 11
SNAPSHOT, REPLAYED = 2, 16
QUOTE, LOST = 0, 2


class Venue(NamedTuple):
    """What one venue showed, in decimals: prices in quote currency, sizes in base currency."""

    instrument: Instrument
    quotes: pl.DataFrame
    """The quote stream: a row a message, with its mid."""
    touches: pl.DataFrame
    """The touch by the newest update id of quotes and depth: a row a change, with what `crossbook.study.quotes` adds.
    Prices in integers of units too (``*_units``)."""
    depth: pl.DataFrame
    """The book at each depth message: its own quote, and the depth within bands of its mid, null where unknown."""
    trades: pl.DataFrame
    """Trades with ``side`` +1 for a buying aggressor, -1 for a selling one."""
    flow: pl.DataFrame
    """Order flow and sizes of the best ten levels of the book: a row a change of them, as `crossbook.study.order_flow`
    gives them with sizes."""


class Study:
    """How a primary venue's flow moves a secondary venue's book, from a capture of both.

    Parameters: `primary` and `secondary` name instruments of the capture (``usdm``, ``binance-spot``, a symbol,
    ``venue:symbol``); the roles are the study's, not the venues'. `clock`: ``recv``, our own, or ``event``, the
    exchange's. `start` and `end`: ns on that clock, the half-open part to study; books are built from the beginning all
    the same. `fair_basis` and `fees_bp` as in `crossbook.study.crosses`; `maker_fees_bp` the same of orders that are
    posted, negative for a rebate, by default what `crossbook.costs.base_tier` says: the taker's. `untimed`: what to do
    on the event clock with quotes that carry no exchange time: ``impute`` by update id
    (`crossbook.study.impute_times`) or ``exclude``. `seed` drives the bootstraps. `progress` is called with bytes read
    and their total.

    Raises `InstrumentError` for a name that the capture has not, `DataError` for an option out of range.

    The parts are computed when they are first asked for. The capture is read once, as a stream: frames and events are
    not kept, only the quotes, trades, depth measures and flow that the parts need (156 bytes a message, measured on
    USD-M and spot).
    """

    def __init__(
        self,
        capture: Capture,
        *,
        primary: str,
        secondary: str,
        clock: Clock = "recv",
        start: int | None = None,
        end: int | None = None,
        fair_basis: FairBasis | None = None,
        fees_bp: Mapping[str, float] | None = None,
        maker_fees_bp: Mapping[str, float] | None = None,
        untimed: Untimed = "impute",
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if clock not in ("recv", "event"):
            raise DataError(f'clock {clock!r}: expected "recv" or "event"')
        if untimed not in ("impute", "exclude"):
            raise DataError(f'untimed {untimed!r}: expected "impute" or "exclude"')
        if not hasattr(capture, "select"):
            raise DataError(f"capture: expected what crossbook.open gives, found {capture!r}")
        for name, role in (("primary", primary), ("secondary", secondary)):
            if not isinstance(role, str):
                raise DataError(f"{name}: expected the name of an instrument, found {role!r}")
        for name, time in (("start", start), ("end", end)):
            if time is not None and not (whole(time) and abs(time) <= FURTHEST_NS):
                raise DataError(f"{name}: expected whole ns within 2^62 of the epoch, found {time!r}")
        if not (whole(seed) and 0 <= seed < 1 << 63):
            raise DataError(f"seed: expected a whole number of 0 or more, found {seed!r}")
        if fair_basis is not None and not isinstance(fair_basis, str):
            raise DataError(f'fair_basis: expected "none", "rolling_median" or "funding", found {fair_basis!r}')
        for what, fees in (("fees_bp", fees_bp), ("maker_fees_bp", maker_fees_bp)):
            if fees is not None and not isinstance(fees, Mapping):
                raise DataError(f"{what}: expected fees by name of instrument, found {fees!r}")
            for name, fee in (fees or {}).items():
                if not (real(fee) and abs(fee) < 10_000):
                    raise DataError(f"{what}: {name}: expected a fee between -10,000 and 10,000 bp, found {fee!r}")
        self.capture = capture.select(primary) if primary == secondary else capture.select(primary, secondary)
        self.clock: Clock = clock
        self.start, self.end = start, end
        self.untimed: Untimed = untimed
        self.seed = seed
        names = [instrument.name for instrument in self.capture.instruments]
        # Whole numbers are fees too, and every frame has them as floats.
        self.fees_bp, self.maker_fees_bp = (
            {capture.instruments[capture.index(name)].name: float(fee) for name, fee in (given or {}).items()}
            for given in (fees_bp, maker_fees_bp)
        )
        for what, given in (("fees_bp", self.fees_bp), ("maker_fees_bp", self.maker_fees_bp)):
            if unknown := set(given) - set(names):
                raise DataError(f"{what}: expected fees of {names}, found {sorted(unknown)}")
        ends = self.capture.instruments[0], self.capture.instruments[-1]
        self.fair_basis: FairBasis = fair_basis or default_fair_basis(*ends)
        self._progress = progress

    @cached_property
    def _venues(self) -> list[Venue]:
        instruments = self.capture.instruments
        market = Market(instruments, bands=list(BANDS))
        self._surfaces = self._traders()
        scans = [FlowScan(instrument=k, levels=LEVELS, sizes=True) for k in range(len(instruments))]
        flow_rows: list[list[pl.DataFrame]] = [[] for _ in scans]
        quote_rows, depth_rows, trade_rows, funding_rows = [], [], [], []
        for tape in self.capture.batches(progress=self._progress):
            market.apply(tape)
            if self._surfaces is not None:
                self._surfaces.apply(tape)
            for scan, taken in zip(scans, flow_rows, strict=True):
                scan.apply(tape)
                taken.append(pl.DataFrame(scan.take()))
            quote_rows.append(pl.DataFrame(market.take_quotes()))
            depth_rows.append(pl.DataFrame(market.take_depth()))
            events = pl.DataFrame(tape)
            trade_rows.append(events.filter(pl.col("kind") == TRADE).drop("kind", "order_id", "flags"))
            funding_rows.append(
                events.filter(pl.col("kind") == FUNDING).select("ts_event", "ts_recv", "instrument", "price", "size")
            )
        if not quote_rows:
            raise DataError(f"{self.capture.path}: expected at least one event of {[i.name for i in instruments]}")
        all_quotes, all_depth, all_trades = pl.concat(quote_rows), pl.concat(depth_rows), pl.concat(trade_rows)
        self._funding_rows = pl.concat(funding_rows)
        self._untimed_counts: dict[str, tuple[int, int]] = {}
        venues = []
        for index, instrument in enumerate(instruments):
            rows, depth, trades = frames = [
                frame.filter(pl.col("instrument") == index).drop("instrument")
                for frame in (all_quotes, all_depth, all_trades)
            ]
            venues.append(self._venue(instrument, rows, depth, trades, pl.concat(flow_rows[index])))
            if (self.start, self.end) != (None, None) and venues[-1].touches.is_empty():
                ts = pl.concat([frame[f"ts_{self.clock}"] for frame in frames])
                times = pl.Series([ts.filter(ts != 0).min(), ts.max(), self.start, self.end], dtype=pl.Int64)
                first, last, start, end = times.cast(pl.Datetime("ns")).dt.to_string("iso")
                raise DataError(
                    f"start {start}, end {end}: expected a touch of {instrument.name} between them, found none; its "
                    f"messages run from {first} to {last} UTC"
                )
        return venues

    def _traders(self) -> Surfaces | None:
        """The traders, who need events as they come: only on our own clock, and only with two venues to trade on."""
        instruments = self.capture.instruments
        if self.clock != "recv" or len(instruments) < 2 or self.fair_basis == "funding":
            return None
        fees = [self.fees[one.name] for one in instruments]
        return Surfaces(instruments, fees_bp=fees, fair_basis=self.fair_basis, start=self.start, end=self.end)

    def _venue(
        self, instrument: Instrument, rows: pl.DataFrame, depth: pl.DataFrame, trades: pl.DataFrame, flow: pl.DataFrame
    ) -> Venue:
        # A book that was cleared or caught up did not move then: it is known again, that is all.
        live = depth.filter((pl.col("flags") & (SNAPSHOT | REPLAYED)) == 0)
        untimed = int(((rows["ts_event"] == 0) & (rows["source"] == QUOTE)).sum())
        if self.clock == "event" and self.untimed == "impute":
            rows = impute_times(rows, depth)
            self._untimed_counts[instrument.name] = (untimed, int((rows["imputed"] & (rows["source"] == QUOTE)).sum()))
        elif self.clock == "event":
            self._untimed_counts[instrument.name] = (untimed, 0)
        if self.clock == "event":
            # A loss that is ours carries no exchange time. It stands at the last one known, or it would go unseen.
            known_time = pl.when(pl.col("ts_event") != 0).then("ts_event").forward_fill()
            rows = rows.with_columns(
                pl.when(pl.col("source") == LOST).then(known_time).otherwise("ts_event").fill_null(0)
            )
        units = [pl.col(name).alias(f"{name}_units") for name in ("bid", "ask")]
        known = (pl.col("bid_size") > 0) & (pl.col("ask_size") > 0)
        touches = rows.filter(pl.col("newest") == 1).with_columns(
            pl.when(known).then(unit).otherwise(0) for unit in units
        )
        bands = [f"{side}_{band}bp" for side in ("bid", "ask") for band in BANDS]
        side = pl.when(pl.col("side") == 0).then(1).when(pl.col("side") == 1).then(-1).otherwise(0).cast(pl.Int8)
        mid = ((pl.col("bid") + pl.col("ask")) / 2).alias("mid")

        def finish(frame: pl.DataFrame) -> pl.DataFrame:
            return self._within(decimals(frame, instrument))

        return Venue(
            instrument,
            finish(rows.filter(pl.col("source") == QUOTE).drop("source", "newest")).with_columns(mid),
            quotes(finish(touches.drop("newest"))),
            finish(live.drop("flags")).with_columns(mid, pl.col(bands).fill_nan(None)),
            finish(trades.with_columns(side.alias("side"))),
            self._within(flow_decimals(flow, instrument, LEVELS)),
        )

    def _within(self, frame: pl.DataFrame) -> pl.DataFrame:
        ts = pl.col(f"ts_{self.clock}")
        if self.clock == "event":
            frame = frame.filter(ts != 0).sort(f"ts_{self.clock}", maintain_order=True)
        if self.start is not None:
            frame = frame.filter(ts >= self.start)
        return frame if self.end is None else frame.filter(ts < self.end)

    @property
    def labels(self) -> dict[str, str]:
        """Short names of the instruments by full name: the venue's alias, or the symbol where the venue is one."""
        instruments = self.capture.instruments
        one = len({instrument.venue for instrument in instruments}) < len(instruments)
        return {i.name: i.symbol if one else i.alias for i in instruments}

    @property
    def primary(self) -> Venue:
        """What the primary venue showed."""
        return self._venues[0]

    @property
    def secondary(self) -> Venue:
        """What the secondary venue showed."""
        return self._venues[-1]

    @cached_property
    def _messages(self) -> pl.DataFrame:
        """Messages that carry the exchange's own time, in order of receipt, a row a message."""
        parts = []
        for venue in self._venues:
            frames = [venue.depth, venue.trades]
            if not self._untimed_counts.get(venue.instrument.name, (0, 0))[1]:
                frames.append(venue.quotes)
            name = pl.lit(venue.instrument.name).alias("venue")
            parts += [frame.select(name, "ts_event", "ts_recv") for frame in frames]
        return pl.concat(parts).filter(pl.col("ts_event") != 0).sort("ts_recv", maintain_order=True)

    @cached_property
    def clocks(self) -> pl.DataFrame:
        """Receive minus event time per venue; see `crossbook.study.clocks`."""
        return clocks(self._messages)

    @cached_property
    def clock_path(self) -> pl.DataFrame:
        """Receive minus event time second by second; see `crossbook.study.clock_path`."""
        return clock_path(self._messages)

    @cached_property
    def _ends(self) -> dict[str, int]:
        """The last time at which anything came of each venue, by name; a lost touch is nothing that came."""
        ts = pl.col(f"ts_{self.clock}").max()
        lasts = (
            [frame.select(ts).item() for frame in (venue.quotes, venue.depth, venue.trades)] for venue in self._venues
        )
        return {
            venue.instrument.name: max((last for last in ends if last is not None), default=0)
            for venue, ends in zip(self._venues, lasts, strict=True)
        }

    @property
    def shared_end(self) -> int:
        """How far all venues were watched (ns of the study's clock): basis and crosses end there."""
        return min(self._ends.values())

    @cached_property
    def basis(self) -> pl.DataFrame:
        """Secondary over primary mid at every change of either touch; see `crossbook.study.basis`."""
        return basis(self.primary.touches, self.secondary.touches, clock=self.clock, end=self.shared_end)

    @cached_property
    def basis_summary(self) -> pl.DataFrame:
        """The basis in one row; see `crossbook.study.basis_summary`."""
        return basis_summary(self.basis, block_s=self.block_s, seed=self.seed)

    @cached_property
    def depth(self) -> pl.DataFrame:
        """Median known depth within 1, 5 and 10 bp per venue and side, in base currency.

        Columns ``venue, side, within_bp, depth`` (null: never known so far out), ``known`` (share of depth messages at
        which the book was known that far).
        """
        rows = []
        for venue in dict.fromkeys(v.instrument.name for v in self._venues):
            frame = next(v.depth for v in self._venues if v.instrument.name == venue)
            for side in ("bid", "ask"):
                for band in BANDS:
                    values = frame[f"{side}_{band}bp"]
                    share = 1 - values.null_count() / frame.height if frame.height else None
                    rows.append((venue, side, float(band), values.median(), share))
        schema = {
            "venue": pl.String,
            "side": pl.String,
            "within_bp": pl.Float64,
            "depth": pl.Float64,
            "known": pl.Float64,
        }
        return pl.DataFrame(rows, schema=schema, orient="row")

    @cached_property
    def _lead_lags(self) -> dict[str, LeadLag]:
        p, s = self.primary, self.secondary
        pairs: dict[str, tuple[pl.DataFrame, pl.DataFrame, Observations]] = {
            "quote mids": (p.quotes, s.quotes, "changes"),
            "every quote": (p.quotes, s.quotes, "all"),
            "depth mids": (p.depth, s.depth, "changes"),
        }
        runs = {}
        reason: DataError | None = None
        for name, (ours, theirs, observations) in pairs.items():
            try:
                runs[name] = lead_lag_both(
                    ours, theirs, clock=self.clock, observations=observations, block_s=self.block_s, seed=self.seed
                )
            except DataError as error:
                # A venue may send no quotes, or no depth: the other series still stands.
                reason = error
                log.warning("lead-lag on %s left out: %s", name, error)
        if not runs:
            raise DataError(f"lead-lag: {reason}") from reason
        return runs

    @property
    def block_s(self) -> float:
        """Length of the bootstrap's blocks: 10 s, less where a capture is so short that they would be few."""
        ts = self.primary.touches[f"ts_{self.clock}"]
        seconds = (int(ts[-1]) - int(ts[0])) / 1e9 if ts.len() else 0.0
        return max(1.0, min(10.0, seconds / 12))

    @cached_property
    def lead_lag(self) -> pl.DataFrame:
        """The Hayashi-Yoshida curve over lags; see `crossbook.study.lead_lag`. ``series`` says on what:

        - ``quote mids``: in tick time, at changes of the mid (Huth and Abergel 2014). Where one venue's tick is
          coarser its mid changes later, which inflates its lag, so read it beside the next;
        - ``every quote``: every quote is an observation, also one that leaves the mid as it was;
        - ``depth mids``: batching of the depth stream (100 ms on Binance spot) delays what it shows and biases these.
        """
        return pl.concat(
            run.curve.select(pl.lit(name).alias("series"), pl.all()) for name, run in self._lead_lags.items()
        )

    @cached_property
    def lead_lag_summary(self) -> pl.DataFrame:
        """Peak lag, its interval and the lead-lag ratio per series; see `crossbook.study.lead_lag_summary`."""
        return pl.concat(
            run.summary.select(pl.lit(name).alias("series"), pl.all()) for name, run in self._lead_lags.items()
        )

    @cached_property
    def response(self) -> pl.DataFrame:
        """Mean path of the secondary's mid around the primary's events; see `crossbook.study.responses`."""
        followed = self.secondary.quotes if self.secondary.quotes.height > 1 else self.secondary.depth
        ours = self.primary.quotes if self.primary.quotes.height > 1 else self.primary.depth
        return responses(ours, self.primary.trades, followed, clock=self.clock, block_s=self.block_s)

    @property
    def orders(self) -> tuple[int, int]:
        """How many aggressor orders the primary had, and how many fills; see `crossbook.study.aggressor_orders`."""
        paths = self.response.filter(pl.col("event") == "trade")
        return int(paths["events"][0]) + int(paths["dropped"][0]), self.primary.trades.height

    @cached_property
    def _crosses(self) -> Crosses:
        ts = f"ts_{self.clock}"
        if len(self._venues) < 2:
            raise DataError("crosses: expected two venues, found one against itself")
        touches = pl.concat(
            venue.touches.select(
                pl.col(ts).alias("ts"),
                pl.lit(index, pl.UInt32).alias("instrument"),
                pl.col("bid_units").alias("bid"),
                pl.col("ask_units").alias("ask"),
            )
            for index, venue in enumerate(self._venues)
        ).sort("ts", maintain_order=True)
        touches = touches.filter(pl.col("ts") <= self.shared_end)
        funding = self._funding_rows.select(
            pl.col(ts).alias("ts"), "instrument", pl.col("price").alias("rate"), pl.col("size").alias("due")
        )
        return find_crosses(
            touches,
            self.capture.instruments,
            fees_bp=self.fees_bp,
            fair_basis=self.fair_basis,
            funding=funding,
            end=self.shared_end,
        )

    @cached_property
    def arbitrage(self) -> pl.DataFrame:
        """Profit of traders over latency and capital; see `crossbook.study.Surfaces.surface`.

        Empty on the event clock, since a trader acts on what he has received, and for the fair basis ``funding``.
        """
        self._venues  # noqa: B018 – the pass over the events
        if self._surfaces is None:
            return Surfaces.empty()
        self._surfaces.finish(self.shared_end)
        return self._surfaces.surface()

    @cached_property
    def receive_only(self) -> pl.DataFrame:
        """Which crosses were there on our clock only; see `crossbook.study.receive_only`.

        A row for the venues' own fees and one without fees: ``level, crosses, receive_only, both, unknown, share`` (of
        those that are known). Empty on the event clock.
        """
        rows = []
        if self.clock == "recv" and len(self._venues) > 1:
            touches = [impute_times(venue.touches, venue.depth) for venue in self._venues]
            for level, found in (("own", self.crosses), ("free", self.free_crosses)):
                only, both, unknown = receive_only(touches, found)
                share = only / (only + both) if only + both else None
                rows.append((level, found.height, only, both, unknown, share))
        schema = {"level": pl.String, "crosses": pl.UInt32, "receive_only": pl.UInt32, "both": pl.UInt32}
        return pl.DataFrame(rows, schema=schema | {"unknown": pl.UInt32, "share": pl.Float64}, orient="row")

    @property
    def observed_s(self) -> float:
        """Seconds in which both touches and the fair basis were known."""
        return self._crosses.observed_s

    @cached_property
    def cross_share(self) -> tuple[float | None, float | None, float | None]:
        """Share of time crossed net of fees with its interval; see `crossbook.study.cross_share`."""
        return cross_share(self.crosses, self.basis, fair_basis=self.fair_basis, block_s=self.block_s, seed=self.seed)

    @cached_property
    def crosses(self) -> pl.DataFrame:
        """Crosses at the touch net of the venues' fees; see `crossbook.study.crosses`."""
        return self._crosses.own

    @property
    def free_crosses(self) -> pl.DataFrame:
        """The same without fees: how long the venues overlap before they adjust."""
        return self._crosses.free

    @cached_property
    def ladder(self) -> pl.DataFrame:
        """Crosses by total fee; see `crossbook.study.cross_ladder`."""
        return self._crosses.ladder

    @property
    def fees(self) -> dict[str, float]:
        """Taker fees in bp by instrument name: given, else the venue's base tier."""
        return {i.name: self.fees_bp.get(i.name, i.taker_fee_bp) for i in self.capture.instruments}

    @property
    def costs(self) -> dict[str, Tiers]:
        """What trading costs by instrument name, as `crossbook.costs` has it: the taker's fee of `fees`, and the
        maker's, given or else the taker's, which a maker's does not exceed at base tiers. Fees finer than 0.00001 bp
        are rounded up."""
        from crossbook.costs import Fees

        def up(fee: float) -> Decimal:
            return Decimal(repr(fee)).quantize(Decimal("0.00001"), ROUND_CEILING)

        return {
            name: Fees(maker_bp=up(self.maker_fees_bp.get(name, fee)), taker_bp=up(fee))
            for name, fee in self.fees.items()
        }

    @cached_property
    def warnings(self) -> list[str]:
        """What a reader must know before trusting the numbers."""
        found = [
            f"{row['venue']}: our receive clock runs behind the exchange's (receive minus event is "
            f"{row['offset_ms']:,.1f} ms at the median). Leads between venues received by one clock stand; delays "
            "against the exchange do not."
            for row in self.clocks.filter("behind").iter_rows(named=True)
        ]
        for name, (untimed, imputed) in self._untimed_counts.items():
            if untimed:
                done = f"{imputed:,} were imputed by update id between depth messages, " if imputed else ""
                found.append(
                    f"{name}: {untimed:,} quotes carry no exchange time; {done}{untimed - imputed:,} were left out "
                    "of this run."
                )
        (early, first), *_, (late, last) = sorted(self._ends.items(), key=lambda item: item[1]) * 2
        if first and last - first > 1_000_000_000:
            found.append(
                f"{self.labels[early]} ends {(last - first) / 1e9:,.1f} s before {self.labels[late]}: basis and "
                "crosses end with it."
            )
        info = self.capture.info()
        for row in info.iter_rows(named=True):
            if row["gaps"]:
                found.append(
                    f"{row['file']}: {row['gaps']:,} gaps; after each the book is unknown until the next snapshot."
                )
            if row["trade_gaps"]:
                found.append(
                    f"{row['file']}: {row['trade_gaps']:,} gaps in the trades: trades are missing, the book is not "
                    "touched."
                )
            if row["backwards"]:
                found.append(f"{row['file']}: {row['backwards']:,} receive times run back.")
            if not row["snapshots"]:
                found.append(f"{row['file']}: no snapshot joined its depth messages, so there is no book of it.")
        if count := self.capture.fault_count:
            found.append(
                f"{count:,} frames or files could not be used; the first: {self.capture.faults()['message'][0]}"
            )
        return found

    @cached_property
    def parts(self) -> list[Part]:
        """What is measured beyond the pass over the events: twins, price discovery, feedback and so on, in order.

        Empty for a venue against itself. A part that cannot be computed says why in its sentence.
        """
        return list(self.each_part())

    def each_part(self) -> Iterator[Part]:
        """The parts one by one as they are done, so that one can be shown while the next is computed."""
        from crossbook.study.parts import parts

        if "parts" in self.__dict__:
            yield from self.parts
            return
        done = []
        for part in parts(self):
            done.append(part)
            yield part
        self.__dict__["parts"] = done

    @cached_property
    def summary(self) -> pl.DataFrame:
        """The numbers that matter, a row each: ``part, measure, value, lo, hi, unit, bounds`` (what lo and hi are),
        ``headline`` (whether it is among the few that stand for their part). What cannot be computed is null; the
        report says why."""
        from crossbook.study.summary import summarise

        with one_blas_thread:
            return summarise(self)

    def frames(self) -> dict[str, pl.DataFrame]:
        """Every DataFrame of the study that could be made, by name.

        Times are ns since the epoch, UTC, on the clock that they name.
        """
        roles: Sequence[tuple[str, Venue]] = (("primary", self.primary), ("secondary", self.secondary))
        found = {
            f"{role}_{part}": getattr(venue, part)
            for role, venue in roles
            for part in ("quotes", "touches", "depth", "trades", "flow")
        }
        parts = ["summary", "clocks", "clock_path", "basis", "depth"]
        if len(self._venues) > 1:
            parts += ["crosses", "ladder", "arbitrage", "receive_only"]
        found |= {part: getattr(self, part) for part in parts}
        for part in ("lead_lag", "lead_lag_summary", "response"):
            # The summary says why these are not there.
            with contextlib.suppress(DataError):
                found[part] = getattr(self, part)
        return found | {name: frame for part in self.parts for name, frame in part.frames.items()}

    def to_parquet(self, directory: str | Path) -> Path:
        """Write every DataFrame of `frames` as ``<name>.parquet`` into a folder, which is made if need be."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        for name, frame in self.frames().items():
            frame.write_parquet(directory / f"{name}.parquet")
        return directory

    def report(self, path: str | Path) -> Path:
        """Write the report: one HTML file with plots that opens without a network. Returns its path."""
        from crossbook.viz.study import write_report

        with one_blas_thread:
            return write_report(self, Path(path))
