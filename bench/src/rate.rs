//! How often something can be done by many at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::{Outcome, process};

/// What was found in one turn.
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    /// Of this process, per call: nodes and callers together.
    pub(crate) cpu_micros: f64,
}

/// What the callers of one turn share.
#[derive(Default)]
pub(crate) struct Turn {
    over: AtomicBool,
    count: AtomicU64,
}

impl Turn {
    /// True until the callers have to return.
    pub(crate) fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    /// Counts one call that succeeded.
    pub(crate) fn done(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Has `callers` threads each call what `begin` gives to it, again and again.
pub(crate) fn by_threads<F>(
    callers: usize,
    turn: Duration,
    begin: impl Fn(usize) -> Outcome<F> + Sync,
) -> Outcome<Rate>
where
    F: FnMut() -> Outcome,
{
    measure(turn, |turn| {
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..callers)
                .map(|caller| {
                    let begin = &begin;
                    scope.spawn(move || -> Outcome {
                        let mut call = begin(caller)?;
                        while turn.goes_on() {
                            call()?;
                            turn.done();
                        }
                        Ok(())
                    })
                })
                .collect();
            for caller in running {
                caller.join().map_err(|_| "a caller panicked")??;
            }
            Ok(())
        })
    })
}

/// Counts what `run` does in a thread of its own until the turn is over. What is done in the first quarter of a turn
/// beforehand does not count.
pub(crate) fn measure(length: Duration, run: impl FnOnce(&Turn) -> Outcome + Send) -> Outcome<Rate> {
    let turn = Turn::default();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| run(&turn));
        std::thread::sleep(length / 4);
        let (from, cpu) = (turn.count.load(Ordering::Relaxed), process::cpu_time()?);
        let started = Instant::now();
        std::thread::sleep(length);
        let done = (turn.count.load(Ordering::Relaxed) - from) as f64;
        let elapsed = started.elapsed().as_secs_f64();
        let cpu = process::cpu_time()? - cpu;
        turn.over.store(true, Ordering::Relaxed);
        running.join().map_err(|_| "a caller panicked")??;
        Ok(Rate {
            per_second: done / elapsed,
            cpu_micros: cpu.as_secs_f64() * 1e6 / done,
        })
    })
}
