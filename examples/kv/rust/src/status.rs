//! What a server prints of itself.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a program's output"
)]

use std::sync::Weak;
use std::time::Duration;

use clusterkit::LogLevel;

use crate::replication::Kv;

/// The time between two prints.
const STATUS_PERIOD: Duration = Duration::from_secs(15);

/// Writes a message of ClusterKit's log; those that begin with `audit` say who changed what.
pub(crate) fn log(level: LogLevel, message: &str) {
    eprintln!("{} {message}", level.name());
}

/// Prints the status until the server is gone.
pub(crate) async fn print(kv: Weak<Kv>) {
    loop {
        tokio::time::sleep(STATUS_PERIOD).await;
        let Some(kv) = kv.upgrade() else {
            return;
        };
        let local_keys = kv.store.run(|copies| Ok(copies.live())).await.unwrap_or_default();
        let cluster = kv.node.view().topology().config.cluster_name.clone();
        let (view, raft) = (kv.node.view(), kv.node.consensus_stats());
        let mut lines = vec![
            "=== Cluster Status ===".to_owned(),
            format!("Cluster: {cluster}"),
            format!("Total Nodes: {}", view.nodes().len()),
            format!("Partitions: {}", view.partition_count()),
            format!("Local Keys: {local_keys}"),
            format!("Leader: {}", raft.is_leader),
            format!("Raft State: {}", raft.state),
        ];
        let nodes = view.nodes().iter();
        lines.extend(nodes.map(|node| {
            format!(
                "  - {} ({}) at {} [{}]",
                node.name,
                node.id,
                node.ip,
                node.status.as_str()
            )
        }));
        println!("{}\n======================", lines.join("\n"));
    }
}

impl Kv {
    /// A line for people.
    pub(crate) fn log(&self, line: &str) {
        eprintln!("{}: {line}", self.node.my_node_id());
    }
}
