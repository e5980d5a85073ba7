//! A node that was away for so long that the others have dropped the log that it lacks.

use ck_tests::{Cluster, copies};

use crate::PROGRAM;

/// The largest value that there may be.
const VALUE: usize = 1024 * 1024;
/// How many values are written while the node is away: more bytes than any node keeps of its log without a
/// snapshot, which is 64 MiB.
const WRITES: usize = 80;
/// How many keys they overwrite: what a snapshot holds.
const KEYS: usize = 8;

#[test]
fn a_node_that_is_far_behind_gets_a_snapshot_keeps_its_copies_and_has_the_same_data() {
    // However long the writes take: it is expected back.
    let mut cluster = Cluster::of_with(PROGRAM, 4, &["--rebalance-delay", "1h"]);
    let before = cluster.settle().cluster;
    let away = (cluster.leader() + 1) % 4;
    let writer = (away + 1) % 4;
    cluster.node(away).stop();
    let api = cluster.api(writer);
    let mut last = 0;
    for write in 0..WRITES {
        let letter = b'a' + u8::try_from(write % 26).unwrap();
        // On a busy machine a disk may be too slow for a large value; it says that nothing was written.
        cluster.until("a large value is written", || {
            let written = api.put(&format!("large/{}", write % KEYS), vec![letter; VALUE]);
            last = written.map_err(|error| error.to_string())?;
            Ok(())
        });
    }
    // All of them, for any may lead when the node comes back; and a follower's log must not grow for ever either.
    let snapshot = |cluster: &Cluster, place: usize| {
        let id = &cluster.nodes()[place].id;
        cluster.folder().join(id).join("snapshot")
    };
    for place in (0..4).filter(|place| *place != away) {
        let path = snapshot(&cluster, place);
        cluster.until("the others have taken a snapshot", || {
            path.exists()
                .then_some(())
                .ok_or_else(|| format!("there is no {path:?}"))
        });
    }

    cluster.node(away).spawn_again();
    cluster.node(away).wait_ready();
    let api = cluster.api(away);
    for key in 0..KEYS {
        let letter = b'a' + u8::try_from((WRITES - KEYS + key) % 26).unwrap();
        let (value, _) = api.value(&format!("large/{key}"), last).unwrap().unwrap();
        assert!(value == vec![letter; VALUE], "large/{key}");
    }
    let after = cluster.settle().cluster;
    assert_eq!(
        copies(&after),
        copies(&before),
        "its copies were not given away while it caught up"
    );
    assert!(snapshot(&cluster, away).exists(), "it got a snapshot");

    // And what it was given is durable.
    cluster.node(away).kill();
    cluster.node(away).spawn_again();
    cluster.node(away).wait_ready();
    assert_eq!(copies(&cluster.settle().cluster), copies(&before));
}
