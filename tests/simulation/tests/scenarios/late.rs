//! Machines whose timers run late: a leader that lives goes on leading, and one that is dead is replaced as soon as ever.

use std::time::Duration;

use clusterkit::env::sim_process::SimProcess;
use clusterkit::env::{self, Instant};

use crate::claims::watched;
use crate::world::{TestNode, World, leader, simulate, until};

/// Long enough for what was sent to arrive, and to be answered.
const A_MOMENT: Duration = Duration::from_millis(30);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Three nodes, each of which can stand still.
struct Machines {
    nodes: Vec<TestNode>,
}

impl Machines {
    async fn start(world: &World) -> Machines {
        Machines {
            nodes: world.cluster(3).await,
        }
    }

    /// These stand still for `time`, and go on for a moment.
    async fn stall(&self, which: &[usize], time: Duration) {
        let stalled = || which.iter().map(|i| self.nodes[*i].sim_process());
        stalled().for_each(SimProcess::pause);
        env::sleep(time).await;
        stalled().for_each(SimProcess::resume);
        env::sleep(A_MOMENT).await;
    }

    fn epoch(&self) -> u64 {
        let epochs = self.nodes.iter().map(|sim| sim.topology().leader_epoch);
        epochs.max().unwrap_or(0)
    }

    fn stretch(&self) -> u32 {
        self.nodes[0].health().election_stretch
    }
}

#[test]
fn a_leader_that_lives_is_not_replaced_because_timers_are_late() {
    for seed in 1..=3 {
        simulate(seed, async |world| {
            let machines = Machines::start(&world).await;
            let leads = leader(&machines.nodes, None).await;
            let epoch = machines.epoch();
            for round in 0..40 {
                // One machine for all, which has too much to do: three times the longest election timeout at a time.
                machines.stall(&[0, 1, 2], ms(100 + 20 * round)).await;
            }
            for round in 0..40 {
                // And one that is throttled, whoever's it is.
                machines.stall(&[round % 3], ms(300)).await;
                machines.stall(&[leads], ms(300)).await;
            }
            assert_eq!(machines.epoch(), epoch, "seed {seed}");
        });
    }
}

#[test]
fn timeouts_follow_the_delays_and_come_back_when_it_is_quiet() {
    for seed in 1..=2 {
        simulate(seed, async |world| {
            let machines = Machines::start(&world).await;
            let leads = leader(&machines.nodes, None).await;
            let epoch = machines.epoch();
            assert_eq!(machines.stretch(), 1);
            let mut time = ms(100);
            while time < ms(1_500) {
                // What grows slowly is followed, far beyond what the options bear.
                machines.stall(&[leads], time).await;
                env::sleep(ms(500)).await;
                time = time * 11 / 10;
            }
            assert_eq!(machines.epoch(), epoch, "seed {seed}");
            until("timeouts that are stretched", || machines.stretch() == 8).await;
            assert!(machines.nodes[leads].health().delay_ms > 1_000);
            // Quiet: step by step they come back.
            let began = Instant::now();
            while machines.stretch() > 1 {
                assert!(
                    began.elapsed() < Duration::from_secs(180),
                    "still {}",
                    machines.stretch()
                );
                env::sleep(ms(100)).await;
            }
            assert!(began.elapsed() > Duration::from_secs(30));
            assert_eq!(machines.epoch(), epoch, "seed {seed}");
            // A dead leader is replaced in the published time again.
            machines.nodes[leads].sim_process().kill();
            let killed = Instant::now();
            let others: Vec<&TestNode> = (0..3)
                .filter(|i| *i != leads)
                .map(|i| &machines.nodes[i])
                .collect();
            watched("a new leader", &others, || {
                others.iter().any(|sim| sim.is_leader())
            })
            .await;
            let took = killed.elapsed();
            assert!(took < ms(750), "seed {seed}: replaced after {took:?}");
        });
    }
}

#[test]
fn a_leader_that_hears_of_nobody_falls_silent_and_is_replaced() {
    for seed in 1..=10 {
        simulate(seed, async |world| {
            let machines = Machines::start(&world).await;
            let leads = leader(&machines.nodes, None).await;
            // The others hear all that it says; it hears nothing.
            for other in (0..3).filter(|other| *other != leads) {
                world
                    .network
                    .cut_one_way(machines.nodes[other].addr(), machines.nodes[leads].addr());
            }
            let cut = Instant::now();
            leader(&machines.nodes, Some(leads)).await;
            let took = cut.elapsed();
            assert!(took < ms(2_500), "seed {seed}: replaced after {took:?}");
        });
    }
}
