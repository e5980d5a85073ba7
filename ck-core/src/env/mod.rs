//! The seams to the outside world: the runtime and its clock, and the disk.
//!
//! All code in ck-core that waits, spawns, reads a clock or uses a file does so through this module (the network's seam is
//! in `net`), so that a whole node, unchanged, also runs on a deterministic simulator: with a disk that tears writes and
//! fails, a clock that the simulator moves, and a runtime that it steps.

mod block_on;
pub mod clock;
pub mod disk;
mod notifier;
pub mod runtime;
#[cfg(feature = "sim")]
pub mod sim_process;
#[cfg(feature = "testing")]
pub(crate) mod test_cluster;
#[cfg(test)]
pub(crate) mod testing;
mod threads;

pub(crate) use block_on::block_on;
pub use clock::{Instant, wall_now};
pub use disk::{DirSync, Disk, DiskFile, DiskLock, Faults, LockCheck, MemDisk, RealDisk};
pub use notifier::ChangeNotifier;
pub use runtime::{Runtime, blocking, sleep, sleep_until, spawn, timeout};
pub(crate) use runtime::{blocking_thread, runs_in_place};
pub use threads::spawn_thread;
pub(crate) use threads::{on_fresh_thread, with_signals_blocked};
