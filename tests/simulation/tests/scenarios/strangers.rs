//! Calls of somebody who has found out how members talk: in a cluster without a secret, what he may say about members; in
//! one with a secret, what a member may say about others.

use clusterkit::env::{self, Instant};
use clusterkit::model::{LeaveReason, NodeStatus};
use clusterkit::sim::{MemberOrder, SimNode, Stranger};
use clusterkit::state::{Command, NodeSpec};
use clusterkit::{Error, ErrorCode};

use crate::claims::{claims, status, watched};
use crate::world::{
    SCENARIO_TIMEOUT, TestNode, World, all, leader, settle, simulate, simulate_open, until, write,
};

/// The stranger's machine.
fn stranger(world: &World) -> Stranger {
    Stranger::new(&world.network, "10.0.0.99:7000")
}

/// A node as it would ask to join: as the record of `of` says, but at the stranger's address.
fn spec_of(of: &SimNode, at: &Stranger, process: u64) -> NodeSpec {
    let view = of.view();
    let known = view.my_node().unwrap();
    NodeSpec {
        id: known.id.clone(),
        name: known.name.clone(),
        ip: at.addr().to_owned(),
        port: 7000,
        peer_addr: at.addr().to_owned(),
        services: known.services.clone(),
        zone: None,
        weight: known.weight,
        labels: known.labels.clone(),
        process,
        raft_id: Some(known.raft_id),
    }
}

/// One join moved a live node to a stranger: the number that proves which process asks was told to everybody.
#[test]
fn a_live_node_is_not_moved_to_a_stranger() {
    simulate_open(41, async |world| {
        let nodes = world.cluster(3).await;
        let leads = leader(&nodes, None).await;
        let victim = &nodes[(leads + 1) % 3];
        let id = victim.id().clone();
        let stranger = stranger(&world);
        let told = stranger.ping(victim).await.unwrap();
        let process = victim.process();
        assert_eq!(told, victim.process_tag());
        stranger.pose_as(victim).unwrap();
        // What he was told is no proof.
        assert_ne!(told, process);
        let spec = spec_of(victim, &stranger, told);
        stranger.join(&nodes[leads], spec).await.unwrap_err();
        // And had he the number: the node answers where it is known to be.
        let spec = spec_of(victim, &stranger, process);
        let refused = stranger.join(&nodes[leads], spec).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::JoinRefused, "{refused}");
        let where_it_is = |sim: &TestNode| sim.view().node(&id).map(|node| node.peer_addr.clone());
        let revision = write(&nodes[leads], "after").await;
        for sim in &nodes {
            until("all to have what was written", || sim.revision() >= revision).await;
            assert_eq!(where_it_is(sim).as_deref(), Some(victim.addr()));
        }
        settle(&nodes).await;
    });
}

/// The removal of a node that died, seen on the wire and repeated when the node is back.
#[test]
fn a_removal_that_is_repeated_does_not_take_out_the_next_process() {
    simulate_open(42, async |world| {
        let mut nodes = world.cluster(3).await;
        let leads = leader(&nodes, None).await;
        let victim = nodes.remove((leads + 1) % 3);
        let id = victim.id().clone();
        let removal = MemberOrder::Remove {
            node: id.clone(),
            incarnation: victim.incarnation().unwrap(),
        };
        let victim = world.crash_and_restart(victim, 7).await;
        nodes.push(victim);
        settle(&nodes).await;
        let leads = leader(&nodes, None).await;
        let refused = stranger(&world)
            .order(&nodes[leads], removal, 0)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Busy, "{refused}");
        settle(&nodes).await;
        assert!(
            nodes
                .iter()
                .all(|sim| status(sim, &id) == Some(NodeStatus::Active))
        );
    });
}

/// Found by fuzzing: a leader of which a stranger said that it stops was let down by its own log. Its session was over, and it
/// led on and wrote nothing any more, not even that it is back.
#[test]
fn whoever_is_said_to_stop_and_goes_on_writes_on() {
    for (seed, size) in [(45, 1), (46, 3)] {
        simulate_open(seed, async |world| {
            let nodes = world.cluster(size).await;
            for about in 0..nodes.len() {
                for which in 0..2 {
                    let leads = leader(&nodes, None).await;
                    let victim = &nodes[about];
                    let (node, incarnation) = (victim.id().clone(), victim.incarnation().unwrap());
                    let said = match which {
                        0 => MemberOrder::Stop { node, incarnation },
                        _ => MemberOrder::Failed { node, incarnation },
                    };
                    let answer = stranger(&world).order(&nodes[leads], said, 0).await;
                    // Others may stop, as far as the leader can tell; it knows of itself that it does not.
                    let refused = (leads == about).then_some(ErrorCode::Refused);
                    assert_eq!(answer.err().map(|error| error.code()), refused);
                    settle(&nodes).await;
                    write(victim, &format!("{about} {which}")).await;
                }
            }
        });
    }
}

