//! Columns that go to Arrow readers and come back without a copy.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, RecordBatch, RecordBatchIterator,
    RecordBatchReader,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::errors;

/// A column from a vector, without copying it.
pub fn column<T: ArrowPrimitiveType>(values: Vec<T::Native>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), None))
}

pub fn booleans(values: Vec<bool>) -> ArrayRef {
    Arc::new(BooleanArray::from(values))
}

/// A batch of named columns of one length. Only columns with missing values are declared to have any.
pub fn batch<'a>(columns: impl IntoIterator<Item = (&'a str, ArrayRef)>) -> PyResult<RecordBatch> {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns
        .into_iter()
        .map(|(name, array)| (Field::new(name, array.data_type().clone(), array.null_count() > 0), array))
        .unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(errors::data)
}

/// Hands batches to whoever reads the Arrow C stream interface.
pub fn export<'py>(py: Python<'py>, schema: SchemaRef, batches: Vec<RecordBatch>) -> PyResult<Bound<'py, PyCapsule>> {
    let batches = batches.into_iter().map(Ok::<_, ArrowError>);
    let stream = FFI_ArrowArrayStream::new(Box::new(RecordBatchIterator::new(batches, schema)));
    PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
}

/// Takes batches from anything that offers the Arrow C stream interface.
pub fn import(data: &Bound<'_, PyAny>) -> PyResult<(SchemaRef, Vec<RecordBatch>)> {
    let capsule = data.call_method0("__arrow_c_stream__").map_err(|_| {
        let kind = data.get_type().name().map_or_else(|_| "an object".to_owned(), |name| name.to_string());
        errors::data(format!("expected a DataFrame or another Arrow stream, found {kind}"))
    })?;
    let capsule = capsule.cast_into::<PyCapsule>()?;
    let pointer = capsule.pointer_checked(Some(c"arrow_array_stream"))?;
    // SAFETY: by the Arrow PyCapsule interface a capsule of this name holds a valid `ArrowArrayStream`. `from_raw` moves
    // it out and leaves a released one behind, so the capsule's destructor does not release it again.
    #[allow(unsafe_code)]
    let reader = unsafe { RecordBatchStreamReader::from_raw(pointer.as_ptr().cast()) }.map_err(errors::data)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(errors::data)?;
    Ok((schema, batches))
}

/// A column of a batch by name, as the type it must have and without missing values.
pub fn values<'a, T: ArrowPrimitiveType>(batch: &'a RecordBatch, name: &str) -> PyResult<&'a [T::Native]> {
    let array = batch.column_by_name(name).ok_or_else(|| errors::data(format!("expected a column {name:?}")))?;
    let typed = array.as_any().downcast_ref::<PrimitiveArray<T>>().ok_or_else(|| {
        errors::data(format!("column {name:?}: expected {}, found {}", T::DATA_TYPE, array.data_type()))
    })?;
    if typed.null_count() > 0 {
        return Err(errors::data(format!("column {name:?}: expected no missing values, found {}", typed.null_count())));
    }
    Ok(typed.values())
}

/// A table of results. Give it to `polars.DataFrame` or anything else that reads Arrow streams.
#[pyclass(frozen, module = "crossbook._core")]
pub struct Table {
    schema: SchemaRef,
    batches: Mutex<Vec<RecordBatch>>,
}

impl Table {
    pub fn new(batch: RecordBatch) -> Self {
        Self { schema: batch.schema(), batches: Mutex::new(vec![batch]) }
    }

    fn get(&self) -> MutexGuard<'_, Vec<RecordBatch>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As a Polars DataFrame.
    pub fn polars(py: Python<'_>, table: Self) -> PyResult<Bound<'_, PyAny>> {
        py.import("polars")?.call_method1("DataFrame", (table,))
    }

    /// Takes the batches away, so that their memory can be used again.
    pub fn take(&self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.get())
    }

    /// Types of the columns.
    pub fn types(&self) -> impl Iterator<Item = &DataType> {
        self.schema.fields().iter().map(|field| field.data_type())
    }

    pub fn put(&self, batch: RecordBatch) {
        *self.get() = vec![batch];
    }
}

#[pymethods]
impl Table {
    #[new]
    #[pyo3(signature = (data, /))]
    fn from_stream(data: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (schema, batches) = import(data)?;
        Ok(Self { schema, batches: Mutex::new(batches) })
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface allows a producer to offer its own schema only.
        drop(requested_schema);
        let batches = self.get().clone();
        export(py, Arc::clone(&self.schema), batches)
    }

    fn __len__(&self) -> usize {
        self.get().iter().map(RecordBatch::num_rows).sum()
    }

    #[getter]
    pub fn columns(&self) -> Vec<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn to_polars<'py>(slf: Bound<'py, Self>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("polars")?.call_method1("DataFrame", (slf,))
    }

    fn __repr__(&self) -> String {
        format!("Table({} rows: {})", self.__len__(), self.columns().join(", "))
    }
}
