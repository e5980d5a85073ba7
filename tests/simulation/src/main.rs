//! Runs simulations. README.md says how; `ck-sim help` says it briefly.
#![allow(clippy::print_stdout, reason = "it is a program that tells what it found")]

mod options;
mod report;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use ck_simulation::{Outcome, Plan};
use options::{Command, Options};
use report::Report;

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)) {
        Ok(options) => match options.command {
            Command::Run | Command::Soak => run(&options),
            Command::Replay => replay(options.seed),
            Command::Planted => planted(&options),
        },
        Err(why) => {
            println!("{why}\n{}", options::HELP);
            ExitCode::from(2)
        }
    }
}

/// One seed, told in full, twice: the second must be the first in every line.
fn replay(seed: u64) -> ExitCode {
    let plan = Plan::draw(seed);
    println!("seed {seed}: {plan}");
    let outcome = ck_simulation::run(&plan);
    for line in &outcome.trace {
        println!("{line}");
    }
    let again = ck_simulation::run(&plan);
    let same = again.hash == outcome.hash;
    println!(
        "trace {:016x}, again {:016x}: {}",
        outcome.hash,
        again.hash,
        if same { "identical" } else { "DIFFERENT" }
    );
    match outcome.violation {
        Some(violation) => {
            println!("seed {seed} violates {violation}");
            ExitCode::FAILURE
        }
        None if same => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}

/// Many seeds, on all cores.
fn run(options: &Options) -> ExitCode {
    let began = Instant::now();
    println!(
        "seeds from {}{}{}, on {} threads",
        options.seed,
        match options.seeds {
            u64::MAX => String::new(),
            seeds => format!(", {seeds} of them"),
        },
        match options.limit {
            Some(limit) => format!(", for at most {limit:?}"),
            None => String::new(),
        },
        options.threads
    );
    let next = AtomicU64::new(options.seed);
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let (sender, outcomes) = mpsc::channel::<Outcome>();
        for _ in 0..options.threads {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let over = seed - options.seed >= options.seeds
                        || options.limit.is_some_and(|limit| began.elapsed() >= limit);
                    if over || sender.send(ck_simulation::run(&Plan::draw(seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for outcome in outcomes {
            report.add(&outcome);
        }
    });
    if let Some(file) = &options.traces
        && let Err(error) = report.write_traces(file)
    {
        println!("cannot write {}: {error}", file.display());
        return ExitCode::from(2);
    }
    report.end(began.elapsed())
}

#[cfg(not(feature = "planted-bugs"))]
fn planted(_: &Options) -> ExitCode {
    println!("this build has no faults planted: build it with --features planted-bugs");
    ExitCode::from(2)
}

/// Every planted fault, and how many seeds it takes to find it.
#[cfg(feature = "planted-bugs")]
fn planted(options: &Options) -> ExitCode {
    use ck_simulation::planted::{BUGS, hunt};
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut found = std::collections::BTreeMap::new();
    std::thread::scope(|scope| {
        let (sender, results) = mpsc::channel();
        for _ in 0..options.threads {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                while let Some(bug) = BUGS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let wanted = options.only.as_deref().is_none_or(|only| only == bug.name);
                    if wanted && sender.send((bug, hunt(bug, options.seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (bug, result) in results {
            match &result {
                Some((seeds, violation)) => {
                    println!("ok      {:32} {seeds:4} seeds  {violation}", bug.name)
                }
                None => println!("MISSED  {:32} {:4} seeds", bug.name, bug.within),
            }
            found.insert(bug.name, result.is_some());
        }
    });
    let passed = found.values().filter(|found| **found).count();
    println!("{passed} passed, {} failed", found.len() - passed);
    if passed == found.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
