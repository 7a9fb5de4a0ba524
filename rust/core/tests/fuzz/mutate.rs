//! Bytes out of a seed: what no venue sends, and what one almost does.

use std::ops::Range;

/// SplitMix64: the same seed gives the same bytes on every machine.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    #[allow(clippy::cast_possible_truncation)] // the high word of a product with a usize
    pub const fn below(&mut self, end: usize) -> usize {
        ((self.next() as u128 * end as u128) >> 64) as usize
    }

    /// True so many times in a hundred.
    pub const fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    #[allow(clippy::cast_possible_truncation)] // the low byte
    pub const fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    /// Mostly small, now and then up to `most`.
    pub fn size(&mut self, most: usize) -> usize {
        let bits = self.below(usize::BITS as usize - most.leading_zeros() as usize + 1);
        self.below(1 << bits).min(most)
    }
}

/// A longer frame is not made of mutations.
pub const LONGEST: usize = 1 << 20;

const ALPHABET: &[u8] = b"0123456789.-+eE\",:[]{}\\/ abUntrfls_@\t\n\0\x7f\x80\xc3\xff";

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "-0",
    "0.0",
    "-0.0",
    "1e5",
    "1E+5",
    "1e-5",
    "-1e-30",
    "1e18",
    "1e127",
    "1e128",
    "1e-128",
    "1e-129",
    "0e999999999999999999999",
    "1e400",
    "1e-400",
    "1e2147483648",
    "1.",
    ".5",
    "1e",
    "00012",
    "0.1",
    "3.999999999999999999",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "1000000000000",
    "9223372036",
    "9223372036854",
    "9223372036855",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551614",
    "18446744073709551615",
    "18446744073709551616",
    "1234567890123456789012345678901234567890",
    "-1234567890123456789012345678901234567890",
    "0.1234567890123456789012345678901234567890",
    "0.0000000000000000000000000000000000000001",
    "1000000000000000000000000000000000000000.0",
    "1.0000000000000000000000000000000000000000",
];

const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "\"\"",
    "[]",
    "{}",
    "[[]]",
    "[{}]",
    "[null]",
    "{\"\":\"\"}",
    "\"\\u0000\"",
    "\"\\\"\"",
    "\"\\ud800\"",
    "\"é\"",
    "\"-\"",
    "\"0\"",
    "\"NaN\"",
    "\"9999-12-31T23:59:59.999999999Z\"",
    "\"2262-04-11T23:47:16.854775807Z\"",
    "\"2262-04-11T23:47:16.854775808Z\"",
    "\"2262-04-11T23:59:59.9999999-99:99\"",
    "\"0000-01-01T00:00:00Z\"",
    "\"1677-09-21T00:12:43Z\"",
    "\"1677-09-21T00:12:44.0000000+99:99\"",
    "\"2024-02-30T24:60:61Z\"",
    "\"2024-01-01T00:00:00.123456+00:00\"",
];

/// A value in a frame: where it stands, and whether it is the name of a member.
#[derive(Clone, Debug)]
pub struct Value {
    pub at: Range<usize>,
    pub key: bool,
    /// Elements or members below it.
    pub nested: bool,
}

/// The values of a text that is JSON, or nearly so.
pub fn values(frame: &[u8]) -> Vec<Value> {
    let (mut found, mut open, mut at): (Vec<Value>, Vec<usize>, usize) = (Vec::new(), Vec::new(), 0);
    while let Some(&byte) = frame.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'"' => {
                while let Some(&byte) = frame.get(at) {
                    at += if byte == b'\\' { 2 } else { 1 };
                    if byte == b'"' {
                        break;
                    }
                }
                at = at.min(frame.len());
                let next = frame.get(at..).unwrap_or_default().trim_ascii_start().first();
                found.push(Value { at: start..at, key: next == Some(&b':'), nested: false });
            }
            b'{' | b'[' => open.push(start),
            b'}' | b']' => {
                if let Some(start) = open.pop() {
                    found.push(Value { at: start..at, key: false, nested: true });
                }
            }
            b',' | b':' | b' ' | b'\n' | b'\t' | b'\r' => {}
            _ => {
                let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b':' | b' ' | b'"' | b'[' | b'{');
                at = frame[at..].iter().position(ends).map_or(frame.len(), |end| at + end);
                found.push(Value { at: start..at, key: false, nested: false });
            }
        }
    }
    found
}

/// Any bytes: noise, letters of JSON, or brackets without end.
pub fn noise(rng: &mut Rng) -> Vec<u8> {
    let length = rng.size(2_000);
    match rng.below(8) {
        0..3 => (0..length).map(|_| rng.byte()).collect(),
        3..6 => (0..length).map(|_| *rng.pick(ALPHABET)).collect(),
        6 => {
            let piece = *rng.pick(&["[", "{\"a\":", "[{\"\":[", "\"", "\\", "-", "1", " "]);
            piece.repeat(rng.size(100_000)).into_bytes()
        }
        _ => rng.pick(&[&b""[..], b"ping", b"pong", b"null", b"[]", b"{}", b"\"\"", b"0", b"\xef\xbb\xbf{}"]).to_vec(),
    }
}

