//! Folders besides those of the generations: new ones that are being put together, copies, and damaged ones that were put aside for people
//! to look at.

use crate::{SpoolError, disk::Disk, generation};

pub(crate) const NEW: &str = "new-";
const ASIDE: &str = "damaged-";
/// Folders put aside that are kept.
const KEPT: usize = 3;

/// Finishes or forgets what was interrupted; returns the ordinals of folders that were put aside.
pub(crate) fn resume(disk: &dyn Disk) -> Result<Vec<u64>, SpoolError> {
    for name in disk.list()? {
        if let Some(old) = name.strip_prefix(NEW) {
            // The old one is put aside only when the new one is whole.
            if disk.exists(old) {
                disk.remove(&name)?;
            } else {
                disk.rename(&name, old)?;
            }
        } else if name.starts_with(&generation::copy_name("")) {
            disk.remove(&name)?;
        }
    }
    Ok(disk.list()?.iter().filter_map(|name| generation::ordinal_of(aside(name)?.1)).collect())
}

/// Number and former name of a folder that was put aside.
fn aside(name: &str) -> Option<(u64, &str)> {
    let (number, name) = name.strip_prefix(ASIDE)?.split_once('-')?;
    Some((number.parse().ok()?, name))
}

/// What the folders that were put aside take.
pub(crate) fn aside_bytes(disk: &dyn Disk) -> u64 {
    disk.list().unwrap_or_default().iter().filter(|name| aside(name).is_some()).map(|name| disk.bytes(name)).sum()
}

/// Removes the oldest of those put aside until they are few and take no more than `max_bytes`.
pub(crate) fn prune_aside(disk: &dyn Disk, max_bytes: u64) -> Result<(), SpoolError> {
    let mut kept: Vec<(u64, String)> = disk.list()?.into_iter().filter_map(|name| Some((aside(&name)?.0, name))).collect();
    kept.sort_unstable();
    let mut bytes = 0;
    for (i, (_, name)) in kept.iter().rev().enumerate() {
        bytes += disk.bytes(name);
        if i >= KEPT || bytes > max_bytes {
            disk.remove(name)?;
        }
    }
    Ok(())
}

/// Returns the name that it has now.
pub(crate) fn put_aside(disk: &dyn Disk, name: &str) -> Result<String, SpoolError> {
    let number = disk.list()?.iter().filter_map(|name| Some(aside(name)?.0)).max().map_or(1, |n| n + 1);
    let to = format!("{ASIDE}{number}-{name}");
    disk.rename(name, &to)?;
    Ok(to)
}
