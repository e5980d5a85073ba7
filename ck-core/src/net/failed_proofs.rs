//! How often an address has proved nothing: with an HTTP request, or as a peer.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::EvictionHandle;
use super::network_table::NetworkTable;
use crate::env::{self, Instant};
use crate::error::ErrorCode;
use crate::logger::{LogRateLimiter, Logger};

/// Failures of an address are forgotten after this time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// The pause after no failure; it doubles with each.
const BASE_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Counts requests and peers that prove nothing, so that guessing gets slow. Right ones from the same address are not slowed.
pub(crate) struct FailedProofs {
    logger: Arc<Logger>,
    warnings: LogRateLimiter,
    total: AtomicU64,
    /// By network: how many failures there were in the minute that began with the first.
    recent: Mutex<NetworkTable<u32>>,
}

impl fmt::Debug for FailedProofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailedProofs")
            .field("total", &self.total())
            .finish_non_exhaustive()
    }
}

impl Default for FailedProofs {
    fn default() -> Self {
        FailedProofs::logging_to(Arc::default())
    }
}

impl FailedProofs {
    /// Says in this log which addresses prove nothing, and why.
    pub(super) fn logging_to(logger: Arc<Logger>) -> Self {
        FailedProofs {
            logger,
            warnings: LogRateLimiter::default(),
            total: AtomicU64::new(0),
            recent: Mutex::new(NetworkTable::new(FORGOTTEN_AFTER)),
        }
    }

    /// The number of failures since the start.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Notes a failure of `who`, and returns once it may be answered. Meanwhile its connection may be evicted, because nobody
    /// may keep places by failing.
    pub(crate) async fn delay(
        &self,
        who: &'static str,
        address: IpAddr,
        why: &str,
        eviction: Option<&EvictionHandle>,
    ) {
        let pause = self.note(who, address, why);
        if let Some(eviction) = eviction {
            eviction.mark_idle();
        }
        env::sleep(pause).await;
        if let Some(eviction) = eviction {
            eviction.protect();
        }
    }

    /// Notes a failure of `who`; returns for how long its answer has to wait.
    pub(super) fn note(&self, who: &'static str, address: IpAddr, why: &str) -> Duration {
        if let Some(others) = self.warnings.admit(ErrorCode::Unauthenticated) {
            self.logger.warn(format_args!(
                "a {who} from {address} was refused because it proved nothing: {why}{others}"
            ));
        }
        self.count(address, Instant::now())
    }

    /// Counts a failure. After the k-th within a minute the answer waits for 2^k times the base.
    fn count(&self, address: IpAddr, now: Instant) -> Duration {
        self.total.fetch_add(1, Ordering::Relaxed);
        let mut recent = self.recent.lock();
        let count = recent.get_or_insert(address, now, 0);
        *count = count.saturating_add(1);
        let factor = 1_u32.checked_shl(*count).unwrap_or(u32::MAX);
        BASE_PAUSE.saturating_mul(factor).min(MAX_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn each_failure_of_an_address_costs_twice_the_time_up_to_a_second() {
        let failed = FailedProofs::default();
        let now = Instant::now();
        let pauses: Vec<u128> = (0..40)
            .map(|_| failed.count(Ipv4Addr::LOCALHOST.into(), now).as_millis())
            .collect();
        assert_eq!(pauses[..8], [20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert_eq!(pauses[39], 1000);
        let other = failed.count(Ipv4Addr::new(10, 0, 0, 1).into(), now);
        assert_eq!(other.as_millis(), 20, "another address pays nothing for it");
        let later = failed.count(Ipv4Addr::LOCALHOST.into(), now + FORGOTTEN_AFTER);
        assert_eq!(later.as_millis(), 20, "it is forgotten after a minute");
        assert_eq!(failed.total(), 42);
    }
}
