//! Random swaps over many ticks agree with two public implementations of Uniswap v3: `uniswap-v3-sdk` 6.2 and
//! `uniswap_v3_math` 0.6.2, integer for integer: amounts, price, tick and liquidity.
//!
//! 10,000 swaps by default, `CROSSBOOK_SLOW=20` times as many make the 200,000 of `make slow`.

#[path = "../../core/tests/pool/random.rs"]
mod random;

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crossbook::pool::{Concentrated, Exact, Fee, PoolError, Token, U256, step, tick};
use sha2::{Digest, Sha256};
use uniswap_v3_math::swap_math::compute_swap_step;
use uniswap_v3_math::tick_bitmap::{flip_tick, next_initialized_tick_within_one_word};
use uniswap_v3_math::tick_math::{get_sqrt_ratio_at_tick, get_tick_at_sqrt_ratio};
use uniswap_v3_sdk::prelude::{Tick as TheirTick, TickListDataProvider, v3_swap};

use self::random::{DIGEST, Random, note, random_pool, random_swap};

type Signed = alloy_primitives::I256;
type Unsigned = alloy_primitives::U256;

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a list in memory never waits"),
    }
}

fn theirs(x: U256) -> Unsigned {
    Unsigned::from_limbs(*x.as_limbs())
}

fn ours(x: Unsigned) -> U256 {
    U256::from_limbs(*x.as_limbs())
}

/// What a swap leaves: paid, got, price, tick, liquidity.
type Outcome = (U256, U256, U256, i32, u128);

fn signed(exact: &Exact) -> Signed {
    match exact {
        Exact::In(amount) => Signed::from_raw(theirs(*amount)),
        Exact::Out(amount) => -Signed::from_raw(theirs(*amount)),
    }
}

fn their_outcome(exact: &Exact, left: Signed, calculated: U256, price: U256, tick: i32, liquidity: u128) -> Outcome {
    let left = ours(left.unsigned_abs());
    let done = exact.amount() - left;
    match exact {
        Exact::In(_) => (done, calculated, price, tick, liquidity),
        Exact::Out(_) => (calculated, done, price, tick, liquidity),
    }
}

fn by_sdk(pool: &Concentrated, token_in: Token, exact: &Exact, limit: Option<U256>) -> Option<Outcome> {
    let ticks = pool.ticks().iter().map(|tick| TheirTick::new(tick.index, tick.gross, tick.net)).collect();
    let provider = TickListDataProvider::new(ticks, pool.spacing());
    let fee = pool.fee().parts().try_into().unwrap();
    let swap = v3_swap(
        fee,
        theirs(pool.sqrt_price()).to(),
        pool.tick(),
        pool.liquidity(),
        pool.spacing(),
        &provider,
        token_in == Token::Zero,
        signed(exact),
        limit.map(|limit| theirs(limit).to()),
    );
    let state = ready(swap).ok()?;
    let calculated = ours(state.amount_calculated.unsigned_abs());
    let left = state.amount_specified_remaining;
    let price = ours(state.sqrt_price_x96.to());
    Some(their_outcome(exact, left, calculated, price, state.tick_current, state.liquidity))
}

/// The loop of the contract's `swap` with the functions of `uniswap_v3_math`.
fn by_math(pool: &Concentrated, token_in: Token, exact: &Exact, limit: Option<U256>) -> Option<Outcome> {
    let falling = token_in == Token::Zero;
    let mut bitmap = HashMap::new();
    for tick in pool.ticks() {
        flip_tick(&mut bitmap, tick.index, pool.spacing()).ok()?;
    }
    let net: HashMap<i32, i128> = pool.ticks().iter().map(|tick| (tick.index, tick.net)).collect();
    let limit = theirs(limit.unwrap_or(if falling {
        tick::MIN_SQRT_PRICE + U256::ONE
    } else {
        tick::MAX_SQRT_PRICE - U256::ONE
    }));
    let (mut left, mut calculated) = (signed(exact), Unsigned::ZERO);
    let (mut price, mut tick, mut liquidity) = (theirs(pool.sqrt_price()), pool.tick(), pool.liquidity());
    while !left.is_zero() && price != limit {
        let (next, initialized) = next_initialized_tick_within_one_word(&bitmap, tick, pool.spacing(), falling).ok()?;
        let next = next.clamp(tick::MIN_TICK, tick::MAX_TICK);
        let at = get_sqrt_ratio_at_tick(next).ok()?;
        let target = if falling { at.max(limit) } else { at.min(limit) };
        let before = price;
        let (after, paid, got, fee) = compute_swap_step(price, target, liquidity, left, pool.fee().parts()).ok()?;
        price = after;
        match exact {
            Exact::In(_) => {
                left -= Signed::from_raw(paid + fee);
                calculated += got;
            }
            Exact::Out(_) => {
                left += Signed::from_raw(got);
                calculated += paid + fee;
            }
        }
        if price == at {
            if initialized {
                let change = if falling { -net[&next] } else { net[&next] };
                liquidity = liquidity.checked_add_signed(change)?;
            }
            tick = if falling { next - 1 } else { next };
        } else if price != before {
            tick = get_tick_at_sqrt_ratio(price).ok()?;
        }
    }
    Some(their_outcome(exact, left, ours(calculated), ours(price), tick, liquidity))
}

