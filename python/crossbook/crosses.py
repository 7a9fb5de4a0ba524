"""Crosses with their depth, and what a trader of given capital and latency would have made of them.

A *cross* is an interval in which two venues' books overlap net of costs: an arbitrage where both sides are the same
claim, a convergence trade where they are not (spot against a perpetual, USD against USDT). `crosses` finds them and
walks both books over their life; `arbitrage` lets traders of every capital and latency of a grid take them in one
pass. ``docs/crosses.md`` has the rules with examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from crossbook import _core
from crossbook._core import Tape
from crossbook.errors import DataError
from crossbook.per_instrument import by_instrument, index_of, labels, taker_costs, units

if TYPE_CHECKING:
    from crossbook._core import Instrument, Market
    from crossbook.study.crosses import FairBasis

__all__ = ["Arbitrage", "Scan", "arbitrage", "crosses", "view_delays"]

MS = 1_000_000
WINDOW_NS, SAMPLE_NS, WARM_UP_NS = 60_000_000_000, 100_000_000, 10_000_000_000
MAX_DELAY_MS = 1e9


@dataclass(frozen=True, slots=True)
class Arbitrage:
    """What `arbitrage` found."""

    crosses: pl.DataFrame
    """Every cross with its depth; see `crosses`."""
    surface: pl.DataFrame
    """A row a capital and latency.

    ``capital`` (quote currency; the place in the list where holdings were given), ``latency_ms``; trades ``tried``, of
    which ``full`` (both orders filled to the full), ``partial`` and ``missed``; ``volume`` (base currency bought and
    sold); ``planned`` (what the trades would have brought if filled at once), ``gross, fees, fixed, unhedged, profit``
    (quote currency; profit = gross − fees − fixed − unhedged), ``return_bp`` (profit over capital), ``unclosed`` (base
    currency of legs that were never closed, valued at the last touch).
    """
    holdings: pl.DataFrame
    """What each trader held: ``capital, latency_ms, instrument, cash_before, cash_after, base_before, base_after``."""
    delays: pl.DataFrame
    """What was taken for view delays; see `view_delays`. Empty where they are constant."""


class Scan:
    """Crosses over a stream of tapes: `apply` them, `finish`, then read. The functions of this module do all three."""

    def __init__(
        self,
        market: Market,
        *,
        pairs: Iterable[tuple[str, str]] | None = None,
        fair_basis: FairBasis | None = None,
        costs: Any = None,
        begin: int | None = None,
        depth: bool = True,
        capital: Sequence[Any] | None = None,
        latency_ms: Sequence[float] = (0.0,),
        order_delay_ms: Any = 0.0,
        report_delay_ms: Any = 0.0,
        seed: int = 0,
    ) -> None:
        """Prepare a pass over the instruments of `market`, of which nothing is known yet; see `arbitrage`.

        Events before `begin` (ns) only make the books.
        """
        from crossbook.study.crosses import default_fair_basis

        self.instruments = market.instruments
        chosen = _pairs(market, self.instruments, pairs)
        if not chosen:
            raise DataError(f"expected at least two venues, found {[i.name for i in self.instruments]}")
        times = (WINDOW_NS, SAMPLE_NS, WARM_UP_NS)
        basis = [fair_basis or default_fair_basis(self.instruments[a], self.instruments[b]) for a, b in chosen]
        self.pairs = {pair: one for pair, one in zip(chosen, basis, strict=True)}
        fees, fixed = (None, []) if costs is None else taker_costs(costs, self.instruments)
        self.capital, self.latency_ms = list(capital or []), [float(ms) for ms in latency_ms]
        traders = None
        if self.capital:
            venues = sorted({venue for pair in chosen for venue in pair})
            traders = (
                [_means(one, market) for one in self.capital],
                [_ns("latency_ms", ms) for ms in self.latency_ms],
                [(samples, seed) for samples in _delays("order_delay_ms", order_delay_ms, self.instruments)],
                [max(one) for one in _delays("report_delay_ms", report_delay_ms, self.instruments)],
                venues,
            )
        self._core = _core.CrossScan(
            market,
            pairs=[(a, b, one, times) for (a, b), one in self.pairs.items()],
            perpetual=[one.contract != "spot" and one.delivery is None for one in self.instruments],
            fees=fees,
            fixed=fixed,
            begin=-(1 << 63) if begin is None else begin,
            depth=depth,
            traders=traders,
        )
        self.depth = depth

    def apply(self, tape: Tape) -> None:
        """Apply a tape whose events are seen as they happen."""
        self._core.apply(tape)

    def finish(self, ts: int) -> None:
        """End the data at `ts` (ns): open crosses are reported as censored, orders under way are not filled."""
        self._core.finish(ts)

    @property
    def observed_s(self) -> dict[tuple[str, str], float]:
        """Seconds in which both touches and the fair basis of a pair were known."""
        names = labels(self.instruments)
        return {(names[a], names[b]): ns / 1e9 for a, b, ns in self._core.observed()}

    def raw(self) -> pl.DataFrame:
        """The crosses found since the last call, in exact units: sizes in common size units, money in Decimal."""
        return pl.DataFrame(self._core.take())

    def crosses(self) -> pl.DataFrame:
        """The crosses found since the last call; see `crosses`."""
        return self._named(self.raw())

    def _named(self, raw: pl.DataFrame) -> pl.DataFrame:
        names = pl.Series(labels(self.instruments), dtype=pl.String)
        convergence = [pair for pair, basis in self.pairs.items() if _kinds_differ(self.instruments, pair)]
        low, high = pl.min_horizontal("buy", "sell"), pl.max_horizontal("buy", "sell")
        differs = pl.any_horizontal([pl.lit(False), *((low == a) & (high == b) for a, b in convergence)])
        trade = pl.when(differs).then(pl.lit("convergence")).otherwise(pl.lit("arbitrage"))
        size_unit = float(self._core.size_unit)
        money = {name: pl.col(name).cast(pl.Float64) for name, kind in raw.schema.items() if kind == pl.Decimal}
        fee = 1e-9
        weights = {side: pl.col(f"{side}_weight") * fee for side in ("buy", "sell")}
        buy_fees = money["bought"] * pl.col("buy_rate") * fee * weights["buy"]
        sell_fees = money["sold"] * pl.col("sell_rate") * fee * weights["sell"]
        found = raw.select(
            names.gather(raw["buy"]).alias("buy"),
            names.gather(raw["sell"]).alias("sell"),
            trade.alias("trade"),
            "start",
            "end",
            duration_ms=(pl.col("end") - pl.col("start")) / MS,
            half_ms=pl.when(pl.col("halved") >= pl.col("start")).then((pl.col("halved") - pl.col("start")) / MS),
            censored="censored",
            best_edge_bp="best_edge_bp",
            best_at="best_ts",
            max_at="max_ts",
            **{f"{shot}_size": pl.col(f"{shot}_size") * size_unit for shot in ("start", "best", "end", "max")},
            **{f"{shot}_profit": money[f"{shot}_profit"] for shot in ("start", "best", "end", "max")},
            notional=money["bought"],
            gross=money["sold"] * weights["sell"] - money["bought"] * weights["buy"],
            buy_fees=buy_fees,
            sell_fees=sell_fees,
            fixed=pl.when(pl.col("max_size") > 0)
            .then(money["buy_fixed"] * weights["buy"] + money["sell_fixed"] * weights["sell"])
            .otherwise(0.0),
            conversion=money["conversion"],
            rounding=money["unrounded"] - money["max_profit"],
        )
        if not self.depth:
            found = found.drop(pl.selectors.matches("^(start|best|end|max)_(size|profit)$|^max_at$|^half_ms$"))
            found = found.drop("notional", "gross", "buy_fees", "sell_fees", "fixed", "conversion", "rounding")
        return found.sort("start", "end", "buy", "sell", maintain_order=True)

    def _axes(self, frame: pl.DataFrame) -> pl.DataFrame:
        amounts = [float(at) if isinstance(one, Mapping) else float(one) for at, one in enumerate(self.capital)]
        money = [pl.col(name).cast(pl.Float64) for name, kind in frame.schema.items() if kind == pl.Decimal]
        return (
            frame.with_columns(
                pl.Series("capital", amounts, dtype=pl.Float64).gather(frame["capital"]),
                pl.Series("latency_ms", self.latency_ms, dtype=pl.Float64).gather(frame["latency"]).alias("latency_ms"),
                *money,
            )
            .drop("latency")
            .select("capital", "latency_ms", pl.exclude("capital", "latency_ms"))
        )

    def surface(self) -> pl.DataFrame:
        """What each trader made; see `Arbitrage`."""
        size = float(self._core.size_unit)
        return self._axes(pl.DataFrame(self._core.results())).with_columns(
            pl.col("volume", "unclosed") * size,
            return_bp=pl.when(pl.col("capital") > 0).then(pl.col("profit") / pl.col("capital") * 1e4),
        )

    def holdings(self) -> pl.DataFrame:
        """What each trader held; see `Arbitrage`."""
        frame = self._axes(pl.DataFrame(self._core.holdings()))
        names = pl.Series(labels(self.instruments), dtype=pl.String)
        return frame.with_columns(
            names.gather(frame["instrument"]).alias("instrument"),
            pl.col("base_before", "base_after") * float(self._core.size_unit),
        )


def crosses(
    market: Market,
    tapes: Tape | Iterable[Tape],
    /,
    *,
    pairs: Iterable[tuple[str, str]] | None = None,
    fair_basis: FairBasis | None = None,
    costs: Any = None,
    depth: bool = True,
    end: int | None = None,
) -> pl.DataFrame:
    """Find every cross between a market's venues and walk both books over its life.

    `tapes` are played from the beginning through a new market of the same instruments and rules; `market` itself does
    not change. Times are of the receive clock. Books that are unsynchronised, halted or stale are in no cross. Touches
    are compared in exact integers, sizes are whole lots of both venues, and every rounding is against the user.

    Parameters: `pairs` of names (all venues if not given); `fair_basis` as in `crossbook.study.crosses` (by the
    contracts if not given); `costs` as for `Market`, here with their fixed parts (the market's fees if not given);
    without `depth` only touches are compared, which is faster and leaves sizes and profits out; `end` (ns) is when the
    data end, the last event if not given.

    Returns a row a cross, in order of start: ``buy, sell, trade`` (``arbitrage`` or ``convergence``), ``start, end``
    (ns), ``duration_ms`` (an order that arrives sooner after the start finds the cross: the latency that catches it),
    ``half_ms`` (until half of the profit at the start was left; null if it never was), ``censored`` (a touch was lost
    or the data ended first), ``best_edge_bp, best_at`` (net edge at the touch), ``max_at``; size in base currency and
    profit in quote currency at the start, at the best edge, at the end and at the maximum (``start_size,
    start_profit`` …); and of the trade at the maximum ``notional, gross, buy_fees, sell_fees, fixed``, ``conversion``
    (what changing money at the touch instead of the middle costs, within the gross), ``rounding`` (profit lost to
    whole lots). Profit = gross − buy_fees − sell_fees − fixed. Raises `MarketError`, `DataError`.
    """
    scan = Scan(market, pairs=pairs, fair_basis=fair_basis, costs=costs, depth=depth)
    last = 0
    for tape in _tapes(tapes):
        scan.apply(tape)
        last = _last(tape, last)
    scan.finish(last if end is None else end)
    return scan.crosses()


def arbitrage(
    market: Market,
    tapes: Tape | Iterable[Tape],
    /,
    *,
    capital: Sequence[Any],
    latency_ms: Sequence[float] = (0.0,),
    order_delay_ms: Any = 0.0,
    view_delay_ms: Any = 0.0,
    clock_offset_ms: Mapping[str, float] | None = None,
    pairs: Iterable[tuple[str, str]] | None = None,
    fair_basis: FairBasis | None = None,
    costs: Any = None,
    seed: int = 0,
    end: int | None = None,
) -> Arbitrage:
    """Let traders of every capital and latency take the crosses between a market's venues, in one pass.

    Parameters beyond those of `crosses`: `capital` in quote currency, divided evenly among the venues and there into
    cash and base currency, or holdings by name as ``{name: (cash, base)}``; `latency_ms`, added to every order delay.
    `order_delay_ms`: from sending an order to its arrival, a number or numbers to draw from with equal chance (a NumPy
    array), for all, one each, or by name. `view_delay_ms`: from what happens at a venue until we see it, in the same
    forms, or ``"empirical"``: what the receive and event times of the tapes say, given the `clock_offset_ms` of
    `view_delays`. `seed` drives the draws. See ``docs/crosses.md`` for how a trade goes. Raises `MarketError`,
    `DataError`.
    """
    if not capital:
        raise DataError("capital: expected at least one amount")
    instruments = market.instruments
    constant = not isinstance(view_delay_ms, str) and all(
        one == [0] for one in _delays("view_delay_ms", view_delay_ms, instruments)
    )
    options: dict[str, Any] = {
        "pairs": pairs,
        "fair_basis": fair_basis,
        "costs": costs,
        "capital": capital,
        "latency_ms": latency_ms,
        "order_delay_ms": order_delay_ms,
        "seed": seed,
    }
    last = 0
    if constant:
        scan, delays = Scan(market, **options), pl.DataFrame(schema=DELAYS)
        for tape in _tapes(tapes):
            last = _last(tape, last)
            scan.apply(tape)
    else:
        # What is seen later than it happens is put in order first.
        given = list(_tapes(tapes))
        for tape in given:
            last = _last(tape, last)
        happened, seen, delays = view_delays(
            given, instruments, delay_ms=view_delay_ms, clock_offset_ms=clock_offset_ms, seed=seed
        )
        reports = {row["instrument"]: row["median_ms"] for row in delays.iter_rows(named=True)}
        scan = Scan(market, report_delay_ms=[reports.get(one.name, 0.0) for one in instruments], **options)
        scan._core.run(given, happened, seen)
        last = max(last, int(seen.max())) if seen.size else last
    scan.finish(last if end is None else end)
    return Arbitrage(scan.crosses(), scan.surface(), scan.holdings(), delays)


DELAYS = {
    "instrument": pl.String,
    "offset_ms": pl.Float64,
    "median_ms": pl.Float64,
    "p95_ms": pl.Float64,
    "events": pl.UInt32,
    "untimed": pl.UInt32,
}


def view_delays(
    tapes: Iterable[Tape],
    instruments: Sequence[Instrument],
    *,
    delay_ms: Any = "empirical",
    clock_offset_ms: Mapping[str, float] | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, pl.DataFrame]:
    """Say for every event when it happened and when it was seen (ns of the receive clock), and what that was made of.

    With numbers an event happens at its receive time and is seen that much later. ``"empirical"``: it is seen at its
    receive time and happened at its event time, moved by the offset between the clocks. That offset cannot be measured
    from one side; it is `clock_offset_ms` by name (receive minus event time of a message without delay) or, where that
    is not given, the least difference of all events, as if the fastest had none. So delays are those beyond the
    fastest. Events without an exchange time get the delay of the event before them of their instrument, at first the
    median.

    The DataFrame has ``instrument, offset_ms, median_ms, p95_ms`` (of the delay), ``events, untimed``.
    Raises `DataError` where no event of an instrument carries an exchange time.
    """
    parts = [pl.DataFrame(tape).select("ts_event", "ts_recv", _place(tape, instruments)) for tape in tapes]
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), pl.DataFrame(schema=DELAYS)
    frame = pl.concat(parts)
    recv, event = frame["ts_recv"].to_numpy(), frame["ts_event"].to_numpy()
    place = frame["instrument"].to_numpy()
    delay = np.zeros(recv.size, np.int64)
    empirical = isinstance(delay_ms, str)
    if empirical and delay_ms != "empirical":
        raise DataError(f'view_delay_ms {delay_ms!r}: expected numbers or "empirical"')
    drawn = None if empirical else _delays("view_delay_ms", delay_ms, instruments)
    offsets = {index_of(instruments, name): ms for name, ms in (clock_offset_ms or {}).items()}
    rows = []
    for at, instrument in enumerate(instruments):
        mine = np.flatnonzero(place == at)
        if not mine.size:
            continue
        offset: float | None = None
        untimed = int((event[mine] == 0).sum())
        if drawn is not None:
            samples = np.asarray(drawn[at], np.int64)
            rng = np.random.default_rng([seed, at])
            delay[mine] = samples[rng.integers(0, samples.size, mine.size)] if samples.size > 1 else samples[0]
        else:
            timed = event[mine] != 0
            if not timed.any():
                raise DataError(f"{instrument.name}: expected events with an exchange time, found none")
            apart = recv[mine] - event[mine]
            least = _ns("clock_offset_ms", offsets[at], signed=True) if at in offsets else int(apart[timed].min())
            late = np.maximum(apart - least, 0)
            last = np.maximum.accumulate(np.where(timed, np.arange(mine.size), -1))
            delay[mine] = np.where(last >= 0, late[last], int(np.median(late[timed])))
            offset = least / MS
        median, p95 = np.quantile(delay[mine], [0.5, 0.95]) / MS
        rows.append((instrument.name, offset, float(median), float(p95), mine.size, untimed))
    stated = pl.DataFrame(rows, schema=DELAYS, orient="row")
    return (recv - delay, recv, stated) if empirical else (recv, recv + delay, stated)


def _place(tape: Tape, instruments: Sequence[Instrument]) -> pl.Expr:
    """Where among `instruments` each of a tape's is, as its column; null for others."""
    known = {one.name: at for at, one in enumerate(instruments)}
    places = {at: known[one.name] for at, one in enumerate(tape.instruments) if one.name in known}
    return pl.col("instrument").cast(pl.Int64).replace_strict(places, default=-1, return_dtype=pl.Int64)


def _tapes(tapes: Tape | Iterable[Tape]) -> Iterable[Tape]:
    if isinstance(tapes, Tape):
        return [tapes]
    if isinstance(tapes, Iterable):
        return tapes
    # A capture streams its tapes.
    if hasattr(tapes, "batches"):
        found: Iterable[Tape] = tapes.batches()
        return found
    raise DataError(f"expected a tape, tapes or a capture, found {type(tapes).__name__}")


def _last(tape: Tape, last: int) -> int:
    if not isinstance(tape, Tape):
        raise DataError(f"expected tapes, found {type(tape).__name__}")
    return max(last, int(pl.DataFrame(tape)["ts_recv"].max() or 0)) if len(tape) else last  # type: ignore[arg-type]


def _pairs(
    market: Market, instruments: Sequence[Instrument], pairs: Iterable[tuple[str, str]] | None
) -> list[tuple[int, int]]:
    if pairs is None:
        quiet = {at for at, one in enumerate(instruments) if _is_rate(market, at)}
        return list(combinations([at for at in range(len(instruments)) if at not in quiet], 2))
    chosen = []
    for a, b in pairs:
        pair = sorted((index_of(instruments, a), index_of(instruments, b)))
        if pair[0] == pair[1]:
            raise DataError(f"pairs: expected two instruments, found {a!r} and {b!r}, which are one")
        if tuple(pair) not in chosen:
            chosen.append((pair[0], pair[1]))
    return chosen


def _is_rate(market: Market, index: int) -> bool:
    """Whether a book is there for a rate: it trades another base currency than the market's."""
    return market.instruments[index].base != market.base_currency


def _kinds_differ(instruments: Sequence[Instrument], pair: tuple[int, int]) -> bool:
    from crossbook.study.crosses import default_fair_basis

    return default_fair_basis(instruments[pair[0]], instruments[pair[1]]) != "none"


def _ns(what: str, ms: Any, *, signed: bool = False) -> int:
    try:
        value = float(ms)
    except (TypeError, ValueError):
        raise DataError(f"{what}: expected milliseconds, found {ms!r}") from None
    if not abs(value) <= MAX_DELAY_MS or (value < 0 and not signed):
        raise DataError(f"{what}: expected {'' if signed else '0 to '}{MAX_DELAY_MS:g} ms, found {ms!r}")
    return round(value * MS)


def _delays(what: str, given: Any, instruments: Sequence[Instrument]) -> list[list[int]]:
    """Samples in ns by instrument; one sample is a constant."""

    def one(value: Any) -> list[int]:
        values = value.tolist() if isinstance(value, np.ndarray) else [value]
        if not values:
            raise DataError(f"{what}: expected at least one number to draw from")
        return [_ns(what, ms) for ms in values]

    if isinstance(given, str):
        raise DataError(f"{what}: expected numbers, found {given!r}")
    return by_instrument(what, given, instruments, lambda _: [0], one)


def _means(given: Any, market: Market) -> Any:
    """An amount in 1e-18, or cash and base currency by instrument."""
    if not isinstance(given, Mapping):
        amount = units("capital", given, 18)
        if amount < 0:
            raise DataError(f"capital: expected zero or more, found {given!r}")
        return amount
    decimals = -int(Decimal(market.size_unit).log10())

    def one(holding: Any) -> tuple[int, int]:
        try:
            cash, base = holding
        except (TypeError, ValueError):
            raise DataError(f"capital: expected (cash, base currency), found {holding!r}") from None
        found = units("capital", cash, 18), units("capital", base, decimals)
        if min(found) < 0:
            raise DataError(f"capital: expected holdings of zero or more, found {holding!r}")
        return found

    return by_instrument("capital", given, market.instruments, lambda _: (0, 0), one)
