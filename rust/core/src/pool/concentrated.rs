//! Concentrated liquidity: Uniswap v3 and its copies.
//!
//! Liquidity lies in ranges between ticks. A pool holds the ticks where it changes, sorted, with their square-root prices
//! at hand, and its place among them, so that the next tick is a neighbour and not a search. A swap takes the very steps
//! of the contract: `swap` stops not only at initialised ticks but at the end of every word of its tick bitmap (256
//! spacings), and rounds at each stop, so those stops are made here too, without the bitmap.
//!
//! The pool keeps the liquidity of ranges, not who provided it, and no account of the fees that providers earned: a
//! swap says what its fee was. There is no protocol fee (it comes out of the providers' part and changes no swap).

use std::ops::Range;

use ruint::aliases::U256;

use super::sqrt_price::{amount_0, amount_1};
use super::step::{Exact, step};
use super::tick::{MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK, price_of, sqrt_price_at, tick_at};
use super::wide::{full_product, sqrt};
use super::{Fee, PoolError, Ratio, Token, Trade};

/// Spacings in a word of the contract's tick bitmap.
const WORD: i32 = 256;

/// An initialised tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Its index.
    pub index: i32,
    /// Liquidity that begins here less liquidity that ends here, as the price rises.
    pub net: i128,
    /// Liquidity that begins or ends here.
    pub gross: u128,
    /// Its square-root price.
    sqrt_price: U256,
}

impl Tick {
    /// A tick with the net and gross liquidity of the positions that begin or end there.
    ///
    /// # Errors
    /// [`PoolError::Tick`] out of range.
    pub fn new(index: i32, net: i128, gross: u128) -> Result<Self, PoolError> {
        Ok(Self { index, net, gross, sqrt_price: sqrt_price_at(index)? })
    }

    /// Its square-root price.
    #[must_use]
    pub const fn sqrt_price(&self) -> U256 {
        self.sqrt_price
    }
}

/// What a swap moves and where it leaves the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swap {
    /// The token paid in.
    pub token_in: Token,
    /// How much of it, fee included.
    pub amount_in: U256,
    /// How much of the other token comes out.
    pub amount_out: U256,
    /// The fee, part of `amount_in`.
    pub fee: U256,
    /// The square-root price after.
    pub sqrt_price: U256,
    /// The tick after.
    pub tick: i32,
    /// The liquidity in range after.
    pub liquidity: u128,
    /// How many steps it took.
    pub steps: u32,
    /// How many initialised ticks it crossed.
    pub crossed: u32,
    /// Whether all of the amount was traded; if not, the price is at the limit.
    pub is_filled: bool,
    /// Place among the ticks after.
    place: usize,
}

impl Swap {
    /// What it moves.
    #[must_use]
    pub const fn trade(&self) -> Trade {
        Trade { token_in: self.token_in, amount_in: self.amount_in, amount_out: self.amount_out }
    }
}

/// A pool of concentrated liquidity.
///
/// ```
/// use crossbook::pool::{Concentrated, Fee, Token, U256};
///
/// // All of the range, liquidity 2e18, at price 1.
/// let mut pool = Concentrated::new(U256::from(1) << 96, 60, Fee::pips(3_000).unwrap()).unwrap();
/// pool.mint(-887_220, 887_220, 2 * 10_u128.pow(18)).unwrap();
/// let trade = pool.swap_in(Token::Zero, &U256::from(10_u128.pow(18))).unwrap();
/// assert_eq!(trade.amount_out, U256::from(665_331_998_665_331_998_u128));
/// assert_eq!(pool.tick(), -8_090);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Concentrated {
    sqrt_price: U256,
    tick: i32,
    liquidity: u128,
    fee: Fee,
    spacing: i32,
    ticks: Vec<Tick>,
    /// How many of the ticks are at or below `tick`.
    place: usize,
}

