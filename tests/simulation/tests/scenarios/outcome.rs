//! What a write or an order is answered with, when its answers are lost and members go while they write.

use std::time::Duration;

use clusterkit::Expect;
use clusterkit::env::disk::Faults;
use clusterkit::env::{self, Instant};
use clusterkit::{Error, ErrorCode, Result};

use crate::world::{SCENARIO_TIMEOUT, TestNode, World, leader, simulate, until, write};

async fn set(sim: &TestNode, key: &str, expect: Expect, timeout: Duration) -> Result<u64> {
    let value = key.as_bytes().to_vec().into();
    sim.set_data(key.to_owned(), value, expect, timeout).await
}

fn code(outcome: Result<u64>) -> Option<ErrorCode> {
    outcome.err().map(|error| error.code())
}

/// Three nodes, and which of them leads, follows, and looks on.
async fn three(world: &World) -> (Vec<TestNode>, usize, usize, usize) {
    let nodes = world.cluster(3).await;
    let leads = leader(&nodes, None).await;
    (nodes, leads, (leads + 1) % 3, (leads + 2) % 3)
}

async fn remove(nodes: &[TestNode], by: usize, gone: usize) {
    let id = nodes[gone].id().clone();
    nodes[by].remove_node(id, true, SCENARIO_TIMEOUT).await.unwrap();
}

/// The answer to a write is lost, and its writer removed before it asks again.
#[test]
fn a_write_that_was_carried_out_is_not_denied_because_its_writer_was_removed_meanwhile() {
    for seed in 1..=4 {
        simulate(seed, async |world| {
            let (nodes, leads, writer, other) = three(&world).await;
            world
                .network
                .cut_one_way(nodes[leads].addr(), nodes[writer].addr());
            let asking = set(&nodes[writer], "k", Expect::Absent, Duration::from_secs(8));
            let removing = async {
                until("the write to be applied", || nodes[leads].data("k").is_some()).await;
                remove(&nodes, other, writer).await;
                world
                    .network
                    .restore_one_way(nodes[leads].addr(), nodes[writer].addr());
            };
            let (asked, ()) = futures_util::join!(asking, removing);
            let revision = nodes[leads].data("k").unwrap().revision;
            assert_eq!(asked, Ok(revision));
        });
    }
}

/// A node that was removed hears of it after it has asked for something.
#[test]
fn a_removed_node_answers_removed_from_the_first_moment_to_writes_and_orders() {
    simulate(5, async |world| {
        let (nodes, leads, gone, other) = three(&world).await;
        let revision = write(&nodes[leads], "there").await;
        world.network.isolate(nodes[gone].addr());
        remove(&nodes, leads, gone).await;
        world.network.reconnect(nodes[gone].addr());
        let sim = &nodes[gone];
        assert!(sim.refusal().is_none(), "it cannot know yet");
        let id = nodes[other].id().clone();
        let timeout = Duration::from_secs(5);
        let began = Instant::now();
        let writes = futures_util::join!(
            set(sim, "new", Expect::Any, timeout),
            set(sim, "there", Expect::Absent, timeout),
            set(sim, "there", Expect::Revision(revision), timeout),
            async {
                let deleted = sim.delete_data("there".to_owned(), Expect::Any, timeout);
                deleted.await.map(|(revision, _)| revision)
            },
        );
        let orders = futures_util::join!(
            sim.maintenance(Some("by nobody".to_owned()), timeout),
            sim.remove_node(id.clone(), true, timeout),
            async { sim.rebalance(timeout).await.map(|(revision, _)| revision) },
        );
        let all = [
            writes.0, writes.1, writes.2, writes.3, orders.0, orders.1, orders.2,
        ];
        for answer in all {
            assert_eq!(code(answer), Some(ErrorCode::Removed));
        }
        assert!(
            began.elapsed() < Duration::from_millis(200),
            "{:?}",
            began.elapsed()
        );
        // None of it was done.
        write(&nodes[leads], "later").await;
        assert!(nodes[leads].data("new").is_none());
        assert_eq!(nodes[leads].data("there").unwrap().revision, revision);
        assert!(nodes[leads].view().node(&id).is_some());
        assert!(nodes[leads].topology().maintenance.is_none());
    });
}

