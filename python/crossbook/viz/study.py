"""The report of a study: for each part a plot, the number that matters with its interval, and what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossbook.errors import DataError
from crossbook.study.crosses import WINDOW_S, default_fair_basis
from crossbook.study.parts.convergence import NEVER
from crossbook.study.summary import HEADLINE_MS
from crossbook.viz import arbitrage as drawn
from crossbook.viz import plots
from crossbook.viz.report import Section, render
from crossbook.viz.theme import number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crossbook.study.study import Study

__all__ = ["write_report"]

BASIS = {
    "none": "Both sides are the same claim: no fair basis is taken off.",
    "rolling_median": f"The fair basis is the median of the past {WINDOW_S:g} s, so a lasting premium is no cross: "
    "these are convergence trades, not arbitrage.",
    "funding": "The fair basis is what the perpetual's funding implies: these are convergence trades, not arbitrage.",
}


def _interval(value: float | None, lo: float | None, hi: float | None, unit: str) -> str:
    bounds = f" [{number(lo)}, {number(hi)}]" if lo is not None and hi is not None else ""
    return f"{number(value)}{' ' if unit else ''}{unit}{bounds}"


def _intervals(keys: pl.DataFrame, frame: pl.DataFrame, columns: dict[str, tuple[str, str, str]]) -> pl.DataFrame:
    """`keys` with a column of "value [lo, hi]" for each of `columns`."""
    texts = {
        name: [_interval(value, lo, hi, "") for value, lo, hi in frame.select(parts).iter_rows()]
        for name, parts in columns.items()
    }
    return keys.with_columns(pl.Series(name, values) for name, values in texts.items())


def write_report(study: Study, path: Path) -> Path:
    """Write the report of a study to `path`, its folder made if need be, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    primary, secondary = study.primary.instrument.name, study.secondary.instrument.name
    sections = _sections(study)
    ts = pl.concat([study.primary.touches, study.secondary.touches])[f"ts_{study.clock}"]
    span = pl.Series([ts.min(), ts.max()], dtype=pl.Int64).cast(pl.Datetime("ns")).dt.to_string("%Y-%m-%d %H:%M:%S")
    first, last = ("no touch" if one is None else f"{one} UTC" for one in span)
    meta = {
        "primary": primary,
        "secondary": secondary,
        "clock": "receive (ours)" if study.clock == "recv" else "event (the exchange's)",
        "from": first,
        "to": last,
        "capture": study.capture.path.name or "several files",
        "seed": str(study.seed),
    }
    return render(
        path,
        title=f"{study.primary.instrument.base}: {study.labels[primary]} → {study.labels[secondary]}",
        subtitle="How order flow at the primary venue moves the book of the secondary.",
        meta=meta,
        warnings=study.warnings,
        sections=sections,
    )


def _sections(study: Study) -> Iterator[Section]:
    """One after the other, so that one is drawn while the next is computed."""
    for section, title in (
        (_clocks, "Clocks"),
        (_quotes, "Quotes and basis"),
        (_lead_lag, "Lead–lag"),
        (_response, "Response"),
    ):
        try:
            shown = section(study)
        except DataError as error:
            shown = Section(title, [], "–", f"Not measured: {error}.")
        yield shown
    if len(study.capture.instruments) > 1:
        if study.basis.is_empty():
            yield Section("Crosses at the touch", [], "–", f"Not measured: {NEVER}.")
        else:
            yield _crosses(study)
        if not study.arbitrage.is_empty():
            yield _arbitrage(study)
    for part in study.each_part():
        _, measure, value, lo, hi, unit, _ = part.rows[0]
        found = _interval(value, lo, hi, unit)
        yield Section(part.title, part.charts, found, part.sentence, part.caption, part.table, measure)


