//! What proofs cost: durable writes of a cluster with a secret beside those of one without, in turns.

use std::path::Path;
use std::time::Duration;

use crate::Outcome;
use crate::cluster::{Kind, Nodes};
use crate::report::{Aim, Report};
use crate::writes;

/// The secret of the clusters that are measured.
pub(crate) const SECRET: &str = "0yxn6Zq3Tk4uVwA9bCdE2fGhIjKlMnOpQrStUvWxYz1";
const WRITERS: usize = 64;
/// How often each cluster has its turn.
const ROUNDS: usize = 5;

/// Measures writes. What a connection and a call cost is in the core's own benchmark (ck-core/benches/tls.rs).
pub(crate) fn measure(report: &mut Report, dir: &Path, turn: Duration) -> Outcome {
    println!("security: clusters of 3 nodes in this process, {WRITERS} writers, {ROUNDS} turns each");
    let kinds = [("none", false), ("secret", true)];
    let mut clusters = Vec::new();
    for (name, secured) in kinds {
        let kind = Kind {
            secured,
            ..Kind::default()
        };
        let mut nodes = Nodes::none_of(dir, kind)?;
        nodes.add(3)?;
        nodes.wait_until_formed()?;
        clusters.push((name, nodes, Vec::new(), Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (_, nodes, rates, cpu) in &mut clusters {
            let rate = writes::write(nodes.leader()?, WRITERS, turn)?;
            rates.push(rate.per_second);
            cpu.push(rate.cpu_micros);
        }
    }
    let median = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let plain = median(&clusters[0].2);
    for (name, nodes, rates, cpu) in clusters {
        nodes.stop()?;
        let rate = median(&rates);
        report.add(
            format!("writes with security {name}, {WRITERS} at once"),
            rate,
            "/s",
            None,
            format!("{:.1} us of CPU per write", median(&cpu)),
        );
        if name != "none" {
            report.add(
                "  of those without",
                rate / plain,
                "",
                Some(Aim::AtLeast(0.95)),
                "",
            );
        }
    }
    Ok(())
}
