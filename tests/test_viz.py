"""Plots and the report: valid, self-contained, honest about what was thinned, and deaf to hostile names."""

from __future__ import annotations

import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crossbook.viz import (
    Chart,
    Section,
    basis,
    clocks,
    crosses,
    depth,
    ladder,
    lead_lag,
    number,
    quotes,
    render,
    response,
    to_png,
    to_svg,
    warm_up,
)

HOSTILE = """</svg><script>alert(1)</script><img src="http://evil.example/x" id="clip0" onerror='x'>&url(#clip0)"""
T0 = 1_723_161_255_000_000_000


def frames(venue: str = "spot", rows: int = 2_000) -> dict[str, pl.DataFrame]:
    """A frame for every plot, `venue` being one of the names in it."""
    wave = np.sin(np.arange(rows) / 99.0)
    ts = T0 + np.arange(rows) * 50_000_000
    both = pl.DataFrame({"venue": [venue, "usdm"]})
    lags = np.arange(-500.0, 501.0)
    rho = 0.3 * np.exp(-np.abs(lags - 78.0) / 60.0)
    offsets = np.arange(-2_000.0, 2_001.0, 20.0)
    return {
        "clocks": pl.DataFrame(
            {"ts": ts, "p05": wave - 1_273.0, "p50": wave - 1_272.0, "p95": wave - 1_271.0, "offset_fit_ms": -1_272.0}
        ).join(both, how="cross"),
        "quotes": pl.DataFrame({"ts": ts, "mid": 61_800.0 + wave, "spread_bp": 0.02}).join(both, how="cross"),
        "basis": pl.DataFrame({"ts": ts, "basis_bp": wave}),
        "depth": both.join(pl.DataFrame({"side": ["bid", "ask"]}), how="cross").join(
            pl.DataFrame({"within_bp": [1.0, 5.0, 10.0], "depth": [1.5, 20.0, None]}), how="cross"
        ),
        "lead_lag": pl.DataFrame({"lag_ms": lags, "rho": rho, "rho_lo": rho - 0.02, "rho_hi": rho + 0.02})
        .with_columns(null_lo=-0.02, null_hi=0.02)
        .join(pl.DataFrame({"series": ["quote mids", venue]}), how="cross"),
        "response": pl.DataFrame({"offset_ms": offsets, "mean_bp": 0.2 * (offsets > 0)})
        .with_columns(lo_bp=pl.col("mean_bp") - 0.1, hi_bp=pl.col("mean_bp") + 0.1, events=123)
        .join(pl.DataFrame({"event": ["trade", "mid_move", "touch_add", "touch_cancel"]}), how="cross"),
        "crosses": pl.DataFrame({"start": ts, "best_edge_bp": wave + 2.0, "duration_ms": 20.0})
        .with_columns(end=pl.col("start") + 20_000_000)
        .join(pl.DataFrame({"direction": [f"buy {venue}", "buy usdm"]}), how="cross"),
        "ladder": pl.DataFrame({"fee_bp": np.arange(16.0), "count": np.arange(15, -1, -1) ** 3})
        .with_columns(time_share=pl.col("count") / 1e4)
        .join(pl.DataFrame({"direction": [f"buy {venue}", "buy usdm"]}), how="cross"),
    }


PLOTS: dict[str, Callable[[pl.DataFrame], Chart]] = {
    "clocks": clocks,
    "quotes": quotes,
    "basis": basis,
    "depth": depth,
    "lead_lag": lead_lag,
    "response": response,
    "crosses": crosses,
    "ladder": ladder,
}
each = pytest.mark.parametrize("name", list(PLOTS))


def texts(svg: str) -> str:
    return " ".join(
        "".join(element.itertext()) for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    )


@each
def test_a_plot_is_valid_svg_with_marks_in_it(name: str) -> None:
    svg = to_svg(PLOTS[name](frames()[name]))
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert 300 < float(root.attrib["width"]) < 900
    assert svg.count("<path") > 5
    assert "NaN" not in svg
    assert "undefined" not in texts(svg)


@each
def test_an_empty_frame_gives_a_panel_that_says_so(name: str) -> None:
    svg = to_svg(PLOTS[name](frames()[name].clear()))
    assert len(texts(svg).strip()) > 5


def test_no_crosses_net_of_fees_is_written_into_both_panels() -> None:
    nothing = frames()["ladder"].with_columns(count=0, time_share=0.0)
    assert texts(to_svg(ladder(nothing))).count("no crosses net of fees") == 2
    assert texts(to_svg(crosses(frames()["crosses"].clear()))).count("no crosses net of fees") == 1


@each
def test_holes_in_the_data_are_drawn_as_holes(name: str) -> None:
    df = frames()[name]
    floats = [c for c, dtype in df.schema.items() if dtype.is_float()]
    bad = df.with_columns(
        pl.when(pl.int_range(pl.len()) % 5 == 0).then(hole).otherwise(pl.col(c)).alias(c)
        for c, hole in zip(floats, [None, float("nan"), float("inf")] * 3, strict=False)
        if c not in ("lag_ms", "offset_ms", "fee_bp", "within_bp") or name == "clocks"
    )
    assert "NaN" not in to_svg(PLOTS[name](bad))


