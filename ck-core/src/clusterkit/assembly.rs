//! How a handle is made of its parts, and how its calls reach its node.

use std::sync::Arc;

use super::{ClusterKit, ClusterKitInner, SharedRuntime};
#[cfg(feature = "testing")]
use crate::env::test_cluster::{Entered, TestProcess};
use crate::error::Result;
use crate::logger::Logger;
use crate::node::{Node, NodeDeps};
use crate::options::Options;

impl ClusterKit {
    /// A node with these options, on this runtime and with these ways to the world.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`](crate::ErrorCode::InvalidOption).
    pub(crate) fn assemble(options: Options, runtime: Arc<SharedRuntime>, deps: NodeDeps) -> Result<Self> {
        let logger = Arc::new(Logger::default());
        let node = runtime.enter(|| Node::new(options, deps, logger.clone()))??;
        Ok(ClusterKit {
            inner: Arc::new(ClusterKitInner {
                node,
                logger,
                runtime,
            }),
        })
    }

    /// The node, for a call on a thread of the runtime.
    pub(super) fn shared_node(&self) -> Arc<Node> {
        self.inner.node.clone()
    }

    /// The node, for a call on the calling thread.
    #[cfg(not(feature = "testing"))]
    pub(super) fn node(&self) -> &Arc<Node> {
        &self.inner.node
    }

    /// The node, for a call on the calling thread: while the returned value lives, the thread has the clock of the node.
    #[cfg(feature = "testing")]
    pub(crate) fn node(&self) -> NodeOfCall<'_> {
        NodeOfCall {
            node: &self.inner.node,
            _entered: self.inner.runtime.process().map(TestProcess::enter),
        }
    }

    /// The runtime that drives the node.
    #[cfg(feature = "testing")]
    pub(crate) fn runtime(&self) -> &SharedRuntime {
        &self.inner.runtime
    }

    /// Drops the log callback, and hooks that no call uses. The node itself does not notice.
    #[cfg(feature = "testing")]
    pub(crate) fn silence(&self) {
        self.inner.logger.close();
        self.inner.node.hooks().shut();
    }
}

/// A node whose clock the calling thread has.
#[cfg(feature = "testing")]
pub(crate) struct NodeOfCall<'a> {
    node: &'a Arc<Node>,
    _entered: Option<Entered>,
}

#[cfg(feature = "testing")]
impl std::ops::Deref for NodeOfCall<'_> {
    type Target = Arc<Node>;

    fn deref(&self) -> &Arc<Node> {
        self.node
    }
}
