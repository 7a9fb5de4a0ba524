//! Exact `a × b / d` over 512 bits.
//!
//! Every amount of a pool is such a quotient, so this is what a swap costs. Division is schoolbook (Knuth, *The Art of
//! Computer Programming* 2, 4.3.1, algorithm D) by a reciprocal of the divisor's two top words (Möller and Granlund,
//! *Improved division by invariant integers*, IEEE Transactions on Computers 60, 2011): the processor divides once per
//! quotient, not once per word of it. `ruint` holds the numbers; its general division is the model that tests compare
//! this with.

use ruint::aliases::{U256, U512};

/// Low word of a product or sum.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the low word is meant
pub(crate) const fn low(x: u128) -> u64 {
    x as u64
}

/// High word of a product or sum.
#[inline]
#[allow(clippy::cast_possible_truncation)] // 64 bits are left
pub(crate) const fn high(x: u128) -> u64 {
    (x >> 64) as u64
}

/// Two words as one number.
#[inline(always)]
const fn join(high: u64, low: u64) -> u128 {
    (high as u128) << 64 | low as u128
}

/// Product of two words.
#[inline(always)]
const fn product(a: u64, b: u64) -> u128 {
    a as u128 * b as u128
}

/// The upper 128 bits of a 256-bit product.
#[inline]
pub(crate) const fn mul_high(a: u128, b: u128) -> u128 {
    let low_low = product(low(a), low(b));
    let (low_high, high_low) = (product(low(a), high(b)), product(high(a), low(b)));
    let middle = high(low_low) as u128 + low(low_high) as u128 + low(high_low) as u128;
    product(high(a), high(b)) + high(low_high) as u128 + high(high_low) as u128 + high(middle) as u128
}

/// Words of a 128-bit number in a 256-bit one.
#[inline]
pub(crate) const fn wide(x: u128) -> U256 {
    U256::from_limbs([low(x), high(x), 0, 0])
}

/// The number if it fits 128 bits.
#[inline]
pub(crate) const fn narrow(x: &U256) -> Option<u128> {
    let limbs = x.as_limbs();
    if limbs[2] | limbs[3] == 0 { Some(join(limbs[1], limbs[0])) } else { None }
}

/// How many words of a number are not leading zeros.
#[inline]
fn words(limbs: &[u64]) -> usize {
    limbs.iter().rposition(|&limb| limb != 0).map_or(0, |index| index + 1)
}

/// The product, 512 bits wide. Words that are zero cost little: most amounts fit two words.
#[inline]
fn multiply(a: &U256, b: &U256) -> [u64; 8] {
    let (a, b) = (a.as_limbs(), b.as_limbs());
    let mut out = [0; 8];
    for i in 0..4 {
        if a[i] == 0 {
            continue;
        }
        let mut carry = 0;
        for j in 0..4 {
            let sum = product(a[i], b[j]) + u128::from(out[i + j]) + u128::from(carry);
            out[i + j] = low(sum);
            carry = high(sum);
        }
        out[i + 4] = carry;
    }
    out
}

/// `floor((2^128 - 1) / d) - 2^64` of a word whose top bit is set.
#[inline(always)]
const fn reciprocal(d: u64) -> u64 {
    debug_assert!(d >> 63 == 1);
    low(join(!d, u64::MAX) / d as u128)
}

/// `floor((2^192 - 1) / d) - 2^64` of two words whose top bit is set: algorithm 6 of Möller and Granlund.
#[inline(always)]
fn reciprocal_of_two(d1: u64, d0: u64) -> u64 {
    let mut v = reciprocal(d1);
    let mut p = d1.wrapping_mul(v).wrapping_add(d0);
    if p < d0 {
        v = v.wrapping_sub(1);
        if p >= d1 {
            v = v.wrapping_sub(1);
            p = p.wrapping_sub(d1);
        }
        p = p.wrapping_sub(d1);
    }
    let t = product(v, d0);
    let (sum, overflow) = p.overflowing_add(high(t));
    if overflow {
        v = v.wrapping_sub(1);
        if join(sum, low(t)) >= join(d1, d0) {
            v = v.wrapping_sub(1);
        }
    }
    v
}

