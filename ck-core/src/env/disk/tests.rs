use std::os::unix::fs::PermissionsExt;

use super::*;

fn both() -> Vec<(Arc<dyn Disk>, PathBuf, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    vec![
        (Arc::new(MemDisk::new()), PathBuf::from("/a/b"), None),
        (Arc::new(RealDisk), path, Some(folder)),
    ]
}

#[test]
fn files_can_be_written_read_renamed_listed_and_removed() {
    for (disk, dir, _guard) in both() {
        disk.create_dir_all(&dir).unwrap();
        assert!(disk.open(&dir.join("x")).unwrap().is_none());
        assert_eq!(disk.read(&dir.join("x"), 10).unwrap(), None);
        let file = disk.create(&dir.join("x")).unwrap();
        file.write_all_at(b"hello", 0).unwrap();
        file.write_all_at(b" world", 5).unwrap();
        file.write_all_at(b"W", 6).unwrap();
        file.sync_data().unwrap();
        assert_eq!(disk.read(&dir.join("x"), 11).unwrap().unwrap(), b"hello World");
        assert_eq!(
            disk.read(&dir.join("x"), 10).unwrap_err().code(),
            ErrorCode::TooLarge
        );
        file.set_len(5000).unwrap();
        file.set_len(3).unwrap();
        file.set_len(6).unwrap();
        assert_eq!(disk.read(&dir.join("x"), 99).unwrap().unwrap(), b"hel\0\0\0");
        let mut beyond = [0; 7];
        assert_eq!(file.read_at(&mut beyond, 2).unwrap(), 4);
        assert_eq!(
            file.read_exact_at(&mut beyond, 0).unwrap_err().code(),
            ErrorCode::Corrupt
        );
        disk.rename(&dir.join("x"), &dir.join("y")).unwrap();
        disk.replace(&dir.join("z"), b"one").unwrap();
        disk.replace(&dir.join("z"), b"two").unwrap();
        assert_eq!(disk.list(&dir).unwrap(), ["y", "z"]);
        assert_eq!(disk.read(&dir.join("z"), 99).unwrap().unwrap(), b"two");
        disk.remove(&dir.join("y")).unwrap();
        disk.remove(&dir.join("y")).unwrap();
        assert_eq!(
            file.read_at(&mut beyond, 0).unwrap(),
            6,
            "an open handle outlives the name"
        );
        disk.sync_dir(&dir).unwrap();
        let error = disk.rename(&dir.join("gone"), &dir.join("g")).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Io);
        assert!(error.message().contains("gone"), "{error}");
    }
}

#[test]
fn a_lock_has_one_holder_and_ends_when_dropped() {
    for (disk, dir, _guard) in both() {
        disk.create_dir_all(&dir).unwrap();
        let lock = disk.lock(&dir.join("LOCK")).unwrap();
        let error = disk.lock(&dir.join("LOCK")).unwrap_err();
        assert_eq!(error.code(), ErrorCode::DataDirInUse);
        assert!(error.message().contains(dir.to_str().unwrap()), "{error}");
        drop(lock);
        disk.lock(&dir.join("LOCK")).unwrap();
    }
}

#[test]
fn files_are_0600_and_folders_0700() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("a/b");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    RealDisk.create_dir_all(&dir).unwrap();
    RealDisk.create(&dir.join("file")).unwrap();
    RealDisk.replace(&dir.join("replaced"), b"x").unwrap();
    let _lock = RealDisk.lock(&dir.join("LOCK")).unwrap();
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&folder.path().join("a")), 0o700);
    for name in ["file", "replaced", "LOCK"] {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
}

const DIR: &str = "/d";

