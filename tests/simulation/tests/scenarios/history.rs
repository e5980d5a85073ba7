//! A seed is one history of a scenario, in everything that was seen.

use std::time::Duration;

use clusterkit::env::{self, Instant};
use clusterkit::{ErrorCode, Expect};

use crate::streams::assert_same_streams;
use crate::world::{World, all_have, leader, leads, settle, simulate, write};

/// Forms, writes, cuts the leader off, heals; gives everything that was seen.
async fn the_leader_is_cut_off(world: World) -> Vec<String> {
    let nodes = world.cluster(3).await;
    let mut trace = vec![format!("formed at {}", Instant::now().nanos())];
    let first = write(&nodes[1], "before").await;
    all_have(&nodes, first, &["before"]).await;
    let old = leader(&nodes, None).await;
    let epoch = nodes[old].leader_epoch().unwrap();
    world.network.isolate(nodes[old].addr());
    let began = Instant::now();
    let new = leader(&nodes, Some(old)).await;
    trace.push(format!("{old} -> {new} after {:?}", began.elapsed()));
    assert!(nodes[new].leader_epoch().unwrap() > epoch);
    assert!(!nodes[old].is_leader());
    let lost = nodes[old]
        .set_data(
            "lost".to_owned(),
            "x".into(),
            Expect::Any,
            Duration::from_millis(200),
        )
        .await
        .unwrap_err();
    assert!(
        matches!(lost.code(), ErrorCode::Timeout | ErrorCode::NoLeader),
        "{lost}"
    );
    let during = write(&nodes[new], "during").await;
    world.network.heal();
    let after = write(&nodes[old], "after").await;
    assert!(after > during);
    all_have(&nodes, after, &["before", "during", "after"]).await;
    settle(&nodes).await;
    leader(&nodes, None).await;
    env::sleep(Duration::from_secs(5)).await;
    leads(&nodes);
    assert_same_streams(&nodes).await;
    for sim in &nodes {
        trace.push(format!("{} at {}", sim.id(), sim.revision()));
        trace.extend(
            sim.events()
                .iter()
                .map(|event| serde_json::to_string(event).unwrap()),
        );
    }
    for sim in nodes.iter().rev() {
        sim.stop().await.unwrap();
    }
    trace.push(format!("ended at {}", Instant::now().nanos()));
    trace
}

#[test]
fn one_seed_gives_one_history() {
    for seed in 1..=4 {
        let first = simulate(seed, the_leader_is_cut_off);
        let second = simulate(seed, the_leader_is_cut_off);
        for (a, b) in first.iter().zip(&second) {
            assert_eq!(a, b, "seed {seed}");
        }
        assert_eq!(first.len(), second.len());
    }
}
