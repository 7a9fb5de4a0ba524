"""Orders at rest, for formats that tell of fills and cancellations in words other than a tape's.

In a tape by order `Add` and `Modify` give an order's size from then on, `Execute` the size that was filled, by which
the order shrinks, and `Cancel` removes it; its size is what is removed. Databento and hftbacktest tell of a fill and,
apart from it, of what the fill does to the book.
"""

from __future__ import annotations

from crossbook.convert.events import ADD, CANCEL, CLEAR, EXECUTE, MODIFY, TRADE
from crossbook.errors import DataError

__all__ = ["Orders"]

Key = tuple[int, int]
"""Instrument and order id."""


class Orders:
    """What rests, order by order, and which fills a format has yet to take off the book.

    `partial`: a cancellation takes its size off the order (Databento); else it removes the order (hftbacktest).
    """

    def __init__(self, *, partial: bool) -> None:
        self.partial = partial
        self.size: dict[Key, int] = {}
        self._due: dict[Key, int] = {}

    def clear(self, instrument: int) -> None:
        """Forget an instrument's orders."""
        for kept in (self.size, self._due):
            for key in [key for key in kept if key[0] == instrument]:
                del kept[key]

    def read(self, action: str, key: Key, size: int) -> tuple[int, int] | None:
        """The kind and size of the event that an action means; None if an event before it has said it already."""
        if action == "A":
            self.size[key] = size
            self._due.pop(key, None)
            return ADD, size
        if action == "M":
            before = self.size.get(key)
            told = self._due.pop(key, None) is not None and before == size
            self.size[key] = size
            if told:
                return None
            # Who begins to listen in the middle meets orders first where they change: all is said of them then.
            return (ADD if before is None else MODIFY), size
        if action == "F":
            self._due[key] = self._due.get(key, 0) + size
            self._shrink(key, size)
            return EXECUTE, size
        if action == "C":
            return self._cancelled(key, size)
        if action == "R":
            self.clear(key[0])
            return CLEAR, 0
        if action == "T":
            return TRADE, size
        return None

    def take(self, key: Key, size: int) -> tuple[int, int]:
        """The event that a partial cancellation means where none of it was filled."""
        rest = self._shrink(key, size)
        return (MODIFY, rest) if rest else (CANCEL, size)

    def fill(self, key: Key, size: int) -> tuple[int, int]:
        """The event that an execution means where nothing else will tell of it."""
        self._shrink(key, size)
        return EXECUTE, size

    def _shrink(self, key: Key, size: int) -> int:
        rest = max(self.size.get(key, 0) - size, 0)
        if rest:
            self.size[key] = rest
        else:
            self.size.pop(key, None)
        return rest

    def _cancelled(self, key: Key, size: int) -> tuple[int, int] | None:
        due = self._due.pop(key, 0)
        if self.partial:
            if size < due:
                self._due[key] = due - size
            return self.take(key, size - due) if size > due else None
        rest = self.size.pop(key, None)
        if rest is None:
            return None if due else (CANCEL, size)
        return CANCEL, rest

    def write(self, kind: int, key: Key, size: int) -> list[tuple[str, int]]:
        """The actions that an event means. Raises `DataError` for a fill of an order that never came."""
        if kind in (ADD, MODIFY):
            self.size[key] = size
            return [("A" if kind == ADD else "M", size)]
        if kind == CANCEL:
            return [("C", self.size.pop(key, size))]
        if kind == TRADE:
            return [("T", size)]
        if kind == CLEAR:
            self.clear(key[0])
            return [("R", 0)]
        if kind != EXECUTE:
            return []
        if self.partial:
            self._shrink(key, size)
            return [("F", size), ("C", size)]
        if key not in self.size:
            raise DataError(f"order {key[1]}: expected it to be added before it is filled")
        rest = self._shrink(key, size)
        return [("F", size), ("M", rest) if rest else ("C", 0)]
