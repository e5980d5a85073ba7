//! Facts of now are checked now: what a node says of the present when everybody else is gone.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use ck_tests::{Api, Cluster, Method};
use serde_json::Value;

use crate::PROGRAM;

fn body(api: &Api, path: &str) -> (u16, Value, BTreeMap<String, String>) {
    let answer = api.request(&Method::GET, path, &[], "").unwrap();
    let headers = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    (answer.status.as_u16(), body, headers)
}

fn metric(api: &Api, name: &str) -> f64 {
    let answer = api.get("/metrics").unwrap();
    let text = std::str::from_utf8(&answer.body).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name} ")));
    assert!(line.is_some(), "no {name} in {text}");
    line.unwrap().parse().unwrap()
}

/// Runs the command against a node: its exit code and all that it wrote.
fn clusterkit(addr: &str, args: &[&str]) -> (Option<i32>, String) {
    let ran = Command::new(PROGRAM)
        .args(["--addr", addr])
        .args(args)
        .output()
        .unwrap();
    let text = [ran.stdout, ran.stderr].concat();
    (ran.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Everything that the survivor says, once nobody else is there: it names nobody who leads, and says how old it is.
fn the_survivor_knows_only_the_past(api: &Api, addr: &str) {
    let (status, leader, headers) = body(api, "/consensus/leader");
    assert_eq!(
        (status, &leader["error"]["code"]),
        (503, &"NO_LEADER".into()),
        "{leader}"
    );
    assert_eq!(headers["x-clusterkit-known-leader"], "false");

    let (_, stats, _) = body(api, "/consensus/stats");
    assert_eq!(
        (&stats["leader"], &stats["current_leader"]),
        (&"".into(), &"".into()),
        "{stats}"
    );
    assert_eq!(stats["is_leader"], false);

    let (_, cluster, headers) = body(api, "/cluster");
    assert_eq!(
        (&cluster["cluster"]["leader"], &cluster["stale"]),
        (&"".into(), &true.into())
    );
    assert!(headers["etag"].ends_with("-stale\""), "{headers:?}");

    let (status, ready, _) = body(api, "/ready");
    assert_eq!((status, &ready["valid_partitions"]), (503, &0.into()), "{ready}");
    let (_, health, _) = body(api, "/health/detailed");
    assert_eq!(
        (&health["healthy"], &health["is_leader"]),
        (&false.into(), &false.into()),
        "{health}"
    );

    for path in [
        "/nodes",
        "/partitions",
        "/partitions/stats",
        "/partitions/key?key=a",
        "/route?key=a",
    ] {
        let (status, answer, headers) = body(api, path);
        assert_eq!(
            (status, &answer["stale"]),
            (200, &true.into()),
            "{path}: {answer}"
        );
        assert_eq!(headers["x-clusterkit-known-leader"], "false", "{path}");
    }
    let (_, nodes, _) = body(api, "/nodes");
    assert_eq!((&nodes["total"], &nodes["heard"]), (&3.into(), &1.into()));
    let (_, route, _) = body(api, "/route?key=a");
    assert_eq!(
        (route["role"] == "primary", &route["lease_ms"]),
        (false, &0.into()),
        "{route}"
    );

    assert_eq!(metric(api, "clusterkit_leader_known"), 0.0);
    assert_eq!(metric(api, "clusterkit_leader_epoch"), 0.0);

    let (code, text) = clusterkit(addr, &["leader"]);
    assert_ne!(code, Some(0), "{text}");
    assert!(text.contains("NO_LEADER"), "{text}");
    let (_, text) = clusterkit(addr, &["status"]);
    assert!(text.contains("none"), "{text}");
    assert!(text.contains("3 members, 1 heard of; as of "), "{text}");
    let (_, text) = clusterkit(addr, &["nodes"]);
    assert!(text.contains("active (stale)"), "{text}");
}

/// Two of three are killed, once with the leader among them and once with the leader as the survivor.
#[test]
fn a_survivor_names_no_leader_and_says_how_old_it_is() {
    for leader_survives in [false, true] {
        let mut cluster = Cluster::of(PROGRAM, 3);
        let leader = cluster.leader();
        let survivor = if leader_survives { leader } else { (leader + 1) % 3 };
        let api = cluster.api(survivor);
        let addr = cluster.node(survivor).addr().to_owned();
        assert_eq!(metric(&api, "clusterkit_leader_known"), 1.0);
        for place in (0..3).filter(|place| *place != survivor) {
            cluster.node(place).kill();
        }
        // A lease is 1.5 s; then nothing is left of it.
        cluster.until("the survivor knows of no leader", || match api.leader() {
            Ok(leader) => Err(format!("{leader:?}")),
            Err(_) => Ok(()),
        });
        cluster.until("two members are no longer heard of", || {
            match body(&api, "/nodes").1["heard"].as_u64() {
                Some(1) => Ok(()),
                heard => Err(format!("{heard:?}")),
            }
        });
        cluster.until(
            "the lease has run out",
            || match body(&api, "/route?key=a").1["lease_ms"].as_u64() {
                Some(0) => Ok(()),
                left => Err(format!("{left:?}")),
            },
        );
        the_survivor_knows_only_the_past(&api, &addr);
        // The age grows, on every answer and in the alarm's metric.
        let age = |path: &str| -> u64 { body(&api, path).2["x-clusterkit-last-contact"].parse().unwrap() };
        let (before, shown) = (age("/cluster"), metric(&api, "clusterkit_last_contact_seconds"));
        cluster.until("time passes", || match age("/cluster") {
            now if now >= before + 100 => Ok(()),
            now => Err(now.to_string()),
        });
        assert!(metric(&api, "clusterkit_last_contact_seconds") > shown);

        // Started anew it has heard of nobody, and names nobody that its log remembers.
        cluster.node(survivor).kill();
        cluster.node(survivor).spawn_again();
        let (_, took) = cluster.until("it answers", || {
            api.status("/health").map_err(|error| error.to_string())
        });
        assert!(took < Duration::from_secs(30));
        assert_eq!(body(&api, "/consensus/leader").0, 503);
        let (_, answer, headers) = body(&api, "/cluster");
        assert_eq!(answer["cluster"]["leader"], "");
        assert!(!headers.contains_key("x-clusterkit-last-contact"), "{headers:?}");
    }
}

#[test]
fn what_a_node_says_of_the_present_moves() {
    let cluster = Cluster::of(PROGRAM, 3);
    for api in cluster.apis() {
        let seen = || {
            let (_, nodes, _) = body(&api, "/nodes");
            let nodes = nodes["nodes"].as_array().unwrap().clone();
            let seen = nodes
                .iter()
                .map(|node| node["last_seen"].as_str().unwrap().to_owned());
            seen.collect::<Vec<_>>()
        };
        let synced = || {
            body(&api, "/health/detailed").1["last_sync"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let (first_seen, first_synced) = (seen(), synced());
        cluster.until("every member's last_seen and last_sync move", || {
            let (now_seen, now_synced) = (seen(), synced());
            let moved = now_seen.iter().zip(&first_seen).all(|(now, first)| now > first);
            if moved && now_synced > first_synced {
                Ok(())
            } else {
                Err(format!(
                    "{first_seen:?} {first_synced}, now {now_seen:?} {now_synced}"
                ))
            }
        });
        assert_eq!(body(&api, "/nodes").1["heard"], 3);
    }
}

#[test]
fn a_route_says_what_the_asked_node_is_at_this_moment() {
    let cluster = Cluster::of(PROGRAM, 3);
    for key in ["a", "b", "user:123"] {
        let mut primaries = Vec::new();
        for (place, api) in cluster.apis().iter().enumerate() {
            let (status, route, _) = body(api, &format!("/route?key={key}"));
            assert_eq!(status, 200, "{route}");
            assert_eq!(route["node_id"], format!("node-{}", place + 1));
            let lease = route["lease_ms"].as_u64().unwrap();
            assert!(lease <= 1_500, "{route}");
            if route["role"] == "primary" {
                assert!(lease > 0, "{route}");
                assert_eq!(route["primary"]["id"], route["node_id"]);
                primaries.push(place);
            }
        }
        assert_eq!(primaries.len(), 1, "{key}: {primaries:?}");
    }
    // Writes take their own time.
    let api = cluster.api(1);
    let answer = api.request(&Method::PUT, "/data/k?timeout=5s", &[], "v").unwrap();
    assert_eq!(answer.status, 200);
}

/// The file that the manual names for disaster holds the data, in the form in which Go decodes `[]byte`.
#[test]
fn the_state_file_follows_the_data() {
    let mut cluster = Cluster::of(PROGRAM, 1);
    let file = cluster.node(0).data_dir().join("custom-data.json");
    let data = || -> Result<Value, String> {
        let text = std::fs::read(&file).map_err(|error| error.to_string())?;
        let state: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        Ok(state["custom_data"].clone())
    };
    let api = cluster.api(0);
    let has = |wanted: &Value| {
        let wanted = wanted.clone();
        let data = &data;
        move || {
            let data = data()?;
            if data == wanted {
                Ok(())
            } else {
                Err(data.to_string())
            }
        }
    };
    api.put("text", "hello").unwrap();
    api.put("bytes", vec![0xff, 0xfe]).unwrap();
    // Nothing but data changes here.
    cluster.until(
        "the data is in the file",
        has(&serde_json::json!({ "bytes": "//4=", "text": "aGVsbG8=" })),
    );
    api.put("text", "again").unwrap();
    cluster.until(
        "the newer data is in the file",
        has(&serde_json::json!({ "bytes": "//4=", "text": "YWdhaW4=" })),
    );
    // What is written last is there when the node has stopped.
    api.put("last", "x").unwrap();
    cluster.node(0).stop();
    has(&serde_json::json!({ "bytes": "//4=", "last": "eA==", "text": "YWdhaW4=" }))().unwrap();
}
