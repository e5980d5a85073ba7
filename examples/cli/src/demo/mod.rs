//! `demo`: a guided tour through a cluster of real processes. Every claim that it prints is checked, and the demo
//! fails when one does not hold.

mod cluster;
mod process;
mod report;
mod restart;
mod routing;
mod tour;

use std::ffi::OsString;
use std::time::Instant;

use crate::args::DemoArgs;
use crate::commands::read_keys;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::output::Out;

/// How many keys are routed when none are given.
const GENERATED_KEYS: usize = 1000;

/// Runs the tour, with nodes that `program` starts.
pub(crate) fn run(args: &DemoArgs, program: &[OsString], out: &mut Out) -> Result<()> {
    let start = Instant::now();
    // Keys first: a wrong file name should not cost a cluster.
    let keys = match &args.keys {
        Some(source) => read_keys(source)?,
        None => routing::generated(GENERATED_KEYS),
    };
    let interrupt = Interrupt::install()?;
    let settings = process::Settings {
        program: program.to_vec(),
        partitions: args.partitions,
        replication_factor: args.rf,
        join: Vec::new(),
    };
    let cluster = cluster::Cluster::new(settings, interrupt)?;
    let report = tour::Tour::new(args, cluster, out).run(&keys, start)?;
    if out.json { out.json(&report) } else { Ok(()) }
}
