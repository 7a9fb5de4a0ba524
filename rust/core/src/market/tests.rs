//! The market message by message.

use super::*;
use crate::event::Flags;
use crate::instrument::Venue;
use crate::units::{Nanos, Price, Side, Size, Unit};

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
fn levels_read_at_once_are_those_read_one_by_one() {
    let mut state = 7_u64;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((state >> 33) % bound).expect("below 2^31")
    };
    let known = |venue, symbol| Instrument::builtin(venue, symbol).expect("built in");
    // Plain, times ten, inverse, and of another currency; prices so high that they do not fit the common unit.
    let mut rated = known(Venue::BinanceSpot, "BTCUSDT");
    (rated.symbol, rated.quote) = ("BTCEUR".to_owned(), "EUR".to_owned());
    let mut inverse = known(Venue::BinanceCoinm, "BTCUSD_PERP");
    inverse.quote = "USDT".to_owned();
    let instruments = vec![known(Venue::BinanceSpot, "BTCUSDT"), known(Venue::BinanceUsdm, "BTCUSDT"), inverse, rated];
    let rules = MarketRules {
        fx: vec![("EUR".to_owned(), Rate::Fixed(Unit::new(10_873, -4).expect("a unit")))],
        ..MarketRules::default()
    };
    let (mut several, mut ended) = (0, 0);
    for round in 0..300 {
        let mut market = Market::with_rules(instruments.clone(), rules.clone()).expect("a market");
        let instrument = u32::try_from(round % 4).expect("small");
        let count = 2 + below(60);
        for number in 0..count {
            let (side, away) = if number < 2 || below(2) == 0 { (Side::Bid, -1) } else { (Side::Ask, 1) };
            let side = if number == 0 { side.opposite() } else { side };
            let away = if number == 0 { -away } else { away };
            // Near, beyond the window of a book, and beyond what fits.
            let distance = match below(20) {
                0 => 300_000 + below(9_000_000),
                1 if round % 5 == 0 => i64::MAX / 4,
                _ => below(400),
            };
            let last = if number + 1 == count { Flags::LAST } else { Flags::NONE };
            market.apply(&Event {
                ts_event: Nanos::UNKNOWN,
                ts_recv: Nanos(1),
                sequence: 5,
                order_id: 0,
                price: Price(6_000_000 + away * (1 + distance)),
                size: Size(1 + below(1_000_000)),
                instrument,
                kind: Kind::Level,
                side: Some(side),
                flags: last,
            });
        }
        let index = instrument as usize;
        for side in [Side::Bid, Side::Ask] {
            let expected: Vec<_> =
                market.ladder(index, side).expect("a venue").map(|level| (level.price, level.size)).collect();
            let mut ladder = market.ladder(index, side).expect("a venue");
            let (mut found, buy) = (Vec::new(), side == Side::Ask);
            loop {
                let price = match (below(3), expected.get(found.len())) {
                    (0, _) | (_, None) => {
                        if buy {
                            i64::MAX
                        } else {
                            i64::MIN
                        }
                    }
                    (_, Some(next)) => next.0 + if buy { below(300) } else { -below(300) },
                };
                let size = if below(2) == 0 { i64::MAX } else { 1 + below(3_000_000) };
                let count = if below(2) == 0 { usize::MAX } else { usize::try_from(1 + below(5)).expect("small") };
                let until = route::Until { buy, price, size, count };
                let before = found.len();
                let read = ladder.read(&until, &mut found);
                let new = &found[before..];
                assert_eq!(new.iter().map(|level| level.1).sum::<i64>(), read.size);
                // It stops at the first reason to, and at none before.
                let stops = |at: usize| {
                    until.is_before(new[at].0)
                        || new[..=at].iter().map(|level| level.1).sum::<i64>() >= size
                        || at + 1 == count
                };
                assert_eq!(
                    (0..new.len()).find(|at| stops(*at)),
                    if read.ended { None } else { new.len().checked_sub(1) }
                );
                several += usize::from(new.len() > 1);
                if read.ended {
                    break;
                }
            }
            // A size of nothing is no level to a router.
            let expected: Vec<_> = expected.into_iter().filter(|level| level.1 > 0).collect();
            assert_eq!(found, expected, "round {round}");
            assert_eq!(ladder.next(), None);
            ended += 1;
        }
    }
    assert!(several > 1_000 && ended == 600, "{several}");
}

#[test]
fn claims_on_different_things_make_no_market() {
    let btc = Instrument::builtin(Venue::BinanceSpot, "BTCUSDT").expect("built in");
    let mut eth = btc.clone();
    eth.base = "ETH".to_owned();
    assert!(matches!(Market::new(vec![btc, eth]), Err(MarketError::Base(..))));
    assert!(matches!(Market::new(vec![]), Err(MarketError::Empty)));
}
