"""What the primary's flow does to the secondary's price, spread, depth and flow, and how depth comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossbook.errors import DataError
from crossbook.study.flow_rows import flow_rows
from crossbook.study.parts.part import INTERVAL, Part, Row
from crossbook.study.projections import local_projections, permanent_and_temporary, split_projections
from crossbook.study.resilience import resilience
from crossbook.study.response import aggressor_orders
from crossbook.study.series import on_clock

if TYPE_CHECKING:
    from crossbook.study.study import Study

__all__ = ["part"]

TITLE = "Response of price, spread, depth and flow"
HEADLINE = ("projections", "mid 1 s after a shock of primary OFI", "bp")
STEP_MS, LAGS, MOST_ROWS = 20.0, 6, 40_000
HORIZONS = (0, 1, 2, 5, 10, 25, 50, 100)
HEADLINE_ROWS, PERMANENT_ROWS = 50, 250
RANKS, RANK_STEP_MS, RANK_ROWS = 10, 100.0, (1, 10)
"""Levels whose size is followed, on rows as far apart as depth streams are, and after so many of those."""
LARGE = 0.9
"""Orders above this quantile of size are large."""
SHOCKS = {"ofi": "order-flow imbalance", "trades": "trades", "adds": "additions", "cancels": "cancellations"}
OUTCOMES = {
    "mid_bp": ("mid, bp", True),
    "spread_bp": ("spread, bp", True),
    "depth": ("depth at the touch, {base}", True),
    "own_flow": ("own order flow, {base}", False),
}
CAPTION = (
    f"Local projections on rows of {STEP_MS:g} ms (or longer, where there would be more than {MOST_ROWS:,}), "
    f"lag-augmented with {LAGS} lags: one regression a horizon and shock, of one standard deviation. Shocks are signed "
    "by where they push the price. Each is the response to one flow as it comes, not holding the others fixed, so they "
    "do not add up. Permanent is what is left after 5 s. Sizes by level of the book on rows of 100 ms, a level being a "
    "rank and not a price: where the price moves, another price stands at it. Resilience: an exponential through the "
    "mean path after the tenth of orders that were largest."
)


def part(study: Study) -> Part:
    """Local projections, their split by sign, size and volatility, permanent part, resilience.

    Raises `DataError` where there are too few rows.
    """
    from crossbook.viz import response_plots as plots

    p, s = study.primary, study.secondary
    base = s.instrument.base
    ts = f"ts_{study.clock}"
    span = (int(s.touches[ts][-1]) - int(s.touches[ts][0])) / 1e6 if s.touches.height else 0.0
    step = STEP_MS * max(1, -(-int(span / STEP_MS) // MOST_ROWS))
    rows = flow_rows(p.touches, p.trades, s.touches, s.trades, step_ms=step, clock=study.clock, end=study.shared_end)
    rows = rows.with_columns(depth=pl.col("bid_size") + pl.col("ask_size"))
    tables, lines = [], []
    for outcome, (_, cumulative) in OUTCOMES.items():
        for shock, words in SHOCKS.items():
            if outcome != "mid_bp" and shock not in ("ofi", "trades"):
                continue
            found = local_projections(
                rows,
                outcome=outcome,
                shock=shock,
                lags=LAGS,
                horizons=HORIZONS,
                cumulative=cumulative,
                standardise=True,
            )
            tables.append(found.with_columns(shock=pl.lit(words), outcome=pl.lit(outcome)))
            lines.append((outcome, words, found.row(by_predicate=pl.col("horizon") == HEADLINE_ROWS, named=True)))
    table = pl.concat(tables)
    after = HEADLINE_ROWS * step / 1e3
    units = {"mid_bp": "bp", "spread_bp": "bp", "depth": base, "own_flow": base}
    names = {"mid_bp": "mid", "spread_bp": "spread", "depth": "depth at the touch", "own_flow": "own flow"}
    first = lines[0][2]
    out: list[Row] = [(*HEADLINE[:2], first["effect"], first["lo"], first["hi"], HEADLINE[2], INTERVAL)]
    out += [
        (
            "projections",
            f"{names[o]} {after:g} s after {words}",
            row["effect"],
            row["lo"],
            row["hi"],
            units[o],
            INTERVAL,
        )
        for o, words, row in lines[1:]
    ]
    same = {"outcome": "mid_bp", "shock": "ofi", "lags": LAGS, "standardise": True}
    stays = permanent_and_temporary(rows, permanent=PERMANENT_ROWS, horizons=[HEADLINE_ROWS], **same)  # type: ignore[arg-type]
    row = stays.row(0, named=True)
    for kind in ("permanent", "temporary"):
        values = row[kind], row[f"{kind}_lo"], row[f"{kind}_hi"]
        out.append(("projections", f"{kind} part of it, {after:g} s after", *values, "bp", INTERVAL))
    splits = []
    for by in ("sign", "size", "volatile"):
        try:
            split = split_projections(rows, by=by, horizons=[5, HEADLINE_ROWS], **same)  # type: ignore[arg-type]
        except DataError:
            continue  # a regime or a size that never came
        splits.append(split.with_columns(by=pl.lit(by)))
        out.append(("projections", f"the same by {by}: p", split["p_equal_any"][0], None, None, "", None))
    ranks, rank_sentence = _ranks(study, rows, step, out)
    depth, refills, found_sentence = _resilience(study, out)
    chance = ", which could be chance" if first["lo"] <= 0 <= first["hi"] else ""
    sentence = (
        f"One standard deviation of order-flow imbalance at {study.labels[p.instrument.name]} within {step:g} ms moves "
        f"the mid at {study.labels[s.instrument.name]} by {first['effect']:.2g} bp within {after:g} s{chance}; "
        f"{row['permanent']:.2g} bp are left after {PERMANENT_ROWS * step / 1e3:g} s.{rank_sentence}{found_sentence}"
    )
    panels = {name: label.format(base=base) for name, (label, _) in OUTCOMES.items()}
    charts = [plots.projections(table, panels=panels, unit_of_shock="one standard deviation of flow")]
    frames = {"projections": table, "projection_splits": pl.concat(splits) if splits else pl.DataFrame()}
    if ranks.height:
        charts.append(
            plots.depth_by_level(
                ranks.filter(horizon_ms=ranks["horizon_ms"].min()), unit_of_shock="one standard deviation of flow"
            )
        )
        frames["depth_by_level"] = ranks
    if depth is not None:
        charts.append(plots.refill(depth, unit=base))
        frames |= {"refill": depth, "resilience": refills}
    return Part(TITLE, out, sentence, CAPTION, charts, {n: f for n, f in frames.items() if f.width})


def _ranks(study: Study, rows: pl.DataFrame, step: float, out: list[Row]) -> tuple[pl.DataFrame, str]:
    """The size of every level of the secondary's book after primary flow, its rows added to `out`; what it means."""
    base, name = study.secondary.instrument.base, study.labels[study.secondary.instrument.name]
    many = max(1, round(RANK_STEP_MS / step))
    whole = rows.height // many
    # Sizes as last known at the end of each long row, flows summed over it.
    flows = {n: rows[n].to_numpy()[: whole * many].reshape(whole, many).sum(axis=1) for n in ("ofi", "trades")}
    long = rows.select("ts").gather_every(many, many - 1).head(whole).with_columns(**flows)
    shown = on_clock(study.secondary.flow, study.clock).select(
        pl.col("ts").cast(pl.Int64), pl.col("^(bid|ask)_size_[0-9]+$").fill_nan(None).forward_fill()
    )
    sizes = [n for n in shown.columns[1:] if shown[n].null_count() < shown.height]
    long = long.join_asof(shown.select("ts", *sizes), on="ts").drop_nulls(sizes)
    if not sizes or long.is_empty():
        return pl.DataFrame(), ""
    tables = []
    for outcome in sizes:
        side, _, rank = outcome.partition("_size_")
        for shock in flows:
            try:
                found = local_projections(
                    long, outcome=outcome, shock=shock, lags=LAGS, horizons=RANK_ROWS, standardise=True
                )
            except DataError:
                continue  # a level that never changed its size, or too short a capture
            mean = float(long[outcome].mean() or 0.0)  # type: ignore[arg-type]  # a float column
            tables.append(
                found.select(
                    pl.lit(side).alias("side"),
                    pl.lit(int(rank)).alias("level"),
                    pl.lit(SHOCKS[shock]).alias("shock"),
                    *("horizon_ms", "effect", "lo", "hi"),
                    pl.lit(mean).alias("mean_size"),
                )
            )
    if not tables:
        return pl.DataFrame(), ""
    table = pl.concat(tables)
    first = table["horizon_ms"].min()
    shown = table.filter((pl.col("shock") == SHOCKS["ofi"]) & (pl.col("horizon_ms") == first))
    for one in shown.sort("level", "side").iter_rows(named=True):
        measure = f"{one['side']} size at level {one['level']} {one['horizon_ms']:g} ms after {SHOCKS['ofi']}"
        out.append(("projections", measure, one["effect"], one["lo"], one["hi"], base, INTERVAL))
    clear = {
        side: shown.filter((pl.col("side") == side) & ((pl.col("lo") > 0) | (pl.col("hi") < 0))).height
        for side in ("ask", "bid")
    }
    best = {one["side"]: one for one in shown.filter(pl.col("level") == 1).iter_rows(named=True)}
    words = [
        f"{side}s by {best[side]['effect']:+.2g} {base} ({best[side]['lo']:+.2g} to {best[side]['hi']:+.2g})"
        for side in ("ask", "bid")
        if side in best
    ]
    ranks = shown["level"].n_unique()
    return table, (
        f" Within {float(shown['horizon_ms'][0]):g} ms it changes the best {' and the best '.join(words)} at {name}; "
        f"beyond chance it moves {clear['ask']} of {ranks} levels of asks and {clear['bid']} of {ranks} of bids."
        if words
        else ""
    )


