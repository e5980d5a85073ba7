//! The leader's controller: creates partitions, plans where they go, and carries moves through.
//!
//! It only proposes. What it sees may be out of date, so every proposal names what it was planned on, and the
//! state machine refuses what does not fit any more.

mod absence;
mod controller;
mod plan;
mod planned;
mod roles;
mod stalled;
mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod watched;

pub(crate) use controller::{Controller, Pace};
pub(crate) use plan::{amended, promotions, rebalance};
pub(crate) use status::CopyReport;
pub(crate) use status::{RebalanceNow, local as local_status};
