//! Torn and damaged logs: cut at every length, every byte changed. Either every acknowledged entry is
//! there, or the error names file and offset.

use super::*;

/// A disk with these files, of which one has another content.
fn disk_with(files: &Files, changed: usize, content: &[u8]) -> MemDisk {
    let disk = MemDisk::new();
    disk.create_dir_all(dir()).unwrap();
    for (at, (name, original)) in files.iter().enumerate() {
        let content = if at == changed { content } else { original };
        disk.create(&dir().join(name))
            .unwrap()
            .write_all_at(content, 0)
            .unwrap();
    }
    disk
}

/// The places in a segment that are worth a try: of the long gaps between its heads only a few.
fn places(content: &[u8]) -> impl Iterator<Item = usize> + use<> {
    (0..content.len()).filter(|at| *at >= segment::FIRST || at % 4096 < 200 || at % 1024 == 0)
}

/// A small log in two segments with every kind of record, and its state.
fn small_log(close: bool) -> (Files, State) {
    let (disk, mut rig) = Rig::new();
    rig.vote(1);
    rig.append((0..12).map(|index| entry(1, index, 200)));
    rig.step_ok();
    rig.truncate(Some(id(1, 9)));
    rig.vote(3);
    rig.append((10..14).map(|index| entry(3, index, 150)));
    rig.wal.save_committed(id(1, 5));
    rig.step_ok();
    rig.purge(id(1, 1));
    rig.append([entry(3, 14, 60)]);
    rig.step_ok();
    rig.append([entry(3, 15, 0)]);
    rig.step_ok();
    let state = rig.state();
    if close {
        rig.close();
    }
    let files = files(&disk);
    assert_eq!(files.len(), 2);
    (files, state)
}

/// True when the damage was found, false when nothing was lost; anything else fails.
fn check(files: &Files, changed: usize, content: &[u8], expected: &State, what: &str) -> bool {
    let disk = disk_with(files, changed, content);
    match Rig::open(Arc::new(disk.clone())) {
        Ok(rig) => {
            assert_eq!(&rig.state(), expected, "{what}");
            drop(rig);
            assert_eq!(
                &Rig::open(Arc::new(disk)).unwrap().state(),
                expected,
                "{what}, repaired"
            );
            false
        }
        Err(error) => {
            assert_eq!(error.code(), ErrorCode::Corrupt, "{what}: {error}");
            assert!(error.message().contains("0000000"), "{what}: {error}");
            assert!(error.message().contains("damaged at offset "), "{what}: {error}");
            true
        }
    }
}

#[test]
fn a_log_cut_at_any_length_is_refused() {
    for close in [true, false] {
        let (files, state) = small_log(close);
        for (at, (name, content)) in files.iter().enumerate() {
            for length in places(content) {
                let what = format!("{name} cut to {length}");
                assert!(check(&files, at, &content[..length], &state, &what), "{what}");
            }
        }
    }
}

#[test]
fn no_changed_byte_makes_acknowledged_entries_disappear() {
    for close in [true, false] {
        let (files, state) = small_log(close);
        let mut found = 0;
        for (at, (name, content)) in files.iter().enumerate() {
            for byte in places(content) {
                for pattern in [0x01, 0x10, 0x80, 0xff] {
                    let mut content = content.clone();
                    content[byte] ^= pattern;
                    let what = format!("{name} byte {byte} changed by {pattern:#x}");
                    found += u32::from(check(&files, at, &content, &state, &what));
                }
            }
        }
        assert!(found > 10_000, "only {found} were noticed");
    }
}

#[test]
fn no_zeroed_region_makes_acknowledged_entries_disappear() {
    let (files, state) = small_log(false);
    for (at, (name, content)) in files.iter().enumerate() {
        let used = content.iter().rposition(|byte| *byte != 0).unwrap() + 1 - frame::HEADER;
        for start in places(content).filter(|start| *start < used) {
            let mut content = content.clone();
            content[start..(start + 64).min(used)].fill(0);
            let what = format!("{name} zeroed from {start}");
            check(&files, at, &content, &state, &what);
        }
    }
}

/// What a file system may do to the end of a file, and what no torn write does: everything from some place on is gone, the
/// mark behind it too. The second mark, at the other end of the file, knows better.
#[test]
fn no_zeroed_tail_makes_entries_disappear_that_were_there_at_a_quiet_moment() {
    for close in [true, false] {
        let (disk, mut rig) = Rig::new();
        rig.append((0..8).map(|index| entry(1, index, 90)));
        rig.step_ok();
        rig.vote(4);
        rig.append([entry(3, 8, 300)]);
        rig.step_ok();
        rig.wal.mark_again();
        rig.step_ok();
        let state = rig.state();
        if close {
            rig.close();
        }
        let files = files(&disk);
        let (name, content) = &files[files.len() - 1];
        let used = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let (mut starts, mut found) = (0, 0);
        for start in places(content).filter(|start| *start < used) {
            starts += 1;
            let mut content = content.clone();
            content[start..].fill(0);
            let what = format!("{name} zeroed from {start}, closed: {close}");
            found += usize::from(check(&files, files.len() - 1, &content, &state, &what));
        }
        // Only the first mark may go without harm.
        assert!(
            found + frame::HEADER >= starts,
            "{found} of {starts} were noticed"
        );
    }
}

