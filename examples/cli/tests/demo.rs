//! The demo with real processes: what it claims, and that it leaves nothing behind however it ends.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails by panicking, as a test does"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The demo, with its temporary folder inside `folder`.
fn demo(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clusterkit"));
    command.arg("demo").args(args).env("TMPDIR", folder);
    // An option that the user's shell sets for another node must not confuse the demo's.
    command
        .env("JOIN_ADDR", "192.0.2.1:9")
        .env("PARTITION_COUNT", "7");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

/// Reads the demo's output until `wanted` shows, and returns the addresses that were named on the way. The child keeps
/// its output: a reader that goes away ends the demo, which is another test.
fn read_until(child: &mut Child, wanted: &str) -> Vec<String> {
    let mut addrs = Vec::new();
    let mut output = BufReader::new(child.stdout.as_mut().unwrap());
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        addrs.extend(
            line.split_whitespace()
                .filter(|word| word.starts_with("127.0.0.1:"))
                .map(str::to_string),
        );
        if line.contains(wanted) {
            return addrs;
        }
        line.clear();
    }
    let stderr = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert_eq!(stderr, "", "the demo ended before {wanted:?}");
    addrs
}

/// Waits until nobody listens at `addrs` any more.
fn wait_silence(addrs: &[String]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    for addr in addrs {
        while TcpStream::connect(addr).is_ok() {
            assert!(Instant::now() < deadline, "a node still listens at {addr}");
        }
    }
}

#[test]
fn every_claim_of_the_demo_holds() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--nodes", "3", "--partitions", "32", "--keys", "-", "--json"];
    let mut child = demo(folder.path(), &args).spawn().unwrap();
    let keys: String = (0..500).map(|n| format!("order/{n}\n")).collect();
    child.stdin.take().unwrap().write_all(keys.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap().as_str()
        ),
        (Some(0), "")
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64).unwrap();

    assert_eq!(report["formation"]["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(number("/formation/partitions"), 32);
    assert_eq!((number("/routing/keys"), number("/routing/compared")), (500, 20));
    let primaries = report["routing"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["primary"].as_u64().unwrap());
    assert_eq!(primaries.sum::<u64>(), 500);
    // 32 partitions x 3 copies / 4 nodes.
    assert_eq!((number("/join/fewest_moves"), number("/join/moves")), (24, 24));
    assert_eq!((number("/restart/read_back"), number("/restart/moves")), (10, 0));
    assert_eq!((number("/stop/processes"), number("/stop/killed")), (4, 0));
    assert!(report["seconds"].as_f64().unwrap() < 15.0, "{report}");
    assert!(is_empty(folder.path()), "files are left");
}

#[test]
fn the_demo_shows_its_stops() {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(folder.path(), &["--nodes", "2", "--partitions", "8", "--rf", "1"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap().as_str()
        ),
        (Some(0), ""),
        "{text}"
    );
    for part in [
        "1  2 processes form a cluster",
        "8 partitions in 1 copy each on 2 nodes",
        "P primary   r replica",
        "2  1,000 keys find their nodes",
        "asked the nodes about 20 keys: all agree",
        "3  One more node joins",
        "2 copies moved, the fewest possible are 2",
        "10 of 10 values written before are read back",
        "0 of 8 copies moved",
        "3 processes stopped in",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colours where nobody looks");
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "wider than 100 columns:\n{text}"
    );
}

#[test]
fn ctrl_c_cleans_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = demo(folder.path(), &["--nodes", "3"]).spawn().unwrap();
    let addrs = read_until(&mut child, "node-1");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(is_empty(folder.path()), "files are left");
    wait_silence(&addrs);
}

#[test]
fn a_demo_whose_reader_went_away_cleans_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = demo(folder.path(), &["--nodes", "3", "--partitions", "8"])
        .spawn()
        .unwrap();
    let addrs = read_until(&mut child, "node-1");
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap().as_str()
        ),
        (Some(0), "")
    );
    assert!(is_empty(folder.path()), "files are left");
    wait_silence(&addrs);
}

#[test]
fn a_kept_cluster_ends_with_ctrl_c_and_that_is_success() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = demo(folder.path(), &["--nodes", "1", "--partitions", "4", "--keep"])
        .spawn()
        .unwrap();
    let addrs = read_until(&mut child, " bench");
    let status = Command::new(env!("CARGO_BIN_EXE_clusterkit"))
        .args(["--addr", &addrs[0], "--json", "status"])
        .output()
        .unwrap();
    assert!(
        status.status.success(),
        "{}: {}",
        addrs[0],
        String::from_utf8_lossy(&status.stderr)
    );
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["active_nodes"], 2);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    assert!(is_empty(folder.path()), "files are left");
    wait_silence(&addrs);
}

/// Nobody gets to clean up after `kill -9`; the nodes notice by themselves that their parent is gone.
#[test]
fn nodes_do_not_outlive_a_demo_that_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = demo(folder.path(), &["--nodes", "3", "--partitions", "8", "--keep"])
        .spawn()
        .unwrap();
    let addrs = read_until(&mut child, " bench");
    assert!(addrs.len() >= 4, "{addrs:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    wait_silence(&addrs);
}
