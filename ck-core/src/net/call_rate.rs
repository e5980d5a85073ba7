//! How often a call may be made from one address.

use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

use super::network_table::NetworkTable;
use crate::env::Instant;

/// Admits calls from each network (IPv6 by /64) at a rate, and a number of them at once.
#[derive(Debug)]
pub(crate) struct CallRate {
    per_second: u32,
    burst: u32,
    /// By network: until when the calls so far have taken up the rate.
    booked: Mutex<NetworkTable<Instant>>,
}

impl CallRate {
    /// `per_second` calls a second, and `burst` of them at once. Neither may be 0.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        // What was booked longer ago has no effect any more.
        let forgotten_after =
            Duration::from_secs((burst / per_second.max(1)).into()) + Duration::from_secs(1);
        CallRate {
            per_second: per_second.max(1),
            burst,
            booked: Mutex::new(NetworkTable::new(forgotten_after)),
        }
    }

    /// Takes up a call's part of the rate, and returns true; false where that is used up.
    pub(crate) fn admit(&self, address: IpAddr, now: Instant) -> bool {
        let one = Duration::from_secs(1) / self.per_second;
        let mut booked = self.booked.lock();
        let until = booked.get_or_insert(address, now, now);
        let start = (*until).max(now);
        if start.since(now) + one > one * self.burst {
            return false;
        }
        *until = start + one;
        booked.renew(address, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn so_many_at_once_and_so_many_a_second_from_each_address() {
        let rate = CallRate::new(10, 20);
        let (now, here) = (Instant::now(), IpAddr::from(Ipv4Addr::LOCALHOST));
        let admitted = |now| (0..100).filter(|_| rate.admit(here, now)).count();
        assert_eq!(admitted(now), 20);
        assert_eq!(admitted(now + Duration::from_secs(1)), 10);
        assert_eq!(admitted(now + Duration::from_millis(1100)), 1);
        assert!(rate.admit(Ipv4Addr::new(10, 0, 0, 1).into(), now));
        assert_eq!(admitted(now + Duration::from_secs(3600)), 20);
    }

    #[test]
    fn a_steady_caller_within_the_rate_is_never_refused() {
        let rate = CallRate::new(10, 2);
        let (begin, here) = (Instant::now(), IpAddr::from(Ipv4Addr::LOCALHOST));
        for tenth in 0..1000 {
            assert!(
                rate.admit(here, begin + Duration::from_millis(100 * tenth)),
                "{tenth}"
            );
        }
    }

    #[test]
    fn one_who_goes_on_is_not_forgiven_by_being_forgotten() {
        let rate = CallRate::new(10, 20);
        let (begin, here) = (Instant::now(), IpAddr::from(Ipv4Addr::LOCALHOST));
        let mut admitted = 0;
        for millis in 0..60_000 {
            admitted += usize::from(rate.admit(here, begin + Duration::from_millis(millis)));
        }
        assert!((600..=620).contains(&admitted), "{admitted}");
    }
}
