//! Where nothing but levels counts: no fixed costs, least sizes, budgets or limits of orders, and one lot for all venues.
//!
//! The cheapest split then takes every level whose net price is below the dual price, and of those at it what is missing.
//! Nothing has to be merged: levels are read venue by venue up to a guess of that price, which grows by what the guesses
//! before brought, until all venues together have enough; then the price is closed in upon among the levels read, and the
//! few that are left in between are sorted. What is read ahead stays with the venues' lots, so that the search can go on
//! from there if a level is no whole number of lots after all.

use super::super::RouteError;
use super::super::runs::{End, Lots, MAX_COST, Source, Until};
use super::{Mode, Place, Router, Split};

/// So many levels in between are sorted; with more venues as many as these.
const FEW: usize = 16;
/// The dual price is closed in upon so often at most.
const MOST_CUTS: usize = 8;

/// What one venue supplies at a net price: levels from the best on, and their size up to what the terms allow.
#[derive(Clone, Copy, Debug, Default)]
struct Cut {
    levels: usize,
    size: i64,
}

/// One venue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Its net prices are prices times this, negative where it is sold to.
    factor: i64,
    /// The greatest size.
    most: i64,
    /// Size of all levels read.
    read: i64,
    /// Below the dual price, at a guess, and above it.
    low: Cut,
    middle: Cut,
    high: Cut,
}

/// What a venue's part comes to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part {
    pub(super) size: i64,
    /// In price units times size units, before costs.
    pub(super) gross: i128,
    pub(super) cost: i128,
    /// The worst price, and the same net.
    pub(super) price: i64,
    pub(super) net: i64,
}

/// Whether sizes are whole lots, by a product: a number is a multiple of an odd one iff its product with that one's inverse
/// modulo 2^64 is small (Granlund and Montgomery, *Division by invariant integers using multiplication*, section 9).
#[derive(Clone, Copy, Debug)]
struct Whole {
    inverse: u64,
    shift: u32,
    most: u64,
}

impl Whole {
    /// Multiples of `lot`, above 0.
    fn new(lot: i64) -> Self {
        let lot = lot.unsigned_abs().max(1);
        let shift = lot.trailing_zeros();
        let odd = lot >> shift;
        // Right in 3 bits, and each step doubles how many.
        let mut inverse = odd;
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        }
        Self { inverse, shift, most: u64::MAX / lot }
    }

    #[inline]
    const fn divides(self, size: i64) -> bool {
        size.cast_unsigned().wrapping_mul(self.inverse).rotate_right(self.shift) <= self.most
    }
}

/// Whether a price is worse than another.
#[inline]
const fn is_worse<const BUY: bool>(price: i64, than: i64) -> bool {
    if BUY { price > than } else { price < than }
}

/// The worst price that is no more than a net one, which is a price times `factor`.
#[inline]
const fn price_at<const BUY: bool>(net: i64, factor: i64) -> i64 {
    let floor = net.div_euclid(factor.saturating_abs());
    if BUY { floor } else { floor.saturating_neg() }
}

/// How far the net price is to move for what is missing, if a move from one to the other brought so much.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // a guess, and what does not fit saturates
fn step((from, to): (i64, i64), missing: i64, brought: i64) -> i64 {
    ((to as f64 - from as f64) * (missing as f64 / brought as f64)) as i64
}

impl Router {
    /// The split, if the order is one that needs no search.
    pub(super) fn linear(&mut self, buy: bool, source: &mut impl Source) -> Result<Option<Split>, RouteError> {
        let venues = &self.venues[..self.places.len()];
        let is_plain = |(lots, place): (&Lots, &Place)| {
            !lots.is_lumpy() && lots.budget.is_none() && matches!(place.bounds.mode, Mode::Free | Mode::Unused)
        };
        if !self.equal || self.limited || !venues.iter().zip(&self.places).all(is_plain) {
            return Ok(None);
        }
        self.lines.clear();
        self.lines.extend(venues.iter().map(|lots| {
            let (none, most) = (Cut::default(), lots.allowed * lots.lot);
            Line { factor: lots.factor, most, read: 0, low: none, middle: none, high: none }
        }));
        if buy { self.merged::<true>(source) } else { self.merged::<false>(source) }
    }

