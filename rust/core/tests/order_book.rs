//! The order book at size.

#![allow(clippy::unwrap_used)] // in a test a failure may panic

use crossbook::book::OrderBook;
use crossbook::units::{Price, Side, Size};

#[test]
fn seven_million_orders_take_no_more_than_96_bytes_each_on_the_way_there() {
    let mut book: OrderBook = OrderBook::new();
    let (mut most, mut at_five) = (0.0_f64, 0.0);
    for number in 0..7_000_000_u64 {
        let id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let side = if number % 2 == 0 { Side::Bid } else { Side::Ask };
        let away = i64::try_from(id >> 53).unwrap();
        let price = if side == Side::Bid { 100_000 - away } else { 100_001 + away };
        book.add(id, side, Price(price), Size(1)).unwrap();
        if number >= 1_000_000 && number % 4_096 == 0 || number == 4_999_999 {
            let bytes = book.heap() as f64 / book.len() as f64;
            most = most.max(bytes);
            if number == 4_999_999 {
                at_five = bytes;
            }
        }
    }
    println!("bytes per order: {at_five:.1} at 5,000,000, {most:.1} at most");
    assert!(most <= 96.0, "{most}");
}
