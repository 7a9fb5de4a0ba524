//! Commands and rules as bytes, for the journal, snapshots and anything else that sends them.
//!
//! Everything is little-endian and in the order of the fields here. A command takes [`Command::BYTES`] bytes whatever it
//! says, so that the n-th of a block is found without reading those before it, and is cheaper to read than a shorter
//! varying form. Every value has exactly one encoding, and every field is written even if the action ignores it.
//!
//! | command, at | type | field |
//! |---|---|---|
//! | 0 | i64 | `ts` |
//! | 8 | u64 | `order_id` |
//! | 16 | i64 | `price` |
//! | 24 | i64 | `size` |
//! | 32 | i64 | `trigger` |
//! | 40 | i64 | `display` |
//! | 48 | i64 | `expires` |
//! | 56 | u64 | `link` |
//! | 64 | u32 | `account` |
//! | 68 | 8 × u8 | `action`, `side`, `order_type`, `time_in_force`, `self_trade`, `post_only`, `state`, `one_side` |

use thiserror::Error;

use super::{Account, Action, Command, OrderType, PostOnly, Priority, Rules, SelfTrade, State, Tier, TimeInForce};
use crate::units::{Nanos, Price, Side, Size};

/// Why bytes are not what they should be. Offsets count from the beginning of what was given to read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end inside a field.
    #[error("byte {offset}: expected {expected} bytes of {field}, found {found} and the end")]
    Short {
        /// Which.
        field: &'static str,
        /// Where it begins.
        offset: u64,
        /// So many bytes should follow.
        expected: u64,
        /// So many are there.
        found: u64,
    },
    /// A code that nothing has.
    #[error("byte {offset}: expected a code of {field} below {below}, got {got}")]
    Code {
        /// Of which field.
        field: &'static str,
        /// Where it stands.
        offset: u64,
        /// The first code that nothing has.
        below: u8,
        /// What stands there.
        got: u8,
    },
    /// Bytes behind the end.
    #[error("byte {offset}: expected the end, found {found} more bytes")]
    Long {
        /// Where the end should be.
        offset: u64,
        /// So many follow.
        found: u64,
    },
}

impl CodecError {
    /// The same as seen from so many bytes before.
    pub(super) fn behind(mut self, by: u64) -> Self {
        let (Self::Short { offset, .. } | Self::Code { offset, .. } | Self::Long { offset, .. }) = &mut self;
        *offset = offset.saturating_add(by);
        self
    }
}

/// Bytes being read, and where.
#[derive(Clone, Debug)]
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) const fn offset(&self) -> u64 {
        self.at as u64
    }

    pub(super) const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], CodecError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(array) = rest.first_chunk::<N>() else {
            let (expected, found) = (N as u64, rest.len() as u64);
            return Err(CodecError::Short { field, offset: self.offset(), expected, found });
        };
        self.at += N;
        Ok(*array)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, CodecError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, CodecError> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, CodecError> {
        self.array(field).map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self, field: &'static str) -> Result<i64, CodecError> {
        self.array(field).map(i64::from_le_bytes)
    }

    /// A byte that stands for one of `below` things.
    pub(super) fn code<T>(
        &mut self,
        field: &'static str,
        below: usize,
        from: impl FnOnce(u8) -> Option<T>,
    ) -> Result<T, CodecError> {
        let (offset, got) = (self.offset(), self.u8(field)?);
        let below = u8::try_from(below).unwrap_or(u8::MAX);
        from(got).ok_or(CodecError::Code { field, offset, below, got })
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool, CodecError> {
        self.code(field, 2, |code| match code {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        })
    }

    pub(super) fn side(&mut self, field: &'static str) -> Result<Side, CodecError> {
        self.flag(field).map(|ask| if ask { Side::Ask } else { Side::Bid })
    }

    pub(super) fn optional<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self, &'static str) -> Result<T, CodecError>,
    ) -> Result<Option<T>, CodecError> {
        if self.flag(field)? { read(self, field).map(Some) } else { Ok(None) }
    }

    /// A number of records of at least so many bytes each, which are there: nobody reserves memory for others.
    pub(super) fn count(&mut self, field: &'static str, record: usize) -> Result<usize, CodecError> {
        let count = self.u32(field)? as usize;
        let expected = (count as u64).saturating_mul(record as u64);
        if expected > self.left() as u64 {
            return Err(CodecError::Short { field, offset: self.offset(), expected, found: self.left() as u64 });
        }
        Ok(count)
    }

    pub(super) fn end(&self) -> Result<(), CodecError> {
        if self.left() == 0 {
            return Ok(());
        }
        Err(CodecError::Long { offset: self.offset(), found: self.left() as u64 })
    }
}

/// A length that was checked to fit: nothing here has 2^32 parts.
pub(super) fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

