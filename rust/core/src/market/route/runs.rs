//! What one venue offers, lot by lot: runs of lots of one net cost, pulled from its levels as they are needed.

use super::RouteError;

/// Costs stay below this, so that sums over venues and products with parts of a lot fit 127 bits.
pub(super) const MAX_COST: i128 = 1 << 108;

/// What a router must know of a venue besides its levels. Sizes are in common size units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// 10^9 plus the proportional cost in parts per billion where the venue is bought from, 10^9 less it where it is sold
    /// to: a price times this is the net price.
    pub factor: i64,
    /// What an order costs whatever its size, in 10^-9 of price unit times size unit.
    pub fixed: i128,
    /// Sizes of orders are multiples of this.
    pub lot: i64,
    /// The least size of an order.
    pub min: i64,
    /// The greatest size of an order.
    pub max: i64,
    /// The most that may be paid, costs included, in units of `fixed`.
    pub budget: Option<i128>,
    /// Whether the venue must have an order.
    pub required: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self { factor: 1_000_000_000, fixed: 0, lot: 1, min: 0, max: i64::MAX, budget: None, required: false }
    }
}

/// How far to read levels at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// Whether the venue is bought from, so that prices ascend; else they descend.
    pub buy: bool,
    /// Up to the first level beyond this price, which is read too.
    pub price: i64,
    /// Up to the level with which sizes read come to this.
    pub size: i64,
    /// So many levels at most.
    pub count: usize,
}

impl Until {
    /// Whether a price lies beyond.
    #[inline]
    #[must_use]
    pub const fn is_before(&self, price: i64) -> bool {
        if self.buy { price > self.price } else { price < self.price }
    }
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Sum of the sizes; the greatest of 64 bits if it is more.
    pub size: i64,
    /// Whether there are no more levels.
    pub ended: bool,
}

/// Where levels come from.
pub trait Source {
    /// The next level of a venue in common units, price and size, from best to worst; `None` at the end.
    fn next(&mut self, venue: usize) -> Option<(i64, i64)>;

    /// Appends the next levels of a venue, but none without a size. It says the same as [`Self::next`] again and again.
    #[inline]
    fn read(&mut self, venue: usize, until: &Until, out: &mut Vec<(i64, i64)>) -> Read {
        read_each(|| self.next(venue), until, out)
    }
}

/// Levels one by one, as [`Source::read`] has them.
#[inline]
pub(in super::super) fn read_each(
    mut next: impl FnMut() -> Option<(i64, i64)>,
    until: &Until,
    out: &mut Vec<(i64, i64)>,
) -> Read {
    let mut read = Read::default();
    let most = out.len().saturating_add(until.count);
    while out.len() < most {
        let Some((price, size)) = next() else {
            read.ended = true;
            break;
        };
        if size <= 0 {
            continue;
        }
        out.push((price, size));
        read.size = read.size.saturating_add(size);
        if until.is_before(price) || read.size >= until.size {
            break;
        }
    }
    read
}

/// Slices of levels, for tests and for ladders that are at hand.
#[derive(Debug)]
pub struct Slices<'a> {
    levels: &'a [&'a [(i64, i64)]],
    next: Vec<usize>,
}

impl<'a> Slices<'a> {
    /// A source of these ladders, a slice each.
    #[must_use]
    pub fn new(levels: &'a [&'a [(i64, i64)]]) -> Self {
        Self { levels, next: vec![0; levels.len()] }
    }

    /// From the best levels again.
    pub fn rewind(&mut self) {
        self.next.fill(0);
    }
}

impl Source for Slices<'_> {
    #[inline]
    fn next(&mut self, venue: usize) -> Option<(i64, i64)> {
        let next = self.next.get_mut(venue)?;
        let level = self.levels.get(venue)?.get(*next).copied();
        *next += 1;
        level
    }
}

/// A cost for a size, as an exact fraction that orders as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slope {
    /// Cost per size unit, rounded down.
    floor: i128,
    /// What is left of the cost, below the size.
    rest: i64,
    size: i64,
}

impl Slope {
    /// Above all others.
    pub(super) const MAX: Self = Self { floor: i128::MAX, rest: 0, size: 1 };

    #[inline]
    pub(super) fn new(cost: i128, size: i64) -> Self {
        let wide = i128::from(size);
        let (floor, rest) = (cost.div_euclid(wide), cost.rem_euclid(wide));
        // Below the size, so it fits.
        Self { floor, rest: i64::try_from(rest).unwrap_or(i64::MAX), size }
    }

