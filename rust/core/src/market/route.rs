//! Routing: the cheapest way to trade a size over several venues.
//!
//! [`Market::route`] splits an order over the venues that count now so that it costs least, net of each venue's
//! proportional and fixed costs, in whole lots, within least and greatest sizes, balances, a limit price and a number of
//! venues. What comes first is the size: as much of it as can be traded, then at the least cost. Sums are exact integers
//! and the search (`search.rs`) is branch and bound over an exact relaxation, so the answer is proven optimal, or says by
//! how much at most it may be dearer than the best.
//!
//! The book may be someone else's by the time an order arrives: a route is what the books show at [`Market::now`].
//!
//! Contracts whose size in base currency depends on the price (inverse) cannot be summed to the lot. They are routed as
//! if they could be split at will, then cut to whole contracts, and what that leaves is routed over the other venues; the
//! answer then states a gap.

mod answer;
mod depths;
mod dual;
#[cfg(test)]
mod exhaustive;
mod legs;
mod pools;
mod runs;
mod search;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use self::answer::{LeftOut, Route, RouteLeg, RouteSwap, Shortfall};
pub use self::depths::{DepthLeg, DepthOrder, DepthRoute, DepthTerms, Depths};
pub use self::dual::{Depth, DualRouter, Offers, PoolOffer};
use self::legs::{Money, contracts, costs, is_exact, known_leg, leg, touch_contract};
use self::pools::Offered;
pub(super) use self::runs::read_each;
pub use self::runs::{Read, Slices, Source, Terms, Until};
pub use self::search::{Order, Router, Split};
use super::{LadderLevel, Market, Status, VenueLadder};
use crate::cost::{Affine, Amount};
use crate::instrument::Contract;
use crate::units::{Price, Side, Size};

/// Why an order cannot be routed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RouteError {
    /// No size to trade.
    #[error("size: expected more than 0, found {0} common size units")]
    Size(i64),
    /// The notional does not pay for the least size.
    #[error("notional: expected enough for the least size, found {0}")]
    Notional(Amount),
    /// The size is no sum of lots.
    #[error("size: expected a multiple of {lot} common size units, which the venues' lots divide by, found {size}")]
    OffLot {
        /// The size wanted.
        size: i64,
        /// Greatest common divisor of the lots.
        lot: i64,
    },
    /// A list does not fit the market.
    #[error("{what}: expected {expected}, one an instrument, found {found}")]
    Length {
        /// Which list.
        what: &'static str,
        /// How many instruments there are.
        expected: usize,
        /// How many there were.
        found: usize,
    },
    /// A venue's terms cannot be.
    #[error("venue {venue}: expected {what}")]
    Terms {
        /// Index of the venue.
        venue: usize,
        /// What was expected.
        what: &'static str,
    },
    /// A venue's levels do not come from best to worst.
    #[error("venue {venue}: expected levels from best to worst, found {price} after a worse one")]
    Unsorted {
        /// Index of the venue.
        venue: usize,
        /// The common price that is out of order.
        price: i64,
    },
    /// Costs of a venue are too great for exact sums.
    #[error("venue {venue}: expected costs below 2^108 of price unit times size unit times 10^-9")]
    Overflow {
        /// Index of the venue.
        venue: usize,
    },
    /// A venue that must have an order cannot take its least size.
    #[error("venue {venue}: expected enough to trade for its least order, as the venue is required")]
    Required {
        /// Index of the venue.
        venue: usize,
    },
    /// Units of a router without a market.
    #[error("units: expected powers of ten")]
    Unit,
    /// A level without a size.
    #[error("venue {venue}: expected sizes above 0, found {size} at {price}")]
    Level {
        /// Index of the venue.
        venue: usize,
        /// The level's price.
        price: i64,
        /// The level's size.
        size: i64,
    },
    /// There is nothing that could be traded.
    #[error("expected a venue to trade at, all are left out")]
    NoVenue,
}

