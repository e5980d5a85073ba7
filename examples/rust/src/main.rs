//! Three nodes in one process: they form a cluster, are told what to copy, route a key, write and read.
//!
//! `cargo run -p clusterkit-example-rust`. The part between the `[quick start]` marks is the README's; a test
//! holds the two equal.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use clusterkit::hooks::EventType;
use clusterkit::model::{Event, EventKind, NodeId, PartitionState, Role, RoleChange};
use clusterkit::state::Expect;
use clusterkit::{ClusterKit, Error, ErrorCode, Options, Result};

const TIMEOUT: Duration = Duration::from_secs(10);
const KEY: &[u8] = b"user:123";

fn main() -> Result<()> {
    let first = start("node-1", &[])?;
    let address = first.http_addr().unwrap_or_default();
    // Told when partitions have moved: registered before there is anything to move.
    let (sender, moved) = channel();
    first.on(EventType::RebalanceComplete, move |_| {
        sender.send(()).map_err(|error| error.to_string())
    })?;
    let members = [&address].map(String::as_str);
    let nodes = [first, start("node-2", &members)?, start("node-3", &members)?];
    wait_for_copies(&nodes[0], &moved)?;

    println!("{} nodes", nodes[0].view().nodes().len());
    if let Some(partition) = nodes[0].view().partition(KEY) {
        println!(
            "user:123 is in {}, with {} copies",
            partition.id(),
            partition.nodes().count()
        );
    }
    for node in &nodes {
        node.wait_for_revision(nodes[0].view().revision(), TIMEOUT)?;
        println!("{}: {}", node.my_node_id(), serve(node));
    }
    write_and_read(&nodes[2], &nodes[1])?;

    // The last to join is the first to go: each hands over what it has to those that stay.
    for node in nodes.iter().rev() {
        node.stop()?;
    }
    println!("stopped");
    Ok(())
}

// [quick start]
fn start(id: &str, members: &[&str]) -> Result<ClusterKit> {
    let mut options = Options::new(id, "127.0.0.1:0"); // a name, and where to listen: 0 takes any free port
    options.join_addrs = members.iter().map(ToString::to_string).collect(); // none: it founds a cluster
    options.data_dir = String::new(); // in memory; leave this line out to be durable
    let node = ClusterKit::new(options)?;
    let me = node.my_node_id().clone();
    node.on(EventType::PartitionChange, move |event| {
        on_partition_change(&me, event)
    })?; // copy your data here
    node.start()?; // returns when the node is a member
    Ok(node)
}

fn serve(node: &ClusterKit) -> String {
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

/// Waits until every partition is where it should be among the three nodes.
fn wait_for_copies(node: &ClusterKit, moved: &Receiver<()>) -> Result<()> {
    let settled = || {
        let view = node.view();
        let ok = view
            .partitions()
            .all(|partition| partition.state() == PartitionState::Ok);
        ok && view.nodes().len() == 3
    };
    while !settled() {
        moved
            .recv_timeout(TIMEOUT)
            .map_err(|error| Error::new(ErrorCode::Timeout, format!("the copies were not made: {error}")))?;
    }
    Ok(())
}

/// A small replicated store comes with it. Any node takes a write; one that must see it waits for its revision.
fn write_and_read(writer: &ClusterKit, reader: &ClusterKit) -> Result<()> {
    let revision = writer.set_custom_data("greeting", "hello", Expect::Any, TIMEOUT)?;
    reader.wait_for_revision(revision, TIMEOUT)?;
    if let Some(entry) = reader.custom_data("greeting") {
        println!("greeting: {}", String::from_utf8_lossy(&entry.value));
    }
    Ok(())
}
