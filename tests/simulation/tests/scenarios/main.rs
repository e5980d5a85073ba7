//! Scenarios: each is one course of events with whole nodes, told in a few lines, in simulated time. What the simulation
//! comes by with one seed in a hundred happens here every time.
//!
//! `world` has the nodes and what is waited for, `claims` what they say of themselves, `streams` what their hooks were
//! told; every other module is scenarios.
#![cfg(feature = "sim")]

mod claims;
mod streams;
mod world;

mod dead_grants;
mod disk;
mod failure;
mod half_disk;
mod heal;
mod history;
mod joining;
mod late;
mod late_hooks;
mod leader_changes;
mod lease;
mod many;
mod migrations;
mod mutations;
mod old_disk;
mod outage;
mod outcome;
mod present;
mod promises;
mod raft_edges;
mod slow_link;
mod step_down;
mod stops;
mod strangers;
