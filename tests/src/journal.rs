//! What clients were told of their writes, and what must be true because of it.

use std::collections::{BTreeMap, BTreeSet};

use clusterkit::model::Cluster as ClusterRecord;
use clusterkit::{ErrorCode, Result};

use crate::Api;
use crate::load::number;

/// Of so many keys each node is asked for the revision of the last write. Values are compared for all.
const SAMPLE: usize = 300;

/// What a client was told of a write.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// It is committed, with this revision.
    Done(u64),
    /// It did not happen, and will not.
    Refused,
    /// It may have happened, or happen yet, once.
    Unknown,
    /// Something that no node should say.
    Nonsense(String),
}

impl Told {
    pub(crate) fn of(outcome: Result<u64>) -> Self {
        match outcome {
            Ok(revision) => Told::Done(revision),
            Err(error) => match error.code() {
                // What docs/consistency.md says of it, and of nothing else.
                ErrorCode::Timeout => Told::Unknown,
                // Nobody was reached, nobody leads, the node is not a member or takes part no more: nothing was
                // appended. Or the precondition did not hold.
                ErrorCode::Unreachable
                | ErrorCode::NoLeader
                | ErrorCode::NotStarted
                | ErrorCode::Stopped
                | ErrorCode::Io
                | ErrorCode::Removed
                | ErrorCode::DuplicateNode
                | ErrorCode::Conflict => Told::Refused,
                _ => Told::Nonsense(error.to_string()),
            },
        }
    }
}

/// The value of a key that is written once.
pub(crate) fn unique_value(key: &str) -> String {
    format!("the value of {key}")
}

/// What some clients were told.
#[derive(Debug, Default)]
pub struct Journal {
    /// Keys that were written once.
    unique: BTreeMap<String, Told>,
    /// Keys that one client wrote again and again, with its own growing numbers.
    latest: BTreeMap<String, Latest>,
    /// Keys that all clients counted up with compare-and-set.
    counters: BTreeMap<String, Counter>,
    /// The revision that this client was told last.
    revision: u64,
    nonsense: Vec<String>,
}

#[derive(Debug, Default)]
struct Latest {
    done: Option<(u64, u64)>,
    unknown: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Counter {
    /// The revisions of the acknowledged increments, by the count that they made.
    done: BTreeMap<u64, u64>,
    unknown: u64,
}

impl Journal {
    /// Notes a write to a key that is written once. True when it was acknowledged, as of all these.
    pub(crate) fn unique(&mut self, key: String, told: Told) -> bool {
        let done = self.note(&key, &told);
        self.unique.insert(key, told);
        done
    }

    /// Notes a write to a key of this client's own.
    pub(crate) fn latest(&mut self, key: String, value: u64, told: Told) -> bool {
        let done = self.note(&key, &told);
        let latest = self.latest.entry(key).or_default();
        match told {
            Told::Done(revision) => latest.done = Some((value, revision)),
            Told::Unknown => drop(latest.unknown.insert(value)),
            Told::Refused | Told::Nonsense(_) => {}
        }
        done
    }

    /// Notes an increment to `count`.
    pub(crate) fn count(&mut self, key: String, count: u64, told: Told) -> bool {
        let done = self.note(&key, &told);
        let counter = self.counters.entry(key).or_default();
        match told {
            Told::Done(revision) => counter.increment(count, revision, &mut self.nonsense),
            Told::Unknown => counter.unknown += 1,
            Told::Refused | Told::Nonsense(_) => {}
        }
        done
    }

    fn note(&mut self, key: &str, told: &Told) -> bool {
        match told {
            Told::Done(revision) => {
                // The client waited for each write before the next: the log has them in that order.
                if *revision <= self.revision {
                    let before = self.revision;
                    self.nonsense.push(format!(
                        "{key} was written at {revision}, after a write at {before}"
                    ));
                }
                self.revision = *revision;
                true
            }
            Told::Nonsense(what) => {
                self.nonsense.push(format!("{key}: {what}"));
                false
            }
            Told::Refused | Told::Unknown => false,
        }
    }

