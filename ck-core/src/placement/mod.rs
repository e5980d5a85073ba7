//! Which nodes hold which partition. Pure: no I/O, no clock, no tokio.

mod copies;
mod flow;
mod hash;
mod input;
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
        let kept = nodes.iter().filter(|&&node| current.holds(p, node).is_some()).count();
        moves.copies_added += (nodes.len() - kept) as u32;
        moves.copies_dropped += (current.held(p).len() - kept) as u32;
    }
    Placement { nodes: topology.ids, copies, primaries, moves }
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
    Election { nodes: topology.ids, primaries, primaries_changed, lost: lost(&current) }
}

fn changed(current: &Current, primaries: &[Option<u32>]) -> u32 {
    primaries.iter().zip(&current.primary).filter(|(new, old)| new.is_some() && new != old).count() as u32
}

fn lost(current: &Current) -> Vec<u32> {
    (0..current.len()).filter(|&p| current.is_lost(p)).map(|p| p as u32).collect()
}
