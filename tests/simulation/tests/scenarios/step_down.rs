//! Who leads because somebody asked, in simulated time.

use std::time::Duration;

use clusterkit::ErrorCode;
use clusterkit::env::{self, Instant};

use crate::world::{World, leader, leads, simulate, until, write};

#[test]
fn who_stepped_down_does_not_lead_again_before_its_cooldown_is_over() {
    for seed in 1..=5 {
        simulate(seed, async |world| {
            let nodes = world.cluster(3).await;
            let old = leader(&nodes, None).await;
            let cooldown = Duration::from_secs(8);
            // From any node.
            let asked = seed as usize % 3;
            let second = nodes[asked].demote(None, Some(cooldown)).await.unwrap();
            let stepped_down = Instant::now();
            assert_ne!(second, *nodes[old].id());
            let second = nodes.iter().position(|sim| *sim.id() == second).unwrap();
            world.network.isolate(nodes[second].addr());
            // Of the two that are left one rests, so it is the other.
            let third = 3 - old - second;
            assert_eq!(leader(&nodes, Some(second)).await, third);
            world.network.isolate(nodes[third].addr());
            world.network.heal();
            while stepped_down.elapsed() < cooldown - Duration::from_secs(1) {
                assert_ne!(leads(&nodes), Some(old));
                env::sleep(Duration::from_millis(20)).await;
            }
            // Asked to, it leads even while it rests, and afterwards by itself.
            let led = leader(&nodes, None).await;
            let back = nodes[led].step_down(Some(nodes[old].id().clone())).await;
            assert_eq!(back.unwrap(), *nodes[old].id());
            for i in (0..3).filter(|i| *i != old) {
                assert!(!nodes[i].is_leader());
            }
        });
    }
}

#[test]
fn a_node_that_rested_stands_for_election_again() {
    simulate(11, async |world| {
        let nodes = world.cluster(3).await;
        for _ in 0..12 {
            let led = leader(&nodes, None).await;
            nodes[led]
                .demote(None, Some(Duration::from_millis(300)))
                .await
                .unwrap();
        }
        env::sleep(Duration::from_secs(1)).await;
        // With any one of them gone, one of the others leads.
        let led = leader(&nodes, None).await;
        world.network.isolate(nodes[led].addr());
        leader(&nodes, Some(led)).await;
    });
}

#[test]
fn promotion_is_asked_of_anybody_and_refused_for_who_cannot_lead() {
    simulate(12, async |world| {
        let nodes = world.cluster(3).await;
        let old = leader(&nodes, None).await;
        let next = (old + 1) % 3;
        let id = nodes[next].id().clone();
        let asked = &nodes[(old + 2) % 3];
        assert_eq!(asked.step_down(Some(id.clone())).await.unwrap(), id);
        until("leadership", || nodes[next].is_leader()).await;
        assert_eq!(
            asked.step_down(Some(id.clone())).await.unwrap(),
            id,
            "it leads already"
        );
        let unknown = asked.step_down(Some("nobody".into())).await.unwrap_err();
        assert_eq!(unknown.code(), ErrorCode::NotFound, "{unknown}");
        world.network.isolate(nodes[old].addr());
        let refused = nodes[next]
            .step_down(Some(nodes[old].id().clone()))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Refused, "{refused}");
    });
}

#[test]
fn who_rests_leads_all_the_same_where_nobody_else_can() {
    for seed in 1..=5 {
        simulate(seed, async |world: World| {
            let nodes = world.cluster(3).await;
            let old = leader(&nodes, None).await;
            let (second, third) = ((old + 1) % 3, (old + 2) % 3);
            world.network.isolate(nodes[third].addr());
            let hour = Duration::from_secs(3600);
            let to = nodes[second].id().clone();
            nodes[old].demote(Some(to), Some(hour)).await.unwrap();
            write(&nodes[second], "the third lacks this").await;
            world.network.heal();
            world.network.isolate(nodes[second].addr());
            let began = Instant::now();
            assert_eq!(leader(&nodes, Some(second)).await, old);
            assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        });
    }
}

/// A node that is cut off, or a leader that is dead, must not make anybody believe that the order was carried out.
#[test]
fn nobody_is_said_to_lead_who_does_not() {
    simulate(12, async |world| {
        let nodes = world.cluster(3).await;
        let old = leader(&nodes, None).await;
        let (alone, other) = ((old + 1) % 3, (old + 2) % 3);
        let id = |i: usize| nodes[i].id().clone();
        // Who leads already is answered at once, from every node.
        for sim in &nodes {
            assert_eq!(sim.step_down(Some(id(old))).await.unwrap(), id(old));
        }
        world.network.isolate(nodes[alone].addr());
        let fooled = nodes[alone].step_down(Some(id(old))).await;
        assert!(fooled.is_err(), "a node that is cut off said {fooled:?}");
        world.network.reconnect(nodes[alone].addr());
        let led = nodes[alone].step_down(Some(id(other))).await.unwrap();
        assert_eq!(led, id(other));
        until("its lease", || leads(&nodes) == Some(other)).await;
    });
}