    /// Adds what other clients were told.
    pub(crate) fn merge(&mut self, other: Journal) {
        self.unique.extend(other.unique);
        self.latest.extend(other.latest);
        for (key, counter) in other.counters {
            let mine = self.counters.entry(key).or_default();
            mine.unknown += counter.unknown;
            for (count, revision) in counter.done {
                mine.increment(count, revision, &mut self.nonsense);
            }
        }
        self.revision = self.revision.max(other.revision);
        self.nonsense.extend(other.nonsense);
    }

    /// How many writes were acknowledged, and of how many the outcome is unknown.
    pub fn totals(&self) -> (usize, usize) {
        let unique = |wanted: fn(&Told) -> bool| self.unique.values().filter(|told| wanted(told)).count();
        let done = unique(|told| matches!(told, Told::Done(_)));
        let unknown = unique(|told| matches!(told, Told::Unknown));
        let counted: usize = self.counters.values().map(|counter| counter.done.len()).sum();
        (done + counted, unknown)
    }

    /// Compares with the data of a cluster to which nobody writes any more: every acknowledged write is there,
    /// every refused one is not, and none happened twice.
    ///
    /// # Panics
    /// When it is not so.
    pub fn check(&self, cluster: &ClusterRecord) {
        let data = cluster.custom_data.as_ref().expect("the cluster with its data");
        assert!(self.nonsense.is_empty(), "{:#?}", self.nonsense);
        for (key, told) in &self.unique {
            let value = data.get(key);
            if let Some(value) = value {
                assert_eq!(value[..], *unique_value(key).as_bytes(), "{key}");
            }
            match told {
                Told::Done(revision) => assert!(
                    value.is_some(),
                    "{key}, acknowledged with revision {revision}, is lost"
                ),
                Told::Refused => assert_eq!(value, None, "{key} was refused, and is there"),
                Told::Unknown | Told::Nonsense(_) => {}
            }
        }
        for (key, latest) in &self.latest {
            let value = data.get(key).map(|value| number(value));
            let allowed = value.is_some_and(|value| latest.unknown.contains(&value));
            let done = latest.done.map(|(value, _)| value);
            assert!(allowed || value == done, "{key} is {value:?}: {latest:?}");
        }
        for (key, counter) in &self.counters {
            let value = data.get(key).map_or(0, |value| number(value));
            counter.check(key, value);
        }
        let known = |key: &&String| {
            !self.unique.contains_key(*key)
                && !self.latest.contains_key(*key)
                && !self.counters.contains_key(*key)
        };
        let phantoms: Vec<&String> = data.keys().filter(known).collect();
        assert!(phantoms.is_empty(), "nobody wrote {phantoms:?}");
    }

    /// Asks a node for the revisions of the writes, of a sample of the keys: they are the acknowledged ones.
    ///
    /// # Panics
    /// When it is not so.
    pub fn check_revisions(&self, api: &Api) {
        let done = self.unique.iter().filter_map(|(key, told)| match told {
            Told::Done(revision) => Some((key, *revision)),
            _ => None,
        });
        let step = (self.unique.len() / SAMPLE).max(1);
        for (key, revision) in done.step_by(step) {
            let (_, found) = api.value(key, 0).unwrap().unwrap();
            assert_eq!(found, revision, "{key} was written once, and acknowledged");
        }
    }
}

impl Counter {
    fn increment(&mut self, count: u64, revision: u64, nonsense: &mut Vec<String>) {
        if let Some(other) = self.done.insert(count, revision) {
            nonsense.push(format!(
                "a counter was set to {count} at {other} and at {revision}: an update was lost"
            ));
        }
    }

    /// Each increment was made on the value of the one before, so they stand in the log as they count, and the
    /// last value is their number.
    fn check(&self, key: &str, value: u64) {
        let revisions: Vec<u64> = self.done.values().copied().collect();
        assert!(
            revisions.is_sorted(),
            "{key}: increments out of order: {:?}",
            self.done
        );
        let least = self.done.len() as u64;
        let most = least + self.unknown;
        assert!(
            (least..=most).contains(&value),
            "{key} is {value}, but {least} increments were acknowledged and {} may have happened",
            self.unknown
        );
        let last = self.done.keys().last().copied().unwrap_or(0);
        assert!(last <= value, "{key} is {value}, but {last} was acknowledged");
    }
}

#[cfg(test)]
mod tests;
