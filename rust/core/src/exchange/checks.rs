//! What may come in.

use super::{
    Action, Command, Exchange, Extra, Incoming, OrderType, PostOnly, Priority, Reason, Rules, RulesError, SelfTrade,
    State, TimeInForce, Where,
};
use crate::book::orders::{Level, NONE};
use crate::units::{Nanos, Side};

/// The order of those checks that either side of a quote may fail.
const TURNS: [Reason; 8] = [
    Reason::OffTick,
    Reason::OffLot,
    Reason::TooSmall,
    Reason::TooLarge,
    Reason::Notional,
    Reason::Collar,
    Reason::Expired,
    Reason::WouldTrade,
];

impl Rules {
    pub(super) fn check(&self) -> Result<(), RulesError> {
        let range = |field, got: i128, least: i128, most: i128, expected| {
            if (least..=most).contains(&got) { Ok(()) } else { Err(RulesError::Range { field, expected, got }) }
        };
        let positive = i128::from(i64::MAX);
        range("tick", self.tick.into(), 1, positive, "1 or more")?;
        range("lot", self.lot.into(), 1, positive, "1 or more")?;
        range("min_size", self.min_size.into(), 1, positive, "1 or more")?;
        range("max_size", self.max_size.into(), self.min_size.into(), Self::MAX_SIZE.into(), "min_size to 2^53")?;
        range("max_notional", self.max_notional.unwrap_or(0), 0, i128::MAX, "0 or more")?;
        range("collar", self.collar.unwrap_or(0).into(), 0, positive, "0 or more")?;
        range("band", self.band.unwrap_or(0).into(), 0, positive, "0 or more")?;
        range("halt_for", self.halt_for.into(), 0, positive, "0 or more")?;
        range("rate_window", self.rate_window.into(), 1, positive, "1 or more")?;
        if let Priority::ProRata { top_max, min_allocation, .. } = self.priority {
            range("top_max", top_max.into(), 0, positive, "0 or more")?;
            range("min_allocation", min_allocation.into(), 0, positive, "0 or more")?;
        }
        for tier in &self.tiers {
            for rate in [tier.maker, tier.taker, tier.auction] {
                range("tiers", rate.into(), -1_000_000_000, 1_000_000_000, "-10^9 to 10^9 parts per billion")?;
            }
        }
        let mut ids: Vec<u32> = self.accounts.iter().map(|account| account.id).collect();
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(RulesError::DuplicateAccount(pair[0]));
        }
        for account in &self.accounts {
            range("accounts.id", account.id.into(), 1, u32::MAX.into(), "1 or more")?;
            let tiers = self.tiers.len().max(1) as i128;
            range("accounts.tier", account.tier.into(), 0, tiers - 1, "an index of tiers")?;
        }
        Ok(())
    }

    /// Whether nothing but tick, lot and size limits has to be looked at.
    pub(super) fn is_plain(&self) -> bool {
        self.priority == Priority::PriceTime
            && self.max_notional.is_none()
            && self.collar.is_none()
            && self.band.is_none()
            && self.accounts.is_empty()
            && self.tiers.is_empty()
            && self.rate == 0
    }
}

impl Command {
    /// Whether it is a limit order, or a change of one, with nothing special to it.
    #[inline]
    pub(super) const fn is_plain(&self) -> bool {
        matches!(self.order_type, OrderType::Limit)
            && matches!(self.time_in_force, TimeInForce::Day | TimeInForce::Gtc | TimeInForce::Ioc)
            && matches!(self.self_trade, SelfTrade::None)
            && matches!(self.post_only, PostOnly::No)
            && self.display.0 == Self::UNSET
            && self.trigger.0 == Self::UNSET
            && self.link == 0
    }

    const fn has_price(&self) -> bool {
        self.price.0 != Self::UNSET
    }

    const fn is_peg(&self) -> bool {
        matches!(self.order_type, OrderType::PegPrimary | OrderType::PegMid)
    }

