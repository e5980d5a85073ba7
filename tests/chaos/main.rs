//! Real processes that are killed, stopped where they are, starved, cut off and restarted, with clients that write all
//! the while, and a checker of what each process claimed to be at every moment.
//!
//! Short by default, for `make test`. `CHAOS_MINUTES=n` has the random sequence in `soak` run for that long, and
//! `CHAOS_SEED=x` from another seed: `make soak MINUTES=n SEED=x`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper of a test fails by panicking, as a test does, and what is skipped is said"
)]

mod disk;
mod network;
mod processes;
mod restarts;
mod soak;
mod support;

/// The node that is tested.
const PROGRAM: &str = env!("CARGO_BIN_EXE_chaos-node");
