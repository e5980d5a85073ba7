//! Tests of the views that a node builds from batch to batch, and of the notifications after a batch.

use crate::error::ErrorCode;
use crate::model::{ClusterConfig, PartitionState, Timestamp};
use crate::raft::applied_state::{AppliedState, LogItem};
use crate::routing::ClusterView;
use crate::state::tests::random_topologies;
use crate::state::{Command, Expect, NodeSpec, Proposal};

/// A call that looked whether the node runs before it stopped, and begins to wait afterwards.
#[tokio::test]
async fn a_wait_that_begins_after_the_end_ends_at_once() {
    let applied = AppliedState::new("a".into(), 1);
    let mut early = Box::pin(applied.wait_for(1));
    assert!(futures_util::poll!(&mut early).is_pending());
    applied.close();
    assert_eq!(early.await.unwrap_err().code(), ErrorCode::Stopped);
    let late = futures_util::poll!(Box::pin(applied.wait_for(1)));
    assert!(matches!(late, std::task::Poll::Ready(Err(error)) if error.code() == ErrorCode::Stopped));
}

/// Writes of custom data do not wake tasks that wait for topology changes, and the other way round.
#[test]
fn data_and_topology_are_told_of_apart() {
    let applied = AppliedState::new("a".into(), 1);
    let changes = || (applied.changed().count(), applied.data_changed().count());
    let apply = |index: u64, command: Command| {
        let proposal = Proposal::without_session(command, Timestamp::default());
        applied.apply(&[LogItem::Command(index, Box::new(proposal))])
    };
    let bootstrap = Command::Bootstrap {
        cluster_id: "c".to_owned(),
        config: ClusterConfig {
            partition_count: 64,
            replication_factor: 1,
            ..ClusterConfig::default()
        },
        node: NodeSpec {
            id: "a".into(),
            name: String::new(),
            ip: "a:1".to_owned(),
            port: 1,
            peer_addr: "a:1".to_owned(),
            services: std::collections::BTreeMap::new(),
            zone: None,
            weight: 100,
            labels: std::collections::BTreeMap::new(),
            process: 1,
            raft_id: None,
        },
    };
    apply(1, bootstrap);
    assert_eq!(changes(), (1, 0));
    let tables = applied.view().load().into_owned();
    let set = |expect: Expect| Command::SetData {
        key: "k".to_owned(),
        value: "v".into(),
        expect,
    };
    apply(2, set(Expect::Any));
    assert_eq!(changes(), (1, 1));
    // Refused, so nothing has changed and no notifier is notified.
    apply(3, set(Expect::Absent));
    assert_eq!(changes(), (1, 1));
    let delete = Command::DeleteData {
        key: "k".to_owned(),
        expect: Expect::Any,
    };
    apply(4, delete);
    assert_eq!(changes(), (1, 2));
    let view = applied.view().load().into_owned();
    assert_eq!(view.revision(), 4);
    assert!(std::sync::Arc::ptr_eq(view.topology(), tables.topology()));
}

/// A view that was updated incrementally answers like a view that was built from nothing.
#[test]
fn views_that_follow_a_log_are_those_that_are_built_anew() {
    let mut states = [0; PartitionState::ALL.len()];
    for (log, topologies) in random_topologies(30).into_iter().enumerate() {
        let mut view = ClusterView::new(topologies[0].clone(), 0, "b");
        for (topology, step) in topologies.iter().zip(0u64..) {
            // Every fifth step is skipped, so that some updates cover several changes.
            if step % 5 == 4 {
                continue;
            }
            view = view.updated(topology, step);
            let anew = ClusterView::new(topology.clone(), step, "b");
            assert_eq!(
                view.list_partitions(),
                anew.list_partitions(),
                "log {log}, step {step}"
            );
            assert_eq!(view.nodes(), anew.nodes());
            if step % 3 == 0 {
                let counts = view.partition_counts();
                assert_eq!(counts, anew.partition_counts(), "log {log}, step {step}");
                for (state, found) in PartitionState::ALL.into_iter().zip(&mut states) {
                    *found += counts.in_state(state);
                }
            }
        }
    }
    assert!(states.iter().all(|found| *found > 20), "{states:?}");
}
