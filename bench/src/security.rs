//! What proofs cost: durable writes of a cluster with a secret beside those of one without, in turns.

use std::path::Path;
use std::time::Duration;

use clusterkit::net::{
    Keyring, Lane, LocalIdentity, NetLimits, PeerServer, Security, TcpTransport, Transport, bind,
};

use crate::Outcome;
use crate::cluster::{Kind, Nodes};
use crate::report::{Aim, Report};
use crate::writes;

/// The secret of the clusters that are measured.
pub(crate) const SECRET: &str = "0yxn6Zq3Tk4uVwA9bCdE2fGhIjKlMnOpQrStUvWxYz1";
const WRITERS: usize = 64;
/// How often each cluster has its turn.
const ROUNDS: usize = 5;
const CONNECTIONS: usize = 2_000;
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Measures writes, and then connections that are made and proved.
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
    connections(report)
}

/// Connections a second that are made, proved and called over once, one after the other.
fn connections(report: &mut Report) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let rate = |security: Security| -> Outcome<f64> {
        runtime.block_on(async {
            let identity = || std::sync::Arc::new(LocalIdentity::new("bench".into()));
            let handler: clusterkit::net::Handler =
                std::sync::Arc::new(|request, _| Box::pin(std::future::ready(request)));
            let (limits, listener) = (NetLimits::default(), bind("127.0.0.1:0").await?);
            let addr = listener.local_addr()?.to_string();
            let server = PeerServer::new("bench", handler, limits.clone(), security.clone(), identity());
            server.listen(listener);
            let started = std::time::Instant::now();
            for _ in 0..CONNECTIONS {
                let transport = TcpTransport::new("bench", limits.clone(), security.clone());
                transport.identify(identity());
                transport
                    .call(&addr, Lane::Request, Default::default(), CALL_TIMEOUT)
                    .await?;
                transport.close();
            }
            let rate = CONNECTIONS as f64 / started.elapsed().as_secs_f64();
            server.close(Duration::ZERO).await;
            Ok(rate)
        })
    };
    let plain = rate(Security::none())?;
    let secret = rate(Security::with_keyring(Keyring::new("bench", SECRET)?, false))?;
    report.add(
        "connections made and called over once, without a proof",
        plain,
        "/s",
        None,
        "",
    );
    report.add(
        "  with the secret",
        secret,
        "/s",
        None,
        format!("{:.2} of those without", secret / plain),
    );
    Ok(())
}
