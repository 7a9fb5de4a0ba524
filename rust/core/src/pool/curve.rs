//! A pool in floats: what duals, bisections and closed forms evaluate millions of times.
//!
//! Within constant liquidity `L` every pool here is the same curve in the square root `s` of its price: token 1 moves by
//! `L Δs`, token 0 by `L Δ(1/s)`. A constant-product pool is one such segment without ends, `L = sqrt(x y)`, `s =
//! sqrt(y / x)`; a concentrated one is a row of them, and their sums are made once, so that a price far away costs one
//! binary search. Amounts are raw, fees are on top of what is paid in, nothing is rounded: round with the exact pool.

use super::tick::price_of;
use super::wide::to_f64;
use super::{Concentrated, ConstantProduct, Pool, Token};

/// A stretch of constant liquidity, walked away from the pool's price.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Segment {
    /// The root of the price where it begins, nearer to the pool's.
    near: f64,
    /// Where it ends.
    far: f64,
    liquidity: f64,
    /// Moved of token 0 and token 1, both positive, before it.
    before: [f64; 2],
}

impl Segment {
    /// Moved of token 0 and token 1 from the pool's price to one within the segment.
    #[inline]
    fn moved(&self, root: f64) -> [f64; 2] {
        let zero = self.liquidity * ((self.near - root) / (self.near * root)).abs();
        [self.before[0] + zero, self.before[1] + self.liquidity * (self.near - root).abs()]
    }
}

/// What a trade until a marginal price moves, in floats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    /// The token paid in.
    pub token_in: Token,
    /// How much of it, fee included.
    pub amount_in: f64,
    /// How much of the other token comes out.
    pub amount_out: f64,
    /// `L / s`, `L s`: how fast amounts of token 0 and 1 change with the logarithm of `s`, without the fee.
    pub(crate) slope: [f64; 2],
}

/// A pool's curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    root: f64,
    factor: f64,
    /// Down (token 0 is paid in) and up, by `Token as usize`; never empty.
    segments: [Vec<Segment>; 2],
}

impl From<&ConstantProduct> for Curve {
    #[allow(clippy::cast_precision_loss)] // analytics begin here
    fn from(pool: &ConstantProduct) -> Self {
        let [x, y] = pool.reserves().map(|reserve| reserve as f64);
        let (near, liquidity) = ((y / x).sqrt(), (x * y).sqrt());
        let segment = |far| vec![Segment { near, far, liquidity, before: [0.0; 2] }];
        Self { root: near, factor: pool.fee().factor(), segments: [segment(0.0), segment(f64::INFINITY)] }
    }
}

impl From<&Concentrated> for Curve {
    #[allow(clippy::cast_precision_loss)]
    fn from(pool: &Concentrated) -> Self {
        let root = to_f64(&pool.sqrt_price()) / to_f64(&super::sqrt_price::Q96);
        let (below, above) = pool.ticks().split_at(pool.place());
        let walk = |ticks: &mut dyn Iterator<Item = (f64, i128)>| {
            let (mut liquidity, mut near) = (pool.liquidity(), root);
            let (mut before, mut row) = ([0.0; 2], Vec::new());
            for (far, change) in ticks {
                let segment = Segment { near, far, liquidity: liquidity as f64, before };
                before = segment.moved(far);
                row.push(segment);
                liquidity = liquidity.saturating_add_signed(change);
                near = far;
            }
            // Beyond the last tick nothing moves.
            row.push(Segment { near, far: near, liquidity: 0.0, before });
            row
        };
        let sqrt = |price| price_of(&price).sqrt();
        let down = walk(&mut below.iter().rev().map(|tick| (sqrt(tick.sqrt_price()), -tick.net)));
        let up = walk(&mut above.iter().map(|tick| (sqrt(tick.sqrt_price()), tick.net)));
        Self { root, factor: pool.fee().factor(), segments: [down, up] }
    }
}

impl From<&Pool> for Curve {
    fn from(pool: &Pool) -> Self {
        match pool {
            Pool::ConstantProduct(pool) => pool.into(),
            Pool::Concentrated(pool) => pool.into(),
        }
    }
}

impl Curve {
    /// The price of token 0 in token 1 before fees.
    #[must_use]
    pub fn mid(&self) -> f64 {
        self.root * self.root
    }

    /// The share of what is paid in that is left after the fee.
    #[must_use]
    pub const fn factor(&self) -> f64 {
        self.factor
    }

    /// The price of token 0 in token 1 of the next small trade, after the fee.
    #[must_use]
    pub fn marginal_price(&self, token_in: Token) -> f64 {
        match token_in {
            Token::Zero => self.mid() * self.factor,
            Token::One => self.mid() / self.factor,
        }
    }

    /// The trade until the marginal price after the fee is `price`: what [`Pool::to_price`] rounds. None if the pool's
    /// price is worse already.
    #[inline]
    #[must_use]
    pub fn to_price(&self, token_in: Token, price: f64) -> Option<Flow> {
        let root = match token_in {
            Token::Zero => (price / self.factor).sqrt(),
            Token::One => (price * self.factor).sqrt(),
        };
        let worse = match token_in {
            Token::Zero => root >= self.root,
            Token::One => root <= self.root,
        };
        if worse || root.is_nan() { None } else { Some(self.moved(token_in, root)) }
    }

