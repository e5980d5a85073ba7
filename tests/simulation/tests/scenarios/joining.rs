//! Coming in and coming back: many silent addresses, strangers at old addresses, and who may found.

use std::sync::Arc;
use std::time::Duration;

use ck_simulation::nodes::addr;
use clusterkit::env::disk::MemDisk;
use clusterkit::env::{self, Instant};
use clusterkit::model::NodeStatus;
use clusterkit::{ErrorCode, Options};

use crate::world::{SCENARIO_TIMEOUT, TestNode, World, leader, settle, simulate, until};

/// How long a node may take to come in or back where one good address is known.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// Addresses whose machines are off: nothing that is sent there is ever answered.
fn silent(world: &World, n: usize) -> Vec<String> {
    let addresses: Vec<String> = (1..=n).map(|i| format!("10.0.9.{i}:7000")).collect();
    for address in &addresses {
        world.network.isolate(address);
    }
    addresses
}

fn is_active(sim: &TestNode) -> bool {
    let view = sim.view();
    let me = view.my_node();
    me.is_some_and(|node| node.status == NodeStatus::Active) && sim.incarnation().is_some()
}

/// Starts a process in the background.
fn boot(world: &World, options: Options, disk: Arc<MemDisk>) -> TestNode {
    let sim = world.make(options, disk);
    let node = sim.node.clone();
    env::spawn(async move { drop(node.start().await) });
    sim
}

#[test]
fn a_member_is_back_within_a_second_though_twenty_addresses_are_silent() {
    for seed in 1..=3 {
        simulate(seed, async |world| {
            let mut nodes = world.cluster(4).await;
            // Two members are off as well, and remembered; the leader and one more live.
            let back = nodes.pop().unwrap();
            back.kill(None);
            let mut options = back.options().clone();
            options.join_addrs = silent(&world, 20);
            let began = Instant::now();
            let sim = world.make(options, back.disk().clone());
            sim.start().await.unwrap();
            assert!(is_active(&sim), "it is not a member again");
            assert!(began.elapsed() < SHORT_WAIT, "it took {:?}", began.elapsed());
        });
    }
}

#[test]
fn a_new_node_joins_within_a_second_though_twenty_addresses_are_silent() {
    simulate(4, async |world| {
        let nodes = world.cluster(3).await;
        let mut options = World::options(4, &[]);
        options.partition_count = None;
        options.join_addrs = silent(&world, 20);
        options.join_addrs.push(nodes[1].addr().to_owned());
        let began = Instant::now();
        let sim = world.make(options, Arc::new(MemDisk::new()));
        sim.start().await.unwrap();
        assert!(began.elapsed() < SHORT_WAIT, "it took {:?}", began.elapsed());
    });
}

/// The address of a member that is gone belongs to another cluster of the same name now.
#[test]
fn a_stranger_at_an_old_address_puts_no_member_out() {
    for seed in 1..=4 {
        simulate(seed, async |world| {
            let mut nodes = world.cluster(3).await;
            let gone = nodes.remove(leader(&nodes, None).await);
            gone.kill(None);
            let mut away = nodes.pop().unwrap();
            if seed % 2 == 0 {
                // It restarts while the stranger is there already; otherwise it is told out while it runs.
                away.kill(None);
            }
            let mut foreign = World::options(9, &[]);
            foreign.http_addr = gone.addr().to_owned();
            let stranger = world.make(foreign, Arc::new(MemDisk::new()));
            stranger.start().await.unwrap();
            if seed % 2 == 0 {
                away = boot(&world, away.options().clone(), away.disk().clone());
            }
            let stays = &nodes[0];
            until("a leader of the two that are left", || {
                stays.is_leader() || away.is_leader()
            })
            .await;
            let since = Instant::now();
            while since.elapsed() < Duration::from_secs(15) {
                for sim in [stays, &away] {
                    assert!(sim.refusal().is_none(), "{:?}", sim.refusal());
                }
                env::sleep(Duration::from_millis(20)).await;
            }
            assert!(is_active(stays) && is_active(&away));
        });
    }
}

/// Other addresses may be its cluster's: one cluster that is not the one it wants decides nothing.
#[test]
fn a_new_node_joins_its_cluster_though_another_answers_first() {
    simulate(5, async |world| {
        let nodes = world.cluster(3).await;
        let mut foreign = World::options(9, &[]);
        foreign.cluster_name = "another".to_owned();
        let stranger = world.make(foreign, Arc::new(MemDisk::new()));
        stranger.start().await.unwrap();
        // The good one is away for a while.
        world.network.isolate(nodes[1].addr());
        let mut options = World::options(4, &[]);
        options.partition_count = None;
        options.join_addrs = vec![stranger.addr().to_owned(), nodes[1].addr().to_owned()];
        let sim = boot(&world, options, Arc::new(MemDisk::new()));
        env::sleep(Duration::from_secs(4)).await;
        world.network.reconnect(nodes[1].addr());
        until("it is in", || is_active(&sim)).await;
        assert_eq!(sim.topology().cluster_id, nodes[0].topology().cluster_id);
    });
}

