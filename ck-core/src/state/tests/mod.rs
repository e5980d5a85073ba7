//! Tests of the state machine: what must always hold (`invariants`, `shadow`) is checked after every command,
//! in the random runs and in the told stories alike.

mod bounds;
mod defects;
mod examples;
mod grants;
mod invariants;
mod lab;
mod moves;
mod net;
mod properties;
mod random;
mod recovery;
mod restarts;
mod shadow;
mod stories;
mod throttle;
mod unhooked;

pub(crate) use examples::story;
