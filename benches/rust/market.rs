//! The market on the three real captures: what the best over venues and the cross decision cost beyond the books.
//!
//!     cargo bench -p crossbook --bench market [-- --quantiles]
//!
//! Every event of the three files, merged by receive time and in memory as events. `books` applies each to its venue's
//! book and reads its touch; `market` applies it to the market and reads the best quote with its sizes and makers, its
//! state, and the cross net of fees, after every event. Before any clock starts the market's answers are compared with a
//! search over all venues' touches after every event. 32 venues: the three streams again and again, shifted in price by
//! a few ticks and in time by fractions of a ms, the first 60,000 events of each.
//!
//! Quantiles: each event timed by itself, the cost of reading the clock (the median of a million readings) subtracted.
//! `beyond` is the difference for the same event between market and books, each the median of five passes: the noise of
//! single readings (interrupts, other processes) is not in it; it is in `market` and `books`, which pool all passes.
//! With `--quantiles` nothing but these is measured. Else criterion runs whole passes after it: ns per event.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use criterion::{BatchSize, Criterion, Throughput};

use crossbook::capture::{Content, Replay, Source, identify};
use crossbook::event::Event;
use crossbook::instrument::Instrument;
use crossbook::market::convert::{NO_ASK, NO_BID, Rate};
use crossbook::market::{Market, MarketRules, Status, VenueBook};
use crossbook::tape::Tape;
use crossbook::units::{Nanos, Side, Unit};

const FILES: [&str; 3] = ["coinm-btcusd_perp.gz", "spot-btcusdt.gz", "usdm-btcusdt.gz"];
const PASSES: usize = 5;
const MANY: usize = 32;
const MANY_EVENTS: usize = 60_000;

