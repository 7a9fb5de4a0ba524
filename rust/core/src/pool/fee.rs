//! Fees as exact fractions of what is paid in.

use std::fmt;

use ruint::aliases::U256;

use super::PoolError;
use super::wide::{Divisor, mul_div, mul_div_up, narrow, wide};

/// A proportional fee on what is paid in, as exact parts of a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fee {
    parts: u32,
    whole: u32,
    by_kept: Divisor,
    by_whole: Divisor,
}

impl fmt::Debug for Fee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fee({} of {})", self.parts, self.whole)
    }
}

impl Fee {
    /// 3 of 1,000: Uniswap v2, 30 bp.
    pub const UNISWAP_V2: Self = Self::checked(3, 1_000);

    const fn checked(parts: u32, whole: u32) -> Self {
        Self { parts, whole, by_kept: Divisor::new((whole - parts) as u64), by_whole: Divisor::new(whole as u64) }
    }

    /// `parts` of `whole`.
    ///
    /// # Errors
    /// [`PoolError::Fee`] unless it is below one.
    pub const fn new(parts: u32, whole: u32) -> Result<Self, PoolError> {
        if parts < whole { Ok(Self::checked(parts, whole)) } else { Err(PoolError::Fee { parts, whole }) }
    }

    /// Parts per million, as Uniswap v3 counts.
    ///
    /// # Errors
    /// [`PoolError::Fee`] unless it is below one.
    pub const fn pips(pips: u32) -> Result<Self, PoolError> {
        Self::new(pips, 1_000_000)
    }

    /// The parts that are the fee.
    #[must_use]
    pub const fn parts(self) -> u32 {
        self.parts
    }

    /// The parts that make the whole.
    #[must_use]
    pub const fn whole(self) -> u32 {
        self.whole
    }

    /// The parts that are left after the fee.
    #[inline]
    #[must_use]
    pub const fn kept(self) -> u32 {
        self.whole - self.parts
    }

    /// The share that is left after the fee, as a float.
    #[must_use]
    pub fn factor(self) -> f64 {
        f64::from(self.kept()) / f64::from(self.whole)
    }

    /// What is left of an amount after the fee, rounded down.
    #[inline]
    pub(super) fn after(&self, amount: &U256) -> Option<U256> {
        match narrow(amount).and_then(|amount| amount.checked_mul(u128::from(self.kept()))) {
            Some(product) => Some(wide(self.by_whole.divide(product).0)),
            None => mul_div(amount, &U256::from(self.kept()), &U256::from(self.whole)),
        }
    }

    /// The fee on top of an amount that is left after it, rounded up.
    #[inline]
    pub(super) fn on_top(&self, amount: &U256) -> Option<U256> {
        match narrow(amount).and_then(|amount| amount.checked_mul(u128::from(self.parts))) {
            Some(product) => {
                let (fee, inexact) = self.by_kept.divide(product);
                Some(wide(fee + u128::from(inexact)))
            }
            None => mul_div_up(amount, &U256::from(self.parts), &U256::from(self.kept())),
        }
    }
}
