//! What the demo found, as `--json` prints it. Times are seconds.

use serde::Serialize;

use super::routing::Distribution;

/// The whole tour.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// How the cluster formed.
    pub(super) formation: Formation,
    /// Where the keys fell.
    pub(super) routing: Routing,
    /// What a new node cost.
    pub(super) join: Join,
    /// What a restart cost.
    pub(super) restart: Restart,
    /// How it ended.
    pub(super) stop: Stop,
    /// All of it.
    pub(super) seconds: f64,
}

/// How the cluster formed.
#[derive(Debug, Serialize)]
pub(super) struct Formation {
    /// Each node, in the order in which they became ready.
    pub(super) nodes: Vec<NodeReady>,
    /// The leader.
    pub(super) leader: String,
    /// Partitions.
    pub(super) partitions: usize,
    /// Copies wanted of each.
    pub(super) replication_factor: u32,
    /// From the start of the first process until all partitions were evenly spread over all nodes.
    pub(super) seconds: f64,
}

/// One node's start.
#[derive(Debug, Serialize)]
pub(super) struct NodeReady {
    /// The node.
    pub(super) id: String,
    /// Its address.
    pub(super) addr: String,
    /// From the start of its own process.
    pub(super) seconds: f64,
}

/// Where the keys fell.
#[derive(Debug, Serialize)]
pub(super) struct Routing {
    /// Counts per node.
    #[serde(flatten)]
    pub(super) distribution: Distribution,
    /// Keys for which a node was asked too.
    pub(super) compared: usize,
}

/// What a new node cost.
#[derive(Debug, Serialize)]
pub(super) struct Join {
    /// The new node.
    pub(super) node: String,
    /// From the start of its process until it was a member.
    pub(super) ready_seconds: f64,
    /// From the start of its process until it had its share.
    pub(super) seconds: f64,
    /// Copies that were made on nodes that did not hold them.
    pub(super) moves: usize,
    /// The fewest that can lead from the table before to an even one.
    pub(super) fewest_moves: usize,
    /// The new node's fair share of copies: floor and ceiling.
    pub(super) fair_share: (usize, usize),
    /// Partitions with another primary than before.
    pub(super) primary_changes: usize,
    /// Of the routed keys, those with another primary than before.
    pub(super) keys_rerouted: usize,
}

/// What a restart cost.
#[derive(Debug, Serialize)]
pub(super) struct Restart {
    /// The node.
    pub(super) node: String,
    /// From SIGTERM to the end of the process.
    pub(super) stop_seconds: f64,
    /// From the start of its process until it was ready again.
    pub(super) ready_seconds: f64,
    /// From SIGTERM until the table was whole again.
    pub(super) seconds: f64,
    /// Partitions that it was primary of when it was stopped.
    pub(super) primaries: u64,
    /// Those of them that another node led while it was away.
    pub(super) taken_over: usize,
    /// Values written before.
    pub(super) written: usize,
    /// Those of them that the restarted node answered afterwards.
    pub(super) read_back: usize,
    /// Copies that were made on nodes that did not hold them.
    pub(super) moves: usize,
}

/// How it ended.
#[derive(Debug, Serialize)]
pub(super) struct Stop {
    /// Processes stopped.
    pub(super) processes: usize,
    /// Those of them that had to be killed.
    pub(super) killed: usize,
    /// From the order to the end of the last.
    pub(super) seconds: f64,
}
