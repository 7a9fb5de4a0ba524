//! Feeds: protocols and sessions.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbook::feed::{self, Channel, Command, Protocol, SnapshotFrom};
use crossbook::tape as core;
use crossbook::units::Nanos;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyList};

use crate::errors;
use crate::instrument::{Instrument, venue};
use crate::tape::Tape;

/// So many errors of frames are kept for the next look.
const MAX_FAULTS: usize = 10_000;

pub fn protocol(name: &str) -> PyResult<&'static Protocol> {
    Protocol::named(name).ok_or_else(|| {
        let known: Vec<_> = feed::protocols().map(|protocol| protocol.name).collect();
        errors::data(format!("unknown protocol {name:?}: expected one of {}", known.join(", ")))
    })
}

const fn snapshot_name(from: SnapshotFrom) -> &'static str {
    match from {
        SnapshotFrom::Stream => "stream",
        SnapshotFrom::Rest => "rest",
        SnapshotFrom::EveryMessage => "every_message",
        _ => "other",
    }
}

/// The capability table: every protocol with its facts.
#[pyfunction]
pub fn protocols(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    feed::protocols()
        .map(|p| {
            let row = PyDict::new(py);
            row.set_item("name", p.name)?;
            row.set_item("venue", p.venue.name())?;
            row.set_item("valid_from", p.valid.0)?;
            row.set_item("valid_until", p.valid.1)?;
            row.set_item("url", p.url)?;
            row.set_item("rest", p.rest)?;
            row.set_item("instruments_paths", p.instruments_paths)?;
            row.set_item("snapshot", snapshot_name(p.snapshot))?;
            row.set_item("counts_frames", p.counts_frames)?;
            row.set_item("counts_trades", p.counts_trades)?;
            row.set_item("links", p.links)?;
            row.set_item("checksum_levels", p.checksum.map_or(0, |rule| rule.levels))?;
            row.set_item("depth", p.depth)?;
            row.set_item("cross_resyncs", p.cross_resyncs)?;
            row.set_item("keep_alive_s", p.keep_alive.map_or(0, |keep| keep.every))?;
            row.set_item("silence_s", p.silence)?;
            row.set_item("per_connection", p.per_connection)?;
            row.set_item("sends_per_second", p.sends_per_second)?;
            row.set_item("rest_weight", p.limit.weight)?;
            row.set_item("rest_per_minute", p.limit.per_minute)?;
            row.set_item("source", p.source)?;
            Ok(row)
        })
        .collect()
}

/// The name of the protocol that a venue speaks today.
#[pyfunction]
#[pyo3(signature = (venue_name, /))]
pub fn current_protocol(venue_name: &str) -> PyResult<&'static str> {
    let protocol = Protocol::current(venue(venue_name)?);
    protocol.map(|protocol| protocol.name).ok_or_else(|| {
        errors::data(format!("venue {venue_name:?}: expected one with a feed, a pool's state is read from its chain"))
    })
}

/// The instruments in the answer to a request for one of a protocol's `instruments_paths`.
#[pyfunction]
#[pyo3(signature = (protocol_name, body, /))]
pub fn list_instruments(py: Python<'_>, protocol_name: &str, body: PyBackedBytes) -> PyResult<Vec<Instrument>> {
    let protocol = protocol(protocol_name)?;
    let listed = py.detach(|| protocol.list(&body));
    let listed = listed.map_err(|error| errors::data(format!("{protocol_name} instruments: {error}")))?;
    Ok(listed.into_iter().map(|inner| Instrument { inner }).collect())
}

struct State {
    session: feed::Session,
    tape: core::Tape,
    faults: VecDeque<feed::FeedError>,
}

/// One connection to one venue, without a socket.
#[pyclass(frozen, module = "crossbook._core")]
pub struct Session {
    state: Mutex<State>,
    instruments: Arc<Vec<Py<Instrument>>>,
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, result: Result<feed::Outcome, feed::FeedError>) -> bool {
        match result {
            Ok(_) => true,
            Err(error) => {
                if self.faults.len() == MAX_FAULTS {
                    self.faults.pop_front();
                }
                self.faults.push_back(error);
                false
            }
        }
    }
}

