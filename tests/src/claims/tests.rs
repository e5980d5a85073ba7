//! The checker on histories that are right and on histories that are wrong.

use super::*;

const P: Subject = Subject::Partition(3);

/// A history from `(node, from, to, epoch)`; epoch 0 for no claim.
fn history(subject: Subject, samples: &[(&str, u64, u64, u64)]) -> History {
    let mut records = BTreeMap::<&str, Record>::new();
    for (node, from, to, epoch) in samples {
        let record = records.entry(node).or_insert_with(|| Record {
            node: (*node).to_owned(),
            began: 0,
            samples: Vec::new(),
        });
        let claims = (*epoch > 0).then_some((subject, *epoch));
        record.samples.push(Sample {
            from: *from,
            to: *to,
            claims: claims.into_iter().collect(),
        });
    }
    History {
        records: records.into_values().collect(),
    }
}

fn is_right(samples: &[(&str, u64, u64, u64)]) {
    for subject in [P, Subject::Leadership] {
        history(subject, samples).check();
    }
}

fn is_wrong(samples: &[(&str, u64, u64, u64)], words: &str) {
    for subject in [P, Subject::Leadership] {
        let found = history(subject, samples).violations();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0.contains(words), "{found:?}");
    }
}

#[test]
fn one_after_the_other_is_right() {
    is_right(&[]);
    is_right(&[
        ("a", 10, 11, 1),
        ("a", 20, 21, 1),
        ("b", 30, 31, 2),
        ("a", 40, 41, 3),
    ]);
    is_right(&[
        ("a", 10, 11, 1),
        ("a", 20, 21, 0),
        ("b", 22, 23, 2),
        ("a", 30, 31, 0),
    ]);
}

#[test]
fn samples_that_overlap_accuse_nobody() {
    // A may have let go at 20 and B begun at 21: both samples are true then.
    is_right(&[("a", 10, 30, 1), ("b", 20, 25, 2)]);
    // A process that was stopped within a sample: the answer may be from before.
    is_right(&[
        ("a", 10, 9_000, 1),
        ("b", 5_000, 5_001, 2),
        ("b", 8_000, 8_001, 2),
    ]);
    is_right(&[("a", 10, 30, 1), ("b", 15, 30, 2)]);
    // To the nanosecond.
    is_right(&[("b", 20, 25, 2), ("a", 25, 26, 1)]);
}

#[test]
fn a_claim_that_goes_on_after_a_higher_one_has_begun_is_wrong() {
    is_wrong(
        &[("a", 10, 11, 1), ("b", 20, 21, 2), ("a", 30, 31, 1)],
        "a claimed epoch 1",
    );
    // One nanosecond is enough, and the first sample of the higher one counts, not its last.
    is_wrong(
        &[("b", 20, 25, 2), ("b", 90, 91, 2), ("a", 26, 27, 1)],
        "1ns after b",
    );
}

#[test]
fn a_claim_that_begins_under_a_lower_epoch_is_wrong() {
    is_wrong(
        &[("a", 10, 11, 5), ("b", 20, 21, 4), ("a", 30, 31, 5)],
        "b claimed epoch 4",
    );
    // Not only the next higher epoch counts, and a node must not go back itself either.
    is_wrong(
        &[("a", 10, 11, 9), ("c", 40, 41, 10), ("b", 20, 21, 8)],
        "b claimed epoch 8",
    );
    is_wrong(&[("a", 10, 11, 5), ("a", 20, 21, 4)], "a claimed epoch 4");
}

#[test]
fn an_epoch_belongs_to_one_node() {
    is_wrong(
        &[("a", 10, 11, 1), ("b", 90, 91, 1)],
        "epoch 1 was claimed by a and by b",
    );
}

#[test]
fn subjects_do_not_mix() {
    let mut mixed = history(P, &[("a", 10, 11, 5)]);
    mixed
        .records
        .extend(history(Subject::Leadership, &[("b", 20, 21, 1)]).records);
    mixed
        .records
        .extend(history(Subject::Partition(4), &[("c", 20, 21, 1)]).records);
    mixed.check();
    assert_eq!(mixed.epochs_at(20), Claims::from([(P, 5)]));
}

#[test]
fn any_enclosed_claim_is_found_whatever_the_epochs() {
    for mine in 1..4 {
        for other in 1..4 {
            let found = history(
                P,
                &[("a", 10, 11, mine), ("b", 20, 21, other), ("a", 30, 31, mine)],
            );
            assert!(!found.violations().is_empty(), "{mine} and {other}");
        }
    }
}

#[test]
fn what_is_recorded_is_read_and_half_a_line_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::create(folder.path(), "node-1").unwrap();
    let sample = |from, claims: &[(Subject, u64)]| Sample {
        from,
        to: from + 5,
        claims: claims.iter().copied().collect(),
    };
    let samples = [
        sample(10, &[]),
        sample(
            20,
            &[(Subject::Leadership, 7), (Subject::Partition(0), 2), (P, 9)],
        ),
        sample(
            30,
            &[(Subject::Leadership, 7), (Subject::Partition(0), 2), (P, 9)],
        ),
        sample(40, &[]),
        sample(50, &[]),
    ];
    for sample in &samples {
        recorder.add(sample.clone()).unwrap();
    }
    recorder.file.write_all(b"60 65 L:8 3:1").unwrap();
    let history = History::read(folder.path());
    assert_eq!(history.records.len(), 1);
    assert_eq!(history.records[0].node, "node-1");
    assert_eq!(history.records[0].samples, samples);
    assert_eq!(history.longest_gap(P), Duration::from_nanos(20));
}
