//! Cycles against a slow obvious model.

use proptest::prelude::*;

use super::*;
use crate::event::{Flags, Kind};
use crate::instrument::Venue;
use crate::market::testing::quote;
use crate::units::{Nanos, Price, Side, Unit};

fn spot(base: &str, quote: &str) -> Instrument {
    let mut made = Instrument::named(Venue::BinanceSpot, &format!("{base}{quote}"), Contract::Spot, base, quote);
    (made.price_unit, made.size_unit) = (Unit::decimals(2), Unit::decimals(4));
    made
}

fn rules(fees: Vec<i64>, shortest: usize, longest: usize) -> CycleRules {
    CycleRules { fees, shortest, longest, home: vec![], stale_after: i64::MAX }
}

fn triangle() -> Vec<Instrument> {
    vec![spot("BTC", "USDT"), spot("ETH", "BTC"), spot("ETH", "USDT")]
}

/// BTC at 100.00, ETH at 0.50 BTC; ETH in USDT as given.
fn feed(cycles: &mut Cycles, ts: i64, eth: (i64, i64)) {
    for event in [
        quote(ts, 0, (9_990, 10_000), (10_000, 10_000)),
        quote(ts, 1, (49, 30_000), (50, 30_000)),
        quote(ts, 2, (eth.0, 20_000), (eth.1, 20_000)),
    ]
    .concat()
    {
        cycles.apply(&event);
    }
}

#[test]
fn a_triangle_pays_while_the_product_of_its_rates_is_above_one() {
    let mut cycles = Cycles::new(triangle(), rules(vec![0; 3], 3, 4)).expect("cycles");
    assert_eq!(cycles.len(), 2, "one each way round");
    feed(&mut cycles, 10, (5_000, 5_001));
    assert!(cycles.paying().is_empty(), "a product of exactly 1 does not pay");
    feed(&mut cycles, 20, (5_010, 5_020));
    let paying = cycles.paying();
    assert_eq!(paying.len(), 1);
    let (cycle, edge) = paying[0];
    assert!((edge - 20.0).abs() < 1e-9, "{edge}");
    let legs = cycles.legs(cycle).expect("legs");
    assert_eq!(
        legs.iter().map(|leg| (leg.instrument, leg.buy)).collect::<Vec<_>>(),
        [(0, true), (1, true), (2, false)]
    );
    feed(&mut cycles, 30, (5_000, 5_020));
    cycles.finish(40);
    let found = cycles.take();
    assert_eq!(found.iter().map(|one| (one.start, one.end, one.censored)).collect::<Vec<_>>(), [(20, 30, false)]);
}

#[test]
fn a_plan_is_as_large_as_the_narrowest_book_and_exact_to_the_last_unit() {
    let mut cycles = Cycles::new(triangle(), rules(vec![1_000_000; 3], 3, 3)).expect("cycles");
    feed(&mut cycles, 10, (5_100, 5_101));
    let (cycle, _) = cycles.paying()[0];
    let plan = cycles.plan(cycle).expect("a plan");
    // Sizes in 0.0001: 1 BTC for 100 less 0.1 % on each leg buys 1 / 0.5005 = 1.998001… ETH, rounded down to 1.9980.
    let sizes: Vec<_> = plan.legs.iter().map(|leg| leg.size).collect();
    assert_eq!(sizes, [10_000, 19_980, 19_980]);
    let unit = 1_000_000_000_000_000_i128; // 0.001
    assert_eq!(plan.spent, 100_100 * unit);
    assert_eq!(plan.legs[1].paid, 999_999 * unit / 1_000, "0.999 BTC and 0.1 % of it");
    assert_eq!(plan.legs[1].left, unit / 1_000);
    // 1.998 × 51 = 101.898 less 0.101898.
    assert_eq!(plan.received, 101_796_102 * unit / 1_000);
    assert_eq!(plan.profit(), 1_696_102 * unit / 1_000);
}

#[test]
fn a_cycle_of_five_is_found_though_only_triangles_are_listed() {
    let names = ["A", "B", "C", "D", "E"];
    let instruments: Vec<_> = (0..5).map(|at| spot(names[(at + 1) % 5], names[at])).collect();
    let mut cycles = Cycles::new(instruments, rules(vec![0; 5], 3, 3)).expect("cycles");
    assert!(cycles.is_empty());
    for (ts, instrument) in (1..).zip(0..5) {
        let ask = if instrument == 4 { 99 } else { 100 };
        quote(ts, instrument, (ask - 1, 100), (ask, 100)).iter().for_each(|event| cycles.apply(event));
    }
    assert!(cycles.any());
    let paying = cycles.paying();
    assert_eq!(paying.len(), 1);
    assert_eq!(cycles.legs(paying[0].0).map(<[Leg]>::len), Some(5));
    quote(9, 4, (99, 100), (100, 100)).iter().for_each(|event| cycles.apply(event));
    assert!(!cycles.any());
    assert_eq!(cycles.take().iter().map(|one| (one.start, one.end)).collect::<Vec<_>>(), [(5, 9)]);
}

