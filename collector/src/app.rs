//! What the parts of the collector share.

use std::sync::Arc;

use lake::Lake;
use metrics_exporter_prometheus::PrometheusHandle;
use protocol::Timestamp;

use crate::{config::Config, health::Health, live::Live, store::Store, tally::Tally, twin::Twin};

/// All that a request needs. Clones are cheap and share everything.
#[derive(Clone)]
pub struct App {
    pub config: Arc<Config>,
    /// Facts: rows in memory and in Delta tables.
    pub lake: Arc<Lake>,
    /// Relations: keys, gateways, tokens.
    pub store: Store,
    /// What is known of each machine and gateway right now.
    pub twin: Arc<Twin>,
    /// What just happened, for whoever listens.
    pub live: Live,
    /// What became of each gateway's batches.
    pub tally: Tally,
    /// Ready or not, and why.
    pub health: Health,
    /// Renders the metrics as text.
    pub metrics: PrometheusHandle,
    /// When this process started: gateways have a time of grace from here before they count as offline.
    pub started_at: Timestamp,
}
