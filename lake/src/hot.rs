//! Rows in memory: per table a short list of record batches that grows by every push.
//!
//! A list stays short because neighbours of similar size are merged as in a binary counter: n rows lie in about n / [`MAX_CHUNK_ROWS`] + log n
//! chunks, and each row is copied at most log times. Lists are never changed in place; a query keeps the one that it began with.
//!
//! Invariant: a row at or below its table's watermark of its stream is not taken in.

use std::{collections::HashMap, sync::Arc};

use deltalake::arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::concat_batches,
    datatypes::{DataType, SchemaRef},
    error::ArrowError,
};
use protocol::{GatewayId, StreamId};

use crate::{
    Inner, PushReport,
    rows::{Sheet, StoredRow},
    schema::Table,
};

/// A chunk of this size is left alone.
const MAX_CHUNK_ROWS: usize = 8192;

pub(crate) type StreamKey = (GatewayId, StreamId);

/// Lowest and highest sequence of a stream's rows in a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

impl Span {
    fn with(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

/// Up to where nothing more of a stream is to be stored.
pub(crate) type Fences = HashMap<StreamKey, u64>;

#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) batch: RecordBatch,
    pub(crate) spans: Arc<HashMap<StreamKey, Span>>,
}

/// What has been taken in so far: per table and stream the highest sequence pushed or stored.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    taken: [HashMap<StreamKey, u64>; Table::ALL.len()],
    /// Of each table, those set since the last freeze and those that a commit is storing.
    open_fences: [Fences; Table::ALL.len()],
    frozen_fences: [Fences; Table::ALL.len()],
}

impl Intake {
    /// Rows of `key` up to `seq` are in the table.
    pub(crate) fn raise(&mut self, table: Table, key: &StreamKey, seq: u64) {
        let mark = self.taken[table.index()].entry(key.clone()).or_default();
        *mark = seq.max(*mark);
    }

    pub(crate) fn fences(&self, table: Table) -> Fences {
        self.frozen_fences[table.index()].clone()
    }

    /// What a commit of `table` has stored is no fence any more.
    pub(crate) fn fences_stored(&mut self, table: Table) {
        self.frozen_fences[table.index()].clear();
    }
}

impl Inner {
    pub(crate) fn push(&self, rows: &[StoredRow]) -> PushReport {
        // Held throughout, so that the check, the append and the freezing of a commit can't interleave.
        let mut intake = self.intake.lock();
        let mut report = PushReport::default();
        let mut fresh: [Vec<&StoredRow>; Table::ALL.len()] = Default::default();
        for row in rows {
            let table = Table::of(&row.record);
            // Raised only after the loop: rows of one entry share a sequence.
            let mark = intake.taken[table.index()].get(&(row.gateway.clone(), row.stream));
            match mark.is_some_and(|mark| row.seq <= *mark) {
                true => report.duplicates += 1,
                false => fresh[table.index()].push(row),
            }
        }
        let views = self.views();
        let mut opened = Vec::new();
        for (table, rows) in Table::ALL.into_iter().zip(&fresh).filter(|(_, rows)| !rows.is_empty()) {
            let view = &views.tables[table.index()];
            let chunk = match Chunk::of(table, rows, &view.schema()) {
                Ok(chunk) => chunk,
                Err(error) => {
                    // Only a bug of ours can bring this about: the columns are built from the table's own list.
                    tracing::error!(table = table.name(), rows = rows.len(), %error, "rows could not be taken in");
                    continue;
                }
            };
            for (key, span) in chunk.spans.iter() {
                intake.raise(table, key, span.high);
            }
            report.accepted += rows.len();
            opened.push((table, appended(&view.open, chunk)));
        }
        let mut current = self.views.write();
        let mut next = current.as_ref().clone();
        for (table, open) in opened {
            next.tables[table.index()].open = Arc::new(open);
        }
        *current = Arc::new(next);
        report
    }

    /// Marks a stream as stored through `through` in every table, with the next commit. What was pushed before is stored with it.
    pub(crate) fn fence(&self, gateway: &GatewayId, stream: StreamId, through: u64) {
        let mut intake = self.intake.lock();
        for table in Table::ALL {
            let fence = intake.open_fences[table.index()].entry((gateway.clone(), stream)).or_default();
            *fence = through.max(*fence);
        }
    }

    /// Moves what is open of every table to what is being stored; returns the tables that have any.
    pub(crate) fn freeze(&self) -> Vec<Table> {
        let mut intake = self.intake.lock();
        for table in Table::ALL {
            let open = std::mem::take(&mut intake.open_fences[table.index()]);
            let frozen = &mut intake.frozen_fences[table.index()];
            for (key, through) in open {
                let fence = frozen.entry(key).or_default();
                *fence = through.max(*fence);
            }
        }
        let mut current = self.views.write();
        let mut next = current.as_ref().clone();
        for view in &mut next.tables {
            // What an earlier commit could not store is still there, and goes first.
            let frozen = view.frozen.iter().chain(view.open.iter()).cloned().collect();
            view.frozen = Arc::new(frozen);
            view.open = Arc::default();
        }
        let has_work = |table: &Table| !next.tables[table.index()].frozen.is_empty() || !intake.frozen_fences[table.index()].is_empty();
        let tables = Table::ALL.into_iter().filter(has_work).collect();
        *current = Arc::new(next);
        tables
    }
}

