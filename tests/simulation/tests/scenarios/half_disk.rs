//! Data directories of which a part is missing: no node takes part in a cluster without what it voted for and acknowledged.

use std::path::Path;

use clusterkit::env::disk::Disk;
use clusterkit::{Error, ErrorCode};

use crate::world::{TestNode, World, simulate, until, write};

/// Ends a node, takes something from its disk, and starts it again.
async fn restart_without(world: &World, sim: TestNode, lost: &[&str]) -> Result<TestNode, Error> {
    sim.kill(None);
    for name in lost {
        let path = Path::new("/data").join(name);
        let files = sim.disk().list(&path).unwrap_or_default();
        for file in files {
            sim.disk().remove(&path.join(file)).unwrap();
        }
        // Where it is a file itself.
        drop(sim.disk().remove(&path));
    }
    let again = world.next_process(&sim);
    again.start().await.map(|()| again)
}

#[test]
fn a_node_that_has_lost_a_part_of_its_directory_says_so_and_takes_no_part() {
    let parts: [(&[&str], &str); 4] = [
        (&["wal.log"], "the log of this node is missing"),
        (&["wal.log", "snapshot"], "the log of this node is missing"),
        (&["identity.json"], "identity.json: missing"),
        (&["identity.json", "wal.log"], "identity.json: missing"),
    ];
    for (seed, (lost, says)) in (1..).zip(parts) {
        for founder in [true, false] {
            simulate(seed, async |world| {
                let mut nodes = world.cluster(3).await;
                // Each has a snapshot.
                for i in 0..250 {
                    write(&nodes[0], &format!("k{i}")).await;
                }
                let all = |sim: &TestNode| sim.disk().open(Path::new("/data/snapshot")).unwrap().is_some();
                until("snapshots", || nodes.iter().all(all)).await;
                let sim = nodes.remove(if founder { 0 } else { 2 });
                let cluster = nodes[0].topology().cluster_id.clone();
                let error = restart_without(&world, sim, lost).await.map(drop).unwrap_err();
                assert_eq!(error.code(), ErrorCode::Corrupt, "{lost:?}: {error}");
                assert!(error.message().contains(says), "{lost:?}: {error}");
                assert!(error.message().contains("as a new node"), "{lost:?}: {error}");
                assert_eq!(nodes[0].topology().cluster_id, cluster);
            });
        }
    }
}

/// Before it has begun its log it has forgotten nothing.
#[test]
fn an_empty_directory_is_a_new_node() {
    simulate(1, async |world| {
        let mut nodes = world.cluster(3).await;
        let sim = nodes.remove(2);
        let all = [
            "wal.log",
            "snapshot",
            "identity.json",
            "pledges.json",
            "promise.json",
        ];
        restart_without(&world, sim, &all).await.unwrap();
    });
}
