//! A judge that acquits everybody is worth nothing: each kind of loss is found.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// What the judge says of a journal when the cluster has this data; an empty text is an acquittal.
fn verdict(journal: &Journal, data: &[(&str, &str)]) -> String {
    let cluster = serde_json::json!({
        "id": "", "name": "", "nodes": [], "partition_map": {"partitions": {}},
        "config": {"cluster_name": "", "partition_count": 1, "replication_factor": 1},
        "revision": 0, "leader": "", "epoch": 0,
    });
    let mut cluster: ClusterRecord = serde_json::from_value(cluster).unwrap();
    let value = |(key, value): &(&str, &str)| ((*key).to_owned(), value.as_bytes().to_vec().into());
    cluster.custom_data = Some(data.iter().map(value).collect());
    match catch_unwind(AssertUnwindSafe(|| journal.check(&cluster))) {
        Ok(()) => String::new(),
        Err(panic) => panic.downcast_ref::<String>().unwrap().clone(),
    }
}

fn journal(fill: impl FnOnce(&mut Journal)) -> Journal {
    let mut journal = Journal::default();
    fill(&mut journal);
    journal
}

#[test]
fn a_lost_write_a_refused_one_that_is_there_and_a_phantom_are_found() {
    let book = journal(|book| {
        book.unique("a".into(), Told::Done(1));
        book.unique("b".into(), Told::Refused);
        book.unique("c".into(), Told::Unknown);
    });
    let a = ("a", "the value of a");
    assert_eq!(verdict(&book, &[a]), "");
    assert_eq!(verdict(&book, &[a, ("c", "the value of c")]), "");
    assert!(verdict(&book, &[]).contains("is lost"));
    assert!(verdict(&book, &[a, ("b", "the value of b")]).contains("was refused, and is there"));
    assert!(verdict(&book, &[("a", "another")]).contains('a'));
    assert!(verdict(&book, &[a, ("d", "")]).contains("nobody wrote [\"d\"]"));
}

#[test]
fn a_value_that_was_superseded_must_not_come_back_unless_its_outcome_was_unknown() {
    let book = journal(|book| {
        book.latest("k".into(), 1, Told::Done(1));
        book.latest("k".into(), 2, Told::Unknown);
        book.latest("k".into(), 3, Told::Done(3));
    });
    assert_eq!(verdict(&book, &[("k", "3")]), "");
    assert_eq!(verdict(&book, &[("k", "2")]), "");
    assert!(verdict(&book, &[("k", "1")]).contains("k is Some(1)"));
    assert!(verdict(&book, &[]).contains("k is None"));
}

#[test]
fn a_lost_increment_and_one_that_happened_twice_are_found() {
    let mut book = journal(|book| {
        book.count("n".into(), 1, Told::Done(1));
        book.count("n".into(), 2, Told::Unknown);
        book.count("n".into(), 2, Told::Done(5));
    });
    assert_eq!(verdict(&book, &[("n", "2")]), "");
    assert_eq!(verdict(&book, &[("n", "3")]), "");
    assert!(verdict(&book, &[("n", "1")]).contains("n is 1"));
    assert!(verdict(&book, &[("n", "4")]).contains("n is 4"));
    book.merge(journal(|book| {
        book.count("n".into(), 2, Told::Done(9));
    }));
    assert!(verdict(&book, &[("n", "3")]).contains("an update was lost"));
}

#[test]
fn a_client_whose_writes_are_acknowledged_out_of_order_is_heard() {
    let book = journal(|book| {
        book.unique("a".into(), Told::Done(7));
        book.unique("b".into(), Told::Done(6));
    });
    let data = [("a", "the value of a"), ("b", "the value of b")];
    assert!(verdict(&book, &data).contains("b was written at 6, after a write at 7"));
}
