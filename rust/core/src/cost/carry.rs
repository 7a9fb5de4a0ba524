//! What holding a position costs: funding of perpetuals, interest on what was borrowed.

use super::{Affine, Amount, Cost, CostError, Liquidity, Rate, State, Trade};
use crate::units::{Nanos, Side};

/// A perpetual's next funding, as its venue announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FundingTerms {
    /// What longs pay to shorts at each funding, in 10^-10 of the position (as events of kind `Funding` have it).
    pub rate: i64,
    /// When the next one is due.
    pub due: Nanos,
    /// Time between fundings, ns.
    pub interval: i64,
}

/// Funding of a perpetual that is held for [`State::holding`]: a buyer pays the rate, a seller receives it, at every
/// funding time after now up to the end of the holding.
///
/// Only the next rate is known. It is taken for the later ones too where it is paid; where it is received only the next
/// one counts. The position counts at its entry notional.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Funding;

impl Funding {
    /// What the position pays in all, parts per billion rounded up.
    fn rate(side: Side, state: &State) -> Result<Rate, CostError> {
        let terms = state.funding.ok_or(CostError::MissingState("funding"))?;
        let holding = held(state)?;
        if terms.interval <= 0 {
            return Err(CostError::NotPositive { what: "funding interval", found: terms.interval });
        }
        // A due time that has passed stands for the next one of its grid.
        let wait = i128::from(terms.due.0) - i128::from(state.now.0);
        let interval = i128::from(terms.interval);
        let wait = if wait > 0 { wait } else { wait.rem_euclid(interval) };
        let wait = if wait == 0 { interval } else { wait };
        let times = if wait > holding { 0 } else { 1 + (holding - wait) / interval };
        let paid = match side {
            Side::Bid => i128::from(terms.rate),
            Side::Ask => -i128::from(terms.rate),
        };
        let times = if paid < 0 { times.min(1) } else { times };
        let ppb = -(-(paid * times)).div_euclid(10);
        i64::try_from(ppb).map(Rate).map_err(|_| CostError::Overflow("funding"))
    }
}

impl Cost for Funding {
    fn cost(&self, trade: &Trade, state: &State) -> Result<Amount, CostError> {
        trade.notional().share(Self::rate(trade.side(), state)?).ok_or(CostError::Overflow("funding"))
    }

    fn affine(&self, side: Side, _: Liquidity, state: &State) -> Result<Affine, CostError> {
        Ok(Affine { rate: Self::rate(side, state)?, fixed: Amount::ZERO })
    }
}

/// Interest on what a trade borrows: the quote currency of a purchase, the base currency of a sale.
///
/// Every period that has begun counts in full, the first one even if the position is closed at once, because that is how
/// venues charge a margin loan by the hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Borrow {
    rate: Rate,
    period: i64,
}

impl Borrow {
    /// A loan at `rate` for each `period` of so many ns.
    ///
    /// # Errors
    /// [`CostError::Negative`] if the rate is, or the period is below 1 ns.
    pub const fn new(rate: Rate, period: i64) -> Result<Self, CostError> {
        if rate.0 < 0 {
            return Err(CostError::Negative { what: "interest rate", found: rate.0 as i128 });
        }
        if period <= 0 {
            return Err(CostError::NotPositive { what: "interest period", found: period });
        }
        Ok(Self { rate, period })
    }

    fn total(&self, state: &State) -> Result<Rate, CostError> {
        let period = i128::from(self.period);
        let periods = ((held(state)? + period - 1) / period).max(1);
        i64::try_from(i128::from(self.rate.0) * periods).map(Rate).map_err(|_| CostError::Overflow("interest"))
    }
}

impl Cost for Borrow {
    fn cost(&self, trade: &Trade, state: &State) -> Result<Amount, CostError> {
        trade.notional().share(self.total(state)?).ok_or(CostError::Overflow("interest"))
    }

    fn affine(&self, _: Side, _: Liquidity, state: &State) -> Result<Affine, CostError> {
        Ok(Affine { rate: self.total(state)?, fixed: Amount::ZERO })
    }
}

fn held(state: &State) -> Result<i128, CostError> {
    if state.holding < 0 {
        return Err(CostError::Negative { what: "holding", found: i128::from(state.holding) });
    }
    Ok(i128::from(state.holding))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn cost(what: &impl Cost, side: Side, state: &State) -> Result<Amount, CostError> {
        what.cost(&Trade::new(side, Liquidity::Taker, Amount::whole(10_000)).expect("a trade"), state)
    }

    fn state(rate: i64, wait: i64, holding: i64) -> State {
        let now = Nanos(1_700_000_000_000_000_000);
        let terms = FundingTerms { rate, due: Nanos(now.0 + wait), interval: 8 * HOUR };
        State { funding: Some(terms), now, holding, ..State::default() }
    }

    #[test]
    fn a_long_pays_at_each_funding_time_up_to_the_end_of_the_holding() {
        // 1 bp of 10,000 is 1.
        let paid = |holding| cost(&Funding, Side::Bid, &state(1_000_000, HOUR, holding));
        assert_eq!(paid(HOUR - 1), Ok(Amount::ZERO));
        assert_eq!(paid(HOUR), Ok(Amount::ONE));
        assert_eq!(paid(9 * HOUR - 1), Ok(Amount::ONE));
        assert_eq!(paid(9 * HOUR), Ok(Amount::whole(2)));
    }

    #[test]
    fn who_receives_funding_counts_the_known_payment_alone() {
        assert_eq!(cost(&Funding, Side::Ask, &state(1_000_000, HOUR, 90 * HOUR)), Ok(Amount::whole(-1)));
        assert_eq!(cost(&Funding, Side::Bid, &state(-1_000_000, HOUR, 90 * HOUR)), Ok(Amount::whole(-1)));
    }

    #[test]
    fn a_due_time_that_has_passed_is_followed_by_the_next_of_its_grid() {
        assert_eq!(cost(&Funding, Side::Bid, &state(1_000_000, -HOUR, 7 * HOUR)), Ok(Amount::ONE));
        assert_eq!(cost(&Funding, Side::Bid, &state(1_000_000, -HOUR, 7 * HOUR - 1)), Ok(Amount::ZERO));
        assert_eq!(cost(&Funding, Side::Bid, &state(1_000_000, 0, 8 * HOUR)), Ok(Amount::ONE), "due now is past");
    }

    #[test]
    fn unknown_funding_is_an_error() {
        assert_eq!(cost(&Funding, Side::Bid, &State::default()), Err(CostError::MissingState("funding")));
        let mut backwards = state(1, HOUR, HOUR);
        backwards.holding = -1;
        assert!(matches!(cost(&Funding, Side::Bid, &backwards), Err(CostError::Negative { what: "holding", .. })));
    }

    #[test]
    fn a_loan_is_charged_by_begun_periods_and_at_least_one() {
        let loan = Borrow::new(Rate(10_000), HOUR).expect("a loan");
        let tenth = "0.1".parse().expect("an amount");
        let of = |holding| cost(&loan, Side::Ask, &State { holding, ..State::default() });
        assert_eq!(of(0), Ok(tenth));
        assert_eq!(of(HOUR), Ok(tenth));
        assert_eq!(of(HOUR + 1), "0.2".parse());
        assert!(Borrow::new(Rate(-1), HOUR).is_err() && Borrow::new(Rate(1), 0).is_err());
    }
}