/// How much to trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// So many common size units of the base currency.
    Size(i64),
    /// As much as can be bought for this, costs included, or sold without bringing more than this, net of costs.
    Notional(Amount),
}

/// What a route may do at one venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VenueBounds {
    /// Whether it may trade there at all.
    pub allowed: bool,
    /// Whether it must.
    pub required: bool,
    /// The least size of an order, in common size units.
    pub min: i64,
    /// The greatest.
    pub max: i64,
    /// Base currency that is there to be sold, in common size units; `None`: any.
    pub base: Option<i64>,
    /// Quote currency that is there to pay with, costs included; `None`: any.
    pub quote: Option<Amount>,
}

impl Default for VenueBounds {
    fn default() -> Self {
        Self { allowed: true, required: false, min: 0, max: i64::MAX, base: None, quote: None }
    }
}

/// An order to be routed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// [`Side::Bid`] buys.
    pub side: Side,
    /// How much.
    pub quantity: Quantity,
    /// The worst price, gross, in common price units.
    pub limit: Option<i64>,
    /// What trading costs, by instrument; the taker fees of the market if empty.
    pub costs: &'a [Affine],
    /// By instrument; none if empty.
    pub bounds: &'a [VenueBounds],
    /// With at most so many venues.
    pub max_venues: usize,
    /// After so many nodes the search gives up its proof.
    pub max_nodes: u64,
}

impl Request<'_> {
    /// An order for a size without a limit or bounds, at the market's taker fees.
    #[must_use]
    pub const fn size(side: Side, size: i64) -> Self {
        Self {
            side,
            quantity: Quantity::Size(size),
            limit: None,
            costs: &[],
            bounds: &[],
            max_venues: usize::MAX,
            max_nodes: 10_000,
        }
    }
}

/// Splits orders over the venues of a market. Keep it: once warm it does not allocate.
#[derive(Debug, Default)]
pub struct MarketRouter {
    router: Router,
    /// Instead of it where a venue is a pool.
    dual: DualRouter,
    /// By venue: whether it is a pool that is asked itself; whether any is.
    pools: Vec<bool>,
    has_pool: bool,
    terms: Vec<Terms>,
    venues: Vec<usize>,
    /// By venue: whether its sizes depend on the price.
    inverse: Vec<bool>,
    /// By venue: whether common prices and sizes are exactly its own, so that the search knows what its legs come to.
    exact: Vec<bool>,
    /// By venue: of an inverse one the base currency of one lot at the touch.
    contracts: Vec<i64>,
    /// Parts of inverse venues, once they are cut to whole contracts.
    fixed: Vec<(usize, RouteLeg)>,
    route: Route,
}

/// Most instruments of a market.
const MAX_VENUES: usize = 64;

/// The venues' ladders up to a limit.
struct Ladders<'a> {
    ladders: [Option<VenueLadder<'a>>; MAX_VENUES],
    buy: bool,
    limit: Option<i64>,
    hit_limit: bool,
}

impl<'a> Ladders<'a> {
    #[inline]
    fn new(side: Side, limit: Option<i64>) -> Self {
        let buy = matches!(side, Side::Bid);
        Self { ladders: std::array::from_fn(|_| None), buy, limit, hit_limit: false }
    }

    /// The ladders of these venues. Apart from [`Self::new`], or all of the array would be moved.
    #[inline]
    fn fill(&mut self, market: &'a Market, venues: &[usize], side: Side) {
        for (slot, venue) in self.ladders.iter_mut().zip(venues) {
            *slot = market.ladder(*venue, side.opposite());
        }
    }

    #[inline]
    fn level(&mut self, venue: usize) -> Option<LadderLevel> {
        let level = self.ladders.get_mut(venue)?.as_mut()?.next()?;
        let beyond = self.limit.is_some_and(|limit| if self.buy { level.price > limit } else { level.price < limit });
        if beyond {
            self.hit_limit = true;
            return None;
        }
        Some(level)
    }
}

