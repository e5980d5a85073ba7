//! A seed is one history, in every line.
#![cfg(feature = "sim")]

use ck_simulation::{Plan, run};

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [7, 11, 23] {
        let plan = Plan::draw(seed);
        let (first, second) = (run(&plan), run(&plan));
        for (a, b) in first.trace.iter().zip(&second.trace) {
            assert_eq!(a, b, "seed {seed}");
        }
        assert_eq!(first.hash, second.hash, "seed {seed}");
    }
}

#[test]
fn another_seed_gives_another_trace() {
    assert_ne!(run(&Plan::draw(7)).hash, run(&Plan::draw(8)).hash);
}
