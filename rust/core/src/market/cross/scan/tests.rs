//! Crosses with depth and the traders who take them, in small cases. `tests/crosses` holds both to a plain model.

use super::super::*;
use crate::event::Event;
use crate::instrument::{Instrument, Venue};
use crate::market::testing::quote;
use crate::market::{Market, MarketRules};

/// 10^-18 of the quote currency in one.
const ONE: i128 = 1_000_000_000_000_000_000;

fn market(stale_after: i64) -> Market {
    let known = |venue| Instrument::builtin(venue, "BTCUSDT").expect("built in");
    let mut other = known(Venue::BinanceSpot);
    other.venue = Venue::Okx;
    let rules = MarketRules { fees: vec![0, 0], stale_after: vec![stale_after; 2], ..MarketRules::default() };
    let mut instruments = vec![known(Venue::BinanceSpot), other];
    instruments.iter_mut().for_each(|one| one.lot = None);
    Market::with_rules(instruments, rules).expect("a market")
}

fn rules() -> ScanRules {
    ScanRules {
        pairs: vec![(0, 1, FairBasis::None)],
        perpetual: vec![false; 2],
        fixed: vec![],
        begin: i64::MIN,
        depth: true,
    }
}

fn traders(latencies: &[i64]) -> GridRules {
    GridRules {
        capitals: vec![Capital::Given(vec![Holding { cash: 1_000 * ONE, base: 1_000 }; 2])],
        latencies: latencies.to_vec(),
        order_delay: vec![Delay::Constant(0); 2],
        view_delay: vec![0; 2],
        venues: vec![0, 1],
    }
}

/// Buying at 100 and selling at 103 from 20 to 40.
fn path() -> Vec<Event> {
    [
        quote(10, 0, (99, 5), (100, 7)),
        quote(20, 1, (103, 4), (105, 9)),
        quote(30, 1, (103, 6), (105, 9)),
        quote(40, 0, (103, 5), (104, 7)),
        quote(90, 0, (103, 5), (104, 7)),
    ]
    .concat()
}

fn run(scan: &mut Scan, events: &[Event]) -> Vec<DepthCross> {
    events.iter().for_each(|event| scan.apply(event));
    scan.finish(100).expect("fits");
    scan.take()
}

#[test]
fn a_cross_is_worth_what_its_books_hold_at_each_instant() {
    let mut scan = Scan::new(market(i64::MAX), rules()).expect("rules");
    let found = run(&mut scan, &path());
    assert_eq!(found.len(), 1);
    let cross = &found[0];
    assert_eq!((cross.buy, cross.sell, cross.start, cross.end, cross.censored), (0, 1, 20, 40, false));
    let shots = [cross.at_start, cross.at_best, cross.at_most, cross.at_end].map(|shot| (shot.ts, shot.trade.size));
    assert_eq!(shots, [(20, 4), (20, 4), (30, 6), (30, 6)]);
    assert_eq!(cross.at_most.trade.profit, 6 * 3 * i128::from(BILLION));
    assert_eq!(scan.observed().next(), Some((0, 1, 80)));
}

#[test]
fn what_was_taken_is_gone_and_what_is_added_is_new() {
    let mut scan = Scan::new(market(i64::MAX), rules()).expect("rules").with_traders(traders(&[0])).expect("traders");
    run(&mut scan, &path());
    let result = &scan.results()[0];
    // 4 at first, then the 2 that were added.
    assert_eq!((result.tried, result.full, result.volume), (2, 2, 6));
    assert_eq!(result.profit, 6 * 3 * i128::from(BILLION));
    assert_eq!(result.base, [[1_006, 1_000], [994, 1_000]]);
}

#[test]
fn an_order_that_comes_when_its_cross_is_over_finds_nothing_and_the_other_leg_is_closed() {
    let mut scan =
        Scan::new(market(i64::MAX), rules()).expect("rules").with_traders(traders(&[19, 20])).expect("traders");
    run(&mut scan, &path());
    let [in_time, late] = scan.results() else { panic!("two traders") };
    // 4 in time; the 2 that are left are sold at 103 and, when the ask has gone, bought back at 105.
    assert_eq!((in_time.full, in_time.partial), (1, 1));
    assert_eq!(in_time.profit, (4 * 3 - 2 * 2) * i128::from(BILLION));
    // 4 sold at 103 and bought back at 105.
    assert_eq!((late.partial, late.unhedged), (1, 4 * 2 * i128::from(BILLION)));
    assert_eq!(late.profit, -late.unhedged);
    assert_eq!(late.base, [[1_000; 2]; 2]);
}

