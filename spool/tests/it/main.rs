//! The spool on a real file system.

mod basic;