def _clocks(study: Study) -> Section:
    worst = study.clocks.sort(pl.col("offset_ms").abs(), descending=True)
    if worst.is_empty():
        return Section("Clocks", [plots.clocks(study.clock_path)], "–", "No message carries an exchange time.")
    row = worst.row(0, named=True)
    behind = (
        "our clock runs behind the exchange's"
        if row["behind"]
        else "receive minus event is positive, as a delay must be, so nothing contradicts the two clocks"
    )
    spread = worst["offset_ms"].max() - worst["offset_ms"].min()  # type: ignore[operator]
    return Section(
        "Clocks",
        [plots.clocks(study.clock_path)],
        _interval(row["offset_ms"], row["offset_p05_ms"], row["offset_p95_ms"], "ms"),
        f"Median receive minus event time of {row['venue']}, with its 5th to 95th percentile: {behind}, "
        f"and the venues' medians differ by {number(spread, 3)} ms. Nothing of it is removed from any other part.",
        "Receive minus event time holds network delay and clock difference together. The drift is the least-squares "
        "slope of the medians of whole seconds; its interval takes seconds as independent.",
        _intervals(
            study.clocks.select("venue", "messages"),
            study.clocks,
            {
                "receive − event, ms": ("offset_ms", "offset_p05_ms", "offset_p95_ms"),
                "drift, ms per min": ("drift_ms_per_min", "drift_lo", "drift_hi"),
            },
        ),
        f"receive − event, {study.labels[row['venue']]}",
    )


def _quotes(study: Study) -> Section:
    level = study.basis_summary.row(0, named=True)
    venues = list(dict.fromkeys(v.instrument.name for v in (study.primary, study.secondary)))
    ts = pl.col(f"ts_{study.clock}").alias("ts")
    mids = pl.concat(
        v.touches.select(pl.lit(v.instrument.name).alias("venue"), ts, "mid", "spread_bp")
        for v in (study.primary, study.secondary)[: len(venues)]
    ).drop_nulls("mid")
    side = "above" if level["basis_bp"] > 0 else "below"
    return Section(
        "Quotes and basis",
        [
            plots.quotes(mids, venues=venues),
            plots.basis(study.basis),
            plots.depth(study.depth, base=study.primary.instrument.base, venues=venues),
        ],
        _interval(level["basis_bp"], level["lo"], level["hi"], "bp"),
        f"On average over time the secondary's mid stood that far {side} the primary's; nine tenths of the time the "
        f"basis lay between {number(level['p05'])} and {number(level['p95'])} bp.",
        "Touch of each venue by the newest update id of its quotes and its depth, at every change, up to where both "
        f"were watched. The interval is a bootstrap of {study.block_s:.3g} s blocks. Sizes of all contracts in "
        "base currency.",
        study.depth,
        "basis, secondary − primary, mean over time",
    )


def _lead_lag(study: Study) -> Section:
    summary = study.lead_lag_summary
    row = summary.row(0, named=True)
    peaks = []
    for one in summary.iter_rows(named=True):
        peak = _interval(one["peak_lag_ms"], one["peak_lag_lo_ms"], one["peak_lag_hi_ms"], "ms")
        who = {"primary": "the primary leads", "secondary": "the secondary leads", "none": "no leader"}[one["leader"]]
        peaks.append(f"on {one['series']} the contrast peaks at {peak} ({who})")
    leaders, live = set(summary["leader"]), summary.filter(pl.col("series") != "depth mids")
    least, most = live["peak_lag_ms"].abs().min(), live["peak_lag_ms"].abs().max()
    verdict = "The series disagree on who leads"
    if len(leaders) == 1:
        verdict = "Neither leads beyond what chance allows" if leaders == {"none"} else f"The {leaders.pop()} leads"
    between = ""
    if live["leader"].n_unique() == 1 and live["leader"][0] != "none" and least != most:
        between = f" So the lead of the {live['leader'][0]} is somewhere between {number(least)} and {number(most)} ms."
    return Section(
        "Lead–lag",
        [plots.lead_lag(study.lead_lag, peak=(row["peak_lag_ms"], row["peak_lag_lo_ms"], row["peak_lag_hi_ms"]))],
        _interval(row["peak_lag_ms"], row["peak_lag_lo_ms"], row["peak_lag_hi_ms"], "ms"),
        f"{verdict}: {'; '.join(peaks)}.{between} The number above is that of {row['series']}, where the lead–lag "
        f"ratio Σρ² is {_interval(row['llr'], row['llr_lo'], row['llr_hi'], '')}. A positive lag: the secondary "
        "follows.",
        "Hayashi–Yoshida contrast over lags, normalised by both realised variances (it may exceed 1 where prices "
        "trend from tick to tick). Quote mids are observed at their changes; where the venues' ticks differ, the "
        "coarser one's mid changes later and its lag is inflated, so the curve on every quote stands beside it. "
        "Depth mids are biased: a depth stream that is sent in batches (every 100 ms on Binance spot) shows moves up "
        f"to a batch late. Intervals: a bootstrap of {study.block_s:.3g} s blocks.",
        _intervals(
            summary.select("series", "leader"),
            summary,
            {
                "peak lag, ms": ("peak_lag_ms", "peak_lag_lo_ms", "peak_lag_hi_ms"),
                "ratio Σρ²": ("llr", "llr_lo", "llr_hi"),
            },
        ).with_columns(summary["rho_peak"].alias("contrast at the peak")),
        f"peak lag, {row['series']}",
    )


