//! At no instant do two nodes hold leadership of the cluster, and an epoch is led by one.

use std::collections::BTreeMap;

use clusterkit::sim::SimNode;

/// Who led with which epoch.
#[derive(Default)]
pub(crate) struct OneLeader {
    epochs: BTreeMap<u64, String>,
    highest: u64,
}

impl OneLeader {
    pub(crate) fn check(&mut self, up: &[SimNode]) -> Result<(), String> {
        let leaders: Vec<&SimNode> = up.iter().filter(|node| node.is_leader()).collect();
        if let [one, other, ..] = leaders[..] {
            return Err(format!(
                "{} (epoch {:?}) and {} (epoch {:?}) both lead",
                one.id(),
                one.leader_epoch().ok(),
                other.id(),
                other.leader_epoch().ok()
            ));
        }
        let Some((leader, epoch)) = leaders
            .first()
            .and_then(|node| Some((node.id(), node.leader_epoch().ok()?)))
        else {
            return Ok(());
        };
        if epoch < self.highest {
            return Err(format!(
                "{leader} leads with epoch {epoch} after {} was led",
                self.highest
            ));
        }
        self.highest = epoch;
        let known = self.epochs.entry(epoch).or_insert_with(|| leader.to_string());
        if **known != **leader {
            return Err(format!("{known} and {leader} led with epoch {epoch}"));
        }
        Ok(())
    }
}
