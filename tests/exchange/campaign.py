"""An engine against the reference: the first command at which they differ, and few commands that still show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol, runtime_checkable

from .commands import PROFILES, commands
from .invariants import Ledger, check
from .reference import STOPS, Execution, Indicative, Live, Quote, Reference, Rules


class Engine(Protocol):
    """What an engine's adapter offers, in the types of `reference.py`."""

    @property
    def state(self) -> str: ...
    @property
    def last(self) -> int | None: ...
    def apply(self, command: Mapping[str, Any], /) -> list[Execution]: ...
    def orders(self) -> list[Live]: ...
    def quote(self) -> Quote: ...
    def indicative(self) -> Indicative | None: ...


@runtime_checkable
class ManyAtOnce(Protocol):
    """An engine that takes many commands in one call, and says for each what it says."""

    def run(self, commands: Sequence[Mapping[str, Any]], /) -> list[list[Execution]]: ...


class Difference(NamedTuple):
    at: int
    command: Mapping[str, Any]
    what: str
    expected: object
    found: object

    def __str__(self) -> str:
        return f"command {self.at}: {self.what}\n{self.command}\nreference {self.expected}\nengine    {self.found}"


def visible(order: Live) -> Live:
    """Of an order what an engine need show: one trigger (where a stop waits, or as entered), in the book or outside."""
    stop = order.trigger if order.order_type in STOPS and order.stop is None else order.stop
    return order._replace(
        stop=stop,
        trigger=stop if order.order_type in STOPS else order.trigger,
        where="book" if order.where == "book" else "waiting",
    )


def first_difference(
    make: Callable[[Rules], Engine], rules: Rules, stream: Iterable[Mapping[str, Any]], *, look: int = 50
) -> Difference | None:
    """Runs both over a stream: executions after every command, orders, quote, indicative, state and last trade after
    every `look`-th and at the end; an engine that takes many at once gets so many."""
    reference, engine, ledger = Reference(rules), make(rules), Ledger()
    index = -1
    rest = iter(stream)
    while some := list(islice(rest, look)):
        answers = engine.run(some) if isinstance(engine, ManyAtOnce) else map(engine.apply, some)
        for command, found in zip(some, answers, strict=True):
            index += 1
            expected = reference.apply(command)
            if expected != found:
                return Difference(index, command, "executions", expected, found)
            ledger.follow(command, expected)
        expects, finds = list(map(visible, reference.orders())), list(map(visible, engine.orders()))
        views: Sequence[tuple[str, object, object]] = (
            ("orders", expects, finds),
            ("quote", reference.quote(), engine.quote()),
            ("indicative", reference.indicative(), engine.indicative()),
            ("state", reference.state, engine.state),
            ("last trade", reference.last, engine.last),
        )
        for what, one, other in views:
            if one != other:
                return Difference(index, some[-1], what, one, other)
        check(reference.orders(), reference.state, reference.last)
        ledger.agree(finds)
    return None


def shrink(
    make: Callable[[Rules], Engine], rules: Rules, stream: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Leaves commands out, ever smaller runs of them, as long as the two still differ."""
    kept = list(stream)
    step = len(kept)
    while step:
        start = 0
        while start < len(kept):
            fewer = kept[:start] + kept[start + step :]
            found = first_difference(make, rules, fewer, look=1)
            if found:
                kept = fewer[: found.at + 1]
            else:
                start += step
        step //= 2
    return kept


def campaign(
    make: Callable[[Rules], Engine], seeds: Iterable[int], *, count: int = 2_000, profiles: Iterable[str] = PROFILES
) -> str | None:
    """Every profile under every seed; what to read about the first difference, shrunk, else None."""
    profiles = tuple(profiles)
    for seed in seeds:
        for profile in profiles:
            rules = PROFILES[profile]
            found = first_difference(make, rules, commands(seed, count, rules))
            if found:
                few = shrink(make, rules, list(islice(commands(seed, count, rules), found.at + 1)))
                shown = first_difference(make, rules, few, look=1)
                return f"profile {profile}, seed {seed}, {shown or found}\nafter\n" + "\n".join(map(str, few[:-1]))
    return None