    /// Whether these fields make an order: see "Order types" and "Time in force".
    const fn is_order(&self) -> bool {
        use OrderType as T;
        use TimeInForce as F;
        let stays = matches!(self.time_in_force, F::Day | F::Gtc | F::Gtd);
        let fields = match self.order_type {
            T::Limit => self.has_price() && self.trigger.0 == Self::UNSET,
            T::Market | T::MarketToLimit => !self.has_price() && self.trigger.0 == Self::UNSET,
            T::Stop => !self.has_price() && self.trigger.0 != Self::UNSET,
            T::TrailingStop => !self.has_price() && self.trigger.0 > 0,
            T::StopLimit => self.has_price() && self.trigger.0 != Self::UNSET,
            T::PegPrimary | T::PegMid => self.trigger.0 >= 0 || self.trigger.0 == Self::UNSET,
        };
        let time = match self.order_type {
            T::Limit => true,
            T::Market => matches!(self.time_in_force, F::Day | F::Ioc | F::Fok | F::AtOpen | F::AtClose),
            _ => stays,
        };
        let display = self.display.0 == Self::UNSET
            || self.display.0 >= self.size.0
            || self.display.0 >= 0 && stays && matches!(self.order_type, T::Limit | T::StopLimit);
        let post = matches!(self.post_only, PostOnly::No) || stays && matches!(self.order_type, T::Limit);
        let expires = !matches!(self.time_in_force, F::Gtd) || self.expires.0 != Nanos::UNKNOWN.0;
        self.order_id != 0 && self.size.0 > 0 && fields && time && display && post && expires
    }
}

impl Exchange {
    /// Closed, the account, its rate.
    fn check_account(&mut self, account: u32) -> Result<(), Reason> {
        if self.state == State::Closed {
            return Err(Reason::Closed);
        }
        let standing = self.accounts.get(&account).copied().unwrap_or_default();
        if !self.rules.accounts.is_empty() && !standing.listed {
            return Err(Reason::UnknownAccount);
        }
        if self.all_killed || standing.killed {
            return Err(Reason::Killed);
        }
        if self.rules.rate > 0 {
            let window = self.clock.div_euclid(self.rules.rate_window);
            let standing = self.accounts.entry(account).or_default();
            if standing.window != window {
                standing.window = window;
                standing.count = 0;
            }
            standing.count = standing.count.saturating_add(1);
            if standing.count > self.rules.rate {
                return Err(Reason::RateLimited);
            }
        }
        Ok(())
    }

    /// The last trade, else the reference price.
    pub(super) fn anchor(&self) -> Option<i64> {
        self.last.or(self.reference)
    }

    /// Tick, lot, size, notional, collar: of the order that a command describes.
    fn check_numbers(&self, order: &Command, collared: bool) -> Result<(), Reason> {
        let rules = &self.rules;
        let off = |value: i64, step: i64| value != Command::UNSET && value % step != 0;
        if off(order.price.0, rules.tick) || off(order.trigger.0, rules.tick) {
            return Err(Reason::OffTick);
        }
        if off(order.size.0, rules.lot) || off(order.display.0, rules.lot) {
            return Err(Reason::OffLot);
        }
        let sliced = order.display.0 > 0 && order.size.0 / order.display.0 >= Rules::MAX_SLICES;
        if order.size.0 < rules.min_size || sliced {
            return Err(Reason::TooSmall);
        }
        if order.size.0 > rules.max_size {
            return Err(Reason::TooLarge);
        }
        let price = if order.has_price() { Some(order.price.0) } else { self.anchor() };
        if let (Some(most), Some(price)) = (rules.max_notional, price)
            && i128::from(price).abs() * i128::from(order.size.0) > most
        {
            return Err(Reason::Notional);
        }
        if let (Some(collar), Some(anchor), true) = (rules.collar, self.anchor(), collared && order.has_price()) {
            let beyond = match order.side {
                Side::Bid => i128::from(order.price.0) - i128::from(anchor),
                Side::Ask => i128::from(anchor) - i128::from(order.price.0),
            };
            if beyond > i128::from(collar) {
                return Err(Reason::Collar);
            }
        }
        Ok(())
    }

    /// Everything that can be wrong with a new order. Returns its alternative's place and its price, which a slide has
    /// changed.
    pub(super) fn check_new(&mut self, order: &Command) -> Result<(u32, i64), Reason> {
        self.check_account(order.account)?;
        if !order.is_order() {
            return Err(Reason::InvalidField);
        }
        if self.book.find(order.order_id).is_some() {
            return Err(Reason::DuplicateId);
        }
        self.check_numbers(order, true)?;
        self.check_state(order)?;
        let link = self.check_link(order)?;
        if order.time_in_force == TimeInForce::Gtd && order.expires.0 <= self.clock {
            return Err(Reason::Expired);
        }
        if order.order_type == OrderType::TrailingStop && self.anchor().is_none() {
            return Err(Reason::NoReference);
        }
        Ok((link, self.check_post_only(order.post_only, order.side, order.price.0, &[])?))
    }

