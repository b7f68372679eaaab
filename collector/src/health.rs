//! Whether the collector does its work: can it take batches, and do rows reach the lake.
//!
//! Written by the journal and the committer, read by `/health/ready`, the uplink and the watchdog. Invariant: every fault has a cause in
//! words, and goes away when the work succeeds again.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

/// What can be at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Start-up: the journal is being replayed, or the server stops.
    Lifecycle,
    Journal,
    Lake,
    Store,
}

impl Part {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Journal => "journal",
            Self::Lake => "lake",
            Self::Store => "store",
        }
    }
}

/// Shared by all tasks; clones are the same health.
#[derive(Debug, Clone, Default)]
pub struct Health {
    faults: Arc<RwLock<BTreeMap<Part, String>>>,
}

impl Health {
    /// Nothing is wrong as far as is known.
    pub fn is_ready(&self) -> bool {
        self.faults.read().is_empty()
    }

    /// What is wrong, and why.
    pub fn faults(&self) -> Vec<(Part, String)> {
        self.faults.read().iter().map(|(part, cause)| (*part, cause.clone())).collect()
    }

    /// `part` fails with `cause`, until [`Health::recovered`].
    pub fn failed(&self, part: Part, cause: impl Into<String>) {
        self.faults.write().insert(part, cause.into());
    }

    pub fn recovered(&self, part: Part) {
        let known = self.faults.read().contains_key(&part);
        if known {
            self.faults.write().remove(&part);
        }
    }
}
