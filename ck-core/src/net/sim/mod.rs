//! The simulated network: every way in which a network can fail, decided by one seed.
//!
//! A [`SimNetwork`] carries messages between addresses inside one process, on the clock and the tasks of
//! [`mod@env`]. Under the simulator two runs with the same seed and the same calls do the same things
//! at the same simulated moments.
//!
//! What it models of TCP: requests on [`Lane::Log`] arrive in order and are begun in order. Other messages may overtake
//! one another. A message that is lost is not sent again: its call times out.
//!
//! With [`SimNetwork::use_connections`] calls go over simulated connections instead, by the same code as over TCP: dialling,
//! lanes, pings, silence. Then links may have a bandwidth, and connections may be dropped by a device on the way while new
//! ones work.

mod conditions;
mod resolver;
mod sent_observer;
mod sim_dialler;
mod stream;
#[cfg(test)]
mod tests;
mod transport;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Notify, oneshot, watch};

use super::incoming_connection::ServerStage;
use super::{Handler, Keyring, Lane, Security, Transport};
use crate::env::{self, Instant};
use conditions::Barriers;
use stream::Flow;
use transport::SimTransport;

pub use conditions::LinkConditions;
pub(crate) use sent_observer::report_sent;
pub use sent_observer::{SentObserver, observe_sent};

/// The secret of simulated clusters.
const SECRET: &str = "simulated-secret-0123456789-abcdefghijklmnop";

/// A network inside one process. Clones are the same network.
///
/// Messages travel in one direction between two addresses: *links*. A request uses one link and its answer
/// the other, so cutting one way lets a request arrive and its answer vanish.
///
/// Faults that a scenario builds from these: *flapping* is [`cut`](Self::cut) and [`restore`](Self::restore)
/// in turns, a *bridge* is [`partition`](Self::partition) into groups that share an address, *swizzle-clogging*
/// is [`clog`](Self::clog) for some addresses one by one and [`unclog`](Self::unclog) in another order, a
/// *crash* is [`unserve`](Self::unserve) and closing the node's transport.
#[derive(Clone)]
pub struct SimNetwork {
    shared: Arc<SimNetworkInner>,
}

struct SimNetworkInner {
    state: Mutex<SimNetworkState>,
    start: Instant,
}

struct SimNetworkState {
    rng: SmallRng,
    default_conditions: LinkConditions,
    links: BTreeMap<DirectedLink, LinkConditions>,
    barriers: Barriers,
    /// Messages that clogged links hold, in the order of their arrival.
    held: Vec<(DirectedLink, Lane, oneshot::Sender<()>)>,
    servers: BTreeMap<String, SimServer>,
    /// The arrival of the last request on the log lane of a link: the next one must not arrive before it.
    last_log: BTreeMap<DirectedLink, Instant>,
    next_message: u64,
    /// Calls go over simulated connections.
    connections: bool,
    flows: Vec<Weak<Flow>>,
    rates: BTreeMap<String, u64>,
    /// When the uplink (true) or downlink (false) of an address has passed all packets so far.
    busy_until: BTreeMap<(String, bool), Instant>,
    stats: SimStats,
    trace: Option<Vec<String>>,
    /// What a connection has to prove.
    security: Security,
    /// The address of each name.
    names: BTreeMap<String, String>,
    resolver: ResolverMode,
}

/// The behaviour of the simulated resolver. Names that were resolved before may have stale addresses in a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResolverMode {
    /// It answers.
    #[default]
    Answers,
    /// It fails at once.
    Fails,
    /// It does not answer.
    Hangs,
}

/// From, to.
type DirectedLink = (String, String);

#[derive(Clone)]
struct SimServer {
    handler: Handler,
    /// The process that serves.
    sim_process: Option<env::sim_process::SimProcess>,
    /// The stage that its connections follow.
    stage: Arc<watch::Sender<ServerStage>>,
    /// Notified when the address is no longer served.
    gone: Arc<Notify>,
    /// For each caller, the lock that orders requests on the log lane.
    log_turns: Arc<Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>>,
}

/// What a network has carried so far. Messages are requests and answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimStats {
    /// Messages that were sent.
    pub sent: u64,
    /// Messages that arrived.
    pub delivered: u64,
    /// Messages that were lost, by chance or by a cut.
    pub lost: u64,
    /// Requests that were handled a second time.
    pub duplicated: u64,
    /// Messages that a clogged link held.
    pub held: u64,
    /// Requests to an address that is not served, or whose server ended.
    pub refused: u64,
}

