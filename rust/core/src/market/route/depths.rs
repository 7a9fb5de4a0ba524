//! Books and pools to be routed over without a market, any number of them.

use super::dual::{Depth, DualRouter, PoolOffer};
use super::runs::{Source, Terms};
use super::{Order, RouteError, RouteSwap};
use crate::cost::{Affine, Amount};
use crate::pool::{Curve, Exact, Pool, PoolError, Scale, Token, U256};
use crate::units::{Price, Side, Size, Unit};

/// Where one can trade.
#[derive(Clone, Debug)]
enum Venue {
    /// Levels of bids and asks, best first, price and size.
    Book([Vec<(i64, i64)>; 2]),
    /// A pool, its curve, how it is read, and what a raw unit of its quote token is.
    Pool(Box<Pooled>),
}

#[derive(Clone, Debug)]
struct Pooled {
    pool: Pool,
    curve: Curve,
    scale: Scale,
    worth: (U256, U256),
}

/// What trading at a venue costs, and which orders it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthTerms {
    /// Costs of buying and of selling, by [`Side`], on top of a pool's own fee.
    pub costs: [Affine; 2],
    /// Sizes of orders are multiples of this, in size units.
    pub lot: i64,
    /// The least size of an order.
    pub min: i64,
    /// The greatest.
    pub max: i64,
}

impl Default for DepthTerms {
    fn default() -> Self {
        Self { costs: [Affine::ZERO; 2], lot: 1, min: 0, max: i64::MAX }
    }
}

/// An order over all venues.
#[derive(Clone, Copy, Debug)]
pub struct DepthOrder {
    /// [`Side::Bid`] buys.
    pub side: Side,
    /// In size units.
    pub size: i64,
    /// The worst price before costs, in price units.
    pub limit: Option<i64>,
    /// With at most so many venues.
    pub max_venues: usize,
    /// After so many nodes the search gives up its proof.
    pub max_nodes: u64,
}

/// A venue's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthLeg {
    /// Index of the venue.
    pub venue: usize,
    /// In size units.
    pub size: i64,
    /// What is paid with all costs, or received net of them: exact, rounded against the user.
    pub total: Amount,
    /// The worst price, in price units: the limit of the order to send.
    pub worst: Price,
    /// The swap, of a pool.
    pub swap: Option<RouteSwap>,
}

/// How an order is split.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DepthRoute {
    /// The parts, in the order of the venues.
    pub legs: Vec<DepthLeg>,
    /// The size traded.
    pub filled: i64,
    /// What is paid with all costs, or received net of them.
    pub total: Amount,
    /// By how much a better split of the size could be cheaper at most; `None` if that is not known.
    pub gap: Option<Amount>,
    /// As in [`super::Split::is_optimal`].
    pub is_optimal: bool,
    /// Net price of the last of the size, in price units.
    pub marginal: f64,
    /// Nodes of the search.
    pub nodes: u64,
}

/// Books and pools with their terms, and a router over all of them.
#[derive(Debug)]
pub struct Depths {
    price_unit: Unit,
    size_unit: Unit,
    venues: Vec<(Venue, DepthTerms)>,
    router: DualRouter,
    terms: Vec<Terms>,
    next: Vec<usize>,
}

/// The venues during one search.
struct Walk<'a> {
    venues: &'a [(Venue, DepthTerms)],
    next: &'a mut [usize],
    side: usize,
    limit: Option<i64>,
}

impl Source for Walk<'_> {
    #[inline]
    fn next(&mut self, venue: usize) -> Option<(i64, i64)> {
        let (Venue::Book(sides), _) = self.venues.get(venue)? else { return None };
        let next = self.next.get_mut(venue)?;
        let level = sides.get(self.side)?.get(*next).copied()?;
        let beyond = self.limit.is_some_and(|limit| if self.side == 1 { level.0 > limit } else { level.0 < limit });
        *next += 1;
        (!beyond).then_some(level)
    }
}

impl Depth for Walk<'_> {
    #[inline]
    fn pool(&self, venue: usize) -> Option<PoolOffer<'_>> {
        let (Venue::Pool(pooled), _) = self.venues.get(venue)? else { return None };
        let Pooled { pool, curve, scale, worth } = &**pooled;
        let limit = self.limit.filter(|limit| self.side == 1 || *limit > 0).map(Price);
        Some(PoolOffer { pool, curve, scale, worth, limit })
    }
}

