//! A sequence of faults that a seed decides.

use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::network::Net;
use crate::support::{Machine, Scene};

const NODES: usize = 5;

/// How long the sequence goes on, and from which seed.
fn settings() -> (Duration, u64) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let length = match number("CHAOS_MINUTES") {
        Some(minutes) => Duration::from_secs(60 * minutes),
        None => Duration::from_secs(12),
    };
    (length, number("CHAOS_SEED").unwrap_or(1))
}

/// What is done to a node, and undone.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill,
    Stop,
    Pause,
    Isolate,
    StepDown,
}

#[test]
fn any_sequence_of_faults_makes_no_two_owners_and_loses_no_write() {
    let (length, seed) = settings();
    println!("soak: seed {seed}, {length:?}");
    let end = Instant::now() + length;
    let mut round = 0;
    // A cluster lives for a while, so that what is checked at its end stays small.
    while Instant::now() < end {
        let until = end.min(Instant::now() + Duration::from_secs(60));
        some_faults(seed.wrapping_add(round), until);
        round += 1;
    }
}

fn some_faults(seed: u64, end: Instant) {
    let mut random = StdRng::seed_from_u64(seed);
    let net = Net::make("cuts in a random sequence", NODES);
    let mut scene = match &net {
        Some(net) => {
            let mut scene = Scene::empty(Machine::shared(), &[]);
            net.populate(&mut scene);
            scene
        }
        None => Scene::of(Machine::shared(), NODES, &[]),
    };
    let mut done = Vec::new();
    while Instant::now() < end {
        let mut places: Vec<usize> = (0..NODES).collect();
        places.shuffle(&mut random);
        // As many as may be missing.
        places.truncate(random.random_range(1..=NODES / 2));
        let mut faults = vec![Fault::Kill, Fault::Stop, Fault::Pause, Fault::StepDown];
        if net.is_some() {
            faults.push(Fault::Isolate);
        }
        let fault = faults[random.random_range(0..faults.len())];
        // Shorter than a lease, about as long as one, longer than every timeout.
        let pause = Duration::from_millis(random.random_range(50..3_500));
        println!("soak: seed {seed}: {fault:?} of {places:?} for {pause:?}");
        for place in &places {
            begin(&mut scene, net.as_ref(), fault, *place);
        }
        thread::sleep(pause);
        for place in &places {
            undo(&mut scene, net.as_ref(), fault, *place);
        }
        // Mostly all is well again before the next one.
        if random.random_ratio(2, 3) {
            scene.progress();
        }
        done.push(fault);
    }
    scene.finish(&format!("soak with seed {seed}, {} faults", done.len()));
}

fn begin(scene: &mut Scene, net: Option<&Net>, fault: Fault, place: usize) {
    match fault {
        Fault::Kill => scene.kill(place),
        Fault::Stop => drop(scene.cluster.node(place).stop()),
        Fault::Pause => scene.cluster.nodes()[place].pause(),
        Fault::Isolate => net.unwrap().isolate(place).unwrap(),
        // Refused where it does not lead, or nobody can take over just then.
        Fault::StepDown => drop(scene.cluster.nodes()[place].command("step-down")),
    }
}

fn undo(scene: &mut Scene, net: Option<&Net>, fault: Fault, place: usize) {
    match fault {
        Fault::Kill | Fault::Stop => scene.restart(place),
        Fault::Pause => scene.cluster.nodes()[place].resume(),
        Fault::Isolate => net.unwrap().heal(),
        Fault::StepDown => {}
    }
}
