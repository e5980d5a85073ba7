//! What a lookup costs beside a bare MD5 of the same key, in the same run.
//!
//! A program of its own and not criterion: the results are ratios, and only rounds that take turns
//! within one run make ratios that mean something on a machine with other work to do.
#![allow(clippy::print_stdout, reason = "a benchmark's output is its result")]
#![allow(missing_docs, reason = "a program, not an interface")]

#[path = "../tests/support/topology.rs"]
mod support;

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use clusterkit::model::{Partition, Topology};
use clusterkit::routing::{ClusterView, SharedView, partition_for, partitions_for_many};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 400;

fn main() {
    let small = Arc::new(support::topology(256, 10));
    let large = Arc::new(support::topology(16384, 1000));
    let mut verdicts = Vec::new();
    for (what, topology, key_length) in [
        ("256 partitions, 10 nodes", &small, 16),
        ("256 partitions, 10 nodes", &small, 100),
        ("16384 partitions, 1000 nodes", &large, 16),
    ] {
        let shared = SharedView::new(ClusterView::new(Arc::clone(topology), 1, "node-00003"));
        println!("\n{what}, keys of {key_length} bytes");
        let ratios = lookups(&shared, &keys(key_length));
        if verdicts.is_empty() {
            verdicts.push(("key -> partition / bare md5", ratios[1], "<=", 1.25));
            verdicts.push(("key -> primary node / bare md5", ratios[2], "<=", 1.35));
        }
    }
    for (what, key_length) in [
        ("many keys of 8 bytes / bare md5", 8),
        ("many keys of 16 bytes / bare md5", 16),
        ("many keys of 40 bytes / bare md5", 40),
    ] {
        println!("\nkeys of {key_length} bytes, without a view");
        let ratios = many_keys(&keys(key_length));
        // With AVX2. Narrower vectors come near it.
        verdicts.push((what, ratios[2], "<=", 0.25));
    }
    let shared = SharedView::new(ClusterView::new(small, 1, "node-00003"));
    verdicts.push(("two threads / one", two_threads(&shared, &keys(16)), ">=", 1.95));
    views(&large);

    println!("\n{:<34} {:>8}   aim", "ratio", "measured");
    for (what, ratio, relation, aim) in verdicts {
        let met = if relation == "<=" {
            ratio <= aim
        } else {
            ratio >= aim
        };
        println!(
            "{what:<34} {ratio:>8.3}   {relation} {aim:.2}  {}",
            if met { "met" } else { "MISSED" }
        );
    }
}

/// Keys such as applications use, all of the same length.
fn keys(length: usize) -> Vec<Vec<u8>> {
    (0..4096)
        .map(|n| format!("user:{n:0>width$}", width = length - 5).into_bytes())
        .collect()
}

/// Prints nanoseconds a key for each form of lookup; returns the ratios to the first, a bare MD5.
fn lookups(shared: &SharedView, keys: &[Vec<u8>]) -> Vec<f64> {
    let count = shared.load().partition_count();
    let mut numbers = Vec::with_capacity(keys.len());
    let forms: Vec<Form<'_>> = vec![
        bare_md5(keys),
        one_by_one(keys, count),
        (
            "key -> primary node (load)",
            Box::new(|| {
                for key in keys {
                    let view = shared.load();
                    black_box(view.primary_node(black_box(key)));
                }
            }),
        ),
        (
            "key -> is primary (load)",
            Box::new(|| {
                for key in keys {
                    black_box(shared.load().is_primary_for_key(black_box(key)));
                }
            }),
        ),
        (
            "key -> role and nodes (load)",
            Box::new(|| {
                for key in keys {
                    let view = shared.load();
                    let found = view.am_i_responsible_for(black_box(key));
                    black_box(found.map(|found| (found.role, found.nodes.count())));
                }
            }),
        ),
        (
            "many keys -> partitions, one call",
            Box::new(|| {
                numbers.clear();
                let view = shared.load();
                black_box(view.route_many(black_box(keys).iter().map(Vec::as_slice), &mut numbers));
                black_box(&numbers);
            }),
        ),
        (
            "many keys -> counts, one call",
            Box::new(|| {
                let view = shared.load();
                black_box(view.count_by_primary(black_box(keys).iter().map(Vec::as_slice)));
            }),
        ),
    ];
    take_turns(forms, keys.len(), median)
}

/// The same for the numbers of partitions alone, one by one and many at once, by the fastest round of each: who shares
/// the core slows down lanes, which use all of it, more than a chain of steps that wait for each other.
fn many_keys(keys: &[Vec<u8>]) -> Vec<f64> {
    let mut numbers = vec![0; keys.len()];
    let many = || {
        let keys = black_box(keys).iter().map(Vec::as_slice);
        black_box(partitions_for_many(keys, black_box(256), &mut numbers));
        black_box(&numbers);
    };
    let forms = vec![
        bare_md5(keys),
        one_by_one(keys, 256),
        ("many keys -> partitions, one call", Box::new(many) as _),
    ];
    take_turns(forms, keys.len(), fastest)
}

