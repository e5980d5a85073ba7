//! The conformance scripts, run in Rust: see README.md. `UPDATE_CONFORMANCE=1` writes what they print into them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may panic, in its helpers too"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clusterkit::model::Node;
use clusterkit::prelude::*;
use clusterkit::routing::{ClusterView, partition_for};
use clusterkit::testing::TestCluster;
use clusterkit::{OptionDefault, OptionKind, Result, client_options_table, options_table, parse_duration};

/// Of the clock of the test cluster, or of the real one.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// What a copying hook of a node has done.
#[derive(Default)]
struct Copies {
    partitions: BTreeSet<u32>,
    failures: usize,
}

#[derive(Default)]
struct Runner {
    cluster: Option<TestCluster>,
    alone: Option<ClusterKit>,
    client: Option<Client>,
    /// The revision of the last write.
    last: u64,
    watched: HashMap<String, Receiver<String>>,
    copies: HashMap<String, Arc<Mutex<Copies>>>,
    answers: HashMap<String, Receiver<String>>,
}

fn decoded(word: &str) -> Vec<u8> {
    if word == "-" {
        return Vec::new();
    }
    percent_encoding::percent_decode_str(word).collect()
}

fn text(word: &str) -> String {
    String::from_utf8(decoded(word)).unwrap()
}