impl Concentrated {
    /// A pool without liquidity at a square-root price in Q64.96. The fee is in pips: its whole must be a million.
    ///
    /// # Errors
    /// [`PoolError::SqrtPrice`], [`PoolError::Spacing`] (1 to 16383), [`PoolError::Fee`].
    pub fn new(sqrt_price: U256, spacing: i32, fee: Fee) -> Result<Self, PoolError> {
        if !(1..=16_383).contains(&spacing) {
            return Err(PoolError::Spacing(spacing));
        }
        if fee.whole() != 1_000_000 {
            return Err(PoolError::Fee { parts: fee.parts(), whole: fee.whole() });
        }
        let tick = tick_at(&sqrt_price)?;
        Ok(Self { sqrt_price, tick, liquidity: 0, fee, spacing, ticks: Vec::new(), place: 0 })
    }

    /// A pool as a chain tells it: its price, its tick and its initialised ticks in rising order. The liquidity in range
    /// follows from them. The tick is that of the price, except where a falling swap stopped at an initialised tick:
    /// then it is one less.
    ///
    /// # Errors
    /// As [`Self::new`]; [`PoolError::TickOfPrice`]; [`PoolError::OffSpacing`]; [`PoolError::Ticks`] if no set of
    /// positions makes these ticks.
    pub fn from_ticks(
        sqrt_price: U256,
        tick: i32,
        spacing: i32,
        fee: Fee,
        ticks: Vec<Tick>,
    ) -> Result<Self, PoolError> {
        let mut pool = Self::new(sqrt_price, spacing, fee)?;
        if tick != pool.tick {
            if tick != pool.tick - 1 || sqrt_price_at(pool.tick)? != sqrt_price {
                return Err(PoolError::TickOfPrice { tick, expected: pool.tick, sqrt_price });
            }
            pool.tick = tick;
        }
        let most = pool.most_per_tick();
        let (mut last, mut held) = (None, 0_u128);
        for found in &ticks {
            let wrong = |expected| PoolError::Ticks { tick: found.index, expected };
            pool.check_tick(found.index)?;
            if last.is_some_and(|last| last >= found.index) {
                return Err(wrong("ticks in rising order"));
            }
            if found.gross == 0
                || found.net.unsigned_abs() > found.gross
                || (found.gross - found.net.unsigned_abs()) % 2 != 0
            {
                return Err(wrong("gross liquidity above 0, at least the net, and even with it"));
            }
            if found.gross > most {
                return Err(wrong("gross liquidity of at most the contract's limit for the spacing"));
            }
            held = held
                .checked_add_signed(found.net)
                .ok_or_else(|| wrong("liquidity between 0 and 2^128 - 1 above it"))?;
            if found.index <= pool.tick {
                pool.liquidity = held;
                pool.place += 1;
            }
            last = Some(found.index);
        }
        if let (Some(tick), true) = (last, held != 0) {
            return Err(PoolError::Ticks { tick, expected: "no liquidity above the highest tick" });
        }
        pool.ticks = ticks;
        Ok(pool)
    }

    fn check_tick(&self, tick: i32) -> Result<(), PoolError> {
        if !(MIN_TICK..=MAX_TICK).contains(&tick) {
            Err(PoolError::Tick(tick))
        } else if tick % self.spacing != 0 {
            Err(PoolError::OffSpacing { tick, spacing: self.spacing })
        } else {
            Ok(())
        }
    }

    /// The most gross liquidity of a tick, so that their sum fits 128 bits (`tickSpacingToMaxLiquidityPerTick`).
    #[must_use]
    pub fn most_per_tick(&self) -> u128 {
        let ticks = 2 * (MAX_TICK / self.spacing) + 1;
        u128::MAX / u128::from(ticks.unsigned_abs())
    }

    /// The square-root price, Q64.96.
    #[must_use]
    pub const fn sqrt_price(&self) -> U256 {
        self.sqrt_price
    }

    /// The tick.
    #[must_use]
    pub const fn tick(&self) -> i32 {
        self.tick
    }

    /// The liquidity in range.
    #[must_use]
    pub const fn liquidity(&self) -> u128 {
        self.liquidity
    }

    /// The fee.
    #[must_use]
    pub const fn fee(&self) -> Fee {
        self.fee
    }

    /// The tick spacing.
    #[must_use]
    pub const fn spacing(&self) -> i32 {
        self.spacing
    }

