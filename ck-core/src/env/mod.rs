//! The seams to the outside world: disk, clock, runtime.
//!
//! Everything above this module reaches the machine through a trait from here, so that the simulator
//! can put its own in place: a disk that tears and fails, a clock that it moves, a runtime that it steps.

pub mod disk;

pub use disk::{Disk, DiskFile, DiskLock, Faults, MemDisk, RealDisk};
