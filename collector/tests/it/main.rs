//! The collector from outside: real sockets, real files, and where it matters the real binary.

#[cfg(test)]
mod api_access;
#[cfg(test)]
mod api_energy;
#[cfg(test)]
mod api_facts;
#[cfg(test)]
mod api_kpi;
#[cfg(test)]
mod api_live;
#[cfg(test)]
mod api_maintenance;
#[cfg(test)]
mod api_plant;
#[cfg(test)]
mod api_production;
#[cfg(test)]
mod api_quality;
#[cfg(test)]
mod api_twin;
mod command_line;
mod delivery;
mod enrollment;
mod faults;
mod kill;
mod plant;
mod restored;
mod rotation;
