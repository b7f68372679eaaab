//! The lake as its callers use it: on a real disk, with crashes between the steps of a commit.

mod commit;
mod compact;
mod crash;
mod model;
mod query;
mod reads;
mod rows;
