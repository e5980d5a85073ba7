//! Situations in which openraft needs care, in simulated time.

use std::sync::Arc;
use std::time::Duration;

use clusterkit::env::disk::MemDisk;
use clusterkit::env::{self, Instant};
use clusterkit::model::{EventKind, NodeStatus};
use clusterkit::net::sim::LinkConditions;
use clusterkit::{ErrorCode, Expect};

use crate::streams::assert_same_streams;
use crate::world::{
    SCENARIO_TIMEOUT, TestNode, World, all_have, leader, leads, settle, simulate, until, write,
};

/// A voter restarts inside the lease that it granted, while another one would like to be elected.
async fn a_voter_forgets_the_lease_that_it_granted(world: World) {
    let mut nodes = world.cluster(3).await;
    let old = leader(&nodes, None).await;
    let (rival, voter) = ((old + 1) % 3, (old + 2) % 3);
    // The rival no longer hears the leader, and is held back only by the voter's lease.
    world.network.cut(nodes[old].addr(), nodes[rival].addr());
    let ready = Instant::now() + Duration::from_secs(1);
    while Instant::now() < ready {
        assert_eq!(leads(&nodes), Some(old));
        env::sleep(Duration::from_millis(1)).await;
    }
    // The voter comes back as a new process, and finds the leader gone: within that one's lease.
    let gone = nodes.remove(voter);
    gone.kill(None);
    assert!(
        nodes.iter().any(|sim| sim.is_leader()),
        "the lease is still valid"
    );
    let back = world.next_process(&gone);
    let addr = nodes[if old > voter { old - 1 } else { old }].addr().to_owned();
    world.network.isolate(&addr);
    let starting = back.node.clone();
    nodes.insert(voter, back);
    env::spawn(async move { starting.start().await });
    // At no moment do two lead.
    leader(&nodes, Some(old)).await;
    world.network.heal();
    settle(&nodes).await;
}

#[test]
fn a_restarted_voter_elects_nobody_inside_the_lease_that_it_forgot() {
    for seed in 1..=10 {
        simulate(seed, a_voter_forgets_the_lease_that_it_granted);
    }
}

#[test]
fn a_hand_over_to_a_dead_node_is_undone() {
    for seed in 1..=5 {
        simulate(seed, async |world| {
            let nodes = world.cluster(3).await;
            let old = leader(&nodes, None).await;
            let target = (old + 1) % 3;
            world.network.isolate(nodes[target].addr());
            let to = nodes[target].raft_id().unwrap();
            // It was heard of a moment ago, so the check of the target lets it pass.
            let began = Instant::now();
            let refused = nodes[old].transfer(to, Duration::from_millis(300)).await;
            // Another voter may have taken over before the deadline.
            if let Err(error) = refused {
                assert_eq!(error.code(), ErrorCode::Refused, "{error}");
            }
            write(&nodes[old], "afterwards").await;
            assert!(
                began.elapsed() < Duration::from_secs(3),
                "writes stood still for {:?}",
                began.elapsed()
            );
            leader(&nodes, None).await;
        });
    }
}

#[test]
fn who_hands_over_leads_no_longer_when_another_does() {
    for seed in 1..=5 {
        simulate(seed, async |world| {
            let nodes = world.cluster(3).await;
            let old = leader(&nodes, None).await;
            // What the old leader is told, it is told late: its successor's election above all.
            for from in (0..3).filter(|from| *from != old) {
                let late = LinkConditions {
                    min_delay: Duration::from_millis(30),
                    max_delay: Duration::from_millis(31),
                    ..LinkConditions::default()
                };
                world
                    .network
                    .set_link(nodes[from].addr(), nodes[old].addr(), late);
            }
            env::sleep(Duration::from_millis(500)).await;
            assert_eq!(leads(&nodes), Some(old));
            let node = nodes[old].node.clone();
            let stepping = env::spawn(async move { node.step_down(None).await });
            let mut new = None;
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(300) {
                new = leads(&nodes);
                env::sleep(Duration::from_micros(50)).await;
            }
            assert!(new.is_some_and(|new| new != old), "{new:?} leads after {old}");
            stepping.await.unwrap().unwrap();
        });
    }
}

