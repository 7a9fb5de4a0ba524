//! Setting a level and reading the quote, per level, on three real depth streams: the price book against a pair of
//! `BTreeMap`s and a pair of sorted vectors. All three start from the stream's snapshot, see the same levels in the same
//! order, and must give the same quote after each of them before the clock starts.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flate2::read::GzDecoder;
use serde_json::Value;

use crossbook::book::{PriceBook, Quote};
use crossbook::units::{Price, Side, Size, Unit};

type Level = (Side, i64, i64);

/// File, price unit and size unit in decimals.
const STREAMS: [(&str, u8, u8); 3] = [("usdm-btcusdt", 1, 3), ("coinm-btcusd_perp", 1, 0), ("spot-btcusdt", 2, 8)];

struct Stream {
    snapshot: Vec<Level>,
    changes: Vec<Level>,
}

fn data() -> PathBuf {
    let home = std::env::var_os("CROSSBOOK_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    home.join("binance-2024-08-08")
}

fn push(levels: &mut Vec<Level>, side: Side, rows: &Value, units: (Unit, Unit)) -> Result<(), Box<dyn Error>> {
    for row in rows.as_array().ok_or("expected an array of levels")? {
        let price = row[0].as_str().ok_or("expected a price")?;
        let size = row[1].as_str().ok_or("expected a size")?;
        levels.push((side, units.0.parse_count(price.as_bytes())?, units.1.parse_count(size.as_bytes())?));
    }
    Ok(())
}

fn read(path: &Path, units: (Unit, Unit)) -> Result<Stream, Box<dyn Error>> {
    let mut stream = Stream { snapshot: Vec::new(), changes: Vec::new() };
    for line in BufReader::new(GzDecoder::new(File::open(path)?)).lines() {
        let line = line?;
        let (_, json) = line.split_once(' ').ok_or("expected a receive time and a message")?;
        let message: Value = serde_json::from_str(json)?;
        let message = message.get("data").unwrap_or(&message);
        if message.get("lastUpdateId").is_some() {
            push(&mut stream.snapshot, Side::Bid, &message["bids"], units)?;
            push(&mut stream.snapshot, Side::Ask, &message["asks"], units)?;
        } else if message["e"] == "depthUpdate" {
            push(&mut stream.changes, Side::Bid, &message["b"], units)?;
            push(&mut stream.changes, Side::Ask, &message["a"], units)?;
        }
    }
    Ok(stream)
}

trait Book: Clone + Default {
    fn set(&mut self, side: Side, price: i64, size: i64) -> Quote;
}

impl Book for PriceBook {
    #[inline]
    fn set(&mut self, side: Side, price: i64, size: i64) -> Quote {
        self.update(side, Price(price), Size(size))
    }
}

#[derive(Clone, Default)]
struct Tree([BTreeMap<i64, i64>; 2]);

impl Book for Tree {
    #[inline]
    fn set(&mut self, side: Side, price: i64, size: i64) -> Quote {
        let levels = &mut self.0[side as usize];
        if size == 0 {
            levels.remove(&price);
        } else {
            levels.insert(price, size);
        }
        let (bid, bid_size) = self.0[0].last_key_value().map_or((0, 0), |(&price, &size)| (price, size));
        let (ask, ask_size) = self.0[1].first_key_value().map_or((0, 0), |(&price, &size)| (price, size));
        Quote { bid: Price(bid), bid_size: Size(bid_size), ask: Price(ask), ask_size: Size(ask_size) }
    }
}

/// Best last, where inserting and removing is cheap.
#[derive(Clone, Default)]
struct Sorted([Vec<(i64, i64)>; 2]);

impl Book for Sorted {
    #[inline]
    fn set(&mut self, side: Side, price: i64, size: i64) -> Quote {
        let levels = &mut self.0[side as usize];
        let place = match side {
            Side::Bid => levels.partition_point(|level| level.0 < price),
            Side::Ask => levels.partition_point(|level| level.0 > price),
        };
        match levels.get_mut(place) {
            Some(level) if level.0 == price && size == 0 => drop(levels.remove(place)),
            Some(level) if level.0 == price => level.1 = size,
            _ if size == 0 => {}
            _ => levels.insert(place, (price, size)),
        }
        let (bid, bid_size) = self.0[0].last().copied().unwrap_or_default();
        let (ask, ask_size) = self.0[1].last().copied().unwrap_or_default();
        Quote { bid: Price(bid), bid_size: Size(bid_size), ask: Price(ask), ask_size: Size(ask_size) }
    }
}

/// A sum over every quote, so that no quote goes unread and books can be compared.
#[inline]
fn run(book: &mut impl Book, levels: &[Level]) -> i64 {
    let mut sum = 0_i64;
    for &(side, price, size) in levels {
        let quote = book.set(side, price, size);
        sum = sum.rotate_left(1) ^ quote.bid.0.wrapping_add(quote.bid_size.0);
        sum = sum.rotate_left(1) ^ quote.ask.0.wrapping_add(quote.ask_size.0);
    }
    sum
}

fn filled<B: Book>(stream: &Stream) -> B {
    let mut book = B::default();
    run(&mut book, &stream.snapshot);
    book
}

fn compare<B: Book>(c: &mut Criterion, name: &str, book: &str, stream: &Stream) {
    let start: B = filled(stream);
    let mut group = c.benchmark_group(format!("price_book/set_and_quote/{name}"));
    group.throughput(Throughput::Elements(stream.changes.len() as u64));
    group.bench_function(book, |b| {
        // The book comes back, so that freeing it is not timed.
        let routine = |mut book: B| (run(&mut book, &stream.changes), book);
        b.iter_batched(|| start.clone(), routine, BatchSize::PerIteration);
    });
    group.finish();
}

fn top<const N: usize>(c: &mut Criterion, name: &str, stream: &Stream) {
    let start: PriceBook = filled(stream);
    let mut group = c.benchmark_group(format!("price_book/set_and_top/{name}"));
    group.throughput(Throughput::Elements(stream.changes.len() as u64));
    group.bench_function(format!("{N} of each side"), |b| {
        let mut out = [[(Price(0), Size(0)); N]; 2];
        let routine = |mut book: PriceBook| {
            for &(side, price, size) in &stream.changes {
                book.update(side, Price(price), Size(size));
                black_box(book.top(Side::Bid, &mut out[0]));
                black_box(book.top(Side::Ask, &mut out[1]));
                black_box(&out);
            }
            book
        };
        b.iter_batched(|| start.clone(), routine, BatchSize::PerIteration);
    });
    group.finish();
}

fn price_book(c: &mut Criterion) {
    for (name, price, size) in STREAMS {
        let path = data().join(format!("{name}.gz"));
        if !path.exists() {
            assert!(std::env::var_os("CI").is_none(), "no {}: set CROSSBOOK_DATA", path.display());
            eprintln!("skipped: no {}: set CROSSBOOK_DATA", path.display());
            continue;
        }
        let stream = read(&path, (Unit::decimals(price), Unit::decimals(size))).expect("a readable capture");
        let answer = run(&mut filled::<Tree>(&stream), &stream.changes);
        assert_eq!(run(&mut filled::<Sorted>(&stream), &stream.changes), answer, "{name}: the vector differs");
        let mut book: PriceBook = filled(&stream);
        assert_eq!(run(&mut book, &stream.changes), answer, "{name}: the price book differs");
        eprintln!(
            "{name}: {} levels, quotes {answer:016x}; at the end {book:?}, {} bytes, {} recentrings",
            stream.changes.len(),
            book.memory(),
            book.recentrings()
        );
        compare::<PriceBook>(c, name, "price book", &stream);
        compare::<Tree>(c, name, "btree map", &stream);
        compare::<Sorted>(c, name, "sorted vector", &stream);
        top::<5>(c, name, &stream);
        top::<10>(c, name, &stream);
    }
}

criterion_group!(benches, price_book);
criterion_main!(benches);