/// Who is said to stop may be cut off, and hear nothing of it: it acts on the lease that it has.
#[test]
fn nobody_takes_over_from_whoever_is_said_to_stop_and_has_a_lease() {
    for seed in 48..52 {
        simulate_open(seed, async |world| {
            let nodes = world.cluster(3).await;
            let all = all(&nodes);
            let leads = leader(&nodes, None).await;
            let cut = (leads + 1) % 3;
            let (node, incarnation) = (nodes[cut].id().clone(), nodes[cut].incarnation().unwrap());
            until("it to act", || claims(&all)[cut] > 0).await;
            let call = match seed % 2 {
                0 => MemberOrder::Stop { node, incarnation },
                _ => MemberOrder::Failed { node, incarnation },
            };
            world.network.isolate(nodes[cut].addr());
            let stranger = stranger(&world);
            let said = stranger.order(&nodes[leads], call, 0);
            let others: Vec<_> = (0..3).filter(|other| *other != cut).collect();
            let partitions = all[leads].view().partition_count() as usize;
            let taken = watched("others to act", &all, || {
                let acting = claims(&all);
                others.iter().map(|other| acting[*other]).sum::<usize>() == partitions
            });
            // Whether he was believed shows in what follows.
            let (_, ()) = futures_util::join!(said, taken);
            world.network.heal();
            settle(&nodes).await;
        });
    }
}

/// A leader of which the log says that it stopped: another leader had put it there, and then this one came to lead.
#[test]
fn a_leader_of_which_the_log_says_that_it_stopped_comes_back() {
    simulate_open(47, async |world| {
        let nodes = world.cluster(1).await;
        let stopped = Command::MarkDown {
            node: nodes[0].id().clone(),
            incarnation: nodes[0].incarnation().unwrap(),
            reason: LeaveReason::GracefulShutdown,
            promotions: Vec::new(),
            planned_on: nodes[0].topology_revision(),
            silent_ms: 0,
            unleased_from: None,
        };
        let done = nodes[0].propose(stopped, SCENARIO_TIMEOUT).await.unwrap();
        assert!(done.result.is_ok(), "{done:?}");
        settle(&nodes).await;
        write(&nodes[0], "after").await;
    });
}

/// An order for the leader before the present one does nothing, whatever it is.
#[test]
fn orders_that_are_repeated_under_a_later_leader_do_nothing() {
    simulate_open(43, async |world| {
        let nodes = world.cluster(3).await;
        let leads = leader(&nodes, None).await;
        let epoch = nodes[leads].topology().leader_epoch;
        nodes[leads].step_down(None).await.unwrap();
        let leads = leader(&nodes, Some(leads)).await;
        until("the new epoch", || nodes[leads].topology().leader_epoch > epoch).await;
        let stranger = stranger(&world);
        for order in [
            MemberOrder::Maintenance(Some("again".to_owned())),
            MemberOrder::Rebalance,
            MemberOrder::StepDown,
        ] {
            let refused = stranger.order(&nodes[leads], order.clone(), epoch).await;
            assert_eq!(refused.unwrap_err().code(), ErrorCode::NotLeader, "{order:?}");
        }
        env::sleep(SCENARIO_TIMEOUT / 60).await;
        assert_eq!(leader(&nodes, None).await, leads);
        let now = nodes[leads].topology().leader_epoch;
        let order = MemberOrder::Maintenance(None);
        stranger.order(&nodes[leads], order, now).await.unwrap();
    });
}