/// A sector that is being written when the power fails may be lost whole. The first frame is never written again, and of
/// the second mark there are two copies, so neither is lost by that.
#[test]
fn a_torn_sector_costs_neither_the_first_frame_nor_the_second_mark() {
    let (files, state) = small_log(true);
    let at = files.len() - 1;
    let (name, content) = &files[at];
    let end = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let torn = |marks: &[u32], tail: usize| {
        let mut content = content.clone();
        for mark in marks {
            content[*mark as usize..][..4096].fill(0xa5);
        }
        content[tail..].fill(0);
        let what = format!("{name} torn at {marks:?}, zeroed from {tail}");
        check(&files, at, &content, &state, &what)
    };
    let [one, other] = segment::MARKS;
    for mark in [one, other] {
        assert!(mark.is_multiple_of(4096) && segment::FIRST.is_multiple_of(4096));
        assert!(!torn(&[mark], end), "the other copy is there");
        // The one that is left speaks as well.
        assert!(torn(&[mark], segment::FIRST));
    }
    assert!(torn(&[one, other], end), "nothing says any more what was synced");
}

#[test]
fn a_batch_torn_at_any_byte_is_cut_and_the_log_goes_on() {
    let (disk, mut rig) = Rig::new();
    rig.append((0..4).map(|index| entry(1, index, 50)));
    rig.step_ok();
    let mut states = vec![rig.state()];
    let (name, before) = files(&disk).remove(0);
    let entries: Vec<Entry> = (4..9).map(|index| entry(1, index, 40)).collect();
    for entry in &entries {
        let mut state = states[states.len() - 1].clone();
        state.append(entry.clone());
        states.push(state);
    }
    rig.append(entries);
    rig.step_ok();
    let after = files(&disk).remove(0).1;
    let changed: Vec<usize> = (0..after.len()).filter(|at| before[*at] != after[*at]).collect();
    let (start, end) = (changed[0], changed[changed.len() - 1] + 1);
    assert!(end - start > 300);
    let mut seen = 0;
    for torn in start..end {
        let content = [&after[..torn], &before[torn..]].concat();
        let disk = disk_with(&vec![(name.clone(), content.clone())], 0, &content);
        let mut rig = Rig::open(Arc::new(disk)).unwrap();
        let state = rig.state();
        let at = states.iter().position(|allowed| *allowed == state).unwrap();
        assert!(at >= seen, "more bytes, fewer entries");
        seen = at;
        // Whatever lay behind the cut does not come back behind a new entry of any length.
        let next = entry(9, state.next(), torn % 60);
        rig.append([next.clone()]);
        rig.step_ok();
        let mut expected = state;
        expected.append(next);
        assert_eq!(rig.reopen().state(), expected);
    }
    assert_eq!(
        seen,
        states.len() - 1,
        "what is torn last is the mark behind the batch"
    );
}

#[test]
fn frames_behind_a_torn_one_are_erased_and_never_come_back() {
    let (disk, mut rig) = Rig::new();
    rig.append([entry(1, 0, 50)]);
    rig.step_ok();
    let start = rig.writer.end as usize;
    rig.append([entry(1, 1, 50), entry(1, 2, 50)]);
    rig.step_ok();
    let end = rig.writer.end as usize;
    let (name, mut content) = files(&disk).remove(0);
    content[start] = 0;
    content[end..].fill(0);
    let path = dir().join(&name);
    let disk = disk_with(&vec![(name, Vec::new())], 0, &content);
    let mut rig = Rig::open(Arc::new(disk.clone())).unwrap();
    assert_eq!(rig.wal.last(), Some(id(1, 0)));
    // The same length again, so that the old frame of entry 2 would follow at once; and no mark.
    rig.append([entry(2, 1, 50)]);
    rig.step_ok();
    let end = rig.writer.end;
    disk.open(&path)
        .unwrap()
        .unwrap()
        .write_all_at(&[0; frame::HEADER], u64::from(end))
        .unwrap();
    drop(rig);
    assert!(
        disk.read(&path, u64::MAX).unwrap().unwrap()[end as usize..]
            .iter()
            .all(|byte| *byte == 0)
    );
    assert_eq!(Rig::open(Arc::new(disk)).unwrap().wal.last(), Some(id(2, 1)));
}

#[test]
fn a_payload_that_contains_a_log_is_not_taken_for_one() {
    let (logs, _) = small_log(false);
    let (disk, mut rig) = Rig::new();
    rig.append([entry(1, 0, 10)]);
    rig.step_ok();
    let before = files(&disk).remove(0).1;
    let payload = Bytes::from(logs[0].1[..3000].to_vec());
    rig.append([Entry {
        payload,
        ..entry(1, 1, 0)
    }]);
    rig.step_ok();
    let (name, mut after) = files(&disk).remove(0);
    let start = (0..after.len()).find(|at| before[*at] != after[*at]).unwrap();
    // The batch with the payload was torn: its first byte is missing, the rest is there, the mark not yet.
    let mark = after.iter().rposition(|byte| *byte != 0).unwrap() + 1 - frame::HEADER;
    after[mark..].fill(0);
    after[start] ^= 0xff;
    let disk = disk_with(&vec![(name, after.clone())], 0, &after);
    assert_eq!(Rig::open(Arc::new(disk)).unwrap().wal.last(), Some(id(1, 0)));
}

#[test]
fn a_damaged_entry_that_is_read_back_later_is_an_error_not_a_wrong_answer() {
    let (disk, mut rig) = Rig::new();
    rig.append((0..20).map(|index| entry(1, index, 100)));
    rig.step_ok();
    let file = disk.open(&dir().join("0000000001.log")).unwrap().unwrap();
    file.write_all_at(b"?", segment::FIRST as u64 + 700).unwrap();
    let error = rig.wal.read(0..20, u64::MAX).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Corrupt);
    assert!(
        error.message().contains("0000000001.log: damaged at offset "),
        "{error}"
    );
    assert_eq!(rig.wal.read(0..1, 1).unwrap().len(), 1);
}
