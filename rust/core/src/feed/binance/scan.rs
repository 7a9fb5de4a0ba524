//! The fast path of Binance's messages: one pass over the bytes.

use super::{Binance, Message, Stream, aggressor, nanos};
use crate::feed::scan::Scanner;
use crate::feed::sync::{Level, Span};
use crate::units::{Nanos, Side};

/// Which fields a message has brought, a bit each.
const KIND: u32 = 1 << 0;
const SYMBOL: u32 = 1 << 1;
const EVENT_TIME: u32 = 1 << 2;
const ENGINE_TIME: u32 = 1 << 3;
const FIRST: u32 = 1 << 4;
const LAST: u32 = 1 << 5;
const PREVIOUS: u32 = 1 << 6;
const BID: u32 = 1 << 7;
const ASK: u32 = 1 << 8;
const BID_LEVELS: u32 = 1 << 9;
const ASK_LEVELS: u32 = 1 << 10;
const BID_PRICE: u32 = 1 << 11;
const ASK_PRICE: u32 = 1 << 12;
const BID_SIZE: u32 = 1 << 13;
const ASK_SIZE: u32 = 1 << 14;
const ID: u32 = 1 << 15;
const PRICE: u32 = 1 << 16;
const SIZE: u32 = 1 << 17;
const MAKER: u32 = 1 << 18;
const MARKET: u32 = 1 << 19;
const SNAPSHOT_ID: u32 = 1 << 20;
const SNAPSHOT_BIDS: u32 = 1 << 21;
const SNAPSHOT_ASKS: u32 = 1 << 22;

impl Binance {
    /// The fast path: depth, quotes, trades and snapshots in the simple form in which they come. `None` says nothing
    /// about the frame but that somebody else must read it.
    pub(super) fn scan(&self, frame: &[u8], levels: &mut Vec<Level>) -> Option<(usize, Message)> {
        levels.clear();
        let mut text = Scanner::new(frame);
        text.byte(b'{')?;
        let enveloped = text.expect(b"\"stream\":").is_some();
        if enveloped {
            text.string()?;
            text.expect(b",\"data\":{")?;
        }
        let mut at = (self.streams.len() == 1).then_some(0);
        let mut named = false;
        let mut kind: &[u8] = b"";
        let mut fields = Fields::default();
        loop {
            let key = text.key()?;
            // A key that comes twice is for the other reader to refuse.
            match key {
                b"e" => {
                    fields.claim(KIND)?;
                    kind = text.string()?;
                }
                b"s" | b"symbol" => {
                    fields.claim(SYMBOL)?;
                    at = Some(self.find(text.string()?)?);
                    named = true;
                }
                b"E" => {
                    fields.claim(EVENT_TIME)?;
                    fields.event_time = text.integer()?;
                }
                b"T" => {
                    fields.claim(ENGINE_TIME)?;
                    fields.engine_time = text.integer()?;
                }
                b"U" => {
                    fields.claim(FIRST)?;
                    fields.first = text.integer()?;
                }
                b"u" => {
                    fields.claim(LAST)?;
                    fields.last = text.integer()?;
                }
                b"lastUpdateId" => {
                    fields.claim(SNAPSHOT_ID)?;
                    fields.snapshot = text.integer()?;
                }
                b"pu" => {
                    fields.claim(PREVIOUS)?;
                    fields.previous = text.integer()?;
                }
                b"b" | b"a" | b"bids" | b"asks" => {
                    let bid = key.first() == Some(&b'b');
                    fields.claim(if bid { BID } else { ASK })?;
                    let stream = self.streams.get(at?)?;
                    match text.peek()? {
                        b'[' => {
                            // Bids come first; the other reader knows what to do if not.
                            if bid && fields.has(ASK) {
                                return None;
                            }
                            fields.claim(match (bid, key.len()) {
                                (true, 1) => BID_LEVELS,
                                (false, 1) => ASK_LEVELS,
                                (true, _) => SNAPSHOT_BIDS,
                                (false, _) => SNAPSHOT_ASKS,
                            })?;
                            let side = if bid { Side::Bid } else { Side::Ask };
                            scan_levels(&mut text, stream, side, levels)?;
                        }
                        b'"' if key.len() == 1 => {
                            fields.claim(if bid { BID_PRICE } else { ASK_PRICE })?;
                            let price = text.decimal(&stream.price)?;
                            if bid { fields.bid = price } else { fields.ask = price }
                        }
                        _ => text.integer().map(|_| ())?,
                    }
                }
                b"B" => {
                    fields.claim(BID_SIZE)?;
                    fields.bid_size = text.decimal(&self.streams.get(at?)?.size)?;
                }
                b"A" => {
                    fields.claim(ASK_SIZE)?;
                    fields.ask_size = text.decimal(&self.streams.get(at?)?.size)?;
                }
                b"t" => {
                    fields.claim(ID)?;
                    fields.id = text.integer()?;
                }
                b"p" => {
                    fields.claim(PRICE)?;
                    fields.price = text.decimal(&self.streams.get(at?)?.price)?;
                }
                b"q" => {
                    fields.claim(SIZE)?;
                    fields.size = text.decimal(&self.streams.get(at?)?.size)?;
                }
                b"m" => {
                    fields.claim(MAKER)?;
                    fields.maker = text.boolean()?;
                }
                b"X" => {
                    fields.claim(MARKET)?;
                    fields.market = text.string()? == b"MARKET";
                }
                _ => text.skip()?,
            }
            if text.byte(b',').is_none() {
                break;
            }
        }
        text.byte(b'}')?;
        if enveloped {
            text.byte(b'}')?;
        }
        if !text.is_done() {
            return None;
        }
        let message = fields.message(kind, named)?;
        Some((at?, message))
    }
}

