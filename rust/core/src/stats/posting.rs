//! When a limit order that was not there would have been filled, read from what traded and what was quoted.
//!
//! The order joins the end of its queue and nothing that is cancelled ahead of it moves it up, so that it is filled no
//! earlier than a real one of negligible size would have been; that it would have changed what others did is not modelled.

use super::{StatsError, origin};

/// An order to count as resting from `from`, exclusive, until `until`, inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Posted {
    /// The instant at which the order rests, ns.
    pub from: i64,
    /// The instant at which it is given up, ns.
    pub until: i64,
    /// +1 to buy, -1 to sell.
    pub side: i8,
    /// Its limit.
    pub price: f64,
    /// What trades at its price before it is reached, its own size included; in the unit of traded sizes.
    pub ahead: f64,
}

/// Trades in order of time: time in ns, price, size, and the side of the aggressor (+1, -1, or 0: unknown).
#[derive(Clone, Copy, Debug)]
pub struct Trades<'a> {
    /// Times, ns, ascending.
    pub times: &'a [i64],
    /// Prices.
    pub prices: &'a [f64],
    /// Sizes.
    pub sizes: &'a [f64],
    /// Sides of the aggressors.
    pub sides: &'a [i8],
}

/// The best prices in order of time; NaN where a side is unknown.
#[derive(Clone, Copy, Debug)]
pub struct Touches<'a> {
    /// Times, ns, ascending.
    pub times: &'a [i64],
    /// Best bids.
    pub bids: &'a [f64],
    /// Best asks.
    pub asks: &'a [f64],
}

/// The instant at which each order would have been filled whole, if it would.
///
/// A buy order is filled by the first of: a trade of a selling aggressor below its price; the trade of a selling aggressor
/// at its price with which such trades reach `ahead`; a best ask at its price or below. A sell order the same, turned
/// over. Prices are compared as equal floats, so all must come from one decoder. Trades of unknown side fill nothing.
/// Orders may come in any order of time; each looks at its own window only.
///
/// # Errors
/// [`StatsError`] if columns differ in length, times descend, a traded price or size is not finite, an order has a price
/// or size ahead that is not finite, a side other than ±1 or an end before its start, or times span more than
/// [`super::MAX_SPAN`].
pub fn first_fills(orders: &[Posted], trades: Trades, touches: Touches) -> Result<Vec<Option<i64>>, StatsError> {
    let lengths = |series, times: &[i64], values: usize| match values == times.len() {
        true => Ok(()),
        false => Err(StatsError::Lengths { series, times: times.len(), values }),
    };
    lengths("prices", trades.times, trades.prices.len())?;
    lengths("sizes", trades.times, trades.sizes.len())?;
    lengths("sides", trades.times, trades.sides.len())?;
    lengths("bids", touches.times, touches.bids.len())?;
    lengths("asks", touches.times, touches.asks.len())?;
    for (series, times) in [("trades", trades.times), ("touches", touches.times)] {
        if let Some(index) = times.windows(2).position(|pair| pair[1] < pair[0]) {
            return Err(StatsError::NotAscending { series, index: index + 1 });
        }
    }
    for (series, values) in [("prices", trades.prices), ("sizes", trades.sizes)] {
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(StatsError::NotFinite { series, index });
        }
    }
    if !trades.times.is_empty() && !touches.times.is_empty() {
        origin(trades.times, touches.times)?;
    }
    let fill = |(index, order): (usize, &Posted)| {
        if !(order.price.is_finite() && order.ahead.is_finite()) {
            return Err(StatsError::NotFinite { series: "orders", index });
        }
        if order.side.abs() != 1 || order.until < order.from {
            return Err(StatsError::Grid { expected: "orders of side 1 or -1 that end no earlier than they begin" });
        }
        let traded = by_trades(order, trades);
        let quoted = by_touches(order, touches, traded.unwrap_or(order.until));
        Ok(match (traded, quoted) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        })
    };
    orders.iter().enumerate().map(fill).collect()
}

fn by_trades(order: &Posted, trades: Trades) -> Option<i64> {
    let first = trades.times.partition_point(|&time| time <= order.from);
    let mut traded = 0.0;
    for row in first..trades.times.len() {
        if trades.times[row] > order.until {
            return None;
        }
        if trades.sides[row] != -order.side {
            continue;
        }
        // How far beyond the order's price the aggressor went.
        let beyond = f64::from(order.side) * (order.price - trades.prices[row]);
        if beyond == 0.0 {
            traded += trades.sizes[row];
        }
        if beyond > 0.0 || (beyond == 0.0 && traded >= order.ahead) {
            return Some(trades.times[row]);
        }
    }
    None
}

