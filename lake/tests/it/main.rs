//! The lake as its callers use it: on a real disk, with crashes between the steps of a commit.

#![allow(clippy::unwrap_used, reason = "all of this is test code: what fails here should stop here")]

mod commit;
mod compact;
mod crash;
mod model;
mod query;
mod reads;
mod rows;
