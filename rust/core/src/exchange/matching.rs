//! Who trades with whom.

use super::{
    Command, Exchange, Execution, ExecutionKind, Incoming, OrderType, Out, Priority, Reason, SelfTrade, State, Stop,
    Terms, TimeInForce,
};
use crate::book::orders::NONE;
use crate::units::{Price, Side, Size};

/// What is left of a resting order that traded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Some of its slice.
    Slice,
    /// Its reserve: an empty slice still stands there.
    Reserve,
    /// Nothing; it still stands there.
    Nothing,
}

impl Incoming {
    /// Its limit, not that which a collar gives a market order.
    const fn own_limit(&self) -> Price {
        Price(if matches!(self.terms.order_type, OrderType::Market) { Command::UNSET } else { self.limit })
    }

    pub(super) const fn of(id: u64, side: Side, limit: i64, open: i64, terms: Terms) -> Self {
        Self { id, side, limit, open, terms, at: NONE, link: NONE, only: Command::UNSET, stop: Stop::No, traded: false }
    }
}

/// The general way.
impl Exchange {
    /// Trades an order as far as it goes.
    pub(super) fn take(&mut self, incoming: &mut Incoming, out: Out<'_>) {
        while incoming.open > 0 && incoming.stop == Stop::No {
            let Some(level) = self.book.best_level(incoming.side.opposite()) else { return };
            let price = level.price;
            if !self.reaches(incoming, price) {
                return;
            }
            if !self.in_band(price) {
                incoming.stop = Stop::Band;
                return;
            }
            if self.rules.priority != Priority::PriceTime && level.first_shown() != NONE {
                self.share(incoming, price, out);
                continue;
            }
            let maker = level.first();
            if self.is_own(incoming, maker) {
                self.prevent(incoming, maker, out);
            } else {
                let size = incoming.open.min(self.book.node(maker).size);
                self.trade(incoming, maker, price, size, out);
            }
        }
    }

    fn is_own(&self, incoming: &Incoming, maker: u32) -> bool {
        let account = self.book.node(maker).tag.account;
        incoming.terms.self_trade != SelfTrade::None && account != 0 && account == incoming.terms.account
    }

    /// An order of its own account stands in its way.
    fn prevent(&mut self, incoming: &mut Incoming, maker: u32, out: Out<'_>) {
        match incoming.terms.self_trade {
            SelfTrade::None => {}
            SelfTrade::CancelNewest => incoming.stop = Stop::SelfTrade,
            SelfTrade::CancelOldest => self.cancel_own(incoming, maker, out),
            SelfTrade::CancelBoth => {
                self.cancel_own(incoming, maker, out);
                if incoming.stop == Stop::No {
                    incoming.stop = Stop::SelfTrade;
                }
            }
            SelfTrade::Decrement => self.decrement(incoming, maker, out),
        }
    }

    /// Cancels a resting order of the incoming one's account. If they are each other's alternatives, the incoming one
    /// goes with it.
    fn cancel_own(&mut self, incoming: &mut Incoming, maker: u32, out: Out<'_>) {
        let ends = self.extra(maker).is_some_and(|extra| extra.link != NONE && extra.link == incoming.at);
        if ends {
            self.unlink(maker);
        }
        self.cancel(maker, Reason::SelfTrade, out);
        if ends {
            self.end_incoming(incoming, out);
        }
    }

    /// The incoming order's alternative is gone: so is the rest of it.
    fn end_incoming(&mut self, incoming: &mut Incoming, out: Out<'_>) {
        incoming.link = NONE;
        incoming.stop = Stop::Linked;
        let size = std::mem::replace(&mut incoming.open, 0);
        if size == 0 {
            return;
        }
        out(&Execution {
            kind: ExecutionKind::Cancelled,
            reason: Reason::Linked,
            price: incoming.own_limit(),
            size: Size(size),
            remaining: Size(0),
            ..self.about(incoming)
        });
    }

