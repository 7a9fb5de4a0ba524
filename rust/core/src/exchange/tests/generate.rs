//! Commands out of a seed: all actions, order types and fields, few prices and ids, so that everything meets everything.
//!
//! For unit tests, integration tests and fuzzing alike: each includes this file as a module.

#![allow(dead_code)] // every user needs another part

use crossbook::exchange::{
    Account, Action, Command, OrderType, PostOnly, Priority, Rules, SelfTrade, State, Tier, TimeInForce,
};
use crossbook::units::{Nanos, Price, Side, Size};

/// SplitMix64: the same seed gives the same commands on every machine.
#[derive(Clone, Debug)]
struct Rng(u64);

impl Rng {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `least` to `most`.
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // small ranges
    const fn between(&mut self, least: i64, most: i64) -> i64 {
        let count = (most - least + 1).cast_unsigned();
        least + ((self.next() as u128 * count as u128) >> 64) as i64
    }

    const fn percent(&mut self, share: i64) -> bool {
        self.between(1, 100) <= share
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)] // short lists
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.between(0, from.len() as i64 - 1) as usize]
    }
}

/// A source of commands for an exchange with these rules.
#[derive(Clone, Debug)]
pub struct Generator {
    rng: Rng,
    tick: i64,
    lot: i64,
    /// The time of the latest command that bore one.
    clock: i64,
    /// Ids lie from 1 to this.
    pub ids: i64,
    /// Prices lie so many ticks from 100 at most.
    pub spread: i64,
    /// So many commands in a hundred are none that an exchange would take.
    pub nonsense: i64,
}

impl Generator {
    pub const fn new(seed: u64, rules: &Rules) -> Self {
        let rng = Rng(seed);
        Self { rng, tick: rules.tick, lot: rules.lot, clock: 1_000, ids: 30, spread: 6, nonsense: 3 }
    }

    /// The next command.
    pub fn next(&mut self) -> Command {
        let word = self.rng.next();
        self.of(word)
    }

    /// The command of this word, after those before it: so a failing list of words can be made shorter.
    pub fn of(&mut self, word: u64) -> Command {
        let mut rng = Rng(word);
        let mut command = match rng.between(0, 99) {
            0..55 => self.order(&mut rng),
            55..65 => Command { account: self.account(&mut rng, 20), ..Command::cancel(self.id(&mut rng)) },
            65..80 => self.change(&mut rng),
            80..87 => self.quote(&mut rng),
            87 => Command {
                account: self.account(&mut rng, 60),
                one_side: rng.percent(50),
                side: self.side(&mut rng),
                ..Command::new(Action::MassCancel)
            },
            88..94 => {
                let next = if rng.percent(55) { State::Continuous } else { rng.pick(&State::ALL) };
                Command::state(next)
            }
            94 => Command { account: self.account(&mut rng, 90), ..Command::new(Action::Kill) },
            95..98 => Command { account: self.account(&mut rng, 50), ..Command::new(Action::Revive) },
            _ => Command::new(Action::Clock),
        };
        command.ts = match rng.between(0, 99) {
            0..60 => Nanos::UNKNOWN,
            60..98 => {
                self.clock += if rng.percent(5) { 500 } else { rng.between(0, 20) };
                Nanos(self.clock)
            }
            _ => Nanos(self.clock - 10),
        };
        if rng.percent(self.nonsense) {
            self.spoil(&mut command, &mut rng);
        }
        command
    }

    /// Plain limit orders, cancels and changes, as most of a stream is: about so many orders stay in the book.
    pub fn plain(&mut self, word: u64, live: &mut Vec<u64>, next_id: &mut u64, resting: usize) -> Command {
        let mut rng = Rng(word);
        let side = self.side(&mut rng);
        // Mostly behind the middle, sometimes through it.
        let away = if rng.percent(10) { -rng.between(0, 3) } else { rng.between(1, self.spread) };
        let price = Price(self.ticks(10_000 + if side == Side::Bid { -away } else { away }));
        let size = Size(self.lots(rng.between(1, 100)));
        if live.len() < resting || rng.percent(30) {
            *next_id += 1;
            live.push(*next_id);
            return Command::limit(*next_id, side, price, size);
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]
        // a place in a list
        let at = rng.between(0, live.len() as i64 - 1) as usize;
        match rng.between(0, 9) {
            0..4 => Command::cancel(live.swap_remove(at)),
            4..7 => Command::modify(live[at], price, size),
            _ => Command::replace(live[at], price, size),
        }
    }

