//! Three nodes in one process: they form a cluster, are told what to copy, route a key, write and read.
//!
//! `cargo run -p clusterkit-example-rust`. The part between the `[quick start]` marks is the README's; a test
//! holds the two equal. A program whose threads may block uses `ClusterKit` in place of `AsyncClusterKit`: the same calls
//! without `await`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use clusterkit::Result;
use clusterkit::model::PartitionState;
use clusterkit::prelude::*;
use futures_util::StreamExt;

const TIMEOUT: Duration = Duration::from_secs(10);
const KEY: &[u8] = b"user:123";

// Any executor will do: ClusterKit's work runs on its own threads.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let first = start("node-1", &[]).await?;
    let address = first.http_addr().unwrap_or_default();
    let second = start("node-2", &[&address]).await?;
    let third = start("node-3", &[&address]).await?;
    let nodes = [first, second, third];
    wait_for_copies(&nodes[0]).await?;

    println!("{} nodes", nodes[0].view().nodes().len());
    if let Some(partition) = nodes[0].view().partition(KEY) {
        println!(
            "user:123 is in {}, with {} copies",
            partition.id(),
            partition.nodes().count()
        );
    }
    for node in &nodes {
        node.wait_for_revision(nodes[0].view().revision(), TIMEOUT)
            .await?;
        println!("{}: {}", node.my_node_id(), serve(node));
    }
    write_and_read(&nodes[2], &nodes[1]).await?;

    // The last to join is the first to go: each hands over what it has to those that stay.
    for node in nodes.iter().rev() {
        node.stop().await?;
    }
    println!("stopped");
    Ok(())
}

// [quick start]
async fn start(id: &str, members: &[&str]) -> Result<AsyncClusterKit> {
    let options = Options::builder(id, "127.0.0.1:0") // a name, and where to listen: 0 takes any free port
        .join_addrs(members.iter().copied()) // none: it founds a cluster
        .data_dir("") // in memory; leave this line out to be durable
        .build()?;
    let node = AsyncClusterKit::new(options)?;
    let me = node.my_node_id().clone();
    node.on(EventType::PartitionChange, move |event| {
        on_partition_change(&me, event)
    })?; // copy your data here
    node.start().await?; // resolves when the node is a member
    Ok(node)
}

fn serve(node: &AsyncClusterKit) -> String {
    match node.should_handle_key(KEY) {
        Some(Role::Primary) => "I take its writes".to_owned(),
        Some(Role::Replica) => "I hold a copy".to_owned(),
        None => format!("ask {:?}", node.view().primary_node(KEY).map(|owner| &owner.ip)),
    }
}
// [/quick start]

/// Where an application copies and drops its own data. Every node hears of the changes of all; it acts on its own.
fn on_partition_change(me: &NodeId, event: &Event) -> Result<(), String> {
    let EventKind::PartitionChange(change) = &event.kind else {
        return Ok(());
    };
    if change.node_id != *me {
        return Ok(());
    }
    match change.change {
        // Fetch the partition from one of `copy_from_nodes`, and return Ok when all of it is here: the cluster
        // takes that as the confirmation. After an Err the call is made again.
        RoleChange::GainedReplica => Ok(()),
        // Hand `change.epoch` to the storage as a fencing token, so that an earlier primary cannot write any more.
        RoleChange::GainedPrimary => Ok(()),
        // The data may be deleted.
        RoleChange::LostCopy => Ok(()),
        _ => Ok(()),
    }
}

/// Waits until every partition is where it should be among the three nodes, which events tell.
async fn wait_for_copies(node: &AsyncClusterKit) -> Result<()> {
    // Subscribed before the first look, so that no change is missed.
    let mut events = node.events()?;
    let settled = || {
        let view = node.view();
        let ok = view
            .partitions()
            .all(|partition| partition.state() == PartitionState::Ok);
        ok && view.nodes().len() == 3
    };
    while !settled() {
        events.next().await;
    }
    Ok(())
}

/// A small replicated store comes with it. Any node takes a write; one that must see it waits for its revision.
async fn write_and_read(writer: &AsyncClusterKit, reader: &AsyncClusterKit) -> Result<()> {
    let revision = writer
        .set_custom_data("greeting", "hello", Expect::Any, TIMEOUT)
        .await?;
    reader.wait_for_revision(revision, TIMEOUT).await?;
    if let Some(entry) = reader.custom_data("greeting") {
        println!("greeting: {}", String::from_utf8_lossy(&entry.value));
    }
    Ok(())
}
