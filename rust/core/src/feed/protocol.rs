//! What is known of every venue's protocol, in one dated table, and what a venue's file provides.
//!
//! A protocol is one dialect of one venue between two dates. Captures name theirs; of older ones the address and the date
//! tell it. Nothing outside this table and the venue's own file knows a venue.

use std::fmt;

use super::json::Read;
use super::message::Frame;
use crate::instrument::{Instrument, Venue};

/// Reads and writes one venue's messages. No socket, no clock, no thread; its only state is what the venue makes us
/// remember to understand it, such as the names of numbered channels.
pub(crate) trait Dialect: fmt::Debug + Send {
    /// Reads one frame into `out`, which is empty.
    ///
    /// # Errors
    /// A fault if the frame is not what this venue sends. Of `out`, [`Frame::channel`] and [`Frame::symbol`] then say what
    /// was lost, so a dialect sets them as soon as it knows; the rest is not used.
    fn read(&mut self, frame: &[u8], out: &mut Frame) -> Read<()>;

    /// Reads the body of a REST snapshot. One message `Levels` or `Orders` with `snapshot: true`.
    fn read_snapshot(&mut self, body: &[u8], out: &mut Frame) -> Read<()> {
        self.read(body, out)
    }

    /// The name behind [`super::message::Symbol::Known`].
    fn name(&self, _known: u32) -> &str {
        ""
    }

    /// The texts that subscribe (`on`) or unsubscribe these channels of these symbols.
    fn subscribe(&mut self, on: bool, symbols: &[&str], channels: &[Channel], depth: u16, out: &mut Vec<String>);

    /// The connection was opened anew: what was remembered of the last one is void.
    fn reset(&mut self) {}
}

/// What can be subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Channel {
    /// Levels of the book, or its orders where the protocol is by order.
    Book,
    /// Trades.
    Trades,
    /// Best bid and ask.
    Quotes,
    /// Mark price, index, funding, implied volatility.
    Marks,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 4] = [Self::Book, Self::Trades, Self::Quotes, Self::Marks];

    /// Its name: lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::Trades => "trades",
            Self::Quotes => "quotes",
            Self::Marks => "marks",
        }
    }
}

/// Where the first state of a book comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotFrom {
    /// The stream begins with it, and again after a new subscription.
    Stream,
    /// A REST request, joined to the changes that were held meanwhile.
    Rest,
    /// Every message is one.
    EveryMessage,
}

/// What a checksum covers and how its text is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChecksumText {
    /// Kraken: asks from low to high, then bids from high to low; price and size each as a whole number of its last
    /// decimal, without leading zeros, nothing between.
    Kraken,
    /// OKX: `bid price:bid size:ask price:ask size:…`, best first, numbers without zeros at their end.
    Interleaved,
    /// Bitget: as `Interleaved`, every number with as many decimals as the venue's texts show.
    Padded,
    /// Bitfinex: as `Interleaved`, numbers as JavaScript prints them, the sizes of asks negative.
    JavaScript,
}

/// A checksum rule: CRC-32 (IEEE) of a text over the best levels. As 32 bits; that some venues print it signed does not
/// matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChecksumRule {
    /// How the text is made.
    pub text: ChecksumText,
    /// How many levels of each side it covers.
    pub levels: usize,
}

/// A message that keeps the connection open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// What to send.
    pub text: &'static str,
    /// How often, in seconds.
    pub every: u16,
}

/// What REST requests may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestLimit {
    /// What one snapshot costs.
    pub weight: u32,
    /// What may be spent a minute.
    pub per_minute: u32,
}

/// One dialect of one venue: facts, and the file that knows its texts.
#[derive(Clone, Copy)]
pub struct Protocol {
    /// Its name, as captures record it: `kraken-v2`.
    pub name: &'static str,
    /// The venue.
    pub venue: Venue,
    /// The first and the last day of its validity, UTC, `YYYY-MM-DD`; empty: not known, or still valid.
    pub valid: (&'static str, &'static str),
    /// The websocket's address.
    pub url: &'static str,
    /// A piece of a websocket address that gives the protocol away, for captures that do not name theirs.
    pub mark: &'static str,
    /// The REST server, without a path; empty where none is needed.
    pub rest: &'static str,
    /// The path of a REST snapshot, `{symbol}` and `{depth}` to be filled in; empty where there is none.
    pub snapshot_path: &'static str,
    /// The paths that list the venue's instruments.
    pub instruments_paths: &'static [&'static str],
    /// Where a book begins.
    pub snapshot: SnapshotFrom,
    /// Whether frames are counted per connection, from any number, step one: a hole taints every instrument on it.
    pub counts_frames: bool,
    /// Whether consecutive trades of an instrument have consecutive ids.
    pub counts_trades: bool,
    /// Whether the book's messages are linked by ids, so that a loss shows; the kind of link is the message's own.
    pub links: bool,
    /// The checksum, where there is one.
    pub checksum: Option<ChecksumRule>,
    /// The depth that is subscribed by default; 0: all there is.
    pub depth: u16,
    /// Whether levels beyond the depth leave the book without a word, so that we cut it.
    pub cuts: bool,
    /// Whether a crossed book means that the venue failed to retract levels, so that a new snapshot is needed.
    pub cross_resyncs: bool,
    /// The message that keeps it open.
    pub keep_alive: Option<KeepAlive>,
    /// Seconds without any message after which the connection is dead.
    pub silence: u16,
    /// How many instruments one connection should carry.
    pub per_connection: u16,
    /// How many messages a second we send at most; what the venue allows where it says so, else from memory.
    pub sends_per_second: u16,
    /// What REST may cost.
    pub limit: RestLimit,
    /// Where these facts are from, and how they were checked.
    pub source: &'static str,
    /// Makes the dialect.
    pub(crate) dialect: fn() -> Box<dyn Dialect>,
    /// Reads the answer to one of `instruments_paths`.
    pub(crate) list: fn(body: &[u8]) -> Result<Vec<Instrument>, String>,
    /// What a symbol alone tells of an instrument; units are then filled in from the data.
    pub(crate) describe: fn(symbol: &str) -> Option<Instrument>,
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protocol").field("name", &self.name).field("venue", &self.venue).finish_non_exhaustive()
    }
}

/// Symbols as the elements of a JSON array.
pub(super) fn quoted(symbols: &[&str]) -> String {
    let quoted: Vec<String> = symbols.iter().map(|symbol| format!("\"{symbol}\"")).collect();
    quoted.join(",")
}
