//! The planner: which nodes hold which partition, and which of them is its primary.
//!
//! Pure and deterministic: a plan depends only on its [`PlannerInput`], and not on the order in which nodes and copies are
//! listed. It is computed with integers only, so that it is the same on every platform. No code here does I/O or reads a
//! clock.
//!
//! Three functions:
//!
//! - [`place`] plans the copies and the primary of each partition. The result is a *target*: first its copies are made;
//!   once they are synced the role moves, and then surplus copies are dropped.
//! - [`elect`] chooses primaries among the copies that hold the data *now*.
//! - [`failover`] does the same only for partitions without a primary, when a node has failed.
//!
//! # What a plan promises
//!
//! Always:
//! - Copies of one partition are on different nodes: as many as the replication factor, or as many as there are nodes that
//!   may hold copies (then the partition is *under-replicated*, which is reported).
//! - They are spread over zones as evenly as the zones have nodes: at most one in each zone if there are enough zones.
//! - A node that drains or has weight 0 gets no copies, and its copies move to other nodes. If there is no other node it
//!   keeps them.
//! - A partition that had data and has no synced copy on a listed node is *lost*: it is reported and has no primary. (Its
//!   copies are planned nevertheless, so that shares are right when its data returns.)
//!
//! And in this order, each without violating the ones before:
//! 1. Every node has its weighted share of copies, rounded down or up. Shares are exact fractions, limited by one
//!    copy of each partition and by what the zones must and may take.
//! 2. The fewest new copies are made; then synced ones are kept before unsynced ones. A pending copy counts as held, so
//!    that planning again while a plan is carried out changes nothing.
//! 3. Given these copies, every node has its weighted share of primaries, rounded down or up. Where copies are shared
//!    by weight alone (neither zones nor "one copy of each" limit a node) that is always possible: being primary of each
//!    of its partitions with probability 1 / copies meets every share, and flows are integral. Where it is not
//!    possible, shares are missed as little and as evenly as can be.
//! 4. No partition that lost its primary waits for data, and the fewest primaries change.
//!
//! Choices that are equal by these rules are made so that pairs of nodes share few partitions: when a node is lost, its
//! data and its primaries are spread over all others. This is a preference, not an optimum.
//!
//! # How
//!
//! Both parts are min-cost flows, solved (`flow.rs`) on the graph of *nodes*: an arc from a to b stands for all
//! partitions that could move from a to b. The flow starts from the present assignment, so that only surplus units move,
//! most of them in single moves that need no search. `flow.rs` explains why the result is an optimum; the tests compare it
//! with a plain flow over (partition, zone, node).

mod copies;
mod copy_plan;
mod flow;
mod hash;
mod input;
mod primaries;
mod share;
mod spread;
#[cfg(test)]
mod tests;

use input::{CurrentAssignment, NodeTable};
use primaries::PrimaryCandidates;

/// A node that can hold partitions. A node that holds copies and is not listed is gone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlannerNode {
    /// The node's id. Of two entries with the same id the planner uses one.
    pub id: String,
    /// Its share relative to that of other nodes; 0 for a node that must not hold copies.
    pub weight: u32,
    /// The failure domain. Nodes without one count as one zone of their own.
    pub zone: Option<String>,
    /// True for a node that is about to leave: it gets no copies, and its copies move to other nodes.
    pub draining: bool,
}

/// A copy that exists or is pending.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlannerCopy {
    /// The node that holds it.
    pub node: String,
    /// True when it has all data, so that it can be primary.
    pub synced: bool,
}

/// The present state of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PlannerPartition {
    /// Every copy. Empty for a partition that was never placed: it is *fresh* and has no data to lose.
    pub copies: Vec<PlannerCopy>,
    /// Its present primary.
    pub primary: Option<String>,
}

/// The input of a plan. A plan depends on nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PlannerInput {
    /// Copies of each partition, at least 1 (0 counts as 1).
    pub replication_factor: u32,
    /// The nodes, in any order.
    pub nodes: Vec<PlannerNode>,
    /// The partitions by number; at most 65,536.
    pub partitions: Vec<PlannerPartition>,
}

/// The planned copies and primaries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Placement {
    /// The ids of the listed nodes, sorted. Node numbers below are positions in this list.
    pub nodes: Vec<String>,
    /// The nodes that are to hold a copy of each partition, ascending.
    pub copies: Vec<Vec<u32>>,
    /// The primary of each partition once all its target copies are synced; none for a partition without a copy
    /// and for a lost one.
    pub primaries: Vec<Option<u32>>,
    /// The changes from the present state.
    pub moves: Moves,
}

/// What a plan changes, and what it cannot repair.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Moves {
    /// Copies to be made.
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

/// The primary of each partition.
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
pub fn place(input: &PlannerInput) -> Placement {
    let table = NodeTable::new(&input.nodes);
    let current = CurrentAssignment::new(input, &table);
    let copies = copies::place(&table, &current, input.replication_factor);
    let primaries = primaries::assign(&table, &PrimaryCandidates::planned(&current, &copies));
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
        nodes: table.ids,
        copies,
        primaries,
        moves,
    }
}

/// Balances primaries over the copies that are synced now, with the fewest changes.
pub fn elect(input: &PlannerInput) -> Election {
    election(input, PrimaryCandidates::synced)
}

/// Gives a primary to each partition whose primary is gone or not synced, from its synced copies; changes no other.
pub fn failover(input: &PlannerInput) -> Election {
    election(input, PrimaryCandidates::for_failover)
}

fn election(input: &PlannerInput, candidates: impl Fn(&CurrentAssignment) -> PrimaryCandidates) -> Election {
    let table = NodeTable::new(&input.nodes);
    let current = CurrentAssignment::new(input, &table);
    let primaries = primaries::assign(&table, &candidates(&current));
    let primaries_changed = changed(&current, &primaries);
    Election {
        nodes: table.ids,
        primaries,
        primaries_changed,
        lost: lost(&current),
    }
}

fn changed(current: &CurrentAssignment, primaries: &[Option<u32>]) -> u32 {
    primaries
        .iter()
        .zip(&current.primary)
        .filter(|(new, old)| new.is_some() && new != old)
        .count() as u32
}

fn lost(current: &CurrentAssignment) -> Vec<u32> {
    (0..current.len())
        .filter(|&p| current.is_lost(p))
        .map(|p| p as u32)
        .collect()
}
