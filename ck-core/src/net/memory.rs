//! The network of a test cluster: calls between nodes in one process, without sockets.
//!
//! A [`MemoryNetwork`] carries requests and answers between addresses, on the clock of the cluster: at once, unless a
//! link is slow. It shows its users what TCP would:
//! - a request to an address that nobody serves is refused at once; calls under way to a server that ends fail at once;
//! - what crosses a cut is lost, and its call fails after [`MAX_SILENCE`], as a connection that moves no byte does;
//! - what a link loses is sent again after [`RETRANSMISSION`], and arrives late;
//! - requests on [`Lane::Log`] arrive in order, and are begun in order;
//! - a paused process sends nothing and answers nothing; what it was sent within [`MAX_SILENCE`] before it goes on is
//!   handled then, and what is older is lost with its connection.
//!
//! It is not the network of the simulator (`sim`): that one decides everything by a seed, in one thread, and is not part
//! of a release. This one is small.
//!
//! Locks: `NetworkState` and `MemoryTransport::connections` are leaves.

#[cfg(test)]
mod tests;
mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;

use super::{Handler, Lane, Transport};
use crate::env::test_cluster::TestProcess;
use crate::env::{self, Instant};
use transport::MemoryTransport;

/// After how long a connection that moves no byte counts as lost, with the calls on it.
const MAX_SILENCE: Duration = Duration::from_secs(2);
/// After what time a message that a link has lost is sent again.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// How often a message may be lost in a row, so that a link that loses everything delays and does not cut.
const MAX_LOSSES: u32 = 10;

/// The conditions of a link in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct LinkConditions {
    /// How long a message takes.
    pub(crate) delay: Duration,
    /// The probability that a message is lost, from 0 to 1.
    pub(crate) loss: f64,
}

/// From, to.
type DirectedLink = (String, String);

/// A network inside one process. Clones are the same network.
#[derive(Clone)]
pub(crate) struct MemoryNetwork {
    shared: Arc<NetworkShared>,
}

struct NetworkShared {
    state: Mutex<NetworkState>,
    /// What is under way belongs to this process, which nobody pauses.
    carrier: TestProcess,
}

struct NetworkState {
    rng: SmallRng,
    servers: BTreeMap<String, MemoryServer>,
    cuts: BTreeSet<DirectedLink>,
    /// Addresses that are cut off from all others.
    isolated: BTreeSet<String>,
    links: BTreeMap<DirectedLink, LinkConditions>,
    /// The arrival of the last request on the log lane of a slow link: the next one must not arrive before it.
    last_log: BTreeMap<DirectedLink, Instant>,
}

/// What serves an address.
#[derive(Clone)]
struct MemoryServer {
    handler: Handler,
    process: TestProcess,
    /// Notified when the address is no longer served.
    gone: Arc<Notify>,
    /// For each caller, the lock that orders requests on the log lane.
    log_turns: Arc<Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>>,
}

impl std::fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryNetwork")
            .field("addresses", &self.shared.state.lock().servers.keys())
            .finish_non_exhaustive()
    }
}

impl MemoryNetwork {
    /// A network without faults. `carrier` has the clock; `seed` decides which messages are lost.
    pub(crate) fn new(carrier: TestProcess, seed: u64) -> Self {
        MemoryNetwork {
            shared: Arc::new(NetworkShared {
                state: Mutex::new(NetworkState {
                    rng: SmallRng::seed_from_u64(seed),
                    servers: BTreeMap::new(),
                    cuts: BTreeSet::new(),
                    isolated: BTreeSet::new(),
                    links: BTreeMap::new(),
                    last_log: BTreeMap::new(),
                }),
                carrier,
            }),
        }
    }

    /// The transport of the process at `addr`.
    pub(crate) fn transport(&self, addr: &str, process: TestProcess) -> Arc<dyn Transport> {
        Arc::new(MemoryTransport::new(self.shared.clone(), addr, process))
    }

    /// Serves an address with `handler`, in `process`. Replaces what served it before.
    pub(crate) fn serve(&self, addr: &str, handler: Handler, process: TestProcess) {
        self.unserve(addr);
        let server = MemoryServer {
            handler,
            process,
            gone: Arc::default(),
            log_turns: Arc::default(),
        };
        self.shared.state.lock().servers.insert(addr.to_owned(), server);
    }

    /// Stops serving an address: requests under way are dropped, and their callers, like later ones, get `UNREACHABLE`.
    pub(crate) fn unserve(&self, addr: &str) {
        let server = self.shared.state.lock().servers.remove(addr);
        if let Some(server) = server {
            server.gone.notify_waiters();
        }
    }

    /// Loses all messages from `from` to `to`, also those under way.
    pub(crate) fn cut(&self, from: &str, to: &str) {
        self.shared.state.lock().cuts.insert(link(from, to));
    }

    /// Ends a cut.
    pub(crate) fn restore(&self, from: &str, to: &str) {
        self.shared.state.lock().cuts.remove(&link(from, to));
    }

    /// Cuts an address off from all others, also from those that come later.
    pub(crate) fn isolate(&self, addr: &str) {
        self.shared.state.lock().isolated.insert(addr.to_owned());
    }

    /// Sets the conditions of one direction between two addresses.
    pub(crate) fn set_link(&self, from: &str, to: &str, conditions: LinkConditions) {
        self.shared.state.lock().links.insert(link(from, to), conditions);
    }

    /// Ends every cut and isolation, and every condition of a link.
    pub(crate) fn heal(&self) {
        let mut state = self.shared.state.lock();
        state.cuts.clear();
        state.isolated.clear();
        state.links.clear();
    }

    /// True where messages from `from` to `to` are lost.
    pub(crate) fn is_cut(&self, from: &str, to: &str) -> bool {
        self.shared.state.lock().is_cut(from, to)
    }
}

fn link(from: &str, to: &str) -> DirectedLink {
    (from.to_owned(), to.to_owned())
}

impl NetworkState {
    fn is_cut(&self, from: &str, to: &str) -> bool {
        from != to
            && (self.isolated.contains(from)
                || self.isolated.contains(to)
                || self.cuts.contains(&link(from, to)))
    }

    /// How long a message takes that is sent now.
    fn delay(&mut self, link: &DirectedLink) -> Duration {
        let Some(conditions) = self.links.get(link).copied() else {
            return Duration::ZERO;
        };
        let mut delay = conditions.delay;
        let mut losses = 0;
        while losses < MAX_LOSSES && self.rng.random::<f64>() < conditions.loss {
            losses += 1;
            delay += RETRANSMISSION;
        }
        delay
    }
}

impl NetworkShared {
    /// True while an address is served by this server.
    fn serves(&self, addr: &str, server: &MemoryServer) -> bool {
        let state = self.state.lock();
        let present = state.servers.get(addr);
        present.is_some_and(|present| Arc::ptr_eq(&present.gone, &server.gone))
    }

    /// Carries one message. Returns when it arrives (true), or at once when it is lost (false).
    async fn travel(&self, from: &str, to: &str, lane: Lane) -> bool {
        if from == to {
            return true;
        }
        let link = link(from, to);
        let arrival = {
            let mut state = self.state.lock();
            if state.is_cut(from, to) {
                return false;
            }
            let delay = state.delay(&link);
            let mut arrival = Instant::now() + delay;
            if lane == Lane::Log {
                let last = state.last_log.entry(link).or_insert(arrival);
                *last = arrival.max(*last);
                arrival = *last;
            }
            arrival
        };
        if Instant::now() < arrival {
            env::sleep_until(arrival).await;
            return !self.state.lock().is_cut(from, to);
        }
        true
    }
}
