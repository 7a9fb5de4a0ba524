//! How long orders take.

use std::sync::Arc;

/// How long something takes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delay {
    /// Always so many ns.
    Constant(i64),
    /// One of these, ns, drawn with equal chance. Draws depend on the seed, the venue and the instant at which an order is
    /// sent, so traders that send at one instant draw the same.
    Samples(Arc<[i64]>, u64),
}

impl Delay {
    /// How long an order takes that is sent now.
    pub(super) fn draw(&self, now: i64, venue: usize) -> i64 {
        match self {
            Self::Constant(ns) => *ns,
            Self::Samples(samples, seed) => {
                let key = mixed(mixed(*seed ^ now.cast_unsigned()).wrapping_add(venue as u64));
                // Multiplied instead of divided: the bias is below 2^-32 for up to 2^32 samples.
                let at = (u128::from(key) * samples.len() as u128) >> 64;
                usize::try_from(at).ok().and_then(|at| samples.get(at)).copied().unwrap_or_default()
            }
        }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, 2014).
const fn mixed(key: u64) -> u64 {
    let key = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ (key >> 31)
}
