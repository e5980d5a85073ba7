//! Where keys fall.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::hash::HashConfig;
use crate::layout::{Layout, Spread};

/// How many keys fell on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Share {
    /// The node.
    pub(super) node: String,
    /// Keys that it takes the writes for.
    pub(super) primary: u64,
    /// Keys that it holds another copy of.
    pub(super) replica: u64,
}

/// How keys are spread over the nodes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Distribution {
    /// How many keys were routed.
    pub(super) keys: usize,
    /// Each node's share, in the layout's order.
    pub(super) nodes: Vec<Share>,
    /// Keys per node, as primary.
    pub(super) primary: Spread,
    /// Keys per node, as primary or not.
    pub(super) copies: Spread,
}

/// The keys that are routed when nobody brings any: `user:1` and so on.
pub(super) fn generated(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("user:{n}")).collect()
}

/// Routes each key by the published mapping, as a smart client does, and counts where it falls.
pub(super) fn distribute(keys: &[String], hash: &HashConfig, layout: &Layout) -> Distribution {
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for key in keys {
        let Some(partition) = layout.partitions.get(hash.partition(key) as usize) else {
            continue;
        };
        for node in partition.all() {
            let count = counts.entry(node).or_default();
            if partition.primary.as_deref() == Some(node) {
                count.0 += 1;
            } else {
                count.1 += 1;
            }
        }
    }
    let nodes: Vec<Share> = layout
        .nodes
        .iter()
        .map(|node| {
            let (primary, replica) = counts.get(node.as_str()).copied().unwrap_or_default();
            Share {
                node: node.clone(),
                primary,
                replica,
            }
        })
        .collect();
    Distribution {
        keys: keys.len(),
        primary: Spread::of(nodes.iter().map(|share| share.primary)),
        copies: Spread::of(nodes.iter().map(|share| share.primary + share.replica)),
        nodes,
    }
}

/// How many of the keys have another primary in `after` than in `before`.
pub(super) fn rerouted(keys: &[String], hash: &HashConfig, before: &Layout, after: &Layout) -> usize {
    let primary = |layout: &Layout, key: &str| {
        let partition = layout.partitions.get(hash.partition(key) as usize)?;
        partition.primary.clone()
    };
    keys.iter()
        .filter(|key| primary(before, key) != primary(after, key))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::tests::layout;

    fn hash(modulo: u32) -> HashConfig {
        HashConfig {
            algorithm: "md5".into(),
            encoding: "big_endian_uint32".into(),
            modulo,
            format: "partition-%d".into(),
        }
    }

    #[test]
    fn every_key_has_one_primary_and_its_replicas() {
        let table = layout(3, 2, &["1 2", "2 3", "3 1", "1 2"]);
        let spread = distribute(&generated(1000), &hash(4), &table);
        let sum = |of: fn(&Share) -> u64| spread.nodes.iter().map(of).sum::<u64>();
        assert_eq!(
            (sum(|share| share.primary), sum(|share| share.replica)),
            (1000, 1000)
        );
        assert!(
            spread.nodes[0].primary > spread.nodes[1].primary,
            "node-1 leads two of the four partitions"
        );
        assert_eq!(spread.primary.max, spread.nodes[0].primary);
        assert_eq!(spread.nodes[1].node, "node-2");
        assert!((spread.copies.mean - 2000.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn keys_follow_their_partition() {
        let before = layout(2, 1, &["1", "2"]);
        let after = layout(2, 1, &["2", "2"]);
        let keys = generated(100);
        let in_first = keys.iter().filter(|key| hash(2).partition(key) == 0).count();
        assert_eq!(rerouted(&keys, &hash(2), &before, &after), in_first);
        assert_eq!(rerouted(&keys, &hash(2), &before, &before), 0);
    }

    #[test]
    fn a_table_that_is_not_there_yet_takes_no_key() {
        let spread = distribute(&generated(10), &hash(4), &layout(2, 1, &[]));
        assert_eq!(spread.nodes.iter().map(|share| share.primary).sum::<u64>(), 0);
    }
}