impl Source for Ladders<'_> {
    #[inline]
    fn next(&mut self, venue: usize) -> Option<(i64, i64)> {
        self.level(venue).map(|level| (level.price, level.size))
    }

    #[inline]
    fn read(&mut self, venue: usize, until: &Until, out: &mut Vec<(i64, i64)>) -> Read {
        let Some(ladder) = self.ladders.get_mut(venue).and_then(Option::as_mut) else {
            return Read { size: 0, ended: true };
        };
        let Some(limit) = self.limit else { return ladder.read(until, out) };
        let price = if self.buy { until.price.min(limit) } else { until.price.max(limit) };
        let first = out.len();
        let mut read = ladder.read(&Until { price, ..*until }, out);
        let is_beyond = |price: i64| if self.buy { price > limit } else { price < limit };
        if out.len() > first && out.last().is_some_and(|level| is_beyond(level.0)) {
            out.pop();
            self.hit_limit = true;
            let size = out.iter().skip(first).fold(0, |size: i64, level| size.saturating_add(level.1));
            read = Read { size, ended: true };
        }
        read
    }
}

impl Market {
    /// Splits an order over the venues that count now; the answer stays in the router until the next.
    ///
    /// # Errors
    /// [`RouteError`] if the request cannot be, or no venue is there. A route that trades less than was wanted is no
    /// error: it says so and why in [`Route::shortfall`].
    pub fn route<'r>(&self, router: &'r mut MarketRouter, request: &Request<'_>) -> Result<&'r Route, RouteError> {
        router.run(self, request)
    }
}

impl MarketRouter {
    /// A router.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The last route.
    #[must_use]
    pub const fn route(&self) -> &Route {
        &self.route
    }

    fn run(&mut self, market: &Market, request: &Request<'_>) -> Result<&Route, RouteError> {
        let money = Money::of(market);
        self.collect(market, request, money)?;
        let (best_bid, best_ask) = market.best();
        let two_sided = best_bid != super::NO_BID && best_ask != super::NO_ASK;
        self.route.best = two_sided.then_some((best_bid, best_ask));
        let (size, mut split, mut hit_limit) = match request.quantity {
            Quantity::Size(size) => {
                let (split, hit) = self.split(market, request, size)?;
                (size, split, hit)
            }
            Quantity::Notional(notional) => self.split_notional(market, request, money, notional)?,
        };
        self.route.wanted = size;
        self.route.marginal = money.price(split.marginal.abs() / 1e9);
        self.fixed.clear();
        let ended = if self.has_pool { self.dual.all_ended() } else { self.router.all_ended() };
        let constrained = split.is_constrained;
        let mut bound = split.bound;
        // Whether all could be traded before contracts were made whole, and what one of them is at most.
        let (mut whole, mut one_contract) = (false, 0);
        if self.cut_contracts(market, request)? {
            let relaxed = split;
            whole = relaxed.filled == size;
            one_contract = self.fixed.iter().filter_map(|(slot, _)| self.contracts.get(*slot)).sum();
            split = self.fill_up(market, request, money, &relaxed, &mut hit_limit)?;
            // The relaxation is convex in the size, so less size costs less by at most the dual price of each unit.
            #[allow(clippy::cast_possible_truncation)] // what does not fit saturates
            let price = (relaxed.marginal + relaxed.marginal.abs() * 1e-12).ceil() as i128;
            let less = price.saturating_mul(i128::from(relaxed.filled - split.filled).max(0));
            bound = if relaxed.relaxed == i128::MIN { i128::MIN } else { relaxed.relaxed.saturating_sub(less) };
            split.is_optimal = split.cost <= bound && split.filled == relaxed.filled;
        }
        self.write(market, request, money)?;
        let route = &mut self.route;
        route.nodes = split.nodes;
        route.is_optimal = split.is_optimal;
        route.gap = (bound != i128::MIN).then(|| money.amount((split.cost - bound).max(0)));
        route.filled = split.filled;
        let coarsest = self.terms.iter().map(|terms| terms.lot).max().unwrap_or(1);
        let left = size - split.filled;
        route.shortfall = (left > 0).then(|| {
            if whole && left < one_contract.max(coarsest) {
                Shortfall::Contracts
            } else if hit_limit {
                Shortfall::Limit
            } else if ended && !constrained {
                Shortfall::Liquidity
            } else if constrained && left >= coarsest {
                Shortfall::Constraints
            } else {
                Shortfall::Lots
            }
        });
        route.finish(request.side, money);
        Ok(&self.route)
    }

