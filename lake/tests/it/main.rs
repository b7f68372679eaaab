//! The lake as its callers use it: on a real disk, with crashes between the steps of a commit.

// `cfg(test)` tells the lints that helpers in these modules are tests too.
#[cfg(test)]
mod commit;
#[cfg(test)]
mod compact;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod marks;
#[cfg(test)]
mod model;
#[cfg(test)]
mod query;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod rows;