#[test]
fn a_hand_over_that_nobody_can_take_is_taken_back() {
    simulate(7, async |world| {
        let nodes = world.cluster(3).await;
        let old = leader(&nodes, None).await;
        let (target, other) = ((old + 1) % 3, (old + 2) % 3);
        // The target does not hear of it, and the third node's own campaigns are not heard by anybody.
        world.network.isolate(nodes[target].addr());
        world
            .network
            .cut_one_way(nodes[other].addr(), nodes[target].addr());
        let to = nodes[target].raft_id().unwrap();
        let handed = nodes[old].transfer(to, Duration::from_millis(20)).await;
        assert_eq!(handed.unwrap_err().code(), ErrorCode::Refused);
        assert!(!nodes[old].is_leader(), "it holds no lease while it hands over");
        write(&nodes[old], "afterwards").await;
        leader(&nodes, None).await;
    });
}

/// The voter that comes first has been cut off a moment ago, which nobody knows yet: another one takes over.
#[test]
fn stepping_down_tries_again_when_the_successor_does_not_take_over() {
    for seed in 1..=5 {
        simulate(seed, async |world| {
            let nodes = world.cluster(3).await;
            let old = leader(&nodes, None).await;
            let first = *nodes[old].successors(Duration::from_secs(1)).first().unwrap();
            let raft_id = |sim: &TestNode| sim.raft_id().unwrap();
            let cut_off = nodes.iter().position(|sim| raft_id(sim) == first).unwrap();
            world.network.isolate(nodes[cut_off].addr());
            let began = Instant::now();
            let leads = nodes[old].step_down(None).await.unwrap();
            assert!(
                leads != *nodes[old].id() && leads != *nodes[cut_off].id(),
                "{leads}"
            );
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        });
    }
}

/// A voter named for it is asked again: it was only slow.
#[test]
fn stepping_down_to_a_voter_that_is_cut_off_for_a_moment_succeeds() {
    for seed in 1..=5 {
        simulate(seed, async |world| {
            let nodes = world.cluster(3).await;
            let old = leader(&nodes, None).await;
            let (target, other) = ((old + 1) % 3, (old + 2) % 3);
            world.network.isolate(nodes[target].addr());
            // The third one may not take over by itself: its campaigns are heard by nobody.
            world
                .network
                .cut_one_way(nodes[other].addr(), nodes[target].addr());
            let (node, to) = (nodes[old].node.clone(), nodes[target].id().clone());
            let stepping = env::spawn(async move { node.step_down(Some(to)).await });
            env::sleep(Duration::from_millis(150)).await;
            world.network.heal();
            let leads = stepping.await.unwrap().unwrap();
            assert_eq!(leads, *nodes[target].id());
        });
    }
}

/// Where nobody can take over, that is said soon, and the cluster goes on.
#[test]
fn stepping_down_with_nobody_there_is_refused_soon() {
    simulate(5, async |world| {
        let nodes = world.cluster(3).await;
        let old = leader(&nodes, None).await;
        let began = Instant::now();
        let asked = nodes[old].node.clone();
        let stepping = env::spawn(async move { asked.step_down(None).await });
        for sim in nodes.iter().filter(|sim| sim.id() != nodes[old].id()) {
            world.network.isolate(sim.addr());
        }
        stepping.await.unwrap().unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
        world.network.heal();
        write(&nodes[old], "afterwards").await;
    });
    simulate(6, async |world| {
        let alone = world.cluster(1).await;
        leader(&alone, None).await;
        let began = Instant::now();
        let error = alone[0].step_down(None).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Refused, "{error}");
        assert!(
            began.elapsed() < Duration::from_millis(10),
            "it waited for nobody"
        );
    });
}