fn encoded(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    let written = |byte: &u8| match byte {
        b'!'..=b'~' if *byte != b'%' => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    bytes.iter().map(written).collect()
}

fn outcome(result: Result<String>) -> String {
    result.unwrap_or_else(|error| format!("{}: {}", error.code().name(), error.message()))
}

/// The name of one of some values, as in JSON.
fn named(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

fn members(view: &ClusterView) -> String {
    let lines: BTreeMap<&str, String> = (view.nodes().iter())
        .map(|node| (&*node.id, format!("{} {}", node.id, named(&node.status))))
        .collect();
    lines.into_values().collect::<Vec<_>>().join("\n")
}

fn row(kind: &OptionKind, default: OptionDefault) -> String {
    let default = match default {
        OptionDefault::Required | OptionDefault::None => "-",
        ref default => default.text(),
    };
    format!("{}, default {default}, {}", kind.type_name(), kind.bounds())
}

fn event_type(name: &str) -> EventType {
    match name {
        "node_join" => EventType::NodeJoin,
        "node_rejoin" => EventType::NodeRejoin,
        "node_leave" => EventType::NodeLeave,
        _ => panic!("events of the type {name} are not watched"),
    }
}

fn described(event: &Event) -> String {
    let about = |node: &Node| format!("{} {}", event.kind.name(), node.id);
    match &event.kind {
        EventKind::NodeJoin(join) => about(&join.node),
        EventKind::NodeRejoin(rejoin) => about(&rejoin.node),
        EventKind::NodeLeave(leave) => format!("{} {}", about(&leave.node), named(&leave.reason)),
        kind => kind.name().to_owned(),
    }
}

impl Runner {
    fn cluster(&self) -> &TestCluster {
        self.cluster.as_ref().unwrap()
    }

    fn node(&self, word: &str) -> ClusterKit {
        match word {
            "alone" => self.alone.clone().unwrap(),
            index => self.cluster().node(index.parse().unwrap()).unwrap(),
        }
    }

    fn running(&self) -> Vec<ClusterKit> {
        let cluster = self.cluster();
        let running = (0..cluster.node_count()).filter(|index| cluster.is_running(*index));
        running.map(|index| cluster.node(index).unwrap()).collect()
    }

    fn expect(&self, word: &str) -> Expect {
        match word {
            "any" => Expect::Any,
            "absent" => Expect::Absent,
            "last" => Expect::Revision(self.last),
            revision => Expect::Revision(revision.parse().unwrap()),
        }
    }

    fn new_node(&mut self, settings: &[&str]) -> Result<String> {
        let mut options = Options::default();
        for setting in settings {
            let (name, value) = setting.split_once('=').unwrap();
            options.set(name, &text(value))?;
        }
        self.alone = Some(ClusterKit::new(options)?);
        Ok("made".to_owned())
    }

    fn new_cluster(&mut self, nodes: &str, partitions: &str, copies: &str) -> Result<String> {
        drop(self.cluster.take());
        self.last = 0;
        self.cluster = Some(
            TestCluster::builder()
                .nodes(nodes.parse().unwrap())
                .partitions(partitions.parse().unwrap())
                .replication_factor(copies.parse().unwrap())
                .start()?,
        );
        Ok("settled".to_owned())
    }

    fn watch(&mut self, node: &str, types: &[&str]) -> Result<String> {
        let (sender, receiver) = channel();
        let first = EventFilter::only(event_type(types[0]));
        let filter = types[1..]
            .iter()
            .fold(first, |filter, name| filter.and(event_type(name)));
        let hook = Hook::blocking(move |event| {
            // Nobody may be listening any more.
            drop(sender.send(described(event)));
            Ok(())
        });
        self.node(node).register_hook(filter, hook)?;
        self.watched.insert(node.to_owned(), receiver);
        Ok("watching".to_owned())
    }

    fn copy(&mut self, node: &str, how: &str) -> Result<String> {
        let copies = Arc::new(Mutex::new(Copies::default()));
        self.copies.insert(node.to_owned(), copies.clone());
        let left = Mutex::new(usize::from(how == "fail-once"));
        let id = self.node(node).my_node_id().clone();
        self.node(node).on(EventType::PartitionChange, move |event| {
            let EventKind::PartitionChange(change) = &event.kind else {
                return Ok(());
            };
            if change.node_id != id || change.change != RoleChange::GainedReplica {
                return Ok(());
            }
            let mut copies = copies.lock().unwrap();
            let mut left = left.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                copies.failures += 1;
                return Err("no space".to_owned());
            }
            copies.partitions.insert(change.number);
            Ok(())
        })?;
        Ok("added".to_owned())
    }

    fn ask_in_hook(&mut self, node: &str, call: &str) -> Result<String> {
        let (sender, receiver) = channel();
        let kit = self.node(node).downgrade();
        let call = call.to_owned();
        self.node(node).on(EventType::NodeJoin, move |_| {
            let kit = kit.upgrade().ok_or("it has ended")?;
            let answer = match &*call {
                "set" => kit
                    .set_custom_data("in-hook", "v", Expect::Any, CALL_TIMEOUT)
                    .map(drop),
                "barrier" => kit.read_barrier(CALL_TIMEOUT).map(drop),
                "leave" => kit.leave(CALL_TIMEOUT),
                call => panic!("{call} is not asked in hooks"),
            };
            drop(sender.send(outcome(answer.map(|()| "it may".to_owned()))));
            Ok(())
        })?;
        self.answers.insert(node.to_owned(), receiver);
        Ok("added".to_owned())
    }

    /// The faults and ends of the nodes of the test cluster.
    fn fault(&self, name: &str, index: &str) -> Result<String> {
        let cluster = self.cluster();
        let index = index.parse().unwrap();
        match name {
            "kill" => cluster.kill(index),
            "restart" => cluster.restart(index).map(drop),
            "pause" => cluster.pause(index),
            "resume" => cluster.resume(index),
            _ => cluster.isolate(index),
        }?;
        Ok("done".to_owned())
    }

    fn awaited(&self, node: &str, id: &str, status: &str) -> Result<String> {
        let kit = self.node(node);
        let what = format!("{id} is {status}");
        self.cluster().wait_until(&what, CALL_TIMEOUT, || {
            let view = kit.view();
            view.node(id)
                .map_or_else(|| "gone".to_owned(), |node| named(&node.status))
                == status
        })?;
        Ok("so it is".to_owned())
    }

    fn holders(&self, key: &str) -> String {
        let roles: Vec<_> = (self.running().iter())
            .map(|node| node.should_handle_key(&decoded(key)))
            .collect();
        let count = |role| roles.iter().filter(|has| **has == Some(role)).count();
        format!(
            "{} primary, {} replica",
            count(Role::Primary),
            count(Role::Replica)
        )
    }

    fn data(&mut self, words: &[&str]) -> Result<String> {
        match *words {
            ["set", node, key, value, expect] => {
                let expect = self.expect(expect);
                self.last =
                    self.node(node)
                        .set_custom_data(&text(key), decoded(value), expect, CALL_TIMEOUT)?;
                Ok("written".to_owned())
            }
            ["delete", node, key, expect] => {
                let expect = self.expect(expect);
                let (revision, existed) =
                    self.node(node)
                        .delete_custom_data(&text(key), expect, CALL_TIMEOUT)?;
                self.last = revision;
                Ok(if existed { "deleted" } else { "there was none" }.to_owned())
            }
            ["get", node, key] => {
                let node = self.node(node);
                node.wait_for_revision(self.last, CALL_TIMEOUT)?;
                let entry = node.custom_data(&text(key));
                Ok(entry.map_or_else(|| "none".to_owned(), |entry| encoded(&entry.value)))
            }
            ["keys", node, prefix, after, limit] => {
                let node = self.node(node);
                node.wait_for_revision(self.last, CALL_TIMEOUT)?;
                let keys =
                    node.list_custom_data_keys(&text(prefix), Some(&*text(after)), limit.parse().unwrap());
                let keys: Vec<_> = keys.iter().map(|key| encoded(key.as_bytes())).collect();
                Ok(keys.join("\n"))
            }
            _ => panic!("{words:?} is no command"),
        }
    }

    fn client(&mut self, words: &[&str]) -> Result<String> {
        let client = || self.client.as_ref().unwrap();
        match *words {
            ["client", node] => {
                let addr = self.node(node).http_addr().unwrap();
                let client = self.client.insert(Client::new(ClientOptions::new([addr]))?);
                client.wait_ready(CALL_TIMEOUT)?;
                Ok("ready".to_owned())
            }
            ["client-partition", key] => {
                let view = client().view();
                Ok(view.partition(&decoded(key)).unwrap().number().to_string())
            }
            ["client-members"] => Ok(members(&client().view())),
            ["client-barrier"] => client().read_barrier(CALL_TIMEOUT).map(|_| "read".to_owned()),
            ["client-close"] => client().close().map(|()| "closed".to_owned()),
            _ => self.data(words),
        }
    }

    /// What needs no cluster.
    fn library(&mut self, words: &[&str]) -> Result<String> {
        match *words {
            ["partition", key, count] => Ok(partition_for(&decoded(key), count.parse().unwrap()).to_string()),
            ["number", id] => {
                let number = clusterkit::model::partition_number(&text(id));
                Ok(number.map_or_else(|| "none".to_owned(), |number| number.to_string()))
            }
            ["duration", written] => {
                let duration = parse_duration(&text(written));
                Ok(duration.map_or_else(|| "none".to_owned(), |duration| duration.as_millis().to_string()))
            }
            ["option", name] => {
                let spec = options_table().iter().find(|spec| spec.name == name).unwrap();
                Ok(row(&spec.kind, spec.default))
            }
            ["client-option", name] => {
                let spec = client_options_table()
                    .iter()
                    .find(|spec| spec.name == name)
                    .unwrap();
                Ok(row(&spec.kind, spec.default))
            }
            ["node", ref settings @ ..] => self.new_node(settings),
            ["check-client", ref settings @ ..] => {
                let mut options = ClientOptions::default();
                for setting in settings {
                    let (name, value) = setting.split_once('=').unwrap();
                    options.set(name, &text(value))?;
                }
                options.validate()?;
                Ok("right".to_owned())
            }
            _ => self.client(words),
        }
    }

    fn hooks(&mut self, words: &[&str]) -> Result<String> {
        match *words {
            ["watch", node, ref types @ ..] => self.watch(node, types),
            ["next", node] => Ok(self.watched[node].recv_timeout(CALL_TIMEOUT).unwrap()),
            ["copy", node, how] => self.copy(node, how),
            ["copied", node] => {
                let copies = self.copies[node].lock().unwrap();
                Ok(format!(
                    "{} partitions after {} failures",
                    copies.partitions.len(),
                    copies.failures
                ))
            }
            ["ask-in-hook", node, call] => self.ask_in_hook(node, call),
            ["answer", node] => Ok(self.answers[node].recv_timeout(CALL_TIMEOUT).unwrap()),
            _ => self.library(words),
        }
    }

    fn command(&mut self, words: &[&str]) -> Result<String> {
        let done = |answer: &str| answer.to_owned();
        match *words {
            ["start", node] => self.node(node).start().map(|()| done("started")),
            ["stop", node] => self.node(node).stop().map(|()| done("stopped")),
            ["leave", node] => self.node(node).leave(CALL_TIMEOUT).map(|()| done("left")),
            ["cluster", nodes, partitions, copies] => self.new_cluster(nodes, partitions, copies),
            ["settle"] => self
                .cluster()
                .wait_settled(CALL_TIMEOUT)
                .map(|()| done("settled")),
            ["create"] => self.cluster().create_node().map(|index| index.to_string()),
            [
                fault @ ("kill" | "restart" | "pause" | "resume" | "isolate"),
                index,
            ] => self.fault(fault, index),
            ["heal"] => {
                self.cluster().heal();
                Ok(done("done"))
            }
            ["remove", node, id] => self
                .node(node)
                .remove_node(id, CALL_TIMEOUT)
                .map(|_| done("removed")),
            ["members", node] => Ok(members(&self.node(node).view())),
            ["await", node, id, status] => self.awaited(node, id, status),
            ["view", node] => {
                let view = self.node(node).view();
                Ok(format!(
                    "{} members, {} partitions, {} copies of each",
                    view.nodes().len(),
                    view.partition_count(),
                    view.topology().config.replication_factor
                ))
            }
            ["states", node] => {
                let mut states = BTreeMap::new();
                for partition in self.node(node).view().partitions() {
                    *states.entry(named(&partition.state())).or_insert(0) += 1;
                }
                let lines: Vec<_> = states
                    .iter()
                    .map(|(state, count)| format!("{count} {state}"))
                    .collect();
                Ok(lines.join(", "))
            }
            ["holders", key] => Ok(self.holders(key)),
            ["epochs", key] => {
                let running = self.running();
                let number = running[0].partition_number(&decoded(key)).unwrap();
                let with = running
                    .iter()
                    .filter(|node| node.primary_epoch(number).is_ok())
                    .count();
                Ok(format!("{with} of {}", running.len()))
            }
            ["leaders"] => {
                let running = self.running();
                let leading = running.iter().filter(|node| node.is_leader()).count();
                Ok(format!("{leading} of {}", running.len()))
            }
            ["powerless", node] => {
                let kit = self.node(node);
                let partitions = kit.view().partition_count();
                self.cluster()
                    .wait_until("it is primary of nothing", CALL_TIMEOUT, || {
                        !kit.is_leader() && (0..partitions).all(|number| !kit.is_primary(number))
                    })?;
                Ok(done("primary of nothing"))
            }
            ["barrier", node] => self.node(node).read_barrier(CALL_TIMEOUT).map(|_| done("read")),
            _ => self.hooks(words),
        }
    }

    /// What a command line prints.
    fn print(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match &*words {
            ["code", words @ ..] => match self.command(words) {
                Ok(answer) => answer,
                Err(error) => error.code().name().to_owned(),
            },
            words => outcome(self.command(words)),
        }
    }
}

/// The script as it must be, by what its commands print.
fn transcript(script: &str) -> String {
    let mut runner = Runner::default();
    let mut written = String::new();
    let mut is_output = false;
    for line in script.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            written += &format!("{line}\n{}\n", runner.print(command));
            is_output = true;
        } else if line.is_empty() || line.starts_with('#') {
            written += &format!("{line}\n");
            is_output = false;
        } else {
            assert!(is_output, "{line:?} is neither a command nor what one prints");
        }
    }
    written
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/scripts");
    let mut scripts: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    scripts
}

#[test]
fn every_script_prints_what_it_says() {
    for path in scripts() {
        let script = std::fs::read_to_string(&path).unwrap();
        let written = transcript(&script);
        if std::env::var_os("UPDATE_CONFORMANCE").is_some() {
            std::fs::write(&path, written).unwrap();
        } else {
            assert_eq!(written, script, "{}", path.display());
        }
    }
}

/// A runner that ignored what a script says would pass every one.
#[test]
fn an_answer_that_is_not_the_scripts_is_seen() {
    assert_eq!(
        transcript("# x\n> partition user:1 16\n7\n"),
        "# x\n> partition user:1 16\n0\n"
    );
}