fn disk() -> MemDisk {
    let disk = MemDisk::new();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn content(disk: &MemDisk, name: &str) -> Option<Vec<u8>> {
    disk.read(&path(name), 1 << 20).unwrap()
}

#[test]
fn a_crash_keeps_what_was_synced_and_may_lose_or_tear_the_rest() {
    let (mut lost, mut kept, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let disk = disk();
        let file = disk.create(&path("x")).unwrap();
        file.write_all_at(&[1; 6000], 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        file.write_all_at(&[2; 3000], 5000).unwrap();
        disk.crash(seed);
        let data = content(&disk, "x").unwrap();
        assert_eq!(data[..5000], [1; 5000]);
        assert!(data.len() >= 6000);
        match data[5000..].iter().filter(|byte| **byte == 2).count() {
            0 => lost += 1,
            3000 => kept += 1,
            _ => torn += 1,
        }
        assert!(
            file.write_at(b"late", 0).is_err(),
            "handles of before the crash fail"
        );
    }
    assert!(lost > 20 && kept > 20 && torn > 20, "{lost} {kept} {torn}");
}

#[test]
fn a_crash_may_lose_names_that_were_not_synced_but_never_synced_ones() {
    let (mut old, mut new) = (0, 0);
    for seed in 0..100 {
        let disk = disk();
        disk.replace(&path("x"), b"old").unwrap();
        let file = disk.create(&path("t")).unwrap();
        file.write_all_at(b"new", 0).unwrap();
        file.sync_data().unwrap();
        disk.rename(&path("t"), &path("x")).unwrap();
        disk.crash(seed);
        match content(&disk, "x").unwrap().as_slice() {
            b"old" => old += 1,
            b"new" => new += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(old > 10 && new > 10, "{old} {new}");
}

#[test]
fn a_crash_depends_on_the_seed_alone() {
    let run = |seed| {
        let disk = disk();
        let file = disk.create(&path("x")).unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        for i in 0..10 {
            file.write_all_at(&[i; 700], u64::from(i) * 650).unwrap();
        }
        disk.crash(seed);
        content(&disk, "x")
    };
    for seed in 0..50 {
        assert_eq!(run(seed), run(seed));
    }
}

#[test]
fn replace_leaves_the_old_or_the_new_content_at_every_crash_point() {
    for halt in 1..8 {
        for seed in 0..40 {
            let disk = disk();
            disk.replace(&path("x"), b"old").unwrap();
            disk.set_faults(Faults {
                halt_after: Some(halt),
                ..Faults::default()
            });
            let done = disk.replace(&path("x"), b"new").is_ok();
            disk.crash(seed);
            let data = content(&disk, "x").unwrap();
            assert!(
                data == b"new" || (!done && data == b"old"),
                "{halt} {seed} {data:?}"
            );
        }
    }
}

#[test]
fn injected_faults_hit_the_operation_that_they_name() {
    let disk = disk();
    let file = disk.create(&path("x")).unwrap();
    disk.set_faults(Faults {
        fail_write: Some(1),
        fail_sync: Some(0),
        ..Faults::default()
    });
    file.write_all_at(b"a", 0).unwrap();
    assert!(file.write_all_at(b"b", 1).is_err());
    file.write_all_at(b"c", 1).unwrap();
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    disk.set_faults(Faults {
        capacity: Some(3),
        short_writes: true,
        ..Faults::default()
    });
    assert!(
        file.write_all_at(b"12345", 2)
            .unwrap_err()
            .message()
            .contains("x")
    );
    assert_eq!(content(&disk, "x").unwrap(), b"ac123");
}

#[test]
fn after_a_failed_sync_only_data_that_is_written_again_becomes_durable() {
    for again in [false, true] {
        for seed in 0..20 {
            let disk = disk();
            let file = disk.create(&path("x")).unwrap();
            disk.sync_dir(Path::new(DIR)).unwrap();
            file.write_all_at(b"abc", 0).unwrap();
            file.sync_data().unwrap();
            file.write_all_at(b"xyz", 1).unwrap();
            disk.set_faults(Faults {
                fail_sync: Some(0),
                ..Faults::default()
            });
            assert!(file.sync_data().is_err());
            if again {
                file.write_all_at(b"y", 2).unwrap();
            }
            file.sync_data().unwrap();
            assert_eq!(content(&disk, "x").unwrap(), b"axyz");
            disk.crash(seed);
            assert_eq!(content(&disk, "x").unwrap(), if again { b"aby" } else { b"abc" });
        }
    }
}

#[test]
fn a_lock_knows_when_its_folder_is_gone_or_was_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, moved) = (folder.path().join("data"), folder.path().join("moved"));
    RealDisk.create_dir_all(&dir).unwrap();
    let lock = RealDisk.lock(&dir.join("LOCK")).unwrap();
    let check = lock.check();
    check().unwrap();
    RealDisk.check_dir(&dir).unwrap();
    std::fs::rename(&dir, &moved).unwrap();
    for error in [check().unwrap_err(), RealDisk.check_dir(&dir).unwrap_err()] {
        assert_eq!(error.code(), ErrorCode::Io);
        assert!(error.message().contains(dir.to_str().unwrap()), "{error}");
    }
    // Another folder was created.
    RealDisk.create_dir_all(&dir).unwrap();
    let other = RealDisk.lock(&dir.join("LOCK")).unwrap();
    let error = check().unwrap_err();
    assert!(error.message().contains("the folder was replaced"), "{error}");
    drop(other);
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::rename(&moved, &dir).unwrap();
    check().unwrap();
}

#[test]
fn a_world_writable_folder_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    for (mode, expected) in [(0o700, false), (0o775, false), (0o777, true), (0o1777, true)] {
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(RealDisk.is_world_writable(folder.path()).unwrap(), expected);
    }
}

/// Runs only in a process of its own, which the test below starts, because the limit holds for the whole process.
#[test]
fn a_process_with_a_limit_on_files() {
    let Ok(dir) = std::env::var("CK_TEST_FILE_LIMIT") else {
        return;
    };
    let limit = rustix::process::Rlimit {
        current: Some(1000),
        maximum: rustix::process::getrlimit(rustix::process::Resource::Fsize).maximum,
    };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
    let file = RealDisk.create(&Path::new(&dir).join("file")).unwrap();
    let error = file.write_all_at(&[1; 2000], 0).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Io);
    assert!(error.message().contains("File too large"), "{error}");
    assert_eq!(file.size().unwrap(), 1000, "what fits was written");
    let error = file.set_len(1001).unwrap_err();
    assert!(error.message().contains("File too large"), "{error}");
    file.set_len(1).unwrap();
    file.write_all_at(&[2; 999], 1).unwrap();
    RealDisk.replace(&Path::new(&dir).join("lives"), b"yes").unwrap();
}

/// The system sends SIGXFSZ to a process that writes beyond the limit, which ends the process.
#[test]
fn a_limit_on_the_length_of_files_is_an_error_and_ends_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let out = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "env::disk::tests::a_process_with_a_limit_on_files"])
        .env("CK_TEST_FILE_LIMIT", dir.path())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{}: {output}", out.status);
    assert!(dir.path().join("lives").exists(), "{output}");
}

#[test]
fn a_shortage_of_descriptors_or_memory_is_busy_and_not_a_failure_of_the_disk() {
    use rustix::io::Errno;
    for errno in [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM] {
        assert!(shortage::is_shortage(&errno.into()), "{errno}");
    }
    for errno in [Errno::NOSPC, Errno::IO, Errno::ROFS, Errno::FBIG, Errno::NOENT] {
        assert!(!shortage::is_shortage(&errno.into()), "{errno}");
    }
    // A call succeeds once the shortage has passed.
    let mut left = 3;
    let outcome = retry_on_shortage(|| {
        left -= 1;
        if left > 0 {
            return Err(Error::new(ErrorCode::Busy, "no descriptor is free"));
        }
        Ok("done")
    });
    assert_eq!(outcome.unwrap(), "done");
}
