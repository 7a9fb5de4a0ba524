"""``crossbook market`` and ``crossbook book``: several venues as one, from captures."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossbook.cli_options import rates_of, show_time, time_of
from crossbook.errors import DataError

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from crossbook import Capture, Market, Tape

Captures = Annotated[list[Path], typer.Argument(help="Captures: files or folders, played together by receive time.")]
Only = Annotated[
    list[str] | None, typer.Option("--instrument", "-i", help="Only this instrument, and others so named.")
]
Rates = Annotated[
    list[str] | None, typer.Option("--fx", help="A currency's rate: USD=1, or USDT=INSTRUMENT for its book.")
]
Quote = Annotated[str | None, typer.Option(help="Currency of the prices; the first instrument's if not given.")]
Stale = Annotated[float, typer.Option(min=0, help="A venue not heard of for so many seconds is left out.")]
Fees = Annotated[list[str] | None, typer.Option("--fee", help="Taker fee in bp, as NAME=BP; base tier if not given.")]
Described = Annotated[Path | None, typer.Option("--instruments", help="An instruments file that declares units.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, a line a look, instead of tables.")]
At = Annotated[str | None, typer.Option(help="ISO 8601 (UTC) or ns (17 digits or more), on the receive clock.")]


def market(
    captures: Captures,
    speed: Annotated[float, typer.Option(min=0, help="Times as fast as it was received; 0: as fast as possible.")] = 1,
    every: Annotated[float, typer.Option(min=0.01, help="Seconds between two looks.")] = 0.5,
    levels: Annotated[int, typer.Option(min=1, max=100, help="Levels of each side.")] = 5,
    at: At = None,
    only: Only = None,
    fx: Rates = None,
    quote: Quote = None,
    fee: Fees = None,
    stale: Stale = 5.0,
    instruments: Described = None,
    as_json: AsJson = False,
) -> None:
    """Play captures into one market and show its ladder, every venue's share of it, and what is locked or crossed.

    With --at it begins there: what lies before is applied as fast as possible.
    """
    from rich.console import Console
    from rich.live import Live

    opened, made = open_market(captures, only, fx, quote, fee, stale, instruments)
    start = time_of(at)
    console = Console(stderr=True)
    live = Live(console=console, auto_refresh=False) if not as_json and sys.stderr.isatty() else None
    began = first = None
    looked = float("-inf")

    def look() -> None:
        if live is not None:
            live.update(_screen(made, levels), refresh=True)
        elif as_json:
            typer.echo(json.dumps(_look(made, levels)))

    if live is not None:
        live.start()
    try:
        for tape, reached in _tapes(opened, start, rows=256 if speed else 65_536):
            now = int(tape[len(tape) - 1 :].to_polars()["ts_recv"][0])
            if reached and speed:
                if began is None or first is None:
                    began, first = time.monotonic(), now
                time.sleep(max(0.0, began + (now - first) / 1e9 / speed - time.monotonic()))
            made.apply(tape)
            if reached and time.monotonic() - looked >= every:
                looked = time.monotonic()
                look()
        look()
    finally:
        if live is not None:
            live.stop()
    if not as_json:
        Console().print(_screen(made, levels))


def book(
    captures: Captures,
    at: At = None,
    levels: Annotated[int, typer.Option(min=1, max=10_000, help="Levels of each side.")] = 10,
    only: Only = None,
    fx: Rates = None,
    quote: Quote = None,
    fee: Fees = None,
    stale: Stale = 5.0,
    instruments: Described = None,
    as_json: AsJson = False,
) -> None:
    """Show a book as it stood at a time, of one venue (-i NAME) or of all as one. Without --at: at the end."""
    made = market_at(time_of(at), captures, only, fx, quote, fee, stale, instruments)
    if as_json:
        typer.echo(json.dumps(_look(made, levels)))
        return
    from rich.console import Console

    Console().print(_screen(made, levels))


def market_at(
    until: int | None,
    captures: list[Path],
    only: list[str] | None,
    fx: list[str] | None,
    quote: str | None,
    fees: list[str] | None,
    stale: float,
    instruments: Path | None,
) -> Market:
    """The market of captures as it stood then, or at their end. Raises `DataError` if they begin later."""
    opened, made = open_market(captures, only, fx, quote, fees, stale, instruments)
    seen = False
    for tape, reached in _tapes(opened, until, rows=65_536):
        if reached and until is not None:
            break
        made.apply(tape)
        seen = True
    if not seen:
        names = ", ".join(map(str, captures))
        raise DataError(f"{names}: expected events at or before {show_time(until)}, the first is later")
    if until is not None:
        made.advance(until)
    return made


def open_market(
    captures: list[Path],
    only: list[str] | None,
    fx: list[str] | None,
    quote: str | None,
    fees: list[str] | None,
    stale: float,
    instruments: Path | None,
) -> tuple[Capture, Market]:
    """The captures as one, and a market of their instruments by the options of a command line."""
    import crossbook as xb

    opened = xb.open(captures, instruments=instruments)
    rates = rates_of(fx or (), opened)
    if only:
        chosen = [opened.instruments[opened.index(name)] for name in only]
        chosen += [one for one in rates.values() if not isinstance(one, str) and one not in chosen]
        opened = opened.select(*(one.name for one in chosen))
    known = opened.instruments
    bases = sorted({one.base for one in known if one not in rates.values()})
    if len(bases) > 1:
        raise DataError(f"expected instruments of one base currency, found {', '.join(bases)}: choose some with -i")
    costs: dict[str, float] = dict(_fee(text) for text in fees or ())
    return opened, xb.Market(known, fx=rates, quote=quote, costs=costs, stale_after=stale, record=False)


def _fee(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise DataError(f"fee {text!r}: expected NAME=BP such as usdm=5") from None


def _tapes(capture: Capture, at: int | None, *, rows: int) -> Iterator[tuple[Tape, bool]]:
    """Tapes, split where receive times pass `at`, each with whether it lies after that."""
    passed = at is None
    for tape in capture.batches(rows=65_536 if not passed else rows):
        if passed or at is None:
            for first in range(0, len(tape), rows):
                yield tape[first : first + rows], True
            continue
        later = tape.to_polars()["ts_recv"] > at
        # Up to the first event after it: receive times of one capture do not run back, but events without one are 0.
        after = later.arg_true()
        count = int(after[0]) if len(after) else len(tape)
        if count:
            yield tape[:count], False
        if count < len(tape):
            passed = True
            for first in range(count, len(tape), rows):
                yield tape[first : min(first + rows, len(tape))], True


def _look(made: Market, levels: int) -> dict[str, Any]:
    best = made.quote()
    names = [one.name for one in made.instruments]
    cross = best.cross
    return {
        "time": made.now,
        "currency": made.quote_currency,
        "state": best.state,
        "bid": best.bid,
        "bid_size": best.bid_size,
        "bid_venues": [names[index] for index in best.bid_venues],
        "ask": best.ask,
        "ask_size": best.ask_size,
        "ask_venues": [names[index] for index in best.ask_venues],
        "microprice": best.microprice,
        "cross": cross and {"buy": names[cross[0]], "sell": names[cross[1]], "edge": cross[2]},
        "venues": made.quotes().to_dicts(),
        "book": made.book(levels).to_dicts(),
    }


def _short(made: Market) -> list[str]:
    """Names of the venues that fit a column: usdm, or binance-usdm:BTCUSDT where several are so called."""
    known = made.instruments
    aliases = [one.alias for one in known]
    return [one.alias if aliases.count(one.alias) == 1 else one.name for one in known]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.10g}"


def _screen(made: Market, levels: int) -> Group:
    from rich.console import Group
    from rich.text import Text

    best, units = made.quote(), f"{made.base_currency}/{made.quote_currency}"
    names = _short(made)
    style = {"locked": "yellow", "crossed": "red"}.get(best.state)
    line = Text(f"{show_time(made.now)}  {units}  {best.state}", style=style or "bold")
    if best.mid and best.microprice is not None and best.bid is not None and best.ask is not None:
        line.append(f"  microprice {_number(best.microprice)}  spread {(best.ask - best.bid) / best.mid * 1e4:.3g} bp")
    if best.cross is not None:
        buy, sell, edge = best.cross
        line.append(f"  buy {names[buy]}, sell {names[sell]}: {_number(edge)} after fees", style="red")
    return Group(line, _venues(made), _ladder(made, levels))


def _venues(made: Market) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold")
    for name in ("venue", "status", "age ms", "bid size", "bid", "ask", "ask size"):
        table.add_column(name, justify="left" if name in {"venue", "status"} else "right")
    for short, row in zip(_short(made), made.quotes().iter_rows(named=True), strict=True):
        age = "" if row["age_ms"] is None else f"{row['age_ms']:,.0f}"
        shown = [_number(row[name]) for name in ("bid_size", "bid", "ask", "ask_size")]
        if row["role"] == "rate":
            shown = ["", _number(row["own_bid"]), _number(row["own_ask"]), ""]
        status = row["status"] if row["role"] == "venue" else f"{row['status']}, rate"
        table.add_row(Text(short), status, age, *shown, style=None if row["status"] == "live" else "dim")
    return table


def _ladder(made: Market, levels: int) -> Table:
    import polars as pl
    from rich.table import Table
    from rich.text import Text

    found = made.book(levels)
    venues = found.columns[7:]
    table = Table(header_style="bold")
    short = [name for at, name in enumerate(_short(made)) if made.instruments[at].name in venues]
    for name in ("", "price", "size", "sum", *(short if len(short) == len(venues) else venues)):
        table.add_column(Text(name), justify="left" if not name else "right")
    asks = found.filter(pl.col("side") == "ask").reverse()
    for row in (*asks.iter_rows(named=True), *found.filter(pl.col("side") == "bid").iter_rows(named=True)):
        split = [_number(row[name]) if row[name] else "" for name in venues]
        style = "dim" if not row["known"] else "red" if row["side"] == "ask" else "green"
        table.add_row(
            row["side"], _number(row["price"]), _number(row["size"]), _number(row["base"]), *split, style=style
        )
    return table
