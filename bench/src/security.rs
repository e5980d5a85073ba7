//! What proofs and TLS cost: durable writes and lookups of protected clusters beside those of one that is not, in turns, and
//! how long each is without a leader that was killed.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use clusterkit::ClusterKit;

use crate::Outcome;
use crate::cluster::{Kind, Nodes, PARTITIONS};
use crate::failover;
use crate::protection::Protection;
use crate::report::{Aim, Report, percentile};
use crate::writes;

const WRITERS: usize = 64;
/// How often each cluster has its turn.
const ROUNDS: usize = 5;
/// Lookups in one turn.
const LOOKUPS: u32 = 1_000_000;

/// A cluster, and what was measured of it in each round.
struct Measured {
    protection: Protection,
    nodes: Nodes,
    writes: Vec<f64>,
    cpu: Vec<f64>,
    lookups: Vec<f64>,
}

/// Measures writes, lookups and failover. What a connection and a call cost is in the core's own benchmark
/// (ck-core/benches/tls.rs).
pub(crate) fn measure(report: &mut Report, dir: &Path, turn: Duration, trials: usize) -> Outcome {
    println!("security: clusters of 3 nodes in this process, {WRITERS} writers, {ROUNDS} turns each");
    let mut clusters = Vec::new();
    for protection in Protection::ALL {
        let mut nodes = Nodes::none_of(dir, kind(protection))?;
        nodes.add(3)?;
        nodes.wait_until_formed()?;
        clusters.push(Measured {
            protection,
            nodes,
            writes: Vec::new(),
            cpu: Vec::new(),
            lookups: Vec::new(),
        });
    }
    for _ in 0..ROUNDS {
        for cluster in &mut clusters {
            let leader = cluster.nodes.leader()?;
            let rate = writes::write(leader, WRITERS, turn)?;
            cluster.writes.push(rate.per_second);
            cluster.cpu.push(rate.cpu_micros);
            cluster.lookups.push(nanos_of_a_lookup(leader));
        }
    }
    let plain = percentile(&clusters[0].writes, 50);
    for cluster in clusters {
        cluster.nodes.stop()?;
        let (rate, name) = (percentile(&cluster.writes, 50), cluster.protection.name());
        let note = format!("{:.1} us of CPU per write", percentile(&cluster.cpu, 50));
        let what = format!("writes with security {name}, {WRITERS} at once");
        report.add(what, rate, "/s", None, note);
        let aim = match cluster.protection {
            Protection::None => None,
            Protection::Secret => Some(0.95),
            Protection::Tls | Protection::Both => Some(0.85),
        };
        if let Some(aim) = aim {
            report.add(
                "  of those without",
                rate / plain,
                "",
                Some(Aim::AtLeast(aim)),
                "",
            );
        }
        report.add(
            "  a lookup",
            percentile(&cluster.lookups, 50),
            "ns",
            None,
            "is_primary",
        );
    }
    for protection in [Protection::None, Protection::Both] {
        println!("failover with security {}", protection.name());
        failover::killed(report, dir, kind(protection), &failover::LAN, trials)?;
    }
    Ok(())
}

fn kind(protection: Protection) -> Kind {
    Kind {
        protection,
        ..Kind::default()
    }
}

fn nanos_of_a_lookup(node: &ClusterKit) -> f64 {
    let began = Instant::now();
    for lookup in 0..LOOKUPS {
        black_box(node.is_primary(black_box(lookup % PARTITIONS)));
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKUPS)
}