    #[inline]
    pub(super) fn is_below(self, other: Self) -> bool {
        self.floor < other.floor || (self.floor == other.floor && self.rest_is_below(other))
    }

    #[inline]
    fn rest_is_below(self, other: Self) -> bool {
        i128::from(self.rest) * i128::from(other.size) < i128::from(other.rest) * i128::from(self.size)
    }

    pub(super) const fn floor(self) -> i128 {
        self.floor
    }

    /// What a size below its own costs at this slope, rounded up.
    pub(super) fn cost(self, size: i64) -> i128 {
        let rest = i128::from(size) * i128::from(self.rest);
        i128::from(size) * self.floor - (-rest).div_euclid(i128::from(self.size))
    }

    #[allow(clippy::cast_precision_loss)] // analytics begin here
    pub(super) fn to_f64(self) -> f64 {
        self.floor as f64 + self.rest as f64 / self.size as f64
    }
}

/// Lots that cost the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Of one lot.
    pub(super) slope: Slope,
    pub(super) cost: i128,
    pub(super) lots: i64,
    /// Lots and cost of all runs before.
    pub(super) lots_before: i64,
    pub(super) cost_before: i128,
    /// The worst price that a lot of the run trades at.
    pub(super) price: i64,
}

/// Why a venue's lots end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// They do not, as far as was looked.
    Open,
    /// The levels ended.
    Levels,
    /// The greatest size or the budget is reached.
    Terms,
}

/// A venue's lots so far.
#[derive(Clone, Debug)]
pub(super) struct Lots {
    /// Levels that were read ahead, and how many of them are in the lots.
    pub(super) levels: Vec<(i64, i64)>,
    used: usize,
    /// Whether its source has no more of them.
    pub(super) ended: bool,
    pub(super) runs: Vec<Run>,
    pub(super) lot: i64,
    pub(super) min: i64,
    pub(super) fixed: i128,
    /// A price times this is the net cost of a size unit: negative where the venue is sold to.
    pub(super) factor: i64,
    pub(super) budget: Option<i128>,
    /// Lots that the size wanted and the terms allow.
    pub(super) allowed: i64,
    /// Lots and cost of all runs.
    pub(super) lots: i64,
    cost: i128,
    /// Size and cost of levels that make no whole lot yet.
    carry: i64,
    carry_cost: i128,
    price: Option<i64>,
    pub(super) end: End,
    /// Whether the terms end it before the size that is wanted does.
    pub(super) is_constrained: bool,
}

impl Lots {
    pub(super) const fn new() -> Self {
        Self {
            levels: Vec::new(),
            used: 0,
            ended: false,
            runs: Vec::new(),
            lot: 1,
            min: 0,
            fixed: 0,
            factor: 0,
            budget: None,
            allowed: 0,
            lots: 0,
            cost: 0,
            carry: 0,
            carry_cost: 0,
            price: None,
            end: End::Open,
            is_constrained: false,
        }
    }

    /// Forgets the levels and keeps the memory. `sign` is 1 for buying, -1 for selling.
    pub(super) fn reset(&mut self, venue: usize, terms: &Terms, size: i64, sign: i64) -> Result<(), RouteError> {
        if terms.lot <= 0 || terms.min < 0 || terms.max < 0 {
            return Err(RouteError::Terms { venue, what: "a lot above 0, a least and a greatest size from 0 on" });
        }
        if terms.factor <= 0 {
            return Err(RouteError::Terms { venue, what: "a proportional cost below 100 %" });
        }
        if terms.fixed < 0 || terms.fixed > MAX_COST {
            return Err(RouteError::Terms { venue, what: "a fixed cost of at least 0" });
        }
        self.levels.clear();
        (self.used, self.ended) = (0, false);
        self.runs.clear();
        self.lot = terms.lot;
        self.factor = sign * terms.factor;
        self.fixed = terms.fixed;
        self.budget = terms.budget;
        (self.allowed, self.min) = if terms.lot == 1 {
            (terms.max.min(size), terms.min.max(1))
        } else {
            (terms.max.min(size) / terms.lot, ((terms.min - 1).div_euclid(terms.lot) + 1).max(1))
        };
        (self.lots, self.cost) = (0, 0);
        (self.carry, self.carry_cost, self.price) = (0, 0, None);
        self.is_constrained = terms.max < size;
        self.end = if self.allowed < self.min { End::Terms } else { End::Open };
        Ok(())
    }

    /// Whether an order has costs that do not grow with it, or a least size of more than a lot.
    #[inline]
    pub(super) const fn is_lumpy(&self) -> bool {
        self.fixed > 0 || self.min > 1
    }

