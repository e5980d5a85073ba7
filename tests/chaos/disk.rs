//! A disk that is full.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use ck_tests::{Node, wait_until};
use clusterkit::ErrorCode;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use crate::support::{Machine, Scene, skipped};

/// Room for a node that has little to say.
const SIZE: &str = "size=16m";

/// A small disk of its own.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// None, and said so, where this is not root.
    fn make(what: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = std::ffi::CString::new(SIZE).unwrap();
        match mount(
            "none",
            folder.path(),
            "tmpfs",
            MountFlags::empty(),
            Some(options.as_c_str()),
        ) {
            Ok(()) => Some(SmallDisk { folder }),
            Err(error) => {
                skipped(what, &format!("no tmpfs can be mounted here: {error}"));
                None
            }
        }
    }

    fn filler(&self) -> std::path::PathBuf {
        self.folder.path().join("filler")
    }

    /// Takes all room that is left.
    fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        for size in [1 << 16, 1 << 10, 1] {
            let block = vec![7; size];
            while file.write_all(&block).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn node(&self, scene: &Scene, id: &str, flags: &[&str]) -> Node {
        let data = self.folder.path().join("data");
        let flags = [flags, &["--data-dir", path(&data)]].concat();
        scene.cluster.stranger(id, &flags)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has files there keeps them until it ends.
        let _ = unmount(self.folder.path(), UnmountFlags::DETACH);
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The node lives and answers from what it has.
fn looks_on(node: &Node) {
    let number: u32 = node.command("look some key").unwrap().parse().unwrap();
    assert!(number < crate::support::PARTITIONS);
    assert_eq!(node.api().status("/health").unwrap(), 200);
    assert!(node.api().cluster().is_ok());
}

#[test]
fn a_node_whose_disk_is_full_acknowledges_nothing_more_and_lives() {
    let Some(disk) = SmallDisk::make("a full disk of a node alone") else {
        return;
    };
    let mut scene = Scene::empty(Machine::shared(), &[]);
    let mut node = disk.node(&scene, "node-1", &["--bootstrap", "true"]);
    node.spawn_at("127.0.0.1:0");
    node.wait_ready();
    let before = node.api().put("before", "1").unwrap();
    disk.fill();
    let api = node.api().with_timeout(Duration::from_secs(2));
    // What room the log's file still had is used up first.
    let value = vec![b'x'; 1 << 16];
    let mut acknowledged = 0_u32;
    wait_until(ck_tests::WAIT_LIMIT, || {
        match api.put(&format!("until full {acknowledged}"), value.clone()) {
            Ok(_) => acknowledged += 1,
            Err(_) => return Ok(()),
        }
        Err(format!("{acknowledged} were acknowledged"))
    })
    .unwrap();
    disk.free();
    // Also with room again: what is on the disk is not known any more.
    for i in 0..3 {
        let error = api.put(&format!("after {i}"), "1").unwrap_err();
        assert_ne!(error.code(), ErrorCode::InvalidArgument, "{error}");
    }
    looks_on(&node);
    assert_eq!(node.api().value("before", 0).unwrap().unwrap().1, before);
    // As a new process it has everything that was acknowledged.
    node.kill();
    node.spawn_again();
    node.wait_ready();
    assert_eq!(node.api().value("before", 0).unwrap().unwrap().1, before);
    for i in 0..acknowledged {
        let value = node.api().value(&format!("until full {i}"), 0).unwrap();
        assert!(value.is_some(), "write {i} was acknowledged and is lost");
    }
    node.api().put("again", "1").unwrap();
    scene.cluster.adopt(node);
}

#[test]
fn a_leader_whose_disk_is_full_lives_and_the_others_go_on() {
    let Some(disk) = SmallDisk::make("a full disk of a leader") else {
        return;
    };
    let mut scene = Scene::empty(Machine::shared(), &[]);
    let mut first = disk.node(&scene, "node-1", &["--bootstrap", "true"]);
    first.spawn_at("127.0.0.1:0");
    first.wait_ready();
    scene.cluster.adopt(first);
    for _ in 1..3 {
        scene.cluster.add();
    }
    scene.begin();
    // Another may have been elected on a busy machine.
    scene.cluster.until("the first leads", || {
        let leader = scene.cluster.leader();
        if leader == 0 {
            return Ok(());
        }
        let _ = scene.cluster.nodes()[leader].command("step-down");
        Err(format!("{leader} leads"))
    });
    disk.fill();
    // Writers go on until its log finds no room, and then with another leader.
    scene.cluster.until("another leads", || {
        let leader = scene.cluster.api(1).leader().map_err(|error| error.to_string())?;
        (*leader.leader_id != *"node-1")
            .then_some(())
            .ok_or_else(|| "node-1 leads".to_owned())
    });
    scene.progress();
    looks_on(&scene.cluster.nodes()[0]);
    disk.free();
    scene.kill(0);
    scene.restart(0);
    scene.finish("full disk");
}