fn cases() -> u64 {
    let factor =
        std::env::var("CROSSBOOK_SLOW").map_or(1, |factor| factor.parse().expect("CROSSBOOK_SLOW: a whole number"));
    10_000 * factor
}

#[test]
fn swaps_over_many_ticks_agree_with_both_peers() {
    let mut random = Random(6);
    let (mut compared, mut crossed, mut steps) = (0, 0, 0);
    let (cases, mut digest) = (cases(), Sha256::new());
    while compared < cases {
        let mut pool = random_pool(&mut random);
        // Several in a row, so that pools are also met at a tick that a falling swap crossed last.
        for _ in 0..5 {
            let (token_in, exact, limit) = random_swap(&mut random, &pool);
            let context = format!("{pool:?} {token_in:?} {exact:?} {limit:?}");
            let found = match pool.quote(token_in, exact, limit) {
                Ok(found) => found,
                // At the limit already, where the contract reverts too.
                Err(PoolError::Limit { .. }) => continue,
                Err(error) => panic!("{error}: {context}"),
            };
            let theirs = by_sdk(&pool, token_in, &exact, limit);
            assert_eq!(Some(random::outcome(&found)), theirs, "uniswap-v3-sdk: {context}");
            let theirs = by_math(&pool, token_in, &exact, limit);
            assert_eq!(Some(random::outcome(&found)), theirs, "uniswap_v3_math: {context}");
            if compared < 10_000 {
                note(&mut digest, theirs.expect("equal to ours"));
            }
            (compared, crossed, steps) = (compared + 1, crossed + found.crossed, steps + u64::from(found.steps));
            assert_eq!(pool.swap(token_in, exact, limit), Ok(found));
        }
    }
    println!("{compared} swaps, {steps} steps, {crossed} initialised ticks crossed");
    assert!(u64::from(crossed) > cases, "the swaps should cross many ticks");
    assert_eq!(random::hex(digest), DIGEST, "what the engine's own tests compare with");
}

#[test]
fn single_steps_agree_with_both_peers_at_any_numbers() {
    let mut random = Random(7);
    for _ in 0..cases() * 5 {
        let price = |random: &mut Random| {
            let tick = random.between(tick::MIN_TICK, tick::MAX_TICK - 1);
            tick::sqrt_price_at(tick).unwrap() + U256::from(random.below(1 << 20))
        };
        let (current, far) = (price(&mut random), price(&mut random));
        // Half of the targets near by.
        let near = (current + current / U256::from(random.bits(3, 60))).min(tick::MAX_SQRT_PRICE);
        let target = if random.below(2) == 0 { far } else { near };
        let liquidity = random.bits(1, 127);
        let amount = U256::from(random.bits(1, 127)) << usize::try_from(random.below(60)).unwrap();
        let exact = if random.below(2) == 0 { Exact::In(amount) } else { Exact::Out(amount) };
        let pips = u32::try_from(random.below(1_000_000)).unwrap();
        let found = step(&current, &target, liquidity, &exact, Fee::pips(pips).unwrap()).ok();
        let found = found.map(|step| (step.sqrt_price, step.amount_in, step.amount_out, step.fee));
        let math = compute_swap_step(theirs(current), theirs(target), liquidity, signed(&exact), pips);
        let math = math.ok().map(|(price, paid, got, fee)| (ours(price), ours(paid), ours(got), ours(fee)));
        let sdk = uniswap_v3_sdk::prelude::compute_swap_step(
            theirs(current),
            theirs(target),
            liquidity,
            signed(&exact),
            pips.try_into().unwrap(),
        );
        // Where the target is not reached the SDK splits what is paid in as v4-core does: all that is not the fee at its
        // rate is the amount, where v3-core counts what rounding leaves to the fee. Their sum is the same.
        let sdk = sdk.ok().map(|(price, paid, got, fee)| (ours(price), ours(paid) + ours(fee), ours(got)));
        assert_eq!(found, math, "{current} {target} {liquidity} {exact:?} {pips}");
        let found = found.map(|(price, paid, got, fee)| (price, paid + fee, got));
        assert_eq!(found, sdk, "{current} {target} {liquidity} {exact:?} {pips}");
    }
}

#[test]
fn ticks_and_prices_agree_with_both_peers() {
    use uniswap_v3_sdk::prelude::TickMath;
    let mut random = Random(8);
    for _ in 0..cases() * 5 {
        let tick = random.between(tick::MIN_TICK, tick::MAX_TICK - 1);
        let price = tick::sqrt_price_at(tick).unwrap();
        assert_eq!(price, ours(get_sqrt_ratio_at_tick(tick).unwrap()));
        let inside =
            price + U256::from(random.next()) * (tick::sqrt_price_at(tick + 1).unwrap() - price) / (U256::ONE << 64);
        assert_eq!(tick::tick_at(&inside), Ok(get_tick_at_sqrt_ratio(theirs(inside)).unwrap()));
        let sdk: alloy_primitives::U160 = theirs(inside).to();
        assert_eq!(tick::tick_at(&inside).unwrap().to_string(), sdk.get_tick_at_sqrt_ratio().unwrap().to_string());
    }
}
