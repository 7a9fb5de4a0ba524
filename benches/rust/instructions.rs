//! How many instructions the hot paths take, under valgrind: two runs of one binary give the same counts, on a busy
//! machine too, so half a per cent is a change in the code. The input is made here from a seed. Run it through
//! `benches/instructions.py`, which keeps the counts against a baseline.
#![allow(missing_docs)] // the macros make public items without any

use std::fmt::Write as _;
use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group};

use crossbook::book::{PriceBook, TopRows};
use crossbook::exchange::{Command, Exchange, Rules, TimeInForce};
use crossbook::feed::{Protocol, Session};
use crossbook::instrument::{Instrument, Venue};
use crossbook::market::Market;
use crossbook::stats::{Contrast, HayashiYoshida, LagGrid};
use crossbook::tape::Tape;
use crossbook::units::{Nanos, Price, Side, Size};

const COUNT: usize = 2_000;

/// Marsaglia's xorshift64, 2003.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 2).cast_signed() % bound
    }
}

/// Levels near a touch that moves slowly: mostly within 40 units of it, one in eight within 4,000, a third removed.
struct Flow {
    random: Random,
    mid: i64,
}

impl Flow {
    const fn new() -> Self {
        Self { random: Random(0x9E37_79B9_7F4A_7C15), mid: 618_000 }
    }

    fn level(&mut self, side: Side) -> (Price, Size) {
        let random = &mut self.random;
        self.mid += random.below(3) - 1;
        let far = if random.below(8) == 0 { 4_000 } else { 40 };
        let away = 1 + random.below(far);
        let size = if random.below(3) == 0 { 0 } else { 1 + random.below(5_000) };
        let price = match side {
            Side::Bid => self.mid - away,
            Side::Ask => self.mid + away,
        };
        (Price(price), Size(size))
    }

    fn side(&mut self) -> Side {
        if self.random.below(2) == 0 { Side::Bid } else { Side::Ask }
    }
}

type Columns = (Vec<u8>, Vec<i64>, Vec<i64>);

fn columns(flow: &mut Flow) -> Columns {
    let mut columns = Columns::default();
    for _ in 0..COUNT {
        let side = flow.side();
        let (price, size) = flow.level(side);
        columns.0.push(side as u8);
        columns.1.push(price.0);
        columns.2.push(size.0);
    }
    columns
}

/// A book and columns that it has seen before, so that no page is new; and memory for the answer.
fn warm_book(levels: usize) -> (PriceBook, Columns, TopRows) {
    let (columns, mut book, mut out) = (columns(&mut Flow::new()), PriceBook::new(), TopRows::default());
    book.update_rows(&columns.0, &columns.1, &columns.2, levels, &mut out);
    (book, columns, out)
}

#[library_benchmark(setup = warm_book)]
#[bench::quote(1)]
fn book_update((mut book, columns, out): (PriceBook, Columns, TopRows)) -> (PriceBook, Columns, TopRows) {
    for ((side, price), size) in columns.0.iter().zip(&columns.1).zip(&columns.2) {
        let side = if *side == 0 { Side::Bid } else { Side::Ask };
        black_box(book.update(side, Price(*price), Size(*size)));
    }
    (book, columns, out)
}

#[library_benchmark(setup = warm_book)]
#[bench::top_1(1)]
#[bench::top_5(5)]
fn book_rows((mut book, columns, mut out): (PriceBook, Columns, TopRows)) -> (PriceBook, Columns, TopRows) {
    let levels = out.levels.len() / 4;
    book.update_rows(&columns.0, &columns.1, &columns.2, levels, &mut out);
    black_box((book, columns, out))
}

/// What a frame says.
#[derive(Clone, Copy)]
enum Says {
    Depth,
    Quote,
    Trade,
}

fn levels(text: &mut String, flow: &mut Flow, side: Side, count: usize) {
    for i in 0..count {
        let (price, size) = flow.level(side);
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(text, "{comma}[\"{}.{}\",\"{}\"]", price.0 / 10, price.0 % 10, size.0);
    }
}