    /// The inverse legs stay as they were cut; the other venues fill up the rest.
    fn fill_up(
        &mut self,
        market: &Market,
        request: &Request<'_>,
        money: Money,
        relaxed: &Split,
        hit_limit: &mut bool,
    ) -> Result<Split, RouteError> {
        for (terms, inverse) in self.terms.iter_mut().zip(&self.inverse) {
            if *inverse {
                (terms.max, terms.required) = (0, false);
            }
        }
        let traded: i64 = self.fixed.iter().map(|(_, leg)| leg.size).sum();
        let cost: i128 = self.fixed.iter().map(|(_, leg)| money.count(leg, request.side)).sum();
        let open = self.terms.iter().zip(&self.inverse).filter(|(_, inverse)| !**inverse);
        let unit = open.fold(0, |divisor, (terms, _)| search::gcd(divisor, terms.lot));
        let rest = relaxed.filled - traded;
        let rest = if unit > 0 { rest - rest % unit } else { 0 };
        let max_venues = request.max_venues.saturating_sub(self.fixed.len());
        if rest <= 0 || max_venues == 0 {
            self.router.clear();
            self.dual.clear();
            return Ok(Split { filled: traded, cost, ..*relaxed });
        }
        let (second, hit) = self.split(market, &Request { max_venues, ..*request }, rest)?;
        *hit_limit |= hit;
        Ok(Split {
            filled: second.filled + traded,
            cost: second.cost + cost,
            nodes: second.nodes + relaxed.nodes,
            ..second
        })
    }

    /// Which venues take part, and on what terms.
    fn collect(&mut self, market: &Market, request: &Request<'_>, money: Money) -> Result<(), RouteError> {
        let expected = market.venues().len();
        for (what, found) in [("costs", request.costs.len()), ("bounds", request.bounds.len())] {
            if found != 0 && found != expected {
                return Err(RouteError::Length { what, expected, found });
            }
        }
        self.terms.clear();
        self.venues.clear();
        self.inverse.clear();
        self.contracts.clear();
        self.exact.clear();
        self.pools.clear();
        self.route.legs.clear();
        self.route.swaps.clear();
        self.route.left_out.clear();
        let buy = request.side == Side::Bid;
        for (index, venue) in market.venues().iter().enumerate() {
            if market.is_rate(index) {
                continue;
            }
            let bounds = request.bounds.get(index).copied().unwrap_or_default();
            let status = market.status(index);
            let left_out = if status != Status::Live {
                Some(LeftOut::Status(status))
            } else if bounds.allowed {
                None
            } else {
                Some(LeftOut::Denied)
            };
            let Some(conversion) = market.conversion(index) else { continue };
            if let Some(reason) = left_out {
                if bounds.required {
                    return Err(RouteError::Required { venue: index });
                }
                self.route.left_out.push((index, reason));
                continue;
            }
            let inverse = venue.instrument().contract == Contract::Inverse;
            let lot = if inverse { 1 } else { conversion.base_size(Price(0), Size(conversion.lot())) };
            if lot <= 0 {
                self.route.left_out.push((index, LeftOut::Lot));
                continue;
            }
            let cost = costs(market, request, index);
            let rate = if buy { cost.rate.0 } else { cost.rate.0.saturating_neg() };
            let contract = if inverse { touch_contract(market, index, request.side) } else { 0 };
            self.contracts.push(contract);
            self.exact.push(is_exact(market, venue.instrument()));
            self.terms.push(Terms {
                factor: 1_000_000_000_i64.saturating_add(rate),
                fixed: money.up(cost.fixed),
                lot,
                min: bounds.min.max(contract),
                max: if buy { bounds.max } else { bounds.max.min(bounds.base.unwrap_or(i64::MAX)) },
                budget: bounds.quote.filter(|_| buy).map(|quote| money.down(quote)),
                required: bounds.required,
            });
            self.venues.push(index);
            self.inverse.push(inverse);
            self.pools.push(market.pool(index).is_some());
        }
        self.has_pool = self.pools.contains(&true);
        if self.venues.is_empty() { Err(RouteError::NoVenue) } else { Ok(()) }
    }

