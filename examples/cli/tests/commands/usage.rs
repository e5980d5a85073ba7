//! What all commands share: exit codes, errors, the environment, pipes.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::sample::{health, script};
use crate::support::{Script, command, error, run};

#[test]
fn nobody_there_is_exit_code_3() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    for command in ["status", "nodes", "partitions", "leader", "bench"] {
        let ran = run(&["--addr", &addr, command], "");
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (3, ""),
            "{command}: {}",
            ran.stderr
        );
        assert!(ran.stderr.contains(&addr), "{}", ran.stderr);
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let ran = run(&["--addr", &addr, "--timeout", "50ms", "--json", "leader"], "");
    let error: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((ran.code, &error["error"]["code"]), (3, &json!("UNREACHABLE")));
}

/// Whether an order was carried out is in the exit code: 1 no, 3 nobody heard it, 4 nobody knows.
#[test]
fn what_became_of_an_order_is_in_the_exit_code() {
    let orders = [
        &["data", "set", "k", "v"][..],
        &["data", "delete", "k"],
        &["remove", "node-2", "--yes"],
        &["rebalance"],
        &["maintenance", "on"],
        &["maintenance", "off"],
        &["step-down"],
        &["promote", "node-2"],
        &["demote"],
        &["leave", "--yes"],
    ];
    // A node that reads nothing: the order may be carried out when it does. One that is not there hears none.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let addrs = [&silent, &gone].map(|listener| listener.local_addr().unwrap().to_string());
    drop(gone);
    let runs: Vec<_> = orders
        .iter()
        .map(|order| {
            let at = |addr: &str| {
                let args = [&["--addr", addr, "--timeout", "50ms", "--json"], *order].concat();
                let ran = run(&args, "");
                let error: Value = serde_json::from_str(&ran.stderr).unwrap();
                (ran.code, error["error"]["code"].as_str().unwrap().to_owned())
            };
            (order, at(&addrs[0]), at(&addrs[1]))
        })
        .collect();
    for (order, unanswered, unheard) in runs {
        assert_eq!(unanswered, (4, "TIMEOUT".to_owned()), "{order:?}");
        assert_eq!(unheard, (3, "UNREACHABLE".to_owned()), "{order:?}");
    }
}

/// The node is given the time that the command was, and its own answer is heard: not "cannot reach a node".
#[test]
fn a_node_that_gives_up_is_heard_because_it_was_given_less_time() {
    for (code, status, exit) in [("TIMEOUT", 504, 4), ("NO_LEADER", 503, 1), ("REMOVED", 410, 1)] {
        let why = error(code, "said by the node");
        let node = Script::default()
            .json("PUT /data/k", status, &why)
            .json("DELETE /data/k", status, &why)
            .json("GET /data/k?revision=0", status, &why)
            .json("POST /step-down?to=node-2", status, &why)
            .json("POST /maintenance", status, &why)
            .serve();
        for args in [
            &["data", "set", "k", "v"][..],
            &["data", "delete", "k"],
            &["data", "get", "k"],
            &["promote", "node-2"],
            &["maintenance", "on"],
        ] {
            let ran = node.run(&[&["--timeout", "700ms"], args].concat());
            assert_eq!((ran.code, ran.stdout.as_str()), (exit, ""), "{args:?}");
            assert!(
                ran.stderr.contains(&format!("said by the node ({code})")),
                "{}",
                ran.stderr
            );
        }
        let given = node.asked().into_iter().map(|asked| asked.timeout);
        assert!(
            given
                .into_iter()
                .all(|timeout| timeout.as_deref() == Some("700ms"))
        );
    }
}

#[test]
fn an_answer_that_makes_no_sense_is_an_error() {
    let node = Script::default()
        .json("GET /cluster", 200, &json!({ "hello": "world" }))
        .json("GET /consensus/leader", 500, &json!("oops"))
        .serve();
    for command in ["partitions", "leader"] {
        let ran = node.run(&[command]);
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains("makes no sense"), "{}", ran.stderr);
    }
}

#[test]
fn usage_errors_are_exit_code_2() {
    for args in [
        &["frobnicate"][..],
        &["--addr", "nonsense", "status"],
        &["serve", "--addr", ":8080", "--node-id", "a", "--http-addr", ":0"],
        &["serve", "--node-id", "a b", "--http-addr", ":0"],
        &["serve", "--http-addr", ":0"],
        &["demo", "--keys", "/does/not/exist"],
        &["demo", "--nodes", "0"],
        &[
            "serve",
            "--node-id",
            "a",
            "--http-addr",
            "127.0.0.1:0",
            "--config",
            "/does/not/exist",
        ],
        &["data", "get", ""],
        &["data", "set", "", "v"],
        &["data", "delete", ""],
        &["remove", "", "--yes"],
    ] {
        let ran = run(args, "");
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (2, ""),
            "{args:?}: {}",
            ran.stderr
        );
        assert!(!ran.stderr.is_empty(), "{args:?} says nothing");
    }
}

#[test]
fn the_address_comes_from_the_environment_too() {
    let node = script().serve();
    let output = command()
        .args(["partitions", "--json"])
        .env("CLUSTERKIT_ADDR", &node.addr)
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(node.lines(), ["GET /cluster"]);
}

/// A proxy is for other traffic, and may not reach the node; the node's address is asked and no other.
#[test]
fn a_proxy_that_the_environment_names_is_not_used() {
    let (node, proxy) = (script().serve(), Script::default().serve());
    let url = format!("http://{}", proxy.addr);
    let names = ["http_proxy", "https_proxy", "all_proxy"];
    let output = command()
        .args(["--addr", &node.addr, "partitions", "--json"])
        .envs(names.map(|name| (name, &url)))
        .envs(names.map(|name| (name.to_uppercase(), &url)))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(node.lines(), ["GET /cluster"]);
    assert!(proxy.lines().is_empty(), "it was asked: {:?}", proxy.lines());
}

/// No node redirects: whoever does is none, and an order must not be carried elsewhere.
#[test]
fn a_redirect_is_an_answer_that_makes_no_sense() {
    let elsewhere = script().serve();
    let node = Script::default()
        .redirect("GET /cluster", &elsewhere.addr)
        .redirect("POST /maintenance", &elsewhere.addr)
        .serve();
    for args in [&["partitions"][..], &["maintenance", "on"]] {
        let ran = node.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{args:?}");
        assert!(ran.stderr.contains("makes no sense"), "{}", ran.stderr);
    }
    assert!(elsewhere.lines().is_empty(), "{:?}", elsewhere.lines());
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completions", shell], "");
        assert_eq!(ran.code, 0);
        for word in ["serve", "partitions", "locate", "join-addrs"] {
            assert!(ran.stdout.contains(word), "{shell} does not know {word}");
        }
    }
}

#[test]
fn no_escape_sequences_where_nobody_looks() {
    let node = script().json("GET /health/detailed", 200, &health()).serve();
    for args in [
        &["status"][..],
        &["partitions"],
        &["partitions", "--map"],
        &["--help"],
    ] {
        assert!(!node.run(args).stdout.contains('\u{1b}'), "{args:?}");
    }
}

/// `clusterkit partitions | head -1` must not end in a panic or an error message.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let node = script().serve();
    let mut child = command()
        .args(["--addr", &node.addr, "partitions"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}
