"""``crossbook route``: how an order would be split at a time of a capture."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossbook.cli_options import show_time, time_of
from crossbook.errors import DataError, RouteError
from crossbook.market_cli import At, Captures, Described, Fees, Only, Quote, Rates, Stale, _short, market_at

if TYPE_CHECKING:
    from rich.console import Group

    from crossbook import Market, Route


class _Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of tables.")]


def route(
    captures: Captures,
    side: Annotated[_Side, typer.Option(help="Whether to buy or to sell.")],
    at: At = None,
    size: Annotated[str | None, typer.Option(help="How much, in base currency.")] = None,
    notional: Annotated[str | None, typer.Option(help="Or for how much, in quote currency, costs included.")] = None,
    limit: Annotated[str | None, typer.Option(help="The worst price, before costs.")] = None,
    max_venues: Annotated[int | None, typer.Option(min=1, help="At most so many orders.")] = None,
    deny: Annotated[list[str] | None, typer.Option(help="Not at this instrument, nor at others so named.")] = None,
    least: Annotated[
        list[str] | None, typer.Option("--min", help="Least order at a venue, as NAME=SIZE in base currency.")
    ] = None,
    most: Annotated[
        list[str] | None, typer.Option("--max", help="Greatest order at a venue, as NAME=SIZE in base currency.")
    ] = None,
    only: Only = None,
    fx: Rates = None,
    quote: Quote = None,
    fee: Fees = None,
    stale: Stale = 5.0,
    instruments: Described = None,
    as_json: _AsJson = False,
) -> None:
    """Say how an order would be split over the venues at a time of captures. Without --at: at the end.

    What cannot be traded in full is shown as far as it goes, with exit code 1.
    """
    from rich.console import Console

    from crossbook.routing import Constraints

    if (size is None) == (notional is None):
        raise DataError("expected either --size or --notional")
    made = market_at(time_of(at), captures, only, fx, quote, fee, stale, instruments)
    constraints = Constraints(deny=deny or (), min_size=_sizes(least), max_size=_sizes(most), max_venues=max_venues)
    found = made.route(side.value, size, notional=notional, limit=limit, constraints=constraints, partial=True)
    if as_json:
        typer.echo(json.dumps(_told(made, found)))
    else:
        Console().print(_screen(made, found))
    if found.shortfall not in {None, "contracts"}:
        raise RouteError(f"expected to trade {found.wanted:g}, found {found.filled:g}: {found.shortfall}", found)


def _sizes(texts: list[str] | None) -> dict[str, str]:
    sizes = {}
    for text in texts or ():
        name, found, value = text.partition("=")
        if not (name and found and value):
            raise DataError(f"size {text!r}: expected NAME=SIZE such as usdm=0.5")
        sizes[name] = value
    return sizes


def _told(made: Market, found: Route) -> dict[str, Any]:
    filled, notional, cost, total = found.exact
    return {
        "time": made.now,
        "side": found.side,
        "currency": made.quote_currency,
        "wanted": found.wanted,
        "filled": filled,
        "notional": notional,
        "cost": cost,
        "total": total,
        "shortfall": found.shortfall,
        "average": found.average,
        "marginal": found.marginal,
        "slippage_mid_bp": found.slippage_mid_bp,
        "slippage_touch_bp": found.slippage_touch_bp,
        "is_optimal": found.is_optimal,
        "gap": found.gap,
        "legs": found.to_polars().to_dicts(),
        "left_out": [{"instrument": name, "reason": reason} for name, reason in found.left_out],
    }


def _screen(made: Market, found: Route) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def number(value: float) -> str:
        return f"{value:,.10g}"

    base, currency = made.base_currency, made.quote_currency
    short = dict(zip((one.name for one in made.instruments), _short(made), strict=True))
    table = Table(header_style="bold")
    for name in ("venue", "order", "limit", base, currency, "cost", "last, net"):
        table.add_column(Text(name), justify="left" if name == "venue" else "right")
    for leg in found.legs:
        shown = f"{leg.size:,.6g}", f"{leg.notional:,.2f}", f"{leg.cost:,.2f}", f"{leg.marginal:,.2f}"
        table.add_row(Text(short[leg.instrument]), leg.order_size, leg.order_price, *shown)
    sums = f"{found.filled:,.6g}", f"{found.notional:,.2f}", f"{found.cost:,.2f}", f"{found.marginal:,.2f}"
    table.add_row("all", "", "", *sums, style="bold")
    proof = "optimal" if found.is_optimal else "not proven optimal"
    if not found.is_optimal and found.gap is not None:
        proof = f"at most {number(found.gap)} {currency} from optimal"
    mid, touch = f"{found.slippage_mid_bp:.3g} bp from the mid", f"{found.slippage_touch_bp:.3g} bp from the touch"
    slippage = f"{number(found.average)} on average, {mid}, {touch}"
    verb = "pays" if found.side == "buy" else "brings"
    lines = [
        Text(f"{show_time(made.now)}  {found.side} {number(found.wanted)} {base}", style="bold"),
        Text(f"{verb} {number(found.total)} {currency}, {slippage}; {proof}"),
    ]
    out = [Text(f"left out: {name}, {reason}", style="yellow") for name, reason in found.left_out]
    return Group(lines[0], table, lines[1], *out)
