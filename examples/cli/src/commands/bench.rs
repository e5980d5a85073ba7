//! `bench`: how many writes and lookups a running cluster answers over HTTP.

use std::sync::Barrier;
use std::time::Instant;

use clusterkit::Expect;
use serde::Serialize;

use crate::api::Api;
use crate::args::{BenchArgs, Global};
use crate::error::{CliError, Result};
use crate::interrupt::Interrupt;
use crate::output::{Align, Cell, Out, Table, Tone, thousands};

/// Everything that a bench writes is below this, and is deleted again.
const PREFIX: &str = "clusterkit-bench/";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Work {
    /// `PUT /data/KEY`: a write through consensus.
    Write,
    /// `GET /partitions/key`: a lookup, one HTTP request each.
    Lookup,
}

/// One measurement.
#[derive(Debug, Serialize)]
struct Measured {
    work: Work,
    clients: u16,
    seconds: f64,
    done: u64,
    errors: u64,
    per_second: f64,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_error: Option<String>,
}

/// What one client saw.
#[derive(Debug, Default)]
struct Seen {
    latencies_us: Vec<u64>,
    errors: u64,
    first_error: Option<String>,
}

/// Measures writes, then lookups, for each number of clients.
pub(crate) fn run(args: &BenchArgs, global: &Global, out: &mut Out) -> Result<()> {
    let interrupt = Interrupt::install()?;
    let mut api = Api::of(global)?;
    let cluster = api.cluster()?.cluster;
    let addrs: Vec<String> = if args.spread {
        let up = cluster.nodes.iter().filter(|node| node.status.is_serving());
        up.map(|node| node.ip.clone()).collect()
    } else {
        vec![global.addr.clone()]
    };
    let mut all = Vec::new();
    let outcome = (|| {
        for work in [Work::Write, Work::Lookup] {
            for &clients in &args.clients {
                all.push(measure(work, clients, args, &addrs, global, &interrupt)?);
            }
        }
        Ok(())
    })();
    // Whatever happened, what was written goes away again.
    let cleaned = clean_up(&mut api);
    outcome.and(cleaned)?;
    if out.json {
        return out.json(&serde_json::json!({
            "nodes": cluster.nodes.len(),
            "asked": addrs,
            "value_size": args.value_size,
            "results": all,
        }));
    }
    out.text(table(&all).render(out.styles))?;
    if let Some(error) = all.iter().find_map(|measured| measured.first_error.as_ref()) {
        out.line(out.styles.paint(Tone::Bad, &format!("first error: {error}")))?;
    }
    let asked = if args.spread { "all nodes" } else { "one node" };
    let line = format!(
        "{} nodes, {asked} asked, values of {} bytes",
        cluster.nodes.len(),
        args.value_size
    );
    out.line(out.styles.paint(Tone::Dim, &line))
}

fn clean_up(api: &mut Api) -> Result<()> {
    api.data_list(PREFIX)?
        .iter()
        .try_for_each(|key| api.data_delete(key).map(drop))
}

fn measure(
    work: Work,
    clients: u16,
    args: &BenchArgs,
    addrs: &[String],
    global: &Global,
    interrupt: &Interrupt,
) -> Result<Measured> {
    interrupt.check()?;
    let apis: Result<Vec<Api>> = (0..clients)
        .map(|i| Api::at(&addrs[usize::from(i) % addrs.len()], global.timeout, global))
        .collect();
    let value = vec![b'x'; args.value_size as usize];
    // Connections are made and warm before the clock starts: each client does one operation first.
    let ready = Barrier::new(usize::from(clients) + 1);
    let (seen, seconds) = std::thread::scope(|scope| {
        let workers: Vec<_> = apis?
            .into_iter()
            .enumerate()
            .map(|(client, mut api)| {
                let (ready, value) = (&ready, &value);
                scope.spawn(move || {
                    let _ = operate(work, &mut api, client, 0, value);
                    ready.wait();
                    drive(
                        work,
                        &mut api,
                        client,
                        value,
                        Instant::now() + args.duration,
                        interrupt,
                    )
                })
            })
            .collect();
        ready.wait();
        let start = Instant::now();
        let seen: Vec<Seen> = workers
            .into_iter()
            .filter_map(|worker| worker.join().ok())
            .collect();
        Ok::<_, CliError>((seen, start.elapsed().as_secs_f64()))
    })?;
    interrupt.check()?;
    Ok(sum_up(work, clients, seconds, seen))
}

