//! The command line of `health`.

use std::time::Duration;

use clap::Args;

use super::duration;

pub(super) const HEALTH_HELP: &str = "\
For probes of containers, which have no shell and no curl, and for what may end a process. Whether a node is alive and ready
everybody may ask. --settled needs to read: without a token one is made from the secret in the environment, as a node reads it.

A cluster is settled when a leader is known, every partition has a primary and all of its copies (as many as there are
members, where these are fewer), and nothing moves. Then any one node may be restarted.

Examples:
  clusterkit health
  clusterkit health --ready --wait 30s
  clusterkit health --settled --wait 60s --for 3s   before a node is restarted";

/// `health`.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// Is the node well, and has every partition a primary?
    #[arg(long, conflicts_with = "settled")]
    pub(crate) ready: bool,

    /// Is every copy made, and does nothing move?
    #[arg(long)]
    pub(crate) settled: bool,

    /// Ask again for at most so long until the answer is yes
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) wait: Option<Duration>,

    /// The answer has to be yes for so long
    #[arg(long = "for", value_parser = duration, value_name = "DURATION")]
    pub(crate) hold: Option<Duration>,
}

impl HealthArgs {
    /// What the node is when the answer is yes.
    pub(crate) fn word(&self) -> &'static str {
        if self.settled {
            "settled"
        } else if self.ready {
            "ready"
        } else {
            "alive"
        }
    }
}
