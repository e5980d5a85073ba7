//! How often requests of an address have proved nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::env::Instant;
use crate::net::network_of;

/// Failures of an address are forgotten after this time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// The pause after no failure; it doubles with each.
const BASE_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// The most addresses that are remembered; the one that failed first is forgotten for a new one.
const MAX_ADDRESSES: usize = 1024;

/// Counts requests that prove nothing, so that guessing gets slow. Right requests from the same address are not slowed.
#[derive(Debug, Default)]
pub(super) struct FailedProofs {
    total: AtomicU64,
    /// By network: when its first failure was, and how many there were since.
    recent: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl FailedProofs {
    /// The number of failures since the start.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Notes a failure; returns for how long its answer has to wait: after the k-th within a minute for 2^k times the base.
    pub(super) fn note(&self, address: IpAddr, now: Instant) -> Duration {
        self.total.fetch_add(1, Ordering::Relaxed);
        let network = network_of(address);
        let mut recent = self.recent.lock();
        if recent.len() >= MAX_ADDRESSES && !recent.contains_key(&network) {
            recent.retain(|_, (first, _)| now.since(*first) < FORGOTTEN_AFTER);
            if recent.len() >= MAX_ADDRESSES
                && let Some(oldest) = recent
                    .iter()
                    .min_by_key(|(_, (first, _))| *first)
                    .map(|(ip, _)| *ip)
            {
                recent.remove(&oldest);
            }
        }
        let (first, count) = recent.entry(network).or_insert((now, 0));
        if now.since(*first) >= FORGOTTEN_AFTER {
            (*first, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        let factor = 1_u32.checked_shl(*count).unwrap_or(u32::MAX);
        BASE_PAUSE.saturating_mul(factor).min(MAX_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn each_failure_of_an_address_costs_twice_the_time_up_to_a_second() {
        let failed = FailedProofs::default();
        let now = Instant::now();
        let pauses: Vec<u128> = (0..40)
            .map(|_| failed.note(Ipv4Addr::LOCALHOST.into(), now).as_millis())
            .collect();
        assert_eq!(pauses[..8], [20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert_eq!(pauses[39], 1000);
        let other = failed.note(Ipv4Addr::new(10, 0, 0, 1).into(), now);
        assert_eq!(other.as_millis(), 20, "another address pays nothing for it");
        let later = failed.note(Ipv4Addr::LOCALHOST.into(), now + FORGOTTEN_AFTER);
        assert_eq!(later.as_millis(), 20, "it is forgotten after a minute");
        assert_eq!(failed.total(), 42);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let failed = FailedProofs::default();
        let now = Instant::now();
        let address = |last| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
        failed.note(address(1), now);
        assert_eq!(failed.note(address(2), now).as_millis(), 40);
    }

    #[test]
    fn only_so_many_addresses_are_remembered() {
        let failed = FailedProofs::default();
        let now = Instant::now();
        let address = |number: u32| IpAddr::from(Ipv4Addr::from(number));
        for number in 0..3 * MAX_ADDRESSES as u32 {
            failed.note(address(number), now + Duration::from_micros(number.into()));
        }
        assert_eq!(failed.recent.lock().len(), MAX_ADDRESSES);
        let last = 3 * MAX_ADDRESSES as u32 - 1;
        assert_eq!(
            failed.note(address(last), now).as_millis(),
            40,
            "the last are there"
        );
        assert_eq!(failed.note(address(0), now).as_millis(), 20, "the first are not");
    }
}
