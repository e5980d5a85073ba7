//! The simulated network: every way in which a network can fail, decided by one seed.
//!
//! A [`SimNetwork`] carries messages between addresses inside one process, on the clock and the tasks of
//! [`mod@env`]. Under the simulator two runs with the same seed and the same calls do the same things
//! at the same simulated moments.
//!
//! What it keeps of TCP: requests on [`Lane::Log`] arrive in order and are begun in order. Everything else may
//! overtake. A message that is lost is not resent: its call times out.
//!
//! With [`SimNetwork::use_connections`] calls go over simulated connections instead, by the code that real ones go by:
//! dialling, lanes, pings, silence. Then links may have a bandwidth, and connections may die without a word while new ones
//! work.

mod conditions;
mod dialler;
mod resolver;
mod sent;
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

use super::serve::Stage;
use super::{Handler, Lane, Transport};
use crate::env::{self, Instant};
use conditions::Barriers;
use stream::Flow;
use transport::SimTransport;

pub use conditions::LinkConditions;
pub(crate) use sent::show_sent;
pub use sent::{SentObserver, observe_sent};

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
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World>,
    start: Instant,
}

struct World {
    rng: SmallRng,
    usual: LinkConditions,
    links: BTreeMap<Link, LinkConditions>,
    barriers: Barriers,
    /// Messages that clogged links hold, in the order of their arrival.
    held: Vec<(Link, Lane, oneshot::Sender<()>)>,
    servers: BTreeMap<String, Server>,
    /// When the last request on a link's log lane arrives: the next must not arrive before.
    last_log: BTreeMap<Link, Instant>,
    next_message: u64,
    /// Calls go over simulated connections.
    connections: bool,
    flows: Vec<Weak<Flow>>,
    rates: BTreeMap<String, u64>,
    /// Until when the way of an address, up where that is true, is taken by what was sent before.
    busy: BTreeMap<(String, bool), Instant>,
    stats: SimStats,
    trace: Option<Vec<String>>,
    /// What the resolver knows: the address behind each name.
    names: BTreeMap<String, String>,
    resolver: Resolver,
}

/// How the network's resolver is. Names that it has told before may be remembered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Resolver {
    /// It answers.
    #[default]
    Answers,
    /// It says at once that it has no answer.
    Fails,
    /// It says nothing.
    Hangs,
}

/// From, to.
type Link = (String, String);

#[derive(Clone)]
struct Server {
    handler: Handler,
    /// The process that serves.
    sim_process: Option<env::sim_process::SimProcess>,
    /// Its connections end when this says so.
    stage: Arc<watch::Sender<Stage>>,
    /// Notified when the server goes.
    gone: Arc<Notify>,
    /// Per caller, the right to be handled on the log lane.
    log_turns: Arc<Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>>,
}

