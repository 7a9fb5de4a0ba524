//! Random numbers for simulations: fast, seeded, the same on every machine.
//!
//! No crate is used because a simulation that was published with its seed must stay the same for ever.

/// xoshiro256++ 1.0 (Blackman & Vigna 2021, "Scrambled linear pseudorandom number generators", ACM TOMS 47(4)), its
/// state filled from the seed by `SplitMix64` as its authors advise. Not for secrets.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The generator of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut at = seed;
        let state = std::array::from_fn(|_| {
            at = at.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = at;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Self { state }
    }

    /// The next 64 bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let t = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= t;
        *d = d.rotate_left(45);
        result
    }

    /// Uniform on `[0, 1)`, a multiple of 2^-53.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Standard normal, by Box and Muller (1958): two uniforms a draw.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Draws from the exponential distribution of mean 1 by the ziggurat of 256 layers (Marsaglia & Tsang 2000, "The
/// ziggurat method for generating random variables", Journal of Statistical Software 5(8)): 98.9 % of draws cost a
/// table look-up and a product.
#[derive(Clone, Debug)]
pub struct Exponential {
    /// Right edges of the layers, from the base (which stands for itself and the tail) to 0 at the top.
    edges: [f64; 257],
    /// `exp(-edge)`.
    heights: [f64; 257],
}

impl Default for Exponential {
    fn default() -> Self {
        Self::new()
    }
}

impl Exponential {
    /// Where the tail begins, and the area of every layer.
    const TAIL: f64 = 7.697_117_470_131_05;
    const AREA: f64 = 0.003_949_659_822_581_572;

    /// The tables.
    #[must_use]
    pub fn new() -> Self {
        let mut edges = [0.0; 257];
        edges[0] = Self::AREA / (-Self::TAIL).exp();
        edges[1] = Self::TAIL;
        for layer in 2..256 {
            edges[layer] = -((-edges[layer - 1]).exp() + Self::AREA / edges[layer - 1]).ln();
        }
        Self { edges, heights: edges.map(|edge| (-edge).exp()) }
    }

    /// One draw.
    #[inline]
    pub fn draw(&self, random: &mut Random) -> f64 {
        loop {
            let bits = random.bits();
            // The low 8 bits choose the layer, the high 53 the place in it: they do not overlap.
            let layer = usize::from(bits.to_le_bytes()[0]);
            let x = (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64) * self.edges[layer];
            if x < self.edges[layer + 1] {
                return x;
            }
            if layer == 0 {
                // Without memory: the tail is the distribution again. 1 - u is never 0.
                return Self::TAIL - (1.0 - random.uniform()).ln();
            }
            let (low, high) = (self.heights[layer], self.heights[layer + 1]);
            if low + (high - low) * random.uniform() < (-x).exp() {
                return x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_sequence() {
        // xoshiro256++ from state [1, 2, 3, 4]: the test of rand_xoshiro 0.6, which ran the authors' C code.
        let mut random = Random { state: [1, 2, 3, 4] };
        let expected = [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386];
        assert_eq!(expected.map(|_| random.bits()), expected);
        // SplitMix64 from 0: its first output, of the authors' C code.
        assert_eq!(Random::new(0).state[0], 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn exponential_draws_have_the_moments_and_the_tail_of_the_distribution() {
        let (mut random, law) = (Random::new(7), Exponential::new());
        let count = 2_000_000;
        let mut draws: Vec<f64> = (0..count).map(|_| law.draw(&mut random)).collect();
        let n = f64::from(count);
        let mean = draws.iter().sum::<f64>() / n;
        let square = draws.iter().map(|x| x * x).sum::<f64>() / n;
        assert!((mean - 1.0).abs() < 5.0 / n.sqrt(), "{mean}");
        assert!((square - 2.0).abs() < 5.0 * 20_f64.sqrt() / n.sqrt(), "{square}");
        draws.sort_by(f64::total_cmp);
        // Kolmogorov's statistic: 1.95 is exceeded with probability 0.001.
        let distance = (1_u32..).zip(&draws).map(|(k, x)| (f64::from(k) / n - (1.0 - (-x).exp())).abs());
        assert!(distance.fold(0.0, f64::max) * n.sqrt() < 1.95);
        let tail = draws.iter().filter(|&&x| x > Exponential::TAIL + 1.0).count() as f64;
        let expected = n * (-Exponential::TAIL - 1.0).exp();
        assert!((tail - expected).abs() < 5.0 * expected.sqrt(), "{tail} against {expected}");
    }

    #[test]
    fn normal_draws_have_the_moments_of_the_distribution() {
        let mut random = Random::new(11);
        let draws: Vec<f64> = (0..1_000_000).map(|_| random.normal()).collect();
        let moment = |k| draws.iter().map(|x: &f64| x.powi(k)).sum::<f64>() / 1e6;
        for (k, expected, deviation) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0_f64)] {
            assert!((moment(k) - expected).abs() < 5.0 * deviation.sqrt() / 1e3, "moment {k}");
        }
    }

    #[test]
    fn the_layers_of_the_ziggurat_close_at_the_top() {
        let law = Exponential::new();
        assert!((law.heights[255] + Exponential::AREA / law.edges[255] - 1.0).abs() < 1e-9);
        assert!(law.edges.windows(2).all(|pair| pair[0] > pair[1]));
    }
}
