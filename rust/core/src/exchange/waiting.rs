//! What commands do, and what is due besides: time, stops, pegs.

use super::{
    Action, Command, Exchange, Execution, ExecutionKind, Incoming, OrderType, Out, Reason, State, Terms, TimeInForce,
    Where,
};
use crate::book::orders::NONE;
use crate::units::{Nanos, Price, Side, Size};

impl Exchange {
    /// A command of any kind.
    #[inline(never)]
    pub(super) fn apply_any(&mut self, command: &Command, out: Out<'_>) {
        self.sequence += 1;
        if command.ts != Nanos::UNKNOWN {
            if command.ts.0 < self.clock {
                return self.reject(command, Reason::TimeReversed, out);
            }
            self.advance(command.ts.0, out);
        }
        let done = match command.action {
            Action::New => self.new_order(command, out),
            Action::Cancel => self.check_cancel(command).map(|at| self.cancel(at, Reason::Requested, out)),
            Action::Modify | Action::Replace => self.modify(command, out),
            Action::Quote => self.quote_sides(command, out),
            Action::MassCancel => {
                self.cancel_all(command.account, command.one_side.then_some(command.side), Reason::MassCancelled, out);
                Ok(())
            }
            Action::State if command.state == self.state => Err(Reason::WrongState),
            Action::State => {
                self.enter_state(command.state, out);
                Ok(())
            }
            Action::Kill | Action::Revive => {
                self.kill(command, out);
                Ok(())
            }
            Action::Clock => Ok(()),
        };
        if let Err(reason) = done {
            self.reject(command, reason, out);
        }
        self.settle(out);
        self.choose_way();
    }

    fn reject(&self, command: &Command, reason: Reason, out: Out<'_>) {
        out(&Execution {
            sequence: self.sequence,
            kind: ExecutionKind::Rejected,
            reason,
            order_id: command.order_id,
            account: command.account,
            side: (command.action == Action::New).then_some(command.side),
            ..Execution::EMPTY
        });
    }

    /// Lets the clock run and does what is due on the way, each thing at its time.
    fn advance(&mut self, to: i64, out: Out<'_>) {
        loop {
            let expiry = self.expiries.first_key_value().map(|(key, &at)| (key.0, at));
            match (expiry, self.halted_until) {
                (Some((time, at)), resume) if time <= to && resume.is_none_or(|resume| time <= resume) => {
                    self.clock = self.clock.max(time);
                    self.cancel(at, Reason::Expired, out);
                }
                (_, Some(resume)) if resume <= to => {
                    self.clock = self.clock.max(resume);
                    self.enter_state(State::Continuous, out);
                }
                _ => break,
            }
            self.settle(out);
        }
        self.clock = to;
    }

    fn terms(order: &Command) -> Terms {
        Terms {
            account: order.account,
            extra: NONE,
            order_type: order.order_type,
            time_in_force: order.time_in_force,
            self_trade: order.self_trade,
            post_only: order.post_only,
        }
    }

    fn new_order(&mut self, command: &Command, out: Out<'_>) -> Result<(), Reason> {
        let mut order = *command;
        let peg = matches!(order.order_type, OrderType::PegPrimary | OrderType::PegMid);
        if peg && order.trigger.0 == Command::UNSET {
            order.trigger.0 = 0;
        }
        let (link, price) = self.check_new(&order)?;
        order.price.0 = price;
        if order.display >= order.size {
            order.display.0 = Command::UNSET;
        }
        let place = self.waits(&order);
        let special = place.is_some()
            || peg
            || link != NONE
            || order.display.0 != Command::UNSET
            || order.time_in_force == TimeInForce::Gtd;
        let terms = Self::terms(&order);
        let mut incoming = Incoming::of(order.order_id, order.side, price, order.size.0, terms);
        if special {
            incoming.at = self.prepare(&order, terms, link).ok_or(Reason::TooLarge)?;
            incoming.link = link;
            incoming.terms = self.book.node(incoming.at).tag;
        }
        if peg {
            incoming.limit = self.peg_price(incoming.at, self.shown_quote()).unwrap_or(Command::UNSET);
        }
        out(&Execution {
            sequence: self.sequence,
            kind: ExecutionKind::Accepted,
            order_id: order.order_id,
            price: Price(incoming.limit),
            size: order.size,
            remaining: order.size,
            account: order.account,
            side: Some(order.side),
            ..Execution::EMPTY
        });
        match place {
            Some(place) => self.wait(incoming.at, place),
            None if peg => self.enter_peg(incoming, out),
            None => self.enter(incoming, out),
        }
        Ok(())
    }

