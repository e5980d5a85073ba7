//! Lookups through the handle. `cargo bench --bench routing` of ck-core has the details.

use std::hint::black_box;
use std::time::Instant;

use clusterkit::routing::partitions_for_many;
use clusterkit::{ClusterKit, Options};

use crate::Outcome;
use crate::report::{Aim, Report, median};

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
    report.add(
        "many keys at once, beside a bare MD5",
        many_beside_md5(),
        "x",
        Some(Aim::AtMost(0.25)),
        "for each key, of 16 bytes; the aim is for AVX2",
    );
    Ok(())
}

/// What a key costs among many, as a part of what its MD5 costs alone. The two take turns, and the fastest round of each
/// counts: what else the machine does only makes a round slower.
fn many_beside_md5() -> f64 {
    const PASSES: usize = 400;
    let keys: Vec<String> = (0..4096).map(|i| format!("user:{i:011}")).collect();
    let mut partitions = vec![0; keys.len()];
    let (mut alone, mut many) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..PASSES {
        let started = Instant::now();
        for key in &keys {
            black_box(md5::compute(black_box(key.as_bytes())));
        }
        alone = alone.min(started.elapsed().as_secs_f64());
        let started = Instant::now();
        let keys = black_box(&keys).iter().map(String::as_bytes);
        black_box(partitions_for_many(keys, black_box(256), &mut partitions));
        black_box(&partitions);
        many = many.min(started.elapsed().as_secs_f64());
    }
    many / alone
}
