"""Many venues at once: who leads whom, and how far one order of venues explains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Unpack

import numpy as np
import polars as pl

from crossbook.errors import DataError
from crossbook.study.checked import checked, expected_columns
from crossbook.study.lead_lag import Options, lead_lag_both

__all__ = ["Network", "lead_lag_matrix", "lead_lag_network"]


@checked
def lead_lag_matrix(quotes: Mapping[str, pl.DataFrame], /, **options: Unpack[Options]) -> pl.DataFrame:
    """The lead of every pair of venues, both ways round: a row an ordered pair.

    `quotes` by venue name, in the order of the rows; `options` as in `lead_lag_both`, which measures each pair in the
    time that the two share. Columns: `first, second, peak_lag_ms` (positive: `first` leads) with `_lo_ms`, `_hi_ms`,
    `rho_peak, llr, llr_abs, null_max, leader` (a name, or ``"none"``), `problem` (null, or why a pair has no measure:
    then the others are null). The row of `(b, a)` is that of `(a, b)` mirrored. ``matrix.pivot("second", index="first",
    values="peak_lag_ms")`` is the square one. A ratio is infinite where nothing is behind. Raises `DataError` for fewer
    than two venues or options out of range.
    """
    if len(quotes) < 2:
        raise DataError(f"expected quotes of at least two venues, found {list(quotes)}")
    found: dict[tuple[str, str], dict[str, Any]] = {}
    names = ("peak_lag_ms", "peak_lag_lo_ms", "peak_lag_hi_ms", "rho_peak", "llr", "llr_abs", "null_max")
    for a, b in combinations(quotes, 2):
        row: dict[str, Any] = dict.fromkeys(names)
        try:
            summary = lead_lag_both(quotes[a], quotes[b], **options).summary.row(0, named=True)
        except DataError as error:
            found[a, b] = row | {"leader": "none", "problem": str(error)}
            found[b, a] = dict(found[a, b])
            continue
        leader = {"primary": a, "secondary": b, "none": "none"}[summary["leader"]]
        row = {name: summary[name] for name in names} | {"leader": leader, "problem": None}
        lag = [row[f"peak_lag_{which}ms"] for which in ("", "hi_", "lo_")]
        found[a, b] = row
        found[b, a] = row | {
            **{f"peak_lag_{which}ms": 0.0 - value for which, value in zip(("", "lo_", "hi_"), lag, strict=True)},
            **{name: 1 / row[name] if row[name] else float("inf") for name in ("llr", "llr_abs")},
        }
    rows = [{"first": a, "second": b} | found[a, b] for a in quotes for b in quotes if a != b]
    schema = {"first": pl.String, "second": pl.String} | dict.fromkeys(names, pl.Float64)
    return pl.DataFrame(rows, schema=schema | {"leader": pl.String, "problem": pl.String})


@dataclass(frozen=True, slots=True)
class Network:
    """Who leads whom among many venues; see `lead_lag_network`."""

    edges: pl.DataFrame
    """A row a lead: ``leader, follower, lag_ms, lag_lo_ms, lag_hi_ms, rho_peak, residual_ms``."""
    venues: pl.DataFrame
    """A row a venue: ``venue, led, followed, behind_ms`` (null if no lead binds it to another)."""
    cyclic_share: float | None
    """Share of the weighted squared leads that no order of venues explains; null without leads."""


@checked
def lead_lag_network(matrix: pl.DataFrame, /) -> Network:
    """The leads of `lead_lag_matrix` as a network, and the one order of venues that fits them best.

    An edge is a pair with a leader. Each venue gets a time `behind_ms` after the first one of its component, by least
    squares of `lag(a, b) = behind(b) - behind(a)`, weighted with the inverse square of the interval's width (but at
    most that of a millisecond). What remains, `residual_ms`, is cyclic: A leads B leads C leads A. `cyclic_share` is
    its part of the weighted sum of squares, 0 if leads add up exactly. Venues that mark to each other in a
    ring have a high one.

    Raises `DataError` for missing columns, names that are none, or a lead without a finite lag and interval. Jiang,
    Lim, Yao & Ye (2011), "Statistical ranking and combinatorial Hodge theory", Mathematical Programming 127.
    """
    needed = {"first", "second", "peak_lag_ms", "peak_lag_lo_ms", "peak_lag_hi_ms", "rho_peak", "leader"}
    if missing := needed - set(matrix.columns):
        raise DataError(f"expected the columns of lead_lag_matrix, missing {sorted(missing)}")
    names = ("first", "second", "leader")
    if any(matrix.schema[name] != pl.String or matrix[name].null_count() for name in names):
        raise DataError("matrix: expected names of venues in first, second and leader")
    venues = list(dict.fromkeys([*matrix["first"], *matrix["second"]]))
    leads = matrix.filter(pl.col("leader") == pl.col("first")).select(
        leader="first",
        follower="second",
        lag_ms="peak_lag_ms",
        lag_lo_ms="peak_lag_lo_ms",
        lag_hi_ms="peak_lag_hi_ms",
        rho_peak="rho_peak",
    )
    expected_columns(leads, "matrix", ["lag_ms", "lag_lo_ms", "lag_hi_ms", "rho_peak"])
    measured = leads.select("lag_ms", "lag_lo_ms", "lag_hi_ms").cast(pl.Float64).to_numpy()
    if not (np.abs(measured) < 1e12).all():  # NaN is not either
        raise DataError("matrix: expected a finite lag and interval where there is a leader")
    place = {venue: at for at, venue in enumerate(venues)}
    design = np.zeros((leads.height, len(venues)))
    rows = np.arange(leads.height)
    design[rows, [place[name] for name in leads["leader"]]] = -1.0
    design[rows, [place[name] for name in leads["follower"]]] = 1.0
    lags = leads["lag_ms"].to_numpy()
    weight = 1.0 / np.maximum((leads["lag_hi_ms"] - leads["lag_lo_ms"]).to_numpy(), 1.0)
    behind = (
        np.linalg.lstsq(design * weight[:, None], lags * weight, rcond=None)[0]
        if leads.height
        else np.zeros(len(venues))
    )
    residual = lags - design @ behind
    total = float(((lags * weight) ** 2).sum())
    component = _components(
        len(venues), [(place[a], place[b]) for a, b in leads.select("leader", "follower").iter_rows()]
    )
    known: list[float | None] = []
    for at in range(len(venues)):
        same = [other for other in range(len(venues)) if component[other] == component[at]]
        known.append(float(behind[at] - min(behind[other] for other in same)) if len(same) > 1 else None)
    return Network(
        leads.with_columns(residual_ms=pl.Series(residual, dtype=pl.Float64)),
        pl.DataFrame(
            {
                "venue": venues,
                "led": [int((leads["leader"] == venue).sum()) for venue in venues],
                "followed": [int((leads["follower"] == venue).sum()) for venue in venues],
                "behind_ms": pl.Series(known, dtype=pl.Float64),
            }
        ),
        float(((residual * weight) ** 2).sum()) / total if total > 0 else None,
    )


def _components(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """The smallest member of each one's component."""
    of = list(range(count))
    for _ in range(count):
        for a, b in edges:
            of[a] = of[b] = min(of[a], of[b])
    return of
