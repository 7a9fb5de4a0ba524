//! From raw frames to books, on three real captures: decode + check of the ids + events into a tape that is reused +
//! every event applied. All frames of a file lie in memory, so gunzip and the split into lines are left out, except in
//! `replay`, which reads the gzip files from disk. Before the clock starts every level of the book must be what
//! `serde_json` and a `BTreeMap` make of the same frames.
//!
//! - `decode/8 levels/FILE`: the COIN-M depth frames of exactly 8 levels, in the file's order. They do not follow one another
//!   in the file, so their ids `U`, `u`, `pu` are rewritten, digit for digit as long as before, to chain one after
//!   another from the file's own snapshot; every other byte is real. Per frame.
//! - `decode/depth/FILE`: all depth frames after the snapshot. Per level.
//! - `decode/mixed/FILE`: the whole file, quotes and trades too, into a price book. Per frame.
//! - `market/FILE`, `market/merged`: the whole file, and all three merged in order of receipt, into a `Market`. Per frame.
//! - `replay/merged`: the same from the gzip files. Per frame.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flate2::read::GzDecoder;
use serde_json::Value;

use crossbook::book::PriceBook;
use crossbook::capture::{Content, Replay, Source, identify};
use crossbook::event::Event;
use crossbook::feed::{Protocol, Session};
use crossbook::instrument::Instrument;
use crossbook::market::Market;
use crossbook::tape::Tape;
use crossbook::units::{Nanos, Side};

const FILES: [&str; 3] = ["usdm-btcusdt", "coinm-btcusd_perp", "spot-btcusdt"];

/// Instrument, receive time and raw JSON.
type Frame = (u32, i64, Vec<u8>);

struct Stream {
    name: &'static str,
    path: PathBuf,
    instrument: Instrument,
    frames: Vec<Frame>,
}

fn read(index: usize, name: &'static str, path: PathBuf) -> Result<Stream, Box<dyn Error>> {
    let Content::Connection { protocol, symbol: Some(symbol), .. } = identify(&path)? else {
        return Err("expected a connection of one symbol".into());
    };
    let instrument = Instrument::builtin(protocol.venue, &symbol).ok_or("expected a built-in instrument")?;
    let mut frames = Vec::new();
    for line in BufReader::new(GzDecoder::new(File::open(&path)?)).lines() {
        let line = line?;
        let (time, json) = line.split_once(' ').ok_or("expected a receive time and a message")?;
        frames.push((u32::try_from(index)?, time.parse()?, json.as_bytes().to_vec()));
    }
    Ok(Stream { name, path, instrument, frames })
}

fn has(frame: &Frame, text: &str) -> bool {
    memchr::memmem::find(&frame.2, text.as_bytes()).is_some()
}

fn is_depth(frame: &Frame) -> bool {
    has(frame, "\"depthUpdate\"")
}

/// How many levels a depth frame has: each begins with `["`.
fn level_count(frame: &Frame) -> usize {
    memchr::memmem::find_iter(&frame.2, "[\"").count()
}

/// Feeds and a tape: what every run starts from and the timed part goes on with.
struct Decoder {
    feeds: Vec<Session>,
    tape: Tape,
    events: usize,
}

impl Decoder {
    fn new(instruments: &[Instrument]) -> Self {
        let feed = |(index, instrument): (u32, _)| {
            Session::new(Protocol::current(Instrument::clone(instrument).venue).expect("a feed"), [(index, instrument)])
        };
        Self { feeds: (0..).zip(instruments).map(feed).collect(), tape: Tape::default(), events: 0 }
    }

    #[inline]
    fn run(&mut self, frames: &[Frame], mut apply: impl FnMut(&Event)) {
        for (feed, ts_recv, json) in frames {
            self.tape.clear();
            let outcome = self.feeds[*feed as usize].on_frame(Nanos(*ts_recv), black_box(json), &mut self.tape);
            outcome.expect("a sound frame");
            self.events += self.tape.len();
            self.tape.view().iter().for_each(|event| apply(&event));
        }
    }
}

