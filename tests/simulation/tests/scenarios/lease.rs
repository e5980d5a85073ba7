//! What a leader's lease and a linearizable read count from: when the very request was sent that was acknowledged.

use std::time::Duration;

use clusterkit::Expect;
use clusterkit::env::{self, Instant};

use crate::world::{TestNode, World, leader, simulate, write};

/// Shorter than any timeout, and longer than anything takes on this network.
const A_WHILE: Duration = Duration::from_millis(30);
const MOMENT: Duration = Duration::from_millis(5);

/// Three nodes, of which the leader has an entry acknowledged long ago and does not know it: the answers are held,
/// and since [`MOMENT`] after it was sent nothing reaches the others.
struct Late {
    nodes: Vec<TestNode>,
    leader: usize,
    /// When nothing reached the others any more.
    cut: Instant,
}

impl Late {
    async fn of(world: &World) -> Late {
        let nodes = world.cluster(3).await;
        let leader = leader(&nodes, None).await;
        write(&nodes[leader], "before").await;
        let late = |others: &dyn Fn(&str, &str)| {
            for other in (0..3).filter(|other| *other != leader) {
                others(nodes[leader].addr(), nodes[other].addr());
            }
        };
        late(&|leader, other| world.network.clog_one_way(other, leader));
        let node = nodes[leader].node.clone();
        env::spawn(async move {
            let key = "late".to_owned();
            // What comes of it does not matter.
            drop(node.set_data(key, "x".into(), Expect::Any, A_WHILE * 20).await);
        });
        env::sleep(MOMENT).await;
        late(&|leader, other| world.network.cut_one_way(leader, other));
        let cut = Instant::now();
        env::sleep(A_WHILE).await;
        Late { nodes, leader, cut }
    }

    /// The answers arrive, one node's after the other's: with the first the entry is committed, of which the leader
    /// tells both at once, and then it hears that the other has it, too.
    async fn answers_arrive(&self, world: &World) {
        for other in (0..3).filter(|other| *other != self.leader) {
            world
                .network
                .unclog_one_way(self.nodes[other].addr(), self.nodes[self.leader].addr());
            env::sleep(MOMENT).await;
        }
    }
}

#[test]
fn a_lease_counts_from_the_request_that_was_acknowledged_not_from_a_later_one() {
    for seed in 1..=10 {
        simulate(seed, async |world| {
            let late = Late::of(&world).await;
            late.answers_arrive(&world).await;
            let leader = &late.nodes[late.leader];
            let lease = leader.leader_lease_until().unwrap();
            // Nobody heard of this leader since the cut, so nobody keeps still for longer than that.
            let longest = late.cut + leader.leader_lease().unwrap();
            assert!(lease <= longest, "{:?} too long", lease.since(longest));
        });
    }
}

#[test]
fn a_read_is_not_confirmed_by_an_answer_to_what_was_sent_before_it() {
    for seed in 1..=10 {
        simulate(seed, async |world| {
            let late = Late::of(&world).await;
            let node = late.nodes[late.leader].node.clone();
            let reading = env::spawn(async move { node.read_barrier(A_WHILE).await });
            env::sleep(MOMENT).await;
            late.answers_arrive(&world).await;
            let read = reading.await.unwrap();
            assert!(read.is_err(), "confirmed by nobody: {read:?}");
        });
    }
}