    fn merged<const BUY: bool>(&mut self, source: &mut impl Source) -> Result<Option<Split>, RouteError> {
        let Some(filled) = self.fill::<BUY>(source) else { return Ok(None) };
        let found = self.count::<BUY>(filled);
        if !matches!(found, Ok(Some(_))) {
            self.parts.clear();
        }
        found
    }

    /// Cuts every line at the dual price, in `low`; how much that is, or `None` if net prices do not fit 64 bits or there
    /// is nothing at all.
    fn fill<const BUY: bool>(&mut self, source: &mut impl Source) -> Option<i64> {
        let size = self.size;
        let (mut guide, first) = self.read_touches::<BUY>(source)?;
        let (mut low, mut low_size) = (first, 0);
        // What the last guess brought.
        let (mut from, mut brought) = (first, 0);
        // In eighths. The deeper the price, the more venues take part, so the first guess goes less far than what is
        // missing; one that was not enough makes the next go further.
        let mut times = 6_i64;
        let (mut high, mut high_size) = loop {
            let far = if brought == 0 {
                i64::MAX
            } else {
                low.saturating_add((step((from, low), size - low_size, brought) / 8).saturating_mul(times))
            };
            let net = self.look_ahead::<BUY>(guide, far, source)?;
            let found = self.cut_at::<BUY>(net, source);
            if found >= size {
                break (net, found);
            }
            self.lines.iter_mut().for_each(|line| line.low = line.high);
            if net == far {
                times = if times == 6 { 9 } else { times.saturating_mul(2) };
            }
            (from, brought) = (low, found - low_size);
            (low, low_size) = (net, found);
            let Some(next) = self.guide() else { return Some(low_size) };
            guide = next;
        };
        for cut in 0..MOST_CUTS {
            let between: usize = self.lines.iter().map(|line| line.high.levels - line.low.levels).sum();
            if between <= FEW.max(self.lines.len()) || high.saturating_sub(low) <= 1 {
                break;
            }
            let net = if cut % 3 == 2 {
                low.saturating_add(high.saturating_sub(low) / 2)
            } else {
                low.saturating_add(step((low, high), size - low_size, high_size - low_size))
            };
            let net = net.clamp(low + 1, high - 1);
            let found = self.cut_between::<BUY>(net);
            if found >= size {
                (high, high_size) = (net, found);
                self.lines.iter_mut().for_each(|line| line.high = line.middle);
            } else {
                (low, low_size) = (net, found);
                self.lines.iter_mut().for_each(|line| line.low = line.middle);
            }
        }
        self.take_between(size - low_size)?;
        Some(size)
    }

    /// Reads the best level of each; whose is the best of all, and its net price.
    fn read_touches<const BUY: bool>(&mut self, source: &mut impl Source) -> Option<(usize, i64)> {
        let mut best: Option<(usize, i64)> = None;
        for (venue, (line, lots)) in self.lines.iter_mut().zip(&mut self.venues).enumerate() {
            if line.most == 0 {
                continue;
            }
            let until = Until { buy: BUY, price: 0, size: line.most, count: 1 };
            let read = source.read(venue, &until, &mut lots.levels);
            (line.read, lots.ended) = (read.size, read.ended);
            if let Some(&(price, _)) = lots.levels.first() {
                let net = price.checked_mul(line.factor)?;
                if best.is_none_or(|(_, least)| net < least) {
                    best = Some((venue, net));
                }
            }
        }
        best
    }

    /// The venue with a level more of which most levels are known.
    fn guide(&self) -> Option<usize> {
        let lines = self.lines.iter().zip(&self.venues).enumerate();
        let open = lines.filter(|(_, (line, lots))| line.low.levels < lots.levels.len() && line.low.size < line.most);
        open.max_by_key(|(_, (_, lots))| lots.levels.len()).map(|(venue, _)| venue)
    }

