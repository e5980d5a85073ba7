//! Every command that asks a node, against a node whose answers the test wrote: requests, output and exit codes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails by panicking, as a test does"
)]

mod cluster;
mod data;
mod health;
mod moves;
mod nodes;
mod partitions;
mod sample;
mod secrets;
mod support;
mod usage;
