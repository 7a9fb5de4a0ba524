//! Crosses with depth: each interval in which two venues overlap, and what walking both books brings over its life.

use super::walk::{Limits, Overlap, Terms, overlap};
use crate::market::Market;
use crate::units::Side;

/// What a cross was worth at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shot {
    /// The instant, ns.
    pub ts: i64,
    /// The trade that takes all of it, in whole lots.
    pub trade: Overlap,
    /// On which terms.
    pub terms: Terms,
    /// What the same would bring if sizes were not rounded to lots.
    pub unrounded: i128,
    /// What changing money at the touch of a rate's book instead of at its middle costs, in money of [`Overlap`], over both
    /// legs; 0 where both venues quote in the market's currency. The profit is net of it.
    pub conversion: i128,
}

/// One interval in which two venues overlap net of costs.
#[derive(Clone, Debug, PartialEq)]
pub struct DepthCross {
    /// Instrument to buy.
    pub buy: usize,
    /// Instrument to sell.
    pub sell: usize,
    /// First instant, ns.
    pub start: i64,
    /// First instant at which it is over, ns. An order that is there before it finds the cross; the time since `start` is
    /// the latency that catches it.
    pub end: i64,
    /// Whether a touch was lost or the data ended before it was over.
    pub censored: bool,
    /// The best net edge at the touch in bp of the buy price, fixed costs apart.
    pub best_edge_bp: f64,
    /// At its first instant.
    pub at_start: Shot,
    /// When the edge was best.
    pub at_best: Shot,
    /// When the profit was largest.
    pub at_most: Shot,
    /// As it was when it ended.
    pub at_end: Shot,
    /// The first instant at which half of the profit at the start, or less, was left, ns.
    pub halved: Option<i64>,
}

impl DepthCross {
    pub(super) fn open(buy: usize, sell: usize, edge_bp: f64, shot: Shot) -> Self {
        Self {
            buy,
            sell,
            start: shot.ts,
            end: shot.ts,
            censored: false,
            best_edge_bp: edge_bp,
            at_start: shot,
            at_best: shot,
            at_most: shot,
            at_end: shot,
            halved: None,
        }
    }

    pub(super) fn go_on(&mut self, edge_bp: f64, shot: Shot) {
        if edge_bp > self.best_edge_bp {
            (self.best_edge_bp, self.at_best) = (edge_bp, shot);
        }
        if shot.trade.profit > self.at_most.trade.profit {
            self.at_most = shot;
        }
        // Half, without the halving: profits are whole numbers.
        let half = shot.trade.profit.saturating_mul(2) <= self.at_start.trade.profit;
        if half && self.halved.is_none() {
            self.halved = Some(shot.ts);
        }
        self.at_end = shot;
    }
}

/// What buying at one venue and selling at another is worth now. `None` if a sum does not fit 127 bits.
pub(super) fn shoot(market: &Market, ts: i64, (buy, sell): (usize, usize), terms: Terms, step: i64) -> Option<Shot> {
    let (asks, bids) = (market.ladder(buy, Side::Ask)?, market.ladder(sell, Side::Bid)?);
    let trade = overlap(asks.clone(), bids.clone(), &terms, Limits::none(step))?;
    let unrounded = if step == 1 { trade.profit } else { overlap(asks, bids, &terms, Limits::none(1))?.profit };
    let spread = |venue: usize, side: Side| {
        let touch = market.venues().get(venue)?.touch()?;
        let (price, _) = touch.quote.side(side)?;
        let conversion = market.conversion(venue)?;
        Some(i128::from(conversion.ask(price)) - i128::from(conversion.bid(price)))
    };
    // Half the spread of the rate on each leg, in 10^-9.
    let conversion = match (spread(buy, Side::Ask)?, spread(sell, Side::Bid)?) {
        (0, 0) => 0,
        (paid, got) => (paid + got).checked_mul(i128::from(trade.size))?.checked_mul(i128::from(super::BILLION))? / 2,
    };
    Some(Shot { ts, trade, terms, unrounded, conversion })
}