pub(super) fn put_optional(out: &mut Vec<u8>, value: Option<i64>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

impl Command {
    /// Length of its encoding.
    pub const BYTES: usize = 76;

    /// Its encoding: fixed, little-endian, every field.
    ///
    /// ```
    /// use crossbook::exchange::Command;
    ///
    /// let cancel = Command::cancel(7);
    /// assert_eq!(Command::from_bytes(&cancel.to_bytes()), Ok(cancel));
    /// ```
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let words = [
            self.ts.0.to_le_bytes(),
            self.order_id.to_le_bytes(),
            self.price.0.to_le_bytes(),
            self.size.0.to_le_bytes(),
            self.trigger.0.to_le_bytes(),
            self.display.0.to_le_bytes(),
            self.expires.0.to_le_bytes(),
            self.link.to_le_bytes(),
        ];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word);
        }
        bytes[64..68].copy_from_slice(&self.account.to_le_bytes());
        bytes[68..].copy_from_slice(&[
            self.action as u8,
            self.side as u8,
            self.order_type as u8,
            self.time_in_force as u8,
            self.self_trade as u8,
            self.post_only as u8,
            self.state as u8,
            u8::from(self.one_side),
        ]);
        bytes
    }

    /// The command with this encoding.
    ///
    /// # Errors
    /// [`CodecError::Code`] if a code is unknown, [`CodecError::Short`] and [`CodecError::Long`] unless there are
    /// [`Self::BYTES`] bytes. Nothing else is looked at: the exchange rejects commands that make no sense.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut input = Input::new(bytes);
        let command = Self {
            ts: Nanos(input.i64("ts")?),
            order_id: input.u64("order_id")?,
            price: Price(input.i64("price")?),
            size: Size(input.i64("size")?),
            trigger: Price(input.i64("trigger")?),
            display: Size(input.i64("display")?),
            expires: Nanos(input.i64("expires")?),
            link: input.u64("link")?,
            account: input.u32("account")?,
            action: input.code("action", Action::ALL.len(), Action::from_code)?,
            side: input.side("side")?,
            order_type: input.code("order_type", OrderType::ALL.len(), OrderType::from_code)?,
            time_in_force: input.code("time_in_force", TimeInForce::ALL.len(), TimeInForce::from_code)?,
            self_trade: input.code("self_trade", SelfTrade::ALL.len(), SelfTrade::from_code)?,
            post_only: input.code("post_only", PostOnly::ALL.len(), PostOnly::from_code)?,
            state: input.code("state", State::ALL.len(), State::from_code)?,
            one_side: input.flag("one_side")?,
        };
        input.end()?;
        Ok(command)
    }
}

impl Rules {
    /// Their encoding: little-endian, every field in its order; a byte 0 or 1 before what may be missing, a `u32` count
    /// before lists.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + 8 * self.accounts.len() + 24 * self.tiers.len());
        for number in [self.tick, self.lot, self.min_size, self.max_size] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.push(u8::from(self.max_notional.is_some()));
        if let Some(most) = self.max_notional {
            out.extend_from_slice(&most.to_le_bytes());
        }
        put_optional(&mut out, self.collar);
        put_optional(&mut out, self.band);
        out.extend_from_slice(&self.halt_for.to_le_bytes());
        put_optional(&mut out, self.reference);
        match self.priority {
            Priority::PriceTime => out.push(0),
            Priority::ProRata { top_order, top_max, min_allocation } => {
                out.extend_from_slice(&[1, u8::from(top_order)]);
                out.extend_from_slice(&top_max.to_le_bytes());
                out.extend_from_slice(&min_allocation.to_le_bytes());
            }
        }
        out.push(self.state as u8);
        put_count(&mut out, self.accounts.len());
        for account in &self.accounts {
            out.extend_from_slice(&account.id.to_le_bytes());
            out.extend_from_slice(&account.tier.to_le_bytes());
        }
        put_count(&mut out, self.tiers.len());
        for rate in self.tiers.iter().flat_map(|tier| [tier.maker, tier.taker, tier.auction]) {
            out.extend_from_slice(&rate.to_le_bytes());
        }
        out.extend_from_slice(&self.rate.to_le_bytes());
        out.extend_from_slice(&self.rate_window.to_le_bytes());
        out
    }

    /// The rules with this encoding. Whether an exchange can have them is for [`Exchange::new`](super::Exchange::new)
    /// to say.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are no encoding of rules, or more than one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut input = Input::new(bytes);
        let rules = Self::read(&mut input)?;
        input.end()?;
        Ok(rules)
    }

    pub(super) fn read(input: &mut Input<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            tick: input.i64("tick")?,
            lot: input.i64("lot")?,
            min_size: input.i64("min_size")?,
            max_size: input.i64("max_size")?,
            max_notional: input.optional("max_notional", |input, field| input.array(field).map(i128::from_le_bytes))?,
            collar: input.optional("collar", Input::i64)?,
            band: input.optional("band", Input::i64)?,
            halt_for: input.i64("halt_for")?,
            reference: input.optional("reference", Input::i64)?,
            priority: if input.flag("priority")? {
                Priority::ProRata {
                    top_order: input.flag("top_order")?,
                    top_max: input.i64("top_max")?,
                    min_allocation: input.i64("min_allocation")?,
                }
            } else {
                Priority::PriceTime
            },
            state: input.code("state", State::ALL.len(), State::from_code)?,
            accounts: (0..input.count("accounts", 8)?)
                .map(|_| Ok(Account { id: input.u32("accounts.id")?, tier: input.u32("accounts.tier")? }))
                .collect::<Result<_, CodecError>>()?,
            tiers: (0..input.count("tiers", 24)?)
                .map(|_| {
                    Ok(Tier {
                        maker: input.i64("tiers.maker")?,
                        taker: input.i64("tiers.taker")?,
                        auction: input.i64("tiers.auction")?,
                    })
                })
                .collect::<Result<_, CodecError>>()?,
            rate: input.u32("rate")?,
            rate_window: input.i64("rate_window")?,
        })
    }
}
