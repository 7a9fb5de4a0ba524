//! The short way: plain limit orders, their changes and cancels, while nothing else can be due.
//!
//! [`Exchange::apply`] comes here if [`Exchange::choose_way`] found neither stops nor pegs nor anything else that a trade
//! or the clock could set off. Whatever is not plain after all goes the general way, which also words every reject.

use super::checks::crosses;
use super::{
    Action, Command, Exchange, Execution, ExecutionKind, Incoming, PostOnly, Reason, SelfTrade, Terms, TimeInForce,
};
use crate::book::orders::NONE;
use crate::units::{Nanos, Price, Side, Size};

impl Exchange {
    /// Lets the clock run if that is all a time does now.
    #[inline]
    fn plain_time(&mut self, ts: Nanos) -> bool {
        if ts != Nanos::UNKNOWN {
            if ts.0 < self.clock {
                return false;
            }
            self.clock = ts.0;
        }
        true
    }

    #[inline]
    fn fits(&self, price: i64, size: i64) -> bool {
        let rules = &self.rules;
        size >= rules.min_size
            && size <= rules.max_size
            && price != Command::UNSET
            && (rules.tick == 1 || price % rules.tick == 0)
            && (rules.lot == 1 || size % rules.lot == 0)
    }

    #[inline]
    pub(super) fn plain_order(&mut self, command: &Command, out: &mut impl FnMut(&Execution)) {
        let (id, price, size) = (command.order_id, command.price.0, command.size.0);
        if id == 0 || !self.fits(price, size) || !self.plain_time(command.ts) || self.book.find(id).is_some() {
            self.sequence -= 1;
            return self.apply_any(command, out);
        }
        let terms =
            Terms { account: command.account, extra: NONE, time_in_force: command.time_in_force, ..Terms::default() };
        out(&Execution {
            sequence: self.sequence,
            order_id: id,
            price: command.price,
            size: command.size,
            remaining: command.size,
            account: command.account,
            side: Some(command.side),
            ..Execution::EMPTY
        });
        self.plain_match(id, command.side, price, size, terms, NONE, out);
    }

    #[inline]
    pub(super) fn plain_cancel(&mut self, command: &Command, out: &mut impl FnMut(&Execution)) {
        if let Some(at) = self.book.find(command.order_id) {
            let node = self.book.node(at);
            let (terms, size) = (node.tag, node.size);
            if terms.extra == NONE && (command.account == 0 || command.account == terms.account) {
                let level = self.book.level_of(at);
                let (side, price) = (level.side, level.price);
                self.book.leave(at);
                self.book.forget(at);
                return out(&Execution {
                    sequence: self.sequence,
                    kind: ExecutionKind::Cancelled,
                    reason: Reason::Requested,
                    order_id: command.order_id,
                    price: Price(price),
                    size: Size(size),
                    remaining: Size(0),
                    account: terms.account,
                    side: Some(side),
                    ..Execution::EMPTY
                });
            }
        }
        self.sequence -= 1;
        self.apply_any(command, out);
    }

    #[inline]
    pub(super) fn plain_change(&mut self, command: &Command, out: &mut impl FnMut(&Execution)) {
        let (price, size) = (command.price.0, command.size.0);
        let found = if self.fits(price, size) { self.book.find(command.order_id) } else { None };
        let Some(at) = found else {
            self.sequence -= 1;
            return self.apply_any(command, out);
        };
        let node = self.book.node(at);
        let (terms, open) = (node.tag, node.size);
        if terms.extra != NONE
            || terms.self_trade != SelfTrade::None
            || terms.post_only != PostOnly::No
            || command.account != 0 && command.account != terms.account
            || !self.plain_time(command.ts)
        {
            self.sequence -= 1;
            return self.apply_any(command, out);
        }
        let level = self.book.level_of(at);
        let (side, old) = (level.side, level.price);
        let execution = Execution {
            sequence: self.sequence,
            kind: ExecutionKind::Modified,
            order_id: command.order_id,
            price: command.price,
            size: command.size,
            remaining: command.size,
            account: terms.account,
            side: Some(side),
            ..Execution::EMPTY
        };
        if command.action == Action::Modify && price == old && size <= open {
            self.book.shrink(at, open - size);
            return out(&execution);
        }
        self.book.leave(at);
        out(&execution);
        self.plain_match(command.order_id, side, price, size, terms, at, out);
    }

    /// Trades and rests, cancels or ends an order. `at` is its node if it has one.
    #[inline]
    #[allow(clippy::too_many_arguments)] // an `Incoming` in registers
    fn plain_match(
        &mut self,
        id: u64,
        side: Side,
        price: i64,
        size: i64,
        terms: Terms,
        at: u32,
        out: &mut impl FnMut(&Execution),
    ) {
        let mut open = size;
        while let Some(level) = self.book.best_level(side.opposite()) {
            if !crosses(side, price, level.price) {
                break;
            }
            let maker = level.first();
            let traded_at = level.price;
            let node = self.book.node(maker);
            if node.tag.extra != NONE {
                let mut incoming = Incoming { open, traded: open < size, ..Incoming::of(id, side, price, open, terms) };
                incoming.at = at;
                self.take(&mut incoming, out);
                self.finish(incoming, out);
                // An alternative may have gone, a stop's print come: nothing else can be due in the short way.
                return;
            }
            let traded = open.min(node.size);
            let (counter_id, counter_account) = (node.id, node.tag.account);
            let whole = traded == node.size;
            open -= traded;
            if whole {
                self.book.leave(maker);
                self.book.forget(maker);
            } else {
                self.book.shrink(maker, traded);
            }
            self.last = Some(traded_at);
            if self.reference.is_none() {
                self.reference = Some(traded_at);
            }
            out(&Execution {
                sequence: self.sequence,
                kind: ExecutionKind::Trade,
                order_id: id,
                counter_id,
                price: Price(traded_at),
                size: Size(traded),
                remaining: Size(open),
                account: terms.account,
                counter_account,
                side: Some(side),
                ..Execution::EMPTY
            });
            if open == 0 {
                if at != NONE {
                    self.book.forget(at);
                }
                return;
            }
        }
        if terms.time_in_force == TimeInForce::Ioc || !self.plain_rest(id, side, price, open, terms, at) {
            let reason = if terms.time_in_force == TimeInForce::Ioc { Reason::Ioc } else { Reason::TooLarge };
            out(&Execution {
                sequence: self.sequence,
                kind: ExecutionKind::Cancelled,
                reason,
                order_id: id,
                price: Price(price),
                size: Size(open),
                remaining: Size(0),
                account: terms.account,
                side: Some(side),
                ..Execution::EMPTY
            });
        }
    }

    #[inline]
    fn plain_rest(&mut self, id: u64, side: Side, price: i64, open: i64, terms: Terms, at: u32) -> bool {
        if at == NONE {
            return self.book.insert(id, side, price, open, terms).is_some();
        }
        self.book.resize(at, open);
        if self.book.join(at, side, price, false) {
            return true;
        }
        self.book.forget(at);
        false
    }
}