#[test]
fn a_node_far_behind_is_given_a_snapshot_and_told_the_net_change() {
    for seed in 1..=3 {
        simulate(seed, async |world| {
            let mut nodes = world.cluster(3).await;
            let late = (leader(&nodes, None).await + 1) % 3;
            world.network.isolate(nodes[late].addr());
            let told = nodes[late].events().len();
            let through = [1, 2, 3].into_iter().find(|i| *i != late + 1).unwrap();
            let writer = through - 1;
            for i in 0..600 {
                write(&nodes[writer], &format!("k{i:04}")).await;
            }
            nodes.push(world.start(4, &[through]).await);
            let mut last = 0;
            for i in 600..900 {
                last = write(&nodes[writer], &format!("k{i:04}")).await;
            }
            let behind = nodes[late].revision();
            world.network.heal();
            all_have(&nodes, last, &["k0000", "k0899"]).await;
            settle(&nodes).await;
            let events = nodes[late].events();
            let joins = events[told..]
                .iter()
                .filter(
                    |event| matches!(&event.kind, EventKind::NodeJoin(join) if &*join.node.id == "node-4"),
                )
                .count();
            assert_eq!(joins, 1, "the net change, once");
            let first = events[told..]
                .iter()
                .map(|event| event.revision)
                .filter(|revision| *revision > behind)
                .min()
                .unwrap();
            assert!(first > behind + 500, "it came as a snapshot, not as a replay");
            for sim in &nodes {
                assert_eq!(sim.topology().partitions, nodes[0].topology().partitions);
            }
        });
    }
}

#[test]
fn a_wiped_member_gets_another_raft_id_and_the_old_one_goes() {
    simulate(3, async |world| {
        let mut nodes = world.cluster(3).await;
        let wiped = (leader(&nodes, None).await + 1) % 3;
        let gone = nodes.remove(wiped);
        let old_id = gone.raft_id().unwrap();
        gone.kill(None);
        let mut options = gone.options().clone();
        options.join_addrs = nodes.iter().map(|sim| sim.addr().to_owned()).collect();
        let back = world.make(options, Arc::new(MemDisk::new()));
        back.start().await.unwrap();
        nodes.insert(wiped, back);
        settle(&nodes).await;
        let new_id = nodes[wiped].raft_id().unwrap();
        assert!(new_id > 3, "Raft id {new_id} was given before");
        for sim in &nodes {
            until("the old id to go", || {
                let members = sim.raft_members().unwrap();
                !members.all.contains(&old_id) && members.voters.len() == 3 && !members.joint
            })
            .await;
        }
    });
}

#[test]
fn a_half_done_change_of_voters_is_finished_by_the_next_leader() {
    let mut seen = 0;
    for seed in 1..=4 {
        seen += simulate(seed, async |world| {
            let mut nodes = world.cluster(4).await;
            // Slow, so that there is a time between the two halves.
            world.network.set_conditions(LinkConditions {
                min_delay: Duration::from_millis(4),
                max_delay: Duration::from_millis(5),
                ..LinkConditions::default()
            });
            let old = leader(&nodes, None).await;
            let fifth = world.make(World::options(5, &[1]), Arc::new(MemDisk::new()));
            let starting = fifth.node.clone();
            nodes.push(fifth);
            env::spawn(async move { starting.start().await });
            let joint = |sim: &TestNode| sim.raft_members().is_some_and(|members| members.joint);
            let deadline = Instant::now() + Duration::from_secs(5);
            let mut found = false;
            while !found && Instant::now() < deadline {
                env::sleep(Duration::from_micros(200)).await;
                found = nodes.iter().enumerate().any(|(i, sim)| i != old && joint(sim));
            }
            world.network.isolate(nodes[old].addr());
            leader(&nodes, Some(old)).await;
            for (i, sim) in nodes.iter().enumerate().filter(|(i, _)| *i != old) {
                until(&format!("{i} has a plain membership"), || !joint(sim)).await;
            }
            world.network.heal();
            settle(&nodes).await;
            for sim in &nodes {
                until("five voters", || {
                    let members = sim.raft_members().unwrap();
                    members.voters.len() == 5 && !members.joint
                })
                .await;
            }
            usize::from(found)
        });
    }
    assert!(seen > 0, "no run saw the change half done");
}

