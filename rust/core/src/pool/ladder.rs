//! A pool read like a book: its quote and its levels.
//!
//! A pool has no levels; its price moves with every unit traded. Read at prices a step apart, each level is the stretch
//! between two of them: its size is what trades within, rounded down to size units; its price is the mean that the
//! stretch really costs or brings, fee included, rounded against the taker (asks up, bids down). Who walks the levels to
//! their ends so never counts on more, or a better price, than the pool gives; within a level the mean is worse than what
//! its first part costs.

use super::{Exact, Pool, PoolError, Ratio, Scale, Swap, Token, Trade, U256};
use crate::book::Quote;
use crate::units::{Price, Side, Size};

/// A level of a pool and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// The mean price within, fee included, rounded against the taker.
    pub price: Price,
    /// The size within, rounded down.
    pub size: Size,
    /// The marginal price at its end.
    pub end: Price,
    /// All that trades from the touch to its end, exact.
    pub total: Trade,
}

/// The levels of one side of a pool, from best to worst; ends where the pool does.
#[derive(Clone, Debug)]
pub struct Levels<'a> {
    pool: &'a Pool,
    scale: Scale,
    side: Side,
    step: i64,
    /// The marginal price at the end of the last level.
    at: i64,
    total: Trade,
    size: Size,
    /// The swap of a concentrated pool to there.
    last: Option<Swap>,
    /// The price of the last level.
    worst: Option<Price>,
    done: bool,
}

impl Pool {
    /// Best bid and ask after the fee: what the next unit of size costs or brings, rounded against the taker, with the
    /// size of the first level at `step`. A side that gives no unit of size is empty.
    ///
    /// # Errors
    /// As [`Self::levels`].
    pub fn quote(&self, scale: &Scale, step: i64) -> Result<Quote, PoolError> {
        let best = |side| -> Result<(Price, Size), PoolError> {
            let rung = self.levels(side, scale, step)?.next();
            Ok(rung.map_or((Price(0), Size(0)), |rung| (rung.price, rung.size)))
        };
        let ((bid, bid_size), (ask, ask_size)) = (best(Side::Bid)?, best(Side::Ask)?);
        Ok(Quote { bid, bid_size, ask, ask_size })
    }

    /// The levels of one side, each ending at a multiple of `step` price units. Levels without a unit of size are passed
    /// over, in strides that double, so that the far end of a curve costs little.
    ///
    /// # Errors
    /// [`PoolError::StepSize`] unless the step is at least 1; [`PoolError::Price`] if the pool's price does not fit.
    pub fn levels(&self, side: Side, scale: &Scale, step: i64) -> Result<Levels<'_>, PoolError> {
        if step < 1 {
            return Err(PoolError::StepSize(step));
        }
        let token_in = scale.token_in(side);
        let (quote, base) = self.touch(token_in, scale.base());
        // The last multiple of the step that is no worse than the touch for a taker; levels end beyond it.
        let price = scale.price(side.opposite(), &quote, &base)?.0;
        let at = match side {
            Side::Ask => price.div_euclid(step) * step,
            Side::Bid => price.saturating_add(step - 1).div_euclid(step).saturating_mul(step),
        };
        Ok(Levels {
            pool: self,
            scale: *scale,
            side,
            step,
            at,
            total: Trade::none(token_in),
            size: Size(0),
            last: None,
            worst: None,
            done: false,
        })
    }

    /// The size that trades on one side until the marginal price after the fee is `limit`, rounded down, and the exact
    /// trade.
    ///
    /// # Errors
    /// [`PoolError::Price`] unless the limit is above 0; [`PoolError`] if amounts do not fit.
    pub fn size_at_marginal(&self, side: Side, limit: Price, scale: &Scale) -> Result<(Size, Trade), PoolError> {
        let trade = self.to_price(scale.token_in(side), &scale.ratio(limit)?)?;
        Ok((scale.size(&base_of(&trade, scale.base())), trade))
    }

    /// The marginal price after the fee as raw quote and raw base.
    fn touch(&self, token_in: Token, base: Token) -> (U256, U256) {
        let current = match self {
            Self::ConstantProduct(pool) => {
                let [zero, one] = pool.reserves();
                (U256::from(one), U256::from(zero))
            }
            Self::Concentrated(pool) => of_root(&pool.sqrt_price()),
        };
        self.net(token_in, base, current)
    }

    /// A price in raw token 1 and raw token 0 before the fee, as raw quote and raw base after it.
    pub(super) fn net(&self, token_in: Token, base: Token, (one, zero): (U256, U256)) -> (U256, U256) {
        let (kept, whole) = (U256::from(self.fee().kept()), U256::from(self.fee().whole()));
        let (one, zero) = if token_in == Token::Zero { (one * kept, zero * whole) } else { (one * whole, zero * kept) };
        if base == Token::Zero { (one, zero) } else { (zero, one) }
    }
}

