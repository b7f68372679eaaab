//! One cell of a query's result as JSON.
//!
//! Times are RFC 3339 in UTC with microseconds, numbers are numbers, what JSON can't hold (NaN, infinities) is null, everything else is its text.

use deltalake::arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type, Schema, TimeUnit, UInt64Type},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};
use serde_json::{Number, Value};

use crate::query::{Column, ColumnKind};

/// Columns of a result, by what their values are in JSON.
pub(crate) fn columns(schema: &Schema) -> Vec<Column> {
    schema.fields().iter().map(|field| Column { name: field.name().clone(), kind: kind(field.data_type()) }).collect()
}

fn kind(data_type: &DataType) -> ColumnKind {
    match data_type {
        DataType::Boolean => ColumnKind::Boolean,
        DataType::Timestamp(..) => ColumnKind::Time,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => ColumnKind::Number,
        data_type if data_type.is_integer() => ColumnKind::Integer,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => ColumnKind::Text,
        DataType::Dictionary(_, values) => kind(values),
        _ => ColumnKind::Other,
    }
}

/// The first `rows` rows of `batch`.
pub(crate) fn rows(batch: &RecordBatch, rows: usize) -> Result<Vec<Vec<Value>>, ArrowError> {
    let mut out: Vec<Vec<Value>> = (0..rows).map(|_| Vec::with_capacity(batch.num_columns())).collect();
    for column in batch.columns() {
        append(&column.slice(0, rows), &mut out)?;
    }
    Ok(out)
}

fn append(column: &ArrayRef, out: &mut [Vec<Value>]) -> Result<(), ArrowError> {
    let mut each = |value: &dyn Fn(usize) -> Value| {
        for (row, cells) in out.iter_mut().enumerate() {
            cells.push(if column.is_null(row) { Value::Null } else { value(row) });
        }
    };
    match column.data_type() {
        DataType::Boolean => {
            let values = column.as_boolean();
            each(&|row| values.value(row).into());
        }
        DataType::UInt64 => {
            let values = column.as_primitive::<UInt64Type>();
            each(&|row| values.value(row).into());
        }
        data_type if data_type.is_integer() => {
            let values = cast(column, &DataType::Int64)?;
            let values = values.as_primitive::<Int64Type>();
            each(&|row| values.value(row).into());
        }
        data_type if data_type.is_floating() => {
            let values = cast(column, &DataType::Float64)?;
            let values = values.as_primitive::<Float64Type>();
            each(&|row| Number::from_f64(values.value(row)).map_or(Value::Null, Value::Number));
        }
        DataType::Timestamp(..) => {
            let micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))?;
            let format = FormatOptions::new().with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.6fZ"));
            let texts = ArrayFormatter::try_new(&micros, &format)?;
            each(&|row| texts.value(row).to_string().into());
        }
        DataType::Null => each(&|_| Value::Null),
        _ => {
            let texts = ArrayFormatter::try_new(column, &FormatOptions::new())?;
            each(&|row| texts.value(row).to_string().into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use deltalake::arrow::array::{BooleanArray, Float64Array, StringViewArray, TimestampMicrosecondArray, UInt64Array};

    use super::*;

    #[test]
    fn every_kind_of_cell_becomes_the_json_that_readers_expect() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("big", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
            ("number", Arc::new(Float64Array::from(vec![0.1, f64::NAN]))),
            ("text", Arc::new(StringViewArray::from(vec!["a", "b"]))),
            ("flag", Arc::new(BooleanArray::from(vec![true, false]))),
            ("time", Arc::new(TimestampMicrosecondArray::from(vec![0, 1_500_000]).with_timezone("UTC"))),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap();
        let found = rows(&batch, 2).unwrap();
        assert_eq!(serde_json::to_string(&found[0]).unwrap(), r#"[18446744073709551615,0.1,"a",true,"1970-01-01T00:00:00.000000Z"]"#);
        assert_eq!(serde_json::to_string(&found[1]).unwrap(), r#"[null,null,"b",false,"1970-01-01T00:00:01.500000Z"]"#);
        let kinds: Vec<_> = super::columns(&batch.schema()).iter().map(|column| column.kind).collect();
        assert_eq!(kinds, [ColumnKind::Integer, ColumnKind::Number, ColumnKind::Text, ColumnKind::Boolean, ColumnKind::Time]);
    }
}
