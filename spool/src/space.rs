//! Room: what an append may cost is looked at before it is made, against the bound on the spool's own files and the floor of the volume.
//! What is kept only to be looked at or sent again goes before an append is refused.

use crate::{Level, Options, Room, Spool, SpoolError, aside, disk::Disk, generation};

/// What an ordinary append is taken to be when nothing is known of it.
const SMALL_APPEND: u64 = 4096;
/// Above so many hundredths of the bound room is short.
const SHORT_PERCENT: u64 = 85;

impl Spool {
    /// The room that there is.
    pub fn room(&self) -> Room {
        let used = self.state.lock().used();
        let space = self.disk.space();
        let level = if self.fits(self.disk.cost(SMALL_APPEND), false).is_err() {
            Level::Full
        } else if self.is_short() {
            Level::Short
        } else {
            Level::Ample
        };
        let (volume_free, volume_total) = space.unzip();
        Room { used, max: self.options.max_bytes, volume_free, volume_total, level }
    }

    pub(crate) fn is_short(&self) -> bool {
        self.state.lock().used() > self.options.max_bytes / 100 * SHORT_PERCENT
    }

    /// Makes sure that there is room for `cost` bytes, at the price of what is kept without need.
    pub(crate) fn make_room(&self, cost: u64, with_reserve: bool) -> Result<(), SpoolError> {
        loop {
            let Err(full) = self.fits(cost, with_reserve) else { return Ok(()) };
            if self.state.lock().aside_bytes > 0 {
                aside::prune_aside(&*self.disk, 0)?;
                self.state.lock().aside_bytes = 0;
                continue;
            }
            let kept = self.state.lock().oldest_kept();
            match kept {
                Some(kept) => self.drop_generation(kept)?,
                None => return Err(full),
            }
        }
    }

    fn fits(&self, cost: u64, with_reserve: bool) -> Result<(), SpoolError> {
        let used = self.state.lock().used();
        check(&*self.disk, &self.options, used, cost, with_reserve)
    }

    /// What the files may still grow by, the reserve included.
    pub(crate) fn left(&self) -> u64 {
        let used = self.state.lock().used();
        left(&*self.disk, &self.options, used)
    }

    /// Removes acknowledged generations that are more than shall be kept.
    pub(crate) fn drop_surplus(&self) -> Result<(), SpoolError> {
        loop {
            let surplus = {
                let state = self.state.lock();
                let empty = state.generations.values().find(|g| g.is_empty() && !state.is_newest(g.ordinal())).map(|g| g.ordinal());
                let too_many = state.kept_bytes() > self.options.keep_acknowledged_bytes;
                let short = state.used() > self.options.max_bytes / 100 * SHORT_PERCENT;
                empty.or_else(|| if too_many || short { state.oldest_kept() } else { None })
            };
            match surplus {
                Some(ordinal) => self.drop_generation(ordinal)?,
                None => return Ok(()),
            }
        }
    }

    /// Removes a generation with all that it holds.
    pub(crate) fn drop_generation(&self, ordinal: u64) -> Result<(), SpoolError> {
        let _whole = self.applying.write();
        self.readers.lock().close(ordinal);
        self.disk.remove(&generation::name_of(ordinal))?;
        let mut state = self.state.lock();
        state.generations.remove(&ordinal);
        state.counters.generations_removed += 1;
        Ok(())
    }
}

pub(crate) fn left(disk: &dyn Disk, options: &Options, used: u64) -> u64 {
    let left = options.max_bytes.saturating_sub(used);
    disk.space().map_or(left, |(free, _)| left.min(free))
}

/// Whether `cost` bytes may be added to the `used` ones.
pub(crate) fn check(disk: &dyn Disk, options: &Options, used: u64, cost: u64, with_reserve: bool) -> Result<(), SpoolError> {
    let bytes = used.saturating_add(cost);
    let max = if with_reserve { options.max_bytes } else { options.max_bytes - options.reserve() };
    if bytes > max {
        return Err(SpoolError::Full { bytes, max });
    }
    let Some((free, total)) = disk.space() else { return Ok(()) };
    let floor = options.floor(total);
    if floor > 0 && free < floor.saturating_add(cost) {
        return Err(SpoolError::VolumeFull { free, floor, cost });
    }
    Ok(())
}