/// What the scanner has met so far.
#[derive(Default)]
struct Fields {
    seen: u32,
    event_time: u64,
    engine_time: u64,
    first: u64,
    last: u64,
    snapshot: u64,
    previous: u64,
    bid: i64,
    bid_size: i64,
    ask: i64,
    ask_size: i64,
    id: u64,
    price: i64,
    size: i64,
    maker: bool,
    market: bool,
}

impl Fields {
    #[inline]
    fn claim(&mut self, bit: u32) -> Option<()> {
        let new = self.seen & bit == 0;
        self.seen |= bit;
        new.then_some(())
    }

    const fn has(&self, bits: u32) -> bool {
        self.seen & bits == bits
    }

    fn message(&self, kind: &[u8], named: bool) -> Option<Message> {
        const DEPTH: u32 = FIRST | LAST | BID_LEVELS | ASK_LEVELS;
        const SNAPSHOT: u32 = SNAPSHOT_ID | SNAPSHOT_BIDS | SNAPSHOT_ASKS;
        const QUOTE: u32 = LAST | BID_PRICE | ASK_PRICE | BID_SIZE | ASK_SIZE;
        const TRADE: u32 = ID | PRICE | SIZE | MAKER;
        let time = if self.has(ENGINE_TIME) { self.engine_time } else { self.event_time };
        let ts_event = if self.seen & (EVENT_TIME | ENGINE_TIME) == 0 { Nanos::UNKNOWN } else { nanos(time)? };
        let previous = self.has(PREVIOUS).then_some(self.previous);
        let kind: &[u8] = match kind {
            b"" if self.has(KIND) => return None,
            b"" if self.has(SNAPSHOT_ID) => b"snapshot",
            b"" => b"bookTicker",
            kind => kind,
        };
        match kind {
            b"depthUpdate" if named && self.has(DEPTH) => {
                Some(Message::Depth(Span { first: self.first, last: self.last, previous, ts_event }))
            }
            b"snapshot" if self.has(SNAPSHOT) && !self.has(KIND) => {
                Some(Message::Snapshot { last: self.snapshot, ts_event })
            }
            b"bookTicker" if named && self.has(QUOTE) => Some(Message::Quote {
                ts_event,
                sequence: self.last,
                bid: (self.bid, self.bid_size),
                ask: (self.ask, self.ask_size),
            }),
            b"trade" if named && self.has(TRADE) => Some(Message::Trade {
                ts_event,
                id: self.id,
                price: self.price,
                size: self.size,
                side: aggressor(self.maker),
                market: self.market || !self.has(MARKET),
            }),
            _ => None,
        }
    }
}

fn scan_levels(text: &mut Scanner<'_>, stream: &Stream, side: Side, levels: &mut Vec<Level>) -> Option<()> {
    text.byte(b'[')?;
    if text.byte(b']').is_some() {
        return Some(());
    }
    loop {
        text.byte(b'[')?;
        let price = text.decimal(&stream.price)?;
        text.byte(b',')?;
        let size = text.decimal(&stream.size)?;
        text.byte(b']')?;
        if size < 0 {
            return None;
        }
        levels.push(Level { side, price, size });
        if text.byte(b',').is_none() {
            return text.byte(b']');
        }
    }
}