/// A node that may found has lost its disk, and the others live but have no leader at the moment.
#[test]
fn nothing_is_founded_while_the_others_live() {
    for seed in 1..=4 {
        simulate(seed, async |world| {
            let mut nodes = world.cluster(3).await;
            let wiped = nodes.remove(0);
            wiped.kill(None);
            // The two that are left do not hear each other: neither leads, and both say so.
            world.network.cut(nodes[0].addr(), nodes[1].addr());
            env::sleep(Duration::from_secs(2)).await;
            let mut options = wiped.options().clone();
            options.bootstrap = Some(true);
            options.join_addrs = vec![addr(2), addr(3)];
            let sim = boot(&world, options, Arc::new(MemDisk::new()));
            env::sleep(Duration::from_secs(10)).await;
            assert!(
                sim.topology().cluster_id.is_empty(),
                "it has founded a second cluster"
            );
            world.network.heal();
            nodes.push(sim);
            until("all are in one cluster", || nodes.iter().all(is_active)).await;
            let id = nodes[0].topology().cluster_id.clone();
            assert!(nodes.iter().all(|sim| sim.topology().cluster_id == id));
        });
    }
}

/// In the end it says why.
#[test]
fn a_founder_that_is_refused_founds_nothing_and_ends_with_the_refusal() {
    simulate(6, async |world| {
        let nodes = world.cluster(3).await;
        let mut options = World::options(4, &[1, 2, 3]);
        options.bootstrap = Some(true);
        options.partition_count = Some(99);
        options.join_timeout = Duration::from_secs(3);
        let sim = world.make(options, Arc::new(MemDisk::new()));
        let error = sim.start().await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ClusterMismatch, "{error}");
        settle(&nodes).await;
    });
}

#[test]
fn a_founder_with_join_addresses_and_nobody_there_founds() {
    simulate(7, async |world| {
        let mut options = World::options(1, &[2, 3]);
        options.bootstrap = Some(true);
        options.partition_count = Some(12);
        let began = Instant::now();
        let first = world.make(options, Arc::new(MemDisk::new()));
        first.start().await.unwrap();
        assert!(
            began.elapsed() < SCENARIO_TIMEOUT / 6,
            "it took {:?}",
            began.elapsed()
        );
        let others = [world.start(2, &[1, 3]).await, world.start(3, &[1, 2]).await];
        let nodes: Vec<TestNode> = std::iter::once(first).chain(others).collect();
        settle(&nodes).await;
    });
}

/// Nodes `1..=n`, configured alike: each with all addresses, its own too, and no special first one.
fn alike(n: usize, i: usize) -> Options {
    let through: Vec<usize> = (1..=n).collect();
    let mut options = World::options(i, &through);
    options.bootstrap_expect = Some(n as u32);
    options.partition_count = Some(12);
    options
}

fn cluster_ids(nodes: &[TestNode]) -> std::collections::BTreeSet<String> {
    let ids = nodes.iter().map(|sim| sim.topology().cluster_id.clone());
    ids.filter(|id| !id.is_empty()).collect()
}

/// Waits until all are members, looking all the time whether there are two clusters.
async fn form_one(nodes: &[TestNode]) {
    until("one cluster of all", || {
        assert!(cluster_ids(nodes).len() <= 1, "two clusters were founded");
        nodes.iter().all(is_active)
    })
    .await;
    settle(nodes).await;
}

#[test]
fn nodes_that_are_configured_alike_found_one_cluster_in_any_order() {
    for (seed, order) in [(1, [1, 2, 3]), (2, [3, 2, 1]), (3, [2, 3, 1])] {
        simulate(seed, async |world| {
            let mut nodes = Vec::new();
            for (place, i) in order.into_iter().enumerate() {
                if place == 2 {
                    // Two of three do not found, however long they wait.
                    env::sleep(Duration::from_secs(5)).await;
                    assert!(cluster_ids(&nodes).is_empty());
                }
                nodes.push(boot(&world, alike(3, i), Arc::new(MemDisk::new())));
            }
            form_one(&nodes).await;
        });
    }
}

