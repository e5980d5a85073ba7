//! Calls of somebody who has found out how members talk, and who has no secret to know. What he may say about members.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use serde::Serialize;

use super::failure::{claims, watched};
use super::tests::{simulate, write};
use super::{SCENARIO_TIMEOUT, SimNode, World, leader, settle, until};
use crate::env::{self, Instant};
use crate::error::ErrorCode;
use crate::model::{LeaveReason, NodeId, NodeStatus};
use crate::net::Lane;
use crate::rpc::{
    JoinRequest, MemberAnswer, MemberCall, MemberReply, MemberRequest, Pong, ProcessTag, Service, decode,
    encode,
};
use crate::state::{Command, NodeSpec};

const STRANGER: &str = "10.0.0.99:7000";

/// What a node answers to a call from the stranger's machine.
async fn ask(world: &World, to: &SimNode, call: MemberCall, epoch: u64) -> MemberAnswer {
    let request = MemberRequest {
        cluster: cluster_id(to),
        forwarded: true,
        call,
        from: None,
        epoch,
    };
    let body = Service::Member.envelope(&encode(&request).unwrap());
    let transport = world.network.transport(STRANGER);
    let answer = transport
        .call(to.addr(), Lane::Request, body, SCENARIO_TIMEOUT)
        .await
        .unwrap();
    decode(&answer, "an answer").unwrap()
}

fn cluster_id(sim: &SimNode) -> String {
    sim.node.view().topology().cluster_id.clone()
}

/// A machine that says of itself whatever helps it.
fn pose_as(world: &World, node: NodeId, tag: ProcessTag, cluster_id: String) {
    let answer = MemberAnswer::Done(MemberReply::Pong(Pong {
        node_id: node,
        tag,
        cluster_id,
        cluster_name: "clusterkit-cluster".to_owned(),
        forming: None,
    }));
    let answer: Bytes = encode(&answer).unwrap();
    let handler = move |_, _| std::future::ready(answer.clone()).boxed();
    world.network.serve(STRANGER, Arc::new(handler));
}

fn join(of: &SimNode, process: u64) -> MemberCall {
    let view = of.node.view();
    let known = view.my_node().unwrap();
    MemberCall::Join(Box::new(JoinRequest {
        spec: NodeSpec {
            id: known.id.clone(),
            name: known.name.clone(),
            ip: STRANGER.to_owned(),
            port: 7000,
            peer_addr: STRANGER.to_owned(),
            services: known.services.clone(),
            zone: None,
            weight: known.weight,
            labels: known.labels.clone(),
            process,
            raft_id: Some(known.raft_id),
        },
        cluster_name: view.topology().config.cluster_name.clone(),
        cluster_id: Some(view.topology().cluster_id.clone()),
        partition_count: None,
        replication_factor: None,
        lease_ttl_ms: None,
        failure_timeout_ms: None,
        election_timeout_ms: None,
    }))
}

fn refusal_of(answer: &MemberAnswer) -> Option<ErrorCode> {
    match answer {
        MemberAnswer::Refused(error) => Some(error.code()),
        _ => None,
    }
}

fn refusal(answer: MemberAnswer) -> Option<ErrorCode> {
    match answer {
        MemberAnswer::Join(answer) => answer.result.err().map(|error| error.code()),
        MemberAnswer::Refused(error) => Some(error.code()),
        other => panic!("{other:?}"),
    }
}

/// One join moved a live node to a stranger: the number that proves which process asks was told to everybody.
#[test]
fn a_live_node_is_not_moved_to_a_stranger() {
    simulate(41, async |world| {
        let nodes = world.cluster(3).await;
        let leads = leader(&nodes, None).await;
        let victim = &nodes[(leads + 1) % 3];
        let id = victim.node.id().clone();
        let tag = match ask(&world, victim, MemberCall::Ping, 0).await {
            MemberAnswer::Done(MemberReply::Pong(pong)) => pong.tag,
            other => panic!("{other:?}"),
        };
        let process = victim.node.process();
        assert_eq!(tag, ProcessTag::of(process));
        pose_as(&world, id.clone(), tag, cluster_id(victim));
        // What he was told is no proof.
        let told: u64 = decode(&encode(&tag).unwrap(), "a number").unwrap();
        assert_ne!(told, process);
        let refused = ask(&world, &nodes[leads], join(victim, told), 0).await;
        assert!(refusal(refused).is_some());
        // And had he the number: the node answers where it is known to be.
        let refused = ask(&world, &nodes[leads], join(victim, process), 0).await;
        assert_eq!(refusal(refused), Some(ErrorCode::JoinRefused));
        let where_it_is = |sim: &SimNode| sim.node.view().node(&id).map(|node| node.peer_addr.clone());
        let revision = write(&nodes[leads], "after").await;
        for sim in &nodes {
            until("all to have what was written", || {
                sim.node.view().revision() >= revision
            })
            .await;
            assert_eq!(where_it_is(sim).as_deref(), Some(victim.addr()));
        }
        settle(&nodes).await;
    });
}

