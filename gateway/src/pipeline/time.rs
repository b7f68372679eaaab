//! The time becomes known in the midst of a run: what the pipeline made and remembers of the provisional timeline is moved to the true one.
//!
//! Stands between `timeline` (which reckons the [`Shift`]) and all that the pipeline holds. What is in the spool already is moved when it is uploaded.
//! Invariant: afterwards nothing that this run made, and that is held here, lies on the provisional timeline.

use super::{
    Commit, Pipeline,
    registry::{Asset, News, Registry, Signal},
};
use crate::{clock::Now, timeline::Shift};

impl Pipeline {
    /// What was begun on the provisional timeline becomes records now, and these, those that wait here and all that is remembered are moved by
    /// `shift`.
    pub fn time_known(&mut self, now: Now, shift: &Shift) {
        let latest = now.wall.plus_micros(self.max_future_us).as_micros();
        let Self { registry, out, lengths, .. } = self;
        for Signal { asset, name, unit, series, .. } in &mut registry.signals {
            let path = &registry.assets[*asset as usize].path;
            series.settle(lengths, latest, |window| {
                out.emit(window.summary(path.clone(), name.clone(), unit.clone(), lengths.length_us));
            });
        }
        for asset in 0..u32::try_from(self.registry.assets.len()).unwrap_or(u32::MAX) {
            self.tell_parts(asset, now.mono_us, true);
        }
        self.out.tell_all_losses(now.mono_us);

        let moment = |at| shift.moment(at);
        let Registry { assets, signals, senders, .. } = &mut self.registry;
        for Asset { machine, news, .. } in assets {
            machine.shift(&moment);
            // Its part says otherwise, and records were made of what is in it.
            *news = News::Due;
        }
        for (_, state) in signals.iter_mut().flat_map(|signal| &mut signal.detectors) {
            state.shift(&moment);
        }
        for sender in senders {
            sender.tracker.shift(&moment);
            for at in [&mut sender.last_at, &mut sender.missing_before].into_iter().flatten() {
                *at = moment(*at);
            }
        }
        self.full_at = moment(self.full_at);
        if let Some(flight) = &mut self.flight {
            flight.full_at = moment(flight.full_at);
        }
        for record in self.out.urgent.iter_mut().chain(&mut self.out.data) {
            shift.record(record);
        }
        let inherited = Shift { inherited: true, ..*shift };
        for record in &mut self.out.inherited {
            inherited.record(record);
        }
    }
}

impl Commit {
    /// Moves the records of a commit that came back and was made before the time was known.
    pub fn shift(&mut self, shift: &Shift) {
        for record in self.urgent.iter_mut().chain(&mut self.data) {
            shift.record(record);
        }
        let inherited = Shift { inherited: true, ..*shift };
        for record in &mut self.inherited {
            inherited.record(record);
        }
    }
}