    /// Trades an order that is accepted, and puts it where it belongs.
    fn enter(&mut self, mut incoming: Incoming, out: Out<'_>) {
        if self.state != State::Continuous {
            return self.finish(incoming, out);
        }
        match incoming.terms.order_type {
            OrderType::Market => {
                if let (Some(collar), Some(anchor)) = (self.rules.collar, self.anchor()) {
                    incoming.limit = match incoming.side {
                        Side::Bid => anchor.saturating_add(collar),
                        Side::Ask => anchor.saturating_sub(collar),
                    };
                }
            }
            OrderType::MarketToLimit => {
                let best = self.book.best(incoming.side.opposite());
                incoming.only = best.unwrap_or(Command::UNSET);
                incoming.limit = incoming.only;
                if best.is_none() {
                    incoming.terms.order_type = OrderType::Market;
                }
            }
            _ => {}
        }
        if incoming.terms.time_in_force != TimeInForce::Fok || self.can_fill(&incoming) {
            self.take(&mut incoming, out);
        }
        if incoming.terms.order_type == OrderType::Market {
            incoming.limit = Command::UNSET;
        }
        self.finish(incoming, out);
    }

    /// Puts an order among those that wait outside the book.
    pub(super) fn wait(&mut self, at: u32, place: Where) {
        let order_type = self.book.node(at).tag.order_type;
        let (last, continuous) = (self.last, self.state == State::Continuous);
        let Some(extra) = self.extra_mut(at) else { return };
        extra.place = place;
        let (side, rank) = (extra.side as usize, extra.rank);
        match place {
            Where::Stop => {
                let key = extra.stop_key(order_type);
                self.stops[side].insert(key, at);
                if order_type == OrderType::TrailingStop {
                    self.trailing[side].insert(rank, at);
                }
                // Those that were there before have seen it.
                if let Some(last) = last.filter(|_| continuous) {
                    self.prints.push_back((last, rank));
                }
            }
            Where::Close => {
                self.closers.insert(rank, at);
            }
            Where::Market => {
                self.markets[side].insert(rank, at);
            }
            Where::Pending => self.pending.push_back(at),
            Where::Parked | Where::Book => {}
        }
    }

    /// Takes an order out of every list of what waits.
    pub(super) fn stop_waiting(&mut self, at: u32) {
        let order_type = self.book.node(at).tag.order_type;
        let Some(extra) = self.extra(at) else { return };
        let (side, rank, key) = (extra.side as usize, extra.rank, extra.stop_key(order_type));
        match extra.place {
            Where::Stop => {
                self.stops[side].remove(&key);
                self.trailing[side].remove(&rank);
            }
            Where::Close => {
                self.closers.remove(&rank);
            }
            Where::Market => {
                self.markets[side].remove(&rank);
            }
            Where::Pending => self.pending.retain(|&other| other != at),
            Where::Parked | Where::Book => {}
        }
        if matches!(order_type, OrderType::PegPrimary | OrderType::PegMid) {
            self.pegs.remove(&rank);
        }
    }

