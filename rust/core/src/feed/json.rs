//! A strict reader of JSON text that hands out its pieces one by one, without a tree and without allocation.
//!
//! It accepts what `serde_json` accepts and nothing else (a property test holds the two together), with one exception that
//! it reports as such: strings with escapes, which [`plain`] rewrites. Numbers keep their text: `0.00005100` and
//! `0.000051` are one value and two texts, and some venues' checksums depend on which.

use crate::units::{Nanos, POW10, Side, UnitError, decimal_parts};

/// Nesting deeper than this is no message of any venue.
const MAX_DEPTH: usize = 64;

/// Why a text was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte offset in the frame.
    pub at: usize,
    pub kind: FaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// What should have stood there.
    Expected(&'static str),
    /// A field that the message must have.
    Missing(&'static str),
    /// A field that comes twice.
    Twice(&'static str),
    /// A string with a backslash: see [`plain`].
    Escape,
    /// A time that does not fit.
    Time,
}

pub(crate) type Read<T> = Result<T, Fault>;

/// A piece of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    pub at: u32,
    pub len: u32,
}

impl Text {
    pub fn of(self, frame: &[u8]) -> &[u8] {
        frame.get(self.at as usize..(self.at + self.len) as usize).unwrap_or_default()
    }
}

/// A decimal as it stands in a text: `±digits × 10^exponent`, zeros at its end not stripped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub digits: u64,
    /// Where it stands.
    pub at: u32,
    pub exponent: i8,
    pub negative: bool,
}

impl Decimal {
    pub const ZERO: Self = Self { digits: 0, at: 0, exponent: 0, negative: false };

    pub const fn is_zero(&self) -> bool {
        self.digits == 0
    }

    /// Seconds since the epoch, with a fraction, as ns; whatever is finer than a ns is cut off.
    pub fn seconds(self) -> Read<Nanos> {
        self.epoch(9)
    }

    /// Milliseconds since the epoch, with a fraction, as ns; whatever is finer than a ns is cut off.
    pub fn millis(self) -> Read<Nanos> {
        self.epoch(6)
    }

    fn epoch(self, power: i32) -> Read<Nanos> {
        let shift = power + i32::from(self.exponent);
        let step = usize::try_from(shift.unsigned_abs()).ok().and_then(|shift| POW10.get(shift));
        let nanos = i64::try_from(self.digits)
            .ok()
            .zip(step)
            .and_then(|(digits, step)| if shift < 0 { Some(digits / step) } else { digits.checked_mul(*step) });
        match nanos {
            Some(nanos) if !self.negative => Ok(Nanos(nanos)),
            _ => Err(Fault { at: self.at as usize, kind: FaultKind::Time }),
        }
    }
}

/// A position in a text.
#[derive(Clone, Debug)]
pub(crate) struct Json<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Objects and arrays round this position. Whoever reads them nests with them, on a stack that has an end.
    depth: usize,
}

#[allow(clippy::cast_possible_truncation)] // a frame is below 4 GiB, see `Session::MAX_FRAME`
const fn short(at: usize) -> u32 {
    at as u32
}

