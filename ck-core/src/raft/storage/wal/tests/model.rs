//! Any sequence of calls, with reopenings anywhere, behaves as a plain map does.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Call {
    Append(Vec<usize>),
    Vote,
    Truncate(usize),
    TruncateAll,
    Purge(usize),
    PurgeBeyond(u64),
    Committed(usize),
    Read(u64, u64, u64),
    Step,
    Reopen,
    Kill,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        10 => prop::collection::vec(0..700usize, 0..8).prop_map(Call::Append),
        2 => Just(Call::Vote),
        3 => (0..20usize).prop_map(Call::Truncate),
        1 => Just(Call::TruncateAll),
        2 => (0..20usize).prop_map(Call::Purge),
        1 => (1..9u64).prop_map(Call::PurgeBeyond),
        2 => (0..9usize).prop_map(Call::Committed),
        5 => (0..50u64, 0..20u64, 0..2000u64).prop_map(|(from, count, bytes)| Call::Read(from, count, bytes)),
        6 => Just(Call::Step),
        1 => Just(Call::Reopen),
        1 => Just(Call::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_calls_behaves_as_the_model(calls in prop::collection::vec(call(), 1..80)) {
        let (_, mut rig) = Rig::new();
        let mut model = State::default();
        let mut term = 1;
        for call in calls {
            match call {
                Call::Append(lengths) => {
                    let first = model.next();
                    let entries: Vec<_> =
                        (first..).zip(lengths).map(|(index, length)| entry(term, index, length)).collect();
                    entries.iter().for_each(|entry| model.append(entry.clone()));
                    rig.append(entries);
                }
                Call::Vote => {
                    term += 1;
                    model.vote = Some(vote(term));
                    rig.vote(term);
                }
                Call::Truncate(back) => {
                    let to = model.entries.values().rev().nth(back).map(|entry| entry.id).or(model.purged);
                    model.truncate(to);
                    term += 1;
                    rig.truncate(to);
                }
                Call::TruncateAll => {
                    model.truncate(None);
                    term += 1;
                    rig.truncate(None);
                }
                Call::Purge(at) => {
                    if let Some(upto) = model.entries.values().nth(at).map(|entry| entry.id) {
                        model.purge(upto);
                        rig.purge(upto);
                    }
                }
                Call::PurgeBeyond(by) => {
                    let upto = id(term, model.next() + by);
                    model.purge(upto);
                    rig.purge(upto);
                }
                Call::Committed(back) => {
                    if let Some(entry) = model.entries.values().rev().nth(back) {
                        rig.wal.save_committed(entry.id);
                    }
                }
                Call::Read(from, count, bytes) => {
                    let found = rig.wal.read(from..from + count, bytes).unwrap();
                    let all: Vec<_> = model.entries.range(from..from + count).map(|(_, e)| e.clone()).collect();
                    prop_assert!(found.len() <= all.len());
                    prop_assert_eq!(&found[..], &all[..found.len()]);
                    prop_assert!(all.is_empty() || !found.is_empty());
                }
                Call::Step => rig.step_ok(),
                Call::Reopen => {
                    rig = rig.reopen();
                    prop_assert_eq!(rig.state(), model.clone());
                }
                Call::Kill => {
                    rig.step_ok();
                    let disk = rig.disk.clone();
                    drop(rig);
                    rig = Rig::open(disk).unwrap();
                    prop_assert_eq!(rig.state(), model.clone());
                }
            }
            let mut state = rig.state();
            // The vote is the durable one, so it may lag.
            state.vote = model.vote;
            prop_assert_eq!(state, model.clone());
        }
        rig.step_ok();
        prop_assert_eq!(rig.reopen().state(), model);
    }
}
