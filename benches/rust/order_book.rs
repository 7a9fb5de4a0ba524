//! The order book by size: adding, cancelling and filling with 1,000, 100,000 and 5,000,000 orders at rest.
//!
//!     cargo bench -p crossbook --bench order_book
//!
//! Ids are random 64-bit numbers, orders lie on 4,000 levels, 2,000 a side. A round cancels 128 orders drawn from all
//! that rest and adds 128 with new ids at random levels, so the book keeps its size; ids and levels are drawn before the
//! clock starts. A fill takes the whole head of the best bid, and another order joins the tail. The three books see the
//! same kinds of draws; what differs is how much of the book the caches hold. The resting orders' memory is printed. `apply_all` gives the same
//! changes as events in one call, which reads ahead in a large book.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use crossbook::book::OrderBook;
use crossbook::event::{Event, Flags, Kind};
use crossbook::units::{Nanos, Price, Side, Size};

const SIZES: [usize; 3] = [1_000, 100_000, 5_000_000];
const LEVELS: u64 = 2_000;
const ROUND: usize = 128;
const MID: i64 = 100_000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from((u128::from(self.next()) * bound as u128) >> 64).expect("below a usize")
    }

    fn order(&mut self) -> New {
        let id = self.next();
        let draw = self.next();
        let away = i64::try_from((draw >> 1) % LEVELS).expect("a level");
        let (side, price) = if draw & 1 == 0 { (Side::Bid, MID - away) } else { (Side::Ask, MID + 1 + away) };
        New { id, side, price: Price(price) }
    }
}

#[derive(Clone, Copy)]
struct New {
    id: u64,
    side: Side,
    price: Price,
}

fn event(kind: Kind, order_id: u64) -> Event {
    Event {
        ts_event: Nanos(0),
        ts_recv: Nanos(0),
        sequence: 0,
        order_id,
        price: Price(0),
        size: Size(0),
        instrument: 0,
        kind,
        side: None,
        flags: Flags::NONE,
    }
}

struct Resting {
    book: OrderBook,
    ids: Vec<u64>,
    random: Random,
    /// Ids at the best bid, in order.
    heads: VecDeque<u64>,
}

impl Resting {
    fn new(orders: usize) -> Self {
        let mut random = Random(23);
        let mut book = OrderBook::new();
        let mut ids = Vec::with_capacity(orders);
        let mut heads = VecDeque::new();
        while book.len() < orders {
            let New { id, side, price } = random.order();
            book.add(id, side, price, Size(10)).expect("a new id");
            if side == Side::Bid && price.0 == MID {
                heads.push_back(id);
            } else {
                ids.push(id);
            }
        }
        // In the small book nobody may have come to the best bid by chance.
        while heads.len() < 8 {
            let id = random.next();
            book.add(id, Side::Bid, Price(MID), Size(10)).expect("a new id");
            heads.push_back(id);
        }
        let bytes = book.heap() as f64 / orders as f64;
        eprintln!("{orders} orders: {bytes:.1} bytes each, {:?}", book.quote());
        Self { book, ids, random, heads }
    }

    /// Cancels 128 orders and adds as many; the time of each half.
    fn round(&mut self, ahead: bool) -> (Duration, Duration) {
        let leaving: [u64; ROUND] = std::array::from_fn(|_| self.ids.swap_remove(self.random.below(self.ids.len())));
        let start = Instant::now();
        if ahead {
            self.book.apply_all(&leaving.map(|id| event(Kind::Cancel, id))).expect("live orders");
        } else {
            for id in leaving {
                black_box(self.book.cancel(id)).expect("a live order");
            }
        }
        let cancelled = start.elapsed();
        let coming: [New; ROUND] = std::array::from_fn(|_| {
            loop {
                let order = self.random.order();
                if order.side == Side::Ask || order.price.0 != MID {
                    break order;
                }
            }
        });
        let adds = coming.map(|order| Event {
            side: Some(order.side),
            price: order.price,
            size: Size(10),
            ..event(Kind::Add, order.id)
        });
        let start = Instant::now();
        if ahead {
            self.book.apply_all(&adds).expect("new ids");
        } else {
            for order in &coming {
                self.book.add(order.id, order.side, order.price, Size(10)).expect("a new id");
            }
        }
        let added = start.elapsed();
        self.ids.extend(coming.map(|order| order.id));
        (cancelled, added)
    }

    /// Fills heads of the best bid; the time of that alone.
    fn fills(&mut self) -> Duration {
        let mut took = Duration::ZERO;
        for _ in 0..ROUND {
            let Some(head) = self.heads.pop_front() else { break };
            let id = self.random.next();
            self.heads.push_back(id);
            self.book.add(id, Side::Bid, Price(MID), Size(10)).expect("a new id");
            let start = Instant::now();
            self.book.execute(head, Size(10)).expect("a live order");
            took += start.elapsed();
        }
        took
    }
}

fn timed(rounds: u64, mut round: impl FnMut() -> Duration) -> Duration {
    (0..rounds).map(|_| round()).sum()
}

fn order_book(c: &mut Criterion) {
    for orders in SIZES {
        let mut resting = Resting::new(orders);
        let mut group = c.benchmark_group(format!("order_book/{orders}"));
        group.throughput(Throughput::Elements(ROUND as u64));
        group.bench_function("cancel", |b| b.iter_custom(|rounds| timed(rounds, || resting.round(false).0)));
        group.bench_function("add", |b| b.iter_custom(|rounds| timed(rounds, || resting.round(false).1)));
        for (name, half) in [("cancel, apply_all", 0), ("add, apply_all", 1)] {
            group.bench_function(name, |b| {
                b.iter_custom(|rounds| {
                    timed(rounds, || {
                        let (cancelled, added) = resting.round(true);
                        if half == 0 { cancelled } else { added }
                    })
                });
            });
        }
        group.bench_function("execute head", |b| b.iter_custom(|rounds| timed(rounds, || resting.fills())));
        group.finish();
    }
}

criterion_group!(benches, order_book);
criterion_main!(benches);
