//! The rebalancer: creates partitions, plans where their copies go, and takes each migration through its phases.

mod absences;
mod changed_partitions;
mod control_loop;
mod copy_watchdog;
mod handovers;
mod plan;
mod plan_state;
mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub(crate) use control_loop::{RebalancePolicy, Rebalancer};
pub(crate) use plan::{amended, promotions, rebalance};
pub(crate) use status::{RebalanceNow, local as local_status};
