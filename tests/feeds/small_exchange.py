"""A very small exchange on 127.0.0.1 for the tests of the transport: Binance's dialect, and faults on demand.

The full one, with every dialect and seeded faults, is `crossbook.fakex`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from crossbook import Instrument

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


def instrument(symbol: str = "BTCUSDT") -> Instrument:
    """An instrument of Binance spot in cents and satoshis."""
    about = json.loads(Instrument.infer("binance-spot", symbol).to_json())
    return Instrument.from_json(json.dumps({**about, "price_unit": "0.01", "size_unit": "0.00000001"}))


def depth(last: int, *, symbol: str = "BTCUSDT", first: int | None = None, levels: int = 1) -> str:
    """A change of depth with the updates ``first..=last``."""
    bids = [[f"{100 + last % 50}.{level:02d}", "1.50000000"] for level in range(levels)]
    data = {"e": "depthUpdate", "E": 1_700_000_000_000, "s": symbol, "U": first or last, "u": last, "b": bids, "a": []}
    return json.dumps({"stream": f"{symbol.lower()}@depth@100ms", "data": data})


def exchange_info(*symbols: str) -> dict[str, object]:
    """What spot answers to a request for its instruments."""

    def one(symbol: str) -> dict[str, object]:
        filters = [
            {"filterType": "PRICE_FILTER", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "stepSize": "0.00001000"},
        ]
        base, quote = symbol[:-4], symbol[-4:]
        return {
            "symbol": symbol,
            "status": "TRADING",
            "baseAsset": base,
            "quoteAsset": quote,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "filters": filters,
        }

    return {"symbols": [one(symbol) for symbol in symbols or SYMBOLS]}


class Client(WSListener):
    """One websocket, as the exchange sees it."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.texts: list[str] = []
        self.pongs: list[bytes] = []
        self.transport: WSTransport | None = None
        self.closing = False
        self.gone = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.exchange.clients.append(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.texts.append(frame.get_payload_as_utf8_text())
            if self.exchange.answers:
                self.send(json.dumps({"result": None, "id": len(self.texts)}))
        elif frame.msg_type == WSMsgType.PONG:
            self.pongs.append(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            self.closing = True
            if self.exchange.mute:
                return
            if self.exchange.before_close is not None:
                self.exchange.before_close(self)
            if not transport.is_close_frame_sent:
                transport.send_close(frame.get_close_code())
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.gone = True

    @property
    def open(self) -> WSTransport:
        assert self.transport is not None
        return self.transport

    def send(self, text: str) -> None:
        self.open.send(WSMsgType.TEXT, text.encode())

    def fragments(self, text: str, size: int) -> None:
        """Sends a text in pieces, with a ping between two of them."""
        data = text.encode()
        for at in range(0, len(data), size):
            kind = WSMsgType.TEXT if at == 0 else WSMsgType.CONTINUATION
            self.open.send(kind, data[at : at + size], fin=at + size >= len(data))
            if at == 0:
                self.open.send_ping(b"between")

    def reset(self) -> None:
        """Ends the connection with an RST."""
        raw = self.open.underlying_transport.get_extra_info("socket")
        linger = struct.pack("ii", 1, 0)
        socket.socket.setsockopt(
            raw._sock if hasattr(raw, "_sock") else raw, socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        self.open.underlying_transport.abort()


@dataclass
class Exchange:
    """Websocket and REST. `refuse` answers that many handshakes with a status; `snapshot` is what REST says."""

    answers: bool = True
    clients: list[Client] = field(default_factory=list)
    handshakes: int = 0
    refuse: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    snapshot_id: int = 100
    snapshot_statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    asked_at_once: dict[str, int] = field(default_factory=dict)
    most_at_once: int = 0
    levels: int = 1
    listed: tuple[str, ...] = SYMBOLS
    mute: bool = False
    before_close: Callable[[Client], None] | None = None

    def __post_init__(self) -> None:
        self.hold.set()

    def _accept(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        self.handshakes += 1
        if self.refuse:
            status, headers = self.refuse.pop(0)
            response = WSUpgradeResponse.create_error_response(status, b"no", headers)
            return WSUpgradeResponseWithListener(response, None)
        return Client(self)

    async def _depth(self, request: web.Request) -> web.Response:
        symbol = request.query["symbol"]
        self.requests.append(str(request.rel_url))
        self.asked_at_once[symbol] = self.asked_at_once.get(symbol, 0) + 1
        self.most_at_once = max(self.most_at_once, self.asked_at_once[symbol])
        try:
            await self.hold.wait()
        finally:
            self.asked_at_once[symbol] -= 1
        if self.snapshot_statuses:
            status, headers = self.snapshot_statuses.pop(0)
            return web.Response(status=status, headers=headers)
        bids = [[f"{99 - level // 100}.{99 - level % 100:02d}", "1.00000000"] for level in range(self.levels)]
        return web.json_response({"lastUpdateId": self.snapshot_id, "bids": bids, "asks": [["300.00", "1.00000000"]]})

    async def _info(self, request: web.Request) -> web.Response:
        self.requests.append(str(request.rel_url))
        return web.json_response(exchange_info(*self.listed))

    async def __aenter__(self) -> Self:
        self._server = await ws_create_server(self._accept, "127.0.0.1", 0, max_frame_size=1 << 26)
        app = web.Application()
        app.router.add_get("/api/v3/depth", self._depth)
        app.router.add_get("/api/v3/exchangeInfo", self._info)
        # Whoever waits for a snapshot is let go when the test ends.
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hold.set()
        self._server.close()
        for client in self.clients:
            if not client.gone:
                client.open.disconnect(graceful=False)
        await until(lambda: all(client.gone for client in self.clients))
        await self._server.wait_closed()
        await self._runner.cleanup()

    @property
    def addresses(self) -> dict[str, tuple[str | None, str | None]]:
        ws = self._server.sockets[0].getsockname()[1]
        rest = self._runner.addresses[0][1]
        return {"binance-spot": (f"ws://127.0.0.1:{ws}", f"http://127.0.0.1:{rest}")}

    async def client(self, count: int = 1) -> Client:
        """The client of that number, once it has subscribed."""
        await until(lambda: len(self.clients) >= count and bool(self.clients[count - 1].texts))
        return self.clients[count - 1]


async def until(condition: Callable[[], bool], timeout: float = 5.0) -> None:
    """Waits for a condition."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.002)
