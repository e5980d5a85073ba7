//! What all simulated nodes have in common, in the run of a seed as in a scenario: what they are called, where they are,
//! and the options that each of them has. Nodes are counted from 1.

use clusterkit::Options;

/// The id of node `i`.
pub fn id(i: usize) -> String {
    format!("node-{i}")
}

/// Where node `i` is, before it moves elsewhere.
pub fn addr(i: usize) -> String {
    format!("10.0.0.{i}:7000")
}

/// The name of node `i`, where nodes know each other by name.
pub fn name(i: usize) -> String {
    format!("node-{i}.example:7000")
}

/// The options of node `i` at this address.
pub fn options(i: usize, addr: String) -> Options {
    let mut options = Options::new(id(i), addr);
    options.data_dir = "/data".to_owned();
    options
}
