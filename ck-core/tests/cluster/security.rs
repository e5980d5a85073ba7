//! A cluster with a secret: who gets in, how the secret is changed, and how a running cluster is given one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use clusterkit::{ClusterKit, Error, ErrorCode, Expect, LogLevel, Options};

use crate::support::{
    TIMEOUT, TestNode, durable_cluster, founder, join, leader, options, settle, stop, until,
};

const OURS: &str = "0yxn6Zq3Tk4uVwA9bCdE2fGhIjKlMnOpQrStUvWxYz1";
const NEXT: &str = "9LmNoPqRsTuVwXyZ0aBcDeFgHiJkL1mNoPqRsTuVwX8";

fn secured(mut options: Options) -> Options {
    options.cluster_secret = Some(OURS.into());
    options
}

fn secured_cluster(change: impl Fn(Options) -> Options) -> Vec<TestNode> {
    let mut nodes = vec![TestNode::start(change(founder("node-1"))).unwrap()];
    for i in 2..=3 {
        nodes.push(join(change(options(&format!("node-{i}"))), &nodes[..1]).unwrap());
    }
    settle(&nodes);
    nodes
}

/// Writes a key from every node.
fn write_everywhere(nodes: &[TestNode], what: &str) {
    for node in nodes {
        let key = format!("{what}-{}", node.id());
        node.kit
            .set_custom_data(&key, "value", Expect::Any, TIMEOUT)
            .unwrap();
    }
}

/// Writes through every node in turn until it is told to end, and counts.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<Error>>,
}

impl Load {
    pub(crate) fn on(kits: Vec<ClusterKit>) -> Self {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stopped, counted) = (stop.clone(), done.clone());
        let thread = std::thread::spawn(move || {
            let mut errors = Vec::new();
            for number in 0.. {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let kit = &kits[number % kits.len()];
                match kit.set_custom_data(&format!("load-{}", number % 50), "value", Expect::Any, TIMEOUT) {
                    Ok(_) => drop(counted.fetch_add(1, Ordering::SeqCst)),
                    Err(error) => errors.push(error),
                }
            }
            errors
        });
        Load { stop, done, thread }
    }

    pub(crate) fn wait_for_more(&self, what: &str) {
        let before = self.done.load(Ordering::SeqCst);
        until(what, || self.done.load(Ordering::SeqCst) >= before + 30);
    }

    pub(crate) fn end(self) -> Vec<Error> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

#[test]
fn a_cluster_with_a_secret_forms_and_lets_nobody_else_in() {
    let nodes = secured_cluster(secured);
    write_everywhere(&nodes, "first");
    let through = |mut options: Options| {
        options.join_addrs = nodes.iter().map(TestNode::addr).collect();
        options.join_timeout = std::time::Duration::from_secs(2);
        options
    };
    let mut with_another = options("stranger");
    with_another.cluster_secret = Some(NEXT.into());
    for stranger in [options("stranger"), with_another] {
        let error = TestNode::start(through(stranger))
            .err()
            .expect("it should be refused");
        assert_eq!(error.code(), ErrorCode::Unauthenticated, "{error}");
        assert!(error.message().contains("cluster_secret"), "{error}");
        for secret in [OURS, NEXT] {
            assert!(!error.message().contains(secret), "{error}");
        }
    }
    for node in &nodes {
        assert_eq!(node.kit.view().nodes().len(), 3);
    }
    nodes.push_and_settle(secured(options("node-4")));
}

trait PushAndSettle {
    /// Adds a node that has to be admitted, writes through all, and stops them.
    fn push_and_settle(self, options: Options);
}

impl PushAndSettle for Vec<TestNode> {
    fn push_and_settle(mut self, options: Options) {
        let node = join(options, &self[..1]).unwrap();
        self.push(node);
        settle(&self);
        write_everywhere(&self, "last");
        stop(self);
    }
}

/// Replaces a file as an orchestrator does: by a link that points elsewhere from one moment to the next.
fn replace(dir: &Path, file: &Path, number: usize, text: &str) {
    let version = dir.join(format!("secret-{number}"));
    std::fs::write(&version, text).unwrap();
    let link = dir.join("link");
    std::os::unix::fs::symlink(&version, &link).unwrap();
    std::fs::rename(&link, file).unwrap();
}

