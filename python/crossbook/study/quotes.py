"""Quotes of one venue, and the basis between two."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checked import SMALLEST, checked, expected_columns
from crossbook.study.resample import chunks
from crossbook.study.series import on_clock

if TYPE_CHECKING:
    from crossbook._core import Instrument
    from crossbook.study.series import Clock

MOST_BLOCKS = 10_000_000

__all__ = ["basis", "basis_summary", "decimals", "quotes"]


@checked
def decimals(frame: pl.DataFrame, instrument: Instrument) -> pl.DataFrame:
    """Turn the integers of a table into decimals: prices in quote currency, sizes in base currency.

    Works on ``bid, bid_size, ask, ask_size`` and on ``price, size``. A size of an inverse contract is
    ``contracts × multiplier / price``. A side of size 0 is unknown: its price and size become null. Raises `DataError`
    for columns that hold no numbers; other columns stay as they are.
    """

    def count(name: str, unit: str) -> pl.Expr:
        # A product with 0.01 would be off in the last digit; a division by 100 is correctly rounded. It must be by a
        # column of hundreds: Polars divides by one number as a product with its reciprocal.
        exact = Fraction(unit)
        per_one = (pl.col(name) * 0 + exact.denominator).cast(pl.Float64)
        return pl.col(name).cast(pl.Float64) * exact.numerator / per_one

    def price(name: str) -> pl.Expr:
        return count(name, instrument.price_unit)

    def size(name: str, at: str) -> pl.Expr:
        contracts, multiplier = count(name, instrument.size_unit), float(instrument.multiplier)
        if instrument.contract == "inverse":
            return contracts * multiplier / price(at)
        return contracts * multiplier if multiplier != 1 else contracts

    columns = []
    for value, amount in (("bid", "bid_size"), ("ask", "ask_size"), ("price", "size")):
        if value in frame.columns and amount in frame.columns:
            known = pl.col(amount) != 0
            columns.append(pl.when(known).then(price(value)).alias(value))
            columns.append(pl.when(known).then(size(amount, value)).alias(amount))
    return frame.with_columns(columns)


@checked
def quotes(frame: pl.DataFrame, /) -> pl.DataFrame:
    """Add what follows from a best bid and ask (decimals): mid, microprice and spread.

    ``mid = (bid + ask) / 2``; ``microprice = (bid · ask_size + ask · bid_size) / (bid_size + ask_size)`` (Gatheral and
    Oomen, *Zero-intelligence realized variance estimation*, 2010: the mid weighted by the opposite sizes);
    ``spread_bp = (ask - bid) / mid · 1e4``. Null where a side is unknown. `frame` with ``bid, bid_size, ask, ask_size``
    (null or NaN where unknown). Raises `DataError` for a missing column or one that holds no numbers.
    """
    expected_columns(frame, "quotes", ["bid", "bid_size", "ask", "ask_size"])
    # Products of whole numbers would run over.
    bid, ask, bid_size, ask_size = (pl.col(name).cast(pl.Float64) for name in ("bid", "ask", "bid_size", "ask_size"))
    mid = (bid + ask) / 2
    return frame.with_columns(
        mid=mid,
        microprice=(bid * ask_size + ask * bid_size) / (bid_size + ask_size),
        spread_bp=(ask - bid) / mid * 1e4,
    )


@checked
def basis(
    primary: pl.DataFrame, secondary: pl.DataFrame, *, clock: Clock = "recv", end: int | None = None
) -> pl.DataFrame:
    """Give the secondary's price over the primary's at every change of either, not on a grid.

    ``basis_bp = (mid_secondary / mid_primary - 1) · 1e4``.

    Parameters: touches of both venues with ``ts_recv, ts_event, mid, microprice``; `end` (ns of `clock`): how far both
    were watched, later rows are left out. Returns ``ts`` (ns of `clock`), ``held_ns`` (until the next row of either,
    be it one in which a touch is unknown; of the last row until `end`, 0 without one), ``mid_primary, mid_secondary,
    basis_bp`` and ``microbasis_bp`` (the same of microprices; null where one is unknown), one row an instant at which
    both mids are known. Raises `DataError` for a missing column or a mid or microprice that is not above 0.
    """
    columns = ["mid", "microprice"]
    for role, frame in (("primary", primary), ("secondary", secondary)):
        expected_columns(frame, role, columns)
        if any((frame[name] <= SMALLEST).any() for name in columns):
            raise DataError(f"{role}: expected mids and microprices above 0, whose ratio is studied")

    def side(frame: pl.DataFrame, role: str) -> pl.DataFrame:
        ordered = on_clock(frame, clock)
        return ordered.select("ts", *(pl.col(c).alias(f"{c}_{role}") for c in columns)).with_columns(
            pl.lit(role).alias("role")
        )

    both = pl.concat([side(primary, "primary"), side(secondary, "secondary")], how="diagonal")
    filled = both.sort("ts", maintain_order=True)
    if end is not None:
        filled = filled.filter(pl.col("ts") <= end)
    for role in ("primary", "secondary"):
        mine = pl.col("role") == role
        # An unknown touch (null) of the venue itself must not be filled over with an older one.
        last = mine.cum_sum()
        filled = filled.with_columns(pl.col(f"{c}_{role}").first().over(last).alias(f"{c}_{role}") for c in columns)
    return (
        filled.unique("ts", keep="last", maintain_order=True)
        .with_columns(
            held_ns=pl.col("ts").shift(-1).fill_null(pl.col("ts") if end is None else end) - pl.col("ts"),
            basis_bp=(pl.col("mid_secondary") / pl.col("mid_primary") - 1) * 1e4,
            microbasis_bp=(pl.col("microprice_secondary") / pl.col("microprice_primary") - 1) * 1e4,
        )
        .drop_nulls("basis_bp")
        .select("ts", "held_ns", "mid_primary", "mid_secondary", "basis_bp", "microbasis_bp")
    )


@checked
def basis_summary(
    frame: pl.DataFrame, *, block_s: float = 10.0, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> pl.DataFrame:
    """Summarise a basis in one row, weighted by the time for which each value held.

    `frame` as `basis` gives it, with ``ts, held_ns, basis_bp``. Returns ``basis_bp`` (``Σ held · basis / Σ held``) with
    ``lo`` and ``hi`` at `level` from a bootstrap of blocks of `block_s` seconds, ``p05, p50, p95`` (quantiles by time)
    and ``instants``. Rows with a null or NaN are left out. Raises `DataError` for a missing column, a value that is not
    finite, options out of range, or if no value held for any time.
    """
    expected_columns(frame, "basis", ["ts", "held_ns", "basis_bp"])
    rows = frame.select("ts", "held_ns", "basis_bp").drop_nulls().sort("ts", maintain_order=True)
    ts, value = rows["ts"].to_numpy(), rows["basis_bp"].cast(pl.Float64).to_numpy()
    held = rows["held_ns"].cast(pl.Float64).to_numpy()
    if not (held >= 0).all():
        raise DataError("basis: expected held_ns of 0 or more")
    if not held.any():
        raise DataError(f"basis: expected both touches to be known for some time, found {len(held)} instants of 0 s")
    width = round(block_s * 1e9)
    if width < 1 or (int(ts[-1]) - int(ts[0])) // width > MOST_BLOCKS:
        raise DataError(f"block_s: expected above 0 and at most {MOST_BLOCKS:,} blocks, found {block_s}")
    block = ((ts - ts[0]) // width).astype(np.int64)
    weight = np.bincount(block, held)
    total = np.bincount(block, held * value)
    used = weight > 0
    weight, total = weight[used], total[used]
    rng = np.random.default_rng(seed)
    means = []
    for some in chunks(len(weight), resamples):
        draws = rng.integers(0, len(weight), (some, len(weight)))
        means.append(total[draws].sum(axis=1) / weight[draws].sum(axis=1))
    lo, hi = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    order = np.argsort(value, kind="stable")
    share = np.cumsum(held[order]) / held.sum()
    p05, p50, p95 = (value[order][min(int(np.searchsorted(share, q)), len(order) - 1)] for q in (0.05, 0.5, 0.95))
    mean = total.sum() / weight.sum()
    return pl.DataFrame(
        {
            "basis_bp": [mean],
            "lo": [lo],
            "hi": [hi],
            "p05": [p05],
            "p50": [p50],
            "p95": [p95],
            "instants": [rows.height],
        }
    )