    fn check_state(&self, order: &Command) -> Result<(), Reason> {
        let gathers = self.state != State::Continuous;
        let fits = match order.time_in_force {
            TimeInForce::Ioc | TimeInForce::Fok => !gathers,
            TimeInForce::AtOpen => self.state == State::PreOpen,
            TimeInForce::AtClose => true,
            _ => !gathers || !matches!(order.order_type, OrderType::Market | OrderType::MarketToLimit),
        };
        if fits { Ok(()) } else { Err(Reason::WrongState) }
    }

    fn check_link(&self, order: &Command) -> Result<u32, Reason> {
        if order.link == 0 {
            return Ok(NONE);
        }
        let at = self.book.find(order.link).ok_or(Reason::BadLink)?;
        let linked = self.extra(at).is_some_and(|extra| extra.link != NONE);
        if linked || self.book.node(at).tag.account != order.account { Err(Reason::BadLink) } else { Ok(at) }
    }

    /// The price at which an order that must not take may rest, as if the orders in `gone` were.
    fn check_post_only(
        &self,
        post_only: PostOnly,
        side: Side,
        price: i64,
        gone: &[Option<u32>],
    ) -> Result<i64, Reason> {
        if post_only == PostOnly::No || self.state != State::Continuous {
            return Ok(price);
        }
        let other = self.book.handles(side.opposite()).find(|at| !gone.contains(&Some(*at)));
        let Some(best) = other.map(|at| self.book.level_of(at).price) else { return Ok(price) };
        match (post_only, side) {
            _ if !crosses(side, price, best) => Ok(price),
            (PostOnly::Slide, Side::Bid) => {
                best.checked_sub(self.rules.tick).filter(|&price| price != Command::UNSET).ok_or(Reason::WouldTrade)
            }
            (PostOnly::Slide, Side::Ask) => best.checked_add(self.rules.tick).ok_or(Reason::WouldTrade),
            _ => Err(Reason::WouldTrade),
        }
    }

    /// What a modification makes of an order: the order as a command, and whether it keeps its place.
    pub(super) fn check_modify(&mut self, command: &Command) -> Result<(u32, Command, bool), Reason> {
        self.check_account(command.account)?;
        let given = |value: i64| value != Command::UNSET;
        if command.order_id == 0
            || given(command.size.0) && command.size.0 <= 0
            || given(command.display.0) && command.display.0 < 0
        {
            return Err(Reason::InvalidField);
        }
        let at = self.book.find(command.order_id).ok_or(Reason::UnknownOrder)?;
        let (now, open) = (self.as_command(at), self.open(at));
        if command.account != 0 && command.account != now.account {
            return Err(Reason::NotOwner);
        }
        let mut order = now;
        for (field, value) in [
            (&mut order.price.0, command.price.0),
            (&mut order.trigger.0, command.trigger.0),
            (&mut order.size.0, command.size.0),
            (&mut order.display.0, command.display.0),
        ] {
            if given(value) {
                *field = value;
            }
        }
        // An order of a kind without a price cannot be given one; one that became a limit order has no trigger.
        let display = order.display;
        if given(command.display.0) && order.display != now.display && order.display >= order.size {
            order.display.0 = Command::UNSET;
        }
        let pending = self.extra(at).is_some_and(|extra| extra.place == Where::Pending);
        let displays = given(command.display.0) && now.order_type != OrderType::Limit;
        if !order.is_order() || displays || pending && given(command.trigger.0) {
            return Err(Reason::InvalidField);
        }
        let trails = order.order_type == OrderType::TrailingStop && given(command.trigger.0);
        let alone = order.price == now.price && order.trigger == now.trigger && order.display == now.display && !trails;
        let keeps = command.action == Action::Modify && alone && order.size.0 <= open;
        self.check_numbers(&Command { display, ..order }, !(keeps && order.size.0 < open))?;
        if !keeps && (self.book.rests(at) || order.is_peg()) {
            order.price.0 = self.check_post_only(order.post_only, order.side, order.price.0, &[])?;
        }
        Ok((at, order, keeps))
    }