#[test]
fn a_venue_that_is_silent_ends_its_crosses_at_the_limit() {
    let mut scan = Scan::new(market(15), rules()).expect("rules");
    let found = run(&mut scan, &path());
    // The first venue was last heard of at 10.
    assert_eq!(found.iter().map(|one| (one.start, one.end, one.censored)).collect::<Vec<_>>(), [(20, 26, true)]);
}

#[test]
fn events_before_the_beginning_only_make_the_books() {
    let mut scan = Scan::new(market(i64::MAX), ScanRules { begin: 25, ..rules() }).expect("rules");
    let found = run(&mut scan, &path());
    assert_eq!(found.iter().map(|one| (one.start, one.end)).collect::<Vec<_>>(), [(30, 40)]);
}

#[test]
fn what_is_seen_later_crosses_later_and_is_met_as_it_is_by_then() {
    let mut scan = Scan::new(market(i64::MAX), rules()).expect("rules").with_traders(traders(&[0])).expect("traders");
    let events = path();
    let happened: Vec<_> = events.iter().map(|event| event.ts_recv.0).collect();
    let seen: Vec<_> = happened.iter().map(|ts| ts + 15).collect();
    run_delayed(&mut scan, &events, &happened, &seen);
    scan.finish(200).expect("fits");
    assert_eq!(scan.take().iter().map(|one| (one.start, one.end)).collect::<Vec<_>>(), [(35, 55)]);
    let result = &scan.results()[0];
    // At 35 he sees 4 and both books hold them; at 45 he sees 2 more, but what he would buy has gone at 40.
    assert_eq!((result.tried, result.full, result.partial, result.volume), (2, 1, 1, 4));
}

#[test]
fn a_fixed_cost_is_part_of_what_a_cross_must_win() {
    // Prices of 0.01 and sizes of 10^-8: a unit of both is 10^-10 of the quote currency. 4 win 12 of them, 6 win 18.
    let fixed = |each: i128| ScanRules { fixed: vec![each * ONE / 10_000_000_000; 2], ..rules() };
    let starts = |rules| {
        let mut scan = Scan::new(market(i64::MAX), rules).expect("rules");
        run(&mut scan, &path())
            .iter()
            .map(|one| (one.start, one.at_start.trade.profit / i128::from(BILLION)))
            .collect::<Vec<_>>()
    };
    assert_eq!(starts(fixed(5)), [(20, 2)]);
    assert_eq!(starts(fixed(6)), [(30, 6)]);
    assert_eq!(starts(fixed(9)), []);
}

#[test]
fn wrong_lists_delays_and_capitals_are_refused() {
    let scan = || Scan::new(market(i64::MAX), rules()).expect("rules");
    assert!(matches!(Scan::new(market(1), ScanRules { fixed: vec![1], ..rules() }), Err(MarketError::Length { .. })));
    assert!(matches!(
        Scan::new(market(1), ScanRules { pairs: vec![(0, 2, FairBasis::None)], ..rules() }),
        Err(MarketError::Length { .. })
    ));
    let refused = |rules| scan().with_traders(rules).err();
    assert!(matches!(refused(GridRules { view_delay: vec![], ..traders(&[0]) }), Some(MarketError::Length { .. })));
    assert_eq!(refused(traders(&[-1])), Some(MarketError::Delay(-1)));
    let none = Delay::Samples(std::sync::Arc::from([]), 0);
    assert!(refused(GridRules { order_delay: vec![none; 2], ..traders(&[0]) }).is_some());
    assert_eq!(refused(GridRules { capitals: vec![Capital::Even(-1)], ..traders(&[0]) }), Some(MarketError::Capital));
    let endless = GridRules { capitals: vec![Capital::Even(i128::MAX)], ..traders(&[0]) };
    assert_eq!(refused(endless), Some(MarketError::Overflow));
}