fn splice(frame: &mut Vec<u8>, at: Range<usize>, with: &[u8]) {
    let (start, end) = (at.start.min(frame.len()), at.end.min(frame.len()));
    if start <= end && frame.len() + with.len() <= LONGEST {
        frame.splice(start..end, with.iter().copied());
    }
}

fn piece(rng: &mut Rng, length: usize, most: usize) -> Range<usize> {
    let start = rng.below(length + 1);
    start..(start + rng.size(most)).min(length)
}

/// The digits of a value, inside its quotes if it has any.
fn number(frame: &[u8], value: &Value) -> Option<Range<usize>> {
    let text = frame.get(value.at.clone())?;
    let quoted = usize::from(text.first() == Some(&b'"') && text.len() > 2);
    let inner = value.at.start + quoted..value.at.end - quoted;
    let numeric = frame.get(inner.clone())?.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'e' | b'E'));
    (numeric && !value.nested && !inner.is_empty()).then_some(inner)
}

fn edit_number(rng: &mut Rng, text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    match rng.below(8) {
        0..3 => return rng.pick(NUMBERS).as_bytes().to_vec(),
        3 => {
            let whole = std::str::from_utf8(&text).ok().and_then(|text| text.parse::<u64>().ok());
            let near: &[i64] = &[1, -1, 2, -2, 1_000, -1_000, 1 << 32];
            return match whole {
                Some(whole) => whole.wrapping_add_signed(*rng.pick(near)).to_string().into_bytes(),
                None => b"0".to_vec(),
            };
        }
        4 => text.insert(0, *rng.pick(b"-0+ .")),
        5 => text.extend_from_slice(rng.pick(&["0", ".0", "e1", "e-9", "00000000000000000000", "1"]).as_bytes()),
        6 => {
            let at = rng.below(text.len());
            text[at] = b'0' + rng.byte() % 10;
        }
        _ => {
            let at = rng.below(text.len());
            text.insert(at, *rng.pick(b"0123456789."));
        }
    }
    text
}

/// Changes a frame in one way; `other` is another one, to take pieces from.
pub fn mutate(rng: &mut Rng, frame: &mut Vec<u8>, other: &[u8]) {
    if frame.is_empty() {
        *frame = noise(rng);
        return;
    }
    let length = frame.len();
    match rng.below(32) {
        0 => {
            let at = rng.below(length);
            frame[at] ^= 1 << rng.below(8);
        }
        1 | 2 => {
            let at = rng.below(length);
            frame[at] = *rng.pick(ALPHABET);
        }
        3 => {
            frame.drain(piece(rng, length, 40));
        }
        4 => {
            let (at, inserted) =
                (rng.below(length + 1), (0..=rng.size(8)).map(|_| *rng.pick(ALPHABET)).collect::<Vec<_>>());
            splice(frame, at..at, &inserted);
        }
        5 => frame.truncate(rng.below(length)),
        6 => {
            let copied = frame[piece(rng, length, 400)].to_vec();
            let at = rng.below(length + 1);
            splice(frame, at..at, &copied);
        }
        7 => {
            let with = &other[piece(rng, other.len(), 400)];
            splice(frame, piece(rng, length, 40), with);
        }
        8 => {
            let (head, tail) = (rng.below(length), rng.below(other.len() + 1));
            frame.truncate(head);
            frame.extend_from_slice(&other[tail..]);
        }
        9 => {
            let at = rng.below(length + 1);
            splice(frame, at..at, &b"\0".repeat(1 + rng.size(20)));
        }
        10 => {
            let copies = 1 + rng.size(6);
            let whole = frame.clone();
            (0..copies).for_each(|_| splice(frame, 0..0, &whole));
        }
        _ => mutate_values(rng, frame, other),
    }
    frame.truncate(LONGEST);
}

