//! Products of many integers, compared exactly.

use std::cmp::Ordering;

/// A fraction of products whose sides grow as factors come.
#[derive(Clone, Debug)]
pub(super) struct Ratio {
    above: Vec<u64>,
    below: Vec<u64>,
    /// A power of ten that multiplies the whole.
    power: i32,
}

impl Ratio {
    pub(super) fn new() -> Self {
        Self { above: vec![1], below: vec![1], power: 0 }
    }

    pub(super) fn multiply(&mut self, factor: u64) {
        times(&mut self.above, factor);
    }

    pub(super) fn divide(&mut self, factor: u64) {
        times(&mut self.below, factor);
    }

    pub(super) const fn shift(&mut self, power: i32) {
        self.power += power;
    }

    /// The fraction against 1.
    pub(super) fn compare_to_one(mut self) -> Ordering {
        let side = if self.power >= 0 { &mut self.above } else { &mut self.below };
        let mut left = self.power.unsigned_abs();
        while left > 0 {
            let step = left.min(19);
            times(side, 10_u64.pow(step));
            left -= step;
        }
        let (above, below) = (trimmed(&self.above), trimmed(&self.below));
        above.len().cmp(&below.len()).then_with(|| above.iter().rev().cmp(below.iter().rev()))
    }
}

/// The number in 64-bit limbs, the lowest first, times a factor.
fn times(number: &mut Vec<u64>, factor: u64) {
    let mut carry = 0_u128;
    for limb in number.iter_mut() {
        let product = u128::from(*limb) * u128::from(factor) + carry;
        #[allow(clippy::cast_possible_truncation)] // the low limb; the high one is carried
        let low = product as u64;
        *limb = low;
        carry = product >> 64;
    }
    if let Ok(high @ 1..) = u64::try_from(carry) {
        number.push(high);
    }
}

fn trimmed(number: &[u64]) -> &[u64] {
    let end = number.iter().rposition(|limb| *limb != 0).map_or(0, |last| last + 1);
    number.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_beyond_128_bits_are_compared_to_the_last_unit() {
        let mut ratio = Ratio::new();
        for _ in 0..5 {
            ratio.multiply(u64::MAX);
            ratio.divide(u64::MAX);
        }
        assert_eq!(ratio.clone().compare_to_one(), Ordering::Equal);
        ratio.multiply(1_000_000_000_000_000_000);
        ratio.divide(999_999_999_999_999_999);
        assert_eq!(ratio.clone().compare_to_one(), Ordering::Greater);
        ratio.shift(-1);
        assert_eq!(ratio.clone().compare_to_one(), Ordering::Less);
        ratio.shift(40);
        assert_eq!(ratio.compare_to_one(), Ordering::Greater);
    }

    #[test]
    fn nothing_is_less_than_one() {
        let mut ratio = Ratio::new();
        ratio.multiply(0);
        assert_eq!(ratio.compare_to_one(), Ordering::Less);
    }
}
