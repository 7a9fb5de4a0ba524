//! Ticks and square-root prices: tick `t` is the price 1.0001^t of token 0 in token 1, and a pool holds the square root
//! of it in Q64.96, `sqrt(1.0001^t) × 2^96` rounded up.
//!
//! Both directions give what `TickMath` of Uniswap v3-core gives, bit for bit. That contract multiplies up to twenty
//! constants, truncating after each, lowest bit first; so the product of the ten lowest bits comes from a table of the
//! 1,024 there are, and only the upper ten are multiplied. The way back guesses by a logarithm of floats and lets the
//! exact table decide wherever the guess is within a thousandth of a tick of an edge: the guess errs by less than
//! 10^-8 of a tick, rounding up to Q64.96 by less than 10^-5 (at the lowest price, where one is 2^-32 of it).

use ruint::aliases::U256;

use super::PoolError;
use super::wide::{div, mul_high, to_f64, wide};

/// The lowest tick.
pub const MIN_TICK: i32 = -887_272;
/// The highest tick.
pub const MAX_TICK: i32 = 887_272;
/// The square-root price of [`MIN_TICK`], the lowest that a pool can have.
pub const MIN_SQRT_PRICE: U256 = U256::from_limbs([4_295_128_739, 0, 0, 0]);
/// The square-root price of [`MAX_TICK`]; a pool's is below it.
pub const MAX_SQRT_PRICE: U256 = U256::from_limbs([0x5d95_1d52_6398_8d26, 0xefd1_fc6a_5064_8849, 0xfffd_8963, 0]);

/// `2^128 / sqrt(1.0001)^(2^i)`, as v3-core has them.
const FACTORS: [u128; 20] = [
    0xfffc_b933_bd6f_ad37_aa2d_162d_1a59_4001,
    0xfff9_7272_373d_4132_59a4_6990_580e_213a,
    0xfff2_e50f_5f65_6932_ef12_357c_f3c7_fdcc,
    0xffe5_caca_7e10_e4e6_1c36_24ea_a094_1cd0,
    0xffcb_9843_d60f_6159_c9db_5883_5c92_6644,
    0xff97_3b41_fa98_c081_472e_6896_dfb2_54c0,
    0xff2e_a164_66c9_6a38_43ec_78b3_26b5_2861,
    0xfe5d_ee04_6a99_a2a8_11c4_61f1_969c_3053,
    0xfcbe_86c7_900a_88ae_dcff_c83b_479a_a3a4,
    0xf987_a725_3ac4_1317_6f2b_074c_f781_5e54,
    0xf339_2b08_22b7_0005_940c_7a39_8e4b_70f3,
    0xe715_9475_a2c2_9b74_43b2_9c7f_a6e8_89d9,
    0xd097_f3bd_fd20_22b8_845a_d8f7_92aa_5825,
    0xa9f7_4646_2d87_0fdf_8a65_dc1f_90e0_61e5,
    0x70d8_69a1_56d2_a1b8_90bb_3df6_2baf_32f7,
    0x31be_135f_97d0_8fd9_8123_1505_542f_cfa6,
    0x09aa_508b_5b7a_84e1_c677_de54_f3e9_9bc9,
    0x005d_6af8_dedb_8119_6699_c329_225e_e604,
    0x0000_2216_e584_f5fa_1ea9_2604_1bed_fe98,
    0x0000_0000_048a_1703_91f7_dc42_444e_8fa2,
];

const LOW_BITS: u32 = 10;

/// What the chain of products is after the lowest ten bits. Entry 0 stands for 2^128, which does not fit.
static LOW: [u128; 1 << LOW_BITS] = {
    let mut table = [0; 1 << LOW_BITS];
    let mut index = 1;
    while index < table.len() {
        let mut ratio = 0;
        let mut bit = 0;
        while bit < LOW_BITS as usize {
            if index >> bit & 1 == 1 {
                ratio = if ratio == 0 { FACTORS[bit] } else { mul_high(ratio, FACTORS[bit]) };
            }
            bit += 1;
        }
        table[index] = ratio;
        index += 1;
    }
    table
};

/// The square-root price of a tick, as `TickMath.getSqrtRatioAtTick`.
///
/// # Errors
/// [`PoolError::Tick`] unless it is from [`MIN_TICK`] to [`MAX_TICK`].
#[inline]
pub fn sqrt_price_at(tick: i32) -> Result<U256, PoolError> {
    if !(MIN_TICK..=MAX_TICK).contains(&tick) {
        return Err(PoolError::Tick(tick));
    }
    let distance = tick.unsigned_abs();
    let mut ratio = LOW[(distance & ((1 << LOW_BITS) - 1)) as usize];
    let mut upper = distance >> LOW_BITS;
    if ratio == 0 {
        if upper == 0 {
            return Ok(wide(1 << 96));
        }
        ratio = FACTORS[(LOW_BITS + upper.trailing_zeros()) as usize];
        upper &= upper - 1;
    }
    while upper != 0 {
        ratio = mul_high(ratio, FACTORS[(LOW_BITS + upper.trailing_zeros()) as usize]);
        upper &= upper - 1;
    }
    if tick < 0 {
        let shifted = (ratio >> 32) + u128::from(ratio & 0xffff_ffff != 0);
        return Ok(wide(shifted));
    }
    let inverse = div(&U256::MAX, &wide(ratio)).unwrap_or(U256::ZERO); // the ratio is never 0
    let inexact = inverse.as_limbs()[0] & 0xffff_ffff != 0;
    Ok((inverse >> 32_usize) + U256::from(u8::from(inexact)))
}

