//! Clients: they write and read through every node, and keep book of what they were told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clusterkit::Expect;
use clusterkit::env::sim_process::outside;
use clusterkit::env::{self, Instant};
use clusterkit::sim::SimNode;
use clusterkit::{Error, ErrorCode};
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::checker::{self, Action, Call};
use crate::invariants::Claim;
use crate::world::{World, spawn};

/// How many clients write through a node that is being taken out, and how often each.
const PARTING_WRITERS: usize = 3;
const PARTING_WRITES: usize = 40;

/// What all clients were told.
#[derive(Default)]
pub(crate) struct Book {
    histories: BTreeMap<String, Vec<Call>>,
    next_value: u64,
    /// Calls by what came of them: done, refused, nothing written, unknown.
    pub(crate) counts: [u64; 4],
}

/// The book that clients share.
pub(crate) type SharedBook = Arc<Mutex<Book>>;

/// What came of a write.
enum Told {
    Done(u64),
    /// The state machine refused it.
    Refused(String),
    /// It was not written and never will be.
    Nothing(String),
    Unknown,
}

/// As docs/consistency.md has it: every error says that it did not happen, but for two.
fn told(outcome: Option<Result<u64, Error>>) -> Told {
    match outcome {
        Some(Ok(revision)) => Told::Done(revision),
        Some(Err(error)) => match error.code() {
            ErrorCode::Timeout | ErrorCode::Internal => Told::Unknown,
            ErrorCode::Conflict => Told::Refused(error.to_string()),
            _ => Told::Nothing(error.to_string()),
        },
        None => Told::Unknown,
    }
}

fn now() -> u64 {
    outside(Instant::now).nanos()
}

struct Client {
    world: World,
    book: SharedBook,
    rng: SmallRng,
    number: usize,
    written: u64,
    /// The newest revision that each process has shown.
    shown: BTreeMap<u64, u64>,
    /// The newest revision that was acknowledged to this client, by register.
    mine: BTreeMap<String, u64>,
}

/// Starts the clients.
pub(crate) fn start(world: &World) -> SharedBook {
    let book = SharedBook::default();
    let client = |number: usize| Client {
        world: world.clone(),
        book: book.clone(),
        rng: world.plan.rng(1000 + number as u64),
        number,
        written: 0,
        shown: BTreeMap::new(),
        mine: BTreeMap::new(),
    };
    for number in 0..world.plan.clients {
        let mut client = client(number);
        spawn(async move { client.run().await });
    }
    let mut hurrying = client(world.plan.clients);
    spawn(async move { hurrying.hurry().await });
    for number in 1..=PARTING_WRITERS {
        let mut parting = client(world.plan.clients + number);
        spawn(async move { parting.part().await });
    }
    book
}

impl Client {
    async fn run(&mut self) {
        loop {
            let pause = Duration::from_micros(self.rng.random_range(500..150_000));
            if !self.world.pause_for(pause).await {
                return;
            }
            let nodes = self.world.ready();
            if nodes.is_empty() {
                continue;
            }
            let node = nodes[self.rng.random_range(0..nodes.len())].clone();
            self.look(&node);
            match self.rng.random_range(0..100) {
                0..40 => self.append(&node).await,
                40..60 => self.write(&node).await,
                60..75 => self.swap(&node).await,
                75..90 => self.read(&node).await,
                _ => self.read_mine(&node).await,
            }
        }
    }

    /// Reads at nodes that have stood still, while they do not know yet what went on without them.
    async fn hurry(&mut self) {
        loop {
            let Some(node) = self.world.next_to_go_on().await else {
                continue;
            };
            for _ in 0..2 {
                self.read_all(&node).await;
            }
        }
    }

    /// Writes through nodes that are being taken out, for as long as they answer.
    async fn part(&mut self) {
        loop {
            let Some(node) = self.world.next_to_part().await else {
                continue;
            };
            for _ in 0..PARTING_WRITES {
                if !node.is_up() || self.world.is_calm() {
                    break;
                }
                let timeout = Duration::from_millis(self.rng.random_range(1000..7000));
                self.append_within(&node, timeout).await;
                env::sleep(Duration::from_millis(self.rng.random_range(1..100))).await;
            }
        }
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&mut self) -> String {
        format!("r{}", self.rng.random_range(0..self.world.plan.keys))
    }

    fn value(&self) -> u64 {
        let mut book = self.book();
        book.next_value += 1;
        book.next_value
    }

    fn timeout(&mut self) -> Duration {
        Duration::from_millis(self.rng.random_range(50..4000))
    }

    /// What a process shows only goes forward, and lookups go where every client's arithmetic says.
    fn look(&mut self, node: &SimNode) {
        let view = node.view();
        let last = self.shown.entry(node.process()).or_default();
        if view.revision() < *last {
            let what = format!("{} shows revision {} after {last}", node.id(), view.revision());
            return self.world.violated(Claim::Linearizable, what);
        }
        *last = view.revision();
        let count = view.partition_count();
        if count > 0 {
            let key = self.rng.random::<u64>().to_be_bytes();
            let found = view.partition(&key).map(|partition| partition.number());
            if found != Some(clusterkit::routing::partition_for(&key, count)) {
                let what = format!("{} looks {key:?} up in {found:?}", node.id());
                self.world.violated(Claim::Linearizable, what);
            }
        }
    }

    async fn set(&mut self, node: &SimNode, key: String, value: String, expect: Expect) -> Told {
        let timeout = self.timeout();
        self.set_within(node, key, value, expect, timeout).await
    }

