//! Clusters whose nodes have a network of their own: each a process in a network namespace.

use std::path::Path;

use ck_tests::{Api, Network};
use tempfile::TempDir;

use crate::Outcome;
use crate::cluster::until;
use crate::process::NodeProcess;

/// Where the nodes listen.
const PORT: u16 = 7000;

/// A cluster, its network, and a client of each node, which the network's cuts do not touch.
pub(crate) struct Spaces {
    pub(crate) apis: Vec<Api>,
    /// Dropped before their network.
    nodes: Vec<NodeProcess>,
    pub(crate) network: Network,
    _dir: TempDir,
}

impl Spaces {
    /// A cluster at rest; none, and said so, where the system has no namespaces for this process.
    pub(crate) fn formed(dir: &Path, count: usize) -> Outcome<Option<Self>> {
        let network = match Network::make(count) {
            Ok(network) => network,
            Err(error) => {
                println!("  not measured, there are no network namespaces here: {error}");
                return Ok(None);
            }
        };
        let dir = tempfile::Builder::new().prefix("ck-bench-").tempdir_in(dir)?;
        let addr = |place| format!("{}:{PORT}", network.host(place));
        let founder = addr(0);
        let mut nodes = Vec::new();
        for place in 0..count {
            let (space, id) = (network.space(place), format!("node-{place}"));
            let join = (place > 0).then_some(&*founder);
            let mut node = NodeProcess::spawn_within(&space, &addr(place), dir.path(), &id, join)?;
            node.wait_until_started()?;
            nodes.push(node);
        }
        let spaces = Spaces {
            apis: (0..count).map(|place| Api::new(&addr(place))).collect(),
            nodes,
            network,
            _dir: dir,
        };
        spaces.wait_until_formed()?;
        Ok(Some(spaces))
    }

    /// Waits until every node sees all members, and all copies in place.
    pub(crate) fn wait_until_formed(&self) -> Outcome {
        until("all copies in place on every node", || {
            self.apis.iter().all(|api| self.is_formed(api))
        })
    }

    fn is_formed(&self, api: &Api) -> bool {
        let wanted = self.nodes.len().min(3) - 1;
        api.cluster().is_ok_and(|snapshot| {
            snapshot.cluster.nodes.len() == self.nodes.len()
                && snapshot.cluster.partition_map.partitions.values().all(|record| {
                    record.replica_nodes.len() == wanted
                        && record.pending.is_empty()
                        && !record.primary_node.is_empty()
                })
        })
    }

    /// The place of the node that leads, and its epoch.
    pub(crate) fn leader(&self) -> Outcome<(usize, u64)> {
        let mut found = None;
        until("a leader on whom all agree", || {
            let leaders: Option<Vec<_>> = self.apis.iter().map(|api| api.leader().ok()).collect();
            found = leaders.and_then(|leaders| {
                let first = leaders.first()?;
                let agreed = leaders.iter().all(|leader| leader.epoch == first.epoch);
                let place = first.leader_id.strip_prefix("node-")?.parse().ok()?;
                agreed.then_some((place, first.epoch))
            });
            found.is_some()
        })?;
        found.ok_or_else(|| "nobody leads".into())
    }
}
