//! Pools: ticks, steps, swaps and networks.
//!
//!     cargo bench -p crossbook --bench pool
//!
//! `tick/*`: a thousand random ticks over the whole range, and one after the other near a price, per tick. `step/*`: one
//! step of a swap within constant liquidity, over a thousand random pools, amounts and targets, per step: `reached` goes
//! to the target, `inside` stops before it. `swap/*`: whole swaps through a pool of 200 initialised ticks, per step that
//! the swap took (initialised ticks and ends of bitmap words). `network/*`: a network of constant-product pools, from the
//! prices it starts with to whole amounts; `benches/python/pools.py` puts cvxpy beside it on the same network.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use crossbook::pool::network::{Network, Objective};
use crossbook::pool::{Concentrated, ConstantProduct, Exact, Fee, Pool, Token, U256, step, tick};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[allow(clippy::cast_precision_loss)]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    #[allow(clippy::cast_possible_truncation)]
    fn between(&mut self, low: i32, high: i32) -> i32 {
        low + (self.unit() * f64::from(high - low)) as i32
    }
}

const COUNT: usize = 1_000;

fn ticks(c: &mut Criterion) {
    let mut random = Random(1);
    let anywhere: Vec<i32> = (0..COUNT).map(|_| random.between(tick::MIN_TICK, tick::MAX_TICK)).collect();
    // Where pairs of real tokens are: within a price of 10^±9.
    let usual: Vec<i32> = (0..COUNT).map(|_| random.between(-207_000, 207_000)).collect();
    let near: Vec<i32> = (0..1_000).map(|index| 200_000 + index * 10).collect();
    let mut group = c.benchmark_group("tick");
    group.throughput(Throughput::Elements(COUNT as u64));
    for (name, ticks) in
        [("sqrt_price_at/anywhere", &anywhere), ("sqrt_price_at/usual", &usual), ("sqrt_price_at/row", &near)]
    {
        group.bench_function(name, |b| {
            b.iter(|| ticks.iter().for_each(|&at| drop(black_box(tick::sqrt_price_at(black_box(at))))));
        });
        let prices: Vec<U256> =
            ticks.iter().map(|&at| tick::sqrt_price_at(at).expect("in range") + U256::ONE).collect();
        let name = name.replace("sqrt_price_at", "tick_at");
        group.bench_function(name, |b| {
            b.iter(|| prices.iter().for_each(|price| drop(black_box(tick::tick_at(black_box(price))))));
        });
    }
    group.finish();
}

type StepCase = (U256, U256, u128, Exact);

/// Steps between ticks 60 apart, as `inside` or beyond them: amounts from a hundredth of the stretch to a hundred of it.
fn step_cases(random: &mut Random, token_in: Token, is_in: bool, reached: bool) -> Vec<StepCase> {
    let fee = Fee::pips(3_000).expect("a fee");
    let mut cases = Vec::new();
    while cases.len() < COUNT {
        let at = random.between(-207_000, 207_000);
        let current = tick::sqrt_price_at(at).expect("in range") + U256::from(random.next() >> 40);
        let to = if token_in == Token::Zero { at - 60 } else { at + 60 };
        let target = tick::sqrt_price_at(to).expect("in range");
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let liquidity = 10_f64.powf(12.0 + 12.0 * random.unit()) as u128;
        let all = Exact::In(U256::MAX >> 1_usize);
        let Ok(whole) = step(&current, &target, liquidity, &all, fee) else { continue };
        let stretch = if is_in { whole.amount_in + whole.fee } else { whole.amount_out };
        let share = U256::from(1 + (random.next() >> 58));
        let amount = if reached { stretch * (share + U256::ONE) } else { stretch * share / U256::from(100) };
        if !amount.is_zero() {
            cases.push((current, target, liquidity, if is_in { Exact::In(amount) } else { Exact::Out(amount) }));
        }
    }
    cases
}

fn steps(c: &mut Criterion) {
    let fee = Fee::pips(3_000).expect("a fee");
    let mut random = Random(2);
    let mut group = c.benchmark_group("step");
    group.throughput(Throughput::Elements(COUNT as u64));
    for (token, token_in) in [("0", Token::Zero), ("1", Token::One)] {
        for (kind, is_in) in [("in", true), ("out", false)] {
            for (end, reached) in [("reached", true), ("inside", false)] {
                let cases = step_cases(&mut random, token_in, is_in, reached);
                group.bench_function(format!("exact {kind}/token {token}/{end}"), |b| {
                    b.iter(|| {
                        for (current, target, liquidity, exact) in &cases {
                            let _ = black_box(step(black_box(current), target, *liquidity, exact, fee));
                        }
                    });
                });
            }
        }
    }
    group.finish();
}

