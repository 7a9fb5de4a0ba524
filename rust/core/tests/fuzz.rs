//! Every decoder takes arbitrary bytes and mutated frames: no panic, no slow frame, no memory without bound, nothing
//! read that is no JSON, and no events that contradict one another.
//!
//! Deterministic, without instrumentation, with the stable compiler. One test a venue's file, so that they run beside
//! each other. What a run does:
//!
//! * `CROSSBOOK_FUZZ_SECONDS`: so long a file; unless told 20,000 cases, in CI (`CI=true`) 20 s;
//! * `CROSSBOOK_FUZZ_SEED`: another seed than 1; a failure prints it;
//! * `CROSSBOOK_DATA`: where the real captures are; without them only frames of our own are mutated;
//! * `CROSSBOOK_FUZZ_KEEP`: a folder for inputs that made a decoder say something new and that stem from frames of our
//!   own alone, for `tests/corpus/<protocol>/found`.
//!
//! A case is one thing that happens to a session: mostly a frame, mutated or not, between the real ones in their order.
//! What fails is made smaller and written to the folder for temporary files; the run goes on and fails at its end.

#[path = "fuzz/exchange.rs"]
mod exchange;
#[path = "fuzz/files.rs"]
mod files;
#[path = "fuzz/frames.rs"]
mod frames;
#[path = "../src/exchange/tests/generate.rs"]
mod generate;
#[allow(unsafe_code)] // an allocator cannot be written without
#[path = "fuzz/memory.rs"]
mod memory;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossbook::feed::{Channel, Protocol, Survey, protocols};
use crossbook::tape::Tape;

use self::frames::{Seeds, Stream};
use self::mutate::{Rng, mutate, noise, reworded};
use self::world::{Action, Said, Setting, World, calmly};

/// What one thread may hold after a run more than before it, beside gaps and books of the sessions that live as long as
/// the run: the frames found on the way, sessions.
const GROWTH: i64 = 256 << 20;
/// Two tests run beside each other.
const PROCESS_GROWTH: u64 = 768 << 20;
/// So many frames that made a decoder say something new are mutated further.
const FOUND: usize = 2_000;

/// How long a run goes on.
pub struct Budget {
    name: &'static str,
    cases: u64,
    most: u64,
    start: Instant,
    length: Option<Duration>,
    told: u64,
}

impl Budget {
    /// `share`: of the time of a file.
    fn new(name: &'static str, share: f64) -> Self {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
        let ci = std::env::var("CI").as_deref() == Ok("true");
        let seconds: Option<f64> = number("CROSSBOOK_FUZZ_SECONDS").or(ci.then_some(20.0));
        let length = seconds.map(|seconds| Duration::from_secs_f64(seconds * share));
        let most = if length.is_some() { u64::MAX } else { 20_000 };
        Self { name, cases: 0, most, start: Instant::now(), length, told: 0 }
    }

    fn seed(&self) -> u64 {
        let seed = std::env::var("CROSSBOOK_FUZZ_SEED").map_or(1, |text| text.parse().expect("CROSSBOOK_FUZZ_SEED"));
        eprintln!("{}: CROSSBOOK_FUZZ_SEED={seed}", self.name);
        self.name.bytes().fold(seed, |seed, byte| Rng::new(seed ^ u64::from(byte)).next())
    }

    /// Whether there is time for another case; counts it.
    pub fn more(&mut self) -> bool {
        self.cases += 1;
        let took = self.start.elapsed();
        if took.as_secs() / 30 > self.told {
            self.told = took.as_secs() / 30;
            eprintln!("{}: {} cases in {} s", self.name, self.cases, took.as_secs());
        }
        self.cases <= self.most && self.length.is_none_or(|length| took < length)
    }
}

/// Memory of the process, in bytes; 0 where the system does not tell.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).map_or(0, |pages| pages * 4_096)
}

/// A frame that made a decoder say something new.
struct Found {
    frame: Vec<u8>,
    own: bool,
}

/// Those that earlier runs found.
fn known(protocol: &Protocol) -> Vec<Found> {
    frames::found(protocol).into_iter().map(|frame| Found { frame, own: true }).collect()
}

