//! What the fuzzing begins with: real frames, read where they lie and never copied into the project, and frames of our
//! own making in `tests/corpus`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crossbook::capture::{Content, identify};
use crossbook::feed::{Protocol, Survey};
use crossbook::instrument::Instrument;

/// Longer bodies are not mutated: that takes too long for what it shows.
const LONGEST: usize = 1 << 19;

/// One conversation of one protocol: frames in their order, REST bodies by symbol, and the instruments in them.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Of our own making, so that what comes of it may be kept in the project.
    pub own: bool,
    pub frames: Vec<Vec<u8>>,
    pub bodies: Vec<(String, Vec<u8>)>,
    pub instruments: Vec<Instrument>,
}

impl Stream {
    fn new(protocol: &'static Protocol, own: bool, frames: Vec<Vec<u8>>, bodies: Vec<(String, Vec<u8>)>) -> Self {
        let mut survey = Survey::new(protocol);
        frames.iter().for_each(|frame| survey.observe(frame));
        bodies.iter().for_each(|(symbol, body)| survey.observe_snapshot(symbol, body));
        Self { own, frames, bodies, instruments: survey.instruments() }
    }
}

/// All that is there for the protocols of one venue's file.
#[derive(Debug, Default)]
pub struct Seeds {
    /// By protocol, in the order in which they were asked for.
    pub streams: Vec<(&'static Protocol, Vec<Stream>)>,
    /// Real single messages of the venue, and what it lists; of no protocol in particular.
    pub loose: Vec<Vec<u8>>,
    /// Answers to requests for instruments, real ones.
    pub lists: Vec<Vec<u8>>,
}

/// The folder of captures, if there is one.
///
/// # Panics
/// In CI, where they must be there.
pub fn data() -> Option<PathBuf> {
    let root = std::env::var_os("CROSSBOOK_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")), PathBuf::from);
    let there = root.join("cryptofeed").is_dir();
    assert!(there || std::env::var("CI").as_deref() != Ok("true"), "CROSSBOOK_DATA: no captures at {}", root.display());
    if !there {
        eprintln!("no real frames: set CROSSBOOK_DATA to the folder of captures");
    }
    there.then_some(root)
}

/// A file's text, unpacked.
pub fn unpacked(path: &Path) -> Vec<u8> {
    let packed = std::fs::read(path).unwrap_or_default();
    let mut text = Vec::new();
    if packed.starts_with(&[0x1f, 0x8b]) {
        let _ = flate2::read::MultiGzDecoder::new(packed.as_slice()).read_to_end(&mut text);
        return text;
    }
    packed
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    found.sort();
    found
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The frames received in a capture's lines, and the REST answers, each with its address.
type Lines = (Vec<Vec<u8>>, Vec<(String, Vec<u8>)>);

fn lines(text: &[u8]) -> Lines {
    let (mut frames, mut answers) = (Vec::new(), Vec::new());
    for line in text.split(|byte| *byte == b'\n').filter(|line| line.len() < LONGEST) {
        let Ok(text) = std::str::from_utf8(line) else { continue };
        if matches!(line.first(), Some(b'{' | b'[')) {
            frames.push(line.to_vec());
        } else if let Some((time, frame)) = text.split_once(": ").filter(|(time, _)| time.parse::<f64>().is_ok()) {
            let _ = time;
            frames.push(frame.as_bytes().to_vec());
        } else if let Some((url, rest)) = text.split_once(" -> ") {
            let body = rest.split_once(": ").map_or("", |(_, body)| body);
            answers.push((url.to_owned(), body.as_bytes().to_vec()));
        } else if let Some((_, frame)) = text.split_once(' ').filter(|(time, _)| time.parse::<i64>().is_ok()) {
            frames.push(frame.as_bytes().to_vec());
        }
    }
    (frames, answers)
}

/// Lists of instruments may be long: a few of each will do.
fn shortened(body: &[u8]) -> Option<Vec<u8>> {
    fn cut(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(items) => {
                items.truncate(4);
                items.iter_mut().for_each(cut);
            }
            serde_json::Value::Object(members) => {
                let many = members.keys().skip(40).cloned().collect::<Vec<_>>();
                many.iter().for_each(|key| drop(members.remove(key)));
                members.values_mut().for_each(cut);
            }
            _ => {}
        }
    }
    let mut value = serde_json::from_slice(body).ok()?;
    cut(&mut value);
    serde_json::to_vec(&value).ok().filter(|body| body.len() < 1 << 16)
}

