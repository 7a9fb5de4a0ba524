//! Captures line by line, in the order of their times.

use std::collections::BTreeMap;

use super::data;
use crate::feed::message::{Body, Frame, Symbol};
use crate::feed::{FeedError, Outcome, Protocol, Session};
use crate::instrument::Instrument;
use crate::tape::Tape;
use crate::units::Nanos;

/// One line: a websocket's frame, or what a REST server answered.
pub struct Line {
    /// The request; empty for a frame.
    pub url: String,
    pub at: Nanos,
    pub body: Vec<u8>,
}

/// Received frames and answers of one file.
pub fn lines(name: &str) -> Option<Vec<Line>> {
    let text = data(&format!("cryptofeed/{name}.gz"))?;
    let received = text.lines().filter_map(|line| {
        let (url, rest) = line.split_once(" -> ").unwrap_or(("", line));
        let (at, body) = rest.split_once(": ")?;
        let seconds: f64 = at.parse().ok()?;
        #[allow(clippy::cast_possible_truncation)] // seconds since the epoch
        let at = Nanos((seconds * 1e6) as i64 * 1_000);
        Some(Line { url: url.to_owned(), at, body: body.as_bytes().to_vec() })
    });
    Some(received.collect())
}

/// Single real messages of an exchange: the test's name and the text.
pub fn raw(exchange: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let text = data("raw-messages/raw_messages.jsonl")?;
    let field = |value: &serde_json::Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    Some(
        text.lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
            .filter(|value| value["exchange"] == exchange)
            .map(|value| {
                let name = format!("{}/{}", field(&value, "group"), field(&value, "test"));
                (name, field(&value, "raw").into_bytes())
            })
            .collect(),
    )
}

/// What kind of messages frames hold, counted.
pub fn kinds(protocol: &Protocol, lines: &[Line]) -> BTreeMap<&'static str, usize> {
    let mut dialect = (protocol.dialect)();
    let (mut frame, mut found) = (Frame::default(), BTreeMap::new());
    for line in lines {
        frame.clear();
        if line.url.is_empty() {
            dialect.read(&line.body, &mut frame).unwrap_or_else(|fault| {
                panic!("{fault:?} in {}", String::from_utf8_lossy(&line.body));
            });
        } else {
            dialect.read_snapshot(&line.body, &mut frame).expect("a snapshot");
        }
        if frame.messages.is_empty() {
            *found.entry("none").or_default() += 1;
        }
        for message in &frame.messages {
            *found.entry(kind(&message.body)).or_default() += 1;
        }
    }
    found
}

pub fn kind(body: &Body) -> &'static str {
    match body {
        Body::Levels { snapshot: true, .. } | Body::Orders { snapshot: true, .. } => "snapshot",
        Body::Levels { .. } => "levels",
        Body::Orders { .. } => "orders",
        Body::Checksum(_) => "checksum",
        Body::Quote { .. } => "quote",
        Body::Trade { silent: true, .. } => "silent trade",
        Body::Trade { .. } => "trade",
        Body::Mark { .. } => "mark",
        Body::Status { .. } => "status",
        Body::Subscribed => "subscribed",
        Body::Refused(_) => "refused",
        Body::Heartbeat => "heartbeat",
        Body::Reconnect => "reconnect",
        Body::Other => "other",
    }
}

/// Reads one frame: its messages, and the symbol that it named.
pub fn read(protocol: &Protocol, frame: &str) -> Result<(Frame, Vec<String>), String> {
    let (mut dialect, mut out) = ((protocol.dialect)(), Frame::default());
    dialect.read(frame.as_bytes(), &mut out).map_err(|fault| format!("{:?} at {}", fault.kind, fault.at))?;
    let names = out
        .messages
        .iter()
        .map(|message| match message.symbol {
            Symbol::At(place) => String::from_utf8_lossy(place.of(frame.as_bytes())).into_owned(),
            Symbol::Known(known) => dialect.name(known).to_owned(),
            Symbol::Asked => "?".to_owned(),
            Symbol::None => String::new(),
        })
        .collect();
    Ok((out, names))
}

/// The texts that subscribe these symbols.
pub fn texts(protocol: &Protocol, symbols: &[&str], depth: u16) -> Vec<String> {
    let mut out = Vec::new();
    (protocol.dialect)().subscribe(true, symbols, &crate::feed::Channel::ALL, depth, &mut out);
    for text in &out {
        serde_json::from_str::<serde_json::Value>(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    }
    out
}

/// What a session made of a capture.
pub struct Played {
    pub session: Session,
    pub tape: Tape,
    pub errors: Vec<FeedError>,
    pub outcomes: BTreeMap<String, usize>,
}

/// Plays frames and answers in the order of their times. `symbol` finds the symbol of a request.
pub fn play(
    protocol: &'static Protocol,
    instruments: &[Instrument],
    mut lines: Vec<Line>,
    symbol: impl Fn(&str) -> Option<String>,
) -> Played {
    lines.sort_by_key(|line| line.at);
    let indices = (0..).zip(instruments);
    let session = Session::new(protocol, indices.clone());
    let mut played = Played { session, tape: Tape::default(), errors: Vec::new(), outcomes: BTreeMap::new() };
    for line in &lines {
        let result = if line.url.is_empty() {
            played.session.on_frame(line.at, &line.body, &mut played.tape)
        } else {
            let symbol = symbol(&line.url).expect("a symbol");
            let Some((index, _)) = indices.clone().find(|(_, instrument)| instrument.symbol == symbol) else {
                continue;
            };
            played.session.on_snapshot(line.at, index, &line.body, &mut played.tape)
        };
        match result {
            Ok(outcome) => *played.outcomes.entry(name(outcome)).or_default() += 1,
            Err(error) => played.errors.push(error),
        }
    }
    played
}

fn name(outcome: Outcome) -> String {
    format!("{outcome:?}")
}
