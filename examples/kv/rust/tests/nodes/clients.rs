//! What clients ask, and what they must not.

use serde_json::{Value, json};

use crate::support::{Cluster, Settings, call_with, get, post, read, set, until_done, wait_for};

#[test]
fn every_server_answers_every_key() {
    let cluster = Cluster::of(3, Settings::default());
    for number in 0..30 {
        set(
            cluster.addr(number % 3),
            &format!("key-{number}"),
            &format!("value {number}"),
        );
    }
    for place in 0..3 {
        for number in 0..30 {
            let key = format!("key-{number}");
            assert_eq!(
                read(cluster.addr(place), &key),
                Some(format!("value {number}")),
                "{key}"
            );
        }
        // With three copies on three nodes each has everything.
        wait_for("all keys to be on the node", || {
            let list = get(&format!("{}/kv/list", cluster.addr(place))).body;
            (list["count"] == 30 && list["keys"].as_array().unwrap().len() == 30).then_some(())
        });
        let stats = get(&format!("{}/kv/stats", cluster.addr(place))).body;
        assert_eq!(
            (&stats["cluster_nodes"], &stats["partitions"]),
            (&json!(3), &json!(8))
        );
        assert!(
            stats["is_leader"].is_boolean() && stats["uptime_seconds"].is_u64(),
            "{stats}"
        );
    }
    let deleted = until_done(|| {
        call_with(
            "POST",
            &format!("{}/kv/delete?key=key-3", cluster.addr(1)),
            &[],
            b"",
        )
    });
    assert_eq!(
        (deleted.status, &deleted.body["status"]),
        (200, &json!("deleted"))
    );
    for place in 0..3 {
        assert_eq!(read(cluster.addr(place), "key-3"), None);
    }
}

#[test]
fn a_request_is_passed_on_once() {
    let cluster = Cluster::of(
        2,
        Settings {
            options: &[("replication_factor", "2")],
            ..Settings::default()
        },
    );
    let (primary, others) = cluster.primary_of("key");
    let body = br#"{"key": "key", "value": "value"}"#;
    let forwarded = [("kv-forwarded", "1")];
    let refused = call_with(
        "POST",
        &format!("{}/kv/set", cluster.addr(others[0])),
        &forwarded,
        body,
    );
    assert_eq!((refused.status, refused.retry_after), (503, true), "{refused:?}");
    let done = until_done(|| {
        call_with(
            "POST",
            &format!("{}/kv/set", cluster.addr(primary)),
            &forwarded,
            body,
        )
    });
    assert_eq!(done.status, 200);
    // A replica answers from its copy where the client asks for that.
    let local = wait_for("the row at the replica", || {
        let local = call_with(
            "GET",
            &format!("{}/kv/get?key=key&local=true", cluster.addr(others[0])),
            &forwarded,
            b"",
        );
        (local.status == 200).then_some(local)
    });
    assert_eq!(local.body["value"], "value");
}

