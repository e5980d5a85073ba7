//! What has to be closed before the interpreter ends.

use std::sync::{Arc, Weak};
use std::time::Duration;

use clusterkit::{Client, Result};
use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::node::NodeShared;
use crate::testing::TestShared;
use crate::{forks, gate};

/// How long threads that are inside the interpreter are waited for, after everything was closed: a hook that does not return was
/// waited for by then.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Something that has threads.
#[derive(Clone)]
enum Live {
    Node(Weak<NodeShared>),
    Client(Weak<Client>),
    Test(Weak<TestShared>),
}

impl Live {
    fn is_live(&self) -> bool {
        match self {
            Live::Node(node) => node.strong_count() > 0,
            Live::Client(client) => client.strong_count() > 0,
            Live::Test(test) => test.strong_count() > 0,
        }
    }

    fn close(&self) -> Result<()> {
        match self {
            Live::Node(node) => node.upgrade().map_or(Ok(()), |node| node.close()),
            Live::Client(client) => client.upgrade().map_or(Ok(()), |client| client.close()),
            Live::Test(test) => test.upgrade().map_or(Ok(()), |test| test.cluster.close()),
        }
    }
}

static LIVE: Mutex<Vec<Live>> = Mutex::new(Vec::new());

fn remember(live: Live) {
    let mut all = LIVE.lock();
    all.retain(Live::is_live);
    all.push(live);
}

pub(crate) fn remember_node(node: &Arc<NodeShared>) {
    remember(Live::Node(Arc::downgrade(node)));
}

pub(crate) fn remember_client(client: &Arc<Client>) {
    remember(Live::Client(Arc::downgrade(client)));
}

pub(crate) fn remember_test(test: &Arc<TestShared>) {
    remember(Live::Test(Arc::downgrade(test)));
}

/// Closes all nodes, clients and test clusters that are left, and lets no thread of theirs into the interpreter any more. For
/// Python's `atexit`.
#[pyfunction]
pub(crate) fn close_all(py: Python<'_>) {
    if forks::forked() {
        return;
    }
    py.detach(|| {
        let left = std::mem::take(&mut *LIVE.lock());
        // Each may wait some seconds for a hook that does not return: all at the same time.
        let closing: Vec<_> = left
            .into_iter()
            .filter_map(|live| clusterkit::env::spawn_thread("ck-py-exit", move || drop(live.close())).ok())
            .collect();
        for thread in closing {
            drop(thread.join());
        }
    });
    gate::close(py, LEAVE_TIMEOUT);
}