    /// The initialised ticks in rising order.
    #[must_use]
    pub fn ticks(&self) -> &[Tick] {
        &self.ticks
    }

    /// How many of the initialised ticks are at or below the pool's.
    #[must_use]
    pub const fn place(&self) -> usize {
        self.place
    }

    /// The price of token 0 in token 1 between the quotes, as a float.
    #[must_use]
    pub fn mid(&self) -> f64 {
        price_of(&self.sqrt_price)
    }

    /// The places of the ticks of a range: where they are, or belong.
    fn find(&self, tick: i32) -> Result<usize, usize> {
        self.ticks.binary_search_by_key(&tick, |tick| tick.index)
    }

    /// What the range holds of token 0 and 1 for so much liquidity.
    fn amounts(&self, range: &Range<i32>, liquidity: u128, up: bool) -> Result<(U256, U256), PoolError> {
        let (lower, upper) = (sqrt_price_at(range.start)?, sqrt_price_at(range.end)?);
        Ok(if self.tick < range.start {
            (amount_0(&lower, &upper, liquidity, up)?, U256::ZERO)
        } else if self.tick < range.end {
            let price = &self.sqrt_price;
            (amount_0(price, &upper, liquidity, up)?, amount_1(&lower, price, liquidity, up)?)
        } else {
            (U256::ZERO, amount_1(&lower, &upper, liquidity, up)?)
        })
    }

    fn check_range(&self, lower: i32, upper: i32, liquidity: u128) -> Result<Range<i32>, PoolError> {
        self.check_tick(lower)?;
        self.check_tick(upper)?;
        if lower >= upper {
            return Err(PoolError::Range { lower, upper });
        }
        if liquidity == 0 {
            return Err(PoolError::Zero("liquidity"));
        }
        Ok(lower..upper)
    }

    /// Adds liquidity to a range of ticks and says what it costs of token 0 and token 1, rounded up.
    ///
    /// # Errors
    /// [`PoolError::Tick`], [`PoolError::OffSpacing`], [`PoolError::Range`], [`PoolError::Zero`];
    /// [`PoolError::Overflow`] beyond [`Self::most_per_tick`].
    pub fn mint(&mut self, lower: i32, upper: i32, liquidity: u128) -> Result<(U256, U256), PoolError> {
        const TOO_MUCH: PoolError = PoolError::Overflow("liquidity of a tick");
        let range = self.check_range(lower, upper, liquidity)?;
        let amounts = self.amounts(&range, liquidity, true)?;
        let most = self.most_per_tick();
        for tick in [lower, upper] {
            let gross = self.find(tick).map_or(0, |place| self.ticks[place].gross);
            if gross.checked_add(liquidity).is_none_or(|gross| gross > most) {
                return Err(TOO_MUCH);
            }
        }
        let net = i128::try_from(liquidity).map_err(|_| TOO_MUCH)?;
        for (index, net) in [(lower, net), (upper, -net)] {
            match self.find(index) {
                Ok(place) => {
                    self.ticks[place].net += net;
                    self.ticks[place].gross += liquidity;
                }
                Err(place) => self.ticks.insert(place, Tick::new(index, net, liquidity)?),
            }
        }
        if range.contains(&self.tick) {
            self.liquidity += liquidity;
        }
        self.place = self.ticks.partition_point(|tick| tick.index <= self.tick);
        Ok(amounts)
    }

    /// The most liquidity that can be taken from a range and leave ticks that positions could have made.
    fn held(&self, range: &Range<i32>) -> u128 {
        let (Ok(first), Ok(last)) = (self.find(range.start), self.find(range.end)) else {
            return 0;
        };
        // A tick's gross holds what begins there and what ends there.
        let (lower, upper) = (&self.ticks[first], &self.ticks[last]);
        let begins = (lower.gross - lower.net.unsigned_abs()) / 2 + lower.net.max(0).unsigned_abs();
        let ends = (upper.gross - upper.net.unsigned_abs()) / 2 + upper.net.min(0).unsigned_abs();
        let mut liquidity = self.ticks[..first].iter().fold(0_u128, |sum, tick| sum.saturating_add_signed(tick.net));
        let mut least = begins.min(ends);
        for tick in &self.ticks[first..last] {
            liquidity = liquidity.saturating_add_signed(tick.net);
            least = least.min(liquidity);
        }
        least
    }