/// `(u1, u0) / d` for `u1 < d`: algorithm 4 of the same.
#[inline(always)]
fn divide_two(u1: u64, u0: u64, d: u64, v: u64) -> (u64, u64) {
    let q = product(v, u1).wrapping_add(join(u1, u0));
    let (mut q1, q0) = (high(q).wrapping_add(1), low(q));
    let mut r = u0.wrapping_sub(q1.wrapping_mul(d));
    if r > q0 {
        q1 = q1.wrapping_sub(1);
        r = r.wrapping_add(d);
    }
    if r >= d {
        q1 = q1.wrapping_add(1);
        r -= d;
    }
    (q1, r)
}

/// `(u2, u1, u0) / (d1, d0)` for `(u2, u1) < (d1, d0)`: algorithm 5 of the same.
#[inline(always)]
fn divide_three(u2: u64, u1: u64, u0: u64, d: u128, v: u64) -> (u64, u128) {
    let (d1, d0) = (high(d), low(d));
    let q = product(v, u2).wrapping_add(join(u2, u1));
    let (mut q1, q0) = (high(q), low(q));
    let r1 = u1.wrapping_sub(q1.wrapping_mul(d1));
    let mut r = join(r1, u0).wrapping_sub(d).wrapping_sub(product(d0, q1));
    q1 = q1.wrapping_add(1);
    if high(r) >= q0 {
        q1 = q1.wrapping_sub(1);
        r = r.wrapping_add(d);
    }
    if r >= d {
        q1 = q1.wrapping_add(1);
        r = r.wrapping_sub(d);
    }
    (q1, r)
}

/// A divisor of one word with its reciprocal, for those that do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Divisor {
    /// With its top bit set.
    scaled: u64,
    shift: u32,
    reciprocal: u64,
}

impl Divisor {
    /// The divisor `d`, which must not be 0.
    pub const fn new(d: u64) -> Self {
        let shift = d.leading_zeros();
        let scaled = d << shift;
        Self { scaled, shift, reciprocal: reciprocal(scaled) }
    }

    /// `floor(n / d)` and whether something is left.
    #[inline]
    pub fn divide(&self, n: u128) -> (u128, bool) {
        // The upper word loses nothing: the shift brings its top bits into a word of their own.
        let top = if self.shift == 0 { 0 } else { high(n) >> (64 - self.shift) };
        let n = n << self.shift;
        let (q1, rest) = divide_two(top, high(n), self.scaled, self.reciprocal);
        let (q0, rest) = divide_two(rest, low(n), self.scaled, self.reciprocal);
        (join(q1, q0), rest != 0)
    }
}

/// Shifts words up by less than a word and gives what falls out at the top.
#[inline(always)]
fn shift_up(limbs: &mut [u64], shift: u32) -> u64 {
    if shift == 0 {
        return 0;
    }
    let mut carry = 0;
    for limb in limbs {
        let out = *limb >> (64 - shift);
        *limb = *limb << shift | carry;
        carry = out;
    }
    carry
}

/// Algorithm D for a divisor of exactly `N >= 2` words.
#[inline(never)]
fn divide_by<const N: usize>(n: &[u64; 8], d: &[u64]) -> Option<(U256, bool)> {
    let mut d: [u64; N] = std::array::from_fn(|index| d[index]);
    let shift = d[N - 1].leading_zeros();
    shift_up(&mut d, shift);
    let count = words(n);
    let mut u = [0; 9];
    u[..8].copy_from_slice(n);
    u[8] = shift_up(&mut u[..8], shift);
    let top = join(d[N - 1], d[N - 2]);
    let v = reciprocal_of_two(d[N - 1], d[N - 2]);
    let mut q = [0; 4];
    // The word above the number's own takes what the shift brings.
    for j in (0..=count.saturating_sub(N)).rev() {
        let (u2, u1, u0) = (u[j + N], u[j + N - 1], u[j + N - 2]);
        if u2 == 0 && join(u1, u0) < top {
            continue;
        }
        let mut digit = if join(u2, u1) >= top {
            u64::MAX // then the digit is that, or less; the check below says which
        } else {
            divide_three(u2, u1, u0, top, v).0
        };
        let (mut carry, mut borrow) = (0, false);
        for i in 0..N {
            let sum = product(digit, d[i]) + u128::from(carry);
            carry = high(sum);
            let (difference, first) = u[i + j].overflowing_sub(low(sum));
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            u[i + j] = difference;
            borrow = first | second;
        }
        let (difference, first) = u2.overflowing_sub(carry);
        let (difference, second) = difference.overflowing_sub(u64::from(borrow));
        u[j + N] = difference;
        let mut negative = first | second;
        while negative {
            digit -= 1;
            let mut carry = false;
            for i in 0..N {
                let (sum, first) = u[i + j].overflowing_add(d[i]);
                let (sum, second) = sum.overflowing_add(u64::from(carry));
                u[i + j] = sum;
                carry = first | second;
            }
            let (sum, overflow) = u[j + N].overflowing_add(u64::from(carry));
            u[j + N] = sum;
            negative = !overflow;
        }
        if j >= 4 {
            if digit != 0 {
                return None;
            }
        } else {
            q[j] = digit;
        }
    }
    Some((U256::from_limbs(q), u[..N].iter().any(|&limb| limb != 0)))
}

