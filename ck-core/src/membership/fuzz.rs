//! Fuzz target: any bytes as one of the small files of a data directory.

use std::path::Path;
use std::sync::Arc;

use super::identity::{IdentityFile, repair};
use super::{Identity, PromiseFile};
use crate::env::disk::{Disk, MemDisk};
use crate::fuzz::Input;
use crate::{Error, ErrorCode};

const DIR: &str = "/data";

const REPAIR: u8 = 0;
const HAS_LOG: u8 = 1;

/// The first byte of an input says which file it is: the identity, the promise, or the pledges. Either the content can
/// be read, stored and read again, or the error says what is wrong with it.
pub(crate) fn identity(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.u8() % 3 {
        0 => any_identity(input),
        1 => any_promise(input.rest()),
        _ => crate::raft::fuzz::pledges(input.rest()),
    }
}

fn any_identity(mut input: Input<'_>) {
    let flags = input.flags();
    let repaired = repair(input.rest()).filter(|_| flags.has(REPAIR));
    let content = repaired.as_deref().unwrap_or(input.rest());
    let disk = disk_with("identity.json", content);
    if flags.has(HAS_LOG) {
        let log = Path::new(DIR).join("wal.log");
        let made = disk
            .create_dir_all(&log)
            .and_then(|()| disk.create(&log.join("0000000001.log")));
        assert!(made.is_ok());
    }
    let file = IdentityFile::new(disk, Path::new(DIR));
    match file.load() {
        Ok(Some(identity)) => {
            let is_right = file.check(&identity, &identity.node_id, &identity.cluster_name);
            assert!(is_right.is_ok(), "{is_right:?}");
            assert!(file.check(&identity, "", "").is_err() || is_nameless(&identity));
            let stored = file.store(&identity).and_then(|()| file.load());
            // It is stored in the present version.
            let again = stored.as_ref().ok().and_then(Option::as_ref);
            assert_eq!(again.map(fields), Some(fields(&identity)), "{stored:?}");
        }
        Ok(None) => unreachable!("there is a file"),
        Err(error) => is_clear(&error, if flags.has(HAS_LOG) { "identity.json" } else { DIR }),
    }
}

fn is_nameless(identity: &Identity) -> bool {
    identity.node_id.is_empty() && identity.cluster_name.is_empty()
}

fn fields(identity: &Identity) -> impl PartialEq + std::fmt::Debug {
    let Identity {
        cluster_id,
        cluster_name,
        node_id,
        raft_id,
        ..
    } = identity.clone();
    let steps = (identity.founding.clone(), identity.founded, identity.has_log);
    (cluster_id, cluster_name, node_id, raft_id, steps)
}

fn any_promise(bytes: &[u8]) {
    let file = PromiseFile::new(disk_with("promise.json", bytes), Path::new(DIR));
    match file.load() {
        Ok(Some(founder)) => {
            let stored = file.store(&founder).and_then(|()| file.load());
            assert!(
                stored.as_ref().is_ok_and(|stored| *stored == Some(founder)),
                "{stored:?}"
            );
        }
        Ok(None) => unreachable!("there is a file"),
        Err(error) => is_clear(&error, "promise.json"),
    }
}

fn disk_with(name: &str, content: &[u8]) -> Arc<dyn Disk> {
    let disk = MemDisk::new();
    let written = disk
        .create_dir_all(Path::new(DIR))
        .and_then(|()| disk.replace(&Path::new(DIR).join(name), content));
    assert!(written.is_ok(), "{written:?}");
    Arc::new(disk)
}

/// The error about a file names the file.
fn is_clear(error: &Error, name: &str) {
    let is_clear = matches!(error.code(), ErrorCode::Corrupt | ErrorCode::Version);
    assert!(is_clear && error.message().contains(name), "{error}");
}

/// Examples of each file, those of older versions included.
#[cfg(test)]
pub(crate) fn examples() -> Vec<crate::fuzz::Example> {
    let identity = Identity::of_founder();
    let stored = |identity: &Identity| {
        let disk = disk_with("other", b"");
        IdentityFile::new(disk.clone(), Path::new(DIR))
            .store(identity)
            .unwrap();
        let path = Path::new(DIR).join("identity.json");
        disk.read(&path, u64::MAX).unwrap().unwrap()
    };
    let begun = stored(&identity);
    let founded = stored(&identity.with_cluster());
    let input = |head: &[u8], content: &[u8]| [head, content].concat();
    let version_1 = br#"{"version":1,"cluster_id":"c","cluster_name":"n","node_id":"a","raft_id":2}"#;
    vec![
        ("identity-begun", input(&[0, 0], &begun)),
        ("identity-founded", input(&[0, 1 << HAS_LOG], &founded)),
        (
            "identity-repaired",
            input(&[0, 1 << HAS_LOG | 1 << REPAIR], &founded),
        ),
        ("identity-without-log", input(&[0, 0], &founded)),
        ("identity-version-1", input(&[0, 1 << HAS_LOG], version_1)),
        ("promise", input(&[1], br#"{"version":1,"founder":"node-2"}"#)),
        ("pledges", input(&[2], br#"{"version":1,"stretch":4}"#)),
    ]
}