def _response(study: Study) -> Section:
    at = study.response.filter(pl.col("offset_ms") == HEADLINE_MS)
    trade = at.filter(pl.col("event") == "trade")
    seconds = HEADLINE_MS / 1e3
    if trade.is_empty() or trade["mean_bp"][0] is None:
        value, sentence = "–", "The primary had no aggressor orders with enough quotes around them."
    else:
        row = trade.row(0, named=True)
        value = _interval(row["mean_bp"], row["lo_bp"], row["hi_bp"], "bp")
        before = study.response.filter((pl.col("event") == "trade") & (pl.col("offset_ms") == -100.0))
        ahead = ""
        if before.height and before["mean_bp"][0] is not None:
            moved = number(-before["mean_bp"][0], 2)
            ahead = f" In the 100 ms before the order it had already moved {moved} bp the same way."
        orders, fills = study.orders
        sentence = (
            f"Mean move of the secondary's mid {seconds:g} s after a primary aggressor order, in its direction, over "
            f"{row['events']:,} of {orders:,} orders, {fills:,} fills.{ahead}"
        )
    return Section(
        "Response",
        [plots.response(study.response)],
        value,
        sentence,
        "Paths start at the mid just before the event and are signed so that up is the event's direction (a bid "
        "added or an ask cancelled points up). Fills of one engine time and side are one order. Cancellations are what "
        "trades of the same engine time (of the study's clock where a venue gives none) do not explain; a trade whose "
        f"quote bears another time leaves a false one. Bands: 95 %, clustered by {study.block_s:.3g} s blocks. Events "
        "overlap, so a path is an average of flow as it comes, not the effect of one event alone.",
        at,
        f"secondary's mid {seconds:g} s after a primary aggressor order",
    )


