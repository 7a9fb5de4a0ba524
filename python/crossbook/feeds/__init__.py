"""Live feeds: websockets and REST of the venues, as the same tapes that captures give."""

from __future__ import annotations

from crossbook.feeds.clock import Clock
from crossbook.feeds.errors import FeedError, RefusedError
from crossbook.feeds.health import Health
from crossbook.feeds.recorder import Recorder
from crossbook.feeds.stream import Stream, stream
from crossbook.feeds.symbols import Symbols, resolve

__all__ = ["Clock", "FeedError", "Health", "Recorder", "RefusedError", "Stream", "Symbols", "resolve", "stream"]
