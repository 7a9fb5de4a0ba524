"""Crosses at the touch: when two venues overlap net of fees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.checks import bootstrap, checked, needed, numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crossbook._core import Instrument

__all__ = ["Crosses", "FairBasis", "cross_ladder", "cross_share", "crosses", "default_fair_basis", "find_crosses"]

FairBasis = Literal["none", "rolling_median", "funding"]
LADDER_BP = tuple(float(step) for step in range(16))
WINDOW_S, SAMPLE_S, WARM_UP_S = 60.0, 0.1, 10.0


@dataclass(frozen=True, slots=True)
class Crosses:
    """What `find_crosses` found."""

    own: pl.DataFrame
    """Crosses net of the venues' own fees; see `crosses`."""
    free: pl.DataFrame
    """Crosses at the lowest total fee of the ladder, in the same columns; empty without a ladder."""
    ladder: pl.DataFrame
    """Counts and time shares by total fee; see `cross_ladder`."""
    observed_s: float
    """Seconds in which both touches and the fair basis were known."""


@checked
def default_fair_basis(a: Instrument, b: Instrument) -> FairBasis:
    """``none`` where both sides are the same claim, else ``rolling_median``.

    Different contracts (spot against perpetual), quote or settlement currencies (USD against USDT) or deliveries are
    different claims: trading their difference is a convergence trade, not an arbitrage.
    """
    claims = [(i.contract, i.quote, i.settle, i.delivery) for i in (a, b)]
    return "none" if claims[0] == claims[1] else "rolling_median"


@checked
def find_crosses(
    touches: pl.DataFrame,
    instruments: Sequence[Instrument],
    *,
    fees_bp: Mapping[str, float] | None = None,
    ladder_bp: Sequence[float] = LADDER_BP,
    fair_basis: FairBasis | None = None,
    funding: pl.DataFrame | None = None,
    end: int | None = None,
) -> Crosses:
    """Find crosses and the fee ladder in one pass. See `crosses` for the parameters."""
    missing = {"ts", "instrument", "bid", "ask"} - set(touches.columns)
    if missing:
        raise DataError(f"touches: expected columns ts, instrument, bid and ask, missing {sorted(missing)}")
    touches = touches.with_columns(_whole(touches[name], name) for name in ("instrument", "bid", "ask"))
    if not touches["instrument"].is_between(0, (1 << 32) - 1).all():
        raise DataError("touches: instrument: expected 0 or 1, found a row without")
    if len(instruments) != 2:
        raise DataError(f"expected two instruments, found {len(instruments)}")
    names = [instrument.name for instrument in instruments]
    fees = {instrument.name: instrument.taker_fee_bp for instrument in instruments} | dict(fees_bp or {})
    unknown = set(fees) - set(names)
    if unknown:
        raise DataError(f"fees_bp: expected fees of {names}, found {sorted(unknown)}")
    fees_known = [*fees.values(), *ladder_bp]
    if any(not abs(fee) < 10_000 for fee in fees_known):
        raise DataError(f"expected fees between -10,000 and 10,000 bp, found {fees_known}")
    basis = fair_basis or default_fair_basis(*instruments)
    perpetual = [instrument.contract != "spot" and instrument.delivery is None for instrument in instruments]
    due: list[tuple[int, int, int, int]] = []
    if basis == "funding":
        if funding is None or funding.is_empty():
            raise DataError('fair_basis "funding": expected Funding events in the capture, found none')
        due = list(funding.sort("ts", maintain_order=True).select("ts", "instrument", "rate", "due").iter_rows())
    last = int(touches["ts"][-1]) if touches.height else 0
    table, observed = _core.crosses(
        touches["ts"].to_numpy(),
        touches["instrument"].cast(pl.UInt32).to_numpy(),
        touches["bid"].to_numpy(),
        touches["ask"].to_numpy(),
        instruments=list(instruments),
        fees=[round(fees[name] * 1e5) for name in names],
        ladder=[round(fee * 1e5) for fee in ladder_bp],
        pairs=[(0, 1, basis, (int(WINDOW_S * 1e9), int(SAMPLE_S * 1e9), int(WARM_UP_S * 1e9)))],
        perpetual=perpetual,
        funding=due,
        end=last if end is None else end,
    )
    found = pl.DataFrame(table)
    venue = pl.Series([instrument.venue for instrument in instruments])
    if instruments[0].venue == instruments[1].venue:
        venue = pl.Series(names)
    named = found.select(
        "rung",
        venue.gather(found["buy"]).alias("buy"),
        venue.gather(found["sell"]).alias("sell"),
        "start",
        "end",
        ((pl.col("end") - pl.col("start")) / 1e6).alias("duration_ms"),
        "best_at",
        "best_edge_bp",
        "censored",
    ).with_columns(direction=pl.format("buy {}, sell {}", "buy", "sell"))
    observed_ns = sum(ns for _, _, ns in observed)
    rungs = pl.DataFrame({"rung": np.arange(len(ladder_bp), dtype=np.int64), "fee_bp": list(ladder_bp)})
    directions = pl.DataFrame({"direction": [f"buy {venue[a]}, sell {venue[b]}" for a, b in ((0, 1), (1, 0))]})
    counts = named.group_by("rung", "direction").agg(
        pl.len().alias("count"),
        pl.col("duration_ms").sum().alias("total_ms"),
        pl.col("duration_ms").median().alias("median_ms"),
        pl.col("best_edge_bp").max().alias("best_edge_bp"),
    )
    ladder = (
        rungs.join(directions, how="cross")
        .join(counts, on=["rung", "direction"], how="left", maintain_order="left")
        .with_columns(pl.col("count").fill_null(0), pl.col("total_ms").fill_null(0.0))
        .with_columns(time_share=pl.col("total_ms") * 1e6 / observed_ns if observed_ns else pl.lit(None, pl.Float64))
        .drop("rung")
    )
    lowest = min(range(len(ladder_bp)), key=ladder_bp.__getitem__, default=0)
    own, free = (
        named.filter(pl.col("rung") == rung).drop("rung").sort("start", "end", maintain_order=True)
        for rung in (-1, lowest)
    )
    return Crosses(own, free, ladder, observed_ns / 1e9)


