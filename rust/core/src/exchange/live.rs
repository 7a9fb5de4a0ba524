//! How orders come to rest, wait, are tied to an alternative, and end: wherever they stand.

use super::{
    Command, Exchange, Execution, ExecutionKind, Extra, Incoming, OrderType, Out, Reason, Terms, TimeInForce, Where,
};
use crate::book::orders::NONE;
use crate::units::{Price, Side, Size};

impl Exchange {
    /// Puts what is left of an order at the tail of its price. False if the sizes there would not fit.
    pub(super) fn rest(&mut self, incoming: &Incoming) -> bool {
        let mut terms = incoming.terms;
        let peg = matches!(terms.order_type, OrderType::PegPrimary | OrderType::PegMid);
        if !peg {
            // It waits for nothing any more.
            terms.order_type = OrderType::Limit;
        }
        let at = if incoming.at == NONE {
            match self.book.park(incoming.id, incoming.open, terms) {
                Some(at) => at,
                None => return false,
            }
        } else {
            incoming.at
        };
        self.book.tag_mut(at).order_type = terms.order_type;
        let mut slice = incoming.open;
        let mut hidden = false;
        if let Some(extra) = self.extra_mut(at) {
            hidden = extra.display == 0 || peg;
            if extra.display > 0 && extra.display < slice {
                extra.reserve = slice - extra.display;
                slice = extra.display;
            } else {
                extra.reserve = 0;
            }
            extra.place = Where::Book;
            if !peg {
                extra.price = incoming.limit;
                extra.trigger = Command::UNSET;
            }
        }
        self.book.resize(at, slice);
        if self.book.join(at, incoming.side, incoming.limit, hidden) {
            return true;
        }
        if incoming.at == NONE {
            self.book.forget(at);
        }
        false
    }

    /// Takes an order out and says why, then its alternative.
    pub(super) fn cancel(&mut self, at: u32, reason: Reason, out: Out<'_>) {
        let order = self.as_command(at);
        let peg = matches!(order.order_type, OrderType::PegPrimary | OrderType::PegMid);
        let price = match (self.book.rests(at), peg) {
            (true, _) => self.book.level_of(at).price,
            (false, true) => Command::UNSET,
            (false, false) => order.price.0,
        };
        out(&Execution {
            sequence: self.sequence,
            kind: ExecutionKind::Cancelled,
            reason,
            order_id: order.order_id,
            price: Price(price),
            size: order.size,
            remaining: Size(0),
            account: order.account,
            side: Some(order.side),
            ..Execution::EMPTY
        });
        let partner = self.end(at);
        self.cancel_linked(partner, out);
    }

    /// Takes out an order whose alternative is gone, if there is one.
    pub(super) fn cancel_linked(&mut self, partner: u32, out: Out<'_>) {
        if partner != NONE {
            self.cancel(partner, Reason::Linked, out);
        }
    }

    /// Ends the alternation of two orders and returns the other one.
    pub(super) fn unlink(&mut self, at: u32) -> u32 {
        let Some(extra) = self.extra_mut(at) else { return NONE };
        let partner = std::mem::replace(&mut extra.link, NONE);
        self.links -= usize::from(partner != NONE);
        if partner != NONE
            && let Some(other) = self.extra_mut(partner)
        {
            other.link = NONE;
        }
        partner
    }

    pub(super) fn side_of(&self, at: u32) -> Side {
        if self.book.rests(at) {
            self.book.level_of(at).side
        } else {
            self.extra(at).map_or(Side::Bid, |extra| extra.side)
        }
    }

    /// Forgets an order wherever it stands, and returns its alternative, which has none any more.
    pub(super) fn end(&mut self, at: u32) -> u32 {
        let partner = self.unlink(at);
        self.book.leave(at);
        let index = self.book.node(at).tag.extra;
        if index != NONE {
            self.stop_waiting(at);
            let extra = &mut self.extras[index as usize];
            self.expiries.remove(&(extra.expires, extra.entered));
            extra.at = NONE;
            self.free_extras.push(index);
        }
        self.book.forget(at);
        partner
    }

    /// Gives an order a node outside the book and what only some orders have.
    pub(super) fn prepare(&mut self, order: &Command, terms: Terms, link: u32) -> Option<u32> {
        let at = self.book.park(order.order_id, order.size.0, terms)?;
        self.entries += 1;
        self.attach(
            at,
            Extra {
                at,
                side: order.side,
                place: Where::Parked,
                entered: self.entries,
                rank: self.entries,
                since: self.entries,
                reserve: 0,
                display: order.display.0,
                price: order.price.0,
                trigger: order.trigger.0,
                peak: self.anchor().unwrap_or(0),
                expires: if order.time_in_force == TimeInForce::Gtd { order.expires.0 } else { 0 },
                link,
            },
        );
        if link != NONE {
            self.links += 1;
            // The other one may be a plain order so far.
            self.ensure_extra(link);
            if let Some(extra) = self.extra_mut(link) {
                extra.link = at;
            }
        }
        Some(at)
    }

    pub(super) fn attach(&mut self, at: u32, extra: Extra) {
        let index = if let Some(index) = self.free_extras.pop() {
            self.extras[index as usize] = extra;
            index
        } else {
            self.extras.push(extra);
            // At most as many as nodes, of which there are fewer than 2^31.
            u32::try_from(self.extras.len() - 1).unwrap_or(NONE)
        };
        if extra.expires != 0 {
            self.expiries.insert((extra.expires, extra.entered), at);
        }
        self.book.tag_mut(at).extra = index;
    }

    /// Gives a plain order in the book the place for what it may need now.
    pub(super) fn ensure_extra(&mut self, at: u32) {
        if self.book.node(at).tag.extra == NONE {
            let level = self.book.level_of(at);
            let (side, price) = (level.side, level.price);
            self.entries += 1;
            self.attach(
                at,
                Extra {
                    at,
                    side,
                    place: Where::Book,
                    entered: self.entries,
                    rank: self.entries,
                    since: self.entries,
                    reserve: 0,
                    display: Command::UNSET,
                    price,
                    trigger: Command::UNSET,
                    peak: 0,
                    expires: 0,
                    link: NONE,
                },
            );
        }
    }
}
