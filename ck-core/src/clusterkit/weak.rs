//! A handle that does not keep its node alive, for code that the node itself holds.

use std::fmt;
use std::sync::{Arc, Weak};

use super::{ClusterKit, ClusterKitInner};

/// A handle that does not keep its node alive, for a hook or a log callback of that node.
///
/// The node holds its hooks, so a hook that holds a [`ClusterKit`] keeps its own node alive: the node continues when
/// the application has dropped its last handle, until something calls [`ClusterKit::stop`] or [`ClusterKit::close`]. A
/// hook that holds this handle does not.
///
/// ```
/// use clusterkit::hooks::EventType;
/// use clusterkit::{ClusterKit, Options};
///
/// # fn main() -> clusterkit::Result<()> {
/// let mut options = Options::new("node-1", "127.0.0.1:0");
/// options.data_dir = String::new();
/// let node = ClusterKit::new(options)?;
/// let weak = node.downgrade();
/// node.on(EventType::BecomeLeader, move |_| {
///     let Some(node) = weak.upgrade() else {
///         return Ok(()); // it is going away
///     };
///     println!("{} leads", node.my_node_id());
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct WeakClusterKit {
    inner: Weak<ClusterKitInner>,
}

impl WeakClusterKit {
    /// The node, while a [`ClusterKit`] of it exists. Dropping the last [`ClusterKit`] ends the node, on whatever
    /// thread that happens: keep the returned one for one call of a hook only.
    pub fn upgrade(&self) -> Option<ClusterKit> {
        self.inner.upgrade().map(|inner| ClusterKit { inner })
    }
}

impl fmt::Debug for WeakClusterKit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakClusterKit")
    }
}

impl ClusterKit {
    /// A handle that does not keep the node alive.
    pub fn downgrade(&self) -> WeakClusterKit {
        WeakClusterKit {
            inner: Arc::downgrade(&self.inner),
        }
    }
}
