//! All faults end: the cluster comes to rest, serves, and has everything that it promised.

use std::time::Duration;

use clusterkit::Expect;
use clusterkit::env;
use clusterkit::env::disk::Faults;
use clusterkit::model::{NodeId, Partition};
use clusterkit::net::sim::ResolverMode;
use clusterkit::sim::SimNode;

use crate::client::SharedBook;
use crate::drills;
use crate::invariants::{Claim, placement};
use crate::world::World;

/// How long it may take until nothing moves any more.
const REST: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(200);

/// Ends all trouble, and sees to it that every node runs.
pub(crate) fn calm(world: &World) {
    world.be_calm();
    world.network.heal();
    world.network.calm();
    world.network.set_resolver(ResolverMode::Answers);
    for addr in world.addrs() {
        world.network.set_rate(&addr, None);
    }
    let n = world.count();
    for i in 0..n {
        if let Some(node) = world.node(i) {
            node.sim_process().resume();
            node.disk().set_faults(Faults::default());
            node.disk().hang(false);
        }
    }
    world.trace.add(format_args!("all faults end"));
}

/// Whoever runs the nodes starts those again that cannot go on.
fn supervise(world: &World) {
    for i in 0..world.count() {
        let (node, removed) = {
            let slots = world.slots();
            (slots[i].node.clone(), slots[i].removed)
        };
        let refusal = node.as_ref().and_then(SimNode::refusal);
        let failed = node
            .as_ref()
            .is_none_or(|node| !node.is_up() || node.has_failed());
        if failed || removed || refusal.is_some() {
            if let Some(why) = &refusal {
                world
                    .trace
                    .add(format_args!("{} was refused: {why}", World::id(i)));
            }
            world.kill(i, None);
            if removed || refusal.is_some() {
                world.wipe(i);
            }
            world.boot(i, false);
        }
    }
}

fn unrest(world: &World) -> Option<String> {
    let n = world.count();
    let ready = world.ready();
    if ready.len() < n {
        let complaints: Vec<String> = (0..n)
            .filter_map(|i| world.node(i))
            .filter_map(|node| Some(format!("{}: {}", node.id(), node.unhealthy_reason()?)))
            .collect();
        return Some(format!("{} of {n} nodes run: {complaints:?}", ready.len()));
    }
    let mut claimed = 0;
    let mut partitions = 0;
    for node in &ready {
        let topology = node.topology();
        if let Some(complaint) = node.unhealthy_reason() {
            return Some(format!("{}: {complaint}", node.id()));
        }
        if topology.nodes.len() != n || topology.active_count() != n {
            return Some(format!(
                "{} sees {} members, {} active",
                node.id(),
                topology.nodes.len(),
                topology.active_count()
            ));
        }
        let is_lost = |number| world.checks().held.is_lost(number);
        let lost = |partition: &Partition| partition.primary.is_none() && is_lost(partition.number);
        let moving = topology.partitions.iter().find(|partition| {
            let moves =
                partition.primary.is_none() || partition.target.is_some() || partition.pending().count() > 0;
            moves && !lost(partition)
        });
        // Whoever counts as holding the data was asked, and has it.
        let unproven = topology.partitions.iter().find(|partition| {
            let lacks = |id: &NodeId| world.checks().held.lacks(id, partition.number);
            partition.copies.iter().any(|copy| copy.unhooked) || partition.synced().any(lacks)
        });
        if let Some(partition) = unproven {
            return Some(format!(
                "{} sees copies that nobody has: {partition:?}",
                node.id()
            ));
        }
        if topology.partitions.is_empty() || moving.is_some() {
            return Some(format!("{} sees {moving:?}", node.id()));
        }
        if let Err(what) = placement::check(&topology, lost) {
            return Some(what);
        }
        partitions = topology
            .partitions
            .iter()
            .filter(|partition| !lost(partition))
            .count();
        claimed += node.claims().len();
    }
    (claimed != partitions).then(|| format!("{claimed} of {partitions} partitions are served"))
}

/// Waits for rest.
async fn rest(world: &World) -> Result<(), String> {
    let mut steps = REST.as_millis() / STEP.as_millis();
    loop {
        supervise(world);
        env::sleep(STEP).await;
        let Some(why) = unrest(world) else { return Ok(()) };
        if steps == 0 {
            return Err(why);
        }
        steps -= 1;
    }
}

/// The second half of a run.
pub(crate) async fn check(world: &World, book: &SharedBook) {
    if let Err(why) = rest(world).await {
        let claim = if why.starts_with("copies per node") {
            Claim::Placement
        } else {
            Claim::Converges
        };
        for node in (0..world.count()).filter_map(|i| world.node(i)) {
            world
                .trace
                .add(format_args!("{}: {}", node.id(), node.raft_state()));
        }
        return world.violated(claim, why);
    }
    world.trace.add(format_args!("at rest"));
    if let Err((claim, why)) = drills::run(world).await {
        return world.violated(claim, why);
    }
    if let Err(why) = rest(world).await {
        return world.violated(Claim::Converges, format!("after the drills: {why}"));
    }
    let mut newest = 0;
    for (i, node) in world.ready().iter().enumerate() {
        let key = format!("final-{i}");
        match node
            .set_data(key.clone(), "x".into(), Expect::Any, Duration::from_secs(10))
            .await
        {
            Ok(revision) => {
                world.checks().durable.acknowledged(key, revision);
                newest = newest.max(revision);
            }
            Err(error) => {
                return world.violated(Claim::Converges, format!("{} takes no write: {error}", node.id()));
            }
        }
    }
    for node in world.ready() {
        if let Err(error) = node.wait_revision(newest, Duration::from_secs(10)).await {
            return world.violated(Claim::Converges, format!("{}: {error}", node.id()));
        }
    }
    for node in world.ready() {
        if let Err(what) = world.checks().durable.check(&node) {
            return world.violated(Claim::Durable, what);
        }
        let equal = world
            .checks()
            .digests
            .compare(node.id(), node.revision(), &node.state_bytes());
        if let Err(what) = equal {
            return world.violated(Claim::Digests, what);
        }
    }
    let streams = world.checks().streams.check_complete();
    if let Err(what) = streams {
        return world.violated(Claim::Streams, what);
    }
    let registers = book
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .check();
    if let Err(what) = registers {
        world.violated(Claim::Linearizable, what);
    }
}
