//! From bytes and times to events and commands, without a socket, a clock or a thread: live feeds, replays and tests run
//! the very same code.
//!
//! A venue's file is its *dialect*: it reads frames into messages and writes subscriptions. [`Protocol`] holds what is
//! known of each, dated. A [`Session`] is one connection: it turns messages into events in units, keeps every book's
//! continuity by the protocol's rule, and asks for what it needs.

mod binance;
mod bitfinex;
mod bitget;
mod bitmex;
mod bitstamp;
mod bybit;
mod checksum;
mod coinbase;
mod crypto_com;
mod deribit;
mod dydx;
mod gate;
mod gemini;
mod hyperliquid;
mod independent_reserve;
mod json;
mod kraken;
mod kraken_futures;
mod kucoin;
mod link;
mod message;
mod okx;
mod protocol;
mod session;
mod stream;
mod survey;
#[cfg(test)]
mod testing;

use thiserror::Error;

pub use self::protocol::{Channel, ChecksumRule, ChecksumText, KeepAlive, Protocol, RestLimit, SnapshotFrom};
pub use self::session::{Command, Session};
pub use self::stream::{Cause, Counts, GapRecord, GapUnit};
pub use self::survey::Survey;
use crate::instrument::{Instrument, Venue};
use crate::units::{Unit, UnitError};

/// The venues' files.
const FILES: &[&[Protocol]] = &[
    binance::PROTOCOLS,
    bitfinex::PROTOCOLS,
    bitmex::PROTOCOLS,
    bitstamp::PROTOCOLS,
    coinbase::PROTOCOLS,
    crypto_com::PROTOCOLS,
    deribit::PROTOCOLS,
    dydx::PROTOCOLS,
    gate::PROTOCOLS,
    gemini::PROTOCOLS,
    hyperliquid::PROTOCOLS,
    independent_reserve::PROTOCOLS,
    kraken::PROTOCOLS,
    kraken_futures::PROTOCOLS,
    kucoin::PROTOCOLS,
    bitget::PROTOCOLS,
    bybit::PROTOCOLS,
    okx::PROTOCOLS,
];

/// Every protocol.
pub fn protocols() -> impl Iterator<Item = &'static Protocol> {
    FILES.iter().copied().flatten()
}

impl Protocol {
    /// The protocol of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        protocols().find(|protocol| protocol.name == name)
    }

    /// The protocol that a venue speaks today: the first without a last day, else the last that there was. `None` for
    /// pools, which have a state instead of a feed.
    #[must_use]
    pub fn current(venue: Venue) -> Option<&'static Self> {
        let spoken = || protocols().filter(|protocol| protocol.venue == venue);
        spoken().find(|protocol| protocol.valid.1.is_empty()).or_else(|| spoken().last())
    }

    /// The protocol that a websocket address and a date (`YYYY-MM-DD`) stand for; where several protocols share an address,
    /// the one that was valid on that day.
    #[must_use]
    pub fn at(url: &str, day: &str) -> Option<&'static Self> {
        let marked = || protocols().filter(|protocol| !protocol.mark.is_empty() && url.contains(protocol.mark));
        let longest = marked().map(|protocol| protocol.mark.len()).max()?;
        let closest = || marked().filter(move |protocol| protocol.mark.len() == longest);
        let valid = |protocol: &&Self| {
            (protocol.valid.0.is_empty() || protocol.valid.0 <= day)
                && (protocol.valid.1.is_empty() || day <= protocol.valid.1)
        };
        closest().find(valid).or_else(|| closest().next())
    }
}

impl Protocol {
    /// The path of a symbol's REST snapshot.
    #[must_use]
    pub fn snapshot_path_of(&self, symbol: &str, depth: u16) -> Option<String> {
        let (base, quote) = symbol.split_once('-').unwrap_or((symbol, ""));
        let path = self.snapshot_path.replace("{symbol}", symbol).replace("{base}", base).replace("{quote}", quote);
        (!path.is_empty()).then(|| path.replace("{depth}", &depth.to_string()))
    }

