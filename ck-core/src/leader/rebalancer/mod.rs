//! The rebalancer: creates partitions, plans where their copies go, and takes each migration through its phases.
//!
//! - `control_loop` is the task, `Rebalancer::run`: while this node leads it takes every step that is due, handovers
//!   first, then copies that take too long, then a new plan.
//! - `plan` makes the planner's input and targets of its output. `plan_state` is what a leader remembers between plans,
//!   with `absences` and `copy_watchdog`. `handovers` finds the roles to release and to grant.
//! - `status` reports what is under way, and what it waits for.
//!
//! It waits for commits, and for the planner, which runs in the blocking pool while handovers go on.
//!
//! Locks: `Rebalancer::reports`, then `Rebalancer::plan_state`, where both are held (`status`). `Rebalancer::handovers`
//! is held alone. None is held across an await.
//!
//! Invariants: a role is granted only when its last holder has applied the release, is down, or has no lease left from
//! before it. Only this leader knows the last, so grants count only under its epoch. Nothing that it remembers is
//! needed for safety: its successor finds the same partitions in the same phases.
//!
//! Start with `Rebalancer::step`.

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