/// The largest tick whose square-root price is at most `sqrt_price`, as `TickMath.getTickAtSqrtRatio`.
///
/// # Errors
/// [`PoolError::SqrtPrice`] unless it is from [`MIN_SQRT_PRICE`] to below [`MAX_SQRT_PRICE`].
#[inline]
pub fn tick_at(sqrt_price: &U256) -> Result<i32, PoolError> {
    /// `2 / ln(1.0001)`: a tick is half a step of a square-root price's logarithm.
    const TICKS_PER_LOG: f64 = 20_000.999_983_334_168;
    /// `96 ln(2)`.
    const LOG_Q96: f64 = 66.542_129_333_754_75;
    if *sqrt_price < MIN_SQRT_PRICE || *sqrt_price >= MAX_SQRT_PRICE {
        return Err(PoolError::SqrtPrice(*sqrt_price));
    }
    let guess = (to_f64(sqrt_price).ln() - LOG_Q96) * TICKS_PER_LOG;
    #[allow(clippy::cast_possible_truncation)] // less than a million
    let floor = guess.floor() as i32;
    let above = guess - f64::from(floor);
    if above > 1e-3 && above < 1.0 - 1e-3 {
        return Ok(floor);
    }
    // Near an edge: the tick is that of the edge or the one below it.
    let edge = if above > 0.5 { floor + 1 } else { floor };
    if edge > MAX_TICK || (edge > MIN_TICK && sqrt_price_at(edge)? > *sqrt_price) {
        Ok(edge - 1)
    } else {
        Ok(edge.max(MIN_TICK))
    }
}

/// The price of token 0 in token 1 that a square-root price stands for, in raw amounts, as a float.
#[must_use]
pub fn price_of(sqrt_price: &U256) -> f64 {
    let root = to_f64(sqrt_price) / 79_228_162_514_264_337_593_543_950_336.0;
    root * root
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test a failure may panic
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The contract's own way, multiplication by multiplication.
    fn model(tick: i32) -> U256 {
        let mut ratio = U256::ONE << 128_usize;
        for (bit, &factor) in FACTORS.iter().enumerate() {
            if tick.unsigned_abs() >> bit & 1 == 1 {
                ratio = (ratio * wide(factor)) >> 128_usize;
            }
        }
        if tick > 0 {
            ratio = U256::MAX / ratio;
        }
        (ratio >> 32_usize) + U256::from(u8::from(!(ratio & U256::from(u32::MAX)).is_zero()))
    }

    #[test]
    fn prices_of_ticks_are_those_of_the_contract() {
        // v3-core test/TickMath.spec.ts, its snapshot of getSqrtRatioAtTick.
        for (tick, expected) in [
            (MIN_TICK, "4295128739"),
            (MIN_TICK + 1, "4295343490"),
            (-50, "79030349367926598376800521322"),
            (0, "79228162514264337593543950336"),
            (50, "79426470787362580746886972461"),
            (100, "79625275426524748796330556128"),
            (250_000, "21246587762933397357449903968194344"),
            (500_000, "5697689776495288729098254600827762987878"),
            (MAX_TICK - 1, "1461373636630004318706518188784493106690254656249"),
            (MAX_TICK, "1461446703485210103287273052203988822378723970342"),
        ] {
            assert_eq!(sqrt_price_at(tick).unwrap().to_string(), expected, "{tick}");
        }
        assert_eq!(sqrt_price_at(MIN_TICK).unwrap(), MIN_SQRT_PRICE);
        assert_eq!(sqrt_price_at(MAX_TICK).unwrap(), MAX_SQRT_PRICE);
    }

    #[test]
    fn every_tick_is_found_again_at_both_its_edges() {
        // All 1,774,544, since the guess by floats must never decide wrongly.
        let step = if std::env::var("CROSSBOOK_SLOW").is_ok() { 1 } else { 7 };
        for tick in (MIN_TICK..MAX_TICK).step_by(step) {
            let price = sqrt_price_at(tick).unwrap();
            assert_eq!(price, model(tick), "{tick}");
            assert_eq!(tick_at(&price), Ok(tick));
            if tick > MIN_TICK {
                assert_eq!(tick_at(&(price - U256::ONE)), Ok(tick - 1));
            }
        }
        assert_eq!(tick_at(&(MAX_SQRT_PRICE - U256::ONE)), Ok(MAX_TICK - 1));
    }

    #[test]
    fn what_lies_outside_is_an_error() {
        for tick in [MIN_TICK - 1, MAX_TICK + 1, i32::MIN, i32::MAX] {
            assert_eq!(sqrt_price_at(tick), Err(PoolError::Tick(tick)));
        }
        for price in [U256::ZERO, MIN_SQRT_PRICE - U256::ONE, MAX_SQRT_PRICE, U256::MAX] {
            assert_eq!(tick_at(&price), Err(PoolError::SqrtPrice(price)));
        }
    }

    proptest! {
        #[test]
        fn a_price_lies_between_its_tick_and_the_next(bits in 32..160_usize, random in any::<[u64; 3]>()) {
            let random = U256::from_limbs([random[0], random[1], random[2], 0]);
            let price = (U256::ONE << bits) | (random & ((U256::ONE << bits) - U256::ONE));
            prop_assume!((MIN_SQRT_PRICE..MAX_SQRT_PRICE).contains(&price));
            let tick = tick_at(&price).unwrap();
            prop_assert!(sqrt_price_at(tick).unwrap() <= price);
            prop_assert!(price < sqrt_price_at(tick + 1).unwrap());
        }
    }
}