/// Changes a frame at its joints, so that what comes out is mostly JSON still.
fn mutate_values(rng: &mut Rng, frame: &mut Vec<u8>, other: &[u8]) {
    let found = values(frame);
    if found.is_empty() {
        return;
    }
    let value = rng.pick(&found).clone();
    let text = frame[value.at.clone()].to_vec();
    match rng.below(16) {
        0..5 => {
            let numbers: Vec<Range<usize>> = found.iter().filter_map(|value| number(frame, value)).collect();
            if !numbers.is_empty() {
                let at = rng.pick(&numbers).clone();
                let edited = edit_number(rng, &frame[at.clone()]);
                splice(frame, at, &edited);
            }
        }
        5 => splice(frame, value.at, rng.pick(VALUES).as_bytes()),
        6 => {
            // Two values change places, keys with keys.
            let alike: Vec<&Value> = found.iter().filter(|one| one.key == value.key && !one.nested).collect();
            if alike.is_empty() {
                return;
            }
            let (a, b) = (*rng.pick(&alike), *rng.pick(&alike));
            let (first, second) = if a.at.start < b.at.start { (a, b) } else { (b, a) };
            let (one, two) = (frame[first.at.clone()].to_vec(), frame[second.at.clone()].to_vec());
            splice(frame, second.at.clone(), &one);
            splice(frame, first.at.clone(), &two);
        }
        7 => {
            let theirs = values(other);
            if !theirs.is_empty() {
                splice(frame, value.at, &other[rng.pick(&theirs).at.clone()]);
            }
        }
        8 => {
            let depth = 1 + rng.size(20_000);
            let (open, close) = *rng.pick(&[("[", "]"), ("{\"a\":", "}"), ("[[[", "]]]")]);
            let mut bomb = open.repeat(depth).into_bytes();
            bomb.extend_from_slice(&text);
            bomb.extend_from_slice(close.repeat(if rng.percent(80) { depth } else { 0 }).as_bytes());
            splice(frame, value.at, &bomb);
        }
        9 => {
            // One letter of a string as an escape, or an escape that is none.
            let inner = value.at.start + 1..value.at.end.saturating_sub(1);
            if text.first() == Some(&b'"') && !inner.is_empty() {
                let at = inner.start + rng.below(inner.len());
                let escape = match rng.below(6) {
                    0..3 => format!("\\u{:04x}", frame[at]),
                    3 => "\\/".to_owned(),
                    4 => "\\ud83d\\ude00".to_owned(),
                    _ => (*rng.pick(&["\\x", "\\u12", "\\", "\\uZZZZ", "\\n", "\\\""])).to_owned(),
                };
                let instead = usize::from(rng.percent(80));
                splice(frame, at..at + instead, escape.as_bytes());
            }
        }
        10 => {
            // A member, or an element, comes twice, or many times.
            let (start, mut end) = (value.at.start, value.at.end);
            if value.key {
                end = found.iter().find(|one| one.at.start > end && !one.key).map_or(end, |one| one.at.end);
            }
            let most = if rng.percent(4) { LONGEST / (end - start + 1) } else { 200 };
            let mut again = frame[start..end].to_vec();
            again.push(b',');
            splice(frame, start..start, &again.repeat(1 + rng.size(most)));
        }
        11 => {
            let at = rng.pick(&found).at.start;
            splice(frame, at..at, rng.pick(&[" ", "\n\t", "\r\n", "  ", ",", ":", "\"", "\u{feff}"]).as_bytes());
        }
        12 => {
            // A value goes, with the comma before or behind it.
            let behind = usize::from(frame.get(value.at.end) == Some(&b','));
            let before = usize::from(behind == 0 && value.at.start > 0 && frame.get(value.at.start - 1) == Some(&b','));
            splice(frame, value.at.start - before..value.at.end + behind, b"");
        }
        13 => {
            // Quotes go, or come.
            match text.as_slice() {
                [b'"', inner @ .., b'"'] => splice(frame, value.at, inner),
                _ => splice(frame, value.at, &[b"\"", &text[..], b"\""].concat()),
            }
        }
        14 => splice(frame, value.at, &text.iter().rev().copied().collect::<Vec<_>>()),
        _ => {
            let most = if rng.percent(2) { 300_000 } else { 2_000 };
            let long = rng.size(most);
            splice(frame, value.at, &[b"\"", &*b"A".repeat(long), b"\""].concat());
        }
    }
}

/// The same JSON in other bytes: white space between its parts, and, where asked, letters of its strings as escapes (of
/// those that begin with a letter: nobody escapes digits, and numbers in quotes are read without).
pub fn reworded(rng: &mut Rng, frame: &[u8], escape: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(frame.len() * 2);
    let (mut inside, mut name, mut at) = (false, false, 0);
    while let Some(&byte) = frame.get(at) {
        at += 1;
        if inside && byte == b'\\' {
            out.push(byte);
            out.extend(frame.get(at));
            at += 1;
            continue;
        }
        let mark = matches!(byte, b'{' | b'}' | b'[' | b']' | b',' | b':');
        if !inside && mark && rng.percent(30) {
            out.push(*rng.pick(b" \t\n\r"));
        }
        if byte == b'"' {
            inside = !inside;
            name = frame.get(at).is_some_and(u8::is_ascii_alphabetic);
        } else if inside && name && escape && byte.is_ascii_alphabetic() && rng.percent(5) {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            continue;
        }
        out.push(byte);
        if !inside && mark && rng.percent(30) {
            out.push(b' ');
        }
    }
    out
}
