//! A state in use, as a starting point for other tests.

use super::lab::{Entry, Lab, target};
use crate::model::{LeaveReason, RebalanceTrigger};
use crate::state::{Command, Expect, Proposal, State};

/// The state of a cluster that was just founded; the state after a while, with nodes that came and went, data and
/// moves; and commands of the kinds that such a cluster applies.
pub(crate) fn story() -> ([State; 2], Vec<Proposal>) {
    let first = [target("node-1 b"), target("b node-1")];
    let mut lab = Lab::cluster(&["node-1", "b"], &first, 2);
    let small = lab.state.clone();
    lab.ok(Command::LeaderElected {
        node: "node-1".into(),
        term: 1,
    });
    lab.vote(vec![1]);
    lab.ok(Command::SetData {
        key: "k".to_owned(),
        value: "v".into(),
        expect: Expect::Any,
    });
    lab.start("c", 9, None);
    lab.fail("b");
    let plan = lab.plan(RebalanceTrigger::Manual, "", &[(0, target("node-1 c"))]);
    lab.ok(plan);
    let used = lab.state.clone();
    let confirm = lab.confirm("c");
    lab.ok(confirm);
    lab.restart("b");
    lab.ok(lab.remove("b", LeaveReason::GracefulShutdown));
    lab.ok(Command::Maintenance {
        reason: Some("r".to_owned()),
    });
    lab.ok(Command::DeleteData {
        key: "k".to_owned(),
        expect: Expect::Any,
    });
    let proposals = lab.log.into_iter().filter_map(|entry| match entry {
        Entry::Command(proposal) => Some(*proposal),
        Entry::Membership(_) => None,
    });
    ([small, used], proposals.collect())
}
