//! Leases and epochs as an application uses them: the pattern of docs/consistency.md.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clusterkit::ErrorCode;
use rustix::fs::{FlockOperation, flock};

use crate::support::{TIMEOUT, TestNode, cluster, options, until};

/// A store in a folder that any process may write to, like a disk that is shared or a service elsewhere. It remembers
/// the highest epoch that it has seen of each partition, durably and before the write, and refuses lower ones.
struct FencedStore {
    folder: PathBuf,
}

#[derive(Debug)]
enum Refusal {
    /// Somebody with a higher epoch has written.
    Stale { seen: u64 },
    #[expect(dead_code, reason = "shown when a test fails")]
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Refusal::Io(error)
    }
}

impl FencedStore {
    fn new(folder: &Path) -> Self {
        FencedStore {
            folder: folder.to_owned(),
        }
    }

    fn path(&self, partition: u32, what: &str) -> PathBuf {
        self.folder.join(format!("partition-{partition}.{what}"))
    }

    fn epoch(&self, partition: u32) -> io::Result<u64> {
        match fs::read_to_string(self.path(partition, "epoch")) {
            Ok(text) => text.trim().parse().map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// One writer at a time, as a store sees to by its own means; here by a lock on the file.
    fn write(&self, partition: u32, epoch: u64, line: &str) -> Result<(), Refusal> {
        let lock = fs::File::create(self.path(partition, "lock"))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(io::Error::from)?;
        let seen = self.epoch(partition)?;
        if epoch < seen {
            return Err(Refusal::Stale { seen });
        }
        if epoch > seen {
            let next = self.path(partition, "epoch.next");
            fs::write(&next, epoch.to_string())?;
            fs::File::open(&next)?.sync_all()?;
            fs::rename(next, self.path(partition, "epoch"))?;
        }
        let path = self.path(partition, "data");
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
        io::Write::write_all(&mut file, format!("{epoch} {line}\n").as_bytes())?;
        file.sync_all()?;
        Ok(())
    }

    fn lines(&self, partition: u32) -> Vec<String> {
        let text = fs::read_to_string(self.path(partition, "data")).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

fn primary_of(nodes: &[TestNode], number: u32) -> Option<usize> {
    nodes.iter().position(|node| node.kit.is_primary(number))
}

/// What a former primary has on its way when its partition is given to another is refused where it arrives.
#[test]
fn a_late_write_of_a_former_primary_is_refused_by_the_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let store = FencedStore::new(folder.path());
    let mut nodes = cluster(3);
    let number = 5;
    until("a primary", || primary_of(&nodes, number).is_some());
    let old = primary_of(&nodes, number).unwrap();
    let token = nodes[old].kit.primary_epoch(number).unwrap();
    store.write(number, token, "first").unwrap();

    // Its node stops between the question and the write.
    let gone = nodes.remove(old);
    gone.kit.stop().unwrap();
    until("a successor", || primary_of(&nodes, number).is_some());
    let new = primary_of(&nodes, number).unwrap();
    let newer = nodes[new].kit.primary_epoch(number).unwrap();
    assert!(newer > token);
    store.write(number, newer, "second").unwrap();

    match store.write(number, token, "late") {
        Err(Refusal::Stale { seen }) => assert_eq!(seen, newer),
        other => panic!("the late write was not refused: {other:?}"),
    }
    let expected = [format!("{token} first"), format!("{newer} second")];
    assert_eq!(store.lines(number), expected);
}

#[test]
fn the_strict_question_says_why_not() {
    let nodes = cluster(2);
    until("primaries on both", || {
        nodes
            .iter()
            .all(|node| (0..24).any(|number| node.kit.is_primary(number)) && node.kit.is_leased())
    });
    let epochs: BTreeMap<u32, u64> = (0..24)
        .filter_map(|number| Some((number, nodes[0].kit.primary_epoch(number).ok()?)))
        .collect();
    assert!(!epochs.is_empty() && epochs.values().all(|epoch| *epoch > 0));
    let elsewhere = (0..24).find(|number| !epochs.contains_key(number)).unwrap();
    let refused = nodes[0].kit.primary_epoch(elsewhere).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Conflict, "{refused}");
    let unknown = nodes[0].kit.primary_epoch(24).unwrap_err();
    assert_eq!(unknown.code(), ErrorCode::NotFound, "{unknown}");
}

/// When start returns the node may act; nobody has to wait for a first lease.
#[test]
fn a_node_may_act_as_soon_as_it_has_started() {
    let node = TestNode::start(options("node-1")).unwrap();
    assert!(node.kit.is_leased());
    assert!((0..64).all(|number| node.kit.is_primary(number)));
    node.kit.stop_within(TIMEOUT).unwrap();
    assert!(!node.kit.is_leased());
    assert!((0..64).all(|number| !node.kit.is_primary(number)));
}
