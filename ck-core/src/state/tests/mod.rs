//! Tests of the state machine: the invariants (`invariants`, `shadow`) are checked after every command, in the random
//! runs and in the scenarios alike.

mod bounds;
mod examples;
mod grants;
mod harness;
mod invariants;
mod moves;
mod net_change;
mod properties;
mod random;
mod recovery;
mod regressions;
mod restarts;
pub(crate) mod scenarios;
mod shadow;
mod throttle;
mod unhooked;
mod walkthroughs;

pub(crate) use examples::story;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::model::Topology;

/// The topologies that random logs lead through, one log after the other.
pub(crate) fn random_topologies(logs: usize) -> Vec<Vec<Arc<Topology>>> {
    let mut runner = TestRunner::deterministic();
    let steps = |runner: &mut TestRunner| (0..150).map(|_| runner.rng().random()).collect::<Vec<u64>>();
    let log = |_| properties::topologies(&steps(&mut runner));
    (0..logs).map(log).collect()
}
