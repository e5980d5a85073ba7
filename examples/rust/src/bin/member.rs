//! A member of the mixed cluster, in Rust: see examples/mixed/README.md.
#![allow(clippy::print_stdout, reason = "it says when it is ready")]

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clusterkit::model::{Node, NodeStatus, PartitionChangeEvent, PartitionState};
use clusterkit::prelude::*;

const TIMEOUT: Duration = Duration::from_secs(5);

/// What a member holds of one partition.
#[derive(Default)]
struct Copy {
    epoch: u64,
    entries: BTreeMap<String, String>,
}

/// The member: its storage, and its node.
struct Member {
    copies: Mutex<HashMap<u32, Copy>>,
    node: ClusterKit,
}

/// Asks another member.
fn ask(addr: &str, line: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    writeln!(stream, "{line}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn addr_of(node: &Node) -> Option<&str> {
    node.services.get("data").map(|addr| &**addr)
}

impl Member {
    fn with<T>(&self, change: impl FnOnce(&mut HashMap<u32, Copy>) -> T) -> T {
        change(&mut self.copies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, partition: u32, epoch: u64, key: &str, value: &str) -> bool {
        self.with(|copies| match copies.get_mut(&partition) {
            Some(copy) if copy.epoch <= epoch => {
                copy.epoch = epoch;
                copy.entries.insert(key.to_owned(), value.to_owned());
                true
            }
            _ => false,
        })
    }

    /// Writes where this member is primary: here, and to every copy.
    fn write(&self, key: &str, value: &str) -> String {
        let view = self.node.view();
        let Some(partition) = view.partition(key.as_bytes()) else {
            return "not primary".to_owned();
        };
        let number = partition.number();
        let Ok(epoch) = self.node.primary_epoch(number) else {
            return "not primary".to_owned();
        };
        if !self.put(number, epoch, key, value) {
            return "not primary".to_owned();
        }
        let line = format!("put {number} {epoch} {key} {value}");
        let written = partition
            .replicas()
            .filter_map(|node| addr_of(node))
            .filter(|addr| ask(addr, &line).is_ok_and(|answer| answer == "ok\n"));
        format!("ok {}", written.count() + 1)
    }

    fn get(&self, partition: u32) -> String {
        self.with(|copies| match copies.get(&partition) {
            Some(copy) => {
                let lines = copy.entries.iter().map(|(key, value)| format!("\n{key} {value}"));
                format!("epoch {}{}", copy.epoch, lines.collect::<String>())
            }
            None => "none".to_owned(),
        })
    }

    fn read(&self, key: &str) -> String {
        let Some(partition) = self.node.partition_number(key.as_bytes()) else {
            return "none".to_owned();
        };
        let found = self.with(|copies| copies.get(&partition)?.entries.get(key).cloned());
        found.map_or_else(|| "none".to_owned(), |value| format!("value {value}"))
    }

    fn is_settled(&self, members: usize) -> bool {
        let view = self.node.view();
        let active = view
            .nodes()
            .iter()
            .filter(|node| node.status == NodeStatus::Active);
        active.count() == members
            && view.partition_count() > 0
            && view
                .partitions()
                .all(|partition| partition.state() == PartitionState::Ok)
    }

    fn answer(&self, line: &str) -> Option<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(match *words {
            ["write", key, value] => self.write(key, value),
            ["put", partition, epoch, key, value] => {
                let is_put = self.put(partition.parse().ok()?, epoch.parse().ok()?, key, value);
                if is_put { "ok" } else { "refused" }.to_owned()
            }
            ["get", partition] => self.get(partition.parse().ok()?),
            ["read", key] => self.read(key),
            ["settled", members] => {
                let is_settled = self.is_settled(members.parse().ok()?);
                if is_settled { "yes" } else { "no" }.to_owned()
            }
            ["primaries"] => {
                let count = self.node.view().partition_count();
                (0..count)
                    .filter(|number| self.node.is_primary(*number))
                    .count()
                    .to_string()
            }
            _ => return None,
        })
    }

    fn serve(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            let member = self.clone();
            std::thread::spawn(move || {
                let mut line = String::new();
                let mut stream = BufReader::new(stream);
                // Whoever asks may be gone: it asks again.
                if stream.read_line(&mut line).is_ok()
                    && let Some(answer) = member.answer(&line)
                {
                    drop(writeln!(stream.get_mut(), "{answer}"));
                }
            });
        }
    }

    /// The hook: what success means is that the data is here.
    fn on_partition_change(&self, change: &PartitionChangeEvent) -> Result<(), String> {
        let number = change.number;
        match change.change {
            RoleChange::GainedReplica if change.copy_from_nodes.is_empty() => {
                self.with(|copies| copies.insert(number, Copy::default()));
            }
            RoleChange::GainedReplica => {
                let sources = change.copy_from_nodes.iter().filter_map(|node| addr_of(node));
                let mut answers = sources.filter_map(|addr| ask(addr, &format!("get {number}")).ok());
                let copy = answers.find_map(|answer| copy_from(&answer));
                let copy = copy.ok_or("no member that holds it answers")?;
                self.with(|copies| copies.insert(number, copy));
            }
            RoleChange::GainedPrimary => self.with(|copies| {
                copies.entry(number).or_default();
            }),
            RoleChange::LostCopy => {
                self.with(|copies| copies.remove(&number));
            }
            _ => {}
        }
        Ok(())
    }
}

/// A copy from what `get` answers.
fn copy_from(answer: &str) -> Option<Copy> {
    let mut lines = answer.lines();
    let epoch = lines.next()?.strip_prefix("epoch ")?.parse().ok()?;
    let entry = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.to_owned()))
    };
    Some(Copy {
        epoch,
        entries: lines.filter_map(entry).collect(),
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [id, data_dir, join] = &*arguments else {
        return Err("usage: member ID DATA_DIR JOIN_ADDRS".into());
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let mut options = Options::new(id, "127.0.0.1:0");
    options.set("data_dir", data_dir)?;
    options.set("services", &format!("data={addr}"))?;
    options.set("partition_count", "24")?;
    options.set("replication_factor", "3")?;
    options.set("rebalance_delay", "1s")?;
    if join != "-" {
        options.set("join_addrs", join)?;
    }
    let member = Arc::new(Member {
        copies: Mutex::default(),
        node: ClusterKit::new(options)?,
    });
    let (hooked, me) = (Arc::downgrade(&member), id.clone());
    member.node.on(EventType::PartitionChange, move |event| {
        match (&event.kind, hooked.upgrade()) {
            (EventKind::PartitionChange(change), Some(member)) if *change.node_id == *me => {
                member.on_partition_change(change)
            }
            _ => Ok(()),
        }
    })?;
    // Before it starts: others copy from it as soon as it is a member.
    let server = member.clone();
    std::thread::spawn(move || server.serve(&listener));
    member.node.start()?;
    println!("ready {} {addr}", member.node.http_addr().unwrap_or_default());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    member.node.stop()?;
    Ok(())
}
