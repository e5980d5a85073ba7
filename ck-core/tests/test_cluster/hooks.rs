//! Hooks, which take real time while the clock of the nodes is moved.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use clusterkit::hooks::{EventFilter, EventType, Hook};
use clusterkit::model::{EventKind, RoleChange};
use clusterkit::testing::TestCluster;

use crate::{TIMEOUT, claims};

/// Something that stays shut until it is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

#[test]
fn copies_that_take_real_time_are_made_within_no_time_of_the_clock() {
    let cluster = TestCluster::builder()
        .nodes(2)
        .partitions(6)
        .prepare(|_, node| {
            let hook = |_: &_| {
                // As copying does: longer than all timeouts of the nodes at the speed of a moved clock.
                std::thread::sleep(Duration::from_millis(20));
                Ok(())
            };
            node.on(EventType::PartitionChange, hook).map(drop)
        })
        .start()
        .unwrap();
    let node = cluster.add_node().unwrap();
    let before = cluster.now();
    cluster.advance(Duration::from_secs(30)).unwrap();
    // It has not only been started: everything that follows from the time has been done.
    let view = cluster.node(node).unwrap().view().into_owned();
    assert!(
        view.partitions()
            .all(|partition| partition.nodes().count() == 3 && partition.pending().count() == 0)
    );
    assert!(cluster.now() - before < Duration::from_secs(60));
    cluster.wait_settled(TIMEOUT).unwrap();
}

#[test]
fn a_copy_that_blocks_is_given_up_after_the_migration_timeout() {
    let gate = Arc::new(Gate::default());
    let shut = gate.clone();
    let cluster = TestCluster::builder()
        .nodes(2)
        .partitions(2)
        .replication_factor(2)
        .options(|_, options| options.migration_timeout = Duration::from_secs(40))
        .prepare(move |index, node| {
            let shut = shut.clone();
            node.on(EventType::PartitionChange, move |event| {
                let EventKind::PartitionChange(change) = &event.kind else {
                    return Ok(());
                };
                if index == 2 && &*change.node_id == "node-2" && change.change == RoleChange::GainedReplica {
                    shut.pass();
                }
                Ok(())
            })
            .map(drop)
        })
        .start()
        .unwrap();
    cluster.add_node().unwrap();
    let leader = cluster.node(cluster.leader().unwrap()).unwrap();
    let copying = || {
        leader
            .migrations(TIMEOUT)
            .unwrap()
            .iter()
            .any(|migration| &*migration.to == "node-2")
    };
    cluster.wait_until("a copy", TIMEOUT, copying).unwrap();
    cluster.advance(Duration::from_secs(60)).unwrap();
    let status = leader.rebalance_status(TIMEOUT).unwrap();
    assert!(
        status.avoided.iter().any(|avoided| &*avoided.node == "node-2"),
        "{status:?}"
    );
    gate.open();
    cluster.wait_settled(Duration::from_secs(3600)).unwrap();
}

#[test]
fn a_hook_that_fails_is_called_again_when_the_clock_says_so() {
    let failures = Arc::new(Mutex::new(BTreeMap::<u32, u32>::new()));
    let counted = failures.clone();
    let cluster = TestCluster::builder()
        .nodes(1)
        .partitions(3)
        .manual_clock(true)
        .prepare(move |index, node| {
            let counted = counted.clone();
            node.on(EventType::PartitionChange, move |event| {
                let EventKind::PartitionChange(change) = &event.kind else {
                    return Ok(());
                };
                if index == 0 || &*change.node_id != "node-1" || change.copy_from_nodes.is_empty() {
                    return Ok(());
                }
                let mut failures = counted.lock().unwrap();
                let tries = failures.entry(change.number).or_default();
                *tries += 1;
                match *tries {
                    4 => Ok(()),
                    tries => Err(format!("attempt {tries} of {}", change.number)),
                }
            })
            .map(drop)
        })
        .start()
        .unwrap();
    cluster.add_node().unwrap();
    cluster.wait_settled(TIMEOUT).unwrap();
    let failures = failures.lock().unwrap();
    assert_eq!(failures.len(), 3);
    assert!(failures.values().all(|tries| *tries == 4), "{failures:?}");
}

#[test]
fn hooks_call_their_node_and_other_nodes() {
    let (told, tells) = channel();
    let cluster = TestCluster::builder().nodes(2).partitions(2).start().unwrap();
    let (own, other) = (
        cluster.node(0).unwrap().downgrade(),
        cluster.node(1).unwrap().downgrade(),
    );
    let hook = move |event: Arc<clusterkit::model::Event>| {
        let (own, other, told) = (own.clone(), other.clone(), told.clone());
        async move {
            let (Some(own), Some(other)) = (own.upgrade(), other.upgrade()) else {
                return Ok(());
            };
            let key = format!("from-{}", event.kind.name());
            let written = other.set_custom_data(&key, "1", clusterkit::Expect::Any, TIMEOUT);
            let revision = written.map_err(|error| error.to_string())?;
            let own = own.into_async();
            own.wait_for_revision(revision, TIMEOUT)
                .await
                .map_err(|error| error.to_string())?;
            // A timer of the application is one of real time.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let found = own.custom_data(&key).map(|entry| entry.revision);
            told.send(found == Some(revision))
                .map_err(|error| error.to_string())
        }
    };
    let filter = EventFilter::only(EventType::NodeJoin);
    cluster
        .node(0)
        .unwrap()
        .register_hook(filter, Hook::from_async(hook))
        .unwrap();
    cluster.add_node().unwrap();
    assert!(tells.recv_timeout(Duration::from_secs(60)).unwrap());
    cluster.wait_settled(TIMEOUT).unwrap();
    assert!(
        !claims(&cluster.node(2).unwrap()).is_empty()
            || cluster.node(2).unwrap().view().partition_count() == 2
    );
}
