//! Commands in columns, read where they lie.
//!
//! Everything is checked before the first command is applied. Then blocks of rows become commands, column by column:
//! a column knows its width, a row does not have to.

use arrow_array::cast::AsArray;
use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow_array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, Int8Type, Int16Type, Int32Type, Int64Type, TimestampNanosecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowNativeTypeOp, PrimitiveArray, RecordBatch, StructArray};
use arrow_buffer::{ArrowNativeType, NullBuffer, ScalarBuffer};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use crossbook::exchange::{Action, Command, OrderType, PostOnly, SelfTrade, State, TimeInForce};
use crossbook::units::{Nanos, Price, Size};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyCapsule, PyTuple};

use super::fields::{Named, Sides};
use crate::{errors, table};

/// Rows that become commands at a time.
pub const BLOCK: usize = 128;

/// Declares the columns: the fields that hold numbers, and those that hold codes.
macro_rules! columns {
    (
        numbers { $($number:ident = $number_name:literal, $least:expr, $most:expr, $unset:expr;)* }
        codes { $($code:ident = $code_name:literal, $type:ty;)* }
    ) => {
        #[derive(Clone, Copy, PartialEq, Eq)]
        enum Number { $($number,)* }

        #[derive(Clone, Copy, PartialEq, Eq)]
        enum Code { $($code,)* }

        const NAMES: [&str; [$($number_name,)* $($code_name,)*].len()] = [$($number_name,)* $($code_name,)*];

        impl Number {
            fn named(name: &str) -> Option<Self> {
                match name {
                    $($number_name => Some(Self::$number),)*
                    _ => None,
                }
            }

            /// The least and greatest value, and the bits of one that is not given.
            fn range(self) -> (i128, i128, u64) {
                match self {
                    $(Self::$number => ($least, $most, $unset),)*
                }
            }
        }

        impl Code {
            fn named(name: &str) -> Option<Self> {
                match name {
                    $($code_name => Some(Self::$code),)*
                    _ => None,
                }
            }

            fn read(self, array: &ArrayRef, first: usize) -> PyResult<ScalarBuffer<u8>> {
                match self {
                    $(Self::$code => codes::<$type>(array, $code_name, first),)*
                }
            }
        }
    };
}

const I64: (i128, i128) = (i64::MIN as i128, i64::MAX as i128);
const UNSET: u64 = Command::UNSET.cast_unsigned();

columns! {
    numbers {
        OrderId = "order_id", 0, u64::MAX.into(), 0;
        Price = "price", I64.0, I64.1, UNSET;
        Size = "size", I64.0, I64.1, UNSET;
        Account = "account", 0, u32::MAX.into(), 0;
        Ts = "ts", I64.0, I64.1, 0;
        Trigger = "trigger", I64.0, I64.1, UNSET;
        Display = "display", I64.0, I64.1, UNSET;
        Expires = "expires", I64.0, I64.1, 0;
        Link = "link", 0, u64::MAX.into(), 0;
    }
    codes {
        Action = "action", Action;
        Side = "side", Sides;
        OrderType = "order_type", OrderType;
        TimeInForce = "time_in_force", TimeInForce;
        SelfTrade = "self_trade", SelfTrade;
        PostOnly = "post_only", PostOnly;
        State = "state", State;
        OneSide = "one_side", Flag;
    }
}

/// A boolean as a code.
#[derive(Clone, Copy, Default)]
enum Flag {
    #[default]
    No,
    Yes,
}

impl Named for Flag {
    fn all() -> &'static [Self] {
        &[Self::No, Self::Yes]
    }

    fn label(self) -> &'static str {
        match self {
            Self::No => "false",
            Self::Yes => "true",
        }
    }
}

/// Numbers of any width, in the memory of whoever made them.
enum Words {
    /// 64 bits, signed or not.
    Wide(ScalarBuffer<u64>),
    U32(ScalarBuffer<u32>),
    I32(ScalarBuffer<i32>),
    U16(ScalarBuffer<u16>),
    I16(ScalarBuffer<i16>),
    U8(ScalarBuffer<u8>),
    I8(ScalarBuffer<i8>),
}

