//! What the tests of several parts of the market share.

use crate::event::{Event, Flags, Kind};
use crate::units::{Nanos, Price, Side, Size};

/// A quote message: both sides, each as price and size.
pub(super) fn quote(ts: i64, instrument: u32, bid: (i64, i64), ask: (i64, i64)) -> [Event; 2] {
    [(Side::Bid, bid, Flags::NONE), (Side::Ask, ask, Flags::LAST)].map(|(side, (price, size), flags)| Event {
        ts_event: Nanos::UNKNOWN,
        ts_recv: Nanos(ts),
        sequence: ts.unsigned_abs(),
        order_id: 0,
        price: Price(price),
        size: Size(size),
        instrument,
        kind: Kind::Quote,
        side: Some(side),
        flags,
    })
}
