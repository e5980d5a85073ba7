//! What all commands share: exit codes, errors, the environment, pipes.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::sample::{health, script};
use crate::support::{Script, command, run};

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
