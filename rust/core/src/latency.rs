//! How long the hot paths take on the machine at hand, operation by operation, because a median says nothing of the
//! tail. The benches of this project are the place for comparisons; this is for a user's own machine.
//!
//! Every sample is the time between two readings of the clock around one operation. Nothing is subtracted:
//! [`Latencies::clock`] holds samples of no operation at all, taken in the same run.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::book::PriceBook;
use crate::event::{Event, Flags, Kind};
use crate::feed::{Outcome, Protocol, Session};
use crate::instrument::Instrument;
use crate::market::{Market, MarketError};
use crate::tape::Tape;
use crate::units::Nanos;

/// So many updates in a row make one sample of [`Latencies::book_run`].
pub const RUN: usize = 64;

/// One raw message of a connection.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Index of the instrument.
    pub instrument: u32,
    /// When it was received.
    pub ts_recv: Nanos,
    /// What was received.
    pub json: Vec<u8>,
}

/// Samples in ns, in the order in which they were taken.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// Nothing: two readings of the clock, one after another.
    pub clock: Vec<u64>,
    /// One level set in a price book and the quote read.
    pub book_update: Vec<u64>,
    /// [`RUN`] of them in a row; the time of all, not of one.
    pub book_run: Vec<u64>,
    /// One depth frame: decoded, its ids checked, its events on a tape.
    pub decode: Vec<u64>,
    /// One frame of any kind: decoded, checked and every event of it applied to the market.
    pub market: Vec<u64>,
}

/// Takes at least `samples` samples of each path, as far as the frames have it, by playing the frames again and again.
/// Each pass starts from new books, and one pass goes before the first sample.
///
/// # Errors
/// [`MarketError`] if the instruments make no market.
pub fn measure(instruments: &[Instrument], frames: &[Frame], samples: usize) -> Result<Latencies, MarketError> {
    let market = Market::new(instruments.to_vec())?;
    let mut found = Latencies { clock: (0..samples).map(|_| time(|| ())).collect(), ..Latencies::default() };
    let mut events = Tape::default();
    play(instruments, frames, |feed, frame, _| drop(feed.on_frame(frame.ts_recv, &frame.json, &mut events)));
    let events: Vec<_> = events.view().iter().filter(|event| event.instrument == 0).collect();

    repeat(samples, &mut found.book_update, |samples| update(&events, 1, samples));
    repeat(samples, &mut found.book_run, |samples| update(&events, RUN, samples));
    repeat(samples, &mut found.decode, |samples| {
        play(instruments, frames, |feed, frame, tape| {
            let mut outcome = None;
            let taken = time(|| outcome = feed.on_frame(frame.ts_recv, &frame.json, tape).ok());
            if outcome == Some(Outcome::Depth) {
                samples.push(taken);
            }
        });
    });
    repeat(samples, &mut found.market, |samples| {
        let mut market = market.clone();
        play(instruments, frames, |feed, frame, tape| {
            let mut outcome = None;
            let taken = time(|| {
                outcome = feed.on_frame(frame.ts_recv, &frame.json, tape).ok();
                for event in tape.view().iter() {
                    black_box(market.apply(&event));
                }
            });
            // A snapshot is a thousand levels on a cold start, no message of the stream.
            if !matches!(outcome, None | Some(Outcome::Snapshot | Outcome::Held)) {
                samples.push(taken);
            }
        });
    });
    Ok(found)
}

#[inline]
fn time(operation: impl FnOnce()) -> u64 {
    let start = Instant::now();
    operation();
    nanos(start.elapsed())
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Passes until there are enough samples; the first one only warms up. Ends too where a pass brings none.
fn repeat(enough: usize, samples: &mut Vec<u64>, mut pass: impl FnMut(&mut Vec<u64>)) {
    pass(samples);
    samples.clear();
    while samples.len() < enough {
        let before = samples.len();
        pass(samples);
        if samples.len() == before {
            return;
        }
    }
}

/// Gives every frame to new feeds, each with an empty tape.
fn play(instruments: &[Instrument], frames: &[Frame], mut each: impl FnMut(&mut Session, &Frame, &mut Tape)) {
    let feed = |(i, known): (u32, &Instrument)| Some(Session::new(Protocol::current(known.venue)?, [(i, known)]));
    let mut feeds: Vec<_> = (0..).zip(instruments).map(feed).collect();
    let mut tape = Tape::default();
    for frame in frames {
        if let Some(Some(feed)) = feeds.get_mut(frame.instrument as usize) {
            tape.clear();
            each(feed, frame, &mut tape);
            feed.commands().for_each(drop);
        }
    }
}

/// Applies the events of one instrument to a new book, and times changes in runs of `count`.
fn update(events: &[Event], count: usize, samples: &mut Vec<u64>) {
    let mut book = PriceBook::new();
    let mut changes = Vec::with_capacity(events.len());
    for event in events {
        match (event.kind, event.side) {
            (Kind::Level, Some(side)) if !event.flags.contains(Flags::SNAPSHOT) => {
                changes.push((side, event.price, event.size));
            }
            _ => {
                book.apply(event);
            }
        }
    }
    for run in changes.chunks_exact(count) {
        samples.push(time(|| {
            for &(side, price, size) in run {
                black_box(book.update(side, price, size));
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::Venue;

    fn frame(json: &str) -> Frame {
        Frame { instrument: 0, ts_recv: Nanos(1), json: json.as_bytes().to_vec() }
    }

    #[test]
    fn every_path_has_its_samples() {
        let coinm = Instrument::builtin(Venue::BinanceCoinm, "BTCUSD_PERP").expect("built in");
        let mut frames = vec![frame(r#"{"lastUpdateId":7,"bids":[["9.9","1"]],"asks":[["10.1","1"]]}"#)];
        frames.extend((8..108).map(|id| {
            let (before, size) = (id - 1, id % 5);
            let ids = format!(r#""E":1,"T":1,"s":"BTCUSD_PERP","U":{id},"u":{id},"pu":{before}"#);
            frame(&format!(r#"{{"e":"depthUpdate",{ids},"b":[["9.8","{size}"]],"a":[]}}"#))
        }));
        let found = measure(&[coinm], &frames, 150).expect("a market");
        assert_eq!(found.clock.len(), 150);
        for samples in [&found.book_update, &found.decode, &found.market] {
            assert_eq!(samples.len(), 200, "two passes of the hundred changes");
        }
        assert_eq!(found.book_run.len(), 150, "one whole run a pass");
    }

    #[test]
    fn frames_without_depth_end_with_what_there_is() {
        let coinm = Instrument::builtin(Venue::BinanceCoinm, "BTCUSD_PERP").expect("built in");
        let found = measure(&[coinm], &[frame("{")], 10).expect("a market");
        assert!(found.decode.is_empty() && found.market.is_empty() && found.book_update.is_empty());
    }
}
