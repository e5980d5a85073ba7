//! Nodes that go and come back, one after the other and all at once.

use std::collections::BTreeSet;
use std::time::Duration;

use ck_tests::claims::{self, Subject};
use ck_tests::copies;
use clusterkit::model::{EventKind, NodeRejoinEvent, NodeStatus, RoleChange};

use crate::support::{LONG_OUTAGE, Machine, PARTITIONS, Scene, Told};

/// A gain of a copy: who, and which partition.
fn gain(told: &Told) -> Option<(String, u32)> {
    match &told.event.kind {
        EventKind::PartitionChange(change) if change.change == RoleChange::GainedReplica => {
            Some((change.node_id.to_string(), change.number))
        }
        _ => None,
    }
}

/// Restarts all nodes one after the other, while clients write, each as soon as the one before is whole again.
fn rolling(graceful: bool) {
    // Copying takes a while, so that there is a time in which a node is back and its data is not.
    let mut scene = Scene::of(Machine::shared(), 4, &["--copy-ms", "20"]);
    let before = scene.copies();
    let since = claims::now();
    for place in 0..4 {
        if graceful {
            scene.cluster.node(place).stop();
        } else {
            scene.kill(place);
        }
        scene.progress();
        scene.restart(place);
        scene.progress();
        let through = (place + 1) % 4;
        scene.wait_status(through, place, NodeStatus::Active);
        // As an operator does it: the next one only when all copies count again.
        scene.cluster.until("all copies count again", || {
            let found = scene
                .cluster
                .api(through)
                .cluster()
                .map_err(|error| error.to_string())?;
            let partitions = found.cluster.partition_map.partitions.values();
            let missing: Vec<_> = partitions.filter(|record| !record.pending.is_empty()).collect();
            let same = copies(&found.cluster) == before;
            (same && missing.is_empty())
                .then_some(())
                .ok_or_else(|| format!("same {same}, {missing:?}"))
        });
    }
    assert_eq!(scene.copies(), before);
    let history = scene.history();
    for place in 0..4 {
        let id = scene.id(place);
        for (began, told) in scene.told(&id) {
            // No copy was given to anybody who had not had it.
            for (node, number) in told.iter().filter(|told| told.at > since).filter_map(gain) {
                let had = &before[&format!("partition-{number}")];
                assert!(had.contains(&node), "partition-{number} was copied to {node}");
            }
            if began < since {
                continue;
            }
            // Nothing was claimed by the new process before it had copied it.
            let record = history
                .records
                .iter()
                .filter(|record| record.node == id && record.began >= began)
                .min_by_key(|record| record.began)
                .unwrap();
            for number in 0..PARTITIONS {
                let subject = Subject::Partition(number);
                let mut samples = record.samples.iter();
                let Some(first) = samples.find(|sample| sample.claims.contains_key(&subject)) else {
                    continue;
                };
                let copied = told
                    .iter()
                    .filter(|told| gain(told) == Some((id.clone(), number)));
                let copied = copied.map(|told| told.at).min();
                assert!(
                    copied.is_some_and(|copied| copied <= first.to),
                    "{id} claimed {subject} at {}, and had copied it at {copied:?}",
                    first.to
                );
            }
        }
    }
    scene.finish(if graceful {
        "rolling restart, graceful"
    } else {
        "rolling restart, kill -9"
    });
}

#[test]
fn a_graceful_rolling_restart_places_no_copy_and_nobody_leads_before_its_copies_are_confirmed() {
    rolling(true);
}

#[test]
fn a_rolling_kill_9_places_no_copy_and_nobody_leads_before_its_copies_are_confirmed() {
    rolling(false);
}

#[test]
fn a_cluster_that_was_killed_whole_comes_back_with_every_partition_served() {
    let mut scene = Scene::of(Machine::shared(), 3, &[]);
    let before = scene.copies();
    for place in 0..3 {
        scene.kill(place);
    }
    let killed = claims::now();
    for place in 0..3 {
        scene.cluster.node(place).spawn_again();
    }
    for place in 0..3 {
        scene.cluster.node(place).wait_ready();
    }
    scene.progress();
    scene.served_since(killed);
    assert_eq!(scene.copies(), before);
    scene.finish("restart of all");
}

#[test]
fn a_node_back_from_failure_at_a_new_address_is_told_how_long_it_was_away_and_what_it_had() {
    let mut scene = Scene::of(Machine::shared(), 4, &[]);
    let before = scene.copies();
    let leader = scene.cluster.leader();
    let (place, through) = ((leader + 1) % 4, (leader + 2) % 4);
    let (id, old) = (scene.id(place), scene.cluster.nodes()[place].addr().to_owned());
    let gone = claims::now();
    scene.kill(place);
    scene.wait_status(through, place, NodeStatus::Failed);
    std::thread::sleep(LONG_OUTAGE);
    let away = Duration::from_nanos(claims::now() - gone);
    // Somebody else has its old port.
    let squatter = std::net::TcpListener::bind(&old).unwrap();
    scene.cluster.node(place).spawn_at("127.0.0.1:0");
    scene.cluster.node(place).wait_ready();
    scene.wait_status(through, place, NodeStatus::Active);
    assert_eq!(scene.copies(), before);
    let new = scene.cluster.nodes()[place].addr().to_owned();
    assert_ne!(old, new);
    let held: BTreeSet<String> = before
        .iter()
        .filter(|(_, holders)| holders.contains(&id))
        .map(|(partition, _)| partition.clone())
        .collect();
    for told_to in [place, through] {
        let told = scene.told(&scene.id(told_to));
        let rejoins: Vec<NodeRejoinEvent> = told
            .into_iter()
            .flat_map(|(_, events)| events)
            .filter(|told| told.at > gone)
            .filter_map(|told| match told.event.kind {
                EventKind::NodeRejoin(rejoin) if *rejoin.node.id == *id => Some(rejoin),
                _ => None,
            })
            .collect();
        assert_eq!(rejoins.len(), 1, "{rejoins:?}");
        assert_eq!(*rejoins[0].node.ip, *new);
        // It counts as away since its last sync; where another leader failed it, from that one's election on.
        let told = rejoins[0].offline_duration;
        assert!(
            told + Duration::from_millis(2_500) >= away && told < away + Duration::from_secs(30),
            "told {told:?}, away {away:?}"
        );
        let had: BTreeSet<String> = rejoins[0].partitions_before_leave.iter().cloned().collect();
        assert_eq!(had, held);
    }
    drop(squatter);
    scene.finish("a new address");
}

#[test]
fn a_leader_steps_down_and_leaves_under_load_and_nothing_is_lost() {
    let mut scene = Scene::of(Machine::shared(), 4, &[]);
    for _ in 0..3 {
        let leader = scene.cluster.leader();
        // On a busy machine nobody may have been heard of lately: that is refused, and asked for again.
        scene.cluster.until("a step-down", || {
            scene.cluster.nodes()[leader].command("step-down")
        });
        scene.progress();
    }
    let last = scene.id(3);
    scene.cluster.nodes()[3].command("leave").unwrap();
    let (ended, _) = scene.cluster.node(3).wait_end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(scene.failures().is_empty(), "{last} was taken for dead");
    scene.progress();
    assert_eq!(scene.cluster.api(0).nodes().unwrap().len(), 3);
    scene.finish("step-down and leave");
}