    fn modify(&mut self, command: &Command, out: Out<'_>) -> Result<(), Reason> {
        let (at, order, keeps) = self.check_modify(command)?;
        let peg = matches!(order.order_type, OrderType::PegPrimary | OrderType::PegMid);
        let open = self.open(at);
        let changed = |price: i64, sequence: u64| Execution {
            sequence,
            kind: ExecutionKind::Modified,
            order_id: order.order_id,
            price: Price(price),
            size: order.size,
            remaining: order.size,
            account: order.account,
            side: Some(order.side),
            ..Execution::EMPTY
        };
        if keeps {
            let mut less = open - order.size.0;
            if let Some(extra) = self.extra_mut(at) {
                let reserve = less.min(extra.reserve);
                extra.reserve -= reserve;
                less -= reserve;
            }
            self.book.shrink(at, less);
            let price = if self.book.rests(at) {
                self.book.level_of(at).price
            } else if peg {
                Command::UNSET
            } else {
                order.price.0
            };
            out(&changed(price, self.sequence));
            return Ok(());
        }
        if self.book.rests(at) && !peg {
            out(&changed(order.price.0, self.sequence));
            if order.display.0 != Command::UNSET {
                self.ensure_extra(at);
            }
            self.book.leave(at);
            if let Some(extra) = self.extra_mut(at) {
                extra.display = order.display.0;
                extra.reserve = 0;
            }
            let incoming = self.again(at, order.side, order.price.0, order.size.0);
            self.enter(incoming, out);
            return Ok(());
        }
        // It waits, or it is pegged: it becomes the newest of those.
        let place = self.extra(at).map_or(Where::Parked, |extra| extra.place);
        self.stop_waiting(at);
        self.book.leave(at);
        self.book.resize(at, order.size.0);
        self.entries += 1;
        let (rank, anchor) = (self.entries, self.anchor());
        if let Some(extra) = self.extra_mut(at) {
            extra.rank = rank;
            extra.price = order.price.0;
            extra.trigger = order.trigger.0;
            extra.display = order.display.0;
            extra.reserve = 0;
            if command.trigger.0 != Command::UNSET {
                extra.since = rank;
                extra.peak = anchor.unwrap_or(extra.peak);
            }
        }
        if peg {
            let price = self.peg_price(at, self.shown_quote());
            out(&changed(price.unwrap_or(Command::UNSET), self.sequence));
            let incoming = self.again(at, order.side, price.unwrap_or(Command::UNSET), order.size.0);
            self.enter_peg(incoming, out);
        } else {
            out(&changed(order.price.0, self.sequence));
            self.wait(at, place);
        }
        Ok(())
    }

    /// An order that has a node, about to trade.
    fn again(&self, at: u32, side: Side, limit: i64, open: i64) -> Incoming {
        let node = self.book.node(at);
        let link = self.extra(at).map_or(NONE, |extra| extra.link);
        Incoming { at, link, ..Incoming::of(node.id, side, limit, open, node.tag) }
    }

    fn quote_sides(&mut self, command: &Command, out: Out<'_>) -> Result<(), Reason> {
        let sides = self.check_quote(command)?;
        for (side, at, _) in &sides {
            if let (0, Some(at)) = (side.size.0, at) {
                self.cancel(*at, Reason::Requested, out);
            }
        }
        // A side's alternative may be gone by now, so that each is looked up anew.
        let mut plan = [None; 2];
        for (index, &(side, _, keeps)) in sides.iter().enumerate() {
            if side.size.0 > 0 {
                plan[index] = Some(match self.book.find(side.order_id) {
                    None => (NONE, false),
                    Some(at) => (at, keeps),
                });
            }
        }
        for entry in &plan {
            if let Some((at, false)) = *entry
                && at != NONE
            {
                // Still live, outside the book: nobody meets it meanwhile.
                self.book.leave(at);
            }
        }
        for (index, (side, ..)) in sides.iter().enumerate() {
            let Some((mut at, mut keeps)) = plan[index] else { continue };
            // The bid may have ended the ask, its alternative: it is entered as new.
            if at != NONE && self.book.find(side.order_id) != Some(at) {
                (at, keeps) = (NONE, false);
            }
            let terms = Self::terms(side);
            if at != NONE {
                self.book.tag_mut(at).post_only = side.post_only;
            }
            let kind = if at == NONE { ExecutionKind::Accepted } else { ExecutionKind::Modified };
            let mut incoming = Incoming::of(side.order_id, side.side, side.price.0, side.size.0, terms);
            if at == NONE && side.time_in_force == TimeInForce::Gtd {
                incoming.at = self.prepare(side, terms, NONE).ok_or(Reason::TooLarge)?;
                incoming.terms = self.book.node(incoming.at).tag;
            }
            out(&Execution {
                sequence: self.sequence,
                kind,
                order_id: side.order_id,
                price: side.price,
                size: side.size,
                remaining: side.size,
                account: side.account,
                side: Some(side.side),
                ..Execution::EMPTY
            });
            if keeps {
                self.book.shrink(at, self.book.node(at).size - side.size.0);
                continue;
            }
            if at != NONE {
                incoming.at = at;
                incoming.terms = self.book.node(at).tag;
                incoming.link = self.extra(at).map_or(NONE, |extra| extra.link);
            }
            self.enter(incoming, out);
        }
        Ok(())
    }

