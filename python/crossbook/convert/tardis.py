"""CSV files as tardis.dev offers them: ``incremental_book_L2``, ``trades``, ``quotes`` and ``book_ticker``.

Columns and rules are those of https://docs.tardis.dev/downloadable-csv-files/data-types: times in µs since the epoch,
UTC; rows of one ``local_timestamp`` are one message; where ``is_snapshot`` becomes true the book is forgotten.

What survives a way there and back: kinds, sides, prices and sizes exactly (texts become whole numbers of units without
ever being floats), messages of the book, snapshots, trade ids that are whole numbers. What is lost: times below the µs,
update ids, an exchange time that is unknown (Tardis puts the receive time there), ids of trades that are no numbers,
gaps and everything else that is no level, quote or trade, the mark of changes held back behind a snapshot, a snapshot's
beginning where another ends just before it, and the order among trades, book and quotes of one µs (they come in this
order).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from crossbook._core import Instrument
from crossbook.convert.events import (
    ASK,
    BID,
    CLEAR,
    COLUMNS,
    LAST,
    LEVEL,
    NO_SIDE,
    QUOTE,
    SNAPSHOT,
    TRADE,
    Source,
    declared,
    merge,
)
from crossbook.convert.lines import BLOCK, Counted, blocks, guess_instrument
from crossbook.convert.tardis_out import EXCHANGES, HEADERS, write
from crossbook.convert.units import counts, decimals, finest
from crossbook.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from crossbook.convert.events import Frames, Instruments

__all__ = ["EXCHANGES", "HEADERS", "read", "write"]


def _venue(exchange: str) -> str:
    return EXCHANGES.get(exchange, exchange)


def _data_type(path: Path) -> str:
    """Which of the data types a file holds, by its header."""
    with Counted(path) as file:
        header = tuple(file.header.split(","))
    found = next((name for name, columns in HEADERS.items() if columns == header), None)
    if found is None:
        raise DataError(
            f"{path} line 1: expected the header {','.join(HEADERS['trades'])} or another of "
            f"{', '.join(HEADERS)}, found {','.join(header)[:200]}"
        )
    return found


def _pairs(blocks: Iterable[tuple[pl.DataFrame, int]]) -> dict[tuple[str, str], tuple[int, int]]:
    """Exchanges and symbols of a file, with the finest decimals of their prices and sizes."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for block, _ in blocks:
        for (exchange, symbol), rows in block.group_by("exchange", "symbol", maintain_order=True):
            places = [
                max(finest(rows[name]) for name in rows.columns if name.endswith(what)) for what in ("price", "amount")
            ]
            known = found.get((str(exchange), str(symbol)), (0, 0))
            found[str(exchange), str(symbol)] = max(known[0], places[0]), max(known[1], places[1])
    return found