/// Division by one word.
#[inline(never)]
fn divide_by_word(n: &[u64; 8], d: u64) -> Option<(U256, bool)> {
    let shift = d.leading_zeros();
    let d = d << shift;
    let mut u = *n;
    let mut rest = shift_up(&mut u, shift);
    let v = reciprocal(d);
    let mut q = [0; 4];
    for j in (0..8).rev() {
        if rest == 0 && u[j] < d {
            rest = u[j];
            continue;
        }
        let (digit, r) = divide_two(rest, u[j], d, v);
        rest = r;
        if j >= 4 {
            if digit != 0 {
                return None;
            }
        } else {
            q[j] = digit;
        }
    }
    Some((U256::from_limbs(q), rest != 0))
}

/// `floor(n / d)` and whether something is left; `None` if `d` is 0 or the quotient needs more than 256 bits. The divisor
/// has at most five words.
#[inline]
fn divide(n: &[u64; 8], d: &[u64]) -> Option<(U256, bool)> {
    match words(d) {
        0 => None,
        1 => divide_by_word(n, d[0]),
        2 => divide_by::<2>(n, d),
        3 => divide_by::<3>(n, d),
        4 => divide_by::<4>(n, d),
        _ => divide_by::<5>(n, d),
    }
}

/// `l × width × 2^96` and `a × b`, of numbers of 128 and 160 bits.
#[inline]
fn between(l: u128, width: &U256, a: &U256, b: &U256) -> ([u64; 8], [u64; 5]) {
    let (l, width) = ([low(l), high(l)], width.as_limbs());
    let mut n = [0; 8];
    for (i, &l) in l.iter().enumerate() {
        let mut carry = 0;
        for j in 0..3 {
            let sum = product(l, width[j]) + u128::from(n[i + j + 1]) + u128::from(carry);
            n[i + j + 1] = low(sum);
            carry = high(sum);
        }
        n[i + 4] = carry;
    }
    n[6] = shift_up(&mut n[1..6], 32);
    let (a, b) = (a.as_limbs(), b.as_limbs());
    let mut d = [0; 6];
    for i in 0..3 {
        let mut carry = 0;
        for j in 0..3 {
            let sum = product(a[i], b[j]) + u128::from(d[i + j]) + u128::from(carry);
            d[i + j] = low(sum);
            carry = high(sum);
        }
        d[i + 3] = carry;
    }
    debug_assert!(d[5] == 0, "square-root prices have 160 bits");
    (n, [d[0], d[1], d[2], d[3], d[4]])
}

/// `l × width × 2^96 / (a × b)`, rounded up or down, of numbers of 128 and 160 bits; `None` if `a` or `b` is 0.
///
/// Rounded division by `b` and then by `a` is rounded division by their product, so one does for the contract's two.
#[inline]
pub(crate) fn mul_div_twice(l: u128, width: &U256, a: &U256, b: &U256, up: bool) -> Option<U256> {
    let (n, d) = between(l, width, a, b);
    let found = divide(&n, &d)?;
    if up { round_up(found) } else { Some(found.0) }
}

