//! The planner: which nodes hold which partition, and which of them leads it.
//!
//! Pure and deterministic: a plan depends on its [`Input`] alone, in whatever order nodes and copies are listed, and
//! integers only decide it, so that it is the same on every platform. Nothing here does I/O or reads a clock.
//!
//! Three questions:
//!
//! - [`place`]: where shall everything be? The answer is a *target*. Its copies are to be made first; when they are
//!   synced the role moves, and then surplus copies go.
//! - [`elect`]: of the copies that hold the data *now*, which shall lead?
//! - [`failover`]: the same for those partitions only that nobody leads, at once, when a node is gone.
//!
//! # What a plan promises
//!
//! Always:
//! - Copies of one partition lie on different nodes: as many as the replication factor, or as many as there are
//!   nodes that may hold something (then the partition is *under-replicated*, which is reported).
//! - They lie in zones as evenly as the zones have nodes: at most one in each where there are enough zones.
//! - A node that drains or has weight 0 gets nothing, and what it has goes elsewhere. Where no other node is left it
//!   keeps what it has.
//! - A partition that had data and has no synced copy on a listed node is *lost*: reported, and led by nobody. (Its
//!   copies are planned all the same, so that shares are right when its data returns.)
//!
//! And in this order, each without giving up the ones before:
//! 1. Every node has its weighted share of copies, rounded down or up. Shares are exact fractions, limited by one
//!    copy of each partition and by what the zones must and may take.
//! 2. The fewest new copies are made; then synced ones are kept before unsynced ones. A copy that is being made counts
//!    as held: planning again while a plan is carried out asks for nothing else.
//! 3. Given these copies, every node has its weighted share of primaries, rounded down or up. Where copies are shared
//!    by weight alone (neither zones nor "one copy of each" limit a node) that is always possible: leading each of
//!    its partitions with probability 1 / copies meets every share, and flows are integral. Where it is not
//!    possible, shares are missed as little and as evenly as can be.
//! 4. No partition that lost its primary waits for data, and the fewest primaries change.
//!
//! Beyond that, choices that are equal by these rules are made so that pairs of nodes share few partitions: when a
//! node is lost, all others help, both with its data and with its primaries. This is a preference, not an optimum.
//!
//! # How
//!
//! Both parts are min-cost flows, solved (`flow.rs`) on the graph of *nodes*: an arc from a to b stands for all
//! partitions that could move from a to b. The assignment that exists is the start, so only what is surplus
//! travels: most of it in single moves that need no search. Why the result is an optimum is said there; the tests
//! compare it with a plain flow over (partition, zone, node).

mod copies;
mod flow;
mod hash;
mod input;
mod plan;
mod primaries;
mod share;
mod spread;
#[cfg(test)]
mod tests;

use input::{Current, Topology};
use primaries::Candidates;

/// A node that partitions can lie on. A node that holds copies and is not listed is gone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeSpec {
    /// The node's id. Of two entries with one id the planner uses one.
    pub id: String,
    /// Its share relative to the others'; 0 for a node that shall hold nothing.
    pub weight: u32,
    /// The failure domain. Nodes without one count as one zone of their own.
    pub zone: Option<String>,
    /// True for a node that is about to leave: it gets nothing, and what it holds goes elsewhere.
    pub draining: bool,
}

/// A copy that exists or is being made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CopySpec {
    /// The node that holds it.
    pub node: String,
    /// True when it has all data, so that it can be primary.
    pub synced: bool,
}

/// A partition as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PartitionSpec {
    /// Every copy. Empty for a partition that was never placed: it is *fresh* and has no data to lose.
    pub copies: Vec<CopySpec>,
    /// The node that leads it now.
    pub primary: Option<String>,
}

/// Everything that a plan depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Input {
    /// Copies of each partition, at least 1 (0 counts as 1).
    pub replication_factor: u32,
    /// The nodes, in any order.
    pub nodes: Vec<NodeSpec>,
    /// The partitions by number; at most 65,536.
    pub partitions: Vec<PartitionSpec>,
}

/// Where everything shall be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Placement {
    /// The ids of the listed nodes, sorted. Node numbers below are positions in this list.
    pub nodes: Vec<String>,
    /// The nodes that shall hold a copy of each partition, ascending.
    pub copies: Vec<Vec<u32>>,
    /// The primary of each partition once all its target copies are synced; none for a partition without a copy
    /// and for a lost one.
    pub primaries: Vec<Option<u32>>,
    /// What it takes to get there.
    pub moves: Moves,
}

/// What a plan changes, and what it cannot mend.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Moves {
    /// Copies that must be made.
    pub copies_added: u32,
    /// Copies on listed nodes that become surplus.
    pub copies_dropped: u32,
    /// Partitions that get another primary, or their first.
    pub primaries_changed: u32,
    /// Partitions with fewer target copies than the replication factor.
    pub under_replicated: u32,
    /// Partitions that were placed before and have no synced copy on a listed node.
    pub lost: Vec<u32>,
}

/// Who leads each partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Election {
    /// The ids of the listed nodes, sorted. Node numbers below are positions in this list.
    pub nodes: Vec<String>,
    /// The primary of each partition: always a node with a synced copy; none where there is no such copy.
    pub primaries: Vec<Option<u32>>,
    /// Partitions that get another primary, or their first.
    pub primaries_changed: u32,
    /// Partitions that were placed before and have no synced copy on a listed node.
    pub lost: Vec<u32>,
}

/// Plans copies and primaries.
pub fn place(input: &Input) -> Placement {
    let topology = Topology::new(&input.nodes);
    let current = Current::new(input, &topology);
    let copies = copies::place(&topology, &current, input.replication_factor);
    let primaries = primaries::assign(&topology, &Candidates::planned(&current, &copies));
    let wanted = input.replication_factor.max(1) as usize;
    let mut moves = Moves {
        primaries_changed: changed(&current, &primaries),
        under_replicated: copies.iter().filter(|nodes| nodes.len() < wanted).count() as u32,
        lost: lost(&current),
        ..Moves::default()
    };
    for (p, nodes) in copies.iter().enumerate() {
        let kept = nodes
            .iter()
            .filter(|&&node| current.holds(p, node).is_some())
            .count();
        moves.copies_added += (nodes.len() - kept) as u32;
        moves.copies_dropped += (current.held(p).len() - kept) as u32;
    }
    Placement {
        nodes: topology.ids,
        copies,
        primaries,
        moves,
    }
}

/// Balances primaries over the copies that are synced now, with the fewest changes.
pub fn elect(input: &Input) -> Election {
    election(input, Candidates::synced)
}

/// Gives a primary to each partition whose primary is gone or not synced, from its synced copies; changes no other.
pub fn failover(input: &Input) -> Election {
    election(input, Candidates::orphaned)
}

fn election(input: &Input, candidates: impl Fn(&Current) -> Candidates) -> Election {
    let topology = Topology::new(&input.nodes);
    let current = Current::new(input, &topology);
    let primaries = primaries::assign(&topology, &candidates(&current));
    let primaries_changed = changed(&current, &primaries);
    Election {
        nodes: topology.ids,
        primaries,
        primaries_changed,
        lost: lost(&current),
    }
}

fn changed(current: &Current, primaries: &[Option<u32>]) -> u32 {
    primaries
        .iter()
        .zip(&current.primary)
        .filter(|(new, old)| new.is_some() && new != old)
        .count() as u32
}

fn lost(current: &Current) -> Vec<u32> {
    (0..current.len())
        .filter(|&p| current.is_lost(p))
        .map(|p| p as u32)
        .collect()
}
