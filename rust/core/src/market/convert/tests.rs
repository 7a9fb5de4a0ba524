//! Conversions against fractions of 128 bits worked out step by step.

use proptest::prelude::*;

use super::*;
use crate::instrument::Venue;

fn unit(text: &str) -> Unit {
    Unit::parse(text).expect("a unit")
}

fn instrument(contract: Contract, quote: &str, price: &str, size: &str, multiplier: &str) -> Instrument {
    let mut one = Instrument::named(Venue::Okx, "X", contract, "BTC", quote);
    (one.price_unit, one.size_unit, one.multiplier) = (unit(price), unit(size), unit(multiplier));
    one
}

fn rate(base: &str, quote: &str, price: &str) -> Instrument {
    let mut one = Instrument::named(Venue::Kraken, "R", Contract::Spot, base, quote);
    one.price_unit = unit(price);
    one
}

fn convert(instruments: &[Instrument], quote: &str, fx: &[(String, Rate)]) -> (Units, Vec<Conversion>) {
    let units = Units::common(instruments, quote, fx).expect("common units");
    let all =
        (0..instruments.len()).map(|index| Conversion::new(index, instruments, &units, fx).expect("a conversion"));
    let all = all.collect();
    (units, all)
}

#[test]
fn prices_in_different_units_compare_exactly() {
    let instruments = [
        instrument(Contract::Spot, "USDT", "0.01", "0.00000001", "1"),
        instrument(Contract::Linear, "USDT", "0.1", "1", "0.001"),
        instrument(Contract::Linear, "USDT", "2.5", "1", "0.01"),
    ];
    let (units, found) = convert(&instruments, "USDT", &[]);
    assert_eq!((units.price, units.size), (unit("0.01"), unit("0.00000001")));
    assert_eq!(found[0].ask(Price(6_180_001)), 6_180_001);
    assert_eq!(found[1].bid(Price(618_000)), 6_180_000);
    assert_eq!(found[2].ask(Price(24_721)), 6_180_250, "24,721 steps of 2.5 are 61,802.5");
    assert_eq!(found[1].base_size(Price(618_000), Size(7)), 700_000, "7 contracts of 0.001 BTC");
    assert_eq!(found[1].lots(Price(618_000), 799_999), Size(7), "of a size that is no whole contracts, those below");
}

#[test]
fn an_inverse_contract_is_more_of_the_base_currency_the_lower_its_price() {
    let coinm = Instrument::builtin(Venue::BinanceCoinm, "BTCUSD_PERP").expect("built in");
    let (units, found) = convert(std::slice::from_ref(&coinm), "USD", &[]);
    assert_eq!(units.size, unit("0.00000001"));
    let one = &found[0];
    assert_eq!(one.base_size(Price(600_000), Size(6)), 1_000_000, "600 USD at 60,000");
    assert_eq!(one.base_size(Price(300_000), Size(6)), 2_000_000);
    assert_eq!(one.base_size(Price(700_000), Size(1)), 142_857, "0.00142857142…, rounded down");
    assert_eq!(one.lots(Price(700_000), 142_857), Size(0), "a little less than one contract");
    assert_eq!(one.lots(Price(700_000), 142_858), Size(1));
    let face = 600 * 10_i128.pow(18);
    assert_eq!(one.amount(Side::Ask, Price(600_000), Size(6)), Some(face), "its face value, whatever the price");
    assert_eq!(one.base_size(Price(0), Size(6)), 0);
}

#[test]
fn what_is_paid_is_bought_at_the_rates_ask_and_what_is_got_is_sold_at_its_bid() {
    let instruments = [
        instrument(Contract::Spot, "USD", "0.01", "0.00000001", "1"),
        instrument(Contract::Spot, "USDT", "0.1", "0.00001", "1"),
        rate("USDT", "USD", "0.0001"),
    ];
    let fx = [("USDT".to_owned(), Rate::Book(2))];
    let (units, mut found) = convert(&instruments, "USD", &fx);
    assert_eq!(units.price, unit("0.00001"), "0.1 USDT at a rate in 0.0001 is a multiple of it");
    assert!(!found[1].has_rate());
    assert_eq!((found[1].bid(Price(1)), found[1].ask(Price(1))), (NO_BID, NO_ASK));
    found[1].set_rate(Some((Price(9_995), Price(9_997))));
    assert_eq!(found[1].ask(Price(600_000)), 5_998_200_000, "60,000 USDT bought at 0.9997 USD");
    assert_eq!(found[1].bid(Price(600_000)), 5_997_000_000, "60,000 USDT sold at 0.9995 USD");
    assert_eq!(found[0].ask(Price(6_000_000)), 6_000_000_000);
    let two = found[1].amount(Side::Bid, Price(600_000), Size(200_000));
    assert_eq!(two, Some(2 * 59_970 * 10_i128.pow(18)));
    found[1].set_rate(Some((Price(0), Price(9_997))));
    assert!(!found[1].has_rate(), "a rate of zero is none");
}