struct Fuzzer {
    rng: Rng,
    budget: Budget,
    seeds: Seeds,
    found: Vec<Vec<Found>>,
    said: HashSet<(usize, u64)>,
    elders: Vec<Option<World>>,
    surveys: Vec<Survey>,
    keep: Option<PathBuf>,
    accepted: u64,
    failures: BTreeMap<String, String>,
}

/// What a failure is told from others by.
fn class(fault: &str) -> String {
    if fault.starts_with("panic") {
        return fault.split(": ").next().unwrap_or_default().to_owned();
    }
    fault
        .split(|letter: char| letter.is_ascii_digit() || "{\"[(".contains(letter))
        .next()
        .unwrap_or_default()
        .to_owned()
}

impl Fuzzer {
    fn new(file: &'static str, names: &[&str]) -> Self {
        let budget = Budget::new(file, 1.0);
        let (rng, seeds) = (Rng::new(budget.seed()), frames::seeds(file, names));
        let count = seeds.streams.len();
        for (protocol, streams) in &seeds.streams {
            let own = streams.iter().find(|stream| stream.own);
            let own = own.unwrap_or_else(|| panic!("{}: no corpus", frames::folder(protocol).display()));
            assert!(!own.instruments.is_empty(), "{}: no instrument in the corpus", protocol.name);
        }
        Self {
            rng,
            budget,
            found: seeds.streams.iter().map(|(protocol, _)| known(protocol)).collect(),
            said: HashSet::new(),
            elders: (0..count).map(|_| None).collect(),
            surveys: seeds.streams.iter().map(|(protocol, _)| Survey::new(protocol)).collect(),
            keep: std::env::var_os("CROSSBOOK_FUZZ_KEEP").map(PathBuf::from),
            accepted: 0,
            failures: BTreeMap::new(),
            seeds,
        }
    }

    fn run(mut self) {
        let (live, resident_before) = (memory::live(), resident());
        while self.failures.len() < 20 && self.budget.more() {
            let at = self.rng.below(self.seeds.streams.len());
            let streams = &self.seeds.streams[at].1;
            let stream = streams[self.rng.below(streams.len())].clone();
            self.others(at, &stream);
            if self.rng.percent(50) {
                self.old(at, &stream)
            } else {
                self.fresh(at, &stream)
            }
            let elders: i64 = self.elders.iter().flatten().map(World::memory).sum();
            let grown = memory::live() - live;
            if grown - elders > GROWTH {
                let text = format!("memory grew by {grown} bytes, {elders} of them gaps and books");
                self.failures.insert("growth".to_owned(), text);
                break;
            }
        }
        let name = self.budget.name;
        let (cases, took) = (self.budget.cases, self.budget.start.elapsed().as_secs_f64());
        let (rate, grown) = (cases as f64 / took, resident().saturating_sub(resident_before) >> 20);
        eprintln!(
            "{name}: {cases} cases in {took:.1} s, {rate:.0}/s, {} read, {} kinds of answers, {grown} MiB",
            self.accepted,
            self.said.len()
        );
        assert!(self.failures.is_empty(), "{name}: {:#?}", self.failures);
        assert!(grown < PROCESS_GROWTH >> 20, "{name}: the process grew by {grown} MiB");
    }