#[test]
fn a_node_that_cannot_catch_up_is_neither_active_nor_a_voter() {
    simulate(11, async |world| {
        let mut nodes = world.cluster(4).await;
        let fifth = world.make(World::options(5, &[1]), Arc::new(MemDisk::new()));
        let starting = fifth.node.clone();
        let addr = fifth.addr().to_owned();
        env::spawn(async move { starting.start().await });
        let status = |sim: &TestNode| sim.view().node("node-5").map(|node| node.status);
        let leads_now = leader(&nodes, None).await;
        until("it is admitted", || status(&nodes[leads_now]).is_some()).await;
        world.network.isolate(&addr);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            let members = nodes[leads_now].raft_members().unwrap();
            assert_eq!(members.voters.len(), 3);
            assert_ne!(status(&nodes[leads_now]), Some(NodeStatus::Active));
            env::sleep(Duration::from_millis(10)).await;
        }
        write(&nodes[0], "meanwhile").await;
        world.network.heal();
        nodes.push(fifth);
        settle(&nodes).await;
        assert!(nodes[4].data("meanwhile").is_some());
        assert_same_streams(&nodes).await;
    });
}

#[test]
fn writes_over_a_bad_network_happen_exactly_once() {
    for seed in 1..=5 {
        simulate(seed, async |world| {
            let nodes = world.cluster(3).await;
            world.network.set_conditions(LinkConditions {
                loss: 0.03,
                duplicate: 0.1,
                slow: 0.05,
                ..LinkConditions::default()
            });
            let writers: Vec<_> = nodes
                .iter()
                .map(|sim| {
                    let node = sim.node.clone();
                    env::spawn(async move {
                        let mut last = 0;
                        for i in 0..40 {
                            // Carried out twice, it would be refused the second time.
                            let key = format!("{}-{i:02}", node.id());
                            let written = node
                                .set_data(key, "x".into(), Expect::Absent, SCENARIO_TIMEOUT)
                                .await;
                            last = written.unwrap();
                        }
                        last
                    })
                })
                .collect();
            let mut last = 0;
            for writer in writers {
                last = last.max(writer.await.unwrap());
            }
            world.network.calm();
            for sim in &nodes {
                until("everybody is up to date", || sim.revision() >= last).await;
                assert_eq!(sim.data_keys("node-").len(), 120);
            }
            assert_same_streams(&nodes).await;
        });
    }
}

/// Nodes crash one after the other, at odd moments, and lose what was not durable.
async fn nodes_crash_and_come_back(world: World, seed: u64) {
    let mut nodes = world.cluster(3).await;
    let mut written = Vec::new();
    for round in 0..6 {
        let victim = (round + usize::try_from(seed).unwrap()) % 3;
        let key = format!("r{round}");
        write(&nodes[(victim + 1) % 3], &key).await;
        written.push(key);
        env::sleep(Duration::from_millis(37 * seed % 200)).await;
        let sim = nodes.remove(victim);
        let sim = world.crash_and_restart(sim, seed + round as u64).await;
        nodes.insert(victim, sim);
        leader(&nodes, None).await;
    }
    settle(&nodes).await;
    let last = write(&nodes[0], "last").await;
    for sim in &nodes {
        until("everybody is up to date", || sim.revision() >= last).await;
        for key in &written {
            assert!(
                sim.data(key).is_some(),
                "{} lost {key}, which was acknowledged",
                sim.id()
            );
        }
    }
    assert_same_streams(&nodes).await;
}

#[test]
fn crashes_lose_nothing_that_was_acknowledged() {
    for seed in 1..=8 {
        simulate(seed, |world| nodes_crash_and_come_back(world, seed));
    }
}