impl std::fmt::Debug for SimNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimNetwork")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl SimNetwork {
    /// A network without faults, whose random numbers are drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        SimNetwork {
            shared: Arc::new(SimNetworkInner {
                state: Mutex::new(SimNetworkState {
                    rng: SmallRng::seed_from_u64(seed),
                    default_conditions: LinkConditions::default(),
                    links: BTreeMap::new(),
                    barriers: Barriers::default(),
                    held: Vec::new(),
                    servers: BTreeMap::new(),
                    last_log: BTreeMap::new(),
                    next_message: 0,
                    connections: false,
                    flows: Vec::new(),
                    rates: BTreeMap::new(),
                    busy_until: BTreeMap::new(),
                    stats: SimStats::default(),
                    trace: None,
                    security: Security::none(),
                    names: BTreeMap::new(),
                    resolver: ResolverMode::default(),
                }),
                start: Instant::now(),
            }),
        }
    }

    /// The transport of the node at `local_addr`. Each is its own: closing one closes no other.
    pub fn transport(&self, local_addr: &str) -> Arc<dyn Transport> {
        Arc::new(SimTransport::new(self.shared.clone(), local_addr))
    }

    /// Serves an address, and replaces an earlier handler.
    pub fn serve(&self, addr: &str, handler: Handler) {
        self.unserve(addr);
        // Requests are handled in the process that serves, not in the one that calls.
        let sim_process = env::sim_process::SimProcess::current();
        let handler = match sim_process.clone() {
            Some(sim_process) => scoped(sim_process, handler),
            None => handler,
        };
        let server = SimServer {
            handler,
            sim_process,
            stage: Arc::new(watch::Sender::new(ServerStage::Serving)),
            gone: Arc::new(Notify::new()),
            log_turns: Arc::default(),
        };
        self.shared.state.lock().servers.insert(addr.to_owned(), server);
    }

    /// Stops serving an address: requests in progress are dropped, and their callers, like later ones, get `UNREACHABLE`.
    pub fn unserve(&self, addr: &str) {
        let server = self.shared.state.lock().servers.remove(addr);
        if let Some(server) = server {
            server.gone.notify_waiters();
            server.stage.send_replace(ServerStage::Closed);
        }
        for flow in self.flows().iter().filter(|flow| flow.to == addr) {
            flow.reset(addr);
        }
    }

    /// Ends the process at an address: its server, and the connections that it dialled.
    pub fn crash(&self, addr: &str) {
        self.unserve(addr);
        for flow in self.flows().iter().filter(|flow| flow.from == addr) {
            flow.reset(addr);
        }
    }

    /// From now on all nodes have a secret in common: connections prove it, and a program that is no node gets no answer.
    pub fn secure(&self) {
        let keyring = Keyring::new("simulated", SECRET);
        debug_assert!(keyring.is_ok(), "it is long enough");
        if let Ok(keyring) = keyring {
            self.shared.state.lock().security = Security::with_keyring(keyring, false);
        }
    }

    /// From now on calls go over simulated connections, by the same code as over TCP.
    pub fn use_connections(&self) {
        self.shared.state.lock().connections = true;
    }

    /// Limits the uplink and the downlink of an address to so many bytes a second each; further bytes wait. `None` removes
    /// the limit. Only for simulated connections.
    pub fn set_rate(&self, addr: &str, bytes_per_second: Option<u64>) {
        let mut state = self.shared.state.lock();
        match bytes_per_second {
            Some(rate) => drop(state.rates.insert(addr.to_owned(), rate.max(1))),
            None => drop(state.rates.remove(addr)),
        }
    }

    /// A device between two addresses drops its state of their connections: nothing that is sent on them arrives any more,
    /// neither end is notified, and new connections work.
    pub fn forget_flows(&self, a: &str, b: &str) {
        let between = |flow: &Flow| (flow.from == a && flow.to == b) || (flow.from == b && flow.to == a);
        self.flows()
            .iter()
            .filter(|flow| between(flow))
            .for_each(|flow| flow.black_hole());
    }

    /// [`forget_flows`](Self::forget_flows) for all connections of an address.
    pub fn forget_flows_of(&self, addr: &str) {
        let of = |flow: &Flow| flow.from != flow.to && (flow.from == addr || flow.to == addr);
        self.flows()
            .iter()
            .filter(|flow| of(flow))
            .for_each(|flow| flow.black_hole());
    }

    /// Number of open connections.
    pub fn connections(&self) -> usize {
        self.flows().len()
    }

    fn flows(&self) -> Vec<Arc<Flow>> {
        let state = self.shared.state.lock();
        state.flows.iter().filter_map(Weak::upgrade).collect()
    }

    /// Lets a name resolve to an address, and to no other one.
    pub fn name(&self, name: &str, addr: &str) {
        let mut state = self.shared.state.lock();
        state.names.insert(name.to_owned(), addr.to_owned());
    }

    /// Sets the behaviour of the resolver.
    pub fn set_resolver(&self, resolver: ResolverMode) {
        self.shared.state.lock().resolver = resolver;
    }

    /// The addresses that are served, sorted.
    pub fn addresses(&self) -> Vec<String> {
        self.shared.state.lock().servers.keys().cloned().collect()
    }

    /// Sets the conditions of every link that has none of its own.
    pub fn set_conditions(&self, conditions: LinkConditions) {
        self.shared.state.lock().default_conditions = conditions;
    }

    /// Sets the conditions of one link.
    pub fn set_link(&self, from: &str, to: &str, conditions: LinkConditions) {
        self.shared.state.lock().links.insert(link(from, to), conditions);
    }

    /// Gives every link the default conditions: short delays, no loss. Cuts and clogs stay.
    pub fn calm(&self) {
        let mut state = self.shared.state.lock();
        state.default_conditions = LinkConditions::default();
        state.links.clear();
    }

    /// Loses all messages from `from` to `to`, including those in flight.
    pub fn cut_one_way(&self, from: &str, to: &str) {
        self.change(|barriers| barriers.cuts.insert(link(from, to)));
    }

    /// Cuts both ways.
    pub fn cut(&self, a: &str, b: &str) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Ends a cut of one way.
    pub fn restore_one_way(&self, from: &str, to: &str) {
        self.change(|barriers| barriers.cuts.remove(&link(from, to)));
    }

    /// Ends a cut of both ways.
    pub fn restore(&self, a: &str, b: &str) {
        self.restore_one_way(a, b);
        self.restore_one_way(b, a);
    }

    /// Cuts an address off from every other, also from those that come later.
    pub fn isolate(&self, addr: &str) {
        self.change(|barriers| barriers.isolated.insert(addr.to_owned()));
    }

    /// Ends an isolation.
    pub fn reconnect(&self, addr: &str) {
        self.change(|barriers| barriers.isolated.remove(addr));
    }

    /// Divides the network: two addresses reach one another only if some group has both. An address in two groups is a
    /// bridge, an address in none is isolated. Replaces an earlier division; an empty list ends it.
    pub fn partition(&self, groups: &[&[&str]]) {
        let named = |group: &&[&str]| group.iter().map(|addr| (*addr).to_owned()).collect();
        self.change(|barriers| barriers.groups = groups.iter().map(named).collect());
    }

    /// Holds all messages from `from` to `to` until the link is unclogged. Then they all arrive at once; none is lost.
    pub fn clog_one_way(&self, from: &str, to: &str) {
        self.change(|barriers| barriers.clogged_links.insert(link(from, to)));
    }

    /// Ends the clogging of a link.
    pub fn unclog_one_way(&self, from: &str, to: &str) {
        self.change(|barriers| barriers.clogged_links.remove(&link(from, to)));
    }

    /// Holds the messages from `from` to `to` on the log lane, until it is unclogged; heartbeats, calls and answers pass.
    pub fn clog_log(&self, from: &str, to: &str) {
        self.change(|barriers| barriers.clogged_logs.insert(link(from, to)));
    }

    /// Ends the clogging of a log lane.
    pub fn unclog_log(&self, from: &str, to: &str) {
        self.change(|barriers| barriers.clogged_logs.remove(&link(from, to)));
    }

    /// Clogs every link from and to an address.
    pub fn clog(&self, addr: &str) {
        self.change(|barriers| barriers.clogged_addresses.insert(addr.to_owned()));
    }

    /// Ends the clogging of an address.
    pub fn unclog(&self, addr: &str) {
        self.change(|barriers| barriers.clogged_addresses.remove(addr));
    }

    /// Ends every cut, isolation, division and clogging. The conditions of links stay; see
    /// [`calm`](Self::calm).
    pub fn heal(&self) {
        self.change(|barriers| *barriers = Barriers::default());
    }

    /// The counts so far.
    pub fn stats(&self) -> SimStats {
        self.shared.state.lock().stats
    }

    /// Starts or stops recording a trace of all messages.
    pub fn record_trace(&self, record: bool) {
        self.shared.state.lock().trace = record.then(Vec::new);
    }

    /// The trace since the last call: one line per event, with the time since the network was made.
    pub fn take_trace(&self) -> Vec<String> {
        let mut state = self.shared.state.lock();
        state.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Changes the barriers, and releases the messages that none of them holds any more.
    fn change<T>(&self, change: impl FnOnce(&mut Barriers) -> T) {
        let mut state = self.shared.state.lock();
        change(&mut state.barriers);
        let SimNetworkState { held, barriers, .. } = &mut *state;
        let (still_held, released): (Vec<_>, Vec<_>) = std::mem::take(held)
            .into_iter()
            .partition(|(link, lane, _)| barriers.is_clogged(link, *lane));
        *held = still_held;
        drop(state);
        for (_, _, release) in released {
            // The task of a message may have been dropped.
            let _ = release.send(());
        }
    }
}

