//! A pool as a venue of a route: its curve net of all that is proportional, and its exact price.
//!
//! Net of fees, and whatever its tokens' decimals and the rate of its currency are, a stretch of constant liquidity is one
//! and the same curve in the router's units: with `w` the root of the net marginal price, size moves by `a Δ(1/w)` and cost
//! by `a Δw`. So the size at a net price and the profit against it, `a (w - w₀)² / w₀`, are closed forms that cancel no
//! digits. Other stretches than the first are asked of the [`Curve`].

use super::super::RouteError;
use crate::pool::wide::{mul_div, mul_div_up, to_f64};
use crate::pool::{Curve, Pool, PoolError, Ratio, Scale, Token, U256};
use crate::units::{Price, Side, Size};

/// Costs stay below this, as those of books do.
const MAX_COST: u32 = 108;

/// What a router must know of a pool besides its terms.
#[derive(Clone, Copy, Debug)]
pub struct PoolOffer<'a> {
    /// Whose quotes are the prices.
    pub pool: &'a Pool,
    /// Its curve, kept with it: `Curve::from(pool)`.
    pub curve: &'a Curve,
    /// Its base token, the decimals of its tokens, a price unit of its own and the router's size unit.
    pub scale: &'a Scale,
    /// What a raw unit of its quote token is in price unit times size unit of the router, as a fraction; see
    /// [`PoolOffer::worth_of`].
    pub worth: &'a (U256, U256),
    /// The worst marginal price before proportional costs, in the price unit of `scale`.
    pub limit: Option<Price>,
}

impl PoolOffer<'_> {
    /// The worth of a raw unit of quote where a scale has the router's units and its quote token is the router's currency.
    ///
    /// # Errors
    /// [`PoolError::Price`] if the units are too far from the decimals of the tokens.
    pub fn worth_of(scale: &Scale) -> Result<(U256, U256), PoolError> {
        let (num, den) = scale.notional()?;
        Ok((den, num))
    }
}

/// What an evaluation at one net price gives.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Supply {
    /// In size units.
    pub(super) size: f64,
    /// The price times the size less the cost.
    pub(super) profit: f64,
    /// How fast the size grows with the inverse root of the net price; 0 for a book, and where it is at its end.
    pub(super) slope: f64,
    /// By how much the profit may be off, over the precision of a float.
    pub(super) rough: f64,
}

/// A net marginal price and its root. Costs of sales are negative, so are their prices.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marginal {
    pub(super) price: f64,
    pub(super) root: f64,
    pub(super) inverse: f64,
}

impl Marginal {
    #[inline]
    pub(super) fn new(price: f64, buy: bool) -> Self {
        // A purchase at no price, a sale at a price of nothing.
        let root = if buy { price.max(0.0) } else { (-price).max(0.0) }.sqrt();
        Self { price, root, inverse: 1.0 / root }
    }
}

/// One side of a pool in the router's units, net of its fee and of proportional costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolSide {
    token_in: Token,
    base: Token,
    /// 1 for buying, -1 for selling.
    sign: f64,
    /// Of the first stretch.
    liquidity: f64,
    near: f64,
    near_inverse: f64,
    far: f64,
    /// Whether there is no other.
    is_plain: bool,
    /// Root of the net price per root of raw quote per raw base, and of liquidity.
    per_root: f64,
    per_liquidity: f64,
    /// Net cost of a raw unit of quote, and raw base of a size unit; the share left after the pool's fee.
    pub(super) per_quote: f64,
    per_size: f64,
    kept: f64,
    /// Exact: 10^-9 of price unit times size unit of a raw unit of quote, with proportional costs.
    exact: (U256, U256),
}

impl PoolSide {
    pub(super) fn new(venue: usize, offer: &PoolOffer<'_>, factor: i64, buy: bool) -> Result<Self, RouteError> {
        let overflow = RouteError::Overflow { venue };
        let side = if buy { Side::Ask } else { Side::Bid };
        let (token_in, base) = (offer.scale.token_in(side), offer.scale.base());
        let (num, den) = *offer.worth;
        let num = num.checked_mul(U256::from(factor.unsigned_abs())).ok_or(overflow)?;
        let (per_quote, per_size) = (to_f64(&num) / to_f64(&den), offer.scale.raw_per_size());
        let kept = offer.curve.factor();
        let price = per_quote * per_size;
        let per_root = if buy { (price / kept).sqrt() } else { (price * kept).sqrt() };
        let (near, far, raw) = offer.curve.first(token_in);
        let quoted = |root: f64| if base == Token::Zero { root } else { 1.0 / root };
        let (near, far) = (quoted(near) * per_root, quoted(far) * per_root);
        let per_liquidity = per_quote / (kept * price).sqrt();
        Ok(Self {
            token_in,
            base,
            sign: if buy { 1.0 } else { -1.0 },
            liquidity: raw * per_liquidity,
            near,
            near_inverse: 1.0 / near,
            far,
            is_plain: raw > 0.0 && (far == 0.0 || far.is_infinite()),
            per_root,
            per_liquidity,
            per_quote,
            per_size,
            kept,
            exact: (num, den),
        })
    }

    /// The net price of the first of it, with the sign of a cost.
    pub(super) fn entry(&self) -> f64 {
        self.sign * self.near * self.near
    }

    /// Base that moves through the curve for a size, fee apart: what is sold pays the fee in base.
    fn curve_base(&self, size: f64) -> f64 {
        let raw = size * self.per_size;
        if self.token_in == self.base { raw * self.kept } else { raw }
    }