impl Words {
    /// The bits of some rows, sign and all.
    #[inline]
    fn load<'a>(&'a self, at: usize, rows: usize, into: &'a mut [u64; BLOCK]) -> &'a [u64] {
        fn widen<T: Copy>(from: &[T], into: &mut [u64; BLOCK], bits: impl Fn(T) -> u64) {
            into.iter_mut().zip(from).for_each(|(into, &from)| *into = bits(from));
        }
        let range = at..at + rows;
        match self {
            Self::Wide(values) => return &values[range],
            Self::U32(values) => widen(&values[range], into, u64::from),
            Self::U16(values) => widen(&values[range], into, u64::from),
            Self::U8(values) => widen(&values[range], into, u64::from),
            Self::I32(values) => widen(&values[range], into, |value| i64::from(value).cast_unsigned()),
            Self::I16(values) => widen(&values[range], into, |value| i64::from(value).cast_unsigned()),
            Self::I8(values) => widen(&values[range], into, |value| i64::from(value).cast_unsigned()),
        }
        &into[..rows]
    }
}

/// A column, ready to be read.
enum Column {
    Number { which: Number, words: Words, nulls: Option<NullBuffer>, unset: u64 },
    Code { which: Code, codes: ScalarBuffer<u8> },
}

fn wrong(name: &str, row: usize, found: impl std::fmt::Display, expected: impl std::fmt::Display) -> PyErr {
    errors::data(format!("column {name:?} row {row}: expected {expected}, found {found}"))
}

fn wrong_type(name: &str, expected: &str, found: &DataType) -> PyErr {
    errors::data(format!("column {name:?}: expected {expected}, found {found}"))
}

/// The values of a column, if all that are given lie in a range.
fn checked<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    name: &str,
    first: usize,
    (least, most): (i128, i128),
) -> PyResult<()>
where
    T::Native: Into<i128>,
{
    let fits = |value: &T::Native| {
        let value: i128 = (*value).into();
        least <= value && value <= most
    };
    let type_fits = [T::Native::MIN_TOTAL_ORDER, T::Native::MAX_TOTAL_ORDER].iter().all(fits);
    if type_fits || array.values().iter().all(fits) {
        return Ok(());
    }
    match array.iter().enumerate().find(|(_, value)| value.is_some_and(|value| !fits(&value))) {
        Some((row, Some(value))) => {
            let value: i128 = value.into();
            Err(wrong(name, first + row, value, format!("{least} to {most}")))
        }
        _ => Ok(()),
    }
}

fn native<T: ArrowPrimitiveType, N: ArrowNativeType>(array: &PrimitiveArray<T>) -> ScalarBuffer<N> {
    ScalarBuffer::from(array.values().inner().clone())
}

fn words(which: Number, array: &ArrayRef, name: &str, first: usize) -> PyResult<Words> {
    let (least, most, _) = which.range();
    macro_rules! read {
        ($type:ty, $words:ident) => {{
            let array = array.as_primitive::<$type>();
            checked(array, name, first, (least, most))?;
            Words::$words(native(array))
        }};
    }
    let time = matches!(which, Number::Ts | Number::Expires);
    Ok(match array.data_type() {
        DataType::Int64 => read!(Int64Type, Wide),
        DataType::UInt64 => read!(UInt64Type, Wide),
        DataType::UInt32 => read!(UInt32Type, U32),
        DataType::Int32 => read!(Int32Type, I32),
        DataType::UInt16 => read!(UInt16Type, U16),
        DataType::Int16 => read!(Int16Type, I16),
        DataType::UInt8 => read!(UInt8Type, U8),
        DataType::Int8 => read!(Int8Type, I8),
        DataType::Timestamp(TimeUnit::Nanosecond, _) if time => read!(TimestampNanosecondType, Wide),
        // A column of nothing but nulls.
        DataType::Null => Words::U8(vec![0; array.len()].into()),
        found if time => return Err(wrong_type(name, "integers or Datetime(\"ns\")", found)),
        found => return Err(wrong_type(name, "integers", found)),
    })
}

