//! What must be true, each claim in a file of its own with where it comes from.

pub(crate) mod digests;
pub(crate) mod durable;
pub(crate) mod epochs;
pub(crate) mod eviction;
pub(crate) mod held_data;
pub(crate) mod hook_order;
pub(crate) mod known_leader;
pub(crate) mod leader_stays;
pub(crate) mod one_leader;
pub(crate) mod one_primary;
pub(crate) mod placement;
pub(crate) mod streams;
pub(crate) mod told_roles;

use std::fmt;

use clusterkit::sim::{Applied, SimNode};

use crate::plan::Plan;
use crate::world::World;

/// Leases are there: a node that is cut off stops acting as primary before anybody else may.
const LEASES: bool = true;

/// What is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// A node can be made and started at all.
    Starts,
    /// At most one node answers that it is primary of a partition.
    OnePrimary,
    /// At most one node answers that it leads.
    OneLeader,
    /// Nobody is named leader who has not led for a lease.
    KnownLeader,
    /// Nobody replaces a leader that lives and is connected.
    LeaderStays,
    /// Epochs only rise, and each has one holder.
    Epochs,
    /// A primary held the data.
    HeldData,
    /// Every node tells the same events.
    Streams,
    /// The same revision is the same state.
    Digests,
    /// A node is told of each role that it gains or loses.
    ToldRoles,
    /// Hooks are called in a legal order.
    HookOrder,
    /// Nobody is evicted without a cause.
    Eviction,
    /// What was acknowledged is there.
    Durable,
    /// What a client is told of a write that failed is so.
    Outcomes,
    /// Registers are linearizable, and what a node shows goes forward.
    Linearizable,
    /// At rest nobody has too much.
    Placement,
    /// Without faults the cluster comes to rest and serves.
    Converges,
    /// Connections that died without a word are replaced, and slow links slow nothing else down.
    Heals,
    /// No part of a node panics.
    NoPanic,
}

impl Claim {
    /// False where today's code does not promise it: it is counted, and fails nothing.
    pub const fn is_promised(self, plan: &Plan) -> bool {
        match self {
            // Without leases nobody waits for the end of a member that is removed while it is cut off.
            Claim::OnePrimary => LEASES || !plan.menu.churn,
            _ => true,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Claim::Starts => "nodes start",
            Claim::OnePrimary => "one primary",
            Claim::OneLeader => "one leader",
            Claim::KnownLeader => "the leader that is named lives",
            Claim::LeaderStays => "a living leader stays",
            Claim::Epochs => "epochs only rise",
            Claim::HeldData => "primaries hold the data",
            Claim::Streams => "equal events",
            Claim::Digests => "equal states",
            Claim::ToldRoles => "roles are told",
            Claim::HookOrder => "hook order",
            Claim::Eviction => "no eviction without cause",
            Claim::Durable => "acknowledged writes survive",
            Claim::Outcomes => "honest outcomes",
            Claim::Linearizable => "linearizable",
            Claim::Placement => "placement",
            Claim::Converges => "converges",
            Claim::Heals => "heals in time",
            Claim::NoPanic => "no panic",
        }
    }
}

/// A claim that did not hold.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which.
    pub claim: Claim,
    /// What was seen.
    pub what: String,
    /// When, in simulated seconds.
    pub at: f64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:.4} s): {}", self.claim.name(), self.at, self.what)
    }
}

/// What the invariants remember.
#[derive(Default)]
pub(crate) struct Checks {
    pub(crate) epochs: epochs::Epochs,
    pub(crate) held: held_data::HeldData,
    pub(crate) streams: streams::Streams,
    pub(crate) digests: digests::Digests,
    pub(crate) hooks: hook_order::HookOrder,
    pub(crate) eviction: eviction::Eviction,
    pub(crate) durable: durable::Durable,
    pub(crate) told_roles: told_roles::ToldRoles,
    pub(crate) leaders: one_leader::OneLeader,
    pub(crate) known: known_leader::KnownLeader,
    pub(crate) leader_stays: leader_stays::LeaderStays,
    /// For the trace.
    leader_seen: Option<(u64, String)>,
}

impl Checks {
    pub(crate) fn new(plan: &Plan) -> Self {
        Checks {
            eviction: eviction::Eviction::new(plan),
            ..Checks::default()
        }
    }

    /// A new process of a node.
    pub(crate) fn begin(&mut self, node: &SimNode, forgetful: bool) {
        self.eviction.boots(node.id());
        self.held.ends(node.id());
        if forgetful {
            self.held.forgets(node.id());
        }
    }

    /// The process of a node has ended at once.
    pub(crate) fn killed(&mut self, id: &str) {
        self.eviction.is_killed(id);
        self.held.ends(id);
    }

    /// A node has lost its disk, and its application all data.
    pub(crate) fn wiped(&mut self, id: &str) {
        self.held.forgets(id);
    }
}

/// Called with every batch that any node applies.
pub(crate) fn applied(world: &World, applied: &Applied<'_>) {
    let mut found: Vec<(Claim, Result<(), String>)> = Vec::new();
    {
        let mut checks = world.checks();
        let topology = applied.state.topology();
        found.push((
            Claim::Epochs,
            checks.epochs.check(applied.node, applied.process, topology),
        ));
        found.push((
            Claim::LeaderStays,
            checks.leader_stays.check(&world.plan, topology.leader_epoch),
        ));
        found.push((
            Claim::HeldData,
            checks.held.check(applied.state.revision(), topology),
        ));
        checks.held.told(applied);
        found.push((Claim::Streams, checks.streams.note(applied)));
        found.push((Claim::Digests, checks.digests.check(applied.node, applied.state)));
        found.push((Claim::Eviction, checks.eviction.check(applied)));
        found.push((Claim::ToldRoles, checks.told_roles.check(applied)));
        checks.hooks.told(applied);
        checks.known.applied(topology);
        if let Some(leader) = &topology.leader
            && checks
                .leader_seen
                .as_ref()
                .is_none_or(|(epoch, _)| *epoch < topology.leader_epoch)
        {
            checks.leader_seen = Some((topology.leader_epoch, leader.to_string()));
            world.trace.add(format_args!(
                "{leader} leads with epoch {} (revision {})",
                topology.leader_epoch,
                applied.state.revision()
            ));
        }
        for line in checks.streams.news() {
            world.trace.add(format_args!("{line}"));
        }
    }
    for (claim, result) in found {
        if let Err(what) = result {
            world.violated(claim, what);
        }
    }
    if !applied.events.is_empty() {
        sample(world);
    }
}

/// Asks everybody what they are, at this moment.
pub(crate) fn sample(world: &World) {
    let up = world.up();
    if let Err(what) = one_primary::check(&up) {
        world.violated(Claim::OnePrimary, what);
    }
    for node in &up {
        let claims = node.claims();
        if claims.is_empty() {
            continue;
        }
        let topology = node.topology();
        for number in claims {
            let acts = world.checks().held.acts(node.id(), number, &topology);
            if let Err(what) = acts {
                world.violated(Claim::HeldData, what);
            }
        }
    }
    let leaders = world.checks().leaders.check(&up);
    if let Err(what) = leaders {
        world.violated(Claim::OneLeader, what);
    }
    let known = world.checks().known.check(&up, &world.who_leads());
    if let Err(what) = known {
        world.violated(Claim::KnownLeader, what);
    }
}
