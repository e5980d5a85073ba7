//! What is remembered of the networks that calls come from, within bounds: nobody who has many addresses fills the memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::time::Duration;

use super::network_of;
use crate::env::Instant;

/// The most networks that are remembered; the one that was entered first is forgotten for a new one.
const MAX_NETWORKS: usize = 1024;

/// A value for each network, forgotten some time after it was entered.
#[derive(Debug)]
pub(super) struct NetworkTable<T> {
    forgotten_after: Duration,
    /// With the time at which each was entered.
    values: HashMap<IpAddr, (Instant, T)>,
}

impl<T> NetworkTable<T> {
    pub(super) fn new(forgotten_after: Duration) -> Self {
        NetworkTable {
            forgotten_after,
            values: HashMap::new(),
        }
    }

    /// The value for the network of `address`, and `new` where none is remembered.
    pub(super) fn get_or_insert(&mut self, address: IpAddr, now: Instant, new: T) -> &mut T {
        let network = network_of(address);
        if self.values.len() >= MAX_NETWORKS && !self.values.contains_key(&network) {
            self.make_room(now);
        }
        match self.values.entry(network) {
            Entry::Occupied(mut entry) => {
                if now.since(entry.get().0) >= self.forgotten_after {
                    entry.insert((now, new));
                }
                &mut entry.into_mut().1
            }
            Entry::Vacant(entry) => &mut entry.insert((now, new)).1,
        }
    }

    /// Remembers the value for the network of `address` as if it had been entered now.
    pub(super) fn renew(&mut self, address: IpAddr, now: Instant) {
        if let Some((entered, _)) = self.values.get_mut(&network_of(address)) {
            *entered = now;
        }
    }

    fn make_room(&mut self, now: Instant) {
        let forgotten_after = self.forgotten_after;
        self.values
            .retain(|_, (entered, _)| now.since(*entered) < forgotten_after);
        if self.values.len() < MAX_NETWORKS {
            return;
        }
        let first = self.values.iter().min_by_key(|(_, (entered, _))| *entered);
        if let Some(network) = first.map(|(network, _)| *network) {
            self.values.remove(&network);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn a_value_is_of_a_network_and_is_forgotten() {
        let mut table = NetworkTable::new(Duration::from_secs(60));
        let now = Instant::now();
        let address = |last| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
        *table.get_or_insert(address(1), now, 0) += 1;
        assert_eq!(
            *table.get_or_insert(address(2), now, 0),
            1,
            "one /64 is one network"
        );
        assert_eq!(*table.get_or_insert(Ipv4Addr::LOCALHOST.into(), now, 0), 0);
        let later = now + Duration::from_secs(60);
        assert_eq!(*table.get_or_insert(address(1), later, 0), 0);
    }

    #[test]
    fn only_so_many_networks_are_remembered() {
        let mut table = NetworkTable::new(Duration::from_secs(60));
        let now = Instant::now();
        let address = |number: u32| IpAddr::from(Ipv4Addr::from(number));
        let last = 3 * MAX_NETWORKS as u32 - 1;
        for number in 0..=last {
            let then = now + Duration::from_micros(number.into());
            table.get_or_insert(address(number), then, number);
        }
        assert_eq!(table.values.len(), MAX_NETWORKS);
        assert_eq!(
            *table.get_or_insert(address(last), now, 0),
            last,
            "the last are there"
        );
        let end = now + Duration::from_secs(1);
        assert_eq!(*table.get_or_insert(address(0), end, 7), 7, "the first are not");
    }
}
