//! Order-flow imbalance at ten levels, per level set, on three real depth streams, beside the book alone.
//!
//!     cargo bench -p crossbook --bench flow
//!
//! "book": set a level and read the quote. "book and flow": the same, then the flow at ten levels after every level set.
//! "book and flow, a message": the flow is taken at the end of each of the venue's messages. The difference to "book" is
//! what the flow costs. Most of a real stream's levels lie behind the best ten, so a made stream follows in which every
//! level set is one of them: half of them sizes, a quarter levels that leave, a quarter levels that come. Before the clock
//! starts the flow is held to a book that is read anew after every change.

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flate2::read::GzDecoder;
use serde_json::Value;

use crossbook::book::PriceBook;
use crossbook::stats::OrderFlow;
use crossbook::units::{Price, Side, Size, Unit};

const LEVELS: usize = 10;

/// Side, price, size, and whether it ends its message.
type Level = (Side, i64, i64, bool);

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
        levels.push((side, units.0.parse_count(price.as_bytes())?, units.1.parse_count(size.as_bytes())?, false));
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
            if let Some(last) = stream.changes.last_mut() {
                last.3 = true;
            }
        }
    }
    Ok(stream)
}

fn set(book: &mut PriceBook, (side, price, size, _): Level) {
    black_box(book.update(side, Price(price), Size(size)));
}

fn filled(stream: &Stream) -> (PriceBook, OrderFlow) {
    let mut book = PriceBook::new();
    stream.snapshot.iter().for_each(|level| set(&mut book, *level));
    let mut flow = OrderFlow::new(LEVELS).expect("ten levels");
    flow.restart(&book);
    (book, flow)
}

/// The sum of flow by rank over all changes, and how many of them changed a followed level.
fn run(book: &mut PriceBook, flow: &mut OrderFlow, levels: &[Level], every: bool) -> ([i64; LEVELS], usize) {
    let (mut total, mut changes) = ([0; LEVELS], 0);
    for &(side, price, size, last) in levels {
        black_box(book.update(side, Price(price), Size(size)));
        flow.update(book, side, Price(price), Size(size));
        if every || last {
            changes += usize::from(flow.take(&mut total));
            black_box(&total);
        }
    }
    (total, changes)
}

/// The same by reading both sides of the book anew after every change, and the paper's indicators.
fn slow(book: &mut PriceBook, levels: &[Level], every: bool) -> [i64; LEVELS] {
    let top = |book: &PriceBook| {
        [Side::Bid, Side::Ask].map(|side| {
            let sign = if side == Side::Bid { -1 } else { 1 };
            let mut rows = [(i64::MAX, 0); LEVELS];
            rows.iter_mut().zip(book.levels(side)).for_each(|(row, (p, s))| *row = (sign * p.0, s.0));
            rows
        })
    };
    let mut total = [0; LEVELS];
    let mut before = top(book);
    for &level in levels {
        set(book, level);
        if every || level.3 {
            let after = top(book);
            for rank in 0..LEVELS {
                for (side, sign) in [(0, 1), (1, -1)] {
                    let ((k0, s0), (k1, s1)) = (before[side][rank], after[side][rank]);
                    total[rank] += sign * (i64::from(k1 <= k0) * s1 - i64::from(k1 >= k0) * s0);
                }
            }
            before = after;
        }
    }
    total
}

/// Levels that are all among the best ten of a book of 40,000 a side.
fn made() -> Stream {
    const COUNT: usize = 300_000;
    let mut state = 7_u64;
    let mut draw = |below: i64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 1).cast_signed() % below
    };
    let snapshot: Vec<Level> = (0..40_000)
        .flat_map(|k| [(Side::Bid, 10_000_000 - 2 * k, 50, false), (Side::Ask, 10_000_002 + 2 * k, 50, false)])
        .collect();
    let mut book = PriceBook::new();
    snapshot.iter().for_each(|level| set(&mut book, *level));
    let mut changes = Vec::with_capacity(COUNT);
    while changes.len() < COUNT {
        let (side, inward) = [(Side::Bid, 1), (Side::Ask, -1)][usize::from(draw(2) == 1)];
        let rank = usize::try_from(draw(10)).expect("a rank");
        let (price, size) = book.levels(side).nth(rank).expect("a deep book");
        let quote = book.quote();
        let better = price.0 + inward;
        let room = better > quote.bid.0 && better < quote.ask.0 || rank > 0;
        let free = book.size_at(side, Price(better)) == Size(0);
        let change = match draw(4) {
            0 => (side, price.0, 0, true),
            1 if room && free => (side, better, 1 + draw(90), true),
            _ => (side, price.0, (size.0 + 1 + draw(90)) % 500 + 1, true),
        };
        set(&mut book, change);
        changes.push(change);
    }
    Stream { snapshot, changes }
}

fn flow(c: &mut Criterion) {
    for (name, price, size) in STREAMS {
        let path = data().join(format!("{name}.gz"));
        if !path.exists() {
            assert!(std::env::var_os("CI").is_none(), "no {}: set CROSSBOOK_DATA", path.display());
            eprintln!("skipped: no {}: set CROSSBOOK_DATA", path.display());
            continue;
        }
        compare(c, name, &read(&path, (Unit::decimals(price), Unit::decimals(size))).expect("a readable capture"));
    }
    compare(c, "best-ten", &made());
}

fn compare(c: &mut Criterion, name: &str, stream: &Stream) {
    let start = filled(stream);
    for every in [true, false] {
        let (mut book, mut flow) = start.clone();
        let (found, changes) = run(&mut book, &mut flow, &stream.changes, every);
        assert_eq!(found, slow(&mut start.0.clone(), &stream.changes, every), "{name}");
        let ends = stream.changes.iter().filter(|level| every || level.3).count();
        eprintln!("{name}: {} levels, {changes} of {ends} states differ in the best ten", stream.changes.len());
    }
    let mut group = c.benchmark_group(format!("order_flow/{name}"));
    group.throughput(Throughput::Elements(stream.changes.len() as u64));
    group.bench_function("book", |b| {
        let routine = |(mut book, flow): (PriceBook, OrderFlow)| {
            stream.changes.iter().for_each(|level| set(&mut book, *level));
            (book, flow)
        };
        b.iter_batched(|| start.clone(), routine, BatchSize::PerIteration);
    });
    for (label, every) in [("book and flow", true), ("book and flow, a message", false)] {
        group.bench_function(label, |b| {
            let routine = |(mut book, mut flow): (PriceBook, OrderFlow)| {
                (run(&mut book, &mut flow, &stream.changes, every), book, flow)
            };
            b.iter_batched(|| start.clone(), routine, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, flow);
criterion_main!(benches);
