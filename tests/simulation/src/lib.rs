//! Whole clusters in simulated time. One seed decides everything: who is cut off, which write is torn, whose clock is
//! fast, what clients do. While it goes wrong the invariants watch; then all faults end, and the cluster must come to
//! rest, serve, and still have every write that it acknowledged.
//!
//! `Plan` is what a seed stands for, `run` one run of it. The page `README.md` beside this crate says how to run,
//! replay and extend it.
#![cfg(feature = "sim")]
#![deny(missing_docs)]

mod application;
pub mod checker;
mod client;
mod drills;
mod invariants;
mod large;
mod liveness;
mod nemesis;
pub mod nodes;
mod plan;
pub mod planted;
mod run;
mod trace;
mod world;

pub use invariants::{Claim, Violation};
pub use plan::{Menu, Plan};
pub use run::{Outcome, run};