/// Codes, or names turned into codes; the default where there is none.
fn codes<T: Named>(array: &ArrayRef, name: &str, first: usize) -> PyResult<ScalarBuffer<u8>> {
    let count = T::all().len();
    let expected = || format!("{}, or a code below {count}", T::expected());
    let number = |row: usize, value: Option<i128>| match value {
        None => Ok(0),
        Some(value) => u8::try_from(value)
            .ok()
            .filter(|&code| usize::from(code) < count)
            .ok_or_else(|| wrong(name, first + row, value, expected())),
    };
    let text = |row: usize, value: Option<&str>| match value {
        None => Ok(0),
        Some(value) => T::code(value).ok_or_else(|| wrong(name, first + row, format!("{value:?}"), expected())),
    };
    macro_rules! numbers {
        ($type:ty) => {{
            let values = array.as_primitive::<$type>().iter().map(|value| value.map(Into::into));
            values.enumerate().map(|(row, value)| number(row, value)).collect::<PyResult<Vec<u8>>>()?.into()
        }};
    }
    macro_rules! texts {
        ($array:expr) => {
            $array.iter().enumerate().map(|(row, value)| text(row, value)).collect::<PyResult<Vec<u8>>>()?.into()
        };
    }
    Ok(match array.data_type() {
        DataType::UInt8 => {
            let array = array.as_primitive::<UInt8Type>();
            if array.null_count() == 0 && array.values().iter().all(|&code| usize::from(code) < count) {
                array.values().clone()
            } else {
                numbers!(UInt8Type)
            }
        }
        DataType::UInt16 => numbers!(UInt16Type),
        DataType::UInt32 => numbers!(UInt32Type),
        DataType::UInt64 => numbers!(UInt64Type),
        DataType::Int8 => numbers!(Int8Type),
        DataType::Int16 => numbers!(Int16Type),
        DataType::Int32 => numbers!(Int32Type),
        DataType::Int64 => numbers!(Int64Type),
        DataType::Boolean if count == 2 && T::code("true").is_some() => {
            array.as_boolean().iter().map(|flag| u8::from(flag == Some(true))).collect::<Vec<_>>().into()
        }
        DataType::Utf8 => texts!(array.as_string::<i32>()),
        DataType::LargeUtf8 => texts!(array.as_string::<i64>()),
        DataType::Utf8View => texts!(array.as_string_view()),
        DataType::Dictionary(key, _) => match **key {
            DataType::UInt8 => keyed::<T, UInt8Type>(array, name, first)?,
            DataType::UInt16 => keyed::<T, UInt16Type>(array, name, first)?,
            DataType::UInt32 => keyed::<T, UInt32Type>(array, name, first)?,
            DataType::UInt64 => keyed::<T, UInt64Type>(array, name, first)?,
            DataType::Int8 => keyed::<T, Int8Type>(array, name, first)?,
            DataType::Int16 => keyed::<T, Int16Type>(array, name, first)?,
            DataType::Int32 => keyed::<T, Int32Type>(array, name, first)?,
            DataType::Int64 => keyed::<T, Int64Type>(array, name, first)?,
            _ => return Err(wrong_type(name, "names or codes", array.data_type())),
        },
        DataType::Null => vec![0; array.len()].into(),
        found => return Err(wrong_type(name, "names or codes", found)),
    })
}

