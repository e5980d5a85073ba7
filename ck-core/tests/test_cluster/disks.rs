//! Disks that fail.

use clusterkit::testing::DiskFault;

use crate::{TIMEOUT, claims, read, three, write};

#[test]
fn a_node_whose_disk_fails_leaves_its_roles_to_others() {
    for fault in [DiskFault::Full, DiskFault::ReadOnly, DiskFault::SyncFails] {
        let cluster = three();
        let leader = cluster.leader().unwrap();
        let node = cluster.node(leader).unwrap();
        cluster.fail_disk(leader, fault).unwrap();
        // Whatever comes of the write, it is the first that the disk does not take.
        std::thread::scope(|scope| {
            let attempt = scope.spawn(|| {
                node.set_custom_data("a", "1", clusterkit::Expect::Any, TIMEOUT)
                    .map(drop)
            });
            cluster
                .wait_until("its end", TIMEOUT, || attempt.is_finished())
                .unwrap();
            drop(attempt.join().unwrap());
        });
        let successor = cluster.wait_for_leader(TIMEOUT).unwrap();
        assert_ne!(successor, leader, "{fault:?}");
        cluster.wait_for_primaries(TIMEOUT).unwrap();
        assert!(claims(&node).is_empty());
        write(&cluster.node(successor).unwrap(), "b", "2");
        // It does not get well by itself.
        cluster.mend_disk(leader).unwrap();
        assert!(node.waiting_for().is_err());
        cluster.kill(leader).unwrap();
        let node = cluster.restart(leader).unwrap();
        cluster.wait_settled(TIMEOUT).unwrap();
        assert_eq!(read(&node, "b").unwrap(), "2");
    }
}

#[test]
fn a_leader_whose_disk_hangs_is_replaced_and_goes_on_when_it_answers() {
    let cluster = three();
    let leader = cluster.leader().unwrap();
    cluster.fail_disk(leader, DiskFault::Hangs).unwrap();
    let node = cluster.node(leader).unwrap();
    std::thread::scope(|scope| {
        let attempt = scope.spawn(|| write(&node, "a", "1"));
        let replaced = || cluster.leader().is_some_and(|present| present != leader);
        cluster.wait_until("another leader", TIMEOUT, replaced).unwrap();
        cluster
            .wait_until("the write", TIMEOUT, || attempt.is_finished())
            .unwrap();
        attempt.join().unwrap();
    });
    cluster.mend_disk(leader).unwrap();
    cluster.wait_settled(TIMEOUT).unwrap();
    assert_eq!(read(&node, "a").unwrap(), "1");
}