def _whole(column: pl.Series, name: str) -> pl.Series:
    """Whole numbers as Int64, null as 0 (of prices: unknown)."""
    column = numbers(column, "touches")
    found = column.cast(pl.Int64, strict=False)
    if (column != found.cast(column.dtype)).any() or found.null_count() > column.null_count():
        unit = "0 or 1" if name == "instrument" else "whole numbers of the instrument's unit"
        raise DataError(f"touches: {name}: expected {unit}, found others")
    return found.fill_null(-1 if name == "instrument" else 0)


@checked
def crosses(
    touches: pl.DataFrame,
    instruments: Sequence[Instrument],
    *,
    fees_bp: Mapping[str, float] | None = None,
    fair_basis: FairBasis | None = None,
    funding: pl.DataFrame | None = None,
    end: int | None = None,
) -> pl.DataFrame:
    """Find every interval in which buying at one venue's touch and selling at the other's pays net of fees.

    It pays iff ``bid · (1 - fee_sell) > ask · (1 + fee_buy) · fair``, decided in exact integers. ``fair`` is the
    ratio of the selling to the buying venue's price that holds no profit, by `fair_basis`:

    - ``none``: 1, the same claim on both sides (arbitrage);
    - ``rolling_median``: the median of the ratio of mids over the past 60 s, sampled every 100 ms, known after 10 s;
      causal, and the default where contract kinds or quote currencies differ (a convergence trade). It takes a lasting
      premium out, and with it whatever profit that premium itself would be;
    - ``funding``: a perpetual's premium ``rate × time to funding / 8 h`` (Binance's "Price 1" of its mark price).

    Parameters: `touches` in time order with ``ts`` (ns), ``instrument`` (0 or 1), ``bid`` and ``ask`` in the
    instruments' units (0: unknown); `fees_bp` taker fees by instrument name, the venues' base tier by default;
    `funding` with ``ts, instrument, rate`` (1e-10) and ``due`` (ns). Returns ``direction, buy, sell, start, end``
    (ns), ``duration_ms, best_edge_bp`` (net, of the buying price), ``best_at, censored`` (a touch was lost or the
    data ended first). Size, profit and latency are not looked at. Raises `DataError`.
    """
    options = {"fees_bp": fees_bp, "fair_basis": fair_basis, "funding": funding, "end": end}
    return find_crosses(touches, instruments, ladder_bp=(), **options).own  # type: ignore[arg-type]