    /// Live orders in the order of a mass cancel.
    pub(super) fn mass(&self, side: Option<Side>) -> Vec<u32> {
        let wanted = |one: Side| side.is_none_or(|side| side == one);
        let mut all = Vec::new();
        for one in [Side::Bid, Side::Ask] {
            if wanted(one) {
                all.extend(self.book.handles(one));
            }
        }
        let mut outside: Vec<(u64, u32)> = self
            .extras
            .iter()
            .filter(|extra| extra.at != NONE && wanted(extra.side) && !self.book.rests(extra.at))
            .map(|extra| (extra.rank, extra.at))
            .collect();
        outside.sort_unstable();
        all.extend(outside.into_iter().map(|(_, at)| at));
        all
    }

    /// Cancels those orders that this is true of, in the order of a mass cancel.
    fn cancel_where(&mut self, side: Option<Side>, reason: Reason, is: impl Fn(&Self, u32) -> bool, out: Out<'_>) {
        let chosen: Vec<(u32, u64)> =
            self.mass(side).into_iter().filter(|&at| is(self, at)).map(|at| (at, self.book.node(at).id)).collect();
        for (at, id) in chosen {
            // An alternative may have gone with the one before.
            if self.book.find(id) == Some(at) {
                self.cancel(at, reason, out);
            }
        }
    }

    fn cancel_all(&mut self, account: u32, side: Option<Side>, reason: Reason, out: Out<'_>) {
        self.cancel_where(
            side,
            reason,
            |exchange, at| account == 0 || exchange.book.node(at).tag.account == account,
            out,
        );
    }

    fn kill(&mut self, command: &Command, out: Out<'_>) {
        let killed = command.action == Action::Kill;
        if command.account == 0 {
            self.all_killed = killed;
        } else {
            self.accounts.entry(command.account).or_default().killed = killed;
        }
        if killed {
            self.cancel_all(command.account, None, Reason::Killed, out);
        }
    }

    /// Another state, with what its beginning and the end of the present one bring.
    fn enter_state(&mut self, state: State, out: Out<'_>) {
        let from = self.state;
        self.halted_until = None;
        if state == State::Continuous || state == State::Closed && from == State::Closing {
            self.uncross(out);
        }
        let time = |exchange: &Self, at: u32| exchange.book.node(at).tag.time_in_force;
        let over = |time: TimeInForce| match time {
            TimeInForce::AtOpen => from == State::PreOpen,
            TimeInForce::AtClose => from == State::Closing || state == State::Closed,
            _ => false,
        };
        for leftover in [TimeInForce::AtOpen, TimeInForce::AtClose] {
            if over(leftover) {
                self.cancel_where(None, Reason::Auction, |exchange, at| time(exchange, at) == leftover, out);
            }
        }
        self.state = state;
        self.say_state(out);
        if state == State::Closing {
            for (_, at) in std::mem::take(&mut self.closers) {
                self.join_auction(at, out);
            }
        }
        if state == State::Closed {
            self.cancel_where(None, Reason::Closed, |exchange, at| time(exchange, at) == TimeInForce::Day, out);
        }
        if state == State::Continuous {
            self.peg_quote = None;
            if let Some(last) = self.last
                && self.stops.iter().any(|stops| !stops.is_empty())
            {
                self.prints.push_back((last, self.entries));
            }
        }
    }

