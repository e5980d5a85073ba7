//! What an administrator orders.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::duration;

pub(super) const REBALANCE_HELP: &str = "\
Examples:
  clusterkit rebalance --dry-run   what would move
  clusterkit rebalance
  clusterkit rebalance --status    what moves, and what it waits for";

/// `rebalance`.
#[derive(Debug, Args)]
pub(crate) struct RebalanceArgs {
    /// Only say what would move
    #[arg(long, conflicts_with = "status")]
    pub(crate) dry_run: bool,

    /// Only say what moves now, how far it is, and why it waits
    #[arg(long)]
    pub(crate) status: bool,
}

/// `remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The member's id
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) node: String,

    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// Even where it is the last that holds the data of a partition, which is lost then
    #[arg(long)]
    pub(crate) force: bool,
}

pub(super) const RECOVER_HELP: &str = "\
For a partition that is lost: whoever held its data last will not come back. What the node has is the data from then on: what
it missed is gone, and a better copy that does come back is overwritten.

Examples:
  clusterkit partitions --state lost
  clusterkit recover partition-5 --from node-2         asks first
  clusterkit recover partition-5 --from node-2 --yes   for scripts";

/// `recover`.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// The partition: partition-5 or 5
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) partition: String,

    /// The node whose copy is to count
    #[arg(long, value_name = "NODE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) from: String,

    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// Even where a node that is up holds the data, and where that node holds no copy
    #[arg(long)]
    pub(crate) force: bool,
}

pub(super) const LEAVE_HELP: &str = "\
What the node has is copied elsewhere first, which may take a while. With --wait the command returns when the node is out
and its process can be ended; it watches from the other members. Without, it returns at once.

Examples:
  clusterkit leave --addr 10.0.0.5:8080                    asks first
  clusterkit leave --addr 10.0.0.5:8080 --yes --wait 10m   for scripts: before its process is ended";

/// `leave`.
#[derive(Debug, Args)]
pub(crate) struct LeaveArgs {
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// Wait for at most so long until the node is out
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) wait: Option<Duration>,
}

pub(super) const MAINTENANCE_HELP: &str = "\
Examples:
  clusterkit maintenance on --reason kernels   before many nodes are restarted
  clusterkit maintenance status
  clusterkit maintenance off";

/// `maintenance`.
#[derive(Debug, Subcommand)]
pub(crate) enum MaintenanceCommand {
    /// Plan no moves from now on
    #[command(
        after_help = "Examples:\n  clusterkit maintenance on\n  clusterkit maintenance on --reason kernels"
    )]
    On {
        /// What it is for, for people
        #[arg(long, value_parser = NonEmptyStringValueParser::new(), value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Plan moves again
    #[command(after_help = "Examples:\n  clusterkit maintenance off")]
    Off,
    /// Say whether moves are planned
    #[command(after_help = "Examples:\n  clusterkit maintenance status --json")]
    Status,
}

pub(super) const STEP_DOWN_HELP: &str = "\
Refused, with the reason, where nobody could take over.

Examples:
  clusterkit step-down
  clusterkit step-down --to node-2
  clusterkit step-down --cooldown 30s   the old leader does not stand for election meanwhile";

/// `step-down`.
#[derive(Debug, Args)]
pub(crate) struct StepDownArgs {
    /// Who is to lead
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), value_name = "NODE")]
    pub(crate) to: Option<String>,

    /// For how long the old leader does not stand for election, an hour at most [default: two election timeouts]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) cooldown: Option<Duration>,
}

pub(super) const PROMOTE_HELP: &str = "\
Examples:
  clusterkit promote node-2";

/// `promote`.
#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// Who is to lead
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) node: String,
}

pub(super) const DEMOTE_HELP: &str = "\
Examples:
  clusterkit demote
  clusterkit demote --cooldown 10m";

/// `demote`.
#[derive(Debug, Args)]
pub(crate) struct DemoteArgs {
    /// For how long the old leader does not stand for election, an hour at most
    #[arg(long, default_value = "1m", value_parser = duration, value_name = "DURATION")]
    pub(crate) cooldown: Duration,
}
