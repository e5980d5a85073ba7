//! The load of the benchmarks of the peer network: calls from as many tasks as there are calls in flight, over one connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clusterkit::net::{Lane, TcpTransport, Transport};

/// How long one call may take.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Calls in a second, during `run`. The connection is made before.
pub(crate) async fn rate(
    transport: &Arc<TcpTransport>,
    addr: &Arc<str>,
    lane: Lane,
    body: Bytes,
    in_flight: u32,
    run: Duration,
) -> Result<f64, Failure> {
    transport.call(addr, lane, body.clone(), CALL_TIMEOUT).await?;
    let start = Instant::now();
    let callers: Vec<_> = (0..in_flight)
        .map(|_| {
            let (transport, addr, body) = (transport.clone(), addr.clone(), body.clone());
            tokio::spawn(async move {
                let mut count = 0u32;
                while start.elapsed() < run {
                    transport.call(&addr, lane, body.clone(), CALL_TIMEOUT).await?;
                    count += 1;
                }
                Ok::<u32, clusterkit::Error>(count)
            })
        })
        .collect();
    let mut count = 0;
    for caller in callers {
        count += caller.await??;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}
