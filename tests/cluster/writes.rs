//! Writes through any node.

use ck_tests::Cluster;
use clusterkit::ErrorCode;

use crate::PROGRAM;

#[test]
fn what_is_written_through_any_node_is_read_from_every_node() {
    // Seven, so that two of them have no vote.
    let cluster = Cluster::of(PROGRAM, 7);
    let apis = cluster.apis();
    for (place, api) in apis.iter().enumerate() {
        let key = format!("through/{place}");
        let first = api.compare_and_put(&key, "1", None).unwrap();
        let second = api.compare_and_put(&key, "2", Some(first)).unwrap();
        for other in &apis {
            assert_eq!(other.value(&key, second).unwrap().unwrap(), ("2".into(), second));
            let late = other.compare_and_put(&key, "3", Some(first)).unwrap_err();
            assert_eq!(late.code(), ErrorCode::Conflict);
        }
    }
    cluster.agree();
}
