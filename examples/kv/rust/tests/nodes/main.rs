//! Whole servers on ports that the system gives, asked over HTTP; and members that only pretend to be servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say by a panic what is wrong"
)]

mod clients;
mod copies;
mod epochs;
mod processes;
mod quorums;

mod support;