    /// The next guess of the dual price: `far`, or the net price of a level of the guide that is twice as far down as what
    /// is taken of it, if that is less; but one level more at least.
    fn look_ahead<const BUY: bool>(&mut self, guide: usize, far: i64, source: &mut impl Source) -> Option<i64> {
        let (line, lots) = (&mut self.lines[guide], &mut self.venues[guide]);
        let wanted = 2 * line.low.levels + 4;
        let ahead = wanted.saturating_sub(lots.levels.len());
        if ahead > 0 && !lots.ended && line.read < line.most {
            let price = price_at::<BUY>(far, line.factor);
            if lots.levels.last().is_none_or(|last| !is_worse::<BUY>(last.0, price)) {
                let until = Until { buy: BUY, price, size: line.most - line.read, count: ahead };
                let read = source.read(guide, &until, &mut lots.levels);
                (line.read, lots.ended) = (line.read.saturating_add(read.size), read.ended);
            }
        }
        let net = |at: usize| lots.levels.get(at).and_then(|level| level.0.checked_mul(line.factor));
        let last = net(wanted.min(lots.levels.len()) - 1)?;
        Some(far.min(last).max(net(line.low.levels)?))
    }

    /// Cuts every line at a net price, in `high`, and reads what it takes for that; the size of all.
    fn cut_at<const BUY: bool>(&mut self, net: i64, source: &mut impl Source) -> i64 {
        let mut total = 0_i64;
        for (venue, (line, lots)) in self.lines.iter_mut().zip(&mut self.venues).enumerate() {
            let price = price_at::<BUY>(net, line.factor);
            let within = |levels: &[(i64, i64)]| levels.last().is_some_and(|last| !is_worse::<BUY>(last.0, price));
            let known = if within(&lots.levels) {
                if !lots.ended && line.read < line.most {
                    let until = Until { buy: BUY, price, size: line.most - line.read, count: usize::MAX };
                    let read = source.read(venue, &until, &mut lots.levels);
                    (line.read, lots.ended) = (line.read.saturating_add(read.size), read.ended);
                }
                lots.levels.len() - usize::from(!within(&lots.levels))
            } else {
                0
            };
            line.high = match lots.levels.get(known) {
                // All that is known, or all but the last.
                None => Cut { levels: known, size: line.read.min(line.most) },
                Some(last) if known > 0 && line.read < i64::MAX => {
                    Cut { levels: known, size: (line.read - last.1).min(line.most) }
                }
                Some(_) => line.low.further::<BUY>(&lots.levels, price, line.most),
            };
            total = total.saturating_add(line.high.size);
        }
        total
    }

    /// Cuts every line at a net price between the two others, in `middle`; the size of all.
    fn cut_between<const BUY: bool>(&mut self, net: i64) -> i64 {
        let mut total = 0_i64;
        for (line, lots) in self.lines.iter_mut().zip(&self.venues) {
            let levels = &lots.levels[..line.high.levels];
            let price = price_at::<BUY>(net, line.factor);
            line.middle = line.low.further::<BUY>(levels, price, line.most);
            total = total.saturating_add(line.middle.size);
        }
        total
    }

    /// Takes of the levels in between the cheapest, of equal ones those of the first venue, until there is enough.
    fn take_between(&mut self, mut left: i64) -> Option<()> {
        self.order.clear();
        for (venue, (line, lots)) in self.lines.iter().zip(&self.venues).enumerate() {
            for at in line.low.levels..line.high.levels {
                self.order.push((lots.levels[at].0.checked_mul(line.factor)?, venue, at));
            }
        }
        self.order.sort_unstable();
        for &(_, venue, at) in &self.order {
            let line = &mut self.lines[venue];
            let taken = self.venues[venue].levels[at].1.min(left).min(line.most - line.low.size);
            line.low = Cut { levels: line.low.levels.max(at + 1), size: line.low.size + taken };
            left -= taken;
            if left == 0 {
                return Some(());
            }
        }
        None
    }

