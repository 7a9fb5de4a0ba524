//! The exchange behind the lock: in memory alone, or behind its journal.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use crossbook::exchange::{Command, Exchange, Execution, Fsync, JournalError, JournaledExchange};
use pyo3::PyErr;

use crate::errors;

pub enum Engine {
    Memory(Box<Exchange>),
    Journaled(Box<JournaledExchange>, Fsync),
    /// Its journal was closed: what is left can be looked at.
    Closed(Box<Exchange>, PathBuf),
}

impl Engine {
    /// Carries commands out, behind one append if there is a journal. On an error none of them was carried out. With a
    /// journal this may wait for the disk: detached from Python.
    #[inline]
    pub fn apply_all(&mut self, commands: &[Command], mut out: impl FnMut(&Execution)) -> Result<(), PyErr> {
        match self {
            Self::Memory(exchange) => {
                exchange.apply_all(commands, &mut out);
                Ok(())
            }
            Self::Journaled(exchange, _) => exchange.apply_all(commands, out).map_err(|error| errors::journal(&error)),
            Self::Closed(_, path) => Err(errors::closed(path)),
        }
    }

    /// Whether commands go to memory alone, so that none waits for a disk.
    pub const fn is_memory(&self) -> bool {
        matches!(self, Self::Memory(_))
    }

    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Memory(_) => None,
            Self::Journaled(exchange, _) => Some(exchange.journal().path()),
            Self::Closed(_, path) => Some(path),
        }
    }

    /// The journal's side; `what` is what was asked of it.
    pub fn journaled(&mut self, what: &str) -> Result<&mut JournaledExchange, PyErr> {
        match self {
            Self::Memory(_) => Err(errors::data(format!("{what}: expected an exchange with a journal"))),
            Self::Journaled(exchange, _) => Ok(exchange),
            Self::Closed(_, path) => Err(errors::closed(path)),
        }
    }

    /// Waits for the disk, unless that was never wanted, and lets go of the journal.
    pub fn close(&mut self) -> Result<(), PyErr> {
        let Self::Journaled(exchange, fsync) = self else { return Ok(()) };
        let synced = if *fsync == Fsync::Never { Ok(()) } else { exchange.sync() };
        let path = exchange.journal().path().to_owned();
        *self = Self::Closed(Box::new(exchange.exchange().clone()), path);
        match synced {
            // Whoever sent the command that failed has heard of it.
            Ok(()) | Err(JournalError::Stopped { .. }) => Ok(()),
            Err(error) => Err(errors::journal(&error)),
        }
    }
}

impl Deref for Engine {
    type Target = Exchange;

    #[inline]
    fn deref(&self) -> &Exchange {
        match self {
            Self::Memory(exchange) | Self::Closed(exchange, _) => exchange,
            Self::Journaled(exchange, _) => exchange.exchange(),
        }
    }
}