/// The price of a square-root price, token 1 for token 0, as raw amounts.
pub(super) fn of_root(root: &U256) -> (U256, U256) {
    // 160 bits squared over 2^192: 32 bits fewer of both lose 2^-32 of a part in 2^64 at the lowest price.
    let price = super::wide::full_product(root, root);
    let shift = price.bit_len().saturating_sub(220);
    let top = price >> shift;
    let top = U256::from_limbs(std::array::from_fn(|index| top.as_limbs()[index]));
    (top, U256::ONE << (192 - shift.min(192)))
}

const fn base_of(trade: &Trade, base: Token) -> U256 {
    if trade.token_in as u8 == base as u8 { trade.amount_in } else { trade.amount_out }
}

impl Levels<'_> {
    /// All that trades until a marginal price, from the touch: a walk that went on from the last level would round once
    /// more at each, and so count on more to be taken than the pool takes at once.
    fn total_to(&mut self, limit: &Ratio) -> Result<Trade, PoolError> {
        let Pool::Concentrated(pool) = self.pool else {
            return self.pool.to_price(self.total.token_in, limit);
        };
        let Some(limit) = pool.sqrt_limit(self.total.token_in, limit) else { return Ok(self.total) };
        let swap = pool.quote(self.total.token_in, Exact::In(U256::MAX >> 1_usize), Some(limit))?;
        self.last = Some(swap);
        Ok(swap.trade())
    }

    /// Whether nothing lies beyond: no liquidity, and no tick where some begins.
    fn is_over(&self) -> bool {
        match (self.pool, &self.last) {
            (Pool::Concentrated(pool), Some(swap)) => pool.is_over(swap),
            (Pool::Concentrated(pool), None) => pool.ticks().is_empty(),
            (Pool::ConstantProduct(pool), _) => {
                // Less than a unit of size, or of the smallest price, is left to take.
                let out = self.total.token_in.other();
                let left = U256::from(pool.reserves()[out as usize]) - self.total.amount_out;
                if out == self.scale.base() { self.scale.size(&left).0 == 0 } else { left <= U256::ONE }
            }
        }
    }

    fn find_next(&mut self) -> Result<Option<Rung>, PoolError> {
        let mut stride = self.step;
        loop {
            if self.is_over() {
                return Ok(None);
            }
            let next = match self.side {
                Side::Ask => self.at.checked_add(stride),
                Side::Bid => {
                    Some(self.at.saturating_sub(stride).max(self.step.min(self.at - 1))).filter(|next| *next > 0)
                }
            };
            let Some(end) = next else { return Ok(None) };
            let total = self.total_to(&self.scale.ratio(Price(end))?)?;
            self.at = end;
            let base = self.scale.base();
            let size = self.scale.size(&base_of(&total, base));
            if size > self.size {
                let quote = base_of(&total, base.other()) - base_of(&self.total, base.other());
                let amount = base_of(&total, base) - base_of(&self.total, base);
                let price = self.scale.price(self.side, &quote, &amount)?;
                // Where a level holds but a few raw units, rounding may put its mean before the last one's.
                let price = match (self.side, self.worst) {
                    (Side::Ask, Some(worst)) => price.max(worst),
                    (Side::Bid, Some(worst)) => price.min(worst),
                    (_, None) => price,
                };
                self.worst = Some(price);
                let rung = Rung { price, size: Size(size.0 - self.size.0), end: Price(end), total };
                (self.total, self.size) = (total, size);
                if price.0 > 0 {
                    return Ok(Some(rung));
                }
                return Ok(None); // bids below one price unit
            }
            stride = stride.saturating_mul(2);
        }
    }
}

impl Iterator for Levels<'_> {
    type Item = Rung;

    fn next(&mut self) -> Option<Rung> {
        if self.done {
            return None;
        }
        // An amount that no longer fits the contract's integers cannot be traded: the levels end before it.
        let found = self.find_next().ok().flatten();
        self.done = found.is_none();
        found
    }
}

impl std::iter::FusedIterator for Levels<'_> {}
