//! Clusters of real processes over loopback: each test starts `clusterkit serve` on ports that the system gives.
//!
//! A test target of `clusterkit-cli`, because cargo builds that package's program for its own tests and says where
//! it is; so `cargo test` needs no step before it and never runs an old program.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper of a test fails by panicking, as a test does, and times are shown with --nocapture"
)]

mod address;
mod client;
mod crash;
mod formation;
mod present;
mod refusals;
mod requests;
mod restart;
mod snapshot;
mod writes;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_clusterkit");
