//! Lookups through the handle. `cargo bench --bench routing` of ck-core has the details.

use std::hint::black_box;
use std::time::Instant;

use clusterkit::{ClusterKit, Options};

use crate::Outcome;
use crate::report::{Report, median};

const ROUND: u32 = 200_000;
const ROUNDS: usize = 7;

/// Measures looking a key up.
pub(crate) fn measure(report: &mut Report) -> Outcome {
    println!("lookups");
    let mut options = Options::new("node-1", "127.0.0.1:0");
    options.data_dir = String::new();
    let node = ClusterKit::new(options)?;
    node.start()?;
    let keys: Vec<String> = (0..1024).map(|i| format!("user:{i}")).collect();
    let time = |look: &dyn Fn(&[u8]) -> bool| {
        let rounds = (0..ROUNDS).map(|_| {
            let started = Instant::now();
            for key in keys.iter().cycle().take(ROUND as usize) {
                black_box(look(black_box(key.as_bytes())));
            }
            started.elapsed().as_secs_f64() * 1e9 / f64::from(ROUND)
        });
        median(rounds.collect())
    };
    let primary = time(&|key| node.view().primary_node(key).is_some());
    report.add(
        "key -> primary node",
        primary,
        "ns",
        None,
        "cargo bench --bench routing has more",
    );
    let mine = time(&|key| node.is_primary_for_key(key));
    report.add(
        "key -> is it mine now?",
        mine,
        "ns",
        None,
        "with lease and phase checked",
    );
    node.stop()?;
    Ok(())
}
