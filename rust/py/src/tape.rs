//! `Tape`: events in columns.

use std::sync::{Arc, LazyLock};

use arrow_array::RecordBatch;
use arrow_array::types::{Int64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use crossbook::event::{Event, Kind};
use crossbook::tape as core;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PySlice};

use crate::errors;
use crate::instrument::Instrument;
use crate::table::{self, column};

/// Made once: live feeds hand over thousands of tapes a second.
static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let field = |(name, kind): (&str, DataType)| Field::new(name, kind, false);
    Arc::new(Schema::new(
        [
            ("ts_event", DataType::Int64),
            ("ts_recv", DataType::Int64),
            ("sequence", DataType::UInt64),
            ("order_id", DataType::UInt64),
            ("price", DataType::Int64),
            ("size", DataType::Int64),
            ("instrument", DataType::UInt32),
            ("kind", DataType::UInt8),
            ("side", DataType::UInt8),
            ("flags", DataType::UInt8),
        ]
        .map(field)
        .to_vec(),
    ))
});

fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The columns of a batch as the engine reads them.
pub fn view(batch: &RecordBatch) -> PyResult<core::TapeView<'_>> {
    Ok(core::TapeView {
        ts_event: table::values::<Int64Type>(batch, "ts_event")?,
        ts_recv: table::values::<Int64Type>(batch, "ts_recv")?,
        sequence: table::values::<UInt64Type>(batch, "sequence")?,
        order_id: table::values::<UInt64Type>(batch, "order_id")?,
        price: table::values::<Int64Type>(batch, "price")?,
        size: table::values::<Int64Type>(batch, "size")?,
        instrument: table::values::<UInt32Type>(batch, "instrument")?,
        kind: table::values::<UInt8Type>(batch, "kind")?,
        side: table::values::<UInt8Type>(batch, "side")?,
        flags: table::values::<UInt8Type>(batch, "flags")?,
    })
}

/// Where among our instruments each of a tape's is; none if all are at their own index.
pub fn places(ours: &[Py<Instrument>], theirs: &[Py<Instrument>]) -> PyResult<Option<Vec<u32>>> {
    let same = |(a, b): (&Py<Instrument>, &Py<Instrument>)| a.is(b) || a.get().inner == b.get().inner;
    if theirs.len() <= ours.len() && ours.iter().zip(theirs).all(same) {
        return Ok(None);
    }
    let place = |one: &Py<Instrument>| {
        if let Some(at) = ours.iter().position(|ours| same((ours, one))) {
            return Ok(u32::try_from(at).unwrap_or(u32::MAX));
        }
        let name = one.get().inner.name();
        match ours.iter().find(|ours| ours.get().inner.name() == name) {
            Some(ours) => {
                let (ours, theirs) = (&ours.get().inner, &one.get().inner);
                Err(errors::data(format!(
                    "{name}: expected the market's units and terms (price {}, size {}), found those of another tape (price {}, size {})",
                    ours.price_unit, ours.size_unit, theirs.price_unit, theirs.size_unit
                )))
            }
            None => Ok(u32::MAX),
        }
    };
    theirs.iter().map(place).collect::<PyResult<_>>().map(Some)
}

/// A tape's events, numbered anew, without the GIL.
pub fn apply(
    py: Python<'_>,
    tape: &Tape,
    places: Option<&[u32]>,
    take: impl FnOnce(&mut dyn Iterator<Item = Event>) + Send,
) -> PyResult<()> {
    let views = tape.batches.iter().map(view).collect::<PyResult<Vec<_>>>()?;
    py.detach(|| {
        let events = views.iter().flat_map(core::TapeView::iter);
        match places {
            None => take(&mut { events }),
            Some(places) => take(&mut events.map(|event| renumbered(event, places))),
        }
    });
    Ok(())
}

fn renumbered(event: Event, places: &[u32]) -> Event {
    Event { instrument: places.get(event.instrument as usize).copied().unwrap_or(u32::MAX), ..event }
}

/// Market-data events in columns. Integers of units; see `instruments` for what one integer means.
#[pyclass(frozen, module = "crossbook._core")]
pub struct Tape {
    pub batches: Vec<RecordBatch>,
    pub instruments: Arc<Vec<Py<Instrument>>>,
}

impl Tape {
    pub fn from_core(tape: core::Tape, instruments: Arc<Vec<Py<Instrument>>>) -> PyResult<Self> {
        let columns = vec![
            column::<Int64Type>(tape.ts_event),
            column::<Int64Type>(tape.ts_recv),
            column::<UInt64Type>(tape.sequence),
            column::<UInt64Type>(tape.order_id),
            column::<Int64Type>(tape.price),
            column::<Int64Type>(tape.size),
            column::<UInt32Type>(tape.instrument),
            column::<UInt8Type>(tape.kind),
            column::<UInt8Type>(tape.side),
            column::<UInt8Type>(tape.flags),
        ];
        let batch = RecordBatch::try_new(schema(), columns).map_err(errors::data)?;
        Ok(Self { batches: vec![batch], instruments })
    }

    fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Rows `start..stop`, sharing memory.
    fn rows_between(&self, start: usize, stop: usize) -> Self {
        let (mut at, mut batches) = (0, Vec::new());
        for batch in &self.batches {
            let (from, to) = (start.max(at), stop.min(at + batch.num_rows()));
            if from < to {
                batches.push(batch.slice(from - at, to - from));
            }
            at += batch.num_rows();
        }
        Self { batches, instruments: Arc::clone(&self.instruments) }
    }
}

#[pymethods]
impl Tape {
    #[new]
    #[pyo3(signature = (data, /, instruments))]
    fn new(data: &Bound<'_, PyAny>, instruments: Vec<Py<Instrument>>) -> PyResult<Self> {
        let (found, batches) = table::import(data)?;
        // A stream without a single batch still says what its columns are.
        view(&RecordBatch::new_empty(found))?;
        for batch in &batches {
            let view = view(batch)?;
            let known = u8::try_from(Kind::ALL.len()).unwrap_or(u8::MAX);
            if let Some(row) = view.kind.iter().position(|kind| *kind >= known) {
                return Err(errors::data(format!("column \"kind\" row {row}: expected a code below {known}")));
            }
            let count = instruments.len();
            if let Some(row) = view.instrument.iter().position(|index| *index as usize >= count) {
                let message = format!("column \"instrument\" row {row}: expected an index below {count}");
                return Err(errors::data(message));
            }
        }
        // Extra columns would make batches unlike each other; the events are what is kept.
        let schema = schema();
        let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let batches = batches.iter().map(|batch| {
            let columns = names.iter().filter_map(|name| batch.column_by_name(name).cloned()).collect();
            RecordBatch::try_new(Arc::clone(&schema), columns).map_err(errors::data)
        });
        Ok(Self { batches: batches.collect::<PyResult<_>>()?, instruments: Arc::new(instruments) })
    }

    #[staticmethod]
    fn concat(tapes: Vec<Py<Self>>) -> PyResult<Self> {
        let mut tapes = tapes.iter().map(Py::get);
        let first = tapes.next().ok_or_else(|| errors::data("expected at least one tape"))?;
        let names = |tape: &Self| tape.instruments.iter().map(|i| i.get().inner.clone()).collect::<Vec<_>>();
        let (mut batches, known) = (first.batches.clone(), names(first));
        for tape in tapes {
            if names(tape) != known {
                return Err(errors::data("expected tapes of the same instruments in the same order"));
            }
            batches.extend(tape.batches.iter().cloned());
        }
        Ok(Self { batches, instruments: Arc::clone(&first.instruments) })
    }

    #[getter]
    fn instruments(&self, py: Python<'_>) -> Vec<Py<Instrument>> {
        self.instruments.iter().map(|instrument| instrument.clone_ref(py)).collect()
    }

    fn __len__(&self) -> usize {
        self.rows()
    }

    fn __getitem__(&self, index: &Bound<'_, PySlice>) -> PyResult<Self> {
        let length = isize::try_from(self.rows()).map_err(errors::data)?;
        let range = index.indices(length)?;
        if range.step != 1 {
            return Err(errors::data("expected a slice of step 1"));
        }
        let (start, stop) = (usize::try_from(range.start), usize::try_from(range.stop));
        Ok(self.rows_between(start.unwrap_or(0), stop.unwrap_or(0)))
    }

    #[pyo3(signature = (*, kind=None, instrument=None))]
    fn filter(&self, py: Python<'_>, kind: Option<Vec<String>>, instrument: Option<Vec<u32>>) -> PyResult<Self> {
        let kinds = kind
            .map(|names| {
                let code = |name: &String| {
                    Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
                        let known = Kind::ALL.map(Kind::name).join(", ");
                        errors::data(format!("kind {name:?}: expected one of {known}"))
                    })
                };
                names.iter().map(code).collect::<PyResult<Vec<_>>>()
            })
            .transpose()?;
        let views = self.batches.iter().map(view).collect::<PyResult<Vec<_>>>()?;
        let kept = py.detach(|| {
            let mut kept = core::Tape::default();
            for event in views.iter().flat_map(core::TapeView::iter) {
                let wanted = kinds.as_ref().is_none_or(|kinds| kinds.contains(&event.kind))
                    && instrument.as_ref().is_none_or(|wanted| wanted.contains(&event.instrument));
                if wanted {
                    kept.push(&event);
                }
            }
            kept
        });
        Self::from_core(kept, Arc::clone(&self.instruments))
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        table::export(py, schema(), self.batches.clone())
    }

    fn to_polars<'py>(slf: Bound<'py, Self>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("polars")?.call_method1("DataFrame", (slf,))
    }

    fn __repr__(&self) -> String {
        let units = self.instruments.iter().map(|instrument| {
            let inner = &instrument.get().inner;
            format!("{} (price {}, size {})", inner.name(), inner.price_unit, inner.size_unit)
        });
        format!("Tape({} events; units: {})", self.rows(), units.collect::<Vec<_>>().join(", "))
    }
}
