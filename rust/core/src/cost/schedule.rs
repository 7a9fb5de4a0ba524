//! Costs together.

use std::fmt;
use std::sync::Arc;

use super::{
    Affine, Amount, Borrow, Cost, CostError, Fixed, Funding, Gas, Liquidity, Proportional, Rollup, State, Tiers, Trade,
    Transfer,
};
use crate::instrument::Venue;
use crate::units::Side;

/// One part of a [`Schedule`].
#[derive(Clone)]
#[non_exhaustive]
pub enum Component {
    /// Maker and taker fees by volume.
    Tiers(Tiers),
    /// A proportional fee.
    Proportional(Proportional),
    /// A fixed fee.
    Fixed(Fixed),
    /// A withdrawal or transfer.
    Transfer(Transfer),
    /// Funding of a perpetual.
    Funding(Funding),
    /// Interest.
    Borrow(Borrow),
    /// Gas on a base chain.
    Gas(Gas),
    /// A rollup's fee.
    Rollup(Rollup),
    /// Another schedule, counted as one.
    Schedule(Schedule),
    /// Anything else, under a name.
    Other(&'static str, Arc<dyn Cost + Send + Sync>),
}

impl Component {
    /// Its name in a breakdown.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tiers(_) => "fee",
            Self::Proportional(_) => "proportional",
            Self::Fixed(_) => "fixed",
            Self::Transfer(_) => "transfer",
            Self::Funding(_) => "funding",
            Self::Borrow(_) => "borrow",
            Self::Gas(_) => "gas",
            Self::Rollup(_) => "rollup",
            Self::Schedule(_) => "schedule",
            Self::Other(name, _) => name,
        }
    }

    fn as_cost(&self) -> &dyn Cost {
        match self {
            Self::Tiers(cost) => cost,
            Self::Proportional(cost) => cost,
            Self::Fixed(cost) => cost,
            Self::Transfer(cost) => cost,
            Self::Funding(cost) => cost,
            Self::Borrow(cost) => cost,
            Self::Gas(cost) => cost,
            Self::Rollup(cost) => cost,
            Self::Schedule(cost) => cost,
            Self::Other(_, cost) => &**cost,
        }
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tiers(cost) => cost.fmt(f),
            Self::Proportional(cost) => cost.fmt(f),
            Self::Fixed(cost) => cost.fmt(f),
            Self::Transfer(cost) => cost.fmt(f),
            Self::Funding(cost) => cost.fmt(f),
            Self::Borrow(cost) => cost.fmt(f),
            Self::Gas(cost) => cost.fmt(f),
            Self::Rollup(cost) => cost.fmt(f),
            Self::Schedule(cost) => cost.fmt(f),
            Self::Other(name, _) => f.debug_tuple("Other").field(name).finish(),
        }
    }
}

macro_rules! components {
    ($($kind:ident)*) => {
        $(impl From<$kind> for Component {
            fn from(cost: $kind) -> Self {
                Self::$kind(cost)
            }
        })*
    };
}

components! { Tiers Proportional Fixed Transfer Funding Borrow Gas Rollup Schedule }

/// A sum of costs, each rounded by itself.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    parts: Vec<Component>,
}

impl Schedule {
    /// No cost.
    #[must_use]
    pub const fn new() -> Self {
        Self { parts: Vec::new() }
    }

    /// What a venue charges at its base tier: its [`Tiers::base_of`] alone.
    #[must_use]
    pub fn base_of(venue: Venue) -> Self {
        Self::new().with(Tiers::base_of(venue))
    }

    /// The same and one cost more.
    #[must_use]
    pub fn with(mut self, cost: impl Into<Component>) -> Self {
        self.parts.push(cost.into());
        self
    }

    /// Its parts.
    #[must_use]
    pub fn parts(&self) -> &[Component] {
        &self.parts
    }

    /// What each part costs, by name and in order.
    ///
    /// # Errors
    /// As [`Cost::cost`]; the first part that cannot be stated ends it.
    pub fn breakdown(
        &self,
        trade: &Trade,
        state: &State,
    ) -> impl Iterator<Item = Result<(&'static str, Amount), CostError>> {
        let (trade, state) = (*trade, *state);
        self.parts.iter().map(move |part| Ok((part.name(), part.as_cost().cost(&trade, &state)?)))
    }
}

impl Cost for Schedule {
    fn cost(&self, trade: &Trade, state: &State) -> Result<Amount, CostError> {
        self.parts.iter().try_fold(Amount::ZERO, |sum, part| {
            sum.checked_add(part.as_cost().cost(trade, state)?).ok_or(CostError::Overflow("sum of costs"))
        })
    }

