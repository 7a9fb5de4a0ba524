"""The report: one HTML file that opens without a network, prints, and reads on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from pathlib import Path

import polars as pl

from crossbook.viz.theme import Chart, number, to_svg

_ROWS = 60  # of a table; the rest is in the Parquet files
_STYLE = """
:root{--ink:#1a1d21;--muted:#5b6470;--line:#dfe3e7;--soft:#f5f7f9;--accent:#0b4a7a;--warn:#d55e00}
*{box-sizing:border-box}
body{margin:0;background:#fff;color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Arial,Helvetica,sans-serif}
main{max-width:860px;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:0}
h2{font-size:1.3rem;line-height:1.3;margin:0 0 .2rem}
header p{color:var(--muted);font-size:1.05rem;margin:.4rem 0 0}
.meta{display:flex;flex-wrap:wrap;gap:.5rem 2rem;margin:1.4rem 0 0;padding:.9rem 0 0;
border-top:1px solid var(--line)}
.meta div{min-width:0;max-width:100%}
.meta dt,.card dt{color:var(--muted);font-size:.78rem}
.meta dd{margin:0;font-size:.9rem;overflow-wrap:anywhere}
.warnings{list-style:none;margin:1.4rem 0 0;padding:0}
.warnings li{border-left:4px solid var(--warn);background:#fdf3ec;padding:.6rem .9rem;margin:.5rem 0;
overflow-wrap:anywhere}
.summary{display:grid;grid-template-columns:repeat(auto-fit,minmax(230px,1fr));gap:.8rem;margin:1.8rem 0 0}
.card{border:1px solid var(--line);border-radius:8px;padding:.8rem 1rem;color:inherit;text-decoration:none;
background:var(--soft)}
.card b{display:block;color:var(--muted);font-size:.82rem;font-weight:600}
.card:hover,.card:focus-visible{border-color:var(--accent)}
.number{font-size:1.35rem;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums;
color:var(--accent);overflow-wrap:anywhere}
.number small{font-size:.68em;font-weight:450;color:var(--muted);white-space:nowrap}
.what{display:block;color:var(--muted);font-size:.78rem;line-height:1.35}
section{margin-top:3rem;padding-top:1.6rem;border-top:1px solid var(--line)}
section .number{font-size:1.7rem}
.means{margin:.3rem 0 1rem;font-size:1.05rem;max-width:68ch}
figure{margin:1.4rem 0}
.plot{overflow-x:auto}
.plot svg{display:block;width:100%;height:auto;min-width:560px}
figcaption,.note{color:var(--muted);font-size:.85rem;margin-top:.4rem;max-width:90ch;overflow-wrap:anywhere}
figcaption b{color:var(--ink);font-weight:600}
.table{overflow-x:auto}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums;min-width:60%}
th,td{padding:.32rem .8rem;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--muted);font-weight:600;border-bottom:2px solid var(--line)}
.n{text-align:right}
th:first-child,td:first-child{padding-left:0}
td:not(.n){max-width:22rem;overflow:hidden;text-overflow:ellipsis}
@media(max-width:560px){main{padding:1.5rem 1rem 3rem}h1{font-size:1.5rem}section .number{font-size:1.4rem}}
@media print{
body{font-size:11pt}main{max-width:none;padding:0}.plot,.table{overflow:visible}.plot svg{min-width:0}
figure,.card,tr,.warnings li{break-inside:avoid}h2,.number,.means{break-after:avoid}section{margin-top:1.6rem}
}
"""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a report: the `number` that matters with its interval ("78 ms [70, 86]") and a `sentence` on it."""

    title: str
    charts: Sequence[Chart]
    number: str
    sentence: str
    caption: str = ""
    table: pl.DataFrame | None = None
    measure: str = ""
    """What the number is."""