fn swaps(c: &mut Criterion) {
    let mut random = Random(3);
    let mut pool = Concentrated::new(U256::from(1) << 96, 60, Fee::pips(3_000).expect("a fee")).expect("a pool");
    for _ in 0..100 {
        let (lower, width) = (random.between(-200, 190), 1 + random.between(0, 60));
        pool.mint(lower * 60, (lower + width) * 60, 1_000_000_000_000_000_000 + u128::from(random.next()))
            .expect("a range");
    }
    let all = |token_in| pool.quote(token_in, Exact::In(U256::MAX >> 1_usize), None).expect("a swap");
    let mut group = c.benchmark_group("swap");
    for (name, token_in) in [("0", Token::Zero), ("1", Token::One)] {
        for (size, parts) in [("small", 100_000), ("large", 2)] {
            let amount = Exact::In(all(token_in).amount_in / U256::from(parts));
            let swap = pool.quote(token_in, amount, None).expect("a swap");
            group.throughput(Throughput::Elements(u64::from(swap.steps)));
            group.bench_function(format!("token {name}/{size}"), |b| {
                b.iter(|| black_box(pool.quote(token_in, black_box(amount), None)));
            });
        }
    }
    let constant = ConstantProduct::new(5 * 10_u128.pow(21), 10 * 10_u128.pow(21), Fee::UNISWAP_V2).expect("a pool");
    group.throughput(Throughput::Elements(1));
    group.bench_function("constant product", |b| {
        b.iter(|| black_box(constant.amount_out(Token::Zero, black_box(10_u128.pow(18)))));
    });
    group.finish();
}

/// The network that `benches/python/pools.py` draws too: prices, pools off them by up to 3 %, a sale of token 0 into 1.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn network(tokens: usize, pools: usize) -> (Network, Vec<f64>) {
    let mut random = Random(4);
    let prices: Vec<f64> = (0..tokens).map(|_| 10_f64.powf(2.0 * random.unit() - 1.0)).collect();
    let links = (0..pools).map(|index| {
        let zero = if index < tokens { index } else { (random.unit() * tokens as f64) as usize };
        let step = if index < tokens { 1 } else { 1 + (random.unit() * (tokens - 1) as f64) as usize };
        let one = (zero + step) % tokens;
        let size = 10_f64.powf(2.0 + 2.0 * random.unit());
        let off = 1.0 + 0.06 * (random.unit() - 0.5);
        let reserves = [size / prices[zero], size / prices[one] * off].map(|reserve| (reserve * 1e18) as u128);
        (Pool::from(ConstantProduct::new(reserves[0], reserves[1], Fee::UNISWAP_V2).expect("a pool")), [zero, one])
    });
    (Network::new(tokens, links.collect()).expect("a network"), prices)
}

fn networks(c: &mut Criterion) {
    let mut group = c.benchmark_group("network");
    for (tokens, pools) in [(3, 10), (40, 1_000), (400, 10_000)] {
        let (network, prices) = network(tokens, pools);
        let arbitrage = Objective::arbitrage(prices);
        let mut held = vec![U256::ZERO; tokens];
        held[0] = U256::from(1_000 * 10_u128.pow(18));
        let sale = Objective::sale(held, 1);
        for (name, objective) in [("arbitrage", arbitrage), ("sale", sale)] {
            let route = network.route(&objective).expect("a route");
            assert!(route.gap().abs() <= 1e-9 * route.value, "{} of {}", route.gap(), route.value);
            println!("{name}, {pools} pools, {tokens} tokens: {} steps, {} trades", route.steps, route.trades.len());
            group.bench_function(format!("{name}/{pools} pools over {tokens} tokens"), |b| {
                b.iter_batched(|| (), |()| black_box(network.route(&objective)), BatchSize::SmallInput);
            });
        }
    }
    group.finish();
}

criterion_group!(benches, ticks, steps, swaps, networks);
criterion_main!(benches);
