//! The price book against a slow, obvious model: two ordered maps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crossbook::book::{PriceBook, Quote, Walk};
use crossbook::event::{Event, Flags, Kind};
use crossbook::units::{Nanos, Price, Side, Size};

const SIDES: [Side; 2] = [Side::Bid, Side::Ask];
const SPAN: i64 = 1 << 18;

#[derive(Default)]
struct Model {
    sides: [BTreeMap<i64, i64>; 2],
    horizons: [Option<i64>; 2],
}

impl Model {
    fn set(&mut self, side: Side, price: i64, size: i64) {
        let levels = &mut self.sides[side as usize];
        if size > 0 {
            levels.insert(price, size);
        } else {
            levels.remove(&price);
        }
    }

    fn snapshot(&mut self, side: Side, price: i64, size: i64) {
        self.set(side, price, size);
        let horizon = self.horizons[side as usize].unwrap_or(price);
        self.horizons[side as usize] = Some(if side == Side::Bid { horizon.min(price) } else { horizon.max(price) });
    }

    fn best(&self, side: Side) -> Option<(i64, i64)> {
        let levels = &self.sides[side as usize];
        let best = if side == Side::Bid { levels.last_key_value() } else { levels.first_key_value() };
        best.map(|(&price, &size)| (price, size))
    }

    fn quote(&self) -> Quote {
        let (bid, bid_size) = self.best(Side::Bid).unwrap_or_default();
        let (ask, ask_size) = self.best(Side::Ask).unwrap_or_default();
        Quote { bid: Price(bid), bid_size: Size(bid_size), ask: Price(ask), ask_size: Size(ask_size) }
    }

    fn levels(&self, side: Side) -> Box<dyn Iterator<Item = (Price, Size)> + '_> {
        let levels = self.sides[side as usize].iter().map(|(&price, &size)| (Price(price), Size(size)));
        if side == Side::Bid { Box::new(levels.rev()) } else { Box::new(levels) }
    }

    fn inside(&self, side: Side, price: i64) -> bool {
        self.horizons[side as usize].is_some_and(|horizon| !worse(side, price, horizon))
    }

    fn walk(&self, side: Side, start: Option<i64>, size: i64) -> Walk {
        let mut walk = Walk { filled: Size(0), notional: 0, worst: None, levels: 0, known: true };
        for (price, available) in self.levels(side).filter(|level| start.is_none_or(|s| !worse(side, s, level.0.0))) {
            if walk.filled.0 >= size {
                break;
            }
            let taken = available.0.min(size - walk.filled.0);
            walk.filled.0 += taken;
            walk.notional += i128::from(price.0) * i128::from(taken);
            walk.worst = Some(price);
            walk.levels += 1;
        }
        let end = if side == Side::Bid { i64::MIN } else { i64::MAX };
        let best = if side == Side::Bid { i64::MAX } else { i64::MIN };
        let reached = if walk.filled.0 < size { end } else { walk.worst.map_or(best, |price| price.0) };
        walk.known = self.inside(side, reached);
        walk
    }
}

fn worse(side: Side, price: i64, than: i64) -> bool {
    if side == Side::Bid { price < than } else { price > than }
}

fn event(kind: Kind, side: Option<Side>, price: i64, size: i64, flags: Flags) -> Event {
    Event {
        ts_event: Nanos::UNKNOWN,
        ts_recv: Nanos::UNKNOWN,
        sequence: 0,
        order_id: 0,
        price: Price(price),
        size: Size(size),
        instrument: 0,
        kind,
        side,
        flags,
    }
}

fn clear() -> Event {
    event(Kind::Clear, None, 0, 0, Flags::SNAPSHOT)
}

fn snapshot(side: Side, price: i64, size: i64) -> Event {
    event(Kind::Level, Some(side), price, size, Flags::SNAPSHOT)
}

struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn within(&mut self, distance: i64) -> i64 {
        self.below(2 * distance.unsigned_abs() + 1).cast_signed() - distance
    }

    fn any(&mut self) -> i64 {
        self.next().cast_signed()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).expect("an index")]
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// A book and its model under the same operations.
struct Pair {
    book: PriceBook,
    model: Model,
}

impl Pair {
    fn new() -> Self {
        Self { book: PriceBook::new(), model: Model::default() }
    }

    fn set(&mut self, side: Side, price: i64, size: i64) -> Quote {
        self.model.set(side, price, size);
        self.book.update(side, Price(price), Size(size))
    }

