//! Facts of now in simulated time: who is named leader, and for how long after its end.

use std::time::Duration;

use clusterkit::env::{self, Instant};
use clusterkit::http::KeyRole;

use crate::world::{leader, simulate, until, write};

/// More than a lease of 1.5 s by any clock here.
const PAST: Duration = Duration::from_millis(1_600);

#[test]
fn a_survivor_names_no_leader_when_a_lease_has_passed() {
    for seed in 1..=2 {
        simulate(seed, async |world| {
            let nodes = world.cluster(3).await;
            let led = leader(&nodes, None).await;
            for sim in &nodes {
                until("the leader is known", || sim.leader().is_some()).await;
                assert!(sim.cluster(false).leader == nodes[led].id().clone());
            }
            for sim in &nodes {
                world.network.isolate(sim.addr());
            }
            env::sleep(PAST).await;
            for sim in &nodes {
                assert_eq!(sim.leader(), None, "{}", sim.id());
                assert_eq!(&*sim.cluster(false).leader, "");
                assert_eq!(&*sim.consensus_stats().leader, "");
                let contact = sim.contact();
                assert!(!contact.leader_known);
                assert!(
                    contact
                        .last_contact
                        .is_some_and(|age| age >= PAST - Duration::from_millis(600))
                );
                assert!(!sim.health().healthy);
            }
            let before = nodes[0].contact().last_contact;
            let (synced, heard) = (nodes[0].health().last_sync, nodes[0].members().await.heard);
            env::sleep(PAST).await;
            assert!(nodes[0].contact().last_contact > before, "the age grows");
            assert_eq!(
                nodes[0].health().last_sync,
                synced,
                "it does not seem to have synced"
            );
            assert!(heard < 3 && nodes[0].members().await.heard == 1);
        });
    }
}

#[test]
fn a_new_leader_is_known_as_soon_as_it_has_answered() {
    simulate(3, async |world| {
        let nodes = world.cluster(3).await;
        // The sync of the third node may be on its way to the old leader, which never answers it.
        let old = leader(&nodes, None).await;
        world.network.isolate(nodes[old].addr());
        let new = leader(&nodes, Some(old)).await;
        let elected = Instant::now();
        let other = (0..3).find(|place| *place != old && *place != new).unwrap();
        let known = || {
            let leader = nodes[other].leader();
            leader.is_some_and(|leader| leader.leader_id == *nodes[new].id())
        };
        until("the third node knows", known).await;
        // Without waiting for the next sync, which is half a second away at most.
        assert!(
            elected.elapsed() < Duration::from_millis(150),
            "{:?}",
            elected.elapsed()
        );
    });
}

#[test]
fn every_member_is_seen_by_every_member_as_time_goes_on() {
    simulate(4, async |world| {
        let nodes = world.cluster(3).await;
        write(&nodes[0], "k").await;
        for sim in &nodes {
            let before = sim.members().await;
            assert_eq!((before.nodes.len(), before.heard), (3, 3));
            env::sleep(PAST).await;
            let after = sim.members().await;
            for (now, then) in after.nodes.iter().zip(&before.nodes) {
                assert!(now.last_seen > then.last_seen, "{now:?} as {} sees it", sim.id());
            }
        }
    });
}

#[test]
fn a_route_is_primary_only_under_a_lease() {
    simulate(5, async |world| {
        let nodes = world.cluster(3).await;
        let role = |place: usize| {
            let routes = nodes[place].route(&[b"user:123"]).unwrap();
            (routes.routes[0].role, routes.lease_ms)
        };
        let primaries: Vec<usize> = (0..3)
            .filter(|place| role(*place).0 == KeyRole::Primary)
            .collect();
        let [primary] = primaries[..] else {
            panic!("{primaries:?}")
        };
        assert!((1..=1_500).contains(&role(primary).1));
        world.network.isolate(nodes[primary].addr());
        env::sleep(PAST).await;
        assert_eq!(role(primary), (KeyRole::None, 0));
        // The map of the one that is cut off still names it.
        let routes = nodes[primary].route(&[b"user:123"]).unwrap();
        assert_eq!(
            routes.routes[0].primary.as_ref().unwrap().id,
            *nodes[primary].id()
        );
    });
}
