//! The cluster of one run: its nodes, what became of them, and who watches.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clusterkit::Options;
use clusterkit::env::disk::MemDisk;
use clusterkit::env::sim_process::outside;
use clusterkit::env::{self, ChangeNotifier};
use clusterkit::hooks::EventFilter;
use clusterkit::net::sim::SimNetwork;
use clusterkit::sim::{SimNode, SimSpec};

use crate::application;
use crate::invariants::{Checks, Claim, Violation};
use crate::nodes;
use crate::plan::Plan;
use crate::trace::{self, Trace};

/// Where a node is, as the people who run it know.
pub(crate) struct Slot {
    /// Its present process.
    pub(crate) node: Option<SimNode>,
    pub(crate) disk: Arc<MemDisk>,
    pub(crate) addr: String,
    /// Somebody does something to it; others keep away.
    pub(crate) busy: bool,
    /// It is to run.
    pub(crate) wanted: bool,
    /// Its present process has been started successfully.
    pub(crate) ready: bool,
    /// The cluster was told to remove it; it comes back with an empty disk or not at all.
    pub(crate) removed: bool,
    moves: u32,
}

/// One run's cluster.
#[derive(Clone)]
pub(crate) struct World {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) plan: Plan,
    pub(crate) network: SimNetwork,
    pub(crate) trace: Trace,
    pub(crate) checks: Mutex<Checks>,
    slots: Mutex<Vec<Slot>>,
    violation: Mutex<Option<Violation>>,
    calm: AtomicBool,
    failed: ChangeNotifier,
    /// The node that went on last after it had stood still, and told when one does.
    woken: Mutex<usize>,
    wakes: ChangeNotifier,
    /// The node that is about to be taken out, and told when one is.
    parting: Mutex<usize>,
    partings: ChangeNotifier,
    /// Violations of what is not promised yet.
    pub(crate) unpromised: AtomicU64,
}