    /// What the lines come to as they are cut; `None` if a level is no whole number of lots or a cost does not fit.
    #[allow(clippy::cast_precision_loss)] // analytics begin here
    fn count<const BUY: bool>(&mut self, filled: i64) -> Result<Option<Split>, RouteError> {
        let lot = self.divisor;
        let whole = Whole::new(lot);
        let (mut cost, mut marginal) = (0_i128, i64::MIN);
        for (venue, (line, lots)) in self.lines.iter().zip(&self.venues).enumerate() {
            let Cut { levels, size } = line.low;
            let Some((last, before)) = lots.levels.get(..levels).and_then(<[_]>::split_last) else {
                self.parts.push(Part::default());
                continue;
            };
            // Of all but the last less than the most is taken, so sizes fit 63 bits and products with prices 126; mostly 63.
            let first = before.first().unwrap_or(last).0;
            let greatest = first.unsigned_abs().max(last.0.unsigned_abs());
            let is_narrow = i64::try_from(u128::from(greatest) * u128::from(size.unsigned_abs())).is_ok();
            let sum = if is_narrow {
                let sum = sum::<BUY, i64>(before, whole, |sum, price, size| sum.wrapping_add(price.wrapping_mul(size)));
                Sum { gross: i128::from(sum.gross), taken: sum.taken, is_whole: sum.is_whole, is_sorted: sum.is_sorted }
            } else {
                sum::<BUY, i128>(before, whole, |sum, price, size| sum + i128::from(price) * i128::from(size))
            };
            if !sum.is_sorted || before.last().is_some_and(|before| is_worse::<BUY>(before.0, last.0)) {
                let pairs = lots.levels.windows(2);
                let worse = pairs.filter(|pair| is_worse::<BUY>(pair[0].0, pair[1].0)).map(|pair| pair[1].0).next();
                return Err(RouteError::Unsorted { venue, price: worse.unwrap_or(last.0) });
            }
            let ragged = !sum.is_whole || !whole.divides(last.1);
            let gross = sum.gross + i128::from(last.0) * i128::from(size - sum.taken);
            let part = gross.checked_mul(i128::from(line.factor)).filter(|cost| cost.abs() <= MAX_COST);
            let (Some(part), Some(net), false) = (part, last.0.checked_mul(line.factor), ragged) else {
                return Ok(None);
            };
            self.best[venue] = if lot == 1 { size } else { size / lot };
            marginal = marginal.max(net);
            cost += part;
            self.parts.push(Part { size, gross, cost: part, price: last.0, net });
        }
        let mut is_constrained = false;
        for (line, lots) in self.lines.iter().zip(&mut self.venues) {
            is_constrained |= lots.is_constrained;
            if lots.ended && line.low.levels == lots.levels.len() {
                lots.end = End::Levels;
            }
        }
        Ok(Some(Split {
            filled,
            cost,
            bound: cost,
            relaxed: cost,
            is_optimal: true,
            marginal: marginal as f64,
            nodes: 1,
            is_constrained,
        }))
    }
}

/// What levels come to that are taken whole.
struct Sum<T> {
    gross: T,
    taken: i64,
    is_whole: bool,
    is_sorted: bool,
}

#[inline]
fn sum<const BUY: bool, T: Default>(levels: &[(i64, i64)], whole: Whole, add: impl Fn(T, i64, i64) -> T) -> Sum<T> {
    let (mut gross, mut taken, mut is_whole, mut is_sorted) = (T::default(), 0_i64, true, true);
    let mut last = levels.first().map_or(0, |level| level.0);
    for &(price, size) in levels {
        gross = add(gross, price, size);
        taken = taken.wrapping_add(size);
        is_whole &= whole.divides(size);
        is_sorted &= !is_worse::<BUY>(last, price);
        last = price;
    }
    Sum { gross, taken, is_whole, is_sorted }
}

impl Cut {
    /// The cut at a worse price.
    #[inline]
    fn further<const BUY: bool>(self, levels: &[(i64, i64)], price: i64, most: i64) -> Self {
        let Self { levels: mut at, mut size } = self;
        while let Some(level) = levels.get(at)
            && size < most
            && !is_worse::<BUY>(level.0, price)
        {
            size = size.saturating_add(level.1);
            at += 1;
        }
        Self { levels: at, size: size.min(most) }
    }
}
