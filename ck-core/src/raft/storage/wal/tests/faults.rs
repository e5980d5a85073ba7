use super::*;
use crate::env::disk::Faults;

/// A log with entries 0 to 9, most of them out of the cache.
fn rig() -> (MemDisk, Rig) {
    let (disk, mut rig) = Rig::new();
    rig.append((0..10).map(|index| entry(1, index, 200)));
    rig.vote(2);
    rig.step_ok();
    (disk, rig)
}

/// Nothing is acknowledged any more, though the disk works again; reads go on; opening finds what was
/// acknowledged.
fn assert_stopped_but_readable(disk: &MemDisk, mut rig: Rig) {
    disk.set_faults(Faults::default());
    let answers = rig.answers.take();
    assert!(!answers.is_empty());
    for (_, result) in answers {
        assert_eq!(result.unwrap_err().code(), ErrorCode::Io);
    }
    let last = rig.wal.last();
    rig.append([entry(2, rig.state().next(), 1)]);
    rig.vote(9);
    rig.truncate(Some(id(1, 3)));
    rig.purge(id(1, 3));
    let done = rig.done();
    rig.wal.close(done);
    rig.step();
    let answers = rig.answers.take();
    assert_eq!(answers.len(), 5);
    for (_, result) in answers {
        assert_eq!(result.unwrap_err().code(), ErrorCode::Io);
    }
    assert_eq!(
        (rig.wal.last(), rig.wal.vote()),
        (last, Some(vote(2))),
        "a refused call changes nothing"
    );
    assert_eq!(rig.wal.failure().unwrap().code(), ErrorCode::Io);
    let expected: Vec<_> = (0..10).map(|index| entry(1, index, 200)).collect();
    assert_eq!(rig.wal.read(0..10, u64::MAX).unwrap(), expected);
    drop(rig);
    for seed in 0..20 {
        disk.crash(seed);
        let rig = Rig::open(Arc::new(disk.clone())).unwrap();
        assert_eq!(rig.wal.read(0..10, u64::MAX).unwrap(), expected);
    }
}

#[test]
fn nothing_is_acknowledged_after_a_failed_sync() {
    let (disk, mut rig) = rig();
    disk.set_faults(Faults {
        fail_sync: Some(0),
        ..Faults::default()
    });
    rig.append([entry(1, 10, 10)]);
    rig.step();
    assert_stopped_but_readable(&disk, rig);
}

#[test]
fn nothing_is_acknowledged_after_a_failed_write() {
    let (disk, mut rig) = rig();
    disk.set_faults(Faults {
        fail_write: Some(0),
        ..Faults::default()
    });
    rig.append([entry(1, 10, 10)]);
    rig.append([entry(1, 11, 10)]);
    rig.step();
    assert_stopped_but_readable(&disk, rig);
}

#[test]
fn nothing_is_acknowledged_after_the_disk_was_full() {
    for capacity in [0, 1, 30, 70, 200] {
        let (disk, mut rig) = rig();
        disk.set_faults(Faults {
            capacity: Some(capacity),
            ..Faults::default()
        });
        rig.append([entry(1, 10, 100), entry(1, 11, 100)]);
        rig.step();
        assert_stopped_but_readable(&disk, rig);
    }
}

#[test]
fn nothing_is_acknowledged_when_the_next_segment_cannot_be_made() {
    let (disk, mut rig) = rig();
    disk.set_faults(Faults {
        fail_sync: Some(1),
        ..Faults::default()
    });
    rig.append((10..40).map(|index| entry(1, index, 100)));
    rig.step();
    assert_stopped_but_readable(&disk, rig);
}

#[test]
fn short_writes_are_completed() {
    let (disk, mut rig) = rig();
    disk.set_faults(Faults {
        short_writes: true,
        ..Faults::default()
    });
    rig.append([entry(1, 10, 500)]);
    rig.step_ok();
    let before = rig.state();
    assert_eq!(rig.reopen().state(), before);
}

#[test]
fn an_opening_that_fails_says_so_and_the_next_one_works() {
    for halt in 1..20 {
        let (disk, rig) = rig();
        let before = rig.state();
        rig.close();
        disk.set_faults(Faults {
            halt_after: Some(halt),
            ..Faults::default()
        });
        match Rig::open(Arc::new(disk.clone())) {
            Ok(rig) => assert_eq!(rig.state(), before),
            Err(error) => assert_eq!(error.code(), ErrorCode::Io, "{error}"),
        }
        disk.crash(halt);
        assert_eq!(Rig::open(Arc::new(disk)).unwrap().state(), before);
    }
}

#[test]
fn what_an_opening_finds_after_a_failed_sync_is_durable() {
    for seed in 0..20 {
        let (disk, mut rig) = rig();
        disk.set_faults(Faults {
            fail_sync: Some(0),
            ..Faults::default()
        });
        rig.append([entry(1, 10, 10)]);
        rig.step();
        // The process ends, the machine goes on: the system shows what it will never write.
        drop(rig);
        let rig = Rig::open(Arc::new(disk.clone())).unwrap();
        let found = rig.state();
        assert_eq!(found.last, Some(id(1, 10)));
        disk.crash(seed);
        assert_eq!(Rig::open(Arc::new(disk)).unwrap().state(), found);
    }
}