/// The levels of a stream by the obvious way: the snapshot, then every depth message whose `u` is above its id.
fn oracle(stream: &Stream, frames: &[Frame]) -> [BTreeMap<i64, i64>; 2] {
    let data = |frame: &Frame| {
        let value: Value = serde_json::from_slice(&frame.2).expect("JSON");
        value.get("data").cloned().unwrap_or(value)
    };
    let mut sides = [BTreeMap::new(), BTreeMap::new()];
    let mut set = |rows: [&Value; 2]| {
        for (side, rows) in sides.iter_mut().zip(rows) {
            for row in rows.as_array().expect("levels") {
                let text = |i: usize| row[i].as_str().expect("a decimal").as_bytes();
                let price = stream.instrument.price_unit.parse_count(text(0)).expect("a price");
                match stream.instrument.size_unit.parse_count(text(1)).expect("a size") {
                    0 => side.remove(&price),
                    size => side.insert(price, size),
                };
            }
        }
    };
    let snapshot = data(frames.iter().find(|frame| has(frame, "lastUpdateId")).expect("a snapshot"));
    set([&snapshot["bids"], &snapshot["asks"]]);
    for depth in frames.iter().filter(|frame| is_depth(frame)).map(data) {
        if depth["u"].as_u64() > snapshot["lastUpdateId"].as_u64() {
            set([&depth["b"], &depth["a"]]);
        }
    }
    sides
}

fn check(stream: &Stream, frames: &[Frame], book: &PriceBook) {
    let expected = oracle(stream, frames);
    for (side, expected) in [Side::Bid, Side::Ask].into_iter().zip(expected) {
        let found: BTreeMap<_, _> = book.levels(side).map(|(price, size)| (price.0, size.0)).collect();
        assert_eq!(found, expected, "{} {side:?}: the book differs", stream.name);
    }
}

/// Frames as the feed of one stream, renumbered to be the only one.
fn alone<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Vec<Frame> {
    frames.into_iter().map(|(_, time, json)| (0, *time, json.clone())).collect()
}

/// Times `timed` on a feed and a book that have seen `before`.
fn decode(c: &mut Criterion, id: BenchmarkId, stream: &Stream, before: &[Frame], timed: &[Frame], count: Throughput) {
    let start = || {
        let (mut decoder, mut book) = (Decoder::new(std::slice::from_ref(&stream.instrument)), PriceBook::new());
        decoder.run(before, |event| {
            book.apply(event);
        });
        decoder.events = 0;
        (decoder, book)
    };
    let routine = |(mut decoder, mut book): (Decoder, PriceBook)| {
        decoder.run(timed, |event| {
            black_box(book.apply(event));
        });
        (decoder, book)
    };
    let (decoder, book) = routine(start());
    assert!(!book.is_stale() && decoder.feeds[0].is_synced(0), "{}: a gap", stream.name);
    check(stream, &[before, timed].concat(), &book);
    eprintln!("{}: {} frames, {} events, at the end {:?}", stream.name, timed.len(), decoder.events, book.quote());
    let mut group = c.benchmark_group("decode");
    group.throughput(count);
    group.bench_function(id, |b| b.iter_batched(start, routine, BatchSize::PerIteration));
    group.finish();
}

