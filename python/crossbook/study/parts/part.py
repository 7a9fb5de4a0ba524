"""What a part of a study is: rows for its summary, frames, plots, one sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from crossbook.viz.theme import Chart

__all__ = ["INTERVAL", "Part", "Row"]

Row = tuple[str, str, float | None, float | None, float | None, str, str | None]
"""``part, measure, value, lo, hi, unit, bounds``, as in the summary of a study."""

INTERVAL = "95 % interval"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the report."""

    title: str
    rows: list[Row]
    """The first is the number that stands for the part."""
    sentence: str
    """What it means."""
    caption: str = ""
    """How it was measured, and what it assumes."""
    charts: list[Chart] = field(default_factory=list)
    frames: dict[str, pl.DataFrame] = field(default_factory=dict)
    """For Parquet, by name."""
    table: pl.DataFrame | None = None
    """Shown below the plots."""