    /// In fuzzed rules a tick may be anything.
    const fn ticks(&self, count: i64) -> i64 {
        self.tick.wrapping_mul(count)
    }

    const fn lots(&self, count: i64) -> i64 {
        self.lot.wrapping_mul(count)
    }

    fn id(&self, rng: &mut Rng) -> u64 {
        rng.between(1, self.ids).unsigned_abs()
    }

    /// One of four; nobody so many times in a hundred less.
    fn account(&self, rng: &mut Rng, share: i64) -> u32 {
        if rng.percent(share) { rng.pick(&[1, 2, 3, 4]) } else { 0 }
    }

    fn side(&self, rng: &mut Rng) -> Side {
        if rng.percent(50) { Side::Bid } else { Side::Ask }
    }

    fn price(&self, rng: &mut Rng) -> Price {
        Price(self.ticks(100 + rng.between(-self.spread, self.spread)))
    }

    fn size(&self, rng: &mut Rng) -> Size {
        Size(self.lots(if rng.percent(10) { rng.between(20, 60) } else { rng.between(1, 12) }))
    }

    /// An order whose fields go together.
    fn order(&self, rng: &mut Rng) -> Command {
        use TimeInForce as F;
        let mut order = Command::limit(self.id(rng), self.side(rng), self.price(rng), self.size(rng));
        order.account = self.account(rng, 80);
        order.self_trade = if rng.percent(40) { rng.pick(&SelfTrade::ALL) } else { SelfTrade::None };
        order.order_type = if rng.percent(55) { OrderType::Limit } else { rng.pick(&OrderType::ALL) };
        order.time_in_force = rng.pick(&match order.order_type {
            OrderType::Limit => [F::Day, F::Day, F::Gtc, F::Gtd, F::Ioc, F::Fok, F::AtOpen, F::AtClose],
            OrderType::Market => [F::Day, F::Ioc, F::Ioc, F::Fok, F::Fok, F::AtOpen, F::AtClose, F::AtClose],
            _ => [F::Day, F::Day, F::Day, F::Gtc, F::Gtc, F::Gtc, F::Gtd, F::Gtd],
        });
        let stays = matches!(order.time_in_force, F::Day | F::Gtc | F::Gtd);
        match order.order_type {
            OrderType::Market | OrderType::MarketToLimit => order.price = Price(Command::UNSET),
            OrderType::Stop => (order.price, order.trigger) = (Price(Command::UNSET), self.price(rng)),
            OrderType::StopLimit => order.trigger = self.price(rng),
            OrderType::TrailingStop => {
                order.price = Price(Command::UNSET);
                order.trigger = Price(self.ticks(rng.between(1, 4)));
            }
            OrderType::PegPrimary | OrderType::PegMid => {
                order.trigger = Price(self.ticks(rng.between(0, 2)));
                if rng.percent(60) {
                    order.price = Price(Command::UNSET);
                }
            }
            _ => {}
        }
        if stays && matches!(order.order_type, OrderType::Limit | OrderType::StopLimit) && rng.percent(35) {
            order.display = Size(if rng.percent(40) { 0 } else { self.lots(rng.between(1, 4)) });
        }
        if stays && order.order_type == OrderType::Limit && rng.percent(25) {
            order.post_only = rng.pick(&PostOnly::ALL);
        }
        if order.time_in_force == F::Gtd {
            order.expires = Nanos(self.clock + rng.between(-2, 120));
        }
        if rng.percent(25) {
            order.link = self.id(rng);
        }
        order
    }