    fn affine(&self, side: Side, liquidity: Liquidity, state: &State) -> Result<Affine, CostError> {
        self.parts.iter().try_fold(Affine::ZERO, |sum, part| {
            let part = part.as_cost().affine(side, liquidity, state)?;
            sum.checked_add(part).ok_or(CostError::Overflow("sum of costs"))
        })
    }

    /// Transfers follow one another.
    fn time(&self) -> i64 {
        self.parts.iter().fold(0, |sum, part| i64::saturating_add(sum, part.as_cost().time()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Currency, FundingTerms, Rate, Tier};
    use super::*;
    use crate::units::Nanos;

    fn everything(state_rate: i64) -> (Schedule, State) {
        let tiers = vec![
            Tier { from: Amount::ZERO, maker: Rate::bp(10), taker: Rate::bp(10) },
            Tier { from: Amount::whole(1_000), maker: Rate(-12_345), taker: Rate(449_999) },
        ];
        let schedule = Schedule::new()
            .with(Tiers::new(tiers).expect("in order"))
            .with(Proportional::new(Rate(7)).expect("a fee"))
            .with(Fixed::new(Amount(123_456_789)).expect("a fee"))
            .with(Transfer::new(Currency::Base, Amount(1_234_567), Rate(3), 5).expect("a transfer"))
            .with(Schedule::new().with(Funding).with(Borrow::new(Rate(11), 1_000).expect("a loan")))
            .with(Gas { used: 21_000, priority_fee: 3, fee_cap: None })
            .with(Rollup { size: 10, fee: Arc::new(Amount(999)) });
        let state = State {
            volume: Amount::whole(5_000),
            base_ask: Some(Amount(61_837_630_000_000_000_000_000)),
            native_ask: Some(Amount(2_345_670_000_000_000_000_000)),
            base_fee: Some(12_345_678_901),
            funding: Some(FundingTerms { rate: state_rate, due: Nanos(10), interval: 100 }),
            now: Nanos(0),
            holding: 450,
        };
        (schedule, state)
    }

    #[test]
    fn a_breakdown_adds_up_to_the_cost() {
        let (schedule, state) = everything(1_000_000);
        let trade = Trade::new(Side::Bid, Liquidity::Taker, Amount::whole(10_000)).expect("a trade");
        let parts: Vec<_> = schedule.breakdown(&trade, &state).collect::<Result<_, _>>().expect("costs");
        let names: Vec<_> = parts.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["fee", "proportional", "fixed", "transfer", "schedule", "gas", "rollup"]);
        assert_eq!(schedule.cost(&trade, &state), Ok(parts.into_iter().map(|(_, amount)| amount).sum()));
        assert_eq!(schedule.time(), 5);
    }

    #[test]
    fn a_cost_without_its_price_is_an_error_not_a_free_trade() {
        let (schedule, state) = everything(0);
        let trade = Trade::new(Side::Bid, Liquidity::Taker, Amount::whole(1)).expect("a trade");
        let unknown = State { native_ask: None, ..state };
        assert_eq!(schedule.cost(&trade, &unknown), Err(CostError::MissingPrice("native currency")));
        let affine = schedule.affine(Side::Bid, Liquidity::Taker, &unknown);
        assert_eq!(affine, Err(CostError::MissingPrice("native currency")));
        let dear = State { native_ask: Some(Amount(i128::MAX)), base_fee: Some(u64::MAX), ..state };
        assert!(matches!(schedule.cost(&trade, &dear), Err(CostError::Overflow(_))));
    }

    proptest! {
        #[test]
        fn the_affine_form_is_the_cost_within_a_count_for_each_part(
            notional in 1..100_000_000_000_000_000_000_000_000_000_i128, buys: bool, takes: bool, rate in -3_000_000_i64..3_000_000,
        ) {
            let (schedule, state) = everything(rate);
            let side = if buys { Side::Bid } else { Side::Ask };
            let liquidity = if takes { Liquidity::Taker } else { Liquidity::Maker };
            let trade = Trade::new(side, liquidity, Amount(notional)).expect("a trade");
            let exact = schedule.cost(&trade, &state).expect("a cost");
            let affine = schedule.affine(side, liquidity, &state).expect("affine").cost(Amount(notional)).expect("fits");
            prop_assert!((0..8).contains(&(exact.0 - affine.0)), "{exact} against {affine}");
        }
    }
}
