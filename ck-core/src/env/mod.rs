//! The seams to the outside world: the runtime and its clock, and the disk.
//!
//! Everything in ck-core that waits, spawns, reads a clock or touches a file does it through here (the
//! network's seam is in `net`), so that a whole node, unchanged, also runs on a deterministic simulator: with a
//! disk that tears and fails, a clock that it moves, a runtime that it steps.

pub mod clock;
pub mod disk;
mod park;
pub mod runtime;
#[cfg(feature = "sim")]
pub mod scope;
mod signal;
mod threads;

pub use clock::{Instant, wall_now};
pub use disk::{DirSync, Disk, DiskFile, DiskLock, Faults, LockCheck, MemDisk, RealDisk};
pub(crate) use park::wait_here;
pub use runtime::{Runtime, blocking, sleep, sleep_until, spawn, timeout};
pub use signal::Signal;
pub(crate) use threads::{spawn_thread, starting_threads};
