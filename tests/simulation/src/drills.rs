//! At rest, one thing at a time goes wrong, and must be over in time: what the run before has room for only by chance.
//!
//! For runs over connections. The claims are those of docs/consistency.md.

use std::time::Duration;

use clusterkit::Expect;
use clusterkit::env;
use futures_util::future::join_all;

use crate::invariants::Claim;
use crate::large::{self, LARGEST};
use crate::world::World;

/// Within which time connections that died without a word are replaced, and everybody writes again.
pub(crate) const FLOWS_REPLACED: Duration = Duration::from_secs(4);
/// The link of every node while large values are written: 10 Mbit/s.
const RATE: u64 = 1_250_000;
/// How long the largest value may take over such links, to every other node and with what else there is.
const LARGE_WRITTEN: Duration = Duration::from_secs(10);

/// Every drill.
pub(crate) async fn run(world: &World) -> Result<(), (Claim, String)> {
    if !world.plan.connections || world.count() < 2 {
        return Ok(());
    }
    dead_flows(world).await.map_err(|why| (Claim::Heals, why))?;
    slow_links(world).await.map_err(|why| (Claim::Heals, why))
}

async fn dead_flows(world: &World) -> Result<(), String> {
    world.trace.add(format_args!("drill: all connections are dead"));
    {
        let mut checks = world.checks();
        checks.leader_stays.ends();
        checks.eviction.begins("");
    }
    for addr in world.addrs() {
        world.network.forget_flows_of(&addr);
    }
    let writes = world.ready().into_iter().map(|node| async move {
        let written = node.set_data(
            format!("drill-{}", node.id()),
            "x".into(),
            Expect::Any,
            FLOWS_REPLACED,
        );
        written.await.map(drop).map_err(|error| {
            format!(
                "{} writes nothing {FLOWS_REPLACED:?} after its connections died: {error}",
                node.id()
            )
        })
    });
    let written: Result<Vec<()>, String> = join_all(writes).await.into_iter().collect();
    // Who was taken for failed meanwhile comes back by itself.
    env::sleep(Duration::from_secs(10)).await;
    world.checks().eviction.ends("");
    written.map(drop)
}

async fn slow_links(world: &World) -> Result<(), String> {
    let epoch = |world: &World| world.leading().map(|(i, _)| i);
    let before = epoch(world);
    world.trace.add(format_args!(
        "drill: large values over slow links, {before:?} leads"
    ));
    for addr in world.addrs() {
        world.network.set_rate(&addr, Some(RATE));
    }
    let mut result = Ok(());
    for node in world.ready().into_iter().take(2) {
        if let Err(error) = large::write(&node, LARGEST, LARGE_WRITTEN).await {
            result = Err(format!(
                "{} cannot write {LARGEST} bytes at {RATE} a second: {error}",
                node.id()
            ));
            break;
        }
    }
    for addr in world.addrs() {
        world.network.set_rate(&addr, None);
    }
    large::forget(world).await;
    let after = epoch(world);
    if result.is_ok() && before.is_some() && after != before {
        result = Err(format!(
            "{before:?} led before large values were written, and {after:?} does now"
        ));
    }
    result
}