fn by_touches(order: &Posted, touches: Touches, until: i64) -> Option<i64> {
    let first = touches.times.partition_point(|&time| time <= order.from);
    let crossed = |row: &usize| {
        // A comparison with NaN, an unknown side, is false.
        if order.side > 0 { touches.asks[*row] <= order.price } else { touches.bids[*row] >= order.price }
    };
    (first..touches.times.len())
        .take_while(|&row| touches.times[row] <= until)
        .find(crossed)
        .map(|row| touches.times[row])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUIET: Touches = Touches { times: &[0, 100], bids: &[99.0, 99.0], asks: &[101.0, 101.0] };
    const BUY: Posted = Posted { from: 10, until: 50, side: 1, price: 99.0, ahead: 3.0 };

    fn fills(order: Posted, rows: &[(i64, f64, f64, i8)], touches: Touches) -> Option<i64> {
        let times: Vec<i64> = rows.iter().map(|row| row.0).collect();
        let prices: Vec<f64> = rows.iter().map(|row| row.1).collect();
        let sizes: Vec<f64> = rows.iter().map(|row| row.2).collect();
        let sides: Vec<i8> = rows.iter().map(|row| row.3).collect();
        let trades = Trades { times: &times, prices: &prices, sizes: &sizes, sides: &sides };
        first_fills(&[order], trades, touches).expect("fills")[0]
    }

    #[test]
    fn the_queue_ahead_trades_first() {
        let rows = [(10, 99.0, 9.0, -1), (20, 99.0, 2.0, -1), (25, 101.0, 9.0, 1), (30, 99.0, 1.0, -1)];
        // What traded at the instant of arrival went to those before it.
        assert_eq!(fills(BUY, &rows, QUIET), Some(30));
        assert_eq!(fills(Posted { ahead: 3.5, ..BUY }, &rows, QUIET), None);
        assert_eq!(fills(Posted { until: 29, ..BUY }, &rows, QUIET), None);
    }

    #[test]
    fn a_trade_beyond_the_price_fills_whatever_is_ahead() {
        assert_eq!(fills(Posted { ahead: 1e9, ..BUY }, &[(40, 98.9, 0.1, -1)], QUIET), Some(40));
        let sell = Posted { side: -1, price: 101.0, ..BUY };
        assert_eq!(fills(sell, &[(40, 101.1, 0.1, 1)], QUIET), Some(40));
        assert_eq!(fills(sell, &[(40, 101.1, 0.1, -1)], QUIET), None);
    }

    #[test]
    fn a_touch_that_reaches_the_price_fills_and_an_unknown_one_does_not() {
        let touches = Touches { times: &[5, 20, 30], bids: &[98.0; 3], asks: &[99.0, f64::NAN, 99.0] };
        assert_eq!(fills(BUY, &[], touches), Some(30));
        assert_eq!(fills(BUY, &[(25, 98.0, 1.0, -1)], touches), Some(25));
    }

    #[test]
    fn trades_of_unknown_side_fill_nothing() {
        assert_eq!(fills(BUY, &[(20, 98.0, 99.0, 0)], QUIET), None);
    }

    #[test]
    fn bad_input_is_refused_by_name() {
        let none = Trades { times: &[], prices: &[], sizes: &[], sides: &[] };
        for order in [Posted { side: 0, ..BUY }, Posted { until: 9, ..BUY }] {
            assert!(matches!(first_fills(&[order], none, QUIET), Err(StatsError::Grid { .. })));
        }
        let order = Posted { price: f64::NAN, ..BUY };
        assert_eq!(first_fills(&[order], none, QUIET), Err(StatsError::NotFinite { series: "orders", index: 0 }));
        let back = Touches { times: &[1, 0], ..QUIET };
        assert_eq!(first_fills(&[], none, back), Err(StatsError::NotAscending { series: "touches", index: 1 }));
        let short = Trades { times: &[1], ..none };
        let expected = StatsError::Lengths { series: "prices", times: 1, values: 0 };
        assert_eq!(first_fills(&[], short, QUIET), Err(expected));
        let bad = Trades { times: &[1], prices: &[f64::INFINITY], sizes: &[1.0], sides: &[1] };
        assert_eq!(first_fills(&[], bad, QUIET), Err(StatsError::NotFinite { series: "prices", index: 0 }));
        assert_eq!(first_fills(&[], none, QUIET), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn selling_is_buying_turned_over(
            mut rows in prop::collection::vec((0_i64..60, 97_i32..103, 0.1..3.0_f64, -1_i8..2), 0..30),
            mut quotes in prop::collection::vec((0_i64..60, 97_i32..100, 1_i32..4), 1..30),
            ahead in 0.0..5.0_f64,
        ) {
            rows.sort_by_key(|row| row.0);
            quotes.sort_by_key(|row| row.0);
            let times: Vec<i64> = quotes.iter().map(|row| row.0).collect();
            let bids: Vec<f64> = quotes.iter().map(|row| f64::from(row.1)).collect();
            let asks: Vec<f64> = quotes.iter().map(|row| f64::from(row.1 + row.2)).collect();
            let turned = |values: &[f64]| values.iter().map(|value| 200.0 - value).collect::<Vec<_>>();
            let trades: Vec<_> = rows.iter().map(|row| (row.0, f64::from(row.1), row.2, row.3)).collect();
            let mirrored: Vec<_> = trades.iter().map(|row| (row.0, 200.0 - row.1, row.2, -row.3)).collect();
            let order = Posted { ahead, ..BUY };
            let bought = fills(order, &trades, Touches { times: &times, bids: &bids, asks: &asks });
            let (lower, upper) = (turned(&asks), turned(&bids));
            let sold = fills(
                Posted { side: -1, price: 200.0 - order.price, ..order },
                &mirrored,
                Touches { times: &times, bids: &lower, asks: &upper },
            );
            prop_assert_eq!(bought, sold);
            // The slow model: every instant on its own.
            let slow = (order.from + 1..=order.until).find(|&now| {
                let beyond = trades.iter().any(|row| row.0 == now && row.3 == -1 && row.1 < order.price);
                let queue: f64 = trades
                    .iter()
                    .filter(|row| row.0 > order.from && row.0 <= now && row.3 == -1 && row.1 == order.price)
                    .map(|row| row.2)
                    .sum();
                let at = trades.iter().any(|row| row.0 == now && row.3 == -1 && row.1 == order.price);
                beyond || (at && queue >= ahead) || (0..times.len()).any(|k| times[k] == now && asks[k] <= order.price)
            });
            prop_assert_eq!(bought, slow);
        }
    }
}
