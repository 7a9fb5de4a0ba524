//! The exchange on three public order streams: speed, answers, latency of single messages.
//!
//!     python benches/streams.py target/matching && cargo bench -p crossbook --bench matching [-- STREAM]
//!
//! One thread. The messages lie in memory as they are in the file (24 bytes each); a pass makes a command of each,
//! applies it to a new exchange and writes every report into a buffer of 1,024 that is used again and again. Before the
//! clock starts the SHA-256 of all reports is compared with the published one. Figures are ns per message: the median
//! and the best of the passes. `criterion` is not used here because a pass is the unit: the book must grow and shrink as
//! in the stream.
//!
//! Latency: each message timed by itself in further passes, the cost of reading the clock (the median of as many
//! readings with nothing between) subtracted. That is service time, without queueing: a message that waits while the
//! one before it is served is not seen to wait (coordinated omission). For what a user would see at a given rate, the
//! `at N/s` rows let messages fall due at that rate and count from when they were due.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use sha2::{Digest, Sha256};

use crossbook::exchange::{Command, Exchange, Execution, ExecutionKind, Reason, Rules, TimeInForce};
use crossbook::units::{Price, Side, Size};

const STREAMS: [(&str, &str); 3] = [
    ("normal", "e9b2e3926854410b01a035aeb25dd05f1e597c233be8263de9eb49b6713d367e"),
    ("static", "9803843ee404fc29c9a0aa5614f8f0d5a58b5c44fcac9ef89067886fcaaa30d1"),
    ("flash-crash", "cff8d3f94b709fc64a8b2058a6ca4fb6920364904796e46906895e362d2bb16b"),
];
const PASSES: usize = 15;
const LATENCY_PASSES: usize = 5;
const BUFFER: usize = 1_024;
/// Ns per message that every stream must reach.
const GOAL: f64 = 50.0;

/// One message as it is in the file.
#[derive(Clone, Copy)]
struct Message {
    id: u64,
    price: i64,
    size: u32,
    action: u8,
    side: u8,
    ioc: u8,
}

fn read(path: &Path) -> Vec<Message> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| {
        panic!("{}: {error}; make it with `python benches/streams.py target/matching`", path.display())
    });
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
    bytes
        .chunks_exact(24)
        .map(|row| Message {
            action: row[0],
            side: row[1],
            ioc: row[2],
            size: u32::try_from(number(&row[4..8])).expect("four bytes"),
            id: number(&row[8..16]),
            price: number(&row[16..24]).cast_signed(),
        })
        .collect()
}

impl Message {
    #[inline]
    fn command(&self) -> Command {
        let (price, size) = (Price(self.price), Size(i64::from(self.size)));
        match self.action {
            0 => {
                let side = if self.side == 0 { Side::Bid } else { Side::Ask };
                let time_in_force = if self.ioc == 1 { TimeInForce::Ioc } else { TimeInForce::Gtc };
                Command { time_in_force, ..Command::limit(self.id, side, price, size) }
            }
            1 => Command::cancel(self.id),
            _ => Command::replace(self.id, price, size),
        }
    }
}

/// The published form of a report: its type, and the text after type and sequence.
fn report(execution: &Execution, message: &Message) -> (u8, String) {
    let seq = execution.sequence - 1;
    let side = execution.side.map_or(0, |side| side as u8);
    let Execution { order_id, counter_id, price, size, .. } = execution;
    match (execution.kind, execution.reason) {
        (ExecutionKind::Accepted, _) => (0, format!("0,{seq},{side},{order_id},{},{}", price.0, size.0)),
        (ExecutionKind::Trade, _) => (1, format!("1,{seq},{},{},{counter_id},{order_id}", price.0, size.0)),
        (ExecutionKind::Cancelled, _) => (2, format!("2,{seq},{side},{order_id},{}", price.0)),
        (ExecutionKind::Modified, _) => (3, format!("3,{seq},{side},{order_id},{},{}", price.0, size.0)),
        (ExecutionKind::Rejected, Reason::UnknownOrder) if message.action == 1 => (4, format!("4,{seq},{order_id}")),
        (ExecutionKind::Rejected, Reason::UnknownOrder) => (5, format!("5,{seq},{order_id}")),
        other => panic!("no such report in these streams: {other:?}"),
    }
}

