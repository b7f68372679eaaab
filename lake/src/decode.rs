//! Columns back into records.
//!
//! Columns are found by name; a cell that no version of ours writes (an unknown enumeration text, a broken path) fails the read by name of its column.

use deltalake::arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType},
};
use protocol::{
    Anomaly, AnomalyKind, AssetPath, GatewayId, Loss, LossReason, MachineState, PartCount, Quality, Severity, SignalName, StateChange,
    TimeQuality, Timestamp, WindowSummary,
};

use crate::{error::LakeError, reads::Sourced};

/// A stored cell that can't be read back.
#[derive(Debug, thiserror::Error)]
#[error("column {column} holds what this version can't read")]
struct Unreadable {
    column: &'static str,
}

fn unreadable(column: &'static str) -> LakeError {
    LakeError::Query(Box::new(Unreadable { column }))
}

/// One row of a batch, by column name.
pub(crate) struct Row<'a> {
    batch: &'a Texts,
    row: usize,
}

/// A batch with its text columns in one known type.
pub(crate) struct Texts(RecordBatch);

/// Reads every row of `batches` by `record`.
pub(crate) fn all<T>(batches: &[RecordBatch], record: impl Fn(&Row<'_>) -> Result<T, LakeError>) -> Result<Vec<T>, LakeError> {
    let mut records = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in batches {
        let texts = Texts::of(batch)?;
        for row in 0..batch.num_rows() {
            records.push(record(&Row { batch: &texts, row })?);
        }
    }
    Ok(records)
}

impl Texts {
    fn of(batch: &RecordBatch) -> Result<Self, LakeError> {
        let arrow = |error| LakeError::Query(Box::new(error));
        let schema = batch.schema();
        let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
            let text = matches!(column.data_type(), DataType::Utf8 | DataType::LargeUtf8);
            let column = if text { cast(column, &DataType::Utf8View).map_err(arrow)? } else { column.clone() };
            Ok((field.name().clone(), column, true))
        });
        let columns = columns.collect::<Result<Vec<_>, LakeError>>()?;
        Ok(Self(RecordBatch::try_from_iter_with_nullable(columns).map_err(arrow)?))
    }

    fn column(&self, name: &'static str) -> Result<&ArrayRef, LakeError> {
        self.0.column_by_name(name).ok_or_else(|| unreadable(name))
    }

    fn strings(&self, name: &'static str) -> Result<&StringViewArray, LakeError> {
        self.column(name)?.as_string_view_opt().ok_or_else(|| unreadable(name))
    }
}

