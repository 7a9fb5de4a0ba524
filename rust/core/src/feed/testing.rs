//! What the venues' tests share: the real captures, where they are there, and how frames are played.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use serde_json::Value;

use super::json::Fault;
use super::message::{Body, Frame};
use super::protocol::{Channel, Dialect, Protocol};
use super::{Session, Survey};
use crate::instrument::Instrument;
use crate::tape::Tape;
use crate::units::Nanos;

pub mod lines;

/// A file of the captures, unpacked; `None` where there are none. Other venues' tests read theirs by it too.
pub fn data(name: &str) -> Option<String> {
    let root = std::env::var_os("CROSSBOOK_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let path = root.join(name);
    let Ok(packed) = std::fs::read(&path) else {
        assert!(std::env::var_os("CI").is_none(), "CROSSBOOK_DATA: expected {}", path.display());
        eprintln!("skipped: set CROSSBOOK_DATA to the folder of captures");
        return None;
    };
    let mut text = String::new();
    if name.ends_with(".gz") {
        flate2::read::MultiGzDecoder::new(packed.as_slice()).read_to_string(&mut text).expect("gzip");
    } else {
        text = String::from_utf8(packed).expect("UTF-8");
    }
    Some(text)
}

/// The frames that a capture of `cryptofeed` received.
pub fn received(name: &str) -> Option<Vec<String>> {
    let text = data(&format!("cryptofeed/{name}.gz"))?;
    let line = |line: &str| {
        let (time, frame) = line.split_once(": ")?;
        time.parse::<f64>().is_ok().then(|| frame.to_owned())
    };
    Some(text.lines().filter_map(line).collect())
}

/// The bodies that a capture of `cryptofeed` fetched, with their addresses.
pub fn fetched(name: &str) -> Option<Vec<(String, String)>> {
    let text = data(&format!("cryptofeed/{name}.gz"))?;
    let line = |line: &str| {
        let (url, rest) = line.split_once(" -> ")?;
        Some((url.to_owned(), rest.split_once(": ")?.1.to_owned()))
    };
    Some(text.lines().filter_map(line).collect())
}

/// The single messages of a venue: group and text.
pub fn single(exchange: &str) -> Option<Vec<(String, String)>> {
    let text = data("raw-messages/raw_messages.jsonl")?;
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let of = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    Some(
        lines
            .filter(|line| of(line, "exchange") == exchange)
            .map(|line| (of(&line, "group"), of(&line, "raw")))
            .collect(),
    )
}

/// Reads one frame with a dialect of its own.
pub fn read(protocol: &str, text: &str) -> Result<Frame, Fault> {
    let protocol = Protocol::named(protocol).expect("a protocol");
    let mut out = Frame::default();
    (protocol.dialect)().read(text.as_bytes(), &mut out).map(|()| out)
}

/// How many messages of each kind one dialect reads in these frames, and how many frames it refuses.
pub fn kinds<T: AsRef<str>>(protocol: &str, frames: &[T]) -> BTreeMap<&'static str, usize> {
    let mut dialect = (Protocol::named(protocol).expect("a protocol").dialect)();
    let mut out = Frame::default();
    let mut kinds = BTreeMap::new();
    for frame in frames {
        out.clear();
        if let Err(fault) = dialect.read(frame.as_ref().as_bytes(), &mut out) {
            let text = frame.as_ref();
            eprintln!("{fault:?}: {}", text.get(..text.len().min(300)).unwrap_or_default());
            *kinds.entry("refused").or_default() += 1;
        }
        for message in &out.messages {
            let kind = match message.body {
                Body::Levels { snapshot: true, .. } => "snapshot",
                Body::Levels { .. } => "change",
                Body::Orders { .. } => "orders",
                Body::Checksum(_) => "checksum",
                Body::Quote { .. } => "quote",
                Body::Trade { silent: true, .. } => "past trade",
                Body::Trade { .. } => "trade",
                Body::Mark { .. } => "mark",
                Body::Status { .. } => "status",
                Body::Subscribed => "subscribed",
                Body::Refused(_) => "refusal",
                Body::Heartbeat => "heartbeat",
                Body::Reconnect => "reconnect",
                Body::Other => "other",
            };
            *kinds.entry(kind).or_default() += 1;
        }
    }
    kinds
}

/// Plays frames through a session of these instruments. All of them must be usable.
pub fn play<T: AsRef<str>>(protocol: &str, instruments: &[Instrument], frames: &[T]) -> (Session, Tape) {
    let protocol = Protocol::named(protocol).expect("a protocol");
    let mut session = Session::new(protocol, (0..).zip(instruments));
    let mut tape = Tape::default();
    for (frame, at) in frames.iter().zip(1..) {
        let result = session.on_frame(Nanos(at), frame.as_ref().as_bytes(), &mut tape);
        let text = frame.as_ref();
        assert!(result.is_ok(), "{result:?}: {}", text.get(..text.len().min(300)).unwrap_or_default());
    }
    (session, tape)
}

/// No piece of a frame is a frame, and no piece makes the dialect panic.
pub fn refuses_every_piece(protocol: &str, text: &str) {
    assert!(read(protocol, text).is_ok(), "the whole: {:?}", read(protocol, text));
    for end in 0..text.len() {
        assert!(read(protocol, &text[..end]).is_err(), "{}", &text[..end]);
    }
    assert!(read(protocol, &format!("{text} x")).is_err(), "more behind it");
}

/// What a dialect sends to subscribe or unsubscribe: all of it JSON.
pub fn requests(protocol: &str, on: bool, symbols: &[&str], depth: u16) -> Vec<Value> {
    let protocol = Protocol::named(protocol).expect("a protocol");
    let mut out = Vec::new();
    (protocol.dialect)().subscribe(on, symbols, &Channel::ALL, depth, &mut out);
    out.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect()
}

/// The frames of a cryptofeed capture, without their times.
pub fn frames(text: &str) -> Vec<&str> {
    let received = |line: &&str| line.as_bytes().first().is_some_and(u8::is_ascii_digit);
    text.lines().filter(received).filter_map(|line| line.split_once(": ")).map(|(_, frame)| frame).collect()
}

/// The single messages that a test set holds of this venue.
pub fn singles(text: &str, exchange: &str) -> Vec<(String, String)> {
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|line| line["exchange"] == exchange && line["valid_json"] == true)
        .map(|line| {
            (line["group"].as_str().unwrap_or_default().to_owned(), line["raw"].as_str().unwrap_or_default().to_owned())
        })
        .collect()
}

/// Reads one frame with this dialect.
pub fn read_with(dialect: &mut dyn Dialect, frame: &str) -> Result<Frame, Fault> {
    let mut out = Frame::default();
    dialect.read(frame.as_bytes(), &mut out).map(|()| out)
}

/// A session of the instruments that a survey finds in these frames.
pub fn surveyed(protocol: &'static Protocol, frames: &[&str]) -> (Session, Vec<Instrument>) {
    let mut survey = Survey::new(protocol);
    frames.iter().for_each(|frame| survey.observe(frame.as_bytes()));
    let found = survey.instruments();
    let session =
        Session::new(protocol, found.iter().enumerate().map(|(at, known)| (u32::try_from(at).expect("few"), known)));
    (session, found)
}

/// All texts of a dialect are JSON; the arguments of each.
pub fn requests_of(
    dialect: &mut dyn Dialect,
    on: bool,
    symbols: &[&str],
    channels: &[Channel],
    depth: u16,
) -> Vec<Value> {
    let mut out = Vec::new();
    dialect.subscribe(on, symbols, channels, depth, &mut out);
    out.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect()
}
