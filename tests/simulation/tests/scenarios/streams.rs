//! What nodes were told: at rest all of them the same.

use std::time::Duration;

use clusterkit::env;
use clusterkit::model::{Event, EventKind};

use crate::world::{TestNode, until};

/// What every node must have been told alike, from `revision` on, in the order of the log: calls for different partitions do
/// not wait for each other.
fn shared_events(sim: &TestNode, revision: u64) -> Vec<String> {
    let is_own = |event: &Event| {
        matches!(
            event.kind,
            EventKind::BecomeLeader(_) | EventKind::LoseLeadership(_)
        )
    };
    let mut events = sim.events();
    events.retain(|event| event.revision >= revision && !is_own(event));
    events.sort_by_key(|event| event.revision);
    // Calls of one commit for different partitions end in any order.
    let change = |event: &Event| match &event.kind {
        EventKind::PartitionChange(change) => Some((event.revision, change.number)),
        _ => None,
    };
    let together = |one: &Event, other: &Event| {
        change(one)
            .zip(change(other))
            .is_some_and(|(one, other)| one.0 == other.0)
    };
    for run in events.chunk_by_mut(together) {
        run.sort_by_key(change);
    }
    events
        .iter()
        .map(|event| serde_json::to_string(event).unwrap())
        .collect()
}

/// At rest all nodes have been told the same; of the last commit a follower hears a moment later.
pub(crate) async fn assert_same_streams(nodes: &[TestNode]) {
    until("one revision on all", || {
        nodes.iter().all(|sim| sim.revision() == nodes[0].revision())
    })
    .await;
    // Hooks run in tasks of their own.
    env::sleep(Duration::from_millis(1)).await;
    let incarnations = nodes.iter().filter_map(|sim| sim.incarnation());
    let from = incarnations.max().unwrap_or(0);
    let expected = shared_events(&nodes[0], from);
    for sim in &nodes[1..] {
        let (told, first) = (shared_events(sim, from), nodes[0].id());
        let same = told
            .iter()
            .zip(&expected)
            .take_while(|(one, other)| one == other)
            .count();
        let (one, other) = (told.get(same), expected.get(same));
        assert_eq!(one, other, "event {same} of {} and of {first}", sim.id());
    }
}
