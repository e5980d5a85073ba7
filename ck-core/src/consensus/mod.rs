//! Consensus: how the nodes agree on one log of commands.

pub mod wal;