#[test]
fn bad_input_has_a_clear_answer() {
    let settings = Settings {
        options: &[("replication_factor", "1")],
        ..Settings::default()
    };
    let cluster = Cluster::of(1, settings);
    let addr = cluster.addr(0);
    let long = "k".repeat(513);
    let large = json!({ "key": "k", "value": "v".repeat((1 << 20) + 1) }).to_string();
    let huge = vec![b' '; (16 << 20) + 1];
    let cases: [(&str, String, &[u8], u16); 14] = [
        ("POST", "/kv/set".to_owned(), br#"{"key": "", "value": "v"}"#, 400),
        ("POST", "/kv/set".to_owned(), br#"{"key": "k"}"#, 400),
        ("POST", "/kv/set".to_owned(), br#"{"key": 1, "value": "v"}"#, 400),
        ("POST", "/kv/set".to_owned(), br#"["k", "v"]"#, 400),
        ("POST", "/kv/set".to_owned(), b"", 400),
        ("POST", "/kv/set".to_owned(), b"\xff", 400),
        ("POST", "/kv/set".to_owned(), large.as_bytes(), 413),
        ("POST", "/kv/set".to_owned(), &huge, 413),
        ("GET", "/kv/get".to_owned(), b"", 400),
        ("GET", format!("/kv/get?key={long}"), b"", 400),
        ("POST", "/kv/delete?key=".to_owned(), b"", 400),
        ("GET", "/kv/migrate?partition=partition-8".to_owned(), b"", 404),
        ("GET", "/kv/migrate?partition=x".to_owned(), b"", 400),
        ("GET", "/kv/nothing".to_owned(), b"", 404),
    ];
    for (method, path, body, status) in cases {
        let answer = call_with(method, &format!("{addr}{path}"), &[], body);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(answer.body["error"].is_string(), "{method} {path}: {answer:?}");
    }
    assert_eq!(get(&format!("{addr}/kv/set")).status, 405);
    for body in [
        json!({ "partition": 8, "epoch": 1, "from": "x", "rows": [] }),
        json!({ "partition": 0 }),
        json!([]),
    ] {
        let answer = post(&format!("{addr}/kv/replicate"), &body);
        assert!(answer.status == 404 || answer.status == 400, "{answer:?}");
    }
    // The largest that is allowed, in the form that takes most room in JSON.
    let value = "\u{1}".repeat(1 << 20);
    set(addr, &"k".repeat(512), &value);
    assert_eq!(read(addr, &"k".repeat(512)), Some(value));
    assert_eq!(get(&format!("{addr}/kv/list")).body["count"], 1);
}

#[test]
fn a_stranger_gets_no_data_and_changes_none() {
    const SECRET: &str = "hY3kPq8vWz1RtN5cXs7DfGj2LmB9aQeU4oKiT6yHwEn";
    // HMAC-SHA-256 of "clusterkit-kv clusterkit-cluster" with that key, computed with Python's hmac.
    const TOKEN: &str = "712800ebe6c29997565a8f1314a8d96296796a2f26208f8365abdefa9fc08fc9";
    let settings = Settings {
        options: &[("cluster_secret", SECRET), ("replication_factor", "2")],
        ..Settings::default()
    };
    let cluster = Cluster::of(2, settings);
    set(cluster.addr(0), "key", "value");
    assert_eq!(read(cluster.addr(1), "key").as_deref(), Some("value"));
    let partition = cluster.servers[0].node().partition_number(b"key").unwrap();
    let page = format!("{}/kv/migrate?partition=partition-{partition}", cluster.addr(0));
    let row = json!({ "key": "key", "value": "forged", "version": "99.1" });
    let forged = json!({ "partition": partition, "epoch": 99, "from": "x", "rows": [row] });
    for wrong in [
        vec![],
        vec![("authorization", "Bearer nonsense")],
        vec![("authorization", TOKEN)],
    ] {
        assert_eq!(call_with("GET", &page, &wrong, b"").status, 401);
        for path in ["replicate", "fence", "finish", "check"] {
            let url = format!("{}/kv/{path}", cluster.addr(0));
            let answer = call_with("POST", &url, &wrong, forged.to_string().as_bytes());
            assert_eq!(
                (answer.status, answer.body["error"].is_string()),
                (401, true),
                "{path}"
            );
        }
    }
    assert_eq!(read(cluster.addr(0), "key").as_deref(), Some("value"));
    let member = [("authorization", &*format!("Bearer {TOKEN}"))];
    let shown = call_with("GET", &page, &member, b"");
    assert_eq!(
        (shown.status, &shown.body["keys"]["key"]),
        (200, &Value::from("value"))
    );
}

#[test]
fn what_is_in_sqlite_outlasts_the_cluster() {
    let (options, variables) = (&[("replication_factor", "1")], &[("STORE", "sqlite")]);
    let mut cluster = Cluster::of(1, Settings { options, variables });
    set(cluster.addr(0), "key", "value");
    set(cluster.addr(0), "gone", "value");
    let gone = call_with(
        "POST",
        &format!("{}/kv/delete?key=gone", cluster.addr(0)),
        &[],
        b"",
    );
    assert_eq!(gone.status, 200);
    cluster.stop(0);
    let again = cluster.start("node-1", "");
    cluster.servers.push(again);
    assert_eq!(read(cluster.addr(0), "key").as_deref(), Some("value"));
    assert_eq!(read(cluster.addr(0), "gone"), None);
    set(cluster.addr(0), "key", "newer");
    assert_eq!(read(cluster.addr(0), "key").as_deref(), Some("newer"));
}