#[test]
fn a_rate_quoted_the_other_way_round_is_turned_and_rounded_against_the_user() {
    let instruments = [instrument(Contract::Spot, "USDT", "1", "0.01", "1"), rate("USD", "USDT", "0.01")];
    let (units, mut found) = convert(&instruments, "USD", &[("USDT".to_owned(), Rate::Book(1))]);
    assert_eq!(units.price, unit("0.000001"));
    // One USD brings 3 USDT and costs 3.01: 1 USDT is bought for 1/3 USD and sold for 1/3.01.
    found[0].set_rate(Some((Price(300), Price(301))));
    assert_eq!(found[0].ask(Price(1)), 333_334);
    assert_eq!(found[0].bid(Price(1)), 332_225, "0.33222591…");
    assert_eq!(found[0].native(Side::Ask, 333_334), Some(Price(1)));
    assert_eq!(found[0].native(Side::Ask, 333_333), Some(Price(0)));
    assert_eq!(found[0].native(Side::Bid, 332_225), Some(Price(1)));
    assert_eq!(found[0].native(Side::Bid, 332_226), Some(Price(2)));
}

#[test]
fn currencies_held_to_be_equal_need_no_book_and_others_have_no_price() {
    let instruments =
        [instrument(Contract::Spot, "USDT", "0.01", "1", "1"), instrument(Contract::Spot, "USD", "0.1", "1", "1")];
    let (_, found) = convert(&instruments, "USDT", &[("USD".to_owned(), Rate::Fixed(Unit::ONE))]);
    assert_eq!(found[1].ask(Price(5)), 50);
    let (_, found) = convert(&instruments, "USDT", &[]);
    assert_eq!(
        (found[1].ask(Price(5)), found[1].native(Side::Ask, 5), found[1].amount(Side::Ask, Price(5), Size(1))),
        (NO_ASK, None, None)
    );
}

#[test]
fn a_rate_between_other_currencies_or_of_a_contract_is_refused() {
    let one = instrument(Contract::Spot, "USDT", "0.01", "1", "1");
    let mut swap = rate("USDT", "USD", "0.01");
    swap.contract = Contract::Linear;
    for (book, index) in [(rate("EUR", "USD", "0.01"), 1), (swap, 1), (rate("USDT", "USD", "0.01"), 7)] {
        let fx = [("USDT".to_owned(), Rate::Book(index))];
        assert!(matches!(Units::common(&[one.clone(), book], "USD", &fx), Err(MarketError::Rate { .. })));
    }
}

#[test]
fn a_lot_and_a_size_unit_must_fit_each_other() {
    let mut one = instrument(Contract::Spot, "USDT", "0.01", "0.001", "1");
    for (lot, expected) in [("0.003", Some(3)), ("0.0005", Some(1)), ("0.0015", None)] {
        one.lot = Some(unit(lot));
        let all = std::slice::from_ref(&one);
        let units = Units::common(all, "USDT", &[]).expect("units");
        let found = Conversion::new(0, all, &units, &[]).ok().map(|conversion| conversion.lot());
        assert_eq!(found, expected, "{lot}");
    }
}

#[test]
fn prices_beyond_64_bits_are_none_or_worse_for_the_user() {
    let instruments =
        [instrument(Contract::Spot, "USD", "1", "1", "1"), instrument(Contract::Spot, "USD", "0.0001", "1", "1")];
    let (_, found) = convert(&instruments, "USD", &[]);
    assert_eq!((found[0].ask(Price(i64::MAX)), found[0].bid(Price(i64::MIN))), (NO_ASK, NO_BID));
    assert_eq!((found[0].bid(Price(i64::MAX)), found[0].ask(Price(i64::MIN))), (i64::MAX, i64::MIN));
}

/// One of the contracts with units drawn at random, and a rate for it.
fn drawn() -> impl Strategy<Value = (Instrument, Instrument, bool)> {
    let number = (1_i64..50, -8_i8..3).prop_map(|(mantissa, exponent)| Unit::new(mantissa, exponent).expect("a unit"));
    let contract = prop_oneof![Just(Contract::Spot), Just(Contract::Linear), Just(Contract::Inverse)];
    (contract, number.clone(), number.clone(), number.clone(), number, any::<bool>()).prop_map(
        |(contract, price, size, multiplier, rate_unit, turned)| {
            let mut one = Instrument::named(Venue::Okx, "X", contract, "BTC", "EUR");
            (one.price_unit, one.size_unit, one.multiplier) = (price, size, multiplier);
            let mut book = if turned { rate("USD", "EUR", "1") } else { rate("EUR", "USD", "1") };
            book.price_unit = rate_unit;
            (one, book, turned)
        },
    )
}

