//! A node for the chaos tests: an application that embeds the library, and writes down what it is told that it is.
//!
//!     chaos-node serve --node-id ID --http-addr ADDR --data-dir FOLDER ... --claims FOLDER [--copy-ms N]
//!
//! Takes the options of the library by their names, as `clusterkit serve` does. Once it is a member it says so on
//! standard output, in one line of JSON; from then on each line of standard input is a command, answered with one line
//! that begins with `ok` or `error`: `step-down`, `leave`, `stop`, `events`, `look KEY`. Its claims go to a file in
//! FOLDER from before the start until its end, a sample every millisecond.
//!
//! It ends with its parent, in three ways, because it may be stopped or stuck when that dies: the system kills it, its
//! standard input ends, and a signal asks it to.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for tests: its output is its interface, and it fails by panicking"
)]

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ck_tests::claims::{self, Recorder, Sample};
use clusterkit::hooks::{EventFilter, Hook};
use clusterkit::model::{Event, EventKind, RoleChange};
use clusterkit::{ClusterKit, Error, Options};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Between two samples.
const PACE: Duration = Duration::from_millis(1);
/// How long leaving may take.
const LEAVE: Duration = Duration::from_secs(60);

struct Arguments {
    options: Options,
    claims: PathBuf,
    /// How long the application takes to copy a partition.
    copy: Duration,
}

fn arguments() -> Result<Arguments, Error> {
    let mut options = Options::default();
    let mut claims = None;
    let mut copy = Duration::ZERO;
    let mut words = std::env::args().skip(1).filter(|word| word != "serve");
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" | "--exit-with-stdin" => {}
            "--claims" => claims = words.next().map(PathBuf::from),
            "--copy-ms" => copy = Duration::from_millis(words.next().unwrap().parse().unwrap()),
            _ => {
                let name = word.strip_prefix("--").unwrap().replace('-', "_");
                options.set(&name, &words.next().unwrap())?;
            }
        }
    }
    Ok(Arguments {
        options,
        claims: claims.unwrap(),
        copy,
    })
}

fn main() -> ExitCode {
    // Also one that is stopped dies: it could not notice the end of its standard input.
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // As `clusterkit --json` says it, last on standard error.
            let code = error.code().name();
            eprintln!("{}", json!({"error": {"code": code, "message": error.message()}}));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let Arguments {
        options,
        claims,
        copy,
    } = arguments()?;
    let id = options.node_id.clone();
    let began = claims::now();
    let kit = ClusterKit::new(options)?;
    kit.on_log(Some(Arc::new(|level, message| {
        eprintln!("{} {:<5} {message}", claims::now(), level.name());
    })));
    let mut told = std::fs::File::create_new(claims.join(format!("{id}@{began}.events"))).unwrap();
    let me = id.clone();
    let told = std::sync::Mutex::new(&mut told)
        .into_inner()
        .unwrap()
        .try_clone()
        .unwrap();
    let told = std::sync::Mutex::new(told);
    // No observer: what it copies counts when it has returned.
    let application = Hook::blocking(move |event| {
        apply(event, &me, copy);
        // Written when it is done: what the file says has been copied, has been.
        let line = json!({"at": claims::now(), "event": event}).to_string() + "\n";
        told.lock()
            .unwrap()
            .write_all(line.as_bytes())
            .map_err(|error| error.to_string())
    });
    kit.register_hook(EventFilter::ALL, application)?;
    let sampled = kit.clone();
    let mut recorder = Recorder::create(&claims, &id).unwrap();
    thread::spawn(move || {
        let _end = EndOfRecord;
        loop {
            recorder.add(Sample::take(&sampled)).unwrap();
            thread::sleep(PACE);
        }
    });
    end_on_signal(&kit);
    kit.start()?;
    let addr = kit.http_addr().unwrap();
    println!(
        "{}",
        json!({"node_id": id, "addr": addr, "pid": std::process::id()})
    );
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let answer = match obey(&kit, &line) {
            Ok(answer) => format!("ok {answer}"),
            Err(error) => format!("error {error}"),
        };
        println!("{answer}");
        if line == "stop" || line == "leave" && answer.starts_with("ok") {
            break;
        }
    }
    kit.stop()
}

/// A process that does not say any more what it claims ends, so that nobody takes its silence for peace.
struct EndOfRecord;

impl Drop for EndOfRecord {
    fn drop(&mut self) {
        std::process::exit(70);
    }
}

/// What the application does when it is told something: it copies what it gains.
fn apply(event: &Event, me: &str, copy: Duration) {
    if let EventKind::PartitionChange(change) = &event.kind
        && *change.node_id == *me
        && change.change == RoleChange::GainedReplica
        && !copy.is_zero()
    {
        thread::sleep(copy);
    }
}

fn obey(kit: &ClusterKit, line: &str) -> Result<String, Error> {
    match line.split_once(' ').unwrap_or((line, "")) {
        ("step-down", _) => kit.step_down().map(|leader| leader.to_string()),
        ("leave", _) => kit.leave(LEAVE).map(|()| String::new()),
        ("stop", _) => kit.stop().map(|()| String::new()),
        // A lookup, and nothing else: no disk, no network.
        ("look", key) => Ok(kit
            .partition_number(key.as_bytes())
            .unwrap_or(u32::MAX)
            .to_string()),
        (other, _) => Err(Error::new(
            clusterkit::ErrorCode::InvalidArgument,
            format!("there is no command {other:?}"),
        )),
    }
}

/// A signal asks for an orderly end; a second one does not ask.
fn end_on_signal(kit: &ClusterKit) {
    let kit = kit.clone();
    let mut signals = Signals::new([SIGINT, SIGTERM]).unwrap();
    thread::spawn(move || {
        let mut came = signals.forever();
        came.next();
        thread::spawn(move || std::process::exit(i32::from(kit.stop().is_err())));
        came.next();
        std::process::exit(130);
    });
}
