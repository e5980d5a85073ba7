//! Processes that are killed, stopped where they are, or get no time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ck_tests::claims::{self, Claims, Subject};
use clusterkit::model::NodeStatus;

use crate::support::{LONG_OUTAGE, Machine, Scene};

#[test]
fn kill_9_of_the_leader_of_a_follower_and_of_several_makes_no_two_owners() {
    let mut scene = Scene::of(Machine::shared(), 5, &[]);
    // Counted from the leader.
    for victims in [&[0][..], &[1], &[0, 1]] {
        let leader = scene.cluster.leader();
        let gone: Vec<usize> = victims.iter().map(|place| (leader + place) % 5).collect();
        for place in &gone {
            scene.kill(*place);
        }
        scene.progress();
        let left = (0..5).find(|place| !gone.contains(place)).unwrap();
        scene.taken_over(left, &gone);
        for place in &gone {
            scene.restart(*place);
        }
        for place in gone {
            scene.wait_status(left, place, NodeStatus::Active);
        }
    }
    scene.finish("kill -9");
}

/// Stops nodes where they are for longer than every timeout. When they go on they find that nothing is theirs.
fn stopped_for_long(machine: Machine, victims: usize) {
    let scene = Scene::of(machine, 3, &[]);
    let leader = scene.cluster.leader();
    let stopped: Vec<usize> = (0..victims).map(|i| (leader + i) % 3).collect();
    let left = (leader + 2) % 3;
    for place in &stopped {
        scene.cluster.nodes()[*place].pause();
    }
    let since = claims::now();
    thread::sleep(LONG_OUTAGE);
    if victims == 1 {
        scene.progress();
        scene.taken_over(left, &stopped);
    }
    let held: Vec<Claims> = {
        let history = scene.history();
        let last = |place: &usize| {
            let id = scene.id(*place);
            let samples = history.samples_of(&id).filter(|sample| sample.to < since);
            samples.last().unwrap().claims.clone()
        };
        stopped.iter().map(last).collect()
    };
    let woken = claims::now();
    for place in &stopped {
        scene.cluster.nodes()[*place].resume();
    }
    scene.progress();
    for place in &stopped {
        scene.wait_status(left, *place, NodeStatus::Active);
    }
    scene.served_since(woken);
    let ids: Vec<String> = stopped.iter().map(|place| scene.id(*place)).collect();
    let history = scene.finish("SIGSTOP for longer than every timeout");
    for (id, held) in ids.iter().zip(held) {
        assert!(!held.is_empty(), "{id} had nothing to lose");
        // Samples that were begun before the stop may hold an answer from before it.
        let after: Vec<_> = history
            .samples_of(id)
            .filter(|sample| sample.from > woken)
            .collect();
        let first = after.first().unwrap();
        println!(
            "{id} claimed {} before; its first sample afterwards, {:?} after it was woken, claims {}",
            held.len(),
            Duration::from_nanos(first.from - woken),
            first.claims.len()
        );
        // Whatever it claims from now on was given to it anew; where it was given to others first, its epoch shows.
        if victims == 1 {
            for sample in after {
                for (subject, epoch) in &sample.claims {
                    let old = held.get(subject).copied().unwrap_or(0);
                    assert!(
                        *epoch > old,
                        "{id} woke up and claimed {subject} with epoch {epoch}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_leader_that_was_stopped_for_longer_than_every_timeout_claims_nothing_when_it_goes_on() {
    stopped_for_long(Machine::shared(), 1);
}

#[test]
fn when_most_nodes_were_stopped_for_long_the_cluster_goes_on_as_they_do() {
    stopped_for_long(Machine::shared(), 2);
}

#[test]
fn a_stop_that_is_shorter_than_the_lease_changes_no_primary() {
    let scene = Scene::of(Machine::shared(), 3, &[]);
    let before = scene.history().epochs_at(claims::now());
    for _ in 0..2 {
        for place in 0..3 {
            scene.cluster.nodes()[place].pause();
            // A lease is 1.5 s long and renewed every 0.5 s: it lasts for another 1 s at least.
            thread::sleep(Duration::from_millis(600));
            scene.cluster.nodes()[place].resume();
            scene.progress();
            // Its lease is renewed before it is stopped again.
            thread::sleep(Duration::from_millis(600));
        }
    }
    assert!(scene.failures().is_empty(), "{:?}", scene.failures());
    let after = scene
        .finish("SIGSTOP for less than a lease")
        .epochs_at(claims::now());
    assert_eq!(without_leader(after), without_leader(before), "roles moved");
}

fn without_leader(mut claims: Claims) -> Claims {
    claims.remove(&Subject::Leadership);
    claims
}

/// Busy loops, until this is dropped.
struct Busy {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<u64>>,
}

impl Busy {
    fn start(loops: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spin = |_| {
            let stop = stop.clone();
            thread::spawn(move || {
                let mut turns = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    turns = turns.wrapping_add(1);
                }
                turns
            })
        };
        let threads = (0..loops).map(spin).collect();
        Busy { stop, threads }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for spinning in self.threads.drain(..) {
            let _ = spinning.join();
        }
    }
}

/// How long the processor is kept busy.
fn starvation() -> Duration {
    match std::env::var("CHAOS_MINUTES") {
        Ok(minutes) => Duration::from_secs(60 * minutes.parse::<u64>().unwrap()),
        Err(_) => Duration::from_secs(6),
    }
}

#[test]
fn with_every_core_busy_nobody_is_declared_failed() {
    let scene = Scene::of(Machine::alone(), 3, &[]);
    let before = scene.history().epochs_at(claims::now());
    let cores = thread::available_parallelism().unwrap().get();
    let busy = Busy::start(cores * 2);
    thread::sleep(starvation());
    scene.progress();
    drop(busy);
    assert!(scene.failures().is_empty(), "failed: {:?}", scene.failures());
    let after = scene.finish("busy cores").epochs_at(claims::now());
    assert_eq!(without_leader(after), without_leader(before), "roles moved");
}