/// What a network has carried so far; messages are requests and answers alike.
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
    /// Requests to an address that nobody serves, or whose server went away.
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
    /// A network without faults, whose chances are drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        SimNetwork {
            shared: Arc::new(Shared {
                world: Mutex::new(World {
                    rng: SmallRng::seed_from_u64(seed),
                    usual: LinkConditions::default(),
                    links: BTreeMap::new(),
                    barriers: Barriers::default(),
                    held: Vec::new(),
                    servers: BTreeMap::new(),
                    last_log: BTreeMap::new(),
                    next_message: 0,
                    connections: false,
                    flows: Vec::new(),
                    rates: BTreeMap::new(),
                    busy: BTreeMap::new(),
                    stats: SimStats::default(),
                    trace: None,
                    names: BTreeMap::new(),
                    resolver: Resolver::default(),
                }),
                start: Instant::now(),
            }),
        }
    }

    /// The transport of the node at `local_addr`. Each is its own: closing one closes no other.
    pub fn transport(&self, local_addr: &str) -> Arc<dyn Transport> {
        Arc::new(SimTransport::new(self.shared.clone(), local_addr))
    }

    /// Serves an address, in the place of whoever served it before.
    pub fn serve(&self, addr: &str, handler: Handler) {
        self.unserve(addr);
        // Requests are handled by the process that serves, not by the one that asks.
        let sim_process = env::sim_process::SimProcess::current();
        let handler = match sim_process.clone() {
            Some(sim_process) => scoped(sim_process, handler),
            None => handler,
        };
        let server = Server {
            handler,
            sim_process,
            stage: Arc::new(watch::Sender::new(Stage::Serving)),
            gone: Arc::new(Notify::new()),
            log_turns: Arc::default(),
        };
        self.shared.world.lock().servers.insert(addr.to_owned(), server);
    }

    /// Stops serving an address: what it is handling is dropped where it stands, and its callers, like later
    /// ones, learn that it is unreachable.
    pub fn unserve(&self, addr: &str) {
        let server = self.shared.world.lock().servers.remove(addr);
        if let Some(server) = server {
            server.gone.notify_waiters();
            server.stage.send_replace(Stage::Closed);
        }
        for flow in self.flows().iter().filter(|flow| flow.to == addr) {
            flow.abandon(addr);
        }
    }

    /// The process at an address is gone: what it serves, and the connections that it dialled.
    pub fn crash(&self, addr: &str) {
        self.unserve(addr);
        for flow in self.flows().iter().filter(|flow| flow.from == addr) {
            flow.abandon(addr);
        }
    }

    /// From now on calls go over simulated connections, by the code that real ones go by.
    pub fn use_connections(&self) {
        self.shared.world.lock().connections = true;
    }

    /// So many bytes a second pass on the way from an address, and as many on the way to it; more wait. `None` for as many
    /// as come. For connections only.
    pub fn set_rate(&self, addr: &str, bytes_per_second: Option<u64>) {
        let mut world = self.shared.world.lock();
        match bytes_per_second {
            Some(rate) => drop(world.rates.insert(addr.to_owned(), rate.max(1))),
            None => drop(world.rates.remove(addr)),
        }
    }

    /// What stands between two addresses forgets their connections: nothing that is sent on those arrives any more, nobody is
    /// told, and new ones work.
    pub fn forget_flows(&self, a: &str, b: &str) {
        let between = |flow: &Flow| (flow.from == a && flow.to == b) || (flow.from == b && flow.to == a);
        self.flows()
            .iter()
            .filter(|flow| between(flow))
            .for_each(|flow| flow.die());
    }

    /// [`forget_flows`](Self::forget_flows) for all of an address.
    pub fn forget_flows_of(&self, addr: &str) {
        let of = |flow: &Flow| flow.from != flow.to && (flow.from == addr || flow.to == addr);
        self.flows()
            .iter()
            .filter(|flow| of(flow))
            .for_each(|flow| flow.die());
    }

    /// How many connections stand at this moment.
    pub fn connections(&self) -> usize {
        self.flows().len()
    }

    fn flows(&self) -> Vec<Arc<Flow>> {
        let world = self.shared.world.lock();
        world.flows.iter().filter_map(Weak::upgrade).collect()
    }

    /// Gives an address a name, in the place of the address that the name had before.
    pub fn name(&self, name: &str, addr: &str) {
        let mut world = self.shared.world.lock();
        world.names.insert(name.to_owned(), addr.to_owned());
    }

    /// Says how the resolver is from now on.
    pub fn set_resolver(&self, resolver: Resolver) {
        self.shared.world.lock().resolver = resolver;
    }

    /// The addresses that are served, sorted.
    pub fn addresses(&self) -> Vec<String> {
        self.shared.world.lock().servers.keys().cloned().collect()
    }

    /// Sets the conditions of every link that has none of its own.
    pub fn set_conditions(&self, conditions: LinkConditions) {
        self.shared.world.lock().usual = conditions;
    }

    /// Sets the conditions of one link.
    pub fn set_link(&self, from: &str, to: &str, conditions: LinkConditions) {
        self.shared.world.lock().links.insert(link(from, to), conditions);
    }

    /// Gives every link the default conditions: short delays, no chance of loss. Cuts and clogs stay.
    pub fn calm(&self) {
        let mut world = self.shared.world.lock();
        world.usual = LinkConditions::default();
        world.links.clear();
    }

    /// Loses all that `from` sends to `to`, what is under way included.
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

    /// Divides the network: two addresses reach one another only where some group has both. An address in
    /// two groups is a bridge; one in none is alone. Takes the place of an earlier division; no groups at all
    /// end it.
    pub fn partition(&self, groups: &[&[&str]]) {
        let named = |group: &&[&str]| group.iter().map(|addr| (*addr).to_owned()).collect();
        self.change(|barriers| barriers.groups = groups.iter().map(named).collect());
    }

    /// Holds all that `from` sends to `to`, until it is unclogged. Nothing is lost, and it all arrives at once.
    pub fn clog_one_way(&self, from: &str, to: &str) {
        self.change(|barriers| barriers.clogged_links.insert(link(from, to)));
    }

    /// Ends the clogging of a link.
    pub fn unclog_one_way(&self, from: &str, to: &str) {
        self.change(|barriers| barriers.clogged_links.remove(&link(from, to)));
    }

    /// Holds what `from` sends to `to` on the log lane, until it is unclogged; heartbeats, calls and their answers pass.
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

    /// What was carried so far.
    pub fn stats(&self) -> SimStats {
        self.shared.world.lock().stats
    }

    /// Starts or stops to record what happens to each message.
    pub fn record_trace(&self, record: bool) {
        self.shared.world.lock().trace = record.then(Vec::new);
    }

    /// What was recorded since the last time: one line per event, with the time since the network was made.
    pub fn take_trace(&self) -> Vec<String> {
        let mut world = self.shared.world.lock();
        world.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Changes the barriers, and lets go what none of them holds any more.
    fn change<T>(&self, change: impl FnOnce(&mut Barriers) -> T) {
        let mut world = self.shared.world.lock();
        change(&mut world.barriers);
        let World { held, barriers, .. } = &mut *world;
        let (stay, go): (Vec<_>, Vec<_>) = std::mem::take(held)
            .into_iter()
            .partition(|(link, lane, _)| barriers.is_clogged(link, *lane));
        *held = stay;
        drop(world);
        for (_, _, release) in go {
            // A message whose journey was dropped has nobody to release.
            let _ = release.send(());
        }
    }
}

