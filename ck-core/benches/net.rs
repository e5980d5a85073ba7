//! Calls per second between two peers over loopback, beside what a bare TCP ping-pong does on the same machine.
//!
//! Both ends run in this process, on two runtime threads: each call is paid for twice.

#[path = "support/calls.rs"]
mod calls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clusterkit::net::{Handler, Lane, NetLimits, PeerServer, Security, TcpTransport, Transport, bind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BODY: usize = 200;
const RUN: Duration = Duration::from_millis(1500);

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        report("raw TCP ping-pong, 1 connection", 1, raw_ping_pong().await?);
        for lane in [Lane::Request, Lane::Log] {
            for in_flight in [1, 16, 64, 256] {
                let name = format!("calls on lane {}, {in_flight} in flight", lane.name());
                report(&name, in_flight, calls_on(lane, in_flight).await?);
            }
        }
        Ok(())
    })
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its result")]
fn report(name: &str, in_flight: u32, rate: f64) {
    let micros = f64::from(in_flight) * 1e6 / rate;
    println!("{name:<40} {rate:>9.0} /s  {micros:>8.1} us each");
}

/// Round trips of the same bodies on one connection, with nothing around them.
async fn raw_ping_pong() -> Result<f64, Failure> {
    let listener = bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut body = [0; BODY];
        loop {
            stream.read_exact(&mut body).await?;
            stream.write_all(&body).await?;
        }
        #[expect(unreachable_code, reason = "names the type of the error that ends the loop")]
        Ok::<(), std::io::Error>(())
    });
    let pings = async move {
        let mut stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (mut body, mut count, start) = ([7; BODY], 0u32, Instant::now());
        while start.elapsed() < RUN {
            stream.write_all(&body).await?;
            stream.read_exact(&mut body).await?;
            count += 1;
        }
        Ok(f64::from(count) / start.elapsed().as_secs_f64())
    };
    tokio::spawn(pings).await?
}

/// Calls from as many tasks as there are calls in flight, over one connection.
async fn calls_on(lane: Lane, in_flight: u32) -> Result<f64, Failure> {
    let echo: Handler = Arc::new(|request, _| Box::pin(std::future::ready(request)));
    let server = PeerServer::new(
        "bench",
        echo,
        NetLimits::default(),
        Security::none(),
        Arc::default(),
    );
    let listener = bind("127.0.0.1:0").await?;
    let addr: Arc<str> = listener.local_addr()?.to_string().into();
    server.listen(listener);
    let transport = Arc::new(TcpTransport::plaintext("bench"));
    let body = Bytes::from(vec![7; BODY]);
    let rate = calls::rate(&transport, &addr, lane, body, in_flight, RUN).await?;
    transport.close();
    server.close(Duration::ZERO).await;
    Ok(rate)
}
