//! From bytes and times to events and commands, without a socket, a clock or a thread: live feeds, replays and tests run
//! the very same code.

pub mod binance;
mod scan;
mod sync;

use thiserror::Error;

use crate::instrument::Venue;
use crate::units::UnitError;

/// What a feed asks of whoever owns the sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Fetch the REST depth snapshot of this instrument and feed it in.
    FetchSnapshot {
        /// Index of the instrument.
        instrument: u32,
    },
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
