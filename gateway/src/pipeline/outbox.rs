//! Records on their way out, and the ledger of what will never be one.
//!
//! Invariant: at most `max_records` records wait; beyond, data goes before what is inherited, and that before what is urgent, and what goes is
//! booked as a loss of its readings.

use std::collections::VecDeque;

use protocol::{DATA, Loss, LossReason, Record};

use crate::{
    config::Overflow,
    entry,
    ledger::{Ledger, loss_of},
};

#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) urgent: VecDeque<Record>,
    pub(super) data: VecDeque<Record>,
    /// What tells of the run before this one: of both kinds.
    pub(super) inherited: VecDeque<Record>,
    pub(super) ledger: Ledger,
    /// Readings that were taken in and lost after that.
    pub(super) lost_after: u64,
    /// Readings (of some reasons messages) that were lost before they could be taken in.
    pub(super) lost_before: u64,
    /// Why records find no room.
    pub(super) reason: LossReason,
    max_records: usize,
    overflow: Overflow,
}

impl Outbox {
    pub(super) fn new(max_records: usize, overflow: Overflow) -> Self {
        Self {
            urgent: VecDeque::new(),
            data: VecDeque::new(),
            inherited: VecDeque::new(),
            ledger: Ledger::default(),
            lost_after: 0,
            lost_before: 0,
            reason: LossReason::QueueFull,
            max_records,
            overflow,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.urgent.len() + self.data.len() + self.inherited.len()
    }

    /// Readings in the summaries that wait.
    pub(super) fn readings(&self) -> u64 {
        self.data.iter().chain(&self.inherited).map(|record| entry::readings(std::slice::from_ref(record))).sum()
    }

    pub(super) fn emit(&mut self, record: impl Into<OneRecord>) {
        let OneRecord(record) = record.into();
        if entry::lane(&record) == DATA {
            self.data.push_back(record);
        } else {
            self.urgent.push_back(record);
        }
        self.shed();
    }

    /// The same for what tells of the run before.
    pub(super) fn inherit(&mut self, record: impl Into<OneRecord>) {
        self.inherited.push_back(record.into().0);
        self.shed();
    }

    /// Tells what the ledger holds, if it is time and as far as there is room.
    pub(super) fn tell_losses(&mut self, now_us: u64) {
        let room = self.max_records.saturating_sub(self.len());
        self.urgent.extend(self.ledger.tell(now_us, room).into_iter().map(Record::Loss));
    }

    /// The same at once.
    pub(super) fn tell_all_losses(&mut self, now_us: u64) {
        let room = self.max_records.saturating_sub(self.len());
        self.urgent.extend(self.ledger.tell_now(now_us, room).into_iter().map(Record::Loss));
    }

    /// Books what was never taken in.
    pub(super) fn book(&mut self, loss: Loss) {
        self.lost_before = self.lost_before.saturating_add(loss.count);
        self.ledger.book(loss);
    }

    /// Books readings that had been taken in.
    pub(super) fn book_after(&mut self, loss: Loss) {
        self.lost_after = self.lost_after.saturating_add(loss.count);
        self.ledger.book(loss);
    }

    /// Books a record that can't be kept. A loss among them is held again, not booked twice.
    pub(super) fn lose(&mut self, record: &Record, reason: LossReason) {
        match record {
            Record::Loss(loss) => self.ledger.hold(loss.clone()),
            other => {
                self.lost_after = self.lost_after.saturating_add(entry::readings(std::slice::from_ref(other)));
                self.ledger.book(loss_of(other, reason));
            }
        }
    }

    /// Keeps what waits within its bound.
    pub(super) fn shed(&mut self) {
        while self.len() > self.max_records {
            let oldest_data = self.overflow.data != crate::config::DataOverflow::Refuse;
            let oldest_urgent = self.overflow.urgent != crate::config::UrgentOverflow::Refuse;
            let record = match (self.data.is_empty(), self.inherited.is_empty()) {
                (false, _) if oldest_data => self.data.pop_front(),
                (false, _) => self.data.pop_back(),
                (true, false) => self.inherited.pop_front(),
                (true, true) if oldest_urgent => self.urgent.pop_front(),
                (true, true) => self.urgent.pop_back(),
            };
            let Some(record) = record else { return };
            self.lose(&record, self.reason);
        }
    }
}

/// Any of the kinds of records.
pub(super) struct OneRecord(Record);

impl From<Record> for OneRecord {
    fn from(record: Record) -> Self {
        Self(record)
    }
}

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