impl Chunk {
    fn of(table: Table, rows: &[&StoredRow], schema: &SchemaRef) -> Result<Self, ArrowError> {
        let mut sheet = Sheet::new(table);
        let mut spans: HashMap<StreamKey, Span> = HashMap::new();
        let mut last: Option<(StreamId, String)> = None;
        for row in rows {
            let stream = match &last {
                Some((stream, text)) if *stream == row.stream => text.as_str(),
                _ => &last.insert((row.stream, row.stream.to_string())).1,
            };
            sheet.row(row, stream);
            let one = Span { low: row.seq, high: row.seq };
            let span = spans.entry((row.gateway.clone(), row.stream)).or_insert(one);
            *span = span.with(one);
        }
        Ok(Self { batch: sheet.finish(schema)?, spans: Arc::new(spans) })
    }

    pub(crate) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    fn merged(&self, other: &Self) -> Result<Self, ArrowError> {
        let batch = compacted(&concat_batches(&self.batch.schema(), [&self.batch, &other.batch])?)?;
        Ok(Self { batch, spans: Arc::new(merged_spans([self, other])) })
    }
}

/// The sequences of all `chunks` together.
pub(crate) fn merged_spans<'a>(chunks: impl IntoIterator<Item = &'a Chunk>) -> HashMap<StreamKey, Span> {
    let mut spans: HashMap<StreamKey, Span> = HashMap::new();
    for (key, span) in chunks.into_iter().flat_map(|chunk| chunk.spans.iter()) {
        let whole = spans.entry(key.clone()).or_insert(*span);
        *whole = whole.with(*span);
    }
    spans
}

fn appended(chunks: &[Chunk], new: Chunk) -> Vec<Chunk> {
    let mut chunks = chunks.to_vec();
    chunks.push(new);
    while let [.., left, right] = chunks.as_slice() {
        let fits = left.rows() + right.rows() <= MAX_CHUNK_ROWS && left.rows() <= 2 * right.rows();
        let Some(merged) = fits.then(|| left.merged(right)).and_then(Result::ok) else { break };
        chunks.truncate(chunks.len() - 2);
        chunks.push(merged);
    }
    chunks
}

/// Text columns otherwise keep the buffers of everything that they were made of.
fn compacted(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| -> ArrayRef {
        match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            _ => Arc::clone(column),
        }
    });
    RecordBatch::try_new(batch.schema(), columns.collect())
}

#[cfg(test)]
mod tests {
    use deltalake::arrow::datatypes::{Field, Schema};
    use protocol::{MachineState, Record, StateChange, TimeQuality, Timestamp};

    use super::*;

    fn row(seq: u64) -> StoredRow {
        let record = Record::State(StateChange {
            asset: "plant1/press-shop/line1/press-1".parse().unwrap(),
            event_time: Timestamp(seq as i64),
            state: MachineState::Producing,
            reason: String::new(),
            time_quality: TimeQuality::Synced,
        });
        StoredRow { gateway: "gw".parse().unwrap(), stream: StreamId(7), seq, ingested_at: Timestamp(0), stamp: None, record }
    }

    fn schema() -> SchemaRef {
        let fields = Table::StateChanges.columns().map(|column| {
            let kind = match column.kind {
                crate::schema::Kind::Text => DataType::Utf8View,
                crate::schema::Kind::Int => DataType::Int64,
                crate::schema::Kind::Float => DataType::Float64,
                crate::schema::Kind::Time => DataType::Timestamp(deltalake::arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into())),
                crate::schema::Kind::Flag => DataType::Boolean,
            };
            Field::new(column.name, kind, column.optional)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    #[test]
    fn ten_thousand_single_rows_stay_in_few_chunks_and_in_order() {
        let mut chunks = Vec::new();
        for seq in 1..=10_000 {
            chunks = appended(&chunks, Chunk::of(Table::StateChanges, &[&row(seq)], &schema()).unwrap());
        }
        assert!(chunks.len() <= 16, "{} chunks", chunks.len());
        let seqs: Vec<i64> = chunks
            .iter()
            .flat_map(|chunk| chunk.batch.column(2).as_primitive::<deltalake::arrow::datatypes::Int64Type>().values().to_vec())
            .collect();
        assert_eq!(seqs, (1..=10_000).collect::<Vec<i64>>());
        let spans = merged_spans(&chunks);
        assert_eq!(spans.values().collect::<Vec<_>>(), [&Span { low: 1, high: 10_000 }]);
    }
}
