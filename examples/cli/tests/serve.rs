//! `serve` with a real node in it: how it says that it is ready, and every way to end it.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails by panicking, as a test does"
)]

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The command, with nothing of the caller's environment that it would obey.
fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clusterkit"));
    for variable in clusterkit::options_table().iter().flat_map(|spec| spec.env) {
        command.env_remove(variable);
    }
    command.env_remove("CLUSTERKIT_ADDR").current_dir(folder);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A node that runs, and is killed when the test is over.
struct Node {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Node {
    fn start(folder: &Path, args: &[&str]) -> Node {
        let mut child = command(folder)
            .args(["serve", "--node-id", "node-1", "--http-addr", "127.0.0.1:0"])
            .args(args)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Node { child, lines }
    }

    /// The same in a shell that has run `prelude` before.
    fn start_after(folder: &Path, prelude: &str, args: &[&str]) -> Node {
        let program = command(folder);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("{prelude}; exec \"$0\" \"$@\"")])
            .arg(program.get_program())
            .args(["serve", "--node-id", "node-1", "--http-addr", "127.0.0.1:0"])
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (variable, value) in program.get_envs() {
            match value {
                Some(value) => shell.env(variable, value),
                None => shell.env_remove(variable),
            };
        }
        let mut child = shell.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Node { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The exit code, and what was written to standard error.
    fn end(mut self) -> (Option<i32>, String) {
        let stderr = std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap();
        (self.child.wait().unwrap().code(), stderr)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_parent_learns_the_address_in_three_ways() {
    let folder = folder();
    let ready = folder.path().join("ready.json");
    // Descriptor 2 stands for any inherited one.
    let args = [
        "--json",
        "--log-level",
        "off",
        "--ready-file",
        "ready.json",
        "--ready-fd",
        "2",
    ];
    let mut node = Node::start(folder.path(), &args);
    let line = node.line();
    let told: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&told["node_id"], &told["pid"]),
        (&"node-1".into(), &node.child.id().into())
    );
    assert_eq!(std::fs::read_to_string(&ready).unwrap(), format!("{line}\n"));

    let addr = told["addr"].as_str().unwrap();
    let status = command(folder.path())
        .args(["--addr", addr, "--json", "status"])
        .output()
        .unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(
        (&status["leader"], &status["partitions"]),
        (&"node-1".into(), &64.into())
    );
    assert!(folder.path().join("clusterkit-data").is_dir());

    node.signal(Signal::TERM);
    assert_eq!(node.end(), (Some(0), format!("{line}\n")));
}

#[test]
fn people_get_a_sentence_and_both_signals_end_it_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = folder();
        let mut node = Node::start(folder.path(), &[]);
        assert!(node.line().starts_with("node-1 is ready at 127.0.0.1:"));
        node.signal(signal);
        assert_eq!(node.line(), "stopped: a signal asked for it");
        assert_eq!(node.end().0, Some(0));
    }
}

#[test]
fn a_node_does_not_outlive_the_parent_that_holds_its_input() {
    let folder = folder();
    let mut node = Node::start(folder.path(), &["--exit-with-stdin"]);
    assert!(node.line().contains("is ready"));
    drop(node.child.stdin.take());
    assert_eq!(node.line(), "stopped: the parent is gone");
    assert_eq!(node.end().0, Some(0));
}

#[test]
fn events_are_lines_of_json() {
    let folder = folder();
    let mut node = Node::start(folder.path(), &["--events", "--json", "--partition-count", "2"]);
    let mut kinds = Vec::new();
    while !kinds.contains(&"become_leader".to_string()) {
        let event: Value = serde_json::from_str(&node.line()).unwrap();
        kinds.extend(event["type"].as_str().map(str::to_string));
    }
    assert_eq!(kinds[0], "node_join");
}

