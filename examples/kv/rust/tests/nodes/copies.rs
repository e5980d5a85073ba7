//! A copy counts only when it is whole, whatever its source does.
//!
//! The source is a member that founds the cluster and leads its only partition; what it answers at its service `kv` is the
//! test's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clusterkit::model::PartitionState;
use clusterkit::{ClusterKit, Options};
use kv::Server;
use serde_json::{Value, json};

use crate::support::{self, Cluster, Settings, wait_for};

/// How the source misbehaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Its second page ends in an error.
    DiesHalfWay,
    /// It says that there is a row more than it gives.
    LiesAboutCount,
    /// Its pages have another digest than its rows.
    LiesAboutRows,
    /// A page that should follow the first one is the first one.
    GoesInCircles,
    /// Its second page never comes.
    IsSlow,
}

/// The source: a hundred keys, in pages of ten.
struct Source {
    fault: Mutex<Fault>,
    pages_asked_for: Mutex<Vec<String>>,
    /// Where the copier is, once it has said so.
    copier: Mutex<Option<String>>,
}

fn rows() -> BTreeMap<String, String> {
    (0..100)
        .map(|number| (format!("key-{number:02}"), format!("value {number}")))
        .collect()
}

/// The digest of rows that all have version 1.1, as the protocol says.
fn digest(rows: &BTreeMap<String, String>) -> String {
    let sums = rows
        .iter()
        .map(|(key, value)| u64::from(crc32fast::hash(format!("{key}\01.1\0v{value}").as_bytes())));
    format!("{:016x}", sums.sum::<u64>())
}

async fn page(State(source): State<Arc<Source>>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let mut after = query.get("after").cloned().unwrap_or_default();
    source.pages_asked_for.lock().unwrap().push(after.clone());
    let fault = *source.fault.lock().unwrap();
    match fault {
        Fault::DiesHalfWay if !after.is_empty() => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Fault::IsSlow if !after.is_empty() => std::future::pending().await,
        Fault::GoesInCircles => after.clear(),
        _ => {}
    }
    let all = rows();
    let mut keys: BTreeMap<_, _> = all.iter().filter(|(key, _)| **key > after).take(10).collect();
    let last = keys.keys().next_back().map(|key| (**key).clone());
    let next = last.filter(|last| *last != "key-99");
    let versions: BTreeMap<_, _> = keys.keys().map(|key| (*key, "1.1")).collect();
    let other = "another value".to_owned();
    if fault == Fault::LiesAboutRows {
        keys.values_mut().for_each(|value| *value = &other);
    }
    let mut body = json!({
        "partition_id": "partition-0", "keys": keys, "versions": versions, "deleted": {},
        "count": 100, "digest": digest(&all), "epoch": 1,
    });
    if let Some(next) = next {
        body["next"] = next.into();
    }
    body.to_string().into_response()
}

/// Compares as a primary does.
async fn finish(State(source): State<Arc<Source>>) -> Response {
    let copier = source.copier.lock().unwrap().clone();
    let Some(copier) = copier else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let count = if *source.fault.lock().unwrap() == Fault::LiesAboutCount {
        101
    } else {
        100
    };
    let check = json!({ "partition": 0, "epoch": 1, "count": count, "digest": digest(&rows()) });
    let asked = tokio::task::spawn_blocking(move || support::post(&format!("{copier}/kv/check"), &check));
    let answer = asked.await.unwrap();
    (
        StatusCode::from_u16(answer.status).unwrap(),
        answer.body.to_string(),
    )
        .into_response()
}

/// A copy that a server makes from such a source.
struct Scene {
    source: Arc<Source>,
    founder: ClusterKit,
    copier: Option<Server>,
    cluster: Cluster,
}

impl Scene {
    fn new(fault: Fault) -> Self {
        let cluster = Cluster::new(Settings {
            options: &[("partition_count", "1")],
            ..Settings::default()
        });
        let source = Arc::new(Source {
            fault: Mutex::new(fault),
            pages_asked_for: Mutex::default(),
            copier: Mutex::default(),
        });
        let router = Router::new()
            .route("/kv/migrate", get(page))
            .route("/kv/finish", post(finish));
        let router = router.with_state(source.clone());
        let listener = cluster
            .runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        cluster.runtime.spawn(axum::serve(listener, router).into_future());
        let mut options = Options::new("source", "127.0.0.1:0");
        for (name, value) in [
            ("data_dir", ""),
            ("partition_count", "1"),
            ("replication_factor", "2"),
        ] {
            options.set(name, value).unwrap();
        }
        options.set("services", &format!("kv=:{port}")).unwrap();
        let founder = ClusterKit::new(options).unwrap();
        founder.start().unwrap();
        wait_for("the founder to lead the partition", || {
            founder.is_primary(0).then_some(())
        });
        let copier = cluster.start("copier", &founder.http_addr().unwrap());
        *source.copier.lock().unwrap() = Some(copier.kv_addr().to_owned());
        Scene {
            source,
            founder,
            copier: Some(copier),
            cluster,
        }
    }

