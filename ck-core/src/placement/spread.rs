//! How many partitions each pair of nodes shares: the load that the loss of one node puts on the other.

use super::share::Share;

/// With more nodes than this, pairs are not counted: the table would exceed the caches, and a random choice shares few
/// partitions already (65,536 partitions of 3 copies on 2,048 nodes: 0.1 for each pair).
const MAX_COUNTED_NODES: usize = 2048;

/// The largest value of `Spread::scale`.
const MAX_SCALE: i64 = (1 << 20) - 1;

/// Counts of shared partitions, weighed by the sizes of the two nodes: heavy nodes may share more.
pub(super) struct Spread {
    nodes: usize,
    /// Saturating: if nodes share 65,535 partitions, there are too few nodes to choose from.
    shared: Vec<u16>,
    /// Proportional to 1 / share of the node, and below 2^20, so that no sum overflows.
    scale: Vec<i64>,
}

impl Spread {
    pub(super) fn new(shares: &[Share]) -> Self {
        let nodes = shares.len();
        let counted = if nodes <= MAX_COUNTED_NODES { nodes } else { 0 };
        let most = shares.iter().map(|s| i64::from(s.ceil)).max().unwrap_or(0);
        Spread {
            nodes: counted,
            shared: vec![0; counted * counted],
            scale: shares
                .iter()
                .map(|s| ((most << 4) / i64::from(s.ceil.max(1))).min(MAX_SCALE))
                .collect(),
        }
    }

    /// Records that `node` got a copy of a partition that `others` hold, too.
    pub(super) fn add_copy(&mut self, node: usize, others: impl Iterator<Item = usize>) {
        self.change(node, others, |count| count.saturating_add(1));
    }

    /// Records that `node` lost its copy of a partition that `others` hold, too.
    pub(super) fn remove_copy(&mut self, node: usize, others: impl Iterator<Item = usize>) {
        self.change(node, others, |count| count.saturating_sub(1));
    }

    fn change(&mut self, node: usize, others: impl Iterator<Item = usize>, to: impl Fn(u16) -> u16) {
        if self.nodes == 0 {
            return;
        }
        for other in others {
            for cell in [node * self.nodes + other, other * self.nodes + node] {
                self.shared[cell] = to(self.shared[cell]);
            }
        }
    }

    /// How much `node` shares with `others` already; fewer is better.
    pub(super) fn load(&self, node: usize, others: impl Iterator<Item = usize>) -> i64 {
        if self.nodes == 0 {
            return 0;
        }
        // The table is symmetric. A choice compares many nodes with the same others, whose rows stay in the cache.
        let load = |other: usize| {
            i64::from(self.shared[other * self.nodes + node]) * self.scale[other] * self.scale[node]
        };
        others.map(load).fold(0, i64::saturating_add)
    }
}
