//! The rules of the store, in memory and in SQLite alike.

use super::*;

/// Runs a test on either store. What it gets second closes SQLite's file and opens it again.
fn on_both(test: impl Fn(Copies, &dyn Fn(Copies) -> Copies)) {
    let rows = Box::<MemoryRows>::default();
    test(Copies::load(rows).unwrap(), &|copies| copies);
    in_sqlite(test);
}

fn in_sqlite(test: impl Fn(Copies, &dyn Fn(Copies) -> Copies)) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kv.sqlite");
    let reopen = |copies| {
        drop(copies);
        crate::sqlite::open(&file).unwrap()
    };
    test(crate::sqlite::open(&file).unwrap(), &reopen);
}

fn version(epoch: u64, seq: u64) -> Version {
    Version { epoch, seq }
}

fn row(key: &str, value: Option<&str>, version: Version) -> Row {
    Row {
        key: key.to_owned(),
        value: value.map(str::to_owned),
        version,
    }
}

fn write(copies: &mut Copies, epoch: u64, key: &str, value: &str) -> Row {
    copies
        .write(3, epoch, (key.to_owned(), Some(value.to_owned())))
        .unwrap()
}

fn is_refused<T>(done: &Result<T, StoreError>) -> bool {
    matches!(done, Err(StoreError::Refused(_)))
}

/// Count, digest and number of live keys, computed from the rows.
fn computed(copies: &mut Copies, partition: u32) -> (u64, u64, u64) {
    let mut state = CopyState::default();
    copies.each(partition, |row| state.add(row)).unwrap();
    (state.count, state.digest, state.live)
}

fn kept(copies: &Copies, partition: u32) -> (u64, u64, u64) {
    let state = copies.state(partition);
    (state.count, state.digest, state.live)
}