fn scoped(sim_process: env::sim_process::SimProcess, handler: Handler) -> Handler {
    Arc::new(move |request, connection| {
        let handling = sim_process.enter(|| handler(request, connection));
        Box::pin(sim_process.wrap(handling))
    })
}

fn link(from: &str, to: &str) -> DirectedLink {
    (from.to_owned(), to.to_owned())
}

impl SimNetworkState {
    fn record(&mut self, start: Instant, event: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:?} {}", start.elapsed(), event()));
        }
    }

    fn chance(&mut self, probability: f64) -> bool {
        // Drawn even if the probability is 0 or 1, so that a changed probability changes no later draw.
        self.rng.random::<f64>() < probability
    }

    /// The time at which so many bytes that arrive at `at` have passed the uplink (`up`) or the downlink of an address.
    fn transmit(&mut self, addr: &str, up: bool, at: Instant, bytes: usize) -> Instant {
        let Some(rate) = self.rates.get(addr) else {
            return at;
        };
        let busy_until = self.busy_until.entry((addr.to_owned(), up)).or_insert(at);
        *busy_until = at.max(*busy_until) + Duration::from_nanos(bytes as u64 * 1_000_000_000 / rate);
        *busy_until
    }

    fn conditions(&self, link: &DirectedLink) -> LinkConditions {
        self.links.get(link).unwrap_or(&self.default_conditions).clone()
    }
}

