//! The addresses that a client may ask, and what is known of each: whether it answers, and when to try it again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::seq::SliceRandom;

use super::options::ClientOptions;
use super::status::AddrStatus;
use crate::env::Instant;
use crate::env::runtime::rng;
use crate::error::{Error, ErrorCode};
use crate::model::Node;
use crate::options::is_dialable;

/// The most addresses that are learned from one answer.
const MAX_LEARNED: usize = 256;

/// Every address, the given ones first.
#[derive(Debug)]
pub(super) struct Addresses {
    list: Vec<Address>,
    retry_min: Duration,
    retry_max: Duration,
}

#[derive(Debug)]
struct Address {
    addr: String,
    /// Named in the options: it is never forgotten.
    is_given: bool,
    /// True when the last attempt succeeded.
    answers: bool,
    /// True where the cluster says that the member is down, or still catching up with the log: it is tried last.
    is_not_serving: bool,
    /// Failures in a row.
    failures: u32,
    /// Not tried before this moment, unless a caller asks now.
    not_before: Option<Instant>,
    last_error: Option<Error>,
}

impl Address {
    fn new(addr: String, is_given: bool) -> Self {
        Address {
            addr,
            is_given,
            answers: false,
            is_not_serving: false,
            failures: 0,
            not_before: None,
            last_error: None,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|moment| moment <= now)
    }

    /// Less is tried earlier: what answers, then what was never tried, then what has failed least.
    fn rank(&self) -> (bool, bool, u32) {
        (!self.answers, self.is_not_serving, self.failures)
    }
}

impl Addresses {
    pub(super) fn new(options: &ClientOptions) -> Self {
        let mut seen = BTreeSet::new();
        let given = options.addrs.iter().filter(|addr| seen.insert(addr.as_str()));
        Addresses {
            list: given.map(|addr| Address::new(addr.clone(), true)).collect(),
            retry_min: options.retry_min,
            retry_max: options.retry_max,
        }
    }

    /// Takes over the addresses of members, and forgets those of nodes that are members no longer.
    pub(super) fn learn(&mut self, nodes: &[Arc<Node>]) {
        let serving = nodes.iter().filter(|node| node.status.is_serving());
        let others = nodes.iter().filter(|node| !node.status.is_serving());
        let mut named: BTreeSet<&str> = BTreeSet::new();
        let mut not_serving: BTreeSet<&str> = BTreeSet::new();
        for node in serving.chain(others).filter(|node| is_dialable(&node.ip)) {
            if named.len() < MAX_LEARNED && named.insert(&node.ip) && !node.status.is_serving() {
                not_serving.insert(&node.ip);
            }
        }
        self.list
            .retain(|address| address.is_given || named.contains(address.addr.as_str()));
        let known: BTreeSet<String> = self.list.iter().map(|address| address.addr.clone()).collect();
        let new = named.iter().filter(|addr| !known.contains(**addr));
        self.list
            .extend(new.map(|addr| Address::new((*addr).to_owned(), false)));
        for address in &mut self.list {
            address.is_not_serving = not_serving.contains(address.addr.as_str());
        }
    }

    /// The addresses to try now, the most promising first; those that are alike are in random order, so that many clients
    /// do not all ask the same member. With `all` also those that have failed a moment ago.
    pub(super) fn candidates(&self, now: Instant, all: bool) -> Vec<String> {
        let mut due: Vec<&Address> = self
            .list
            .iter()
            .filter(|address| all || address.is_due(now))
            .collect();
        due.shuffle(&mut rng());
        due.sort_by_key(|address| address.rank());
        due.into_iter().map(|address| address.addr.clone()).collect()
    }

    /// The time until an address other than `except` is due; `None` where there is none.
    pub(super) fn next_due(&self, now: Instant, except: Option<&str>) -> Option<Duration> {
        let others = self
            .list
            .iter()
            .filter(|address| Some(address.addr.as_str()) != except);
        others
            .map(|address| {
                address
                    .not_before
                    .map_or(Duration::ZERO, |moment| moment.since(now))
            })
            .min()
    }

    /// Notes an answer of this cluster.
    pub(super) fn note_answer(&mut self, addr: &str) {
        if let Some(address) = self.find(addr) {
            address.answers = true;
            address.failures = 0;
            address.not_before = None;
            address.last_error = None;
        }
    }

    /// Notes a failure: the address is left alone for a while, for longer with each further failure. True when it failed
    /// otherwise before, or did not: then people are told.
    pub(super) fn note_failure(&mut self, addr: &str, error: &Error, now: Instant) -> bool {
        let (retry_min, retry_max) = (self.retry_min, self.retry_max);
        let Some(address) = self.find(addr) else {
            return false;
        };
        let is_news = address.last_error.as_ref().map(Error::code) != Some(error.code());
        let pause = match error.code() {
            // Another cluster does not become this one in a moment.
            ErrorCode::WrongCluster => retry_max,
            _ => backoff(retry_min, retry_max, address.failures),
        };
        address.answers = false;
        address.failures = address.failures.saturating_add(1);
        address.not_before = Some(now + jittered(pause));
        address.last_error = Some(error.clone());
        is_news
    }

