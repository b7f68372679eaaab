//! Rows into columns: [`StoredRow`]s of one table become one record batch.
//!
//! Invariant: cells are written in the order of [`Table::columns`], every column once per row.

use std::sync::Arc;

use deltalake::arrow::{
    array::{ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder},
    compute::cast,
    datatypes::SchemaRef,
    error::ArrowError,
};
use protocol::{Anomaly, EntryStamp, GatewayId, Loss, PartCount, Record, StateChange, StreamId, Timestamp, WindowSummary};

use crate::schema::{Kind, Table};

/// A record with where it came from: (`stream`, `seq`) names its spool entry for good.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRow {
    pub gateway: GatewayId,
    pub stream: StreamId,
    pub seq: u64,
    /// When the collector took it in.
    pub ingested_at: Timestamp,
    /// Where and when the gateway made it, if that is known.
    pub stamp: Option<EntryStamp>,
    pub record: Record,
}

/// The columns of one table while they are being filled.
pub(crate) struct Sheet {
    cells: Vec<Cells>,
    next: usize,
}

enum Cells {
    Text(StringBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Time(TimestampMicrosecondBuilder),
    Flag(BooleanBuilder),
}

impl Sheet {
    pub(crate) fn new(table: Table) -> Self {
        let cells = table.columns().map(|column| match column.kind {
            Kind::Text => Cells::Text(StringBuilder::new()),
            Kind::Int => Cells::Int(Int64Builder::new()),
            Kind::Float => Cells::Float(Float64Builder::new()),
            Kind::Time => Cells::Time(TimestampMicrosecondBuilder::new()),
            Kind::Flag => Cells::Flag(BooleanBuilder::new()),
        });
        Self { cells: cells.collect(), next: 0 }
    }

    /// Adds a row of this sheet's table.
    pub(crate) fn row(&mut self, row: &StoredRow, stream: &str) {
        self.next = 0;
        self.text(row.gateway.as_str());
        self.text(stream);
        self.int(row.seq);
        self.time(row.ingested_at);
        // The others have one of their own.
        let time_quality = row.stamp.map(|stamp| stamp.time_quality.as_str());
        match &row.record {
            Record::Window(record) => self.window(record),
            Record::Anomaly(record) => {
                self.anomaly(record);
                self.optional_text(time_quality);
            }
            Record::State(record) => self.state(record),
            Record::Parts(record) => self.parts(record),
            Record::Loss(record) => {
                self.loss(record);
                self.optional_text(time_quality);
            }
        }
        self.optional_text(row.stamp.map(|stamp| format!("{:016x}", stamp.boot_id)).as_deref());
        debug_assert_eq!(self.next, self.cells.len());
    }

    fn window(&mut self, record: &WindowSummary) {
        self.text(record.asset.as_str());
        self.text(record.signal.as_str());
        self.text(&record.unit);
        self.time(record.start);
        self.time(record.end);
        self.int(record.count);
        for value in [record.min, record.max, record.mean, record.stddev, record.first, record.last] {
            self.float(value);
        }
        self.text(record.quality.as_str());
        self.text(record.time_quality.as_str());
        self.flag(record.correction);
    }

    fn anomaly(&mut self, record: &Anomaly) {
        self.text(record.asset.as_str());
        self.text(record.signal.as_str());
        self.time(record.event_time);
        self.text(record.kind.as_str());
        self.text(record.severity.as_str());
        for value in [record.value, record.threshold, record.score] {
            self.float(value);
        }
        self.text(&record.detector);
        self.text(&record.message);
    }

    fn state(&mut self, record: &StateChange) {
        self.text(record.asset.as_str());
        self.time(record.event_time);
        self.text(record.state.as_str());
        self.text(&record.reason);
        self.text(record.time_quality.as_str());
    }

    fn parts(&mut self, record: &PartCount) {
        self.text(record.asset.as_str());
        self.time(record.from);
        self.time(record.to);
        for value in [record.produced, record.rejected, record.reworked] {
            self.int(value);
        }
        self.text(record.time_quality.as_str());
    }

    fn loss(&mut self, record: &Loss) {
        self.optional_text(record.asset.as_ref().map(protocol::AssetPath::as_str));
        self.optional_text(record.signal.as_ref().map(protocol::SignalName::as_str));
        self.text(record.reason.as_str());
        self.int(record.count);
        self.time(record.from);
        self.time(record.to);
        self.text(&record.detail);
    }

    fn cell(&mut self) -> Option<&mut Cells> {
        self.next += 1;
        self.cells.get_mut(self.next - 1)
    }

    fn text(&mut self, value: &str) {
        self.optional_text(Some(value));
    }

    fn optional_text(&mut self, value: Option<&str>) {
        match self.cell() {
            Some(Cells::Text(cells)) => cells.append_option(value),
            _ => debug_assert!(false, "column {} is no text", self.next),
        }
    }

    /// Counts above `i64::MAX` do not occur; they would be stored as that.
    fn int(&mut self, value: u64) {
        match self.cell() {
            Some(Cells::Int(cells)) => cells.append_value(i64::try_from(value).unwrap_or(i64::MAX)),
            _ => debug_assert!(false, "column {} is no integer", self.next),
        }
    }

    fn float(&mut self, value: f64) {
        match self.cell() {
            Some(Cells::Float(cells)) => cells.append_value(value),
            _ => debug_assert!(false, "column {} is no float", self.next),
        }
    }

    fn time(&mut self, value: Timestamp) {
        match self.cell() {
            Some(Cells::Time(cells)) => cells.append_value(value.as_micros()),
            _ => debug_assert!(false, "column {} is no time", self.next),
        }
    }

    fn flag(&mut self, value: bool) {
        match self.cell() {
            Some(Cells::Flag(cells)) => cells.append_value(value),
            _ => debug_assert!(false, "column {} is no flag", self.next),
        }
    }

    /// The rows as a batch of `schema`, which has the table's columns in the types that queries use.
    pub(crate) fn finish(self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let columns = self.cells.into_iter().map(|cells| -> ArrayRef {
            match cells {
                Cells::Text(mut cells) => Arc::new(cells.finish()),
                Cells::Int(mut cells) => Arc::new(cells.finish()),
                Cells::Float(mut cells) => Arc::new(cells.finish()),
                Cells::Time(mut cells) => Arc::new(cells.finish().with_timezone("UTC")),
                Cells::Flag(mut cells) => Arc::new(cells.finish()),
            }
        });
        let columns: Vec<ArrayRef> = columns.collect();
        conform(&columns, schema)
    }
}

/// The same columns in the types of `schema`.
pub(crate) fn conform(columns: &[ArrayRef], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = columns.iter().zip(schema.fields()).map(|(column, field)| match column.data_type() == field.data_type() {
        true => Ok(Arc::clone(column)),
        false => cast(column, field.data_type()),
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}
