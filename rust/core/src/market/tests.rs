//! The market message by message.

use super::*;
use crate::event::Flags;
use crate::instrument::Venue;
use crate::units::{Nanos, Price, Side, Size};

fn quote(market: &mut Market, ts: i64, instrument: u32, bid: i64, ask: i64) {
    for (side, price, flags) in [(Side::Bid, bid, Flags::NONE), (Side::Ask, ask, Flags::LAST)] {
        market.apply(&Event {
            ts_event: Nanos::UNKNOWN,
            ts_recv: Nanos(ts),
            sequence: ts.unsigned_abs(),
            order_id: 0,
            price: Price(price),
            size: Size(1),
            instrument,
            kind: Kind::Quote,
            side: Some(side),
            flags,
        });
    }
}

#[test]
fn a_market_finds_crosses_between_venues_whose_units_differ() {
    let known = |venue, symbol| Instrument::builtin(venue, symbol).expect("built in");
    // Prices in 0.1 and in 0.01.
    let instruments = vec![known(Venue::BinanceUsdm, "BTCUSDT"), known(Venue::BinanceSpot, "BTCUSDT")];
    let mut market = Market::new(instruments).expect("a market");
    let rules = CrossRules {
        fees: vec![0, 0],
        ladder: vec![],
        pairs: vec![(0, 1, FairBasis::None)],
        perpetual: vec![true, false],
    };
    market.watch_crosses(rules).expect("rules");
    quote(&mut market, 10, 0, 618_000, 618_001);
    quote(&mut market, 20, 1, 6_180_050, 6_180_060);
    quote(&mut market, 30, 1, 6_180_000, 6_180_010);
    let found = market.crosses().expect("watched").take();
    assert_eq!(found.iter().map(|c| (c.buy, c.sell, c.start, c.end)).collect::<Vec<_>>(), [(0, 1, 20, 30)]);
}

#[test]
fn a_cross_ends_at_the_instant_at_which_one_of_its_venues_is_stale() {
    let known = |venue, symbol| Instrument::builtin(venue, symbol).expect("built in");
    let instruments = vec![known(Venue::BinanceUsdm, "BTCUSDT"), known(Venue::BinanceSpot, "BTCUSDT")];
    let market = |limits: [i64; 2]| {
        let rules = MarketRules { fees: vec![0, 0], stale_after: limits.to_vec(), ..MarketRules::default() };
        let mut market = Market::with_rules(instruments.clone(), rules).expect("a market");
        let pairs = vec![(0, 1, FairBasis::None)];
        let rules = CrossRules { fees: vec![0, 0], ladder: vec![], pairs, perpetual: vec![true, false] };
        market.watch_crosses(rules).expect("rules");
        quote(&mut market, 10, 0, 618_000, 618_001);
        quote(&mut market, 20, 1, 6_180_050, 6_180_060);
        market
    };
    let ends = |market: &mut Market| {
        market
            .crosses()
            .expect("watched")
            .take()
            .iter()
            .map(|found| (found.start, found.end, found.censored))
            .collect::<Vec<_>>()
    };
    let mut stale = market([100, 1_000]);
    quote(&mut stale, 900, 1, 6_180_050, 6_180_060);
    assert_eq!(ends(&mut stale), [(20, 111, true)], "heard at 10, so stale after 110");
    assert_eq!((stale.status(0), stale.status(1)), (Status::Stale, Status::Live));
    assert_eq!((stale.touch(0), stale.best()), ((NO_BID, NO_ASK), (6_180_050, 6_180_060)));
    let mut fresh = market([900, 1_000]);
    assert_eq!(fresh.cross(), Some(NetCross { buy: 0, sell: 1, edge: 40_000_000_000 }));
    fresh.advance(Nanos(910));
    assert_eq!((fresh.status(0), ends(&mut fresh).len()), (Status::Live, 0));
    fresh.advance(Nanos(911));
    assert_eq!((fresh.status(0), fresh.cross()), (Status::Stale, None));
    quote(&mut fresh, 912, 0, 618_000, 618_001);
    assert!(fresh.cross().is_some(), "its next message makes it count again");
}

#[test]
fn a_ladder_begins_at_the_touch_and_the_horizon_of_a_venue_without_depth_is_its_touch() {
    let spot = Instrument::builtin(Venue::BinanceSpot, "BTCUSDT").expect("built in");
    let mut market = Market::new(vec![spot]).expect("a market");
    quote(&mut market, 10, 0, 100, 103);
    let level = |price, size, flags| Event {
        ts_event: Nanos::UNKNOWN,
        ts_recv: Nanos(11),
        sequence: 5,
        order_id: 0,
        price: Price(price),
        size: crate::units::Size(size),
        instrument: 0,
        kind: Kind::Level,
        side: Some(Side::Bid),
        flags,
    };
    assert_eq!(market.horizon(0, Side::Bid), Some(100));
    for (price, flags) in [(101, Flags::SNAPSHOT), (100, Flags::SNAPSHOT), (97, Flags::SNAPSHOT.union(Flags::LAST))] {
        market.apply(&level(price, 7, flags));
    }
    // The quote's update id is the newer one, so 101 contradicts it, and at 100 its size counts.
    let found: Vec<_> = market.ladder(0, Side::Bid).expect("a venue").map(|level| (level.price, level.size)).collect();
    assert_eq!(found, [(100, 1), (97, 7)]);
    assert_eq!(market.horizon(0, Side::Bid), Some(97));
    assert_eq!(market.horizon(0, Side::Ask), Some(103));
}

#[test]
fn claims_on_different_things_make_no_market() {
    let btc = Instrument::builtin(Venue::BinanceSpot, "BTCUSDT").expect("built in");
    let mut eth = btc.clone();
    eth.base = "ETH".to_owned();
    assert!(matches!(Market::new(vec![btc, eth]), Err(MarketError::Base(..))));
    assert!(matches!(Market::new(vec![]), Err(MarketError::Empty)));
}
