//! Checksums of a book, as the venues define them; see [`ChecksumText`]. Made from the integers of the book: the text that
//! a venue hashes follows from them exactly, given the rule and, for Kraken, the decimals that its text shows.

use crc32fast::Hasher;

use super::json::Decimal;
use super::protocol::{ChecksumRule, ChecksumText};
use crate::book::PriceBook;
use crate::units::{POW10, Price, Side, Size, Unit};

/// What one symbol's checksums need to know. The text of every level in view is kept until the level changes: most
/// messages change one, and many nothing in view.
#[derive(Clone, Debug)]
pub(super) struct Checksum {
    rule: ChecksumRule,
    price: Digits,
    size: Digits,
    sides: [View; 2],
    /// All of it, as it is hashed.
    text: Vec<u8>,
    /// Memory of levels that left the view.
    spare: Vec<Vec<u8>>,
    last: u32,
}

/// The best levels of one side, from best to worst, each with its text.
#[derive(Clone, Debug)]
struct View {
    levels: Vec<Shown>,
    changed: bool,
}

#[derive(Clone, Debug)]
struct Shown {
    price: i64,
    text: Vec<u8>,
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
        let view = View { levels: Vec::with_capacity(rule.levels + 1), changed: true };
        let (price, size) = (Digits::new(price), Digits::new(size));
        Self { rule, price, size, sides: [view.clone(), view], text: Vec::new(), spare: Vec::new(), last: 0 }
    }

    /// Sees the exponents of a price and a size as the venue wrote them. Bitget writes a size of nothing without decimals.
    #[inline]
    pub(super) fn see(&mut self, price: &Decimal, size: &Decimal) {
        let before = (self.price.shown, self.size.shown);
        self.price.see(price.exponent);
        if !size.is_zero() {
            self.size.see(size.exponent);
        }
        // Only two of the rules show zeros at the end.
        let matters = matches!(self.rule.text, ChecksumText::Kraken | ChecksumText::Padded);
        if matters && before != (self.price.shown, self.size.shown) {
            self.forget();
        }
    }

    /// Every level changed.
    pub(super) fn forget(&mut self) {
        for view in &mut self.sides {
            self.spare.extend(view.levels.drain(..).map(|shown| shown.text));
            view.changed = true;
        }
    }

    /// A level of the book was set.
    #[inline]
    pub(super) fn set(&mut self, side: Side, price: i64, size: i64) {
        let view = &mut self.sides[side as usize];
        let better = |shown: &Shown| match side {
            Side::Bid => shown.price > price,
            Side::Ask => shown.price < price,
        };
        // Beyond the view, or where the view ends too early: it is filled from the book when it is needed.
        if view.levels.last().is_none_or(better) {
            return;
        }
        let at = view.levels.partition_point(better);
        let known = view.levels.get(at).is_some_and(|shown| shown.price == price);
        view.changed |= known || size != 0;
        match (known, size) {
            (false, 0) => {}
            (true, 0) => self.spare.push(view.levels.remove(at).text),
            (true, _) => {
                if let Some(shown) = view.levels.get_mut(at) {
                    render(self.rule.text, side, (self.price, price), (self.size, size), &mut shown.text);
                }
            }
            (false, _) => {
                // The one that falls out leaves its memory.
                let full = view.levels.len() == self.rule.levels;
                let spare = if full { view.levels.pop().map(|shown| shown.text) } else { self.spare.pop() };
                let mut text = spare.unwrap_or_default();
                render(self.rule.text, side, (self.price, price), (self.size, size), &mut text);
                view.levels.insert(at, Shown { price, text });
            }
        }
    }

    /// The checksum of the book whose changes were told.
    pub(super) fn of(&mut self, book: &PriceBook) -> u32 {
        for side in [Side::Bid, Side::Ask] {
            let view = &mut self.sides[side as usize];
            let missing = self.rule.levels - view.levels.len().min(self.rule.levels);
            if missing == 0 {
                continue;
            }
            let (levels, known) = match view.levels.last() {
                Some(last) => (book.levels_from(side, Price(last.price)), 1),
                None => (book.levels(side), 0),
            };
            for (Price(price), Size(size)) in levels.skip(known).take(missing) {
                let mut text = self.spare.pop().unwrap_or_default();
                render(self.rule.text, side, (self.price, price), (self.size, size), &mut text);
                view.levels.push(Shown { price, text });
                view.changed = true;
            }
        }
        let [bids, asks] = &mut self.sides;
        if !(std::mem::take(&mut bids.changed) | std::mem::take(&mut asks.changed)) {
            return self.last;
        }
        self.text.clear();
        if self.rule.text == ChecksumText::Kraken {
            for shown in asks.levels.iter().chain(&bids.levels) {
                self.text.extend_from_slice(&shown.text);
            }
        } else {
            for at in 0..bids.levels.len().max(asks.levels.len()) {
                for shown in [bids.levels.get(at), asks.levels.get(at)].into_iter().flatten() {
                    self.text.extend_from_slice(&shown.text);
                }
            }
            // Without the last colon.
            self.text.pop();
        }
        let mut hasher = Hasher::new();
        hasher.update(&self.text);
        self.last = hasher.finalize();
        self.last
    }
}