    /// Takes liquidity out of a range of ticks and says what it brings of token 0 and token 1, rounded down. Fees that
    /// it earned are not part of it.
    ///
    /// # Errors
    /// As [`Self::mint`]; [`PoolError::Burn`] if the range holds less.
    pub fn burn(&mut self, lower: i32, upper: i32, liquidity: u128) -> Result<(U256, U256), PoolError> {
        let range = self.check_range(lower, upper, liquidity)?;
        let held = self.held(&range);
        if liquidity > held {
            return Err(PoolError::Burn { lower, upper, held, asked: liquidity });
        }
        let amounts = self.amounts(&range, liquidity, false)?;
        // What a tick holds is below 2^127, so this holds.
        let net = i128::try_from(liquidity).map_err(|_| PoolError::Overflow("liquidity of a tick"))?;
        for (index, net) in [(lower, -net), (upper, net)] {
            if let Ok(place) = self.find(index) {
                self.ticks[place].net += net;
                self.ticks[place].gross -= liquidity;
                if self.ticks[place].gross == 0 {
                    self.ticks.remove(place);
                }
            }
        }
        if range.contains(&self.tick) {
            self.liquidity -= liquidity;
        }
        self.place = self.ticks.partition_point(|tick| tick.index <= self.tick);
        Ok(amounts)
    }

    /// What a swap would do; the pool does not change. It ends when the amount is traded or the price is at `limit`, a
    /// square-root price; without one, at the lowest or the highest price there is, as the contract's callers ask for.
    ///
    /// # Errors
    /// [`PoolError::Zero`] for an amount of 0; [`PoolError::Overflow`] for one of 2^255 or more; [`PoolError::Limit`]
    /// for a limit on the wrong side of the price; [`PoolError::SqrtPrice`] for one out of range.
    pub fn quote(&self, token_in: Token, exact: Exact, limit: Option<U256>) -> Result<Swap, PoolError> {
        if exact.amount().is_zero() {
            return Err(PoolError::Zero("amount"));
        }
        if exact.amount().bit_len() > 255 {
            return Err(PoolError::Overflow("amount"));
        }
        let limit = self.check_limit(token_in, limit)?;
        let mut swap = Swap {
            token_in,
            amount_in: U256::ZERO,
            amount_out: U256::ZERO,
            fee: U256::ZERO,
            sqrt_price: self.sqrt_price,
            tick: self.tick,
            liquidity: self.liquidity,
            steps: 0,
            crossed: 0,
            is_filled: false,
            place: self.place,
        };
        self.run(&mut swap, exact, &limit)?;
        Ok(swap)
    }

    fn check_limit(&self, token_in: Token, limit: Option<U256>) -> Result<U256, PoolError> {
        let current = self.sqrt_price;
        let limit = limit.unwrap_or(match token_in {
            Token::Zero => MIN_SQRT_PRICE + U256::ONE,
            Token::One => MAX_SQRT_PRICE - U256::ONE,
        });
        if limit <= MIN_SQRT_PRICE || limit >= MAX_SQRT_PRICE {
            return Err(PoolError::SqrtPrice(limit));
        }
        let wrong = if token_in == Token::Zero { limit >= current } else { limit <= current };
        if wrong { Err(PoolError::Limit { limit, current, token_in }) } else { Ok(limit) }
    }

