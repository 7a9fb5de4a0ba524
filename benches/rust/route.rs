//! Routing over books of 100 levels a side: 8 books, the same with lots that differ and with gas, and how it grows to
//! 1,000 ladders. Books are read from their price books each time, as a market has them; the ladders of the search alone
//! lie in memory. Before the clock starts each answer is compared with that of a merge of all levels by price, and a
//! route's proof is asked for.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

use crossbook::cost::{Affine, Amount, Rate};
use crossbook::event::{Event, Flags, Kind};
use crossbook::instrument::{Instrument, Venue};
use crossbook::market::route::{DepthOrder, DepthTerms, Depths, MarketRouter, Order, Request, Router, Slices, Terms};
use crossbook::market::{Market, MarketRules};
use crossbook::pool::{Concentrated, ConstantProduct, Fee, Pool, Token, U256};
use crossbook::units::{Nanos, Price, Side, Size, Unit};

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((u128::from(self.0 >> 11) * u128::from(bound)) >> 53).unwrap_or(0)
    }
}

const DEPTH: usize = 100;

/// Asks of 61,800.00 and more in cents, a level every 0.2 on average, sizes of up to 2 in 10^-5.
fn ladders(count: usize, random: &mut Random) -> Vec<Vec<(i64, i64)>> {
    let ladder = |random: &mut Random| {
        let mut price = 6_180_000 + random.below(200);
        let level = |_| {
            price += 1 + random.below(40);
            (price, 100 * (1 + random.below(2_000)))
        };
        (0..DEPTH).map(level).collect()
    };
    (0..count).map(|_| ladder(random)).collect()
}

/// A market of such books. Lots are 0.001 or, mixed, also 0.01 and 0.00001.
fn market(books: &[Vec<(i64, i64)>], mixed: bool) -> Market {
    let described = |index: usize| {
        let mut one = Instrument::builtin(Venue::BinanceSpot, "BTCUSDT").expect("built in");
        one.symbol = format!("BTCUSDT-{index}");
        one.size_unit = Unit::decimals(5);
        one.lot = Some(Unit::decimals(if mixed { [3, 2, 5][index % 3] } else { 3 }));
        one
    };
    let fees = (0..books.len()).map(|index| [100_000, 200_000, 150_000, 0][index % 4]).collect();
    let rules = MarketRules { fees, ..MarketRules::default() };
    let mut market = Market::with_rules((0..books.len()).map(described).collect(), rules).expect("a market");
    for (index, asks) in (0_u32..).zip(books) {
        let best = asks.first().map_or(0, |level| level.0);
        let bids = asks.iter().map(|(price, size)| (Side::Bid, 2 * best - price - 1, *size));
        let rows: Vec<_> = asks.iter().map(|(price, size)| (Side::Ask, *price, *size)).chain(bids).collect();
        for (row, (side, price, size)) in rows.iter().enumerate() {
            let last = if row + 1 == rows.len() { Flags::LAST } else { Flags::NONE };
            market.apply(&Event {
                ts_event: Nanos(1),
                ts_recv: Nanos(1),
                sequence: 1,
                order_id: 0,
                price: Price(*price),
                size: Size(*size),
                instrument: index,
                kind: Kind::Level,
                side: Some(*side),
                flags: Flags::SNAPSHOT.union(last),
            });
        }
    }
    market
}

/// The least cost of a size where every lot is one unit: all levels sorted by net price.
fn merged(books: &[Vec<(i64, i64)>], factors: &[i64], size: i64) -> i128 {
    let mut levels: Vec<(i128, i64)> = books
        .iter()
        .zip(factors)
        .flat_map(|(book, factor)| book.iter().map(|(price, size)| (i128::from(*price) * i128::from(*factor), *size)))
        .collect();
    levels.sort_unstable();
    let (mut left, mut cost) = (size, 0);
    for (price, available) in levels {
        let taken = available.min(left);
        left -= taken;
        cost += price * i128::from(taken);
    }
    assert_eq!(left, 0);
    cost
}

fn total(books: &[Vec<(i64, i64)>]) -> i64 {
    books.iter().flatten().map(|level| level.1).sum()
}

fn books(c: &mut Criterion) {
    let random = &mut Random(7);
    let books = ladders(8, random);
    for (name, mixed) in [("8 books", false), ("8 books, lots differ", true)] {
        let market = market(&books, mixed);
        let mut group = c.benchmark_group(format!("route/{name}"));
        for (share, percent) in [(1, "1 %"), (10, "10 %"), (50, "50 %")] {
            let size = total(&books) * share / 100 / 1_000 * 1_000;
            let request = Request::size(Side::Bid, size);
            let mut router = MarketRouter::new();
            let route = market.route(&mut router, &request).expect("a route");
            assert!(route.is_optimal && route.filled == size, "{route:?}");
            eprintln!("{name}, {percent} of the depth: {} legs, {} nodes", route.legs.len(), route.nodes);
            group.bench_function(percent, |b| b.iter(|| black_box(market.route(&mut router, &request)).is_ok()));
        }
        group.finish();
    }
}

