//! What a copy takes from whom.

use serde_json::{Value, json};

use crate::support::{Cluster, Settings, get, post, read, set, wait_for};

#[test]
fn a_write_of_an_earlier_epoch_is_refused() {
    let cluster = Cluster::of(
        2,
        Settings {
            options: &[("replication_factor", "2")],
            ..Settings::default()
        },
    );
    set(cluster.addr(0), "key", "value");
    let (primary, others) = cluster.primary_of("key");
    let partition = cluster.servers[0].node().partition_number(b"key").unwrap();
    let epoch = cluster.servers[primary].node().primary_epoch(partition).unwrap();
    let replica = cluster.addr(others[0]);
    let late = json!({ "key": "key", "value": "late", "version": "0.999" });
    let write = |epoch: u64, row: &Value| json!({ "partition": partition, "epoch": epoch, "from": "x", "rows": [row] });
    let refused = post(&format!("{replica}/kv/replicate"), &write(epoch - 1, &late));
    assert_eq!(
        (refused.status, &refused.body["fence"]),
        (409, &json!(epoch)),
        "{refused:?}"
    );
    let fence = json!({ "partition": partition, "epoch": epoch - 1 });
    assert_eq!(post(&format!("{replica}/kv/fence"), &fence).status, 409);
    // A late row under the present epoch loses to the one that is there.
    let taken = post(&format!("{replica}/kv/replicate"), &write(epoch, &late));
    assert_eq!(
        (taken.status, &taken.body["whole"]),
        (200, &json!(true)),
        "{taken:?}"
    );
    let local = get(&format!("{replica}/kv/get?key=key&local=true"));
    assert_eq!(local.body["value"], "value");
}

#[test]
fn a_copy_that_counts_and_is_not_whole_is_made_whole() {
    let cluster = Cluster::of(
        2,
        Settings {
            options: &[("replication_factor", "2")],
            ..Settings::default()
        },
    );
    for number in 0..20 {
        set(cluster.addr(0), &format!("key-{number}"), "value");
    }
    let (primary, others) = cluster.primary_of("key-0");
    let partition = cluster.servers[0].node().partition_number(b"key-0").unwrap();
    let epoch = cluster.servers[primary].node().primary_epoch(partition).unwrap();
    let replica = cluster.addr(others[0]);
    let fence = |pending: bool| {
        let body = json!({ "partition": partition, "epoch": epoch, "pending": pending });
        post(&format!("{replica}/kv/fence"), &body).body
    };
    assert_eq!(fence(false)["whole"], true);
    // As a new primary says it, in whose view the copy was still being made.
    assert_eq!(fence(true)["whole"], false);
    wait_for("the copy to be whole", || {
        (fence(false)["whole"] == true).then_some(())
    });
    set(cluster.addr(0), "key-0", "newer");
    assert_eq!(read(replica, "key-0").as_deref(), Some("newer"));
}

#[test]
fn a_deposed_primary_gets_no_write_through() {
    let cluster = Cluster::of(
        2,
        Settings {
            options: &[("replication_factor", "2")],
            ..Settings::default()
        },
    );
    set(cluster.addr(0), "key", "value");
    let (primary, others) = cluster.primary_of("key");
    let partition = cluster.servers[0].node().partition_number(b"key").unwrap();
    let epoch = cluster.servers[primary].node().primary_epoch(partition).unwrap();
    // A later primary has asked the replica; this one does not know of it yet.
    let fence = json!({ "partition": partition, "epoch": epoch + 1 });
    assert_eq!(
        post(&format!("{}/kv/fence", cluster.addr(others[0])), &fence).status,
        200
    );
    let body = json!({ "key": "key", "value": "newer" });
    let answer = post(&format!("{}/kv/set", cluster.addr(primary)), &body);
    assert_eq!(answer.status, 504, "{answer:?}");
    let answer = get(&format!("{}/kv/get?key=key", cluster.addr(primary)));
    assert_eq!(answer.status, 503, "{answer:?}");
}