#[test]
fn the_secret_is_changed_in_its_files_while_writes_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (0..3).map(|i| dir.path().join(format!("of-{i}"))).collect();
    let mut versions = 0..;
    let mut put = |file: &Path, text: &str| replace(dir.path(), file, versions.next().unwrap(), text);
    for file in &files {
        put(file, OURS);
    }
    let of = |options: Options, i: usize| {
        let mut options = options;
        options.cluster_secret_file = Some(files[i].display().to_string());
        options
    };
    let mut nodes = vec![TestNode::start(of(founder("node-1"), 0)).unwrap()];
    for i in 1..3 {
        nodes.push(join(of(options(&format!("node-{}", i + 1)), i), &nodes[..1]).unwrap());
    }
    settle(&nodes);
    let load = Load::on(nodes.iter().map(|node| node.kit.clone()).collect());
    load.wait_for_more("writes under the first secret");
    // A file that is no secret changes nothing.
    put(&files[0], "not a secret");
    for text in [format!("{NEXT}\n{OURS}\n"), NEXT.to_owned()] {
        for file in &files {
            put(file, &text);
            load.wait_for_more("writes while some nodes have the next secret, and some not");
        }
        // The next step begins when every node has read its file.
        let newcomer = |secret: &str| {
            let mut options = options("newcomer");
            options.cluster_secret = Some(secret.into());
            options.join_addrs = vec![nodes[0].addr()];
            options
        };
        until("a node with the next secret alone is admitted", || {
            // A refusal for its secret ends the start at once.
            let options = newcomer(NEXT);
            TestNode::start(options).is_ok_and(|node| node.kit.leave(TIMEOUT).is_ok())
        });
    }
    let errors = load.end();
    assert!(errors.is_empty(), "{errors:?}");
    let mut old = options("old");
    old.cluster_secret = Some(OURS.into());
    old.join_addrs = nodes.iter().map(TestNode::addr).collect();
    old.join_timeout = std::time::Duration::from_secs(1);
    until("the first secret opens nothing any more", || {
        TestNode::start(old.clone()).is_err_and(|error| error.code() == ErrorCode::Unauthenticated)
    });
    stop(nodes);
}

#[test]
fn a_running_cluster_is_given_a_secret_under_load_and_nobody_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = durable_cluster(3, dir.path());
    for rollout in [true, false] {
        for place in 0..3 {
            // Written through the nodes that are not restarted.
            let others = nodes
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != place)
                .map(|(_, node)| node.kit.clone());
            let load = Load::on(others.collect());
            load.wait_for_more("writes before the restart");
            let mut node = nodes.remove(place);
            node.options.cluster_secret = Some(OURS.into());
            node.options.security_rollout = rollout;
            nodes.insert(place, node.restart());
            settle(&nodes);
            load.wait_for_more("writes after the restart");
            let errors = load.end();
            assert!(errors.is_empty(), "rollout {rollout}, node {place}: {errors:?}");
        }
    }
    write_everywhere(&nodes, "secured");
    let leads = leader(&nodes);
    let place = (leads + 1) % 3;
    let node = nodes.remove(place);
    node.kit.stop().unwrap();
    let mut without = node.options.clone();
    drop(node);
    without.cluster_secret = None;
    let error = TestNode::start(without.clone())
        .err()
        .expect("it should be refused");
    assert_eq!(error.code(), ErrorCode::InvalidOption, "{error}");
    assert!(error.message().contains("cluster_secret"), "{error}");
    without.cluster_secret = Some(OURS.into());
    nodes.insert(place, TestNode::start(without).unwrap());
    settle(&nodes);
    stop(nodes);
}

/// Who changed what is in the log, with the key that proved it; what was written is not.
#[test]
fn a_secret_that_everybody_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, OURS).unwrap();
    for (mode, is_warned_of) in [(0o644, true), (0o640, false), (0o600, false)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut options = founder("node-1");
        options.cluster_secret_file = Some(file.display().to_string());
        options.log_level = LogLevel::Warn;
        let lines = Arc::<parking_lot::Mutex<Vec<String>>>::default();
        let heard = lines.clone();
        let node = ClusterKit::new(options).unwrap();
        node.on_log(Some(Arc::new(move |_, message: &str| {
            heard.lock().push(message.to_owned())
        })));
        node.start().unwrap();
        node.stop().unwrap();
        let warned = lines
            .lock()
            .iter()
            .any(|line| line.contains("cluster_secret_file") && line.contains("chmod 600"));
        assert_eq!(warned, is_warned_of, "{mode:o}: {:?}", lines.lock());
    }
}

#[test]
fn what_members_and_operators_change_is_in_the_audit() {
    let lines = Arc::<parking_lot::Mutex<Vec<String>>>::default();
    let heard = lines.clone();
    let node = ClusterKit::new(secured(founder("node-1"))).unwrap();
    node.on_log(Some(Arc::new(move |_, message: &str| {
        if let Some(line) = message.strip_prefix("audit ") {
            heard.lock().push(line.to_owned());
        }
    })));
    node.start().unwrap();
    let addr = node.http_addr().unwrap();
    let mut second = secured(options("node-2"));
    second.join_addrs = vec![addr];
    let second = TestNode::start(second).unwrap();
    second.kit.rebalance_partitions(TIMEOUT).unwrap();
    second
        .kit
        .set_custom_data("key", "a-value-that-is-nobodys-business", Expect::Any, TIMEOUT)
        .unwrap();
    let id = clusterkit::net::Keyring::new("clusterkit-cluster", OURS)
        .unwrap()
        .ids()[0]
        .to_string();
    let has = |call: &str| {
        lines.lock().iter().any(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["call"] == call
                && line["principal"] == "node-2"
                && line["role"] == "peer"
                && line["key_id"] == id.as_str()
                && line["error"].is_null()
        })
    };
    until("the join is written down", || has("Join"));
    until("the rebalance is written down", || has("Rebalance"));
    for line in lines.lock().iter() {
        assert!(
            !line.contains("nobodys-business") && !line.contains(OURS),
            "{line}"
        );
    }
    second.kit.stop().unwrap();
    until("the stop is written down", || has("Stop"));
    node.stop().unwrap();
}