    /// An order at the close joins the closing auction.
    fn join_auction(&mut self, at: u32, out: Out<'_>) {
        if self.book.node(at).tag.order_type == OrderType::Market {
            return self.wait(at, Where::Market);
        }
        let Some(extra) = self.extra(at) else { return };
        let incoming = self.again(at, extra.side, extra.price, self.book.node(at).size);
        self.finish(incoming, out);
    }

    /// Does what is due until nothing is: prints that stops have not seen, stops that were triggered, pegs.
    fn settle(&mut self, out: Out<'_>) {
        while self.state == State::Continuous {
            if let Some((print, newest)) = self.prints.pop_front() {
                self.see(print, newest, out);
            } else if let Some(at) = self.pending.pop_front() {
                self.activate(at, out);
            } else if !self.pegs.is_empty() && self.peg_quote != Some(self.shown_quote()) {
                self.price_pegs(out);
            } else {
                return;
            }
        }
        self.park_pegs(out);
    }

    /// Stops that were there look at a print: trailing ones move, then those that are reached trigger.
    fn see(&mut self, print: i64, newest: u64, out: Out<'_>) {
        for side in [Side::Bid, Side::Ask] {
            let better = |peak: i64| if side == Side::Bid { print < peak } else { print > peak };
            let moved: Vec<u32> = self.trailing[side as usize]
                .values()
                .copied()
                .filter(|&at| self.extra(at).is_some_and(|extra| extra.since <= newest && better(extra.peak)))
                .collect();
            for at in moved {
                self.set_peak(at, print);
            }
        }
        for side in [Side::Bid, Side::Ask] {
            let reached = if side == Side::Bid { print } else { !print };
            let stops = self.stops[side as usize].range(..=(reached, u64::MAX));
            let chosen: Vec<(u32, u64)> = stops
                .filter(|&(_, &at)| self.extra(at).is_some_and(|extra| extra.since <= newest))
                .map(|(_, &at)| (at, self.book.node(at).id))
                .collect();
            for (at, id) in chosen {
                // Its alternative may have triggered before it.
                if self.book.find(id) != Some(at) {
                    continue;
                }
                self.stop_waiting(at);
                self.wait(at, Where::Pending);
                let node = self.book.node(at);
                out(&Execution {
                    sequence: self.sequence,
                    kind: ExecutionKind::Triggered,
                    order_id: node.id,
                    price: Price(print),
                    size: Size(node.size),
                    remaining: Size(node.size),
                    account: node.tag.account,
                    side: Some(side),
                    ..Execution::EMPTY
                });
                let partner = self.unlink(at);
                self.cancel_linked(partner, out);
            }
        }
    }

    fn set_peak(&mut self, at: u32, peak: i64) {
        let order_type = self.book.node(at).tag.order_type;
        let Some(extra) = self.extra_mut(at) else { return };
        let old = extra.stop_key(order_type);
        extra.peak = peak;
        let (side, new) = (extra.side as usize, extra.stop_key(order_type));
        self.stops[side].remove(&old);
        self.stops[side].insert(new, at);
    }

    /// A triggered stop becomes what it is.
    fn activate(&mut self, at: u32, out: Out<'_>) {
        let Some(extra) = self.extra_mut(at) else { return };
        extra.place = Where::Book;
        let (side, limit) = (extra.side, extra.price);
        let tag = self.book.tag_mut(at);
        tag.order_type = if tag.order_type == OrderType::StopLimit { OrderType::Limit } else { OrderType::Market };
        let incoming = self.again(at, side, limit, self.book.node(at).size);
        self.enter(incoming, out);
    }

