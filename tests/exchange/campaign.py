"""An engine against the reference: the first command at which they differ, and few commands that still show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

from .commands import PROFILES, commands
from .invariants import Ledger, check
from .reference import Execution, Indicative, Live, Quote, Reference, Rules


class Engine(Protocol):
    """What an engine's adapter offers, in the types of `reference.py`."""

    def apply(self, command: Mapping[str, Any], /) -> list[Execution]: ...
    def orders(self) -> list[Live]: ...
    def quote(self) -> Quote: ...
    def indicative(self) -> Indicative | None: ...


class Difference(NamedTuple):
    at: int
    command: Mapping[str, Any]
    what: str
    expected: object
    found: object

    def __str__(self) -> str:
        return f"command {self.at}: {self.what}\n{self.command}\nreference {self.expected}\nengine    {self.found}"


def first_difference(
    make: Callable[[Rules], Engine], rules: Rules, stream: Iterable[Mapping[str, Any]], *, look: int = 50
) -> Difference | None:
    """Runs both over a stream: executions after every command, orders, quote and indicative after every `look`-th."""
    reference, engine, ledger = Reference(rules), make(rules), Ledger()
    for index, command in enumerate(stream):
        expected, found = reference.apply(command), engine.apply(command)
        if expected != found:
            return Difference(index, command, "executions", expected, found)
        ledger.follow(command, expected)
        if index % look == look - 1:
            views: Sequence[tuple[str, object, object]] = (
                ("orders", reference.orders(), engine.orders()),
                ("quote", reference.quote(), engine.quote()),
                ("indicative", reference.indicative(), engine.indicative()),
            )
            for what, expects, finds in views:
                if expects != finds:
                    return Difference(index, command, what, expects, finds)
            check(reference.orders(), reference.state, reference.last)
            ledger.agree(reference.orders())
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
