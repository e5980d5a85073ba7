//! Clocks.
//!
//! Safety depends on durations of a monotonic clock that continues while the machine is suspended
//! (`CLOCK_BOOTTIME` on Linux). With `CLOCK_MONOTONIC` a node whose lease ended while it was suspended would still
//! consider it valid. The wall clock is used only for timestamps that people read.

use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

use crate::model::Timestamp;

/// A moment on this machine's monotonic clock, in nanoseconds. It means nothing on another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// This moment.
    pub fn now() -> Self {
        #[cfg(test)]
        if let Some(now) = super::testing::now() {
            return now;
        }
        #[cfg(feature = "testing")]
        if let Some(nanos) = super::test_cluster::nanos() {
            return Instant(nanos);
        }
        #[cfg(feature = "sim")]
        if let Some(nanos) = super::runtime::simulated_nanos() {
            return Instant(super::sim_process::local_nanos(nanos));
        }
        Instant(boottime_nanos())
    }

    /// Nanoseconds since the clock's own, arbitrary start.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The moment at so many nanoseconds after the clock's start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Instant(nanos)
    }

    /// The time since `earlier`, zero when `earlier` is later.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The time from this moment until now.
    pub fn elapsed(self) -> Duration {
        Instant::now().since(self)
    }
}

/// The system's clock.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn boottime_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    (time.tv_sec as u64)
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec as u64)
}

/// The system's clock.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn boottime_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (time.tv_sec as u64)
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec as u64)
}

/// Nanoseconds in a duration, saturated at 584 years.
fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Instant(self.0.saturating_add(nanos_of(rhs)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Instant(self.0.saturating_sub(nanos_of(rhs)))
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, rhs: Duration) {
        *self = *self - rhs;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, rhs: Instant) -> Duration {
        self.since(rhs)
    }
}

impl openraft_rt::Instant for Instant {
    fn now() -> Self {
        Instant::now()
    }
}

/// The time of the wall clock, for people. In a simulation it is the simulated time, with the offset of the node's clock;
/// in a test cluster what that cluster's clock says.
pub fn wall_now() -> Timestamp {
    #[cfg(feature = "testing")]
    if let Some(now) = super::test_cluster::wall_now() {
        return now;
    }
    #[cfg(feature = "sim")]
    if let Some(nanos) = super::runtime::simulated_nanos() {
        /// Simulated time starts in 2023, so that times in traces look realistic.
        const SIM_START_MILLIS: u64 = 1_700_000_000_000;
        let millis = SIM_START_MILLIS + nanos / 1_000_000;
        return Timestamp::from_millis(millis.saturating_add_signed(super::sim_process::wall_offset_ms()));
    }
    Timestamp::from(std::time::SystemTime::now())
}
