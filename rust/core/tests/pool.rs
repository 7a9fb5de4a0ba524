//! Pools: nobody gains by rounding, whatever the pool and the amounts.
#![allow(clippy::unwrap_used)] // a test that unwraps what is not there fails

#[path = "pool/random.rs"]
mod random;

use crossbook::pool::{
    Concentrated, ConstantProduct, Curve, Exact, Fee, MAX_RESERVE, Pool, PoolError, Ratio, Scale, Tick, Token, U256,
    tick,
};
use crossbook::units::{Price, Side, Size, Unit};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const UNIT: u128 = 1_000_000_000_000_000_000;

fn cases(n: u32) -> ProptestConfig {
    let factor: u32 =
        std::env::var("CROSSBOOK_SLOW").map_or(1, |factor| factor.parse().expect("CROSSBOOK_SLOW: a whole number"));
    ProptestConfig::with_cases(n * factor)
}

fn big(amount: u128) -> U256 {
    U256::from(amount)
}

fn token() -> impl Strategy<Value = Token> {
    prop_oneof![Just(Token::Zero), Just(Token::One)]
}

/// A number of up to `bits` bits, every length as likely.
fn sized(bits: u32) -> impl Strategy<Value = u128> {
    (1..=bits, any::<u128>()).prop_map(|(bits, random)| ((random | 1 << 127) >> (128 - bits)).max(1))
}

fn constant_product() -> impl Strategy<Value = ConstantProduct> {
    (sized(100), sized(100), 0..1_000_u32, prop_oneof![Just(1_000_u32), Just(10_000), Just(1_000_000)]).prop_map(
        |(zero, one, parts, whole)| {
            ConstantProduct::new(zero, one, Fee::new(parts.min(whole - 1), whole).unwrap()).unwrap()
        },
    )
}

fn concentrated() -> impl Strategy<Value = Concentrated> {
    let kind = prop::sample::select(vec![(1, 100), (10, 500), (60, 3_000), (200, 10_000), (1, 0)]);
    let ranges = prop::collection::vec((-300..300_i32, 1..300_i32, sized(90)), 1..12);
    (kind, -50_000..50_000_i32, any::<u64>(), ranges).prop_map(|((spacing, fee), around, inside, ranges)| {
        let (low, high) = (tick::sqrt_price_at(around).unwrap(), tick::sqrt_price_at(around + 1).unwrap());
        let price = low + U256::from(inside) * (high - low) / U256::from(u64::MAX);
        let mut pool = Concentrated::new(price, spacing, Fee::pips(fee).unwrap()).unwrap();
        for (offset, width, liquidity) in ranges {
            let lower = (around.div_euclid(spacing) + offset) * spacing;
            pool.mint(lower, lower + width * spacing, liquidity).unwrap();
        }
        pool
    })
}

fn pool() -> impl Strategy<Value = Pool> {
    prop_oneof![constant_product().prop_map(Pool::from), concentrated().prop_map(Pool::from)]
}

/// How often a trade may round: twice a step, and once more for each end.
fn slack(pool: &Pool, token_in: Token, exact: Exact) -> U256 {
    match pool {
        Pool::ConstantProduct(_) => U256::from(1),
        Pool::Concentrated(pool) => U256::from(2 * pool.quote(token_in, exact, None).map_or(0, |swap| swap.steps) + 2),
    }
}

#[test]
fn constant_product_gives_the_published_amount() {
    // The market's issue; v2-core test/UniswapV2Pair.spec.ts, first case of getInputPrice: 1e18 into (5e18, 10e18).
    let pool = ConstantProduct::new(5 * UNIT, 10 * UNIT, Fee::UNISWAP_V2).unwrap();
    assert_eq!(pool.amount_out(Token::Zero, UNIT), Ok(1_662_497_915_624_478_906));
    // The other cases of that table: (in, reserve in, reserve out) → out.
    for (paid, reserve_in, reserve_out, expected) in [
        (1, 10, 5, 453_305_446_940_074_565),
        (2, 5, 10, 2_851_015_155_847_869_602),
        (2, 10, 5, 831_248_957_812_239_453),
        (1, 10, 10, 906_610_893_880_149_131),
        (1, 100, 100, 987_158_034_397_061_298),
        (1, 1_000, 1_000, 996_006_981_039_903_216),
    ] {
        let pool = ConstantProduct::new(reserve_in * UNIT, reserve_out * UNIT, Fee::UNISWAP_V2).unwrap();
        assert_eq!(pool.amount_out(Token::Zero, paid * UNIT), Ok(expected));
    }
    // 30 of 10,000 is the same fee.
    let same = ConstantProduct::new(5 * UNIT, 10 * UNIT, Fee::new(30, 10_000).unwrap()).unwrap();
    assert_eq!(same.amount_out(Token::Zero, UNIT), Ok(1_662_497_915_624_478_906));
}