impl<'a> Json<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    /// Where it stands, in bytes.
    pub const fn at(&self) -> usize {
        self.at
    }

    pub const fn fault(&self, expected: &'static str) -> Fault {
        Fault { at: self.at, kind: FaultKind::Expected(expected) }
    }

    #[inline]
    fn byte(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// The first byte of the next value; 0 at the end.
    #[inline]
    pub fn peek(&mut self) -> u8 {
        while matches!(self.byte(), b' ' | b'\n' | b'\t' | b'\r') {
            self.at += 1;
        }
        self.byte()
    }

    #[inline]
    fn take(&mut self, byte: u8, expected: &'static str) -> Read<()> {
        if self.peek() == byte {
            self.at += 1;
            Ok(())
        } else {
            Err(self.fault(expected))
        }
    }

    #[inline]
    fn quote(&mut self, expected: &'static str) -> Read<()> {
        if self.byte() == b'"' {
            self.at += 1;
            Ok(())
        } else {
            Err(self.fault(expected))
        }
    }

    /// Nothing may follow but white space.
    pub fn end(&mut self) -> Read<()> {
        self.peek();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.fault("the end of the message")) }
    }

    #[inline]
    fn deeper(&mut self) -> Read<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(self.fault("a message that is less deep")) } else { Ok(()) }
    }

    /// An object: `each` gets every key and must take its value.
    #[inline]
    pub fn object(&mut self, mut each: impl FnMut(&mut Self, &'a [u8]) -> Read<()>) -> Read<()> {
        self.take(b'{', "an object")?;
        self.deeper()?;
        if self.peek() == b'}' {
            self.at += 1;
            self.depth -= 1;
            return Ok(());
        }
        loop {
            let key = self.text()?;
            self.take(b':', "a colon")?;
            each(self, key)?;
            match self.peek() {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    self.depth -= 1;
                    return Ok(());
                }
                _ => return Err(self.fault("a comma or the end of the object")),
            }
        }
    }

    /// An array: `each` is called before every element and must take it.
    #[inline]
    pub fn array(&mut self, mut each: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        self.take(b'[', "an array")?;
        self.deeper()?;
        if self.peek() == b']' {
            self.at += 1;
            self.depth -= 1;
            return Ok(());
        }
        loop {
            each(self)?;
            match self.peek() {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    self.depth -= 1;
                    return Ok(());
                }
                _ => return Err(self.fault("a comma or the end of the array")),
            }
        }
    }

    /// The beginning of an array whose elements are taken one by one, with [`Self::comma`] between them.
    #[inline]
    pub fn open(&mut self) -> Read<()> {
        self.take(b'[', "an array")
    }

    /// The comma between two elements.
    #[inline]
    pub fn comma(&mut self) -> Read<()> {
        self.take(b',', "a comma and another element")
    }

    /// The end of an array that was opened by [`Self::open`]; elements that are left are passed over.
    #[inline]
    pub fn close(&mut self) -> Read<()> {
        loop {
            match self.peek() {
                b']' => {
                    self.at += 1;
                    return Ok(());
                }
                b',' => {
                    self.at += 1;
                    self.skip()?;
                }
                _ => return Err(self.fault("a comma or the end of the array")),
            }
        }
    }

    /// A string without its quotes.
    #[inline]
    pub fn text(&mut self) -> Read<&'a [u8]> {
        self.take(b'"', "a string")?;
        let start = self.at;
        let mut wide = false;
        loop {
            match self.byte() {
                b'"' => break,
                b'\\' => return Err(Fault { at: self.at, kind: FaultKind::Escape }),
                0..=0x1f => return Err(self.fault("the rest of a string")),
                byte => {
                    wide |= byte >= 0x80;
                    self.at += 1;
                }
            }
        }
        let text = self.bytes.get(start..self.at).unwrap_or_default();
        self.at += 1;
        if wide && std::str::from_utf8(text).is_err() {
            return Err(Fault { at: start, kind: FaultKind::Expected("UTF-8") });
        }
        Ok(text)
    }

    /// A string as the place where it stands.
    #[inline]
    pub fn name(&mut self) -> Read<Text> {
        let text = self.text()?;
        Ok(Text { at: short(self.at - 1 - text.len()), len: short(text.len()) })
    }

    /// The place of a piece of this text: what [`Self::text`] gave, or a part of it.
    pub fn place(&self, piece: &[u8]) -> Text {
        let at = (piece.as_ptr() as usize).wrapping_sub(self.bytes.as_ptr() as usize);
        if at <= self.bytes.len() { Text { at: short(at), len: short(piece.len()) } } else { Text::default() }
    }

    /// `true` or `false`.
    #[inline]
    pub fn boolean(&mut self) -> Read<bool> {
        self.peek();
        for (text, value) in [(&b"true"[..], true), (b"false", false)] {
            if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(text)) {
                self.at += text.len();
                return Ok(value);
            }
        }
        Err(self.fault("true or false"))
    }

    /// Takes `null` if it stands there.
    #[inline]
    pub fn null(&mut self) -> bool {
        let null = self.peek() == b'n' && self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(b"null"));
        if null {
            self.at += 4;
        }
        null
    }

    /// A whole number from 0, in quotes or bare.
    #[inline]
    pub fn unsigned(&mut self) -> Read<u64> {
        let quoted = self.peek() == b'"';
        self.at += usize::from(quoted);
        let start = self.at;
        let mut value: u64 = 0;
        while let digit @ b'0'..=b'9' = self.byte() {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.bytes.get(start..self.at).unwrap_or_default();
        let fits = match digits {
            [] => false,
            [b'0', _, ..] if !quoted => false,
            _ if digits.len() < 20 => true,
            _ => std::str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u64>().is_ok()),
        };
        if !fits || (!quoted && matches!(self.byte(), b'.' | b'e' | b'E')) {
            self.at = start;
            return Err(self.fault("a whole number of 0 or more"));
        }
        if quoted {
            self.quote("the end of a whole number")?;
        }
        Ok(value)
    }

    /// A whole number, in quotes or bare.
    #[inline]
    pub fn signed(&mut self) -> Read<i64> {
        let start = self.at;
        let quoted = self.peek() == b'"';
        let negative = self.bytes.get(self.at + usize::from(quoted)) == Some(&b'-');
        if !negative {
            let value = self.unsigned()?;
            return i64::try_from(value).map_err(|_| Fault { at: start, kind: FaultKind::Expected("a whole number") });
        }
        let text = if quoted { self.text()? } else { self.number()? };
        std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(Fault { at: start, kind: FaultKind::Expected("a whole number") })
    }

    /// Milliseconds since the epoch, in quotes or bare.
    #[inline]
    pub fn millis(&mut self) -> Read<Nanos> {
        self.epoch(1_000_000)
    }

    /// Microseconds since the epoch, in quotes or bare.
    #[inline]
    pub fn micros(&mut self) -> Read<Nanos> {
        self.epoch(1_000)
    }

    /// Nanoseconds since the epoch, in quotes or bare.
    #[inline]
    pub fn nanos(&mut self) -> Read<Nanos> {
        self.epoch(1)
    }

    #[inline]
    fn epoch(&mut self, scale: i64) -> Read<Nanos> {
        let at = self.at;
        let value = self.unsigned()?;
        i64::try_from(value)
            .ok()
            .and_then(|value| value.checked_mul(scale))
            .map(Nanos)
            .ok_or(Fault { at, kind: FaultKind::Time })
    }

    /// A UTC time such as `2026-08-24T22:34:13.813365299Z`, with any number of decimals.
    pub fn iso(&mut self) -> Read<Nanos> {
        let at = self.at;
        let text = self.text()?;
        iso_nanos(text).ok_or(Fault { at, kind: FaultKind::Expected("a time such as 2026-08-24T22:34:13.813Z") })
    }

    /// A decimal, in quotes or bare.
    #[inline]
    pub fn decimal(&mut self) -> Read<Decimal> {
        let quoted = self.peek() == b'"';
        self.at += usize::from(quoted);
        let start = self.at;
        let negative = self.byte() == b'-';
        self.at += usize::from(negative);
        let whole = self.at;
        let mut digits: u64 = 0;
        while let digit @ b'0'..=b'9' = self.byte() {
            digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let mut count = self.at - whole;
        let leading = !quoted && count > 1 && self.bytes.get(whole) == Some(&b'0');
        let mut places = 0;
        if count > 0 && self.byte() == b'.' {
            self.at += 1;
            let fraction = self.at;
            while let digit @ b'0'..=b'9' = self.byte() {
                digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
                self.at += 1;
            }
            places = self.at - fraction;
            count = if places == 0 { 0 } else { count + places };
        }
        if count == 0 || leading {
            return Err(Fault { at: start, kind: FaultKind::Expected("a decimal number") });
        }
        let mut found = Decimal { digits, at: short(start), exponent: 0, negative };
        if count > 19 || matches!(self.byte(), b'e' | b'E') {
            self.wide_decimal(start, &mut found)?;
        } else {
            // At most 18: the whole part has a digit of its own.
            found.exponent = -i8::try_from(places).unwrap_or(i8::MAX);
        }
        if quoted {
            self.quote("the end of a decimal number")?;
        }
        Ok(found)
    }

    /// A decimal with an exponent, or with more digits than 64 bits surely hold.
    #[cold]
    fn wide_decimal(&mut self, start: usize, found: &mut Decimal) -> Read<()> {
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), b'+' | b'-'));
            let power = self.at;
            while self.byte().is_ascii_digit() {
                self.at += 1;
            }
            if self.at == power {
                return Err(self.fault("an exponent"));
            }
        }
        let text = self.bytes.get(start..self.at).unwrap_or_default();
        let expected = |what| Fault { at: start, kind: FaultKind::Expected(what) };
        let (_, digits, exponent) = decimal_parts(text).map_err(|error| match error {
            UnitError::Overflow(_) => expected("a decimal number below 2^64"),
            _ => expected("a decimal number"),
        })?;
        found.digits = digits;
        found.exponent = match i8::try_from(exponent) {
            Ok(exponent) => exponent,
            Err(_) if digits == 0 => 0,
            Err(_) => return Err(expected("a decimal number with a smaller exponent")),
        };
        Ok(())
    }

    /// A decimal, or nothing where the text is empty or null.
    #[inline]
    pub fn optional_decimal(&mut self) -> Read<Option<Decimal>> {
        if self.null() {
            return Ok(None);
        }
        if self.peek() == b'"' && self.bytes.get(self.at + 1) == Some(&b'"') {
            self.at += 2;
            return Ok(None);
        }
        self.decimal().map(Some)
    }

    /// The first two elements of an array such as `["78722.3","0.38","0","10"]`: price and size of a level.
    #[inline]
    pub fn pair(&mut self) -> Read<(Decimal, Decimal)> {
        self.open()?;
        let price = self.decimal()?;
        self.comma()?;
        let size = self.decimal()?;
        self.close()?;
        Ok((price, size))
    }

    /// The first of an array of pairs; nothing at size 0 where it is empty.
    pub fn first_pair(&mut self) -> Read<(Decimal, Decimal)> {
        let mut first = None;
        self.array(|json| {
            let pair = json.pair()?;
            first.get_or_insert(pair);
            Ok(())
        })?;
        Ok(first.unwrap_or((Decimal::ZERO, Decimal::ZERO)))
    }

    /// A side, by the venue's words for it.
    #[inline]
    pub fn side(&mut self, bid: &[u8], ask: &[u8], expected: &'static str) -> Read<Side> {
        match self.text()? {
            word if word == bid => Ok(Side::Bid),
            word if word == ask => Ok(Side::Ask),
            _ => Err(self.fault(expected)),
        }
    }

    /// The text of a number.
    fn number(&mut self) -> Read<&'a [u8]> {
        let start = self.at;
        let digits = |json: &mut Self| {
            let from = json.at;
            while json.byte().is_ascii_digit() {
                json.at += 1;
            }
            json.at - from
        };
        self.at += usize::from(self.byte() == b'-');
        let whole = self.at;
        let count = digits(self);
        let mut valid = count > 0 && (count == 1 || self.bytes.get(whole) != Some(&b'0'));
        if self.byte() == b'.' {
            self.at += 1;
            valid &= digits(self) > 0;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), b'+' | b'-'));
            valid &= digits(self) > 0;
        }
        if valid {
            Ok(self.bytes.get(start..self.at).unwrap_or_default())
        } else {
            Err(Fault { at: start, kind: FaultKind::Expected("a value") })
        }
    }

    /// Passes over one value of any kind and checks that it is JSON.
    pub fn skip(&mut self) -> Read<()> {
        match self.peek() {
            b'"' => self.text().map(|_| ()),
            b'{' => self.object(|json, _| json.skip()),
            b'[' => self.array(Self::skip),
            b't' | b'f' => self.boolean().map(|_| ()),
            b'n' if self.null() => Ok(()),
            _ => self.number().map(|_| ()),
        }
    }

    /// Puts a value into its slot; a field that comes twice is refused.
    #[inline]
    pub fn once<T>(&self, slot: &mut Option<T>, value: T, field: &'static str) -> Read<()> {
        if slot.is_some() {
            return Err(Fault { at: self.at, kind: FaultKind::Twice(field) });
        }
        *slot = Some(value);
        Ok(())
    }

    /// Reads a value into its slot; a field that comes twice is refused.
    #[inline]
    pub fn field<T>(
        &mut self,
        slot: &mut Option<T>,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Read<T>,
    ) -> Read<()> {
        let value = read(self)?;
        self.once(slot, value, field)
    }

    /// The value of a field that the message must have.
    #[inline]
    pub fn need<T>(&self, slot: Option<T>, field: &'static str) -> Read<T> {
        slot.ok_or(Fault { at: self.at, kind: FaultKind::Missing(field) })
    }
}