def _resilience(study: Study, out: list[Row]) -> tuple[pl.DataFrame | None, pl.DataFrame, str]:
    """Depth within 5 bp on the side that large primary orders hit, its rows added to `out`."""
    orders = aggressor_orders(study.primary.trades)
    depth, base = study.secondary.depth, study.secondary.instrument.base
    paths, tables, said = [], [], ""
    large = orders.filter(pl.col("size") >= orders["size"].quantile(LARGE)) if orders.height else orders
    for side, sign in (("ask", 1), ("bid", -1)):
        try:
            path, table = resilience(
                large.filter(pl.col("side") == sign),
                depth,
                value=f"{side}_5bp",
                horizon_ms=2_000.0,
                block_s=study.block_s,
                resamples=200,
                clock=study.clock,
                seed=study.seed,
            )
        except DataError:
            continue  # too few large orders, or a depth that was never known
        paths.append(path.with_columns(side=pl.lit(side)))
        tables.append(table.with_columns(side=pl.lit(side)))
        for row in table.iter_rows(named=True):
            values = row["value"], row["lo"], row["hi"]
            unit = {"share": "", "ms": "ms"}.get(row["unit"], base)
            words = row["measure"].replace("_ms", "").replace("_", " ")
            bounds = INTERVAL if row["lo"] is not None else None
            out.append(("projections", f"{side} depth after large orders: {words}", *values, unit, bounds))
        found = {row["measure"]: row for row in table.iter_rows(named=True)}
        drained, life = found["drained"], found["half_life_ms"]
        if not said and drained["lo"] is not None and drained["lo"] > 0:
            back = found["share_by_horizon"]["value"]
            said = f" Large orders drain {drained['value']:.2g} {base} of its {side}s within 5 bp"
            if life["lo"] is None or back is None:
                said += "; how fast that comes back is not clear from so few."
            else:
                said += f", of which {back:.0%} is back after 2 s, half of that in {life['value']:,.0f} ms."
    if not paths:
        return None, pl.DataFrame(), ""
    return pl.concat(paths), pl.concat(tables), said
