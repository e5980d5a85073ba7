//! The commands of the scripts.

use goldenscript::Command as Raw;

use super::{Cluster, Output};
use crate::model::{NodeHealthState, RebalanceTrigger};
use crate::scenarios::{Holders, Word, partitions};

/// What a script of a cluster may say. `a/b` names the holders of a partition, its primary first.
#[derive(goldenscript::Command)]
pub(crate) enum ClusterCommand {
    /// Time passes.
    #[command(name = "advance")]
    Advance { time: humantime::Duration },

    /// The first node founds a cluster; the others join it and catch up.
    #[command(name = "cluster")]
    Cluster {
        nodes: Vec<String>,
        #[arg(key, optional)]
        partitions: Option<u32>,
        #[arg(key = "replication-factor", optional)]
        replication_factor: Option<u32>,
    },
    /// A node is admitted that is no member; it has to catch up with the log.
    #[command(name = "join")]
    Join {
        node: String,
        #[arg(key)]
        zone: Option<String>,
        #[arg(key)]
        weight: Option<u32>,
        /// It brings a log, in which it has this Raft id.
        #[arg(key = "raft-id")]
        raft_id: Option<u64>,
    },
    /// A new process of a member is admitted: with the log of the one before, unless its disk was wiped.
    #[command(name = "rejoin")]
    Rejoin {
        node: String,
        #[arg(key, optional)]
        wiped: bool,
        #[arg(key)]
        silent: Option<humantime::Duration>,
        #[arg(key)]
        promote: Option<String>,
        #[arg(key = "unleased-from")]
        unleased_from: Option<u64>,
        /// Joins again with the number of this process, as after an answer that was lost.
        #[arg(key, optional)]
        again: bool,
    },
    /// A joining node has caught up.
    #[command(name = "activate")]
    Activate { node: String },
    /// A member is failed: it was silent.
    #[command(name = "mark-down")]
    MarkDown {
        node: String,
        #[arg(key)]
        silent: Option<humantime::Duration>,
        #[arg(key)]
        promote: Option<String>,
        #[arg(key = "unleased-from")]
        unleased_from: Option<u64>,
        #[arg(key)]
        incarnation: Option<u64>,
        /// The leader epoch under which this was decided.
        #[arg(key)]
        under: Option<u64>,
    },
    /// A member stops in an orderly way.
    #[command(name = "stop")]
    Stop { node: String },
    /// A member begins to leave: it is drained.
    #[command(name = "leave")]
    Leave { node: String },
    /// A member is removed: by an administrator, or because it is drained.
    #[command(name = "remove")]
    Remove {
        node: String,
        #[arg(key, optional)]
        force: bool,
        #[arg(key, optional)]
        drained: bool,
    },
    /// The application on a node reports its health.
    #[command(name = "report-health")]
    ReportHealth {
        node: String,
        health: Word<NodeHealthState>,
        #[arg(key, optional)]
        reason: String,
    },
    /// A leader commits its first command.
    #[command(name = "elected")]
    Elected {
        node: String,
        #[arg(key)]
        term: u64,
    },
    /// The nodes that vote from now on.
    #[command(name = "voters")]
    Voters { nodes: Vec<String> },

