//! What the proofs between two peers cost, beside none of them in the same run: connections made in a second, calls in a
//! second, and memory of a connection.
//!
//! Both ends run in this process, on two runtime threads: everything is paid for twice.

#[path = "support/calls.rs"]
mod calls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use calls::CALL_TIMEOUT;
use clusterkit::net::{
    Handler, Keyring, Lane, LocalIdentity, NetLimits, PeerServer, Security, TcpTransport, Tls, TlsOwner,
    TlsPem, Transport, bind,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};

const RUN: Duration = Duration::from_secs(1);
/// Every way is measured so many times, in turn, and the best counts: what else the machine does only takes away.
const ROUNDS: usize = 3;
/// The environment variable with the number of the way whose memory this process measures.
const MEMORY_OF: &str = "CLUSTERKIT_BENCH_MEMORY_OF";
const SECRET: &str = "9f1d2c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff0";
/// Transports whose connections are held at once, each with one for each lane.
const HELD_TRANSPORTS: u32 = 100;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How the peers prove themselves.
struct Way {
    name: &'static str,
    of: [Security; 2],
}

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let ways = ways()?;
    if let Ok(number) = std::env::var(MEMORY_OF) {
        let way = ways.get(number.parse::<usize>()?).ok_or("no such way")?;
        let bytes = runtime.block_on(memory(way))?;
        print(&bytes.to_string());
        return Ok(());
    }
    runtime.block_on(async {
        for in_flight in [1, 16] {
            let mut best = [0.0_f64; 4];
            for _ in 0..ROUNDS {
                for (way, best) in ways.iter().zip(&mut best) {
                    *best = best.max(handshakes(way, in_flight).await?);
                }
            }
            report(
                &format!("connections made, {in_flight} at once"),
                "/s",
                &ways,
                &best,
            );
        }
        for (size, in_flight) in [(200, 1), (200, 64), (64 << 10, 16)] {
            let mut best = [0.0_f64; 4];
            for _ in 0..ROUNDS {
                for (way, best) in ways.iter().zip(&mut best) {
                    *best = best.max(calls_in(way, size, in_flight).await?);
                }
            }
            report(
                &format!("calls of {size} bytes, {in_flight} in flight"),
                "/s",
                &ways,
                &best,
            );
        }
        Ok::<(), Failure>(())
    })?;
    let mut bytes = [0.0; 4];
    for (number, bytes) in bytes.iter_mut().enumerate() {
        *bytes = memory_in_new_process(number)?;
    }
    report("memory of a connection, both ends", "bytes", &ways, &bytes);
    Ok(())
}

/// What was freed by an earlier measurement is used again by the next one, so each has a process of its own.
fn memory_in_new_process(way: usize) -> Result<f64, Failure> {
    let mut process = std::process::Command::new(std::env::current_exe()?);
    let output = process.env(MEMORY_OF, way.to_string()).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its result")]
fn print(line: &str) {
    println!("{line}");
}

fn report(what: &str, unit: &str, ways: &[Way], values: &[f64]) {
    for (way, value) in ways.iter().zip(values) {
        let of_plain = value / values[0];
        let name = way.name;
        print(&format!(
            "{what:<38} {name:<14} {value:>9.0} {unit:<5}  {of_plain:>5.2} of plain"
        ));
    }
}

fn ways() -> Result<[Way; 4], Failure> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    let key = KeyPair::generate()?;
    let ca = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    let tls = |node: &str| -> Result<Option<Tls>, Failure> {
        let mut params = CertificateParams::default();
        let uri = format!("clusterkit://bench/peer/{node}");
        params.subject_alt_names.push(SanType::URI(uri.try_into()?));
        let key = KeyPair::generate()?;
        let pem = TlsPem {
            cert: params.signed_by(&key, &issuer)?.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
            ca: ca.clone().into_bytes(),
        };
        let owner = TlsOwner {
            cluster: "bench".to_owned(),
            node: node.to_owned(),
            has_secret: false,
        };
        Ok(Some(Tls::new(owner, &pem)?))
    };
    let keyring = || Keyring::new("bench", SECRET).map(Some);
    let nodes = ["node-1", "node-2"];
    let secret = Security::new(keyring()?, None, false);
    Ok([
        Way {
            name: "plain",
            of: [Security::none(), Security::none()],
        },
        Way {
            name: "secret",
            of: [secret.clone(), secret],
        },
        Way {
            name: "TLS",
            of: [
                Security::new(None, tls(nodes[0])?, false),
                Security::new(None, tls(nodes[1])?, false),
            ],
        },
        Way {
            name: "secret and TLS",
            of: [
                Security::new(keyring()?, tls(nodes[0])?, false),
                Security::new(keyring()?, tls(nodes[1])?, false),
            ],
        },
    ])
}

