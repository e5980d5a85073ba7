//! Durable writes over HTTP beside the same writes by the native call, in one run on one cluster.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cluster::Nodes;
use crate::report::{Aim, Report};
use crate::{Outcome, process, writes};

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
        http += rate.0 / 2.0;
        cpu += rate.1 / 2.0;
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

/// Writes a second, and the CPU that each took in microseconds.
fn put(address: &str, turn: Duration) -> Outcome<(f64, f64)> {
    let over = AtomicBool::new(false);
    let count = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (over, count) = (&over, &count);
                scope.spawn(move || -> Outcome { write_all(address, caller, over, count) })
            })
            .collect();
        std::thread::sleep(turn / 4);
        let (from, cpu) = (count.load(Ordering::Relaxed), process::cpu_time()?);
        let started = Instant::now();
        std::thread::sleep(turn);
        let done = (count.load(Ordering::Relaxed) - from) as f64;
        let elapsed = started.elapsed().as_secs_f64();
        let cpu = process::cpu_time()? - cpu;
        over.store(true, Ordering::Relaxed);
        for caller in running {
            caller.join().map_err(|_| "a caller panicked")??;
        }
        Ok((done / elapsed, cpu.as_secs_f64() * 1e6 / done))
    })
}

/// One connection: a request, its answer, the next request.
fn write_all(address: &str, caller: usize, over: &AtomicBool, count: &AtomicU64) -> Outcome {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut request = format!(
        "PUT /data/bench/{caller} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
        VALUE.len()
    )
    .into_bytes();
    request.extend_from_slice(&VALUE);
    let mut answer = [0; MAX_ANSWER];
    while !over.load(Ordering::Relaxed) {
        stream.write_all(&request)?;
        let mut length = 0;
        loop {
            let read = stream.read(answer.get_mut(length..).unwrap_or_default())?;
            length += read;
            if read == 0 {
                return Err("the node closed the connection".into());
            }
            if is_whole(answer.get(..length).unwrap_or_default())? {
                break;
            }
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
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
