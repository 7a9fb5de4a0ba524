"""How far a capture can be trusted: continuity and checksums of every stream, and its files against their manifests."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

    from crossbook.capture import Capture

__all__ = ["Report", "verify"]

STREAM = [
    *("file", "venue", "symbol", "depth", "snapshots", "verified", "unverifiable", "checksums", "checksum_failures"),
    *("gaps", "trade_gaps", "resets", "repeated"),
]
FILES: dict[str, PolarsDataType] = {"file": pl.String, "state": pl.String, "message": pl.String}


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` found."""

    streams: pl.DataFrame
    """A row an instrument of a connection: how many of its depth messages and snapshots ids or checksums prove
    (``verified``), how many nothing proves (``unverifiable``), checksums that agree and that do not, gaps, resets."""
    gaps: pl.DataFrame
    """As `Capture.gaps`."""
    files: pl.DataFrame
    """A row a file of crossbook's own format: whether it agrees with its manifest (``good``), has none because its
    recorder was stopped (``unfinished``), or differs (``changed``)."""
    faults: int
    """Frames and files that could not be used."""

    @property
    def sound(self) -> bool:
        """Whether nothing is missing and nothing is wrong. What nothing proves is not counted against it."""
        bad = int(self.streams["checksum_failures"].sum()) if self.streams.height else 0
        changed = self.files.filter(pl.col("state") == "changed").height
        return not (self.gaps.height or bad or changed or self.faults)


def verify(capture: Capture) -> Report:
    """Read a capture and say how far it can be trusted."""
    for _ in capture.batches():
        pass
    own = [path for source in capture.sources for path in source.paths if path.suffix == ".xbc"]
    rows = [(path.name, *_against_manifest(path)) for path in own]
    return Report(
        capture.info().select(STREAM),
        capture.gaps(),
        pl.DataFrame(rows, schema=FILES, orient="row"),
        capture.fault_count,
    )


def _against_manifest(path: Path) -> tuple[str, str]:
    manifest = path.with_suffix(".json")
    try:
        said = json.loads(manifest.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "unfinished", "no manifest: the recorder was stopped before it could write one"
    except (OSError, ValueError) as error:
        return "changed", f"manifest: {error}"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    size = path.stat().st_size
    if (size, found) != (said.get("bytes"), said.get("sha256")):
        return "changed", f"{size} bytes, sha256 {found}: expected {said.get('bytes')}, {said.get('sha256')}"
    return "good", ""