/// Whether [`mul_div_twice`], rounded up, is `guess`: two products instead of a division.
#[inline]
pub(crate) fn is_mul_div_twice_up(guess: u128, l: u128, width: &U256, a: &U256, b: &U256) -> bool {
    let (n, d) = between(l, width, a, b);
    let mut rest = [0; 8];
    for (i, &word) in [low(guess), high(guess)].iter().enumerate() {
        let mut carry = 0;
        for j in 0..5 {
            let sum = product(word, d[j]) + u128::from(rest[i + j]) + u128::from(carry);
            rest[i + j] = low(sum);
            carry = high(sum);
        }
        rest[i + 5] = carry;
    }
    // 0 <= guess × d - n < d
    let mut borrow = false;
    for (rest, n) in rest.iter_mut().zip(n) {
        let (difference, first) = rest.overflowing_sub(n);
        let (difference, second) = difference.overflowing_sub(u64::from(borrow));
        *rest = difference;
        borrow = first | second;
    }
    !borrow && rest[5..] == [0; 3] && rest[..5].iter().rev().lt(d.iter().rev())
}

/// `a × b` if it fits 256 bits.
#[inline]
pub(crate) fn checked_product(a: &U256, b: &U256) -> Option<U256> {
    let [l0, l1, l2, l3, h0, h1, h2, h3] = multiply(a, b);
    (h0 | h1 | h2 | h3 == 0).then(|| U256::from_limbs([l0, l1, l2, l3]))
}

#[inline]
fn round_up((q, inexact): (U256, bool)) -> Option<U256> {
    if inexact { q.checked_add(U256::ONE) } else { Some(q) }
}

/// `floor(a × b / d)`; `None` if `d` is 0 or the result needs more than 256 bits.
#[inline]
#[must_use]
pub fn mul_div(a: &U256, b: &U256, d: &U256) -> Option<U256> {
    divide(&multiply(a, b), d.as_limbs()).map(|(q, _)| q)
}

/// `ceil(a × b / d)`; `None` if `d` is 0 or the result needs more than 256 bits.
#[inline]
#[must_use]
pub fn mul_div_up(a: &U256, b: &U256, d: &U256) -> Option<U256> {
    divide(&multiply(a, b), d.as_limbs()).and_then(round_up)
}

/// `floor(n / d)`; `None` if `d` is 0.
#[inline]
#[must_use]
pub fn div(n: &U256, d: &U256) -> Option<U256> {
    divide(&extend(n), d.as_limbs()).map(|(q, _)| q)
}

/// `ceil(n / d)`; `None` if `d` is 0.
#[inline]
#[must_use]
pub fn div_up(n: &U256, d: &U256) -> Option<U256> {
    divide(&extend(n), d.as_limbs()).and_then(round_up)
}

#[inline]
fn extend(n: &U256) -> [u64; 8] {
    let mut out = [0; 8];
    out[..4].copy_from_slice(n.as_limbs());
    out
}

/// `a × b` as 512 bits, for comparisons of fractions.
#[inline]
pub(crate) fn full_product(a: &U256, b: &U256) -> U512 {
    U512::from_limbs(multiply(a, b))
}

/// `floor(sqrt(n))` of a number below 2^512.
///
/// Newton's iteration from above, in integers: it falls until it is there (Cohen, *A Course in Computational Algebraic
/// Number Theory*, algorithm 1.7.1).
#[must_use]
pub fn sqrt(n: U512) -> U256 {
    if n.is_zero() {
        return U256::ZERO;
    }
    let bits = n.bit_len();
    let mut x = U512::ONE << bits.div_ceil(2);
    loop {
        let next = (x + n / x) >> 1_usize;
        if next >= x {
            // Below 2^256, since the number is below 2^512.
            return U256::from_limbs(std::array::from_fn(|index| x.as_limbs()[index]));
        }
        x = next;
    }
}