#[test]
fn concentrated_liquidity_over_the_full_range_gives_the_published_amount() {
    // The market's issue; v3-core test/UniswapV3Pool.swaps.spec.ts, snapshot of "medium fee, 1:1 price, 2e18 max range
    // liquidity", swap of exactly 1e18 of token 0.
    let mut pool = Concentrated::new(big(1) << 96_usize, 60, Fee::pips(3_000).unwrap()).unwrap();
    assert_eq!(pool.mint(-887_220, 887_220, 2 * UNIT), Ok((big(2 * UNIT), big(2 * UNIT))));
    let swap = pool.swap(Token::Zero, Exact::In(big(UNIT)), None).unwrap();
    assert_eq!((swap.amount_in, swap.amount_out), (big(UNIT), big(665_331_998_665_331_998)));
    assert_eq!((swap.tick, pool.tick()), (-8_090, -8_090));
    assert!(swap.is_filled);
}

#[test]
fn ten_thousand_swaps_over_many_ticks_are_those_of_two_public_implementations() {
    // `rust/peers` has both of them compute the digest, and compares 200,000 swaps one by one: `make slow`.
    let (mut generator, mut digest, mut count) = (random::Random(6), Sha256::new(), 0);
    while count < 10_000 {
        let mut pool = random::random_pool(&mut generator);
        for _ in 0..5 {
            let (token_in, exact, limit) = random::random_swap(&mut generator, &pool);
            let swap = match pool.swap(token_in, exact, limit) {
                Err(PoolError::Limit { .. }) => continue, // at the limit already
                swap => swap.unwrap(),
            };
            if count < 10_000 {
                random::note(&mut digest, random::outcome(&swap));
            }
            count += 1;
        }
    }
    assert_eq!(random::hex(digest), random::DIGEST);
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let fee = Fee::pips(3_000).unwrap();
    let one = big(1) << 96_usize;
    let mut pool = Concentrated::new(one, 60, fee).unwrap();
    pool.mint(-600, 600, UNIT).unwrap();
    let before = pool.clone();
    let errors = [
        (pool.mint(-601, 600, 1).unwrap_err(), PoolError::OffSpacing { tick: -601, spacing: 60 }),
        (pool.mint(600, 600, 1).unwrap_err(), PoolError::Range { lower: 600, upper: 600 }),
        (pool.mint(-900_000, 600, 1).unwrap_err(), PoolError::Tick(-900_000)),
        (pool.mint(-600, 600, 0).unwrap_err(), PoolError::Zero("liquidity")),
        (pool.mint(-600, 600, u128::MAX).unwrap_err(), PoolError::Overflow("liquidity of a tick")),
        (
            pool.burn(-600, 600, UNIT + 1).unwrap_err(),
            PoolError::Burn { lower: -600, upper: 600, held: UNIT, asked: UNIT + 1 },
        ),
        (pool.burn(-60, 60, 1).unwrap_err(), PoolError::Burn { lower: -60, upper: 60, held: 0, asked: 1 }),
        (pool.swap_in(Token::Zero, &big(0)).unwrap_err(), PoolError::Zero("amount")),
        (pool.swap_in(Token::Zero, &U256::MAX).unwrap_err(), PoolError::Overflow("amount")),
        (
            pool.swap(Token::Zero, Exact::In(big(1)), Some(one)).unwrap_err(),
            PoolError::Limit { limit: one, current: one, token_in: Token::Zero },
        ),
        (
            pool.swap(Token::One, Exact::In(big(1)), Some(tick::MAX_SQRT_PRICE)).unwrap_err(),
            PoolError::SqrtPrice(tick::MAX_SQRT_PRICE),
        ),
    ];
    for (found, expected) in errors {
        assert_eq!(found, expected);
    }
    assert!(matches!(pool.swap_in(Token::Zero, &big(UNIT)), Err(PoolError::Exhausted { what: "amount in", .. })));
    assert!(matches!(pool.swap_out(Token::One, &big(UNIT)), Err(PoolError::Exhausted { what: "amount out", .. })));
    assert_eq!(pool, before);
    let text = pool.burn(-600, 600, UNIT + 1).unwrap_err().to_string();
    assert!(text.contains("at most 1000000000000000000") && text.contains("asked for 1000000000000000001"), "{text}");

    assert_eq!(Concentrated::new(one, 0, fee), Err(PoolError::Spacing(0)));
    assert_eq!(Concentrated::new(big(0), 60, fee), Err(PoolError::SqrtPrice(big(0))));
    assert_eq!(Concentrated::new(one, 60, Fee::UNISWAP_V2), Err(PoolError::Fee { parts: 3, whole: 1_000 }));
    assert_eq!(Fee::new(10, 10), Err(PoolError::Fee { parts: 10, whole: 10 }));
    let empty = ConstantProduct::new(0, 1, Fee::UNISWAP_V2);
    assert_eq!(empty, Err(PoolError::Reserve { token: Token::Zero, found: big(0) }));
    let pool = ConstantProduct::new(MAX_RESERVE, 10, Fee::UNISWAP_V2).unwrap();
    assert_eq!(pool.amount_out(Token::Zero, 1), Err(PoolError::Overflow("amount in")));
    assert_eq!(pool.amount_in(Token::Zero, 9), Err(PoolError::Overflow("amount in")));
    let asked = PoolError::Exhausted { what: "amount out", available: big(9), asked: big(10) };
    assert_eq!(pool.amount_in(Token::Zero, 10), Err(asked));
    assert_eq!(Ratio::new(big(0), big(1)), Err(PoolError::Price));
    for price in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(Ratio::from_f64(price), Err(PoolError::Price));
    }
    assert_eq!(Ratio::from_f64(0.75), Ratio::new(big(3), big(4)));
    assert_eq!(Ratio::from_f64(2e30).unwrap().to_f64(), 2e30);
}