impl Depths {
    /// No venue yet. Prices and sizes are counts of these units, which must be powers of ten.
    ///
    /// # Errors
    /// [`RouteError::Unit`] if they are not.
    pub fn new(price_unit: Unit, size_unit: Unit) -> Result<Self, RouteError> {
        if price_unit.mantissa() != 1 || size_unit.mantissa() != 1 {
            return Err(RouteError::Unit);
        }
        let (venues, terms, next) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { price_unit, size_unit, venues, router: DualRouter::new(), terms, next })
    }

    /// How many venues there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.venues.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.venues.is_empty()
    }

    fn set(&mut self, index: usize, venue: Venue, terms: DepthTerms) {
        let nothing = || (Venue::Book([Vec::new(), Vec::new()]), DepthTerms::default());
        self.venues.resize_with(self.venues.len().max(index + 1), nothing);
        if let Some(place) = self.venues.get_mut(index) {
            *place = (venue, terms);
        }
    }

    /// A venue is a book with these levels, best first; without any it takes no part.
    ///
    /// # Errors
    /// [`RouteError::Unsorted`] if they are not; [`RouteError::Level`] for a size that is not above zero.
    pub fn set_book(
        &mut self,
        index: usize,
        bids: Vec<(i64, i64)>,
        asks: Vec<(i64, i64)>,
        terms: DepthTerms,
    ) -> Result<(), RouteError> {
        for (side, sign) in [(&bids, -1_i128), (&asks, 1)] {
            if let Some((price, size)) = side.iter().find(|level| level.1 <= 0) {
                return Err(RouteError::Level { venue: index, price: *price, size: *size });
            }
            let falls = side.windows(2).find(|pair| i128::from(pair[1].0) * sign < i128::from(pair[0].0) * sign);
            if let Some(pair) = falls {
                return Err(RouteError::Unsorted { venue: index, price: pair[1].0 });
            }
        }
        self.set(index, Venue::Book([bids, asks]), terms);
        Ok(())
    }

    /// A venue is a pool in this state; `base` is the token that sizes are counted in.
    ///
    /// # Errors
    /// [`PoolError`] if its tokens' decimals do not fit the units.
    pub fn set_pool(
        &mut self,
        index: usize,
        pool: Pool,
        base: Token,
        decimals: [u8; 2],
        terms: DepthTerms,
    ) -> Result<(), PoolError> {
        let scale = Scale::new(base, decimals, self.price_unit, self.size_unit)?;
        let (worth, curve) = (PoolOffer::worth_of(&scale)?, Curve::from(&pool));
        self.set(index, Venue::Pool(Box::new(Pooled { pool, curve, scale, worth })), terms);
        Ok(())
    }

    /// Amounts in 10^-9 of price unit times size unit, as a power of ten.
    fn exponent(&self) -> i32 {
        i32::from(self.price_unit.exponent()) + i32::from(self.size_unit.exponent()) + 9
    }

    fn counts(&self, amount: Amount) -> i128 {
        let power = 10_i128.checked_pow(self.exponent().unsigned_abs()).unwrap_or(i128::MAX);
        if self.exponent() >= 0 { -(-amount.0).div_euclid(power) } else { amount.0.saturating_mul(power) }
    }

    fn amount(&self, counts: i128) -> Amount {
        let power = 10_i128.checked_pow(self.exponent().unsigned_abs()).unwrap_or(i128::MAX);
        Amount(if self.exponent() >= 0 { counts.saturating_mul(power) } else { -(-counts).div_euclid(power) })
    }

    /// Splits an order over all venues. A route that trades less than the size says so in `filled`.
    ///
    /// # Errors
    /// [`RouteError`] if the order or the terms cannot be, or numbers are too large for exact sums.
    pub fn route(&mut self, order: &DepthOrder) -> Result<DepthRoute, RouteError> {
        let buy = order.side == Side::Bid;
        let taken = order.side.opposite();
        let mut terms = std::mem::take(&mut self.terms);
        terms.clear();
        terms.extend(self.venues.iter().map(|(_, own)| {
            let cost = own.costs[order.side as usize];
            let rate = if buy { cost.rate.0 } else { cost.rate.0.saturating_neg() };
            let (fixed, factor) = (self.counts(cost.fixed), 1_000_000_000_i64.saturating_add(rate));
            Terms { factor, fixed, lot: own.lot, min: own.min, max: own.max, budget: None, required: false }
        }));
        let found = self.search(order, taken, &terms);
        self.terms = terms;
        found
    }

    fn search(&mut self, order: &DepthOrder, taken: Side, terms: &[Terms]) -> Result<DepthRoute, RouteError> {
        if self.venues.is_empty() {
            return Err(RouteError::NoVenue);
        }
        self.next.clear();
        self.next.resize(self.venues.len(), 0);
        let (side, limit) = (taken as usize, order.limit);
        let mut walk = Walk { venues: &self.venues, next: &mut self.next, side, limit };
        let DepthOrder { size, max_venues, max_nodes, .. } = *order;
        let buy = order.side == Side::Bid;
        let split = self.router.split(&Order { buy, size, max_venues, max_nodes }, terms, &mut walk)?;
        let mut route = DepthRoute {
            filled: split.filled,
            total: self.amount(split.cost),
            gap: (split.bound != i128::MIN).then(|| self.amount((split.cost - split.bound).max(0))),
            is_optimal: split.is_optimal,
            marginal: split.marginal.abs() / 1e9,
            nodes: split.nodes,
            ..DepthRoute::default()
        };
        for (index, lots) in self.router.lots().iter().enumerate().filter(|(_, lots)| **lots > 0) {
            let size = lots * terms.get(index).map_or(1, |terms| terms.lot);
            let total = self.amount(self.router.cost_of(index));
            let (worst, swap) = self.end(index, size, taken).ok_or(RouteError::Overflow { venue: index })?;
            route.legs.push(DepthLeg { venue: index, size, total: signed(total, buy), worst, swap });
        }
        route.total = signed(route.total, buy);
        Ok(route)
    }

    /// The worst price of a venue's part, and the swap of a pool.
    fn end(&self, index: usize, size: i64, side: Side) -> Option<(Price, Option<RouteSwap>)> {
        let Venue::Pool(pooled) = &self.venues.get(index)?.0 else {
            return Some((Price(self.router.last_of(index)?.0), None));
        };
        let Pooled { pool, scale, .. } = &**pooled;
        let exact = match side {
            Side::Ask => Exact::Out(scale.raw_size_up(Size(size))?),
            Side::Bid => Exact::In(scale.raw_size(Size(size))?),
        };
        let fill = pool.fill(scale.token_in(side), exact).ok()?;
        let price_after = pool.price_after(&fill, scale, side).ok()?;
        let (last, _) = pool.last_price(&fill, scale, side).ok()?;
        Some((last, Some(RouteSwap { venue: index, trade: fill.trade, fee: fill.fee, price_after })))
    }
}

/// A cost as what is paid, or received.
const fn signed(cost: Amount, buy: bool) -> Amount {
    if buy { cost } else { Amount(-cost.0) }
}