impl SimNetworkInner {
    /// Carries one message; returns when it arrives (true) or is lost (false).
    async fn travel(&self, message: u64, from: &str, to: &str, lane: Lane, in_order: bool) -> bool {
        if from == to {
            return true;
        }
        let link = link(from, to);
        let arrival = {
            let mut state = self.state.lock();
            state.stats.sent += 1;
            let conditions = state.conditions(&link);
            let lost = state.chance(conditions.loss);
            let slow = state.chance(conditions.slow);
            let mut arrival = Instant::now() + conditions.delay(slow, &mut state.rng);
            if in_order {
                let last = state.last_log.entry(link.clone()).or_insert(arrival);
                *last = arrival.max(*last);
                arrival = *last;
            }
            if lost || state.barriers.is_cut(from, to) {
                state.lose(self.start, message, &link);
                return false;
            }
            arrival
        };
        env::sleep_until(arrival).await;
        loop {
            let released = {
                let mut state = self.state.lock();
                if state.barriers.is_cut(from, to) {
                    state.lose(self.start, message, &link);
                    return false;
                }
                if !state.barriers.is_clogged(&link, lane) {
                    state.stats.delivered += 1;
                    state.record(self.start, || format!("#{message} {from} -> {to} arrives"));
                    return true;
                }
                state.stats.held += 1;
                state.record(self.start, || format!("#{message} {from} -> {to} held"));
                let (release, released) = oneshot::channel();
                state.held.push((link.clone(), lane, release));
                released
            };
            if released.await.is_err() {
                return false;
            }
        }
    }
}

impl SimNetworkState {
    fn lose(&mut self, start: Instant, message: u64, (from, to): &DirectedLink) {
        self.stats.lost += 1;
        self.record(start, || format!("#{message} {from} -> {to} lost"));
    }
}
