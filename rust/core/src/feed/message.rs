//! What the frames of every venue come down to: the common tongue between a venue's file, which knows its texts, and the
//! session, which knows units, order and books. Numbers are still decimals of the text, names still pieces of the frame.

use std::ops::Range;

use super::json::{Decimal, Json, Read, Text};
use super::protocol::Channel;
use crate::units::{Nanos, Side};

/// Longer names of symbols are not remembered: no venue has them.
pub(crate) const MAX_NAME: usize = 96;

/// A level: absolute size at a price; size 0 removes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub price: Decimal,
    pub size: Decimal,
    pub side: Side,
}

/// What happened to one resting order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Add,
    /// Price and size are now these.
    Modify,
    /// It left the book, cancelled or filled.
    Cancel,
}

/// A change of one resting order (market by order).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub change: Change,
    pub id: u64,
    /// Where a venue leaves out the side, price or size of an order that it named before, they are `None`: the session
    /// remembers.
    pub side: Option<Side>,
    pub price: Option<Decimal>,
    /// What is left of it.
    pub size: Option<Decimal>,
}

/// Which instrument a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symbol {
    /// The frame names it.
    At(Text),
    /// The dialect knows it by this number: [`super::Dialect::name`].
    Known(u32),
    /// The frame does not say: whoever asked for it knows, or the connection has one instrument only.
    Asked,
    /// The message is about the connection.
    None,
}

/// How a message follows the one before it, in the venue's ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Link {
    /// It does not say.
    #[default]
    None,
    /// It holds the updates `first..=last`, counted without holes.
    Range { first: u64, last: u64 },
    /// It follows the message whose `last` is `previous`; ids may jump.
    Chain { previous: u64, last: u64 },
    /// It follows the message whose `last` is `previous` and whose time is `since` (0 where unknown), and stands to a
    /// snapshot by its `time`: tokens without order.
    Timed { previous: u64, last: u64, since: u64, time: u64 },
    /// Both: `first..=last` of ids that are shared with other instruments, after the message whose `last` is `previous`.
    Span { first: u64, last: u64, previous: u64 },
    /// Only the id up to which the book is good. Of a change: it must not be older than the one before.
    At(u64),
}

impl Link {
    /// The id after which the next message is expected; 0 where unknown.
    pub const fn last(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Range { last, .. } | Self::Chain { last, .. } | Self::Span { last, .. } => last,
            Self::Timed { last, .. } | Self::At(last) => last,
        }
    }
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Levels changed; with `snapshot` they are all there is. Levels are [`Frame::levels`] in this range.
    Levels { snapshot: bool, link: Link, checksum: Option<u32>, levels: Range<usize> },
    /// Orders changed; with `snapshot` they are all there are. Orders are [`Frame::orders`] in this range.
    Orders { snapshot: bool, link: Link, orders: Range<usize> },
    /// The book as it now stands has this checksum.
    Checksum(u32),
    /// Best bid and ask; a side that is `None` is not said, one of size 0 is empty. `sequence`: 0 where unknown.
    Quote { sequence: u64, bid: Option<(Decimal, Decimal)>, ask: Option<(Decimal, Decimal)> },
    /// A trade; `side` is the aggressor's, `id` 0 where it is no number. A `silent` one counts with its id but is no event:
    /// it is from before the subscription, or no trade in the book.
    Trade { id: u64, price: Decimal, size: Decimal, side: Option<Side>, silent: bool },
    /// Mark price, index price, implied volatility of the mark (1 is 100 %), funding rate and when it is due.
    Mark { mark: Option<Decimal>, index: Option<Decimal>, iv: Option<Decimal>, funding: Option<(Decimal, Nanos)> },
    /// Trading status of the instrument: whether it trades.
    Status { trading: bool },
    /// The subscription of this symbol stands.
    Subscribed,
    /// The venue refused something; the piece of the frame that says what.
    Refused(Text),
    /// The venue is alive, no data.
    Heartbeat,
    /// The venue is going to close the connection, or asks us to.
    Reconnect,
    /// Nothing that concerns us.
    Other,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub symbol: Symbol,
    pub ts_event: Nanos,
    pub body: Body,
}

/// All that one frame says. It is used again for the next one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    pub messages: Vec<Message>,
    pub levels: Vec<Level>,
    pub orders: Vec<Order>,
    /// The number of the frame on its connection, where the venue counts them.
    pub counter: Option<u64>,
    /// What the venue wants to hear in answer.
    pub answers: Vec<String>,
    /// How many levels of each side the book holds, where the frame says so.
    pub depth: Option<u16>,
    /// What the frame is about, as far as it was read: if the rest is not as it should be, this is what was lost.
    pub channel: Option<Channel>,
    pub symbol: Option<Symbol>,
}

impl Frame {
    pub fn clear(&mut self) {
        self.messages.clear();
        self.levels.clear();
        self.orders.clear();
        self.counter = None;
        self.answers.clear();
        (self.channel, self.symbol, self.depth) = (None, None, None);
    }

    /// Takes one side of a book: an array of `[price, size, …]`.
    #[inline]
    pub fn take_levels(&mut self, json: &mut Json<'_>, side: Side) -> Read<()> {
        json.array(|json| {
            let (price, size) = json.pair()?;
            self.levels.push(Level { price, size, side });
            Ok(())
        })
    }

    pub fn push(&mut self, symbol: Symbol, ts_event: Nanos, body: Body) {
        self.messages.push(Message { symbol, ts_event, body });
    }
}

/// Whose data a frame holds. It may hold several symbols' data; then no single one is named as lost if the rest is bad.
#[derive(Default)]
pub(crate) struct Whose<'a> {
    pub name: Option<&'a [u8]>,
    pub several: bool,
}

impl<'a> Whose<'a> {
    pub fn read(&mut self, json: &mut Json<'a>, out: &mut Frame) -> Read<Text> {
        let name = json.text()?;
        let place = json.place(name);
        self.several |= self.name.is_some_and(|first| first != name);
        self.name = Some(name);
        out.symbol = if self.several { None } else { Some(Symbol::At(place)) };
        Ok(place)
    }
}