    /// Until a net marginal price.
    #[inline]
    pub(super) fn supply<'c>(&self, at: &Marginal, curve: impl FnOnce() -> Option<&'c Curve>) -> Supply {
        let beyond = (at.root - self.near) * self.sign;
        if beyond.is_nan() || beyond <= 0.0 {
            return Supply::default();
        }
        if self.is_plain || (self.far - at.root) * self.sign >= 0.0 {
            let size = self.liquidity * (self.near_inverse - at.inverse) * self.sign;
            let profit = self.liquidity * beyond * beyond * self.near_inverse;
            return Supply { size, profit, slope: self.liquidity, rough: (size * at.price).abs() };
        }
        curve().map_or_else(Supply::default, |curve| self.supply_beyond(at, curve))
    }

    #[inline(never)]
    fn supply_beyond(&self, at: &Marginal, curve: &Curve) -> Supply {
        let ratio = at.root * at.root / (self.per_quote * self.per_size);
        let raw = if self.base == Token::Zero { ratio } else { 1.0 / ratio };
        let Some(flow) = curve.to_price(self.token_in, raw) else { return Supply::default() };
        let (base, quote) = if self.token_in == self.base {
            (flow.amount_in, flow.amount_out)
        } else {
            (flow.amount_out, flow.amount_in)
        };
        let (size, cost) = (base / self.per_size, self.sign * quote * self.per_quote);
        let liquidity = (flow.slope[0] * flow.slope[1]).sqrt() * self.per_liquidity;
        // What may be off is a part of what the stretch would hold, not of what it moves.
        let rough = (size * at.price).abs() + liquidity * at.root;
        Supply { size, profit: at.price.mul_add(size, -cost), slope: liquidity, rough }
    }

    /// What a size costs, and the root of the net marginal price after it; infinite beyond the end.
    pub(super) fn cost(&self, size: f64, curve: &Curve) -> (f64, f64) {
        if size <= 0.0 {
            return (0.0, self.near);
        }
        let inverse = self.near_inverse - self.sign * size / self.liquidity;
        let root = 1.0 / inverse;
        if inverse > 0.0 && (self.is_plain || (self.far - root) * self.sign >= 0.0) {
            return (self.sign * size * self.near * root, root);
        }
        let Some((quote, root)) = curve.at_amount(self.token_in, self.base, self.curve_base(size)) else {
            return (f64::INFINITY, f64::INFINITY);
        };
        let quote = if self.token_in == self.base { quote } else { quote / self.kept };
        let root = if self.base == Token::Zero { root } else { 1.0 / root };
        (self.sign * quote * self.per_quote, root * self.per_root)
    }

    /// What more of it costs a size unit after a size: the mean over the next `more`. Within a stretch the mean of a price
    /// is the product of the roots at its ends; the difference of two costs loses digits where it is small.
    pub(super) fn mean(&self, size: f64, more: f64, curve: &Curve) -> f64 {
        let ((before, first), (after, last)) = (self.cost(size, curve), self.cost(size + more, curve));
        let difference = after - before;
        if difference.abs() > 1e-6 * after.abs() { difference / more } else { self.sign * first * last }
    }

    /// The greatest size before the curve ends, a float.
    pub(super) fn most(&self, curve: &Curve) -> f64 {
        let base = curve.most(self.token_in, self.base);
        (if self.token_in == self.base { base / self.kept } else { base }) / self.per_size
    }

    /// What the pool itself asks for a size, in the integers of the search, rounded against the user: the cost of buying,
    /// negative for what selling brings. `None` if the pool cannot, or the cost does not fit.
    pub(super) fn exact(&self, size: i64, offer: &PoolOffer<'_>) -> Option<i128> {
        let quote = quote_of(offer, self.token_in, size)?;
        let count = if self.token_in == self.base {
            mul_div(&quote, &self.exact.0, &self.exact.1)?
        } else {
            mul_div_up(&quote, &self.exact.0, &self.exact.1)?
        };
        if count.bit_len() > MAX_COST as usize {
            return None;
        }
        let count = i128::try_from(count).ok()?;
        Some(if self.sign > 0.0 { count } else { -count })
    }

    /// The greatest size that trades until a marginal price of the pool's own, exact.
    pub(super) fn until(&self, limit: Price, offer: &PoolOffer<'_>) -> i64 {
        let ratio: Option<Ratio> = offer.scale.ratio(limit).ok();
        let trade = ratio.and_then(|ratio| offer.pool.to_price(self.token_in, &ratio).ok());
        let base = trade.map(|trade| if self.token_in == self.base { trade.amount_in } else { trade.amount_out });
        base.map_or(0, |base| offer.scale.size(&base).0)
    }
}

/// Raw quote that a size costs or brings.
fn quote_of(offer: &PoolOffer<'_>, token_in: Token, size: i64) -> Option<U256> {
    let (scale, size) = (offer.scale, Size(size));
    if token_in == scale.base() {
        // Less than a raw unit of base is not sold.
        let amount = scale.raw_size(size).filter(|amount| !amount.is_zero())?;
        offer.pool.quote_in(token_in, &amount).ok().map(|trade| trade.amount_out)
    } else {
        let amount = scale.raw_size_up(size)?;
        offer.pool.quote_out(token_in, &amount).ok().map(|trade| trade.amount_in)
    }
}
