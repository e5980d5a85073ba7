//! What a write waits for, with a replica whose answers are the test's.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use clusterkit::{ClusterKit, Options};
use serde_json::{Value, json};

use crate::support::{self, Answer, Cluster, Settings, call_with, get, read, set, until_done, wait_for};

/// What the replica answers to rows.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reply {
    /// It has them, and is whole or not.
    Has { whole: bool },
    /// A later primary has been there.
    Refuses,
    /// Nothing, ever.
    Hangs,
}

struct Replica {
    reply: Mutex<Reply>,
    received: Mutex<Vec<Value>>,
}

async fn rows(State(replica): State<Arc<Replica>>, body: String) -> Response {
    let reply = *replica.reply.lock().unwrap();
    let answer =
        |whole| json!({ "whole": whole, "fence": 9, "count": 0, "digest": "0000000000000000" }).to_string();
    match reply {
        Reply::Has { whole } => {
            replica
                .received
                .lock()
                .unwrap()
                .push(serde_json::from_str(&body).unwrap());
            answer(whole).into_response()
        }
        Reply::Refuses => (StatusCode::CONFLICT, answer(true)).into_response(),
        Reply::Hangs => std::future::pending().await,
    }
}

/// A server that leads its only partition, and its replica.
struct Pair {
    cluster: Cluster,
    replica: Arc<Replica>,
    node: ClusterKit,
}

impl Pair {
    fn new(variables: &'static [(&'static str, &'static str)]) -> Self {
        let options = &[("partition_count", "1"), ("replication_factor", "2")];
        let mut cluster = Cluster::new(Settings { options, variables });
        let primary = cluster.start("primary", "");
        let replica = Replica {
            reply: Mutex::new(Reply::Has { whole: true }),
            received: Mutex::default(),
        };
        let replica = Arc::new(replica);
        let router = Router::new()
            .route("/kv/replicate", post(rows))
            .route("/kv/fence", post(rows));
        let router = router.with_state(replica.clone());
        let listener = cluster
            .runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        cluster.runtime.spawn(axum::serve(listener, router).into_future());
        let mut options = Options::new("replica", "127.0.0.1:0");
        options.set("data_dir", "").unwrap();
        options.set("services", &format!("kv=:{port}")).unwrap();
        // Stays a replica.
        options.set("weight", "1").unwrap();
        options.set("join_addrs", &primary.http_addr()).unwrap();
        // Without a hook: its copies are confirmed at once.
        let node = ClusterKit::new(options).unwrap();
        node.start().unwrap();
        cluster.servers.push(primary);
        cluster.settle();
        wait_for("the server to lead", || {
            cluster.servers[0].node().is_primary(0).then_some(())
        });
        Pair {
            cluster,
            replica,
            node,
        }
    }

    fn reply(&self, reply: Reply) {
        *self.replica.reply.lock().unwrap() = reply;
    }

    fn set_once(&self, value: &str) -> Answer {
        let body = json!({ "key": "key", "value": value });
        support::post(&format!("{}/kv/set", self.cluster.addr(0)), &body)
    }

    fn stop(mut self) {
        self.node.stop().unwrap();
        self.cluster.stop(0);
    }
}

#[test]
fn a_write_is_acknowledged_when_a_quorum_has_it() {
    let pair = Pair::new(&[]);
    set(pair.cluster.addr(0), "key", "value");
    let received = pair.replica.received.lock().unwrap().clone();
    let has_it = |call: &Value| call["rows"][0]["value"] == "value" && call["from"] == "primary";
    assert!(received.iter().any(has_it), "{received:?}");
    pair.stop();
}

#[test]
fn a_copy_that_is_not_whole_does_not_count() {
    let pair = Pair::new(&[]);
    set(pair.cluster.addr(0), "key", "old");
    pair.reply(Reply::Has { whole: false });
    let unknown = pair.set_once("new");
    assert_eq!(unknown.status, 504, "{unknown:?}");
    // Nobody reads what may be lost.
    let doubtful = get(&format!("{}/kv/get?key=key", pair.cluster.addr(0)));
    assert_eq!(
        (doubtful.status, doubtful.retry_after),
        (503, true),
        "{doubtful:?}"
    );
    // When it counts again the write is brought to it before it is read.
    pair.replica.received.lock().unwrap().clear();
    pair.reply(Reply::Has { whole: true });
    assert_eq!(read(pair.cluster.addr(0), "key").as_deref(), Some("new"));
    let received = pair.replica.received.lock().unwrap().clone();
    assert!(
        received.iter().any(|call| call["rows"][0]["value"] == "new"),
        "{received:?}"
    );
    pair.stop();
}

#[test]
fn a_write_that_a_later_primary_has_overtaken_is_not_acknowledged() {
    let pair = Pair::new(&[]);
    set(pair.cluster.addr(0), "key", "old");
    pair.reply(Reply::Refuses);
    assert_eq!(pair.set_once("new").status, 504);
    pair.reply(Reply::Has { whole: true });
    pair.stop();
}

#[test]
fn a_replica_that_hangs_costs_a_write_two_seconds_and_no_more() {
    let pair = Pair::new(&[]);
    set(pair.cluster.addr(0), "key", "old");
    pair.reply(Reply::Hangs);
    let asked = Instant::now();
    assert_eq!(pair.set_once("new").status, 504);
    assert!(asked.elapsed().as_secs_f64() >= 2.0);
    pair.reply(Reply::Has { whole: true });
    assert_eq!(read(pair.cluster.addr(0), "key").as_deref(), Some("new"));
    pair.stop();
}

#[test]
fn async_says_how_far_behind_a_replica_is_and_bounds_it() {
    let pair = Pair::new(&[("MODE", "async"), ("ASYNC_QUEUE", "3")]);
    set(pair.cluster.addr(0), "key", "first");
    pair.reply(Reply::Hangs);
    // One batch is on its way, three rows wait, the next has no place.
    let refused = wait_for("the queue to be full", || {
        let answer = pair.set_once("more");
        (answer.status != 200).then_some(answer)
    });
    assert_eq!((refused.status, refused.retry_after), (503, true), "{refused:?}");
    let stats = get(&format!("{}/kv/stats", pair.cluster.addr(0))).body;
    let replica = &stats["replicas"][0];
    assert_eq!(replica["node"], "replica");
    assert!(replica["queued"].as_u64().unwrap() >= 3, "{stats}");
    assert!(replica["behind_ms"].as_u64().unwrap() >= 1000, "{stats}");
    // What was refused was not written.
    let last = read(pair.cluster.addr(0), "key");
    let refused = call_with(
        "POST",
        &format!("{}/kv/delete?key=key", pair.cluster.addr(0)),
        &[],
        b"",
    );
    assert_eq!(refused.status, 503);
    assert_eq!(read(pair.cluster.addr(0), "key"), last);
    // When the replica is there again it gets all of them.
    pair.reply(Reply::Has { whole: true });
    wait_for("the queue to be empty", || {
        let stats = get(&format!("{}/kv/stats", pair.cluster.addr(0))).body;
        (stats["replicas"][0]["queued"] == 0).then_some(())
    });
    until_done(|| pair.set_once("last"));
    pair.stop();
}