#[test]
fn a_start_that_fails_says_why() {
    let folder = folder();
    let vacant = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let node = Node::start(
        folder.path(),
        &["--join-addrs", &vacant, "--join-timeout", "200ms", "--json"],
    );
    let (code, stderr) = node.end();
    let error: Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
    assert_eq!((code, &error["error"]["code"]), (Some(1), &"JOIN_FAILED".into()));
    assert!(
        error["error"]["message"].as_str().unwrap().contains(&vacant),
        "{error}"
    );
}

#[test]
fn a_node_that_tries_to_join_can_be_interrupted() {
    let folder = folder();
    // It listens and never answers: the node will try until its deadline.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let node = Node::start(folder.path(), &["--join-addrs", &addr, "--join-timeout", "10m"]);
    let _tried = silent.accept().unwrap();
    node.signal(Signal::INT);
    assert_eq!(node.end().0, Some(130));
}

/// The usual soft limit is for programs that call `select`; connections alone must not use it up.
#[test]
fn the_soft_limit_on_open_files_is_raised_to_the_hard_one() {
    let folder = folder();
    let mut node = Node::start_after(folder.path(), "ulimit -Sn 256", &["--log-level", "off"]);
    assert!(node.line().contains("is ready"));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.child.id())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let numbers: Vec<&str> = line.split_whitespace().skip(3).collect();
    let hard: u64 = numbers[1].parse().unwrap_or(u64::MAX);
    assert_eq!(numbers[0].parse(), Ok(hard.min(1 << 20)), "{line}");
}

#[test]
fn where_few_files_may_be_open_fewer_connections_are_served_and_that_is_said() {
    let folder = folder();
    let mut node = Node::start_after(folder.path(), "ulimit -n 300", &[]);
    assert!(node.line().contains("is ready"));
    node.signal(Signal::TERM);
    let (code, stderr) = node.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.contains("may open 300 files only: at most 70 connections"),
        "{stderr}"
    );
}

/// A log file that has grown to the limit is one of the ways to meet it.
#[test]
fn a_limit_on_the_length_of_files_ends_no_node() {
    let folder = folder();
    let node = Node::start_after(folder.path(), "ulimit -f 1", &[]);
    let (code, stderr) = node.end();
    // An error that says so, and no signal.
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("File too large"), "{stderr}");
}

