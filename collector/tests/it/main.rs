//! The collector from outside: its interfaces over real stores and sockets.

mod api_access;
mod api_facts;
mod api_live;
mod plant;