    /// Goes on with a swap until the amount is traded or the price is at the limit.
    fn run(&self, swap: &mut Swap, exact: Exact, limit: &U256) -> Result<(), PoolError> {
        const AMOUNT: PoolError = PoolError::Overflow("amount of the swap");
        let falling = swap.token_in == Token::Zero;
        let mut left = exact;
        while !left.amount().is_zero() && swap.sqrt_price != *limit {
            let stop = self.next_stop(swap, falling)?;
            let beyond = if falling { stop.sqrt_price < *limit } else { stop.sqrt_price > *limit };
            let target = if beyond { limit } else { &stop.sqrt_price };
            let before = swap.sqrt_price;
            let step = step(&before, target, swap.liquidity, &left, self.fee)?;
            let paid = step.amount_in.checked_add(step.fee).ok_or(AMOUNT)?;
            left = match left {
                Exact::In(left) => Exact::In(left.checked_sub(paid).ok_or(AMOUNT)?),
                Exact::Out(left) => Exact::Out(left.checked_sub(step.amount_out).ok_or(AMOUNT)?),
            };
            swap.amount_in = swap.amount_in.checked_add(paid).ok_or(AMOUNT)?;
            swap.amount_out = swap.amount_out.checked_add(step.amount_out).ok_or(AMOUNT)?;
            swap.fee = swap.fee.checked_add(step.fee).ok_or(AMOUNT)?;
            swap.sqrt_price = step.sqrt_price;
            swap.steps += 1;
            if step.sqrt_price == stop.sqrt_price {
                if stop.is_initialised {
                    self.cross(swap, falling)?;
                }
                swap.tick = if falling { stop.tick - 1 } else { stop.tick };
            } else if step.sqrt_price != before {
                swap.tick = tick_at(&step.sqrt_price)?;
            }
        }
        swap.is_filled = left.amount().is_zero();
        Ok(())
    }

    /// Whether nothing lies beyond where a swap stopped: no liquidity, and no tick where some begins.
    pub(super) fn is_over(&self, swap: &Swap) -> bool {
        let no_tick = if swap.token_in == Token::Zero { swap.place == 0 } else { swap.place == self.ticks.len() };
        swap.liquidity == 0 && no_tick
    }

    fn cross(&self, swap: &mut Swap, falling: bool) -> Result<(), PoolError> {
        const LIQUIDITY: PoolError = PoolError::Overflow("liquidity in range");
        swap.crossed += 1;
        swap.liquidity = if falling {
            swap.place -= 1;
            let net = self.ticks[swap.place].net;
            if net >= 0 {
                swap.liquidity.checked_sub(net.unsigned_abs())
            } else {
                swap.liquidity.checked_add(net.unsigned_abs())
            }
        } else {
            swap.place += 1;
            swap.liquidity.checked_add_signed(self.ticks[swap.place - 1].net)
        }
        .ok_or(LIQUIDITY)?;
        Ok(())
    }

    /// Where the contract's swap stops next: the next initialised tick, or the end of the bitmap's word before it.
    #[inline]
    fn next_stop(&self, swap: &Swap, falling: bool) -> Result<Stop, PoolError> {
        let next = if falling {
            swap.place.checked_sub(1).map(|place| &self.ticks[place])
        } else {
            self.ticks.get(swap.place)
        };
        // Without liquidity nothing is rounded, and the words in between need no visit.
        let end = if swap.liquidity == 0 {
            if falling { MIN_TICK } else { MAX_TICK }
        } else {
            let place = swap.tick.div_euclid(self.spacing);
            let end = if falling { place & !(WORD - 1) } else { (place + 1) | (WORD - 1) };
            (end * self.spacing).clamp(MIN_TICK, MAX_TICK)
        };
        match next {
            Some(next) if if falling { next.index >= end } else { next.index <= end } => {
                Ok(Stop { tick: next.index, sqrt_price: next.sqrt_price, is_initialised: true })
            }
            _ => Ok(Stop { tick: end, sqrt_price: sqrt_price_at(end)?, is_initialised: false }),
        }
    }

    /// Does what [`Self::quote`] says.
    ///
    /// # Errors
    /// As [`Self::quote`].
    pub fn swap(&mut self, token_in: Token, exact: Exact, limit: Option<U256>) -> Result<Swap, PoolError> {
        let swap = self.quote(token_in, exact, limit)?;
        self.settle(&swap);
        Ok(swap)
    }

    const fn settle(&mut self, swap: &Swap) {
        self.sqrt_price = swap.sqrt_price;
        self.tick = swap.tick;
        self.liquidity = swap.liquidity;
        self.place = swap.place;
    }

