//! Backups, and that they are put back later.
//!
//! Beside the faults. Invariant: a restore puts back all of a side as it was at one moment: with a collector the lake, too.

use super::{Mutation, World};
use crate::{
    collector_side::Store,
    lake::Lake,
    plan::{Side, Stop, What},
    queue::{Micros, SECOND},
    random::{Concern, Dice},
    sensors::wall,
};
use spool::simulated::{Faults, Image, SimDisk};

#[expect(clippy::large_enum_variant, reason = "there is one")]
pub(super) enum Saved {
    /// With when it was taken.
    Gateway(Image, Micros),
    Collector(Vec<(Image, Store)>, Lake),
}

impl World {
    pub(super) fn back_up(&mut self, fault: usize) {
        self.note("backup", "taken", [fault as u64, 0, 0]);
        let saved = match self.plan.faults[fault].what {
            What::Restore { side: Side::Collector, .. } => {
                let sites = self.sites.iter().map(|site| (site.collector.disk.snapshot(), site.collector.store.clone()));
                Saved::Collector(sites.collect(), self.lake.clone())
            }
            _ => Saved::Gateway(self.gateway.disk.snapshot(), self.now),
        };
        self.saved.insert(fault, saved);
    }

    pub(super) fn restore(&mut self, fault: usize, side: Side) {
        let Some(saved) = self.saved.remove(&fault) else { return };
        self.figures.restores += 1;
        match saved {
            Saved::Gateway(image, at) => {
                if self.is_up(side) {
                    self.stop_gateway(Stop::Kill);
                }
                self.gateway.disk.restore(&image);
                // It has another disk.
                self.gateway.disk.set_capacity(None);
                self.set_faults(Side::Gateway, |faults| *faults = Faults::default());
                self.armed.retain(|armed| armed.side != side);
                self.wired.remove(&side);
                if self.newest_stored <= wall(at) {
                    // Of what came after the backup nothing has been delivered: nobody can know of it.
                    self.plant.truth.untold.push((wall(at), wall(self.now)));
                }
                self.come_back(Side::Gateway, SECOND);
            }
            Saved::Collector(images, lake) => {
                self.lake = lake;
                for site in 0..self.sites.len() {
                    if self.sites[site].collector.process.is_some() {
                        self.stop_site(site, Stop::Kill);
                    }
                    if let Some((image, store)) = images.get(site) {
                        self.sites[site].collector.disk.restore(image);
                        self.sites[site].collector.store = store.clone();
                    } else {
                        // It was not there then.
                        self.sites[site].collector.disk = SimDisk::new(Dice::of(self.plan.seed, Concern::SecondDisk).number() + 1);
                        self.sites[site].collector.disk.skip_sync(self.mutation == Some(Mutation::SkipSync));
                        self.sites[site].collector.store = Store::default();
                    }
                    self.come_back_site(site, SECOND);
                }
            }
        }
    }
}