/// A node is drained and taken out while it writes, with and without conditions.
#[test]
fn a_node_that_leaves_writes_or_says_that_it_has_left() {
    for seed in 1..=4 {
        simulate(seed, async |world| {
            let (nodes, leads, leaver, _) = three(&world).await;
            let sim = &nodes[leaver];
            sim.begin_leaving(SCENARIO_TIMEOUT).await.unwrap();
            let (mut left, mut at) = (0, 0);
            let began = Instant::now();
            while left < 50 {
                assert!(began.elapsed() < SCENARIO_TIMEOUT);
                at += 1;
                let key = format!("w{at}");
                match set(sim, &key, Expect::Absent, Duration::from_secs(5)).await {
                    Ok(revision) => {
                        assert_eq!(left, 0, "{key} was written by a node that had left");
                        assert_eq!(nodes[leads].data(&key).unwrap().revision, revision);
                    }
                    Err(error) => {
                        assert_eq!(error.code(), ErrorCode::Removed, "{error}");
                        assert!(error.message().contains("has left"), "{error}");
                        assert!(nodes[leads].data(&key).is_none());
                        left += 1;
                    }
                }
                env::sleep(Duration::from_millis(10)).await;
            }
            let ordered = sim.maintenance(None, SCENARIO_TIMEOUT).await;
            assert_eq!(code(ordered), Some(ErrorCode::Removed));
        });
    }
}

/// One write may be under way when the disk fails, and is unknown. Later ones are not.
#[test]
fn a_failed_log_denies_what_it_never_took_in() {
    simulate(7, async |world| {
        let sim = world.start(1, &[]).await;
        until("partitions", || !sim.topology().partitions.is_empty()).await;
        write(&sim, "before").await;
        sim.disk().set_faults(Faults {
            fail_write: Some(0),
            ..Faults::default()
        });
        let timeout = Duration::from_secs(3);
        let under_way = set(&sim, "under way", Expect::Any, timeout).await;
        assert_eq!(code(under_way), Some(ErrorCode::Timeout));
        for expect in [Expect::Any, Expect::Absent, Expect::Revision(1)] {
            let error = set(&sim, "after", expect, timeout).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::Io, "{error}");
            assert!(error.message().contains("nothing was written"), "{error}");
        }
        let ordered = sim.maintenance(None, timeout).await;
        assert_eq!(code(ordered), Some(ErrorCode::Io));
        sim.stop().await.unwrap_err();
        let stopped = set(&sim, "after", Expect::Any, timeout).await;
        assert_eq!(code(stopped), Some(ErrorCode::Stopped));
        let sim = world.crash_and_restart(sim, 7).await;
        assert!(sim.data("after").is_none());
    });
}

/// Where nobody takes a connection, nothing was sent, and the caller may know.
#[test]
fn a_leader_that_refuses_connections_makes_nothing_unknown() {
    for connections in [false, true] {
        simulate(8, async |world| nothing_is_unknown(world, connections).await);
    }
}

async fn nothing_is_unknown(world: World, connections: bool) {
    if connections {
        world.network.use_connections();
    }
    let nodes = world.cluster(2).await;
    let leads = leader(&nodes, None).await;
    let survivor = &nodes[1 - leads];
    nodes[leads].kill(None);
    if connections {
        // Until the old connection has ended, a request may still go out on it.
        env::sleep(Duration::from_millis(100)).await;
    }
    let timeout = Duration::from_millis(700);
    let written = set(survivor, "k", Expect::Any, timeout).await;
    assert_eq!(code(written.clone()), Some(ErrorCode::NoLeader), "{written:?}");
    let ordered: Result<u64, Error> = survivor.maintenance(None, timeout).await;
    assert!(
        ordered
            .as_ref()
            .is_err_and(|error| error.code() != ErrorCode::Timeout),
        "{ordered:?}"
    );
}

/// An order whose first answer is lost, and whose second attempt meets what the first one did.
#[test]
fn an_order_that_was_carried_out_is_not_denied_by_its_second_attempt() {
    simulate(9, async |world| {
        let (nodes, leads, asks, gone) = three(&world).await;
        let id = nodes[gone].id().clone();
        let asking = nodes[asks].remove_node(id.clone(), true, Duration::from_secs(15));
        world.network.cut_one_way(nodes[leads].addr(), nodes[asks].addr());
        let losing = async {
            env::sleep(Duration::from_secs(9)).await;
            world
                .network
                .restore_one_way(nodes[leads].addr(), nodes[asks].addr());
        };
        let (asked, ()) = futures_util::join!(asking, losing);
        // Its second attempt is told that there is no such node, which is because of the first.
        let error = asked.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
        assert!(
            error.message().contains("may or may not have happened"),
            "{error}"
        );
        assert!(error.message().contains("NOT_FOUND"), "{error}");
    });
}