    /// The symbol in the address of a REST snapshot: what stands where `snapshot_path` has `{symbol}`, or `{base}` and
    /// `{quote}`. `None` if it is the address of something else, or of another venue's server (a local stand-in may have
    /// any name).
    #[must_use]
    pub fn symbol_at(&self, url: &str) -> Option<String> {
        let (_, rest) = url.split_once("://")?;
        let (host, rest) = rest.split_at_checked(rest.find('/')?)?;
        let own = self.rest.split_once("://").map(|(_, own)| own);
        let local = host.starts_with("127.0.0.1") || host.starts_with("localhost");
        if Some(host) != own && !local {
            return None;
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (own_path, own_query) = self.snapshot_path.split_once('?').unwrap_or((self.snapshot_path, ""));
        let mut found = [const { String::new() }; 3];
        let mut take = |template: &str, text: &str| -> bool {
            match ["{symbol}", "{base}", "{quote}"].iter().position(|name| *name == template) {
                Some(at) => {
                    found[at] = text.to_owned();
                    true
                }
                None => template == text,
            }
        };
        let mut theirs = path.trim_end_matches('/').split('/');
        let mut ours = own_path.trim_end_matches('/').split('/');
        loop {
            match (theirs.next(), ours.next()) {
                (None, None) => break,
                (Some(text), Some(template)) if take(template, text) => {}
                _ => return None,
            }
        }
        for parameter in own_query.split('&').filter(|parameter| parameter.contains('{')) {
            let (name, template) = parameter.split_once('=')?;
            let value = query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))?.1;
            if template != "{depth}" {
                take(template, value);
            }
        }
        let [symbol, base, quote] = found;
        if !symbol.is_empty() {
            return Some(symbol);
        }
        (!base.is_empty() && !quote.is_empty()).then(|| format!("{base}-{quote}"))
    }

    /// The instruments in the answer to a request for one of `instruments_paths`.
    ///
    /// # Errors
    /// What the answer was expected to be.
    pub fn list(&self, body: &[u8]) -> Result<Vec<Instrument>, String> {
        (self.list)(body)
    }

    /// The instruments in the answer to a request for one of `instruments_paths`, whose address tells the venue.
    #[must_use]
    pub fn listed(url: &str, body: &[u8]) -> Vec<Instrument> {
        let mut found: Vec<Instrument> = Vec::new();
        for protocol in protocols() {
            let host = protocol.rest.split("://").nth(1).unwrap_or_default();
            let names = |path: &&str| url.contains(path.split('?').next().unwrap_or(path));
            if !host.is_empty() && url.contains(host) && protocol.instruments_paths.iter().any(names) {
                let listed = (protocol.list)(body).unwrap_or_default();
                // Dialects of one venue share its listing.
                if found.iter().all(|one| one.venue != protocol.venue) {
                    found.extend(listed.into_iter().filter(|one| one.venue == protocol.venue));
                }
            }
        }
        found
    }

    /// The protocol whose frames these are, for captures that do not say: the one that reads them with the fewest faults
    /// and finds the most market data of symbols that it can name. A `hint`, such as a file's name, that begins with a
    /// venue's name counts before all others.
    #[must_use]
    pub fn recognise<'a>(hint: &str, frames: impl Iterator<Item = &'a [u8]> + Clone) -> Option<&'static Self> {
        let hint = hint.to_ascii_lowercase().replace('_', "-");
        let begins = |name: &str| {
            hint.strip_prefix(name).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
        };
        let house = |protocol: &Self| protocol.venue.name().split('-').next().is_some_and(begins);
        // By its venue, by its house, by nothing: the first in which anything is found.
        let ranks: [&dyn Fn(&Self) -> bool; 3] = [&|protocol| begins(protocol.venue.name()), &house, &|_| true];
        ranks.iter().find_map(|rank| Self::best(protocols().filter(|protocol| rank(protocol)), frames.clone()))
    }

    fn best<'a>(
        candidates: impl Iterator<Item = &'static Self>,
        frames: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Option<&'static Self> {
        let scored = candidates.filter_map(|protocol| {
            let mut survey = Survey::new(protocol);
            frames.clone().for_each(|frame| survey.observe(frame));
            let score = survey.score();
            (score.data > 0 && !survey.instruments().is_empty()).then_some((protocol, score))
        });
        // Of equals, a dialect of today, and of those the first in the table.
        let best = scored.min_by_key(|(protocol, score)| {
            (score.faults, usize::MAX - score.data, usize::MAX - score.proofs, !protocol.valid.1.is_empty())
        });
        best.map(|(protocol, _)| protocol)
    }
}

/// What a venue's symbol alone tells of an instrument.
pub(crate) fn describe(venue: Venue, symbol: &str) -> Option<Instrument> {
    protocols().filter(|protocol| protocol.venue == venue).find_map(|protocol| (protocol.describe)(symbol))
}

/// A step such as `0.01000000`, as venues list them; none where the text is no positive decimal.
pub(crate) fn step_of(text: &str) -> Option<Unit> {
    Unit::parse(text).ok()
}

/// The unit `10^-n` with the decimals of a step, or with `most` decimals where none is known.
pub(crate) fn tick_decimals(step: Option<Unit>, most: u8) -> Unit {
    match step {
        Some(step) if step.exponent() >= 0 => Unit::ONE,
        Some(step) => Unit::decimals(step.exponent().unsigned_abs()),
        None => Unit::decimals(most),
    }
}

/// What became of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Depth changes were applied.
    Depth,
    /// Depth changes wait for a snapshot.
    Held,
    /// A snapshot; the book is synchronised, unless the changes held since do not join it.
    Snapshot,
    /// A best bid and ask.
    Quote,
    /// A trade.
    Trade,
    /// Mark, index and funding.
    Mark,
    /// Already known: an older or repeated message.
    Repeated,
    /// Data is missing: a `Gap` is on the tape.
    Gap,
    /// A message without market data, such as an acknowledgement.
    Other,
}

