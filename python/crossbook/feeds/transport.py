"""A websocket: messages in batches, one for every read of the socket, with the time of that read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING

from aiohappyeyeballs import start_connection
from picows import WSCloseCode, WSError, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect

from crossbook.feeds.addresses import shown
from crossbook.feeds.errors import FeedError, RefusedError
from crossbook.feeds.rest import retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiohappyeyeballs import AddrInfoType
    from picows.url import WSParsedURL

    from crossbook.feeds.clock import Clock

log = logging.getLogger(__name__)

MAX_MESSAGE = 64 << 20
"""A longer message ends the connection."""
READ_BUFFER = 128 << 10
LAST_WORDS = 2.0
"""So many seconds are given to what we sent last."""
HAPPY = 0.25
"""So many seconds after one address of a server the next is tried too (RFC 8305)."""
LARGEST_CONTROL = 125
"""A longer frame is no control frame (RFC 6455, 5.5)."""


class Socket(WSListener):
    """One open websocket.

    `opened` is called with the socket before any message, `messages` with the time of the read and what it brought.
    `closed` is done when the socket is, with the reason. Pings are answered here and not by picows, which would keep
    the mark of a read's last frame to itself.
    """

    def __init__(
        self, opened: Callable[[Socket], None], messages: Callable[[int, list[bytes]], None], now: Callable[[], int]
    ) -> None:
        self._opened = opened
        self._messages = messages
        self._now = now
        self._batch: list[bytes] = []
        self._time = 0
        # A message that comes in fragments, until it is whole.
        self._parts: list[bytes] | None = None
        self._size = 0
        self._transport: WSTransport | None = None
        self._ours: str | None = None
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Take the transport."""
        self._transport = transport
        self._opened(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Collect a frame, and pass on what was collected with the last one of a read."""
        # `msg_type` would cost as much as all the rest: only what may be a control frame is asked for it.
        if frame.payload_size > LARGEST_CONTROL and frame.fin and self._parts is None:
            batch = self._batch
            if not batch:
                self._time = self._now()
            batch.append(frame.get_payload_as_bytes())
        else:
            self._rare(transport, frame)
        if frame.last_in_buffer and self._batch:
            self._flush()

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        self._messages(self._time, batch)

    def _rare(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            if not transport.is_close_frame_sent:
                code = frame.get_close_code()
                transport.send_close(WSCloseCode.OK if code == WSCloseCode.NO_INFO else code)
            transport.disconnect()
            # A peer that reads no more would keep the rest of what we sent, and us, for ever.
            asyncio.get_running_loop().call_later(LAST_WORDS, self.abort, "closed by the venue, then mute")
        elif kind != WSMsgType.PONG:
            self._piece(kind, frame)

    def _piece(self, kind: WSMsgType, frame: WSFrame) -> None:
        continues = kind == WSMsgType.CONTINUATION
        if continues != (self._parts is not None):
            self.abort("a fragment out of order")
            return
        payload = frame.get_payload_as_bytes()
        if continues:
            assert self._parts is not None
            self._parts.append(payload)
            self._size += len(payload)
            if self._size > MAX_MESSAGE:
                self.abort("a message of more than 64 MiB")
                return
            if not frame.fin:
                return
            payload, self._parts = b"".join(self._parts), None
        elif not frame.fin:
            self._parts, self._size = [payload], len(payload)
            return
        if not self._batch:
            self._time = self._now()
        self._batch.append(payload)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Say why it ended."""
        if self._batch:
            self._flush()
        if not self.closed.done():
            self.closed.set_result(self._ours or self._theirs(transport))

    @staticmethod
    def _theirs(transport: WSTransport) -> str:
        handshake = transport.close_handshake
        if handshake is None or handshake.recv is None:
            return "lost (1006)"
        reason = f": {handshake.recv.reason[:200]}" if handshake.recv.reason else ""
        # Codes that the standard leaves to applications are plain numbers.
        code = getattr(handshake.recv.code, "value", handshake.recv.code)
        return f"closed by the venue ({code}){reason}"

    def pause_writing(self) -> None:
        """Nothing: what is sent is little and bounded."""

    def resume_writing(self) -> None:
        """Nothing."""

    def send(self, text: str) -> None:
        """Send a text."""
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.send(WSMsgType.TEXT, text.encode())

    def pause(self) -> None:
        """Stop reading: the venue's messages wait in the network."""
        self._reading("pause_reading")

    def resume(self) -> None:
        """Read on."""
        self._reading("resume_reading")

    def _reading(self, what: str) -> None:
        # A transport that is closing, or that already is as asked, says so with an error.
        if self._transport is not None and not self._transport.is_disconnected:
            with contextlib.suppress(RuntimeError):
                getattr(self._transport.underlying_transport, what)()

    def finish(self) -> None:
        """Ask the venue to close. What it sent before it does still comes."""
        self._ours = self._ours or "closed by us"
        if self._transport is not None and not self._transport.is_disconnected:
            self.resume()
            self._transport.send_close(WSCloseCode.OK)

    def abort(self, reason: str) -> None:
        """Close at once: what is under way is lost."""
        self._ours = self._ours or reason
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect(graceful=False)

    async def wait_closed(self) -> str:
        """Wait for the end and give its reason."""
        reason = await asyncio.shield(self.closed)
        if self._transport is not None:
            try:
                await self._transport.wait_disconnected()
            except Exception as error:
                # picows gives here what the venue did against the protocol.
                log.debug("websocket ended: %s", error)
                reason = self._ours or f"{reason}: {error}"
        return reason


async def _found(parsed: WSParsedURL) -> Sequence[AddrInfoType]:
    """Give the addresses of a server. What is an address already needs no thread to be looked up."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, parsed.host)
            return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (parsed.host, parsed.port))]
    return await asyncio.get_running_loop().getaddrinfo(parsed.host, parsed.port, type=socket.SOCK_STREAM)


async def connect(
    url: str,
    *,
    opened: Callable[[Socket], None],
    messages: Callable[[int, list[bytes]], None],
    clock: Clock,
    timeout: float = 10.0,
) -> Socket:
    """Open a websocket. Raises `RefusedError` if the server answers with another status, `FeedError` otherwise."""
    raw: list[socket.socket] = []

    async def reach(parsed: WSParsedURL) -> socket.socket:
        raw.append(await start_connection(await _found(parsed), happy_eyeballs_delay=HAPPY, interleave=1))
        return raw[0]

    async def shake_hands() -> WSListener:
        try:
            _, listener = await ws_connect(
                lambda: Socket(opened, messages, clock.now),
                url,
                websocket_handshake_timeout=clock.real(timeout, least=2.0),
                enable_auto_ping=False,
                enable_auto_pong=False,
                max_frame_size=MAX_MESSAGE,
                read_buffer_init_size=READ_BUFFER,
                socket_factory=reach,
                logger_name=logging.getLogger("crossbook.feeds.picows"),
            )
        except asyncio.CancelledError:
            # picows leaves a connection whose handshake nobody waits for any more open, for the other side to end.
            for one in raw:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            raise
        return listener

    try:
        async with asyncio.timeout(clock.real(2 * timeout, least=4.0)):
            listener = await shake_hands()
    except WSHandshakeError as error:
        response = error.response
        if response is None or response.status < 300:
            raise FeedError(f"{shown(url)}: expected a websocket: {error}") from None
        wait = retry_after(response.headers.get("Retry-After"), clock.now())
        status = int(response.status)
        raise RefusedError(f"{shown(url)}: status {status}", status=status, retry_after=wait) from None
    except (WSError, TimeoutError, OSError) as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else (str(error) or type(error).__name__)
        raise FeedError(f"{shown(url)}: expected a websocket: {reason}") from error
    assert isinstance(listener, Socket)
    return listener