    fn check_measures(&self, random: &mut SplitMix, near: i64, place: &str) {
        let (book, model) = (&self.book, &self.model);
        for side in SIDES {
            let mut out = [(Price(0), Size(0)); 10];
            let count = book.top(side, &mut out);
            assert!(out[..count].iter().copied().eq(model.levels(side).take(10)), "top, {place}");
            assert_eq!(count, model.sides[side as usize].len().min(10), "top, {place}");
            let size = if random.chance(8) { random.any() } else { random.below(20_000).cast_signed() };
            assert_eq!(book.walk(side, Size(size)), model.walk(side, None, size), "walk of {size}, {place}");
            let start = near.saturating_add(random.within(1_000));
            let other = if random.chance(4) { random.any() } else { near.saturating_add(random.within(SPAN)) };
            assert_eq!(
                book.walk_from(side, Price(start), Size(size)),
                model.walk(side, Some(start), size),
                "walk of {size} from {start}, {place}"
            );
            assert_eq!(book.horizon(side).map(|price| price.0), model.horizons[side as usize], "horizon, {place}");
            for price in [start, other, i64::MIN, i64::MAX] {
                let size = model.sides[side as usize].get(&price).copied().unwrap_or(0);
                assert_eq!(book.size_at(side, Price(price)).0, size, "size at {price}, {place}");
            }
        }
    }

