"""The exchange of `docs/exchange.md`, slow and obvious: lists and linear searches, one method for each rule.

Where rules meet, `docs/exchange-examples.md` says what follows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

MAX_SIZE = 1 << 53
MAX_SLICES = 10_000
STAYS = ("day", "gtc", "gtd")
CALL = ("pre_open", "halted", "closing")
STOPS = ("stop", "stop_limit", "trailing_stop")
PEGS = ("peg_primary", "peg_mid")
# What each type may be combined with, and which of its fields it must (True), must not (False) or may (None) have.
TIMES_IN_FORCE = {
    "limit": (*STAYS, "ioc", "fok", "at_open", "at_close"),
    "market": ("day", "ioc", "fok", "at_open", "at_close"),
    "market_to_limit": STAYS,
    "stop": STAYS,
    "stop_limit": STAYS,
    "trailing_stop": STAYS,
    "peg_primary": STAYS,
    "peg_mid": STAYS,
}
PRICED = {"limit": True, "stop_limit": True, "peg_primary": None, "peg_mid": None}
TRIGGERED = {"stop": True, "stop_limit": True, "trailing_stop": True, "peg_primary": None, "peg_mid": None}
CHECKS = (
    *("off_tick", "off_lot", "too_small", "too_large", "notional", "collar", "wrong_state", "bad_link", "expired"),
    *("no_reference", "would_trade"),
)


@dataclass(frozen=True, slots=True)
class ProRata:
    """In proportion to the displayed sizes; a `Rules.priority` of None is price-time."""

    top_order: bool = False
    top_max: int = 0
    min_allocation: int = 0


@dataclass(frozen=True, slots=True)
class Tier:
    maker: int = 0
    taker: int = 0
    auction: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    id: int
    tier: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """As `rules.rs`."""

    tick: int = 1
    lot: int = 1
    min_size: int = 1
    max_size: int = MAX_SIZE
    max_notional: int | None = None
    collar: int | None = None
    band: int | None = None
    halt_for: int = 0
    reference: int | None = None
    priority: ProRata | None = None
    state: str = "continuous"
    accounts: tuple[Account, ...] = ()
    tiers: tuple[Tier, ...] = ()
    rate: int = 0
    rate_window: int = 1_000_000_000


class Execution(NamedTuple):
    """As `execution.rs`; None where that has UNSET."""

    sequence: int
    kind: str
    reason: str = "none"
    order_id: int = 0
    counter_id: int = 0
    account: int = 0
    counter_account: int = 0
    side: str | None = None
    price: int | None = None
    size: int | None = None
    remaining: int | None = None
    fee: int = 0
    counter_fee: int = 0
    state: str = "continuous"


class Live(NamedTuple):
    """A live order, as `Reference.orders` shows it."""

    id: int
    account: int
    side: str
    order_type: str
    time_in_force: str
    price: int | None
    """Limit, or where a pegged order is; None: none, or parked."""
    displayed: int
    size: int
    stop: int | None
    """Where a stop waits at present."""
    trigger: int | None
    """As entered: stop price, distance, offset."""
    link: int
    where: str
    """book, waiting, or triggered (a stop that waits to be activated)."""


class Quote(NamedTuple):
    bid: int | None
    bid_size: int
    ask: int | None
    ask_size: int


class Indicative(NamedTuple):
    price: int
    volume: int
    imbalance: int


@dataclass(slots=True, eq=False)
class Order:
    id: int
    account: int
    side: str
    type: str
    tif: str
    size: int
    price: int | None = None  # its limit; of a pegged order where it is, None: parked
    limit: int | None = None  # of a pegged order alone
    trigger: int | None = None
    display: int | None = None  # None: displayed in full, 0: hidden
    expires: int = 0
    link: int = 0
    self_trade: str = "none"
    post_only: str = "no"
    entry: int = 0  # when it was accepted
    turn: int = 0  # its place among those outside the book
    where: str = "hand"  # book, waiting, triggered, hand (being entered), gone
    shown: int = 0
    stop: int | None = None
    since: int = 0  # a stop looks at prints after this one
    top: bool = False  # it set this price as a new best

    @property
    def hidden(self) -> bool:
        return self.display == 0 or self.type in PEGS

    @property
    def bound(self) -> int | None:
        """The limit that it was given."""
        return self.limit if self.type in PEGS else self.price


class Reference:
    """One exchange."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.state = rules.state
        self.clock = 0
        self.last: int | None = None
        self.reference = rules.reference
        self.sequence = 0
        self.halt_end: int | None = None
        self.bids: list[Order] = []  # best first: price, displayed before hidden, time
        self.asks: list[Order] = []
        self.waiting: list[Order] = []  # stops, parked pegs, at_close before its time, market orders for an auction
        self.queue: list[Order] = []  # triggered, not yet activated
        self.hand: list[Order] = []  # being entered at this moment
        self.prints: list[tuple[int, int]] = []  # (serial, price) that no stop has looked at yet
        self.serial = 0
        self.counter = 0  # numbers entries and turns
        self.pegged_at: tuple[int | None, int | None] = (None, None)  # the quote when pegs were last priced
        self.killed: set[int] = set()
        self.rates: dict[int, tuple[int, int]] = {}  # account: (window, commands in it)
        self.counting = False  # this is a rehearsal for a fill-or-kill order
        self.said: list[Execution] = []

    # What one may ask.

    def orders(self) -> list[Live]:
        """Every live order: bids from the best in queue order, asks, then those outside the book by entry."""
        return [
            Live(o.id, o.account, o.side, o.type, o.tif, o.price, o.shown, o.size, o.stop, o.trigger, o.link, o.where)
            for o in self._live()
        ]

    def quote(self) -> Quote:
        """The best displayed bid and ask with what is displayed there."""
        bid, ask = self._best()
        bid_size = sum(o.shown for o in self.bids if o.price == bid)
        ask_size = sum(o.shown for o in self.asks if o.price == ask)
        return Quote(bid, bid_size, ask, ask_size)

    def indicative(self) -> Indicative | None:
        """What an auction now would give; None outside call phases and where nothing would trade."""
        return self._auction() if self.state in CALL else None

    # Commands.

    def apply(self, command: Mapping[str, Any]) -> list[Execution]:
        """What the exchange says to a command."""
        c = {key: value for key, value in command.items() if value is not None}
        self.sequence += 1
        self.said = []
        ts = c.get("ts", 0)
        if ts and ts < self.clock:
            self._reject(c, "time_reversed")
            return self.said
        if ts:
            self._advance(ts)
        match c["action"]:
            case "new":
                self._new(c)
            case "cancel":
                self._cancel_one(c)
            case "modify":
                self._modify(c, replace=False)
            case "replace":
                self._modify(c, replace=True)
            case "quote":
                self._quote(c)
            case "mass_cancel":
                side = c.get("side", "bid") if c.get("one_side") else None
                self._cancel_all(c.get("account", 0), side, "mass_cancelled")
            case "kill":
                self.killed.add(c.get("account", 0))
                self._cancel_all(c.get("account", 0), None, "killed")
            case "revive":
                self.killed.discard(c.get("account", 0))
            case "state":
                if c.get("state", "continuous") == self.state:
                    self._reject(c, "wrong_state")
                else:
                    self._enter_state(c.get("state", "continuous"))
            case "clock":
                pass
            case other:
                raise ValueError(f"expected an action, found {other!r}")
        self._settle()
        return self.said

    def _new(self, c: dict[str, Any]) -> None:
        reason = self._gate(c) or self._malformed(c)
        if not reason and self._find(c["order_id"]):
            reason = "duplicate_id"
        if reason:
            return self._reject(c, reason)
        o = Order(
            id=c["order_id"],
            account=c.get("account", 0),
            side=c.get("side", "bid"),
            type=c.get("order_type", "limit"),
            tif=c.get("time_in_force", "day"),
            size=c["size"],
            trigger=c.get("trigger"),
            display=c.get("display"),
            expires=c.get("expires", 0),
            link=c.get("link", 0),
            self_trade=c.get("self_trade", "none"),
            post_only=c.get("post_only", "no"),
        )
        if o.type in PEGS:
            o.limit = c.get("price")
            o.trigger = c.get("trigger", 0)
        else:
            o.price = c.get("price")
        reason = self._fault(o)
        if reason:
            return self._reject(c, reason)
        if o.display is not None and o.display >= o.size:
            o.display = None
        if o.link:
            partner = self._find(o.link)
            assert partner
            partner.link = o.id
        self.hand.append(o)
        o.entry = o.turn = self._count()
        self._enter(o, "accepted")

    def _cancel_one(self, c: dict[str, Any]) -> None:
        o = self._find(c.get("order_id", 0))
        if not o:
            return self._reject(c, "unknown_order")
        if c.get("account", 0) not in (0, o.account):
            return self._reject(c, "not_owner")
        self._cancel(o, "requested")

    def _cancel_all(self, account: int, side: str | None, reason: str) -> None:
        for o in self._live():
            if o.where != "gone" and account in (0, o.account) and side in (None, o.side):
                self._cancel(o, reason)

    def _modify(self, c: dict[str, Any], *, replace: bool) -> None:
        reason = self._gate(c)
        if reason:
            return self._reject(c, reason)
        if c.get("order_id", 0) < 1 or c.get("size", 1) <= 0 or c.get("display", 0) < 0:
            return self._reject(c, "invalid_field")
        o = self._find(c["order_id"])
        if not o:
            return self._reject(c, "unknown_order")
        if c.get("account", 0) not in (0, o.account):
            return self._reject(c, "not_owner")
        size = c.get("size", o.size)
        display = o.display
        if "display" in c and c["display"] != o.display:
            display = c["display"] if c["display"] < size else None
        if (
            ("price" in c and o.type not in PRICED)
            or ("trigger" in c and (o.type not in TRIGGERED or o.where == "triggered"))
            or ("trigger" in c and o.type == "trailing_stop" and c["trigger"] <= 0)
            or ("trigger" in c and o.type in PEGS and c["trigger"] < 0)
            or ("display" in c and o.type != "limit")
            or (display is not None and o.tif in ("at_open", "at_close"))
        ):
            return self._reject(c, "invalid_field")
        new_price = "price" in c and c["price"] != o.bound
        new_trigger = "trigger" in c and (o.type == "trailing_stop" or c["trigger"] != o.trigger)
        keeps = not (replace or new_price or new_trigger or display != o.display or size > o.size)
        made = copy.copy(o)
        made.size = size
        made.trigger = c.get("trigger", o.trigger)
        made.display = c.get("display", o.display)
        if o.type in PEGS:
            made.limit = c.get("price", o.limit)
        else:
            made.price = c.get("price", o.price)
        reason = self._fault(made, live=True, keeps=keeps, decrease=keeps and size < o.size)
        if reason:
            return self._reject(c, reason)
        if keeps:
            return self._resize(o, size)
        was = o.where
        self._pick_up(o)
        o.size, o.display, o.price, o.limit = size, display, made.price, made.limit
        o.turn = self._count()
        if "trigger" in c:
            o.trigger = c["trigger"]
        if was == "triggered":
            self._say("modified", o, price=o.price, size=o.size, remaining=o.size)
            self._put(o, "triggered")
        else:
            self._enter(o, "modified", anew="trigger" in c)

    def _resize(self, o: Order, size: int) -> None:
        """A decrease, or nothing: the reserve goes first and the place is kept."""
        o.size = size
        o.shown = min(o.shown, size)
        self._say("modified", o, price=o.price, size=o.size, remaining=o.size)

    def _quote(self, c: dict[str, Any]) -> None:
        reason = self._gate(c)
        if reason:
            return self._reject(c, reason)
        ids = (c.get("order_id", 0), c.get("link", 0))
        prices = (c.get("price"), c.get("trigger"))
        sizes = (c.get("size", -1), c.get("display", -1))
        tif = c.get("time_in_force", "day")
        if (
            min(ids) < 1
            or ids[0] == ids[1]
            or min(sizes) < 0
            or any(size and price is None for price, size in zip(prices, sizes, strict=True))
            or (all(sizes) and prices[0] is not None and prices[1] is not None and prices[0] >= prices[1])
            or tif not in STAYS
            or (tif == "gtd" and not c.get("expires"))
        ):
            return self._reject(c, "invalid_field")
        stand = [self._find(order_id) for order_id in ids]
        for o, side in zip(stand, ("bid", "ask"), strict=True):
            if o and (
                o.side != side
                or o.account != c.get("account", 0)
                or o.type != "limit"
                or o.display is not None
                or o.tif not in STAYS
            ):
                return self._reject(c, "duplicate_id")
        reasons = []
        drafts = []
        for order_id, side, price, size, old in zip(ids, ("bid", "ask"), prices, sizes, stand, strict=True):
            made = Order(order_id, c.get("account", 0), side, "limit", tif, size, price)
            made.expires = c.get("expires", 0)
            made.self_trade = c.get("self_trade", "none")
            made.post_only = c.get("post_only", "no")
            drafts.append(made)
            if size:
                keeps = old is not None and old.price == price and size <= old.size
                decrease = keeps and old is not None and size < old.size
                reasons.append(self._fault(made, keeps=keeps, decrease=decrease, but=ids))
        failed = [reason for reason in reasons if reason]
        if failed:
            return self._reject(c, min(failed, key=CHECKS.index))
        for made in drafts:
            old = self._find(made.id)
            if not made.size and old:
                self._cancel(old, "requested")
        for made in drafts:
            old = self._find(made.id)
            if made.size and old and (old.price != made.price or made.size > old.size):
                self._pick_up(old)
        for made in drafts:
            if not made.size:
                continue
            old = self._find(made.id)
            if not old:
                self.hand.append(made)
                made.entry = made.turn = self._count()
                self._enter(made, "accepted")
                continue
            old.post_only = made.post_only
            if old.where == "hand":
                old.price, old.size = made.price, made.size
                self._enter(old, "modified")
            else:
                self._resize(old, made.size)

    # Checks.

    def _gate(self, c: dict[str, Any]) -> str | None:
        account = c.get("account", 0)
        if self.state == "closed":
            return "closed"
        if self.rules.accounts and account not in [one.id for one in self.rules.accounts]:
            return "unknown_account"
        if 0 in self.killed or account in self.killed:
            return "killed"
        if self.rules.rate:
            window = self.clock // self.rules.rate_window
            before, count = self.rates.get(account, (window, 0))
            count = count + 1 if before == window else 1
            self.rates[account] = (window, count)
            if count > self.rules.rate:
                return "rate_limited"
        return None

    def _malformed(self, c: dict[str, Any]) -> str | None:
        kind = c.get("order_type", "limit")
        tif = c.get("time_in_force", "day")
        size = c.get("size", 0)
        trigger = c.get("trigger")
        must_price, must_trigger = PRICED.get(kind, False), TRIGGERED.get(kind, False)
        bad = (
            c.get("order_id", 0) < 1
            or tif not in TIMES_IN_FORCE[kind]
            or (must_price is not None and must_price != ("price" in c))
            or (must_trigger is not None and must_trigger != ("trigger" in c))
            or size <= 0
            or (kind == "trailing_stop" and trigger is not None and trigger <= 0)
            or (kind in PEGS and trigger is not None and trigger < 0)
            or c.get("display", 0) < 0
            or ("display" in c and c["display"] < size and not (kind in ("limit", "stop_limit") and tif in STAYS))
            or (tif == "gtd" and not c.get("expires"))
            or (c.get("post_only", "no") != "no" and not (kind == "limit" and tif in STAYS))
        )
        return "invalid_field" if bad else None

    def _fault(
        self, o: Order, *, live: bool = False, keeps: bool = False, decrease: bool = False, but: Sequence[int] = ()
    ) -> str | None:
        """The first of the checks from the tick on that an order fails as it would be."""
        rules = self.rules
        base = self.last if self.last is not None else self.reference
        if (o.bound or 0) % rules.tick or (o.trigger or 0) % rules.tick:
            return "off_tick"
        if o.size % rules.lot or (o.display or 0) % rules.lot:
            return "off_lot"
        if o.size < rules.min_size or (o.display and o.size // o.display >= MAX_SLICES):
            return "too_small"
        if o.size > rules.max_size:
            return "too_large"
        price = o.bound if o.bound is not None else base
        if rules.max_notional is not None and price is not None and price * o.size > rules.max_notional:
            return "notional"
        if rules.collar is not None and o.bound is not None and base is not None and not decrease:
            beyond = o.bound - base if o.side == "bid" else base - o.bound
            if beyond > rules.collar:
                return "collar"
        if not live:
            takes = o.tif in ("ioc", "fok") or o.type == "market_to_limit"
            takes |= o.type == "market" and o.tif not in ("at_open", "at_close")
            if (takes and self.state in CALL) or (o.tif == "at_open" and self.state != "pre_open"):
                return "wrong_state"
            if o.link:
                partner = self._find(o.link)
                if not partner or partner.account != o.account or partner.link:
                    return "bad_link"
            if o.tif == "gtd" and o.expires <= self.clock:
                return "expired"
            if o.type == "trailing_stop" and base is None:
                return "no_reference"
        if o.post_only == "reject" and self.state == "continuous" and not keeps:
            against = [x for x in self._opposite(o) if x.id not in but]
            if against and self._crosses(o.side, o.price, against[0].price):
                return "would_trade"
        return None

    # Entering: `o` is in hand, its fields are what they shall be.

    def _enter(self, o: Order, kind: str, *, anew: bool = True) -> None:
        """Says `kind` and puts the order where it belongs, after it has traded what it can."""
        if o.type in PEGS:
            o.price = self._peg_price(o, self._best())
        if o.type == "limit" and o.post_only == "slide" and self.state == "continuous":
            against = self._opposite(o)
            if against and self._crosses(o.side, o.price, against[0].price):
                best = against[0].price
                assert best is not None
                o.price = best - self.rules.tick if o.side == "bid" else best + self.rules.tick
        self._say(kind, o, price=o.price, size=o.size, remaining=o.size)
        if o.type in STOPS:
            self._put(o, "waiting")
            if o.type == "trailing_stop":
                if anew:
                    base = self.last if self.last is not None else self.reference
                    assert base is not None
                    assert o.trigger is not None
                    o.stop = base + o.trigger if o.side == "bid" else base - o.trigger
            else:
                o.stop = o.trigger
            if anew:
                o.since = self.serial
            if self.state == "continuous" and self.last is not None and self._reached(o, self.last):
                self._trigger(o, self.last)
        elif (
            (o.type in PEGS and o.price is None)
            or (o.type == "market" and o.tif in ("at_open", "at_close"))
            or (o.tif == "at_close" and self.state != "closing")
        ):
            self._put(o, "waiting")
        else:
            self._go(o)

    def _go(self, o: Order) -> None:
        """Trades and rests like a new order."""
        if self.state != "continuous":
            return self._join(o)
        bound = o.price
        if o.type == "market":
            base = self.last if self.last is not None else self.reference
            if self.rules.collar is not None and base is not None:
                bound = base + self.rules.collar if o.side == "bid" else base - self.rules.collar
        if o.type == "market_to_limit":
            against = self._opposite(o)
            if not against:
                return self._cancel(o, "no_liquidity")
            bound = o.price = against[0].price
            o.type = "limit"
        if o.tif == "fok" and not self._fillable(o, bound):
            return self._cancel(o, "fok")
        stopped = self._match(o, bound)
        if o.where != "gone":
            if not o.size:
                self._take_out(o)
            elif o.type != "market" and o.tif in STAYS:
                self._join(o)
            elif stopped:
                self._cancel(o, "halted")
            else:
                self._cancel(o, "no_liquidity" if o.type == "market" else "ioc")
        if stopped:
            self._state(self.rules.halt_for, "halted")
        return None

    def _join(self, o: Order) -> None:
        """To the tail of its queue: of the displayed orders at its price, or of the hidden ones."""
        self._take_out(o)
        book = self.bids if o.side == "bid" else self.asks
        o.shown = 0 if o.hidden else o.size if o.display is None else min(o.display, o.size)
        o.top = not any(x.price == o.price or self._better(x, o) for x in book)
        ahead = [x for x in book if self._better(x, o) or (x.price == o.price and (o.hidden or not x.hidden))]
        book.insert(len(ahead), o)
        o.where = "book"

    # Matching.

    def _match(self, o: Order, bound: int | None) -> bool:
        """Trades as far as it goes; whether the band stopped it."""
        while o.where == "hand" and o.size:
            book = self._opposite(o)
            if not book:
                return False
            price = book[0].price
            assert price is not None
            if bound is not None and not self._crosses(o.side, bound, price):
                return False
            band, reference = self.rules.band, self.reference
            if band is not None and reference is not None and abs(price - reference) > band:
                return True
            shown = [x for x in book if x.price == price and x.shown]
            if shown and self.rules.priority:
                self._round(o, shown, self.rules.priority)
            else:
                self._meet(o, book[0])
        return False

    def _own(self, o: Order, x: Order) -> bool:
        return o.account != 0 and o.account == x.account and o.self_trade != "none"

    def _meet(self, o: Order, x: Order) -> None:
        """The incoming order and the first of the queue."""
        if not self._own(o, x):
            return self._trade(o, x, min(o.size, x.shown or x.size))
        mode = o.self_trade
        if self.counting and mode != "cancel_oldest":
            return self._cancel(o, "self_trade")
        if mode == "decrement":
            return self._decrement(o, x)
        if mode in ("cancel_oldest", "cancel_both"):
            self._cancel(x, "self_trade")
        if mode in ("cancel_newest", "cancel_both") and o.where != "gone":
            self._cancel(o, "self_trade")
        return None

    def _round(self, o: Order, shown: list[Order], rule: ProRata) -> None:
        """One round of shares among the displayed orders of a level, in order of time."""
        own = [x for x in shown if self._own(o, x)]
        mode = o.self_trade
        if own and mode in ("cancel_oldest", "cancel_both"):
            for x in own:
                if x.where == "book":
                    self._cancel(x, "self_trade")
        if own and mode == "decrement":
            if self.counting:
                return self._cancel(o, "self_trade")
            while o.where == "hand" and o.size:
                level = [x for x in self._opposite(o) if x.price == shown[0].price and x.shown]
                mine = [x for x in level if self._own(o, x)]
                if not mine:
                    break
                self._decrement(o, mine[0])
        if o.where == "gone":
            return None
        others = [x for x in shown if x.where == "book" and not self._own(o, x)]
        rest = o.size
        gets = [0 for _ in others]
        if rule.top_order and others and others[0].top:
            gets[0] = min(rest, others[0].shown, rule.top_max or rest)
            rest -= gets[0]
        sizes = [x.shown - get for x, get in zip(others, gets, strict=True)]
        total = sum(sizes)
        shares = [min(size, rest * size // total) if total else 0 for size in sizes]
        shares = [share - share % self.rules.lot for share in shares]
        shares = [share if share >= rule.min_allocation else 0 for share in shares]
        gets = [get + share for get, share in zip(gets, shares, strict=True)]
        rest -= sum(shares)
        for i, x in enumerate(others):
            more = min(rest, x.shown - gets[i])
            gets[i] += more
            rest -= more
        for x, get in zip(others, gets, strict=True):
            if get and x.where == "book" and o.where == "hand":
                self._trade(o, x, get)
        if own and mode in ("cancel_newest", "cancel_both") and o.where == "hand" and o.size:
            self._cancel(o, "self_trade")
        return None

    def _trade(self, o: Order, x: Order, size: int) -> None:
        assert x.price is not None
        self._reduce(o, x, size)
        self.said.append(
            Execution(
                sequence=self.sequence,
                kind="trade",
                order_id=o.id,
                counter_id=x.id,
                account=o.account,
                counter_account=x.account,
                side=o.side,
                price=x.price,
                size=size,
                remaining=o.size,
                fee=self._fee(o.account, "taker", x.price * size),
                counter_fee=self._fee(x.account, "maker", x.price * size),
            )
        )
        self._print(x.price)
        if not x.size:
            self._take_out(x)
        self._cancel_partner(x)
        self._cancel_partner(o)
        self._replenish(x)

    def _decrement(self, o: Order, x: Order) -> None:
        size = min(o.size, x.shown or x.size)
        self._reduce(o, x, size)
        self.said.append(
            Execution(
                sequence=self.sequence,
                kind="decremented",
                order_id=o.id,
                counter_id=x.id,
                account=o.account,
                counter_account=x.account,
                side=o.side,
                price=x.price,
                size=size,
                remaining=o.size,
            )
        )
        if not x.size:
            self._cancel(x, "self_trade")
        if o.where == "hand" and not o.size:
            self._cancel(o, "self_trade")
        self._replenish(x)

    def _reduce(self, o: Order, x: Order, size: int) -> None:
        o.size -= size
        x.size -= size
        if x.shown:
            x.shown -= size

    def _replenish(self, x: Order) -> None:
        """The next slice of an iceberg whose slice is used up."""
        if x.where == "book" and not x.hidden and not x.shown:
            self._join(x)
            x.top = False
            self._say("replenished", x, price=x.price, size=x.shown, remaining=x.size)

    def _fillable(self, o: Order, bound: int | None) -> bool:
        """Rehearses on copies whether a fill-or-kill order would be filled."""
        twin = copy.copy(self)
        twin.counting = True
        twin.said, twin.prints = [], []
        twin.bids, twin.asks, twin.waiting, twin.queue, twin.hand = (
            [copy.copy(x) for x in group] for group in (self.bids, self.asks, self.waiting, self.queue, self.hand)
        )
        twin_order = twin._find(o.id)
        assert twin_order
        twin._match(twin_order, bound)
        return twin_order.where == "hand" and not twin_order.size

    def _print(self, price: int) -> None:
        self.last = price
        if self.reference is None:
            self.reference = price
        self.serial += 1
        self.prints.append((self.serial, price))

    def _fee(self, account: int, rate: str, amount: int) -> int:
        if not self.rules.tiers:
            return 0
        tier = next((one.tier for one in self.rules.accounts if one.id == account), 0)
        billionths: int = amount * getattr(self.rules.tiers[tier], rate)
        return -(-billionths // 1_000_000_000)

    # Stops and pegs: what happens after a command.

    def _settle(self) -> None:
        while self.state == "continuous":
            if self.prints:
                self._look_at(*self.prints.pop(0))
            elif self.queue:
                o = self.queue[0]
                self._pick_up(o)
                o.type = "limit" if o.type == "stop_limit" else "market"
                o.trigger = o.stop = None
                self._go(o)
            elif self._best() != self.pegged_at:
                self._reprice(self._best())
            else:
                return
        self._reprice((None, None))

    def _look_at(self, serial: int, price: int) -> None:
        there = [o for o in self.waiting if o.type in STOPS and o.since < serial]
        for o in there:
            if o.type == "trailing_stop":
                assert o.stop is not None
                assert o.trigger is not None
                o.stop = min(o.stop, price + o.trigger) if o.side == "bid" else max(o.stop, price - o.trigger)
        reached = [o for o in there if self._reached(o, price)]
        buys = sorted((o for o in reached if o.side == "bid"), key=lambda o: (o.stop, o.turn))
        sells = sorted((o for o in reached if o.side == "ask"), key=lambda o: (-(o.stop or 0), o.turn))
        for o in buys + sells:
            if o.where == "waiting":
                self._trigger(o, price)

    def _reached(self, o: Order, price: int) -> bool:
        assert o.stop is not None
        return price >= o.stop if o.side == "bid" else price <= o.stop

    def _trigger(self, o: Order, price: int) -> None:
        self._put(o, "triggered")
        self._say("triggered", o, price=price, size=o.size, remaining=o.size)
        self._cancel_partner(o)

    def _reprice(self, best: tuple[int | None, int | None]) -> None:
        """Every pegged order at its price for this quote, in order of entry; none: all are parked."""
        self.pegged_at = best
        pegs = [o for o in self._live() if o.type in PEGS]
        for o in sorted(pegs, key=lambda o: o.turn):
            if o.where == "gone" or (self.state != "continuous" and best != (None, None)):
                continue
            price = self._peg_price(o, best)
            if price == o.price:
                continue
            self._pick_up(o)
            o.price = price
            self._say("repriced", o, price=price, size=o.size, remaining=o.size)
            if price is None:
                self._put(o, "waiting")
            else:
                self._go(o)

    def _peg_price(self, o: Order, best: tuple[int | None, int | None]) -> int | None:
        bid, ask = best
        if self.state != "continuous":
            return None
        tick, offset = self.rules.tick, o.trigger or 0
        if o.type == "peg_primary":
            own = bid if o.side == "bid" else ask
            if own is None:
                return None
            twice = 2 * own
        else:
            if bid is None or ask is None:
                return None
            twice = bid + ask
        if o.side == "bid":
            twice -= 2 * offset
            if o.limit is not None:
                twice = min(twice, 2 * o.limit)
            return twice // (2 * tick) * tick
        twice += 2 * offset
        if o.limit is not None:
            twice = max(twice, 2 * o.limit)
        return -(-twice // (2 * tick)) * tick

    # States and time.

    def _advance(self, ts: int) -> None:
        """What is due until `ts`, in order of its time; each thing at its own time and with what follows from it."""
        while True:
            expiring = [o for o in self._live() if o.tif == "gtd" and o.expires <= ts]
            first = min(expiring, key=lambda o: (o.expires, o.entry), default=None)
            halt = self.halt_end if self.halt_end is not None and self.halt_end <= ts else None
            if first and (halt is None or first.expires <= halt):
                self.clock = first.expires
                self._cancel(first, "expired")
            elif halt is not None:
                self.clock = halt
                self._enter_state("continuous")
            else:
                break
            self._settle()
        self.clock = ts

    def _enter_state(self, state: str) -> None:
        old = self.state
        if state == "continuous" or (old == "closing" and state == "closed"):
            self._uncross()
        if old == "pre_open":
            self._cancel_by_time_in_force("at_open", "auction")
        if old == "closing" or state == "closed":
            self._cancel_by_time_in_force("at_close", "auction")
        self._state(0, state)
        if state == "closing":
            for o in sorted(self.waiting, key=lambda o: o.turn):
                if o.type == "limit" and o.tif == "at_close":
                    self._join(o)
        if state == "closed":
            self._cancel_by_time_in_force("day", "closed")
        if state == "continuous" and self.last is not None:
            self.serial += 1
            self.prints.append((self.serial, self.last))

    def _state(self, halt_for: int, state: str) -> None:
        self.state = state
        self.halt_end = self.clock + halt_for if halt_for else None
        self.said.append(Execution(self.sequence, "state", state=state))

    def _cancel_by_time_in_force(self, tif: str, reason: str) -> None:
        for o in self._live():
            if o.tif == tif and o.where != "gone":
                self._cancel(o, reason)

    # Auctions.

    def _market_orders(self, side: str) -> list[Order]:
        """Those that take part in an auction now, by time."""
        tif = {"pre_open": "at_open", "closing": "at_close"}.get(self.state)
        there = [o for o in self.waiting if o.type == "market" and o.tif == tif and o.side == side]
        return sorted(there, key=lambda o: o.turn)

    def _auction(self) -> Indicative | None:
        buys = sum(o.size for o in self._market_orders("bid"))
        sells = sum(o.size for o in self._market_orders("ask"))
        limits = [o.price for o in self.bids + self.asks if o.price is not None]
        if limits:
            prices: Iterable[int] = range(min(limits), max(limits) + 1, self.rules.tick)
        else:
            base = self.last if self.last is not None else self.reference
            if base is None:
                return None
            prices = [base]
        all_of_them = []
        for price in prices:
            demand = buys + sum(o.size for o in self.bids if o.price is not None and o.price >= price)
            supply = sells + sum(o.size for o in self.asks if o.price is not None and o.price <= price)
            all_of_them.append(Indicative(price, min(demand, supply), demand - supply))
        most = max(one.volume for one in all_of_them)
        if not most:
            return None
        best = [one for one in all_of_them if one.volume == most]
        least = min(abs(one.imbalance) for one in best)
        best = [one for one in best if abs(one.imbalance) == least]
        lowest, highest = best[0].price, best[-1].price
        if all(one.imbalance > 0 for one in best):
            price = highest
        elif all(one.imbalance < 0 for one in best):
            price = lowest
        else:
            price = (lowest + highest) // 2 if self.reference is None else min(max(self.reference, lowest), highest)
            if len(best) > 1:
                price -= price % self.rules.tick
        return next(one for one in all_of_them if one.price == price)

    def _auction_queue(self, side: str, price: int) -> list[tuple[Order, int]]:
        """Who trades in which order and how much: market orders, then price, slices, hidden and reserves."""
        queue = [(o, o.size) for o in self._market_orders(side)]
        book = self.bids if side == "bid" else self.asks
        for level in sorted({o.price for o in book if o.price is not None}, reverse=side == "bid"):
            if self._crosses(side, level, price):
                there = [o for o in book if o.price == level]
                queue += [(o, o.shown) for o in there if o.shown]
                queue += [(o, o.size - o.shown) for o in there if o.shown and o.size > o.shown]
                queue += [(o, o.size) for o in there if not o.shown]
        return queue

    def _uncross(self) -> None:
        found = self._auction()
        if not found:
            return
        price, volume, imbalance = found
        self.said.append(
            Execution(self.sequence, "auction", price=price, size=volume, remaining=imbalance),
        )
        buyers, sellers = self._auction_queue("bid", price), self._auction_queue("ask", price)
        pairs = []
        while volume:
            (buyer, wants), (seller, has) = buyers[0], sellers[0]
            size = min(wants, has, volume)
            volume -= size
            buyers[0], sellers[0] = (buyer, wants - size), (seller, has - size)
            buyers = buyers if wants > size else buyers[1:]
            sellers = sellers if has > size else sellers[1:]
            for o in (buyer, seller):
                o.size -= size
                o.shown -= min(o.shown, size)
            pairs.append((buyer, seller))
            self.said.append(
                Execution(
                    sequence=self.sequence,
                    kind="trade",
                    order_id=buyer.id,
                    counter_id=seller.id,
                    account=buyer.account,
                    counter_account=seller.account,
                    price=price,
                    size=size,
                    remaining=buyer.size,
                    fee=self._fee(buyer.account, "auction", price * size),
                    counter_fee=self._fee(seller.account, "auction", price * size),
                )
            )
            self._print(price)
        self.reference = price
        for o in [o for pair in pairs for o in pair]:
            if not o.size and o.where != "gone":
                self._take_out(o)
        for o in [o for pair in pairs for o in pair]:
            self._cancel_partner(o)
        for o in self.bids + self.asks:
            self._replenish(o)

    # Small things.

    def _count(self) -> int:
        self.counter += 1
        return self.counter

    def _live(self) -> list[Order]:
        return self.bids + self.asks + sorted(self.waiting + self.queue, key=lambda o: o.turn)

    def _find(self, order_id: int) -> Order | None:
        for group in (self.bids, self.asks, self.waiting, self.queue, self.hand):
            for o in group:
                if o.id == order_id:
                    return o
        return None

    def _take_out(self, o: Order) -> None:
        for group in (self.bids, self.asks, self.waiting, self.queue, self.hand):
            if o in group:
                group.remove(o)
        o.where = "gone"
        o.shown = 0

    def _pick_up(self, o: Order) -> None:
        self._take_out(o)
        self.hand.append(o)
        o.where = "hand"
        o.top = False

    def _put(self, o: Order, where: str) -> None:
        self._take_out(o)
        (self.queue if where == "triggered" else self.waiting).append(o)
        o.where = where

    def _cancel(self, o: Order, reason: str) -> None:
        self._take_out(o)
        self._say("cancelled", o, reason=reason, price=o.price, size=o.size, remaining=0)
        self._cancel_partner(o)

    def _cancel_partner(self, o: Order) -> None:
        """Its alternative, after `o` was executed, triggered, cancelled or expired. Both may have been filled."""
        partner = self._find(o.link) if o.link else None
        if partner and partner.size:
            o.link = partner.link = 0
            self._cancel(partner, "linked")

    def _opposite(self, o: Order) -> list[Order]:
        return self.asks if o.side == "bid" else self.bids

    def _crosses(self, side: str, price: int | None, other: int | None) -> bool:
        """Whether an order of this side and price accepts the other price."""
        assert price is not None
        assert other is not None
        return price >= other if side == "bid" else price <= other

    def _better(self, x: Order, o: Order) -> bool:
        assert x.price is not None
        assert o.price is not None
        return x.price > o.price if o.side == "bid" else x.price < o.price

    def _best(self) -> tuple[int | None, int | None]:
        bid = next((o.price for o in self.bids if o.shown), None)
        ask = next((o.price for o in self.asks if o.shown), None)
        return bid, ask

    def _say(
        self,
        kind: str,
        o: Order,
        *,
        reason: str = "none",
        price: int | None = None,
        size: int | None = None,
        remaining: int | None = None,
    ) -> None:
        self.said.append(
            Execution(
                sequence=self.sequence,
                kind=kind,
                reason=reason,
                order_id=o.id,
                account=o.account,
                side=o.side,
                price=price,
                size=size,
                remaining=remaining,
            )
        )

    def _reject(self, c: Mapping[str, Any], reason: str) -> None:
        self.said.append(
            Execution(
                sequence=self.sequence,
                kind="rejected",
                reason=reason,
                order_id=c.get("order_id", 0),
                account=c.get("account", 0),
                side=c.get("side", "bid") if c["action"] == "new" else None,
            )
        )
