"""What can go wrong with live feeds."""

from __future__ import annotations

from crossbook.errors import Error


class FeedError(Error):
    """A feed cannot be had, or cannot go on."""


class RefusedError(FeedError):
    """A server said no: `status` is its HTTP status, `retry_after` how many seconds it asks us to wait, if it does."""

    def __init__(self, message: str, *, status: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
