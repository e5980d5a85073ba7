//! What the commands of the scripts propose.

use std::error::Error;

use super::{Cluster, ClusterCommand};
use crate::model::{LeaveReason, RebalanceTrigger, Target, whole_millis};
use crate::state::{Command, CopyLimit, Expect, Grant, Proposal};

impl Cluster {
    /// The proposal that a command of a script stands for.
    pub(super) fn proposed(&self, command: &ClusterCommand) -> Result<Proposal, Box<dyn Error>> {
        use ClusterCommand as C;
        let mut under_epoch = None;
        let mut of_session = (0, 0, 0);
        let command = match command {
            C::Join {
                node,
                zone,
                weight,
                raft_id,
            } => {
                let mut join = self.lab.join(node, self.next_process(), *raft_id);
                if let Command::Join { node, .. } = &mut join {
                    node.zone.clone_from(zone);
                    node.weight = weight.unwrap_or(node.weight);
                }
                join
            }
            C::Rejoin {
                node,
                wiped,
                silent,
                promote,
                unleased_from: unleased,
                again,
            } => {
                let process = match self.state().process_of(node) {
                    Some(present) if *again => present,
                    _ => self.next_process(),
                };
                let raft_id = (!wiped).then(|| self.lab.node(node).raft_id);
                let mut join = self.lab.join(node, process, raft_id);
                if let Command::Join {
                    promotions,
                    silent_ms,
                    unleased_from,
                    ..
                } = &mut join
                {
                    *promotions = self.successors(node, promote.as_deref());
                    *silent_ms = silent.map_or(0, |silent| whole_millis(*silent));
                    *unleased_from = *unleased;
                }
                join
            }
            C::Activate { node } => self.lab.activate(node),
            C::MarkDown {
                node,
                silent,
                promote,
                unleased_from: unleased,
                incarnation: of,
                under,
            } => {
                under_epoch = *under;
                let successors = self.successors(node, promote.as_deref());
                let mut down = self.mark_down(node, LeaveReason::HealthCheckFailure, successors);
                if let Command::MarkDown {
                    silent_ms,
                    incarnation,
                    unleased_from,
                    ..
                } = &mut down
                {
                    *silent_ms = silent.map_or(0, |silent| whole_millis(*silent));
                    *incarnation = of.unwrap_or(*incarnation);
                    *unleased_from = *unleased;
                }
                down
            }
            C::Stop { node } => self.lab.mark_down(node, LeaveReason::GracefulShutdown),
            C::Leave { node } => Command::Leave {
                node: node.as_str().into(),
                incarnation: self.lab.node(node).incarnation,
            },
            C::Remove { node, force, drained } => {
                let reason = if *drained {
                    LeaveReason::GracefulShutdown
                } else {
                    LeaveReason::RemovedByAdmin
                };
                let mut remove = self.lab.remove(node, reason);
                if let Command::Remove { keep_last, .. } = &mut remove {
                    *keep_last = !force;
                }
                remove
            }
            C::ReportHealth { node, health, reason } => Command::ReportHealth {
                node: node.as_str().into(),
                incarnation: self.lab.node(node).incarnation,
                health: health.0,
                reason: reason.clone(),
            },
            C::Elected { node, term } => Command::LeaderElected {
                node: node.as_str().into(),
                term: *term,
            },
            C::CreatePartitions { holders } => Command::CreatePartitions {
                assignments: holders.iter().map(|holders| holders.0.clone()).collect(),
                planned_on: self.state().topology_revision(),
            },
            C::SetTarget {
                trigger,
                node,
                planned_on,
                node_limit,
                cluster_limit,
                targets,
            } => {
                let targets: Vec<(u32, Target)> = targets.iter().map(|(n, to)| (*n, to.0.clone())).collect();
                Command::Plan {
                    trigger: trigger.as_ref().map_or(RebalanceTrigger::Manual, |word| word.0),
                    trigger_node: node.as_deref().unwrap_or_default().into(),
                    targets,
                    planned_on: planned_on.unwrap_or(self.state().topology_revision()),
                    limit: CopyLimit {
                        node: *node_limit,
                        cluster: *cluster_limit,
                    },
                }
            }
            C::Confirm {
                node,
                partition,
                since,
                incarnation: of,
                at_once: without_hook,
            } => {
                let mut confirm = self.lab.confirm(node);
                if let Command::Confirm {
                    incarnation,
                    partitions,
                    at_once,
                    ..
                } = &mut confirm
                {
                    partitions.retain(|(number, _)| partition.is_none_or(|only| only == *number));
                    if let (Some(number), Some(since)) = (partition, since) {
                        *partitions = vec![(*number, *since)];
                    }
                    *incarnation = of.unwrap_or(*incarnation);
                    *at_once = *without_hook;
                }
                confirm
            }
            C::Reconfirm { node } => self.lab.reconfirm(node, false),
            C::Release => self.lab.release(),
            C::Grant { under, grants } => {
                under_epoch = *under;
                if grants.is_empty() {
                    self.lab.grant()
                } else {
                    let grant = |(number, to): &(u32, String)| Grant {
                        number: *number,
                        epoch: self.topology().partitions[*number as usize].epoch,
                        to: to.as_str().into(),
                    };
                    Command::Grant {
                        grants: grants.iter().map(grant).collect(),
                    }
                }
            }
            C::Abandon { node } => self.lab.abandon_copies(node),
            C::Recover {
                partition,
                node,
                force,
            } => Command::Recover {
                number: *partition,
                from: node.as_str().into(),
                force: *force,
            },
            C::Maintenance { reason } => Command::Maintenance {
                reason: Some(reason.clone()),
            },
            C::EndMaintenance => Command::Maintenance { reason: None },
            C::Set {
                key,
                value,
                expect,
                session,
                seq,
                low,
            } => {
                of_session = (*session, *seq, *low);
                Command::SetData {
                    key: key.clone(),
                    value: value.clone().into(),
                    expect: condition(expect.as_deref())?,
                }
            }
            C::Delete {
                key,
                expect,
                session,
                seq,
                low,
            } => {
                of_session = (*session, *seq, *low);
                Command::DeleteData {
                    key: key.clone(),
                    expect: condition(expect.as_deref())?,
                }
            }
            _ => unreachable!("carried out without a proposal"),
        };
        let mut proposal = self.proposal(command);
        proposal.epoch = under_epoch;
        (proposal.session, proposal.seq, proposal.low) = of_session;
        Ok(proposal)
    }
}

fn condition(text: Option<&str>) -> Result<Expect, std::num::ParseIntError> {
    Ok(match text {
        None => Expect::Any,
        Some("absent") => Expect::Absent,
        Some(revision) => Expect::Revision(revision.parse()?),
    })
}