async fn serve(way: &Way) -> Result<(PeerServer, Arc<str>), Failure> {
    let echo: Handler = Arc::new(|request, connection| {
        connection.mark_proven();
        Box::pin(std::future::ready(request))
    });
    let identity = Arc::new(LocalIdentity::new("node-1".into()));
    let server = PeerServer::new("bench", echo, NetLimits::default(), way.of[0].clone(), identity);
    let listener = bind("127.0.0.1:0").await?;
    let addr: Arc<str> = listener.local_addr()?.to_string().into();
    server.listen(listener);
    Ok((server, addr))
}

fn transport(way: &Way) -> TcpTransport {
    let transport = TcpTransport::new("bench", NetLimits::default(), way.of[1].clone());
    transport.identify(Arc::new(LocalIdentity::new("node-2".into())));
    transport
}

/// Connections made in a second, each with one call.
async fn handshakes(way: &Way, at_once: u32) -> Result<f64, Failure> {
    let (server, addr) = serve(way).await?;
    let start = Instant::now();
    let dialling = async || {
        let mut count = 0_u32;
        while start.elapsed() < RUN {
            let transport = transport(way);
            transport
                .call(&addr, Lane::Control, Bytes::from_static(b"ask"), CALL_TIMEOUT)
                .await?;
            transport.close();
            count += 1;
        }
        Ok::<u32, Failure>(count)
    };
    let counts = futures_util::future::join_all((0..at_once).map(|_| dialling())).await;
    let count = counts.into_iter().sum::<Result<u32, Failure>>()?;
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    server.close(Duration::ZERO).await;
    Ok(rate)
}

/// Calls in a second over one connection.
async fn calls_in(way: &Way, size: usize, in_flight: u32) -> Result<f64, Failure> {
    let (server, addr) = serve(way).await?;
    let transport = Arc::new(transport(way));
    let body = Bytes::from(vec![7; size]);
    let rate = calls::rate(&transport, &addr, Lane::Request, body, in_flight, RUN).await?;
    transport.close();
    server.close(Duration::ZERO).await;
    Ok(rate)
}

/// Resident memory of an open connection that has carried one call, with both of its ends.
async fn memory(way: &Way) -> Result<f64, Failure> {
    let (server, addr) = serve(way).await?;
    // What all connections share is made by the first.
    let first = transport(way);
    first
        .call(&addr, Lane::Control, Bytes::from_static(b"ask"), CALL_TIMEOUT)
        .await?;
    let before = resident()?;
    let mut held = Vec::new();
    for _ in 0..HELD_TRANSPORTS {
        let transport = transport(way);
        for lane in Lane::ALL {
            transport
                .call(&addr, lane, Bytes::from_static(b"ask"), CALL_TIMEOUT)
                .await?;
        }
        held.push(transport);
    }
    let bytes = resident()? - before;
    let connections = f64::from(HELD_TRANSPORTS) * Lane::ALL.len() as f64;
    for transport in held {
        transport.close();
    }
    server.close(Duration::ZERO).await;
    Ok(bytes / connections)
}

/// The resident memory of this process, in bytes.
fn resident() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
        .ok_or("no VmRSS")?;
    Ok(kib * 1024.0)
}
