//! Shortages that pass are no failure of the disk.

use super::*;
use crate::env::disk::Faults;

fn no_files() -> Faults {
    Faults {
        no_files: true,
        ..Faults::default()
    }
}

/// Entries that fill more than one segment.
fn fill(rig: &mut Rig) {
    let next = rig.state().next();
    rig.append((next..next + 5).map(|index| entry(1, index, 1000)));
}

#[test]
fn the_next_segment_needs_no_file_descriptor_that_is_free() {
    let (disk, mut rig) = Rig::new();
    disk.set_faults(no_files());
    let before = rig.wal.stats().segments;
    fill(&mut rig);
    rig.step_ok();
    assert_eq!(rig.wal.stats().segments, before + 1);
    let expected = rig.state();
    disk.crash(1);
    assert_eq!(Rig::open(Arc::new(disk)).unwrap().state(), expected);
}

#[test]
fn a_segment_whose_file_cannot_be_opened_yet_is_waited_for() {
    let (disk, mut rig) = Rig::new();
    disk.set_faults(no_files());
    fill(&mut rig);
    rig.step_ok();
    // What was opened before is used up.
    fill(&mut rig);
    let refused_from = disk.operations();
    let helper = disk.clone();
    let relief = std::thread::spawn(move || {
        while helper.operations() < refused_from + 5 {
            std::thread::yield_now();
        }
        helper.set_faults(Faults::default());
    });
    rig.step_ok();
    relief.join().unwrap();
    assert!(rig.wal.failure().is_none());
    let expected = rig.state();
    assert_eq!(rig.reopen().state(), expected);
}

#[test]
fn a_log_that_is_closed_leaves_no_spare_file() {
    let (disk, rig) = Rig::new();
    rig.close();
    assert_eq!(disk.list(dir()).unwrap(), ["0000000001.log"]);
}
