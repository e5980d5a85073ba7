//! Secrets and tokens: how they are made, from where they are read, and that they are never on a command line.

use clusterkit::net::{Keyring, Role, Token};
use serde_json::{Value, json};

use crate::sample::{health, script};
use crate::support::{command, run};

/// Runs the command with these variables; its exit code and what it printed.
fn run_with(args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = command()
        .args(args)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn new_secret() -> String {
    run(&["secret"], "").stdout.trim().to_owned()
}

#[test]
fn a_secret_is_new_each_time_and_good_enough_for_a_node() {
    let (one, two) = (new_secret(), run(&["secret", "--json"], "").json());
    assert_ne!(one, two["secret"].as_str().unwrap());
    for secret in [&one, two["secret"].as_str().unwrap()] {
        let mut options = clusterkit::Options::new("a", "127.0.0.1:0");
        options.set("cluster_secret", secret).unwrap();
    }
}

#[test]
fn a_token_is_made_from_the_secret_wherever_that_is() {
    let folder = tempfile::tempdir().unwrap();
    let secret = new_secret();
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let path = file.to_str().unwrap();
    let check =
        |cluster: &str, text: &str| Token::check(&Keyring::new(cluster, &secret).unwrap(), text.trim(), 1);
    for (flags, variables) in [
        (&["--secret-file", path][..], &[][..]),
        (&[], &[("CLUSTERKIT_CLUSTER_SECRET", secret.as_str())]),
        (&[], &[("CLUSTERKIT_CLUSTER_SECRET_FILE", path)]),
    ] {
        let args = [&["token", "--role", "read", "--name", "prometheus"], flags].concat();
        let (code, text, stderr) = run_with(&args, variables);
        assert_eq!(code, Some(0), "{stderr}");
        let token = check("clusterkit-cluster", &text).unwrap();
        assert_eq!(
            (token.role, token.name.as_str(), token.expires),
            (Role::Read, "prometheus", None)
        );
    }
    let args = [
        "token",
        "--role",
        "operate",
        "--ttl",
        "30d",
        "--cluster-name",
        "orders",
        "--json",
    ];
    let (_, answer, _) = run_with(&args, &[("CLUSTER_SECRET", &secret)]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let token = check("orders", answer["token"].as_str().unwrap()).unwrap();
    assert!(token.expires.is_some() && token.role == Role::Operate);
    assert_eq!(answer["key_id"], token.key_id.to_string());
    for (args, variables) in [
        (&["token", "--role", "read"][..], &[][..]),
        (&["token", "--role", "peer", "--secret-file", path], &[]),
        (&["token", "--secret-file", path], &[]),
        (
            &["token", "--role", "read", "--name", "a b", "--secret-file", path],
            &[],
        ),
        (
            &["token", "--role", "read", "--secret-file", "/does/not/exist"],
            &[],
        ),
        (
            &["token", "--role", "read"],
            &[("CLUSTER_SECRET", "short-and-not-shown")],
        ),
    ] {
        let (code, stdout, stderr) = run_with(args, variables);
        assert!(code != Some(0) && stdout.is_empty(), "{args:?}: {stdout}");
        assert!(
            !stderr.is_empty() && !stderr.contains("short-and-not-shown"),
            "{stderr}"
        );
    }
}

#[test]
fn a_token_is_shown_to_the_node_and_to_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "ck1.file\n").unwrap();
    let path = file.to_str().unwrap();
    let node = script().serve();
    let at = ["--addr", &node.addr, "partitions", "--json"];
    for (flags, variables, expected) in [
        (&[][..], &[][..], None),
        (&["--token-file", path], &[], Some("Bearer ck1.file")),
        (
            &[],
            &[("CLUSTERKIT_TOKEN", "ck1.environment")],
            Some("Bearer ck1.environment"),
        ),
        (&[], &[("CLUSTERKIT_TOKEN_FILE", path)], Some("Bearer ck1.file")),
        (
            &["--token-file", path],
            &[("CLUSTERKIT_TOKEN", "ck1.environment")],
            Some("Bearer ck1.file"),
        ),
    ] {
        let (code, _, stderr) = run_with(&[&at, flags].concat(), variables);
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(node.asked().pop().unwrap().authorization.as_deref(), expected);
    }
    for (flags, variables) in [
        (&["--token-file", "/does/not/exist"][..], &[][..]),
        (&[], &[("CLUSTERKIT_TOKEN", "two words that nobody may see")]),
        (&["--token", "ck1.flag"], &[]),
    ] {
        let (code, _, stderr) = run_with(&[&at, flags].concat(), variables);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(!stderr.contains("nobody may see"), "{stderr}");
    }
}

#[test]
fn a_secret_has_no_flag_and_is_not_printed() {
    let secret = new_secret();
    let serve = ["serve", "--node-id", "a", "--http-addr", "127.0.0.1:0"];
    let ran = run(
        &[&serve[..], &["--cluster-secret", &secret, "--print-options"]].concat(),
        "",
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    for form in [&["--print-options"][..], &["--print-options", "--json"]] {
        let (code, stdout, stderr) = run_with(
            &[&serve[..], form].concat(),
            &[("CLUSTERKIT_CLUSTER_SECRET", &secret)],
        );
        assert_eq!(code, Some(0), "{stderr}");
        assert!(
            stdout.contains("(hidden)") && !stdout.contains(&secret),
            "{stdout}"
        );
    }
}

#[test]
fn status_says_which_keys_are_in_use_where() {
    let mut asked = health();
    asked["security"] = json!({
        "mode": "secret", "key_in_use": "0000aaaa", "failed_proofs": 3, "keys": [
            { "key_id": "0000aaaa", "connections": 4, "requests": 1 },
            { "key_id": "0000bbbb", "connections": 0, "requests": 2 },
        ],
    });
    let node = script().json("GET /health/detailed", 200, &asked).serve();
    let mut cluster = crate::sample::cluster();
    // One member is the asked node, the others are not there.
    for (place, addr) in [&node.addr, "127.0.0.1:1", "127.0.0.1:1"].iter().enumerate() {
        cluster["cluster"]["nodes"][place]["ip"] = json!(addr);
    }
    let front = script()
        .json("GET /cluster", 200, &cluster)
        .json("GET /health/detailed", 200, &asked)
        .serve();
    let ran = front.run(&["status"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let expected = "security    secret; key 0000aaaa used by node-1 (4 connections, 1 requests); key 0000bbbb accepted by \
                    node-1 (0 connections, 2 requests); no answer from node-10, node-2; 3 calls without a proof\n";
    assert!(ran.stdout.contains(expected), "{}", ran.stdout);
    let answer = front.run(&["status", "--json"]).json();
    assert_eq!(answer["security"]["node-1"], asked["security"]);
    assert_eq!(answer["security"]["node-2"], Value::Null);
    assert_eq!(answer["asked"]["security"], asked["security"]);

    asked["security"] = json!({ "mode": "insecure", "keys": [], "key_in_use": null, "failed_proofs": 0 });
    let open = script().json("GET /health/detailed", 200, &asked).serve();
    let ran = open.run(&["status"]);
    assert!(
        ran.stdout.contains("security    insecure: whoever"),
        "{}",
        ran.stdout
    );
}