#[test]
fn ticks_that_no_positions_make_are_refused() {
    let (fee, one) = (Fee::pips(3_000).unwrap(), big(1) << 96_usize);
    let from = |tick: i32, ticks: &[(i32, i128, u128)]| {
        let ticks = ticks.iter().map(|&(index, net, gross)| Tick::new(index, net, gross).unwrap()).collect();
        Concentrated::from_ticks(one, tick, 60, fee, ticks)
    };
    let fine = [(-60, 5, 5), (60, -5, 5)];
    assert_eq!(from(0, &fine).unwrap().liquidity(), 5);
    // A falling swap that stopped at tick 0 is at -1.
    assert_eq!(from(-1, &fine).unwrap().tick(), -1);
    assert!(matches!(from(-2, &fine), Err(PoolError::TickOfPrice { tick: -2, expected: 0, .. })));
    for wrong in [
        &[(60, -5, 5), (-60, 5, 5)][..],
        &[(-60, 5, 5), (-60, -5, 5)],
        &[(-60, 5, 4), (60, -5, 5)],
        &[(-60, 5, 6), (60, -5, 5)],
        &[(-60, 5, 5), (60, -4, 4)],
        &[(-60, 5, 5), (0, -6, 6), (60, 1, 1)],
        &[(-60, 0, 0)],
    ] {
        assert!(matches!(from(0, wrong), Err(PoolError::Ticks { .. })), "{wrong:?}");
    }
    assert_eq!(from(0, &[(-61, 5, 5), (60, -5, 5)]), Err(PoolError::OffSpacing { tick: -61, spacing: 60 }));
}

