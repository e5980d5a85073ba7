//! Requests that broke an earlier system.

use ck_tests::{Api, Cluster, Method};
use clusterkit::model::NodeStatus;
use serde_json::json;

use crate::PROGRAM;

/// The node answers, writes, and takes in what the log brings.
fn check_serves(api: &Api, key: &str) {
    let revision = api.put(key, "value").unwrap();
    assert!(api.value(key, revision).unwrap().is_some());
    for path in [
        "/health",
        "/ready",
        "/cluster",
        "/nodes",
        "/partitions",
        "/metrics",
    ] {
        assert_eq!(api.status(path).unwrap(), 200, "{path}");
    }
}

#[test]
fn a_request_out_of_bounds_is_refused_and_the_node_goes_on() {
    let cluster = Cluster::of(PROGRAM, 3);
    let apis = cluster.apis();
    for (place, api) in apis.iter().enumerate() {
        for path in [
            "/nodes?offset=-1",
            "/nodes?limit=0",
            "/nodes?limit=-1",
            "/nodes?limit=1001",
            "/nodes?offset=99999999999999999999",
            "/nodes?offset=x",
            "/nodes?limit=1&limit=2",
            "/data?limit=-1",
            "/data/key?revision=-1",
            "/cluster?wait=-1",
            "/partitions/key",
            "/partitions/key?key=",
        ] {
            assert_eq!(api.status(path).unwrap(), 400, "{path}");
        }
        let huge = vec![b'x'; 1024 * 1024 + 1];
        let answer = api.request(&Method::PUT, "/data/huge", &[], huge).unwrap();
        assert_eq!(answer.status, 413);
        for body in [
            "",
            "{",
            "[]",
            "null",
            "{\"node\":{}}",
            "{\"node\":{\"id\":\"\",\"ip\":\"\"}}",
        ] {
            let answer = api.request(
                &Method::POST,
                "/join",
                &[("content-type", "application/json")],
                body,
            );
            assert_eq!(answer.unwrap().status, 400, "{body}");
        }
        check_serves(api, &format!("after/{place}"));
    }
    cluster.settle();
}

#[test]
fn a_join_with_a_dead_address_costs_no_quorum() {
    for nodes in [1, 3] {
        let cluster = Cluster::of(PROGRAM, nodes);
        let dead = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().to_string()
        };
        for api in cluster.apis() {
            // An address where nobody is, and one where somebody else is.
            for addr in [dead.as_str(), cluster.nodes()[0].addr()] {
                let body = json!({ "node": { "id": "ghost", "ip": addr }, "raft_addr": addr }).to_string();
                let answer = api.request(
                    &Method::POST,
                    "/join",
                    &[("content-type", "application/json")],
                    body,
                );
                let answer = answer.unwrap();
                assert!(
                    answer.status.is_client_error(),
                    "{}: {:?}",
                    answer.status,
                    answer.body
                );
                check_serves(&api, "after the ghost");
            }
        }
        let after = cluster.settle().cluster;
        assert_eq!(after.nodes.len(), nodes);
        assert!(after.nodes.iter().all(|node| node.status == NodeStatus::Active));
    }
}

#[test]
fn partitions_are_created_whatever_the_number_of_nodes_and_creating_them_again_changes_nothing() {
    for nodes in [1, 2] {
        let cluster = Cluster::of(PROGRAM, nodes);
        let before = cluster.settle().cluster;
        for api in cluster.apis() {
            let answer = api
                .request(&Method::POST, "/partitions", &[], "")
                .unwrap()
                .into_ok()
                .unwrap();
            let answer: serde_json::Value = answer.json().unwrap();
            assert_eq!(answer["count"], 64);
        }
        let after = cluster.settle().cluster;
        assert_eq!(after.partition_map, before.partition_map);
    }
}

#[test]
fn to_remove_a_node_that_does_not_exist_is_an_error_through_any_node() {
    let cluster = Cluster::of(PROGRAM, 3);
    for api in cluster.apis() {
        let answer = api.request(&Method::DELETE, "/nodes/nobody", &[], "").unwrap();
        assert_eq!(answer.status, 404);
        let error = answer.into_ok().unwrap_err();
        assert_eq!(error.code(), clusterkit::ErrorCode::NotFound, "{error}");
    }
    cluster.settle();
}

#[test]
fn the_term_the_indexes_and_the_peers_are_real_numbers() {
    let cluster = Cluster::of(PROGRAM, 3);
    cluster.api(0).put("key", "value").unwrap();
    let snapshot = cluster.agree();
    let leader = cluster.leader();
    for (place, api) in cluster.apis().iter().enumerate() {
        let stats = api.stats().unwrap();
        assert!(stats.term > 0 && stats.current_term == stats.term, "{stats:?}");
        assert_eq!(stats.applied_index, snapshot.cluster.revision);
        assert!(stats.last_log_index >= stats.applied_index && stats.last_log_term > 0);
        assert!(stats.commit_index >= stats.applied_index, "{stats:?}");
        assert_eq!((stats.num_peers, stats.is_leader), (2, place == leader));
        assert_eq!(&*stats.leader, cluster.nodes()[leader].id);
    }
}

#[test]
fn the_etag_changes_with_what_it_stands_for() {
    let cluster = Cluster::of(PROGRAM, 2);
    let api = cluster.api(1);
    cluster.agree();
    let first = api.get("/cluster").unwrap();
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    let asked = |revision: u64| {
        let path = format!("/cluster?revision={revision}");
        api.request(&Method::GET, &path, &[("if-none-match", &tag)], "")
            .unwrap()
    };
    assert_eq!(asked(0).status, 304);
    let second = asked(api.put("key", "value").unwrap());
    assert_eq!(second.status, 200);
    assert_ne!(second.body, first.body);
    assert_ne!(second.headers["etag"], tag.as_str());
}