/// The nth frame of a COIN-M stream, shaped as the venue's are; depth has 8 levels.
fn frame(flow: &mut Flow, says: Says, n: u64) -> Vec<u8> {
    let (id, ms) = (1_007_198_631_000 + n, 1_723_161_257_000 + n);
    let price = flow.mid;
    let (whole, tenth, size) = (price / 10, price % 10, 1 + flow.random.below(5_000));
    let mut text = String::new();
    let _ = match says {
        Says::Depth => {
            let _ = write!(
                text,
                "{{\"stream\":\"btcusd_perp@depth@0ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":{ms},\"T\":{ms},\
                 \"s\":\"BTCUSD_PERP\",\"ps\":\"BTCUSD\",\"U\":{id},\"u\":{id},\"pu\":{},\"b\":[",
                id - 1
            );
            levels(&mut text, flow, Side::Bid, 4);
            text.push_str("],\"a\":[");
            levels(&mut text, flow, Side::Ask, 4);
            write!(text, "]}}}}")
        }
        Says::Quote => write!(
            text,
            "{{\"stream\":\"btcusd_perp@bookTicker\",\"data\":{{\"u\":{id},\"e\":\"bookTicker\",\"s\":\"BTCUSD_PERP\",\
             \"ps\":\"BTCUSD\",\"b\":\"{whole}.{tenth}\",\"B\":\"{size}\",\"a\":\"{}.{tenth}\",\"A\":\"{size}\",\
             \"T\":{ms},\"E\":{ms}}}}}",
            whole + 1
        ),
        Says::Trade => write!(
            text,
            "{{\"stream\":\"btcusd_perp@trade\",\"data\":{{\"e\":\"trade\",\"E\":{ms},\"T\":{ms},\
             \"s\":\"BTCUSD_PERP\",\"t\":{id},\"p\":\"{whole}.{tenth}\",\"q\":\"{size}\",\"X\":\"MARKET\",\"m\":{}}}}}",
            n.is_multiple_of(2)
        ),
    };
    text.into_bytes()
}

struct Run {
    feed: Session,
    market: Market,
    tape: Tape,
    frames: Vec<Vec<u8>>,
    at: usize,
}

impl Run {
    /// Half of the frames played, so that memory is there.
    fn new(says: &[Says]) -> Self {
        let coinm = Instrument::builtin(Venue::BinanceCoinm, "BTCUSD_PERP").expect("built in");
        let mut flow = Flow::new();
        let mut snapshot = "{\"lastUpdateId\":1007198631000,\"bids\":[".to_owned();
        levels(&mut snapshot, &mut flow, Side::Bid, 500);
        snapshot.push_str("],\"asks\":[");
        levels(&mut snapshot, &mut flow, Side::Ask, 500);
        snapshot.push_str("]}");
        let mut frames = vec![snapshot.into_bytes()];
        let (mut depth, mut other) = (0, 0);
        for says in says.iter().cycle().take(2 * COUNT) {
            // Depth ids chain; the others only have to rise.
            let n = if matches!(says, Says::Depth) { &mut depth } else { &mut other };
            *n += 1;
            frames.push(frame(&mut flow, *says, *n));
        }
        let mut run = Self {
            feed: Session::new(Protocol::current(coinm.venue).expect("a feed"), [(0, &coinm)]),
            market: Market::new(vec![coinm]).expect("a market"),
            tape: Tape::default(),
            frames,
            at: 0,
        };
        run.play(COUNT + 1, true);
        run
    }

    #[inline(always)]
    fn play(&mut self, count: usize, market: bool) {
        for json in &self.frames[self.at..self.at + count] {
            self.tape.clear();
            let outcome = self.feed.on_frame(Nanos(1), json, &mut self.tape);
            assert!(outcome.is_ok() && !self.tape.is_empty(), "a frame without events");
            if market {
                for event in self.tape.view().iter() {
                    black_box(self.market.apply(&event));
                }
            }
        }
        self.at += count;
    }
}

