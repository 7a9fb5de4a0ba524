//! Checksums of a book, as the venues define them; see [`ChecksumText`]. Made from the integers of the book: the text that
//! a venue hashes follows from them exactly, given the rule and, for Kraken, the decimals that its text shows.

use crc32fast::Hasher;

use super::json::Decimal;
use super::protocol::{ChecksumRule, ChecksumText};
use crate::book::PriceBook;
use crate::units::{POW10, Price, Side, Size, Unit};

/// What one symbol's checksums need to know.
#[derive(Clone, Debug)]
pub(super) struct Checksum {
    rule: ChecksumRule,
    price: Digits,
    size: Digits,
    text: Vec<u8>,
    asks: Vec<(Price, Size)>,
    bids: Vec<(Price, Size)>,
}

/// How integers of one unit become digits.
#[derive(Clone, Copy, Debug)]
struct Digits {
    mantissa: u64,
    /// Decimals of the unit; below 0 where it is a multiple of ten.
    decimals: i32,
    /// Decimals of the venue's text: Kraken's digits end there.
    shown: i32,
}

impl Digits {
    fn new(unit: Unit) -> Self {
        let decimals = -i32::from(unit.exponent());
        Self { mantissa: unit.mantissa().unsigned_abs(), decimals, shown: decimals }
    }

    /// Sees the exponent of one of the venue's texts.
    fn see(&mut self, exponent: i8) {
        self.shown = -i32::from(exponent);
    }

    /// The number as a count of `10^-decimals`.
    fn count(&self, count: i64) -> u64 {
        count.unsigned_abs().wrapping_mul(self.mantissa)
    }
}

impl Checksum {
    pub(super) fn new(rule: ChecksumRule, price: Unit, size: Unit) -> Self {
        let levels = rule.levels;
        Self {
            rule,
            price: Digits::new(price),
            size: Digits::new(size),
            text: Vec::with_capacity(levels * 64),
            asks: vec![(Price(0), Size(0)); levels],
            bids: vec![(Price(0), Size(0)); levels],
        }
    }

    /// Sees the exponents of a price and a size as the venue wrote them. Bitget writes a size of nothing without decimals.
    #[inline]
    pub(super) fn see(&mut self, price: &Decimal, size: &Decimal) {
        self.price.see(price.exponent);
        if !size.is_zero() {
            self.size.see(size.exponent);
        }
    }

    /// The checksum of a book.
    pub(super) fn of(&mut self, book: &PriceBook) -> u32 {
        let (asks, bids) = (book.top(Side::Ask, &mut self.asks), book.top(Side::Bid, &mut self.bids));
        self.text.clear();
        let (price, size, text) = (self.price, self.size, &mut self.text);
        let (asks, bids) = (self.asks.get(..asks).unwrap_or_default(), self.bids.get(..bids).unwrap_or_default());
        match self.rule.text {
            ChecksumText::Kraken => {
                for &(at, of) in asks.iter().chain(bids) {
                    whole(price, at.0, text);
                    whole(size, of.0, text);
                }
            }
            ChecksumText::Interleaved | ChecksumText::Padded | ChecksumText::JavaScript => {
                let number = if self.rule.text == ChecksumText::Padded { padded } else { plain };
                let exponential = self.rule.text == ChecksumText::JavaScript;
                for i in 0..asks.len().max(bids.len()) {
                    for (levels, sign) in [(bids, false), (asks, exponential)] {
                        let Some(&(at, of)) = levels.get(i) else { continue };
                        if !text.is_empty() {
                            text.push(b':');
                        }
                        number(price, at.0, exponential, text);
                        text.push(b':');
                        if sign {
                            text.push(b'-');
                        }
                        number(size, of.0, exponential, text);
                    }
                }
            }
        }
        let mut hasher = Hasher::new();
        hasher.update(text);
        hasher.finalize()
    }
}

/// Digits of a count, without leading zeros.
#[inline]
fn digits(mut count: u64, text: &mut Vec<u8>) {
    let mut buffer = [0_u8; 20];
    let mut at = buffer.len();
    loop {
        at -= 1;
        if let Some(place) = buffer.get_mut(at) {
            *place = b'0' + u8::try_from(count % 10).unwrap_or(0);
        }
        count /= 10;
        if count == 0 {
            break;
        }
    }
    text.extend_from_slice(buffer.get(at..).unwrap_or_default());
}