/// Writes other digits over those after `key`; as many of them, so that nothing else moves.
fn rewrite(frame: &mut Frame, key: &str, id: u64) {
    let at = memchr::memmem::find(&frame.2, key.as_bytes()).expect("an id") + key.len();
    let length = frame.2[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = id.to_string();
    assert_eq!(digits.len(), length, "an id of another length");
    frame.2[at..at + length].copy_from_slice(digits.as_bytes());
}

fn eight_levels(c: &mut Criterion, stream: &Stream) {
    let snapshot = stream.frames.iter().find(|frame| has(frame, "lastUpdateId")).expect("a snapshot");
    let value: Value = serde_json::from_slice(&snapshot.2).expect("JSON");
    let mut last = value["lastUpdateId"].as_u64().expect("an id");
    let mut frames = alone(stream.frames.iter().filter(|frame| is_depth(frame) && level_count(frame) == 8));
    for frame in &mut frames {
        rewrite(frame, "\"U\":", last + 1);
        rewrite(frame, "\"u\":", last + 2);
        rewrite(frame, "\"pu\":", last);
        last += 2;
    }
    let count = Throughput::Elements(frames.len() as u64);
    decode(c, BenchmarkId::new("8 levels", stream.name), stream, &alone([snapshot]), &frames, count);
}

fn depth(c: &mut Criterion, stream: &Stream) {
    let at = stream.frames.iter().position(|frame| has(frame, "lastUpdateId")).expect("a snapshot");
    let (before, after) = stream.frames.split_at(at + 1);
    let timed = alone(after.iter().filter(|frame| is_depth(frame)));
    let levels: usize = timed.iter().map(level_count).sum();
    let id = BenchmarkId::new("depth", stream.name);
    decode(c, id, stream, &alone(before), &timed, Throughput::Elements(levels as u64));
}

fn market(c: &mut Criterion, name: &str, streams: &[&Stream]) {
    let instruments: Vec<_> = streams.iter().map(|stream| stream.instrument.clone()).collect();
    let mut frames: Vec<Frame> = Vec::new();
    for (index, stream) in (0..).zip(streams) {
        frames.extend(stream.frames.iter().map(|(_, time, json)| (index, *time, json.clone())));
    }
    frames.sort_by_key(|frame| frame.1);
    let start = || (Decoder::new(&instruments), Market::new(instruments.clone()).expect("a market"));
    let routine = |(mut decoder, mut market): (Decoder, Market)| {
        decoder.run(&frames, |event| {
            black_box(market.apply(event));
        });
        (decoder, market)
    };
    let (decoder, market) = routine(start());
    for (stream, venue) in streams.iter().zip(market.venues()) {
        check(stream, &stream.frames, venue.book());
    }
    eprintln!("{name}: {} frames, {} events", frames.len(), decoder.events);
    let mut group = c.benchmark_group("market");
    group.throughput(Throughput::Elements(frames.len() as u64)).sample_size(20);
    group.bench_function(name, |b| b.iter_batched(start, routine, BatchSize::PerIteration));
    group.finish();
}

fn replay(c: &mut Criterion, streams: &[Stream]) {
    let source = |(index, stream): (u32, &Stream)| Source {
        paths: vec![stream.path.clone()],
        protocol: Some(Protocol::current(stream.instrument.venue).expect("a feed")),
        instruments: vec![(index, stream.instrument.clone())],
        partial: false,
    };
    let sources: Vec<_> = (0..).zip(streams).map(source).collect();
    let instruments: Vec<_> = streams.iter().map(|stream| stream.instrument.clone()).collect();
    let routine = || {
        let mut market = Market::new(instruments.clone()).expect("a market");
        let (mut replay, mut tape) = (Replay::open(&sources), Tape::default());
        while replay.next_batch(1 << 16, &mut tape) {
            for event in tape.view().iter() {
                black_box(market.apply(&event));
            }
            tape.clear();
        }
        (replay.counts().map(|counts| counts.frames).sum::<u64>(), market)
    };
    let (frames, market) = routine();
    assert_eq!(frames, streams.iter().map(|stream| stream.frames.len() as u64).sum::<u64>());
    for (stream, venue) in streams.iter().zip(market.venues()) {
        check(stream, &stream.frames, venue.book());
    }
    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Elements(frames)).sample_size(10);
    group.bench_function("merged", |b| b.iter_with_large_drop(routine));
    group.finish();
}

fn feed(c: &mut Criterion) {
    let home = std::env::var_os("CROSSBOOK_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let mut streams = Vec::new();
    for (index, name) in FILES.into_iter().enumerate() {
        let path = home.join("binance-2024-08-08").join(format!("{name}.gz"));
        if !path.exists() {
            assert!(std::env::var_os("CI").is_none(), "no {}: set CROSSBOOK_DATA", path.display());
            eprintln!("skipped: no {}: set CROSSBOOK_DATA", path.display());
            return;
        }
        streams.push(read(index, name, path).expect("a readable capture"));
    }
    eight_levels(c, &streams[1]);
    for stream in &streams {
        depth(c, stream);
    }
    for stream in &streams {
        let count = Throughput::Elements(stream.frames.len() as u64);
        decode(c, BenchmarkId::new("mixed", stream.name), stream, &[], &alone(&stream.frames), count);
    }
    for stream in &streams {
        market(c, stream.name, &[stream]);
    }
    market(c, "merged", &streams.iter().collect::<Vec<_>>());
    replay(c, &streams);
}

criterion_group!(benches, feed);
criterion_main!(benches);
