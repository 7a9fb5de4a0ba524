//! What the frames of a capture say of instruments that nobody described: one pass, in constant memory a symbol.

use std::collections::BTreeMap;

use super::json::{Decimal, FaultKind, plain};
use super::message::{Body, Frame, Link, MAX_NAME, Symbol};
use super::protocol::{Dialect, Protocol};
use crate::instrument::Instrument;
use crate::units::Unit;

/// The finest decimals of one field, and its most digits before the point: together they must fit 18.
#[derive(Clone, Copy, Debug, Default)]
struct Finest {
    decimals: u8,
    whole: u8,
}

impl Finest {
    fn see(&mut self, decimal: &Decimal) {
        let (mut digits, mut exponent) = (decimal.digits, i32::from(decimal.exponent));
        if digits == 0 {
            return;
        }
        while digits.is_multiple_of(10) && exponent < 0 {
            digits /= 10;
            exponent += 1;
        }
        let whole = i32::try_from(digits.ilog10()).unwrap_or(0) + 1 + exponent;
        // Finer or larger than anything that trades: the reader will refuse it, so it must not choose the unit.
        if (-12..=12).contains(&exponent) && whole <= 12 {
            self.decimals = self.decimals.max(u8::try_from(-exponent).unwrap_or(0));
            self.whole = self.whole.max(u8::try_from(whole).unwrap_or(0));
        }
    }

    fn merge(&mut self, other: Self) {
        self.decimals = self.decimals.max(other.decimals);
        self.whole = self.whole.max(other.whole);
    }

    const fn unit(self) -> Unit {
        let room = 18 - self.whole;
        Unit::decimals(if self.decimals < room { self.decimals } else { room })
    }
}

/// A symbol's prices and sizes.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    price: Finest,
    size: Finest,
    /// Not only in REST responses, which may tell of symbols that the stream never had.
    streamed: bool,
}

impl Seen {
    fn see(&mut self, price: &Decimal, size: &Decimal) {
        self.price.see(price);
        self.size.see(size);
    }
}

/// How well frames fit a protocol.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Score {
    /// Messages with market data.
    pub data: usize,
    /// Of those, the ones with an id or a checksum to prove them.
    pub proofs: usize,
    /// Frames that could not be read.
    pub faults: usize,
}

/// Looks at the frames of one connection and names the instruments in them, each with the finest decimals, after stripping
/// zeros, that its prices and sizes show: the first frames say nothing of those to come.
#[derive(Debug)]
pub struct Survey {
    protocol: &'static Protocol,
    dialect: Box<dyn Dialect>,
    frame: Frame,
    symbols: BTreeMap<String, Seen>,
    /// Of messages that do not say whose they are.
    unnamed: Seen,
    score: Score,
}

impl Survey {
    /// So many symbols of one connection are told apart.
    const MAX_SYMBOLS: usize = 1 << 16;

    /// Nothing seen yet.
    #[must_use]
    pub fn new(protocol: &'static Protocol) -> Self {
        let (symbols, unnamed) = (BTreeMap::new(), Seen::default());
        let (dialect, frame) = ((protocol.dialect)(), Frame::default());
        Self { protocol, dialect, frame, symbols, unnamed, score: Score::default() }
    }

    pub(super) const fn score(&self) -> Score {
        self.score
    }

    /// Looks at one frame. What is no market data, or cannot be read, says nothing.
    pub fn observe(&mut self, frame: &[u8]) {
        self.frame.clear();
        match self.dialect.read(frame, &mut self.frame) {
            Ok(()) => self.take(frame, None),
            Err(fault) if fault.kind == FaultKind::Escape => {
                let Some(frame) = plain(frame) else { return };
                self.frame.clear();
                if self.dialect.read(&frame, &mut self.frame).is_ok() {
                    self.take(&frame, None);
                }
            }
            Err(_) => self.score.faults += 1,
        }
    }

    /// Looks at the body of a REST snapshot of a symbol.
    pub fn observe_snapshot(&mut self, symbol: &str, body: &[u8]) {
        self.frame.clear();
        if self.dialect.read_snapshot(body, &mut self.frame).is_ok() {
            self.take(body, Some(symbol));
        }
    }

    fn take(&mut self, text: &[u8], asked: Option<&str>) {
        for message in &self.frame.messages {
            let symbol = match message.symbol {
                Symbol::At(place) => std::str::from_utf8(place.of(text)).unwrap_or_default(),
                Symbol::Known(known) => self.dialect.name(known),
                Symbol::Asked => asked.unwrap_or_default(),
                Symbol::None => continue,
            };
            // No venue has such names; a hostile one may not fill the memory with them.
            if symbol.len() > MAX_NAME {
                continue;
            }
            let seen = if symbol.is_empty() {
                &mut self.unnamed
            } else if self.symbols.contains_key(symbol) || self.symbols.len() < Self::MAX_SYMBOLS {
                self.symbols.entry(symbol.to_owned()).or_default()
            } else {
                continue;
            };
            self.score.data += 1;
            seen.streamed |= asked.is_none();
            match &message.body {
                Body::Levels { levels, link, checksum, .. } => {
                    self.score.proofs += usize::from(*link != Link::None || checksum.is_some());
                    let levels = self.frame.levels.get(levels.clone()).unwrap_or_default();
                    levels.iter().for_each(|level| seen.see(&level.price, &level.size));
                }
                Body::Orders { orders, .. } => {
                    for order in self.frame.orders.get(orders.clone()).unwrap_or_default() {
                        order.price.iter().for_each(|price| seen.price.see(price));
                        order.size.iter().for_each(|size| seen.size.see(size));
                    }
                }
                Body::Quote { bid, ask, .. } => {
                    [bid, ask].into_iter().flatten().for_each(|(price, size)| seen.see(price, size));
                }
                Body::Trade { price, size, .. } => seen.see(price, size),
                _ => self.score.data -= 1,
            }
        }
    }

    /// The symbols seen so far that had market data, with what they are called here, in alphabetical order. Those whose
    /// name says nothing of their currencies are left out.
    #[must_use]
    pub fn instruments(&self) -> Vec<Instrument> {
        let sole = self.symbols.values().filter(|seen| seen.streamed).count() == 1;
        self.symbols
            .iter()
            .filter(|(_, seen)| seen.streamed)
            .filter_map(|(symbol, seen)| {
                let mut seen = *seen;
                if sole {
                    seen.price.merge(self.unnamed.price);
                    seen.size.merge(self.unnamed.size);
                }
                let found = (self.protocol.describe)(symbol)?;
                Some(Instrument { price_unit: seen.price.unit(), size_unit: seen.size.unit(), ..found })
            })
            .collect()
    }
}