#[test]
fn print_options_says_each_value_and_where_it_came_from_and_starts_nothing() {
    let folder = folder();
    std::fs::write(folder.path().join("node.json"), r#"{"zone": "z", "weight": 7}"#).unwrap();
    let show = |form: &[&str]| {
        command(folder.path())
            .args([
                "serve",
                "--config",
                "node.json",
                "--node-id",
                "n",
                "--http-addr",
                ":1",
            ])
            .arg("--print-options")
            .args(form)
            // Overridden by a flag, so nobody looks at it.
            .env("HTTP_PORT", "nonsense")
            .env("CLUSTERKIT_WEIGHT", "8")
            .output()
            .unwrap()
    };
    let out = show(&["--json"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let shown: Vec<Value> = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(shown.len(), clusterkit::options_table().len());
    for (name, value, source) in [
        ("node_id", "n", "flag"),
        ("http_addr", ":1", "flag"),
        ("weight", "8", "environment CLUSTERKIT_WEIGHT"),
        ("zone", "z", "file"),
        ("data_dir", "./clusterkit-data", "default"),
        ("raft_addr", "peers use http_addr", "default"),
    ] {
        let option = shown.iter().find(|option| option["name"] == name).unwrap();
        assert_eq!(
            (&option["value"], &option["source"]),
            (&value.into(), &source.into()),
            "{name}"
        );
    }
    let text = String::from_utf8(show(&[]).stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("weight ")).unwrap();
    assert!(
        line.contains("environment CLUSTERKIT_WEIGHT") && line.trim_end().ends_with('8'),
        "{line}"
    );
    assert!(!folder.path().join("clusterkit-data").exists());
}

/// Each of these would otherwise be a node beside its cluster, in an empty directory.
#[test]
fn a_slip_of_the_pen_founds_no_second_cluster() {
    let folder = folder();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for (variable, value, says) in [
        ("DATA_DIR", "data\r", "control character"),
        ("DATA_DIR", " data", "blank"),
        ("DATA_DIR", "\"data\"", "quotes"),
        ("DATA_DIR", "~/data", "only a shell"),
        ("DATA_DIR", "file", "is a file"),
        ("JOIN_ADDR", ",", "names no address"),
        ("HTTP_ADDR", "0:0", "has the number 0"),
        ("NODE_ID", "..", "neither . nor .."),
    ] {
        let mut serve = command(folder.path());
        serve.args(["serve", "--log-level", "off"]);
        for (name, usual) in [("NODE_ID", "node-1"), ("HTTP_ADDR", "127.0.0.1:0")] {
            serve.env(name, usual);
        }
        let out = serve.env(variable, value).output().unwrap();
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success(), "{variable}={value:?}");
        assert!(stderr.contains(says), "{variable}={value:?}: {stderr}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn founding_a_cluster_is_said_with_its_id() {
    let folder = folder();
    let mut node = Node::start(folder.path(), &[]);
    assert!(node.line().contains("is ready"));
    node.signal(Signal::TERM);
    let (_, stderr) = node.end();
    let line = stderr
        .lines()
        .find(|line| line.contains("founds a NEW cluster"))
        .unwrap();
    assert!(line.contains("WARN") || line.contains("warn"), "{line}");
}

/// Waits until the node has written its ready file; the address in it.
fn ready_at(folder: &Path) -> String {
    let path = folder.join("ready.json");
    let mut addr = None;
    ck_tests::wait_until(ck_tests::WAIT_LIMIT, || {
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let told: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        addr = told["addr"].as_str().map(str::to_owned);
        Ok(())
    })
    .unwrap();
    addr.unwrap()
}

/// A node that prints all that it can.
fn talkative(folder: &Path) -> Command {
    let mut command = command(folder);
    command
        .args(["serve", "--node-id", "node-1", "--http-addr", "127.0.0.1:0"])
        .args(["--events", "--ready-file", "ready.json"]);
    command
}

/// The node takes writes, and ends in order when it is asked to.
fn serves_and_ends(mut child: Child, folder: &Path) {
    let api = ck_tests::Api::new(&ready_at(folder));
    api.put("k", "v").unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Whoever writes to it waits for ever.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while rustix::io::write(&writer, &[b'x'; 512]).is_ok() {}
    while rustix::io::write(&writer, b"x").is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

#[test]
fn a_node_serves_on_when_nobody_reads_that_it_is_ready() {
    let folder = folder();
    let (reader, writer) = full_pipe();
    // Descriptor 2 stands for any inherited one.
    let child = talkative(folder.path())
        .args(["--ready-fd", "2", "--log-level", "off"])
        .stdout(Stdio::null())
        .stderr(writer)
        .spawn()
        .unwrap();
    serves_and_ends(child, folder.path());
    drop(reader);
}

/// Slower than it comes.
#[test]
fn a_node_serves_on_when_what_it_prints_is_read_slowly() {
    let folder = folder();
    let (mut reader, writer) = full_pipe();
    let child = talkative(folder.path())
        .args(["--log-level", "trace"])
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    let slow = std::thread::spawn(move || {
        let mut byte = [0; 128];
        // Until the process has ended.
        while matches!(std::io::Read::read(&mut reader, &mut byte), Ok(n) if n > 0) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    serves_and_ends(child, folder.path());
    slow.join().unwrap();
}

#[test]
fn a_node_serves_on_when_nobody_reads_what_it_prints_and_ends_when_it_is_asked_to() {
    let folder = folder();
    let (reader, writer) = full_pipe();
    let child = talkative(folder.path())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    serves_and_ends(child, folder.path());
    drop(reader);
}

#[test]
fn a_node_serves_on_when_whoever_read_its_output_is_gone() {
    let folder = folder();
    let mut child = talkative(folder.path()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    serves_and_ends(child, folder.path());
}

#[test]
fn the_end_of_a_terminal_ends_nothing_under_nohup() {
    let folder = folder();
    let mut node = Node::start_after(folder.path(), "trap \"\" HUP", &["--json"]);
    let told: Value = serde_json::from_str(&node.line()).unwrap();
    let api = ck_tests::Api::new(told["addr"].as_str().unwrap());
    node.signal(Signal::HUP);
    api.put("k", "v").unwrap();
    node.signal(Signal::TERM);
    assert_eq!(node.end().0, Some(0));
}

/// Runs a command to its end; whether it succeeded, and all that it printed.
fn ran(mut command: Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// From the secret to the audit, as an operator does it.
#[test]
fn a_node_beyond_loopback_needs_a_secret_and_its_clients_tokens() {
    let folder = folder();
    let clusterkit = |args: &[&str]| {
        let mut command = command(folder.path());
        command.args(args);
        command
    };
    let serve = [
        "serve",
        "--node-id",
        "node-1",
        "--http-addr",
        "0.0.0.0:0",
        "--json",
    ];
    let (succeeded, said) = ran(clusterkit(&serve));
    assert!(!succeeded && said.contains("INVALID_OPTION"), "{said}");
    assert!(
        said.contains("cluster_secret") && said.contains("insecure = true"),
        "{said}"
    );

    let made = |args: &[&str], file: &str| {
        let (succeeded, text) = ran(clusterkit(args));
        assert!(succeeded, "{text}");
        std::fs::write(folder.path().join(file), &text).unwrap();
        text.trim().to_owned()
    };
    let mut hidden = vec![made(&["secret"], "secret")];
    for role in ["read", "operate"] {
        let args = [
            "token",
            "--role",
            role,
            "--name",
            "alice",
            "--secret-file",
            "secret",
        ];
        hidden.push(made(&args, role));
    }
    let mut child = clusterkit(&[&serve[..], &["--cluster-secret-file", "secret"]].concat())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut node = Node { child, lines };
    let ready: Value = serde_json::from_str(&node.line()).unwrap();
    let (_, port) = ready["addr"].as_str().unwrap().rsplit_once(':').unwrap();
    let addr = format!("127.0.0.1:{port}");
    for (flags, args, succeeds, says) in [
        (&[][..], &["status"][..], false, "UNAUTHENTICATED"),
        (&["--token-file", "read"], &["status"], true, "used by node-1"),
        (
            &["--token-file", "read"],
            &["data", "set", "k", "v"],
            false,
            "REFUSED",
        ),
        (
            &["--token-file", "operate"],
            &["data", "set", "k", "v"],
            true,
            "k",
        ),
        (&["--token-file", "operate"], &["data", "get", "k"], true, "v"),
    ] {
        let (succeeded, text) = ran(clusterkit(&[&["--addr", &addr], flags, args].concat()));
        assert!(succeeded == succeeds && text.contains(says), "{args:?}: {text}");
    }
    node.signal(Signal::TERM);
    let (code, log) = node.end();
    assert_eq!(code, Some(0), "{log}");
    let audit: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line.split_once(" audit ")?.1).ok())
        .collect();
    let of_writes: Vec<_> = audit
        .iter()
        .filter(|line| line["call"] == "PUT /data/{*key}")
        .map(|line| (&line["principal"], &line["role"], &line["status"]))
        .collect();
    let alice = &Value::from("alice");
    assert_eq!(
        of_writes,
        [
            (alice, &"read".into(), &403.into()),
            (alice, &"operate".into(), &200.into())
        ]
    );
    assert!(hidden.iter().all(|text| !log.contains(text)), "{log}");
}