fn data() -> PathBuf {
    let home = std::env::var_os("CROSSBOOK_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    home.join("binance-2024-08-08")
}

/// All events of the three files by receive time, and their instruments.
fn read() -> (Vec<Instrument>, Vec<Event>) {
    let mut sources = Vec::new();
    let mut instruments = Vec::new();
    for (index, name) in FILES.iter().enumerate() {
        let path = data().join(name);
        let Ok(Content::Connection { protocol, symbol: Some(symbol), .. }) = identify(&path) else {
            panic!("{}: expected a capture; set CROSSBOOK_DATA", path.display());
        };
        let instrument = Instrument::builtin(protocol.venue, &symbol).expect("built in");
        instruments.push(instrument.clone());
        let instruments = vec![(u32::try_from(index).expect("three"), instrument)];
        sources.push(Source { paths: vec![path], protocol: Some(protocol), instruments, partial: false });
    }
    let mut replay = Replay::open(&sources);
    let (mut tape, mut events) = (Tape::default(), Vec::new());
    while replay.next_batch(1 << 16, &mut tape) {
        events.extend(tape.view().iter());
        tape.clear();
    }
    events.extend(tape.view().iter());
    (instruments, events)
}

/// The streams of three venues as those of `MANY`.
fn many(instruments: &[Instrument], events: &[Event]) -> (Vec<Instrument>, Vec<Event>) {
    let mut all = Vec::new();
    for copy in 0..MANY {
        let (own, shift) = (copy % instruments.len(), i64::try_from(copy / instruments.len()).expect("few"));
        let stream = events.iter().filter(|event| event.instrument as usize == own).take(MANY_EVENTS);
        all.extend(stream.map(|event| {
            let mut event = *event;
            event.instrument = u32::try_from(copy).expect("few");
            event.price.0 += (shift % 5 - 2) * 3;
            event.ts_recv.0 += shift * 137_000;
            event
        }));
    }
    all.sort_by_key(|event| event.ts_recv.0);
    ((0..MANY).map(|copy| instruments[copy % instruments.len()].clone()).collect(), all)
}

fn market(instruments: &[Instrument]) -> Market {
    let fx = vec![("USD".to_owned(), Rate::Fixed(Unit::ONE))];
    let rules = MarketRules { quote: Some("USDT".to_owned()), fx, ..MarketRules::default() };
    Market::with_rules(instruments.to_vec(), rules).expect("a market")
}

/// The answer after an event as numbers, so that nothing goes unread.
#[inline]
fn answer(market: &Market) -> (i64, i64, u64, i128) {
    let quote = market.quote();
    let sizes = i64::try_from(quote.bid_size + quote.ask_size).unwrap_or(i64::MAX);
    let venues = quote.bid_venues ^ quote.ask_venues.rotate_left(32) ^ quote.state as u64;
    let cross = market.cross().map_or(0, |cross| cross.edge);
    (quote.bid.wrapping_add(sizes), quote.ask, venues, cross)
}

/// The same from every venue's touch, one after another.
fn slow(market: &Market) -> (i64, i64, u64, i128) {
    let (mut bids, mut asks) = (BTreeMap::new(), BTreeMap::new());
    for (index, venue) in market.venues().iter().enumerate() {
        if market.status(index) != Status::Live {
            continue;
        }
        let (quote, to) = (venue.touch().expect("a touch").quote, market.conversion(index).expect("a conversion"));
        let size = |side| quote.side(side).map_or(0, |(price, size)| i128::from(to.base_size(price, size)));
        bids.insert(index, (to.bid(quote.bid), size(Side::Bid)));
        asks.insert(index, (to.ask(quote.ask), size(Side::Ask)));
    }
    let bid = bids.values().map(|bid| bid.0).max().unwrap_or(NO_BID);
    let ask = asks.values().map(|ask| ask.0).min().unwrap_or(NO_ASK);
    let (mut sizes, mut at_bid, mut at_ask) = (0_i128, 0_u64, 0_u64);
    bids.iter()
        .filter(|(_, at)| at.0 == bid)
        .for_each(|(index, at)| (at_bid, sizes) = (at_bid | 1 << index, sizes + at.1));
    asks.iter()
        .filter(|(_, at)| at.0 == ask)
        .for_each(|(index, at)| (at_ask, sizes) = (at_ask | 1 << index, sizes + at.1));
    let state = match (bids.is_empty(), asks.is_empty()) {
        (true, true) => 4,
        (false, false) => u64::from(bid >= ask) + u64::from(bid > ask),
        _ => 3,
    };
    let fee = |index: &usize| i128::from(market.fees()[*index]);
    let mut edge = 0;
    for (sell, (bid, _)) in &bids {
        for (buy, (ask, _)) in asks.iter().filter(|(buy, _)| *buy != sell) {
            let got = i128::from(*bid) * (1_000_000_000 - fee(sell));
            edge = edge.max(got - i128::from(*ask) * (1_000_000_000 + fee(buy)));
        }
    }
    let sizes = i64::try_from(sizes).unwrap_or(i64::MAX);
    (bid.wrapping_add(sizes), ask, at_bid ^ at_ask.rotate_left(32) ^ state, edge)
}

fn check(name: &str, instruments: &[Instrument], events: &[Event]) {
    let mut market = market(instruments);
    for (row, event) in events.iter().enumerate() {
        market.apply(event);
        // A search costs a hundred answers: every event of three venues, every seventh of many.
        if instruments.len() < 8 || row % 7 == 0 {
            assert_eq!(answer(&market), slow(&market), "{name}: row {row}");
        }
    }
}

fn clock() -> u64 {
    let mut readings: Vec<u64> =
        (0..1_000_000).map(|_| u64::try_from(Instant::now().elapsed().as_nanos()).unwrap_or(0)).collect();
    readings.sort_unstable();
    readings[readings.len() / 2]
}

fn timed(events: &[Event], mut take: impl FnMut(&Event)) -> Vec<u32> {
    let one = |event: &Event| {
        let start = Instant::now();
        take(event);
        u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX)
    };
    events.iter().map(one).collect()
}

fn books_pass(instruments: &[Instrument], events: &[Event]) -> Vec<u32> {
    let mut books: Vec<_> = instruments.iter().cloned().map(VenueBook::new).collect();
    timed(events, |event| {
        let book = &mut books[event.instrument as usize];
        black_box(book.apply(event));
        black_box(book.touch());
    })
}

fn market_pass(instruments: &[Instrument], events: &[Event]) -> Vec<u32> {
    let mut market = market(instruments);
    timed(events, |event| {
        market.apply(event);
        black_box(answer(&market));
    })
}