    /// What the copier says of its copy.
    fn copy(&self) -> Value {
        let addr = self.copier.as_ref().unwrap().kv_addr();
        support::post(
            &format!("{addr}/kv/fence"),
            &json!({ "partition": 0, "epoch": 1 }),
        )
        .body
    }

    fn pages(&self) -> Vec<String> {
        self.source.pages_asked_for.lock().unwrap().clone()
    }

    /// The copy is not whole, and nobody counts it.
    fn assert_not_counted(&self) {
        assert_eq!(self.copy()["whole"], false, "{}", self.copy());
        let view = self.founder.view();
        let partition = view.partition_by_number(0).unwrap();
        assert_eq!((partition.nodes().len(), partition.pending().len()), (1, 1));
    }

    /// From now on the source does what it should, and the copy becomes whole.
    fn mend(mut self) {
        *self.source.fault.lock().unwrap() = Fault::None;
        wait_for("the copy to count", || {
            let view = self.founder.view();
            let partition = view.partition_by_number(0).unwrap();
            (partition.nodes().len() == 2 && partition.state() == PartitionState::Ok).then_some(())
        });
        let copy = self.copy();
        let expected = json!({ "whole": true, "fence": 1, "count": 100, "digest": digest(&rows()) });
        assert_eq!(copy, expected);
        self.cluster
            .runtime
            .block_on(self.copier.take().unwrap().stop())
            .unwrap();
        self.founder.stop().unwrap();
    }
}

#[test]
fn a_source_that_dies_half_way_leaves_no_copy_that_counts() {
    let scene = Scene::new(Fault::DiesHalfWay);
    wait_for("the second page to be asked for again", || {
        (scene.pages().iter().filter(|after| *after == "key-09").count() >= 3).then_some(())
    });
    assert_eq!(scene.copy()["count"], 10);
    scene.assert_not_counted();
    // What is there is not read again.
    assert_eq!(scene.pages().iter().filter(|after| after.is_empty()).count(), 1);
    scene.mend();
}

#[test]
fn a_source_that_lies_about_its_count_makes_no_copy_that_counts() {
    let scene = Scene::new(Fault::LiesAboutCount);
    wait_for("all pages to be read twice", || {
        (scene.pages().iter().filter(|after| *after == "key-89").count() >= 2).then_some(())
    });
    assert_eq!(scene.copy()["count"], 100);
    scene.assert_not_counted();
    scene.mend();
}

#[test]
fn a_source_that_lies_about_its_rows_makes_no_copy_that_counts() {
    let scene = Scene::new(Fault::LiesAboutRows);
    wait_for("all pages to be read twice", || {
        (scene.pages().iter().filter(|after| *after == "key-89").count() >= 2).then_some(())
    });
    scene.assert_not_counted();
    let Scene {
        founder,
        copier,
        cluster,
        ..
    } = scene;
    cluster.runtime.block_on(copier.unwrap().stop()).unwrap();
    founder.stop().unwrap();
}

#[test]
fn a_source_whose_pages_go_in_circles_is_not_followed() {
    let scene = Scene::new(Fault::GoesInCircles);
    wait_for("the second page to be asked for again", || {
        (scene.pages().iter().filter(|after| *after == "key-09").count() >= 3).then_some(())
    });
    scene.assert_not_counted();
    scene.mend();
}

#[test]
fn a_slow_source_is_asked_again_where_it_stopped() {
    let scene = Scene::new(Fault::IsSlow);
    wait_for("the second page to be asked for again", || {
        (scene.pages().iter().filter(|after| *after == "key-09").count() >= 2).then_some(())
    });
    scene.assert_not_counted();
    assert_eq!(scene.pages().iter().filter(|after| after.is_empty()).count(), 1);
    scene.mend();
}