    fn decrement(&mut self, incoming: &mut Incoming, maker: u32, out: Out<'_>) {
        let size = incoming.open.min(self.book.node(maker).size);
        let price = self.book.level_of(maker).price;
        incoming.open -= size;
        out(&Execution {
            kind: ExecutionKind::Decremented,
            counter_id: self.book.node(maker).id,
            counter_account: self.book.node(maker).tag.account,
            price: Price(price),
            size: Size(size),
            remaining: Size(incoming.open),
            ..self.about(incoming)
        });
        let id = self.book.node(maker).id;
        let left = self.use_up(maker, size);
        let empty = incoming.open == 0;
        if left == Left::Nothing {
            let ends = self.extra(maker).is_some_and(|extra| extra.link != NONE && extra.link == incoming.at);
            if ends {
                self.unlink(maker);
            }
            self.end_empty(maker, price, out);
            if ends {
                self.end_incoming(incoming, out);
            }
        }
        if empty {
            out(&Execution {
                kind: ExecutionKind::Cancelled,
                reason: Reason::SelfTrade,
                price: incoming.own_limit(),
                size: Size(0),
                remaining: Size(0),
                ..self.about(incoming)
            });
            let partner = std::mem::replace(&mut incoming.link, NONE);
            if partner != NONE {
                self.unlink(partner);
                self.cancel_linked(partner, out);
            }
        }
        if left == Left::Reserve && self.book.rests(maker) && self.book.node(maker).id == id {
            self.replenish(maker, out);
        }
    }

    /// An order that was decremented to nothing.
    fn end_empty(&mut self, at: u32, price: i64, out: Out<'_>) {
        let node = self.book.node(at);
        let execution = Execution {
            sequence: self.sequence,
            kind: ExecutionKind::Cancelled,
            reason: Reason::SelfTrade,
            order_id: node.id,
            price: Price(price),
            size: Size(0),
            remaining: Size(0),
            account: node.tag.account,
            side: Some(self.side_of(at)),
            ..Execution::EMPTY
        };
        out(&execution);
        let partner = self.end(at);
        self.cancel_linked(partner, out);
    }

    /// What every execution about an incoming order says.
    fn about(&self, incoming: &Incoming) -> Execution {
        Execution {
            sequence: self.sequence,
            order_id: incoming.id,
            account: incoming.terms.account,
            side: Some(incoming.side),
            ..Execution::EMPTY
        }
    }

    /// One trade with a resting order, and what follows from it at once.
    pub(super) fn trade(&mut self, incoming: &mut Incoming, maker: u32, price: i64, size: i64, out: Out<'_>) {
        let node = self.book.node(maker);
        let (counter_id, counter_account) = (node.id, node.tag.account);
        incoming.open -= size;
        self.print(price);
        let (fee, counter_fee) = self.fees(incoming.terms.account, counter_account, price, size);
        out(&Execution {
            kind: ExecutionKind::Trade,
            counter_id,
            counter_account,
            price: Price(price),
            size: Size(size),
            remaining: Size(incoming.open),
            fee,
            counter_fee,
            ..self.about(incoming)
        });
        let left = self.use_up(maker, size);
        if self.extra(maker).is_some_and(|extra| extra.link != NONE) {
            self.part(incoming, maker, left == Left::Nothing, out);
        }
        if left == Left::Nothing {
            let partner = self.end(maker);
            self.cancel_linked(partner, out);
        }
        if !incoming.traded {
            incoming.traded = true;
            let partner = std::mem::replace(&mut incoming.link, NONE);
            if partner != NONE {
                self.unlink(partner);
                self.cancel_linked(partner, out);
            }
        }
        if left == Left::Reserve && self.book.rests(maker) && self.book.node(maker).id == counter_id {
            self.replenish(maker, out);
        }
    }

    /// A linked resting order traded: its alternative goes, at once.
    fn part(&mut self, incoming: &mut Incoming, maker: u32, whole: bool, out: Out<'_>) {
        let partner = self.unlink(maker);
        if partner != incoming.at || partner == NONE {
            return self.cancel_linked(partner, out);
        }
        // They are each other's alternatives. The first cancel dissolves the link.
        if incoming.open > 0 {
            self.end_incoming(incoming, out);
        } else {
            incoming.link = NONE;
            if !whole {
                self.cancel(maker, Reason::Linked, out);
            }
        }
    }