impl Row<'_> {
    fn optional_text(&self, name: &'static str) -> Result<Option<&str>, LakeError> {
        let strings = self.batch.strings(name)?;
        Ok(strings.is_valid(self.row).then(|| strings.value(self.row)))
    }

    pub(crate) fn text(&self, name: &'static str) -> Result<&str, LakeError> {
        self.optional_text(name)?.ok_or_else(|| unreadable(name))
    }

    /// The value that `name`'s text stands for.
    fn named<T>(&self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, LakeError> {
        parse(self.text(name)?).ok_or_else(|| unreadable(name))
    }

    pub(crate) fn int(&self, name: &'static str) -> Result<i64, LakeError> {
        let values = self.batch.column(name)?.as_primitive_opt::<Int64Type>().ok_or_else(|| unreadable(name))?;
        values.is_valid(self.row).then(|| values.value(self.row)).ok_or_else(|| unreadable(name))
    }

    pub(crate) fn count(&self, name: &'static str) -> Result<u64, LakeError> {
        u64::try_from(self.int(name)?).map_err(|_| unreadable(name))
    }

    pub(crate) fn float(&self, name: &'static str) -> Result<f64, LakeError> {
        let values = self.batch.column(name)?.as_primitive_opt::<Float64Type>().ok_or_else(|| unreadable(name))?;
        values.is_valid(self.row).then(|| values.value(self.row)).ok_or_else(|| unreadable(name))
    }

    pub(crate) fn optional_time(&self, name: &'static str) -> Result<Option<Timestamp>, LakeError> {
        let values = self.batch.column(name)?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| unreadable(name))?;
        Ok(values.is_valid(self.row).then(|| Timestamp(values.value(self.row))))
    }

    pub(crate) fn time(&self, name: &'static str) -> Result<Timestamp, LakeError> {
        self.optional_time(name)?.ok_or_else(|| unreadable(name))
    }

    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, LakeError> {
        let values = self.batch.column(name)?.as_boolean_opt().ok_or_else(|| unreadable(name))?;
        Ok(values.is_valid(self.row) && values.value(self.row))
    }

    pub(crate) fn gateway(&self) -> Result<GatewayId, LakeError> {
        self.named("gateway", |text| GatewayId::new(text).ok())
    }

    fn asset(&self) -> Result<AssetPath, LakeError> {
        self.named("asset", |text| AssetPath::new(text).ok())
    }

    pub(crate) fn signal(&self) -> Result<SignalName, LakeError> {
        self.named("signal", |text| SignalName::new(text).ok())
    }

    /// The record with where it came from.
    pub(crate) fn sourced<T>(&self, record: impl Fn(&Self) -> Result<T, LakeError>) -> Result<Sourced<T>, LakeError> {
        Ok(Sourced { gateway: self.gateway()?, ingested_at: self.time("ingested_at")?, record: record(self)? })
    }

    pub(crate) fn window(&self) -> Result<WindowSummary, LakeError> {
        Ok(WindowSummary {
            asset: self.asset()?,
            signal: self.signal()?,
            unit: self.text("unit")?.into(),
            start: self.time("window_start")?,
            end: self.time("window_end")?,
            count: self.count("count")?,
            min: self.float("min")?,
            max: self.float("max")?,
            mean: self.float("mean")?,
            stddev: self.float("stddev")?,
            first: self.float("first")?,
            last: self.float("last")?,
            quality: self.named("quality", Quality::from_name)?,
            time_quality: self.time_quality()?,
            correction: self.flag("correction")?,
        })
    }

    pub(crate) fn anomaly(&self) -> Result<Anomaly, LakeError> {
        Ok(Anomaly {
            asset: self.asset()?,
            signal: self.signal()?,
            event_time: self.time("event_time")?,
            kind: self.named("kind", AnomalyKind::from_name)?,
            severity: self.named("severity", Severity::from_name)?,
            value: self.float("value")?,
            threshold: self.float("threshold")?,
            score: self.float("score")?,
            detector: self.text("detector")?.into(),
            message: self.text("message")?.into(),
        })
    }

    pub(crate) fn state(&self) -> Result<StateChange, LakeError> {
        Ok(StateChange {
            asset: self.asset()?,
            event_time: self.time("event_time")?,
            state: self.named("state", MachineState::from_name)?,
            reason: self.text("reason")?.into(),
            time_quality: self.time_quality()?,
        })
    }

    pub(crate) fn parts(&self) -> Result<PartCount, LakeError> {
        Ok(PartCount {
            asset: self.asset()?,
            from: self.time("from_time")?,
            to: self.time("to_time")?,
            produced: self.count("produced")?,
            rejected: self.count("rejected")?,
            reworked: self.count("reworked")?,
            time_quality: self.time_quality()?,
        })
    }

    pub(crate) fn loss(&self) -> Result<Loss, LakeError> {
        Ok(Loss {
            asset: self.optional_text("asset")?.map(AssetPath::new).transpose().map_err(|_| unreadable("asset"))?,
            signal: self.optional_text("signal")?.map(SignalName::new).transpose().map_err(|_| unreadable("signal"))?,
            reason: self.loss_reason()?,
            count: self.count("count")?,
            from: self.time("from_time")?,
            to: self.time("to_time")?,
            detail: self.text("detail")?.into(),
        })
    }

    pub(crate) fn loss_reason(&self) -> Result<LossReason, LakeError> {
        self.named("reason", LossReason::from_name)
    }

    fn time_quality(&self) -> Result<TimeQuality, LakeError> {
        self.named("time_quality", TimeQuality::from_name)
    }
}