    /// All partitions are created, one for each argument.
    #[command(name = "create-partitions")]
    CreatePartitions { holders: Vec<Holders> },
    /// Partitions get a target: `set-target 0=b/c`.
    #[command(name = "set-target")]
    SetTarget {
        #[arg(key)]
        trigger: Option<Word<RebalanceTrigger>>,
        #[arg(key)]
        node: Option<String>,
        /// The revision that the plan was made on.
        #[arg(key = "planned-on")]
        planned_on: Option<u64>,
        /// How many copies a node makes at a time.
        #[arg(key = "node-limit", optional)]
        node_limit: u32,
        /// How many copies all nodes make at a time.
        #[arg(key = "cluster-limit", optional)]
        cluster_limit: u32,
        targets: Vec<(u32, Holders)>,
    },
    /// A node confirms the pending copies that it was assigned, or the one that a script names.
    #[command(name = "confirm")]
    Confirm {
        node: String,
        #[arg(key)]
        partition: Option<u32>,
        /// The revision that assigned the copy.
        #[arg(key)]
        since: Option<u64>,
        #[arg(key)]
        incarnation: Option<u64>,
        /// The node has no hook that copies.
        #[arg(key = "at-once", optional)]
        at_once: bool,
    },
    /// A node is asked to confirm its copies again, because its hook was registered late.
    #[command(name = "reconfirm")]
    Reconfirm { node: String },
    /// The primary role is taken from the holders of partitions whose target is ready.
    #[command(name = "release")]
    Release,
    /// The role of partitions without a primary is granted: to their target, or to who the script names.
    #[command(name = "grant")]
    Grant {
        #[arg(key)]
        under: Option<u64>,
        #[arg(optional)]
        grants: Vec<(u32, String)>,
    },
    /// The pending copies of a node are abandoned.
    #[command(name = "abandon")]
    Abandon { node: String },
    /// A person accepts a copy as the data.
    #[command(name = "recover")]
    Recover {
        partition: u32,
        node: String,
        #[arg(key, optional)]
        force: bool,
    },
    /// Maintenance begins.
    #[command(name = "maintenance")]
    Maintenance { reason: String },
    /// Maintenance ends.
    #[command(name = "end-maintenance")]
    EndMaintenance,

    /// A value is written; `expect` is `absent` or the revision that wrote the present one.
    #[command(name = "set")]
    Set {
        key: String,
        value: String,
        #[arg(key)]
        expect: Option<String>,
        #[arg(key, optional)]
        session: u64,
        #[arg(key, optional)]
        seq: u64,
        #[arg(key, optional)]
        low: u64,
    },
    /// A value is deleted.
    #[command(name = "delete")]
    Delete {
        key: String,
        #[arg(key)]
        expect: Option<String>,
        #[arg(key, optional)]
        session: u64,
        #[arg(key, optional)]
        seq: u64,
        #[arg(key, optional)]
        low: u64,
    },
    /// Prints a value.
    #[command(name = "get")]
    Get { key: String },

    /// From here on the node applies no more of the log.
    #[command(name = "lag")]
    Lag { node: String },
    /// The node that lags is given a snapshot instead of the log; prints the events that it emits.
    #[command(name = "install-snapshot")]
    InstallSnapshot { node: String },
    /// An application registers its hook late; prints the events that it is called with.
    #[command(name = "register-hook")]
    RegisterHook { node: String },
    /// Prints the members.
    #[command(name = "nodes")]
    Nodes,
    /// Prints the partitions.
    #[command(name = "partitions")]
    Partitions,
}

impl Cluster {
    /// Carries out a command of the cluster for a runner that knows more commands.
    pub(crate) fn carry_out_raw(&mut self, command: &Raw) -> Output {
        self.carry_out(&ClusterCommand::try_from(command)?)
    }

    pub(super) fn carry_out(&mut self, command: &ClusterCommand) -> Output {
        use ClusterCommand as C;
        match command {
            C::Advance { time } => {
                self.advance(**time);
                Ok(String::new())
            }
            C::Cluster {
                nodes,
                partitions,
                replication_factor,
            } => self.found(nodes, partitions.unwrap_or(1), replication_factor.unwrap_or(1)),
            C::Voters { nodes } => {
                let voters = nodes.iter().map(|node| self.lab.node(node).raft_id);
                self.vote(voters.collect());
                Ok(String::new())
            }
            C::Lag { node } => {
                self.lagging.insert(node.as_str().into(), self.topology().clone());
                Ok(String::new())
            }
            C::InstallSnapshot { node } => self.install_snapshot(node),
            C::RegisterHook { node } => Ok(self.register_hook(node)),
            C::Get { key } => Ok(self.get(key)),
            C::Nodes => Ok(self.nodes()),
            C::Partitions => Ok(partitions(self.topology())),
            _ => {
                let proposal = self.proposed(command)?;
                self.apply(proposal)
            }
        }
    }
}
