//! A venue's levels from its touch on, in the market's common units.

use std::iter::FusedIterator;

use super::convert::{Conversion, NO_ASK, NO_BID};
use crate::book::Levels;
use crate::units::{Price, Side, Size};

/// One level of a venue, in common units and in its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LadderLevel {
    /// In common price units; see [`Conversion`] for the rounding.
    pub price: i64,
    /// In common size units of the base currency, rounded down.
    pub size: i64,
    /// The price that the venue knows it by.
    pub native_price: Price,
    /// Its size at the venue: base currency or contracts.
    pub native_size: Size,
}

/// The levels of one side of a venue from best to worst: the touch, then the levels of the book behind it. Levels that a
/// newer quote contradicts are not among them. Ends where prices leave the 64 bits of common prices.
#[derive(Clone, Debug)]
pub struct VenueLadder<'a> {
    side: Side,
    conversion: &'a Conversion,
    touch: Option<(Price, Size)>,
    behind: Option<Levels<'a>>,
}

impl<'a> VenueLadder<'a> {
    /// A ladder of these levels, `behind` without those at the touch or better.
    pub(super) const fn new(
        side: Side,
        conversion: &'a Conversion,
        touch: Option<(Price, Size)>,
        behind: Option<Levels<'a>>,
    ) -> Self {
        Self { side, conversion, touch, behind }
    }
}

impl Iterator for VenueLadder<'_> {
    type Item = LadderLevel;

    #[inline]
    fn next(&mut self) -> Option<LadderLevel> {
        let (native_price, native_size) = match self.touch.take() {
            Some(touch) => touch,
            None => self.behind.as_mut()?.next()?,
        };
        let price = self.conversion.price(self.side, native_price);
        if price == if self.side == Side::Bid { NO_BID } else { NO_ASK } {
            self.behind = None;
            return None;
        }
        Some(LadderLevel {
            price,
            size: self.conversion.base_size(native_price, native_size),
            native_price,
            native_size,
        })
    }
}

impl FusedIterator for VenueLadder<'_> {}
