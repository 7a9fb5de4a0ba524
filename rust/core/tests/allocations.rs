//! Once warm, frames become events and books, and commands executions, without a single allocation.

#![allow(unsafe_code)] // an allocator cannot be written without

#[path = "../src/exchange/tests/generate.rs"]
mod generate;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use crossbook::book::PriceBook;
use crossbook::exchange::{Command, Exchange, Rules};
use crossbook::feed::Outcome;
use crossbook::feed::{Protocol, Session};
use crossbook::instrument::{Instrument, Venue};
use crossbook::market::Market;
use crossbook::market::route::{MarketRouter, Request};
use crossbook::tape::Tape;
use crossbook::units::{Nanos, Side};

/// The system's allocator, counting by thread, so that the test harness does not disturb.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: every call is handed to the system's allocator as it came, and counting touches a `Cell` that is initialised
// at compile time and has no destructor, so it neither allocates nor outlives its thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`, and `old` came from the system's allocator.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `old` came from the system's allocator.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Levels of each side, at neighbouring prices: bids from 61,800.0 down, asks from 61,800.1 up.
const DEPTH: u64 = 500;

fn levels(side: i64, prices: impl Iterator<Item = u64>, size: impl Fn(u64) -> u64) -> String {
    let level = |away: u64| {
        let price = if side < 0 { 618_000 - away } else { 618_001 + away };
        let size = size(away);
        format!(r#"["{}.{}","{}.{:03}"]"#, price / 10, price % 10, size / 1_000, size % 1_000)
    };
    prices.map(level).collect::<Vec<_>>().join(",")
}

fn snapshot(id: u64) -> String {
    let (bids, asks) = (levels(-1, 0..DEPTH, |_| 2_500), levels(1, 0..DEPTH, |_| 1_500));
    format!(r#"{{"lastUpdateId":{id},"E":1,"T":1,"bids":[{bids}],"asks":[{asks}]}}"#)
}

/// The n-th frame after the snapshot, as Binance's USD-M venue sends it: of four, two of depth (1 to 23 levels a side,
/// a third of them removals, the best ones among them), a quote and a trade.
fn frame(n: u64) -> (Outcome, String) {
    let time = 1_723_161_256_299 + n;
    match n % 4 {
        1 => (
            Outcome::Quote,
            format!(
                r#"{{"stream":"btcusdt@bookTicker","data":{{"e":"bookTicker","u":{n},"s":"BTCUSDT","b":"61800.00","B":"2.507","a":"61800.10","A":"0.5","T":{time},"E":{time}}}}}"#
            ),
        ),
        3 => (
            Outcome::Trade,
            format!(
                r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":{time},"T":{time},"s":"BTCUSDT","t":{},"p":"61800.10","q":"0.006","X":"MARKET","m":{}}}}}"#,
                n / 4,
                n % 8 == 3,
            ),
        ),
        _ => {
            let prices = || (0..1 + n % 24).map(|k| (n + k * k) % DEPTH);
            let size = |away: u64| if (n + away).is_multiple_of(3) { 0 } else { n % 5_000 + away };
            let (bids, asks) = (levels(-1, prices(), size), levels(1, prices(), size));
            // Every other message is of depth, and each names the one before.
            let (id, previous) = (1_000 + 10 * n, 1_000 + 10 * n.saturating_sub(2));
            (
                Outcome::Depth,
                format!(
                    r#"{{"stream":"btcusdt@depth@0ms","data":{{"e":"depthUpdate","E":{time},"T":{time},"s":"BTCUSDT","U":{},"u":{id},"pu":{previous},"b":[{bids}],"a":[{asks}]}}}}"#,
                    previous + 1,
                ),
            )
        }
    }
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(|| drop(black_box(Vec::<u64>::with_capacity(black_box(8))))), 1);
}

#[test]
fn ten_thousand_warm_frames_become_events_and_a_book_without_an_allocation() {
    let instrument = Instrument::builtin(Venue::BinanceUsdm, "BTCUSDT").expect("built in");
    let mut feed = Session::new(Protocol::current(instrument.venue).expect("a feed"), [(0, &instrument)]);
    let (mut tape, mut book) = (Tape::default(), PriceBook::new());
    let mut received = 0;
    let mut rows = 0;
    let mut play = |frames: &[(Outcome, String)]| {
        for (expected, text) in frames {
            tape.clear();
            received += 1_000;
            let outcome = feed.on_frame(Nanos(received), text.as_bytes(), &mut tape);
            assert_eq!(outcome.as_ref(), Ok(expected), "{text}");
            for event in tape.view().iter() {
                assert!(!book.apply(&event).is_crossed());
            }
            rows += tape.len();
        }
        assert!(book.quote().is_two_sided() && !book.is_stale());
    };

    let warm_up: Vec<_> = std::iter::once((Outcome::Snapshot, snapshot(1_000))).chain((0..1_000).map(frame)).collect();
    let frames: Vec<_> = (1_000..11_000).map(frame).collect();
    assert!(allocations(|| play(&warm_up)) > 0);
    assert_eq!(allocations(|| play(&frames)), 0);
    assert!(rows > 100_000, "{rows} events");
}

#[test]
fn two_hundred_thousand_warm_plain_commands_match_without_an_allocation() {
    const MESSAGES: usize = 200_000;
    const RESTING: usize = 20_000;
    let mut generator = generate::Generator::new(1, &Rules::default());
    generator.spread = 500;
    let (mut live, mut next_id) = (Vec::new(), 0);
    let mut word = 1_u64;
    let commands: Vec<Command> = (0..2 * MESSAGES + RESTING)
        .map(|_| {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            generator.plain(word, &mut live, &mut next_id, RESTING)
        })
        .collect();
    let mut exchange = Exchange::new(Rules::default()).expect("rules");
    let mut executions = 0_u64;
    let (warm_up, rest) = commands.split_at(RESTING + MESSAGES);
    let mut play = |commands: &[Command]| {
        for command in commands {
            exchange.apply(command, |_| executions += 1);
        }
    };
    assert!(allocations(|| play(warm_up)) > 0);
    assert_eq!(allocations(|| play(rest)), 0);
    eprintln!("{executions} executions, {} orders rest", exchange.len());
    assert!(executions > 400_000 && exchange.len() > RESTING / 2);
}

#[test]
fn a_warm_router_routes_over_a_market_without_an_allocation() {
    let instrument = Instrument::builtin(Venue::BinanceUsdm, "BTCUSDT").expect("built in");
    let mut feed = Session::new(Protocol::current(instrument.venue).expect("a feed"), [(0, &instrument)]);
    let mut tape = Tape::default();
    feed.on_frame(Nanos(1), snapshot(1).as_bytes(), &mut tape).expect("a snapshot");
    let mut market = Market::new(vec![instrument.clone(), instrument]).expect("a market");
    for event in tape.view().iter() {
        market.apply(&event);
        market.apply(&crossbook::event::Event { instrument: 1, ..event });
    }
    let mut router = MarketRouter::new();
    let mut route = || {
        for (side, size) in [(Side::Bid, 400_000), (Side::Ask, 900_000), (Side::Bid, 1), (Side::Bid, 1_300_000)] {
            let found = market.route(&mut router, &Request::size(side, size)).expect("a route");
            assert!(found.filled == size && found.is_optimal, "{found:?}");
        }
    };
    assert!(allocations(&mut route) > 0);
    assert_eq!(allocations(&mut route), 0);
}
