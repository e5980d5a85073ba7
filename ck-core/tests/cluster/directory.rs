//! What a node notices of the directory that it keeps its data in.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use clusterkit::ErrorCode;
use clusterkit::Expect;

use crate::support::{TIMEOUT, TestNode, durable_cluster, founder, stop, until};

#[test]
fn a_node_whose_directory_was_removed_acknowledges_nothing_more_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = durable_cluster(1, dir.path());
    let node = nodes.remove(0);
    node.kit.set_custom_data("a", "1", Expect::Any, TIMEOUT).unwrap();
    std::fs::remove_dir_all(&node.options.data_dir).unwrap();
    // Nobody writes, so no write finds out.
    until("it is noticed", || node.kit.waiting_for().is_err());
    let error = node.kit.waiting_for().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Io, "{error}");
    let health = node.kit.health_check();
    assert!(!health.healthy);
    for part in [
        "its log has failed",
        "the data directory has failed",
        &node.options.data_dir,
    ] {
        assert!(health.message.contains(part), "{}", health.message);
    }
    node.kit
        .set_custom_data("a", "2", Expect::Any, TIMEOUT)
        .unwrap_err();
    assert_eq!(
        &node.kit.custom_data("a").unwrap().value[..],
        b"1",
        "lookups go on"
    );
    // That its log has failed is what a stop says, too.
    drop(node.kit.stop());
}

#[test]
fn a_directory_that_everybody_may_write_in_is_warned_of() {
    for (mode, warned) in [(0o777, true), (0o700, false)] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let mut options = founder("node-1");
        options.data_dir = dir.path().display().to_string();
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let told = lines.clone();
        let node = TestNode::start_with(options, |kit| {
            kit.on_log(Some(Arc::new(move |_, line: &str| {
                told.lock().unwrap().push(line.to_owned());
            })));
            Ok(())
        })
        .unwrap();
        let lines = lines.lock().unwrap().clone();
        let said = lines
            .iter()
            .any(|line| line.contains("every user of this machine"));
        assert_eq!(said, warned, "{lines:?}");
        stop(vec![node]);
    }
}
