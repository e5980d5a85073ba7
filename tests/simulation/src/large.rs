//! A value that takes long on links that carry little.

use std::time::Duration;

use clusterkit::Expect;
use clusterkit::Result;
use clusterkit::sim::SimNode;

use crate::world::World;

const KEY: &str = "large";
/// The largest, in bytes.
pub(crate) const LARGEST: usize = 1 << 20;
/// Whether it is forgotten is decided by what else goes wrong.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes one of so many bytes.
pub(crate) async fn write(node: &SimNode, bytes: usize, timeout: Duration) -> Result<u64> {
    let value = vec![7; bytes].into();
    node.set_data(KEY.to_owned(), value, Expect::Any, timeout).await
}

/// Writes a small one over it where that can be: every state is encoded and compared for as long as it has the large one.
pub(crate) async fn forget(world: &World) {
    if let Some(node) = world.ready().first() {
        drop(write(node, 1, ANSWER_TIMEOUT).await);
    }
}
