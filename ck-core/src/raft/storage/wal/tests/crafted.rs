//! Frames that no writer writes, with checksums that are right. All of these were found by fuzzing.

use super::*;
use crate::raft::storage::wal::frame::{self, HEADER, Place, put_u64};
use crate::raft::storage::wal::segment;

/// Where the first frame says what was purged: behind its numbers and the vote.
const PURGED: usize = HEADER + 18 + 1 + Vote::LENGTH;

/// Opens a log of one segment, whose head is `head` with its checksums made right.
fn open(mut head: Vec<u8>, size: usize) -> Error {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    disk.create_dir_all(dir()).unwrap();
    head.resize(size, 0);
    frame::repair(&mut head, Place { salt: 0, offset: 0 }).unwrap();
    let path = dir().join("0000000001.log");
    disk.create(&path).unwrap().write_all_at(&head, 0).unwrap();
    let error = Rig::open(disk).err().unwrap();
    assert_eq!(error.code(), ErrorCode::Corrupt);
    error
}

/// It was opened, and the first record was written over its end: what was acknowledged was gone.
#[test]
fn a_first_frame_that_is_longer_than_its_format_is_refused() {
    let mut head = Vec::new();
    segment::put_format_1(&mut head, 1, 4096, 7);
    let length = u32::try_from(head.len() - HEADER).unwrap();
    head[4..8].copy_from_slice(&(length + 1).to_le_bytes());
    let error = open(head, 4096);
    assert!(error.message().contains("longer than its format"), "{error}");
}

/// It was opened, and what was appended lay before the log's beginning.
#[test]
fn a_log_that_ends_before_it_begins_is_refused() {
    let (disk, rig) = Rig::new();
    rig.close();
    let mut whole = files(&disk).swap_remove(0).1;
    let size = whole.len();
    whole[PURGED] = 1;
    whole[PURGED + 1 + 16] = 5;
    let error = open(whole, size);
    assert!(error.message().contains("ends before it begins"), "{error}");
}

/// It was opened, and every read of it failed, because nothing lay between what was purged and the first entry.
#[test]
fn a_log_with_a_hole_behind_what_was_purged_is_refused() {
    let (disk, mut rig) = Rig::new();
    rig.append([entry(1, 70, 1)]);
    rig.purge(id(1, 69));
    rig.step_ok();
    rig.close();
    let (name, mut whole) = files(&disk).swap_remove(0);
    let mut purged = Vec::new();
    id(1, 69).put(&mut purged);
    let body = whole
        .windows(purged.len())
        .position(|part| part == purged)
        .unwrap();
    let mut index = Vec::new();
    put_u64(&mut index, 50);
    whole[body + 16..body + 24].copy_from_slice(&index);
    // Behind the version, the sequence and the size of the first frame.
    let salt = whole[HEADER + 10..].first_chunk::<4>().unwrap();
    let place = Place {
        salt: u32::from_le_bytes(*salt),
        offset: u32::try_from(body - HEADER).unwrap(),
    };
    frame::repair(&mut whole[body - HEADER..], place).unwrap();

    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    disk.create_dir_all(dir()).unwrap();
    disk.create(&dir().join(name))
        .unwrap()
        .write_all_at(&whole, 0)
        .unwrap();
    let error = Rig::open(disk).err().unwrap();
    assert_eq!(error.code(), ErrorCode::Corrupt);
    assert!(
        error.message().contains("does not fit the log before it"),
        "{error}"
    );
}