#[test]
fn a_pool_of_ether_reads_like_a_book() {
    // 1,000 ether at 2,000 USDC, 30 bp: quotes 1,994 and 2,006.0180…; prices in cents, sizes in 0.0001.
    let pool = Pool::from(ConstantProduct::new(2_000_000 * 1_000_000, 1_000 * UNIT, Fee::UNISWAP_V2).unwrap());
    let scale = Scale::new(Token::One, [6, 18], Unit::decimals(2), Unit::decimals(4)).unwrap();
    let asks: Vec<_> = pool.levels(Side::Ask, &scale, 100).unwrap().take(3).collect();
    let bids: Vec<_> = pool.levels(Side::Bid, &scale, 100).unwrap().take(3).collect();
    // Until a marginal price p, 1000 - sqrt(2e9 / 0.997 / p) ether can be bought: 0.24466 at 2,007.
    assert_eq!(asks.iter().map(|rung| rung.end).collect::<Vec<_>>(), [Price(200_700), Price(200_800), Price(200_900)]);
    assert_eq!(asks[0].size, Size(2_446));
    assert_eq!(asks[0].price, Price(200_651)); // the mean of 2,006.0180 and 2,007
    assert_eq!(bids.iter().map(|rung| rung.end).collect::<Vec<_>>(), [Price(199_300), Price(199_200), Price(199_100)]);
    assert_eq!(bids[0].price, Price(199_349)); // the mean of 1,994 and 1,993, a little more of it below
    let quote = pool.quote(&scale, 100).unwrap();
    assert_eq!((quote.bid, quote.ask, quote.ask_size), (bids[0].price, asks[0].price, asks[0].size));
    let (size, trade) = pool.size_at_marginal(Side::Ask, Price(200_700), &scale).unwrap();
    assert_eq!((size, trade), (asks[0].size, asks[0].total));
    assert_eq!(pool.size_at_marginal(Side::Ask, Price(200_600), &scale).unwrap().0, Size(0));
    assert_eq!(pool.levels(Side::Ask, &scale, 0).unwrap_err(), PoolError::StepSize(0));
    assert_eq!(pool.size_at_marginal(Side::Bid, Price(0), &scale), Err(PoolError::Price));
    assert_eq!(Scale::new(Token::One, [6, 37], Unit::ONE, Unit::ONE), Err(PoolError::Decimals(37)));
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn the_product_of_reserves_never_falls(mut pool in constant_product(), trades in prop::collection::vec((token(), sized(100), any::<bool>()), 1..8)) {
        for (token_in, amount, is_in) in trades {
            let [zero, one] = pool.reserves();
            let before = U256::from(zero) * U256::from(one);
            let _ = if is_in { pool.swap_in(token_in, &big(amount)) } else { pool.swap_out(token_in, &big(amount)) };
            let [zero, one] = pool.reserves();
            prop_assert!(U256::from(zero) * U256::from(one) >= before);
            prop_assert!(zero > 0 && one > 0);
        }
    }

    #[test]
    fn a_swap_and_the_swap_back_never_gain(mut pool in pool(), token_in in token(), amount in sized(100)) {
        if let Ok(there) = pool.swap_in(token_in, &big(amount))
            && let Ok(back) = pool.swap_in(token_in.other(), &there.amount_out)
        {
            prop_assert!(back.amount_out <= big(amount));
        }
    }

    #[test]
    fn constant_product_asks_the_least_that_does_or_one_more(pool in constant_product(), token_in in token(), amount in sized(100)) {
        if let Ok(cost) = pool.amount_in(token_in, amount) {
            prop_assert!(pool.amount_out(token_in, cost).unwrap() >= amount);
            if cost > 2 {
                prop_assert!(pool.amount_out(token_in, cost - 2).unwrap() < amount);
            }
        }
    }

    #[test]
    fn an_exact_output_costs_the_least_that_an_exact_input_needs_but_for_rounding(
        pool in concentrated(), token_in in token(), amount in sized(90),
    ) {
        let exact = Exact::Out(big(amount));
        if let Ok(cost) = pool.quote_out(token_in, &big(amount)) {
            let pool = Pool::from(pool);
            let slack = slack(&pool, token_in, exact);
            // What it costs buys it, give or take what a unit of the square-root price is worth.
            let bought = pool.quote_in(token_in, &cost.amount_in).unwrap().amount_out;
            prop_assert!(bought + slack >= big(amount), "{bought} of {amount}");
            // Less by more than rounding does not buy more.
            let less = cost.amount_in.saturating_sub(slack);
            if !less.is_zero() {
                prop_assert!(pool.quote_in(token_in, &less).unwrap().amount_out <= big(amount) + slack);
            }
        }
    }

    #[test]
    fn splitting_a_swap_gains_no_more_than_rounding(pool in pool(), token_in in token(), first in sized(90), second in sized(90)) {
        if let Ok(whole) = pool.quote_in(token_in, &big(first + second)) {
            let mut split = pool.clone();
            let one = split.swap_in(token_in, &big(first)).unwrap();
            let two = split.swap_in(token_in, &big(second)).unwrap();
            let slack = slack(&pool, token_in, Exact::In(big(first + second)));
            prop_assert!(one.amount_out + two.amount_out <= whole.amount_out + slack);
        }
    }

    #[test]
    fn a_quote_is_what_the_swap_then_does(pool in pool(), token_in in token(), amount in sized(110), is_in in any::<bool>()) {
        let (mut traded, amount) = (pool.clone(), big(amount));
        let (quote, swap) = if is_in {
            (pool.quote_in(token_in, &amount), traded.swap_in(token_in, &amount))
        } else {
            (pool.quote_out(token_in, &amount), traded.swap_out(token_in, &amount))
        };
        prop_assert_eq!(&quote, &swap);
        if quote.is_err() {
            prop_assert_eq!(pool, traded);
        }
    }

    #[test]
    fn more_in_never_gives_less_out(pool in pool(), token_in in token(), amount in sized(90), more in sized(60)) {
        let (less, more) = (pool.quote_in(token_in, &big(amount)), pool.quote_in(token_in, &big(amount + more)));
        if let (Ok(less), Ok(more)) = (less, more) {
            prop_assert!(more.amount_out >= less.amount_out);
        }
    }

    #[test]
    fn what_is_minted_comes_back_less_rounding_and_leaves_the_pool_as_it_was(
        pool in concentrated(), offset in -300..300_i32, width in 1..300_i32, liquidity in sized(90),
    ) {
        let mut changed = pool.clone();
        let lower = (pool.tick().div_euclid(pool.spacing()) + offset) * pool.spacing();
        let upper = lower + width * pool.spacing();
        let paid = changed.mint(lower, upper, liquidity).unwrap();
        let back = changed.burn(lower, upper, liquidity).unwrap();
        prop_assert!(back.0 <= paid.0 && paid.0 <= back.0 + big(1));
        prop_assert!(back.1 <= paid.1 && paid.1 <= back.1 + big(1));
        prop_assert_eq!(changed, pool);
    }

    #[test]
    fn a_pool_of_its_own_ticks_is_the_same_pool(mut pool in concentrated(), token_in in token(), amount in sized(100)) {
        let _ = pool.swap(token_in, Exact::In(big(amount)), None);
        let again = Concentrated::from_ticks(pool.sqrt_price(), pool.tick(), pool.spacing(), pool.fee(), pool.ticks().to_vec());
        prop_assert_eq!(again, Ok(pool));
    }

    #[test]
    fn a_trade_to_a_price_ends_there_and_curves_agree(pool in pool(), token_in in token(), bp in 1..2_000_i32) {
        let away = 1.0 + f64::from(bp) / 1e4;
        let limit = match token_in {
            Token::Zero => pool.marginal_price(token_in) / away,
            Token::One => pool.marginal_price(token_in) * away,
        };
        let Ok(ratio) = Ratio::from_f64(limit) else { return Ok(()) };
        let Ok(trade) = pool.to_price(token_in, &ratio) else { return Ok(()) };
        // No part is worse than the limit, so neither is the mean; the whole unit of output may be lost to rounding.
        let (paid, got) = (f64::from(trade.amount_in), f64::from(trade.amount_out));
        let exact = Curve::from(&pool).to_price(token_in, limit).unwrap();
        let least = match token_in {
            Token::Zero => limit,
            Token::One => 1.0 / limit,
        };
        let steps = f64::from(slack(&pool, token_in, Exact::In(trade.amount_in)));
        prop_assert!((got + steps) * (1.0 + 1e-9) >= paid * least - steps * least, "{got} for {paid} at {least}");
        // Roots of whole numbers of few digits are coarse; beyond that both say the same.
        prop_assert!((paid - exact.amount_in).abs() <= 1e-6 * exact.amount_in + 1e3 * steps * (1.0 + 1.0 / least), "{paid} {exact:?}");
        prop_assert!((got - exact.amount_out).abs() <= 1e-6 * exact.amount_out + 1e3 * steps * (1.0 + least), "{got} {exact:?}");
        if let Pool::ConstantProduct(_) = pool {
            prop_assert!(got <= exact.amount_out * (1.0 + 1e-12) + 1.0);
        }
    }

    #[test]
    fn arbitrage_leaves_nothing_that_a_nearby_trade_would_gain(pool in pool(), bp in -1_000..1_000_i32) {
        let outside = pool.mid() * (1.0 + f64::from(bp) / 1e4);
        let Ok(ratio) = Ratio::from_f64(outside) else { return Ok(()) };
        let Ok(Some(found)) = pool.arbitrage(&ratio) else { return Ok(()) };
        prop_assert!(found.profit > 0.0);
        let token_in = found.trade.token_in;
        for (above, below) in [(101, 100), (99, 100), (2, 1), (1, 2)] {
            let amount = found.trade.amount_in * U256::from(above) / U256::from(below);
            let Ok(other) = pool.quote_in(token_in, &amount) else { continue };
            let (paid, got) = (f64::from(other.amount_in), f64::from(other.amount_out));
            let profit = if token_in == Token::Zero { got - paid * outside } else { got * outside - paid };
            let unit = f64::from(slack(&pool, token_in, Exact::In(amount))) * (1.0 + outside);
            prop_assert!(profit <= found.profit * (1.0 + 1e-9) + unit, "{profit} > {}", found.profit);
        }
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn levels_promise_no_more_than_the_pool_gives(
        pool in pool(), bid in any::<bool>(), step in 1..100_000_i64, decimals in (0..20_u8, 0..20_u8), units in (0..9_u8, 0..9_u8),
    ) {
        let base = if bid { Token::Zero } else { Token::One };
        let side = if bid { Side::Bid } else { Side::Ask };
        let Ok(scale) = Scale::new(base, [decimals.0, decimals.1], Unit::decimals(units.0), Unit::decimals(units.1)) else { return Ok(()) };
        let Ok(levels) = pool.levels(side, &scale, step) else { return Ok(()) };
        let (mut size, mut notional, mut last) = (0_i64, U256::ZERO, None::<Price>);
        for rung in levels.take(20) {
            prop_assert!(rung.size.0 > 0 && rung.price.0 > 0);
            if let Some(last) = last {
                prop_assert!(if side == Side::Ask { rung.price >= last } else { rung.price <= last }, "{rung:?} after {last:?}");
            }
            last = Some(rung.price);
            size = size.saturating_add(rung.size.0);
            notional += U256::from(rung.price.0.unsigned_abs()) * U256::from(rung.size.0.unsigned_abs());
            if size == i64::MAX {
                break;
            }
            // The notional in raw quote: price units × size units.
            let (quote, base_raw) = (f64::from(notional), scale.raw_size(Size(size)).unwrap());
            if base_raw.is_zero() {
                continue;
            }
            let ten = |exponent: i32| 10_f64.powi(exponent);
            let raw = |token: Token| i32::from(if token == Token::Zero { decimals.0 } else { decimals.1 });
            let counted = quote * ten(raw(base.other()) - i32::from(units.0) - i32::from(units.1));
            let token_in = scale.token_in(side);
            let really = match side {
                Side::Ask => pool.quote_out(token_in, &base_raw).map(|trade| trade.amount_in),
                Side::Bid => pool.quote_in(token_in, &base_raw).map(|trade| trade.amount_out),
            };
            // Each stop on the way may round by a raw unit of either token, in one trade or the other.
            let trade = rung.total;
            let worst = match side {
                Side::Ask => f64::from(trade.amount_in) / f64::from(trade.amount_out),
                Side::Bid => f64::from(trade.amount_out) / f64::from(trade.amount_in),
            };
            let lost = f64::from(slack(&pool, token_in, Exact::In(trade.amount_in))) * (1.0 + 2.0 * worst);
            match (side, really) {
                (Side::Ask, Ok(really)) => prop_assert!(counted * (1.0 + 1e-12) + lost >= f64::from(really), "{counted} < {really}"),
                (Side::Bid, Ok(really)) => prop_assert!(counted <= f64::from(really) * (1.0 + 1e-12) + lost, "{counted} > {really}"),
                (_, Err(error)) => prop_assert!(false, "{error}"),
            }
        }
    }
}