    /// What is known of each, for people.
    pub(super) fn status(&self) -> Vec<AddrStatus> {
        let status = |address: &Address| AddrStatus {
            addr: address.addr.clone(),
            is_given: address.is_given,
            failures: address.failures,
            last_error: address.last_error.clone(),
        };
        self.list.iter().map(status).collect()
    }

    fn find(&mut self, addr: &str) -> Option<&mut Address> {
        self.list.iter_mut().find(|address| address.addr == addr)
    }
}

/// The pause after so many failures before this one.
pub(super) fn backoff(min: Duration, max: Duration, failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    min.saturating_mul(factor).min(max)
}

/// A pause of at least half and at most the whole of `pause`, so that clients that failed together do not come back
/// together.
pub(super) fn jittered(pause: Duration) -> Duration {
    let half = pause / 2;
    half + half.mul_f64(rng().random_range(0.0..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NodeStatus;

    fn addresses(addrs: &[&str]) -> Addresses {
        Addresses::new(&ClientOptions::new(addrs))
    }

    fn node(id: &str, ip: &str, status: NodeStatus) -> Arc<Node> {
        Arc::new(Node {
            ip: ip.to_owned(),
            status,
            ..Node::sample(id)
        })
    }

    fn unreachable() -> Error {
        Error::new(ErrorCode::Unreachable, "refused")
    }

    #[test]
    fn what_answers_comes_first_and_what_has_failed_waits() {
        let mut all = addresses(&["a:1", "b:1", "c:1"]);
        let now = Instant::now();
        all.note_failure("a:1", &unreachable(), now);
        all.note_answer("c:1");
        assert_eq!(all.candidates(now, false), ["c:1", "b:1"]);
        assert_eq!(all.candidates(now, true), ["c:1", "b:1", "a:1"]);
        let later = now + Duration::from_millis(100);
        assert_eq!(all.candidates(later, false), ["c:1", "b:1", "a:1"]);
    }

    #[test]
    fn pauses_grow_to_their_bound_and_an_answer_ends_them() {
        let mut all = addresses(&["a:1"]);
        let now = Instant::now();
        for failures in 0..40 {
            all.note_failure("a:1", &unreachable(), now);
            let whole = backoff(Duration::from_millis(100), Duration::from_secs(5), failures);
            let pause = all.next_due(now, None).unwrap();
            assert!(whole / 2 <= pause && pause <= whole, "{failures}: {pause:?}");
        }
        assert!(all.next_due(now, None).unwrap() >= Duration::from_millis(2_500));
        assert_eq!(all.next_due(now, Some("a:1")), None);
        all.note_answer("a:1");
        assert_eq!(all.next_due(now, None), Some(Duration::ZERO));
    }

    #[test]
    fn an_address_is_news_when_it_fails_otherwise_than_before() {
        let mut all = addresses(&["a:1"]);
        let now = Instant::now();
        let other = Error::new(ErrorCode::WrongCluster, "another");
        let mut note = |error: &Error| all.note_failure("a:1", error, now);
        assert!(note(&unreachable()));
        assert!(!note(&unreachable()));
        assert!(note(&other));
        assert!(!note(&other));
    }

    #[test]
    fn alike_addresses_are_asked_in_random_order() {
        let all = addresses(&["a:1", "b:1", "c:1", "d:1"]);
        let orders: BTreeSet<Vec<String>> = (0..200).map(|_| all.candidates(Instant::now(), false)).collect();
        assert!(orders.len() > 4, "{orders:?}");
    }

    #[test]
    fn members_are_learned_and_forgotten_and_given_addresses_stay() {
        let mut all = addresses(&["a:1", "a:1", "given:1"]);
        all.learn(&[
            node("a", "a:1", NodeStatus::Active),
            node("b", "b:1", NodeStatus::Stopped),
            node("c", "c:1", NodeStatus::Active),
            node("d", "http://no/address", NodeStatus::Active),
        ]);
        let candidates = all.candidates(Instant::now(), false);
        assert_eq!(candidates.len(), 4, "{candidates:?}");
        assert_eq!(
            candidates.last().unwrap(),
            "b:1",
            "a member that is down comes last"
        );
        all.learn(&[node("c", "c:1", NodeStatus::Active)]);
        let known: Vec<String> = all.status().into_iter().map(|address| address.addr).collect();
        assert_eq!(known, ["a:1", "given:1", "c:1"]);
    }

    #[test]
    fn a_cluster_of_any_size_is_remembered_in_part() {
        let mut all = addresses(&["a:1"]);
        let nodes: Vec<Arc<Node>> = (0..10 * MAX_LEARNED)
            .map(|number| node(&format!("n{number}"), &format!("n{number}:1"), NodeStatus::Active))
            .collect();
        all.learn(&nodes);
        assert_eq!(all.status().len(), MAX_LEARNED + 1);
    }
}