/// What is wrong with a frame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FeedErrorKind {
    /// Not the JSON that this venue sends.
    #[error("expected {venue} JSON: {message}")]
    Malformed {
        /// The venue whose messages were expected.
        venue: Venue,
        /// What the JSON reader met.
        message: String,
    },
    /// A decimal that is no count of the instrument's unit.
    #[error("{field} {text:?}: {error}")]
    Decimal {
        /// The field it stands in.
        field: &'static str,
        /// The text, cut to 48 bytes.
        text: String,
        /// Why it was refused.
        error: UnitError,
    },
    /// A size below zero.
    #[error("{field} {text:?}: expected a size of zero or more")]
    NegativeSize {
        /// The field it stands in.
        field: &'static str,
        /// The text.
        text: String,
    },
    /// An instrument that this feed was not given.
    #[error("expected a symbol that this feed was given")]
    UnknownSymbol,
    /// A time that does not fit nanoseconds since the epoch.
    #[error("time {0}: expected milliseconds or microseconds since the epoch")]
    Time(i64),
}

/// A frame that could not be used, with the place where it went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{venue}:{symbol} sequence {sequence} at byte {offset}: {kind}", symbol = .symbol.escape_debug())]
pub struct FeedError {
    /// The venue.
    pub venue: Venue,
    /// The symbol, empty where the frame did not say.
    pub symbol: String,
    /// The update or trade id of the message, 0 where unknown.
    pub sequence: u64,
    /// Byte offset in the frame.
    pub offset: usize,
    /// What is wrong.
    pub kind: FeedErrorKind,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_venue_speaks_exactly_one_protocol_today_or_has_spoken_one() {
        for venue in Venue::ALL {
            let all: Vec<_> = protocols().filter(|protocol| protocol.venue == venue).collect();
            assert_eq!(all.is_empty(), venue.is_pool(), "{venue}");
            assert_eq!(Protocol::current(venue).map(|protocol| protocol.venue), (!venue.is_pool()).then_some(venue));
        }
        let names: std::collections::BTreeSet<_> = protocols().map(|protocol| protocol.name).collect();
        assert_eq!(names.len(), protocols().count(), "names are unique");
    }

    #[test]
    fn an_address_and_a_day_tell_the_protocol() {
        let at = |url, day| Protocol::at(url, day).map(|protocol| protocol.name);
        assert_eq!(at("wss://ws.kraken.com", "2021-04-17"), Some("kraken-v1"));
        assert_eq!(at("wss://ws.kraken.com/v2", "2026-08-24"), Some("kraken-v2"));
        assert_eq!(at("wss://ws.okx.com:8443/ws/v5/public", "2022-05-13"), Some("okx-2021"));
        assert_eq!(at("wss://ws.okx.com:8443/ws/v5/public", "2026-08-24"), Some("okx-v5"));
        assert_eq!(at("wss://nowhere.example", "2026-08-24"), None);
    }

    #[test]
    fn frames_alone_tell_the_protocol_whatever_the_file_is_called() {
        let frame = br#"{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{"asks":[["2","1","0","1"]],"bids":[["1","1","0","1"]],"ts":"1597026383085","checksum":0,"prevSeqId":-1,"seqId":1}]}"#;
        for hint in ["", "frames", "cryptofeed", "crypto", "okx_books", "kraken-v2", "okxx"] {
            let found = Protocol::recognise(hint, std::iter::once(&frame[..])).map(|protocol| protocol.name);
            assert_eq!(found, Some("okx-v5"), "{hint}");
        }
        assert!(Protocol::recognise("okx", std::iter::once(&b"{}"[..])).is_none());
    }

    #[test]
    fn the_address_of_a_snapshot_tells_its_symbol() {
        for protocol in protocols().filter(|protocol| !protocol.snapshot_path.is_empty()) {
            let path = protocol.snapshot_path_of("abc-xyz", 100).expect("a path");
            let url = format!("{}{path}", protocol.rest);
            assert_eq!(protocol.symbol_at(&url).as_deref(), Some("abc-xyz"), "{}", protocol.name);
            assert_eq!(protocol.symbol_at(&format!("https://elsewhere.example{path}")), None);
            assert_eq!(protocol.symbol_at(&format!("http://127.0.0.1:9{path}")).as_deref(), Some("abc-xyz"));
        }
    }

    #[test]
    fn subscriptions_are_json() {
        for protocol in protocols() {
            let mut texts = Vec::new();
            for on in [true, false] {
                (protocol.dialect)().subscribe(on, &["abc-xyz"], &Channel::ALL, protocol.depth, &mut texts);
            }
            assert!(!texts.is_empty(), "{}", protocol.name);
            for text in texts {
                assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}: {text}", protocol.name);
            }
        }
    }
}
