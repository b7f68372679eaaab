//! Records on their way out, and the ledger of what will never be one.
//!
//! Invariant: at most `max_records` records wait; one that finds no room is booked as a loss of its readings.

use protocol::{Loss, LossReason, Record};

use crate::ledger::Ledger;

#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) records: Vec<Record>,
    pub(super) ledger: Ledger,
    max_records: usize,
}

impl Outbox {
    pub(super) fn new(max_records: usize) -> Self {
        Self { records: Vec::new(), ledger: Ledger::default(), max_records }
    }

    pub(super) fn emit(&mut self, record: impl Into<OneRecord>) {
        let OneRecord(record) = record.into();
        if self.records.len() < self.max_records {
            self.records.push(record);
        } else {
            self.lose(&record, LossReason::QueueFull);
        }
    }

    /// Tells what the ledger holds, if it is time and as far as there is room.
    pub(super) fn tell_losses(&mut self, now_us: u64) {
        let room = self.max_records.saturating_sub(self.records.len());
        self.records.extend(self.ledger.tell(now_us, room).into_iter().map(Record::Loss));
    }

    /// Books a record that can't be kept. A loss among them is held again, not booked twice.
    pub(super) fn lose(&mut self, record: &Record, reason: LossReason) {
        let loss = match record {
            Record::Loss(loss) => return self.ledger.hold(loss.clone()),
            Record::Window(w) => Loss {
                asset: Some(w.asset.clone()),
                signal: Some(w.signal.clone()),
                reason,
                count: w.count,
                from: w.start,
                to: w.end,
                detail: "window summary".into(),
            },
            Record::Anomaly(a) => Loss {
                asset: Some(a.asset.clone()),
                signal: Some(a.signal.clone()),
                reason,
                count: 0,
                from: a.event_time,
                to: a.event_time,
                detail: "anomaly".into(),
            },
            Record::State(s) => Loss {
                asset: Some(s.asset.clone()),
                signal: None,
                reason,
                count: 0,
                from: s.event_time,
                to: s.event_time,
                detail: format!("change to {}", s.state),
            },
            Record::Parts(p) => Loss {
                asset: Some(p.asset.clone()),
                signal: None,
                reason,
                count: 0,
                from: p.from,
                to: p.to,
                detail: format!("{} parts", p.produced),
            },
        };
        self.ledger.book(loss);
    }
}

/// Any of the kinds of records.
pub(super) struct OneRecord(Record);

macro_rules! from_kind {
    ($($kind:ident => $variant:ident),+) => {
        $(impl From<protocol::$kind> for OneRecord {
            fn from(record: protocol::$kind) -> Self {
                Self(Record::$variant(record))
            }
        })+
    };
}

from_kind!(WindowSummary => Window, Anomaly => Anomaly, StateChange => State, PartCount => Parts, Loss => Loss);
