//! What the program is told.

use std::path::PathBuf;
use std::time::Duration;

/// How it is called.
pub(crate) const HELP: &str = "\
ck-sim run [--seeds N] [--seconds N] [--seed FIRST] [--threads N] [--traces FILE]
                                                        N seeds, or fewer when the time is over before; FILE gets each
                                                        seed and one number that stands for all that happened
ck-sim soak [--minutes N] [--seed FIRST] [--threads N]  seeds until the time is over
ck-sim replay SEED                                      one seed, told in full, twice
ck-sim planted [--only NAME] [--seed FIRST]             every planted fault (built with --features planted-bugs)";

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Run,
    Soak,
    Replay,
    Planted,
}

/// What the program is told.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) command: Command,
    pub(crate) seed: u64,
    /// How many seeds are run at most; a soak runs as many as it can.
    pub(crate) seeds: u64,
    /// When this is over no further seed is begun.
    pub(crate) limit: Option<Duration>,
    pub(crate) threads: usize,
    pub(crate) only: Option<String>,
    /// Where each seed's trace hash goes.
    pub(crate) traces: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let command = match arguments.next().as_deref() {
            Some("run") => Command::Run,
            Some("soak") => Command::Soak,
            Some("replay") => Command::Replay,
            Some("planted") => Command::Planted,
            other => return Err(format!("what is {other:?}?")),
        };
        let mut options = Options {
            command,
            seed: 1,
            seeds: if command == Command::Soak { u64::MAX } else { 100 },
            limit: (command == Command::Soak).then_some(Duration::from_secs(600)),
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            only: None,
            traces: None,
        };
        while let Some(name) = arguments.next() {
            if command == Command::Replay {
                options.seed = number(&name, "seed")?;
                continue;
            }
            let value = arguments.next().ok_or(format!("{name} needs a value"))?;
            match name.as_str() {
                "--seed" => options.seed = number(&value, "seed")?,
                "--seeds" => options.seeds = number(&value, "number of seeds")?,
                "--minutes" => {
                    options.limit = Some(Duration::from_secs(60 * number(&value, "number of minutes")?))
                }
                "--seconds" => {
                    options.limit = Some(Duration::from_secs(number(&value, "number of seconds")?))
                }
                "--threads" => {
                    options.threads = usize::try_from(number(&value, "number of threads")?)
                        .unwrap_or(1)
                        .max(1)
                }
                "--only" => options.only = Some(value),
                "--traces" => options.traces = Some(value.into()),
                _ => return Err(format!("what is {name}?")),
            }
        }
        Ok(options)
    }
}

fn number(text: &str, what: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is no {what}"))
}