/// Operates until `end`.
fn drive(
    work: Work,
    api: &mut Api,
    client: usize,
    value: &[u8],
    end: Instant,
    interrupt: &Interrupt,
) -> Seen {
    let mut seen = Seen::default();
    for round in 1.. {
        let start = Instant::now();
        if start >= end || interrupt.is_raised() {
            break;
        }
        match operate(work, api, client, round, value) {
            Ok(()) => {
                let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                seen.latencies_us.push(micros);
            }
            Err(error) => {
                seen.errors += 1;
                seen.first_error.get_or_insert(error.to_string());
            }
        }
    }
    seen
}

fn operate(work: Work, api: &mut Api, client: usize, round: u64, value: &[u8]) -> Result<()> {
    match work {
        // Each client writes one key over and over: the cost is the same, and little is left to delete.
        Work::Write => api
            .data_set(&format!("{PREFIX}{client}"), value, Expect::Any)
            .map(drop),
        Work::Lookup => api.key(&format!("user:{client}:{round}"), 0).map(drop),
    }
}

fn sum_up(work: Work, clients: u16, seconds: f64, seen: Vec<Seen>) -> Measured {
    let errors = seen.iter().map(|seen| seen.errors).sum();
    let first_error = seen.iter().find_map(|seen| seen.first_error.clone());
    let mut latencies: Vec<u64> = seen.into_iter().flat_map(|seen| seen.latencies_us).collect();
    latencies.sort_unstable();
    let at = |percent: usize| {
        latencies
            .get(latencies.len() * percent / 100)
            .or(latencies.last())
            .copied()
            .unwrap_or(0)
    };
    Measured {
        work,
        clients,
        seconds,
        done: latencies.len() as u64,
        errors,
        per_second: latencies.len() as f64 / seconds.max(f64::MIN_POSITIVE),
        p50_us: at(50),
        p99_us: at(99),
        max_us: at(100),
        first_error,
    }
}

fn table(all: &[Measured]) -> Table {
    let mut table = Table::new(&[
        ("work", Align::Left),
        ("clients", Align::Right),
        ("per second", Align::Right),
        ("p50", Align::Right),
        ("p99", Align::Right),
        ("max", Align::Right),
        ("errors", Align::Right),
    ]);
    let millis = |micros: u64| format!("{:.2} ms", micros as f64 / 1000.0);
    for measured in all {
        let word = match measured.work {
            Work::Write => "write",
            Work::Lookup => "lookup",
        };
        table.row(vec![
            word.into(),
            measured.clients.to_string().into(),
            thousands(measured.per_second.round() as u64).into(),
            millis(measured.p50_us).into(),
            millis(measured.p99_us).into(),
            millis(measured.max_us).into(),
            Cell::new(
                if measured.errors == 0 {
                    String::new()
                } else {
                    thousands(measured.errors)
                },
                Tone::Bad,
            ),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_come_from_all_clients_together() {
        let seen = |range: std::ops::RangeInclusive<u64>, errors: u64| Seen {
            latencies_us: range.collect(),
            errors,
            first_error: (errors > 0).then(|| "broken".to_string()),
        };
        let all = sum_up(Work::Write, 2, 2.0, vec![seen(51..=100, 0), seen(1..=50, 3)]);
        assert_eq!((all.done, all.errors, all.per_second), (100, 3, 50.0));
        assert_eq!((all.p50_us, all.p99_us, all.max_us), (51, 100, 100));
        assert_eq!(all.first_error.as_deref(), Some("broken"));
        let none = sum_up(Work::Lookup, 1, 0.0, vec![]);
        assert_eq!((none.done, none.p50_us, none.max_us), (0, 0, 0));
    }
}
