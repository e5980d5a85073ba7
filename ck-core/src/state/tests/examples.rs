//! A state in use, as a starting point for other tests.

use super::harness::{Harness, LogEntry, target};
use crate::model::{LeaveReason, RebalanceTrigger};
use crate::state::{Command, Expect, Proposal, State};

/// The state of a cluster that was just founded; the state after a while, with nodes that came and went, data and
/// moves; and commands of the kinds that such a cluster applies.
pub(crate) fn story() -> ([State; 2], Vec<Proposal>) {
    let first = [target("node-1 b"), target("b node-1")];
    let mut harness = Harness::cluster(&["node-1", "b"], &first, 2);
    let small = harness.state.clone();
    harness.ok(Command::LeaderElected {
        node: "node-1".into(),
        term: 1,
    });
    harness.vote(vec![1]);
    harness.ok(Command::SetData {
        key: "k".to_owned(),
        value: "v".into(),
        expect: Expect::Any,
    });
    harness.start("c", 9, None);
    harness.fail("b");
    let plan = harness.plan(RebalanceTrigger::Manual, "", &[(0, target("node-1 c"))]);
    harness.ok(plan);
    let used = harness.state.clone();
    let confirm = harness.confirm("c");
    harness.ok(confirm);
    harness.restart("b");
    harness.ok(harness.remove("b", LeaveReason::GracefulShutdown));
    harness.ok(Command::Maintenance {
        reason: Some("r".to_owned()),
    });
    harness.ok(Command::DeleteData {
        key: "k".to_owned(),
        expect: Expect::Any,
    });
    let proposals = harness.log.into_iter().filter_map(|entry| match entry {
        LogEntry::Command(proposal) => Some(*proposal),
        LogEntry::Membership(_) => None,
    });
    ([small, used], proposals.collect())
}