fn scaling(c: &mut Criterion) {
    for gas in [false, true] {
        let mut group = c.benchmark_group(if gas { "route/ladders, a third with gas" } else { "route/ladders" });
        group.sample_size(20);
        for count in [8, 64, 1_000] {
            let books = ladders(count, &mut Random(7));
            let slices: Vec<&[(i64, i64)]> = books.iter().map(Vec::as_slice).collect();
            let factors: Vec<i64> = (0..count).map(|at| 1_000_000_000 + [0, 100_000, 250_000][at % 3]).collect();
            // 3 of the quote currency, in 10^-9 of cents times 10^-5.
            let fixed = |at: usize| if gas && at.is_multiple_of(3) { 3 * 10_i128.pow(16) } else { 0 };
            let terms: Vec<Terms> =
                (0..count).map(|at| Terms { factor: factors[at], fixed: fixed(at), ..Terms::default() }).collect();
            let size = total(&books) / 100;
            let order = Order { buy: true, size, max_venues: usize::MAX, max_nodes: 10_000 };
            let (mut router, mut source) = (Router::new(), Slices::new(&slices));
            let split = router.split(&order, &terms, &mut source).expect("a split");
            assert!(split.filled == size && (gas || split.cost == merged(&books, &factors, size)), "{split:?}");
            eprintln!("{count} ladders, gas {gas}: {} nodes, optimal {}", split.nodes, split.is_optimal);
            group.bench_function(BenchmarkId::from_parameter(count), |b| {
                b.iter(|| {
                    source.rewind();
                    black_box(router.split(&order, &terms, &mut source)).is_ok()
                });
            });
        }
        group.finish();
    }
}

/// 8 books and pools, half of them constant product and half concentrated with 39 ranges, without gas and with 3 each.
/// Before the clock starts the gap is asked for.
fn pools(c: &mut Criterion) {
    for gas in [0, 3] {
        let mut group =
            c.benchmark_group(if gas > 0 { "route/8 books and pools, gas" } else { "route/8 books and pools" });
        group.sample_size(20);
        for count in [10, 100, 1_000] {
            let random = &mut Random(7);
            let mut depths = Depths::new(Unit::decimals(2), Unit::decimals(4)).expect("units");
            for (index, asks) in ladders(8, random).into_iter().enumerate() {
                depths.set_book(index, Vec::new(), asks, DepthTerms::default()).expect("a book");
            }
            let costs = [Affine { rate: Rate(0), fixed: Amount::whole(gas) }; 2];
            for index in 0..count {
                let base = u128::try_from(100 + random.below(5_000)).expect("above 0");
                let quote = base * u128::try_from(61_750 + random.below(100)).expect("above 0");
                let (base, quote) = (base * 10_u128.pow(8), quote * 10_u128.pow(6));
                let pool = if index % 2 == 0 {
                    let fee = Fee::new(1, 1_000).expect("a fee");
                    Pool::from(ConstantProduct::new(base, quote, fee).expect("reserves"))
                } else {
                    // The root of the price in Q64.96, to 32 bits behind the point.
                    let root = U256::from(((quote << 64) / base).isqrt()) << 64_usize;
                    let liquidity = (quote * base).isqrt() / 4;
                    let mut pool = Concentrated::new(root, 10, Fee::pips(500).expect("a fee")).expect("a price");
                    let middle = pool.tick().div_euclid(10) * 10;
                    for width in (1..40).map(|width| 10 * width) {
                        pool.mint(middle - width, middle + width, liquidity).expect("room");
                    }
                    Pool::from(pool)
                };
                let terms = DepthTerms { costs, ..DepthTerms::default() };
                depths.set_pool(8 + index, pool, Token::Zero, [8, 6], terms).expect("a pool");
            }
            let size = 10_000_000;
            let order = DepthOrder { side: Side::Bid, size, limit: None, max_venues: usize::MAX, max_nodes: 10_000 };
            let route = depths.route(&order).expect("a route");
            let gap = route.gap.expect("a bound").to_f64() / route.total.to_f64();
            assert!(route.filled == size && gap < 1e-8, "{route:?}");
            eprintln!("{count} pools, gas {gas}: {} legs, {} nodes, gap {gap:e}", route.legs.len(), route.nodes);
            group.bench_function(BenchmarkId::from_parameter(count), |b| {
                b.iter(|| black_box(depths.route(&order)).is_ok());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, books, scaling, pools);
criterion_main!(benches);