/// `2026-08-24T22:34:13.813365299Z` as ns since the epoch; whatever is finer than a ns is cut off.
pub(crate) fn iso_nanos(text: &[u8]) -> Option<Nanos> {
    let digits = |from: usize, to: usize| -> Option<i64> {
        text.get(from..to)?
            .iter()
            .try_fold(0_i64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|&(at, mark)| text.get(at) != Some(&mark)) {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?.strip_suffix(b"Z")?;
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let mut place = 100_000_000;
        if fraction.is_empty() {
            return None;
        }
        for byte in fraction {
            if !byte.is_ascii_digit() {
                return None;
            }
            nanos += i64::from(byte - b'0') * place;
            place /= 10;
        }
    } else if !rest.is_empty() {
        return None;
    }
    // Days since the epoch in the proleptic Gregorian calendar, with the year beginning in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos).map(Nanos)
}

/// The same message with the escapes of its strings replaced by what they stand for, where that is printable ASCII other
/// than a quote or a backslash; others become `?`. For the rare frame that has escapes at all.
#[cold]
pub(crate) fn plain(frame: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(frame.len());
    let mut rest = frame.iter();
    let mut inside = false;
    while let Some(&byte) = rest.next() {
        if !inside || byte != b'\\' {
            inside ^= byte == b'"';
            out.push(byte);
            continue;
        }
        let code = match rest.next()? {
            b'/' => u32::from(b'/'),
            b'u' => {
                let mut code = 0;
                for _ in 0..4 {
                    code = code * 16 + char::from(*rest.next()?).to_digit(16)?;
                }
                code
            }
            b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => 0,
            _ => return None,
        };
        out.push(match u8::try_from(code) {
            Ok(code @ 0x20..=0x7e) if code != b'"' && code != b'\\' => code,
            _ => b'?',
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reads(text: &[u8]) -> Read<()> {
        let mut json = Json::new(text);
        json.skip()?;
        json.end()
    }

    #[test]
    fn decimals_keep_their_text() {
        let read = |text: &str| Json::new(text.as_bytes()).decimal().map(|d| (d.negative, d.digits, d.exponent));
        assert_eq!(read("\"0.00005100\""), Ok((false, 5100, -8)));
        assert_eq!(read("0.00005100"), Ok((false, 5100, -8)));
        assert_eq!(read("-7e-7"), Ok((true, 7, -7)));
        assert_eq!(read("1.5E3"), Ok((false, 15, 2)));
        assert_eq!(read("\"00012\""), Ok((false, 12, 0)));
        assert_eq!(read(&format!("0.{}5", "0".repeat(30))), Ok((false, 5, -31)));
        assert_eq!(read(&format!("1.{}", "0".repeat(30))), Ok((false, 1, 0)));
        for text in ["012", "\"\"", ".5", "5.", "1e", "--1", "\"1", "1e999999999999", &"9".repeat(30), "\"1 \""] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn whole_numbers_fit_their_type_or_are_refused() {
        assert_eq!(Json::new(b"18446744073709551615").unsigned(), Ok(u64::MAX));
        assert!(Json::new(b"18446744073709551616").unsigned().is_err());
        assert!(Json::new(b"1.5").unsigned().is_err());
        assert!(Json::new(b"01").unsigned().is_err());
        assert_eq!(Json::new(b"\"-1\"").signed(), Ok(-1));
        assert_eq!(Json::new(b"-9223372036854775808").signed(), Ok(i64::MIN));
    }

    #[test]
    fn times_are_read_to_the_nanosecond() {
        assert_eq!(iso_nanos(b"1970-01-01T00:00:00Z"), Some(Nanos(0)));
        assert_eq!(iso_nanos(b"2026-08-24T22:34:13.813365299Z"), Some(Nanos(1_787_610_853_813_365_299)));
        assert_eq!(iso_nanos(b"2000-02-29T12:00:00.5Z"), Some(Nanos(951_825_600_500_000_000)));
        for text in ["2026-13-01T00:00:00Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z"] {
            assert_eq!(iso_nanos(text.as_bytes()), None, "{text}");
        }
        let seconds = |text: &str| Json::new(text.as_bytes()).decimal().and_then(Decimal::seconds);
        assert_eq!(seconds("\"1618678133.384500\""), Ok(Nanos(1_618_678_133_384_500_000)));
        assert!(seconds("99999999999").is_err() && seconds("-1").is_err());
    }

    #[test]
    fn escapes_are_rewritten_to_what_they_stand_for() {
        let found = plain(br#"{"a\/b":"XBT\/\u0055SD \n \"x\""}"#).expect("whole escapes");
        assert_eq!(found, br#"{"a/b":"XBT/USD ? ?x?"}"#);
        assert_eq!(plain(br#"{"a":"\u00"#), None);
    }

    #[test]
    fn nesting_has_a_limit() {
        assert!(reads("[".repeat(100_000).as_bytes()).is_err());
        assert!(reads(format!("{}{}", "[".repeat(60), "]".repeat(60)).as_bytes()).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_accepts_what_serde_json_accepts(text in r#"[\[\]{}:,"0-9eE.+\-a-ctrufalsn \\é]{0,24}"#) {
            let serde = serde_json::from_str::<serde_json::Value>(&text);
            let ours = reads(text.as_bytes());
            // Numbers that no float holds are fine here: only their text is read.
            let wide = serde.as_ref().is_err_and(|error| error.to_string().contains("number out of range"));
            if !wide && !matches!(ours, Err(Fault { kind: FaultKind::Escape, .. })) {
                prop_assert_eq!(ours.is_ok(), serde.is_ok(), "{:?} {:?}", ours, serde);
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = reads(&bytes);
            let _ = plain(&bytes);
            for read in [Json::new(&bytes).decimal().is_ok(), Json::new(&bytes).unsigned().is_ok()] {
                let _ = read;
            }
            let _ = (Json::new(&bytes).signed(), Json::new(&bytes).iso(), Json::new(&bytes).optional_decimal());
        }
    }
}
