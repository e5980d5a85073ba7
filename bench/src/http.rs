//! Durable writes over HTTP beside the same writes by the native call, in one run on one cluster.

use std::path::Path;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cluster::Nodes;
use crate::rate::{self, Rate, Turn};
use crate::report::{Aim, Report};
use crate::{Outcome, writes};

/// How many connections, and how many threads that call.
const CALLERS: usize = 256;
const VALUE: [u8; 100] = [7; 100];
/// The longest answer to such a write.
const MAX_ANSWER: usize = 4096;

/// Measures writes on the leader of three nodes.
pub(crate) fn measure(report: &mut Report, dir: &Path, turn: Duration) -> Outcome {
    println!("writes over HTTP: 3 nodes in this process");
    let nodes = Nodes::formed(dir, 3)?;
    let leader = nodes.leader()?;
    let address = leader.http_addr().ok_or("the leader has no address")?;
    // What else runs on the machine changes meanwhile: both are measured twice, in turns.
    let (mut native, mut http, mut cpu) = (0.0, 0.0, 0.0);
    for _ in 0..2 {
        native += writes::write(leader, CALLERS, turn)?.per_second / 2.0;
        let rate = put(&address, turn)?;
        http += rate.per_second / 2.0;
        cpu += rate.cpu_micros / 2.0;
    }
    nodes.stop()?;
    report.add(
        format!("writes by the native call, {CALLERS} threads"),
        native,
        "/s",
        None,
        "on the leader",
    );
    report.add(
        format!("writes over HTTP, {CALLERS} connections"),
        http,
        "/s",
        None,
        format!("on the leader; {cpu:.1} us of CPU per write, clients and nodes together"),
    );
    report.add(
        "  of the native rate",
        http / native,
        "",
        Some(Aim::AtLeast(0.5)),
        "",
    );
    Ok(())
}

/// Writes of connections that each have a key of their own, all served by one thread, as load generators do it: what is
/// to be measured is the nodes, and a thread for each connection costs about as much as they do.
fn put(address: &str, turn: Duration) -> Outcome<Rate> {
    rate::measure(turn, |turn| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        runtime.block_on(async {
            let callers = (0..CALLERS).map(|caller| call(caller, address, turn));
            try_join_all(callers).await.map(|_| ())
        })
    })
}

/// One connection, which writes again and again.
async fn call(caller: usize, address: &str, turn: &Turn) -> Outcome {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut request = format!(
        "PUT /data/bench/{caller} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
        VALUE.len()
    )
    .into_bytes();
    request.extend_from_slice(&VALUE);
    while turn.goes_on() {
        ask(&mut stream, &request).await?;
        turn.done();
    }
    Ok(())
}

/// Sends a request and reads its answer.
async fn ask(stream: &mut TcpStream, request: &[u8]) -> Outcome {
    stream.write_all(request).await?;
    let (mut answer, mut length) = ([0; MAX_ANSWER], 0);
    loop {
        let read = stream.read(answer.get_mut(length..).unwrap_or_default()).await?;
        length += read;
        if read == 0 {
            return Err("the node closed the connection".into());
        }
        if is_whole(answer.get(..length).unwrap_or_default())? {
            return Ok(());
        }
    }
}

/// True when an answer is there as a whole; an error where it is none of success.
fn is_whole(answer: &[u8]) -> Outcome<bool> {
    let text = std::str::from_utf8(answer)?;
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Ok(false);
    };
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(text.to_owned().into());
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .ok_or("an answer without a length")?;
    Ok(body.len() >= length.parse()?)
}