/// One pass over all keys, and its name.
type Form<'a> = (&'a str, Box<dyn FnMut() + 'a>);

fn bare_md5(keys: &[Vec<u8>]) -> Form<'_> {
    let pass = move || {
        for key in keys {
            black_box(md5::compute(black_box(key.as_slice())));
        }
    };
    ("bare md5", Box::new(pass))
}

fn one_by_one(keys: &[Vec<u8>], count: u32) -> Form<'_> {
    let pass = move || {
        for key in keys {
            black_box(partition_for(black_box(key), black_box(count)));
        }
    };
    ("key -> partition", Box::new(pass))
}

/// Prints nanoseconds a key for each form, by one of its rounds; returns the ratios to the first.
fn take_turns(mut forms: Vec<Form<'_>>, keys: usize, choose: fn(Vec<Duration>) -> Duration) -> Vec<f64> {
    let mut times = vec![Vec::with_capacity(ROUNDS); forms.len()];
    for _ in 0..ROUNDS {
        for ((_, form), times) in forms.iter_mut().zip(&mut times) {
            let start = Instant::now();
            form();
            times.push(start.elapsed());
        }
    }
    let per_key = |time: Duration| time.as_nanos() as f64 / keys as f64;
    let chosen: Vec<f64> = times.into_iter().map(|times| per_key(choose(times))).collect();
    for ((what, _), time) in forms.iter().zip(&chosen) {
        println!(
            "  {what:<34} {time:>7.1} ns  {:>6.3} x bare md5",
            time / chosen[0]
        );
    }
    chosen.iter().map(|time| time / chosen[0]).collect()
}

/// How much more two threads look up than one does in the same time.
///
/// By the time that the threads spent on a processor: whatever they do to each other (a shared counter,
/// a lock's cache line) makes each lookup dearer and shows; other programs on the machine do not. The
/// wall clock is printed beside it.
fn two_threads(shared: &SharedView, keys: &[Vec<u8>]) -> f64 {
    const PASSES: usize = 60;
    let run = |threads: usize| {
        let barrier = Barrier::new(threads);
        std::thread::scope(|scope| {
            let started: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        black_box(shared.load().revision());
                        barrier.wait();
                        let (wall, cpu) = (Instant::now(), thread_time());
                        for _ in 0..PASSES {
                            for key in keys {
                                let view = shared.load();
                                black_box(view.primary_node(black_box(key)));
                            }
                        }
                        (wall.elapsed(), thread_time().saturating_sub(cpu))
                    })
                })
                .collect();
            let mut slowest = (Duration::ZERO, Duration::ZERO);
            for thread in started {
                if let Ok((wall, cpu)) = thread.join() {
                    slowest = (slowest.0.max(wall), slowest.1.max(cpu));
                }
            }
            slowest
        })
    };
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..60 {
        one.push(run(1));
        two.push(run(2));
    }
    let lookups = (PASSES * keys.len()) as f64;
    let wall = |runs: &[(Duration, Duration)]| median(runs.iter().map(|run| run.0).collect()).as_secs_f64();
    let cpu = |runs: &[(Duration, Duration)]| median(runs.iter().map(|run| run.1).collect()).as_secs_f64();
    println!("\nkey -> primary node (load), million lookups a second");
    println!(
        "  one thread {:.2}, two {:.2}; ratio {:.3} by the wall clock, {:.3} by processor time",
        lookups / wall(&one) / 1e6,
        2.0 * lookups / wall(&two) / 1e6,
        2.0 * wall(&one) / wall(&two),
        2.0 * cpu(&one) / cpu(&two),
    );
    2.0 * cpu(&one) / cpu(&two)
}

fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// What the applier pays for a view of a large cluster.
fn views(topology: &Arc<Topology>) {
    let view = ClusterView::new(Arc::clone(topology), 1, "node-00003");
    let mut changed = (**topology).clone();
    if let Some(partition) = changed.partitions.get_mut(100) {
        *partition = Arc::new(Partition {
            epoch: 2,
            ..(**partition).clone()
        });
    }
    let changed = Arc::new(changed);
    println!("\na view of 16384 partitions, 1000 nodes");
    print_time(
        "built anew",
        time(30, || {
            black_box(ClusterView::new(Arc::clone(topology), 2, "node-00003"));
        }),
    );
    print_time(
        "updated, one partition changed",
        time(100, || {
            black_box(view.updated(&changed, 2));
        }),
    );
    print_time(
        "same topology, next revision",
        time(1000, || {
            black_box(view.with_revision(2));
        }),
    );
}

fn print_time(what: &str, time: Duration) {
    println!("  {what:<34} {time:>12.1?}");
}

fn time(rounds: usize, mut work: impl FnMut()) -> Duration {
    let times = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    median(times)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn fastest(times: Vec<Duration>) -> Duration {
    times.into_iter().min().unwrap_or_default()
}