#[test]
fn a_lost_book_ends_its_cycles() {
    let mut cycles = Cycles::new(triangle(), rules(vec![0; 3], 3, 3)).expect("cycles");
    feed(&mut cycles, 10, (5_100, 5_101));
    let mut gap = quote(20, 1, (0, 0), (0, 0))[1];
    gap.kind = Kind::Gap;
    cycles.apply(&gap);
    assert!(cycles.paying().is_empty());
    assert_eq!(cycles.take().iter().map(|one| (one.end, one.censored)).collect::<Vec<_>>(), [(20, true)]);
}

#[test]
fn a_book_that_is_silent_beyond_the_limit_ends_its_cycles_at_the_limit() {
    let rules = CycleRules { stale_after: 5, ..rules(vec![0; 3], 3, 3) };
    let mut cycles = Cycles::new(triangle(), rules).expect("cycles");
    feed(&mut cycles, 10, (5_100, 5_101));
    // Two of the three go on; the third comes back at 30.
    for (ts, instrument) in [(12, 0), (12, 2), (17, 0), (17, 2), (30, 1), (30, 0), (30, 2)] {
        let (bid, ask) = [(9_990, 10_000), (49, 50), (5_100, 5_101)][instrument as usize];
        quote(ts, instrument, (bid, 10_000), (ask, 10_000)).iter().for_each(|event| cycles.apply(event));
    }
    cycles.finish(32);
    let found = cycles.take();
    assert_eq!(found.iter().map(|one| (one.start, one.end)).collect::<Vec<_>>(), [(10, 16), (30, 32)]);
}

#[test]
fn a_halted_book_is_in_no_cycle() {
    let mut cycles = Cycles::new(triangle(), rules(vec![0; 3], 3, 3)).expect("cycles");
    feed(&mut cycles, 10, (5_100, 5_101));
    let mut halt = quote(20, 2, (0, 0), (0, 0))[1];
    halt.kind = Kind::Status;
    cycles.apply(&halt);
    assert!(cycles.paying().is_empty());
    (halt.price, halt.ts_recv) = (Price(1), Nanos(30));
    cycles.apply(&halt);
    assert_eq!(cycles.paying().len(), 1);
}

#[test]
fn what_makes_no_cycles_is_refused() {
    let made = |instruments, rules| Cycles::new(instruments, rules).err();
    assert_eq!(made(vec![], rules(vec![], 3, 4)), Some(CycleError::Empty));
    assert_eq!(made(triangle(), rules(vec![0], 3, 4)), Some(CycleError::Fees { expected: 3, found: 1 }));
    assert_eq!(made(triangle(), rules(vec![0, 0, BILLION], 3, 4)), Some(CycleError::Fee(BILLION)));
    assert_eq!(made(triangle(), rules(vec![0; 3], 4, 3)), Some(CycleError::Lengths(4, 3)));
    let perpetual = Instrument::builtin(Venue::BinanceUsdm, "BTCUSDT").expect("built in");
    assert!(matches!(made(vec![perpetual], rules(vec![0], 3, 4)), Some(CycleError::Contract { .. })));
    let home = CycleRules { home: vec!["XYZ".to_owned()], ..rules(vec![0; 3], 3, 4) };
    assert!(matches!(made(triangle(), home), Some(CycleError::Home(..))));
    assert!(matches!(made(vec![spot("BTC", "BTC")], rules(vec![0], 3, 4)), Some(CycleError::OneCurrency { .. })));
}

/// Every simple cycle of `shortest` legs or more by brute force: permutations of currencies, every choice of books. Legs
/// as (instrument, buy), begun at the smallest currency.
fn brute(pairs: &[(usize, usize)], count: usize, shortest: usize) -> Vec<Vec<(usize, bool)>> {
    fn go(
        pairs: &[(usize, usize)],
        path: &mut Vec<(usize, bool)>,
        nodes: &mut Vec<usize>,
        shortest: usize,
        out: &mut Vec<Vec<(usize, bool)>>,
    ) {
        let (first, at) = (nodes[0], nodes[nodes.len() - 1]);
        for (instrument, (base, quote)) in pairs.iter().enumerate() {
            for (from, to, buy) in [(*quote, *base, true), (*base, *quote, false)] {
                if from != at || path.iter().any(|(used, _)| *used == instrument) {
                    continue;
                }
                if to == first && path.len() + 1 >= shortest {
                    let mut done = path.clone();
                    done.push((instrument, buy));
                    out.push(done);
                } else if to > first && !nodes.contains(&to) {
                    path.push((instrument, buy));
                    nodes.push(to);
                    go(pairs, path, nodes, shortest, out);
                    path.pop();
                    nodes.pop();
                }
            }
        }
    }
    let mut out = Vec::new();
    for first in 0..count {
        go(pairs, &mut vec![], &mut vec![first], shortest, &mut out);
    }
    out
}