/// A float within 2^-50 of the number, for analytics and first guesses.
#[inline]
#[must_use]
#[allow(clippy::cast_precision_loss)] // analytics begin here
pub fn to_f64(x: &U256) -> f64 {
    const WORD: f64 = 18_446_744_073_709_551_616.0;
    let [a, b, c, d] = *x.as_limbs();
    let lower = b as f64 * WORD + a as f64;
    if c | d == 0 { lower } else { (d as f64 * WORD + c as f64) * (WORD * WORD) + lower }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test a failure may panic
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Words that are empty, full, or nearly so, since that is where digits are corrected.
    fn word() -> impl Strategy<Value = u64> {
        prop_oneof![3 => Just(0), 1 => Just(u64::MAX), 1 => Just(1 << 63), 1 => 0..4_u64, 6 => any::<u64>()]
    }

    fn number() -> impl Strategy<Value = U256> {
        (prop::array::uniform4(word()), 0..256_usize).prop_map(|(limbs, shift)| U256::from_limbs(limbs) >> shift)
    }

    fn model(a: U256, b: U256, d: U256) -> Option<(U256, bool)> {
        if d.is_zero() {
            return None;
        }
        let (q, r) = (full_product(&a, &b)).div_rem(U512::from(d));
        (q.bit_len() <= 256).then(|| (U256::from_limbs_slice(&q.as_limbs()[..4]), !r.is_zero()))
    }

    #[test]
    fn a_digit_that_is_one_too_large_is_corrected() {
        // Knuth, 4.3.1, exercise 21: dividends just below a multiple of the divisor need the add-back.
        let d = U256::from_limbs([u64::MAX, 0, 1 << 63, 0]);
        let a = U256::from_limbs([0, 0, 0, (1 << 63) - 1]);
        assert_eq!(mul_div(&a, &U256::from(1_u64 << 40), &d), model(a, U256::from(1_u64 << 40), d).map(|(q, _)| q));
    }

    #[test]
    fn division_by_zero_and_a_quotient_that_is_too_long_are_none() {
        assert_eq!(mul_div(&U256::ONE, &U256::ONE, &U256::ZERO), None);
        assert_eq!(mul_div(&U256::MAX, &U256::from(2), &U256::ONE), None);
        assert_eq!(mul_div_up(&U256::MAX, &U256::from(3), &U256::from(2)), None);
        assert_eq!(mul_div_up(&U256::MAX, &U256::MAX, &U256::MAX), Some(U256::MAX));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn quotients_are_those_of_the_general_division(a in number(), b in number(), d in number()) {
            let expected = model(a, b, d);
            prop_assert_eq!(mul_div(&a, &b, &d), expected.map(|(q, _)| q));
            prop_assert_eq!(mul_div_up(&a, &b, &d), expected.and_then(round_up));
            let expected = model(a, U256::ONE, d);
            prop_assert_eq!(div(&a, &d), expected.map(|(q, _)| q));
            prop_assert_eq!(div_up(&a, &d), expected.and_then(round_up));
        }

        #[test]
        fn a_root_is_the_largest_whose_square_is_no_larger(a in number(), b in number()) {
            let n = full_product(&a, &b);
            let root = sqrt(n);
            prop_assert!(full_product(&root, &root) <= n);
            if let Some(next) = root.checked_add(U256::ONE) {
                prop_assert!(full_product(&next, &next) > n);
            }
        }

        #[test]
        fn a_divisor_with_its_reciprocal_divides(n in any::<u128>(), shift in 0..128_u32, d in word()) {
            let d = d.max(1);
            let n = n >> shift;
            prop_assert_eq!(Divisor::new(d).divide(n), (n / u128::from(d), n % u128::from(d) != 0));
        }

        #[test]
        fn division_by_two_prices_at_once_is_division_by_one_after_the_other(
            l in any::<u128>(), l_shift in 0..128_u32, width in number(), a in number(), b in number(), shift in 0..160_usize,
        ) {
            let (l, width) = (l >> l_shift, width >> 96_usize);
            let (a, b) = ((a >> 96_usize) >> shift, (b >> 96_usize) | U256::ONE);
            let n = full_product(&(wide(l) << 96_usize), &width);
            let (a_wide, b_wide) = (U512::from(a), U512::from(b));
            for up in [false, true] {
                let expected = (!a.is_zero()).then(|| {
                    if up { n.div_ceil(b_wide).div_ceil(a_wide) } else { n / b_wide / a_wide }
                });
                let expected = expected.filter(|q| q.bit_len() <= 256).map(|q| U256::from_limbs_slice(&q.as_limbs()[..4]));
                prop_assert_eq!(mul_div_twice(l, &width, &a, &b, up), expected);
                if let (true, Some(expected)) = (up, expected.as_ref().and_then(narrow)) {
                    for guess in [expected.saturating_sub(1), expected, expected.saturating_add(1), u128::MAX] {
                        prop_assert_eq!(is_mul_div_twice_up(guess, l, &width, &a, &b), guess == expected);
                    }
                }
            }
        }

        #[test]
        fn the_upper_half_of_a_product_is_that_of_the_wide_product(a in any::<u128>(), b in any::<u128>()) {
            let expected = full_product(&wide(a), &wide(b)) >> 128_usize;
            prop_assert_eq!(U512::from(mul_high(a, b)), expected);
        }
    }
}