#[test]
fn one_that_restarts_while_they_form_costs_no_second_cluster() {
    for seed in 1..=12_u64 {
        simulate(seed, async |world| {
            let mut nodes: Vec<TestNode> = (1..=3)
                .map(|i| boot(&world, alike(3, i), Arc::new(MemDisk::new())))
                .collect();
            // Somewhere before, within or just after the founding; each node in turn, the founder most often.
            env::sleep(Duration::from_micros(500 + 700 * seed)).await;
            let victim = if seed % 3 == 0 { seed as usize % 2 + 1 } else { 0 };
            let sim = nodes.remove(victim);
            sim.kill(Some(seed));
            env::sleep(Duration::from_millis(300 * (seed % 4))).await;
            assert!(cluster_ids(&nodes).len() <= 1);
            nodes.push(boot(&world, sim.options().clone(), sim.disk().clone()));
            form_one(&nodes).await;
        });
    }
}

/// The founder is cut off from one node as it asks for promises, and a smaller one comes: whoever founds, it is one.
#[test]
fn with_more_nodes_than_expected_and_a_bad_network_one_cluster_is_founded() {
    for seed in 1..=8_u64 {
        simulate(seed, async |world| {
            let options = |i| {
                let mut options = alike(5, i);
                options.bootstrap_expect = Some(3);
                options
            };
            let mut nodes: Vec<TestNode> = (2..=4)
                .map(|i| boot(&world, options(i), Arc::new(MemDisk::new())))
                .collect();
            world
                .network
                .cut(nodes[0].addr(), nodes[(seed % 2) as usize + 1].addr());
            env::sleep(Duration::from_millis(2 * seed)).await;
            nodes.push(boot(&world, options(1), Arc::new(MemDisk::new())));
            nodes.push(boot(&world, options(5), Arc::new(MemDisk::new())));
            env::sleep(Duration::from_millis(500 * seed)).await;
            assert!(cluster_ids(&nodes).len() <= 1);
            world.network.heal();
            form_one(&nodes).await;
        });
    }
}

#[test]
fn nodes_that_do_not_expect_the_same_say_so_and_found_nothing() {
    simulate(1, async |world| {
        let first = boot(&world, alike(3, 1), Arc::new(MemDisk::new()));
        let mut options = alike(3, 2);
        options.bootstrap_expect = Some(5);
        let second = world.make(options, Arc::new(MemDisk::new()));
        let error = second.start().await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ClusterMismatch, "{error}");
        for part in ["bootstrap_expect 5", "bootstrap_expect 3", "node-1", "node-2"] {
            assert!(error.message().contains(part), "{part} is missing: {error}");
        }
        assert!(cluster_ids(&[first, second]).is_empty());
    });
}

#[test]
fn a_set_that_is_not_complete_says_who_has_been_found() {
    simulate(1, async |world| {
        let first = boot(&world, alike(3, 1), Arc::new(MemDisk::new()));
        let mut options = alike(3, 2);
        options.join_timeout = Duration::from_secs(2);
        let second = world.make(options, Arc::new(MemDisk::new()));
        let error = second.start().await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::JoinFailed, "{error}");
        assert!(
            error.message().contains("2 of 3 nodes") && error.message().contains("node-1"),
            "{error}"
        );
        assert!(cluster_ids(&[first, second]).is_empty());
    });
}

/// It founded the cluster and lost its disk; the others live, and it is configured as on the first day.
#[test]
fn a_founder_of_a_set_that_lost_its_disk_joins_what_it_founded() {
    simulate(1, async |world| {
        let mut nodes: Vec<TestNode> = (1..=3)
            .map(|i| boot(&world, alike(3, i), Arc::new(MemDisk::new())))
            .collect();
        form_one(&nodes).await;
        let before = cluster_ids(&nodes);
        let sim = nodes.remove(0);
        sim.kill(None);
        world.network.cut(nodes[0].addr(), nodes[1].addr());
        let again = boot(&world, sim.options().clone(), Arc::new(MemDisk::new()));
        env::sleep(Duration::from_secs(8)).await;
        assert!(again.topology().cluster_id.is_empty());
        world.network.heal();
        nodes.push(again);
        form_one(&nodes).await;
        assert_eq!(cluster_ids(&nodes), before);
    });
}

/// Two nodes that may both found, which is a mistake that is easily made.
#[test]
fn two_founders_that_know_of_each_other_found_one_cluster() {
    for seed in 1..=4 {
        simulate(seed, async |world| {
            let nodes: Vec<TestNode> = [(1, [2, 3]), (2, [1, 3]), (3, [1, 2])]
                .into_iter()
                .map(|(i, through)| {
                    let mut options = World::options(i, &through);
                    options.bootstrap = Some(true);
                    options.partition_count = Some(12);
                    boot(&world, options, Arc::new(MemDisk::new()))
                })
                .collect();
            form_one(&nodes).await;
        });
    }
}