    fn filled(&self, token_in: Token, exact: Exact) -> Result<Swap, PoolError> {
        let (paid, got) = match self.quote(token_in, exact, None) {
            Ok(swap) if swap.is_filled => return Ok(swap),
            Ok(swap) => (swap.amount_in, swap.amount_out),
            Err(PoolError::Limit { .. }) => (U256::ZERO, U256::ZERO), // at the end already
            Err(error) => return Err(error),
        };
        let (what, available) = match exact {
            Exact::In(_) => ("amount in", paid),
            Exact::Out(_) => ("amount out", got),
        };
        Err(PoolError::Exhausted { what, available, asked: exact.amount() })
    }

    /// What paying in this amount gives. The pool does not change.
    ///
    /// # Errors
    /// As [`Self::quote`]; [`PoolError::Exhausted`] if the liquidity cannot take all of it.
    pub fn quote_in(&self, token_in: Token, amount: &U256) -> Result<Trade, PoolError> {
        self.filled(token_in, Exact::In(*amount)).map(|swap| swap.trade())
    }

    /// What getting this amount out costs. The pool does not change.
    ///
    /// # Errors
    /// As [`Self::quote`]; [`PoolError::Exhausted`] if the liquidity does not hold all of it.
    pub fn quote_out(&self, token_in: Token, amount: &U256) -> Result<Trade, PoolError> {
        self.filled(token_in, Exact::Out(*amount)).map(|swap| swap.trade())
    }

    /// Pays in this amount.
    ///
    /// # Errors
    /// As [`Self::quote_in`].
    pub fn swap_in(&mut self, token_in: Token, amount: &U256) -> Result<Trade, PoolError> {
        let swap = self.filled(token_in, Exact::In(*amount))?;
        self.settle(&swap);
        Ok(swap.trade())
    }

    /// Takes this amount out.
    ///
    /// # Errors
    /// As [`Self::quote_out`].
    pub fn swap_out(&mut self, token_in: Token, amount: &U256) -> Result<Trade, PoolError> {
        let swap = self.filled(token_in, Exact::Out(*amount))?;
        self.settle(&swap);
        Ok(swap.trade())
    }

    /// The square-root price until which every part of a trade is at `limit` or better after the fee: `limit / γ`
    /// falling, `limit × γ` rising, the root rounded towards the pool's price. None if that is here or behind.
    pub(super) fn sqrt_limit(&self, token_in: Token, limit: &Ratio) -> Option<U256> {
        let (kept, whole) = (U256::from(self.fee.kept()), U256::from(self.fee.whole()));
        let (above, below) = if token_in == Token::Zero { (whole, kept) } else { (kept, whole) };
        // 224 + 20 + 192 bits.
        let numerator = full_product(&limit.numerator(), &above) << 192_usize;
        let (quotient, rest) = numerator.div_rem(full_product(&limit.denominator(), &below));
        let root = sqrt(quotient);
        let exact = rest.is_zero() && full_product(&root, &root) == quotient;
        let current = self.sqrt_price;
        if token_in == Token::Zero {
            let root = root.saturating_add(U256::from(u8::from(!exact))).max(MIN_SQRT_PRICE + U256::ONE);
            (root < current).then_some(root)
        } else {
            let root = root.min(MAX_SQRT_PRICE - U256::ONE);
            (root > current).then_some(root)
        }
    }

    /// The largest trade of which every part is at `limit` or better after the fee; see [`super::Pool::to_price`].
    /// Exact, by stepping through the ticks.
    ///
    /// # Errors
    /// [`PoolError::Overflow`].
    pub fn to_price(&self, token_in: Token, limit: &Ratio) -> Result<Trade, PoolError> {
        let Some(limit) = self.sqrt_limit(token_in, limit) else { return Ok(Trade::none(token_in)) };
        let all = Exact::In(U256::MAX >> 1_usize);
        self.quote(token_in, all, Some(limit)).map(|swap| swap.trade())
    }
}

/// A place where a swap rounds.
struct Stop {
    tick: i32,
    sqrt_price: U256,
    is_initialised: bool,
}