    fn split(&mut self, market: &Market, request: &Request<'_>, size: i64) -> Result<(Split, bool), RouteError> {
        let order = Order {
            buy: request.side == Side::Bid,
            size,
            max_venues: request.max_venues,
            max_nodes: request.max_nodes,
        };
        if self.has_pool {
            let mut depth = Offered::new(market, &self.venues, &self.pools, request)?;
            let split = self.dual.split(&order, &self.terms, &mut depth).map_err(|error| self.named(error))?;
            return Ok((split, depth.ladders.hit_limit || self.dual.any_limited()));
        }
        let mut ladders = Ladders::new(request.side, request.limit);
        ladders.fill(market, &self.venues, request.side);
        let split = self.router.split(&order, &self.terms, &mut ladders).map_err(|error| self.named(error))?;
        Ok((split, ladders.hit_limit))
    }

    /// Lots of each venue in the last split.
    fn lots(&self) -> &[i64] {
        if self.has_pool { self.dual.lots() } else { self.router.lots() }
    }

    /// What a venue's part of the last split costs.
    fn cost_of(&self, slot: usize) -> i128 {
        if self.has_pool { self.dual.cost_of(slot) } else { self.router.cost_of(slot) }
    }

    /// What a venue's part comes to before costs, where the search did not need to know what it comes to with them.
    fn gross_of(&self, slot: usize) -> Option<i128> {
        if self.has_pool { None } else { self.router.gross_of(slot) }
    }

    /// The worst price of a venue's part of the last split, and what its last lot costs net.
    fn last_of(&self, slot: usize) -> Option<(i64, f64)> {
        if self.has_pool { self.dual.last_of(slot) } else { self.router.last_of(slot) }
    }

    /// The search numbers the venues that take part; a user knows them by their instruments.
    fn named(&self, error: RouteError) -> RouteError {
        let name = |venue: usize| self.venues.get(venue).copied().unwrap_or(venue);
        match error {
            RouteError::Terms { venue, what } => RouteError::Terms { venue: name(venue), what },
            RouteError::Unsorted { venue, price } => RouteError::Unsorted { venue: name(venue), price },
            RouteError::Overflow { venue } => RouteError::Overflow { venue: name(venue) },
            RouteError::Required { venue } => RouteError::Required { venue: name(venue) },
            error => error,
        }
    }