@pytest.mark.parametrize("name", ["clocks", "quotes", "basis", "lead_lag", "crosses"])
def test_a_thinned_plot_says_how_many_points_stand_for_how_many(name: str) -> None:
    df = frames(rows=20_000)[name]
    chart = PLOTS[name](df)
    counts = re.search(r"([\d,]+) [\w ]+ drawn as ([\d,]+)", chart.caption)
    assert counts
    total, drawn = (int(text.replace(",", "")) for text in counts.groups())
    assert total == df.height
    assert drawn < total
    assert drawn <= 2 * 303


def test_the_peak_is_marked_with_its_interval() -> None:
    chart = lead_lag(frames()["lead_lag"], peak=(78.0, 70.0, 86.0))
    assert "78 ms [70, 86]" in texts(to_svg(chart))
    assert "78 ms" in texts(to_svg(lead_lag(frames()["lead_lag"])))


def test_warming_up_renders_a_valid_chart_in_the_background() -> None:
    # An invalid one would raise in the thread, which pytest reports.
    warm_up()
    for thread in threading.enumerate():
        if thread.name == "renderer":
            thread.join()


def test_a_png_is_a_png() -> None:
    assert to_png(basis(frames()["basis"]), scale=1).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0, "0"),
        (-1271.9, "−1,271.9"),
        (61_800.25, "61,800.25"),
        (0.31234, "0.3123"),
        (99.999, "100"),
        (1234567, "1,234,567"),
        (2.27e-06, "2.270e−6"),
        ("usdm", "usdm"),
        (True, "True"),
    ],
)
def test_numbers_are_written_for_people(value: object, text: str) -> None:
    assert number(value) == text


class Page(HTMLParser):
    """Collects the tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, attribute: str) -> Iterator[str]:
        return (attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs)


@pytest.fixture(scope="module", params=["plain", HOSTILE], ids=["plain names", "hostile names"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    name = str(request.param)
    found = frames(name, rows=300)
    sections = [
        Section(name, [plot(found[kind])], f"78 ms [70, 86] {name}", name, name, found["depth"].rename({"venue": name}))
        for kind, plot in PLOTS.items()
    ]
    path = render(
        tmp_path_factory.mktemp("report") / "report.html",
        title=name,
        subtitle=name,
        meta={name: name},
        warnings=[name],
        sections=sections,
    )
    return path.read_text(encoding="utf-8")


def test_a_report_refers_to_nothing_outside_itself(report: str) -> None:
    page = Page(report)
    assert not {"script", "link", "img", "image", "iframe", "object", "embed", "base", "foreignobject"} & {
        tag for tag, _ in page.tags
    }
    for attribute in ("href", "xlink:href", "src", "srcset", "action", "background"):
        assert all(target.startswith("#") for target in page.all(attribute))
    assert not [attribute for _, attrs in page.tags for attribute in attrs if attribute.startswith("on")]
    for tag, attrs in page.tags:
        kept = [value for key, value in attrs.items() if value and not key.startswith("xmlns") and key != "aria-label"]
        assert not [value for value in kept if "http" in value], tag
    (style,) = re.findall(r"<style>(.*?)</style>", report, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style


def test_ids_of_a_report_are_unique_and_every_reference_finds_one(report: str) -> None:
    page = Page(report)
    ids = list(page.all("id"))
    assert len(ids) == len(set(ids))
    clips = [re.sub(r"url\(['\"]?#|['\"]?\)", "", value) for value in page.all("clip-path")]
    assert clips, "no chart clips anything: this test proves nothing"
    assert set(clips) <= set(ids)
    assert {target[1:] for target in page.all("href")} <= set(ids)


def test_every_figure_has_a_caption_and_a_text_for_those_who_cannot_see_it(report: str) -> None:
    tags = [tag for tag, _ in Page(report).tags]
    assert tags.count("figure") == tags.count("figcaption") == tags.count("svg") == len(PLOTS)
    assert all(
        attrs.get("role") == "img" and attrs.get("aria-label") for tag, attrs in Page(report).tags if tag == "svg"
    )


def test_a_report_without_sections_is_still_a_page(tmp_path: Path) -> None:
    path = render(tmp_path / "r.html", title="Nothing", subtitle="", meta={}, warnings=[], sections=[])
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_long_table_says_how_much_of_it_is_shown(tmp_path: Path) -> None:
    section = Section("t", [], "1", "s", table=pl.DataFrame({"a": range(1_000)}))
    text = render(tmp_path / "r.html", title="", subtitle="", meta={}, warnings=[], sections=[section]).read_text()
    assert "of 1,000 rows" in text
    assert text.count("<tr>") == 61