@checked
def cross_ladder(
    touches: pl.DataFrame,
    instruments: Sequence[Instrument],
    *,
    ladder_bp: Sequence[float] = LADDER_BP,
    fair_basis: FairBasis | None = None,
    funding: pl.DataFrame | None = None,
    end: int | None = None,
) -> pl.DataFrame:
    """Count crosses by total fee of both legs (half on each), so that an empty result explains itself.

    Parameters as in `crosses`. Returns ``fee_bp, direction, count, total_ms, median_ms, best_edge_bp, time_share``
    (of the time in which both touches and the fair basis were known; null if there was none).
    """
    options = {"fair_basis": fair_basis, "funding": funding, "end": end}
    return find_crosses(touches, instruments, ladder_bp=ladder_bp, **options).ladder  # type: ignore[arg-type]


@checked
def cross_share(
    found: pl.DataFrame,
    basis: pl.DataFrame,
    *,
    fair_basis: FairBasis,
    block_s: float = 10.0,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float | None, float | None, float | None]:
    """Give the share of time crossed, ``Σ crossed / Σ observed``, and its interval ``lo, hi`` at `level`.

    Blocks of `block_s` seconds are drawn with replacement, the time crossed and the time observed of each together;
    they are taken as independent. Parameters: `found` as `crosses` gives it, `basis` as `crossbook.study.basis` gives
    it (time is observed where it is known; with `fair_basis` ``rolling_median`` after its first 10 s). All null where
    nothing was observed; the interval below two blocks, and where nothing crossed, as resampling nought says nothing.
    """
    warm_up = WARM_UP_S * 1e9 if fair_basis == "rolling_median" else 0.0
    needed(found, ["start", "end", "direction"], "found")
    needed(basis, ["ts", "held_ns"], "basis")
    if basis.is_empty():
        return None, None, None
    if (
        not basis["held_ns"].dtype.is_integer()
        or not basis["held_ns"].cast(pl.Int64).fill_null(-1).is_between(0, 1 << 62).all()
    ):
        raise DataError("basis: held_ns: expected whole ns of 0 or more")
    origin = int(basis["ts"][0])

    def spans(starts: pl.Series, lengths: pl.Series) -> tuple[np.ndarray, np.ndarray]:
        first = (starts - origin).to_numpy().astype(np.float64)
        return np.maximum(first, warm_up), np.maximum(first + lengths.to_numpy(), warm_up)

    watched = spans(basis["ts"], basis["held_ns"])
    last = float(watched[1].max())
    edges = np.arange(warm_up, last + block_s * 1e9, block_s * 1e9)
    observed = _per_block(*watched, edges)
    crossed = np.zeros_like(observed)
    for _, one in found.sort("start").group_by("direction", maintain_order=True):
        crossed += _per_block(*spans(one["start"], one["end"] - one["start"]), edges)
    crossed, observed = crossed[observed > 0], observed[observed > 0]
    if not observed.size:
        return None, None, None
    share = float(crossed.sum() / observed.sum())
    if observed.size < 2 or not crossed.any():
        return share, None, None
    draws = bootstrap(seed, resamples, observed.size)
    shares = np.concatenate([crossed[some].sum(axis=1) / observed[some].sum(axis=1) for some in draws])
    lo, hi = np.quantile(shares, [(1 - level) / 2, (1 + level) / 2])
    return share, float(lo), float(hi)


def _per_block(starts: np.ndarray, ends: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The time that intervals, ascending and apart, cover between each edge and the next."""
    if not starts.size:
        return np.zeros(max(edges.size - 1, 0))
    total = np.repeat(np.append(0.0, np.cumsum(ends - starts)), 2)[1:-1]
    return np.diff(np.interp(edges, np.column_stack([starts, ends]).ravel(), total))
