//! What a chain charges: gas on a base chain (EIP-1559), and the place where rollups put theirs.

use std::fmt;
use std::sync::Arc;

use super::transfer::Currency;
use super::{Affine, Amount, Cost, CostError, Liquidity, Rate, State, Trade};
use crate::units::Side;

/// How much gas a block aims at is its limit over this (EIP-1559, `ELASTICITY_MULTIPLIER`).
const ELASTICITY: u64 = 2;
/// A block changes the base fee by at most one part in so many (EIP-1559, `BASE_FEE_MAX_CHANGE_DENOMINATOR`).
const MAX_CHANGE: u128 = 8;

/// The base fee of the next block, wei per gas: a full block raises it by an eighth, an empty one lowers it by an eighth,
/// one at half its limit leaves it (EIP-1559, "Specification").
///
/// # Errors
/// [`CostError::Overflow`] if the fee does not fit 64 bits; [`CostError::Block`] if the block's limit is below 2 gas, so
/// that it aims at none, or less than it used.
pub fn next_base_fee(base_fee: u64, gas_used: u64, gas_limit: u64) -> Result<u64, CostError> {
    let target = gas_limit / ELASTICITY;
    if target == 0 || gas_used > gas_limit {
        return Err(CostError::Block { used: gas_used, limit: gas_limit });
    }
    let away = u128::from(gas_used.abs_diff(target));
    let change = u128::from(base_fee) * away / u128::from(target) / MAX_CHANGE;
    let next = if gas_used > target { u128::from(base_fee) + change.max(1) } else { u128::from(base_fee) - change };
    u64::try_from(next).map_err(|_| CostError::Overflow("base fee"))
}

/// The highest base fee that a block so many blocks later can have: all blocks before it full.
///
/// # Errors
/// [`CostError::Overflow`] if it does not fit 64 bits.
pub fn highest_base_fee(base_fee: u64, blocks: u32) -> Result<u64, CostError> {
    // Every block adds at least 1/16 or 1 wei, so 2^64 is passed or the count is done within 1,000 steps or so.
    (0..blocks).try_fold(base_fee, |fee, _| next_base_fee(fee, 2, 2))
}

/// Gas of a transaction on a base chain by EIP-1559, paid in the chain's own currency, which must be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gas {
    /// How much gas the transaction uses.
    pub used: u64,
    /// What it pays the block's builder, wei per gas.
    pub priority_fee: u64,
    /// The most that it pays in all, wei per gas; the priority fee gives way. `None`: no cap.
    pub fee_cap: Option<u64>,
}

impl Gas {
    /// What it costs in the chain's own currency, at the base fee of the state.
    ///
    /// # Errors
    /// [`CostError::MissingState`] without a base fee, [`CostError::FeeCap`] if the cap lies below it.
    pub fn native(&self, state: &State) -> Result<Amount, CostError> {
        let base_fee = state.base_fee.ok_or(CostError::MissingState("base fee"))?;
        let mut price = i128::from(base_fee) + i128::from(self.priority_fee);
        if let Some(cap) = self.fee_cap {
            if cap < base_fee {
                return Err(CostError::FeeCap { cap, base_fee });
            }
            price = price.min(i128::from(cap));
        }
        // 2^64 · 2^65 does not fit 127 bits.
        Amount(price).times(i128::from(self.used)).ok_or(CostError::Overflow("gas"))
    }
}

impl Cost for Gas {
    fn cost(&self, trade: &Trade, state: &State) -> Result<Amount, CostError> {
        if trade.notional().0 == 0 { Ok(Amount::ZERO) } else { Currency::Native.in_quote(self.native(state)?, state) }
    }

    fn affine(&self, _: Side, _: Liquidity, state: &State) -> Result<Affine, CostError> {
        Ok(Affine { rate: Rate::ZERO, fixed: Currency::Native.in_quote(self.native(state)?, state)? })
    }
}

/// How a rollup charges a transaction. Each rollup has a formula of its own; this is where it goes.
pub trait RollupFee: fmt::Debug + Send + Sync {
    /// What a transaction of `size` bytes, as it is posted, costs in the chain's own currency.
    ///
    /// # Errors
    /// [`CostError`] if the state lacks what the formula needs, or the result does not fit.
    fn cost(&self, size: u64, state: &State) -> Result<Amount, CostError>;
}

/// A fee known by other means, such as an estimate that the rollup's node gave.
impl RollupFee for Amount {
    fn cost(&self, _: u64, _: &State) -> Result<Amount, CostError> {
        if self.0 < 0 { Err(CostError::Negative { what: "rollup fee", found: self.0 }) } else { Ok(*self) }
    }
}

/// What a rollup charges for a transaction of some size.
#[derive(Clone, Debug)]
pub struct Rollup {
    /// Bytes of the transaction as it is posted.
    pub size: u64,
    /// How the rollup charges it.
    pub fee: Arc<dyn RollupFee>,
}