    /// Takes so much of a resting order's slice.
    fn use_up(&mut self, maker: u32, size: i64) -> Left {
        if size < self.book.node(maker).size {
            self.book.shrink(maker, size);
            Left::Slice
        } else if self.extra(maker).is_some_and(|extra| extra.reserve > 0) {
            self.book.shrink(maker, size);
            Left::Reserve
        } else {
            Left::Nothing
        }
    }

    /// Shows the next slice of an iceberg whose slice was used up.
    pub(super) fn replenish(&mut self, maker: u32, out: Out<'_>) {
        let Some(extra) = self.extra_mut(maker) else { return };
        let slice = extra.display.min(extra.reserve);
        extra.reserve -= slice;
        let open = extra.reserve + slice;
        self.book.requeue(maker, slice);
        let node = self.book.node(maker);
        let level = self.book.level_of(maker);
        out(&Execution {
            sequence: self.sequence,
            kind: ExecutionKind::Replenished,
            order_id: node.id,
            price: Price(level.price),
            size: Size(slice),
            remaining: Size(open),
            account: node.tag.account,
            side: Some(level.side),
            ..Execution::EMPTY
        });
    }

    pub(super) fn print(&mut self, price: i64) {
        self.last = Some(price);
        if self.reference.is_none() {
            self.reference = Some(price);
        }
        if self.stops.iter().any(|stops| !stops.is_empty()) && self.prints.back() != Some(&(price, self.entries)) {
            self.prints.push_back((price, self.entries));
        }
    }

    /// One round of pro-rata at a price that has displayed orders.
    fn share(&mut self, incoming: &mut Incoming, price: i64, out: Out<'_>) {
        let Priority::ProRata { top_order, top_max, min_allocation } = self.rules.priority else { return };
        let side = incoming.side.opposite();
        let mode = incoming.terms.self_trade;
        let queue = |exchange: &Self| -> Vec<u32> {
            exchange.book.level_at(side, price).map_or_else(Vec::new, |level| exchange.book.shown(level).collect())
        };
        let shown = queue(self);
        let own: Vec<u32> = shown.iter().copied().filter(|&at| self.is_own(incoming, at)).collect();
        if matches!(mode, SelfTrade::CancelOldest | SelfTrade::CancelBoth | SelfTrade::Decrement) {
            for &at in &own {
                if incoming.open == 0 || incoming.stop != Stop::No || !self.book.rests(at) {
                    continue;
                }
                if mode == SelfTrade::Decrement {
                    self.decrement(incoming, at, out);
                } else {
                    self.cancel_own(incoming, at, out);
                }
            }
            if mode == SelfTrade::Decrement && !own.is_empty() {
                // The level has changed: what is left of own slices is met first again.
                return;
            }
        }
        let mut shares = std::mem::take(&mut self.shares);
        shares.clear();
        shares.extend(queue(self).into_iter().filter(|&at| !self.is_own(incoming, at)).map(|at| (at, 0)));
        if incoming.stop == Stop::No && incoming.open > 0 {
            self.allocate(&mut shares, incoming.open, side, price, (top_order, top_max, min_allocation));
            for &(at, size) in &shares {
                // A trade may have cancelled an alternative further back, or the incoming order itself.
                if size > 0 && incoming.stop == Stop::No && self.book.rests(at) {
                    self.trade(incoming, at, price, size, out);
                }
            }
        }
        self.shares = shares;
        if !own.is_empty()
            && matches!(mode, SelfTrade::CancelNewest | SelfTrade::CancelBoth)
            && incoming.open > 0
            && incoming.stop == Stop::No
        {
            incoming.stop = Stop::SelfTrade;
        }
    }