fn digest(messages: &[Message]) -> String {
    let mut exchange = exchange();
    let mut hash = Sha256::new();
    let mut lines: Vec<(u8, String)> = Vec::new();
    let mut first = true;
    for message in messages {
        lines.clear();
        exchange.apply(&message.command(), |execution| lines.push(report(execution, message)));
        lines.sort_by_key(|line| line.0);
        for (_, line) in &lines {
            if !std::mem::take(&mut first) {
                hash.update(b"\n");
            }
            hash.update(line);
        }
    }
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn exchange() -> Exchange {
    Exchange::with_capacity(Rules::default(), 65_536).expect("the default rules")
}

/// Applies every message; returns ns per message and the number of reports.
fn pass(messages: &[Message], buffer: &mut [Execution]) -> (f64, usize) {
    let mut exchange = exchange();
    let mut reports = 0;
    let start = Instant::now();
    for message in messages {
        exchange.apply(&message.command(), |execution| {
            buffer[reports % BUFFER] = *execution;
            reports += 1;
        });
    }
    let took = start.elapsed().as_nanos() as f64 / messages.len() as f64;
    black_box(buffer);
    (took, reports)
}

/// Ns of every message by itself.
fn latencies(messages: &[Message], buffer: &mut [Execution], into: &mut Vec<u64>) {
    let mut exchange = exchange();
    let mut reports = 0;
    for message in messages {
        let start = Instant::now();
        exchange.apply(&message.command(), |execution| {
            buffer[reports % BUFFER] = *execution;
            reports += 1;
        });
        into.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
}

/// Ns from when each message was due, at one every `every` ns.
fn due(messages: &[Message], buffer: &mut [Execution], every: u64, into: &mut Vec<u64>) {
    let mut exchange = exchange();
    let mut reports = 0;
    let start = Instant::now();
    let now = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    for (number, message) in messages.iter().enumerate() {
        let at = number as u64 * every;
        while now() < at {
            std::hint::spin_loop();
        }
        exchange.apply(&message.command(), |execution| {
            buffer[reports % BUFFER] = *execution;
            reports += 1;
        });
        into.push(now() - at);
    }
}

fn clock() -> u64 {
    let mut readings: Vec<u64> =
        (0..1_000_000).map(|_| u64::try_from(Instant::now().elapsed().as_nanos()).unwrap_or(0)).collect();
    readings.sort_unstable();
    readings[readings.len() / 2]
}

fn quantiles(times: &mut [u64], clock: u64) -> String {
    times.sort_unstable();
    let at = |thousandths: usize| times[(times.len() - 1) * thousandths / 1_000].saturating_sub(clock);
    format!("\"p50\":{},\"p99\":{},\"p999\":{}", at(500), at(990), at(999))
}

fn main() {
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    // A relative one is meant from the workspace, and benches run in the package.
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = workspace.join(std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into()));
    let folder = target.join("matching");
    let mut buffer = vec![Execution::default(); BUFFER];
    let clock = clock();
    for (name, published) in STREAMS {
        if wanted.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let messages = read(&folder.join(format!("{name}.bin")));
        assert_eq!(digest(&messages), published, "{name}: the reports differ from the published ones");
        let mut times: Vec<f64> = Vec::new();
        let mut reports = 0;
        for _ in 0..PASSES {
            let (time, count) = pass(&messages, &mut buffer);
            times.push(time);
            reports = count;
        }
        times.sort_by(f64::total_cmp);
        let mut single = Vec::with_capacity(messages.len() * LATENCY_PASSES);
        for _ in 0..LATENCY_PASSES {
            latencies(&messages, &mut buffer, &mut single);
        }
        let single = quantiles(&mut single, clock);
        let mut open = Vec::with_capacity(messages.len());
        due(&messages, &mut buffer, 1_000, &mut open);
        let open = quantiles(&mut open, 0);
        println!(
            "{{\"stream\":\"{name}\",\"messages\":{},\"reports\":{reports},\"median\":{:.1},\"best\":{:.1},\"goal\":{GOAL},\
             \"clock\":{clock},\"single\":{{{single}}},\"due\":{{{open}}}}}",
            messages.len(),
            times[times.len() / 2],
            times[0],
        );
    }
}