    async fn set_within(
        &mut self,
        node: &SimNode,
        key: String,
        value: String,
        expect: Expect,
        timeout: Duration,
    ) -> Told {
        let call = node.set_data(key.clone(), value.into(), expect, timeout);
        // A node that is paused or dead never answers.
        let outcome = env::timeout(timeout * 2, call).await.ok();
        let answered = outcome.is_some();
        let told = told(outcome);
        match &told {
            Told::Refused(why) if !why.contains("key ") => {
                let what = format!("{} answered a conflict that is none of {key}: {why}", node.id());
                self.world.violated(Claim::Outcomes, what);
            }
            Told::Unknown if answered && !self.world.checks().durable.may_have_happened(&key) => {
                let what = format!(
                    "{} says that {key} may have happened, and never sent it",
                    node.id()
                );
                self.world.violated(Claim::Outcomes, what);
            }
            _ => {}
        }
        let i = match &told {
            Told::Done(_) => 0,
            Told::Refused(_) => 1,
            Told::Nothing(_) => 2,
            Told::Unknown => 3,
        };
        self.book().counts[i] += 1;
        told
    }

    /// A page of the ledger.
    async fn append(&mut self, node: &SimNode) {
        let timeout = self.timeout();
        self.append_within(node, timeout).await;
    }

    async fn append_within(&mut self, node: &SimNode, timeout: Duration) {
        self.written += 1;
        let key = ledger_key(self.number, self.written);
        let (value, expect) = ("x".to_owned(), Expect::Absent);
        match self.set_within(node, key.clone(), value, expect, timeout).await {
            Told::Done(revision) => self.world.checks().durable.acknowledged(key, revision),
            Told::Refused(why) | Told::Nothing(why) => self.world.checks().durable.refused(key, why),
            Told::Unknown => {}
        }
    }

    fn note(&self, key: String, began: u64, ended: Option<u64>, action: Action) {
        let call = Call { began, ended, action };
        self.book().histories.entry(key).or_default().push(call);
    }

    async fn write(&mut self, node: &SimNode) {
        let (key, value) = (self.register(), self.value());
        let began = now();
        let action = Action::Write(value);
        match self.set(node, key.clone(), value.to_string(), Expect::Any).await {
            Told::Done(revision) => {
                self.mine.insert(key.clone(), revision);
                self.note(key, began, Some(now()), action);
            }
            Told::Unknown => self.note(key, began, None, action),
            Told::Refused(why) => {
                let what = format!("a write that expects nothing was refused: {why}");
                self.world.violated(Claim::Linearizable, what);
            }
            Told::Nothing(_) => {}
        }
    }

    async fn swap(&mut self, node: &SimNode) {
        let (key, value) = (self.register(), self.value());
        // What is there to be replaced may be old: then it is refused, which says something too.
        let (expect, expected) = match node.data(&key) {
            Some(entry) => (Expect::Revision(entry.revision), parse(&entry.value)),
            None => (Expect::Absent, None),
        };
        let began = now();
        match self.set(node, key.clone(), value.to_string(), expect).await {
            Told::Done(revision) => {
                self.mine.insert(key.clone(), revision);
                self.note(key, began, Some(now()), Action::Swapped(expected, value));
            }
            Told::Unknown => self.note(key, began, None, Action::Swapped(expected, value)),
            Told::Refused(_) => self.note(key, began, Some(now()), Action::NotSwapped(expected)),
            Told::Nothing(_) => {}
        }
    }

    async fn read(&mut self, node: &SimNode) {
        let key = self.register();
        let timeout = self.timeout();
        let began = now();
        if let Ok(Ok(_)) = env::timeout(timeout * 2, node.read_barrier(timeout)).await {
            let value = node.data(&key).and_then(|entry| parse(&entry.value));
            self.note(key, began, Some(now()), Action::Read(value));
        }
    }

    /// One barrier for all registers.
    async fn read_all(&mut self, node: &SimNode) {
        let timeout = self.timeout();
        let began = now();
        if let Ok(Ok(_)) = env::timeout(timeout * 2, node.read_barrier(timeout)).await {
            for number in 0..self.world.plan.keys {
                let key = format!("r{number}");
                let value = node.data(&key).and_then(|entry| parse(&entry.value));
                self.note(key, began, Some(now()), Action::Read(value));
            }
        }
    }

    /// Reads its own write on whatever node, after its revision.
    async fn read_mine(&mut self, node: &SimNode) {
        let key = self.register();
        let Some(revision) = self.mine.get(&key).copied() else {
            return;
        };
        let timeout = self.timeout();
        if let Ok(Ok(())) = env::timeout(timeout * 2, node.wait_revision(revision, timeout)).await {
            let found = node.data(&key).map(|entry| entry.revision);
            if found.is_none_or(|found| found < revision) {
                let what = format!(
                    "{} waited for revision {revision} and shows {key} of {found:?}",
                    node.id()
                );
                self.world.violated(Claim::Linearizable, what);
            }
        }
    }
}

/// The key of a page that a client writes; found again by `Durable::sent`.
fn ledger_key(client: usize, page: u64) -> String {
    format!("w{client}-{page:05}")
}

fn parse(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

impl Book {
    /// Whether every register was linearizable.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (key, history) in &self.histories {
            checker::check(history).map_err(|why| format!("{key}: {why}"))?;
        }
        Ok(())
    }
}
