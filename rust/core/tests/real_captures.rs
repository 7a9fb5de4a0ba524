//! The captures of 2024-08-08 against the exchange's own word.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crossbook::capture::{Content, Replay, Source, identify};
use crossbook::event::{Flags, Kind};
use crossbook::instrument::Instrument;
use crossbook::market::{Change, Market};
use crossbook::tape::Tape;
use crossbook::units::Side;

fn capture(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CROSSBOOK_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")), PathBuf::from);
    let path = root.join("binance-2024-08-08").join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "CROSSBOOK_DATA: expected {}", path.display());
    eprintln!("skipped: set CROSSBOOK_DATA to the folder of captures");
    None
}

fn play(name: &str) -> Option<(Instrument, Tape, Replay)> {
    let path = capture(name)?;
    let Ok(Content::Connection { protocol, symbol: Some(symbol), .. }) = identify(&path) else {
        panic!("{name}: expected a connection");
    };
    let instrument = Instrument::builtin(protocol.venue, &symbol).expect("built in");
    let instruments = vec![(0, instrument.clone())];
    let source = Source { paths: vec![path], protocol: Some(protocol), instruments, partial: false };
    let mut replay = Replay::open(&[source]);
    let mut tape = Tape::default();
    while replay.next_batch(1 << 16, &mut tape) {}
    Some((instrument, tape, replay))
}

/// At every depth message after synchronisation the rebuilt best levels are those of the quote with the greatest update
/// id not above the message's, wherever it lies in the file. Returns how many were compared.
fn compare_with_quotes(name: &str) -> Option<usize> {
    let (instrument, tape, replay) = play(name)?;
    assert_eq!(replay.faults().len(), 0);
    assert!(tape.kind.iter().all(|kind| *kind != Kind::Gap as u8), "no gap");

    let mut quotes: BTreeMap<u64, [(i64, i64); 2]> = BTreeMap::new();
    for event in tape.view().iter().filter(|event| event.kind == Kind::Quote) {
        let side = usize::from(event.side == Some(Side::Ask));
        quotes.entry(event.sequence).or_default()[side] = (event.price.0, event.size.0);
    }
    let mut market = Market::new(vec![instrument]).expect("a market");
    let mut compared = 0;
    for event in tape.view().iter() {
        let Some(Change::Depth { .. }) = market.apply(&event) else { continue };
        if event.flags.contains(Flags::SNAPSHOT) {
            continue;
        }
        let book = market.venues()[0].book().quote();
        assert!(book.is_two_sided() && !book.is_crossed(), "{name} at {}", event.sequence);
        let (id, [bid, ask]) = quotes.range(..=event.sequence).next_back().expect("a quote");
        assert_eq!((book.bid.0, book.bid_size.0), *bid, "{name}: bid at {} against the quote {id}", event.sequence);
        assert_eq!((book.ask.0, book.ask_size.0), *ask, "{name}: ask at {} against the quote {id}", event.sequence);
        compared += 1;
    }
    Some(compared)
}

#[test]
fn the_spot_book_is_the_exchanges_at_every_depth_message() {
    assert!(compare_with_quotes("spot-btcusdt.gz").is_none_or(|compared| compared == 3_449));
}

#[test]
fn the_usdm_book_is_the_exchanges_at_every_depth_message() {
    assert!(compare_with_quotes("usdm-btcusdt.gz").is_none_or(|compared| compared == 6_547));
}

#[test]
fn the_coinm_book_is_the_exchanges_at_every_depth_message() {
    assert!(compare_with_quotes("coinm-btcusd_perp.gz").is_none_or(|compared| compared == 26_824));
}

#[test]
fn every_frame_of_a_capture_is_accounted_for() {
    let Some((_, tape, replay)) = play("spot-btcusdt.gz") else { return };
    let (source, counts) = (replay.counts().next().expect("a source"), replay.stream_counts(0, 0));
    assert_eq!((source.frames, counts.quotes, counts.trades, counts.snapshots), (41_249, 28_040, 9_757, 1));
    assert_eq!((counts.depth + counts.held, source.errors, counts.gaps, source.backwards), (3_451, 0, 0, 0));
    let (read, total) = replay.progress();
    assert_eq!(read, total);
    assert!(tape.ts_recv.is_sorted());
}
