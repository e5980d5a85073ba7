//! Is a history of one register linearizable? (Wing and Gong's search with Lowe's memory of what was tried, as in
//! porcupine; each register by itself, since linearizability is local: Herlihy and Wing, theorem 1.)

use std::collections::{BTreeMap, BTreeSet, HashSet};

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

    /// The value that it hoped to replace.
    fn expected(&self) -> Option<u64> {
        match self.action {
            Action::Swapped(value, _) | Action::NotSwapped(value) => value,
            Action::Write(_) | Action::Read(_) => None,
        }
    }

    /// What the register had just before the call, if it had happened and says so.
    fn found(&self) -> Option<Option<u64>> {
        match self.action {
            Action::Read(value) | Action::Swapped(value, _) => Some(value),
            Action::Write(_) | Action::NotSwapped(_) => None,
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

/// How many steps a search may take. Histories of the simulation take some thousands; without a bound one of them, with
/// many calls of which nobody knows what came, could take all memory.
const STEPS: usize = 4_000_000;

/// Stands for every value that nobody saw or asked about.
const UNASKED: u64 = u64::MAX;

/// Whether there is an order of the calls that explains what everybody was told.
///
/// # Errors
/// The calls around the first one that nothing explains, or that this is not known after as many steps as are allowed.
pub fn check(history: &[Call]) -> Result<(), String> {
    let history = bounded(history);
    // Of calls that may never have happened only those matter whose value somebody saw; the others are looked at where
    // there is no other explanation.
    let few: Vec<Call> = history
        .iter()
        .filter(|call| call.ended.is_some())
        .copied()
        .collect();
    if search(few).is_ok() {
        return Ok(());
    }
    search(history)
}

/// A call whose value somebody saw has happened, before they were told. What made that value possible has happened too.
fn bounded(history: &[Call]) -> Vec<Call> {
    let mut history = history.to_vec();
    loop {
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
        for call in &history {
            if let (Some(ended), Some(value)) = (call.ended, call.found().flatten()) {
                let first = seen.entry(value).or_insert(ended);
                *first = ended.min(*first);
            }
        }
        let mut found = false;
        for call in history.iter_mut().filter(|call| call.ended.is_none()) {
            call.ended = call.written().and_then(|value| seen.get(&value).copied());
            found |= call.ended.is_some();
        }
        if !found {
            return history;
        }
    }
}

fn search(mut calls: Vec<Call>) -> Result<(), String> {
    calls.sort_by_key(|call| (call.began, call.end()));
    let needed = calls.iter().filter(|call| call.ended.is_some()).count();
    // Of calls that nobody saw the ones whose value nobody asked about are alike: of them the first happens first.
    let told = calls.iter().filter(|call| call.ended.is_some());
    let asked: BTreeSet<u64> = told.filter_map(Call::expected).collect();
    let alike = |call: &Call| {
        let unasked = call.written().is_some_and(|value| !asked.contains(&value));
        (call.ended.is_none() && unasked).then_some(matches!(call.action, Action::Write(_)))
    };
    // A value is written once: it stays until all have seen it who were told that they did.
    let mut seen_by: BTreeMap<Option<u64>, Vec<usize>> = BTreeMap::new();
    for (i, call) in calls.iter().enumerate().filter(|(_, call)| call.ended.is_some()) {
        if let Some(value) = call.found() {
            seen_by.entry(value).or_default().push(i);
        }
    }
    let mut tried = HashSet::new();
    // Depth first: which calls have happened (a prefix and some more), the register, how many that count.
    let mut open = vec![(0_usize, Vec::<usize>::new(), None::<u64>, 0_usize)];
    let mut furthest = (0, Vec::new());
    while let Some((prefix, extra, register, done)) = open.pop() {
        if done == needed {
            return Ok(());
        }
        if tried.len() > STEPS {
            return Err(format!(
                "after {STEPS} steps it is not known whether an order explains {:?}",
                furthest.1
            ));
        }
        if prefix + extra.len() >= furthest.0 {
            furthest = (prefix + extra.len(), blocked(&calls, prefix, &extra));
        }
        let pending = || (prefix..calls.len()).filter(|i| extra.binary_search(i).is_err());
        // Whatever ended before another began came before it.
        let bound = pending().map(|i| calls[i].end()).min().unwrap_or(u64::MAX);
        let mut had = BTreeSet::new();
        for i in pending() {
            if calls[i].began > bound {
                break;
            }
            let Some(after) = calls[i].step(register) else {
                continue;
            };
            let happened = |other: usize| other == i || other < prefix || extra.binary_search(&other).is_ok();
            let too_early = |seen_by: &Vec<usize>| !seen_by.iter().all(|&other| happened(other));
            if after != register && seen_by.get(&register).is_some_and(too_early) {
                continue;
            }
            let kind = alike(&calls[i]);
            if kind.is_some_and(|kind| !had.insert(kind)) {
                continue;
            }
            let mut extra = extra.clone();
            let at = extra.binary_search(&i).unwrap_or_else(|at| at);
            extra.insert(at, i);
            let mut prefix = prefix;
            while extra.first() == Some(&prefix) {
                extra.remove(0);
                prefix += 1;
            }
            let done = done + usize::from(calls[i].ended.is_some());
            let after = if kind.is_some() { Some(UNASKED) } else { after };
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
    fn an_unknown_write_explains_an_unknown_swap_whose_value_was_read() {
        let good = [
            lost(0, Action::Write(1)),
            lost(1, Action::Swapped(Some(1), 2)),
            call(2, 3, Action::Read(Some(2))),
        ];
        check(&good).unwrap();
        check(&good[1..]).unwrap_err();
    }

    #[test]
    fn many_unknown_writes_are_decided() {
        let mut history = Vec::new();
        for i in 0..200 {
            let value = i * 10;
            history.push(lost(i * 10, Action::Write(value + 1)));
            history.push(lost(i * 10, Action::Write(value + 2)));
            history.push(lost(i * 10, Action::Swapped(Some(value + 1), value + 3)));
            history.push(call(i * 10 + 1, i * 10 + 4, Action::Write(value + 4)));
            // Something unknown is why it was refused.
            history.push(call(i * 10 + 5, i * 10 + 6, Action::NotSwapped(Some(value + 4))));
            // What was written 20 rounds ago shows only now.
            if i >= 20 {
                history.push(call(
                    i * 10 + 7,
                    i * 10 + 8,
                    Action::Read(Some((i - 20) * 10 + 2)),
                ));
            }
        }
        check(&history).unwrap();
        history.push(call(3000, 3001, Action::Read(Some(2))));
        check(&history).unwrap_err();
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