class _Numbers:
    """Which instrument an exchange and symbol are."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self.instruments = instruments
        self._known = {(one.venue, one.symbol): number for number, one in enumerate(instruments)}

    def split(self, block: pl.DataFrame, path: Path, line: int) -> Iterator[tuple[int, pl.DataFrame]]:
        """The rows of each instrument, with their line numbers in the column ``line``."""
        numbered = block.with_row_index("line", line)
        for (exchange, symbol), rows in numbered.group_by("exchange", "symbol", maintain_order=True):
            number = self._known.get((_venue(str(exchange)), str(symbol)))
            if number is None:
                known = ", ".join(instrument.name for instrument in self.instruments)
                raise DataError(
                    f"{path} line {rows['line'][0]}: expected one of {known}, found exchange {exchange} symbol {symbol}"
                )
            yield number, rows


def _events(rows: pl.DataFrame, number: int, kind: int, path: Path, **columns: pl.Expr | pl.Series) -> pl.DataFrame:
    """Rows as events, with times and what `columns` say, and the column ``line``."""
    times: dict[str, pl.Expr | pl.Series] = {}
    for name, source in (("ts_event", "timestamp"), ("ts_recv", "local_timestamp")):
        parsed = rows[source].cast(pl.Int64, strict=False)
        if parsed.null_count():
            row = int(parsed.is_null().arg_true()[0])
            raise DataError(f"{path} line {rows['line'][row]}: expected {source} in µs, found {rows[source][row]!r}")
        times[name] = parsed * 1_000
    blank: dict[str, pl.Expr | pl.Series] = {name: pl.lit(0, dtype) for name, dtype in COLUMNS.items()}
    blank |= {"kind": pl.lit(kind, pl.UInt8), "instrument": pl.lit(number, pl.UInt32)}
    made = rows.select("line", **(blank | times | columns))
    return made.cast(COLUMNS)  # type: ignore[arg-type]


def _code(rows: pl.DataFrame, column: str, codes: dict[str, int], path: Path) -> pl.Series:
    found = rows[column].replace_strict(codes, default=None, return_dtype=pl.UInt8)
    if found.null_count():
        row = int(found.is_null().arg_true()[0])
        text = rows[column][row]
        raise DataError(f"{path} line {rows['line'][row]}: expected {column} {' or '.join(codes)}, found {text!r}")
    return found


def _numbers(rows: pl.DataFrame, column: str, unit: str, path: Path) -> pl.Series:
    return counts(rows[column], unit, lambda row: f"{path} line {rows['line'][row]}")


def _trades(rows: pl.DataFrame, number: int, instrument: Instrument, path: Path) -> pl.DataFrame:
    return _events(
        rows,
        number,
        TRADE,
        path,
        side=_code(rows, "side", {"buy": BID, "sell": ASK, "unknown": NO_SIDE}, path),
        price=_numbers(rows, "price", instrument.price_unit, path),
        size=_numbers(rows, "amount", instrument.size_unit, path),
        sequence=rows["id"].cast(pl.UInt64, strict=False).fill_null(0),
        flags=pl.lit(LAST),
    )


def _quotes(rows: pl.DataFrame, number: int, instrument: Instrument, path: Path) -> pl.DataFrame:
    sides = []
    for side, name in ((BID, "bid"), (ASK, "ask")):
        there = rows.with_columns(pl.col(f"{name}_price", f"{name}_amount").fill_null("0"))
        price = _numbers(there, f"{name}_price", instrument.price_unit, path)
        size = _numbers(there, f"{name}_amount", instrument.size_unit, path)
        flags = pl.lit(LAST if side == ASK else 0)
        sides.append(_events(rows, number, QUOTE, path, side=pl.lit(side), price=price, size=size, flags=flags))
    return pl.concat(sides).sort("line", maintain_order=True)


class _Book:
    """Reads levels of one file: what is a message, and where a snapshot begins."""

    def __init__(self) -> None:
        self.in_snapshot: dict[int, bool] = {}

    def __call__(self, rows: pl.DataFrame, number: int, instrument: Instrument, path: Path) -> pl.DataFrame:
        snapshot = _code(rows, "is_snapshot", {"false": 0, "true": SNAPSHOT}, path)
        levels = _events(
            rows,
            number,
            LEVEL,
            path,
            side=_code(rows, "side", {"bid": BID, "ask": ASK}, path),
            price=_numbers(rows, "price", instrument.price_unit, path),
            size=_numbers(rows, "amount", instrument.size_unit, path),
            flags=snapshot,
        )
        before = snapshot.shift(1, fill_value=SNAPSHOT if self.in_snapshot.get(number, False) else 0)
        begins = levels.filter((snapshot == SNAPSHOT) & (before == 0))
        self.in_snapshot[number] = snapshot[-1] == SNAPSHOT
        clear = begins.with_columns(
            **{name: pl.lit(code, pl.UInt8) for name, code in (("kind", CLEAR), ("side", NO_SIDE))},
            **{name: pl.lit(0, pl.Int64) for name in ("price", "size")},
        )
        return pl.concat([clear, levels]).sort("line", maintain_order=True)


def _end_messages(frames: Frames) -> Frames:
    """Mark the last event of each message: levels of one time and kind, of one instrument, in a row.

    What may go on in the next frame is held back.
    """
    held: pl.DataFrame | None = None
    done = total = 0
    for frame, done, total in frames:
        frame = frame if held is None else pl.concat([held, frame])
        key = pl.struct("ts_event", "ts_recv", "instrument", pl.col("flags") & SNAPSHOT)
        ends = frame.select((key != key.shift(-1)).fill_null(True)).to_series()
        frame = frame.with_columns(flags=pl.when(ends).then(pl.col("flags") | LAST).otherwise(pl.col("flags")))
        before = ends[:-1].arg_true()
        cut = int(before[-1]) + 1 if before.len() else 0
        held = frame[cut:].with_columns(flags=pl.col("flags") & pl.lit(~LAST & 0xFF, pl.UInt8))
        if cut:
            yield frame[:cut], done, total
    if held is not None and held.height:
        end = pl.when(pl.int_range(pl.len()) == pl.len() - 1).then(LAST).otherwise(0).cast(pl.UInt8)
        yield held.with_columns(flags=pl.col("flags") | end), done, total


def _read_file(path: Path, data_type: str, numbers: _Numbers, block: int) -> Frames:
    make: Callable[[pl.DataFrame, int, Instrument, Path], pl.DataFrame] = _quotes
    if data_type == "trades":
        make = _trades
    elif data_type == "incremental_book_L2":
        make = _Book()

    def frames() -> Frames:
        with Counted(path) as file:
            for rows, line in blocks(file, HEADERS[data_type], block):
                made = [make(part, n, numbers.instruments[n], path) for n, part in numbers.split(rows, path, line)]
                frame = pl.concat(made).sort("line", maintain_order=True).drop("line")
                yield frame, file.position, file.size

    return _end_messages(frames()) if data_type == "incremental_book_L2" else frames()


def read(path: str | Path | Sequence[str | Path], *, instruments: Instruments = None, block: int = BLOCK) -> Source:
    """Open files of Tardis, gzipped or plain: one, several, or a folder of them, merged by receive time.

    Units come from `instruments`, else from the built-in table, else from a pass over the files, whose finest decimals
    they then are. Symbols that the files have and `instruments` has not are an error. Reads `block` bytes at a time.
    Rows before the first snapshot are given as they are: the book is stale until then. Raises `DataError` that says
    file, line and what was expected, `InstrumentError` for a symbol whose currencies cannot be told.
    """
    named = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
    files: list[Path] = []
    for one in named:
        files += sorted(p for p in one.iterdir() if p.name.endswith((".csv", ".csv.gz"))) if one.is_dir() else [one]
    if not files:
        raise DataError(f"{', '.join(map(str, named))}: expected at least one .csv or .csv.gz file")
    rank = list(HEADERS)
    typed = sorted(((_data_type(file), file) for file in files), key=lambda found: rank.index(found[0]))
    known = declared(instruments)
    if not known:
        pairs: dict[tuple[str, str], tuple[int, int]] = {}
        for data_type, file in typed:
            with Counted(file) as opened:
                for pair, places in _pairs(blocks(opened, HEADERS[data_type], block)).items():
                    before = pairs.get(pair, (0, 0))
                    pairs[pair] = max(before[0], places[0]), max(before[1], places[1])
        known = [
            Instrument.builtin(_venue(exchange), symbol)
            or guess_instrument(_venue(exchange), symbol, decimals(price), decimals(size))
            for (exchange, symbol), (price, size) in sorted(pairs.items())
        ]
    numbers = _Numbers(known)

    def frames() -> Frames:
        return merge([_read_file(file, data_type, numbers, block) for data_type, file in typed])

    return Source(named[0] if len(named) == 1 else Path(), known, frames)