/// Ten megabytes of reasons, a name of a million letters: refused before they are decoded, or before they are kept.
#[test]
fn what_members_are_told_is_bounded() {
    simulate_open(44, async |world| {
        let nodes = world.cluster(1).await;
        let stranger = stranger(&world);
        let order = MemberOrder::Maintenance(Some("x".repeat(1 << 20)));
        let refused = stranger.order(&nodes[0], order, 0).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::TooLarge, "{refused}");
        let spec = NodeSpec {
            id: "stranger\n\u{1b}[31m".into(),
            raft_id: None,
            ..spec_of(&nodes[0], &stranger, 5)
        };
        let refused = stranger.join(&nodes[0], spec).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidArgument, "{refused}");
        assert_eq!(nodes[0].topology().nodes.len(), 1);
    });
}

/// Whoever pledges to a leader that Raft knows nothing of is bound to nobody else for ever: no leader had a lease any more.
#[test]
fn heartbeats_of_a_leader_that_there_is_not_bind_nobody() {
    simulate_open(45, async |world| {
        let nodes = world.cluster(3).await;
        let leads = leader(&nodes, None).await;
        let epoch = nodes[leads].topology().leader_epoch;
        let stranger = stranger(&world);
        for term in [1_000, 1 << 31, 1 << 62, u64::MAX] {
            for sim in &nodes {
                // Refused, or heard without a pledge.
                let pledged = stranger.heartbeat(sim, 77, term).await.ok().flatten();
                assert_eq!(pledged, None, "in term {term}");
            }
        }
        let began = Instant::now();
        while began.elapsed() < SCENARIO_TIMEOUT / 6 {
            env::sleep(SCENARIO_TIMEOUT / 600).await;
            assert!(
                nodes[leads].is_leader(),
                "its lease ended after {:?}",
                began.elapsed()
            );
        }
        assert_eq!(nodes[leads].topology().leader_epoch, epoch);
        write(&nodes[(leads + 1) % 3], "after").await;
        // The next one has a lease too.
        nodes[leads].step_down(None).await.unwrap();
        leader(&nodes, Some(leads)).await;
        settle(&nodes).await;
    });
}

/// Where the cluster has a secret, whoever does not know it gets no answer at all.
#[test]
fn a_stranger_without_the_secret_is_not_heard() {
    for connections in [false, true] {
        simulate(48, async |world| {
            if connections {
                world.network.use_connections();
            }
            let nodes = world.cluster(3).await;
            let leads = leader(&nodes, None).await;
            let stranger = stranger(&world);
            let unheard = |error: Error| assert_eq!(error.code(), ErrorCode::Unauthenticated, "{error}");
            unheard(stranger.ping(&nodes[leads]).await.unwrap_err());
            unheard(stranger.heartbeat(&nodes[leads], 9, 1_000).await.unwrap_err());
            for order in [
                MemberOrder::Rebalance,
                MemberOrder::StepDown,
                MemberOrder::Maintenance(None),
            ] {
                unheard(stranger.order(&nodes[leads], order, 0).await.unwrap_err());
            }
            settle(&nodes).await;
        });
    }
}

/// A member that has turned: it knows the secret, and still is only who it said when it connected.
#[test]
fn a_member_acts_in_its_own_name_only() {
    for connections in [false, true] {
        simulate(49, async |world| {
            if connections {
                world.network.use_connections();
            }
            let nodes = world.cluster(3).await;
            let leads = leader(&nodes, None).await;
            let victim = &nodes[(leads + 1) % 3];
            let turned = Stranger::with_identity(&world.network, "10.0.0.98:7000", "turned");
            let (id, incarnation) = (victim.id().clone(), victim.incarnation().unwrap());
            for order in [
                MemberOrder::Stop {
                    node: id.clone(),
                    incarnation,
                },
                MemberOrder::Failed {
                    node: id.clone(),
                    incarnation,
                },
            ] {
                let error = turned.order(&nodes[leads], order, 0).await.unwrap_err();
                assert_eq!(error.code(), ErrorCode::Refused, "{error}");
            }
            // Raft calls in the name of another node.
            let raft_id = victim.raft_id().unwrap();
            let error = turned.heartbeat(&nodes[leads], raft_id, 1_000).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error}");
            // A proposal in the session of another: it would take the place of that node's next write, or settle it.
            let session = incarnation;
            let error = turned
                .propose_in(&nodes[leads], session, "forged")
                .await
                .unwrap_err();
            assert_eq!(error.code(), ErrorCode::Refused, "{error}");
            write(victim, "its own").await;
            assert_eq!(status(&nodes[leads], &id), Some(NodeStatus::Active));
            settle(&nodes).await;
        });
    }
}