pub fn counts_into(row: &Bound<'_, PyDict>, c: feed::Counts) -> PyResult<()> {
    for (name, value) in [
        ("depth", c.depth),
        ("held", c.held),
        ("snapshots", c.snapshots),
        ("resets", c.resets),
        ("quotes", c.quotes),
        ("trades", c.trades),
        ("marks", c.marks),
        ("repeated", c.repeated),
        ("verified", c.verified),
        ("unverifiable", c.unverifiable),
        ("checksums", c.checksums),
        ("checksum_failures", c.checksum_failures),
        ("gaps", c.gaps),
        ("trade_gaps", c.trade_gaps),
        ("resyncs", c.resyncs),
        ("first_id", c.first_id),
        ("last_id", c.last_id),
    ] {
        row.set_item(name, value)?;
    }
    Ok(())
}

pub fn gap_into(row: &Bound<'_, PyDict>, gap: &feed::GapRecord) -> PyResult<()> {
    row.set_item("instrument", gap.instrument)?;
    row.set_item("cause", gap.cause.name())?;
    row.set_item("ours", gap.ours)?;
    row.set_item("unit", gap.unit.name())?;
    row.set_item("first", gap.first)?;
    row.set_item("last", gap.last)?;
    row.set_item("from", gap.from.0)?;
    row.set_item("until", gap.until.map(|until| until.0))
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (protocol_name, instruments, /, *, indices=None, channels=None, depth=0))]
    fn new(
        protocol_name: &str,
        instruments: Vec<Py<Instrument>>,
        indices: Option<Vec<u32>>,
        channels: Option<Vec<String>>,
        depth: u16,
    ) -> PyResult<Self> {
        let protocol = protocol(protocol_name)?;
        let channels = match channels {
            None => vec![Channel::Book, Channel::Trades, Channel::Quotes],
            Some(names) => names
                .iter()
                .map(|name| {
                    let found = Channel::ALL.into_iter().find(|channel| channel.name() == name);
                    let expected = Channel::ALL.map(Channel::name).join(", ");
                    found.ok_or_else(|| errors::data(format!("channel {name:?}: expected one of {expected}")))
                })
                .collect::<PyResult<_>>()?,
        };
        let count = u32::try_from(instruments.len()).map_err(errors::data)?;
        let indices = indices.unwrap_or_else(|| (0..count).collect());
        let mut mine = Vec::new();
        for index in indices {
            let known = instruments
                .get(index as usize)
                .ok_or_else(|| errors::data(format!("index {index}: expected one of the {count} instruments")))?;
            if known.get().inner.venue != protocol.venue {
                let (name, venue) = (known.get().inner.name(), protocol.venue);
                return Err(errors::data(format!("{name}: expected an instrument of {venue}, as {protocol_name} is")));
            }
            mine.push((index, &known.get().inner));
        }
        let session = feed::Session::with(protocol, mine, &channels, depth);
        let state = State { session, tape: core::Tape::default(), faults: VecDeque::new() };
        Ok(Self { state: Mutex::new(state), instruments: Arc::new(instruments) })
    }

    #[pyo3(signature = (ts_recv, /))]
    fn opened(&self, ts_recv: i64) {
        self.lock().session.on_open(Nanos(ts_recv));
    }

    #[pyo3(signature = (ts_recv, /))]
    fn closed(&self, ts_recv: i64) {
        let state = &mut *self.lock();
        state.session.on_close(Nanos(ts_recv), &mut state.tape);
    }

    #[pyo3(signature = (ts_recv, /))]
    fn overflowed(&self, ts_recv: i64) {
        let state = &mut *self.lock();
        state.session.on_overflow(Nanos(ts_recv), &mut state.tape);
    }

    #[pyo3(signature = (now, /))]
    fn tick(&self, now: i64) {
        self.lock().session.on_time(Nanos(now));
    }

    /// Reads frames that came at one time; how many could not be used.
    #[pyo3(signature = (ts_recv, frames, /))]
    fn frames(&self, py: Python<'_>, ts_recv: i64, frames: Vec<PyBackedBytes>) -> usize {
        py.detach(|| {
            let state = &mut *self.lock();
            let mut faults = 0;
            for frame in &frames {
                let result = state.session.on_frame(Nanos(ts_recv), frame, &mut state.tape);
                faults += usize::from(!state.note(result));
            }
            faults
        })
    }

    /// Reads the body of a REST snapshot; whether it could be used.
    #[pyo3(signature = (ts_recv, instrument, body, /))]
    fn snapshot(&self, py: Python<'_>, ts_recv: i64, instrument: u32, body: PyBackedBytes) -> bool {
        py.detach(|| {
            let state = &mut *self.lock();
            let result = state.session.on_snapshot(Nanos(ts_recv), instrument, &body, &mut state.tape);
            state.note(result)
        })
    }

    #[pyo3(signature = (instrument, /))]
    fn snapshot_failed(&self, instrument: u32) {
        self.lock().session.on_snapshot_failed(instrument);
    }

    #[pyo3(signature = (instrument, /))]
    fn snapshot_path(&self, instrument: u32) -> Option<String> {
        self.lock().session.snapshot_path(instrument)
    }

    /// What the session asks for since the last call: ("send", text), ("fetch", instrument), ("reconnect", reason).
    fn commands<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let commands: Vec<Command> = self.lock().session.commands().collect();
        let list = PyList::empty(py);
        for command in commands {
            match command {
                Command::Send(text) => list.append(("send", text))?,
                Command::FetchSnapshot { instrument } => list.append(("fetch", instrument))?,
                Command::Reconnect { reason } => list.append(("reconnect", reason))?,
                _ => {}
            }
        }
        Ok(list)
    }

    /// The events since the last call; `None` if there are none.
    fn take(&self, py: Python<'_>) -> PyResult<Option<Tape>> {
        let tape = {
            let mut state = self.lock();
            if state.tape.is_empty() {
                return Ok(None);
            }
            let room = state.tape.len();
            std::mem::replace(&mut state.tape, core::Tape::with_capacity(room.min(1 << 16)))
        };
        let _ = py;
        Tape::from_core(tape, Arc::clone(&self.instruments)).map(Some)
    }

    /// How many events wait to be taken.
    #[getter]
    fn pending(&self) -> usize {
        self.lock().tape.len()
    }

    #[pyo3(signature = (instrument, /))]
    fn is_synced(&self, instrument: u32) -> bool {
        self.lock().session.is_synced(instrument)
    }

    /// Per instrument: its index, whether its book is good, our clock at its last message, and its counts.
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let state = self.lock();
        let session = &state.session;
        session
            .instruments()
            .map(|index| {
                let row = PyDict::new(py);
                row.set_item("instrument", index)?;
                row.set_item("synced", session.is_synced(index))?;
                row.set_item("last", session.last_message(index).0)?;
                counts_into(&row, session.counts(index))?;
                Ok(row)
            })
            .collect()
    }

    /// Frames read, frames that could not be used, frames without market data.
    #[getter]
    fn totals(&self) -> (u64, u64, u64) {
        self.lock().session.frames()
    }

    fn gaps<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let state = self.lock();
        state
            .session
            .gaps()
            .iter()
            .map(|gap| {
                let row = PyDict::new(py);
                gap_into(&row, gap)?;
                Ok(row)
            })
            .collect()
    }

    /// The errors of frames since the last call, the newest ten thousand.
    fn faults(&self) -> Vec<String> {
        self.lock().faults.drain(..).map(|fault| fault.to_string()).collect()
    }
}