    fn check_levels(&self, place: &str) {
        for side in SIDES {
            assert!(self.book.levels(side).eq(self.model.levels(side)), "levels, {place}");
            assert_eq!(self.book.len(side), self.model.sides[side as usize].len(), "length, {place}");
            if let Some((price, _)) = self.book.levels(side).nth(self.book.len(side) / 2) {
                let rest = self.model.levels(side).skip(self.book.len(side) / 2);
                assert!(self.book.levels_from(side, price).eq(rest), "levels from {price:?}, {place}");
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Regime {
    Narrow,
    Wide,
    Crashing,
    Sparse,
    Hostile,
}

impl Regime {
    fn centre(self, step: u64) -> i64 {
        match self {
            // Seventy-six windows down in two million steps.
            Self::Crashing => 6_000_000 - 10 * step.cast_signed(),
            _ => 6_000_000,
        }
    }

    fn price(self, random: &mut SplitMix, side: Side, centre: i64) -> i64 {
        let distance = match self {
            Self::Narrow => random.below(200).cast_signed(),
            Self::Wide => random.below(600_000).cast_signed(),
            Self::Crashing => (random.below(1 << 20).cast_signed() >> random.below(20)) - 20,
            Self::Sparse => return random.any() >> 22,
            Self::Hostile => match random.below(8) {
                0 => return random.pick(&[i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1, 0, -1]),
                1 => return random.any(),
                2 => return i64::MIN + random.below(600_000).cast_signed(),
                3 => return i64::MAX - random.below(600_000).cast_signed(),
                // The edges of wherever the window may lie around the centre.
                4 => SPAN / 4 * random.within(4) + random.within(2),
                _ => random.below(300).cast_signed(),
            },
        };
        if side == Side::Bid { centre - distance } else { centre + 1 + distance }
    }
}

/// How many times the usual number of cases to try: `make slow` asks for more.
fn slow() -> u32 {
    std::env::var("CROSSBOOK_SLOW").map_or(1, |factor| factor.parse().expect("CROSSBOOK_SLOW: a whole number"))
}

/// Two million operations, or more where it may be slow. Returns the number of recentrings, so that a regime can say
/// that it tried some.
fn compare(regime: Regime) -> u64 {
    let steps = 2_000_000 * u64::from(slow());
    let seed = std::env::var("CROSSBOOK_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_240_808);
    let mut random = SplitMix(seed);
    let mut pair = Pair::new();
    let mut recent = [(Side::Bid, 0); 64];
    for step in 0..steps {
        let centre = regime.centre(step);
        let mut side = random.pick(&SIDES);
        let mut price = regime.price(&mut random, side, centre);
        let mut size = if random.chance(3) { 0 } else { random.below(1_000).cast_signed() + 1 };
        match random.below(600_000) {
            0 => {
                pair.book.clear();
                pair.model = Model::default();
            }
            1 | 2 => {
                pair.book.apply(&clear());
                pair.model = Model::default();
                for _ in 0..random.below(200) {
                    let side = random.pick(&SIDES);
                    let price = regime.price(&mut random, side, centre);
                    pair.book.apply(&snapshot(side, price, size));
                    pair.model.snapshot(side, price, size);
                }
            }
            // Levels that are there: most removals hit one, and a falling price takes the best away.
            3..200_000 => (side, price) = random.pick(&recent),
            200_000..300_000 => {
                price = pair.model.best(side).map_or(price, |level| level.0);
                size = if matches!(regime, Regime::Crashing) { 0 } else { size };
            }
            300_000..300_100 => size = i64::MAX - random.below(2).cast_signed(),
            300_100..300_200 => size = random.any().min(0),
            _ => {}
        }
        if matches!(regime, Regime::Crashing) && random.chance(2) {
            // Bids above the price have been traded away.
            if let Some((best, _)) = pair.model.best(Side::Bid).filter(|level| level.0 > centre + 20) {
                (side, price, size) = (Side::Bid, best, 0);
            }
        }
        let quote = pair.set(side, price, size);
        recent[(step % 64) as usize] = (side, price);
        assert_eq!(quote, pair.model.quote(), "{regime:?}, seed {seed}, step {step}: {side:?} {price} {size}");
        if step % 997 == 0 {
            let place = format!("{regime:?}, seed {seed}, step {step}");
            let near = if step % 2 == 0 { price } else { centre };
            pair.check_measures(&mut random, near, &place);
        }
        if step % 9_973 == 0 {
            pair.check_levels(&format!("{regime:?}, seed {seed}, step {step}"));
        }
    }
    pair.check_levels(&format!("{regime:?}, seed {seed}, at the end"));
    println!("{regime:?}: {} recentrings, {} bytes", pair.book.recentrings(), pair.book.memory());
    let recentrings = pair.book.recentrings();
    assert!(recentrings < steps / 256, "{recentrings} recentrings");
    recentrings
}

#[test]
fn in_a_narrow_market_two_million_operations_leave_the_book_equal_to_its_model() {
    compare(Regime::Narrow);
}

#[test]
fn in_a_market_wider_than_the_window_two_million_operations_leave_the_book_equal_to_its_model() {
    compare(Regime::Wide);
}

#[test]
fn in_a_crash_through_many_windows_two_million_operations_leave_the_book_equal_to_its_model() {
    assert!(compare(Regime::Crashing) > 40);
}

#[test]
fn in_a_sparse_market_two_million_operations_leave_the_book_equal_to_its_model() {
    compare(Regime::Sparse);
}

#[test]
fn under_hostile_prices_two_million_operations_leave_the_book_equal_to_its_model() {
    compare(Regime::Hostile);
}

fn any_price() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 1_000..1_030_i64,
        2 => Just(SPAN).prop_flat_map(|span| (-3..=3_i64, -1..=1_i64).prop_map(move |(n, d)| 1_000 + n * span / 4 + d)),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(i64::MIN + SPAN), Just(i64::MAX - SPAN)],
        1 => any::<i64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256 * slow(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn short_sequences_with_any_prices_leave_the_book_equal_to_its_model(
        operations in prop::collection::vec((any::<bool>(), any_price(), 0..4_i64), 0..1_500)
    ) {
        let mut pair = Pair::new();
        for &(bid, price, size) in &operations {
            let quote = pair.set(if bid { Side::Bid } else { Side::Ask }, price, size);
            prop_assert_eq!(quote, pair.model.quote());
        }
        for side in SIDES {
            prop_assert!(pair.book.levels(side).eq(pair.model.levels(side)));
        }
    }
}

#[test]
fn levels_at_both_ends_of_the_integers_live_in_one_book() {
    for side in SIDES {
        let mut pair = Pair::new();
        for price in [0, i64::MIN, i64::MAX, i64::MIN + 1, i64::MAX - 1] {
            let quote = pair.set(side, price, 1);
            assert_eq!(quote, pair.model.quote());
        }
        pair.check_levels("filled");
        let walk = pair.book.walk(side, Size(i64::MAX));
        assert_eq!((walk.filled, walk.levels, walk.notional), (Size(5), 5, -2));
        for price in [i64::MAX, i64::MIN, 0, i64::MAX - 1, i64::MIN + 1] {
            let quote = pair.set(side, price, 0);
            assert_eq!(quote, pair.model.quote());
        }
        assert!(pair.book.is_empty());
    }
}

#[test]
fn a_walk_of_the_largest_size_ends_at_the_level_that_holds_it() {
    let mut book = PriceBook::new();
    book.update(Side::Ask, Price(1), Size(i64::MAX));
    book.update(Side::Ask, Price(2), Size(i64::MAX));
    let walk = book.walk(Side::Ask, Size(i64::MAX));
    assert_eq!((walk.filled, walk.levels), (Size(i64::MAX), 1));
}

#[test]
fn far_quotes_that_alternate_with_near_ones_never_move_the_window() {
    let mut book = PriceBook::new();
    for i in 0..1_000_000_i64 {
        book.update(Side::Bid, Price(1_000 + i % 50), Size(1 + i % 2));
        // Set and removed in turn, and better than all others.
        book.update(Side::Bid, Price(i64::MAX - i % 4), Size(i64::from(i % 8 < 4)));
    }
    assert_eq!(book.recentrings(), 0);
}

#[test]
fn a_majority_of_far_quotes_moves_the_window_once_in_hundreds_of_updates_at_most() {
    let mut book = PriceBook::new();
    for level in 0..1_000 {
        book.update(Side::Ask, Price(level), Size(1));
    }
    let updates = 1_000_000;
    for i in 0..updates {
        // Each burst lasts just long enough to pull the window along, in turn to five places.
        let place = i / 2_000 % 5 * (1 << 40);
        book.update(Side::Ask, Price(place + i % 64), Size(1));
    }
    // A move needs as many misses as there are levels (1,000), and at least 256.
    assert!(book.recentrings() > 100, "the window followed: {}", book.recentrings());
    assert!(book.recentrings() <= updates.unsigned_abs() / 1_000, "{} recentrings", book.recentrings());
}

#[test]
fn the_window_follows_the_price_in_spite_of_a_hostile_quote_that_stays() {
    let mut book = PriceBook::new();
    book.update(Side::Ask, Price(i64::MIN), Size(1));
    for step in 0..4_000_000_i64 {
        let centre = 6_000_000 + step;
        book.update(Side::Ask, Price(centre + step * 7 % 500), Size(1));
        book.update(Side::Ask, Price(centre - 300 + step * 7 % 500), Size(0));
    }
    // Fifteen windows of way, at most three moves for each.
    assert!((8..=48).contains(&book.recentrings()), "{} recentrings", book.recentrings());
    assert_eq!(book.quote().ask, Price(i64::MIN));
}

#[test]
fn a_quiet_book_stays_under_100_kb_a_side() {
    let mut book = PriceBook::new();
    assert!(book.memory() < 2 * 12_000, "{} bytes when empty", book.memory());
    // A thousand levels of each side over 6,700 units, as the COIN-M snapshot of 2024-08-08 has them.
    for level in 0..1_000 {
        book.update(Side::Bid, Price(618_047 - level * 67 / 10), Size(1));
        book.update(Side::Ask, Price(618_048 + level * 67 / 10), Size(1));
    }
    assert!(book.memory() < 2 * 100_000, "{} bytes with 1,000 levels a side", book.memory());
}

#[test]
fn snapshots_at_ever_new_prices_reuse_the_memory_of_the_first() {
    let mut book = PriceBook::new();
    let mut first = 0;
    for round in 0..200 {
        book.apply(&clear());
        for level in 0..500 {
            book.apply(&snapshot(Side::Bid, round * 1_000_003 - level * 5, 1));
            book.apply(&snapshot(Side::Ask, round * 1_000_003 + level * 5, 1));
        }
        first = if round == 0 { book.memory() } else { first };
        assert_eq!(book.memory(), first, "round {round}");
    }
}

#[test]
fn depth_is_known_only_inside_the_horizon_of_the_snapshot() {
    let mut book = PriceBook::new();
    for price in [100, 101, 102] {
        book.update(Side::Ask, Price(price), Size(1));
    }
    assert_eq!(book.horizon(Side::Ask), None);
    assert!(!book.walk(Side::Ask, Size(1)).known, "no snapshot was seen");

    book.apply(&clear());
    for price in [100, 101, 102] {
        book.apply(&snapshot(Side::Ask, price, 1));
    }
    book.update(Side::Ask, Price(110), Size(1));
    assert_eq!(book.horizon(Side::Ask), Some(Price(102)));
    assert_eq!(book.horizon(Side::Bid), None);
    assert!(book.walk(Side::Ask, Size(3)).known);
    let beyond = book.walk(Side::Ask, Size(4));
    assert_eq!((beyond.filled, beyond.worst, beyond.known), (Size(4), Some(Price(110)), false));
    assert!(!book.walk(Side::Ask, Size(5)).known, "unfilled, and who knows what lies beyond");
}