    /// What takes bytes and has no state: lists of instruments, addresses.
    fn others(&mut self, at: usize, stream: &Stream) {
        let protocol = self.seeds.streams[at].0;
        let mut body = match self.seeds.lists.get(self.rng.below(self.seeds.lists.len() * 2)) {
            Some(body) => body.clone(),
            None => self.rng.pick(&stream.frames).clone(),
        };
        for _ in 0..self.rng.size(4) {
            mutate(&mut self.rng, &mut body, &stream.frames[0]);
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        let called = calmly(|| {
            let _ = protocol.list(&body);
            let _ = (protocol.symbol_at(&text), protocol.snapshot_path_of(&text, 5), Protocol::at(&text, &text));
        });
        if let Err(fault) = called {
            self.failures
                .entry(class(&fault))
                .or_insert_with(|| format!("{}: {fault}: list: {text:.3000}", protocol.name));
        }
    }

    fn setting(&mut self, at: usize, stream: &Stream, all: bool) -> Setting {
        let rng = &mut self.rng;
        let mut instruments = stream.instruments.clone();
        if !all && rng.percent(60) && instruments.len() > 1 {
            let skipped = rng.below(instruments.len());
            instruments.rotate_left(skipped);
            instruments.truncate(1 + rng.size(3));
        }
        instruments.truncate(16);
        let passes_others = !all && rng.percent(50);
        let channels = if rng.percent(80) { Channel::ALL.to_vec() } else { vec![*rng.pick(&Channel::ALL)] };
        let depth = if all { 0 } else { *rng.pick(&[0, 0, 0, 1, 5, 10, 25, u16::MAX]) };
        Setting { protocol: self.seeds.streams[at].0, instruments, passes_others, channels, depth }
    }

    /// The session of this protocol that lives as long as the run.
    fn old(&mut self, at: usize, stream: &Stream) {
        let mut world = match self.elders[at].take() {
            Some(world) => world,
            None => {
                let streams = &self.seeds.streams[at].1;
                let longest = streams.iter().max_by_key(|stream| stream.frames.len()).cloned();
                World::new(&self.setting(at, &longest.expect("a corpus"), true))
            }
        };
        let mut cursor = self.rng.below(stream.frames.len());
        let mut log: Vec<Action> = Vec::new();
        let steps = 20 + self.rng.size(400);
        for _ in 0..steps {
            if !self.budget.more() {
                break;
            }
            let (action, own) = self.next(at, stream, &mut cursor, &mut world);
            log.push(action);
            if let Err(fault) = self.step(at, &mut world, &log[log.len() - 1], own) {
                let setting = world.setting().clone();
                self.fail(&setting, log, fault, "in a session that lived long", &|actions| replayed(&setting, actions));
                return;
            }
        }
        self.elders[at] = Some(world);
    }

    /// A session from its beginning; then another one that is told the same in other words.
    fn fresh(&mut self, at: usize, stream: &Stream) {
        let setting = self.setting(at, stream, false);
        let mut world = World::new(&setting);
        let (mut log, mut said): (Vec<Action>, Vec<(Said, Tape)>) = (Vec::new(), Vec::new());
        let beginning = if self.rng.percent(70) { 40 } else { 0 };
        let mut cursor = 0;
        let steps = beginning + 5 + self.rng.size(100);
        for step in 0..steps {
            if !self.budget.more() {
                break;
            }
            let (action, own) = match step {
                0 if self.rng.percent(80) => (Action::Open, false),
                _ if step < beginning && self.rng.percent(90) => {
                    cursor += 1;
                    (Action::Frame(stream.frames[(cursor - 1) % stream.frames.len()].clone()), false)
                }
                _ => {
                    if step == beginning && self.rng.percent(70) {
                        cursor = self.rng.below(stream.frames.len());
                    }
                    self.next(at, stream, &mut cursor, &mut world)
                }
            };
            log.push(action);
            match self.step(at, &mut world, &log[log.len() - 1], own) {
                Ok(answer) => said.push((answer, world.tape.clone())),
                Err(fault) => {
                    self.fail(&setting, log, fault, "in a new session", &|actions| replayed(&setting, actions));
                    return;
                }
            }
        }
        if self.rng.percent(30)
            && let Err(fault) = twin(&setting, &log, Some(&said))
        {
            self.fail(&setting, log, fault, "told in other words", &|actions| twin(&setting, actions, None).err());
        }
    }

    fn step(&mut self, at: usize, world: &mut World, action: &Action, own: bool) -> Result<Said, String> {
        let said = world.act(action)?;
        let (Action::Frame(bytes) | Action::Snapshot(_, bytes)) = action else { return Ok(said) };
        self.accepted += u64::from(matches!(said.outcome, Some(Ok(_))));
        let survey = &mut self.surveys[at];
        let all = self.budget.cases.is_multiple_of(4_096);
        let (before, start) = (memory::live(), Instant::now());
        memory::start();
        calmly(|| {
            match action {
                Action::Snapshot(..) => survey.observe_snapshot("BTC-USD", bytes),
                _ => survey.observe(bytes),
            }
            if all {
                let _ = survey.instruments();
            }
        })?;
        let (peak, took) = (memory::peak() - before, start.elapsed());
        if !all && (took > Duration::from_secs(5) || peak > (8 << 20) + 512 * i64::try_from(bytes.len()).unwrap_or(0)) {
            return Err(format!("survey: {peak} bytes of memory, {took:?} for {} bytes", bytes.len()));
        }
        if bytes.len() < 1 << 13 && self.said.insert((at, said.class)) {
            let found = Found { frame: bytes.clone(), own };
            if let (true, Some(folder)) = (own && bytes.len() < 4_096, &self.keep) {
                let folder = folder.join(self.seeds.streams[at].0.name);
                std::fs::create_dir_all(&folder).expect("CROSSBOOK_FUZZ_KEEP: a folder");
                std::fs::write(folder.join(format!("{:016x}.json", said.class)), bytes).expect("a file");
            }
            let kept = &mut self.found[at];
            if kept.len() < FOUND {
                kept.push(found);
            } else {
                let place = self.rng.below(FOUND);
                kept[place] = found;
            }
        }
        Ok(said)
    }

    /// A frame to begin a mutation with. Where the stream is our own, so is the frame.
    fn base(&mut self, at: usize, stream: &Stream) -> Vec<u8> {
        let rng = &mut self.rng;
        match rng.below(10) {
            0..3 if !self.found[at].is_empty() => {
                let one = rng.pick(&self.found[at]);
                if one.own || !stream.own {
                    return one.frame.clone();
                }
            }
            3 if !stream.own && !self.seeds.loose.is_empty() => return rng.pick(&self.seeds.loose).clone(),
            4 => {
                let sibling = rng.below(self.seeds.streams.len());
                let streams = &self.seeds.streams[sibling].1;
                if let Some(theirs) = streams.get(rng.below(streams.len())).filter(|theirs| theirs.own || !stream.own) {
                    return rng.pick(&theirs.frames).clone();
                }
            }
            _ => {}
        }
        rng.pick(&stream.frames).clone()
    }

    /// What happens next, and whether it is of our own making alone.
    fn next(&mut self, at: usize, stream: &Stream, cursor: &mut usize, world: &mut World) -> (Action, bool) {
        if !world.wanted.is_empty() && self.rng.percent(30) {
            let instrument = world.wanted.pop_first().unwrap_or(0);
            if self.rng.percent(10) {
                return (Action::SnapshotFailed(instrument), false);
            }
            return self.body(at, stream, instrument, world);
        }
        let share = self.rng.below(100);
        match share {
            0..36 => {
                *cursor += 1;
                (Action::Frame(stream.frames[(*cursor - 1) % stream.frames.len()].clone()), false)
            }
            36..84 => {
                let mut frame = if self.rng.percent(60) {
                    *cursor += usize::from(self.rng.percent(50));
                    stream.frames[*cursor % stream.frames.len()].clone()
                } else {
                    self.base(at, stream)
                };
                let other = self.base(at, stream);
                for _ in 0..=self.rng.size(4) {
                    mutate(&mut self.rng, &mut frame, &other);
                }
                (Action::Frame(frame), stream.own)
            }
            84..90 => (Action::Frame(noise(&mut self.rng)), true),
            90..94 => {
                let count = u32::try_from(world.setting().instruments.len()).unwrap_or(u32::MAX);
                let instrument = u32::try_from(self.rng.below(count as usize + 1)).unwrap_or(0);
                self.body(at, stream, instrument, world)
            }
            94..97 => {
                let by = *self.rng.pick(&[0, 1, 500_000_000, 1_000_000_000, 11_000_000_000, 61_000_000_000]);
                (Action::Time(by), false)
            }
            97 => (Action::Open, false),
            98 => (Action::Close, false),
            _ => (Action::Overflow, false),
        }
    }

    /// An answer to a request for a snapshot.
    fn body(&mut self, at: usize, stream: &Stream, instrument: u32, world: &World) -> (Action, bool) {
        let symbol = world.setting().instruments.get(instrument as usize).map_or("", |one| one.symbol.as_str());
        let fit: Vec<&Vec<u8>> =
            stream.bodies.iter().filter(|(of, _)| of.eq_ignore_ascii_case(symbol)).map(|(_, body)| body).collect();
        let mut body = match fit.get(self.rng.below(fit.len())) {
            Some(body) => (*body).clone(),
            None => self.base(at, stream),
        };
        let mutations = if self.rng.percent(50) { self.rng.size(4) } else { 0 };
        let other = self.base(at, stream);
        for _ in 0..mutations {
            mutate(&mut self.rng, &mut body, &other);
        }
        (Action::Snapshot(instrument, body), stream.own && mutations > 0)
    }

    /// Makes what fails smaller and writes it down.
    #[cold]
    fn fail(
        &mut self,
        setting: &Setting,
        mut actions: Vec<Action>,
        fault: String,
        when: &str,
        again: &dyn Fn(&[Action]) -> Option<String>,
    ) {
        let class = class(&fault);
        if self.failures.contains_key(&class) {
            return;
        }
        let fails = |actions: &[Action]| again(actions).is_some_and(|fault| self::class(&fault) == class);
        let whole = fails(&actions);
        if whole {
            smaller(&mut actions, &fails);
        } else {
            actions.drain(..actions.len().saturating_sub(8));
        }
        let fault = again(&actions).filter(|_| whole).unwrap_or(fault);
        let path =
            std::env::temp_dir().join(format!("crossbook-fuzz-{}-{}.txt", self.budget.name, self.failures.len()));
        let name = setting.protocol.name;
        let mut text = format!("{name} {when}, {}\n{fault}\n", if whole { "whole" } else { "the last of many" });
        let symbols: Vec<&str> = setting.instruments.iter().map(|one| one.symbol.as_str()).collect();
        text += &format!("symbols {symbols:?} others passed over {} depth {}", setting.passes_others, setting.depth);
        text += &format!(" channels {:?}\n", setting.channels);
        for action in &actions {
            text += &match action {
                Action::Frame(bytes) => format!("frame {}\n", bytes.escape_ascii()),
                Action::Snapshot(at, bytes) => format!("snapshot {at} {}\n", bytes.escape_ascii()),
                action => format!("{action:?}\n"),
            };
        }
        std::fs::write(&path, &text).expect("a file for the failure");
        eprintln!("{}: {}", path.display(), text.chars().take(4_000).collect::<String>());
        self.failures.insert(class, format!("{name}: {fault}: {}", path.display()));
    }
}

/// What goes wrong in a session of its own.
fn replayed(setting: &Setting, actions: &[Action]) -> Option<String> {
    let mut world = World::new(setting);
    actions.iter().find_map(|action| world.act(action).err())
}

/// Tells two sessions the same in other words; they must say the same. What cannot be read is lost for whoever is named
/// in it, and a name may hide behind an escape: with those, the comparison ends there.
fn twin(setting: &Setting, actions: &[Action], known: Option<&[(Said, Tape)]>) -> Result<(), String> {
    let (mut first, mut second) = (World::new(setting), World::new(setting));
    let escape = actions.len().is_multiple_of(2);
    for (at, action) in actions.iter().enumerate() {
        let (said, tape) = match known.and_then(|known| known.get(at)) {
            Some(known) => known.clone(),
            None => (first.act(action)?, first.tape.clone()),
        };
        let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).is_ok();
        let seed = |bytes: &[u8]| bytes.iter().fold(1, |seed, byte| Rng::new(seed ^ u64::from(*byte)).next());
        let reworded = |bytes: &[u8], escape| reworded(&mut Rng::new(seed(bytes)), bytes, escape);
        let told = match action {
            Action::Frame(bytes) if json(bytes) => Action::Frame(reworded(bytes, escape && !bytes.contains(&b'\\'))),
            Action::Snapshot(at, bytes) if json(bytes) => Action::Snapshot(*at, reworded(bytes, false)),
            action => action.clone(),
        };
        let answer = second.act(&told)?;
        if escape && matches!((&said.outcome, &answer.outcome), (Some(Err(_)), Some(Err(_)))) {
            return Ok(());
        }
        if answer.outcome != said.outcome {
            return Err(format!("twin: {:?} became {:?}", said.outcome, answer.outcome));
        }
        if second.tape != tape {
            return Err("twin: other events".to_owned());
        }
    }
    Ok(())
}