/// `num / den` with powers of ten apart, so that nothing overflows in tests: compares `count · unit` with a product.
fn compare(left: &[i128], left_power: i32, right: &[i128], right_power: i32) -> Option<std::cmp::Ordering> {
    let product = |parts: &[i128], power: i32| {
        let power = 10_i128.checked_pow(u32::try_from(power).ok()?)?;
        parts.iter().try_fold(power, |all, part| all.checked_mul(*part))
    };
    let least = left_power.min(right_power);
    Some(product(left, left_power - least)?.cmp(&product(right, right_power - least)?))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_rounding_is_against_the_user_and_less_than_one_unit(
        (one, book, turned) in drawn(),
        price in 1_i64..10_000_000,
        size in 0_i64..10_000_000,
        bid in 1_i64..100_000,
        spread in 0_i64..100,
    ) {
        use std::cmp::Ordering::{Greater, Less};
        let instruments = [one.clone(), book.clone()];
        let fx = [("EUR".to_owned(), Rate::Book(1))];
        let units = Units::common(&instruments, "USD", &fx).expect("common units");
        // Units may lie too far apart to meet in 63 bits.
        let Ok(mut conversion) = Conversion::new(0, &instruments, &units, &fx) else { return Ok(()) };
        conversion.set_rate(Some((Price(bid), Price(bid + spread))));
        prop_assume!(conversion.has_rate());
        let m = |unit: Unit| i128::from(unit.mantissa());
        let e = |unit: Unit| i32::from(unit.exponent());
        // A EUR is worth rate (or 1/rate) USD; buyers take the dearer.
        let (buy, sell) = if turned { (bid, bid + spread) } else { (bid + spread, bid) };
        let native = [i128::from(price), m(one.price_unit)];
        for (side, worth, count) in [(Side::Ask, buy, conversion.ask(Price(price))), (Side::Bid, sell, conversion.bid(Price(price)))] {
            if count == NO_ASK {
                continue;
            }
            let worth = [i128::from(worth), m(book.price_unit)];
            // count · unit against price · rate, or count · unit · rate against price.
            let order = |count: i64| {
                let common = i128::from(count);
                if turned {
                    compare(&[common, worth[0], worth[1]], e(units.price) + e(book.price_unit), &native, e(one.price_unit))
                } else {
                    compare(&[common], e(units.price), &[native[0], native[1], worth[0], worth[1]], e(one.price_unit) + e(book.price_unit))
                }
            };
            if side == Side::Ask {
                prop_assert!(order(count).is_none_or(|order| order != Less), "an ask is not below what is paid");
                prop_assert!(order(count - 1).is_none_or(|order| order == Less), "by less than one unit");
            } else {
                prop_assert!(order(count).is_none_or(|order| order != Greater), "a bid is not above what is got");
                prop_assert!(order(count + 1).is_none_or(|order| order == Greater), "by less than one unit");
            }
            if let Some(Price(back)) = conversion.native(side, count) {
                let worse = if side == Side::Ask { back + 1 } else { back - 1 };
                let own = conversion.price(side, Price(back));
                let fair = if side == Side::Ask { back >= price && own <= count } else { back <= price && own >= count };
                prop_assert!(fair);
                let over = conversion.price(side, Price(worse));
                let beyond = if side == Side::Ask { over > count } else { over < count };
                prop_assert!(beyond);
            }
        }
        // base · unit (· price, of inverse contracts) against size · multiplier.
        let base = conversion.base_size(Price(price), Size(size));
        let inverse = one.contract == Contract::Inverse;
        let contracts = if one.contract == Contract::Spot { Unit::ONE } else { one.multiplier };
        let order = |base: i64| {
            let common = [i128::from(base), if inverse { native[0] * native[1] } else { 1 }];
            let power = e(units.size) + if inverse { e(one.price_unit) } else { 0 };
            compare(&common, power, &[i128::from(size), m(one.size_unit), m(contracts)], e(one.size_unit) + e(contracts))
        };
        if base != i64::MAX {
            prop_assert!(order(base).is_none_or(|order| order != Greater), "a size is not above what is there");
            prop_assert!(order(base + 1).is_none_or(|order| order == Greater), "by less than one unit");
            let lots = conversion.lots(Price(price), base);
            prop_assert!(lots.0 <= size && conversion.base_size(Price(price), lots) <= base);
            prop_assert!(conversion.lots(Price(price), base.saturating_add(1)).0 >= lots.0);
        }
        if let (Some(paid), Some(got)) = (conversion.amount(Side::Ask, Price(price), Size(size)), conversion.amount(Side::Bid, Price(price), Size(size))) {
            prop_assert!(paid >= got);
            let half = conversion.amount(Side::Ask, Price(price), Size(size / 2)).unwrap_or(0);
            let rest = conversion.amount(Side::Ask, Price(price), Size(size - size / 2)).unwrap_or(0);
            prop_assert!((0..=1).contains(&(half + rest - paid)), "in two parts it costs as much, or 10^-18 more");
        }
    }
}
