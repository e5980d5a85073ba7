//! What is told of many runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ck_simulation::Outcome;

/// So much of a trace is shown, from its end; a replay shows all of it.
const SHOWN: usize = 80;
/// Of so many failures the trace is shown.
const TRACES: usize = 3;

/// Sums over many runs.
#[derive(Default)]
pub(crate) struct Report {
    passed: u64,
    failed: Vec<(u64, String)>,
    simulated: f64,
    busy: Duration,
    writes: [u64; 4],
    messages: u64,
    unpromised: u64,
    traces: BTreeMap<u64, u64>,
}

impl Report {
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.simulated += outcome.simulated;
        self.busy += outcome.took;
        self.messages += outcome.messages;
        self.unpromised += u64::from(outcome.unpromised > 0);
        for (sum, count) in self.writes.iter_mut().zip(outcome.writes) {
            *sum += count;
        }
        let seed = outcome.plan.seed;
        self.traces.insert(seed, outcome.hash);
        let Some(violation) = &outcome.violation else {
            self.passed += 1;
            return;
        };
        println!("\nFAILED seed {seed}: {violation}");
        println!("  {}", outcome.plan);
        if self.failed.len() < TRACES {
            for line in outcome.trace.iter().rev().take(SHOWN).rev() {
                println!("  {line}");
            }
        }
        println!("  replay: make sim REPLAY={seed}");
        self.failed.push((seed, violation.claim.name().to_owned()));
    }

    /// The seeds and their trace hashes, a line each in the order of the seeds: two programs that behave alike write the
    /// same file.
    pub(crate) fn write_traces(&self, file: &Path) -> std::io::Result<()> {
        let lines = self
            .traces
            .iter()
            .map(|(seed, hash)| format!("{seed} {hash:016x}\n"));
        std::fs::write(file, lines.collect::<String>())
    }

    pub(crate) fn end(mut self, took: Duration) -> ExitCode {
        let [done, refused, nothing, unknown] = self.writes;
        println!(
            "\n{:.1} simulated hours in {:.0} s: {:.0} simulated seconds a second on each thread, {:.2} seeds a second",
            self.simulated / 3600.0,
            took.as_secs_f64(),
            self.simulated / self.busy.as_secs_f64().max(1e-9),
            (self.passed as f64 + self.failed.len() as f64) / took.as_secs_f64().max(1e-9),
        );
        println!(
            "{} messages; writes: {done} acknowledged, {refused} refused, {nothing} not made, {unknown} unknown",
            self.messages
        );
        if self.unpromised > 0 {
            println!(
                "in {} seeds something was seen that is not promised yet (see Claim::is_promised)",
                self.unpromised
            );
        }
        self.failed.sort();
        for (seed, claim) in &self.failed {
            println!("seed {seed}: {claim}");
        }
        println!("{} passed, {} failed", self.passed, self.failed.len());
        if self.failed.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
