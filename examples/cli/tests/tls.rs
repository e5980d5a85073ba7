//! Certificates that the command makes, and a node and commands that speak TLS with them.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails by panicking, as a test does"
)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The command, with nothing of the caller's environment that it would obey.
fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clusterkit"));
    for variable in clusterkit::options_table().iter().flat_map(|spec| spec.env) {
        command.env_remove(variable);
    }
    command
        .env_remove("CLUSTERKIT_ADDR")
        .current_dir(folder)
        .args(args)
        .stdin(Stdio::null());
    command
}

fn run(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(folder, args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// Makes an authority for "orders", and certificates for a node, an operator and a reader.
fn make(folder: &Path) {
    for args in [
        &["certs", "init", "--cluster-name", "orders"][..],
        &["certs", "node", "node-1"],
        &["certs", "operate", "ada"],
        &["certs", "read", "grafana", "--days", "30"],
    ] {
        let (code, _, stderr) = run(folder, args);
        assert_eq!(code, Some(0), "{args:?}: {stderr}");
    }
}

#[test]
fn certificates_are_made_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, stderr) = run(folder.path(), &["certs", "node", "node-1"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("certs init"), "{stderr}");
    make(folder.path());
    let dir = folder.path().join("certs");
    let mut files: Vec<(String, u32, Vec<u8>)> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let content = std::fs::read(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), mode, content)
        })
        .collect();
    files.sort();
    let seen: Vec<(&str, u32)> = files
        .iter()
        .map(|(name, mode, _)| (name.as_str(), *mode))
        .collect();
    // What others may read depends on the umask; the keys do not.
    let keys: Vec<(&str, u32)> = seen
        .iter()
        .copied()
        .filter(|(name, _)| name.ends_with(".key"))
        .collect();
    let expected = ["ca.key", "node-1.key", "operate-ada.key", "read-grafana.key"].map(|name| (name, 0o600));
    assert_eq!(keys, expected);
    let others: Vec<&str> = seen
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !name.ends_with(".key"))
        .collect();
    assert_eq!(
        others,
        [
            "ca.pem",
            "cluster-name",
            "node-1.pem",
            "operate-ada.pem",
            "read-grafana.pem"
        ]
    );

    for args in [
        &["certs", "init"][..],
        &["certs", "node", "node-1"],
        &["certs", "operate", "ada"],
        // Its certificate would be the authority's.
        &["certs", "node", "ca"],
    ] {
        let (code, _, stderr) = run(folder.path(), args);
        assert_eq!(code, Some(1), "{args:?}");
        assert!(stderr.contains("nothing is overwritten"), "{stderr}");
    }
    for name in ["", "../x", "a b", "ä"] {
        assert_eq!(
            run(folder.path(), &["certs", "operate", name]).0,
            Some(2),
            "{name:?}"
        );
    }
    for (name, _, content) in &files {
        assert_eq!(&std::fs::read(dir.join(name)).unwrap(), content, "{name}");
    }
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), files.len());
}

/// A node that is killed when the test is over.
struct Node(Child, String);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn node(folder: &Path) -> Node {
    let args = [
        "serve",
        "--json",
        "--log-level",
        "off",
        "--node-id",
        "node-1",
        "--http-addr",
        "127.0.0.1:0",
        "--cluster-name",
        "orders",
        "--tls-cert",
        "certs/node-1.pem",
        "--tls-key",
        "certs/node-1.key",
        "--tls-ca",
        "certs/ca.pem",
    ];
    let mut child = command(folder, &args).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    Node(child, ready["addr"].as_str().unwrap().to_owned())
}

#[test]
fn commands_speak_tls_with_a_node_and_know_it() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let node = node(folder.path());
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    make(&other);
    let ada = [
        "--cert",
        "certs/operate-ada.pem",
        "--key",
        "certs/operate-ada.key",
    ];
    let ca = ["--ca", "certs/ca.pem"];
    let cases = [
        ("the cluster of the certificate", [&ca[..], &ada].concat(), 0, ""),
        (
            "another cluster",
            [&ca[..], &ada, &["--cluster", "production"]].concat(),
            3,
            "not that of a member of \"production\"",
        ),
        (
            "another authority",
            [&["--ca", "other/certs/ca.pem"][..], &ada].concat(),
            3,
            "certificate at the other end is not accepted",
        ),
        (
            "a certificate of another authority",
            [
                &ca[..],
                &[
                    "--cert",
                    "other/certs/operate-ada.pem",
                    "--key",
                    "other/certs/operate-ada.key",
                ],
                &["--cluster", "orders"],
            ]
            .concat(),
            3,
            "does not accept this certificate",
        ),
        ("no verification", [&["--insecure"][..], &ada].concat(), 0, ""),
        (
            "a contradiction",
            [&["--insecure"][..], &ca].concat(),
            2,
            "leave one of them out",
        ),
        ("half of a pair", [&ca[..], &ada[..2]].concat(), 2, "go together"),
        ("no authority", ada.to_vec(), 2, "needs --ca"),
        ("no such file", vec!["--ca", "nowhere.pem"], 2, "nowhere.pem"),
        (
            "no certificate in it",
            vec!["--ca", "certs/ca.key"],
            2,
            "no certificate",
        ),
    ];
    for (what, flags, expected, said) in cases {
        let args = [&["--addr", &node.1, "leader"][..], &flags].concat();
        let (code, stdout, stderr) = run(folder.path(), &args);
        assert_eq!(code, Some(expected), "{what}: {stdout}{stderr}");
        assert!(stderr.contains(said), "{what}: {stderr}");
    }
    // A writer, and the name of the host in the certificate instead of the cluster.
    let (host, port) = node.1.rsplit_once(':').unwrap();
    assert_eq!(host, "127.0.0.1");
    let addr = format!("https://localhost:{port}");
    let args = [&["--addr", &addr, "data", "set", "k", "v"][..], &ca, &ada].concat();
    let (code, _, stderr) = run(folder.path(), &args);
    assert_eq!(code, Some(0), "{stderr}");
    // Plain HTTP is told why it gets nothing.
    let (code, _, stderr) = run(folder.path(), &["--addr", &node.1, "leader"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("TLS only"), "{stderr}");
    let (code, _, stderr) = run(folder.path(), &["--addr", &addr, "leader"]);
    assert_eq!(code, Some(2), "{stderr}");
}

#[test]
fn the_nodes_own_option_insecure_is_still_a_flag_of_serve() {
    let folder = tempfile::tempdir().unwrap();
    for flags in [&["--insecure=true"][..], &["--insecure", "true"]] {
        let args = [
            &["serve", "--node-id", "n", "--http-addr", ":0", "--print-options"][..],
            flags,
        ]
        .concat();
        let (code, stdout, stderr) = run(folder.path(), &args);
        assert_eq!(code, Some(0), "{flags:?}: {stderr}");
        let line = stdout
            .lines()
            .find(|line| line.contains("insecure"))
            .unwrap_or_default();
        assert!(line.contains("true"), "{flags:?}: {line}");
    }
}
