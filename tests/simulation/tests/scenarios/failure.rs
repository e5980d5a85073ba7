//! Leases, failure detection, failover and departure in simulated time.

use std::time::Duration;

use clusterkit::ErrorCode;
use clusterkit::env::disk::Faults;
use clusterkit::env::{self, Instant};
use clusterkit::model::{EventKind, LeaveReason, NodeStatus};

use crate::claims::{claims, served, status, watched};
use crate::streams::assert_same_streams;
use crate::world::{SCENARIO_TIMEOUT, TestNode, World, all, leader, settle, simulate, until, write};

fn led_by(sim: &TestNode, id: &str) -> usize {
    let view = sim.view();
    view.partitions()
        .filter(|partition| partition.primary().is_some_and(|node| &*node.id == id))
        .count()
}

fn leaves(sim: &TestNode) -> Vec<(String, LeaveReason)> {
    sim.events()
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::NodeLeave(leave) => Some((leave.node.id.to_string(), leave.reason)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_node_that_is_cut_off_stops_acting_before_others_take_over() {
    for seed in 1..=20 {
        simulate(seed, async |world| {
            let nodes = world.cluster(4).await;
            let nodes = all(&nodes);
            served(&nodes).await;
            // Whoever it is, leader or not.
            let cut = seed as usize % 4;
            let id = nodes[cut].id().clone();
            let other = nodes[(cut + 1) % 4];
            world.network.isolate(nodes[cut].addr());
            let began = Instant::now();
            watched("the end of the lease", &nodes, || claims(&nodes)[cut] == 0).await;
            // A leader that is cut off renews its own lease until it notices.
            assert!(
                began.elapsed() < Duration::from_millis(1_800),
                "{:?}",
                began.elapsed()
            );
            assert!(led_by(other, &id) > 0, "nobody has taken over yet");
            let number = nodes[cut]
                .view()
                .partitions()
                .find(|partition| partition.is_primary())
                .map(|partition| partition.number());
            let strict = nodes[cut].primary_epoch(number.unwrap()).unwrap_err();
            assert_eq!(strict.code(), ErrorCode::LeaseExpired, "{strict}");
            watched("failover", &nodes, || led_by(other, &id) == 0).await;
            assert!(
                began.elapsed() < Duration::from_millis(3_500),
                "{:?}",
                began.elapsed()
            );
            assert_eq!(status(other, &id), Some(NodeStatus::Failed));
            let rest: Vec<&TestNode> = nodes.iter().copied().filter(|sim| sim.id() != &id).collect();
            served(&rest).await;
            assert_eq!(leaves(other), [(id.to_string(), LeaveReason::HealthCheckFailure)]);
            // Nothing has moved, and it comes back by itself.
            world.network.heal();
            watched("return", &nodes, || {
                status(other, &id) == Some(NodeStatus::Active)
            })
            .await;
            served(&nodes).await;
        });
    }
}

#[test]
fn an_evicted_node_that_lives_is_primary_of_nothing() {
    for seed in 1..=10 {
        simulate(seed, async |world| {
            let nodes = world.cluster(4).await;
            let old = leader(&nodes, None).await;
            let victim = (old + 1) % 4;
            let id = nodes[victim].id().clone();
            let nodes = all(&nodes);
            served(&nodes).await;
            // It can send and cannot hear: it learns of nothing.
            if seed % 2 == 0 {
                world.network.isolate(nodes[victim].addr());
            }
            let remover = nodes[(old + 2) % 4].node.clone();
            let removing = id.clone();
            env::spawn(async move { remover.remove_node(removing, false, SCENARIO_TIMEOUT).await });
            watched("removal", &nodes, || status(nodes[old], &id).is_none()).await;
            watched("takeover", &nodes, || led_by(nodes[old], &id) == 0).await;
            assert_eq!(claims(&nodes)[victim], 0);
        });
    }
}

#[test]
fn a_restart_within_the_delay_moves_no_copy() {
    simulate(7, async |world| {
        let mut nodes = world.cluster(4).await;
        let held = |sim: &TestNode| {
            let topology = sim.topology();
            let copies = topology.partitions.iter().map(|partition| {
                let holders = partition.copies.iter().map(|copy| copy.node.to_string());
                holders.collect::<Vec<_>>()
            });
            copies.collect::<Vec<_>>()
        };
        let before = held(&nodes[0]);
        let gone = nodes.remove(2);
        let id = gone.id().clone();
        let left = Instant::now();
        gone.kill(Some(1));
        until("failure", || status(&nodes[0], &id) == Some(NodeStatus::Failed)).await;
        env::sleep(Duration::from_secs(5)).await;
        assert_eq!(held(&nodes[0]), before);
        let away = left.elapsed();
        let back = world.next_process(&gone);
        back.start().await.unwrap();
        nodes.insert(2, back);
        settle(&nodes).await;
        assert_eq!(held(&nodes[0]), before);
        let rejoined: Vec<_> = nodes[2]
            .events()
            .into_iter()
            .filter_map(|event| match event.kind {
                EventKind::NodeRejoin(rejoin) => Some(rejoin),
                _ => None,
            })
            .collect();
        assert_eq!(rejoined.len(), 1);
        // From its last sync on, not from when its silence was noticed.
        let told = rejoined[0].offline_duration;
        assert!(
            away <= told && told < away + Duration::from_secs(1),
            "{told:?} of {away:?}"
        );
        assert!(!rejoined[0].partitions_before_leave.is_empty());
    });
}

#[test]
fn copies_are_made_anew_only_after_the_delay() {
    simulate(8, async |world| {
        let mut nodes = world.cluster(5).await;
        let gone = nodes.remove(4);
        let id = gone.id().clone();
        gone.kill(None);
        until("failure", || status(&nodes[0], &id) == Some(NodeStatus::Failed)).await;
        let failed = Instant::now();
        let held = || {
            let topology = nodes[0].topology();
            topology
                .partitions
                .iter()
                .filter(|p| p.copy(&id).is_some())
                .count()
        };
        assert!(held() > 0);
        until("replacement", || held() == 0).await;
        let waited = failed.elapsed();
        assert!(
            waited >= Duration::from_secs(9) && waited < Duration::from_secs(12),
            "{waited:?}"
        );
        until("rest", || {
            let topology = nodes[0].topology();
            topology
                .partitions
                .iter()
                .all(|p| p.target.is_none() && p.synced().count() == 3 && p.primary.is_some())
        })
        .await;
        // Late, it comes back all the same, and gets its share again.
        let back = world.next_process(&gone);
        back.start().await.unwrap();
        nodes.push(back);
        settle(&nodes).await;
        assert_same_streams(&nodes[..4]).await;
    });
}

#[test]
fn with_more_than_half_failed_nothing_is_placed_elsewhere() {
    simulate(9, async |world| {
        // Five of eight fail, and the voters are among the three that stay.
        let mut nodes = Vec::new();
        for i in 1..=8 {
            let through: &[usize] = if i == 1 { &[] } else { &[1] };
            let mut options = World::options(i, through);
            options.max_voters = 3;
            let sim = world.make(options, std::sync::Arc::default());
            sim.start().await.unwrap();
            nodes.push(sim);
        }
        settle(&nodes).await;
        for sim in &nodes[3..] {
            world.network.isolate(sim.addr());
        }
        let failed = || {
            let view = nodes[0].view();
            let nodes = view.nodes().iter();
            nodes.filter(|node| node.status == NodeStatus::Failed).count()
        };
        until("failures", || failed() == 5).await;
        let copies = || nodes[0].topology().partitions.clone();
        let before = copies();
        env::sleep(Duration::from_secs(30)).await;
        assert_eq!(copies(), before, "no copy was placed elsewhere");
        let maintenance = nodes[0].cluster(false).maintenance.unwrap();
        assert!(
            maintenance.automatic && maintenance.reason.contains("of 8"),
            "{maintenance:?}"
        );
        // A human has looked: now they are.
        nodes[1].maintenance(None, SCENARIO_TIMEOUT).await.unwrap();
        until("replacement", || copies() != before).await;
        world.network.heal();
        settle(&nodes).await;
    });
}

#[test]
fn a_node_that_leaves_is_drained_first() {
    for seed in 1..=4 {
        simulate(seed, async |world| {
            let mut nodes = world.cluster(4).await;
            // The leader too.
            let leaving = if seed % 2 == 0 {
                leader(&nodes, None).await
            } else {
                (leader(&nodes, None).await + 1) % 4
            };
            let gone = nodes.remove(leaving);
            let id = gone.id().clone();
            let node = gone.node.clone();
            env::spawn(async move { node.leave(SCENARIO_TIMEOUT).await });
            let watched_nodes: Vec<&TestNode> = nodes.iter().chain([&gone]).collect();
            watched("departure", &watched_nodes, || status(&nodes[0], &id).is_none()).await;
            settle(&nodes).await;
            until("its own end", || gone.has_stopped()).await;
            assert_eq!(
                leaves(&nodes[0]),
                [(id.to_string(), LeaveReason::GracefulShutdown)]
            );
        });
    }
}

/// Found by killing things: who is taken out is sent no more of the log, and waited for ever for what it says.
#[test]
fn a_node_that_leaves_ends_though_its_log_never_tells_it_that_it_is_out() {
    for seed in 1..=4 {
        simulate(seed, async |world| {
            let mut nodes = world.cluster(4).await;
            let leading = leader(&nodes, None).await;
            let gone = nodes.remove((leading + 1) % 4);
            let id = gone.id().clone();
            let node = gone.node.clone();
            env::spawn(async move { node.leave(SCENARIO_TIMEOUT).await });
            let held = || {
                let topology = nodes[0].topology();
                let partitions = topology.partitions.iter();
                partitions.filter(|p| p.copy(&id).is_some()).count()
            };
            until("drain", || held() == 0).await;
            world.network.isolate(gone.addr());
            until("departure", || status(&nodes[0], &id).is_none()).await;
            world.network.heal();
            until("its own end", || gone.has_stopped()).await;
        });
    }
}

#[test]
fn the_last_active_node_cannot_leave() {
    simulate(1, async |world| {
        let nodes = world.cluster(1).await;
        let refused = nodes[0].leave(SCENARIO_TIMEOUT).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Refused, "{refused}");
        write(&nodes[0], "still here").await;
    });
}

#[test]
fn everybody_knows_how_an_application_is() {
    simulate(2, async |world| {
        let nodes = world.cluster(3).await;
        let long = "disk full ".repeat(100);
        nodes[1].report_health(clusterkit::model::NodeHealthState::Degraded, &long);
        let told = |sim: &TestNode| {
            sim.events()
                .iter()
                .filter_map(|event| match &event.kind {
                    EventKind::ClusterHealthChange(health) => Some(health.status.clone()),
                    _ => None,
                })
                .collect::<Vec<_>>()
        };
        for sim in &nodes {
            until("bad news", || told(sim).last().is_some_and(|s| s == "degraded")).await;
        }
        let revision = nodes[0].revision();
        env::sleep(Duration::from_secs(5)).await;
        assert_eq!(nodes[0].revision(), revision, "it is said once");
        nodes[1].report_health(clusterkit::model::NodeHealthState::Healthy, "");
        for sim in &nodes {
            until("good news", || told(sim).last().is_some_and(|s| s == "healthy")).await;
        }
    });
}

/// A node that was failed and lives has its log and its vote: it may be elected before it is a member again.
#[test]
fn a_failed_node_that_comes_to_lead_lets_itself_back_in() {
    for seed in 1..=6 {
        simulate(seed, async |world| {
            let nodes = world.cluster(3).await;
            let old = leader(&nodes, None).await;
            let failed = (old + 1) % 3;
            let id = nodes[failed].id().clone();
            world.network.isolate(nodes[failed].addr());
            until("failure", || status(&nodes[old], &id) == Some(NodeStatus::Failed)).await;
            world.network.heal();
            // Handed leadership as soon as it has the log, and as a rule before it has asked to be let in.
            let deadline = Instant::now() + SCENARIO_TIMEOUT;
            while nodes[old].step_down(Some(id.clone())).await.is_err() {
                assert!(Instant::now() < deadline, "nobody takes over");
            }
            settle(&nodes).await;
            served(&all(&nodes)).await;
            assert_same_streams(&nodes).await;
        });
    }
}

#[test]
fn a_joiner_has_its_lease_before_the_next_sync_would_be_due() {
    simulate(3, async |world| {
        let first = world.start(1, &[]).await;
        let began = Instant::now();
        let second = world.start(2, &[1]).await;
        assert!(
            began.elapsed() < Duration::from_millis(250),
            "{:?}",
            began.elapsed()
        );
        assert!(first.is_leased() && second.is_leased());
    });
}

/// Its silence is known to whoever takes over, and is not counted anew.
#[test]
fn a_leader_that_is_killed_is_failed_as_soon_as_any_other_node() {
    for seed in 1..=10 {
        simulate(seed, async |world| {
            let mut nodes = world.cluster(4).await;
            let leading = leader(&nodes, None).await;
            served(&all(&nodes)).await;
            let gone = nodes.remove(leading);
            let id = gone.id().to_string();
            let killed = Instant::now();
            gone.kill(None);
            leader(&nodes, None).await;
            let elected = killed.elapsed();
            until("failure", || status(&nodes[0], &id) == Some(NodeStatus::Failed)).await;
            let failed = killed.elapsed();
            let failure_timeout = nodes[0].topology().config.failure_timeout();
            assert!(
                failed < failure_timeout + elected * 3 / 4,
                "elected after {elected:?}, failed after {failed:?}"
            );
            served(&all(&nodes)).await;
        });
    }
}

/// A log that failed takes nothing in, so the node never hears again what was taken from it or given to it.
#[test]
fn a_node_whose_log_has_failed_leaves_its_partitions_to_others_and_says_so() {
    for seed in 1..=10 {
        simulate(seed, async |world| {
            let nodes = world.cluster(4).await;
            let leader = leader(&nodes, None).await;
            // It may be the leader itself.
            let failing = (leader + seed as usize) % 4;
            let id = nodes[failing].id().to_string();
            served(&all(&nodes)).await;
            let began = Instant::now();
            nodes[failing].disk().set_faults(Faults {
                capacity: Some(0),
                ..Faults::default()
            });
            let others: Vec<&TestNode> = (0..4).filter(|i| *i != failing).map(|i| &nodes[i]).collect();
            write(others[0], "what finds no room").await;
            watched("its failure", &all(&nodes), || {
                others
                    .iter()
                    .all(|sim| status(sim, &id) == Some(NodeStatus::Failed))
            })
            .await;
            // Nobody had to wait until its silence showed it: it said so with what would have been its next sync, or
            // when there was another leader.
            let waited = began.elapsed();
            let failure_timeout = others[0].topology().config.failure_timeout();
            assert!(
                waited < failure_timeout / 2,
                "failed after {waited:?} (it was the leader: {})",
                failing == leader
            );
            served(&others).await;
            let complaint = nodes[failing].unhealthy_reason().unwrap();
            assert!(complaint.contains("Raft has stopped"), "{complaint}");
        });
    }
}
