"""How a feed is, for machines: ``/metrics`` in the text format of Prometheus, and ``/healthz``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from crossbook.feeds.connection import Connection
    from crossbook.feeds.stream import Stream

LOOPBACK = "127.0.0.1"


def _text(name: str, kind: str, about: str, samples: Iterable[tuple[Mapping[str, object], float]]) -> str:
    """Write one metric with its samples."""
    lines = [f"# HELP crossbook_{name} {about}", f"# TYPE crossbook_{name} {kind}"]
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(str(label))}"' for key, label in labels.items())
        lines.append(f"crossbook_{name}{{{inside}}} {value:.17g}" if inside else f"crossbook_{name} {value:.17g}")
    return "\n".join(lines) + "\n"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def metrics(live: Stream) -> str:
    """Give all that is counted, in the text format of Prometheus."""
    out = []
    names = [({"connection": c.name, "venue": c.facts.venue}, c) for c in live.connections]
    per_connection: list[tuple[str, str, str, Callable[[Connection], float]]] = [
        ("open", "gauge", "Whether the websocket is open.", lambda c: c.is_open),
        ("frames_total", "counter", "Messages received.", lambda c: c.totals.frames),
        ("bytes_total", "counter", "Bytes of messages received.", lambda c: c.totals.bytes),
        ("decode_seconds_total", "counter", "Time spent in the engine.", lambda c: c.totals.busy_ns / 1e9),
        ("faults_total", "counter", "Messages that could not be used.", lambda c: c.totals.faults),
        ("dropped_frames_total", "counter", "Messages dropped, the reader being behind.", lambda c: c.totals.dropped),
        ("attempts_total", "counter", "Attempts to open the websocket.", lambda c: c.totals.attempts),
        ("refused_total", "counter", "Attempts that the venue refused.", lambda c: c.totals.refused),
        ("reconnects_total", "counter", "Times the websocket was opened anew.", lambda c: c.reconnects),
        ("snapshots_fetched_total", "counter", "Snapshots asked for by REST.", lambda c: c.totals.fetches),
        ("snapshot_failures_total", "counter", "Of these, those that did not come.", lambda c: c.totals.fetch_failures),
    ]
    for name, kind, about, value in per_connection:
        out.append(_text(name, kind, about, [(labels, float(value(c))) for labels, c in names]))
    written = [(labels, c.writer) for labels, c in names if c.writer is not None]
    if written:
        out.append(
            _text(
                "written_frames_total",
                "counter",
                "Records written to the file that is open.",
                [(labels, float(writer.frames_written)) for labels, writer in written],
            )
        )
        out.append(
            _text(
                "written_bytes_total",
                "counter",
                "Bytes written to the file that is open, compressed.",
                [(labels, float(writer.bytes_written)) for labels, writer in written],
            )
        )

    rows = live.health().to_dicts()
    streams = [({"venue": row["venue"], "symbol": row["symbol"], "connection": row["connection"]}, row) for row in rows]
    per_stream = [
        ("synced", "gauge", "Whether the book is good.", "synced"),
        ("stale", "gauge", "Whether nothing came for too long.", "stale"),
        ("age_seconds", "gauge", "Time since the last message.", "age_s"),
        ("messages_total", "counter", "Messages about the instrument.", "messages"),
        ("resyncs_total", "counter", "Snapshots asked for.", "resyncs"),
        ("verified_total", "counter", "Messages whose place in the order was proved.", "verified"),
        ("unverifiable_total", "counter", "Messages whose place nothing proves.", "unverifiable"),
        ("checksums_total", "counter", "Checksums compared.", "checksums"),
        ("checksum_failures_total", "counter", "Of these, those that differed.", "checksum_failures"),
    ]
    for name, kind, about, column in per_stream:
        out.append(_text(name, kind, about, [(labels, float(row[column])) for labels, row in streams]))
    late = [(labels, row["latency_ms"] / 1e3) for labels, row in streams if row["latency_ms"] is not None]
    out.append(_text("latency_seconds", "gauge", "Receive time minus exchange time, median of the latest.", late))

    gaps = live.gaps()
    counted = Counter(gaps.select("venue", "symbol", "cause", "unit", "ours").iter_rows())
    out.append(
        _text(
            "gaps_total",
            "counter",
            "Gaps, by cause, unit and whose fault.",
            [
                ({"venue": v, "symbol": s, "cause": c, "unit": u, "ours": str(o).lower()}, float(count))
                for (v, s, c, u, o), count in counted.items()
            ],
        )
    )
    out.append(_text("queue_events", "gauge", "Events that wait for the reader.", [({}, float(live.waiting))]))
    out.append(_text("queue_limit_events", "gauge", "Events that may wait.", [({}, float(live.queue))]))

    rests = live.rests.opened.items()
    out.append(
        _text(
            "rest_weight_used",
            "gauge",
            "Weight of REST requests within the last minute.",
            [({"venue": venue}, float(rest.limiter.used)) for venue, rest in rests],
        )
    )
    out.append(
        _text(
            "rest_weight_limit",
            "gauge",
            "Weight that may be used.",
            [({"venue": venue}, float(rest.limiter.budget)) for venue, rest in rests],
        )
    )
    out.append(
        _text(
            "rest_waiting",
            "gauge",
            "REST requests that wait for their turn.",
            [({"venue": venue}, float(rest.limiter.waiting)) for venue, rest in rests],
        )
    )
    out.append(
        _text(
            "rest_requests_total",
            "counter",
            "REST requests, by venue and status.",
            [
                ({"venue": venue, "status": status}, float(count))
                for venue, rest in rests
                for status, count in sorted(rest.statuses.items())
            ],
        )
    )
    return "".join(out)


def unhealthy(live: Stream) -> list[dict[str, object]]:
    """List the streams that are not well, and why; empty if all is."""
    found: list[dict[str, object]] = []
    for row in live.health().to_dicts():
        name = f"{row['venue']}:{row['symbol']}"
        if not row["open"]:
            why = "not connected"
        elif row["stale"]:
            why = f"silent for {row['age_s']:.0f} s"
        else:
            continue
        found.append({"stream": name, "connection": row["connection"], "why": why, "age_s": round(row["age_s"], 3)})
    return found


class Health:
    """Serves ``/metrics`` and ``/healthz`` of a stream or recorder; the latter answers 503 and names what is stale."""

    def __init__(self, live: Stream, *, port: int, host: str = LOOPBACK) -> None:
        self._live = live
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it is reached."""
        assert self._runner is not None
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=metrics(self._live), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _healthz(self, _: web.Request) -> web.Response:
        stale = unhealthy(self._live)
        error = self._live.error
        ok = not stale and error is None
        about = {
            "status": "ok" if ok else "stale",
            "streams": len(self._live.instruments),
            "stale": stale,
            "error": None if error is None else str(error),
        }
        return web.json_response(about, status=200 if ok else 503)

    async def start(self) -> None:
        """Begin to serve. Raises `OSError` if the port is taken."""
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        """End."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()