type Path = Vec<(usize, i64, i64)>;

fn graphs() -> impl Strategy<Value = (usize, Vec<(usize, usize)>, Path, i64)> {
    (3_usize..6).prop_flat_map(|count| {
        let pair = (0..count, 1..count).prop_map(move |(a, by)| (a, (a + by) % count));
        proptest::collection::vec(pair, 1..9).prop_flat_map(move |pairs| {
            let step = (0..pairs.len(), 90_i64..115, 0_i64..6);
            (Just(count), Just(pairs), proptest::collection::vec(step, 1..60), 0_i64..30_000_000)
        })
    })
}

fn cases(count: u32) -> ProptestConfig {
    let times = std::env::var("CROSSBOOK_SLOW").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    ProptestConfig { cases: count * times, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn after_every_event_the_paying_cycles_are_those_of_brute_force((count, pairs, path, fee) in graphs()) {
        let name = |node: usize| format!("C{node}");
        let instruments: Vec<_> = pairs.iter().map(|(base, quote)| spot(&name(*base), &name(*quote))).collect();
        let home: Vec<_> = (0..count).map(name).filter(|n| instruments.iter().any(|i| i.base == *n || i.quote == *n)).collect();
        let fees = vec![fee; pairs.len()];
        let mut listed = Cycles::new(
            instruments.clone(),
            CycleRules { fees: fees.clone(), shortest: 2, longest: 8, home: home.clone(), stale_after: i64::MAX },
        ).expect("cycles");
        let mut short = Cycles::new(instruments, CycleRules { fees, shortest: 2, longest: 2, home, stale_after: i64::MAX }).expect("cycles");
        let all = brute(&pairs, count, 2);
        prop_assert_eq!(listed.len(), all.len());
        let mut touches: Vec<Option<(i64, i64)>> = vec![None; pairs.len()];
        for (ts, (instrument, bid, spread)) in (1_i64..).zip(path) {
            // A spread of 0 of 6 is a loss of the touch.
            touches[instrument] = (spread > 0).then_some((bid, bid + spread));
            let size = i64::from(spread > 0);
            #[allow(clippy::cast_possible_truncation)] // a handful of instruments
            for event in quote(ts, instrument as u32, (bid, size), (bid + spread, size)) {
                listed.apply(&event);
                short.apply(&event);
            }
            let pays = |legs: &Vec<(usize, bool)>| {
                // Numerator and denominator: prices in 0.01, fees in parts per billion.
                let (mut above, mut below) = (1_f64, 1_f64);
                for (instrument, buy) in legs {
                    let (bid, ask) = touches[*instrument]?;
                    #[allow(clippy::cast_precision_loss)]
                    if *buy {
                        above *= 100.0 * 1e9;
                        below *= (ask * (BILLION + fee)) as f64;
                    } else {
                        above *= (bid * (BILLION - fee)) as f64;
                        below *= 100.0 * 1e9;
                    }
                }
                Some(above / below)
            };
            let mut expected: Vec<Vec<(usize, bool)>> = Vec::new();
            let mut near = false;
            for legs in &all {
                let product = pays(legs).unwrap_or(0.0);
                near |= (product - 1.0).abs() < 1e-10;
                if product > 1.0 + 1e-13 {
                    expected.push(legs.clone());
                }
            }
            let paying = listed.paying();
            let mut found: Vec<Vec<(usize, bool)>> = paying
                .iter()
                .map(|(cycle, _)| listed.legs(*cycle).expect("known").iter().map(|leg| (leg.instrument, leg.buy)).collect())
                .collect();
            expected.sort();
            found.sort();
            prop_assert_eq!(&found, &expected);
            // The detector alone knows whether there is any, whatever the length.
            if !near {
                prop_assert_eq!(short.any(), !expected.is_empty());
                prop_assert_eq!(listed.any(), !expected.is_empty());
                for (cycle, edge) in short.paying() {
                    let legs: Vec<_> = short.legs(cycle).expect("known").iter().map(|leg| (leg.instrument, leg.buy)).collect();
                    prop_assert!(expected.contains(&legs), "{legs:?} {edge}");
                }
            }
        }
    }
}

/// Exchanges an amount along a cycle in plain steps: for every leg the largest order of whole lots.
fn exchange(legs: &[Leg], books: &[[Vec<(i64, i64)>; 2]], lots: &[i64], fee: i64, first: i128) -> Option<(i128, i128)> {
    const SIZE: i128 = 100_000_000_000_000; // 0.0001 in 1e-18
    const MONEY: i128 = 1_000_000_000_000; // 0.000001 in 1e-18
    let (mut amount, mut spent) = (first, 0);
    for (place, leg) in legs.iter().enumerate() {
        let (levels, lot) = (&books[leg.instrument][usize::from(leg.buy)], lots[leg.instrument]);
        let mut size: i64 = 0;
        let mut best = None;
        loop {
            size += lot;
            let (mut left, mut notional) = (size, 0_i128);
            for (price, available) in levels {
                let taken = left.min(*available);
                notional += i128::from(*price) * i128::from(taken);
                left -= taken;
            }
            if left > 0 {
                break;
            }
            let money = notional * MONEY;
            let charge = (money * i128::from(fee) + 999_999_999) / 1_000_000_000;
            let (paid, brought) = if leg.buy {
                (money + charge, i128::from(size) * SIZE)
            } else {
                (i128::from(size) * SIZE, money - charge)
            };
            if paid > amount {
                break;
            }
            best = Some((paid, brought));
        }
        let (paid, brought) = best?;
        if place == 0 {
            spent = paid;
        }
        amount = brought;
    }
    Some((spent, amount))
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn no_amount_wins_more_than_the_plan_but_for_what_lots_leave_over(
        prices in proptest::collection::vec((95_i64..100, 1_i64..8), 3..4),
        sizes in proptest::collection::vec(1_i64..40, 12..13),
        fee in 0_i64..10_000_000,
        lot in 1_i64..4,
    ) {
        let mut instruments = vec![spot("BTC", "USDT"), spot("ETH", "BTC"), spot("ETH", "USDT")];
        for instrument in &mut instruments {
            instrument.lot = Unit::new(lot, -4);
        }
        let mut cycles = Cycles::new(instruments, rules(vec![fee; 3], 3, 3)).expect("cycles");
        let mut books: Vec<[Vec<(i64, i64)>; 2]> = Vec::new();
        for (at, (bid, spread)) in prices.iter().enumerate() {
            let size = |place: usize| sizes[at * 4 + place];
            let sides = [vec![(*bid, size(0)), (bid - 1, size(1))], vec![(bid + spread, size(2)), (bid + spread + 1, size(3))]];
            let levels = [Side::Bid, Side::Ask].into_iter().zip(&sides).flat_map(|(side, levels)| {
                levels.iter().map(move |level| (side, *level))
            });
            for (place, (side, (price, size))) in levels.enumerate() {
                #[allow(clippy::cast_possible_truncation)]
                let mut event = quote(1, at as u32, (price, size), (price, size))[0];
                (event.kind, event.side) = (Kind::Level, Some(side));
                event.flags = if place == 3 { Flags::SNAPSHOT.union(Flags::LAST) } else { Flags::SNAPSHOT };
                cycles.apply(&event);
            }
            books.push(sides);
        }
        for (cycle, _) in cycles.paying() {
            let legs = cycles.legs(cycle).expect("known").to_vec();
            let plan = cycles.plan(cycle);
            if let Some(plan) = &plan {
                // The trades are what plain steps give for the same amount.
                let found = exchange(&legs, &books, &[lot; 3], fee, plan.spent);
                prop_assert_eq!(found, Some((plan.spent, plan.received)));
                for (leg, before) in plan.legs.iter().skip(1).zip(&plan.legs) {
                    prop_assert_eq!(leg.paid + leg.left, before.brought);
                    prop_assert!(leg.left >= 0);
                }
            }
            // Amounts in steps of a lot of the first book, up to all of it. A lot rounded down on each of three legs is
            // worth less than 3 lots at a price below 1.1.
            let most: i64 = books[legs[0].instrument][usize::from(legs[0].buy)].iter().map(|(_, size)| size).sum();
            let slack = i128::from(3 * lot) * 110_000_000_000_000 * 2;
            let won = plan.map_or(0, |plan| plan.profit());
            for step in 1..=most {
                let first = i128::from(step) * 120_000_000_000_000;
                if let Some((spent, received)) = exchange(&legs, &books, &[lot; 3], fee, first) {
                    prop_assert!(received - spent <= won + slack, "{} > {}", received - spent, won);
                }
            }
        }
    }
}
