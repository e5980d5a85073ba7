//! Listening to who claims to lead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::Api;

/// Asks all nodes over and over who leads, until it is finished.
#[derive(Debug)]
pub struct LeaderWatch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<u64, BTreeSet<String>>>,
}

impl LeaderWatch {
    /// Begins to ask the nodes at these addresses.
    pub fn start(addrs: Vec<String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut claims = BTreeMap::<u64, BTreeSet<String>>::new();
            let apis: Vec<Api> = addrs
                .iter()
                .map(|addr| Api::new(addr).with_timeout(Duration::from_millis(300)))
                .collect();
            while !asked.load(Ordering::Relaxed) {
                for leader in apis.iter().filter_map(|api| api.leader().ok()) {
                    claims
                        .entry(leader.epoch)
                        .or_default()
                        .insert(leader.leader_id.to_string());
                }
                // Often enough to see every leadership; not so often that the nodes have nothing else to do.
                thread::sleep(Duration::from_millis(10));
            }
            claims
        });
        LeaderWatch { stop, thread }
    }

    /// Ends; how many epochs it saw.
    ///
    /// # Panics
    /// When one epoch had two leaders.
    pub fn finish(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let claims = self.thread.join().unwrap();
        for (epoch, leaders) in &claims {
            assert_eq!(leaders.len(), 1, "epoch {epoch} had the leaders {leaders:?}");
        }
        claims.len()
    }
}