    fn change(&self, rng: &mut Rng) -> Command {
        let mut change = Command::modify(self.id(rng), Price(Command::UNSET), Size(Command::UNSET));
        if rng.percent(30) {
            change.action = Action::Replace;
        }
        change.account = self.account(rng, 30);
        if rng.percent(50) {
            change.price = self.price(rng);
        }
        if rng.percent(60) {
            change.size = self.size(rng);
        }
        if rng.percent(15) {
            change.trigger = if rng.percent(50) { self.price(rng) } else { Price(self.ticks(rng.between(0, 4))) };
        }
        if rng.percent(10) {
            change.display = Size(self.lots(rng.between(0, 4)));
        }
        change
    }

    fn quote(&self, rng: &mut Rng) -> Command {
        let (bid, ask) = (self.id(rng), self.id(rng));
        let middle = 100 + rng.between(-2, 2);
        let price = |away: i64| Price(self.ticks(middle + away));
        let size = |rng: &mut Rng| if rng.percent(10) { Size(0) } else { self.size(rng) };
        let (below, above) = (rng.between(1, 3), rng.between(0, 3));
        let (bid_size, ask_size) = (size(rng), size(rng));
        let account = self.account(rng, 90);
        let mut quote = Command::quote(account, (bid, price(-below), bid_size), (ask, price(above), ask_size));
        quote.time_in_force = rng.pick(&[TimeInForce::Day, TimeInForce::Gtc, TimeInForce::Gtd]);
        quote.expires = Nanos(self.clock + rng.between(0, 120));
        quote.self_trade = rng.pick(&SelfTrade::ALL);
        if rng.percent(30) {
            quote.post_only = rng.pick(&PostOnly::ALL);
        }
        quote
    }

    /// One field becomes something else.
    fn spoil(&self, command: &mut Command, rng: &mut Rng) {
        let number = rng.pick(&[i64::MIN, i64::MIN + 1, -1, 0, 1, 7, 1 << 53, (1 << 53) + 1, i64::MAX - 1, i64::MAX]);
        match rng.between(0, 12) {
            0 => command.order_id = rng.pick(&[0, u64::MAX]),
            1 => command.price.0 = number,
            2 => command.size.0 = number,
            3 => command.trigger.0 = number,
            4 => command.display.0 = number,
            5 => command.expires.0 = number,
            6 => command.link = rng.pick(&[0, command.order_id, u64::MAX]),
            7 => command.account = rng.pick(&[0, 5, u32::MAX]),
            8 => command.order_type = rng.pick(&OrderType::ALL),
            9 => command.time_in_force = rng.pick(&TimeInForce::ALL),
            10 => command.post_only = rng.pick(&PostOnly::ALL),
            11 => command.action = rng.pick(&Action::ALL),
            _ => command.state = rng.pick(&State::ALL),
        }
    }
}

/// Rules of every kind.
pub fn rules(seed: u64) -> Rules {
    let mut rng = Rng(seed);
    let (tick, lot) = (rng.pick(&[1, 1, 5]), rng.pick(&[1, 1, 10]));
    let mut rules = Rules { tick, lot, min_size: lot, ..Rules::default() };
    if rng.percent(50) {
        rules.priority = Priority::ProRata {
            top_order: rng.percent(60),
            top_max: rng.pick(&[0, 0, 5 * lot]),
            min_allocation: rng.pick(&[0, 2 * lot]),
        };
    }
    rules.state = rng.pick(&[State::Continuous, State::Continuous, State::PreOpen]);
    rules.reference = rng.percent(40).then_some(100 * tick);
    rules.band = rng.percent(30).then_some(4 * tick);
    rules.halt_for = rng.pick(&[0, 30]);
    rules.collar = rng.percent(25).then_some(5 * tick);
    rules.max_notional = rng.percent(20).then_some(i128::from(100 * tick * 40 * lot));
    if rng.percent(25) {
        rules.max_size = 50 * lot;
    }
    if rng.percent(30) {
        rules.tiers = vec![Tier { maker: -100_000, taker: 300_000, auction: 50_000 }, Tier::default()];
        if rng.percent(60) {
            rules.accounts = (1..=4).map(|id| Account { id, tier: id % 2 }).collect();
        }
    }
    if rng.percent(20) {
        (rules.rate, rules.rate_window) = (8, 40);
    }
    rules
}