    /// Best displayed bid and ask.
    fn shown_quote(&self) -> (Option<i64>, Option<i64>) {
        let best = |side| self.book.best_shown(side).map(|level| level.price);
        (best(Side::Bid), best(Side::Ask))
    }

    /// Where a pegged order belongs now; `None`: nowhere.
    fn peg_price(&self, at: u32, quote: (Option<i64>, Option<i64>)) -> Option<i64> {
        if self.state != State::Continuous {
            return None;
        }
        let extra = self.extra(at)?;
        let (bid, ask) = quote;
        let tick = self.rules.tick;
        // In 128 bits, where nothing overflows; what does not fit in the end has no place.
        let (from, twice) = match (self.book.node(at).tag.order_type, extra.side) {
            (OrderType::PegMid, _) => (i128::from(bid?) + i128::from(ask?), 2),
            (_, Side::Bid) => (i128::from(bid?), 1),
            (_, Side::Ask) => (i128::from(ask?), 1),
        };
        let offset = i128::from(extra.trigger) * twice;
        let step = i128::from(tick) * twice;
        let limit = (extra.price != Command::UNSET).then_some(i128::from(extra.price));
        let price = match extra.side {
            Side::Bid => {
                let price = (from - offset).div_euclid(step) * i128::from(tick);
                limit.map_or(price, |limit| price.min(limit))
            }
            Side::Ask => {
                let price = -(-(from + offset)).div_euclid(step) * i128::from(tick);
                limit.map_or(price, |limit| price.max(limit))
            }
        };
        i64::try_from(price).ok().filter(|&price| price != Command::UNSET)
    }

    /// A pegged order goes to its price, or is parked if it has none.
    fn enter_peg(&mut self, mut incoming: Incoming, out: Out<'_>) {
        let at = incoming.at;
        if let Some(extra) = self.extra_mut(at) {
            let rank = extra.rank;
            extra.place = Where::Parked;
            self.pegs.insert(rank, at);
        }
        if incoming.limit == Command::UNSET {
            self.book.resize(at, incoming.open);
            return;
        }
        self.take(&mut incoming, out);
        self.finish(incoming, out);
    }

    /// Every pegged order whose price changes goes there.
    fn price_pegs(&mut self, out: Out<'_>) {
        let quote = self.shown_quote();
        self.peg_quote = Some(quote);
        let all: Vec<(u32, u64)> = self.pegs.values().map(|&at| (at, self.book.node(at).id)).collect();
        for (at, id) in all {
            // It may have traded with one before it.
            if self.book.find(id) != Some(at) || self.state != State::Continuous {
                continue;
            }
            let now = if self.book.rests(at) { Some(self.book.level_of(at).price) } else { None };
            let price = self.peg_price(at, quote);
            if price == now {
                continue;
            }
            self.book.leave(at);
            let (side, open) = (self.side_of(at), self.book.node(at).size);
            self.say_repriced(at, price.unwrap_or(Command::UNSET), out);
            let incoming = self.again(at, side, price.unwrap_or(Command::UNSET), open);
            self.enter_peg(incoming, out);
        }
    }

    fn say_repriced(&self, at: u32, price: i64, out: Out<'_>) {
        let node = self.book.node(at);
        out(&Execution {
            sequence: self.sequence,
            kind: ExecutionKind::Repriced,
            order_id: node.id,
            price: Price(price),
            size: Size(node.size),
            remaining: Size(node.size),
            account: node.tag.account,
            side: Some(self.side_of(at)),
            ..Execution::EMPTY
        });
    }

    /// Pegged orders leave the book when continuous trading ends.
    pub(super) fn park_pegs(&mut self, out: Out<'_>) {
        let all: Vec<u32> = self.pegs.values().copied().collect();
        for at in all {
            if self.book.rests(at) {
                self.book.leave(at);
                if let Some(extra) = self.extra_mut(at) {
                    extra.place = Where::Parked;
                }
                self.say_repriced(at, Command::UNSET, out);
            }
        }
    }
}