fn scoped(sim_process: env::sim_process::SimProcess, handler: Handler) -> Handler {
    Arc::new(move |request, info| {
        let handling = sim_process.enter(|| handler(request, info));
        Box::pin(sim_process.wrap(handling))
    })
}

fn link(from: &str, to: &str) -> Link {
    (from.to_owned(), to.to_owned())
}

impl World {
    fn record(&mut self, start: Instant, event: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:?} {}", start.elapsed(), event()));
        }
    }

    fn chance(&mut self, probability: f64) -> bool {
        // Drawn even when it decides nothing: a changed probability then changes no later draw.
        self.rng.random::<f64>() < probability
    }

    /// When so many bytes that come at `at` have passed the way of an address.
    fn through(&mut self, addr: &str, up: bool, at: Instant, bytes: usize) -> Instant {
        let Some(rate) = self.rates.get(addr) else {
            return at;
        };
        let busy = self.busy.entry((addr.to_owned(), up)).or_insert(at);
        *busy = at.max(*busy) + Duration::from_nanos(bytes as u64 * 1_000_000_000 / rate);
        *busy
    }

    fn conditions(&self, link: &Link) -> LinkConditions {
        self.links.get(link).unwrap_or(&self.usual).clone()
    }
}

impl Shared {
    /// One message on its way; tells whether it arrives, when it does.
    async fn travel(&self, message: u64, from: &str, to: &str, lane: Lane, in_order: bool) -> bool {
        if from == to {
            return true;
        }
        let link = link(from, to);
        let arrival = {
            let mut world = self.world.lock();
            world.stats.sent += 1;
            let conditions = world.conditions(&link);
            let lost = world.chance(conditions.loss);
            let slow = world.chance(conditions.slow);
            let mut arrival = Instant::now() + conditions.delay(slow, &mut world.rng);
            if in_order {
                let last = world.last_log.entry(link.clone()).or_insert(arrival);
                *last = arrival.max(*last);
                arrival = *last;
            }
            if lost || world.barriers.is_cut(from, to) {
                world.lose(self.start, message, &link);
                return false;
            }
            arrival
        };
        env::sleep_until(arrival).await;
        loop {
            let released = {
                let mut world = self.world.lock();
                if world.barriers.is_cut(from, to) {
                    world.lose(self.start, message, &link);
                    return false;
                }
                if !world.barriers.is_clogged(&link, lane) {
                    world.stats.delivered += 1;
                    world.record(self.start, || format!("#{message} {from} -> {to} arrives"));
                    return true;
                }
                world.stats.held += 1;
                world.record(self.start, || format!("#{message} {from} -> {to} held"));
                let (release, released) = oneshot::channel();
                world.held.push((link.clone(), lane, release));
                released
            };
            if released.await.is_err() {
                return false;
            }
        }
    }
}

impl World {
    fn lose(&mut self, start: Instant, message: u64, (from, to): &Link) {
        self.stats.lost += 1;
        self.record(start, || format!("#{message} {from} -> {to} lost"));
    }
}
