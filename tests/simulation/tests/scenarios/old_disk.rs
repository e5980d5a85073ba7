//! A data directory as it was some time ago: a machine that was set back to a snapshot of it, a backup of one node. What it
//! had acknowledged since then it has forgotten, and what it had voted for.

use std::path::Path;
use std::sync::Arc;

use clusterkit::ErrorCode;
use clusterkit::env::disk::{Disk, MemDisk};
use clusterkit::model::NodeStatus;

use crate::world::{all_have, leader, settle, simulate, until, write};

/// A copy of a disk as it is now.
fn copied(disk: &MemDisk) -> Arc<MemDisk> {
    let copy = MemDisk::new();
    for dir in ["/data", "/data/wal.log"] {
        let dir = Path::new(dir);
        copy.create_dir_all(dir).unwrap();
        for name in disk.list(dir).unwrap() {
            let path = dir.join(name);
            // A folder has no content.
            if let Ok(Some(content)) = disk.read(&path, u64::MAX) {
                copy.replace(&path, &content).unwrap();
            }
        }
    }
    Arc::new(copy)
}

#[test]
fn a_node_that_comes_back_with_an_older_disk_is_told_so_and_harms_nobody() {
    for seed in 1..=6 {
        simulate(seed, async |world| {
            let mut nodes = world.cluster(3).await;
            let leads = leader(&nodes, None).await;
            let old = (leads + 1) % 3;
            let disk = copied(nodes[old].disk());
            for n in 0..20 {
                write(&nodes[leads], &format!("k{n}")).await;
            }
            let revision = nodes[leads].revision();
            until("all to have it", || {
                nodes.iter().all(|sim| sim.revision() >= revision)
            })
            .await;
            let gone = nodes.remove(old);
            gone.kill(None);
            let again = world.make(gone.options().clone(), disk);
            // It may be let in before the leader finds out what it lacks.
            let error = match again.start().await {
                Ok(()) => {
                    until("it to be told", || again.waiting_for().is_err()).await;
                    again.waiting_for().unwrap_err()
                }
                Err(error) => error,
            };
            assert_eq!(error.code(), ErrorCode::Corrupt, "{error}");
            for part in ["older", "as a new node"] {
                assert!(error.message().contains(part), "{error}");
            }
            // The others go on, and it counts as gone.
            write(&nodes[0], "after").await;
            let id = again.id().clone();
            until("it to be known as gone", || {
                nodes.iter().all(|sim| {
                    let view = sim.view();
                    view.node(&id)
                        .is_none_or(|node| node.status == NodeStatus::Failed)
                })
            })
            .await;
            let revision = nodes[0].revision();
            all_have(&nodes, revision, &["k0", "k19", "after"]).await;
        });
    }
}

/// What a power loss takes that was not acknowledged is nothing that others know of.
#[test]
fn a_node_that_comes_back_after_a_power_loss_is_let_in() {
    for seed in 1..=6 {
        simulate(seed, async |world| {
            let mut nodes = world.cluster(3).await;
            for n in 0..20 {
                write(&nodes[0], &format!("k{n}")).await;
            }
            let leads = leader(&nodes, None).await;
            let crashed = nodes.remove((leads + 1) % 3);
            let again = world.crash_and_restart(crashed, seed).await;
            nodes.push(again);
            settle(&nodes).await;
        });
    }
}
