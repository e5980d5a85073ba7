//! The application on top: it copies data when it is told to, sometimes slowly, sometimes not at all.

use std::sync::Arc;
use std::time::Duration;

use clusterkit::env;
use clusterkit::hooks::{EventFilter, Hook};
use clusterkit::model::{Event, EventKind, RoleChange};
use clusterkit::sim::SimNode;
use rand::RngExt;

use crate::world::World;

/// What one call of a hook does.
enum Mood {
    Fine,
    Slow(Duration),
    Fails,
    Panics,
}

/// What is in the message of a panic that is part of the plan.
pub(crate) const PLANNED: &str = "planned panic";

fn mood(world: &World) -> Mood {
    let mut rng = env::runtime::rng();
    if !world.plan.menu.hooks || world.is_calm() {
        return Mood::Fine;
    }
    match rng.random_range(0..100) {
        0..70 => Mood::Fine,
        70..85 => Mood::Slow(Duration::from_millis(rng.random_range(1..500))),
        85..88 => Mood::Slow(Duration::from_millis(rng.random_range(1000..8000))),
        88..98 => Mood::Fails,
        _ => Mood::Panics,
    }
}

/// The hook that a process registers for everything.
pub(crate) fn hook(world: &World, node: &SimNode) -> Hook {
    let (world, id, process) = (world.clone(), node.id().clone(), node.process());
    Hook::from_async(move |event| {
        let (world, id) = (world.clone(), id.clone());
        async move {
            let began = world.checks().hooks.begins(&id, process, &event);
            report(&world, began);
            let outcome = handle(&world, &id, &event).await;
            let ended = world.checks().hooks.ends(&id, process, &event);
            report(&world, ended);
            match outcome {
                Done::Ok => Ok(()),
                Done::Failed(why) => Err(why.to_owned()),
                Done::Panic => panic!("{PLANNED}"),
            }
        }
    })
}

/// A program that registers its hook some time after it has begun to start its node: before that is done, or long after.
pub(crate) async fn register_late(world: World, node: SimNode) {
    let most: f64 = env::runtime::rng().random_range(1.0..8.0);
    let wait = Duration::from_secs_f64(env::runtime::rng().random_range(0.0..most.exp()) / 1000.0);
    env::sleep(wait).await;
    // One that has ended meanwhile needs none.
    if node.register(EventFilter::ALL, hook(&world, &node)).is_ok() {
        world
            .trace
            .add(format_args!("{} registers its hook after {wait:?}", node.id()));
    }
}

enum Done {
    Ok,
    Failed(&'static str),
    Panic,
}

async fn handle(world: &World, id: &str, event: &Arc<Event>) -> Done {
    // What it need not keep is gone, whatever becomes of the hook.
    if let EventKind::PartitionChange(change) = &event.kind
        && *change.node_id == *id
        && change.change == RoleChange::LostCopy
    {
        world.checks().held.drops(id, change.number);
    }
    if let EventKind::PartitionChange(change) = &event.kind
        && *change.node_id == *id
        && change.change == RoleChange::GainedReplica
    {
        world.checks().held.begins_to_copy(id, change.number);
    }
    let name = name(event);
    match mood(world) {
        Mood::Fine => {}
        Mood::Slow(time) => {
            world
                .trace
                .add(format_args!("{id}: the hook for {name} takes {time:?}"));
            env::sleep(time).await;
        }
        Mood::Fails => {
            world.trace.add(format_args!("{id}: the hook for {name} fails"));
            return Done::Failed("it fails at times");
        }
        Mood::Panics => {
            world.trace.add(format_args!("{id}: the hook for {name} panics"));
            return Done::Panic;
        }
    }
    let EventKind::PartitionChange(change) = &event.kind else {
        return Done::Ok;
    };
    if *change.node_id != *id || change.change != RoleChange::GainedReplica {
        return Done::Ok;
    }
    let sources: Vec<&str> = change.copy_from_nodes.iter().map(|node| &*node.id).collect();
    // A process that is dead sends nothing.
    let up = world.up();
    let (sources, dead): (Vec<&str>, Vec<&str>) = sources
        .into_iter()
        .partition(|source| up.iter().any(|node| &**node.id() == *source));
    if sources.is_empty() && !dead.is_empty() {
        return Done::Failed("no source is up");
    }
    if world.checks().held.copies(id, change.number, &sources) {
        Done::Ok
    } else {
        Done::Failed("no source has the data")
    }
}

fn name(event: &Event) -> String {
    match &event.kind {
        EventKind::PartitionChange(change) => {
            format!(
                "partition {} {:?} of {}",
                change.number, change.change, change.node_id
            )
        }
        kind => kind.name().to_owned(),
    }
}

fn report(world: &World, checked: Result<(), String>) {
    if let Err(what) = checked {
        world.violated(crate::Claim::HookOrder, what);
    }
}
