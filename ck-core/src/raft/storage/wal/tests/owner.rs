//! Whose log it is, and logs from before that was written down.

use super::*;
use crate::raft::storage::wal::segment::Segment;

fn owned_by(cluster: &str, raft_id: u64) -> WalOptions {
    WalOptions {
        owner: Owner::new(cluster, raft_id).unwrap(),
        ..small()
    }
}

#[test]
fn a_log_is_opened_by_its_owner_only() {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    let mut rig = Rig::open_in(disk.clone(), dir(), &owned_by("a", 1)).unwrap();
    // Every segment says it, not only the first.
    for index in 0..30 {
        rig.append([entry(1, index, 1000)]);
        rig.step_ok();
    }
    rig.purge(id(1, 20));
    rig.step_ok();
    rig.close();
    for (cluster, raft_id) in [("a", 2), ("b", 1), ("", 1)] {
        let error = Rig::open_in(disk.clone(), dir(), &owned_by(cluster, raft_id))
            .err()
            .unwrap();
        assert_eq!(error.code(), ErrorCode::Corrupt);
        for part in [
            ".log",
            "Raft id 1 of cluster \"a\"",
            &format!("Raft id {raft_id}"),
        ] {
            assert!(error.message().contains(part), "{error}");
        }
    }
    let rig = Rig::open_in(disk, dir(), &owned_by("a", 1)).unwrap();
    assert_eq!(rig.wal.last(), Some(id(1, 29)));
}

#[test]
fn a_segment_of_another_node_among_ones_own_is_noticed() {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    for (raft_id, at) in [(1, "/data/wal.log"), (2, "/other/wal.log")] {
        let mut rig = Rig::open_in(disk.clone(), Path::new(at), &owned_by("a", raft_id)).unwrap();
        for index in 0..9 {
            rig.append([entry(1, index, 1000)]);
            rig.step_ok();
        }
        rig.close();
    }
    let name = "0000000002.log";
    let foreign = disk
        .read(&Path::new("/other/wal.log").join(name), 1 << 20)
        .unwrap()
        .unwrap();
    disk.replace(&dir().join(name), &foreign).unwrap();
    let error = Rig::open_in(disk, dir(), &owned_by("a", 1)).err().unwrap();
    assert_eq!(error.code(), ErrorCode::Corrupt);
    assert!(
        error.message().contains(name) && error.message().contains("Raft id 2"),
        "{error}"
    );
}

#[test]
fn a_cluster_id_that_does_not_fit_is_refused() {
    assert_eq!(
        Owner::new(&"x".repeat(33), 1).unwrap_err().code(),
        ErrorCode::InvalidArgument
    );
}

/// A log as format 1 wrote it: no owner, no second mark.
#[test]
fn a_log_of_the_first_format_is_read_and_goes_on_in_the_second() {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    disk.create_dir_all(dir()).unwrap();
    let mut data = Vec::new();
    segment::put_format_1(&mut data, 1, 4096, 7);
    let first = data.len() as u32;
    let place = frame::Place {
        salt: 7,
        offset: first,
    };
    frame::put(&mut data, place, first, frame::kind::ENTRY, |out| {
        id(1, 0).put(out);
        out.extend_from_slice(b"\x01old");
    });
    data.resize(4096, 0);
    disk.replace(&dir().join("0000000001.log"), &data).unwrap();

    let mut rig = Rig::open_in(disk.clone(), dir(), &owned_by("a", 1)).unwrap();
    assert_eq!(rig.state().entries[&0].payload, &b"old"[..]);
    for index in 1..9 {
        rig.append([entry(1, index, 1000)]);
        rig.step_ok();
    }
    rig.wal.mark_again();
    rig.step_ok();
    let before = rig.state();
    rig.close();
    let newest = Segment::open(&*disk, dir(), 3).unwrap();
    assert!(newest.header.owner.is_some());
    let rig = Rig::open_in(disk.clone(), dir(), &owned_by("a", 1)).unwrap();
    assert_eq!(rig.state(), before);
    drop(rig);
    assert!(Rig::open_in(disk, dir(), &owned_by("a", 2)).is_err());
}