    /// A live order as the command that would make it.
    pub(super) fn as_command(&self, at: u32) -> Command {
        let node = self.book.node(at);
        let terms = node.tag;
        let mut order = Command {
            account: terms.account,
            order_type: terms.order_type,
            time_in_force: terms.time_in_force,
            self_trade: terms.self_trade,
            post_only: terms.post_only,
            ..Command::limit(node.id, Side::Bid, crate::units::Price(Command::UNSET), crate::units::Size(self.open(at)))
        };
        if let Some(extra) = self.extra(at) {
            order.side = extra.side;
            order.price.0 = extra.price;
            order.trigger.0 = extra.trigger;
            order.display.0 = extra.display;
            order.expires.0 = extra.expires;
        }
        if self.book.rests(at) {
            let level = self.book.level_of(at);
            order.side = level.side;
            if !order.is_peg() {
                order.price.0 = level.price;
            }
        }
        order
    }

    /// The sides of a quote, each with the live order that it changes and whether that keeps its place.
    pub(super) fn check_quote(&mut self, quote: &Command) -> Result<[(Command, Option<u32>, bool); 2], Reason> {
        self.check_account(quote.account)?;
        let base = Command {
            account: quote.account,
            time_in_force: quote.time_in_force,
            self_trade: quote.self_trade,
            post_only: quote.post_only,
            expires: quote.expires,
            ..Command::new(Action::New)
        };
        let sides = [
            Command { order_id: quote.order_id, side: Side::Bid, price: quote.price, size: quote.size, ..base },
            Command { order_id: quote.link, side: Side::Ask, price: quote.trigger, size: quote.display, ..base },
        ];
        let stays = matches!(quote.time_in_force, TimeInForce::Day | TimeInForce::Gtc | TimeInForce::Gtd);
        let both = sides.iter().all(|side| side.size.0 > 0);
        let endless = quote.time_in_force != TimeInForce::Gtd || quote.expires != Nanos::UNKNOWN;
        if sides[0].order_id == sides[1].order_id || !stays || !endless || both && quote.price >= quote.trigger {
            return Err(Reason::InvalidField);
        }
        for side in &sides {
            let pulls = side.size.0 == 0 && side.order_id != 0;
            if !pulls && !side.is_order() {
                return Err(Reason::InvalidField);
            }
        }
        let mut found = [(sides[0], None, false), (sides[1], None, false)];
        for (side, at, _) in &mut found {
            *at = self.book.find(side.order_id);
            if let Some(at) = *at {
                let live = self.as_command(at);
                let shown = live.display.0 == Command::UNSET && self.book.rests(at);
                let ours = live.account == side.account && live.side == side.side;
                let stays = !matches!(live.time_in_force, TimeInForce::AtOpen | TimeInForce::AtClose);
                if !shown || !ours || !stays || live.order_type != OrderType::Limit {
                    return Err(Reason::DuplicateId);
                }
            }
        }
        // The own quote does not stand in its way: it is taken out first.
        let pulled: [Option<u32>; 2] = [found[0].1, found[1].1];
        let mut first: Option<Reason> = None;
        for (side, at, keeps) in &mut found {
            if side.size.0 == 0 {
                continue;
            }
            let live = at.map(|at| self.as_command(at));
            *keeps = live.is_some_and(|live| side.price == live.price && side.size <= live.size);
            let less = live.is_some_and(|live| side.price == live.price && side.size < live.size);
            let late = side.time_in_force == TimeInForce::Gtd && side.expires.0 <= self.clock;
            let found =
                self.check_numbers(side, !less).and(if late { Err(Reason::Expired) } else { Ok(()) }).and_then(|()| {
                    if !*keeps {
                        side.price.0 = self.check_post_only(side.post_only, side.side, side.price.0, &pulled)?;
                    }
                    Ok(())
                });
            if let Err(reason) = found {
                let turn = |reason: Reason| TURNS.iter().position(|&one| one == reason);
                first = Some(first.map_or(reason, |other| if turn(other) <= turn(reason) { other } else { reason }));
            }
        }
        if let Some(reason) = first {
            return Err(reason);
        }
        Ok(found)
    }

    pub(super) fn check_cancel(&self, command: &Command) -> Result<u32, Reason> {
        let at = self.book.find(command.order_id).ok_or(Reason::UnknownOrder)?;
        let owner = self.book.node(at).tag.account;
        if command.account != 0 && command.account != owner { Err(Reason::NotOwner) } else { Ok(at) }
    }

