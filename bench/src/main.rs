//! Measures a cluster as a whole, and prints one table with the aims beside what was found.
#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

mod cluster;
mod disk;
mod failover;
mod formation;
mod heal;
mod http;
mod lookup;
mod many;
mod partitions;
mod process;
mod protection;
mod quiet;
mod rate;
mod report;
mod security;
mod slow_link;
mod spaces;
mod writes;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use report::Report;

/// What can go wrong in a benchmark; it ends with the message.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T = ()> = Result<T, Failure>;

/// Measures a whole ClusterKit cluster: durable writes, formation, memory, lookups.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Where the results go as JSON.
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    json: PathBuf,
    /// The disk to measure on: data directories are made, and removed, in here.
    #[arg(long, value_name = "FOLDER", default_value = "target")]
    dir: PathBuf,
    /// What to measure; everything when none is named.
    #[arg(value_name = "PART")]
    parts: Vec<Part>,
    /// How long each number of writers writes, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    turn: u64,
    /// How many write at once, one measurement each.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    writers: Vec<usize>,
    /// How many processes form a cluster, one measurement each.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [10, 30, 100])]
    nodes: Vec<usize>,
    /// How many partitions clusters of many processes have.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    partitions: u32,
    /// How often each failure is tried.
    #[arg(long, value_name = "N", default_value_t = 20)]
    trials: usize,
    /// How long each shape of a cut lasts, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 13)]
    cut: u64,
    /// How much a node misses that is to catch up over a slow link, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 100)]
    behind: usize,
    /// How long all processors are busy, in minutes.
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0)]
    busy: f64,
    #[command(subcommand)]
    child: Option<Child>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Durable writes, beside the disk's own rate.
    Writes,
    /// Durable writes with a secret, beside those without.
    Security,
    /// Durable writes over HTTP, beside the native call.
    Http,
    /// Forming, joining, restarting.
    Formation,
    /// Forming, joining, restarting with many nodes, each a process.
    Many,
    /// What the number of partitions costs: forming and data writes, with few and with the most there can be.
    Partitions,
    /// Memory and idle CPU of a node in a process of its own.
    Memory,
    /// Lookups of a key.
    Lookup,
    /// Nodes that are killed, step down, leave and return.
    Failover,
    /// How soon all is well after the network is again.
    Heal,
    /// Large values on links that carry little, and small ones beside them.
    SlowLink,
    /// Traffic and CPU of nodes that have nothing to do.
    Idle,
    /// Whether nodes are failed without cause while all processors are busy.
    Starved,
}

/// What the benchmark runs as a process of its own.
#[derive(Subcommand)]
enum Child {
    /// Runs one node until standard input ends: says where it listens, and what it takes when asked.
    #[command(hide = true)]
    Node {
        /// The node's id.
        id: String,
        /// Where it keeps its data.
        data_dir: PathBuf,
        /// A member to join through.
        join: Option<String>,
        /// Where it listens.
        #[arg(long, default_value = "127.0.0.1:0")]
        http_addr: String,
        /// Its timing.
        #[arg(long)]
        profile: Option<String>,
        /// How many partitions a founder makes.
        #[arg(long, default_value_t = cluster::PARTITIONS)]
        partitions: u32,
        /// Registers a hook that is asked of every copy, and says at once that it is made.
        #[arg(long)]
        hook: bool,
        /// Further options, as NAME=VALUE.
        #[arg(long)]
        set: Vec<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.child {
        Some(Child::Node {
            id,
            data_dir,
            join,
            http_addr,
            profile,
            partitions,
            hook,
            set,
        }) => process::serve(
            id,
            data_dir,
            join.as_deref(),
            http_addr,
            profile.as_deref(),
            (*partitions, *hook),
            set,
        ),
        None => run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome {
    let wanted = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    std::fs::create_dir_all(&arguments.dir)?;
    let mut report = Report::default();
    if wanted(Part::Writes) {
        let turn = Duration::from_millis(arguments.turn);
        writes::measure(&mut report, &arguments.dir, &arguments.writers, turn)?;
    }
    if wanted(Part::Security) {
        security::measure(
            &mut report,
            &arguments.dir,
            Duration::from_millis(arguments.turn),
            arguments.trials.max(1),
        )?;
    }
    if wanted(Part::Http) {
        http::measure(&mut report, &arguments.dir, Duration::from_millis(arguments.turn))?;
    }
    if wanted(Part::Formation) {
        formation::measure(&mut report, &arguments.dir)?;
    }
    if wanted(Part::Many) {
        many::measure(
            &mut report,
            &arguments.dir,
            &arguments.nodes,
            arguments.partitions,
        )?;
    }
    if wanted(Part::Partitions) {
        partitions::measure(&mut report, &arguments.dir, Duration::from_millis(arguments.turn))?;
    }
    if wanted(Part::Memory) {
        process::measure(&mut report, &arguments.dir)?;
    }
    if wanted(Part::Lookup) {
        lookup::measure(&mut report)?;
    }
    if wanted(Part::Failover) {
        failover::measure(&mut report, &arguments.dir, arguments.trials.max(1))?;
    }
    if wanted(Part::Heal) {
        heal::measure(&mut report, &arguments.dir, arguments.cut)?;
    }
    if wanted(Part::SlowLink) {
        slow_link::measure(&mut report, &arguments.dir, arguments.behind)?;
    }
    if wanted(Part::Idle) {
        quiet::idle(&mut report, &arguments.dir)?;
    }
    if wanted(Part::Starved) {
        quiet::starved(
            &mut report,
            &arguments.dir,
            Duration::try_from_secs_f64(arguments.busy * 60.0)?,
        )?;
    }
    report.print();
    report.write_json(&arguments.json)?;
    println!("\nalso in {}", arguments.json.display());
    Ok(())
}
