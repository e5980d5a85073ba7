//! Servers as processes of their own, killed without warning while clients write.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;

use crate::support::{get, post, read, until_done, wait_for};

struct Process {
    child: Child,
    http_addr: String,
    kv_addr: String,
}

impl Process {
    /// Starts a server, at these addresses if it has had some, and waits until it serves.
    fn start(folder: &Path, id: &str, addrs: (&str, &str), join: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kv"));
        command
            .env("NODE_ID", id)
            .env("HTTP_ADDR", addrs.0)
            .env("KV_ADDR", addrs.1);
        command
            .env("DATA_DIR", folder.join(id))
            .env("PARTITIONS", "8")
            .envs(variables.iter().copied());
        if join.is_empty() {
            command.env("BOOTSTRAP", "true");
        } else {
            command.env("JOIN_ADDR", join);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find_map(|line| line.unwrap().strip_prefix("ready ").map(str::to_owned));
        let ready = ready.expect("it says when it is ready");
        // What it prints later is read, so that it can print.
        std::thread::spawn(move || lines.for_each(drop));
        let (http_addr, kv_addr) = ready.split_once(' ').unwrap();
        Process {
            child,
            http_addr: http_addr.to_owned(),
            kv_addr: kv_addr.to_owned(),
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn is_settled(process: &Process) -> Option<()> {
    let partitions = get(&format!("{}/partitions", process.http_addr)).body;
    let partitions = partitions["partitions"].as_array()?;
    (!partitions.is_empty() && partitions.iter().all(|one| one["state"] == "ok")).then_some(())
}

/// Kills each of three servers under load, and starts it again; reads everything that was acknowledged.
fn kill_each_in_turn(variables: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let mut processes: Vec<Process> = Vec::new();
    for number in 1..=3 {
        let join: Vec<&str> = processes.iter().map(|process| &*process.http_addr).collect();
        let (id, addrs) = (format!("node-{number}"), ("127.0.0.1:0", "127.0.0.1:0"));
        let process = Process::start(folder.path(), &id, addrs, &join.join(","), variables);
        processes.push(process);
    }
    wait_for("all copies", || is_settled(&processes[0]));
    let addrs: Vec<String> = processes.iter().map(|process| process.kv_addr.clone()).collect();
    let (acknowledged, written, ended) = (
        Mutex::new(HashMap::<String, u64>::new()),
        AtomicU64::new(0),
        AtomicBool::new(false),
    );
    std::thread::scope(|scope| {
        for writer in 0..4_usize {
            let (addrs, acknowledged, written, ended) = (&addrs, &acknowledged, &written, &ended);
            scope.spawn(move || {
                // One writer for each key, and values that only grow.
                for value in 1_u64.. {
                    if ended.load(Ordering::SeqCst) {
                        return;
                    }
                    let key = format!("key-{writer}-{}", value % 5);
                    let addr = &addrs[(writer + value as usize) % addrs.len()];
                    let body = json!({ "key": key, "value": value.to_string() });
                    let answer = std::panic::catch_unwind(|| post(&format!("{addr}/kv/set"), &body));
                    if answer.is_ok_and(|answer| answer.status == 200) {
                        acknowledged.lock().unwrap().insert(key, value);
                        written.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        for place in 0..3 {
            let before = written.load(Ordering::SeqCst);
            wait_for("writes", || {
                (written.load(Ordering::SeqCst) >= before + 50).then_some(())
            });
            processes[place].kill();
            let before = written.load(Ordering::SeqCst);
            wait_for("writes without it", || {
                (written.load(Ordering::SeqCst) >= before + 20).then_some(())
            });
            let others = processes.iter().enumerate().filter(|(other, _)| *other != place);
            let join: Vec<&str> = others.map(|(_, process)| &*process.http_addr).collect();
            let own = (
                &*processes[place].http_addr.clone(),
                &*processes[place].kv_addr.clone(),
            );
            let id = format!("node-{}", place + 1);
            processes[place] = Process::start(folder.path(), &id, own, &join.join(","), variables);
            wait_for("all copies", || {
                processes
                    .iter()
                    .all(|process| is_settled(process).is_some())
                    .then_some(())
            });
        }
        ended.store(true, Ordering::SeqCst);
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    assert_eq!(acknowledged.len(), 20);
    for (key, value) in acknowledged {
        for addr in &addrs {
            let found: u64 = read(addr, &key).expect("it was acknowledged").parse().unwrap();
            assert!(
                found >= value,
                "{key}: {value} was acknowledged, {found} is there"
            );
        }
    }
    until_done(|| {
        post(
            &format!("{}/kv/set", addrs[0]),
            &json!({ "key": "key", "value": "last" }),
        )
    });
}

#[test]
fn no_acknowledged_write_is_lost_when_each_server_is_killed_in_turn() {
    kill_each_in_turn(&[]);
}

#[test]
fn nor_in_sqlite() {
    kill_each_in_turn(&[("STORE", "sqlite")]);
}

#[test]
fn what_clusterkit_logs_goes_to_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_kv"))
        .env("NODE_ID", "node-1")
        .env("HTTP_ADDR", "127.0.0.1:0")
        .env("KV_ADDR", "127.0.0.1:0")
        .env("DATA_DIR", folder.path())
        .env("BOOTSTRAP", "true")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let found = lines.any(|line| {
        line.unwrap()
            .starts_with("info node node-1 listens at 127.0.0.1:")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(found, "its standard error ended without it");
}
