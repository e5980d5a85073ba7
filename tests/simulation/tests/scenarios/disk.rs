//! Disks that fail under nodes that write nothing, and disks that hang.

use std::time::Duration;

use clusterkit::ErrorCode;
use clusterkit::env::Instant;
use clusterkit::env::disk::Faults;
use clusterkit::model::{NodeHealthState, NodeStatus};

use crate::claims::{status, watched};
use crate::world::{TestNode, all_have, leader, settle, simulate, until, write};

/// How long it may take until the others know.
const SHORT_WAIT: Duration = Duration::from_secs(5);

#[test]
fn a_quiet_node_whose_directory_turned_read_only_leaves_its_partitions_to_others_and_says_so() {
    for seed in 1..=6 {
        simulate(seed, async |world| {
            let nodes = world.cluster(3).await;
            // It is the leader half of the time.
            let failing = (leader(&nodes, None).await + seed as usize % 2) % 3;
            let id = nodes[failing].id().to_string();
            let began = Instant::now();
            nodes[failing].disk().set_faults(Faults {
                read_only: true,
                ..Faults::default()
            });
            let others: Vec<&TestNode> = (0..3).filter(|i| *i != failing).map(|i| &nodes[i]).collect();
            let all: Vec<&TestNode> = nodes.iter().collect();
            watched("its failure", &all, || {
                others
                    .iter()
                    .all(|sim| status(sim, &id) == Some(NodeStatus::Failed))
            })
            .await;
            assert!(began.elapsed() < SHORT_WAIT, "after {:?}", began.elapsed());
            let complaint = nodes[failing].unhealthy_reason().unwrap();
            for part in ["Raft has stopped", "its log has failed", "/data", "read-only"] {
                assert!(complaint.contains(part), "{complaint}");
            }
        });
    }
}

/// Says of itself why it is not well, and is known by the others to be degraded. One that led may not hear of the next
/// leader, because the vote for it waits for the disk: it cannot tell that one, and is failed for its silence.
async fn is_shown(nodes: &[TestNode], hung: usize) {
    let id = nodes[hung].id();
    until("the disk to be complained of", || {
        let complaint = nodes[hung].unhealthy_reason().unwrap_or_default();
        complaint.contains("disk of data_dir /data has not answered for")
    })
    .await;
    assert!(!nodes[hung].health().healthy);
    until("the others to know", || {
        (0..3).filter(|i| *i != hung).all(|i| {
            let view = nodes[i].view();
            view.node(id).is_some_and(|node| {
                let told = node.health_reason.contains("does not answer");
                node.health == NodeHealthState::Degraded && told || node.status == NodeStatus::Failed
            })
        })
    })
    .await;
}

async fn is_well_again(nodes: &[TestNode], hung: usize) {
    let id = nodes[hung].id();
    until("the complaint to end", || {
        nodes[hung].unhealthy_reason().is_none()
    })
    .await;
    until("all to know", || {
        nodes.iter().all(|sim| {
            let view = sim.view();
            view.node(id).is_some_and(|node| {
                node.health == NodeHealthState::Healthy && node.status == NodeStatus::Active
            })
        })
    })
    .await;
    settle(nodes).await;
}

#[test]
fn a_leader_whose_disk_hangs_hands_over_and_says_so() {
    for seed in 1..=4 {
        simulate(seed, async |world| {
            let nodes = world.cluster(3).await;
            let hung = leader(&nodes, None).await;
            nodes[hung].disk().hang(true);
            let began = Instant::now();
            // It notices by what it is given to write.
            write(&nodes[(hung + 1) % 3], "during").await;
            let next = leader(&nodes, Some(hung)).await;
            assert!(began.elapsed() < SHORT_WAIT, "after {:?}", began.elapsed());
            is_shown(&nodes, hung).await;
            for n in 0..20 {
                write(&nodes[next], &format!("after {n}")).await;
            }
            nodes[hung].disk().hang(false);
            is_well_again(&nodes, hung).await;
            let revision = nodes[next].revision();
            all_have(&nodes, revision, &["during", "after 19"]).await;
        });
    }
}

#[test]
fn a_follower_whose_disk_hangs_holds_nobody_up() {
    simulate(5, async |world| {
        let nodes = world.cluster(3).await;
        let leads = leader(&nodes, None).await;
        let hung = (leads + 1) % 3;
        nodes[hung].disk().hang(true);
        for n in 0..20 {
            write(&nodes[leads], &format!("during {n}")).await;
        }
        is_shown(&nodes, hung).await;
        assert_eq!(leader(&nodes, None).await, leads);
        nodes[hung].disk().hang(false);
        is_well_again(&nodes, hung).await;
    });
}

#[test]
fn a_node_whose_disk_hangs_can_be_stopped() {
    simulate(7, async |world| {
        let mut nodes = world.cluster(3).await;
        let hung = leader(&nodes, None).await;
        nodes[hung].disk().hang(true);
        write(&nodes[(hung + 1) % 3], "during").await;
        leader(&nodes, Some(hung)).await;
        is_shown(&nodes, hung).await;
        let stopped = nodes.remove(hung);
        let began = Instant::now();
        let error = stopped.stop().await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Timeout);
        assert!(error.message().contains("/data"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        write(&nodes[0], "after").await;
    });
}