/// Leaves out actions, then bytes of those that are left, as long as it still fails.
fn smaller(actions: &mut Vec<Action>, fails: &dyn Fn(&[Action]) -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    fn reduce<T: Clone>(items: &mut Vec<T>, until: Instant, fails: &mut dyn FnMut(&[T]) -> bool) {
        let mut size = items.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < items.len() && Instant::now() < until {
                let mut fewer = items.clone();
                fewer.drain(at..(at + size).min(items.len()));
                if fails(&fewer) { *items = fewer } else { at += size }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }
    reduce(actions, until, &mut |fewer| fails(fewer));
    for at in 0..actions.len() {
        let mut trial = actions.clone();
        let (Action::Frame(bytes) | Action::Snapshot(_, bytes)) = &mut actions[at] else { continue };
        reduce(bytes, until, &mut |fewer| {
            match &mut trial[at] {
                Action::Frame(bytes) | Action::Snapshot(_, bytes) => *bytes = fewer.to_vec(),
                _ => {}
            }
            fails(&trial)
        });
    }
}

/// One test a venue's file, with its protocols.
macro_rules! venues {
    ($($test:ident: $file:literal, [$($name:literal),+ $(,)?];)+) => {
        $(
            #[test]
            fn $test() {
                Fuzzer::new($file, &[$($name),+]).run();
            }
        )+

        #[test]
        fn every_protocol_is_fuzzed() {
            let fuzzed = BTreeSet::from([$($($name),+),+]);
            let all: BTreeSet<&str> = protocols().map(|protocol| protocol.name).collect();
            assert_eq!(fuzzed, all, "add it to `venues!` here");
        }
    };
}

venues! {
    binance_survives_any_frame: "binance", ["binance-spot", "binance-us", "binance-usdm", "binance-coinm"];
    bitfinex_survives_any_frame: "bitfinex", ["bitfinex-v2"];
    bitget_survives_any_frame: "bitget", ["bitget-v2-futures", "bitget-v2-futures-2023", "bitget-v1-mix"];
    bitmex_survives_any_frame: "bitmex", ["bitmex"];
    bitstamp_survives_any_frame: "bitstamp", ["bitstamp-diff", "bitstamp-orders"];
    bybit_survives_any_frame: "bybit", [
        "bybit-v5-linear",
        "bybit-v5-inverse",
        "bybit-v5-spot",
        "bybit-v5-option",
        "bybit-v3-linear",
        "bybit-v3-inverse",
        "bybit-v2-linear",
        "bybit-v2-inverse",
    ];
    coinbase_survives_any_frame: "coinbase", ["coinbase-advanced", "coinbase-exchange"];
    crypto_com_survives_any_frame: "crypto_com", ["crypto-com"];
    deribit_survives_any_frame: "deribit", ["deribit-v2"];
    dydx_survives_any_frame: "dydx", ["dydx-v4", "dydx-v3"];
    gate_survives_any_frame: "gate", ["gate-v2", "gate-futures-v2", "gate-v1", "gate-futures-v1"];
    gemini_survives_any_frame: "gemini", ["gemini-v2"];
    hyperliquid_survives_any_frame: "hyperliquid", ["hyperliquid"];
    independent_reserve_survives_any_frame: "independent_reserve", ["independent-reserve"];
    kraken_survives_any_frame: "kraken", ["kraken-v2", "kraken-v1"];
    kraken_futures_survives_any_frame: "kraken_futures", ["kraken-futures"];
    kucoin_survives_any_frame: "kucoin", ["kucoin", "kucoin-2021"];
    okx_survives_any_frame: "okx", ["okx-v5", "okx-2021"];
}

/// What a frame costs must be given back: names that a venue invents must not be remembered for ever.
#[test]
fn names_without_end_take_bounded_memory() {
    const NAME: usize = 16 << 10;
    const NAMES: usize = 3_000;
    let mut failures = Vec::new();
    for protocol in protocols() {
        let Some(stream) = frames::own(protocol) else { continue };
        let symbols: Vec<&str> = stream.instruments.iter().map(|one| one.symbol.as_str()).collect();
        let fit =
            |frame: &Vec<u8>| symbols.iter().any(|symbol| memchr::memmem::find(frame, symbol.as_bytes()).is_some());
        let texts: Vec<String> = stream
            .frames
            .iter()
            .filter(|frame| fit(frame))
            .filter_map(|frame| String::from_utf8(frame.clone()).ok())
            .collect();
        let setting = Setting {
            protocol,
            instruments: stream.instruments.clone(),
            passes_others: false,
            channels: Channel::ALL.to_vec(),
            depth: 0,
        };
        let (mut world, mut survey) = (World::new(&setting), Survey::new(protocol));
        let before = memory::live();
        let mut kept = [0, 0];
        for number in 0..NAMES {
            let Some(text) = texts.get(number % texts.len()) else { break };
            let name = format!("{number}{}", "N".repeat(NAME));
            // A currency stays where it is, so that the name still says something.
            let named = symbols.iter().fold(text.clone(), |text, symbol| {
                text.replacen(symbol, &format!("{name}{}", &symbol[symbol.len().saturating_sub(3)..]), 1)
            });
            if let Err(fault) = world.act(&Action::Frame(named.clone().into_bytes())) {
                failures.push(format!("{}: {fault:.300}", protocol.name));
                break;
            }
            let sessions = memory::live();
            survey.observe(named.as_bytes());
            kept = [kept[0] + memory::live() - sessions, memory::live() - before];
        }
        for (what, kept) in [("survey", kept[0]), ("session", kept[1] - kept[0])] {
            if kept > 16 << 20 {
                failures.push(format!("{}: a {what} keeps {} MiB of {NAMES} names", protocol.name, kept >> 20));
            }
        }
    }
    assert_eq!(failures, [""; 0]);
}

#[test]
fn a_damaged_capture_gives_only_records_that_were_written() {
    let mut budget = Budget::new("store", 0.5);
    let mut rng = Rng::new(budget.seed());
    let result = files::store(&mut rng, &mut budget);
    eprintln!("store: {} cases in {:.1} s", budget.cases, budget.start.elapsed().as_secs_f64());
    assert_eq!(result, Ok(()));
}

#[test]
fn a_small_file_that_unpacks_to_a_large_one_is_identified_in_little_memory() {
    let path = files::bomb();
    let before = memory::live();
    memory::start();
    let refused = crossbook::capture::identify(&path).is_err();
    let peak = memory::peak() - before;
    std::fs::remove_file(&path).expect("the file");
    assert!(refused && peak < 64 << 20, "{} MiB", peak >> 20);
}

#[test]
fn any_small_file_is_identified_or_refused() {
    let mut budget = Budget::new("identify", 0.5);
    let mut rng = Rng::new(budget.seed());
    let seeds =
        ["kraken-v1", "okx-v5", "bitfinex-v2"].map(|name| frames::seeds(name.split('-').next().unwrap_or(""), &[name]));
    let streams = seeds.iter().flat_map(|seeds| &seeds.streams).flat_map(|(_, streams)| streams);
    let frames: Vec<Vec<u8>> = streams.flat_map(|stream| stream.frames.iter().take(200).cloned()).collect();
    let result = files::identified(&mut rng, &mut budget, &frames);
    eprintln!("identify: {} cases in {:.1} s", budget.cases, budget.start.elapsed().as_secs_f64());
    assert_eq!(result, Ok(()));
}

/// A budget, what it is spent on, and what is said of it.
fn fuzzed(name: &'static str, work: fn(&mut Rng, &mut Budget) -> Result<(), String>) {
    let mut budget = Budget::new(name, 1.0);
    let mut rng = Rng::new(budget.seed());
    let result = work(&mut rng, &mut budget);
    eprintln!("{name}: {} cases in {:.1} s", budget.cases, budget.start.elapsed().as_secs_f64());
    assert_eq!(result, Ok(()));
}

#[test]
fn command_decoder() {
    fuzzed("command_decoder", exchange::commands);
}

#[test]
fn journal_reader() {
    fuzzed("journal_reader", exchange::journals);
}

#[test]
fn snapshot_reader() {
    fuzzed("snapshot_reader", exchange::snapshots);
}