#[library_benchmark(setup = Run::new)]
#[bench::depth_8_levels(&[Says::Depth])]
#[bench::quote(&[Says::Quote])]
#[bench::trade(&[Says::Trade])]
fn decode(mut run: Run) -> Run {
    run.play(COUNT, false);
    run
}

#[library_benchmark(setup = Run::new)]
#[bench::mixed(&[Says::Depth, Says::Quote, Says::Quote, Says::Trade])]
fn frame_to_market(mut run: Run) -> Run {
    run.play(COUNT, true);
    run
}

/// Two random walks, one ahead of the other.
fn walks() -> HayashiYoshida {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let (mut times, mut values, mut time, mut value) = (Vec::new(), Vec::new(), 0, 0_i32);
    for _ in 0..COUNT {
        time += 1 + random.below(20_000_000);
        value += if random.below(2) == 0 { 1 } else { -1 };
        times.push(time);
        values.push(f64::from(value));
    }
    let late: Vec<_> = times.iter().map(|time| time + 80_000_000).collect();
    HayashiYoshida::new(&times, &values, &late, &values).expect("two series")
}

#[library_benchmark(setup = walks)]
#[bench::lags_2001()]
fn hayashi_yoshida(pair: HayashiYoshida) -> (Contrast, HayashiYoshida) {
    let grid = LagGrid::new(-1_000_000_000, 1_000_000, 2_001).expect("a grid");
    (pair.contrast(grid, 10_000_000_000).expect("a contrast"), pair)
}

/// An exchange with some five thousand orders at rest, and what comes next: of a hundred messages 43 rest or trade, 7
/// are immediate, 41 cancel, 9 replace, as in the public streams. One in ten crosses.
fn venue() -> (Exchange, Vec<Command>) {
    let mut exchange = Exchange::with_capacity(Rules::default(), 16_384).expect("the default rules");
    let mut random = Random(11);
    let mut ids: Vec<u64> = Vec::new();
    let mut number = 0;
    let mut next = |random: &mut Random, ids: &mut Vec<u64>, grow: bool| {
        let draw = if grow { 0 } else { random.below(100) };
        let side = if random.below(2) == 0 { Side::Bid } else { Side::Ask };
        let away = if !grow && random.below(10) == 0 { -random.below(4) } else { 1 + random.below(200) };
        let price = Price(if side == Side::Bid { 100_000 - away } else { 100_000 + away });
        let size = Size(1 + random.below(100));
        if draw < 50 || ids.is_empty() {
            number += 1;
            // Spread over 64 bits, as hashes of clients' ids are.
            let id = number * 0x9e37_79b9_7f4a_7c15;
            let time_in_force = if draw < 43 { TimeInForce::Gtc } else { TimeInForce::Ioc };
            if draw < 43 {
                ids.push(id);
            }
            return Command { time_in_force, ..Command::limit(id, side, price, size) };
        }
        let at = usize::try_from(random.below(i64::try_from(ids.len()).expect("few"))).expect("not negative");
        if draw < 91 { Command::cancel(ids.swap_remove(at)) } else { Command::replace(ids[at], price, size) }
    };
    for step in 0..40_000 {
        exchange.apply(&next(&mut random, &mut ids, step < 5_000), |_| {});
    }
    let commands = (0..COUNT).map(|_| next(&mut random, &mut ids, false)).collect();
    (exchange, commands)
}

#[library_benchmark(setup = venue)]
#[bench::plain_orders()]
fn matching((mut exchange, commands): (Exchange, Vec<Command>)) -> (Exchange, Vec<Command>, u64) {
    let mut reports = 0;
    for command in &commands {
        exchange.apply(command, |execution| reports += black_box(execution).sequence & 1);
    }
    (exchange, commands, reports)
}

library_benchmark_group!(
    name = paths;
    benchmarks = book_update, book_rows, decode, frame_to_market, matching, hayashi_yoshida
);

gungraun::main!(library_benchmark_groups = paths);
