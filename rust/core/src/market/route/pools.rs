//! Pools of a market in its routes: what the search asks of them, and their legs.

use super::dual::{Depth, PoolOffer};
use super::legs::costs;
use super::{Ladders, MAX_VENUES, Request, RouteError, RouteLeg, RouteSwap, Source};
use crate::cost::Amount;
use crate::market::Market;
use crate::market::pool_venue::PoolVenue;
use crate::pool::wide::{mul_div, mul_div_up};
use crate::pool::{Exact, U256};
use crate::units::{Price, Side, Size};

/// The venues' ladders and pools up to a limit.
pub(super) struct Offered<'a> {
    pub(super) ladders: Ladders<'a>,
    pools: [Option<Pooled<'a>>; MAX_VENUES],
}

/// A pool, what a raw unit of its quote token is at the rates of now, and the worst price.
struct Pooled<'a> {
    venue: &'a PoolVenue,
    worth: (U256, U256),
    limit: Option<Price>,
}

impl<'a> Offered<'a> {
    /// The pools and the ladders of these venues.
    pub(super) fn new(
        market: &'a Market,
        venues: &[usize],
        pools: &[bool],
        request: &Request<'_>,
    ) -> Result<Self, RouteError> {
        let mut made = Self { ladders: Ladders::new(request.side, request.limit), pools: [const { None }; MAX_VENUES] };
        made.ladders.fill(market, venues, request.side);
        for ((place, venue), is_pool) in made.pools.iter_mut().zip(venues).zip(pools) {
            if let Some(pool) = market.pool(*venue).filter(|_| *is_pool) {
                *place = Some(pooled(market, *venue, pool, request).ok_or(RouteError::Overflow { venue: *venue })?);
            }
        }
        Ok(made)
    }
}

impl Source for Offered<'_> {
    #[inline]
    fn next(&mut self, venue: usize) -> Option<(i64, i64)> {
        self.ladders.next(venue)
    }
}

impl Depth for Offered<'_> {
    #[inline]
    fn pool(&self, venue: usize) -> Option<PoolOffer<'_>> {
        let Pooled { venue, worth, limit } = self.pools.get(venue)?.as_ref()?;
        Some(PoolOffer { pool: &venue.pool, curve: &venue.curve, scale: &venue.scale, worth, limit: *limit })
    }
}

fn pooled<'a>(market: &Market, index: usize, venue: &'a PoolVenue, request: &Request<'_>) -> Option<Pooled<'a>> {
    let conversion = market.conversion(index)?;
    let side = request.side.opposite();
    let (num, den) = conversion.rate(side)?;
    let whole = |part: i64| u64::try_from(part).ok().map(U256::from);
    let worth = (venue.notional.1.checked_mul(whole(num)?)?, venue.notional.0.checked_mul(whole(den)?)?);
    // A limit out of reach of the venue's prices is none to a buyer; what it asks of a seller nobody pays.
    let limit = request
        .limit
        .filter(|limit| side == Side::Ask || *limit > 0)
        .and_then(|limit| conversion.native(side, limit).or_else(|| (side == Side::Bid).then_some(Price(i64::MAX))));
    Some(Pooled { venue, worth, limit })
}

/// The leg that trades a size at a pool, and its swap. `None` if an amount does not fit.
pub(super) fn leg(
    market: &Market,
    request: &Request<'_>,
    venue: usize,
    (size, native): (i64, i64),
    factor: i64,
) -> Option<(RouteLeg, RouteSwap)> {
    let (pool, conversion) = (market.pool(venue)?, market.conversion(venue)?);
    let (side, scale) = (request.side.opposite(), &pool.scale);
    let token_in = scale.token_in(side);
    let exact = match side {
        Side::Ask => Exact::Out(scale.raw_size_up(Size(size))?),
        Side::Bid => Exact::In(scale.raw_size(Size(size))?),
    };
    let fill = pool.pool.fill(token_in, exact).ok()?;
    let price_after = pool.pool.price_after(&fill, scale, side).ok()?;
    let (native_price, last) = pool.pool.last_price(&fill, scale, side).ok()?;
    let price = conversion.price(side, native_price);
    let (num, den) = conversion.rate(side)?;
    let ten = U256::from(10);
    #[allow(clippy::cast_precision_loss)] // analytics begin here
    let marginal = last * scale.price_unit().as_f64() * (num as f64 / den as f64) * (factor as f64 / 1e9);
    let num = U256::from(u64::try_from(num).ok()?).checked_mul(ten.pow(U256::from(18)))?;
    let den = U256::from(u64::try_from(den).ok()?).checked_mul(ten.pow(U256::from(pool.decimals)))?;
    let notional = match side {
        Side::Ask => mul_div_up(&fill.trade.amount_in, &num, &den)?,
        Side::Bid => mul_div(&fill.trade.amount_out, &num, &den)?,
    };
    let notional = Amount(i128::try_from(notional).ok()?);
    let cost = costs(market, request, venue).cost(notional)?;
    let native_size = Size(native);
    let leg = RouteLeg { venue, size, native_size, native_price, price, notional, cost, marginal };
    Some((leg, RouteSwap { venue, trade: fill.trade, fee: fill.fee, price_after }))
}
