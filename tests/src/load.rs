//! Clients that write through whatever node they happen upon, and keep book of what they were told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::journal::{Journal, Told, unique_value};
use crate::{Api, Cluster};

/// How many counters the writers fight over.
const COUNTERS: u32 = 4;
/// Between two writes of one client: the load must leave the nodes time for what is tested under it.
const PACE: Duration = Duration::from_millis(10);

/// Writers that run.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<Journal>>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    addrs: RwLock<Vec<String>>,
}

impl Load {
    /// Starts `writers` clients of all nodes of the cluster. What they do follows from `seed`; what comes of it
    /// does not.
    pub fn start(cluster: &Cluster, writers: u64, seed: u64) -> Self {
        // Longer than a node's own deadline, so that it can say what it waited for.
        Load::start_impatient(cluster, writers, seed, Duration::from_secs(15))
    }

    /// The same with clients that wait no longer than this: where nodes are stopped that will not answer.
    pub fn start_impatient(cluster: &Cluster, writers: u64, seed: u64, patience: Duration) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            addrs: RwLock::new(
                cluster
                    .nodes()
                    .iter()
                    .map(|node| node.addr().to_owned())
                    .collect(),
            ),
        });
        let start = |number| {
            let mut writer = Writer::new(number, Arc::clone(&shared), seed + number, patience);
            thread::spawn(move || {
                while !writer.shared.stop.load(Ordering::Relaxed) {
                    writer.write();
                    thread::sleep(PACE);
                }
                writer.journal
            })
        };
        let writers = (0..writers).map(start).collect();
        Load { shared, writers }
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until `more` writes have been acknowledged that were not when this was called.
    pub fn wait_progress(&self, cluster: &Cluster, more: u64) -> Duration {
        let before = self.acknowledged();
        let progressed = || match self.acknowledged() - before {
            count if count >= more => Ok(()),
            count => Err(format!("only {count} were acknowledged")),
        };
        cluster
            .until(&format!("{more} more writes are acknowledged"), progressed)
            .1
    }

    /// Ends the writers; what they were told.
    pub fn finish(self) -> Journal {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut journal = Journal::default();
        for writer in self.writers {
            journal.merge(writer.join().unwrap());
        }
        journal
    }
}

/// One client.
struct Writer {
    number: u64,
    shared: Arc<Shared>,
    random: StdRng,
    /// A client of each node; made anew when the node's address is another.
    apis: Vec<Api>,
    writes: u64,
    journal: Journal,
}

impl Writer {
    fn new(number: u64, shared: Arc<Shared>, seed: u64, patience: Duration) -> Self {
        let apis = shared
            .addrs
            .read()
            .unwrap()
            .iter()
            .map(|addr| Api::new(addr).with_timeout(patience))
            .collect();
        Writer {
            number,
            shared,
            random: StdRng::seed_from_u64(seed),
            apis,
            writes: 0,
            journal: Journal::default(),
        }
    }

    fn write(&mut self) {
        self.writes += 1;
        let place = self.random.random_range(0..self.apis.len());
        let api = &self.apis[place];
        let told = match self.random.random_range(0..10) {
            0..5 => {
                let key = format!("unique/{}/{}", self.number, self.writes);
                let told = Told::of(api.put(&key, unique_value(&key)));
                self.journal.unique(key, told)
            }
            5..7 => {
                let key = format!("latest/{}", self.number);
                let told = Told::of(api.put(&key, self.writes.to_string()));
                self.journal.latest(key, self.writes, told)
            }
            _ => {
                let key = format!("counter/{}", self.random.random_range(0..COUNTERS));
                // What this node has may be old: then the write is refused, as it must be.
                let Ok(present) = api.value(&key, 0) else { return };
                let (count, expected) = match present {
                    Some((value, revision)) => (number(&value), Some(revision)),
                    None => (0, None),
                };
                let told = Told::of(api.compare_and_put(&key, (count + 1).to_string(), expected));
                self.journal.count(key, count + 1, told)
            }
        };
        if told {
            self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The number that a value spells.
pub(crate) fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value).unwrap().parse().unwrap()
}
