"""Order-flow imbalance: what came to and left the best levels of a book, and what of a price's move it explains."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from crossbook import _core
from crossbook.capture import Capture
from crossbook.errors import DataError
from crossbook.study.checked import SMALLEST, checked, expected_columns
from crossbook.study.least_squares import hac_lags, least_squares, student
from crossbook.study.quotes import decimals
from crossbook.study.resample import mean_run_length, stationary_counts
from crossbook.study.series import Clock, Floats, on_clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossbook._core import Instrument, Tape

__all__ = [
    "cross_flow",
    "flow_bars",
    "flow_regression",
    "integrated_flow",
    "integrated_weights",
    "order_flow",
    "queue_imbalance",
    "queue_imbalance_curve",
    "quote_flow",
]

MOST_BARS = 10_000_000


@checked
def order_flow(
    source: Capture | Tape | Iterable[Tape],
    /,
    *,
    instrument: str | int = 0,
    levels: int = 10,
    every: Literal["message", "row"] = "message",
    sizes: bool = False,
) -> pl.DataFrame:
    """Order-flow imbalance at the best 1 to 10 levels of a price book, from its events, in one pass.

    At rank `m`, between two states of the book, with price ``P`` and size ``q`` of that rank before and after (′): ``e
    = [P'_b ≥ P_b] q'_b - [P'_b ≤ P_b] q_b - [P'_a ≤ P_a] q'_a + [P'_a ≥ P_a] q_a``. Above 0: buyers came, or sellers
    left. States are those at message ends, or after every row. What a snapshot brings is no flow, nor is anything
    between a gap and the next snapshot.

    `source`: a capture, a tape or tapes in order; `instrument` its name there, or its index. A row a change of the
    levels: ``ts_event, ts_recv`` (ns), ``bid, bid_size, ask, ask_size, mid`` (quote and base currency; null where
    unknown), ``depth`` (sum of the sizes of all `levels`, both sides), ``start`` (the book was made anew or lost: no
    flow leads here), ``ofi_1, ofi_2, …`` (base currency, since the row before; null at ranks beyond what a snapshot
    covered), and with `sizes` ``bid_size_1, …, ask_size_1, …``, what each rank showed after (0: no level; null where
    flow is, and where the book was lost). Sizes of inverse contracts become base currency at the mid. Raises
    `DataError` for another count of levels or an unknown instrument.

    Cont, Kukanov & Stoikov (2014), "The price impact of order book events", Journal of Financial Econometrics 12(1);
    below the best level Xu, Gould & Howison (2018), "Multi-level order-flow imbalance in a limit order book", Market
    Microstructure and Liquidity 4(3-4).
    """
    if not 1 <= levels <= 10:
        raise DataError(f"levels: expected 1 to 10 levels, found {levels}")
    if isinstance(source, _core.Tape):
        tapes: Iterable[Tape] = [source]
        instruments: Sequence[Instrument] | None = source.instruments
    elif isinstance(source, Capture):
        if isinstance(instrument, str):
            instrument = source.index(instrument)
        tapes, instruments = source.batches(), source.instruments
    elif isinstance(source, Iterable) and not isinstance(source, str | bytes | pl.DataFrame):
        tapes, instruments = source, None
    else:
        raise DataError(f"expected a capture, a tape or tapes, found {type(source).__name__}")
    parts, scan = [], None
    for tape in tapes:
        if not isinstance(tape, _core.Tape):
            raise DataError(f"expected tapes, found {type(tape).__name__}")
        if scan is None:
            instruments = instruments or tape.instruments
            place = _place(instrument, instruments)
            scan = _core.FlowScan(instrument=place, levels=levels, every=every, sizes=sizes)
        scan.apply(tape)
        parts.append(pl.DataFrame(scan.take()))
    if scan is None or instruments is None:
        raise DataError("expected at least one tape, found none")
    return flow_decimals(pl.concat(parts), instruments[place], levels)


def _place(instrument: str | int, instruments: Sequence[Instrument]) -> int:
    if isinstance(instrument, int):
        if not 0 <= instrument < len(instruments):
            raise DataError(f"instrument {instrument}: expected an index below {len(instruments)}")
        return instrument
    named = [k for k, one in enumerate(instruments) if instrument in (one.name, one.symbol, one.venue, one.alias)]
    if len(named) != 1:
        raise DataError(f"instrument {instrument!r}: expected one of {[one.name for one in instruments]}")
    return named[0]


def flow_decimals(rows: pl.DataFrame, instrument: Instrument, levels: int) -> pl.DataFrame:
    """The rows of a `FlowScan` in decimals, as `order_flow` gives them; with sizes if they have them."""
    flows = [f"ofi_{level}" for level in range(1, levels + 1)]
    shown = [name for side in ("bid", "ask") for k in range(1, levels + 1) if (name := f"{side}_size_{k}") in rows]
    known = (pl.col("bid_size") > 0) & (pl.col("ask_size") > 0)
    rows = decimals(rows, instrument).with_columns(mid=pl.when(known).then((pl.col("bid") + pl.col("ask")) / 2))
    unit = float(instrument.size_unit) * float(instrument.multiplier)
    rate = pl.col("mid").forward_fill() if instrument.contract == "inverse" else pl.lit(1.0)
    kept = [
        pl.when(pl.col("known") >= int(name.rsplit("_", 1)[1])).then(pl.col(name) * unit / rate).alias(name)
        for name in (*flows, *shown)
    ]
    # A row at which the book was made anew has no flow, whatever was known.
    fresh = pl.col("start") == 1
    kept[:levels] = [pl.when(fresh).then(0.0).otherwise(one).alias(n) for one, n in zip(kept, flows, strict=False)]
    return rows.with_columns(*kept, depth=pl.col("depth") * unit / rate, start=fresh).select(
        *("ts_event", "ts_recv", "bid", "bid_size", "ask", "ask_size", "mid", "depth", "start"), *flows, *shown
    )


@checked
def quote_flow(quotes: pl.DataFrame, /) -> pl.DataFrame:
    """Order-flow imbalance at the best level from consecutive quotes, for venues whose quotes come faster than depth.

    The formula and paper of `order_flow`, between one row and the next in the frame's own order. `quotes` with
    ``ts_recv, ts_event, bid, bid_size, ask, ask_size`` in decimals, null or NaN (or a size of 0) where a side is
    unknown. A row a quote, columns as `order_flow` gives them with ``ofi_1`` alone; ``start`` where this quote or the
    one before is unknown on either side. Sizes are in base currency, as given. Raises `DataError` for a missing column,
    a size below 0 or a price that is infinite.
    """
    names = ["bid", "bid_size", "ask", "ask_size"]
    expected_columns(quotes, "quotes", {"ts_recv", "ts_event", *names})
    rows = quotes.select("ts_event", "ts_recv", *(pl.col(n).cast(pl.Float64).fill_nan(None) for n in names))
    bid, bid_size, ask, ask_size = (pl.col(name) for name in names)
    known = (bid_size > 0).fill_null(False) & (ask_size > 0).fill_null(False) & bid.is_not_null() & ask.is_not_null()
    rows = rows.with_columns(known=known).with_columns(both=pl.col("known") & pl.col("known").shift(fill_value=False))

    def side(price: pl.Expr, size: pl.Expr, sign: int) -> pl.Expr:
        step = (price - price.shift()) * sign
        return pl.when(step >= 0).then(size).otherwise(0.0) - pl.when(step <= 0).then(size.shift()).otherwise(0.0)

    return rows.select(
        "ts_event",
        "ts_recv",
        *names,
        mid=pl.when("known").then((bid + ask) / 2),
        depth=pl.when("known").then(bid_size + ask_size).otherwise(0.0),
        start=~pl.col("both"),
        ofi_1=pl.when("both").then(side(bid, bid_size, 1) - side(ask, ask_size, -1)).otherwise(0.0),
    )


def level_names(frame: pl.DataFrame, what: str) -> list[str]:
    """Columns ``ofi_1, ofi_2, …`` of a frame, in order of rank."""
    names = sorted((n for n in frame.columns if n.startswith("ofi_") and n[4:].isdigit()), key=lambda n: int(n[4:]))
    if not names:
        raise DataError(f"{what}: expected columns ofi_1, ofi_2, …, found {', '.join(frame.columns)}")
    return names


@checked
def flow_bars(
    flow: pl.DataFrame,
    /,
    *,
    every_ms: float = 1000.0,
    clock: Clock = "recv",
    start: int | None = None,
    end: int | None = None,
) -> pl.DataFrame:
    """Flow and return in bars of equal length.

    Bars are ``(start + k·w, start + (k + 1)·w]`` for whole bars up to `end`, `w` = `every_ms`; by default from the
    first row to the last. Give both venues the same `start` and `end` to join them. Columns: ``ts`` (ns, the bar's
    end), ``events, ofi_1, …`` (sums), ``depth`` (mean size of one level of one side over the bar's rows, of a bar
    without rows that of the last row: ``depth / (2 levels)``), ``mid`` (the last at or before the end), ``return_bp``
    (``1e4 ln`` of mid over the mid at the bar's start). A bar with a `start` row in it, or a mid unknown at either end,
    has null flow and return, as has one with a null at that rank.

    `flow` as `order_flow` or `quote_flow` gives it. Raises `DataError` without rows on `clock`, for options out of
    range or more than ten million bars.
    """
    if not 1e-3 <= every_ms < 1e12:
        raise DataError(f"every_ms: expected 0.001 or more, found {every_ms}")
    names = level_names(flow, "flow")
    expected_columns(flow, "flow", {"mid", "depth", "start"})
    rows = on_clock(flow, clock)
    if rows["start"].null_count() or rows["start"].dtype not in (pl.Boolean, pl.UInt8, pl.Int64):
        raise DataError("flow: start: expected whether flow begins anew in every row")
    if rows.is_empty():
        raise DataError(f"flow: expected at least one row with a time on the {clock} clock, found none")
    ts = rows["ts"].cast(pl.Int64).to_numpy()
    width = round(every_ms * 1e6)
    begin = int(ts[0]) if start is None else start
    until = int(ts[-1]) if end is None else end
    bars = max(0, (until - begin) // width)
    if bars > MOST_BARS:
        raise DataError(f"expected at most {MOST_BARS:,} bars, found {bars:,}: a longer every_ms")
    edges = begin + width * np.arange(bars + 1, dtype=np.int64)
    cuts = np.searchsorted(ts, edges, "right")
    rows_in = np.diff(cuts)
    mid = rows["mid"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    at = np.where(cuts > 0, mid[np.maximum(cuts - 1, 0)], np.nan)
    broken = np.concatenate([[0], np.cumsum(rows["start"].to_numpy())])
    with np.errstate(invalid="ignore"):
        good = (np.diff(broken[cuts]) == 0) & (at[1:] > 0) & (at[:-1] > 0)
        returns = 1e4 * np.log(np.where(good, at[1:], 1.0) / np.where(good, at[:-1], 1.0))
    levels = 2.0 * len(names)
    size = rows["depth"].cast(pl.Float64).to_numpy() / levels
    sums = np.concatenate([[0.0], np.cumsum(size)])
    last = size[np.maximum(cuts[1:] - 1, 0)]
    with np.errstate(invalid="ignore", divide="ignore"):
        depth = np.where(rows_in > 0, np.diff(sums[cuts]) / rows_in, last)
    columns: dict[str, pl.Series | np.ndarray] = {"ts": edges[1:], "events": rows_in.astype(np.int64)}
    for name in names:
        values = rows[name].cast(pl.Float64)
        unknown = np.concatenate([[0], np.cumsum(values.is_null().to_numpy())])
        total = np.add.reduceat(np.append(values.fill_null(0.0).to_numpy(), 0.0), cuts[:-1]) if bars else np.empty(0)
        # `reduceat` gives the element itself where a bar is empty.
        total = np.where(rows_in > 0, total, 0.0)
        columns[name] = pl.Series(np.where(good & (np.diff(unknown[cuts]) == 0), total, np.nan)).fill_nan(None)
    columns["depth"] = pl.Series(np.where(cuts[1:] > 0, depth, np.nan)).fill_nan(None)
    columns["mid"] = pl.Series(at[1:]).fill_nan(None)
    columns["return_bp"] = pl.Series(np.where(good, returns, np.nan)).fill_nan(None)
    return pl.DataFrame(columns)


@checked
def integrated_weights(bars: pl.DataFrame, /) -> pl.DataFrame:
    """The weights that make one flow of many levels: the first principal component of depth-scaled flow.

    Of ``ofi_m / depth`` over bars, the eigenvector of the largest eigenvalue of the covariance, its sign such that the
    weights sum to more than 0, divided by the sum of its absolute values. A row a level: ``level, weight, explained``
    (the share of that eigenvalue in all, constant). Fit it on days before those it is used on. Raises `DataError` for
    fewer than levels + 2 bars or flow that does not move.

    Cont, Cucuringu & Zhang (2023), "Cross-impact of order flow imbalance in equity markets", Quantitative Finance
    23(10), section 2.1.
    """
    names = level_names(bars, "bars")
    x = _scaled(bars, names).drop_nulls().to_numpy()
    if x.shape[0] < len(names) + 2:
        raise DataError(f"expected at least {len(names) + 2} bars with flow at all levels, found {x.shape[0]}")
    covariance = np.atleast_2d(np.cov(x, rowvar=False))
    if not float(np.trace(covariance)) > 1e-24 * float((x**2).mean()):
        raise DataError("expected flow that moves, found a constant")
    values, vectors = np.linalg.eigh(covariance)
    first = vectors[:, -1]
    first = first * (1.0 if first.sum() >= 0 else -1.0)
    return pl.DataFrame(
        {
            "level": [int(name[4:]) for name in names],
            "weight": first / np.abs(first).sum(),
            "explained": np.full(len(names), float(values[-1] / values.sum())),
        }
    )


def _scaled(bars: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    if "depth" not in bars.columns:
        raise DataError("bars: expected a column depth")
    depth = pl.col("depth")
    return bars.select(pl.when(depth > SMALLEST).then(pl.col(n).cast(pl.Float64).fill_nan(None) / depth) for n in names)


@checked
def integrated_flow(bars: pl.DataFrame, /, *, weights: pl.DataFrame | None = None) -> pl.DataFrame:
    """Add ``ofi``: one flow of all levels, ``Σ_m weight_m · ofi_m / depth``, a multiple of the mean level.

    `weights` as `integrated_weights` gives them, by default fitted on these bars (in-sample). With one level, ``ofi``
    is ``ofi_1 / depth``. Null where a level's flow is. Raises `DataError` if levels and weights differ.
    """
    names = level_names(bars, "bars")
    if len(names) == 1 and weights is None:
        return bars.with_columns(_scaled(bars, names)[names[0]].alias("ofi"))
    table = integrated_weights(bars) if weights is None else weights
    expected_columns(table, "weights", {"level", "weight"})
    given = dict(table.select("level", "weight").iter_rows())
    if set(given) != {int(name[4:]) for name in names}:
        raise DataError(f"weights: expected levels {[int(n[4:]) for n in names]}, found {sorted(given)}")
    total = pl.sum_horizontal((pl.col(n) * given[int(n[4:])] for n in names), ignore_nulls=False)
    return bars.with_columns(_scaled(bars, names).select(ofi=total)["ofi"])


@checked
def flow_regression(
    bars: pl.DataFrame,
    /,
    *,
    columns: Sequence[str] = ("ofi",),
    value: str = "return_bp",
    lags: int | None = None,
    level: float = 0.95,
) -> pl.DataFrame:
    """The price impact of flow: ``return_t = α + Σ β_j flow_{j,t} + ε_t`` by least squares with HAC errors.

    `columns` of `bars` as regressors (``ofi`` of `integrated_flow`, or ``ofi_1`` …), rows with a null in any left out.
    Errors by Newey & West (1987) with `lags` (by rule unless given), intervals by Student's t at `level`. A row a
    coefficient: ``term, coefficient, se, t, lo, hi, r2, adjusted_r2, observations, hac_lags``; of ``ofi`` in bp per
    mean level. Contemporaneous: part of the flow is itself the price's move. Raises `DataError` for missing columns,
    too few rows, or columns that are constant or collinear. Cont, Kukanov & Stoikov (2014), equation 5.
    """
    expected_columns(bars, "bars", {value, *columns})
    rows = bars.select(pl.col(value, *columns).cast(pl.Float64).fill_nan(None)).drop_nulls()
    fit = least_squares(rows[value].to_numpy(), [rows[name].to_numpy() for name in columns], lags=lags)
    reach = student(level, fit.freedom) * fit.errors
    with np.errstate(divide="ignore", invalid="ignore"):
        t = pl.Series(np.where(fit.errors > 0, fit.coefficients / fit.errors, np.nan)).fill_nan(None)
    return pl.DataFrame(
        {
            "term": ["intercept", *columns],
            "coefficient": fit.coefficients,
            "se": fit.errors,
            "t": t,
            "lo": fit.coefficients - reach,
            "hi": fit.coefficients + reach,
        }
    ).with_columns(
        r2=pl.lit(fit.r2),
        adjusted_r2=pl.lit(fit.adjusted_r2),
        observations=pl.lit(rows.height, pl.Int64),
        hac_lags=pl.lit(fit.lags, pl.Int64),
    )


@checked
def cross_flow(
    primary: pl.DataFrame,
    secondary: pl.DataFrame,
    /,
    *,
    flow: str = "ofi",
    history: int = 0,
    ahead: int = 0,
    lags: int | None = None,
    level: float = 0.95,
    resamples: int = 500,
    seed: int = 0,
) -> pl.DataFrame:
    """How much of the secondary's move the primary's flow explains beyond the secondary's own.

    Least squares of the secondary's ``return_bp`` in bar `t` on the secondary's own flow in bars ``t - ahead -
    history`` to ``t - ahead``, then with the primary's of the same bars as well. `ahead` 0 explains a bar by its own
    flow, 1 and more forecasts it. Bars are joined by ``ts``; a row with a null anywhere is left out.

    One row: ``ahead, history, observations, own_r2, own_adjusted_r2, primary_r2`` (the primary's flow alone), ``r2,
    adjusted_r2`` (both), ``incremental_r2`` (both less own) with ``incremental_lo, incremental_hi`` (stationary
    bootstrap of bars, bias of a resample taken off, cut at 0), ``own_beta, own_lo, own_hi, primary_beta, primary_lo,
    primary_hi`` (sums of coefficients over the history, bp per unit of flow, in the regression on both; HAC errors),
    ``f, f_p`` (are all the primary's coefficients 0: Wald's test with HAC covariance, F(history + 1, n - k)),
    ``hac_lags``.

    `primary` and `secondary` as `integrated_flow` gives them, with the same edges. An increase of R² is no proof of
    cause: where one bar holds both venues' moves, flow at either follows the other's price. Raises `DataError` for
    missing columns, fewer than 20 shared bars, or flow that is constant or collinear (as of a venue with itself).
    Cont, Cucuringu & Zhang (2023), section 3; Newey & West (1987); Politis & Romano (1994).
    """
    if not (0 <= history <= 1_000 and 0 <= ahead < 1 << 31 and resamples >= 100):
        raise DataError(
            "expected a history of 0 to 1,000, ahead of 0 or more and 100 resamples, "
            f"found {history}, {ahead}, {resamples}"
        )
    for role, frame in (("primary", primary), ("secondary", secondary)):
        expected_columns(frame, role, ["ts", flow, *(["return_bp"] if role == "secondary" else [])])
    own = secondary.select("ts", "return_bp", own=pl.col(flow))
    both = own.join(primary.select("ts", primary=pl.col(flow)), on="ts", how="inner").sort("ts")
    if both["ts"].n_unique() != both.height:
        raise DataError("expected one bar an instant, found several")
    back = range(ahead, ahead + history + 1)
    table = both.select(
        pl.col("return_bp").cast(pl.Float64).fill_nan(None),
        *(
            pl.col(r).cast(pl.Float64).fill_nan(None).shift(k).alias(f"{r}_{k}")
            for r in ("own", "primary")
            for k in back
        ),
    ).drop_nulls()
    if table.height < max(20, 4 * len(back) + 4):
        raise DataError(f"expected at least {max(20, 4 * len(back) + 4)} shared bars, found {table.height}")
    y, *x = (table[name].to_numpy() for name in table.columns)
    width = len(back)
    alone = least_squares(y, x[:width], lags=lags)
    other = least_squares(y, x[width:], lags=lags)
    full = least_squares(y, x, lags=lags)
    f, p = full.wald(list(range(1 + width, 1 + 2 * width)))
    reach = student(level, full.freedom)
    row: dict[str, float | int] = {
        "ahead": ahead,
        "history": history,
        "observations": table.height,
        "own_r2": alone.r2,
        "own_adjusted_r2": alone.adjusted_r2,
        "primary_r2": other.r2,
        "r2": full.r2,
        "adjusted_r2": full.adjusted_r2,
        "incremental_r2": full.r2 - alone.r2,
    }
    row["incremental_lo"], row["incremental_hi"] = _increment(y, x, width, level, resamples, seed)
    for name, first in (("own", 1), ("primary", 1 + width)):
        which = slice(first, first + width)
        beta = float(full.coefficients[which].sum())
        error = math.sqrt(max(float(full.covariance[which, which].sum()), 0.0))
        row |= {f"{name}_beta": beta, f"{name}_lo": beta - reach * error, f"{name}_hi": beta + reach * error}
    row |= {"f": f, "f_p": p, "hac_lags": full.lags}
    whole = pl.col("ahead", "history", "observations", "hac_lags").cast(pl.Int64)
    return pl.DataFrame([row], schema=dict.fromkeys(row, pl.Float64)).with_columns(whole)


def _increment(y: Floats, x: list[Floats], width: int, level: float, resamples: int, seed: int) -> tuple[float, float]:
    """A bootstrap interval of the increase of R², from moments of each resample."""
    columns = np.column_stack([np.ones(y.size), *x, y])
    columns = columns / np.sqrt((columns**2).mean(axis=0))
    k = columns.shape[1]
    upper = np.triu_indices(k)
    products = columns[:, upper[0]] * columns[:, upper[1]]
    run = max(
        mean_run_length(columns[:, -1]), mean_run_length(columns[:, -1] * columns[:, -2]), float(hac_lags(y.size))
    )
    rng = np.random.default_rng(seed)
    sums = np.empty((resamples, products.shape[1]))
    step = max(1, 4_000_000 // y.size)
    for begin in range(0, resamples, step):
        count = min(step, resamples - begin)
        sums[begin : begin + count] = stationary_counts(y.size, run, count, rng) @ products
    sums = np.vstack([products.sum(axis=0), sums])
    moments = np.empty((resamples + 1, k, k))
    moments[:, upper[0], upper[1]] = sums
    moments[:, upper[1], upper[0]] = sums
    total = moments[:, -1, -1] - moments[:, 0, -1] ** 2 / moments[:, 0, 0]

    def explained(keep: int) -> Floats:
        left, right = moments[:, :keep, :keep], moments[:, :keep, -1]
        fitted = np.einsum("ij,ij->i", right, np.linalg.solve(left, right[:, :, None])[:, :, 0])
        return np.asarray((fitted - moments[:, 0, -1] ** 2 / moments[:, 0, 0]) / total)

    try:
        found = explained(k - 1) - explained(1 + width)
    except np.linalg.LinAlgError:
        raise DataError(
            "expected flow that moves in every part of the data, found a resample in which it is constant"
        ) from None
    # A resample's increase is larger than the sample's by about as much as the sample's than the truth.
    bias = float(found[1:].mean() - found[0])
    lo, hi = np.quantile(found[1:] - 2 * bias, [(1 - level) / 2, (1 + level) / 2])
    return max(float(lo), 0.0), min(max(float(hi), 0.0), 1.0)


@checked
def queue_imbalance(quotes: pl.DataFrame, /) -> pl.DataFrame:
    """Add ``queue_imbalance = (bid_size - ask_size) / (bid_size + ask_size)``, from -1 to 1; null where unknown.

    `quotes` with ``bid_size, ask_size``. Raises `DataError` if one is missing. Gould & Bonart (2016), "Queue imbalance
    as a one-tick-ahead price predictor in a limit order book", Market Microstructure and Liquidity 2(2).
    """
    expected_columns(quotes, "quotes", {"bid_size", "ask_size"})
    bid, ask = (pl.col(name).cast(pl.Float64).fill_nan(None) for name in ("bid_size", "ask_size"))
    value = pl.when((bid >= 0) & (ask >= 0) & (bid + ask > 0)).then((bid - ask) / (bid + ask))
    return quotes.with_columns(queue_imbalance=value)


@checked
def queue_imbalance_curve(
    quotes: pl.DataFrame, /, *, bins: int = 10, clock: Clock = "recv", level: float = 0.95
) -> pl.DataFrame:
    """How often the next move of the mid is up, by the queue imbalance at the last instant before which it moved.

    One observation a move of the mid: the imbalance of the quote that stood just after the move before (Gould &
    Bonart's sample, one a move, so that quotes that repeat do not count again), and the sign of the move that ends it.
    A row a bin of equal width on [-1, 1]: ``imbalance`` (its mean; null without moves), ``low, high, moves, ups, up,
    lo, hi`` (share with Wilson's interval at `level`, moves taken as independent; null without moves). Raises
    `DataError` for missing columns or fewer than one bin.
    """
    if not 1 <= bins <= 10_000 or not 0 < level < 1:
        raise DataError(f"expected 1 to 10,000 bins and a level between 0 and 1, found {bins} and {level}")
    expected_columns(quotes, "quotes", ["mid"])
    rows = on_clock(queue_imbalance(quotes), clock).unique("ts", keep="last", maintain_order=True)
    rows = rows.with_columns(mid=pl.col("mid").cast(pl.Float64).fill_nan(None)).drop_nulls(["mid", "queue_imbalance"])
    mid, imbalance = rows["mid"].to_numpy(), rows["queue_imbalance"].to_numpy()
    moved = np.flatnonzero(np.diff(mid) != 0) + 1
    begins, ups = moved[:-1], mid[moved[1:]] > mid[moved[1:] - 1]
    place = np.clip(((imbalance[begins] + 1) / 2 * bins).astype(np.int64), 0, bins - 1)
    count, up = np.bincount(place, minlength=bins), np.bincount(place, ups, minlength=bins)
    total = np.bincount(place, imbalance[begins], minlength=bins)
    z = student(level, 10**9)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = up / count
        centre = (share + z * z / (2 * count)) / (1 + z * z / count)
        half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count**2)) / (1 + z * z / count)
        mean = total / count
    edges = np.linspace(-1, 1, bins + 1)
    return pl.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "imbalance": mean,
            "moves": count,
            "ups": up.astype(np.int64),
            "up": share,
            "lo": centre - half,
            "hi": centre + half,
        }
    ).with_columns(pl.col("imbalance", "up", "lo", "hi").fill_nan(None))
