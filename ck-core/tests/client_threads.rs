//! The threads of a client, in a process that has nothing else of the library: one test, in a program of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clusterkit::{Client, ClientOptions};

const TIMEOUT: Duration = Duration::from_secs(30);

/// The names of the library's threads in this process.
fn threads() -> BTreeSet<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    // A thread that has ended meanwhile has no name any more.
    tasks
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .filter(|name| name.starts_with("ck-"))
        .collect()
}

fn until(what: &str, names: &[&str]) {
    let expected: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let deadline = Instant::now() + TIMEOUT;
    while threads() != expected {
        assert!(Instant::now() < deadline, "{what}: {:?}", threads());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_client_has_the_threads_of_the_runtime_and_one_for_its_callback() {
    let runtime = ["ck-http", "ck-runtime"];
    // Nobody listens there: the client tries for as long as it lives.
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let mut options = ClientOptions::new([nobody]);
    options.retry_max = Duration::from_millis(100);
    let client = Client::new(options.clone()).unwrap();
    until("without a callback", &runtime);
    client.on_change(Some(Arc::new(|_| ()))).unwrap();
    until(
        "with the callback for changes",
        &["ck-change", "ck-http", "ck-runtime"],
    );
    client.on_change(None).unwrap();
    until("without it", &runtime);
    client.on_change(Some(Arc::new(|_| ()))).unwrap();
    client.close().unwrap();
    until("closed", &runtime);
    drop(client);
    until("dropped", &[]);
    // Closed while the thread of the callback begins.
    let client = Client::new(options.clone()).unwrap();
    for _ in 0..100 {
        let closing = Client::new(options.clone()).unwrap();
        closing.on_change(Some(Arc::new(|_| ()))).unwrap();
        closing.close().unwrap();
    }
    until("all are closed", &runtime);
    drop(client);
    until("all are dropped", &[]);
}
