//! Random pools and swaps, and what is noted of an outcome: for the tests here and for those against the peers.

use crossbook::pool::{Concentrated, Exact, Fee, Swap, Token, U256, tick};
use sha2::{Digest, Sha256};

/// SHA-256 of the outcomes of the first 10,000 swaps of seed 6, as `uniswap-v3-sdk` 6.2 and `uniswap_v3_math` 0.6.2 have
/// them: `rust/peers` computes it from theirs.
pub const DIGEST: &str = "8fbfed1d95ad4beea673549286428ad4cab4f7cf57f46cc906e78be4418934b1";

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn between(&mut self, low: i32, high: i32) -> i32 {
        low + i32::try_from(self.below(u64::try_from(high - low + 1).unwrap())).unwrap()
    }

    /// A number of up to so many bits, every length as likely.
    pub fn bits(&mut self, least: u64, most: u64) -> u128 {
        let bits = least + self.below(most - least + 1);
        let all = u128::from(self.next()) << 64 | u128::from(self.next());
        (all | 1 << 127) >> (128 - bits)
    }
}

/// A pool of up to 24 random ranges.
pub fn random_pool(random: &mut Random) -> Concentrated {
    let kinds = [(100, 1), (500, 10), (3_000, 60), (10_000, 200)];
    let (fee, spacing) = kinds[usize::try_from(random.below(4)).unwrap()];
    // Mostly where prices are, sometimes anywhere.
    let reach = if random.below(8) == 0 { 800_000 } else { 60_000 };
    let around = random.between(-reach, reach);
    let mut price = tick::sqrt_price_at(around).unwrap();
    if random.below(4) != 0 {
        let width = tick::sqrt_price_at(around + 1).unwrap() - price;
        price += U256::from(random.next()) * width / U256::from(u64::MAX) - U256::from(u8::from(random.below(9) == 0));
    }
    let mut pool = Concentrated::new(price.max(tick::MIN_SQRT_PRICE), spacing, Fee::pips(fee).unwrap()).unwrap();
    let most = tick::MAX_TICK / spacing * spacing;
    for count in 0.. {
        if count > random.below(24) && !pool.ticks().is_empty() {
            break; // the SDK asks for a tick at least
        }
        // Wide and narrow, near and far.
        let width = 1 + i32::try_from(random.bits(1, 12)).unwrap();
        let middle = around.div_euclid(spacing) + random.between(-2 * width, 2 * width);
        let lower = (middle - width) * spacing;
        let upper = (middle + width) * spacing;
        let _ = pool.mint(lower.max(-most), upper.min(most), random.bits(10, 90));
    }
    pool
}

/// A swap of up to 110 bits, every third with a limit.
pub fn random_swap(random: &mut Random, pool: &Concentrated) -> (Token, Exact, Option<U256>) {
    let token_in = if random.below(2) == 0 { Token::Zero } else { Token::One };
    let amount = U256::from(random.bits(1, 110));
    let exact = if random.below(2) == 0 { Exact::In(amount) } else { Exact::Out(amount) };
    let limit = (random.below(3) == 0).then(|| {
        let by = random.between(1, 20_000);
        let to = if token_in == Token::Zero { pool.tick() - by } else { pool.tick() + 1 + by };
        tick::sqrt_price_at(to.clamp(tick::MIN_TICK + 1, tick::MAX_TICK - 1)).unwrap() + U256::from(random.below(1_000))
    });
    (token_in, exact, limit)
}

/// Notes an outcome.
pub fn note(digest: &mut Sha256, swap: (U256, U256, U256, i32, u128)) {
    let (paid, got, price, tick, liquidity) = swap;
    digest.update(format!("{paid} {got} {price} {tick} {liquidity}\n"));
}

/// What is noted of a swap.
pub const fn outcome(swap: &Swap) -> (U256, U256, U256, i32, u128) {
    (swap.amount_in, swap.amount_out, swap.sqrt_price, swap.tick, swap.liquidity)
}

pub fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
