//! The fast path of Binance's messages: one pass over the bytes.

use super::{Binance, Message, Stream, aggressor, nanos};
use crate::feed::scan::Scanner;
use crate::feed::sync::{Level, Span};
use crate::units::{Nanos, Side};

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
                    fields.claim(1)?;
                    kind = text.string()?;
                }
                b"s" | b"symbol" => {
                    fields.claim(1 << 1)?;
                    at = Some(self.find(text.string()?)?);
                    named = true;
                }
                b"E" => {
                    fields.claim(1 << 2)?;
                    fields.event_time = text.integer()?;
                }
                b"T" => {
                    fields.claim(1 << 3)?;
                    fields.engine_time = text.integer()?;
                }
                b"U" => {
                    fields.claim(1 << 4)?;
                    fields.first = text.integer()?;
                }
                b"u" => {
                    fields.claim(1 << 5)?;
                    fields.last = text.integer()?;
                }
                b"lastUpdateId" => {
                    fields.claim(1 << 20)?;
                    fields.snapshot = text.integer()?;
                }
                b"pu" => {
                    fields.claim(1 << 6)?;
                    fields.previous = text.integer()?;
                }
                b"b" | b"a" | b"bids" | b"asks" => {
                    let bid = key.first() == Some(&b'b');
                    fields.claim(if bid { 1 << 7 } else { 1 << 8 })?;
                    let stream = self.streams.get(at?)?;
                    match text.peek()? {
                        b'[' => {
                            // Bids come first; the other reader knows what to do if not.
                            if bid && fields.has(1 << 8) {
                                return None;
                            }
                            let long = if key.len() > 1 { 12 } else { 0 };
                            fields.claim((if bid { 1 << 9 } else { 1 << 10 }) << long)?;
                            let side = if bid { Side::Bid } else { Side::Ask };
                            scan_levels(&mut text, stream, side, levels)?;
                        }
                        b'"' if key.len() == 1 => {
                            fields.claim(if bid { 1 << 11 } else { 1 << 12 })?;
                            let price = text.decimal(&stream.price)?;
                            if bid { fields.bid = price } else { fields.ask = price }
                        }
                        _ => text.integer().map(|_| ())?,
                    }
                }
                b"B" => {
                    fields.claim(1 << 13)?;
                    fields.bid_size = text.decimal(&self.streams.get(at?)?.size)?;
                }
                b"A" => {
                    fields.claim(1 << 14)?;
                    fields.ask_size = text.decimal(&self.streams.get(at?)?.size)?;
                }
                b"t" => {
                    fields.claim(1 << 15)?;
                    fields.id = text.integer()?;
                }
                b"p" => {
                    fields.claim(1 << 16)?;
                    fields.price = text.decimal(&self.streams.get(at?)?.price)?;
                }
                b"q" => {
                    fields.claim(1 << 17)?;
                    fields.size = text.decimal(&self.streams.get(at?)?.size)?;
                }
                b"m" => {
                    fields.claim(1 << 18)?;
                    fields.maker = text.boolean()?;
                }
                b"X" => {
                    fields.claim(1 << 19)?;
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
        const DEPTH: u32 = 1 << 4 | 1 << 5 | 1 << 9 | 1 << 10;
        const SNAPSHOT: u32 = 1 << 20 | 1 << 21 | 1 << 22;
        const QUOTE: u32 = 1 << 5 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14;
        const TRADE: u32 = 1 << 15 | 1 << 16 | 1 << 17 | 1 << 18;
        let time = if self.has(1 << 3) { self.engine_time } else { self.event_time };
        let ts_event = if self.seen & (1 << 2 | 1 << 3) == 0 { Nanos::UNKNOWN } else { nanos(time)? };
        let previous = self.has(1 << 6).then_some(self.previous);
        let kind: &[u8] = match kind {
            b"" if self.has(1) => return None,
            b"" if self.has(1 << 20) => b"snapshot",
            b"" => b"bookTicker",
            kind => kind,
        };
        match kind {
            b"depthUpdate" if named && self.has(DEPTH) => {
                Some(Message::Depth(Span { first: self.first, last: self.last, previous, ts_event }))
            }
            b"snapshot" if self.has(SNAPSHOT) && !self.has(1) => {
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
                market: self.market || !self.has(1 << 19),
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
