//! Fees of a venue: tiers by volume, proportional and fixed fees.

use super::{Affine, Amount, Cost, CostError, Liquidity, Rate, State, Trade};
use crate::instrument::Venue;
use crate::units::Side;

/// The fees of accounts from some 30-day volume on. Negative rates are rebates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tier {
    /// The volume from which it holds, in the currency of [`State::volume`].
    pub from: Amount,
    /// Of an order that provides liquidity.
    pub maker: Rate,
    /// Of an order that takes it.
    pub taker: Rate,
}

/// A venue's maker and taker fees by 30-day volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiers {
    tiers: Vec<Tier>,
}

impl Tiers {
    /// Tiers in ascending order of volume, the first from 0.
    ///
    /// # Errors
    /// [`CostError::NoTier`], [`CostError::FirstTier`], [`CostError::TierOrder`] or [`CostError::RateRange`].
    pub fn new(tiers: Vec<Tier>) -> Result<Self, CostError> {
        let first = tiers.first().ok_or(CostError::NoTier)?.from;
        if first != Amount::ZERO {
            return Err(CostError::FirstTier(first));
        }
        for (index, pair) in tiers.windows(2).enumerate() {
            let (before, found) = (pair[0].from, pair[1].from);
            if found <= before {
                return Err(CostError::TierOrder { index: index + 1, before, found });
            }
        }
        for tier in &tiers {
            tier.maker.checked("maker fee")?;
            tier.taker.checked("taker fee")?;
        }
        Ok(Self { tiers })
    }

    /// The same fees whatever the volume.
    ///
    /// # Errors
    /// [`CostError::RateRange`].
    pub fn flat(maker: Rate, taker: Rate) -> Result<Self, CostError> {
        Self::new(vec![Tier { from: Amount::ZERO, maker, taker }])
    }

    /// A venue's base tier. Of the maker's fee only that it does not exceed the taker's is known, so it is the taker's.
    #[must_use]
    pub fn base_of(venue: Venue) -> Self {
        let fee = Rate(venue.base_taker_fee());
        Self { tiers: vec![Tier { from: Amount::ZERO, maker: fee, taker: fee }] }
    }

    /// The tier that holds at a volume; the first one for a negative volume.
    #[must_use]
    pub fn at(&self, volume: Amount) -> Tier {
        let after = self.tiers.partition_point(|tier| tier.from <= volume);
        self.tiers.get(after.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// The tiers in ascending order of volume.
    #[must_use]
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    fn rate(&self, liquidity: Liquidity, state: &State) -> Result<Rate, CostError> {
        if state.volume.0 < 0 {
            return Err(CostError::Negative { what: "volume", found: state.volume.0 });
        }
        let tier = self.at(state.volume);
        Ok(match liquidity {
            Liquidity::Maker => tier.maker,
            Liquidity::Taker => tier.taker,
        })
    }
}

impl Cost for Tiers {
    fn cost(&self, trade: &Trade, state: &State) -> Result<Amount, CostError> {
        let rate = self.rate(trade.liquidity(), state)?;
        trade.notional().share(rate).ok_or(CostError::Overflow("fee"))
    }

    fn affine(&self, _: Side, liquidity: Liquidity, state: &State) -> Result<Affine, CostError> {
        Ok(Affine { rate: self.rate(liquidity, state)?, fixed: Amount::ZERO })
    }
}

/// A fee in proportion to the notional, whoever trades: a tax, a broker, a builder's fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proportional(Rate);

impl Proportional {
    /// A fee of this rate.
    ///
    /// # Errors
    /// [`CostError::RateRange`].
    pub fn new(rate: Rate) -> Result<Self, CostError> {
        Ok(Self(rate.checked("proportional fee")?))
    }
}

impl Cost for Proportional {
    fn cost(&self, trade: &Trade, _: &State) -> Result<Amount, CostError> {
        trade.notional().share(self.0).ok_or(CostError::Overflow("proportional fee"))
    }

    fn affine(&self, _: Side, _: Liquidity, _: &State) -> Result<Affine, CostError> {
        Ok(Affine { rate: self.0, fixed: Amount::ZERO })
    }
}

/// A fee of every order that trades, whatever its size, in the quote currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed(Amount);

impl Fixed {
    /// A fee of this amount.
    ///
    /// # Errors
    /// [`CostError::Negative`]: nobody is paid for an order of no size.
    pub const fn new(amount: Amount) -> Result<Self, CostError> {
        if amount.0 < 0 {
            return Err(CostError::Negative { what: "fixed fee", found: amount.0 });
        }
        Ok(Self(amount))
    }
}

impl Cost for Fixed {
    fn cost(&self, trade: &Trade, _: &State) -> Result<Amount, CostError> {
        Ok(if trade.notional().0 == 0 { Amount::ZERO } else { self.0 })
    }

    fn affine(&self, _: Side, _: Liquidity, _: &State) -> Result<Affine, CostError> {
        Ok(Affine { rate: Rate::ZERO, fixed: self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(from: i64, maker: i32, taker: i32) -> Tier {
        Tier { from: Amount::whole(from), maker: Rate::bp(maker), taker: Rate::bp(taker) }
    }

    fn cost(cost: &impl Cost, liquidity: Liquidity, volume: i64) -> Amount {
        let trade = Trade::new(Side::Ask, liquidity, Amount::whole(10_000)).expect("a trade");
        cost.cost(&trade, &State { volume: Amount::whole(volume), ..State::default() }).expect("a cost")
    }

    #[test]
    fn the_tier_of_the_volume_holds_from_its_first_unit_on() {
        let tiers = Tiers::new(vec![tier(0, 10, 10), tier(100, 2, 5), tier(1_000, -1, 3)]).expect("in order");
        let taker = |volume| cost(&tiers, Liquidity::Taker, volume);
        assert_eq!([0, 99, 100, 999, 1_000].map(taker), [10, 10, 5, 5, 3].map(Amount::whole));
        assert_eq!(cost(&tiers, Liquidity::Maker, 5_000), Amount::whole(-1), "a rebate is a negative cost");
    }

    #[test]
    fn tiers_out_of_order_are_refused_with_the_place() {
        let error = Tiers::new(vec![tier(0, 1, 1), tier(50, 1, 1), tier(50, 0, 0)]).expect_err("twice 50");
        assert_eq!(error.to_string(), "tiers: expected ascending volumes, tier 2 begins at 50 after 50");
        assert_eq!(Tiers::new(vec![tier(1, 1, 1)]), Err(CostError::FirstTier(Amount::ONE)));
        assert_eq!(Tiers::new(vec![]), Err(CostError::NoTier));
        let all = Tiers::flat(Rate::ZERO, Rate::bp(10_000));
        assert_eq!(all, Err(CostError::RateRange { what: "taker fee", found: 1_000_000_000 }));
    }

    #[test]
    fn a_venues_base_tier_is_the_fee_that_the_venue_states() {
        assert_eq!(cost(&Tiers::base_of(Venue::BinanceUsdm), Liquidity::Taker, 0), Amount::whole(5));
    }

    #[test]
    fn a_fixed_fee_is_paid_once_and_only_if_something_trades() {
        let fee = Fixed::new(Amount::whole(7)).expect("a fee");
        assert_eq!(cost(&fee, Liquidity::Taker, 0), Amount::whole(7));
        let nothing = Trade::new(Side::Bid, Liquidity::Taker, Amount::ZERO).expect("a trade");
        assert_eq!(fee.cost(&nothing, &State::default()), Ok(Amount::ZERO));
        assert!(matches!(Fixed::new(Amount(-1)), Err(CostError::Negative { .. })));
    }
}