def render(
    path: str | Path,
    *,
    title: str,
    subtitle: str,
    meta: Mapping[str, str],
    warnings: Sequence[str],
    sections: Iterable[Section],
) -> Path:
    """Writes the report to `path` and returns it. All text is escaped: names come from files.

    Charts are drawn in a thread of their own while the next section is made.

    Raises `OSError` if the file cannot be written, `ValueError` if a chart is not valid.
    """
    with ThreadPoolExecutor(1) as renderer:
        drawn = [(section, [renderer.submit(to_svg, chart) for chart in section.charts]) for section in sections]
    done = [(section, [svg.result() for svg in svgs]) for section, svgs in drawn]
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in meta.items())
    alarms = "".join(f"<li>{escape(text)}</li>" for text in warnings)
    cards = "".join(
        f'<a class="card" href="#s{index}"><b>{escape(section.title)}</b>{_number(section, "span")}</a>'
        for index, (section, _) in enumerate(done)
    )
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        # Nothing in this file may load anything, whatever a venue's name tries to be.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>",
        f"<header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p>",
        f'<dl class="meta">{facts}</dl></header>' if facts else "</header>",
        f'<ul class="warnings" aria-label="Warnings">{alarms}</ul>' if alarms else "",
        f'<nav class="summary" aria-label="Summary">{cards}</nav>',
        *(_section(index, section, svgs) for index, (section, svgs) in enumerate(done)),
        "</main></body></html>\n",
    ]
    path = Path(path)
    path.write_text("\n".join(part for part in parts if part), encoding="utf-8")
    return path


def _section(index: int, section: Section, svgs: Sequence[str]) -> str:
    pairs = enumerate(zip(section.charts, svgs, strict=True))
    figures = (_figure(chart, svg, f"s{index}c{place}-") for place, (chart, svg) in pairs)
    return "\n".join(
        (
            f'<section id="s{index}"><h2>{escape(section.title)}</h2>{_number(section, "div")}',
            f'<p class="means">{escape(section.sentence)}</p>',
            *figures,
            f'<p class="note">{escape(section.caption)}</p>' if section.caption else "",
            _table(section.table) if section.table is not None else "",
            "</section>",
        )
    )


def _number(section: Section, tag: str) -> str:
    """The headline, with its interval (the first square brackets) set smaller, and what it is."""
    shown = re.sub(r"(\[[^\]]*\])", r"<small>\1</small>", escape(section.number), count=1)
    what = f'<span class="what">{escape(section.measure)}</span>' if section.measure else ""
    return f'<{tag} class="number">{shown}</{tag}>{what}'


def _figure(chart: Chart, svg: str, prefix: str) -> str:
    caption = f"<b>{escape(chart.title)}.</b> {escape(chart.caption)}"
    svg = _inline(svg, prefix, f"{chart.title}. {chart.caption}")
    return f'<figure><div class="plot">{svg}</div><figcaption>{caption}</figcaption></figure>'


def _inline(svg: str, prefix: str, label: str) -> str:
    """An SVG document as an element of a page: ids made unique by `prefix`, and a text for those who cannot see it."""

    def renamed(tag: re.Match[str]) -> str:
        return re.sub(r'(\bid="|url\(["\']?#|href="#)', rf"\g<1>{prefix}", tag[0])

    # Only within tags: what stands between them is text, which may look like anything.
    svg = re.sub(r"<[^>]*>", renamed, svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)


def _table(df: pl.DataFrame) -> str:
    kinds = ["n" if dtype.is_numeric() else "" for dtype in df.dtypes]
    head = "".join(
        f'<th scope="col" class="{kind}">{escape(name.replace("_", " "))}</th>'
        for name, kind in zip(df.columns, kinds, strict=True)
    )
    columns = [_cells(column) for column in df.head(_ROWS)]
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{kind}">{escape(cell)}</td>' for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in zip(*columns, strict=True)
    )
    more = f'<p class="note">The first {_ROWS} of {df.height:,} rows.</p>' if df.height > _ROWS else ""
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def _cells(column: pl.Series) -> list[str]:
    """A column's texts; floats of like magnitude get equally many decimals, so that their points line up."""
    texts = [number(value) for value in column]
    if not column.dtype.is_float():
        return texts
    decimals = [len(text.partition(".")[2]) for text in texts]
    if "e" in "".join(texts) or max(decimals, default=0) > 4:
        return texts
    most = max(decimals, default=0)
    fill = (("" if d or not most else ".") + "0" * (most - d) for d in decimals)
    return [text + zeros if text[-1:].isdigit() else text for text, zeros in zip(texts, fill, strict=True)]