impl Cost for Rollup {
    fn cost(&self, trade: &Trade, state: &State) -> Result<Amount, CostError> {
        if trade.notional().0 == 0 {
            return Ok(Amount::ZERO);
        }
        Currency::Native.in_quote(self.fee.cost(self.size, state)?, state)
    }

    fn affine(&self, _: Side, _: Liquidity, state: &State) -> Result<Affine, CostError> {
        Ok(Affine { rate: Rate::ZERO, fixed: Currency::Native.in_quote(self.fee.cost(self.size, state)?, state)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trade() -> Trade {
        Trade::new(Side::Bid, Liquidity::Taker, Amount::whole(100)).expect("a trade")
    }

    #[test]
    fn base_fees_follow_published_vectors() {
        // go-ethereum, consensus/misc/eip1559/eip1559_test.go, `TestCalcBaseFee`: limit 20 M.
        for (used, next) in [(10_000_000, 1_000_000_000), (9_000_000, 987_500_000), (11_000_000, 1_012_500_000)] {
            assert_eq!(next_base_fee(1_000_000_000, used, 20_000_000), Ok(next));
        }
        // alloy-eips, eip1559/helpers.rs, `calculate_base_fee_success`.
        let base = [
            1_000_000_000,
            1_000_000_000,
            1_000_000_000,
            1_072_671_875,
            1_059_263_476,
            1_049_238_967,
            1_049_238_967,
            0,
            1,
            2,
        ];
        let used = [
            10_000_000, 10_000_000, 10_000_000, 9_000_000, 10_001_000, 0, 10_000_000, 10_000_000, 10_000_000,
            10_000_000,
        ];
        let limit = [
            10_000_000, 12_000_000, 14_000_000, 10_000_000, 14_000_000, 2_000_000, 18_000_000, 18_000_000, 18_000_000,
            18_000_000,
        ];
        let next = [
            1_125_000_000,
            1_083_333_333,
            1_053_571_428,
            1_179_939_062,
            1_116_028_649,
            918_084_097,
            1_063_811_730,
            1,
            2,
            3,
        ];
        for i in 0..base.len() {
            assert_eq!(next_base_fee(base[i], used[i], limit[i]), Ok(next[i]), "case {i}");
        }
    }

    #[test]
    fn a_block_without_gas_or_over_its_limit_is_refused() {
        assert!(next_base_fee(1, 0, 1).is_err());
        assert!(next_base_fee(1, 11, 10).is_err());
        assert_eq!(next_base_fee(u64::MAX, 10, 10), Err(CostError::Overflow("base fee")));
    }

    #[test]
    fn the_highest_base_fee_compounds_an_eighth_a_block() {
        assert_eq!(highest_base_fee(80, 0), Ok(80));
        assert_eq!(highest_base_fee(80, 2), Ok(101), "90, then 101.25");
        assert_eq!(highest_base_fee(0, 3), Ok(3));
        assert!(highest_base_fee(1, u32::MAX).is_err());
    }

    #[test]
    fn gas_costs_base_and_priority_fee_at_the_ask_of_the_native_currency() {
        let gwei = 1_000_000_000;
        let swap = Gas { used: 150_000, priority_fee: gwei, fee_cap: None };
        let state = State { base_fee: Some(19 * gwei), native_ask: Some(Amount::whole(2_000)), ..State::default() };
        // 150,000 · 20 gwei = 0.003 of it.
        assert_eq!(swap.cost(&trade(), &state), Ok(Amount::whole(6)));
        let capped = Gas { fee_cap: Some(19 * gwei), ..swap };
        assert_eq!(capped.cost(&trade(), &state), "5.7".parse());
        let low = Gas { fee_cap: Some(gwei), ..swap };
        assert_eq!(low.cost(&trade(), &state), Err(CostError::FeeCap { cap: gwei, base_fee: 19 * gwei }));
        let unknown = State { base_fee: Some(1), ..State::default() };
        assert_eq!(swap.cost(&trade(), &unknown), Err(CostError::MissingPrice("native currency")));
        assert_eq!(swap.cost(&trade(), &State::default()), Err(CostError::MissingState("base fee")));
    }

    #[test]
    fn a_rollup_charges_by_its_own_formula() {
        /// 16 gas for each byte at the base fee.
        #[derive(Debug)]
        struct Calldata;
        impl RollupFee for Calldata {
            fn cost(&self, size: u64, state: &State) -> Result<Amount, CostError> {
                Gas { used: 16 * size, priority_fee: 0, fee_cap: None }.native(state)
            }
        }
        let state = State { base_fee: Some(1_000_000_000), native_ask: Some(Amount::whole(1_000)), ..State::default() };
        let posted = Rollup { size: 500, fee: Arc::new(Calldata) };
        assert_eq!(posted.cost(&trade(), &state), "0.008".parse());
        let estimated = Rollup { size: 500, fee: Arc::new(Amount(-1)) };
        assert!(matches!(estimated.cost(&trade(), &state), Err(CostError::Negative { what: "rollup fee", .. })));
    }
}