    /// The greatest size by bisection whose split stays within a notional.
    fn split_notional(
        &mut self,
        market: &Market,
        request: &Request<'_>,
        money: Money,
        notional: Amount,
    ) -> Result<(i64, Split, bool), RouteError> {
        if notional.0 <= 0 {
            return Err(RouteError::Notional(notional));
        }
        let most = money.down(notional);
        let unit = self.terms.iter().fold(0, |divisor, terms| search::gcd(divisor, terms.lot)).max(1);
        let within = |split: &Split| split.cost.abs() <= most;
        let best = if request.side == Side::Bid { market.best().1 } else { market.best().0 };
        // Twice what the best price would do, then half the way between what fits and what does not.
        let first = most / (i128::from(best).abs().max(1) * 1_000_000_000) * 2;
        let (mut low, mut high) = (0_i64, (i64::try_from(first).unwrap_or(i64::MAX / 2) / unit).max(1));
        // Whether the size that does not fit is one that cannot be traded.
        let mut short = loop {
            let (split, _) =
                self.split(market, request, high.checked_mul(unit).ok_or(RouteError::Notional(notional))?)?;
            if split.filled < high * unit || !within(&split) {
                break split.filled < high * unit && within(&split);
            }
            (low, high) = (high, high.saturating_mul(2));
        };
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let (split, _) = self.split(market, request, middle * unit)?;
            let full = split.filled == middle * unit;
            if full && within(&split) {
                low = middle;
            } else {
                (high, short) = (middle, !full && within(&split));
            }
        }
        if low == 0 && !short {
            return Err(RouteError::Notional(notional));
        }
        let size = if short { high } else { low } * unit;
        let (split, hit) = self.split(market, request, size)?;
        Ok((size, split, hit))
    }

    /// Cuts the parts of inverse contracts to whole lots; false if there are none.
    fn cut_contracts(&mut self, market: &Market, request: &Request<'_>) -> Result<bool, RouteError> {
        let mut any = false;
        for (slot, &venue) in self.venues.iter().enumerate() {
            let wanted = self.lots().get(slot).copied().unwrap_or(0);
            if wanted == 0 || !self.inverse.get(slot).is_some_and(|inverse| *inverse) {
                continue;
            }
            any = true;
            let overflow = RouteError::Overflow { venue };
            let native = contracts(market, request, venue, wanted).ok_or_else(|| overflow.clone())?;
            if native > 0 {
                self.fixed.push((slot, leg(market, request, venue, native).ok_or(overflow)?));
            }
        }
        Ok(any)
    }

    /// The legs of the last split, and those of inverse contracts.
    fn write(&mut self, market: &Market, request: &Request<'_>, money: Money) -> Result<(), RouteError> {
        let mut fixed = self.fixed.iter().peekable();
        for (slot, &venue) in self.venues.iter().enumerate() {
            let cut = fixed.next_if(|(at, _)| *at == slot).map(|(_, leg)| *leg);
            let lots = self.lots().get(slot).copied().unwrap_or(0);
            let overflow = RouteError::Overflow { venue };
            let terms = self.terms.get(slot).copied().unwrap_or_default();
            if let (true, Some(conversion)) =
                (lots > 0 && self.pools.get(slot) == Some(&true), market.conversion(venue))
            {
                let native = lots.checked_mul(conversion.lot()).ok_or_else(|| overflow.clone())?;
                let sizes = (lots * terms.lot, native);
                let (leg, swap) = pools::leg(market, request, venue, sizes, terms.factor).ok_or(overflow)?;
                self.route.legs.push(leg);
                self.route.swaps.push(swap);
                continue;
            }
            let mut leg = match (cut, market.conversion(venue)) {
                (Some(leg), _) => leg,
                (None, Some(conversion)) if lots > 0 => {
                    let native = lots.checked_mul(conversion.lot()).ok_or_else(|| overflow.clone())?;
                    let known =
                        if self.exact.get(slot).is_some_and(|exact| *exact) { self.last_of(slot) } else { None };
                    let leg = match known {
                        Some((price, _)) => {
                            // Net cost is gross cost times the factor: what is left of an exact product is exact.
                            let gross = self.gross_of(slot).unwrap_or_else(|| {
                                let cost = self.cost_of(slot) - terms.fixed;
                                cost / i128::from(if request.side == Side::Bid { terms.factor } else { -terms.factor })
                            });
                            known_leg(market, request, venue, native, price, money.gross(gross))
                        }
                        None => leg(market, request, venue, native),
                    };
                    leg.ok_or(overflow)?
                }
                _ => continue,
            };
            // Of a level in the middle of lots, sizes in common units are exact only together.
            if cut.is_none() {
                leg.size = lots * terms.lot;
            }
            #[allow(clippy::cast_precision_loss)] // analytics begin here
            let net = match (cut, self.last_of(slot)) {
                (None, Some((_, net))) => net.abs() / 1e9,
                _ => leg.price as f64 * (terms.factor as f64 / 1e9),
            };
            leg.marginal = money.price(net);
            self.route.legs.push(leg);
        }
        Ok(())
    }
}
