//! The conditions of links, and the barriers between addresses.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::{DirectedLink, Lane};

/// Delays and faults of the messages on a link. Probabilities are from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkConditions {
    /// The shortest delay. Default 0.1 ms.
    pub min_delay: Duration,
    /// The longest usual delay; delays are drawn uniformly from the two. Default 0.5 ms.
    pub max_delay: Duration,
    /// The probability that a message is slow: it takes up to `slow_delay`, and others overtake it. Default 0.
    pub slow: f64,
    /// The longest delay of a slow message. Default 100 ms.
    pub slow_delay: Duration,
    /// The probability that a message is lost. Default 0.
    pub loss: f64,
    /// The probability that a request arrives twice; the answer to the second is dropped. Default 0.
    pub duplicate: f64,
}

impl Default for LinkConditions {
    fn default() -> Self {
        LinkConditions {
            min_delay: Duration::from_micros(100),
            max_delay: Duration::from_micros(500),
            slow: 0.0,
            slow_delay: Duration::from_millis(100),
            loss: 0.0,
            duplicate: 0.0,
        }
    }
}

impl LinkConditions {
    pub(super) fn delay(&self, slow: bool, rng: &mut SmallRng) -> Duration {
        let (low, high) = if slow {
            (self.max_delay, self.slow_delay)
        } else {
            (self.min_delay, self.max_delay)
        };
        rng.random_range(low..=high.max(low))
    }
}

/// What loses or holds messages between addresses.
#[derive(Debug, Default)]
pub(super) struct Barriers {
    pub(super) cuts: BTreeSet<DirectedLink>,
    pub(super) isolated: BTreeSet<String>,
    pub(super) groups: Vec<BTreeSet<String>>,
    pub(super) clogged_links: BTreeSet<DirectedLink>,
    pub(super) clogged_addresses: BTreeSet<String>,
    /// Links of which only the log lane is clogged, as each lane is a connection of its own.
    pub(super) clogged_logs: BTreeSet<DirectedLink>,
}

impl Barriers {
    pub(super) fn is_cut(&self, from: &str, to: &str) -> bool {
        self.isolated.contains(from)
            || self.isolated.contains(to)
            || self.cuts.contains(&super::link(from, to))
            || (!self.groups.is_empty()
                && !self
                    .groups
                    .iter()
                    .any(|group| group.contains(from) && group.contains(to)))
    }

    pub(super) fn is_clogged(&self, link: &DirectedLink, lane: Lane) -> bool {
        self.clogged_addresses.contains(&link.0)
            || self.clogged_addresses.contains(&link.1)
            || self.clogged_links.contains(link)
            || (lane == Lane::Log && self.clogged_logs.contains(link))
    }
}
