use super::*;

fn names(disk: &MemDisk) -> Vec<String> {
    files(disk).into_iter().map(|(name, _)| name).collect()
}

/// A log over many segments of 4 KiB.
fn long() -> (MemDisk, Rig) {
    let (disk, mut rig) = Rig::new();
    rig.vote(7);
    for index in 0..200 {
        rig.append([entry(1, index, 100)]);
        rig.step_ok();
    }
    (disk, rig)
}

#[test]
fn a_full_segment_is_followed_by_another() {
    let (disk, rig) = long();
    assert!(names(&disk).len() > 5);
    assert_eq!(rig.wal.stats().segments, names(&disk).len() as u64);
    let before = rig.state();
    assert_eq!(before.entries.len(), 200);
    assert_eq!(rig.reopen().state(), before);
}

#[test]
fn one_batch_may_span_segments_and_an_entry_may_exceed_one() {
    let (disk, mut rig) = Rig::new();
    rig.append((0..100).map(|index| entry(1, index, 100)));
    rig.append([entry(1, 100, 3 << 20)]);
    rig.append((101..130).map(|index| entry(1, index, 100)));
    rig.step_ok();
    assert!(names(&disk).len() > 4);
    let before = rig.state();
    assert_eq!(before.entries.len(), 130);
    assert_eq!(rig.reopen().state(), before);
}

#[test]
fn purging_deletes_whole_segments_and_loses_nothing_else() {
    let (disk, mut rig) = long();
    let many = names(&disk).len();
    rig.wal.save_committed(id(1, 180));
    rig.purge(id(1, 150));
    rig.step_ok();
    let few = names(&disk);
    assert!(few.len() < many / 2, "{few:?} of {many}");
    let before = rig.state();
    let mut rig = rig.reopen();
    assert_eq!(rig.state(), before);
    assert_eq!(
        rig.wal.vote(),
        Some(vote(7)),
        "the segment that the vote was in is gone"
    );
    assert_eq!(rig.wal.committed(), Some(id(1, 180)));
    rig.purge(id(1, 199));
    rig.step_ok();
    assert_eq!(names(&disk).len(), 1);
    rig.append([entry(2, 200, 10)]);
    rig.step_ok();
    let before = rig.state();
    assert_eq!(rig.reopen().state(), before);
}

#[test]
fn readers_of_a_segment_that_is_deleted_meanwhile_are_not_disturbed() {
    let (_, mut rig) = long();
    let plan = rig.wal.shared.view().plan(0..100, u64::MAX).unwrap();
    rig.purge(id(1, 199));
    rig.step_ok();
    assert_eq!(plan.read().unwrap().len(), 100);
    assert_eq!(rig.wal.read(0..100, u64::MAX).unwrap(), []);
}

#[test]
fn a_missing_segment_is_named() {
    let (disk, rig) = long();
    rig.close();
    let all = names(&disk);
    for name in &all {
        let path = dir().join(name);
        let content = disk.read(&path, u64::MAX).unwrap().unwrap();
        disk.remove(&path).unwrap();
        let error = Rig::open(Arc::new(disk.clone())).err().unwrap();
        assert_eq!(error.code(), ErrorCode::Corrupt, "{name}: {error}");
        assert!(error.message().contains(name), "{name}: {error}");
        disk.create(&path).unwrap().write_all_at(&content, 0).unwrap();
    }
    Rig::open(Arc::new(disk)).unwrap();
}

#[test]
fn segments_that_come_back_after_a_purge_are_passed_over() {
    let (disk, mut rig) = long();
    let all = names(&disk);
    let contents: Vec<_> = all
        .iter()
        .map(|name| disk.read(&dir().join(name), u64::MAX).unwrap().unwrap())
        .collect();
    rig.purge(id(1, 150));
    rig.step_ok();
    let before = rig.state();
    rig.close();
    let left = names(&disk);
    // The first and the third came back, the second did not.
    for at in [0, 2] {
        assert!(!left.contains(&all[at]));
        disk.create(&dir().join(&all[at]))
            .unwrap()
            .write_all_at(&contents[at], 0)
            .unwrap();
    }
    let rig = Rig::open(Arc::new(disk.clone())).unwrap();
    assert_eq!(rig.state(), before);
    assert_eq!(names(&disk), left);
}

#[test]
fn a_segment_that_claims_a_huge_length_is_refused_unread() {
    let disk = MemDisk::new();
    disk.create_dir_all(dir()).unwrap();
    let header = Header {
        sequence: 1,
        size: u32::MAX,
        salt: 0,
        previous_end: 0,
        summary: Summary::default(),
        owner: None,
    };
    let file = segment::Segment::spare(&disk, dir()).unwrap();
    let dir_sync = disk.dir_sync(dir()).unwrap();
    segment::Segment::begin(&disk, dir(), file, &dir_sync, header).unwrap();
    let error = Rig::open(Arc::new(disk)).err().unwrap();
    assert_eq!(error.code(), ErrorCode::Corrupt);
    assert!(error.message().contains("longer than any can be"), "{error}");
}

#[test]
fn a_newer_format_is_refused_as_such() {
    use crate::raft::storage::wal::segment::Segment;
    let (disk, rig) = Rig::new();
    rig.close();
    let segment = Segment::open(&disk, dir(), 1).unwrap();
    let mut data = Vec::new();
    frame::put(&mut data, segment.place(segment::FIRST as u32), 0, 99, |_| {});
    segment.file.write_all_at(&data, segment::FIRST as u64).unwrap();
    let error = Rig::open(Arc::new(disk)).err().unwrap();
    assert_eq!(error.code(), ErrorCode::Version);
    assert!(error.message().contains("0000000001.log"), "{error}");
}
