//! The seams to the outside world: the runtime and its clock, and the disk.
//!
//! Everything in ck-core that waits, spawns, reads a clock or touches a file does it through here (the
//! network's seam is in `net`), so that a whole node, unchanged, also runs on a deterministic simulator.

pub mod clock;
pub mod runtime;

pub use clock::{Instant, wall_now};
pub use runtime::{Runtime, sleep, sleep_until, spawn, timeout};