impl std::ops::Deref for World {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.inner
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let slots = (0..plan.nodes)
            .map(|i| Slot {
                node: None,
                disk: Arc::new(MemDisk::new()),
                addr: nodes::addr(i + 1),
                busy: false,
                wanted: false,
                ready: false,
                removed: false,
                moves: 0,
            })
            .collect();
        let network = SimNetwork::new(plan.seed);
        network.secure();
        if plan.menu.names {
            for i in 0..plan.nodes {
                network.name(&nodes::name(i + 1), &nodes::addr(i + 1));
            }
        }
        if plan.connections {
            network.use_connections();
        }
        World {
            inner: Arc::new(Inner {
                network,
                trace: Trace::default(),
                checks: Mutex::new(Checks::new(&plan)),
                slots: Mutex::new(slots),
                violation: Mutex::new(None),
                calm: AtomicBool::new(false),
                failed: ChangeNotifier::default(),
                woken: Mutex::new(0),
                wakes: ChangeNotifier::default(),
                parting: Mutex::new(0),
                partings: ChangeNotifier::default(),
                unpromised: AtomicU64::new(0),
                plan,
            }),
        }
    }

    pub(crate) fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        lock(&self.slots)
    }

    pub(crate) fn checks(&self) -> MutexGuard<'_, Checks> {
        lock(&self.inner.checks)
    }

    pub(crate) fn count(&self) -> usize {
        self.plan.nodes
    }

    /// The id of node `i`.
    pub(crate) fn id(i: usize) -> String {
        nodes::id(i + 1)
    }

    pub(crate) fn addrs(&self) -> Vec<String> {
        self.slots().iter().map(|slot| slot.addr.clone()).collect()
    }

    /// The present process of node `i`, whatever state it is in.
    pub(crate) fn node(&self, i: usize) -> Option<SimNode> {
        self.slots()[i].node.clone()
    }

    /// Every process that can answer now.
    pub(crate) fn up(&self) -> Vec<SimNode> {
        let slots = self.slots();
        let nodes = slots.iter().filter_map(|slot| slot.node.as_ref());
        nodes.filter(|node| node.is_up()).cloned().collect()
    }

    /// The nodes that say that they lead, those that are stopping included.
    pub(crate) fn who_leads(&self) -> Vec<SimNode> {
        let slots = self.slots();
        let nodes = slots.iter().filter_map(|slot| slot.node.as_ref());
        nodes.filter(|node| node.holds_leadership()).cloned().collect()
    }

    /// Those of them that have started.
    pub(crate) fn ready(&self) -> Vec<SimNode> {
        let slots = self.slots();
        let ready = slots.iter().filter(|slot| slot.ready);
        let nodes = ready.filter_map(|slot| slot.node.as_ref());
        nodes.filter(|node| node.is_up()).cloned().collect()
    }

    /// The node that says that it leads.
    pub(crate) fn leading(&self) -> Option<(usize, SimNode)> {
        let nodes = (0..self.count()).filter_map(|i| Some((i, self.node(i)?)));
        let mut up = nodes.filter(|(_, node)| node.is_up());
        up.find(|(_, node)| node.is_leader())
    }

    /// Takes a node for oneself; false when somebody else has it.
    pub(crate) fn take(&self, i: usize) -> bool {
        let slot = &mut self.slots()[i];
        !std::mem::replace(&mut slot.busy, true)
    }

    /// Gives it back.
    pub(crate) fn give_back(&self, i: usize) {
        self.slots()[i].busy = false;
    }

    /// Node `i` goes on after it stood still: whoever hurries asks it before it has heard anything.
    pub(crate) fn goes_on(&self, i: usize) {
        *lock(&self.woken) = i;
        self.wakes.notify();
    }

    /// The next node that goes on.
    pub(crate) async fn next_to_go_on(&self) -> Option<SimNode> {
        self.wakes.after(self.wakes.count()).await;
        let i = *lock(&self.woken);
        self.node(i).filter(SimNode::is_up)
    }

    /// Node `i` is about to be taken out: whoever writes through it does so now.
    pub(crate) fn parts(&self, i: usize) {
        *lock(&self.parting) = i;
        self.partings.notify();
    }

    /// The next node that is about to be taken out.
    pub(crate) async fn next_to_part(&self) -> Option<SimNode> {
        self.partings.after(self.partings.count()).await;
        let i = *lock(&self.parting);
        self.node(i).filter(SimNode::is_up)
    }

    fn options(&self, i: usize, first: bool) -> Options {
        let slots = self.slots();
        let mut options = nodes::options(i + 1, slots[i].addr.clone());
        let founds = first && i == 0;
        if !founds {
            let others = slots.iter().enumerate().filter(|(other, _)| *other != i);
            let reached_at = |(other, slot): (usize, &Slot)| match self.plan.menu.names {
                true => nodes::name(other + 1),
                false => slot.addr.clone(),
            };
            options.join_addrs = others.map(reached_at).collect();
        }
        options.advertise_addr = self.plan.menu.names.then(|| nodes::name(i + 1));
        if founds {
            options.partition_count = Some(self.plan.partitions);
            options.replication_factor = Some(self.plan.replication);
        }
        options.join_timeout = Duration::from_secs(30);
        options.timing.profile = self.plan.timing;
        options
    }

    /// Starts a new process of node `i`, in the background.
    pub(crate) fn boot(&self, i: usize, first: bool) {
        let options = self.options(i, first);
        let disk = self.slots()[i].disk.clone();
        let spec = SimSpec {
            options,
            disk,
            network: self.network.clone(),
            snapshots: self.plan.snapshots,
            drift_ppm: self.plan.drift_ppm[i],
        };
        let node = match outside(|| SimNode::new(spec)) {
            Ok(node) => node,
            Err(error) => return self.violated(Claim::Starts, format!("node {}: {error}", i + 1)),
        };
        if self.plan.menu.late_hooks {
            spawn(application::register_late(self.clone(), node.clone()));
        } else if let Err(error) = node.register(EventFilter::ALL, application::hook(self, &node)) {
            return self.violated(Claim::Starts, format!("node {}: {error}", i + 1));
        }
        self.checks().begin(&node, self.plan.forgetful);
        {
            let slot = &mut self.slots()[i];
            slot.node = Some(node.clone());
            slot.wanted = true;
            slot.ready = false;
            slot.removed = false;
        }
        self.trace
            .add(format_args!("{} boots at {}", node.id(), node.addr()));
        let world = self.clone();
        spawn(async move {
            let started = node.start().await;
            match started {
                Ok(()) => {
                    world.trace.add(format_args!("{} has started", node.id()));
                    let slot = &mut world.slots()[i];
                    if slot
                        .node
                        .as_ref()
                        .is_some_and(|now| now.process() == node.process())
                    {
                        slot.ready = true;
                        world.checks().eviction.has_started(node.id());
                    }
                }
                Err(error) => world
                    .trace
                    .add(format_args!("{} did not start: {error}", node.id())),
            }
        });
    }

    /// Ends the present process of node `i` at once; with a seed the machine loses power.
    pub(crate) fn kill(&self, i: usize, power_loss: Option<u64>) {
        let node = {
            let slot = &mut self.slots()[i];
            slot.ready = false;
            slot.node.take()
        };
        if let Some(node) = node {
            node.kill(power_loss);
            self.checks().killed(node.id());
            let how = if power_loss.is_some() {
                "loses power"
            } else {
                "is killed"
            };
            self.trace.add(format_args!("{} {how}", node.id()));
        }
    }

    /// An empty disk in the place of the present one. No process may run.
    pub(crate) fn wipe(&self, i: usize) {
        self.slots()[i].disk = Arc::new(MemDisk::new());
        self.checks().wiped(&World::id(i));
        self.trace
            .add(format_args!("{} gets an empty disk", World::id(i)));
    }

    /// Another address for its next process.
    pub(crate) fn move_house(&self, i: usize) {
        let slot = &mut self.slots()[i];
        slot.moves += 1;
        slot.addr = format!("10.0.{}.{}:7000", slot.moves, i + 1);
        self.trace
            .add(format_args!("{} moves to {}", World::id(i), slot.addr));
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn be_calm(&self) {
        self.inner.calm.store(true, Ordering::Release);
    }

    /// True once nothing goes wrong any more, or all is over.
    pub(crate) fn is_calm(&self) -> bool {
        self.inner.calm.load(Ordering::Acquire)
    }

    /// Sleeps, and says whether to go on making trouble.
    pub(crate) async fn pause_for(&self, duration: Duration) -> bool {
        env::sleep(duration).await;
        !self.is_calm()
    }

    /// Something that must never be is.
    pub(crate) fn violated(&self, claim: Claim, what: String) {
        if !claim.is_promised(&self.plan) {
            if self.inner.unpromised.fetch_add(1, Ordering::Relaxed) == 0 {
                self.trace
                    .add(format_args!("not promised yet: {}: {what}", claim.name()));
            }
            return;
        }
        let mut violation = lock(&self.inner.violation);
        if violation.is_none() {
            self.trace.add(format_args!("VIOLATED: {}: {what}", claim.name()));
            *violation = Some(Violation {
                claim,
                what,
                at: trace::seconds(),
            });
        }
        drop(violation);
        self.be_calm();
        self.inner.failed.notify();
    }

    /// What went wrong first.
    pub(crate) fn violation(&self) -> Option<Violation> {
        lock(&self.inner.violation).clone()
    }

    /// Resolves when something has gone wrong.
    pub(crate) async fn failure(&self) {
        let mut seen = 0;
        while self.violation().is_none() {
            seen = self.inner.failed.after(seen).await;
        }
    }

    /// Ends every process, so that nothing refers to anything any more.
    pub(crate) fn end(&self) {
        self.be_calm();
        for slot in self.slots().iter_mut() {
            if let Some(node) = slot.node.take() {
                node.kill(None);
            }
        }
    }
}

/// Runs a task of the simulation's own.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    outside(|| env::spawn(task));
}
