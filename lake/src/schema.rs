//! The tables and their columns, as users of SQL and other engines see them.
//!
//! Columns are named as the fields of the records, apart from `start`, `end`, `from` and `to`, which SQL keeps for itself. Enumerations are their
//! text, times are microseconds in UTC. Every table begins with where a row came from.

use deltalake::{
    arrow::datatypes::{DataType as ArrowType, TimeUnit},
    kernel::{DataType, PrimitiveType},
};
use protocol::Record;

/// One table per kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    WindowSummaries,
    Anomalies,
    StateChanges,
    PartCounts,
    Losses,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// 64 bits, signed.
    Int,
    Float,
    Time,
    Flag,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ColumnDef {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) optional: bool,
}

const fn col(name: &'static str, kind: Kind) -> ColumnDef {
    ColumnDef { name, kind, optional: false }
}

const fn optional(name: &'static str, kind: Kind) -> ColumnDef {
    ColumnDef { name, kind, optional: true }
}

use Kind::{Flag, Float, Int, Text, Time};

const ORIGIN: [ColumnDef; 4] = [col("gateway", Text), col("stream", Text), col("seq", Int), col("ingested_at", Time)];

/// The run of the gateway that made the row. Last, as tables of before have no such column: it is added when they are opened.
const MADE: [ColumnDef; 1] = [optional("boot_id", Text)];

const WINDOW_SUMMARIES: &[ColumnDef] = &[
    col("asset", Text),
    col("signal", Text),
    col("unit", Text),
    col("window_start", Time),
    col("window_end", Time),
    col("count", Int),
    col("min", Float),
    col("max", Float),
    col("mean", Float),
    col("stddev", Float),
    col("first", Float),
    col("last", Float),
    col("quality", Text),
    col("time_quality", Text),
    col("correction", Flag),
];

const ANOMALIES: &[ColumnDef] = &[
    col("asset", Text),
    col("signal", Text),
    col("event_time", Time),
    col("kind", Text),
    col("severity", Text),
    col("value", Float),
    col("threshold", Float),
    col("score", Float),
    col("detector", Text),
    col("message", Text),
    optional("time_quality", Text),
];

const STATE_CHANGES: &[ColumnDef] =
    &[col("asset", Text), col("event_time", Time), col("state", Text), col("reason", Text), col("time_quality", Text)];

const PART_COUNTS: &[ColumnDef] = &[
    col("asset", Text),
    col("from_time", Time),
    col("to_time", Time),
    col("produced", Int),
    col("rejected", Int),
    col("reworked", Int),
    col("time_quality", Text),
];

const LOSSES: &[ColumnDef] = &[
    optional("asset", Text),
    optional("signal", Text),
    col("reason", Text),
    col("count", Int),
    col("from_time", Time),
    col("to_time", Time),
    col("detail", Text),
    optional("time_quality", Text),
];

impl Table {
    pub(crate) const ALL: [Self; 5] = [Self::WindowSummaries, Self::Anomalies, Self::StateChanges, Self::PartCounts, Self::Losses];

    /// The table that a record belongs to.
    pub(crate) fn of(record: &Record) -> Self {
        match record {
            Record::Window(_) => Self::WindowSummaries,
            Record::Anomaly(_) => Self::Anomalies,
            Record::State(_) => Self::StateChanges,
            Record::Parts(_) => Self::PartCounts,
            Record::Loss(_) => Self::Losses,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::WindowSummaries => "window_summaries",
            Self::Anomalies => "anomalies",
            Self::StateChanges => "state_changes",
            Self::PartCounts => "part_counts",
            Self::Losses => "losses",
        }
    }

    /// Position in [`Self::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Columns in order: origin, then the record's own, then the run that made it.
    pub(crate) fn columns(self) -> impl Iterator<Item = ColumnDef> {
        let own = match self {
            Self::WindowSummaries => WINDOW_SUMMARIES,
            Self::Anomalies => ANOMALIES,
            Self::StateChanges => STATE_CHANGES,
            Self::PartCounts => PART_COUNTS,
            Self::Losses => LOSSES,
        };
        ORIGIN.iter().chain(own).chain(&MADE).copied()
    }

    /// What compaction sorts by: a question mostly names an asset, then a signal, and always a period.
    pub(crate) const fn sort_columns(self) -> &'static [&'static str] {
        match self {
            Self::WindowSummaries => &["asset", "signal", "window_start"],
            Self::Anomalies => &["asset", "signal", "event_time"],
            Self::StateChanges => &["asset", "event_time"],
            Self::PartCounts => &["asset", "to_time"],
            Self::Losses => &["gateway", "to_time"],
        }
    }

    /// Columns whose lowest and highest values of each file are kept in the log, so that a query can leave files out. Only these: every query and
    /// every commit walks through all of them.
    pub(crate) const fn stats_columns(self) -> &'static [&'static str] {
        match self {
            Self::WindowSummaries => &["asset", "signal", "window_start", "window_end", "ingested_at"],
            Self::Anomalies => &["asset", "signal", "event_time", "ingested_at"],
            Self::StateChanges => &["asset", "event_time", "ingested_at"],
            Self::PartCounts => &["asset", "from_time", "to_time", "ingested_at"],
            Self::Losses => &["gateway", "from_time", "to_time", "ingested_at"],
        }
    }
}

impl Kind {
    pub(crate) fn delta_type(self) -> DataType {
        DataType::Primitive(match self {
            Text => PrimitiveType::String,
            Int => PrimitiveType::Long,
            Float => PrimitiveType::Double,
            Time => PrimitiveType::Timestamp,
            Flag => PrimitiveType::Boolean,
        })
    }

    /// True if columns of this kind can appear as `found` in a query.
    pub(crate) fn reads_as(self, found: &ArrowType) -> bool {
        match self {
            Text => matches!(found, ArrowType::Utf8 | ArrowType::Utf8View | ArrowType::LargeUtf8),
            Int => *found == ArrowType::Int64,
            Float => *found == ArrowType::Float64,
            Time => matches!(found, ArrowType::Timestamp(TimeUnit::Microsecond, Some(_))),
            Flag => *found == ArrowType::Boolean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_know_their_place_and_the_columns_that_they_name_exist() {
        for (index, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table.index(), index);
            for wanted in table.sort_columns().iter().chain(table.stats_columns()) {
                assert!(table.columns().any(|column| column.name == *wanted), "{}.{wanted}", table.name());
            }
        }
    }
}
