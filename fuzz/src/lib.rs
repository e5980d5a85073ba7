//! What every fuzz target does: it runs one of the functions of `clusterkit::fuzz`, and looks at the memory that it takes.

use clusterkit::fuzz::Target;

/// Runs a target on some bytes.
///
/// # Panics
/// When something is wrong: that is what a fuzzer looks for.
pub fn run(name: &str, bytes: &[u8]) {
    let Some(target) = Target::named(name) else {
        panic!("there is no target {name}");
    };
    let taken = allocation_counter::measure(|| (target.run)(bytes)).bytes_max;
    let most = target.memory(bytes.len());
    assert!(
        taken <= most,
        "{taken} bytes of memory for {} bytes of input, and {most} are right",
        bytes.len()
    );
}
