//! Every venue's real frames from text to events: decode + sequence checks + checksums + events into a tape that is reused.
//! The frames of a capture lie in memory; a new session reads all of them in each pass, in order of receipt. Before the
//! clock starts no frame may be refused, no checksum may fail and no gap may be found.
//!
//! - `venues/all/FILE`: every frame of the file, per frame.
//! - `venues/depth/FILE`: the frames that change or replace a book, per level. What else is in the file is read between
//!   the timed parts, so that ids stay unbroken.
//! - `venues/1 level/FILE`, `venues/8 levels/FILE`: of those, the frames with so many levels. Per frame. The clock is read
//!   at the beginning and the end of every run of such frames; what that costs, `venues/clock`, is in it.

use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use crossbook::capture::{Content, identify, survey};
use crossbook::event::Kind;
use crossbook::feed::{Protocol, Session};
use crossbook::instrument::Instrument;
use crossbook::tape::Tape;
use crossbook::units::Nanos;

struct Connection {
    name: String,
    protocol: &'static Protocol,
    instruments: Vec<Instrument>,
    /// Frames, and REST responses with the instrument that they are for.
    frames: Vec<(Nanos, Option<u32>, Vec<u8>)>,
}

fn seconds(text: &str) -> Nanos {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanos = format!("{whole}{fraction:0<9}");
    Nanos(nanos.parse().unwrap_or(0))
}

/// The captures of cryptofeed's format and those of bare frames: what is read here by hand is not the code under test.
fn open(path: &Path, beside: &[PathBuf]) -> Option<Connection> {
    let Ok(Content::Connection { protocol, .. }) = identify(path) else { return None };
    let mut paths = vec![path.to_owned()];
    paths.extend(beside.iter().cloned());
    let instruments = survey(&paths, protocol).ok()?;
    let session = Session::new(protocol, (0..).zip(&instruments));
    let mut frames = Vec::new();
    for path in &paths {
        let file = std::fs::File::open(path).ok()?;
        let reader: Box<dyn BufRead> = if path.extension().is_some_and(|end| end == "gz") {
            Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(file)))
        } else {
            Box::new(BufReader::new(file))
        };
        for line in reader.lines() {
            let line = line.ok()?;
            if line.starts_with('{') || line.starts_with('[') {
                frames.push((Nanos(0), None, line.into_bytes()));
            } else if let Some((time, text)) = line.split_once(": ").filter(|(time, _)| !time.contains(' ')) {
                frames.push((seconds(time), None, text.as_bytes().to_vec()));
            } else if let Some((url, rest)) = line.split_once(" -> ") {
                let (time, text) = rest.split_once(": ")?;
                if let Some(instrument) = session.instrument_at(url) {
                    frames.push((seconds(time), Some(instrument), text.as_bytes().to_vec()));
                }
            }
        }
    }
    frames.sort_by_key(|frame| frame.0);
    let name = path.file_name()?.to_string_lossy().trim_end_matches(".gz").to_owned();
    Some(Connection { name, protocol, instruments, frames })
}

/// Reads all frames; `timed` gets the levels, or orders, of each before it is read, and the time that it took.
fn play(connection: &Connection, mut each: impl FnMut(usize, &mut Session, &mut Tape)) -> Session {
    let mut session = Session::new(connection.protocol, (0..).zip(&connection.instruments));
    let mut tape = Tape::default();
    for at in 0..connection.frames.len() {
        tape.clear();
        each(at, &mut session, &mut tape);
    }
    session
}

#[inline]
fn step(frame: &(Nanos, Option<u32>, Vec<u8>), session: &mut Session, tape: &mut Tape) {
    let outcome = match frame.1 {
        None => session.on_frame(frame.0, black_box(&frame.2), tape),
        Some(instrument) => session.on_snapshot(frame.0, instrument, black_box(&frame.2), tape),
    };
    black_box(outcome).expect("a sound frame");
}

fn is_book(kind: u8) -> bool {
    [Kind::Level, Kind::Add, Kind::Modify, Kind::Cancel].iter().any(|known| *known as u8 == kind)
}

fn venue(c: &mut Criterion, connection: &Connection) {
    // How many levels each frame brings; nothing may be wrong with any.
    let mut levels = vec![0_usize; connection.frames.len()];
    let session = play(connection, |at, session, tape| {
        step(&connection.frames[at], session, tape);
        levels[at] = tape.kind.iter().filter(|kind| is_book(**kind)).count();
    });
    let counts = connection.instruments.iter().zip(0..).map(|(_, index)| session.counts(index));
    let (sums, bad) = counts.fold((0, 0), |(sums, bad), c| (sums + c.checksums, bad + c.checksum_failures + c.gaps));
    assert_eq!(bad, 0, "{}: a gap or a wrong checksum", connection.name);
    let total: usize = levels.iter().sum();
    eprintln!("{}: {} frames, {total} levels, {sums} checksums", connection.name, levels.len());

    let mut group = c.benchmark_group("venues");
    group.sample_size(10).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    group.throughput(Throughput::Elements(levels.len() as u64));
    group.bench_function(BenchmarkId::new("all", &connection.name), |b| {
        b.iter(|| play(connection, |at, session, tape| step(&connection.frames[at], session, tape)));
    });
    for (name, wanted) in [("depth", None), ("1 level", Some(1)), ("8 levels", Some(8))] {
        let timed = |at: usize| wanted.map_or(levels[at] > 0, |count| levels[at] == count);
        let frames = (0..levels.len()).filter(|at| timed(*at)).count();
        let elements = if wanted.is_none() { total } else { frames };
        if frames < 5 {
            continue;
        }
        group.throughput(Throughput::Elements(elements as u64));
        group.bench_function(BenchmarkId::new(name, &connection.name), |b| {
            b.iter_custom(|passes| {
                let mut sum = Duration::ZERO;
                let mut running: Option<Instant> = None;
                for _ in 0..passes {
                    play(connection, |at, session, tape| {
                        match (timed(at), running) {
                            (true, None) => running = Some(Instant::now()),
                            (false, Some(start)) => {
                                sum += start.elapsed();
                                running = None;
                            }
                            _ => {}
                        }
                        step(&connection.frames[at], session, tape);
                    });
                    sum += running.take().map_or(Duration::ZERO, |start| start.elapsed());
                }
                sum
            });
        });
    }
    group.finish();
}

fn venues(c: &mut Criterion) {
    let home = std::env::var_os("CROSSBOOK_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let mut group = c.benchmark_group("venues");
    group.bench_function("clock", |b| b.iter(|| black_box(Instant::now()).elapsed()));
    group.finish();
    let mut any = false;
    for folder in ["cryptofeed", "current-frames"] {
        let Ok(inside) = std::fs::read_dir(home.join(folder)) else { continue };
        let mut paths: Vec<PathBuf> = inside.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let responses: Vec<PathBuf> =
            paths.iter().filter(|path| path.to_string_lossy().contains(".http.")).cloned().collect();
        for path in &paths {
            if let Some(connection) = open(path, &responses) {
                any = true;
                venue(c, &connection);
            }
        }
    }
    assert!(any || std::env::var_os("CI").is_none(), "no captures under {}: set CROSSBOOK_DATA", home.display());
}

criterion_group!(benches, venues);
criterion_main!(benches);