def _crosses(study: Study) -> Section:
    found, ladder = study.crosses, study.ladder
    total = sum(study.fees.values())
    value, lo, hi = (None if x is None else x * 100 for x in study.cross_share)
    share = _interval(value, lo, hi, "%")
    fees = ", ".join(f"{name} {fee:g} bp" for name, fee in study.fees.items())
    if found.height:
        sentence = (
            f"Net of {total:g} bp of taker fees the venues overlapped {share} of the time, for "
            f"{number(found['duration_ms'].median(), 3)} ms at the median, at best by "
            f"{number(found['best_edge_bp'].max(), 3)} bp."
        )
    else:
        left = ladder.filter(pl.col("count") > 0)["fee_bp"].to_list()
        top = max(ladder["fee_bp"].to_list())
        if not left:
            lowest = "there was no cross even free of fees"
        elif max(left) == top:
            lowest = f"crosses are left up to {top:g} bp, where the ladder ends"
        else:
            lowest = f"the last cross is gone above {max(left):g} bp"
        sentence = f"No overlap survives {total:g} bp of taker fees: {lowest}."
    fair = BASIS[study.fair_basis]
    if study.fair_basis == "none" and default_fair_basis(*study.capture.instruments) != "none":
        fair = "No fair basis is taken off: the two contracts are different claims, taken as the same claim, as asked."
    span = study.basis["ts"]
    return Section(
        "Crosses at the touch",
        [plots.crosses(found, span=(span[0], span[-1])), plots.ladder(ladder)],
        share if found.height else "0 crosses net of fees",
        f"{sentence} {found.height:,} cross{'' if found.height == 1 else 'es'} in all." if found.height else sentence,
        f"Taker fees (base tier unless given): {fees}. {fair} Observed for {number(study.observed_s, 4)} s, up to "
        f"where both venues were watched; the interval is a bootstrap of {study.block_s:.3g} s blocks. Size, latency "
        "and capital are not counted here.",
        ladder.drop("total_ms"),
        "share of time crossed net of fees" if found.height else "",
    )


def _arbitrage(study: Study) -> Section:
    frame, currency = study.arbitrage, study.primary.instrument.quote
    own = frame.filter(pl.col("fees_level") == "own")
    total = sum(study.fees.values())
    # Where the own fees leave nothing to trade, what would be there without them says why.
    level, fees = ("own", f"net of {total:g} bp of taker fees") if own["tried"].sum() else ("free", "free of fees")
    shown = frame.filter(pl.col("fees_level") == level)
    best = shown.sort("profit", descending=True).row(0, named=True)
    least, most = (float(one) for one in shown.select(pl.min("latency_ms"), pl.max("latency_ms").alias("most")).row(0))
    richest = shown.filter(pl.col("capital") == shown["capital"].max())
    gone = richest.filter(pl.col("profit") <= 0).sort("latency_ms")
    lead = f"Net of {total:g} bp of taker fees nobody traded. " if level == "free" else ""
    until = (
        f"At {gone['latency_ms'][0]:g} ms the one with the most capital lost money."
        if gone.height
        else f"The one with the most capital won {number(richest.sort('latency_ms')['profit'][-1], 3)} {currency} at "
        f"{most:g} ms."
    )
    clocks = study.receive_only.filter(pl.col("level") == level).row(0, named=True)
    confirmed = ""
    if clocks["share"] is not None:
        confirmed = (
            f" Of {clocks['receive_only'] + clocks['both']:,} crosses at the touch {clocks['receive_only']:,} "
            f"({number(clocks['share'] * 100, 3)} %) were there on our receive clock only: on the exchanges' clocks "
            "their two quotes never stood at the same time."
        )
    trades = (
        "These are convergence trades: profit is against the fair basis, not locked in. "
        if study.fair_basis != "none" or default_fair_basis(*study.capture.instruments) != "none"
        else ""
    )
    return Section(
        "What capital and latency make of it",
        [drawn.surface(shown, currency=currency, fees=fees), drawn.costs(richest, currency=currency)],
        f"{number(best['profit'], 3)} {currency}",
        f"{lead}The best of {shown.height} traders, with {number(best['capital'])} {currency} and "
        f"{best['latency_ms']:g} ms, won that {fees} in {best['tried']:,} trades. {until}{confirmed}",
        f"{trades}A trader takes a cross with two orders that arrive after the latency, {least:g} ms at least; each "
        "fills what is there then up to the price that was seen, and an unmatched rest is sent back to its venue. "
        "Size that he took is not there again before its price was empty. Inventories start half in cash and half in"
        " base currency and are never moved between venues. Latency is counted from our receipt of a message. Books "
        "silent for 5 s are left out. Other quote currencies are taken at par.",
        shown.drop("fees_level", "fixed", "unclosed", "planned", "volume"),
        f"profit of the best trader, {fees}",
    )
