//! Servers in this process, calls to them, and waiting with a deadline.

use std::time::{Duration, Instant};

use clusterkit::model::PartitionState;
use clusterkit::{ClusterKit, Options};
use kv::{Config, Server};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long anything may take on a machine that has other things to do.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// An answer: its status, its JSON, whether it says when to try again.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) retry_after: bool,
}

/// What a node is started with beyond its name and addresses: options of ClusterKit, and the server's variables.
#[derive(Clone, Copy, Default)]
pub(crate) struct Settings {
    pub(crate) options: &'static [(&'static str, &'static str)],
    pub(crate) variables: &'static [(&'static str, &'static str)],
}

/// Servers of one cluster.
pub(crate) struct Cluster {
    pub(crate) runtime: Runtime,
    pub(crate) servers: Vec<Server>,
    folder: TempDir,
    settings: Settings,
}

impl Cluster {
    /// A cluster without servers.
    pub(crate) fn new(settings: Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Cluster {
            runtime,
            servers: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
            settings,
        }
    }

    /// A cluster of so many servers in which every partition has its copies.
    pub(crate) fn of(count: usize, settings: Settings) -> Self {
        let mut cluster = Cluster::new(settings);
        for number in 1..=count {
            let addrs: Vec<String> = cluster.servers.iter().map(Server::http_addr).collect();
            let server = cluster.start(&format!("node-{number}"), &addrs.join(","));
            cluster.servers.push(server);
        }
        cluster.settle();
        cluster
    }

    /// Starts a server that joins through these addresses.
    pub(crate) fn start(&self, id: &str, join: &str) -> Server {
        let mut options = Options::new(id, "127.0.0.1:0");
        options
            .set("data_dir", self.folder.path().join(id).to_str().unwrap())
            .unwrap();
        options.set("join_addrs", join).unwrap();
        options.set("partition_count", "8").unwrap();
        for (name, value) in self.settings.options {
            options.set(name, value).unwrap();
        }
        let variables = self.settings.variables;
        let lookup = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let config = Config::new(options, lookup).unwrap();
        self.runtime.block_on(Server::start(config)).unwrap()
    }

    /// Waits until every partition has a primary and all copies, on every server's word.
    pub(crate) fn settle(&self) {
        for server in &self.servers {
            wait_for("every partition to be ok", || is_settled(server.node()));
        }
    }

    pub(crate) fn addr(&self, place: usize) -> &str {
        self.servers[place].kv_addr()
    }

    /// The place of the server that is the primary of a key, and those of the others.
    pub(crate) fn primary_of(&self, key: &str) -> (usize, Vec<usize>) {
        let is_primary = |server: &Server| server.node().is_primary_for_key(key.as_bytes());
        let primary = wait_for("a primary", || self.servers.iter().position(is_primary));
        (
            primary,
            (0..self.servers.len())
                .filter(|place| *place != primary)
                .collect(),
        )
    }

    pub(crate) fn stop(&mut self, place: usize) {
        let server = self.servers.remove(place);
        self.runtime.block_on(server.stop()).unwrap();
    }
}

fn is_settled(node: &ClusterKit) -> Option<()> {
    let view = node.view();
    let is_ok = view.partition_count() > 0 && view.partitions().all(|one| one.state() == PartitionState::Ok);
    is_ok.then_some(())
}

/// Waits for a condition, with a deadline.
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Makes a call with these headers, once.
pub(crate) fn call_with(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let config = ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false);
    let agent = config.timeout_global(Some(WAIT_TIMEOUT)).build().new_agent();
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("http://{url}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = agent.run(request.body(body).unwrap()).unwrap();
    let bytes = response
        .body_mut()
        .with_config()
        .limit(64 << 20)
        .read_to_vec()
        .unwrap();
    Answer {
        status: response.status().as_u16(),
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        retry_after: response.headers().contains_key("retry-after"),
    }
}

pub(crate) fn post(url: &str, body: &Value) -> Answer {
    call_with("POST", url, &[], body.to_string().as_bytes())
}

pub(crate) fn get(url: &str) -> Answer {
    call_with("GET", url, &[], b"")
}

/// Calls until the answer is none that says that nothing was done.
pub(crate) fn until_done(mut call: impl FnMut() -> Answer) -> Answer {
    wait_for("an answer other than 503", || {
        Some(call()).filter(|answer| answer.status != 503)
    })
}

/// Writes a key through a server, until it has been written.
pub(crate) fn set(addr: &str, key: &str, value: &str) {
    let body = serde_json::json!({ "key": key, "value": value });
    let answer = until_done(|| post(&format!("{addr}/kv/set"), &body));
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// What a server answers for a key, until it is something.
pub(crate) fn read(addr: &str, key: &str) -> Option<String> {
    let answer = until_done(|| get(&format!("{addr}/kv/get?key={key}")));
    match answer.status {
        200 => Some(answer.body["value"].as_str().unwrap().to_owned()),
        404 => None,
        _ => panic!("{answer:?}"),
    }
}
