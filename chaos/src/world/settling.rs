//! The end of a run: all faults are taken out, and everything comes to rest.
//!
//! After the faults. Invariant: a run is done when nobody has anything left three looks in a row.

use super::{Event, World};
use crate::{
    network::FAIR,
    plan::Side,
    queue::{MINUTE, SECOND},
};
use spool::simulated::Faults;

impl World {
    pub(super) fn end_of_faults(&mut self) {
        self.note("world", "calm", [0; 3]);
        self.calm = true;
        self.all_well_at = self.gateway.process.as_ref().map(|_| self.now);
        self.outages = 0;
        self.weather = (FAIR, None);
        (self.silent, self.lake_down, self.active) = (0, 0, 0);
        self.armed.clear();
        self.wired.clear();
        self.gateway.clock.offset_us = 0;
        for side in [Side::Gateway, Side::Collector] {
            self.disk(side).set_capacity(None);
            self.set_faults(side, |faults| *faults = Faults::default());
        }
        self.gateway.fuse.renew();
        self.sites.iter().for_each(|site| site.collector.fuse.renew());
        self.put(self.now + MINUTE / 2, Event::Look);
    }

    /// Whether everything is at rest.
    pub(super) fn look(&mut self) {
        let over = (0..self.plant.machines.len()).all(|machine| !self.still_measures(machine));
        let sites = self.sites.iter().all(|site| site.collector.is_drained());
        let rests = over && sites && self.plant.is_drained() && self.gateway.is_drained();
        self.quiet_looks = if rests { self.quiet_looks + 1 } else { 0 };
        // Twice, with a heartbeat between: what a collector wants again, it says then.
        self.done = self.quiet_looks >= 3;
        self.put(self.now + 5 * SECOND, Event::Look);
    }

    pub(super) fn waiting_for(&self) -> String {
        let gateway = match &self.gateway.process {
            None => "the gateway does not start".to_owned(),
            Some(process) => {
                let stats = process.core.stats();
                let view = process.spool.view();
                let behind: Vec<_> = view.iter().filter(|generation| !generation.acknowledged()).collect();
                let now = process.last_read();
                format!(
                    "gateway: {} open windows, {} held back, {} records pending, trouble {:?}, of {} generations not acknowledged: {behind:?}",
                    stats.open_windows,
                    stats.held_back,
                    stats.pending_records,
                    process.courier.report(now).trouble,
                    view.len(),
                )
            }
        };
        let drained: Vec<bool> = self.sites.iter().map(|site| site.collector.is_drained()).collect();
        format!("{gateway}; collectors with nothing left: {drained:?}")
    }
}
