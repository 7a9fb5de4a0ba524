//! Moving what was traded to another venue or chain.

use super::{Affine, Amount, Cost, CostError, Liquidity, Rate, State, Trade};
use crate::units::Side;

/// The currency that a cost accrues in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Currency {
    /// The base currency of the trade.
    Base,
    /// Its quote currency.
    Quote,
    /// The currency in which the chain charges gas.
    Native,
}

impl Currency {
    /// What an amount of it costs in the quote currency, rounded up, at the ask of the state.
    pub(super) fn in_quote(self, amount: Amount, state: &State) -> Result<Amount, CostError> {
        let (name, price) = match self {
            Self::Base => ("base currency", state.base_ask),
            Self::Quote => return Ok(amount),
            Self::Native => ("native currency", state.native_ask),
        };
        let price = price.ok_or(CostError::MissingPrice(name))?;
        if price.0 < 0 {
            return Err(CostError::Negative { what: "price", found: price.0 });
        }
        amount.at(price).ok_or(CostError::Overflow("conversion to the quote currency"))
    }
}

/// A withdrawal or another transfer: a fixed fee in kind, a proportional one, and the time until the money is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    currency: Currency,
    fixed: Amount,
    rate: Rate,
    time: i64,
}

impl Transfer {
    /// A transfer of what was traded that costs `fixed` of `currency` and `rate` of the notional, and takes `time` ns.
    ///
    /// # Errors
    /// [`CostError::Negative`] or [`CostError::RateRange`].
    pub fn new(currency: Currency, fixed: Amount, rate: Rate, time: i64) -> Result<Self, CostError> {
        if fixed.0 < 0 {
            return Err(CostError::Negative { what: "transfer fee", found: fixed.0 });
        }
        if rate.0 < 0 {
            return Err(CostError::Negative { what: "transfer rate", found: i128::from(rate.0) });
        }
        if time < 0 {
            return Err(CostError::Negative { what: "transfer time", found: i128::from(time) });
        }
        Ok(Self { currency, fixed, rate: rate.checked("transfer fee")?, time })
    }
}

impl Cost for Transfer {
    fn cost(&self, trade: &Trade, state: &State) -> Result<Amount, CostError> {
        if trade.notional().0 == 0 {
            return Ok(Amount::ZERO);
        }
        let part = trade.notional().share(self.rate).ok_or(CostError::Overflow("transfer fee"))?;
        part.checked_add(self.currency.in_quote(self.fixed, state)?).ok_or(CostError::Overflow("transfer fee"))
    }

    fn affine(&self, _: Side, _: Liquidity, state: &State) -> Result<Affine, CostError> {
        Ok(Affine { rate: self.rate, fixed: self.currency.in_quote(self.fixed, state)? })
    }

    fn time(&self) -> i64 {
        self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withdrawal_in_kind_costs_what_buying_its_fee_costs() {
        let fee: Amount = "0.0001".parse().expect("an amount");
        let withdrawal = Transfer::new(Currency::Base, fee, Rate::ZERO, 600_000_000_000).expect("a transfer");
        let trade = Trade::new(Side::Bid, Liquidity::Taker, Amount::whole(500)).expect("a trade");
        let state = State { base_ask: Some(Amount::whole(60_000)), ..State::default() };
        assert_eq!(withdrawal.cost(&trade, &state), Ok(Amount::whole(6)));
        assert_eq!(withdrawal.time(), 600_000_000_000);
        assert_eq!(withdrawal.cost(&trade, &State::default()), Err(CostError::MissingPrice("base currency")));
    }

    #[test]
    fn a_transfer_that_pays_the_user_is_refused() {
        assert!(matches!(Transfer::new(Currency::Quote, Amount(-1), Rate(0), 0), Err(CostError::Negative { .. })));
        assert!(matches!(Transfer::new(Currency::Quote, Amount(0), Rate(-1), 0), Err(CostError::Negative { .. })));
        assert!(matches!(Transfer::new(Currency::Quote, Amount(0), Rate(0), -1), Err(CostError::Negative { .. })));
    }
}
