//! The collector from outside: its interfaces over real stores and sockets.

#[cfg(test)]
mod api_access;
#[cfg(test)]
mod api_facts;
#[cfg(test)]
mod api_live;
#[cfg(test)]
mod api_plant;
mod command_line;
mod delivery;
mod enrollment;
mod faults;
mod kill;
mod plant;
