"""Local projections: what a shock does to a price, a spread, a depth or a flow at every horizon, with its interval."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict, Unpack

import numpy as np
import polars as pl

from crossbook import _core
from crossbook.errors import DataError
from crossbook.study.checked import checked
from crossbook.study.series import Clock, Floats, Times, on_clock

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["event_projections", "local_projections", "permanent_and_temporary", "split_projections"]

Errors = Literal["lag_augmented", "hac"]


class Options(TypedDict, total=False):
    """Options that all local projections on rows share; see `local_projections`."""

    controls: Sequence[str]
    lags: int
    horizons: Sequence[int]
    cumulative: bool
    errors: Errors
    overlap: int | None
    standardise: bool
    level: float


class _Design(NamedTuple):
    y: Floats
    shocks: list[Floats]
    """Of the rows from `first` on, as are the controls."""
    controls: list[Floats]
    control_names: list[str]
    first: int
    horizons: list[int]
    step_ms: float | None
    lags: int
    cumulative: bool
    errors: Errors
    overlap: int | None
    level: float


@checked
def local_projections(
    frame: pl.DataFrame, /, *, outcome: str, shock: str | Sequence[str], **options: Unpack[Options]
) -> pl.DataFrame:
    """The response of `outcome` to `shock` at every horizon, each by a regression of its own.

    `y(t+h) - y(t-1) = a_h + β_h x(t) + γ_h' (controls(t), and lags 1 to p of x, controls and Δy) + u(t, h)`; `β_h` is
    the response `h` rows after a shock of one unit. With `cumulative=False` the left side is `y(t+h)` and the lags are
    those of `y`: for flows and for levels that come back. Jordà (2005), "Estimation and inference of impulse responses
    by local projections", American Economic Review 95(1).

    Parameters: `frame`, evenly spaced rows in order of time (`ts`, ns, is checked and gives `horizon_ms` if it is
    there), as `even_rows` makes them. `shock`: one column, or several whose effects are then each at the others held
    fixed. `controls`: further columns, at `t` and lagged. `lags` (4), `horizons` in rows (1 to 12, 0 is the shock's own
    row). `standardise`: effects of one standard deviation of the shock instead of one unit. Errors:

    - ``lag_augmented`` (default): White's, row by row, no bandwidth. Valid, and for persistent data too, if `lags` is
    at
      least one more than the order of the process and the shock's innovation is unpredictable: Montiel Olea &
      Plagborg-Møller (2021), "Local projection inference is simpler and more robust than you think", Econometrica
      89(4). Needs `lags >= 1`.
    - ``hac``: Newey & West's (1987) over `overlap` rows, by default `2 h + floor(4 (n / 100)^(2/9))`: twice the rows
      that a horizon makes overlap, since Bartlett's weights fall from the first row on, and their rule of 1994.

    Both with the factor `n / (n - k)`, intervals at `level` by Student's t with `n - k` degrees of freedom, each for
    its own horizon. A shock that others answer within its row carries their effect too: nothing here is identified
    beyond what the controls hold.

    A row a shock and horizon: ``shock, horizon, horizon_ms, effect, se, lo, hi, rows, overlap``. In units of the
    outcome a unit of the shock. Raises `DataError` for missing columns, null or infinite values, rows that are not
    even, options out of range, fewer rows than coefficients, and a column that is constant or a combination of others.
    """
    names = [shock] if isinstance(shock, str) else list(shock)
    if not names or len(set(names)) < len(names):
        raise DataError(f"expected one shock or several different ones, found {names}")
    design = _design(frame, outcome, names, **options)
    scales = [1.0] * len(names)
    if options.get("standardise", False):
        scales = [float(np.std(x)) for x in design.shocks]
    found = _fit(design, design.shocks, names)
    parts = []
    for place, (name, scale) in enumerate(zip(names, scales, strict=True)):
        table = _table(found, place, scale, design.level)
        parts.append(table.select(pl.lit(name).alias("shock"), pl.all()))
    return pl.concat(parts)


@checked
def permanent_and_temporary(
    frame: pl.DataFrame, /, *, outcome: str, shock: str, permanent: int, **options: Unpack[Options]
) -> pl.DataFrame:
    """The response of a price split in what stays and what comes back.

    What stays is the response at horizon `permanent` (rows): `y(t+H) - y(t-1)` on the shock. The temporary part at `h`
    is the response of `y(t+h) - y(t+H)`, a regression of its own, so its interval counts that both are estimated on the
    same data. What has not come back by `H` counts as permanent: show that the response is flat around `H`. Regressors,
    errors and options as in `local_projections`; `cumulative` is always on.

    A row a horizon: ``horizon, horizon_ms, permanent, permanent_lo, permanent_hi, temporary, temporary_lo,
    temporary_hi``. Raises `DataError` as `local_projections`, and unless `permanent` is above every horizon.
    """
    options["cumulative"] = True
    design = _design(frame, outcome, [shock], **options)
    if isinstance(permanent, bool) or not isinstance(permanent, int) or permanent <= max(design.horizons):
        raise DataError(f"expected permanent above the longest horizon {max(design.horizons)}, found {permanent!r}")
    scale = float(np.std(design.shocks[0])) if options.get("standardise", False) else 1.0
    stays = _fit(design._replace(horizons=[permanent]), design.shocks, [shock])
    passes = _fit(design, design.shocks, [shock], base=permanent)
    row = _table(stays, 0, scale, design.level).row(0, named=True)
    return _table(passes, 0, scale, design.level).select(
        "horizon",
        "horizon_ms",
        permanent=pl.lit(row["effect"]),
        permanent_lo=pl.lit(row["lo"]),
        permanent_hi=pl.lit(row["hi"]),
        temporary="effect",
        temporary_lo="lo",
        temporary_hi="hi",
    )


@checked
def split_projections(
    frame: pl.DataFrame,
    /,
    *,
    outcome: str,
    shock: str,
    by: str,
    edges: Sequence[float] | None = None,
    groups: int = 3,
    **options: Unpack[Options],
) -> pl.DataFrame:
    """The response by kind of shock or by state of the market, with a test that it is the same in all.

    `by`: ``sign``, the effect of positive and of negative shocks (groups ``buy`` and ``sell``, both per unit of the
    signed shock, so the same if symmetric); ``size``, by `|shock|` cut at rising inner `edges`, or at the quantiles of
    those that are not 0 into `groups`; else the name of a column of states, taken at row `t - 1` so that the shock did
    not make it. By sign and size only the shock is split; by state the constant and all controls are too (state-
    dependent local projections: Ramey & Zubairy 2018, "Government spending multipliers in good times and in bad",
    Journal of Political Economy 126(2)).

    Errors are ``hac`` unless said otherwise: the part of a shock that is positive is predictable from past shocks by
    more than their lags, which lag-augmented errors (White's) must not be. The test at each horizon is Wald's of equal
    effects in all groups by the covariance of `errors`, an F with `groups - 1` and `n - k` degrees of freedom.
    ``p_equal`` is its p-value there; ``p_equal_any`` the smallest over horizons times their number (Bonferroni), at
    most 1: below 5 % the groups differ somewhere.

    A row a group and horizon: ``group, horizon, horizon_ms, effect, se, lo, hi, p_equal, p_equal_any, rows_in_group,
    rows``. Options and errors as in `local_projections`; also where there are fewer than two groups.
    """
    from scipy.stats import f as fisher

    options.setdefault("errors", "hac")
    state = by not in ("sign", "size")
    if state and by not in frame.columns:
        raise DataError(f"expected by to be sign, size or a column, found {by!r} and {', '.join(frame.columns)}")
    design = _design(frame, outcome, [shock], **options)
    if state and not design.first:
        raise DataError("expected one lag or more with a state, which is that of the row before")
    x = design.shocks[0]
    names, member = _groups(frame, design.first, x, by, edges, groups)
    if len(names) < 2:
        raise DataError(f"expected two groups or more by {by}, found {names}")
    parts = [np.where(member == g, x, 0.0) for g in range(len(names))]
    labels = [f"{shock} of {name}" for name in names]
    if state:
        inside = [(member == g).astype(np.float64) for g in range(len(names))]
        split = [column * one for one in inside for column in design.controls]
        held = [f"{c} of {name}" for name in names for c in design.control_names]
        design = design._replace(
            controls=[*inside[1:], *split], control_names=[*(f"state {n}" for n in names[1:]), *held]
        )
    found = _fit(design, parts, labels)
    scale = float(np.std(x)) if options.get("standardise", False) else 1.0
    contrast = np.column_stack([np.ones(len(names) - 1), -np.eye(len(names) - 1)])
    p_values = []
    for beta, covariance, freedom in zip(found.effects, found.covariances, found.freedom, strict=True):
        gap, spread = contrast @ beta, contrast @ covariance @ contrast.T
        statistic = float(gap @ np.linalg.solve(spread, gap)) / len(gap)
        p_values.append(float(fisher.sf(statistic, len(gap), freedom)))
    any_p = min(1.0, min(p_values) * len(p_values))
    tables = [
        _table(found, g, scale, design.level).select(
            pl.lit(name).alias("group"),
            *("horizon", "horizon_ms", "effect", "se", "lo", "hi"),
            p_equal=pl.Series(p_values),
            p_equal_any=pl.lit(any_p),
            rows_in_group=pl.lit(int((member == g).sum())),
            rows="rows",
        )
        for g, name in enumerate(names)
    ]
    return pl.concat(tables)


@checked
def event_projections(
    events: pl.DataFrame,
    series: pl.DataFrame,
    /,
    *,
    regressors: str | Sequence[str],
    value: str = "mid",
    transform: Literal["log_bp", "level"] = "log_bp",
    offsets_ms: Sequence[float] = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
    width_ms: float | None = None,
    clock: Clock = "recv",
    level: float = 0.95,
) -> pl.DataFrame:
    """Local projections in event time: nothing is put on a grid.

    `v(e + τ) - v(e⁻) = a_τ + β_τ' regressors(e) + u(e, τ)` over events `e`: `v(t)` is the last value at or before `t`,
    `v(e⁻)` the last strictly before the event. Errors overlap by how near two events are in time: weight `max(0, 1 -
    |t_i - t_j| / width)`, Newey & West's (1987) weights at irregular times, with `width_ms` by default `2 τ + 1000`;
    with the factor `n / (n - k)`, intervals by Student's t.

    Parameters: `events` and `series` with the time of `clock` (``ts_recv`` or ``ts_event``; rows of time 0 are left
    out); `value` as `1e4 ln v` (``log_bp``) or as it is (``level``), rows where it is null are left out; `regressors`:
    columns of `events`. Events before the first value are dropped, those whose window it does not cover to the end at
    that offset only.

    A row a regressor and offset: ``regressor, offset_ms, effect, se, lo, hi, events``. Raises `DataError` for missing
    columns, nulls in regressors, values that are not finite (or not positive, for logs), offsets that do not rise from
    0 or more, fewer events than coefficients, and regressors that are constant or combinations of each other.
    """
    names = [regressors] if isinstance(regressors, str) else list(regressors)
    _known(events, names, "events")
    times, values = observed(series, value, clock, transform)
    at = on_clock(events, clock)
    columns = [_floats(at, name) for name in names]
    if not all(abs(ms) < 1e12 for ms in offsets_ms) or (width_ms is not None and not 0 < width_ms < 1e12):
        raise DataError("expected offsets_ms within 30 years and a width_ms above 0")
    offsets = [round(ms * 1e6) for ms in offsets_ms]
    _check_level(level)
    widths = [2 * offset + 1_000_000_000 if width_ms is None else max(1, round(width_ms * 1e6)) for offset in offsets]
    try:
        found, _ = _core.event_projections(at["ts"].to_numpy(), columns, times, values, offsets, widths)
    except DataError as error:
        raise DataError(f"{error}; regressors: {', '.join(names)}") from None
    effects, covariances, rows, *_ = found
    freedom = rows - len(names) - 1
    fit = _Fit(
        effects[:, 1:],
        covariances[:, 1:, 1:] * (rows / freedom)[:, None, None],
        rows,
        freedom,
        [0] * len(offsets),
        list(range(len(offsets))),
        None,
    )
    parts = []
    for place, name in enumerate(names):
        table = _table(fit, place, 1.0, level).select(
            pl.lit(name).alias("regressor"),
            pl.Series("offset_ms", np.array(offsets) / 1e6),
            *("effect", "se", "lo", "hi"),
            events="rows",
        )
        parts.append(table)
    return pl.concat(parts)


def observed(frame: pl.DataFrame, value: str, clock: Clock, transform: str) -> tuple[Times, Floats]:
    """Times (strictly ascending, the last of an instant holds) and values of a column, nulls left out."""
    if transform not in ("log_bp", "level"):
        raise DataError(f'expected transform "log_bp" or "level", found {transform!r}')
    _known(frame, [value], "series")
    rows = on_clock(frame, clock).select("ts", pl.col(value).cast(pl.Float64).fill_nan(None)).drop_nulls()
    rows = rows.unique("ts", keep="last", maintain_order=True)
    times, values = rows["ts"].to_numpy(), rows[value].to_numpy()
    if times.size == 0:
        raise DataError(f"expected at least one {value} with a time on the {clock} clock, found none")
    if not np.isfinite(values).all() or (transform == "log_bp" and values.min() <= 0):
        raise DataError(f"expected finite values of {value}" + ", above 0 for logs" * (transform == "log_bp"))
    return times, 1e4 * np.log(values) if transform == "log_bp" else values


class _Fit(NamedTuple):
    effects: Floats
    """`[horizons, shocks]`."""
    covariances: Floats
    rows: Times
    freedom: Times
    overlaps: list[int]
    horizons: list[int]
    step_ms: float | None


def _known(frame: pl.DataFrame, names: Sequence[str], what: str) -> None:
    if missing := [name for name in names if name not in frame.columns]:
        raise DataError(f"{what}: expected columns {list(names)}, missing {missing}, found {', '.join(frame.columns)}")


def _floats(frame: pl.DataFrame, name: str) -> Floats:
    column = frame[name]
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        raise DataError(f"{name}: expected numbers, found {column.dtype}")
    values = column.cast(pl.Float64)
    bad = (values.is_null() | ~values.is_finite()).arg_true()
    if bad.len():
        raise DataError(f"{name}: expected finite values, found {values[int(bad[0])]} in row {bad[0]}")
    return values.to_numpy()


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise DataError(f"expected a level between 0 and 1, found {level}")


def _design(
    frame: pl.DataFrame,
    outcome: str,
    shocks: Sequence[str],
    *,
    controls: Sequence[str] = (),
    lags: int = 4,
    horizons: Sequence[int] = tuple(range(1, 13)),
    cumulative: bool = True,
    errors: Errors = "lag_augmented",
    overlap: int | None = None,
    standardise: bool = False,
    level: float = 0.95,
) -> _Design:
    names = [*shocks, *controls]
    _known(frame, [outcome, *names], "frame")
    if outcome in names or len(set(names)) < len(names):
        raise DataError(f"expected an outcome, shocks and controls that differ, found {outcome} and {names}")
    if errors not in ("lag_augmented", "hac"):
        raise DataError(f'expected errors "lag_augmented" or "hac", found {errors!r}')
    least = 1 if errors == "lag_augmented" else 0
    if isinstance(lags, bool) or not isinstance(lags, int) or lags < least:
        raise DataError(f"expected {least} lags or more with {errors} errors, found {lags!r}")
    if (overlap is not None and overlap < 0) or not horizons or min(horizons) < 0:
        raise DataError(f"expected horizons and an overlap of 0 rows or more, found {list(horizons)} and {overlap}")
    _check_level(level)
    step_ms = None
    if "ts" in frame.columns and frame.height > 1:
        steps = frame["ts"].diff().drop_nulls()
        if steps.len() < frame.height - 1 or steps.n_unique() != 1 or int(steps[0]) <= 0:
            raise DataError("ts: expected evenly spaced rising times; `even_rows` makes such rows")
        step_ms = int(steps[0]) / 1e6
    y = _floats(frame, outcome)
    columns = {name: _floats(frame, name) for name in names}
    # Row t needs lags 1 to p of Δy(t) = y(t) − y(t−1), so row t − p − 1.
    first = lags + (1 if cumulative and lags else 0)
    if frame.height <= first + 2:
        raise DataError(f"expected more than {first + 2} rows with {lags} lags, found {frame.height}")
    held, held_names = [columns[name][first:] for name in controls], list(controls)
    moves = np.diff(y, prepend=y[:1]) if cumulative else y
    for lag in range(1, lags + 1):
        for name, column in [*columns.items(), (outcome, moves)]:
            held.append(np.ascontiguousarray(column[first - lag : frame.height - lag]))
            held_names.append(f"{name} {lag} before")
    return _Design(
        y,
        [columns[name][first:] for name in shocks],
        held,
        held_names,
        first,
        list(horizons),
        step_ms,
        lags,
        cumulative,
        errors,
        overlap,
        level,
    )


def _fit(design: _Design, shocks: list[Floats], names: list[str], base: int | None = None) -> _Fit:
    base = -1 if base is None and design.cumulative else base
    y, regressors = design.y[design.first :], [*shocks, *design.controls]
    if base == -1:
        # The row before the first holds its base; what the regressors are there does not matter, so they start later.
        y = design.y[max(design.first - 1, 0) :]
        lead = 1 if design.first else 0
        regressors = [np.concatenate([x[:lead], x]) for x in regressors]
    rows = y.size - (1 if base == -1 else 0)
    rule = math.floor(4 * (rows / 100) ** (2 / 9))
    if design.errors == "lag_augmented":
        overlaps = [0] * len(design.horizons)
    elif design.overlap is not None:
        overlaps = [design.overlap] * len(design.horizons)
    else:
        overlaps = [2 * max(h, base or 0) + rule for h in design.horizons]
    try:
        effects, covariances, used, *_ = _core.projections(
            y, regressors, design.horizons, overlaps, base=base, wanted=len(names)
        )
    except DataError as error:
        raise DataError(f"{error}; regressors: {', '.join([*names, *design.control_names])}") from None
    freedom = used - len(regressors) - 1
    scaled = covariances * (used / freedom)[:, None, None]
    return _Fit(effects[:, 1 : len(names) + 1], scaled, used, freedom, overlaps, design.horizons, design.step_ms)


def _table(fit: _Fit, place: int, scale: float, level: float) -> pl.DataFrame:
    from scipy.special import stdtrit

    effect = fit.effects[:, place] * scale
    error = np.sqrt(np.maximum(fit.covariances[:, place, place], 0.0)) * abs(scale)
    reach = error * stdtrit(fit.freedom.astype(np.float64), (1 + level) / 2)
    horizon_ms = None if fit.step_ms is None else np.array(fit.horizons) * fit.step_ms
    return pl.DataFrame(
        {
            "horizon": np.array(fit.horizons, dtype=np.int64),
            "horizon_ms": pl.Series(horizon_ms, dtype=pl.Float64)
            if horizon_ms is not None
            else pl.Series([None] * len(fit.horizons), dtype=pl.Float64),
            "effect": effect,
            "se": error,
            "lo": effect - reach,
            "hi": effect + reach,
            "rows": fit.rows,
            "overlap": np.array(fit.overlaps, dtype=np.int64),
        }
    )


def _groups(
    frame: pl.DataFrame, first: int, x: Floats, by: str, edges: Sequence[float] | None, groups: int
) -> tuple[list[str], Times]:
    """Names of the groups, and of every row the group that it is in (−1: none)."""
    if by == "sign":
        return ["buy", "sell"], np.where(x > 0, 0, np.where(x < 0, 1, -1))
    if by == "size":
        size = np.abs(x)
        if edges is None:
            if isinstance(groups, bool) or not isinstance(groups, int) or not 2 <= groups <= 1_000:
                raise DataError(f"expected 2 to 1,000 groups, found {groups!r}")
            moved = size[size > 0]
            cuts = np.unique(np.quantile(moved, np.arange(1, groups) / groups)) if moved.size else np.empty(0)
        else:
            cuts = np.asarray(edges, dtype=np.float64)
            if cuts.ndim != 1 or not np.isfinite(cuts).all() or (np.diff(cuts) <= 0).any() or (cuts <= 0).any():
                raise DataError(f"expected rising finite edges above 0, found {list(edges)}")
        ends = [0.0, *cuts.tolist(), math.inf]
        names = [f"{lo:g} to {hi:g}" if hi < math.inf else f"from {lo:g}" for lo, hi in pairwise(ends)]
        member = np.where(size > 0, np.searchsorted(cuts, size, side="right"), -1)
        known = [g for g in range(len(names)) if (member == g).any()]
        order = {g: place for place, g in enumerate(known)}
        return [names[g] for g in known], np.array([order.get(g, -1) for g in member.tolist()], dtype=np.int64)
    states = frame[by][first - 1 : frame.height - 1]
    if states.dtype.is_nested() or states.dtype == pl.Object:
        raise DataError(f"{by}: expected states that are values, found {states.dtype}")
    if states.null_count():
        raise DataError(f"{by}: expected a state in every row, found {frame[by].null_count()} nulls")
    known_states = states.unique().sort()
    names = [str(value) for value in known_states]
    if states.dtype == pl.Boolean:
        names = [by if value else f"not {by}" for value in known_states]
    order_of = {value: place for place, value in enumerate(known_states.to_list())}
    return names, np.array([order_of.get(value, -1) for value in states.to_list()], dtype=np.int64)
