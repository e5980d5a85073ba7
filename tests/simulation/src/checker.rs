//! Is a history of one register linearizable? (Wing and Gong's search with Lowe's memory of what was tried, as in
//! porcupine; each register by itself, since linearizability is local: Herlihy and Wing, theorem 1.)

use std::collections::{BTreeSet, HashSet};

/// What a client asked, and what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It wrote this value.
    Write(u64),
    /// It replaced the first value by the second, and was told that it did.
    Swapped(Option<u64>, u64),
    /// It asked for that and was told that the register had another value.
    NotSwapped(Option<u64>),
    /// It read this.
    Read(Option<u64>),
}

/// One call. Values are never written twice.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// When it began.
    pub began: u64,
    /// When it ended; `None` where nobody knows what came of it: it may have happened at any later moment, or never.
    pub ended: Option<u64>,
    /// What it was.
    pub action: Action,
}

impl Call {
    fn end(&self) -> u64 {
        self.ended.unwrap_or(u64::MAX)
    }

    fn written(&self) -> Option<u64> {
        match self.action {
            Action::Write(value) | Action::Swapped(_, value) => Some(value),
            Action::NotSwapped(_) | Action::Read(_) => None,
        }
    }

    /// The register afterwards, if the call can happen to one that is `before`.
    fn step(&self, before: Option<u64>) -> Option<Option<u64>> {
        match self.action {
            Action::Write(value) => Some(Some(value)),
            Action::Swapped(expected, value) => (before == expected).then_some(Some(value)),
            Action::NotSwapped(expected) => (before != expected).then_some(before),
            Action::Read(value) => (before == value).then_some(before),
        }
    }
}

/// Whether there is an order of the calls that explains what everybody was told.
///
/// # Errors
/// The calls around the first one that nothing explains.
pub fn check(history: &[Call]) -> Result<(), String> {
    // Of calls that may never have happened only those matter whose value somebody saw; the others are looked at where
    // there is no other explanation.
    let seen: BTreeSet<u64> = history
        .iter()
        .filter_map(|call| match call.action {
            Action::Read(value) => value,
            Action::Swapped(expected, _) if call.ended.is_some() => expected,
            _ => None,
        })
        .collect();
    let relevant =
        |call: &&Call| call.ended.is_some() || call.written().is_some_and(|value| seen.contains(&value));
    let few: Vec<Call> = history.iter().filter(relevant).copied().collect();
    if search(few).is_ok() {
        return Ok(());
    }
    search(history.to_vec())
}

fn search(mut calls: Vec<Call>) -> Result<(), String> {
    calls.sort_by_key(|call| (call.began, call.end()));
    let needed = calls.iter().filter(|call| call.ended.is_some()).count();
    let mut tried = HashSet::new();
    // Depth first: which calls have happened (a prefix and some more), the register, how many that count.
    let mut open = vec![(0_usize, Vec::<usize>::new(), None::<u64>, 0_usize)];
    let mut furthest = (0, Vec::new());
    while let Some((prefix, extra, register, done)) = open.pop() {
        if done == needed {
            return Ok(());
        }
        if prefix + extra.len() >= furthest.0 {
            furthest = (prefix + extra.len(), blocked(&calls, prefix, &extra));
        }
        let pending = || (prefix..calls.len()).filter(|i| extra.binary_search(i).is_err());
        // Whatever ended before another began came before it.
        let bound = pending().map(|i| calls[i].end()).min().unwrap_or(u64::MAX);
        for i in pending() {
            if calls[i].began > bound {
                break;
            }
            let Some(after) = calls[i].step(register) else {
                continue;
            };
            let mut extra = extra.clone();
            let at = extra.binary_search(&i).unwrap_or_else(|at| at);
            extra.insert(at, i);
            let mut prefix = prefix;
            while extra.first() == Some(&prefix) {
                extra.remove(0);
                prefix += 1;
            }
            let done = done + usize::from(calls[i].ended.is_some());
            if tried.insert((prefix, extra.clone(), after)) {
                open.push((prefix, extra, after, done));
            }
        }
    }
    Err(format!("no order explains {:?}", furthest.1))
}

fn blocked(calls: &[Call], prefix: usize, extra: &[usize]) -> Vec<Call> {
    (prefix..calls.len())
        .filter(|i| extra.binary_search(i).is_err())
        .take(6)
        .map(|i| calls[i])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(began: u64, ended: u64, action: Action) -> Call {
        Call {
            began,
            ended: Some(ended),
            action,
        }
    }

    fn lost(began: u64, action: Action) -> Call {
        Call {
            began,
            ended: None,
            action,
        }
    }

    #[test]
    fn one_after_the_other_is_linearizable() {
        let good = [
            call(0, 1, Action::Read(None)),
            call(2, 3, Action::Write(1)),
            call(4, 5, Action::Read(Some(1))),
            call(6, 7, Action::Swapped(Some(1), 2)),
            call(8, 9, Action::NotSwapped(Some(1))),
            call(10, 11, Action::Read(Some(2))),
        ];
        check(&good).unwrap();
    }

    #[test]
    fn a_read_beside_a_write_may_see_either() {
        for value in [None, Some(1)] {
            check(&[call(0, 10, Action::Write(1)), call(1, 2, Action::Read(value))]).unwrap();
        }
    }

    #[test]
    fn a_stale_read_is_found() {
        let bad = [
            call(0, 1, Action::Write(1)),
            call(2, 3, Action::Write(2)),
            call(4, 5, Action::Read(Some(1))),
        ];
        check(&bad).unwrap_err();
    }

    #[test]
    fn reads_that_go_back_are_found() {
        let bad = [
            call(0, 100, Action::Write(1)),
            call(1, 2, Action::Read(Some(1))),
            call(3, 4, Action::Read(None)),
        ];
        check(&bad).unwrap_err();
    }

    #[test]
    fn an_unknown_write_may_happen_late_or_never() {
        check(&[lost(0, Action::Write(1)), call(5, 6, Action::Read(None))]).unwrap();
        let late = [
            lost(0, Action::Write(1)),
            call(5, 6, Action::Read(None)),
            call(7, 8, Action::Read(Some(1))),
        ];
        check(&late).unwrap();
    }

    #[test]
    fn an_unknown_write_explains_a_refusal() {
        let good = [
            call(0, 1, Action::Write(1)),
            lost(2, Action::Write(2)),
            call(3, 4, Action::NotSwapped(Some(1))),
            call(5, 6, Action::Write(3)),
        ];
        check(&good).unwrap();
    }

    #[test]
    fn a_refused_swap_that_happened_is_found() {
        // Told "refused", and yet nothing else can have changed the value.
        let bad = [
            call(0, 1, Action::Write(1)),
            call(2, 3, Action::NotSwapped(Some(1))),
            call(4, 5, Action::Read(Some(1))),
        ];
        check(&bad).unwrap_err();
    }

    #[test]
    fn two_swaps_of_one_value_are_found() {
        let bad = [
            call(0, 1, Action::Write(1)),
            call(2, 9, Action::Swapped(Some(1), 2)),
            call(3, 8, Action::Swapped(Some(1), 3)),
        ];
        check(&bad).unwrap_err();
    }

    #[test]
    fn a_lost_write_is_found() {
        check(&[call(0, 1, Action::Write(1)), call(2, 3, Action::Read(None))]).unwrap_err();
    }
}
