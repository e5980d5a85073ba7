//! The leader's controller: creates partitions, plans where they go, and carries moves through.
//!
//! It only proposes. What it sees may be out of date, so every proposal names what it was planned on, and the
//! state machine refuses what does not fit any more.

mod absences;
mod changed_partitions;
mod controller;
mod copy_watchdog;
mod handovers;
mod plan;
mod plan_state;
mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub(crate) use controller::{Controller, RebalancePolicy};
pub(crate) use plan::{amended, promotions, rebalance};
pub(crate) use status::CopyReport;
pub(crate) use status::{RebalanceNow, local as local_status};
