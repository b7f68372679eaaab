//! Statistical process control: control charts, capability and yields.
//!
//! Stands between stored measurements and counts, and the API. Pure.
//!
//! Order: values become subgroups ([`data`]); a baseline of them makes centre and standard deviation, these make limits ([`chart`]); the rules look at
//! every point ([`rules`]); values and specification limits make capability ([`capability`]). Counts make [`yields`].
//!
//! Invariants: control limits come from the process alone, never from the specification. No index is made of data that does not vary, or of limits that
//! make no sense: `None` and a flag, or an error that names the field.

pub mod capability;
pub mod chart;
pub mod constants;
pub mod data;
pub mod rules;
pub mod yields;

#[cfg(test)]
mod tests;