/// What the captures call a venue, where that is not the name of its file: cryptofeed's files, and single messages.
const NAMES: &[(&str, &[&str], &str)] = &[
    ("binance", &["BINANCE", "BINANCE_FUTURES", "BINANCE_DELIVERY"], "binance"),
    ("gate", &["GATEIO"], "gate"),
    ("kraken_futures", &["KRAKEN_FUTURES"], "kraken"),
];

/// Everything for these protocols of one venue's file.
pub fn seeds(file: &str, names: &[&str]) -> Seeds {
    let mut seeds = Seeds::default();
    for name in names {
        let protocol = Protocol::named(name).unwrap_or_else(|| panic!("no protocol {name}"));
        seeds.streams.push((protocol, own(protocol).into_iter().collect()));
    }
    let Some(root) = data() else { return seeds };
    let upper = file.to_uppercase();
    let named = NAMES.iter().find(|(venue, ..)| *venue == file);
    let (prefixes, single) = named.map_or((vec![upper.as_str()], file), |(_, names, single)| (names.to_vec(), *single));
    let stem = |path: &Path| name(path).split('.').next().unwrap_or_default().to_owned();
    let cryptofeed = files(&root.join("cryptofeed"));
    let mine = || cryptofeed.iter().filter(|path| prefixes.contains(&stem(path).as_str()));
    let answers: Vec<(String, Vec<u8>)> = mine().flat_map(|path| lines(&unpacked(path)).1).collect();
    seeds.lists = answers.iter().filter_map(|(_, body)| shortened(body)).collect();
    let current = files(&root.join("current-frames"));
    let streams = mine()
        .filter(|path| name(path).contains(".ws."))
        .chain(current.iter().filter(|path| name(path).ends_with(".jsonl") && name(path).starts_with(file)))
        .chain(files(&root.join("hyperliquid")).iter().filter(|path| file == "hyperliquid" && stem(path) == "btcusd"))
        .cloned()
        .collect::<Vec<_>>();
    for path in streams {
        let Ok(Content::Connection { protocol, .. }) = identify(&path) else { continue };
        let (mut frames, _) = lines(&unpacked(&path));
        frames.truncate(4_000);
        let mut bodies: Vec<(String, Vec<u8>)> =
            answers.iter().filter_map(|(url, body)| Some((protocol.symbol_at(url)?, body.clone()))).collect();
        for path in current.iter().filter(|path| name(path).ends_with(".json") && name(path).starts_with(file)) {
            if name(path).contains("_l3") == protocol.name.ends_with("-orders") {
                let symbol = if file == "binance" { "BTCUSDT" } else { "btcusd" };
                bodies.push((symbol.to_owned(), unpacked(path)));
            }
        }
        if let Some((_, streams)) = seeds.streams.iter_mut().find(|(one, _)| one.name == protocol.name) {
            streams.push(Stream::new(protocol, false, frames, bodies));
        }
    }
    let text = unpacked(&root.join("raw-messages/raw_messages.jsonl"));
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(line) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
        let (Some(venue), Some(raw)) = (line["exchange"].as_str(), line["raw"].as_str()) else { continue };
        if venue.starts_with(single) && raw.len() < LONGEST {
            seeds.loose.push(raw.as_bytes().to_vec());
        }
    }
    seeds
}

/// The folder of a protocol's own corpus.
pub fn folder(protocol: &Protocol) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(protocol.name)
}

fn contents(folder: &Path) -> Vec<Vec<u8>> {
    files(folder).iter().map(|path| std::fs::read(path).expect("a corpus file")).collect()
}

/// What earlier runs found, of frames of our own making: no conversation, only beginnings of other frames.
pub fn found(protocol: &Protocol) -> Vec<Vec<u8>> {
    contents(&folder(protocol).join("found"))
}

/// Frames of our own making, in the order of their names.
pub fn own(protocol: &'static Protocol) -> Option<Stream> {
    let frames = contents(&folder(protocol));
    let symbols = Stream::new(protocol, true, frames.clone(), Vec::new()).instruments;
    // Which of them are REST bodies nobody says: any of them may be tried as one.
    let bodies = frames.iter().filter(|_| !protocol.snapshot_path.is_empty());
    let bodies = bodies.flat_map(|body| symbols.iter().take(2).map(|one| (one.symbol.clone(), body.clone()))).collect();
    (!frames.is_empty()).then(|| Stream::new(protocol, true, frames, bodies))
}