fn quantiles(mut times: Vec<i64>, less: i64) -> String {
    times.sort_unstable();
    let at = |thousandths: usize| (times[(times.len() - 1) * thousandths / 1_000] - less).max(0);
    format!("{{\"p50\":{},\"p90\":{},\"p99\":{},\"p999\":{}}}", at(500), at(900), at(990), at(999))
}

/// The median of the passes for each event.
fn medians(passes: &[Vec<u32>]) -> Vec<i64> {
    let of = |row: usize| {
        let mut times: Vec<_> = passes.iter().map(|pass| pass[row]).collect();
        times.sort_unstable();
        i64::from(times[times.len() / 2])
    };
    (0..passes[0].len()).map(of).collect()
}

fn measure(name: &str, goal: (i64, Option<i64>), instruments: &[Instrument], events: &[Event]) {
    let clock = i64::try_from(clock()).expect("a few ns");
    let (mut books, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..PASSES {
        books.push(books_pass(instruments, events));
        whole.push(market_pass(instruments, events));
    }
    let beyond = medians(&whole).into_iter().zip(medians(&books)).map(|(whole, book)| whole - book).collect();
    let pooled = |passes: &[Vec<u32>]| quantiles(passes.iter().flatten().map(|ns| i64::from(*ns)).collect(), clock);
    println!(
        "{{\"bench\":\"market\",\"venues\":\"{name}\",\"events\":{},\"clock\":{clock},\"beyond\":{},\"market\":{},\"books\":{},\
         \"goal\":{{\"p50\":{},\"p99\":{}}}}}",
        events.len(),
        quantiles(beyond, 0),
        pooled(&whole),
        pooled(&books),
        goal.0,
        goal.1.map_or_else(|| "null".to_owned(), |ns| ns.to_string()),
    );
}

fn compare(c: &mut Criterion, name: &str, instruments: &[Instrument], events: &[Event]) {
    let mut group = c.benchmark_group(format!("market/best/{name}"));
    group.throughput(Throughput::Elements(events.len() as u64)).sample_size(10);
    group.bench_function("books", |b| {
        let fresh = || instruments.iter().cloned().map(VenueBook::new).collect::<Vec<_>>();
        let run = |mut books: Vec<VenueBook>| {
            for event in events {
                let book = &mut books[event.instrument as usize];
                black_box(book.apply(event));
                black_box(book.touch());
            }
            books
        };
        b.iter_batched(fresh, run, BatchSize::PerIteration);
    });
    group.bench_function("market", |b| {
        let run = |mut market: Market| {
            for event in events {
                market.apply(event);
                black_box(answer(&market));
            }
            market
        };
        b.iter_batched(|| market(instruments), run, BatchSize::PerIteration);
    });
    group.finish();
}

/// Reading the consolidated book as it stands at the end of the events.
fn read_book(c: &mut Criterion, name: &str, instruments: &[Instrument], events: &[Event]) {
    let mut market = market(instruments);
    for event in events {
        market.apply(event);
    }
    let last = events.last().expect("events").ts_recv;
    market.advance(Nanos(last.0));
    let mut group = c.benchmark_group(format!("market/read/{name}"));
    for count in [10, 100] {
        group.throughput(Throughput::Elements(2 * count as u64));
        group.bench_function(format!("{count} levels of each side"), |b| {
            b.iter(|| {
                for side in [Side::Bid, Side::Ask] {
                    market.levels(side).take(count).for_each(|level| drop(black_box(level)));
                }
            });
        });
        group.bench_function(format!("depth of {count} levels of each side"), |b| {
            b.iter(|| [Side::Bid, Side::Ask].map(|side| black_box(market.depth_of_levels(side, count))));
        });
    }
    group.finish();
}

fn main() {
    let (instruments, events) = read();
    let (more, theirs) = many(&instruments, &events);
    check("3", &instruments, &events);
    check("32", &more, &theirs);
    measure("3", (80, Some(400)), &instruments, &events);
    measure("32", (250, None), &more, &theirs);
    if std::env::args().any(|arg| arg == "--quantiles") {
        return;
    }
    let mut c = Criterion::default().configure_from_args();
    compare(&mut c, "3", &instruments, &events);
    compare(&mut c, "32", &more, &theirs);
    read_book(&mut c, "3", &instruments, &events);
    read_book(&mut c, "32", &more, &theirs);
    c.final_summary();
}