/// Names in a dictionary: each is looked up once.
fn keyed<T: Named, K: ArrowDictionaryKeyType>(
    array: &ArrayRef,
    name: &str,
    first: usize,
) -> PyResult<ScalarBuffer<u8>> {
    let array = array.as_dictionary::<K>();
    let names: Vec<Option<&str>> = match array.values().data_type() {
        DataType::Utf8 => array.values().as_string::<i32>().iter().collect(),
        DataType::LargeUtf8 => array.values().as_string::<i64>().iter().collect(),
        DataType::Utf8View => array.values().as_string_view().iter().collect(),
        found => return Err(wrong_type(name, "names or codes", found)),
    };
    let known: Vec<Option<u8>> = names.iter().map(|name| name.map_or(Some(0), T::code)).collect();
    let code = |(row, key): (usize, Option<K::Native>)| {
        let Some(key) = key.map(ArrowNativeType::as_usize) else { return Ok(0) };
        known.get(key).copied().flatten().ok_or_else(|| {
            let found = names.get(key).copied().flatten().unwrap_or_default();
            let expected = format!("{}, or a code below {}", T::expected(), T::all().len());
            wrong(name, first + row, format!("{found:?}"), expected)
        })
    };
    Ok(array.keys().iter().enumerate().map(code).collect::<PyResult<Vec<u8>>>()?.into())
}

/// Columns of one length.
struct Batch {
    rows: usize,
    columns: Vec<Column>,
}

impl Batch {
    fn read(batch: &RecordBatch, first: usize) -> PyResult<Self> {
        let columns = batch.schema_ref().fields().iter().zip(batch.columns()).map(|(field, array)| {
            let name = field.name().as_str();
            if let Some(which) = Number::named(name) {
                let words = words(which, array, name, first)?;
                let (.., unset) = which.range();
                let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
                return Ok(Column::Number { which, words, nulls, unset });
            }
            let which = Code::named(name).ok_or_else(|| {
                errors::data(format!("column {name:?}: expected only columns of {}", NAMES.join(", ")))
            })?;
            Ok(Column::Code { which, codes: which.read(array, first)? })
        });
        Ok(Self { rows: batch.num_rows(), columns: columns.collect::<PyResult<_>>()? })
    }

    /// Writes the columns of some rows into commands.
    fn fill(&self, at: usize, commands: &mut [Command]) {
        let mut scratch = [0; BLOCK];
        for column in &self.columns {
            match column {
                Column::Number { which, words, nulls, unset } => {
                    let mut values = words.load(at, commands.len(), &mut scratch);
                    let mut given = [0; BLOCK];
                    if let Some(nulls) = nulls {
                        for (row, (into, &value)) in given.iter_mut().zip(values).enumerate() {
                            *into = if nulls.is_valid(at + row) { value } else { *unset };
                        }
                        values = &given[..commands.len()];
                    }
                    set_number(*which, commands, values);
                }
                Column::Code { which, codes } => set_code(*which, commands, &codes[at..at + commands.len()]),
            }
        }
    }
}

#[inline]
fn each<T: Copy>(commands: &mut [Command], values: &[T], set: impl Fn(&mut Command, T)) {
    commands.iter_mut().zip(values).for_each(|(command, &value)| set(command, value));
}

fn set_number(which: Number, commands: &mut [Command], values: &[u64]) {
    match which {
        Number::OrderId => each(commands, values, |command, value| command.order_id = value),
        Number::Price => each(commands, values, |command, value| command.price = Price(value.cast_signed())),
        Number::Size => each(commands, values, |command, value| command.size = Size(value.cast_signed())),
        #[allow(clippy::cast_possible_truncation)] // checked
        Number::Account => each(commands, values, |command, value| command.account = value as u32),
        Number::Ts => each(commands, values, |command, value| command.ts = Nanos(value.cast_signed())),
        Number::Trigger => each(commands, values, |command, value| command.trigger = Price(value.cast_signed())),
        Number::Display => each(commands, values, |command, value| command.display = Size(value.cast_signed())),
        Number::Expires => each(commands, values, |command, value| command.expires = Nanos(value.cast_signed())),
        Number::Link => each(commands, values, |command, value| command.link = value),
    }
}

