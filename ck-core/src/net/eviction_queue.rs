//! Connections that may be closed to make room for others, because they are unproven or idle.
//!
//! Any program that reaches a port can open connections and send nothing. If such connections kept their places, a member
//! that dials would find none, and a leader that died would be replaced only after minutes. So a new connection evicts an
//! old one when the queue is full: of the address that has most connections in it, the one that waits longest, and before
//! all others one that has never carried a request.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The connections that may be evicted. Clones share the queue.
#[derive(Debug, Clone)]
pub(crate) struct EvictionQueue {
    state: Arc<Mutex<EvictionQueueState>>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct EvictionQueueState {
    last_sequence: u64,
    count: usize,
    /// By network, then in the order of eviction.
    networks: HashMap<IpAddr, BTreeMap<EvictionOrder, Arc<Notify>>>,
}

/// The order of eviction: connections that never carried a request first, then those that wait longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct EvictionOrder {
    was_used: bool,
    sequence: u64,
}

/// One connection, as the queue knows it. Dropping it takes the connection out of the queue.
#[derive(Debug)]
pub(crate) struct EvictionHandle {
    queue: EvictionQueue,
    network: IpAddr,
    /// `None` while the connection must not be evicted.
    order: Mutex<Option<EvictionOrder>>,
    evicted: Arc<Notify>,
}

impl EvictionQueue {
    /// A queue of at most `capacity` connections.
    pub(crate) fn new(capacity: usize) -> Self {
        EvictionQueue {
            state: Arc::default(),
            capacity,
        }
    }

    /// Adds a new connection from `address`; evicts another one if the queue is full.
    pub(crate) fn enter(&self, address: IpAddr) -> EvictionHandle {
        let handle = EvictionHandle {
            queue: self.clone(),
            network: network_of(address),
            order: Mutex::new(None),
            evicted: Arc::default(),
        };
        handle.enqueue(false);
        handle
    }

    /// Evicts one connection; false when there is none in the queue.
    pub(crate) fn make_room(&self) -> bool {
        self.state.lock().evict()
    }

    /// Number of connections that may be evicted.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.state.lock().count
    }
}

impl EvictionQueueState {
    fn evict(&mut self) -> bool {
        let largest = self.networks.iter_mut().max_by_key(|(_, waiting)| waiting.len());
        let Some((network, waiting)) = largest else {
            return false;
        };
        let network = *network;
        let Some((_, evicted)) = waiting.pop_first() else {
            return false;
        };
        if waiting.is_empty() {
            self.networks.remove(&network);
        }
        self.count -= 1;
        evicted.notify_one();
        true
    }

    fn remove(&mut self, network: IpAddr, order: EvictionOrder) {
        if let Some(waiting) = self.networks.get_mut(&network)
            && waiting.remove(&order).is_some()
        {
            self.count -= 1;
            if waiting.is_empty() {
                self.networks.remove(&network);
            }
        }
    }
}

impl EvictionHandle {
    /// Puts the connection at the end of its part of the queue.
    fn enqueue(&self, was_used: bool) {
        let mut order = self.order.lock();
        if order.is_some() {
            return;
        }
        let mut state = self.queue.state.lock();
        if state.count >= self.queue.capacity {
            state.evict();
        }
        state.last_sequence += 1;
        state.count += 1;
        let new = EvictionOrder {
            was_used,
            sequence: state.last_sequence,
        };
        let waiting = state.networks.entry(self.network).or_default();
        waiting.insert(new, self.evicted.clone());
        *order = Some(new);
    }

    /// Takes the connection out of the queue: from now on it is not evicted.
    pub(crate) fn protect(&self) {
        if let Some(order) = self.order.lock().take() {
            self.queue.state.lock().remove(self.network, order);
        }
    }

    /// Puts a connection that has carried a request back into the queue.
    pub(crate) fn mark_idle(&self) {
        self.enqueue(true);
    }

    /// Returns when the connection is evicted.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for EvictionHandle {
    fn drop(&mut self) {
        self.protect();
    }
}

/// The network that an address counts for. A client with one IPv6 address usually has 2^64 of them, so IPv6 counts by /64.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
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

    fn is_evicted(handle: &EvictionHandle) -> bool {
        handle.evicted().now_or_never().is_some()
    }

    #[test]
    fn the_connection_that_waits_longest_is_evicted() {
        let queue = EvictionQueue::new(3);
        let handles: Vec<EvictionHandle> = (0..5).map(|_| queue.enter(ip("10.0.0.1"))).collect();
        let gone: Vec<bool> = handles.iter().map(is_evicted).collect();
        assert_eq!(gone, [true, true, false, false, false]);
        assert_eq!(queue.len(), 3);
        drop(handles);
        assert_eq!(queue.len(), 0);
        assert!(!queue.make_room());
    }

    #[test]
    fn a_protected_connection_stays_and_a_used_one_is_evicted_last() {
        let queue = EvictionQueue::new(3);
        let [busy, idle, first, second] = [0; 4].map(|_| queue.enter(ip("10.0.0.1")));
        // The fourth evicted the first.
        assert!(is_evicted(&busy));
        busy.protect();
        idle.protect();
        idle.mark_idle();
        assert!(queue.make_room() && is_evicted(&first));
        assert!(queue.make_room() && is_evicted(&second));
        assert!(!is_evicted(&idle));
        assert!(queue.make_room() && is_evicted(&idle));
        assert!(!queue.make_room());
    }

    #[test]
    fn the_network_with_most_connections_is_evicted_first() {
        let queue = EvictionQueue::new(6);
        let alone = queue.enter(ip("10.0.0.1"));
        let net = ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"].map(|at| queue.enter(ip(at)));
        let others: Vec<EvictionHandle> = (0..20).map(|_| queue.enter(ip("::ffff:10.0.0.2"))).collect();
        assert!(!is_evicted(&alone));
        let left = others.iter().filter(|handle| !is_evicted(handle)).count();
        let of_net = net.iter().filter(|handle| !is_evicted(handle)).count();
        assert_eq!((left, of_net), (3, 2), "addresses of one network count together");
    }
}