    /// The trade that an outside price of token 0 in token 1 makes worth doing: the one that maximises what comes out at
    /// that price less what is paid in. None inside the band of the fee.
    #[inline]
    #[must_use]
    pub fn arbitrage(&self, price: f64) -> Option<Flow> {
        self.to_price(Token::Zero, price).or_else(|| self.to_price(Token::One, price))
    }

    /// What paying in this amount gives. Of a concentrated pool that takes less, what it gives for all it takes.
    ///
    /// Unlike the difference of two roots this keeps its digits where the amount is small against the pool.
    #[inline]
    #[must_use]
    pub fn output(&self, token_in: Token, amount_in: f64) -> f64 {
        let paid = amount_in * self.factor;
        let (row, index) = (&self.segments[token_in as usize], token_in as usize);
        let place = row.partition_point(|segment| segment.before[index] <= paid).max(1) - 1;
        let Segment { near, liquidity, before, .. } = row[place];
        let rest = (paid - before[index]).max(0.0);
        let within = match token_in {
            _ if liquidity == 0.0 => 0.0,
            Token::Zero => rest * near * near * liquidity / rest.mul_add(near, liquidity),
            Token::One => rest / (near * (near + rest / liquidity)),
        };
        before[token_in.other() as usize] + within
    }

    /// `L / s` and `L s` at the pool's price: how a trade would begin.
    #[inline]
    pub(crate) fn slope(&self) -> [f64; 2] {
        let liquidity = self.segments[0][0].liquidity;
        [liquidity / self.root, liquidity * self.root]
    }

    /// What a trade that moves so much of `token`, fee apart, moves of the other token, fee apart too, and the root of the
    /// price that it leaves. None if the curve ends before. Keeps its digits where the amount is small against the pool.
    #[must_use]
    pub(crate) fn at_amount(&self, token_in: Token, token: Token, amount: f64) -> Option<(f64, f64)> {
        let (row, index) = (&self.segments[token_in as usize], token as usize);
        let place = row.partition_point(|segment| segment.before[index] <= amount).max(1) - 1;
        let Segment { near, liquidity, before, .. } = row[place];
        let rest = (amount - before[index]).max(0.0);
        let other = before[token.other() as usize];
        if rest == 0.0 {
            return Some((other, near));
        }
        // Token 1 moves by L Δs, token 0 by L Δ(1/s).
        let root = match (token, token_in) {
            (Token::One, Token::Zero) => near - rest / liquidity,
            (Token::One, Token::One) => near + rest / liquidity,
            (Token::Zero, Token::Zero) => 1.0 / (1.0 / near + rest / liquidity),
            (Token::Zero, Token::One) => 1.0 / (1.0 / near - rest / liquidity),
        };
        let ratio = near * root;
        let moved = if token == Token::Zero { rest * ratio } else { rest / ratio };
        (root > 0.0 && moved.is_finite()).then_some((other + moved, root))
    }

    /// The stretch that a trade begins in: roots of the price where it begins and ends, and its liquidity.
    #[inline]
    pub(crate) fn first(&self, token_in: Token) -> (f64, f64, f64) {
        let segment = &self.segments[token_in as usize][0];
        (segment.near, segment.far, segment.liquidity)
    }

    /// All that a trade can move of `token`, fee apart; infinite or all of the reserve where there is no end.
    pub(crate) fn most(&self, token_in: Token, token: Token) -> f64 {
        let row = &self.segments[token_in as usize];
        match row.as_slice() {
            // One stretch without an end: a reserve comes out at most, anything goes in.
            [only] if only.near != only.far => {
                if token == token_in {
                    f64::INFINITY
                } else if token == Token::Zero {
                    only.liquidity / only.near
                } else {
                    only.liquidity * only.near
                }
            }
            _ => row.last().map_or(0.0, |last| last.before[token as usize]),
        }
    }

    #[inline]
    fn moved(&self, token_in: Token, root: f64) -> Flow {
        let row = &self.segments[token_in as usize];
        let place = if row.len() == 1 {
            0
        } else {
            row.partition_point(|segment| match token_in {
                Token::Zero => segment.far > root,
                Token::One => segment.far < root,
            })
        };
        let segment = &row[place.min(row.len() - 1)];
        let root = match token_in {
            Token::Zero => root.max(segment.far).min(segment.near),
            Token::One => root.min(segment.far).max(segment.near),
        };
        let moved = segment.moved(root);
        Flow {
            token_in,
            amount_in: moved[token_in as usize] / self.factor,
            amount_out: moved[token_in.other() as usize],
            slope: [segment.liquidity / root, segment.liquidity * root],
        }
    }
}

impl Flow {
    /// What it brings at an outside price of token 0 in token 1, in token 1.
    #[must_use]
    pub fn profit(&self, price: f64) -> f64 {
        match self.token_in {
            Token::Zero => self.amount_out - self.amount_in * price,
            Token::One => self.amount_out * price - self.amount_in,
        }
    }
}