/// The text of one level.
#[inline]
fn render(rule: ChecksumText, side: Side, price: (Digits, i64), size: (Digits, i64), text: &mut Vec<u8>) {
    text.clear();
    let number = match rule {
        ChecksumText::Kraken => {
            whole(price.0, price.1, text);
            whole(size.0, size.1, text);
            return;
        }
        ChecksumText::Padded => padded,
        ChecksumText::Interleaved | ChecksumText::JavaScript => plain,
    };
    let exponential = rule == ChecksumText::JavaScript;
    number(price.0, price.1, exponential, text);
    text.push(b':');
    if exponential && side == Side::Ask {
        text.push(b'-');
    }
    number(size.0, size.1, exponential, text);
    text.push(b':');
}

/// The two digits of every number below a hundred.
const PAIRS: [[u8; 2]; 100] = {
    let mut table = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        #[allow(clippy::cast_possible_truncation)] // below 10
        let pair = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        table[i] = pair;
        i += 1;
    }
    table
};

/// Digits of a count, without leading zeros.
#[inline]
fn digits(mut count: u64, text: &mut Vec<u8>) {
    let mut buffer = [b'0'; 20];
    let mut at = buffer.len();
    let mut put = |at: usize, pair: u64| {
        let pair = PAIRS.get(usize::try_from(pair).unwrap_or(0)).copied().unwrap_or_default();
        if let Some(place) = buffer.get_mut(at..at + 2) {
            place.copy_from_slice(&pair);
        }
    };
    while count >= 100 {
        at -= 2;
        put(at, count % 100);
        count /= 100;
    }
    at -= 2;
    put(at, count);
    at += usize::from(count < 10);
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
    use proptest::prelude::*;

    use super::*;

    fn shown(unit: Unit, count: i64, exponential: bool) -> String {
        let mut text = Vec::new();
        plain(Digits::new(unit), count, exponential, &mut text);
        String::from_utf8(text).expect("digits")
    }

    proptest! {
        #[test]
        fn what_is_kept_of_the_text_is_what_a_new_text_would_be(
            sets in prop::collection::vec((any::<bool>(), 0..40_i64, 0..4_i64, any::<bool>()), 1..300),
            kind in 0..4_usize,
        ) {
            use ChecksumText::{Interleaved, JavaScript, Kraken, Padded};
            let rule = ChecksumRule { text: [Kraken, Interleaved, Padded, JavaScript][kind], levels: 10 };
            let unit = Unit::decimals(3);
            let (mut kept, mut book) = (Checksum::new(rule, unit, unit), PriceBook::new());
            for (bid, price, size, look) in sets {
                let side = if bid { Side::Bid } else { Side::Ask };
                book.update(side, Price(price), Size(size));
                kept.set(side, price, size);
                if look {
                    prop_assert_eq!(kept.of(&book), Checksum::new(rule, unit, unit).of(&book));
                }
            }
        }
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
