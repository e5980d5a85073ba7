//! Connections that have not shown yet what they are good for, or are idle: they make room for others.
//!
//! Whoever reaches a port can open connections and say nothing. Were those places kept, a member that dials would find none:
//! a leader that died was replaced after minutes. So these places are lent: where there is none left for somebody new, the
//! address that has the most of them gives one back, that which waits longest, and first one over which nothing was ever
//! asked.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Places that can be taken back. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Crowd {
    shared: Arc<Mutex<Shared>>,
    most: usize,
}

#[derive(Debug, Default)]
struct Shared {
    next: u64,
    count: usize,
    /// By network, then in the order in which they make room.
    networks: HashMap<IpAddr, BTreeMap<Turn, Arc<Notify>>>,
}

/// Those that were never of use go first, then those that wait longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    useful: bool,
    number: u64,
}

/// One connection's place.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Crowd,
    network: IpAddr,
    /// `None` while it is not to be taken back.
    turn: Mutex<Option<Turn>>,
    evicted: Arc<Notify>,
}

impl Crowd {
    /// At most so many places.
    pub(crate) fn new(most: usize) -> Self {
        Crowd {
            shared: Arc::default(),
            most,
        }
    }

    /// A place for a connection from there. Where there is none left somebody makes room.
    pub(crate) fn enter(&self, address: IpAddr) -> Place {
        let place = Place {
            crowd: self.clone(),
            network: network_of(address),
            turn: Mutex::new(None),
            evicted: Arc::default(),
        };
        place.wait(false);
        place
    }

    /// Has one connection make room; false where there is none that could.
    pub(crate) fn make_room(&self) -> bool {
        self.shared.lock().evict()
    }

    /// How many there are that could make room.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shared.lock().count
    }
}

impl Shared {
    fn evict(&mut self) -> bool {
        let largest = self.networks.iter_mut().max_by_key(|(_, turns)| turns.len());
        let Some((network, turns)) = largest else {
            return false;
        };
        let network = *network;
        let Some((_, evicted)) = turns.pop_first() else {
            return false;
        };
        if turns.is_empty() {
            self.networks.remove(&network);
        }
        self.count -= 1;
        evicted.notify_one();
        true
    }

    fn remove(&mut self, network: IpAddr, turn: Turn) {
        if let Some(turns) = self.networks.get_mut(&network)
            && turns.remove(&turn).is_some()
        {
            self.count -= 1;
            if turns.is_empty() {
                self.networks.remove(&network);
            }
        }
    }
}

impl Place {
    /// From now on it may be taken back, later than those that may be already.
    fn wait(&self, useful: bool) {
        let mut turn = self.turn.lock();
        if turn.is_some() {
            return;
        }
        let mut shared = self.crowd.shared.lock();
        if shared.count >= self.crowd.most {
            shared.evict();
        }
        shared.next += 1;
        shared.count += 1;
        let next = Turn {
            useful,
            number: shared.next,
        };
        let turns = shared.networks.entry(self.network).or_default();
        turns.insert(next, self.evicted.clone());
        *turn = Some(next);
    }

    /// It is of use: from now on it is not taken back.
    pub(crate) fn is_of_use(&self) {
        if let Some(turn) = self.turn.lock().take() {
            self.crowd.shared.lock().remove(self.network, turn);
        }
    }

    /// It was of use, and is idle now.
    pub(crate) fn is_idle(&self) {
        self.wait(true);
    }

    /// Returns when it has to make room.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.is_of_use();
    }
}

/// Who has one IPv6 address has 2^64 of them.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn has_gone(place: &Place) -> bool {
        place.evicted().now_or_never().is_some()
    }

    #[test]
    fn who_waits_longest_makes_room() {
        let crowd = Crowd::new(3);
        let places: Vec<Place> = (0..5).map(|_| crowd.enter(ip("10.0.0.1"))).collect();
        let gone: Vec<bool> = places.iter().map(has_gone).collect();
        assert_eq!(gone, [true, true, false, false, false]);
        assert_eq!(crowd.len(), 3);
        drop(places);
        assert_eq!(crowd.len(), 0);
        assert!(!crowd.make_room());
    }

    #[test]
    fn what_is_of_use_stays_and_what_was_goes_last() {
        let crowd = Crowd::new(3);
        let [busy, idle, first, second] = [0; 4].map(|_| crowd.enter(ip("10.0.0.1")));
        // The fourth took the place of the first.
        assert!(has_gone(&busy));
        busy.is_of_use();
        idle.is_of_use();
        idle.is_idle();
        assert!(crowd.make_room() && has_gone(&first));
        assert!(crowd.make_room() && has_gone(&second));
        assert!(!has_gone(&idle));
        assert!(crowd.make_room() && has_gone(&idle));
        assert!(!crowd.make_room());
    }

    #[test]
    fn the_address_with_most_makes_room() {
        let crowd = Crowd::new(6);
        let alone = crowd.enter(ip("10.0.0.1"));
        let net = ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"].map(|at| crowd.enter(ip(at)));
        let others: Vec<Place> = (0..20).map(|_| crowd.enter(ip("::ffff:10.0.0.2"))).collect();
        assert!(!has_gone(&alone));
        let left = others.iter().filter(|place| !has_gone(place)).count();
        let of_net = net.iter().filter(|place| !has_gone(place)).count();
        assert_eq!((left, of_net), (3, 2), "those of one network count together");
    }
}
