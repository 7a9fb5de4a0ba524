//! A byte scanner for JSON whose shape is known. It accepts only what it is sure of and gives up on everything else, so
//! that the general reader decides there; whatever it accepts is valid JSON and means the same to both.

use crate::units::{POW10, Unit};

/// How a decimal text becomes a count of one unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    unit: Unit,
    /// Decimals of a unit of the form `10^-decimals`; `None` for every other unit.
    decimals: Option<u32>,
}

impl Scale {
    pub(super) fn new(unit: Unit) -> Self {
        let plain = unit.mantissa() == 1 && unit.exponent() <= 0;
        Self { unit, decimals: plain.then(|| u32::from(unit.exponent().unsigned_abs())) }
    }

    pub(super) const fn unit(&self) -> Unit {
        self.unit
    }
}

/// A position in a frame. Every method returns `None` where the text is not of the simple form it knows.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) const fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Exactly this text.
    #[inline]
    pub(super) fn expect(&mut self, text: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(text).then(|| self.at += text.len())
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// A string of printable ASCII without escapes, without its quotes.
    #[inline]
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        self.byte(b'"')?;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return self.bytes.get(start..self.at - 1);
                }
                b'\\' | 0..=0x1f | 0x7f.. => return None,
                _ => self.at += 1,
            }
        }
    }

    /// The key of a member with its colon.
    #[inline]
    pub(super) fn key(&mut self) -> Option<&'a [u8]> {
        let key = self.string()?;
        self.byte(b':')?;
        Some(key)
    }

    /// A whole number without sign, exponent or leading zero, below 10^18.
    #[inline]
    pub(super) fn integer(&mut self) -> Option<u64> {
        let start = self.at;
        let mut value: u64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let length = self.at - start;
        let leading_zero = length > 1 && self.bytes.get(start) == Some(&b'0');
        // A fraction or exponent makes it another kind of number.
        let ends = !matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        ((1..=18).contains(&length) && !leading_zero && ends).then_some(value)
    }

    /// `true` or `false`.
    #[inline]
    pub(super) fn boolean(&mut self) -> Option<bool> {
        if self.peek()? == b't' { self.expect(b"true").map(|()| true) } else { self.expect(b"false").map(|()| false) }
    }

    /// Passes over a value that nobody needs: a simple string, whole number or boolean.
    #[inline]
    pub(super) fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b't' | b'f' => self.boolean().map(|_| ()),
            _ => self.integer().map(|_| ()),
        }
    }

    /// A decimal in quotes as a count of units, up to 18 digits and no finer than the unit.
    #[inline]
    pub(super) fn decimal(&mut self, scale: &Scale) -> Option<i64> {
        let Some(decimals) = scale.decimals else {
            return scale.unit.parse_count(self.string()?).ok();
        };
        self.byte(b'"')?;
        let rest = self.bytes.get(self.at..)?;
        let mut value: u64 = 0;
        let mut at = 0;
        while let Some(digit @ b'0'..=b'9') = rest.get(at) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            at += 1;
        }
        let mut digits = at;
        let mut missing = decimals;
        if at == 0 {
            return None;
        }
        if rest.get(at) == Some(&b'.') {
            at += 1;
            while let (1.., Some(digit @ b'0'..=b'9')) = (missing, rest.get(at)) {
                value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
                at += 1;
                digits += 1;
                missing -= 1;
            }
            while rest.get(at) == Some(&b'0') {
                at += 1;
            }
        }
        if rest.get(at) != Some(&b'"') {
            return None;
        }
        self.at += at + 1;
        // 18 digits fit; the ones that the text leaves out are zeros and count too.
        let missing = missing as usize;
        if digits + missing > 18 {
            return None;
        }
        i64::try_from(value * POW10.get(missing)?.unsigned_abs()).ok()
    }
}
