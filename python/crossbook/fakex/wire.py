"""One TCP connection of a fake exchange: HTTP requests, or a websocket whose bytes can be cut as a fault wants them.

It speaks HTTP/1.1 and RFC 6455 itself, server side, because what it is for is to send what no library would: frames in
pieces of a few bytes, a reset in the midst of one, a handshake that is refused.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import socket
import struct
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Handler", "HttpRequest", "Wire", "websocket_frame"]

log = logging.getLogger(__name__)

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MAX_REQUEST = 1 << 20


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: str = ""

    @property
    def is_websocket(self) -> bool:
        """Whether it asks for a websocket."""
        return self.headers.get("upgrade", "").lower() == "websocket"


def websocket_frame(payload: bytes, opcode: int = TEXT, *, last: bool = True) -> bytes:
    """Write a frame as servers do: without a mask."""
    first = (0x80 if last else 0) | opcode
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


class Handler:
    """What a wire asks whoever owns it."""

    def requested(self, wire: Wire, request: HttpRequest, /) -> None:
        """A request came: answer with `Wire.respond` or `Wire.accept`."""

    def received(self, wire: Wire, text: str, /) -> None:
        """A websocket message came."""

    def ponged(self, wire: Wire, /) -> None:
        """A pong came."""

    def ended(self, wire: Wire, /) -> None:
        """The connection is gone."""


class Wire(asyncio.Protocol):
    """One connection."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.transport: asyncio.Transport | None = None
        self.is_websocket = False
        self.dead = False
        """Whether nothing is written any more."""
        self.segment = 0
        """Bytes of a TCP segment, 0: as many as there are."""
        self.fragment = 0
        """Bytes of a websocket fragment, 0: messages are whole."""
        self.written = 0
        self.room = asyncio.Event()
        """Clear while the client reads too slowly."""
        self.room.set()
        self._buffer = bytearray()
        self._request: HttpRequest | None = None
        self._key = ""
        self._chunks: deque[bytes] = deque()
        self._trickle: asyncio.Task[None] | None = None

    # asyncio's part.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, error: Exception | None) -> None:
        """Say that it is over."""
        self.transport = None
        self.room.set()
        if self._trickle is not None:
            self._trickle.cancel()
        self.handler.ended(self)

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self.room.clear()

    def resume_writing(self) -> None:
        """There is room again."""
        self.room.set()

    def data_received(self, data: bytes) -> None:
        """Read requests or frames."""
        self._buffer += data
        if self.is_websocket:
            self._read_frames()
        else:
            self._read_request()

    # HTTP.

    def _read_request(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_REQUEST:
                self.abort()
            return
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        try:
            method, target, _ = first.split(" ", 2)
        except ValueError:
            self.abort()
            return
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = int(headers.get("content-length", "0"))
        if len(self._buffer) < end + 4 + size:
            return
        body = self._buffer[end + 4 : end + 4 + size].decode()
        del self._buffer[: end + 4 + size]
        self._key = headers.get("sec-websocket-key", "")
        self.handler.requested(self, HttpRequest(method, target, headers, body))

    def respond(self, status: int, body: str, headers: Mapping[str, str] | None = None) -> None:
        """Answer a request."""
        payload = body.encode()
        phrase = HTTPStatus(status).phrase
        lines = [f"HTTP/1.1 {status} {phrase}", "Content-Type: application/json", f"Content-Length: {len(payload)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self._write(("\r\n".join(lines) + "\r\n\r\n").encode() + payload)

    def accept(self) -> None:
        """Become a websocket."""
        digest = base64.b64encode(hashlib.sha1(self._key.encode() + MAGIC, usedforsecurity=False).digest()).decode()
        self.is_websocket = True
        self._write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + digest.encode() + b"\r\n\r\n"
        )
        if self._buffer:
            self._read_frames()

    # Websocket.

    def _read_frames(self) -> None:
        buffer = self._buffer
        while len(buffer) >= 6:
            opcode, size, at = buffer[0] & 0x0F, buffer[1] & 0x7F, 2
            if size == 126:
                size, at = int.from_bytes(buffer[2:4], "big"), 4
            elif size == 127:
                size, at = int.from_bytes(buffer[2:10], "big"), 10
            if len(buffer) < at + 4 + size:
                return
            mask = bytes(buffer[at : at + 4])
            payload = bytes(buffer[at + 4 : at + 4 + size])
            del buffer[: at + 4 + size]
            payload = bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))
            if opcode == TEXT:
                self.handler.received(self, payload.decode())
            elif opcode == PING:
                self._write(websocket_frame(payload, PONG))
            elif opcode == PONG:
                self.handler.ponged(self)
            elif opcode == CLOSE:
                self._write(websocket_frame(payload[:2], CLOSE))
                self.finish()
                return

    def send(self, texts: Sequence[str]) -> None:
        """Send messages, in one piece unless a fault wants them in many."""
        if not texts or self.dead:
            return
        if self.fragment:
            data = b"".join(self._fragments(text.encode()) for text in texts)
        else:
            data = b"".join(websocket_frame(text.encode()) for text in texts)
        if self.segment:
            self._chunks += [data[at : at + self.segment] for at in range(0, len(data), self.segment)]
            if self._trickle is None or self._trickle.done():
                self._trickle = asyncio.get_running_loop().create_task(self._drip())
        elif self._chunks:
            self._chunks.append(data)
        else:
            self._write(data)

    def _fragments(self, payload: bytes) -> bytes:
        parts = [payload[at : at + self.fragment] for at in range(0, len(payload), self.fragment)] or [b""]
        frames = []
        for at, part in enumerate(parts):
            frames.append(websocket_frame(part, CONTINUATION if at else TEXT, last=at == len(parts) - 1))
            if at == 0:
                # Control frames may come between the fragments of a message.
                frames.append(websocket_frame(b"between", PING))
        return b"".join(frames)

    async def _drip(self) -> None:
        while self._chunks and not self.dead:
            self._write(self._chunks.popleft())
            # The loop comes round to the client in between, so that each piece is a read of its own.
            for _ in range(3):
                await asyncio.sleep(0)

    def ping(self) -> None:
        """Ask for a pong."""
        self._write(websocket_frame(b"ping", PING))

    def close(self, code: int, reason: str) -> None:
        """Close as the protocol wants it."""
        self._write(websocket_frame(struct.pack("!H", code) + reason.encode(), CLOSE))

    def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._write(data)

    def _write(self, data: bytes) -> None:
        if self.transport is not None and not self.dead:
            self.written += len(data)
            self.transport.write(data)

    # The end.

    def finish(self) -> None:
        """Close the TCP connection once all is written."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Drop the TCP connection: the client sees its end without a close frame (1006)."""
        if self.transport is not None:
            self.transport.abort()

    def reset(self) -> None:
        """Reset the TCP connection (RST)."""
        if self.transport is not None:
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()

    def freeze(self) -> None:
        """Neither read nor write any more, and keep the connection."""
        self.dead = True
        if self.transport is not None:
            self.transport.pause_reading()


def wires(handler: Handler) -> Callable[[], Wire]:
    """Give what makes a wire for each client."""
    return lambda: Wire(handler)