fn set_code(which: Code, commands: &mut [Command], codes: &[u8]) {
    match which {
        Code::Action => each(commands, codes, |command, code| command.action = Action::at(code)),
        Code::Side => each(commands, codes, |command, code| command.side = Sides::at(code).side()),
        Code::OrderType => each(commands, codes, |command, code| command.order_type = OrderType::at(code)),
        Code::TimeInForce => each(commands, codes, |command, code| command.time_in_force = TimeInForce::at(code)),
        Code::SelfTrade => each(commands, codes, |command, code| command.self_trade = SelfTrade::at(code)),
        Code::PostOnly => each(commands, codes, |command, code| command.post_only = PostOnly::at(code)),
        Code::State => each(commands, codes, |command, code| command.state = State::at(code)),
        Code::OneSide => each(commands, codes, |command, code| command.one_side = code != 0),
    }
}

/// Checked commands, and how far they have been read.
pub struct Commands {
    batches: Vec<Batch>,
    block: Box<[Command; BLOCK]>,
    batch: usize,
    row: usize,
    pub rows: usize,
    pub done: usize,
}

impl Commands {
    /// Reads and checks columns. In errors the first row is called `first_row`.
    pub fn read(data: &Bound<'_, PyAny>, first_row: usize) -> PyResult<Self> {
        let (schema, found) = import(data)?;
        // A stream without a single batch still says what its columns are.
        Batch::read(&RecordBatch::new_empty(schema), 0)?;
        let mut rows = 0;
        let mut batches = Vec::with_capacity(found.len());
        for batch in &found {
            batches.push(Batch::read(batch, first_row.saturating_add(rows))?);
            rows += batch.num_rows();
        }
        let block = Box::new([Command::new(Action::New); BLOCK]);
        Ok(Self { batches, block, batch: 0, row: 0, rows, done: 0 })
    }

    /// The next commands, at most a block; none at the end.
    pub fn next(&mut self) -> &[Command] {
        while self.batches.get(self.batch).is_some_and(|batch| self.row == batch.rows) {
            (self.batch, self.row) = (self.batch + 1, 0);
        }
        let Some(batch) = self.batches.get(self.batch) else { return &[] };
        let count = BLOCK.min(batch.rows - self.row);
        batch.fill(self.row, &mut self.block[..count]);
        self.row += count;
        self.done += count;
        &self.block[..count]
    }
}

/// A DataFrame without columns of type Null: Polars hands those over with a buffer, which `arrow` takes for an error.
fn typed<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let polars = data.py().import("polars")?;
    let null = polars.getattr("Null")?;
    if data.is_instance(&polars.getattr("DataFrame")?)? && data.getattr("dtypes")?.contains(&null)? {
        return data.call_method1("cast", ([(null, polars.getattr("Int8")?)].into_py_dict(data.py())?,));
    }
    Ok(data.clone())
}

/// Batches from whatever offers a stream of them, or one.
fn import(data: &Bound<'_, PyAny>) -> PyResult<(SchemaRef, Vec<RecordBatch>)> {
    let data = &typed(data)?;
    if data.hasattr("__arrow_c_stream__")? || !data.hasattr("__arrow_c_array__")? {
        return table::import(data);
    }
    let pair = data.call_method0("__arrow_c_array__")?.cast_into::<PyTuple>()?;
    let (schema, array) = (pair.get_item(0)?.cast_into::<PyCapsule>()?, pair.get_item(1)?.cast_into::<PyCapsule>()?);
    let (schema, array) =
        (schema.pointer_checked(Some(c"arrow_schema"))?, array.pointer_checked(Some(c"arrow_array"))?);
    // SAFETY: by the Arrow PyCapsule interface capsules of these names hold a valid `ArrowSchema`, which stays theirs and
    // outlives this call, and a valid `ArrowArray` of that schema, which `from_raw` moves out, leaving a released one.
    #[allow(unsafe_code)]
    let data =
        unsafe { from_ffi(FFI_ArrowArray::from_raw(array.as_ptr().cast()), schema.cast::<FFI_ArrowSchema>().as_ref()) };
    let data = data.map_err(errors::data)?;
    if !matches!(data.data_type(), DataType::Struct(_)) || data.null_count() > 0 {
        return Err(errors::data(format!("expected an Arrow struct array without nulls, found {}", data.data_type())));
    }
    let batch = RecordBatch::from(StructArray::from(data));
    Ok((batch.schema(), vec![batch]))
}