    /// Reads levels until there is a run more; false if there is none.
    #[inline]
    pub(super) fn pull(&mut self, venue: usize, source: &mut impl Source) -> Result<bool, RouteError> {
        let before = self.runs.len();
        while self.end == End::Open && self.runs.len() == before {
            let Some((price, size)) = self.next(venue, source) else {
                self.end = End::Levels;
                break;
            };
            if size <= 0 {
                continue;
            }
            if self.price.is_some_and(|last| if self.factor > 0 { price < last } else { price > last }) {
                return Err(RouteError::Unsorted { venue, price });
            }
            self.price = Some(price);
            self.add(venue, price, size)?;
        }
        Ok(self.runs.len() > before)
    }

    #[inline]
    fn next(&mut self, venue: usize, source: &mut impl Source) -> Option<(i64, i64)> {
        if let Some(level) = self.levels.get(self.used) {
            self.used += 1;
            return Some(*level);
        }
        if self.ended { None } else { source.next(venue) }
    }

    #[inline(always)]
    fn add(&mut self, venue: usize, price: i64, size: i64) -> Result<(), RouteError> {
        // |price · factor| < 2^93.
        let unit = i128::from(price) * i128::from(self.factor);
        // No more than the size wanted is looked at, so that a far level of any size does no harm.
        let mut rest = size.min((self.allowed - self.lots) * self.lot - self.carry);
        if self.carry > 0 {
            let missing = (self.lot - self.carry).min(rest);
            let cost = self.carry_cost + checked(unit, missing, venue)?;
            rest -= missing;
            if self.carry + missing < self.lot {
                (self.carry, self.carry_cost) = (self.carry + missing, cost);
                return Ok(());
            }
            (self.carry, self.carry_cost) = (0, 0);
            self.push(venue, Slope::new(cost, self.lot), cost, 1, price)?;
        }
        if self.lot == 1 {
            self.push(venue, Slope { floor: unit, rest: 0, size: 1 }, unit, rest, price)
        } else {
            let lots = rest / self.lot;
            if lots > 0 && self.end == End::Open {
                let cost = checked(unit, self.lot, venue)?;
                self.push(venue, Slope { floor: unit, rest: 0, size: self.lot }, cost, lots, price)?;
            }
            self.carry = rest - lots * self.lot;
            self.carry_cost = checked(unit, self.carry, venue)?;
            Ok(())
        }
    }

    #[inline(always)]
    fn push(&mut self, venue: usize, slope: Slope, cost: i128, lots: i64, price: i64) -> Result<(), RouteError> {
        let room = self.allowed - self.lots;
        let mut lots = if lots >= room {
            self.end = End::Terms;
            room
        } else {
            lots
        };
        if let Some(budget) = self.budget
            && cost > 0
        {
            let left = budget.saturating_sub(self.fixed).saturating_sub(self.cost).max(0) / cost;
            if left < i128::from(lots) {
                (self.end, self.is_constrained) = (End::Terms, true);
                lots = i64::try_from(left).unwrap_or(lots);
            }
        }
        if lots <= 0 {
            return Ok(());
        }
        self.runs.push(Run { slope, cost, lots, lots_before: self.lots, cost_before: self.cost, price });
        self.lots += lots;
        self.cost += checked(cost, lots, venue)?;
        if self.cost.abs() > MAX_COST { Err(RouteError::Overflow { venue }) } else { Ok(()) }
    }

    /// What so many lots cost without the fixed cost; they have been pulled.
    #[inline]
    pub(super) fn cost_of(&self, lots: i64, hint: usize) -> i128 {
        match self.runs.get(hint).filter(|run| run.lots_before <= lots) {
            Some(run) => run.cost_before + i128::from(lots - run.lots_before) * run.cost,
            None => self.cost,
        }
    }
}

#[inline]
fn checked(unit: i128, count: i64, venue: usize) -> Result<i128, RouteError> {
    // A product of less than 2^64 and 2^63 fits; the check of one that may not costs more than the product.
    if unit.unsigned_abs() >> 64 == 0 {
        let cost = unit * i128::from(count);
        return if cost.abs() <= MAX_COST { Ok(cost) } else { Err(RouteError::Overflow { venue }) };
    }
    checked_slowly(unit, count, venue)
}

#[inline(never)]
fn checked_slowly(unit: i128, count: i64, venue: usize) -> Result<i128, RouteError> {
    unit.checked_mul(i128::from(count)).filter(|cost| cost.abs() <= MAX_COST).ok_or(RouteError::Overflow { venue })
}