/// The number as a whole number of the last decimal that the venue shows.
#[inline]
fn whole(form: Digits, count: i64, text: &mut Vec<u8>) {
    let count = form.count(count);
    let shift = form.shown - form.decimals;
    let power =
        usize::try_from(shift.unsigned_abs()).ok().and_then(|shift| POW10.get(shift)).map_or(1, |p| p.unsigned_abs());
    digits(if shift < 0 { count / power } else { count.wrapping_mul(power) }, text);
}

/// The number with as many decimals as the venue shows.
#[inline]
fn padded(form: Digits, count: i64, _: bool, text: &mut Vec<u8>) {
    let start = text.len();
    whole(form, count, text);
    let places = usize::try_from(form.shown).unwrap_or(0);
    let length = text.len() - start;
    if places >= length {
        text.splice(start..start, std::iter::repeat_n(b'0', places + 1 - length));
    }
    if places > 0 {
        text.insert(text.len() - places, b'.');
    }
}

/// The number in its shortest plain form; `exponential`: as JavaScript prints it, with an exponent below 1e-6.
#[inline]
fn plain(form: Digits, count: i64, exponential: bool, text: &mut Vec<u8>) {
    let mut count = form.count(count);
    let mut decimals = form.decimals;
    if count == 0 {
        text.push(b'0');
        return;
    }
    if count < 1 << 32 {
        // Most counts: 32-bit division is cheaper.
        let mut small = u32::try_from(count).unwrap_or(u32::MAX);
        while decimals > 0 && small % 10 == 0 {
            small /= 10;
            decimals -= 1;
        }
        count = u64::from(small);
    }
    while decimals > 0 && count.is_multiple_of(10) {
        count /= 10;
        decimals -= 1;
    }
    let start = text.len();
    digits(count, text);
    if decimals <= 0 {
        text.extend(std::iter::repeat_n(b'0', usize::try_from(-decimals).unwrap_or(0)));
        return;
    }
    let places = usize::try_from(decimals).unwrap_or(0);
    let length = text.len() - start;
    // The place of the first digit: 1e-7 has it at the seventh decimal.
    if exponential && places >= length + 6 {
        let power = places - length + 1;
        if length > 1 {
            text.insert(start + 1, b'.');
        }
        text.extend_from_slice(b"e-");
        digits(power as u64, text);
    } else if places >= length {
        let zeros = places - length;
        text.splice(start..start, b"0.".iter().copied().chain(std::iter::repeat_n(b'0', zeros)));
    } else {
        text.insert(start + length - places, b'.');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(unit: Unit, count: i64, exponential: bool) -> String {
        let mut text = Vec::new();
        plain(Digits::new(unit), count, exponential, &mut text);
        String::from_utf8(text).expect("digits")
    }

    #[test]
    fn numbers_print_as_their_venues_print_them() {
        let unit = Unit::decimals(8);
        for (count, plainly, script) in [
            (70, "0.0000007", "7e-7"),
            (66, "0.00000066", "6.6e-7"),
            (100, "0.000001", "0.000001"),
            (121, "0.00000121", "0.00000121"),
            (3_023_360_000_000, "30233.6", "30233.6"),
            (20_000_000_000, "200", "200"),
            (0, "0", "0"),
        ] {
            assert_eq!((shown(unit, count, false).as_str(), shown(unit, count, true).as_str()), (plainly, script));
        }
        let mut text = Vec::new();
        let form = Digits { shown: 3, ..Digits::new(Unit::decimals(2)) };
        for count in [640, 5, 0] {
            padded(form, count, false, &mut text);
            text.push(b' ');
        }
        padded(Digits::new(Unit::ONE), 200, false, &mut text);
        assert_eq!(text, b"6.400 0.050 0.000 200", "as many decimals as the venue shows");
        assert_eq!(shown(Unit::new(5, -1).expect("a unit"), 61, false), "30.5");
        assert_eq!(shown(Unit::new(1, 2).expect("a unit"), 12, false), "1200");
    }
}
