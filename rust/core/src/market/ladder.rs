//! A venue's levels from its touch on, in the market's common units.

use std::iter::FusedIterator;

use super::convert::{Conversion, NO_ASK, NO_BID};
use super::route::{Read, Until, read_each};
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

impl VenueLadder<'_> {
    /// Appends the next levels, common price and size; see [`Source::read`](super::route::Source::read).
    #[inline]
    pub(super) fn read(&mut self, until: &Until, out: &mut Vec<(i64, i64)>) -> Read {
        // Of both sides' prices the greater is the worse once they are turned; the worst of all stands for no price.
        let turn = if until.buy { 0 } else { -1 };
        let worst = (until.price ^ turn).min(i64::MAX - 1);
        let (mut room, mut left) = (until.size, until.count);
        if let (Some((prices, sizes)), Some(behind), None) = (self.conversion.plain(), &mut self.behind, &self.touch)
            && left > 0
        {
            let mut fits = true;
            let found = behind.until(|price, size| {
                let Some(price) = price.0.checked_mul(prices) else {
                    fits = false;
                    return true;
                };
                let size = size.0.checked_mul(sizes).unwrap_or(i64::MAX);
                out.push((price, size));
                room -= size;
                left -= 1;
                price ^ turn > worst || room <= 0 || left == 0
            });
            let size = until.size.saturating_sub(room);
            match out.last() {
                Some(last) if found && fits && last.0 ^ turn == i64::MAX => {
                    out.pop();
                    fits = false;
                }
                _ => {}
            }
            if found {
                if !fits {
                    self.behind = None;
                }
                return Read { size, ended: !fits };
            }
        }
        let rest = Until { size: room, count: left, ..*until };
        let read = read_each(|| self.next().map(|level| (level.price, level.size)), &rest, out);
        Read { size: until.size.saturating_sub(room).saturating_add(read.size), ..read }
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
