//! Cycles: ns from an event to the decision which cycles pay, over a graph of currencies.
//!
//! `cargo bench -p crossbook --bench cycle`. Ten currencies and thirty books of them; quotes walk at random around prices
//! that hold no cycle, so that few pay, as on a real market. Each batch plays the same 10,000 quotes (two events each) through
//! a clone that knows every book already; the figure divided by 20,000 is ns per event. `books` is the same without cycles:
//! what the books alone cost.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use crossbook::event::{Event, Flags, Kind};
use crossbook::instrument::{Instrument, Venue};
use crossbook::market::{CycleRules, Cycles, VenueBook};
use crossbook::units::{Nanos, Price, Side, Size, Unit};

const CURRENCIES: usize = 10;
const BOOKS: usize = 30;
const QUOTES: usize = 10_000;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let key = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (key ^ (key >> 31)) % limit
    }
}

fn instruments() -> Vec<Instrument> {
    let pairs = (0..CURRENCIES)
        .flat_map(|base| (0..base).map(move |quote| (base, quote)))
        .step_by(3)
        .chain((0..CURRENCIES).flat_map(|base| (0..base).map(move |quote| (base, quote))).skip(1).step_by(3));
    let made = pairs.take(BOOKS).map(|(base, quote)| {
        let mut one = Instrument::builtin(Venue::BinanceSpot, "BTCUSDT").expect("built in");
        (one.base, one.quote) = (format!("C{base}"), format!("C{quote}"));
        one.symbol = format!("C{base}C{quote}");
        (one.price_unit, one.size_unit, one.lot) = (Unit::decimals(8), Unit::decimals(4), None);
        one
    });
    made.collect()
}

fn quotes(instruments: &[Instrument]) -> Vec<Event> {
    let worth = |name: &str| 1.0 + 0.37 * name.trim_start_matches('C').parse::<f64>().expect("a number");
    let mut random = Random(7);
    let mut events = Vec::with_capacity(2 * QUOTES);
    for ts in 1..=QUOTES {
        // Every book once at first, then at random.
        let book = if ts <= BOOKS { ts - 1 } else { usize::try_from(random.below(BOOKS as u64)).expect("small") };
        let one = &instruments[book];
        let fair = worth(&one.base) / worth(&one.quote) * 1e8;
        // 10 bp of noise around the fair price, 4 bp of spread on either side.
        let noise = f64::from(u32::try_from(random.below(2_001)).expect("small")) / 1e6 - 0.001;
        #[allow(clippy::cast_possible_truncation)]
        let price = |away: f64| Price((fair * (1.0 + noise + away)) as i64);
        for (side, price, flags) in [(Side::Bid, price(-4e-4), Flags::NONE), (Side::Ask, price(4e-4), Flags::LAST)] {
            events.push(Event {
                ts_event: Nanos::UNKNOWN,
                ts_recv: Nanos(i64::try_from(ts).expect("small")),
                sequence: ts as u64,
                order_id: 0,
                price,
                size: Size(10_000),
                instrument: u32::try_from(book).expect("small"),
                kind: Kind::Quote,
                side: Some(side),
                flags,
            });
        }
    }
    events
}

fn bench(criterion: &mut Criterion) {
    let instruments = instruments();
    assert_eq!(instruments.len(), BOOKS);
    let events = quotes(&instruments);
    let mut group = criterion.benchmark_group("cycles");
    group.throughput(Throughput::Elements(events.len() as u64));
    for longest in [3, 4] {
        let rules = CycleRules {
            // 5 bp a leg: now and then a cycle pays.
            fees: vec![500_000; BOOKS],
            shortest: 3,
            longest,
            home: vec![],
            stale_after: i64::MAX,
        };
        let mut known = Cycles::new(instruments.clone(), rules).expect("cycles");
        events[..2 * BOOKS].iter().for_each(|event| known.apply(event));
        let mut once = known.clone();
        events[2 * BOOKS..].iter().for_each(|event| once.apply(event));
        println!("up to {longest}: {} cycles, {} intervals in which one paid", once.len(), once.take().len());
        group.bench_function(format!("up to {longest}"), |bencher| {
            bencher.iter_batched_ref(
                || known.clone(),
                |cycles| events[2 * BOOKS..].iter().for_each(|event| cycles.apply(event)),
                BatchSize::LargeInput,
            );
        });
    }
    let books: Vec<_> = instruments.into_iter().map(VenueBook::new).collect();
    group.bench_function("books", |bencher| {
        bencher.iter_batched_ref(
            || books.clone(),
            |books| {
                for event in &events[2 * BOOKS..] {
                    std::hint::black_box(books[event.instrument as usize].apply(event));
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