#[test]
fn versions_compare_as_pairs_of_numbers_and_are_spelled_epoch_seq() {
    assert!(version(2, 1) > version(1, 10));
    assert!(version(1, 10) > version(1, 9));
    assert_eq!(version(3, 17).to_string(), "3.17");
    assert_eq!(Version::try_from("3.17".to_owned()), Ok(version(3, 17)));
    for wrong in ["", "3", "3.", ".1", "3.1.2", "a.b", "-1.2", "3,1"] {
        assert!(Version::try_from(wrong.to_owned()).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_digest_is_the_published_one() {
    // crc32(b"k\0" b"1.2\0" b"vx") and crc32(b"d\0" b"2.1\0" b"d"), computed with Python's zlib.
    on_both(|mut copies, _| {
        copies
            .merge(
                3,
                2,
                &[row("k", Some("x"), version(1, 2)), row("d", None, version(2, 1))],
            )
            .unwrap();
        assert_eq!(copies.state(3).digest, 0x24ed31bd + 0x16efae85);
    });
}

#[test]
fn the_higher_version_stays_in_whatever_order_rows_arrive() {
    on_both(|mut copies, _| {
        let (old, new) = (
            row("k", Some("old"), version(1, 9)),
            row("k", Some("new"), version(2, 1)),
        );
        let deleted = row("gone", None, version(2, 2));
        copies.merge(3, 2, &[new.clone(), deleted.clone()]).unwrap();
        copies
            .merge(
                3,
                2,
                &[old.clone(), row("gone", Some("late"), version(1, 1)), new.clone()],
            )
            .unwrap();
        assert_eq!(copies.get(3, "k").unwrap(), Some(new));
        assert_eq!(copies.get(3, "gone").unwrap(), Some(deleted));
        assert_eq!(kept(&copies, 3), computed(&mut copies, 3));
        assert_eq!((copies.state(3).count, copies.state(3).live), (2, 1));
    });
}

#[test]
fn a_lower_epoch_is_refused_and_changes_nothing() {
    on_both(|mut copies, _| {
        write(&mut copies, 5, "k", "five");
        let before = copies.state(3);
        let late = [
            row("k", Some("four"), version(4, 99)),
            row("other", Some("four"), version(4, 100)),
        ];
        assert!(is_refused(&copies.merge(3, 4, &late)));
        assert!(is_refused(&copies.write(3, 4, ("k".to_owned(), None))));
        assert!(is_refused(&copies.fence(3, 4)));
        assert!(is_refused(&copies.replace(3, 4, "", &Page::default())));
        assert_eq!(copies.state(3), before);
        assert_eq!(copies.fence(3, 7).unwrap().fence, 7);
        assert!(is_refused(&copies.write(3, 6, ("k".to_owned(), None))));
        // Another partition has a fence of its own.
        assert_eq!(copies.fence(4, 1).unwrap().fence, 1);
    });
}

#[test]
fn the_primary_counts_on_from_what_it_has_seen() {
    on_both(|mut copies, reopen| {
        copies
            .merge(3, 2, &[row("k", Some("x"), version(1, 41))])
            .unwrap();
        assert_eq!(write(&mut copies, 2, "k", "y").version, version(2, 42));
        copies = reopen(copies);
        assert_eq!(write(&mut copies, 2, "k", "z").version, version(2, 43));
    });
}

#[test]
fn pages_follow_each_other_without_gap_and_are_bounded_in_bytes() {
    on_both(|mut copies, _| {
        let mut keys: Vec<String> = (0..25).map(|number| format!("key-{number}")).collect();
        keys.push("ä".to_owned());
        for key in &keys {
            write(&mut copies, 1, key, "v");
        }
        keys.sort();
        for limit in [1, 7, 26, 100] {
            let (mut read, mut after) = (Vec::new(), Some(String::new()));
            while let Some(from) = after {
                let page = copies.page(3, &from, limit).unwrap();
                assert!(page.rows.len() <= limit);
                read.extend(page.rows.into_iter().map(|row| row.key));
                after = page.next;
            }
            assert_eq!(read, keys, "in pages of {limit}");
        }
        for key in ["large-1", "large-2", "large-3"] {
            copies
                .write(9, 1, (key.to_owned(), Some("x".repeat(PAGE_BYTES - 10))))
                .unwrap();
        }
        let page = copies.page(9, "", 100).unwrap();
        assert_eq!((page.rows.len(), page.next.as_deref()), (1, Some("large-1")));
        assert_eq!(copies.page(9, "large-2", 100).unwrap().next, None);
    });
}

#[test]
fn a_page_of_the_primary_removes_what_was_never_acknowledged() {
    on_both(|mut copies, _| {
        let old = [
            row("a", Some("same"), version(1, 1)),
            row("b", Some("never acknowledged"), version(1, 7)),
            row("c", Some("newer than the primary's"), version(1, 8)),
            row("m", Some("behind the page"), version(1, 9)),
        ];
        copies.merge(3, 1, &old).unwrap();
        // Written by the primary after it had read the page.
        copies
            .merge(3, 2, &[row("d", Some("late"), version(2, 3))])
            .unwrap();
        let rows = vec![old[0].clone(), row("c", Some("acknowledged"), version(1, 5))];
        let page = Page {
            rows: rows.clone(),
            next: Some("k".to_owned()),
            ..Page::default()
        };
        copies.replace(3, 2, "", &page).unwrap();
        let mut left = Vec::new();
        copies
            .each(3, |row| left.push(format!("{} {}", row.key, row.version)))
            .unwrap();
        assert_eq!(left, ["a 1.1", "c 1.5", "d 2.3", "m 1.9"]);
        assert_eq!(kept(&copies, 3), computed(&mut copies, 3));
    });
}

#[test]
fn a_deleted_copy_keeps_its_fence_and_is_not_whole() {
    on_both(|mut copies, _| {
        write(&mut copies, 5, "k", "v");
        copies.set_whole(3, true).unwrap();
        copies.clear(3).unwrap();
        let state = copies.state(3);
        assert_eq!(
            (state.fence, state.whole, state.count, state.digest),
            (5, false, 0, 0)
        );
        assert!(is_refused(&copies.merge(
            3,
            4,
            &[row("k", Some("late"), version(4, 1))]
        )));
        assert_eq!(copies.get(3, "k").unwrap(), None);
    });
}

#[test]
fn what_is_in_the_database_is_there_again() {
    on_both(|mut copies, reopen| {
        write(&mut copies, 5, "k", "v");
        copies.write(3, 5, ("gone".to_owned(), None)).unwrap();
        copies.set_whole(3, true).unwrap();
        copies.fence(3, 6).unwrap();
        copies.fence(8, 2).unwrap();
        let (third, eighth) = (copies.state(3), copies.state(8));
        let reopened = reopen(copies);
        assert_eq!((reopened.state(3), reopened.state(8)), (third, eighth));
        assert!(third.whole && !eighth.whole && third.fence == 6);
    });
}

#[test]
fn the_guard_stands_in_the_database_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = crate::sqlite::SqliteRows::open(&folder.path().join("kv.sqlite")).unwrap();
    rows.put(3, &row("k", Some("new"), version(2, 1))).unwrap();
    rows.put(3, &row("k", Some("old"), version(1, 9))).unwrap();
    assert_eq!(
        rows.get(3, "k").unwrap(),
        Some(row("k", Some("new"), version(2, 1)))
    );
}

#[test]
fn of_a_transaction_all_is_kept_or_nothing() {
    in_sqlite(|mut copies, reopen| {
        write(&mut copies, 1, "k", "v");
        let before = copies.state(3);
        let (ended, ()) = copies.together(|copies| {
            write(copies, 2, "k", "w");
            write(copies, 2, "l", "w");
            (false, ())
        });
        assert!(ended.is_err());
        assert_eq!(copies.state(3), before);
        let (ended, ()) = copies.together(|copies| {
            write(copies, 2, "k", "w");
            (true, ())
        });
        assert!(ended.is_ok());
        let after = copies.state(3);
        assert_eq!(after.fence, 2);
        assert_eq!(reopen(copies).state(3), after);
    });
}