    /// Whether a fill-or-kill order finds all of its size, in the order of matching.
    pub(super) fn can_fill(&self, incoming: &Incoming) -> bool {
        // Alternatives that go on the way change what can be reached, and so does a band that the order's own first
        // trade sets. That is rare: it is played through on a copy.
        let band_to_come = self.rules.band.is_some() && self.reference.is_none();
        if self.links == 0 && !band_to_come {
            return self.counts(incoming);
        }
        let reached = |level: &&Level| self.reaches(incoming, level.price);
        let most: i128 = self
            .book
            .all_levels(incoming.side.opposite())
            .take_while(reached)
            .flat_map(|level| self.book.queue(level))
            .map(|at| i128::from(self.open(at)))
            .sum();
        most >= i128::from(incoming.open) && self.plays(incoming)
    }

    fn plays(&self, incoming: &Incoming) -> bool {
        let (mut copy, mut incoming) = (self.clone(), *incoming);
        let mut traded = 0;
        let open = incoming.open;
        copy.take(&mut incoming, &mut |execution| {
            if execution.kind == super::ExecutionKind::Trade {
                traded += execution.size.0;
            }
        });
        traded == open
    }

    fn counts(&self, incoming: &Incoming) -> bool {
        let mut missing = i128::from(incoming.open);
        let own = |at: u32| {
            let account = self.book.node(at).tag.account;
            account != 0 && account == incoming.terms.account && incoming.terms.self_trade != SelfTrade::None
        };
        let oldest = incoming.terms.self_trade == SelfTrade::CancelOldest;
        let pro_rata = self.rules.priority != Priority::PriceTime;
        let reserve = |at: u32| self.extra(at).map_or(0, |extra: &Extra| i128::from(extra.reserve));
        for level in self.book.all_levels(incoming.side.opposite()) {
            if !self.reaches(incoming, level.price) || !self.in_band(level.price) {
                return false;
            }
            let own_shown = self.book.shown(level).any(own);
            if pro_rata && own_shown && incoming.terms.self_trade == SelfTrade::Decrement {
                return false;
            }
            for at in self.book.shown(level) {
                if !own(at) {
                    missing -= i128::from(self.book.node(at).size);
                } else if !oldest && !pro_rata {
                    return missing <= 0;
                }
                if missing <= 0 {
                    return true;
                }
            }
            if own_shown && !oldest {
                return false;
            }
            missing -= self.book.shown(level).filter(|&at| !own(at)).map(reserve).sum::<i128>();
            if missing <= 0 {
                return true;
            }
            for at in self.book.unseen(level) {
                if !own(at) {
                    missing -= i128::from(self.book.node(at).size);
                } else if !oldest {
                    return missing <= 0;
                }
                if missing <= 0 {
                    return true;
                }
            }
        }
        false
    }

    /// Whether an incoming order may trade at this price.
    #[inline]
    pub(super) fn reaches(&self, incoming: &Incoming, price: i64) -> bool {
        (incoming.limit == Command::UNSET || crosses(incoming.side, incoming.limit, price))
            && (incoming.only == Command::UNSET || incoming.only == price)
    }

    pub(super) fn in_band(&self, price: i64) -> bool {
        match (self.rules.band, self.reference) {
            (Some(band), Some(reference)) => {
                i128::from(price).abs_diff(i128::from(reference)) <= i128::from(band).unsigned_abs()
            }
            _ => true,
        }
    }

    /// Where an order stands before it has a place in the book, if it does not go there at once.
    pub(super) fn waits(&self, order: &Command) -> Option<Where> {
        match (order.order_type, order.time_in_force) {
            (OrderType::Stop | OrderType::StopLimit | OrderType::TrailingStop, _) => Some(Where::Stop),
            (_, TimeInForce::AtClose) if self.state != State::Closing => Some(Where::Close),
            (OrderType::Market, TimeInForce::AtOpen | TimeInForce::AtClose) => Some(Where::Market),
            _ => None,
        }
    }
}

/// Whether a limit trades with an opposite price.
#[inline]
pub(super) const fn crosses(side: Side, limit: i64, opposite: i64) -> bool {
    match side {
        Side::Bid => limit >= opposite,
        Side::Ask => limit <= opposite,
    }
}
