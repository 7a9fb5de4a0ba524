"""``crossbook crosses``: every cross between venues with its depth, and what traders would have made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossbook.errors import DataError
from crossbook.market_cli import Captures, Described, Fees, Only, Quote, Rates, Stale, open_market

if TYPE_CHECKING:
    import polars as pl

    from crossbook import Market

_Venue = Annotated[str | None, typer.Option(help="Only crosses with this venue: usdm, binance-usdm, a symbol.")]
_Out = Annotated[Path | None, typer.Option(help="Write the crosses there as Parquet, and the traders beside them.")]


def crosses(
    captures: Captures,
    primary: _Venue = None,
    secondary: _Venue = None,
    fair_basis: Annotated[
        str | None, typer.Option(help="none, rolling_median or funding; by the contracts if not given.")
    ] = None,
    capital: Annotated[
        str | None, typer.Option(help="Capitals of traders in quote currency, as 1e4,1e5: gives their profits.")
    ] = None,
    latency: Annotated[str, typer.Option(help="Latencies of their orders in ms, as 0,1,10.")] = "0",
    view_delay: Annotated[
        str, typer.Option(help="From an event until it is seen, ms; empirical: what the capture's clocks say.")
    ] = "0",
    only: Only = None,
    fx: Rates = None,
    quote: Quote = None,
    fee: Fees = None,
    stale: Stale = 5.0,
    instruments: Described = None,
    out: _Out = None,
    rows: Annotated[int, typer.Option(help="Show so many crosses, the most profitable first.", min=0)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of tables.")] = False,
) -> None:
    """Find every cross between venues net of costs, its size and profit, and what capital and latency make of it."""
    opened, market = open_market(captures, only, fx, quote, fee, stale, instruments)
    options: dict[str, Any] = {"pairs": _pairs(market, primary, secondary), "fair_basis": fair_basis}
    made = None
    if capital is None:
        frame = market.crosses(opened.batches(), **options)
    else:
        made = market.arbitrage(
            opened.batches(),
            capital=_numbers("--capital", capital),
            latency_ms=_numbers("--latency", latency),
            view_delay_ms=view_delay if view_delay == "empirical" else _numbers("--view-delay", view_delay)[0],
            **options,
        )
        frame = made.crosses
    written = []
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(out)
        written.append(out)
        if made is not None:
            written.append(out.with_name(f"{out.stem}-traders{out.suffix}"))
            made.surface.write_parquet(written[-1])
    summary = _summary(frame)
    if as_json:
        body = {"currency": market.quote_currency, "summary": _rows(summary), "crosses": _rows(frame)}
        if made is not None:
            body |= {"traders": _rows(made.surface), "delays": _rows(made.delays)}
        typer.echo(json.dumps(body))
        return
    _show(frame, summary, made, market.quote_currency, rows)
    for path in written:
        typer.echo(str(path))


def _show(frame: pl.DataFrame, summary: pl.DataFrame, made: Any, currency: str, rows: int) -> None:
    import polars as pl
    from rich.console import Console

    from crossbook.cli import _table

    console = Console()
    console.print(_table(summary, f"{frame.height:,} crosses, money in {currency}"))
    if frame.height and rows:
        columns = ["buy", "sell", "start", "duration_ms", "best_edge_bp", "max_size", "max_profit", "half_ms"]
        best = frame.sort("max_profit", "start", descending=[True, False]).head(rows).select(columns)
        start = pl.col("start").cast(pl.Datetime("ns")).dt.to_string("%H:%M:%S%.6f")
        console.print(_table(best.with_columns(start), f"the {best.height} most profitable, UTC"))
    if made is not None:
        columns = ["capital", "latency_ms", "tried", "full", "partial", "missed", "gross", "fees", "unhedged", "profit"]
        console.print(_table(made.surface.select(columns), f"traders, money in {currency}"))
        if not made.delays.is_empty():
            console.print(_table(made.delays, "view delays"))


def _pairs(market: Market, primary: str | None, secondary: str | None) -> list[tuple[str, str]] | None:
    names = [name for name in (primary, secondary) if name is not None]
    if len(names) == 2:
        return [(names[0], names[1])]
    if not names:
        return None
    from crossbook.per_instrument import index_of

    mine = market.instruments[index_of(market.instruments, names[0])]
    others = [one for one in market.instruments if one.name != mine.name and one.base == mine.base]
    return [(mine.name, other.name) for other in others]


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise DataError(f"{option} {text!r}: expected numbers such as 1e4,1e5") from None


def _summary(frame: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return (
        frame.group_by("buy", "sell", "trade", maintain_order=True)
        .agg(
            count=pl.len(),
            total_ms=pl.col("duration_ms").sum(),
            median_ms=pl.col("duration_ms").median(),
            best_edge_bp=pl.col("best_edge_bp").max(),
            max_profit=pl.col("max_profit").max(),
        )
        .sort("count", "buy", "sell", descending=[True, False, False])
    )


def _rows(frame: pl.DataFrame) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(frame.write_json())
    return rows
