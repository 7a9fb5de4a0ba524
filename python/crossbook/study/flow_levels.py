"""What flow at one level of a book explains of its price's move, at two, … at ten, and made into one."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checked import checked
from crossbook.study.least_squares import student
from crossbook.study.order_flow import integrated_flow, level_names
from crossbook.study.series import Floats

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["flow_levels"]

SCHEMA = {"flow": pl.String, "levels": pl.Int64} | dict.fromkeys(
    ("r2", "adjusted_r2", "lo", "hi", "coefficient", "coefficient_lo", "coefficient_hi"), pl.Float64
)


@checked
def flow_levels(
    bars: pl.DataFrame, /, *, value: str = "return_bp", blocks: int = 20, level: float = 0.95
) -> pl.DataFrame:
    """How much of a bar's move its flow explains at the best level, at the best two, and so on, and integrated.

    Least squares with a constant of `value` on ``ofi_1 / depth, …, ofi_m / depth`` for each ``m``, and on the one flow
    that `integrated_flow` makes of all (weights of these bars). `bars` as `flow_bars` gives them; rows with a null or
    without depth are left out, the same in every regression. A row a regression: ``flow`` (``best levels`` or
    ``integrated``), ``levels`` (in it), ``r2``, ``adjusted_r2`` (`1 - (1 - R²)(n - 1)/(n - m - 1)`) with ``lo, hi``,
    ``coefficient, coefficient_lo, coefficient_hi`` (``integrated`` alone: bp per mean level), ``observations, blocks``.

    Intervals at `level`: the jackknife over `blocks` stretches of bars of one length, Student's t with one degree less;
    bars within a stretch may depend on each other. Weights are held as they are. Raises `DataError` for missing
    columns, fewer than 5 stretches or than 2 bars a stretch, fewer bars than coefficients, levels whose flow does not
    move or repeats another's, or a `value` that is constant.

    Cont, Cucuringu & Zhang (2023), "Cross-impact of order flow imbalance in equity markets", Quantitative Finance
    23(10), section 3.1; the jackknife: MacKinnon, Nielsen & Webb (2023), Journal of Econometrics 232(2).
    """
    if blocks < 5:
        raise DataError(f"expected 5 blocks or more, found {blocks}")
    names = level_names(bars, "bars")
    if missing := {value, "depth"} - set(bars.columns):
        raise DataError(f"bars: missing columns {sorted(missing)}")
    whole = integrated_flow(bars)
    scaled = [pl.when(pl.col("depth") > 0).then(pl.col(n).cast(pl.Float64) / pl.col("depth")).alias(n) for n in names]
    rows = whole.select(pl.col(value).cast(pl.Float64), *scaled, "ofi").fill_nan(None).drop_nulls()
    count = rows.height
    if count < max(2 * blocks, len(names) + 3):
        raise DataError(f"expected at least {max(2 * blocks, len(names) + 3)} bars with flow and move, found {count}")
    y = rows[value].to_numpy()
    x = rows.select(*names, "ofi").to_numpy()
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("expected finite flow and moves, found infinity")
    scale = x.std(axis=0)
    if y.std() == 0.0 or (scale <= 1e-12 * np.abs(x).max(axis=0)).any():
        raise DataError("expected a move and flows that vary, found one that is constant")
    # In deviations from the mean of all and of unit size, so that no digits are lost; the constant is a column.
    table = np.column_stack([np.ones(count), (x - x.mean(axis=0)) / scale, y - y.mean()])
    cuts = np.linspace(0, count, blocks + 1).astype(np.int64).tolist()
    parts = np.stack([table[a:b].T @ table[a:b] for a, b in pairwise(cuts)])
    total = parts.sum(axis=0)
    left_out = total - parts
    reach = student(level, blocks - 1) * math.sqrt((blocks - 1) / blocks)
    found = []
    for m, picked in [*((m, list(range(m + 1))) for m in range(1, len(names) + 1)), (len(names), [0, len(names) + 1])]:
        slopes, r2, adjusted = _fit(np.concatenate([total[None], left_out]), picked)
        off = reach * math.sqrt(float(np.square(adjusted[1:] - adjusted[0]).sum()))
        row = ["best levels", m, r2[0], adjusted[0], adjusted[0] - off, adjusted[0] + off, None, None, None]
        if picked == [0, len(names) + 1]:
            slope = slopes / scale[-1]
            width = reach * math.sqrt(float(np.square(slope[1:] - slope[0]).sum()))
            row[0], row[6:] = "integrated", [slope[0], slope[0] - width, slope[0] + width]
        found.append(row)
    table_of = pl.DataFrame(found, schema=SCHEMA, orient="row")
    return table_of.with_columns(observations=pl.lit(count, pl.Int64), blocks=pl.lit(blocks, pl.Int64))


def _fit(moments: Floats, picked: Sequence[int]) -> tuple[Floats, Floats, Floats]:
    """Of each matrix of moments the last slope, R² and its adjusted form; a constant is the first that is picked."""
    gram, right = moments[:, picked][:, :, picked], moments[:, picked, -1]
    if np.linalg.cond(gram[0]) > 1e10:
        raise DataError("expected levels whose flow is their own, found one that repeats the others'")
    try:
        slopes = np.linalg.solve(gram, right[..., None])[..., 0]
    except np.linalg.LinAlgError:
        raise DataError("expected flow at every level that moves in more than one stretch of bars") from None
    count = moments[:, 0, 0]
    spread = moments[:, -1, -1] - moments[:, 0, -1] ** 2 / count
    rest = moments[:, -1, -1] - (slopes * right).sum(axis=1)
    r2 = 1 - rest / spread
    adjusted = 1 - (1 - r2) * (count - 1) / (count - len(picked))
    return np.asarray(slopes[:, -1]), np.asarray(r2), np.asarray(adjusted)