    /// Who gets how much of `size`.
    fn allocate(
        &self,
        shares: &mut [(u32, i64)],
        size: i64,
        side: Side,
        price: i64,
        (top_order, top_max, min_allocation): (bool, i64, i64),
    ) {
        let mut rest = size;
        let top = self
            .book
            .level_at(side, price)
            .map_or(NONE, |level| if level.top == level.first_shown() { level.top } else { NONE });
        if top_order
            && let Some((at, share)) = shares.first_mut()
            && *at == top
        {
            let most = if top_max == 0 { i64::MAX } else { top_max };
            *share = rest.min(self.book.node(*at).size).min(most);
            rest -= *share;
        }
        let free = |(at, share): &(u32, i64)| self.book.node(*at).size - share;
        let total: i128 = shares.iter().map(|one| i128::from(free(one))).sum();
        if total == 0 {
            return;
        }
        let part = i128::from(rest).min(total);
        let mut left = rest;
        for one in shares.iter_mut() {
            // At most what is free, which fits.
            let share = i64::try_from(part * i128::from(free(one)) / total).unwrap_or(0);
            let share = share - share % self.rules.lot;
            if share >= min_allocation {
                one.1 += share;
                left -= share;
            }
        }
        for one in shares.iter_mut() {
            let more = left.min(free(one));
            one.1 += more;
            left -= more;
        }
    }

    /// What becomes of an order that has traded as far as it can: it ends, rests or is cancelled.
    pub(super) fn finish(&mut self, incoming: Incoming, out: Out<'_>) {
        let (order_type, time) = (incoming.terms.order_type, incoming.terms.time_in_force);
        let fleeting = matches!(time, TimeInForce::Ioc | TimeInForce::Fok)
            || incoming.limit == Command::UNSET && order_type != OrderType::MarketToLimit;
        let reason = match incoming.stop {
            _ if incoming.open == 0 => Reason::None,
            Stop::SelfTrade => Reason::SelfTrade,
            Stop::Linked => Reason::Linked,
            Stop::Band if fleeting => Reason::Halted,
            _ if time == TimeInForce::Fok => Reason::Fok,
            _ if order_type == OrderType::Market => Reason::NoLiquidity,
            _ if time == TimeInForce::Ioc => Reason::Ioc,
            _ if fleeting => Reason::NoLiquidity,
            _ if self.rest(&incoming) => Reason::None,
            _ => Reason::TooLarge,
        };
        if incoming.open > 0 && reason != Reason::None {
            out(&Execution {
                kind: ExecutionKind::Cancelled,
                reason,
                price: incoming.own_limit(),
                size: Size(incoming.open),
                remaining: Size(0),
                ..self.about(&incoming)
            });
        }
        if incoming.open == 0 || reason != Reason::None {
            let partner = if incoming.at == NONE { incoming.link } else { self.end(incoming.at) };
            self.cancel_linked(partner, out);
        }
        if incoming.stop == Stop::Band {
            self.halt(out);
        }
    }

    /// Fees of aggressor and resting order.
    fn fees(&self, taker: u32, maker: u32, price: i64, size: i64) -> (i64, i64) {
        if self.rules.tiers.is_empty() {
            return (0, 0);
        }
        (fee(price, size, self.tier(taker).taker), fee(price, size, self.tier(maker).maker))
    }

    pub(super) fn tier(&self, account: u32) -> super::Tier {
        let index = self.accounts.get(&account).map_or(0, |standing| standing.tier);
        self.rules.tiers.get(index as usize).copied().unwrap_or_default()
    }

    /// The state after a price band was met.
    fn halt(&mut self, out: Out<'_>) {
        self.state = State::Halted;
        self.halted_until =
            if self.rules.halt_for > 0 { Some(self.clock.saturating_add(self.rules.halt_for)) } else { None };
        self.say_state(out);
    }

    pub(super) fn say_state(&self, out: Out<'_>) {
        out(&Execution { sequence: self.sequence, kind: ExecutionKind::State, state: self.state, ..Execution::EMPTY });
    }
}

/// `rate` parts per billion of |price| × size, rounded up: against the account, whether it pays or is paid.
pub(super) fn fee(price: i64, size: i64, rate: i64) -> i64 {
    const BILLION: i128 = 1_000_000_000;
    let product = (i128::from(price) * i128::from(size)).abs();
    // product < 2^116 and |rate| <= 2^30 could pass i128: whole billions are taken apart first.
    let (whole, part) = (product.div_euclid(BILLION), product.rem_euclid(BILLION));
    let rate = i128::from(rate);
    let amount = whole * rate + -((-(part * rate)).div_euclid(BILLION));
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}
