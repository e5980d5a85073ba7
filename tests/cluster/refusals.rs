//! What a node is refused, with what words; and that nothing has changed then.

use ck_tests::{Cluster, Ended, Node, copies, primaries};
use clusterkit::model::Cluster as ClusterRecord;

use crate::PROGRAM;

/// What a refusal must not change. The revision may: that somebody was refused may be found out by the log.
fn what_matters(cluster: &ClusterRecord) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        cluster.nodes.clone(),
        copies(cluster),
        primaries(cluster),
        cluster.config.clone(),
    )
}

/// Starts a node that is to be refused.
fn refused(mut node: Node) -> Ended {
    node.spawn_at("127.0.0.1:0");
    node.wait_end().0
}

/// Checks that the node ends with exit code 1, this error code, and all of these words; and that the cluster is as
/// it was.
fn check(cluster: &Cluster, before: &ClusterRecord, ended: &Ended, code: &str, words: &[&str]) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.error.starts_with(&format!("{code}: ")), "{ended:?}");
    for word in words {
        assert!(ended.error.contains(word), "{word:?} is missing in {ended:?}");
    }
    let after = cluster.agree().cluster;
    assert_eq!(what_matters(&after), what_matters(before));
}

#[test]
fn a_data_directory_that_a_living_process_uses_is_refused() {
    let cluster = Cluster::found(PROGRAM);
    let before = cluster.settle().cluster;
    let second = cluster.stranger("node-1", &[]).with_data_of(&cluster.nodes()[0]);
    check(
        &cluster,
        &before,
        &refused(second),
        "DATA_DIR_IN_USE",
        &["node-1"],
    );
}

#[test]
fn a_port_in_use_is_refused() {
    let cluster = Cluster::found(PROGRAM);
    let before = cluster.settle().cluster;
    let addr = cluster.nodes()[0].addr().to_owned();
    let mut second = cluster.stranger("node-2", &["--join-addrs", &addr]);
    second.spawn_at(&addr);
    let ended = second.wait_end().0;
    check(&cluster, &before, &ended, "ADDRESS_IN_USE", &[&addr]);
}

#[test]
fn a_second_living_node_with_the_same_id_is_refused() {
    let cluster = Cluster::of(PROGRAM, 3);
    let before = cluster.settle().cluster;
    for place in 0..3 {
        let id = cluster.nodes()[place].id.clone();
        let through = cluster.nodes()[(place + 1) % 3].addr().to_owned();
        // Data of its own, under a name that no other node has.
        let elsewhere = cluster.stranger(&format!("twin-{place}"), &[]);
        let twin = cluster
            .stranger(&id, &["--join-addrs", &through])
            .with_data_of(&elsewhere);
        let theirs = cluster.nodes()[place].addr().to_owned();
        check(
            &cluster,
            &before,
            &refused(twin),
            "DUPLICATE_NODE",
            &[&id, &theirs],
        );
    }
}

#[test]
fn a_node_of_another_cluster_name_is_refused() {
    let cluster = Cluster::found_with(PROGRAM, &["--cluster-name", "ours"]);
    let before = cluster.settle().cluster;
    let through = cluster.nodes()[0].addr().to_owned();
    let other = Cluster::found_with(PROGRAM, &["--cluster-name", "theirs"]);
    let stranger = other.stranger("node-2", &["--join-addrs", &through]);
    check(
        &cluster,
        &before,
        &refused(stranger),
        "WRONG_CLUSTER",
        &["ours", "theirs"],
    );
}

#[test]
fn a_node_that_wants_other_partitions_or_copies_is_refused_with_both_values() {
    let cluster = Cluster::found(PROGRAM);
    let before = cluster.settle().cluster;
    let through = cluster.nodes()[0].addr().to_owned();
    for (flag, theirs, ours) in [
        ("--partition-count", "16", "64"),
        ("--replication-factor", "2", "3"),
    ] {
        let stranger = cluster.stranger("node-2", &["--join-addrs", &through, flag, theirs]);
        check(
            &cluster,
            &before,
            &refused(stranger),
            "CLUSTER_MISMATCH",
            &[theirs, ours],
        );
    }
}

#[test]
fn a_node_with_the_data_of_another_cluster_goes_back_to_that_one() {
    let mut other = Cluster::of(PROGRAM, 2);
    other.node(1).kill();
    let cluster = Cluster::of(PROGRAM, 2);
    let before = cluster.settle().cluster;
    let through = cluster.nodes()[0].addr().to_owned();
    let unchanged = || {
        let after = cluster.agree().cluster;
        assert_eq!(what_matters(&after), what_matters(&before));
    };
    // Under another id the data is nobody's.
    let lost = other
        .stranger("node-3", &["--join-addrs", &through])
        .with_data_of(&other.nodes()[1]);
    let ended = refused(lost);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.error.starts_with("WRONG_CLUSTER: "), "{ended:?}");
    unchanged();
    // Whatever address it is given, a member knows its own cluster.
    let mut lost = other
        .stranger("node-2", &["--join-addrs", &through])
        .with_data_of(&other.nodes()[1]);
    lost.spawn_at("127.0.0.1:0");
    lost.wait_ready();
    assert_eq!(
        lost.api().cluster().unwrap().cluster.id,
        other.api(0).cluster().unwrap().cluster.id
    );
    unchanged();
}

#[test]
fn a_node_that_nobody_answers_says_whom_it_asked() {
    let cluster = Cluster::found(PROGRAM);
    let before = cluster.settle().cluster;
    let vacant: Vec<String> = (0..2)
        .map(|_| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().to_string()
        })
        .collect();
    let lonely = cluster.stranger(
        "node-2",
        &["--join-addrs", &vacant.join(","), "--join-timeout", "300ms"],
    );
    check(
        &cluster,
        &before,
        &refused(lonely),
        "JOIN_FAILED",
        &[&vacant[0], &vacant[1]],
    );
}

/// Whoever looks after the process has to know that it serves nobody any more.
#[test]
fn a_node_that_is_removed_ends_and_says_why() {
    let mut cluster = Cluster::of(PROGRAM, 3);
    cluster.settle();
    let mut removed = cluster.dismiss().unwrap();
    let addr = cluster.nodes()[0].addr().to_owned();
    let order = |args: &[&str]| {
        let mut command = std::process::Command::new(PROGRAM);
        let output = command.args(["--addr", &addr]).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.success().then_some(()).ok_or(said)
    };
    cluster.until("it is removed", || {
        order(&["remove", &removed.id, "--yes"]).inspect_err(|_| {
            // A leader does not remove itself.
            let _ = order(&["step-down"]);
        })
    });
    let ended = removed.wait_end().0;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.error.starts_with("REMOVED: "), "{ended:?}");
    cluster.settle();
}
