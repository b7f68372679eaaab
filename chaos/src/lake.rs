//! The lake as far as delivery stands on it: rows of five tables, each with its streams' marks, committed in one step a table.
//!
//! A model of `lake::commit`, with the same rule: of what is to be stored, rows at or below their stream's mark in the newest version of the
//! table are left out; the rest and the new marks become durable together, or not at all. Several collectors may share one lake.
//!
//! The real lake also keeps rows out of memory that it has seen. The model does not: the ledger alone must answer for that.

use std::collections::BTreeMap;

use protocol::{GatewayId, Record, StreamId};

/// Kinds of records: each has a table.
pub const TABLES: usize = 5;

/// A row with where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub gateway: GatewayId,
    pub stream: StreamId,
    pub seq: u64,
    pub record: Record,
}

impl Row {
    /// The table it belongs to.
    pub fn table(&self) -> usize {
        match self.record {
            Record::Window(_) => 0,
            Record::Anomaly(_) => 1,
            Record::State(_) => 2,
            Record::Parts(_) => 3,
            Record::Loss(_) => 4,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Table {
    rows: Vec<Row>,
    marks: BTreeMap<(GatewayId, StreamId), u64>,
}

/// All that is durable. A clone is a backup.
#[derive(Debug, Clone, Default)]
pub struct Lake {
    tables: [Table; TABLES],
}

/// What a commit of one table did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    pub stored: usize,
    pub left_out: usize,
}

impl Lake {
    /// Stores of `rows` what belongs to `table` and is above the marks. `fences` are marks that move without rows.
    pub fn commit(&mut self, table: usize, rows: &[Row], fences: &[(GatewayId, StreamId, u64)]) -> Committed {
        let Table { rows: kept, marks } = &mut self.tables[table];
        let mut done = Committed::default();
        let mut new: BTreeMap<(GatewayId, StreamId), u64> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.table() == table) {
            let key = (row.gateway.clone(), row.stream);
            if marks.get(&key).is_some_and(|mark| row.seq <= *mark) {
                done.left_out += 1;
                continue;
            }
            let mark = new.entry(key).or_default();
            *mark = row.seq.max(*mark);
            kept.push(row.clone());
            done.stored += 1;
        }
        marks.append(&mut new);
        for (gateway, stream, seq) in fences {
            let mark = marks.entry((gateway.clone(), *stream)).or_default();
            *mark = (*mark).max(*seq);
        }
        done
    }

    /// The highest mark of each stream over all tables.
    pub fn watermarks(&self) -> Vec<(GatewayId, StreamId, u64)> {
        let mut highest: BTreeMap<&(GatewayId, StreamId), u64> = BTreeMap::new();
        for (key, mark) in self.tables.iter().flat_map(|table| &table.marks) {
            let entry = highest.entry(key).or_default();
            *entry = (*entry).max(*mark);
        }
        highest.into_iter().map(|((gateway, stream), mark)| (gateway.clone(), *stream, mark)).collect()
    }

    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.tables.iter().flat_map(|table| &table.rows)
    }

    /// Rows of one table, in the order in which they were stored.
    pub fn rows_of(&self, table: usize) -> &[Row] {
        &self.tables[table].rows
    }

    /// Rows of all tables.
    pub fn len(&self) -> usize {
        self.tables.iter().map(|table| table.rows.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use protocol::{MachineState, PartCount, StateChange, TimeQuality, Timestamp};

    use super::*;

    fn row(seq: u64, parts: bool) -> Row {
        let asset = "p/a/l/m".parse().unwrap();
        let (time_quality, event_time) = (TimeQuality::Synced, Timestamp::from_micros(1));
        let record = if parts {
            Record::Parts(PartCount { asset, from: event_time, to: event_time, produced: 1, rejected: 0, reworked: 0, time_quality })
        } else {
            Record::State(StateChange { asset, event_time, state: MachineState::Idle, reason: String::new(), time_quality })
        };
        Row { gateway: GatewayId::new("gw").unwrap(), stream: StreamId(8), seq, record }
    }

    #[test]
    fn rows_at_or_below_the_mark_are_left_out_table_by_table() {
        let mut lake = Lake::default();
        let rows = [row(1, false), row(1, true), row(2, false)];
        assert_eq!(lake.commit(2, &rows, &[]), Committed { stored: 2, left_out: 0 });
        assert_eq!(lake.commit(2, &rows, &[]), Committed { stored: 0, left_out: 2 }, "a second attempt stores nothing again");
        assert_eq!(lake.commit(3, &rows, &[]), Committed { stored: 1, left_out: 0 }, "the other table has its own marks");
        assert_eq!(lake.watermarks(), [(GatewayId::new("gw").unwrap(), StreamId(8), 2)]);
        assert_eq!(lake.len(), 3);
    }

    #[test]
    fn rows_of_one_entry_are_stored_together() {
        let mut lake = Lake::default();
        assert_eq!(lake.commit(2, &[row(4, false), row(4, false)], &[]).stored, 2, "the mark moves after the commit, not in it");
    }
}