/// The removal of a node that died, seen on the wire and repeated when the node is back.
#[test]
fn a_removal_that_is_repeated_does_not_take_out_the_next_process() {
    simulate(42, async |world| {
        let mut nodes = world.cluster(3).await;
        let leads = leader(&nodes, None).await;
        let victim = nodes.remove((leads + 1) % 3);
        let id = victim.node.id().clone();
        let meant = victim.incarnation();
        let removal = MemberCall::Remove {
            node: id.clone(),
            force: true,
            incarnation: Some(meant),
        };
        let victim = world.crash_and_restart(victim, 7).await;
        nodes.push(victim);
        settle(&nodes).await;
        let leads = leader(&nodes, None).await;
        let refused = ask(&world, &nodes[leads], removal, 0).await;
        assert_eq!(refusal(refused), Some(ErrorCode::Busy));
        settle(&nodes).await;
        assert!(
            nodes
                .iter()
                .all(|sim| { sim.node.view().node(&id).map(|node| node.status) == Some(NodeStatus::Active) })
        );
    });
}

/// Found by fuzzing: a leader of which a stranger said that it stops was let down by its own log. Its session was over, and it
/// led on and wrote nothing any more, not even that it is back.
#[test]
fn whoever_is_said_to_stop_and_goes_on_writes_on() {
    for (seed, size) in [(45, 1), (46, 3)] {
        simulate(seed, async |world| {
            let nodes = world.cluster(size).await;
            for about in 0..nodes.len() {
                let says = |node: NodeId, incarnation| {
                    [
                        MemberCall::Stop {
                            node: node.clone(),
                            incarnation,
                        },
                        MemberCall::Failed { node, incarnation },
                    ]
                };
                for which in 0..2 {
                    let leads = leader(&nodes, None).await;
                    let victim = &nodes[about];
                    let call = says(victim.node.id().clone(), victim.incarnation())[which].clone();
                    let answer = ask(&world, &nodes[leads], call, 0).await;
                    // Others may stop, as far as the leader can tell; it knows of itself that it does not.
                    assert_eq!(
                        refusal_of(&answer),
                        (leads == about).then_some(ErrorCode::Refused)
                    );
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
        simulate(seed, async |world| {
            let nodes = world.cluster(3).await;
            let all: Vec<&SimNode> = nodes.iter().collect();
            let leads = leader(&nodes, None).await;
            let cut = (leads + 1) % 3;
            let (node, incarnation) = (nodes[cut].node.id().clone(), nodes[cut].incarnation());
            until("it to act", || claims(&all)[cut] > 0).await;
            let call = match seed % 2 {
                0 => MemberCall::Stop {
                    node: node.clone(),
                    incarnation,
                },
                _ => MemberCall::Failed {
                    node: node.clone(),
                    incarnation,
                },
            };
            world.network.isolate(nodes[cut].addr());
            let said = ask(&world, &nodes[leads], call, 0);
            let others: Vec<_> = (0..3).filter(|other| *other != cut).collect();
            let partitions = all[leads].node.view().partition_count() as usize;
            let taken = watched("others to act", &all, || {
                let acting = claims(&all);
                others.iter().map(|other| acting[*other]).sum::<usize>() == partitions
            });
            futures_util::join!(said, taken);
            world.network.heal();
            settle(&nodes).await;
        });
    }
}

/// A leader of which the log says that it stopped: another leader had put it there, and then this one came to lead.
#[test]
fn a_leader_of_which_the_log_says_that_it_stopped_comes_back() {
    simulate(47, async |world| {
        let nodes = world.cluster(1).await;
        let member = nodes[0].node.raft_parts().unwrap();
        let stopped = Command::MarkDown {
            node: nodes[0].node.id().clone(),
            incarnation: nodes[0].incarnation(),
            reason: LeaveReason::GracefulShutdown,
            promotions: Vec::new(),
            planned_on: nodes[0].node.context.applied.state().topology_revision(),
            silent_ms: 0,
            unleased_from: None,
        };
        let done = member
            .proposer
            .propose_here(stopped, SCENARIO_TIMEOUT)
            .await
            .unwrap();
        assert!(done.result.is_ok(), "{done:?}");
        settle(&nodes).await;
        write(&nodes[0], "after").await;
    });
}

/// An order for the leader before the present one does nothing, whatever it is.
#[test]
fn orders_that_are_repeated_under_a_later_leader_do_nothing() {
    simulate(43, async |world| {
        let nodes = world.cluster(3).await;
        let leads = leader(&nodes, None).await;
        let epoch = nodes[leads].node.view().topology().leader_epoch;
        nodes[leads].node.step_down(None).await.unwrap();
        let leads = leader(&nodes, Some(leads)).await;
        until("the new epoch", || {
            nodes[leads].node.view().topology().leader_epoch > epoch
        })
        .await;
        for call in [
            MemberCall::Maintenance {
                reason: Some("again".to_owned()),
            },
            MemberCall::Rebalance,
            MemberCall::StepDown {
                to: None,
                cooldown_ms: None,
            },
        ] {
            let refused = ask(&world, &nodes[leads], call.clone(), epoch).await;
            assert_eq!(refusal(refused), Some(ErrorCode::NotLeader), "{call:?}");
        }
        env::sleep(SCENARIO_TIMEOUT / 60).await;
        assert_eq!(leader(&nodes, None).await, leads);
        let now = nodes[leads].node.view().topology().leader_epoch;
        let call = MemberCall::Maintenance { reason: None };
        let done = ask(&world, &nodes[leads], call, now).await;
        assert!(matches!(done, MemberAnswer::Done(_)), "{done:?}");
    });
}

/// Ten megabytes of reasons, a name of a million letters: refused before they are decoded, or before they are kept.
#[test]
fn what_members_are_told_is_bounded() {
    simulate(44, async |world| {
        let nodes = world.cluster(1).await;
        let long = "x".repeat(1 << 20);
        let call = MemberCall::Maintenance {
            reason: Some(long.clone()),
        };
        let refused = ask(&world, &nodes[0], call, 0).await;
        assert_eq!(refusal(refused), Some(ErrorCode::TooLarge));
        let MemberCall::Join(mut request) = join(&nodes[0], 5) else {
            panic!("a join");
        };
        request.spec.id = "stranger\n\u{1b}[31m".into();
        request.spec.raft_id = None;
        let refused = ask(&world, &nodes[0], MemberCall::Join(request), 0).await;
        assert_eq!(refusal(refused), Some(ErrorCode::InvalidArgument));
        assert_eq!(nodes[0].node.view().topology().nodes.len(), 1);
    });
}

/// A call between Raft nodes as it is on the wire.
#[derive(Serialize)]
struct RaftRequest {
    cluster: String,
    from: u64,
    to: u64,
    call: RaftCall,
}

#[derive(Serialize)]
enum RaftCall {
    Heartbeat(Vote),
}

#[derive(Clone, Copy, Serialize)]
struct Vote {
    term: u64,
    node: u64,
    committed: bool,
}

/// Whoever pledges to a leader that Raft knows nothing of is bound to nobody else for ever: no leader had a lease any more.
#[test]
fn heartbeats_of_a_leader_that_there_is_not_bind_nobody() {
    simulate(45, async |world| {
        let nodes = world.cluster(3).await;
        let leads = leader(&nodes, None).await;
        let epoch = nodes[leads].node.view().topology().leader_epoch;
        for term in [1_000, 1 << 31, 1 << 62, u64::MAX] {
            for sim in &nodes {
                let to = sim.node.view().my_node().unwrap().raft_id;
                let request = RaftRequest {
                    cluster: cluster_id(sim),
                    from: 77,
                    to,
                    call: RaftCall::Heartbeat(Vote {
                        term,
                        node: 77,
                        committed: true,
                    }),
                };
                let body = Service::Raft.envelope(&encode(&request).unwrap());
                let transport = world.network.transport(STRANGER);
                transport
                    .call(sim.addr(), Lane::Control, body, SCENARIO_TIMEOUT)
                    .await
                    .unwrap();
            }
        }
        let began = Instant::now();
        while began.elapsed() < SCENARIO_TIMEOUT / 6 {
            env::sleep(SCENARIO_TIMEOUT / 600).await;
            assert!(
                nodes[leads].node.is_leader(),
                "its lease ended after {:?}",
                began.elapsed()
            );
        }
        assert_eq!(nodes[leads].node.view().topology().leader_epoch, epoch);
        write(&nodes[(leads + 1) % 3], "after").await;
        // The next one has a lease too.
        nodes[leads].node.step_down(None).await.unwrap();
        leader(&nodes, Some(leads)).await;
        settle(&nodes).await;
    });
}
